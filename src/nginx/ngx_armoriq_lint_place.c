
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The rules of one location with "armoriq on".
 */


#include "ngx_armoriq_lint.h"


static void ngx_armoriq_lint_core(ngx_armoriq_lint_t *lint);
static void ngx_armoriq_lint_filters(ngx_armoriq_lint_t *lint);
static void ngx_armoriq_lint_pass(ngx_armoriq_lint_t *lint,
    ngx_armoriq_lint_upstream_t *u);
static void ngx_armoriq_lint_proxy(ngx_armoriq_lint_t *lint);
static void ngx_armoriq_lint_headers(ngx_armoriq_lint_t *lint, char *module,
    char *name);
static void ngx_armoriq_lint_target(ngx_armoriq_lint_t *lint);


void
ngx_armoriq_lint_place(ngx_armoriq_lint_t *lint)
{
    ngx_uint_t                   i;
    ngx_armoriq_lint_upstream_t  u;

    if (!lint->alcf->enable) {
        return;
    }

    ngx_armoriq_lint_core(lint);
    ngx_armoriq_lint_filters(lint);

    for (i = 0; ngx_armoriq_lint_upstream(lint, i, &u); i++) {

        if (u.conf == NULL || (u.conf->upstream == NULL && !lint->dynamic)) {
            continue;
        }

        ngx_armoriq_lint_pass(lint, &u);

        if (ngx_strcmp(u.name, "proxy") == 0) {
            ngx_armoriq_lint_proxy(lint);

        } else if (ngx_strcmp(u.name, "grpc") == 0) {
            ngx_armoriq_lint_headers(lint, "ngx_http_grpc_module",
                                     "grpc_set_header");
        }
    }

    ngx_armoriq_lint_target(lint);
}


static void
ngx_armoriq_lint_core(ngx_armoriq_lint_t *lint)
{
    ngx_uint_t          i;
    aiq_method_rule_t  *rule;

    if (lint->clcf->satisfy == NGX_HTTP_SATISFY_ANY) {
        ngx_armoriq_lint_report(lint, AIQ_LINT_SATISFY, NULL);
    }

    if (lint->clcf->post_action.len) {
        ngx_armoriq_lint_report(lint, AIQ_LINT_POST_ACTION, "post_action %V",
                                &lint->clcf->post_action);
    }

    if (!lint->clcf->noname && ngx_armoriq_lint_returns(lint)) {
        ngx_armoriq_lint_report(lint, AIQ_LINT_RETURN, NULL);
    }

    if (lint->alcf->methods == NULL) {
        return;
    }

    rule = lint->alcf->methods->elts;

    for (i = 0; i < lint->alcf->methods->nelts; i++) {

        if (aiq_str_is(rule[i].name, "tools/call")
            && rule[i].need == AIQ_NEED_IDENTITY)
        {
            ngx_armoriq_lint_report(lint, AIQ_LINT_IDENTITY, NULL);
        }
    }
}


static void
ngx_armoriq_lint_filters(ngx_armoriq_lint_t *lint)
{
    size_t      *size;
    ngx_str_t   *s;
    ngx_flag_t  *flag;
    ngx_uint_t   i;

    static char *const  additions[] = { "add_before_body", "add_after_body" };

    if (ngx_armoriq_lint_mirrors(lint)) {
        ngx_armoriq_lint_report(lint, AIQ_LINT_MIRROR, NULL);
    }

    size = ngx_armoriq_lint_slot(lint, "ngx_http_slice_filter_module",
                                 "slice", ngx_conf_set_size_slot);

    if (size && *size && *size != NGX_CONF_UNSET_SIZE) {
        ngx_armoriq_lint_report(lint, AIQ_LINT_SLICE, "slice %uz", *size);
    }

    flag = ngx_armoriq_lint_slot(lint, "ngx_http_ssi_filter_module", "ssi",
                                 ngx_conf_set_flag_slot);

    if (flag && *flag == 1) {
        ngx_armoriq_lint_report(lint, AIQ_LINT_SSI, NULL);
    }

    for (i = 0; i < 2; i++) {

        s = ngx_armoriq_lint_slot(lint, "ngx_http_addition_filter_module",
                                  additions[i], ngx_conf_set_str_slot);

        if (s && s->len) {
            ngx_armoriq_lint_report(lint, AIQ_LINT_ADDITION, "%s %V",
                                    additions[i], s);
        }
    }

    if (ngx_armoriq_lint_substitutes(lint)) {
        ngx_armoriq_lint_report(lint, AIQ_LINT_BODY_FILTER, "sub_filter");
    }
}


/* what all that send requests to upstreams have in common */

