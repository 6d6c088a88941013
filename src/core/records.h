
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What the rows of the store mean.  Rows are JSON objects (plans: packed),
 * read with the strict reader; strings live in mem or in the transaction.
 */


#ifndef _AIQ_RECORDS_H_INCLUDED_
#define _AIQ_RECORDS_H_INCLUDED_


#include "plan.h"
#include "salt.h"
#include "store.h"


#define AIQ_APIKEY_PREFIX    "ak_live_"
#define AIQ_APIKEY_LEN       72       /* prefix and 64 hex digits */
#define AIQ_APIKEY_TAIL      200      /* most behind the prefix, imported */
#define AIQ_KEY_ID_LEN       16       /* "key_" and 12 hex digits */
#define AIQ_RECORD_MEM       8192
#define AIQ_TEXT_MAX         1024     /* description, note */


typedef struct {
    aiq_str_t           name;
    unsigned            permit:1;     /* what no policy speaks of is
                                         permitted */
    unsigned            active:1;
    aiq_str_t           issuer;       /* kid that signs new tokens */
    int64_t             created;
} aiq_org_t;

typedef struct {
    aiq_str_t           id;
    aiq_str_t           email;        /* may be empty */
    unsigned            active:1;
    int64_t             created;
} aiq_user_t;

typedef struct {
    aiq_str_t           id;
    aiq_str_t           description;
    unsigned            active:1;
    int64_t             created;
} aiq_agent_t;

typedef struct {
    aiq_str_t           id;           /* "key_..." */
    aiq_str_t           org;
    aiq_str_t           user;         /* empty: for any user of the org */
    aiq_str_t           agent;        /* empty: for any agent */
    aiq_str_t           note;
    unsigned            active:1;
    int64_t             created;
    int64_t             expires;      /* 0: never */
} aiq_apikey_t;

typedef struct {
    aiq_str_t           name;
    aiq_str_t           description;
    unsigned            active:1;
    int64_t             created;
} aiq_server_t;

typedef struct {
    aiq_str_t           kid;
    unsigned char       public_key[AIQ_KEY_LEN];
    unsigned            active:1;
    int64_t             created;
} aiq_issuer_t;

typedef struct {
    aiq_str_t           jti;
    aiq_str_t           plan_id;
    aiq_str_t           user;
    aiq_str_t           agent;
    aiq_str_t           key;          /* API key id */
    aiq_str_t           kid;
    aiq_hash_t          plan_hash;
    int64_t             iat;
    int64_t             exp;
} aiq_issued_t;

/* there is no key any more in one that was erased: salt.epoch is 0 */

typedef struct {
    uint32_t            epoch;
    aiq_salt_t          salt;
    int64_t             created;
    int64_t             erased;       /* 0: not */
} aiq_salt_row_t;


/*
 * AIQ_DECLINED: no such row.  AIQ_E_STORE_CORRUPT: not what it should be.
 * One row takes less than AIQ_RECORD_MEM of mem.
 */

aiq_rc_t aiq_org_get(aiq_store_txn_t *txn, aiq_str_t name, aiq_org_t *org,
    aiq_mem_t *mem);
aiq_rc_t aiq_user_get(aiq_store_txn_t *txn, aiq_str_t org, aiq_str_t id,
    aiq_user_t *user, aiq_mem_t *mem);
aiq_rc_t aiq_agent_get(aiq_store_txn_t *txn, aiq_str_t org, aiq_str_t id,
    aiq_agent_t *agent, aiq_mem_t *mem);
aiq_rc_t aiq_apikey_get(aiq_store_txn_t *txn, aiq_str_t org, aiq_str_t id,
    aiq_apikey_t *key, aiq_mem_t *mem);
aiq_rc_t aiq_server_get(aiq_store_txn_t *txn, aiq_str_t org, aiq_str_t name,
    aiq_server_t *server, aiq_mem_t *mem);
aiq_rc_t aiq_issuer_get(aiq_store_txn_t *txn, aiq_str_t org, aiq_str_t kid,
    aiq_issuer_t *issuer, aiq_mem_t *mem);
aiq_rc_t aiq_issued_get(aiq_store_txn_t *txn, aiq_str_t org, aiq_str_t jti,
    aiq_issued_t *token, aiq_mem_t *mem);

/* the issuer whose public key this is (IAP tokens have no kid) */

aiq_rc_t aiq_issuer_find(aiq_store_txn_t *txn, aiq_str_t org,
    const unsigned char public_key[AIQ_KEY_LEN], aiq_issuer_t *issuer,
    aiq_mem_t *mem);

/*
 * The owner of an API key as presented: looked up by its SHA-256.
 * AIQ_D_KEY_INVALID: unknown, revoked, expired, malformed, or its org is not
 * active, or the user or agent it is bound to was registered and is not
 * active; the caller cannot tell which.
 */

