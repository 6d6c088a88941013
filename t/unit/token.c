
/*
 * Copyright (C) ngx_armoriq authors
 */


#include "token_check.h"


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
static void test_times(void);
static void test_parties(void);


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


int
main(void)
{
    if (setup()) {
        test_vectors();
        test_wire();
        test_times();
        test_parties();
    }

    return teardown();
}
