
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Proofs under a checkpoint.  Whatever they were made from, they are verified
 * before anybody gets them.
 */


#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit_checkpoint.h"
#include "audit_file.h"


/* ranges of leaves, and their heads so far */

typedef struct {
    unsigned           count;
    unsigned           at;
    aiq_tlog_range_t   range[AIQ_PROOF_MAX];
    aiq_frontier_t     head[AIQ_PROOF_MAX];
    aiq_frontier_t     from;              /* of the older tree */
    aiq_frontier_t     all;
} aiq_audit_sum_t;


static aiq_rc_t aiq_audit_prove_read(const char *dir, aiq_audit_sum_t *sum,
    uint64_t size, uint64_t seq, uint64_t from, aiq_hash_t leaf,
    aiq_crypto_t *c, aiq_err_t *err);
static aiq_rc_t aiq_audit_prove_add(aiq_audit_sum_t *sum, uint64_t i,
    uint64_t from, const aiq_hash_t leaf, aiq_crypto_t *c);
static aiq_rc_t aiq_audit_prove_wrong(aiq_rc_t rc, aiq_err_t *err);


aiq_rc_t
aiq_audit_origin(const char *dir, unsigned char *name, size_t *len,
    aiq_crypto_t *c, aiq_err_t *err)
{
    int                fd;
    aiq_rc_t           rc;
    aiq_audit_keys_t   keys;

    rc = aiq_audit_dir(dir, &fd, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_audit_first_key(fd, &keys, c, err);

    if (rc == AIQ_OK) {
        *len = keys.key[0].name.len;
        memcpy(name, keys.key[0].name.data, *len);
    }

    (void) close(fd);

    return (rc == AIQ_DECLINED) ? AIQ_E_AUDIT_UNAVAILABLE : rc;
}


aiq_rc_t
aiq_audit_tree_open(aiq_audit_tree_t *t, const char *dir, aiq_err_t *err)
{
    return aiq_audit_dir(dir, &t->dir, err);
}


void
aiq_audit_tree_close(aiq_audit_tree_t *t)
{
    if (t->dir != -1) {
        (void) close(t->dir);
        t->dir = -1;
    }
}


aiq_rc_t
aiq_audit_tree(aiq_audit_tree_t *t, aiq_crypto_t *c, aiq_err_t *err)
{
    aiq_rc_t           rc;
    aiq_err_t          e;
    aiq_audit_keys_t   keys;

    rc = aiq_audit_notes_latest(t->dir, t->buf, &t->note, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    e.text[0] = '\0';

    rc = aiq_audit_keys(t->dir, &keys, c, &e);

    if (rc == AIQ_OK) {
        rc = aiq_audit_keys_open(&keys, &t->checkpoint, t->note, c, &e);
    }

    if (rc != AIQ_OK) {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE, "the checkpoint: %.300s",
                        e.text);
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_audit_tree_find(aiq_audit_tree_t *t, uint64_t size, aiq_crypto_t *c,
    aiq_err_t *err)
{
    aiq_rc_t            rc;
    aiq_str_t           note;
    aiq_note_t          n;
    aiq_checkpoint_t    cp;
    aiq_audit_keys_t    keys;
    aiq_audit_notes_t   notes;

    rc = aiq_audit_notes_open(&notes, t->dir, err);

    /* a key is there before anything that it has signed */

    if (rc == AIQ_OK && aiq_audit_keys(t->dir, &keys, c, err) != AIQ_OK) {
        rc = AIQ_E_AUDIT_UNAVAILABLE;
    }

    while (rc == AIQ_OK) {

        rc = aiq_audit_notes_next(&notes, &note, err);

        if (rc != AIQ_OK || note.len > AIQ_NOTE_MAX
            || aiq_note_parse(&n, note, NULL) != AIQ_OK
            || aiq_checkpoint_parse(&cp, n.text, NULL) != AIQ_OK
            || cp.size != size)
        {
            continue;
        }

        memcpy(t->buf, note.data, note.len);

        t->note.data = t->buf;
        t->note.len = note.len;

        rc = aiq_audit_keys_open(&keys, &t->checkpoint, t->note, c, err);

        aiq_audit_notes_close(&notes);

        return (rc == AIQ_OK) ? AIQ_OK : AIQ_E_AUDIT_UNAVAILABLE;
    }

    aiq_audit_notes_close(&notes);

    if (rc == AIQ_DECLINED) {
        return aiq_fail(err, AIQ_DECLINED,
                        "no checkpoint covers exactly %llu records",
                        (unsigned long long) size);
    }

    return rc == AIQ_D_JSON_TOO_LARGE
           ? aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE, "audit file "
                      AIQ_AUDIT_NOTES " does not consist of notes")
           : rc;
}


static aiq_rc_t
aiq_audit_prove_wrong(aiq_rc_t rc, aiq_err_t *err)
{
    if (rc == AIQ_D_PROOF_INVALID || rc == AIQ_DECLINED) {
        return aiq_fail(err, AIQ_D_PROOF_INVALID,
                        "tiles of the log are missing or wrong; run "
                        "\"armoriqctl audit checkpoint --rebuild\"");
    }

    return rc;
}


aiq_rc_t
aiq_audit_prove(const aiq_audit_tree_t *t, uint64_t seq,
    aiq_tlog_proof_t *proof, aiq_hash_t leaf, aiq_crypto_t *c,
    aiq_err_t *err)
{
    aiq_rc_t           rc;
    aiq_tlog_range_t   range[AIQ_PROOF_MAX];
    aiq_tlog_reader_t  reader;

    if (seq == 0 || seq > t->checkpoint.size) {
        return aiq_fail(err, AIQ_DECLINED,
                        "no checkpoint covers record %llu yet",
                        (unsigned long long) seq);
    }

    reader.dir = t->dir;
    reader.size = t->checkpoint.size;
    reader.width = 0;

    proof->index = seq - 1;
    proof->note = t->note;

    rc = aiq_tlog_inclusion(reader.size, proof->index, range, &proof->count);

    if (rc == AIQ_OK) {
        rc = aiq_tlog_head(&reader, proof->index, 1, c, leaf, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_tlog_heads(&reader, range, proof->count, c, proof->proof,
                            err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_merkle_verify(c, proof->index, reader.size, leaf,
                               (const aiq_hash_t *) proof->proof,
                               proof->count, t->checkpoint.root);
    }

    return aiq_audit_prove_wrong(rc, err);
}


aiq_rc_t
aiq_audit_prove_consistency(const aiq_audit_tree_t *t, uint64_t from,
    aiq_tlog_proof_t *proof, aiq_hash_t root, aiq_crypto_t *c,
    aiq_err_t *err)
{
    aiq_rc_t           rc;
    aiq_tlog_range_t   range[AIQ_PROOF_MAX];
    aiq_tlog_reader_t  reader;

    if (from == 0 || from > t->checkpoint.size) {
        return aiq_fail(err, AIQ_DECLINED,
                        "the checkpoint covers less than %llu records",
                        (unsigned long long) from);
    }

    reader.dir = t->dir;
    reader.size = t->checkpoint.size;
    reader.width = 0;

    proof->index = 0;
    proof->note = t->note;

    rc = aiq_tlog_consistency(from, reader.size, range, &proof->count);

    if (rc == AIQ_OK) {
        rc = aiq_tlog_head(&reader, 0, from, c, root, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_tlog_heads(&reader, range, proof->count, c, proof->proof,
                            err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_merkle_verify_consistency(c, from, reader.size,
                 (const aiq_hash_t *) proof->proof, proof->count, root,
                 t->checkpoint.root);
    }

    return aiq_audit_prove_wrong(rc, err);
}


/* of record seq, or from the tree of size from if seq is 0 */

aiq_rc_t
aiq_audit_prove_slowly(const char *dir, const aiq_audit_tree_t *t,
    uint64_t seq, uint64_t from, aiq_tlog_proof_t *proof, aiq_hash_t hash,
    aiq_crypto_t *c, aiq_err_t *err)
{
    uint64_t           size;
    unsigned           i;
    aiq_rc_t           rc;
    aiq_hash_t         root;
    aiq_audit_sum_t   *sum;

    size = t->checkpoint.size;

    sum = calloc(1, sizeof(aiq_audit_sum_t));
    if (sum == NULL) {
        return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory");
    }

    proof->index = seq ? seq - 1 : 0;
    proof->note = t->note;

    rc = seq ? aiq_tlog_inclusion(size, seq - 1, sum->range, &sum->count)
             : aiq_tlog_consistency(from, size, sum->range, &sum->count);

    if (rc != AIQ_OK) {
        rc = aiq_fail(err, AIQ_DECLINED, "there is no such proof");

    } else {
        rc = aiq_audit_prove_read(dir, sum, size, seq, from, hash, c, err);
    }

    proof->count = sum->count;

    for (i = 0; rc == AIQ_OK && i < sum->count; i++) {
        rc = aiq_frontier_root(c, &sum->head[i], proof->proof[i]);
    }

    if (rc == AIQ_OK && seq == 0) {
        rc = aiq_frontier_root(c, &sum->from, hash);
    }

    if (rc == AIQ_OK) {
        rc = aiq_frontier_root(c, &sum->all, root);
    }

    if (rc == AIQ_OK
        && (memcmp(root, t->checkpoint.root, AIQ_HASH_LEN) != 0
            || (seq && aiq_merkle_verify(c, seq - 1, size, hash,
                           (const aiq_hash_t *) proof->proof, proof->count,
                           root)
                       != AIQ_OK)
            || (seq == 0 && aiq_merkle_verify_consistency(c, from, size,
                                (const aiq_hash_t *) proof->proof,
                                proof->count, hash, root)
                            != AIQ_OK)))
    {
        rc = aiq_fail(err, AIQ_D_PROOF_INVALID,
                      "the records are not those that the checkpoint covers; "
                      "run \"armoriqctl audit verify\"");
    }

    free(sum);

    return rc;
}


static aiq_rc_t
aiq_audit_prove_read(const char *dir, aiq_audit_sum_t *sum, uint64_t size,
    uint64_t seq, uint64_t from, aiq_hash_t leaf, aiq_crypto_t *c,
    aiq_err_t *err)
{
    size_t               i;
    uint64_t             n;
    aiq_rc_t             rc;
    aiq_str_t            line;
    aiq_hash_t           hash;
    aiq_audit_reader_t   r;

    n = 0;
    i = 0;

    rc = aiq_audit_reader_open(&r, dir, err);

    while (rc == AIQ_OK && n < size && i < r.n) {

        rc = aiq_audit_reader_segment(&r, i++, 0, err);

        while (rc == AIQ_OK && n < size) {

            rc = aiq_audit_reader_line(&r, &line, err);

            if (rc == AIQ_OK) {
                rc = aiq_merkle_leaf(c, line, hash);
            }

            if (rc == AIQ_OK) {
                rc = aiq_audit_prove_add(sum, n++, from,
                                         (const unsigned char *) hash, c);
            }

            if (rc == AIQ_OK && n == seq) {
                memcpy(leaf, hash, AIQ_HASH_LEN);
            }
        }

        if (rc == AIQ_DECLINED) {
            rc = AIQ_OK;
        }
    }

    aiq_audit_reader_close(&r);

    if (rc == AIQ_D_JSON_TOO_LARGE || (rc == AIQ_OK && n < size)) {
        return aiq_fail(err, AIQ_D_PROOF_INVALID,
                        "the checkpoint covers %llu records, the log has %llu",
                        (unsigned long long) size, (unsigned long long) n);
    }

    return rc;
}


static aiq_rc_t
aiq_audit_prove_add(aiq_audit_sum_t *sum, uint64_t i, uint64_t from,
    const aiq_hash_t leaf, aiq_crypto_t *c)
{
    unsigned  k;
    aiq_rc_t  rc;

    rc = aiq_frontier_add(c, &sum->all, leaf);

    if (rc == AIQ_OK && i < from) {
        rc = aiq_frontier_add(c, &sum->from, leaf);
    }

    if (rc != AIQ_OK) {
        return rc;
    }

    /* ranges do not overlap, and neighbours are mostly in the same one */

    for (k = 0; k < sum->count; k++) {

        if (i - sum->range[sum->at].first < sum->range[sum->at].size) {
            return aiq_frontier_add(c, &sum->head[sum->at], leaf);
        }

        sum->at = (sum->at + 1) % sum->count;
    }

    return AIQ_OK;
}
