
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Between ngx_armoriq_list.c, which has what a caller may see and answers in
 * one piece, and ngx_armoriq_events.c, which has event streams.
 */


#ifndef _NGX_ARMORIQ_LIST_H_INCLUDED_
#define _NGX_ARMORIQ_LIST_H_INCLUDED_


#include "ngx_armoriq_response.h"

#include "mcp_list.h"
#include "sse.h"


/* memory that grows, and is used again */

typedef struct {
    u_char                        *data;
    size_t                         len;
    size_t                         size;
} ngx_armoriq_room_t;


typedef struct ngx_armoriq_list_s  ngx_armoriq_list_t;

struct ngx_armoriq_list_s {
    ngx_armoriq_room_t             text;        /* of the server */
    ngx_armoriq_room_t             filtered;

    /* event streams */

    aiq_sse_t                      sse;
    ngx_chain_t                   *in;          /* has come, not looked at */
    ngx_buf_t                      out;         /* on its way */
    ngx_armoriq_room_t             event;       /* one with other data */

    unsigned                       events:1;
    unsigned                       failed:1;    /* the answer is an error */
    unsigned                       done:1;      /* the answer has gone */
    unsigned                       cut:1;       /* we have ended it */
};


/* NGX_OK: there is room for len bytes */

ngx_int_t ngx_armoriq_room(ngx_http_request_t *r, ngx_armoriq_room_t *room,
    size_t len);

/*
 * The text of a message as the caller may see it: points to what it was, or
 * into list->filtered.  Not AIQ_OK: list->filtered has an error to send in
 * its place.
 */

aiq_rc_t ngx_armoriq_list_text(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    aiq_str_t *text);

ngx_int_t ngx_armoriq_events_body(ngx_http_request_t *r,
    ngx_armoriq_ctx_t *ctx, ngx_chain_t *in);


#endif /* _NGX_ARMORIQ_LIST_H_INCLUDED_ */
