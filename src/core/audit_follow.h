
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Following an audit log: every record once, in order, from behind a cursor
 * on, while segments grow and new ones begin.  Takes no lock, so whoever
 * appends never waits for who follows.
 */


#ifndef _AIQ_AUDIT_FOLLOW_H_INCLUDED_
#define _AIQ_AUDIT_FOLLOW_H_INCLUDED_


#include "audit_file.h"


/* behind a record; seq 0: before the first one */

typedef struct {
    uint64_t              seq;
    uint64_t              first;      /* names its segment */
    uint64_t              off;        /* in the segment, behind its LF */
    aiq_hash_t            leaf;       /* of it */
} aiq_audit_cursor_t;

typedef struct {
    aiq_audit_reader_t    reader;
    aiq_audit_cursor_t    at;         /* what was read */
    aiq_audit_code_e      code;       /* what is wrong with the log: that */
    aiq_err_t             bad;        /* stays wrong */
    aiq_crypto_t         *crypto;
    uint64_t              next;       /* the segment behind this one; 0: none
                                         is known */
    unsigned char        *tape;
    size_t                origin_len;
    unsigned char         origin[AIQ_NAME_MAX];
} aiq_audit_follow_t;

typedef struct {
    aiq_str_t             line;       /* without LF */
    aiq_audit_front_t     front;
    aiq_json_t            doc;
} aiq_audit_followed_t;


/*
 * All of them answer AIQ_D_PROOF_INVALID if the log is not, or not any more,
 * what it should be: nothing behind that can be believed, and code says what
 * it is.  AIQ_E_AUDIT_UNAVAILABLE: it cannot be read now.
 */

/* the record before the cursor must be in the log; close it always */

aiq_rc_t aiq_audit_follow_open(aiq_audit_follow_t *f, const char *dir,
    const aiq_audit_cursor_t *cursor, aiq_crypto_t *c, aiq_err_t *err);
void aiq_audit_follow_close(aiq_audit_follow_t *f);

/*
 * Looks how far the log goes now, and syncs it that far: a record that was
 * read is one that stays.
 */

aiq_rc_t aiq_audit_follow_look(aiq_audit_follow_t *f, aiq_err_t *err);

/*
 * The next record, chained to the one before; valid until the next call.
 * AIQ_DECLINED: that is all as of the last look.
 */

aiq_rc_t aiq_audit_follow_next(aiq_audit_follow_t *f,
    aiq_audit_followed_t *rec, aiq_err_t *err);


/* the last record of the log, its number and time; seq 0: there is none */

aiq_rc_t aiq_audit_follow_last(const char *dir, uint64_t *seq,
    int64_t *ts_us, aiq_err_t *err);


#endif /* _AIQ_AUDIT_FOLLOW_H_INCLUDED_ */
