
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What a server has answered, for the OUTCOME: the hash and the length of the
 * bytes as it has sent them, whether they came to their end, and what the
 * JSON-RPC in them says.  Nothing of it is held or changed here, and nothing
 * that goes wrong here is an error of the answer: the record has less to say
 * then.  Memory is that of a hash and of one message, if it is short.
 */


#include "ngx_armoriq_list.h"

#include "mcp_answer.h"


struct ngx_armoriq_answer_s {
    aiq_digest_t                  *digest;      /* NULL: it has failed */
    off_t                          len;
    ngx_armoriq_room_t             text;        /* a message so far */
    aiq_sse_t                      sse;
    char                          *unread;      /* why it is not known yet */

    int64_t                        code;

    unsigned                       read:1;      /* messages are looked at */
    unsigned                       events:1;
    unsigned                       over:1;      /* this one is too long */
    unsigned                       found:1;     /* the answer was among them */
    unsigned                       error:1;
    unsigned                       is_error:1;
    unsigned                       ended:1;
};


static void ngx_armoriq_answer_kind(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx, ngx_armoriq_answer_t *a);
static void ngx_armoriq_answer_bytes(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx, u_char *p, size_t len);
static void ngx_armoriq_answer_events(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx, u_char *p, size_t len);
static void ngx_armoriq_answer_keep(ngx_http_request_t *r,
    ngx_armoriq_answer_t *a, u_char *p, size_t len);
static void ngx_armoriq_answer_event(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx);
static void ngx_armoriq_answer_message(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx, aiq_str_t text);
static aiq_str_t ngx_armoriq_answer_text(ngx_armoriq_answer_t *a);


/*
 * Only an upstream that is still there is the one whose header this is: what
 * nginx answers itself, or error_page, comes when it has been given up.
 */

void
ngx_armoriq_answer_header(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    ngx_armoriq_answer_t  *a;
    ngx_armoriq_worker_t  *w;

    if (r->upstream == NULL || r->upstream->cleanup == NULL || ctx->settled) {
        return;
    }

    w = ngx_armoriq_get_worker(r);
    a = ngx_pcalloc(r->pool, sizeof(ngx_armoriq_answer_t));

    if (w == NULL || a == NULL) {
        return;
    }

    a->digest = aiq_digest_new(w->crypto);

    ctx->answer = a;

    /* all of it must come by here, also what nginx has put into a file */

    r->filter_need_in_memory = 1;

    ngx_armoriq_answer_kind(r, ctx, a);
}


static void
ngx_armoriq_answer_kind(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    ngx_armoriq_answer_t *a)
{
    ngx_str_t  *type;

    /* notifications, and streams that are opened by a GET, have no answer */

    if (ctx->d.mcp.id.len == 0 && ctx->call_id.len == 0) {
        return;
    }

    type = &r->headers_out.content_type;

    a->events = (ngx_armoriq_is_events(r) != 0);

    if (ngx_armoriq_is_encoded(r)) {
        a->unread = "encoded";

    } else if (a->events) {
        a->unread = "absent";
        a->read = 1;

    } else if (type->len < 16
               || ngx_strncasecmp(type->data, (u_char *) "application/json",
                                  16)
                  != 0)
    {
        a->unread = "type";

    } else if (r->headers_out.content_length_n > NGX_ARMORIQ_ANSWER) {
        a->unread = "size";

    } else {
        a->unread = "absent";
        a->read = 1;
    }
}


void
ngx_armoriq_answer_body(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    ngx_chain_t *in)
{
    ngx_buf_t             *b;
    ngx_armoriq_answer_t  *a;

    a = ctx->answer;

    for ( /* void */ ; in; in = in->next) {

        b = in->buf;

        if (ngx_buf_in_memory(b)) {
            ngx_armoriq_answer_bytes(r, ctx, b->pos, b->last - b->pos);

        } else if (ngx_buf_size(b)) {

            /* the copy filter was asked not to */

            aiq_digest_free(a->digest);
            a->digest = NULL;
            a->len += ngx_buf_size(b);
            a->read = 0;
        }

        if (!b->last_buf || a->ended) {
            continue;
        }

        a->ended = 1;

        if (a->read && a->text.len && !a->over) {

            if (a->events) {
                ngx_armoriq_answer_event(r, ctx);

            } else {
                ngx_armoriq_answer_message(r, ctx,
                                           ngx_armoriq_answer_text(a));
            }
        }
    }

    if (!a->read && a->text.data) {
        (void) ngx_pfree(r->pool, a->text.data);
        ngx_memzero(&a->text, sizeof(ngx_armoriq_room_t));
    }
}


