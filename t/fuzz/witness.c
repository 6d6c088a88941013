
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What anybody may send to a witness, and files of keys: a request that is
 * one can be written again, and nothing that no key has signed is cosigned or
 * becomes a key.
 */


#include <stdlib.h>
#include <string.h>

#include "audit_key.h"
#include "cosign.h"


#define check(x)                                                              \
    do {                                                                      \
        if (!(x)) {                                                           \
            abort();                                                          \
        }                                                                     \
    } while (0)


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_request(aiq_str_t in);
static void fuzz_keys(aiq_str_t in);


static aiq_crypto_t  *crypto;


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    aiq_str_t  in;

    if (crypto == NULL) {
        crypto = aiq_crypto_new();
        check(crypto != NULL);
    }

    in.data = data;
    in.len = size;

    fuzz_request(in);
    fuzz_keys(in);

    return 0;
}


static void
fuzz_request(aiq_str_t in)
{
    aiq_out_t              out;
    aiq_vkey_t             key, witness;
    aiq_cosigned_t         by;
    unsigned char         *buf, pub[AIQ_KEY_LEN], seed[AIQ_KEY_LEN];
    aiq_witness_state_t    none;
    aiq_witness_request_t  r;

    if (aiq_witness_parse(&r, in, NULL) != AIQ_OK) {
        return;
    }

    buf = malloc(in.len + 1);
    check(buf != NULL);

    aiq_out_init(&out, buf, in.len + 1);
    aiq_witness_write(&out, r.old, (const aiq_hash_t *) r.proof, r.count);
    aiq_out_mem(&out, r.text.data, r.text.len);

    check(!out.failed && aiq_str_eq(aiq_out_done(&out), in));
    free(buf);

    /* a seed that no input knows */

    check(aiq_random(seed, sizeof(seed)) == AIQ_OK);
    check(aiq_ed25519_public(crypto, seed, pub) == AIQ_OK);

    memset(&none, 0, sizeof(none));

    if (aiq_vkey_init(&key, r.checkpoint.origin, pub, crypto) != AIQ_OK) {
        return;
    }

    check(aiq_witness_decide(&r, &key, 1, &none, crypto, NULL) != 200);

    check(aiq_cosigner_init(&witness, r.checkpoint.origin, pub, crypto)
          == AIQ_OK);
    check(aiq_cosigned(&r.note, &witness, 1, 1, INT64_MAX, &by, crypto, NULL)
          == AIQ_OK);
    check(by.good == 0);
}


/* two keys that have signed, or none */

static void
fuzz_keys(aiq_str_t in)
{
    aiq_rc_t           rc;
    aiq_audit_keys_t  *k;

    k = calloc(1, sizeof(aiq_audit_keys_t));
    check(k != NULL);

    rc = aiq_audit_keys_read(k, in, crypto, NULL);

    check(rc == AIQ_OK || rc == AIQ_D_TOKEN_SIGNATURE);
    check(k->n != 1 && (rc != AIQ_OK || in.len == 0 || k->n >= 2));

    free(k);
}
