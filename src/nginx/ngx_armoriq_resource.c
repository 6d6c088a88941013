
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Where an OAuth client gets its token from: the metadata of a protected
 * resource (RFC 9728), and the challenge that leads there.  Both are written
 * when the configuration is read.
 */


#include "ngx_armoriq_conf.h"


#define NGX_ARMORIQ_WELL_KNOWN   "/.well-known/oauth-protected-resource"

#define NGX_ARMORIQ_URL_DOC      0x01     /* with query and fragment */
#define NGX_ARMORIQ_URL_PLAIN    0x02     /* a path as nginx would have it */


typedef struct {
    ngx_str_t            origin;          /* scheme://host:port */
    ngx_str_t            path;
} ngx_armoriq_url_t;


/* what was given, for the document */

typedef struct {
    ngx_str_t           *url;
    ngx_array_t          servers;         /* ngx_str_t */
    ngx_str_t            scope;
    ngx_str_t            doc;
} ngx_armoriq_resource_args_t;


static char *ngx_armoriq_resource_param(ngx_conf_t *cf, ngx_str_t *value,
    ngx_armoriq_resource_args_t *args);
static char *ngx_armoriq_resource_scope(ngx_str_t *scope);
static char *ngx_armoriq_resource_add(ngx_conf_t *cf,
    ngx_armoriq_resource_t *res);
static char *ngx_armoriq_resource_write(ngx_conf_t *cf,
    ngx_armoriq_resource_t *res, ngx_armoriq_resource_args_t *args,
    ngx_armoriq_url_t *u);
static void ngx_armoriq_resource_document(aiq_out_t *out,
    ngx_armoriq_resource_args_t *args);
static char *ngx_armoriq_url(ngx_str_t *s, ngx_uint_t flags,
    ngx_armoriq_url_t *u);
static u_char *ngx_armoriq_url_host(u_char *p, u_char *last,
    ngx_uint_t *loopback);
static u_char *ngx_armoriq_url_port(u_char *p, u_char *last,
    ngx_int_t standard);
static char *ngx_armoriq_url_rest(u_char *p, u_char *last, ngx_uint_t flags);
static ngx_armoriq_resource_t *ngx_armoriq_metadata_find(
    ngx_http_request_t *r);
static ngx_int_t ngx_armoriq_metadata_options(ngx_http_request_t *r);


/* armoriq_resource URL authorization_server=URL ... ["scope=..."] [...] */

char *
ngx_armoriq_resource(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_armoriq_loc_conf_t *alcf = conf;

    char                         *rv;
    ngx_str_t                    *value;
    ngx_uint_t                    i;
    ngx_armoriq_url_t             u;
    ngx_armoriq_resource_t       *res;
    ngx_armoriq_resource_args_t   args;

    if (alcf->resource) {
        return "is duplicate";
    }

    ngx_memzero(&args, sizeof(ngx_armoriq_resource_args_t));

    res = ngx_pcalloc(cf->pool, sizeof(ngx_armoriq_resource_t));

    if (res == NULL
        || ngx_array_init(&args.servers, cf->temp_pool, 2, sizeof(ngx_str_t))
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;
    args.url = &value[1];

    rv = ngx_armoriq_url(&value[1], NGX_ARMORIQ_URL_PLAIN, &u);

    for (i = 1; rv == NGX_CONF_OK && ++i < cf->args->nelts; /* void */ ) {
        rv = ngx_armoriq_resource_param(cf, &value[i], &args);
    }

    if (rv != NGX_CONF_OK) {

        if (rv != NGX_CONF_ERROR) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter "
                               "\"%V\" in \"armoriq_resource\": %s",
                               &value[i], rv);
        }

        return NGX_CONF_ERROR;
    }

    if (args.servers.nelts == 0) {
        return "needs \"authorization_server=\"";
    }

    res->url = value[1];
    res->path = u.path;

    /* clients differ in whether they keep a slash at the end */

    if (res->path.len && res->path.data[res->path.len - 1] == '/') {
        res->path.len--;
    }

    alcf->resource = res;

    rv = ngx_armoriq_resource_add(cf, res);

    return rv == NGX_CONF_OK ? ngx_armoriq_resource_write(cf, res, &args, &u)
                             : rv;
}


/* NULL, what is wrong, or NGX_CONF_ERROR */

