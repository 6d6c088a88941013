
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The journal: records go into a ring in the zone; a thread of any worker
 * takes all that is there, writes and syncs it as one group, and says what
 * became of each record.  Requests wait for that without blocking anything.
 * The number in the chain is given when the group is written, so a worker
 * that dies in between leaves no gap.
 *
 * A group that cannot be written leaves the ring as it is, but for what got
 * into the file in spite of that, and for the records that somebody waits
 * for: those are void, their requests refused.
 */


#include <sys/file.h>

#include "ngx_armoriq_shm.h"


#define NGX_ARMORIQ_GROUP        256      /* records of one write */
#define NGX_ARMORIQ_RETRY        1000     /* after a failure, milliseconds */


typedef struct ngx_armoriq_journal_s {
    ngx_armoriq_worker_t     *worker;
    ngx_armoriq_zone_t       *zone;
    ngx_thread_task_t        *task;
    ngx_queue_t               waiting;    /* ngx_armoriq_ctx_t */
    ngx_event_t               retry;
    ngx_uint_t                posted;     /* unsigned  posted:1; */

    /* of the thread, while it runs */

    aiq_audit_t              *log;
    aiq_crypto_t             *crypto;
    ngx_fd_t                  lock;
    uint64_t                  found;      /* in the ring, see resume */
    ngx_uint_t                wrote;      /* records, since last told */
    ngx_uint_t                failed;     /* unsigned  failed:1; */
    aiq_err_t                 err;
} ngx_armoriq_journal_t;


/* what one group is made of */

typedef struct {
    aiq_str_t                 bodies[NGX_ARMORIQ_GROUP];
    ngx_armoriq_entry_t      *entries[NGX_ARMORIQ_GROUP];
    aiq_audit_pos_t           pos[NGX_ARMORIQ_GROUP];
    ngx_uint_t                n;
    uint64_t                  tail;       /* behind the group */
} ngx_armoriq_group_t;


static void ngx_armoriq_journal_post(ngx_armoriq_journal_t *j);
static void ngx_armoriq_journal_thread(void *data, ngx_log_t *log);
static void ngx_armoriq_journal_flush(ngx_armoriq_journal_t *j);
static aiq_rc_t ngx_armoriq_journal_write(ngx_armoriq_journal_t *j,
    ngx_armoriq_group_t *g);
static void ngx_armoriq_journal_collect(ngx_armoriq_journal_t *j,
    ngx_armoriq_group_t *g);
static aiq_rc_t ngx_armoriq_journal_mark(ngx_armoriq_journal_t *j,
    ngx_armoriq_group_t *g);
static aiq_rc_t ngx_armoriq_journal_learn(ngx_armoriq_journal_t *j,
    uint64_t seq);
static aiq_rc_t ngx_armoriq_journal_resume(ngx_armoriq_journal_t *j);
static aiq_rc_t ngx_armoriq_journal_found(void *data, aiq_str_t line);
static void ngx_armoriq_journal_unsure(ngx_armoriq_journal_t *j,
    ngx_armoriq_group_t *g);
static void ngx_armoriq_journal_void(ngx_armoriq_journal_t *j);
static void ngx_armoriq_journal_event(ngx_event_t *ev);
static void ngx_armoriq_journal_retry(ngx_event_t *ev);
static ngx_uint_t ngx_armoriq_journal_result(ngx_armoriq_journal_t *j,
    ngx_armoriq_ctx_t *ctx);
static void ngx_armoriq_journal_open(ngx_armoriq_journal_t *j);
static ngx_int_t ngx_armoriq_journal_lock(ngx_armoriq_journal_t *j);


