
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <limits.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>

#include "crypto_internal.h"


#define AIQ_HMAC_BLOCK    64          /* of SHA-256, FIPS 180-4 */
#define AIQ_STREAM_MIN    64


static aiq_rc_t aiq_crypto_fault(void);
static int aiq_crypto_flush(aiq_out_t *out);
static aiq_rc_t aiq_crypto_parts(aiq_crypto_t *c, const unsigned char *block,
    const aiq_str_t *parts, unsigned n, unsigned char out[AIQ_HASH_LEN]);


aiq_crypto_t *
aiq_crypto_new(void)
{
    aiq_crypto_t  *c;

    c = OPENSSL_zalloc(sizeof(aiq_crypto_t));
    if (c == NULL) {
        return NULL;
    }

    c->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    c->hash = EVP_MD_CTX_new();
    c->stream = EVP_MD_CTX_new();
    c->key = EVP_MD_CTX_new();

    if (c->sha256 == NULL
        || c->hash == NULL
        || c->stream == NULL
        || c->key == NULL
        || EVP_MD_get_size(c->sha256) != AIQ_HASH_LEN)
    {
        aiq_crypto_free(c);
        (void) aiq_crypto_fault();
        return NULL;
    }

    return c;
}


void
aiq_crypto_free(aiq_crypto_t *c)
{
    if (c == NULL) {
        return;
    }

    EVP_MD_CTX_free(c->key);
    EVP_MD_CTX_free(c->stream);
    EVP_MD_CTX_free(c->hash);
    EVP_MD_free(c->sha256);

    OPENSSL_free(c);
}


static aiq_rc_t
aiq_crypto_fault(void)
{
    /* nothing of ours may lie in the queue when a TLS library looks */

    ERR_clear_error();

    return AIQ_E_CRYPTO_FAILED;
}


