
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Request headers: those that the decision reads, each at most once, and
 * those that must not reach the MCP server.  The raw list is walked: lookups
 * by name join duplicates in some versions of nginx and drop them in others.
 */


#include "ngx_armoriq.h"


#define ngx_armoriq_header(name, field)                                       \
    { ngx_string(name), offsetof(aiq_request_t, field) }


static ngx_uint_t ngx_armoriq_headers_early(ngx_http_request_t *r);
#if (NGX_SSL || NGX_COMPAT)
static ngx_uint_t ngx_armoriq_headers_tls_early(ngx_http_request_t *r);
#endif
static ngx_uint_t ngx_armoriq_headers_query(ngx_http_request_t *r);
static ngx_uint_t ngx_armoriq_headers_secret(ngx_str_t *arg);
static ngx_uint_t ngx_armoriq_headers_ours(ngx_table_elt_t *h,
    ngx_str_t *names);


static ngx_armoriq_header_t  ngx_armoriq_headers[] = {
    ngx_armoriq_header("authorization", authorization),
    ngx_armoriq_header("x-api-key", x_api_key),
    ngx_armoriq_header("x-armoriq-intent", x_intent),
    ngx_armoriq_header("content-type", content_type),
    ngx_armoriq_header("content-encoding", content_encoding),
    ngx_armoriq_header("upgrade", upgrade),
    ngx_armoriq_header("origin", origin),
    ngx_armoriq_header("mcp-session-id", session),
    ngx_armoriq_header("mcp-protocol-version", mirror.protocol),
    ngx_armoriq_header("mcp-method", mirror.method),
    ngx_armoriq_header("mcp-name", mirror.name),
    ngx_armoriq_header("x-csrg-path", path),
    ngx_armoriq_header("x-csrg-proof", proof),
    ngx_armoriq_header("x-csrg-value-digest", digest),
    ngx_armoriq_header("x-csrg-step", step),
    { ngx_null_string, 0 }
};


/* credentials and what only we may say; whole families by their front */

static ngx_str_t  ngx_armoriq_headers_hidden[] = {
    ngx_string("authorization"),
    ngx_string("proxy-authorization"),
    ngx_string("x-api-key"),
    ngx_string("x-armoriq-"),
    ngx_string("x-csrg-"),
    ngx_string("x-http-method"),
    ngx_string("x-http-method-override"),
    ngx_string("x-method-override"),
    ngx_null_string
};


static ngx_str_t  ngx_armoriq_headers_legacy[] = {
    ngx_string("mcp-session-id"),
    ngx_string("last-event-id"),
    ngx_null_string
};


void
ngx_armoriq_headers_read(ngx_http_request_t *r, aiq_request_t *in)
{
    aiq_str_t             *s;
    ngx_uint_t             i;
    ngx_list_part_t       *part;
    aiq_mcp_param_t       *param;
    ngx_table_elt_t       *h;
    ngx_armoriq_header_t  *known;

    part = &r->headers_in.headers.part;
    i = 0;

    while ((h = ngx_armoriq_header_next(&part, &i)) != NULL) {

        if (h->key.len > 10
            && ngx_strncmp(h->lowcase_key, "mcp-param-", 10) == 0)
        {
            if (in->nrepeated < AIQ_MCP_PARAMS_MAX) {
                param = &in->repeated[in->nrepeated];

                param->name.data = h->lowcase_key + 10;
                param->name.len = h->key.len - 10;
                param->value = ngx_armoriq_str(h->value);
            }

            in->nrepeated += (in->nrepeated <= AIQ_MCP_PARAMS_MAX);
            continue;
        }

        for (known = ngx_armoriq_headers; known->name.len; known++) {

            if (h->key.len != known->name.len
                || ngx_strncmp(h->lowcase_key, known->name.data, h->key.len)
                   != 0)
            {
                continue;
            }

            s = (aiq_str_t *) ((u_char *) in + known->offset);

            if (s->data) {
                in->duplicate = 1;
            }

            *s = ngx_armoriq_str(h->value);
            break;
        }
    }

    in->http = ngx_armoriq_str(r->method_name);
    in->version = (unsigned) r->http_version;
    in->has_body = r->headers_in.content_length_n > 0
                   || r->headers_in.chunked;
    in->query_token = ngx_armoriq_headers_query(r);
    in->early = ngx_armoriq_headers_early(r);
}


/*
 * TLS early data may be a replay, here or as somebody before us says in the
 * Early-Data header (RFC 8470 5.1).
 */

static ngx_uint_t
ngx_armoriq_headers_early(ngx_http_request_t *r)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

#if (NGX_SSL || NGX_COMPAT)

    if (r->connection->ssl && ngx_armoriq_headers_tls_early(r)) {
        return 1;
    }

#endif

    part = &r->headers_in.headers.part;
    i = 0;

    while ((h = ngx_armoriq_header_next(&part, &i)) != NULL) {

        if (h->key.len == 10
            && ngx_strncmp(h->lowcase_key, "early-data", 10) == 0)
        {
            return 1;
        }
    }

    return 0;
}


#if (NGX_SSL || NGX_COMPAT)

/*
 * By its variable: a module that was built without TLS, for an nginx that has
 * it, does not know the functions behind it.
 */

static ngx_uint_t
ngx_armoriq_headers_tls_early(ngx_http_request_t *r)
{
    ngx_http_variable_value_t  *vv;

    static ngx_str_t  name = ngx_string("ssl_early_data");

    vv = ngx_http_get_variable(r, &name, ngx_hash_key(name.data, name.len));

    return vv == NULL || (!vv->not_found && vv->len);
}

#endif


