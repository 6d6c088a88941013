
/*
 * Copyright (C) ngx_armoriq authors
 *
 * tools/list shows what could be called, and no more.  An answer in one piece
 * is held, with its header, until all of it is here; one that cannot be read
 * does not pass.
 */


#include "ngx_armoriq_list.h"


#define NGX_ARMORIQ_ROOM      8192


/* the decision, for the time that a list is read */

typedef struct {
    aiq_decision_t                 d;
    aiq_request_t                  in;
    aiq_visible_t                  visible;
    ngx_armoriq_worker_t          *worker;
    aiq_err_t                     *err;
    unsigned                       open:1;
} ngx_armoriq_list_judge_t;


static ngx_uint_t ngx_armoriq_list_wanted(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx);
static ngx_int_t ngx_armoriq_list_take(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx, ngx_chain_t *in, ngx_uint_t *last);
static ngx_int_t ngx_armoriq_list_send(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx);
static ngx_int_t ngx_armoriq_list_finish(ngx_http_request_t *r,
    ngx_armoriq_list_t *l, u_char *data, size_t len);
static void ngx_armoriq_list_swallow(ngx_http_request_t *r, ngx_chain_t *in);
static ngx_int_t ngx_armoriq_list_fail(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx, char *why);
static ngx_int_t ngx_armoriq_list_error_headers(ngx_http_request_t *r,
    ngx_armoriq_list_t *l, aiq_rc_t rc);
static aiq_rc_t ngx_armoriq_list_error(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx, aiq_str_t id, aiq_rc_t rc);
static aiq_rc_t ngx_armoriq_list_read(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx, aiq_mcp_list_t *list, aiq_str_t *text,
    aiq_err_t *err);
static aiq_rc_t ngx_armoriq_list_begin(void *data);
static aiq_rc_t ngx_armoriq_list_visible(void *data, aiq_str_t tool);
static void ngx_armoriq_list_changed(ngx_http_request_t *r);


/* what was said of the bytes, and is not so of others */

static ngx_str_t  ngx_armoriq_list_of_bytes[] = {
    ngx_string("content-md5"),
    ngx_string("content-digest"),
    ngx_string("repr-digest"),
    ngx_string("digest"),
    ngx_string("etag"),
    ngx_null_string
};

static ngx_str_t  ngx_armoriq_list_of_answer[] = {
    ngx_string("content-encoding"),
    ngx_string("content-range"),
    ngx_string("cache-control"),
    ngx_string("expires"),
    ngx_null_string
};


/*
 * NGX_AGAIN: the header is sent later, by the body filter.  What type the
 * answer to a POST says it has does not matter, as some clients do not look;
 * a GET is for a stream of events, whatever is called so.
 */

ngx_int_t
ngx_armoriq_list_header(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    ngx_armoriq_list_t  *l;

    if (!ngx_armoriq_list_wanted(r, ctx)) {
        return NGX_DECLINED;
    }

    l = ngx_pcalloc(r->pool, sizeof(ngx_armoriq_list_t));
    if (l == NULL) {
        return NGX_ERROR;
    }

    ctx->list = l;

    r->filter_need_in_memory = 1;
    r->allow_ranges = 0;

    l->events = (ctx->d.mcp.cls == AIQ_MCP_STREAM
                 || ngx_armoriq_is_events(r));

    if (ngx_armoriq_is_encoded(r)) {
        return ngx_armoriq_list_fail(r, ctx, "it is encoded");
    }

    if (l->events) {
        ngx_armoriq_list_changed(r);
        return NGX_OK;
    }

    if (r->headers_out.content_length_n > (off_t) ctx->conf->max_list) {
        return ngx_armoriq_list_fail(r, ctx, "it is too long");
    }

    return NGX_AGAIN;
}


/* may the answer to this request hold a list? */

ngx_uint_t
ngx_armoriq_list_inspected(ngx_armoriq_ctx_t *ctx)
{
    /* with "armoriq_dry_run on" every tool can be called */

    if (!ctx->conf->list_filter || ctx->conf->dry_run || ctx->bridge) {
        return 0;
    }

    return ctx->d.mcp.cls == AIQ_MCP_STREAM
           || aiq_str_is(ctx->d.mcp.method, "tools/list");
}


