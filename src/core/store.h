
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
 * MAC = HMAC-SHA-256(store key, key | payload): a row that was changed or
 * moved behind our back is AIQ_E_STORE_CORRUPT, never "not found".
 *
 * Rules (trust L1 - L12): open after fork only, no WRITEMAP, no read
 * transaction over a return to the event loop, writes never in the event
 * loop, every fault denies.
 */


#ifndef _AIQ_STORE_H_INCLUDED_
#define _AIQ_STORE_H_INCLUDED_


#include "crypto.h"


#define AIQ_STORE_SCHEMA     1
#define AIQ_STORE_MAPSIZE    ((size_t) 4 << 30)     /* sparse */
#define AIQ_STORE_ORG_MAX    64
#define AIQ_STORE_ID_MAX     256

typedef struct aiq_store_s      aiq_store_t;
typedef struct aiq_store_txn_s  aiq_store_txn_t;

typedef enum {
    AIQ_STORE_META = 's',     /* of no org: uuid, schema, revision */
    AIQ_STORE_ORG = 'o',      /* of no org: id is the name of the org */
    AIQ_STORE_KEYHASH = 'h',  /* of no org: SHA-256 of an API key -> org, id */
    AIQ_STORE_USER = 'u',
    AIQ_STORE_AGENT = 'a',
    AIQ_STORE_KEY = 'k',      /* API keys, by id */
    AIQ_STORE_MCP = 'm',
    AIQ_STORE_POLICY = 'p',
    AIQ_STORE_ISSUER = 'i',   /* public keys of token issuers, by kid */
    AIQ_STORE_PLAN = 'P',     /* packed plan, by plan_hash (32 bytes) */
    AIQ_STORE_PLANDOC = 'D',  /* its canonical JSON */
    AIQ_STORE_TOKEN = 't',    /* issued tokens, by jti */
    AIQ_STORE_REVOKED = 'r'   /* revoked jti */
} aiq_store_kind_e;

#define AIQ_STORE_WRITE      0x01     /* else read-only */
#define AIQ_STORE_CREATE     0x02     /* makes directory, keys, environment */


/*
 * Opens.  AIQ_E_STORE_UNAVAILABLE, _CORRUPT with a sentence that names the
 * file and says what to run.  Refuses files that others may write (L12).
 */

aiq_rc_t aiq_store_open(aiq_store_t **store, const char *dir, unsigned flags,
    aiq_err_t *err);
void aiq_store_close(aiq_store_t *store);

const char *aiq_store_dir(const aiq_store_t *store);

/*
 * A read transaction: one kept per store, renewed and reset, so at most one
 * at a time; MDB_MAP_RESIZED is handled.  A write transaction: one per
 * environment, blocks until others are done.  Threads: a second thread may
 * write while the first reads; it passes its own aiq_crypto_t.
 */

aiq_rc_t aiq_store_read(aiq_store_t *store, aiq_store_txn_t **txn,
    aiq_crypto_t *c, aiq_err_t *err);
aiq_rc_t aiq_store_write(aiq_store_t *store, aiq_store_txn_t **txn,
    aiq_crypto_t *c, aiq_err_t *err);

/* ends a read; or writes: the revision grows by one.  txn is gone then */

aiq_rc_t aiq_store_commit(aiq_store_txn_t *txn, aiq_err_t *err);
void aiq_store_abort(aiq_store_txn_t *txn);

/*
 * The payload, in the map: valid until the transaction ends.  AIQ_DECLINED
 * if there is no such row.
 */

aiq_rc_t aiq_store_get(aiq_store_txn_t *txn, aiq_str_t org,
    aiq_store_kind_e kind, aiq_str_t id, aiq_str_t *value);

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

/* walks everything, checks every MAC; rows is their number */

aiq_rc_t aiq_store_check(aiq_store_t *store, aiq_crypto_t *c, uint64_t *rows,
    aiq_err_t *err);

/* a consistent, compacted copy into a new directory, key files excluded */

aiq_rc_t aiq_store_backup(aiq_store_t *store, const char *dir,
    aiq_err_t *err);

/* frees slots of dead readers (L5) */

void aiq_store_reap(aiq_store_t *store);

/* the seed of an issuer from DIR/keys; wipe it after use */

aiq_rc_t aiq_store_seed_read(const char *dir, aiq_str_t kid,
    unsigned char seed[AIQ_KEY_LEN], aiq_err_t *err);
aiq_rc_t aiq_store_seed_write(const char *dir, aiq_str_t kid,
    const unsigned char seed[AIQ_KEY_LEN], aiq_err_t *err);


#endif /* _AIQ_STORE_H_INCLUDED_ */
