
/*
 * Copyright (C) ngx_armoriq authors
 */


#include "json_check.h"
#include "tap.h"


typedef struct {
    aiq_rc_t     rc;
    const char  *text;
    size_t       len;          /* 0: up to the NUL */
} json_case_t;


static const char  body[] =
    "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":"
    "{\"name\":\"infra.restart\",\"arguments\":{\"service_id\":\"payments\","
    "\"caf\xc3\xa9\":\"\\ud83d\\ude02\",\"n\":[1,-2.5e3,true,false,null],"
    "\"empty\":{},\"none\":[]},\"_meta\":{\"progressToken\":\"a\\/b\"}}}";


static void accepted(void);
static void refused(void);
static void errors(void);
static void truncated(void);
static void depth(void);
static void tokens(void);
static void memory(void);
static void number_length(void);
static void keys(void);

static aiq_rc_t parse(const char *text, size_t len, unsigned max,
    aiq_err_t *err);
static char *repeat(const char *s, size_t n, const char *middle,
    const char *last);


static unsigned char  arena[65536];


int
main(void)
{
    accepted();
    refused();
    errors();
    truncated();
    depth();
    tokens();
    memory();
    number_length();
    keys();

    return done_testing();
}


static void
accepted(void)
{
    int       pass;
    size_t    i, len;
    aiq_rc_t  rc;

    static const json_case_t  t[] = {
        { AIQ_OK, "{}", 0 },
        { AIQ_OK, "[]", 0 },
        { AIQ_OK, "\"\"", 0 },
        { AIQ_OK, "0", 0 },
        { AIQ_OK, "true", 0 },
        { AIQ_OK, "false", 0 },
        { AIQ_OK, "null", 0 },
        { AIQ_OK, " \t\r\n{ \"a\" : [ 1 , 2 ] } \t\r\n", 0 },
        { AIQ_OK, body, 0 },

        /* T16 */
        { AIQ_OK, "\"\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf\"", 0 },
        { AIQ_OK, "\"\xee\x80\x80 \xef\xbf\xbf \xf0\x90\x80\x80\"", 0 },
        { AIQ_OK, "\"\xf4\x8f\xbf\xbf \x7f\"", 0 },
        { AIQ_OK, "\"\\ud800\\udc00 \\uDBFF\\uDFFF \\ud7ff \\ue000\"", 0 },
        { AIQ_OK, "\"\\u0001 \\u001f \\u007f \\uffff\"", 0 },
        { AIQ_OK, "\"\\\\u0000 \\\\ud800\"", 0 },
        { AIQ_OK, "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", 0 },
        { AIQ_OK, "\"\xef\xbb\xbf\"", 0 },
        { AIQ_OK, "{\"name\":1,\"Name\":2,\"name \":3,\"nam\":4}", 0 },
        { AIQ_OK, "{\"a\":{\"a\":{\"a\":1}},\"b\":[{\"a\":1},{\"a\":2}]}", 0 },
        { AIQ_OK, "{\"\":1}", 0 },
        { AIQ_OK, "{\"\\u212a\":1,\"K\":2,\"k\":3}", 0 },
        { AIQ_OK, "{\"e\xcc\x81\":1,\"\xc3\xa9\":2}", 0 },
        { AIQ_OK, "{\"a\\\\\":1,\"a\\\"\":2,\"a\":3}", 0 },

        /* T17 */
        { AIQ_OK, "9007199254740991", 0 },
        { AIQ_OK, "-9007199254740991", 0 },
        { AIQ_OK, "999999999999999", 0 },
        { AIQ_OK, "9007199254740991.0", 0 },
        { AIQ_OK, "-0", 0 },
        { AIQ_OK, "-0.0", 0 },
        { AIQ_OK, "0e0", 0 },
        { AIQ_OK, "1.0", 0 },
        { AIQ_OK, "1E+2", 0 },
        { AIQ_OK, "1e-2", 0 },
        { AIQ_OK, "1e21", 0 },
        { AIQ_OK, "0.1e22", 0 },
        { AIQ_OK, "1e308", 0 },
        { AIQ_OK, "1.7976931348623157e308", 0 },
        { AIQ_OK, "5e-324", 0 },
        { AIQ_OK, "1e-400", 0 },
        { AIQ_OK, "0e99999999999999999999", 0 },
        { AIQ_OK, "0.0000000000000000000000000000000000000001e40", 0 },
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        len = strlen(t[i].text);

        pass = check_text(t[i].text, len, &rc);

        ok(pass && rc == AIQ_OK,
           "accepted: item %zu (%s)", i, aiq_reason(rc));
    }
}


