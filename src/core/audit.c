
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Appending to the audit log.  Whoever holds the lock may write; the tail of
 * the newest segment is the only truth that processes share, so what a handle
 * remembers is a cache that is compared with the file before every write.
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

#include "audit_file.h"


#define AIQ_AUDIT_LOCK   "lock"
#define AIQ_AUDIT_FRONT  128          /* room for v, seq and prev of a line */


struct aiq_audit_s {
    int              dir;
    int              lock;
    int              seg;             /* newest segment, or -1 */
    dev_t            lock_dev;
    ino_t            lock_ino;
    dev_t            dev;
    ino_t            ino;
    uint64_t         first;           /* names the segment; 0: none yet */
    uint64_t         size;            /* it was never smaller than this */
    uint64_t         end;             /* behind its last whole line */
    uint64_t         seq;             /* of that line */
    aiq_hash_t       leaf;
    uint64_t         unsynced;        /* first one not synced by us, or 0 */
    uint64_t         from;            /* written but not confirmed, or 0 */
    uint64_t         to;
    unsigned         whole;           /* of the group that failed: records
                                         that are in the file all the same */
    unsigned char   *buf;
    size_t           cap;
    unsigned         known:1;         /* end, seq and leaf are those of size */
    unsigned         dead:1;          /* a sync of the segment failed */
};


/* lines in log->buf that are ready to be written */

typedef struct {
    size_t           len;
    uint64_t         seq;             /* of the last one */
    aiq_hash_t       leaf;
} aiq_audit_batch_t;


static aiq_rc_t aiq_audit_append_locked(aiq_audit_t *log,
    const aiq_str_t *bodies, unsigned n, unsigned flags, int64_t now_us,
    aiq_crypto_t *c, aiq_audit_pos_t *pos, aiq_err_t *err);
static aiq_rc_t aiq_audit_described(const aiq_audit_t *log, aiq_err_t *err);
static aiq_rc_t aiq_audit_check(const aiq_str_t *bodies, unsigned n,
    size_t *size, aiq_err_t *err);
static aiq_rc_t aiq_audit_room(aiq_audit_t *log, size_t size, aiq_err_t *err);
static aiq_rc_t aiq_audit_lock(aiq_audit_t *log, aiq_err_t *err);
static aiq_rc_t aiq_audit_lock_open(aiq_audit_t *log, aiq_err_t *err);
static void aiq_audit_unlock(aiq_audit_t *log);
static aiq_rc_t aiq_audit_tail(aiq_audit_t *log, aiq_crypto_t *c,
    aiq_err_t *err);
static aiq_rc_t aiq_audit_same(aiq_audit_t *log, aiq_err_t *err);
static aiq_rc_t aiq_audit_reread(aiq_audit_t *log, aiq_crypto_t *c,
    aiq_err_t *err);
static aiq_rc_t aiq_audit_last(aiq_audit_t *log, const char *name,
    aiq_crypto_t *c, aiq_err_t *err);
static aiq_rc_t aiq_audit_line(aiq_audit_t *log, aiq_audit_batch_t *b,
    aiq_str_t body, aiq_crypto_t *c, aiq_err_t *err);
static aiq_rc_t aiq_audit_build(aiq_audit_t *log, aiq_audit_batch_t *b,
    const aiq_str_t *bodies, unsigned n, aiq_crypto_t *c,
    aiq_audit_pos_t *pos, aiq_err_t *err);
static aiq_rc_t aiq_audit_begin(aiq_audit_t *log, const aiq_str_t *bodies,
    unsigned n, int64_t now_us, aiq_crypto_t *c, aiq_audit_pos_t *pos,
    aiq_err_t *err);
static aiq_rc_t aiq_audit_recovery(aiq_audit_t *log, aiq_out_t *out,
    int64_t now_us, aiq_crypto_t *c, aiq_err_t *err);
