
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <dirent.h>
#include <jansson.h>
#include <openssl/evp.h>

#include "tap.h"
#include "merkle.h"


#define NMAX  70


typedef struct {
    int  total;
    int  right;
    int  good;              /* expected to verify */
} count_t;

typedef int (*case_pt)(aiq_crypto_t *c, json_t *v);


static void test_known(aiq_crypto_t *c);
static void test_trees(aiq_crypto_t *c);
static void test_one(aiq_crypto_t *c, unsigned n, unsigned i);
static void test_lookup(aiq_crypto_t *c);
static void test_consistency(aiq_crypto_t *c);
static void test_limits(aiq_crypto_t *c);
static void consistency(aiq_crypto_t *c, unsigned m, unsigned lo, unsigned n,
    int whole, aiq_hash_t *proof, unsigned *count);
static void reference(aiq_crypto_t *c, const aiq_hash_t *l, unsigned n,
    aiq_hash_t out);
static void test_vectors(aiq_crypto_t *c, const char *set, case_pt run);
static void walk(aiq_crypto_t *c, const char *dir, case_pt run, count_t *n);
static int inclusion_case(aiq_crypto_t *c, json_t *v);
static int consistency_case(aiq_crypto_t *c, json_t *v);
static int hash_of(json_t *v, aiq_hash_t out);
static int proof_of(json_t *v, aiq_hash_t *out, unsigned *count);
static uint64_t u64(json_t *v);


static aiq_hash_t  leaves[NMAX];
static aiq_hash_t  roots[NMAX + 1];
static int         bad;


/* RFC 9162 2.1.1 as it is written, to compare with */

static void
reference(aiq_crypto_t *c, const aiq_hash_t *l, unsigned n, aiq_hash_t out)
{
    unsigned    k;
    aiq_hash_t  left, right;

    if (n == 1) {
        memcpy(out, l[0], AIQ_HASH_LEN);
        return;
    }

    for (k = 1; k * 2 < n; k *= 2) { /* void */ }

    reference(c, l, k, left);
    reference(c, l + k, n - k, right);
    aiq_merkle_node(c, left, right, out);
}


/* the eight leaves that Certificate Transparency implementations test with */

static void
test_known(aiq_crypto_t *c)
{
    int         i, k;
    char        hex[65];
    aiq_hash_t  l[8], root;

    static const char  *const  data[] = {
        "", "\x00", "\x10", "\x20\x21", "\x30\x31", "\x40\x41\x42\x43",
        "\x50\x51\x52\x53\x54\x55\x56\x57",
        "\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f"
    };

    static const size_t  lens[] = { 0, 1, 1, 2, 2, 4, 8, 16 };

    static const char  *const  want[] = {
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
    };

    for (i = 0; i < 8; i++) {
        aiq_str_t  s = { lens[i], (const unsigned char *) data[i] };

        aiq_merkle_leaf(c, s, l[i]);
    }

    for (i = 0; i <= 8; i++) {
        aiq_merkle_root(c, (const aiq_hash_t *) l, (uint64_t) i, root);

        for (k = 0; k < 32; k++) {
            sprintf(hex + 2 * k, "%02x", root[k]);
        }

        ok(strcmp(hex, want[i]) == 0, "head of %d leaves", i);
    }
}


