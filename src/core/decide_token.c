
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The token: exactly one, signed by an issuer of its own org, in force, and
 * belonging to who presents it.
 */


#include <string.h>

#include "decide_internal.h"


static aiq_rc_t aiq_decide_token_find(aiq_decision_t *d,
    const aiq_request_t *in);
static aiq_rc_t aiq_decide_token_native(aiq_decision_t *d,
    const aiq_request_t *in, aiq_str_t *jws);
static aiq_rc_t aiq_decide_token_verify(aiq_decision_t *d,
    const aiq_request_t *in);
static aiq_rc_t aiq_decide_token_signature(aiq_decision_t *d,
    const aiq_request_t *in, const aiq_issuer_t *issuer);
static aiq_rc_t aiq_decide_token_owner(aiq_decision_t *d,
    const aiq_request_t *in);
static aiq_rc_t aiq_decide_token_ledger(aiq_decision_t *d,
    const aiq_request_t *in);
static int aiq_decide_token_other(aiq_str_t bound, aiq_str_t claimed);


aiq_rc_t
aiq_decide_token(aiq_decision_t *d, const aiq_request_t *in)
{
    aiq_rc_t  rc;

    rc = aiq_decide_token_find(d, in);

    if (rc == AIQ_DECLINED) {

        if (d->apikey.id.len == 0) {
            return aiq_fail(&d->err, AIQ_D_IDENTITY_MISSING,
                            "no API key and no token");
        }

        if (aiq_needs_intent(d, in)) {
            return aiq_fail(&d->err, AIQ_D_TOKEN_MISSING,
                            "an API key, but no intent token");
        }

        return AIQ_OK;
    }

    if (rc != AIQ_OK) {
        return rc;
    }

    if ((rc = aiq_decide_token_verify(d, in)) != AIQ_OK) {
        return rc;
    }

    if ((rc = aiq_decide_token_owner(d, in)) != AIQ_OK) {
        return rc;
    }

    if ((rc = aiq_decide_token_ledger(d, in)) != AIQ_OK) {
        return rc;
    }

    d->trusted = 1;

    return AIQ_OK;
}


/* reads the token, wherever it is, without trusting it */

static aiq_rc_t
aiq_decide_token_find(aiq_decision_t *d, const aiq_request_t *in)
{
    aiq_rc_t   rc;
    aiq_str_t  jws;

    rc = aiq_decide_token_native(d, in, &jws);

    if (rc != AIQ_OK && rc != AIQ_DECLINED) {
        return rc;
    }

    if (in->invoke) {

        if (rc == AIQ_OK) {
            return aiq_fail(&d->err, AIQ_D_TOKEN_AMBIGUOUS,
                            "a token in a header and another in the envelope");
        }

        if (d->invoke.token == AIQ_JSON_NONE) {
            return AIQ_DECLINED;
        }

        if (aiq_json_type(in->body, d->invoke.token) == AIQ_JSON_OBJECT) {
            return aiq_token_read_iap(&d->token, in->body, d->invoke.token,
                                      in->crypto, in->mem, &d->err);
        }

        rc = aiq_json_string(in->body, d->invoke.token, in->mem, &jws);

        if (rc != AIQ_OK) {
            return aiq_fail(&d->err, rc == AIQ_DECLINED
                                     ? AIQ_D_TOKEN_MALFORMED : rc,
                            "\"token\" is neither an object nor a string");
        }
    }

    if (rc == AIQ_DECLINED) {
        return rc;
    }

    d->jws = jws;
    d->memo = in->memo ? aiq_token_memo_get(in->memo, jws) : NULL;

    if (d->memo != NULL) {
        d->token = d->memo->token;
        return AIQ_OK;
    }

    return aiq_token_read_jws(&d->token, jws, &in->token, in->crypto, in->mem,
                              &d->err);
}


