
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Tokens as they come from clients: a compact JWS; an IAP object, if the
 * first byte is '{'; claims to be signed and read again, if it is '!'.
 *
 * The corpus has tokens signed with a key that the fuzzer does not know, so
 * no other ones may verify.
 */


#include <stdlib.h>
#include <string.h>

#include "token.h"


#define MEM_SIZE  (4 * 1024 * 1024)

#define check(x)                                                              \
    do {                                                                      \
        if (!(x)) {                                                           \
            abort();                                                          \
        }                                                                     \
    } while (0)


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_init(void);
static void fuzz_jws(aiq_str_t text, aiq_mem_t mem);
static void fuzz_iap(aiq_str_t text, aiq_mem_t mem);
static void fuzz_sign(aiq_str_t claims, aiq_mem_t mem);
static void fuzz_token(const aiq_token_t *t);


static aiq_crypto_t   *c;
static unsigned char   seed[AIQ_KEY_LEN];
static unsigned char   pub[AIQ_KEY_LEN];
static unsigned char   other_seed[AIQ_KEY_LEN];
static unsigned char   other_pub[AIQ_KEY_LEN];
static unsigned char   memory[MEM_SIZE];

static const aiq_token_rules_t  rules = {
    1700000100, 30, 3600, AIQ_TOKEN_ISSUER, AIQ_TOKEN_AUDIENCE
};


static void
fuzz_init(void)
{
    c = aiq_crypto_new();
    check(c != NULL);

    memset(seed, 7, sizeof(seed));
    memset(other_seed, 8, sizeof(other_seed));

    check(aiq_ed25519_public(c, seed, pub) == AIQ_OK);
    check(aiq_ed25519_public(c, other_seed, other_pub) == AIQ_OK);
}


/* what token.h promises of every token that was read */

static void
fuzz_token(const aiq_token_t *t)
{
    aiq_rc_t    rc;
    aiq_hash_t  id;

    check(aiq_name_ok(t->org));
    check(aiq_name_ok(t->jti));
    check(t->key.len == 0 || aiq_name_ok(t->key));
    check(t->iat >= 0 && t->iat <= AIQ_TIME_MAX);
    check(t->nbf >= 0 && t->nbf <= AIQ_TIME_MAX);
    check(t->exp >= 0 && t->exp <= AIQ_TIME_MAX);
    check(t->steps >= 1 && t->steps <= AIQ_PLAN_STEPS);

    check(aiq_sha256(c, t->signed_text, id) == AIQ_OK);
    check(memcmp(id, t->id, AIQ_HASH_LEN) == 0);

    rc = aiq_token_check_claims(t, &rules, NULL);
    check(rc == AIQ_OK || aiq_is_denied(rc));

    rc = aiq_token_check_signature(t, pub, c);
    check(rc == AIQ_OK || aiq_is_denied(rc));

    if (rc == AIQ_OK) {
        check(aiq_str_is(t->org, "acme"));
        check(aiq_str_is(t->jti, "00000000000000000000000000000000"));
        check(t->iat == 1700000000 && t->exp == 1700000300);
    }
}


static void
fuzz_jws(aiq_str_t text, aiq_mem_t mem)
{
    aiq_rc_t        rc;
    aiq_err_t       err;
    aiq_token_t     t;
    unsigned char  *pos;

    pos = mem.pos;

    rc = aiq_token_read_jws(&t, text, &rules, c, &mem, &err);

    if (rc != AIQ_OK) {
        check(aiq_is_denied(rc) && err.rc == rc);
        check(mem.pos == pos && t.form == 0);
        return;
    }

    check(t.form == AIQ_TOKEN_JWS);
    check(aiq_token_kid_ok(t.kid));
    check(aiq_name_ok(t.iss) && aiq_name_ok(t.aud));
    check(aiq_name_ok(t.sub) && aiq_name_ok(t.agent));
    check(t.signed_text.data == text.data && t.signed_text.len < text.len);

    fuzz_token(&t);
}


static void
fuzz_iap(aiq_str_t text, aiq_mem_t mem)
{
    aiq_rc_t        rc;
    aiq_err_t       err;
    aiq_json_t      doc, again;
    aiq_token_t     t;
    unsigned char  *pos;

    if (aiq_json_parse(&doc, text, AIQ_JSON_DEPTH, &mem, NULL) != AIQ_OK) {
        return;
    }

    pos = mem.pos;

    rc = aiq_token_read_iap(&t, &doc, 0, c, &mem, &err);

    if (rc != AIQ_OK) {
        check(aiq_is_denied(rc) && err.rc == rc);
        check(mem.pos == pos && t.form == 0);
        return;
    }

    check(t.form == AIQ_TOKEN_IAP && t.has_public);
    check((t.sub.len == 0) == (t.agent.len == 0));

    fuzz_token(&t);

    /* both texts are canonical objects */

    check(aiq_json_parse(&again, t.policy, AIQ_TOKEN_DEPTH, &mem, NULL)
          == AIQ_OK);
    check(aiq_json_get(&again, 0, "org") == AIQ_JSON_NONE);
    check(aiq_json_parse(&again, t.signed_text, AIQ_TOKEN_DEPTH, &mem, NULL)
          == AIQ_OK);
    check(aiq_json_get(&again, 0, "signature") == AIQ_JSON_NONE);
}


/* what we sign verifies, if it can be read at all */

static void
fuzz_sign(aiq_str_t claims, aiq_mem_t mem)
{
    aiq_rc_t        rc;
    aiq_out_t       out;
    aiq_token_t     t;
    unsigned char  *pos;

    static unsigned char  text[AIQ_TOKEN_MAX];

    pos = mem.pos;
    aiq_out_init(&out, text, sizeof(text));

    rc = aiq_token_sign_jws(&out, aiq_cstr("k"), claims, other_seed, c, &mem,
                            NULL);
    check(mem.pos == pos);

    if (rc != AIQ_OK) {
        check(aiq_is_denied(rc));
        return;
    }

    rc = aiq_token_read_jws(&t, aiq_out_done(&out), &rules, c, &mem, NULL);

    if (rc != AIQ_OK) {
        check(rc == AIQ_D_TOKEN_CLAIMS);
        return;
    }

    check(aiq_token_check_signature(&t, other_pub, c) == AIQ_OK);
    check(aiq_token_check_signature(&t, pub, c) == AIQ_D_TOKEN_SIGNATURE);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    aiq_mem_t  mem;
    aiq_str_t  text;

    if (c == NULL) {
        fuzz_init();
    }

    /* more text than a token has cannot show more */

    if (size > 2 * AIQ_TOKEN_MAX) {
        return 0;
    }

    mem.pos = memory;
    mem.end = memory + MEM_SIZE;
    text.data = data;
    text.len = size;

    if (size && data[0] == '!') {
        text.data++;
        text.len--;
        fuzz_sign(text, mem);

    } else if (size && data[0] == '{') {
        fuzz_iap(text, mem);

    } else {
        fuzz_jws(text, mem);
    }

    return 0;
}
