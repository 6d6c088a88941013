
/*
 * Copyright (C) ngx_armoriq authors
 *
 * From the permitted envelope to the streaming answer: handshake, redirect
 * and, in the filters, the lost session.  At each hand-over exactly one party
 * owns the request; r->main->count is commented there.
 */


#include "ngx_armoriq_bridge.h"


static void ngx_armoriq_bridge_resume(ngx_http_request_t *r);
static void ngx_armoriq_bridge_error(ngx_http_request_t *r,
    ngx_armoriq_bridge_t *b);
static ngx_int_t ngx_armoriq_bridge_initialized(ngx_armoriq_worker_t *w,
    ngx_armoriq_bridge_t *b);
static aiq_rc_t ngx_armoriq_bridge_version(ngx_armoriq_worker_t *w,
    ngx_armoriq_bridge_t *b, aiq_str_t *version);
static void ngx_armoriq_bridge_subrequest(ngx_http_request_t *r,
    ngx_armoriq_bridge_t *b, ngx_str_t *body);
static ngx_int_t ngx_armoriq_bridge_subrequest_done(ngx_http_request_t *r,
    void *data, ngx_int_t rc);
static void ngx_armoriq_bridge_redirect(ngx_http_request_t *r,
    ngx_armoriq_bridge_t *b);
static ngx_int_t ngx_armoriq_bridge_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_armoriq_bridge_lost(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx, ngx_armoriq_bridge_t *b);
static ngx_int_t ngx_armoriq_bridge_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_armoriq_session_t *ngx_armoriq_bridge_slot(
    ngx_armoriq_worker_t *w, ngx_armoriq_bridge_t *b);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


void
ngx_armoriq_bridge_begin(ngx_http_request_t *r, ngx_armoriq_bridge_t *b)
{
    u_char                 *p;
    ngx_str_t               body;
    aiq_out_t               out;
    ngx_armoriq_worker_t   *w;
    ngx_armoriq_session_t  *slot;

    b->session.session[0] = '\0';
    ngx_cpystrn(b->session.protocol, b->mcp->protocol.data,
                ngx_min(b->mcp->protocol.len + 1, AIQ_MCP_VERSION_MAX));

    if (b->mcp->stateless) {
        ngx_armoriq_bridge_redirect(r, b);
        return;
    }

    w = ngx_armoriq_get_worker(r);

    slot = w ? ngx_armoriq_bridge_slot(w, b) : NULL;

    if (slot && ngx_memcmp(slot->key, b->session.key, AIQ_HASH_LEN) == 0) {

        /* copied: the slot may change before the call ends */

        b->session = *slot;
        b->cached = 1;
        ngx_armoriq_bridge_redirect(r, b);
        return;
    }

    b->cached = 0;
    b->state = ngx_armoriq_bridge_init;

    /* id 0: ids must not repeat within a session, those of calls are above */

    p = ngx_pnalloc(r->pool, 512);
    if (p == NULL) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    aiq_out_init(&out, p, 512);
    aiq_mcp_write_initialize(&out, 0, ngx_armoriq_str(b->mcp->protocol));

    body.data = p;
    body.len = aiq_out_done(&out).len;

    ngx_armoriq_bridge_subrequest(r, b, &body);
}


/* the write event handler of the main request while it waits */

static void
ngx_armoriq_bridge_resume(ngx_http_request_t *r)
{
    ngx_armoriq_ctx_t      *ctx;
    ngx_armoriq_bridge_t   *b;
    ngx_armoriq_worker_t   *w;
    ngx_armoriq_session_t  *slot;

    static ngx_str_t  initialized = ngx_string(
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");

    ctx = ngx_armoriq_get_ctx(r);
    b = ctx->bridge;

    if (b->state == ngx_armoriq_bridge_restart) {
        ngx_armoriq_bridge_begin(r, b);
        return;
    }

    if (!b->done) {
        return;
    }

    w = ngx_armoriq_get_worker(r);

    if (w == NULL || b->status < 200 || b->status >= 300 || b->too_big
        || b->late)
    {
        ngx_armoriq_bridge_error(r, b);
        return;
    }

    if (b->state == ngx_armoriq_bridge_notify) {
        slot = ngx_armoriq_bridge_slot(w, b);

        if (slot) {
            *slot = b->session;
        }

        ngx_armoriq_bridge_redirect(r, b);
        return;
    }

    if (ngx_armoriq_bridge_initialized(w, b) != NGX_OK) {
        ngx_armoriq_bridge_error(r, b);
        return;
    }

    b->state = ngx_armoriq_bridge_notify;
    ngx_armoriq_bridge_subrequest(r, b, &initialized);
}


static void
ngx_armoriq_bridge_error(ngx_http_request_t *r, ngx_armoriq_bridge_t *b)
{
    ngx_int_t  rc;

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "armoriq: handshake with MCP \"%V\" failed, status:%ui%s",
                  &b->mcp->name, b->status, b->too_big ? ", too long" : "");

    if (b->status == NGX_HTTP_GATEWAY_TIME_OUT || b->late) {
        rc = ngx_armoriq_invoke_fail(r, NGX_HTTP_GATEWAY_TIME_OUT, "TIMEOUT",
                                     "the MCP server did not answer in time");

    } else if (b->status == NGX_HTTP_BAD_GATEWAY) {
        rc = ngx_armoriq_invoke_fail(r, NGX_HTTP_BAD_GATEWAY, "NETWORK_ERROR",
                                     "the MCP server can not be reached");

    } else {
        rc = ngx_armoriq_invoke_fail(r, NGX_HTTP_BAD_GATEWAY,
                                     "HANDSHAKE_FAILED",
                                     "the MCP server failed to initialize");
    }

    ngx_http_finalize_request(r, rc);
}