static void
ngx_armoriq_lint_pass(ngx_armoriq_lint_t *lint, ngx_armoriq_lint_upstream_t *u)
{
    ngx_uint_t                 whole;
    ngx_http_upstream_conf_t  *conf;

    conf = u->conf;

    /* it sends a key, never a request */

    if (ngx_strcmp(u->name, "memcached") == 0) {
        return;
    }

    if (conf->pass_request_body == 0) {
        ngx_armoriq_lint_report(lint, AIQ_LINT_PASS_BODY,
                                "%s_pass_request_body off", u->name);
    }

    if (conf->pass_request_headers == 0) {
        ngx_armoriq_lint_report(lint, AIQ_LINT_PASS_HEADERS,
                                "%s_pass_request_headers off", u->name);
    }

#if (NGX_HTTP_CACHE || NGX_COMPAT)

    if (conf->cache == 1) {
        ngx_armoriq_lint_report(lint, AIQ_LINT_CACHE, "%s_cache", u->name);
    }

#endif

    if (conf->store == 1) {
        ngx_armoriq_lint_report(lint, AIQ_LINT_STORE, "%s_store", u->name);
    }

    if (conf->next_upstream & NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT) {
        ngx_armoriq_lint_report(lint, AIQ_LINT_RETRY,
                                "%s_next_upstream non_idempotent", u->name);
    }

    /* if it is not known who sends, a default says nothing */

    if (conf->upstream && conf->read_timeout < AIQ_LINT_SILENCE) {
        whole = (conf->read_timeout % 1000 == 0);

        ngx_armoriq_lint_report(lint, AIQ_LINT_READ_TIMEOUT,
                                "%s_read_timeout %M%s", u->name,
                                whole ? conf->read_timeout / 1000
                                      : conf->read_timeout,
                                whole ? "s" : "ms");
    }
}


static void
ngx_armoriq_lint_proxy(ngx_armoriq_lint_t *lint)
{
    ngx_str_t                  *s;
    ngx_http_complex_value_t  **value;

    static char  module[] = "ngx_http_proxy_module";

    s = ngx_armoriq_lint_slot(lint, module, "proxy_set_body",
                              ngx_conf_set_str_slot);

    /* an empty body is another one, too */

    if (s && s->data) {
        ngx_armoriq_lint_report(lint, AIQ_LINT_SET_BODY, NULL);
    }

    value = ngx_armoriq_lint_slot(lint, module, "proxy_method",
                                  ngx_http_set_complex_value_slot);

    if (value && *value && *value != NGX_CONF_UNSET_PTR) {
        ngx_armoriq_lint_report(lint, AIQ_LINT_METHOD, "proxy_method %V",
                                &(*value)->value);
    }

    ngx_armoriq_lint_headers(lint, module, "proxy_set_header");
}


static void
ngx_armoriq_lint_headers(ngx_armoriq_lint_t *lint, char *module, char *name)
{
    ngx_uint_t      i, host;
    ngx_array_t   **headers;
    ngx_keyval_t   *h;
    aiq_lint_id_e   id;

    headers = ngx_armoriq_lint_slot(lint, module, name,
                                    ngx_conf_set_keyval_slot);

    if (headers == NULL || *headers == NGX_CONF_UNSET_PTR) {
        return;
    }

    host = (ngx_strcmp(name, "proxy_set_header") != 0);

    for (i = 0; *headers && i < (*headers)->nelts; i++) {
        h = (ngx_keyval_t *) (*headers)->elts + i;

        if (aiq_lint_same(ngx_armoriq_str(h->key), "Host")
            && aiq_lint_host(ngx_armoriq_str(h->value)))
        {
            host = 1;
        }

        id = aiq_lint_header(ngx_armoriq_str(h->key),
                             ngx_armoriq_str(h->value));

        if (id != AIQ_LINT_N) {
            ngx_armoriq_lint_report(lint, id, "%s %V %V", name, &h->key,
                                    &h->value);
        }
    }

    if (!host) {
        ngx_armoriq_lint_report(lint, AIQ_LINT_HOST,
                                "proxy_set_header Host $proxy_host");
    }
}


static void
ngx_armoriq_lint_target(ngx_armoriq_lint_t *lint)
{
    char                          *name;
    ngx_http_upstream_srv_conf_t  *uscf, **loose;

    if (lint->dynamic) {
        ngx_armoriq_lint_report(lint, AIQ_LINT_DYNAMIC,
                                "proxy_pass with variables, or a handler of "
                                "another module");
        return;
    }

    uscf = ngx_armoriq_lint_leads(lint, &name);

    if (uscf == NULL || ngx_armoriq_lint_guarded(uscf)) {
        return;
    }

    loose = ngx_array_push(&lint->loose);

    if (loose) {
        *loose = uscf;
    }

    ngx_armoriq_lint_report(lint, AIQ_LINT_UNGUARDED, "%s_pass %V", name,
                            &uscf->host);
}
