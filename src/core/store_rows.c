
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Transactions of the store and the rows in them.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"


static aiq_rc_t aiq_store_begin_read(aiq_store_t *store, int *mrc);
static aiq_rc_t aiq_store_begin_write(aiq_store_t *store, MDB_txn **mtxn,
    int *mrc);
static int aiq_store_is_writer(aiq_store_t *store);
static aiq_rc_t aiq_store_end(aiq_store_txn_t *txn, int commit,
    aiq_err_t *err);
static aiq_rc_t aiq_store_build(aiq_store_key_t *key, aiq_str_t org,
    aiq_store_kind_e kind, aiq_str_t id);
static int aiq_store_counts(aiq_store_kind_e kind);


aiq_rc_t
aiq_store_read(aiq_store_t *store, aiq_store_txn_t **txn, aiq_crypto_t *c,
    aiq_err_t *err)
{
    int       mrc;
    aiq_rc_t  rc;

    *txn = NULL;

    rc = aiq_store_here(store, err);

    if (rc != AIQ_OK) {
        return rc;
    }

    (void) pthread_mutex_lock(&store->lock);

    if (store->read.active) {
        (void) pthread_mutex_unlock(&store->lock);
        return aiq_fail(err, AIQ_E_INTERNAL,
                        "a read of the store is under way");
    }

    rc = aiq_store_begin_read(store, &mrc);

    if (rc == AIQ_OK) {
        store->read.active = 1;
    }

    (void) pthread_mutex_unlock(&store->lock);

    if (rc != AIQ_OK) {
        return aiq_store_fault(store, mrc, "mdb_txn_renew()", err);
    }

    store->read.store = store;
    store->read.crypto = c;

    *txn = &store->read;

    return AIQ_OK;
}


static aiq_rc_t
aiq_store_begin_read(aiq_store_t *store, int *mrc)
{
    int       rc, dead;
    unsigned  resized, full;

    resized = 0;
    full = 0;

    for ( ;; ) {

        if (store->read.txn) {
            rc = mdb_txn_renew(store->read.txn);

        } else {
            rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY,
                               &store->read.txn);

            if (rc != 0) {
                store->read.txn = NULL;
            }
        }

        if (rc == 0) {
            return AIQ_OK;
        }

        if (rc == MDB_READERS_FULL && !full) {
            full = 1;

            rc = mdb_reader_check(store->env, &dead);

            if (rc == 0) {
                continue;
            }
        }

        /*
         * The map must not move under a writer of another thread: this read
         * fails then, and the next one or the writer itself will do it.
         */

        if (rc == MDB_MAP_RESIZED && !resized && store->others == 0) {
            resized = 1;

            rc = mdb_env_set_mapsize(store->env, 0);

            if (rc == 0) {
                continue;
            }
        }

        *mrc = rc;

        return AIQ_E_STORE_UNAVAILABLE;
    }
}


aiq_rc_t
aiq_store_write(aiq_store_t *store, aiq_store_txn_t **txn, aiq_crypto_t *c,
    aiq_err_t *err)
{
    int       mrc;
    MDB_txn  *mtxn;
    aiq_rc_t  rc;

    *txn = NULL;

    rc = aiq_store_here(store, err);

    if (rc != AIQ_OK) {
        return rc;
    }

    if (!store->writes) {
        return aiq_fail(err, AIQ_E_INTERNAL,
                        "the store was opened for reading");
    }

    /* LMDB would wait for itself, for ever */

    if (aiq_store_is_writer(store)) {
        return aiq_fail(err, AIQ_E_INTERNAL,
                        "this thread writes to the store already");
    }

    rc = aiq_store_begin_write(store, &mtxn, &mrc);

    if (rc != AIQ_OK) {
        return aiq_store_fault(store, mrc, "mdb_txn_begin()", err);
    }

    /* the lock of LMDB is ours from here: so is this structure */

    store->write.store = store;
    store->write.txn = mtxn;
    store->write.crypto = c;
    store->write.active = 1;
    store->write.write = 1;
    store->write.changed = 0;
    store->write.failed = 0;

    *txn = &store->write;

    return AIQ_OK;
}


