
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "payload.h"


#define AIQ_PAYLOAD_MAGIC  "AIQPAY1\n"
#define AIQ_PAYLOAD_LABEL  "armoriq/payload/v1"
#define AIQ_PAYLOAD_AAD    (6 * 4 + 64 + 3 * AIQ_NAME_MAX)


static int aiq_gcm_run(EVP_CIPHER_CTX *ctx, int encrypt,
    const unsigned char *key, const unsigned char *nonce, aiq_str_t aad,
    aiq_str_t in, unsigned char *out);
static aiq_rc_t aiq_payload_key(aiq_crypto_t *c, const aiq_salt_t *salt,
    const aiq_payload_t *p, unsigned char key[AIQ_KEY_LEN]);
static aiq_rc_t aiq_payload_aad(aiq_out_t *out, const aiq_salt_t *salt,
    const aiq_payload_t *p);
static void aiq_payload_u32(unsigned char *p, uint32_t v);
static void aiq_payload_part(aiq_out_t *out, aiq_str_t s);


aiq_rc_t
aiq_gcm_seal(const unsigned char key[AIQ_KEY_LEN],
    const unsigned char nonce[AIQ_GCM_NONCE], aiq_str_t aad, aiq_str_t in,
    unsigned char *out, unsigned char tag[AIQ_GCM_TAG])
{
    int              ok, len;
    unsigned char    none[AIQ_GCM_TAG];
    EVP_CIPHER_CTX  *ctx;

    ctx = EVP_CIPHER_CTX_new();

    ok = ctx != NULL
         && aiq_gcm_run(ctx, 1, key, nonce, aad, in, out)
         && EVP_EncryptFinal_ex(ctx, none, &len) == 1
         && len == 0
         && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, AIQ_GCM_TAG, tag)
            == 1;

    EVP_CIPHER_CTX_free(ctx);

    if (!ok) {
        ERR_clear_error();
        return AIQ_E_CRYPTO_FAILED;
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_gcm_open(const unsigned char key[AIQ_KEY_LEN],
    const unsigned char nonce[AIQ_GCM_NONCE], aiq_str_t aad, aiq_str_t in,
    aiq_str_t tag, unsigned char *out)
{
    int              ok, right, len;
    unsigned char    want[AIQ_GCM_TAG], none[AIQ_GCM_TAG];
    EVP_CIPHER_CTX  *ctx;

    /* libcrypto compares as many bytes of it as it is given */

    if (tag.len != AIQ_GCM_TAG) {
        return AIQ_DECLINED;
    }

    memcpy(want, tag.data, AIQ_GCM_TAG);

    ctx = EVP_CIPHER_CTX_new();

    ok = ctx != NULL
         && aiq_gcm_run(ctx, 0, key, nonce, aad, in, out)
         && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, AIQ_GCM_TAG, want)
            == 1;

    right = ok && EVP_DecryptFinal_ex(ctx, none, &len) == 1 && len == 0;

    EVP_CIPHER_CTX_free(ctx);

    if (!right) {
        ERR_clear_error();
        aiq_wipe(out, in.len);

        return ok ? AIQ_DECLINED : AIQ_E_CRYPTO_FAILED;
    }

    return AIQ_OK;
}


static int
aiq_gcm_run(EVP_CIPHER_CTX *ctx, int encrypt, const unsigned char *key,
    const unsigned char *nonce, aiq_str_t aad, aiq_str_t in,
    unsigned char *out)
{
    int  len;

    if (in.len > AIQ_GCM_MAX || aad.len > AIQ_GCM_MAX) {
        return 0;
    }

    /* 12 bytes of nonce are the default */

    if (EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce, encrypt)
        != 1)
    {
        return 0;
    }

    /* an input of no bytes would be the end of all to some versions */

    if (aad.len
        && EVP_CipherUpdate(ctx, NULL, &len, aad.data, (int) aad.len) != 1)
    {
        return 0;
    }

    return in.len == 0
           || (EVP_CipherUpdate(ctx, out, &len, in.data, (int) in.len) == 1
               && (size_t) len == in.len);
}


