
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Answers that nginx makes itself: 413 before a body is read, 401 of
 * auth_basic, 502 of an upstream that is gone.  In a protected location they
 * are JSON, as ours are, under the status and with the headers that nginx has
 * chosen.  What an upstream, error_page or "return" with a text has to say is
 * left alone.
 */


#include <nginx.h>

#include "ngx_armoriq_response.h"


/* nginx's page but for its title, which is there twice, and its signature */

#define NGX_ARMORIQ_PAGE                                                      \
    "<html>" CRLF "<head><title>" "</title></head>" CRLF "<body>" CRLF        \
    "<center><h1>" "</h1></center>" CRLF                                      \
    "<hr><center>" "</center>" CRLF "</body>" CRLF "</html>" CRLF

#define NGX_ARMORIQ_PADDING                                                   \
    "<!-- a padding to disable MSIE and Chrome friendly error page -->" CRLF


static ngx_uint_t ngx_armoriq_error_special(ngx_http_request_t *r);
static ngx_uint_t ngx_armoriq_error_page(ngx_http_request_t *r);
static ngx_str_t *ngx_armoriq_error_title(ngx_uint_t status);
static ngx_int_t ngx_armoriq_error_text(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx, ngx_uint_t invoke);
static void ngx_armoriq_error_write_rpc(aiq_out_t *out,
    ngx_armoriq_ctx_t *ctx, ngx_uint_t status);
static void ngx_armoriq_error_write_sdk(aiq_out_t *out,
    ngx_armoriq_ctx_t *ctx, ngx_uint_t status);
static void ngx_armoriq_error_write_reason(aiq_out_t *out,
    ngx_uint_t status);


/* as nginx calls them in its pages, with the status in front */

static ngx_str_t  ngx_armoriq_error_titles[] = {
    ngx_string("400 Bad Request"),
    ngx_string("401 Authorization Required"),
    ngx_string("402 Payment Required"),
    ngx_string("403 Forbidden"),
    ngx_string("404 Not Found"),
    ngx_string("405 Not Allowed"),
    ngx_string("406 Not Acceptable"),
    ngx_string("407 Proxy Authentication Required"),
    ngx_string("408 Request Time-out"),
    ngx_string("409 Conflict"),
    ngx_string("410 Gone"),
    ngx_string("411 Length Required"),
    ngx_string("412 Precondition Failed"),
    ngx_string("413 Request Entity Too Large"),
    ngx_string("414 Request-URI Too Large"),
    ngx_string("415 Unsupported Media Type"),
    ngx_string("416 Requested Range Not Satisfiable"),
    ngx_string("421 Misdirected Request"),
    ngx_string("429 Too Many Requests"),
    ngx_string("500 Internal Server Error"),
    ngx_string("501 Not Implemented"),
    ngx_string("502 Bad Gateway"),
    ngx_string("503 Service Temporarily Unavailable"),
    ngx_string("504 Gateway Time-out"),
    ngx_string("505 HTTP Version Not Supported"),
    ngx_string("507 Insufficient Storage"),
    ngx_null_string
};


