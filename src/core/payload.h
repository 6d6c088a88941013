
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Payloads: bodies of calls, encrypted beside the audit log (docs/audit-
 * format.md).  The key is made of the salt of the org and of the id of the
 * request, so that it is good for one payload only, nothing new has to be kept
 * secret, and a salt that is erased takes the payloads with it.
 *
 *     "AIQPAY1\n" | u32 salt | nonce | AES-256-GCM ciphertext | tag
 */


#ifndef _AIQ_PAYLOAD_H_INCLUDED_
#define _AIQ_PAYLOAD_H_INCLUDED_


#include "salt.h"


#define AIQ_GCM_NONCE      12
#define AIQ_GCM_TAG        16
#define AIQ_GCM_MAX        ((size_t) 1 << 30)

#define AIQ_PAYLOAD_FRONT  (8 + 4 + AIQ_GCM_NONCE)
#define AIQ_PAYLOAD_OVER   (AIQ_PAYLOAD_FRONT + AIQ_GCM_TAG)

#define AIQ_PAYLOAD_REQUEST  "request"


/* whose it is: bound to it by the tag, and not in it */

typedef struct {
    aiq_str_t           origin;       /* of the log */
    aiq_str_t           org;
    aiq_str_t           rid;
    aiq_str_t           kind;         /* AIQ_PAYLOAD_REQUEST */
} aiq_payload_t;


/*
 * A key and a nonce are used once.  out has as many bytes as in, which has
 * AIQ_GCM_MAX at most.  AIQ_OK or AIQ_E_CRYPTO_FAILED.
 */

aiq_rc_t aiq_gcm_seal(const unsigned char key[AIQ_KEY_LEN],
    const unsigned char nonce[AIQ_GCM_NONCE], aiq_str_t aad, aiq_str_t in,
    unsigned char *out, unsigned char tag[AIQ_GCM_TAG]);

/*
 * AIQ_DECLINED: not what was sealed, or a tag of another length.  Unless it is
 * AIQ_OK there is nothing in out (trust S3).
 */

aiq_rc_t aiq_gcm_open(const unsigned char key[AIQ_KEY_LEN],
    const unsigned char nonce[AIQ_GCM_NONCE], aiq_str_t aad, aiq_str_t in,
    aiq_str_t tag, unsigned char *out);


/*
 * The nonce is random.  out has room for AIQ_PAYLOAD_OVER bytes more than
 * text.  AIQ_DECLINED if there is no salt.
 */

aiq_rc_t aiq_payload_seal(aiq_crypto_t *c, const aiq_salt_t *salt,
    const aiq_payload_t *p, const unsigned char nonce[AIQ_GCM_NONCE],
    aiq_str_t text, unsigned char *out);

/*
 * out has room for file less AIQ_PAYLOAD_OVER.  AIQ_DECLINED: not of this
 * salt, not of this call, or changed.
 */

aiq_rc_t aiq_payload_open(aiq_crypto_t *c, const aiq_salt_t *salt,
    const aiq_payload_t *p, aiq_str_t file, unsigned char *out, size_t *len);


#endif /* _AIQ_PAYLOAD_H_INCLUDED_ */
