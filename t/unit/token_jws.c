
/*
 * Copyright (C) ngx_armoriq authors
 */


#include "token_check.h"


typedef struct {
    const char  *text;
    aiq_rc_t     rc;
} header_case_t;


static void test_jws_fields(void);
static void test_jws_headers(void);
static void test_jws_claims(void);
static void test_jws_text(void);
static void test_jws_limits(void);
static void test_jws_memory(void);


static void
test_jws_fields(void)
{
    aiq_str_t    text, dot;
    aiq_hash_t   id;
    aiq_token_t  t, other;

    rewind_mem();

    text = make_jws(aiq_cstr(HEADER), claims("key", "\"ak-1\""));

    if (!ok(check_jws(&t, text) == AIQ_OK, "a good JWS")) {
        diag("%s", err.text);
    }

    ok(aiq_str_is(t.kid, "test-1") && aiq_str_is(t.iss, "armoriq")
       && aiq_str_is(t.aud, "armoriq-proxy") && aiq_str_is(t.sub, "alice")
       && aiq_str_is(t.org, "acme") && aiq_str_is(t.agent, "sysadmin")
       && aiq_str_is(t.jti, "j-1") && aiq_str_is(t.key, "ak-1")
       && t.iat == 1700000000 && t.nbf == 1700000000 && t.exp == 1700000300
       && t.steps == 3 && t.plan_hash[0] == 0x35 && t.plan_hash[31] == 0x47
       && t.policy.len == 0 && t.aud_ok && !t.has_public,
       "its claims");

    dot.data = text.data;
    dot.len = text.len - 87;
    ok(aiq_sha256(c, dot, id) == AIQ_OK
       && memcmp(id, t.id, AIQ_HASH_LEN) == 0
       && aiq_str_eq(t.signed_text, dot),
       "id is the hash of what is signed");

    /* the id does not depend on the signature (T3) */

    ((unsigned char *) text.data)[text.len - 10] ^= 1;
    ok(check_jws(&other, text) == AIQ_D_TOKEN_SIGNATURE, "changed signature");
    aiq_token_read_jws(&other, text, &rules, c, &mem, &err);
    ok(memcmp(other.id, t.id, AIQ_HASH_LEN) == 0, "the same id");

    pub[0] ^= 1;
    ok(aiq_token_check_signature(&t, pub, c) == AIQ_D_TOKEN_SIGNATURE,
       "another key");
    pub[0] ^= 1;

    memset(id, 0, sizeof(id));
    ok(aiq_token_check_signature(&t, id, c) == AIQ_D_TOKEN_KEY,
       "a key of small order");

    memset(&t, 0, sizeof(t));
    ok(aiq_token_check_signature(&t, pub, c) == AIQ_D_TOKEN_SIGNATURE
       && aiq_token_check_claims(&t, &rules, &err)
          == AIQ_D_TOKEN_MALFORMED, "no token at all");
}


