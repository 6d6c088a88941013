
/*
 * Copyright (C) ngx_armoriq authors
 *
 * From a JSON object to a compiled policy.  Whatever is not understood is
 * refused: a rule that does less than its author thinks is worse than none.
 */


#include <string.h>

#include "policy_rule.h"


#define AIQ_POLICY_SHOWN     64       /* bytes of a member in an error */
#define AIQ_POLICY_ZONE_MAX  64

#define aiq_policy_shown(s)                                                   \
    (int) ((s).len < AIQ_POLICY_SHOWN ? (s).len : AIQ_POLICY_SHOWN),          \
    (const char *) (s).data


typedef struct {
    const aiq_json_t      *doc;
    aiq_policy_t          *policy;
    aiq_mem_t             *mem;
    aiq_err_t             *err;
    aiq_tz_load_pt         load;
    void                  *data;
} aiq_compile_t;

typedef struct aiq_member_s  aiq_member_t;

typedef aiq_rc_t (*aiq_member_pt)(aiq_compile_t *c, const aiq_member_t *m,
    uint32_t i);

struct aiq_member_s {
    const char            *name;
    aiq_member_pt          set;       /* NULL: its value does not matter */
    size_t                 offset;    /* of an aiq_globs_t in the policy */
    unsigned               named:1;   /* only in stored policies */
};


static aiq_rc_t aiq_compile_object(aiq_compile_t *c, uint32_t i,
    const aiq_member_t *members, int named, const char *in);
static aiq_rc_t aiq_compile_check(aiq_compile_t *c, int named);
static aiq_rc_t aiq_compile_name(aiq_compile_t *c, const aiq_member_t *m,
    uint32_t i);
static aiq_rc_t aiq_compile_target(aiq_compile_t *c, const aiq_member_t *m,
    uint32_t i);
static aiq_rc_t aiq_compile_target_type(aiq_compile_t *c,
    const aiq_member_t *m, uint32_t i);
static aiq_rc_t aiq_compile_target_id(aiq_compile_t *c, const aiq_member_t *m,
    uint32_t i);
static aiq_rc_t aiq_compile_status(aiq_compile_t *c, const aiq_member_t *m,
    uint32_t i);
static aiq_rc_t aiq_compile_priority(aiq_compile_t *c, const aiq_member_t *m,
    uint32_t i);
static aiq_rc_t aiq_compile_rate(aiq_compile_t *c, const aiq_member_t *m,
    uint32_t i);
static aiq_rc_t aiq_compile_globs(aiq_compile_t *c, const aiq_member_t *m,
    uint32_t i);
static aiq_rc_t aiq_compile_glob(aiq_compile_t *c, const aiq_member_t *m,
    uint32_t n, uint32_t i, aiq_str_t *glob);
static aiq_rc_t aiq_compile_nets(aiq_compile_t *c, const aiq_member_t *m,
    uint32_t i);
static const char *aiq_compile_net(aiq_net_t *net, aiq_str_t text);
static int aiq_compile_bits(aiq_str_t text, unsigned max, unsigned *bits);
static int aiq_compile_host_bits(const aiq_net_t *net);
static aiq_rc_t aiq_compile_times(aiq_compile_t *c, const aiq_member_t *m,
    uint32_t i);
static aiq_rc_t aiq_compile_hours(aiq_compile_t *c, const aiq_member_t *m,
    uint32_t i);
static aiq_rc_t aiq_compile_days(aiq_compile_t *c, const aiq_member_t *m,
    uint32_t i);
static aiq_rc_t aiq_compile_zone(aiq_compile_t *c, const aiq_member_t *m,
    uint32_t i);
static int aiq_compile_zone_ok(aiq_str_t name);
static aiq_rc_t aiq_compile_list(aiq_compile_t *c, const aiq_member_t *m,
    uint32_t i, uint32_t *n);


