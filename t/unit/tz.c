
/*
 * Copyright (C) ngx_armoriq authors
 */


#include "policy.h"
#include "tap.h"


#define ZONEINFO  "/usr/share/zoneinfo"


typedef struct {
    const char  *zone;
    int64_t      t;
    int32_t      offset;
} known_t;

typedef struct {
    const char  *tz;
    int64_t      t;
    int32_t      offset;
} footer_t;


static size_t put32(unsigned char *p, uint32_t v);
static size_t put64(unsigned char *p, int64_t v);
static aiq_str_t tzif_footer(unsigned char *buf, const char *tz);
static void test_known(void);
static void test_footers(void);
static void test_bad_footers(void);
static void test_blocks(void);
static void test_truncated(void);
static void test_flipped(void);


/* both sides of each change of 2026, 2045 and 2400, and times between */

static const known_t  known[] = {
    { "America/New_York", 0LL, -18000 },
    { "America/New_York", 1705320000LL, -18000 },
    { "America/New_York", 1719835200LL, -14400 },
    { "America/New_York", 1772953199LL, -18000 },
    { "America/New_York", 1772953200LL, -14400 },
    { "America/New_York", 1793512799LL, -14400 },
    { "America/New_York", 1793512800LL, -18000 },
    { "America/New_York", 1798761599LL, -18000 },
    { "America/New_York", 2372914799LL, -18000 },
    { "America/New_York", 2372914800LL, -14400 },
    { "America/New_York", 2393474399LL, -14400 },
    { "America/New_York", 2393474400LL, -18000 },
    { "America/New_York", 2398377599LL, -18000 },
    { "America/New_York", 13575625199LL, -18000 },
    { "America/New_York", 13575625200LL, -14400 },
    { "America/New_York", 13596184799LL, -14400 },
    { "America/New_York", 13596184800LL, -18000 },
    { "America/New_York", 13601087999LL, -18000 },
    { "America/New_York", 253402128000LL, -18000 },
    { "Europe/Berlin", 0LL, 3600 },
    { "Europe/Berlin", 1705320000LL, 3600 },
    { "Europe/Berlin", 1719835200LL, 7200 },
    { "Europe/Berlin", 1774745999LL, 3600 },
    { "Europe/Berlin", 1774746000LL, 7200 },
    { "Europe/Berlin", 1792889999LL, 7200 },
    { "Europe/Berlin", 1792890000LL, 3600 },
    { "Europe/Berlin", 1798761599LL, 3600 },
    { "Europe/Berlin", 2374102799LL, 3600 },
    { "Europe/Berlin", 2374102800LL, 7200 },
    { "Europe/Berlin", 2392851599LL, 7200 },
    { "Europe/Berlin", 2392851600LL, 3600 },
    { "Europe/Berlin", 2398377599LL, 3600 },
    { "Europe/Berlin", 13576813199LL, 3600 },
    { "Europe/Berlin", 13576813200LL, 7200 },
    { "Europe/Berlin", 13595561999LL, 7200 },
    { "Europe/Berlin", 13595562000LL, 3600 },
    { "Europe/Berlin", 13601087999LL, 3600 },
    { "Europe/Berlin", 253402128000LL, 3600 },
    { "Australia/Sydney", 0LL, 36000 },
    { "Australia/Sydney", 1705320000LL, 39600 },
    { "Australia/Sydney", 1719835200LL, 36000 },
    { "Australia/Sydney", 1775318399LL, 39600 },
    { "Australia/Sydney", 1775318400LL, 36000 },
    { "Australia/Sydney", 1791043199LL, 36000 },
    { "Australia/Sydney", 1791043200LL, 39600 },
    { "Australia/Sydney", 1798761599LL, 39600 },
    { "Australia/Sydney", 2374675199LL, 39600 },
    { "Australia/Sydney", 2374675200LL, 36000 },
    { "Australia/Sydney", 2390399999LL, 36000 },
    { "Australia/Sydney", 2390400000LL, 39600 },
    { "Australia/Sydney", 2398377599LL, 39600 },
    { "Australia/Sydney", 13577385599LL, 39600 },
    { "Australia/Sydney", 13577385600LL, 36000 },
    { "Australia/Sydney", 13593110399LL, 36000 },
    { "Australia/Sydney", 13593110400LL, 39600 },
    { "Australia/Sydney", 13601087999LL, 39600 },
    { "Australia/Sydney", 253402128000LL, 39600 },
    { "Asia/Kolkata", 0LL, 19800 },
    { "Asia/Kolkata", 1705320000LL, 19800 },
    { "Asia/Kolkata", 1719835200LL, 19800 },
    { "Asia/Kolkata", 1798761599LL, 19800 },
    { "Asia/Kolkata", 2398377599LL, 19800 },
    { "Asia/Kolkata", 13601087999LL, 19800 },
    { "Asia/Kolkata", 253402128000LL, 19800 },
    { "UTC", 0LL, 0 },
    { "UTC", 1705320000LL, 0 },
    { "UTC", 1719835200LL, 0 },
    { "UTC", 1798761599LL, 0 },
    { "UTC", 2398377599LL, 0 },
    { "UTC", 13601087999LL, 0 },
    { "UTC", 253402128000LL, 0 },
    { "Europe/Dublin", 0LL, 3600 },
    { "Europe/Dublin", 1705320000LL, 0 },
    { "Europe/Dublin", 1719835200LL, 3600 },
    { "Europe/Dublin", 1774745999LL, 0 },
    { "Europe/Dublin", 1774746000LL, 3600 },
    { "Europe/Dublin", 1792889999LL, 3600 },
    { "Europe/Dublin", 1792890000LL, 0 },
    { "Europe/Dublin", 1798761599LL, 0 },
    { "Europe/Dublin", 2374102799LL, 0 },
    { "Europe/Dublin", 2374102800LL, 3600 },
    { "Europe/Dublin", 2392851599LL, 3600 },
    { "Europe/Dublin", 2392851600LL, 0 },
    { "Europe/Dublin", 2398377599LL, 0 },
    { "Europe/Dublin", 13576813199LL, 0 },
    { "Europe/Dublin", 13576813200LL, 3600 },
    { "Europe/Dublin", 13595561999LL, 3600 },
    { "Europe/Dublin", 13595562000LL, 0 },
    { "Europe/Dublin", 13601087999LL, 0 },
    { "Europe/Dublin", 253402128000LL, 0 },
    { "America/St_Johns", 0LL, -12600 },
    { "America/St_Johns", 1705320000LL, -12600 },
    { "America/St_Johns", 1719835200LL, -9000 },
    { "America/St_Johns", 1772947799LL, -12600 },
    { "America/St_Johns", 1772947800LL, -9000 },
    { "America/St_Johns", 1793507399LL, -9000 },
    { "America/St_Johns", 1793507400LL, -12600 },
    { "America/St_Johns", 1798761599LL, -12600 },
    { "America/St_Johns", 2372909399LL, -12600 },
    { "America/St_Johns", 2372909400LL, -9000 },
    { "America/St_Johns", 2393468999LL, -9000 },
    { "America/St_Johns", 2393469000LL, -12600 },
    { "America/St_Johns", 2398377599LL, -12600 },
    { "America/St_Johns", 13575619799LL, -12600 },
    { "America/St_Johns", 13575619800LL, -9000 },
    { "America/St_Johns", 13596179399LL, -9000 },
    { "America/St_Johns", 13596179400LL, -12600 },
    { "America/St_Johns", 13601087999LL, -12600 },
    { "America/St_Johns", 253402128000LL, -12600 },
    { "Africa/Casablanca", 0LL, 0 },
    { "Africa/Casablanca", 1705320000LL, 3600 },
    { "Africa/Casablanca", 1719835200LL, 3600 },
};


