
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The glue between nginx and libarmoriq.  One file per phase or duty, and no
 * policy in any of them: what is decided is decided in src/core/decide.c.
 */


#ifndef _NGX_ARMORIQ_H_INCLUDED_
#define _NGX_ARMORIQ_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "audit.h"
#include "decide.h"


#define NGX_ARMORIQ_ZONE_MIN     (8 * 1024 * 1024)
#define NGX_ARMORIQ_MAX_BODY     (1024 * 1024)
#define NGX_ARMORIQ_MAX_LIST     (1024 * 1024)
#define NGX_ARMORIQ_LIFETIME     86400    /* of a token at most, seconds */
#define NGX_ARMORIQ_SKEW         30       /* of clocks, seconds */
#define NGX_ARMORIQ_ARENA        (6 * 1024 * 1024)
#define NGX_ARMORIQ_MEMO         256      /* tokens a worker remembers */
#define NGX_ARMORIQ_CHECKPOINT   1000     /* between two, milliseconds */
#define NGX_ARMORIQ_CHECKPOINT_RECORDS  65536
#define NGX_ARMORIQ_ROTATE       (256 * 1024 * 1024)
#define NGX_ARMORIQ_RESERVE      (8 * 1024 * 1024)
#define NGX_ARMORIQ_HEARTBEAT    300000   /* of silence, milliseconds */
#define NGX_ARMORIQ_ANSWER       65536    /* of JSON-RPC that is read */
#define NGX_ARMORIQ_TASK_TIME    60000    /* of a thread, milliseconds */
#define NGX_ARMORIQ_API_JOBS     16       /* of a worker, at a time */
#define NGX_ARMORIQ_PROOF_JOBS   4
#define NGX_ARMORIQ_PAYLOADS     8        /* of 32 threads by default */
#define NGX_ARMORIQ_RID_LEN      AIQ_AUDIT_RID_LEN

#define NGX_ARMORIQ_LINT_OFF     0        /* what the lint does with errors */
#define NGX_ARMORIQ_LINT_WARN    1
#define NGX_ARMORIQ_LINT_ERROR   2


typedef struct ngx_armoriq_shctx_s   ngx_armoriq_shctx_t;
typedef struct ngx_armoriq_worker_s  ngx_armoriq_worker_t;
typedef struct ngx_armoriq_bridge_s  ngx_armoriq_bridge_t;
typedef struct ngx_armoriq_answer_s  ngx_armoriq_answer_t;
typedef struct ngx_armoriq_job_s     ngx_armoriq_job_t;

typedef struct ngx_armoriq_loc_conf_s  ngx_armoriq_loc_conf_t;
typedef struct ngx_armoriq_witness_conf_s  ngx_armoriq_witness_conf_t;


/* a location with "armoriq_mcp": an MCP server and how to talk to it */

typedef struct {
    ngx_str_t                      name;
    ngx_str_t                      uri;
    ngx_armoriq_loc_conf_t        *conf;        /* of the location */
    ngx_str_t                      protocol;
    ngx_uint_t                     modern;      /* unsigned  modern:1; */
    ngx_uint_t                     stateless;   /* unsigned  stateless:1; */
} ngx_armoriq_mcp_t;


/* "armoriq_resource": what OAuth clients are told */

typedef struct {
    ngx_str_t                      url;
    ngx_str_t                      path;        /* without a slash behind */
    ngx_str_t                      document;    /* RFC 9728, JSON */
    ngx_str_t                      challenge;   /* rest of the header */
} ngx_armoriq_resource_t;


typedef struct {
    ngx_str_t                      store;
    ngx_str_t                      audit;
    ngx_uint_t                     durability;
    ngx_msec_t                     checkpoint;  /* 0: none are made */
    ngx_uint_t                     checkpoint_records;
    aiq_audit_keep_t               keep;        /* segments, reserve */
    ngx_msec_t                     heartbeat;   /* 0: none */
    ngx_uint_t                     payload;     /* unsigned  payload:1; */
    u_char                         digest[AIQ_HASH_LEN];
    ngx_array_t                   *files;       /* ngx_conf_dump_t */
    ngx_uint_t                     dumped;      /* files before http{} */
    ngx_armoriq_witness_conf_t    *witness;
    ngx_shm_zone_t                *zone;
    ngx_thread_pool_t             *thread_pool;
    ngx_armoriq_worker_t          *worker;
    ngx_uint_t                     nlimits;
    ngx_array_t                   *places;      /* ngx_armoriq_place_t */
    ngx_uint_t                     busy;        /* unsigned  busy:1; */
    ngx_uint_t                     used;        /* unsigned  used:1; */
    ngx_uint_t                     api;         /* unsigned  api:1; */
} ngx_armoriq_main_conf_t;


