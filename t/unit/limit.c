
/*
 * Copyright (C) ngx_armoriq authors
 */


#include "limit.h"
#include "tap.h"


static unsigned take_n(const aiq_limit_t *l, uint64_t now, uint64_t *tat,
    unsigned n);
static void test_burst(void);
static void test_steady(void);
static void test_refund(void);
static void test_clock(void);
static void test_extremes(void);
static void test_rate(void);


/* how many of n calls at once pass */

static unsigned
take_n(const aiq_limit_t *l, uint64_t now, uint64_t *tat, unsigned n)
{
    uint64_t  retry;
    unsigned  passed;

    passed = 0;

    while (n--) {
        if (aiq_limit_take(l, now, tat, &retry) == AIQ_OK) {
            passed++;
        }
    }

    return passed;
}


static void
test_burst(void)
{
    uint64_t     tat, retry, before;
    aiq_limit_t  l = { 10, 1000, 4 };
    aiq_limit_t  none = { 10, 1000, 0 };

    tat = 0;
    ok(take_n(&l, 5000, &tat, 100) == 5, "burst 4: five calls at once");
    ok(tat == 5500000, "the arrival time is that of five calls");

    before = tat;
    retry = 0;
    ok(aiq_limit_take(&l, 5000, &tat, &retry) == AIQ_D_RATE_LIMITED,
       "the sixth is refused");
    ok(retry == 100 && tat == before, "retry in 100 ms, state unchanged");

    ok(aiq_limit_take(&l, 5099, &tat, &retry) == AIQ_D_RATE_LIMITED
       && retry == 1, "one millisecond early");
    ok(aiq_limit_take(&l, 5100, &tat, &retry) == AIQ_OK && retry == 0,
       "at that time it passes");

    tat = 0;
    ok(take_n(&none, 5000, &tat, 100) == 1, "burst 0: one call");
    ok(take_n(&none, 5100, &tat, 100) == 1, "and one 100 ms later");
}


static void
test_steady(void)
{
    uint64_t     tat, now, retry;
    unsigned     i, refused;
    aiq_limit_t  l = { 3, 1000, 0 };

    tat = 0;
    refused = 0;

    for (i = 0, now = 1000; i < 10000; i++, now += 334) {
        refused += (aiq_limit_take(&l, now, &tat, &retry) != AIQ_OK);
    }

    ok(refused == 0, "calls at the even flow all pass");

    tat = 0;
    refused = 0;

    for (i = 0, now = 1000; i < 30000; i++, now += 100) {
        refused += (aiq_limit_take(&l, now, &tat, &retry) != AIQ_OK);
    }

    ok(30000 - refused <= 9001 && 30000 - refused >= 7000,
       "at ten times the flow no more than the flow passes: %u",
       30000 - refused);

    /* exactly as told to retry */

    tat = 0;
    refused = 0;

    for (i = 0, now = 1000; i < 1000; i++) {

        if (aiq_limit_take(&l, now, &tat, &retry) != AIQ_OK) {
            refused++;
            now += retry;
            i--;
        }
    }

    ok(refused == 999 && now <= 1000 + 999 * 334, "retry is exact: %u",
       refused);
}


static void
test_refund(void)
{
    uint64_t     tat, before;
    aiq_limit_t  l = { 10, 1000, 4 };

    tat = 0;
    (void) take_n(&l, 5000, &tat, 3);
    before = tat;
    (void) take_n(&l, 5000, &tat, 1);
    aiq_limit_refund(&l, 5000, &tat);
    ok(tat == before, "a refund undoes a call");

    ok(take_n(&l, 5000, &tat, 9) == 2, "and the burst has room for it");

    tat = 0;
    (void) take_n(&l, 5000, &tat, 1);
    aiq_limit_refund(&l, 5000, &tat);
    ok(aiq_limit_idle(5000, tat), "the only call given back: idle");

    aiq_limit_refund(&l, 5000, &tat);
    aiq_limit_refund(&l, 5000, &tat);
    ok(take_n(&l, 5000, &tat, 99) == 5,
       "more refunds than calls gain nothing");

    tat = 50;
    aiq_limit_refund(&l, 0, &tat);
    ok(tat == 0, "never below zero");
}


