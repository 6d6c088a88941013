
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"


/* longer numbers say nothing that a double could hold */

#define AIQ_JSON_NUMBER_MAX   400

/* lists of the merge sort; 2 ^ 16 keys, more than a tape has */

#define AIQ_JSON_BINS         17

/* bytes of a key that an error shows */

#define AIQ_JSON_SHOWN        64

#define aiq_json_ones         0x0101010101010101ULL
#define aiq_json_tops         0x8080808080808080ULL

/* the top bit of every byte of v that is less than n, n <= 0x80; exact for
   the first such byte, and byte order does not matter to "any" */

#define aiq_json_less(v, n)   (((v) - aiq_json_ones * (n)) & ~(v))

#define aiq_json_is_blank(c)                                                  \
    ((c) == ' ' || (c) == '\n' || (c) == '\r' || (c) == '\t')

#define aiq_json_is_digit(c)  ((unsigned) (c) - '0' <= 9)


typedef struct {
    const unsigned char  *start;
    const unsigned char  *pos;
    const unsigned char  *end;
    aiq_json_tok_t       *tok;
    uint32_t              n;
    uint32_t              max;
    unsigned              depth;       /* containers that are open */
    unsigned              depth_max;
    uint32_t              twice;       /* the later one of two equal keys */
    aiq_err_t            *err;
    uint32_t              open[AIQ_JSON_DEPTH];
} aiq_json_reader_t;


static aiq_rc_t aiq_json_read(aiq_json_reader_t *r);
static aiq_rc_t aiq_json_read_open(aiq_json_reader_t *r, unsigned char c);
static aiq_rc_t aiq_json_read_end(aiq_json_reader_t *r);
static aiq_rc_t aiq_json_read_key(aiq_json_reader_t *r);
static aiq_rc_t aiq_json_read_scalar(aiq_json_reader_t *r, unsigned char c);
static aiq_rc_t aiq_json_read_word(aiq_json_reader_t *r, const char *word,
    size_t len, int type);
static aiq_rc_t aiq_json_read_string(aiq_json_reader_t *r, unsigned flags);
static aiq_rc_t aiq_json_read_escape(aiq_json_reader_t *r);
static int aiq_json_read_hex(const unsigned char *p,
    const unsigned char *last, uint32_t *code);
static aiq_rc_t aiq_json_read_number(aiq_json_reader_t *r);
static aiq_rc_t aiq_json_check_number(aiq_json_reader_t *r,
    const unsigned char *p, size_t len, unsigned integer, unsigned exponent);
static aiq_json_tok_t *aiq_json_push(aiq_json_reader_t *r, int type);
static void aiq_json_skip_blanks(aiq_json_reader_t *r);

static aiq_rc_t aiq_json_sort(aiq_json_reader_t *r, uint32_t object);
static uint32_t aiq_json_merge(aiq_json_reader_t *r, uint32_t a, uint32_t b);
static int aiq_json_compare(const aiq_json_reader_t *r, uint32_t a,
    uint32_t b);
static int aiq_json_compare_text(const unsigned char *a,
    const unsigned char *a_last, const unsigned char *b,
    const unsigned char *b_last);

static aiq_rc_t aiq_json_bad(aiq_json_reader_t *r, const unsigned char *p,
    const char *what);
static aiq_rc_t aiq_json_fail(aiq_json_reader_t *r, const unsigned char *p,
    aiq_rc_t rc, const char *what);
static aiq_rc_t aiq_json_fail_key(aiq_json_reader_t *r, uint32_t key);
static double aiq_json_number(const unsigned char *p, size_t len);


