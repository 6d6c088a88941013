
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The whole decision.  aiq_decide() reads top to bottom, a step a line; each
 * step may only deny, never widen what a step before it has narrowed.
 */


#include <string.h>

#include "decide_internal.h"


static void aiq_decide_init(aiq_decision_t *d);
static aiq_rc_t aiq_decide_run(aiq_decision_t *d, const aiq_request_t *in);
static aiq_rc_t aiq_decide_transport(aiq_decision_t *d,
    const aiq_request_t *in);
static int aiq_decide_origin(const aiq_request_t *in);
static aiq_rc_t aiq_decide_media(const aiq_request_t *in, aiq_err_t *err);
static int aiq_decide_blank(aiq_str_t s, size_t i);
static aiq_rc_t aiq_decide_bodyless(aiq_decision_t *d,
    const aiq_request_t *in);
static aiq_rc_t aiq_decide_content(aiq_decision_t *d,
    const aiq_request_t *in);
static aiq_rc_t aiq_decide_invoked(aiq_decision_t *d,
    const aiq_request_t *in);
static int aiq_decide_prefix(aiq_str_t s, const char *prefix);
static void aiq_decide_salt(aiq_decision_t *d, const aiq_request_t *in);
static aiq_rc_t aiq_decide_again_token(aiq_decision_t *d,
    const aiq_request_t *in);


void
aiq_decide(aiq_decision_t *d, const aiq_request_t *in)
{
    aiq_decide_init(d);

    d->rc = aiq_decide_run(d, in);

    aiq_decide_salt(d, in);

    if (d->rc == AIQ_OK) {
        d->verdict = AIQ_VERDICT_PERMIT;
        return;
    }

    /* AIQ_DECLINED that no step has turned into a reason is a fault */

    if (d->rc == AIQ_DECLINED) {
        d->rc = AIQ_E_INTERNAL;
    }

    d->verdict = (d->rc == AIQ_D_POLICY_HOLD) ? AIQ_VERDICT_HOLD
                                              : AIQ_VERDICT_DENY;

    if (d->reserved) {
        in->ops->release(in->ops->data, d->ledger, (uint32_t) d->step);
        d->reserved = 0;
    }
}


static aiq_rc_t
aiq_decide_run(aiq_decision_t *d, const aiq_request_t *in)
{
    aiq_rc_t  rc;

    if ((rc = aiq_decide_framing(d, in)) != AIQ_OK) {
        return rc;
    }

    if ((rc = aiq_decide_identity(d, in)) != AIQ_OK) {
        return rc;
    }

    if ((rc = aiq_decide_token(d, in)) != AIQ_OK) {
        return rc;
    }

    if ((rc = aiq_decide_tenant(d, in)) != AIQ_OK) {
        return rc;
    }

    if ((rc = aiq_decide_intent(d, in)) != AIQ_OK) {
        return rc;
    }

    if ((rc = aiq_decide_policy(d, in)) != AIQ_OK) {
        return rc;
    }

    /* one client request counts once */

    return in->before ? AIQ_OK : aiq_decide_limits(d, in);
}


void
aiq_decide_moved(aiq_decision_t *d, const aiq_decision_t *before,
    const aiq_request_t *in)
{
    aiq_request_t  moved;

    moved = *in;
    moved.before = before;

    aiq_decide_init(d);

    d->rc = aiq_str_eq(in->mcp, before->server)
            ? aiq_decide_run(d, &moved)
            : aiq_fail(&d->err, AIQ_D_ENFORCEMENT_BYPASS,
                       "a redirect to another MCP server");

    if (d->rc == AIQ_OK
        && (!aiq_str_eq(d->tool, before->tool) || d->step != before->step))
    {
        d->rc = aiq_fail(&d->err, AIQ_D_ENFORCEMENT_BYPASS,
                         "a redirect has made another call of it");
    }

    d->verdict = (d->rc == AIQ_OK) ? AIQ_VERDICT_PERMIT : AIQ_VERDICT_DENY;

    aiq_decide_salt(d, &moved);

    /* given back by whoever finds that nothing was sent */

    d->reserved |= before->reserved;
    d->step = before->reserved ? before->step : d->step;
    d->max_uses = before->reserved ? before->max_uses : d->max_uses;
    memcpy(d->ledger, before->ledger, AIQ_HASH_LEN);
}


