
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What /invoke says to a server of MCP, byte by byte, and what it reads of
 * the answer to "initialize".
 */


#include "mcp_call.h"
#include "tap.h"


#define HEAD(id)  "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":"            \
                  "\"tools/call\",\"params\":{\"name\":"
#define RESULT(v) "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{"                \
                  "\"protocolVersion\":\"" v "\",\"capabilities\":{}}}"
#define NOTE      "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}"


typedef struct {
    const char         *what;
    const char         *args;         /* "params" of the envelope, or NULL */
    const char         *want;         /* the arguments that are sent */
    int                 email;
} args_case_t;

typedef struct {
    const char         *what;
    const char         *text;
    int                 sse;
    aiq_rc_t            rc;
    const char         *version;
} answer_case_t;


static aiq_str_t call(const char *tool, const char *args, int email,
    uint64_t id, const char *modern);
static void test_args(void);
static void test_frame(void);
static void test_read_back(void);
static void test_no_room(void);
static void test_initialize(void);
static void test_answers(void);
static void test_partial(void);
static void test_notes(void);
static void test_exact_memory(void);


static unsigned char  memory[1024 * 1024], written[65536];
static aiq_mem_t      mem;
static aiq_json_t     doc;
static aiq_invoke_t   v;
static aiq_out_t      out;


static aiq_str_t
call(const char *tool, const char *args, int email, uint64_t id,
    const char *modern)
{
    static char  envelope[32768];

    mem.pos = memory;
    mem.end = memory + sizeof(memory);

    snprintf(envelope, sizeof(envelope), "{\"mcp\":\"fs\",\"action\":%s%s%s}",
             tool, args ? ",\"params\":" : "", args ? args : "");

    aiq_out_init(&out, written, sizeof(written));

    if (aiq_json_parse(&doc, aiq_cstr(envelope), AIQ_JSON_DEPTH, &mem, NULL)
        != AIQ_OK
        || aiq_invoke_read(&v, &doc, &mem, NULL) != AIQ_OK)
    {
        diag("not an envelope: %s", envelope);
        return aiq_cstr("");
    }

    aiq_mcp_write_call(&out, &doc, &v, email, id, aiq_cstr(modern));

    return aiq_out_done(&out);
}


