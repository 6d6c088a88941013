
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The journal: records go into a ring in the zone; a thread of any worker
 * writes them (ngx_armoriq_flush.c).  Requests wait for that without blocking
 * anything.
 */


#include "ngx_armoriq_journal.h"


#define NGX_ARMORIQ_RETRY        1000     /* after a failure, milliseconds */


static void ngx_armoriq_journal_post(ngx_armoriq_journal_t *j);
static void ngx_armoriq_journal_thread(void *data, ngx_log_t *log);
static ngx_uint_t ngx_armoriq_journal_tell(ngx_armoriq_journal_t *j);
static void ngx_armoriq_journal_event(ngx_event_t *ev);
static void ngx_armoriq_journal_wake(ngx_armoriq_journal_t *j, uint64_t done);
static void ngx_armoriq_journal_signed(ngx_armoriq_journal_t *j);
static void ngx_armoriq_journal_retry(ngx_event_t *ev);
static ngx_uint_t ngx_armoriq_journal_result(ngx_armoriq_journal_t *j,
    ngx_armoriq_ctx_t *ctx);


ngx_int_t
ngx_armoriq_journal_init(ngx_armoriq_worker_t *w)
{
    ngx_armoriq_journal_t  *j;

    j = ngx_pcalloc(w->cycle->pool, sizeof(ngx_armoriq_journal_t));
    if (j == NULL) {
        return NGX_ERROR;
    }

    j->task = ngx_thread_task_alloc(w->cycle->pool,
                                    sizeof(ngx_armoriq_journal_t *));
    if (j->task == NULL) {
        return NGX_ERROR;
    }

    *(ngx_armoriq_journal_t **) j->task->ctx = j;

    j->task->handler = ngx_armoriq_journal_thread;
    j->task->event.handler = ngx_armoriq_journal_event;
    j->task->event.data = j;

    j->retry.handler = ngx_armoriq_journal_retry;
    j->retry.data = j;
    j->retry.log = w->cycle->log;
    j->retry.cancelable = 1;

    j->worker = w;
    j->zone = w->conf->zone->data;

    ngx_queue_init(&j->waiting);

    /* a description of its own in each process: flock() goes by that */

    if (aiq_audit_lock_file((char *) w->conf->audit.data,
                            NGX_ARMORIQ_FLUSH_LOCK, &j->lock, &j->err)
        != AIQ_OK)
    {
        ngx_log_error(NGX_LOG_EMERG, w->cycle->log, 0, "armoriq: %s",
                      j->err.text);
        return NGX_ERROR;
    }

    j->crypto = aiq_crypto_new();

    if (j->crypto == NULL) {
        ngx_log_error(NGX_LOG_EMERG, w->cycle->log, 0,
                      "armoriq: libcrypto cannot be used");
        return NGX_ERROR;
    }

    if (aiq_audit_open(&j->log, (char *) w->conf->audit.data, &j->err)
        != AIQ_OK)
    {
        ngx_log_error(NGX_LOG_EMERG, w->cycle->log, 0,
                      "armoriq: the audit log cannot be opened: %s",
                      j->err.text);
        return NGX_ERROR;
    }

    aiq_audit_keep(j->log, &w->conf->keep);
    aiq_audit_share(j->log, &j->zone->sh->fate);

    w->journal = j;

    ngx_armoriq_life_init(w);

    return NGX_OK;
}


/* what is in the ring when a worker goes is written before it goes */

void
ngx_armoriq_journal_exit(ngx_armoriq_worker_t *w)
{
    ngx_uint_t              told;
    ngx_armoriq_journal_t  *j;

    j = w->journal;

    if (j == NULL) {
        return;
    }

    j->leaving = 1;

    ngx_armoriq_life_stop(w);

    if (j->retry.timer_set) {
        ngx_del_timer(&j->retry);
    }

    if (j->task->event.timer_set) {
        ngx_del_timer(&j->task->event);
    }

    /* the thread pool, a module before this one, has joined its threads */

    ngx_armoriq_flush(j);

    told = ngx_armoriq_journal_tell(j);

    told |= ngx_armoriq_life_lost(w, 1);

    if (ngx_armoriq_life_exit(w) || told) {
        ngx_armoriq_flush(j);
    }

    w->journal = NULL;

    aiq_audit_close(j->log);
    aiq_crypto_free(j->crypto);

    if (j->lock != NGX_INVALID_FILE) {
        (void) close(j->lock);
    }
}