static aiq_rc_t
aiq_crypto_parts(aiq_crypto_t *c, const unsigned char *block,
    const aiq_str_t *parts, unsigned n, unsigned char out[AIQ_HASH_LEN])
{
    unsigned  i, len;

    if (EVP_DigestInit_ex2(c->hash, c->sha256, NULL) != 1) {
        return aiq_crypto_fault();
    }

    if (block != NULL
        && EVP_DigestUpdate(c->hash, block, AIQ_HMAC_BLOCK) != 1)
    {
        return aiq_crypto_fault();
    }

    for (i = 0; i < n; i++) {

        if (parts[i].data == NULL || parts[i].len == 0) {
            continue;
        }

        if (EVP_DigestUpdate(c->hash, parts[i].data, parts[i].len) != 1) {
            return aiq_crypto_fault();
        }
    }

    if (EVP_DigestFinal_ex(c->hash, out, &len) != 1 || len != AIQ_HASH_LEN) {
        return aiq_crypto_fault();
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_sha256(aiq_crypto_t *c, aiq_str_t in, unsigned char out[AIQ_HASH_LEN])
{
    return aiq_crypto_parts(c, NULL, &in, 1, out);
}


aiq_rc_t
aiq_sha256v(aiq_crypto_t *c, const aiq_str_t *parts, unsigned n,
    unsigned char out[AIQ_HASH_LEN])
{
    return aiq_crypto_parts(c, NULL, parts, n, out);
}


static int
aiq_crypto_flush(aiq_out_t *out)
{
    size_t         len;
    aiq_crypto_t  *c;

    c = out->ctx;
    len = (size_t) (out->pos - out->start);

    if (c->out != out) {
        return -1;
    }

    if (len && EVP_DigestUpdate(c->stream, out->start, len) != 1) {
        (void) aiq_crypto_fault();
        return -1;
    }

    out->pos = out->start;

    return 0;
}


aiq_rc_t
aiq_sha256_begin(aiq_crypto_t *c, aiq_out_t *out, void *buf, size_t size)
{
    /*
     * A stream that nobody ended is given up here, and its end() fails: an
     * error path that forgot it must not lock the object for ever.
     */

    c->out = NULL;

    aiq_out_init(out, buf, size);

    out->flush = aiq_crypto_flush;
    out->ctx = c;

    if (size < AIQ_STREAM_MIN) {
        out->failed = 1;
        return AIQ_E_INTERNAL;
    }

    if (EVP_DigestInit_ex2(c->stream, c->sha256, NULL) != 1) {
        out->failed = 1;
        return aiq_crypto_fault();
    }

    c->out = out;

    return AIQ_OK;
}


aiq_rc_t
aiq_sha256_end(aiq_crypto_t *c, aiq_out_t *out,
    unsigned char hash[AIQ_HASH_LEN])
{
    int       rc;
    unsigned  len;

    if (c->out != out) {
        return AIQ_E_INTERNAL;
    }

    rc = out->failed ? -1 : aiq_crypto_flush(out);

    c->out = NULL;

    if (rc != 0) {
        return AIQ_E_CRYPTO_FAILED;
    }

    if (EVP_DigestFinal_ex(c->stream, hash, &len) != 1
        || len != AIQ_HASH_LEN)
    {
        return aiq_crypto_fault();
    }

    return AIQ_OK;
}


/* the type is ours in name only: there is nothing in it but the context */

aiq_digest_t *
aiq_digest_new(aiq_crypto_t *c)
{
    EVP_MD_CTX  *ctx;

    ctx = EVP_MD_CTX_new();

    if (ctx == NULL || EVP_DigestInit_ex2(ctx, c->sha256, NULL) != 1) {
        EVP_MD_CTX_free(ctx);
        (void) aiq_crypto_fault();
        return NULL;
    }

    return (aiq_digest_t *) ctx;
}


aiq_rc_t
aiq_digest_add(aiq_digest_t *d, aiq_str_t in)
{
    if (in.len && EVP_DigestUpdate((EVP_MD_CTX *) d, in.data, in.len) != 1) {
        return aiq_crypto_fault();
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_digest_end(aiq_digest_t *d, unsigned char hash[AIQ_HASH_LEN])
{
    unsigned  len;

    if (EVP_DigestFinal_ex((EVP_MD_CTX *) d, hash, &len) != 1
        || len != AIQ_HASH_LEN)
    {
        return aiq_crypto_fault();
    }

    return AIQ_OK;
}


void
aiq_digest_free(aiq_digest_t *d)
{
    EVP_MD_CTX_free((EVP_MD_CTX *) d);
}


aiq_rc_t
aiq_hmac(aiq_crypto_t *c, aiq_str_t key, const aiq_str_t *parts, unsigned n,
    unsigned char out[AIQ_HASH_LEN])
{
    size_t         i;
    aiq_rc_t       rc;
    aiq_str_t      inner;
    unsigned char  block[AIQ_HMAC_BLOCK], hash[AIQ_HASH_LEN];

    memset(block, 0, sizeof(block));

    if (key.len > sizeof(block)) {
        rc = aiq_sha256(c, key, block);
        if (rc != AIQ_OK) {
            goto done;
        }

    } else if (key.len) {
        memcpy(block, key.data, key.len);
    }

    for (i = 0; i < sizeof(block); i++) {
        block[i] ^= 0x36;
    }

    rc = aiq_crypto_parts(c, block, parts, n, hash);
    if (rc != AIQ_OK) {
        goto done;
    }

    for (i = 0; i < sizeof(block); i++) {
        block[i] ^= 0x36 ^ 0x5c;
    }

    inner.data = hash;
    inner.len = sizeof(hash);

    rc = aiq_crypto_parts(c, block, &inner, 1, out);

done:

    aiq_wipe(block, sizeof(block));
    aiq_wipe(hash, sizeof(hash));

    return rc;
}


int
aiq_equal(const void *a, const void *b, size_t len)
{
    return len == 0 || CRYPTO_memcmp(a, b, len) == 0;
}


void
aiq_wipe(void *p, size_t len)
{
    if (len) {
        OPENSSL_cleanse(p, len);
    }
}


aiq_rc_t
aiq_random(void *p, size_t len)
{
    if (len == 0) {
        return AIQ_OK;
    }

    if (len > INT_MAX || RAND_priv_bytes(p, (int) len) != 1) {
        return aiq_crypto_fault();
    }

    return AIQ_OK;
}
