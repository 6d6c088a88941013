
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Files of checkpoints: all of them, one behind the other, and the newest.
 */


#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit_file.h"


#define AIQ_AUDIT_NOTES_BUF  (2 * AIQ_NOTE_MAX)
#define AIQ_AUDIT_NOTES_TMP  "checkpoint.new"
#define AIQ_AUDIT_NOTES_SIG  "\xe2\x80\x94 "
#define AIQ_AUDIT_NOTES_DASH 4


static aiq_rc_t aiq_audit_notes_more(aiq_audit_notes_t *n, aiq_err_t *err);
static size_t aiq_audit_notes_end(const unsigned char *p, size_t len,
    int last);
static aiq_rc_t aiq_audit_notes_file(int dir, int *fd, struct stat *st,
    aiq_err_t *err);
static int aiq_audit_notes_write(int fd, aiq_str_t s);


aiq_rc_t
aiq_audit_notes_open(aiq_audit_notes_t *n, int dir, aiq_err_t *err)
{
    aiq_rc_t     rc;
    struct stat  st;

    memset(n, 0, sizeof(aiq_audit_notes_t));

    n->fd = -1;

    if (faccessat(dir, AIQ_AUDIT_NOTES, F_OK, AT_SYMLINK_NOFOLLOW) != 0
        && errno == ENOENT)
    {
        return AIQ_OK;
    }

    rc = aiq_audit_open_at(dir, AIQ_AUDIT_NOTES, O_RDONLY, &n->fd, &st, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    n->size = (uint64_t) st.st_size;
    n->buf = malloc(AIQ_AUDIT_NOTES_BUF);

    if (n->buf == NULL) {
        return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory");
    }

    return AIQ_OK;
}


void
aiq_audit_notes_close(aiq_audit_notes_t *n)
{
    if (n->fd != -1) {
        (void) close(n->fd);
        n->fd = -1;
    }

    free(n->buf);
    n->buf = NULL;
}


/* fills the buffer as far as it goes */

static aiq_rc_t
aiq_audit_notes_more(aiq_audit_notes_t *n, aiq_err_t *err)
{
    size_t    len;
    uint64_t  at;
    aiq_rc_t  rc;

    memmove(n->buf, n->buf + n->pos, n->have);
    n->pos = 0;

    at = n->off + n->have;
    len = AIQ_AUDIT_NOTES_BUF - n->have;

    if (n->size - at < len) {
        len = (size_t) (n->size - at);
    }

    rc = aiq_audit_read_at(n->fd, n->buf + n->have, len, at, AIQ_AUDIT_NOTES,
                           err);

    if (rc == AIQ_OK) {
        n->have += len;
    }

    return rc;
}


/*
 * The length of the note that begins at p, or 0 if it is not all there: with
 * the lines of signatures behind its first empty line, of which the last one
 * is known by what follows.
 */

static size_t
aiq_audit_notes_end(const unsigned char *p, size_t len, int last)
{
    size_t                i, n, sigs;
    const unsigned char  *lf;

    lf = memmem(p, len, "\n\n", 2);

    if (lf == NULL) {
        return 0;
    }

    i = (size_t) (lf - p) + 2;

    for (sigs = 0; /* void */ ; sigs++) {

        n = (len - i < AIQ_AUDIT_NOTES_DASH) ? len - i : AIQ_AUDIT_NOTES_DASH;

        if (memcmp(p + i, AIQ_AUDIT_NOTES_SIG, n) != 0) {

            /* without a signature it is no note: the parser will say so */

            return i;
        }

        if (n < AIQ_AUDIT_NOTES_DASH) {
            return (last && sigs) ? i : 0;
        }

        lf = memchr(p + i, '\n', len - i);

        if (lf == NULL) {
            return 0;
        }

        i = (size_t) (lf - p) + 1;
    }
}


aiq_rc_t
aiq_audit_notes_seek(aiq_audit_notes_t *n, uint64_t off, aiq_err_t *err)
{
    aiq_rc_t              rc;
    const unsigned char  *p, *lf, *last;

    n->pos = 0;
    n->have = 0;
    n->off = off;

    if (off == 0 || n->fd == -1) {
        return AIQ_OK;
    }

    rc = aiq_audit_notes_more(n, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    last = n->buf + n->have;

    for (p = n->buf; p < last; p = lf + 1) {

        p = memmem(p, (size_t) (last - p), "\n" AIQ_AUDIT_NOTES_SIG,
                   1 + AIQ_AUDIT_NOTES_DASH);

        lf = p ? memchr(p + 1, '\n', (size_t) (last - p - 1)) : NULL;

        if (lf == NULL) {
            break;
        }

        if (last - lf > AIQ_AUDIT_NOTES_DASH
            && memcmp(lf + 1, AIQ_AUDIT_NOTES_SIG, AIQ_AUDIT_NOTES_DASH) != 0)
        {
            n->pos = (size_t) (lf + 1 - n->buf);
            n->have -= n->pos;
            n->off += n->pos;

            return AIQ_OK;
        }

        /* several signatures: the next line again */

        lf--;
    }

    n->off = n->size;
    n->have = 0;

    return AIQ_OK;
}


aiq_rc_t
aiq_audit_notes_next(aiq_audit_notes_t *n, aiq_str_t *note, aiq_err_t *err)
{
    int       last;
    size_t    len;
    aiq_rc_t  rc;

    if (n->fd == -1) {
        return AIQ_DECLINED;
    }

    last = (n->off + n->have == n->size);
    len = aiq_audit_notes_end(n->buf + n->pos, n->have, last);

    if (len == 0 && !last) {

        rc = aiq_audit_notes_more(n, err);
        if (rc != AIQ_OK) {
            return rc;
        }

        last = (n->off + n->have == n->size);
        len = aiq_audit_notes_end(n->buf, n->have, last);
    }

    if (len == 0) {
        return last ? AIQ_DECLINED : AIQ_D_JSON_TOO_LARGE;
    }

    note->data = n->buf + n->pos;
    note->len = len;

    n->pos += len;
    n->have -= len;
    n->off += len;

    return AIQ_OK;
}


static aiq_rc_t
aiq_audit_notes_file(int dir, int *fd, struct stat *st, aiq_err_t *err)
{
    *fd = openat(dir, AIQ_AUDIT_NOTES,
                 O_RDWR|O_APPEND|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0600);

    if (*fd == -1 && errno == EEXIST) {
        return aiq_audit_open_at(dir, AIQ_AUDIT_NOTES, O_RDWR|O_APPEND, fd,
                                 st, err);
    }

    if (*fd == -1 || aiq_audit_own(dir, *fd) != 0 || fstat(*fd, st) != 0
        || fsync(dir) != 0)
    {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "audit file " AIQ_AUDIT_NOTES " cannot be created: "
                        "%m");
    }

    return AIQ_OK;
}


static int
aiq_audit_notes_write(int fd, aiq_str_t s)
{
    ssize_t  n;

    while (s.len) {
        n = write(fd, s.data, s.len);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n <= 0) {
            return -1;
        }

        s.data += n;
        s.len -= (size_t) n;
    }

    return 0;
}


