
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Following an audit log, see audit_follow.h.
 */


#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit_follow.h"


#define AIQ_AUDIT_FOLLOW_BUF   (256 * 1024)     /* of the reader */
#define AIQ_AUDIT_FOLLOW_TAPE  (AIQ_JSON_TOKENS * sizeof(aiq_json_tok_t) + 16)


static aiq_rc_t aiq_audit_follow_log(aiq_audit_follow_t *f, aiq_err_t *err);
static aiq_rc_t aiq_audit_follow_seek(aiq_audit_follow_t *f,
    const aiq_audit_cursor_t *cursor, aiq_err_t *err);
static aiq_rc_t aiq_audit_follow_gone(aiq_audit_follow_t *f, aiq_err_t *err);
static aiq_rc_t aiq_audit_follow_begin(aiq_audit_follow_t *f, uint64_t first,
    uint64_t off, aiq_err_t *err);
static aiq_rc_t aiq_audit_follow_behind(aiq_audit_follow_t *f,
    aiq_err_t *err);
static aiq_rc_t aiq_audit_follow_grow(aiq_audit_follow_t *f,
    aiq_err_t *err);
static aiq_rc_t aiq_audit_follow_stat(aiq_audit_follow_t *f,
    struct stat *st, aiq_err_t *err);
static aiq_rc_t aiq_audit_follow_sync(aiq_audit_reader_t *r, uint64_t size,
    aiq_err_t *err);
static aiq_rc_t aiq_audit_follow_record(aiq_audit_follow_t *f,
    aiq_audit_followed_t *rec, aiq_err_t *err);
static aiq_rc_t aiq_audit_follow_before(int fd, const char *name,
    uint64_t off, unsigned char *buf, aiq_str_t *line, aiq_err_t *err);
static aiq_rc_t aiq_audit_follow_newest(aiq_audit_reader_t *r,
    uint64_t first, uint64_t *seq, int64_t *ts_us, aiq_err_t *err);
static aiq_rc_t aiq_audit_follow_bad(aiq_audit_follow_t *f,
    aiq_audit_code_e code, const char *what, aiq_err_t *err);


