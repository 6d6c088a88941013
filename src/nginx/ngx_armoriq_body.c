
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The bytes that are judged are the bytes that are forwarded: the body, in
 * whatever pieces nginx has it, becomes one buffer in memory, and that buffer
 * takes the place of the pieces.  What lies in a temporary file is read in a
 * thread.
 */


#include "ngx_armoriq_bridge.h"


typedef struct {
    ngx_http_request_t   *request;
    ngx_armoriq_body_pt   handler;
    ngx_fd_t              fd;
    u_char               *data;
    size_t                size;
    off_t                 offset;
    ngx_err_t             err;
    ngx_uint_t            ok;
    u_char               *start;
    size_t                length;
} ngx_armoriq_body_task_t;


static ngx_int_t ngx_armoriq_body_file(ngx_http_request_t *r,
    ngx_buf_t *file, u_char *p, u_char *start, size_t length,
    ngx_armoriq_body_pt handler);
static void ngx_armoriq_body_thread(void *data, ngx_log_t *log);
static void ngx_armoriq_body_event(ngx_event_t *ev);
static void ngx_armoriq_body_done(ngx_http_request_t *r, u_char *data,
    size_t len, ngx_armoriq_body_pt handler);


/*
 * Calls handler with NGX_OK and ctx->body set, or with an AIQ_ reason that is
 * not 0; maybe later.
 */

void
ngx_armoriq_body_take(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    ngx_armoriq_body_pt handler)
{
    off_t                    size;
    u_char                  *p, *start, *hole;
    ngx_buf_t               *b, *file;
    ngx_chain_t             *cl;
    ngx_armoriq_loc_conf_t  *alcf;

    alcf = ngx_http_get_module_loc_conf(r, ngx_armoriq_module);

    size = 0;

    for (cl = r->request_body ? r->request_body->bufs : NULL;
         cl;
         cl = cl->next)
    {
        size += ngx_buf_size(cl->buf);
    }

    if (size > (off_t) alcf->max_body) {
        handler(r, AIQ_D_BODY_TOO_LARGE);
        return;
    }

    /* a second pass after an error may find less than was announced */

    if (r->headers_in.content_length_n >= 0
        && r->headers_in.content_length_n != size)
    {
        handler(r, AIQ_D_BODY_INCOMPLETE);
        return;
    }

    cl = r->request_body ? r->request_body->bufs : NULL;

    if (cl == NULL || size == 0) {
        ngx_armoriq_body_done(r, (u_char *) "", 0, handler);
        return;
    }

    if (cl->next == NULL && ngx_buf_in_memory(cl->buf)) {
        ngx_armoriq_body_done(r, cl->buf->pos, (size_t) size, handler);
        return;
    }

    start = ngx_pnalloc(r->pool, (size_t) size);
    if (start == NULL) {
        handler(r, AIQ_E_NO_MEMORY);
        return;
    }

    p = start;
    hole = NULL;
    file = NULL;

    for ( /* void */ ; cl; cl = cl->next) {
        b = cl->buf;

        if (ngx_buf_size(b) == 0) {

            /* the end of a chunked body is one of its own */

            continue;
        }

        if (ngx_buf_in_memory(b)) {
            p = ngx_cpymem(p, b->pos, b->last - b->pos);
            continue;
        }

        if (file || !b->in_file) {
            handler(r, AIQ_E_INTERNAL);
            return;
        }

        /* nginx makes one temporary file a request */

        file = b;
        hole = p;
        p += ngx_buf_size(b);
    }

    if (file == NULL) {
        ngx_armoriq_body_done(r, start, (size_t) size, handler);
        return;
    }

    if (ngx_armoriq_body_file(r, file, hole, start, (size_t) size, handler)
        != NGX_OK)
    {
        handler(r, AIQ_E_INTERNAL);
    }
}


static ngx_int_t
ngx_armoriq_body_file(ngx_http_request_t *r, ngx_buf_t *file, u_char *p,
    u_char *start, size_t length, ngx_armoriq_body_pt handler)
{
    ngx_thread_task_t        *task;
    ngx_armoriq_body_task_t  *t;
    ngx_armoriq_main_conf_t  *amcf;

    amcf = ngx_http_get_module_main_conf(r, ngx_armoriq_module);

    task = ngx_thread_task_alloc(r->pool, sizeof(ngx_armoriq_body_task_t));
    if (task == NULL) {
        return NGX_ERROR;
    }

    t = task->ctx;

    t->request = r;
    t->handler = handler;
    t->fd = file->file->fd;
    t->data = p;
    t->size = (size_t) (file->file_last - file->file_pos);
    t->offset = file->file_pos;
    t->start = start;
    t->length = length;

    task->handler = ngx_armoriq_body_thread;
    task->event.data = t;
    task->event.handler = ngx_armoriq_body_event;

    if (ngx_armoriq_task_post(amcf->thread_pool, task) != NGX_OK) {
        return NGX_ERROR;
    }

    /* keeps the pool while the thread writes into it */

    r->main->blocked++;
    r->aio = 1;

    return NGX_OK;
}


static void
ngx_armoriq_body_thread(void *data, ngx_log_t *log)
{
    ngx_armoriq_body_task_t *t = data;

    ssize_t  n;
    size_t   done;

    for (done = 0; done < t->size; done += (size_t) n) {

        n = pread(t->fd, t->data + done, t->size - done,
                  t->offset + (off_t) done);

        if (n == -1 && ngx_errno == NGX_EINTR) {
            n = 0;
            continue;
        }

        if (n <= 0) {
            t->err = ngx_errno;
            return;
        }
    }

    t->ok = 1;
}