typedef struct {
    ngx_array_t                    mcps;        /* ngx_armoriq_mcp_t * */
    ngx_array_t                    resources;   /* ngx_armoriq_resource_t * */
    ngx_http_upstream_init_peer_pt original_init_peer;
    ngx_uint_t                     guard;       /* unsigned  guard:1; */
    ngx_uint_t                     metadata;    /* unsigned  metadata:1; */
} ngx_armoriq_srv_conf_t;


struct ngx_armoriq_loc_conf_s {
    ngx_flag_t                     enable;
    ngx_flag_t                     dry_run;
    ngx_flag_t                     step_uses;
    ngx_flag_t                     invoke;
    ngx_flag_t                     api;
    ngx_flag_t                     list_filter;
    ngx_flag_t                     metadata;
    ngx_flag_t                     proof;
    ngx_uint_t                     params;
    ngx_uint_t                     lint;        /* NGX_ARMORIQ_LINT_... */
    size_t                         max_body;
    size_t                         max_list;
    ngx_array_t                   *limits;      /* aiq_limit_rule_t */
    ngx_array_t                   *origins;     /* aiq_str_t */
    ngx_array_t                   *methods;     /* aiq_method_rule_t */
    ngx_str_t                      org;         /* empty: any */
    ngx_armoriq_mcp_t             *mcp;
    ngx_armoriq_resource_t        *resource;

    u_char                        *file;        /* of "armoriq on" or off */
    ngx_uint_t                     line;
};


/* a location, "if", "limit_except" or server{}, for the lint */

typedef struct {
    ngx_armoriq_loc_conf_t        *conf;
    void                         **srv_conf;
    void                         **loc_conf;
} ngx_armoriq_place_t;


typedef enum {
    ngx_armoriq_start = 0,
    ngx_armoriq_reading,           /* the body is on its way */
    ngx_armoriq_keeping,           /* the body is encrypted and written */
    ngx_armoriq_kept,              /* it is there, or has failed to get there */
    ngx_armoriq_waiting,           /* for the record to be on disk */
    ngx_armoriq_durable,           /* it is, or has failed to get there */
    ngx_armoriq_judged
} ngx_armoriq_state_e;


/*
 * One per request that was judged, kept in a pool cleanup: r->ctx is zeroed
 * by redirects.  "request" tells it from those of subrequests, which share
 * the pool.
 */

typedef struct {
    ngx_http_request_t            *request;
    ngx_armoriq_loc_conf_t        *conf;        /* where it was judged */
    ngx_armoriq_state_e            state;

    aiq_decision_t                 d;           /* strings: in the pool */
    u_char                         rid[NGX_ARMORIQ_RID_LEN];

    ngx_list_t                     headers;     /* with credentials */
    ngx_str_t                      body;        /* the judged bytes */
    u_char                         body_hash[AIQ_HASH_LEN];
    ngx_str_t                      untold;      /* without the token in it */
    ngx_str_t                      told;        /* and as it came, then */

    ngx_queue_t                    queue;       /* of those that wait */
    uint64_t                       record;      /* number in the journal */
    aiq_audit_pos_t                intent;      /* where it is on disk */
    aiq_audit_payload_t           *payload;     /* is on disk, too; or NULL */
    struct ngx_armoriq_payload_s  *keep;        /* of those that wait */

    ngx_msec_t                     start;
    ngx_armoriq_bridge_t          *bridge;      /* of POST /invoke */
    ngx_str_t                      call_id;     /* and of its call */
    ngx_armoriq_answer_t          *answer;      /* of the server */
    struct ngx_armoriq_list_s     *list;        /* of tools/list */
    ngx_str_t                      error;       /* in place of nginx's */
    aiq_str_t                     *origin;      /* of the page that asks */

    unsigned                       permit:1;    /* may go on */
    unsigned                       recorded:1;  /* intent is set */
    unsigned                       unsure:1;    /* but may not last */
    unsigned                       revoked:1;   /* before it was sent */
    unsigned                       carried:1;
    unsigned                       gated:1;     /* has passed the gate */
    unsigned                       spent:1;     /* has passed the guard */
    unsigned                       parked:1;
    unsigned                       denied:1;    /* we have answered */
    unsigned                       settled:1;   /* OUTCOME is written */
    unsigned                       shaped:1;    /* error is the answer */
} ngx_armoriq_ctx_t;


