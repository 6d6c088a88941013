
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The filters: one look at the headers of an answer and one at its body, and
 * in which order the parts have their say.
 */


#include "ngx_armoriq_response.h"


static ngx_int_t ngx_armoriq_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_armoriq_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


ngx_int_t
ngx_armoriq_response_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_armoriq_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_armoriq_body_filter;

    return NGX_OK;
}


static ngx_int_t
ngx_armoriq_header_filter(ngx_http_request_t *r)
{
    ngx_int_t                rc;
    ngx_uint_t               held;
    ngx_armoriq_ctx_t       *ctx;
    ngx_armoriq_loc_conf_t  *alcf;

    alcf = ngx_http_get_module_loc_conf(r, ngx_armoriq_module);

    if (r != r->main || !alcf->enable) {
        return ngx_http_next_header_filter(r);
    }

    /* NULL if nginx has refused before we were asked: a body too large, say */

    ctx = ngx_armoriq_get_ctx(r);

    rc = ngx_armoriq_error_header(r, ctx);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (ctx && ctx->permit && ngx_armoriq_proof_header(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    held = 0;

    if (ctx) {
        ngx_armoriq_answer_free(ctx);
    }

    if (rc == NGX_DECLINED && ctx && ctx->permit) {

        ngx_armoriq_answer_header(r, ctx);

        if (ngx_armoriq_session_header(r, ctx) != NGX_OK
            || ngx_armoriq_stream_header(r) != NGX_OK)
        {
            return NGX_ERROR;
        }

        rc = ngx_armoriq_list_header(r, ctx);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        held = (rc == NGX_AGAIN);
    }

    if (ngx_armoriq_origin_header(r) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = held ? NGX_OK : ngx_http_next_header_filter(r);

    /* refused by the bridge, say, which asks once more */

    if (rc == NGX_ERROR && ctx) {
        ngx_armoriq_answer_free(ctx);
    }

    return rc;
}


static ngx_int_t
ngx_armoriq_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_armoriq_ctx_t  *ctx;

    if (r != r->main) {
        return ngx_http_next_body_filter(r, in);
    }

    ctx = ngx_http_get_module_ctx(r, ngx_armoriq_module);

    if (ctx == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

    /* what the server has sent, before anybody changes it */

    if (ctx->answer) {
        ngx_armoriq_answer_body(r, ctx, in);
    }

    if (ctx->list) {
        return ngx_armoriq_list_body(r, ctx, in);
    }

    if (ctx->shaped && ngx_armoriq_error_body(r, ctx, &in) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_next_body_filter(r, in);
}


ngx_int_t
ngx_armoriq_next_header(ngx_http_request_t *r)
{
    return ngx_http_next_header_filter(r);
}


ngx_int_t
ngx_armoriq_next_body(ngx_http_request_t *r, ngx_chain_t *in)
{
    return ngx_http_next_body_filter(r, in);
}
