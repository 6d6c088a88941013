
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The store against who changes its file, and orgs against each other;
 * check and backup.
 */


#include <sys/resource.h>

#include "store_test.h"


#define PAIRS    200000
#define DAMAGES  200


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


/*
 * A page of the file overwritten: LMDB trusts its file, so a crash or a loop
 * may come of it, in a child here, but never a value that nobody wrote.
 */

static void
damage(const char *dir, const char *whole, size_t len)
{
    int              fd, null;
    char             id[32];
    size_t           at;
    unsigned         i;
    aiq_rc_t         rc;
    aiq_store_t     *store;
    unsigned char    junk[4096];
    struct rlimit    none = { 0, 0 };

    /* random bytes, or another page of the same file */

    at = (size_t) (rnd() % len) & ~(size_t) 511;

    if (rnd() % 2) {
        for (i = 0; i < sizeof(junk); i++) {
            junk[i] = (unsigned char) rnd();
        }

    } else {
        memcpy(junk, whole + (rnd() % (len / 4096)) * 4096, sizeof(junk));
    }

    fd = open(in(dir, "data.mdb"), O_WRONLY);
    null = open("/dev/null", O_WRONLY);

    if (fd == -1 || null == -1 || dup2(null, 1) == -1 || dup2(null, 2) == -1
        || setrlimit(RLIMIT_CORE, &none) != 0
        || pwrite(fd, whole, len, 0) != (ssize_t) len
        || ftruncate(fd, (off_t) len) != 0
        || pwrite(fd, junk, sizeof(junk), (off_t) at) != sizeof(junk))
    {
        _exit(78);
    }

    alarm(1);

    if (aiq_store_open(&store, dir, 0, &err) != AIQ_OK) {
        _exit(1);
    }

    for (i = 0; i < 2000; i++) {
        snprintf(id, sizeof(id), "user%u", i);
        rc = get(store, "acme", AIQ_STORE_USER, id, id);

        if (rc != AIQ_OK && rc != AIQ_DECLINED && rc != AIQ_E_STORE_CORRUPT
            && rc != AIQ_E_STORE_UNAVAILABLE)
        {
            _exit(77);
        }
    }

    _exit(0);
}


static void
test_damage(void)
{
    char             *whole, id[32];
    int               rc, bad, fine;
    pid_t             pid;
    size_t            len;
    unsigned          i;
    const char       *dir;
    aiq_store_t      *store;
    aiq_store_txn_t  *txn;

    dir = in(root, "damage");
    store = must_open(dir, AIQ_STORE_CREATE);
    txn = must_begin(store, 1);

    for (i = 0; i < 2000; i++) {
        snprintf(id, sizeof(id), "user%u", i);
        (void) aiq_store_put(txn, S("acme"), AIQ_STORE_USER, S(id), S(id),
                             &err);
    }

    ok(aiq_store_commit(txn, &err) == AIQ_OK, "a store of 2000 rows");
    aiq_store_close(store);

    whole = slurp(in(dir, "data.mdb"), &len);
    bad = 0;
    fine = 0;

    for (i = 0; whole && i < DAMAGES; i++) {
        (void) rnd();
        fflush(stdout);
        pid = fork();

        if (pid == 0) {
            damage(dir, whole, len);
        }

        rc = child(pid);
        bad += (rc == 77 || rc == 78);
        fine += (rc == 0);
    }

    ok(whole && bad == 0, "%d damages, %d of them went unnoticed here, no "
       "wrong value", DAMAGES, fine);

    free(whole);
}


int
main(void)
{
    test_begin();

    test_mac();
    test_tenants();
    test_check();
    test_backup();
    test_damage();

    return test_end();
}
