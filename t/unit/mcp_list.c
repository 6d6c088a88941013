
/*
 * Copyright (C) ngx_armoriq authors
 */


#include "mcp_list.h"
#include "tap.h"


#define MEM_SIZE  (8 * 1024 * 1024)

#define LIST(x)   "{\"result\":{\"tools\":" x "}}"
#define A         "{\"name\":\"a\"}"
#define B         "{\"name\":\"b\"}"
#define X         "{\"name\":\"x\"}"
#define SCOPE     "\"cacheScope\":\"private\""


typedef struct {
    const char  *what;
    const char  *text;
    const char  *after;       /* NULL: as it is */
    uint32_t     hidden;
} list_case_t;

typedef struct {
    const char  *what;
    const char  *text;
} bad_case_t;


static aiq_rc_t begin(void *data);
static aiq_rc_t visible(void *data, aiq_str_t tool);
static aiq_rc_t read_list(aiq_mcp_list_t *l, aiq_str_t text, int scope);
static void check(const list_case_t *c, int scope);
static void test_cut(void);
static void test_scope(void);
static void test_bad(void);
static void test_faults(void);
static void test_begin(void);
static void test_lax(void);
static void test_memory(void);
static void test_random(void);


static unsigned char  memory[MEM_SIZE];
static aiq_mem_t      mem;
static aiq_err_t      err;
static aiq_rc_t       fault;
static unsigned       begun;


/* takes memory that must be there as long as tools are asked for */

static aiq_rc_t
begin(void *data)
{
    unsigned char  *p;

    p = aiq_mem_alloc(&mem, 64);

    if (p == NULL) {
        return AIQ_E_NO_MEMORY;
    }

    memset(p, 'b', 64);

    *(unsigned char **) data = p;
    begun++;

    return fault;
}


/* x is not to be seen; f is a fault */

static aiq_rc_t
visible(void *data, aiq_str_t tool)
{
    if (aiq_str_is(tool, "f")) {
        return fault;
    }

    if (data != NULL && (*(unsigned char **) data)[63] != 'b') {
        return AIQ_E_INTERNAL;
    }

    return (tool.len && tool.data[0] == 'x') ? AIQ_D_POLICY_DENY : AIQ_OK;
}


static aiq_rc_t
read_list(aiq_mcp_list_t *l, aiq_str_t text, int scope)
{
    mem.pos = memory;
    mem.end = memory + MEM_SIZE;

    memset(&err, 0, sizeof(err));
    memset(l, 0, sizeof(aiq_mcp_list_t));

    l->visible = visible;
    l->scope = scope;

    return aiq_mcp_list_read(l, text, &mem, &err);
}


static void
check(const list_case_t *c, int scope)
{
    char            buf[1024];
    aiq_rc_t        rc;
    aiq_out_t       out;
    aiq_str_t       text, after;
    aiq_mcp_list_t  l;

    text = aiq_cstr(c->text);
    after = aiq_cstr(c->after ? c->after : c->text);

    rc = read_list(&l, text, scope);

    aiq_out_init(&out, buf, sizeof(buf));

    if (rc == AIQ_OK) {
        aiq_mcp_list_write(&out, &l, text);
    }

    if (!ok(rc == AIQ_OK
            && (l.edits == NULL) == (c->after == NULL)
            && l.hidden == c->hidden
            && l.size == after.len
            && aiq_str_eq(aiq_out_done(&out), after),
            "%s%s", c->what, scope ? ", with a scope" : ""))
    {
        diag("%s %s, %u hidden: %.*s", aiq_reason(rc), err.text, l.hidden,
             (int) aiq_out_done(&out).len, buf);
    }
}