static void
refused(void)
{
    int       pass;
    size_t    i, len;
    aiq_rc_t  rc;

    static const json_case_t  t[] = {

        /* encoding, T16 */
        { AIQ_D_JSON_ENCODING, "\xef\xbb\xbf{}", 0 },
        { AIQ_D_JSON_ENCODING, " \xef\xbb\xbf{}", 0 },
        { AIQ_D_JSON_ENCODING, "{}\xef\xbb\xbf", 0 },
        { AIQ_D_JSON_ENCODING, "\xff\xfe{\0}\0", 6 },
        { AIQ_D_JSON_ENCODING, "\xfe\xff\0{\0}", 6 },
        { AIQ_D_JSON_ENCODING, "{\0}\0", 4 },
        { AIQ_D_JSON_ENCODING, "\0{\0}", 4 },
        { AIQ_D_JSON_ENCODING, "\0", 1 },
        { AIQ_D_JSON_ENCODING, "{}\0", 3 },
        { AIQ_D_JSON_ENCODING, "{\"a\":1\0}", 8 },
        { AIQ_D_JSON_ENCODING, "{\"a\0b\":1}", 9 },
        { AIQ_D_JSON_ENCODING, "[\"a\0\"]", 6 },
        { AIQ_D_JSON_ENCODING, "[1,\0" "2]", 6 },
        { AIQ_D_JSON_ENCODING, "[t\0ue]", 6 },
        { AIQ_D_JSON_ENCODING, "[\"\\\0\"]", 6 },
        { AIQ_D_JSON_ENCODING, "\"\\u0000\"", 0 },
        { AIQ_D_JSON_ENCODING, "{\"\\u0000\":1}", 0 },
        { AIQ_D_JSON_ENCODING, "{\"a\\u0000\":1,\"a\":2}", 0 },
        { AIQ_D_JSON_ENCODING, "\"\x80\"", 0 },
        { AIQ_D_JSON_ENCODING, "\"\xbf\"", 0 },
        { AIQ_D_JSON_ENCODING, "\"\xc0\x80\"", 0 },
        { AIQ_D_JSON_ENCODING, "\"\xc1\xbf\"", 0 },
        { AIQ_D_JSON_ENCODING, "\"\xc3\"", 0 },
        { AIQ_D_JSON_ENCODING, "\"\xc3", 0 },
        { AIQ_D_JSON_ENCODING, "\"\xe0\x9f\xbf\"", 0 },
        { AIQ_D_JSON_ENCODING, "\"\xe2\x82\"", 0 },
        { AIQ_D_JSON_ENCODING, "\"\xed\xa0\x80\"", 0 },
        { AIQ_D_JSON_ENCODING, "\"\xed\xa0\xbd\xed\xb8\x82\"", 0 },
        { AIQ_D_JSON_ENCODING, "\"\xed\xbf\xbf\"", 0 },
        { AIQ_D_JSON_ENCODING, "\"\xf0\x8f\xbf\xbf\"", 0 },
        { AIQ_D_JSON_ENCODING, "\"\xf4\x90\x80\x80\"", 0 },
        { AIQ_D_JSON_ENCODING, "\"\xf5\x80\x80\x80\"", 0 },
        { AIQ_D_JSON_ENCODING, "\"\xf8\x88\x80\x80\x80\"", 0 },
        { AIQ_D_JSON_ENCODING, "\"\xff\"", 0 },
        { AIQ_D_JSON_ENCODING, "{\"\xff\":1}", 0 },
        { AIQ_D_JSON_ENCODING, "[\xff]", 0 },
        { AIQ_D_JSON_ENCODING, "\"\\ud800\"", 0 },
        { AIQ_D_JSON_ENCODING, "\"\\udbff\"", 0 },
        { AIQ_D_JSON_ENCODING, "\"\\udc00\"", 0 },
        { AIQ_D_JSON_ENCODING, "\"\\udfff\"", 0 },
        { AIQ_D_JSON_ENCODING, "\"\\ude02\\ud83d\"", 0 },
        { AIQ_D_JSON_ENCODING, "\"\\ud83d\\ud83d\\ude02\"", 0 },
        { AIQ_D_JSON_ENCODING, "\"\\ud83d \\ude02\"", 0 },
        { AIQ_D_JSON_ENCODING, "\"\\ud83d\\n\"", 0 },
        { AIQ_D_JSON_ENCODING, "\"\\ud83d\\ue000\"", 0 },
        { AIQ_D_JSON_ENCODING, "\"\\ud83dude02\"", 0 },
        { AIQ_D_JSON_ENCODING, "{\"\\ud800\":1}", 0 },

        /* duplicates, T16 */
        { AIQ_D_JSON_DUPLICATE_KEY, "{\"a\":1,\"a\":1}", 0 },
        { AIQ_D_JSON_DUPLICATE_KEY, "{\"\":1,\"\":2}", 0 },
        { AIQ_D_JSON_DUPLICATE_KEY, "{\"a\":1,\"b\":2,\"a\":3}", 0 },
        { AIQ_D_JSON_DUPLICATE_KEY, "{\"b\":1,\"c\":2,\"a\":3,\"b\":4}", 0 },
        { AIQ_D_JSON_DUPLICATE_KEY, "{\"c\":0,\"b\":1,\"a\":3,\"c\":4}", 0 },
        { AIQ_D_JSON_DUPLICATE_KEY,
          "{\"name\":\"a\",\"n\\u0061me\":\"b\"}", 0 },
        { AIQ_D_JSON_DUPLICATE_KEY,
          "{\"n\\u0061me\":\"a\",\"name\":\"b\"}", 0 },
        { AIQ_D_JSON_DUPLICATE_KEY, "{\"\xc3\xa9\":1,\"\\u00e9\":2}", 0 },
        { AIQ_D_JSON_DUPLICATE_KEY, "{\"\\u00e9\":1,\"\\u00E9\":2}", 0 },
        { AIQ_D_JSON_DUPLICATE_KEY, "{\"/\":1,\"\\/\":2}", 0 },
        { AIQ_D_JSON_DUPLICATE_KEY, "{\"\\n\":1,\"\\u000a\":2}", 0 },
        { AIQ_D_JSON_DUPLICATE_KEY,
          "{\"\xf0\x9f\x98\x82\":1,\"\\ud83d\\ude02\":2}", 0 },
        { AIQ_D_JSON_DUPLICATE_KEY, "[[{\"x\":{\"a\":1,\"a\":2}}]]", 0 },
        { AIQ_D_JSON_DUPLICATE_KEY, "{\"a\":{},\"b\":[],\"a\":[]}", 0 },

        /* numbers, T17 */
        { AIQ_D_JSON_NUMBER, "9007199254740992", 0 },
        { AIQ_D_JSON_NUMBER, "-9007199254740992", 0 },
        { AIQ_D_JSON_NUMBER, "9007199254740993", 0 },
        { AIQ_D_JSON_NUMBER, "9999999999999999", 0 },
        { AIQ_D_JSON_NUMBER, "10000000000000000", 0 },
        { AIQ_D_JSON_NUMBER, "18446744073709551616", 0 },
        { AIQ_D_JSON_NUMBER, "18446744073709551617", 0 },
        { AIQ_D_JSON_NUMBER, "-99999999999999999999999999", 0 },
        { AIQ_D_JSON_NUMBER, "[1,{\"a\":9007199254740992}]", 0 },
        { AIQ_D_JSON_NUMBER, "1e400", 0 },
        { AIQ_D_JSON_NUMBER, "-1e400", 0 },
        { AIQ_D_JSON_NUMBER, "1e309", 0 },
        { AIQ_D_JSON_NUMBER, "1.7976931348623159e308", 0 },
        { AIQ_D_JSON_NUMBER, "1e99999999999999999999", 0 },
        { AIQ_D_JSON_NUMBER, "1e4294967296", 0 },
        { AIQ_D_JSON_NUMBER, "9007199254740992.0", 0 },
        { AIQ_D_JSON_NUMBER, "9007199254740991.6", 0 },
        { AIQ_D_JSON_NUMBER, "1e16", 0 },
        { AIQ_D_JSON_NUMBER, "-1e20", 0 },
        { AIQ_D_JSON_NUMBER, "999999999999999934463e0", 0 },

        /* syntax */
        { AIQ_D_JSON_INVALID, "", 0 },
        { AIQ_D_JSON_INVALID, " ", 0 },
        { AIQ_D_JSON_INVALID, "{", 0 },
        { AIQ_D_JSON_INVALID, "}", 0 },
        { AIQ_D_JSON_INVALID, "[", 0 },
        { AIQ_D_JSON_INVALID, "]", 0 },
        { AIQ_D_JSON_INVALID, "[}", 0 },
        { AIQ_D_JSON_INVALID, "{]", 0 },
        { AIQ_D_JSON_INVALID, "[1}", 0 },
        { AIQ_D_JSON_INVALID, "{\"a\":1]", 0 },
        { AIQ_D_JSON_INVALID, "[[]", 0 },
        { AIQ_D_JSON_INVALID, "[]]", 0 },
        { AIQ_D_JSON_INVALID, "{}{}", 0 },
        { AIQ_D_JSON_INVALID, "{} {}", 0 },
        { AIQ_D_JSON_INVALID, "{}\n{}", 0 },
        { AIQ_D_JSON_INVALID, "{}x", 0 },
        { AIQ_D_JSON_INVALID, "{},", 0 },
        { AIQ_D_JSON_INVALID, "1 2", 0 },
        { AIQ_D_JSON_INVALID, "[1 2]", 0 },
        { AIQ_D_JSON_INVALID, "[,]", 0 },
        { AIQ_D_JSON_INVALID, "[1,]", 0 },
        { AIQ_D_JSON_INVALID, "[,1]", 0 },
        { AIQ_D_JSON_INVALID, "[1,,2]", 0 },
        { AIQ_D_JSON_INVALID, "{,}", 0 },
        { AIQ_D_JSON_INVALID, "{\"a\"}", 0 },
        { AIQ_D_JSON_INVALID, "{\"a\":}", 0 },
        { AIQ_D_JSON_INVALID, "{\"a\":1,}", 0 },
        { AIQ_D_JSON_INVALID, "{\"a\" 1}", 0 },
        { AIQ_D_JSON_INVALID, "{\"a\":1 \"b\":2}", 0 },
        { AIQ_D_JSON_INVALID, "{\"a\"::1}", 0 },
        { AIQ_D_JSON_INVALID, "{\"a\",1}", 0 },
        { AIQ_D_JSON_INVALID, "{:1}", 0 },
        { AIQ_D_JSON_INVALID, "{a:1}", 0 },
        { AIQ_D_JSON_INVALID, "{'a':1}", 0 },
        { AIQ_D_JSON_INVALID, "{1:1}", 0 },
        { AIQ_D_JSON_INVALID, "{null:1}", 0 },
        { AIQ_D_JSON_INVALID, "{[]:1}", 0 },
        { AIQ_D_JSON_INVALID, "['a']", 0 },
        { AIQ_D_JSON_INVALID, "// c\n{}", 0 },
        { AIQ_D_JSON_INVALID, "/* c */{}", 0 },
        { AIQ_D_JSON_INVALID, "{/* c */}", 0 },
        { AIQ_D_JSON_INVALID, "# c\n{}", 0 },
        { AIQ_D_JSON_INVALID, "{}//", 0 },
        { AIQ_D_JSON_INVALID, "NaN", 0 },
        { AIQ_D_JSON_INVALID, "Infinity", 0 },
        { AIQ_D_JSON_INVALID, "-Infinity", 0 },
        { AIQ_D_JSON_INVALID, "[nan]", 0 },
        { AIQ_D_JSON_INVALID, "undefined", 0 },
        { AIQ_D_JSON_INVALID, "True", 0 },
        { AIQ_D_JSON_INVALID, "TRUE", 0 },
        { AIQ_D_JSON_INVALID, "tru", 0 },
        { AIQ_D_JSON_INVALID, "truee", 0 },
        { AIQ_D_JSON_INVALID, "nul", 0 },
        { AIQ_D_JSON_INVALID, "fals", 0 },
        { AIQ_D_JSON_INVALID, "[truefalse]", 0 },
        { AIQ_D_JSON_INVALID, "\xc2\xa0{}", 0 },
        { AIQ_D_JSON_INVALID, "\xe2\x80\xa8{}", 0 },
        { AIQ_D_JSON_INVALID, "\v{}", 0 },
        { AIQ_D_JSON_INVALID, "\f{}", 0 },
        { AIQ_D_JSON_INVALID, "[\x1e]", 0 },
        { AIQ_D_JSON_INVALID, "+1", 0 },
        { AIQ_D_JSON_INVALID, "-", 0 },
        { AIQ_D_JSON_INVALID, "--1", 0 },
        { AIQ_D_JSON_INVALID, "- 1", 0 },
        { AIQ_D_JSON_INVALID, "01", 0 },
        { AIQ_D_JSON_INVALID, "-01", 0 },
        { AIQ_D_JSON_INVALID, "00", 0 },
        { AIQ_D_JSON_INVALID, ".5", 0 },
        { AIQ_D_JSON_INVALID, "-.5", 0 },
        { AIQ_D_JSON_INVALID, "1.", 0 },
        { AIQ_D_JSON_INVALID, "1.e5", 0 },
        { AIQ_D_JSON_INVALID, "1.5.5", 0 },
        { AIQ_D_JSON_INVALID, "1e", 0 },
        { AIQ_D_JSON_INVALID, "1e+", 0 },
        { AIQ_D_JSON_INVALID, "1e-", 0 },
        { AIQ_D_JSON_INVALID, "1e1.5", 0 },
        { AIQ_D_JSON_INVALID, "1ee5", 0 },
        { AIQ_D_JSON_INVALID, "0x10", 0 },
        { AIQ_D_JSON_INVALID, "1_000", 0 },
        { AIQ_D_JSON_INVALID, "1,5", 0 },
        { AIQ_D_JSON_INVALID, "1f", 0 },
        { AIQ_D_JSON_INVALID, "\xef\xbc\x91", 0 },
        { AIQ_D_JSON_INVALID, "\"", 0 },
        { AIQ_D_JSON_INVALID, "\"a", 0 },
        { AIQ_D_JSON_INVALID, "\"\\\"", 0 },
        { AIQ_D_JSON_INVALID, "\"\\", 0 },
        { AIQ_D_JSON_INVALID, "\"\\u", 0 },
        { AIQ_D_JSON_INVALID, "\"\\u00\"", 0 },
        { AIQ_D_JSON_INVALID, "\"\\u004", 0 },
        { AIQ_D_JSON_INVALID, "\"\\u00g0\"", 0 },
        { AIQ_D_JSON_INVALID, "\"\\u-001\"", 0 },
        { AIQ_D_JSON_INVALID, "\"\\u+041\"", 0 },
        { AIQ_D_JSON_INVALID, "\"\\u 041\"", 0 },
        { AIQ_D_JSON_INVALID, "\"\\u{41}\"", 0 },
        { AIQ_D_JSON_INVALID, "\"\\U0041\"", 0 },
        { AIQ_D_JSON_INVALID, "\"\\x41\"", 0 },
        { AIQ_D_JSON_INVALID, "\"\\a\"", 0 },
        { AIQ_D_JSON_INVALID, "\"\\v\"", 0 },
        { AIQ_D_JSON_INVALID, "\"\\0\"", 0 },
        { AIQ_D_JSON_INVALID, "\"\\'\"", 0 },
        { AIQ_D_JSON_INVALID, "\"\\\n\"", 0 },
        { AIQ_D_JSON_INVALID, "\"\\\xc3\xa9\"", 0 },
        { AIQ_D_JSON_INVALID, "\"a\nb\"", 0 },
        { AIQ_D_JSON_INVALID, "\"a\tb\"", 0 },
        { AIQ_D_JSON_INVALID, "\"\x1f\"", 0 },
        { AIQ_D_JSON_INVALID, "\"12345678\x01\"", 0 },
        { AIQ_D_JSON_INVALID, "{\"a\nb\":1}", 0 },
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        len = t[i].len ? t[i].len : strlen(t[i].text);

        pass = check_text(t[i].text, len, &rc);

        ok(pass && rc == t[i].rc,
           "refused: item %zu, %s (%s)", i, aiq_reason(t[i].rc),
           aiq_reason(rc));
    }
}


