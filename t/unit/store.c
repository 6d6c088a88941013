
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "b64.h"
#include "store.h"
#include "tap.h"
#include "tmpdir.h"


#define PAIRS  200000


static aiq_crypto_t  *crypto;
static aiq_err_t      err;
static char           root[PATH_MAX];
static uint64_t       seed = 88172645463325252ULL;


static uint64_t
rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return seed;
}


static aiq_str_t
S(const char *s)
{
    return aiq_cstr(s);
}


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


static void
raw_close(MDB_env *env, MDB_txn *txn)
{
    if (mdb_txn_commit(txn) != 0) {
        printf("Bail out! raw commit\n");
        exit(1);
    }

    mdb_env_close(env);
}


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


static void
test_create(void)
{
    mode_t            old;
    aiq_rc_t          rc;
    aiq_str_t         none, uuid;
    const char       *dir, *fresh;
    aiq_store_t      *store, *again;
    aiq_store_txn_t  *txn;

    aiq_str_null(&none);

    dir = in(root, "create");

    rc = aiq_store_open(&store, dir, 0, &err);

    ok(rc == AIQ_E_STORE_UNAVAILABLE && store == NULL, "no store, read-only");
    ok(strstr(err.text, "armoriqctl init --store ") != NULL
       && strstr(err.text, dir) != NULL
       && strstr(err.text, " --org NAME") != NULL,
       "the sentence says what to run: %s", err.text);

    rc = aiq_store_open(&store, dir, AIQ_STORE_WRITE, &err);

    ok(rc == AIQ_E_STORE_UNAVAILABLE && access(dir, F_OK) != 0,
       "no store, writing makes none");

    old = umask(0);
    store = must_open(dir, AIQ_STORE_CREATE);
    umask(old);

    ok(mode_of(dir) == 0750 && mode_of(in(dir, "keys")) == 0750,
       "modes of the directories, umask 0");
    ok(mode_of(in(dir, "data.mdb")) == 0640
       && mode_of(in(dir, "store.key")) == 0640
       && mode_of(in(dir, "lock.mdb")) == 0660, "modes of the files, umask 0");
    ok(strcmp(aiq_store_dir(store), dir) == 0, "the directory");
    ok(revision(store) == 1, "the first revision");

    txn = must_begin(store, 0);
    rc = aiq_store_get(txn, none, AIQ_STORE_META, S(AIQ_STORE_META_UUID),
                       &uuid);
    ok(rc == AIQ_OK && uuid.len == 36 && uuid.data[14] == '4', "a uuid");
    aiq_store_abort(txn);

    ok(put(store, "acme", AIQ_STORE_USER, "u", "v") == AIQ_OK, "a row");
    aiq_store_close(store);

    again = must_open(dir, AIQ_STORE_CREATE);
    ok(revision(again) == 2
       && get(again, "acme", AIQ_STORE_USER, "u", "v") == AIQ_OK,
       "creating again changes nothing");
    aiq_store_close(again);

    fresh = in(root, "umask");
    old = umask(077);
    store = must_open(fresh, AIQ_STORE_CREATE);
    umask(old);
    aiq_store_close(store);

    ok(mode_of(fresh) == 0750 && mode_of(in(fresh, "keys")) == 0750
       && mode_of(in(fresh, "data.mdb")) == 0640
       && mode_of(in(fresh, "store.key")) == 0640
       && mode_of(in(fresh, "lock.mdb")) == 0660, "modes, umask 077");

    /* a crash between making the file and its first row */

    ok(truncate(in(fresh, "data.mdb"), 0) == 0, "an empty data.mdb");
    rc = aiq_store_open(&store, fresh, 0, &err);
    ok(rc == AIQ_E_STORE_UNAVAILABLE && strstr(err.text, "armoriqctl init"),
       "is no store: %s", err.text);
    rc = aiq_store_open(&store, fresh, AIQ_STORE_WRITE, &err);
    ok(rc == AIQ_E_STORE_UNAVAILABLE
       && mode_of(in(fresh, "data.mdb")) == 0640, "nor to write to");
    store = must_open(fresh, AIQ_STORE_CREATE);
    ok(revision(store) == 1, "is made to a store");
    aiq_store_close(store);

    rc = aiq_store_open(&store, "", AIQ_STORE_CREATE, &err);
    ok(aiq_is_fault(rc), "no directory: %s", err.text);

    fresh = in(root, "none/deeper");
    rc = aiq_store_open(&store, fresh, AIQ_STORE_CREATE, &err);
    ok(rc == AIQ_E_STORE_UNAVAILABLE, "no parent: %s", err.text);
}