aiq_rc_t
aiq_decide_headers(aiq_decision_t *d, const aiq_request_t *in)
{
    aiq_rc_t  rc;

    aiq_decide_init(d);

    rc = aiq_decide_transport(d, in);

    if (rc == AIQ_OK) {
        rc = aiq_decide_identity(d, in);
    }

    /* a token in the body, or that none is needed, is not known yet */

    if (rc == AIQ_OK && !in->invoke
        && (in->x_intent.data != NULL || d->apikey.id.len == 0))
    {
        rc = aiq_decide_token(d, in);
    }

    if (rc == AIQ_OK) {
        rc = aiq_decide_tenant(d, in);
    }

    d->rc = rc;
    d->verdict = (rc == AIQ_OK) ? AIQ_VERDICT_NONE : AIQ_VERDICT_DENY;

    aiq_decide_salt(d, in);

    return rc;
}


/*
 * What a record is salted with, if no step has asked for the rules of the org:
 * it was refused before.  It is no part of the decision: where there is none,
 * or the rules cannot be read, hashes are left out.
 */

static void
aiq_decide_salt(aiq_decision_t *d, const aiq_request_t *in)
{
    aiq_err_t             err;
    const aiq_ruleset_t  *rules;

    if (d->salt.epoch == 0 && d->org.len
        && in->ruleset(in->ruleset_data, in->txn, d->org, &rules, &err)
           == AIQ_OK)
    {
        d->salt = rules->salt;
    }
}


static void
aiq_decide_init(aiq_decision_t *d)
{
    memset(d, 0, sizeof(aiq_decision_t));

    d->step = -1;
    d->args = AIQ_JSON_NONE;
    d->mcp.args = AIQ_JSON_NONE;
    d->mcp.meta = AIQ_JSON_NONE;
    d->invoke.plan = AIQ_JSON_NONE;
    d->invoke.token = AIQ_JSON_NONE;
    d->verdict = AIQ_VERDICT_DENY;
    d->rc = AIQ_E_INTERNAL;
}


/* what kind of request this is, and whether all readers would agree on it */

aiq_rc_t
aiq_decide_framing(aiq_decision_t *d, const aiq_request_t *in)
{
    aiq_rc_t  rc;

    d->server = in->mcp;

    rc = aiq_decide_transport(d, in);

    if (rc != AIQ_OK) {

        /* the id is wanted for the answer even so */

        if (in->body != NULL && !in->invoke) {
            aiq_mcp_t  m;

            (void) aiq_mcp_read(&m, in->body, &in->mirror, in->mem, NULL);
            d->mcp.id = m.id;
        }

        return rc;
    }

    if (!aiq_str_is(in->http, "POST")) {
        return aiq_decide_bodyless(d, in);
    }

    if (in->body == NULL) {
        return aiq_fail(&d->err, AIQ_D_BODY_INCOMPLETE, "there is no body");
    }

    return aiq_decide_content(d, in);
}


