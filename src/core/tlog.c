
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <stdint.h>
#include <string.h>

#include "b64.h"
#include "tlog.h"


#define AIQ_TLOG_PROOF   "c2sp.org/tlog-proof@v1\n"
#define AIQ_TLOG_INDEX   "index "
#define AIQ_TLOG_EXTRA   "extra "


static uint64_t aiq_tlog_split(uint64_t n);
static void aiq_tlog_reverse(aiq_tlog_range_t *r, unsigned count);
static aiq_rc_t aiq_tlog_node(aiq_tlog_reader_t *r, unsigned level,
    uint64_t i, aiq_crypto_t *c, aiq_hash_t out, aiq_err_t *err);
static int aiq_tlog_line(aiq_str_t *rest, aiq_str_t *line);


void
aiq_tlog_edge_init(aiq_tlog_edge_t *e)
{
    /* of hash only what size says is read */

    e->size = 0;
}


aiq_rc_t
aiq_tlog_edge_add(aiq_tlog_edge_t *e, const aiq_hash_t leaf, int dir,
    aiq_crypto_t *c, aiq_err_t *err)
{
    uint64_t    n;
    unsigned    level, at;
    aiq_rc_t    rc;
    aiq_hash_t  hash;

    memcpy(hash, leaf, AIQ_HASH_LEN);

    for (level = 0; level < AIQ_TILE_LEVELS; level++) {

        at = aiq_tlog_width(e->size, level);

        memcpy(e->hash[level][at], hash, AIQ_HASH_LEN);

        if (at < AIQ_TILE_WIDTH - 1) {
            e->size++;
            return AIQ_OK;
        }

        n = e->size >> 8 * (level + 1);

        rc = aiq_tile_write(dir, level, n, AIQ_TILE_WIDTH,
                            (const aiq_hash_t *) e->hash[level], err);
        if (rc != AIQ_OK) {
            return rc;
        }

        if (aiq_merkle_root(c, (const aiq_hash_t *) e->hash[level],
                            AIQ_TILE_WIDTH, hash)
            != AIQ_OK)
        {
            return aiq_fail(err, AIQ_E_CRYPTO_FAILED, "SHA-256 failed");
        }
    }

    return aiq_fail(err, AIQ_E_INTERNAL, "the log is too long");
}


aiq_rc_t
aiq_tlog_edge_root(const aiq_tlog_edge_t *e, aiq_crypto_t *c,
    aiq_hash_t root)
{
    unsigned        i, k, level, width;
    aiq_rc_t        rc;
    aiq_frontier_t  all, part;

    all.size = e->size;

    for (level = 0; level < AIQ_TILE_LEVELS; level++) {

        width = aiq_tlog_width(e->size, level);

        aiq_frontier_init(&part);

        for (i = 0; i < width; i++) {
            rc = aiq_frontier_add(c, &part, e->hash[level][i]);
            if (rc != AIQ_OK) {
                return rc;
            }
        }

        for (k = 0; k < 8; k++) {

            if (width >> k & 1) {
                memcpy(all.node[8 * level + k], part.node[k], AIQ_HASH_LEN);
            }
        }
    }

    return aiq_frontier_root(c, &all, root);
}


aiq_rc_t
aiq_tlog_edge_load(aiq_tlog_edge_t *e, int dir, uint64_t size,
    aiq_err_t *err)
{
    unsigned  level, width;
    aiq_rc_t  rc;

    for (level = 0; level < AIQ_TILE_LEVELS; level++) {

        width = aiq_tlog_width(size, level);

        if (width == 0) {
            continue;
        }

        rc = aiq_tile_read(dir, level, size >> 8 * (level + 1), width,
                           e->hash[level], err);
        if (rc != AIQ_OK) {
            e->size = 0;
            return rc;
        }
    }

    e->size = size;

    return AIQ_OK;
}


aiq_rc_t
aiq_tlog_edge_save(const aiq_tlog_edge_t *e, int dir, aiq_err_t *err)
{
    unsigned  level, width;
    aiq_rc_t  rc;

    for (level = 0; level < AIQ_TILE_LEVELS; level++) {

        width = aiq_tlog_width(e->size, level);

        if (width == 0) {
            continue;
        }

        rc = aiq_tile_write(dir, level, e->size >> 8 * (level + 1), width,
                            (const aiq_hash_t *) e->hash[level], err);
        if (rc != AIQ_OK) {
            return rc;
        }
    }

    return AIQ_OK;
}