/*
 * NGX_OK, or NGX_ERROR if there is no room: the call must be refused.  While
 * there is none but the reserve, that is for what nobody waits for.
 *
 * Denials, which anybody can cause, get half of the ring, calls three quarters
 * of it: what became of a call that was let through always has room.  Denials
 * without are counted, which the log is told (NGX_BUSY).
 */

ngx_int_t
ngx_armoriq_journal_append(ngx_armoriq_worker_t *w, aiq_str_t body,
    ngx_uint_t flags, uint64_t *record)
{
    size_t                  size, end, room;
    ngx_uint_t              low, denied, waited;
    ngx_armoriq_entry_t    *e;
    ngx_armoriq_shctx_t    *sh;
    ngx_armoriq_journal_t  *j;

    j = w->journal;

    if (j == NULL || body.len > AIQ_AUDIT_BODY_MAX) {
        return NGX_ERROR;
    }

    sh = j->zone->sh;
    size = ngx_armoriq_entry_size(body.len);

    /*
     * First: what is waited for must have somebody who will write it.  If the
     * thread has looked before the record is there, its event looks again.
     */

    ngx_armoriq_journal_post(j);

    waited = (flags & NGX_ARMORIQ_RECORD_WAITED) ? 1 : 0;
    denied = (flags & NGX_ARMORIQ_RECORD_DENIED) ? 1 : 0;

    room = denied ? sh->size / 2 : waited ? sh->size / 4 * 3 : sh->size;

    if (w->conf->durability & AIQ_AUDIT_FSYNC) {
        flags |= NGX_ARMORIQ_ENTRY_SYNC;
    }

    ngx_shmtx_lock(&j->zone->shpool->mutex);

    low = sh->low;
    end = sh->size - (size_t) (sh->head % sh->size);

    if ((waited && (low || !j->posted))
        || sh->head + (end < size ? end : 0) + size - sh->tail > room)
    {
        sh->turned += waited;
        sh->lost += denied;

        ngx_shmtx_unlock(&j->zone->shpool->mutex);

        if (low) {
            ngx_armoriq_life_low(w);
        }

        return denied ? NGX_BUSY : NGX_ERROR;
    }

    if (end < size) {

        /* sizes are multiples of 16, as is the ring: a pad always fits */

        e = (ngx_armoriq_entry_t *) (sh->ring + sh->head % sh->size);
        e->len = (uint32_t) (end - sizeof(ngx_armoriq_entry_t));
        e->flags = NGX_ARMORIQ_ENTRY_PAD;
        e->record = 0;

        sh->head += end;
    }

    e = (ngx_armoriq_entry_t *) (sh->ring + sh->head % sh->size);
    e->len = (uint32_t) body.len;
    e->flags = (uint32_t) flags;
    e->record = sh->next;

    ngx_memcpy((u_char *) e + sizeof(ngx_armoriq_entry_t), body.data,
               body.len);

    *record = sh->next++;

    /* last: a worker that dies before this line leaves nothing behind */

    sh->head += size;

    ngx_shmtx_unlock(&j->zone->shpool->mutex);

    return NGX_OK;
}


/* parks the request until its record has a result */

ngx_int_t
ngx_armoriq_journal_wait(ngx_armoriq_worker_t *w, ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx)
{
    if (w->journal == NULL || !w->journal->posted) {
        return NGX_ERROR;
    }

    ngx_queue_insert_tail(&w->journal->waiting, &ctx->queue);
    ctx->parked = 1;

    /* keeps the request, also if the client goes; see the log phase */

    r->main->blocked++;
    r->aio = 1;

    r->read_event_handler = ngx_http_test_reading;

    return NGX_OK;
}


/* looks for room, or whether there is something to write */

void
ngx_armoriq_journal_look(ngx_armoriq_worker_t *w)
{
    if (w->journal) {
        ngx_armoriq_journal_post(w->journal);
    }
}


static void
ngx_armoriq_journal_post(ngx_armoriq_journal_t *j)
{
    if (j->posted || j->leaving || j->retry.timer_set) {
        return;
    }

    if (ngx_armoriq_task_post(j->worker->conf->thread_pool, j->task)
        != NGX_OK)
    {
        ngx_add_timer(&j->retry, NGX_ARMORIQ_RETRY);
        return;
    }

    j->posted = 1;
}


static void
ngx_armoriq_journal_thread(void *data, ngx_log_t *log)
{
    ngx_armoriq_flush(*(ngx_armoriq_journal_t **) data);
}


