
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Headers and bodies of the requests that POST /invoke makes.  Everything
 * here works on a main request and on a subrequest alike, and keeps no state.
 */


#include "ngx_armoriq_bridge.h"


typedef struct {
    char    *key;
    char    *lowcase;
    u_char  *value;            /* NUL-terminated; empty: left out */
} ngx_armoriq_synthetic_t;


static ngx_table_elt_t *ngx_armoriq_synthetic_push(ngx_list_t *list,
    ngx_armoriq_synthetic_t *s);
static ngx_int_t ngx_armoriq_synthetic_pass(ngx_list_t *list,
    ngx_list_t *old);


/*
 * The client's headers carry its API key, proofs, cookies and perhaps an
 * MCP session of its own: only what is named here goes to the MCP server.
 */

static ngx_str_t  ngx_armoriq_synthetic_passed[] = {
    ngx_string("host"),
    ngx_string("user-agent"),
    ngx_string("x-request-id"),
    ngx_string("traceparent"),
    ngx_string("tracestate"),
    ngx_null_string
};


/*
 * proxy_pass sends what is in the headers_in.headers list; nginx itself and
 * some variables use the pointers next to it.  The list is made anew, since
 * in a subrequest it is a shallow copy whose "last" still points into the
 * parent: a push there would be seen by the parent, and not by us.
 */

ngx_int_t
ngx_armoriq_synthetic_headers(ngx_http_request_t *r, ngx_armoriq_bridge_t *b,
    size_t len)
{
    u_char                   *length;
    ngx_uint_t                i, init;
    ngx_list_t                old;
    ngx_table_elt_t          *set[7];
    ngx_http_headers_in_t    *in;
    ngx_armoriq_synthetic_t   headers[7];

    static u_char  empty[] = "";

    length = ngx_pnalloc(r->pool, NGX_SIZE_T_LEN + 1);
    if (length == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(length, "%uz%Z", len);

    init = (b->state == ngx_armoriq_bridge_init);

    headers[0] = (ngx_armoriq_synthetic_t)
                 { "Content-Length", "content-length", length };
    headers[1] = (ngx_armoriq_synthetic_t)
                 { "Content-Type", "content-type",
                   (u_char *) "application/json" };
    headers[2] = (ngx_armoriq_synthetic_t)
                 { "Accept", "accept",
                   (u_char *) "application/json, text/event-stream" };
    headers[3] = (ngx_armoriq_synthetic_t)
                 { "MCP-Protocol-Version", "mcp-protocol-version",
                   init ? empty : b->session.protocol };
    headers[4] = (ngx_armoriq_synthetic_t)
                 { "Mcp-Session-Id", "mcp-session-id",
                   b->session.session };
    headers[5] = (ngx_armoriq_synthetic_t)
                 { "Mcp-Method", "mcp-method",
                   b->mcp->modern ? (u_char *) "tools/call" : empty };
    headers[6] = (ngx_armoriq_synthetic_t)
                 { "Mcp-Name", "mcp-name",
                   b->mcp->modern ? b->tool.data : empty };

    in = &r->headers_in;
    old = in->headers;

    if (ngx_list_init(&in->headers, r->pool, 16, sizeof(ngx_table_elt_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < 7; i++) {

        if (headers[i].value[0] == '\0') {
            continue;
        }

        set[i] = ngx_armoriq_synthetic_push(&in->headers, &headers[i]);

        if (set[i] == NULL) {
            return NGX_ERROR;
        }
    }

    if (ngx_armoriq_synthetic_pass(&in->headers, &old) != NGX_OK) {
        return NGX_ERROR;
    }

    in->content_length = set[0];
    in->content_type = set[1];
#if (NGX_HTTP_HEADERS)
    in->accept = set[2];
#endif
    in->transfer_encoding = NULL;
    in->content_length_n = (off_t) len;
    in->chunked = 0;

    return NGX_OK;
}


static ngx_table_elt_t *
ngx_armoriq_synthetic_push(ngx_list_t *list, ngx_armoriq_synthetic_t *s)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(list);
    if (h == NULL) {
        return NULL;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->key.data = (u_char *) s->key;
    h->key.len = ngx_strlen(s->key);
    h->lowcase_key = (u_char *) s->lowcase;
    h->value.data = s->value;
    h->value.len = ngx_strlen(s->value);

    /* proxy_set_header finds what it replaces by this hash */

    h->hash = ngx_hash_key(h->lowcase_key, h->key.len);

    return h;
}


static ngx_int_t
ngx_armoriq_synthetic_pass(ngx_list_t *list, ngx_list_t *old)
{
    ngx_str_t        *pass;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h, *copy;

    part = &old->part;
    i = 0;

    while ((h = ngx_armoriq_header_next(&part, &i)) != NULL) {

        for (pass = ngx_armoriq_synthetic_passed; pass->len; pass++) {

            if (h->key.len != pass->len
                || ngx_strncmp(h->lowcase_key, pass->data, pass->len) != 0)
            {
                continue;
            }

            copy = ngx_list_push(list);
            if (copy == NULL) {
                return NGX_ERROR;
            }

            *copy = *h;
        }
    }

    return NGX_OK;
}


/* a chain of one buffer around data */

ngx_chain_t *
ngx_armoriq_synthetic_body(ngx_pool_t *pool, u_char *data, size_t len)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    cl = ngx_alloc_chain_link(pool);
    b = ngx_calloc_buf(pool);

    if (cl == NULL || b == NULL) {
        return NULL;
    }

    b->start = data;
    b->pos = data;
    b->last = data + len;
    b->end = b->last;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    cl->buf = b;
    cl->next = NULL;

    return cl;
}
