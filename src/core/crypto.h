
/*
 * Copyright (C) ngx_armoriq authors
 *
 * SHA-256, HMAC-SHA-256 and Ed25519 over libcrypto 3, with the algorithm
 * objects fetched once.  One aiq_crypto_t per thread.
 */


#ifndef _AIQ_CRYPTO_H_INCLUDED_
#define _AIQ_CRYPTO_H_INCLUDED_


#include "aiq.h"


typedef struct aiq_crypto_s  aiq_crypto_t;


aiq_crypto_t *aiq_crypto_new(void);         /* NULL if libcrypto fails */
void aiq_crypto_free(aiq_crypto_t *c);

/* AIQ_OK or AIQ_E_CRYPTO_FAILED */

aiq_rc_t aiq_sha256(aiq_crypto_t *c, aiq_str_t in,
    unsigned char out[AIQ_HASH_LEN]);

/* the hash of the parts one behind the other, parts of NULL data skipped */

aiq_rc_t aiq_sha256v(aiq_crypto_t *c, const aiq_str_t *parts, unsigned n,
    unsigned char out[AIQ_HASH_LEN]);

/*
 * Streaming.  begin() makes out a sink that feeds the hash; only one at a
 * time per aiq_crypto_t, and no other hash function between begin and end.
 * buf is the caller's, at least 64 bytes, and lives until end().
 */

aiq_rc_t aiq_sha256_begin(aiq_crypto_t *c, aiq_out_t *out, void *buf,
    size_t size);
aiq_rc_t aiq_sha256_end(aiq_crypto_t *c, aiq_out_t *out,
    unsigned char hash[AIQ_HASH_LEN]);

/*
 * A hash that takes its time: any number of them at once, each of its own
 * memory.  NULL, or not AIQ_OK, if libcrypto fails; end() is called once.
 */

typedef struct aiq_digest_s  aiq_digest_t;

aiq_digest_t *aiq_digest_new(aiq_crypto_t *c);
aiq_rc_t aiq_digest_add(aiq_digest_t *d, aiq_str_t in);
aiq_rc_t aiq_digest_end(aiq_digest_t *d, unsigned char hash[AIQ_HASH_LEN]);
void aiq_digest_free(aiq_digest_t *d);

aiq_rc_t aiq_hmac(aiq_crypto_t *c, aiq_str_t key, const aiq_str_t *parts,
    unsigned n, unsigned char out[AIQ_HASH_LEN]);

/* constant time; 1 if equal */

int aiq_equal(const void *a, const void *b, size_t len);

void aiq_wipe(void *p, size_t len);

/* from the system's generator; AIQ_E_CRYPTO_FAILED denies */

aiq_rc_t aiq_random(void *p, size_t len);


/* Ed25519, RFC 8032 */

/*
 * Refuses the 14 small-order and non-canonical encodings that OpenSSL lets
 * through, and any y >= p (trust T2).  AIQ_D_TOKEN_KEY if bad.
 */

aiq_rc_t aiq_ed25519_check_public(const unsigned char pub[AIQ_KEY_LEN]);

/*
 * AIQ_OK, AIQ_D_TOKEN_SIGNATURE, AIQ_D_TOKEN_KEY (bad key) or
 * AIQ_E_CRYPTO_FAILED.  sig.len must be 64.  R is checked against the same
 * list as keys.
 */

aiq_rc_t aiq_ed25519_verify(aiq_crypto_t *c,
    const unsigned char pub[AIQ_KEY_LEN], aiq_str_t msg, aiq_str_t sig);

aiq_rc_t aiq_ed25519_sign(aiq_crypto_t *c,
    const unsigned char seed[AIQ_KEY_LEN], aiq_str_t msg,
    unsigned char sig[AIQ_SIG_LEN]);

aiq_rc_t aiq_ed25519_public(aiq_crypto_t *c,
    const unsigned char seed[AIQ_KEY_LEN], unsigned char pub[AIQ_KEY_LEN]);


#endif /* _AIQ_CRYPTO_H_INCLUDED_ */
