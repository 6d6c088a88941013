
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What must not, or should not, stand beside "armoriq on".  The rules are in
 * src/core/lint.c, "armoriqctl lint" has the same.  Merged configurations
 * have no line numbers of single directives, so a message says where the
 * "armoriq" in force is; armoriqctl says the line itself.
 */


#include "ngx_armoriq_lint.h"


static void ngx_armoriq_lint_at(ngx_armoriq_lint_t *lint,
    ngx_armoriq_place_t *place);
static void ngx_armoriq_lint_open(ngx_armoriq_lint_t *lint);
static void ngx_armoriq_lint_server(ngx_armoriq_lint_t *lint,
    ngx_armoriq_place_t *place, ngx_uint_t n);
static void ngx_armoriq_lint_exception(ngx_armoriq_lint_t *lint,
    ngx_armoriq_place_t *place, ngx_uint_t n);
static u_char *ngx_armoriq_lint_where(ngx_armoriq_lint_t *lint, u_char *p,
    u_char *last);


ngx_int_t
ngx_armoriq_lint(ngx_conf_t *cf)
{
    ngx_uint_t                i, n;
    ngx_armoriq_lint_t        lint;
    ngx_armoriq_place_t      *place;
    ngx_armoriq_loc_conf_t   *http;
    ngx_armoriq_main_conf_t  *amcf;

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_armoriq_module);
    http = ngx_http_conf_get_module_loc_conf(cf, ngx_armoriq_module);

    if (!amcf->used || amcf->places == NULL) {
        amcf->places = NULL;
        return NGX_OK;
    }

    ngx_memzero(&lint, sizeof(ngx_armoriq_lint_t));

    lint.cf = cf;

    if (ngx_array_init(&lint.loose, cf->temp_pool, 4,
                       sizeof(ngx_http_upstream_srv_conf_t *))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    place = amcf->places->elts;
    n = amcf->places->nelts;

    for (i = 0; i < n; i++) {
        ngx_armoriq_lint_at(&lint, &place[i]);

        if (!lint.whole) {
            ngx_armoriq_lint_place(&lint);
        }
    }

    /* now it is known which upstreams are behind a permit, and which servers
       have one: places of a server follow that of the server itself */

    for (i = 0; i < n; i++) {
        ngx_armoriq_lint_at(&lint, &place[i]);

        if (lint.whole) {
            ngx_armoriq_lint_server(&lint, &place[i], n - i);

        } else {
            ngx_armoriq_lint_open(&lint);
        }

        if (lint.mixed || http->enable == 1) {
            ngx_armoriq_lint_exception(&lint, place, i);
        }
    }

    /* it is in the temporary pool */

    amcf->places = NULL;

    return lint.errors ? NGX_ERROR : NGX_OK;
}


static void
ngx_armoriq_lint_at(ngx_armoriq_lint_t *lint, ngx_armoriq_place_t *place)
{
    char                      *name;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = place->loc_conf[ngx_http_core_module.ctx_index];

    lint->place = place;
    lint->alcf = place->conf;
    lint->clcf = clcf;
    lint->cscf = place->srv_conf[ngx_http_core_module.ctx_index];

    lint->whole = (clcf->name.len == 0);

    /* "if" and "limit_except" repeat what their location has, and they are
       merged after it */

    if (clcf->noname) {
        lint->outer |= lint->found;

    } else {
        lint->outer = 0;
        lint->dynamic = 0;
    }

    lint->found = 0;

    if (clcf->handler && clcf->handler != ngx_armoriq_api_handler
        && clcf->handler != ngx_armoriq_invoke_handler
        && clcf->handler != ngx_armoriq_metadata_handler
        && clcf->handler != ngx_armoriq_proof_handler)
    {
        lint->dynamic = 1;
    }

    if (ngx_armoriq_lint_leads(lint, &name)) {
        lint->dynamic = 0;
    }
}


/* server{} itself: anything to protect in it? */

static void
ngx_armoriq_lint_server(ngx_armoriq_lint_t *lint, ngx_armoriq_place_t *place,
    ngx_uint_t n)
{
    ngx_flag_t  *early;
    ngx_uint_t   i;

    for (i = 0; i < n && place[i].srv_conf == place->srv_conf; i++) {
        if (place[i].conf->enable) {
            break;
        }
    }

    lint->mixed = (i < n && place[i].srv_conf == place->srv_conf);

    if (!lint->mixed) {
        return;
    }

    if (lint->cscf->underscores_in_headers) {
        ngx_armoriq_lint_report(lint, AIQ_LINT_UNDERSCORES, NULL);
    }

    if (!lint->cscf->ignore_invalid_headers) {
        ngx_armoriq_lint_report(lint, AIQ_LINT_INVALID_HEADERS, NULL);
    }

    if (!lint->cscf->merge_slashes) {
        ngx_armoriq_lint_report(lint, AIQ_LINT_MERGE_SLASHES, NULL);
    }

    early = ngx_armoriq_lint_slot(lint, "ngx_http_ssl_module",
                                  "ssl_early_data", ngx_conf_set_flag_slot);

    if (early && *early == 1) {
        ngx_armoriq_lint_report(lint, AIQ_LINT_EARLY_DATA, NULL);
    }
}


/* each "armoriq off" once, however many locations inherit it */

