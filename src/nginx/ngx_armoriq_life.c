
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What the audit log says of nginx itself: that it goes on and with what
 * (OPEN), that it was given another configuration (CONFIG), that nothing
 * happens (HEARTBEAT), that records cannot be written as they should be
 * (STATE), and that it has ended as it was told to (CLOSE).  Each is said once
 * for all workers of a zone: by the one who sees it first.
 */


#include <signal.h>
#include <time.h>

#include "ngx_armoriq_shm.h"


#define NGX_ARMORIQ_LOOK       1000     /* for room, milliseconds */
#define NGX_ARMORIQ_LIFE_BODY  2048


static void ngx_armoriq_life_begin(ngx_armoriq_worker_t *w, char *kind);
static ngx_uint_t ngx_armoriq_life_enter(ngx_armoriq_worker_t *w);
static void ngx_armoriq_life_sweep(ngx_armoriq_shctx_t *sh);
static void ngx_armoriq_life_tick(ngx_event_t *ev);
static ngx_uint_t ngx_armoriq_life_quiet(ngx_armoriq_worker_t *w,
    uint64_t *quiet, ngx_uint_t *low);
static ngx_msec_t ngx_armoriq_life_next(ngx_armoriq_worker_t *w,
    ngx_msec_t quiet);
static void ngx_armoriq_life_event(ngx_armoriq_worker_t *w, char *kind,
    aiq_out_t *members);


/* neither set nor slewed, and the same for all processes */

uint64_t
ngx_armoriq_life_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}


void
ngx_armoriq_life_init(ngx_armoriq_worker_t *w)
{
    char                 *kind;
    ngx_uint_t            same;
    ngx_slab_pool_t      *shpool;
    ngx_armoriq_zone_t   *zone;
    ngx_armoriq_shctx_t  *sh;

    zone = w->conf->zone->data;
    shpool = zone->shpool;
    sh = zone->sh;

    ngx_shmtx_lock(&shpool->mutex);

    same = (ngx_memcmp(sh->config, w->conf->digest, AIQ_HASH_LEN) == 0);
    kind = !sh->opened ? "OPEN" : same ? NULL : "CONFIG";

    sh->opened = 1;
    sh->coming = 0;
    ngx_memcpy(sh->config, w->conf->digest, AIQ_HASH_LEN);

    if (!ngx_armoriq_life_enter(w)) {
        sh->wrote = ngx_armoriq_life_now();
    }

    ngx_shmtx_unlock(&shpool->mutex);

    if (kind) {
        ngx_armoriq_life_begin(w, kind);
    }

    w->tick.handler = ngx_armoriq_life_tick;
    w->tick.data = w;
    w->tick.log = w->cycle->log;
    w->tick.cancelable = 1;

    if (w->conf->heartbeat) {
        ngx_add_timer(&w->tick, w->conf->heartbeat);
    }
}


/* in the master, at a reload: whoever goes now is not the last one */

ngx_int_t
ngx_armoriq_life_reload(ngx_cycle_t *cycle)
{
    ngx_armoriq_zone_t       *zone;
    ngx_armoriq_main_conf_t  *amcf;

    amcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_armoriq_module);

    if (ngx_process != NGX_PROCESS_MASTER || amcf == NULL || !amcf->used) {
        return NGX_OK;
    }

    zone = amcf->zone->data;

    ngx_shmtx_lock(&zone->shpool->mutex);
    zone->sh->coming = 1;
    ngx_shmtx_unlock(&zone->shpool->mutex);

    return NGX_OK;
}


/* what decides from now on */

static void
ngx_armoriq_life_begin(ngx_armoriq_worker_t *w, char *kind)
{
    u_char            buf[512];
    uint64_t          revision;
    aiq_err_t         err;
    aiq_out_t         m;
    aiq_store_txn_t  *txn;

    aiq_out_init(&m, buf, sizeof(buf));

    aiq_out_str(&m, "\"version\":\"" AIQ_VERSION "\",\"nginx\":\""
                    NGINX_VERSION "\",\"config\":\"");
    aiq_out_hex(&m, w->conf->digest, AIQ_HASH_LEN);
    aiq_out_str(&m, "\",\"durability\":\"");
    aiq_out_str(&m, (w->conf->durability & AIQ_AUDIT_FSYNC) ? "fsync"
                                                            : "write");
    aiq_out_str(&m, w->conf->payload ? "\",\"payload\":\"encrypted\"" : "\"");

    if (aiq_store_read(w->store, &txn, w->crypto, &err) == AIQ_OK) {

        if (aiq_store_revision(txn, &revision) == AIQ_OK) {
            aiq_out_str(&m, ",\"store\":");
            aiq_out_int(&m, (int64_t) revision);
        }

        aiq_store_abort(txn);
    }

    ngx_armoriq_life_event(w, kind, &m);
}


