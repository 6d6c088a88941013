
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Web pages as clients.  That a page may ask at all is decided with the rest,
 * in src/core/decide.c; this is how a browser is told so (Fetch, 3.2).  Never
 * are credentials of the browser allowed: tokens and keys are what counts.
 */


#include "ngx_armoriq_response.h"


#define NGX_ARMORIQ_PARAM        "mcp-param-"
#define NGX_ARMORIQ_PARAMS       32       /* allowed in one preflight */
#define NGX_ARMORIQ_PARAM_LEN    128      /* bytes of a name */

#define NGX_ARMORIQ_CORS_HEADERS                                              \
    "Content-Type, Accept, Authorization, X-API-Key, X-ArmorIQ-Intent, "      \
    "X-CSRG-Path, X-CSRG-Proof, X-CSRG-Value-Digest, X-CSRG-Step, "           \
    "MCP-Protocol-Version, Mcp-Session-Id, Last-Event-ID, Mcp-Method, "       \
    "Mcp-Name"

#define NGX_ARMORIQ_CORS_EXPOSE                                               \
    "Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate, Retry-After, "   \
    "X-ArmorIQ-Record, X-ArmorIQ-Leaf"


static ngx_table_elt_t *ngx_armoriq_origin_only(ngx_http_request_t *r,
    ngx_str_t *name);
static ngx_int_t ngx_armoriq_origin_names(ngx_http_request_t *r,
    ngx_str_t *names);
static u_char *ngx_armoriq_origin_params(u_char *dst, ngx_str_t *asked,
    ngx_uint_t *n);
static ngx_uint_t ngx_armoriq_origin_param(u_char *p, size_t len);


static ngx_str_t  ngx_armoriq_origin_name = ngx_string("origin");
static ngx_str_t  ngx_armoriq_origin_method =
    ngx_string("access-control-request-method");
static ngx_str_t  ngx_armoriq_origin_headers =
    ngx_string("access-control-request-headers");


/* the Origin of a request as it is listed; NULL: none, or not one of these */

aiq_str_t *
ngx_armoriq_origin(ngx_http_request_t *r, ngx_armoriq_loc_conf_t *alcf)
{
    aiq_str_t        *origin;
    ngx_uint_t        i;
    ngx_table_elt_t  *h;

    if (alcf->origins == NULL) {
        return NULL;
    }

    h = ngx_armoriq_origin_only(r, &ngx_armoriq_origin_name);

    if (h == NULL) {
        return NULL;
    }

    origin = alcf->origins->elts;

    for (i = 0; i < alcf->origins->nelts; i++) {

        if (aiq_str_eq(origin[i], ngx_armoriq_str(h->value))) {
            return &origin[i];
        }
    }

    return NULL;
}


/* a header that is there once, and says something */

static ngx_table_elt_t *
ngx_armoriq_origin_only(ngx_http_request_t *r, ngx_str_t *name)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h, *found;

    part = &r->headers_in.headers.part;
    found = NULL;
    i = 0;

    while ((h = ngx_armoriq_header_next(&part, &i)) != NULL) {

        if (h->key.len != name->len
            || ngx_strncmp(h->lowcase_key, name->data, name->len) != 0)
        {
            continue;
        }

        if (found) {
            return NULL;
        }

        found = h;
    }

    return (found && found->value.len) ? found : NULL;
}


/*
 * All answers to a page that may ask, refusals as well: a page that cannot
 * read them cannot tell its user what is wrong.  What an MCP server says of
 * this is replaced: it does not know who is allowed here.
 */

