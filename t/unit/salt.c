
/*
 * Copyright (C) ngx_armoriq authors
 */


#include "records.h"
#include "tap.h"
#include "tmpdir.h"


static aiq_crypto_t   *crypto;
static aiq_store_t    *store;
static aiq_err_t       err;
static aiq_mem_t       mem;
static char            root[PATH_MAX];
static unsigned char   space[1 << 16];
static unsigned        walked;


static aiq_store_txn_t *
begin(int write)
{
    aiq_rc_t          rc;
    aiq_store_txn_t  *txn;

    mem.pos = space;
    mem.end = space + sizeof(space);

    rc = write ? aiq_store_write(store, &txn, crypto, &err)
               : aiq_store_read(store, &txn, crypto, &err);

    if (rc != AIQ_OK) {
        printf("Bail out! begin: %s\n", err.text);
        exit(1);
    }

    return txn;
}


static aiq_rc_t
count(void *data, const aiq_salt_row_t *row)
{
    walked = walked * 10 + row->epoch;

    return (data != NULL) ? AIQ_DECLINED : AIQ_OK;
}


/* what is in the row is a text with a right MAC, and the reader says rc */

static aiq_rc_t
read_row(const char *id, const char *text)
{
    aiq_rc_t          rc;
    aiq_salt_row_t    row;
    aiq_store_txn_t  *txn;

    txn = begin(1);

    rc = aiq_store_put(txn, aiq_cstr("bad"), AIQ_STORE_SALT, aiq_cstr(id),
                       aiq_cstr(text), &err);

    if (rc == AIQ_OK) {
        rc = aiq_salt_newest(txn, aiq_cstr("bad"), &row, &mem);
    }

    aiq_store_abort(txn);

    return rc;
}


static void
test_rows(void)
{
    uint64_t          before, after;
    aiq_str_t         org;
    aiq_rc_t          rc;
    aiq_salt_t        first;
    aiq_salt_row_t    row;
    aiq_store_txn_t  *txn;

    org = aiq_cstr("acme");

    txn = begin(1);

    ok(aiq_salt_newest(txn, org, &row, &mem) == AIQ_DECLINED
       && row.salt.epoch == 0, "there is none");

    (void) aiq_store_revision(txn, &before);

    ok(aiq_salt_make(txn, org, 1, 1700000000, &err) == AIQ_OK, "the first");
    ok(aiq_store_commit(txn, &err) == AIQ_OK, "and it is written");

    txn = begin(0);

    rc = aiq_salt_newest(txn, org, &row, &mem);
    first = row.salt;

    (void) aiq_store_revision(txn, &after);

    ok(rc == AIQ_OK && row.epoch == 1 && row.salt.epoch == 1
       && row.created == 1700000000 && row.erased == 0, "and read");
    ok(after > before, "workers see that the store has changed");
    ok(mem.pos == space, "reading gives its memory back");

    mem.end = space + 16;
    ok(aiq_salt_newest(txn, org, &row, &mem) == AIQ_E_NO_MEMORY,
       "or says that there is none");

    aiq_store_abort(txn);

    txn = begin(1);

    ok(aiq_salt_make(txn, org, 2, 1700000001, &err) == AIQ_OK
       && aiq_salt_make(txn, aiq_cstr("acm"), 9, 1700000001, &err) == AIQ_OK
       && aiq_salt_newest(txn, org, &row, &mem) == AIQ_OK
       && row.salt.epoch == 2
       && memcmp(row.salt.key, first.key, AIQ_KEY_LEN) != 0,
       "the newest is the one in use, and is another one");

    row.erased = 1700000002;

    ok(aiq_salt_put(txn, org, &row, &err) == AIQ_OK
       && aiq_salt_newest(txn, org, &row, &mem) == AIQ_OK
       && row.epoch == 2 && row.salt.epoch == 0
       && row.salt.key[0] == 0 && row.erased == 1700000002,
       "one that was erased keeps its number and no key");

    walked = 0;
    ok(aiq_salt_each(txn, org, count, NULL, &mem) == AIQ_OK && walked == 12,
       "all of them, in their order");

    walked = 0;
    ok(aiq_salt_each(txn, org, count, &walked, &mem) == AIQ_DECLINED
       && walked == 1, "or as many as are wanted");

    aiq_store_abort(txn);
}


