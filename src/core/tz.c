
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Offsets from TZif files (RFC 8536, versions 1 to 4) and from the POSIX TZ
 * string in their footer, which speaks for the time behind the last
 * transition.  Files that count leap seconds are refused: Unix time does not.
 */


#include <string.h>

#include "policy.h"


#define AIQ_TZ_HEADER     44
#define AIQ_TZ_DAY        86400
#define AIQ_TZ_OFF_MIN    (-(24 * 3600 + 3599))
#define AIQ_TZ_OFF_MAX    (25 * 3600 + 3599)


typedef struct {
    const unsigned char  *pos;        /* the data of the block */
    size_t                size;       /* of the data */
    size_t                width;      /* bytes of a time: 4 or 8 */
    uint32_t              times;
    uint32_t              types;
    uint32_t              chars;
    uint32_t              leaps;
} aiq_tz_block_t;

typedef struct {
    int                   form;       /* 'J', 'N' (zero-based), 'M' */
    int                   month;
    int                   week;
    int                   day;
    int32_t               time;       /* seconds from midnight */
} aiq_tz_rule_t;

typedef struct {
    int32_t               std;        /* seconds east of UTC */
    int32_t               dst;
    unsigned              has_dst:1;
    aiq_tz_rule_t         start;
    aiq_tz_rule_t         end;
} aiq_tz_posix_t;

typedef struct {
    const unsigned char  *pos;
    const unsigned char  *last;
} aiq_tz_cursor_t;


static uint32_t aiq_tz_u32(const unsigned char *p);
static int64_t aiq_tz_time(const unsigned char *p, size_t width);
static aiq_rc_t aiq_tz_block(aiq_tz_block_t *b, aiq_str_t tzif, size_t width);
static aiq_rc_t aiq_tz_lookup(const aiq_tz_block_t *b, int64_t t,
    int32_t *offset, int *behind);
static aiq_rc_t aiq_tz_footer(aiq_str_t text, int64_t t, int32_t *offset);
static aiq_rc_t aiq_tz_posix(aiq_tz_posix_t *z, aiq_str_t text);
static aiq_rc_t aiq_tz_name(aiq_tz_cursor_t *c);
static aiq_rc_t aiq_tz_number(aiq_tz_cursor_t *c, int max, int *v);
static aiq_rc_t aiq_tz_hms(aiq_tz_cursor_t *c, int max, int32_t *v);
static aiq_rc_t aiq_tz_char(aiq_tz_cursor_t *c, int ch);
static aiq_rc_t aiq_tz_rule(aiq_tz_cursor_t *c, aiq_tz_rule_t *r);
static int64_t aiq_tz_days(int64_t year, int month, int day);
static int64_t aiq_tz_year(int64_t t);
static int aiq_tz_leap(int64_t year);
static int64_t aiq_tz_rule_time(const aiq_tz_rule_t *r, int64_t year);


static uint32_t
aiq_tz_u32(const unsigned char *p)
{
    return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16
           | (uint32_t) p[2] << 8 | p[3];
}


static int64_t
aiq_tz_time(const unsigned char *p, size_t width)
{
    if (width == 4) {
        return (int32_t) aiq_tz_u32(p);
    }

    return (int64_t) ((uint64_t) aiq_tz_u32(p) << 32 | aiq_tz_u32(p + 4));
}


