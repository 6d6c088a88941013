
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The first wall.  States of a judged request:
 *
 *     start     headers only; refused here if they suffice for that
 *     reading   ngx_http_read_client_request_body(), a thread for files
 *     keeping   decided; the body is on its way to disk, if it is to be kept
 *     kept      it has got there, or will not
 *     waiting   decided; the record is on its way to disk
 *     durable   it has got there, or will not
 *     judged    done: permitted, or answered by us
 *
 * Nothing here waits: each state ends in a return to the event loop, and the
 * phases are run again when there is news.
 */


#include "ngx_armoriq.h"


static ngx_int_t ngx_armoriq_access_start(ngx_http_request_t *r,
    ngx_armoriq_loc_conf_t *alcf);
static ngx_uint_t ngx_armoriq_access_preread(ngx_http_request_t *r);
static void ngx_armoriq_access_post_read(ngx_http_request_t *r);
static void ngx_armoriq_access_body(ngx_http_request_t *r, ngx_int_t rc);
static ngx_int_t ngx_armoriq_access_judge(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx);
static ngx_int_t ngx_armoriq_access_record(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx);
static ngx_int_t ngx_armoriq_access_kept(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx);
static void ngx_armoriq_access_unkept(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx);
static ngx_uint_t ngx_armoriq_access_dry_run(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx);
static ngx_int_t ngx_armoriq_access_durable(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx);
static ngx_int_t ngx_armoriq_access_judged(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx, ngx_armoriq_loc_conf_t *alcf);


/*
 * A carried permit is for the location we sent it to, and no further: it is
 * bound in the first phase after the location is final, one that "satisfy"
 * cannot skip, subrequests have, and nobody redirects in.
 */

ngx_int_t
ngx_armoriq_preaccess_handler(ngx_http_request_t *r)
{
    ngx_armoriq_ctx_t  *ctx;

    ctx = ngx_armoriq_get_ctx(r);

    if (ctx && ctx->carried) {
        ctx->carried = 0;
        ctx->gated = 0;
        ctx->conf = ngx_http_get_module_loc_conf(r, ngx_armoriq_module);
    }

    return NGX_DECLINED;
}


/*
 * A permit is answered with NGX_DECLINED and not with NGX_OK: under
 * "satisfy any" NGX_OK would also switch off everybody else's rules.
 */

ngx_int_t
ngx_armoriq_access_handler(ngx_http_request_t *r)
{
    ngx_armoriq_ctx_t       *ctx;
    ngx_armoriq_loc_conf_t  *alcf;

    alcf = ngx_http_get_module_loc_conf(r, ngx_armoriq_module);

    if (!alcf->enable || ngx_armoriq_is_public(r)) {
        return NGX_DECLINED;
    }

    ctx = ngx_armoriq_get_ctx(r);

    if (ctx == NULL) {
        return ngx_armoriq_access_start(r, alcf);
    }

    switch (ctx->state) {

    case ngx_armoriq_keeping:
    case ngx_armoriq_waiting:
        return NGX_AGAIN;

    case ngx_armoriq_kept:
        return ngx_armoriq_access_kept(r, ctx);

    case ngx_armoriq_durable:
        return ngx_armoriq_access_durable(r, ctx);

    case ngx_armoriq_judged:
        return ngx_armoriq_access_judged(r, ctx, alcf);

    default:

        /*
         * Reading the body has failed, and error_page has led here with
         * a truncated one in r->request_body.
         */

        ctx->conf = alcf;
        ctx->state = ngx_armoriq_judged;
        ctx->d.rc = AIQ_D_BODY_INCOMPLETE;
        ctx->d.verdict = AIQ_VERDICT_DENY;

        (void) ngx_armoriq_record_intent(r, ctx);

        return ngx_armoriq_deny(r, ctx, ctx->d.rc);
    }
}


