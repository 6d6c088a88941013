
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <jansson.h>

#include "tap.h"
#include "b64.h"
#include "plan.h"
#include "token.h"


#define MEM    (4 * 1024 * 1024)
#define NOW    1700000100

#define HASH1  "35d2880753deca1834d53133d4983a69"                             \
               "4cad8181d7a330186a81e1ea74434847"
#define HASH2  "45d2880753deca1834d53133d4983a69"                             \
               "4cad8181d7a330186a81e1ea74434847"
#define IDENT  "ec3580846583d3db24ff46afec0d610a"                             \
               "a9170639871a98abdef02521f4639b55"
#define PUBLIC "ea4a6c63e29c520abef5507b132ec5f9"                             \
               "954776aebebe7b92421eea691446d22c"
#define HEADER "{\"alg\":\"EdDSA\",\"kid\":\"test-1\",\"typ\":\"intent+jwt\"}"


typedef struct {
    const char  *text;
    aiq_rc_t     rc;
} header_case_t;

typedef struct {
    const char  *name;          /* of a claim, or of a new one */
    const char  *value;         /* JSON; NULL: leave it out */
    aiq_rc_t     rc;
} claim_case_t;

typedef struct {
    const char  *what;
    int64_t      iat;           /* all relative to NOW */
    int64_t      nbf;
    int64_t      exp;
    int64_t      skew;
    aiq_rc_t     rc;
} time_case_t;


static void test_vectors(void);
static void test_vector(const char *name, json_t *v);
static void test_vector_walk(const char *name, const char *jws,
    const char *iap);
static void test_wire(void);
static void test_jws_fields(void);
static void test_jws_headers(void);
static void test_jws_claims(void);
static void test_jws_text(void);
static void test_jws_limits(void);
static void test_jws_memory(void);
static void test_iap_fields(void);
static void test_iap_members(void);
static void test_iap_metadata(void);
static void test_iap_limits(void);
static void test_times(void);
static void test_parties(void);
static void test_issue(void);
static void test_issue_refused(void);
static void test_issue_memory(void);
static void base_claims(aiq_token_claims_t *cl);
static aiq_str_t claims(const char *name, const char *value);
static aiq_str_t make_jws(aiq_str_t header, aiq_str_t payload);
static aiq_str_t make_iap(const char *name, const char *value,
    const char *metadata);
static aiq_str_t text_of(const char *fmt, const char *s);
static aiq_rc_t check_jws(aiq_token_t *t, aiq_str_t text);
static aiq_rc_t check_iap(aiq_token_t *t, aiq_str_t text);
static int zeroed(const aiq_token_t *t);
static void rewind_mem(void);


static aiq_crypto_t       *c;
static unsigned char      *memory;
static aiq_mem_t           mem;
static aiq_err_t           err;
static unsigned char       seed[AIQ_KEY_LEN];
static unsigned char       pub[AIQ_KEY_LEN];

static aiq_token_rules_t   rules = {
    NOW, 30, 3600, AIQ_TOKEN_ISSUER, AIQ_TOKEN_AUDIENCE
};


static void
rewind_mem(void)
{
    mem.pos = memory;
    mem.end = memory + MEM;
    err.text[0] = '\0';
}


/* everything a caller does with a token; the first thing that is not OK */

static aiq_rc_t
check_jws(aiq_token_t *t, aiq_str_t text)
{
    aiq_rc_t        rc;
    unsigned char  *pos;

    pos = mem.pos;

    rc = aiq_token_read_jws(t, text, &rules, c, &mem, &err);

    if (rc != AIQ_OK) {
        return (zeroed(t) && mem.pos == pos) ? rc : AIQ_E_INTERNAL;
    }

    rc = aiq_token_check_signature(t, pub, c);

    return (rc == AIQ_OK) ? aiq_token_check_claims(t, &rules, &err) : rc;
}


static aiq_rc_t
check_iap(aiq_token_t *t, aiq_str_t text)
{
    aiq_rc_t        rc;
    aiq_json_t      doc;
    unsigned char  *pos;

    rc = aiq_json_parse(&doc, text, AIQ_JSON_DEPTH, &mem, &err);

    if (rc != AIQ_OK) {
        return rc;
    }

    pos = mem.pos;

    rc = aiq_token_read_iap(t, &doc, 0, c, &mem, &err);

    if (rc != AIQ_OK) {
        return (zeroed(t) && mem.pos == pos) ? rc : AIQ_E_INTERNAL;
    }

    rc = aiq_token_check_signature(t, pub, c);

    return (rc == AIQ_OK) ? aiq_token_check_claims(t, &rules, &err) : rc;
}


static int
zeroed(const aiq_token_t *t)
{
    size_t                i;
    const unsigned char  *p;

    p = (const unsigned char *) t;

    for (i = 0; i < sizeof(aiq_token_t); i++) {
        if (p[i]) {
            return 0;
        }
    }

    return 1;
}


/* any bytes as header and payload, with a good signature */

static aiq_str_t
make_jws(aiq_str_t header, aiq_str_t payload)
{
    size_t          size;
    aiq_out_t       out;
    aiq_str_t       input;
    unsigned char  *p, sig[AIQ_SIG_LEN];

    size = (header.len + payload.len) * 2 + 256;
    p = aiq_mem_alloc(&mem, size);

    aiq_out_init(&out, p, size);
    aiq_b64url_encode(&out, header.data, header.len);
    aiq_out_char(&out, '.');
    aiq_b64url_encode(&out, payload.data, payload.len);

    input = aiq_out_done(&out);
    aiq_ed25519_sign(c, seed, input, sig);

    aiq_out_char(&out, '.');
    aiq_b64url_encode(&out, sig, sizeof(sig));

    return aiq_out_done(&out);
}


/* good claims with one changed, left out or added */

static aiq_str_t
claims(const char *name, const char *value)
{
    int         found;
    size_t      i, size;
    aiq_out_t   out;

    static const char  *const  base[][2] = {
        { "iss", "\"armoriq\"" }, { "aud", "\"armoriq-proxy\"" },
        { "sub", "\"alice\"" }, { "org", "\"acme\"" },
        { "agent", "\"sysadmin\"" }, { "iat", "1700000000" },
        { "exp", "1700000300" }, { "jti", "\"j-1\"" },
        { "plan_hash", "\"" HASH1 "\"" }, { "steps", "3" }
    };

    size = 65536;
    aiq_out_init(&out, aiq_mem_alloc(&mem, size), size);

    aiq_out_str(&out, "{\"base\":0");
    found = 0;

    for (i = 0; i < sizeof(base) / sizeof(base[0]); i++) {

        if (name != NULL && strcmp(base[i][0], name) == 0) {
            found = 1;

            if (value == NULL) {
                continue;
            }
        }

        aiq_out_str(&out, ",\"");
        aiq_out_str(&out, base[i][0]);
        aiq_out_str(&out, "\":");
        aiq_out_str(&out, name != NULL && strcmp(base[i][0], name) == 0
                          ? value : base[i][1]);
    }

    if (name != NULL && !found) {
        aiq_out_str(&out, ",\"");
        aiq_out_str(&out, name);
        aiq_out_str(&out, "\":");
        aiq_out_str(&out, value);
    }

    aiq_out_char(&out, '}');

    return aiq_out_done(&out);
}