static aiq_rc_t
aiq_decide_transport(aiq_decision_t *d, const aiq_request_t *in)
{
    if (in->duplicate) {
        return aiq_fail(&d->err, AIQ_D_HEADER_DUPLICATE,
                        "a header that decides was sent more than once");
    }

    /* 403 for a page that may not ask, also where 405 would be true */

    if (in->origin.data != NULL && !aiq_decide_origin(in)) {
        return aiq_fail(&d->err, AIQ_D_ORIGIN_NOT_ALLOWED, "Origin: %.*s",
                        (int) (in->origin.len > 128 ? 128 : in->origin.len),
                        (const char *) in->origin.data);
    }

    if (!aiq_str_is(in->http, "POST")
        && (in->invoke || in->modern
            || (!aiq_str_is(in->http, "GET")
                && !aiq_str_is(in->http, "DELETE"))))
    {
        return aiq_fail(&d->err, AIQ_D_METHOD_NOT_ALLOWED,
                        "HTTP method \"%.*s\"",
                        (int) (in->http.len > 32 ? 32 : in->http.len),
                        in->http.data ? (const char *) in->http.data : "");
    }

    if (in->version != 1000 && in->version != 1001 && in->version != 2000
        && in->version != 3000)
    {
        /* nginx passes on what calls itself HTTP/1.2 */

        return aiq_fail(&d->err, AIQ_D_PROTOCOL_VERSION,
                        "HTTP version %u.%u", in->version / 1000,
                        in->version % 1000);
    }

    if (in->nrepeated > AIQ_MCP_PARAMS_MAX) {
        return aiq_fail(&d->err, AIQ_D_HEADER_MISMATCH,
                        "more than %d Mcp-Param headers", AIQ_MCP_PARAMS_MAX);
    }

    if (in->early) {
        return aiq_fail(&d->err, AIQ_D_EARLY_DATA,
                        "early data can be replayed (RFC 8470)");
    }

    if (in->query_token) {
        return aiq_fail(&d->err, AIQ_D_TOKEN_AMBIGUOUS,
                        "credentials in the query string are not accepted");
    }

    if (in->upgrade.data != NULL) {
        return aiq_fail(&d->err, AIQ_D_UPGRADE_NOT_ALLOWED,
                        "the request has an Upgrade header");
    }

    if (in->content_encoding.data != NULL) {
        return aiq_fail(&d->err, AIQ_D_CONTENT_ENCODING,
                        "the request has a Content-Encoding header");
    }

    if (!aiq_str_is(in->http, "POST")) {
        return AIQ_OK;
    }

    return aiq_decide_media(in, &d->err);
}


/* none is allowed that is not listed: DNS rebinding makes Host worthless */

static int
aiq_decide_origin(const aiq_request_t *in)
{
    unsigned  i;

    for (i = 0; i < in->norigins; i++) {
        if (aiq_str_eq(in->origin, in->origins[i])) {
            return 1;
        }
    }

    return 0;
}


/*
 * "application/json", any case, with no parameter or charset=utf-8; blanks at
 * the ends and around ';' alone (RFC 9110 5.6.6)
 */

static aiq_rc_t
aiq_decide_media(const aiq_request_t *in, aiq_err_t *err)
{
    size_t      i, n;
    char        buf[64];
    aiq_str_t   s;

    static const char *const  accepted[] = {
        "application/json",
        "application/json;charset=utf-8",
        "application/json;charset=\"utf-8\""
    };

    s = in->content_type;

    for (i = 0, n = 0; i < s.len; i++) {

        if (aiq_decide_blank(s, i)) {

            if (n == 0 || buf[n - 1] == ';') {
                continue;
            }

            while (i + 1 < s.len && aiq_decide_blank(s, i + 1)) {
                i++;
            }

            if (i + 1 == s.len || s.data[i + 1] == ';') {
                continue;
            }
        }

        if (n == sizeof(buf) - 1) {
            n = 0;
            break;
        }

        buf[n++] = (char) (s.data[i] >= 'A' && s.data[i] <= 'Z'
                           ? s.data[i] | 0x20 : s.data[i]);
    }

    buf[n] = '\0';

    for (i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++) {

        if (n == strlen(accepted[i]) && memcmp(buf, accepted[i], n) == 0) {
            return AIQ_OK;
        }
    }

    return aiq_fail(err, AIQ_D_CONTENT_TYPE, s.data == NULL
                    ? "there is no Content-Type"
                    : "the Content-Type is not application/json");
}


static int
aiq_decide_blank(aiq_str_t s, size_t i)
{
    return s.data[i] == ' ' || s.data[i] == '\t';
}


/* GET opens a stream of the server, DELETE ends a session */

static aiq_rc_t
aiq_decide_bodyless(aiq_decision_t *d, const aiq_request_t *in)
{
    if (in->has_body) {
        return aiq_fail(&d->err, AIQ_D_BODY_UNEXPECTED,
                        "a body with HTTP method GET or DELETE");
    }

    d->mcp.cls = aiq_str_is(in->http, "GET") ? AIQ_MCP_STREAM
                                             : AIQ_MCP_TERMINATE;
    d->mcp.need = AIQ_NEED_IDENTITY;
    d->mcp.params = AIQ_JSON_NONE;
    d->mcp.args = AIQ_JSON_NONE;
    d->mcp.meta = AIQ_JSON_NONE;

    return AIQ_OK;
}


