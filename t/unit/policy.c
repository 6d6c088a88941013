
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <time.h>

#include "policy.h"
#include "tap.h"


#define MEM_SIZE  (4 * 1024 * 1024)

/* 2026-07-15 is a Wednesday */

#define NOON      1784116800LL
#define HOUR      3600
#define DAY       86400

#define S10       "ssssssssss"
#define S250      S10 S10 S10 S10 S10 S10 S10 S10 S10 S10 S10 S10 S10        \
                  S10 S10 S10 S10 S10 S10 S10 S10 S10 S10 S10 S10


typedef struct {
    const char      *policy;
    int              named;
    const char      *text;            /* of the error; NULL: it compiles */
} compile_case_t;

typedef struct {
    const char      *policy;
    const char      *mcp;
    const char      *tool;
    aiq_rc_t         rc;
} eval_case_t;


static aiq_rc_t load_zone(void *data, aiq_str_t name, aiq_mem_t *m,
    aiq_str_t *tzif);
static aiq_policy_t *compile(const char *text, int named);
static aiq_policy_call_t call_to(const char *mcp, const char *tool);
static void reset(void);
static void test_glob(void);
static void test_glob_time(void);
static void test_addr(void);
static void test_compile(void);
static void test_lists(void);
static void test_accessors(void);
static void test_eval(void);
static void test_eval_token(void);
static void test_targets(void);
static void test_source(void);
static void test_time(void);
static void test_zone(void);
static void test_eval_all(void);
static void test_order(void);
static void test_names(void);
static void test_memory(void);
static void test_docs(void);


static unsigned char  memory[MEM_SIZE];
static aiq_mem_t      mem;
static aiq_err_t      err;
static aiq_rc_t       last;
static unsigned       loads;


/* "Test/Zone": two hours east, and one more from March to October; Berlin has
   its rule, so that the tests need no zone files */

static aiq_rc_t
load_zone(void *data, aiq_str_t name, aiq_mem_t *m, aiq_str_t *tzif)
{
    int             i;
    aiq_str_t       s;
    const char     *footer;
    unsigned char   buf[256], *p;

    loads++;

    if (data != NULL) {
        return AIQ_E_STORE_UNAVAILABLE;
    }

    if (aiq_str_is(name, "Test/Zone")) {
        footer = "\nEET-2EEST,M3.5.0/3,M10.5.0/4\n";

    } else if (aiq_str_is(name, "Europe/Berlin")) {
        footer = "\nCET-1CEST,M3.5.0,M10.5.0/3\n";

    } else if (aiq_str_is(name, "Test/West")) {
        footer = "\n<-0930>9:30\n";

    } else if (aiq_str_is(name, "Test/Broken")
               || aiq_str_is(name, "Test/Later"))
    {
        footer = "\nEET-2EEST\n";

    } else if (aiq_str_is(name, "Test/Empty")) {
        aiq_str_null(tzif);
        return AIQ_OK;

    } else {
        return AIQ_DECLINED;
    }

    p = buf;

    for (i = 0; i < 2; i++) {
        memset(p, 0, 44 + 6 + 4);
        memcpy(p, "TZif2", 5);
        p[39] = 1;
        p[43] = 4;
        p += 44 + 6 + 4;
    }

    /* a transition in 2038: the broken footer is not needed before */

    if (aiq_str_is(name, "Test/Later")) {
        buf[54 + 35] = 1;
        memset(p - 10, 0, 19);
        p[-10 + 4] = 0x7f;
        p += 9;
    }

    memcpy(p, footer, strlen(footer));

    s.data = buf;
    s.len = (size_t) (p - buf) + strlen(footer);

    return aiq_mem_dup(m, s, tzif);
}


static void
reset(void)
{
    mem.pos = memory;
    mem.end = memory + MEM_SIZE;
}


static aiq_policy_t *
compile(const char *text, int named)
{
    aiq_json_t     doc;
    aiq_policy_t  *p;

    p = NULL;
    memset(&err, 0, sizeof(err));

    last = aiq_json_parse(&doc, aiq_cstr(text), AIQ_JSON_DEPTH, &mem, &err);

    if (last == AIQ_OK) {
        last = aiq_policy_compile(&p, &doc, 0, named, load_zone, NULL, &mem,
                                  &err);
    }

    return (last == AIQ_OK) ? p : NULL;
}


