
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The thread of the journal: takes what is in the ring, writes and syncs it as
 * one group, and says what became of each record.  The number in the chain is
 * given when the group is written, so a worker that dies in between leaves no
 * gap.
 *
 * A group that cannot be written leaves the ring as it is, but for what got
 * into the file in spite of that, and for the records that somebody waits
 * for: those are void, their requests refused.
 */


#include <sys/file.h>

#include "ngx_armoriq_journal.h"


#define NGX_ARMORIQ_GROUP        1024     /* records of one write */
#define NGX_ARMORIQ_GROUP_BYTES  1048576  /* and no more when it is as long */
#define NGX_ARMORIQ_FRONT        128      /* of a line, before its body */


/* what one group is made of */

typedef struct {
    aiq_str_t                 bodies[NGX_ARMORIQ_GROUP];
    ngx_armoriq_entry_t      *entries[NGX_ARMORIQ_GROUP];
    aiq_audit_pos_t           pos[NGX_ARMORIQ_GROUP];
    ngx_uint_t                n;
    size_t                    len;        /* of the lines, roughly */
    uint64_t                  tail;       /* behind the group */
    uint64_t                  next;       /* record behind those in it */
    unsigned                  flags;      /* AIQ_AUDIT_FSYNC */
} ngx_armoriq_group_t;


static aiq_rc_t ngx_armoriq_flush_run(ngx_armoriq_journal_t *j);
static void ngx_armoriq_flush_state(ngx_armoriq_journal_t *j);
static void ngx_armoriq_flush_collect(ngx_armoriq_journal_t *j,
    ngx_armoriq_group_t *g);
static aiq_rc_t ngx_armoriq_flush_write(ngx_armoriq_journal_t *j,
    ngx_armoriq_group_t *g);
static aiq_rc_t ngx_armoriq_flush_prepare(ngx_armoriq_journal_t *j,
    ngx_armoriq_group_t *g);
static void ngx_armoriq_flush_refuse(ngx_armoriq_journal_t *j,
    ngx_armoriq_group_t *g);
static aiq_rc_t ngx_armoriq_flush_learn(ngx_armoriq_journal_t *j,
    uint64_t seq);
static aiq_rc_t ngx_armoriq_flush_resume(ngx_armoriq_journal_t *j);
static aiq_rc_t ngx_armoriq_flush_found(void *data, aiq_str_t line);
static void ngx_armoriq_flush_unsure(ngx_armoriq_journal_t *j,
    ngx_armoriq_group_t *g);
static void ngx_armoriq_flush_void(ngx_armoriq_journal_t *j);


/* what cannot be written now is void, if somebody waits for it */

void
ngx_armoriq_flush(ngx_armoriq_journal_t *j)
{
    ngx_uint_t  locked;

    j->proved = 0;

    locked = (aiq_audit_turn(j->log, NGX_ARMORIQ_FLUSH_LOCK, &j->lock, &j->err)
              == AIQ_OK);

    j->failed = (!locked || ngx_armoriq_flush_run(j) != AIQ_OK);

    if (j->failed) {
        ngx_armoriq_flush_void(j);
    }

    ngx_armoriq_flush_state(j);

    if (locked) {
        (void) flock(j->lock, LOCK_UN);
    }
}


/*
 * One thread at a time, over all workers: the lock is the file's.  All that
 * is in the ring goes, group by group, so whoever comes next finds its
 * records written.
 */

static aiq_rc_t
ngx_armoriq_flush_run(ngx_armoriq_journal_t *j)
{
    aiq_rc_t              rc;
    uint64_t              head;
    ngx_armoriq_group_t   g;
    ngx_armoriq_shctx_t  *sh;

    sh = j->zone->sh;

    if (sh->writing) {
        rc = ngx_armoriq_flush_resume(j);

        if (rc != AIQ_OK) {
            return rc;
        }
    }

    ngx_shmtx_lock(&j->zone->shpool->mutex);
    head = sh->head;
    ngx_shmtx_unlock(&j->zone->shpool->mutex);

    for ( ;; ) {

        ngx_armoriq_flush_collect(j, &g);

        if (g.tail == sh->tail) {
            return sh->low ? ngx_armoriq_flush_prepare(j, &g) : AIQ_OK;
        }

        rc = ngx_armoriq_flush_write(j, &g);

        /* not forever: those that wait for this group want to go on */

        if (rc != AIQ_OK || sh->tail >= head) {
            return rc;
        }
    }
}


/* what this flush says of the log: a change is told by whoever has seen it */