static void
test_one(aiq_crypto_t *c, unsigned n, unsigned i)
{
    unsigned       count, k, m;
    aiq_hash_t     proof[AIQ_PROOF_MAX + 1], other;
    unsigned char  right[AIQ_PROOF_MAX], sides[AIQ_PROOF_MAX];

    const aiq_hash_t  *p = (const aiq_hash_t *) proof;

    if (aiq_merkle_proof(c, (const aiq_hash_t *) leaves, n, i, proof, right,
                         &count) != AIQ_OK
        || aiq_merkle_path(n, i, sides) != count
        || aiq_merkle_path(n, i, NULL) != count
        || memcmp(right, sides, count) != 0
        || aiq_merkle_verify(c, i, n, leaves[i], p, count, roots[n]))
    {
        bad++;
        diag("size %u, leaf %u", n, i);
        return;
    }

    /*
     * Another index, another leaf, one node more (the leaf, the last node or
     * the root) or less, any bit of a node: none of these is a proof.
     */

    for (k = 0; k < n + 2; k++) {
        if (k != i) {
            bad += !aiq_merkle_verify(c, k, n, leaves[i], p, count, roots[n]);
        }
    }

    bad += !aiq_merkle_verify(c, i, n, leaves[(i + 1) % n], p, count,
                              roots[n]) && n > 1;
    bad += !aiq_merkle_verify(c, i, n, roots[n], p, count, roots[n]) && n > 1;
    bad += !aiq_merkle_verify(c, 0, 1, roots[n], p, count, roots[n])
           && count != 0;

    memcpy(proof[count], roots[n], AIQ_HASH_LEN);
    bad += !aiq_merkle_verify(c, i, n, leaves[i], p, count + 1, roots[n]);

    if (count) {
        memcpy(proof[count], proof[count - 1], AIQ_HASH_LEN);
        bad += !aiq_merkle_verify(c, i, n, leaves[i], p, count + 1, roots[n]);
        bad += !aiq_merkle_verify(c, i, n, leaves[i], p, count - 1, roots[n]);
        bad += !aiq_merkle_verify(c, i, n, leaves[i], p + 1, count - 1,
                                  roots[n]);

        /* a node passed off as a leaf of the smaller tree above it */

        if (right[0]) {
            aiq_merkle_node(c, leaves[i], proof[0], other);

        } else {
            aiq_merkle_node(c, proof[0], leaves[i], other);
        }

        bad += !aiq_merkle_verify(c, i, n, other, p + 1, count - 1, roots[n]);
    }

    for (k = 0; k < count; k++) {
        m = (i * 37 + k * 11 + n) % 256;

        proof[k][m / 8] ^= (unsigned char) (1 << m % 8);
        bad += !aiq_merkle_verify(c, i, n, leaves[i], p, count, roots[n]);
        proof[k][m / 8] ^= (unsigned char) (1 << m % 8);

        if (k + 1 < count) {
            memcpy(other, proof[k], AIQ_HASH_LEN);
            memcpy(proof[k], proof[k + 1], AIQ_HASH_LEN);
            memcpy(proof[k + 1], other, AIQ_HASH_LEN);

            bad += !aiq_merkle_verify(c, i, n, leaves[i], p, count, roots[n]);

            memcpy(proof[k + 1], proof[k], AIQ_HASH_LEN);
            memcpy(proof[k], other, AIQ_HASH_LEN);
        }
    }
}


/* the tree kept whole has the same head and the same proofs */

static void
test_lookup(aiq_crypto_t *c)
{
    unsigned       n, i, count;
    aiq_hash_t     proof[AIQ_PROOF_MAX], found[AIQ_PROOF_MAX], *nodes, root;
    unsigned char  right[AIQ_PROOF_MAX], sides[AIQ_PROOF_MAX];

    const aiq_hash_t  *l = (const aiq_hash_t *) leaves;

    bad = 0;

    for (n = 1; n <= NMAX; n++) {

        /* of exactly that size, so that one more is seen */

        nodes = malloc((size_t) aiq_merkle_nodes(n) * AIQ_HASH_LEN + 1);

        bad += (aiq_merkle_build(c, l, n, nodes, root) != AIQ_OK
                || memcmp(root, roots[n], AIQ_HASH_LEN) != 0);

        for (i = 0; i < n; i++) {
            aiq_merkle_proof(c, l, n, i, proof, right, &count);

            bad += (aiq_merkle_lookup(l, (const aiq_hash_t *) nodes, n, i,
                                      found, sides) != count
                    || memcmp(proof, found, count * AIQ_HASH_LEN) != 0
                    || memcmp(right, sides, count) != 0);
        }

        bad += (aiq_merkle_lookup(l, (const aiq_hash_t *) nodes, n, n, found,
                                  NULL) != 0);

        free(nodes);
    }

    ok(bad == 0, "trees kept whole up to %d leaves", NMAX);
    ok(aiq_merkle_build(c, l, 0, NULL, root) == AIQ_E_INTERNAL
       && aiq_merkle_nodes(0) == 0 && aiq_merkle_nodes(1) == 0,
       "no leaves, no tree");
}


