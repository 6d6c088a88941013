
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


typedef struct {
    ngx_armoriq_job_t       job;
    char                   *dir;
    uint64_t                seq;
} ngx_armoriq_proof_job_t;


static ngx_int_t ngx_armoriq_proof_start(ngx_http_request_t *r,
    uint64_t seq);
static ngx_int_t ngx_armoriq_proof_seq(ngx_http_request_t *r, uint64_t *seq);
static void ngx_armoriq_proof_thread(ngx_armoriq_job_t *job);
static aiq_rc_t ngx_armoriq_proof_make(ngx_armoriq_proof_job_t *p,
    aiq_crypto_t *c);
static ngx_int_t ngx_armoriq_proof_send(ngx_http_request_t *r,
    ngx_armoriq_job_t *job);
static ngx_int_t ngx_armoriq_proof_error(ngx_http_request_t *r,
    ngx_uint_t status);


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
    ngx_armoriq_worker_t     *w;
    ngx_armoriq_proof_job_t  *p;

    w = ngx_armoriq_get_worker(r);

    if (w == NULL) {
        return ngx_armoriq_proof_error(r, NGX_HTTP_SERVICE_UNAVAILABLE);
    }

    p = ngx_armoriq_job_alloc(r, sizeof(ngx_armoriq_proof_job_t));

    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    p->job.thread = ngx_armoriq_proof_thread;
    p->job.send = ngx_armoriq_proof_send;
    p->job.size = AIQ_NOTE_MAX + NGX_ARMORIQ_PROOF_SIZE;
    p->job.busy = &w->proof_jobs;
    p->job.most = NGX_ARMORIQ_PROOF_JOBS;

    p->dir = (char *) w->conf->audit.data;
    p->seq = seq;

    if (ngx_armoriq_job_post(r, w, &p->job) != NGX_OK) {
        return ngx_armoriq_proof_error(r, NGX_HTTP_SERVICE_UNAVAILABLE);
    }

    r->main->count++;

    return NGX_DONE;
}


static void
ngx_armoriq_proof_thread(ngx_armoriq_job_t *job)
{
    aiq_crypto_t  *c;

    c = aiq_crypto_new();

    job->rc = c ? ngx_armoriq_proof_make((ngx_armoriq_proof_job_t *) job, c)
                : aiq_fail(&job->err, AIQ_E_NO_MEMORY, "no memory");

    aiq_crypto_free(c);
}


static aiq_rc_t
ngx_armoriq_proof_make(ngx_armoriq_proof_job_t *p, aiq_crypto_t *c)
{
    aiq_rc_t            rc;
    aiq_out_t           out;
    aiq_str_t           text;
    aiq_hash_t          leaf;
    aiq_audit_tree_t    tree;
    aiq_tlog_proof_t    proof;
    ngx_armoriq_job_t  *job;

    job = &p->job;

    tree.buf = job->memory;

    rc = aiq_audit_tree_open(&tree, p->dir, &job->err);

    if (rc == AIQ_OK) {
        rc = aiq_audit_tree(&tree, c, &job->err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_prove(&tree, p->seq, &proof, leaf, c, &job->err);
    }

    aiq_audit_tree_close(&tree);

    if (rc != AIQ_OK) {
        return rc;
    }

    aiq_out_init(&out, job->memory + AIQ_NOTE_MAX, NGX_ARMORIQ_PROOF_SIZE);
    aiq_tlog_proof_write(&out, &proof);

    text = aiq_out_done(&out);

    job->answer.data = (u_char *) text.data;
    job->answer.len = text.len;

    return out.failed ? AIQ_E_INTERNAL : AIQ_OK;
}


static ngx_int_t
ngx_armoriq_proof_send(ngx_http_request_t *r, ngx_armoriq_job_t *job)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    if (job->rc == AIQ_DECLINED) {
        return ngx_armoriq_proof_error(r, NGX_HTTP_NOT_FOUND);
    }

    if (job->rc != AIQ_OK) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "armoriq: no proof of record %uL: %s",
                      ((ngx_armoriq_proof_job_t *) job)->seq, job->err.text);

        return ngx_armoriq_proof_error(r, NGX_HTTP_SERVICE_UNAVAILABLE);
    }

    if (ngx_armoriq_add_header(r, "Cache-Control", (u_char *) "no-store", 8)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = (off_t) job->answer.len;

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

    b->pos = job->answer.data;
    b->last = job->answer.data + job->answer.len;
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