static ngx_int_t
ngx_armoriq_access_start(ngx_http_request_t *r, ngx_armoriq_loc_conf_t *alcf)
{
    ngx_int_t           rc;
    ngx_armoriq_ctx_t  *ctx;

    if (ngx_armoriq_origin_preflight(r, alcf) == NGX_DONE) {
        return NGX_DONE;
    }

    ctx = ngx_armoriq_create_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->conf = alcf;
    ctx->origin = ngx_armoriq_origin(r, alcf);

    if (r->method != NGX_HTTP_POST) {

        rc = ngx_armoriq_access_judge(r, ctx);

        return (rc == NGX_AGAIN) ? NGX_AGAIN
                                 : ngx_armoriq_access_handler(r);
    }

    /*
     * A body that is here already costs nothing; for one that is to come,
     * up to client_body_timeout and a temporary file, a key is asked first.
     */

    if (!alcf->dry_run
        && !ngx_armoriq_access_preread(r)
        && ngx_armoriq_judge_headers(r, ctx) != NGX_OK)
    {
        ctx->state = ngx_armoriq_judged;

        (void) ngx_armoriq_record_intent(r, ctx);

        return ngx_armoriq_deny(r, ctx, ctx->d.rc);
    }

    ctx->state = ngx_armoriq_reading;

    rc = ngx_http_read_client_request_body(r, ngx_armoriq_access_post_read);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    /* the request may have been freed by this call */

    ngx_http_finalize_request(r, NGX_DONE);

    return NGX_DONE;
}


static ngx_uint_t
ngx_armoriq_access_preread(ngx_http_request_t *r)
{
    if (r->request_body) {
        return 1;
    }

    return r->http_version < NGX_HTTP_VERSION_20
           && !r->headers_in.chunked
           && r->headers_in.content_length_n
              <= (off_t) (r->header_in->last - r->header_in->pos);
}


/* never called if reading fails: 413, bad chunk, timeout, client gone */

static void
ngx_armoriq_access_post_read(ngx_http_request_t *r)
{
    ngx_armoriq_ctx_t  *ctx;

    ctx = ngx_armoriq_get_ctx(r);

    r->preserve_body = 1;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_armoriq_body_take(r, ctx, ngx_armoriq_access_body);
}


static void
ngx_armoriq_access_body(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_armoriq_ctx_t  *ctx;

    ctx = ngx_armoriq_get_ctx(r);

    if (rc != NGX_OK) {
        ctx->d.rc = (aiq_rc_t) rc;
        ctx->d.verdict = AIQ_VERDICT_DENY;
        ctx->state = ngx_armoriq_judged;

        (void) ngx_armoriq_record_intent(r, ctx);

    } else if (ngx_armoriq_access_judge(r, ctx) == NGX_AGAIN) {
        return;
    }

    ngx_http_core_run_phases(r);
}


/* NGX_AGAIN: wait for the record.  NGX_OK: ctx->state says what is next. */

static ngx_int_t
ngx_armoriq_access_judge(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    ngx_int_t              rc;
    ngx_armoriq_worker_t  *w;

    rc = ngx_armoriq_judge(r, ctx);

    ctx->permit = (rc == NGX_OK) || ngx_armoriq_access_dry_run(r, ctx);

    w = ngx_armoriq_get_worker(r);

    if (ctx->permit && w && ngx_armoriq_witness_permit(w, ctx) != NGX_OK) {
        ctx->permit = 0;
    }

    if (ctx->permit && w) {

        switch (ngx_armoriq_payload_keep(w, r, ctx)) {

        case NGX_AGAIN:
            ctx->state = ngx_armoriq_keeping;
            return NGX_AGAIN;

        case NGX_ERROR:
            ngx_armoriq_access_unkept(r, ctx);
            break;

        default:
            break;
        }
    }

    return ngx_armoriq_access_record(r, ctx);
}


/* NGX_AGAIN and NGX_OK as above */

static ngx_int_t
ngx_armoriq_access_record(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    ngx_int_t              rc;
    ngx_armoriq_worker_t  *w;

    w = ngx_armoriq_get_worker(r);

    if (!ctx->permit) {
        ctx->state = ngx_armoriq_judged;

        /* the answer does not wait for the disk, and does not depend on it */

        rc = ngx_armoriq_record_intent(r, ctx);

        if (rc != NGX_OK && rc != NGX_BUSY) {
            ngx_log_error(NGX_LOG_CRIT, r->connection->log, 0,
                          "armoriq: a denial could not be recorded");
        }

        return NGX_OK;
    }

    if (w
        && ngx_armoriq_record_intent(r, ctx) == NGX_OK
        && ngx_armoriq_journal_wait(w, r, ctx) == NGX_OK)
    {
        ctx->state = ngx_armoriq_waiting;
        return NGX_AGAIN;
    }

    ctx->state = ngx_armoriq_durable;

    return NGX_OK;
}


