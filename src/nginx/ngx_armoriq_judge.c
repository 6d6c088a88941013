
/*
 * Copyright (C) ngx_armoriq authors
 *
 * From a request of nginx to aiq_request_t, the decision, and its record.
 * A read transaction of the store is open only inside these functions: never
 * over a return to the event loop.
 */


#include "ngx_armoriq.h"

#include "mcp_call.h"
#include "tzfile.h"


static aiq_rc_t ngx_armoriq_read_body(ngx_armoriq_ctx_t *ctx,
    aiq_request_t *in, aiq_json_t *doc);
static aiq_rc_t ngx_armoriq_invoked(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx, aiq_request_t *in);
static ngx_int_t ngx_armoriq_keep(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx);
static ngx_int_t ngx_armoriq_untold(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx, aiq_request_t *in);
static aiq_str_t ngx_armoriq_policy_name(ngx_armoriq_ctx_t *ctx, u_char *buf,
    size_t size);
static void ngx_armoriq_fault(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    aiq_rc_t rc);


/* NGX_OK, or the reason is in ctx->d and the answer must be a denial */

ngx_int_t
ngx_armoriq_judge(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    aiq_rc_t                 rc;
    aiq_json_t               doc;
    aiq_request_t            in;
    ngx_armoriq_worker_t    *w;
    ngx_armoriq_loc_conf_t  *alcf;

    alcf = ngx_http_get_module_loc_conf(r, ngx_armoriq_module);

    ctx->conf = alcf;
    ctx->permit = 0;

    w = ngx_armoriq_get_worker(r);

    if (w == NULL) {
        ngx_armoriq_fault(r, ctx, AIQ_E_STORE_UNAVAILABLE);
        return NGX_DECLINED;
    }

    ngx_armoriq_fill(r, ctx, w, &in);

    if (ctx->rid[0] == 0) {
        ngx_armoriq_new_rid(w, ctx->rid);
    }

    rc = aiq_store_read(w->store, &in.txn, w->crypto, &ctx->d.err);

    if (rc != AIQ_OK) {
        ngx_armoriq_fault(r, ctx, rc);
        return NGX_DECLINED;
    }

    rc = ngx_armoriq_read_body(ctx, &in, &doc);

    if (rc == AIQ_OK) {
        rc = ngx_armoriq_invoked(r, ctx, &in);
    }

    if (rc == AIQ_OK) {
        aiq_decide(&ctx->d, &in);

    } else if (!aiq_str_is(in.http, "POST")) {
        aiq_decide(&ctx->d, &in);

    } else {

        /*
         * Not JSON: the headers may have said so, or who asks is not known.
         * Those refusals come first, so that a body tells nothing to those
         * who have no key.
         */

        aiq_err_t  err = ctx->d.err;

        if (aiq_decide_headers(&ctx->d, &in) == AIQ_OK) {
            ctx->d.rc = rc;
            ctx->d.err = err;
        }

        ctx->d.server = in.mcp;
        ctx->d.verdict = AIQ_VERDICT_DENY;
    }

    if (ngx_armoriq_keep(r, ctx) != NGX_OK
        || ngx_armoriq_untold(r, ctx, &in) != NGX_OK)
    {
        if (ctx->d.reserved) {
            w->ops.release(w->ops.data, ctx->d.ledger,
                           (uint32_t) ctx->d.step);
        }

        aiq_store_abort(in.txn);
        ngx_armoriq_fault(r, ctx, AIQ_E_NO_MEMORY);
        return NGX_DECLINED;
    }

    aiq_store_abort(in.txn);

    if (aiq_is_fault(ctx->d.rc)) {
        ngx_log_error(NGX_LOG_CRIT, r->connection->log, 0,
                      "armoriq: %s: %s", aiq_reason(ctx->d.rc),
                      ctx->d.err.text);
    }

    return ctx->d.verdict == AIQ_VERDICT_PERMIT ? NGX_OK : NGX_DECLINED;
}


/* before a body is waited for; NGX_OK, or the denial is in ctx->d */

