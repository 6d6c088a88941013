
/*
 * Copyright (C) ngx_armoriq authors
 *
 * An open log, for the files that append to it.
 */


#ifndef _AIQ_AUDIT_OPEN_H_INCLUDED_
#define _AIQ_AUDIT_OPEN_H_INCLUDED_


#include <sys/stat.h>
#include <sys/types.h>

#include "audit_file.h"


/*
 * Asked under the lock, when the tail is known and nothing is written yet:
 * anything but AIQ_OK, and nothing is.
 */

typedef aiq_rc_t (*aiq_audit_ask_pt)(aiq_audit_t *log, void *data,
    aiq_err_t *err);


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
    unsigned         whole;           /* of the group that failed: records
                                         that are in the file all the same */
    unsigned char   *buf;
    size_t           cap;
    aiq_audit_keep_t keep;
    uint64_t         ahead;           /* reserved up to here, or 0 */
    int64_t          begun;           /* when the segment was, or 0 */
    aiq_audit_ask_pt ask;             /* or NULL */
    void            *ask_data;
    aiq_audit_fate_t *fate;           /* of the segment, as of all who share
                                         it */
    aiq_audit_fate_t own;             /* if nobody does */
    unsigned         busy:1;          /* when it was opened */
    unsigned         known:1;         /* end, seq and leaf are those of size */
    unsigned         marked:1;        /* the lock is not empty */
    unsigned         plain:1;         /* the file system cannot reserve */
};


/* the lock of the log, and what is under it brought up to date */

aiq_rc_t aiq_audit_lock(aiq_audit_t *log, aiq_err_t *err);
void aiq_audit_unlock(aiq_audit_t *log);
aiq_rc_t aiq_audit_tail(aiq_audit_t *log, aiq_crypto_t *c, aiq_err_t *err);
aiq_rc_t aiq_audit_room(aiq_audit_t *log, size_t size, aiq_err_t *err);

/* the segment can be continued */

#define aiq_audit_is_whole(log)                                               \
    ((log)->first && !(log)->fate->dead && (log)->fate->from == 0             \
     && (log)->end == (log)->size)


/* under the lock, the segment being known: what others say of it */

void aiq_audit_fate(aiq_audit_t *log);

/*
 * Under the lock: the segment is not to be continued nor synced by anybody,
 * and these of its records are uncertain.  Those that were not synced, or at
 * least the last one.
 */

#define aiq_audit_unsure(log)                                                 \
    ((log)->fate->unsynced && (log)->fate->unsynced <= (log)->seq             \
     ? (log)->fate->unsynced : (log)->seq)

void aiq_audit_give_up(aiq_audit_t *log, uint64_t from, uint64_t to);


/*
 * Both write n records behind the tail that the log knows of, under its lock;
 * begin() to a new segment, which starts with the record head, or, without
 * one, with a RECOVERY record unless it is the first one.  A fault leaves in
 * log->whole how many got into the file.
 */

aiq_rc_t aiq_audit_begin(aiq_audit_t *log, const aiq_str_t *head,
    const aiq_str_t *bodies, unsigned n, int64_t now_us, aiq_crypto_t *c,
    aiq_audit_pos_t *pos, aiq_err_t *err);
aiq_rc_t aiq_audit_go_on(aiq_audit_t *log, const aiq_str_t *bodies,
    unsigned n, unsigned flags, aiq_crypto_t *c, aiq_audit_pos_t *pos,
    aiq_err_t *err);


#endif /* _AIQ_AUDIT_OPEN_H_INCLUDED_ */