static const header_case_t  headers[] = {

    { HEADER, AIQ_OK },
    { " { \"typ\":\"intent+jwt\", \"kid\":\"k\", \"alg\":\"EdDSA\" }\n",
      AIQ_OK },

    /* T5 */

    { "{\"alg\":\"none\",\"kid\":\"k\",\"typ\":\"intent+jwt\"}",
      AIQ_D_TOKEN_ALGORITHM },
    { "{\"alg\":\"None\",\"kid\":\"k\",\"typ\":\"intent+jwt\"}",
      AIQ_D_TOKEN_ALGORITHM },
    { "{\"alg\":\"nOnE\",\"kid\":\"k\",\"typ\":\"intent+jwt\"}",
      AIQ_D_TOKEN_ALGORITHM },
    { "{\"alg\":\"NONE\",\"kid\":\"k\",\"typ\":\"intent+jwt\"}",
      AIQ_D_TOKEN_ALGORITHM },
    { "{\"alg\":\"HS256\",\"kid\":\"k\",\"typ\":\"intent+jwt\"}",
      AIQ_D_TOKEN_ALGORITHM },
    { "{\"alg\":\"RS256\",\"kid\":\"k\",\"typ\":\"intent+jwt\"}",
      AIQ_D_TOKEN_ALGORITHM },
    { "{\"alg\":\"ES256\",\"kid\":\"k\",\"typ\":\"intent+jwt\"}",
      AIQ_D_TOKEN_ALGORITHM },
    { "{\"alg\":\"ES256K\",\"kid\":\"k\",\"typ\":\"intent+jwt\"}",
      AIQ_D_TOKEN_ALGORITHM },
    { "{\"alg\":\"Ed25519\",\"kid\":\"k\",\"typ\":\"intent+jwt\"}",
      AIQ_D_TOKEN_ALGORITHM },
    { "{\"alg\":\"eddsa\",\"kid\":\"k\",\"typ\":\"intent+jwt\"}",
      AIQ_D_TOKEN_ALGORITHM },
    { "{\"alg\":\"EdDSA \",\"kid\":\"k\",\"typ\":\"intent+jwt\"}",
      AIQ_D_TOKEN_ALGORITHM },
    { "{\"alg\":[\"EdDSA\"],\"kid\":\"k\",\"typ\":\"intent+jwt\"}",
      AIQ_D_TOKEN_ALGORITHM },
    { "{\"alg\":null,\"kid\":\"k\",\"typ\":\"intent+jwt\"}",
      AIQ_D_TOKEN_ALGORITHM },
    { "{\"kid\":\"k\",\"typ\":\"intent+jwt\"}", AIQ_D_TOKEN_ALGORITHM },
    { "{\"alg\":\"none\",\"alg\":\"EdDSA\",\"kid\":\"k\","
      "\"typ\":\"intent+jwt\"}", AIQ_D_TOKEN_MALFORMED },
    { "{\"alg\":\"EdDSA\",\"\\u0061lg\":\"none\",\"kid\":\"k\","
      "\"typ\":\"intent+jwt\"}", AIQ_D_TOKEN_MALFORMED },
    { "{\"ALG\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"intent+jwt\"}",
      AIQ_D_TOKEN_HEADER },

    /* T6 */

    { "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"intent+jwt\","
      "\"crit\":[]}", AIQ_D_TOKEN_HEADER },
    { "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"intent+jwt\","
      "\"crit\":[\"exp\"],\"exp\":1}", AIQ_D_TOKEN_HEADER },
    { "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"intent+jwt\","
      "\"b64\":false}", AIQ_D_TOKEN_HEADER },
    { "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"intent+jwt\","
      "\"b64\":true}", AIQ_D_TOKEN_HEADER },
    { "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"intent+jwt\","
      "\"zip\":\"DEF\"}", AIQ_D_TOKEN_HEADER },
    { "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"intent+jwt\","
      "\"cty\":\"JWT\"}", AIQ_D_TOKEN_HEADER },
    { "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"intent+jwt\","
      "\"jwk\":{\"kty\":\"OKP\"}}", AIQ_D_TOKEN_HEADER },
    { "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"intent+jwt\","
      "\"jku\":\"https://example.com/\"}", AIQ_D_TOKEN_HEADER },
    { "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"intent+jwt\","
      "\"x5u\":\"https://example.com/\"}", AIQ_D_TOKEN_HEADER },
    { "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"intent+jwt\","
      "\"x5c\":[]}", AIQ_D_TOKEN_HEADER },
    { "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"intent+jwt\","
      "\"x5t\":\"\"}", AIQ_D_TOKEN_HEADER },
    { "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"intent+jwt\","
      "\"x5t#S256\":\"\"}", AIQ_D_TOKEN_HEADER },
    { "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"intent+jwt\","
      "\"whatever\":null}", AIQ_D_TOKEN_HEADER },
    { "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"intent+jwt\","
      "\"\":0}", AIQ_D_TOKEN_HEADER },
    { "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"JWT\"}", AIQ_D_TOKEN_TYPE },
    { "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"Intent+JWT\"}",
      AIQ_D_TOKEN_TYPE },
    { "{\"alg\":\"EdDSA\",\"kid\":\"k\","
      "\"typ\":\"application/intent+jwt\"}", AIQ_D_TOKEN_TYPE },
    { "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":1}", AIQ_D_TOKEN_TYPE },
    { "{\"alg\":\"EdDSA\",\"kid\":\"k\"}", AIQ_D_TOKEN_TYPE },

    /* T7 */

    { "{\"alg\":\"EdDSA\",\"typ\":\"intent+jwt\"}", AIQ_D_TOKEN_HEADER },
    { "{\"alg\":\"EdDSA\",\"kid\":\"\",\"typ\":\"intent+jwt\"}",
      AIQ_D_TOKEN_HEADER },
    { "{\"alg\":\"EdDSA\",\"kid\":7,\"typ\":\"intent+jwt\"}",
      AIQ_D_TOKEN_HEADER },
    { "{\"alg\":\"EdDSA\",\"kid\":[\"k\"],\"typ\":\"intent+jwt\"}",
      AIQ_D_TOKEN_HEADER },
    { "{\"alg\":\"EdDSA\",\"kid\":\"k\\n\",\"typ\":\"intent+jwt\"}",
      AIQ_D_TOKEN_HEADER },
    { "{\"alg\":\"EdDSA\",\"kid\":\"' OR 1=1--\",\"typ\":\"intent+jwt\"}",
      AIQ_D_TOKEN_HEADER },
    { "{\"alg\":\"EdDSA\",\"kid\":\"k\\u007f\",\"typ\":\"intent+jwt\"}",
      AIQ_D_TOKEN_HEADER },
    { "{\"alg\":\"EdDSA\",\"kid\":\"k\xc3\xa9\",\"typ\":\"intent+jwt\"}",
      AIQ_D_TOKEN_HEADER },
    { "{\"alg\":\"EdDSA\",\"kid\":\"k\\u0000x\",\"typ\":\"intent+jwt\"}",
      AIQ_D_TOKEN_MALFORMED },

    /* a path is a name like any other: whoever looks it up must not open */

    { "{\"alg\":\"EdDSA\",\"kid\":\"../../../../dev/null\","
      "\"typ\":\"intent+jwt\"}", AIQ_OK },

    /* T11 */

    { "[]", AIQ_D_TOKEN_MALFORMED },
    { "\"EdDSA\"", AIQ_D_TOKEN_MALFORMED },
    { "null", AIQ_D_TOKEN_MALFORMED },
    { "{", AIQ_D_TOKEN_MALFORMED },
    { HEADER "{}", AIQ_D_TOKEN_MALFORMED },
    { "\xef\xbb\xbf" HEADER, AIQ_D_TOKEN_MALFORMED },
    { "{\"alg\":\"EdDSA\",\"kid\":\"\xff\",\"typ\":\"intent+jwt\"}",
      AIQ_D_TOKEN_MALFORMED }
};