/*
 * What is behind end was never confirmed to anybody: "checkpoint" comes after
 * this.  It is the only thing in a log that is ever cut off.
 */

aiq_rc_t
aiq_audit_notes_add(int dir, aiq_str_t note, uint64_t end, aiq_err_t *err)
{
    int          fd, e;
    aiq_rc_t     rc;
    struct stat  st;

    rc = aiq_audit_notes_file(dir, &fd, &st, err);

    if (rc == AIQ_OK && (uint64_t) st.st_size < end) {
        rc = aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                      "audit file " AIQ_AUDIT_NOTES " became shorter while it "
                      "was read");
    }

    if (rc == AIQ_OK
        && (((uint64_t) st.st_size > end && ftruncate(fd, (off_t) end) != 0)
            || aiq_audit_notes_write(fd, note) != 0
            || fdatasync(fd) != 0))
    {
        e = errno;

        /* if it stays, it is cut off next time */

        if (ftruncate(fd, (off_t) end) == 0) {
            errno = e;
        }

        rc = aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                      "audit file " AIQ_AUDIT_NOTES " cannot be written: %m");
    }

    if (fd != -1) {
        (void) close(fd);
    }

    return rc;
}


aiq_rc_t
aiq_audit_notes_publish(int dir, aiq_str_t note, aiq_err_t *err)
{
    return aiq_audit_replace(dir, AIQ_AUDIT_NOTES_TMP, AIQ_AUDIT_LATEST, note,
                             err);
}


aiq_rc_t
aiq_audit_replace(int dir, const char *tmp, const char *name, aiq_str_t text,
    aiq_err_t *err)
{
    int  fd, rc;

    fd = aiq_audit_new_at(dir, tmp);

    rc = (fd == -1 || aiq_audit_notes_write(fd, text) != 0
          || fsync(fd) != 0) ? -1 : 0;

    if (fd != -1 && close(fd) != 0) {
        rc = -1;
    }

    if (rc == 0 && renameat(dir, tmp, dir, name) == 0 && fsync(dir) == 0) {
        return AIQ_OK;
    }

    (void) aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                    "audit file %s cannot be written: %m", name);

    /* it would take room, and is nobody's */

    if (fd != -1) {
        (void) unlinkat(dir, tmp, 0);
    }

    return AIQ_E_AUDIT_UNAVAILABLE;
}


aiq_rc_t
aiq_audit_notes_latest(int dir, unsigned char *buf, aiq_str_t *note,
    aiq_err_t *err)
{
    int          fd;
    aiq_rc_t     rc;
    struct stat  st;

    if (faccessat(dir, AIQ_AUDIT_LATEST, F_OK, AT_SYMLINK_NOFOLLOW) != 0
        && errno == ENOENT)
    {
        return aiq_fail(err, AIQ_DECLINED, "the log has no checkpoint yet");
    }

    rc = aiq_audit_open_at(dir, AIQ_AUDIT_LATEST, O_RDONLY, &fd, &st, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    if (st.st_size > AIQ_NOTE_MAX) {
        (void) close(fd);
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "audit file " AIQ_AUDIT_LATEST " is too large");
    }

    note->data = buf;
    note->len = (size_t) st.st_size;

    rc = aiq_audit_read_at(fd, buf, note->len, 0, AIQ_AUDIT_LATEST, err);

    (void) close(fd);

    return rc;
}