/* a signed IAP object; one member changed or added before it is signed */

static aiq_str_t
make_iap(const char *name, const char *value, const char *metadata)
{
    aiq_rc_t    rc;
    aiq_out_t   out;
    aiq_str_t   body;
    json_t     *root;
    char       *text;

    root = json_pack("{s:s,s:i,s:i,s:s,s:s,s:s,s:{s:{s:o}}}",
                     "plan_hash", HASH1, "issued_at", 1700000000,
                     "expires_at", 1700000300, "identity", IDENT,
                     "public_key", PUBLIC, "version", "IAP-0.1",
                     "policy", "global", "metadata",
                     json_loads(metadata, 0, NULL));

    if (name != NULL) {
        json_object_set_new(root, name,
                            json_loads(value, JSON_DECODE_ANY, NULL));
    }

    text = json_dumps(root, 0);
    json_decref(root);

    aiq_mem_dup(&mem, aiq_cstr(text), &body);
    free(text);

    aiq_out_init(&out, aiq_mem_alloc(&mem, 65536), 65536);

    rc = aiq_token_sign_iap(&out, body, seed, c, &mem, &err);

    if (rc != AIQ_OK) {
        diag("sign: %s: %s", aiq_reason(rc), err.text);
    }

    return aiq_out_done(&out);
}


#define METADATA  "{\"allow\":[\"*\"],\"org\":\"acme\",\"jti\":\"j-1\","      \
                  "\"steps\":3}"


static aiq_str_t
text_of(const char *fmt, const char *s)
{
    size_t      size;
    char       *p;
    aiq_str_t   str;

    size = strlen(fmt) + strlen(s) + 1;
    p = aiq_mem_alloc(&mem, size);

#if defined __GNUC__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#endif
    snprintf(p, size, fmt, s);
#if defined __GNUC__
#pragma GCC diagnostic pop
#endif

    str = aiq_cstr(p);

    return str;
}


static void
test_vectors(void)
{
    char          *text, hex[2 * AIQ_KEY_LEN];
    size_t         len;
    json_t        *root, *v;
    aiq_out_t      out;
    const char    *name;
    json_error_t   error;

    text = vectors("plan/vectors.json", &len);
    if (text == NULL) {
        skip("token vectors", "the vectors are absent");
        return;
    }

    root = json_loadb(text, len, 0, &error);

    aiq_out_init(&out, hex, sizeof(hex));
    aiq_out_hex(&out, pub, AIQ_KEY_LEN);
    ok(aiq_str_is(aiq_out_done(&out),
                  json_string_value(json_object_get(root,
                                                    "issuer_public_key"))),
       "public key of the issuer");

    json_object_foreach(json_object_get(root, "tokens"), name, v) {
        test_vector(name, v);
    }

    ok(json_object_size(json_object_get(root, "tokens")) == 2,
       "two pairs of tokens were read");

    json_decref(root);
    free(text);
}


static void
test_vector(const char *name, json_t *v)
{
    int           good;
    char         *text, *iap, buf[16384], buf2[16384];
    json_t       *body, *written;
    aiq_out_t     out;
    aiq_str_t     jws;
    const char   *want;
    aiq_token_t   t;

    rewind_mem();

    /* the JWS, signed again and read */

    want = json_string_value(json_object_get(v, "jws"));
    text = json_dumps(json_object_get(v, "jws_claims"), 0);

    aiq_out_init(&out, buf, sizeof(buf));
    ok(aiq_token_sign_jws(&out, aiq_cstr("test-1"), aiq_cstr(text), seed, c,
                          &mem, &err) == AIQ_OK
       && aiq_str_is(aiq_out_done(&out), want),
       "%s: JWS signed", name);
    free(text);

    jws = aiq_cstr(want);

    ok(check_jws(&t, jws) == AIQ_OK && t.form == AIQ_TOKEN_JWS
       && aiq_str_is(t.kid, "test-1") && aiq_str_is(t.org, "acme")
       && aiq_str_is(t.sub, "alice") && aiq_str_is(t.agent, "sysadmin")
       && t.steps == (uint32_t) json_integer_value(json_object_get(
                                 json_object_get(v, "jws_claims"), "steps"))
       && aiq_str_is(t.policy, "{\"allow\":[\"*\"],\"deny\":[]}"),
       "%s: JWS verified", name);

    /* the IAP object */

    body = json_deep_copy(json_object_get(v, "iap"));
    iap = json_dumps(body, JSON_COMPACT);
    json_object_del(body, "signature");
    text = json_dumps(body, JSON_INDENT(2));
    json_decref(body);

    aiq_out_init(&out, buf2, sizeof(buf2));
    good = (aiq_token_sign_iap(&out, aiq_cstr(text), seed, c, &mem, &err)
            == AIQ_OK);
    free(text);

    written = json_loadb(buf2, aiq_out_done(&out).len, 0, NULL);
    ok(good && written != NULL
       && json_equal(written, json_object_get(v, "iap")),
       "%s: IAP object signed", name);
    json_decref(written);

    ok(check_iap(&t, aiq_cstr(iap)) == AIQ_OK && t.form == AIQ_TOKEN_IAP
       && aiq_str_is(t.signed_text, json_string_value(json_object_get(v,
                                                      "iap_signed_bytes")))
       && aiq_str_is(t.org, "acme") && t.jti.len == 32
       && t.sub.len == 0 && t.agent.len == 0 && t.kid.len == 0
       && aiq_str_is(t.policy, "{\"allow\":[\"*\"],\"deny\":[]}")
       && memcmp(t.public_key, pub, AIQ_KEY_LEN) == 0 && t.has_public,
       "%s: IAP object verified, and exactly these bytes", name);

    test_vector_walk(name, want, iap);

    free(iap);
}


/* no byte can be another one, and none can be missing */