/* takes the session and the version from the finished subrequest */

static ngx_int_t
ngx_armoriq_bridge_initialized(ngx_armoriq_worker_t *w,
    ngx_armoriq_bridge_t *b)
{
    u_char               *p, *last;
    aiq_str_t             version;
    ngx_uint_t            i;
    ngx_list_part_t      *part;
    ngx_table_elt_t      *h;
    ngx_http_upstream_t  *u;

    u = b->sr->upstream;

    if (u == NULL || ngx_armoriq_bridge_version(w, b, &version) != AIQ_OK) {
        return NGX_ERROR;
    }

    (void) ngx_cpystrn(b->session.protocol, (u_char *) version.data,
                       version.len + 1);

    /* the upstream's own list: proxy_hide_header does not apply to it */

    part = &u->headers_in.headers.part;
    i = 0;

    while ((h = ngx_armoriq_header_next(&part, &i)) != NULL) {

        if (h->key.len != 14
            || ngx_strncasecmp(h->key.data, (u_char *) "Mcp-Session-Id", 14)
               != 0)
        {
            continue;
        }

        /* visible ASCII, says the protocol */

        p = h->value.data;
        last = p + h->value.len;

        while (p < last && *p >= 0x21 && *p <= 0x7e) {
            p++;
        }

        if (p < last || h->value.len >= NGX_ARMORIQ_SESSION) {
            return NGX_ERROR;
        }

        (void) ngx_cpystrn(b->session.session, h->value.data,
                           h->value.len + 1);
    }

    /* no header: the server keeps no sessions, which is as good */

    return NGX_OK;
}


static aiq_rc_t
ngx_armoriq_bridge_version(ngx_armoriq_worker_t *w, ngx_armoriq_bridge_t *b,
    aiq_str_t *version)
{
    ngx_buf_t  *buf;
    ngx_str_t  *type;
    aiq_str_t   text;

    buf = b->sr->out->buf;
    type = &b->sr->headers_out.content_type;

    text.data = buf->pos;
    text.len = (size_t) (buf->last - buf->pos);

    return aiq_mcp_read_initialized(text,
                                    type->len >= 17
                                    && ngx_strncasecmp(type->data,
                                         (u_char *) "text/event-stream", 17)
                                       == 0,
                                    0, ngx_armoriq_arena(w), version);
}


/*
 * The subrequest takes one reference (count++ in ngx_http_subrequest()) and
 * gives it back when it is finalized, waking r by r->write_event_handler.
 * The reference of r itself stays where it is: r just waits.
 */

static void
ngx_armoriq_bridge_subrequest(ngx_http_request_t *r, ngx_armoriq_bridge_t *b,
    ngx_str_t *body)
{
    ngx_buf_t                   *buf;
    ngx_http_request_t          *sr;
    ngx_http_request_body_t     *rb;
    ngx_http_core_main_conf_t   *cmcf;
    ngx_http_post_subrequest_t  *ps;

    static ngx_str_t  method = ngx_string("POST");

    b->done = 0;
    b->late = 0;
    b->too_big = 0;
    b->since = ngx_current_msec;

    r->write_event_handler = ngx_armoriq_bridge_resume;

    ps = ngx_palloc(r->pool, sizeof(ngx_http_post_subrequest_t));
    rb = ngx_pcalloc(r->pool, sizeof(ngx_http_request_body_t));
    buf = ngx_create_temp_buf(r->pool, NGX_ARMORIQ_REPLY);

    if (ps == NULL || rb == NULL || buf == NULL) {
        goto failed;
    }

    rb->bufs = ngx_armoriq_synthetic_body(r->pool, body->data, body->len);

    if (rb->bufs == NULL) {
        goto failed;
    }

    ps->handler = ngx_armoriq_bridge_subrequest_done;
    ps->data = b;

    if (ngx_http_subrequest(r, &b->mcp->uri, NULL, &sr, ps,
                            NGX_HTTP_SUBREQUEST_IN_MEMORY
                            |NGX_HTTP_SUBREQUEST_WAITED)
        != NGX_OK)
    {
        goto failed;
    }

    /* it is only posted so far: everything may still be set */

    b->sr = sr;

    sr->method = NGX_HTTP_POST;
    sr->method_name = method;

    /* a body of its own, so that the parent's is neither sent nor closed */

    sr->request_body = rb;

    /*
     * The variables are the parent's too: a $http_... or $content_length
     * evaluated for the handshake would be reused, stale, for the call.
     */

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);

    sr->variables = ngx_pcalloc(r->pool, cmcf->variables.nelts
                                         * sizeof(ngx_http_variable_value_t));

    /* ours instead of subrequest_output_buffer_size; see the body filter */

    sr->out = ngx_alloc_chain_link(r->pool);

    if (sr->variables && sr->out
        && ngx_armoriq_synthetic_headers(sr, b, body->len) == NGX_OK
        && ngx_armoriq_carry(sr) == NGX_OK)
    {
        sr->out->buf = buf;
        sr->out->next = NULL;
        return;
    }