static void
ngx_armoriq_answer_bytes(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    u_char *p, size_t len)
{
    aiq_str_t              s;
    ngx_armoriq_answer_t  *a;

    a = ctx->answer;
    a->len += len;

    s.data = p;
    s.len = len;

    if (a->digest && aiq_digest_add(a->digest, s) != AIQ_OK) {
        aiq_digest_free(a->digest);
        a->digest = NULL;
    }

    if (!a->read) {
        return;
    }

    if (a->events) {
        ngx_armoriq_answer_events(r, ctx, p, len);

    } else {
        ngx_armoriq_answer_keep(r, a, p, len);
    }
}


static void
ngx_armoriq_answer_events(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    u_char *p, size_t len)
{
    size_t                 n;
    aiq_sse_e              what;
    ngx_armoriq_answer_t  *a;

    a = ctx->answer;

    while (len && a->read) {

        n = aiq_sse_feed(&a->sse, p, len, &what);

        ngx_armoriq_answer_keep(r, a, p, n);

        p += n;
        len -= n;

        if (what == AIQ_SSE_EVENT) {

            if (!a->over) {
                ngx_armoriq_answer_event(r, ctx);
            }

            a->text.len = 0;
            a->over = 0;

        } else if (what == AIQ_SSE_PASS || !aiq_sse_held(&a->sse)) {
            a->text.len = 0;
        }
    }
}


static void
ngx_armoriq_answer_keep(ngx_http_request_t *r, ngx_armoriq_answer_t *a,
    u_char *p, size_t len)
{
    if (a->over) {
        return;
    }

    if (len > NGX_ARMORIQ_ANSWER - a->text.len
        || ngx_armoriq_room(r, &a->text, a->text.len + len) != NGX_OK)
    {
        a->unread = "size";
        a->over = 1;
        a->text.len = 0;

        return;
    }

    a->text.len = ngx_cpymem(a->text.data + a->text.len, p, len)
                  - a->text.data;
}


static void
ngx_armoriq_answer_event(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    u_char                *joined;
    aiq_str_t              event, text;
    ngx_armoriq_answer_t  *a;

    a = ctx->answer;
    joined = NULL;
    event = ngx_armoriq_answer_text(a);

    if (aiq_sse_data(event, NULL, &text) >= 2) {

        joined = ngx_alloc(event.len, r->connection->log);
        if (joined == NULL) {
            return;
        }

        (void) aiq_sse_data(event, joined, &text);
    }

    if (text.len) {
        ngx_armoriq_answer_message(r, ctx, text);
    }

    if (joined) {
        ngx_free(joined);
    }
}


static void
ngx_armoriq_answer_message(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    aiq_str_t text)
{
    aiq_rc_t               rc;
    aiq_str_t              id;
    aiq_mcp_answer_t       answer;
    ngx_armoriq_answer_t  *a;
    ngx_armoriq_worker_t  *w;

    a = ctx->answer;
    w = ngx_armoriq_get_worker(r);

    if (w == NULL) {
        return;
    }

    id = ctx->call_id.len ? ngx_armoriq_str(ctx->call_id) : ctx->d.mcp.id;

    rc = aiq_mcp_answer_read(&answer, text, id, !a->events,
                             ngx_armoriq_arena(w), NULL);

    if (rc == AIQ_DECLINED) {
        return;
    }

    if (rc != AIQ_OK) {
        a->unread = "invalid";
        return;
    }

    a->found = 1;
    a->unread = NULL;
    a->error = answer.error;
    a->is_error = answer.is_error;
    a->code = answer.code;

    /* what comes now is hashed and no more */

    a->read = 0;
}


static aiq_str_t
ngx_armoriq_answer_text(ngx_armoriq_answer_t *a)
{
    aiq_str_t  s;

    s.data = a->text.data;
    s.len = a->text.len;

    return s;
}


/* hash is the caller's, for as long as the record is written */

void
ngx_armoriq_answer_record(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    aiq_audit_outcome_t *rec, u_char hash[AIQ_HASH_LEN])
{
    ngx_armoriq_answer_t  *a;

    a = ctx->answer;

    rec->res_len = -1;

    if (a == NULL) {
        return;
    }

    /* there is nothing behind a header that says so */

    if (r->header_only) {
        a->ended = 1;
    }

    rec->res_len = a->len;
    rec->trunc = !a->ended;

    if (a->digest && aiq_digest_end(a->digest, hash) == AIQ_OK) {
        rec->res_hash = hash;
    }

    if (a->found) {
        rec->has_rpc_err = a->error;
        rec->rpc_err = a->code;
        rec->is_error = a->is_error;

    } else if (a->unread && a->len && a->ended) {
        rec->rpc_unread = aiq_cstr(a->unread);
    }

    ngx_armoriq_answer_free(ctx);
}


void
ngx_armoriq_answer_free(ngx_armoriq_ctx_t *ctx)
{
    if (ctx->answer) {
        aiq_digest_free(ctx->answer->digest);
        ctx->answer = NULL;
    }
}
