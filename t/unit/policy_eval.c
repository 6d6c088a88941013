
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What policies decide: who, what, from where and when.
 */


#include "policy_test.h"


typedef struct {
    const char      *policy;
    const char      *mcp;
    const char      *tool;
    aiq_rc_t         rc;
} eval_case_t;


static void test_eval(void);
static void test_eval_token(void);
static void test_targets(void);
static void test_source(void);
static void test_time(void);
static void test_zone(void);
static void test_eval_all(void);
static void test_order(void);
static void test_docs(void);


static void
test_eval(void)
{
    unsigned           i;
    aiq_rc_t           rc;
    aiq_policy_t      *p;
    aiq_policy_call_t  call;

#define P  "{\"name\":\"p\","

    static const eval_case_t  cases[] = {

        { P "\"allow\":[\"*\"]}", "fs", "read", AIQ_OK },
        { P "\"deny\":[\"*\"]}", "fs", "read", AIQ_D_POLICY_DENY },
        { P "\"deny\":[\"fs/write\"]}", "fs", "read", AIQ_DECLINED },
        { P "\"allow\":[],\"deny\":[]}", "fs", "read", AIQ_DECLINED },
        { P "\"status\":\"draft\",\"deny\":[\"*\"]}", "fs", "read",
          AIQ_DECLINED },
        { P "\"status\":\"inactive\",\"deny\":[\"*\"]}", "fs", "read",
          AIQ_DECLINED },

        /* deny first */

        { P "\"allow\":[\"*\"],\"deny\":[\"fs/read\"]}", "fs", "read",
          AIQ_D_POLICY_DENY },
        { P "\"allow\":[\"fs/read\"],\"deny\":[\"*\"]}", "fs", "read",
          AIQ_D_POLICY_DENY },

        /* "mcp/tool" */

        { P "\"allow\":[\"fs/read\"]}", "fs", "read", AIQ_OK },
        { P "\"allow\":[\"fs/read\"]}", "fs", "read2", AIQ_DECLINED },
        { P "\"allow\":[\"fs/read\"]}", "fs2", "read", AIQ_DECLINED },
        { P "\"allow\":[\"FS/read\"]}", "fs", "read", AIQ_DECLINED },
        { P "\"allow\":[\"*/read\"]}", "any", "read", AIQ_OK },
        { P "\"allow\":[\"*/read\"]}", "any", "readx", AIQ_DECLINED },
        { P "\"allow\":[\"fs/*\"]}", "fs", "a.b/c", AIQ_OK },

        /* "server.tool" and the tool alone */

        { P "\"allow\":[\"fs.read\"]}", "fs", "read", AIQ_OK },
        { P "\"allow\":[\"fs.*\"]}", "fs", "read", AIQ_OK },
        { P "\"allow\":[\"fs.*\"]}", "fsx", "read", AIQ_DECLINED },
        { P "\"allow\":[\"infra.*\"]}", "infra-mcp", "infra.restart", AIQ_OK },
        { P "\"allow\":[\"infra.restart\"]}", "x", "infra.restart", AIQ_OK },
        { P "\"allow\":[\"read*\"]}", "fs", "read_file", AIQ_OK },
        { P "\"allow\":[\"read*\"]}", "fs", "write", AIQ_DECLINED },
        { P "\"deny\":[\"infra.restart\"]}", "infra-mcp", "infra.restart",
          AIQ_D_POLICY_DENY },
        { P "\"deny\":[\"infra-mcp.infra.restart\"]}", "infra-mcp",
          "infra.restart", AIQ_D_POLICY_DENY },
        { P "\"deny\":[\"infra-mcp/infra.restart\"]}", "infra-mcp",
          "infra.restart", AIQ_D_POLICY_DENY },

        /* a glob with '/' is never compared with the tool alone */

        { P "\"allow\":[\"a/b\"]}", "m", "a/b", AIQ_DECLINED },
        { P "\"allow\":[\"m/a/b\"]}", "m", "a/b", AIQ_OK },

        /* allowed_tools */

        { P "\"allow\":[\"*\"],\"allowed_tools\":[\"read\"]}", "fs", "read",
          AIQ_OK },
        { P "\"allow\":[\"*\"],\"allowed_tools\":[\"read\"]}", "fs", "write",
          AIQ_D_POLICY_TOOL },
        { P "\"allow\":[\"*\"],\"allowed_tools\":[\"fs/re*\"]}", "fs", "read",
          AIQ_OK },
        { P "\"allow\":[\"*\"],\"allowed_tools\":[]}", "fs", "read",
          AIQ_D_POLICY_TOOL },
        { P "\"allow\":[\"x/*\"],\"allowed_tools\":[]}", "fs", "read",
          AIQ_DECLINED },

        /* the order of what denies */

        { P "\"allow\":[\"*\"],\"allowed_tools\":[],\"ip_whitelist\":[],"
          "\"time_restrictions\":{\"allowed_hours\":[]}}", "fs", "read",
          AIQ_D_POLICY_TOOL },
        { P "\"allow\":[\"*\"],\"ip_whitelist\":[],"
          "\"time_restrictions\":{\"allowed_hours\":[]}}", "fs", "read",
          AIQ_D_POLICY_SOURCE },
        { P "\"allow\":[\"*\"],"
          "\"time_restrictions\":{\"allowed_hours\":[]}}", "fs", "read",
          AIQ_D_POLICY_TIME },
        { P "\"allow\":[\"*\"],"
          "\"time_restrictions\":{\"allowed_days\":[]}}", "fs", "read",
          AIQ_D_POLICY_TIME },
        { P "\"allow\":[\"*\"],\"time_restrictions\":{}}", "fs", "read",
          AIQ_OK },
    };

#undef P

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {

        reset();
        p = compile(cases[i].policy, 1);
        call = call_to(cases[i].mcp, cases[i].tool);
        rc = p ? aiq_policy_eval(p, &call) : AIQ_E_INTERNAL;

        if (!ok(rc == cases[i].rc, "%s to %s/%s", cases[i].policy,
                cases[i].mcp, cases[i].tool))
        {
            diag("%s, not %s", aiq_reason(rc), aiq_reason(cases[i].rc));
        }
    }
}


