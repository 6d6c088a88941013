
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What must hold for any text at all, for the unit tests and the fuzzer:
 *
 *   what the reader accepts, jansson accepts, with the same values;
 *   what the reader refuses as syntax, text or duplicate, jansson refuses,
 *   unless a NUL is in it, which jansson takes for the end;
 *   the keys are linked in the order of their UTF-16 units;
 *   a canonical text is its own canonical text, and both forms agree.
 */


#ifndef _AIQ_JSON_CHECK_H_INCLUDED_
#define _AIQ_JSON_CHECK_H_INCLUDED_


#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "jcs.h"


static const char  *check_why;


/* memory of malloc(), so that a sanitizer sees its ends */

__attribute__((unused))
static aiq_mem_t
check_mem(size_t size)
{
    aiq_mem_t  mem;

    mem.pos = malloc(size ? size : 1);

    if (mem.pos == NULL) {
        abort();
    }

    mem.end = mem.pos + size;

    return mem;
}


/* a string as UTF-16 units; the caller frees it */

static uint16_t *
check_units(const char *s, size_t len, size_t *n)
{
    size_t     i, step;
    uint16_t  *u;
    uint32_t   c;

    u = malloc((len + 1) * sizeof(uint16_t));

    if (u == NULL) {
        abort();
    }

    *n = 0;

    for (i = 0; i < len; i += step) {
        step = aiq_utf8((const unsigned char *) s + i, len - i, &c);

        if (step == 0) {
            break;
        }

        if (c < 0x10000) {
            u[(*n)++] = (uint16_t) c;

        } else {
            u[(*n)++] = (uint16_t) (0xd800 + ((c - 0x10000) >> 10));
            u[(*n)++] = (uint16_t) (0xdc00 + ((c - 0x10000) & 0x3ff));
        }
    }

    return u;
}


static int
check_below(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t     n, m, i;
    uint16_t  *x, *y;
    int        below;

    x = check_units(a, a_len, &n);
    y = check_units(b, b_len, &m);

    for (i = 0; i < n && i < m && x[i] == y[i]; i++) { /* void */ }

    below = (i < n && i < m) ? (x[i] < y[i]) : (n < m);

    free(x);
    free(y);

    return below;
}


/* the string i, NUL-terminated; the caller frees it */

static char *
check_string(const aiq_json_t *doc, uint32_t i, size_t *len)
{
    char       *s;
    aiq_mem_t   mem;
    aiq_str_t   str;
    void       *start;

    mem = check_mem(doc->tok[i].len + 32);
    start = mem.pos;

    if (aiq_json_string(doc, i, &mem, &str) != AIQ_OK) {
        abort();
    }

    s = malloc(str.len + 1);

    if (s == NULL) {
        abort();
    }

    if (str.len) {
        memcpy(s, str.data, str.len);
    }

    s[str.len] = '\0';
    *len = str.len;

    free(start);

    return s;
}


static int  check_same(const aiq_json_t *doc, uint32_t i, json_t *v);


static int
check_same_object(const aiq_json_t *doc, uint32_t i, json_t *v)
{
    int        bad;
    char      *s, *before;
    size_t     len, before_len;
    uint32_t   k, n, end;

    if (!json_is_object(v) || json_object_size(v) != doc->tok[i].n) {
        return 0;
    }

    end = doc->tok[i].next;
    n = 0;

    for (k = aiq_json_first(doc, i);
         k != AIQ_JSON_NONE;
         k = aiq_json_next(doc, i, k))
    {
        s = check_string(doc, k, &len);

        bad = strlen(s) != len
              || !(doc->tok[k].flags & AIQ_JSON_KEY)
              || !aiq_json_is(doc, k, s)
              || !check_same(doc, k + 1, json_object_get(v, s));

        /* the first member of that name, and there is only one */

        if (!bad && n < 16) {
            bad = aiq_json_get(doc, i, s) != k + 1;
        }

        free(s);

        if (bad) {
            return 0;
        }

        n++;
    }

    if (n != doc->tok[i].n) {
        return 0;
    }

    before = NULL;
    before_len = 0;
    n = 0;
    bad = 0;

    for (k = doc->tok[i].link; k != AIQ_JSON_NONE; k = doc->tok[k].link) {

        if (k <= i || k >= end || n++ == doc->tok[i].n) {
            bad = 1;
            break;
        }

        s = check_string(doc, k, &len);

        if (before != NULL && !check_below(before, before_len, s, len)) {
            bad = 1;
        }

        free(before);

        before = s;
        before_len = len;
    }

    free(before);

    if (bad || n != doc->tok[i].n) {
        check_why = "the keys are not in order";
        return 0;
    }

    return 1;
}