static size_t
put32(unsigned char *p, uint32_t v)
{
    p[0] = (unsigned char) (v >> 24);
    p[1] = (unsigned char) (v >> 16);
    p[2] = (unsigned char) (v >> 8);
    p[3] = (unsigned char) v;

    return 4;
}


static size_t
put64(unsigned char *p, int64_t v)
{
    put32(p, (uint32_t) ((uint64_t) v >> 32));
    put32(p + 4, (uint32_t) v);

    return 8;
}


/* a version 2 file without transitions: the footer says everything */

static aiq_str_t
tzif_footer(unsigned char *buf, const char *tz)
{
    int             i;
    aiq_str_t       s;
    unsigned char  *p;

    p = buf;

    for (i = 0; i < 2; i++) {
        memset(p, 0, 44 + 6 + 4);
        memcpy(p, "TZif2", 5);
        put32(p + 36, 1);
        put32(p + 40, 4);
        memcpy(p + 44 + 6, "LMT", 3);
        p += 44 + 6 + 4;
    }

    p += sprintf((char *) p, "\n%s\n", tz);

    s.data = buf;
    s.len = (size_t) (p - buf);

    return s;
}


static void
test_known(void)
{
    char         path[256];
    char        *text;
    size_t       len;
    int32_t      offset;
    unsigned     i;
    aiq_rc_t     rc;
    aiq_str_t    tzif;
    const char  *zone;

    zone = "";
    text = NULL;

    for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {

        if (strcmp(zone, known[i].zone) != 0) {
            zone = known[i].zone;
            free(text);
            snprintf(path, sizeof(path), "%s/%s", ZONEINFO, zone);
            text = slurp(path, &len);
        }

        if (text == NULL) {
            skip(zone, "not installed");
            continue;
        }

        tzif.data = (unsigned char *) text;
        tzif.len = len;
        offset = 1;

        rc = aiq_tz_offset(tzif, known[i].t, &offset);

        if (!ok(rc == AIQ_OK && offset == known[i].offset, "%s at %lld",
                zone, (long long) known[i].t))
        {
            diag("rc %d, offset %d, not %d", rc, offset, known[i].offset);
        }
    }

    free(text);
}


