
/*
 * Copyright (C) ngx_armoriq authors
 *
 * "payload=encrypted": a thread encrypts the body of a call that is let
 * through, and writes it beside the log, before the INTENT that names it goes
 * into the journal.  No payload, no call.
 */


#include "ngx_armoriq.h"

#include "audit_payload.h"
#include "payload.h"


typedef struct ngx_armoriq_payload_s  ngx_armoriq_payload_task_t;


struct ngx_armoriq_payload_s {
    ngx_http_request_t       *request;
    ngx_armoriq_ctx_t        *ctx;
    ngx_thread_task_t        *task;
    char                     *dir;
    ngx_uint_t                flags;
    aiq_payload_t             id;
    aiq_audit_payload_t       payload;
    aiq_rc_t                  rc;
    aiq_err_t                 err;
};


static ngx_armoriq_payload_task_t *ngx_armoriq_payload_task(
    ngx_armoriq_worker_t *w, ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx);
static ngx_int_t ngx_armoriq_payload_post(ngx_armoriq_worker_t *w,
    ngx_armoriq_payload_task_t *t);
static void ngx_armoriq_payload_thread(void *data, ngx_log_t *log);
static aiq_rc_t ngx_armoriq_payload_write(ngx_armoriq_payload_task_t *t,
    aiq_crypto_t *c, u_char *file);
static void ngx_armoriq_payload_event(ngx_event_t *ev);
static void ngx_armoriq_payload_done(ngx_armoriq_payload_task_t *t);
static void ngx_armoriq_payload_next(ngx_armoriq_worker_t *w);


/* is there nothing to keep, or something to encrypt it with? */

ngx_uint_t
ngx_armoriq_payload_able(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    ngx_armoriq_main_conf_t  *amcf;

    amcf = ngx_http_get_module_main_conf(r, ngx_armoriq_module);

    return !amcf->payload || ctx->body.len == 0 || ctx->d.salt.epoch;
}


/*
 * NGX_DECLINED: there is nothing to keep.  NGX_AGAIN: r waits, and resumes
 * with ctx->payload if it is kept.  NGX_ERROR: it cannot be, ctx->d.err says
 * why.
 */

ngx_int_t
ngx_armoriq_payload_keep(ngx_armoriq_worker_t *w, ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx)
{
    ngx_armoriq_payload_task_t  *t;

    if (!w->conf->payload || ctx->body.len == 0) {
        return NGX_DECLINED;
    }

    if (!ngx_armoriq_payload_able(r, ctx)) {
        (void) aiq_fail(&ctx->d.err, AIQ_E_AUDIT_UNAVAILABLE,
                        "the org has no salt to encrypt the payload with");
        return NGX_ERROR;
    }

    t = ngx_armoriq_payload_task(w, r, ctx);

    if (t == NULL) {
        (void) aiq_fail(&ctx->d.err, AIQ_E_NO_MEMORY, "no memory");
        return NGX_ERROR;
    }

    if (w->keeping >= NGX_ARMORIQ_PAYLOADS) {

        /* the threads are those that write records, too */

        ctx->keep = t;
        ngx_queue_insert_tail(&w->keep, &ctx->queue);
        ctx->parked = 1;

    } else if (ngx_armoriq_payload_post(w, t) != NGX_OK) {
        (void) aiq_fail(&ctx->d.err, AIQ_E_AUDIT_UNAVAILABLE,
                        "no thread for a payload");
        return NGX_ERROR;
    }

    /* keeps the request, and the body that the thread reads */

    r->main->blocked++;
    r->aio = 1;

    r->read_event_handler = ngx_http_test_reading;

    return NGX_AGAIN;
}


static ngx_armoriq_payload_task_t *
ngx_armoriq_payload_task(ngx_armoriq_worker_t *w, ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx)
{
    ngx_thread_task_t           *task;
    ngx_armoriq_payload_task_t  *t;

    task = ngx_thread_task_alloc(r->pool, sizeof(ngx_armoriq_payload_task_t));
    if (task == NULL) {
        return NULL;
    }

    task->handler = ngx_armoriq_payload_thread;
    task->event.handler = ngx_armoriq_payload_event;
    task->event.data = task->ctx;

    t = task->ctx;

    ngx_memzero(t, sizeof(ngx_armoriq_payload_task_t));

    t->request = r;
    t->ctx = ctx;
    t->task = task;
    t->dir = (char *) w->conf->audit.data;

    t->id.origin = ngx_armoriq_str(w->origin);
    t->id.org = ctx->d.org;
    t->id.rid.data = ctx->rid;
    t->id.rid.len = NGX_ARMORIQ_RID_LEN;
    t->id.kind = aiq_cstr(AIQ_PAYLOAD_REQUEST);

    return t;
}


