
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Where the tree of a log goes on when a checkpoint is made: nobody wants to
 * read a long log again for a few new records.
 */


#include <stdlib.h>
#include <string.h>

#include "audit_signer.h"


static aiq_rc_t aiq_audit_signer_older(aiq_audit_signer_t *s,
    const aiq_audit_last_t *last, aiq_err_t *err);
static aiq_rc_t aiq_audit_signer_load(aiq_audit_signer_t *s, uint64_t size,
    const aiq_hash_t root, aiq_err_t *err);
static aiq_rc_t aiq_audit_signer_place(aiq_audit_signer_t *s,
    aiq_err_t *err);


aiq_rc_t
aiq_audit_signer_start(aiq_audit_signer_t *s, unsigned flags,
    const aiq_audit_last_t *last, aiq_err_t *err)
{
    aiq_rc_t  rc;

    rc = AIQ_DECLINED;

    if (flags & AIQ_AUDIT_REBUILD) {
        s->known = 0;

    } else if (s->known && s->edge.size == last->size) {
        rc = AIQ_OK;

    } else if (last->size) {
        rc = aiq_audit_signer_load(s, last->size, last->root, err);

        if (rc == AIQ_DECLINED) {
            rc = aiq_audit_signer_older(s, last, err);
        }
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_signer_place(s, err);
    }

    /* the log may be shorter than that: then it is seen at its end */

    if (rc != AIQ_DECLINED) {
        return rc;
    }

    aiq_tlog_edge_init(&s->edge);

    s->known = 1;
    s->first = 0;
    s->off = 0;

    rc = aiq_audit_genesis(s->dir, s->crypto, s->leaf, err);

    return (rc == AIQ_DECLINED) ? AIQ_E_AUDIT_UNAVAILABLE : rc;
}


/* a crash may have taken the newest tiles, but hardly those of an hour ago */

static aiq_rc_t
aiq_audit_signer_older(aiq_audit_signer_t *s, const aiq_audit_last_t *last,
    aiq_err_t *err)
{
    unsigned           back;
    aiq_rc_t           rc;
    aiq_str_t          note;
    aiq_checkpoint_t   cp;
    aiq_audit_notes_t  notes;

    rc = aiq_audit_notes_open(&notes, s->dir, err);

    if (rc == AIQ_OK) {
        rc = AIQ_DECLINED;
    }

    for (back = 1; rc == AIQ_DECLINED && back < last->n; back *= 2) {

        /* notes are read again, but do not change */

        notes.pos = 0;
        notes.have = 0;
        notes.off = last->at[last->n - 1 - back];

        rc = aiq_audit_notes_next(&notes, &note, err);

        if (rc == AIQ_OK) {
            rc = aiq_audit_signer_note(s, note, &cp, err);
        }

        if (rc == AIQ_OK) {
            rc = aiq_audit_signer_load(s, cp.size, cp.root, err);
        }
    }

    aiq_audit_notes_close(&notes);

    return rc;
}


static aiq_rc_t
aiq_audit_signer_load(aiq_audit_signer_t *s, uint64_t size,
    const aiq_hash_t root, aiq_err_t *err)
{
    aiq_rc_t    rc;
    aiq_hash_t  hash;

    s->known = 0;
    s->first = 0;

    if (size == 0) {
        return AIQ_DECLINED;
    }

    rc = aiq_tlog_edge_load(&s->edge, s->dir, size, err);

    if (rc == AIQ_OK) {
        rc = aiq_tlog_edge_root(&s->edge, s->crypto, hash);
    }

    if (rc == AIQ_OK && memcmp(hash, root, AIQ_HASH_LEN) != 0) {
        return AIQ_DECLINED;
    }

    s->known = (rc == AIQ_OK);

    return rc;
}


/* finds the record that the tree ends with, unless we have just read it */

static aiq_rc_t
aiq_audit_signer_place(aiq_audit_signer_t *s, aiq_err_t *err)
{
    size_t              i;
    uint64_t            off;
    unsigned            w;
    aiq_rc_t            rc;
    aiq_str_t           line;
    aiq_audit_front_t   f;

    if (s->first || s->edge.size == 0) {
        return AIQ_OK;
    }

    for (i = s->reader.n; i > 0 && s->reader.list[i - 1] > s->edge.size; i--) {
        /* void */
    }

    if (i == 0) {
        return AIQ_DECLINED;
    }

    off = 0;

    rc = aiq_audit_reader_segment(&s->reader, i - 1, 0, err);

    if (rc == AIQ_OK) {
        rc = aiq_audit_reader_seek(&s->reader, s->edge.size, &off, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_reader_segment(&s->reader, i - 1, off, err);
    }

    while (rc == AIQ_OK) {
        rc = aiq_audit_reader_line(&s->reader, &line, err);

        if (rc == AIQ_OK && aiq_audit_front(&f, line) == AIQ_OK
            && f.seq >= s->edge.size)
        {
            break;
        }
    }

    if (rc == AIQ_D_JSON_TOO_LARGE || rc == AIQ_DECLINED
        || (rc == AIQ_OK && f.seq != s->edge.size))
    {
        return AIQ_DECLINED;
    }

    if (rc == AIQ_OK && aiq_merkle_leaf(s->crypto, line, s->leaf) != AIQ_OK) {
        rc = aiq_fail(err, AIQ_E_CRYPTO_FAILED, "SHA-256 failed");
    }

    if (rc != AIQ_OK) {
        return rc;
    }

    /* if it is in the tile at hand, it must be this one */

    w = aiq_tlog_width(s->edge.size, 0);

    if (w && memcmp(s->edge.hash[0][w - 1], s->leaf, AIQ_HASH_LEN) != 0) {
        return AIQ_DECLINED;
    }

    s->first = s->reader.first;
    s->off = s->reader.off;

    return AIQ_OK;
}


aiq_rc_t
aiq_audit_signer_note(aiq_audit_signer_t *s, aiq_str_t note,
    aiq_checkpoint_t *cp, aiq_err_t *err)
{
    aiq_err_t  e;
    aiq_rc_t   rc;

    e.text[0] = '\0';

    rc = aiq_audit_keys_open(&s->keys, cp, note, s->crypto, &e);

    if (rc != AIQ_OK) {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "the last checkpoint: %.300s", e.text);
    }

    return AIQ_OK;
}
