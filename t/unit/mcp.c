
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What an MCP message asks for.
 */


#include "mcp_test.h"


#define LIST      "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\""
#define CALL      "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\""
#define ECHO      CALL ",\"params\":{\"name\":\"echo\"}}"
#define META(v)   "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"" \
                  v "\"}"
#define MODERN    CALL ",\"params\":{\"name\":\"echo\",\"arguments\":{},"      \
                  META("2026-07-28") "}}"


typedef struct {
    const char         *what;
    const char         *body;
    aiq_rc_t            rc;
    aiq_mcp_class_e     cls;
} shape_case_t;

typedef struct {
    const char         *what;
    const char         *body;
    const char         *protocol;
    const char         *method;
    const char         *name;
    aiq_rc_t            rc;
    const char         *revision;
} header_case_t;


static aiq_rc_t read_mcp(aiq_mcp_t *m, const char *body, const char *protocol,
    const char *method, const char *name);
static void test_shapes(void);
static void test_values(void);
static void test_ids(void);
static void test_fold(void);
static void test_methods(void);
static void test_headers(void);
static void test_mirror_encoding(void);
static void test_tool_names(void);
static void test_memory(void);


/* AIQ_DECLINED if the JSON reader refuses it already */

static aiq_rc_t
read_mcp(aiq_mcp_t *m, const char *body, const char *protocol,
    const char *method, const char *name)
{
    aiq_rc_t           rc;
    aiq_mcp_headers_t  h;

    mem.pos = memory;
    mem.end = memory + MEM_SIZE;

    h.protocol = aiq_cstr(protocol);
    h.method = aiq_cstr(method);
    h.name = aiq_cstr(name);

    memset(&err, 0, sizeof(err));

    if (aiq_json_parse(&doc, aiq_cstr(body), AIQ_JSON_DEPTH, &mem, &err)
        != AIQ_OK)
    {
        return AIQ_DECLINED;
    }

    rc = aiq_mcp_read(m, &doc, &h, &mem, &err);

    return rc == AIQ_OK ? aiq_mcp_need(m, NULL, 0, &err) : rc;
}


