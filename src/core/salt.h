
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Salts: what can be guessed is not hashed plainly in a record, but under a
 * key of the org (docs/audit-format.md).  Whoever has the log and not the key
 * cannot try what an argument may have been; with the key a known argument
 * can be looked for, and without it, once it is erased, nobody can any more.
 * The chain is over the records as they are and does not mind.
 *
 * An org has one salt at a time, numbered from 1; a number is never given
 * twice, also not after the salt was erased.
 */


#ifndef _AIQ_SALT_H_INCLUDED_
#define _AIQ_SALT_H_INCLUDED_


#include "crypto.h"


#define AIQ_SALT_MAX       1000000    /* salts of an org, over all times */


typedef struct {
    uint32_t            epoch;        /* its number, 0: there is none */
    unsigned char       key[AIQ_KEY_LEN];
} aiq_salt_t;

/* a hash of one kind of content is never that of another */

typedef enum {
    AIQ_SALTED_ARGS = 0,
    AIQ_SALTED_BODY,
    AIQ_SALTED_RESULT,
    AIQ_SALTED_TEXT                   /* a member that was too long */
} aiq_salted_e;


/*
 * HMAC-SHA-256(salt, label | hash), where hash is the SHA-256 of the content:
 * an answer is hashed as it comes, and the salt is needed at its end alone.
 * AIQ_DECLINED if there is no salt.
 */

aiq_rc_t aiq_salted(aiq_crypto_t *c, const aiq_salt_t *salt,
    aiq_salted_e what, const unsigned char hash[AIQ_HASH_LEN],
    unsigned char out[AIQ_HASH_LEN]);


#endif /* _AIQ_SALT_H_INCLUDED_ */
