
/*
 * Copyright (C) ngx_armoriq authors
 *
 * A store with a small map: what happens when it is full, or when another
 * process has made it larger.
 */


#include <sys/wait.h>
#include <unistd.h>

#define AIQ_STORE_MAPSIZE  ((size_t) 1 << 20)

#include "../../src/core/store.c"

#include "tap.h"
#include "tmpdir.h"


#define VALUE  4000


static aiq_crypto_t   *crypto;
static aiq_err_t       err;
static unsigned char   value[VALUE];


/* n rows in a commit; what the first failure was */

static aiq_rc_t
fill(aiq_store_t *store, unsigned from, unsigned n)
{
    char              id[32];
    unsigned          i;
    aiq_rc_t          rc, end;
    aiq_str_t         v;
    aiq_store_txn_t  *txn;

    v.data = value;
    v.len = VALUE;

    rc = aiq_store_write(store, &txn, crypto, &err);

    if (rc != AIQ_OK) {
        return rc;
    }

    for (i = from; i < from + n && rc == AIQ_OK; i++) {
        snprintf(id, sizeof(id), "u%u", i);
        rc = aiq_store_put(txn, aiq_cstr("acme"), AIQ_STORE_USER,
                           aiq_cstr(id), v, &err);
    }

    end = aiq_store_commit(txn, (rc == AIQ_OK) ? &err : NULL);

    if (rc != AIQ_OK && end == AIQ_OK) {
        return AIQ_E_INTERNAL;
    }

    return (rc != AIQ_OK) ? rc : end;
}


static aiq_rc_t
look(aiq_store_t *store, const char *id)
{
    aiq_rc_t          rc;
    aiq_str_t         v;
    aiq_store_txn_t  *txn;

    rc = aiq_store_read(store, &txn, crypto, &err);

    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_store_get(txn, aiq_cstr("acme"), AIQ_STORE_USER, aiq_cstr(id),
                       &v);

    aiq_store_abort(txn);

    return rc;
}


/* in a process of its own, with a larger map */

static void
grow(const char *dir, size_t size)
{
    char      id[32];
    int       status;
    pid_t     pid;
    MDB_dbi   dbi;
    MDB_env  *env;
    MDB_txn  *txn;
    MDB_val   k, v;
    unsigned  i;

    fflush(stdout);
    pid = fork();

    if (pid == 0) {
        if (mdb_env_create(&env) != 0
            || mdb_env_set_mapsize(env, 2 * size) != 0
            || mdb_env_open(env, dir, MDB_NOTLS, 0640) != 0
            || mdb_txn_begin(env, NULL, 0, &txn) != 0
            || mdb_dbi_open(txn, NULL, 0, &dbi) != 0)
        {
            _exit(1);
        }

        for (i = 0; i < size / VALUE; i++) {
            snprintf(id, sizeof(id), "%c%zu%u", 200, size, i);
            k.mv_data = id;
            k.mv_size = strlen(id);
            v.mv_data = value;
            v.mv_size = VALUE;

            if (mdb_put(txn, dbi, &k, &v, 0) != 0) {
                _exit(1);
            }
        }

        _exit(mdb_txn_commit(txn) != 0);
    }

    ok(waitpid(pid, &status, 0) == pid && WIFEXITED(status)
       && WEXITSTATUS(status) == 0, "another process grows the map to %zu",
       2 * size);
}


static void
test_full(const char *dir)
{
    unsigned          i;
    aiq_rc_t          rc;
    aiq_store_t      *store;
    aiq_store_txn_t  *txn;

    if (aiq_store_open(&store, dir, AIQ_STORE_CREATE, &err) != AIQ_OK) {
        printf("Bail out! %s\n", err.text);
        exit(1);
    }

    rc = AIQ_OK;

    for (i = 0; i < 1000 && rc == AIQ_OK; i += 10) {
        rc = fill(store, i, 10);
    }

    ok(rc == AIQ_E_STORE_FULL, "full after %u rows: %s", i, err.text);
    ok(look(store, "u0") == AIQ_OK && look(store, "u999") == AIQ_DECLINED,
       "reads go on");
    ok(fill(store, 2000, 100) == AIQ_E_STORE_FULL, "still full");
    ok(aiq_store_write(store, &txn, crypto, &err) == AIQ_OK
       && aiq_store_del(txn, aiq_cstr("acme"), AIQ_STORE_USER,
                        aiq_cstr("u5"), &err) == AIQ_OK
       && aiq_store_commit(txn, &err) == AIQ_OK
       && look(store, "u5") == AIQ_DECLINED, "a row can be taken away");

    aiq_store_close(store);
}


static void
test_resized(const char *dir)
{
    aiq_rc_t          rc;
    aiq_store_t      *store;
    aiq_store_txn_t  *txn, *write;

    if (aiq_store_open(&store, dir, AIQ_STORE_CREATE, &err) != AIQ_OK) {
        printf("Bail out! %s\n", err.text);
        exit(1);
    }

    ok(fill(store, 0, 10) == AIQ_OK && look(store, "u1") == AIQ_OK,
       "a store");

    grow(dir, (size_t) 4 << 20);
    ok(look(store, "u1") == AIQ_OK, "the reader follows");

    grow(dir, (size_t) 16 << 20);
    ok(fill(store, 10, 10) == AIQ_OK && look(store, "u11") == AIQ_OK,
       "the writer follows");

    /* not under the feet of a reader */

    ok(aiq_store_read(store, &txn, crypto, &err) == AIQ_OK, "a read");
    grow(dir, (size_t) 64 << 20);
    rc = aiq_store_write(store, &write, crypto, &err);
    ok(rc == AIQ_E_STORE_UNAVAILABLE && write == NULL,
       "the writer does not while somebody reads: %s", err.text);

    if (write) {
        aiq_store_abort(write);
    }

    aiq_store_abort(txn);
    ok(fill(store, 20, 10) == AIQ_OK && look(store, "u21") == AIQ_OK,
       "but after that");

    aiq_store_close(store);

    rc = aiq_store_open(&store, dir, 0, &err);
    ok(rc == AIQ_OK && look(store, "u21") == AIQ_OK,
       "opening takes the larger map");
    aiq_store_close(store);
}


int
main(void)
{
    char  root[PATH_MAX];

    crypto = aiq_crypto_new();

    if (crypto == NULL) {
        printf("Bail out! no crypto\n");
        return 1;
    }

    umask(022);
    tmpdir_make(root);
    memset(value, 'v', VALUE);

    test_full(in(root, "full"));
    test_resized(in(root, "resized"));

    tmpdir_remove(root);
    aiq_crypto_free(crypto);

    return done_testing();
}
