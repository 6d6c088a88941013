
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Witnesses of a log: their cosignatures (c2sp.org/tlog-cosignature, v1), and
 * what a witness says to a request (c2sp.org/tlog-witness).
 *
 * A cosignature is an Ed25519 signature over
 *
 *     cosignature/v1
 *     time <Unix seconds>
 *     <text of the checkpoint>
 *
 * in a line of signatures of the note as  u64be time | signature.
 */


#ifndef _AIQ_COSIGN_H_INCLUDED_
#define _AIQ_COSIGN_H_INCLUDED_


#include "note.h"


#define AIQ_COSIGN_SKEW      300      /* of the clock of a witness, seconds */
#define AIQ_WITNESSES        16       /* of a log */
#define AIQ_WITNESS_PROOF    63       /* hashes of a proof, at most */
#define AIQ_WITNESS_HEAD     (32 + AIQ_WITNESS_PROOF * 45)
#define AIQ_WITNESS_MAX      (AIQ_WITNESS_HEAD + AIQ_NOTE_MAX)


#define aiq_cosigner_parse(v, text, c, err)                                   \
    aiq_vkey_parse_as(v, AIQ_NOTE_COSIGNATURE, text, c, err)
#define aiq_cosigner_init(v, name, key, c)                                    \
    aiq_vkey_init_as(v, AIQ_NOTE_COSIGNATURE, name, key, c)

/* verification keys with blanks between them; AIQ_DECLINED if one is none, or
   there twice, or there are more than max */

aiq_rc_t aiq_vkey_list(aiq_vkey_t *v, unsigned max, unsigned *n,
    unsigned char type, aiq_str_t text, aiq_crypto_t *c, aiq_err_t *err);

/* one line */

aiq_rc_t aiq_cosign(aiq_out_t *out, aiq_str_t text, const aiq_vkey_t *v,
    const unsigned char seed[AIQ_KEY_LEN], int64_t now, aiq_crypto_t *c);

/*
 * AIQ_OK, when, and the line; AIQ_DECLINED if there is none by this key;
 * AIQ_D_TOKEN_SIGNATURE if it is wrong.  The last of several counts.
 */

aiq_rc_t aiq_cosign_verify(const aiq_note_t *n, const aiq_vkey_t *v,
    int64_t *when, aiq_str_t *line, aiq_crypto_t *c, aiq_err_t *err);

/*
 * The good ones by n witnesses, none made later than now allows, and when the
 * k-th newest of them was made: since then k witnesses stand behind the note.
 */

typedef struct {
    unsigned              good;
    unsigned              wrong;      /* or of a time to come */
    int64_t               when;       /* if good >= k */
} aiq_cosigned_t;

aiq_rc_t aiq_cosigned(const aiq_note_t *note, const aiq_vkey_t *witness,
    unsigned n, unsigned k, int64_t now, aiq_cosigned_t *result,
    aiq_crypto_t *c, aiq_err_t *err);


/*
 * What is known of witnesses from one look to the next.  Time counts from a
 * cosignature on what was the newest checkpoint then: one that is repeated
 * on an old checkpoint, while the log goes on, does not keep it fresh.
 */

typedef struct {
    uint64_t              size;       /* that k witnesses have signed; or 0 */
    int64_t               when;
} aiq_witnessed_t;

void aiq_witnessed(aiq_witnessed_t *w, uint64_t size, int64_t when,
    uint64_t newest);

/* seconds; INT64_MAX if nothing is known */

int64_t aiq_witnessed_age(const aiq_witnessed_t *w, int64_t now);


/* add-checkpoint: "old N", a consistency proof, an empty line, a note */

typedef struct {
    uint64_t              old;
    unsigned              count;
    aiq_hash_t            proof[AIQ_PROOF_MAX];
    aiq_str_t             text;       /* of the note, as it came */
    aiq_note_t            note;
    aiq_checkpoint_t      checkpoint;
} aiq_witness_request_t;

/* AIQ_DECLINED if it is not of that form: 400 */

aiq_rc_t aiq_witness_parse(aiq_witness_request_t *r, aiq_str_t body,
    aiq_err_t *err);
void aiq_witness_write(aiq_out_t *out, uint64_t old, const aiq_hash_t *proof,
    unsigned count);

/* the last checkpoint that was cosigned; size 0: none */

typedef struct {
    uint64_t              size;
    aiq_hash_t            root;
} aiq_witness_state_t;

/*
 * The status of the answer.  200: the caller makes the checkpoint of the
 * request its state, and cosigns when that is on disk.  409: the size in the
 * state is the answer.  keys are those of the log of that origin; no keys, no
 * such log.
 */

unsigned aiq_witness_decide(const aiq_witness_request_t *r,
    const aiq_vkey_t *keys, unsigned nkeys, const aiq_witness_state_t *state,
    aiq_crypto_t *c, aiq_err_t *err);


#endif /* _AIQ_COSIGN_H_INCLUDED_ */
