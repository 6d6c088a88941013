
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The canonical order of keys.  A merge sort over links: n log n whatever a
 * client sends, and no memory.  Two equal keys meet on the way, so the
 * duplicates are found by the same work.
 */


#include <string.h>

#include "json_tape.h"


/* lists of the merge sort; 2 ^ 16 keys, more than a tape has */

#define AIQ_JSON_BINS         17


static uint32_t aiq_json_sort_merge(aiq_json_tape_t *tape, uint32_t a,
    uint32_t b, uint32_t *twice);
static int aiq_json_sort_compare(const aiq_json_tape_t *tape, uint32_t a,
    uint32_t b);
static int aiq_json_sort_compare_text(const unsigned char *a,
    const unsigned char *a_last, const unsigned char *b,
    const unsigned char *b_last);
static void aiq_json_sort_skip(const unsigned char **pa,
    const unsigned char *a_last, const unsigned char **pb,
    const unsigned char *b_last);


uint32_t
aiq_json_sort(aiq_json_tape_t *tape, uint32_t object)
{
    int              rc, sorted;
    uint32_t         i, k, next, list, twice, bins[AIQ_JSON_BINS];
    aiq_json_tok_t  *tok;

    tok = tape->tok;
    sorted = 1;

    for (k = object + 1; k != tape->n; k = next) {

        next = tok[k + 1].next;

        tok[k].next = next;
        tok[k].link = (next == tape->n) ? AIQ_JSON_NONE : next;

        if (sorted && next != tape->n) {
            rc = aiq_json_sort_compare(tape, k, next);

            if (rc == 0) {
                return next;
            }

            sorted = (rc < 0);
        }
    }

    if (sorted) {
        tok[object].link = object + 1;
        return AIQ_JSON_NONE;
    }

    twice = AIQ_JSON_NONE;

    for (i = 0; i < AIQ_JSON_BINS; i++) {
        bins[i] = AIQ_JSON_NONE;
    }

    /* bin i has 2 ^ i keys or none: counting in binary */

    for (k = object + 1; k != AIQ_JSON_NONE; k = next) {

        next = tok[k].link;
        tok[k].link = AIQ_JSON_NONE;
        list = k;

        for (i = 0; i < AIQ_JSON_BINS && bins[i] != AIQ_JSON_NONE; i++) {
            list = aiq_json_sort_merge(tape, bins[i], list, &twice);
            bins[i] = AIQ_JSON_NONE;
        }

        bins[i] = list;
    }

    list = AIQ_JSON_NONE;

    for (i = 0; i < AIQ_JSON_BINS; i++) {
        if (bins[i] != AIQ_JSON_NONE) {
            list = aiq_json_sort_merge(tape, bins[i], list, &twice);
        }
    }

    tok[object].link = list;

    return twice;
}


static uint32_t
aiq_json_sort_merge(aiq_json_tape_t *tape, uint32_t a, uint32_t b,
    uint32_t *twice)
{
    int        rc;
    uint32_t   head, *tail;

    tail = &head;

    while (a != AIQ_JSON_NONE && b != AIQ_JSON_NONE) {

        rc = aiq_json_sort_compare(tape, a, b);

        if (rc == 0) {
            *twice = (a > b) ? a : b;
        }

        if (rc <= 0) {
            *tail = a;
            tail = &tape->tok[a].link;
            a = *tail;

        } else {
            *tail = b;
            tail = &tape->tok[b].link;
            b = *tail;
        }
    }

    *tail = (a != AIQ_JSON_NONE) ? a : b;

    return head;
}


static int
aiq_json_sort_compare(const aiq_json_tape_t *tape, uint32_t a, uint32_t b)
{
    int                    rc;
    const unsigned char   *p, *q;
    const aiq_json_tok_t  *x, *y;

    x = &tape->tok[a];
    y = &tape->tok[b];

    p = tape->text + x->pos;
    q = tape->text + y->pos;

    if ((x->flags | y->flags) & (AIQ_JSON_ESCAPED|AIQ_JSON_UNICODE)) {
        return aiq_json_sort_compare_text(p, p + x->len, q, q + y->len);
    }

    /* mostly the first byte tells */

    if (x->len && y->len && *p != *q) {
        return (int) *p - (int) *q;
    }

    rc = memcmp(p, q, (x->len < y->len) ? x->len : y->len);

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
aiq_json_sort_compare_text(const unsigned char *a,
    const unsigned char *a_last, const unsigned char *b,
    const unsigned char *b_last)
{
    uint32_t  x, y;

    for ( ;; ) {

        /* decoding is slow: not for what is equal as written */

        aiq_json_sort_skip(&a, a_last, &b, b_last);

        if (a == a_last || b == b_last) {
            return (a < a_last) - (b < b_last);
        }

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
}


/*
 * Over equal bytes, to where both have a character of their own.  After a
 * high surrogate that is escaped in both, that is a low one in both, and they
 * compare as what they are.
 */

static void
aiq_json_sort_skip(const unsigned char **pa, const unsigned char *a_last,
    const unsigned char **pb, const unsigned char *b_last)
{
    size_t                n;
    const unsigned char  *a, *b, *start;

    a = *pa;
    b = *pb;
    start = a;

    while (a < a_last && b < b_last && *a == *b) {

        n = 1;

        if (*a == '\\') {
            n = (a_last - a >= 6 && a[1] == 'u') ? 6 : 2;

            if ((size_t) (a_last - a) < n || (size_t) (b_last - b) < n
                || memcmp(a, b, n) != 0)
            {
                break;
            }
        }

        a += n;
        b += n;
    }

    /* the difference may be inside a sequence, then it is so for both */

    while (a > start && a < a_last && (*a & 0xc0) == 0x80) {
        a--;
        b--;
    }

    *pa = a;
    *pb = b;
}
