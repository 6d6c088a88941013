
/*
 * Copyright (C) ngx_armoriq authors
 *
 * ECMAScript Number::toString: the shortest decimal that reads back as the
 * same double, and of those the nearest to it.
 */


#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jcs.h"


/* no double needs more */

#define AIQ_JCS_DIGITS_MAX   17


typedef struct {
    char                  digit[AIQ_JCS_DIGITS_MAX + 1];
    int                   n;           /* digits, no zero at the end */
    int                   point;       /* the value is 0.DIGITS * 10 ^ point */
} aiq_jcs_decimal_t;


static void aiq_jcs_number_shortest(double v, aiq_jcs_decimal_t *d);
static int aiq_jcs_number_try(double v, int precision, aiq_jcs_decimal_t *d);
static int aiq_jcs_number_same(double v, const aiq_jcs_decimal_t *d);
static void aiq_jcs_number_up(aiq_jcs_decimal_t *d, int precision);
static char *aiq_jcs_number_format(const aiq_jcs_decimal_t *d, char *p);
static char *aiq_jcs_number_int(char *p, uint64_t v);


size_t
aiq_jcs_number(double v, char out[32])
{
    char               *p;
    aiq_jcs_decimal_t   d;

    if (!isfinite(v)) {
        return 0;
    }

    p = out;

    if (v < 0) {
        *p++ = '-';
        v = -v;
    }

    /* zero of either sign, and integers that have every neighbor */

    if (v < (double) AIQ_JSON_SAFE && v == floor(v)) {
        return (size_t) (aiq_jcs_number_int(p, (uint64_t) v) - out);
    }

    aiq_jcs_number_shortest(v, &d);

    return (size_t) (aiq_jcs_number_format(&d, p) - out);
}


static void
aiq_jcs_number_shortest(double v, aiq_jcs_decimal_t *d)
{
    int     e, precision;
    double  m;

    /*
     * 15 digits survive a normal double, so if they bring v back, no shorter
     * text but these digits without the zeros at their end does.  Subnormal
     * ones have fewer bits: there the shortest is searched for.
     */

    precision = (v < DBL_MIN) ? 1 : DBL_DIG;

    m = frexp(v, &e);

    for ( /* void */ ; precision < AIQ_JCS_DIGITS_MAX; precision++) {

        if (aiq_jcs_number_try(v, precision, d)) {
            return;
        }

        /*
         * Below a power of two doubles are twice as dense: the nearest
         * decimal may be below and already belong to another double, while
         * the one above still reads back as v.
         */

        if (m == 0.5) {
            aiq_jcs_number_up(d, precision);

            if (aiq_jcs_number_same(v, d)) {
                return;
            }
        }
    }

    (void) aiq_jcs_number_try(v, AIQ_JCS_DIGITS_MAX, d);
}


static int
aiq_jcs_number_try(double v, int precision, aiq_jcs_decimal_t *d)
{
    int    n;
    char   buf[64];
    char  *p;

    (void) snprintf(buf, sizeof(buf), "%.*e", precision - 1, v);

    n = 0;

    /* the locale of the process may have any decimal point: skip it */

    for (p = buf; *p != 'e' && *p != '\0'; p++) {
        if (*p >= '0' && *p <= '9' && n < precision) {
            d->digit[n++] = *p;
        }
    }

    d->point = (*p == 'e') ? atoi(p + 1) + 1 : 0;

    while (n > 1 && d->digit[n - 1] == '0') {
        n--;
    }

    d->n = n;

    return aiq_jcs_number_same(v, d);
}


static int
aiq_jcs_number_same(double v, const aiq_jcs_decimal_t *d)
{
    int   n;
    char  buf[48];

    memcpy(buf, d->digit, (size_t) d->n);

    n = snprintf(buf + d->n, sizeof(buf) - (size_t) d->n, "e%d",
                 d->point - d->n);

    return aiq_json_number((unsigned char *) buf, (size_t) (d->n + n)) == v;
}


/* the next decimal of as many digits */

static void
aiq_jcs_number_up(aiq_jcs_decimal_t *d, int precision)
{
    while (d->n < precision) {
        d->digit[d->n++] = '0';
    }

    while (d->n && d->digit[d->n - 1] == '9') {
        d->n--;
    }

    if (d->n == 0) {
        d->digit[d->n++] = '1';
        d->point++;
        return;
    }

    d->digit[d->n - 1]++;
}


static char *
aiq_jcs_number_format(const aiq_jcs_decimal_t *d, char *p)
{
    int  i, e;

    if (d->point > 0 && d->point <= 21) {

        for (i = 0; i < d->n || i < d->point; i++) {

            if (i == d->point) {
                *p++ = '.';
            }

            *p++ = (i < d->n) ? d->digit[i] : '0';
        }

        return p;
    }

    if (d->point > -6 && d->point <= 0) {
        *p++ = '0';
        *p++ = '.';

        for (i = d->point; i < 0; i++) {
            *p++ = '0';
        }

        memcpy(p, d->digit, (size_t) d->n);

        return p + d->n;
    }

    *p++ = d->digit[0];

    if (d->n > 1) {
        *p++ = '.';
        memcpy(p, d->digit + 1, (size_t) d->n - 1);
        p += d->n - 1;
    }

    e = d->point - 1;

    *p++ = 'e';
    *p++ = (e < 0) ? '-' : '+';

    return aiq_jcs_number_int(p, (uint64_t) (e < 0 ? -e : e));
}


static char *
aiq_jcs_number_int(char *p, uint64_t v)
{
    char  buf[24];
    char  *d;

    d = buf + sizeof(buf);

    do {
        *--d = (char) ('0' + v % 10);
        v /= 10;
    } while (v);

    memcpy(p, d, (size_t) (buf + sizeof(buf) - d));

    return p + (buf + sizeof(buf) - d);
}