static void
ngx_armoriq_lint_exception(ngx_armoriq_lint_t *lint,
    ngx_armoriq_place_t *place, ngx_uint_t n)
{
    ngx_uint_t               i;
    ngx_armoriq_loc_conf_t  *alcf;

    alcf = lint->alcf;

    if (alcf->enable || alcf->file == NULL) {
        return;
    }

    for (i = n; i-- > 0; /* void */ ) {

        if (place[i].conf->line == alcf->line
            && place[i].conf->file == alcf->file)
        {
            return;
        }

        if (place[i].srv_conf != place[n].srv_conf) {
            break;
        }
    }

    ngx_armoriq_lint_report(lint, AIQ_LINT_OFF, NULL);
}


/* a location without "armoriq on" */

static void
ngx_armoriq_lint_open(ngx_armoriq_lint_t *lint)
{
    char                           *name;
    ngx_uint_t                      i;
    ngx_http_upstream_srv_conf_t   *uscf, **loose;

    if (lint->alcf->enable) {
        return;
    }

    if (lint->alcf->mcp) {
        ngx_armoriq_lint_report(lint, AIQ_LINT_MCP_OFF, NULL);
    }

    if (lint->alcf->invoke) {
        ngx_armoriq_lint_report(lint, AIQ_LINT_INVOKE_OFF, NULL);
    }

    uscf = ngx_armoriq_lint_leads(lint, &name);

    if (uscf == NULL || ngx_armoriq_lint_guarded(uscf)) {
        return;
    }

    loose = lint->loose.elts;

    for (i = 0; i < lint->loose.nelts; i++) {

        if (loose[i] == uscf) {
            ngx_armoriq_lint_report(lint, AIQ_LINT_BYPASS, "%s_pass %V",
                                    name, &uscf->host);
            return;
        }
    }

    if (lint->alcf->file == NULL && lint->mixed) {
        ngx_armoriq_lint_report(lint, AIQ_LINT_OPEN, "%s_pass %V", name,
                                &uscf->host);
    }
}


void
ngx_armoriq_lint_report(ngx_armoriq_lint_t *lint, aiq_lint_id_e id,
    const char *fmt, ...)
{
    u_char     *p, text[NGX_ARMORIQ_LINT_TEXT], place[NGX_MAX_CONF_ERRSTR];
    u_char      message[NGX_MAX_ERROR_STR];
    va_list     args;
    uint64_t    bit;
    ngx_str_t   s;
    ngx_uint_t  level;
    aiq_out_t   out;
    aiq_str_t   what, where;

    if (lint->alcf->lint == NGX_ARMORIQ_LINT_OFF
        || !aiq_lint_concerns(id, lint->alcf->enable || lint->whole,
                              lint->alcf->mcp != NULL))
    {
        return;
    }

    bit = (uint64_t) 1 << id;

    lint->found |= bit;

    if (lint->clcf->noname && (lint->outer & bit)) {
        return;
    }

    level = NGX_LOG_WARN;

    switch (aiq_lint_level_of(id, lint->alcf->dry_run)) {

    case AIQ_LINT_ERROR:

        if (lint->alcf->lint == NGX_ARMORIQ_LINT_ERROR) {
            level = NGX_LOG_EMERG;
            lint->errors++;
        }

        break;

    case AIQ_LINT_NOTE:
        level = NGX_LOG_NOTICE;
        break;

    default:
        break;
    }

    what.data = text;
    what.len = 0;

    if (fmt) {
        va_start(args, fmt);
        p = ngx_vslprintf(text, text + NGX_ARMORIQ_LINT_TEXT, fmt, args);
        va_end(args);

        what.len = p - text;
    }

    p = ngx_armoriq_lint_where(lint, place, place + NGX_MAX_CONF_ERRSTR);

    where.data = place;
    where.len = p - place;

    aiq_out_init(&out, message, NGX_MAX_ERROR_STR);
    aiq_lint_write(&out, id, what, where);

    s.data = message;
    s.len = aiq_out_done(&out).len;

    ngx_log_error(level, lint->cf->log, 0, "armoriq: %V", &s);
}


/* location "/mcp" ("armoriq on" in /etc/nginx/nginx.conf:42) */

static u_char *
ngx_armoriq_lint_where(ngx_armoriq_lint_t *lint, u_char *p, u_char *last)
{
    char  *on, *kind;

    on = lint->alcf->enable ? "on" : "off";

    if (lint->whole) {

        if (lint->alcf->enable || lint->alcf->file == NULL) {
            return ngx_slprintf(p, last, "server{} in %s:%ui",
                                lint->cscf->file_name, lint->cscf->line);
        }

        return ngx_slprintf(p, last, "server{} (\"armoriq off\" in %s:%ui)",
                            lint->alcf->file, lint->alcf->line);
    }

    kind = lint->clcf->lmt_excpt ? "\"limit_except\" in "
           : lint->clcf->noname ? "\"if\" in " : "";

    p = ngx_slprintf(p, last, "%slocation \"%V\"", kind, &lint->clcf->name);

    if (lint->alcf->file) {
        return ngx_slprintf(p, last, " (\"armoriq %s\" in %s:%ui)", on,
                            lint->alcf->file, lint->alcf->line);
    }

    return ngx_slprintf(p, last, " (server{} in %s:%ui)",
                        lint->cscf->file_name, lint->cscf->line);
}


ngx_uint_t
ngx_armoriq_lint_guarded(ngx_http_upstream_srv_conf_t *uscf)
{
    ngx_armoriq_srv_conf_t  *ascf;

    /* that of proxy_pass http://192.0.2.1; has no configuration */

    if (uscf->srv_conf == NULL) {
        return 0;
    }

    ascf = ngx_http_conf_upstream_srv_conf(uscf, ngx_armoriq_module);

    return ascf->guard;
}
