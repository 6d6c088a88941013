
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Making checkpoints.  What was signed last is read from the log directory
 * each time, under a lock, as the tail of the log is: any process may have
 * made it.  From there the tree goes on with the records behind it, each of
 * which must be chained to the one before.
 */


#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/file.h>

#include "audit_signer.h"


#define AIQ_AUDIT_NOTES_LOCK  "checkpoints.lock"
#define AIQ_AUDIT_NOTES_TAIL  65536       /* where the last notes are */
#define AIQ_AUDIT_NOTES_LOOK  4096        /* notes in there, at most */


static aiq_rc_t aiq_audit_signer_sign(aiq_audit_signer_t *s, unsigned flags,
    aiq_audit_last_t *last, aiq_audit_signed_t *result, aiq_err_t *err);
static aiq_rc_t aiq_audit_signer_last(aiq_audit_signer_t *s,
    aiq_audit_last_t *last, aiq_err_t *err);
static aiq_rc_t aiq_audit_signer_read(aiq_audit_signer_t *s,
    const aiq_audit_last_t *last, aiq_err_t *err);
static aiq_rc_t aiq_audit_signer_sync(aiq_audit_signer_t *s,
    const aiq_audit_last_t *last, aiq_err_t *err);
static aiq_rc_t aiq_audit_signer_line(aiq_audit_signer_t *s, aiq_str_t line,
    const aiq_audit_last_t *last, aiq_err_t *err);
static aiq_rc_t aiq_audit_signer_same(aiq_audit_signer_t *s,
    const aiq_audit_last_t *last, aiq_err_t *err);
static aiq_rc_t aiq_audit_signer_publish(aiq_audit_signer_t *s,
    const aiq_audit_last_t *last, aiq_err_t *err);
static aiq_rc_t aiq_audit_signer_repeat(aiq_audit_signer_t *s,
    const aiq_audit_last_t *last, aiq_err_t *err);


