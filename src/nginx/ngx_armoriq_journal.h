
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The journal of a worker, for its two sides: the event loop and the thread.
 */


#ifndef _NGX_ARMORIQ_JOURNAL_H_INCLUDED_
#define _NGX_ARMORIQ_JOURNAL_H_INCLUDED_


#include "ngx_armoriq_shm.h"


#define NGX_ARMORIQ_FLUSH_LOCK   "flush.lock"


typedef struct ngx_armoriq_journal_s {
    ngx_armoriq_worker_t     *worker;
    ngx_armoriq_zone_t       *zone;
    ngx_thread_task_t        *task;
    ngx_queue_t               waiting;    /* ngx_armoriq_ctx_t */
    ngx_event_t               retry;
    ngx_uint_t                posted;     /* unsigned  posted:1; */
    ngx_uint_t                leaving;    /* unsigned  leaving:1; */

    /* of the thread, while it runs */

    aiq_audit_t              *log;
    aiq_crypto_t             *crypto;
    ngx_fd_t                  lock;
    uint64_t                  found;      /* in the ring, see resume */
    ngx_uint_t                wrote;      /* records, since last told */
    ngx_uint_t                failed;     /* unsigned  failed:1; */
    ngx_uint_t                proved;     /* unsigned  proved:1; */
    ngx_uint_t                rotated;    /* unsigned  rotated:1; */
    ngx_uint_t                plain;      /* unsigned  plain:1; */
    ngx_uint_t                changed;    /* unsigned  changed:1; */
    ngx_uint_t                state;      /* NGX_ARMORIQ_LOG_... */
    uint64_t                  refused;
    aiq_err_t                 err;
    aiq_err_t                 low;        /* why there is no room */
} ngx_armoriq_journal_t;


/* in the thread, or when there is none: all that is in the ring */

void ngx_armoriq_flush(ngx_armoriq_journal_t *j);


#endif /* _NGX_ARMORIQ_JOURNAL_H_INCLUDED_ */
