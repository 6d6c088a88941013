
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Our own answers.  A refusal is sent and finalized here, so that there is no
 * return code left which error_page, "satisfy any" or auth_request could act
 * upon: "return 403" would be the offer of a second way.
 */


#include "ngx_armoriq.h"


/* the answer is for an SDK, also behind the redirect to the MCP server */

#define ngx_armoriq_is_invoke(ctx)                                            \
    ((ctx)->conf->invoke || (ctx)->bridge != NULL)


static ngx_int_t ngx_armoriq_deny_answer(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx, aiq_rc_t rc);
static ngx_int_t ngx_armoriq_deny_subrequest(ngx_http_request_t *r);
static ngx_int_t ngx_armoriq_deny_prepare(ngx_http_request_t *r);
static ngx_int_t ngx_armoriq_deny_headers(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx, aiq_rc_t rc);
static void ngx_armoriq_deny_write(aiq_out_t *out, ngx_armoriq_ctx_t *ctx,
    aiq_rc_t rc);


/* sends the refusal of this request and finalizes it; NGX_DONE */

ngx_int_t
ngx_armoriq_deny(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx, aiq_rc_t rc)
{
    ngx_int_t   n;
    ngx_uint_t  level;

    ctx->permit = 0;
    ctx->carried = 0;
    ctx->denied = 1;

    /* before the answer is there: the client may come again at once */

    if (!ngx_armoriq_sent(r, ctx)) {
        ngx_armoriq_give_back(r, ctx);
    }

    level = aiq_is_fault(rc) ? NGX_LOG_ERR : NGX_LOG_INFO;

    ngx_log_error(level, r->connection->log, 0, "armoriq: denied, %s, rid:%*s",
                  aiq_reason(rc), (size_t) NGX_ARMORIQ_RID_LEN,
                  ctx->rid[0] ? ctx->rid
                              : (u_char *) "--------------------------------");

    if (ngx_armoriq_deny_prepare(r) != NGX_OK) {
        return NGX_DONE;
    }

    /* the log and the record have the reason, callers may be told less */

    if (ctx->conf->list_filter && !ngx_armoriq_is_invoke(ctx)
        && rc == ctx->d.rc)
    {
        rc = aiq_decide_told(&ctx->d);
    }

    r->headers_out.status = (ngx_uint_t) aiq_http_status(rc);

    n = (r == r->main) ? ngx_armoriq_deny_answer(r, ctx, rc)
                       : ngx_armoriq_deny_subrequest(r);

    /* a filter may have asked for a special response, as image_filter does */

    ngx_http_finalize_request(r, n > NGX_OK ? NGX_ERROR : n);

    return NGX_DONE;
}