aiq_rc_t
aiq_audit_signer_open(aiq_audit_signer_t **ps, const char *dir,
    aiq_audit_seed_pt seed, void *data, aiq_err_t *err)
{
    aiq_rc_t             rc;
    aiq_audit_signer_t  *s;

    *ps = NULL;

    s = calloc(1, sizeof(aiq_audit_signer_t));
    if (s == NULL) {
        return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory");
    }

    s->dir = -1;
    s->lock = -1;
    s->path = strdup(dir);
    s->crypto = aiq_crypto_new();

    s->read = seed;
    s->data = data;

    if (s->path == NULL || s->crypto == NULL) {
        rc = aiq_fail(err, AIQ_E_NO_MEMORY, "no memory");

    } else {
        rc = aiq_audit_dir(dir, &s->dir, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_signer_keys(s, err);
    }

    if (rc != AIQ_OK) {
        aiq_audit_signer_close(s);
        return rc;
    }

    *ps = s;

    return AIQ_OK;
}


void
aiq_audit_signer_close(aiq_audit_signer_t *s)
{
    if (s == NULL) {
        return;
    }

    aiq_wipe(s->seed, sizeof(s->seed));

    if (s->lock != -1) {
        (void) close(s->lock);
    }

    if (s->dir != -1) {
        (void) close(s->dir);
    }

    aiq_crypto_free(s->crypto);
    free(s->path);
    free(s);
}


aiq_rc_t
aiq_audit_checkpoint(aiq_audit_signer_t *s, unsigned flags,
    aiq_audit_signed_t *result, aiq_err_t *err)
{
    aiq_rc_t  rc;

    memset(result, 0, sizeof(aiq_audit_signed_t));

    rc = aiq_audit_signer_lock(s, flags, err);

    if (rc == AIQ_OK) {
        rc = aiq_audit_signer_run(s, flags, result, err);

        aiq_audit_signer_unlock(s);
    }

    return rc;
}


void
aiq_audit_signer_unlock(aiq_audit_signer_t *s)
{
    (void) flock(s->lock, LOCK_UN);
}


aiq_rc_t
aiq_audit_signer_run(aiq_audit_signer_t *s, unsigned flags,
    aiq_audit_signed_t *result, aiq_err_t *err)
{
    aiq_rc_t           rc;
    aiq_audit_last_t  *last;

    last = calloc(1, sizeof(aiq_audit_last_t));
    if (last == NULL) {
        return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory");
    }

    rc = aiq_audit_signer_keys(s, err);

    if (rc == AIQ_OK) {
        rc = aiq_audit_signer_sign(s, flags, last, result, err);
    }

    /* a tree that stopped half-way is read again */

    if (rc != AIQ_OK) {
        s->known = 0;
    }

    free(last->at);
    free(last);

    return rc;
}


aiq_rc_t
aiq_audit_signer_lock(aiq_audit_signer_t *s, unsigned flags, aiq_err_t *err)
{
    return aiq_audit_lock_take(s->dir, AIQ_AUDIT_NOTES_LOCK,
                               !(flags & AIQ_AUDIT_NOWAIT), &s->lock, err);
}


static aiq_rc_t
aiq_audit_signer_sign(aiq_audit_signer_t *s, unsigned flags,
    aiq_audit_last_t *last, aiq_audit_signed_t *result, aiq_err_t *err)
{
    aiq_rc_t  rc;

    rc = aiq_audit_signer_last(s, last, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_audit_reader_open(&s->reader, s->path, err);

    if (rc == AIQ_OK) {
        rc = aiq_audit_signer_start(s, flags, last, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_signer_read(s, last, err);
    }

    aiq_audit_reader_close(&s->reader);

    if (rc != AIQ_OK) {
        return rc;
    }

    if (s->edge.size < last->size) {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "the log ends with record %llu, but the last "
                        "checkpoint covers %llu: records were cut off",
                        (unsigned long long) s->edge.size,
                        (unsigned long long) last->size);
    }

    /* if what was read has declared another key */

    rc = aiq_audit_signer_keys(s, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    rc = (s->edge.size == last->size)
         ? aiq_audit_signer_repeat(s, last, err)
         : aiq_audit_signer_publish(s, last, err);

    result->size = s->edge.size;
    result->added = s->edge.size - last->size;

    return rc;
}


/* the last note, and where those before it begin */

static aiq_rc_t
aiq_audit_signer_last(aiq_audit_signer_t *s, aiq_audit_last_t *last,
    aiq_err_t *err)
{
    uint64_t           at;
    aiq_rc_t           rc;
    aiq_str_t          note;
    aiq_checkpoint_t   cp;
    aiq_audit_notes_t  notes;

    last->at = malloc(AIQ_AUDIT_NOTES_LOOK * sizeof(uint64_t));
    if (last->at == NULL) {
        return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory");
    }

    rc = aiq_audit_notes_open(&notes, s->dir, err);

    if (rc == AIQ_OK) {
        rc = aiq_audit_notes_seek(&notes, notes.size > AIQ_AUDIT_NOTES_TAIL
                                          ? notes.size - AIQ_AUDIT_NOTES_TAIL
                                          : 0, err);
    }

    while (rc == AIQ_OK) {
        at = notes.off;

        rc = aiq_audit_notes_next(&notes, &note, err);

        if (rc == AIQ_OK && (note.len > sizeof(last->text)
                             || last->n == AIQ_AUDIT_NOTES_LOOK))
        {
            rc = AIQ_D_JSON_TOO_LARGE;
        }

        if (rc == AIQ_OK) {
            last->at[last->n++] = at;
            last->note.data = last->text;
            last->note.len = note.len;
            memcpy(last->text, note.data, note.len);
            last->end = notes.off;
        }
    }

    /* more than that without one whole note is not torn */

    if (rc == AIQ_DECLINED && last->n == 0
        && notes.size > AIQ_AUDIT_NOTES_TAIL)
    {
        rc = AIQ_D_JSON_TOO_LARGE;
    }

    aiq_audit_notes_close(&notes);

    if (rc == AIQ_D_JSON_TOO_LARGE) {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "the end of audit file " AIQ_AUDIT_NOTES " is not a "
                        "note");
    }

    if (rc != AIQ_DECLINED) {
        return rc;
    }

    if (last->n) {
        rc = aiq_audit_signer_note(s, last->note, &cp, err);
        if (rc != AIQ_OK) {
            return rc;
        }

        last->size = cp.size;
        memcpy(last->root, cp.root, AIQ_HASH_LEN);
    }

    if (last->size < s->size
        || (last->size == s->size && s->size
            && memcmp(last->root, s->root, AIQ_HASH_LEN) != 0))
    {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "audit file " AIQ_AUDIT_NOTES " does not end with the "
                        "last checkpoint that was made, over %llu records",
                        (unsigned long long) s->size);
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_audit_signer_read(aiq_audit_signer_t *s, const aiq_audit_last_t *last,
    aiq_err_t *err)
{
    size_t     i;
    aiq_rc_t   rc;
    aiq_str_t  line;

    if (s->reader.n == 0 && s->first == 0) {
        return AIQ_OK;
    }

    for (i = 0; s->first && i < s->reader.n && s->reader.list[i] != s->first;
         i++)
    {
        /* void */
    }

    if (i == s->reader.n) {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "the segment of record %llu is gone: records were "
                        "cut off",
                        (unsigned long long) s->edge.size);
    }

    for ( /* void */ ; i < s->reader.n; i++) {

        rc = aiq_audit_reader_segment(&s->reader, i,
                                      s->reader.list[i] == s->first ? s->off
                                                                    : 0,
                                      err);

        if (rc == AIQ_OK && s->reader.off > s->reader.size) {
            return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                            "audit segment %s has shrunk: records were cut "
                            "off", s->reader.name);
        }

        while (rc == AIQ_OK) {
            rc = aiq_audit_reader_line(&s->reader, &line, err);

            if (rc == AIQ_OK) {
                rc = aiq_audit_signer_line(s, line, last, err);
            }
        }

        if (rc == AIQ_D_JSON_TOO_LARGE) {
            return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                            "a line of audit segment %s is too long",
                            s->reader.name);
        }

        if (rc != AIQ_DECLINED) {
            return rc;
        }
    }

    if (s->edge.size > last->size) {
        rc = aiq_audit_signer_sync(s, last, err);
        if (rc != AIQ_OK) {
            return rc;
        }
    }

    s->first = s->reader.first;
    s->off = s->reader.off;

    return AIQ_OK;
}


