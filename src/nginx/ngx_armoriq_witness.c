
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Witnesses of the audit log.  "armoriqctl audit cosign" talks to them; here a
 * thread of one worker looks, once a second, what they have signed, and what
 * is known of that is in the zone.  With "require" calls are refused when it
 * is too long ago.
 */


#include "ngx_armoriq_shm.h"
#include "ngx_armoriq_conf.h"
#include "audit_witness.h"


#define NGX_ARMORIQ_WITNESS_LOOK  1000    /* milliseconds */
#define NGX_ARMORIQ_WITNESS_AGE   300     /* seconds */


struct ngx_armoriq_witness_conf_s {
    aiq_vkey_t                 keys[AIQ_WITNESSES];
    ngx_uint_t                 n;
    ngx_uint_t                 require;   /* 0: calls do not depend on it */
    time_t                     max_age;
    u_char                     hash[AIQ_HASH_LEN];
};


typedef struct ngx_armoriq_witness_s {
    ngx_armoriq_worker_t      *worker;
    ngx_armoriq_zone_t        *zone;
    ngx_thread_task_t         *task;
    ngx_event_t                timer;
    ngx_uint_t                 failed;    /* unsigned  failed:1; */
    u_char                     cosigned[NGX_MAX_PATH];
    u_char                     latest[NGX_MAX_PATH];

    /* of the thread, while it runs */

    aiq_crypto_t              *crypto;
    ngx_file_info_t            seen[2];
    ngx_uint_t                 same;      /* unsigned  same:1; */
    aiq_audit_cosigned_t       result;
    aiq_rc_t                   rc;
    aiq_err_t                  err;
} ngx_armoriq_witness_t;


static char *ngx_armoriq_witness_param(ngx_conf_t *cf, ngx_str_t *value,
    ngx_armoriq_witness_conf_t *wcf, aiq_crypto_t *c);
static char *ngx_armoriq_witness_done(ngx_conf_t *cf,
    ngx_armoriq_witness_conf_t *wcf, aiq_crypto_t *c);
static void ngx_armoriq_witness_timer(ngx_event_t *ev);
static void ngx_armoriq_witness_thread(void *data, ngx_log_t *log);
static ngx_uint_t ngx_armoriq_witness_changed(ngx_armoriq_witness_t *x);
static void ngx_armoriq_witness_event(ngx_event_t *ev);
static void ngx_armoriq_witness_update(ngx_armoriq_witness_t *x);
static void ngx_armoriq_witness_judge(ngx_armoriq_witness_t *x);


/* armoriq_audit_witness KEY ... [require=K] [max_age=TIME] */

char *
ngx_armoriq_audit_witness(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_armoriq_main_conf_t *amcf = conf;

    char                        *rv;
    ngx_str_t                   *value;
    ngx_uint_t                   i;
    aiq_crypto_t                *c;
    ngx_armoriq_witness_conf_t  *wcf;

    if (amcf->witness) {
        return "is duplicate";
    }

    wcf = ngx_pcalloc(cf->pool, sizeof(ngx_armoriq_witness_conf_t));
    c = aiq_crypto_new();

    if (wcf == NULL || c == NULL) {
        aiq_crypto_free(c);
        return NGX_CONF_ERROR;
    }

    wcf->max_age = NGX_ARMORIQ_WITNESS_AGE;
    amcf->witness = wcf;

    value = cf->args->elts;
    rv = NGX_CONF_OK;

    for (i = 1; rv == NGX_CONF_OK && i < cf->args->nelts; i++) {
        rv = ngx_armoriq_witness_param(cf, &value[i], wcf, c);
    }

    if (rv == NGX_CONF_OK) {
        rv = ngx_armoriq_witness_done(cf, wcf, c);
    }

    aiq_crypto_free(c);

    return rv;
}