static void
test_shapes(void)
{
    unsigned   i;
    aiq_rc_t   rc;
    aiq_mcp_t  m;

    static const shape_case_t  cases[] = {

        { "a call", ECHO, AIQ_OK, AIQ_MCP_CALL },
        { "a list without params", LIST "}", AIQ_OK, AIQ_MCP_DISCOVERY },
        { "a list with cursor", LIST ",\"params\":{\"cursor\":\"x\"}}",
          AIQ_OK, AIQ_MCP_DISCOVERY },
        { "an escaped method is the same method",
          "{\"jsonrpc\":\"2.\\u0030\",\"id\":1,\"m\\u0065thod\":"
          "\"tools\\/c\\u0061ll\",\"params\":{\"n\\u0061me\":\"ec\\u0068o\"}}",
          AIQ_OK, AIQ_MCP_CALL },
        { "a call with all that the specification has",
          CALL ",\"params\":{\"name\":\"echo\",\"arguments\":{\"a\":1},"
          "\"_meta\":{\"progressToken\":1},\"task\":{\"ttl\":1},"
          "\"inputResponses\":{},\"requestState\":\"s\"}}",
          AIQ_OK, AIQ_MCP_CALL },
        { "arguments may hold what they like",
          CALL ",\"params\":{\"name\":\"echo\",\"arguments\":{\"Name\":1,"
          "\"method\":\"x\"}}}", AIQ_OK, AIQ_MCP_CALL },

        /* root */

        { "an empty batch", "[]", AIQ_D_BATCH_NOT_ALLOWED, 0 },
        { "a batch of one", "[" ECHO "]", AIQ_D_BATCH_NOT_ALLOWED, 0 },
        { "a batch behind blanks", " \t\r\n[" LIST "}," ECHO "]",
          AIQ_D_BATCH_NOT_ALLOWED, 0 },
        { "a batch in a batch", "[[" ECHO "]]", AIQ_D_BATCH_NOT_ALLOWED, 0 },
        { "a string", "\"tools/call\"", AIQ_D_JSON_NOT_OBJECT, 0 },
        { "null", "null", AIQ_D_JSON_NOT_OBJECT, 0 },
        { "a number", "1", AIQ_D_JSON_NOT_OBJECT, 0 },

        /* envelope */

        { "an empty object", "{}", AIQ_D_RPC_INVALID, 0 },
        { "no jsonrpc", "{\"id\":1,\"method\":\"tools/list\"}",
          AIQ_D_RPC_INVALID, 0 },
        { "jsonrpc 1.0",
          "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"tools/list\"}",
          AIQ_D_RPC_INVALID, 0 },
        { "jsonrpc as a number",
          "{\"jsonrpc\":2.0,\"id\":1,\"method\":\"tools/list\"}",
          AIQ_D_RPC_INVALID, 0 },
        { "no method", "{\"jsonrpc\":\"2.0\",\"id\":1}", AIQ_D_RPC_INVALID,
          0 },
        { "method null",
          "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":null,\"result\":{}}",
          AIQ_D_RPC_INVALID, 0 },
        { "method as an array",
          "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":[\"tools/list\"]}",
          AIQ_D_RPC_INVALID, 0 },
        { "an unknown key", LIST ",\"x\":1}", AIQ_D_RPC_INVALID, 0 },
        { "an empty key", LIST ",\"\":1}", AIQ_D_RPC_INVALID, 0 },
        { "a key that begins like ours", LIST ",\"methods\":1}",
          AIQ_D_RPC_INVALID, 0 },
        { "Method beside method", LIST ",\"Method\":\"tools/call\"}",
          AIQ_D_RPC_AMBIGUOUS, 0 },
        { "METHOD alone",
          "{\"jsonrpc\":\"2.0\",\"id\":1,\"METHOD\":\"tools/list\"}",
          AIQ_D_RPC_AMBIGUOUS, 0 },
        { "param\\u017f", LIST ",\"param\\u017f\":{\"name\":\"x\"}}",
          AIQ_D_RPC_AMBIGUOUS, 0 },
        { "params with a raw long s", LIST ",\"param\xc5\xbf\":{}}",
          AIQ_D_RPC_AMBIGUOUS, 0 },
        { "re\\u017Fult", LIST ",\"re\\u017Fult\":{}}", AIQ_D_RPC_AMBIGUOUS,
          0 },

        /* responses */

        { "a response", "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}",
          AIQ_OK, AIQ_MCP_RESPONSE },
        { "an error response",
          "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"error\":{\"code\":1,"
          "\"message\":\"m\"}}", AIQ_OK, AIQ_MCP_RESPONSE },
        { "a response without id", "{\"jsonrpc\":\"2.0\",\"result\":{}}",
          AIQ_D_RPC_INVALID, 0 },
        { "an error that is no object",
          "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":1}",
          AIQ_D_RPC_INVALID, 0 },
        { "result and error",
          "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{},\"error\":{}}",
          AIQ_D_RPC_INVALID, 0 },
        { "method and result", LIST ",\"result\":{}}", AIQ_D_RPC_INVALID, 0 },
        { "method and error", LIST ",\"error\":{}}", AIQ_D_RPC_INVALID, 0 },
        { "method and result null", LIST ",\"result\":null}",
          AIQ_D_RPC_INVALID, 0 },
        { "a response with params",
          "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{},\"params\":{}}",
          AIQ_D_RPC_INVALID, 0 },

        /* params */

        { "params as an array", LIST ",\"params\":[]}", AIQ_D_RPC_INVALID,
          0 },
        { "params null", LIST ",\"params\":null}", AIQ_D_RPC_INVALID, 0 },
        { "a call without params", CALL "}", AIQ_D_RPC_INVALID, 0 },
        { "a call with params as an array", CALL ",\"params\":[\"echo\"]}",
          AIQ_D_RPC_INVALID, 0 },
        { "a call without name", CALL ",\"params\":{}}", AIQ_D_RPC_INVALID,
          0 },
        { "name null", CALL ",\"params\":{\"name\":null}}",
          AIQ_D_RPC_INVALID, 0 },
        { "name as an object", CALL ",\"params\":{\"name\":{}}}",
          AIQ_D_RPC_INVALID, 0 },
        { "an empty name", CALL ",\"params\":{\"name\":\"\"}}",
          AIQ_D_RPC_INVALID, 0 },
        { "a name with a blank", CALL ",\"params\":{\"name\":\"a b\"}}",
          AIQ_D_RPC_INVALID, 0 },
        { "a name with an escaped newline",
          CALL ",\"params\":{\"name\":\"a\\nb\"}}", AIQ_D_RPC_INVALID, 0 },
        { "a name outside ASCII",
          CALL ",\"params\":{\"name\":\"caf\xc3\xa9\"}}",
          AIQ_D_RPC_INVALID, 0 },
        { "a name of 128", CALL ",\"params\":{\"name\":\"" N128 "\"}}",
          AIQ_OK, AIQ_MCP_CALL },
        { "a name of 129", CALL ",\"params\":{\"name\":\"" N128 "a\"}}",
          AIQ_D_RPC_INVALID, 0 },
        { "arguments null", CALL ",\"params\":{\"name\":\"echo\","
          "\"arguments\":null}}", AIQ_D_RPC_INVALID, 0 },
        { "arguments as an array", CALL ",\"params\":{\"name\":\"echo\","
          "\"arguments\":[1]}}", AIQ_D_RPC_INVALID, 0 },
        { "_meta as an array", CALL ",\"params\":{\"name\":\"echo\","
          "\"_meta\":[]}}", AIQ_D_RPC_INVALID, 0 },
        { "_meta null in a list", LIST ",\"params\":{\"_meta\":null}}",
          AIQ_D_RPC_INVALID, 0 },
        { "another member of params", CALL ",\"params\":{\"name\":\"echo\","
          "\"x\":1}}", AIQ_D_RPC_INVALID, 0 },
        { "Name beside name", CALL ",\"params\":{\"name\":\"echo\","
          "\"Name\":\"x\"}}", AIQ_D_RPC_AMBIGUOUS, 0 },
        { "argument\\u017f", CALL ",\"params\":{\"name\":\"echo\","
          "\"argument\\u017f\":{}}}", AIQ_D_RPC_AMBIGUOUS, 0 },
        { "ta\\u017f\\u212a", CALL ",\"params\":{\"name\":\"echo\","
          "\"ta\\u017f\\u212a\":{}}}", AIQ_D_RPC_AMBIGUOUS, 0 },
        { "_META", CALL ",\"params\":{\"name\":\"echo\",\"_META\":{}}}",
          AIQ_D_RPC_AMBIGUOUS, 0 },
        { "_Meta in a list", LIST ",\"params\":{\"_Meta\":{}}}",
          AIQ_D_RPC_AMBIGUOUS, 0 },
        { "a token under a name like ours",
          CALL ",\"params\":{\"name\":\"echo\",\"_meta\":{"
          "\"io.ArmorIQ/intent-token\":\"x\"}}}", AIQ_D_RPC_AMBIGUOUS, 0 },

        /* what the reader sees already */

        { "name twice", CALL ",\"params\":{\"name\":\"a\",\"name\":\"b\"}}",
          AIQ_DECLINED, 0 },
        { "name twice, once escaped",
          CALL ",\"params\":{\"name\":\"a\",\"n\\u0061me\":\"b\"}}",
          AIQ_DECLINED, 0 },
        { "two texts", ECHO ECHO, AIQ_DECLINED, 0 },
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {

        rc = read_mcp(&m, cases[i].body, NULL, NULL, NULL);

        if (!ok(rc == cases[i].rc && (rc != AIQ_OK || m.cls == cases[i].cls),
                "%s", cases[i].what))
        {
            diag("%s, class %d: %s", aiq_reason(rc), m.cls, err.text);
        }

        if (aiq_is_denied(rc)) {
            ok(err.rc == rc && err.text[0], "... with a sentence: %s",
               err.text);
        }
    }
}


static void
test_values(void)
{
    aiq_mcp_t  m;

    (void) read_mcp(&m, CALL ",\"params\":{\"arguments\":{\"a\":[1]},"
                    "\"name\":\"ec\\u0068o\",\"_meta\":{\"b\":2}}}",
                    NULL, NULL, NULL);

    ok(aiq_str_is(m.method, "tools/call"), "method");
    ok(aiq_str_is(m.tool, "echo"), "tool, unescaped");
    ok(aiq_str_is(aiq_json_raw(&doc, m.args), "{\"a\":[1]}"), "arguments");
    ok(aiq_str_is(aiq_json_raw(&doc, m.meta), "{\"b\":2}"), "_meta");
    ok(aiq_str_is(m.revision, "2025-03-26") && !m.modern && !m.notification,
       "defaults");

    (void) read_mcp(&m, ECHO, NULL, NULL, NULL);
    ok(m.args == AIQ_JSON_NONE && m.meta == AIQ_JSON_NONE,
       "no arguments, no _meta");

    ok(read_mcp(&m, "{\"jsonrpc\":\"2.0\",\"method\":\"tools/call\","
                "\"params\":{\"name\":\"echo\"}}", NULL, NULL, NULL) == AIQ_OK
       && m.cls == AIQ_MCP_CALL && m.notification && m.id.len == 0,
       "a call without id is a call");

    ok(read_mcp(&m, "{\"jsonrpc\":\"2.0\",\"method\":"
                "\"notifications/initialized\"}", NULL, NULL, NULL) == AIQ_OK
       && m.cls == AIQ_MCP_DISCOVERY && m.notification, "a notification");

    ok(read_mcp(&m, "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\","
                "\"params\":{\"protocolVersion\":\"2099-01-01\","
                "\"capabilities\":{},\"clientInfo\":{\"name\":\"c\"}}}",
                NULL, NULL, NULL) == AIQ_OK
       && aiq_str_is(m.revision, "2025-03-26"),
       "initialize: an offer is not the revision");
}


static void
test_ids(void)
{
    char        body[4096];
    unsigned    i;
    aiq_rc_t    rc;
    aiq_mcp_t   m;

    static const char  *good[] = {
        "0", "1", "-1", "9007199254740991", "-9007199254740991", "\"\"",
        "\"a\"", "\"\\u0061\\\"\"", "\"\xc3\xa9\""
    };

    static const char  *bad[] = {
        "null", "1.0", "1e3", "1.5", "-0", "true", "{}", "[]", "[1]"
    };

    static const char  *refused[] = {
        "{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"method\":\"resources/read\"}",
        "{\"jsonrpc\":\"3.0\",\"id\":\"q\",\"method\":\"tools/list\"}",
        "{\"x\":1,\"jsonrpc\":\"2.0\",\"id\":\"q\",\"method\":\"tools/list\"}",
        "{\"METHOD\":1,\"method\":\"tools/list\",\"id\":\"q\"}",
        "{\"id\":\"q\"}",
        CALL ",\"x\":1}"
    };

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        snprintf(body, sizeof(body), "{\"jsonrpc\":\"2.0\",\"id\": %s ,"
                 "\"method\":\"tools/list\"}", good[i]);
        rc = read_mcp(&m, body, NULL, NULL, NULL);
        ok(rc == AIQ_OK && aiq_str_is(m.id, good[i]), "id %s as written",
           good[i]);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(body, sizeof(body), "{\"jsonrpc\":\"2.0\",\"id\":%s,"
                 "\"method\":\"tools/list\"}", bad[i]);
        rc = read_mcp(&m, body, NULL, NULL, NULL);
        ok(rc == AIQ_D_RPC_INVALID && m.id.len == 0, "id %s", bad[i]);
    }

    for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        rc = read_mcp(&m, refused[i], NULL, NULL, NULL);
        ok(aiq_is_denied(rc)
           && aiq_str_is(m.id, i == 5 ? "1" : "\"q\""),
           "refused (%s), and the id is known", aiq_reason(rc));
    }

    rc = read_mcp(&m, "[{\"id\":1}]", NULL, NULL, NULL);
    ok(m.id.len == 0, "a batch has no id");
}


