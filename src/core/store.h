
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The embedded store: LMDB, one environment per directory and process.
 *
 *     DIR/data.mdb, DIR/lock.mdb    the environment
 *     DIR/store.key                 32 bytes in hex, MAC key of the rows
 *     DIR/keys/KID.seed             Ed25519 seeds of issuers, in hex
 *
 * A key is  u8 org length | org | kind | id;  a value is  MAC | payload  with
 * MAC = HMAC-SHA-256(store key, u16 key length | key | payload): a row that
 * was changed or moved behind our back is AIQ_E_STORE_CORRUPT, never "not
 * found".  A row that was taken away, or put back as it once was, is not
 * seen by the MAC: that is what the revision is compared for.
 *
 * Rules (trust L1 - L12): open after fork only, one open per directory and
 * process (closing the second would drop the locks of the first), no
 * WRITEMAP, no read transaction over a return to the event loop, writes
 * never in the event loop, every fault denies.
 */


#ifndef _AIQ_STORE_H_INCLUDED_
#define _AIQ_STORE_H_INCLUDED_


#include "crypto.h"


#define AIQ_STORE_SCHEMA     1
#ifndef AIQ_STORE_MAPSIZE
#define AIQ_STORE_MAPSIZE    ((size_t) 4 << 30)     /* sparse */
#endif
#define AIQ_STORE_READERS    1024
#define AIQ_STORE_ORG_MAX    64
#define AIQ_STORE_ID_MAX     256

typedef struct aiq_store_s      aiq_store_t;
typedef struct aiq_store_txn_s  aiq_store_txn_t;

/* rows of kind META, decimal but for the uuid; written by the store alone */

#define AIQ_STORE_META_SCHEMA    "schema"
#define AIQ_STORE_META_UUID      "uuid"
#define AIQ_STORE_META_REVISION  "revision"

typedef enum {
    AIQ_STORE_META = 's',     /* of no org: uuid, schema, revision */
    AIQ_STORE_ORG = 'o',      /* of no org: id is the name of the org */
    AIQ_STORE_KEYHASH = 'h',  /* of no org: SHA-256 of an API key -> org, id */
    AIQ_STORE_USER = 'u',
    AIQ_STORE_AGENT = 'a',
    AIQ_STORE_KEY = 'k',      /* API keys, by id */
    AIQ_STORE_MCP = 'm',
    AIQ_STORE_TOOLS = 'T',    /* of an MCP server, where they are listed */
    AIQ_STORE_POLICY = 'p',
    AIQ_STORE_ISSUER = 'i',   /* public keys of token issuers, by kid */
    AIQ_STORE_PLAN = 'P',     /* packed plan, by plan_hash (32 bytes) */
    AIQ_STORE_PLANDOC = 'D',  /* its canonical JSON */
    AIQ_STORE_TOKEN = 't',    /* issued tokens, by jti */
    AIQ_STORE_REVOKED = 'r',  /* revoked jti */
    AIQ_STORE_SALT = 'x'      /* of hashes in the audit log, by number */
} aiq_store_kind_e;

#define AIQ_STORE_WRITE      0x01     /* else read-only */
#define AIQ_STORE_CREATE     0x02     /* makes directory, keys, environment */


/*
 * Opens.  AIQ_E_STORE_UNAVAILABLE, _CORRUPT with a sentence that names the
 * file and says what to run.  Refuses files that others may read or write
 * and the group may write (L12).  AIQ_STORE_CREATE implies AIQ_STORE_WRITE
 * and opens a store that is there already as it is.  Closing in another
 * process than the one that opened gives the memory of the key back and
 * leaves the environment alone.
 */

aiq_rc_t aiq_store_open(aiq_store_t **store, const char *dir, unsigned flags,
    aiq_err_t *err);
void aiq_store_close(aiq_store_t *store);

const char *aiq_store_dir(const aiq_store_t *store);

