
/*
 * Copyright (C) ngx_armoriq authors
 *
 * GCRA (the generic cell rate algorithm, ITU-T I.371): pure arithmetic over
 * one number that the caller keeps, the theoretical arrival time.  Times are
 * monotonic milliseconds.
 */


#ifndef _AIQ_LIMIT_H_INCLUDED_
#define _AIQ_LIMIT_H_INCLUDED_


#include "aiq.h"


typedef struct {
    uint64_t            calls;        /* so many calls ... */
    uint64_t            period;       /* ... in so many milliseconds */
    uint64_t            burst;        /* calls beyond the even flow, >= 0 */
} aiq_limit_t;

/*
 * Takes one call.  tat: in microseconds of the caller's clock, 0 at first.
 * AIQ_OK and *tat moves on, or AIQ_D_RATE_LIMITED, *tat stays and *retry is
 * the time to wait, in milliseconds, > 0.  An idle bucket lets burst + 1 calls
 * through at once.  A limit of 0 calls lets nothing through.
 *
 * A *tat that this limit can not have produced (another limit was configured
 * before, the clock started anew) is pulled back to that of an empty bucket.
 */

aiq_rc_t aiq_limit_take(const aiq_limit_t *limit, uint64_t now_ms,
    uint64_t *tat_us, uint64_t *retry_ms);

/* gives one call back, as if it had not been taken */

void aiq_limit_refund(const aiq_limit_t *limit, uint64_t now_ms,
    uint64_t *tat_us);

/* 1 if the bucket is as new: its memory may be used again */

int aiq_limit_idle(uint64_t now_ms, uint64_t tat_us);


#endif /* _AIQ_LIMIT_H_INCLUDED_ */
