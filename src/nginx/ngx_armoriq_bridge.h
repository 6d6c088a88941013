
/*
 * Copyright (C) ngx_armoriq authors
 *
 * POST /invoke to an MCP server: states of one client request, all on the
 * main request.
 *
 *     content handler -> init     "initialize", an in-memory subrequest
 *                     -> notify   "notifications/initialized", likewise
 *                     -> call     internal redirect; proxy_pass streams
 *                     -> restart  if the server has lost a cached session
 */


#ifndef _NGX_ARMORIQ_BRIDGE_H_INCLUDED_
#define _NGX_ARMORIQ_BRIDGE_H_INCLUDED_


#include "ngx_armoriq.h"
#include "mcp_call.h"


#define NGX_ARMORIQ_SESSION        256      /* bytes of a session id and NUL */
#define NGX_ARMORIQ_SESSIONS       512      /* remembered by a worker */
#define NGX_ARMORIQ_SESSION_PLACES 8        /* for those that hash alike */
#define NGX_ARMORIQ_REPLY          65536    /* bytes of a handshake answer */


typedef enum {
    ngx_armoriq_bridge_start = 0,
    ngx_armoriq_bridge_init,
    ngx_armoriq_bridge_notify,
    ngx_armoriq_bridge_call,
    ngx_armoriq_bridge_restart
} ngx_armoriq_bridge_state_e;


typedef struct ngx_armoriq_session_s {
    u_char                         key[AIQ_HASH_LEN];
    u_char                         session[NGX_ARMORIQ_SESSION];
    u_char                         protocol[AIQ_MCP_VERSION_MAX];
} ngx_armoriq_session_t;


struct ngx_armoriq_bridge_s {
    ngx_armoriq_mcp_t             *mcp;
    ngx_http_request_t            *sr;
    ngx_armoriq_bridge_state_e     state;
    ngx_uint_t                     status;      /* of the last subrequest */
    ngx_uint_t                     tries;       /* upstream states before a
                                                   session was lost */
    ngx_str_t                      tool;        /* NUL behind it */
    ngx_str_t                      call;
    ngx_armoriq_session_t          session;

    ngx_msec_t                     since;       /* of the subrequest */

    unsigned                       done:1;
    unsigned                       late:1;
    unsigned                       too_big:1;
    unsigned                       cached:1;
    unsigned                       retried:1;
};


/* bridge: the states */

void ngx_armoriq_bridge_begin(ngx_http_request_t *r,
    ngx_armoriq_bridge_t *b);

/* synthetic: bodies and headers of requests that we make */

ngx_int_t ngx_armoriq_synthetic_headers(ngx_http_request_t *r,
    ngx_armoriq_bridge_t *b, size_t len);
ngx_chain_t *ngx_armoriq_synthetic_body(ngx_pool_t *pool, u_char *data,
    size_t len);
ngx_int_t ngx_armoriq_invoke_fail(ngx_http_request_t *r, ngx_uint_t status,
    char *code, char *message);


#endif /* _NGX_ARMORIQ_BRIDGE_H_INCLUDED_ */