static char *
ngx_armoriq_resource_param(ngx_conf_t *cf, ngx_str_t *value,
    ngx_armoriq_resource_args_t *args)
{
    ngx_str_t          *server, s;
    ngx_armoriq_url_t   u;

    s.data = ngx_strlchr(value->data, value->data + value->len, '=');

    if (s.data == NULL) {
        return "\"name=value\" is expected";
    }

    s.data++;
    s.len = value->data + value->len - s.data;

    if (ngx_strncmp(value->data, "authorization_server=", 21) == 0) {
        server = ngx_array_push(&args->servers);
        if (server == NULL) {
            return NGX_CONF_ERROR;
        }

        *server = s;

        return ngx_armoriq_url(&s, 0, &u);
    }

    if (ngx_strncmp(value->data, "scope=", 6) == 0 && args->scope.len == 0) {
        args->scope = s;
        return ngx_armoriq_resource_scope(&s);
    }

    if (ngx_strncmp(value->data, "documentation=", 14) == 0
        && args->doc.len == 0)
    {
        args->doc = s;
        return ngx_armoriq_url(&s, NGX_ARMORIQ_URL_DOC, &u);
    }

    return "it must be \"authorization_server=\", \"scope=\" or "
           "\"documentation=\", the last two once";
}


/* RFC 6749 3.3: words with one blank between them */

static char *
ngx_armoriq_resource_scope(ngx_str_t *scope)
{
    u_char  *p, *last, *word;

    static char  refresh[] = "offline_access";

    last = scope->data + scope->len;

    for (p = scope->data; ; p++) {

        for (word = p; p < last && *p != ' '; p++) {

            if (*p <= ' ' || *p == '"' || *p == '\\' || *p > '~') {
                return "a scope has a character that it must not have";
            }
        }

        if (p == word) {
            return "scopes are words with one blank between them";
        }

        if ((size_t) (p - word) == sizeof(refresh) - 1
            && ngx_strncmp(word, refresh, sizeof(refresh) - 1) == 0)
        {
            return "\"offline_access\" is between the client and the "
                   "authorization server";
        }

        if (p == last) {
            return NGX_CONF_OK;
        }
    }
}


static char *
ngx_armoriq_resource_add(ngx_conf_t *cf, ngx_armoriq_resource_t *res)
{
    ngx_uint_t                i;
    ngx_armoriq_resource_t  **known;
    ngx_armoriq_srv_conf_t   *ascf;

    ascf = ngx_http_conf_get_module_srv_conf(cf, ngx_armoriq_module);
    known = ascf->resources.elts;

    for (i = 0; i < ascf->resources.nelts; i++) {

        if (aiq_str_eq(ngx_armoriq_str(known[i]->path),
                       ngx_armoriq_str(res->path)))
        {
            return "has the path of another one in this server{}";
        }
    }

    known = ngx_array_push(&ascf->resources);
    if (known == NULL) {
        return NGX_CONF_ERROR;
    }

    *known = res;

    return NGX_CONF_OK;
}


static char *
ngx_armoriq_resource_write(ngx_conf_t *cf, ngx_armoriq_resource_t *res,
    ngx_armoriq_resource_args_t *args, ngx_armoriq_url_t *u)
{
    size_t       size;
    u_char      *p;
    aiq_str_t    text;
    aiq_out_t    out;
    ngx_str_t   *server;
    ngx_uint_t   i;

    size = 512 + args->url->len + 4 * args->scope.len + args->doc.len;
    server = args->servers.elts;

    for (i = 0; i < args->servers.nelts; i++) {
        size += server[i].len + 3;
    }

    p = ngx_pnalloc(cf->pool, size);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    aiq_out_init(&out, p, size);
    ngx_armoriq_resource_document(&out, args);

    text = aiq_out_done(&out);
    res->document.data = p;
    res->document.len = text.len;

    if (out.failed) {
        return "is too long";
    }

    size = 128 + u->origin.len + u->path.len + args->scope.len;

    p = ngx_pnalloc(cf->pool, size);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    aiq_out_init(&out, p, size);

    aiq_out_str(&out, ", resource_metadata=\"");
    aiq_out_mem(&out, u->origin.data, u->origin.len);
    aiq_out_str(&out, NGX_ARMORIQ_WELL_KNOWN);

    /* RFC 9728 3.1: the slash behind the host goes, another one stays */

    if (u->path.len > 1) {
        aiq_out_mem(&out, u->path.data, u->path.len);
    }

    aiq_out_char(&out, '"');

    if (args->scope.len) {
        aiq_out_str(&out, ", scope=\"");
        aiq_out_mem(&out, args->scope.data, args->scope.len);
        aiq_out_char(&out, '"');
    }

    text = aiq_out_done(&out);
    res->challenge.data = p;
    res->challenge.len = text.len;

    return out.failed ? "is too long" : NGX_CONF_OK;
}


