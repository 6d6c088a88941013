
/*
 * Copyright (C) ngx_armoriq authors
 *
 * $armoriq_...: what was found out, for logs, maps and headers.  Empty before
 * the ACCESS phase, and names of an unverified token never appear.
 */


#include "ngx_armoriq.h"


static ngx_armoriq_ctx_t *ngx_armoriq_variable_ctx(ngx_http_request_t *r);
static void ngx_armoriq_variable_set(ngx_http_variable_value_t *v,
    const u_char *data, size_t len);
static ngx_int_t ngx_armoriq_variable_string(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_armoriq_variable_verdict(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_armoriq_variable_reason(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_armoriq_variable_plan_hash(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_armoriq_variable_number(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


#define ngx_armoriq_field(name, field)                                        \
    { ngx_string(name), NULL, ngx_armoriq_variable_string,                    \
      offsetof(ngx_armoriq_ctx_t, d.field), NGX_HTTP_VAR_NOCACHEABLE, 0 }

#define NGX_ARMORIQ_STEP    0
#define NGX_ARMORIQ_RECORD  1


static ngx_http_variable_t  ngx_armoriq_vars[] = {

    ngx_armoriq_field("armoriq_org", org),
    ngx_armoriq_field("armoriq_user", user),
    ngx_armoriq_field("armoriq_agent", agent),
    ngx_armoriq_field("armoriq_mcp", server),
    ngx_armoriq_field("armoriq_tool", tool),
    ngx_armoriq_field("armoriq_token_id", token.jti),
    ngx_armoriq_field("armoriq_policy", policy),

    { ngx_string("armoriq_verdict"), NULL, ngx_armoriq_variable_verdict,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("armoriq_reason"), NULL, ngx_armoriq_variable_reason,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("armoriq_plan_hash"), NULL, ngx_armoriq_variable_plan_hash,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("armoriq_step"), NULL, ngx_armoriq_variable_number,
      NGX_ARMORIQ_STEP, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("armoriq_record"), NULL, ngx_armoriq_variable_number,
      NGX_ARMORIQ_RECORD, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_armoriq_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_armoriq_vars; v->name.len; v++) {

        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


/* a handshake subrequest speaks for its main request */

static ngx_armoriq_ctx_t *
ngx_armoriq_variable_ctx(ngx_http_request_t *r)
{
    ngx_armoriq_ctx_t  *ctx;

    ctx = ngx_armoriq_get_ctx(r->main);

    return (ctx && ctx->d.verdict != AIQ_VERDICT_NONE) ? ctx : NULL;
}


static void
ngx_armoriq_variable_set(ngx_http_variable_value_t *v, const u_char *data,
    size_t len)
{
    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = 0;
    v->data = (u_char *) data;
    v->len = (unsigned) len;
}


static ngx_int_t
ngx_armoriq_variable_string(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    aiq_str_t          *s;
    ngx_armoriq_ctx_t  *ctx;

    ctx = ngx_armoriq_variable_ctx(r);

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    s = (aiq_str_t *) ((u_char *) ctx + data);

    if (s->len == 0
        || (data == offsetof(ngx_armoriq_ctx_t, d.token.jti)
            && !ctx->d.trusted))
    {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_armoriq_variable_set(v, s->data, s->len);

    return NGX_OK;
}


static ngx_int_t
ngx_armoriq_variable_verdict(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    char               *s;
    ngx_armoriq_ctx_t  *ctx;

    ctx = ngx_armoriq_variable_ctx(r);

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    switch (ctx->d.verdict) {

    case AIQ_VERDICT_PERMIT:
        s = "PERMIT";
        break;

    case AIQ_VERDICT_HOLD:
        s = "HOLD";
        break;

    default:
        s = ctx->permit ? "DENY_DRY_RUN" : "DENY";
    }

    ngx_armoriq_variable_set(v, (u_char *) s, ngx_strlen(s));

    return NGX_OK;
}


static ngx_int_t
ngx_armoriq_variable_reason(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    const char         *s;
    ngx_armoriq_ctx_t  *ctx;

    ctx = ngx_armoriq_variable_ctx(r);

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    s = aiq_reason(ctx->d.rc);

    ngx_armoriq_variable_set(v, (const u_char *) s, ngx_strlen(s));

    return NGX_OK;
}


static ngx_int_t
ngx_armoriq_variable_plan_hash(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char             *p;
    ngx_armoriq_ctx_t  *ctx;

    ctx = ngx_armoriq_variable_ctx(r);

    if (ctx == NULL || !ctx->d.trusted) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, 2 * AIQ_HASH_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_hex_dump(p, ctx->d.token.plan_hash, AIQ_HASH_LEN);
    ngx_armoriq_variable_set(v, p, 2 * AIQ_HASH_LEN);

    return NGX_OK;
}


static ngx_int_t
ngx_armoriq_variable_number(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char             *p;
    ngx_armoriq_ctx_t  *ctx;

    ctx = ngx_armoriq_variable_ctx(r);

    if (ctx == NULL
        || (data == NGX_ARMORIQ_STEP && ctx->d.step < 0)
        || (data == NGX_ARMORIQ_RECORD && !ctx->recorded))
    {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_armoriq_variable_set(v, p,
                             ngx_sprintf(p, "%uL", data == NGX_ARMORIQ_STEP
                                                   ? (uint64_t) ctx->d.step
                                                   : ctx->intent.seq)
                             - p);

    return NGX_OK;
}