static void
test_eval_token(void)
{
    unsigned           i;
    aiq_rc_t           rc;
    aiq_policy_t      *p;
    aiq_policy_call_t  call;

    static const eval_case_t  cases[] = {
        { "{}", "fs", "read", AIQ_OK },
        { "{\"deny\":[]}", "fs", "read", AIQ_OK },
        { "{\"deny\":[\"fs/*\"]}", "fs", "read", AIQ_D_POLICY_DENY },
        { "{\"deny\":[\"x/*\"]}", "fs", "read", AIQ_OK },
        { "{\"allow\":[]}", "fs", "read", AIQ_D_POLICY_NOT_ALLOWED },
        { "{\"allow\":[\"*\"],\"deny\":[]}", "fs", "read", AIQ_OK },
        { "{\"allow\":[\"fs/write\"]}", "fs", "read",
          AIQ_D_POLICY_NOT_ALLOWED },
        { "{\"allowed_tools\":[\"write\"]}", "fs", "read",
          AIQ_D_POLICY_TOOL },
        { "{\"ip_whitelist\":[\"198.51.100.0/24\"]}", "fs", "read",
          AIQ_D_POLICY_SOURCE },
        { "{\"time_restrictions\":{\"allowed_days\":[\"Monday\"]}}", "fs",
          "read", AIQ_D_POLICY_TIME },
        { "{\"rate_limit\":5}", "fs", "read", AIQ_OK },
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {

        reset();
        p = compile(cases[i].policy, 0);
        call = call_to(cases[i].mcp, cases[i].tool);
        rc = p ? aiq_policy_eval_token(p, &call) : AIQ_E_INTERNAL;

        ok(rc == cases[i].rc, "token: %s: %s", cases[i].policy,
           aiq_reason(rc));
    }
}


static void
test_targets(void)
{
    char               text[512];
    unsigned           i;
    aiq_policy_t      *p;
    aiq_policy_call_t  call;

    static const struct {
        const char  *target;
        aiq_rc_t     rc;
    } cases[] = {
        { "{\"type\":\"org\"}", AIQ_D_POLICY_DENY },
        { "{\"type\":\"org\",\"id\":\"acme\"}", AIQ_D_POLICY_DENY },
        { "{\"type\":\"user\",\"id\":\"alice\"}", AIQ_D_POLICY_DENY },
        { "{\"type\":\"user\",\"id\":\"Alice\"}", AIQ_DECLINED },
        { "{\"type\":\"user\",\"id\":\"sysadmin\"}", AIQ_DECLINED },
        { "{\"type\":\"agent\",\"id\":\"sysadmin\"}", AIQ_D_POLICY_DENY },
        { "{\"type\":\"agent\",\"id\":\"alice\"}", AIQ_DECLINED },
        { "{\"type\":\"mcp\",\"id\":\"fs\"}", AIQ_D_POLICY_DENY },
        { "{\"type\":\"mcp\",\"id\":\"f\"}", AIQ_DECLINED },
        { "{\"type\":\"mcp\",\"id\":\"*\"}", AIQ_DECLINED },
    };

    call = call_to("fs", "read");

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        reset();
        sprintf(text, "{\"name\":\"p\",\"deny\":[\"*\"],\"target\":%s}",
                cases[i].target);
        p = compile(text, 1);
        ok(p && aiq_policy_eval(p, &call) == cases[i].rc, "target %s",
           cases[i].target);
    }

    reset();
    p = compile("{\"name\":\"p\",\"deny\":[\"*\"],\"target\":"
                "{\"type\":\"agent\",\"id\":\"a\"}}", 1);
    aiq_str_null(&call.agent);
    ok(p && aiq_policy_eval(p, &call) == AIQ_DECLINED,
       "a call without agent is no agent's");
}


