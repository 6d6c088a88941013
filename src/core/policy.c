
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <arpa/inet.h>
#include <string.h>

#include "policy_rule.h"


#define AIQ_POLICY_DAY    86400

/* the three names a glob is compared with */

typedef struct {
    aiq_str_t      slash;             /* "mcp/tool" */
    aiq_str_t      dot;               /* "mcp.tool" */
    aiq_str_t      tool;
    unsigned char  buf[2][AIQ_NAME_MAX * 2 + 1];
} aiq_policy_subject_t;


static aiq_rc_t aiq_policy_subject(aiq_policy_subject_t *s,
    const aiq_policy_call_t *call);
static aiq_str_t aiq_policy_join(unsigned char *buf, aiq_str_t a, char by,
    aiq_str_t b);
static aiq_rc_t aiq_policy_stored(const aiq_policy_t *policy,
    const aiq_policy_subject_t *s, const aiq_policy_call_t *call);
static aiq_rc_t aiq_policy_judge(const aiq_policy_t *policy,
    const aiq_policy_subject_t *s, const aiq_policy_call_t *call);
static int aiq_policy_concerns(const aiq_policy_t *policy,
    const aiq_policy_call_t *call);
static int aiq_policy_match(const aiq_globs_t *list,
    const aiq_policy_subject_t *s);
static int aiq_policy_source(const aiq_policy_t *policy, aiq_addr_t addr);
static int aiq_policy_in_net(const aiq_net_t *net, const aiq_addr_t *addr);
static aiq_rc_t aiq_policy_time(const aiq_policy_t *policy, int64_t now);
static int aiq_policy_before(const aiq_policy_t *a, aiq_rc_t a_rc,
    const aiq_policy_t *b, aiq_rc_t b_rc);
static void aiq_addr_unmap(aiq_addr_t *addr);


aiq_str_t
aiq_policy_name(const aiq_policy_t *policy)
{
    return policy->name;
}


int
aiq_policy_priority(const aiq_policy_t *policy)
{
    return policy->priority;
}


uint32_t
aiq_policy_rate(const aiq_policy_t *policy)
{
    return policy->rate;
}


aiq_rc_t
aiq_policy_eval(const aiq_policy_t *policy, const aiq_policy_call_t *call)
{
    aiq_rc_t              rc;
    aiq_policy_subject_t  s;

    rc = aiq_policy_subject(&s, call);
    if (rc != AIQ_OK) {
        return rc;
    }

    return aiq_policy_stored(policy, &s, call);
}


aiq_rc_t
aiq_policy_eval_token(const aiq_policy_t *policy,
    const aiq_policy_call_t *call)
{
    aiq_rc_t              rc;
    aiq_policy_subject_t  s;

    rc = aiq_policy_subject(&s, call);
    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_policy_judge(policy, &s, call);

    return (rc == AIQ_DECLINED) ? AIQ_D_POLICY_NOT_ALLOWED : rc;
}


aiq_rc_t
aiq_policy_eval_all(aiq_policy_t *const *policies, unsigned n, int permit,
    const aiq_policy_call_t *call, const aiq_policy_t **which)
{
    unsigned              i;
    aiq_rc_t              rc, best_rc;
    const aiq_policy_t   *best;
    aiq_policy_subject_t  s;

    *which = NULL;

    rc = aiq_policy_subject(&s, call);
    if (rc != AIQ_OK) {
        return rc;
    }

    best = NULL;
    best_rc = AIQ_DECLINED;

    for (i = 0; i < n; i++) {

        if (best != NULL && policies[i]->priority < best->priority) {
            continue;
        }

        rc = aiq_policy_stored(policies[i], &s, call);

        if (rc == AIQ_DECLINED) {
            continue;
        }

        if (aiq_is_fault(rc)) {
            *which = policies[i];
            return rc;
        }

        if (best == NULL || aiq_policy_before(policies[i], rc, best, best_rc))
        {
            best = policies[i];
            best_rc = rc;
        }
    }

    if (best == NULL) {
        return permit ? AIQ_OK : AIQ_D_POLICY_NOT_ALLOWED;
    }

    *which = best;

    return best_rc;
}


/* priority, then denials, then names */

