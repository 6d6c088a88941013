
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Whose place this is: the org that a server is for, and sessions, which
 * belong to who has opened them (mcp 43: a session id is not authentication).
 */


#include <string.h>

#include "decide_internal.h"


static aiq_rc_t aiq_decide_session(aiq_decision_t *d,
    const aiq_request_t *in);


aiq_rc_t
aiq_decide_tenant(aiq_decision_t *d, const aiq_request_t *in)
{
    if (d->org.len
        && ((in->org.len && !aiq_str_eq(in->org, d->org))
            || (in->mcp_org.len && !aiq_str_eq(in->mcp_org, d->org))))
    {
        return aiq_fail(&d->err, AIQ_D_ORG_NOT_ALLOWED,
                        "the server is for another org");
    }

    /*
     * There are none from 2026-07-28 on, nor in an envelope; of a POST only
     * the body tells, for which this is asked again.
     */

    if (in->session.data == NULL || in->invoke || d->mcp.modern
        || d->org.len == 0
        || (in->body == NULL && aiq_str_is(in->http, "POST")))
    {
        return AIQ_OK;
    }

    return aiq_decide_session(d, in);
}


/*
 * Somebody else's session is refused like one that does not exist: a client
 * starts anew then, and nobody learns which ids are in use.
 */

static aiq_rc_t
aiq_decide_session(aiq_decision_t *d, const aiq_request_t *in)
{
    aiq_rc_t         rc;
    aiq_hash_t       key;
    aiq_principal_t  who;

    rc = aiq_session_key(d, in->session, key, &who, in->crypto);

    if (rc != AIQ_OK) {
        return rc;
    }

    if (!in->ops->session(in->ops->data, key, &who)) {
        return aiq_fail(&d->err, AIQ_D_SESSION_UNKNOWN,
                        "not a session that this principal has opened");
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_session_key(const aiq_decision_t *d, aiq_str_t session, aiq_hash_t key,
    aiq_principal_t *who, aiq_crypto_t *c)
{
    unsigned       i;
    aiq_rc_t       rc;
    uint32_t       len;
    aiq_str_t      parts[4], value[AIQ_PRINCIPAL_PARTS];
    aiq_hash_t     hash;

    /* a token speaks for the API key that it was issued to */

    value[AIQ_PRINCIPAL_ORG] = d->org;
    value[AIQ_PRINCIPAL_KEY] = d->apikey.id.len ? d->apikey.id
                                                : d->token.key;
    value[AIQ_PRINCIPAL_USER] = d->user;
    value[AIQ_PRINCIPAL_AGENT] = d->agent;

    memset(who, 0, sizeof(aiq_principal_t));

    for (i = 0; i < AIQ_PRINCIPAL_PARTS; i++) {

        if (value[i].len == 0) {
            continue;
        }

        rc = aiq_sha256(c, value[i], hash);

        if (rc != AIQ_OK) {
            return rc;
        }

        memcpy(who->part[i], hash, sizeof(who->part[i]));
    }

    len = (uint32_t) d->server.len;

    parts[0] = aiq_cstr("armoriq/session");
    parts[1].data = (unsigned char *) &len;
    parts[1].len = sizeof(len);
    parts[2] = d->server;
    parts[3] = session;

    return aiq_sha256v(c, parts, 4, key);
}


int
aiq_principal_same(const aiq_principal_t *opener, const aiq_principal_t *who)
{
    unsigned  i, same, known;

    static const unsigned char  none[sizeof(who->part[0])];

    same = 0;
    known = 0;

    for (i = 0; i < AIQ_PRINCIPAL_PARTS; i++) {

        if (memcmp(opener->part[i], who->part[i], sizeof(none)) == 0) {
            same |= 1u << i;
        }

        if (memcmp(opener->part[i], none, sizeof(none)) != 0
            && memcmp(who->part[i], none, sizeof(none)) != 0)
        {
            known |= 1u << i;
        }
    }

    /* what both say must not differ */

    if (known & ~same || !(known & 1u << AIQ_PRINCIPAL_ORG)) {
        return 0;
    }

    /* one API key may speak for users that its owner names later */

    if (known & 1u << AIQ_PRINCIPAL_KEY) {
        return 1;
    }

    /* without it, user and agent are all there is */

    return (known & 1u << AIQ_PRINCIPAL_USER)
           && (same & 1u << AIQ_PRINCIPAL_AGENT);
}