static ngx_int_t
ngx_armoriq_deny_answer(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    aiq_rc_t rc)
{
    u_char     *p;
    size_t      size;
    ngx_str_t   body;
    aiq_out_t   out;

    /* an id, and names that may be escaped to six times their length */

    size = 1024 + ctx->d.mcp.id.len
           + 6 * (ctx->d.server.len + ctx->d.tool.len + ctx->d.policy.len
                  + ctx->d.mcp.asked.len);

    p = ngx_pnalloc(r->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    aiq_out_init(&out, p, size);
    ngx_armoriq_deny_write(&out, ctx, rc);

    body.data = p;
    body.len = out.failed ? 0 : aiq_out_done(&out).len;

    if (ngx_armoriq_deny_headers(r, ctx, rc) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_armoriq_send_body(r, &body);
}


/* JSON would be a foreign body within the output of a parent */

static ngx_int_t
ngx_armoriq_deny_subrequest(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_send_special(r, NGX_HTTP_LAST);
}


/* one of the other walls: something went round the decision */

ngx_int_t
ngx_armoriq_refuse(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx, char *wall,
    char *why)
{
    ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                  "armoriq: %s refused \"%V\": %s", wall, &r->uri, why);

    if (ctx == NULL) {
        ctx = ngx_armoriq_create_ctx(r);

        if (ctx == NULL) {
            ngx_http_finalize_request(r, NGX_ERROR);
            return NGX_DONE;
        }

        ctx->conf = ngx_http_get_module_loc_conf(r, ngx_armoriq_module);
        ctx->state = ngx_armoriq_judged;
    }

    if (ctx->rid[0] == 0 || !ctx->recorded) {

        /* nobody has judged this request: the refusal is its only record */

        ctx->permit = 0;
        ctx->d.rc = AIQ_D_ENFORCEMENT_BYPASS;
        ctx->d.verdict = AIQ_VERDICT_DENY;

        (void) aiq_fail(&ctx->d.err, AIQ_D_ENFORCEMENT_BYPASS, "%s: %s", wall,
                        why);

        (void) ngx_armoriq_record_intent(r, ctx);
    }

    return ngx_armoriq_deny(r, ctx, AIQ_D_ENFORCEMENT_BYPASS);
}


static ngx_int_t
ngx_armoriq_deny_prepare(ngx_http_request_t *r)
{
    if (r->header_sent && !r->post_action) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return NGX_DECLINED;
    }

    /* no "100 Continue" for a body that nobody will read */

    r->expect_tested = 1;

    /* a broken rest of the body ends the connection, not our answer */

    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }

    /* left by whatever was there before a redirect, X-Accel-Redirect say */

    ngx_http_clean_header(r);

    /* error_page 404 =200 /here; would answer our refusal with 200 */

    r->err_status = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_armoriq_deny_headers(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    aiq_rc_t rc)
{
    u_char     *p;
    uint64_t    retry;
    ngx_uint_t  status, only;

    status = (ngx_uint_t) aiq_http_status(rc);

    if (ngx_armoriq_is_invoke(ctx)) {

        /* all that SDK 0.2.6 shows of an error is the reason phrase */

        r->headers_out.status_line.data = ngx_pnalloc(r->pool, 64);
        if (r->headers_out.status_line.data == NULL) {
            return NGX_ERROR;
        }

        r->headers_out.status_line.len =
            ngx_snprintf(r->headers_out.status_line.data, 64, "%ui %s",
                         status, aiq_reason(rc))
            - r->headers_out.status_line.data;
    }

    if (ngx_armoriq_add_header(r, "Cache-Control", (u_char *) "no-store", 8)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (status == NGX_HTTP_UNAUTHORIZED) {
        return ngx_armoriq_challenge(r, ctx->conf, rc);
    }

    if (status == NGX_HTTP_TOO_MANY_REQUESTS
        || status == NGX_HTTP_SERVICE_UNAVAILABLE)
    {
        p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
        if (p == NULL) {
            return NGX_ERROR;
        }

        retry = (ctx->d.retry_ms + 999) / 1000;

        return ngx_armoriq_add_header(r, "Retry-After", p,
                                       ngx_sprintf(p, "%uL",
                                                   retry ? retry : 1)
                                       - p);
    }

    if (status == NGX_HTTP_NOT_ALLOWED) {
        only = ctx->conf->invoke || (ctx->conf->mcp && ctx->conf->mcp->modern);

        return ngx_armoriq_add_header(r, "Allow",
                                      only ? (u_char *) "POST"
                                           : (u_char *) "POST, GET, DELETE",
                                      only ? 4 : 17);
    }

    return NGX_OK;
}


ngx_int_t
ngx_armoriq_add_header(ngx_http_request_t *r, char *name, u_char *value,
    size_t len)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value.data = value;
    h->value.len = len;

    return NGX_OK;
}


