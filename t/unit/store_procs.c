
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The store among processes and threads.
 */


#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

#include "store_internal.h"
#include "store_test.h"


static void
test_fork(void)
{
    pid_t             pid;
    aiq_str_t         value;
    const char       *dir;
    aiq_store_t      *store, *mine;
    aiq_store_txn_t  *txn, *other;

    dir = in(root, "fork");

    store = must_open(dir, AIQ_STORE_CREATE);
    ok(put(store, "a", AIQ_STORE_USER, "u", "one") == AIQ_OK, "a row");

    txn = must_begin(store, 0);

    fflush(stdout);
    pid = fork();

    if (pid == 0) {
        int       bad;
        uint64_t  rows;

        bad = 0;
        err.text[0] = '\0';

        bad |= (aiq_store_read(store, &other, crypto, &err)
                != AIQ_E_STORE_UNAVAILABLE) << 0;
        bad |= (strstr(err.text, "opened in another process") == NULL) << 1;
        bad |= (aiq_store_write(store, &other, crypto, &err)
                != AIQ_E_STORE_UNAVAILABLE) << 2;
        bad |= (aiq_store_commit(txn, &err) != AIQ_E_STORE_UNAVAILABLE) << 3;
        bad |= (aiq_store_check(store, crypto, &rows, &err)
                != AIQ_E_STORE_UNAVAILABLE) << 4;
        bad |= (aiq_store_backup(store, in(root, "never"), &err)
                != AIQ_E_STORE_UNAVAILABLE) << 5;
        aiq_store_abort(txn);
        aiq_store_reap(store);
        aiq_store_close(store);

        _exit(bad);
    }

    ok(child(pid) == 0, "a child may do nothing with the store of its parent");
    ok(aiq_store_get(txn, S("a"), AIQ_STORE_USER, S("u"), &value) == AIQ_OK
       && aiq_str_is(value, "one"), "whose read goes on");
    aiq_store_abort(txn);

    fflush(stdout);
    pid = fork();

    if (pid == 0) {
        mine = must_open(dir, 0);

        while (get(mine, "a", AIQ_STORE_USER, "u", "two") != AIQ_OK) {
            usleep(1000);
        }

        _exit(revision(mine) == 3 ? 0 : 1);
    }

    ok(put(store, "a", AIQ_STORE_USER, "u", "two") == AIQ_OK
       && child(pid) == 0, "a child with its own sees a commit");

    fflush(stdout);
    pid = fork();

    if (pid == 0) {
        mine = must_open(dir, AIQ_STORE_WRITE);
        _exit(put(mine, "a", AIQ_STORE_USER, "u", "three") != AIQ_OK);
    }

    ok(child(pid) == 0
       && get(store, "a", AIQ_STORE_USER, "u", "three") == AIQ_OK,
       "and the other way round");

    /* a writer that dies in the middle */

    fflush(stdout);
    pid = fork();

    if (pid == 0) {
        mine = must_open(dir, AIQ_STORE_WRITE);
        txn = must_begin(mine, 1);
        (void) aiq_store_put(txn, S("a"), AIQ_STORE_USER, S("u"), S("4"),
                             &err);
        _exit(0);
    }

    ok(child(pid) == 0
       && get(store, "a", AIQ_STORE_USER, "u", "three") == AIQ_OK
       && put(store, "a", AIQ_STORE_USER, "u", "five") == AIQ_OK,
       "a dead writer leaves nothing behind");

    aiq_store_close(store);
}


/* takes all reader slots but those in use, then waits to be killed */

static void
take_slots(const char *dir, int fd)
{
    int       rc;
    char      n;
    MDB_env  *env;
    MDB_txn  *txn;

    /* not longer than the test, should that give up */

    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);

    n = (mdb_env_create(&env) == 0
         && mdb_env_set_mapsize(env, AIQ_STORE_MAPSIZE) == 0
         && mdb_env_open(env, dir, MDB_NOTLS|MDB_RDONLY, 0640) == 0);

    do {
        rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
    } while (rc == 0);

    n = n && (rc == MDB_READERS_FULL);

    if (write(fd, &n, 1) != 1) {
        _exit(1);
    }

    for ( ;; ) {
        pause();
    }
}


