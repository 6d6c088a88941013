
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Evidence for the caller: where its record is, in the answer, and a proof
 * that it is in the log, once a checkpoint covers it:
 *
 *     GET /armoriq/audit/proof?seq=N      c2sp.org/tlog-proof, or 404
 *
 * Files are read by a thread.  What is answered was verified.
 */


#include "ngx_armoriq.h"
#include "audit_checkpoint.h"


#define NGX_ARMORIQ_PROOF_SIZE   (AIQ_TLOG_PROOF_MAX + AIQ_NOTE_MAX)


/* all that the thread sees: no request, no pool, no event loop */

typedef struct {
    ngx_http_request_t     *request;
    char                   *dir;
    uint64_t                seq;

    aiq_rc_t                rc;
    aiq_err_t               err;
    ngx_str_t               answer;
    u_char                 *memory;
} ngx_armoriq_proof_task_t;


static ngx_int_t ngx_armoriq_proof_start(ngx_http_request_t *r,
    uint64_t seq);
static ngx_int_t ngx_armoriq_proof_seq(ngx_http_request_t *r, uint64_t *seq);
static void ngx_armoriq_proof_thread(void *data, ngx_log_t *log);
static aiq_rc_t ngx_armoriq_proof_make(ngx_armoriq_proof_task_t *t,
    aiq_crypto_t *c);
static void ngx_armoriq_proof_event(ngx_event_t *ev);
static void ngx_armoriq_proof_done(ngx_http_request_t *r);
static ngx_int_t ngx_armoriq_proof_send(ngx_http_request_t *r,
    ngx_armoriq_proof_task_t *t);
static ngx_int_t ngx_armoriq_proof_error(ngx_http_request_t *r,
    ngx_uint_t status);
static void ngx_armoriq_proof_cleanup(void *data);


/* on permitted answers; nobody else says that here */

