
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl token usage: what tokens were used for, from the audit log and
 * the store.
 */


#include <string.h>

#include "b64.h"
#include "query.h"


#define AIQ_CTL_USAGE_HEADS  4096


/* how often a call was denied for a reason */

typedef struct aiq_ctl_denied_s  aiq_ctl_denied_t;

struct aiq_ctl_denied_s {
    aiq_ctl_denied_t      *next;
    aiq_str_t              reason;
    uint64_t               n;
};


typedef struct aiq_ctl_spent_s  aiq_ctl_spent_t;

struct aiq_ctl_spent_s {
    aiq_ctl_spent_t       *next;         /* in the order of the log */
    aiq_ctl_spent_t       *chain;        /* of the same head */
    aiq_str_t              jti;
    aiq_str_t              user;
    aiq_str_t              agent;
    int64_t                exp;          /* 0: not known */
    int64_t                first_us;
    int64_t                last_us;
    uint64_t               calls;
    uint64_t               permitted;
    uint64_t               denied;
    uint64_t               unknown;      /* of those that were permitted */
    uint64_t               uses;         /* of steps */
    uint32_t               steps;        /* that were used */
    uint32_t               planned;      /* 0: not known */
    uint64_t               max_uses;
    aiq_ctl_denied_t      *reasons;
    aiq_str_t              plan;         /* hash in hexadecimal, or empty */
    unsigned char          used[AIQ_PLAN_STEPS / 8];
    unsigned               revoked:1;
};

typedef struct {
    aiq_ctl_t             *ctl;
    aiq_ctl_spent_t       *first;
    aiq_ctl_spent_t      **last;
    aiq_ctl_spent_t       *head[AIQ_CTL_USAGE_HEADS];
} aiq_ctl_usages_t;


static aiq_rc_t aiq_ctl_usage_hit(void *data, const aiq_audit_hit_t *hit);
static aiq_ctl_spent_t *aiq_ctl_usage_find(aiq_ctl_usages_t *u,
    aiq_str_t jti);
static void aiq_ctl_usage_call(aiq_ctl_usages_t *u, aiq_ctl_spent_t *t,
    const aiq_audit_hit_t *hit);
static void aiq_ctl_usage_denied(aiq_ctl_t *ctl, aiq_ctl_spent_t *t,
    aiq_str_t reason);
static aiq_str_t aiq_ctl_usage_copy(aiq_ctl_t *ctl, aiq_str_t s);
static int aiq_ctl_usage_store(aiq_ctl_usages_t *u, aiq_str_t org,
    aiq_str_t jti);
static aiq_rc_t aiq_ctl_usage_token(aiq_ctl_usages_t *u, aiq_str_t org,
    aiq_ctl_spent_t *t);
static aiq_rc_t aiq_ctl_usage_plan(aiq_ctl_t *ctl, aiq_str_t org,
    aiq_ctl_spent_t *t);
static void aiq_ctl_usage_print(aiq_ctl_t *ctl, const aiq_ctl_spent_t *t);
static json_t *aiq_ctl_usage_json(aiq_ctl_t *ctl, const aiq_ctl_spent_t *t);
static int aiq_ctl_usage_answer(aiq_ctl_usages_t *u, aiq_str_t org);