/*
 * The mutex is held.  Workers that were killed are swept out by those that
 * are started in their place, before their numbers can be used again.
 * Returns how many others there are.
 */

static ngx_uint_t
ngx_armoriq_life_enter(ngx_armoriq_worker_t *w)
{
    ngx_uint_t            n;
    ngx_armoriq_zone_t   *zone;
    ngx_armoriq_shctx_t  *sh;

    zone = w->conf->zone->data;
    sh = zone->sh;

    ngx_armoriq_life_sweep(sh);

    n = sh->nworkers;

    if (n < NGX_MAX_PROCESSES) {
        sh->workers[sh->nworkers++] = ngx_pid;
    }

    return n;
}


static void
ngx_armoriq_life_sweep(ngx_armoriq_shctx_t *sh)
{
    ngx_uint_t  i, n;

    for (i = 0, n = 0; i < sh->nworkers; i++) {

        if (sh->workers[i] != ngx_pid
            && (kill(sh->workers[i], 0) == 0 || ngx_errno != NGX_ESRCH))
        {
            sh->workers[n++] = sh->workers[i];
        }
    }

    sh->nworkers = n;
}


void
ngx_armoriq_life_stop(ngx_armoriq_worker_t *w)
{
    if (w->tick.timer_set) {
        ngx_del_timer(&w->tick);
    }
}


/* workers of a new configuration are there, or coming, when the old ones go */

ngx_uint_t
ngx_armoriq_life_exit(ngx_armoriq_worker_t *w)
{
    u_char                buf[64];
    aiq_out_t             m;
    ngx_uint_t            n;
    ngx_slab_pool_t      *shpool;
    ngx_armoriq_zone_t   *zone;
    ngx_armoriq_shctx_t  *sh;

    zone = w->conf->zone->data;
    shpool = zone->shpool;
    sh = zone->sh;

    ngx_shmtx_lock(&shpool->mutex);

    ngx_armoriq_life_sweep(sh);

    n = sh->nworkers + sh->coming;

    /* whoever comes after a CLOSE opens the log again */

    if (n == 0) {
        sh->opened = 0;
    }

    ngx_shmtx_unlock(&shpool->mutex);

    if (n) {
        return 0;
    }

    aiq_out_init(&m, buf, sizeof(buf));
    aiq_out_str(&m, ngx_terminate ? "\"how\":\"terminate\""
                                  : "\"how\":\"quit\"");

    ngx_armoriq_life_event(w, "CLOSE", &m);

    return 1;
}


void
ngx_armoriq_life_state(ngx_armoriq_worker_t *w, ngx_uint_t state, char *why,
    uint64_t refused)
{
    u_char     buf[NGX_ARMORIQ_LIFE_BODY];
    aiq_out_t  m;

    static char  *names[] = { "ok", "degraded", "failed" };

    switch (state) {

    case NGX_ARMORIQ_LOG_OK:
        ngx_log_error(NGX_LOG_NOTICE, w->cycle->log, 0,
                      "armoriq: records can be written as before, %uL calls "
                      "were refused meanwhile", refused);
        break;

    case NGX_ARMORIQ_LOG_DEGRADED:
        ngx_log_error(NGX_LOG_CRIT, w->cycle->log, 0,
                      "armoriq: calls are refused, only what else happens can "
                      "still be recorded: %s", why);
        break;

    default:
        ngx_log_error(NGX_LOG_CRIT, w->cycle->log, 0,
                      "armoriq: records cannot be written: %s", why);
    }

    aiq_out_init(&m, buf, sizeof(buf));
    aiq_out_str(&m, "\"state\":\"");
    aiq_out_str(&m, names[state]);
    aiq_out_char(&m, '"');

    if (state == NGX_ARMORIQ_LOG_OK) {
        aiq_out_str(&m, ",\"refused\":");
        aiq_out_int(&m, (int64_t) refused);

    } else if (why[0]) {
        aiq_out_str(&m, ",\"why\":");
        aiq_out_json(&m, aiq_cstr(why));
    }

    ngx_armoriq_life_event(w, "STATE", &m);
}


/* denials that nobody can read of; once a second is enough; 1: it was said */