static void
ngx_armoriq_body_event(ngx_event_t *ev)
{
    ngx_connection_t         *c;
    ngx_http_request_t       *r;
    ngx_armoriq_body_task_t  *t;

    if (!ngx_armoriq_task_done(ev)) {
        return;
    }

    t = ev->data;
    r = t->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    r->main->blocked--;
    r->aio = 0;

    if (r->write_event_handler == ngx_http_core_run_phases
#if (nginx_version >= 1025004)
        && !r->main->terminated
#endif
       )
    {
        if (t->ok) {
            ngx_armoriq_body_done(r, t->start, t->length, t->handler);

        } else {
            ngx_log_error(NGX_LOG_CRIT, c->log, t->err,
                          "armoriq: the temporary file of a body cannot be "
                          "read");
            t->handler(r, AIQ_E_INTERNAL);
        }

        ngx_http_run_posted_requests(c);
        return;
    }

    /* the client has gone meanwhile */

    ngx_armoriq_wake(r);
}


static void
ngx_armoriq_body_done(ngx_http_request_t *r, u_char *data, size_t len,
    ngx_armoriq_body_pt handler)
{
    ngx_armoriq_ctx_t     *ctx;
    ngx_armoriq_worker_t  *w;

    ctx = ngx_armoriq_get_ctx(r);
    w = ngx_armoriq_get_worker(r);

    if (w == NULL) {
        handler(r, AIQ_E_STORE_UNAVAILABLE);
        return;
    }

    ctx->body.data = data;
    ctx->body.len = len;

    if (len && ngx_armoriq_body_replace(r, data, len) != NGX_OK) {
        handler(r, AIQ_E_NO_MEMORY);
        return;
    }

    handler(r, aiq_sha256(w->crypto, ngx_armoriq_str(ctx->body),
                          ctx->body_hash));
}


/* the body without the token takes its place, if there was one in it */

ngx_int_t
ngx_armoriq_body_untold(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    ngx_armoriq_worker_t  *w;

    w = ngx_armoriq_get_worker(r);

    if (ctx->untold.len == 0 || ctx->told.len) {
        return NGX_OK;
    }

    if (w == NULL
        || ngx_armoriq_body_replace(r, ctx->untold.data, ctx->untold.len)
           != NGX_OK
        || aiq_sha256(w->crypto, ngx_armoriq_str(ctx->untold), ctx->body_hash)
           != AIQ_OK)
    {
        return NGX_ERROR;
    }

    ctx->told = ctx->body;
    ctx->body = ctx->untold;

    r->headers_in.content_length_n = (off_t) ctx->body.len;

    return NGX_OK;
}


/*
 * Of a main request.  The structure stays, its contents are replaced: HTTP/2
 * and HTTP/3 keep using r->request_body.  A temporary file is closed with the
 * pool.
 */

ngx_int_t
ngx_armoriq_body_replace(ngx_http_request_t *r, u_char *data, size_t len)
{
    ngx_chain_t  *cl;

    cl = ngx_armoriq_synthetic_body(r->pool, data, len);

    if (cl == NULL) {
        return NGX_ERROR;
    }

    r->request_body->bufs = cl;
    r->request_body->temp_file = NULL;

    return NGX_OK;
}


/* of a body that was taken: a body somewhere else is not the one judged */

ngx_int_t
ngx_armoriq_body_hash(ngx_http_request_t *r, aiq_crypto_t *c,
    u_char hash[AIQ_HASH_LEN], off_t *length)
{
    ngx_buf_t    *b;
    aiq_str_t     s;
    ngx_chain_t  *cl;

    s.data = (u_char *) "";
    s.len = 0;

    for (cl = r->request_body ? r->request_body->bufs : NULL;
         cl;
         cl = cl->next)
    {
        b = cl->buf;

        if (ngx_buf_size(b) == 0) {

            /* the end of a body of "Content-Length: 0" is one of its own */

            continue;
        }

        if (s.len || !ngx_buf_in_memory(b)) {
            return NGX_ERROR;
        }

        s.data = b->pos;
        s.len = (size_t) (b->last - b->pos);
    }

    *length = (off_t) s.len;

    return aiq_sha256(c, s, hash) == AIQ_OK ? NGX_OK : NGX_ERROR;
}


/*
 * How many of the judged bytes are in the request made for the upstream.
 * proxy, grpc, fastcgi, scgi and uwsgi copy the bufs and not the bytes, so
 * addresses can be compared.  Less than the length of the body means
 * proxy_set_body, proxy_pass_request_body or alike.
 */

off_t
ngx_armoriq_body_passed(ngx_http_request_t *r)
{
    off_t         passed;
    ngx_buf_t    *b, *o;
    ngx_chain_t  *out;

    if (r->request_body == NULL || r->request_body->bufs == NULL) {
        return 0;
    }

    passed = 0;
    b = r->request_body->bufs->buf;

    for (out = r->upstream->request_bufs; out; out = out->next) {
        o = out->buf;

        if (ngx_buf_in_memory(o) && o->pos >= b->pos && o->last <= b->last) {
            passed += o->last - o->pos;
        }
    }

    return passed;
}