static const aiq_member_t  aiq_policy_members[] = {
    { "name", aiq_compile_name, 0, 1 },
    { "target", aiq_compile_target, 0, 1 },
    { "status", aiq_compile_status, 0, 1 },
    { "priority", aiq_compile_priority, 0, 0 },
    { "allow", aiq_compile_globs, offsetof(aiq_policy_t, allow), 0 },
    { "deny", aiq_compile_globs, offsetof(aiq_policy_t, deny), 0 },
    { "allowed_tools", aiq_compile_globs, offsetof(aiq_policy_t, tools), 0 },
    { "rate_limit", aiq_compile_rate, 0, 0 },
    { "ip_whitelist", aiq_compile_nets, 0, 0 },
    { "time_restrictions", aiq_compile_times, 0, 0 },
    { "description", NULL, 0, 0 },
    { "version", NULL, 0, 0 },
    { "metadata", NULL, 0, 0 },
    { NULL, NULL, 0, 0 }
};

static const aiq_member_t  aiq_target_members[] = {
    { "type", aiq_compile_target_type, 0, 0 },
    { "id", aiq_compile_target_id, 0, 0 },
    { NULL, NULL, 0, 0 }
};

static const aiq_member_t  aiq_time_members[] = {
    { "allowed_hours", aiq_compile_hours, 0, 0 },
    { "allowed_days", aiq_compile_days, 0, 0 },
    { "timezone", aiq_compile_zone, 0, 0 },
    { NULL, NULL, 0, 0 }
};


aiq_rc_t
aiq_policy_compile(aiq_policy_t **policy, const aiq_json_t *doc, uint32_t i,
    int named, aiq_tz_load_pt load, void *data, aiq_mem_t *mem,
    aiq_err_t *err)
{
    aiq_rc_t        rc;
    aiq_compile_t   c;
    unsigned char  *pos;

    *policy = NULL;
    pos = mem->pos;

    c.doc = doc;
    c.mem = mem;
    c.err = err;
    c.load = load;
    c.data = data;
    c.policy = aiq_mem_calloc(mem, sizeof(aiq_policy_t));

    if (c.policy == NULL) {
        return AIQ_E_NO_MEMORY;
    }

    c.policy->active = 1;

    rc = aiq_compile_object(&c, i, aiq_policy_members, named, "");

    if (rc == AIQ_OK) {
        rc = aiq_compile_check(&c, named);
    }

    if (rc != AIQ_OK) {
        mem->pos = pos;
        return rc;
    }

    *policy = c.policy;

    return AIQ_OK;
}


/* in: "", or the member that the object is, with a dot behind it */