aiq_rc_t aiq_apikey_find(aiq_store_txn_t *txn, aiq_str_t secret, int64_t now,
    aiq_apikey_t *key, aiq_crypto_t *c, aiq_mem_t *mem);

/* AIQ_OK: not revoked; AIQ_D_TOKEN_REVOKED, also if jti can be none */

aiq_rc_t aiq_token_revoked(aiq_store_txn_t *txn, aiq_str_t org,
    aiq_str_t jti);

/*
 * Writing; names are checked with aiq_name_ok(), other texts may be empty.
 * A name that is none is AIQ_E_INTERNAL with a sentence: who passes on what
 * a client sent checks it before.  An issuer with a bad public key, or one
 * that another kid of the org has already, is AIQ_D_TOKEN_KEY.
 */

aiq_rc_t aiq_org_put(aiq_store_txn_t *txn, const aiq_org_t *org,
    aiq_err_t *err);
aiq_rc_t aiq_user_put(aiq_store_txn_t *txn, aiq_str_t org,
    const aiq_user_t *user, aiq_err_t *err);
aiq_rc_t aiq_agent_put(aiq_store_txn_t *txn, aiq_str_t org,
    const aiq_agent_t *agent, aiq_err_t *err);
aiq_rc_t aiq_apikey_put(aiq_store_txn_t *txn, const aiq_apikey_t *key,
    aiq_err_t *err);
aiq_rc_t aiq_server_put(aiq_store_txn_t *txn, aiq_str_t org,
    const aiq_server_t *server, aiq_err_t *err);
aiq_rc_t aiq_issuer_put(aiq_store_txn_t *txn, aiq_str_t org,
    const aiq_issuer_t *issuer, aiq_err_t *err);
aiq_rc_t aiq_issued_put(aiq_store_txn_t *txn, aiq_str_t org,
    const aiq_issued_t *token, aiq_err_t *err);
aiq_rc_t aiq_token_revoke(aiq_store_txn_t *txn, aiq_str_t org, aiq_str_t jti,
    int64_t now, aiq_err_t *err);

/*
 * A new API key: secret gets AIQ_APIKEY_LEN bytes and a NUL, key->id is set
 * (in mem).  Only the SHA-256 of the secret is stored.
 */

aiq_rc_t aiq_apikey_create(aiq_store_txn_t *txn, aiq_apikey_t *key,
    char secret[AIQ_APIKEY_LEN + 1], aiq_crypto_t *c, aiq_mem_t *mem,
    aiq_err_t *err);

/*
 * The same with a secret that exists: ak_live_, ak_test_ or ak_claw_ and 1
 * to AIQ_APIKEY_TAIL printable ASCII characters; AIQ_D_KEY_INVALID if it is
 * not that or is registered already.
 */

aiq_rc_t aiq_apikey_import(aiq_store_txn_t *txn, aiq_apikey_t *key,
    aiq_str_t secret, aiq_crypto_t *c, aiq_mem_t *mem, aiq_err_t *err);

/* 1 if it has the form of an API key */

int aiq_apikey_form(aiq_str_t secret);

/*
 * A plan: packed row and canonical document, by plan_hash.  Writing one that
 * is there already is no change.
 */

aiq_rc_t aiq_plan_put(aiq_store_txn_t *txn, aiq_str_t org,
    const aiq_plan_t *plan, const aiq_json_t *doc, uint32_t i, aiq_mem_t *mem,
    aiq_err_t *err);
aiq_rc_t aiq_plan_get(aiq_store_txn_t *txn, aiq_str_t org,
    const aiq_hash_t plan_hash, aiq_plan_t *plan, aiq_mem_t *mem);

/* policies are kept as the JSON text they came as (checked by the caller
   with aiq_policy_compile()); name is the id */

aiq_rc_t aiq_policy_put(aiq_store_txn_t *txn, aiq_str_t org, aiq_str_t name,
    aiq_str_t text, aiq_err_t *err);

/*
 * Salts of an org, the oldest first; the newest is the one in use, and
 * AIQ_DECLINED is that there never was one.  Whoever has a row wipes it.  mem
 * is for reading, and is given back.
 */

typedef aiq_rc_t (*aiq_salt_each_pt)(void *data, const aiq_salt_row_t *row);

aiq_rc_t aiq_salt_each(aiq_store_txn_t *txn, aiq_str_t org,
    aiq_salt_each_pt each, void *data, aiq_mem_t *mem);
aiq_rc_t aiq_salt_newest(aiq_store_txn_t *txn, aiq_str_t org,
    aiq_salt_row_t *row, aiq_mem_t *mem);
aiq_rc_t aiq_salt_put(aiq_store_txn_t *txn, aiq_str_t org,
    const aiq_salt_row_t *row, aiq_err_t *err);

/* a new one, of random bytes */

aiq_rc_t aiq_salt_make(aiq_store_txn_t *txn, aiq_str_t org, uint32_t epoch,
    int64_t now, aiq_err_t *err);


#endif /* _AIQ_RECORDS_H_INCLUDED_ */
