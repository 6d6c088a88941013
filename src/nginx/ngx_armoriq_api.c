
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The ArmorIQ API as the published SDKs speak it.  A table of methods and
 * paths; handlers that only read answer in the event loop, those that write
 * run in a thread with memory of their own.
 */


#include "ngx_armoriq.h"

#include "issue.h"
#include "tzfile.h"


#define NGX_ARMORIQ_API_BODY     (1024 * 1024)
#define NGX_ARMORIQ_API_ARENA    (12 * 1024 * 1024)


typedef struct ngx_armoriq_api_s       ngx_armoriq_api_t;
typedef struct ngx_armoriq_api_job_s   ngx_armoriq_api_job_t;

struct ngx_armoriq_api_s {
    ngx_uint_t              method;
    ngx_str_t               path;
    ngx_int_t             (*handler)(ngx_http_request_t *r);
    void                  (*thread)(ngx_armoriq_api_job_t *t);
};


struct ngx_armoriq_api_job_s {
    ngx_armoriq_job_t       job;
    const ngx_armoriq_api_t *api;
    aiq_store_t            *store;
    aiq_str_t               body;
    aiq_apikey_t            key;
    aiq_addr_t              source;
    int64_t                 now;
};


static const ngx_armoriq_api_t *ngx_armoriq_api_find(ngx_http_request_t *r,
    ngx_uint_t *known);
static void ngx_armoriq_api_body(ngx_http_request_t *r);
static ngx_int_t ngx_armoriq_api_start(ngx_http_request_t *r);
static aiq_rc_t ngx_armoriq_api_key(ngx_http_request_t *r,
    aiq_apikey_t *key, aiq_err_t *err);
static ngx_int_t ngx_armoriq_api_text(ngx_http_request_t *r,
    aiq_str_t *text);
static void ngx_armoriq_api_thread(ngx_armoriq_job_t *job);
static ngx_int_t ngx_armoriq_api_send(ngx_http_request_t *r,
    ngx_armoriq_job_t *job);
static ngx_int_t ngx_armoriq_api_error(ngx_http_request_t *r, aiq_rc_t rc,
    aiq_err_t *err);
static ngx_int_t ngx_armoriq_api_health(ngx_http_request_t *r);
static void ngx_armoriq_api_token(ngx_armoriq_api_job_t *t);
static aiq_rc_t ngx_armoriq_api_token_read(ngx_armoriq_api_job_t *t,
    aiq_json_t *doc, aiq_issue_t *in);
static aiq_rc_t ngx_armoriq_api_owner(aiq_str_t bound, aiq_str_t *asked,
    const char *field, aiq_err_t *err);


static const ngx_armoriq_api_t  ngx_armoriq_apis[] = {

    { NGX_HTTP_GET|NGX_HTTP_HEAD, ngx_string("/health"),
      ngx_armoriq_api_health, NULL },

    { NGX_HTTP_POST, ngx_string("/iap/sdk/token"),
      NULL, ngx_armoriq_api_token },

    { 0, ngx_null_string, NULL, NULL }
};


