
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Writing and signing intent tokens.  What is signed here must be readable
 * there: every limit of token.c holds for what is issued, too.
 */


#include <string.h>

#include "b64.h"
#include "token.h"


static aiq_rc_t aiq_sign_jws(aiq_out_t *out, aiq_str_t kid,
    aiq_str_t claims, const unsigned char seed[AIQ_KEY_LEN], aiq_crypto_t *c,
    aiq_mem_t *mem, aiq_err_t *err);
static aiq_rc_t aiq_sign_iap(aiq_out_t *out, aiq_str_t body,
    const unsigned char seed[AIQ_KEY_LEN], aiq_crypto_t *c, aiq_mem_t *mem,
    aiq_err_t *err);
static aiq_rc_t aiq_sign_parse(aiq_json_t *doc, aiq_str_t text,
    aiq_rc_t denied, const char *what, aiq_mem_t *mem, aiq_err_t *err);
static aiq_rc_t aiq_sign_check(const aiq_token_claims_t *cl,
    aiq_err_t *err);
static aiq_rc_t aiq_sign_check_name(aiq_str_t s, const char *name,
    aiq_err_t *err);
static aiq_rc_t aiq_sign_claims(aiq_out_t *out, const aiq_token_claims_t *cl,
    aiq_crypto_t *c, aiq_mem_t *mem, aiq_err_t *err);
static aiq_rc_t aiq_sign_body(aiq_out_t *out, const aiq_token_claims_t *cl,
    const unsigned char seed[AIQ_KEY_LEN], aiq_crypto_t *c, aiq_mem_t *mem,
    aiq_err_t *err);
static aiq_rc_t aiq_sign_metadata(aiq_out_t *out,
    const aiq_token_claims_t *cl, const aiq_json_t *policy, aiq_err_t *err);
static void aiq_sign_str(aiq_out_t *out, const char *name, aiq_str_t value);
static void aiq_sign_int(aiq_out_t *out, const char *name, int64_t value);
static void aiq_sign_hash(aiq_out_t *out, const char *name,
    const unsigned char hash[AIQ_HASH_LEN]);
static aiq_str_t aiq_sign_policy(const aiq_token_claims_t *cl);
static void aiq_sign_begin(aiq_out_t *out, const aiq_mem_t *mem);
static aiq_rc_t aiq_sign_end(aiq_out_t *out, aiq_mem_t *mem, aiq_str_t *text,
    aiq_err_t *err);


/* the members of policy.global.metadata that are ours */

static const char  *const  aiq_sign_binding[] = {
    "org", "jti", "steps", "key", "sub", "agent", "context"
};


aiq_rc_t
aiq_token_sign_jws(aiq_out_t *out, aiq_str_t kid, aiq_str_t claims,
    const unsigned char seed[AIQ_KEY_LEN], aiq_crypto_t *c, aiq_mem_t *mem,
    aiq_err_t *err)
{
    aiq_rc_t        rc;
    unsigned char  *pos;

    pos = mem->pos;

    rc = aiq_sign_jws(out, kid, claims, seed, c, mem, err);

    mem->pos = pos;

    return rc;
}


