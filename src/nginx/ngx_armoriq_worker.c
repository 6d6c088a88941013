
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What a worker has of its own: the store, opened after fork, memory for one
 * decision, and the compiled rules of the orgs that it has met.
 */


#include <sys/prctl.h>
#include <sys/resource.h>

#include "ngx_armoriq_shm.h"
#include "tzfile.h"


#define NGX_ARMORIQ_RULES        64       /* orgs remembered by a worker */
#define NGX_ARMORIQ_REAP         60000    /* between looks for dead readers */


/* of one org; direct-mapped by its name */

typedef struct ngx_armoriq_rules_s {
    u_char                   *mem;
    aiq_ruleset_t             rules;
} ngx_armoriq_rules_t;


static ngx_int_t ngx_armoriq_worker_init(ngx_armoriq_worker_t *w);
static void ngx_armoriq_worker_reap(ngx_event_t *ev);
static void ngx_armoriq_worker_seal(ngx_cycle_t *cycle);
static char *ngx_armoriq_check_store(ngx_conf_t *cf,
    ngx_armoriq_main_conf_t *amcf);
static char *ngx_armoriq_check_owner(ngx_conf_t *cf,
    ngx_armoriq_main_conf_t *amcf);
static char *ngx_armoriq_check_audit(ngx_conf_t *cf,
    ngx_armoriq_main_conf_t *amcf);


/*
 * At "nginx -t" and before a reload: nginx never starts open.  The store is
 * opened and closed again: an environment of LMDB does not survive fork().
 */

char *
ngx_armoriq_check_conf(ngx_conf_t *cf, ngx_armoriq_main_conf_t *amcf)
{
    if (!amcf->used) {
        return NGX_CONF_OK;
    }

    if (amcf->store.len == 0) {
        return "needs \"armoriq_store DIR;\" in http{}: make one with "
               "\"armoriqctl init --store DIR --org NAME\"";
    }

    if (amcf->audit.len == 0) {
        return "needs \"armoriq_audit DIR;\" in http{}: \"armoriqctl init\" "
               "makes it as audit/ in the directory of the store";
    }

    if (amcf->zone == NULL) {
        return "needs \"armoriq_zone SIZE;\" in http{}: write "
               "\"armoriq_zone 16m;\"";
    }

    if (ngx_armoriq_check_store(cf, amcf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_armoriq_check_audit(cf, amcf);
}


static char *
ngx_armoriq_check_store(ngx_conf_t *cf, ngx_armoriq_main_conf_t *amcf)
{
    aiq_err_t     err;
    aiq_store_t  *store;

    /* "master_process off" and a reload: it is open in this very process */

    if (ngx_process == NGX_PROCESS_SINGLE && ngx_cycle->modules
        && ngx_cycle->conf_ctx && !ngx_test_config
        && ngx_http_cycle_get_module_main_conf(ngx_cycle, ngx_armoriq_module))
    {
        return NGX_CONF_OK;
    }

    err.text[0] = '\0';

    if (aiq_store_open(&store, (char *) amcf->store.data, 0, &err) != AIQ_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "armoriq_store \"%V\": %s", &amcf->store,
                           err.text);
        return NGX_CONF_ERROR;
    }

    aiq_store_close(store);

    return ngx_armoriq_check_owner(cf, amcf);
}


/*
 * A lock file that was missing, after a restore say, is made by whoever opens
 * the store first: here by root, and no worker could use it.
 */

static char *
ngx_armoriq_check_owner(ngx_conf_t *cf, ngx_armoriq_main_conf_t *amcf)
{
    u_char           data[NGX_MAX_PATH], lock[NGX_MAX_PATH];
    ngx_file_info_t  owner, fi;

    if (geteuid() != 0) {
        return NGX_CONF_OK;
    }

    (void) ngx_snprintf(data, NGX_MAX_PATH, "%V/data.mdb%Z", &amcf->store);
    (void) ngx_snprintf(lock, NGX_MAX_PATH, "%V/lock.mdb%Z", &amcf->store);

    if (ngx_file_info(data, &owner) == NGX_FILE_ERROR
        || ngx_file_info(lock, &fi) == NGX_FILE_ERROR)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "armoriq_store \"%V\" cannot be examined",
                           &amcf->store);
        return NGX_CONF_ERROR;
    }

    if (fi.st_uid == owner.st_uid) {
        return NGX_CONF_OK;
    }

    if (lchown((char *) lock, owner.st_uid, owner.st_gid) == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "lchown() \"%s\" failed", lock);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_armoriq_check_audit(ngx_conf_t *cf, ngx_armoriq_main_conf_t *amcf)
{
    aiq_err_t     err;
    aiq_audit_t  *log;

    err.text[0] = '\0';

    if (aiq_audit_open(&log, (char *) amcf->audit.data, &err) != AIQ_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "armoriq_audit: \"%V\": %s: \"armoriqctl init "
                           "--store DIR --org NAME --audit %V\" makes one",
                           &amcf->audit, err.text, &amcf->audit);
        return NGX_CONF_ERROR;
    }

    amcf->busy = aiq_audit_busy(log);

    aiq_audit_close(log);

    return NGX_CONF_OK;
}