aiq_rc_t
aiq_audit_follow_open(aiq_audit_follow_t *f, const char *dir,
    const aiq_audit_cursor_t *cursor, aiq_crypto_t *c, aiq_err_t *err)
{
    aiq_rc_t             rc;
    aiq_audit_reader_t  *r;

    memset(f, 0, sizeof(aiq_audit_follow_t));

    f->crypto = c;

    r = &f->reader;
    r->fd = -1;
    r->dir = -1;

    rc = aiq_audit_dir(dir, &r->dir, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    r->buf = malloc(AIQ_AUDIT_FOLLOW_BUF);
    f->tape = malloc(AIQ_AUDIT_FOLLOW_TAPE);

    if (r->buf == NULL || f->tape == NULL) {
        return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory");
    }

    rc = aiq_audit_follow_log(f, err);

    if (rc == AIQ_OK && cursor->seq) {
        rc = aiq_audit_follow_seek(f, cursor, err);
    }

    return rc;
}


void
aiq_audit_follow_close(aiq_audit_follow_t *f)
{
    aiq_audit_reader_close(&f->reader);
    free(f->tape);
}


/* the origin, and what the first record is chained to */

static aiq_rc_t
aiq_audit_follow_log(aiq_audit_follow_t *f, aiq_err_t *err)
{
    aiq_rc_t          rc;
    aiq_audit_keys_t  keys;

    rc = aiq_audit_genesis(f->reader.dir, f->crypto, f->at.leaf, err);

    if (rc == AIQ_OK) {
        rc = aiq_audit_first_key(f->reader.dir, &keys, f->crypto, err);
    }

    if (rc == AIQ_DECLINED) {
        f->code = AIQ_AUDIT_BROKEN;
        return AIQ_D_PROOF_INVALID;
    }

    if (rc == AIQ_OK) {
        f->origin_len = keys.key[0].name.len;
        memcpy(f->origin, keys.key[0].name.data, f->origin_len);
    }

    return rc;
}


static aiq_rc_t
aiq_audit_follow_seek(aiq_audit_follow_t *f, const aiq_audit_cursor_t *cursor,
    aiq_err_t *err)
{
    aiq_rc_t             rc;
    aiq_str_t            line;
    aiq_hash_t           leaf;
    aiq_audit_front_t    front;
    aiq_audit_reader_t  *r;

    r = &f->reader;
    f->at = *cursor;

    aiq_audit_name(cursor->first, r->name);

    if (faccessat(r->dir, r->name, F_OK, AT_SYMLINK_NOFOLLOW) != 0
        && errno == ENOENT)
    {
        return aiq_audit_follow_gone(f, err);
    }

    rc = aiq_audit_follow_begin(f, cursor->first, cursor->off, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    if (r->size < cursor->off) {
        return aiq_audit_follow_bad(f, AIQ_AUDIT_INCONSISTENT,
                                    "the log was cut off before the cursor, "
                                    "or is another one", err);
    }

    rc = aiq_audit_follow_before(r->fd, r->name, cursor->off, r->buf, &line,
                                 err);

    if (rc == AIQ_OK && aiq_audit_front(&front, line) == AIQ_OK
        && front.seq == cursor->seq)
    {
        rc = aiq_merkle_leaf(f->crypto, line, leaf);

        if (rc == AIQ_OK && memcmp(leaf, cursor->leaf, AIQ_HASH_LEN) == 0) {
            return AIQ_OK;
        }
    }

    if (rc != AIQ_OK && rc != AIQ_DECLINED) {
        return rc;
    }

    return aiq_audit_follow_bad(f, AIQ_AUDIT_INCONSISTENT,
                                "the record before the cursor is not the one "
                                "that was there: the log is another one, or "
                                "was written anew", err);
}


/* a segment that was read to its end may have been moved away since */

static aiq_rc_t
aiq_audit_follow_gone(aiq_audit_follow_t *f, aiq_err_t *err)
{
    size_t     i, n;
    aiq_rc_t   rc;
    uint64_t  *list;

    rc = aiq_audit_list(f->reader.dir, &list, &n, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    for (i = 0; i < n && list[i] != f->at.seq + 1; i++) {
        /* void */
    }

    free(list);

    if (i == n) {
        return aiq_audit_follow_bad(f, AIQ_AUDIT_INCONSISTENT,
                                    "the segment of the cursor is not there, "
                                    "and none goes on behind it", err);
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_audit_follow_begin(aiq_audit_follow_t *f, uint64_t first, uint64_t off,
    aiq_err_t *err)
{
    aiq_rc_t             rc;
    struct stat          st;
    aiq_audit_reader_t  *r;

    r = &f->reader;

    if (r->fd != -1) {
        (void) close(r->fd);
        r->fd = -1;
    }

    aiq_audit_name(first, r->name);

    rc = aiq_audit_open_at(r->dir, r->name, O_RDONLY, &r->fd, &st, err);

    if (rc != AIQ_OK) {
        r->fd = -1;
        return rc;
    }

    r->first = first;
    r->size = 0;
    r->off = off;
    r->pos = r->buf;
    r->end = r->buf;

    return aiq_audit_follow_sync(r, (uint64_t) st.st_size, err);
}


aiq_rc_t
aiq_audit_follow_look(aiq_audit_follow_t *f, aiq_err_t *err)
{
    aiq_rc_t  rc;

    if (f->code != AIQ_AUDIT_OK) {
        return aiq_fail(err, AIQ_D_PROOF_INVALID, "%s", f->bad.text);
    }

    /*
     * In this order: nobody appends to a segment once there is another one
     * behind it.
     */

    rc = aiq_audit_follow_behind(f, err);

    if (rc == AIQ_OK && f->reader.fd != -1) {
        rc = aiq_audit_follow_grow(f, err);
    }

    return rc;
}


static aiq_rc_t
aiq_audit_follow_behind(aiq_audit_follow_t *f, aiq_err_t *err)
{
    size_t     i, n;
    aiq_rc_t   rc;
    uint64_t  *list;

    f->next = 0;

    rc = aiq_audit_list(f->reader.dir, &list, &n, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    for (i = 0; i < n; i++) {

        if (list[i] > f->at.first) {
            f->next = list[i];
            break;
        }
    }

    free(list);

    return AIQ_OK;
}


static aiq_rc_t
aiq_audit_follow_grow(aiq_audit_follow_t *f, aiq_err_t *err)
{
    aiq_rc_t             rc;
    struct stat          st, now;
    aiq_audit_reader_t  *r;

    r = &f->reader;

    rc = aiq_audit_follow_stat(f, &st, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    if (f->next == 0
        && (fstatat(r->dir, r->name, &now, AT_SYMLINK_NOFOLLOW) != 0
            || now.st_ino != st.st_ino || now.st_dev != st.st_dev))
    {
        /* old ones may be moved away: is it one now? */

        rc = aiq_audit_follow_behind(f, err);
        if (rc != AIQ_OK) {
            return rc;
        }

        if (f->next == 0) {
            return aiq_audit_follow_bad(f, AIQ_AUDIT_TRUNCATED,
                                        "the newest segment was deleted, "
                                        "renamed or replaced", err);
        }

        /* it is complete only now, and what we have open still is it */

        rc = aiq_audit_follow_stat(f, &st, err);
        if (rc != AIQ_OK) {
            return rc;
        }
    }

    if ((uint64_t) st.st_size == r->size) {
        return AIQ_OK;
    }

    return aiq_audit_follow_sync(r, (uint64_t) st.st_size, err);
}


static aiq_rc_t
aiq_audit_follow_stat(aiq_audit_follow_t *f, struct stat *st, aiq_err_t *err)
{
    aiq_audit_reader_t  *r;

    r = &f->reader;

    if (fstat(r->fd, st) != 0) {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "audit segment %s cannot be read: %m", r->name);
    }

    if ((uint64_t) st->st_size < r->size) {
        return aiq_audit_follow_bad(f, AIQ_AUDIT_TRUNCATED,
                                    "the segment became shorter while it was "
                                    "read", err);
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_audit_follow_sync(aiq_audit_reader_t *r, uint64_t size, aiq_err_t *err)
{
    /* EROFS, EINVAL: a file system where nothing is to be synced */

    if (fdatasync(r->fd) != 0 && errno != EROFS && errno != EINVAL) {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "audit segment %s cannot be synced: %m", r->name);
    }

    r->size = size;

    return AIQ_OK;
}


aiq_rc_t
aiq_audit_follow_next(aiq_audit_follow_t *f, aiq_audit_followed_t *rec,
    aiq_err_t *err)
{
    aiq_rc_t             rc;
    aiq_audit_reader_t  *r;

    r = &f->reader;

    if (f->code != AIQ_AUDIT_OK) {
        return aiq_fail(err, AIQ_D_PROOF_INVALID, "%s", f->bad.text);
    }

    for ( ;; ) {

        if (r->fd != -1 && r->off < r->size) {
            rc = aiq_audit_reader_line(r, &rec->line, err);

            if (rc == AIQ_OK) {
                return aiq_audit_follow_record(f, rec, err);
            }

            if (rc == AIQ_D_JSON_TOO_LARGE) {
                return aiq_audit_follow_bad(f, AIQ_AUDIT_BROKEN,
                                            "the line is too long", err);
            }

            if (rc != AIQ_DECLINED) {
                return rc;
            }
        }

        if (f->next == 0) {
            return AIQ_DECLINED;
        }

        if (f->next != f->at.seq + 1) {
            return aiq_audit_follow_bad(f, AIQ_AUDIT_GAP,
                                        "the next segment begins with "
                                        "another record", err);
        }

        rc = aiq_audit_follow_begin(f, f->next, 0, err);
        if (rc != AIQ_OK) {
            return rc;
        }

        f->next = 0;
    }
}


static aiq_rc_t
aiq_audit_follow_record(aiq_audit_follow_t *f, aiq_audit_followed_t *rec,
    aiq_err_t *err)
{
    aiq_rc_t        rc;
    aiq_err_t       e;
    aiq_mem_t       mem;
    unsigned char   hex[2 * AIQ_HASH_LEN];

    if (aiq_audit_front(&rec->front, rec->line) != AIQ_OK) {
        return aiq_audit_follow_bad(f, AIQ_AUDIT_BROKEN,
                                    "the line does not begin like a record",
                                    err);
    }

    if (rec->front.seq != f->at.seq + 1) {
        return aiq_audit_follow_bad(f, AIQ_AUDIT_GAP,
                                    "another number was expected", err);
    }

    aiq_audit_hex(f->at.leaf, hex);

    if (memcmp(hex, rec->front.prev, sizeof(hex)) != 0) {
        return aiq_audit_follow_bad(f, AIQ_AUDIT_BROKEN,
                                    "\"prev\" is not the hash of the record "
                                    "before", err);
    }

    mem.pos = f->tape;
    mem.end = mem.pos + AIQ_AUDIT_FOLLOW_TAPE;
    e.text[0] = '\0';

    if (aiq_json_parse(&rec->doc, rec->line, AIQ_AUDIT_DEPTH, &mem, &e)
        != AIQ_OK)
    {
        return aiq_audit_follow_bad(f, AIQ_AUDIT_BROKEN,
                                    "the line is not valid JSON", err);
    }

    rc = aiq_merkle_leaf(f->crypto, rec->line, f->at.leaf);

    if (rc != AIQ_OK) {
        return aiq_fail(err, rc, "SHA-256 failed");
    }

    f->at.seq = rec->front.seq;
    f->at.first = f->reader.first;
    f->at.off = f->reader.off;

    return AIQ_OK;
}


/*
 * The line that ends at off, without LF; buf is that of a reader.
 * AIQ_DECLINED: none ends there.
 */

static aiq_rc_t
aiq_audit_follow_before(int fd, const char *name, uint64_t off,
    unsigned char *buf, aiq_str_t *line, aiq_err_t *err)
{
    size_t          n;
    aiq_rc_t        rc;
    unsigned char  *lf;

    n = (off < AIQ_AUDIT_LINE_MAX + 1) ? (size_t) off
                                       : AIQ_AUDIT_LINE_MAX + 1;

    if (n == 0) {
        return AIQ_DECLINED;
    }

    rc = aiq_audit_read_at(fd, buf, n, off - n, name, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    if (buf[n - 1] != '\n') {
        return AIQ_DECLINED;
    }

    lf = memrchr(buf, '\n', n - 1);

    if (lf == NULL && n < off) {
        return AIQ_DECLINED;
    }

    line->data = lf ? lf + 1 : buf;
    line->len = (size_t) (buf + n - 1 - line->data);

    return AIQ_OK;
}


aiq_rc_t
aiq_audit_follow_last(const char *dir, uint64_t *seq, int64_t *ts_us,
    aiq_err_t *err)
{
    size_t               n;
    aiq_rc_t             rc;
    aiq_audit_reader_t   r;

    *seq = 0;
    *ts_us = 0;

    memset(&r, 0, sizeof(aiq_audit_reader_t));

    r.fd = -1;

    rc = aiq_audit_dir(dir, &r.dir, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_audit_list(r.dir, &r.list, &n, err);

    if (rc == AIQ_OK && n) {
        r.buf = malloc(AIQ_AUDIT_LINE_MAX + 1);

        rc = r.buf ? aiq_audit_follow_newest(&r, r.list[n - 1], seq, ts_us,
                                             err)
                   : aiq_fail(err, AIQ_E_NO_MEMORY, "no memory");
    }

    aiq_audit_reader_close(&r);

    return rc;
}


static aiq_rc_t
aiq_audit_follow_newest(aiq_audit_reader_t *r, uint64_t first, uint64_t *seq,
    int64_t *ts_us, aiq_err_t *err)
{
    aiq_rc_t           rc;
    uint64_t           end;
    aiq_str_t          line;
    struct stat        st;
    aiq_audit_front_t  front;

    aiq_audit_name(first, r->name);

    rc = aiq_audit_open_at(r->dir, r->name, O_RDONLY, &r->fd, &st, err);

    if (rc != AIQ_OK) {
        r->fd = -1;
        return rc;
    }

    rc = aiq_audit_last_lf(r->fd, (uint64_t) st.st_size, &end, r->name, err);

    if (rc == AIQ_OK) {
        rc = aiq_audit_follow_before(r->fd, r->name, end, r->buf, &line, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_front(&front, line);
    }

    if (rc == AIQ_OK) {
        *seq = front.seq;
        *ts_us = front.ts_us;
    }

    return (rc == AIQ_DECLINED)
           ? aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                      "audit segment %s does not end with a record", r->name)
           : rc;
}


static aiq_rc_t
aiq_audit_follow_bad(aiq_audit_follow_t *f, aiq_audit_code_e code,
    const char *what, aiq_err_t *err)
{
    f->code = code;

    (void) aiq_fail(&f->bad, AIQ_D_PROOF_INVALID,
                    "audit segment %s, behind record %llu, before byte %llu: "
                    "%s", f->reader.name[0] ? f->reader.name : "(none)",
                    (unsigned long long) f->at.seq,
                    (unsigned long long) f->reader.off, what);

    return aiq_fail(err, AIQ_D_PROOF_INVALID, "%s", f->bad.text);
}
