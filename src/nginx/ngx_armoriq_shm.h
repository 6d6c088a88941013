
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The layout of the zone: tables of verified signatures and of sessions, a
 * tree of used steps and rate buckets, and the ring of audit records.
 * Everything is under shpool->mutex, the one lock that the master frees when a
 * worker dies.
 */


#ifndef _NGX_ARMORIQ_SHM_H_INCLUDED_
#define _NGX_ARMORIQ_SHM_H_INCLUDED_


#include "ngx_armoriq.h"
#include "cosign.h"


#define NGX_ARMORIQ_LAYOUT    5
#define NGX_ARMORIQ_WAYS      4
#define NGX_ARMORIQ_SESSION_WAYS  8
#define NGX_ARMORIQ_RESULTS   16384     /* at least; a power of two */
#define NGX_ARMORIQ_RECORD    128       /* bytes in the ring, at least */


typedef struct {
    u_char                    key[AIQ_HASH_LEN];
    int64_t                   exp;
} ngx_armoriq_seen_t;


/* a session of an MCP server; used is 0 where the place is free */

typedef struct {
    u_char                    key[AIQ_HASH_LEN];
    aiq_principal_t           who;
    int64_t                   used;     /* for the last time, seconds */
} ngx_armoriq_opened_t;


typedef enum {
    ngx_armoriq_node_step = 1,
    ngx_armoriq_node_bucket
} ngx_armoriq_node_e;


typedef struct {
    ngx_rbtree_node_t         node;
    ngx_queue_t               queue;
    u_char                    key[AIQ_HASH_LEN];
    uint32_t                  step;
    uint32_t                  kind;
    uint64_t                  value;    /* uses of a step, TAT of a bucket */
    int64_t                   exp;      /* of a step: when it is forgotten */
} ngx_armoriq_node_t;


#define NGX_ARMORIQ_LOST      0         /* not written */
#define NGX_ARMORIQ_WRITTEN   1
#define NGX_ARMORIQ_UNSURE    2         /* in the file, but not for certain */

/* what became of a record: kept until so many records later */

typedef struct {
    uint64_t                  record;
    uint64_t                  written;  /* NGX_ARMORIQ_... */
    aiq_audit_pos_t           pos;
} ngx_armoriq_result_t;


/* one record in the ring; never wraps: a pad fills the end */

typedef struct {
    uint32_t                  len;      /* of the bytes behind it */
    uint32_t                  flags;
    uint64_t                  record;
} ngx_armoriq_entry_t;

#define NGX_ARMORIQ_ENTRY_PAD    0x100
#define NGX_ARMORIQ_ENTRY_VOID   0x200
#define NGX_ARMORIQ_ENTRY_SYNC   0x400  /* not written before it is synced */

#define ngx_armoriq_entry_size(len)                                           \
    (sizeof(ngx_armoriq_entry_t) + ngx_align(len, 16))


/* how the log is: what is worse is greater */

#define NGX_ARMORIQ_LOG_OK        0
#define NGX_ARMORIQ_LOG_DEGRADED  1     /* no room but the reserve */
#define NGX_ARMORIQ_LOG_FAILED    2     /* nothing can be written */


struct ngx_armoriq_shctx_s {
    uint32_t                  layout;
    uint32_t                  opened;   /* an OPEN record was written */
    u_char                    inst[16];

    ngx_rbtree_t              rbtree;
    ngx_rbtree_node_t         sentinel;
    ngx_queue_t               queue;    /* of nodes, oldest last */
    ngx_uint_t                nodes;
    ngx_uint_t                refused;  /* for want of room */

    ngx_armoriq_seen_t       *seen;
    ngx_uint_t                nseen;    /* sets */

    ngx_armoriq_opened_t     *opened_sessions;
    ngx_uint_t                nopened;  /* sets */

    /* positions only grow; modulo size they are places in the ring */

    u_char                   *ring;
    size_t                    size;
    uint64_t                  head;
    uint64_t                  tail;
    uint64_t                  next;     /* number of the next record */
    uint64_t                  done;     /* below it all have a result */

    /* a group is being written: up to here, behind that record of the log */

    uint64_t                  writing;
    uint64_t                  group;
    uint64_t                  base;

    /* up to this record the tree has what the log says of used steps */

    uint64_t                  known;

    /* what workers know of the newest segment; under the lock of the log */

    aiq_audit_fate_t          fate;

    /* what witnesses have signed; who they are, as a hash */

    aiq_witnessed_t           witnessed;
    u_char                    witness[AIQ_HASH_LEN];
    time_t                    witness_looked;
    ngx_uint_t                witness_late;

    ngx_armoriq_result_t     *results;
    ngx_uint_t                nresults; /* a power of two */

    /* what the log says of itself: see ngx_armoriq_life.c */

    uint32_t                  state;    /* NGX_ARMORIQ_LOG_... */
    uint32_t                  low;      /* no record may be waited for */
    uint32_t                  plain;    /* without a reserve: was said */
    uint32_t                  coming;   /* workers of a reload */
    int64_t                   tried;    /* when there was no room */
    uint64_t                  turned;   /* calls away, since it is not OK */
    uint64_t                  lost;     /* denials, not said yet */
    time_t                    lost_said;
    uint64_t                  wrote;    /* when; monotonic milliseconds */
    u_char                    config[AIQ_HASH_LEN];
    ngx_pid_t                 workers[NGX_MAX_PROCESSES];
    ngx_uint_t                nworkers;
};


typedef struct {
    ngx_armoriq_shctx_t      *sh;
    ngx_slab_pool_t          *shpool;
    ngx_armoriq_main_conf_t  *conf;
    time_t                    now;      /* when steps were read back */
    ngx_log_t                *log;
} ngx_armoriq_zone_t;


/* uses of steps, as the log has them */

aiq_rc_t ngx_armoriq_shm_restore(void *data,
    const unsigned char token[AIQ_HASH_LEN], uint32_t step, int64_t exp);

/* what became of a record, or of one that is not so old */

#define ngx_armoriq_result_of(sh, n)                                          \
    (&(sh)->results[(n) & ((sh)->nresults - 1)])

/* session: who may use it */

int ngx_armoriq_session(void *data, const aiq_hash_t session,
    const aiq_principal_t *who);


#endif /* _NGX_ARMORIQ_SHM_H_INCLUDED_ */