static void
test_vector_walk(const char *name, const char *jws, const char *iap)
{
    int             form, k, bad, tried;
    char           *copy;
    size_t          i, len;
    aiq_rc_t        rc;
    aiq_str_t       s;
    aiq_token_t     t;
    unsigned char   old, other[3];

    static const char  alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_A";

    for (form = 0; form < 2; form++) {

        len = strlen(form ? iap : jws);
        copy = malloc(len);
        memcpy(copy, form ? iap : jws, len);
        bad = tried = 0;

        for (i = 0; i < len; i++) {
            old = (unsigned char) copy[i];

            /* a neighbor, the other case, and one that is in the alphabet */

            other[0] = old ^ 0x01;
            other[1] = old ^ 0x20;
            other[2] = '.';

            if (strchr(alphabet, old) != NULL) {
                other[2] = (unsigned char) strchr(alphabet, old)[1];
            }

            for (k = 0; k < 3; k++) {

                if (other[k] == old) {
                    other[k] = 0;
                }

                copy[i] = (char) other[k];

                rewind_mem();
                s.data = (unsigned char *) copy;
                s.len = len;

                rc = form ? check_iap(&t, s) : check_jws(&t, s);
                tried++;

                if (!aiq_is_denied(rc)) {
                    diag("byte %zu %02x -> %02x: %s", i, old, other[k],
                         aiq_reason(rc));
                    bad++;
                }
            }

            copy[i] = (char) old;
        }

        ok(bad == 0, "%s: %s with one byte changed, %d times", name,
           form ? "IAP object" : "JWS", tried);

        free(copy);
        bad = 0;

        for (i = 0; i < len; i++) {

            /* a block of exactly that size, so that reading on is seen */

            copy = malloc(i ? i : 1);
            memcpy(copy, form ? iap : jws, i);

            rewind_mem();
            s.data = (unsigned char *) copy;
            s.len = i;
            bad += !aiq_is_denied(form ? check_iap(&t, s)
                                       : check_jws(&t, s));
            free(copy);

            rewind_mem();
            s.data = (const unsigned char *) (form ? iap : jws) + i + 1;
            s.len = len - i - 1;
            bad += !aiq_is_denied(form ? check_iap(&t, s)
                                       : check_jws(&t, s));
        }

        ok(bad == 0, "%s: %s cut short at both ends, %zu times", name,
           form ? "IAP object" : "JWS", 2 * len);
    }
}


/* the worked example of the SDKs: not ours, it binds no org */

static void
test_wire(void)
{
    char          *text, *body, hex[2 * AIQ_HASH_LEN];
    size_t         len;
    json_t        *v, *token, *p;
    aiq_out_t      out;
    aiq_hash_t     hash, plan_hash;
    const char    *preimage;
    aiq_token_t    t;
    unsigned char  buf[8192];

    text = vectors("wire/vector.json", &len);
    if (text == NULL) {
        skip("wire vector", "the vectors are absent");
        return;
    }

    rewind_mem();

    v = json_loadb(text, len, 0, NULL);
    p = json_loads(json_string_value(json_object_get(v, "signed_payload")), 0,
                   NULL);
    body = json_dumps(p, 0);
    json_decref(p);

    aiq_out_init(&out, buf, sizeof(buf));
    ok(aiq_token_sign_iap(&out, aiq_cstr(body), seed, c, &mem, &err)
       == AIQ_OK, "the worked example of the SDKs can be signed");

    token = json_loadb((char *) buf, aiq_out_done(&out).len, 0, NULL);
    ok(json_equal(json_object_get(token, "signature"),
                  json_object_get(v, "signature")),
       "with the signature they accept");

    ok(check_iap(&t, aiq_out_done(&out)) == AIQ_D_TOKEN_CLAIMS,
       "but it names no org and is refused");

    preimage = json_string_value(json_object_get(v, "identity_preimage"));
    aiq_hex_decode(aiq_cstr(strrchr(preimage, '|') + 1), plan_hash,
                   AIQ_HASH_LEN);

    aiq_out_init(&out, hex, sizeof(hex));
    ok(aiq_token_identity(c, aiq_cstr("alice"), aiq_cstr("sysadmin"),
                          aiq_cstr("default"), plan_hash, hash) == AIQ_OK,
       "identity");
    aiq_out_hex(&out, hash, AIQ_HASH_LEN);
    ok(aiq_str_is(aiq_out_done(&out),
                  json_string_value(json_object_get(v, "identity"))),
       "as recorded");

    json_decref(token);
    json_decref(v);
    free(body);
    free(text);
}


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


static void
test_iap_fields(void)
{
    aiq_str_t    s;
    aiq_hash_t   id;
    aiq_json_t   doc;
    aiq_token_t  t;

    rewind_mem();

    s = make_iap(NULL, NULL,
                 "{\"allow\":[\"*\"],\"org\":\"acme\",\"jti\":\"j-1\","
                 "\"steps\":3,\"key\":\"ak-1\",\"sub\":\"alice\","
                 "\"agent\":\"sysadmin\",\"context\":\"default\","
                 "\"metadata\":{\"sdk\":1},\"deny\":[\"m/x\"]}");

    if (!ok(check_iap(&t, s) == AIQ_OK, "a good IAP object")) {
        diag("%s", err.text);
    }

    ok(t.kid.len == 0 && t.iss.len == 0 && t.aud.len == 0
       && aiq_str_is(t.org, "acme") && aiq_str_is(t.jti, "j-1")
       && aiq_str_is(t.key, "ak-1") && aiq_str_is(t.sub, "alice")
       && aiq_str_is(t.agent, "sysadmin") && t.steps == 3
       && t.iat == 1700000000 && t.nbf == t.iat && t.exp == 1700000300
       && t.plan_hash[0] == 0x35 && t.identity[0] == 0xec
       && t.has_public && !t.aud_ok,
       "its members");
    ok(aiq_str_is(t.policy, "{\"allow\":[\"*\"],\"deny\":[\"m/x\"]}"),
       "its constraints are what is left");
    ok(aiq_sha256(c, t.signed_text, id) == AIQ_OK
       && memcmp(id, t.id, AIQ_HASH_LEN) == 0,
       "id is the hash of what is signed");

    pub[0] ^= 1;
    ok(aiq_token_check_signature(&t, pub, c) == AIQ_D_TOKEN_KEY,
       "an object that names another key");
    memcpy(t.public_key, pub, AIQ_KEY_LEN);
    ok(aiq_token_check_signature(&t, pub, c) == AIQ_D_TOKEN_SIGNATURE,
       "another key");
    pub[0] ^= 1;

    /* the same object, somewhere in a body */

    s = text_of("{\"a\":[1,{}],\"token\":%s,\"b\":2}", (const char *) s.data);
    rewind_mem();
    s = make_iap(NULL, NULL, METADATA);
    ((unsigned char *) s.data)[s.len] = '\0';
    s = text_of("{\"a\":[1,{}],\"token\":%s,\"b\":2}", (const char *) s.data);

    ok(aiq_json_parse(&doc, s, AIQ_JSON_DEPTH, &mem, &err) == AIQ_OK
       && aiq_token_read_iap(&t, &doc, aiq_json_get(&doc, 0, "token"), c,
                             &mem, &err) == AIQ_OK
       && aiq_token_check_signature(&t, pub, c) == AIQ_OK
       && t.sub.len == 0,
       "inside a body");
    ok(aiq_token_read_iap(&t, &doc, aiq_json_get(&doc, 0, "a"), c, &mem, &err)
       == AIQ_D_TOKEN_MALFORMED
       && aiq_token_read_iap(&t, &doc, AIQ_JSON_NONE, c, &mem, &err)
          == AIQ_D_TOKEN_MALFORMED,
       "what is no object is no token");
}