static void
test_source(void)
{
    char               text[512];
    unsigned           i;
    aiq_rc_t           rc;
    aiq_policy_t      *p;
    aiq_policy_call_t  call;

    static const struct {
        const char  *list;
        const char  *source;
        int          allowed;
    } cases[] = {
        { "\"192.0.2.0/24\"", "192.0.2.0", 1 },
        { "\"192.0.2.0/24\"", "192.0.2.255", 1 },
        { "\"192.0.2.0/24\"", "192.0.3.0", 0 },
        { "\"192.0.2.0/24\"", "192.0.1.255", 0 },
        { "\"192.0.2.0/24\"", "::ffff:192.0.2.9", 1 },
        { "\"192.0.2.7\"", "192.0.2.7", 1 },
        { "\"192.0.2.7\"", "192.0.2.6", 0 },
        { "\"192.0.2.8/29\"", "192.0.2.15", 1 },
        { "\"192.0.2.8/29\"", "192.0.2.16", 0 },
        { "\"192.0.2.8/29\"", "192.0.2.7", 0 },
        { "\"192.0.2.6/31\"", "192.0.2.7", 1 },
        { "\"128.0.0.0/1\"", "200.0.0.1", 1 },
        { "\"128.0.0.0/1\"", "127.255.255.255", 0 },
        { "\"0.0.0.0/0\"", "203.0.113.9", 1 },
        { "\"0.0.0.0/0\"", "2001:db8::1", 0 },
        { "\"::/0\"", "2001:db8::1", 1 },
        { "\"::/0\"", "192.0.2.1", 0 },
        { "\"::ffff:192.0.2.0/120\"", "192.0.2.77", 1 },
        { "\"::ffff:192.0.2.0/120\"", "192.0.3.77", 0 },
        { "\"2001:db8::/32\"", "2001:db8:ffff::1", 1 },
        { "\"2001:db8::/32\"", "2001:db9::1", 0 },
        { "\"2001:db8::/33\"", "2001:db8:8000::1", 0 },
        { "\"2001:db8::/33\"", "2001:db8:7fff::1", 1 },
        { "\"2001:db8::1\"", "2001:db8::1", 1 },
        { "\"2001:db8::1\"", "2001:db8::2", 0 },
        { "\"198.51.100.1\",\"192.0.2.0/24\"", "192.0.2.1", 1 },
        { "", "192.0.2.1", 0 },
    };

    call = call_to("fs", "read");

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        reset();
        sprintf(text, "{\"ip_whitelist\":[%s]}", cases[i].list);
        p = compile(text, 0);
        (void) aiq_addr_parse(&call.source, aiq_cstr(cases[i].source));
        rc = p ? aiq_policy_eval_token(p, &call) : AIQ_E_INTERNAL;
        ok(rc == (cases[i].allowed ? AIQ_OK : AIQ_D_POLICY_SOURCE),
           "[%s] and %s", cases[i].list, cases[i].source);
    }

    reset();
    p = compile("{\"ip_whitelist\":[\"0.0.0.0/0\",\"::/0\"]}", 0);
    memset(&call.source, 0, sizeof(call.source));
    ok(p && aiq_policy_eval_token(p, &call) == AIQ_D_POLICY_SOURCE,
       "an unknown source is in no network");

    p = compile("{}", 0);
    ok(p && aiq_policy_eval_token(p, &call) == AIQ_OK,
       "and does not matter without a list");

    /* a mapped address that was not unmapped before */

    p = compile("{\"ip_whitelist\":[\"192.0.2.0/24\"]}", 0);
    call.source.family = 6;
    memset(call.source.addr, 0, 16);
    memset(call.source.addr + 10, 0xff, 2);
    call.source.addr[12] = 192;
    call.source.addr[14] = 2;
    call.source.addr[15] = 3;
    ok(p && aiq_policy_eval_token(p, &call) == AIQ_OK,
       "::ffff:192.0.2.3 is 192.0.2.3");
}