static aiq_rc_t
aiq_decide_content(aiq_decision_t *d, const aiq_request_t *in)
{
    aiq_rc_t  rc;

    if (in->invoke) {
        rc = aiq_invoke_read(&d->invoke, in->body, in->mem, &d->err);

        d->server = d->invoke.mcp;
        d->tool = d->invoke.tool;
        d->args = d->invoke.args;

        return rc == AIQ_OK ? aiq_decide_invoked(d, in) : rc;
    }

    rc = aiq_mcp_read(&d->mcp, in->body, &in->mirror, in->mem, &d->err);

    d->tool = d->mcp.tool;
    d->args = d->mcp.args;

    if (rc == AIQ_OK && d->mcp.cls == AIQ_MCP_CALL) {
        rc = aiq_mcp_mirror_params(in->body, d->args, in->repeated,
                                   in->nrepeated, &d->err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_mcp_need(&d->mcp, in->methods, in->nmethods, &d->err);
    }

    /* another method that needs an intent is planned by its name */

    if (rc == AIQ_OK && d->mcp.need == AIQ_NEED_INTENT
        && d->mcp.cls != AIQ_MCP_CALL)
    {
        d->tool = d->mcp.method;
        d->args = d->mcp.params;
    }

    return rc;
}


/* an envelope becomes tools/call, which may be off where its server is */

static aiq_rc_t
aiq_decide_invoked(aiq_decision_t *d, const aiq_request_t *in)
{
    aiq_mcp_t  call;

    memset(&call, 0, sizeof(aiq_mcp_t));

    call.cls = AIQ_MCP_CALL;
    call.need = AIQ_NEED_INTENT;
    call.method = aiq_cstr("tools/call");
    call.tool = d->tool;

    return aiq_mcp_need(&call, in->methods, in->nmethods, &d->err);
}


/* the API key, if there is one; who needs what is the token's step */

aiq_rc_t
aiq_decide_identity(aiq_decision_t *d, const aiq_request_t *in)
{
    aiq_rc_t   rc;
    aiq_str_t  key;

    rc = aiq_presented_key(in->authorization, in->x_api_key, &key);

    if (rc == AIQ_DECLINED) {

        if (in->invoke) {
            return aiq_fail(&d->err, AIQ_D_IDENTITY_MISSING,
                            "no API key in X-API-Key or Authorization");
        }

        return AIQ_OK;
    }

    if (rc != AIQ_OK) {
        return aiq_fail(&d->err, rc, "two different API keys");
    }

    rc = aiq_apikey_find(in->txn, key, in->token.now, &d->apikey, in->crypto,
                         in->mem);

    if (rc != AIQ_OK) {
        memset(&d->apikey, 0, sizeof(aiq_apikey_t));
        return aiq_fail(&d->err, rc, "the API key is unknown, expired or "
                        "removed");
    }

    d->org = d->apikey.org;
    d->user = d->apikey.user;
    d->agent = d->apikey.agent;

    return aiq_owner_active(in->txn, d->org, d->user, d->agent, in->mem,
                            &d->err);
}


aiq_rc_t
aiq_presented_key(aiq_str_t authorization, aiq_str_t x_api_key,
    aiq_str_t *key)
{
    aiq_str_t  bearer;

    aiq_str_null(key);

    if (x_api_key.data != NULL) {
        *key = x_api_key;
    }

    if (aiq_bearer(authorization, &bearer) == AIQ_OK
        && aiq_decide_prefix(bearer, "ak_"))
    {
        if (key->data != NULL && !aiq_str_eq(*key, bearer)) {
            return AIQ_D_IDENTITY_AMBIGUOUS;
        }

        *key = bearer;
    }

    return key->data != NULL ? AIQ_OK : AIQ_DECLINED;
}


aiq_rc_t
aiq_bearer(aiq_str_t authorization, aiq_str_t *credential)
{
    size_t  i;

    static const char  scheme[] = "bearer ";

    aiq_str_null(credential);

    if (authorization.len < sizeof(scheme)) {
        return AIQ_DECLINED;
    }

    for (i = 0; i < sizeof(scheme) - 1; i++) {

        /* folding ' ' as well is harmless: nothing else becomes ' ' */

        if ((authorization.data[i] | 0x20) != (unsigned char) scheme[i]) {
            return AIQ_DECLINED;
        }
    }

    if (authorization.data[sizeof(scheme) - 2] != ' ') {
        return AIQ_DECLINED;
    }

    while (i < authorization.len && authorization.data[i] == ' ') {
        i++;
    }

    credential->data = authorization.data + i;
    credential->len = authorization.len - i;

    return credential->len ? AIQ_OK : AIQ_DECLINED;
}


static int
aiq_decide_prefix(aiq_str_t s, const char *prefix)
{
    size_t  len;

    len = strlen(prefix);

    return s.len >= len && memcmp(s.data, prefix, len) == 0;
}


aiq_rc_t
aiq_decide_again(aiq_decision_t *d, const aiq_request_t *in)
{
    uint64_t  revision;
    aiq_rc_t  rc;

    /* what these pointed to may be somebody else's by now */

    d->memo = NULL;
    d->issuer = NULL;
    aiq_str_null(&d->jws);

    if (d->reserved
        && in->ops->used(in->ops->data, d->ledger, (uint32_t) d->step)
           > d->max_uses)
    {
        return aiq_fail(&d->err, AIQ_D_STEP_USED,
                        "another nginx has let the step be used");
    }

    rc = aiq_store_revision(in->txn, &revision);

    if (rc != AIQ_OK) {
        return aiq_fail(&d->err, rc, "the revision cannot be read");
    }

    if (revision == d->revision) {
        return AIQ_OK;
    }

    if ((rc = aiq_decide_again_key(d, in)) != AIQ_OK
        || (rc = aiq_owner_active(in->txn, d->org, d->user, d->agent, in->mem,
                                  &d->err)) != AIQ_OK
        || (rc = aiq_decide_again_token(d, in)) != AIQ_OK)
    {
        return rc;
    }

    return aiq_decide_policy(d, in);
}


aiq_rc_t
aiq_decide_again_key(aiq_decision_t *d, const aiq_request_t *in)
{
    aiq_str_t  id;

    id = d->apikey.id.len ? d->apikey.id : d->token.key;

    return id.len ? aiq_decide_key(d, in, id) : AIQ_OK;
}


aiq_rc_t
aiq_decide_key(aiq_decision_t *d, const aiq_request_t *in, aiq_str_t id)
{
    aiq_rc_t      rc;
    aiq_apikey_t  key;

    rc = aiq_apikey_get(in->txn, d->org, id, &key, in->mem);

    if (aiq_is_fault(rc)) {
        return aiq_fail(&d->err, rc, "the API key cannot be read");
    }

    if (rc != AIQ_OK || !key.active
        || (key.expires != 0 && in->token.now >= key.expires))
    {
        return aiq_fail(&d->err, AIQ_D_KEY_INVALID,
                        "the API key has expired or was removed");
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_decide_again_token(aiq_decision_t *d, const aiq_request_t *in)
{
    aiq_rc_t              rc;
    const aiq_ruleset_t  *rules;

    if (d->token.jti.len == 0) {
        return AIQ_OK;
    }

    rc = aiq_token_revoked(in->txn, d->org, d->token.jti);

    if (rc != AIQ_OK) {
        return aiq_fail(&d->err, rc, "revoked while the call waited");
    }

    rc = aiq_decide_ruleset(d, in, &rules);

    if (rc != AIQ_OK) {
        return rc;
    }

    if (aiq_ruleset_issuer(rules, &d->token) == NULL) {
        return aiq_fail(&d->err, AIQ_D_TOKEN_KEY,
                        "the issuer ended while the call waited");
    }

    return AIQ_OK;
}