static void
errors(void)
{
    char       *s;
    aiq_err_t   err;

    static const char  twice[] =
        "{\n\"name\": 1,\n\"n\\u0061me\": 2}";

    parse(twice, sizeof(twice) - 1, 64, &err);

    ok(err.rc == AIQ_D_JSON_DUPLICATE_KEY && err.offset == 14
       && strcmp(err.text, "line 3: the key at byte 1 of it appears twice")
          == 0, "a duplicate is named by its place: %s", err.text);

    parse("{\"\xc3\xa9\":1,\"\xc3\xa9\":1}", 15, 64, &err);

    ok(strcmp(err.text, "line 1: the key at byte 9 of it appears twice") == 0,
       "and not by what it says: %s", err.text);

    s = malloc(5000);

    if (s == NULL) {
        abort();
    }

    memcpy(s, "{\"", 2);
    memset(s + 2, 'k', 2000);
    memcpy(s + 2002, "\":1,\"", 5);
    memset(s + 2007, 'k', 2000);
    memcpy(s + 4007, "\":1}", 4);

    ok(parse(s, 4011, 64, &err) == AIQ_D_JSON_DUPLICATE_KEY
       && strstr(err.text, "kkk") == NULL, "however long it is: %s", err.text);

    free(s);

    parse("[1,\n2,\n3,\n x]", 13, 64, &err);

    ok(err.rc == AIQ_D_JSON_INVALID && err.offset == 11
       && strncmp(err.text, "line 4: ", 8) == 0,
       "line and offset: %s", err.text);

    parse("[1,", 3, 64, &err);

    ok(err.offset == 3 && strstr(err.text, "ends early") != NULL,
       "what is cut off says so: %s", err.text);

    ok(parse("[1,", 3, 64, NULL) == AIQ_D_JSON_INVALID
       && parse("{\"a\":1,\"a\":1}", 13, 64, NULL)
          == AIQ_D_JSON_DUPLICATE_KEY,
       "nobody must ask for the error");

    ok(parse(NULL, 0, 64, &err) == AIQ_D_JSON_INVALID, "no text at all");
}