/* what a worker has of its own, made in init_process */

struct ngx_armoriq_worker_s {
    ngx_armoriq_main_conf_t       *conf;
    ngx_cycle_t                   *cycle;
    aiq_store_t                   *store;
    aiq_crypto_t                  *crypto;
    aiq_mem_t                      arena;       /* of one decision */
    u_char                        *arena_start;
    aiq_token_memo_t              *memo;
    aiq_decide_ops_t               ops;
    struct ngx_armoriq_rules_s    *rules;       /* compiled, by org */
    struct ngx_armoriq_journal_s  *journal;
    struct ngx_armoriq_sign_s     *sign;        /* of checkpoints, or NULL */
    struct ngx_armoriq_witness_s  *witness;
    ngx_str_t                      origin;      /* of the log */
    ngx_event_t                    reap;
    ngx_event_t                    tick;        /* of life */
    ngx_str_t                      inst;
    uint64_t                       rid[2];      /* random, counter */
    uint64_t                       calls;       /* JSON-RPC ids of ours */
    ngx_uint_t                     api_jobs;    /* under way */
    ngx_uint_t                     proof_jobs;
    ngx_uint_t                     keeping;     /* payloads */
    ngx_queue_t                    keep;        /* and those that wait */
    char                           payload_day[AIQ_AUDIT_DAY_LEN + 1];
    struct ngx_armoriq_session_s  *sessions;    /* with MCP servers */
    u_char                         inst_buf[32];
};


/* access: the ACCESS phase */

ngx_int_t ngx_armoriq_preaccess_handler(ngx_http_request_t *r);
ngx_int_t ngx_armoriq_access_handler(ngx_http_request_t *r);
void ngx_armoriq_access_resume(ngx_http_request_t *r);

/* ctx: what is known of a request, and the permit it has */

ngx_armoriq_ctx_t *ngx_armoriq_get_ctx(ngx_http_request_t *r);
ngx_armoriq_ctx_t *ngx_armoriq_create_ctx(ngx_http_request_t *r);
ngx_uint_t ngx_armoriq_sent(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx);
char *ngx_armoriq_check(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx);
ngx_int_t ngx_armoriq_carry(ngx_http_request_t *r);

/* judge: from a request to a decision and its record */

ngx_int_t ngx_armoriq_judge_headers(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx);
ngx_int_t ngx_armoriq_judge(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx);
ngx_int_t ngx_armoriq_judge_moved(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx);
ngx_int_t ngx_armoriq_judge_again(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx);
ngx_int_t ngx_armoriq_record_intent(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx);
void ngx_armoriq_fill(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    ngx_armoriq_worker_t *w, aiq_request_t *in);
void ngx_armoriq_source(ngx_http_request_t *r, aiq_addr_t *addr);
void ngx_armoriq_new_rid(ngx_armoriq_worker_t *w, u_char *rid);

/* body: the bytes, in one piece of memory */

typedef void (*ngx_armoriq_body_pt)(ngx_http_request_t *r, ngx_int_t rc);

void ngx_armoriq_body_take(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    ngx_armoriq_body_pt handler);
ngx_int_t ngx_armoriq_body_untold(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx);
ngx_int_t ngx_armoriq_body_replace(ngx_http_request_t *r, u_char *data,
    size_t len);
ngx_int_t ngx_armoriq_body_hash(ngx_http_request_t *r, aiq_crypto_t *c,
    u_char hash[AIQ_HASH_LEN], off_t *length);
off_t ngx_armoriq_body_passed(ngx_http_request_t *r);

/* payload: the body as it is kept beside the log */

ngx_uint_t ngx_armoriq_payload_able(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx);
ngx_int_t ngx_armoriq_payload_keep(ngx_armoriq_worker_t *w,
    ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx);

/* headers: reading those that decide, removing those that must not leave */

typedef struct {
    ngx_str_t                      name;        /* in lower case */
    size_t                         offset;      /* of an aiq_str_t */
} ngx_armoriq_header_t;

void ngx_armoriq_headers_read(ngx_http_request_t *r, aiq_request_t *in);
ngx_int_t ngx_armoriq_headers_strip(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx);
ngx_table_elt_t *ngx_armoriq_header_find(ngx_list_t *headers,
    ngx_str_t *name);
void ngx_armoriq_header_hide(ngx_http_request_t *r, ngx_str_t *names);
ngx_table_elt_t *ngx_armoriq_header_next(ngx_list_part_t **part,
    ngx_uint_t *i);

/* deny: our own answers */