static void
test_modes(void)
{
    unsigned      i;
    aiq_rc_t      rc;
    const char   *dir, *path;
    aiq_store_t  *store;

    static const struct {
        const char  *name;
        mode_t       bad;
        mode_t       good;
    } cases[] = {
        { "data.mdb", 0644, 0640 },
        { "data.mdb", 0642, 0600 },
        { "data.mdb", 0660, 0640 },
        { "store.key", 0644, 0600 },
        { "store.key", 0660, 0640 },
        { "store.key", 0602, 0640 },
        { ".", 0770, 0750 },
        { ".", 0757, 0755 }
    };

    dir = in(root, "modes");
    store = must_open(dir, AIQ_STORE_CREATE);
    aiq_store_close(store);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        path = in(dir, cases[i].name);

        chmod(path, cases[i].bad);
        rc = aiq_store_open(&store, dir, 0, &err);
        ok(rc == AIQ_E_STORE_UNAVAILABLE && strstr(err.text, "run: chmod ")
           && store == NULL, "%s %04o: %s", cases[i].name,
           (unsigned) cases[i].bad, err.text);

        chmod(path, cases[i].good);
        rc = aiq_store_open(&store, dir, 0, &err);
        ok(rc == AIQ_OK, "%s %04o", cases[i].name, (unsigned) cases[i].good);
        aiq_store_close(store);
    }

    ok(unlink(in(dir, "store.key")) == 0
       && mkfifo(in(dir, "store.key"), 0600) == 0, "a FIFO for store.key");
    rc = aiq_store_open(&store, dir, 0, &err);
    ok(rc == AIQ_E_STORE_UNAVAILABLE, "is refused: %s", err.text);
}


static void
test_broken(void)
{
    FILE           *f;
    size_t          i;
    aiq_rc_t        rc;
    const char     *dir, *other;
    aiq_store_t    *store;
    unsigned char   junk[8192];

    dir = in(root, "broken");
    store = must_open(dir, AIQ_STORE_CREATE);
    aiq_store_close(store);

    copy(in(dir, "store.key"), in(root, "key.saved"));

    write_text(in(dir, "store.key"), "0123\n", 0640);
    rc = aiq_store_open(&store, dir, 0, &err);
    ok(rc == AIQ_E_STORE_CORRUPT, "a short key: %s", err.text);

    write_text(in(dir, "store.key"), "ABCDEF0123456789ABCDEF0123456789"
               "ABCDEF0123456789ABCDEF0123456789\n", 0640);
    rc = aiq_store_open(&store, dir, 0, &err);
    ok(rc == AIQ_E_STORE_CORRUPT, "upper case: %s", err.text);

    write_text(in(dir, "store.key"), "abcdef0123456789abcdef0123456789"
               "abcdef0123456789abcdef0123456789\n\n", 0640);
    rc = aiq_store_open(&store, dir, 0, &err);
    ok(rc == AIQ_E_STORE_CORRUPT, "a line too many: %s", err.text);

    write_text(in(dir, "store.key"), "abcdef0123456789abcdef0123456789"
               "abcdef0123456789abcdef0123456789", 0640);
    rc = aiq_store_open(&store, dir, 0, &err);
    ok(rc == AIQ_E_STORE_CORRUPT && strstr(err.text, "store.key"),
       "another key: %s", err.text);

    unlink(in(dir, "store.key"));
    rc = aiq_store_open(&store, dir, 0, &err);
    ok(rc == AIQ_E_STORE_CORRUPT, "no key: %s", err.text);
    rc = aiq_store_open(&store, dir, AIQ_STORE_CREATE, &err);
    ok(rc == AIQ_E_STORE_CORRUPT && access(in(dir, "store.key"), F_OK) != 0,
       "no new key for an old store: %s", err.text);

    copy(in(root, "key.saved"), in(dir, "store.key"));
    rc = aiq_store_open(&store, dir, 0, &err);
    ok(rc == AIQ_OK, "the key is back");
    aiq_store_close(store);

    forge(dir, "", AIQ_STORE_META, "schema", "2");
    rc = aiq_store_open(&store, dir, AIQ_STORE_CREATE, &err);
    ok(rc == AIQ_E_STORE_CORRUPT && strstr(err.text, "schema 2"),
       "another schema: %s", err.text);
    forge(dir, "", AIQ_STORE_META, "schema", "1x");
    rc = aiq_store_open(&store, dir, 0, &err);
    ok(rc == AIQ_E_STORE_CORRUPT, "no number: %s", err.text);
    forge(dir, "", AIQ_STORE_META, "schema", "18446744073709551617");
    rc = aiq_store_open(&store, dir, 0, &err);
    ok(rc == AIQ_E_STORE_CORRUPT, "2^64 + 1 is not 1: %s", err.text);
    forge(dir, "", AIQ_STORE_META, "schema", "1");

    forge(dir, "", AIQ_STORE_META, "revision", "18446744073709551616");
    rc = aiq_store_open(&store, dir, 0, &err);
    ok(rc == AIQ_E_STORE_CORRUPT, "a revision too high: %s", err.text);

    forge(dir, "", AIQ_STORE_META, "revision", "18446744073709551615");
    store = must_open(dir, AIQ_STORE_WRITE);
    ok(put(store, "a", AIQ_STORE_USER, "u", "v") == AIQ_E_STORE_CORRUPT
       && get(store, "a", AIQ_STORE_USER, "u", "v") == AIQ_DECLINED,
       "the revision does not wrap: %s", err.text);
    aiq_store_close(store);

    /* a file of LMDB that is no store, and none of LMDB at all */

    other = in(root, "other");
    store = must_open(other, AIQ_STORE_CREATE);
    aiq_store_close(store);
    unlink(in(other, "data.mdb"));
    raw_put(other, "x", 'u', "y", (const unsigned char *) "z", 1);
    chmod(in(other, "data.mdb"), 0640);
    rc = aiq_store_open(&store, other, AIQ_STORE_CREATE, &err);
    ok(rc == AIQ_E_STORE_CORRUPT && strstr(err.text, "no schema"),
       "somebody else's LMDB: %s", err.text);

    for (i = 0; i < sizeof(junk); i++) {
        junk[i] = (unsigned char) rnd();
    }

    f = fopen(in(other, "data.mdb"), "wb");
    ok(f && fwrite(junk, sizeof(junk), 1, f) == 1 && fclose(f) == 0, "junk");
    rc = aiq_store_open(&store, other, AIQ_STORE_CREATE, &err);
    ok(rc == AIQ_E_STORE_CORRUPT, "is no store: %s", err.text);
}