static void
test_args(void)
{
    char       want[4096];
    size_t     i;
    aiq_str_t  got;

    static const args_case_t  cases[] = {

        { "none", NULL, "{}", 0 },
        { "empty", "{}", "{}", 0 },
        { "empty, with blanks", " { } ", "{}", 0 },
        { "numbers as they were written",
          "{\"a\":1.10,\"b\":1e2,\"c\":-0,\"d\":0.0,\"e\":1E+2,\"f\":100,"
          "\"g\":9007199254740991,\"h\":1.0e-7,\"i\":0.1000000000000000055}",
          "{\"a\":1.10,\"b\":1e2,\"c\":-0,\"d\":0.0,\"e\":1E+2,\"f\":100,"
          "\"g\":9007199254740991,\"h\":1.0e-7,\"i\":0.1000000000000000055}",
          0 },
        { "escapes as they were written",
          "{\"a\":\"\\u0041\\/\\n\\u00e9\\ud83d\\ude02\",\"b\":\"A/\"}",
          "{\"a\":\"\\u0041\\/\\n\\u00e9\\ud83d\\ude02\",\"b\":\"A/\"}", 0 },
        { "escapes in keys", "{\"\\u0061\\/\\\"\":1,\"\\u005f\":2}",
          "{\"\\u0061\\/\\\"\":1,\"\\u005f\":2}", 0 },
        { "bytes beyond ASCII", "{\"\xc3\xa9\":\"\xf0\x9f\x98\x82\"}",
          "{\"\xc3\xa9\":\"\xf0\x9f\x98\x82\"}", 0 },
        { "blanks inside values stay, between members they go",
          "{ \"a\" : { \"x\" : [ 1 , 2 ] } ,\n \"b\" :\t\" y \" }",
          "{\"a\":{ \"x\" : [ 1 , 2 ] },\"b\":\" y \"}", 0 },
        { "the order of members", "{\"z\":1,\"a\":2,\"m\":3}",
          "{\"z\":1,\"a\":2,\"m\":3}", 0 },
        { "an empty key", "{\"\":0}", "{\"\":0}", 0 },
        { "literals", "{\"a\":null,\"b\":true,\"c\":false,\"d\":[],\"e\":{}}",
          "{\"a\":null,\"b\":true,\"c\":false,\"d\":[],\"e\":{}}", 0 },

        { "what SDKs add",
          "{\"_iam_context\":{\"a\":1},\"a\":1,\"_policy_context\":[],"
          "\"b\":2,\"_delegation_id\":\"x\",\"_approvals\":null}",
          "{\"a\":1,\"b\":2}", 0 },
        { "nothing but what SDKs add", "{\"_iam_context\":{},\"_approvals\":0}",
          "{}", 0 },
        { "what SDKs add, in escapes",
          "{\"_\\u0069am_context\":1,\"a\":1,\"\\u005fapprovals\":2}",
          "{\"a\":1}", 0 },
        { "names that only begin like it",
          "{\"_iam_contexts\":1,\"_iam_contex\":2,\"iam_context\":3,"
          "\"_IAM_CONTEXT\":4}",
          "{\"_iam_contexts\":1,\"_iam_contex\":2,\"iam_context\":3,"
          "\"_IAM_CONTEXT\":4}", 0 },
        { "deeper down they are the tool's",
          "{\"a\":{\"_iam_context\":1,\"user_email\":\"x\"}}",
          "{\"a\":{\"_iam_context\":1,\"user_email\":\"x\"}}", 0 },
        { "user_email of the SDK", "{\"a\":1,\"user_email\":\"x\"}",
          "{\"a\":1}", 0 },
        { "user_email first", "{\"user_email\":\"x\",\"a\":1}", "{\"a\":1}",
          0 },
        { "user_email in escapes", "{\"user\\u005femail\":\"x\",\"a\":1}",
          "{\"a\":1}", 0 },
        { "user_email of the tool", "{\"a\":1,\"user_email\":\"x\"}",
          "{\"a\":1,\"user_email\":\"x\"}", 1 },
        { "what SDKs add, and user_email of the tool",
          "{\"_approvals\":[],\"user_email\":\"x\"}",
          "{\"user_email\":\"x\"}", 1 }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        got = call("\"read\"", cases[i].args, cases[i].email, 1, "");

        snprintf(want, sizeof(want), HEAD("1") "\"read\",\"arguments\":%s}}",
                 cases[i].want);

        if (!ok(!out.failed && aiq_str_is(got, want), "arguments: %s",
                cases[i].what))
        {
            diag("%.*s", (int) got.len, (const char *) got.data);
        }
    }
}


static void
test_frame(void)
{
    aiq_str_t  got;

    got = call("\"read\"", "{\"a\":1}", 0, 9007199254740991ULL,
               "2026-07-28");

    ok(aiq_str_is(got, HEAD("9007199254740991") "\"read\",\"arguments\":"
                  "{\"a\":1},\"_meta\":{"
                  "\"io.modelcontextprotocol/protocolVersion\":"
                  "\"2026-07-28\","
                  "\"io.modelcontextprotocol/clientInfo\":{\"name\":"
                  "\"armoriq\",\"version\":\"" AIQ_VERSION "\"},"
                  "\"io.modelcontextprotocol/clientCapabilities\":{}}}}"),
       "a modern call");

    got = call("\"r\\u0065ad \\\"x\\\" \\\\ \xc3\xa9\"", NULL, 0, 0, "");

    ok(aiq_str_is(got, HEAD("0") "\"read \\\"x\\\" \\\\ \xc3\xa9\","
                  "\"arguments\":{}}}"),
       "the name of a tool cannot leave its string");
}


/* our own reader sees the call that was judged */