/*
 * Authorization, X-ArmorIQ-Intent or, beside an API key, params._meta: one of
 * them (T12)
 */

static aiq_rc_t
aiq_decide_token_native(aiq_decision_t *d, const aiq_request_t *in,
    aiq_str_t *jws)
{
    aiq_rc_t   rc;
    uint32_t   meta;
    unsigned   found;
    aiq_str_t  bearer;

    found = 0;
    aiq_str_null(jws);

    if (in->authorization.data != NULL) {

        if (aiq_bearer(in->authorization, &bearer) != AIQ_OK) {
            return aiq_fail(&d->err, AIQ_D_TOKEN_MALFORMED,
                            "the Authorization header is not \"Bearer ...\"");
        }

        if (bearer.len < 3 || memcmp(bearer.data, "ak_", 3) != 0) {
            *jws = bearer;
            found++;
        }
    }

    if (in->x_intent.data != NULL) {
        *jws = in->x_intent;
        found++;
    }

    if (!in->invoke && in->body != NULL && d->mcp.meta != AIQ_JSON_NONE) {
        meta = aiq_json_get(in->body, d->mcp.meta, "io.armoriq/intent-token");

        if (meta != AIQ_JSON_NONE) {

            /* who asks must be known before the body is read */

            if (!found && d->apikey.id.len == 0) {
                return aiq_fail(&d->err, AIQ_D_IDENTITY_MISSING,
                                "a token in _meta, but no API key");
            }

            rc = aiq_json_string(in->body, meta, in->mem, jws);

            if (rc != AIQ_OK) {
                return aiq_fail(&d->err, rc == AIQ_DECLINED
                                         ? AIQ_D_TOKEN_MALFORMED : rc,
                                "_meta[\"io.armoriq/intent-token\"] is not "
                                "a string");
            }

            found++;
        }
    }

    if (found > 1) {
        return aiq_fail(&d->err, AIQ_D_TOKEN_AMBIGUOUS,
                        "tokens in %u places", found);
    }

    return found ? AIQ_OK : AIQ_DECLINED;
}


static aiq_rc_t
aiq_decide_token_verify(aiq_decision_t *d, const aiq_request_t *in)
{
    aiq_rc_t              rc;
    aiq_str_t             org;
    const aiq_issuer_t   *issuer;
    const aiq_ruleset_t  *rules;

    /*
     * Whose keys?  Those of the org that the token names: whoever could make
     * a token for that org holds its key.  An API key of another org next to
     * it is refused before anything of the token is looked at.
     */

    org = d->token.org;

    if (d->apikey.id.len && !aiq_str_eq(d->apikey.org, org)) {
        return aiq_fail(&d->err, AIQ_D_TOKEN_OWNER,
                        "token and API key are of different orgs");
    }

    rc = in->ruleset(in->ruleset_data, in->txn, org, &rules, &d->err);

    if (rc == AIQ_DECLINED) {
        return aiq_fail(&d->err, AIQ_D_TOKEN_KEY,
                        "the org of the token is not known");
    }

    if (rc != AIQ_OK) {
        return rc;
    }

    issuer = aiq_ruleset_issuer(rules, &d->token);

    if (issuer == NULL) {
        return aiq_fail(&d->err, AIQ_D_TOKEN_KEY,
                        "no active issuer of the org has this key");
    }

    if (d->memo == NULL
        || memcmp(d->memo->public_key, issuer->public_key, AIQ_KEY_LEN) != 0)
    {
        rc = aiq_decide_token_signature(d, in, issuer);

        if (rc != AIQ_OK) {
            return aiq_fail(&d->err, rc, "the signature does not verify");
        }
    }

    d->issuer = issuer;
    d->token.kid = issuer->kid;
    d->org = rules->org.name;

    rc = aiq_token_check_claims(&d->token, &in->token, &d->err);

    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_token_revoked(in->txn, d->org, d->token.jti);

    if (rc != AIQ_OK) {
        return aiq_fail(&d->err, rc, "the token was revoked");
    }

    return AIQ_OK;
}


