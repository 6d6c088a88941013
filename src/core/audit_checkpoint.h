
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Checkpoints of an audit log: who makes them, and proofs under them.
 *
 *     DIR/checkpoints       all that were made, signed notes
 *     DIR/checkpoint        the newest one
 *     DIR/tile/             hashes, see tlog.h
 *     DIR/checkpoints.lock  flock() of whoever makes one
 *
 * Records are read from the segments, whoever has written them, and only
 * those that are on disk are signed.
 */


#ifndef _AIQ_AUDIT_CHECKPOINT_H_INCLUDED_
#define _AIQ_AUDIT_CHECKPOINT_H_INCLUDED_


#include "audit.h"
#include "note.h"
#include "tlog.h"


#define AIQ_AUDIT_KID         "audit"     /* the first seed in a store; later
                                             ones are "audit-<id of key>" */
#define AIQ_AUDIT_KID_LEN     (sizeof(AIQ_AUDIT_KID "-") + 8)

#define AIQ_AUDIT_NOWAIT      0x01        /* if somebody else is making one */
#define AIQ_AUDIT_REBUILD     0x02        /* all tiles, from the records */


typedef struct aiq_audit_signer_s  aiq_audit_signer_t;

typedef struct {
    uint64_t            size;             /* of the newest checkpoint */
    uint64_t            added;            /* records since the one before; 0:
                                             it was there */
} aiq_audit_signed_t;


/*
 * Where seeds come from: that of a key of the log, number n of the chain.
 * store() reads them from the store whose directory is data.
 */

typedef aiq_rc_t (*aiq_audit_seed_pt)(void *data, const aiq_vkey_t *key,
    unsigned n, unsigned char seed[AIQ_KEY_LEN], aiq_err_t *err);

aiq_rc_t aiq_audit_seed_store(void *data, const aiq_vkey_t *key, unsigned n,
    unsigned char seed[AIQ_KEY_LEN], aiq_err_t *err);
void aiq_audit_kid(char kid[AIQ_AUDIT_KID_LEN], const aiq_vkey_t *key,
    unsigned n);

/*
 * Signs with the newest key of the log, also if that becomes another one
 * while it is open.  A signer is for one thread at a time, and for the process
 * that opened it; it remembers the tree, so that only new records are read.
 */

aiq_rc_t aiq_audit_signer_open(aiq_audit_signer_t **s, const char *dir,
    aiq_audit_seed_pt seed, void *data, aiq_err_t *err);
void aiq_audit_signer_close(aiq_audit_signer_t *s);

/*
 * A checkpoint over all records, if there are some that none covers.  Never
 * one that contradicts the last: if the log was cut off or written anew since,
 * AIQ_E_AUDIT_UNAVAILABLE.  AIQ_DECLINED with AIQ_AUDIT_NOWAIT if another one
 * is at it.  Blocks; does not hold the lock of the log for longer than it
 * takes to look how long it is.
 */

aiq_rc_t aiq_audit_checkpoint(aiq_audit_signer_t *s, unsigned flags,
    aiq_audit_signed_t *result, aiq_err_t *err);


/*
 * Another key from here on, whose seed is where signers look for it: a
 * checkpoint by the old one, a KEY record, the file of keys, a checkpoint by
 * the new one.  Wherever that stops, whoever signs next goes on; begun says
 * that the record may be in the log, and the seed is needed.
 */

typedef struct {
    uint64_t            from;             /* what the old key covers */
    uint64_t            seq;              /* of the KEY record */
    uint64_t            size;             /* of the first checkpoint */
    unsigned            begun:1;
} aiq_audit_rekeyed_t;

aiq_rc_t aiq_audit_rekey(aiq_audit_signer_t *s,
    const unsigned char seed[AIQ_KEY_LEN], int64_t now_us,
    aiq_audit_rekeyed_t *result, aiq_err_t *err);


/* the name of the log; room for AIQ_NAME_MAX */

aiq_rc_t aiq_audit_origin(const char *dir, unsigned char *name, size_t *len,
    aiq_crypto_t *c, aiq_err_t *err);


/*
 * Proofs.  The note is verified with the keys of log.json, and what is
 * returned verifies.  buf has room for AIQ_NOTE_MAX and holds the note.
 */

typedef struct {
    int                 dir;              /* of the log */
    unsigned char      *buf;
    aiq_str_t           note;
    aiq_checkpoint_t    checkpoint;
} aiq_audit_tree_t;

aiq_rc_t aiq_audit_tree_open(aiq_audit_tree_t *t, const char *dir,
    aiq_err_t *err);
void aiq_audit_tree_close(aiq_audit_tree_t *t);

/* the newest checkpoint; AIQ_DECLINED if there is none */

aiq_rc_t aiq_audit_tree(aiq_audit_tree_t *t, aiq_crypto_t *c,
    aiq_err_t *err);

/* the one of this size among all that were made */

aiq_rc_t aiq_audit_tree_find(aiq_audit_tree_t *t, uint64_t size,
    aiq_crypto_t *c, aiq_err_t *err);

/*
 * From tiles.  AIQ_DECLINED if the checkpoint does not cover the record,
 * AIQ_D_PROOF_INVALID if tiles are missing or wrong.
 */

aiq_rc_t aiq_audit_prove(const aiq_audit_tree_t *t, uint64_t seq,
    aiq_tlog_proof_t *proof, aiq_hash_t leaf, aiq_crypto_t *c,
    aiq_err_t *err);

/* from the tree of size from, whose root is answered too */

aiq_rc_t aiq_audit_prove_consistency(const aiq_audit_tree_t *t,
    uint64_t from, aiq_tlog_proof_t *proof, aiq_hash_t root,
    aiq_crypto_t *c, aiq_err_t *err);

/* the same by reading all records: slow, and needs no tiles */

aiq_rc_t aiq_audit_prove_slowly(const char *dir, const aiq_audit_tree_t *t,
    uint64_t seq, uint64_t from, aiq_tlog_proof_t *proof, aiq_hash_t hash,
    aiq_crypto_t *c, aiq_err_t *err);


#endif /* _AIQ_AUDIT_CHECKPOINT_H_INCLUDED_ */
