
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What an envelope of POST /invoke asks for.
 */


#include "mcp_test.h"


typedef struct {
    const char         *what;
    const char         *body;
    aiq_rc_t            rc;
    const char         *text;         /* part of the sentence */
} invoke_case_t;


static aiq_rc_t read_invoke(aiq_invoke_t *v, aiq_str_t body);
static void test_invoke(void);
static void test_invoke_values(void);
static void test_recorded(const char *file);
static void test_memory(void);


static aiq_rc_t
read_invoke(aiq_invoke_t *v, aiq_str_t body)
{
    mem.pos = memory;
    mem.end = memory + MEM_SIZE;

    memset(&err, 0, sizeof(err));

    if (aiq_json_parse(&doc, body, AIQ_JSON_DEPTH, &mem, &err) != AIQ_OK) {
        return AIQ_DECLINED;
    }

    return aiq_invoke_read(v, &doc, &mem, &err);
}


#define TOK  "{\"plan_hash\":\"ab\",\"issued_at\":1,\"x\":[1,{\"y\":\"z\"}]}"
#define AB   "\"mcp\":\"m\",\"action\":\"a\""

static void
test_invoke(void)
{
    unsigned      i;
    aiq_rc_t      rc;
    aiq_invoke_t  v;

    static const invoke_case_t  cases[] = {

        { "the least", "{" AB "}", AIQ_OK, NULL },
        { "unknown members", "{" AB ",\"foo\":1,\"x\":null}", AIQ_OK, NULL },
        { "an action outside ASCII",
          "{\"mcp\":\"m\",\"action\":\"caf\xc3\xa9\"}", AIQ_OK, NULL },
        { "an array", "[]", AIQ_D_JSON_NOT_OBJECT, NULL },
        { "no mcp", "{\"action\":\"a\"}", AIQ_D_INVOKE_INVALID, "\"mcp\"" },
        { "no action", "{\"mcp\":\"m\",\"tool\":\"a\"}", AIQ_D_INVOKE_INVALID,
          "\"action\"" },
        { "mcp null", "{\"mcp\":null,\"action\":\"a\"}", AIQ_D_INVOKE_INVALID,
          "mcp" },
        { "mcp empty", "{\"mcp\":\"\",\"action\":\"a\"}",
          AIQ_D_INVOKE_INVALID, "mcp" },
        { "mcp with a control", "{\"mcp\":\"a\\u0001\",\"action\":\"a\"}",
          AIQ_D_INVOKE_INVALID, "mcp" },
        { "mcp of 256", "{\"mcp\":\"" N128 N128 "\",\"action\":\"a\"}",
          AIQ_OK, NULL },
        { "mcp of 257", "{\"mcp\":\"" N128 N128 "a\",\"action\":\"a\"}",
          AIQ_D_INVOKE_INVALID, "mcp" },
        { "action as a number", "{\"mcp\":\"m\",\"action\":1}",
          AIQ_D_INVOKE_INVALID, "action" },
        { "tool equal", "{" AB ",\"tool\":\"\\u0061\"}", AIQ_OK, NULL },
        { "tool different", "{" AB ",\"tool\":\"b\"}", AIQ_D_INVOKE_INVALID,
          "tool" },
        { "tool null", "{" AB ",\"tool\":null}", AIQ_D_INVOKE_INVALID,
          "tool" },
        { "Action", "{" AB ",\"Action\":\"b\"}", AIQ_D_RPC_AMBIGUOUS,
          "can be taken for \"action\"" },
        { "token with a Kelvin sign", "{" AB ",\"to\\u212aen\":1}",
          AIQ_D_RPC_AMBIGUOUS, "token" },
        { "argument\\u017f", "{" AB ",\"argument\\u017f\":{}}",
          AIQ_D_RPC_AMBIGUOUS, "arguments" },
        { "Plan in intent_token", "{" AB ",\"intent_token\":{\"Plan\":{}}}",
          AIQ_D_RPC_AMBIGUOUS, "intent_token" },

        /* params */

        { "params and arguments equal", "{" AB ",\"params\":{\"a\":1,\"b\":"
          "[true,null,\"x\"]},\"arguments\":{\"b\":[true, null,\"\\u0078\"],"
          "\"a\":1.0}}", AIQ_OK, NULL },
        { "another number", "{" AB ",\"params\":{\"a\":1},\"arguments\":"
          "{\"a\":2}}", AIQ_D_INVOKE_INVALID, "arguments" },
        { "another type", "{" AB ",\"params\":{\"a\":1},\"arguments\":"
          "{\"a\":\"1\"}}", AIQ_D_INVOKE_INVALID, "arguments" },
        { "true and false", "{" AB ",\"params\":{\"a\":true},\"arguments\":"
          "{\"a\":false}}", AIQ_D_INVOKE_INVALID, "arguments" },
        { "one member more", "{" AB ",\"params\":{\"a\":1},\"arguments\":"
          "{\"a\":1,\"b\":1}}", AIQ_D_INVOKE_INVALID, "arguments" },
        { "one member less", "{" AB ",\"params\":{\"a\":1,\"b\":1},"
          "\"arguments\":{\"a\":1}}", AIQ_D_INVOKE_INVALID, "arguments" },
        { "another key", "{" AB ",\"params\":{\"a\":1},\"arguments\":"
          "{\"b\":1}}", AIQ_D_INVOKE_INVALID, "arguments" },
        { "another order of an array", "{" AB ",\"params\":{\"a\":[1,2]},"
          "\"arguments\":{\"a\":[2,1]}}", AIQ_D_INVOKE_INVALID, "arguments" },
        { "a longer array", "{" AB ",\"params\":{\"a\":[1]},"
          "\"arguments\":{\"a\":[1,1]}}", AIQ_D_INVOKE_INVALID, "arguments" },
        { "a longer string", "{" AB ",\"params\":{\"a\":\"x\"},"
          "\"arguments\":{\"a\":\"xy\"}}", AIQ_D_INVOKE_INVALID,
          "arguments" },
        { "deep inside", "{" AB ",\"params\":{\"a\":[[{\"b\":[1,2,3]}]]},"
          "\"arguments\":{\"a\":[[{\"b\":[1,2,4]}]]}}", AIQ_D_INVOKE_INVALID,
          "arguments" },
        { "zero and minus zero", "{" AB ",\"params\":{\"a\":0},"
          "\"arguments\":{\"a\":-0.0}}", AIQ_OK, NULL },
        { "params as an array", "{" AB ",\"params\":[]}",
          AIQ_D_INVOKE_INVALID, "params" },
        { "arguments as a string", "{" AB ",\"arguments\":\"{}\"}",
          AIQ_D_INVOKE_INVALID, "arguments" },
        { "enforce_only as a string", "{" AB ",\"enforce_only\":\"no\"}",
          AIQ_D_INVOKE_INVALID, "enforce_only" },
        { "enforce_only null", "{" AB ",\"enforce_only\":null}",
          AIQ_D_INVOKE_INVALID, "enforce_only" },

        /* copies */

        { "three equal tokens", "{" AB ",\"token\":" TOK ",\"csrg_token\":" TOK
          ",\"intent_token\":{\"token\":" TOK "}}", AIQ_OK, NULL },
        { "token against csrg_token", "{" AB ",\"token\":{\"a\":1},"
          "\"csrg_token\":" TOK "}", AIQ_D_INVOKE_INVALID, "token" },
        { "intent_token.token against csrg_token", "{" AB ",\"csrg_token\":"
          TOK ",\"intent_token\":{\"token\":{\"a\":1}}}", AIQ_D_INVOKE_INVALID,
          "intent_token.token" },
        { "intent_token.token against token", "{" AB ",\"token\":\"x.y.z\","
          "\"intent_token\":{\"token\":\"x.y.w\"}}", AIQ_D_INVOKE_INVALID,
          "intent_token.token" },
        { "an object against a string", "{" AB ",\"token\":\"x.y.z\","
          "\"csrg_token\":" TOK "}", AIQ_D_INVOKE_INVALID, "token" },
        { "a token as an array", "{" AB ",\"token\":[]}",
          AIQ_D_INVOKE_INVALID, "token" },
        { "intent_token as a string", "{" AB ",\"intent_token\":\"x.y.z\"}",
          AIQ_D_INVOKE_INVALID, "intent_token" },
        { "two equal plans", "{" AB ",\"plan\":{\"steps\":[]},"
          "\"intent_token\":{\"plan\":{\"steps\":[]}}}", AIQ_OK, NULL },
        { "two plans", "{" AB ",\"plan\":{\"steps\":[]},"
          "\"intent_token\":{\"plan\":{\"steps\":[1]}}}",
          AIQ_D_INVOKE_INVALID, "intent_token.plan" },
        { "a plan as a string", "{" AB ",\"plan\":\"x\"}",
          AIQ_D_INVOKE_INVALID, "plan" },
        { "nulls are nothing", "{" AB ",\"token\":null,\"plan\":null,"
          "\"merkle_proof\":null,\"intent_token\":null,\"params\":null}",
          AIQ_OK, NULL },
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {

        rc = read_invoke(&v, aiq_cstr(cases[i].body));

        if (!ok(rc == cases[i].rc
                && (cases[i].text == NULL || strstr(err.text, cases[i].text)),
                "invoke: %s", cases[i].what))
        {
            diag("%s: %s", aiq_reason(rc), err.text);
        }
    }
}


static void
test_invoke_values(void)
{
    aiq_invoke_t  v;

    ok(read_invoke(&v, aiq_cstr("{\"mcp\":\"\\u006d\",\"action\":\"a.b\","
                                "\"arguments\":{\"x\":1},\"enforce_only\":true,"
                                "\"intent_token\":{\"token\":\"a.b.c\","
                                "\"plan\":{\"goal\":1}}}")) == AIQ_OK,
       "an envelope with one copy of each");
    ok(aiq_str_is(v.mcp, "m") && aiq_str_is(v.tool, "a.b"), "mcp and action");
    ok(aiq_str_is(aiq_json_raw(&doc, v.args), "{\"x\":1}"), "arguments");
    ok(aiq_str_is(aiq_json_raw(&doc, v.token), "\"a.b.c\""), "token");
    ok(aiq_str_is(aiq_json_raw(&doc, v.plan), "{\"goal\":1}"), "plan");
    ok(v.enforce_only, "enforce_only");

    ok(read_invoke(&v, aiq_cstr("{" AB ",\"enforce_only\":false}")) == AIQ_OK
       && v.args == AIQ_JSON_NONE && v.plan == AIQ_JSON_NONE
       && v.token == AIQ_JSON_NONE && !v.enforce_only, "nothing but a call");

    (void) read_invoke(&v, aiq_cstr("{" AB ",\"token\":{},"
                                    "\"csrg_token\":{\"a\":1}}"));
    ok(v.token == AIQ_JSON_NONE, "of two tokens none is kept");
}


/* every POST /invoke that the published SDKs were seen to send */

static void
test_recorded(const char *file)
{
    char             *text;
    size_t            len;
    uint32_t          i, requests;
    unsigned          seen, bad;
    aiq_mem_t         m;
    aiq_rc_t          rc;
    aiq_str_t         head, body, s;
    aiq_json_t        record;
    aiq_invoke_t      v;
    unsigned char    *buf;

    static const aiq_str_t  post = aiq_string("POST /invoke ");

    text = vectors(file, &len);

    if (text == NULL) {
        skip(file, "no vectors");
        return;
    }

    buf = malloc(MEM_SIZE);
    m.pos = buf;
    m.end = buf + MEM_SIZE;
    s.data = (unsigned char *) text;
    s.len = len;

    rc = aiq_json_parse(&record, s, AIQ_JSON_DEPTH, &m, NULL);
    ok(rc == AIQ_OK, "%s is read", file);

    requests = (rc == AIQ_OK) ? aiq_json_get(&record, 0, "requests")
                              : AIQ_JSON_NONE;
    seen = 0;
    bad = 0;

    for (i = (rc == AIQ_OK) ? aiq_json_first(&record, requests)
                            : AIQ_JSON_NONE;
         i != AIQ_JSON_NONE;
         i = aiq_json_next(&record, requests, i))
    {
        if (aiq_json_string(&record, aiq_json_get(&record, i, "raw_head"),
                            &m, &head) != AIQ_OK
            || head.len < post.len
            || memcmp(head.data, post.data, post.len) != 0
            || aiq_json_string(&record, aiq_json_get(&record, i, "body"),
                               &m, &body) != AIQ_OK)
        {
            continue;
        }

        seen++;
        rc = read_invoke(&v, body);

        if (rc != AIQ_OK || v.token == AIQ_JSON_NONE || v.tool.len == 0
            || v.args == AIQ_JSON_NONE || v.plan == AIQ_JSON_NONE)
        {
            bad++;
            diag("%s: %s", aiq_reason(rc), err.text);
        }
    }

    ok(seen > 0 && bad == 0, "%s: %u of %u envelopes accepted", file,
       seen - bad, seen);

    free(buf);
    free(text);
}


/* whatever memory there is: a result, or NO_MEMORY, never less checking */

static void
test_memory(void)
{
    size_t        n;
    unsigned      bad, none;
    aiq_rc_t      rc;
    aiq_mem_t     small;
    aiq_invoke_t  v;

    (void) read_invoke(&v, aiq_cstr("{\"mc\\u0070\":\"\\u006d\",\"action\":"
                                    "\"\\u0061\",\"tool\":\"\\u0061\"}"));
    bad = 0;
    none = 0;

    for (n = 0; n < 256; n++) {
        small.pos = mem.pos;
        small.end = mem.pos + n;
        rc = aiq_invoke_read(&v, &doc, &small, NULL);
        none += (rc == AIQ_E_NO_MEMORY);
        bad += (rc != AIQ_OK && rc != AIQ_E_NO_MEMORY);
    }

    ok(bad == 0 && none > 0 && none < 256, "invoke: %u sizes too small", none);
}


int
main(void)
{
    test_invoke();
    test_invoke_values();
    test_recorded("wire/recorded_026.json");
    test_recorded("wire/recorded_043.json");
    test_memory();

    return done_testing();
}