static void
test_fold(void)
{
    unsigned  i;

    static const struct {
        const char  *a;
        const char  *b;
        int          same;
    } cases[] = {
        { "name", "name", 1 },
        { "NAME", "name", 1 },
        { "name", "nAmE", 1 },
        { "", "", 1 },
        { "param\xc5\xbf", "params", 1 },
        { "PARAMS", "param\xc5\xbf", 1 },
        { "ta\xc5\xbf\xe2\x84\xaa", "task", 1 },
        { "\xe2\x84\xaa", "K", 1 },
        { "\xc5\xbf", "S", 1 },
        { "name", "names", 0 },
        { "names", "name", 0 },
        { "", "a", 0 },
        { "\xc5", "s", 0 },
        { "\xe2\x84", "k", 0 },
        { "\xe2\x84\xab", "k", 0 },
        { "\xc5\xbe", "s", 0 },
        { "@", "`", 0 },
        { "[", "{", 0 },
        { "-", "_", 0 },
        { "\xc3\x89", "\xc3\xa9", 0 },
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ok(aiq_mcp_fold_eq(aiq_cstr(cases[i].a), aiq_cstr(cases[i].b))
           == cases[i].same, "fold %u", i);
    }
}


static void
test_methods(void)
{
    char       body[1024];
    unsigned   i;
    aiq_rc_t   rc;
    aiq_mcp_t  m;

    static const char  *discovery[] = {
        "initialize", "ping", "server/discover", "notifications/initialized",
        "notifications/cancelled", "notifications/progress",
        "notifications/roots/list_changed", "tools/list", "resources/list",
        "resources/templates/list", "prompts/list"
    };

    static const char  *refused[] = {
        "tools/call2", "Tools/Call", "tools/Call", "TOOLS/CALL", "tools/call/",
        "/tools/call", "tools//call", "tools/cal", "tools", "t",
        "completion/complete", "resources/read", "resources/subscribe",
        "prompts/get", "tasks/get", "tasks/cancel", "sampling/createMessage",
        "elicitation/create", "roots/list", "logging/setLevel",
        "logging/setLevel", "notifications/x", "rpc.discover", "Initialize"
    };

    static const char  *invalid[] = {
        "", " tools/call", "tools/call ", "tools/call\\u0009",
        "tools\\u2215call", "t\xd0\xbeols/call", "tools/call\\u200b",
        "tools/call\\u007f", N128 "a"
    };

    for (i = 0; i < sizeof(discovery) / sizeof(discovery[0]); i++) {
        snprintf(body, sizeof(body), "{\"jsonrpc\":\"2.0\",\"id\":1,"
                 "\"method\":\"%s\"}", discovery[i]);
        rc = read_mcp(&m, body, NULL, NULL, NULL);
        ok(rc == AIQ_OK && m.cls == AIQ_MCP_DISCOVERY
           && aiq_str_is(m.method, discovery[i]), "%s", discovery[i]);
    }

    for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        snprintf(body, sizeof(body), "{\"jsonrpc\":\"2.0\",\"id\":1,"
                 "\"method\":\"%s\",\"params\":{\"name\":\"echo\"}}",
                 refused[i]);
        rc = read_mcp(&m, body, NULL, NULL, NULL);
        ok(rc == AIQ_D_RPC_METHOD, "refused: %s", refused[i]);
    }

    for (i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
        snprintf(body, sizeof(body), "{\"jsonrpc\":\"2.0\",\"id\":1,"
                 "\"method\":\"%s\",\"params\":{\"name\":\"echo\"}}",
                 invalid[i]);
        rc = read_mcp(&m, body, NULL, NULL, NULL);
        ok(rc == AIQ_D_RPC_INVALID && m.method.len == 0, "invalid: \"%s\"",
           invalid[i]);
    }

    snprintf(body, sizeof(body), "{\"jsonrpc\":\"2.0\",\"id\":1,"
             "\"method\":\"%s\"}", N128);
    ok(read_mcp(&m, body, NULL, NULL, NULL) == AIQ_D_RPC_METHOD,
       "a method of 128 is only unknown");
}


