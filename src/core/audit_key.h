
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The keys that have signed checkpoints of a log.  The first one is in
 * log.json and in the hash of the first record; each later one is declared by
 * a note that the key before it and itself have signed:
 *
 *     armoriq-audit-key/v1
 *     <origin>
 *     <verification key before>
 *     <new verification key>
 *     <size of the last checkpoint that the key before has signed>
 *     <base64 of its root>
 *
 *     — <origin> <signature of the key before>
 *     — <origin> <signature of the new key>
 *
 * A KEY record of the log holds that note, and DIR/keys all of them, one
 * behind the other, for whoever does not read the log.  Any key of the chain
 * vouches for all of it.
 */


#ifndef _AIQ_AUDIT_KEY_H_INCLUDED_
#define _AIQ_AUDIT_KEY_H_INCLUDED_


#include "note.h"


#define AIQ_AUDIT_KEYS       128
#define AIQ_AUDIT_KEYS_FILE  "keys"
#define AIQ_AUDIT_KEYS_SIZE  (AIQ_AUDIT_KEYS * AIQ_AUDIT_KEY_NOTE)
#define AIQ_AUDIT_KEY_NOTE   2048         /* bytes of one, at most */


/* names point to origin: not to be copied */

typedef struct {
    unsigned              n;
    aiq_vkey_t            key[AIQ_AUDIT_KEYS];
    uint64_t              from[AIQ_AUDIT_KEYS];   /* i signs what covers more
                                         than this, and not more than that of
                                         i + 1 */
    aiq_hash_t            root[AIQ_AUDIT_KEYS];   /* of so many records */
    aiq_hash_t            note[AIQ_AUDIT_KEYS];   /* SHA-256 of its note */
    unsigned char         origin[AIQ_NAME_MAX];
} aiq_audit_keys_t;


/*
 * Of the log in dir.  AIQ_DECLINED if log.json is not what it should be,
 * AIQ_D_TOKEN_SIGNATURE if the file of keys is not.
 */

aiq_rc_t aiq_audit_keys(int dir, aiq_audit_keys_t *k, aiq_crypto_t *c,
    aiq_err_t *err);

/*
 * The text of such a file behind the keys that there are.  With none it
 * begins with the key that its first note names: the caller must know one of
 * them.  AIQ_D_TOKEN_SIGNATURE if it is not a chain.
 */

aiq_rc_t aiq_audit_keys_read(aiq_audit_keys_t *k, aiq_str_t text,
    aiq_crypto_t *c, aiq_err_t *err);
aiq_rc_t aiq_audit_keys_add(aiq_audit_keys_t *k, aiq_str_t note,
    aiq_crypto_t *c, aiq_err_t *err);

/* the number of the key that declares this note, or 0 */

unsigned aiq_audit_keys_find(const aiq_audit_keys_t *k,
    const aiq_hash_t note);

/* the number of the key that signs checkpoints of this size */

unsigned aiq_audit_keys_of(const aiq_audit_keys_t *k, uint64_t size);

int aiq_audit_keys_have(const aiq_audit_keys_t *k, aiq_str_t vkey);

/* a checkpoint, signed by the key for its size; answers of
   aiq_checkpoint_open() */

aiq_rc_t aiq_audit_keys_open(const aiq_audit_keys_t *k, aiq_checkpoint_t *cp,
    aiq_str_t note, aiq_crypto_t *c, aiq_err_t *err);

/* what declares the new key, whose seed is given too */

aiq_rc_t aiq_audit_key_note(aiq_out_t *out, const aiq_vkey_t *old,
    const unsigned char old_seed[AIQ_KEY_LEN], const aiq_vkey_t *key,
    const unsigned char seed[AIQ_KEY_LEN], uint64_t size,
    const aiq_hash_t root, aiq_crypto_t *c);

/* the note in a KEY record, in mem; AIQ_DECLINED if there is none */

aiq_rc_t aiq_audit_key_record(aiq_str_t line, aiq_mem_t *mem,
    aiq_str_t *note);

/* writes a file tmp, and puts it in place of name, with the directory synced */

aiq_rc_t aiq_audit_replace(int dir, const char *tmp, const char *name,
    aiq_str_t text, aiq_err_t *err);

/* one note more in DIR/keys */

aiq_rc_t aiq_audit_keys_publish(int dir, aiq_str_t note, aiq_err_t *err);


#endif /* _AIQ_AUDIT_KEY_H_INCLUDED_ */