static void
test_read_back(void)
{
    size_t             i;
    unsigned           n;
    aiq_mcp_t          m;
    aiq_str_t          got;
    aiq_json_t         call_doc;
    aiq_mcp_headers_t  h;

    static const char *const  args[] = {
        "{}", "{\"a\":1.10}", "{\"_approvals\":1,\"x\":{\"y\":[1,2,{}]}}",
        "{\"name\":\"evil\",\"method\":\"tools/list\",\"arguments\":{}}"
    };

    memset(&h, 0, sizeof(h));

    n = 0;

    for (i = 0; i < sizeof(args) / sizeof(args[0]); i++) {
        got = call("\"read\"", args[i], 0, 3, "");

        n += aiq_json_parse(&call_doc, got, AIQ_JSON_DEPTH, &mem, NULL)
                 == AIQ_OK
             && aiq_mcp_read(&m, &call_doc, &h, &mem, NULL) == AIQ_OK
             && m.cls == AIQ_MCP_CALL && aiq_str_is(m.tool, "read")
             && aiq_str_is(m.id, "3") && !m.notification
             && aiq_json_type(&call_doc, m.args) == AIQ_JSON_OBJECT;
    }

    h.protocol = aiq_cstr("2026-07-28");
    h.method = aiq_cstr("tools/call");
    h.name = aiq_cstr("read");

    got = call("\"read\"", "{\"a\":1}", 0, 3, "2026-07-28");

    n += aiq_json_parse(&call_doc, got, AIQ_JSON_DEPTH, &mem, NULL) == AIQ_OK
         && aiq_mcp_read(&m, &call_doc, &h, &mem, NULL) == AIQ_OK
         && m.modern && m.cls == AIQ_MCP_CALL;

    ok(n == i + 1, "our own reader takes it");
}


static void
test_no_room(void)
{
    size_t     size, len;
    unsigned   n;
    aiq_str_t  got;

    got = call("\"read\"", "{\"a\":[1,2,3],\"b\":\"c\"}", 0, 1, "2026-07-28");
    len = got.len;
    n = 0;

    for (size = 0; size < len; size++) {
        memset(written, 0xcc, sizeof(written));

        aiq_out_init(&out, written, size);
        aiq_mcp_write_call(&out, &doc, &v, 0, 1, aiq_cstr("2026-07-28"));

        n += (out.failed && written[size] == 0xcc);
    }

    aiq_out_init(&out, written, len);
    aiq_mcp_write_call(&out, &doc, &v, 0, 1, aiq_cstr("2026-07-28"));

    ok(n == len && !out.failed && aiq_out_done(&out).len == len,
       "what does not fit has failed");
}


static void
test_initialize(void)
{
    aiq_out_init(&out, written, sizeof(written));
    aiq_mcp_write_initialize(&out, 7, aiq_cstr("2025-11-25"));

    ok(!out.failed
       && aiq_str_is(aiq_out_done(&out),
                     "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":"
                     "\"initialize\",\"params\":{\"protocolVersion\":"
                     "\"2025-11-25\",\"capabilities\":{},\"clientInfo\":"
                     "{\"name\":\"armoriq\",\"version\":\"" AIQ_VERSION
                     "\"}}}"), "initialize");
}


static aiq_rc_t
read_answer(aiq_str_t text, int sse, aiq_str_t *version)
{
    mem.pos = memory;
    mem.end = memory + sizeof(memory);

    aiq_str_null(version);

    return aiq_mcp_read_initialized(text, sse, 7, &mem, version);
}


