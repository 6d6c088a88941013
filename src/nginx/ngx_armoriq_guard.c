
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The third wall: "armoriq_guard" in upstream{}.  No peer of that upstream is
 * chosen without a permit, whichever location, rewrite, named location, "if",
 * mirror or case variant of a URI has led there.
 */


#include "ngx_armoriq.h"


static ngx_int_t ngx_armoriq_guard_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_armoriq_guard_lint(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_armoriq_guard_common(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us, ngx_http_upstream_srv_conf_t *other);
static ngx_int_t ngx_armoriq_guard_implicit(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us, ngx_http_upstream_srv_conf_t *other);
static ngx_int_t ngx_armoriq_guard_found(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us, ngx_http_upstream_srv_conf_t *other,
    ngx_str_t *address);
static ngx_uint_t ngx_armoriq_guarded(ngx_http_upstream_srv_conf_t *us);


char *
ngx_armoriq_guard(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_armoriq_srv_conf_t *ascf = conf;

    if (ascf->guard) {
        return "is duplicate";
    }

    ascf->guard = 1;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_armoriq_guard_init(ngx_conf_t *cf)
{
    ngx_uint_t                       i;
    ngx_armoriq_srv_conf_t          *ascf;
    ngx_http_upstream_srv_conf_t   **uscfp;
    ngx_http_upstream_main_conf_t   *umcf;

    /*
     * Not peer.init_upstream, and not in the directive handler: least_conn,
     * hash and others assign init_upstream without asking.  Here, every
     * peer.init is final, that of keepalive included.
     */

    umcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_upstream_module);
    uscfp = umcf->upstreams.elts;

    for (i = 0; i < umcf->upstreams.nelts; i++) {

        if (!ngx_armoriq_guarded(uscfp[i])) {
            continue;
        }

        if (uscfp[i]->servers
            && ngx_armoriq_guard_lint(cf, uscfp[i]) != NGX_OK)
        {
            return NGX_ERROR;
        }

        ascf = ngx_http_conf_upstream_srv_conf(uscfp[i], ngx_armoriq_module);

        ascf->original_init_peer = uscfp[i]->peer.init;
        uscfp[i]->peer.init = ngx_armoriq_guard_init_peer;
    }

    return NGX_OK;
}


/*
 * Called by ngx_http_upstream_init_request(), the only road to a peer, once
 * per upstream request.  Tries made by proxy_next_upstream use the peer.get
 * of this same call, they need no new permit.
 */

static ngx_int_t
ngx_armoriq_guard_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    char                    *why;
    ngx_http_upstream_t     *u;
    ngx_armoriq_ctx_t       *ctx;
    ngx_armoriq_srv_conf_t  *ascf;

    ctx = ngx_armoriq_get_ctx(r);

    why = ngx_armoriq_check(r, ctx);

    if (why == NULL
        && ngx_armoriq_body_passed(r) != (off_t) ctx->body.len)
    {
        why = "another body is to be sent";
    }

    if (why == NULL && ctx->conf->invoke) {
        why = "an envelope is not a call";
    }

    if (why == NULL) {
        ctx->spent = 1;

        ascf = ngx_http_conf_upstream_srv_conf(us, ngx_armoriq_module);

        return ascf->original_init_peer(r, us);
    }

    /*
     * Returning NGX_ERROR alone would give 500, open to error_page.  Have
     * the upstream finalized first, by its own cleanup handler, as if the
     * client had gone, then answer.  The caller will finalize the upstream
     * again, which turns into NGX_DONE since u->cleanup is NULL by then.
     * Each of these two takes one reference to the request.
     */

    u = r->upstream;

    r->main->count += 2;

    (*u->cleanup)(r);

    (void) ngx_armoriq_refuse(r, ctx, "guard", why);

    return NGX_ERROR;
}


/*
 * A guard protects the name of an upstream, not the addresses behind it:
 * proxy_pass http://127.0.0.1:9000; is an upstream of its own.
 */