static void
test_trees(aiq_crypto_t *c)
{
    unsigned        i, n;
    aiq_str_t       s;
    aiq_hash_t      root;
    aiq_frontier_t  f;

    aiq_frontier_init(&f);

    for (n = 1; n <= NMAX; n++) {
        s.data = (unsigned char *) &n;
        s.len = sizeof(n);
        aiq_merkle_leaf(c, s, leaves[n - 1]);

        reference(c, (const aiq_hash_t *) leaves, n, roots[n]);

        bad += (aiq_frontier_add(c, &f, leaves[n - 1]) != AIQ_OK
                || aiq_frontier_root(c, &f, root) != AIQ_OK
                || f.size != n
                || memcmp(root, roots[n], AIQ_HASH_LEN) != 0);
    }

    ok(bad == 0, "a tree that grows to %d has the head of the definition",
       NMAX);

    bad = 0;

    for (n = 1; n <= NMAX; n++) {
        for (i = 0; i < n; i++) {
            test_one(c, n, i);
        }
    }

    ok(bad == 0, "all proofs up to %d leaves, and no other ones", NMAX);

    /* CVE-2012-2459: a tree whose last leaf stands twice is another tree */

    memcpy(leaves[3], leaves[2], AIQ_HASH_LEN);
    aiq_merkle_root(c, (const aiq_hash_t *) leaves, 4, root);
    ok(memcmp(root, roots[3], AIQ_HASH_LEN) != 0, "last leaf twice");
    n = 4;
    s.data = (unsigned char *) &n;
    aiq_merkle_leaf(c, s, leaves[3]);
}


/* PROOF and SUBPROOF of RFC 9162 2.1.4.1 as they are written */

static void
consistency(aiq_crypto_t *c, unsigned m, unsigned lo, unsigned n, int whole,
    aiq_hash_t *proof, unsigned *count)
{
    unsigned  k;

    const aiq_hash_t  *l = (const aiq_hash_t *) leaves;

    if (m == n) {
        if (!whole) {
            reference(c, l + lo, m, proof[(*count)++]);
        }

        return;
    }

    for (k = 1; k * 2 < n; k *= 2) { /* void */ }

    if (m <= k) {
        consistency(c, m, lo, k, whole, proof, count);
        reference(c, l + lo + k, n - k, proof[(*count)++]);

    } else {
        consistency(c, m - k, lo + k, n - k, 0, proof, count);
        reference(c, l + lo, k, proof[(*count)++]);
    }
}


static void
test_consistency(aiq_crypto_t *c)
{
    unsigned    m, n, count, k;
    aiq_hash_t  proof[AIQ_PROOF_MAX + 1];

    const aiq_hash_t  *p = (const aiq_hash_t *) proof;

    bad = 0;

    for (n = 1; n <= NMAX; n++) {
        for (m = 1; m <= n; m++) {

            count = 0;
            consistency(c, m, 0, n, 1, proof, &count);

            if (aiq_merkle_verify_consistency(c, m, n, p, count, roots[m],
                                              roots[n])
                != AIQ_OK)
            {
                bad++;
                diag("%u in %u", m, n);
                continue;
            }

            memcpy(proof[count], roots[n], AIQ_HASH_LEN);

            bad += !aiq_merkle_verify_consistency(c, m, n, p, count + 1,
                                                  roots[m], roots[n]);
            bad += count && !aiq_merkle_verify_consistency(c, m, n, p,
                                              count - 1, roots[m], roots[n]);
            bad += m != n && !aiq_merkle_verify_consistency(c, m, n, p, count,
                                                       roots[n], roots[m]);
            bad += m != n && !aiq_merkle_verify_consistency(c, n, m, p, count,
                                                       roots[n], roots[m]);

            for (k = 0; k < count; k++) {
                proof[k][k % 32] ^= 1;
                bad += !aiq_merkle_verify_consistency(c, m, n, p, count,
                                                      roots[m], roots[n]);
                proof[k][k % 32] ^= 1;
            }
        }
    }

    ok(bad == 0, "all consistency proofs up to %d leaves", NMAX);
}


