
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Checkpoints against the log that they are of.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit_file.h"


static aiq_audit_code_e aiq_audit_compare_files(aiq_audit_compare_t *m,
    int dir, const aiq_audit_kept_t *kept, aiq_crypto_t *c,
    aiq_audit_report_t *report);
static aiq_audit_code_e aiq_audit_compare_keys(aiq_audit_compare_t *m,
    int dir, const aiq_audit_kept_t *kept, aiq_crypto_t *c,
    aiq_audit_report_t *report);
static aiq_audit_code_e aiq_audit_compare_same(const aiq_audit_compare_t *m,
    const aiq_audit_point_t *point, const aiq_hash_t root,
    aiq_audit_report_t *report);
static aiq_audit_code_e aiq_audit_compare_note(const aiq_audit_compare_t *m,
    aiq_str_t note, const char *where, aiq_audit_point_t *point,
    aiq_crypto_t *c, aiq_audit_report_t *report);
static aiq_audit_code_e aiq_audit_compare_next(aiq_audit_compare_t *m,
    aiq_crypto_t *c, aiq_audit_report_t *report);
static aiq_audit_code_e aiq_audit_compare_last(const aiq_audit_compare_t *m,
    uint64_t size, aiq_audit_report_t *report);
static void aiq_audit_compare_due(aiq_audit_compare_t *m);
static aiq_audit_code_e aiq_audit_compare_differ(uint64_t size,
    aiq_audit_report_t *report);


aiq_audit_code_e
aiq_audit_compare_open(aiq_audit_compare_t *m, const char *dir,
    const aiq_audit_kept_t *kept, aiq_crypto_t *c,
    aiq_audit_report_t *report)
{
    int                fd;
    aiq_rc_t           rc;
    aiq_err_t          err;
    aiq_audit_code_e   code;

    memset(m, 0, sizeof(aiq_audit_compare_t));

    m->due = AIQ_AUDIT_NEVER;
    m->notes.fd = -1;

    err.text[0] = '\0';

    rc = aiq_audit_dir(dir, &fd, &err);

    if (rc == AIQ_OK) {
        m->buf = malloc(AIQ_NOTE_MAX);
        m->keys = calloc(1, sizeof(aiq_audit_keys_t));

        if (m->buf == NULL || m->keys == NULL) {
            rc = aiq_fail(&err, AIQ_E_NO_MEMORY, "no memory");
        }
    }

    if (rc != AIQ_OK) {
        report->seq = 1;
        (void) snprintf(report->text, sizeof(report->text), "%s", err.text);

        code = AIQ_AUDIT_IO;

    } else {
        code = aiq_audit_compare_files(m, fd, kept, c, report);
    }

    if (fd != -1) {
        (void) close(fd);
    }

    return code;
}


void
aiq_audit_compare_close(aiq_audit_compare_t *m)
{
    aiq_audit_notes_close(&m->notes);

    free(m->keys);
    m->keys = NULL;

    free(m->buf);
    m->buf = NULL;
}


static aiq_audit_code_e
aiq_audit_compare_files(aiq_audit_compare_t *m, int dir,
    const aiq_audit_kept_t *kept, aiq_crypto_t *c,
    aiq_audit_report_t *report)
{
    int                latest;
    unsigned           i;
    aiq_rc_t           rc;
    aiq_err_t          err;
    aiq_str_t          note;
    aiq_audit_code_e   code;

    /* the newest one may be in "checkpoints" by then, but not before */

    rc = aiq_audit_notes_latest(dir, m->buf, &note, &err);

    latest = (rc == AIQ_OK);

    if (rc == AIQ_OK || rc == AIQ_DECLINED) {
        rc = aiq_audit_notes_open(&m->notes, dir, &err);
    }

    if (rc != AIQ_OK) {
        (void) snprintf(report->text, sizeof(report->text), "%s", err.text);
        return AIQ_AUDIT_IO;
    }

    /* a key is there before anything that it has signed */

    code = aiq_audit_compare_keys(m, dir, kept, c, report);

    for (i = 0; code == AIQ_AUDIT_OK && kept && i < kept->n; i++) {
        code = aiq_audit_compare_note(m, kept->notes[i],
                                      "the checkpoint that was kept",
                                      &m->other[m->n++], c, report);
    }

    if (code == AIQ_AUDIT_OK && latest) {
        code = aiq_audit_compare_note(m, note, AIQ_AUDIT_LATEST,
                                      &m->other[m->n], c, report);
        m->latest = m->other[m->n++].size;
    }

    return (code == AIQ_AUDIT_OK) ? aiq_audit_compare_next(m, c, report)
                                  : code;
}