static ngx_int_t
ngx_armoriq_payload_post(ngx_armoriq_worker_t *w,
    ngx_armoriq_payload_task_t *t)
{
    struct timeval  tv;

    ngx_gettimeofday(&tv);

    aiq_audit_payload_day(&t->payload,
                          (int64_t) tv.tv_sec * 1000000 + tv.tv_usec);

    t->flags = w->conf->durability;

    if (ngx_strcmp(w->payload_day, t->payload.day) == 0) {
        t->flags |= AIQ_AUDIT_DAY_KNOWN;
    }

    if (ngx_armoriq_task_post(w->conf->thread_pool, t->task) != NGX_OK) {
        return NGX_ERROR;
    }

    w->keeping++;

    return NGX_OK;
}


/* the event loop does not touch ctx meanwhile */

static void
ngx_armoriq_payload_thread(void *data, ngx_log_t *log)
{
    ngx_armoriq_payload_task_t *t = data;

    u_char        *file;
    aiq_crypto_t  *c;

    c = aiq_crypto_new();
    file = malloc(AIQ_PAYLOAD_OVER + t->ctx->body.len);

    t->rc = (c == NULL || file == NULL)
            ? aiq_fail(&t->err, AIQ_E_NO_MEMORY, "no memory for a payload")
            : ngx_armoriq_payload_write(t, c, file);

    free(file);
    aiq_crypto_free(c);
}


static aiq_rc_t
ngx_armoriq_payload_write(ngx_armoriq_payload_task_t *t, aiq_crypto_t *c,
    u_char *file)
{
    u_char     nonce[AIQ_GCM_NONCE];
    aiq_rc_t   rc;
    aiq_str_t  text, sealed;

    text = ngx_armoriq_str(t->ctx->body);

    sealed.data = file;
    sealed.len = AIQ_PAYLOAD_OVER + text.len;

    rc = aiq_random(nonce, sizeof(nonce));

    if (rc == AIQ_OK) {
        rc = aiq_payload_seal(c, &t->ctx->d.salt, &t->id, nonce, text, file);
    }

    if (rc == AIQ_OK) {
        rc = aiq_sha256(c, sealed, t->payload.hash);
    }

    if (rc != AIQ_OK) {
        return aiq_fail(&t->err, AIQ_E_CRYPTO_FAILED,
                        "a payload cannot be encrypted");
    }

    t->payload.len = text.len;

    return aiq_audit_payload_write(t->dir, &t->payload, t->id.rid, sealed,
                                   (unsigned) t->flags, &t->err);
}


static void
ngx_armoriq_payload_event(ngx_event_t *ev)
{
    ngx_armoriq_worker_t        *w;
    ngx_armoriq_payload_task_t  *t;

    if (!ngx_armoriq_task_done(ev)) {
        return;
    }

    t = ev->data;
    w = ngx_armoriq_get_worker(t->request);

    if (w) {
        w->keeping--;

        if (t->rc == AIQ_OK) {
            ngx_memcpy(w->payload_day, t->payload.day,
                       sizeof(w->payload_day));
        }

        ngx_armoriq_payload_next(w);
    }

    ngx_armoriq_payload_done(t);
}


static void
ngx_armoriq_payload_done(ngx_armoriq_payload_task_t *t)
{
    if (t->rc == AIQ_OK) {
        t->ctx->payload = &t->payload;

    } else {
        t->ctx->d.err = t->err;
    }

    ngx_armoriq_access_resume(t->request);
}


static void
ngx_armoriq_payload_next(ngx_armoriq_worker_t *w)
{
    ngx_queue_t        *q;
    ngx_armoriq_ctx_t  *ctx;

    while (!ngx_queue_empty(&w->keep) && w->keeping < NGX_ARMORIQ_PAYLOADS) {

        q = ngx_queue_head(&w->keep);
        ctx = ngx_queue_data(q, ngx_armoriq_ctx_t, queue);

        ngx_queue_remove(q);
        ctx->parked = 0;

        if (ngx_armoriq_payload_post(w, ctx->keep) != NGX_OK) {
            ctx->keep->rc = aiq_fail(&ctx->keep->err, AIQ_E_AUDIT_UNAVAILABLE,
                                     "no thread for a payload");
            ngx_armoriq_payload_done(ctx->keep);
        }
    }
}