static void
test_rows(void)
{
    char              long_org[66], long_id[258];
    char             *big;
    aiq_rc_t          rc;
    aiq_str_t         none, value, s;
    aiq_store_t      *store;
    aiq_store_txn_t  *txn, *second;

    aiq_str_null(&none);

    store = must_open(in(root, "rows"), AIQ_STORE_CREATE);

    ok(get(store, "acme", AIQ_STORE_USER, "u", NULL) == AIQ_DECLINED, "none");
    ok(put(store, "acme", AIQ_STORE_USER, "u", "one") == AIQ_OK, "put");
    ok(get(store, "acme", AIQ_STORE_USER, "u", "one") == AIQ_OK, "get");
    ok(get(store, "acme", AIQ_STORE_AGENT, "u", NULL) == AIQ_DECLINED
       && get(store, "acm", AIQ_STORE_USER, "eu", NULL) == AIQ_DECLINED
       && get(store, "other", AIQ_STORE_USER, "u", NULL) == AIQ_DECLINED,
       "not elsewhere");
    ok(put(store, "acme", AIQ_STORE_USER, "u", "two") == AIQ_OK
       && get(store, "acme", AIQ_STORE_USER, "u", "two") == AIQ_OK, "again");
    ok(put(store, "acme", AIQ_STORE_USER, "e", "") == AIQ_OK
       && get(store, "acme", AIQ_STORE_USER, "e", "") == AIQ_OK,
       "an empty value");

    big = malloc(3000001);
    memset(big, 'x', 3000000);
    big[3000000] = '\0';
    ok(put(store, "acme", AIQ_STORE_PLANDOC, "b", big) == AIQ_OK
       && get(store, "acme", AIQ_STORE_PLANDOC, "b", big) == AIQ_OK,
       "a large value");
    free(big);

    memset(long_org, 'o', 65);
    long_org[65] = '\0';
    memset(long_id, 'i', 257);
    long_id[257] = '\0';

    ok(put(store, long_org, AIQ_STORE_USER, "u", "v") == AIQ_E_INTERNAL
       && get(store, long_org, AIQ_STORE_USER, "u", NULL) == AIQ_DECLINED,
       "an org of 65: %s", err.text);
    ok(put(store, "a", AIQ_STORE_USER, long_id, "v") == AIQ_E_INTERNAL
       && get(store, "a", AIQ_STORE_USER, long_id, NULL) == AIQ_DECLINED,
       "an id of 257");
    ok(put(store, "a", AIQ_STORE_USER, "", "v") == AIQ_E_INTERNAL
       && get(store, "a", AIQ_STORE_USER, "", NULL) == AIQ_DECLINED,
       "an empty id");

    long_org[64] = '\0';
    long_id[256] = '\0';

    ok(put(store, long_org, AIQ_STORE_USER, long_id, "v") == AIQ_OK
       && get(store, long_org, AIQ_STORE_USER, long_id, "v") == AIQ_OK,
       "64 and 256");

    ok(put(store, "", AIQ_STORE_USER, "u", "v") == AIQ_E_INTERNAL
       && get(store, "", AIQ_STORE_USER, "u", NULL) == AIQ_E_INTERNAL,
       "a user of no org");
    ok(put(store, "a", AIQ_STORE_ORG, "u", "v") == AIQ_E_INTERNAL
       && get(store, "a", AIQ_STORE_ORG, "u", NULL) == AIQ_E_INTERNAL,
       "an org of an org");
    ok(put(store, "a", (aiq_store_kind_e) 'z', "u", "v") == AIQ_E_INTERNAL
       && get(store, "a", (aiq_store_kind_e) 'z', "u", NULL)
          == AIQ_E_INTERNAL
       && get(store, "a", (aiq_store_kind_e) 0, "u", NULL) == AIQ_E_INTERNAL
       && get(store, "a", (aiq_store_kind_e) ('u' + 256), "u", NULL)
          == AIQ_E_INTERNAL, "no such kind");
    ok(put(store, "", AIQ_STORE_META, "revision", "9") == AIQ_E_INTERNAL,
       "the store's own rows are its own: %s", err.text);

    txn = must_begin(store, 1);
    ok(aiq_store_del(txn, none, AIQ_STORE_META, S("uuid"), &err)
       == AIQ_E_INTERNAL, "and stay");
    ok(aiq_store_commit(txn, &err) == AIQ_E_STORE_UNAVAILABLE,
       "no commit after a failure: %s", err.text);

    txn = must_begin(store, 1);
    ok(aiq_store_put(txn, S("a"), AIQ_STORE_USER, S("poison"), S("v"), &err)
       == AIQ_OK
       && aiq_store_put(txn, S("a"), AIQ_STORE_USER, S(""), S("v"), &err)
          == AIQ_E_INTERNAL
       && aiq_store_commit(txn, &err) == AIQ_E_STORE_UNAVAILABLE
       && get(store, "a", AIQ_STORE_USER, "poison", NULL) == AIQ_DECLINED,
       "nothing of it is written");

    txn = must_begin(store, 1);
    ok(aiq_store_del(txn, S("acme"), AIQ_STORE_USER, S("u"), &err) == AIQ_OK
       && aiq_store_del(txn, S("acme"), AIQ_STORE_USER, S("u"), &err)
          == AIQ_DECLINED
       && aiq_store_get(txn, S("acme"), AIQ_STORE_USER, S("u"), &value)
          == AIQ_DECLINED, "del");
    aiq_store_abort(txn);
    ok(get(store, "acme", AIQ_STORE_USER, "u", "two") == AIQ_OK,
       "aborted: still there");

    /* a value that lies in the pages that are about to be written */

    txn = must_begin(store, 1);
    rc = aiq_store_put(txn, S("a"), AIQ_STORE_USER, S("x1"),
                       S("0123456789abcdef"), &err);
    ok(rc == AIQ_OK && aiq_store_get(txn, S("a"), AIQ_STORE_USER, S("x1"), &s)
       == AIQ_OK
       && aiq_store_put(txn, S("a"), AIQ_STORE_USER, S("x0"), s, &err)
          == AIQ_OK
       && aiq_store_get(txn, S("a"), AIQ_STORE_USER, S("x1"), &s) == AIQ_OK,
       "a value of the transaction");
    s.data += 4;
    s.len -= 4;
    ok(aiq_store_put(txn, S("a"), AIQ_STORE_USER, S("x1"), s, &err) == AIQ_OK
       && aiq_store_commit(txn, &err) == AIQ_OK
       && get(store, "a", AIQ_STORE_USER, "x0", "0123456789abcdef") == AIQ_OK
       && get(store, "a", AIQ_STORE_USER, "x1", "456789abcdef") == AIQ_OK,
       "is copied");

    txn = must_begin(store, 0);
    ok(aiq_store_read(store, &second, crypto, &err) == AIQ_E_INTERNAL
       && second == NULL, "one read at a time: %s", err.text);
    ok(aiq_store_put(txn, S("a"), AIQ_STORE_USER, S("r"), S("v"), &err)
       == AIQ_E_INTERNAL, "a read does not write");
    ok(aiq_store_commit(txn, &err) == AIQ_OK, "a read ends");

    second = must_begin(store, 1);
    txn = must_begin(store, 0);
    ok(aiq_store_put(second, S("a"), AIQ_STORE_USER, S("w"), S("v"), &err)
       == AIQ_OK
       && aiq_store_get(txn, S("a"), AIQ_STORE_USER, S("w"), &value)
          == AIQ_DECLINED
       && aiq_store_commit(second, &err) == AIQ_OK
       && aiq_store_get(txn, S("a"), AIQ_STORE_USER, S("w"), &value)
          == AIQ_DECLINED, "a read sees what was there when it began");
    aiq_store_abort(txn);
    ok(get(store, "a", AIQ_STORE_USER, "w", "v") == AIQ_OK, "the next: all");

    aiq_store_close(store);

    store = must_open(in(root, "rows"), 0);
    ok(get(store, "a", AIQ_STORE_USER, "w", "v") == AIQ_OK, "read-only: get");
    ok(aiq_store_write(store, &txn, crypto, &err) == AIQ_E_INTERNAL
       && txn == NULL, "read-only: no write: %s", err.text);
    aiq_store_close(store);
    aiq_store_close(NULL);
}