static void
test_iap_members(void)
{
    char         *text, old[32];
    size_t        i;
    json_t       *root;
    aiq_rc_t      rc;
    aiq_str_t     s;
    aiq_token_t   t;

    /* signed as they are */

    static const claim_case_t  signed_cases[] = {
        { NULL, NULL, AIQ_OK },
        { "issued_at", "1700000000.5", AIQ_D_TOKEN_CLAIMS },
        { "issued_at", "\"1700000000\"", AIQ_D_TOKEN_CLAIMS },
        { "issued_at", "-1", AIQ_D_TOKEN_CLAIMS },
        { "issued_at", "null", AIQ_D_TOKEN_CLAIMS },
        { "expires_at", "1e15", AIQ_D_TOKEN_CLAIMS },
        { "expires_at", "253402300800", AIQ_D_TOKEN_CLAIMS },
        { "expires_at", "1700000100", AIQ_D_TOKEN_EXPIRED },
        { "expires_at", "1700004000", AIQ_D_TOKEN_LIFETIME },
        { "plan_hash", "\"" HASH2 "\"", AIQ_OK },
        { "plan_hash", "\"sha256:" HASH1 "\"", AIQ_D_TOKEN_CLAIMS },
        { "plan_hash", "7", AIQ_D_TOKEN_CLAIMS },
        { "identity", "\"\"", AIQ_D_TOKEN_CLAIMS },
        { "version", "\"1.0\"", AIQ_D_TOKEN_TYPE },
        { "version", "\"IAP-0.2\"", AIQ_D_TOKEN_TYPE },
        { "version", "0.1", AIQ_D_TOKEN_TYPE },
        { "policy", "{}", AIQ_D_TOKEN_CLAIMS },
        { "policy", "[]", AIQ_D_TOKEN_CLAIMS },
        { "policy", "{\"global\":{\"metadata\":[]}}", AIQ_D_TOKEN_CLAIMS },
        { "policy", "{\"global\":{\"metadata\":" METADATA ",\"x\":1}}",
          AIQ_D_TOKEN_CLAIMS },
        { "policy", "{\"global\":{\"metadata\":" METADATA "},\"x\":{}}",
          AIQ_D_TOKEN_CLAIMS },
        { "allowed_operations", "[\"x\"]", AIQ_D_TOKEN_CLAIMS },
        { "allowed_operations", "[]", AIQ_D_TOKEN_CLAIMS },
        { "allowed_operations", "null", AIQ_OK },
        { "allowed_operations", "false", AIQ_OK },
        { "allowed_operations", "\"\"", AIQ_OK },
        { "allowed_operations", "0", AIQ_OK },
        { "allowed_operations", "0.0", AIQ_OK },
        { "allowed_operations", "1", AIQ_D_TOKEN_CLAIMS },
        { "resource_scope", "{\"x\":1}", AIQ_D_TOKEN_CLAIMS },
        { "resource_scope", "{}", AIQ_D_TOKEN_CLAIMS },
        { "resource_scope", "\"x\"", AIQ_D_TOKEN_CLAIMS },
        { "resource_scope", "null", AIQ_OK }
    };

    /* changed behind the signer's back */

    static const claim_case_t  tampered[] = {
        { "merkle_root", "\"" HASH2 "\"", AIQ_OK },
        { "org", "\"evil\"", AIQ_OK },
        { "steps", "9", AIQ_OK },
        { "plan", "{\"steps\":[]}", AIQ_OK },
        { "allowed_operations", "\"\"", AIQ_OK },
        { "allowed_operations", "[\"*\"]", AIQ_D_TOKEN_CLAIMS },
        { "expires_at", "1700000400", AIQ_D_TOKEN_SIGNATURE },
        { "plan_hash", "\"" HASH2 "\"", AIQ_D_TOKEN_SIGNATURE },
        { "identity", "\"" HASH2 "\"", AIQ_D_TOKEN_SIGNATURE },
        { "public_key", "\"" HASH2 "\"", AIQ_D_TOKEN_KEY },
        { "signature", "\"\"", AIQ_D_TOKEN_MALFORMED },
        { "signature", "null", AIQ_D_TOKEN_MALFORMED },
        { "signature", NULL, AIQ_D_TOKEN_MALFORMED },
        { "issued_at", NULL, AIQ_D_TOKEN_CLAIMS },
        { "expires_at", NULL, AIQ_D_TOKEN_CLAIMS },
        { "identity", NULL, AIQ_D_TOKEN_CLAIMS },
        { "plan_hash", NULL, AIQ_D_TOKEN_CLAIMS },
        { "public_key", NULL, AIQ_D_TOKEN_CLAIMS },
        { "policy", NULL, AIQ_D_TOKEN_CLAIMS },
        { "version", NULL, AIQ_D_TOKEN_TYPE }
    };

    for (i = 0; i < sizeof(signed_cases) / sizeof(signed_cases[0]); i++) {
        rewind_mem();
        rc = check_iap(&t, make_iap(signed_cases[i].name,
                                    signed_cases[i].value, METADATA));

        if (!ok(rc == signed_cases[i].rc, "signed: %s = %.50s: %s",
                signed_cases[i].name ? signed_cases[i].name : "as it is",
                signed_cases[i].value ? signed_cases[i].value : "",
                aiq_reason(signed_cases[i].rc)))
        {
            diag("%s: %s", aiq_reason(rc), err.text);
        }
    }

    for (i = 0; i < sizeof(tampered) / sizeof(tampered[0]); i++) {
        rewind_mem();
        s = make_iap(NULL, NULL, METADATA);
        root = json_loadb((const char *) s.data, s.len, 0, NULL);

        if (tampered[i].value == NULL) {
            json_object_del(root, tampered[i].name);

        } else {
            json_object_set_new(root, tampered[i].name,
                                json_loads(tampered[i].value, JSON_DECODE_ANY,
                                           NULL));
        }

        text = json_dumps(root, 0);
        rc = check_iap(&t, aiq_cstr(text));

        snprintf(old, sizeof(old), "%s", tampered[i].name);

        if (!ok(rc == tampered[i].rc
                && (rc != AIQ_OK
                    || (aiq_str_is(t.org, "acme") && t.steps == 3
                        && t.plan_hash[0] == 0x35)),
                "tampered: %s = %.40s: %s", old,
                tampered[i].value ? tampered[i].value : "(absent)",
                aiq_reason(tampered[i].rc)))
        {
            diag("%s: %s", aiq_reason(rc), err.text);
        }

        json_decref(root);
        free(text);
    }
}


