
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The zone.  Nodes are of one size, so that freed ones fit again; a step in
 * force and a bucket that is not idle are never evicted: a full zone refuses
 * what is new.
 */


#include "ngx_armoriq_shm.h"


/* nodes looked at for one that may go, when there is no room */

#define NGX_ARMORIQ_SWEEP   64

/* a worker whose idea of the time is older may still accept the token */

#define NGX_ARMORIQ_GRACE   60


static ngx_int_t ngx_armoriq_init_zone(ngx_shm_zone_t *shm_zone, void *data);
static ngx_int_t ngx_armoriq_init_shctx(ngx_armoriq_zone_t *zone,
    size_t size);
static void ngx_armoriq_rbtree_insert(ngx_rbtree_node_t *temp,
    ngx_rbtree_node_t *node, ngx_rbtree_node_t *sentinel);
static ngx_int_t ngx_armoriq_node_cmp(ngx_armoriq_node_t *n,
    const u_char *key, uint32_t step, uint32_t kind);
static ngx_armoriq_node_t *ngx_armoriq_lookup(ngx_armoriq_shctx_t *sh,
    const u_char *key, uint32_t step, uint32_t kind);
static ngx_armoriq_node_t *ngx_armoriq_insert(ngx_armoriq_zone_t *zone,
    const u_char *key, uint32_t step, uint32_t kind);
static ngx_uint_t ngx_armoriq_sweep(ngx_armoriq_zone_t *zone, ngx_uint_t n);
static void ngx_armoriq_delete(ngx_armoriq_zone_t *zone,
    ngx_armoriq_node_t *n);
static int ngx_armoriq_seen(void *data, const aiq_hash_t key);
static void ngx_armoriq_saw(void *data, const aiq_hash_t key, int64_t exp);
static aiq_rc_t ngx_armoriq_reserve(void *data, const aiq_hash_t token,
    uint32_t step, uint32_t max, int64_t exp);
static void ngx_armoriq_release(void *data, const aiq_hash_t token,
    uint32_t step);
static uint64_t ngx_armoriq_used(void *data, const aiq_hash_t token,
    uint32_t step);
static aiq_rc_t ngx_armoriq_take(void *data, const aiq_hash_t bucket,
    const aiq_limit_t *limit, uint64_t *retry_ms);


/* armoriq_zone SIZE | NAME:SIZE */