/* the largest power of two smaller than n, n >= 2 */

static uint64_t
aiq_tlog_split(uint64_t n)
{
    uint64_t  k;

    k = 1;

    while (k <= (n - 1) / 2) {
        k *= 2;
    }

    return k;
}


static void
aiq_tlog_reverse(aiq_tlog_range_t *r, unsigned count)
{
    unsigned          i;
    aiq_tlog_range_t  t;

    for (i = 0; i < count / 2; i++) {
        t = r[i];
        r[i] = r[count - 1 - i];
        r[count - 1 - i] = t;
    }
}


/* RFC 9162 2.1.3.1, from the root down */

aiq_rc_t
aiq_tlog_inclusion(uint64_t n, uint64_t i, aiq_tlog_range_t *r,
    unsigned *count)
{
    uint64_t  k, first;
    unsigned  p;

    if (i >= n || n >> 8 * AIQ_TILE_LEVELS) {
        return AIQ_E_INTERNAL;
    }

    first = 0;

    for (p = 0; n > 1; p++) {

        k = aiq_tlog_split(n);

        if (i - first < k) {
            r[p].first = first + k;
            r[p].size = n - k;
            n = k;

        } else {
            r[p].first = first;
            r[p].size = k;
            first += k;
            n -= k;
        }
    }

    aiq_tlog_reverse(r, p);

    *count = p;

    return AIQ_OK;
}


/* RFC 9162 2.1.4.1 */

aiq_rc_t
aiq_tlog_consistency(uint64_t n1, uint64_t n2, aiq_tlog_range_t *r,
    unsigned *count)
{
    uint64_t  k, m, n, first;
    unsigned  p;

    if (n1 == 0 || n1 > n2 || n2 >> 8 * AIQ_TILE_LEVELS) {
        return AIQ_E_INTERNAL;
    }

    first = 0;
    m = n1;
    n = n2;

    for (p = 0; m < n; p++) {

        k = aiq_tlog_split(n);

        if (m <= k) {
            r[p].first = first + k;
            r[p].size = n - k;
            n = k;

        } else {
            r[p].first = first;
            r[p].size = k;
            first += k;
            m -= k;
            n -= k;
        }
    }

    /* the head of the first tree is known to whoever asks */

    if (first) {
        r[p].first = first;
        r[p].size = n;
        p++;
    }

    aiq_tlog_reverse(r, p);

    *count = p;

    return AIQ_OK;
}


/* the head of 2^level leaves, number i of those */