static void
test_iap_metadata(void)
{
    size_t       i;
    aiq_rc_t     rc;
    aiq_token_t  t;

    static const struct {
        const char  *text;
        aiq_rc_t     rc;
    } cases[] = {
        { METADATA, AIQ_OK },
        { "{\"jti\":\"j\",\"steps\":3}", AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"o\",\"steps\":3}", AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"o\",\"jti\":\"j\"}", AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"\",\"jti\":\"j\",\"steps\":3}", AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":1,\"jti\":\"j\",\"steps\":3}", AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"o\",\"jti\":\"j\\n\",\"steps\":3}",
          AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"o\",\"jti\":\"j\",\"steps\":0}", AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"o\",\"jti\":\"j\",\"steps\":3.0}", AIQ_OK },
        { "{\"org\":\"o\",\"jti\":\"j\",\"steps\":3.5}", AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"o\",\"jti\":\"j\",\"steps\":\"3\"}",
          AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"o\",\"jti\":\"j\",\"steps\":100000}",
          AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"o\",\"jti\":\"j\",\"steps\":3,\"key\":\"\"}",
          AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"o\",\"jti\":\"j\",\"steps\":3,\"sub\":\"alice\"}",
          AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"o\",\"jti\":\"j\",\"steps\":3,\"agent\":\"sysadmin\"}",
          AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"o\",\"jti\":\"j\",\"steps\":3,\"agent\":\"sysadmin\","
          "\"sub\":\"alice\"}", AIQ_OK },
        { "{\"org\":\"o\",\"jti\":\"j\",\"steps\":3,\"agent\":\"sysadmin\","
          "\"sub\":\"bob\"}", AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"o\",\"jti\":\"j\",\"steps\":3,\"agent\":\"sysadmin\","
          "\"sub\":\"alice\",\"context\":\"other\"}", AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"o\",\"jti\":\"j\",\"steps\":3,\"context\":7}",
          AIQ_D_TOKEN_CLAIMS }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rewind_mem();
        rc = check_iap(&t, make_iap(NULL, NULL, cases[i].text));

        if (!ok(rc == cases[i].rc, "metadata %s: %s", cases[i].text,
                aiq_reason(cases[i].rc)))
        {
            diag("%s: %s", aiq_reason(rc), err.text);
        }
    }
}


static void
test_iap_limits(void)
{
    int             n, bad;
    char           *pad, *meta;
    size_t          size;
    aiq_rc_t        rc;
    aiq_str_t       s;
    aiq_json_t      doc;
    aiq_token_t     t;
    unsigned char  *pos;

    pad = malloc(20000);
    meta = malloc(20200);
    bad = 0;

    for (n = 15000; n < 17000; n += (n > 15600 && n < 15700) ? 1 : 50) {
        rewind_mem();
        memset(pad, ' ', 20000);
        s = make_iap(NULL, NULL, METADATA);
        memcpy(pad, s.data, s.len - 1);
        pad[n] = '}';
        s.data = (unsigned char *) pad;
        s.len = (size_t) n + 1;

        rc = check_iap(&t, s);
        bad += (rc != (s.len <= AIQ_TOKEN_MAX ? AIQ_OK
                                              : AIQ_D_TOKEN_MALFORMED));
    }

    for (n = AIQ_TOKEN_MAX; n <= AIQ_TOKEN_MAX + 1; n++) {
        pad[n - 2] = ' ';
        pad[n - 1] = '}';
        s.len = (size_t) n;
        memset(pad + 1500, ' ', (size_t) n - 1501);
        rewind_mem();
        rc = check_iap(&t, s);
        ok(rc == (n == AIQ_TOKEN_MAX ? AIQ_OK : AIQ_D_TOKEN_MALFORMED),
           "an IAP object of %d bytes", n);
    }

    ok(bad == 0, "any length");

    for (n = AIQ_TOKEN_DEPTH - 4; n <= AIQ_TOKEN_DEPTH - 2; n++) {
        rewind_mem();
        memset(pad, '[', (size_t) n);
        memset(pad + n, ']', (size_t) n);
        pad[2 * n] = '\0';
        sprintf(meta, "{\"org\":\"o\",\"jti\":\"j\",\"steps\":3,"
                "\"metadata\":%s}", pad);

        /* the signer has the same limit, so take a shallow one and wrap it */

        if (n + 4 <= AIQ_TOKEN_DEPTH) {
            rc = check_iap(&t, make_iap(NULL, NULL, meta));
            ok(rc == AIQ_OK, "an IAP object %d deep", n + 4);
            continue;
        }

        s = make_iap(NULL, NULL, METADATA);
        sprintf(meta, "%.*s,\"x\":[%s]}", (int) s.len - 1, s.data, pad);
        rc = check_iap(&t, aiq_cstr(meta));
        ok(rc == (n + 2 <= AIQ_TOKEN_DEPTH ? AIQ_OK : AIQ_D_TOKEN_MALFORMED),
           "unsigned members %d deep", n + 2);
        sprintf(meta, "%.*s,\"x\":[[%s]]}", (int) s.len - 1, s.data, pad);
        rc = check_iap(&t, aiq_cstr(meta));
        ok(rc == (n + 3 <= AIQ_TOKEN_DEPTH ? AIQ_OK : AIQ_D_TOKEN_MALFORMED),
           "unsigned members %d deep", n + 3);
    }

    /* memory */

    rewind_mem();
    s = make_iap(NULL, NULL, METADATA);
    aiq_json_parse(&doc, s, AIQ_JSON_DEPTH, &mem, &err);
    pos = mem.pos;
    bad = 0;
    rc = AIQ_OK;

    for (size = 0; size < 8192; size++) {
        mem.pos = pos;
        mem.end = pos + size;
        rc = aiq_token_read_iap(&t, &doc, 0, c, &mem, &err);

        if (rc == AIQ_OK) {
            break;
        }

        bad += (rc != AIQ_E_NO_MEMORY || mem.pos != pos);
    }

    ok(rc == AIQ_OK && bad == 0 && aiq_token_check_signature(&t, pub, c)
       == AIQ_OK, "an IAP object takes %zu bytes, less is a fault", size);

    free(pad);
    free(meta);
}