static void
test_jws_headers(void)
{
    size_t       i;
    aiq_rc_t     rc;
    aiq_token_t  t;

    for (i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        rewind_mem();

        rc = check_jws(&t, make_jws(aiq_cstr(headers[i].text),
                                    claims(NULL, NULL)));

        if (!ok(rc == headers[i].rc, "header %zu: %s", i,
                aiq_reason(headers[i].rc)))
        {
            diag("%s: %s: %s", headers[i].text, aiq_reason(rc), err.text);
        }
    }
}


#define X32    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X256   X32 X32 X32 X32 X32 X32 X32 X32

static const claim_case_t  claim_cases[] = {

    { NULL, NULL, AIQ_OK },

    /* names */

    { "iss", NULL, AIQ_D_TOKEN_CLAIMS },
    { "sub", NULL, AIQ_D_TOKEN_CLAIMS },
    { "org", NULL, AIQ_D_TOKEN_CLAIMS },
    { "agent", NULL, AIQ_D_TOKEN_CLAIMS },
    { "jti", NULL, AIQ_D_TOKEN_CLAIMS },
    { "org", "null", AIQ_D_TOKEN_CLAIMS },
    { "org", "[\"acme\"]", AIQ_D_TOKEN_CLAIMS },
    { "org", "\"\"", AIQ_D_TOKEN_CLAIMS },
    { "org", "\"ac\\nme\"", AIQ_D_TOKEN_CLAIMS },
    { "org", "\"ac\\u0085me\"", AIQ_D_TOKEN_CLAIMS },
    { "org", "\"ac\\u0000me\"", AIQ_D_TOKEN_MALFORMED },
    { "org", "\"" X256 "\"", AIQ_OK },
    { "org", "\"" X256 "x\"", AIQ_D_TOKEN_CLAIMS },
    { "sub", "7", AIQ_D_TOKEN_CLAIMS },
    { "agent", "true", AIQ_D_TOKEN_CLAIMS },
    { "jti", "{}", AIQ_D_TOKEN_CLAIMS },
    { "key", "\"\"", AIQ_D_TOKEN_CLAIMS },
    { "key", "null", AIQ_D_TOKEN_CLAIMS },
    { "key", "\"k\"", AIQ_OK },

    /* issuer and audience */

    { "iss", "\"Armoriq\"", AIQ_D_TOKEN_ISSUER },
    { "iss", "\"armoriq/\"", AIQ_D_TOKEN_ISSUER },
    { "aud", NULL, AIQ_D_TOKEN_CLAIMS },
    { "aud", "null", AIQ_D_TOKEN_CLAIMS },
    { "aud", "\"other\"", AIQ_D_TOKEN_AUDIENCE },
    { "aud", "\"armoriq-proxy2\"", AIQ_D_TOKEN_AUDIENCE },
    { "aud", "[\"other\",\"armoriq-proxy\"]", AIQ_OK },
    { "aud", "[\"other\"]", AIQ_D_TOKEN_AUDIENCE },
    { "aud", "[]", AIQ_D_TOKEN_CLAIMS },
    { "aud", "[\"armoriq-proxy\",1]", AIQ_D_TOKEN_CLAIMS },
    { "aud", "[[\"armoriq-proxy\"]]", AIQ_D_TOKEN_CLAIMS },
    { "aud", "{\"armoriq-proxy\":1}", AIQ_D_TOKEN_CLAIMS },

    /* times, T9 */

    { "exp", NULL, AIQ_D_TOKEN_CLAIMS },
    { "iat", NULL, AIQ_D_TOKEN_CLAIMS },
    { "exp", "\"1700000300\"", AIQ_D_TOKEN_CLAIMS },
    { "exp", "1700000300.0", AIQ_D_TOKEN_CLAIMS },
    { "exp", "1700000300.5", AIQ_D_TOKEN_CLAIMS },
    { "exp", "17000003e2", AIQ_D_TOKEN_CLAIMS },
    { "exp", "1e18", AIQ_D_TOKEN_MALFORMED },
    { "exp", "1e15", AIQ_D_TOKEN_CLAIMS },
    { "exp", "null", AIQ_D_TOKEN_CLAIMS },
    { "exp", "true", AIQ_D_TOKEN_CLAIMS },
    { "exp", "-1700000300", AIQ_D_TOKEN_CLAIMS },
    { "exp", "253402300800", AIQ_D_TOKEN_CLAIMS },
    { "exp", "253402300799", AIQ_D_TOKEN_LIFETIME },
    { "exp", "9007199254740991", AIQ_D_TOKEN_CLAIMS },
    { "exp", "9223372036854775808", AIQ_D_TOKEN_MALFORMED },
    { "exp", "1e400", AIQ_D_TOKEN_MALFORMED },
    { "exp", "[1700000300]", AIQ_D_TOKEN_CLAIMS },
    { "iat", "-1", AIQ_D_TOKEN_CLAIMS },
    { "iat", "-0", AIQ_D_TOKEN_CLAIMS },
    { "iat", "0", AIQ_D_TOKEN_LIFETIME },
    { "iat", "\"0\"", AIQ_D_TOKEN_CLAIMS },
    { "iat", "01", AIQ_D_TOKEN_MALFORMED },
    { "nbf", "1700000000", AIQ_OK },
    { "nbf", "1700000050.0", AIQ_D_TOKEN_CLAIMS },
    { "nbf", "null", AIQ_D_TOKEN_CLAIMS },
    { "nbf", "1700000200", AIQ_D_TOKEN_NOT_YET },

    /* the plan */

    { "plan_hash", NULL, AIQ_D_TOKEN_CLAIMS },
    { "plan_hash", "\"sha256:" HASH1 "\"", AIQ_D_TOKEN_CLAIMS },
    { "plan_hash", "\"35D2880753deca1834d53133d4983a694cad8181d7a330186a81e1"
      "ea74434847\"", AIQ_D_TOKEN_CLAIMS },
    { "plan_hash", "\"" HASH1 "0\"", AIQ_D_TOKEN_CLAIMS },
    { "plan_hash", "\"\"", AIQ_D_TOKEN_CLAIMS },
    { "plan_hash", "null", AIQ_D_TOKEN_CLAIMS },
    { "merkle_root", "\"" HASH1 "\"", AIQ_OK },
    { "merkle_root", "\"" HASH2 "\"", AIQ_D_TOKEN_CLAIMS },
    { "merkle_root", "\"sha256:" HASH1 "\"", AIQ_D_TOKEN_CLAIMS },
    { "merkle_root", "null", AIQ_D_TOKEN_CLAIMS },
    { "steps", NULL, AIQ_D_TOKEN_CLAIMS },
    { "steps", "0", AIQ_D_TOKEN_CLAIMS },
    { "steps", "-1", AIQ_D_TOKEN_CLAIMS },
    { "steps", "1.0", AIQ_D_TOKEN_CLAIMS },
    { "steps", "\"3\"", AIQ_D_TOKEN_CLAIMS },
    { "steps", "4294967299", AIQ_D_TOKEN_CLAIMS },

    /* the policy */

    { "policy", "{}", AIQ_OK },
    { "policy", "[]", AIQ_D_TOKEN_CLAIMS },
    { "policy", "null", AIQ_D_TOKEN_CLAIMS },
    { "policy", "\"{}\"", AIQ_D_TOKEN_CLAIMS },
    { "policy", "{\"allow\":[],\"allow\":[\"*\"]}", AIQ_D_TOKEN_MALFORMED },
    { "policy_hash", "\"" HASH1 "\"", AIQ_D_TOKEN_CLAIMS },
    { "policy\":{},\"policy_hash",
      "\"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\"",
      AIQ_OK },
    { "policy\":{ \"b\" : 1.0, \"a\":[] },\"policy_hash",
      "\"6bd7dc2f4e84f13c0ea89fc2a5ddbf5ffcc1157ad80d0c0a7d9d2a8d3a1c0c11\"",
      AIQ_D_TOKEN_CLAIMS },
    { "policy\":{},\"policy_hash", "\"" HASH1 "\"", AIQ_D_TOKEN_CLAIMS },
    { "policy\":{},\"policy_hash", "null", AIQ_D_TOKEN_CLAIMS },

    /* what we do not understand */

    { "whatever", "{\"a\":[1,2,3]}", AIQ_OK },
    { "cnf", "{\"jkt\":\"x\"}", AIQ_D_TOKEN_CLAIMS },
    { "cnf", "null", AIQ_D_TOKEN_CLAIMS },
    { "act", "{\"sub\":\"x\"}", AIQ_D_TOKEN_CLAIMS },
    { "\\u0061ct", "{}", AIQ_D_TOKEN_CLAIMS },
    { "a\":1,\"a", "2", AIQ_D_TOKEN_MALFORMED },
    { "a", "{\"b\":1,\"\\u0062\":2}", AIQ_D_TOKEN_MALFORMED },
    { "sub\":\"mallory\",\"s\\u0075b", "\"alice\"", AIQ_D_TOKEN_MALFORMED }
};