static void
truncated(void)
{
    size_t     n, bad;
    aiq_rc_t   rc;

    bad = 0;

    for (n = 0; n < sizeof(body) - 1; n++) {
        if (!check_text(body, n, &rc)
            || (rc != AIQ_D_JSON_INVALID && rc != AIQ_D_JSON_ENCODING))
        {
            diag("%zu bytes: %s", n, aiq_reason(rc));
            bad++;
        }
    }

    ok(bad == 0, "a body cut off after any of %zu bytes is refused",
       sizeof(body) - 1);
    ok(check_text(body, n, &rc) && rc == AIQ_OK, "and the whole is not");
}


static void
depth(void)
{
    char      *s;
    size_t     i;
    aiq_rc_t   rc;

    static const struct {
        const char  *open;
        const char  *middle;
        const char  *close;
    } t[] = {
        { "[", "", "]" },
        { "[", "1", "]" },
        { "{\"a\":", "1", "}" },
        { "{\"a\":", "{}", "}" },
    };

    for (i = 0; i < 4; i++) {

        /* the innermost one is a value in the last case */

        s = repeat(t[i].open, (i == 3) ? 63 : 64, t[i].middle, t[i].close);
        ok(check_text(s, strlen(s), &rc) && rc == AIQ_OK,
           "64 deep: %s", t[i].open);
        free(s);

        s = repeat(t[i].open, (i == 3) ? 64 : 65, t[i].middle, t[i].close);
        ok(check_text(s, strlen(s), &rc) && rc == AIQ_D_JSON_TOO_DEEP,
           "65 deep: %s", t[i].open);
        free(s);
    }

    s = repeat("[", 100000, "", "");
    ok(parse(s, 100000, 64, NULL) == AIQ_D_JSON_TOO_DEEP,
       "100000 brackets are no load");
    free(s);

    s = repeat("[", 65, "", "]");
    ok(parse(s, 130, 65, NULL) == AIQ_D_JSON_TOO_DEEP,
       "nobody can ask for more than 64");
    free(s);

    s = repeat("[", 16, "", "]");
    ok(parse(s, 32, 16, NULL) == AIQ_OK, "16 of 16");
    ok(parse(s, 32, 15, NULL) == AIQ_D_JSON_TOO_DEEP, "16 of 15");
    free(s);

    ok(parse("1", 1, 0, NULL) == AIQ_OK, "a scalar is not nested");
    ok(parse("[]", 2, 0, NULL) == AIQ_D_JSON_TOO_DEEP, "an array is");
    ok(parse("[[],[],{},[[]]]", 15, 3, NULL) == AIQ_OK,
       "what ended does not count");
}