/*
 * What is signed must not be lost with the power.  A sync that has failed
 * here or for those who append is not believed when it succeeds later: another
 * segment must have been begun, whose RECOVERY says what is uncertain.
 */

static aiq_rc_t
aiq_audit_signer_sync(aiq_audit_signer_t *s, const aiq_audit_last_t *last,
    aiq_err_t *err)
{
    aiq_rc_t   rc;
    uint64_t   from;
    aiq_err_t  e;

    rc = AIQ_OK;

    if (s->dead != s->reader.first && fdatasync(s->reader.fd) != 0) {
        rc = aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                      "audit segment %s cannot be synced: %m",
                      s->reader.name);

        s->dead = s->reader.first;

        from = (last->size < s->dead) ? s->dead : last->size + 1;

        /* if that fails as well, at least we know */

        (void) aiq_audit_mark(s->dir, s->dead, from, s->edge.size, &e);

        return rc;
    }

    /* whoever appends has said so before the lock was free again */

    if (s->dead != s->reader.first) {
        rc = aiq_audit_unmarked(s->dir, s->reader.first, err);
    }

    if (s->dead == s->reader.first || rc == AIQ_DECLINED) {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "a sync of audit segment %s has failed: nothing is "
                        "signed before the next one", s->reader.name);
    }

    return rc;
}


