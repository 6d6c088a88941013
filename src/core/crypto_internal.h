
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What crypto.c and ed25519.c share; nobody else includes it.
 */


#ifndef _AIQ_CRYPTO_INTERNAL_H_INCLUDED_
#define _AIQ_CRYPTO_INTERNAL_H_INCLUDED_


#include <openssl/evp.h>

#include "crypto.h"


/*
 * Three contexts, so that a whole hash or a signature inside a stream cannot
 * spoil the stream.
 */

struct aiq_crypto_s {
    EVP_MD             *sha256;
    EVP_MD_CTX         *hash;
    EVP_MD_CTX         *stream;
    EVP_MD_CTX         *key;
    aiq_out_t          *out;          /* the open stream, or NULL */
};


#endif /* _AIQ_CRYPTO_INTERNAL_H_INCLUDED_ */