static aiq_rc_t
aiq_sign_jws(aiq_out_t *out, aiq_str_t kid, aiq_str_t claims,
    const unsigned char seed[AIQ_KEY_LEN], aiq_crypto_t *c, aiq_mem_t *mem,
    aiq_err_t *err)
{
    aiq_rc_t       rc;
    aiq_out_t      text;
    aiq_str_t      header, payload, input;
    aiq_json_t     doc;
    unsigned char  sig[AIQ_SIG_LEN];

    if (!aiq_token_kid_ok(kid)) {
        return aiq_fail(err, AIQ_D_TOKEN_HEADER,
                        "kid is not a string of 1 to %d visible ASCII "
                        "characters", AIQ_KID_MAX);
    }

    rc = aiq_sign_parse(&doc, claims, AIQ_D_TOKEN_CLAIMS, "the claims", mem,
                         err);
    if (rc != AIQ_OK) {
        return rc;
    }

    aiq_sign_begin(&text, mem);
    aiq_out_str(&text, "{\"alg\":\"EdDSA\",\"kid\":");
    aiq_jcs_write_string(&text, kid, AIQ_JCS);
    aiq_out_str(&text, ",\"typ\":\"" AIQ_TOKEN_TYPE "\"}");

    rc = aiq_sign_end(&text, mem, &header, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    aiq_sign_begin(&text, mem);
    aiq_jcs_write(&text, &doc, 0, AIQ_JCS);

    rc = aiq_sign_end(&text, mem, &payload, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    aiq_sign_begin(&text, mem);
    aiq_b64url_encode(&text, header.data, header.len);
    aiq_out_char(&text, '.');
    aiq_b64url_encode(&text, payload.data, payload.len);

    rc = aiq_sign_end(&text, mem, &input, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    if (input.len + 1 + aiq_b64_encoded_len(AIQ_SIG_LEN) > AIQ_TOKEN_MAX) {
        return aiq_fail(err, AIQ_D_TOKEN_MALFORMED,
                        "the token would be longer than %d bytes",
                        AIQ_TOKEN_MAX);
    }

    rc = aiq_ed25519_sign(c, seed, input, sig);
    if (rc != AIQ_OK) {
        return aiq_fail(err, rc, "the token cannot be signed");
    }

    aiq_out_mem(out, input.data, input.len);
    aiq_out_char(out, '.');
    aiq_b64url_encode(out, sig, AIQ_SIG_LEN);

    return out->failed ? aiq_fail(err, AIQ_E_NO_MEMORY,
                                  "no room for the token")
                       : AIQ_OK;
}


aiq_rc_t
aiq_token_sign_iap(aiq_out_t *out, aiq_str_t body,
    const unsigned char seed[AIQ_KEY_LEN], aiq_crypto_t *c, aiq_mem_t *mem,
    aiq_err_t *err)
{
    aiq_rc_t        rc;
    unsigned char  *pos;

    pos = mem->pos;

    rc = aiq_sign_iap(out, body, seed, c, mem, err);

    mem->pos = pos;

    return rc;
}


static aiq_rc_t
aiq_sign_iap(aiq_out_t *out, aiq_str_t body,
    const unsigned char seed[AIQ_KEY_LEN], aiq_crypto_t *c, aiq_mem_t *mem,
    aiq_err_t *err)
{
    aiq_rc_t       rc;
    aiq_out_t      text;
    aiq_str_t      input, s;
    aiq_json_t     doc;
    unsigned char  pub[AIQ_KEY_LEN], named[AIQ_KEY_LEN], sig[AIQ_SIG_LEN];

    rc = aiq_sign_parse(&doc, body, AIQ_D_TOKEN_CLAIMS, "the body", mem, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    aiq_sign_begin(&text, mem);

    rc = aiq_token_write_iap(&text, &doc, 0, NULL, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_sign_end(&text, mem, &input, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    if (input.len + sizeof(",\"signature\":\"\"") - 1 + 2 * AIQ_SIG_LEN
        > AIQ_TOKEN_MAX)
    {
        return aiq_fail(err, AIQ_D_TOKEN_MALFORMED,
                        "the token would be longer than %d bytes",
                        AIQ_TOKEN_MAX);
    }

    /* an object that names another key would never verify */

    rc = aiq_ed25519_public(c, seed, pub);
    if (rc != AIQ_OK) {
        return aiq_fail(err, rc, "the key cannot be used");
    }

    rc = aiq_json_string(&doc, aiq_json_get(&doc, 0, "public_key"), mem, &s);

    if (aiq_is_fault(rc)) {
        return aiq_fail(err, rc, "public_key cannot be read");
    }

    if (rc != AIQ_OK
        || aiq_hex_decode(s, named, AIQ_KEY_LEN) != AIQ_OK
        || memcmp(named, pub, AIQ_KEY_LEN) != 0)
    {
        return aiq_fail(err, AIQ_D_TOKEN_KEY,
                        "public_key is not that of the signing key");
    }

    rc = aiq_ed25519_sign(c, seed, input, sig);
    if (rc != AIQ_OK) {
        return aiq_fail(err, rc, "the token cannot be signed");
    }

    return aiq_token_write_iap(out, &doc, 0, sig, err);
}


static aiq_rc_t
aiq_sign_parse(aiq_json_t *doc, aiq_str_t text, aiq_rc_t denied,
    const char *what, aiq_mem_t *mem, aiq_err_t *err)
{
    aiq_rc_t   rc;
    aiq_err_t  why;

    why.text[0] = '\0';

    rc = aiq_json_parse(doc, text, AIQ_TOKEN_DEPTH, mem, &why);

    /* a text this short has not too many values: the tape found no room */

    if (rc == AIQ_D_JSON_TOO_LARGE && text.len < AIQ_JSON_TOKENS) {
        rc = AIQ_E_NO_MEMORY;
    }

    if (aiq_is_denied(rc)) {
        return aiq_fail(err, denied, "%s: %s", what, why.text);
    }

    if (rc != AIQ_OK) {
        return aiq_fail(err, rc, "%s cannot be read", what);
    }

    if (aiq_json_type(doc, 0) != AIQ_JSON_OBJECT) {
        return aiq_fail(err, denied, "%s: not an object", what);
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_token_issue_jws(aiq_out_t *out, const aiq_token_claims_t *cl,
    const unsigned char seed[AIQ_KEY_LEN], aiq_crypto_t *c, aiq_mem_t *mem,
    aiq_err_t *err)
{
    aiq_rc_t        rc;
    aiq_out_t       text;
    aiq_str_t       claims;
    unsigned char  *pos;

    pos = mem->pos;

    rc = aiq_sign_check(cl, err);

    if (rc == AIQ_OK) {
        rc = aiq_sign_claims(&text, cl, c, mem, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_sign_end(&text, mem, &claims, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_sign_jws(out, cl->kid, claims, seed, c, mem, err);
    }

    mem->pos = pos;

    return rc;
}


aiq_rc_t
aiq_token_issue_iap(aiq_out_t *out, const aiq_token_claims_t *cl,
    const unsigned char seed[AIQ_KEY_LEN], aiq_crypto_t *c, aiq_mem_t *mem,
    aiq_err_t *err)
{
    aiq_rc_t        rc;
    aiq_out_t       text;
    aiq_str_t       body;
    unsigned char  *pos;

    pos = mem->pos;

    rc = aiq_sign_check(cl, err);

    if (rc == AIQ_OK) {
        rc = aiq_sign_body(&text, cl, seed, c, mem, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_sign_end(&text, mem, &body, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_sign_iap(out, body, seed, c, mem, err);
    }

    mem->pos = pos;

    return rc;
}


static aiq_rc_t
aiq_sign_check(const aiq_token_claims_t *cl, aiq_err_t *err)
{
    aiq_rc_t  rc;

    if ((rc = aiq_sign_check_name(cl->issuer, "iss", err)) != AIQ_OK
        || (rc = aiq_sign_check_name(cl->audience, "aud", err)) != AIQ_OK
        || (rc = aiq_sign_check_name(cl->org, "org", err)) != AIQ_OK
        || (rc = aiq_sign_check_name(cl->user, "sub", err)) != AIQ_OK
        || (rc = aiq_sign_check_name(cl->agent, "agent", err)) != AIQ_OK
        || (rc = aiq_sign_check_name(cl->jti, "jti", err)) != AIQ_OK)
    {
        return rc;
    }

    if (cl->key.len
        && (rc = aiq_sign_check_name(cl->key, "key", err)) != AIQ_OK)
    {
        return rc;
    }

    if (cl->context.len
        && (rc = aiq_sign_check_name(cl->context, "context", err)) != AIQ_OK)
    {
        return rc;
    }

    if (cl->iat < 0 || cl->exp <= cl->iat || cl->exp > AIQ_TIME_MAX) {
        return aiq_fail(err, AIQ_D_TOKEN_CLAIMS, "iat and exp: 0 <= iat < exp "
                        "<= %lld", (long long) AIQ_TIME_MAX);
    }

    if (cl->steps == 0 || cl->steps > AIQ_PLAN_STEPS) {
        return aiq_fail(err, AIQ_D_TOKEN_CLAIMS, "steps: 1 to %d",
                        AIQ_PLAN_STEPS);
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_sign_check_name(aiq_str_t s, const char *name, aiq_err_t *err)
{
    if (!aiq_name_ok(s)) {
        return aiq_fail(err, AIQ_D_TOKEN_CLAIMS,
                        "%s is not a string of 1 to %d bytes without controls",
                        name, AIQ_NAME_MAX);
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_sign_claims(aiq_out_t *out, const aiq_token_claims_t *cl,
    aiq_crypto_t *c, aiq_mem_t *mem, aiq_err_t *err)
{
    aiq_rc_t    rc;
    aiq_hash_t  hash;
    aiq_json_t  policy;

    rc = aiq_sign_parse(&policy, aiq_sign_policy(cl), AIQ_D_POLICY_INVALID,
                         "the policy", mem, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_jcs_hash(c, &policy, 0, AIQ_JCS, hash);
    if (rc != AIQ_OK) {
        return aiq_fail(err, rc, "the policy cannot be hashed");
    }

    /* in canonical order, each name with the comma before it */

    aiq_sign_begin(out, mem);

    aiq_out_str(out, "{\"agent\":");
    aiq_jcs_write_string(out, cl->agent, AIQ_JCS);

    aiq_sign_str(out, "aud", cl->audience);
    aiq_sign_int(out, "exp", cl->exp);
    aiq_sign_int(out, "iat", cl->iat);
    aiq_sign_str(out, "iss", cl->issuer);
    aiq_sign_str(out, "jti", cl->jti);

    if (cl->key.len) {
        aiq_sign_str(out, "key", cl->key);
    }

    aiq_sign_hash(out, "merkle_root", cl->plan_hash);
    aiq_sign_int(out, "nbf", cl->iat);
    aiq_sign_str(out, "org", cl->org);
    aiq_sign_hash(out, "plan_hash", cl->plan_hash);

    aiq_out_str(out, ",\"policy\":");
    aiq_jcs_write(out, &policy, 0, AIQ_JCS);

    aiq_sign_hash(out, "policy_hash", hash);
    aiq_sign_int(out, "steps", cl->steps);
    aiq_sign_str(out, "sub", cl->user);

    aiq_out_char(out, '}');

    return AIQ_OK;
}


static aiq_rc_t
aiq_sign_body(aiq_out_t *out, const aiq_token_claims_t *cl,
    const unsigned char seed[AIQ_KEY_LEN], aiq_crypto_t *c, aiq_mem_t *mem,
    aiq_err_t *err)
{
    aiq_rc_t       rc;
    aiq_str_t      context;
    aiq_hash_t     identity;
    aiq_json_t     policy;
    unsigned char  pub[AIQ_KEY_LEN];

    rc = aiq_sign_parse(&policy, aiq_sign_policy(cl), AIQ_D_POLICY_INVALID,
                         "the policy", mem, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    context = cl->context.len ? cl->context : aiq_cstr("default");

    if ((rc = aiq_token_identity(c, cl->user, cl->agent, context,
                                 cl->plan_hash, identity)) != AIQ_OK
        || (rc = aiq_ed25519_public(c, seed, pub)) != AIQ_OK)
    {
        return aiq_fail(err, rc, "the token cannot be made");
    }

    aiq_sign_begin(out, mem);

    aiq_out_str(out, "{\"version\":\"" AIQ_TOKEN_VERSION "\"");

    aiq_sign_int(out, "expires_at", cl->exp);
    aiq_sign_hash(out, "identity", identity);
    aiq_sign_int(out, "issued_at", cl->iat);
    aiq_sign_hash(out, "plan_hash", cl->plan_hash);
    aiq_sign_hash(out, "public_key", pub);

    aiq_out_str(out, ",\"policy\":{\"global\":{\"metadata\":");

    rc = aiq_sign_metadata(out, cl, &policy, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    aiq_out_str(out, "}}}");

    return AIQ_OK;
}


/* the constraints, and what an IAP object has no member for */

static aiq_rc_t
aiq_sign_metadata(aiq_out_t *out, const aiq_token_claims_t *cl,
    const aiq_json_t *policy, aiq_err_t *err)
{
    unsigned  i;
    uint32_t  k;

    /* whoever chooses the policy must not choose whose token it is */

    for (i = 0; i < sizeof(aiq_sign_binding) / sizeof(char *); i++) {
        if (aiq_json_get(policy, 0, aiq_sign_binding[i]) != AIQ_JSON_NONE) {
            return aiq_fail(err, AIQ_D_POLICY_INVALID,
                            "the policy has a member \"%s\"",
                            aiq_sign_binding[i]);
        }
    }

    aiq_out_str(out, "{\"context\":");
    aiq_jcs_write_string(out, cl->context.len ? cl->context
                                              : aiq_cstr("default"),
                         AIQ_JCS);

    aiq_sign_str(out, "agent", cl->agent);
    aiq_sign_str(out, "jti", cl->jti);

    if (cl->key.len) {
        aiq_sign_str(out, "key", cl->key);
    }

    aiq_sign_str(out, "org", cl->org);
    aiq_sign_int(out, "steps", cl->steps);
    aiq_sign_str(out, "sub", cl->user);

    for (k = aiq_json_first(policy, 0);
         k != AIQ_JSON_NONE;
         k = aiq_json_next(policy, 0, k))
    {
        aiq_out_char(out, ',');
        aiq_jcs_write(out, policy, k, AIQ_JCS);
        aiq_out_char(out, ':');
        aiq_jcs_write(out, policy, k + 1, AIQ_JCS);
    }

    aiq_out_char(out, '}');

    return AIQ_OK;
}


static void
aiq_sign_str(aiq_out_t *out, const char *name, aiq_str_t value)
{
    aiq_out_str(out, ",\"");
    aiq_out_str(out, name);
    aiq_out_str(out, "\":");
    aiq_jcs_write_string(out, value, AIQ_JCS);
}


static void
aiq_sign_int(aiq_out_t *out, const char *name, int64_t value)
{
    aiq_out_str(out, ",\"");
    aiq_out_str(out, name);
    aiq_out_str(out, "\":");
    aiq_out_int(out, value);
}


static void
aiq_sign_hash(aiq_out_t *out, const char *name,
    const unsigned char hash[AIQ_HASH_LEN])
{
    aiq_out_str(out, ",\"");
    aiq_out_str(out, name);
    aiq_out_str(out, "\":\"");
    aiq_out_hex(out, hash, AIQ_HASH_LEN);
    aiq_out_char(out, '"');
}


static aiq_str_t
aiq_sign_policy(const aiq_token_claims_t *cl)
{
    return cl->policy.len ? cl->policy
                          : aiq_cstr("{\"allow\":[\"*\"],\"deny\":[]}");
}


/* a text of unknown length in what is left of mem */

static void
aiq_sign_begin(aiq_out_t *out, const aiq_mem_t *mem)
{
    aiq_out_init(out, mem->pos, (size_t) (mem->end - mem->pos));
}


static aiq_rc_t
aiq_sign_end(aiq_out_t *out, aiq_mem_t *mem, aiq_str_t *text, aiq_err_t *err)
{
    if (out->failed) {
        return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory for the token");
    }

    *text = aiq_out_done(out);
    mem->pos = out->pos;

    return AIQ_OK;
}