static aiq_audit_code_e
aiq_audit_compare_keys(aiq_audit_compare_t *m, int dir,
    const aiq_audit_kept_t *kept, aiq_crypto_t *c,
    aiq_audit_report_t *report)
{
    unsigned    i;
    aiq_rc_t    rc;
    aiq_err_t   err;

    err.text[0] = '\0';

    rc = aiq_audit_keys(dir, m->keys, c, &err);

    if (rc != AIQ_OK) {
        report->seq = 1;
        (void) snprintf(report->text, sizeof(report->text), "%s", err.text);

        return aiq_is_fault(rc) ? AIQ_AUDIT_IO
                                : (rc == AIQ_DECLINED) ? AIQ_AUDIT_BROKEN
                                                       : AIQ_AUDIT_SIGNATURE;
    }

    if (kept && kept->vkey.len && !aiq_audit_keys_have(m->keys, kept->vkey)) {
        (void) snprintf(report->text, sizeof(report->text),
                        "the key that was given is not one of the log");
        return AIQ_AUDIT_SIGNATURE;
    }

    /* what the key before has signed last */

    for (i = 1; i < m->keys->n; i++) {
        m->other[m->n].size = m->keys->from[i];
        memcpy(m->other[m->n++].root, m->keys->root[i], AIQ_HASH_LEN);
    }

    return AIQ_AUDIT_OK;
}


aiq_audit_code_e
aiq_audit_compare_key(aiq_audit_compare_t *m, aiq_str_t line, uint64_t seq,
    aiq_mem_t *mem, aiq_crypto_t *c, aiq_audit_report_t *report)
{
    unsigned          n;
    aiq_rc_t          rc;
    aiq_str_t         note;
    aiq_err_t         err;
    aiq_hash_t        hash;

    err.text[0] = '\0';
    n = m->seen + 1;

    rc = aiq_audit_key_record(line, mem, &note);

    if (rc == AIQ_OK) {
        rc = aiq_sha256(c, note, hash);
    }

    if (rc == AIQ_OK && n < m->keys->n
        && memcmp(hash, m->keys->note[n], AIQ_HASH_LEN) != 0)
    {
        rc = AIQ_DECLINED;
    }

    /*
     * A crash has come between the record and the file.  The file is there
     * before the key signs: whatever covers more was signed by another one.
     */

    if (rc == AIQ_OK && n == m->keys->n) {
        rc = (m->due == AIQ_AUDIT_NEVER)
             ? aiq_audit_keys_add(m->keys, note, c, &err) : AIQ_DECLINED;
        report->warnings++;
    }

    if (rc == AIQ_OK
        && (m->keys->from[n] >= seq || m->last.size != m->keys->from[n]
            || memcmp(m->last.root, m->keys->root[n], AIQ_HASH_LEN) != 0))
    {
        rc = AIQ_DECLINED;
    }

    if (rc == AIQ_OK) {
        m->seen = n;
        report->keys = n + 1;
        return AIQ_AUDIT_OK;
    }

    report->seq = seq;

    (void) snprintf(report->text, sizeof(report->text),
                    "record %llu: the KEY record does not declare the next "
                    "key of the log%s%.200s", (unsigned long long) seq,
                    err.text[0] ? ": " : "", err.text);

    return aiq_is_fault(rc) ? AIQ_AUDIT_IO : AIQ_AUDIT_SIGNATURE;
}


static aiq_audit_code_e
aiq_audit_compare_note(const aiq_audit_compare_t *m, aiq_str_t note,
    const char *where, aiq_audit_point_t *point, aiq_crypto_t *c,
    aiq_audit_report_t *report)
{
    aiq_rc_t          rc;
    aiq_err_t         err;
    aiq_checkpoint_t  cp;

    err.text[0] = '\0';

    rc = aiq_audit_keys_open(m->keys, &cp, note, c, &err);

    if (rc == AIQ_OK) {
        point->size = cp.size;
        memcpy(point->root, cp.root, AIQ_HASH_LEN);

        return AIQ_AUDIT_OK;
    }

    (void) snprintf(report->text, sizeof(report->text), "%s: %.300s", where,
                    err.text);

    return aiq_is_fault(rc) ? AIQ_AUDIT_IO : AIQ_AUDIT_SIGNATURE;
}


static aiq_audit_code_e
aiq_audit_compare_next(aiq_audit_compare_t *m, aiq_crypto_t *c,
    aiq_audit_report_t *report)
{
    char               where[64];
    uint64_t           size;
    aiq_rc_t           rc;
    aiq_err_t          err;
    aiq_str_t          note;
    aiq_audit_code_e   code;

    size = m->more ? m->next.size : 0;

    (void) snprintf(where, sizeof(where), AIQ_AUDIT_NOTES ", byte %llu",
                    (unsigned long long) m->notes.off);

    m->more = 0;
    err.text[0] = '\0';

    rc = aiq_audit_notes_next(&m->notes, &note, &err);

    if (rc == AIQ_DECLINED) {

        /* half a note at the end is what a crash leaves */

        report->warnings += (m->notes.off != m->notes.size);

        aiq_audit_compare_due(m);

        return aiq_audit_compare_last(m, size, report);
    }

    if (rc == AIQ_D_JSON_TOO_LARGE) {
        (void) snprintf(report->text, sizeof(report->text),
                        "%s: this is not a signed note", where);
        return AIQ_AUDIT_SIGNATURE;
    }

    if (rc != AIQ_OK) {
        (void) snprintf(report->text, sizeof(report->text), "%s", err.text);
        return AIQ_AUDIT_IO;
    }

    code = aiq_audit_compare_note(m, note, where, &m->next, c, report);

    if (code != AIQ_AUDIT_OK) {
        return code;
    }

    if (m->next.size < size) {
        (void) snprintf(report->text, sizeof(report->text),
                        "%s: a checkpoint over %llu records behind one over "
                        "%llu", where, (unsigned long long) m->next.size,
                        (unsigned long long) size);
        return AIQ_AUDIT_INCONSISTENT;
    }

    m->more = 1;

    aiq_audit_compare_due(m);

    return AIQ_AUDIT_OK;
}