static void
ngx_armoriq_resource_document(aiq_out_t *out,
    ngx_armoriq_resource_args_t *args)
{
    u_char      *p, *last, *word;
    aiq_str_t    scope;
    ngx_str_t   *server;
    ngx_uint_t   i;

    aiq_out_str(out, "{\"resource\":");
    aiq_out_json(out, ngx_armoriq_str(*args->url));
    aiq_out_str(out, ",\"authorization_servers\":[");

    server = args->servers.elts;

    for (i = 0; i < args->servers.nelts; i++) {

        if (i) {
            aiq_out_char(out, ',');
        }

        aiq_out_json(out, ngx_armoriq_str(server[i]));
    }

    aiq_out_str(out, "],\"bearer_methods_supported\":[\"header\"]");

    last = args->scope.data + args->scope.len;

    for (p = args->scope.data; p < last; p++) {

        aiq_out_str(out, p == args->scope.data ? ",\"scopes_supported\":["
                                               : ",");

        for (word = p; p < last && *p != ' '; p++) { /* void */ }

        scope.data = word;
        scope.len = (size_t) (p - word);

        aiq_out_json(out, scope);

        if (p == last) {
            aiq_out_char(out, ']');
        }
    }

    if (args->doc.len) {
        aiq_out_str(out, ",\"resource_documentation\":");
        aiq_out_json(out, ngx_armoriq_str(args->doc));
    }

    aiq_out_char(out, '}');
}


/*
 * Clients compare URLs byte by byte, so there is one way to write one: host
 * in lower case, no port that goes without saying.  NULL or what is wrong.
 */

static char *
ngx_armoriq_url(ngx_str_t *s, ngx_uint_t flags, ngx_armoriq_url_t *u)
{
    u_char      *p, *last;
    ngx_uint_t   secure, loopback;

    p = s->data;
    last = p + s->len;

    if (s->len > 8 && ngx_strncmp(p, "https://", 8) == 0) {
        secure = 1;
        p += 8;

    } else if (s->len > 7 && ngx_strncmp(p, "http://", 7) == 0) {
        secure = 0;
        p += 7;

    } else {
        return "a URL with \"https://\" is expected";
    }

    p = ngx_armoriq_url_host(p, last, &loopback);

    if (p == NULL) {
        return "the host must be a name in lower case or an address";
    }

    if (!secure && !loopback) {
        return "\"http://\" is for the loopback interface only";
    }

    p = ngx_armoriq_url_port(p, last, secure ? 443 : 80);

    if (p == NULL) {
        return "the port must be a number, and not that of the scheme";
    }

    u->origin.data = s->data;
    u->origin.len = (size_t) (p - s->data);
    u->path.data = p;
    u->path.len = (size_t) (last - p);

    return ngx_armoriq_url_rest(p, last, flags);
}


