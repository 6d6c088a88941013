
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What other modules were told.  None of their symbols is linked to, so that
 * an nginx without them loads us as well; and nothing is guessed: a value is
 * read only where its directive says that it is, with a setter that says what
 * it is.
 */


#include "ngx_armoriq_lint.h"


typedef struct {
    char    *name;
    char    *module;
    char    *read_timeout;
    char    *next_upstream;
} ngx_armoriq_lint_kind_t;


/* as in ngx_http_mirror_module.c */

typedef struct {
    ngx_array_t  *mirror;
    ngx_flag_t    request_body;
} ngx_armoriq_lint_mirror_t;


/* the beginning of that in ngx_http_sub_filter_module.c */

typedef struct {
    ngx_uint_t    dynamic;
    ngx_array_t  *pairs;
    void         *tables;
    ngx_hash_t    types;
    ngx_flag_t    once;
    ngx_flag_t    last_modified;
} ngx_armoriq_lint_sub_t;


/* as in ngx_http_rewrite_module.c */

typedef struct {
    ngx_array_t  *codes;
    ngx_uint_t    stack_size;
    ngx_flag_t    log;
} ngx_armoriq_lint_rewrite_t;


static ngx_command_t *ngx_armoriq_lint_command(ngx_armoriq_lint_t *lint,
    char *module, char *name, void ***conf);
static void *ngx_armoriq_lint_whole(ngx_armoriq_lint_t *lint, char *module,
    char *name, ngx_armoriq_lint_set_pt set, size_t offset);


static ngx_armoriq_lint_kind_t  ngx_armoriq_lint_kinds[] = {

    { "proxy", "ngx_http_proxy_module",
      "proxy_read_timeout", "proxy_next_upstream" },

    { "grpc", "ngx_http_grpc_module",
      "grpc_read_timeout", "grpc_next_upstream" },

    { "fastcgi", "ngx_http_fastcgi_module",
      "fastcgi_read_timeout", "fastcgi_next_upstream" },

    { "uwsgi", "ngx_http_uwsgi_module",
      "uwsgi_read_timeout", "uwsgi_next_upstream" },

    { "scgi", "ngx_http_scgi_module",
      "scgi_read_timeout", "scgi_next_upstream" },

    { "memcached", "ngx_http_memcached_module",
      "memcached_read_timeout", "memcached_next_upstream" }
};


#define ngx_armoriq_lint_nkinds                                               \
    (sizeof(ngx_armoriq_lint_kinds) / sizeof(ngx_armoriq_lint_kinds[0]))


static ngx_command_t *
ngx_armoriq_lint_command(ngx_armoriq_lint_t *lint, char *module, char *name,
    void ***conf)
{
    ngx_uint_t      i;
    ngx_module_t   *m;
    ngx_command_t  *cmd;

    for (i = 0; lint->cf->cycle->modules[i]; i++) {
        m = lint->cf->cycle->modules[i];

        if (m->type != NGX_HTTP_MODULE || m->commands == NULL
            || ngx_strcmp(m->name, module) != 0)
        {
            continue;
        }

        for (cmd = m->commands; cmd->name.len; cmd++) {

            if (ngx_strcmp(cmd->name.data, name) != 0) {
                continue;
            }

            if (cmd->conf == NGX_HTTP_LOC_CONF_OFFSET) {
                *conf = &lint->place->loc_conf[m->ctx_index];
                return cmd;
            }

            if (cmd->conf == NGX_HTTP_SRV_CONF_OFFSET) {
                *conf = &lint->place->srv_conf[m->ctx_index];
                return cmd;
            }
        }

        return NULL;
    }

    return NULL;
}


void *
ngx_armoriq_lint_slot(ngx_armoriq_lint_t *lint, char *module, char *name,
    ngx_armoriq_lint_set_pt set)
{
    void           **conf;
    ngx_command_t   *cmd;

    cmd = ngx_armoriq_lint_command(lint, module, name, &conf);

    if (cmd == NULL || cmd->set != set || *conf == NULL) {
        return NULL;
    }

    return (u_char *) *conf + cmd->offset;
}


