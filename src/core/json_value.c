
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Values of a tape: what the reader accepted is not checked again.
 */


#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "json_tape.h"


static double aiq_json_number_exact(uint64_t m, int e);
static double aiq_json_number_digits(char *buf, char *d, int e);


uint32_t
aiq_json_get(const aiq_json_t *doc, uint32_t obj, const char *key)
{
    uint32_t   i, end;
    aiq_str_t  s;

    if (aiq_json_type(doc, obj) != AIQ_JSON_OBJECT) {
        return AIQ_JSON_NONE;
    }

    s = aiq_cstr(key);
    end = doc->tok[obj].next;

    for (i = obj + 1; i < end; i = doc->tok[i].next) {
        if (aiq_json_is_str(doc, i, s)) {
            return i + 1;
        }
    }

    return AIQ_JSON_NONE;
}


int
aiq_json_type(const aiq_json_t *doc, uint32_t i)
{
    return (i < doc->n) ? doc->tok[i].type : 0;
}


uint32_t
aiq_json_first(const aiq_json_t *doc, uint32_t i)
{
    if (i >= doc->n || doc->tok[i].n == 0) {
        return AIQ_JSON_NONE;
    }

    return i + 1;
}


uint32_t
aiq_json_next(const aiq_json_t *doc, uint32_t parent, uint32_t i)
{
    if (parent >= doc->n || i >= doc->n
        || doc->tok[i].next >= doc->tok[parent].next)
    {
        return AIQ_JSON_NONE;
    }

    return doc->tok[i].next;
}


aiq_str_t
aiq_json_raw(const aiq_json_t *doc, uint32_t i)
{
    aiq_str_t              s;
    const aiq_json_tok_t  *t;

    if (i >= doc->n) {
        aiq_str_null(&s);
        return s;
    }

    t = &doc->tok[i];

    s.data = doc->text.data + t->pos;
    s.len = t->len;

    if (t->type == AIQ_JSON_STRING) {
        s.data--;
        s.len += 2;
    }

    return s;
}


int
aiq_json_is(const aiq_json_t *doc, uint32_t i, const char *s)
{
    return aiq_json_is_str(doc, i, aiq_cstr(s));
}


int
aiq_json_is_str(const aiq_json_t *doc, uint32_t i, aiq_str_t s)
{
    size_t                 n;
    uint32_t               x, y;
    const unsigned char   *p, *last;
    const aiq_json_tok_t  *t;

    if (aiq_json_type(doc, i) != AIQ_JSON_STRING) {
        return 0;
    }

    t = &doc->tok[i];
    p = doc->text.data + t->pos;

    if (!(t->flags & AIQ_JSON_ESCAPED)) {
        return t->len == s.len && (s.len == 0 || memcmp(p, s.data, s.len) == 0);
    }

    last = p + t->len;

    while (p < last) {

        x = aiq_json_code(&p, last);
        n = aiq_utf8(s.data, s.len, &y);

        if (n == 0 || x != y) {
            return 0;
        }

        s.data += n;
        s.len -= n;
    }

    return s.len == 0;
}


aiq_rc_t
aiq_json_string(const aiq_json_t *doc, uint32_t i, aiq_mem_t *mem,
    aiq_str_t *out)
{
    size_t                 n;
    unsigned char         *d, utf8[4];
    const unsigned char   *p, *last;
    const aiq_json_tok_t  *t;

    aiq_str_null(out);

    if (aiq_json_type(doc, i) != AIQ_JSON_STRING) {
        return AIQ_DECLINED;
    }

    t = &doc->tok[i];
    p = doc->text.data + t->pos;
    last = p + t->len;

    if (!(t->flags & AIQ_JSON_ESCAPED)) {
        out->data = p;
        out->len = t->len;
        return AIQ_OK;
    }

    /* an escape is never shorter than what it stands for */

    d = aiq_mem_alloc(mem, t->len);

    if (d == NULL) {
        return AIQ_E_NO_MEMORY;
    }

    out->data = d;

    while (p < last) {

        n = aiq_json_encode(aiq_json_code(&p, last), utf8);

        memcpy(d, utf8, n);
        d += n;
    }

    out->len = (size_t) (d - out->data);

    return AIQ_OK;
}


aiq_rc_t
aiq_json_int(const aiq_json_t *doc, uint32_t i, int64_t *v)
{
    int64_t                n;
    const unsigned char   *p, *last;
    const aiq_json_tok_t  *t;

    if (aiq_json_type(doc, i) != AIQ_JSON_NUMBER
        || !(doc->tok[i].flags & AIQ_JSON_INTEGER))
    {
        return AIQ_DECLINED;
    }

    t = &doc->tok[i];
    p = doc->text.data + t->pos;
    last = p + t->len;

    if (p[0] == '-' && p[1] == '0') {
        return AIQ_DECLINED;
    }

    /* 16 digits at most */

    n = 0;

    for (p += (*p == '-'); p < last; p++) {
        n = n * 10 + (*p - '0');
    }

    *v = (doc->text.data[t->pos] == '-') ? -n : n;

    return AIQ_OK;
}


aiq_rc_t
aiq_json_double(const aiq_json_t *doc, uint32_t i, double *v)
{
    const aiq_json_tok_t  *t;

    if (aiq_json_type(doc, i) != AIQ_JSON_NUMBER) {
        return AIQ_DECLINED;
    }

    t = &doc->tok[i];

    *v = aiq_json_number(doc->text.data + t->pos, t->len);

    return AIQ_OK;
}


