
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Checkpoints of the audit log.  Some time after a worker has written records
 * a thread signs what is in the log then, whoever has written it; several
 * workers make one chain of checkpoints, under a lock of its own.  This is a
 * task of its own and not the end of a flush: requests wait for a flush.
 *
 * Nothing waits for a checkpoint, and one that cannot be made is made later.
 */


#include "ngx_armoriq.h"
#include "audit_checkpoint.h"


#define NGX_ARMORIQ_SIGN_LATER   60000    /* between failures, at most */


typedef struct ngx_armoriq_sign_s {
    ngx_armoriq_worker_t     *worker;
    ngx_thread_task_t        *task;
    ngx_event_t               timer;
    ngx_uint_t                pending;    /* records, of this worker */
    ngx_uint_t                taken;      /* of these, by the task */
    ngx_uint_t                failures;   /* one behind the other */
    ngx_uint_t                posted;     /* unsigned  posted:1; */
    u_char                    latest[NGX_MAX_PATH];

    /* of the thread, while it runs */

    aiq_audit_signer_t       *signer;
    ngx_msec_t                later;
    aiq_rc_t                  rc;
    aiq_err_t                 err;
} ngx_armoriq_sign_t;


static aiq_rc_t ngx_armoriq_sign_open(ngx_armoriq_sign_t *s,
    ngx_armoriq_worker_t *w);
static void ngx_armoriq_sign_timer(ngx_event_t *ev);
static void ngx_armoriq_sign_post(ngx_armoriq_sign_t *s);
static void ngx_armoriq_sign_thread(void *data, ngx_log_t *log);
static ngx_msec_t ngx_armoriq_sign_wait(ngx_armoriq_sign_t *s);
static void ngx_armoriq_sign_event(ngx_event_t *ev);
static void ngx_armoriq_sign_failed(ngx_armoriq_sign_t *s);


/* without a key, or a log that can be signed, all goes on without */

void
ngx_armoriq_sign_init(ngx_armoriq_worker_t *w)
{
    u_char              *name;
    size_t               len;
    ngx_armoriq_sign_t  *s;

    s = ngx_pcalloc(w->cycle->pool, sizeof(ngx_armoriq_sign_t));
    name = ngx_palloc(w->cycle->pool, AIQ_NAME_MAX);

    if (s == NULL || name == NULL) {
        return;
    }

    s->err.text[0] = '\0';

    s->rc = aiq_audit_origin((char *) w->conf->audit.data, name, &len,
                             w->crypto, &s->err);

    if (s->rc == AIQ_OK) {
        w->origin.data = name;
        w->origin.len = len;
    }

    if (w->conf->checkpoint == 0) {
        return;
    }

    if (s->rc == AIQ_OK) {
        s->rc = ngx_armoriq_sign_open(s, w);
    }

    if (s->rc != AIQ_OK) {

        if (ngx_worker == 0) {
            ngx_log_error(NGX_LOG_WARN, w->cycle->log, 0,
                          "armoriq: no checkpoints of the audit log are "
                          "made: %s", s->err.text);
        }

        return;
    }

    w->sign = s;
}


static aiq_rc_t
ngx_armoriq_sign_open(ngx_armoriq_sign_t *s, ngx_armoriq_worker_t *w)
{
    aiq_rc_t  rc;

    s->task = ngx_thread_task_alloc(w->cycle->pool,
                                    sizeof(ngx_armoriq_sign_t *));
    if (s->task == NULL) {
        return aiq_fail(&s->err, AIQ_E_NO_MEMORY, "no memory");
    }

    rc = aiq_audit_signer_open(&s->signer, (char *) w->conf->audit.data,
                               aiq_audit_seed_store, w->conf->store.data,
                               &s->err);

    *(ngx_armoriq_sign_t **) s->task->ctx = s;

    s->task->handler = ngx_armoriq_sign_thread;
    s->task->event.handler = ngx_armoriq_sign_event;
    s->task->event.data = s;

    s->timer.handler = ngx_armoriq_sign_timer;
    s->timer.data = s;
    s->timer.log = w->cycle->log;
    s->timer.cancelable = 1;

    s->worker = w;

    (void) ngx_snprintf(s->latest, NGX_MAX_PATH, "%V/checkpoint%Z",
                        &w->conf->audit);

    return rc;
}


/* the last worker to go signs the end of the log; the others what there is */