aiq_rc_t
aiq_json_parse(aiq_json_t *doc, aiq_str_t text, unsigned depth,
    aiq_mem_t *mem, aiq_err_t *err)
{
    size_t              max;
    aiq_rc_t            rc;
    unsigned char      *saved;
    aiq_json_reader_t   r;

    doc->text = text;
    doc->tok = NULL;
    doc->n = 0;

    r.start = text.data;
    r.pos = text.data;
    r.end = text.data + text.len;
    r.n = 0;
    r.depth = 0;
    r.depth_max = (depth < AIQ_JSON_DEPTH) ? depth : AIQ_JSON_DEPTH;
    r.err = err;

    /* positions have 32 bits, and no token may reach AIQ_JSON_NONE */

    if (text.len >= UINT32_MAX) {
        return aiq_json_fail(&r, r.pos, AIQ_D_JSON_TOO_LARGE,
                             "the text is too long");
    }

    saved = mem->pos;

    r.tok = aiq_mem_alloc(mem, 0);

    if (r.tok == NULL) {
        return aiq_json_fail(&r, r.pos, AIQ_D_JSON_TOO_LARGE,
                             "no room for a token");
    }

    max = (size_t) (mem->end - mem->pos) / sizeof(aiq_json_tok_t);

    r.max = (max < AIQ_JSON_TOKENS) ? (uint32_t) max : AIQ_JSON_TOKENS;

    rc = aiq_json_read(&r);

    if (rc != AIQ_OK) {
        mem->pos = saved;
        return rc;
    }

    mem->pos = (unsigned char *) (r.tok + r.n);

    doc->tok = r.tok;
    doc->n = r.n;

    return AIQ_OK;
}


