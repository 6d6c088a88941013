
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Sessions of MCP servers and who has opened them.  The id in Mcp-Session-Id
 * is no authentication: the one who may use it is the one to whom it was
 * given.  A session that the table has lost, by a restart or for want of
 * room, is refused with 404, upon which clients start a new one.
 */


#include "ngx_armoriq_response.h"
#include "ngx_armoriq_shm.h"


static ngx_armoriq_opened_t *ngx_armoriq_session_find(
    ngx_armoriq_zone_t *zone, const u_char *key, const u_char *org);
static ngx_int_t ngx_armoriq_session_open(ngx_armoriq_zone_t *zone,
    const u_char *key, const aiq_principal_t *who);
static ngx_uint_t ngx_armoriq_session_sooner(ngx_armoriq_opened_t *a,
    ngx_armoriq_opened_t *b, const u_char *org);
static void ngx_armoriq_session_close(ngx_armoriq_zone_t *zone,
    const u_char *key);


/* ops->session: 1 if who has opened it */

int
ngx_armoriq_session(void *data, const aiq_hash_t session,
    const aiq_principal_t *who)
{
    ngx_armoriq_zone_t *zone = data;

    int                    found;
    ngx_armoriq_opened_t  *s;

    ngx_shmtx_lock(&zone->shpool->mutex);

    s = ngx_armoriq_session_find(zone, session, NULL);

    found = (s != NULL && aiq_principal_same(&s->who, who));

    if (found) {
        s->used = ngx_time();
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return found;
}


/* the header of an answer to a request that was permitted */

ngx_int_t
ngx_armoriq_session_header(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    aiq_hash_t             key;
    aiq_principal_t        who;
    ngx_table_elt_t       *h;
    ngx_armoriq_worker_t  *w;

    static ngx_str_t  name = ngx_string("Mcp-Session-Id");

    /* those of /invoke are ours, and not shown to the client */

    if (ctx->bridge || ctx->d.mcp.modern || ctx->d.org.len == 0
        || r->headers_out.status < 200 || r->headers_out.status > 299)
    {
        return NGX_OK;
    }

    w = ngx_armoriq_get_worker(r);

    if (w == NULL) {
        return NGX_OK;
    }

    h = ngx_armoriq_header_find(ctx->d.mcp.cls == AIQ_MCP_TERMINATE
                                ? &r->headers_in.headers
                                : &r->headers_out.headers, &name);
    if (h == NULL) {
        return NGX_OK;
    }

    if (aiq_session_key(&ctx->d, ngx_armoriq_str(h->value), key, &who,
                        w->crypto)
        != AIQ_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->d.mcp.cls == AIQ_MCP_TERMINATE) {
        ngx_armoriq_session_close(w->conf->zone->data, key);

    } else if (ngx_armoriq_session_open(w->conf->zone->data, key, &who)
               != NGX_OK)
    {
        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "armoriq: MCP \"%*s\" has given a session to somebody "
                      "else that was opened before",
                      ctx->d.server.len, ctx->d.server.data);
    }

    return NGX_OK;
}


/* org: to be added, so give it a place, if need be that of another one */

static ngx_armoriq_opened_t *
ngx_armoriq_session_find(ngx_armoriq_zone_t *zone, const u_char *key,
    const u_char *org)
{
    uint64_t               set;
    ngx_uint_t             i;
    ngx_armoriq_opened_t  *s, *oldest;

    ngx_memcpy(&set, key, sizeof(uint64_t));

    s = &zone->sh->opened_sessions[set % zone->sh->nopened
                                   * NGX_ARMORIQ_SESSION_WAYS];
    oldest = s;

    for (i = 0; i < NGX_ARMORIQ_SESSION_WAYS; i++) {

        if (s[i].used && ngx_memcmp(s[i].key, key, AIQ_HASH_LEN) == 0) {
            return &s[i];
        }

        if (ngx_armoriq_session_sooner(&s[i], oldest, org)) {
            oldest = &s[i];
        }
    }

    return org ? oldest : NULL;
}


/*
 * Which of two places is given up for a session of this org: a free one, then
 * one of its own, so that an org that opens many ends its own, and then the
 * one that was not used for longest.
 */

static ngx_uint_t
ngx_armoriq_session_sooner(ngx_armoriq_opened_t *a, ngx_armoriq_opened_t *b,
    const u_char *org)
{
    ngx_uint_t  own[2];

    if (org == NULL || a->used == 0 || b->used == 0) {
        return a->used == 0 && b->used;
    }

    own[0] = (ngx_memcmp(a->who.part[AIQ_PRINCIPAL_ORG], org, 16) == 0);
    own[1] = (ngx_memcmp(b->who.part[AIQ_PRINCIPAL_ORG], org, 16) == 0);

    return own[0] != own[1] ? own[0] : a->used < b->used;
}


static ngx_int_t
ngx_armoriq_session_open(ngx_armoriq_zone_t *zone, const u_char *key,
    const aiq_principal_t *who)
{
    ngx_int_t              rc;
    ngx_armoriq_opened_t  *s;

    rc = NGX_OK;

    ngx_shmtx_lock(&zone->shpool->mutex);

    s = ngx_armoriq_session_find(zone, key, who->part[AIQ_PRINCIPAL_ORG]);

    if (s->used && ngx_memcmp(s->key, key, AIQ_HASH_LEN) == 0) {

        /* answers may repeat the id; whoever was first keeps it */

        if (!aiq_principal_same(&s->who, who)) {
            rc = NGX_DECLINED;
        }

    } else {

        /* no entry is ever half the old one and half the new one */

        s->used = 0;
        ngx_memcpy(s->key, key, AIQ_HASH_LEN);
        s->who = *who;
        s->used = ngx_time();
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return rc;
}


static void
ngx_armoriq_session_close(ngx_armoriq_zone_t *zone, const u_char *key)
{
    ngx_armoriq_opened_t  *s;

    ngx_shmtx_lock(&zone->shpool->mutex);

    s = ngx_armoriq_session_find(zone, key, NULL);

    if (s) {
        s->used = 0;
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);
}