ngx_uint_t
ngx_armoriq_life_lost(ngx_armoriq_worker_t *w, ngx_uint_t now)
{
    u_char                buf[64];
    uint64_t              lost;
    aiq_out_t             m;
    ngx_slab_pool_t      *shpool;
    ngx_armoriq_zone_t   *zone;
    ngx_armoriq_shctx_t  *sh;

    zone = w->conf->zone->data;
    shpool = zone->shpool;
    sh = zone->sh;

    ngx_shmtx_lock(&shpool->mutex);

    lost = 0;

    if (sh->lost && (now || sh->lost_said != ngx_time())) {
        lost = sh->lost;
        sh->lost = 0;
        sh->lost_said = ngx_time();
    }

    ngx_shmtx_unlock(&shpool->mutex);

    if (lost == 0) {
        return 0;
    }

    ngx_log_error(NGX_LOG_CRIT, w->cycle->log, 0,
                  "armoriq: %uL denials could not be recorded: more than can "
                  "be written", lost);

    aiq_out_init(&m, buf, sizeof(buf));
    aiq_out_str(&m, "\"denials\":");
    aiq_out_int(&m, (int64_t) lost);

    ngx_armoriq_life_event(w, "LOST", &m);

    return 1;
}


void
ngx_armoriq_life_low(ngx_armoriq_worker_t *w)
{
    ngx_msec_int_t  left;

    if (ngx_exiting) {
        return;
    }

    if (w->tick.timer_set) {
        left = (ngx_msec_int_t) (w->tick.timer.key - ngx_current_msec);

        if (left <= NGX_ARMORIQ_LOOK) {
            return;
        }

        ngx_del_timer(&w->tick);
    }

    ngx_add_timer(&w->tick, NGX_ARMORIQ_LOOK);
}


static void
ngx_armoriq_life_tick(ngx_event_t *ev)
{
    u_char                 buf[64];
    uint64_t               quiet;
    aiq_out_t              m;
    ngx_uint_t             low;
    ngx_msec_t             next;
    ngx_armoriq_worker_t  *w;

    if (ngx_exiting) {
        return;
    }

    w = ev->data;

    if (ngx_armoriq_life_quiet(w, &quiet, &low)) {
        aiq_out_init(&m, buf, sizeof(buf));
        aiq_out_str(&m, "\"idle\":");
        aiq_out_int(&m, (int64_t) (quiet / 1000));

        ngx_armoriq_life_event(w, "HEARTBEAT", &m);
        quiet = 0;
    }

    if (low) {
        ngx_armoriq_journal_look(w);
    }

    next = low ? NGX_ARMORIQ_LOOK
               : ngx_armoriq_life_next(w, (ngx_msec_t) quiet);

    if (next) {
        ngx_add_timer(ev, next);
    }
}


/*
 * 1 if it is for this worker to say that nothing happens: silence is told from
 * records that are gone by saying that it is silence.
 */

static ngx_uint_t
ngx_armoriq_life_quiet(ngx_armoriq_worker_t *w, uint64_t *quiet,
    ngx_uint_t *low)
{
    uint64_t              now;
    ngx_uint_t            beat;
    ngx_armoriq_zone_t   *zone;
    ngx_armoriq_shctx_t  *sh;

    zone = w->conf->zone->data;
    sh = zone->sh;

    now = ngx_armoriq_life_now();

    ngx_shmtx_lock(&zone->shpool->mutex);

    *low = sh->low;
    *quiet = now - ngx_min(now, sh->wrote);

    /* what is on its way is as good */

    beat = w->conf->heartbeat && *quiet >= w->conf->heartbeat
           && sh->head == sh->tail;

    if (beat) {
        sh->wrote = now;
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return beat;
}


/* 0: no heartbeat is asked for */

static ngx_msec_t
ngx_armoriq_life_next(ngx_armoriq_worker_t *w, ngx_msec_t quiet)
{
    ngx_msec_t  heartbeat;

    heartbeat = w->conf->heartbeat;

    if (heartbeat == 0) {
        return 0;
    }

    return (quiet < heartbeat) ? heartbeat - quiet : NGX_ARMORIQ_LOOK;
}


static void
ngx_armoriq_life_event(ngx_armoriq_worker_t *w, char *kind,
    aiq_out_t *members)
{
    u_char          buf[NGX_ARMORIQ_LIFE_BODY + 512];
    uint64_t        record;
    aiq_out_t       out;
    struct timeval  tv;

    ngx_gettimeofday(&tv);

    aiq_out_init(&out, buf, sizeof(buf));
    aiq_audit_write_event(&out, kind,
                          (int64_t) tv.tv_sec * 1000000 + tv.tv_usec,
                          ngx_armoriq_str(w->inst), aiq_out_done(members));

    if (members->failed || out.failed
        || ngx_armoriq_journal_append(w, aiq_out_done(&out), 0, &record)
           != NGX_OK)
    {
        ngx_log_error(NGX_LOG_CRIT, w->cycle->log, 0,
                      "armoriq: %s could not be recorded", kind);
    }
}
