
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Signed notes (c2sp.org/signed-note) with Ed25519 keys, and the text of
 * checkpoints (c2sp.org/tlog-checkpoint):
 *
 *     text, ends with LF | LF | 1*( U+2014 SP name SP base64(id | sig) LF )
 *
 * The text of a note is nobody's word until aiq_note_verify() says AIQ_OK.
 */


#ifndef _AIQ_NOTE_H_INCLUDED_
#define _AIQ_NOTE_H_INCLUDED_


#include "merkle.h"


#define AIQ_NOTE_ED25519     0x01     /* types of key and signature */
#define AIQ_NOTE_COSIGNATURE 0x04     /* Ed25519, see cosign.h */
#define AIQ_NOTE_ID_LEN      4
#define AIQ_NOTE_SIGS        100      /* of one note; C2SP: at least 16 */
#define AIQ_NOTE_MAX         65536    /* bytes of a note that is read */
#define AIQ_VKEY_MAX         (AIQ_NAME_MAX + 1 + 8 + 1 + 44)

/* a checkpoint of ours: origin, size, root, one signature */

#define AIQ_CHECKPOINT_MAX   (2 * AIQ_NAME_MAX + 256)


typedef struct {
    aiq_str_t             name;
    unsigned char         type;       /* AIQ_NOTE_... */
    unsigned char         id[AIQ_NOTE_ID_LEN];
    unsigned char         key[AIQ_KEY_LEN];
} aiq_vkey_t;

typedef struct {
    aiq_str_t             text;       /* with its last LF */
    aiq_str_t             sigs;       /* lines */
} aiq_note_t;

typedef struct {
    aiq_str_t             origin;
    uint64_t              size;
    aiq_hash_t            root;
    aiq_str_t             extension;  /* lines, or empty */
} aiq_checkpoint_t;


/* 1..AIQ_NAME_MAX bytes of UTF-8 without blanks, controls and '+' */

int aiq_note_name_ok(aiq_str_t name);

/* id = SHA-256(name | LF | type | key)[:4]; name is kept, not copied */

aiq_rc_t aiq_vkey_init_as(aiq_vkey_t *v, unsigned char type, aiq_str_t name,
    const unsigned char key[AIQ_KEY_LEN], aiq_crypto_t *c);

#define aiq_vkey_init(v, name, key, c)                                        \
    aiq_vkey_init_as(v, AIQ_NOTE_ED25519, name, key, c)

/*
 * name "+" hex(id) "+" base64(type | key); AIQ_DECLINED if it is not that, or
 * of another type.
 */

aiq_rc_t aiq_vkey_parse_as(aiq_vkey_t *v, unsigned char type,
    aiq_str_t text, aiq_crypto_t *c, aiq_err_t *err);

#define aiq_vkey_parse(v, text, c, err)                                       \
    aiq_vkey_parse_as(v, AIQ_NOTE_ED25519, text, c, err)

void aiq_vkey_write(aiq_out_t *out, const aiq_vkey_t *v);


/*
 * Splits a note, and checks the form of every line of signatures.
 * AIQ_DECLINED if it is none.
 */

aiq_rc_t aiq_note_parse(aiq_note_t *n, aiq_str_t in, aiq_err_t *err);

/*
 * AIQ_OK if a known key has signed; signatures of other keys are ignored.
 * AIQ_D_TOKEN_SIGNATURE if that of a known key is wrong, whatever the others
 * say; AIQ_DECLINED if there is none of a known key.
 */

aiq_rc_t aiq_note_verify(const aiq_note_t *n, const aiq_vkey_t *keys,
    unsigned nkeys, aiq_crypto_t *c, aiq_err_t *err);

/* the whole note; the text must end with LF.  add() is one line more of
   signatures, behind such a note */

aiq_rc_t aiq_note_sign(aiq_out_t *out, aiq_str_t text, const aiq_vkey_t *v,
    const unsigned char seed[AIQ_KEY_LEN], aiq_crypto_t *c);
aiq_rc_t aiq_note_add(aiq_out_t *out, aiq_str_t text, const aiq_vkey_t *v,
    const unsigned char seed[AIQ_KEY_LEN], aiq_crypto_t *c);

/* one line of signatures: U+2014 SP name SP base64(id | sig) LF */

void aiq_note_write_sig(aiq_out_t *out, const aiq_vkey_t *v,
    const unsigned char *sig, size_t len);

/*
 * The signature of the next line of a note that was parsed, and that line;
 * AIQ_DECLINED behind the last one.  sig has room for AIQ_NOTE_SIG_MAX.
 */

#define AIQ_NOTE_SIG_MAX     8192

typedef struct {
    aiq_str_t             name;
    aiq_str_t             line;       /* with LF */
    unsigned char         id[AIQ_NOTE_ID_LEN];
    aiq_str_t             sig;        /* in the caller's buffer */
} aiq_note_sig_t;

aiq_rc_t aiq_note_next(aiq_str_t *sigs, aiq_note_sig_t *sig,
    unsigned char *buf);

/* takes a line from the front of rest; 0 if there is no LF */

int aiq_note_line(aiq_str_t *rest, aiq_str_t *line);

/* decimal without a leading zero, of 18 digits at most; 0 if it is none */

int aiq_note_number(aiq_str_t s, uint64_t *n);


void aiq_checkpoint_write(aiq_out_t *out, const aiq_checkpoint_t *cp);
aiq_rc_t aiq_checkpoint_parse(aiq_checkpoint_t *cp, aiq_str_t text,
    aiq_err_t *err);

/* a note, its signature and the checkpoint in it; origin is that of keys[0] */

aiq_rc_t aiq_checkpoint_open(aiq_checkpoint_t *cp, aiq_str_t note,
    const aiq_vkey_t *keys, unsigned nkeys, aiq_crypto_t *c, aiq_err_t *err);


#endif /* _AIQ_NOTE_H_INCLUDED_ */