static void
test_limits(aiq_crypto_t *c)
{
    unsigned        count;
    aiq_hash_t      hash, proof[AIQ_PROOF_MAX];
    unsigned char   right[AIQ_PROOF_MAX];
    aiq_frontier_t  f;

    const aiq_hash_t  *p = (const aiq_hash_t *) proof;

    memset(hash, 0, sizeof(hash));
    memset(proof, 0, sizeof(proof));

    ok(aiq_merkle_path(UINT64_MAX, 0, right) == 64,
       "the longest path there is fits");
    ok(aiq_merkle_path(UINT64_MAX, UINT64_MAX - 1, right) == 63,
       "the last leaf of the largest tree");
    ok(aiq_merkle_path(0, 0, right) == 0
       && aiq_merkle_path(5, 5, right) == 0
       && aiq_merkle_path(1, 0, right) == 0,
       "no path");
    ok(aiq_merkle_verify(c, 0, 0, hash, p, 0, hash) == AIQ_D_PROOF_INVALID,
       "size 0");
    ok(aiq_merkle_verify(c, UINT64_MAX, UINT64_MAX, hash, p, 64, hash)
       == AIQ_D_PROOF_INVALID, "index = size, the largest");
    ok(aiq_merkle_proof(c, p, 3, 3, proof, NULL, &count) == AIQ_E_INTERNAL,
       "no proof of a leaf that is not there");
    ok(aiq_merkle_verify(c, 0, 1, hash, NULL, 0, hash) == AIQ_OK,
       "one leaf is its own head");
    ok(aiq_merkle_verify_consistency(c, 1, 2, p, UINT32_MAX, hash, hash)
       == AIQ_D_PROOF_INVALID, "more nodes than there can be");
    ok(aiq_merkle_verify_consistency(c, UINT64_MAX, UINT64_MAX, p, 0, hash,
                                     hash) == AIQ_OK
       && aiq_merkle_verify_consistency(c, UINT64_MAX - 1, UINT64_MAX, p, 64,
                                        hash, hash) == AIQ_D_PROOF_INVALID,
       "the largest trees");

    aiq_frontier_init(&f);
    f.size = UINT64_MAX;
    ok(aiq_frontier_add(c, &f, hash) == AIQ_E_INTERNAL, "a full tree");
}


static uint64_t
u64(json_t *v)
{
    return (uint64_t) json_integer_value(v);
}


/* 1 if v is the base64 of 32 bytes */

static int
hash_of(json_t *v, aiq_hash_t out)
{
    size_t          len;
    const char     *s;
    unsigned char   buf[256];

    s = json_string_value(v);
    len = s ? strlen(s) : 0;

    if (len != 44 || s[43] != '='
        || EVP_DecodeBlock(buf, (const unsigned char *) s, (int) len) != 33)
    {
        return 0;
    }

    memcpy(out, buf, AIQ_HASH_LEN);

    return 1;
}


static int
proof_of(json_t *v, aiq_hash_t *out, unsigned *count)
{
    size_t   i;
    json_t  *e;

    *count = 0;

    json_array_foreach(v, i, e) {
        if (i == AIQ_PROOF_MAX || !hash_of(e, out[i])) {
            return 0;
        }

        (*count)++;
    }

    return 1;
}


/*
 * A hash of another length cannot be written in our types at all: such a
 * case is refused where its bytes are read.  Only where both roots are the
 * same such text the case is about sizes, and we put hashes there.
 */

static int
inclusion_case(aiq_crypto_t *c, json_t *v)
{
    unsigned    count;
    aiq_hash_t  proof[AIQ_PROOF_MAX], leaf, root;

    return hash_of(json_object_get(v, "leafHash"), leaf)
           && hash_of(json_object_get(v, "root"), root)
           && proof_of(json_object_get(v, "proof"), proof, &count)
           && aiq_merkle_verify(c, u64(json_object_get(v, "leafIdx")),
                                u64(json_object_get(v, "treeSize")), leaf,
                                (const aiq_hash_t *) proof, count, root)
              == AIQ_OK;
}


