
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The store: making and opening it, rows, revisions, seeds.
 */


#include "store_test.h"


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
    ok(aiq_store_write(store, &txn, crypto, &err) == AIQ_E_INTERNAL
       && txn == NULL, "one write at a time in a thread: %s", err.text);
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


int
main(void)
{
    test_begin();

    test_create();
    test_modes();
    test_broken();
    test_rows();
    test_revision();
    test_seeds();

    return test_end();
}