static aiq_rc_t
aiq_compile_object(aiq_compile_t *c, uint32_t i, const aiq_member_t *members,
    int named, const char *in)
{
    uint32_t             k;
    aiq_rc_t             rc;
    aiq_str_t            key;
    const aiq_member_t  *m;

    if (aiq_json_type(c->doc, i) != AIQ_JSON_OBJECT) {
        return aiq_fail(c->err, AIQ_D_POLICY_INVALID, "%s%snot an object", in,
                        *in ? ": " : "the policy is ");
    }

    for (k = aiq_json_first(c->doc, i);
         k != AIQ_JSON_NONE;
         k = aiq_json_next(c->doc, i, k))
    {
        for (m = members; m->name != NULL; m++) {
            if (aiq_json_is(c->doc, k, m->name) && (named || !m->named)) {
                break;
            }
        }

        if (m->name == NULL) {
            key = aiq_json_raw(c->doc, k);

            return aiq_fail(c->err, AIQ_D_POLICY_INVALID,
                            "%s%sunknown member %.*s", in, *in ? ": " : "",
                            aiq_policy_shown(key));
        }

        if (m->set == NULL) {
            continue;
        }

        rc = m->set(c, m, k + 1);
        if (rc != AIQ_OK) {
            return rc;
        }
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_compile_check(aiq_compile_t *c, int named)
{
    const char    *idle;
    aiq_policy_t  *p;

    static const aiq_str_t  all = aiq_string("*");

    p = c->policy;

    if (!named) {

        /* a token that names no actions is bound by its plan alone */

        if (!p->allow.present) {
            p->allow.globs = &all;
            p->allow.n = 1;
        }

        return AIQ_OK;
    }

    if (p->name.len == 0) {
        return aiq_fail(c->err, AIQ_D_POLICY_INVALID,
                        "missing required member \"name\"");
    }

    if (p->allow.n) {
        return AIQ_OK;
    }

    /* conditions of a permission that is never given */

    idle = p->tools.present ? "allowed_tools"
           : p->has_nets ? "ip_whitelist"
           : (p->has_hours || p->has_days) ? "time_restrictions"
           : p->rate ? "rate_limit" : NULL;

    if (idle != NULL) {
        return aiq_fail(c->err, AIQ_D_POLICY_INVALID,
                        "%s: has no effect without \"allow\"", idle);
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_compile_name(aiq_compile_t *c, const aiq_member_t *m, uint32_t i)
{
    aiq_rc_t   rc;
    aiq_str_t  s;

    rc = aiq_json_string(c->doc, i, c->mem, &s);

    if (rc == AIQ_DECLINED || (rc == AIQ_OK && !aiq_name_ok(s))) {
        return aiq_fail(c->err, AIQ_D_POLICY_INVALID,
                        "%s: not a string of 1 to %d bytes without controls",
                        m->name, AIQ_NAME_MAX);
    }

    if (rc != AIQ_OK) {
        return rc;
    }

    return aiq_mem_dup(c->mem, s, &c->policy->name);
}


static aiq_rc_t
aiq_compile_target(aiq_compile_t *c, const aiq_member_t *m, uint32_t i)
{
    aiq_rc_t  rc;

    rc = aiq_compile_object(c, i, aiq_target_members, 1, "target");
    if (rc != AIQ_OK) {
        return rc;
    }

    if (aiq_json_get(c->doc, i, "type") == AIQ_JSON_NONE) {
        return aiq_fail(c->err, AIQ_D_POLICY_INVALID,
                        "target: missing required member \"type\"");
    }

    if (c->policy->target != AIQ_TARGET_ORG && c->policy->id.len == 0) {
        return aiq_fail(c->err, AIQ_D_POLICY_INVALID,
                        "target: missing required member \"id\"");
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_compile_target_type(aiq_compile_t *c, const aiq_member_t *m, uint32_t i)
{
    unsigned  k;

    static const struct {
        const char    *name;
        aiq_target_e   target;
    } types[] = {
        { "org", AIQ_TARGET_ORG },
        { "agent", AIQ_TARGET_AGENT },
        { "user", AIQ_TARGET_USER },
        { "mcp", AIQ_TARGET_MCP }
    };

    for (k = 0; k < sizeof(types) / sizeof(types[0]); k++) {
        if (aiq_json_is(c->doc, i, types[k].name)) {
            c->policy->target = types[k].target;
            return AIQ_OK;
        }
    }

    return aiq_fail(c->err, AIQ_D_POLICY_INVALID,
                    "target.type: not \"org\", \"agent\", \"user\" or "
                    "\"mcp\"");
}


static aiq_rc_t
aiq_compile_target_id(aiq_compile_t *c, const aiq_member_t *m, uint32_t i)
{
    aiq_rc_t   rc;
    aiq_str_t  s;

    rc = aiq_json_string(c->doc, i, c->mem, &s);

    if (rc == AIQ_DECLINED || (rc == AIQ_OK && !aiq_name_ok(s))) {
        return aiq_fail(c->err, AIQ_D_POLICY_INVALID,
                        "target.id: not a string of 1 to %d bytes without "
                        "controls", AIQ_NAME_MAX);
    }

    if (rc != AIQ_OK) {
        return rc;
    }

    return aiq_mem_dup(c->mem, s, &c->policy->id);
}


static aiq_rc_t
aiq_compile_status(aiq_compile_t *c, const aiq_member_t *m, uint32_t i)
{
    if (aiq_json_is(c->doc, i, "active")) {
        return AIQ_OK;
    }

    if (aiq_json_is(c->doc, i, "inactive") || aiq_json_is(c->doc, i, "draft"))
    {
        c->policy->active = 0;
        return AIQ_OK;
    }

    return aiq_fail(c->err, AIQ_D_POLICY_INVALID,
                    "status: not \"active\", \"inactive\" or \"draft\"");
}


static aiq_rc_t
aiq_compile_priority(aiq_compile_t *c, const aiq_member_t *m, uint32_t i)
{
    int64_t  v;

    if (aiq_json_int(c->doc, i, &v) != AIQ_OK || v < 0 || v > 100) {
        return aiq_fail(c->err, AIQ_D_POLICY_INVALID,
                        "priority: not an integer from 0 to 100");
    }

    c->policy->priority = (int) v;

    return AIQ_OK;
}


static aiq_rc_t
aiq_compile_rate(aiq_compile_t *c, const aiq_member_t *m, uint32_t i)
{
    int64_t  v;

    if (aiq_json_int(c->doc, i, &v) != AIQ_OK || v < 1 || v > 1000000000) {
        return aiq_fail(c->err, AIQ_D_POLICY_INVALID,
                        "rate_limit: not an integer from 1 to 1000000000");
    }

    c->policy->rate = (uint32_t) v;

    return AIQ_OK;
}


static aiq_rc_t
aiq_compile_globs(aiq_compile_t *c, const aiq_member_t *m, uint32_t i)
{
    uint32_t      k, n;
    aiq_rc_t      rc;
    aiq_str_t    *globs;
    aiq_globs_t  *list;

    list = (aiq_globs_t *) ((unsigned char *) c->policy + m->offset);

    rc = aiq_compile_list(c, m, i, &n);
    if (rc != AIQ_OK) {
        return rc;
    }

    globs = aiq_mem_calloc(c->mem, n * sizeof(aiq_str_t));

    if (globs == NULL) {
        return AIQ_E_NO_MEMORY;
    }

    list->present = 1;
    list->globs = globs;

    for (k = aiq_json_first(c->doc, i);
         k != AIQ_JSON_NONE;
         k = aiq_json_next(c->doc, i, k))
    {
        rc = aiq_compile_glob(c, m, list->n, k, &globs[list->n]);
        if (rc != AIQ_OK) {
            return rc;
        }

        list->n++;
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_compile_glob(aiq_compile_t *c, const aiq_member_t *m, uint32_t n,
    uint32_t i, aiq_str_t *glob)
{
    aiq_rc_t   rc;
    aiq_str_t  s;

    rc = aiq_json_string(c->doc, i, c->mem, &s);

    if (rc == AIQ_DECLINED
        || (rc == AIQ_OK && (s.len > AIQ_GLOB_MAX || !aiq_name_ok(s))))
    {
        return aiq_fail(c->err, AIQ_D_POLICY_INVALID,
                        "%s[%u]: not a string of 1 to %d bytes without "
                        "controls", m->name, (unsigned) n, AIQ_GLOB_MAX);
    }

    if (rc != AIQ_OK) {
        return rc;
    }

    /* elsewhere these are wildcards; taken literally they would match less */

    if (memchr(s.data, '?', s.len) != NULL
        || memchr(s.data, '[', s.len) != NULL)
    {
        return aiq_fail(c->err, AIQ_D_POLICY_INVALID,
                        "%s[%u]: the only wildcard is \"*\", and \"?\" and "
                        "\"[\" are not accepted", m->name, (unsigned) n);
    }

    return aiq_mem_dup(c->mem, s, glob);
}


static aiq_rc_t
aiq_compile_nets(aiq_compile_t *c, const aiq_member_t *m, uint32_t i)
{
    uint32_t       k, n;
    aiq_rc_t       rc;
    aiq_str_t      s;
    const char    *why;
    aiq_policy_t  *p;

    p = c->policy;

    rc = aiq_compile_list(c, m, i, &n);
    if (rc != AIQ_OK) {
        return rc;
    }

    p->has_nets = 1;
    p->nets = aiq_mem_calloc(c->mem, n * sizeof(aiq_net_t));

    if (p->nets == NULL) {
        return AIQ_E_NO_MEMORY;
    }

    for (k = aiq_json_first(c->doc, i);
         k != AIQ_JSON_NONE;
         k = aiq_json_next(c->doc, i, k))
    {
        rc = aiq_json_string(c->doc, k, c->mem, &s);

        if (rc != AIQ_OK && rc != AIQ_DECLINED) {
            return rc;
        }

        why = (rc == AIQ_OK) ? aiq_compile_net(&p->nets[p->nnets], s)
                             : "not a string";

        if (why != NULL) {
            return aiq_fail(c->err, AIQ_D_POLICY_INVALID, "%s[%u]: %s",
                            m->name, (unsigned) p->nnets, why);
        }

        p->nnets++;
    }

    return AIQ_OK;
}


/* what is wrong, or NULL */

static const char *
aiq_compile_net(aiq_net_t *net, aiq_str_t text)
{
    unsigned              max, mapped;
    aiq_str_t             address, bits;
    aiq_addr_t            addr;
    const unsigned char  *slash;

    address = text;
    aiq_str_null(&bits);

    slash = text.len ? memchr(text.data, '/', text.len) : NULL;

    if (slash != NULL) {
        address.len = (size_t) (slash - text.data);
        bits.data = slash + 1;
        bits.len = text.len - address.len - 1;
    }

    if (aiq_addr_parse(&addr, address) != AIQ_OK) {
        return "not an IP address or CIDR";
    }

    net->family = addr.family;
    memcpy(net->addr, addr.addr, sizeof(net->addr));

    max = (addr.family == 4) ? 32 : 128;

    /* ::ffff:192.0.2.0/120 is 192.0.2.0/24 */

    mapped = (addr.family == 4
              && memchr(address.data, ':', address.len) != NULL) ? 96 : 0;

    net->bits = max;

    if (slash != NULL) {

        if (!aiq_compile_bits(bits, max + mapped, &net->bits)
            || net->bits < mapped)
        {
            return "the prefix length is not a number in range";
        }

        net->bits -= mapped;
    }

    if (aiq_compile_host_bits(net)) {
        return "bits are set behind the prefix";
    }

    return NULL;
}


/* a decimal number without sign and leading zeros */

static int
aiq_compile_bits(aiq_str_t text, unsigned max, unsigned *bits)
{
    size_t    i;
    unsigned  v;

    if (text.len == 0 || text.len > 3
        || (text.len > 1 && text.data[0] == '0'))
    {
        return 0;
    }

    v = 0;

    for (i = 0; i < text.len; i++) {

        if (text.data[i] < '0' || text.data[i] > '9') {
            return 0;
        }

        v = v * 10 + (unsigned) (text.data[i] - '0');
    }

    *bits = v;

    return v <= max;
}


static int
aiq_compile_host_bits(const aiq_net_t *net)
{
    unsigned  i, max;

    max = (net->family == 4) ? 32 : 128;

    for (i = net->bits; i < max; i++) {
        if (net->addr[i / 8] >> (7 - i % 8) & 1) {
            return 1;
        }
    }

    return 0;
}


static aiq_rc_t
aiq_compile_times(aiq_compile_t *c, const aiq_member_t *m, uint32_t i)
{
    return aiq_compile_object(c, i, aiq_time_members, 1, "time_restrictions");
}


static aiq_rc_t
aiq_compile_hours(aiq_compile_t *c, const aiq_member_t *m, uint32_t i)
{
    int64_t   v;
    uint32_t  k, n;
    aiq_rc_t  rc;

    rc = aiq_compile_list(c, m, i, &n);
    if (rc != AIQ_OK) {
        return rc;
    }

    c->policy->has_hours = 1;
    n = 0;

    for (k = aiq_json_first(c->doc, i);
         k != AIQ_JSON_NONE;
         k = aiq_json_next(c->doc, i, k), n++)
    {
        if (aiq_json_int(c->doc, k, &v) != AIQ_OK || v < 0 || v > 23) {
            return aiq_fail(c->err, AIQ_D_POLICY_INVALID,
                            "%s[%u]: not an integer from 0 to 23", m->name,
                            (unsigned) n);
        }

        c->policy->hours |= 1U << v;
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_compile_days(aiq_compile_t *c, const aiq_member_t *m, uint32_t i)
{
    uint32_t  k, n, d;
    aiq_rc_t  rc;

    static const char  *days[] = {
        "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday",
        "Saturday"
    };

    rc = aiq_compile_list(c, m, i, &n);
    if (rc != AIQ_OK) {
        return rc;
    }

    c->policy->has_days = 1;
    n = 0;

    for (k = aiq_json_first(c->doc, i);
         k != AIQ_JSON_NONE;
         k = aiq_json_next(c->doc, i, k), n++)
    {
        for (d = 0; d < 7; d++) {
            if (aiq_json_is(c->doc, k, days[d])) {
                break;
            }
        }

        if (d == 7) {
            return aiq_fail(c->err, AIQ_D_POLICY_INVALID,
                            "%s[%u]: not a day from \"Monday\" to \"Sunday\"",
                            m->name, (unsigned) n);
        }

        c->policy->days |= 1U << d;
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_compile_zone(aiq_compile_t *c, const aiq_member_t *m, uint32_t i)
{
    int32_t    offset;
    aiq_rc_t   rc;
    aiq_str_t  s, tzif;

    rc = aiq_json_string(c->doc, i, c->mem, &s);

    if (rc == AIQ_DECLINED || (rc == AIQ_OK && !aiq_compile_zone_ok(s))) {
        return aiq_fail(c->err, AIQ_D_POLICY_INVALID,
                        "%s: not the name of a time zone", m->name);
    }

    if (rc != AIQ_OK || aiq_str_is(s, "UTC")) {
        return rc;
    }

    rc = (c->load != NULL) ? c->load(c->data, s, c->mem, &tzif) : AIQ_DECLINED;

    if (rc == AIQ_DECLINED) {
        return aiq_fail(c->err, AIQ_D_POLICY_INVALID,
                        "%s: this time zone is not known here", m->name);
    }

    if (rc != AIQ_OK) {
        return rc;
    }

    /* both what the file says and the rule for what comes behind it */

    if (tzif.len == 0
        || aiq_tz_offset(tzif, 0, &offset) != AIQ_OK
        || aiq_tz_offset(tzif, AIQ_TIME_MAX, &offset) != AIQ_OK)
    {
        return aiq_fail(c->err, AIQ_D_POLICY_INVALID,
                        "%s: the data of this time zone is damaged", m->name);
    }

    c->policy->tzif = tzif;

    return AIQ_OK;
}


/* a name that is safe as a path below the zone directory */

static int
aiq_compile_zone_ok(aiq_str_t name)
{
    size_t         i;
    unsigned char  ch, prev;

    if (name.len == 0 || name.len > AIQ_POLICY_ZONE_MAX) {
        return 0;
    }

    prev = '/';

    for (i = 0; i < name.len; i++) {

        ch = name.data[i];

        if (ch == '/' && prev == '/') {
            return 0;
        }

        if (!((ch | 0x20) >= 'a' && (ch | 0x20) <= 'z')
            && !(ch >= '0' && ch <= '9')
            && ch != '_' && ch != '-' && ch != '+' && ch != '/')
        {
            return 0;
        }

        prev = ch;
    }

    return prev != '/';
}


static aiq_rc_t
aiq_compile_list(aiq_compile_t *c, const aiq_member_t *m, uint32_t i,
    uint32_t *n)
{
    if (aiq_json_type(c->doc, i) != AIQ_JSON_ARRAY) {
        return aiq_fail(c->err, AIQ_D_POLICY_INVALID, "%s: not an array",
                        m->name);
    }

    *n = c->doc->tok[i].n;

    if (*n > AIQ_POLICY_LIST_MAX) {
        return aiq_fail(c->err, AIQ_D_POLICY_INVALID,
                        "%s: more than %d entries", m->name,
                        AIQ_POLICY_LIST_MAX);
    }

    return AIQ_OK;
}