static void
tokens(void)
{
    char       *s;
    aiq_err_t   err;

    /* the array itself is one */

    s = repeat(",0", AIQ_JSON_TOKENS - 1, "]", "");
    s[0] = '[';

    ok(parse(s, strlen(s), 64, &err) == AIQ_OK, "%d tokens", AIQ_JSON_TOKENS);

    free(s);

    s = repeat(",0", AIQ_JSON_TOKENS, "]", "");
    s[0] = '[';

    ok(parse(s, strlen(s), 64, &err) == AIQ_D_JSON_TOO_LARGE
       && err.rc == AIQ_D_JSON_TOO_LARGE,
       "%d tokens: %s", AIQ_JSON_TOKENS + 1, err.text);

    free(s);
}


static void
memory(void)
{
    size_t           i, size, bad, need;
    void            *start;
    aiq_mem_t        mem;
    aiq_str_t        text;
    aiq_json_t       doc;
    unsigned char   *before;

    text = aiq_cstr(body);

    mem.pos = arena;
    mem.end = arena + sizeof(arena);

    if (aiq_json_parse(&doc, text, 64, &mem, NULL) != AIQ_OK) {
        abort();
    }

    need = doc.n * sizeof(aiq_json_tok_t);
    bad = 0;

    for (size = 0; size < need + 64; size++) {

        mem = check_mem(size);
        start = mem.pos;

        if (aiq_json_parse(&doc, text, 64, &mem, NULL)
            == AIQ_D_JSON_TOO_LARGE)
        {
            bad += (size >= need) || mem.pos != start || doc.n != 0;

        } else {
            bad += (size < need)
                   || (size_t) (mem.pos - (unsigned char *) start) != need;
        }

        free(start);
    }

    ok(bad == 0, "a tape of %zu bytes in 0..%zu: %zu wrong", need, size, bad);

    bad = 0;

    for (i = 0; i < 17; i++) {
        mem.pos = arena + i;
        mem.end = arena + i + need + 15;
        before = mem.pos;

        bad += aiq_json_parse(&doc, text, 64, &mem, NULL) != AIQ_OK
               || ((uintptr_t) doc.tok & 7) || mem.pos > mem.end
               || mem.pos < before;
    }

    ok(bad == 0, "at any address");

    mem.pos = arena + 1;
    mem.end = arena + sizeof(arena);

    ok(aiq_json_parse(&doc, aiq_cstr("[1,2"), 64, &mem, NULL) != AIQ_OK
       && mem.pos == arena + 1 && doc.n == 0 && doc.tok == NULL,
       "nothing is taken by what is refused");

    text.len = (size_t) UINT32_MAX;

    ok(aiq_json_parse(&doc, text, 64, &mem, NULL) == AIQ_D_JSON_TOO_LARGE,
       "4 GB are not even looked at");
}