ngx_int_t
ngx_armoriq_api_handler(ngx_http_request_t *r)
{
    aiq_rc_t                  denied;
    aiq_err_t                 err;
    ngx_int_t                 rc;
    ngx_str_t                 body;
    ngx_uint_t                known;
    aiq_apikey_t              key;
    const ngx_armoriq_api_t  *api;

    if (r != r->main) {
        return NGX_HTTP_NOT_FOUND;
    }

    api = ngx_armoriq_api_find(r, &known);

    if (api == NULL) {

        rc = ngx_http_discard_request_body(r);
        if (rc != NGX_OK) {
            return rc;
        }

        if (known) {
            rc = (known & NGX_HTTP_POST)
                 ? ngx_armoriq_add_header(r, "Allow", (u_char *) "POST", 4)
                 : ngx_armoriq_add_header(r, "Allow", (u_char *) "GET, HEAD",
                                          9);

            return (rc == NGX_OK)
                   ? ngx_armoriq_api_error(r, AIQ_D_METHOD_NOT_ALLOWED, NULL)
                   : NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ngx_str_set(&body, "{\"success\":false,\"message\":\"no such API\","
                           "\"error\":\"NOT_FOUND\"}");

        return ngx_armoriq_send_json(r, NGX_HTTP_NOT_FOUND, &body);
    }

    if (api->handler) {

        rc = ngx_http_discard_request_body(r);
        if (rc != NGX_OK) {
            return rc;
        }

        return api->handler(r);
    }

    /* nobody's body is read before the key is known */

    err.text[0] = '\0';

    denied = ngx_armoriq_api_key(r, &key, &err);

    if (denied == AIQ_OK
        && r->headers_in.content_length_n > NGX_ARMORIQ_API_BODY)
    {
        denied = AIQ_D_BODY_TOO_LARGE;
    }

    if (denied != AIQ_OK) {

        rc = ngx_http_discard_request_body(r);
        if (rc != NGX_OK) {
            return rc;
        }

        return ngx_armoriq_api_error(r, denied, &err);
    }

    /* in memory: what the thread reads is not a file */

    r->request_body_in_single_buf = 1;

    rc = ngx_http_read_client_request_body(r, ngx_armoriq_api_body);

    return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
}


/*
 * The path behind the prefix of the location, or the whole path.  known: the
 * methods there are for it.
 */

static const ngx_armoriq_api_t *
ngx_armoriq_api_find(ngx_http_request_t *r, ngx_uint_t *known)
{
    ngx_str_t                  path;
    const ngx_armoriq_api_t   *api;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    path = r->uri;

    if (!clcf->exact_match && clcf->name.len > 1
        && path.len > clcf->name.len
        && ngx_strncmp(path.data, clcf->name.data, clcf->name.len) == 0)
    {
        path.data += clcf->name.len;
        path.len -= clcf->name.len;

        if (path.data[0] != '/') {
            path.data--;
            path.len++;
        }
    }

    *known = 0;

    for (api = ngx_armoriq_apis; api->path.len; api++) {

        if ((path.len != api->path.len
             || ngx_strncmp(path.data, api->path.data, path.len) != 0)
            && (r->uri.len != api->path.len
                || ngx_strncmp(r->uri.data, api->path.data, r->uri.len) != 0))
        {
            continue;
        }

        *known |= api->method;

        if (r->method & api->method) {
            return api;
        }
    }

    return NULL;
}


/* the body is there: whatever fails from here on has an answer of ours */

static void
ngx_armoriq_api_body(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    rc = ngx_armoriq_api_start(r);

    if (rc != NGX_AGAIN) {
        ngx_http_finalize_request(r, rc);
    }
}


/* NGX_AGAIN: a thread is at it; else the request is to be finalized so */

static ngx_int_t
ngx_armoriq_api_start(ngx_http_request_t *r)
{
    aiq_rc_t                  rc;
    aiq_err_t                 err;
    ngx_uint_t                known;
    ngx_armoriq_worker_t     *w;
    ngx_armoriq_api_job_t    *t;

    w = ngx_armoriq_get_worker(r);

    if (w == NULL) {
        return ngx_armoriq_api_error(r, AIQ_E_STORE_UNAVAILABLE, NULL);
    }

    t = ngx_armoriq_job_alloc(r, sizeof(ngx_armoriq_api_job_t));

    if (t == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    err.text[0] = '\0';

    rc = ngx_armoriq_api_key(r, &t->key, &err);

    if (rc != AIQ_OK) {
        return ngx_armoriq_api_error(r, rc, &err);
    }

    if (ngx_armoriq_api_text(r, &t->body) != NGX_OK) {
        return ngx_armoriq_api_error(r, AIQ_D_BODY_TOO_LARGE, NULL);
    }

    t->job.thread = ngx_armoriq_api_thread;
    t->job.send = ngx_armoriq_api_send;
    t->job.size = NGX_ARMORIQ_API_ARENA;
    t->job.busy = &w->api_jobs;
    t->job.most = NGX_ARMORIQ_API_JOBS;

    t->api = ngx_armoriq_api_find(r, &known);
    t->store = w->store;
    t->now = ngx_time();

    ngx_armoriq_source(r, &t->source);

    if (ngx_armoriq_job_post(r, w, &t->job) != NGX_OK) {
        return ngx_armoriq_api_error(r, AIQ_E_STORE_UNAVAILABLE, NULL);
    }

    return NGX_AGAIN;
}


/* of the key, only what outlives the transaction: copies in the pool */

static aiq_rc_t
ngx_armoriq_api_key(ngx_http_request_t *r, aiq_apikey_t *key, aiq_err_t *err)
{
    u_char                *p;
    aiq_rc_t               rc;
    aiq_mem_t             *mem;
    aiq_str_t              secret;
    ngx_uint_t             i;
    aiq_request_t          in;
    aiq_store_txn_t       *txn;
    ngx_armoriq_worker_t  *w;

    aiq_str_t  *const kept[] = {
        &key->id, &key->org, &key->user, &key->agent
    };

    w = ngx_armoriq_get_worker(r);

    if (w == NULL) {
        return AIQ_E_STORE_UNAVAILABLE;
    }

    ngx_memzero(&in, sizeof(aiq_request_t));
    ngx_armoriq_headers_read(r, &in);

    if (in.duplicate) {
        return AIQ_D_HEADER_DUPLICATE;
    }

    rc = aiq_presented_key(in.authorization, in.x_api_key, &secret);

    if (rc != AIQ_OK) {
        return rc == AIQ_DECLINED ? AIQ_D_IDENTITY_MISSING : rc;
    }

    rc = aiq_store_read(w->store, &txn, w->crypto, err);

    if (rc != AIQ_OK) {
        return rc;
    }

    mem = ngx_armoriq_arena(w);

    rc = aiq_apikey_find(txn, secret, ngx_time(), key, w->crypto, mem);

    if (rc == AIQ_OK) {
        rc = aiq_owner_active(txn, key->org, key->user, key->agent, mem, err);
    }

    for (i = 0; rc == AIQ_OK && i < sizeof(kept) / sizeof(kept[0]); i++) {

        p = ngx_pnalloc(r->pool, kept[i]->len + 1);

        if (p == NULL) {
            rc = AIQ_E_NO_MEMORY;
            break;
        }

        ngx_memcpy(p, kept[i]->data, kept[i]->len);
        kept[i]->data = p;
    }

    aiq_store_abort(txn);

    return rc;
}


static ngx_int_t
ngx_armoriq_api_text(ngx_http_request_t *r, aiq_str_t *text)
{
    u_char       *p;
    off_t         size;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    size = 0;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        size += ngx_buf_size(cl->buf);
    }

    if (size > NGX_ARMORIQ_API_BODY) {
        return NGX_DECLINED;
    }

    p = ngx_pnalloc(r->pool, (size_t) size + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;
    text->len = (size_t) size;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        b = cl->buf;

        if (ngx_buf_in_memory(b)) {
            p = ngx_cpymem(p, b->pos, b->last - b->pos);

        } else if (b->in_file) {

            /* written a moment ago: this copies from the page cache */

            if (ngx_read_file(b->file, p, (size_t) ngx_buf_size(b),
                              b->file_pos)
                != (ssize_t) ngx_buf_size(b))
            {
                return NGX_ERROR;
            }

            p += ngx_buf_size(b);
        }
    }

    return NGX_OK;
}


static void
ngx_armoriq_api_thread(ngx_armoriq_job_t *job)
{
    ngx_armoriq_api_job_t *t = (ngx_armoriq_api_job_t *) job;

    t->api->thread(t);
}


static ngx_int_t
ngx_armoriq_api_send(ngx_http_request_t *r, ngx_armoriq_job_t *job)
{
    return (job->rc == AIQ_OK)
           ? ngx_armoriq_send_json(r, NGX_HTTP_OK, &job->answer)
           : ngx_armoriq_api_error(r, job->rc, &job->err);
}


static ngx_int_t
ngx_armoriq_api_error(ngx_http_request_t *r, aiq_rc_t rc, aiq_err_t *err)
{
    u_char      *p;
    size_t       size;
    ngx_str_t    body;
    aiq_out_t    out;
    const char  *text;

    /* a fault is for the log; what was wrong with a request, for its owner */

    text = (err && err->text[0] && aiq_is_denied(rc)) ? err->text
                                                      : aiq_message(rc);

    if (aiq_is_fault(rc)) {
        ngx_log_error(NGX_LOG_CRIT, r->connection->log, 0, "armoriq: %s: %s",
                      aiq_reason(rc), err ? err->text : "");
    }

    size = 256 + 6 * ngx_strlen(text);

    p = ngx_pnalloc(r->pool, size);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (aiq_http_status(rc) == NGX_HTTP_UNAUTHORIZED
        && ngx_armoriq_add_header(r, "WWW-Authenticate",
                                  (u_char *) "Bearer realm=\"armoriq\"", 22)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    aiq_out_init(&out, p, size);
    aiq_out_str(&out, "{\"success\":false,\"message\":");
    aiq_out_json(&out, aiq_cstr(text));
    aiq_out_str(&out, ",\"error\":");
    aiq_out_json(&out, aiq_cstr(aiq_reason(rc)));
    aiq_out_str(&out, ",\"error_code\":");
    aiq_out_json(&out, aiq_cstr(aiq_reason(rc)));
    aiq_out_char(&out, '}');

    body.data = p;
    body.len = aiq_out_done(&out).len;

    return ngx_armoriq_send_json(r, (ngx_uint_t) aiq_http_status(rc), &body);
}


/* wire.md A1: with a key the key is checked, without one we are just up */

static ngx_int_t
ngx_armoriq_api_health(ngx_http_request_t *r)
{
    aiq_rc_t      rc;
    aiq_err_t     err;
    ngx_str_t     body;
    aiq_apikey_t  key;

    err.text[0] = '\0';

    rc = ngx_armoriq_api_key(r, &key, &err);

    if (rc == AIQ_OK || rc == AIQ_D_IDENTITY_MISSING) {
        ngx_str_set(&body, "{\"status\":\"healthy\",\"service\":\"armoriq\"}");

        return ngx_armoriq_send_json(r, NGX_HTTP_OK, &body);
    }

    return ngx_armoriq_api_error(r, rc, &err);
}


/* wire.md A3, in a thread */

static void
ngx_armoriq_api_token(ngx_armoriq_api_job_t *t)
{
    size_t              size;
    aiq_mem_t           mem;
    aiq_out_t           out;
    aiq_json_t          doc;
    aiq_issue_t         in;
    aiq_issued_pair_t   issued;

    mem.pos = t->job.memory;
    mem.end = t->job.memory + NGX_ARMORIQ_API_ARENA;

    ngx_memzero(&in, sizeof(aiq_issue_t));

    in.mem = &mem;
    in.crypto = aiq_crypto_new();

    if (in.crypto == NULL) {
        t->job.rc = AIQ_E_CRYPTO_FAILED;
        return;
    }

    t->job.rc = ngx_armoriq_api_token_read(t, &doc, &in);

    if (t->job.rc == AIQ_OK) {
        t->job.rc = aiq_issue(&issued, &in, &t->job.err);
    }

    if (t->job.rc == AIQ_OK) {

        /* the rest of the memory, less what the proofs are worked out in */

        size = (size_t) (mem.end - mem.pos) / 2;
        t->job.answer.data = aiq_mem_alloc(&mem, size);

        aiq_out_init(&out, t->job.answer.data, t->job.answer.data ? size : 0);
        aiq_issue_write(&out, &issued, &in);

        t->job.answer.len = aiq_out_done(&out).len;
        t->job.rc = out.failed ? AIQ_E_NO_MEMORY : AIQ_OK;
    }

    aiq_crypto_free(in.crypto);
}


static aiq_rc_t
ngx_armoriq_api_token_read(ngx_armoriq_api_job_t *t, aiq_json_t *doc,
    aiq_issue_t *in)
{
    double      seconds;
    uint32_t    i;
    aiq_rc_t    rc;

    rc = aiq_json_parse(doc, t->body, AIQ_JSON_DEPTH, in->mem, &t->job.err);

    if (rc != AIQ_OK) {
        return rc;
    }

    if (aiq_json_type(doc, 0) != AIQ_JSON_OBJECT) {
        return aiq_fail(&t->job.err, AIQ_D_JSON_NOT_OBJECT,
                        "the body must be a JSON object");
    }

    in->store = t->store;
    in->doc = doc;
    in->org = t->key.org;
    in->key = t->key.id;
    in->now = t->now;
    in->source = t->source;
    in->tz = aiq_tzfile_load;

    in->plan = aiq_json_get(doc, 0, "plan");

    if (in->plan == AIQ_JSON_NONE) {
        return aiq_fail(&t->job.err, AIQ_D_PLAN_INVALID,
                        "missing required field \"plan\"");
    }

    in->policy = aiq_json_get(doc, 0, "policy");

    (void) aiq_json_string(doc, aiq_json_get(doc, 0, "user_id"), in->mem,
                           &in->user);
    (void) aiq_json_string(doc, aiq_json_get(doc, 0, "agent_id"), in->mem,
                           &in->agent);
    (void) aiq_json_string(doc, aiq_json_get(doc, 0, "context_id"), in->mem,
                           &in->context);

    if ((rc = ngx_armoriq_api_owner(t->key.user, &in->user, "user_id",
                                    &t->job.err)) != AIQ_OK
        || (rc = ngx_armoriq_api_owner(t->key.agent, &in->agent, "agent_id",
                                       &t->job.err)) != AIQ_OK)
    {
        return rc;
    }

    i = aiq_json_get(doc, 0, "expires_in");

    if (i == AIQ_JSON_NONE || aiq_json_type(doc, i) == AIQ_JSON_NULL) {
        return AIQ_OK;
    }

    if (aiq_json_double(doc, i, &seconds) != AIQ_OK || !(seconds >= 1)
        || seconds > AIQ_ISSUE_LIFETIME_MAX)
    {
        return aiq_fail(&t->job.err, AIQ_D_REQUEST_INVALID,
                        "expires_in: 1 to %d seconds",
                        AIQ_ISSUE_LIFETIME_MAX);
    }

    in->lifetime = (int64_t) seconds;

    return AIQ_OK;
}


/* a key that is bound to a user or an agent speaks for nobody else */

static aiq_rc_t
ngx_armoriq_api_owner(aiq_str_t bound, aiq_str_t *asked, const char *field,
    aiq_err_t *err)
{
    if (bound.len == 0) {
        return AIQ_OK;
    }

    if (asked->len == 0) {
        *asked = bound;
        return AIQ_OK;
    }

    if (!aiq_str_eq(bound, *asked)) {
        return aiq_fail(err, AIQ_D_TOKEN_OWNER,
                        "%s: the API key belongs to another one", field);
    }

    return AIQ_OK;
}