static void
test_answers(void)
{
    size_t     i;
    aiq_rc_t   rc;
    aiq_str_t  version;

    static const answer_case_t  cases[] = {

        { "an answer", RESULT("2025-11-25"), 0, AIQ_OK, "2025-11-25" },
        { "with blanks around", " \r\n" RESULT("2025-03-26") "\n", 0, AIQ_OK,
          "2025-03-26" },
        { "an escaped version", RESULT("2025\\u002d11-25"), 0, AIQ_OK,
          "2025-11-25" },
        { "the longest version", RESULT("1111111111111111111111111111111"),
          0, AIQ_OK, "1111111111111111111111111111111" },
        { "a version that is too long",
          RESULT("11111111111111111111111111111111"), 0, AIQ_D_RPC_INVALID,
          NULL },
        { "an empty version", RESULT(""), 0, AIQ_D_RPC_INVALID, NULL },
        { "a version with the end of a header", RESULT("2025\\r\\nX: y"), 0,
          AIQ_D_RPC_INVALID, NULL },
        { "a version with letters", RESULT("2025-11-25a"), 0,
          AIQ_D_RPC_INVALID, NULL },
        { "a version with a blank", RESULT("2025-11-25 "), 0,
          AIQ_D_RPC_INVALID, NULL },
        { "a number for a version",
          "{\"id\":7,\"result\":{\"protocolVersion\":2025}}", 0,
          AIQ_D_RPC_INVALID, NULL },
        { "no version", "{\"id\":7,\"result\":{}}", 0, AIQ_D_RPC_INVALID,
          NULL },
        { "a result that is no object", "{\"id\":7,\"result\":[]}", 0,
          AIQ_D_RPC_INVALID, NULL },
        { "null for a result", "{\"id\":7,\"result\":null}", 0,
          AIQ_D_RPC_INVALID, NULL },
        { "an error",
          "{\"id\":7,\"error\":{\"code\":-32602,\"message\":\"no\"}}", 0,
          AIQ_D_RPC_INVALID, NULL },

        { "another id",
          "{\"id\":8,\"result\":{\"protocolVersion\":\"2025-11-25\"}}", 0,
          AIQ_DECLINED, NULL },
        { "the id as a string",
          "{\"id\":\"7\",\"result\":{\"protocolVersion\":\"2025-11-25\"}}",
          0, AIQ_DECLINED, NULL },
        { "the id as a fraction",
          "{\"id\":7.0,\"result\":{\"protocolVersion\":\"2025-11-25\"}}",
          0, AIQ_DECLINED, NULL },
        { "no id", NOTE, 0, AIQ_DECLINED, NULL },
        { "a batch", "[" RESULT("2025-11-25") "]", 0, AIQ_DECLINED, NULL },
        { "two texts", RESULT("2025-11-25") RESULT("2025-11-25"), 0,
          AIQ_DECLINED, NULL },
        { "two ids",
          "{\"id\":7,\"id\":7,\"result\":{\"protocolVersion\":\"2025\"}}", 0,
          AIQ_DECLINED, NULL },
        { "nothing", "", 0, AIQ_DECLINED, NULL },
        { "garbage", "<html>", 0, AIQ_DECLINED, NULL },
        { "bytes that are no text", "{\"id\":7,\"\xff\":1}", 0, AIQ_DECLINED,
          NULL },
        { "a stream that is none", "data: " RESULT("2025-11-25") "\n\n", 0,
          AIQ_DECLINED, NULL },

        { "an event", "data: " RESULT("2025-11-25") "\n\n", 1, AIQ_OK,
          "2025-11-25" },
        { "an event without the blank", "data:" RESULT("2025-11-25") "\n\n",
          1, AIQ_OK, "2025-11-25" },
        { "an event with CR LF",
          "event: message\r\nid: 1\r\ndata: " RESULT("2025-11-25")
          "\r\n\r\n", 1, AIQ_OK, "2025-11-25" },
        { "an event behind others",
          ": hello\n\nretry: 10\ndata: \n\nevent: message\ndata: " NOTE
          "\n\ndata: garbage\n\ndata: "
          "{\"id\":8,\"result\":{}}\n\ndata: " RESULT("2025-11-25") "\n\n",
          1, AIQ_OK, "2025-11-25" },
        { "an event with an error",
          "data: " NOTE "\n\ndata: {\"id\":7,\"error\":{}}\n\n", 1,
          AIQ_D_RPC_INVALID, NULL },
        { "the first answer counts",
          "data: {\"id\":7,\"error\":{}}\n\ndata: " RESULT("2025-11-25")
          "\n\n", 1, AIQ_D_RPC_INVALID, NULL },
        { "an event whose line has not ended",
          "data: " RESULT("2025-11-25"), 1, AIQ_DECLINED, NULL },
        { "other fields", "dat: " RESULT("2025-11-25") "\n\nxdata: "
          RESULT("2025-11-25") "\n\n data: " RESULT("2025-11-25") "\n\n", 1,
          AIQ_DECLINED, NULL },
        { "short lines", "\n\r\nd\ndata\ndata:\n\n", 1, AIQ_DECLINED, NULL },
        { "JSON for an event", RESULT("2025-11-25") "\n", 1, AIQ_DECLINED,
          NULL },
        { "nothing for an event", "", 1, AIQ_DECLINED, NULL }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rc = read_answer(aiq_cstr(cases[i].text), cases[i].sse, &version);

        if (!ok(rc == cases[i].rc
                && (rc != AIQ_OK || aiq_str_is(version, cases[i].version)),
                "initialized: %s", cases[i].what))
        {
            diag("%s \"%.*s\"", aiq_reason(rc), (int) version.len,
                 (const char *) version.data);
        }
    }
}