static void
test_headers(void)
{
    unsigned   i;
    aiq_rc_t   rc;
    aiq_mcp_t  m;

    static const header_case_t  cases[] = {

        /* legacy */

        { "no header", ECHO, NULL, NULL, NULL, AIQ_OK, "2025-03-26" },
        { "2025-03-26", ECHO, "2025-03-26", NULL, NULL, AIQ_OK, "2025-03-26" },
        { "2025-06-18", ECHO, "2025-06-18", NULL, NULL, AIQ_OK, "2025-06-18" },
        { "2025-11-25", ECHO, "2025-11-25", NULL, NULL, AIQ_OK, "2025-11-25" },
        { "2024-11-05, negotiated with an old server", ECHO, "2024-11-05",
          NULL, NULL, AIQ_OK, "2024-11-05" },
        { "blanks around it", ECHO, " \t2025-11-25\t ", NULL, NULL, AIQ_OK,
          "2025-11-25" },
        { "an unknown revision", ECHO, "2025-11-26", NULL, NULL,
          AIQ_D_PROTOCOL_VERSION, NULL },
        { "a later revision", ECHO, "2027-01-01", NULL, NULL,
          AIQ_D_PROTOCOL_VERSION, NULL },
        { "an empty header", ECHO, "", NULL, NULL, AIQ_D_PROTOCOL_VERSION,
          NULL },
        { "a list of revisions", ECHO, "2025-11-25, 2025-06-18", NULL, NULL,
          AIQ_D_PROTOCOL_VERSION, NULL },
        { "part of a revision", ECHO, "2025-11-2", NULL, NULL,
          AIQ_D_PROTOCOL_VERSION, NULL },
        { "legacy _meta alone", CALL ",\"params\":{\"name\":\"echo\","
          META("2025-11-25") "}}", NULL, NULL, NULL, AIQ_OK, "2025-11-25" },
        { "legacy _meta equal", CALL ",\"params\":{\"name\":\"echo\","
          META("2025-11-25") "}}", "2025-11-25", NULL, NULL, AIQ_OK,
          "2025-11-25" },
        { "legacy _meta different", CALL ",\"params\":{\"name\":\"echo\","
          META("2025-11-25") "}}", "2025-06-18", NULL, NULL,
          AIQ_D_HEADER_MISMATCH, NULL },
        { "unknown _meta", CALL ",\"params\":{\"name\":\"echo\","
          META("2025-11-26") "}}", NULL, NULL, NULL, AIQ_D_PROTOCOL_VERSION,
          NULL },
        { "_meta that is not a string", LIST ",\"params\":{\"_meta\":{"
          "\"io.modelcontextprotocol/protocolVersion\":20251125}}}",
          NULL, NULL, NULL, AIQ_D_RPC_INVALID, NULL },
        { "_meta in another case", LIST ",\"params\":{\"_meta\":{"
          "\"io.modelcontextprotocol/ProtocolVersion\":\"2026-07-28\"}}}",
          NULL, NULL, NULL, AIQ_D_RPC_AMBIGUOUS, NULL },

        /* mirrors of a legacy client */

        { "right mirrors", ECHO, NULL, "tools/call", "echo", AIQ_OK,
          "2025-03-26" },
        { "a wrong method", ECHO, NULL, "tools/list", "echo",
          AIQ_D_HEADER_MISMATCH, NULL },
        { "a method in another case", ECHO, NULL, "Tools/call", NULL,
          AIQ_D_HEADER_MISMATCH, NULL },
        { "an empty method", ECHO, NULL, "", NULL, AIQ_D_HEADER_MISMATCH,
          NULL },
        { "a wrong name", ECHO, NULL, NULL, "printEnv",
          AIQ_D_HEADER_MISMATCH, NULL },
        { "a name in another case", ECHO, NULL, NULL, "Echo",
          AIQ_D_HEADER_MISMATCH, NULL },
        { "an empty name", ECHO, NULL, NULL, "", AIQ_D_HEADER_MISMATCH,
          NULL },
        { "a name where there is none", LIST "}", NULL, NULL, "echo",
          AIQ_D_HEADER_MISMATCH, NULL },
        { "an empty name where there is none", LIST "}", NULL, NULL, "",
          AIQ_D_HEADER_MISMATCH, NULL },
        { "blanks around mirrors", ECHO, NULL, " tools/call\t", "\techo ",
          AIQ_OK, "2025-03-26" },
        { "a method of a response", "{\"jsonrpc\":\"2.0\",\"id\":1,"
          "\"result\":{}}", NULL, "tools/call", NULL, AIQ_D_HEADER_MISMATCH,
          NULL },

        /* modern */

        { "modern", MODERN, "2026-07-28", "tools/call", "echo", AIQ_OK,
          "2026-07-28" },
        { "modern, no header", MODERN, NULL, "tools/call", "echo",
          AIQ_D_HEADER_MISMATCH, NULL },
        { "modern, legacy header", MODERN, "2025-11-25", "tools/call", "echo",
          AIQ_D_HEADER_MISMATCH, NULL },
        { "modern header, legacy _meta", CALL ",\"params\":{\"name\":\"echo\","
          META("2025-11-25") "}}", "2026-07-28", "tools/call", "echo",
          AIQ_D_HEADER_MISMATCH, NULL },
        { "modern header, unknown _meta", CALL ",\"params\":{\"name\":\"echo\","
          META("2999-01-01") "}}", "2026-07-28", "tools/call", "echo",
          AIQ_D_HEADER_MISMATCH, NULL },
        { "unknown, and the same in both", CALL ",\"params\":{\"name\":"
          "\"echo\"," META("2999-01-01") "}}", "2999-01-01", "tools/call",
          "echo", AIQ_D_PROTOCOL_VERSION, NULL },
        { "modern header, no _meta", ECHO, "2026-07-28", "tools/call", "echo",
          AIQ_D_RPC_PARAMS, NULL },
        { "modern header, list without params", LIST "}", "2026-07-28",
          "tools/list", NULL, AIQ_D_RPC_PARAMS, NULL },
        { "modern header, notification without _meta",
          "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\"}",
          "2026-07-28", "notifications/cancelled", NULL, AIQ_OK,
          "2026-07-28" },
        { "modern header, call without id and _meta",
          "{\"jsonrpc\":\"2.0\",\"method\":\"tools/call\","
          "\"params\":{\"name\":\"echo\"}}", "2026-07-28", "tools/call",
          "echo", AIQ_D_RPC_PARAMS, NULL },
        { "modern, no Mcp-Method", MODERN, "2026-07-28", NULL, "echo",
          AIQ_D_HEADER_MISMATCH, NULL },
        { "modern, no Mcp-Name", MODERN, "2026-07-28", "tools/call", NULL,
          AIQ_D_HEADER_MISMATCH, NULL },
        { "modern, wrong Mcp-Method", MODERN, "2026-07-28", "tools/list",
          "echo", AIQ_D_HEADER_MISMATCH, NULL },
        { "modern, wrong Mcp-Name", MODERN, "2026-07-28", "tools/call",
          "printEnv", AIQ_D_HEADER_MISMATCH, NULL },
        { "modern list", LIST ",\"params\":{" META("2026-07-28") "}}",
          "2026-07-28", "tools/list", NULL, AIQ_OK, "2026-07-28" },
        { "modern list, no Mcp-Method", LIST ",\"params\":{"
          META("2026-07-28") "}}", "2026-07-28", NULL, NULL,
          AIQ_D_HEADER_MISMATCH, NULL },
        { "modern response", "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}",
          "2026-07-28", NULL, NULL, AIQ_D_RPC_INVALID, NULL },
        { "legacy response", "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}",
          "2025-11-25", NULL, NULL, AIQ_OK, "2025-11-25" },
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {

        rc = read_mcp(&m, cases[i].body, cases[i].protocol, cases[i].method,
                      cases[i].name);

        if (!ok(rc == cases[i].rc
                && (rc != AIQ_OK
                    || (aiq_str_is(m.revision, cases[i].revision)
                        && m.modern
                           == !strcmp(cases[i].revision, "2026-07-28"))),
                "header: %s", cases[i].what))
        {
            diag("%s: %s", aiq_reason(rc), err.text);
        }
    }
}


static void
test_mirror_encoding(void)
{
    unsigned   i;
    aiq_rc_t   rc;
    aiq_mcp_t  m;

    static const struct {
        const char  *name;
        int          same;
    } cases[] = {
        { "=?base64?ZWNobw==?=", 1 },
        { " =?base64?ZWNobw==?= ", 1 },
        { "=?base64?ZWNobw?=", 0 },
        { "=?base64?ZWNobw=?=", 0 },
        { "=?base64?ZWNobx==?=", 0 },
        { "=?base64?ZWNo bw==?=", 0 },
        { "=?base64?ZWNobw==", 0 },
        { "=?base64?ZWNobw==?", 0 },
        { "=?base64?" "?=", 0 },
        { "=?base64?=", 0 },
        { "=?base64?", 0 },
        { "=?BASE64?ZWNobw==?=", 0 },
        { "=?base64?ZWNobwA=?=", 0 },
        { "=?base64?RWNobw==?=", 0 },
        { "=?base64?" N128 N128 "?=", 0 },
        { "=?base64?" N128 N128 "aaaa?=", 0 },
        { "ZWNobw==", 0 },
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rc = read_mcp(&m, ECHO, NULL, NULL, cases[i].name);
        ok(rc == (cases[i].same ? AIQ_OK : AIQ_D_HEADER_MISMATCH),
           "Mcp-Name: %s", cases[i].name);
    }

    rc = read_mcp(&m, CALL ",\"params\":{\"name\":\"=?base64?eA==?=\"}}",
                  NULL, NULL, "=?base64?eA==?=");
    ok(rc == AIQ_D_HEADER_MISMATCH, "a name that looks encoded: as it is");

    rc = read_mcp(&m, CALL ",\"params\":{\"name\":\"=?base64?eA==?=\"}}",
                  NULL, NULL, "=?base64?PT9iYXNlNjQ/ZUE9PT89?=");
    ok(rc == AIQ_OK, "a name that looks encoded: encoded");
}


static void
test_tool_names(void)
{
    aiq_str_t  s;

    ok(aiq_mcp_tool_ok(aiq_cstr("a")) && aiq_mcp_tool_ok(aiq_cstr("!~"))
       && aiq_mcp_tool_ok(aiq_cstr(N128)), "fit");
    ok(!aiq_mcp_tool_ok(aiq_cstr("")) && !aiq_mcp_tool_ok(aiq_cstr(N128 "a"))
       && !aiq_mcp_tool_ok(aiq_cstr("a b"))
       && !aiq_mcp_tool_ok(aiq_cstr("a\x7f"))
       && !aiq_mcp_tool_ok(aiq_cstr("a\n"))
       && !aiq_mcp_tool_ok(aiq_cstr("\x80")), "not fit");

    aiq_str_set(&s, "a\0b");
    ok(!aiq_mcp_tool_ok(s), "NUL is not fit");
}


/* whatever memory there is: a result, or NO_MEMORY, never less checking */

static void
test_memory(void)
{
    size_t             n;
    unsigned           bad, none;
    aiq_rc_t           rc;
    aiq_mcp_t          m;
    aiq_mem_t          small;
    aiq_mcp_headers_t  h;

    memset(&h, 0, sizeof(h));

    (void) read_mcp(&m, "{\"jsonrpc\":\"2.0\",\"id\":1,\"m\\u0065thod\":"
                    "\"tools/c\\u0061ll\",\"params\":{\"n\\u0061me\":"
                    "\"\\u0065cho\"}}", NULL, NULL, NULL);
    bad = 0;
    none = 0;

    for (n = 0; n < 256; n++) {
        small.pos = mem.pos;
        small.end = mem.pos + n;
        rc = aiq_mcp_read(&m, &doc, &h, &small, NULL);
        none += (rc == AIQ_E_NO_MEMORY);
        bad += (rc != AIQ_OK && rc != AIQ_E_NO_MEMORY);
    }

    ok(bad == 0 && none > 0 && none < 256, "mcp: %u sizes too small", none);
}


int
main(void)
{
    test_shapes();
    test_values();
    test_ids();
    test_fold();
    test_methods();
    test_headers();
    test_mirror_encoding();
    test_tool_names();
    test_memory();

    return done_testing();
}