ngx_int_t
ngx_armoriq_origin_header(ngx_http_request_t *r)
{
    aiq_str_t               *origin;
    ngx_armoriq_ctx_t       *ctx;
    ngx_armoriq_loc_conf_t  *alcf;

    static ngx_str_t  family[] = {
        ngx_string("access-control-"),
        ngx_null_string
    };

    alcf = ngx_http_get_module_loc_conf(r, ngx_armoriq_module);

    if (ngx_armoriq_is_public(r)) {
        return NGX_OK;
    }

    ctx = ngx_armoriq_get_ctx(r);

    /* the headers of POST /invoke are others by now */

    origin = (ctx && ctx->origin) ? ctx->origin
                                  : ngx_armoriq_origin(r, alcf);

    if (origin == NULL
        || (ctx && ctx->denied && ctx->d.rc == AIQ_D_ORIGIN_NOT_ALLOWED))
    {
        return NGX_OK;
    }

    /* those of a preflight were added with the answer itself */

    if (r->upstream) {
        ngx_armoriq_header_hide(r, family);
    }

    if (ngx_armoriq_add_header(r, "Access-Control-Allow-Origin",
                               (u_char *) origin->data, origin->len)
        != NGX_OK
        || ngx_armoriq_add_header(r, "Vary", (u_char *) "Origin", 6)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_armoriq_add_header(r, "Access-Control-Expose-Headers",
                                  (u_char *) NGX_ARMORIQ_CORS_EXPOSE,
                                  sizeof(NGX_ARMORIQ_CORS_EXPOSE) - 1);
}


/*
 * The question of a browser before the request of a page: answered here, as
 * it has no credentials and is for no MCP server.  NGX_DONE: it was one.
 * Any other OPTIONS is judged, and refused, as a method like others.
 */

ngx_int_t
ngx_armoriq_origin_preflight(ngx_http_request_t *r,
    ngx_armoriq_loc_conf_t *alcf)
{
    ngx_int_t    rc;
    ngx_str_t    names;
    ngx_uint_t   post;

    static ngx_str_t  methods[] = {
        ngx_string("POST, GET, DELETE, OPTIONS"),
        ngx_string("POST")
    };

    if (r->method != NGX_HTTP_OPTIONS
        || r->headers_in.content_length_n > 0 || r->headers_in.chunked
        || ngx_armoriq_origin(r, alcf) == NULL
        || ngx_armoriq_origin_only(r, &ngx_armoriq_origin_method) == NULL)
    {
        return NGX_DECLINED;
    }

    post = alcf->invoke || (alcf->mcp && alcf->mcp->modern);

    ngx_http_clean_header(r);

    r->err_status = 0;
    r->headers_out.status = NGX_HTTP_NO_CONTENT;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK
        || ngx_armoriq_origin_names(r, &names) != NGX_OK
        || ngx_armoriq_add_header(r, "Access-Control-Allow-Methods",
                                  methods[post].data, methods[post].len)
           != NGX_OK
        || ngx_armoriq_add_header(r, "Access-Control-Allow-Headers",
                                  names.data, names.len)
           != NGX_OK
        || ngx_armoriq_add_header(r, "Access-Control-Max-Age",
                                  (u_char *) "600", 3)
           != NGX_OK)
    {
        ngx_http_finalize_request(r, NGX_ERROR);
        return NGX_DONE;
    }

    rc = ngx_http_send_header(r);

    ngx_http_finalize_request(r, rc > NGX_OK ? NGX_ERROR : rc);

    return NGX_DONE;
}


/* the headers that a page may send: ours, and Mcp-Param- ones as asked for */

static ngx_int_t
ngx_armoriq_origin_names(ngx_http_request_t *r, ngx_str_t *names)
{
    ngx_uint_t        i, n;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    names->data = ngx_pnalloc(r->pool, sizeof(NGX_ARMORIQ_CORS_HEADERS)
                              + NGX_ARMORIQ_PARAMS
                                * (NGX_ARMORIQ_PARAM_LEN + 2));
    if (names->data == NULL) {
        return NGX_ERROR;
    }

    names->len = ngx_cpymem(names->data, NGX_ARMORIQ_CORS_HEADERS,
                            sizeof(NGX_ARMORIQ_CORS_HEADERS) - 1)
                 - names->data;

    part = &r->headers_in.headers.part;
    i = 0;
    n = 0;

    while ((h = ngx_armoriq_header_next(&part, &i)) != NULL) {

        if (h->key.len == ngx_armoriq_origin_headers.len
            && ngx_strncmp(h->lowcase_key, ngx_armoriq_origin_headers.data,
                           h->key.len)
               == 0)
        {
            names->len = ngx_armoriq_origin_params(names->data + names->len,
                                                   &h->value, &n)
                         - names->data;
        }
    }

    return NGX_OK;
}


static u_char *
ngx_armoriq_origin_params(u_char *dst, ngx_str_t *asked, ngx_uint_t *n)
{
    u_char  *p, *last, *next, *end;

    last = asked->data + asked->len;

    for (p = asked->data; p < last; p = next + 1) {

        next = ngx_strlchr(p, last, ',');

        if (next == NULL) {
            next = last;
        }

        while (p < next && (*p == ' ' || *p == '\t')) {
            p++;
        }

        for (end = next; end > p && (end[-1] == ' ' || end[-1] == '\t');
             end--)
        {
            /* void */
        }

        if (*n < NGX_ARMORIQ_PARAMS
            && ngx_armoriq_origin_param(p, (size_t) (end - p)))
        {
            *dst++ = ',';
            *dst++ = ' ';
            dst = ngx_cpymem(dst, p, end - p);
            (*n)++;
        }
    }

    return dst;
}


/* "Mcp-Param-" and a token (RFC 9110 5.6.2): what is echoed is no more */

static ngx_uint_t
ngx_armoriq_origin_param(u_char *p, size_t len)
{
    size_t  i;

    if (len <= sizeof(NGX_ARMORIQ_PARAM) - 1 || len > NGX_ARMORIQ_PARAM_LEN
        || ngx_strncasecmp(p, (u_char *) NGX_ARMORIQ_PARAM,
                           sizeof(NGX_ARMORIQ_PARAM) - 1)
           != 0)
    {
        return 0;
    }

    for (i = 0; i < len; i++) {

        if (!((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z')
              || (p[i] >= '0' && p[i] <= '9')
              || (p[i] != '\0' && ngx_strchr("!#$%&'*+-.^_`|~", p[i]))))
        {
            return 0;
        }
    }

    return 1;
}
