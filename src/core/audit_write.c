
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Appending to the audit log: lines, segments, and what is declared when a
 * write or a sync has failed.
 */


#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "audit_open.h"


/* lines in log->buf that are ready to be written */

typedef struct {
    size_t           len;
    uint64_t         seq;             /* of the last one */
    aiq_hash_t       leaf;
} aiq_audit_batch_t;


static aiq_rc_t aiq_audit_line(aiq_audit_t *log, aiq_audit_batch_t *b,
    aiq_str_t body, aiq_crypto_t *c, aiq_err_t *err);
static aiq_rc_t aiq_audit_build(aiq_audit_t *log, aiq_audit_batch_t *b,
    const aiq_str_t *bodies, unsigned n, aiq_crypto_t *c,
    aiq_audit_pos_t *pos, aiq_err_t *err);
static void aiq_audit_became(aiq_audit_t *log, const aiq_audit_batch_t *b,
    int fd, const struct stat *st);
static aiq_rc_t aiq_audit_recovery(aiq_audit_t *log, aiq_out_t *out,
    int64_t now_us, aiq_crypto_t *c, aiq_err_t *err);
static aiq_rc_t aiq_audit_write(aiq_audit_t *log, const aiq_audit_batch_t *b,
    uint64_t first, aiq_err_t *err);


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
 * a disk that is full for hours leaves nothing behind.  One that is begun
 * because it is time has its reserve from the first byte on.
 */

aiq_rc_t
aiq_audit_begin(aiq_audit_t *log, const aiq_str_t *head,
    const aiq_str_t *bodies, unsigned n, int64_t now_us, aiq_crypto_t *c,
    aiq_audit_pos_t *pos, aiq_err_t *err)
{
    int                fd;
    char               name[AIQ_AUDIT_NAME_LEN + 1];
    aiq_rc_t           rc;
    uint64_t           ahead;
    aiq_out_t          out;
    aiq_str_t          lines;
    struct stat        st;
    unsigned char      recovery[1024];
    aiq_audit_batch_t  b;

    b.len = 0;
    b.seq = log->seq;
    memcpy(b.leaf, log->leaf, AIQ_HASH_LEN);

    if (head) {
        rc = aiq_audit_line(log, &b, *head, c, err);
        if (rc != AIQ_OK) {
            return rc;
        }

    } else if (log->first) {
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

    ahead = (head && !log->plain) ? log->keep.reserve : 0;

    rc = aiq_audit_publish(log->dir, name, lines, &ahead, &fd, &st, err);

    if (fd == -1) {
        return rc;
    }

    aiq_audit_became(log, &b, fd, &st);

    log->ahead = ahead ? b.len + ahead : 0;
    log->begun = now_us;

    /* the name may be lost with the power: do not build on it */

    if (rc != AIQ_OK) {
        log->whole = n;
        aiq_audit_give_up(log, b.seq - (n ? n - 1 : 0), b.seq);
    }

    return rc;
}


/* the segment that there is now, and all of it is what has been written */

static void
aiq_audit_became(aiq_audit_t *log, const aiq_audit_batch_t *b, int fd,
    const struct stat *st)
{
    if (log->seg != -1) {
        (void) close(log->seg);
    }

    log->seg = fd;
    log->first = log->seq + 1;
    log->dev = st->st_dev;
    log->ino = st->st_ino;
    log->size = b->len;
    log->end = b->len;
    log->seq = b->seq;
    memcpy(log->leaf, b->leaf, AIQ_HASH_LEN);
    log->known = 1;
    log->whole = 0;

    memset(log->fate, 0, sizeof(aiq_audit_fate_t));
    log->fate->first = log->first;
}


static aiq_rc_t
aiq_audit_recovery(aiq_audit_t *log, aiq_out_t *out, int64_t now_us,
    aiq_crypto_t *c, aiq_err_t *err)
{
    char               name[AIQ_AUDIT_NAME_LEN + 1];
    aiq_rc_t           rc;
    uint64_t           from, to;
    aiq_out_t          m;
    aiq_str_t          inst;
    aiq_hash_t         hash;
    unsigned char      members[512];
    aiq_audit_fate_t  *f;

    /*
     * What stands in front of a durable record must be durable, too.  A sync
     * that failed once is never asked again: it would answer yes.
     */

    f = log->fate;

    if (!f->dead && fdatasync(log->seg) != 0) {
        aiq_audit_give_up(log, aiq_audit_unsure(log), log->seq);
    }

    /* a mark may be older than a crash that has left less */

    from = (f->dead && f->from == 0) ? aiq_audit_unsure(log) : f->from;
    from = (from < log->seq) ? from : log->seq;
    to = (f->to && f->to < log->seq) ? f->to : log->seq;

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

    if (from) {
        aiq_out_str(&m, "true,\"uncertain_from\":");
        aiq_out_int(&m, (int64_t) from);
        aiq_out_str(&m, ",\"uncertain_to\":");
        aiq_out_int(&m, (int64_t) to);

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


aiq_rc_t
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

    /* before: whoever comes when we were killed must know */

    if (log->fate->unsynced == 0) {
        log->fate->unsynced = first;
    }

    rc = aiq_audit_write(log, &b, first, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    log->size += b.len;
    log->end = log->size;
    log->seq = b.seq;
    memcpy(log->leaf, b.leaf, AIQ_HASH_LEN);

    if (!(flags & AIQ_AUDIT_FSYNC)) {
        return AIQ_OK;
    }

    if (fdatasync(log->seg) != 0) {
        rc = aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                      "the audit log cannot be synced: %m");
        log->whole = n;
        aiq_audit_give_up(log, aiq_audit_unsure(log), log->seq);

        return rc;
    }

    log->fate->unsynced = 0;

    return AIQ_OK;
}


static aiq_rc_t
aiq_audit_write(aiq_audit_t *log, const aiq_audit_batch_t *b, uint64_t first,
    aiq_err_t *err)
{
    int                e;
    size_t             done, i;
    ssize_t            n;
    uint64_t           whole;
    aiq_audit_fate_t  *f;

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

    f = log->fate;

    if (e != ENOSPC && e != EDQUOT && e != EFBIG) {
        aiq_audit_give_up(log, whole ? f->unsynced : aiq_audit_unsure(log),
                          first + whole - 1);

    } else if (whole) {
        f->from = first;
        f->to = first + whole - 1;
    }

    errno = e;

    return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                    "the audit log cannot be written: %m");
}