static void
test_footers(void)
{
    int32_t        offset;
    unsigned       i;
    aiq_rc_t       rc;
    aiq_str_t      tzif;
    unsigned char  buf[1024];

    static const footer_t  footers[] = {

        /* 2026-01-15, 2026-07-15 12:00 */

        { "UTC0", 1768478400, 0 },
        { "<+0545>-5:45", 1768478400, 20700 },
        { "<-0330>+3:30:15", 1768478400, -12615 },
        { "EST5EDT,M3.2.0,M11.1.0", 1768478400, -18000 },
        { "EST5EDT,M3.2.0,M11.1.0", 1784116800, -14400 },
        { "NST3:30NDT2:30,M3.2.0,M11.1.0", 1784116800, -9000 },

        /* southern: summer time runs over the new year */

        { "AEST-10AEDT,M10.1.0,M4.1.0/3", 1768478400, 39600 },
        { "AEST-10AEDT,M10.1.0,M4.1.0/3", 1784116800, 36000 },

        /* winter time as the exception */

        { "IST-1GMT0,M10.5.0,M3.5.0/1", 1768478400, 0 },
        { "IST-1GMT0,M10.5.0,M3.5.0/1", 1784116800, 3600 },

        /* summer time all the year, over the new year too */

        { "XXX3EDT4,0/0,J365/23", 1768478400, -14400 },
        { "EST5EDT,0/0,J365/25", 1767243599, -14400 },
        { "EST5EDT,0/0,J365/25", 1767243600, -14400 },
        { "EST5EDT,0/0,J365/25", 1784116800, -14400 },

        /* hours before midnight and behind the day (version 3) */

        { "<-02>2<-01>,M3.5.0/-1,M10.5.0/0", 1774745999, -7200 },
        { "<-02>2<-01>,M3.5.0/-1,M10.5.0/0", 1774746000, -3600 },
        { "IST-2IDT,M3.4.4/26,M10.5.0", 1774569599, 7200 },
        { "IST-2IDT,M3.4.4/26,M10.5.0", 1774569600, 10800 },

        /* J60 is 1 March in every year; 60, counted from 0, is that in a
           leap year and 2 March else */

        { "AAA0BBB,J60/0,J300", 1772323199, 0 },
        { "AAA0BBB,J60/0,J300", 1772323200, 3600 },
        { "AAA0BBB,J60/0,J300", 1709251199, 0 },
        { "AAA0BBB,J60/0,J300", 1709251200, 3600 },
        { "AAA0BBB,J59/0,J300", 1709078399, 0 },
        { "AAA0BBB,J59/0,J300", 1709078400, 3600 },
        { "AAA0BBB,60/0,300", 1772409599, 0 },
        { "AAA0BBB,60/0,300", 1772409600, 3600 },
        { "AAA0BBB,60/0,300", 1709251199, 0 },
        { "AAA0BBB,60/0,300", 1709251200, 3600 },

        /* before 1970 and at the end of what we accept */

        { "EST5EDT,M3.2.0,M11.1.0", -1, -18000 },
        { "EST5EDT,M3.2.0,M11.1.0", -AIQ_TIME_MAX, -18000 },
        { "EST5EDT,M3.2.0,M11.1.0", AIQ_TIME_MAX, -18000 },
    };

    for (i = 0; i < sizeof(footers) / sizeof(footers[0]); i++) {

        tzif = tzif_footer(buf, footers[i].tz);
        offset = 1;

        rc = aiq_tz_offset(tzif, footers[i].t, &offset);

        if (!ok(rc == AIQ_OK && offset == footers[i].offset, "%s at %lld",
                footers[i].tz, (long long) footers[i].t))
        {
            diag("rc %d, offset %d, not %d", rc, offset, footers[i].offset);
        }
    }

    tzif = tzif_footer(buf, "UTC0");
    ok(aiq_tz_offset(tzif, AIQ_TIME_MAX + 1, &offset) == AIQ_DECLINED
       && aiq_tz_offset(tzif, -AIQ_TIME_MAX - 1, &offset) == AIQ_DECLINED
       && aiq_tz_offset(tzif, INT64_MAX, &offset) == AIQ_DECLINED
       && aiq_tz_offset(tzif, INT64_MIN, &offset) == AIQ_DECLINED,
       "times beyond the limits");
}


