
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The content handler of POST /invoke.  The call was judged, recorded and
 * permitted in the phases before; what is left is to say it to the MCP server
 * in its own words.
 */


#include "ngx_armoriq_bridge.h"
#include "b64.h"


static ngx_int_t ngx_armoriq_invoke_enforced(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx);
static ngx_int_t ngx_armoriq_invoke_compose(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx, ngx_armoriq_bridge_t *b);
static ngx_int_t ngx_armoriq_invoke_name(ngx_http_request_t *r,
    aiq_str_t tool, ngx_str_t *value);
static ngx_int_t ngx_armoriq_invoke_identity(ngx_armoriq_worker_t *w,
    ngx_armoriq_ctx_t *ctx, ngx_armoriq_bridge_t *b);


ngx_int_t
ngx_armoriq_invoke_handler(ngx_http_request_t *r)
{
    ngx_armoriq_ctx_t     *ctx;
    ngx_armoriq_bridge_t  *b;

    ctx = ngx_armoriq_get_ctx(r);

    /*
     * "armoriq off" next to "armoriq_invoke on" is no way round, and an
     * error_page that leads back here would find our own request as the body.
     */

    if (r != r->main || ctx == NULL || !ctx->permit || ctx->bridge) {

        /* the refusal finalizes the request, and so does our caller */

        r->main->count++;

        return ngx_armoriq_refuse(r, ctx, "invoke", "no permit");
    }

    if (ctx->d.invoke.enforce_only) {
        return ngx_armoriq_invoke_enforced(r, ctx);
    }

    b = ngx_pcalloc(r->pool, sizeof(ngx_armoriq_bridge_t));
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->mcp = ngx_armoriq_invoke_server(r, ctx->d.server);

    if (b->mcp == NULL) {
        r->main->count++;

        return ngx_armoriq_deny(r, ctx, AIQ_D_MCP_UNKNOWN);
    }

    if (ngx_armoriq_invoke_compose(r, ctx, b) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->bridge = b;

    /* one reference is for us while we wait; NGX_DONE gives up the other */

    r->main->count++;

    ngx_armoriq_bridge_begin(r, b);

    return NGX_DONE;
}


static ngx_int_t
ngx_armoriq_invoke_enforced(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    ngx_str_t  body;

    ngx_str_set(&body, "{\"allowed\":true,\"enforcementAction\":\"allow\","
                       "\"action\":\"allow\",\"reason\":\"OK\","
                       "\"matchedPolicy\":null}");

    return ngx_armoriq_send_json(r, NGX_HTTP_OK, &body);
}


/* the request only chooses among the locations that are configured */

ngx_armoriq_mcp_t *
ngx_armoriq_invoke_server(ngx_http_request_t *r, aiq_str_t name)
{
    ngx_uint_t               i;
    ngx_armoriq_mcp_t      **mcp;
    ngx_armoriq_srv_conf_t  *ascf;

    ascf = ngx_http_get_module_srv_conf(r, ngx_armoriq_module);
    mcp = ascf->mcps.elts;

    for (i = 0; i < ascf->mcps.nelts; i++) {

        if (aiq_str_eq(ngx_armoriq_str(mcp[i]->name), name)) {
            return mcp[i];
        }
    }

    return NULL;
}


/*
 * The envelope is read again: the tape of the decision was in memory that has
 * served other requests since.  The bytes are those that were judged.
 */

static ngx_int_t
ngx_armoriq_invoke_compose(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    ngx_armoriq_bridge_t *b)
{
    u_char                 *p;
    size_t                  size;
    aiq_out_t               out;
    aiq_mem_t              *mem;
    aiq_str_t               modern;
    aiq_json_t              doc;
    aiq_invoke_t            v;
    ngx_armoriq_worker_t   *w;

    w = ngx_armoriq_get_worker(r);

    if (w == NULL) {
        return NGX_ERROR;
    }

    mem = ngx_armoriq_arena(w);

    if (aiq_json_parse(&doc, ngx_armoriq_str(ctx->body), AIQ_JSON_DEPTH, mem,
                       NULL) != AIQ_OK
        || aiq_invoke_read(&v, &doc, mem, NULL) != AIQ_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_armoriq_invoke_name(r, v.tool, &b->tool) != NGX_OK) {
        return NGX_ERROR;
    }

    /* the arguments as they are, a name, and some fixed text */

    size = 1024 + 6 * v.tool.len
           + (v.args == AIQ_JSON_NONE ? 0 : aiq_json_raw(&doc, v.args).len);

    p = ngx_pnalloc(r->pool, size);

    if (p == NULL) {
        return NGX_ERROR;
    }

    modern.data = b->mcp->protocol.data;
    modern.len = b->mcp->modern ? b->mcp->protocol.len : 0;

    aiq_out_init(&out, p, size);

    /* ids must not repeat within a session, and sessions are the worker's */

    aiq_mcp_write_call(&out, &doc, &v, ctx->d.email, ++w->calls, modern);

    if (out.failed) {
        return NGX_ERROR;
    }

    b->call.data = p;
    b->call.len = aiq_out_done(&out).len;

    ctx->call_id.data = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (ctx->call_id.data == NULL) {
        return NGX_ERROR;
    }

    ctx->call_id.len = ngx_sprintf(ctx->call_id.data, "%uL", w->calls)
                       - ctx->call_id.data;

    return ngx_armoriq_invoke_identity(w, ctx, b);
}


/*
 * The name as a value of Mcp-Name: what is not visible ASCII, or looks as if
 * it were encoded, is encoded (MCP 2026-07-28, basic/transports).
 */

static ngx_int_t
ngx_armoriq_invoke_name(ngx_http_request_t *r, aiq_str_t tool,
    ngx_str_t *value)
{
    size_t     size;
    u_char    *p;
    aiq_out_t  out;

    size = sizeof("=?base64?" "?=") + (tool.len + 2) / 3 * 4;

    p = ngx_pnalloc(r->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    aiq_out_init(&out, p, size);

    if (aiq_mcp_tool_ok(tool)
        && (tool.len < 2 || ngx_strncmp(tool.data, "=?", 2) != 0))
    {
        aiq_out_mem(&out, tool.data, tool.len);

    } else {

        /* "??=" is a trigraph */

        aiq_out_str(&out, "=?base64?");
        aiq_b64_encode(&out, tool.data, tool.len);
        aiq_out_str(&out, "?=");
    }

    aiq_out_char(&out, '\0');

    value->data = p;
    value->len = aiq_out_done(&out).len - 1;

    return out.failed ? NGX_ERROR : NGX_OK;
}


/* sessions are shared by nobody: server, org, key, user and agent */

static ngx_int_t
ngx_armoriq_invoke_identity(ngx_armoriq_worker_t *w, ngx_armoriq_ctx_t *ctx,
    ngx_armoriq_bridge_t *b)
{
    uint32_t     len[5];
    aiq_str_t    parts[10];
    ngx_uint_t   i;

    /* the location, not its name: another server{} may have that one too */

    parts[1].data = (u_char *) &b->mcp;
    parts[1].len = sizeof(ngx_armoriq_mcp_t *);
    parts[3] = ctx->d.org;
    parts[5] = ctx->d.apikey.id;
    parts[7] = ctx->d.user;
    parts[9] = ctx->d.agent;

    for (i = 0; i < 5; i++) {
        len[i] = (uint32_t) parts[2 * i + 1].len;
        parts[2 * i].data = (u_char *) &len[i];
        parts[2 * i].len = sizeof(uint32_t);
    }

    return aiq_sha256v(w->crypto, parts, 10, b->session.key) == AIQ_OK
           ? NGX_OK : NGX_ERROR;
}


/* an error of ours after the permit: the server was not reached */

ngx_int_t
ngx_armoriq_invoke_fail(ngx_http_request_t *r, ngx_uint_t status, char *code,
    char *message)
{
    u_char     *p;
    ngx_str_t   body;

    p = ngx_pnalloc(r->pool, 256);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body.data = p;
    body.len = ngx_snprintf(p, 256, "{\"success\":false,\"message\":\"%s\","
                            "\"error\":\"%s\",\"error_code\":\"%s\"}",
                            message, code, code)
               - p;

    return ngx_armoriq_send_json(r, status, &body);
}