static int
aiq_policy_before(const aiq_policy_t *a, aiq_rc_t a_rc, const aiq_policy_t *b,
    aiq_rc_t b_rc)
{
    int     rc;
    size_t  n;

    if (a->priority != b->priority) {
        return a->priority > b->priority;
    }

    if ((a_rc == AIQ_OK) != (b_rc == AIQ_OK)) {
        return b_rc == AIQ_OK;
    }

    n = (a->name.len < b->name.len) ? a->name.len : b->name.len;
    rc = n ? memcmp(a->name.data, b->name.data, n) : 0;

    return rc ? rc < 0 : a->name.len < b->name.len;
}


/* names that nobody checked are our fault, and match nothing */

static aiq_rc_t
aiq_policy_subject(aiq_policy_subject_t *s, const aiq_policy_call_t *call)
{
    if (call->mcp.len == 0 || call->mcp.len > AIQ_NAME_MAX
        || call->tool.len == 0 || call->tool.len > AIQ_NAME_MAX)
    {
        return AIQ_E_INTERNAL;
    }

    s->slash = aiq_policy_join(s->buf[0], call->mcp, '/', call->tool);
    s->dot = aiq_policy_join(s->buf[1], call->mcp, '.', call->tool);
    s->tool = call->tool;

    return AIQ_OK;
}


static aiq_str_t
aiq_policy_join(unsigned char *buf, aiq_str_t a, char by, aiq_str_t b)
{
    aiq_str_t  s;

    memcpy(buf, a.data, a.len);
    buf[a.len] = (unsigned char) by;
    memcpy(buf + a.len + 1, b.data, b.len);

    s.data = buf;
    s.len = a.len + 1 + b.len;

    return s;
}


static aiq_rc_t
aiq_policy_stored(const aiq_policy_t *policy, const aiq_policy_subject_t *s,
    const aiq_policy_call_t *call)
{
    if (!policy->active || !aiq_policy_concerns(policy, call)) {
        return AIQ_DECLINED;
    }

    return aiq_policy_judge(policy, s, call);
}


static int
aiq_policy_concerns(const aiq_policy_t *policy, const aiq_policy_call_t *call)
{
    switch (policy->target) {

    case AIQ_TARGET_ORG:
        return 1;

    case AIQ_TARGET_AGENT:
        return aiq_str_eq(policy->id, call->agent);

    case AIQ_TARGET_USER:
        return aiq_str_eq(policy->id, call->user);

    case AIQ_TARGET_MCP:
        return aiq_str_eq(policy->id, call->mcp);
    }

    return 0;
}


/* deny, allow, allowed_tools, source, time: the first that has a say */

static aiq_rc_t
aiq_policy_judge(const aiq_policy_t *policy, const aiq_policy_subject_t *s,
    const aiq_policy_call_t *call)
{
    if (aiq_policy_match(&policy->deny, s)) {
        return AIQ_D_POLICY_DENY;
    }

    if (!aiq_policy_match(&policy->allow, s)) {
        return AIQ_DECLINED;
    }

    if (policy->tools.present && !aiq_policy_match(&policy->tools, s)) {
        return AIQ_D_POLICY_TOOL;
    }

    if (policy->has_nets && !aiq_policy_source(policy, call->source)) {
        return AIQ_D_POLICY_SOURCE;
    }

    if (policy->has_hours || policy->has_days) {
        return aiq_policy_time(policy, call->now);
    }

    return AIQ_OK;
}


/*
 * A glob with '/' means server and tool.  Without it, it is compared with
 * "server.tool" and with the tool alone, which is how the SDKs write it.
 */

static int
aiq_policy_match(const aiq_globs_t *list, const aiq_policy_subject_t *s)
{
    uint32_t   i;
    aiq_str_t  glob;

    for (i = 0; i < list->n; i++) {
        glob = list->globs[i];

        if (memchr(glob.data, '/', glob.len) != NULL) {

            if (aiq_glob_match(glob, s->slash)) {
                return 1;
            }

            continue;
        }

        if (aiq_glob_match(glob, s->dot) || aiq_glob_match(glob, s->tool)) {
            return 1;
        }
    }

    return 0;
}