static void
test_time(void)
{
    unsigned           i;
    aiq_rc_t           rc;
    aiq_policy_t      *p;
    aiq_policy_call_t  call;

#define T(s)  "{\"time_restrictions\":{" s "}}"

    static const struct {
        const char  *policy;
        int64_t      now;
        int          allowed;
    } cases[] = {

        /* UTC */

        { T("\"allowed_hours\":[12]"), NOON, 1 },
        { T("\"allowed_hours\":[12]"), NOON + HOUR - 1, 1 },
        { T("\"allowed_hours\":[12]"), NOON + HOUR, 0 },
        { T("\"allowed_hours\":[12]"), NOON - 1, 0 },
        { T("\"allowed_hours\":[12],\"timezone\":\"UTC\""), NOON, 1 },
        { T("\"allowed_hours\":[0,23]"), NOON + 12 * HOUR - 1, 1 },
        { T("\"allowed_hours\":[0,23]"), NOON + 12 * HOUR, 1 },
        { T("\"allowed_hours\":[0,23]"), NOON + 13 * HOUR, 0 },
        { T("\"allowed_days\":[\"Wednesday\"]"), NOON, 1 },
        { T("\"allowed_days\":[\"Wednesday\"]"), NOON + 12 * HOUR - 1, 1 },
        { T("\"allowed_days\":[\"Wednesday\"]"), NOON + 12 * HOUR, 0 },
        { T("\"allowed_days\":[\"Thursday\"]"), NOON + 12 * HOUR, 1 },
        { T("\"allowed_days\":[\"Sunday\"]"), NOON + 4 * DAY, 1 },
        { T("\"allowed_days\":[\"Saturday\"]"), NOON + 3 * DAY, 1 },
        { T("\"allowed_days\":[\"Wednesday\"],\"allowed_hours\":[12]"), NOON,
          1 },
        { T("\"allowed_days\":[\"Wednesday\"],\"allowed_hours\":[11]"), NOON,
          0 },
        { T("\"allowed_days\":[\"Monday\"],\"allowed_hours\":[12]"), NOON,
          0 },
        { T("\"allowed_days\":[\"Thursday\"],\"allowed_hours\":[0]"), 0, 1 },
        { T("\"allowed_days\":[\"Wednesday\"],\"allowed_hours\":[23]"), -1,
          1 },
        { T("\"allowed_hours\":[12]"), INT64_MAX, 0 },
        { T("\"allowed_hours\":[12]"), INT64_MIN, 0 },
        { T("\"allowed_hours\":[23]"), AIQ_TIME_MAX, 1 },

        /* three hours east in July, two in January */

        { T("\"allowed_hours\":[15],\"timezone\":\"Test/Zone\""), NOON, 1 },
        { T("\"allowed_hours\":[14],\"timezone\":\"Test/Zone\""), NOON, 0 },
        { T("\"timezone\":\"Test/Zone\",\"allowed_hours\":[14]"),
          NOON - 181 * DAY, 1 },
        { T("\"allowed_days\":[\"Thursday\"],\"timezone\":\"Test/Zone\""),
          NOON + 9 * HOUR, 1 },
        { T("\"allowed_days\":[\"Thursday\"],\"timezone\":\"Test/Zone\""),
          NOON + 9 * HOUR - 1, 0 },

        /* nine and a half hours west */

        { T("\"allowed_hours\":[2],\"timezone\":\"Test/West\""), NOON, 1 },
        { T("\"allowed_hours\":[2],\"timezone\":\"Test/West\""),
          NOON + HOUR / 2, 0 },
        { T("\"allowed_days\":[\"Tuesday\"],\"timezone\":\"Test/West\""),
          NOON - 5 * HOUR, 1 },
    };

#undef T

    call = call_to("fs", "read");

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        reset();
        p = compile(cases[i].policy, 0);
        call.now = cases[i].now;
        rc = p ? aiq_policy_eval_token(p, &call) : AIQ_E_INTERNAL;
        ok(rc == (cases[i].allowed ? AIQ_OK : AIQ_D_POLICY_TIME),
           "%s at %lld", cases[i].policy, (long long) cases[i].now);
    }
}