static ngx_uint_t
ngx_armoriq_list_wanted(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    ngx_uint_t  status;

    if (r->header_only || !ngx_armoriq_list_inspected(ctx)) {
        return 0;
    }

    status = r->headers_out.status;

    return status >= NGX_HTTP_OK && status < NGX_HTTP_SPECIAL_RESPONSE
           && status != NGX_HTTP_ACCEPTED && status != NGX_HTTP_NO_CONTENT;
}


ngx_int_t
ngx_armoriq_list_body(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    ngx_chain_t *in)
{
    ngx_int_t            rc;
    ngx_uint_t           last;
    ngx_armoriq_list_t  *l;

    l = ctx->list;

    if (l->events && !l->failed) {
        return ngx_armoriq_events_body(r, ctx, in);
    }

    if (l->done) {

        if (in == NULL) {
            return ngx_armoriq_next_body(r, in);
        }

        ngx_armoriq_list_swallow(r, in);

        return r->connection->buffered ? NGX_AGAIN : NGX_OK;
    }

    if (l->failed) {
        ngx_armoriq_list_swallow(r, in);

        return ngx_armoriq_list_finish(r, l, l->filtered.data,
                                       l->filtered.len);
    }

    last = 0;

    rc = ngx_armoriq_list_take(r, ctx, in, &last);

    if (rc == NGX_OK && last) {
        return ngx_armoriq_list_send(r, ctx);
    }

    /* nginx has given the upstream up, and the rest of the answer with it */

    if (rc == NGX_OK && in && r->upstream && r->upstream->cleanup == NULL) {
        rc = ngx_armoriq_list_fail(r, ctx, "it ends early");

    } else if (rc == NGX_DECLINED) {
        rc = ngx_armoriq_list_fail(r, ctx, "it is too long");

    } else {
        return rc;
    }

    if (rc != NGX_OK || ngx_armoriq_list_send(r, ctx) == NGX_ERROR) {
        return NGX_ERROR;
    }

    return r->connection->buffered ? NGX_AGAIN : NGX_OK;
}


/* NGX_DECLINED: there is too much of it */

static ngx_int_t
ngx_armoriq_list_take(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    ngx_chain_t *in, ngx_uint_t *last)
{
    size_t               len;
    ngx_buf_t           *b;
    ngx_int_t            rc;
    ngx_chain_t         *cl;
    ngx_armoriq_room_t  *text;

    text = &ctx->list->text;
    rc = NGX_OK;

    for (cl = in; cl; cl = cl->next) {

        b = cl->buf;

        if (b->last_buf) {
            *last = 1;
        }

        if (rc != NGX_OK || ngx_buf_size(b) == 0) {
            continue;
        }

        if (!ngx_buf_in_memory(b)) {

            /* the copy filter was asked not to */

            return NGX_ERROR;
        }

        len = (size_t) (b->last - b->pos);

        if (len > ctx->conf->max_list - text->len) {
            rc = NGX_DECLINED;
            continue;
        }

        if (ngx_armoriq_room(r, text, text->len + len) != NGX_OK) {
            return NGX_ERROR;
        }

        text->len = ngx_cpymem(text->data + text->len, b->pos, len)
                    - text->data;
    }

    ngx_armoriq_list_swallow(r, in);

    return rc;
}


/* the header that was held, and a body; or an error in place of both */