static char *
ngx_armoriq_witness_param(ngx_conf_t *cf, ngx_str_t *value,
    ngx_armoriq_witness_conf_t *wcf, aiq_crypto_t *c)
{
    aiq_err_t   err;
    ngx_int_t   n;
    ngx_str_t   s;
    ngx_uint_t  i;

    if (ngx_strncmp(value->data, "require=", 8) == 0) {
        n = ngx_atoi(value->data + 8, value->len - 8);

        if (n >= 1 && n <= AIQ_WITNESSES) {
            wcf->require = (ngx_uint_t) n;
            return NGX_CONF_OK;
        }

        ngx_str_set(&s, "require=K");

    } else if (ngx_strncmp(value->data, "max_age=", 8) == 0) {
        s.data = value->data + 8;
        s.len = value->len - 8;

        n = ngx_parse_time(&s, 1);

        if (n != NGX_ERROR && n >= 10) {
            wcf->max_age = (time_t) n;
            return NGX_CONF_OK;
        }

        ngx_str_set(&s, "max_age=TIME, 10s or more");

    } else {
        err.text[0] = '\0';

        if (wcf->n < AIQ_WITNESSES
            && aiq_cosigner_parse(&wcf->keys[wcf->n], ngx_armoriq_str(*value),
                                  c, &err)
               == AIQ_OK)
        {
            for (i = 0; i < wcf->n; i++) {

                if (ngx_memcmp(wcf->keys[i].key, wcf->keys[wcf->n].key,
                               AIQ_KEY_LEN)
                    == 0)
                {
                    return "has a witness twice";
                }
            }

            wcf->n++;

            return NGX_CONF_OK;
        }

        ngx_str_set(&s, "the verification key of a witness, require=K or "
                        "max_age=TIME");
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\", it must be %V", value, &s);

    return NGX_CONF_ERROR;
}


/* what is in the zone is worth nothing to another list of witnesses */