ngx_int_t
ngx_armoriq_init_process(ngx_cycle_t *cycle)
{
    ngx_armoriq_worker_t     *w;
    ngx_armoriq_main_conf_t  *amcf;

    /* the cache manager and loader have no business here */

    if (ngx_process != NGX_PROCESS_WORKER
        && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    amcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_armoriq_module);

    if (amcf == NULL || !amcf->used) {
        return NGX_OK;
    }

    w = ngx_pcalloc(cycle->pool, sizeof(ngx_armoriq_worker_t));
    if (w == NULL) {
        return NGX_ERROR;
    }

    w->conf = amcf;
    w->cycle = cycle;

    ngx_armoriq_worker_seal(cycle);

    if (ngx_armoriq_worker_init(w) != NGX_OK) {

        /*
         * No worker that could not refuse: without amcf->worker every request
         * is denied.  To exit here would only make the master try again.
         */

        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "armoriq: everything will be denied");
        return NGX_OK;
    }

    amcf->worker = w;

    return NGX_OK;
}


static ngx_int_t
ngx_armoriq_worker_init(ngx_armoriq_worker_t *w)
{
    void                *memo;
    aiq_err_t            err;
    ngx_armoriq_zone_t  *zone;

    err.text[0] = '\0';

    w->crypto = aiq_crypto_new();

    if (w->crypto == NULL
        || aiq_random(&w->rid[0], sizeof(uint64_t)) != AIQ_OK)
    {
        ngx_log_error(NGX_LOG_EMERG, w->cycle->log, 0,
                      "armoriq: libcrypto cannot be used");
        return NGX_ERROR;
    }

    ngx_queue_init(&w->keep);

    if (ngx_armoriq_digest(w) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, w->cycle->log, 0,
                      "armoriq: no hash of the configuration can be made");
        return NGX_ERROR;
    }

    w->arena_start = ngx_alloc(NGX_ARMORIQ_ARENA, w->cycle->log);
    w->rules = ngx_pcalloc(w->cycle->pool, NGX_ARMORIQ_RULES
                                           * sizeof(ngx_armoriq_rules_t));

    memo = ngx_palloc(w->cycle->pool, aiq_token_memo_size(NGX_ARMORIQ_MEMO));

    if (w->arena_start == NULL || w->rules == NULL || memo == NULL) {
        return NGX_ERROR;
    }

    w->memo = aiq_token_memo_init(memo, NGX_ARMORIQ_MEMO);

    if (aiq_store_open(&w->store, (char *) w->conf->store.data,
                       w->conf->api ? AIQ_STORE_WRITE : 0, &err)
        != AIQ_OK)
    {
        ngx_log_error(NGX_LOG_EMERG, w->cycle->log, 0,
                      "armoriq: the store cannot be opened: %s", err.text);
        return NGX_ERROR;
    }

    zone = w->conf->zone->data;

    ngx_memcpy(w->inst_buf, zone->sh->inst, 16);

    w->inst.data = w->inst_buf;
    w->inst.len = ngx_sprintf(w->inst_buf + 16, ".%P", ngx_pid)
                  - w->inst_buf;

    ngx_armoriq_shm_ops(w);

    if (ngx_armoriq_journal_init(w) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_armoriq_sign_init(w);

    if (ngx_armoriq_witness_init(w) != NGX_OK) {
        return NGX_ERROR;
    }

    w->reap.handler = ngx_armoriq_worker_reap;
    w->reap.data = w;
    w->reap.log = w->cycle->log;
    w->reap.cancelable = 1;

    aiq_store_reap(w->store);
    ngx_add_timer(&w->reap, NGX_ARMORIQ_REAP);

    return NGX_OK;
}


/* slots of readers that were killed would fill the table in time (L5) */