static void
test_revision(void)
{
    unsigned          i;
    uint64_t          before;
    aiq_store_t      *store;
    aiq_store_txn_t  *txn;

    static const struct {
        const char        *org;
        aiq_store_kind_e   kind;
        unsigned           counts;
    } kinds[] = {
        { "", AIQ_STORE_ORG, 1 },
        { "", AIQ_STORE_KEYHASH, 1 },
        { "a", AIQ_STORE_USER, 1 },
        { "a", AIQ_STORE_AGENT, 1 },
        { "a", AIQ_STORE_KEY, 1 },
        { "a", AIQ_STORE_MCP, 1 },
        { "a", AIQ_STORE_POLICY, 1 },
        { "a", AIQ_STORE_ISSUER, 1 },
        { "a", AIQ_STORE_PLAN, 0 },
        { "a", AIQ_STORE_PLANDOC, 0 },
        { "a", AIQ_STORE_TOKEN, 0 },
        { "a", AIQ_STORE_REVOKED, 1 }
    };

    store = must_open(in(root, "revision"), AIQ_STORE_CREATE);

    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        before = revision(store);
        ok(put(store, kinds[i].org, kinds[i].kind, "x", "v") == AIQ_OK
           && revision(store) == before + kinds[i].counts,
           "put of '%c': revision + %u", kinds[i].kind, kinds[i].counts);

        before = revision(store);
        txn = must_begin(store, 1);
        ok(aiq_store_del(txn, S(kinds[i].org), kinds[i].kind, S("x"), &err)
           == AIQ_OK && aiq_store_commit(txn, &err) == AIQ_OK
           && revision(store) == before + kinds[i].counts,
           "del of '%c'", kinds[i].kind);
    }

    before = revision(store);

    txn = must_begin(store, 1);
    ok(aiq_store_commit(txn, &err) == AIQ_OK && revision(store) == before,
       "nothing changed");

    txn = must_begin(store, 1);
    ok(aiq_store_del(txn, S("a"), AIQ_STORE_POLICY, S("x"), &err)
       == AIQ_DECLINED && aiq_store_commit(txn, &err) == AIQ_OK
       && revision(store) == before, "nothing deleted");

    txn = must_begin(store, 1);
    ok(aiq_store_put(txn, S("a"), AIQ_STORE_POLICY, S("x"), S("1"), &err)
       == AIQ_OK, "a policy");
    aiq_store_abort(txn);
    ok(revision(store) == before, "aborted");

    txn = must_begin(store, 1);
    ok(aiq_store_put(txn, S("a"), AIQ_STORE_POLICY, S("x"), S("1"), &err)
       == AIQ_OK
       && aiq_store_put(txn, S("a"), AIQ_STORE_POLICY, S("y"), S("1"), &err)
          == AIQ_OK && aiq_store_commit(txn, &err) == AIQ_OK
       && revision(store) == before + 1, "two rows, one revision");

    aiq_store_close(store);
}