ngx_int_t
ngx_armoriq_judge_headers(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    aiq_rc_t                 rc;
    aiq_request_t            in;
    ngx_armoriq_worker_t    *w;
    ngx_armoriq_loc_conf_t  *alcf;

    alcf = ngx_http_get_module_loc_conf(r, ngx_armoriq_module);

    ctx->conf = alcf;

    w = ngx_armoriq_get_worker(r);

    if (w == NULL) {
        ngx_armoriq_fault(r, ctx, AIQ_E_STORE_UNAVAILABLE);
        return NGX_DECLINED;
    }

    ngx_armoriq_fill(r, ctx, w, &in);
    ngx_armoriq_new_rid(w, ctx->rid);

    rc = aiq_store_read(w->store, &in.txn, w->crypto, &ctx->d.err);

    if (rc != AIQ_OK) {
        ngx_armoriq_fault(r, ctx, rc);
        return NGX_DECLINED;
    }

    rc = aiq_decide_headers(&ctx->d, &in);

    if (rc == AIQ_OK
        && r->headers_in.content_length_n > (off_t) alcf->max_body)
    {
        rc = AIQ_D_BODY_TOO_LARGE;
        ctx->d.rc = rc;
        ctx->d.verdict = AIQ_VERDICT_DENY;
    }

    /* kept also if it is fine so far: the body may yet fail to come */

    if (ngx_armoriq_keep(r, ctx) != NGX_OK) {
        aiq_store_abort(in.txn);
        ngx_armoriq_fault(r, ctx, AIQ_E_NO_MEMORY);
        return NGX_DECLINED;
    }

    aiq_store_abort(in.txn);

    return rc == AIQ_OK ? NGX_OK : NGX_DECLINED;
}


/* after the record has got to disk: has anything changed meanwhile? */

ngx_int_t
ngx_armoriq_judge_again(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    aiq_rc_t               rc;
    uint64_t               revision;
    aiq_request_t          in;
    ngx_armoriq_worker_t  *w;

    w = ngx_armoriq_get_worker(r);

    if (w == NULL) {
        ngx_armoriq_fault(r, ctx, AIQ_E_STORE_UNAVAILABLE);
        return NGX_DECLINED;
    }

    ngx_armoriq_fill(r, ctx, w, &in);

    rc = aiq_store_read(w->store, &in.txn, w->crypto, &ctx->d.err);

    if (rc == AIQ_OK) {
        revision = ctx->d.revision;

        rc = aiq_decide_again(&ctx->d, &in);

        /* what has decided now is in rules that others may replace */

        if (ctx->d.revision != revision && ngx_armoriq_keep(r, ctx) != NGX_OK)
        {
            aiq_str_null(&ctx->d.policy);
            rc = AIQ_E_NO_MEMORY;
        }

        aiq_store_abort(in.txn);
    }

    if (rc == AIQ_OK) {
        return NGX_OK;
    }

    ctx->d.rc = rc;
    ctx->d.verdict = AIQ_VERDICT_DENY;

    return NGX_DECLINED;
}


void
ngx_armoriq_fill(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    ngx_armoriq_worker_t *w, aiq_request_t *in)
{
    ngx_armoriq_loc_conf_t  *alcf;

    alcf = ctx->conf;

    ngx_memzero(in, sizeof(aiq_request_t));

    ngx_armoriq_headers_read(r, in);

    in->invoke = (alcf->invoke != 0);

    if (alcf->mcp) {
        in->mcp = ngx_armoriq_str(alcf->mcp->name);
        in->modern = (alcf->mcp->modern != 0);
    }

    in->org = ngx_armoriq_str(alcf->org);

    if (alcf->origins) {
        in->origins = alcf->origins->elts;
        in->norigins = (unsigned) alcf->origins->nelts;
    }

    if (alcf->methods) {
        in->methods = alcf->methods->elts;
        in->nmethods = (unsigned) alcf->methods->nelts;
    }

    ngx_armoriq_source(r, &in->source);

    in->token.now = ngx_time();
    in->token.skew = NGX_ARMORIQ_SKEW;
    in->token.lifetime = NGX_ARMORIQ_LIFETIME;
    in->token.issuer = AIQ_TOKEN_ISSUER;
    in->token.audience = AIQ_TOKEN_AUDIENCE;

    in->params = (int) alcf->params;
    in->uses = (alcf->step_uses != 0);

    if (alcf->limits) {
        in->limits = alcf->limits->elts;
        in->nlimits = (unsigned) alcf->limits->nelts;
    }

    in->ruleset = ngx_armoriq_ruleset;
    in->ruleset_data = w;
    in->tz = aiq_tzfile_load;
    in->ops = &w->ops;
    in->memo = w->memo;
    in->crypto = w->crypto;
    in->mem = ngx_armoriq_arena(w);
}