/*
 * Only the last '*' is ever taken back: what an earlier one could match
 * longer, the last one can as well.  So time is glob times text at most.
 */

int
aiq_glob_match(aiq_str_t glob, aiq_str_t s)
{
    size_t  g, i, star, mark;

    g = 0;
    i = 0;
    star = glob.len;
    mark = 0;

    while (i < s.len) {

        if (g < glob.len && glob.data[g] == '*') {
            star = g++;
            mark = i;

        } else if (g < glob.len && glob.data[g] == s.data[i]) {
            g++;
            i++;

        } else if (star < glob.len) {
            g = star + 1;
            i = ++mark;

        } else {
            return 0;
        }
    }

    while (g < glob.len && glob.data[g] == '*') {
        g++;
    }

    return g == glob.len;
}


static int
aiq_policy_source(const aiq_policy_t *policy, aiq_addr_t addr)
{
    uint32_t  i;

    aiq_addr_unmap(&addr);

    for (i = 0; i < policy->nnets; i++) {
        if (aiq_policy_in_net(&policy->nets[i], &addr)) {
            return 1;
        }
    }

    return 0;
}


static int
aiq_policy_in_net(const aiq_net_t *net, const aiq_addr_t *addr)
{
    unsigned  bytes, rest;

    if (net->family != addr->family) {
        return 0;
    }

    bytes = net->bits / 8;
    rest = net->bits % 8;

    if (memcmp(net->addr, addr->addr, bytes) != 0) {
        return 0;
    }

    return rest == 0
           || ((net->addr[bytes] ^ addr->addr[bytes]) >> (8 - rest)) == 0;
}


static aiq_rc_t
aiq_policy_time(const aiq_policy_t *policy, int64_t now)
{
    int       hour, day;
    int32_t   offset;
    int64_t   days;
    aiq_rc_t  rc;

    offset = 0;

    if (now < -AIQ_TIME_MAX || now > AIQ_TIME_MAX) {
        return AIQ_D_POLICY_TIME;
    }

    if (policy->tzif.len) {

        rc = aiq_tz_offset(policy->tzif, now, &offset);

        if (rc != AIQ_OK) {
            return (rc == AIQ_DECLINED) ? AIQ_E_INTERNAL : rc;
        }
    }

    now += offset;

    days = now / AIQ_POLICY_DAY - (now % AIQ_POLICY_DAY < 0);
    hour = (int) ((now - days * AIQ_POLICY_DAY) / 3600);

    /* 1970-01-01 was a Thursday */

    day = (int) (((days + 4) % 7 + 7) % 7);

    if (policy->has_hours && !(policy->hours >> hour & 1)) {
        return AIQ_D_POLICY_TIME;
    }

    if (policy->has_days && !(policy->days >> day & 1)) {
        return AIQ_D_POLICY_TIME;
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_addr_parse(aiq_addr_t *addr, aiq_str_t text)
{
    char  buf[INET6_ADDRSTRLEN];

    memset(addr, 0, sizeof(aiq_addr_t));

    if (text.len == 0 || text.len >= sizeof(buf)
        || memchr(text.data, '\0', text.len) != NULL)
    {
        return AIQ_DECLINED;
    }

    memcpy(buf, text.data, text.len);
    buf[text.len] = '\0';

    if (inet_pton(AF_INET, buf, addr->addr) == 1) {
        addr->family = 4;
        return AIQ_OK;
    }

    memset(addr, 0, sizeof(aiq_addr_t));

    if (inet_pton(AF_INET6, buf, addr->addr) == 1) {
        addr->family = 6;
        aiq_addr_unmap(addr);
        return AIQ_OK;
    }

    memset(addr, 0, sizeof(aiq_addr_t));

    return AIQ_DECLINED;
}


/* ::ffff:192.0.2.1 is how a dual-stack socket spells 192.0.2.1 */

static void
aiq_addr_unmap(aiq_addr_t *addr)
{
    static const unsigned char  mapped[12] = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff
    };

    if (addr->family != 6 || memcmp(addr->addr, mapped, 12) != 0) {
        return;
    }

    addr->family = 4;

    memmove(addr->addr, addr->addr + 12, 4);
    memset(addr->addr + 4, 0, 12);
}