static ngx_int_t
ngx_armoriq_guard_lint(ngx_conf_t *cf, ngx_http_upstream_srv_conf_t *us)
{
    ngx_uint_t                       i;
    ngx_http_upstream_srv_conf_t   **uscfp;
    ngx_http_upstream_main_conf_t   *umcf;

    umcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_upstream_module);
    uscfp = umcf->upstreams.elts;

    for (i = 0; i < umcf->upstreams.nelts; i++) {

        if (ngx_armoriq_guarded(uscfp[i])) {
            continue;
        }

        if (uscfp[i]->servers
            ? ngx_armoriq_guard_common(cf, us, uscfp[i]) != NGX_OK
            : ngx_armoriq_guard_implicit(cf, us, uscfp[i]) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* proxy_pass to a host name that has several addresses */

static ngx_int_t
ngx_armoriq_guard_implicit(ngx_conf_t *cf, ngx_http_upstream_srv_conf_t *us,
    ngx_http_upstream_srv_conf_t *other)
{
    ngx_uint_t                     i, k;
    ngx_http_upstream_server_t    *a;
    ngx_http_upstream_rr_peer_t   *peer;
    ngx_http_upstream_rr_peers_t  *peers;

    peers = other->peer.data;

    if (peers == NULL) {
        return NGX_OK;
    }

    a = us->servers->elts;

    for (peer = peers->peer; peer; peer = peer->next) {

        for (i = 0; i < us->servers->nelts; i++) {

            for (k = 0; k < a[i].naddrs; k++) {

                if (ngx_cmp_sockaddr(a[i].addrs[k].sockaddr,
                                     a[i].addrs[k].socklen,
                                     peer->sockaddr, peer->socklen, 1)
                    == NGX_OK)
                {
                    return ngx_armoriq_guard_found(cf, us, other,
                                                   &peer->name);
                }
            }
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_armoriq_guard_common(ngx_conf_t *cf, ngx_http_upstream_srv_conf_t *us,
    ngx_http_upstream_srv_conf_t *other)
{
    ngx_uint_t                    i, j, k, n;
    ngx_http_upstream_server_t   *a, *b;

    a = us->servers->elts;
    b = other->servers->elts;

    for (i = 0; i < us->servers->nelts; i++) {

        for (j = 0; j < other->servers->nelts; j++) {

            for (k = 0; k < a[i].naddrs * b[j].naddrs; k++) {
                n = k % b[j].naddrs;

                if (ngx_cmp_sockaddr(a[i].addrs[k / b[j].naddrs].sockaddr,
                                     a[i].addrs[k / b[j].naddrs].socklen,
                                     b[j].addrs[n].sockaddr,
                                     b[j].addrs[n].socklen, 1)
                    == NGX_OK)
                {
                    return ngx_armoriq_guard_found(cf, us, other,
                                                   &b[j].addrs[n].name);
                }
            }
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_armoriq_guard_found(ngx_conf_t *cf, ngx_http_upstream_srv_conf_t *us,
    ngx_http_upstream_srv_conf_t *other, ngx_str_t *address)
{
    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "\"%V\" of the guarded upstream \"%V\" can also be reached "
                  "by upstream \"%V\" in %s:%ui: use \"%V\" there, or write "
                  "\"armoriq_guard;\" in both",
                  address, &us->host, &other->host,
                  other->file_name ? other->file_name : (u_char *) "",
                  other->line, &us->host);

    return NGX_ERROR;
}


static ngx_uint_t
ngx_armoriq_guarded(ngx_http_upstream_srv_conf_t *us)
{
    ngx_armoriq_srv_conf_t  *ascf;

    /* that of proxy_pass http://192.0.2.1; has no configuration */

    if (us->srv_conf == NULL) {
        return 0;
    }

    ascf = ngx_http_conf_upstream_srv_conf(us, ngx_armoriq_module);

    return ascf->guard;
}
