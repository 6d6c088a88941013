
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What the tests of the store share: short ways to its functions, and a way
 * behind its back.
 */


#ifndef _AIQ_STORE_TEST_H_INCLUDED_
#define _AIQ_STORE_TEST_H_INCLUDED_


#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <sys/wait.h>
#include <unistd.h>

#include "b64.h"
#include "store.h"
#include "tap.h"
#include "tmpdir.h"


static aiq_crypto_t  *crypto;
static aiq_err_t      err;
static char           root[PATH_MAX];
static uint64_t       seed = 88172645463325252ULL;


__attribute__((unused))
static uint64_t
rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return seed;
}


__attribute__((unused))
static aiq_str_t
S(const char *s)
{
    return aiq_cstr(s);
}


__attribute__((unused))
static aiq_store_t *
must_open(const char *dir, unsigned flags)
{
    aiq_store_t  *store;

    err.text[0] = '\0';

    if (aiq_store_open(&store, dir, flags, &err) != AIQ_OK) {
        printf("Bail out! %s: %s\n", dir, err.text);
        exit(1);
    }

    return store;
}


__attribute__((unused))
static aiq_store_txn_t *
must_begin(aiq_store_t *store, int write)
{
    aiq_rc_t          rc;
    aiq_store_txn_t  *txn;

    rc = write ? aiq_store_write(store, &txn, crypto, &err)
               : aiq_store_read(store, &txn, crypto, &err);

    if (rc != AIQ_OK) {
        printf("Bail out! begin: %s\n", err.text);
        exit(1);
    }

    return txn;
}


/* one row in one transaction */

__attribute__((unused))
static aiq_rc_t
put(aiq_store_t *store, const char *org, aiq_store_kind_e kind,
    const char *id, const char *value)
{
    aiq_rc_t          rc;
    aiq_store_txn_t  *txn;

    txn = must_begin(store, 1);

    rc = aiq_store_put(txn, S(org), kind, S(id), S(value), &err);

    if (rc != AIQ_OK) {
        aiq_store_abort(txn);
        return rc;
    }

    return aiq_store_commit(txn, &err);
}


__attribute__((unused))
static aiq_rc_t
get(aiq_store_t *store, const char *org, aiq_store_kind_e kind,
    const char *id, const char *want)
{
    aiq_rc_t          rc;
    aiq_str_t         value;
    aiq_store_txn_t  *txn;

    txn = must_begin(store, 0);

    rc = aiq_store_get(txn, S(org), kind, S(id), &value);

    if (rc == AIQ_OK && want && !aiq_str_eq(value, S(want))) {
        rc = AIQ_E_INTERNAL;
    }

    aiq_store_abort(txn);

    return rc;
}


__attribute__((unused))
static uint64_t
revision(aiq_store_t *store)
{
    uint64_t          n;
    aiq_store_txn_t  *txn;

    txn = must_begin(store, 0);

    if (aiq_store_revision(txn, &n) != AIQ_OK) {
        n = 0;
    }

    aiq_store_abort(txn);

    return n;
}


/* the environment behind the back of the store, which must be closed */

__attribute__((unused))
static MDB_env *
raw_open(const char *dir, MDB_txn **txn, MDB_dbi *dbi)
{
    MDB_env  *env;

    if (mdb_env_create(&env) != 0
        || mdb_env_set_mapsize(env, (size_t) 64 << 20) != 0
        || mdb_env_open(env, dir, MDB_NOTLS, 0640) != 0
        || mdb_txn_begin(env, NULL, 0, txn) != 0
        || mdb_dbi_open(*txn, NULL, 0, dbi) != 0)
    {
        printf("Bail out! raw environment\n");
        exit(1);
    }

    return env;
}


__attribute__((unused))
static void
raw_close(MDB_env *env, MDB_txn *txn)
{
    if (mdb_txn_commit(txn) != 0) {
        printf("Bail out! raw commit\n");
        exit(1);
    }

    mdb_env_close(env);
}


__attribute__((unused))
static size_t
raw_key(unsigned char *buf, const char *org, int kind, const char *id)
{
    size_t  n, m;

    n = strlen(org);
    m = strlen(id);

    buf[0] = (unsigned char) n;
    memcpy(buf + 1, org, n);
    buf[1 + n] = (unsigned char) kind;
    memcpy(buf + 2 + n, id, m);

    return 2 + n + m;
}


