
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <locale.h>

#include "json_check.h"
#include "tap.h"


static const char  body[] =
    "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":"
    "{\"name\":\"infra.restart\",\"arguments\":{\"service_id\":\"payments\","
    "\"caf\xc3\xa9\":\"\\ud83d\\ude02\",\"n\":[1,-2.5e3,true,false,null],"
    "\"empty\":{},\"none\":[]},\"_meta\":{\"progressToken\":\"a\\/b\"}}}";


static void tape(void);
static void access_values(void);
static void strings(void);
static void numbers(void);
static void any_locale(void);

static int open_doc(aiq_json_t *doc, const char *text);


static unsigned char  arena[65536];


int
main(void)
{
    tape();
    access_values();
    strings();
    numbers();
    any_locale();

    return done_testing();
}


static void
tape(void)
{
    uint32_t     i;
    aiq_json_t   doc;

    static const char  text[] = "{\"b\":[1,{\"x\":null}],\"a\":\"s\"}";

    static const struct {
        uint32_t  pos, len, next, n, link;
        int       type, flags, depth;
    } t[] = {
        { 0, 29, 8, 2, 6, AIQ_JSON_OBJECT, 0, 0 },
        { 2, 1, 6, 0, AIQ_JSON_NONE, AIQ_JSON_STRING, AIQ_JSON_KEY, 1 },
        { 5, 14, 6, 2, AIQ_JSON_NONE, AIQ_JSON_ARRAY, 0, 1 },
        { 6, 1, 4, 0, AIQ_JSON_NONE, AIQ_JSON_NUMBER, AIQ_JSON_INTEGER, 2 },
        { 8, 10, 6, 1, 5, AIQ_JSON_OBJECT, 0, 2 },
        { 10, 1, 7, 0, AIQ_JSON_NONE, AIQ_JSON_STRING, AIQ_JSON_KEY, 3 },
    };

    ok(open_doc(&doc, text) && doc.n == 9 && doc.tok[0].n == 2
       && doc.tok[0].next == 9,
       "a tape: value; key, value, key, value");

    ok(doc.tok[1].next == 7 && doc.tok[2].next == 7 && doc.tok[2].n == 2
       && doc.tok[3].next == 4 && doc.tok[4].next == 7,
       "next is behind all that belongs to it");

    ok(doc.tok[0].link == 7 && doc.tok[7].link == 1
       && doc.tok[1].link == AIQ_JSON_NONE,
       "links: \"a\" before \"b\"");

    for (i = 0; i < 6; i++) {

        ok(doc.tok[i].pos == t[i].pos && doc.tok[i].type == t[i].type
           && doc.tok[i].flags == t[i].flags
           && doc.tok[i].depth == t[i].depth,
           "token %u: position, type, flags, depth", i);
    }
}


