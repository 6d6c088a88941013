
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What becomes a policy, and what does not.
 */


#include "policy_test.h"


#define S10       "ssssssssss"
#define S250      S10 S10 S10 S10 S10 S10 S10 S10 S10 S10 S10 S10 S10        \
                  S10 S10 S10 S10 S10 S10 S10 S10 S10 S10 S10 S10


typedef struct {
    const char      *policy;
    int              named;
    const char      *text;            /* of the error; NULL: it compiles */
} compile_case_t;


static void test_glob(void);
static void test_glob_time(void);
static void test_addr(void);
static void test_compile(void);
static void test_lists(void);
static void test_accessors(void);
static void test_names(void);
static void test_memory(void);


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


int
main(void)
{
    test_glob();
    test_glob_time();
    test_addr();
    test_compile();
    test_lists();
    test_accessors();
    test_names();
    test_memory();

    return done_testing();
}
