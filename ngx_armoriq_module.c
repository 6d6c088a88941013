
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The front door: directives, configurations, phases.  Nothing else.
 */


#include "ngx_armoriq.h"


static void *ngx_armoriq_create_main_conf(ngx_conf_t *cf);
static void *ngx_armoriq_create_srv_conf(ngx_conf_t *cf);
static void *ngx_armoriq_create_loc_conf(ngx_conf_t *cf);
static char *ngx_armoriq_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_armoriq_enable(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_armoriq_dir(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_armoriq_audit(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_armoriq_mcp(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static ngx_int_t ngx_armoriq_mcp_protocol(ngx_str_t *value,
    ngx_armoriq_mcp_t *mcp);
static char *ngx_armoriq_limit(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_armoriq_limit_rate(ngx_conf_t *cf, ngx_str_t *value,
    aiq_limit_t *limit);
static char *ngx_armoriq_limit_keys(ngx_conf_t *cf, ngx_str_t *value,
    unsigned *keys);
static char *ngx_armoriq_content(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t ngx_armoriq_init(ngx_conf_t *cf);


static ngx_conf_enum_t  ngx_armoriq_params[] = {
    { ngx_string("planned"), AIQ_PARAMS_PLANNED },
    { ngx_string("strict"), AIQ_PARAMS_STRICT },
    { ngx_null_string, 0 }
};


/* no NGX_HTTP_LIF_CONF: "if ($arg_x) { armoriq off; }" must not parse */

static ngx_command_t  ngx_armoriq_commands[] = {

    { ngx_string("armoriq"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_armoriq_enable,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_armoriq_loc_conf_t, enable),
      NULL },

    { ngx_string("armoriq_store"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_armoriq_dir,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_armoriq_main_conf_t, store),
      NULL },

    { ngx_string("armoriq_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_armoriq_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("armoriq_audit"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      ngx_armoriq_audit,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_armoriq_main_conf_t, audit),
      NULL },

    { ngx_string("armoriq_mcp"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE123,
      ngx_armoriq_mcp,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("armoriq_guard"),
      NGX_HTTP_UPS_CONF|NGX_CONF_NOARGS,
      ngx_armoriq_guard,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("armoriq_params"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_armoriq_loc_conf_t, params),
      &ngx_armoriq_params },

    { ngx_string("armoriq_step_uses"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_armoriq_loc_conf_t, step_uses),
      NULL },

    { ngx_string("armoriq_max_body"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_armoriq_loc_conf_t, max_body),
      NULL },

    { ngx_string("armoriq_dry_run"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_armoriq_loc_conf_t, dry_run),
      NULL },

    { ngx_string("armoriq_limit"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE123,
      ngx_armoriq_limit,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("armoriq_invoke"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_armoriq_content,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_armoriq_loc_conf_t, invoke),
      NULL },

    { ngx_string("armoriq_api"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_armoriq_content,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_armoriq_loc_conf_t, api),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_armoriq_module_ctx = {
    ngx_armoriq_add_variables,             /* preconfiguration */
    ngx_armoriq_init,                      /* postconfiguration */

    ngx_armoriq_create_main_conf,          /* create main configuration */
    NULL,                                  /* init main configuration */

    ngx_armoriq_create_srv_conf,           /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_armoriq_create_loc_conf,           /* create location configuration */
    ngx_armoriq_merge_loc_conf             /* merge location configuration */
};


ngx_module_t  ngx_armoriq_module = {
    NGX_MODULE_V1,
    &ngx_armoriq_module_ctx,               /* module context */
    ngx_armoriq_commands,                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_armoriq_init_process,              /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_armoriq_exit_process,              /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static void *
ngx_armoriq_create_main_conf(ngx_conf_t *cf)
{
    ngx_armoriq_main_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_armoriq_main_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->store = { 0, NULL };
     *     conf->audit = { 0, NULL };
     *     conf->zone = NULL;
     *     conf->worker = NULL;
     *     conf->nlimits = 0;
     *     conf->used = 0;
     *     conf->api = 0;
     */

    conf->durability = AIQ_AUDIT_FSYNC;

    return conf;
}


static void *
ngx_armoriq_create_srv_conf(ngx_conf_t *cf)
{
    ngx_armoriq_srv_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_armoriq_srv_conf_t));

    /*
     * set by ngx_pcalloc():
     *
     *     conf->original_init_peer = NULL;
     *     conf->guard = 0;
     */

    if (conf == NULL
        || ngx_array_init(&conf->mcps, cf->pool, 4,
                          sizeof(ngx_armoriq_mcp_t *))
           != NGX_OK)
    {
        return NULL;
    }

    return conf;
}


static void *
ngx_armoriq_create_loc_conf(ngx_conf_t *cf)
{
    ngx_armoriq_loc_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_armoriq_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->limits = NULL;
     *     conf->mcp = NULL;
     */

    conf->enable = NGX_CONF_UNSET;
    conf->dry_run = NGX_CONF_UNSET;
    conf->step_uses = NGX_CONF_UNSET;
    conf->invoke = NGX_CONF_UNSET;
    conf->api = NGX_CONF_UNSET;
    conf->params = NGX_CONF_UNSET_UINT;
    conf->max_body = NGX_CONF_UNSET_SIZE;

    return conf;
}


static char *
ngx_armoriq_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_armoriq_loc_conf_t *prev = parent;
    ngx_armoriq_loc_conf_t *conf = child;

    ngx_conf_merge_value(conf->enable, prev->enable, 0);
    ngx_conf_merge_value(conf->dry_run, prev->dry_run, 0);
    ngx_conf_merge_value(conf->step_uses, prev->step_uses, 1);
    ngx_conf_merge_uint_value(conf->params, prev->params, AIQ_PARAMS_PLANNED);
    ngx_conf_merge_size_value(conf->max_body, prev->max_body,
                              NGX_ARMORIQ_MAX_BODY);

    if (conf->limits == NULL) {
        conf->limits = prev->limits;
    }

    /* "if" and "limit_except" have configurations of their own, in which
       the content handler and the server of their location still hold */

    if (conf->mcp == NULL) {
        conf->mcp = prev->mcp;
    }

    ngx_conf_merge_value(conf->invoke, prev->invoke, 0);
    ngx_conf_merge_value(conf->api, prev->api, 0);

    return NGX_CONF_OK;
}


static char *
ngx_armoriq_enable(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                     *rv;
    ngx_armoriq_loc_conf_t   *alcf = conf;
    ngx_armoriq_main_conf_t  *amcf;

    rv = ngx_conf_set_flag_slot(cf, cmd, conf);

    if (rv == NGX_CONF_OK && alcf->enable) {
        amcf = ngx_http_conf_get_module_main_conf(cf, ngx_armoriq_module);
        amcf->used = 1;
    }

    return rv;
}


/* a directory, relative to the prefix as all paths of nginx */

static char *
ngx_armoriq_dir(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char       *p = conf;

    ngx_str_t  *field, *value;

    field = (ngx_str_t *) (p + cmd->offset);

    if (field->data) {
        return "is duplicate";
    }

    value = cf->args->elts;
    *field = value[1];

    while (field->len > 1 && field->data[field->len - 1] == '/') {
        field->data[--field->len] = '\0';
    }

    if (field->len == 0) {
        return "needs a directory";
    }

    if (ngx_conf_full_name(cf->cycle, field, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* armoriq_audit DIR [durability=fsync|write] */

static char *
ngx_armoriq_audit(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_armoriq_main_conf_t *amcf = conf;

    ngx_str_t  *value;

    value = cf->args->elts;

    if (cf->args->nelts == 3) {

        if (ngx_strcmp(value[2].data, "durability=fsync") == 0) {
            amcf->durability = AIQ_AUDIT_FSYNC;

        } else if (ngx_strcmp(value[2].data, "durability=write") == 0) {
            amcf->durability = 0;

        } else {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\", it must be "
                               "\"durability=fsync\" or \"durability=write\"",
                               &value[2]);
            return NGX_CONF_ERROR;
        }
    }

    return ngx_armoriq_dir(cf, cmd, conf);
}


/* armoriq_mcp NAME [protocol=YYYY-MM-DD] [stateless] */

static char *
ngx_armoriq_mcp(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_armoriq_loc_conf_t *alcf = conf;

    aiq_str_t                   name;
    ngx_str_t                  *value;
    ngx_uint_t                  i;
    ngx_armoriq_mcp_t          *mcp, **mcps;
    ngx_armoriq_srv_conf_t     *ascf;
    ngx_http_core_loc_conf_t   *clcf;

    if (alcf->mcp) {
        return "is duplicate";
    }

    /* subrequests and redirects go by URI: it has to lead back here */

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->named
#if (NGX_PCRE)
        || clcf->regex
#endif
       )
    {
        return "is allowed in prefix and exact locations only";
    }

    value = cf->args->elts;
    name = ngx_armoriq_str(value[1]);

    if (!aiq_name_ok(name)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the name of an MCP server has 1 to %d bytes and "
                           "no control characters", AIQ_NAME_MAX);
        return NGX_CONF_ERROR;
    }

    ascf = ngx_http_conf_get_module_srv_conf(cf, ngx_armoriq_module);
    mcps = ascf->mcps.elts;

    for (i = 0; i < ascf->mcps.nelts; i++) {

        if (aiq_str_eq(ngx_armoriq_str(mcps[i]->name), name)) {
            return "names the same MCP server twice in one server{}";
        }
    }

    mcp = ngx_pcalloc(cf->pool, sizeof(ngx_armoriq_mcp_t));
    mcps = ngx_array_push(&ascf->mcps);

    if (mcp == NULL || mcps == NULL) {
        return NGX_CONF_ERROR;
    }

    *mcps = mcp;
    alcf->mcp = mcp;

    mcp->name = value[1];
    mcp->uri = clcf->name;
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


/* armoriq_limit rate=Nr/s|r/m|r/h [burst=N] [key=org|user|agent|tool|...] */

static char *
ngx_armoriq_limit(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_armoriq_loc_conf_t *alcf = conf;

    char                     *rv;
    ngx_int_t                 n;
    ngx_str_t                *value, s;
    ngx_uint_t                i;
    aiq_limit_rule_t         *rule;
    ngx_armoriq_main_conf_t  *amcf;

    if (alcf->limits == NULL) {
        alcf->limits = ngx_array_create(cf->pool, 2,
                                        sizeof(aiq_limit_rule_t));
        if (alcf->limits == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    rule = ngx_array_push(alcf->limits);
    if (rule == NULL) {
        return NGX_CONF_ERROR;
    }

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_armoriq_module);

    ngx_memzero(rule, sizeof(aiq_limit_rule_t));

    rule->limit.burst = NGX_MAX_INT_T_VALUE;
    rule->id = (uint32_t) ++amcf->nlimits;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "rate=", 5) == 0
            && rule->limit.calls == 0)
        {
            rv = ngx_armoriq_limit_rate(cf, &value[i], &rule->limit);

        } else if (ngx_strncmp(value[i].data, "key=", 4) == 0
                   && rule->keys == 0)
        {
            rv = ngx_armoriq_limit_keys(cf, &value[i], &rule->keys);

        } else if (ngx_strncmp(value[i].data, "burst=", 6) == 0
                   && rule->limit.burst == NGX_MAX_INT_T_VALUE)
        {
            s.data = value[i].data + 6;
            s.len = value[i].len - 6;

            n = ngx_atoi(s.data, s.len);
            rv = (n < 0 || n > 1000000) ? NGX_CONF_ERROR : NGX_CONF_OK;
            rule->limit.burst = (uint64_t) n;

        } else {
            rv = NGX_CONF_ERROR;
        }

        if (rv != NGX_CONF_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\", write "
                               "\"rate=10r/s\", \"burst=20\" or "
                               "\"key=user\", each once (org, user, agent, "
                               "tool, mcp, token, several joined by \"+\")",
                               &value[i]);
            return NGX_CONF_ERROR;
        }
    }

    if (rule->limit.calls == 0) {
        return "needs \"rate=\"";
    }

    if (rule->limit.burst == NGX_MAX_INT_T_VALUE) {
        rule->limit.burst = 0;
    }

    if (rule->keys == 0) {
        rule->keys = 1 << AIQ_LIMIT_USER;
    }

    return NGX_CONF_OK;
}


static char *
ngx_armoriq_limit_rate(ngx_conf_t *cf, ngx_str_t *value, aiq_limit_t *limit)
{
    u_char     *p, *last;
    ngx_int_t   n;

    p = value->data + 5;
    last = value->data + value->len;

    if (last - p < 4 || ngx_strncmp(last - 3, "r/", 2) != 0) {
        return NGX_CONF_ERROR;
    }

    switch (last[-1]) {

    case 's':
        limit->period = 1000;
        break;

    case 'm':
        limit->period = 60 * 1000;
        break;

    case 'h':
        limit->period = 3600 * 1000;
        break;

    default:
        return NGX_CONF_ERROR;
    }

    n = ngx_atoi(p, last - 3 - p);

    if (n <= 0 || n > 1000000) {
        return NGX_CONF_ERROR;
    }

    limit->calls = (uint64_t) n;

    return NGX_CONF_OK;
}


static char *
ngx_armoriq_limit_keys(ngx_conf_t *cf, ngx_str_t *value, unsigned *keys)
{
    size_t       len;
    u_char      *p, *last, *next;
    ngx_uint_t   i;

    static ngx_str_t  names[] = {
        ngx_string("org"),                 /* AIQ_LIMIT_ORG and so on */
        ngx_string("user"),
        ngx_string("agent"),
        ngx_string("tool"),
        ngx_string("mcp"),
        ngx_string("token")
    };

    *keys = 0;

    p = value->data + 4;
    last = value->data + value->len;

    for ( ;; ) {
        next = ngx_strlchr(p, last, '+');
        len = (size_t) ((next ? next : last) - p);

        for (i = 0; i < 6; i++) {

            if (len == names[i].len
                && ngx_strncmp(p, names[i].data, len) == 0)
            {
                *keys |= 1u << i;
                break;
            }
        }

        if (i == 6) {
            return NGX_CONF_ERROR;
        }

        if (next == NULL) {
            return NGX_CONF_OK;
        }

        p = next + 1;
    }
}


/* armoriq_invoke on, armoriq_api on: locations that we answer ourselves */

static char *
ngx_armoriq_content(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char *p = conf;

    char                      *rv;
    ngx_armoriq_main_conf_t   *amcf;
    ngx_http_core_loc_conf_t  *clcf;

    rv = ngx_conf_set_flag_slot(cf, cmd, conf);

    if (rv != NGX_CONF_OK || !*(ngx_flag_t *) (p + cmd->offset)) {
        return rv;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_armoriq_module);
    amcf->used = 1;

    if (cmd->offset == offsetof(ngx_armoriq_loc_conf_t, api)) {
        amcf->api = 1;
        clcf->handler = ngx_armoriq_api_handler;

    } else {
        clcf->handler = ngx_armoriq_invoke_handler;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_armoriq_init(ngx_conf_t *cf)
{
    char                       *rv;
    ngx_uint_t                  i;
    ngx_http_handler_pt        *h;
    ngx_armoriq_main_conf_t    *amcf;
    ngx_http_core_main_conf_t  *cmcf;

    static const struct {
        ngx_http_phases         phase;
        ngx_http_handler_pt     handler;
    } phases[] = {
        { NGX_HTTP_PREACCESS_PHASE, ngx_armoriq_preaccess_handler },
        { NGX_HTTP_ACCESS_PHASE, ngx_armoriq_access_handler },
        { NGX_HTTP_PRECONTENT_PHASE, ngx_armoriq_gate_handler },
        { NGX_HTTP_LOG_PHASE, ngx_armoriq_log_handler }
    };

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_armoriq_module);

    rv = ngx_armoriq_check_conf(cf, amcf);

    if (rv != NGX_CONF_OK) {

        if (rv != NGX_CONF_ERROR) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "\"armoriq\" %s", rv);
        }

        return NGX_ERROR;
    }

    if (amcf->used) {
        amcf->thread_pool = ngx_thread_pool_add(cf, NULL);

        if (amcf->thread_pool == NULL) {
            return NGX_ERROR;
        }
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    for (i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {

        h = ngx_array_push(&cmcf->phases[phases[i].phase].handlers);
        if (h == NULL) {
            return NGX_ERROR;
        }

        *h = phases[i].handler;
    }

    if (ngx_armoriq_guard_init(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_armoriq_invoke_filter_init(cf);
}