ngx_int_t
ngx_armoriq_error_header(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    ngx_armoriq_loc_conf_t  *alcf;

    if (!ngx_armoriq_error_special(r)) {

        if (ctx) {
            ctx->shaped = 0;
        }

        return NGX_DECLINED;
    }

    alcf = ngx_http_get_module_loc_conf(r, ngx_armoriq_module);

    if (ctx == NULL) {

        /*
         * Refused before we were asked.  This holds the text and no more:
         * nothing was judged, no permit is given, no outcome is due.
         */

        ctx = ngx_armoriq_create_ctx(r);
        if (ctx == NULL) {
            return NGX_ERROR;
        }

        ctx->conf = alcf;
        ctx->settled = 1;
    }

    if (ngx_armoriq_error_text(r, ctx, alcf->invoke || ctx->bridge)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* of the answer that nginx has given up, if there was one */

    ctx->list = NULL;
    ctx->shaped = 1;

    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    ngx_str_null(&r->headers_out.charset);
    r->headers_out.content_length_n = (off_t) ctx->error.len;

    return ngx_armoriq_add_header(r, "Cache-Control", (u_char *) "no-store",
                                  8);
}


/*
 * Only ngx_http_special_response_handler() sets r->err_status, but an answer
 * of something else may find it set: error_page leaves it behind.
 */

static ngx_uint_t
ngx_armoriq_error_special(ngx_http_request_t *r)
{
    ngx_str_t  *type;

    if (r->err_status < NGX_HTTP_BAD_REQUEST
        || r->headers_out.status != r->err_status)
    {
        return 0;
    }

    /*
     * The answer of an upstream, which is given up before nginx answers in
     * its place; unless a filter behind us refuses to go on with it.
     */

    if (r->upstream && r->upstream->cleanup && !r->filter_finalize) {
        return 0;
    }

    type = &r->headers_out.content_type;

    if (type->len == 0) {

        /* a status without a page */

        return r->headers_out.content_length_n == 0;
    }

    if (type->len != 9 || ngx_strncmp(type->data, "text/html", 9) != 0
        || r->headers_out.last_modified_time != -1
        || r->headers_out.etag)
    {
        return 0;
    }

    /* where no redirect has led, nobody has left a status behind */

    return !r->internal || ngx_armoriq_error_page(r);
}


/* has the answer the length of nginx's own page? */

static ngx_uint_t
ngx_armoriq_error_page(ngx_http_request_t *r)
{
    char                      *name;
    off_t                      len;
    ngx_str_t                 *title;
    ngx_http_core_loc_conf_t  *clcf;

    title = ngx_armoriq_error_title(r->err_status);

    if (title->len == 0) {
        return 0;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    len = sizeof(NGX_ARMORIQ_PAGE) - 1 + 2 * title->len;

    if (clcf->server_tokens == NGX_HTTP_SERVER_TOKENS_ON) {
        len += sizeof(NGINX_VER) - 1;

    } else if (clcf->server_tokens == NGX_HTTP_SERVER_TOKENS_BUILD) {
        len += sizeof(NGINX_VER_BUILD) - 1;

    } else {
        name = NGINX_VER;
        len += ngx_strchr(name, '/') - name;
    }

    return r->headers_out.content_length_n == len
           || r->headers_out.content_length_n
              == len + (off_t) (6 * (sizeof(NGX_ARMORIQ_PADDING) - 1));
}


static ngx_str_t *
ngx_armoriq_error_title(ngx_uint_t status)
{
    ngx_str_t  *t;

    for (t = ngx_armoriq_error_titles; t->len; t++) {

        if (ngx_atoi(t->data, 3) == (ngx_int_t) status) {
            break;
        }
    }

    return t;
}


static ngx_int_t
ngx_armoriq_error_text(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    ngx_uint_t invoke)
{
    u_char     *p;
    size_t      size;
    aiq_out_t   out;

    size = 512 + ctx->d.mcp.id.len
           + 6 * (ctx->d.server.len + ctx->d.tool.len);

    p = ngx_pnalloc(r->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    aiq_out_init(&out, p, size);

    if (invoke) {
        ngx_armoriq_error_write_sdk(&out, ctx, r->err_status);

    } else {
        ngx_armoriq_error_write_rpc(&out, ctx, r->err_status);
    }

    if (out.failed) {
        return NGX_ERROR;
    }

    ctx->error.data = p;
    ctx->error.len = aiq_out_done(&out).len;

    return NGX_OK;
}


static void
ngx_armoriq_error_write_rpc(aiq_out_t *out, ngx_armoriq_ctx_t *ctx,
    ngx_uint_t status)
{
    aiq_str_t   rid;
    ngx_str_t  *title;

    title = ngx_armoriq_error_title(status);

    aiq_out_str(out, "{\"jsonrpc\":\"2.0\"");

    /* none for a notification, and while the body has not been read */

    if (ctx->d.mcp.id.len) {
        aiq_out_str(out, ",\"id\":");
        aiq_out_mem(out, ctx->d.mcp.id.data, ctx->d.mcp.id.len);
    }

    aiq_out_str(out, ",\"error\":{\"code\":");
    aiq_out_int(out, (int64_t) status);
    aiq_out_str(out, ",\"message\":\"");

    if (title->len) {
        aiq_out_mem(out, title->data + 4, title->len - 4);

    } else {
        aiq_out_str(out, "Error");
    }

    aiq_out_str(out, "\",\"data\":{\"reason\":");
    ngx_armoriq_error_write_reason(out, status);

    /* the number of a record, which is only given once there is one */

    if (ctx->recorded) {
        rid.data = ctx->rid;
        rid.len = NGX_ARMORIQ_RID_LEN;

        aiq_out_str(out, ",\"requestId\":");
        aiq_out_json(out, rid);
    }

    aiq_out_str(out, "}}}");
}


static void
ngx_armoriq_error_write_sdk(aiq_out_t *out, ngx_armoriq_ctx_t *ctx,
    ngx_uint_t status)
{
    aiq_str_t   rid;
    ngx_str_t  *title;

    title = ngx_armoriq_error_title(status);

    rid.data = ctx->rid;
    rid.len = ctx->recorded ? NGX_ARMORIQ_RID_LEN : 0;

    aiq_out_str(out, "{\"success\":false,\"message\":\"");

    if (title->len) {
        aiq_out_mem(out, title->data + 4, title->len - 4);

    } else {
        aiq_out_str(out, "Error");
    }

    aiq_out_str(out, "\",\"error\":");
    ngx_armoriq_error_write_reason(out, status);
    aiq_out_str(out, ",\"error_code\":");
    ngx_armoriq_error_write_reason(out, status);
    aiq_out_str(out, ",\"mcp\":");
    aiq_out_json(out, ctx->d.server);
    aiq_out_str(out, ",\"action\":");
    aiq_out_json(out, ctx->d.tool);
    aiq_out_str(out, ",\"request_id\":");
    aiq_out_json(out, rid);
    aiq_out_char(out, '}');
}


static void
ngx_armoriq_error_write_reason(aiq_out_t *out, ngx_uint_t status)
{
    aiq_out_str(out, "\"HTTP_");
    aiq_out_int(out, (int64_t) status);
    aiq_out_char(out, '"');
}


/* the text in place of the first bytes, the end where it was */

ngx_int_t
ngx_armoriq_error_body(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    ngx_chain_t **in)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl, *out;

    if (*in == NULL) {
        return NGX_OK;
    }

    out = ngx_alloc_chain_link(r->pool);
    b = ngx_calloc_buf(r->pool);

    if (out == NULL || b == NULL) {
        return NGX_ERROR;
    }

    for (cl = *in; cl; cl = cl->next) {

        if (cl->buf->last_buf) {
            b->last_buf = 1;
        }

        cl->buf->pos = cl->buf->last;
    }

    b->pos = ctx->error.data;
    b->last = ctx->error.data + ctx->error.len;
    b->memory = ctx->error.len ? 1 : 0;
    b->sync = ctx->error.len ? 0 : 1;
    b->last_in_chain = 1;

    ngx_str_null(&ctx->error);

    out->buf = b;
    out->next = NULL;

    *in = out;

    return NGX_OK;
}