static aiq_policy_call_t
call_to(const char *mcp, const char *tool)
{
    aiq_policy_call_t  call;

    call.mcp = aiq_cstr(mcp);
    call.tool = aiq_cstr(tool);
    call.user = aiq_cstr("alice");
    call.agent = aiq_cstr("sysadmin");
    call.now = NOON;

    (void) aiq_addr_parse(&call.source, aiq_cstr("192.0.2.7"));

    return call;
}


static void
test_glob(void)
{
    unsigned  i;

    static const struct {
        const char  *glob;
        const char  *s;
        int          match;
    } cases[] = {
        { "*", "", 1 },
        { "*", "a", 1 },
        { "*", "a/b.c", 1 },
        { "**", "a", 1 },
        { "", "", 1 },
        { "", "a", 0 },
        { "a", "", 0 },
        { "a", "a", 1 },
        { "a", "A", 0 },
        { "a", "ab", 0 },
        { "ab", "a", 0 },
        { "a*", "a", 1 },
        { "a*", "ba", 0 },
        { "*a", "bba", 1 },
        { "*a", "bab", 0 },
        { "a*b", "ab", 1 },
        { "a*b", "axxb", 1 },
        { "a*b", "axxbc", 0 },
        { "a*b*c", "abbbcbc", 1 },
        { "a*b*c", "acbbb", 0 },
        { "*ab*", "aab", 1 },
        { "*aab*", "aaab", 1 },
        { "*abab", "abaabab", 1 },
        { "infra.*", "infra.restart", 1 },
        { "infra.*", "infra", 0 },
        { "infra.*", "infraXrestart", 0 },
        { "*/read*", "fs/read_file", 1 },
        { "fs/*", "fs/", 1 },
        { "fs/*", "fs2/x", 0 },
        { "a*", "*", 0 },
        { "?", "a", 0 },
        { "[a]", "a", 0 },
        { "a\\*", "a*", 0 },
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ok(aiq_glob_match(aiq_cstr(cases[i].glob), aiq_cstr(cases[i].s))
           == cases[i].match, "\"%s\" %s \"%s\"", cases[i].glob,
           cases[i].match ? "matches" : "does not match", cases[i].s);
    }
}


/* patterns that make a recursive matcher explode */

static void
test_glob_time(void)
{
    char     glob[257], text[514];
    size_t   i;
    clock_t  start;

    for (i = 0; i < 256; i++) {
        glob[i] = (i % 2) ? 'a' : '*';
    }

    glob[255] = 'b';
    glob[256] = '\0';

    memset(text, 'a', 513);
    text[513] = '\0';

    start = clock();

    for (i = 0; i < 100; i++) {
        if (aiq_glob_match(aiq_cstr(glob), aiq_cstr(text))) {
            break;
        }
    }

    ok(i == 100 && clock() - start < CLOCKS_PER_SEC,
       "100 times \"*a*a*...*b\" against aaa...: at once");
}


static void
test_addr(void)
{
    unsigned    i, bad;
    aiq_addr_t  a;

    static const unsigned char  four[16] = { 192, 0, 2, 1 };

    static const char  *refused[] = {
        "", "192.0.2", "192.0.2.256", "192.0.2.1.", "192.0.2.01", "0x7f.0.0.1",
        "3221225985", " 192.0.2.1", "192.0.2.1 ", "192.0.2.1/32", "::1%lo",
        "[::1]", ":", ":::", "1::2::3", "12345::", "::ffff:192.0.2.256",
        "2001:db8:1:2:3:4:5:6:7", "localhost",
        "1111:1111:1111:1111:1111:1111:111.111.111.1111"
    };

    ok(aiq_addr_parse(&a, aiq_cstr("192.0.2.1")) == AIQ_OK && a.family == 4
       && memcmp(a.addr, four, 16) == 0, "IPv4");
    ok(aiq_addr_parse(&a, aiq_cstr("::ffff:192.0.2.1")) == AIQ_OK
       && a.family == 4 && memcmp(a.addr, four, 16) == 0, "IPv4 mapped");
    ok(aiq_addr_parse(&a, aiq_cstr("::FFFF:c000:0201")) == AIQ_OK
       && a.family == 4 && memcmp(a.addr, four, 16) == 0,
       "IPv4 mapped, in hexadecimal");
    ok(aiq_addr_parse(&a, aiq_cstr("2001:db8::1")) == AIQ_OK && a.family == 6
       && a.addr[0] == 0x20 && a.addr[3] == 0xb8 && a.addr[15] == 1, "IPv6");
    ok(aiq_addr_parse(&a, aiq_cstr("::192.0.2.1")) == AIQ_OK && a.family == 6,
       "IPv4 compatible is IPv6");

    bad = 0;

    for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (aiq_addr_parse(&a, aiq_cstr(refused[i])) != AIQ_DECLINED
            || a.family != 0)
        {
            bad++;
            diag("accepted: %s", refused[i]);
        }
    }

    ok(bad == 0, "%u texts that are no address", i);
}


