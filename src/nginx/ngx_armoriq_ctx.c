
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What is known of a request, and the permit it has: one permit is for one
 * upstream request, in the location where the call was judged.  It crosses
 * no redirect and no subrequest, except those that we make ourselves.
 */


#include "ngx_armoriq.h"


static void ngx_armoriq_cleanup(void *data);


ngx_armoriq_ctx_t *
ngx_armoriq_create_ctx(ngx_http_request_t *r)
{
    ngx_armoriq_ctx_t   *ctx;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_armoriq_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ctx = cln->data;

    ngx_memzero(ctx, sizeof(ngx_armoriq_ctx_t));

    ctx->request = r;
    ctx->d.step = -1;
    ctx->start = ngx_current_msec;

    cln->handler = ngx_armoriq_cleanup;

    ngx_http_set_ctx(r, ctx, ngx_armoriq_module);

    return ctx;
}


ngx_armoriq_ctx_t *
ngx_armoriq_get_ctx(ngx_http_request_t *r)
{
    ngx_armoriq_ctx_t   *ctx;
    ngx_pool_cleanup_t  *cln;

    ctx = ngx_http_get_module_ctx(r, ngx_armoriq_module);

    if (ctx || !(r->internal || r->filter_finalize)) {
        return ctx;
    }

    /* r->ctx is zeroed by redirects and special responses */

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler != ngx_armoriq_cleanup) {
            continue;
        }

        ctx = cln->data;

        /* a subrequest has the pool of its parent, and is always internal */

        if (ctx->request == r) {
            ngx_http_set_ctx(r, ctx, ngx_armoriq_module);
            return ctx;
        }
    }

    return NULL;
}


static void
ngx_armoriq_cleanup(void *data)
{
    ngx_armoriq_ctx_t *ctx = data;

    /* not reached while parked, as r->main->blocked keeps the pool */

    if (ctx->parked) {
        ngx_queue_remove(&ctx->queue);
        ctx->parked = 0;
    }

    ngx_armoriq_answer_free(ctx);

    aiq_wipe(&ctx->d.salt, sizeof(aiq_salt_t));
}


/*
 * May anything have been sent?  The guard knows; of an upstream that has none
 * it is enough that one was begun.
 */

ngx_uint_t
ngx_armoriq_sent(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    return ctx->spent || (ctx->gated && r->upstream_states);
}


/* NULL, or the reason why this request may not go on */

char *
ngx_armoriq_check(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    off_t                  length;
    u_char                 hash[AIQ_HASH_LEN];
    ngx_armoriq_worker_t  *w;

    if (ctx == NULL || !ctx->permit) {
        return "no permit";
    }

    if (ctx->spent) {
        return "permit is spent";
    }

    if (ctx->conf != ngx_http_get_module_loc_conf(r, ngx_armoriq_module)) {
        return "permit is for another location";
    }

    w = ngx_armoriq_get_worker(r);

    if (w == NULL
        || ngx_armoriq_body_hash(r, w->crypto, hash, &length) != NGX_OK)
    {
        return "body cannot be read again";
    }

    /* GET and DELETE have none, and nothing was hashed */

    if (length != (off_t) ctx->body.len
        || (length && ngx_memcmp(hash, ctx->body_hash, AIQ_HASH_LEN) != 0))
    {
        return "body has changed";
    }

    return NULL;
}


/*
 * Lets a permit cross a border that it does not cross by itself: to be
 * called right before our own redirect of the main request, or right after
 * ngx_http_subrequest(), when the body of the subrequest has been set.
 */

ngx_int_t
ngx_armoriq_carry(ngx_http_request_t *r)
{
    off_t                  length;
    ngx_buf_t             *b;
    ngx_armoriq_ctx_t     *ctx, *main;
    ngx_armoriq_worker_t  *w;

    main = ngx_armoriq_get_ctx(r->main);
    w = ngx_armoriq_get_worker(r);

    if (w == NULL || main == NULL || !main->permit || main->spent) {
        return NGX_DECLINED;
    }

    ctx = main;

    if (r != r->main) {
        ctx = ngx_armoriq_create_ctx(r);
        if (ctx == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(ctx->rid, main->rid, NGX_ARMORIQ_RID_LEN);

        ctx->bridge = main->bridge;
        ctx->state = ngx_armoriq_judged;
        ctx->permit = 1;
        ctx->settled = 1;
    }

    if (ngx_armoriq_body_hash(r, w->crypto, ctx->body_hash, &length)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_str_null(&ctx->body);

    if (r->request_body && r->request_body->bufs) {
        b = r->request_body->bufs->buf;
        ctx->body.data = b->pos;
        ctx->body.len = (size_t) length;
    }

    ctx->carried = 1;

    return NGX_OK;
}
