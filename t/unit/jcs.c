
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <jansson.h>

#include "jcs.h"
#include "tap.h"


static void published(void);
static void forms(void);
static void texts(void);
static void skipping(void);
static void sinks(void);
static void hashes(void);
static void plans(void);

static int canonical(const char *text, aiq_jcs_form_e form, aiq_str_t *s);
static int signed_part(const char *text, aiq_str_t *s);
static int skip_key(const aiq_json_t *doc, uint32_t key, void *data);
static int skip_unsigned(const aiq_json_t *doc, uint32_t key, void *data);
static int drain(aiq_out_t *out);
static int hash_is(const unsigned char *hash, const char *want);


static unsigned char  arena[1 << 20];
static unsigned char  text_out[1 << 18];


int
main(void)
{
    published();
    forms();
    texts();
    skipping();
    sinks();
    hashes();
    plans();

    return done_testing();
}


/* the vectors of the authors of RFC 8785 */

static void
published(void)
{
    char       *in, *out, *hex, *p;
    char        name[64];
    size_t      i, n, len, bad;
    unsigned    byte;
    aiq_str_t   s;

    static const char  *t[] = {
        "arrays", "french", "structures", "unicode", "values", "weird"
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {

        snprintf(name, sizeof(name), "jcs/input/%s.json", t[i]);
        in = vectors(name, NULL);

        snprintf(name, sizeof(name), "jcs/output/%s.json", t[i]);
        out = vectors(name, &len);

        snprintf(name, sizeof(name), "jcs/outhex/%s.txt", t[i]);
        hex = vectors(name, NULL);

        if (in == NULL || out == NULL || hex == NULL) {
            skip(t[i], "the vectors are not there");

        } else {
            ok(canonical(in, AIQ_JCS, &s) && s.len == len
               && memcmp(s.data, out, len) == 0,
               "RFC 8785: %s", t[i]);

            bad = 0;
            p = hex;

            for (n = 0; n < s.len; n++) {
                byte = (unsigned) strtoul(p, &p, 16);
                bad += (byte != s.data[n]);
            }

            ok(bad == 0 && strspn(p, " \n") == strlen(p),
               "and in hexadecimal");

            ok(canonical(out, AIQ_JCS, &s) && s.len == len
               && memcmp(s.data, out, len) == 0,
               "and its own canonical form");
        }

        free(in);
        free(out);
        free(hex);
    }
}


static void
forms(void)
{
    int        pass;
    size_t     i;
    aiq_str_t  s;

    static const struct {
        const char  *text;
        const char  *jcs;
        const char  *iap;          /* NULL: the same */
    } t[] = {
        { "null", "null", NULL },
        { " true ", "true", NULL },
        { "false", "false", NULL },
        { "[]", "[]", NULL },
        { "{ }", "{}", NULL },
        { "[ 1 ,\t[ ] ,\r\n{ } ]", "[1,[],{}]", NULL },
        { "\"\"", "\"\"", NULL },
        { "{\"b\":1,\"a\":{\"d\":[{\"f\":1,\"e\":2}],\"c\":3}}",
          "{\"a\":{\"c\":3,\"d\":[{\"e\":2,\"f\":1}]},\"b\":1}", NULL },
        { "{\"aa\":1,\"a\":2,\"\":3,\"B\":4}",
          "{\"\":3,\"B\":4,\"a\":2,\"aa\":1}", NULL },

        /* strings */
        { "\"\\b\\t\\n\\f\\r\\\"\\\\\"", "\"\\b\\t\\n\\f\\r\\\"\\\\\"",
          NULL },
        { "\"\\u0008\\u0009\\u000A\\u000c\\u000D\\u0022\\u005C\"",
          "\"\\b\\t\\n\\f\\r\\\"\\\\\"", NULL },
        { "\"\\u0001\\u0007\\u000b\\u000e\\u001F\"",
          "\"\\u0001\\u0007\\u000b\\u000e\\u001f\"", NULL },
        { "\"\\/ / \\u002f \\u0020\\u007e\"", "\"/ / /  ~\"", NULL },
        { "\"\x7f\"", "\"\x7f\"", "\"\\u007f\"" },
        { "\"\\u007F\"", "\"\x7f\"", "\"\\u007f\"" },
        { "\"\xc2\x80\"", "\"\xc2\x80\"", "\"\\u0080\"" },
        { "\"r\xc3\xa9" "ad\"", "\"r\xc3\xa9" "ad\"", "\"r\\u00e9ad\"" },
        { "\"r\\u00E9ad\"", "\"r\xc3\xa9" "ad\"", "\"r\\u00e9ad\"" },
        { "\"\xe2\x80\xa8\xe2\x82\xac\"", "\"\xe2\x80\xa8\xe2\x82\xac\"",
          "\"\\u2028\\u20ac\"" },
        { "\"\xef\xbf\xbf\"", "\"\xef\xbf\xbf\"", "\"\\uffff\"" },
        { "\"\xf0\x9f\x98\x82\"", "\"\xf0\x9f\x98\x82\"",
          "\"\\ud83d\\ude02\"" },
        { "\"\\uD83D\\uDE02\"", "\"\xf0\x9f\x98\x82\"",
          "\"\\ud83d\\ude02\"" },
        { "\"\\ud800\\udc00\\udbff\\udfff\"",
          "\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"",
          "\"\\ud800\\udc00\\udbff\\udfff\"" },
        { "\"a\\n\xc3\xa9\\u00e9b\"", "\"a\\n\xc3\xa9\xc3\xa9" "b\"",
          "\"a\\n\\u00e9\\u00e9b\"" },

        /* keys: by UTF-16 units, unescaped */
        { "{\"\xef\xac\xb3\":1,\"\xf0\x9f\x98\x82\":2,\"\\u00e9\":3}",
          "{\"\xc3\xa9\":3,\"\xf0\x9f\x98\x82\":2,\"\xef\xac\xb3\":1}",
          "{\"\\u00e9\":3,\"\\ud83d\\ude02\":2,\"\\ufb33\":1}" },
        { "{\"b\":1,\"\\u0061\":2}", "{\"a\":2,\"b\":1}", NULL },
        { "{\"\\\"\":1,\"!\":2,\"#\":3}", "{\"!\":2,\"\\\"\":1,\"#\":3}",
          NULL },

        /* numbers */
        { "[0,-0,0.0,-0.0,0e5,-0E-5]", "[0,0,0,0,0,0]", NULL },
        { "[1,-1,10,100,1.0,1.50,10e1,1E2,-1e2]",
          "[1,-1,10,100,1,1.5,100,100,-100]", NULL },
        { "[9007199254740991,-9007199254740991,9007199254740991.0]",
          "[9007199254740991,-9007199254740991,9007199254740991]", NULL },
        { "[0.000001,0.0000010,1e-6,0.0000001,0.00000123,0.0000012345678]",
          "[0.000001,0.000001,0.000001,1e-7,0.00000123,0.0000012345678]",
          NULL },
        { "[0.000000123,0.0000009,-0.000001,-0.0000001]",
          "[1.23e-7,9e-7,-0.000001,-1e-7]", NULL },
        { "[1e21,1E+21,0.1e22,123e30,-1e21]",
          "[1e+21,1e+21,1e+21,1.23e+32,-1e+21]", NULL },
        { "[0.1,0.10,0.1000000000000000055,12.34,-12.34,0.30000000000000004]",
          "[0.1,0.1,0.1,12.34,-12.34,0.30000000000000004]", NULL },
        { "[99999999999999.9,123456789.123456,1234567890.1234567]",
          "[99999999999999.9,123456789.123456,1234567890.1234567]", NULL },
        { "[333333333.33333329,1E30,4.50,2e-3,1e-27]",
          "[333333333.3333333,1e+30,4.5,0.002,1e-27]", NULL },
        { "[1e-400,5e-324,2e-324,1.7976931348623157e308]",
          "[0,5e-324,0,1.7976931348623157e+308]", NULL },
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {

        pass = canonical(t[i].text, AIQ_JCS, &s);

        ok(pass && aiq_str_is(s, t[i].jcs),
           "JCS: item %zu: %.*s", i, (int) s.len, s.data);

        pass = canonical(t[i].text, AIQ_JCS_IAP, &s);

        ok(pass && aiq_str_is(s, t[i].iap ? t[i].iap : t[i].jcs),
           "IAP: item %zu: %.*s", i, (int) s.len, s.data);
    }
}


/* strings that come from nowhere */

static void
texts(void)
{
    size_t     i;
    aiq_out_t  out;

    static const struct {
        const char  *s;
        const char  *jcs;
        const char  *iap;
    } t[] = {
        { "", "\"\"", "\"\"" },
        { "infra.restart", "\"infra.restart\"", "\"infra.restart\"" },
        { "caf\xc3\xa9", "\"caf\xc3\xa9\"", "\"caf\\u00e9\"" },
        { "a/b\"\\\n", "\"a/b\\\"\\\\\\n\"", "\"a/b\\\"\\\\\\n\"" },
        { "\\u0041", "\"\\\\u0041\"", "\"\\\\u0041\"" },
        { "\x01\x1f\x7f", "\"\\u0001\\u001f\x7f\"",
          "\"\\u0001\\u001f\\u007f\"" },
        { "\xf0\x9f\x98\x82", "\"\xf0\x9f\x98\x82\"",
          "\"\\ud83d\\ude02\"" },
    };

    static const char  *bad[] = {
        "\xff", "a\x80", "\xed\xa0\x80", "\xc0\x80", "ab\xe2\x82"
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {

        aiq_out_init(&out, text_out, sizeof(text_out));
        aiq_jcs_write_string(&out, aiq_cstr(t[i].s), AIQ_JCS);

        ok(!out.failed && aiq_str_is(aiq_out_done(&out), t[i].jcs),
           "a string for JCS: %s", t[i].jcs);

        aiq_out_init(&out, text_out, sizeof(text_out));
        aiq_jcs_write_string(&out, aiq_cstr(t[i].s), AIQ_JCS_IAP);

        ok(!out.failed && aiq_str_is(aiq_out_done(&out), t[i].iap),
           "a string for IAP: %s", t[i].iap);
    }

    aiq_out_init(&out, text_out, sizeof(text_out));
    aiq_jcs_write_string(&out, (aiq_str_t) { 3, (unsigned char *) "a\0b" },
                         AIQ_JCS);

    ok(!out.failed && aiq_str_is(aiq_out_done(&out), "\"a\\u0000b\""),
       "a NUL ends nothing");

    for (i = 0; i < 2 * sizeof(bad) / sizeof(bad[0]); i++) {

        aiq_out_init(&out, text_out, sizeof(text_out));
        aiq_jcs_write_string(&out, aiq_cstr(bad[i / 2]),
                             (i & 1) ? AIQ_JCS : AIQ_JCS_IAP);

        ok(out.failed, "what is not UTF-8 has no form: item %zu", i);
    }
}


static void
skipping(void)
{
    size_t       i;
    aiq_mem_t    mem;
    aiq_out_t    out;
    aiq_json_t   doc;

    static const char  text[] =
        "{\"c\":{\"a\":1},\"a\":[2,{\"y\":1,\"x\":2}],\"\\u0062\":3}";

    static const struct {
        const char  *key;
        const char  *want;
    } t[] = {
        { "a", "{\"b\":3,\"c\":{\"a\":1}}" },
        { "b", "{\"a\":[2,{\"x\":2,\"y\":1}],\"c\":{\"a\":1}}" },
        { "c", "{\"a\":[2,{\"x\":2,\"y\":1}],\"b\":3}" },
        { "d", "{\"a\":[2,{\"x\":2,\"y\":1}],\"b\":3,\"c\":{\"a\":1}}" },
        { NULL, "{}" },
    };

    mem.pos = arena;
    mem.end = arena + sizeof(arena);

    if (aiq_json_parse(&doc, aiq_cstr(text), 64, &mem, NULL) != AIQ_OK) {
        abort();
    }

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {

        aiq_out_init(&out, text_out, sizeof(text_out));
        aiq_jcs_write_object(&out, &doc, 0, AIQ_JCS, skip_key,
                             (void *) t[i].key);

        ok(!out.failed && aiq_str_is(aiq_out_done(&out), t[i].want),
           "without \"%s\", at the top only", t[i].key ? t[i].key : "any");
    }

    aiq_out_init(&out, text_out, sizeof(text_out));
    aiq_jcs_write_object(&out, &doc, 0, AIQ_JCS, NULL, NULL);

    ok(aiq_str_is(aiq_out_done(&out), t[3].want), "nothing to skip");

    aiq_out_init(&out, text_out, sizeof(text_out));
    aiq_jcs_write(&out, &doc, aiq_json_get(&doc, 0, "a"), AIQ_JCS);

    ok(aiq_str_is(aiq_out_done(&out), "[2,{\"x\":2,\"y\":1}]"),
       "a value inside");

    aiq_out_init(&out, text_out, sizeof(text_out));
    aiq_jcs_write_object(&out, &doc, aiq_json_get(&doc, 0, "a"), AIQ_JCS,
                         NULL, NULL);

    ok(out.failed, "an array is no object");

    aiq_out_init(&out, text_out, sizeof(text_out));
    aiq_jcs_write(&out, &doc, AIQ_JSON_NONE, AIQ_JCS);

    ok(out.failed, "nor is what is not there");
}


/* every size of a buffer, and one that is emptied all the time */

static void
sinks(void)
{
    size_t          n, bad;
    aiq_mem_t       mem;
    aiq_out_t       out, whole;
    aiq_str_t       s;
    aiq_json_t      doc;
    unsigned char   all[512], small[512], piece[7];

    static const char  text[] =
        "{\"z\":[1.5e300,-0.1,\"\\u00e9\\n\\u0001\"],\"\xf0\x9f\x98\x82\":"
        "{\"a\":true,\"\xef\xac\xb3\":null},\"a\":\"plain\"}";

    mem.pos = arena;
    mem.end = arena + sizeof(arena);

    if (aiq_json_parse(&doc, aiq_cstr(text), 64, &mem, NULL) != AIQ_OK) {
        abort();
    }

    aiq_out_init(&out, all, sizeof(all));
    aiq_jcs_write(&out, &doc, 0, AIQ_JCS_IAP);
    s = aiq_out_done(&out);

    bad = 0;

    for (n = 0; n <= s.len; n++) {
        aiq_out_init(&out, small, n);
        aiq_jcs_write(&out, &doc, 0, AIQ_JCS_IAP);

        bad += (out.failed != (n < s.len)) || out.pos > small + n
               || memcmp(small, all, (size_t) (out.pos - small)) != 0;
    }

    ok(bad == 0, "a buffer of 0..%zu bytes", s.len);

    aiq_out_init(&whole, small, sizeof(small));
    aiq_out_init(&out, piece, sizeof(piece));
    out.flush = drain;
    out.ctx = &whole;

    aiq_jcs_write(&out, &doc, 0, AIQ_JCS_IAP);

    ok(!out.failed && drain(&out) == 0
       && aiq_str_eq(aiq_out_done(&whole), s), "seven bytes at a time");
}


static void
hashes(void)
{
    size_t          i;
    aiq_str_t       s;
    aiq_mem_t       mem;
    aiq_json_t      doc;
    aiq_crypto_t   *c;
    unsigned char   hash[AIQ_HASH_LEN], want[AIQ_HASH_LEN];

    static const struct {
        const char      *text;
        aiq_jcs_form_e   form;
        const char      *hash;
    } t[] = {
        { "\"infra.restart\"", AIQ_JCS,
          "1066ce7a185b76161240a4f17ab49d53d79d23e2db6a3e35d6897e2408cba9a4" },
        { "\"caf\\u00e9\"", AIQ_JCS,
          "28380feb8724d669bc8d4cf5b5a5bb1adbdc61b81ebd06f3fabc567b4f3b0fc5" },
        { "\"caf\xc3\xa9\"", AIQ_JCS_IAP,
          "ee08d8beb64c89c25fe7f583c6b522f7f380aab939035ec58d3fcdba24c881e1" },
        { "[{\"name\":\"infra-mcp__infra.restart\", \"args\":"
          "{\"service_id\":\"payments\"}}]", AIQ_JCS_IAP,
          "ee1c00c4226e717dbbb6115e75c5235631527dde71adbb28c62f5d11265319c3" },
    };

    c = aiq_crypto_new();

    if (c == NULL) {
        ok(0, "libcrypto");
        return;
    }

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        mem.pos = arena;
        mem.end = arena + sizeof(arena);

        ok(aiq_json_parse(&doc, aiq_cstr(t[i].text), 64, &mem, NULL)
           == AIQ_OK
           && aiq_jcs_hash(c, &doc, 0, t[i].form, hash) == AIQ_OK
           && hash_is(hash, t[i].hash),
           "SHA-256 of item %zu", i);
    }

    /* longer than any buffer on the way */

    memset(arena, 'x', 20000);
    arena[0] = '"';
    arena[19999] = '"';

    s.data = arena;
    s.len = 20000;

    mem.pos = arena + 32768;
    mem.end = arena + sizeof(arena);

    ok(aiq_json_parse(&doc, s, 64, &mem, NULL) == AIQ_OK
       && aiq_jcs_hash(c, &doc, 0, AIQ_JCS, hash) == AIQ_OK
       && aiq_sha256(c, s, want) == AIQ_OK
       && memcmp(hash, want, sizeof(hash)) == 0,
       "SHA-256 of a long text");

    ok(aiq_jcs_hash(c, &doc, AIQ_JSON_NONE, AIQ_JCS, hash) != AIQ_OK,
       "no hash of nothing");

    aiq_crypto_free(c);
}


/* the plans and tokens that another implementation has canonicalized */

static void
plans(void)
{
    char        *file, *text;
    json_t      *root, *v;
    aiq_str_t    s;
    const char  *name, *want;

    file = vectors("plan/vectors.json", NULL);

    if (file == NULL) {
        skip("plans", "the vectors are not there");
        return;
    }

    root = json_loads(file, 0, NULL);

    json_object_foreach(json_object_get(root, "plans"), name, v) {

        want = json_string_value(json_object_get(v, "canonical_plan"));

        if (want == NULL) {
            continue;
        }

        text = json_dumps(json_object_get(v, "plan"), JSON_PRESERVE_ORDER);

        ok(canonical(text, AIQ_JCS, &s) && aiq_str_is(s, want),
           "plan \"%s\"", name);

        free(text);
    }

    json_object_foreach(json_object_get(root, "tokens"), name, v) {

        want = json_string_value(json_object_get(v, "iap_signed_bytes"));

        ok(want != NULL && canonical(want, AIQ_JCS_IAP, &s)
           && aiq_str_is(s, want),
           "what the IAP signer signs, \"%s\"", name);

        v = json_object_get(v, "iap");
        text = json_dumps(v, JSON_PRESERVE_ORDER|JSON_ENSURE_ASCII);

        ok(signed_part(text, &s) && aiq_str_is(s, want),
           "and the same out of its token");

        free(text);
    }

    json_decref(root);
    free(file);
}


/* the canonical form of a text, in text_out */

static int
canonical(const char *text, aiq_jcs_form_e form, aiq_str_t *s)
{
    aiq_mem_t    mem;
    aiq_out_t    out;
    aiq_json_t   doc;

    mem.pos = arena;
    mem.end = arena + sizeof(arena);

    aiq_str_null(s);

    if (aiq_json_parse(&doc, aiq_cstr(text), 64, &mem, NULL) != AIQ_OK) {
        return 0;
    }

    aiq_out_init(&out, text_out, sizeof(text_out));
    aiq_jcs_write(&out, &doc, 0, form);

    *s = aiq_out_done(&out);

    return !out.failed;
}


/* the members of an IAP token that its signature covers */

static int
signed_part(const char *text, aiq_str_t *s)
{
    aiq_mem_t    mem;
    aiq_out_t    out;
    aiq_json_t   doc;

    mem.pos = arena;
    mem.end = arena + sizeof(arena);

    aiq_str_null(s);

    if (aiq_json_parse(&doc, aiq_cstr(text), 64, &mem, NULL) != AIQ_OK) {
        return 0;
    }

    aiq_out_init(&out, text_out, sizeof(text_out));
    aiq_jcs_write_object(&out, &doc, 0, AIQ_JCS_IAP, skip_unsigned, NULL);

    *s = aiq_out_done(&out);

    return !out.failed;
}


static int
skip_key(const aiq_json_t *doc, uint32_t key, void *data)
{
    return data == NULL || aiq_json_is(doc, key, data);
}


static int
skip_unsigned(const aiq_json_t *doc, uint32_t key, void *data)
{
    size_t  i;

    static const char  *name[] = {
        "plan_hash", "issued_at", "expires_at", "policy", "identity",
        "public_key", "version"
    };

    for (i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
        if (aiq_json_is(doc, key, name[i])) {
            return 0;
        }
    }

    return 1;
}


static int
drain(aiq_out_t *out)
{
    aiq_out_t  *whole;

    whole = out->ctx;

    aiq_out_mem(whole, out->start, (size_t) (out->pos - out->start));
    out->pos = out->start;

    return whole->failed ? -1 : 0;
}


static int
hash_is(const unsigned char *hash, const char *want)
{
    char       hex[AIQ_HASH_LEN * 2];
    aiq_out_t  out;

    aiq_out_init(&out, hex, sizeof(hex));
    aiq_out_hex(&out, hash, AIQ_HASH_LEN);

    return aiq_str_is(aiq_out_done(&out), want);
}