char *
ngx_armoriq_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_armoriq_main_conf_t *amcf = conf;

    u_char              *p;
    ssize_t              size;
    ngx_str_t           *value, name, s;
    ngx_armoriq_zone_t  *zone;

    if (amcf->zone) {
        return "is duplicate";
    }

    value = cf->args->elts;

    ngx_str_set(&name, "armoriq");
    s = value[1];

    p = (u_char *) ngx_strchr(value[1].data, ':');

    if (p) {
        name.data = value[1].data;
        name.len = p - name.data;
        s.data = p + 1;
        s.len = value[1].data + value[1].len - s.data;
    }

    size = ngx_parse_size(&s);

    if (size == NGX_ERROR || name.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid zone size \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    if (size < (ssize_t) NGX_ARMORIQ_ZONE_MIN) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "armoriq_zone \"%V\" is too small: write %uzm or "
                           "more",
                           &value[1],
                           (size_t) NGX_ARMORIQ_ZONE_MIN / (1024 * 1024));
        return NGX_CONF_ERROR;
    }

    zone = ngx_pcalloc(cf->pool, sizeof(ngx_armoriq_zone_t));
    if (zone == NULL) {
        return NGX_CONF_ERROR;
    }

    zone->conf = amcf;

    amcf->zone = ngx_shared_memory_add(cf, &name, (size_t) size,
                                       &ngx_armoriq_module);
    if (amcf->zone == NULL) {
        return NGX_CONF_ERROR;
    }

    if (amcf->zone->data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is already used", &name);
        return NGX_CONF_ERROR;
    }

    amcf->zone->init = ngx_armoriq_init_zone;
    amcf->zone->data = zone;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_armoriq_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    aiq_err_t            err;
    ngx_armoriq_zone_t  *zone, *old;

    old = data;
    zone = shm_zone->data;

    zone->log = shm_zone->shm.log;

    if (old) {

        if (old->sh->layout != NGX_ARMORIQ_LAYOUT) {
            ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                          "zone \"%V\" was made by another version: restart "
                          "nginx instead of reloading it",
                          &shm_zone->shm.name);
            return NGX_ERROR;
        }

        if (zone->conf->audit.len != old->conf->audit.len
            || ngx_strncmp(zone->conf->audit.data, old->conf->audit.data,
                           zone->conf->audit.len)
               != 0)
        {
            /* records on their way would go to both */

            ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                          "armoriq_audit \"%V\": zone \"%V\" holds records "
                          "for \"%V\": restart nginx, or give the zone "
                          "another name",
                          &zone->conf->audit, &shm_zone->shm.name,
                          &old->conf->audit);
            return NGX_ERROR;
        }

        zone->sh = old->sh;
        zone->shpool = old->shpool;

        return NGX_OK;
    }

    zone->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (shm_zone->shm.exists) {
        zone->sh = zone->shpool->data;
        return NGX_OK;
    }

    if (ngx_armoriq_init_shctx(zone, shm_zone->shm.size) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "zone \"%V\" is too small", &shm_zone->shm.name);
        return NGX_ERROR;
    }

    /* a used step stays used: the log knows, whatever became of the zone */

    if (zone->conf->audit.len == 0) {
        return NGX_OK;
    }

    /* to be read it is locked, and "nginx -t" does not wait for a disk */

    if (ngx_test_config && zone->conf->busy) {
        return NGX_OK;
    }

    zone->now = ngx_time();
    err.text[0] = '\0';

    if (aiq_audit_uses_behind((char *) zone->conf->audit.data,
                              &zone->sh->known, zone->now,
                              NGX_ARMORIQ_LIFETIME, ngx_armoriq_shm_restore,
                              zone, &err)
        != AIQ_OK)
    {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "the used steps cannot be read back from \"%V\": %s",
                      &zone->conf->audit, err.text);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_armoriq_init_shctx(ngx_armoriq_zone_t *zone, size_t size)
{
    size_t                n;
    u_char                random[8];
    ngx_armoriq_shctx_t  *sh;

    sh = ngx_slab_calloc(zone->shpool, sizeof(ngx_armoriq_shctx_t));
    if (sh == NULL) {
        return NGX_ERROR;
    }

    zone->sh = sh;
    zone->shpool->data = sh;
    zone->shpool->log_nomem = 0;

    ngx_rbtree_init(&sh->rbtree, &sh->sentinel, ngx_armoriq_rbtree_insert);
    ngx_queue_init(&sh->queue);

    if (aiq_random(random, sizeof(random)) != AIQ_OK) {
        return NGX_ERROR;
    }

    ngx_hex_dump(sh->inst, random, sizeof(random));

    n = size / 16 / (NGX_ARMORIQ_WAYS * sizeof(ngx_armoriq_seen_t));

    sh->seen = ngx_slab_calloc(zone->shpool, n * NGX_ARMORIQ_WAYS
                                             * sizeof(ngx_armoriq_seen_t));
    sh->nseen = n;

    n = size / 32 / (NGX_ARMORIQ_SESSION_WAYS * sizeof(ngx_armoriq_opened_t));

    sh->opened_sessions = ngx_slab_calloc(zone->shpool,
                                          n * NGX_ARMORIQ_SESSION_WAYS
                                          * sizeof(ngx_armoriq_opened_t));
    sh->nopened = n;

    n = ngx_min(size / 4, (size_t) 16 * 1024 * 1024);

    sh->size = n & ~(size_t) 4095;
    sh->ring = ngx_slab_alloc(zone->shpool, sh->size);

    /* all that fits the ring may get its result at once */

    for (n = NGX_ARMORIQ_RESULTS; n < sh->size / NGX_ARMORIQ_RECORD; n *= 2) {
        /* void */
    }

    sh->nresults = n;
    sh->results = ngx_slab_calloc(zone->shpool,
                                  n * sizeof(ngx_armoriq_result_t));

    if (sh->seen == NULL || sh->opened_sessions == NULL || sh->ring == NULL
        || sh->results == NULL)
    {
        return NGX_ERROR;
    }

    sh->layout = NGX_ARMORIQ_LAYOUT;

    return NGX_OK;
}