static void
test_readers(void)
{
    int               fd[2], status;
    char              n;
    pid_t             pid, other;
    const char       *dir;
    aiq_store_t      *store, *mine;
    aiq_store_txn_t  *txn;

    dir = in(root, "readers");

    store = must_open(dir, AIQ_STORE_CREATE);
    ok(put(store, "a", AIQ_STORE_USER, "u", "one") == AIQ_OK, "a row");

    if (pipe(fd) != 0) {
        printf("Bail out! pipe\n");
        exit(1);
    }

    fflush(stdout);
    pid = fork();

    if (pid == 0) {
        take_slots(dir, fd[1]);
    }

    n = 0;
    ok(read(fd[0], &n, 1) == 1 && n == 1, "all reader slots are taken");
    ok(get(store, "a", AIQ_STORE_USER, "u", "one") == AIQ_OK,
       "who has one keeps it");

    /* without the transaction that is kept, there is one slot for two */

    mdb_txn_abort(store->read.txn);
    store->read.txn = NULL;

    fflush(stdout);
    other = fork();

    if (other == 0) {
        take_slots(dir, fd[1]);
    }

    n = 0;
    ok(read(fd[0], &n, 1) == 1 && n == 1, "the last one as well");
    ok(aiq_store_read(store, &txn, crypto, &err) == AIQ_E_STORE_UNAVAILABLE,
       "no slot, no read: %s", err.text);

    kill(other, SIGKILL);
    ok(waitpid(other, &status, 0) == other, "its owner dies");
    ok(get(store, "a", AIQ_STORE_USER, "u", "one") == AIQ_OK,
       "the next read takes it from him");
    aiq_store_close(store);

    ok(aiq_store_open(&store, dir, 0, &err) == AIQ_OK,
       "one slot was given back");

    fflush(stdout);
    other = fork();

    if (other == 0) {
        _exit(aiq_store_open(&mine, dir, 0, &err) != AIQ_E_STORE_UNAVAILABLE);
    }

    ok(child(other) == 0, "no slot: a fault");

    kill(pid, SIGKILL);
    ok(waitpid(pid, &status, 0) == pid, "their owner dies");

    fflush(stdout);
    pid = fork();

    if (pid == 0) {
        _exit(aiq_store_open(&mine, dir, 0, &err) != AIQ_OK);
    }

    ok(child(pid) == 0, "slots of the dead are free again");

    aiq_store_reap(store);
    txn = must_begin(store, 0);
    aiq_store_abort(txn);
    aiq_store_close(store);

    close(fd[0]);
    close(fd[1]);
}


typedef struct {
    aiq_store_t  *store;
    unsigned      n;
    unsigned      failed;
} writer_t;


static void *
writer(void *data)
{
    writer_t *w = data;

    char              id[32];
    unsigned          i;
    aiq_err_t         e;
    aiq_crypto_t     *c;
    aiq_store_txn_t  *txn;

    c = aiq_crypto_new();

    for (i = 0; c && i < w->n; i++) {
        snprintf(id, sizeof(id), "u%u", i % 10);

        if (aiq_store_write(w->store, &txn, c, &e) != AIQ_OK
            || aiq_store_put(txn, S("acme"), AIQ_STORE_USER, S(id), S(id), &e)
               != AIQ_OK
            || aiq_store_commit(txn, &e) != AIQ_OK)
        {
            w->failed++;
        }
    }

    aiq_crypto_free(c);

    return NULL;
}


/* two threads write while this one reads */

static void
test_threads(void)
{
    unsigned      i, bad;
    uint64_t      last, now;
    writer_t      w[2];
    pthread_t     tid[2];
    aiq_store_t  *store;

    store = must_open(in(root, "threads"), AIQ_STORE_CREATE);

    for (i = 0; i < 2; i++) {
        w[i].store = store;
        w[i].n = 200;
        w[i].failed = 0;

        if (pthread_create(&tid[i], NULL, writer, &w[i]) != 0) {
            printf("Bail out! pthread_create\n");
            exit(1);
        }
    }

    bad = 0;
    last = 0;

    for (i = 0; i < 20000; i++) {
        now = revision(store);
        bad += (now < last);
        last = now;
    }

    pthread_join(tid[0], NULL);
    pthread_join(tid[1], NULL);

    ok(w[0].failed == 0 && w[1].failed == 0 && bad == 0
       && revision(store) == 401, "two writers and a reader: revision %u",
       (unsigned) revision(store));

    aiq_store_close(store);
}


int
main(void)
{
    test_begin();

    test_fork();
    test_readers();
    test_threads();

    return test_end();
}