void
ngx_armoriq_source(ngx_http_request_t *r, aiq_addr_t *addr)
{
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    /* of the connection, or what realip made of it */

    switch (r->connection->sockaddr->sa_family) {

    case AF_INET:
        sin = (struct sockaddr_in *) r->connection->sockaddr;
        addr->family = 4;
        ngx_memcpy(addr->addr, &sin->sin_addr, 4);
        break;

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) r->connection->sockaddr;
        addr->family = 6;
        ngx_memcpy(addr->addr, &sin6->sin6_addr, 16);
        break;
#endif

    default:
        addr->family = 0;
    }
}


/* in another location, to which a redirect has led with nothing sent so far */

ngx_int_t
ngx_armoriq_judge_moved(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    aiq_rc_t               rc;
    aiq_json_t             doc;
    ngx_list_t             headers;
    aiq_request_t          in;
    aiq_decision_t         before;
    ngx_armoriq_worker_t  *w;

    before = ctx->d;

    ctx->conf = ngx_http_get_module_loc_conf(r, ngx_armoriq_module);
    ctx->permit = 0;

    w = ngx_armoriq_get_worker(r);

    if (w == NULL) {
        ngx_armoriq_fault(r, ctx, AIQ_E_STORE_UNAVAILABLE);
        return NGX_DECLINED;
    }

    /* credentials were taken off the request when it was permitted */

    headers = r->headers_in.headers;
    r->headers_in.headers = ctx->headers;

    ngx_armoriq_fill(r, ctx, w, &in);

    r->headers_in.headers = headers;

    rc = aiq_store_read(w->store, &in.txn, w->crypto, &ctx->d.err);

    if (rc == AIQ_OK) {
        rc = ngx_armoriq_read_body(ctx, &in, &doc);

        if (rc == AIQ_OK) {
            aiq_decide_moved(&ctx->d, &before, &in);
        }

        if (rc == AIQ_OK && ngx_armoriq_keep(r, ctx) != NGX_OK) {
            rc = AIQ_E_NO_MEMORY;
        }

        aiq_store_abort(in.txn);
    }

    if (rc != AIQ_OK) {
        ctx->d = before;
        ctx->d.rc = rc;
        ctx->d.verdict = AIQ_VERDICT_DENY;
    }

    return ctx->d.verdict == AIQ_VERDICT_PERMIT ? NGX_OK : NGX_DECLINED;
}


static aiq_rc_t
ngx_armoriq_read_body(ngx_armoriq_ctx_t *ctx, aiq_request_t *in,
    aiq_json_t *doc)
{
    aiq_rc_t  rc;

    if (!aiq_str_is(in->http, "POST")) {
        return AIQ_OK;
    }

    rc = aiq_json_parse(doc, ngx_armoriq_str(ctx->told.len ? ctx->told
                                                           : ctx->body),
                        AIQ_JSON_DEPTH, in->mem, &ctx->d.err);

    if (rc == AIQ_OK) {
        in->body = doc;
    }

    return rc;
}


/*
 * What holds in the location of the MCP server holds for an envelope that
 * names it as well: its org, its methods, its limits, and whichever of the two
 * is stricter on plans.
 */