static void
ngx_armoriq_deny_write(aiq_out_t *out, ngx_armoriq_ctx_t *ctx, aiq_rc_t rc)
{
    aiq_str_t  rid, reason;

    if (!ngx_armoriq_is_invoke(ctx)) {
        ngx_armoriq_write_rpc(out, ctx, ctx->d.mcp.id, rc);
        return;
    }

    reason = aiq_cstr(aiq_reason(rc));
    rid.data = ctx->rid;
    rid.len = ctx->rid[0] ? NGX_ARMORIQ_RID_LEN : 0;

    aiq_out_str(out, "{\"success\":false,\"message\":");
    aiq_out_json(out, aiq_cstr(aiq_message(rc)));
    aiq_out_str(out, ",\"error\":");
    aiq_out_json(out, reason);
    aiq_out_str(out, ",\"error_code\":");
    aiq_out_json(out, reason);

    /* for the SDKs this member means "a policy", which 401 and 409 are not */

    if (aiq_http_status(rc) == NGX_HTTP_FORBIDDEN) {
        aiq_out_str(out, ",\"enforcement\":{\"action\":");
        aiq_out_str(out, rc == AIQ_D_POLICY_HOLD ? "\"hold\"" : "\"block\"");
        aiq_out_str(out, ",\"reason\":");
        aiq_out_json(out, reason);
        aiq_out_str(out, ",\"requiresApproval\":");
        aiq_out_str(out, rc == AIQ_D_POLICY_HOLD ? "true" : "false");
        aiq_out_str(out, ",\"metadata\":{},\"matched_policy\":");

        if (ctx->d.policy.len) {
            aiq_out_str(out, "{\"name\":");
            aiq_out_json(out, ctx->d.policy);
            aiq_out_char(out, '}');

        } else {
            aiq_out_str(out, "null");
        }

        aiq_out_char(out, '}');
    }

    if (ctx->d.retry_ms) {
        aiq_out_str(out, ",\"retry_after\":");
        aiq_out_int(out, (int64_t) (ctx->d.retry_ms + 999) / 1000);
    }

    aiq_out_str(out, ",\"mcp\":");
    aiq_out_json(out, ctx->d.server);
    aiq_out_str(out, ",\"action\":");
    aiq_out_json(out, ctx->d.tool);
    aiq_out_str(out, ",\"request_id\":");
    aiq_out_json(out, rid);
    aiq_out_char(out, '}');
}


void
ngx_armoriq_write_rpc(aiq_out_t *out, ngx_armoriq_ctx_t *ctx, aiq_str_t id,
    aiq_rc_t rc)
{
    aiq_str_t  rid;

    rid.data = ctx->rid;
    rid.len = ctx->rid[0] ? NGX_ARMORIQ_RID_LEN : 0;

    aiq_out_str(out, "{\"jsonrpc\":\"2.0\"");

    /* echoed as it was written; one that could not be read is left out */

    if (id.len) {
        aiq_out_str(out, ",\"id\":");
        aiq_out_mem(out, id.data, id.len);
    }

    aiq_out_str(out, ",\"error\":{\"code\":");
    aiq_out_int(out, aiq_rpc_code(rc));
    aiq_out_str(out, ",\"message\":");
    aiq_out_json(out, aiq_cstr(aiq_message(rc)));
    aiq_out_str(out, ",\"data\":{\"reason\":");
    aiq_out_json(out, aiq_cstr(aiq_reason(rc)));

    if (ctx->d.retry_ms) {
        aiq_out_str(out, ",\"retryAfterSeconds\":");
        aiq_out_int(out, (int64_t) (ctx->d.retry_ms + 999) / 1000);
    }

    if (rc == AIQ_D_PROTOCOL_VERSION && ctx->d.mcp.asked.len) {
        aiq_out_str(out, ",\"supported\":[");
        aiq_mcp_write_revisions(out, ctx->d.mcp.modern);
        aiq_out_str(out, "],\"requested\":");
        aiq_out_json(out, ctx->d.mcp.asked);
    }

    aiq_out_str(out, ",\"requestId\":");
    aiq_out_json(out, rid);
    aiq_out_str(out, "}}}");
}


/* a JSON text, with the status that was set */

ngx_int_t
ngx_armoriq_send_body(ngx_http_request_t *r, ngx_str_t *body)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.content_length_n = (off_t) body->len;

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b->pos = body->data;
    b->last = body->data + body->len;
    b->memory = body->len ? 1 : 0;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


/* an answer of a content handler, which returns what this returns */

ngx_int_t
ngx_armoriq_send_json(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *body)
{
    r->headers_out.status = status;

    if (ngx_armoriq_add_header(r, "Cache-Control", (u_char *) "no-store", 8)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_armoriq_send_body(r, body);
}