ngx_int_t
ngx_armoriq_proof_header(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    u_char                *p, *leaf;
    ngx_armoriq_worker_t  *w;

    static ngx_str_t  names[] = {
        ngx_string("X-ArmorIQ-Record"),
        ngx_string("X-ArmorIQ-Leaf"),
        ngx_null_string
    };

    ngx_armoriq_header_hide(r, names);

    w = ngx_armoriq_get_worker(r);

    if (w == NULL || w->origin.len == 0 || !ctx->recorded || ctx->unsure) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, w->origin.len + 1 + NGX_INT64_LEN
                             + 2 * AIQ_HASH_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    leaf = ngx_sprintf(p, "%V/%uL", &w->origin, ctx->intent.seq);
    (void) ngx_hex_dump(leaf, ctx->intent.leaf, AIQ_HASH_LEN);

    if (ngx_armoriq_add_header(r, (char *) names[0].data, p,
                               (size_t) (leaf - p))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_armoriq_add_header(r, (char *) names[1].data, leaf,
                                  2 * AIQ_HASH_LEN);
}


ngx_int_t
ngx_armoriq_proof_handler(ngx_http_request_t *r)
{
    uint64_t   seq;
    ngx_int_t  rc;

    if (r != r->main) {
        return NGX_HTTP_NOT_FOUND;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {

        if (ngx_armoriq_add_header(r, "Allow", (u_char *) "GET, HEAD", 9)
            != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return ngx_armoriq_proof_error(r, NGX_HTTP_NOT_ALLOWED);
    }

    if (ngx_armoriq_proof_seq(r, &seq) != NGX_OK) {
        return ngx_armoriq_proof_error(r, NGX_HTTP_BAD_REQUEST);
    }

    return ngx_armoriq_proof_start(r, seq);
}


/* a number from 1, without leading zeros */

static ngx_int_t
ngx_armoriq_proof_seq(ngx_http_request_t *r, uint64_t *seq)
{
    size_t     i;
    ngx_str_t  s;

    if (ngx_http_arg(r, (u_char *) "seq", 3, &s) != NGX_OK
        || s.len == 0 || s.len > 16 || s.data[0] == '0')
    {
        return NGX_ERROR;
    }

    *seq = 0;

    for (i = 0; i < s.len; i++) {

        if (s.data[i] < '0' || s.data[i] > '9') {
            return NGX_ERROR;
        }

        *seq = *seq * 10 + (uint64_t) (s.data[i] - '0');
    }

    return NGX_OK;
}


static ngx_int_t
ngx_armoriq_proof_start(ngx_http_request_t *r, uint64_t seq)
{
    ngx_thread_task_t         *task;
    ngx_pool_cleanup_t        *cln;
    ngx_armoriq_worker_t      *w;
    ngx_armoriq_proof_task_t  *t;

    w = ngx_armoriq_get_worker(r);

    if (w == NULL) {
        return ngx_armoriq_proof_error(r, NGX_HTTP_SERVICE_UNAVAILABLE);
    }

    task = ngx_thread_task_alloc(r->pool, sizeof(ngx_armoriq_proof_task_t));
    cln = ngx_pool_cleanup_add(r->pool, 0);

    if (task == NULL || cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    t = task->ctx;

    ngx_memzero(t, sizeof(ngx_armoriq_proof_task_t));

    cln->handler = ngx_armoriq_proof_cleanup;
    cln->data = t;

    t->request = r;
    t->dir = (char *) w->conf->audit.data;
    t->seq = seq;

    task->handler = ngx_armoriq_proof_thread;
    task->event.handler = ngx_armoriq_proof_event;
    task->event.data = t;

    /* the threads are those that write records, too: leave some to them */

    if (w->api_tasks >= NGX_ARMORIQ_API_TASKS
        || ngx_armoriq_task_post(w->conf->thread_pool, task) != NGX_OK)
    {
        return ngx_armoriq_proof_error(r, NGX_HTTP_SERVICE_UNAVAILABLE);
    }

    w->api_tasks++;

    r->main->blocked++;
    r->main->count++;
    r->aio = 1;

    r->write_event_handler = ngx_armoriq_proof_done;
    r->read_event_handler = ngx_http_test_reading;

    return NGX_DONE;
}


static void
ngx_armoriq_proof_thread(void *data, ngx_log_t *log)
{
    ngx_armoriq_proof_task_t *t = data;

    aiq_crypto_t  *c;

    c = aiq_crypto_new();
    t->memory = malloc(AIQ_NOTE_MAX + NGX_ARMORIQ_PROOF_SIZE);

    if (c == NULL || t->memory == NULL) {
        t->rc = aiq_fail(&t->err, AIQ_E_NO_MEMORY, "no memory");

    } else {
        t->rc = ngx_armoriq_proof_make(t, c);
    }

    aiq_crypto_free(c);
}


static aiq_rc_t
ngx_armoriq_proof_make(ngx_armoriq_proof_task_t *t, aiq_crypto_t *c)
{
    aiq_rc_t          rc;
    aiq_out_t         out;
    aiq_str_t         text;
    aiq_hash_t        leaf;
    aiq_audit_tree_t  tree;
    aiq_tlog_proof_t  proof;

    tree.buf = t->memory;

    rc = aiq_audit_tree_open(&tree, t->dir, &t->err);

    if (rc == AIQ_OK) {
        rc = aiq_audit_tree(&tree, c, &t->err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_prove(&tree, t->seq, &proof, leaf, c, &t->err);
    }

    aiq_audit_tree_close(&tree);

    if (rc != AIQ_OK) {
        return rc;
    }

    aiq_out_init(&out, t->memory + AIQ_NOTE_MAX, NGX_ARMORIQ_PROOF_SIZE);
    aiq_tlog_proof_write(&out, &proof);

    text = aiq_out_done(&out);

    t->answer.data = (u_char *) text.data;
    t->answer.len = text.len;

    return out.failed ? AIQ_E_INTERNAL : AIQ_OK;
}


static void
ngx_armoriq_proof_event(ngx_event_t *ev)
{
    ngx_http_request_t        *r;
    ngx_armoriq_worker_t      *w;
    ngx_armoriq_proof_task_t  *t;

    if (!ngx_armoriq_task_done(ev)) {
        return;
    }

    t = ev->data;
    r = t->request;

    w = ngx_armoriq_get_worker(r);

    if (w) {
        w->api_tasks--;
    }

    r->main->blocked--;
    r->aio = 0;

    /* found by the write event handler through the cleanup list */

    t->request = NULL;

    ngx_armoriq_wake(r);
}


static void
ngx_armoriq_proof_done(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t        *cln;
    ngx_armoriq_proof_task_t  *t;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler == ngx_armoriq_proof_cleanup) {
            break;
        }
    }

    t = cln ? cln->data : NULL;

    if (t == NULL || t->request) {

        /* a write event before the thread has come back */

        return;
    }

    r->write_event_handler = ngx_http_request_empty_handler;

    ngx_http_finalize_request(r, ngx_armoriq_proof_send(r, t));
}


static ngx_int_t
ngx_armoriq_proof_send(ngx_http_request_t *r, ngx_armoriq_proof_task_t *t)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    if (t->rc == AIQ_DECLINED) {
        return ngx_armoriq_proof_error(r, NGX_HTTP_NOT_FOUND);
    }

    if (t->rc != AIQ_OK) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "armoriq: no proof of record %uL: %s", t->seq,
                      t->err.text);

        return ngx_armoriq_proof_error(r, NGX_HTTP_SERVICE_UNAVAILABLE);
    }

    if (ngx_armoriq_add_header(r, "Cache-Control", (u_char *) "no-store", 8)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = (off_t) t->answer.len;

    ngx_str_set(&r->headers_out.content_type, "text/plain; charset=utf-8");
    r->headers_out.content_type_len = sizeof("text/plain") - 1;
    r->headers_out.content_type_lowcase = NULL;

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b->pos = t->answer.data;
    b->last = t->answer.data + t->answer.len;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static ngx_int_t
ngx_armoriq_proof_error(ngx_http_request_t *r, ngx_uint_t status)
{
    ngx_str_t  body;

    switch (status) {

    case NGX_HTTP_NOT_FOUND:
        ngx_str_set(&body, "{\"error\":\"NOT_COVERED\",\"message\":\"no "
                           "checkpoint covers this record yet\"}");
        break;

    case NGX_HTTP_BAD_REQUEST:
        ngx_str_set(&body, "{\"error\":\"REQUEST_INVALID\",\"message\":\"the "
                           "number of a record is expected: ?seq=N\"}");
        break;

    case NGX_HTTP_NOT_ALLOWED:
        ngx_str_set(&body, "{\"error\":\"METHOD_NOT_ALLOWED\",\"message\":"
                           "\"this HTTP method is not allowed here\"}");
        break;

    default:
        ngx_str_set(&body, "{\"error\":\"AUDIT_UNAVAILABLE\",\"message\":"
                           "\"the proof cannot be made\"}");
    }

    return ngx_armoriq_send_json(r, status, &body);
}


static void
ngx_armoriq_proof_cleanup(void *data)
{
    ngx_armoriq_proof_task_t *t = data;

    free(t->memory);
}