static aiq_rc_t aiq_audit_go_on(aiq_audit_t *log, const aiq_str_t *bodies,
    unsigned n, unsigned flags, aiq_crypto_t *c, aiq_audit_pos_t *pos,
    aiq_err_t *err);
static aiq_rc_t aiq_audit_write(aiq_audit_t *log, const aiq_audit_batch_t *b,
    uint64_t first, aiq_err_t *err);


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

    rc = aiq_audit_dir(dir, &log->dir, err);

    if (rc == AIQ_OK) {
        rc = aiq_audit_described(log, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_lock(log, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_tail(log, NULL, err);
        aiq_audit_unlock(log);
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

    if (rc == AIQ_OK) {

        if (log->first == 0 || log->dead || log->from
            || log->end != log->size)
        {
            rc = aiq_audit_begin(log, bodies, n, now_us, c, pos, err);

        } else {
            rc = aiq_audit_go_on(log, bodies, n, flags, c, pos, err);
        }
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


static aiq_rc_t
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


static aiq_rc_t
aiq_audit_lock(aiq_audit_t *log, aiq_err_t *err)
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

        while (flock(log->lock, LOCK_EX) != 0) {

            if (errno != EINTR) {
                return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                                "the audit log cannot be locked: %m");
            }
        }

        /* a lock that was deleted meanwhile keeps nobody out */

        if (fstatat(log->dir, AIQ_AUDIT_LOCK, &st, AT_SYMLINK_NOFOLLOW) == 0
            && st.st_ino == log->lock_ino && st.st_dev == log->lock_dev)
        {
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

    log->lock = openat(log->dir, AIQ_AUDIT_LOCK,
                       O_RDWR|O_CREAT|O_NOFOLLOW|O_CLOEXEC, 0600);

    if (log->lock == -1 || aiq_audit_own(log->dir, log->lock) != 0
        || fstat(log->lock, &st) != 0)
    {
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


static void
aiq_audit_unlock(aiq_audit_t *log)
{
    /* closing releases it in any case */

    if (flock(log->lock, LOCK_UN) != 0) {
        (void) close(log->lock);
        log->lock = -1;
    }
}


/* brings end, seq and leaf up to date; without c only looks if it could */

static aiq_rc_t
aiq_audit_tail(aiq_audit_t *log, aiq_crypto_t *c, aiq_err_t *err)
{
    aiq_rc_t  rc;

    if (log->first) {
        rc = aiq_audit_same(log, err);

        if (rc == AIQ_OK && log->known) {
            return AIQ_OK;
        }

        if (rc != AIQ_OK && rc != AIQ_DECLINED) {
            return rc;
        }
    }

    log->known = 0;

    return aiq_audit_reread(log, c, err);
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

    if (log->seg != -1) {
        (void) close(log->seg);
    }

    /* whoever began a newer one has synced the one before */

    if (first != log->first) {
        log->dead = 0;
        log->unsynced = 0;
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


static aiq_rc_t
aiq_audit_line(aiq_audit_t *log, aiq_audit_batch_t *b, aiq_str_t body,
    aiq_crypto_t *c, aiq_err_t *err)
{
    aiq_out_t      out;
    aiq_str_t      line;
    unsigned char  hex[2 * AIQ_HASH_LEN];

    aiq_audit_hex(b->leaf, hex);

    aiq_out_init(&out, log->buf + b->len, log->cap - b->len);

    aiq_out_mem(&out, "{\"v\":1,\"seq\":", 13);
    aiq_out_int(&out, (int64_t) (b->seq + 1));
    aiq_out_mem(&out, ",\"prev\":\"", 9);
    aiq_out_mem(&out, hex, sizeof(hex));
    aiq_out_mem(&out, "\",", 2);
    aiq_out_mem(&out, body.data, body.len);

    line = aiq_out_done(&out);

    aiq_out_char(&out, '\n');

    if (out.failed) {
        return aiq_fail(err, AIQ_E_INTERNAL,
                        "no room for an audit record");
    }

    if (aiq_merkle_leaf(c, line, b->leaf) != AIQ_OK) {
        return aiq_fail(err, AIQ_E_CRYPTO_FAILED, "SHA-256 failed");
    }

    b->seq++;
    b->len += line.len + 1;

    return AIQ_OK;
}


static aiq_rc_t
aiq_audit_build(aiq_audit_t *log, aiq_audit_batch_t *b,
    const aiq_str_t *bodies, unsigned n, aiq_crypto_t *c,
    aiq_audit_pos_t *pos, aiq_err_t *err)
{
    unsigned  i;
    aiq_rc_t  rc;

    for (i = 0; i < n; i++) {

        rc = aiq_audit_line(log, b, bodies[i], c, err);
        if (rc != AIQ_OK) {
            return rc;
        }

        if (pos) {
            pos[i].seq = b->seq;
            memcpy(pos[i].leaf, b->leaf, AIQ_HASH_LEN);
        }
    }

    return AIQ_OK;
}


/*
 * Writes to a new segment.  It appears with all its lines or not at all, so
 * a disk that is full for hours leaves nothing behind.
 */

static aiq_rc_t
aiq_audit_begin(aiq_audit_t *log, const aiq_str_t *bodies, unsigned n,
    int64_t now_us, aiq_crypto_t *c, aiq_audit_pos_t *pos, aiq_err_t *err)
{
    int                fd;
    char               name[AIQ_AUDIT_NAME_LEN + 1];
    aiq_rc_t           rc;
    aiq_out_t          out;
    aiq_str_t          lines;
    struct stat        st;
    unsigned char      recovery[1024];
    aiq_audit_batch_t  b;

    b.len = 0;
    b.seq = log->seq;
    memcpy(b.leaf, log->leaf, AIQ_HASH_LEN);

    if (log->first) {
        aiq_out_init(&out, recovery, sizeof(recovery));

        rc = aiq_audit_recovery(log, &out, now_us, c, err);

        if (rc == AIQ_OK) {
            rc = aiq_audit_line(log, &b, aiq_out_done(&out), c, err);
        }

        if (rc != AIQ_OK) {
            return rc;
        }
    }

    rc = aiq_audit_build(log, &b, bodies, n, c, pos, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    aiq_audit_name(log->seq + 1, name);

    lines.data = log->buf;
    lines.len = b.len;

    rc = aiq_audit_publish(log->dir, name, lines, &fd, &st, err);

    if (fd == -1) {
        return rc;
    }

    if (log->seg != -1) {
        (void) close(log->seg);
    }

    log->seg = fd;
    log->first = log->seq + 1;
    log->dev = st.st_dev;
    log->ino = st.st_ino;
    log->size = b.len;
    log->end = b.len;
    log->seq = b.seq;
    memcpy(log->leaf, b.leaf, AIQ_HASH_LEN);
    log->unsynced = 0;
    log->known = 1;

    /* the name may be lost with the power: do not build on it */

    log->dead = (rc != AIQ_OK);
    log->whole = log->dead ? n : 0;
    log->from = log->dead ? b.seq - n + 1 : 0;
    log->to = log->dead ? b.seq : 0;

    return rc;
}


static aiq_rc_t
aiq_audit_recovery(aiq_audit_t *log, aiq_out_t *out, int64_t now_us,
    aiq_crypto_t *c, aiq_err_t *err)
{
    char           name[AIQ_AUDIT_NAME_LEN + 1];
    aiq_rc_t       rc;
    aiq_out_t      m;
    aiq_str_t      inst;
    aiq_hash_t     hash;
    unsigned char  members[512];

    /*
     * What stands in front of a durable record must be durable, too.  A sync
     * that failed once is never asked again: it would answer yes.
     */

    if (!log->dead && fdatasync(log->seg) != 0) {
        log->dead = 1;
    }

    if (log->dead && log->from == 0) {
        log->from = log->unsynced ? log->unsynced : log->seq;
        log->to = log->seq;
    }

    aiq_audit_name(log->first, name);

    rc = aiq_audit_hash_at(log->seg, log->end, log->size - log->end, name, c,
                           hash, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    aiq_out_init(&m, members, sizeof(members));

    aiq_out_str(&m, "\"seg\":\"");
    aiq_out_str(&m, name);
    aiq_out_str(&m, "\",\"off\":");
    aiq_out_int(&m, (int64_t) log->end);
    aiq_out_str(&m, ",\"len\":");
    aiq_out_int(&m, (int64_t) (log->size - log->end));
    aiq_out_str(&m, ",\"sha256\":\"");
    aiq_out_hex(&m, hash, AIQ_HASH_LEN);
    aiq_out_str(&m, "\",\"uncertain\":");

    if (log->from) {
        aiq_out_str(&m, "true,\"uncertain_from\":");
        aiq_out_int(&m, (int64_t) log->from);
        aiq_out_str(&m, ",\"uncertain_to\":");
        aiq_out_int(&m, (int64_t) log->to);

    } else {
        aiq_out_str(&m, "false");
    }

    aiq_str_null(&inst);

    aiq_audit_write_event(out, "RECOVERY", now_us, inst, aiq_out_done(&m));

    if (m.failed || out->failed) {
        return aiq_fail(err, AIQ_E_INTERNAL, "no room for a RECOVERY record");
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_audit_go_on(aiq_audit_t *log, const aiq_str_t *bodies, unsigned n,
    unsigned flags, aiq_crypto_t *c, aiq_audit_pos_t *pos, aiq_err_t *err)
{
    aiq_rc_t           rc;
    uint64_t           first;
    aiq_audit_batch_t  b;

    b.len = 0;
    b.seq = log->seq;
    memcpy(b.leaf, log->leaf, AIQ_HASH_LEN);

    rc = aiq_audit_build(log, &b, bodies, n, c, pos, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    first = log->seq + 1;

    rc = aiq_audit_write(log, &b, first, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    log->size += b.len;
    log->end = log->size;
    log->seq = b.seq;
    memcpy(log->leaf, b.leaf, AIQ_HASH_LEN);

    if (log->unsynced == 0) {
        log->unsynced = first;
    }

    if (!(flags & AIQ_AUDIT_FSYNC)) {
        return AIQ_OK;
    }

    if (fdatasync(log->seg) != 0) {
        rc = aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                      "the audit log cannot be synced: %m");
        log->dead = 1;
        log->whole = n;
        log->from = log->unsynced;
        log->to = log->seq;

        return rc;
    }

    log->unsynced = 0;

    return AIQ_OK;
}


static aiq_rc_t
aiq_audit_write(aiq_audit_t *log, const aiq_audit_batch_t *b, uint64_t first,
    aiq_err_t *err)
{
    int       e;
    size_t    done, i;
    ssize_t   n;
    uint64_t  whole;

    done = 0;

    while (done < b->len) {
        n = write(log->seg, log->buf + done, b->len - done);

        if (n > 0) {
            done += (size_t) n;
            continue;
        }

        if (n == -1 && errno == EINTR) {
            continue;
        }

        e = (n == 0) ? EIO : errno;
        goto failed;
    }

    return AIQ_OK;

failed:

    /* look again what is there; if it was nothing, just go on behind it */

    log->known = 0;

    for (whole = 0, i = 0; i < done; i++) {
        whole += (log->buf[i] == '\n');
    }

    log->whole = (unsigned) whole;

    if (whole) {
        log->from = first;
        log->to = first + whole - 1;
    }

    if (e != ENOSPC && e != EDQUOT && e != EFBIG) {
        log->dead = 1;
    }

    errno = e;

    return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                    "the audit log cannot be written: %m");
}