static aiq_rc_t
aiq_store_begin_write(aiq_store_t *store, MDB_txn **mtxn, int *mrc)
{
    int  rc;

    (void) pthread_mutex_lock(&store->lock);
    store->others++;
    (void) pthread_mutex_unlock(&store->lock);

    rc = mdb_txn_begin(store->env, NULL, 0, mtxn);

    if (rc == MDB_MAP_RESIZED) {
        (void) pthread_mutex_lock(&store->lock);

        /* the map moves, so nobody else in this process may look at it */

        if (store->others == 1 && !store->read.active) {
            rc = mdb_env_set_mapsize(store->env, 0);
        }

        (void) pthread_mutex_unlock(&store->lock);

        if (rc == 0) {
            rc = mdb_txn_begin(store->env, NULL, 0, mtxn);
        }
    }

    (void) pthread_mutex_lock(&store->lock);

    if (rc == 0) {
        store->writer = pthread_self();
        store->writing = 1;

    } else {
        store->others--;
    }

    (void) pthread_mutex_unlock(&store->lock);

    *mrc = rc;

    return (rc == 0) ? AIQ_OK : AIQ_E_STORE_UNAVAILABLE;
}


static int
aiq_store_is_writer(aiq_store_t *store)
{
    int  is;

    (void) pthread_mutex_lock(&store->lock);

    is = store->writing && pthread_equal(store->writer, pthread_self());

    (void) pthread_mutex_unlock(&store->lock);

    return is;
}


aiq_rc_t
aiq_store_commit(aiq_store_txn_t *txn, aiq_err_t *err)
{
    uint64_t  revision;
    aiq_rc_t  rc;

    if (!txn->write) {
        return aiq_store_end(txn, 1, err);
    }

    if (txn->failed) {
        aiq_store_abort(txn);
        return aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                        "nothing was written: a row before could not be");
    }

    if (txn->changed) {
        rc = aiq_store_meta(txn, AIQ_STORE_META_REVISION, &revision);

        if (rc != AIQ_OK || revision == UINT64_MAX) {
            aiq_store_abort(txn);
            return aiq_fail(err, AIQ_E_STORE_CORRUPT,
                            "the revision of the store cannot be read");
        }

        rc = aiq_store_meta_put(txn, AIQ_STORE_META_REVISION, revision + 1,
                                err);

        if (rc != AIQ_OK) {
            aiq_store_abort(txn);
            return rc;
        }
    }

    return aiq_store_end(txn, 1, err);
}


void
aiq_store_abort(aiq_store_txn_t *txn)
{
    (void) aiq_store_end(txn, 0, NULL);
}


