
/*
 * Copyright (C) ngx_armoriq authors
 *
 * A signer of checkpoints, for the two files that it is made of.
 */


#ifndef _AIQ_AUDIT_SIGNER_H_INCLUDED_
#define _AIQ_AUDIT_SIGNER_H_INCLUDED_


#include "audit_checkpoint.h"
#include "audit_file.h"


struct aiq_audit_signer_s {
    char                 *path;
    int                   dir;
    int                   lock;
    aiq_crypto_t         *crypto;

    /* the seed is that of the last one; stat is of their file */

    aiq_audit_keys_t      keys;
    struct stat           stat;
    unsigned              ready:1;
    unsigned char         seed[AIQ_KEY_LEN];
    aiq_audit_seed_pt     read;
    void                 *data;

    uint64_t              size;           /* the largest that we know of */
    aiq_hash_t            root;

    /* the tree: edge.size records, the last one with this leaf, up to here */

    unsigned              known:1;
    aiq_tlog_edge_t       edge;
    aiq_hash_t            leaf;
    uint64_t              first;          /* names the segment; 0: not known */
    uint64_t              off;
    uint64_t              dead;           /* a segment that we could not sync */

    /* of one run */

    aiq_audit_reader_t    reader;
    unsigned char         note[AIQ_CHECKPOINT_MAX];
};


/* what "checkpoints" ends with */

typedef struct {
    uint64_t              end;            /* of the last whole note */
    uint64_t              size;           /* that it says; 0: none */
    aiq_hash_t            root;
    unsigned              n;
    uint64_t             *at;             /* offsets of the last ones */
    unsigned char         text[AIQ_NOTE_MAX];
    aiq_str_t             note;
} aiq_audit_last_t;


/* the lock of those who sign, and a checkpoint under it */

aiq_rc_t aiq_audit_signer_lock(aiq_audit_signer_t *s, unsigned flags,
    aiq_err_t *err);
void aiq_audit_signer_unlock(aiq_audit_signer_t *s);
aiq_rc_t aiq_audit_signer_run(aiq_audit_signer_t *s, unsigned flags,
    aiq_audit_signed_t *result, aiq_err_t *err);

/* the newest key, if it is another one than before */

aiq_rc_t aiq_audit_signer_keys(aiq_audit_signer_t *s, aiq_err_t *err);

/* a KEY record that is not among the keys yet: somebody was stopped */

aiq_rc_t aiq_audit_signer_keyed(aiq_audit_signer_t *s, aiq_str_t line,
    const aiq_audit_last_t *last, aiq_err_t *err);

/*
 * Where the tree goes on: where we left it, or where tiles have the root that
 * was signed last or before, or at the first record.
 */

aiq_rc_t aiq_audit_signer_start(aiq_audit_signer_t *s, unsigned flags,
    const aiq_audit_last_t *last, aiq_err_t *err);

/* a note of ours */

aiq_rc_t aiq_audit_signer_note(aiq_audit_signer_t *s, aiq_str_t note,
    aiq_checkpoint_t *cp, aiq_err_t *err);


#endif /* _AIQ_AUDIT_SIGNER_H_INCLUDED_ */