aiq_rc_t
aiq_tz_offset(aiq_str_t tzif, int64_t t, int32_t *offset)
{
    int             behind;
    size_t          used;
    aiq_rc_t        rc;
    aiq_str_t       footer;
    aiq_tz_block_t  b;

    if (t < -AIQ_TIME_MAX || t > AIQ_TIME_MAX) {
        return AIQ_DECLINED;
    }

    rc = aiq_tz_block(&b, tzif, 4);
    if (rc != AIQ_OK) {
        return rc;
    }

    aiq_str_null(&footer);

    if (tzif.data[4] != '\0') {

        /* the same again in 64 bits, and the footer behind it */

        used = AIQ_TZ_HEADER + b.size;
        tzif.data += used;
        tzif.len -= used;

        rc = aiq_tz_block(&b, tzif, 8);
        if (rc != AIQ_OK) {
            return rc;
        }

        used = AIQ_TZ_HEADER + b.size;
        footer.data = tzif.data + used;
        footer.len = tzif.len - used;

        if (footer.len < 2 || footer.data[0] != '\n'
            || footer.data[footer.len - 1] != '\n')
        {
            return AIQ_DECLINED;
        }

        footer.data++;
        footer.len -= 2;
    }

    rc = aiq_tz_lookup(&b, t, offset, &behind);

    if (rc != AIQ_OK || !behind || footer.len == 0) {
        return rc;
    }

    return aiq_tz_footer(footer, t, offset);
}


/* reads a header and checks that its data is there */

static aiq_rc_t
aiq_tz_block(aiq_tz_block_t *b, aiq_str_t tzif, size_t width)
{
    uint32_t              isut, isstd;
    uint64_t              size;
    const unsigned char  *p;

    p = tzif.data;

    if (tzif.len < AIQ_TZ_HEADER || memcmp(p, "TZif", 4) != 0
        || (p[4] != '\0' && (p[4] < '2' || p[4] > '4')))
    {
        return AIQ_DECLINED;
    }

    isut = aiq_tz_u32(p + 20);
    isstd = aiq_tz_u32(p + 24);

    b->leaps = aiq_tz_u32(p + 28);
    b->times = aiq_tz_u32(p + 32);
    b->types = aiq_tz_u32(p + 36);
    b->chars = aiq_tz_u32(p + 40);
    b->width = width;

    /* six numbers of 32 bits times 12 at most: 64 bits are enough */

    size = (uint64_t) b->times * (width + 1) + (uint64_t) b->types * 6
           + b->chars + (uint64_t) b->leaps * (width + 4) + isstd + isut;

    if (size > tzif.len - AIQ_TZ_HEADER) {
        return AIQ_DECLINED;
    }

    b->pos = p + AIQ_TZ_HEADER;
    b->size = (size_t) size;

    return AIQ_OK;
}


static aiq_rc_t
aiq_tz_lookup(const aiq_tz_block_t *b, int64_t t, int32_t *offset, int *behind)
{
    int64_t               at, prev;
    uint32_t              i, type;
    const unsigned char  *index, *info;

    /* type indices are one byte, designations are not needed */

    if (b->types == 0 || b->types > 256 || b->leaps != 0) {
        return AIQ_DECLINED;
    }

    index = b->pos + b->times * b->width;
    info = index + b->times;

    type = 0;
    prev = INT64_MIN;
    *behind = 1;

    for (i = 0; i < b->times; i++) {

        at = aiq_tz_time(b->pos + i * b->width, b->width);

        if ((i && at <= prev) || index[i] >= b->types) {
            return AIQ_DECLINED;
        }

        prev = at;

        if (at <= t) {
            type = index[i];

        } else {
            *behind = 0;
        }
    }

    *offset = (int32_t) aiq_tz_u32(info + type * 6);

    if (*offset < AIQ_TZ_OFF_MIN || *offset > AIQ_TZ_OFF_MAX) {
        return AIQ_DECLINED;
    }

    return AIQ_OK;
}


/*
 * The latest change of the years around t that is not later than t decides.
 * Changes are looked at in the order of the calendar, so that of two at the
 * same second (summer time all year round) the later rule wins.
 */