static aiq_rc_t
aiq_audit_signer_line(aiq_audit_signer_t *s, aiq_str_t line,
    const aiq_audit_last_t *last, aiq_err_t *err)
{
    aiq_rc_t           rc;
    unsigned char      hex[2 * AIQ_HASH_LEN];
    aiq_audit_front_t  f;

    aiq_audit_hex(s->leaf, hex);

    if (aiq_audit_front(&f, line) != AIQ_OK
        || f.seq != s->edge.size + 1
        || memcmp(f.prev, hex, sizeof(hex)) != 0)
    {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "%s: the record behind %llu is not chained to it",
                        s->reader.name, (unsigned long long) s->edge.size);
    }

    if (aiq_merkle_leaf(s->crypto, line, s->leaf) != AIQ_OK) {
        return aiq_fail(err, AIQ_E_CRYPTO_FAILED, "SHA-256 failed");
    }

    rc = aiq_tlog_edge_add(&s->edge, s->leaf, s->dir, s->crypto, err);

    if (rc == AIQ_OK && s->edge.size == last->size) {
        rc = aiq_audit_signer_same(s, last, err);
    }

    if (rc == AIQ_OK && aiq_str_is(f.type, "KEY")) {
        rc = aiq_audit_signer_keyed(s, line, last, err);
    }

    return rc;
}


static aiq_rc_t
aiq_audit_signer_same(aiq_audit_signer_t *s, const aiq_audit_last_t *last,
    aiq_err_t *err)
{
    aiq_hash_t  root;

    if (aiq_tlog_edge_root(&s->edge, s->crypto, root) != AIQ_OK) {
        return aiq_fail(err, AIQ_E_CRYPTO_FAILED, "SHA-256 failed");
    }

    if (memcmp(root, last->root, AIQ_HASH_LEN) != 0) {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "the first %llu records are not those of the last "
                        "checkpoint: the log was written anew",
                        (unsigned long long) last->size);
    }

    return AIQ_OK;
}


/* tiles, then the note among all, then in place of the newest */

static aiq_rc_t
aiq_audit_signer_publish(aiq_audit_signer_t *s, const aiq_audit_last_t *last,
    aiq_err_t *err)
{
    aiq_rc_t          rc;
    aiq_out_t         out;
    aiq_str_t         note;
    aiq_vkey_t       *key;
    aiq_checkpoint_t  cp;
    unsigned char     text[AIQ_CHECKPOINT_MAX];

    rc = aiq_tlog_edge_save(&s->edge, s->dir, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    key = &s->keys.key[s->keys.n - 1];

    cp.origin = key->name;
    cp.size = s->edge.size;
    aiq_str_null(&cp.extension);

    rc = aiq_tlog_edge_root(&s->edge, s->crypto, cp.root);

    if (rc == AIQ_OK) {
        aiq_out_init(&out, text, sizeof(text));
        aiq_checkpoint_write(&out, &cp);
        note = aiq_out_done(&out);

        aiq_out_init(&out, s->note, sizeof(s->note));
        rc = aiq_note_sign(&out, note, key, s->seed, s->crypto);
    }

    if (rc != AIQ_OK) {
        return aiq_fail(err, rc, "the checkpoint cannot be signed");
    }

    note = aiq_out_done(&out);

    rc = aiq_audit_notes_add(s->dir, note, last->end, err);

    if (rc == AIQ_OK) {
        s->size = cp.size;
        memcpy(s->root, cp.root, AIQ_HASH_LEN);

        rc = aiq_audit_notes_publish(s->dir, note, err);
    }

    return rc;
}


/* nothing new; but whoever made the last one may have been stopped over it */

static aiq_rc_t
aiq_audit_signer_repeat(aiq_audit_signer_t *s, const aiq_audit_last_t *last,
    aiq_err_t *err)
{
    aiq_rc_t        rc;
    aiq_str_t       note;
    unsigned char  *buf;

    if (last->size == 0) {
        return AIQ_OK;
    }

    s->size = last->size;
    memcpy(s->root, last->root, AIQ_HASH_LEN);

    buf = malloc(AIQ_NOTE_MAX);
    if (buf == NULL) {
        return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory");
    }

    rc = aiq_tlog_edge_save(&s->edge, s->dir, err);

    if (rc == AIQ_OK) {
        rc = aiq_audit_notes_latest(s->dir, buf, &note, err);

        if (rc != AIQ_OK || !aiq_str_eq(note, last->note)) {
            rc = aiq_audit_notes_publish(s->dir, last->note, err);
        }
    }

    free(buf);

    return rc;
}