/* rows that were changed by somebody without the key */

static void
test_mac(void)
{
    size_t          len, i, refused, wrong;
    const char     *dir;
    aiq_rc_t        rc;
    aiq_store_t    *store;
    unsigned char   row[512], bad[512];

    dir = in(root, "mac");

    store = must_open(dir, AIQ_STORE_CREATE);
    ok(put(store, "acme", AIQ_STORE_POLICY, "ab", "cd{\"effect\":\"deny\"}")
       == AIQ_OK
       && put(store, "evil", AIQ_STORE_POLICY, "zz", "{}") == AIQ_OK,
       "two rows");
    aiq_store_close(store);

    len = raw_get(dir, "acme", AIQ_STORE_POLICY, "ab", row);
    ok(len == 32 + 19, "MAC and payload");

    refused = 0;
    wrong = 0;

    for (i = 0; i < len; i++) {
        memcpy(bad, row, len);
        bad[i] ^= (unsigned char) (1 << (i % 8));
        raw_put(dir, "acme", AIQ_STORE_POLICY, "ab", bad, len);

        store = must_open(dir, 0);
        rc = get(store, "acme", AIQ_STORE_POLICY, "ab", NULL);
        refused += (rc == AIQ_E_STORE_CORRUPT);
        wrong += (rc == AIQ_OK || rc == AIQ_DECLINED);
        aiq_store_close(store);
    }

    ok(refused == len && wrong == 0, "every flipped byte: %zu of %zu",
       refused, len);

    refused = 0;

    for (i = 0; i < len; i++) {
        raw_put(dir, "acme", AIQ_STORE_POLICY, "ab", row, i);

        store = must_open(dir, 0);
        refused += (get(store, "acme", AIQ_STORE_POLICY, "ab", NULL)
                    == AIQ_E_STORE_CORRUPT);
        aiq_store_close(store);
    }

    ok(refused == len, "every truncation: %zu of %zu", refused, len);

    raw_put(dir, "acme", AIQ_STORE_POLICY, "ab", row, len);
    raw_put(dir, "evil", AIQ_STORE_POLICY, "ab", row, len);
    raw_put(dir, "acme", AIQ_STORE_POLICY, "b", row, len);
    raw_put(dir, "acme", AIQ_STORE_AGENT, "ab", row, len);

    /* the same bytes under the MAC, cut elsewhere */

    memcpy(bad, row, 32);
    memcpy(bad + 32, "b", 1);
    memcpy(bad + 33, row + 32, len - 32);
    raw_put(dir, "acme", AIQ_STORE_POLICY, "a", bad, len + 1);
    memcpy(bad + 32, row + 33, len - 33);
    raw_put(dir, "acme", AIQ_STORE_POLICY, "abc", bad, len - 1);

    store = must_open(dir, 0);
    ok(get(store, "acme", AIQ_STORE_POLICY, "ab", NULL) == AIQ_OK,
       "the row as it was");
    ok(get(store, "evil", AIQ_STORE_POLICY, "ab", NULL)
       == AIQ_E_STORE_CORRUPT, "moved to another org");
    ok(get(store, "acme", AIQ_STORE_POLICY, "b", NULL)
       == AIQ_E_STORE_CORRUPT, "moved to another id");
    ok(get(store, "acme", AIQ_STORE_AGENT, "ab", NULL)
       == AIQ_E_STORE_CORRUPT, "moved to another kind");
    ok(get(store, "acme", AIQ_STORE_POLICY, "a", NULL)
       == AIQ_E_STORE_CORRUPT
       && get(store, "acme", AIQ_STORE_POLICY, "abc", NULL)
          == AIQ_E_STORE_CORRUPT, "no byte wanders between id and payload");
    aiq_store_close(store);
}


typedef struct {
    int            kind;
    uint64_t       rows;
    uint64_t       wrong;
    aiq_str_t      org;
    aiq_str_t      last;
    unsigned char  buf[256];
} seen_t;


