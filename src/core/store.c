
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The life of the environment: open, first rows, close.  Transactions and
 * rows are in store_rows.c, files and keys in store_keys.c, check and backup
 * in store_check.c.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store_internal.h"


static aiq_rc_t aiq_store_page(aiq_store_t *store, aiq_err_t *err);
static aiq_rc_t aiq_store_files(aiq_store_t *store, unsigned flags,
    aiq_err_t *err);
static aiq_rc_t aiq_store_key(aiq_store_t *store, unsigned flags,
    int have_data, aiq_err_t *err);
static aiq_rc_t aiq_store_env(aiq_store_t *store, aiq_err_t *err);
static aiq_rc_t aiq_store_rows(aiq_store_t *store, unsigned flags,
    aiq_err_t *err);
static aiq_rc_t aiq_store_init(aiq_store_t *store, aiq_crypto_t *c,
    aiq_err_t *err);
static aiq_rc_t aiq_store_verify(aiq_store_txn_t *txn, aiq_err_t *err);
static aiq_rc_t aiq_store_uuid_put(aiq_store_txn_t *txn, aiq_err_t *err);


aiq_rc_t
aiq_store_open(aiq_store_t **out, const char *dir, unsigned flags,
    aiq_err_t *err)
{
    size_t        len;
    aiq_rc_t      rc;
    aiq_store_t  *store;

    *out = NULL;

    len = strlen(dir);

    store = calloc(1, sizeof(aiq_store_t) + len + 1);
    if (store == NULL) {
        return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory");
    }

    memcpy(store->dir, dir, len + 1);

    if (flags & AIQ_STORE_CREATE) {
        flags |= AIQ_STORE_WRITE;
    }

    store->pid = getpid();
    store->writes = (flags & AIQ_STORE_WRITE) != 0;

    rc = aiq_store_page(store, err);

    if (rc != AIQ_OK) {
        free(store);
        return rc;
    }

    if (pthread_mutex_init(&store->lock, NULL) != 0) {
        (void) munmap(store->page, sizeof(aiq_store_page_t));
        free(store);
        return aiq_fail(err, AIQ_E_INTERNAL, "pthread_mutex_init() failed");
    }

    rc = aiq_store_files(store, flags, err);

    if (rc == AIQ_OK) {
        rc = aiq_store_env(store, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_store_rows(store, flags, err);
    }

    if (rc != AIQ_OK) {
        aiq_store_close(store);
        return rc;
    }

    *out = store;

    return AIQ_OK;
}


static aiq_rc_t
aiq_store_page(aiq_store_t *store, aiq_err_t *err)
{
    void  *p;

    p = mmap(NULL, sizeof(aiq_store_page_t), PROT_READ|PROT_WRITE,
             MAP_PRIVATE|MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory");
    }

    /* kernels before 4.14 cannot wipe: then the pid is asked for instead */

    store->wiped = (madvise(p, sizeof(aiq_store_page_t), MADV_WIPEONFORK)
                    == 0);

    (void) madvise(p, sizeof(aiq_store_page_t), MADV_DONTDUMP);

    store->page = p;
    store->page->here = 1;

    return AIQ_OK;
}


static aiq_rc_t
aiq_store_files(aiq_store_t *store, unsigned flags, aiq_err_t *err)
{
    char         path[AIQ_STORE_PATH], data[AIQ_STORE_PATH];
    aiq_rc_t     rc, have;
    struct stat  st;

    rc = aiq_store_path(data, store->dir, "data.mdb", err);

    if (rc != AIQ_OK) {
        return rc;
    }

    if (flags & AIQ_STORE_CREATE) {
        rc = aiq_store_make_dir(store->dir, err);

    } else {
        rc = aiq_store_check_dir(store->dir, err);
    }

    if (rc != AIQ_OK && rc != AIQ_DECLINED) {
        return rc;
    }

    have = aiq_store_check_file(data, err);

    if (have != AIQ_OK && have != AIQ_DECLINED) {
        return have;
    }

    if (rc == AIQ_DECLINED
        || (have == AIQ_DECLINED && !(flags & AIQ_STORE_CREATE)))
    {
        return aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                        "there is no store, run: armoriqctl init "
                        "--store %s --org NAME", store->dir);
    }

    /* LMDB would read behind the end of a file that was cut off, and die */

    if (have == AIQ_OK && stat(data, &st) == 0
        && st.st_size < AIQ_STORE_SIZE_MIN)
    {
        return aiq_fail(err, AIQ_E_STORE_CORRUPT,
                        "\"%s\" has only %lld bytes: restore it from a backup",
                        data, (long long) st.st_size);
    }

    rc = aiq_store_key(store, flags, have == AIQ_OK, err);

    if (rc != AIQ_OK || !(flags & AIQ_STORE_CREATE)) {
        return rc;
    }

    rc = aiq_store_path(path, store->dir, "keys", err);

    if (rc == AIQ_OK) {
        rc = aiq_store_make_dir(path, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_store_path(path, store->dir, "lock.mdb", err);
    }

    /* LMDB takes an empty file for a new one, but would choose the mode */

    if (rc == AIQ_OK) {
        rc = aiq_store_make_file(path, AIQ_STORE_LOCK_MODE, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_store_make_file(data, AIQ_STORE_MODE, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_store_sync_dir(store->dir, err);
    }

    return rc;
}


static aiq_rc_t
aiq_store_key(aiq_store_t *store, unsigned flags, int have_data,
    aiq_err_t *err)
{
    char      path[AIQ_STORE_PATH];
    aiq_rc_t  rc;

    rc = aiq_store_path(path, store->dir, "store.key", err);

    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_store_secret_read(path, store->page->key, err);

    if (rc != AIQ_DECLINED) {
        return rc;
    }

    /* a new key would only make every row of the old one look forged */

    if (have_data || !(flags & AIQ_STORE_CREATE)) {
        return aiq_fail(err, AIQ_E_STORE_CORRUPT,
                        "\"%s\" is missing, put it back from your backup of "
                        "the keys", path);
    }

    rc = aiq_random(store->page->key, AIQ_KEY_LEN);

    if (rc != AIQ_OK) {
        return aiq_fail(err, rc, "no random bytes");
    }

    rc = aiq_store_secret_write(store->dir, path, store->page->key, err);

    if (rc != AIQ_DECLINED) {
        return rc;
    }

    /* somebody else was faster */

    rc = aiq_store_secret_read(path, store->page->key, err);

    if (rc == AIQ_DECLINED) {
        rc = aiq_fail(err, AIQ_E_STORE_UNAVAILABLE, "\"%s\" is gone again",
                      path);
    }

    return rc;
}


static aiq_rc_t
aiq_store_env(aiq_store_t *store, aiq_err_t *err)
{
    int        rc, dead;
    MDB_txn   *txn;
    unsigned   flags;

    txn = NULL;
    flags = MDB_NOTLS;

    if (!store->writes) {
        flags |= MDB_RDONLY;
    }

    rc = mdb_env_create(&store->env);

    if (rc != 0) {
        store->env = NULL;
        return aiq_store_fault(store, rc, "mdb_env_create()", err);
    }

    rc = mdb_env_set_mapsize(store->env, AIQ_STORE_MAPSIZE);

    if (rc == 0) {
        rc = mdb_env_set_maxreaders(store->env, AIQ_STORE_READERS);
    }

    /* the mode of lock.mdb, should somebody have removed it */

    if (rc == 0) {
        rc = mdb_env_open(store->env, store->dir, flags, AIQ_STORE_LOCK_MODE);
    }

    if (rc != 0) {
        return aiq_store_fault(store, rc, "mdb_env_open()", err);
    }

    rc = mdb_reader_check(store->env, &dead);

    if (rc == 0) {
        rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
    }

    if (rc == MDB_MAP_RESIZED) {
        rc = mdb_env_set_mapsize(store->env, 0);

        if (rc == 0) {
            rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
        }
    }

    if (rc != 0) {
        return aiq_store_fault(store, rc, "mdb_txn_begin()", err);
    }

    rc = mdb_dbi_open(txn, NULL, 0, &store->dbi);

    /* duplicates or another order would make keys mean something else */

    if (rc == 0) {
        rc = mdb_dbi_flags(txn, store->dbi, &flags);

        if (rc == 0 && flags != 0) {
            rc = MDB_INCOMPATIBLE;
        }
    }

    mdb_txn_abort(txn);

    if (rc != 0) {
        return aiq_store_fault(store, rc, "mdb_dbi_open()", err);
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_store_rows(aiq_store_t *store, unsigned flags, aiq_err_t *err)
{
    aiq_rc_t          rc;
    aiq_crypto_t     *c;
    aiq_store_txn_t  *txn;

    c = aiq_crypto_new();
    if (c == NULL) {
        return aiq_fail(err, AIQ_E_CRYPTO_FAILED, "libcrypto failed");
    }

    rc = AIQ_OK;

    if (flags & AIQ_STORE_CREATE) {
        rc = aiq_store_init(store, c, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_store_read(store, &txn, c, err);

        if (rc == AIQ_OK) {
            rc = aiq_store_verify(txn, err);
            aiq_store_abort(txn);
        }
    }

    aiq_crypto_free(c);

    return rc;
}


/* the first rows, if there is no row at all */

static aiq_rc_t
aiq_store_init(aiq_store_t *store, aiq_crypto_t *c, aiq_err_t *err)
{
    int               mrc;
    MDB_stat          st;
    aiq_rc_t          rc;
    aiq_store_txn_t  *txn;

    rc = aiq_store_write(store, &txn, c, err);

    if (rc != AIQ_OK) {
        return rc;
    }

    mrc = mdb_stat(txn->txn, store->dbi, &st);

    if (mrc != 0) {
        aiq_store_abort(txn);
        return aiq_store_fault(store, mrc, "mdb_stat()", err);
    }

    if (st.ms_entries != 0) {
        aiq_store_abort(txn);
        return AIQ_OK;
    }

    rc = aiq_store_meta_put(txn, AIQ_STORE_META_SCHEMA, AIQ_STORE_SCHEMA, err);

    if (rc == AIQ_OK) {
        rc = aiq_store_meta_put(txn, AIQ_STORE_META_REVISION, 1, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_store_uuid_put(txn, err);
    }

    if (rc != AIQ_OK) {
        aiq_store_abort(txn);
        return rc;
    }

    return aiq_store_commit(txn, err);
}


static aiq_rc_t
aiq_store_verify(aiq_store_txn_t *txn, aiq_err_t *err)
{
    uint64_t   schema, revision;
    aiq_rc_t   rc;
    aiq_str_t  none, uuid;

    aiq_str_null(&none);

    rc = aiq_store_meta(txn, AIQ_STORE_META_SCHEMA, &schema);

    if (rc == AIQ_DECLINED) {
        return aiq_fail(err, AIQ_E_STORE_CORRUPT,
                        "\"%s/data.mdb\" has no schema row, it is not a "
                        "store or was not made to its end: restore a backup "
                        "or run armoriqctl init on a new directory",
                        txn->store->dir);
    }

    if (rc == AIQ_E_STORE_CORRUPT) {
        return aiq_fail(err, rc,
                        "\"%s/data.mdb\" was not written with the store.key "
                        "beside it, or was changed: restore both from "
                        "backups of the same store", txn->store->dir);
    }

    if (rc == AIQ_OK && schema != AIQ_STORE_SCHEMA) {
        return aiq_fail(err, AIQ_E_STORE_CORRUPT,
                        "\"%s/data.mdb\" has schema %llu, this program knows "
                        "%d: use the program that wrote it",
                        txn->store->dir, (unsigned long long) schema,
                        AIQ_STORE_SCHEMA);
    }

    if (rc == AIQ_OK) {
        rc = aiq_store_meta(txn, AIQ_STORE_META_REVISION, &revision);
    }

    if (rc == AIQ_OK) {
        rc = aiq_store_get(txn, none, AIQ_STORE_META,
                           aiq_cstr(AIQ_STORE_META_UUID), &uuid);
    }

    if (rc == AIQ_DECLINED || rc == AIQ_E_STORE_CORRUPT) {
        return aiq_fail(err, AIQ_E_STORE_CORRUPT,
                        "the revision or uuid of \"%s/data.mdb\" is missing "
                        "or was changed, restore a backup", txn->store->dir);
    }

    if (rc != AIQ_OK) {
        return aiq_fail(err, rc, "cannot read \"%s/data.mdb\"",
                        txn->store->dir);
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_store_uuid_put(aiq_store_txn_t *txn, aiq_err_t *err)
{
    char           buf[36];
    aiq_rc_t       rc;
    aiq_out_t      out;
    aiq_str_t      none;
    unsigned char  p[16];

    aiq_str_null(&none);

    rc = aiq_random(p, sizeof(p));

    if (rc != AIQ_OK) {
        return aiq_fail(err, rc, "no random bytes");
    }

    /* version 4, variant 1, RFC 9562 5.4 */

    p[6] = (unsigned char) ((p[6] & 0x0f) | 0x40);
    p[8] = (unsigned char) ((p[8] & 0x3f) | 0x80);

    aiq_out_init(&out, buf, sizeof(buf));
    aiq_out_hex(&out, p, 4);
    aiq_out_char(&out, '-');
    aiq_out_hex(&out, p + 4, 2);
    aiq_out_char(&out, '-');
    aiq_out_hex(&out, p + 6, 2);
    aiq_out_char(&out, '-');
    aiq_out_hex(&out, p + 8, 2);
    aiq_out_char(&out, '-');
    aiq_out_hex(&out, p + 10, 6);

    return aiq_store_put_row(txn, none, AIQ_STORE_META,
                             aiq_cstr(AIQ_STORE_META_UUID),
                             aiq_out_done(&out), err);
}


void
aiq_store_close(aiq_store_t *store)
{
    if (store == NULL) {
        return;
    }

    /*
     * In a child LMDB would give back the reader slots of the parent, so
     * there the environment stays as it is.
     */

    if (store->pid == getpid()) {

        if (store->read.txn) {
            mdb_txn_abort(store->read.txn);
        }

        if (store->env) {
            mdb_env_close(store->env);
        }

        (void) pthread_mutex_destroy(&store->lock);
    }

    aiq_wipe(store->page, sizeof(aiq_store_page_t));

    (void) munmap(store->page, sizeof(aiq_store_page_t));

    free(store);
}


const char *
aiq_store_dir(const aiq_store_t *store)
{
    return store->dir;
}


void
aiq_store_reap(aiq_store_t *store)
{
    int  dead;

    if (aiq_store_here(store, NULL) == AIQ_OK) {
        (void) mdb_reader_check(store->env, &dead);
    }
}
