
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Tokens of all kinds, good and bad, for the tests of both forms.
 */


#ifndef _AIQ_TOKEN_CHECK_H_INCLUDED_
#define _AIQ_TOKEN_CHECK_H_INCLUDED_


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

#define METADATA  "{\"allow\":[\"*\"],\"org\":\"acme\",\"jti\":\"j-1\","      \
                  "\"steps\":3}"


typedef struct {
    const char  *name;          /* of a claim, or of a new one */
    const char  *value;         /* JSON; NULL: leave it out */
    aiq_rc_t     rc;
} claim_case_t;


static aiq_crypto_t       *c;
static unsigned char      *memory;
static aiq_mem_t           mem;
static aiq_err_t           err;
static unsigned char       seed[AIQ_KEY_LEN];
static unsigned char       pub[AIQ_KEY_LEN];

static aiq_token_rules_t   rules = {
    NOW, 30, 3600, AIQ_TOKEN_ISSUER, AIQ_TOKEN_AUDIENCE
};


static int setup(void);
static int teardown(void);
static aiq_str_t claims(const char *name, const char *value);
static aiq_str_t make_jws(aiq_str_t header, aiq_str_t payload);
static aiq_str_t make_iap(const char *name, const char *value,
    const char *metadata);
static aiq_str_t text_of(const char *fmt, const char *s);
static aiq_rc_t check_jws(aiq_token_t *t, aiq_str_t text);
static aiq_rc_t check_iap(aiq_token_t *t, aiq_str_t text);
static int zeroed(const aiq_token_t *t);
static void rewind_mem(void);


__attribute__((unused))
static int
setup(void)
{
    c = aiq_crypto_new();
    memory = malloc(MEM);
    memset(seed, 7, sizeof(seed));

    return ok(c != NULL && memory != NULL
              && aiq_ed25519_public(c, seed, pub) == AIQ_OK,
              "aiq_crypto_new");
}


__attribute__((unused))
static int
teardown(void)
{
    free(memory);
    aiq_crypto_free(c);

    return done_testing();
}


__attribute__((unused))
static void
rewind_mem(void)
{
    mem.pos = memory;
    mem.end = memory + MEM;
    err.text[0] = '\0';
}


/* everything a caller does with a token; the first thing that is not OK */

__attribute__((unused))
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


__attribute__((unused))
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


__attribute__((unused))
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

__attribute__((unused))
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

__attribute__((unused))
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

__attribute__((unused))
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


__attribute__((unused))
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


#endif /* _AIQ_TOKEN_CHECK_H_INCLUDED_ */
