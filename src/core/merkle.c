
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <string.h>

#include "merkle.h"


static uint64_t aiq_merkle_split(uint64_t n);


aiq_rc_t
aiq_merkle_leaf(aiq_crypto_t *c, aiq_str_t data, aiq_hash_t out)
{
    aiq_str_t  parts[2];

    parts[0].data = (const unsigned char *) "\0";
    parts[0].len = 1;
    parts[1] = data;

    return aiq_sha256v(c, parts, 2, out);
}


aiq_rc_t
aiq_merkle_node(aiq_crypto_t *c, const aiq_hash_t left,
    const aiq_hash_t right, aiq_hash_t out)
{
    aiq_str_t      in;
    unsigned char  buf[1 + 2 * AIQ_HASH_LEN];

    buf[0] = 1;
    memcpy(buf + 1, left, AIQ_HASH_LEN);
    memcpy(buf + 1 + AIQ_HASH_LEN, right, AIQ_HASH_LEN);

    in.data = buf;
    in.len = sizeof(buf);

    return aiq_sha256(c, in, out);
}


/* the largest power of two smaller than n, n >= 2 */

static uint64_t
aiq_merkle_split(uint64_t n)
{
    uint64_t  k;

    k = 1;

    while (k <= (n - 1) / 2) {
        k *= 2;
    }

    return k;
}


aiq_rc_t
aiq_merkle_root(aiq_crypto_t *c, const aiq_hash_t *leaves, uint64_t n,
    aiq_hash_t out)
{
    uint64_t        i;
    aiq_rc_t        rc;
    aiq_frontier_t  f;

    aiq_frontier_init(&f);

    for (i = 0; i < n; i++) {
        rc = aiq_frontier_add(c, &f, leaves[i]);
        if (rc != AIQ_OK) {
            return rc;
        }
    }

    return aiq_frontier_root(c, &f, out);
}


aiq_rc_t
aiq_merkle_proof(aiq_crypto_t *c, const aiq_hash_t *leaves, uint64_t n,
    uint64_t i, aiq_hash_t *proof, unsigned char *right, unsigned *count)
{
    uint64_t  k, first, size;
    unsigned  p;
    aiq_rc_t  rc;

    if (i >= n) {
        return AIQ_E_INTERNAL;
    }

    p = aiq_merkle_path(n, i, right);

    *count = p;

    first = 0;
    size = n;

    /* from the root down; the highest node is the last one of the proof */

    while (size > 1) {

        if (p == 0) {
            return AIQ_E_INTERNAL;
        }

        k = aiq_merkle_split(size);

        if (i - first < k) {
            rc = aiq_merkle_root(c, leaves + first + k, size - k, proof[--p]);
            size = k;

        } else {
            rc = aiq_merkle_root(c, leaves + first, k, proof[--p]);
            first += k;
            size -= k;
        }

        if (rc != AIQ_OK) {
            return rc;
        }
    }

    return (p == 0) ? AIQ_OK : AIQ_E_INTERNAL;
}


unsigned
aiq_merkle_path(uint64_t n, uint64_t i, unsigned char *right)
{
    uint64_t  last;
    unsigned  count;

    if (i >= n) {
        return 0;
    }

    count = 0;

    /* a node without a sibling goes up as it is */

    for (last = n - 1; last; last >>= 1, i >>= 1) {

        if ((i & 1) == 0 && i == last) {
            continue;
        }

        if (right != NULL) {
            right[count] = ((i & 1) == 0);
        }

        count++;
    }

    return count;
}


aiq_rc_t
aiq_merkle_verify(aiq_crypto_t *c, uint64_t i, uint64_t n,
    const aiq_hash_t leaf, const aiq_hash_t *proof, unsigned count,
    const aiq_hash_t root)
{
    unsigned       k;
    aiq_rc_t       rc;
    aiq_hash_t     hash;
    unsigned char  right[AIQ_PROOF_MAX];

    if (i >= n || count != aiq_merkle_path(n, i, right)) {
        return AIQ_D_PROOF_INVALID;
    }

    memcpy(hash, leaf, AIQ_HASH_LEN);

    for (k = 0; k < count; k++) {

        if (right[k]) {
            rc = aiq_merkle_node(c, hash, proof[k], hash);

        } else {
            rc = aiq_merkle_node(c, proof[k], hash, hash);
        }

        if (rc != AIQ_OK) {
            return rc;
        }
    }

    if (!aiq_equal(hash, root, AIQ_HASH_LEN)) {
        return AIQ_D_PROOF_INVALID;
    }

    return AIQ_OK;
}


/* RFC 9162, 2.1.4.2; an empty tree proves nothing and is refused */