static void
ngx_armoriq_worker_reap(ngx_event_t *ev)
{
    ngx_armoriq_worker_t  *w;

    w = ev->data;

    aiq_store_reap(w->store);

    if (!ngx_exiting) {
        ngx_add_timer(ev, NGX_ARMORIQ_REAP);
    }
}


/* nginx makes its workers dumpable; ours hold tokens and keys (S10) */

static void
ngx_armoriq_worker_seal(ngx_cycle_t *cycle)
{
    struct rlimit  none;

    none.rlim_cur = 0;
    none.rlim_max = 0;

    if (setrlimit(RLIMIT_CORE, &none) == -1) {
        ngx_log_error(NGX_LOG_WARN, cycle->log, ngx_errno,
                      "armoriq: setrlimit(RLIMIT_CORE, 0) failed");
    }

#if (NGX_HAVE_PR_SET_DUMPABLE)

    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1) {
        ngx_log_error(NGX_LOG_WARN, cycle->log, ngx_errno,
                      "armoriq: prctl(PR_SET_DUMPABLE, 0) failed");
    }

#endif
}


void
ngx_armoriq_exit_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                i;
    ngx_armoriq_worker_t     *w;
    ngx_armoriq_main_conf_t  *amcf;

    amcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_armoriq_module);

    if (amcf == NULL || amcf->worker == NULL) {
        return;
    }

    w = amcf->worker;
    amcf->worker = NULL;

    if (w->reap.timer_set) {
        ngx_del_timer(&w->reap);
    }

    ngx_armoriq_journal_exit(w);
    ngx_armoriq_sign_exit(w);
    ngx_armoriq_witness_exit(w);

    aiq_store_close(w->store);
    aiq_crypto_free(w->crypto);

    for (i = 0; i < NGX_ARMORIQ_RULES; i++) {

        if (w->rules[i].mem) {
            ngx_free(w->rules[i].mem);
        }
    }

    ngx_free(w->arena_start);
}


ngx_armoriq_worker_t *
ngx_armoriq_get_worker(ngx_http_request_t *r)
{
    ngx_armoriq_main_conf_t  *amcf;

    amcf = ngx_http_get_module_main_conf(r, ngx_armoriq_module);

    return amcf->worker;
}


/* the memory of one decision: whatever was in it is gone */

aiq_mem_t *
ngx_armoriq_arena(ngx_armoriq_worker_t *w)
{
    w->arena.pos = w->arena_start;
    w->arena.end = w->arena_start + NGX_ARMORIQ_ARENA;

    return &w->arena;
}


/*
 * The rules of an org, compiled when they are first asked for, and again when
 * the revision of the store has changed: one number is read per decision.
 */

aiq_rc_t
ngx_armoriq_ruleset(void *data, aiq_store_txn_t *txn, aiq_str_t org,
    const aiq_ruleset_t **rules, aiq_err_t *err)
{
    ngx_armoriq_worker_t *w = data;

    size_t                size;
    u_char               *p;
    aiq_rc_t              rc;
    uint64_t              revision;
    aiq_mem_t             mem;
    aiq_ruleset_t         loaded;
    ngx_armoriq_rules_t  *slot;

    rc = aiq_store_revision(txn, &revision);

    if (rc != AIQ_OK) {
        return aiq_fail(err, rc, "the revision of the store cannot be read");
    }

    slot = &w->rules[ngx_crc32_short((u_char *) org.data, org.len)
                     % NGX_ARMORIQ_RULES];

    if (slot->mem && slot->rules.revision == revision
        && aiq_str_eq(slot->rules.org.name, org))
    {
        *rules = &slot->rules;
        return AIQ_OK;
    }

    /*
     * The org may be one that an unverified token names: what is in the slot
     * gives way only to rules that are there.
     */

    for (size = 64 * 1024; size <= 16 * 1024 * 1024; size *= 4) {

        p = ngx_alloc(size, w->cycle->log);
        if (p == NULL) {
            return AIQ_E_NO_MEMORY;
        }

        mem.pos = p;
        mem.end = p + size;

        rc = aiq_ruleset_load(&loaded, txn, org, aiq_tzfile_load, NULL, &mem,
                              err);

        if (rc == AIQ_OK) {

            if (slot->mem) {
                ngx_free(slot->mem);
            }

            slot->mem = p;
            slot->rules = loaded;

            aiq_wipe(&loaded.salt, sizeof(aiq_salt_t));

            *rules = &slot->rules;
            return AIQ_OK;
        }

        ngx_free(p);

        if (rc != AIQ_E_NO_MEMORY && rc != AIQ_D_JSON_TOO_LARGE) {
            return rc;
        }
    }

    return rc;
}