aiq_rc_t
ngx_armoriq_shm_restore(void *data, const unsigned char token[AIQ_HASH_LEN],
    uint32_t step, int64_t exp)
{
    ngx_armoriq_zone_t *zone = data;

    aiq_rc_t             rc;
    ngx_armoriq_node_t  *n;

    rc = AIQ_E_ZONE_UNAVAILABLE;

    ngx_shmtx_lock(&zone->shpool->mutex);

    n = ngx_armoriq_lookup(zone->sh, token, step, ngx_armoriq_node_step);

    if (n == NULL) {
        n = ngx_armoriq_insert(zone, token, step, ngx_armoriq_node_step);

        if (n) {
            n->exp = exp;
        }
    }

    if (n) {
        n->value++;
        rc = AIQ_OK;
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return rc;
}


static void
ngx_armoriq_rbtree_insert(ngx_rbtree_node_t *temp, ngx_rbtree_node_t *node,
    ngx_rbtree_node_t *sentinel)
{
    ngx_rbtree_node_t   **p;
    ngx_armoriq_node_t   *n, *t;

    n = (ngx_armoriq_node_t *) node;

    for ( ;; ) {

        if (node->key != temp->key) {
            p = (node->key < temp->key) ? &temp->left : &temp->right;

        } else {
            t = (ngx_armoriq_node_t *) temp;
            p = (ngx_armoriq_node_cmp(t, n->key, n->step, n->kind) < 0)
                ? &temp->left : &temp->right;
        }

        if (*p == sentinel) {
            break;
        }

        temp = *p;
    }

    *p = node;
    node->parent = temp;
    node->left = sentinel;
    node->right = sentinel;
    ngx_rbt_red(node);
}


/* < 0: what is looked for is before n */

static ngx_int_t
ngx_armoriq_node_cmp(ngx_armoriq_node_t *n, const u_char *key, uint32_t step,
    uint32_t kind)
{
    if (kind != n->kind) {
        return (kind < n->kind) ? -1 : 1;
    }

    if (step != n->step) {
        return (step < n->step) ? -1 : 1;
    }

    return ngx_memcmp(key, n->key, AIQ_HASH_LEN);
}


static ngx_inline ngx_rbtree_key_t
ngx_armoriq_node_key(const u_char *key, uint32_t step)
{
    ngx_rbtree_key_t  k;

    ngx_memcpy(&k, key, sizeof(ngx_rbtree_key_t));

    return k ^ step;
}


static ngx_armoriq_node_t *
ngx_armoriq_lookup(ngx_armoriq_shctx_t *sh, const u_char *key, uint32_t step,
    uint32_t kind)
{
    ngx_int_t            rc;
    ngx_rbtree_key_t     k;
    ngx_rbtree_node_t   *node;
    ngx_armoriq_node_t  *n;

    k = ngx_armoriq_node_key(key, step);
    node = sh->rbtree.root;

    while (node != sh->rbtree.sentinel) {

        if (k != node->key) {
            node = (k < node->key) ? node->left : node->right;
            continue;
        }

        n = (ngx_armoriq_node_t *) node;

        rc = ngx_armoriq_node_cmp(n, key, step, kind);

        if (rc == 0) {
            return n;
        }

        node = (rc < 0) ? node->left : node->right;
    }

    return NULL;
}


static ngx_armoriq_node_t *
ngx_armoriq_insert(ngx_armoriq_zone_t *zone, const u_char *key, uint32_t step,
    uint32_t kind)
{
    ngx_armoriq_node_t  *n;

    /* two at each insert keep pace with what expires */

    (void) ngx_armoriq_sweep(zone, 2);

    n = ngx_slab_calloc_locked(zone->shpool, sizeof(ngx_armoriq_node_t));

    if (n == NULL) {

        if (ngx_armoriq_sweep(zone, NGX_ARMORIQ_SWEEP)) {
            n = ngx_slab_calloc_locked(zone->shpool,
                                       sizeof(ngx_armoriq_node_t));
        }

        if (n == NULL) {
            zone->sh->refused++;
            return NULL;
        }
    }

    n->node.key = ngx_armoriq_node_key(key, step);
    n->step = step;
    n->kind = kind;

    ngx_memcpy(n->key, key, AIQ_HASH_LEN);

    ngx_rbtree_insert(&zone->sh->rbtree, &n->node);
    ngx_queue_insert_head(&zone->sh->queue, &n->queue);
    zone->sh->nodes++;

    return n;
}


/*
 * Looks at the n oldest nodes: those that nobody can tell from new ones are
 * freed, the others go to the front, so that the next sweep sees others.
 */

static ngx_uint_t
ngx_armoriq_sweep(ngx_armoriq_zone_t *zone, ngx_uint_t n)
{
    time_t                now;
    ngx_uint_t            freed;
    ngx_queue_t          *q;
    ngx_armoriq_node_t   *node;
    ngx_armoriq_shctx_t  *sh;

    sh = zone->sh;
    now = ngx_time();
    n = ngx_min(n, sh->nodes);

    for (freed = 0; n; n--) {

        q = ngx_queue_last(&sh->queue);
        node = ngx_queue_data(q, ngx_armoriq_node_t, queue);

        if (node->kind == ngx_armoriq_node_step
            ? node->exp + NGX_ARMORIQ_GRACE > now
            : !aiq_limit_idle(ngx_current_msec, node->value))
        {
            ngx_queue_remove(q);
            ngx_queue_insert_head(&sh->queue, q);
            continue;
        }

        ngx_armoriq_delete(zone, node);
        freed++;
    }

    return freed;
}


static void
ngx_armoriq_delete(ngx_armoriq_zone_t *zone, ngx_armoriq_node_t *n)
{
    ngx_queue_remove(&n->queue);
    ngx_rbtree_delete(&zone->sh->rbtree, &n->node);
    ngx_slab_free_locked(zone->shpool, n);

    zone->sh->nodes--;
}


static int
ngx_armoriq_seen(void *data, const aiq_hash_t key)
{
    ngx_armoriq_zone_t *zone = data;

    int                   found;
    uint64_t              set;
    ngx_uint_t            i;
    ngx_armoriq_seen_t   *s;

    ngx_memcpy(&set, key, sizeof(uint64_t));

    s = &zone->sh->seen[set % zone->sh->nseen * NGX_ARMORIQ_WAYS];
    found = 0;

    ngx_shmtx_lock(&zone->shpool->mutex);

    for (i = 0; i < NGX_ARMORIQ_WAYS; i++) {

        if (s[i].exp && ngx_memcmp(s[i].key, key, AIQ_HASH_LEN) == 0) {
            found = 1;
            break;
        }
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return found;
}


/* a place that is free or holds what expires first; a loss costs a check */

static void
ngx_armoriq_saw(void *data, const aiq_hash_t key, int64_t exp)
{
    ngx_armoriq_zone_t *zone = data;

    uint64_t              set;
    ngx_uint_t            i;
    ngx_armoriq_seen_t   *s, *place;

    ngx_memcpy(&set, key, sizeof(uint64_t));

    s = &zone->sh->seen[set % zone->sh->nseen * NGX_ARMORIQ_WAYS];

    ngx_shmtx_lock(&zone->shpool->mutex);

    place = s;

    for (i = 1; i < NGX_ARMORIQ_WAYS; i++) {

        if (s[i].exp < place->exp) {
            place = &s[i];
        }
    }

    /* no entry is ever half the old one and half the new one */

    place->exp = 0;
    ngx_memcpy(place->key, key, AIQ_HASH_LEN);
    place->exp = exp;

    ngx_shmtx_unlock(&zone->shpool->mutex);
}


static aiq_rc_t
ngx_armoriq_reserve(void *data, const aiq_hash_t token, uint32_t step,
    uint32_t max, int64_t exp)
{
    ngx_armoriq_zone_t *zone = data;

    aiq_rc_t             rc;
    ngx_armoriq_node_t  *n;

    ngx_shmtx_lock(&zone->shpool->mutex);

    n = ngx_armoriq_lookup(zone->sh, token, step, ngx_armoriq_node_step);

    if (n == NULL) {
        n = ngx_armoriq_insert(zone, token, step, ngx_armoriq_node_step);

        if (n) {
            n->exp = exp;
        }
    }

    if (n == NULL) {
        rc = AIQ_D_ZONE_FULL;

    } else if (n->value >= max) {
        rc = AIQ_D_STEP_USED;

    } else {
        n->value++;
        rc = AIQ_OK;
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return rc;
}


static void
ngx_armoriq_release(void *data, const aiq_hash_t token, uint32_t step)
{
    ngx_armoriq_zone_t *zone = data;

    ngx_armoriq_node_t  *n;

    ngx_shmtx_lock(&zone->shpool->mutex);

    n = ngx_armoriq_lookup(zone->sh, token, step, ngx_armoriq_node_step);

    /* or calls that are refused later would fill the zone (R12) */

    if (n && (n->value == 0 || --n->value == 0)) {
        ngx_armoriq_delete(zone, n);
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);
}


static uint64_t
ngx_armoriq_used(void *data, const aiq_hash_t token, uint32_t step)
{
    ngx_armoriq_zone_t *zone = data;

    uint64_t             used;
    ngx_armoriq_node_t  *n;

    ngx_shmtx_lock(&zone->shpool->mutex);

    n = ngx_armoriq_lookup(zone->sh, token, step, ngx_armoriq_node_step);
    used = n ? n->value : 0;

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return used;
}


static aiq_rc_t
ngx_armoriq_take(void *data, const aiq_hash_t bucket,
    const aiq_limit_t *limit, uint64_t *retry_ms)
{
    ngx_armoriq_zone_t *zone = data;

    aiq_rc_t             rc;
    ngx_armoriq_node_t  *n;

    *retry_ms = 0;

    ngx_shmtx_lock(&zone->shpool->mutex);

    n = ngx_armoriq_lookup(zone->sh, bucket, 0, ngx_armoriq_node_bucket);

    if (n == NULL) {
        n = ngx_armoriq_insert(zone, bucket, 0, ngx_armoriq_node_bucket);
    }

    rc = n ? aiq_limit_take(limit, ngx_current_msec, &n->value, retry_ms)
           : AIQ_D_ZONE_FULL;

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return rc;
}


void
ngx_armoriq_shm_ops(ngx_armoriq_worker_t *w)
{
    w->ops.data = w->conf->zone->data;
    w->ops.seen = ngx_armoriq_seen;
    w->ops.saw = ngx_armoriq_saw;
    w->ops.reserve = ngx_armoriq_reserve;
    w->ops.release = ngx_armoriq_release;
    w->ops.used = ngx_armoriq_used;
    w->ops.take = ngx_armoriq_take;
    w->ops.session = ngx_armoriq_session;
}