static aiq_rc_t
aiq_store_end(aiq_store_txn_t *txn, int commit, aiq_err_t *err)
{
    int           mrc;
    MDB_txn      *mtxn;
    aiq_rc_t      rc;
    aiq_store_t  *store;

    store = txn->store;

    /* in a child it is the transaction of the parent: not ours to end */

    rc = aiq_store_here(store, err);

    if (rc != AIQ_OK) {
        return rc;
    }

    if (!txn->active) {
        return aiq_fail(err, AIQ_E_INTERNAL, "this transaction has ended");
    }

    if (!txn->write) {
        (void) pthread_mutex_lock(&store->lock);

        mdb_txn_reset(txn->txn);
        txn->crypto = NULL;
        txn->active = 0;

        (void) pthread_mutex_unlock(&store->lock);

        return AIQ_OK;
    }

    /* behind the end txn may be that of the next writer */

    mtxn = txn->txn;

    txn->txn = NULL;
    txn->crypto = NULL;
    txn->active = 0;

    (void) pthread_mutex_lock(&store->lock);
    store->writing = 0;
    (void) pthread_mutex_unlock(&store->lock);

    mrc = 0;

    if (commit) {
        mrc = mdb_txn_commit(mtxn);

    } else {
        mdb_txn_abort(mtxn);
    }

    (void) pthread_mutex_lock(&store->lock);
    store->others--;
    (void) pthread_mutex_unlock(&store->lock);

    if (mrc != 0) {
        return aiq_store_fault(store, mrc, "mdb_txn_commit()", err);
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_store_get(aiq_store_txn_t *txn, aiq_str_t org, aiq_store_kind_e kind,
    aiq_str_t id, aiq_str_t *value)
{
    int              mrc;
    MDB_val          k, v;
    aiq_rc_t         rc;
    aiq_store_key_t  key;

    aiq_str_null(value);

    rc = aiq_store_build(&key, org, kind, id);

    if (rc != AIQ_OK) {
        return rc;
    }

    if (id.len == 0) {
        return AIQ_DECLINED;
    }

    k.mv_data = key.data;
    k.mv_size = key.len;

    mrc = mdb_get(txn->txn, txn->store->dbi, &k, &v);

    if (mrc == MDB_NOTFOUND) {
        return AIQ_DECLINED;
    }

    if (mrc != 0) {
        return aiq_store_fault(txn->store, mrc, "mdb_get()", NULL);
    }

    return aiq_store_open_row(txn, &k, &v, value);
}


aiq_rc_t
aiq_store_put(aiq_store_txn_t *txn, aiq_str_t org, aiq_store_kind_e kind,
    aiq_str_t id, aiq_str_t value, aiq_err_t *err)
{
    aiq_rc_t  rc;

    if (kind == AIQ_STORE_META) {
        rc = aiq_fail(err, AIQ_E_INTERNAL,
                      "the store writes these rows by itself");

    } else {
        rc = aiq_store_put_row(txn, org, kind, id, value, err);
    }

    if (rc != AIQ_OK) {
        txn->failed = 1;
        return rc;
    }

    if (aiq_store_counts(kind)) {
        txn->changed = 1;
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_store_put_row(aiq_store_txn_t *txn, aiq_str_t org, aiq_store_kind_e kind,
    aiq_str_t id, aiq_str_t value, aiq_err_t *err)
{
    int              mrc;
    MDB_val          k, v;
    aiq_rc_t         rc;
    unsigned char   *row;
    aiq_store_key_t  key;
    unsigned char    small[4096];

    if (!txn->write) {
        return aiq_fail(err, AIQ_E_INTERNAL, "this transaction only reads");
    }

    rc = aiq_store_build(&key, org, kind, id);

    if (rc != AIQ_OK || id.len == 0) {
        return aiq_fail(err, AIQ_E_INTERNAL,
                        "the key of this row is empty or too long: an org "
                        "may have %d bytes, an id %d", AIQ_STORE_ORG_MAX,
                        AIQ_STORE_ID_MAX);
    }

    if (value.len > AIQ_STORE_VALUE_MAX) {
        return aiq_fail(err, AIQ_E_STORE_FULL, "the value is too large");
    }

    /* a copy: LMDB moves its pages while it writes, and value may be there */

    v.mv_size = AIQ_HASH_LEN + value.len;
    row = small;

    if (v.mv_size > sizeof(small)) {
        row = malloc(v.mv_size);
        if (row == NULL) {
            return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory");
        }
    }

    if (value.len) {
        memcpy(row + AIQ_HASH_LEN, value.data, value.len);
    }

    value.data = row + AIQ_HASH_LEN;

    k.mv_data = key.data;
    k.mv_size = key.len;
    v.mv_data = row;

    rc = aiq_store_mac(txn, &k, value, row);

    if (rc != AIQ_OK) {
        (void) aiq_fail(err, rc, "the MAC of a row cannot be computed");

    } else {
        mrc = mdb_put(txn->txn, txn->store->dbi, &k, &v, 0);

        if (mrc != 0) {
            rc = aiq_store_fault(txn->store, mrc, "mdb_put()", err);
        }
    }

    if (row != small) {
        free(row);
    }

    return rc;
}


aiq_rc_t
aiq_store_del(aiq_store_txn_t *txn, aiq_str_t org, aiq_store_kind_e kind,
    aiq_str_t id, aiq_err_t *err)
{
    int              mrc;
    MDB_val          k;
    aiq_rc_t         rc;
    aiq_store_key_t  key;

    if (!txn->write || kind == AIQ_STORE_META) {
        txn->failed = 1;
        return aiq_fail(err, AIQ_E_INTERNAL, "this row cannot be deleted");
    }

    rc = aiq_store_build(&key, org, kind, id);

    if (rc == AIQ_DECLINED || (rc == AIQ_OK && id.len == 0)) {
        return AIQ_DECLINED;
    }

    if (rc != AIQ_OK) {
        txn->failed = 1;
        return aiq_fail(err, rc, "rows of this kind have another key");
    }

    k.mv_data = key.data;
    k.mv_size = key.len;

    mrc = mdb_del(txn->txn, txn->store->dbi, &k, NULL);

    if (mrc == MDB_NOTFOUND) {
        return AIQ_DECLINED;
    }

    if (mrc != 0) {
        txn->failed = 1;
        return aiq_store_fault(txn->store, mrc, "mdb_del()", err);
    }

    if (aiq_store_counts(kind)) {
        txn->changed = 1;
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_store_each(aiq_store_txn_t *txn, aiq_str_t org, aiq_store_kind_e kind,
    aiq_store_each_pt each, void *data)
{
    int              mrc;
    MDB_val          k, v;
    aiq_rc_t         rc;
    aiq_str_t        id, value;
    MDB_cursor      *cursor;
    aiq_store_key_t  key;

    aiq_str_null(&id);

    rc = aiq_store_build(&key, org, kind, id);

    if (rc != AIQ_OK) {
        return (rc == AIQ_DECLINED) ? AIQ_OK : rc;
    }

    mrc = mdb_cursor_open(txn->txn, txn->store->dbi, &cursor);

    if (mrc != 0) {
        return aiq_store_fault(txn->store, mrc, "mdb_cursor_open()", NULL);
    }

    k.mv_data = key.data;
    k.mv_size = key.len;

    mrc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);

    while (mrc == 0 && k.mv_size >= key.len
           && memcmp(k.mv_data, key.data, key.len) == 0)
    {
        rc = (k.mv_size == key.len) ? AIQ_E_STORE_CORRUPT
                                    : aiq_store_open_row(txn, &k, &v, &value);

        if (rc == AIQ_OK) {
            id.data = (unsigned char *) k.mv_data + key.len;
            id.len = k.mv_size - key.len;

            rc = each(data, id, value);
        }

        if (rc != AIQ_OK) {
            mdb_cursor_close(cursor);
            return rc;
        }

        mrc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }

    mdb_cursor_close(cursor);

    if (mrc != 0 && mrc != MDB_NOTFOUND) {
        return aiq_store_fault(txn->store, mrc, "mdb_cursor_get()", NULL);
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_store_meta(aiq_store_txn_t *txn, const char *name, uint64_t *n)
{
    size_t         i;
    uint64_t       v;
    aiq_rc_t       rc;
    aiq_str_t      none, value;
    unsigned char  ch;

    aiq_str_null(&none);

    rc = aiq_store_get(txn, none, AIQ_STORE_META, aiq_cstr(name), &value);

    if (rc != AIQ_OK) {
        return rc;
    }

    if (value.len == 0) {
        return AIQ_E_STORE_CORRUPT;
    }

    v = 0;

    for (i = 0; i < value.len; i++) {
        ch = value.data[i];

        if (ch < '0' || ch > '9'
            || v > (UINT64_MAX - (uint64_t) (ch - '0')) / 10)
        {
            return AIQ_E_STORE_CORRUPT;
        }

        v = v * 10 + (uint64_t) (ch - '0');
    }

    *n = v;

    return AIQ_OK;
}


aiq_rc_t
aiq_store_meta_put(aiq_store_txn_t *txn, const char *name, uint64_t n,
    aiq_err_t *err)
{
    int        len;
    char       buf[24];
    aiq_str_t  none, value;

    aiq_str_null(&none);

    len = snprintf(buf, sizeof(buf), "%llu", (unsigned long long) n);

    value.data = (unsigned char *) buf;
    value.len = (len > 0) ? (size_t) len : 0;

    return aiq_store_put_row(txn, none, AIQ_STORE_META, aiq_cstr(name), value,
                             err);
}


aiq_rc_t
aiq_store_revision(aiq_store_txn_t *txn, uint64_t *revision)
{
    size_t        id;
    aiq_rc_t      rc;
    aiq_store_t  *store;

    store = txn->store;
    id = txn->write ? 0 : mdb_txn_id(txn->txn);

    /* asked with each decision, and more than once */

    if (id != 0 && id == store->seen) {
        *revision = store->revision;
        return AIQ_OK;
    }

    rc = aiq_store_meta(txn, AIQ_STORE_META_REVISION, revision);

    if (rc == AIQ_OK && id != 0) {
        store->seen = id;
        store->revision = *revision;
    }

    return (rc == AIQ_DECLINED) ? AIQ_E_STORE_CORRUPT : rc;
}


/* the key of a row, or with an empty id the prefix of all of a kind */

static aiq_rc_t
aiq_store_build(aiq_store_key_t *key, aiq_str_t org, aiq_store_kind_e kind,
    aiq_str_t id)
{
    unsigned char  *p;

    if (aiq_store_kind(kind) == NULL
        || aiq_store_global(kind) != (org.len == 0))
    {
        return AIQ_E_INTERNAL;
    }

    if (org.len > AIQ_STORE_ORG_MAX || id.len > AIQ_STORE_ID_MAX) {
        return AIQ_DECLINED;
    }

    p = key->data;

    *p++ = (unsigned char) org.len;

    if (org.len) {
        memcpy(p, org.data, org.len);
        p += org.len;
    }

    *p++ = (unsigned char) kind;

    if (id.len) {
        memcpy(p, id.data, id.len);
        p += id.len;
    }

    key->len = (size_t) (p - key->data);

    return AIQ_OK;
}


/* plans and tokens come by the thousand and change nothing in force */

static int
aiq_store_counts(aiq_store_kind_e kind)
{
    return kind != AIQ_STORE_PLAN && kind != AIQ_STORE_PLANDOC
           && kind != AIQ_STORE_TOKEN;
}