static void
ngx_armoriq_flush_state(ngx_armoriq_journal_t *j)
{
    uint32_t              state;
    ngx_armoriq_shctx_t  *sh;

    sh = j->zone->sh;

    ngx_shmtx_lock(&j->zone->shpool->mutex);

    state = sh->low ? NGX_ARMORIQ_LOG_DEGRADED : NGX_ARMORIQ_LOG_OK;

    if (j->failed || (sh->state == NGX_ARMORIQ_LOG_FAILED && !j->proved)) {
        state = NGX_ARMORIQ_LOG_FAILED;
    }

    if (state != sh->state) {
        sh->state = state;

        j->changed = 1;
        j->state = state;
        j->refused = sh->turned;

        if (state == NGX_ARMORIQ_LOG_OK) {
            sh->turned = 0;
        }
    }

    ngx_shmtx_unlock(&j->zone->shpool->mutex);
}


/* the ring below head does not change: it is read without its lock */

static void
ngx_armoriq_flush_collect(ngx_armoriq_journal_t *j, ngx_armoriq_group_t *g)
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
    g->len = 0;
    g->next = 0;
    g->flags = 0;

    while (g->tail < head && g->n < NGX_ARMORIQ_GROUP
           && g->len < NGX_ARMORIQ_GROUP_BYTES)
    {
        e = (ngx_armoriq_entry_t *) (sh->ring + g->tail % sh->size);

        /* one that is void has its result */

        if (!(e->flags & NGX_ARMORIQ_ENTRY_PAD)) {
            g->next = e->record + 1;
        }

        if (!(e->flags & (NGX_ARMORIQ_ENTRY_PAD|NGX_ARMORIQ_ENTRY_VOID))) {
            g->bodies[g->n].data = (u_char *) e + sizeof(ngx_armoriq_entry_t);
            g->bodies[g->n].len = e->len;
            g->entries[g->n++] = e;
            g->len += e->len + NGX_ARMORIQ_FRONT;

            /* workers of before a reload write what the new ones wait for */

            if (e->flags & NGX_ARMORIQ_ENTRY_SYNC) {
                g->flags = AIQ_AUDIT_FSYNC;
            }
        }

        g->tail += ngx_armoriq_entry_size(e->len);
    }
}


static aiq_rc_t
ngx_armoriq_flush_write(ngx_armoriq_journal_t *j, ngx_armoriq_group_t *g)
{
    aiq_rc_t               rc;
    ngx_uint_t             i;
    struct timeval         tv;
    ngx_armoriq_shctx_t   *sh;
    ngx_armoriq_result_t  *res;

    sh = j->zone->sh;

    if (g->n) {
        rc = ngx_armoriq_flush_prepare(j, g);

        if (rc != AIQ_OK) {
            return rc;
        }
    }

    if (g->n) {
        ngx_gettimeofday(&tv);

        rc = aiq_audit_append(j->log, g->bodies, (unsigned) g->n,
                              g->flags,
                              (int64_t) tv.tv_sec * 1000000 + tv.tv_usec,
                              j->crypto, g->pos, &j->err);
        if (rc != AIQ_OK) {
            ngx_armoriq_flush_unsure(j, g);
            return rc;
        }

        j->wrote += g->n;
        j->proved = 1;
    }

    ngx_shmtx_lock(&j->zone->shpool->mutex);

    for (i = 0; i < g->n; i++) {
        res = ngx_armoriq_result_of(sh, g->entries[i]->record);

        res->record = g->entries[i]->record;
        res->written = NGX_ARMORIQ_WRITTEN;
        res->pos = g->pos[i];

    }

    /* what was left by a failure is behind those that it has voided */

    if (sh->done < g->next) {
        sh->done = g->next;
    }

    if (g->n) {
        sh->known = g->pos[g->n - 1].seq;
        sh->wrote = ngx_armoriq_life_now();
    }

    sh->tail = g->tail;
    sh->writing = 0;

    ngx_shmtx_unlock(&j->zone->shpool->mutex);

    return AIQ_OK;
}


/*
 * Before a group is written: room for it, perhaps a new segment; and where it
 * begins in the log and ends in the ring.
 */