aiq_rc_t
aiq_merkle_verify_consistency(aiq_crypto_t *c, uint64_t n1, uint64_t n2,
    const aiq_hash_t *proof, unsigned count, const aiq_hash_t root1,
    const aiq_hash_t root2)
{
    unsigned    k;
    uint64_t    fn, sn;
    aiq_rc_t    rc;
    aiq_hash_t  fr, sr;

    if (n1 == 0 || n1 > n2) {
        return AIQ_D_PROOF_INVALID;
    }

    if (n1 == n2) {

        if (count != 0 || !aiq_equal(root1, root2, AIQ_HASH_LEN)) {
            return AIQ_D_PROOF_INVALID;
        }

        return AIQ_OK;
    }

    if (count == 0 || count > AIQ_PROOF_MAX) {
        return AIQ_D_PROOF_INVALID;
    }

    fn = n1 - 1;
    sn = n2 - 1;

    while (fn & 1) {
        fn >>= 1;
        sn >>= 1;
    }

    /* a full first tree is its own starting point and is not in the proof */

    k = 0;

    if ((n1 & (n1 - 1)) == 0) {
        memcpy(fr, root1, AIQ_HASH_LEN);

    } else {
        memcpy(fr, proof[k++], AIQ_HASH_LEN);
    }

    memcpy(sr, fr, AIQ_HASH_LEN);

    for ( /* void */ ; k < count; k++) {

        if (sn == 0) {
            return AIQ_D_PROOF_INVALID;
        }

        if ((fn & 1) || fn == sn) {

            rc = aiq_merkle_node(c, proof[k], fr, fr);
            if (rc != AIQ_OK) {
                return rc;
            }

            rc = aiq_merkle_node(c, proof[k], sr, sr);
            if (rc != AIQ_OK) {
                return rc;
            }

            while (fn && (fn & 1) == 0) {
                fn >>= 1;
                sn >>= 1;
            }

        } else {
            rc = aiq_merkle_node(c, sr, proof[k], sr);
            if (rc != AIQ_OK) {
                return rc;
            }
        }

        fn >>= 1;
        sn >>= 1;
    }

    if (sn != 0
        || !aiq_equal(fr, root1, AIQ_HASH_LEN)
        || !aiq_equal(sr, root2, AIQ_HASH_LEN))
    {
        return AIQ_D_PROOF_INVALID;
    }

    return AIQ_OK;
}


uint64_t
aiq_merkle_nodes(uint64_t n)
{
    uint64_t  total;

    total = 0;

    while (n > 1) {
        n -= n / 2;
        total += n;
    }

    return total;
}


aiq_rc_t
aiq_merkle_build(aiq_crypto_t *c, const aiq_hash_t *leaves, uint64_t n,
    aiq_hash_t *nodes, aiq_hash_t root)
{
    uint64_t           i;
    aiq_rc_t           rc;
    const aiq_hash_t  *level;

    if (n == 0) {
        return AIQ_E_INTERNAL;
    }

    level = leaves;

    while (n > 1) {

        for (i = 0; i < n / 2; i++) {
            rc = aiq_merkle_node(c, level[2 * i], level[2 * i + 1], nodes[i]);
            if (rc != AIQ_OK) {
                return rc;
            }
        }

        /* a node without a sibling goes up as it is */

        if (n & 1) {
            memcpy(nodes[i], level[n - 1], AIQ_HASH_LEN);
        }

        n -= n / 2;
        level = (const aiq_hash_t *) nodes;
        nodes += n;
    }

    memcpy(root, level[0], AIQ_HASH_LEN);

    return AIQ_OK;
}


unsigned
aiq_merkle_lookup(const aiq_hash_t *leaves, const aiq_hash_t *nodes,
    uint64_t n, uint64_t i, aiq_hash_t *proof, unsigned char *right)
{
    unsigned           count;
    const aiq_hash_t  *level;

    if (i >= n) {
        return 0;
    }

    count = 0;
    level = leaves;

    while (n > 1) {

        if ((i ^ 1) < n) {
            memcpy(proof[count], level[i ^ 1], AIQ_HASH_LEN);

            if (right != NULL) {
                right[count] = ((i & 1) == 0);
            }

            count++;
        }

        i >>= 1;
        n -= n / 2;
        level = nodes;
        nodes += n;
    }

    return count;
}


void
aiq_frontier_init(aiq_frontier_t *f)
{
    /* node[k] is read only where bit k of size is set */

    f->size = 0;
}


aiq_rc_t
aiq_frontier_add(aiq_crypto_t *c, aiq_frontier_t *f, const aiq_hash_t leaf)
{
    unsigned    k;
    aiq_rc_t    rc;
    aiq_hash_t  hash;

    if (f->size == UINT64_MAX) {
        return AIQ_E_INTERNAL;
    }

    memcpy(hash, leaf, AIQ_HASH_LEN);

    for (k = 0; f->size >> k & 1; k++) {
        rc = aiq_merkle_node(c, f->node[k], hash, hash);
        if (rc != AIQ_OK) {
            return rc;
        }
    }

    memcpy(f->node[k], hash, AIQ_HASH_LEN);

    f->size++;

    return AIQ_OK;
}


aiq_rc_t
aiq_frontier_root(aiq_crypto_t *c, const aiq_frontier_t *f, aiq_hash_t out)
{
    unsigned    k, found;
    aiq_rc_t    rc;
    aiq_str_t   empty;
    aiq_hash_t  hash;

    if (f->size == 0) {
        aiq_str_null(&empty);
        return aiq_sha256(c, empty, out);
    }

    found = 0;

    for (k = 0; k < 64; k++) {

        if ((f->size >> k & 1) == 0) {
            continue;
        }

        if (!found) {
            memcpy(hash, f->node[k], AIQ_HASH_LEN);
            found = 1;
            continue;
        }

        rc = aiq_merkle_node(c, f->node[k], hash, hash);
        if (rc != AIQ_OK) {
            return rc;
        }
    }

    memcpy(out, hash, AIQ_HASH_LEN);

    return AIQ_OK;
}