failed:

    /* not 500: a response can not be sent behind an active subrequest */

    ngx_http_finalize_request(r, NGX_ERROR);
}


static ngx_int_t
ngx_armoriq_bridge_subrequest_done(ngx_http_request_t *r, void *data,
    ngx_int_t rc)
{
    ngx_armoriq_bridge_t *b = data;

    if (r->connection->error
        || rc == NGX_ERROR
        || rc == NGX_HTTP_CLOSE
        || rc == NGX_HTTP_REQUEST_TIME_OUT
        || rc == NGX_HTTP_CLIENT_CLOSED_REQUEST)
    {
        /* the client is gone: let nginx terminate the main request */

        return rc;
    }

    b->done = 1;
    b->status = (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? (ngx_uint_t) rc
                                                  : r->headers_out.status;

    /*
     * NGX_OK whatever has happened: with an error code nginx would make an
     * error page for the subrequest and call this handler a second time.
     */

    return NGX_OK;
}


/* gives the request, and the reference to it, to the location's handler */

static void
ngx_armoriq_bridge_redirect(ngx_http_request_t *r, ngx_armoriq_bridge_t *b)
{
    b->state = ngx_armoriq_bridge_call;
    b->sr = NULL;

    if (ngx_armoriq_synthetic_headers(r, b, b->call.len) != NGX_OK
        || ngx_armoriq_body_replace(r, b->call.data, b->call.len) != NGX_OK
        || ngx_armoriq_carry(r) != NGX_OK)
    {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    /* count++ for the new handler, then ours is given up */

    (void) ngx_http_internal_redirect(r, &b->mcp->uri, NULL);

    ngx_http_finalize_request(r, NGX_DONE);
}


static ngx_int_t
ngx_armoriq_bridge_header_filter(ngx_http_request_t *r)
{
    ngx_http_upstream_t   *u;
    ngx_armoriq_ctx_t     *ctx;
    ngx_armoriq_bridge_t  *b;

    static ngx_str_t  session[] = {
        ngx_string("mcp-session-id"),
        ngx_null_string
    };

    ctx = r->internal ? ngx_armoriq_get_ctx(r) : NULL;

    b = ctx ? ctx->bridge : NULL;
    u = r->upstream;

    if (b == NULL || u == NULL) {
        return ngx_http_next_header_filter(r);
    }

    if (r != r->main) {

        if (b->sr == r && !u->cacheable && !u->store) {

            /* as X-Accel-Buffering does: see the body filter */

            u->buffering = 0;
        }

        return ngx_http_next_header_filter(r);
    }

    if (b->state != ngx_armoriq_bridge_call) {
        return ngx_http_next_header_filter(r);
    }

    if (b->cached && !b->retried && b->session.session[0]
        && u->cleanup
        && (u->headers_in.status_n == NGX_HTTP_NOT_FOUND
            || u->headers_in.status_n == NGX_HTTP_BAD_REQUEST))
    {
        return ngx_armoriq_bridge_lost(r, ctx, b);
    }

    /* the session is ours, not the client's */

    ngx_armoriq_header_hide(r, session);

    return ngx_http_next_header_filter(r);
}


/*
 * 404 says that the session has ended; several servers, the reference one
 * among them, say 400.  Neither has run the tool, so the permit is whole.
 */

static ngx_int_t
ngx_armoriq_bridge_lost(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    ngx_armoriq_bridge_t *b)
{
    ngx_armoriq_worker_t   *w;
    ngx_armoriq_session_t  *slot;

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "armoriq: MCP \"%V\" has lost the session", &b->mcp->name);

    b->retried = 1;
    b->state = ngx_armoriq_bridge_restart;

    ctx->spent = 0;
    ctx->gated = 0;

    /* what was refused then is no call, whatever comes now */

    b->tries = r->upstream_states ? r->upstream_states->nelts : 0;

    /* forget the session that failed, not one that has replaced it since */

    w = ngx_armoriq_get_worker(r);
    slot = w ? ngx_armoriq_bridge_slot(w, b) : NULL;

    if (slot && ngx_strcmp(slot->session, b->session.session) == 0) {
        ngx_memzero(slot, sizeof(ngx_armoriq_session_t));
    }

    /* drop the upstream in the way ngx_http_upstream_create() does */

    r->main->count++;
    (*r->upstream->cleanup)(r);

    ngx_http_clean_header(r);

    /*
     * On NGX_ERROR the upstream, already finalized, only gives one reference
     * up: this one is for that, the old one is ours again.
     */

    r->main->count++;

    r->write_event_handler = ngx_armoriq_bridge_resume;

    if (ngx_http_post_request(r, NULL) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
    }

    return NGX_ERROR;
}


/*
 * Three things about the answer to a handshake.  A body that does not fit
 * must not reach the postpone filter: its NGX_ERROR would set c->error and so
 * cost the client its connection.  An event stream may stay open after the
 * answer: with length 0 the upstream is finished, and the rest not waited for.
 * And it may go on without an answer: proxy_read_timeout is for all of it.
 */

static ngx_int_t
ngx_armoriq_bridge_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    size_t                 size;
    ngx_int_t              rc;
    ngx_buf_t             *buf;
    aiq_str_t              version;
    ngx_chain_t           *cl;
    ngx_armoriq_ctx_t     *ctx;
    ngx_http_upstream_t   *u;
    ngx_armoriq_bridge_t  *b;
    ngx_armoriq_worker_t  *w;

    ctx = (r != r->main) ? ngx_http_get_module_ctx(r, ngx_armoriq_module)
                         : NULL;
    b = ctx ? ctx->bridge : NULL;
    u = r->upstream;

    if (b == NULL || b->sr != r || u == NULL || u->buffering) {
        return ngx_http_next_body_filter(r, in);
    }

    size = 0;

    for (cl = in; cl; cl = cl->next) {
        size += ngx_buf_special(cl->buf) ? 0 : (size_t) ngx_buf_size(cl->buf);
    }

    buf = r->out->buf;

    if (b->too_big || size > (size_t) (buf->end - buf->last)) {
        b->too_big = 1;
        u->length = 0;

        for (cl = in; cl; cl = cl->next) {
            cl->buf->pos = cl->buf->last;
        }

        return NGX_OK;
    }

    rc = ngx_http_next_body_filter(r, in);

    w = ngx_armoriq_get_worker(r);

    if (rc == NGX_ERROR || size == 0 || w == NULL || u->length == 0) {
        return rc;
    }

    if (b->state == ngx_armoriq_bridge_init
        && ngx_armoriq_bridge_version(w, b, &version) != AIQ_DECLINED)
    {
        u->length = 0;

    } else if (ngx_current_msec - b->since > u->conf->read_timeout) {
        b->late = 1;
        u->length = 0;
    }

    return rc;
}


