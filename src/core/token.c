
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Reading a compact JWS, and checking tokens of both forms.  Whatever is not
 * understood is refused: a header or a restriction that we skip is one that
 * we break.
 */


#include <string.h>

#include "b64.h"
#include "token_internal.h"


#define AIQ_TOKEN_SKEW_MAX   60


static aiq_rc_t aiq_token_jws(aiq_token_t *t, aiq_str_t text,
    const aiq_token_rules_t *rules, aiq_crypto_t *c, aiq_mem_t *mem,
    aiq_err_t *err);
static aiq_rc_t aiq_token_split(aiq_str_t text, aiq_str_t part[3],
    aiq_err_t *err);
static aiq_rc_t aiq_token_part(aiq_json_t *doc, aiq_str_t part, size_t max,
    const char *what, aiq_mem_t *mem, aiq_err_t *err);
static aiq_rc_t aiq_token_header(aiq_token_t *t, const aiq_json_t *doc,
    aiq_mem_t *mem, aiq_err_t *err);
static aiq_rc_t aiq_token_names(aiq_token_t *t, const aiq_claims_t *cl);
static aiq_rc_t aiq_token_audience(aiq_token_t *t, const aiq_claims_t *cl,
    const char *audience);
static aiq_rc_t aiq_token_times(aiq_token_t *t, const aiq_claims_t *cl);
static aiq_rc_t aiq_token_plan(aiq_token_t *t, const aiq_claims_t *cl);
static aiq_rc_t aiq_token_policy(aiq_token_t *t, const aiq_claims_t *cl,
    aiq_crypto_t *c);


aiq_rc_t
aiq_token_read_jws(aiq_token_t *t, aiq_str_t text,
    const aiq_token_rules_t *rules, aiq_crypto_t *c, aiq_mem_t *mem,
    aiq_err_t *err)
{
    unsigned char  *pos;

    memset(t, 0, sizeof(aiq_token_t));

    pos = mem->pos;

    return aiq_token_done(t, aiq_token_jws(t, text, rules, c, mem, err), mem,
                          pos);
}


/* nobody finds half a token */

aiq_rc_t
aiq_token_done(aiq_token_t *t, aiq_rc_t rc, aiq_mem_t *mem,
    unsigned char *pos)
{
    if (rc != AIQ_OK) {
        memset(t, 0, sizeof(aiq_token_t));
        mem->pos = pos;
    }

    return rc;
}


