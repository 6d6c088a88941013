
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <math.h>
#include <stdio.h>
#include <string.h>

#include "json_tape.h"


#define aiq_json_ones         0x0101010101010101ULL
#define aiq_json_tops         0x8080808080808080ULL

/*
 * The top bit of every byte of v that is less than n, n <= 0x80.  A byte of
 * more significance than a hit may hit falsely, so "any" and the first one of
 * a little-endian word are exact.
 */

#define aiq_json_less(v, n)   (((v) - aiq_json_ones * (n)) & ~(v))

#define aiq_json_is_blank(c)                                                  \
    ((c) == ' ' || (c) == '\n' || (c) == '\r' || (c) == '\t')


typedef struct {
    const unsigned char  *start;
    const unsigned char  *pos;
    const unsigned char  *end;
    aiq_json_tape_t       tape;
    unsigned              depth;       /* containers that are open */
    unsigned              depth_max;
    unsigned              lax;         /* nothing is decided on the values */
    aiq_err_t            *err;
    uint32_t              open[AIQ_JSON_DEPTH];
} aiq_json_reader_t;


static aiq_rc_t aiq_json_start(aiq_json_t *doc, aiq_str_t text,
    unsigned depth, unsigned lax, aiq_mem_t *mem, aiq_err_t *err);
static aiq_rc_t aiq_json_read(aiq_json_reader_t *r);
static aiq_rc_t aiq_json_read_open(aiq_json_reader_t *r, unsigned char c);
static aiq_rc_t aiq_json_read_end(aiq_json_reader_t *r);
static aiq_rc_t aiq_json_read_key(aiq_json_reader_t *r);
static aiq_rc_t aiq_json_read_scalar(aiq_json_reader_t *r, unsigned char c);
static aiq_rc_t aiq_json_read_word(aiq_json_reader_t *r, const char *word,
    size_t len, int type);
static aiq_rc_t aiq_json_read_string(aiq_json_reader_t *r, unsigned flags);
static const unsigned char *aiq_json_plain(const unsigned char *p,
    const unsigned char *end);
static aiq_rc_t aiq_json_read_escape(aiq_json_reader_t *r, unsigned any);
static aiq_rc_t aiq_json_read_number(aiq_json_reader_t *r);
static const unsigned char *aiq_json_digits(const unsigned char *p,
    const unsigned char *end);
static aiq_rc_t aiq_json_check_number(aiq_json_reader_t *r,
    const unsigned char *p, size_t len, unsigned integer, unsigned exponent);
static aiq_json_tok_t *aiq_json_push(aiq_json_reader_t *r, int type);
static void aiq_json_skip_blanks(aiq_json_reader_t *r);

static aiq_rc_t aiq_json_bad(aiq_json_reader_t *r, const unsigned char *p,
    const char *what);
static aiq_rc_t aiq_json_fail(aiq_json_reader_t *r, const unsigned char *p,
    aiq_rc_t rc, const char *what);
static aiq_rc_t aiq_json_fail_key(aiq_json_reader_t *r, uint32_t key);


aiq_rc_t
aiq_json_parse(aiq_json_t *doc, aiq_str_t text, unsigned depth,
    aiq_mem_t *mem, aiq_err_t *err)
{
    return aiq_json_start(doc, text, depth, 0, mem, err);
}


aiq_rc_t
aiq_json_scan(aiq_json_t *doc, aiq_str_t text, unsigned depth,
    aiq_mem_t *mem, aiq_err_t *err)
{
    return aiq_json_start(doc, text, depth, 1, mem, err);
}


