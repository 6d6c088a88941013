
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The audit log: opening it, its lock and its tail.  Whoever holds the lock may
 * write; the tail of the newest segment is the only truth that processes
 * share, so what a handle remembers is a cache that is compared with the file
 * before every write.
 *
 * What cannot be told apart is not guessed: a segment with a torn tail, a
 * failed fdatasync() or lines whose writer could not confirm them is left as
 * it is for ever, and the next one begins with a RECOVERY record about it.
 */


#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/file.h>

#include "audit_open.h"


#define AIQ_AUDIT_FRONT  128          /* room for v, seq and prev of a line */


static aiq_rc_t aiq_audit_append_locked(aiq_audit_t *log,
    const aiq_str_t *bodies, unsigned n, unsigned flags, int64_t now_us,
    aiq_crypto_t *c, aiq_audit_pos_t *pos, aiq_err_t *err);
static aiq_rc_t aiq_audit_described(const aiq_audit_t *log, aiq_err_t *err);
static aiq_rc_t aiq_audit_check(const aiq_str_t *bodies, unsigned n,
    size_t *size, aiq_err_t *err);
static aiq_rc_t aiq_audit_lock_how(aiq_audit_t *log, int how,
    aiq_err_t *err);
static aiq_rc_t aiq_audit_lock_open(aiq_audit_t *log, aiq_err_t *err);
static aiq_rc_t aiq_audit_same(aiq_audit_t *log, aiq_err_t *err);
static aiq_rc_t aiq_audit_reread(aiq_audit_t *log, aiq_crypto_t *c,
    aiq_err_t *err);
static aiq_rc_t aiq_audit_last(aiq_audit_t *log, const char *name,
    aiq_crypto_t *c, aiq_err_t *err);


aiq_rc_t
aiq_audit_open(aiq_audit_t **plog, const char *dir, aiq_err_t *err)
{
    aiq_rc_t      rc;
    aiq_audit_t  *log;

    *plog = NULL;

    log = calloc(1, sizeof(aiq_audit_t));
    if (log == NULL) {
        return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory");
    }

    log->dir = -1;
    log->lock = -1;
    log->seg = -1;
    log->fate = &log->own;

    rc = aiq_audit_dir(dir, &log->dir, err);

    if (rc == AIQ_OK) {
        rc = aiq_audit_described(log, err);
    }

    /* who has the lock can write; and while a disk hangs that is for long */

    if (rc == AIQ_OK) {
        rc = aiq_audit_lock_how(log, LOCK_EX|LOCK_NB, err);

        if (rc == AIQ_OK) {
            rc = aiq_audit_tail(log, NULL, err);
            aiq_audit_unlock(log);

        } else if (rc == AIQ_DECLINED) {
            log->busy = 1;
            rc = AIQ_OK;
        }
    }

    if (rc != AIQ_OK) {
        aiq_audit_close(log);
        return rc;
    }

    *plog = log;

    return AIQ_OK;
}


/* a log.json that says nothing is found now, not with the first record */

static aiq_rc_t
aiq_audit_described(const aiq_audit_t *log, aiq_err_t *err)
{
    aiq_rc_t       rc;
    aiq_hash_t     hash;
    aiq_crypto_t  *c;

    c = aiq_crypto_new();
    if (c == NULL) {
        return aiq_fail(err, AIQ_E_CRYPTO_FAILED,
                        "libcrypto cannot be used");
    }

    rc = aiq_audit_genesis(log->dir, c, hash, err);

    aiq_crypto_free(c);

    return (rc == AIQ_DECLINED) ? AIQ_E_AUDIT_UNAVAILABLE : rc;
}


unsigned
aiq_audit_busy(const aiq_audit_t *log)
{
    return log->busy;
}


void
aiq_audit_close(aiq_audit_t *log)
{
    if (log == NULL) {
        return;
    }

    if (log->seg != -1) {
        (void) close(log->seg);
    }

    if (log->lock != -1) {
        (void) close(log->lock);
    }

    if (log->dir != -1) {
        (void) close(log->dir);
    }

    free(log->buf);
    free(log);
}