double
aiq_json_number(const unsigned char *p, size_t len)
{
    int                   e, frac, minus, point;
    char                  buf[AIQ_JSON_NUMBER_MAX + 16];
    char                 *d;
    double                v;
    uint64_t              m;
    const unsigned char  *last;

    if (len > AIQ_JSON_NUMBER_MAX) {
        return HUGE_VAL;
    }

    last = p + len;
    minus = (*p == '-');
    p += minus;
    frac = 0;
    point = 0;
    d = buf;
    m = 0;

    for ( /* void */ ; p < last && *p != 'e' && *p != 'E'; p++) {

        if (*p == '.') {
            point = 1;
            continue;
        }

        *d++ = (char) *p;
        frac += point;

        if (d - buf <= DBL_DIG) {
            m = m * 10 + (uint64_t) (*p - '0');
        }
    }

    e = 0;

    if (p < last) {
        p++;
        point = *p;

        /* beyond 10 ^ 9999 all is infinite or zero, whatever the digits */

        for (p += (*p == '+' || *p == '-'); p < last; p++) {
            e = (e < 1000) ? e * 10 + (*p - '0') : 9999;
        }

        e = (point == '-') ? -e : e;
    }

    e -= frac;

    if (FLT_EVAL_METHOD == 0 && d - buf <= DBL_DIG && e >= -22 && e <= 22) {
        v = aiq_json_number_exact(m, e);

    } else {
        v = aiq_json_number_digits(buf, d, e);
    }

    return minus ? -v : v;
}


/*
 * m has 15 digits at most, so it and the power are exact, and one operation
 * rounds once, if doubles are computed as doubles.
 */

static double
aiq_json_number_exact(uint64_t m, int e)
{
    static const double  power[] = {
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22
    };

    return (e < 0) ? (double) m / power[-e] : (double) m * power[e];
}


/*
 * strtod() obeys the locale of the process, which is not ours to know, so it
 * never sees a decimal point: 12.5e3 is handed over as 125e2.  Behind d there
 * is room for the exponent, of less than 10 ^ 5.
 */

static double
aiq_json_number_digits(char *buf, char *d, int e)
{
    int  i, n;

    d[0] = 'e';
    d[1] = (e < 0) ? '-' : '+';
    d[7] = '\0';

    n = (e < 0) ? -e : e;

    for (i = 6; i > 1; i--) {
        d[i] = (char) ('0' + n % 10);
        n /= 10;
    }

    return strtod(buf, NULL);
}


uint32_t
aiq_json_code(const unsigned char **p, const unsigned char *last)
{
    size_t                n;
    uint32_t              code, low;
    const unsigned char  *s;

    s = *p;

    if (*s != '\\') {

        if (*s < 0x80) {
            *p = s + 1;
            return *s;
        }

        n = aiq_utf8(s, (size_t) (last - s), &code);

        *p = s + (n ? n : 1);

        return n ? code : 0xfffd;
    }

    if (last - s < 2) {
        *p = last;
        return 0xfffd;
    }

    *p = s + 2;

    switch (s[1]) {

    case 'b':
        return '\b';

    case 'f':
        return '\f';

    case 'n':
        return '\n';

    case 'r':
        return '\r';

    case 't':
        return '\t';

    case 'u':
        break;

    default:
        return s[1];
    }

    if (aiq_json_hex4(s + 2, last, &code) != 0) {
        return 0xfffd;
    }

    *p = s + 6;

    if (code < 0xd800 || code > 0xdbff) {
        return code;
    }

    if (last - s < 12 || aiq_json_hex4(s + 8, last, &low) != 0) {
        return 0xfffd;
    }

    *p = s + 12;

    return 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
}


size_t
aiq_json_encode(uint32_t code, unsigned char out[4])
{
    if (code < 0x80) {
        out[0] = (unsigned char) code;
        return 1;
    }

    if (code < 0x800) {
        out[0] = (unsigned char) (0xc0 | code >> 6);
        out[1] = (unsigned char) (0x80 | (code & 0x3f));
        return 2;
    }

    if (code < 0x10000) {
        out[0] = (unsigned char) (0xe0 | code >> 12);
        out[1] = (unsigned char) (0x80 | (code >> 6 & 0x3f));
        out[2] = (unsigned char) (0x80 | (code & 0x3f));
        return 3;
    }

    out[0] = (unsigned char) (0xf0 | code >> 18);
    out[1] = (unsigned char) (0x80 | (code >> 12 & 0x3f));
    out[2] = (unsigned char) (0x80 | (code >> 6 & 0x3f));
    out[3] = (unsigned char) (0x80 | (code & 0x3f));

    return 4;
}


int
aiq_json_hex4(const unsigned char *p, const unsigned char *last,
    uint32_t *code)
{
    int            i;
    uint32_t       v;
    unsigned char  c;

    if (last - p < 4) {
        return -1;
    }

    v = 0;

    for (i = 0; i < 4; i++) {

        c = p[i];

        if (aiq_json_is_digit(c)) {
            v = v << 4 | (uint32_t) (c - '0');
            continue;
        }

        c |= 0x20;

        if (c < 'a' || c > 'f') {
            return -1;
        }

        v = v << 4 | (uint32_t) (c - 'a' + 10);
    }

    *code = v;

    return 0;
}