static aiq_rc_t
aiq_tlog_node(aiq_tlog_reader_t *r, unsigned level, uint64_t i,
    aiq_crypto_t *c, aiq_hash_t out, aiq_err_t *err)
{
    uint64_t  at, n, count;
    unsigned  row, span, width;
    aiq_rc_t  rc;

    row = level / 8;
    span = 1u << level % 8;

    at = i << level % 8;
    n = at / AIQ_TILE_WIDTH;
    at %= AIQ_TILE_WIDTH;

    count = r->size >> 8 * row;
    width = (n < count / AIQ_TILE_WIDTH) ? AIQ_TILE_WIDTH
                                         : (unsigned) (count % AIQ_TILE_WIDTH);

    if (at + span > width) {
        return aiq_fail(err, AIQ_E_INTERNAL, "the tree has no such node");
    }

    if (r->width != width || r->level != row || r->n != n) {
        r->width = 0;

        rc = aiq_tile_read(r->dir, row, n, width, r->hash, err);
        if (rc != AIQ_OK) {
            return rc;
        }

        r->width = width;
        r->level = row;
        r->n = n;
    }

    if (aiq_merkle_root(c, (const aiq_hash_t *) r->hash + at, span, out)
        != AIQ_OK)
    {
        return aiq_fail(err, AIQ_E_CRYPTO_FAILED, "SHA-256 failed");
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_tlog_head(aiq_tlog_reader_t *r, uint64_t first, uint64_t size,
    aiq_crypto_t *c, aiq_hash_t out, aiq_err_t *err)
{
    uint64_t        at;
    unsigned        k;
    aiq_rc_t        rc;
    aiq_frontier_t  f;

    /* whole subtrees from the left, each smaller than the one before */

    f.size = size;
    at = first;

    for (k = 8 * AIQ_TILE_LEVELS; k-- > 0; /* void */ ) {

        if ((size >> k & 1) == 0) {
            continue;
        }

        rc = aiq_tlog_node(r, k, at >> k, c, f.node[k], err);
        if (rc != AIQ_OK) {
            return rc;
        }

        at += (uint64_t) 1 << k;
    }

    if (at != first + size) {
        return aiq_fail(err, AIQ_E_INTERNAL, "the tree has no such node");
    }

    if (aiq_frontier_root(c, &f, out) != AIQ_OK) {
        return aiq_fail(err, AIQ_E_CRYPTO_FAILED, "SHA-256 failed");
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_tlog_heads(aiq_tlog_reader_t *r, const aiq_tlog_range_t *ranges,
    unsigned count, aiq_crypto_t *c, aiq_hash_t *out, aiq_err_t *err)
{
    unsigned  i;
    aiq_rc_t  rc;

    for (i = 0; i < count; i++) {

        rc = aiq_tlog_head(r, ranges[i].first, ranges[i].size, c, out[i],
                           err);
        if (rc != AIQ_OK) {
            return rc;
        }
    }

    return AIQ_OK;
}


void
aiq_tlog_proof_write(aiq_out_t *out, const aiq_tlog_proof_t *p)
{
    unsigned  i;

    aiq_out_str(out, AIQ_TLOG_PROOF AIQ_TLOG_INDEX);
    aiq_out_int(out, (int64_t) p->index);
    aiq_out_char(out, '\n');

    for (i = 0; i < p->count; i++) {
        aiq_b64_encode(out, p->proof[i], AIQ_HASH_LEN);
        aiq_out_char(out, '\n');
    }

    aiq_out_char(out, '\n');
    aiq_out_mem(out, p->note.data, p->note.len);
}


static int
aiq_tlog_line(aiq_str_t *rest, aiq_str_t *line)
{
    const unsigned char  *lf;

    lf = rest->len ? memchr(rest->data, '\n', rest->len) : NULL;

    if (lf == NULL) {
        return 0;
    }

    line->data = rest->data;
    line->len = (size_t) (lf - rest->data);

    rest->data += line->len + 1;
    rest->len -= line->len + 1;

    return 1;
}


aiq_rc_t
aiq_tlog_proof_parse(aiq_tlog_proof_t *p, aiq_str_t text, aiq_err_t *err)
{
    size_t         i, len;
    aiq_str_t      line;
    unsigned char  hash[64];

    if (!aiq_tlog_line(&text, &line)
        || line.len != sizeof(AIQ_TLOG_PROOF) - 2
        || memcmp(line.data, AIQ_TLOG_PROOF, line.len) != 0
        || !aiq_tlog_line(&text, &line))
    {
        goto invalid;
    }

    /* what is extra is in no hash */

    if (line.len >= 6 && memcmp(line.data, AIQ_TLOG_EXTRA, 6) == 0
        && !aiq_tlog_line(&text, &line))
    {
        goto invalid;
    }

    if (line.len < 7 || line.len > 6 + 18
        || memcmp(line.data, AIQ_TLOG_INDEX, 6) != 0
        || (line.data[6] == '0' && line.len > 7))
    {
        goto invalid;
    }

    p->index = 0;

    for (i = 6; i < line.len; i++) {

        if (line.data[i] < '0' || line.data[i] > '9') {
            goto invalid;
        }

        p->index = p->index * 10 + (uint64_t) (line.data[i] - '0');
    }

    for (p->count = 0; /* void */ ; p->count++) {

        if (!aiq_tlog_line(&text, &line)) {
            goto invalid;
        }

        if (line.len == 0) {
            break;
        }

        if (p->count == AIQ_PROOF_MAX || line.len != 44
            || aiq_b64_decode(line, hash, &len) != AIQ_OK
            || len != AIQ_HASH_LEN)
        {
            goto invalid;
        }

        memcpy(p->proof[p->count], hash, AIQ_HASH_LEN);
    }

    p->note = text;

    return AIQ_OK;

invalid:

    return aiq_fail(err, AIQ_DECLINED, "this is not a proof, tlog-proof@v1");
}
