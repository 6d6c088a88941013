
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Setters of the directives of a location with an MCP server: which one, for
 * whom, from which web pages, and which methods need what.
 */


#include "ngx_armoriq_conf.h"


static ngx_uint_t ngx_armoriq_mcp_uri(ngx_http_core_loc_conf_t *clcf);
static char *ngx_armoriq_mcp_add(ngx_conf_t *cf, ngx_armoriq_mcp_t *mcp);
static ngx_int_t ngx_armoriq_mcp_protocol(ngx_str_t *value,
    ngx_armoriq_mcp_t *mcp);
static ngx_int_t ngx_armoriq_origin_ok(ngx_str_t *origin);


/* armoriq_mcp NAME [protocol=YYYY-MM-DD] [stateless] */

char *
ngx_armoriq_mcp(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_armoriq_loc_conf_t *alcf = conf;

    char                      *rv;
    ngx_str_t                 *value;
    ngx_uint_t                 i;
    ngx_armoriq_mcp_t         *mcp;
    ngx_http_core_loc_conf_t  *clcf;

    if (alcf->mcp) {
        return "is duplicate";
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    value = cf->args->elts;

    if (!aiq_name_ok(ngx_armoriq_str(value[1]))) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the name of an MCP server has 1 to %d bytes and "
                           "no control characters", AIQ_NAME_MAX);
        return NGX_CONF_ERROR;
    }

    mcp = ngx_pcalloc(cf->pool, sizeof(ngx_armoriq_mcp_t));
    if (mcp == NULL) {
        return NGX_CONF_ERROR;
    }

    alcf->mcp = mcp;

    mcp->name = value[1];
    mcp->uri = clcf->name;
    mcp->conf = alcf;

    if (ngx_armoriq_mcp_uri(clcf)) {
        rv = ngx_armoriq_mcp_add(cf, mcp);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_armoriq_mcp_protocol(&value[i], mcp) == NGX_OK) {
            continue;

        } else if (ngx_strcmp(value[i].data, "stateless") == 0
                   && !mcp->stateless)
        {
            mcp->stateless = 1;

        } else {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\", it must be "
                               "\"stateless\", or \"protocol=\" and one of "
                               "2024-11-05, 2025-03-26, 2025-06-18, "
                               "2025-11-25, 2026-07-28, each once",
                               &value[i]);
            return NGX_CONF_ERROR;
        }
    }

    if (mcp->protocol.len == 0) {
        ngx_str_set(&mcp->protocol, "2025-11-25");
    }

    /* dates compare as strings; from this one on there are no sessions */

    mcp->modern = ngx_strncmp(mcp->protocol.data, "2026-07-28", 10) >= 0;
    mcp->stateless |= mcp->modern;

    return NGX_CONF_OK;
}


/* "armoriq_invoke" goes there by URI, which has to lead back here */

static ngx_uint_t
ngx_armoriq_mcp_uri(ngx_http_core_loc_conf_t *clcf)
{
#if (NGX_PCRE)
    if (clcf->regex) {
        return 0;
    }
#endif

    return !clcf->named;
}


static char *
ngx_armoriq_mcp_add(ngx_conf_t *cf, ngx_armoriq_mcp_t *mcp)
{
    ngx_uint_t                i;
    ngx_armoriq_mcp_t       **mcps;
    ngx_armoriq_srv_conf_t   *ascf;

    ascf = ngx_http_conf_get_module_srv_conf(cf, ngx_armoriq_module);
    mcps = ascf->mcps.elts;

    for (i = 0; i < ascf->mcps.nelts; i++) {

        if (aiq_str_eq(ngx_armoriq_str(mcps[i]->name),
                       ngx_armoriq_str(mcp->name)))
        {
            return "names the same MCP server twice in one server{}";
        }
    }

    mcps = ngx_array_push(&ascf->mcps);
    if (mcps == NULL) {
        return NGX_CONF_ERROR;
    }

    *mcps = mcp;

    return NGX_CONF_OK;
}


/* a revision that we know how to speak; NGX_DECLINED: none, or the second */