/* payload: org length, org, kind, id */

static aiq_rc_t
seen_each(void *data, aiq_str_t id, aiq_str_t value)
{
    seen_t *seen = data;

    size_t  n;
    int     cmp;

    n = (id.len < seen->last.len) ? id.len : seen->last.len;
    cmp = n ? memcmp(seen->last.data, id.data, n) : 0;

    if (cmp > 0 || (cmp == 0 && seen->last.len >= id.len)
        || value.len != 2 + seen->org.len + id.len
        || value.data[0] != seen->org.len
        || (seen->org.len && memcmp(value.data + 1, seen->org.data,
                                    seen->org.len) != 0)
        || value.data[1 + seen->org.len] != seen->kind
        || memcmp(value.data + 2 + seen->org.len, id.data, id.len) != 0)
    {
        seen->wrong++;
    }

    memcpy(seen->buf, id.data, id.len);
    seen->last.data = seen->buf;
    seen->last.len = id.len;

    seen->rows++;

    return AIQ_OK;
}


static aiq_rc_t
stop_each(void *data, aiq_str_t id, aiq_str_t value)
{
    unsigned *n = data;

    return (++*n == 2) ? AIQ_D_POLICY_DENY : AIQ_OK;
}


/* few letters, so that prefixes and equal pieces are the rule */

static size_t
bytes(unsigned char *p, size_t max, size_t min)
{
    size_t  i, n;

    static const unsigned char  set[] = { 0, 1, 2, '/', 'a', 'b', 'u', 'p' };

    n = min + rnd() % (max - min + 1);

    for (i = 0; i < n; i++) {
        p[i] = (rnd() % 16) ? set[rnd() % sizeof(set)]
                            : (unsigned char) rnd();
    }

    return n;
}


static void
test_tenants(void)
{
    static unsigned char  rows[PAIRS][64];
    static size_t         lens[PAIRS];

    static const char  kinds[] = "uakmpiPDtrho";

    size_t            i, j, wrong, n;
    seen_t            seen;
    uint64_t          total, all;
    aiq_rc_t          rc;
    unsigned          stop;
    aiq_str_t         org, id, value, got, none;
    aiq_store_t      *store;
    aiq_store_txn_t  *txn;
    unsigned char     orgs[300][8];
    size_t            org_len[300];

    aiq_str_null(&none);

    /* distinct orgs; the first ones by hand */

    n = 0;

    memcpy(orgs[n], "a", 1);
    org_len[n++] = 1;
    memcpy(orgs[n], "ab", 2);
    org_len[n++] = 2;
    memcpy(orgs[n], "a\0b", 3);
    org_len[n++] = 3;
    memcpy(orgs[n], "a\0", 2);
    org_len[n++] = 2;
    memcpy(orgs[n], "a/", 2);
    org_len[n++] = 2;
    memcpy(orgs[n], "\1a", 2);
    org_len[n++] = 2;
    memcpy(orgs[n], "au", 2);
    org_len[n++] = 2;

    while (n < 300) {
        org_len[n] = bytes(orgs[n], 6, 1);

        for (j = 0; j < n; j++) {
            if (org_len[j] == org_len[n]
                && memcmp(orgs[j], orgs[n], org_len[n]) == 0)
            {
                break;
            }
        }

        n += (j == n);
    }

    store = must_open(in(root, "tenants"), AIQ_STORE_CREATE);
    txn = must_begin(store, 1);

    wrong = 0;

    for (i = 0; i < PAIRS; i++) {
        unsigned char  *p = rows[i];

        j = rnd() % 300;
        p[0] = (unsigned char) kinds[rnd() % 12];

        org.len = (p[0] == 'h' || p[0] == 'o') ? 0 : org_len[j];
        org.data = orgs[j];

        /* kind moves behind the org, where the payload has it */

        p[1 + org.len] = p[0];
        memcpy(p + 1, orgs[j], org.len);
        p[0] = (unsigned char) org.len;

        id.data = p + 2 + org.len;
        id.len = bytes(p + 2 + org.len, 8, 1);

        lens[i] = 2 + org.len + id.len;

        value.data = p;
        value.len = lens[i];

        if (aiq_store_put(txn, org, (aiq_store_kind_e) p[1 + org.len], id,
                          value, &err) != AIQ_OK)
        {
            wrong++;
        }
    }

    ok(wrong == 0 && aiq_store_commit(txn, &err) == AIQ_OK, "%d rows", PAIRS);

    txn = must_begin(store, 0);

    for (i = 0; i < PAIRS; i++) {
        org.data = rows[i] + 1;
        org.len = rows[i][0];
        id.data = rows[i] + 2 + org.len;
        id.len = lens[i] - 2 - org.len;

        value.data = rows[i];
        value.len = lens[i];

        rc = aiq_store_get(txn, org,
                           (aiq_store_kind_e) rows[i][1 + org.len], id, &got);

        if (rc != AIQ_OK || !aiq_str_eq(got, value)) {
            wrong++;
        }
    }

    ok(wrong == 0, "every pair reads what was written to it, no other");

    memset(&seen, 0, sizeof(seen));
    total = 0;

    for (i = 0; i <= 300; i++) {
        for (j = 0; j < 12; j++) {
            if ((i == 300) != (kinds[j] == 'h' || kinds[j] == 'o')) {
                continue;
            }

            seen.org.data = (i == 300) ? NULL : orgs[i];
            seen.org.len = (i == 300) ? 0 : org_len[i];
            seen.kind = kinds[j];
            seen.rows = 0;
            seen.last.len = 0;

            rc = aiq_store_each(txn, seen.org, (aiq_store_kind_e) kinds[j],
                                seen_each, &seen);

            wrong += (rc != AIQ_OK);
            total += seen.rows;
        }
    }

    ok(wrong == 0 && seen.wrong == 0, "an org meets its own rows, in order");

    stop = 0;
    org.data = orgs[0];
    org.len = org_len[0];
    ok(aiq_store_each(txn, org, AIQ_STORE_USER, stop_each, &stop)
       == AIQ_D_POLICY_DENY && stop == 2, "the callback stops it");
    ok(aiq_store_each(txn, none, AIQ_STORE_USER, stop_each, &stop)
       == AIQ_E_INTERNAL, "users of no org");

    aiq_store_abort(txn);

    ok(aiq_store_check(store, crypto, &all, &err) == AIQ_OK
       && all == total + 3, "%llu distinct rows, all of them met",
       (unsigned long long) total);

    aiq_store_close(store);
}


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