static void
test_times(void)
{
    size_t             i;
    aiq_rc_t           rc;
    aiq_token_t        t;
    aiq_token_rules_t  r;

    static const time_case_t  times[] = {
        { "in force", -10, -10, 100, 30, AIQ_OK },
        { "expires in a second", -10, -10, 1, 30, AIQ_OK },
        { "expires now", -10, -10, 0, 30, AIQ_D_TOKEN_EXPIRED },
        { "expired a second ago: no skew", -10, -10, -1, 60,
          AIQ_D_TOKEN_EXPIRED },
        { "begins now", 0, 0, 100, 0, AIQ_OK },
        { "begins in a second, no skew", 1, 1, 100, 0, AIQ_D_TOKEN_NOT_YET },
        { "iat ahead by the skew", 30, 30, 100, 30, AIQ_OK },
        { "iat ahead by more", 31, 30, 100, 30, AIQ_D_TOKEN_NOT_YET },
        { "nbf ahead by more", 30, 31, 100, 30, AIQ_D_TOKEN_NOT_YET },
        { "a skew beyond 60 is 60", 60, 60, 100, 3600, AIQ_OK },
        { "and no more", 61, 61, 100, 3600, AIQ_D_TOKEN_NOT_YET },
        { "a skew below 0 is 0", 0, 0, 100, -5, AIQ_OK },
        { "and no less", 1, 1, 100, -5, AIQ_D_TOKEN_NOT_YET },
        { "lives as long as it may", -10, -10, 3590, 30, AIQ_OK },
        { "a second longer", -10, -10, 3591, 30, AIQ_D_TOKEN_LIFETIME },
        { "exp = iat", -10, -10, -10, 30, AIQ_D_TOKEN_CLAIMS },
        { "exp < iat", 10, 5, 8, 30, AIQ_D_TOKEN_CLAIMS },
        { "exp = nbf", -10, 10, 10, 30, AIQ_D_TOKEN_CLAIMS },
        { "nbf before iat", -10, -3000, 100, 30, AIQ_OK }
    };

    for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        memset(&t, 0, sizeof(t));
        r = rules;

        t.form = AIQ_TOKEN_IAP;
        t.iat = NOW + times[i].iat;
        t.nbf = NOW + times[i].nbf;
        t.exp = NOW + times[i].exp;
        r.skew = times[i].skew;

        rc = aiq_token_check_claims(&t, &r, &err);

        ok(rc == times[i].rc, "%s: %s", times[i].what,
           aiq_reason(times[i].rc));
    }

    memset(&t, 0, sizeof(t));
    r = rules;
    t.form = AIQ_TOKEN_IAP;
    t.exp = AIQ_TIME_MAX;
    r.lifetime = INT64_MAX;
    r.now = INT64_MAX;
    ok(aiq_token_check_claims(&t, &r, &err) == AIQ_D_TOKEN_EXPIRED,
       "a clock at its end");
    r.now = INT64_MIN;
    ok(aiq_token_check_claims(&t, &r, &err) == AIQ_D_TOKEN_NOT_YET,
       "a clock at its beginning");
    r.now = NOW;
    r.lifetime = 0;
    ok(aiq_token_check_claims(&t, &r, &err) == AIQ_D_TOKEN_LIFETIME,
       "rules that were not filled in");
}


static void
test_parties(void)
{
    aiq_token_t        t;
    aiq_token_rules_t  r;

    rewind_mem();

    ok(check_jws(&t, make_jws(aiq_cstr(HEADER), claims(NULL, NULL)))
       == AIQ_OK, "a JWS");

    r = rules;
    r.issuer = NULL;
    ok(aiq_token_check_claims(&t, &r, NULL) == AIQ_D_TOKEN_ISSUER,
       "no issuer is nobody's");

    r = rules;
    r.audience = NULL;
    ok(aiq_token_read_jws(&t, make_jws(aiq_cstr(HEADER), claims(NULL, NULL)),
                          &r, c, &mem, NULL) == AIQ_OK
       && aiq_token_check_claims(&t, &r, NULL) == AIQ_D_TOKEN_AUDIENCE,
       "no audience is nobody");

    r.audience = "";
    ok(aiq_token_read_jws(&t, make_jws(aiq_cstr(HEADER), claims(NULL, NULL)),
                          &r, c, &mem, NULL) == AIQ_OK
       && aiq_token_check_claims(&t, &r, NULL) == AIQ_D_TOKEN_AUDIENCE,
       "an empty one, too");
}


static void
base_claims(aiq_token_claims_t *cl)
{
    memset(cl, 0, sizeof(aiq_token_claims_t));

    cl->kid = aiq_cstr("test-1");
    cl->issuer = aiq_cstr(AIQ_TOKEN_ISSUER);
    cl->audience = aiq_cstr(AIQ_TOKEN_AUDIENCE);
    cl->org = aiq_cstr("acme");
    cl->user = aiq_cstr("alice \"the\" \xc3\xa9");
    cl->agent = aiq_cstr("sysadmin");
    cl->context = aiq_cstr("default");
    cl->jti = aiq_cstr("j-1");
    cl->iat = 1700000000;
    cl->exp = 1700000300;
    cl->steps = 3;
    memset(cl->plan_hash, 0xab, AIQ_HASH_LEN);
}