aiq_rc_t
aiq_payload_seal(aiq_crypto_t *c, const aiq_salt_t *salt,
    const aiq_payload_t *p, const unsigned char nonce[AIQ_GCM_NONCE],
    aiq_str_t text, unsigned char *out)
{
    aiq_rc_t        rc;
    aiq_out_t       aad;
    unsigned char  *body;
    unsigned char   key[AIQ_KEY_LEN], buf[AIQ_PAYLOAD_AAD];

    if (salt == NULL || salt->epoch == 0) {
        return AIQ_DECLINED;
    }

    aiq_out_init(&aad, buf, sizeof(buf));

    rc = aiq_payload_aad(&aad, salt, p);

    if (rc == AIQ_OK) {
        rc = aiq_payload_key(c, salt, p, key);
    }

    if (rc == AIQ_OK) {
        memcpy(out, AIQ_PAYLOAD_MAGIC, 8);
        aiq_payload_u32(out + 8, salt->epoch);
        memcpy(out + 12, nonce, AIQ_GCM_NONCE);

        body = out + AIQ_PAYLOAD_FRONT;

        rc = aiq_gcm_seal(key, nonce, aiq_out_done(&aad), text, body,
                          body + text.len);
    }

    aiq_wipe(key, sizeof(key));

    return rc;
}


aiq_rc_t
aiq_payload_open(aiq_crypto_t *c, const aiq_salt_t *salt,
    const aiq_payload_t *p, aiq_str_t file, unsigned char *out, size_t *len)
{
    aiq_rc_t       rc;
    aiq_str_t      text, tag;
    aiq_out_t      aad;
    unsigned char  front[12], key[AIQ_KEY_LEN], buf[AIQ_PAYLOAD_AAD];

    *len = 0;

    if (salt == NULL || salt->epoch == 0 || file.len < AIQ_PAYLOAD_OVER) {
        return AIQ_DECLINED;
    }

    memcpy(front, AIQ_PAYLOAD_MAGIC, 8);
    aiq_payload_u32(front + 8, salt->epoch);

    if (memcmp(file.data, front, sizeof(front)) != 0) {
        return AIQ_DECLINED;
    }

    text.data = file.data + AIQ_PAYLOAD_FRONT;
    text.len = file.len - AIQ_PAYLOAD_OVER;

    tag.data = text.data + text.len;
    tag.len = AIQ_GCM_TAG;

    aiq_out_init(&aad, buf, sizeof(buf));

    rc = aiq_payload_aad(&aad, salt, p);

    if (rc == AIQ_OK) {
        rc = aiq_payload_key(c, salt, p, key);
    }

    if (rc == AIQ_OK) {
        rc = aiq_gcm_open(key, file.data + 12, aiq_out_done(&aad), text, tag,
                          out);
    }

    if (rc == AIQ_OK) {
        *len = text.len;
    }

    aiq_wipe(key, sizeof(key));

    return rc;
}


/*
 * HKDF-Expand (RFC 5869) of one block: the salt is a key of random bytes, and
 * needs no Extract.  Nothing else is hashed under it that begins like that.
 */

static aiq_rc_t
aiq_payload_key(aiq_crypto_t *c, const aiq_salt_t *salt,
    const aiq_payload_t *p, unsigned char key[AIQ_KEY_LEN])
{
    aiq_str_t  prk, parts[5];

    prk.data = salt->key;
    prk.len = sizeof(salt->key);

    aiq_str_set(&parts[0], AIQ_PAYLOAD_LABEL " ");
    parts[1] = p->kind;
    aiq_str_set(&parts[2], "\n");
    parts[3] = p->rid;
    aiq_str_set(&parts[4], "\x01");

    return aiq_hmac(c, prk, parts, 5, key);
}


static aiq_rc_t
aiq_payload_aad(aiq_out_t *out, const aiq_salt_t *salt,
    const aiq_payload_t *p)
{
    aiq_str_t      label, number;
    unsigned char  epoch[4];

    aiq_payload_u32(epoch, salt->epoch);

    aiq_str_set(&label, AIQ_PAYLOAD_LABEL);
    number.data = epoch;
    number.len = sizeof(epoch);

    aiq_payload_part(out, label);
    aiq_payload_part(out, p->origin);
    aiq_payload_part(out, p->org);
    aiq_payload_part(out, p->rid);
    aiq_payload_part(out, p->kind);
    aiq_payload_part(out, number);

    return (out->failed || p->origin.len == 0 || p->org.len == 0
            || p->rid.len == 0)
           ? AIQ_E_INTERNAL : AIQ_OK;
}


static void
aiq_payload_u32(unsigned char *p, uint32_t v)
{
    p[0] = (unsigned char) (v >> 24);
    p[1] = (unsigned char) (v >> 16);
    p[2] = (unsigned char) (v >> 8);
    p[3] = (unsigned char) v;
}


static void
aiq_payload_part(aiq_out_t *out, aiq_str_t s)
{
    unsigned char  len[4];

    aiq_payload_u32(len, (uint32_t) s.len);

    aiq_out_mem(out, len, sizeof(len));
    aiq_out_mem(out, s.data, s.len);
}
