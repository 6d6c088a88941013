
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Threads: work that blocks, and requests that are answered with what has
 * come of it.
 */


#include "ngx_armoriq.h"


static void ngx_armoriq_job_thread(void *data, ngx_log_t *log);
static void ngx_armoriq_job_event(ngx_event_t *ev);
static void ngx_armoriq_job_done(ngx_http_request_t *r);
static void ngx_armoriq_job_cleanup(void *data);


ngx_int_t
ngx_armoriq_task_post(ngx_thread_pool_t *pool, ngx_thread_task_t *task)
{
    task->event.log = ngx_cycle->log;

    if (ngx_thread_task_post(pool, task) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_add_timer(&task->event, NGX_ARMORIQ_TASK_TIME);

    return NGX_OK;
}


ngx_uint_t
ngx_armoriq_task_done(ngx_event_t *ev)
{
    if (ev->timedout) {
        ev->timedout = 0;

        ngx_log_error(NGX_LOG_ALERT, ev->log, 0,
                      "armoriq: a thread has been at work for more than "
                      "%d seconds", NGX_ARMORIQ_TASK_TIME / 1000);

        ngx_add_timer(ev, NGX_ARMORIQ_TASK_TIME);

        return 0;
    }

    if (ev->timer_set) {
        ngx_del_timer(ev);
    }

    return 1;
}


void
ngx_armoriq_wake(ngx_http_request_t *r)
{
    ngx_connection_t  *c;

    c = r->connection;

    ngx_http_set_log_request(c->log, r);

#if (nginx_version >= 1025004)

    if (r->main->terminated) {

        /* what would have been done on the client's leaving is done now */

        c->write->handler(c->write);
        return;
    }

#endif

    r->write_event_handler(r);
    ngx_http_run_posted_requests(c);
}


void *
ngx_armoriq_job_alloc(ngx_http_request_t *r, size_t size)
{
    ngx_armoriq_job_t   *job;
    ngx_thread_task_t   *task;
    ngx_pool_cleanup_t  *cln;

    task = ngx_thread_task_alloc(r->pool, size);
    cln = ngx_pool_cleanup_add(r->pool, 0);

    if (task == NULL || cln == NULL) {
        return NULL;
    }

    ngx_memzero(task->ctx, size);

    job = task->ctx;
    job->task = task;

    cln->handler = ngx_armoriq_job_cleanup;
    cln->data = job;

    return job;
}


ngx_int_t
ngx_armoriq_job_post(ngx_http_request_t *r, ngx_armoriq_worker_t *w,
    ngx_armoriq_job_t *job)
{
    job->request = r;

    job->task->handler = ngx_armoriq_job_thread;
    job->task->event.handler = ngx_armoriq_job_event;
    job->task->event.data = job;

    /*
     * The threads are those that write records, too: leave some to them, and
     * one kind of jobs some to the other.
     */

    if (*job->busy >= job->most
        || ngx_armoriq_task_post(w->conf->thread_pool, job->task) != NGX_OK)
    {
        return NGX_ERROR;
    }

    (*job->busy)++;

    r->main->blocked++;
    r->aio = 1;

    r->write_event_handler = ngx_armoriq_job_done;
    r->read_event_handler = ngx_http_test_reading;

    return NGX_OK;
}


static void
ngx_armoriq_job_thread(void *data, ngx_log_t *log)
{
    ngx_armoriq_job_t *job = data;

    job->memory = malloc(job->size);

    if (job->memory == NULL) {
        job->rc = aiq_fail(&job->err, AIQ_E_NO_MEMORY, "no memory");
        return;
    }

    job->thread(job);
}


static void
ngx_armoriq_job_event(ngx_event_t *ev)
{
    ngx_armoriq_job_t   *job;
    ngx_http_request_t  *r;

    if (!ngx_armoriq_task_done(ev)) {
        return;
    }

    job = ev->data;
    r = job->request;

    (*job->busy)--;

    r->main->blocked--;
    r->aio = 0;

    /* found by the write event handler through the cleanup list */

    job->request = NULL;

    ngx_armoriq_wake(r);
}


static void
ngx_armoriq_job_done(ngx_http_request_t *r)
{
    ngx_armoriq_job_t   *job;
    ngx_pool_cleanup_t  *cln;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler == ngx_armoriq_job_cleanup) {
            break;
        }
    }

    job = cln ? cln->data : NULL;

    if (job == NULL || job->request) {

        /* a write event before the thread has come back */

        return;
    }

    r->write_event_handler = ngx_http_request_empty_handler;

    ngx_http_finalize_request(r, job->send(r, job));
}


static void
ngx_armoriq_job_cleanup(void *data)
{
    ngx_armoriq_job_t *job = data;

    free(job->memory);
}
