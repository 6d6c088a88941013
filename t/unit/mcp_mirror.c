
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Mcp-Param-*: what is a lie in any schema is refused, all else is not.  And
 * rules for methods, by name and by front.
 */


#include <string.h>

#include "mcp.h"
#include "tap.h"


typedef struct {
    const char  *what;
    aiq_rc_t     rc;
    const char  *args;
    const char  *name;
    const char  *value;
} case_t;


static void test_params(void);
static void test_twice(void);
static void test_need(void);
static void test_names(void);
static void test_revisions(void);


static unsigned char  memory[65536];


static void
test_params(void)
{
    unsigned         i;
    aiq_mem_t        mem;
    aiq_json_t       doc;
    aiq_mcp_param_t  param;

    static const case_t  cases[] = {
        { "the value of an argument", AIQ_OK, "{\"region\":\"eu\"}",
          "region", "eu" },
        { "blanks around it", AIQ_OK, "{\"region\":\"eu\"}", "region",
          " eu\t" },
        { "another value", AIQ_D_HEADER_MISMATCH, "{\"region\":\"eu\"}",
          "region", "us" },
        { "no case in names", AIQ_D_HEADER_MISMATCH, "{\"Region\":\"eu\"}",
          "region", "us" },
        { "case in values", AIQ_D_HEADER_MISMATCH, "{\"region\":\"eu\"}",
          "region", "EU" },
        { "an escaped key", AIQ_D_HEADER_MISMATCH,
          "{\"r\\u0065gion\":\"eu\"}", "region", "us" },
        { "an escaped value", AIQ_OK, "{\"region\":\"\\u0065u\"}", "region",
          "eu" },
        { "an argument deep inside", AIQ_D_HEADER_MISMATCH,
          "{\"a\":[{\"region\":\"eu\"}]}", "region", "us" },
        { "no argument of this name", AIQ_OK, "{\"a\":\"eu\"}", "region",
          "us" },
        { "no arguments", AIQ_OK, "{}", "region", "us" },
        { "the name of one and the value of another, as schemas may want",
          AIQ_OK, "{\"id\":1,\"customer\":\"c-7\"}", "id", "c-7" },
        { "a longer name", AIQ_OK, "{\"region\":\"eu\"}", "regions", "us" },
        { "a shorter one", AIQ_OK, "{\"region\":\"eu\"}", "regio", "us" },
        { "the name is a value", AIQ_OK, "{\"a\":\"region\"}", "region",
          "us" },
        { "an integer", AIQ_OK, "{\"n\":42}", "n", "42" },
        { "with a fraction of zeros", AIQ_OK, "{\"n\":42}", "n", "42.0" },
        { "in the body", AIQ_OK, "{\"n\":42.00}", "n", "42" },
        { "another integer", AIQ_D_HEADER_MISMATCH, "{\"n\":42}", "n", "43" },
        { "a fraction", AIQ_D_HEADER_MISMATCH, "{\"n\":42}", "n", "42.5" },
        { "nothing behind the dot", AIQ_D_HEADER_MISMATCH, "{\"n\":42}", "n",
          "42." },
        { "the front of it", AIQ_D_HEADER_MISMATCH, "{\"n\":42}", "n", "4" },
        { "a negative integer", AIQ_OK, "{\"n\":-7}", "n", "-7" },
        { "a string of digits", AIQ_OK, "{\"n\":\"42\"}", "n", "42" },
        { "true", AIQ_OK, "{\"b\":true}", "b", "true" },
        { "True", AIQ_D_HEADER_MISMATCH, "{\"b\":true}", "b", "True" },
        { "null has no header", AIQ_D_HEADER_MISMATCH, "{\"b\":null}", "b",
          "null" },
        { "an empty string", AIQ_OK, "{\"s\":\"\"}", "s", "" },
        { "an empty header", AIQ_D_HEADER_MISMATCH, "{\"s\":\"x\"}", "s",
          "" },
        { "encoded", AIQ_OK, "{\"s\":\"Hello, \\u4e16\\u754c\"}", "s",
          "=?base64?SGVsbG8sIOS4lueVjA==?=" },
        { "encoded, another", AIQ_D_HEADER_MISMATCH, "{\"s\":\"Hello\"}",
          "s", "=?base64?SGVsbG8sIOS4lueVjA==?=" },
        { "what looks encoded", AIQ_OK, "{\"s\":\"=?base64?literal?=\"}",
          "s", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=" },
        { "bad encoding", AIQ_D_HEADER_MISMATCH, "{\"s\":\"x\"}", "s",
          "=?base64?*?=" },
        { "encoding without an end", AIQ_D_HEADER_MISMATCH, "{\"s\":\"x\"}",
          "s", "=?base64?" },
        { "which stands for itself", AIQ_OK, "{\"s\":\"=?base64?eA==\"}",
          "s", "=?base64?eA==" },
        { "bad encoding of what nobody knows", AIQ_OK, "{\"s\":\"x\"}", "t",
          "=?base64?*?=" }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mem.pos = memory;
        mem.end = memory + sizeof(memory);

        if (aiq_json_parse(&doc, aiq_cstr(cases[i].args), AIQ_JSON_DEPTH,
                           &mem, NULL)
            != AIQ_OK)
        {
            ok(0, "%s: arguments", cases[i].what);
            continue;
        }

        param.name = aiq_cstr(cases[i].name);
        param.value = aiq_cstr(cases[i].value);

        ok(aiq_mcp_mirror_params(&doc, 0, &param, 1, NULL) == cases[i].rc,
           "%s: %s", cases[i].what, aiq_reason(cases[i].rc));
    }

    ok(aiq_mcp_mirror_params(&doc, AIQ_JSON_NONE, &param, 1, NULL) == AIQ_OK,
       "a call without arguments");
}


static void
test_twice(void)
{
    aiq_mem_t        mem;
    aiq_json_t       doc;
    aiq_mcp_param_t  params[3];

    mem.pos = memory;
    mem.end = memory + sizeof(memory);

    (void) aiq_json_parse(&doc, aiq_cstr("{\"a\":1,\"b\":2}"),
                          AIQ_JSON_DEPTH, &mem, NULL);

    params[0].name = aiq_cstr("a");
    params[0].value = aiq_cstr("1");
    params[1].name = aiq_cstr("b");
    params[1].value = aiq_cstr("2");
    params[2] = params[0];

    ok(aiq_mcp_mirror_params(&doc, 0, params, 2, NULL) == AIQ_OK, "two");
    ok(aiq_mcp_mirror_params(&doc, 0, params, 3, NULL)
       == AIQ_D_HEADER_DUPLICATE, "one of them twice");
}


static void
test_need(void)
{
    unsigned   i;
    aiq_rc_t   rc;
    aiq_mcp_t  m;

    static const aiq_method_rule_t  rules[] = {
        { aiq_string("*"), AIQ_NEED_IDENTITY },
        { aiq_string("a/*"), AIQ_NEED_INTENT },
        { aiq_string("a/b/*"), AIQ_NEED_REFUSE },
        { aiq_string("a/b/c"), AIQ_NEED_IDENTITY },
        { aiq_string("ping"), AIQ_NEED_REFUSE }
    };

    static const struct {
        const char  *method;
        aiq_need_e   known;
        unsigned     n;               /* rules in force */
        aiq_need_e   need;
    } cases[] = {
        { "x", AIQ_NEED_REFUSE, 0, AIQ_NEED_REFUSE },
        { "x", AIQ_NEED_REFUSE, 5, AIQ_NEED_IDENTITY },
        { "a/x", AIQ_NEED_REFUSE, 5, AIQ_NEED_INTENT },
        { "a/", AIQ_NEED_REFUSE, 5, AIQ_NEED_INTENT },
        { "a", AIQ_NEED_REFUSE, 5, AIQ_NEED_IDENTITY },
        { "a/b/x", AIQ_NEED_REFUSE, 5, AIQ_NEED_REFUSE },
        { "a/b/c", AIQ_NEED_REFUSE, 5, AIQ_NEED_IDENTITY },
        { "a/b/c", AIQ_NEED_REFUSE, 3, AIQ_NEED_REFUSE },
        { "ping", AIQ_NEED_IDENTITY, 4, AIQ_NEED_IDENTITY },
        { "ping", AIQ_NEED_IDENTITY, 5, AIQ_NEED_REFUSE },
        { "tools/call", AIQ_NEED_INTENT, 5, AIQ_NEED_INTENT },
        { "prompts/get", AIQ_NEED_REFUSE, 1, AIQ_NEED_IDENTITY }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memset(&m, 0, sizeof(m));

        m.method = aiq_cstr(cases[i].method);
        m.need = cases[i].known;

        rc = aiq_mcp_need(&m, rules, cases[i].n, NULL);

        ok(m.need == cases[i].need
           && rc == (m.need == AIQ_NEED_REFUSE ? AIQ_D_RPC_METHOD : AIQ_OK),
           "%s with %u rules: %d", cases[i].method, cases[i].n,
           cases[i].need);
    }
}


static void
test_names(void)
{
    unsigned  i;

    static const char  *good[] = { "*", "tools/*", "tools/call", "x" };
    static const char  *bad[] = { "", "a*b", "**", "a b", "\xc3\xa9" };

    for (i = 0; i < 4; i++) {
        ok(aiq_mcp_method_ok(aiq_cstr(good[i])), "a rule for \"%s\"",
           good[i]);
    }

    for (i = 0; i < 5; i++) {
        ok(!aiq_mcp_method_ok(aiq_cstr(bad[i])), "no rule for \"%s\"",
           bad[i]);
    }
}


static void
test_revisions(void)
{
    char       buf[256];
    aiq_out_t  out;

    aiq_out_init(&out, buf, sizeof(buf));
    aiq_mcp_write_revisions(&out, 1);

    ok(aiq_str_is(aiq_out_done(&out), "\"2026-07-28\""),
       "revisions that need no handshake");

    aiq_out_init(&out, buf, sizeof(buf));
    aiq_mcp_write_revisions(&out, 0);

    ok(!out.failed
       && aiq_str_is(aiq_out_done(&out), "\"2026-07-28\",\"2025-11-25\","
                                         "\"2025-06-18\",\"2025-03-26\""),
       "revisions that are enforced");
}


int
main(void)
{
    test_params();
    test_twice();
    test_need();
    test_names();
    test_revisions();

    return done_testing();
}
