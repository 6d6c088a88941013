
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The front door: directives, configurations, phases.  Nothing else.
 */


#include "ngx_armoriq_conf.h"


static void *ngx_armoriq_create_main_conf(ngx_conf_t *cf);
static void *ngx_armoriq_create_srv_conf(ngx_conf_t *cf);
static void *ngx_armoriq_create_loc_conf(ngx_conf_t *cf);
static char *ngx_armoriq_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_armoriq_preinit(ngx_conf_t *cf);
static ngx_int_t ngx_armoriq_init(ngx_conf_t *cf);


static ngx_conf_enum_t  ngx_armoriq_params[] = {
    { ngx_string("planned"), AIQ_PARAMS_PLANNED },
    { ngx_string("strict"), AIQ_PARAMS_STRICT },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_armoriq_lints[] = {
    { ngx_string("error"), NGX_ARMORIQ_LINT_ERROR },
    { ngx_string("warn"), NGX_ARMORIQ_LINT_WARN },
    { ngx_string("off"), NGX_ARMORIQ_LINT_OFF },
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
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_armoriq_audit,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_armoriq_main_conf_t, audit),
      NULL },

    { ngx_string("armoriq_audit_witness"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_armoriq_audit_witness,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
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

    { ngx_string("armoriq_org"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_armoriq_org,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_armoriq_loc_conf_t, org),
      NULL },

    { ngx_string("armoriq_origins"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_armoriq_origins,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("armoriq_method"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_2MORE,
      ngx_armoriq_method,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("armoriq_resource"),
      NGX_HTTP_LOC_CONF|NGX_CONF_2MORE,
      ngx_armoriq_resource,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("armoriq_metadata"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_armoriq_metadata,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_armoriq_loc_conf_t, metadata),
      NULL },

    { ngx_string("armoriq_audit_proof"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_armoriq_content,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_armoriq_loc_conf_t, proof),
      NULL },

    { ngx_string("armoriq_list_filter"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_armoriq_loc_conf_t, list_filter),
      NULL },

    { ngx_string("armoriq_max_list"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_armoriq_loc_conf_t, max_list),
      NULL },

    { ngx_string("armoriq_dry_run"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_armoriq_loc_conf_t, dry_run),
      NULL },

    { ngx_string("armoriq_lint"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_armoriq_loc_conf_t, lint),
      &ngx_armoriq_lints },

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
    ngx_armoriq_preinit,                   /* preconfiguration */
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
    ngx_armoriq_life_reload,               /* init module */
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
     *     conf->places = NULL;
     *     conf->used = 0;
     *     conf->api = 0;
     */

    conf->durability = AIQ_AUDIT_FSYNC;
    conf->checkpoint = NGX_ARMORIQ_CHECKPOINT;
    conf->checkpoint_records = NGX_ARMORIQ_CHECKPOINT_RECORDS;
    conf->keep.rotate = NGX_ARMORIQ_ROTATE;
    conf->keep.reserve = NGX_ARMORIQ_RESERVE;
    conf->heartbeat = NGX_ARMORIQ_HEARTBEAT;

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
     *     conf->metadata = 0;
     */

    if (conf == NULL
        || ngx_array_init(&conf->mcps, cf->pool, 4,
                          sizeof(ngx_armoriq_mcp_t *))
           != NGX_OK
        || ngx_array_init(&conf->resources, cf->pool, 4,
                          sizeof(ngx_armoriq_resource_t *))
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
     *     conf->resource = NULL;
     *     conf->org = { 0, NULL };
     *     conf->origins = NULL;
     *     conf->methods = NULL;
     *     conf->file = NULL;
     *     conf->line = 0;
     */

    conf->enable = NGX_CONF_UNSET;
    conf->dry_run = NGX_CONF_UNSET;
    conf->step_uses = NGX_CONF_UNSET;
    conf->invoke = NGX_CONF_UNSET;
    conf->api = NGX_CONF_UNSET;
    conf->list_filter = NGX_CONF_UNSET;
    conf->metadata = NGX_CONF_UNSET;
    conf->proof = NGX_CONF_UNSET;
    conf->params = NGX_CONF_UNSET_UINT;
    conf->lint = NGX_CONF_UNSET_UINT;
    conf->max_body = NGX_CONF_UNSET_SIZE;
    conf->max_list = NGX_CONF_UNSET_SIZE;

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
    ngx_conf_merge_uint_value(conf->lint, prev->lint, NGX_ARMORIQ_LINT_ERROR);
    ngx_conf_merge_size_value(conf->max_body, prev->max_body,
                              NGX_ARMORIQ_MAX_BODY);

    ngx_conf_merge_value(conf->list_filter, prev->list_filter, 1);
    ngx_conf_merge_size_value(conf->max_list, prev->max_list,
                              NGX_ARMORIQ_MAX_LIST);
    ngx_conf_merge_str_value(conf->org, prev->org, "");

    if (conf->limits == NULL) {
        conf->limits = prev->limits;
    }

    if (conf->origins == NULL) {
        conf->origins = prev->origins;
    }

    if (conf->methods == NULL) {
        conf->methods = prev->methods;
    }

    if (conf->file == NULL) {
        conf->file = prev->file;
        conf->line = prev->line;
    }

    if (ngx_armoriq_resource_merge(cf, prev, conf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    /* "if" and "limit_except" have configurations of their own, in which
       the content handler and the server of their location still hold */

    if (conf->mcp == NULL) {
        conf->mcp = prev->mcp;
    }

    ngx_conf_merge_value(conf->invoke, prev->invoke, 0);
    ngx_conf_merge_value(conf->api, prev->api, 0);
    ngx_conf_merge_value(conf->metadata, prev->metadata, 0);
    ngx_conf_merge_value(conf->proof, prev->proof, 0);

    return ngx_armoriq_conf_place(cf, conf);
}


static ngx_int_t
ngx_armoriq_preinit(ngx_conf_t *cf)
{
    if (ngx_armoriq_digest_begin(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_armoriq_add_variables(cf);
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

        if (ngx_armoriq_digest_end(cf, amcf) != NGX_OK) {
            return NGX_ERROR;
        }

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

    if (ngx_armoriq_invoke_filter_init(cf) != NGX_OK
        || ngx_armoriq_response_init(cf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_armoriq_resource_check(cf);

    return ngx_armoriq_lint(cf);
}