static aiq_rc_t
ngx_armoriq_invoked(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    aiq_request_t *in)
{
    size_t                   n;
    aiq_rc_t                 rc;
    aiq_str_t                name;
    aiq_limit_rule_t        *limits;
    ngx_armoriq_mcp_t       *mcp;
    ngx_armoriq_loc_conf_t  *place;

    if (!in->invoke || in->body == NULL) {
        return AIQ_OK;
    }

    rc = aiq_json_string(in->body, aiq_json_get(in->body, 0, "mcp"), in->mem,
                         &name);

    if (rc != AIQ_OK) {
        return aiq_is_fault(rc) ? rc : AIQ_OK;
    }

    mcp = ngx_armoriq_invoke_server(r, name);

    if (mcp == NULL) {
        return AIQ_OK;
    }

    place = mcp->conf;

    in->mcp_org = ngx_armoriq_str(place->org);

    if (place->methods) {
        in->methods = place->methods->elts;
        in->nmethods = (unsigned) place->methods->nelts;
    }

    if (place->params == AIQ_PARAMS_STRICT) {
        in->params = AIQ_PARAMS_STRICT;
    }

    in->uses |= (place->step_uses != 0);

    if (place->limits == NULL || place->limits == ctx->conf->limits) {
        return AIQ_OK;
    }

    n = in->nlimits + place->limits->nelts;

    limits = aiq_mem_alloc(in->mem, n * sizeof(aiq_limit_rule_t));
    if (limits == NULL) {
        return AIQ_E_NO_MEMORY;
    }

    if (in->nlimits) {
        ngx_memcpy(limits, in->limits,
                   in->nlimits * sizeof(aiq_limit_rule_t));
    }

    ngx_memcpy(&limits[in->nlimits], place->limits->elts,
               place->limits->nelts * sizeof(aiq_limit_rule_t));

    in->limits = limits;
    in->nlimits = (unsigned) n;

    return AIQ_OK;
}


/*
 * The strings of the decision live in the arena, in the ruleset or in the
 * body: those that are wanted later are moved to the pool.
 */

static ngx_int_t
ngx_armoriq_keep(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    u_char      *p;
    size_t       len;
    ngx_uint_t   i;

    aiq_str_t  *const kept[] = {
        &ctx->d.server, &ctx->d.tool, &ctx->d.org, &ctx->d.user,
        &ctx->d.agent, &ctx->d.policy, &ctx->d.mcp.id, &ctx->d.mcp.method,
        &ctx->d.mcp.asked,
        &ctx->d.token.jti, &ctx->d.token.kid, &ctx->d.token.key,
        &ctx->d.token.policy, &ctx->d.apikey.id
    };

    len = 0;

    for (i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        len += kept[i]->len;
    }

    if (len == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        len = kept[i]->len;

        if (len) {
            ngx_memcpy(p, kept[i]->data, len);
            kept[i]->data = p;
            p += len;
        }
    }

    return NGX_OK;
}


/* a token in params._meta is for us: what is passed on is without it */