static aiq_rc_t
aiq_tz_footer(aiq_str_t text, int64_t t, int32_t *offset)
{
    int             i, k;
    int64_t         year, at, best;
    aiq_rc_t        rc;
    aiq_tz_posix_t  z;

    rc = aiq_tz_posix(&z, text);
    if (rc != AIQ_OK) {
        return rc;
    }

    *offset = z.std;

    if (!z.has_dst) {
        return AIQ_OK;
    }

    best = INT64_MIN;
    year = aiq_tz_year(t);

    for (i = -2; i <= 1; i++) {

        for (k = 0; k < 2; k++) {

            if (k == 0) {
                at = aiq_tz_rule_time(&z.start, year + i) - z.std;

            } else {
                at = aiq_tz_rule_time(&z.end, year + i) - z.dst;
            }

            if (at <= t && at >= best) {
                best = at;
                *offset = (k == 0) ? z.dst : z.std;
            }
        }
    }

    return AIQ_OK;
}


/* std offset [dst [offset] , start [/time] , end [/time]] */

static aiq_rc_t
aiq_tz_posix(aiq_tz_posix_t *z, aiq_str_t text)
{
    int32_t          west;
    aiq_tz_cursor_t  c;

    c.pos = text.data;
    c.last = text.data + text.len;

    z->has_dst = 0;

    if (aiq_tz_name(&c) != AIQ_OK || aiq_tz_hms(&c, 24, &west) != AIQ_OK) {
        return AIQ_DECLINED;
    }

    z->std = -west;

    if (c.pos == c.last) {
        return AIQ_OK;
    }

    if (aiq_tz_name(&c) != AIQ_OK) {
        return AIQ_DECLINED;
    }

    z->has_dst = 1;
    z->dst = z->std + 3600;

    if (c.pos < c.last && *c.pos != ',') {

        if (aiq_tz_hms(&c, 24, &west) != AIQ_OK) {
            return AIQ_DECLINED;
        }

        z->dst = -west;
    }

    if (aiq_tz_char(&c, ',') != AIQ_OK
        || aiq_tz_rule(&c, &z->start) != AIQ_OK
        || aiq_tz_char(&c, ',') != AIQ_OK
        || aiq_tz_rule(&c, &z->end) != AIQ_OK
        || c.pos != c.last)
    {
        return AIQ_DECLINED;
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_tz_name(aiq_tz_cursor_t *c)
{
    int     ch, quoted;
    size_t  n;

    quoted = (aiq_tz_char(c, '<') == AIQ_OK);

    for (n = 0; c->pos < c->last; n++, c->pos++) {

        ch = *c->pos;

        if ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'z') {
            continue;
        }

        if (quoted && ((ch >= '0' && ch <= '9') || ch == '+' || ch == '-')) {
            continue;
        }

        break;
    }

    if (n < 3 || (quoted && aiq_tz_char(c, '>') != AIQ_OK)) {
        return AIQ_DECLINED;
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_tz_number(aiq_tz_cursor_t *c, int max, int *v)
{
    int     value;
    size_t  n;

    value = 0;

    for (n = 0; c->pos < c->last && *c->pos >= '0' && *c->pos <= '9'; n++) {

        value = value * 10 + (*c->pos++ - '0');

        if (value > max) {
            return AIQ_DECLINED;
        }
    }

    *v = value;

    return n ? AIQ_OK : AIQ_DECLINED;
}


/* [+-]hh[:mm[:ss]] in seconds */

static aiq_rc_t
aiq_tz_hms(aiq_tz_cursor_t *c, int max, int32_t *v)
{
    int  h, m, s, negative;

    m = 0;
    s = 0;

    negative = (aiq_tz_char(c, '-') == AIQ_OK);

    if (!negative) {
        (void) aiq_tz_char(c, '+');
    }

    if (aiq_tz_number(c, max, &h) != AIQ_OK) {
        return AIQ_DECLINED;
    }

    if (aiq_tz_char(c, ':') == AIQ_OK) {

        if (aiq_tz_number(c, 59, &m) != AIQ_OK) {
            return AIQ_DECLINED;
        }

        if (aiq_tz_char(c, ':') == AIQ_OK
            && aiq_tz_number(c, 59, &s) != AIQ_OK)
        {
            return AIQ_DECLINED;
        }
    }

    *v = h * 3600 + m * 60 + s;

    if (negative) {
        *v = -*v;
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_tz_char(aiq_tz_cursor_t *c, int ch)
{
    if (c->pos == c->last || *c->pos != ch) {
        return AIQ_DECLINED;
    }

    c->pos++;

    return AIQ_OK;
}


/* Jn, n or Mm.w.d, then /time; 02:00:00 if there is none */

static aiq_rc_t
aiq_tz_rule(aiq_tz_cursor_t *c, aiq_tz_rule_t *r)
{
    aiq_rc_t  rc;

    r->form = 'N';
    r->month = 0;
    r->week = 0;
    r->time = 2 * 3600;

    if (aiq_tz_char(c, 'J') == AIQ_OK) {
        r->form = 'J';
        rc = aiq_tz_number(c, 365, &r->day);

        if (rc == AIQ_OK && r->day == 0) {
            return AIQ_DECLINED;
        }

    } else if (aiq_tz_char(c, 'M') == AIQ_OK) {
        r->form = 'M';

        if (aiq_tz_number(c, 12, &r->month) != AIQ_OK || r->month == 0
            || aiq_tz_char(c, '.') != AIQ_OK
            || aiq_tz_number(c, 5, &r->week) != AIQ_OK || r->week == 0
            || aiq_tz_char(c, '.') != AIQ_OK)
        {
            return AIQ_DECLINED;
        }

        rc = aiq_tz_number(c, 6, &r->day);

    } else {
        rc = aiq_tz_number(c, 365, &r->day);
    }

    if (rc != AIQ_OK) {
        return AIQ_DECLINED;
    }

    if (aiq_tz_char(c, '/') == AIQ_OK) {
        return aiq_tz_hms(c, 167, &r->time);
    }

    return AIQ_OK;
}


/* days from 1970-01-01 in the proleptic Gregorian calendar */

static int64_t
aiq_tz_days(int64_t year, int month, int day)
{
    int64_t  era, y, doy;

    /* the year begins in March, so that the leap day is its last */

    y = (month <= 2) ? year - 1 : year;
    era = ((y >= 0) ? y : y - 399) / 400;
    y -= era * 400;

    doy = (153 * (month + ((month > 2) ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + y * 365 + y / 4 - y / 100 + doy - 719468;
}


static int64_t
aiq_tz_year(int64_t t)
{
    int64_t  days, year;

    days = t / AIQ_TZ_DAY - (t % AIQ_TZ_DAY < 0);

    /* at most one off, which the comparison puts right */

    year = 1970 + (days * 400) / 146097;

    while (aiq_tz_days(year, 1, 1) > days) {
        year--;
    }

    while (aiq_tz_days(year + 1, 1, 1) <= days) {
        year++;
    }

    return year;
}


static int
aiq_tz_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}


/* the rule in a year, as if the wall clock were UTC */

static int64_t
aiq_tz_rule_time(const aiq_tz_rule_t *r, int64_t year)
{
    int      weekday;
    int64_t  day, next;

    if (r->form == 'M') {

        day = aiq_tz_days(year, r->month, 1);
        next = (r->month == 12) ? aiq_tz_days(year + 1, 1, 1)
                                : aiq_tz_days(year, r->month + 1, 1);

        /* 1970-01-01 was a Thursday */

        weekday = (int) (((day + 4) % 7 + 7) % 7);

        day += (r->day - weekday + 7) % 7 + (r->week - 1) * 7;

        if (day >= next) {
            day -= 7;
        }

    } else {
        day = aiq_tz_days(year, 1, 1) + r->day;

        if (r->form == 'J' && (r->day < 60 || !aiq_tz_leap(year))) {
            /* 1 is the first day, and 29 February is never counted */

            day--;
        }
    }

    return day * AIQ_TZ_DAY + r->time;
}