/* the newest one is shown to others only when it is in "checkpoints" */

static aiq_audit_code_e
aiq_audit_compare_last(const aiq_audit_compare_t *m, uint64_t size,
    aiq_audit_report_t *report)
{
    if (m->latest <= size) {
        return AIQ_AUDIT_OK;
    }

    (void) snprintf(report->text, sizeof(report->text),
                    AIQ_AUDIT_NOTES " ends with a checkpoint over %llu "
                    "records, but the newest one covers %llu",
                    (unsigned long long) size,
                    (unsigned long long) m->latest);

    return AIQ_AUDIT_INCONSISTENT;
}


static void
aiq_audit_compare_due(aiq_audit_compare_t *m)
{
    unsigned  i;

    m->due = m->more ? m->next.size : AIQ_AUDIT_NEVER;

    for (i = 0; i < m->n; i++) {

        if (m->other[i].size < m->due) {
            m->due = m->other[i].size;
        }
    }
}


aiq_audit_code_e
aiq_audit_compare(aiq_audit_compare_t *m, const aiq_frontier_t *tree,
    aiq_crypto_t *c, aiq_audit_report_t *report)
{
    unsigned           i;
    aiq_hash_t         root;
    aiq_audit_code_e   code;

    if (aiq_frontier_root(c, tree, root) != AIQ_OK) {
        (void) snprintf(report->text, sizeof(report->text), "SHA-256 failed");
        return AIQ_AUDIT_IO;
    }

    for (i = 0; i < m->n; /* void */ ) {

        if (m->other[i].size != tree->size) {
            i++;
            continue;
        }

        code = aiq_audit_compare_same(m, &m->other[i],
                                      (const unsigned char *) root, report);
        if (code != AIQ_AUDIT_OK) {
            return code;
        }

        m->other[i] = m->other[--m->n];
        report->covered = tree->size;
    }

    while (m->more && m->next.size == tree->size) {

        code = aiq_audit_compare_same(m, &m->next,
                                      (const unsigned char *) root, report);
        if (code != AIQ_AUDIT_OK) {
            return code;
        }

        report->checkpoints++;
        report->covered = tree->size;

        code = aiq_audit_compare_next(m, c, report);
        if (code != AIQ_AUDIT_OK) {
            return code;
        }
    }

    m->last.size = tree->size;
    memcpy(m->last.root, root, AIQ_HASH_LEN);

    aiq_audit_compare_due(m);

    return AIQ_AUDIT_OK;
}


/* also the key: the one that records up to there had declared last */

static aiq_audit_code_e
aiq_audit_compare_same(const aiq_audit_compare_t *m,
    const aiq_audit_point_t *point, const aiq_hash_t root,
    aiq_audit_report_t *report)
{
    if (memcmp(point->root, root, AIQ_HASH_LEN) != 0) {
        return aiq_audit_compare_differ(point->size, report);
    }

    if (aiq_audit_keys_of(m->keys, point->size) != m->seen) {
        (void) snprintf(report->text, sizeof(report->text),
                        "a checkpoint over %llu records is signed by another "
                        "key than the one that they declare last",
                        (unsigned long long) point->size);
        return AIQ_AUDIT_SIGNATURE;
    }

    return AIQ_AUDIT_OK;
}


static aiq_audit_code_e
aiq_audit_compare_differ(uint64_t size, aiq_audit_report_t *report)
{
    (void) snprintf(report->text, sizeof(report->text),
                    "a checkpoint over %llu records has another root than the "
                    "first %llu records of the log: it was written anew",
                    (unsigned long long) size, (unsigned long long) size);

    return AIQ_AUDIT_INCONSISTENT;
}


aiq_audit_code_e
aiq_audit_compare_end(const aiq_audit_compare_t *m,
    const aiq_frontier_t *tree, aiq_audit_report_t *report)
{
    if (m->due == AIQ_AUDIT_NEVER) {

        if (m->seen + 1 == m->keys->n) {
            return AIQ_AUDIT_OK;
        }

        (void) snprintf(report->text, sizeof(report->text),
                        "the log has no KEY record for %u of its keys: "
                        "records were cut off", m->keys->n - 1 - m->seen);

        return AIQ_AUDIT_TRUNCATED;
    }

    (void) snprintf(report->text, sizeof(report->text),
                    "the log has %llu records, a checkpoint covers %llu: "
                    "records were cut off", (unsigned long long) tree->size,
                    (unsigned long long) m->due);

    return AIQ_AUDIT_TRUNCATED;
}