/*
 * The place of a session: its own, a free one of its set, or that of another
 * one, which costs that a handshake.
 */

static ngx_armoriq_session_t *
ngx_armoriq_bridge_slot(ngx_armoriq_worker_t *w, ngx_armoriq_bridge_t *b)
{
    u_char                 *key;
    ngx_uint_t              i, set;
    ngx_armoriq_session_t  *slot, *place;

    if (w->sessions == NULL) {
        w->sessions = ngx_pcalloc(w->cycle->pool, NGX_ARMORIQ_SESSIONS
                                                  * sizeof(
                                                     ngx_armoriq_session_t));
        if (w->sessions == NULL) {
            return NULL;
        }
    }

    key = b->session.key;

    set = (key[0] << 8 | key[1])
          % (NGX_ARMORIQ_SESSIONS / NGX_ARMORIQ_SESSION_PLACES);

    slot = &w->sessions[set * NGX_ARMORIQ_SESSION_PLACES];
    place = &slot[key[2] % NGX_ARMORIQ_SESSION_PLACES];

    for (i = 0; i < NGX_ARMORIQ_SESSION_PLACES; i++) {

        if (ngx_memcmp(slot[i].key, key, AIQ_HASH_LEN) == 0) {
            return &slot[i];
        }

        /* every session has a version */

        if (slot[i].protocol[0] == '\0') {
            place = &slot[i];
        }
    }

    return place;
}


ngx_int_t
ngx_armoriq_invoke_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_armoriq_bridge_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_armoriq_bridge_body_filter;

    return NGX_OK;
}