static void
test_cut(void)
{
    size_t          i;
    aiq_mcp_list_t  l;

    static const list_case_t  cases[] = {

        { "nothing", LIST("[]"), NULL, 0 },
        { "all stay", LIST("[" A " , " B "]"), NULL, 0 },
        { "the only one", LIST("[" X "]"), LIST("[]"), 1 },
        { "the first", LIST("[ " X " , " A " ]"), LIST("[ " A " ]"), 1 },
        { "the last", LIST("[ " A " , " X " ]"), LIST("[ " A " ]"), 1 },
        { "in between", LIST("[" A "," X ", " B "]"),
          LIST("[" A ", " B "]"), 1 },
        { "two in between", LIST("[" A "," X "," X ", " B "]"),
          LIST("[" A ", " B "]"), 2 },
        { "the first two", LIST("[" X "," X ", " B "]"), LIST("[" B "]"),
          2 },
        { "every other one", LIST("[" X "," A "," X "," B "," X "]"),
          LIST("[" A "," B "]"), 3 },
        { "all", LIST("[" X ",\n" X " ]"), LIST("[ ]"), 2 },
        { "a name with escapes", LIST("[{\"n\\u0061me\":\"\\u0078\"}," A "]"),
          LIST("[" A "]"), 1 },
        { "members around it",
          "{\"id\":1,\"result\":{\"a\":[1],\"tools\":[" X "],\"nextCursor\":"
          "\"c\",\"n\":{\"tools\":[" X "]}},\"jsonrpc\":\"2.0\"}",
          "{\"id\":1,\"result\":{\"a\":[1],\"tools\":[],\"nextCursor\":"
          "\"c\",\"n\":{\"tools\":[" X "]}},\"jsonrpc\":\"2.0\"}", 1 },
        { "a tool with a name inside",
          LIST("[{\"inputSchema\":{\"name\":\"x\"},\"name\":\"a\"}]"), NULL,
          0 },
        { "an array of messages", "[" LIST("[" X "]") ",1,{\"result\":2},"
          LIST("[" A "," X "]") "]",
          "[" LIST("[]") ",1,{\"result\":2}," LIST("[" A "]") "]", 2 },

        { "an error", "{\"id\":1,\"error\":{\"tools\":[" X "]}}", NULL, 0 },
        { "a request", "{\"method\":\"m\",\"params\":{\"tools\":[" X "]}}",
          NULL, 0 },
        { "a result of something else", "{\"result\":{\"content\":[]}}", NULL,
          0 },
        { "no object", "null", NULL, 0 },
        { "a result that is none", "{\"result\":[{\"tools\":1}]}", NULL, 0 }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check(&cases[i], 0);
    }

    ok(read_list(&l, aiq_cstr("{\"id\":\"\\u0061\",\"result\":{\"tools\":1}}"),
                 0)
       == AIQ_D_LIST_INVALID && aiq_str_is(l.id, "\"\\u0061\""),
       "the id of what cannot be read");
    ok(read_list(&l, aiq_cstr("{\"result\":{\"tools\":1}}"), 0)
       == AIQ_D_LIST_INVALID && l.id.len == 0, "or none");
    ok(read_list(&l, aiq_cstr("{\"id\":null}"), 0) == AIQ_OK && l.id.len == 0,
       "null is none");
}


static void
test_scope(void)
{
    size_t  i;

    static const list_case_t  both[] = {
        { "private", "{\"result\":{\"tools\":[]," SCOPE "}}", NULL, 0 },
        { "public", "{\"result\":{\"tools\":[" X "],\"cacheScope\" : "
          "\"public\" }}", "{\"result\":{\"tools\":[],\"cacheScope\" : "
          "\"private\" }}", 1 },
        { "in front", "{\"result\":{\"cacheScope\":{},\"tools\":[" X "]}}",
          "{\"result\":{" SCOPE ",\"tools\":[]}}", 1 },
        { "not of a list", "{\"result\":{\"cacheScope\":\"public\"}}", NULL,
          0 },
        { "not of the message", "{\"result\":{\"tools\":[]," SCOPE "},"
          "\"cacheScope\":\"public\"}", NULL, 0 }
    };

    static const list_case_t  added[] = {
        { "added", LIST("[" X "]"), "{\"result\":{\"tools\":[]," SCOPE "}}",
          1 },
        { "behind all", "{\"result\":{ \"tools\":[] , \"ttlMs\" : 1 } }",
          "{\"result\":{ \"tools\":[] , \"ttlMs\" : 1," SCOPE " } }", 0 },
        { "behind a string", "{\"result\":{\"tools\":[],\"a\":\"b\"}}",
          "{\"result\":{\"tools\":[],\"a\":\"b\"," SCOPE "}}", 0 },
        { "to no other result", "{\"result\":{}}", NULL, 0 }
    };

    for (i = 0; i < sizeof(both) / sizeof(both[0]); i++) {
        check(&both[i], 0);
        check(&both[i], 1);
    }

    for (i = 0; i < sizeof(added) / sizeof(added[0]); i++) {
        check(&added[i], 1);
    }
}


