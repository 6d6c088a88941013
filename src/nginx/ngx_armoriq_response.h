
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What becomes of an answer on its way to the client, between the filters of
 * ngx_armoriq_response.c and the files with one duty each.  All this is for
 * main requests in locations with "armoriq on"; no other answer is touched.
 */


#ifndef _NGX_ARMORIQ_RESPONSE_H_INCLUDED_
#define _NGX_ARMORIQ_RESPONSE_H_INCLUDED_


#include "ngx_armoriq.h"


/*
 * error: answers that nginx makes itself become JSON, as ours are.  NGX_OK
 * if this is one: headers are set, and error_body() sends the text in place
 * of what comes.  NGX_DECLINED: not one.
 */

ngx_int_t ngx_armoriq_error_header(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx);
ngx_int_t ngx_armoriq_error_body(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx, ngx_chain_t **in);

/* stream: nothing may hold an event of an event stream */

ngx_int_t ngx_armoriq_stream_header(ngx_http_request_t *r);
ngx_uint_t ngx_armoriq_is_events(ngx_http_request_t *r);
ngx_uint_t ngx_armoriq_is_encoded(ngx_http_request_t *r);

/* answer: what goes by, for the OUTCOME */

void ngx_armoriq_answer_header(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx);
void ngx_armoriq_answer_body(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    ngx_chain_t *in);

/*
 * list: tools/list without the tools that the caller may not call.  NGX_OK:
 * ctx->list is set and list_body() is to be called, instead of the next body
 * filter.  NGX_AGAIN: the same, and list_body() sends the header as well.
 * NGX_DECLINED: nothing to filter.
 */

ngx_int_t ngx_armoriq_list_header(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx);
ngx_int_t ngx_armoriq_list_body(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx, ngx_chain_t *in);

/* origin: headers of CORS, for a request with an Origin that is allowed */

ngx_int_t ngx_armoriq_origin_header(ngx_http_request_t *r);

/* session: remembers who has opened it */

ngx_int_t ngx_armoriq_session_header(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx);

/* response: what comes behind us */

ngx_int_t ngx_armoriq_next_header(ngx_http_request_t *r);
ngx_int_t ngx_armoriq_next_body(ngx_http_request_t *r, ngx_chain_t *in);


#endif /* _NGX_ARMORIQ_RESPONSE_H_INCLUDED_ */