static char *
ngx_armoriq_witness_done(ngx_conf_t *cf, ngx_armoriq_witness_conf_t *wcf,
    aiq_crypto_t *c)
{
    ngx_uint_t  i;
    aiq_str_t   parts[AIQ_WITNESSES + 1];

    if (wcf->n == 0) {
        return "needs the verification key of a witness";
    }

    if (wcf->require > wcf->n) {
        return "requires more witnesses than there are";
    }

    for (i = 0; i < wcf->n; i++) {
        parts[i].data = wcf->keys[i].key;
        parts[i].len = AIQ_KEY_LEN;
    }

    parts[i].data = (u_char *) &wcf->require;
    parts[i].len = sizeof(wcf->require);

    return aiq_sha256v(c, parts, (unsigned) i + 1, wcf->hash) == AIQ_OK
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


ngx_int_t
ngx_armoriq_witness_init(ngx_armoriq_worker_t *w)
{
    ngx_armoriq_shctx_t         *sh;
    ngx_armoriq_witness_t       *x;
    ngx_armoriq_witness_conf_t  *wcf;

    wcf = w->conf->witness;

    if (wcf == NULL) {
        return NGX_OK;
    }

    x = ngx_pcalloc(w->cycle->pool, sizeof(ngx_armoriq_witness_t));
    if (x == NULL) {
        return NGX_ERROR;
    }

    x->task = ngx_thread_task_alloc(w->cycle->pool,
                                    sizeof(ngx_armoriq_witness_t *));
    x->crypto = aiq_crypto_new();

    if (x->task == NULL || x->crypto == NULL) {
        return NGX_ERROR;
    }

    x->worker = w;
    x->zone = w->conf->zone->data;

    *(ngx_armoriq_witness_t **) x->task->ctx = x;

    x->task->handler = ngx_armoriq_witness_thread;
    x->task->event.handler = ngx_armoriq_witness_event;
    x->task->event.data = x;

    x->timer.handler = ngx_armoriq_witness_timer;
    x->timer.data = x;
    x->timer.log = w->cycle->log;
    x->timer.cancelable = 1;

    (void) ngx_snprintf(x->cosigned, NGX_MAX_PATH,
                        "%V/" AIQ_AUDIT_COSIGNED "%Z", &w->conf->audit);
    (void) ngx_snprintf(x->latest, NGX_MAX_PATH, "%V/checkpoint%Z",
                        &w->conf->audit);

    sh = x->zone->sh;

    ngx_shmtx_lock(&x->zone->shpool->mutex);

    if (ngx_memcmp(sh->witness, wcf->hash, AIQ_HASH_LEN) != 0) {
        ngx_memcpy(sh->witness, wcf->hash, AIQ_HASH_LEN);
        ngx_memzero(&sh->witnessed, sizeof(aiq_witnessed_t));
        sh->witness_late = 0;
    }

    ngx_shmtx_unlock(&x->zone->shpool->mutex);

    w->witness = x;

    /* two small files: the first call must not be refused for want of them */

    ngx_armoriq_witness_thread(x->task->ctx, w->cycle->log);
    ngx_armoriq_witness_update(x);
    ngx_armoriq_witness_judge(x);

    ngx_add_timer(&x->timer, NGX_ARMORIQ_WITNESS_LOOK);

    return NGX_OK;
}


void
ngx_armoriq_witness_exit(ngx_armoriq_worker_t *w)
{
    ngx_armoriq_witness_t  *x;

    x = w->witness;

    if (x == NULL) {
        return;
    }

    w->witness = NULL;

    if (x->timer.timer_set) {
        ngx_del_timer(&x->timer);
    }

    if (x->task->event.timer_set) {
        ngx_del_timer(&x->task->event);
    }
}


/* one worker a second looks, whichever comes first */

static void
ngx_armoriq_witness_timer(ngx_event_t *ev)
{
    time_t                  now;
    ngx_uint_t              mine;
    ngx_armoriq_shctx_t    *sh;
    ngx_armoriq_witness_t  *x;

    if (ngx_exiting) {
        return;
    }

    x = ev->data;
    sh = x->zone->sh;
    now = ngx_time();

    ngx_shmtx_lock(&x->zone->shpool->mutex);

    mine = (sh->witness_looked != now
            && ngx_memcmp(sh->witness, x->worker->conf->witness->hash,
                          AIQ_HASH_LEN)
               == 0);

    if (mine) {
        sh->witness_looked = now;
    }

    ngx_shmtx_unlock(&x->zone->shpool->mutex);

    if (mine) {
        ngx_armoriq_witness_judge(x);

        if (ngx_armoriq_task_post(x->worker->conf->thread_pool, x->task)
            == NGX_OK)
        {
            return;
        }
    }

    ngx_add_timer(&x->timer, NGX_ARMORIQ_WITNESS_LOOK);
}


static void
ngx_armoriq_witness_thread(void *data, ngx_log_t *log)
{
    ngx_armoriq_witness_t *x = *(ngx_armoriq_witness_t **) data;

    struct timeval               tv;
    ngx_armoriq_witness_conf_t  *wcf;

    wcf = x->worker->conf->witness;

    x->same = !ngx_armoriq_witness_changed(x);

    if (x->same) {
        return;
    }

    ngx_gettimeofday(&tv);

    x->err.text[0] = '\0';

    x->rc = aiq_audit_cosigned((char *) x->worker->conf->audit.data,
                               wcf->keys, (unsigned) wcf->n,
                               (unsigned) ngx_max(wcf->require, 1),
                               (int64_t) tv.tv_sec, &x->result, x->crypto,
                               &x->err);

    if (x->rc != AIQ_OK || x->result.by.wrong) {
        ngx_memzero(x->seen, sizeof(x->seen));
    }
}


static ngx_uint_t
ngx_armoriq_witness_changed(ngx_armoriq_witness_t *x)
{
    ngx_uint_t        i, changed;
    ngx_file_info_t   fi[2];

    ngx_memzero(fi, sizeof(fi));

    if (ngx_file_info(x->cosigned, &fi[0]) == NGX_FILE_ERROR
        || ngx_file_info(x->latest, &fi[1]) == NGX_FILE_ERROR)
    {
        ngx_memzero(x->seen, sizeof(x->seen));
        return 1;
    }

    for (i = 0, changed = 0; i < 2; i++) {
        changed |= (fi[i].st_ino != x->seen[i].st_ino
                    || fi[i].st_size != x->seen[i].st_size
                    || fi[i].st_mtim.tv_sec != x->seen[i].st_mtim.tv_sec
                    || fi[i].st_mtim.tv_nsec != x->seen[i].st_mtim.tv_nsec);

        x->seen[i] = fi[i];
    }

    return changed;
}


static void
ngx_armoriq_witness_event(ngx_event_t *ev)
{
    ngx_armoriq_witness_t  *x;

    if (!ngx_armoriq_task_done(ev)) {
        return;
    }

    x = ev->data;

    ngx_armoriq_witness_update(x);
    ngx_armoriq_witness_judge(x);

    if (!ngx_exiting) {
        ngx_add_timer(&x->timer, NGX_ARMORIQ_WITNESS_LOOK);
    }
}


static void
ngx_armoriq_witness_update(ngx_armoriq_witness_t *x)
{
    ngx_armoriq_shctx_t         *sh;
    ngx_armoriq_witness_conf_t  *wcf;

    if (x->same) {
        return;
    }

    if (x->rc != AIQ_OK) {

        if (!x->failed) {
            ngx_log_error(NGX_LOG_CRIT, x->worker->cycle->log, 0,
                          "armoriq: cosigned checkpoints of the audit log: "
                          "%s", x->err.text);
        }

        x->failed = 1;

        return;
    }

    if (x->result.by.wrong && !x->failed) {
        ngx_log_error(NGX_LOG_ERR, x->worker->cycle->log, 0,
                      "armoriq: cosigned checkpoints of the audit log: %ui "
                      "cosignatures are wrong, or of a time to come",
                      (ngx_uint_t) x->result.by.wrong);
    }

    x->failed = (x->result.by.wrong != 0);
    wcf = x->worker->conf->witness;

    if (x->result.size == 0
        || x->result.by.good < ngx_max(wcf->require, 1))
    {
        return;
    }

    sh = x->zone->sh;

    ngx_shmtx_lock(&x->zone->shpool->mutex);

    if (ngx_memcmp(sh->witness, wcf->hash, AIQ_HASH_LEN) == 0) {
        aiq_witnessed(&sh->witnessed, x->result.size, x->result.by.when,
                      x->result.newest);
    }

    ngx_shmtx_unlock(&x->zone->shpool->mutex);
}


/* said once, by whoever sees it first */

static void
ngx_armoriq_witness_judge(ngx_armoriq_witness_t *x)
{
    int64_t                      age;
    ngx_uint_t                   late, level, changed;
    ngx_armoriq_shctx_t         *sh;
    ngx_armoriq_witness_conf_t  *wcf;

    sh = x->zone->sh;
    wcf = x->worker->conf->witness;

    ngx_shmtx_lock(&x->zone->shpool->mutex);

    age = aiq_witnessed_age(&sh->witnessed, (int64_t) ngx_time());
    late = (age > (int64_t) wcf->max_age);
    changed = (late != sh->witness_late);
    sh->witness_late = late;

    ngx_shmtx_unlock(&x->zone->shpool->mutex);

    if (!changed) {
        return;
    }

    if (late) {
        level = wcf->require ? NGX_LOG_ERR : NGX_LOG_WARN;

        ngx_log_error(level, x->worker->cycle->log, 0,
                      "armoriq: no checkpoint of the audit log that %ui of "
                      "its witnesses have cosigned is younger than %T "
                      "seconds%s", ngx_max(wcf->require, 1), wcf->max_age,
                      wcf->require ? ": calls are refused" : "");
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, x->worker->cycle->log, 0,
                  "armoriq: checkpoints of the audit log are cosigned again");
}


/* a call that is to be let through; NGX_DECLINED: it is refused all the same */

ngx_int_t
ngx_armoriq_witness_permit(ngx_armoriq_worker_t *w, ngx_armoriq_ctx_t *ctx)
{
    int64_t                      age;
    ngx_armoriq_zone_t          *zone;
    ngx_armoriq_witness_conf_t  *wcf;

    wcf = w->conf->witness;

    if (wcf == NULL || wcf->require == 0) {
        return NGX_OK;
    }

    zone = w->conf->zone->data;

    ngx_shmtx_lock(&zone->shpool->mutex);

    age = aiq_witnessed_age(&zone->sh->witnessed, (int64_t) ngx_time());

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (age <= (int64_t) wcf->max_age) {
        return NGX_OK;
    }

    if (ctx->d.reserved) {
        w->ops.release(w->ops.data, ctx->d.ledger, (uint32_t) ctx->d.step);
        ctx->d.reserved = 0;
    }

    ctx->d.verdict = AIQ_VERDICT_DENY;
    ctx->d.rc = aiq_fail(&ctx->d.err, AIQ_E_AUDIT_UNAVAILABLE,
                         "no checkpoint that %u witnesses have cosigned is "
                         "younger than %lld seconds",
                         (unsigned) wcf->require, (long long) wcf->max_age);

    return NGX_DECLINED;
}
