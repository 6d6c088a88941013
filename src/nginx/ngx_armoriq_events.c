
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Event streams that may bring the answer to tools/list.  One event is in
 * memory at a time: while it is on its way no further input is taken, so a
 * slow client slows the server down.  Bytes that cannot be data are not held.
 */


#include "ngx_armoriq_list.h"


static ngx_int_t ngx_armoriq_events_take(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx, ngx_buf_t **send);
static ngx_int_t ngx_armoriq_events_piece(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx, ngx_buf_t *b, aiq_sse_e *what);
static ngx_int_t ngx_armoriq_events_judge(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx);
static aiq_rc_t ngx_armoriq_events_text(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx, aiq_str_t event, aiq_str_t *text,
    u_char **joined);
static ngx_int_t ngx_armoriq_events_write(ngx_http_request_t *r,
    ngx_armoriq_list_t *l, aiq_str_t event, aiq_str_t text);
static void ngx_armoriq_events_out(ngx_buf_t *b, u_char *data, size_t len);
static ngx_uint_t ngx_armoriq_events_blank(aiq_str_t text);


ngx_int_t
ngx_armoriq_events_body(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    ngx_chain_t *in)
{
    ngx_int_t            rc;
    ngx_chain_t          out;
    ngx_armoriq_list_t  *l;

    l = ctx->list;

    if (in && ngx_chain_add_copy(r->pool, &l->in, in) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = NGX_OK;

    if (in == NULL || l->out.pos != l->out.last) {
        rc = ngx_armoriq_next_body(r, NULL);
    }

    out.next = NULL;

    while (rc != NGX_ERROR && l->out.pos == l->out.last && l->in) {

        rc = ngx_armoriq_events_take(r, ctx, &out.buf);

        if (rc == NGX_DECLINED) {
            rc = NGX_OK;
            continue;
        }

        if (rc == NGX_OK) {
            rc = ngx_armoriq_next_body(r, &out);
        }
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    return (l->in || r->connection->buffered) ? NGX_AGAIN : NGX_OK;
}


/*
 * NGX_OK: *send is to be sent.  NGX_DECLINED: nothing is, so far.  What ends
 * without its blank line is no event, but not all clients mind: at the end of
 * a stream it passes if it can be read, like others.
 */

static ngx_int_t
ngx_armoriq_events_take(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    ngx_buf_t **send)
{
    ngx_buf_t           *b;
    ngx_int_t            rc;
    aiq_sse_e            what;
    ngx_chain_t         *cl;
    ngx_armoriq_list_t  *l;

    l = ctx->list;
    cl = l->in;
    b = cl->buf;

    *send = &l->out;

    if (!ngx_buf_in_memory(b) && ngx_buf_size(b)) {
        return NGX_ERROR;
    }

    while (ngx_buf_in_memory(b) && b->pos < b->last) {

        rc = ngx_armoriq_events_piece(r, ctx, b, &what);

        if (rc != NGX_OK) {
            return rc;
        }

        if (what == AIQ_SSE_EVENT) {
            return ngx_armoriq_events_judge(r, ctx);
        }

        if (what == AIQ_SSE_PASS || !aiq_sse_held(&l->sse)) {
            ngx_armoriq_events_out(&l->out, l->text.data, l->text.len);
            l->text.len = 0;
            return NGX_OK;
        }
    }

    b->file_pos = b->file_last;

    rc = NGX_DECLINED;

    if (b->last_buf && l->text.len) {
        rc = ngx_armoriq_events_judge(r, ctx);

        l->out.last_buf = 1;
        l->out.last_in_chain = 1;

    } else if (ngx_buf_special(b)) {

        /* not l->out: nobody says when one without memory has been used */

        *send = b;
        rc = NGX_OK;

    } else if (b->last_buf) {
        *send = ngx_calloc_buf(r->pool);
        if (*send == NULL) {
            return NGX_ERROR;
        }

        (*send)->last_buf = 1;
        (*send)->last_in_chain = 1;
        rc = NGX_OK;
    }

    l->in = cl->next;
    ngx_free_chain(r->pool, cl);

    return rc;
}


static ngx_int_t
ngx_armoriq_events_piece(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    ngx_buf_t *b, aiq_sse_e *what)
{
    size_t               n;
    ngx_armoriq_room_t  *text;

    text = &ctx->list->text;

    n = aiq_sse_feed(&ctx->list->sse, b->pos, (size_t) (b->last - b->pos),
                     what);

    if (text->len + n > ctx->conf->max_list
        && (*what == AIQ_SSE_EVENT || aiq_sse_held(&ctx->list->sse)))
    {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "armoriq: an event is too long, the stream is ended; "
                      "see \"armoriq_max_list\"");

        ctx->list->cut = 1;
        return NGX_ERROR;
    }

    if (ngx_armoriq_room(r, text, text->len + n) != NGX_OK) {
        return NGX_ERROR;
    }

    text->len = ngx_cpymem(text->data + text->len, b->pos, n) - text->data;

    b->pos += n;

    return NGX_OK;
}


static ngx_int_t
ngx_armoriq_events_judge(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    u_char              *joined;
    aiq_rc_t             rc;
    ngx_int_t            n;
    aiq_str_t            event, text, data;
    ngx_armoriq_list_t  *l;

    l = ctx->list;

    event.data = l->text.data;
    event.len = l->text.len;

    l->text.len = 0;

    ngx_armoriq_events_out(&l->out, (u_char *) event.data, event.len);

    rc = ngx_armoriq_events_text(r, ctx, event, &text, &joined);

    if (rc != AIQ_OK) {
        return NGX_ERROR;
    }

    n = NGX_OK;

    /* a server may send anything else here, and it is not ours to read */

    if (!ngx_armoriq_events_blank(text)
        && (ctx->d.mcp.cls != AIQ_MCP_STREAM
            || aiq_mcp_list_possible(text)))
    {
        data = text;
        rc = ngx_armoriq_list_text(r, ctx, &data);

        if (rc != AIQ_OK) {
            data.data = l->filtered.data;
            data.len = l->filtered.len;
        }

        if (rc == AIQ_E_NO_MEMORY) {
            n = NGX_ERROR;

        } else if (data.data != text.data) {
            n = ngx_armoriq_events_write(r, l, event, data);
        }
    }

    if (joined) {
        ngx_free(joined);
    }

    return n;
}


static aiq_rc_t
ngx_armoriq_events_text(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    aiq_str_t event, aiq_str_t *text, u_char **joined)
{
    *joined = NULL;

    if (aiq_sse_data(event, NULL, text) < 2) {
        return AIQ_OK;
    }

    *joined = ngx_alloc(event.len, r->connection->log);
    if (*joined == NULL) {
        return AIQ_E_NO_MEMORY;
    }

    (void) aiq_sse_data(event, *joined, text);

    return AIQ_OK;
}


static ngx_int_t
ngx_armoriq_events_write(ngx_http_request_t *r, ngx_armoriq_list_t *l,
    aiq_str_t event, aiq_str_t text)
{
    size_t      i, size;
    aiq_out_t   out;

    size = event.len + text.len + 8;

    for (i = 0; i < text.len; i++) {

        if (text.data[i] == '\n') {
            size += 8;
        }
    }

    if (ngx_armoriq_room(r, &l->event, size) != NGX_OK) {
        return NGX_ERROR;
    }

    aiq_out_init(&out, l->event.data, l->event.size);
    aiq_sse_write(&out, event, text);

    if (out.failed) {
        return NGX_ERROR;
    }

    ngx_armoriq_events_out(&l->out, l->event.data, aiq_out_done(&out).len);

    return NGX_OK;
}


static void
ngx_armoriq_events_out(ngx_buf_t *b, u_char *data, size_t len)
{
    ngx_memzero(b, sizeof(ngx_buf_t));

    b->pos = data;
    b->last = data + len;
    b->start = data;
    b->end = b->last;
    b->memory = 1;
    b->flush = 1;
    b->tag = (ngx_buf_tag_t) &ngx_armoriq_module;
}


/* "data:" alone opens a stream that can be resumed */

static ngx_uint_t
ngx_armoriq_events_blank(aiq_str_t text)
{
    size_t  i;

    for (i = 0; i < text.len; i++) {

        if (text.data[i] != ' ' && text.data[i] != '\n'
            && text.data[i] != '\t')
        {
            return 0;
        }
    }

    return 1;
}