static aiq_rc_t
aiq_json_read(aiq_json_reader_t *r)
{
    aiq_rc_t       rc;
    unsigned char  c;

    for ( ;; ) {

        /* a value begins */

        aiq_json_skip_blanks(r);

        if (r->pos == r->end) {
            return aiq_json_bad(r, r->pos, NULL);
        }

        c = *r->pos;

        if (c == '{' || c == '[') {
            rc = aiq_json_read_open(r, c);

            if (rc == AIQ_OK) {
                continue;
            }

            /* AIQ_DECLINED: it is empty, the pair of c comes next */

        } else {
            rc = aiq_json_read_scalar(r, c);
        }

        if (aiq_is_denied(rc)) {
            return rc;
        }

        /* a value ended, and maybe those around it */

        rc = aiq_json_read_end(r);

        if (rc == AIQ_DECLINED) {
            break;
        }

        if (rc != AIQ_OK) {
            return rc;
        }
    }

    aiq_json_skip_blanks(r);

    if (r->pos != r->end) {
        return aiq_json_bad(r, r->pos, "text after the value");
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_json_read_open(aiq_json_reader_t *r, unsigned char c)
{
    aiq_json_tok_t  *t;

    if (r->depth == r->depth_max) {
        return aiq_json_fail(r, r->pos, AIQ_D_JSON_TOO_DEEP,
                             "nested too deeply");
    }

    t = aiq_json_push(r, (c == '{') ? AIQ_JSON_OBJECT : AIQ_JSON_ARRAY);

    if (t == NULL) {
        return AIQ_D_JSON_TOO_LARGE;
    }

    r->open[r->depth++] = r->n - 1;
    r->pos++;

    aiq_json_skip_blanks(r);

    if (r->pos < r->end && *r->pos == c + 2) {

        /* "{" and "}", "[" and "]" are two apart */

        return AIQ_DECLINED;
    }

    t->n = 1;

    return (c == '{') ? aiq_json_read_key(r) : AIQ_OK;
}


/* AIQ_OK: another value follows; AIQ_DECLINED: the root has ended */

static aiq_rc_t
aiq_json_read_end(aiq_json_reader_t *r)
{
    aiq_rc_t         rc;
    unsigned char    c;
    aiq_json_tok_t  *t;

    while (r->depth) {

        aiq_json_skip_blanks(r);

        c = (r->pos < r->end) ? *r->pos : '\0';

        t = &r->tok[r->open[r->depth - 1]];

        if (c == ',') {
            r->pos++;
            t->n++;

            return (t->type == AIQ_JSON_OBJECT) ? aiq_json_read_key(r)
                                                : AIQ_OK;
        }

        if (c != ((t->type == AIQ_JSON_OBJECT) ? '}' : ']')) {
            return aiq_json_bad(r, r->pos, (t->type == AIQ_JSON_OBJECT)
                                           ? "expected \",\" or \"}\""
                                           : "expected \",\" or \"]\"");
        }

        r->pos++;
        r->depth--;

        t->len = (uint32_t) (r->pos - r->start) - t->pos;
        t->next = r->n;

        if (t->type == AIQ_JSON_OBJECT && t->n) {
            rc = aiq_json_sort(r, r->open[r->depth]);

            if (rc != AIQ_OK) {
                return rc;
            }
        }
    }

    return AIQ_DECLINED;
}


static aiq_rc_t
aiq_json_read_key(aiq_json_reader_t *r)
{
    aiq_rc_t  rc;

    aiq_json_skip_blanks(r);

    if (r->pos == r->end || *r->pos != '"') {
        return aiq_json_bad(r, r->pos, "expected a key");
    }

    rc = aiq_json_read_string(r, AIQ_JSON_KEY);

    if (rc != AIQ_OK) {
        return rc;
    }

    aiq_json_skip_blanks(r);

    if (r->pos == r->end || *r->pos != ':') {
        return aiq_json_bad(r, r->pos, "expected \":\"");
    }

    r->pos++;

    return AIQ_OK;
}


static aiq_rc_t
aiq_json_read_scalar(aiq_json_reader_t *r, unsigned char c)
{
    switch (c) {

    case '"':
        return aiq_json_read_string(r, 0);

    case 't':
        return aiq_json_read_word(r, "true", 4, AIQ_JSON_TRUE);

    case 'f':
        return aiq_json_read_word(r, "false", 5, AIQ_JSON_FALSE);

    case 'n':
        return aiq_json_read_word(r, "null", 4, AIQ_JSON_NULL);

    default:

        if (c == '-' || aiq_json_is_digit(c)) {
            return aiq_json_read_number(r);
        }

        return aiq_json_bad(r, r->pos, "expected a value");
    }
}


static aiq_rc_t
aiq_json_read_word(aiq_json_reader_t *r, const char *word, size_t len,
    int type)
{
    size_t           i;
    aiq_json_tok_t  *t;

    for (i = 0; i < len; i++) {
        if (r->pos + i == r->end || r->pos[i] != (unsigned char) word[i]) {
            return aiq_json_bad(r, r->pos + i, "expected a value");
        }
    }

    t = aiq_json_push(r, type);

    if (t == NULL) {
        return AIQ_D_JSON_TOO_LARGE;
    }

    t->len = (uint32_t) len;
    r->pos += len;

    return AIQ_OK;
}


static aiq_rc_t
aiq_json_read_string(aiq_json_reader_t *r, unsigned flags)
{
    size_t                n;
    uint64_t              v;
    aiq_rc_t              rc;
    aiq_json_tok_t       *t;
    const unsigned char  *p, *end;

    t = aiq_json_push(r, AIQ_JSON_STRING);

    if (t == NULL) {
        return AIQ_D_JSON_TOO_LARGE;
    }

    t->pos++;

    p = r->pos + 1;
    end = r->end;

    for ( ;; ) {

        /* eight bytes at a time over what needs no look */

        while (end - p >= 8) {
            memcpy(&v, p, 8);

            if ((aiq_json_less(v, 0x20) | v
                 | aiq_json_less(v ^ (aiq_json_ones * '"'), 1)
                 | aiq_json_less(v ^ (aiq_json_ones * '\\'), 1))
                & aiq_json_tops)
            {
                break;
            }

            p += 8;
        }

        while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
        {
            p++;
        }

        if (p == end) {
            return aiq_json_bad(r, p, NULL);
        }

        if (*p == '"') {
            break;
        }

        if (*p == '\\') {
            flags |= AIQ_JSON_ESCAPED;
            r->pos = p;

            rc = aiq_json_read_escape(r);

            if (rc != AIQ_OK) {
                return rc;
            }

            p = r->pos;
            continue;
        }

        n = (*p < 0x80) ? 0 : aiq_utf8(p, (size_t) (end - p), NULL);

        if (n == 0) {
            return aiq_json_bad(r, p, "control character in a string");
        }

        flags |= AIQ_JSON_UNICODE;
        p += n;
    }

    t->len = (uint32_t) (p - r->start) - t->pos;
    t->flags = (uint8_t) flags;

    r->pos = p + 1;

    return AIQ_OK;
}


static aiq_rc_t
aiq_json_read_escape(aiq_json_reader_t *r)
{
    uint32_t              code, low;
    const unsigned char  *p;

    p = r->pos;

    if (r->end - p < 2) {
        return aiq_json_bad(r, r->end, NULL);
    }

    switch (p[1]) {

    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        r->pos = p + 2;
        return AIQ_OK;

    case 'u':
        break;

    default:
        return aiq_json_bad(r, p + 1, "unknown escape");
    }

    if (aiq_json_read_hex(p + 2, r->end, &code) != 0) {
        return aiq_json_bad(r, p, "bad \\u escape");
    }

    r->pos = p + 6;

    if (code == 0) {
        return aiq_json_fail(r, p, AIQ_D_JSON_ENCODING, "escaped NUL");
    }

    if (code < 0xd800 || code > 0xdfff) {
        return AIQ_OK;
    }

    /* a surrogate: the high one first, the low one right behind it */

    if (code < 0xdc00
        && r->end - r->pos >= 6
        && r->pos[0] == '\\'
        && r->pos[1] == 'u'
        && aiq_json_read_hex(r->pos + 2, r->end, &low) == 0
        && low >= 0xdc00 && low <= 0xdfff)
    {
        r->pos += 6;
        return AIQ_OK;
    }

    return aiq_json_fail(r, p, AIQ_D_JSON_ENCODING, "lone surrogate");
}


static int
aiq_json_read_hex(const unsigned char *p, const unsigned char *last,
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


static aiq_rc_t
aiq_json_read_number(aiq_json_reader_t *r)
{
    unsigned              integer, exponent;
    aiq_rc_t              rc;
    aiq_json_tok_t       *t;
    const unsigned char  *p, *end;

    p = r->pos;
    end = r->end;
    integer = 1;
    exponent = 0;

    if (*p == '-') {
        p++;
    }

    if (p == end || !aiq_json_is_digit(*p)) {
        return aiq_json_bad(r, p, "expected a digit");
    }

    /* a zero is the only digit before the point: what follows is not ours */

    if (*p++ != '0') {
        while (p < end && aiq_json_is_digit(*p)) { p++; }
    }

    if (p < end && *p == '.') {
        integer = 0;
        p++;

        if (p == end || !aiq_json_is_digit(*p)) {
            return aiq_json_bad(r, p, "expected a digit");
        }

        while (p < end && aiq_json_is_digit(*p)) { p++; }
    }

    if (p < end && (*p == 'e' || *p == 'E')) {
        integer = 0;
        exponent = 1;
        p++;

        if (p < end && (*p == '+' || *p == '-')) {
            p++;
        }

        if (p == end || !aiq_json_is_digit(*p)) {
            return aiq_json_bad(r, p, "expected a digit");
        }

        while (p < end && aiq_json_is_digit(*p)) { p++; }
    }

    rc = aiq_json_check_number(r, r->pos, (size_t) (p - r->pos), integer,
                               exponent);
    if (rc != AIQ_OK) {
        return rc;
    }

    t = aiq_json_push(r, AIQ_JSON_NUMBER);

    if (t == NULL) {
        return AIQ_D_JSON_TOO_LARGE;
    }

    t->len = (uint32_t) (p - r->pos);
    t->flags = integer ? AIQ_JSON_INTEGER : 0;

    r->pos = p;

    return AIQ_OK;
}


static aiq_rc_t
aiq_json_check_number(aiq_json_reader_t *r, const unsigned char *p,
    size_t len, unsigned integer, unsigned exponent)
{
    size_t    digits, i;
    uint64_t  v;

    if (integer) {
        i = (*p == '-');
        digits = len - i;

        if (digits <= 15) {
            return AIQ_OK;
        }

        if (digits == 16) {
            v = 0;

            for ( /* void */ ; i < len; i++) {
                v = v * 10 + (uint64_t) (p[i] - '0');
            }

            if (v <= AIQ_JSON_SAFE) {
                return AIQ_OK;
            }
        }

        return aiq_json_fail(r, p, AIQ_D_JSON_NUMBER,
                             "an integer beyond 2^53 - 1");
    }

    if (len > AIQ_JSON_NUMBER_MAX) {
        return aiq_json_fail(r, p, AIQ_D_JSON_NUMBER, "a number is too long");
    }

    /* below 10 ^ 300 there is nothing to overflow */

    if (!exponent && len <= 300) {
        return AIQ_OK;
    }

    if (!isfinite(aiq_json_number(p, len))) {
        return aiq_json_fail(r, p, AIQ_D_JSON_NUMBER,
                             "a number overflows a double");
    }

    return AIQ_OK;
}


static aiq_json_tok_t *
aiq_json_push(aiq_json_reader_t *r, int type)
{
    aiq_json_tok_t  *t;

    if (r->n == r->max) {
        (void) aiq_json_fail(r, r->pos, AIQ_D_JSON_TOO_LARGE,
                             "too many values");
        return NULL;
    }

    t = &r->tok[r->n++];

    t->pos = (uint32_t) (r->pos - r->start);
    t->len = 0;
    t->next = r->n;
    t->n = 0;
    t->link = AIQ_JSON_NONE;
    t->type = (uint8_t) type;
    t->flags = 0;
    t->depth = (uint16_t) r->depth;

    return t;
}


static void
aiq_json_skip_blanks(aiq_json_reader_t *r)
{
    const unsigned char  *p;

    p = r->pos;

    while (p < r->end && aiq_json_is_blank(*p)) {
        p++;
    }

    r->pos = p;
}


/*
 * Threads the keys of an object that has just ended in canonical order.
 * Equal keys meet on the way, so this finds the duplicates as well.  A merge
 * sort: n log n whatever a client sends.
 */

static aiq_rc_t
aiq_json_sort(aiq_json_reader_t *r, uint32_t object)
{
    int              rc, sorted;
    uint32_t         i, k, next, list, bins[AIQ_JSON_BINS];
    aiq_json_tok_t  *tok;

    tok = r->tok;
    sorted = 1;

    for (k = object + 1; k != r->n; k = next) {

        next = tok[k + 1].next;

        tok[k].next = next;
        tok[k].link = (next == r->n) ? AIQ_JSON_NONE : next;

        if (sorted && next != r->n) {
            rc = aiq_json_compare(r, k, next);

            if (rc == 0) {
                return aiq_json_fail_key(r, next);
            }

            sorted = (rc < 0);
        }
    }

    if (sorted) {
        tok[object].link = object + 1;
        return AIQ_OK;
    }

    r->twice = AIQ_JSON_NONE;

    for (i = 0; i < AIQ_JSON_BINS; i++) {
        bins[i] = AIQ_JSON_NONE;
    }

    /* bin i has 2 ^ i keys or none: counting in binary */

    for (k = object + 1; k != AIQ_JSON_NONE; k = next) {

        next = tok[k].link;
        tok[k].link = AIQ_JSON_NONE;
        list = k;

        for (i = 0; i < AIQ_JSON_BINS && bins[i] != AIQ_JSON_NONE; i++) {
            list = aiq_json_merge(r, bins[i], list);
            bins[i] = AIQ_JSON_NONE;
        }

        bins[i] = list;
    }

    list = AIQ_JSON_NONE;

    for (i = 0; i < AIQ_JSON_BINS; i++) {
        if (bins[i] != AIQ_JSON_NONE) {
            list = aiq_json_merge(r, bins[i], list);
        }
    }

    tok[object].link = list;

    if (r->twice != AIQ_JSON_NONE) {
        return aiq_json_fail_key(r, r->twice);
    }

    return AIQ_OK;
}


static uint32_t
aiq_json_merge(aiq_json_reader_t *r, uint32_t a, uint32_t b)
{
    int        rc;
    uint32_t   head, *tail;

    tail = &head;

    while (a != AIQ_JSON_NONE && b != AIQ_JSON_NONE) {

        rc = aiq_json_compare(r, a, b);

        if (rc == 0) {
            r->twice = (a > b) ? a : b;
        }

        if (rc <= 0) {
            *tail = a;
            tail = &r->tok[a].link;
            a = *tail;

        } else {
            *tail = b;
            tail = &r->tok[b].link;
            b = *tail;
        }
    }

    *tail = (a != AIQ_JSON_NONE) ? a : b;

    return head;
}


static int
aiq_json_compare(const aiq_json_reader_t *r, uint32_t a, uint32_t b)
{
    int                    rc;
    const aiq_json_tok_t  *x, *y;

    x = &r->tok[a];
    y = &r->tok[b];

    if ((x->flags | y->flags) & (AIQ_JSON_ESCAPED|AIQ_JSON_UNICODE)) {
        return aiq_json_compare_text(r->start + x->pos,
                                     r->start + x->pos + x->len,
                                     r->start + y->pos,
                                     r->start + y->pos + y->len);
    }

    rc = memcmp(r->start + x->pos, r->start + y->pos,
                (x->len < y->len) ? x->len : y->len);

    if (rc != 0) {
        return rc;
    }

    return (x->len > y->len) - (x->len < y->len);
}


/*
 * RFC 8785 3.2.3 compares UTF-16 code units.  They order as code points do,
 * but for surrogates, which are below U+E000..U+FFFF.
 */

static int
aiq_json_compare_text(const unsigned char *a, const unsigned char *a_last,
    const unsigned char *b, const unsigned char *b_last)
{
    uint32_t              x, y;
    const unsigned char  *start;

    start = a;

    /* what is equal as written is equal */

    while (a < a_last && b < b_last && *a == *b && *a != '\\') {
        a++;
        b++;
    }

    /* the difference may be inside a sequence */

    while (a > start && a < a_last && b < b_last
           && ((*a & 0xc0) == 0x80 || (*b & 0xc0) == 0x80))
    {
        a--;
        b--;
    }

    while (a < a_last && b < b_last) {

        x = aiq_json_code(&a, a_last);
        y = aiq_json_code(&b, b_last);

        if (x == y) {
            continue;
        }

        if (x >= 0xe000 && x <= 0xffff) {
            x += 0x200000;
        }

        if (y >= 0xe000 && y <= 0xffff) {
            y += 0x200000;
        }

        return (x > y) ? 1 : -1;
    }

    return (a < a_last) - (b < b_last);
}


/* p is where nothing that was expected came: says what came instead */

static aiq_rc_t
aiq_json_bad(aiq_json_reader_t *r, const unsigned char *p, const char *what)
{
    size_t  left;

    left = (size_t) (r->end - p);

    if (left == 0) {
        return aiq_json_fail(r, p, AIQ_D_JSON_INVALID, "the text ends early");
    }

    if (*p == '\0') {
        return aiq_json_fail(r, p, AIQ_D_JSON_ENCODING, "a NUL byte");
    }

    if (left >= 3 && p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf) {
        return aiq_json_fail(r, p, AIQ_D_JSON_ENCODING, "a byte order mark");
    }

    if (aiq_utf8(p, left, NULL) == 0) {
        return aiq_json_fail(r, p, AIQ_D_JSON_ENCODING, "invalid UTF-8");
    }

    return aiq_json_fail(r, p, AIQ_D_JSON_INVALID, what);
}


static aiq_rc_t
aiq_json_fail(aiq_json_reader_t *r, const unsigned char *p, aiq_rc_t rc,
    const char *what)
{
    size_t                line;
    const unsigned char  *q;

    if (r->err == NULL) {
        return rc;
    }

    line = 1;

    for (q = r->start; q < p; q++) {
        line += (*q == '\n');
    }

    r->err->offset = (size_t) (p - r->start);

    return aiq_fail(r->err, rc, "line %zu: %s", line, what);
}


static aiq_rc_t
aiq_json_fail_key(aiq_json_reader_t *r, uint32_t key)
{
    char                   what[AIQ_JSON_SHOWN * 4 + 64];
    size_t                 i, len;
    aiq_out_t              out;
    unsigned char          c;
    const unsigned char   *p;
    const aiq_json_tok_t  *t;

    static const char  hex[] = "0123456789abcdef";

    t = &r->tok[key];
    p = r->start + t->pos;
    len = (t->len < AIQ_JSON_SHOWN) ? t->len : AIQ_JSON_SHOWN;

    aiq_out_init(&out, what, sizeof(what) - 1);
    aiq_out_str(&out, "key \"");

    for (i = 0; i < len; i++) {
        c = p[i];

        if (c >= 0x20 && c < 0x7f) {
            aiq_out_char(&out, c);

        } else {
            aiq_out_str(&out, "\\x");
            aiq_out_char(&out, hex[c >> 4]);
            aiq_out_char(&out, hex[c & 15]);
        }
    }

    aiq_out_str(&out, (len < t->len) ? "...\" appears twice"
                                     : "\" appears twice");
    *out.pos = '\0';

    return aiq_json_fail(r, p, AIQ_D_JSON_DUPLICATE_KEY, what);
}


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
    uint32_t               c;
    unsigned char         *d;
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

        c = aiq_json_code(&p, last);

        if (c < 0x80) {
            *d++ = (unsigned char) c;

        } else if (c < 0x800) {
            *d++ = (unsigned char) (0xc0 | c >> 6);
            *d++ = (unsigned char) (0x80 | (c & 0x3f));

        } else if (c < 0x10000) {
            *d++ = (unsigned char) (0xe0 | c >> 12);
            *d++ = (unsigned char) (0x80 | (c >> 6 & 0x3f));
            *d++ = (unsigned char) (0x80 | (c & 0x3f));

        } else {
            *d++ = (unsigned char) (0xf0 | c >> 18);
            *d++ = (unsigned char) (0x80 | (c >> 12 & 0x3f));
            *d++ = (unsigned char) (0x80 | (c >> 6 & 0x3f));
            *d++ = (unsigned char) (0x80 | (c & 0x3f));
        }
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


/*
 * The nearest double of a number the reader accepts.  strtod() obeys the
 * locale of the process, which is not ours to know, so it never sees a
 * decimal point: 12.5e3 is handed over as 125e2.
 */

static double
aiq_json_number(const unsigned char *p, size_t len)
{
    int                   e, frac, minus, point;
    char                  buf[AIQ_JSON_NUMBER_MAX + 16];
    char                 *d;
    double                v;
    uint64_t              m;
    const unsigned char  *last;

    last = p + len;
    minus = (*p == '-');
    p += minus;
    frac = 0;
    point = 0;
    d = buf;
    m = 0;

    if (len > AIQ_JSON_NUMBER_MAX) {
        return HUGE_VAL;
    }

    for ( /* void */ ; p < last && *p != 'e' && *p != 'E'; p++) {

        if (*p == '.') {
            point = 1;
            continue;
        }

        *d++ = (char) *p;
        frac += point;

        if (d - buf <= 15) {
            m = m * 10 + (uint64_t) (*p - '0');
        }
    }

    e = 0;

    if (p < last) {
        p++;

        /* m, e: whatever is beyond 10 ^ 9999 is infinite or zero anyway */

        for (point = *p, p += (*p == '+' || *p == '-'); p < last; p++) {
            e = (e < 1000) ? e * 10 + (*p - '0') : 9999;
        }

        e = (point == '-') ? -e : e;
    }

    e -= frac;

#if (FLT_EVAL_METHOD == 0)

    /* both are exact, so one division or multiplication rounds once */

    if (d - buf <= 15 && e >= -22 && e <= 22) {

        static const double  power[] = {
            1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
            1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22
        };

        v = (double) m;
        v = (e < 0) ? v / power[-e] : v * power[e];

        return minus ? -v : v;
    }

#endif

    snprintf(d, (size_t) (buf + sizeof(buf) - d), "e%d", e);

    v = strtod(buf, NULL);

    return minus ? -v : v;
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

    if (aiq_json_read_hex(s + 2, last, &code) != 0) {
        return 0xfffd;
    }

    *p = s + 6;

    if (code < 0xd800 || code > 0xdbff) {
        return code;
    }

    if (last - s < 12 || aiq_json_read_hex(s + 8, last, &low) != 0) {
        return 0xfffd;
    }

    *p = s + 12;

    return 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
}