aiq_rc_t
aiq_audit_append(aiq_audit_t *log, const aiq_str_t *bodies, unsigned n,
    unsigned flags, int64_t now_us, aiq_crypto_t *c, aiq_audit_pos_t *pos,
    aiq_err_t *err)
{
    size_t    size;
    unsigned  i;
    aiq_rc_t  rc;

    if (n == 0) {
        return AIQ_OK;
    }

    log->whole = 0;

    rc = aiq_audit_check(bodies, n, &size, err);

    if (rc == AIQ_OK) {
        rc = aiq_audit_room(log, size, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_append_locked(log, bodies, n, flags, now_us, c, pos,
                                     err);
    }

    if (rc != AIQ_OK && pos) {

        for (i = log->whole; i < n; i++) {
            pos[i].seq = 0;
        }
    }

    return rc;
}


aiq_rc_t
aiq_audit_position(aiq_audit_t *log, aiq_crypto_t *c, uint64_t *seq,
    aiq_err_t *err)
{
    aiq_rc_t  rc;

    rc = aiq_audit_lock(log, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_audit_tail(log, c, err);

    *seq = log->seq;

    aiq_audit_unlock(log);

    return rc;
}


static aiq_rc_t
aiq_audit_append_locked(aiq_audit_t *log, const aiq_str_t *bodies,
    unsigned n, unsigned flags, int64_t now_us, aiq_crypto_t *c,
    aiq_audit_pos_t *pos, aiq_err_t *err)
{
    aiq_rc_t  rc;

    rc = aiq_audit_lock(log, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_audit_tail(log, c, err);

    if (rc == AIQ_OK && log->seq >= (uint64_t) AIQ_JSON_SAFE - n - 1) {
        rc = aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                      "the audit log has run out of numbers");
    }

    if (rc == AIQ_OK && log->ask) {
        rc = log->ask(log, log->ask_data, err);
    }

    if (rc == AIQ_OK) {

        rc = aiq_audit_is_whole(log)
             ? aiq_audit_go_on(log, bodies, n, flags, c, pos, err)
             : aiq_audit_begin(log, NULL, bodies, n, now_us, c, pos, err);
    }

    aiq_audit_unlock(log);

    return rc;
}


/* a body that could end a line or be no record is a mistake of the caller */

static aiq_rc_t
aiq_audit_check(const aiq_str_t *bodies, unsigned n, size_t *size,
    aiq_err_t *err)
{
    unsigned              i, bad;
    const unsigned char  *p, *last;

    /* and a RECOVERY record, and the line that the tail is read into */

    *size = AIQ_AUDIT_LINE_MAX + 1;

    for (i = 0; i < n; i++) {
        p = bodies[i].data;
        last = p + bodies[i].len;

        if (bodies[i].len < 8 || bodies[i].len > AIQ_AUDIT_BODY_MAX
            || memcmp(p, "\"t\":\"", 5) != 0 || last[-1] != '}')
        {
            return aiq_fail(err, AIQ_E_INTERNAL,
                            "this is not the body of an audit record");
        }

        for (bad = 0; p < last; p++) {
            bad |= (*p < 0x20);
        }

        if (bad) {
            return aiq_fail(err, AIQ_E_INTERNAL,
                            "an audit record must not hold control bytes");
        }

        *size += bodies[i].len + AIQ_AUDIT_FRONT;
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_audit_room(aiq_audit_t *log, size_t size, aiq_err_t *err)
{
    unsigned char  *p;

    if (size <= log->cap) {
        return AIQ_OK;
    }

    size += size / 2;

    p = realloc(log->buf, size);
    if (p == NULL) {
        return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory for audit records");
    }

    log->buf = p;
    log->cap = size;

    return AIQ_OK;
}


aiq_rc_t
aiq_audit_lock(aiq_audit_t *log, aiq_err_t *err)
{
    return aiq_audit_lock_how(log, LOCK_EX, err);
}


/* AIQ_DECLINED, with LOCK_NB: somebody has it */

static aiq_rc_t
aiq_audit_lock_how(aiq_audit_t *log, int how, aiq_err_t *err)
{
    int          i;
    aiq_rc_t     rc;
    struct stat  st;

    for (i = 0; i < 10; i++) {

        if (log->lock == -1) {
            rc = aiq_audit_lock_open(log, err);
            if (rc != AIQ_OK) {
                return rc;
            }
        }

        while (flock(log->lock, how) != 0) {

            if (errno == EWOULDBLOCK) {
                return AIQ_DECLINED;
            }

            if (errno != EINTR) {
                return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                                "the audit log cannot be locked: %m");
            }
        }

        /* a lock that was deleted meanwhile keeps nobody out */

        if (fstatat(log->dir, AIQ_AUDIT_LOCK, &st, AT_SYMLINK_NOFOLLOW) == 0
            && st.st_ino == log->lock_ino && st.st_dev == log->lock_dev)
        {
            log->marked = (st.st_size != 0);
            return AIQ_OK;
        }

        (void) close(log->lock);
        log->lock = -1;
    }

    return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                    "the lock of the audit log does not stay where it is");
}


static aiq_rc_t
aiq_audit_lock_open(aiq_audit_t *log, aiq_err_t *err)
{
    struct stat  st;

    log->lock = aiq_audit_lock_at(log->dir, AIQ_AUDIT_LOCK);

    if (log->lock == -1 || fstat(log->lock, &st) != 0) {
        (void) aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "the lock of the audit log cannot be opened: %m");

        if (log->lock != -1) {
            (void) close(log->lock);
            log->lock = -1;
        }

        return AIQ_E_AUDIT_UNAVAILABLE;
    }

    log->lock_dev = st.st_dev;
    log->lock_ino = st.st_ino;

    return AIQ_OK;
}


void
aiq_audit_unlock(aiq_audit_t *log)
{
    /* closing releases it in any case */

    if (flock(log->lock, LOCK_UN) != 0) {
        (void) close(log->lock);
        log->lock = -1;
    }
}


/* brings end, seq and leaf up to date; without c only looks if it could */

aiq_rc_t
aiq_audit_tail(aiq_audit_t *log, aiq_crypto_t *c, aiq_err_t *err)
{
    aiq_rc_t  rc;

    if (log->first) {
        rc = aiq_audit_same(log, err);

        if (rc == AIQ_OK && log->known) {
            aiq_audit_fate(log);
            return AIQ_OK;
        }

        if (rc != AIQ_OK && rc != AIQ_DECLINED) {
            return rc;
        }
    }

    log->known = 0;

    rc = aiq_audit_reread(log, c, err);

    if (rc == AIQ_OK) {
        aiq_audit_fate(log);
    }

    return rc;
}


/*
 * AIQ_OK if nobody has written since, AIQ_DECLINED if somebody has.  Numbers
 * have no gaps, so a newer segment can only have one name.
 */

static aiq_rc_t
aiq_audit_same(aiq_audit_t *log, aiq_err_t *err)
{
    char         name[AIQ_AUDIT_NAME_LEN + 1];
    struct stat  st;

    aiq_audit_name(log->first, name);

    if (fstatat(log->dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "audit segment %s was removed or renamed while it "
                        "was in use: %m", name);
    }

    if (st.st_ino != log->ino || st.st_dev != log->dev) {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "audit segment %s was replaced by another file while "
                        "it was in use", name);
    }

    if ((uint64_t) st.st_size < log->size) {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "audit segment %s has shrunk from %llu to %llu bytes: "
                        "records were cut off (logrotate copytruncate?)",
                        name, (unsigned long long) log->size,
                        (unsigned long long) st.st_size);
    }

    if ((uint64_t) st.st_size != log->size) {
        return AIQ_DECLINED;
    }

    aiq_audit_name(log->seq + 1, name);

    if (fstatat(log->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        return AIQ_DECLINED;
    }

    if (errno != ENOENT) {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "audit segment %s cannot be looked up: %m", name);
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_audit_reread(aiq_audit_t *log, aiq_crypto_t *c, aiq_err_t *err)
{
    int           fd;
    char          name[AIQ_AUDIT_NAME_LEN + 1];
    size_t        n;
    uint64_t     *list, first;
    aiq_rc_t      rc;
    struct stat   st;

    rc = aiq_audit_list(log->dir, &list, &n, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    first = n ? list[n - 1] : 0;

    free(list);

    if (first == 0) {
        log->seq = 0;

        if (c == NULL) {
            return AIQ_OK;
        }

        return aiq_audit_genesis(log->dir, c, log->leaf, err) == AIQ_OK
               ? AIQ_OK : AIQ_E_AUDIT_UNAVAILABLE;
    }

    aiq_audit_name(first, name);

    rc = aiq_audit_open_at(log->dir, name, O_RDWR|O_APPEND, &fd, &st, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    /* the descriptor that we have had for longer is told of more errors */

    if (log->seg != -1 && first == log->first && st.st_ino == log->ino
        && st.st_dev == log->dev)
    {
        (void) close(fd);
        fd = log->seg;
    }

    if (log->seg != -1 && log->seg != fd) {
        (void) close(log->seg);
    }

    /* whoever began a newer one has synced the one before, or given it up */

    if (first != log->first) {
        log->ahead = 0;
        log->begun = 0;
    }

    log->seg = fd;
    log->first = first;
    log->dev = st.st_dev;
    log->ino = st.st_ino;
    log->size = (uint64_t) st.st_size;

    return aiq_audit_last(log, name, c, err);
}


/* the last whole line */

static aiq_rc_t
aiq_audit_last(aiq_audit_t *log, const char *name, aiq_crypto_t *c,
    aiq_err_t *err)
{
    uint64_t           start;
    aiq_rc_t           rc;
    aiq_str_t          line;
    aiq_audit_front_t  f;

    rc = aiq_audit_room(log, AIQ_AUDIT_LINE_MAX, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_audit_last_lf(log->seg, log->size, &log->end, name, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    start = 0;

    if (log->end) {
        rc = aiq_audit_last_lf(log->seg, log->end - 1, &start, name, err);
        if (rc != AIQ_OK) {
            return rc;
        }
    }

    if (log->end - start > AIQ_AUDIT_LINE_MAX || log->end - start < 2) {
        goto invalid;
    }

    line.data = log->buf;
    line.len = (size_t) (log->end - start - 1);

    rc = aiq_audit_read_at(log->seg, log->buf, line.len, start, name, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    if (aiq_audit_front(&f, line) != AIQ_OK || f.seq < log->first
        || line.data[line.len - 1] != '}')
    {
        goto invalid;
    }

    log->seq = f.seq;

    if (c == NULL) {
        return AIQ_OK;
    }

    if (aiq_merkle_leaf(c, line, log->leaf) != AIQ_OK) {
        return aiq_fail(err, AIQ_E_CRYPTO_FAILED, "SHA-256 failed");
    }

    log->known = 1;

    return AIQ_OK;

invalid:

    return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                    "the last line of audit segment %s is not a record; run "
                    "\"armoriqctl audit verify\"", name);
}