static void
test_bad_footers(void)
{
    int32_t        offset;
    unsigned       i;
    unsigned char  buf[1024];

    static const char  *bad[] = {
        "E5", "EST", "EST25", "EST5:60", "EST5:0:60", "EST5:", "EST+", "5",
        "<EST5", "<ES>5", "EST5EDT", "EST5EDT,", "EST5EDT,M3.2.0",
        "EST5EDT,M3.2.0,", "EST5EDT,M3.2.0,M11.1.0,", "EST5EDT,M13.2.0,M1.1.0",
        "EST5EDT,M0.2.0,M1.1.0", "EST5EDT,M3.6.0,M1.1.0",
        "EST5EDT,M3.0.0,M1.1.0", "EST5EDT,M3.2.7,M1.1.0",
        "EST5EDT,M3.2,M1.1.0", "EST5EDT,J0,J300", "EST5EDT,J366,J300",
        "EST5EDT,366,300", "EST5EDT,M3.2.0/168,M11.1.0",
        "EST5EDT,M3.2.0/,M11.1.0", "EST5EDT,M3.2.0,M11.1.0 ", " EST5",
        "EST99999999999999999999", "EST5EDT,J99999999999999999999,J1",
        "EST--5",
    };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ok(aiq_tz_offset(tzif_footer(buf, bad[i]), 1768478400, &offset)
           == AIQ_DECLINED, "refused: \"%s\"", bad[i]);
    }

    ok(aiq_tz_offset(tzif_footer(buf, ""), 0, &offset) == AIQ_OK
       && offset == 0, "an empty footer: the last type counts");
}