/* tokens in URLs end in logs and Referer headers (trust B59) */

static ngx_uint_t
ngx_armoriq_headers_query(ngx_http_request_t *r)
{
    u_char     *p, *end, *last;
    ngx_str_t   name;

    p = r->args.data;
    last = p + r->args.len;

    while (p < last) {

        for (end = p; end < last && *end != '=' && *end != '&'; end++) {
            /* void */
        }

        name.data = p;
        name.len = end - p;

        if (ngx_armoriq_headers_secret(&name)) {
            return 1;
        }

        for (p = end; p < last && *p != '&'; p++) { /* void */ }

        p++;
    }

    return 0;
}


/* a name of an argument, as written: %74oken is one, too */

static ngx_uint_t
ngx_armoriq_headers_secret(ngx_str_t *arg)
{
    size_t      len;
    u_char     *src, *dst, buf[64];
    ngx_str_t  *name;

    static ngx_str_t  names[] = {
        ngx_string("access_token"),
        ngx_string("api_key"),
        ngx_string("intent_token"),
        ngx_string("token"),
        ngx_null_string
    };

    if (arg->len > sizeof(buf)) {
        return 0;
    }

    src = arg->data;
    dst = buf;

    ngx_unescape_uri(&dst, &src, arg->len, 0);

    len = dst - buf;

    for (name = names; name->len; name++) {

        if (len == name->len
            && ngx_strncasecmp(buf, name->data, len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/*
 * proxy_pass sends what is in the list.  The list is made anew: that of a
 * subrequest shares its parts with the parent's.
 */

ngx_int_t
ngx_armoriq_headers_strip(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    ngx_uint_t        i;
    ngx_list_t        list;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h, *copy;

    if (ngx_list_init(&list, r->pool, 16, sizeof(ngx_table_elt_t)) != NGX_OK) {
        return NGX_ERROR;
    }

    part = &r->headers_in.headers.part;
    i = 0;

    while ((h = ngx_armoriq_header_next(&part, &i)) != NULL) {

        if (ngx_armoriq_headers_ours(h, ngx_armoriq_headers_hidden)) {
            continue;
        }

        /* from 2026-07-28 on these mean nothing, to old servers as well */

        if (ctx->d.mcp.modern
            && ngx_armoriq_headers_ours(h, ngx_armoriq_headers_legacy))
        {
            continue;
        }

        /* what is read on its way back must not be compressed */

        if (h->key.len == 15
            && ngx_strncmp(h->lowcase_key, "accept-encoding", 15) == 0
            && ngx_armoriq_list_inspected(ctx))
        {
            continue;
        }

        copy = ngx_list_push(&list);
        if (copy == NULL) {
            return NGX_ERROR;
        }

        *copy = *h;

        if (h == r->headers_in.content_length && ctx->told.len) {

            /* for fastcgi and others that take it from the header */

            copy->value.data = ngx_pnalloc(r->pool, NGX_OFF_T_LEN);
            if (copy->value.data == NULL) {
                return NGX_ERROR;
            }

            copy->value.len = ngx_sprintf(copy->value.data, "%uz",
                                          ctx->body.len)
                              - copy->value.data;

            r->headers_in.content_length = copy;
        }
    }

    /* whoever judges again, after a redirect, needs the credentials */

    if (ctx->headers.pool == NULL) {
        ctx->headers = r->headers_in.headers;
    }

    r->headers_in.headers = list;

    return NGX_OK;
}


static ngx_uint_t
ngx_armoriq_headers_ours(ngx_table_elt_t *h, ngx_str_t *names)
{
    size_t      i;
    u_char      c;
    ngx_str_t  *name;

    for (name = names; name->len; name++) {

        if (h->key.len < name->len) {
            continue;
        }

        /* CGI, and what came of it, takes "x_api_key" for the same */

        for (i = 0; i < name->len; i++) {
            c = h->lowcase_key[i];

            if ((c == '_' ? '-' : c) != name->data[i]) {
                break;
            }
        }

        if (i == name->len
            && (h->key.len == i || name->data[i - 1] == '-'))
        {
            return 1;
        }
    }

    return 0;
}


ngx_table_elt_t *
ngx_armoriq_header_next(ngx_list_part_t **part, ngx_uint_t *i)
{
    ngx_table_elt_t  *h;

    while (*i >= (*part)->nelts) {

        if ((*part)->next == NULL) {
            return NULL;
        }

        *part = (*part)->next;
        *i = 0;
    }

    h = (*part)->elts;

    return &h[(*i)++];
}


/* by name, in any case; NULL: none, or hidden from the client */

ngx_table_elt_t *
ngx_armoriq_header_find(ngx_list_t *headers, ngx_str_t *name)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &headers->part;
    i = 0;

    while ((h = ngx_armoriq_header_next(&part, &i)) != NULL) {

        if (h->hash && h->key.len == name->len
            && ngx_strncasecmp(h->key.data, name->data, name->len) == 0)
        {
            return h;
        }
    }

    return NULL;
}


/* of an answer; whole families by their front, which ends in a hyphen */

void
ngx_armoriq_header_hide(ngx_http_request_t *r, ngx_str_t *names)
{
    ngx_str_t        *name;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &r->headers_out.headers.part;
    i = 0;

    while ((h = ngx_armoriq_header_next(&part, &i)) != NULL) {

        for (name = names; name->len; name++) {

            if ((h->key.len == name->len
                 || (h->key.len > name->len
                     && name->data[name->len - 1] == '-'))
                && ngx_strncasecmp(h->key.data, name->data, name->len) == 0)
            {
                h->hash = 0;
            }
        }
    }
}
