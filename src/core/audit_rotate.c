
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Segments that are begun because it is time, and the reserve behind the end
 * of the newest one.  Both need room: who cannot have it goes on in the
 * segment that there is, and says so while something can still be written.
 */


#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <sys/statvfs.h>

#include "audit_open.h"


#define AIQ_AUDIT_PART   16           /* of a file system, at most */
#define AIQ_AUDIT_STEP   4096         /* that the reserve grows by, at least */
#define AIQ_AUDIT_SPARE  65536        /* allocated blocks that do not matter */


static aiq_rc_t aiq_audit_provide(aiq_audit_t *log, size_t len,
    int64_t now_us, aiq_crypto_t *c, aiq_audit_state_t *state,
    aiq_err_t *err);
static int aiq_audit_due(aiq_audit_t *log, size_t len, int64_t now_us);
static int64_t aiq_audit_begun(aiq_audit_t *log);
static aiq_rc_t aiq_audit_next(aiq_audit_t *log, int64_t now_us,
    aiq_crypto_t *c, aiq_err_t *err);
static aiq_rc_t aiq_audit_head(const aiq_audit_t *log, void *buf, size_t size,
    int64_t now_us, aiq_str_t *head, aiq_err_t *err);
static void aiq_audit_release(int fd, uint64_t size);
static int aiq_audit_extend(aiq_audit_t *log, size_t len);


void
aiq_audit_keep(aiq_audit_t *log, const aiq_audit_keep_t *keep)
{
    uint64_t        most;
    struct statvfs  fs;

    log->keep = *keep;

    if (keep->reserve == 0 || fstatvfs(log->dir, &fs) != 0
        || fs.f_blocks == 0)
    {
        return;
    }

    most = (uint64_t) fs.f_blocks * fs.f_frsize / AIQ_AUDIT_PART;

    if (log->keep.reserve > most) {
        log->keep.reserve = most;
    }
}


aiq_rc_t
aiq_audit_prepare(aiq_audit_t *log, size_t len, int64_t now_us,
    aiq_crypto_t *c, aiq_audit_state_t *state, aiq_err_t *err)
{
    aiq_rc_t  rc;

    state->rotated = 0;

    rc = aiq_audit_lock(log, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_audit_tail(log, c, err);

    if (rc == AIQ_OK) {
        rc = aiq_audit_provide(log, len, now_us, c, state, err);
    }

    state->seq = log->seq;
    state->plain = log->plain;

    aiq_audit_unlock(log);

    return rc;
}


static aiq_rc_t
aiq_audit_provide(aiq_audit_t *log, size_t len, int64_t now_us,
    aiq_crypto_t *c, aiq_audit_state_t *state, aiq_err_t *err)
{
    aiq_rc_t  rc;

    /* the next append begins a segment anyway, or fails */

    if (!aiq_audit_is_whole(log)) {
        state->low = 0;
        return AIQ_OK;
    }

    if (state->low && now_us >= state->tried_us
        && now_us - state->tried_us < AIQ_AUDIT_AGAIN)
    {
        return AIQ_OK;
    }

    state->low = 0;

    if (aiq_audit_due(log, len, now_us)) {
        rc = aiq_audit_next(log, now_us, c, err);

        if (rc == AIQ_OK) {
            state->rotated = 1;

        } else if (!aiq_audit_is_whole(log)) {
            return rc;

        } else {
            state->low = 1;
        }

    } else if (aiq_audit_extend(log, len) != 0) {
        (void) aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "there is no room for the reserve of the audit log: "
                        "%m");
        state->low = 1;
    }

    if (state->low) {
        state->tried_us = now_us;
    }

    return AIQ_OK;
}


/* a segment with a single record does not get smaller by a new one */

static int
aiq_audit_due(aiq_audit_t *log, size_t len, int64_t now_us)
{
    if (log->seq <= log->first) {
        return 0;
    }

    if (log->keep.rotate && log->size + len > log->keep.rotate) {
        return 1;
    }

    if (log->keep.age_us == 0) {
        return 0;
    }

    if (log->begun == 0) {
        log->begun = aiq_audit_begun(log);
    }

    return log->begun && now_us >= log->begun
           && now_us - log->begun >= log->keep.age_us;
}


/* the first record says when; 0 if it does not */

static int64_t
aiq_audit_begun(aiq_audit_t *log)
{
    size_t             len;
    aiq_str_t          line;
    unsigned char      buf[512];
    aiq_audit_front_t  f;

    len = (log->end < sizeof(buf)) ? (size_t) log->end : sizeof(buf);

    if (aiq_audit_read_at(log->seg, buf, len, 0, "", NULL) != AIQ_OK) {
        return 0;
    }

    line.data = buf;
    line.len = len;

    return aiq_audit_front(&f, line) == AIQ_OK ? f.ts_us : 0;
}