static void
test_jws_claims(void)
{
    char         value[16];
    size_t       i;
    aiq_rc_t     rc;
    aiq_token_t  t;

    for (i = 0; i < sizeof(claim_cases) / sizeof(claim_cases[0]); i++) {
        rewind_mem();

        rc = check_jws(&t, make_jws(aiq_cstr(HEADER),
                                    claims(claim_cases[i].name,
                                           claim_cases[i].value)));

        if (!ok(rc == claim_cases[i].rc, "%.40s = %.60s: %s",
                claim_cases[i].name ? claim_cases[i].name : "all good",
                claim_cases[i].value ? claim_cases[i].value : "(absent)",
                aiq_reason(claim_cases[i].rc)))
        {
            diag("%s: %s", aiq_reason(rc), err.text);
        }
    }

    snprintf(value, sizeof(value), "%d", AIQ_PLAN_STEPS);
    ok(check_jws(&t, make_jws(aiq_cstr(HEADER), claims("steps", value)))
       == AIQ_OK, "steps = %s", value);
    snprintf(value, sizeof(value), "%d", AIQ_PLAN_STEPS + 1);
    ok(check_jws(&t, make_jws(aiq_cstr(HEADER), claims("steps", value)))
       == AIQ_D_TOKEN_CLAIMS, "steps = %s", value);

    /* a payload that is no object */

    ok(check_jws(&t, make_jws(aiq_cstr(HEADER), aiq_cstr("[]")))
       == AIQ_D_TOKEN_MALFORMED
       && check_jws(&t, make_jws(aiq_cstr(HEADER), aiq_cstr("1")))
          == AIQ_D_TOKEN_MALFORMED
       && check_jws(&t, make_jws(aiq_cstr(HEADER), aiq_cstr("{} {}")))
          == AIQ_D_TOKEN_MALFORMED
       && check_jws(&t, make_jws(aiq_cstr(HEADER), aiq_cstr("not JSON")))
          == AIQ_D_TOKEN_MALFORMED,
       "payloads that are no object");

    /* a JWT inside */

    ok(check_jws(&t, make_jws(aiq_cstr(HEADER),
                              make_jws(aiq_cstr(HEADER),
                                       claims(NULL, NULL))))
       == AIQ_D_TOKEN_MALFORMED, "a token in a token");
}


