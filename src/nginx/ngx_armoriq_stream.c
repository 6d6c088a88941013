
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Event streams: nothing on the way may wait for the next event.
 */


#include "ngx_armoriq_response.h"


static ngx_int_t ngx_armoriq_stream_add(ngx_http_request_t *r, char *name,
    char *value);


ngx_int_t
ngx_armoriq_stream_header(ngx_http_request_t *r)
{
    ngx_http_upstream_t  *u;

    if (!ngx_armoriq_is_events(r)) {
        return NGX_OK;
    }

    u = r->upstream;

    if (u && !u->cacheable && !u->store) {

        /* as X-Accel-Buffering does, which is looked at behind the header */

        u->buffering = 0;
    }

#if (NGX_HTTP_GZIP || NGX_COMPAT)

    /* no-transform: who compresses looks at blocks, not at events */

    r->gzip_tested = 1;
    r->gzip_ok = 0;

#endif

    /* nginx takes the first one off, and there may be another proxy */

    if (ngx_armoriq_stream_add(r, "X-Accel-Buffering", "no") != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_armoriq_stream_add(r, "Cache-Control",
                                  "no-cache, no-transform");
}


ngx_uint_t
ngx_armoriq_is_events(ngx_http_request_t *r)
{
    u_char      c;
    ngx_str_t  *type;

    static ngx_str_t  events = ngx_string("text/event-stream");

    type = &r->headers_out.content_type;

    if (type->len < events.len
        || ngx_strncasecmp(type->data, events.data, events.len) != 0)
    {
        return 0;
    }

    c = (type->len == events.len) ? ';' : type->data[events.len];

    return c == ';' || c == ' ' || c == '\t';
}


ngx_uint_t
ngx_armoriq_is_encoded(ngx_http_request_t *r)
{
    ngx_table_elt_t  *h;

    h = r->headers_out.content_encoding;

    return h && h->hash && h->value.len
           && (h->value.len != 8
               || ngx_strncasecmp(h->value.data, (u_char *) "identity", 8)
                  != 0);
}


/* unless the server has said something itself */

static ngx_int_t
ngx_armoriq_stream_add(ngx_http_request_t *r, char *name, char *value)
{
    ngx_str_t  s;

    s.data = (u_char *) name;
    s.len = ngx_strlen(name);

    if (ngx_armoriq_header_find(&r->headers_out.headers, &s)) {
        return NGX_OK;
    }

    return ngx_armoriq_add_header(r, name, (u_char *) value,
                                  ngx_strlen(value));
}