/* reads a row with its MAC; returns its length */

__attribute__((unused))
static size_t
raw_get(const char *dir, const char *org, int kind, const char *id,
    unsigned char *row)
{
    MDB_dbi        dbi;
    MDB_env       *env;
    MDB_txn       *txn;
    MDB_val        k, v;
    unsigned char  key[512];

    env = raw_open(dir, &txn, &dbi);

    k.mv_data = key;
    k.mv_size = raw_key(key, org, kind, id);

    if (mdb_get(txn, dbi, &k, &v) != 0) {
        v.mv_size = 0;

    } else {
        memcpy(row, v.mv_data, v.mv_size);
    }

    raw_close(env, txn);

    return v.mv_size;
}


__attribute__((unused))
static void
raw_put(const char *dir, const char *org, int kind, const char *id,
    const unsigned char *row, size_t len)
{
    MDB_dbi        dbi;
    MDB_env       *env;
    MDB_txn       *txn;
    MDB_val        k, v;
    unsigned char  key[512];

    env = raw_open(dir, &txn, &dbi);

    k.mv_data = key;
    k.mv_size = raw_key(key, org, kind, id);
    v.mv_data = (void *) row;
    v.mv_size = len;

    if (mdb_put(txn, dbi, &k, &v, 0) != 0) {
        printf("Bail out! raw put\n");
        exit(1);
    }

    raw_close(env, txn);
}


/* a row as the owner of store.key would write it */

__attribute__((unused))
static void
forge(const char *dir, const char *org, int kind, const char *id,
    const char *value)
{
    char          *hex;
    aiq_str_t      secret, parts[3];
    unsigned char  key[512], row[512], len[2], k[32];

    hex = slurp(in(dir, "store.key"), NULL);

    if (hex == NULL) {
        printf("Bail out! store.key\n");
        exit(1);
    }

    secret.data = (unsigned char *) hex;
    secret.len = 64;

    if (aiq_hex_decode(secret, k, 32) != AIQ_OK) {
        printf("Bail out! store.key\n");
        exit(1);
    }

    free(hex);

    secret.data = k;
    secret.len = 32;

    parts[1].len = raw_key(key, org, kind, id);
    parts[1].data = key;
    len[0] = (unsigned char) (parts[1].len >> 8);
    len[1] = (unsigned char) parts[1].len;
    parts[0].data = len;
    parts[0].len = 2;
    parts[2] = S(value);

    if (aiq_hmac(crypto, secret, parts, 3, row) != AIQ_OK) {
        printf("Bail out! hmac\n");
        exit(1);
    }

    memcpy(row + 32, value, strlen(value));

    raw_put(dir, org, kind, id, row, 32 + strlen(value));
}


__attribute__((unused))
static void
copy(const char *from, const char *to)
{
    int      fd;
    char    *p;
    size_t   len;

    p = slurp(from, &len);
    fd = open(to, O_WRONLY|O_CREAT|O_TRUNC, 0640);

    if (p == NULL || fd == -1 || write(fd, p, len) != (ssize_t) len
        || close(fd) != 0)
    {
        printf("Bail out! copy\n");
        exit(1);
    }

    free(p);
}


__attribute__((unused))
static void
write_text(const char *path, const char *text, mode_t mode)
{
    FILE  *f;

    f = fopen(path, "wb");

    if (f == NULL || fputs(text, f) == EOF || fclose(f) != 0
        || chmod(path, mode) != 0)
    {
        printf("Bail out! write %s\n", path);
        exit(1);
    }
}


__attribute__((unused))
static int
child(pid_t pid)
{
    int  status;

    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
        return -1;
    }

    return WEXITSTATUS(status);
}


static void
test_begin(void)
{
    crypto = aiq_crypto_new();

    if (crypto == NULL) {
        printf("Bail out! no crypto\n");
        exit(1);
    }

    umask(022);
    tmpdir_make(root);
}


static int
test_end(void)
{
    tmpdir_remove(root);
    aiq_crypto_free(crypto);

    return done_testing();
}


#endif /* _AIQ_STORE_TEST_H_INCLUDED_ */