/* T8, and the shapes of JWS that are not ours (T6) */

static void
test_jws_text(void)
{
    size_t       i;
    aiq_str_t    s, good;
    aiq_token_t  t;
    const char  *p, *dot1, *dot2;
    char         text[4096];

    static const char  *const  shapes[] = {
        "", ".", "..", "...", "....", "a", "a.b", "a.b.c", "a.b.c.d",
        "{\"payload\":\"\",\"signatures\":[]}", "null"
    };

    rewind_mem();

    for (i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        ok(check_jws(&t, aiq_cstr(shapes[i])) == AIQ_D_TOKEN_MALFORMED,
           "\"%s\"", shapes[i]);
    }

    s.data = NULL;
    s.len = 0;
    ok(check_jws(&t, s) == AIQ_D_TOKEN_MALFORMED, "no text");

    good = make_jws(aiq_cstr(HEADER), claims(NULL, NULL));
    snprintf(text, sizeof(text), "%.*s", (int) good.len, good.data);
    aiq_mem_dup(&mem, good, &good);
    p = (const char *) good.data;
    dot1 = strchr(p, '.');
    dot2 = strrchr(p, '.');

    ok(check_jws(&t, aiq_cstr(text)) == AIQ_OK, "the good one");

    {
        static const struct {
            const char  *name;
            int          where;      /* 0 end, 1 dot1, 2 dot2, 3 front */
            const char  *insert;
        } inserts[] = {
            { "padding behind the signature", 0, "=" },
            { "two of them", 0, "==" },
            { "a newline behind it", 0, "\n" },
            { "CR LF behind it", 0, "\r\n" },
            { "a blank behind it", 0, " " },
            { "a dot behind it", 0, "." },
            { "a fourth part", 0, ".AA" },
            { "two more parts", 0, ".AA.AA" },
            { "a byte more", 0, "A" },
            { "padding behind the header", 1, "=" },
            { "a blank behind the header", 1, " " },
            { "padding behind the payload", 2, "=" },
            { "a tab behind the payload", 2, "\t" },
            { "a plus", 2, "+" },
            { "a slash", 2, "/" },
            { "a dot more", 2, "." },
            { "a blank in front", 3, " " },
            { "a dot in front", 3, "." },
            { "Bearer in front", 3, "Bearer " }
        };

        for (i = 0; i < sizeof(inserts) / sizeof(inserts[0]); i++) {
            int  n;

            n = (inserts[i].where == 0) ? (int) good.len
                : (inserts[i].where == 1) ? (int) (dot1 - p)
                : (inserts[i].where == 2) ? (int) (dot2 - p)
                : 0;

            snprintf(text, sizeof(text), "%.*s%s%s", n, p, inserts[i].insert,
                     p + n);
            ok(check_jws(&t, aiq_cstr(text)) == AIQ_D_TOKEN_MALFORMED, "%s",
               inserts[i].name);
        }
    }

    /* the unused bits of the last character of the signature */

    snprintf(text, sizeof(text), "%s", p);
    text[good.len - 1]++;
    ok(check_jws(&t, aiq_cstr(text)) == AIQ_D_TOKEN_MALFORMED,
       "unused bits that are not zero");

    snprintf(text, sizeof(text), "%.*s..%s", (int) (dot1 - p), p, dot2 + 1);
    ok(check_jws(&t, aiq_cstr(text)) == AIQ_D_TOKEN_MALFORMED,
       "a detached payload");

    snprintf(text, sizeof(text), "%.*s.", (int) (dot2 - p), p);
    ok(check_jws(&t, aiq_cstr(text)) == AIQ_D_TOKEN_MALFORMED,
       "no signature");

    snprintf(text, sizeof(text), "%.*s", (int) (dot2 - p), p);
    ok(check_jws(&t, aiq_cstr(text)) == AIQ_D_TOKEN_MALFORMED,
       "no signature and no dot");

    /* a NUL is a byte like any other that is not in the alphabet */

    snprintf(text, sizeof(text), "%s", p);
    s.data = (unsigned char *) text;
    s.len = good.len + 1;
    ok(check_jws(&t, s) == AIQ_D_TOKEN_MALFORMED, "a NUL behind it");
    text[20] = '\0';
    s.len = good.len;
    ok(check_jws(&t, s) == AIQ_D_TOKEN_MALFORMED, "a NUL in it");

    /* another payload under the same signature */

    s = make_jws(aiq_cstr(HEADER), claims("sub", "\"mallory\""));
    snprintf(text, sizeof(text), "%.*s%s", (int) (s.len - 87), s.data, dot2);
    ok(check_jws(&t, aiq_cstr(text)) == AIQ_D_TOKEN_SIGNATURE,
       "the payload of another token");
}


