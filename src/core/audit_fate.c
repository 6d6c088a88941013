
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The newest segment, where it must not be continued although nothing in it
 * says so: its sync has failed.  A kernel tells that once to those who have
 * the file open, and forgets the pages; whoever opens it later syncs it with
 * success.  So it is written down for the other processes, in the file that
 * they all lock, and is good for as long as they could be deceived: until
 * another segment is begun.
 *
 *     seg-0000000000000001.jsonl 0000000000000012 0000000000000014 LF
 *
 * It is not synced: when the cache of that file is lost, that of the segment
 * is, too.
 */


#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit_open.h"


#define AIQ_AUDIT_MARK_SEQ  16        /* digits */
#define AIQ_AUDIT_MARK_LEN                                                    \
    (AIQ_AUDIT_NAME_LEN + 2 * (AIQ_AUDIT_MARK_SEQ + 1) + 1)


static int aiq_audit_mark_read(int lock, uint64_t first, uint64_t *from,
    uint64_t *to);
static int aiq_audit_mark_seq(const char *p, uint64_t *seq);
static int aiq_audit_mark_write(int lock, uint64_t first, uint64_t from,
    uint64_t to);
static void aiq_audit_widen(uint64_t *from, uint64_t *to, uint64_t low,
    uint64_t high);


void
aiq_audit_share(aiq_audit_t *log, aiq_audit_fate_t *fate)
{
    log->fate = fate;
    log->known = 0;
}


void
aiq_audit_fate(aiq_audit_t *log)
{
    uint64_t           from, to;
    aiq_audit_fate_t  *f;

    f = log->fate;

    /* whoever began this one has declared what was told; we do the rest */

    if (f->first != log->first) {
        f->from = f->told ? 0 : f->from;
        f->to = f->told ? 0 : f->to;
        f->unsynced = 0;
        f->dead = 0;
        f->told = 0;
        f->first = log->first;
    }

    if (log->marked && log->first
        && aiq_audit_mark_read(log->lock, log->first, &from, &to))
    {
        f->dead = 1;
        f->told = 1;
        aiq_audit_widen(&f->from, &f->to, from, to);
    }
}


void
aiq_audit_give_up(aiq_audit_t *log, uint64_t from, uint64_t to)
{
    aiq_audit_fate_t  *f;

    f = log->fate;

    f->dead = 1;
    aiq_audit_widen(&f->from, &f->to, from, to);

    /* if it cannot be written, those who share what we know still do */

    if (aiq_audit_mark_write(log->lock, log->first, f->from, f->to) == 0) {
        log->marked = 1;
        f->told = 1;
    }
}


aiq_rc_t
aiq_audit_mark(int dir, uint64_t first, uint64_t from, uint64_t to,
    aiq_err_t *err)
{
    int       lock;
    aiq_rc_t  rc;

    lock = -1;

    rc = aiq_audit_lock_take(dir, AIQ_AUDIT_LOCK, 1, &lock, err);

    if (rc == AIQ_OK && aiq_audit_mark_write(lock, first, from, to) != 0) {
        rc = aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                      "the lock of the audit log cannot be written: %m");
    }

    if (lock != -1) {
        (void) close(lock);
    }

    return rc;
}


aiq_rc_t
aiq_audit_unmarked(int dir, uint64_t first, aiq_err_t *err)
{
    int       lock;
    aiq_rc_t  rc;
    uint64_t  from, to;

    lock = -1;

    rc = aiq_audit_lock_take(dir, AIQ_AUDIT_LOCK, 1, &lock, err);

    if (rc == AIQ_OK && aiq_audit_mark_read(lock, first, &from, &to)) {
        rc = AIQ_DECLINED;
    }

    if (lock != -1) {
        (void) close(lock);
    }

    return rc;
}


/* 1 if there is one and it is of that segment; anything else is none */

static int
aiq_audit_mark_read(int lock, uint64_t first, uint64_t *from, uint64_t *to)
{
    char     name[AIQ_AUDIT_NAME_LEN + 1], mark[AIQ_AUDIT_MARK_LEN];
    char    *p;
    ssize_t  n;

    do {
        n = pread(lock, mark, sizeof(mark), 0);

    } while (n == -1 && errno == EINTR);

    aiq_audit_name(first, name);

    if (n != (ssize_t) sizeof(mark)
        || memcmp(mark, name, AIQ_AUDIT_NAME_LEN) != 0
        || mark[sizeof(mark) - 1] != '\n')
    {
        return 0;
    }

    p = mark + AIQ_AUDIT_NAME_LEN;

    return aiq_audit_mark_seq(p, from) == 0
           && aiq_audit_mark_seq(p + AIQ_AUDIT_MARK_SEQ + 1, to) == 0
           && *from <= *to;
}


/* a blank and a number; 0, or -1 */

static int
aiq_audit_mark_seq(const char *p, uint64_t *seq)
{
    unsigned  i;

    if (*p++ != ' ') {
        return -1;
    }

    for (*seq = 0, i = 0; i < AIQ_AUDIT_MARK_SEQ; i++, p++) {

        if (*p < '0' || *p > '9') {
            return -1;
        }

        *seq = *seq * 10 + (uint64_t) (*p - '0');
    }

    return 0;
}


/* 0, or -1 and errno; what is there of the same segment is not taken back */

static int
aiq_audit_mark_write(int lock, uint64_t first, uint64_t from, uint64_t to)
{
    int       len;
    char      name[AIQ_AUDIT_NAME_LEN + 1], mark[AIQ_AUDIT_MARK_LEN + 64];
    ssize_t   n;
    uint64_t  low, high;

    if (aiq_audit_mark_read(lock, first, &low, &high)) {
        aiq_audit_widen(&from, &to, low, high);
    }

    aiq_audit_name(first, name);

    len = snprintf(mark, sizeof(mark), "%s %016llu %016llu\n", name,
                   (unsigned long long) from, (unsigned long long) to);

    if (len != AIQ_AUDIT_MARK_LEN) {
        errno = EINVAL;
        return -1;
    }

    do {
        n = pwrite(lock, mark, AIQ_AUDIT_MARK_LEN, 0);

    } while (n == -1 && errno == EINTR);

    if (n == AIQ_AUDIT_MARK_LEN) {
        return 0;
    }

    errno = (n == -1) ? errno : ENOSPC;

    return -1;
}


/* to what both of them hold, 0 being nothing */

static void
aiq_audit_widen(uint64_t *from, uint64_t *to, uint64_t low, uint64_t high)
{
    if (low && (*from == 0 || low < *from)) {
        *from = low;
    }

    if (high > *to) {
        *to = high;
    }
}