static void
test_bad(void)
{
    size_t          i;
    aiq_rc_t        rc;
    aiq_mcp_list_t  l;

    static const bad_case_t  cases[] = {
        { "no JSON", "x" },
        { "nothing", "" },
        { "cut off", "{\"result\":{\"tools\":[" A },
        { "text behind it", LIST("[]") "," },
        { "a byte order mark", "\xef\xbb\xbf" LIST("[]") },
        { "bytes that are not UTF-8", LIST("[\"\xff\"]") },
        { "tools is an object", LIST("{}") },
        { "tools is null", LIST("null") },
        { "tools is a string", LIST("\"\"") },
        { "a tool is a string", LIST("[\"a\"]") },
        { "a tool is null, behind one that goes", LIST("[" X ",null]") },
        { "no name", LIST("[{}]") },
        { "a name that is a number", LIST("[{\"name\":1}]") },
        { "a name that is null", LIST("[{\"name\":null}]") },
        { "a name for those who do not mind the case",
          LIST("[{\"NAME\":\"x\",\"name\":\"a\"}]") },
        { "two names", LIST("[{\"name\":\"a\",\"name\":\"x\"}]") },
        { "two names after unescaping",
          LIST("[{\"name\":\"a\",\"n\\u0061me\":\"x\"}]") },
        { "two lists", "{\"result\":{\"tools\":[],\"tools\":[" X "]}}" },
        { "two results", "{\"result\":{},\"result\":{\"tools\":[" X "]}}" },
        { "Tools", "{\"result\":{\"Tools\":[" X "]}}" },
        { "a long s", "{\"result\":{\"tool\xc5\xbf\":[" X "]}}" },
        { "Result", "{\"Result\":{\"tools\":[" X "]}}" },
        { "a duplicate anywhere", LIST("[{\"name\":\"a\",\"b\":{\"c\":1,"
                                       "\"c\":2}}]") },
        { "a key with a lone surrogate",
          "{\"result\":{\"tools\":[],\"\\ud800\":1}}" },
        { "in an array of messages", "[1," LIST("[]") "," LIST("1") "]" }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {

        rc = read_list(&l, aiq_cstr(cases[i].text), 0);

        if (!ok(rc == AIQ_D_LIST_INVALID && err.text[0], "refused: %s",
                cases[i].what))
        {
            diag("%s", aiq_reason(rc));
        }
    }
}


static void
test_faults(void)
{
    aiq_mcp_list_t  l;

    fault = AIQ_E_STORE_UNAVAILABLE;

    ok(read_list(&l, aiq_cstr(LIST("[" A ",{\"name\":\"f\"}]")), 0)
       == AIQ_E_STORE_UNAVAILABLE, "a fault is not a tool that is hidden");

    fault = AIQ_DECLINED;

    ok(read_list(&l, aiq_cstr(LIST("[{\"name\":\"f\"}]")), 0)
       == AIQ_E_INTERNAL, "nor is no opinion");
}


static void
test_begin(void)
{
    size_t           i;
    aiq_str_t        text;
    unsigned char   *p;
    aiq_mcp_list_t   l;

    static const struct {
        const char  *text;
        unsigned     begun;
    }  cases[] = {
        { "{\"method\":\"m\",\"params\":{\"tools\":[" X "]}}", 0 },
        { "{\"result\":{}}", 0 },
        { LIST("[]"), 1 },
        { LIST("[" X ",{\"n\\u0061me\":\"\\u0078\"}," A "]"), 1 },
        { "[" LIST("[" X "]") "," LIST("[" A "," X "]") "]", 1 }
    };

    memset(&l, 0, sizeof(l));

    l.begin = begin;
    l.visible = visible;
    l.data = &p;

    fault = AIQ_OK;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mem.pos = memory;
        mem.end = memory + MEM_SIZE;
        text = aiq_cstr(cases[i].text);
        begun = 0;
        p = NULL;

        ok(aiq_mcp_list_read(&l, text, &mem, &err) == AIQ_OK
           && begun == cases[i].begun && (l.hidden > 0) == (i > 2),
           "begun once if there is a list: case %zu", i);
    }

    fault = AIQ_E_STORE_UNAVAILABLE;
    mem.pos = memory;

    ok(aiq_mcp_list_read(&l, aiq_cstr(LIST("[]")), &mem, &err)
       == AIQ_E_STORE_UNAVAILABLE, "what cannot begin is a fault");
}


/* what honest schemas have and nobody decides on */