/*
 * A read transaction: one kept per store, renewed and reset, so at most one
 * at a time; MDB_MAP_RESIZED is handled.  A write transaction: one per
 * environment, blocks until others are done, and ends in the thread that
 * began it; a second one in this thread is AIQ_E_INTERNAL.  Threads: others
 * may write while the first reads; each passes its own aiq_crypto_t.
 */

aiq_rc_t aiq_store_read(aiq_store_t *store, aiq_store_txn_t **txn,
    aiq_crypto_t *c, aiq_err_t *err);
aiq_rc_t aiq_store_write(aiq_store_t *store, aiq_store_txn_t **txn,
    aiq_crypto_t *c, aiq_err_t *err);

/*
 * Ends a read; or writes: the revision grows by one if something changed
 * that counts (see below).  After a put or del that failed nothing is
 * written and AIQ_E_STORE_UNAVAILABLE is returned.  txn is gone then.
 */

aiq_rc_t aiq_store_commit(aiq_store_txn_t *txn, aiq_err_t *err);
void aiq_store_abort(aiq_store_txn_t *txn);

/*
 * The payload, in the map: valid until the transaction ends or writes.
 * AIQ_DECLINED if there is no such row, or can be none (id or org empty or
 * too long).  The kinds "of no org" want an empty org and the others one
 * that is not: the wrong way round is AIQ_E_INTERNAL.
 */

aiq_rc_t aiq_store_get(aiq_store_txn_t *txn, aiq_str_t org,
    aiq_store_kind_e kind, aiq_str_t id, aiq_str_t *value);

/* value is copied first, it may point into the transaction */

aiq_rc_t aiq_store_put(aiq_store_txn_t *txn, aiq_str_t org,
    aiq_store_kind_e kind, aiq_str_t id, aiq_str_t value, aiq_err_t *err);

/* AIQ_DECLINED if there was none */

aiq_rc_t aiq_store_del(aiq_store_txn_t *txn, aiq_str_t org,
    aiq_store_kind_e kind, aiq_str_t id, aiq_err_t *err);

/*
 * All rows of a kind, in order of id; a result other than AIQ_OK stops and
 * is returned.  The callback must not write.
 */

typedef aiq_rc_t (*aiq_store_each_pt)(void *data, aiq_str_t id,
    aiq_str_t value);

aiq_rc_t aiq_store_each(aiq_store_txn_t *txn, aiq_str_t org,
    aiq_store_kind_e kind, aiq_store_each_pt each, void *data);

/* grows with every commit that changed policy, keys or servers; plans and
   issued tokens do not count */

aiq_rc_t aiq_store_revision(aiq_store_txn_t *txn, uint64_t *revision);

/*
 * Walks everything, checks every MAC; rows is their number.  Reads, so no
 * other read may be under way.
 */

aiq_rc_t aiq_store_check(aiq_store_t *store, aiq_crypto_t *c, uint64_t *rows,
    aiq_err_t *err);

/*
 * A consistent, compacted copy DIR/data.mdb in a new or empty directory.
 * store.key and keys/ are not in it, on purpose: keep them elsewhere, and to
 * restore put them beside it.
 */

aiq_rc_t aiq_store_backup(aiq_store_t *store, const char *dir,
    aiq_err_t *err);

/* frees slots of dead readers (L5) */

void aiq_store_reap(aiq_store_t *store);

/*
 * The seed of an issuer from DIR/keys; wipe it after use.  A kid is a part
 * of a file name here: letters, digits, "-", "_" and, but for the first,
 * ".".  Writing never replaces a seed.
 */

aiq_rc_t aiq_store_seed_read(const char *dir, aiq_str_t kid,
    unsigned char seed[AIQ_KEY_LEN], aiq_err_t *err);
aiq_rc_t aiq_store_seed_write(const char *dir, aiq_str_t kid,
    const unsigned char seed[AIQ_KEY_LEN], aiq_err_t *err);


#endif /* _AIQ_STORE_H_INCLUDED_ */