static ngx_int_t
ngx_armoriq_list_send(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    aiq_rc_t             rc;
    ngx_int_t            n;
    aiq_str_t            text;
    ngx_armoriq_list_t  *l;

    l = ctx->list;

    text.data = l->text.data;
    text.len = l->text.len;

    if (l->failed) {
        text.data = l->filtered.data;
        text.len = l->filtered.len;

    } else if (text.len) {
        rc = ngx_armoriq_list_text(r, ctx, &text);

        if (rc != AIQ_OK) {

            if (ngx_armoriq_list_error_headers(r, l, rc) != NGX_OK) {
                return NGX_ERROR;
            }

            text.data = l->filtered.data;
            text.len = l->filtered.len;

        } else if (text.data != l->text.data) {
            ngx_armoriq_list_changed(r);
            r->headers_out.content_length_n = (off_t) text.len;
        }
    }

    n = ngx_armoriq_next_header(r);

    if (n == NGX_ERROR || n > NGX_OK || r->header_only) {
        l->done = 1;
        return NGX_ERROR;
    }

    return ngx_armoriq_list_finish(r, l, (u_char *) text.data, text.len);
}


static ngx_int_t
ngx_armoriq_list_finish(ngx_http_request_t *r, ngx_armoriq_list_t *l,
    u_char *data, size_t len)
{
    ngx_chain_t           out;
    ngx_http_upstream_t  *u;

    l->done = 1;

    ngx_memzero(&l->out, sizeof(ngx_buf_t));

    l->out.pos = data;
    l->out.last = data + len;
    l->out.memory = len ? 1 : 0;
    l->out.last_buf = 1;
    l->out.last_in_chain = 1;

    out.buf = &l->out;
    out.next = NULL;

    /* an event stream does not end by itself */

    u = r->upstream;

    if (l->failed && u && u->cleanup && !u->buffering) {
        u->length = 0;
    }

    return ngx_armoriq_next_body(r, &out);
}


static void
ngx_armoriq_list_swallow(ngx_http_request_t *r, ngx_chain_t *in)
{
    for ( /* void */ ; in; in = in->next) {
        in->buf->pos = in->buf->last;
        in->buf->file_pos = in->buf->file_last;
    }
}


/* before the header: the answer is an error, whatever comes */

static ngx_int_t
ngx_armoriq_list_fail(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    char *why)
{
    aiq_rc_t  rc;

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "armoriq: a list cannot be read: %s", why);

    rc = ngx_armoriq_list_error(r, ctx, ctx->d.mcp.id, AIQ_D_LIST_INVALID);

    if (rc == AIQ_E_NO_MEMORY) {
        return NGX_ERROR;
    }

    return ngx_armoriq_list_error_headers(r, ctx->list, rc);
}


static ngx_int_t
ngx_armoriq_list_error_headers(ngx_http_request_t *r, ngx_armoriq_list_t *l,
    aiq_rc_t rc)
{
    l->failed = 1;

    ngx_armoriq_list_changed(r);
    ngx_armoriq_header_hide(r, ngx_armoriq_list_of_answer);

    r->headers_out.content_encoding = NULL;
    r->headers_out.status = (ngx_uint_t) aiq_http_status(rc);
    ngx_str_null(&r->headers_out.status_line);

    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    ngx_str_null(&r->headers_out.charset);
    r->headers_out.content_length_n = (off_t) l->filtered.len;

    return ngx_armoriq_add_header(r, "Cache-Control", (u_char *) "no-store",
                                  8);
}


aiq_rc_t
ngx_armoriq_list_text(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    aiq_str_t *text)
{
    aiq_rc_t         rc;
    aiq_err_t        err;
    ngx_uint_t       level;
    aiq_mcp_list_t   list;

    err.text[0] = '\0';

    rc = ngx_armoriq_list_read(r, ctx, &list, text, &err);

    if (rc == AIQ_OK) {
        return AIQ_OK;
    }

    level = aiq_is_fault(rc) ? NGX_LOG_CRIT : NGX_LOG_ERR;

    ngx_log_error(level, r->connection->log, 0,
                  "armoriq: a list cannot be read: %s: %s", aiq_reason(rc),
                  err.text);

    return ngx_armoriq_list_error(r, ctx,
                                  ctx->d.mcp.id.len ? ctx->d.mcp.id : list.id,
                                  rc);
}


/* what is sent in place of a list: rc, or that not even this could be made */