static ngx_int_t
ngx_armoriq_access_kept(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    if (ctx->payload == NULL) {
        ngx_armoriq_access_unkept(r, ctx);
    }

    return (ngx_armoriq_access_record(r, ctx) == NGX_AGAIN)
           ? NGX_AGAIN : ngx_armoriq_access_handler(r);
}


/* a step that was taken is given back in the log phase: nothing was sent */

static void
ngx_armoriq_access_unkept(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    ngx_log_error(NGX_LOG_CRIT, r->connection->log, 0,
                  "armoriq: a payload cannot be kept: %s", ctx->d.err.text);

    ctx->permit = 0;
    ctx->d.rc = AIQ_E_AUDIT_UNAVAILABLE;
    ctx->d.verdict = AIQ_VERDICT_DENY;
}


/*
 * What would be refused goes on, but only what could be forwarded at all, and
 * kept if it must be: a call of nobody has no key.
 */

static ngx_uint_t
ngx_armoriq_access_dry_run(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    if (!ctx->conf->dry_run || ctx->conf->invoke
        || !aiq_is_denied(ctx->d.rc)
        || !ngx_armoriq_payload_able(r, ctx))
    {
        return 0;
    }

    /* the body of another method than POST was not read */

    return r->method == NGX_HTTP_POST
           || (r->headers_in.content_length_n <= 0 && !r->headers_in.chunked);
}


static ngx_int_t
ngx_armoriq_access_durable(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    ctx->state = ngx_armoriq_judged;

    if (!ctx->recorded || ctx->unsure) {
        ctx->d.rc = AIQ_E_AUDIT_UNAVAILABLE;
        ctx->d.verdict = AIQ_VERDICT_DENY;

    } else if (ctx->d.verdict == AIQ_VERDICT_PERMIT
               && ngx_armoriq_judge_again(r, ctx) != NGX_OK
               && !ngx_armoriq_access_dry_run(r, ctx))
    {
        /* the OUTCOME says that it was not sent, and why if that is known */

        ctx->revoked = aiq_is_denied(ctx->d.rc);

    } else if (ngx_armoriq_body_untold(r, ctx) == NGX_OK
               && ngx_armoriq_headers_strip(r, ctx) == NGX_OK)
    {
        return NGX_DECLINED;

    } else {
        ctx->d.rc = AIQ_E_NO_MEMORY;
        ctx->d.verdict = AIQ_VERDICT_DENY;
    }

    ctx->permit = 0;

    return ngx_armoriq_deny(r, ctx, ctx->d.rc);
}


/* again: our own redirect, or somebody else's */

static ngx_int_t
ngx_armoriq_access_judged(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    ngx_armoriq_loc_conf_t *alcf)
{
    if (!ctx->permit) {
        return ngx_armoriq_deny(r, ctx, ctx->d.rc);
    }

    if (ngx_armoriq_sent(r, ctx)) {
        return ngx_armoriq_refuse(r, ctx, "access", "permit is spent");
    }

    if (ctx->conf == alcf) {
        return NGX_DECLINED;
    }

    /*
     * Other rules may hold here: they are asked.  The call was recorded, its
     * step and what limits count were taken: none of that is done twice.
     */

    if (ctx->bridge == NULL && !alcf->invoke
        && r->method == NGX_HTTP_POST && ctx->body.len
        && ngx_armoriq_judge_moved(r, ctx) == NGX_OK
        && ngx_armoriq_headers_strip(r, ctx) == NGX_OK)
    {
        ctx->permit = 1;
        ctx->gated = 0;

        return NGX_DECLINED;
    }

    if (ctx->d.verdict == AIQ_VERDICT_PERMIT) {
        return ngx_armoriq_refuse(r, ctx, "access",
                                  "permit is for another location");
    }

    return ngx_armoriq_deny(r, ctx, ctx->d.rc);
}


/*
 * The body or the record has got to disk, or has failed to; with no client
 * left as well.
 */

void
ngx_armoriq_access_resume(ngx_http_request_t *r)
{
    ngx_armoriq_ctx_t  *ctx;

    ctx = ngx_armoriq_get_ctx(r);

    if (ctx && ctx->state == ngx_armoriq_keeping) {
        ctx->state = ngx_armoriq_kept;

    } else if (ctx && ctx->state == ngx_armoriq_waiting) {
        ctx->state = ngx_armoriq_durable;
    }

    r->main->blocked--;
    r->aio = 0;

    r->read_event_handler = ngx_http_block_reading;

    ngx_armoriq_wake(r);
}