static ngx_int_t
ngx_armoriq_untold(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    aiq_request_t *in)
{
    u_char     *p;
    aiq_rc_t    rc;
    aiq_out_t   out;

    if ((ctx->d.rc != AIQ_OK && !ctx->conf->dry_run)
        || in->invoke || in->body == NULL
        || ctx->d.mcp.meta == AIQ_JSON_NONE
        || aiq_json_get(in->body, ctx->d.mcp.meta, "io.armoriq/intent-token")
           == AIQ_JSON_NONE)
    {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, ctx->body.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    aiq_out_init(&out, p, ctx->body.len);

    rc = aiq_mcp_write_untold(&out, in->body, ctx->d.mcp.meta);

    if (rc != AIQ_OK) {
        return NGX_ERROR;
    }

    ctx->untold.data = p;
    ctx->untold.len = aiq_out_done(&out).len;

    return NGX_OK;
}


static void
ngx_armoriq_fault(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx, aiq_rc_t rc)
{
    ngx_log_error(NGX_LOG_CRIT, r->connection->log, 0, "armoriq: %s: %s",
                  aiq_reason(rc), ctx->d.err.text);

    ctx->d.rc = rc;
    ctx->d.verdict = AIQ_VERDICT_DENY;
    ctx->d.reserved = 0;
    ctx->permit = 0;
}


/* 128 bits: 64 random ones of the worker, and a counter */

void
ngx_armoriq_new_rid(ngx_armoriq_worker_t *w, u_char *rid)
{
    (void) ngx_sprintf(rid, "%016xL%016xL", w->rid[0], ++w->rid[1]);
}


/* "name@revision": which policy has decided, and as of which state */

static aiq_str_t
ngx_armoriq_policy_name(ngx_armoriq_ctx_t *ctx, u_char *buf, size_t size)
{
    aiq_out_t  out;

    if (ctx->d.policy.len == 0) {
        return ctx->d.policy;
    }

    aiq_out_init(&out, buf, size);
    aiq_out_mem(&out, ctx->d.policy.data, ctx->d.policy.len);
    aiq_out_char(&out, '@');
    aiq_out_int(&out, (int64_t) ctx->d.revision);

    return out.failed ? ctx->d.policy : aiq_out_done(&out);
}


/*
 * Composes the INTENT and puts it into the journal.  NGX_OK or NGX_ERROR.
 */

ngx_int_t
ngx_armoriq_record_intent(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    u_char                 buf[AIQ_AUDIT_BODY_MAX / 4];
    u_char                 policy[AIQ_NAME_MAX + 1 + NGX_INT64_LEN];
    aiq_out_t              out;
    ngx_uint_t             flags;
    struct timeval         tv;
    ngx_armoriq_worker_t  *w;
    aiq_audit_intent_t     rec;

    w = ngx_armoriq_get_worker(r);

    if (w == NULL) {
        return NGX_ERROR;
    }

    if (ctx->rid[0] == 0) {
        ngx_armoriq_new_rid(w, ctx->rid);
    }

    ngx_memzero(&rec, sizeof(aiq_audit_intent_t));

    ngx_gettimeofday(&tv);

    rec.ts_us = (int64_t) tv.tv_sec * 1000000 + tv.tv_usec;
    rec.inst = ngx_armoriq_str(w->inst);
    rec.worker = (unsigned) ngx_worker;
    rec.rid.data = ctx->rid;
    rec.rid.len = NGX_ARMORIQ_RID_LEN;
    rec.org = ctx->d.org;
    rec.agent = ctx->d.agent;
    rec.user = ctx->d.user;
    rec.step = ctx->d.step;
    rec.mcp = ctx->d.server;
    rec.http = ngx_armoriq_str(r->method_name);
    rec.method = ctx->d.mcp.method;
    rec.tool = ctx->d.tool;
    rec.policy = ngx_armoriq_policy_name(ctx, policy, sizeof(policy));
    rec.source = ngx_armoriq_str(r->connection->addr_text);

    if (ctx->d.trusted) {
        rec.jti = ctx->d.token.jti;
        rec.kid = ctx->d.token.kid;
        rec.token_id = ctx->d.ledger;
        rec.token_exp = ctx->d.token.exp;
        rec.plan_hash = ctx->d.token.plan_hash;
    }

    rec.salt = &ctx->d.salt;
    rec.crypto = w->crypto;

    if (ctx->d.has_args) {
        rec.args_hash = ctx->d.args_hash.full;
    }

    if (ctx->body.len) {
        rec.req_hash = ctx->body_hash;
    }

    flags = 0;

    if (ctx->d.verdict == AIQ_VERDICT_PERMIT) {
        rec.verdict = aiq_cstr("PERMIT");
        rec.payload = ctx->payload;
        flags = NGX_ARMORIQ_RECORD_WAITED;

    } else {
        rec.verdict = aiq_cstr(ctx->d.verdict == AIQ_VERDICT_HOLD ? "HOLD"
                                                                  : "DENY");
        rec.detail = aiq_cstr(ctx->d.err.text);
        flags = NGX_ARMORIQ_RECORD_DENIED;

        if (ctx->permit) {
            rec.dry_run = 1;
            rec.payload = ctx->payload;
            flags = NGX_ARMORIQ_RECORD_WAITED;
        }
    }

    rec.reason = aiq_cstr(aiq_reason(ctx->d.rc));

    aiq_out_init(&out, buf, sizeof(buf));
    aiq_audit_write_intent(&out, &rec);

    if (out.failed) {
        return NGX_ERROR;
    }

    return ngx_armoriq_journal_append(w, aiq_out_done(&out), flags,
                                      &ctx->record);
}
