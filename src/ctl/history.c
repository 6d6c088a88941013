
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl plan history: what was made of a plan, from the audit log and the
 * store.
 */


#include <stddef.h>
#include <string.h>

#include "b64.h"
#include "query.h"


/* one call under a plan */

typedef struct aiq_ctl_call_s  aiq_ctl_call_t;

struct aiq_ctl_call_s {
    aiq_ctl_call_t        *next;
    uint64_t               seq;
    int64_t                ts_us;
    aiq_str_t              verdict;
    aiq_str_t              reason;
    aiq_str_t              status;
    aiq_str_t              user;
    aiq_str_t              agent;
    aiq_str_t              mcp;
    aiq_str_t              tool;
    aiq_str_t              jti;
    aiq_str_t              rid;
    unsigned               dry_run:1;
};

typedef struct {
    aiq_ctl_call_t        *first;
    aiq_ctl_call_t       **last;
    uint64_t               uses;
} aiq_ctl_calls_t;

typedef struct {
    aiq_ctl_t             *ctl;
    aiq_plan_t             plan;         /* n 0: not in the store */
    uint32_t               n;            /* steps, planned or seen */
    aiq_ctl_calls_t        step[AIQ_PLAN_STEPS];
    aiq_ctl_calls_t        other;        /* of no step */
    aiq_str_t              hash;         /* in hexadecimal, or empty */
    aiq_err_t             *err;
} aiq_ctl_history_t;


static int aiq_ctl_history_store(aiq_ctl_t *ctl, aiq_ctl_history_t *h,
    aiq_audit_filter_t *f);
static aiq_rc_t aiq_ctl_history_hit(void *data, const aiq_audit_hit_t *hit);
static aiq_rc_t aiq_ctl_history_copy(aiq_ctl_t *ctl, aiq_str_t *s);
static void aiq_ctl_history_print(aiq_ctl_history_t *h);
static void aiq_ctl_history_calls(aiq_ctl_t *ctl, const aiq_ctl_calls_t *c,
    int named);
static int aiq_ctl_history_json(aiq_ctl_history_t *h);
static json_t *aiq_ctl_history_jcalls(aiq_ctl_t *ctl,
    const aiq_ctl_calls_t *c);
static json_t *aiq_ctl_history_jstr(aiq_str_t s);