static void
test_issue(void)
{
    char                buf[AIQ_TOKEN_MAX], buf2[AIQ_TOKEN_MAX];
    aiq_rc_t            rc;
    aiq_out_t           out, out2;
    aiq_token_t         t, u;
    unsigned char      *pos;
    aiq_token_claims_t  cl;

    rewind_mem();
    base_claims(&cl);
    pos = mem.pos;

    aiq_out_init(&out, buf, sizeof(buf));
    rc = aiq_token_issue_jws(&out, &cl, seed, c, &mem, &err);
    ok(rc == AIQ_OK && mem.pos == pos, "a JWS is issued");

    rc = check_jws(&t, aiq_out_done(&out));

    if (!ok(rc == AIQ_OK && aiq_str_eq(t.sub, cl.user)
            && aiq_str_is(t.org, "acme") && aiq_str_is(t.agent, "sysadmin")
            && aiq_str_is(t.jti, "j-1") && t.key.len == 0
            && aiq_str_is(t.kid, "test-1")
            && t.steps == 3 && t.iat == cl.iat && t.nbf == cl.iat
            && t.exp == cl.exp
            && memcmp(t.plan_hash, cl.plan_hash, AIQ_HASH_LEN) == 0
            && aiq_str_is(t.policy, "{\"allow\":[\"*\"],\"deny\":[]}"),
            "and read"))
    {
        diag("%s: %s", aiq_reason(rc), err.text);
    }

    aiq_out_init(&out, buf, sizeof(buf));
    rc = aiq_token_issue_iap(&out, &cl, seed, c, &mem, &err);
    rc = rc ? rc : check_iap(&t, aiq_out_done(&out));

    if (!ok(rc == AIQ_OK && aiq_str_eq(t.sub, cl.user)
            && aiq_str_is(t.org, "acme") && aiq_str_is(t.agent, "sysadmin")
            && aiq_str_is(t.jti, "j-1") && t.key.len == 0
            && t.steps == 3 && t.iat == cl.iat && t.exp == cl.exp
            && memcmp(t.plan_hash, cl.plan_hash, AIQ_HASH_LEN) == 0
            && memcmp(t.public_key, pub, AIQ_KEY_LEN) == 0
            && aiq_str_is(t.policy, "{\"allow\":[\"*\"],\"deny\":[]}"),
            "an IAP object is issued and read"))
    {
        diag("%s: %s", aiq_reason(rc), err.text);
    }

    /* with everything there is; both say the same */

    rewind_mem();
    cl.key = aiq_cstr("ak-7");
    cl.context = aiq_cstr("c|x");
    cl.policy = aiq_cstr("{ \"priority\":1.0, \"allow\":[\"m/*\"], "
                         "\"deny\":[] }");

    aiq_out_init(&out, buf, sizeof(buf));
    aiq_out_init(&out2, buf2, sizeof(buf2));
    rc = aiq_token_issue_jws(&out, &cl, seed, c, &mem, &err);
    rc = rc ? rc : aiq_token_issue_iap(&out2, &cl, seed, c, &mem, &err);
    rc = rc ? rc : check_jws(&t, aiq_out_done(&out));
    rc = rc ? rc : check_iap(&u, aiq_out_done(&out2));

    ok(rc == AIQ_OK && aiq_str_eq(t.sub, u.sub) && aiq_str_eq(t.org, u.org)
       && aiq_str_eq(t.agent, u.agent) && aiq_str_eq(t.jti, u.jti)
       && aiq_str_eq(t.key, u.key) && aiq_str_is(t.key, "ak-7")
       && t.steps == u.steps && t.iat == u.iat && t.exp == u.exp
       && aiq_str_eq(t.policy, u.policy)
       && aiq_str_is(t.policy, "{\"allow\":[\"m/*\"],\"deny\":[],"
                               "\"priority\":1}"),
       "both forms of one token say the same");

    /* the same claims are the same bytes */

    aiq_out_init(&out2, buf2, sizeof(buf2));
    aiq_token_issue_jws(&out2, &cl, seed, c, &mem, &err);
    ok(aiq_str_eq(aiq_out_done(&out), aiq_out_done(&out2)),
       "issued again, the same");
}