ngx_int_t
ngx_armoriq_journal_init(ngx_armoriq_worker_t *w)
{
    u_char                  name[NGX_MAX_PATH];
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

    (void) ngx_snprintf(name, NGX_MAX_PATH, "%V/flush.lock%Z",
                        &w->conf->audit);

    j->lock = open((char *) name, O_RDWR|O_CREAT|O_CLOEXEC|O_NOFOLLOW, 0600);

    if (j->lock == NGX_INVALID_FILE) {
        ngx_log_error(NGX_LOG_EMERG, w->cycle->log, ngx_errno,
                      "armoriq: open() \"%s\" failed", name);
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

    w->journal = j;

    ngx_armoriq_journal_open(j);

    return NGX_OK;
}


/* the first worker of a zone says that the log goes on, and with what */

static void
ngx_armoriq_journal_open(ngx_armoriq_journal_t *j)
{
    u_char                buf[512], members[128];
    uint64_t              record;
    aiq_str_t             s;
    aiq_out_t             out;
    ngx_uint_t            first;
    struct timeval        tv;
    ngx_armoriq_shctx_t  *sh;

    sh = j->zone->sh;

    ngx_shmtx_lock(&j->zone->shpool->mutex);

    first = !sh->opened;
    sh->opened = 1;

    ngx_shmtx_unlock(&j->zone->shpool->mutex);

    if (!first) {
        return;
    }

    s.data = members;
    s.len = ngx_snprintf(members, sizeof(members),
                         "\"version\":\"%s\",\"nginx\":\"%s\"", AIQ_VERSION,
                         NGINX_VERSION)
            - members;

    ngx_gettimeofday(&tv);

    aiq_out_init(&out, buf, sizeof(buf));
    aiq_audit_write_event(&out, "OPEN",
                          (int64_t) tv.tv_sec * 1000000 + tv.tv_usec,
                          ngx_armoriq_str(j->worker->inst), s);

    if (!out.failed) {
        (void) ngx_armoriq_journal_append(j->worker, aiq_out_done(&out), 0,
                                          &record);
    }
}


/* what is in the ring when a worker goes is written before it goes */

void
ngx_armoriq_journal_exit(ngx_armoriq_worker_t *w)
{
    ngx_armoriq_journal_t  *j;

    j = w->journal;

    if (j == NULL) {
        return;
    }

    w->journal = NULL;

    if (j->retry.timer_set) {
        ngx_del_timer(&j->retry);
    }

    if (j->task->event.timer_set) {
        ngx_del_timer(&j->task->event);
    }

    /* the thread pool, a module before this one, has joined its threads */

    ngx_armoriq_journal_flush(j);

    aiq_audit_close(j->log);
    aiq_crypto_free(j->crypto);

    (void) close(j->lock);
}


/* NGX_OK, or NGX_ERROR if there is no room: the call must be refused */

ngx_int_t
ngx_armoriq_journal_append(ngx_armoriq_worker_t *w, aiq_str_t body,
    ngx_uint_t flags, uint64_t *record)
{
    size_t                  size, end;
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

    if ((flags & NGX_ARMORIQ_RECORD_WAITED) && !j->posted) {
        return NGX_ERROR;
    }

    ngx_shmtx_lock(&j->zone->shpool->mutex);

    end = sh->size - (size_t) (sh->head % sh->size);

    if (sh->head + (end < size ? end : 0) + size - sh->tail > sh->size) {
        sh->failures++;
        ngx_shmtx_unlock(&j->zone->shpool->mutex);
        return NGX_ERROR;
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


static void
ngx_armoriq_journal_post(ngx_armoriq_journal_t *j)
{
    if (j->posted || j->retry.timer_set) {
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
    ngx_armoriq_journal_flush(*(ngx_armoriq_journal_t **) data);
}


/*
 * One thread at a time, over all workers: the lock is the file's.  All that
 * is in the ring goes, group by group, so whoever comes next finds its
 * records written.
 */

static void
ngx_armoriq_journal_flush(ngx_armoriq_journal_t *j)
{
    uint64_t              head;
    ngx_armoriq_group_t   g;
    ngx_armoriq_shctx_t  *sh;

    sh = j->zone->sh;
    j->failed = 0;

    if (ngx_armoriq_journal_lock(j) != NGX_OK) {
        j->failed = 1;
        ngx_armoriq_journal_void(j);
        return;
    }

    if (sh->writing && ngx_armoriq_journal_resume(j) != AIQ_OK) {
        j->failed = 1;
        ngx_armoriq_journal_void(j);

        (void) flock(j->lock, LOCK_UN);
        return;
    }

    ngx_shmtx_lock(&j->zone->shpool->mutex);
    head = sh->head;
    ngx_shmtx_unlock(&j->zone->shpool->mutex);

    for ( ;; ) {

        ngx_armoriq_journal_collect(j, &g);

        if (g.tail == sh->tail) {
            break;
        }

        if (ngx_armoriq_journal_write(j, &g) != AIQ_OK) {
            j->failed = 1;
            ngx_armoriq_journal_void(j);
            break;
        }

        /* not forever: those that wait for this group want to go on */

        if (sh->tail >= head) {
            break;
        }
    }

    (void) flock(j->lock, LOCK_UN);
}


static ngx_int_t
ngx_armoriq_journal_lock(ngx_armoriq_journal_t *j)
{
    while (flock(j->lock, LOCK_EX) == -1) {

        if (ngx_errno != NGX_EINTR) {
            (void) aiq_fail(&j->err, AIQ_E_AUDIT_UNAVAILABLE,
                            "flock() of flush.lock failed");
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* the ring below head does not change: it is read without its lock */

static void
ngx_armoriq_journal_collect(ngx_armoriq_journal_t *j, ngx_armoriq_group_t *g)
{
    uint64_t              head;
    ngx_armoriq_entry_t  *e;
    ngx_armoriq_shctx_t  *sh;

    sh = j->zone->sh;

    ngx_shmtx_lock(&j->zone->shpool->mutex);
    head = sh->head;
    g->tail = sh->tail;
    ngx_shmtx_unlock(&j->zone->shpool->mutex);

    g->n = 0;

    while (g->tail < head && g->n < NGX_ARMORIQ_GROUP) {

        e = (ngx_armoriq_entry_t *) (sh->ring + g->tail % sh->size);

        if (!(e->flags & (NGX_ARMORIQ_ENTRY_PAD|NGX_ARMORIQ_ENTRY_VOID))) {
            g->bodies[g->n].data = (u_char *) e + sizeof(ngx_armoriq_entry_t);
            g->bodies[g->n].len = e->len;
            g->entries[g->n++] = e;
        }

        g->tail += ngx_armoriq_entry_size(e->len);
    }
}


static aiq_rc_t
ngx_armoriq_journal_write(ngx_armoriq_journal_t *j, ngx_armoriq_group_t *g)
{
    aiq_rc_t               rc;
    ngx_uint_t             i;
    struct timeval         tv;
    ngx_armoriq_shctx_t   *sh;
    ngx_armoriq_result_t  *res;

    sh = j->zone->sh;
    rc = AIQ_OK;

    if (g->n) {
        rc = ngx_armoriq_journal_mark(j, g);

        if (rc != AIQ_OK) {
            return rc;
        }

        ngx_gettimeofday(&tv);

        rc = aiq_audit_append(j->log, g->bodies, (unsigned) g->n,
                              j->worker->conf->durability,
                              (int64_t) tv.tv_sec * 1000000 + tv.tv_usec,
                              j->crypto, g->pos, &j->err);
        if (rc != AIQ_OK) {
            ngx_armoriq_journal_unsure(j, g);
            return rc;
        }

        j->wrote += g->n;
    }

    ngx_shmtx_lock(&j->zone->shpool->mutex);

    for (i = 0; i < g->n; i++) {
        res = &sh->results[g->entries[i]->record % NGX_ARMORIQ_RESULTS];

        res->record = g->entries[i]->record;
        res->written = NGX_ARMORIQ_WRITTEN;
        res->pos = g->pos[i];

        /* what was left by a failure is behind those that it has voided */

        if (sh->done <= res->record) {
            sh->done = res->record + 1;
        }
    }

    if (g->n) {
        sh->known = g->pos[g->n - 1].seq;
    }

    sh->tail = g->tail;
    sh->writing = 0;

    ngx_shmtx_unlock(&j->zone->shpool->mutex);

    return AIQ_OK;
}


/* before a group is written: where it begins in the log and ends in the ring */

static aiq_rc_t
ngx_armoriq_journal_mark(ngx_armoriq_journal_t *j, ngx_armoriq_group_t *g)
{
    aiq_rc_t              rc;
    uint64_t              seq;
    ngx_armoriq_shctx_t  *sh;

    rc = aiq_audit_position(j->log, j->crypto, &seq, &j->err);

    if (rc != AIQ_OK) {
        return rc;
    }

    sh = j->zone->sh;

    if (seq != sh->known) {
        rc = ngx_armoriq_journal_learn(j, seq);

        if (rc != AIQ_OK) {
            return rc;
        }
    }

    ngx_shmtx_lock(&j->zone->shpool->mutex);

    sh->base = seq;
    sh->group = g->tail;
    sh->writing = 1;

    ngx_shmtx_unlock(&j->zone->shpool->mutex);

    return AIQ_OK;
}


/*
 * Somebody else has written to the log: another nginx, while one binary takes
 * over from the other.  Steps that it has let be used are used here as well.
 * Whoever writes first has the step; the other one finds that out before its
 * call leaves (aiq_decide_again).  What the other one gives back stays used
 * here.
 */

static aiq_rc_t
ngx_armoriq_journal_learn(ngx_armoriq_journal_t *j, uint64_t seq)
{
    aiq_rc_t              rc;
    uint64_t              known;
    ngx_armoriq_shctx_t  *sh;

    sh = j->zone->sh;
    known = sh->known;

    rc = aiq_audit_uses_behind((char *) j->worker->conf->audit.data, &known,
                               (int64_t) time(NULL), NGX_ARMORIQ_LIFETIME,
                               ngx_armoriq_shm_restore, j->zone, &j->err);

    if (rc == AIQ_OK) {
        sh->known = seq;
    }

    return rc;
}


/*
 * Whoever wrote this group was killed over it.  What has got into the log is
 * not written again; a request that still waits for one of these is refused,
 * and its INTENT stays without an OUTCOME, as those of the dead worker do.
 */

static aiq_rc_t
ngx_armoriq_journal_resume(ngx_armoriq_journal_t *j)
{
    aiq_rc_t              rc;
    uint64_t              seq;
    ngx_armoriq_shctx_t  *sh;

    sh = j->zone->sh;

    rc = aiq_audit_position(j->log, j->crypto, &seq, &j->err);

    if (rc == AIQ_OK && seq > sh->base) {
        j->found = sh->tail;

        rc = aiq_audit_scan_behind((char *) j->worker->conf->audit.data,
                                   sh->base, ngx_armoriq_journal_found, j,
                                   &j->err);
    }

    if (rc != AIQ_OK) {
        return rc;
    }

    ngx_shmtx_lock(&j->zone->shpool->mutex);

    sh->writing = 0;

    ngx_shmtx_unlock(&j->zone->shpool->mutex);

    return AIQ_OK;
}


/* a line behind where the group began: of the group, or of somebody else */

static aiq_rc_t
ngx_armoriq_journal_found(void *data, aiq_str_t line)
{
    ngx_armoriq_journal_t *j = data;

    uint64_t               seq;
    aiq_str_t              body;
    ngx_armoriq_entry_t   *e;
    ngx_armoriq_shctx_t   *sh;
    ngx_armoriq_result_t  *res;

    sh = j->zone->sh;

    ngx_shmtx_lock(&j->zone->shpool->mutex);

    for ( ;; ) {

        if (j->found >= sh->group) {
            goto done;
        }

        e = (ngx_armoriq_entry_t *) (sh->ring + j->found % sh->size);

        if (!(e->flags & (NGX_ARMORIQ_ENTRY_PAD|NGX_ARMORIQ_ENTRY_VOID))) {
            break;
        }

        j->found += ngx_armoriq_entry_size(e->len);
    }

    body.data = (u_char *) e + sizeof(ngx_armoriq_entry_t);
    body.len = e->len;

    seq = aiq_audit_made_of(line, body);

    if (seq) {
        sh->known = seq;
        j->found += ngx_armoriq_entry_size(e->len);

        e->flags |= NGX_ARMORIQ_ENTRY_VOID;

        res = &sh->results[e->record % NGX_ARMORIQ_RESULTS];
        res->record = e->record;
        res->written = NGX_ARMORIQ_LOST;

        if (sh->done <= e->record) {
            sh->done = e->record + 1;
        }
    }

done:

    ngx_shmtx_unlock(&j->zone->shpool->mutex);

    return AIQ_OK;
}


/*
 * What is in the file is not written twice: its INTENT gets an OUTCOME that
 * says "not_sent", and an OUTCOME stands as it is.
 */

static void
ngx_armoriq_journal_unsure(ngx_armoriq_journal_t *j, ngx_armoriq_group_t *g)
{
    ngx_uint_t             i;
    ngx_armoriq_result_t  *res;

    ngx_shmtx_lock(&j->zone->shpool->mutex);

    for (i = 0; i < g->n; i++) {

        if (g->pos[i].seq == 0) {
            continue;
        }

        g->entries[i]->flags |= NGX_ARMORIQ_ENTRY_VOID;

        res = &j->zone->sh->results[g->entries[i]->record
                                    % NGX_ARMORIQ_RESULTS];

        res->record = g->entries[i]->record;
        res->written = NGX_ARMORIQ_UNSURE;
        res->pos = g->pos[i];

        j->zone->sh->known = res->pos.seq;
    }

    j->zone->sh->writing = 0;

    ngx_shmtx_unlock(&j->zone->shpool->mutex);
}


/*
 * Nothing of the ring is on disk for certain.  Those that are waited for will
 * not be executed, so they must not be written later as if they had been;
 * the rest stays, to be written when that is possible again.
 */

static void
ngx_armoriq_journal_void(ngx_armoriq_journal_t *j)
{
    uint64_t               pos;
    ngx_armoriq_entry_t   *e;
    ngx_armoriq_shctx_t   *sh;
    ngx_armoriq_result_t  *res;

    sh = j->zone->sh;

    ngx_shmtx_lock(&j->zone->shpool->mutex);

    sh->failures++;

    for (pos = sh->tail; pos < sh->head; /* void */ ) {

        e = (ngx_armoriq_entry_t *) (sh->ring + pos % sh->size);
        pos += ngx_armoriq_entry_size(e->len);

        if (!(e->flags & NGX_ARMORIQ_RECORD_WAITED)
            || (e->flags & NGX_ARMORIQ_ENTRY_VOID))
        {
            continue;
        }

        e->flags |= NGX_ARMORIQ_ENTRY_VOID;

        res = &sh->results[e->record % NGX_ARMORIQ_RESULTS];
        res->record = e->record;
        res->written = NGX_ARMORIQ_LOST;
    }

    sh->done = sh->next;

    ngx_shmtx_unlock(&j->zone->shpool->mutex);
}


/* back in the event loop: whoever has a result goes on */

static void
ngx_armoriq_journal_event(ngx_event_t *ev)
{
    uint64_t                done;
    ngx_uint_t              pending;
    ngx_queue_t            *q, ready;
    ngx_armoriq_ctx_t      *ctx;
    ngx_armoriq_shctx_t    *sh;
    ngx_armoriq_journal_t  *j;

    if (!ngx_armoriq_task_done(ev)) {
        return;
    }

    j = ev->data;
    sh = j->zone->sh;

    j->posted = 0;

    if (j->failed) {
        ngx_log_error(NGX_LOG_CRIT, j->worker->cycle->log, 0,
                      "armoriq: records cannot be written: %s", j->err.text);

    } else if (j->wrote) {
        ngx_armoriq_sign_wrote(j->worker, j->wrote);
        j->wrote = 0;
    }

    ngx_shmtx_lock(&j->zone->shpool->mutex);

    done = sh->done;
    pending = (sh->head != sh->tail);

    ngx_shmtx_unlock(&j->zone->shpool->mutex);

    if (pending && j->failed) {

        if (!j->retry.timer_set && !ngx_exiting) {
            ngx_add_timer(&j->retry, NGX_ARMORIQ_RETRY);
        }

    } else if (pending) {

        /* while this group was written, the next one has come together */

        ngx_armoriq_journal_post(j);
    }

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

    res = &j->zone->sh->results[ctx->record % NGX_ARMORIQ_RESULTS];

    ngx_shmtx_lock(&j->zone->shpool->mutex);

    ok = (res->record == ctx->record && res->written != NGX_ARMORIQ_LOST);

    if (ok) {
        ctx->intent = res->pos;
        ctx->unsure = (res->written == NGX_ARMORIQ_UNSURE);
    }

    ngx_shmtx_unlock(&j->zone->shpool->mutex);

    return ok;
}