static aiq_rc_t
ngx_armoriq_list_error(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    aiq_str_t id, aiq_rc_t rc)
{
    aiq_out_t            out;
    ngx_armoriq_room_t  *room;

    room = &ctx->list->filtered;

    if (ngx_armoriq_room(r, room, 1024 + id.len) != NGX_OK) {
        return AIQ_E_NO_MEMORY;
    }

    aiq_out_init(&out, room->data, room->size);
    ngx_armoriq_write_rpc(&out, ctx, id, rc);

    if (out.failed) {
        return AIQ_E_NO_MEMORY;
    }

    room->len = aiq_out_done(&out).len;

    return rc;
}


/*
 * The request is judged for each tool as it was judged then, in one go: the
 * arena and the snapshot of the store are those of one decision.  What the
 * decision knew of the token by reference may be gone by now.
 */

static aiq_rc_t
ngx_armoriq_list_read(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    aiq_mcp_list_t *list, aiq_str_t *text, aiq_err_t *err)
{
    aiq_rc_t                   rc;
    aiq_out_t                  out;
    ngx_armoriq_room_t        *room;
    ngx_armoriq_list_judge_t   j;

    ngx_memzero(list, sizeof(aiq_mcp_list_t));

    j.worker = ngx_armoriq_get_worker(r);

    if (j.worker == NULL) {
        return AIQ_E_STORE_UNAVAILABLE;
    }

    j.d = ctx->d;
    j.d.memo = NULL;
    j.d.issuer = NULL;
    j.err = err;
    j.open = 0;

    ngx_armoriq_fill(r, ctx, j.worker, &j.in);

    list->begin = ngx_armoriq_list_begin;
    list->visible = ngx_armoriq_list_visible;
    list->data = &j;
    list->scope = j.d.mcp.modern;

    rc = aiq_mcp_list_read(list, *text, j.in.mem, err);

    if (j.open) {
        aiq_store_abort(j.in.txn);
    }

    if (rc != AIQ_OK || list->edits == NULL) {
        return rc;
    }

    room = &ctx->list->filtered;

    if (ngx_armoriq_room(r, room, list->size) != NGX_OK) {
        return AIQ_E_NO_MEMORY;
    }

    aiq_out_init(&out, room->data, list->size);
    aiq_mcp_list_write(&out, list, *text);

    if (out.failed) {
        return AIQ_E_INTERNAL;
    }

    *text = aiq_out_done(&out);
    room->len = text->len;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "armoriq: %uD of %uD tools hidden", list->hidden,
                   list->tools);

    return AIQ_OK;
}


/* most events of a stream are no lists, and need no store */

static aiq_rc_t
ngx_armoriq_list_begin(void *data)
{
    ngx_armoriq_list_judge_t *j = data;

    aiq_rc_t  rc;

    rc = aiq_store_read(j->worker->store, &j->in.txn, j->worker->crypto,
                        j->err);

    if (rc != AIQ_OK) {
        return rc;
    }

    j->open = 1;

    rc = aiq_visible_begin(&j->visible, &j->d, &j->in);

    if (rc != AIQ_OK) {
        *j->err = j->d.err;
    }

    return rc;
}


static aiq_rc_t
ngx_armoriq_list_visible(void *data, aiq_str_t tool)
{
    ngx_armoriq_list_judge_t *j = data;

    return aiq_visible(&j->visible, tool);
}


static void
ngx_armoriq_list_changed(ngx_http_request_t *r)
{
    ngx_http_clear_content_length(r);
    ngx_http_clear_last_modified(r);
    ngx_http_clear_accept_ranges(r);
    ngx_http_clear_etag(r);

    ngx_armoriq_header_hide(r, ngx_armoriq_list_of_bytes);
}


ngx_int_t
ngx_armoriq_room(ngx_http_request_t *r, ngx_armoriq_room_t *room, size_t len)
{
    size_t   size;
    u_char  *p;

    if (len <= room->size) {
        return NGX_OK;
    }

    size = ngx_max(len, ngx_max(2 * room->size, NGX_ARMORIQ_ROOM));

    p = ngx_palloc(r->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (room->data) {
        ngx_memcpy(p, room->data, room->len);
        (void) ngx_pfree(r->pool, room->data);
    }

    room->data = p;
    room->size = size;

    return NGX_OK;
}
