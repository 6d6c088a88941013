
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Intent tokens.  Native: compact JWS (RFC 7515), typ "intent+jwt", alg
 * "EdDSA" (RFC 8037), RFC 8725 throughout.  SDK: the IAP object of wire.md
 * C.1, Ed25519 over its canonical JSON, verified with a pinned key of the
 * org, never with the key inside it.
 */


#ifndef _AIQ_TOKEN_H_INCLUDED_
#define _AIQ_TOKEN_H_INCLUDED_


#include "jcs.h"
#include "merkle.h"


#define AIQ_TOKEN_TYPE      "intent+jwt"
#define AIQ_TOKEN_ISSUER    "armoriq"
#define AIQ_TOKEN_AUDIENCE  "armoriq-proxy"
#define AIQ_TOKEN_VERSION   "IAP-0.1"

typedef enum {
    AIQ_TOKEN_JWS = 1,
    AIQ_TOKEN_IAP
} aiq_token_form_e;


/*
 * A token read but not yet trusted: check the signature, then the claims.
 * Strings live in the text or in mem.
 */

typedef struct {
    aiq_token_form_e    form;
    aiq_str_t           kid;          /* JWS header; IAP: empty */
    aiq_str_t           iss;          /* IAP: empty */
    aiq_str_t           aud;          /* IAP: empty; JWS: first or only */
    aiq_str_t           sub;          /* user; IAP: may be empty */
    aiq_str_t           org;
    aiq_str_t           agent;        /* IAP: may be empty */
    aiq_str_t           jti;
    aiq_str_t           key;          /* id of the API key it was issued to,
                                         or empty */
    int64_t             iat;          /* Unix seconds */
    int64_t             nbf;
    int64_t             exp;
    uint32_t            steps;        /* of the plan */
    aiq_hash_t          plan_hash;
    aiq_hash_t          identity;     /* IAP */
    aiq_hash_t          id;           /* SHA-256 of the signing input: key of
                                         ledger and cache (trust T3) */
    aiq_str_t           policy;       /* JSON text of the constraints object,
                                         or empty */
    unsigned            aud_ok:1;     /* rules.audience is among aud */
    unsigned            has_public:1;
    unsigned char       public_key[AIQ_KEY_LEN];    /* IAP: says the token */
    aiq_str_t           signed_text;
    unsigned char       signature[AIQ_SIG_LEN];
} aiq_token_t;

typedef struct {
    int64_t             now;          /* Unix seconds */
    int64_t             skew;         /* <= 60 */
    int64_t             lifetime;     /* exp - iat at most, seconds */
    const char         *issuer;
    const char         *audience;
} aiq_token_rules_t;


/*
 * Structure only (T5 - T8, T11): AIQ_D_TOKEN_... or AIQ_E_NO_MEMORY,
 * AIQ_E_CRYPTO_FAILED.  On failure t is zeroed and mem is as before.
 */

aiq_rc_t aiq_token_read_jws(aiq_token_t *t, aiq_str_t text,
    const aiq_token_rules_t *rules, aiq_crypto_t *c, aiq_mem_t *mem,
    aiq_err_t *err);

/*
 * The object at token i of doc.  Nothing outside the signed bytes is used.
 * org, jti, steps and, if they are there, key, sub, agent and context are
 * members of policy.global.metadata; t->policy is what else is in there.
 * Restrictions that we do not enforce (allowed_operations, resource_scope,
 * policies beside policy.global.metadata) are refused, not overlooked.
 */

aiq_rc_t aiq_token_read_iap(aiq_token_t *t, const aiq_json_t *doc, uint32_t i,
    aiq_crypto_t *c, aiq_mem_t *mem, aiq_err_t *err);

/*
 * AIQ_OK, AIQ_D_TOKEN_SIGNATURE, AIQ_D_TOKEN_KEY (a bad key, or an IAP object
 * that names another one), AIQ_E_CRYPTO_FAILED
 */

aiq_rc_t aiq_token_check_signature(const aiq_token_t *t,
    const unsigned char pub[AIQ_KEY_LEN], aiq_crypto_t *c);

/*
 * Times, issuer, audience (T9, T10); on every use, cached or not.  The skew
 * is for clocks that are ahead: nbf and iat may lie that far in the future,
 * but exp is final.
 */

aiq_rc_t aiq_token_check_claims(const aiq_token_t *t,
    const aiq_token_rules_t *rules, aiq_err_t *err);


/* what goes into a new token; strings are aiq_name_ok() */

typedef struct {
    aiq_str_t           kid;
    aiq_str_t           issuer;
    aiq_str_t           audience;
    aiq_str_t           org;
    aiq_str_t           user;
    aiq_str_t           agent;
    aiq_str_t           context;      /* IAP identity; "default" */
    aiq_str_t           jti;
    aiq_str_t           key;          /* API key id or empty */
    int64_t             iat;
    int64_t             exp;
    uint32_t            steps;
    aiq_hash_t          plan_hash;
    aiq_str_t           policy;       /* canonical JSON object or empty for
                                         {"allow":["*"],"deny":[]} */
} aiq_token_claims_t;

/*
 * Write the claims (canonical) and sign them.  The texts that the functions
 * without _claims take are any JSON object; they are canonicalised first.
 * These two are what plan/vectors.json reproduces.
 */

aiq_rc_t aiq_token_sign_jws(aiq_out_t *out, aiq_str_t kid, aiq_str_t claims,
    const unsigned char seed[AIQ_KEY_LEN], aiq_crypto_t *c, aiq_mem_t *mem,
    aiq_err_t *err);
aiq_rc_t aiq_token_sign_iap(aiq_out_t *out, aiq_str_t body,
    const unsigned char seed[AIQ_KEY_LEN], aiq_crypto_t *c, aiq_mem_t *mem,
    aiq_err_t *err);

aiq_rc_t aiq_token_issue_jws(aiq_out_t *out, const aiq_token_claims_t *cl,
    const unsigned char seed[AIQ_KEY_LEN], aiq_crypto_t *c, aiq_mem_t *mem,
    aiq_err_t *err);
aiq_rc_t aiq_token_issue_iap(aiq_out_t *out, const aiq_token_claims_t *cl,
    const unsigned char seed[AIQ_KEY_LEN], aiq_crypto_t *c, aiq_mem_t *mem,
    aiq_err_t *err);

/* 1..AIQ_KID_MAX bytes of visible ASCII (T7) */

int aiq_token_kid_ok(aiq_str_t kid);

/*
 * The signed members of the IAP object at token i of doc, in canonical form:
 * the signed bytes.  With sig they have "signature" among them: the object
 * itself.  AIQ_D_TOKEN_CLAIMS if a member is missing.
 */

aiq_rc_t aiq_token_write_iap(aiq_out_t *out, const aiq_json_t *doc, uint32_t i,
    const unsigned char *sig, aiq_err_t *err);

/* SHA-256("user|agent|context|plan_hash"), wire.md B */

aiq_rc_t aiq_token_identity(aiq_crypto_t *c, aiq_str_t user, aiq_str_t agent,
    aiq_str_t context, const aiq_hash_t plan_hash, aiq_hash_t out);


#endif /* _AIQ_TOKEN_H_INCLUDED_ */