static void
test_check(void)
{
    size_t          len;
    uint64_t        rows;
    aiq_rc_t        rc;
    const char     *dir;
    aiq_store_t    *store;
    unsigned char   row[512];

    dir = in(root, "check");

    store = must_open(dir, AIQ_STORE_CREATE);
    (void) put(store, "acme", AIQ_STORE_POLICY, "main", "{}");
    (void) put(store, "acme", AIQ_STORE_USER, "eve \"\n\x1b[2J\xff", "{}");
    (void) put(store, "", AIQ_STORE_ORG, "acme", "{}");
    rc = aiq_store_check(store, crypto, &rows, &err);
    ok(rc == AIQ_OK && rows == 6, "a good store: %u rows", (unsigned) rows);
    aiq_store_close(store);

    len = raw_get(dir, "acme", AIQ_STORE_POLICY, "main", row);
    row[33] ^= 1;
    raw_put(dir, "acme", AIQ_STORE_POLICY, "main", row, len);

    store = must_open(dir, 0);
    rc = aiq_store_check(store, crypto, &rows, &err);
    ok(rc == AIQ_E_STORE_CORRUPT && rows == 6
       && strstr(err.text, "policy \"main\" of org \"acme\""),
       "the bad row: %s", err.text);
    aiq_store_close(store);

    len = raw_get(dir, "acme", AIQ_STORE_USER, "eve \"\n\x1b[2J\xff", row);
    row[0] ^= 1;
    raw_put(dir, "acme", AIQ_STORE_USER, "eve \"\n\x1b[2J\xff", row, len);
    row[33] ^= 1;
    forge(dir, "acme", AIQ_STORE_POLICY, "main", "{}");

    store = must_open(dir, 0);
    rc = aiq_store_check(store, crypto, &rows, &err);
    ok(rc == AIQ_E_STORE_CORRUPT && strstr(err.text, "user 65766520220a")
       && strpbrk(err.text, "\n\x1b\xff") == NULL,
       "its name is escaped: %s", err.text);
    aiq_store_close(store);

    forge(dir, "acme", AIQ_STORE_USER, "eve \"\n\x1b[2J\xff", "{}");
    forge(dir, "acme", 'z', "main", "{}");
    store = must_open(dir, 0);
    rc = aiq_store_check(store, crypto, &rows, &err);
    ok(rc == AIQ_E_STORE_CORRUPT, "a kind that is none: %s", err.text);
    aiq_store_close(store);
}


static void
test_backup(void)
{
    char              id[32];
    mode_t            old;
    unsigned          i;
    uint64_t          rows;
    aiq_rc_t          rc;
    const char       *dir, *to;
    aiq_store_t      *store, *copied;
    aiq_store_txn_t  *txn;

    dir = in(root, "backup");
    store = must_open(dir, AIQ_STORE_CREATE);

    txn = must_begin(store, 1);

    for (i = 0; i < 1000; i++) {
        snprintf(id, sizeof(id), "user%u", i);
        (void) aiq_store_put(txn, S("acme"), AIQ_STORE_USER, S(id), S(id),
                             &err);
    }

    ok(aiq_store_commit(txn, &err) == AIQ_OK, "a store of 1000 rows");

    to = in(root, "copy");

    old = umask(0);
    rc = aiq_store_backup(store, to, &err);
    umask(old);

    ok(rc == AIQ_OK && mode_of(to) == 0750
       && mode_of(in(to, "data.mdb")) == 0640, "a backup");
    ok(access(in(to, "store.key"), F_OK) != 0
       && access(in(to, "keys"), F_OK) != 0, "without the keys");

    rc = aiq_store_backup(store, to, &err);
    ok(rc == AIQ_E_STORE_UNAVAILABLE && strstr(err.text, "new directory"),
       "not into one that is not empty: %s", err.text);
    rc = aiq_store_backup(store, dir, &err);
    ok(rc == AIQ_E_STORE_UNAVAILABLE, "not over itself: %s", err.text);
    rc = aiq_store_backup(store, in(dir, "data.mdb"), &err);
    ok(rc == AIQ_E_STORE_UNAVAILABLE, "not over a file: %s", err.text);
    rc = aiq_store_backup(store, "", &err);
    ok(aiq_is_fault(rc), "not nowhere: %s", err.text);

    ok(mkdir(in(root, "empty"), 0750) == 0
       && aiq_store_backup(store, in(root, "empty"), &err) == AIQ_OK,
       "into one that is empty");

    ok(put(store, "acme", AIQ_STORE_USER, "later", "x") == AIQ_OK, "later");
    aiq_store_close(store);

    rc = aiq_store_open(&copied, to, 0, &err);
    ok(rc == AIQ_E_STORE_CORRUPT && strstr(err.text, "store.key"),
       "no keys, no store: %s", err.text);

    copy(in(dir, "store.key"), in(to, "store.key"));
    copied = must_open(to, 0);
    rc = aiq_store_check(copied, crypto, &rows, &err);
    ok(rc == AIQ_OK && rows == 1003, "restored: clean");
    ok(get(copied, "acme", AIQ_STORE_USER, "user77", "user77") == AIQ_OK
       && get(copied, "acme", AIQ_STORE_USER, "later", NULL) == AIQ_DECLINED
       && revision(copied) == 2, "restored: as it was");
    aiq_store_close(copied);
}