ngx_uint_t
ngx_armoriq_lint_upstream(ngx_armoriq_lint_t *lint, ngx_uint_t n,
    ngx_armoriq_lint_upstream_t *u)
{
    u_char                   *timeout, *next;
    ngx_armoriq_lint_kind_t  *kind;

    if (n >= ngx_armoriq_lint_nkinds) {
        return 0;
    }

    kind = &ngx_armoriq_lint_kinds[n];

    u->name = kind->name;
    u->conf = NULL;

    timeout = ngx_armoriq_lint_slot(lint, kind->module, kind->read_timeout,
                                    ngx_conf_set_msec_slot);
    next = ngx_armoriq_lint_slot(lint, kind->module, kind->next_upstream,
                                 ngx_conf_set_bitmask_slot);

    if (timeout == NULL || next == NULL) {
        return 1;
    }

    timeout -= offsetof(ngx_http_upstream_conf_t, read_timeout);
    next -= offsetof(ngx_http_upstream_conf_t, next_upstream);

    /* two directives that agree on where it begins: it is there */

    if (timeout == next) {
        u->conf = (ngx_http_upstream_conf_t *) timeout;
    }

    return 1;
}


ngx_http_upstream_srv_conf_t *
ngx_armoriq_lint_leads(ngx_armoriq_lint_t *lint, char **name)
{
    ngx_uint_t                   i;
    ngx_armoriq_lint_upstream_t  u;

    for (i = 0; ngx_armoriq_lint_upstream(lint, i, &u); i++) {

        if (u.conf && u.conf->upstream) {
            *name = u.name;
            return u.conf->upstream;
        }
    }

    return NULL;
}


/*
 * The whole configuration, if the directive is where our copy of its type
 * has it: a value beside it, which has no slot, is then where the copy says.
 */

static void *
ngx_armoriq_lint_whole(ngx_armoriq_lint_t *lint, char *module, char *name,
    ngx_armoriq_lint_set_pt set, size_t offset)
{
    void           **conf;
    ngx_command_t   *cmd;

    cmd = ngx_armoriq_lint_command(lint, module, name, &conf);

    return (cmd && cmd->set == set && cmd->offset == offset) ? *conf : NULL;
}


ngx_uint_t
ngx_armoriq_lint_mirrors(ngx_armoriq_lint_t *lint)
{
    ngx_armoriq_lint_mirror_t  *conf;

    conf = ngx_armoriq_lint_whole(lint, "ngx_http_mirror_module",
                                  "mirror_request_body",
                                  ngx_conf_set_flag_slot,
                                  offsetof(ngx_armoriq_lint_mirror_t,
                                           request_body));

    return conf && conf->mirror && conf->mirror != NGX_CONF_UNSET_PTR
           && conf->mirror->nelts;
}


ngx_uint_t
ngx_armoriq_lint_substitutes(ngx_armoriq_lint_t *lint)
{
    ngx_armoriq_lint_sub_t  *conf;

    conf = ngx_armoriq_lint_whole(lint, "ngx_http_sub_filter_module",
                                  "sub_filter_once", ngx_conf_set_flag_slot,
                                  offsetof(ngx_armoriq_lint_sub_t, once));

    if (conf != ngx_armoriq_lint_whole(lint, "ngx_http_sub_filter_module",
                                       "sub_filter_last_modified",
                                       ngx_conf_set_flag_slot,
                                       offsetof(ngx_armoriq_lint_sub_t,
                                                last_modified)))
    {
        return 0;
    }

    return conf && conf->pairs && conf->pairs != NGX_CONF_UNSET_PTR
           && conf->pairs->nelts;
}


/*
 * The codes of a location, those of its "if" blocks included, are of many
 * sizes, but each begins with the function that runs it.
 */

ngx_uint_t
ngx_armoriq_lint_returns(ngx_armoriq_lint_t *lint)
{
    ngx_uint_t                   i, n;
    ngx_http_script_code_pt     *code;
    ngx_armoriq_lint_rewrite_t  *conf;

    conf = ngx_armoriq_lint_whole(lint, "ngx_http_rewrite_module",
                                  "rewrite_log", ngx_conf_set_flag_slot,
                                  offsetof(ngx_armoriq_lint_rewrite_t, log));

    if (conf == NULL || conf->codes == NULL || conf->codes->size != 1) {
        return 0;
    }

    code = conf->codes->elts;
    n = conf->codes->nelts / sizeof(ngx_http_script_code_pt);

    for (i = 0; i < n; i++) {

        if (code[i] == ngx_http_script_return_code) {
            return 1;
        }
    }

    return 0;
}