static ngx_int_t
ngx_armoriq_mcp_protocol(ngx_str_t *value, ngx_armoriq_mcp_t *mcp)
{
    ngx_uint_t  i;

    static char  *revisions[] = {
        "2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"
    };

    if (value->len != 19 || ngx_strncmp(value->data, "protocol=", 9) != 0
        || mcp->protocol.len)
    {
        return NGX_DECLINED;
    }

    for (i = 0; i < sizeof(revisions) / sizeof(revisions[0]); i++) {

        if (ngx_strcmp(value->data + 9, revisions[i]) == 0) {
            mcp->protocol.data = value->data + 9;
            mcp->protocol.len = 10;

            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


/* armoriq_org NAME: keys and tokens of other orgs are refused here */

char *
ngx_armoriq_org(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_armoriq_loc_conf_t *alcf = conf;

    ngx_str_t  *value;

    if (alcf->org.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (!aiq_name_ok(ngx_armoriq_str(value[1]))) {
        return "needs the name of an org";
    }

    alcf->org = value[1];

    return NGX_CONF_OK;
}


/* armoriq_origins https://app.example.com ...; */

char *
ngx_armoriq_origins(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_armoriq_loc_conf_t *alcf = conf;

    aiq_str_t   *origin;
    ngx_str_t   *value;
    ngx_uint_t   i;

    if (alcf->origins) {
        return "is duplicate";
    }

    alcf->origins = ngx_array_create(cf->pool, cf->args->nelts,
                                     sizeof(aiq_str_t));
    if (alcf->origins == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_armoriq_origin_ok(&value[i]) != NGX_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid origin \"%V\", it must be "
                               "\"scheme://host\" or \"scheme://host:port\" "
                               "in lower case, as browsers send it",
                               &value[i]);
            return NGX_CONF_ERROR;
        }

        origin = ngx_array_push(alcf->origins);
        if (origin == NULL) {
            return NGX_CONF_ERROR;
        }

        *origin = ngx_armoriq_str(value[i]);
    }

    return NGX_CONF_OK;
}


/*
 * RFC 6454 6.2, as browsers write it: in lower case, and without the port
 * that the scheme has anyway.  "null" is what every sandboxed page calls
 * itself.
 */

static ngx_int_t
ngx_armoriq_origin_ok(ngx_str_t *origin)
{
    char       *others;
    u_char     *p, *host, *port, *last;
    ngx_int_t   n;

    p = origin->data;
    last = p + origin->len;

    /* that of an extension of a browser has a hyphen */

    while (p < last && ((*p >= 'a' && *p <= 'z') || *p == '-')) {
        p++;
    }

    if (p == origin->data || last - p < 4
        || ngx_strncmp(p, "://", 3) != 0)
    {
        return NGX_ERROR;
    }

    host = p + 3;
    port = NULL;
    others = (*host == '[') ? "[:]" : "-._";

    for (p = host; p < last; p++) {

        if (*p == ':' && (*host != '[' || p[-1] == ']')) {
            port = p + 1;
            break;
        }

        if (!((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9')
              || ngx_strchr(others, *p)))
        {
            return NGX_ERROR;
        }
    }

    if (p == host) {
        return NGX_ERROR;
    }

    if (port == NULL) {
        return NGX_OK;
    }

    n = ngx_atoi(port, last - port);

    if (n < 1 || n > 65535 || *port == '0'
        || (n == 443 && ngx_strncmp(origin->data, "https:", 6) == 0)
        || (n == 80 && ngx_strncmp(origin->data, "http:", 5) == 0))
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* armoriq_method NAME ... intent|identity|off; NAME may end in '*' */

char *
ngx_armoriq_method(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_armoriq_loc_conf_t *alcf = conf;

    ngx_str_t          *value, *last;
    ngx_uint_t          i, k;
    aiq_method_rule_t  *rule;

    static const struct {
        char           *name;
        aiq_need_e      need;
    } needs[] = {
        { "intent", AIQ_NEED_INTENT },
        { "identity", AIQ_NEED_IDENTITY },
        { "off", AIQ_NEED_REFUSE }
    };

    value = cf->args->elts;
    last = &value[cf->args->nelts - 1];

    for (k = 0; k < 3; k++) {
        if (ngx_strcmp(last->data, needs[k].name) == 0) {
            break;
        }
    }

    if (k == 3) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\", it must be \"intent\", "
                           "\"identity\" or \"off\"", last);
        return NGX_CONF_ERROR;
    }

    if (alcf->methods == NULL) {
        alcf->methods = ngx_array_create(cf->pool, 4,
                                         sizeof(aiq_method_rule_t));
        if (alcf->methods == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    for (i = 1; &value[i] < last; i++) {

        if (!aiq_mcp_method_ok(ngx_armoriq_str(value[i]))) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid JSON-RPC method \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        rule = ngx_array_push(alcf->methods);
        if (rule == NULL) {
            return NGX_CONF_ERROR;
        }

        rule->name = ngx_armoriq_str(value[i]);
        rule->need = needs[k].need;
    }

    return NGX_CONF_OK;
}