static void
test_issue_refused(void)
{
    char                buf[AIQ_TOKEN_MAX], big[AIQ_TOKEN_MAX + 64];
    size_t              i, n;
    aiq_rc_t            jws, iap;
    aiq_out_t           out;
    aiq_str_t           good, *names[6];
    aiq_token_claims_t  cl;

    static const struct {
        const char  *policy;
        aiq_rc_t     jws;
        aiq_rc_t     iap;
    } policies[] = {
        { "{\"allow\":[]}", AIQ_OK, AIQ_OK },
        { "{\"org\":\"evil\"}", AIQ_OK, AIQ_D_POLICY_INVALID },
        { "{\"\\u006frg\":\"evil\"}", AIQ_OK, AIQ_D_POLICY_INVALID },
        { "{\"jti\":\"x\"}", AIQ_OK, AIQ_D_POLICY_INVALID },
        { "{\"steps\":1}", AIQ_OK, AIQ_D_POLICY_INVALID },
        { "{\"key\":1}", AIQ_OK, AIQ_D_POLICY_INVALID },
        { "{\"sub\":\"x\"}", AIQ_OK, AIQ_D_POLICY_INVALID },
        { "{\"agent\":\"x\"}", AIQ_OK, AIQ_D_POLICY_INVALID },
        { "{\"context\":\"x\"}", AIQ_OK, AIQ_D_POLICY_INVALID },
        { "{\"metadata\":{\"sdk\":1}}", AIQ_OK, AIQ_OK },
        { "[]", AIQ_D_POLICY_INVALID, AIQ_D_POLICY_INVALID },
        { "{\"allow\":", AIQ_D_POLICY_INVALID, AIQ_D_POLICY_INVALID },
        { "{}},\"org\":\"evil\",\"x\":{\"y\":{}", AIQ_D_POLICY_INVALID,
          AIQ_D_POLICY_INVALID },
        { "{\"a\":1,\"a\":2}", AIQ_D_POLICY_INVALID, AIQ_D_POLICY_INVALID },
        { "{\"x\":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}", AIQ_D_TOKEN_CLAIMS,
          AIQ_D_TOKEN_CLAIMS },
        { "{\"x\":[[[[[[[[[[[[]]]]]]]]]]]]}", AIQ_OK, AIQ_OK },
        { "{\"x\":[[[[[[[[[[[[[]]]]]]]]]]]]]}", AIQ_OK, AIQ_D_TOKEN_CLAIMS }
    };

    for (i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
        rewind_mem();
        base_claims(&cl);
        cl.policy = aiq_cstr(policies[i].policy);

        aiq_out_init(&out, buf, sizeof(buf));
        jws = aiq_token_issue_jws(&out, &cl, seed, c, &mem, &err);
        aiq_out_init(&out, buf, sizeof(buf));
        iap = aiq_token_issue_iap(&out, &cl, seed, c, &mem, &err);

        if (!ok(jws == policies[i].jws && iap == policies[i].iap,
                "policy %s: %s, %s", policies[i].policy,
                aiq_reason(policies[i].jws), aiq_reason(policies[i].iap)))
        {
            diag("%s, %s", aiq_reason(jws), aiq_reason(iap));
        }
    }

    base_claims(&cl);
    names[0] = &cl.issuer;
    names[1] = &cl.audience;
    names[2] = &cl.org;
    names[3] = &cl.user;
    names[4] = &cl.agent;
    names[5] = &cl.jti;

    for (i = 0; i < 6; i++) {
        good = *names[i];

        for (n = 0; n < 3; n++) {
            *names[i] = aiq_cstr(n == 0 ? "" : n == 1 ? "a\nb" : "\xff");

            aiq_out_init(&out, buf, sizeof(buf));
            jws = aiq_token_issue_jws(&out, &cl, seed, c, &mem, &err);
            iap = aiq_token_issue_iap(&out, &cl, seed, c, &mem, &err);
            ok(jws == AIQ_D_TOKEN_CLAIMS && iap == AIQ_D_TOKEN_CLAIMS
               && aiq_out_done(&out).len == 0,
               "name %zu, bad one %zu", i, n);
        }

        *names[i] = good;
    }

    cl.key = aiq_cstr("k\x01");
    ok(aiq_token_issue_jws(&out, &cl, seed, c, &mem, &err)
       == AIQ_D_TOKEN_CLAIMS, "a bad key");
    base_claims(&cl);
    cl.context = aiq_cstr("k\x01");
    ok(aiq_token_issue_iap(&out, &cl, seed, c, &mem, &err)
       == AIQ_D_TOKEN_CLAIMS, "a bad context");
    base_claims(&cl);
    cl.kid = aiq_cstr("a b");
    ok(aiq_token_issue_jws(&out, &cl, seed, c, &mem, &err)
       == AIQ_D_TOKEN_HEADER, "a bad kid");
    base_claims(&cl);
    cl.exp = cl.iat;
    ok(aiq_token_issue_jws(&out, &cl, seed, c, &mem, &err)
       == AIQ_D_TOKEN_CLAIMS, "exp = iat");
    cl.exp = AIQ_TIME_MAX + 1;
    ok(aiq_token_issue_jws(&out, &cl, seed, c, &mem, &err)
       == AIQ_D_TOKEN_CLAIMS, "exp too late");
    base_claims(&cl);
    cl.iat = -1;
    ok(aiq_token_issue_iap(&out, &cl, seed, c, &mem, &err)
       == AIQ_D_TOKEN_CLAIMS, "iat before time began");
    base_claims(&cl);
    cl.steps = 0;
    ok(aiq_token_issue_iap(&out, &cl, seed, c, &mem, &err)
       == AIQ_D_TOKEN_CLAIMS, "no steps");

    /* a token that nobody would read is not issued */

    base_claims(&cl);
    memset(big, 'x', sizeof(big));
    memcpy(big, "{\"x\":\"", 6);
    strcpy(big + sizeof(big) - 3, "\"}");
    cl.policy = aiq_cstr(big);
    aiq_out_init(&out, buf, sizeof(buf));
    ok(aiq_token_issue_jws(&out, &cl, seed, c, &mem, &err)
       == AIQ_D_TOKEN_MALFORMED
       && aiq_token_issue_iap(&out, &cl, seed, c, &mem, &err)
          == AIQ_D_TOKEN_MALFORMED
       && aiq_out_done(&out).len == 0,
       "too long");

    ok(aiq_token_sign_iap(&out, aiq_cstr("{\"plan_hash\":1}"), seed, c, &mem,
                          &err) == AIQ_D_TOKEN_CLAIMS, "a body without "
       "members");
    ok(aiq_token_sign_iap(&out, aiq_cstr("{\"plan_hash\":1,\"issued_at\":1,"
                          "\"expires_at\":1,\"policy\":1,\"identity\":1,"
                          "\"public_key\":\"" HASH1 "\",\"version\":1}"),
                          seed, c, &mem, &err) == AIQ_D_TOKEN_KEY,
       "a body that names another key");
    ok(aiq_token_sign_jws(&out, aiq_cstr("k"), aiq_cstr("[1]"), seed, c, &mem,
                          &err) == AIQ_D_TOKEN_CLAIMS, "claims that are no "
       "object");
}


static void
test_issue_memory(void)
{
    int                 form, bad;
    char                buf[AIQ_TOKEN_MAX];
    size_t              size, need;
    aiq_rc_t            rc;
    aiq_out_t           out;
    aiq_token_claims_t  cl;

    for (form = 0; form < 2; form++) {
        base_claims(&cl);
        bad = 0;
        rc = AIQ_OK;

        for (size = 0; size < 65536; size += 16) {
            mem.pos = memory;
            mem.end = memory + size;
            aiq_out_init(&out, buf, sizeof(buf));

            rc = form ? aiq_token_issue_iap(&out, &cl, seed, c, &mem, &err)
                      : aiq_token_issue_jws(&out, &cl, seed, c, &mem, &err);

            if (rc == AIQ_OK) {
                break;
            }

            bad += (rc != AIQ_E_NO_MEMORY || mem.pos != memory);
        }

        ok(rc == AIQ_OK && bad == 0, "%s: issued in %zu bytes, less is a "
           "fault", form ? "IAP object" : "JWS", size);

        need = aiq_out_done(&out).len;
        bad = 0;

        for (size = 0; size < need; size += (size + 8 < need) ? 7 : 1) {
            rewind_mem();
            aiq_out_init(&out, buf, size);

            rc = form ? aiq_token_issue_iap(&out, &cl, seed, c, &mem, &err)
                      : aiq_token_issue_jws(&out, &cl, seed, c, &mem, &err);
            bad += (rc != AIQ_E_NO_MEMORY);
        }

        ok(bad == 0, "no room for %zu bytes is seen", need);
    }
}


int
main(void)
{
    c = aiq_crypto_new();
    memory = malloc(MEM);
    memset(seed, 7, sizeof(seed));

    if (!ok(c != NULL && memory != NULL
            && aiq_ed25519_public(c, seed, pub) == AIQ_OK,
            "aiq_crypto_new"))
    {
        return done_testing();
    }

    test_vectors();
    test_wire();
    test_jws_fields();
    test_jws_headers();
    test_jws_claims();
    test_jws_text();
    test_jws_limits();
    test_jws_memory();
    test_iap_fields();
    test_iap_members();
    test_iap_metadata();
    test_iap_limits();
    test_times();
    test_parties();
    test_issue();
    test_issue_refused();
    test_issue_memory();

    free(memory);
    aiq_crypto_free(c);

    return done_testing();
}