const aiq_ctl_opt_t  aiq_ctl_token_usage_opts[] = {

    { "org", "ORG", "the org of the tokens", 1, 0 },
    { "jti", "JTI", "this token only", 0, 0 },
    { "user", "U", "calls on behalf of this user", 0, 0 },
    { "agent", "A", "calls by this agent", 0, 0 },
    { "since", "TIME", "calls not before: 2026-11-21T02:00:00Z, 1h, 7d", 0,
      0 },
    { "until", "TIME", "and before", 0, 0 },
    { "audit", "DIR", "the audit log, default STORE/audit", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


int
aiq_ctl_token_usage(aiq_ctl_t *ctl)
{
    int                  code, answer;
    const char          *dir;
    aiq_str_t            org;
    aiq_ctl_usages_t    *u;
    aiq_audit_filter_t   f;

    code = aiq_ctl_query_begin(ctl, &org, &f, &dir);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_open_store(ctl, ctl->dir, 0);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    u = aiq_mem_calloc(&ctl->mem, sizeof(aiq_ctl_usages_t));

    if (u == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    u->ctl = ctl;
    u->last = &u->first;

    code = aiq_ctl_query_run(ctl, dir, &f, 0, aiq_ctl_usage_hit, u);

    if (code == AIQ_CTL_NO) {
        code = AIQ_CTL_OK;

    } else if (code != AIQ_CTL_OK && u->first == NULL) {
        return code;
    }

    /* only now: a long look at the log must not hold the store */

    answer = aiq_ctl_usage_store(u, org, f.by[AIQ_AUDIT_BY_JTI]);

    if (answer != AIQ_CTL_OK) {
        return answer;
    }

    if (u->first == NULL) {
        return aiq_ctl_no(ctl, AIQ_DECLINED, "no call with a token found in"
                          " %s", dir);
    }

    answer = aiq_ctl_usage_answer(u, org);

    return (answer != AIQ_CTL_OK) ? answer : code;
}


static int
aiq_ctl_usage_answer(aiq_ctl_usages_t *u, aiq_str_t org)
{
    json_t                 *o, *list;
    aiq_mem_t               mem;
    const aiq_ctl_spent_t  *t;

    if (!u->ctl->json) {

        for (t = u->first; t; t = t->next) {
            mem = u->ctl->mem;
            aiq_ctl_usage_print(u->ctl, t);
            u->ctl->mem = mem;
        }

        return AIQ_CTL_OK;
    }

    list = json_array();

    for (t = u->first; t; t = t->next) {
        aiq_ctl_jadd(u->ctl, list, aiq_ctl_usage_json(u->ctl, t));
    }

    o = json_object();

    aiq_ctl_jset(u->ctl, o, "org", aiq_ctl_jstr(org));
    aiq_ctl_jset(u->ctl, o, "tokens", list);

    return aiq_ctl_jprint(u->ctl, o);
}


static aiq_rc_t
aiq_ctl_usage_hit(void *data, const aiq_audit_hit_t *hit)
{
    aiq_ctl_usages_t *u = data;

    uint32_t          i;
    aiq_mem_t         mem;
    aiq_str_t         jti;
    aiq_ctl_spent_t  *t;

    i = aiq_audit_member(&hit->i, AIQ_AUDIT_BY_JTI);

    if (aiq_json_type(&hit->i, i) != AIQ_JSON_STRING) {
        return AIQ_OK;
    }

    mem = u->ctl->mem;

    jti = aiq_ctl_query_value(u->ctl, &hit->i, i);
    t = aiq_ctl_usage_find(u, jti);

    if (t != NULL && t->calls) {
        u->ctl->mem = mem;
    }

    if (t != NULL) {
        aiq_ctl_usage_call(u, t, hit);
    }

    if (u->ctl->oom) {
        return aiq_fail(&u->ctl->err, AIQ_E_NO_MEMORY, "too many tokens; ask"
                        " for fewer with --since and --until");
    }

    return AIQ_OK;
}


/* a token that is not there yet is added */

static aiq_ctl_spent_t *
aiq_ctl_usage_find(aiq_ctl_usages_t *u, aiq_str_t jti)
{
    size_t            i;
    uint32_t          h;
    aiq_ctl_spent_t  *t;

    h = 2166136261U;

    for (i = 0; i < jti.len; i++) {
        h = (h ^ jti.data[i]) * 16777619U;
    }

    h = (h ^ h >> 16) % AIQ_CTL_USAGE_HEADS;

    for (t = u->head[h]; t; t = t->chain) {

        if (aiq_str_eq(t->jti, jti)) {
            return t;
        }
    }

    t = aiq_mem_calloc(&u->ctl->mem, sizeof(aiq_ctl_spent_t));

    if (t == NULL) {
        u->ctl->oom = 1;
        return NULL;
    }

    t->jti = aiq_ctl_usage_copy(u->ctl, jti);
    t->chain = u->head[h];
    u->head[h] = t;

    *u->last = t;
    u->last = &t->next;

    return t;
}


static aiq_str_t
aiq_ctl_usage_copy(aiq_ctl_t *ctl, aiq_str_t s)
{
    aiq_str_t  copy;

    aiq_str_null(&copy);

    if (s.len && aiq_mem_dup(&ctl->mem, s, &copy) != AIQ_OK) {
        ctl->oom = 1;
    }

    return copy;
}


static void
aiq_ctl_usage_call(aiq_ctl_usages_t *u, aiq_ctl_spent_t *t,
    const aiq_audit_hit_t *hit)
{
    int64_t            v;
    uint32_t           verdict;
    aiq_ctl_t         *ctl;
    const aiq_json_t  *doc;

    ctl = u->ctl;
    doc = &hit->i;

    if (t->calls++ == 0 || hit->ts_us < t->first_us) {
        t->first_us = hit->ts_us;
    }

    if (t->calls == 1 || hit->ts_us > t->last_us) {
        t->last_us = hit->ts_us;
    }

    verdict = aiq_audit_member(doc, AIQ_AUDIT_BY_VERDICT);

    if (!aiq_json_is(doc, verdict, "PERMIT")) {
        t->denied++;
        aiq_ctl_usage_denied(ctl, t, aiq_ctl_query_value(ctl, doc,
                             aiq_audit_member(doc, AIQ_AUDIT_BY_REASON)));
        return;
    }

    /* what is said of a token is only believed of one that was verified */

    if (t->permitted++ == 0) {
        t->user = aiq_ctl_usage_copy(ctl, aiq_ctl_query_value(ctl, doc,
                                aiq_audit_member(doc, AIQ_AUDIT_BY_USER)));
        t->agent = aiq_ctl_usage_copy(ctl, aiq_ctl_query_value(ctl, doc,
                                aiq_audit_member(doc, AIQ_AUDIT_BY_AGENT)));
        t->plan = aiq_ctl_usage_copy(ctl, aiq_ctl_query_value(ctl, doc,
                                aiq_audit_member(doc, AIQ_AUDIT_BY_PLAN)));

        if (aiq_json_int(doc, aiq_json_get(doc, aiq_json_get(doc, 0, "tok"),
                                           "exp"), &v) == AIQ_OK)
        {
            t->exp = v;
        }
    }

    t->unknown += aiq_str_is(aiq_ctl_query_status(ctl, hit), "unknown");

    if (aiq_str_is(aiq_ctl_query_status(ctl, hit), "not_sent")
        || aiq_str_is(aiq_ctl_query_status(ctl, hit), "revoked")
        || aiq_json_int(doc, aiq_json_get(doc, 0, "step"), &v) != AIQ_OK
        || v < 0 || v >= AIQ_PLAN_STEPS)
    {
        return;
    }

    t->uses++;

    if (!(t->used[v / 8] & 1 << v % 8)) {
        t->used[v / 8] |= (unsigned char) (1 << v % 8);
        t->steps++;
    }
}


static void
aiq_ctl_usage_denied(aiq_ctl_t *ctl, aiq_ctl_spent_t *t, aiq_str_t reason)
{
    aiq_ctl_denied_t  *d, **last;

    for (last = &t->reasons; *last; last = &(*last)->next) {

        if (aiq_str_eq((*last)->reason, reason)) {
            (*last)->n++;
            return;
        }
    }

    d = aiq_mem_calloc(&ctl->mem, sizeof(aiq_ctl_denied_t));

    if (d == NULL) {
        ctl->oom = 1;
        return;
    }

    d->reason = aiq_ctl_usage_copy(ctl, reason);
    d->n = 1;

    *last = d;
}


static int
aiq_ctl_usage_store(aiq_ctl_usages_t *u, aiq_str_t org, aiq_str_t jti)
{
    int               code;
    aiq_rc_t          rc;
    aiq_ctl_t        *ctl;
    aiq_issued_t      issued;
    aiq_ctl_spent_t  *t;

    ctl = u->ctl;

    code = aiq_ctl_begin(ctl, 0);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = AIQ_OK;

    /* one that was never used */

    if (jti.data != NULL && u->first == NULL) {
        rc = aiq_issued_get(ctl->txn, org, jti, &issued, &ctl->mem);

        if (rc == AIQ_OK && aiq_ctl_usage_find(u, jti) == NULL) {
            rc = AIQ_E_NO_MEMORY;
        }
    }

    for (t = u->first; t && rc == AIQ_OK; t = t->next) {
        rc = aiq_ctl_usage_token(u, org, t);
    }

    if (rc != AIQ_OK && rc != AIQ_DECLINED) {
        return aiq_ctl_fail(ctl, rc, "token");
    }

    aiq_store_abort(ctl->txn);
    ctl->txn = NULL;

    return ctl->oom ? aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory")
                    : AIQ_CTL_OK;
}


/* what the store knows of it; it may have been issued elsewhere */

static aiq_rc_t
aiq_ctl_usage_token(aiq_ctl_usages_t *u, aiq_str_t org, aiq_ctl_spent_t *t)
{
    aiq_rc_t       rc;
    aiq_ctl_t     *ctl;
    aiq_issued_t   issued;

    ctl = u->ctl;

    rc = aiq_token_revoked(ctl->txn, org, t->jti);

    t->revoked = (rc == AIQ_D_TOKEN_REVOKED);

    if (rc != AIQ_OK && rc != AIQ_D_TOKEN_REVOKED) {
        return rc;
    }

    rc = aiq_issued_get(ctl->txn, org, t->jti, &issued, &ctl->mem);

    if (rc == AIQ_OK) {
        t->exp = issued.exp;
        t->user = aiq_ctl_usage_copy(ctl, issued.user);
        t->agent = aiq_ctl_usage_copy(ctl, issued.agent);
        t->plan = aiq_cstr(aiq_ctl_hex(ctl, issued.plan_hash, AIQ_HASH_LEN));
    }

    if (rc != AIQ_OK && rc != AIQ_DECLINED) {
        return rc;
    }

    return aiq_ctl_usage_plan(ctl, org, t);
}


static aiq_rc_t
aiq_ctl_usage_plan(aiq_ctl_t *ctl, aiq_str_t org, aiq_ctl_spent_t *t)
{
    uint32_t     i;
    aiq_rc_t     rc;
    aiq_mem_t    mem;
    aiq_hash_t   hash;
    aiq_plan_t   plan;

    if (aiq_hex_decode(t->plan, hash, AIQ_HASH_LEN) != AIQ_OK) {
        return AIQ_OK;
    }

    mem = ctl->mem;

    rc = aiq_plan_get(ctl->txn, org, hash, &plan, &ctl->mem);

    if (rc == AIQ_OK) {
        t->planned = plan.n;

        for (i = 0; i < plan.n; i++) {
            t->max_uses += plan.steps[i].max_uses;
        }
    }

    ctl->mem = mem;

    return (rc == AIQ_DECLINED) ? AIQ_OK : rc;
}


static void
aiq_ctl_usage_print(aiq_ctl_t *ctl, const aiq_ctl_spent_t *t)
{
    const aiq_ctl_denied_t  *d;

    printf("%s  %s  %s  steps %u/", aiq_ctl_esc(ctl, t->jti),
           aiq_ctl_query_text(ctl, t->user),
           aiq_ctl_query_text(ctl, t->agent), t->steps);

    if (t->planned) {
        printf("%u  uses %llu/%llu", t->planned,
               (unsigned long long) t->uses,
               (unsigned long long) t->max_uses);

    } else {
        printf("?  uses %llu/?", (unsigned long long) t->uses);
    }

    printf("  permitted %llu", (unsigned long long) t->permitted);

    if (t->unknown) {
        printf(" (outcome unknown %llu)", (unsigned long long) t->unknown);
    }

    printf("  denied %llu", (unsigned long long) t->denied);

    for (d = t->reasons; d; d = d->next) {
        printf("%s%s %llu%s", d == t->reasons ? " (" : ", ",
               aiq_ctl_query_text(ctl, d->reason),
               (unsigned long long) d->n, d->next ? "" : ")");
    }

    if (t->calls) {
        printf("  first %s", aiq_ctl_query_when(ctl, t->first_us));
        printf("  last %s", aiq_ctl_query_when(ctl, t->last_us));

    } else {
        printf("  never used");
    }

    printf("  expires %s%s\n", aiq_ctl_time(ctl, t->exp, "unknown"),
           t->revoked ? "  revoked" : "");
}


static json_t *
aiq_ctl_usage_json(aiq_ctl_t *ctl, const aiq_ctl_spent_t *t)
{
    json_t                  *o, *denied;
    const aiq_ctl_denied_t  *d;

    o = json_object();
    denied = json_object();

    for (d = t->reasons; d; d = d->next) {

        /* a key has to be text, whoever wrote the log */

        aiq_ctl_jset(ctl, denied, aiq_ctl_query_text(ctl, d->reason),
                     json_integer((json_int_t) d->n));
    }

    aiq_ctl_jset(ctl, o, "jti", aiq_ctl_jstr(t->jti));
    aiq_ctl_jset(ctl, o, "user", t->user.len ? aiq_ctl_jstr(t->user)
                                             : json_null());
    aiq_ctl_jset(ctl, o, "agent", t->agent.len ? aiq_ctl_jstr(t->agent)
                                               : json_null());
    aiq_ctl_jset(ctl, o, "plan_hash", t->plan.len ? aiq_ctl_jstr(t->plan)
                                                  : json_null());
    aiq_ctl_jset(ctl, o, "expires", t->exp ? json_integer(t->exp)
                                           : json_null());
    aiq_ctl_jset(ctl, o, "revoked", json_boolean(t->revoked));
    aiq_ctl_jset(ctl, o, "steps_used", json_integer(t->steps));
    aiq_ctl_jset(ctl, o, "steps_planned",
                 t->planned ? json_integer(t->planned) : json_null());
    aiq_ctl_jset(ctl, o, "uses", json_integer((json_int_t) t->uses));
    aiq_ctl_jset(ctl, o, "max_uses",
                 t->planned ? json_integer((json_int_t) t->max_uses)
                            : json_null());
    aiq_ctl_jset(ctl, o, "permitted",
                 json_integer((json_int_t) t->permitted));
    aiq_ctl_jset(ctl, o, "unknown", json_integer((json_int_t) t->unknown));
    aiq_ctl_jset(ctl, o, "denied", denied);
    aiq_ctl_jset(ctl, o, "first", t->calls ? json_string(
                 aiq_ctl_query_when(ctl, t->first_us)) : json_null());
    aiq_ctl_jset(ctl, o, "last", t->calls ? json_string(
                 aiq_ctl_query_when(ctl, t->last_us)) : json_null());

    return o;
}