static void
test_bad(void)
{
    size_t            i;
    aiq_salt_row_t    row;
    aiq_store_txn_t  *txn;

#define HEX32  "000102030405060708090a0b0c0d0e0f" \
               "101112131415161718191a1b1c1d1e1f"

    static const struct {
        const char  *id;
        const char  *text;
    } rows[] = {
        { "1", "{\"created\":1,\"erased\":0,\"key\":\"" HEX32 "\"}" },
        { "0000000000", "{\"created\":1,\"erased\":0,\"key\":\"" HEX32
          "\"}" },
        { "0001000001", "{\"created\":1,\"erased\":0,\"key\":\"" HEX32
          "\"}" },
        { "00000000x1", "{\"created\":1,\"erased\":0,\"key\":\"" HEX32
          "\"}" },
        { "0000000001", "{\"created\":1,\"erased\":0}" },
        { "0000000001", "{\"created\":1,\"erased\":0,\"key\":\"00\"}" },
        { "0000000001", "{\"created\":1,\"erased\":0,\"key\":7}" },
        { "0000000001", "{\"created\":-1,\"erased\":0,\"key\":\"" HEX32
          "\"}" },
        { "0000000001", "{\"created\":1,\"key\":\"" HEX32 "\"}" },
        { "0000000001", "[]" },
        { "0000000001", "" }
    };

    ok(read_row("0000000001", "{\"created\":1,\"erased\":0,\"key\":\""
                HEX32 "\"}") == AIQ_OK, "a row as it is written");

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ok(read_row(rows[i].id, rows[i].text) == AIQ_E_STORE_CORRUPT,
           "not a row: %s, %s", rows[i].id, rows[i].text);
    }

    txn = begin(1);

    memset(&row, 0, sizeof(row));
    ok(aiq_salt_put(txn, aiq_cstr("x"), &row, &err) == AIQ_E_INTERNAL,
       "no number");

    row.epoch = 1;
    ok(aiq_salt_put(txn, aiq_cstr("x"), &row, &err) == AIQ_E_INTERNAL,
       "no key, and not erased");

    row.epoch = AIQ_SALT_MAX + 1;
    row.salt.epoch = row.epoch;
    ok(aiq_salt_put(txn, aiq_cstr("x"), &row, &err) == AIQ_E_INTERNAL,
       "too many");

    aiq_store_abort(txn);
}


static void
test_salted(void)
{
    unsigned       i, k, same;
    aiq_hash_t     out[4], hash;
    aiq_salt_t     salt;
    aiq_digest_t  *a, *b;

    memset(&salt, 0, sizeof(salt));
    memset(hash, 7, sizeof(hash));

    ok(aiq_salted(crypto, &salt, AIQ_SALTED_ARGS, hash, out[0])
       == AIQ_DECLINED
       && aiq_salted(crypto, NULL, AIQ_SALTED_ARGS, hash, out[0])
          == AIQ_DECLINED, "nothing is hashed without a salt");

    salt.epoch = 1;

    for (i = 0, same = 0; i < 4; i++) {

        if (aiq_salted(crypto, &salt, (aiq_salted_e) i, hash, out[i])
            != AIQ_OK)
        {
            same++;
        }

        for (k = 0; k < i; k++) {
            same += memcmp(out[i], out[k], AIQ_HASH_LEN) == 0;
        }
    }

    ok(same == 0, "one content, four kinds, four hashes");

    /* two at a time, in pieces, and a hash in between */

    a = aiq_digest_new(crypto);
    b = aiq_digest_new(crypto);

    ok(a != NULL && b != NULL
       && aiq_digest_add(a, aiq_cstr("ab")) == AIQ_OK
       && aiq_digest_add(b, aiq_cstr("x")) == AIQ_OK
       && aiq_sha256(crypto, aiq_cstr("abc"), hash) == AIQ_OK
       && aiq_digest_add(a, aiq_cstr("")) == AIQ_OK
       && aiq_digest_add(a, aiq_cstr("c")) == AIQ_OK
       && aiq_digest_end(a, out[0]) == AIQ_OK
       && aiq_digest_end(b, out[1]) == AIQ_OK
       && memcmp(out[0], hash, AIQ_HASH_LEN) == 0
       && aiq_sha256(crypto, aiq_cstr("x"), hash) == AIQ_OK
       && memcmp(out[1], hash, AIQ_HASH_LEN) == 0,
       "hashes that take their time");

    aiq_digest_free(a);
    aiq_digest_free(b);
    aiq_digest_free(NULL);
}


int
main(void)
{
    crypto = aiq_crypto_new();

    umask(022);
    tmpdir_make(root);

    if (crypto == NULL
        || aiq_store_open(&store, in(root, "store"), AIQ_STORE_CREATE, &err)
           != AIQ_OK)
    {
        printf("Bail out! %s\n", err.text);
        return 1;
    }

    test_rows();
    test_bad();
    test_salted();

    aiq_store_close(store);
    tmpdir_remove(root);
    aiq_crypto_free(crypto);

    return done_testing();
}