ngx_int_t ngx_armoriq_deny(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    aiq_rc_t rc);
ngx_int_t ngx_armoriq_refuse(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    char *wall, char *why);
void ngx_armoriq_write_rpc(aiq_out_t *out, ngx_armoriq_ctx_t *ctx,
    aiq_str_t id, aiq_rc_t rc);
ngx_int_t ngx_armoriq_add_header(ngx_http_request_t *r, char *name,
    u_char *value, size_t len);
ngx_int_t ngx_armoriq_send_json(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *body);
ngx_int_t ngx_armoriq_send_body(ngx_http_request_t *r, ngx_str_t *body);

/* origin: web pages as clients */

aiq_str_t *ngx_armoriq_origin(ngx_http_request_t *r,
    ngx_armoriq_loc_conf_t *alcf);
ngx_int_t ngx_armoriq_origin_preflight(ngx_http_request_t *r,
    ngx_armoriq_loc_conf_t *alcf);

/* what says nothing of anybody: answered also under "armoriq on" */

#define ngx_armoriq_is_public(r)                                              \
    ((r)->content_handler == ngx_armoriq_metadata_handler                     \
     || (r)->content_handler == ngx_armoriq_proof_handler)

/* resource: metadata for OAuth clients */

ngx_int_t ngx_armoriq_metadata_handler(ngx_http_request_t *r);
ngx_int_t ngx_armoriq_challenge(ngx_http_request_t *r,
    ngx_armoriq_loc_conf_t *alcf, aiq_rc_t rc);

/* gate and guard: the second wall and the third */