static void
test_compile(void)
{
    unsigned       i;
    aiq_policy_t  *p;

    static const compile_case_t  cases[] = {

        /* stored policies */

        { "{\"name\":\"p\"}", 1, NULL },
        { "{\"name\":\"p\",\"target\":{\"type\":\"org\"},\"status\":\"active\","
          "\"priority\":100,\"allow\":[\"*\"],\"deny\":[\"a/b\"],"
          "\"allowed_tools\":[\"c\"],\"rate_limit\":1000000000,"
          "\"ip_whitelist\":[\"192.0.2.0/24\",\"2001:db8::/32\",\"::1\"],"
          "\"time_restrictions\":{\"allowed_hours\":[0,23],\"allowed_days\":"
          "[\"Monday\",\"Sunday\"],\"timezone\":\"Test/Zone\"},"
          "\"description\":\"d\",\"version\":1,\"metadata\":{}}", 1, NULL },
        { "{\"name\":\"p\",\"target\":{\"id\":\"a\",\"type\":\"agent\"}}", 1,
          NULL },
        { "[]", 1, "the policy is not an object" },
        { "{}", 1, "missing required member \"name\"" },
        { "{\"name\":\"\"}", 1, "name:" },
        { "{\"name\":1}", 1, "name:" },
        { "{\"name\":\"a\\nb\"}", 1, "name:" },
        { "{\"name\":\"" S250 "123456\"}", 1, NULL },
        { "{\"name\":\"" S250 "1234567\"}", 1, "name:" },
        { "{\"name\":\"p\",\"x\":1}", 1, "unknown member \"x\"" },
        { "{\"name\":\"p\",\"denny\":[]}", 1, "unknown member \"denny\"" },
        { "{\"name\":\"p\",\"Deny\":[]}", 1, "unknown member \"Deny\"" },
        { "{\"name\":\"p\",\"d\\u0065ny\":[\"*\"]}", 1, NULL },
        { "{\"name\":\"p\",\"status\":\"Active\"}", 1, "status:" },
        { "{\"name\":\"p\",\"status\":null}", 1, "status:" },

        { "{\"name\":\"p\",\"target\":\"org\"}", 1, "target: not an object" },
        { "{\"name\":\"p\",\"target\":{}}", 1, "target: missing required "
          "member \"type\"" },
        { "{\"name\":\"p\",\"target\":{\"id\":\"x\"}}", 1, "\"type\"" },
        { "{\"name\":\"p\",\"target\":{\"type\":\"role\"}}", 1,
          "target.type:" },
        { "{\"name\":\"p\",\"target\":{\"type\":\"user\"}}", 1,
          "target: missing required member \"id\"" },
        { "{\"name\":\"p\",\"target\":{\"type\":\"mcp\",\"id\":\"\"}}", 1,
          "target.id:" },
        { "{\"name\":\"p\",\"target\":{\"type\":\"org\",\"ids\":1}}", 1,
          "target: unknown member \"ids\"" },

        { "{\"name\":\"p\",\"priority\":-1}", 1, "priority:" },
        { "{\"name\":\"p\",\"priority\":101}", 1, "priority:" },
        { "{\"name\":\"p\",\"priority\":1.0}", 1, "priority:" },
        { "{\"name\":\"p\",\"priority\":\"1\"}", 1, "priority:" },
        { "{\"name\":\"p\",\"allow\":[\"*\"],\"rate_limit\":0}", 1,
          "rate_limit:" },
        { "{\"name\":\"p\",\"allow\":[\"*\"],\"rate_limit\":1000000001}", 1,
          "rate_limit:" },
        { "{\"name\":\"p\",\"allow\":[\"*\"],\"rate_limit\":1.5}", 1,
          "rate_limit:" },

        { "{\"name\":\"p\",\"allow\":\"*\"}", 1, "allow: not an array" },
        { "{\"name\":\"p\",\"allow\":null}", 1, "allow: not an array" },
        { "{\"name\":\"p\",\"allow\":[\"a\",\"b\",1]}", 1, "allow[2]:" },
        { "{\"name\":\"p\",\"deny\":[\"\"]}", 1, "deny[0]:" },
        { "{\"name\":\"p\",\"deny\":[\"a\\u0009\"]}", 1, "deny[0]:" },
        { "{\"name\":\"p\",\"deny\":[\"*\",\"infra.re?tart\"]}", 1,
          "deny[1]: the only wildcard" },
        { "{\"name\":\"p\",\"deny\":[\"[a-z]*\"]}", 1, "deny[0]:" },
        { "{\"name\":\"p\",\"deny\":[\"" S250 "123456\"]}", 1, NULL },
        { "{\"name\":\"p\",\"deny\":[\"" S250 "1234567\"]}", 1, "deny[0]:" },
        { "{\"name\":\"p\",\"allow\":[\"*\"],\"allowed_tools\":[{}]}", 1,
          "allowed_tools[0]:" },

        /* conditions of a permission that is never given */

        { "{\"name\":\"p\",\"allowed_tools\":[\"a\"]}", 1,
          "allowed_tools: has no effect" },
        { "{\"name\":\"p\",\"deny\":[\"x\"],\"ip_whitelist\":[\"::1\"]}", 1,
          "ip_whitelist: has no effect" },
        { "{\"name\":\"p\",\"allow\":[],\"time_restrictions\":"
          "{\"allowed_hours\":[1]}}", 1, "time_restrictions: has no effect" },
        { "{\"name\":\"p\",\"rate_limit\":5}", 1, "rate_limit: has no" },

        /* addresses */

        { "{\"allow\":[\"*\"],\"ip_whitelist\":[\"0.0.0.0/0\",\"::/0\","
          "\"192.0.2.1/32\",\"2001:db8::1/128\",\"::ffff:192.0.2.0/120\","
          "\"::ffff:0.0.0.0/96\"]}", 0, NULL },
        { "{\"ip_whitelist\":[\"192.0.2.1/24\"]}", 0,
          "ip_whitelist[0]: bits are set behind the prefix" },
        { "{\"ip_whitelist\":[\"::1\",\"2001:db8::1/64\"]}", 0,
          "ip_whitelist[1]: bits" },
        { "{\"ip_whitelist\":[\"192.0.2.0/33\"]}", 0, "ip_whitelist[0]:" },
        { "{\"ip_whitelist\":[\"2001:db8::/129\"]}", 0, "ip_whitelist[0]:" },
        { "{\"ip_whitelist\":[\"192.0.2.0/\"]}", 0, "ip_whitelist[0]:" },
        { "{\"ip_whitelist\":[\"192.0.2.0/024\"]}", 0, "ip_whitelist[0]:" },
        { "{\"ip_whitelist\":[\"192.0.2.0/+24\"]}", 0, "ip_whitelist[0]:" },
        { "{\"ip_whitelist\":[\"192.0.2.0/24/24\"]}", 0, "ip_whitelist[0]:" },
        { "{\"ip_whitelist\":[\"192.0.2.0/255.255.255.0\"]}", 0,
          "ip_whitelist[0]:" },
        { "{\"ip_whitelist\":[\"/24\"]}", 0, "ip_whitelist[0]:" },
        { "{\"ip_whitelist\":[\"\"]}", 0, "ip_whitelist[0]:" },
        { "{\"ip_whitelist\":[\"::ffff:192.0.2.0/95\"]}", 0,
          "ip_whitelist[0]:" },
        { "{\"ip_whitelist\":[1]}", 0, "ip_whitelist[0]: not a string" },
        { "{\"ip_whitelist\":\"::1\"}", 0, "ip_whitelist: not an array" },

        /* times */

        { "{\"time_restrictions\":{}}", 0, NULL },
        { "{\"time_restrictions\":{\"timezone\":\"UTC\"}}", 0, NULL },
        { "{\"time_restrictions\":[]}", 0, "time_restrictions: not an obj" },
        { "{\"time_restrictions\":{\"allowed_hours\":[24]}}", 0,
          "allowed_hours[0]:" },
        { "{\"time_restrictions\":{\"allowed_hours\":[0,-1]}}", 0,
          "allowed_hours[1]:" },
        { "{\"time_restrictions\":{\"allowed_hours\":9}}", 0,
          "allowed_hours:" },
        { "{\"time_restrictions\":{\"allowed_days\":[\"monday\"]}}", 0,
          "allowed_days[0]:" },
        { "{\"time_restrictions\":{\"allowed_days\":[\"Monday\",1]}}", 0,
          "allowed_days[1]:" },
        { "{\"time_restrictions\":{\"hours\":[1]}}", 0,
          "time_restrictions: unknown member \"hours\"" },
        { "{\"time_restrictions\":{\"timezone\":\"Nowhere\"}}", 0,
          "timezone: this time zone is not known" },
        { "{\"time_restrictions\":{\"timezone\":\"\"}}", 0, "timezone:" },
        { "{\"time_restrictions\":{\"timezone\":1}}", 0, "timezone:" },
        { "{\"time_restrictions\":{\"timezone\":\"Test/Broken\"}}", 0,
          "timezone: the data" },
        { "{\"time_restrictions\":{\"timezone\":\"Test/Later\"}}", 0,
          "timezone: the data" },
        { "{\"time_restrictions\":{\"timezone\":\"Test/Empty\"}}", 0,
          "timezone: the data" },

        /* token policies */

        { "{}", 0, NULL },
        { "{\"allow\":[\"*\"],\"deny\":[],\"metadata\":{\"x\":[1]},"
          "\"version\":\"1\",\"description\":null,\"priority\":5}", 0, NULL },
        { "{\"name\":\"p\"}", 0, "unknown member \"name\"" },
        { "{\"target\":{\"type\":\"org\"}}", 0, "unknown member \"target\"" },
        { "{\"status\":\"inactive\"}", 0, "unknown member \"status\"" },
        { "{\"rules\":[]}", 0, "unknown member \"rules\"" },
        { "\"x\"", 0, "not an object" },
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {

        reset();
        p = compile(cases[i].policy, cases[i].named);

        if (cases[i].text == NULL) {
            ok(p != NULL, "compiles: %.60s", cases[i].policy);

        } else {
            ok(p == NULL && last == AIQ_D_POLICY_INVALID
               && err.rc == last && strstr(err.text, cases[i].text),
               "refused: %s", cases[i].text);
        }

        if ((p != NULL) != (cases[i].text == NULL)
            || (p == NULL && !strstr(err.text, cases[i].text)))
        {
            diag("%s: %s", aiq_reason(last), err.text);
        }
    }
}


static void
test_lists(void)
{
    char           text[16384];
    size_t         n, k;
    unsigned       i, before;
    aiq_json_t     doc;
    aiq_policy_t  *p;

    static const char  *zones[] = {
        "../etc/passwd", "Europe/../x", "/etc/passwd", "Europe/", "Europe//B",
        "Eu rope", "a.b", "Eur\\u0000ope", ".", "\xc3\xa9", "a:b",
        S250, ":Europe/Berlin", "a\\\\b"
    };

    for (k = 1023; k <= 1025; k++) {

        n = (size_t) sprintf(text, "{\"allow\":[");

        for (i = 0; i < k; i++) {
            n += (size_t) sprintf(text + n, "%s\"a\"", i ? "," : "");
        }

        sprintf(text + n, "]}");

        reset();
        p = compile(text, 0);
        ok((p != NULL) == (k <= 1024), "a list of %zu", k);
    }

    before = loads;

    for (i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {

        sprintf(text, "{\"time_restrictions\":{\"timezone\":\"%s\"}}",
                zones[i]);
        reset();
        p = compile(text, 0);
        ok(p == NULL, "no zone: %.20s", zones[i]);
    }

    ok(loads == before, "and none of these names reached the loader");

    reset();
    ok(aiq_json_parse(&doc, aiq_cstr("{\"time_restrictions\":{\"timezone\":"
                                     "\"Test/Zone\"}}"), AIQ_JSON_DEPTH, &mem,
                      NULL) == AIQ_OK
       && aiq_policy_compile(&p, &doc, 0, 0, load_zone, &doc, &mem, NULL)
          == AIQ_E_STORE_UNAVAILABLE && p == NULL,
       "a fault of the loader is a fault");
    ok(aiq_policy_compile(&p, &doc, 0, 0, NULL, NULL, &mem, NULL)
       == AIQ_D_POLICY_INVALID, "without a loader there is UTC only");
}


static void
test_accessors(void)
{
    aiq_policy_t  *p;

    reset();
    p = compile("{\"name\":\"n\\u0061me\",\"priority\":7,\"allow\":[\"*\"],"
                "\"rate_limit\":42}", 1);
    ok(p && aiq_str_is(aiq_policy_name(p), "name")
       && aiq_policy_priority(p) == 7 && aiq_policy_rate(p) == 42,
       "name, priority, rate");

    p = compile("{\"name\":\"x\"}", 1);
    ok(p && aiq_policy_priority(p) == 0 && aiq_policy_rate(p) == 0,
       "defaults");
}


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


static void
test_names(void)
{
    char                 name[300];
    aiq_policy_t        *p;
    aiq_policy_call_t    call;
    const aiq_policy_t  *which;

    reset();
    p = compile("{\"name\":\"p\",\"allow\":[\"*\"]}", 1);

    memset(name, 'a', sizeof(name));
    call = call_to("fs", "read");

    call.tool.data = (unsigned char *) name;
    call.tool.len = 256;
    call.mcp = call.tool;
    ok(p && aiq_policy_eval(p, &call) == AIQ_OK, "names of 256 bytes");

    call.tool.len = 257;
    ok(p && aiq_policy_eval(p, &call) == AIQ_E_INTERNAL
       && aiq_policy_eval_token(p, &call) == AIQ_E_INTERNAL
       && aiq_policy_eval_all(&p, 1, 1, &call, &which) == AIQ_E_INTERNAL,
       "a tool of 257 is a fault");

    call = call_to("", "read");
    ok(p && aiq_policy_eval(p, &call) == AIQ_E_INTERNAL, "no server");
    call = call_to("fs", "");
    ok(p && aiq_policy_eval_all(&p, 0, 1, &call, &which) == AIQ_E_INTERNAL,
       "no tool, even without policies");
}


static void
test_memory(void)
{
    size_t          n;
    unsigned        bad, none;
    aiq_rc_t        rc;
    aiq_json_t      doc;
    aiq_mem_t       small;
    aiq_policy_t   *p;
    unsigned char  *pos;

    static const char  text[] =
        "{\"name\":\"p\\u0061\",\"target\":{\"type\":\"user\",\"id\":\"u\"},"
        "\"allow\":[\"\\u002a\",\"b\"],\"deny\":[\"c\"],\"ip_whitelist\":"
        "[\"\\u003a:1\"],\"time_restrictions\":{\"timezone\":\"Test/Zone\"}}";

    reset();
    (void) aiq_json_parse(&doc, aiq_cstr(text), AIQ_JSON_DEPTH, &mem, NULL);

    bad = 0;
    none = 0;

    for (n = 0; n < 2000; n++) {

        small.pos = mem.pos;
        small.end = mem.pos + n;
        pos = small.pos;

        rc = aiq_policy_compile(&p, &doc, 0, 1, load_zone, NULL, &small,
                                NULL);

        if (rc == AIQ_E_NO_MEMORY) {
            none++;
            bad += (p != NULL || small.pos != pos);

        } else {
            bad += (rc != AIQ_OK);
        }
    }

    ok(bad == 0 && none > 0 && none < 2000,
       "%u sizes of memory are too small, and leave nothing behind", none);
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
    test_glob();
    test_glob_time();
    test_addr();
    test_compile();
    test_lists();
    test_accessors();
    test_eval();
    test_eval_token();
    test_targets();
    test_source();
    test_time();
    test_zone();
    test_eval_all();
    test_order();
    test_names();
    test_memory();
    test_docs();

    return done_testing();
}