/*
 * What stands in front of a durable record must be durable, too: the segment
 * is synced before the next one is there.
 */

static aiq_rc_t
aiq_audit_next(aiq_audit_t *log, int64_t now_us, aiq_crypto_t *c,
    aiq_err_t *err)
{
    int            fd;
    aiq_rc_t       rc;
    uint64_t       size;
    aiq_str_t      head;
    unsigned char  buf[512];

    rc = aiq_audit_room(log, AIQ_AUDIT_LINE_MAX, err);

    if (rc == AIQ_OK) {
        rc = aiq_audit_head(log, buf, sizeof(buf), now_us, &head, err);
    }

    if (rc != AIQ_OK) {
        return rc;
    }

    if (fdatasync(log->seg) != 0) {
        rc = aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                      "the audit log cannot be synced: %m");

        aiq_audit_give_up(log, aiq_audit_unsure(log), log->seq);

        return rc;
    }

    log->fate->unsynced = 0;

    /* begin() closes the segment before */

    fd = dup(log->seg);
    size = log->size;

    rc = aiq_audit_begin(log, &head, NULL, 0, now_us, c, NULL, err);

    if (fd != -1) {

        if (rc == AIQ_OK) {
            aiq_audit_release(fd, size);
        }

        (void) close(fd);
    }

    return rc;
}


/* how the newest segment ends */

static aiq_rc_t
aiq_audit_head(const aiq_audit_t *log, void *buf, size_t size,
    int64_t now_us, aiq_str_t *head, aiq_err_t *err)
{
    char           name[AIQ_AUDIT_NAME_LEN + 1];
    aiq_out_t      out, m;
    aiq_str_t      inst;
    unsigned char  members[256];

    aiq_audit_name(log->first, name);

    aiq_out_init(&m, members, sizeof(members));

    aiq_out_str(&m, "\"seg\":\"");
    aiq_out_str(&m, name);
    aiq_out_str(&m, "\",\"size\":");
    aiq_out_int(&m, (int64_t) log->size);
    aiq_out_str(&m, ",\"records\":");
    aiq_out_int(&m, (int64_t) (log->seq - log->first + 1));

    aiq_str_null(&inst);
    aiq_out_init(&out, buf, size);

    aiq_audit_write_event(&out, "ROTATE", now_us, inst, aiq_out_done(&m));

    *head = aiq_out_done(&out);

    if (m.failed || out.failed) {
        return aiq_fail(err, AIQ_E_INTERNAL, "no room for a ROTATE record");
    }

    return AIQ_OK;
}


/*
 * What was reserved behind a segment that is complete.  The size stays; with
 * "chattr +a" this is not permitted, and costs the room.
 */

static void
aiq_audit_release(int fd, uint64_t size)
{
    struct stat  st;

    if (fstat(fd, &st) != 0 || (uint64_t) st.st_size != size
        || (uint64_t) st.st_blocks * 512 < size + AIQ_AUDIT_SPARE)
    {
        return;
    }

    if (ftruncate(fd, st.st_size) != 0) {
        return;
    }
}


/* in steps, so that few appends have to ask; 0, or -1 and errno */

static int
aiq_audit_extend(aiq_audit_t *log, size_t len)
{
    uint64_t  need, step;

    need = log->size + len + log->keep.reserve;

    if (log->keep.reserve == 0 || log->plain || log->ahead >= need) {
        return 0;
    }

    step = log->keep.reserve / 4;
    step = (step > AIQ_AUDIT_STEP) ? step : AIQ_AUDIT_STEP;

    if (aiq_audit_reserve(log->seg, log->size, need + step - log->size) != 0)
    {
        if (!aiq_audit_no_reserve(errno)) {
            return -1;
        }

        log->plain = 1;
        return 0;
    }

    log->ahead = need + step;

    return 0;
}


aiq_rc_t
aiq_audit_rotate(aiq_audit_t *log, int64_t now_us, aiq_crypto_t *c,
    uint64_t *first, aiq_err_t *err)
{
    aiq_rc_t  rc;

    rc = aiq_audit_room(log, AIQ_AUDIT_LINE_MAX, err);

    if (rc == AIQ_OK) {
        rc = aiq_audit_lock(log, err);
    }

    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_audit_tail(log, c, err);

    if (rc == AIQ_OK && log->seq <= log->first) {
        rc = aiq_fail(err, AIQ_DECLINED,
                      "the newest segment holds no more than one record");
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_is_whole(log)
             ? aiq_audit_next(log, now_us, c, err)
             : aiq_audit_begin(log, NULL, NULL, 0, now_us, c, NULL, err);
    }

    *first = log->first;

    aiq_audit_unlock(log);

    return rc;
}