static void
test_seeds(void)
{
    char           kid[130];
    unsigned       i;
    aiq_rc_t       rc;
    aiq_str_t      s;
    const char    *dir;
    aiq_store_t   *store;
    unsigned char  a[32], b[32];

    static const char  *bad[] = {
        "../store", "a/b", "", ".hidden", "..", ".", "a b", "a\n", "k\xc3\xa4",
        "*", "~", "a:b"
    };

    dir = in(root, "seeds");
    store = must_open(dir, AIQ_STORE_CREATE);
    aiq_store_close(store);

    for (i = 0; i < 32; i++) {
        a[i] = (unsigned char) (i * 7);
    }

    umask(0);
    rc = aiq_store_seed_write(dir, S("kid-1_A.b"), a, &err);
    umask(022);

    ok(rc == AIQ_OK && mode_of(in(dir, "keys/kid-1_A.b.seed")) == 0640,
       "a seed");
    memset(b, 0, 32);
    rc = aiq_store_seed_read(dir, S("kid-1_A.b"), b, &err);
    ok(rc == AIQ_OK && memcmp(a, b, 32) == 0, "is read");

    a[0] = 99;
    rc = aiq_store_seed_write(dir, S("kid-1_A.b"), a, &err);
    ok(rc == AIQ_E_STORE_UNAVAILABLE && strstr(err.text, "never replaced")
       && aiq_store_seed_read(dir, S("kid-1_A.b"), b, &err) == AIQ_OK
       && b[0] == 0, "never replaced: %s", err.text);

    rc = aiq_store_seed_read(dir, S("none"), b, &err);
    ok(rc == AIQ_E_STORE_UNAVAILABLE && strstr(err.text, "none.seed"),
       "no such seed: %s", err.text);

    chmod(in(dir, "keys/kid-1_A.b.seed"), 0644);
    rc = aiq_store_seed_read(dir, S("kid-1_A.b"), b, &err);
    ok(rc == AIQ_E_STORE_UNAVAILABLE && strstr(err.text, "run: chmod"),
       "a seed for everybody: %s", err.text);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ok(aiq_store_seed_read(dir, S(bad[i]), b, &err)
           == AIQ_E_STORE_UNAVAILABLE
           && aiq_store_seed_write(dir, S(bad[i]), a, &err)
              == AIQ_E_STORE_UNAVAILABLE, "kid %u is refused", i);
    }

    s.data = (const unsigned char *) "a\0b";
    s.len = 3;
    ok(aiq_store_seed_write(dir, s, a, &err) == AIQ_E_STORE_UNAVAILABLE,
       "a kid with a NUL is refused");

    memset(kid, 'k', 129);
    kid[129] = '\0';
    ok(aiq_store_seed_write(dir, S(kid), a, &err) == AIQ_E_STORE_UNAVAILABLE,
       "a kid of 129");
    kid[128] = '\0';
    ok(aiq_store_seed_write(dir, S(kid), a, &err) == AIQ_OK
       && aiq_store_seed_read(dir, S(kid), b, &err) == AIQ_OK
       && memcmp(a, b, 32) == 0, "a kid of 128");

    write_text(in(dir, "keys/junk.seed"), "zz", 0600);
    rc = aiq_store_seed_read(dir, S("junk"), b, &err);
    ok(rc == AIQ_E_STORE_CORRUPT, "junk: %s", err.text);
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
    crypto = aiq_crypto_new();

    if (crypto == NULL) {
        printf("Bail out! no crypto\n");
        return 1;
    }

    umask(022);
    tmpdir_make(root);

    test_create();
    test_modes();
    test_broken();
    test_rows();
    test_revision();
    test_mac();
    test_tenants();
    test_fork();
    test_readers();
    test_check();
    test_backup();
    test_seeds();
    test_threads();

    tmpdir_remove(root);
    aiq_crypto_free(crypto);

    return done_testing();
}