static u_char *
ngx_armoriq_url_host(u_char *p, u_char *last, ngx_uint_t *loopback)
{
    size_t   len;
    u_char  *host;

    host = p;

    if (*p == '[') {

        for (p++; p < last && *p != ']'; p++) {
            if (!((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f')
                  || *p == ':' || *p == '.'))
            {
                return NULL;
            }
        }

        if (p == last || p - host < 3) {
            return NULL;
        }

        p++;

    } else {

        while (p < last
               && ((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9')
                   || *p == '-' || *p == '.'))
        {
            p++;
        }

        if (p == host || *host == '.' || *host == '-') {
            return NULL;
        }
    }

    len = (size_t) (p - host);

    *loopback = (len == 9 && ngx_strncmp(host, "localhost", 9) == 0)
                || (len == 5 && ngx_strncmp(host, "[::1]", 5) == 0)
                || (len > 4 && ngx_strncmp(host, "127.", 4) == 0
                    && ngx_inet_addr(host, len) != INADDR_NONE);

    return p;
}


static u_char *
ngx_armoriq_url_port(u_char *p, u_char *last, ngx_int_t standard)
{
    u_char     *port;
    ngx_int_t   n;

    if (p == last || *p != ':') {
        return p;
    }

    for (port = ++p; p < last && *p >= '0' && *p <= '9'; p++) { /* void */ }

    n = ngx_atoi(port, (size_t) (p - port));

    if (n < 1 || n > 65535 || n == standard || *port == '0') {
        return NULL;
    }

    return p;
}


static char *
ngx_armoriq_url_rest(u_char *p, u_char *last, ngx_uint_t flags)
{
    if (p < last && *p != '/'
        && !((flags & NGX_ARMORIQ_URL_DOC) && (*p == '?' || *p == '#')))
    {
        return "only a path may stand behind the host";
    }

    for ( /* void */ ; p < last; p++) {

        if (*p == '/' && (flags & NGX_ARMORIQ_URL_PLAIN)
            && last - p > 1 && (p[1] == '/' || p[1] == '.'))
        {
            return "no part of the path may be empty or begin with a dot";
        }

        if ((*p == '?' || *p == '#') && !(flags & NGX_ARMORIQ_URL_DOC)) {
            return "it must have no query and no fragment";
        }

        if (*p == '%' && !(flags & NGX_ARMORIQ_URL_PLAIN)
            && last - p > 2 && ngx_hextoi(p + 1, 2) != NGX_ERROR)
        {
            continue;
        }

        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')
              || (*p >= '0' && *p <= '9')
              || (*p != '\0' && ngx_strchr("-._~!$&'()*+,;=:@/?#", *p))))
        {
            return "it has a character that it must not have";
        }
    }

    return NGX_CONF_OK;
}


/*
 * A nested location that is another MCP server is another resource; "if" and
 * "limit_except" are not.  To be called before "mcp" is merged.
 */

char *
ngx_armoriq_resource_merge(ngx_conf_t *cf, ngx_armoriq_loc_conf_t *prev,
    ngx_armoriq_loc_conf_t *conf)
{
    if (conf->resource == NULL) {

        if (conf->mcp == NULL) {
            conf->resource = prev->resource;
        }

        return NGX_CONF_OK;
    }

    if (conf->mcp == NULL && prev->mcp == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"armoriq_resource %V\" needs \"armoriq_mcp\" in its "
                      "location", &conf->resource->url);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* clients are sent to a place: is there one? */

void
ngx_armoriq_resource_check(ngx_conf_t *cf)
{
    ngx_uint_t                   i;
    ngx_http_core_srv_conf_t   **cscfp;
    ngx_armoriq_resource_t     **res;
    ngx_armoriq_srv_conf_t      *ascf;
    ngx_http_core_main_conf_t   *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    cscfp = cmcf->servers.elts;

    for (i = 0; i < cmcf->servers.nelts; i++) {
        ascf = cscfp[i]->ctx->srv_conf[ngx_armoriq_module.ctx_index];

        if (ascf->resources.nelts && !ascf->metadata) {
            res = ascf->resources.elts;

            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "\"armoriq_resource %V\": its metadata is not "
                          "served, write \"location "
                          NGX_ARMORIQ_WELL_KNOWN
                          " { armoriq_metadata on; }\" in the same server{}",
                          &res[0]->url);
        }
    }
}


/* armoriq_metadata on */

