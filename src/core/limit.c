
/*
 * Copyright (C) ngx_armoriq authors
 */


#include "limit.h"


typedef struct {
    uint64_t  interval;       /* microseconds between two calls */
    uint64_t  tolerance;      /* how far tat may be ahead of now */
} aiq_limit_flow_t;


static uint64_t aiq_limit_mul(uint64_t a, uint64_t b);
static uint64_t aiq_limit_add(uint64_t a, uint64_t b);
static void aiq_limit_flow(aiq_limit_flow_t *flow, const aiq_limit_t *limit);


/* an overflow of the clock or of a limit becomes "very far away" */

static uint64_t
aiq_limit_mul(uint64_t a, uint64_t b)
{
    uint64_t  v;

    return __builtin_mul_overflow(a, b, &v) ? UINT64_MAX : v;
}


static uint64_t
aiq_limit_add(uint64_t a, uint64_t b)
{
    uint64_t  v;

    return __builtin_add_overflow(a, b, &v) ? UINT64_MAX : v;
}


static void
aiq_limit_flow(aiq_limit_flow_t *flow, const aiq_limit_t *limit)
{
    uint64_t  period;

    period = aiq_limit_mul(limit->period, 1000);

    /* rounded up: the flow is never faster than the limit says */

    flow->interval = period / limit->calls + (period % limit->calls != 0);

    if (flow->interval == 0) {
        flow->interval = 1;
    }

    flow->tolerance = aiq_limit_mul(flow->interval, limit->burst);
}


aiq_rc_t
aiq_limit_take(const aiq_limit_t *limit, uint64_t now_ms, uint64_t *tat_us,
    uint64_t *retry_ms)
{
    uint64_t          now, tat, wait, most;
    aiq_limit_flow_t  flow;

    *retry_ms = 0;

    if (limit->calls == 0) {
        *retry_ms = limit->period ? limit->period : 1;
        return AIQ_D_RATE_LIMITED;
    }

    aiq_limit_flow(&flow, limit);

    now = aiq_limit_mul(now_ms, 1000);
    most = aiq_limit_add(aiq_limit_add(now, flow.tolerance), flow.interval);

    /*
     * This limit can not have led beyond that: the limit was made wider
     * under a bucket that lives on.  The bucket counts as empty, not as locked.
     */

    if (*tat_us > most) {
        *tat_us = most;
    }

    tat = (*tat_us > now) ? *tat_us : now;

    if (tat - now > flow.tolerance) {
        wait = tat - now - flow.tolerance;
        *retry_ms = wait / 1000 + (wait % 1000 != 0);

        return AIQ_D_RATE_LIMITED;
    }

    *tat_us = aiq_limit_add(tat, flow.interval);

    return AIQ_OK;
}


void
aiq_limit_refund(const aiq_limit_t *limit, uint64_t now_ms, uint64_t *tat_us)
{
    aiq_limit_flow_t  flow;

    /* nothing was taken, or it has flowed away since */

    if (limit->calls == 0 || aiq_limit_idle(now_ms, *tat_us)) {
        return;
    }

    aiq_limit_flow(&flow, limit);

    *tat_us = (*tat_us > flow.interval) ? *tat_us - flow.interval : 0;
}


int
aiq_limit_idle(uint64_t now_ms, uint64_t tat_us)
{
    return tat_us <= aiq_limit_mul(now_ms, 1000);
}
