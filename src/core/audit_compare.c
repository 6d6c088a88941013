
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
static aiq_audit_code_e aiq_audit_compare_key(const aiq_audit_compare_t *m,
    aiq_str_t vkey, aiq_audit_report_t *report);
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
        rc = aiq_audit_keys(fd, &m->keys, c, &err);
    }

    if (rc == AIQ_OK) {
        m->buf = malloc(AIQ_NOTE_MAX);

        if (m->buf == NULL) {
            rc = aiq_fail(&err, AIQ_E_NO_MEMORY, "no memory");
        }
    }

    if (rc != AIQ_OK) {
        report->seq = 1;
        (void) snprintf(report->text, sizeof(report->text), "%s", err.text);

        code = (rc == AIQ_DECLINED) ? AIQ_AUDIT_BROKEN : AIQ_AUDIT_IO;

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

    free(m->buf);
    m->buf = NULL;
}


static aiq_audit_code_e
aiq_audit_compare_files(aiq_audit_compare_t *m, int dir,
    const aiq_audit_kept_t *kept, aiq_crypto_t *c,
    aiq_audit_report_t *report)
{
    unsigned           i;
    aiq_rc_t           rc;
    aiq_err_t          err;
    aiq_str_t          note;
    aiq_audit_code_e   code;

    code = AIQ_AUDIT_OK;

    if (kept && kept->vkey.len) {
        code = aiq_audit_compare_key(m, kept->vkey, report);
    }

    for (i = 0; code == AIQ_AUDIT_OK && kept && i < kept->n; i++) {
        code = aiq_audit_compare_note(m, kept->notes[i],
                                      "the checkpoint that was kept",
                                      &m->other[m->n++], c, report);
    }

    if (code != AIQ_AUDIT_OK) {
        return code;
    }

    /* the newest one may be in "checkpoints" by then, but not before */

    rc = aiq_audit_notes_latest(dir, m->buf, &note, &err);

    if (rc == AIQ_OK) {
        code = aiq_audit_compare_note(m, note, AIQ_AUDIT_LATEST,
                                      &m->other[m->n], c, report);
        if (code != AIQ_AUDIT_OK) {
            return code;
        }

        m->latest = m->other[m->n++].size;
    }

    if (rc == AIQ_OK || rc == AIQ_DECLINED) {
        rc = aiq_audit_notes_open(&m->notes, dir, &err);
    }

    if (rc != AIQ_OK) {
        (void) snprintf(report->text, sizeof(report->text), "%s", err.text);
        return AIQ_AUDIT_IO;
    }

    return aiq_audit_compare_next(m, c, report);
}


static aiq_audit_code_e
aiq_audit_compare_key(const aiq_audit_compare_t *m, aiq_str_t vkey,
    aiq_audit_report_t *report)
{
    aiq_out_t      out;
    unsigned char  text[AIQ_VKEY_MAX];

    aiq_out_init(&out, text, sizeof(text));
    aiq_vkey_write(&out, &m->keys.key[0]);

    if (aiq_str_eq(aiq_out_done(&out), vkey)) {
        return AIQ_AUDIT_OK;
    }

    (void) snprintf(report->text, sizeof(report->text),
                    "the log has another key than the one that was given");

    return AIQ_AUDIT_SIGNATURE;
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

    rc = aiq_checkpoint_open(&cp, note, m->keys.key, m->keys.n, c, &err);

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

        if (memcmp(m->other[i].root, root, AIQ_HASH_LEN) != 0) {
            return aiq_audit_compare_differ(tree->size, report);
        }

        m->other[i] = m->other[--m->n];
        report->covered = tree->size;
    }

    while (m->more && m->next.size == tree->size) {

        if (memcmp(m->next.root, root, AIQ_HASH_LEN) != 0) {
            return aiq_audit_compare_differ(tree->size, report);
        }

        report->checkpoints++;
        report->covered = tree->size;

        code = aiq_audit_compare_next(m, c, report);
        if (code != AIQ_AUDIT_OK) {
            return code;
        }
    }

    aiq_audit_compare_due(m);

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
        return AIQ_AUDIT_OK;
    }

    (void) snprintf(report->text, sizeof(report->text),
                    "the log has %llu records, a checkpoint covers %llu: "
                    "records were cut off", (unsigned long long) tree->size,
                    (unsigned long long) m->due);

    return AIQ_AUDIT_TRUNCATED;
}