static void
access_values(void)
{
    uint32_t    p, a, k;
    aiq_json_t  doc;

    if (!open_doc(&doc, body)) {
        abort();
    }

    p = aiq_json_get(&doc, 0, "params");
    a = aiq_json_get(&doc, p, "arguments");

    ok(aiq_json_type(&doc, p) == AIQ_JSON_OBJECT
       && aiq_json_is(&doc, aiq_json_get(&doc, p, "name"), "infra.restart"),
       "a member of a member");

    ok(aiq_json_type(&doc, aiq_json_get(&doc, a, "caf\xc3\xa9"))
       == AIQ_JSON_STRING,
       "a key in UTF-8");

    ok(aiq_json_get(&doc, 0, "nothing") == AIQ_JSON_NONE
       && aiq_json_get(&doc, 0, "") == AIQ_JSON_NONE
       && aiq_json_get(&doc, 0, "name") == AIQ_JSON_NONE
       && aiq_json_get(&doc, 0, "jsonrp") == AIQ_JSON_NONE
       && aiq_json_get(&doc, 0, "jsonrpcc") == AIQ_JSON_NONE
       && aiq_json_get(&doc, 0, "JSONRPC") == AIQ_JSON_NONE,
       "no such key");

    ok(aiq_json_get(&doc, aiq_json_get(&doc, a, "n"), "x") == AIQ_JSON_NONE
       && aiq_json_get(&doc, AIQ_JSON_NONE, "x") == AIQ_JSON_NONE
       && aiq_json_get(&doc, doc.n, "x") == AIQ_JSON_NONE
       && aiq_json_get(&doc, aiq_json_get(&doc, a, "empty"), "x")
          == AIQ_JSON_NONE,
       "nor in what is no object, not there or empty");

    k = aiq_json_first(&doc, a);

    ok(aiq_json_is(&doc, k, "service_id"), "the first key");
    k = aiq_json_next(&doc, a, k);
    ok(aiq_json_is(&doc, k, "caf\xc3\xa9"), "the second");
    k = aiq_json_next(&doc, a, aiq_json_next(&doc, a, k));
    ok(aiq_json_is(&doc, k, "empty"), "the fourth");
    k = aiq_json_next(&doc, a, k);
    ok(aiq_json_is(&doc, k, "none")
       && aiq_json_next(&doc, a, k) == AIQ_JSON_NONE, "the last");

    ok(aiq_json_first(&doc, aiq_json_get(&doc, a, "empty")) == AIQ_JSON_NONE
       && aiq_json_first(&doc, aiq_json_get(&doc, a, "none"))
          == AIQ_JSON_NONE
       && aiq_json_first(&doc, 2) == AIQ_JSON_NONE
       && aiq_json_first(&doc, AIQ_JSON_NONE) == AIQ_JSON_NONE
       && aiq_json_next(&doc, AIQ_JSON_NONE, 1) == AIQ_JSON_NONE
       && aiq_json_next(&doc, 0, AIQ_JSON_NONE) == AIQ_JSON_NONE,
       "nothing inside");

    ok(aiq_str_is(aiq_json_raw(&doc, aiq_json_get(&doc, a, "n")),
                  "[1,-2.5e3,true,false,null]"), "an array as written");
    ok(aiq_str_is(aiq_json_raw(&doc, aiq_json_get(&doc, a, "caf\xc3\xa9")),
                  "\"\\ud83d\\ude02\""), "a string with its quotes");
    ok(aiq_str_is(aiq_json_raw(&doc, aiq_json_get(&doc, a, "empty")), "{}"),
       "an object");
    ok(aiq_str_is(aiq_json_raw(&doc, aiq_json_get(&doc, 0, "id")), "7"),
       "a number");
    ok(aiq_str_is(aiq_json_raw(&doc, 0), body), "the whole");
    ok(aiq_json_raw(&doc, AIQ_JSON_NONE).data == NULL
       && aiq_json_raw(&doc, doc.n).len == 0, "nothing");
}


