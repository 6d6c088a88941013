
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The log phase: every PERMIT gets its OUTCOME, and the use of a step that
 * never got out is given back.
 */


#include "ngx_armoriq_bridge.h"
#include "ngx_armoriq_list.h"


/* what upstreams did with a request, over all tries */

typedef struct {
    ngx_uint_t   attempts;
    ngx_uint_t   status;      /* of the last one that answered */
    ngx_uint_t   sent;        /* bytes of the request have left */
} ngx_armoriq_upstream_t;


static void ngx_armoriq_log_upstream(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx, ngx_armoriq_upstream_t *u);
static char *ngx_armoriq_log_status(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx, ngx_armoriq_upstream_t *u);
static off_t ngx_armoriq_log_missing(ngx_http_request_t *r);


ngx_int_t
ngx_armoriq_log_handler(ngx_http_request_t *r)
{
    ngx_armoriq_ctx_t   *ctx;
    ngx_http_request_t  *main;

    main = r->main;
    ctx = ngx_armoriq_get_ctx(main);

    if (ctx == NULL || r != main) {
        return NGX_OK;
    }

    ngx_armoriq_settle(r, ctx);

    return NGX_OK;
}


void
ngx_armoriq_settle(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    char                    *status;
    u_char                   buf[1024], hash[AIQ_HASH_LEN];
    uint64_t                 record;
    aiq_out_t                out;
    struct timeval           tv;
    ngx_armoriq_worker_t    *w;
    aiq_audit_outcome_t      rec;
    ngx_armoriq_upstream_t   u;

    if (ctx->settled) {
        return;
    }

    ctx->settled = 1;

    w = ngx_armoriq_get_worker(r);

    if (w == NULL) {
        return;
    }

    ngx_armoriq_log_upstream(r, ctx, &u);

    status = ngx_armoriq_log_status(r, ctx, &u);

    if (ngx_strcmp(status, "not_sent") == 0
        || ngx_strcmp(status, "revoked") == 0)
    {
        ngx_armoriq_give_back(r, ctx);
    }

    if (!ctx->recorded) {
        return;
    }

    ngx_gettimeofday(&tv);

    ngx_memzero(&rec, sizeof(aiq_audit_outcome_t));

    rec.ts_us = (int64_t) tv.tv_sec * 1000000 + tv.tv_usec;
    rec.rid.data = ctx->rid;
    rec.rid.len = NGX_ARMORIQ_RID_LEN;
    rec.intent_seq = ctx->intent.seq;
    rec.intent_hash = ctx->intent.leaf;
    rec.status = aiq_cstr(status);
    rec.http = (unsigned) (r->err_status ? r->err_status
                                         : r->headers_out.status);
    rec.attempts = (unsigned) u.attempts;
    rec.dur_us = (uint64_t) (ngx_current_msec - ctx->start) * 1000;
    rec.salt = &ctx->d.salt;
    rec.crypto = w->crypto;

    ngx_armoriq_answer_record(r, ctx, &rec, hash);

    aiq_out_init(&out, buf, sizeof(buf));
    aiq_audit_write_outcome(&out, &rec);

    if (out.failed
        || ngx_armoriq_journal_append(w, aiq_out_done(&out), 0, &record)
           != NGX_OK)
    {
        ngx_log_error(NGX_LOG_CRIT, r->connection->log, 0,
                      "armoriq: the outcome of record %uL could not be "
                      "written", ctx->intent.seq);
    }
}


/* the use of a step by a call that was certainly not sent */

void
ngx_armoriq_give_back(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    ngx_armoriq_worker_t  *w;

    w = ngx_armoriq_get_worker(r);

    if (w && ctx->d.reserved) {
        w->ops.release(w->ops.data, ctx->d.ledger, (uint32_t) ctx->d.step);
        ctx->d.reserved = 0;
    }
}


static void
ngx_armoriq_log_upstream(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    ngx_armoriq_upstream_t *u)
{
    ngx_uint_t                  i;
    ngx_http_upstream_state_t  *state;

    ngx_memzero(u, sizeof(ngx_armoriq_upstream_t));

    if (r->upstream_states == NULL) {
        return;
    }

    state = r->upstream_states->elts;

    i = ctx->bridge ? ctx->bridge->tries : 0;

    for ( /* void */ ; i < r->upstream_states->nelts; i++) {

        if (state[i].peer == NULL) {
            continue;
        }

        u->attempts++;

        if (state[i].bytes_sent) {
            u->sent = 1;
        }

        if (state[i].status) {
            u->status = state[i].status;
        }
    }
}


static char *
ngx_armoriq_log_status(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    ngx_armoriq_upstream_t *u)
{
    off_t  missing;

    /* no byte has left: nobody there, or the client went before */

    if (u->attempts == 0 || !u->sent) {
        return ctx->revoked ? "revoked" : "not_sent";
    }

    if (r->headers_out.status == NGX_HTTP_CLIENT_CLOSED_REQUEST
        || (r->connection->error && u->status == 0))
    {
        return "client_abort";
    }

    if (u->status == NGX_HTTP_BAD_GATEWAY
        || u->status == NGX_HTTP_GATEWAY_TIME_OUT
        || u->status == 0)
    {
        return "upstream_error";
    }

    /* the status is that of the header, which had gone before */

    missing = ngx_armoriq_log_missing(r);

    if (missing && r->connection->error && !(ctx->list && ctx->list->cut)) {
        return "client_abort";
    }

    return missing > 0 ? "upstream_error" : "executed";
}


/* of an answer; -1: its end was to be that of the connection */

static off_t
ngx_armoriq_log_missing(ngx_http_request_t *r)
{
    ngx_http_upstream_t  *u;

    u = r->upstream;

    if (u == NULL) {
        return 0;
    }

    if (!u->buffering) {
        return (off_t) u->length;
    }

    return u->pipe ? u->pipe->length : 0;
}
