
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit_file.h"
#include "audit_witness.h"


static aiq_rc_t aiq_audit_cosigned_read(int dir, unsigned char *buf,
    aiq_str_t *note, aiq_err_t *err);
static aiq_rc_t aiq_audit_cosigned_mine(int dir, aiq_str_t text,
    unsigned char *buf, aiq_audit_cosigned_t *result, aiq_crypto_t *c,
    aiq_err_t *err);


aiq_rc_t
aiq_audit_cosigned(const char *dir, const aiq_vkey_t *witness, unsigned n,
    unsigned k, int64_t now, aiq_audit_cosigned_t *result, aiq_crypto_t *c,
    aiq_err_t *err)
{
    int             fd;
    aiq_rc_t        rc;
    aiq_str_t       text;
    aiq_note_t      note;
    unsigned char  *buf;

    memset(result, 0, sizeof(aiq_audit_cosigned_t));

    rc = aiq_audit_dir(dir, &fd, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    aiq_str_null(&text);
    buf = malloc(2 * AIQ_NOTE_MAX);

    rc = (buf == NULL) ? aiq_fail(err, AIQ_E_NO_MEMORY, "no memory")
                       : aiq_audit_cosigned_read(fd, buf, &text, err);

    if (rc == AIQ_OK) {
        rc = aiq_audit_cosigned_mine(fd, text, buf + AIQ_NOTE_MAX, result, c,
                                     err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_note_parse(&note, text, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_cosigned(&note, witness, n, k, now, &result->by, c, err);
    }

    (void) close(fd);
    free(buf);

    /* nobody has cosigned anything yet */

    if (rc == AIQ_DECLINED && text.len == 0) {
        return AIQ_OK;
    }

    return (rc == AIQ_OK || aiq_is_fault(rc))
           ? rc : AIQ_E_AUDIT_UNAVAILABLE;
}


/* AIQ_DECLINED and no text: there is none */

static aiq_rc_t
aiq_audit_cosigned_read(int dir, unsigned char *buf, aiq_str_t *note,
    aiq_err_t *err)
{
    int          fd;
    aiq_rc_t     rc;
    struct stat  st;

    aiq_str_null(note);

    if (faccessat(dir, AIQ_AUDIT_COSIGNED, F_OK, AT_SYMLINK_NOFOLLOW) != 0
        && errno == ENOENT)
    {
        return AIQ_DECLINED;
    }

    rc = aiq_audit_open_at(dir, AIQ_AUDIT_COSIGNED, O_RDONLY, &fd, &st, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    if (st.st_size > AIQ_NOTE_MAX) {
        (void) close(fd);
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "audit file " AIQ_AUDIT_COSIGNED " is too large");
    }

    note->data = buf;
    note->len = (size_t) st.st_size;

    rc = aiq_audit_read_at(fd, buf, note->len, 0, AIQ_AUDIT_COSIGNED, err);

    (void) close(fd);

    return rc;
}


/*
 * Read behind what is cosigned: the newest checkpoint is not older then, and
 * the keys are there before what they have signed.
 */

static aiq_rc_t
aiq_audit_cosigned_mine(int dir, aiq_str_t text, unsigned char *buf,
    aiq_audit_cosigned_t *result, aiq_crypto_t *c, aiq_err_t *err)
{
    aiq_rc_t            rc;
    aiq_str_t           note;
    aiq_audit_keys_t   *keys;
    aiq_checkpoint_t    cp, mine;

    keys = malloc(sizeof(aiq_audit_keys_t));
    if (keys == NULL) {
        return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory");
    }

    rc = aiq_audit_notes_latest(dir, buf, &note, err);

    if (rc == AIQ_OK) {
        rc = aiq_audit_keys(dir, keys, c, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_keys_open(keys, &mine, note, c, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_keys_open(keys, &cp, text, c, err);
    }

    if (rc == AIQ_OK
        && (cp.size > mine.size
            || (cp.size == mine.size
                && memcmp(cp.root, mine.root, AIQ_HASH_LEN) != 0)))
    {
        rc = aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                      "witnesses have cosigned a checkpoint over %llu records "
                      "that is not before the newest one, over %llu: the log "
                      "was put back", (unsigned long long) cp.size,
                      (unsigned long long) mine.size);
    }

    if (rc == AIQ_OK) {
        result->size = cp.size;
        result->newest = mine.size;
    }

    free(keys);

    return rc;
}