static void
strings(void)
{
    size_t                 i;
    aiq_mem_t              mem;
    aiq_str_t              s;
    aiq_json_t             doc;
    unsigned char          small[4];
    const unsigned char   *p, *last;

    static const struct {
        const char  *text;
        const char  *plain;
        unsigned     flags;
    } t[] = {
        { "\"abc\"", "abc", 0 },
        { "\"\"", "", 0 },
        { "\"\xc3\xa9\"", "\xc3\xa9", AIQ_JSON_UNICODE },
        { "\"\\u00e9\"", "\xc3\xa9", AIQ_JSON_ESCAPED },
        { "\"\\u20AC\"", "\xe2\x82\xac", AIQ_JSON_ESCAPED },
        { "\"x\\ud83d\\uDE02y\"", "x\xf0\x9f\x98\x82y", AIQ_JSON_ESCAPED },
        { "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t",
          AIQ_JSON_ESCAPED },
        { "\"\\u0041\\u007f\\u0080\\u07ff\\u0800\\uffff\"",
          "A\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf",
          AIQ_JSON_ESCAPED },
        { "\"\\ud800\\udc00\\udbff\\udfff\"",
          "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", AIQ_JSON_ESCAPED },
        { "\"\xe2\x82\xac\\n\"", "\xe2\x82\xac\n",
          AIQ_JSON_ESCAPED|AIQ_JSON_UNICODE },
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {

        if (!open_doc(&doc, t[i].text)) {
            abort();
        }

        mem.pos = arena + sizeof(arena) / 2;
        mem.end = arena + sizeof(arena);

        ok(aiq_json_string(&doc, 0, &mem, &s) == AIQ_OK
           && aiq_str_is(s, t[i].plain)
           && aiq_json_is(&doc, 0, t[i].plain)
           && doc.tok[0].flags == t[i].flags,
           "unescaped: %s", t[i].text);

        ok(t[i].plain[0] == '\0'
           || ((t[i].flags & AIQ_JSON_ESCAPED)
               ? s.data >= arena && s.data < mem.end
               : s.data == (const unsigned char *) t[i].text + 1),
           "and where it lies");

        ok(!aiq_json_is(&doc, 0, "other")
           && !aiq_json_is_str(&doc, 0, (aiq_str_t) { s.len + 1,
                                 (const unsigned char *) t[i].plain })
           && (s.len == 0
               || !aiq_json_is_str(&doc, 0, (aiq_str_t) { s.len - 1,
                                   (const unsigned char *) t[i].plain })),
           "nothing else is it");
    }

    open_doc(&doc, "\"\\u0041\\u0042\"");
    mem.pos = small;
    mem.end = small + sizeof(small);

    ok(aiq_json_string(&doc, 0, &mem, &s) == AIQ_E_NO_MEMORY
       && s.data == NULL, "no memory to unescape");

    open_doc(&doc, "[1]");

    ok(aiq_json_string(&doc, 0, &mem, &s) == AIQ_DECLINED
       && aiq_json_string(&doc, 1, &mem, &s) == AIQ_DECLINED
       && aiq_json_string(&doc, AIQ_JSON_NONE, &mem, &s) == AIQ_DECLINED
       && !aiq_json_is(&doc, 1, "1") && !aiq_json_is(&doc, 7, ""),
       "no string");

    s = aiq_cstr("a\\n\xe2\x82\xac\\uD83D\\ude02");
    p = s.data;
    last = p + s.len;

    ok(aiq_json_code(&p, last) == 'a' && aiq_json_code(&p, last) == '\n'
       && aiq_json_code(&p, last) == 0x20ac
       && aiq_json_code(&p, last) == 0x1f602 && p == last,
       "code points");
}


static void
numbers(void)
{
    size_t       i;
    double       d;
    int64_t      v;
    aiq_json_t   doc;

    static const struct {
        const char  *text;
        int64_t      v;
    } t[] = {
        { "0", 0 }, { "1", 1 }, { "-1", -1 }, { "42", 42 },
        { "9007199254740991", 9007199254740991LL },
        { "-9007199254740991", -9007199254740991LL },
    };

    static const char  *no[] = {
        "-0", "1.0", "1e3", "0.0", "0e0", "\"1\"", "null", "true", "[1]"
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        ok(open_doc(&doc, t[i].text) && aiq_json_int(&doc, 0, &v) == AIQ_OK
           && v == t[i].v && aiq_json_double(&doc, 0, &d) == AIQ_OK
           && d == (double) t[i].v,
           "integer %s", t[i].text);
    }

    for (i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        ok(open_doc(&doc, no[i]) && aiq_json_int(&doc, 0, &v) == AIQ_DECLINED,
           "no integer: %s", no[i]);
    }

    ok(aiq_json_double(&doc, 0, &d) == AIQ_DECLINED
       && aiq_json_int(&doc, AIQ_JSON_NONE, &v) == AIQ_DECLINED
       && aiq_json_double(&doc, AIQ_JSON_NONE, &d) == AIQ_DECLINED,
       "no number");
}


/* a decimal comma in the process, and still a point in JSON */

static void
any_locale(void)
{
    size_t       i;
    double       d;
    char         number[32];
    aiq_json_t   doc;
    const char  *is;

    static const char  *name[] = {
        "de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8", "fr_FR.utf8"
    };

    is = NULL;

    for (i = 0; i < sizeof(name) / sizeof(name[0]) && is == NULL; i++) {
        is = setlocale(LC_NUMERIC, name[i]);
    }

    if (is == NULL) {
        skip("a locale with a decimal comma", "none is installed");
        return;
    }

    ok(open_doc(&doc, "123456789.123456789e1")
       && aiq_json_double(&doc, 0, &d) == AIQ_OK
       && d > 1234567891.2 && d < 1234567891.3
       && aiq_jcs_number(d, number) == 18
       && memcmp(number, "1234567891.2345679", 18) == 0,
       "numbers in %s", is);

    setlocale(LC_NUMERIC, "C");
}


/* into the arena, where the next one overwrites it */

static int
open_doc(aiq_json_t *doc, const char *text)
{
    aiq_mem_t  mem;

    mem.pos = arena;
    mem.end = arena + sizeof(arena) / 2;

    return aiq_json_parse(doc, aiq_cstr(text), AIQ_JSON_DEPTH, &mem, NULL)
           == AIQ_OK;
}