/* every hour of two years: the hour and the day of the zone, not of UTC */

static void
test_zone(void)
{
    int64_t            t, local;
    unsigned           bad, h, d;
    char               text[256];
    int32_t            offset;
    aiq_str_t          tzif;
    aiq_policy_t      *p[24], *q[7];
    aiq_policy_call_t  call;

    static const char  *days[] = {
        "Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday",
        "Wednesday"
    };

    reset();

    for (h = 0; h < 24; h++) {
        sprintf(text, "{\"time_restrictions\":{\"allowed_hours\":[%u],"
                "\"timezone\":\"Test/Zone\"}}", h);
        p[h] = compile(text, 0);
    }

    for (d = 0; d < 7; d++) {
        sprintf(text, "{\"time_restrictions\":{\"allowed_days\":[\"%s\"],"
                "\"timezone\":\"Test/Zone\"}}", days[d]);
        q[d] = compile(text, 0);
    }

    (void) load_zone(NULL, aiq_cstr("Test/Zone"), &mem, &tzif);

    call = call_to("fs", "read");
    bad = 0;

    for (t = NOON; t < NOON + 2 * 365 * DAY; t += 1800) {

        (void) aiq_tz_offset(tzif, t, &offset);
        local = t + offset;
        call.now = t;

        for (h = 0; h < 24; h++) {
            bad += ((aiq_policy_eval_token(p[h], &call) == AIQ_OK)
                    != (local / HOUR % 24 == h));
        }

        for (d = 0; d < 7; d++) {
            bad += ((aiq_policy_eval_token(q[d], &call) == AIQ_OK)
                    != (local / DAY % 7 == d));
        }
    }

    ok(bad == 0, "two years of half hours");
}


static void
test_eval_all(void)
{
    aiq_rc_t             rc;
    aiq_policy_t        *p[4];
    aiq_policy_call_t    call;
    const aiq_policy_t  *which;

    reset();
    call = call_to("fs", "read");

    which = (const aiq_policy_t *) &call;
    ok(aiq_policy_eval_all(NULL, 0, 1, &call, &which) == AIQ_OK
       && which == NULL, "no policies, permit");
    ok(aiq_policy_eval_all(NULL, 0, 0, &call, &which)
       == AIQ_D_POLICY_NOT_ALLOWED && which == NULL, "no policies, deny");

    p[0] = compile("{\"name\":\"b\",\"allow\":[\"fs/*\"],\"priority\":10}", 1);
    p[1] = compile("{\"name\":\"a\",\"deny\":[\"fs/*\"],\"priority\":9}", 1);
    p[2] = compile("{\"name\":\"c\",\"deny\":[\"x/*\"],\"priority\":100}", 1);

    rc = aiq_policy_eval_all(p, 3, 0, &call, &which);
    ok(rc == AIQ_OK && which == p[0], "the higher priority decides");

    rc = aiq_policy_eval_all(p + 1, 2, 1, &call, &which);
    ok(rc == AIQ_D_POLICY_DENY && which == p[1], "then the lower one");

    rc = aiq_policy_eval_all(p + 2, 1, 1, &call, &which);
    ok(rc == AIQ_OK && which == NULL, "one that does not speak: permit");
    rc = aiq_policy_eval_all(p + 2, 1, 0, &call, &which);
    ok(rc == AIQ_D_POLICY_NOT_ALLOWED && which == NULL,
       "one that does not speak: deny");

    p[3] = compile("{\"name\":\"z\",\"deny\":[\"fs/*\"],\"priority\":10}", 1);
    rc = aiq_policy_eval_all(p, 4, 1, &call, &which);
    ok(rc == AIQ_D_POLICY_DENY && which == p[3],
       "at equal priority the denial, whatever its name");

    p[1] = compile("{\"name\":\"za\",\"deny\":[\"fs/*\"],\"priority\":10}", 1);
    rc = aiq_policy_eval_all(p, 4, 1, &call, &which);
    ok(rc == AIQ_D_POLICY_DENY && which == p[3],
       "of two denials the first by name: z, not za");

    p[2] = compile("{\"name\":\"a\",\"allow\":[\"*\"],\"allowed_tools\":[],"
                   "\"priority\":10}", 1);
    rc = aiq_policy_eval_all(p, 4, 1, &call, &which);
    ok(rc == AIQ_D_POLICY_TOOL && which == p[2],
       "a condition that fails is a denial too");
}


/* whatever the order of the array, the answer is the same */