static void
test_lax(void)
{
    size_t    i;
    int64_t   v;
    aiq_str_t   s;
    aiq_json_t  doc;

    static const list_case_t  cases[] = {
        { "a large integer", LIST("[{\"name\":\"a\",\"m\":9007199254740993}]"),
          NULL, 0 },
        { "a number beyond a double", LIST("[{\"name\":\"a\",\"m\":-1e400}]"),
          NULL, 0 },
        { "1e20", LIST("[{\"name\":\"a\",\"m\":1e20}]"), NULL, 0 },
        { "a lone surrogate", LIST("[{\"name\":\"a\",\"m\":\"\\ud83d\"}]"),
          NULL, 0 },
        { "two in the wrong order",
          LIST("[{\"name\":\"a\",\"m\":\"\\ude00\\ud83dx\"}]"), NULL, 0 },
        { "an escaped NUL", LIST("[{\"name\":\"a\",\"m\":\"\\u0000\"}]"),
          NULL, 0 }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check(&cases[i], 0);
    }

    mem.pos = memory;

    ok(aiq_json_scan(&doc, aiq_cstr("[12, \"\\ud800\\u0041\"]"), 8, &mem,
                     &err) == AIQ_OK
       && aiq_json_int(&doc, 1, &v) == AIQ_DECLINED,
       "no number is an integer then");
    ok(aiq_json_string(&doc, 2, &mem, &s) == AIQ_OK && s.len <= 12,
       "and a string is what it is");
    ok(aiq_json_parse(&doc, aiq_cstr("[1e400]"), 8, &mem, &err)
       == AIQ_D_JSON_NUMBER, "what is decided on is read as before");
}


static void
test_memory(void)
{
    size_t          size, faults, large;
    aiq_rc_t        rc;
    aiq_str_t       text;
    aiq_mcp_list_t  l;

    text = aiq_cstr(LIST("[" A "," X ",{\"name\":\"\\u0061\"}," X "]"));
    faults = 0;
    large = 0;

    memset(&l, 0, sizeof(l));
    l.visible = visible;

    for (size = 0; size < 4096; size++) {
        mem.pos = memory;
        mem.end = memory + size;

        rc = aiq_mcp_list_read(&l, text, &mem, &err);

        if (rc == AIQ_OK) {
            break;
        }

        faults += (rc == AIQ_E_NO_MEMORY);
        large += (rc == AIQ_D_LIST_INVALID);
    }

    ok(rc == AIQ_OK && l.hidden == 2 && faults && large
       && faults + large == size, "each size of memory is enough or not");
}


/* what is written reads as the same list without the tools that are hidden */

static void
test_random(void)
{
    char            text[2048], after[2048], buf[2048];
    char           *p, *q;
    size_t          i, n, k, bad;
    unsigned        seed;
    aiq_out_t       out;
    aiq_str_t       s;
    aiq_mcp_list_t  l;

    static const char  *blanks[] = { "", " ", "\n", "  " };

    seed = 1;
    bad = 0;

    for (i = 0; i < 20000; i++) {

        p = text + sprintf(text, "{\"result\":{\"tools\":[");
        q = after + sprintf(after, "%s", text);

        n = (seed = seed * 1103515245 + 12345) >> 16 & 7;

        for (k = 0; k < n; k++) {
            char         c;
            const char  *x, *y;

            seed = seed * 1103515245 + 12345;
            x = blanks[seed >> 16 & 3];
            y = blanks[seed >> 18 & 3];
            c = (seed >> 20 & 1) ? 'x' : 'a';

            p += sprintf(p, "%s%s{\"name\":\"%c%zu\"}%s", k ? "," : "", x, c,
                         k, y);

            if (c == 'a') {
                q += sprintf(q, "%s{\"name\":\"a%zu\"}",
                             q[-1] == '[' ? "" : ",", k);
            }
        }

        sprintf(p, "]}}");
        sprintf(q, "]}}");

        s = aiq_cstr(text);
        aiq_out_init(&out, buf, sizeof(buf) - 1);

        if (read_list(&l, s, 0) != AIQ_OK) {
            bad++;
            continue;
        }

        aiq_mcp_list_write(&out, &l, s);
        *out.pos = '\0';

        if (l.size != strlen(buf)) {
            bad++;
        }

        for (p = q = buf; *p; p++) {
            if (*p != ' ' && *p != '\n') {
                *q++ = *p;
            }
        }

        *q = '\0';

        if (strcmp(buf, after) != 0) {
            bad++;
            diag("%s: %s", text, buf);
        }
    }

    ok(bad == 0, "lists at random");
}


int
main(void)
{
    test_cut();
    test_scope();
    test_bad();
    test_faults();
    test_begin();
    test_lax();
    test_memory();
    test_random();

    return done_testing();
}