char *
ngx_armoriq_metadata(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_armoriq_loc_conf_t *alcf = conf;

    char                      *rv;
    ngx_armoriq_srv_conf_t    *ascf;
    ngx_http_core_loc_conf_t  *clcf;

    rv = ngx_conf_set_flag_slot(cf, cmd, conf);

    if (rv != NGX_CONF_OK || !alcf->metadata) {
        return rv;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_armoriq_metadata_handler;

    ascf = ngx_http_conf_get_module_srv_conf(cf, ngx_armoriq_module);
    ascf->metadata = 1;

    return NGX_CONF_OK;
}


/*
 * Public, and for pages of any origin: clients come here before they have a
 * token.  There are no credentials that "*" could give away.
 */

ngx_int_t
ngx_armoriq_metadata_handler(ngx_http_request_t *r)
{
    ngx_int_t                rc;
    ngx_str_t                body;
    ngx_armoriq_resource_t  *res;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_armoriq_add_header(r, "Access-Control-Allow-Origin",
                               (u_char *) "*", 1)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_armoriq_metadata_options(r);
    }

    res = ngx_armoriq_metadata_find(r);

    if (res == NULL) {
        ngx_str_set(&body, "{\"error\":\"NOT_FOUND\",\"message\":\"there is "
                           "no such resource\"}");

        return ngx_armoriq_send_json(r, NGX_HTTP_NOT_FOUND, &body);
    }

    if (ngx_armoriq_add_header(r, "Cache-Control",
                               (u_char *) "public, max-age=3600", 20)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_OK;

    return ngx_armoriq_send_body(r, &res->document);
}


static ngx_armoriq_resource_t *
ngx_armoriq_metadata_find(ngx_http_request_t *r)
{
    size_t                    len;
    aiq_str_t                 path;
    ngx_uint_t                i;
    ngx_armoriq_resource_t  **res;
    ngx_armoriq_srv_conf_t   *ascf;

    len = sizeof(NGX_ARMORIQ_WELL_KNOWN) - 1;

    if (r->uri.len < len
        || ngx_strncmp(r->uri.data, NGX_ARMORIQ_WELL_KNOWN, len) != 0
        || (r->uri.len > len && r->uri.data[len] != '/'))
    {
        return NULL;
    }

    path.data = r->uri.data + len;
    path.len = r->uri.len - len;

    if (path.len && path.data[path.len - 1] == '/') {
        path.len--;
    }

    ascf = ngx_http_get_module_srv_conf(r, ngx_armoriq_module);
    res = ascf->resources.elts;

    for (i = 0; i < ascf->resources.nelts; i++) {

        if (aiq_str_eq(ngx_armoriq_str(res[i]->path), path)) {
            return res[i];
        }
    }

    /* the last thing that clients try; of several there is none to name */

    return (path.len == 0 && ascf->resources.nelts == 1) ? res[0] : NULL;
}


/* a preflight, as clients send MCP-Protocol-Version; or 405 */

static ngx_int_t
ngx_armoriq_metadata_options(ngx_http_request_t *r)
{
    ngx_int_t   rc;
    ngx_str_t   body;
    ngx_uint_t  i;

    static const struct {
        char     *name;
        char     *value;
    } headers[] = {
        { "Allow", "GET, HEAD, OPTIONS" },
        { "Access-Control-Allow-Methods", "GET, HEAD" },
        { "Access-Control-Allow-Headers",
          "Accept, Content-Type, MCP-Protocol-Version" },
        { "Access-Control-Max-Age", "600" }
    };

    for (i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {

        if (ngx_armoriq_add_header(r, headers[i].name,
                                   (u_char *) headers[i].value,
                                   ngx_strlen(headers[i].value))
            != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        if (r->method != NGX_HTTP_OPTIONS) {
            ngx_str_set(&body, "{\"error\":\"METHOD_NOT_ALLOWED\",\"message\":"
                               "\"only GET and HEAD are allowed here\"}");

            return ngx_armoriq_send_json(r, NGX_HTTP_NOT_ALLOWED, &body);
        }
    }

    r->headers_out.status = NGX_HTTP_NO_CONTENT;

    rc = ngx_http_send_header(r);

    return rc > NGX_OK ? NGX_ERROR : rc;
}


/* WWW-Authenticate of a 401 (RFC 6750 3, RFC 9728 5.1) */

ngx_int_t
ngx_armoriq_challenge(ngx_http_request_t *r, ngx_armoriq_loc_conf_t *alcf,
    aiq_rc_t rc)
{
    u_char                  *p;
    ngx_str_t                value, *rest;
    static ngx_str_t         none = ngx_null_string;

    /* nothing that was presented is wrong: it was not enough, or nothing */

    if (rc == AIQ_D_IDENTITY_MISSING || rc == AIQ_D_TOKEN_MISSING) {
        ngx_str_set(&value, "Bearer realm=\"armoriq\"");

    } else {
        ngx_str_set(&value, "Bearer realm=\"armoriq\", "
                            "error=\"invalid_token\"");
    }

    rest = alcf->resource ? &alcf->resource->challenge : &none;

    p = ngx_pnalloc(r->pool, value.len + rest->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(ngx_cpymem(p, value.data, value.len), rest->data, rest->len);

    return ngx_armoriq_add_header(r, "WWW-Authenticate", p,
                                  value.len + rest->len);
}