void
ngx_armoriq_sign_exit(ngx_armoriq_worker_t *w)
{
    ngx_armoriq_sign_t  *s;
    aiq_audit_signed_t   done;

    s = w->sign;

    if (s == NULL) {
        return;
    }

    w->sign = NULL;

    if (s->timer.timer_set) {
        ngx_del_timer(&s->timer);
    }

    if (s->task->event.timer_set) {
        ngx_del_timer(&s->task->event);
    }

    s->err.text[0] = '\0';

    s->rc = aiq_audit_checkpoint(s->signer, 0, &done, &s->err);

    if (s->rc != AIQ_OK && s->failures == 0) {
        ngx_armoriq_sign_failed(s);
    }

    aiq_audit_signer_close(s->signer);
}


/* told by the journal, in the event loop */

void
ngx_armoriq_sign_wrote(ngx_armoriq_worker_t *w, ngx_uint_t records)
{
    ngx_armoriq_sign_t  *s;

    s = w->sign;

    if (s == NULL) {
        return;
    }

    s->pending += records;

    if (s->posted) {
        return;
    }

    if (s->pending >= w->conf->checkpoint_records && s->failures == 0) {

        if (s->timer.timer_set) {
            ngx_del_timer(&s->timer);
        }

        ngx_armoriq_sign_post(s);

    } else if (!s->timer.timer_set) {
        ngx_add_timer(&s->timer, w->conf->checkpoint);
    }
}


static void
ngx_armoriq_sign_timer(ngx_event_t *ev)
{
    /* a worker that is to go may have calls for hours, and their outcomes */

    ngx_armoriq_sign_post(ev->data);
}


static void
ngx_armoriq_sign_post(ngx_armoriq_sign_t *s)
{
    s->taken = s->pending;

    if (ngx_armoriq_task_post(s->worker->conf->thread_pool, s->task)
        != NGX_OK)
    {
        ngx_add_timer(&s->timer, s->worker->conf->checkpoint);
        return;
    }

    s->posted = 1;
}


static void
ngx_armoriq_sign_thread(void *data, ngx_log_t *log)
{
    ngx_armoriq_sign_t *s = *(ngx_armoriq_sign_t **) data;

    aiq_audit_signed_t  done;

    s->later = 0;

    if (s->taken < s->worker->conf->checkpoint_records) {
        s->later = ngx_armoriq_sign_wait(s);
    }

    s->err.text[0] = '\0';

    s->rc = s->later ? AIQ_DECLINED
                     : aiq_audit_checkpoint(s->signer, AIQ_AUDIT_NOWAIT, &done,
                                            &s->err);
}


/* another worker may have made one a moment ago: milliseconds until then */

static ngx_msec_t
ngx_armoriq_sign_wait(ngx_armoriq_sign_t *s)
{
    int64_t          age;
    struct timeval   tv;
    ngx_file_info_t  fi;

    if (ngx_file_info(s->latest, &fi) == NGX_FILE_ERROR) {
        return 0;
    }

    ngx_gettimeofday(&tv);

    age = ((int64_t) tv.tv_sec - (int64_t) fi.st_mtim.tv_sec) * 1000
          + (int64_t) tv.tv_usec / 1000
          - (int64_t) fi.st_mtim.tv_nsec / 1000000;

    /* a clock that was set back is no reason to wait for it */

    if (age < 0 || age + 10 >= (int64_t) s->worker->conf->checkpoint) {
        return 0;
    }

    return s->worker->conf->checkpoint - (ngx_msec_t) age;
}


static void
ngx_armoriq_sign_event(ngx_event_t *ev)
{
    ngx_msec_t           delay;
    ngx_armoriq_sign_t  *s;

    if (!ngx_armoriq_task_done(ev)) {
        return;
    }

    s = ev->data;
    s->posted = 0;

    delay = s->worker->conf->checkpoint;

    if (s->rc == AIQ_OK) {

        if (s->failures) {
            ngx_log_error(NGX_LOG_NOTICE, s->worker->cycle->log, 0,
                          "armoriq: checkpoints of the audit log are made "
                          "again");
        }

        s->failures = 0;
        s->pending -= s->taken;

    } else if (s->rc == AIQ_DECLINED) {
        delay = s->later ? s->later : delay;

    } else {

        /* the log may have to be read as a whole to find that out: not often */

        if (s->failures++ == 0) {
            ngx_armoriq_sign_failed(s);
        }

        delay <<= ngx_min(s->failures, 6);
        delay = ngx_min(delay, NGX_ARMORIQ_SIGN_LATER);
    }

    if (s->pending) {
        ngx_add_timer(&s->timer, delay);
    }
}


static void
ngx_armoriq_sign_failed(ngx_armoriq_sign_t *s)
{
    ngx_log_error(NGX_LOG_CRIT, s->worker->cycle->log, 0,
                  "armoriq: no checkpoint of the audit log can be made: %s",
                  s->err.text);
}
