
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Files of payloads beside the audit log, DIR/payload/<UTC day>/<rid>.req, and
 * what an INTENT says of them.
 */


#ifndef _AIQ_AUDIT_PAYLOAD_H_INCLUDED_
#define _AIQ_AUDIT_PAYLOAD_H_INCLUDED_


#include "audit.h"


#define AIQ_AUDIT_PAYLOAD       "payload"
#define AIQ_AUDIT_DAY_KNOWN     0x02    /* flag: its directory is synced */

/* the file is in the directory of the day of ts_us */

void aiq_audit_payload_day(aiq_audit_payload_t *p, int64_t ts_us);

/*
 * Makes the file, with its directories: with AIQ_AUDIT_FSYNC all of it is on
 * disk on AIQ_OK.  Without, and on a fault, it may be there or not, but never
 * in part.  Blocks; several threads may be at it at a time.
 */

aiq_rc_t aiq_audit_payload_write(const char *dir,
    const aiq_audit_payload_t *p, aiq_str_t rid, aiq_str_t file,
    unsigned flags, aiq_err_t *err);

/*
 * The member of an INTENT.  AIQ_DECLINED if it has none, AIQ_D_JSON_INVALID
 * if it is not one.
 */

aiq_rc_t aiq_audit_payload_member(const aiq_json_t *doc,
    aiq_audit_payload_t *p);

/*
 * Opens the file.  AIQ_DECLINED, with the reason in err: *day is 1 if there is
 * no directory of the day any more, and 0 if the file alone is missing.
 */

aiq_rc_t aiq_audit_payload_open(int dir, const aiq_audit_payload_t *p,
    aiq_str_t rid, int *fd, uint64_t *size, int *day, aiq_err_t *err);

/*
 * For verify: is what the INTENT says there?  Counts in report.  AIQ_DECLINED
 * if it is not, though its day is, or not what it was.
 */

aiq_rc_t aiq_audit_payload_check(int dir, const aiq_json_t *doc,
    aiq_crypto_t *c, aiq_audit_report_t *report, aiq_err_t *err);


#endif /* _AIQ_AUDIT_PAYLOAD_H_INCLUDED_ */