static ngx_uint_t
ngx_armoriq_journal_tell(ngx_armoriq_journal_t *j)
{
    if (j->plain) {
        j->plain = 0;

        ngx_log_error(NGX_LOG_WARN, j->worker->cycle->log, 0,
                      "armoriq: the file system of the audit log cannot "
                      "reserve room: a full disk will be noticed when it is "
                      "full");
    }

    if (!j->changed) {
        return 0;
    }

    j->changed = 0;

    ngx_armoriq_life_state(j->worker, j->state,
                           j->state == NGX_ARMORIQ_LOG_FAILED ? j->err.text
                                                              : j->low.text,
                           j->refused);
    return 1;
}


/* back in the event loop: whoever has a result goes on */

static void
ngx_armoriq_journal_event(ngx_event_t *ev)
{
    uint64_t                done;
    ngx_uint_t              failed, low, pending;
    ngx_armoriq_shctx_t    *sh;
    ngx_armoriq_journal_t  *j;

    if (!ngx_armoriq_task_done(ev)) {
        return;
    }

    j = ev->data;
    sh = j->zone->sh;

    j->posted = 0;

    failed = j->failed;

    /* not at once: what is appended below would ask for it */

    if (failed && !j->retry.timer_set
        && (!ngx_exiting || !ngx_queue_empty(&j->waiting)))
    {
        /* a worker does not go while somebody waits for it */

        j->retry.cancelable = ngx_queue_empty(&j->waiting) ? 1 : 0;

        ngx_add_timer(&j->retry, NGX_ARMORIQ_RETRY);
    }

    ngx_armoriq_journal_signed(j);

    (void) ngx_armoriq_journal_tell(j);

    if (!failed) {
        ngx_armoriq_life_lost(j->worker, 0);
    }

    ngx_shmtx_lock(&j->zone->shpool->mutex);

    low = sh->low;
    done = sh->done;
    pending = (sh->head != sh->tail);

    ngx_shmtx_unlock(&j->zone->shpool->mutex);

    if (low) {
        ngx_armoriq_life_low(j->worker);
    }

    /* while this group was written, the next one has come together */

    if (pending && !failed) {
        ngx_armoriq_journal_post(j);
    }

    ngx_armoriq_journal_wake(j, done);
}


/* those whose record has a result; who goes on may append others */

static void
ngx_armoriq_journal_wake(ngx_armoriq_journal_t *j, uint64_t done)
{
    ngx_queue_t        *q, ready;
    ngx_armoriq_ctx_t  *ctx;

    ngx_queue_init(&ready);

    while (!ngx_queue_empty(&j->waiting)) {

        q = ngx_queue_head(&j->waiting);
        ctx = ngx_queue_data(q, ngx_armoriq_ctx_t, queue);

        if (ctx->record >= done) {
            break;
        }

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&ready, q);
    }

    while (!ngx_queue_empty(&ready)) {

        q = ngx_queue_head(&ready);
        ctx = ngx_queue_data(q, ngx_armoriq_ctx_t, queue);

        ngx_queue_remove(q);
        ctx->parked = 0;

        ctx->recorded = ngx_armoriq_journal_result(j, ctx) ? 1 : 0;

        ngx_armoriq_access_resume(ctx->request);
    }
}


/* a segment that is complete is signed at once */

static void
ngx_armoriq_journal_signed(ngx_armoriq_journal_t *j)
{
    ngx_uint_t  n;

    n = j->wrote;

    if (j->rotated) {
        n = ngx_max(n, j->worker->conf->checkpoint_records);
    }

    if (n) {
        ngx_armoriq_sign_wrote(j->worker, n);
    }

    j->rotated = 0;
    j->wrote = 0;
}


static void
ngx_armoriq_journal_retry(ngx_event_t *ev)
{
    ngx_armoriq_journal_post(ev->data);
}


/* 1 and ctx->intent, or 0: not written, or no longer known */

static ngx_uint_t
ngx_armoriq_journal_result(ngx_armoriq_journal_t *j, ngx_armoriq_ctx_t *ctx)
{
    ngx_uint_t             ok;
    ngx_armoriq_result_t  *res;

    res = ngx_armoriq_result_of(j->zone->sh, ctx->record);

    ngx_shmtx_lock(&j->zone->shpool->mutex);

    ok = (res->record == ctx->record && res->written != NGX_ARMORIQ_LOST);

    if (ok) {
        ctx->intent = res->pos;
        ctx->unsure = (res->written == NGX_ARMORIQ_UNSURE);
    }

    ngx_shmtx_unlock(&j->zone->shpool->mutex);

    return ok;
}