static int
check_same(const aiq_json_t *doc, uint32_t i, json_t *v)
{
    int        same;
    char      *s;
    double     d, e;
    size_t     len, n;
    int64_t    number;
    uint32_t   k;

    switch (aiq_json_type(doc, i)) {

    case AIQ_JSON_NULL:
        return json_is_null(v);

    case AIQ_JSON_FALSE:
        return json_is_false(v);

    case AIQ_JSON_TRUE:
        return json_is_true(v);

    case AIQ_JSON_NUMBER:

        if (aiq_json_double(doc, i, &d) != AIQ_OK) {
            return 0;
        }

        if (aiq_json_int(doc, i, &number) == AIQ_OK) {
            return json_is_integer(v) && json_integer_value(v) == number
                   && d == (double) number;
        }

        if (doc->tok[i].flags & AIQ_JSON_INTEGER) {
            return json_is_integer(v) && json_integer_value(v) == 0
                   && d == 0;
        }

        e = json_real_value(v);

        return json_is_real(v) && memcmp(&d, &e, sizeof(d)) == 0;

    case AIQ_JSON_STRING:
        s = check_string(doc, i, &len);

        same = json_is_string(v) && json_string_length(v) == len
               && memcmp(json_string_value(v), s, len) == 0;

        free(s);

        return same;

    case AIQ_JSON_ARRAY:

        if (!json_is_array(v) || json_array_size(v) != doc->tok[i].n) {
            return 0;
        }

        n = 0;

        for (k = aiq_json_first(doc, i);
             k != AIQ_JSON_NONE;
             k = aiq_json_next(doc, i, k))
        {
            if (doc->tok[k].depth != doc->tok[i].depth + 1
                || !check_same(doc, k, json_array_get(v, n++)))
            {
                return 0;
            }
        }

        return n == json_array_size(v);

    case AIQ_JSON_OBJECT:
        return check_same_object(doc, i, v);

    default:
        return 0;
    }
}


/* the canonical text of a text; the caller frees it; NULL if refused */

static unsigned char *
check_canonical(aiq_str_t text, aiq_jcs_form_e form, aiq_str_t *canonical)
{
    void           *start;
    size_t          size;
    aiq_mem_t       mem;
    aiq_out_t       out;
    aiq_json_t      doc;
    unsigned char  *buf;

    mem = check_mem((text.len + 2) * sizeof(aiq_json_tok_t) + 16);
    start = mem.pos;

    if (aiq_json_parse(&doc, text, AIQ_JSON_DEPTH, &mem, NULL) != AIQ_OK) {
        free(start);
        return NULL;
    }

    /* at worst a byte becomes six, and 1e20 21 */

    size = text.len * 8 + 32;
    buf = malloc(size);

    if (buf == NULL) {
        abort();
    }

    aiq_out_init(&out, buf, size);
    aiq_jcs_write(&out, &doc, 0, form);

    *canonical = aiq_out_done(&out);

    free(start);

    if (out.failed) {
        free(buf);
        return NULL;
    }

    return buf;
}


static int
check_forms(aiq_str_t text)
{
    int             i, bad;
    size_t          n;
    aiq_str_t       jcs, iap, again;
    unsigned char  *a, *b, *c;

    a = check_canonical(text, AIQ_JCS, &jcs);
    b = check_canonical(text, AIQ_JCS_IAP, &iap);

    bad = (a == NULL || b == NULL);

    for (n = 0; !bad && n < iap.len; n++) {
        bad = iap.data[n] < 0x20 || iap.data[n] > 0x7e;
    }

    for (i = 0; i < 4 && !bad; i++) {

        c = check_canonical((i & 1) ? jcs : iap,
                            (i & 2) ? AIQ_JCS : AIQ_JCS_IAP, &again);

        bad = c == NULL || !aiq_str_eq(again, (i & 2) ? jcs : iap);

        free(c);
    }

    free(a);
    free(b);

    return !bad;
}


/* 1, or 0 and check_why; *rc is what the reader said */

__attribute__((unused))
static int
check_text(const void *data, size_t len, aiq_rc_t *rc)
{
    int             pass;
    void           *start;
    json_t         *v;
    aiq_err_t       err;
    aiq_mem_t       mem;
    aiq_str_t       text;
    aiq_json_t      doc;
    unsigned char  *copy;

    copy = malloc(len ? len : 1);

    if (copy == NULL) {
        abort();
    }

    if (len) {
        memcpy(copy, data, len);
    }

    text.data = copy;
    text.len = len;

    mem = check_mem((len + 2) * sizeof(aiq_json_tok_t) + 16);
    start = mem.pos;

    memset(&err, 0, sizeof(err));

    *rc = aiq_json_parse(&doc, text, AIQ_JSON_DEPTH, &mem, &err);

    v = json_loadb((char *) copy, len,
                   JSON_REJECT_DUPLICATES|JSON_DECODE_ANY, NULL);

    pass = 1;
    check_why = "the values differ";

    if (*rc == AIQ_OK) {

        if (v == NULL) {
            check_why = "jansson refuses what the reader accepts";
            pass = 0;

        } else if (!check_same(&doc, 0, v)) {
            pass = 0;

        } else if (doc.tok[0].next != doc.n) {
            check_why = "the root does not end with the tape";
            pass = 0;

        } else if (!check_forms(text)) {
            check_why = "the canonical forms do not hold";
            pass = 0;
        }

    } else {

        if (err.rc != *rc || err.text[0] == '\0' || err.offset > len
            || mem.pos != start || doc.n != 0
            || aiq_json_type(&doc, 0) != 0)
        {
            check_why = "the refusal is not clean";
            pass = 0;

        } else if (v != NULL
                   && (*rc == AIQ_D_JSON_INVALID
                       || *rc == AIQ_D_JSON_ENCODING
                       || *rc == AIQ_D_JSON_DUPLICATE_KEY)
                   && (len == 0 || memchr(copy, '\0', len) == NULL))
        {
            check_why = "jansson accepts what the reader refuses";
            pass = 0;
        }
    }

    json_decref(v);
    free(start);
    free(copy);

    return pass;
}


#endif /* _AIQ_JSON_CHECK_H_INCLUDED_ */