static void
test_order(void)
{
    unsigned             i, k, bad;
    aiq_rc_t             rc;
    aiq_policy_t        *p[5], *t;
    aiq_policy_call_t    call;
    const aiq_policy_t  *which, *expected;

    reset();
    call = call_to("fs", "read");

    p[0] = compile("{\"name\":\"a\",\"allow\":[\"*\"],\"priority\":5}", 1);
    p[1] = compile("{\"name\":\"b\",\"deny\":[\"*\"],\"priority\":5}", 1);
    p[2] = compile("{\"name\":\"bb\",\"deny\":[\"*\"],\"priority\":5}", 1);
    p[3] = compile("{\"name\":\"c\",\"deny\":[\"*\"],\"priority\":4}", 1);
    p[4] = compile("{\"name\":\"d\",\"deny\":[\"x/*\"],\"priority\":9}", 1);

    expected = p[1];
    bad = 0;

    for (i = 0; i < 1000; i++) {

        k = (i * 7919 + i / 5) % 5;
        t = p[i % 5];
        p[i % 5] = p[k];
        p[k] = t;

        rc = aiq_policy_eval_all(p, 5, 1, &call, &which);
        bad += (rc != AIQ_D_POLICY_DENY || which != expected);
    }

    ok(bad == 0, "the order of the array does not matter");
}


/* the examples of docs/policy.md are policies, and do what it says there */

static void
test_docs(void)
{
    int                  named;
    char                *text, *p, *end;
    unsigned             n, bad;
    aiq_policy_t        *policy, *all[16];
    aiq_policy_call_t    call;
    const aiq_policy_t  *which;

    text = slurp("docs/policy.md", NULL);

    if (text == NULL) {
        skip("docs/policy.md", "not started from the root of the tree");
        return;
    }

    reset();
    n = 0;
    bad = 0;

    for (p = text; (p = strstr(p, "```json")) != NULL; p = end + 3) {

        p += 7;
        named = strncmp(p, " token", 6) != 0;
        p = strchr(p, '\n') + 1;
        end = strstr(p, "```");
        *end = '\0';

        policy = compile(p, named);

        if (policy == NULL) {
            bad++;
            diag("%s", err.text);

        } else if (named && n < 16) {
            all[n++] = policy;
        }
    }

    free(text);

    if (!ok(bad == 0 && n == 5, "docs/policy.md: examples compile")) {
        return;
    }

    call = call_to("alerts", "ack");
    ok(aiq_policy_eval_all(all, n, 0, &call, &which) == AIQ_OK, "alerts/ack");

    call.agent = aiq_cstr("reporter");
    ok(aiq_policy_eval_all(all, n, 0, &call, &which) == AIQ_D_POLICY_TOOL
       && aiq_policy_priority(which) == 60, "alerts/ack by the reporter");

    call = call_to("infra", "restart");
    ok(aiq_policy_eval_all(all, n, 0, &call, &which) == AIQ_OK,
       "infra/restart on Wednesday, 14:00 in Berlin");

    call.now = NOON + 6 * HOUR;
    ok(aiq_policy_eval_all(all, n, 0, &call, &which) == AIQ_D_POLICY_TIME,
       "infra/restart at 20:00 in Berlin");

    call.now = NOON + 4 * DAY;
    ok(aiq_policy_eval_all(all, n, 0, &call, &which) == AIQ_D_POLICY_TIME,
       "infra/restart on Sunday");

    call = call_to("pay-mcp", "pay");
    ok(aiq_policy_eval_all(all, n, 0, &call, &which) == AIQ_OK
       && aiq_policy_rate(which) == 20, "a payment from the office");

    (void) aiq_addr_parse(&call.source, aiq_cstr("203.0.113.1"));
    ok(aiq_policy_eval_all(all, n, 0, &call, &which) == AIQ_D_POLICY_SOURCE,
       "a payment from elsewhere");

    call = call_to("db", "drop_table");
    ok(aiq_policy_eval_all(all, n, 1, &call, &which) == AIQ_D_POLICY_DENY,
       "db/drop_table");

    call = call_to("db", "insert");
    ok(aiq_policy_eval_all(all, n, 0, &call, &which)
       == AIQ_D_POLICY_NOT_ALLOWED && which == NULL, "nobody speaks");
}


int
main(void)
{
    test_eval();
    test_eval_token();
    test_targets();
    test_source();
    test_time();
    test_zone();
    test_eval_all();
    test_order();
    test_docs();

    return done_testing();
}