static void
test_clock(void)
{
    uint64_t     tat, retry;
    aiq_limit_t  l = { 10, 1000, 1 };
    aiq_limit_t  narrow = { 1, 3600000, 1000 };

    tat = 0;
    ok(take_n(&l, 0, &tat, 5) == 2, "a clock that starts at 0");
    ok(take_n(&l, 0, &tat, 5) == 0, "and stands still");
    ok(!aiq_limit_idle(199, tat) && aiq_limit_idle(200, tat),
       "idle once the flow has caught up");

    ok(take_n(&l, 1000000000000ULL, &tat, 9) == 2,
       "a huge idle time gives one burst, not more");

    /* the clock goes back, or the limit was another one */

    ok(aiq_limit_take(&l, 1000, &tat, &retry) == AIQ_D_RATE_LIMITED
       && retry == 100, "a clock that went back locks for one interval");
    ok(take_n(&l, 1100, &tat, 9) == 1, "then calls flow again");

    tat = 0;
    (void) take_n(&narrow, 1000, &tat, 1001);
    ok(aiq_limit_take(&l, 1000, &tat, &retry) == AIQ_D_RATE_LIMITED
       && retry <= 100, "a bucket of a narrower limit does not lock");
}


static void
test_extremes(void)
{
    uint64_t     tat, retry;
    aiq_limit_t  none = { 0, 1000, 5 };
    aiq_limit_t  zero = { 1, 0, 0 };
    aiq_limit_t  many = { UINT64_MAX, 1, 0 };
    aiq_limit_t  slow = { 1, UINT64_MAX, UINT64_MAX };
    aiq_limit_t  hour = { 1000000000, 3600000, 0 };

    tat = 0;
    ok(aiq_limit_take(&none, 1, &tat, &retry) == AIQ_D_RATE_LIMITED
       && retry == 1000 && tat == 0, "no calls at all");
    aiq_limit_refund(&none, 1, &tat);
    none.period = 0;
    ok(aiq_limit_take(&none, 1, &tat, &retry) == AIQ_D_RATE_LIMITED
       && retry == 1, "no calls, no period");

    tat = 0;
    ok(take_n(&zero, 1, &tat, 2) == 1, "a period of 0 is a microsecond");
    tat = 0;
    ok(take_n(&many, 1, &tat, 2) == 1, "2^64 - 1 calls a millisecond");
    tat = 0;
    ok(take_n(&hour, 1, &tat, 3) == 1 && tat == 1004,
       "the interval is rounded up");

    tat = 0;
    retry = 0;
    (void) take_n(&slow, 1, &tat, 3);
    ok(tat == UINT64_MAX, "one call in 2^64 - 1 ms: saturated");
    ok(!aiq_limit_idle(1, tat), "and not idle");
    aiq_limit_refund(&slow, 1, &tat);

    slow.burst = 0;
    tat = 0;
    ok(take_n(&slow, 1, &tat, 3) == 1, "without burst: one");
    ok(aiq_limit_take(&slow, 1, &tat, &retry) == AIQ_D_RATE_LIMITED && retry,
       "retry is far away");

    tat = 0;
    ok(take_n(&zero, UINT64_MAX, &tat, 1) == 1, "the last time there is");
    tat = UINT64_MAX;
    ok(take_n(&zero, UINT64_MAX - 1, &tat, 1) <= 1, "no overflow there");
}


/* property: in any window of w intervals at most w + burst + 1 calls */

static void
test_rate(void)
{
    uint64_t     tat, now, retry, seed, first;
    unsigned     n, i, bad;
    aiq_limit_t  l = { 20, 1000, 7 };

    tat = 0;
    now = 1000000;
    seed = 1;
    bad = 0;
    n = 0;
    first = now;

    for (i = 0; i < 200000; i++) {

        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        now += (seed >> 33) % 40;

        if (aiq_limit_take(&l, now, &tat, &retry) == AIQ_OK) {
            n++;

        } else if (retry == 0 || retry > 50) {
            bad++;
        }

        if (n > (now - first) / 50 + 8) {
            bad++;
        }
    }

    ok(bad == 0, "%u of %u random calls, never above the flow", n, i);
}


int
main(void)
{
    test_burst();
    test_steady();
    test_refund();
    test_clock();
    test_extremes();
    test_rate();

    return done_testing();
}