static void
test_jws_limits(void)
{
    int          n, bad, longest, shortest;
    char         pad[16384], kid[AIQ_KID_MAX + 2];
    aiq_rc_t     rc;
    aiq_str_t    s;
    aiq_token_t  t;

    /* the length of the text, over all lengths around the limit */

    bad = 0;
    longest = 0;
    shortest = 1000000;

    for (n = 11700; n < 12100; n++) {
        rewind_mem();
        memset(pad, 'x', sizeof(pad));
        pad[0] = '"';
        pad[n] = '"';
        pad[n + 1] = '\0';

        s = make_jws(aiq_cstr(HEADER), claims("pad", pad));
        rc = check_jws(&t, s);

        if (rc == AIQ_OK && (int) s.len > longest) {
            longest = (int) s.len;
        }

        if (rc != AIQ_OK && (int) s.len < shortest) {
            shortest = (int) s.len;
        }

        bad += (rc != AIQ_OK && rc != AIQ_D_TOKEN_MALFORMED);
    }

    ok(bad == 0 && longest <= AIQ_TOKEN_MAX && longest > AIQ_TOKEN_MAX - 3
       && shortest > AIQ_TOKEN_MAX && shortest < AIQ_TOKEN_MAX + 3,
       "%d bytes are accepted, %d are not", longest, shortest);

    /* a header of 4096 bytes, all blanks */

    for (n = AIQ_TOKEN_HEADER_MAX; n <= AIQ_TOKEN_HEADER_MAX + 1; n++) {
        rewind_mem();
        memset(pad, ' ', sizeof(pad));
        memcpy(pad, HEADER, strlen(HEADER));
        pad[n] = '\0';

        rc = check_jws(&t, make_jws(aiq_cstr(pad), claims(NULL, NULL)));
        ok(rc == (n == AIQ_TOKEN_HEADER_MAX ? AIQ_OK : AIQ_D_TOKEN_MALFORMED),
           "a header of %d bytes", n);
    }

    /* nesting: the claims are the first level */

    for (n = AIQ_TOKEN_DEPTH - 1; n <= AIQ_TOKEN_DEPTH; n++) {
        rewind_mem();
        memset(pad, '[', (size_t) n);
        memset(pad + n, ']', (size_t) n);
        pad[2 * n] = '\0';

        rc = check_jws(&t, make_jws(aiq_cstr(HEADER), claims("x", pad)));
        ok(rc == (n < AIQ_TOKEN_DEPTH ? AIQ_OK : AIQ_D_TOKEN_MALFORMED),
           "claims %d deep", n + 1);
    }

    for (n = AIQ_KID_MAX; n <= AIQ_KID_MAX + 1; n++) {
        rewind_mem();
        memset(kid, 'k', sizeof(kid));
        kid[n] = '\0';

        rc = check_jws(&t, make_jws(text_of("{\"alg\":\"EdDSA\",\"typ\":"
                                            "\"intent+jwt\",\"kid\":\"%s\"}",
                                            kid),
                                    claims(NULL, NULL)));
        ok(rc == (n == AIQ_KID_MAX ? AIQ_OK : AIQ_D_TOKEN_HEADER),
           "a kid of %d bytes", n);
    }
}