ngx_int_t ngx_armoriq_gate_handler(ngx_http_request_t *r);
char *ngx_armoriq_guard(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
ngx_int_t ngx_armoriq_guard_init(ngx_conf_t *cf);

/* invoke: POST /invoke to tools/call */

ngx_int_t ngx_armoriq_invoke_handler(ngx_http_request_t *r);

/* the MCP server of this name, in the server{} of the request; or NULL */

ngx_armoriq_mcp_t *ngx_armoriq_invoke_server(ngx_http_request_t *r,
    aiq_str_t name);
ngx_int_t ngx_armoriq_invoke_filter_init(ngx_conf_t *cf);

/* response: filters of answers */

ngx_int_t ngx_armoriq_response_init(ngx_conf_t *cf);
void ngx_armoriq_answer_record(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    aiq_audit_outcome_t *rec, u_char hash[AIQ_HASH_LEN]);
void ngx_armoriq_answer_free(ngx_armoriq_ctx_t *ctx);
ngx_uint_t ngx_armoriq_list_inspected(ngx_armoriq_ctx_t *ctx);

/* lint: what must not, or should not, stand beside "armoriq on" */

ngx_int_t ngx_armoriq_lint(ngx_conf_t *cf);

/* api: the ArmorIQ API */

ngx_int_t ngx_armoriq_api_handler(ngx_http_request_t *r);

/* log: what became of it */

ngx_int_t ngx_armoriq_log_handler(ngx_http_request_t *r);
void ngx_armoriq_give_back(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx);
void ngx_armoriq_settle(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx);

/* variables */

ngx_int_t ngx_armoriq_add_variables(ngx_conf_t *cf);

/* shm: the zone */

char *ngx_armoriq_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
void ngx_armoriq_shm_ops(ngx_armoriq_worker_t *w);

/* journal: the ring of records and its flush */

#define NGX_ARMORIQ_RECORD_WAITED  0x01   /* void if it cannot be written */
#define NGX_ARMORIQ_RECORD_DENIED  0x02   /* of what is not let through */

ngx_int_t ngx_armoriq_journal_init(ngx_armoriq_worker_t *w);
void ngx_armoriq_journal_exit(ngx_armoriq_worker_t *w);
ngx_int_t ngx_armoriq_journal_append(ngx_armoriq_worker_t *w, aiq_str_t body,
    ngx_uint_t flags, uint64_t *record);
void ngx_armoriq_journal_look(ngx_armoriq_worker_t *w);
ngx_int_t ngx_armoriq_journal_wait(ngx_armoriq_worker_t *w,
    ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx);

/* life: what the log says of itself: OPEN, CONFIG, HEARTBEAT, STATE, CLOSE */

ngx_int_t ngx_armoriq_life_reload(ngx_cycle_t *cycle);
void ngx_armoriq_life_init(ngx_armoriq_worker_t *w);
void ngx_armoriq_life_stop(ngx_armoriq_worker_t *w);

/* the last worker that goes: 1 if there is a record to be written */

ngx_uint_t ngx_armoriq_life_exit(ngx_armoriq_worker_t *w);

/* there is a new state: logged, and recorded */

void ngx_armoriq_life_state(ngx_armoriq_worker_t *w, ngx_uint_t state,
    char *why, uint64_t refused);

/* there is no room: to be looked at again soon */

void ngx_armoriq_life_low(ngx_armoriq_worker_t *w);
ngx_uint_t ngx_armoriq_life_lost(ngx_armoriq_worker_t *w, ngx_uint_t now);

uint64_t ngx_armoriq_life_now(void);

/* digest: of the configuration files that nginx has read */

ngx_int_t ngx_armoriq_digest_begin(ngx_conf_t *cf);
ngx_int_t ngx_armoriq_digest_end(ngx_conf_t *cf,
    ngx_armoriq_main_conf_t *amcf);
ngx_int_t ngx_armoriq_digest(ngx_armoriq_worker_t *w);

/* sign: checkpoints of the audit log */

void ngx_armoriq_sign_init(ngx_armoriq_worker_t *w);
void ngx_armoriq_sign_exit(ngx_armoriq_worker_t *w);
void ngx_armoriq_sign_wrote(ngx_armoriq_worker_t *w, ngx_uint_t records);

/* witness: who else has seen the audit log */

ngx_int_t ngx_armoriq_witness_init(ngx_armoriq_worker_t *w);
void ngx_armoriq_witness_exit(ngx_armoriq_worker_t *w);
ngx_int_t ngx_armoriq_witness_permit(ngx_armoriq_worker_t *w,
    ngx_armoriq_ctx_t *ctx);

/* proof: that a record is in the log; public as metadata is */

ngx_int_t ngx_armoriq_proof_handler(ngx_http_request_t *r);
ngx_int_t ngx_armoriq_proof_header(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx);

/* worker: what a process has of its own */

ngx_int_t ngx_armoriq_init_process(ngx_cycle_t *cycle);
void ngx_armoriq_exit_process(ngx_cycle_t *cycle);
ngx_armoriq_worker_t *ngx_armoriq_get_worker(ngx_http_request_t *r);
aiq_mem_t *ngx_armoriq_arena(ngx_armoriq_worker_t *w);
aiq_rc_t ngx_armoriq_ruleset(void *data, aiq_store_txn_t *txn, aiq_str_t org,
    const aiq_ruleset_t **rules, aiq_err_t *err);
char *ngx_armoriq_check_conf(ngx_conf_t *cf, ngx_armoriq_main_conf_t *amcf);

/*
 * Threads.  A worker that is to exit does so when no timer is left, so each
 * task under way has one; done() is 0 if only that timer has expired, and the
 * task goes on.
 */

ngx_int_t ngx_armoriq_task_post(ngx_thread_pool_t *pool,
    ngx_thread_task_t *task);
ngx_uint_t ngx_armoriq_task_done(ngx_event_t *ev);

/* after a wait of ours: as ngx_http_copy_thread_event_handler() does */

void ngx_armoriq_wake(ngx_http_request_t *r);


/*
 * A job: a thread works for a request, which is then answered.  It is the
 * first member of what the thread is to know; all is zero at first but task.
 * thread() has that and memory: no request, no pool, no event loop.  send()
 * says what ngx_http_finalize_request() is to be told.
 */

struct ngx_armoriq_job_s {
    ngx_http_request_t       *request;  /* NULL: the thread has come back */
    ngx_thread_task_t        *task;

    void                    (*thread)(ngx_armoriq_job_t *job);
    ngx_int_t               (*send)(ngx_http_request_t *r,
                                    ngx_armoriq_job_t *job);
    size_t                    size;     /* of memory */
    ngx_uint_t               *busy;     /* jobs of this kind, in the worker */
    ngx_uint_t                most;     /* of them, at a time */

    u_char                   *memory;   /* lives as long as the request */
    aiq_rc_t                  rc;
    aiq_err_t                 err;
    ngx_str_t                 answer;
};

void *ngx_armoriq_job_alloc(ngx_http_request_t *r, size_t size);

/* NGX_ERROR: too many already; else r is blocked, and send() will be called */

ngx_int_t ngx_armoriq_job_post(ngx_http_request_t *r, ngx_armoriq_worker_t *w,
    ngx_armoriq_job_t *job);


#define ngx_armoriq_str(s)   (aiq_str_t) { (s).len, (s).data }


extern ngx_module_t  ngx_armoriq_module;


#endif /* _NGX_ARMORIQ_H_INCLUDED_ */