/* it comes byte by byte: not there yet, until it is */

static void
test_partial(void)
{
    char       *copy;
    int         sse;
    size_t      i, len;
    unsigned    n;
    aiq_rc_t    rc;
    aiq_str_t   s, version;

    static const char *const  texts[] = {
        RESULT("2025-11-25"),
        "d\ndata\n\r\nevent: message\r\ndata: " RESULT("2025-11-25") "\r\n"
    };

    for (sse = 0; sse < 2; sse++) {
        len = strlen(texts[sse]);
        n = 0;

        for (i = 0; i <= len; i++) {

            /* no byte behind it is ours */

            copy = malloc(i ? i : 1);

            if (copy == NULL) {
                printf("Bail out! no memory\n");
                exit(1);
            }

            memcpy(copy, texts[sse], i);

            s.data = (unsigned char *) copy;
            s.len = i;

            rc = read_answer(s, sse, &version);
            n += (rc == (i == len ? AIQ_OK : AIQ_DECLINED));

            free(copy);
        }

        ok(n == len + 1, "%s that comes byte by byte",
           sse ? "a stream" : "a text");
    }
}


/* notifications before it cost no memory */

static void
test_notes(void)
{
    char       *text, *p;
    int         i;
    aiq_str_t   version;

    text = malloc(20000 * 80);

    if (text == NULL) {
        printf("Bail out! no memory\n");
        exit(1);
    }

    p = text;

    for (i = 0; i < 20000; i++) {
        p += sprintf(p, "data: " NOTE "\n\n");
    }

    strcpy(p, "data: " RESULT("2025-11-25") "\n\n");

    ok(read_answer(aiq_cstr(text), 1, &version) == AIQ_OK
       && aiq_str_is(version, "2025-11-25"),
       "an answer behind 20000 notifications");

    free(text);
}


/* too little memory is no answer of the server */

static void
test_exact_memory(void)
{
    size_t     size;
    unsigned   n;
    aiq_rc_t   rc;
    aiq_str_t  version;

    n = 0;
    rc = AIQ_DECLINED;

    for (size = 0; size < 4096; size += 8) {
        mem.pos = memory;
        mem.end = memory + size;

        rc = aiq_mcp_read_initialized(aiq_cstr(RESULT("2025\\u002d11-25")), 0,
                                      7, &mem, &version);
        if (rc == AIQ_OK) {
            break;
        }

        n += aiq_is_denied(rc);
    }

    ok(rc == AIQ_OK && n == 0, "too little memory is not a refusal");
}


int
main(void)
{
    test_args();
    test_frame();
    test_read_back();
    test_no_room();
    test_initialize();
    test_answers();
    test_partial();
    test_notes();
    test_exact_memory();

    return done_testing();
}
