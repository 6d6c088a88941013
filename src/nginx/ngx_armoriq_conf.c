
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Setters of the directives that concern the whole server, of limits, and of
 * the locations that we answer ourselves.
 */


#include "ngx_armoriq_conf.h"


static char *ngx_armoriq_limit_rate(ngx_conf_t *cf, ngx_str_t *value,
    aiq_limit_t *limit);
static char *ngx_armoriq_limit_keys(ngx_conf_t *cf, ngx_str_t *value,
    unsigned *keys);


char *
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

    alcf->file = cf->conf_file->file.name.data;
    alcf->line = cf->conf_file->line;

    return rv;
}


/* a directory, relative to the prefix as all paths of nginx */

char *
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


/* armoriq_limit rate=Nr/s|r/m|r/h [burst=N] [key=org|user|agent|tool|...] */

char *
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


/* armoriq_invoke, armoriq_api, armoriq_audit_proof: we answer ourselves */

char *
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

    } else if (cmd->offset == offsetof(ngx_armoriq_loc_conf_t, proof)) {
        clcf->handler = ngx_armoriq_proof_handler;

    } else {
        clcf->handler = ngx_armoriq_invoke_handler;
    }

    return NGX_CONF_OK;
}


/*
 * Called by the merge, in which cf->ctx has the configuration of the location
 * at hand: "if" and "limit_except" are found in no list later on.
 */

char *
ngx_armoriq_conf_place(ngx_conf_t *cf, ngx_armoriq_loc_conf_t *alcf)
{
    ngx_http_conf_ctx_t      *ctx;
    ngx_armoriq_place_t      *place;
    ngx_armoriq_main_conf_t  *amcf;

    ctx = cf->ctx;

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_armoriq_module);

    if (amcf->places == NULL) {
        amcf->places = ngx_array_create(cf->temp_pool, 16,
                                        sizeof(ngx_armoriq_place_t));
        if (amcf->places == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    place = ngx_array_push(amcf->places);
    if (place == NULL) {
        return NGX_CONF_ERROR;
    }

    place->conf = alcf;
    place->srv_conf = ctx->srv_conf;
    place->loc_conf = ctx->loc_conf;

    return NGX_CONF_OK;
}