/* verified once, remembered by what was verified and with which key (T4) */

static aiq_rc_t
aiq_decide_token_signature(aiq_decision_t *d, const aiq_request_t *in,
    const aiq_issuer_t *issuer)
{
    aiq_rc_t    rc;
    aiq_str_t   parts[3];
    aiq_hash_t  key;

    parts[0].data = d->token.id;
    parts[0].len = AIQ_HASH_LEN;
    parts[1].data = d->token.signature;
    parts[1].len = AIQ_SIG_LEN;
    parts[2].data = issuer->public_key;
    parts[2].len = AIQ_KEY_LEN;

    rc = aiq_sha256v(in->crypto, parts, 3, key);

    if (rc != AIQ_OK) {
        return rc;
    }

    if (in->ops->seen(in->ops->data, key)) {
        return AIQ_OK;
    }

    rc = aiq_token_check_signature(&d->token, issuer->public_key, in->crypto);

    if (rc == AIQ_OK) {
        in->ops->saw(in->ops->data, key, d->token.exp);
    }

    return rc;
}


/* the token's user and agent against those the API key is bound to */

static aiq_rc_t
aiq_decide_token_owner(aiq_decision_t *d, const aiq_request_t *in)
{
    aiq_rc_t  rc;

    /* removing a key ends the tokens that were issued to it */

    if (d->apikey.id.len == 0 && d->token.key.len) {
        rc = aiq_decide_key(d, in, d->token.key);

        if (rc != AIQ_OK) {
            return rc;
        }
    }

    if (d->apikey.id.len) {

        if (aiq_decide_token_other(d->token.key, d->apikey.id)) {
            return aiq_fail(&d->err, AIQ_D_TOKEN_OWNER,
                            "the token was issued to another API key");
        }

        if (aiq_decide_token_other(d->apikey.user, d->token.sub)) {
            return aiq_fail(&d->err, AIQ_D_TOKEN_OWNER,
                            "the API key is of another user");
        }

        if (aiq_decide_token_other(d->apikey.agent, d->token.agent)) {
            return aiq_fail(&d->err, AIQ_D_TOKEN_OWNER,
                            "the API key is of another agent");
        }
    }

    if (d->token.sub.len) {
        d->user = d->token.sub;
    }

    if (d->token.agent.len) {
        d->agent = d->token.agent;
    }

    return aiq_owner_active(in->txn, d->org, d->user, d->agent, in->mem,
                            &d->err);
}


/* nothing is bound to an empty name; an IAP token may not claim one */

static int
aiq_decide_token_other(aiq_str_t bound, aiq_str_t claimed)
{
    return bound.len && claimed.len && !aiq_str_eq(bound, claimed);
}


/*
 * The ledger goes by org and jti, which are in the signed bytes: so the JWS
 * and the IAP object issued together count as the one token they are.
 */

static aiq_rc_t
aiq_decide_token_ledger(aiq_decision_t *d, const aiq_request_t *in)
{
    aiq_rc_t       rc;
    aiq_str_t      parts[4];
    unsigned char  len;

    if (d->memo != NULL) {
        memcpy(d->ledger, d->memo->ledger, AIQ_HASH_LEN);
        return AIQ_OK;
    }

    len = (unsigned char) d->org.len;

    parts[0] = aiq_cstr("armoriq/ledger");
    parts[1].data = &len;
    parts[1].len = 1;
    parts[2] = d->org;
    parts[3] = d->token.jti;

    rc = aiq_sha256v(in->crypto, parts, 4, d->ledger);

    if (rc == AIQ_OK && in->memo && d->jws.len) {
        aiq_token_memo_put(in->memo, d->jws, &d->token,
                           d->issuer->public_key, d->ledger, in->tz,
                           in->tz_data);
    }

    return rc;
}
