
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <string.h>

#include "b64.h"
#include "cosign.h"


#define AIQ_COSIGN_TIME  8


static aiq_rc_t aiq_cosign_text(aiq_out_t *out, aiq_str_t text,
    uint64_t when);
static int aiq_witness_hash(aiq_str_t line, aiq_hash_t hash);
static unsigned aiq_witness_signed(const aiq_witness_request_t *r,
    const aiq_vkey_t *keys, unsigned nkeys, aiq_crypto_t *c, aiq_err_t *err);
static unsigned aiq_witness_grown(const aiq_witness_request_t *r,
    const aiq_witness_state_t *state, aiq_crypto_t *c, aiq_err_t *err);


aiq_rc_t
aiq_vkey_list(aiq_vkey_t *v, unsigned max, unsigned *n, unsigned char type,
    aiq_str_t text, aiq_crypto_t *c, aiq_err_t *err)
{
    size_t      i;
    unsigned    k;
    aiq_rc_t    rc;
    aiq_str_t   word;

    *n = 0;

    while (text.len) {

        if (strchr(" \t\r\n", text.data[0]) != NULL && text.data[0]) {
            text.data++;
            text.len--;
            continue;
        }

        for (i = 0; i < text.len && text.data[i] > ' '; i++) {
            /* void */
        }

        word.data = text.data;
        word.len = i ? i : 1;

        text.data += word.len;
        text.len -= word.len;

        if (*n == max) {
            return aiq_fail(err, AIQ_DECLINED, "more than %u keys", max);
        }

        rc = aiq_vkey_parse_as(&v[*n], type, word, c, err);
        if (rc != AIQ_OK) {
            return rc;
        }

        /* one who has two names would count twice */

        for (k = 0; k < *n; k++) {

            if (memcmp(v[k].key, v[*n].key, AIQ_KEY_LEN) == 0) {
                return aiq_fail(err, AIQ_DECLINED, "a key is there twice");
            }
        }

        (*n)++;
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_cosign_text(aiq_out_t *out, aiq_str_t text, uint64_t when)
{
    aiq_out_str(out, "cosignature/v1\ntime ");
    aiq_out_int(out, (int64_t) when);
    aiq_out_char(out, '\n');
    aiq_out_mem(out, text.data, text.len);

    return out->failed ? AIQ_E_INTERNAL : AIQ_OK;
}


aiq_rc_t
aiq_cosign(aiq_out_t *out, aiq_str_t text, const aiq_vkey_t *v,
    const unsigned char seed[AIQ_KEY_LEN], int64_t now, aiq_crypto_t *c)
{
    unsigned       i;
    aiq_rc_t       rc;
    aiq_out_t      msg;
    unsigned char  buf[AIQ_CHECKPOINT_MAX + 64];
    unsigned char  sig[AIQ_COSIGN_TIME + AIQ_SIG_LEN];

    if (now <= 0) {
        return AIQ_E_INTERNAL;
    }

    aiq_out_init(&msg, buf, sizeof(buf));

    rc = aiq_cosign_text(&msg, text, (uint64_t) now);

    if (rc == AIQ_OK) {
        rc = aiq_ed25519_sign(c, seed, aiq_out_done(&msg),
                              sig + AIQ_COSIGN_TIME);
    }

    if (rc != AIQ_OK) {
        return rc;
    }

    for (i = 0; i < AIQ_COSIGN_TIME; i++) {
        sig[i] = (unsigned char) ((uint64_t) now >> 8 * (7 - i));
    }

    aiq_note_write_sig(out, v, sig, sizeof(sig));

    return out->failed ? AIQ_E_INTERNAL : AIQ_OK;
}


aiq_rc_t
aiq_cosign_verify(const aiq_note_t *n, const aiq_vkey_t *v, int64_t *when,
    aiq_str_t *line, aiq_crypto_t *c, aiq_err_t *err)
{
    uint64_t         t;
    unsigned         i, found;
    aiq_rc_t         rc;
    aiq_out_t        msg;
    aiq_str_t        sigs, sig;
    aiq_note_sig_t   s;
    unsigned char    buf[AIQ_CHECKPOINT_MAX + 64], blob[AIQ_NOTE_SIG_MAX];

    found = 0;
    sigs = n->sigs;

    while (aiq_note_next(&sigs, &s, blob) == AIQ_OK) {

        if (!aiq_str_eq(s.name, v->name)
            || memcmp(s.id, v->id, AIQ_NOTE_ID_LEN) != 0)
        {
            continue;
        }

        for (i = 0, t = 0; i < AIQ_COSIGN_TIME && i < s.sig.len; i++) {
            t = t << 8 | s.sig.data[i];
        }

        aiq_out_init(&msg, buf, sizeof(buf));

        if (s.sig.len != AIQ_COSIGN_TIME + AIQ_SIG_LEN || t == 0
            || t > INT64_MAX || aiq_cosign_text(&msg, n->text, t) != AIQ_OK)
        {
            rc = AIQ_D_TOKEN_SIGNATURE;

        } else {
            sig.data = s.sig.data + AIQ_COSIGN_TIME;
            sig.len = AIQ_SIG_LEN;

            rc = aiq_ed25519_verify(c, v->key, aiq_out_done(&msg), sig);
        }

        if (aiq_is_fault(rc)) {
            return aiq_fail(err, rc, "Ed25519 failed");
        }

        if (rc != AIQ_OK) {
            return aiq_fail(err, AIQ_D_TOKEN_SIGNATURE,
                            "the cosignature of %.*s is wrong",
                            (int) v->name.len, (const char *) v->name.data);
        }

        *when = (int64_t) t;
        *line = s.line;
        found = 1;
    }

    if (!found) {
        return aiq_fail(err, AIQ_DECLINED, "there is no cosignature of %.*s",
                        (int) v->name.len, (const char *) v->name.data);
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_cosigned(const aiq_note_t *note, const aiq_vkey_t *witness, unsigned n,
    unsigned k, int64_t now, aiq_cosigned_t *result, aiq_crypto_t *c,
    aiq_err_t *err)
{
    int64_t    t, when[AIQ_WITNESSES];
    unsigned   i, j;
    aiq_rc_t   rc;
    aiq_str_t  line;

    memset(result, 0, sizeof(aiq_cosigned_t));

    for (i = 0; i < n && i < AIQ_WITNESSES; i++) {

        rc = aiq_cosign_verify(note, &witness[i], &t, &line, c, err);

        if (aiq_is_fault(rc)) {
            return rc;
        }

        if (rc == AIQ_DECLINED) {
            continue;
        }

        /* a time to come would count as fresh until then */

        if (rc != AIQ_OK || t - AIQ_COSIGN_SKEW > now) {
            result->wrong++;
            continue;
        }

        /* newest first */

        for (j = result->good++; j > 0 && when[j - 1] < t; j--) {
            when[j] = when[j - 1];
        }

        when[j] = t;
    }

    if (k && result->good >= k) {
        result->when = when[k - 1];
    }

    return AIQ_OK;
}


void
aiq_witnessed(aiq_witnessed_t *w, uint64_t size, int64_t when,
    uint64_t newest)
{
    if (size > w->size || (size == w->size && size >= newest
                           && when > w->when))
    {
        w->size = size;
        w->when = when;
    }
}


int64_t
aiq_witnessed_age(const aiq_witnessed_t *w, int64_t now)
{
    if (w->size == 0) {
        return INT64_MAX;
    }

    return (now > w->when) ? now - w->when : 0;
}


static int
aiq_witness_hash(aiq_str_t line, aiq_hash_t hash)
{
    size_t         len;
    unsigned char  buf[64];

    if (line.len != 44 || aiq_b64_decode(line, buf, &len) != AIQ_OK
        || len != AIQ_HASH_LEN)
    {
        return 0;
    }

    memcpy(hash, buf, AIQ_HASH_LEN);

    return 1;
}


aiq_rc_t
aiq_witness_parse(aiq_witness_request_t *r, aiq_str_t body, aiq_err_t *err)
{
    aiq_rc_t   rc;
    aiq_str_t  line;

    if (!aiq_note_line(&body, &line) || line.len < 5
        || memcmp(line.data, "old ", 4) != 0)
    {
        goto invalid;
    }

    line.data += 4;
    line.len -= 4;

    if (!aiq_note_number(line, &r->old)) {
        goto invalid;
    }

    for (r->count = 0; /* void */ ; r->count++) {

        if (!aiq_note_line(&body, &line)) {
            goto invalid;
        }

        if (line.len == 0) {
            break;
        }

        if (r->count == AIQ_WITNESS_PROOF
            || !aiq_witness_hash(line, r->proof[r->count]))
        {
            goto invalid;
        }
    }

    r->text = body;

    rc = aiq_note_parse(&r->note, body, err);

    return rc == AIQ_OK ? aiq_checkpoint_parse(&r->checkpoint, r->note.text,
                                               err)
                        : rc;

invalid:

    return aiq_fail(err, AIQ_DECLINED, "this is not \"old N\", a proof, an "
                    "empty line and a checkpoint");
}


void
aiq_witness_write(aiq_out_t *out, uint64_t old, const aiq_hash_t *proof,
    unsigned count)
{
    unsigned  i;

    aiq_out_str(out, "old ");
    aiq_out_int(out, (int64_t) old);
    aiq_out_char(out, '\n');

    for (i = 0; i < count; i++) {
        aiq_b64_encode(out, proof[i], AIQ_HASH_LEN);
        aiq_out_char(out, '\n');
    }

    aiq_out_char(out, '\n');
}


unsigned
aiq_witness_decide(const aiq_witness_request_t *r, const aiq_vkey_t *keys,
    unsigned nkeys, const aiq_witness_state_t *state, aiq_crypto_t *c,
    aiq_err_t *err)
{
    unsigned  status;

    status = aiq_witness_signed(r, keys, nkeys, c, err);

    if (status != 200) {
        return status;
    }

    if (r->old > r->checkpoint.size) {
        (void) aiq_fail(err, AIQ_DECLINED, "the old size is greater than that "
                        "of the checkpoint");
        return 400;
    }

    if (r->old != state->size) {
        (void) aiq_fail(err, AIQ_DECLINED, "the last checkpoint covered %llu "
                        "records, not %llu", (unsigned long long) state->size,
                        (unsigned long long) r->old);
        return 409;
    }

    return aiq_witness_grown(r, state, c, err);
}


static unsigned
aiq_witness_signed(const aiq_witness_request_t *r, const aiq_vkey_t *keys,
    unsigned nkeys, aiq_crypto_t *c, aiq_err_t *err)
{
    aiq_rc_t  rc;

    if (nkeys == 0 || !aiq_str_eq(r->checkpoint.origin, keys[0].name)) {
        (void) aiq_fail(err, AIQ_DECLINED, "this log is not known here");
        return 404;
    }

    /* it is the caller's word that is cosigned, but not any words: what is
       signed must fit aiq_cosign_text() */

    if (r->note.text.len > AIQ_CHECKPOINT_MAX) {
        (void) aiq_fail(err, AIQ_DECLINED, "the checkpoint is too long");
        return 400;
    }

    rc = aiq_note_verify(&r->note, keys, nkeys, c, err);

    return rc == AIQ_OK ? 200 : aiq_is_fault(rc) ? 500 : 403;
}


static unsigned
aiq_witness_grown(const aiq_witness_request_t *r,
    const aiq_witness_state_t *state, aiq_crypto_t *c, aiq_err_t *err)
{
    aiq_rc_t    rc;
    aiq_hash_t  empty;

    if (r->old == 0) {

        /* nothing is the beginning of everything, and needs no proof */

        rc = aiq_merkle_root(c, NULL, 0, empty);

        if (rc == AIQ_OK
            && (r->count
                || (r->checkpoint.size == 0
                    && memcmp(r->checkpoint.root, empty, AIQ_HASH_LEN) != 0)))
        {
            rc = AIQ_D_PROOF_INVALID;
        }

    } else {
        rc = aiq_merkle_verify_consistency(c, state->size, r->checkpoint.size,
                                           (const aiq_hash_t *) r->proof,
                                           r->count, state->root,
                                           r->checkpoint.root);
    }

    if (rc == AIQ_OK) {
        return 200;
    }

    (void) aiq_fail(err, rc, "the checkpoint does not continue the last one");

    return aiq_is_fault(rc) ? 500 : 422;
}
