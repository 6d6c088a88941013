
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What the SDKs carry beside a call: path, proof and value digest of a step
 * (X-CSRG-Path, X-CSRG-Proof, X-CSRG-Value-Digest).
 */


#include <string.h>

#include "b64.h"
#include "plan.h"


/* longer than any proof as it is written, blanks included */

#define AIQ_PROOF_TEXT     (AIQ_PROOF_MAX * 256)

/* an array of objects */

#define AIQ_PROOF_DEPTH    2

#define AIQ_PROOF_BUFFER   256


static aiq_rc_t aiq_proof_verify(aiq_str_t text, uint32_t i, uint32_t n,
    const aiq_hash_t leaf, const aiq_hash_t root, aiq_crypto_t *c,
    aiq_mem_t *mem, aiq_err_t *err);
static aiq_rc_t aiq_proof_node(const aiq_json_t *doc, uint32_t i,
    aiq_hash_t hash, unsigned char *right, aiq_mem_t *mem);
static aiq_rc_t aiq_proof_digest(aiq_str_t s, aiq_hash_t hash);
static aiq_rc_t aiq_proof_action(aiq_str_t action, aiq_jcs_form_e form,
    aiq_hash_t hash, aiq_crypto_t *c);


aiq_rc_t
aiq_plan_proof_write(aiq_out_t *out, const aiq_plan_t *plan, uint32_t i,
    aiq_crypto_t *c)
{
    unsigned       k, count;
    uint64_t       n;
    aiq_rc_t       rc;
    aiq_hash_t     proof[AIQ_PROOF_MAX];
    unsigned char  right[AIQ_PROOF_MAX];

    if (i >= plan->n) {
        return AIQ_E_INTERNAL;
    }

    n = (uint64_t) plan->n + 1;

    if (plan->nodes != NULL) {
        count = aiq_merkle_lookup((const aiq_hash_t *) plan->leaves,
                                  (const aiq_hash_t *) plan->nodes, n, i,
                                  proof, right);

    } else {
        rc = aiq_merkle_proof(c, (const aiq_hash_t *) plan->leaves, n, i,
                              proof, right, &count);
        if (rc != AIQ_OK) {
            return rc;
        }
    }

    aiq_out_char(out, '[');

    for (k = 0; k < count; k++) {

        if (k) {
            aiq_out_char(out, ',');
        }

        aiq_out_str(out, "{\"position\":\"");
        aiq_out_str(out, right[k] ? "right" : "left");
        aiq_out_str(out, "\",\"sibling_hash\":\"");
        aiq_out_hex(out, proof[k], AIQ_HASH_LEN);
        aiq_out_str(out, "\"}");
    }

    aiq_out_char(out, ']');

    return AIQ_OK;
}


aiq_rc_t
aiq_plan_proof_verify(aiq_str_t text, uint32_t i, uint32_t n,
    const aiq_hash_t leaf, const aiq_hash_t root, aiq_crypto_t *c,
    aiq_mem_t *mem, aiq_err_t *err)
{
    aiq_rc_t        rc;
    unsigned char  *pos;

    /* leaf n is the rest of the plan and no step */

    if (n == 0 || n > AIQ_PLAN_STEPS || i >= n) {
        return aiq_fail(err, AIQ_D_PROOF_INVALID,
                        "the proof: there is no step %u of %u", i, n);
    }

    if (text.len > AIQ_PROOF_TEXT) {
        return aiq_fail(err, AIQ_D_PROOF_INVALID,
                        "the proof: %zu bytes, %d are accepted", text.len,
                        AIQ_PROOF_TEXT);
    }

    pos = mem->pos;

    rc = aiq_proof_verify(text, i, n, leaf, root, c, mem, err);

    mem->pos = pos;

    return rc;
}


static aiq_rc_t
aiq_proof_verify(aiq_str_t text, uint32_t i, uint32_t n,
    const aiq_hash_t leaf, const aiq_hash_t root, aiq_crypto_t *c,
    aiq_mem_t *mem, aiq_err_t *err)
{
    uint32_t       k;
    aiq_rc_t       rc;
    unsigned       count, found;
    aiq_err_t      why;
    aiq_json_t     doc;
    aiq_hash_t     proof[AIQ_PROOF_MAX];
    unsigned char  right[AIQ_PROOF_MAX], side;

    why.text[0] = '\0';

    rc = aiq_json_parse(&doc, text, AIQ_PROOF_DEPTH, mem, &why);

    /* a text this short has not too many values: the tape found no room */

    if (rc == AIQ_D_JSON_TOO_LARGE && text.len < AIQ_JSON_TOKENS) {
        rc = AIQ_E_NO_MEMORY;
    }

    if (aiq_is_denied(rc)) {
        return aiq_fail(err, AIQ_D_PROOF_INVALID, "the proof: %s", why.text);
    }

    if (rc != AIQ_OK) {
        return aiq_fail(err, rc, "the proof cannot be read");
    }

    count = aiq_merkle_path((uint64_t) n + 1, i, right);

    if (aiq_json_type(&doc, 0) != AIQ_JSON_ARRAY || doc.tok[0].n != count) {
        return aiq_fail(err, AIQ_D_PROOF_INVALID,
                        "the proof is not an array of %u nodes", count);
    }

    found = 0;

    for (k = aiq_json_first(&doc, 0);
         k != AIQ_JSON_NONE;
         k = aiq_json_next(&doc, 0, k))
    {
        rc = aiq_proof_node(&doc, k, proof[found], &side, mem);

        if (aiq_is_fault(rc)) {
            return aiq_fail(err, rc, "the proof cannot be read");
        }

        if (rc != AIQ_OK || side != right[found]) {
            return aiq_fail(err, AIQ_D_PROOF_INVALID,
                            "the proof: node %u is not that of step %u of %u",
                            found, i, n);
        }

        found++;
    }

    rc = aiq_merkle_verify(c, i, (uint64_t) n + 1, leaf,
                           (const aiq_hash_t *) proof, found, root);
    if (rc != AIQ_OK) {
        return aiq_fail(err, rc, "the proof does not lead to the plan hash");
    }

    return AIQ_OK;
}