static aiq_rc_t
ngx_armoriq_flush_prepare(ngx_armoriq_journal_t *j, ngx_armoriq_group_t *g)
{
    aiq_rc_t              rc;
    struct timeval        tv;
    aiq_audit_state_t     st;
    ngx_armoriq_shctx_t  *sh;

    sh = j->zone->sh;

    ngx_memzero(&st, sizeof(aiq_audit_state_t));

    ngx_shmtx_lock(&j->zone->shpool->mutex);

    st.low = sh->low ? 1 : 0;
    st.tried_us = sh->tried;

    ngx_shmtx_unlock(&j->zone->shpool->mutex);

    ngx_gettimeofday(&tv);

    rc = aiq_audit_prepare(j->log, g->len,
                           (int64_t) tv.tv_sec * 1000000 + tv.tv_usec,
                           j->crypto, &st, &j->low);
    if (rc != AIQ_OK) {
        j->err = j->low;
        return rc;
    }

    j->rotated |= st.rotated;

    /* one more record than there was: ROTATE, which uses no step */

    if (st.rotated && sh->known + 1 == st.seq) {
        sh->known = st.seq;
    }

    if (st.seq != sh->known) {
        rc = ngx_armoriq_flush_learn(j, st.seq);

        if (rc != AIQ_OK) {
            return rc;
        }
    }

    ngx_shmtx_lock(&j->zone->shpool->mutex);

    /* a worker that is to go may have been told of another reserve */

    if (st.low || !ngx_exiting) {
        sh->low = st.low;
        sh->tried = st.tried_us;
    }

    if (sh->low) {
        ngx_armoriq_flush_refuse(j, g);
    }

    if (st.plain && !sh->plain) {
        sh->plain = 1;
        j->plain = 1;
    }

    if (g->n) {
        sh->base = st.seq;
        sh->group = g->tail;
        sh->writing = 1;
    }

    ngx_shmtx_unlock(&j->zone->shpool->mutex);

    return AIQ_OK;
}


/* under the mutex: the reserve is not for calls that are to be let through */

static void
ngx_armoriq_flush_refuse(ngx_armoriq_journal_t *j, ngx_armoriq_group_t *g)
{
    ngx_uint_t             i, n;
    ngx_armoriq_result_t  *res;

    for (i = 0, n = 0; i < g->n; i++) {

        if (!(g->entries[i]->flags & NGX_ARMORIQ_RECORD_WAITED)) {
            g->entries[n] = g->entries[i];
            g->bodies[n++] = g->bodies[i];
            continue;
        }

        g->entries[i]->flags |= NGX_ARMORIQ_ENTRY_VOID;

        res = ngx_armoriq_result_of(j->zone->sh, g->entries[i]->record);

        res->record = g->entries[i]->record;
        res->written = NGX_ARMORIQ_LOST;

        j->zone->sh->turned++;
    }

    g->n = n;
}


/*
 * Somebody else has written to the log: another nginx, while one binary takes
 * over from the other.  Steps that it has let be used are used here as well.
 * Whoever writes first has the step; the other one finds that out before its
 * call leaves (aiq_decide_again).  What the other one gives back stays used
 * here.
 */

static aiq_rc_t
ngx_armoriq_flush_learn(ngx_armoriq_journal_t *j, uint64_t seq)
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
ngx_armoriq_flush_resume(ngx_armoriq_journal_t *j)
{
    aiq_rc_t              rc;
    uint64_t              seq;
    ngx_armoriq_shctx_t  *sh;

    sh = j->zone->sh;

    rc = aiq_audit_position(j->log, j->crypto, &seq, &j->err);

    if (rc == AIQ_OK && seq > sh->base) {
        j->found = sh->tail;

        rc = aiq_audit_scan_behind((char *) j->worker->conf->audit.data,
                                   sh->base, ngx_armoriq_flush_found, j,
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
ngx_armoriq_flush_found(void *data, aiq_str_t line)
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

        res = ngx_armoriq_result_of(sh, e->record);
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
ngx_armoriq_flush_unsure(ngx_armoriq_journal_t *j, ngx_armoriq_group_t *g)
{
    ngx_uint_t             i;
    ngx_armoriq_result_t  *res;

    ngx_shmtx_lock(&j->zone->shpool->mutex);

    for (i = 0; i < g->n; i++) {

        if (g->pos[i].seq == 0) {
            continue;
        }

        g->entries[i]->flags |= NGX_ARMORIQ_ENTRY_VOID;

        res = ngx_armoriq_result_of(j->zone->sh, g->entries[i]->record);

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
ngx_armoriq_flush_void(ngx_armoriq_journal_t *j)
{
    uint64_t               pos;
    ngx_armoriq_entry_t   *e;
    ngx_armoriq_shctx_t   *sh;
    ngx_armoriq_result_t  *res;

    sh = j->zone->sh;

    ngx_shmtx_lock(&j->zone->shpool->mutex);

    for (pos = sh->tail; pos < sh->head; /* void */ ) {

        e = (ngx_armoriq_entry_t *) (sh->ring + pos % sh->size);
        pos += ngx_armoriq_entry_size(e->len);

        if (!(e->flags & NGX_ARMORIQ_RECORD_WAITED)
            || (e->flags & NGX_ARMORIQ_ENTRY_VOID))
        {
            continue;
        }

        e->flags |= NGX_ARMORIQ_ENTRY_VOID;

        res = ngx_armoriq_result_of(sh, e->record);
        res->record = e->record;
        res->written = NGX_ARMORIQ_LOST;

        sh->turned++;
    }

    sh->done = sh->next;

    ngx_shmtx_unlock(&j->zone->shpool->mutex);
}