/* every amount of memory either serves or is said to be too little */

static void
test_jws_memory(void)
{
    int             bad;
    size_t          size;
    aiq_rc_t        rc;
    aiq_str_t       text;
    aiq_token_t     t;
    unsigned char  *pos;

    rewind_mem();
    text = make_jws(aiq_cstr(HEADER), claims("or\\u0067x", "\"\\u0061\""));

    pos = mem.pos;
    bad = 0;
    rc = AIQ_OK;

    for (size = 0; size < 65536; size += 8) {
        mem.pos = pos;
        mem.end = pos + size;

        rc = check_jws(&t, text);

        if (rc == AIQ_OK) {
            break;
        }

        bad += (rc != AIQ_E_NO_MEMORY);
    }

    ok(rc == AIQ_OK && bad == 0, "a JWS of %zu bytes takes %zu bytes, less "
       "is a fault", text.len, size);

    /* the densest there is */

    rewind_mem();
    {
        char    *pad;
        size_t   i;

        pad = malloc(12000);
        pad[0] = '[';

        for (i = 1; i < 11699; i += 2) {
            pad[i] = '1';
            pad[i + 1] = ',';
        }

        strcpy(pad + i, "1]");
        text = make_jws(aiq_cstr(HEADER), claims("x", pad));
        free(pad);
    }

    pos = mem.pos;
    rc = check_jws(&t, text);
    ok(rc == AIQ_OK, "a JWS of %zu bytes, all values, takes %zu bytes",
       text.len, (size_t) (mem.pos - pos));
}


int
main(void)
{
    if (setup()) {
        test_jws_fields();
        test_jws_headers();
        test_jws_claims();
        test_jws_text();
        test_jws_limits();
        test_jws_memory();
    }

    return teardown();
}