static aiq_rc_t
aiq_json_start(aiq_json_t *doc, aiq_str_t text, unsigned depth, unsigned lax,
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
    r.tape.text = text.data;
    r.tape.n = 0;
    r.depth = 0;
    r.depth_max = (depth < AIQ_JSON_DEPTH) ? depth : AIQ_JSON_DEPTH;
    r.lax = lax;
    r.err = err;

    /* positions have 32 bits, and no token may reach AIQ_JSON_NONE */

    if (text.len >= UINT32_MAX) {
        return aiq_json_fail(&r, r.pos, AIQ_D_JSON_TOO_LARGE,
                             "the text is too long");
    }

    saved = mem->pos;

    r.tape.tok = aiq_mem_alloc(mem, 0);

    if (r.tape.tok == NULL) {
        return aiq_json_fail(&r, r.pos, AIQ_D_JSON_TOO_LARGE,
                             "no room for a token");
    }

    max = (size_t) (mem->end - mem->pos) / sizeof(aiq_json_tok_t);

    r.tape.max = (max < AIQ_JSON_TOKENS) ? (uint32_t) max : AIQ_JSON_TOKENS;

    rc = aiq_json_read(&r);

    if (rc != AIQ_OK) {
        mem->pos = saved;
        return rc;
    }

    mem->pos = (unsigned char *) (r.tape.tok + r.tape.n);

    doc->tok = r.tape.tok;
    doc->n = r.tape.n;

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

    r->open[r->depth++] = r->tape.n - 1;
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
    uint32_t         key;
    unsigned char    c;
    aiq_json_tok_t  *t;

    while (r->depth) {

        aiq_json_skip_blanks(r);

        c = (r->pos < r->end) ? *r->pos : '\0';

        t = &r->tape.tok[r->open[r->depth - 1]];

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
        t->next = r->tape.n;

        if (t->type == AIQ_JSON_OBJECT && t->n) {
            key = aiq_json_sort(&r->tape, r->open[r->depth]);

            if (key != AIQ_JSON_NONE) {
                return aiq_json_fail_key(r, key);
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

        p = aiq_json_plain(p, end);

        if (p == end) {
            return aiq_json_bad(r, p, NULL);
        }

        if (*p == '"') {
            break;
        }

        if (*p == '\\') {
            flags |= AIQ_JSON_ESCAPED;
            r->pos = p;

            rc = aiq_json_read_escape(r, r->lax && !(flags & AIQ_JSON_KEY));

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


/* over what a string may hold and nobody must look at */

static const unsigned char *
aiq_json_plain(const unsigned char *p, const unsigned char *end)
{
    uint64_t  v;

    while (end - p >= 8) {
        memcpy(&v, p, 8);

        v = (aiq_json_less(v, 0x20) | v
             | aiq_json_less(v ^ (aiq_json_ones * '"'), 1)
             | aiq_json_less(v ^ (aiq_json_ones * '\\'), 1))
            & aiq_json_tops;

        if (v) {

#if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)

            return p + __builtin_ctzll(v) / 8;

#else

            break;

#endif

        }

        p += 8;
    }

    while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\') {
        p++;
    }

    return p;
}


/* any: also what no UTF-8 text can hold */

static aiq_rc_t
aiq_json_read_escape(aiq_json_reader_t *r, unsigned any)
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

    if (aiq_json_hex4(p + 2, r->end, &code) != 0) {
        return aiq_json_bad(r, p, "bad \\u escape");
    }

    r->pos = p + 6;

    if (any) {
        return AIQ_OK;
    }

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
        && aiq_json_hex4(r->pos + 2, r->end, &low) == 0
        && low >= 0xdc00 && low <= 0xdfff)
    {
        r->pos += 6;
        return AIQ_OK;
    }

    return aiq_json_fail(r, p, AIQ_D_JSON_ENCODING, "lone surrogate");
}


static aiq_rc_t
aiq_json_read_number(aiq_json_reader_t *r)
{
    unsigned              integer, exponent;
    aiq_rc_t              rc;
    aiq_json_tok_t       *t;
    const unsigned char  *p, *q, *end;

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
        p = aiq_json_digits(p, end);
    }

    if (p < end && *p == '.') {
        integer = 0;
        p++;

        q = p;
        p = aiq_json_digits(p, end);

        if (p == q) {
            return aiq_json_bad(r, p, "expected a digit");
        }
    }

    if (p < end && (*p == 'e' || *p == 'E')) {
        integer = 0;
        exponent = 1;
        p++;

        if (p < end && (*p == '+' || *p == '-')) {
            p++;
        }

        q = p;
        p = aiq_json_digits(p, end);

        if (p == q) {
            return aiq_json_bad(r, p, "expected a digit");
        }
    }

    if (r->lax) {
        integer = 0;

    } else {
        rc = aiq_json_check_number(r, r->pos, (size_t) (p - r->pos), integer,
                                   exponent);
        if (rc != AIQ_OK) {
            return rc;
        }
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


static const unsigned char *
aiq_json_digits(const unsigned char *p, const unsigned char *end)
{
    while (p < end && aiq_json_is_digit(*p)) {
        p++;
    }

    return p;
}


static aiq_rc_t
aiq_json_check_number(aiq_json_reader_t *r, const unsigned char *p,
    size_t len, unsigned integer, unsigned exponent)
{
    double    number;
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

    /* 15 digits before the point are in range whatever follows */

    if (!exponent && len <= 16) {
        return AIQ_OK;
    }

    number = fabs(aiq_json_number(p, len));

    if (!isfinite(number)) {
        return aiq_json_fail(r, p, AIQ_D_JSON_NUMBER,
                             "a number overflows a double");
    }

    /*
     * Below 1e21 the canonical form has no exponent, so 1e20 becomes an
     * integer that this reader would refuse.
     */

    if (number > (double) AIQ_JSON_SAFE && number < 1e21) {
        return aiq_json_fail(r, p, AIQ_D_JSON_NUMBER,
                             "an integer beyond 2^53 - 1 when canonical");
    }

    return AIQ_OK;
}


static aiq_json_tok_t *
aiq_json_push(aiq_json_reader_t *r, int type)
{
    aiq_json_tok_t  *t;

    if (r->tape.n == r->tape.max) {
        (void) aiq_json_fail(r, r->pos, AIQ_D_JSON_TOO_LARGE,
                             "too many values");
        return NULL;
    }

    t = &r->tape.tok[r->tape.n++];

    t->pos = (uint32_t) (r->pos - r->start);
    t->len = 0;
    t->next = r->tape.n;
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


/* not which one it is: sentences go into records, and names may be secrets */

static aiq_rc_t
aiq_json_fail_key(aiq_json_reader_t *r, uint32_t key)
{
    size_t                len;
    char                  what[64];
    const unsigned char  *p, *q;

    p = r->start + r->tape.tok[key].pos;

    for (q = p; q > r->start && q[-1] != '\n'; q--) { /* void */ }

    len = (size_t) (p - q);

    (void) snprintf(what, sizeof(what), "the key at byte %zu of it appears "
                    "twice", len);

    return aiq_json_fail(r, p, AIQ_D_JSON_DUPLICATE_KEY, what);
}