static void
test_blocks(void)
{
    int32_t         offset;
    aiq_str_t       s;
    unsigned char   buf[512];
    unsigned char  *p;

    /* version 1: two transitions, three types */

    memset(buf, 0, sizeof(buf));
    memcpy(buf, "TZif", 4);
    put32(buf + 32, 2);
    put32(buf + 36, 3);
    put32(buf + 40, 4);

    p = buf + 44;
    p += put32(p, 1000);
    p += put32(p, 2000);
    *p++ = 1;
    *p++ = 2;
    p += put32(p, (uint32_t) -3600) + 2;
    p += put32(p, 7200) + 2;
    p += put32(p, 10800) + 2;
    p += 4;

    s.data = buf;
    s.len = (size_t) (p - buf);

    ok(aiq_tz_offset(s, 999, &offset) == AIQ_OK && offset == -3600,
       "before the first transition: type 0");
    ok(aiq_tz_offset(s, 1000, &offset) == AIQ_OK && offset == 7200,
       "at a transition");
    ok(aiq_tz_offset(s, 1999, &offset) == AIQ_OK && offset == 7200, "between");
    ok(aiq_tz_offset(s, 2000, &offset) == AIQ_OK && offset == 10800, "last");

    buf[44 + 8] = 3;
    ok(aiq_tz_offset(s, 5000, &offset) == AIQ_DECLINED,
       "a type that does not exist, where nobody looks");
    buf[44 + 8] = 1;

    put32(buf + 44, 2000);
    ok(aiq_tz_offset(s, 5000, &offset) == AIQ_DECLINED,
       "transitions that do not ascend");
    put32(buf + 44, 1000);

    put32(buf + 28, 1);
    s.len += 8;
    ok(aiq_tz_offset(s, 0, &offset) == AIQ_DECLINED, "leap seconds");
    s.len -= 8;
    put32(buf + 28, 0);

    put32(buf + 32, UINT32_MAX);
    ok(aiq_tz_offset(s, 0, &offset) == AIQ_DECLINED, "2^32 - 1 transitions");
    put32(buf + 32, 2);

    put32(buf + 36, 0);
    ok(aiq_tz_offset(s, 0, &offset) == AIQ_DECLINED, "no types");
    put32(buf + 36, 3);

    put32(buf + 44 + 10, (uint32_t) INT32_MIN);
    ok(aiq_tz_offset(s, 0, &offset) == AIQ_DECLINED, "an absurd offset");
    put32(buf + 44 + 10, 0);

    buf[4] = '1';
    ok(aiq_tz_offset(s, 0, &offset) == AIQ_DECLINED, "an unknown version");
    buf[4] = '2';
    ok(aiq_tz_offset(s, 0, &offset) == AIQ_DECLINED,
       "version 2 without its second block");

    /* version 2: the 64-bit block counts, its footer only behind it */

    s = tzif_footer(buf, "AAA-2");
    put32(buf + 44, 3600);
    ok(aiq_tz_offset(s, 0, &offset) == AIQ_OK && offset == 7200,
       "the footer of a version 2 file");

    p = buf + 54 + 44;
    memset(buf + 54 + 32, 0, 12);
    put32(buf + 54 + 32, 1);
    put32(buf + 54 + 36, 1);
    put32(buf + 54 + 40, 4);
    p += put64(p, 5000000000LL);
    *p++ = 0;
    p += put32(p, 60);
    *p++ = 0;
    *p++ = 0;
    memcpy(p, "AAA", 4);
    p += 4;
    memcpy(p, "\nAAA-2\n", 7);
    p += 7;
    s.len = (size_t) (p - buf);

    ok(aiq_tz_offset(s, 4999999999LL, &offset) == AIQ_OK && offset == 60,
       "64-bit times");
    ok(aiq_tz_offset(s, 5000000000LL, &offset) == AIQ_OK && offset == 7200,
       "the footer from the last transition on");

    s.len--;
    ok(aiq_tz_offset(s, 0, &offset) == AIQ_DECLINED, "a footer that is cut");
    s.len = 0;
    ok(aiq_tz_offset(s, 0, &offset) == AIQ_DECLINED, "nothing");
}


/* from a copy of exactly that length, so that ASAN sees every byte */

static void
test_truncated(void)
{
    char           *text;
    size_t          len, n, accepted;
    int32_t         offset;
    aiq_str_t       s;
    unsigned char   buf[1024];
    unsigned char  *copy;

    text = slurp(ZONEINFO "/America/New_York", &len);

    if (text == NULL) {
        s = tzif_footer(buf, "EST5EDT,M3.2.0,M11.1.0");
        len = s.len;
        text = malloc(len);
        memcpy(text, buf, len);
    }

    accepted = 0;

    for (n = 0; n < len; n++) {

        copy = malloc(n ? n : 1);
        memcpy(copy, text, n);
        s.data = copy;
        s.len = n;

        if (aiq_tz_offset(s, 4000000000LL, &offset) != AIQ_DECLINED) {
            accepted++;
        }

        free(copy);
    }

    ok(accepted == 0, "cut at each of %zu bytes: refused", len);

    free(text);
}


static void
test_flipped(void)
{
    size_t          len, n;
    int32_t         offset;
    unsigned        bad, k;
    aiq_rc_t        rc;
    aiq_str_t       s;
    unsigned char   buf[1024];
    unsigned char  *copy;

    s = tzif_footer(buf, "EST5EDT4,M3.2.0/2,M11.1.0/-2:30:01");
    len = s.len;
    copy = malloc(len);
    bad = 0;

    for (n = 0; n < len; n++) {
        for (k = 0; k < 256; k++) {
            memcpy(copy, buf, len);
            copy[n] = (unsigned char) k;
            s.data = copy;
            s.len = len;

            rc = aiq_tz_offset(s, 4000000000LL, &offset);

            if (rc != AIQ_DECLINED
                && (rc != AIQ_OK || offset < -90000 || offset > 97200))
            {
                bad++;
            }
        }
    }

    ok(bad == 0, "every value of every byte: an answer or a refusal");

    free(copy);
}


int
main(void)
{
    test_known();
    test_footers();
    test_bad_footers();
    test_blocks();
    test_truncated();
    test_flipped();

    return done_testing();
}