static void
number_length(void)
{
    char      *s;
    aiq_rc_t   rc;

    s = repeat("3", 401, "", "");
    s[0] = '0';
    s[1] = '.';

    ok(check_text(s, 400, &rc) && rc == AIQ_OK, "a number of 400 bytes");
    ok(parse(s, 401, 64, NULL) == AIQ_D_JSON_NUMBER, "one of 401");

    memset(s, '0', 401);
    memcpy(s, "1e", 2);
    s[400] = '1';

    ok(parse(s, 401, 64, NULL) == AIQ_D_JSON_NUMBER,
       "zeros in the exponent count");

    s[399] = '1';

    ok(check_text(s, 400, &rc) && rc == AIQ_OK, "1e0...01 of 400 bytes");

    s[397] = '9';

    ok(check_text(s, 400, &rc) && rc == AIQ_D_JSON_NUMBER,
       "1e0...0901 overflows");

    free(s);
}


/* the many keys of an attacker */

static void
keys(void)
{
    char       *s, *p;
    int         i, n;
    aiq_rc_t    rc;
    aiq_err_t   err;

    n = 32767;
    s = malloc((size_t) n * 16 + 16);

    if (s == NULL) {
        abort();
    }

    p = s;
    *p++ = '{';

    for (i = 0; i < n; i++) {
        p += sprintf(p, "\"%05d\":0,", n - i);
    }

    p[-1] = '}';

    ok(parse(s, (size_t) (p - s), 64, &err) == AIQ_OK,
       "%d keys in reverse", n);

    /* the first one again, at the end */

    memcpy(p - 10, s + 1, 7);

    ok(parse(s, (size_t) (p - s), 64, &err) == AIQ_D_JSON_DUPLICATE_KEY
       && err.offset == (size_t) (p - s) - 9,
       "the duplicate among them: %s", err.text);

    free(s);

    p = s = malloc(64 * 2100);

    if (s == NULL) {
        abort();
    }

    /* a long common beginning, escaped in one half of the keys */

    *p++ = '{';

    for (i = 0; i < 60; i++) {
        *p++ = '"';

        if (i & 1) {
            p += sprintf(p, "\\u006b");

        } else {
            *p++ = 'k';
        }

        memset(p, 'k', 2000);
        p += 2000;
        p += sprintf(p, "%02d\xc3\xa9\":0,", 59 - i);
    }

    p[-1] = '}';

    ok(check_text(s, (size_t) (p - s), &rc) && rc == AIQ_OK,
       "60 long keys that differ at the end");

    free(s);
}


static aiq_rc_t
parse(const char *text, size_t len, unsigned max, aiq_err_t *err)
{
    aiq_rc_t     rc;
    aiq_mem_t    mem;
    aiq_str_t    s;
    aiq_json_t   doc;
    void        *start;

    s.data = (const unsigned char *) text;
    s.len = len;

    mem = check_mem((AIQ_JSON_TOKENS + 10) * sizeof(aiq_json_tok_t));
    start = mem.pos;

    rc = aiq_json_parse(&doc, s, max, &mem, err);

    free(start);

    return rc;
}


/* s n times, middle, last n times; the caller frees it */

static char *
repeat(const char *s, size_t n, const char *middle, const char *last)
{
    char    *p, *q;
    size_t   i, a, b;

    a = strlen(s);
    b = strlen(last);

    q = p = malloc(n * (a + b) + strlen(middle) + 8);

    if (p == NULL) {
        abort();
    }

    for (i = 0; i < n; i++) {
        memcpy(q, s, a);
        q += a;
    }

    memcpy(q, middle, strlen(middle));
    q += strlen(middle);

    for (i = 0; i < n; i++) {
        memcpy(q, last, b);
        q += b;
    }

    *q = '\0';

    return p;
}