static aiq_rc_t
aiq_token_jws(aiq_token_t *t, aiq_str_t text, const aiq_token_rules_t *rules,
    aiq_crypto_t *c, aiq_mem_t *mem, aiq_err_t *err)
{
    size_t         len;
    aiq_rc_t       rc;
    aiq_str_t      part[3];
    aiq_json_t     header, claims;
    aiq_claims_t   cl;
    unsigned char  sig[aiq_b64_decoded_max(86)];

    rc = aiq_token_split(text, part, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    /* the length first: the decoder writes what it is given */

    if (part[2].len != aiq_b64_encoded_len(AIQ_SIG_LEN)
        || aiq_b64url_decode(part[2], sig, &len) != AIQ_OK
        || len != AIQ_SIG_LEN)
    {
        return aiq_fail(err, AIQ_D_TOKEN_MALFORMED,
                        "the signature is not base64url of %d bytes",
                        AIQ_SIG_LEN);
    }

    rc = aiq_token_part(&header, part[0], AIQ_TOKEN_HEADER_MAX, "header", mem,
                        err);
    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_token_header(t, &header, mem, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_token_part(&claims, part[1], AIQ_TOKEN_MAX, "payload", mem, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    t->form = AIQ_TOKEN_JWS;
    t->signed_text.data = text.data;
    t->signed_text.len = part[0].len + 1 + part[1].len;

    memcpy(t->signature, sig, AIQ_SIG_LEN);

    cl.doc = &claims;
    cl.obj = 0;
    cl.mem = mem;
    cl.err = err;

    if ((rc = aiq_token_names(t, &cl)) != AIQ_OK
        || (rc = aiq_token_audience(t, &cl, rules->audience)) != AIQ_OK
        || (rc = aiq_token_times(t, &cl)) != AIQ_OK
        || (rc = aiq_token_plan(t, &cl)) != AIQ_OK
        || (rc = aiq_token_policy(t, &cl, c)) != AIQ_OK)
    {
        return rc;
    }

    return aiq_sha256(c, t->signed_text, t->id);
}


/* exactly two dots, and something before, between and behind them */

static aiq_rc_t
aiq_token_split(aiq_str_t text, aiq_str_t part[3], aiq_err_t *err)
{
    size_t    i, start;
    unsigned  n;

    if (text.len == 0 || text.len > AIQ_TOKEN_MAX) {
        return aiq_fail(err, AIQ_D_TOKEN_MALFORMED,
                        "the token has %zu bytes, 1 to %d are accepted",
                        text.len, AIQ_TOKEN_MAX);
    }

    n = 0;
    start = 0;

    for (i = 0; i <= text.len; i++) {

        if (i < text.len && text.data[i] != '.') {
            continue;
        }

        if (n == 3 || i == start) {
            return aiq_fail(err, AIQ_D_TOKEN_MALFORMED,
                            "the token has not three parts");
        }

        part[n].data = text.data + start;
        part[n].len = i - start;

        n++;
        start = i + 1;
    }

    if (n != 3) {
        return aiq_fail(err, AIQ_D_TOKEN_MALFORMED,
                        "the token has not three parts");
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_token_part(aiq_json_t *doc, aiq_str_t part, size_t max, const char *what,
    aiq_mem_t *mem, aiq_err_t *err)
{
    aiq_rc_t        rc;
    aiq_err_t       why;
    aiq_str_t       text;
    unsigned char  *p;

    if (part.len > aiq_b64_encoded_len(max)) {
        return aiq_fail(err, AIQ_D_TOKEN_MALFORMED,
                        "the %s is longer than %zu bytes", what, max);
    }

    p = aiq_mem_alloc(mem, aiq_b64_decoded_max(part.len));
    if (p == NULL) {
        return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory for the %s", what);
    }

    if (aiq_b64url_decode(part, p, &text.len) != AIQ_OK) {
        return aiq_fail(err, AIQ_D_TOKEN_MALFORMED,
                        "the %s is not base64url without padding", what);
    }

    text.data = p;
    why.text[0] = '\0';

    rc = aiq_json_parse(doc, text, AIQ_TOKEN_DEPTH, mem, &why);

    /* a text this short has not too many values: the tape found no room */

    if (rc == AIQ_D_JSON_TOO_LARGE && text.len < AIQ_JSON_TOKENS) {
        rc = AIQ_E_NO_MEMORY;
    }

    if (aiq_is_denied(rc)) {
        return aiq_fail(err, AIQ_D_TOKEN_MALFORMED, "the %s: %s", what,
                        why.text);
    }

    if (rc != AIQ_OK) {
        return aiq_fail(err, rc, "the %s cannot be read", what);
    }

    if (aiq_json_type(doc, 0) != AIQ_JSON_OBJECT) {
        return aiq_fail(err, AIQ_D_TOKEN_MALFORMED,
                        "the %s is not a JSON object", what);
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_token_header(aiq_token_t *t, const aiq_json_t *doc, aiq_mem_t *mem,
    aiq_err_t *err)
{
    uint32_t  k;
    aiq_rc_t  rc;

    /*
     * Only what we understand: crit, b64, zip, and all that brings its own
     * key (jwk, jku, x5u, x5c, x5t) is refused by not being here.
     */

    for (k = aiq_json_first(doc, 0);
         k != AIQ_JSON_NONE;
         k = aiq_json_next(doc, 0, k))
    {
        if (!aiq_json_is(doc, k, "alg")
            && !aiq_json_is(doc, k, "typ")
            && !aiq_json_is(doc, k, "kid"))
        {
            return aiq_fail(err, AIQ_D_TOKEN_HEADER,
                            "the header has other members than alg, typ and "
                            "kid");
        }
    }

    if (!aiq_json_is(doc, aiq_json_get(doc, 0, "alg"), "EdDSA")) {
        return aiq_fail(err, AIQ_D_TOKEN_ALGORITHM, "alg is not \"EdDSA\"");
    }

    if (!aiq_json_is(doc, aiq_json_get(doc, 0, "typ"), AIQ_TOKEN_TYPE)) {
        return aiq_fail(err, AIQ_D_TOKEN_TYPE, "typ is not \"%s\"",
                        AIQ_TOKEN_TYPE);
    }

    rc = aiq_json_string(doc, aiq_json_get(doc, 0, "kid"), mem, &t->kid);

    if (aiq_is_fault(rc)) {
        return aiq_fail(err, rc, "the header cannot be read");
    }

    if (rc != AIQ_OK || !aiq_token_kid_ok(t->kid)) {
        return aiq_fail(err, AIQ_D_TOKEN_HEADER,
                        "kid is not a string of 1 to %d visible ASCII "
                        "characters", AIQ_KID_MAX);
    }

    return AIQ_OK;
}


int
aiq_token_kid_ok(aiq_str_t kid)
{
    size_t  i;

    if (kid.len == 0 || kid.len > AIQ_KID_MAX) {
        return 0;
    }

    for (i = 0; i < kid.len; i++) {
        if (kid.data[i] <= 0x20 || kid.data[i] >= 0x7f) {
            return 0;
        }
    }

    return 1;
}


static aiq_rc_t
aiq_token_names(aiq_token_t *t, const aiq_claims_t *cl)
{
    aiq_rc_t  rc;

    /*
     * cnf binds a token to a key and act to whom it was delegated: whoever
     * overlooks them lets others use it.
     */

    if (aiq_json_get(cl->doc, cl->obj, "cnf") != AIQ_JSON_NONE
        || aiq_json_get(cl->doc, cl->obj, "act") != AIQ_JSON_NONE)
    {
        return aiq_fail(cl->err, AIQ_D_TOKEN_CLAIMS,
                        "cnf and act are not supported");
    }

    if ((rc = aiq_claim_name(cl, "iss", 1, &t->iss)) != AIQ_OK
        || (rc = aiq_claim_name(cl, "sub", 1, &t->sub)) != AIQ_OK
        || (rc = aiq_claim_name(cl, "org", 1, &t->org)) != AIQ_OK
        || (rc = aiq_claim_name(cl, "agent", 1, &t->agent)) != AIQ_OK
        || (rc = aiq_claim_name(cl, "jti", 1, &t->jti)) != AIQ_OK)
    {
        return rc;
    }

    return aiq_claim_name(cl, "key", 0, &t->key);
}


/* a string, or an array of strings of which we are one (RFC 7519 4.1.3) */

static aiq_rc_t
aiq_token_audience(aiq_token_t *t, const aiq_claims_t *cl,
    const char *audience)
{
    uint32_t           aud, k;
    aiq_rc_t           rc;
    aiq_str_t          s;
    const aiq_json_t  *doc;

    doc = cl->doc;
    aud = aiq_json_get(doc, cl->obj, "aud");

    if (aiq_json_type(doc, aud) != AIQ_JSON_ARRAY) {
        rc = aiq_claim_name(cl, "aud", 1, &t->aud);

        t->aud_ok = (rc == AIQ_OK && audience != NULL
                     && aiq_str_is(t->aud, audience));

        return rc;
    }

    for (k = aiq_json_first(doc, aud);
         k != AIQ_JSON_NONE;
         k = aiq_json_next(doc, aud, k))
    {
        rc = aiq_json_string(doc, k, cl->mem, &s);

        if (aiq_is_fault(rc)) {
            return aiq_fail(cl->err, rc, "aud cannot be read");
        }

        if (rc != AIQ_OK || !aiq_name_ok(s)) {
            return aiq_fail(cl->err, AIQ_D_TOKEN_CLAIMS,
                            "aud has an element that is not a name");
        }

        if (t->aud.len == 0) {
            t->aud = s;
        }

        if (audience != NULL && aiq_str_is(s, audience)) {
            t->aud_ok = 1;
        }
    }

    if (t->aud.len == 0) {
        return aiq_fail(cl->err, AIQ_D_TOKEN_CLAIMS, "aud is empty");
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_token_times(aiq_token_t *t, const aiq_claims_t *cl)
{
    aiq_rc_t  rc;

    if ((rc = aiq_claim_int(cl, "iat", 0, AIQ_TIME_MAX, &t->iat)) != AIQ_OK
        || (rc = aiq_claim_int(cl, "exp", 0, AIQ_TIME_MAX, &t->exp))
           != AIQ_OK)
    {
        return rc;
    }

    if (aiq_json_get(cl->doc, cl->obj, "nbf") == AIQ_JSON_NONE) {
        t->nbf = t->iat;
        return AIQ_OK;
    }

    return aiq_claim_int(cl, "nbf", 0, AIQ_TIME_MAX, &t->nbf);
}


static aiq_rc_t
aiq_token_plan(aiq_token_t *t, const aiq_claims_t *cl)
{
    int64_t     steps;
    aiq_rc_t    rc;
    aiq_hash_t  root;

    rc = aiq_claim_hex(cl, "plan_hash", t->plan_hash, AIQ_HASH_LEN);
    if (rc != AIQ_OK) {
        return rc;
    }

    if (aiq_json_get(cl->doc, cl->obj, "merkle_root") != AIQ_JSON_NONE) {

        rc = aiq_claim_hex(cl, "merkle_root", root, AIQ_HASH_LEN);
        if (rc != AIQ_OK) {
            return rc;
        }

        if (memcmp(root, t->plan_hash, AIQ_HASH_LEN) != 0) {
            return aiq_fail(cl->err, AIQ_D_TOKEN_CLAIMS,
                            "merkle_root is not plan_hash");
        }
    }

    rc = aiq_claim_int(cl, "steps", 1, AIQ_PLAN_STEPS, &steps);
    if (rc != AIQ_OK) {
        return rc;
    }

    t->steps = (uint32_t) steps;

    return AIQ_OK;
}


static aiq_rc_t
aiq_token_policy(aiq_token_t *t, const aiq_claims_t *cl, aiq_crypto_t *c)
{
    uint32_t    k;
    aiq_rc_t    rc;
    aiq_hash_t  claimed, hash;

    k = aiq_json_get(cl->doc, cl->obj, "policy");

    if (k != AIQ_JSON_NONE) {

        if (aiq_json_type(cl->doc, k) != AIQ_JSON_OBJECT) {
            return aiq_fail(cl->err, AIQ_D_TOKEN_CLAIMS,
                            "policy is not an object");
        }

        t->policy = aiq_json_raw(cl->doc, k);
    }

    if (aiq_json_get(cl->doc, cl->obj, "policy_hash") == AIQ_JSON_NONE) {
        return AIQ_OK;
    }

    rc = aiq_claim_hex(cl, "policy_hash", claimed, AIQ_HASH_LEN);
    if (rc != AIQ_OK) {
        return rc;
    }

    if (k == AIQ_JSON_NONE) {
        return aiq_fail(cl->err, AIQ_D_TOKEN_CLAIMS,
                        "policy_hash, but no policy");
    }

    rc = aiq_jcs_hash(c, cl->doc, k, AIQ_JCS, hash);
    if (rc != AIQ_OK) {
        return aiq_fail(cl->err, rc, "policy cannot be hashed");
    }

    if (memcmp(hash, claimed, AIQ_HASH_LEN) != 0) {
        return aiq_fail(cl->err, AIQ_D_TOKEN_CLAIMS,
                        "policy_hash is not that of policy");
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_token_check_signature(const aiq_token_t *t,
    const unsigned char pub[AIQ_KEY_LEN], aiq_crypto_t *c)
{
    aiq_str_t  sig;

    if (t->form != AIQ_TOKEN_JWS && t->form != AIQ_TOKEN_IAP) {
        return AIQ_D_TOKEN_SIGNATURE;
    }

    /* the key inside never verifies anything, but it must be the right one */

    if (t->has_public && memcmp(t->public_key, pub, AIQ_KEY_LEN) != 0) {
        return AIQ_D_TOKEN_KEY;
    }

    sig.data = t->signature;
    sig.len = AIQ_SIG_LEN;

    return aiq_ed25519_verify(c, pub, t->signed_text, sig);
}


aiq_rc_t
aiq_token_check_claims(const aiq_token_t *t, const aiq_token_rules_t *rules,
    aiq_err_t *err)
{
    int64_t  skew;

    if (t->form == AIQ_TOKEN_JWS) {

        if (rules->issuer == NULL || !aiq_str_is(t->iss, rules->issuer)) {
            return aiq_fail(err, AIQ_D_TOKEN_ISSUER, "iss is another one");
        }

        if (!t->aud_ok) {
            return aiq_fail(err, AIQ_D_TOKEN_AUDIENCE, "aud is another one");
        }

    } else if (t->form != AIQ_TOKEN_IAP) {
        return aiq_fail(err, AIQ_D_TOKEN_MALFORMED, "no token was read");
    }

    if (t->exp <= t->iat || t->exp <= t->nbf) {
        return aiq_fail(err, AIQ_D_TOKEN_CLAIMS,
                        "the token expires before it begins");
    }

    if (t->exp - t->iat > rules->lifetime) {
        return aiq_fail(err, AIQ_D_TOKEN_LIFETIME,
                        "the token lives %lld seconds, %lld are accepted",
                        (long long) (t->exp - t->iat),
                        (long long) rules->lifetime);
    }

    skew = rules->skew;

    if (skew < 0) {
        skew = 0;

    } else if (skew > AIQ_TOKEN_SKEW_MAX) {
        skew = AIQ_TOKEN_SKEW_MAX;
    }

    if (t->iat - skew > rules->now || t->nbf - skew > rules->now) {
        return aiq_fail(err, AIQ_D_TOKEN_NOT_YET,
                        "the token begins at %lld, now it is %lld",
                        (long long) (t->iat > t->nbf ? t->iat : t->nbf),
                        (long long) rules->now);
    }

    if (rules->now >= t->exp) {
        return aiq_fail(err, AIQ_D_TOKEN_EXPIRED,
                        "the token expired at %lld, now it is %lld",
                        (long long) t->exp, (long long) rules->now);
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_claim_name(const aiq_claims_t *cl, const char *name, int required,
    aiq_str_t *out)
{
    uint32_t  k;
    aiq_rc_t  rc;

    aiq_str_null(out);

    k = aiq_json_get(cl->doc, cl->obj, name);

    if (k == AIQ_JSON_NONE) {
        return required ? aiq_fail(cl->err, AIQ_D_TOKEN_CLAIMS,
                                   "%s is missing", name)
                        : AIQ_OK;
    }

    rc = aiq_json_string(cl->doc, k, cl->mem, out);

    if (aiq_is_fault(rc)) {
        return aiq_fail(cl->err, rc, "%s cannot be read", name);
    }

    if (rc != AIQ_OK || !aiq_name_ok(*out)) {
        return aiq_fail(cl->err, AIQ_D_TOKEN_CLAIMS,
                        "%s is not a string of 1 to %d bytes without controls",
                        name, AIQ_NAME_MAX);
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_claim_int(const aiq_claims_t *cl, const char *name, int64_t min,
    int64_t max, int64_t *out)
{
    uint32_t  k;

    k = aiq_json_get(cl->doc, cl->obj, name);

    if (k == AIQ_JSON_NONE) {
        return aiq_fail(cl->err, AIQ_D_TOKEN_CLAIMS, "%s is missing", name);
    }

    if (aiq_json_int(cl->doc, k, out) != AIQ_OK || *out < min || *out > max) {
        return aiq_fail(cl->err, AIQ_D_TOKEN_CLAIMS,
                        "%s is not an integer from %lld to %lld", name,
                        (long long) min, (long long) max);
    }

    return AIQ_OK;
}


/* len bytes, at most AIQ_SIG_LEN, in lower-case hexadecimal */

aiq_rc_t
aiq_claim_hex(const aiq_claims_t *cl, const char *name, unsigned char *out,
    size_t len)
{
    aiq_rc_t   rc;
    aiq_str_t  s;

    rc = aiq_json_string(cl->doc, aiq_json_get(cl->doc, cl->obj, name),
                         cl->mem, &s);

    if (aiq_is_fault(rc)) {
        return aiq_fail(cl->err, rc, "%s cannot be read", name);
    }

    if (rc != AIQ_OK || aiq_hex_decode(s, out, len) != AIQ_OK) {
        return aiq_fail(cl->err, AIQ_D_TOKEN_CLAIMS,
                        "%s is not %zu lower-case hexadecimal digits", name,
                        2 * len);
    }

    return AIQ_OK;
}