static int
consistency_case(aiq_crypto_t *c, json_t *v)
{
    json_t     *root1, *root2;
    unsigned    count;
    aiq_hash_t  proof[AIQ_PROOF_MAX], r1, r2;

    root1 = json_object_get(v, "root1");
    root2 = json_object_get(v, "root2");

    if (json_string_length(root1) == 16 && json_string_length(root2) == 16) {
        memset(r1, 1, sizeof(r1));
        memset(r2, json_equal(root1, root2) ? 1 : 2, sizeof(r2));

    } else {
        if (json_string_length(root1) == 16) {
            memset(r1, 1, sizeof(r1));

        } else if (!hash_of(root1, r1)) {
            return 0;
        }

        if (json_string_length(root2) == 16) {
            memset(r2, 2, sizeof(r2));

        } else if (!hash_of(root2, r2)) {
            return 0;
        }
    }

    return proof_of(json_object_get(v, "proof"), proof, &count)
           && aiq_merkle_verify_consistency(c,
                                       u64(json_object_get(v, "size1")),
                                       u64(json_object_get(v, "size2")),
                                       (const aiq_hash_t *) proof, count, r1,
                                       r2)
              == AIQ_OK;
}


static void
walk(aiq_crypto_t *c, const char *dir, case_pt run, count_t *n)
{
    int             want, got;
    DIR            *d;
    char            path[4096], *text;
    size_t          len;
    json_t         *v;
    json_error_t    error;
    struct dirent  *e;

    d = opendir(dir);
    if (d == NULL) {
        return;
    }

    while ((e = readdir(d)) != NULL) {

        if (e->d_name[0] == '.') {
            continue;
        }

        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);

        if (strstr(e->d_name, ".json") == NULL) {
            walk(c, path, run, n);
            continue;
        }

        text = slurp(path, &len);

        /* jansson has no unsigned integers: 2^64 - 1 is written as -1 */

        if (text != NULL) {
            char  *p = strstr(text, "18446744073709551615");

            if (p != NULL) {
                memcpy(p, "-1                  ", 20);
            }
        }

        v = text ? json_loadb(text, len, 0, &error) : NULL;

        if (v == NULL) {
            ok(0, "%s can be read", path);
            free(text);
            continue;
        }

        want = json_is_false(json_object_get(v, "wantErr"));
        got = run(c, v);

        n->total++;
        n->good += want;
        n->right += (want == got);

        if (want != got) {
            diag("%s: %s", path, got ? "accepted" : "refused");
        }

        json_decref(v);
        free(text);
    }

    closedir(d);
}


static void
test_vectors(aiq_crypto_t *c, const char *set, case_pt run)
{
    char         path[4096];
    count_t      n;
    const char  *dir;

    dir = getenv("ARMORIQ_VECTORS");

    snprintf(path, sizeof(path), "%s/merkle/%s",
             dir ? dir : "../shared/vectors", set);

    memset(&n, 0, sizeof(n));

    walk(c, path, run, &n);

    if (n.total == 0) {
        skip(set, "the vectors are absent");
        return;
    }

    ok(n.right == n.total && n.good > 0 && n.good < n.total,
       "%s: %d of %d cases as expected, %d of them good", set, n.right,
       n.total, n.good);
}


int
main(void)
{
    aiq_crypto_t  *c;

    c = aiq_crypto_new();
    if (!ok(c != NULL, "aiq_crypto_new")) {
        return done_testing();
    }

    test_known(c);
    test_trees(c);
    test_lookup(c);
    test_consistency(c);
    test_limits(c);

    test_vectors(c, "inclusion", inclusion_case);
    test_vectors(c, "consistency", consistency_case);
    skip("subtreeinclusion", "proofs of subtrees are not used");
    skip("subtreeconsistency", "proofs of subtrees are not used");

    aiq_crypto_free(c);

    return done_testing();
}