const aiq_ctl_opt_t  aiq_ctl_plan_history_opts[] = {

    { "org", "ORG", "the org of the plan", 1, 0 },
    { "jti", "JTI", "of this token only; stands for its plan, too", 0, 0 },
    { "since", "TIME", "calls not before: 2026-11-21T02:00:00Z, 1h, 7d", 0,
      0 },
    { "until", "TIME", "and before", 0, 0 },
    { "audit", "DIR", "the audit log, default STORE/audit", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


int
aiq_ctl_plan_history(aiq_ctl_t *ctl)
{
    int                  code, found;
    uint32_t             i;
    const char          *dir;
    aiq_str_t            org;
    aiq_ctl_history_t   *h;
    aiq_audit_filter_t   f;

    if (ctl->nargs == 0 && aiq_ctl_opt(ctl, "jti") == NULL) {
        return aiq_ctl_usage(ctl, "which plan?  Give its hash, or --jti");
    }

    code = aiq_ctl_query_begin(ctl, &org, &f, &dir);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    h = aiq_mem_calloc(&ctl->mem, sizeof(aiq_ctl_history_t));

    if (h == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    h->ctl = ctl;
    h->err = &ctl->err;
    h->other.last = &h->other.first;

    for (i = 0; i < AIQ_PLAN_STEPS; i++) {
        h->step[i].last = &h->step[i].first;
    }

    code = aiq_ctl_history_store(ctl, h, &f);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    code = aiq_ctl_query_run(ctl, dir, &f, 0, aiq_ctl_history_hit, h);

    found = (code == AIQ_CTL_OK || (code == AIQ_CTL_FAULT && h->n));

    if (code == AIQ_CTL_NO) {

        /* a plan that nobody has used is a history, too */

        if (h->plan.n == 0) {
            return aiq_ctl_no(ctl, AIQ_DECLINED, "there is no such plan in the"
                              " store, and no call under it in %s", dir);
        }

        found = 1;
        code = AIQ_CTL_OK;
    }

    if (!found) {
        return code;
    }

    if (!ctl->json) {
        aiq_ctl_history_print(h);
        return ctl->oom ? aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory")
                        : code;
    }

    return aiq_ctl_history_json(h) == AIQ_CTL_OK ? code : AIQ_CTL_FAULT;
}


/* the plan, copied: reading the log may take its time */

static int
aiq_ctl_history_store(aiq_ctl_t *ctl, aiq_ctl_history_t *h,
    aiq_audit_filter_t *f)
{
    int            code;
    uint32_t       i;
    aiq_rc_t       rc;
    aiq_str_t      org, jti, *plan;
    aiq_hash_t     hash;
    aiq_issued_t   issued;

    code = aiq_ctl_open(ctl, 0);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    org = f->by[AIQ_AUDIT_BY_ORG];
    jti = f->by[AIQ_AUDIT_BY_JTI];
    plan = &f->by[AIQ_AUDIT_BY_PLAN];

    rc = AIQ_DECLINED;

    if (plan->data != NULL) {
        rc = aiq_hex_decode(*plan, hash, AIQ_HASH_LEN);

    } else {
        rc = aiq_issued_get(ctl->txn, org, jti, &issued, &ctl->mem);

        if (rc == AIQ_OK) {
            memcpy(hash, issued.plan_hash, AIQ_HASH_LEN);
        }
    }

    if (rc == AIQ_OK) {
        h->hash = aiq_cstr(aiq_ctl_hex(ctl, hash, AIQ_HASH_LEN));

        rc = aiq_plan_get(ctl->txn, org, hash, &h->plan, &ctl->mem);
    }

    if (rc == AIQ_OK) {
        h->n = h->plan.n;

        for (i = 0; i < h->plan.n && rc == AIQ_OK; i++) {
            rc = aiq_ctl_history_copy(ctl, &h->plan.steps[i].mcp);

            if (rc == AIQ_OK) {
                rc = aiq_ctl_history_copy(ctl, &h->plan.steps[i].action);
            }
        }
    }

    if (rc != AIQ_OK && rc != AIQ_DECLINED) {
        return aiq_ctl_fail(ctl, rc, "plan");
    }

    if (rc == AIQ_DECLINED) {
        h->plan.n = 0;
    }

    aiq_store_abort(ctl->txn);
    ctl->txn = NULL;

    return AIQ_CTL_OK;
}


static aiq_rc_t
aiq_ctl_history_copy(aiq_ctl_t *ctl, aiq_str_t *s)
{
    aiq_str_t  from;

    from = *s;

    return aiq_mem_dup(&ctl->mem, from, s);
}


static aiq_rc_t
aiq_ctl_history_hit(void *data, const aiq_audit_hit_t *hit)
{
    aiq_ctl_history_t *h = data;

    size_t             i;
    int64_t            step;
    aiq_ctl_t         *ctl;
    aiq_str_t         *value;
    aiq_ctl_call_t    *call;
    aiq_ctl_calls_t   *calls;

    static const struct {
        aiq_audit_by_e   by;
        size_t           offset;
    } members[] = {
        { AIQ_AUDIT_BY_USER, offsetof(aiq_ctl_call_t, user) },
        { AIQ_AUDIT_BY_AGENT, offsetof(aiq_ctl_call_t, agent) },
        { AIQ_AUDIT_BY_MCP, offsetof(aiq_ctl_call_t, mcp) },
        { AIQ_AUDIT_BY_VERDICT, offsetof(aiq_ctl_call_t, verdict) },
        { AIQ_AUDIT_BY_REASON, offsetof(aiq_ctl_call_t, reason) },
        { AIQ_AUDIT_BY_RID, offsetof(aiq_ctl_call_t, rid) },
        { AIQ_AUDIT_BY_JTI, offsetof(aiq_ctl_call_t, jti) }
    };

    ctl = h->ctl;

    call = aiq_mem_calloc(&ctl->mem, sizeof(aiq_ctl_call_t));

    if (call == NULL) {
        return aiq_fail(h->err, AIQ_E_NO_MEMORY, "too many calls; ask for"
                        " fewer with --since and --until");
    }

    call->seq = hit->seq;
    call->ts_us = hit->ts_us;
    call->dry_run = (aiq_json_type(&hit->i,
                                   aiq_json_get(&hit->i, 0, "dry_run"))
                     == AIQ_JSON_TRUE);
    call->tool = aiq_ctl_query_tool(ctl, hit);
    call->status = aiq_ctl_query_status(ctl, hit);

    for (i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        value = (aiq_str_t *) ((char *) call + members[i].offset);

        *value = aiq_ctl_query_value(ctl, &hit->i,
                                     aiq_audit_member(&hit->i,
                                                      members[i].by));

        if (aiq_ctl_history_copy(ctl, value) != AIQ_OK) {
            ctl->oom = 1;
        }
    }

    if (aiq_ctl_history_copy(ctl, &call->tool) != AIQ_OK
        || aiq_ctl_history_copy(ctl, &call->status) != AIQ_OK || ctl->oom)
    {
        return aiq_fail(h->err, AIQ_E_NO_MEMORY, "too many calls; ask for"
                        " fewer with --since and --until");
    }

    calls = &h->other;

    if (aiq_json_int(&hit->i, aiq_json_get(&hit->i, 0, "step"), &step)
        == AIQ_OK
        && step >= 0
        && step < (h->plan.n ? (int64_t) h->plan.n : AIQ_PLAN_STEPS))
    {
        calls = &h->step[step];

        if (step >= (int64_t) h->n) {
            h->n = (uint32_t) step + 1;
        }
    }

    /* as for the step itself: only what was certainly not sent is given back */

    calls->uses += (aiq_str_is(call->verdict, "PERMIT")
                    && !aiq_str_is(call->status, "not_sent")
                    && !aiq_str_is(call->status, "revoked"));

    *calls->last = call;
    calls->last = &call->next;

    return AIQ_OK;
}


static void
aiq_ctl_history_print(aiq_ctl_history_t *h)
{
    uint32_t           i;
    aiq_ctl_t         *ctl;
    const aiq_step_t  *s;

    ctl = h->ctl;

    printf("plan  %s%s\n", h->hash.len ? aiq_ctl_esc(ctl, h->hash) : "-",
           h->plan.n ? "" : "  (not in the store)");

    for (i = 0; i < h->n; i++) {

        if (h->plan.n) {
            s = &h->plan.steps[i];

            printf("\nstep %u  %s/%s  used %llu of %u\n", i,
                   aiq_ctl_esc(ctl, s->mcp), aiq_ctl_esc(ctl, s->action),
                   (unsigned long long) h->step[i].uses, s->max_uses);

        } else {
            printf("\nstep %u  used %llu\n", i,
                   (unsigned long long) h->step[i].uses);
        }

        aiq_ctl_history_calls(ctl, &h->step[i], h->plan.n == 0);
    }

    if (h->other.first) {
        printf("\nno step\n");
        aiq_ctl_history_calls(ctl, &h->other, 1);
    }
}


static void
aiq_ctl_history_calls(aiq_ctl_t *ctl, const aiq_ctl_calls_t *c, int named)
{
    aiq_mem_t              mem;
    const aiq_ctl_call_t  *call;

    for (call = c->first; call; call = call->next) {
        mem = ctl->mem;

        printf("    %s  %8llu  %-7s  %-18s  %-14s  %s  %s",
               aiq_ctl_query_when(ctl, call->ts_us),
               (unsigned long long) call->seq,
               aiq_ctl_query_text(ctl, call->verdict),
               aiq_ctl_query_text(ctl, call->reason),
               aiq_ctl_query_text(ctl, call->status),
               aiq_ctl_query_text(ctl, call->user),
               aiq_ctl_query_text(ctl, call->agent));

        if (named) {
            printf("  %s/%s", aiq_ctl_query_text(ctl, call->mcp),
                   aiq_ctl_query_text(ctl, call->tool));
        }

        printf("%s\n", call->dry_run ? "  dry run" : "");

        ctl->mem = mem;
    }
}


static int
aiq_ctl_history_json(aiq_ctl_history_t *h)
{
    json_t     *o, *steps, *s;
    uint32_t    i;
    aiq_ctl_t  *ctl;

    ctl = h->ctl;

    o = json_object();
    steps = json_array();

    for (i = 0; i < h->n; i++) {
        s = json_object();

        aiq_ctl_jset(ctl, s, "step", json_integer(i));

        if (h->plan.n) {
            aiq_ctl_jset(ctl, s, "mcp", aiq_ctl_jstr(h->plan.steps[i].mcp));
            aiq_ctl_jset(ctl, s, "action",
                         aiq_ctl_jstr(h->plan.steps[i].action));
            aiq_ctl_jset(ctl, s, "max_uses",
                         json_integer(h->plan.steps[i].max_uses));
        }

        aiq_ctl_jset(ctl, s, "uses",
                     json_integer((json_int_t) h->step[i].uses));
        aiq_ctl_jset(ctl, s, "calls",
                     aiq_ctl_history_jcalls(ctl, &h->step[i]));

        aiq_ctl_jadd(ctl, steps, s);
    }

    aiq_ctl_jset(ctl, o, "plan_hash", aiq_ctl_history_jstr(h->hash));
    aiq_ctl_jset(ctl, o, "known", json_boolean(h->plan.n != 0));
    aiq_ctl_jset(ctl, o, "steps", steps);
    aiq_ctl_jset(ctl, o, "other", aiq_ctl_history_jcalls(ctl, &h->other));

    return aiq_ctl_jprint(ctl, o);
}


static json_t *
aiq_ctl_history_jcalls(aiq_ctl_t *ctl, const aiq_ctl_calls_t *c)
{
    json_t                *list, *o;
    const aiq_ctl_call_t  *call;

    list = json_array();

    for (call = c->first; call; call = call->next) {
        o = json_object();

        aiq_ctl_jset(ctl, o, "seq", json_integer((json_int_t) call->seq));
        aiq_ctl_jset(ctl, o, "time",
                     json_string(aiq_ctl_query_when(ctl, call->ts_us)));
        aiq_ctl_jset(ctl, o, "verdict", aiq_ctl_history_jstr(call->verdict));
        aiq_ctl_jset(ctl, o, "reason", aiq_ctl_history_jstr(call->reason));
        aiq_ctl_jset(ctl, o, "status", aiq_ctl_history_jstr(call->status));
        aiq_ctl_jset(ctl, o, "user", aiq_ctl_history_jstr(call->user));
        aiq_ctl_jset(ctl, o, "agent", aiq_ctl_history_jstr(call->agent));
        aiq_ctl_jset(ctl, o, "mcp", aiq_ctl_history_jstr(call->mcp));
        aiq_ctl_jset(ctl, o, "tool", aiq_ctl_history_jstr(call->tool));
        aiq_ctl_jset(ctl, o, "jti", aiq_ctl_history_jstr(call->jti));
        aiq_ctl_jset(ctl, o, "rid", aiq_ctl_history_jstr(call->rid));
        aiq_ctl_jset(ctl, o, "dry_run", json_boolean(call->dry_run));

        aiq_ctl_jadd(ctl, list, o);
    }

    return list;
}


static json_t *
aiq_ctl_history_jstr(aiq_str_t s)
{
    return s.len ? aiq_ctl_jstr(s) : json_null();
}