/* {"position":"left","sibling_hash":"..."}, or "sibling" */

static aiq_rc_t
aiq_proof_node(const aiq_json_t *doc, uint32_t i, aiq_hash_t hash,
    unsigned char *right, aiq_mem_t *mem)
{
    aiq_rc_t   rc;
    uint32_t   side, sibling;
    aiq_str_t  s;

    if (aiq_json_type(doc, i) != AIQ_JSON_OBJECT || doc->tok[i].n != 2) {
        return AIQ_D_PROOF_INVALID;
    }

    side = aiq_json_get(doc, i, "position");
    sibling = aiq_json_get(doc, i, "sibling_hash");

    if (sibling == AIQ_JSON_NONE) {
        sibling = aiq_json_get(doc, i, "sibling");
    }

    if (aiq_json_type(doc, side) != AIQ_JSON_STRING
        || aiq_json_type(doc, sibling) != AIQ_JSON_STRING)
    {
        return AIQ_D_PROOF_INVALID;
    }

    if (aiq_json_is(doc, side, "right")) {
        *right = 1;

    } else if (aiq_json_is(doc, side, "left")) {
        *right = 0;

    } else {
        return AIQ_D_PROOF_INVALID;
    }

    rc = aiq_json_string(doc, sibling, mem, &s);
    if (rc != AIQ_OK) {
        return rc;
    }

    return aiq_proof_digest(s, hash);
}


static aiq_rc_t
aiq_proof_digest(aiq_str_t s, aiq_hash_t hash)
{
    static const char    prefix[] = "sha256:";
    static const size_t  len = sizeof(prefix) - 1;

    if (s.len > len && memcmp(s.data, prefix, len) == 0) {
        s.data += len;
        s.len -= len;
    }

    if (aiq_hex_decode(s, hash, AIQ_HASH_LEN) != AIQ_OK) {
        return AIQ_D_PROOF_INVALID;
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_plan_path(aiq_str_t path, uint32_t *i)
{
    uint32_t              v;
    aiq_str_t             rest;
    const unsigned char  *p, *last, *digits;

    static const char    prefix[] = "/steps/[";
    static const size_t  len = sizeof(prefix) - 1;

    if (path.len <= len || memcmp(path.data, prefix, len) != 0) {
        return AIQ_D_PATH_INVALID;
    }

    p = path.data + len;
    last = path.data + path.len;
    digits = p;
    v = 0;

    while (p < last && *p >= '0' && *p <= '9') {

        v = v * 10 + (uint32_t) (*p++ - '0');

        if (v >= AIQ_PLAN_STEPS) {
            return AIQ_D_PATH_INVALID;
        }
    }

    if (p == digits || p == last || *p != ']') {
        return AIQ_D_PATH_INVALID;
    }

    /* one way to write a number */

    if (*digits == '0' && p - digits > 1) {
        return AIQ_D_PATH_INVALID;
    }

    rest.data = p + 1;
    rest.len = (size_t) (last - rest.data);

    if (rest.len && !aiq_str_is(rest, "/action") && !aiq_str_is(rest, "/tool"))
    {
        return AIQ_D_PATH_INVALID;
    }

    *i = v;

    return AIQ_OK;
}


static aiq_rc_t
aiq_proof_action(aiq_str_t action, aiq_jcs_form_e form, aiq_hash_t hash,
    aiq_crypto_t *c)
{
    size_t         k, len;
    aiq_rc_t       rc;
    aiq_out_t      out;
    unsigned char  buf[AIQ_PROOF_BUFFER];

    /* an action that is no text has no digest, and that is no fault of ours */

    for (k = 0; k < action.len; k += len) {
        len = aiq_utf8(action.data + k, action.len - k, NULL);
        if (len == 0) {
            return AIQ_D_DIGEST_MISMATCH;
        }
    }

    rc = aiq_sha256_begin(c, &out, buf, sizeof(buf));
    if (rc != AIQ_OK) {
        return rc;
    }

    aiq_jcs_write_string(&out, action, form);

    return aiq_sha256_end(c, &out, hash);
}


aiq_rc_t
aiq_plan_digest_check(aiq_str_t digest, aiq_str_t action, aiq_crypto_t *c)
{
    aiq_rc_t    rc;
    aiq_hash_t  claimed, hash;

    if (aiq_proof_digest(digest, claimed) != AIQ_OK) {
        return AIQ_D_DIGEST_MISMATCH;
    }

    rc = aiq_proof_action(action, AIQ_JCS, hash, c);
    if (rc != AIQ_OK) {
        return rc;
    }

    if (aiq_equal(hash, claimed, AIQ_HASH_LEN)) {
        return AIQ_OK;
    }

    rc = aiq_proof_action(action, AIQ_JCS_IAP, hash, c);
    if (rc != AIQ_OK) {
        return rc;
    }

    return aiq_equal(hash, claimed, AIQ_HASH_LEN) ? AIQ_OK
                                                  : AIQ_D_DIGEST_MISMATCH;
}
