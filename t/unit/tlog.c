
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Guards tiles and what is proved from them: the same roots and proofs as
 * from all leaves at once, for every size around the edges of tiles.
 */


#include <fcntl.h>
#include <unistd.h>

#include "tap.h"
#include "tmpdir.h"
#include "tlog.h"


#define LEAVES  66100


static void test_paths(void);
static void test_ranges(aiq_crypto_t *c);
static void test_edge(aiq_crypto_t *c, int dir);
static void test_proofs(aiq_crypto_t *c, int dir);
static void test_damage(aiq_crypto_t *c, int dir, const char *name);
static void test_text(aiq_crypto_t *c);
static int there(int dir, const char *path);
static int proved(aiq_crypto_t *c, int dir, uint64_t n, uint64_t i);


static aiq_hash_t       leaf[LEAVES];
static aiq_tlog_edge_t  edge;

static const uint64_t   sizes[] = {
    1, 2, 3, 255, 256, 257, 511, 512, 513, 1000, 65535, 65536, 65537, 65792,
    LEAVES
};

#define SIZES  (sizeof(sizes) / sizeof(sizes[0]))


static int
there(int dir, const char *path)
{
    return faccessat(dir, path, F_OK, 0) == 0;
}


static void
test_paths(void)
{
    char      path[AIQ_TILE_PATH];
    unsigned  i;

    static const struct {
        unsigned     level;
        uint64_t     n;
        unsigned     width;
        const char  *path;
    } paths[] = {
        { 0, 0, 256, "tile/0/000" },
        { 0, 0, 1, "tile/0/000.p/1" },
        { 1, 999, 256, "tile/1/999" },
        { 0, 1000, 255, "tile/0/x001/000.p/255" },
        { 0, 1234067, 256, "tile/0/x001/x234/067" },
        { 6, 1000000000, 256, "tile/6/x001/x000/x000/000" },
        { 0, 36028797018963968, 9, "tile/0/x036/x028/x797/x018/x963/968.p/9" }
    };

    for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        aiq_tile_path(path, paths[i].level, paths[i].n, paths[i].width);
        ok(strcmp(path, paths[i].path) == 0, "%s", path);
    }
}


/* proofs out of ranges are those of the leaves, and verify */

static void
test_ranges(aiq_crypto_t *c)
{
    unsigned          n, m, i, k, count, want, bad;
    aiq_hash_t        proof[AIQ_PROOF_MAX], all[AIQ_PROOF_MAX], r1, r2;
    aiq_tlog_range_t  r[AIQ_PROOF_MAX];

    bad = 0;

    for (n = 1; n <= 70; n++) {

        aiq_merkle_root(c, (const aiq_hash_t *) leaf, n, r2);

        for (i = 0; i < n; i++) {
            bad += aiq_tlog_inclusion(n, i, r, &count) != AIQ_OK;

            for (k = 0; k < count; k++) {
                aiq_merkle_root(c, (const aiq_hash_t *) leaf + r[k].first,
                                r[k].size, proof[k]);
            }

            aiq_merkle_proof(c, (const aiq_hash_t *) leaf, n, i, all, NULL,
                             &want);

            bad += count != want
                   || memcmp(proof, all, count * AIQ_HASH_LEN) != 0;
        }

        for (m = 1; m <= n; m++) {
            bad += aiq_tlog_consistency(m, n, r, &count) != AIQ_OK;

            for (k = 0; k < count; k++) {
                aiq_merkle_root(c, (const aiq_hash_t *) leaf + r[k].first,
                                r[k].size, proof[k]);
            }

            aiq_merkle_root(c, (const aiq_hash_t *) leaf, m, r1);

            bad += aiq_merkle_verify_consistency(c, m, n,
                       (const aiq_hash_t *) proof, count, r1, r2)
                   != AIQ_OK;
        }
    }

    ok(bad == 0, "all proofs of up to 70 leaves (%u)", bad);

    ok(aiq_tlog_inclusion(5, 5, r, &count) == AIQ_E_INTERNAL
       && aiq_tlog_inclusion(0, 0, r, &count) == AIQ_E_INTERNAL
       && aiq_tlog_consistency(0, 5, r, &count) == AIQ_E_INTERNAL
       && aiq_tlog_consistency(6, 5, r, &count) == AIQ_E_INTERNAL,
       "proofs that there are not");

    bad = aiq_tlog_inclusion((uint64_t) 1 << 53, 12345, r, &count) != AIQ_OK
          || count != 53;

    ok(bad == 0, "the largest log");
}


/* the tree grows; at each size the edge is saved, loaded and compared */

static void
test_edge(aiq_crypto_t *c, int dir)
{
    unsigned         i, s, bad;
    aiq_err_t        err;
    aiq_hash_t       a, b;
    aiq_tlog_edge_t  *again;

    again = malloc(sizeof(aiq_tlog_edge_t));

    aiq_tlog_edge_init(&edge);

    ok(aiq_tlog_edge_root(&edge, c, a) == AIQ_OK
       && a[0] == 0xe3 && a[1] == 0xb0 && a[31] == 0x55, "the empty tree");

    bad = 0;

    for (i = 0, s = 0; i < LEAVES; i++) {
        bad += aiq_tlog_edge_add(&edge, leaf[i], dir, c, &err) != AIQ_OK;

        if (edge.size != sizes[s]) {
            continue;
        }

        bad += aiq_tlog_edge_root(&edge, c, a) != AIQ_OK;

        aiq_merkle_root(c, (const aiq_hash_t *) leaf, edge.size, b);
        bad += memcmp(a, b, AIQ_HASH_LEN) != 0;

        bad += aiq_tlog_edge_save(&edge, dir, &err) != AIQ_OK
               || aiq_tlog_edge_load(again, dir, edge.size, &err) != AIQ_OK
               || aiq_tlog_edge_root(again, c, b) != AIQ_OK
               || memcmp(a, b, AIQ_HASH_LEN) != 0;
        s++;
    }

    ok(s == SIZES && bad == 0, "roots of %u sizes (%u)", s, bad);

    ok(there(dir, "tile/0/000") && there(dir, "tile/0/257")
       && there(dir, "tile/0/258.p/52") && there(dir, "tile/1/000")
       && there(dir, "tile/1/001.p/2") && there(dir, "tile/2/000.p/1"),
       "the tiles of %d leaves", LEAVES);

    ok(!there(dir, "tile/0/000.p") && !there(dir, "tile/0/001.p")
       && !there(dir, "tile/1/000.p") && !there(dir, "tile/.new"),
       "nothing is left over");

    free(again);
}


static int
proved(aiq_crypto_t *c, int dir, uint64_t n, uint64_t i)
{
    unsigned           count;
    aiq_err_t          err;
    aiq_hash_t         proof[AIQ_PROOF_MAX], root;
    aiq_tlog_range_t   r[AIQ_PROOF_MAX];
    aiq_tlog_reader_t  reader;

    reader.dir = dir;
    reader.size = n;
    reader.width = 0;

    aiq_merkle_root(c, (const aiq_hash_t *) leaf, n, root);

    return aiq_tlog_inclusion(n, i, r, &count) == AIQ_OK
           && aiq_tlog_heads(&reader, r, count, c, proof, &err) == AIQ_OK
           && aiq_merkle_verify(c, i, n, leaf[i],
                                (const aiq_hash_t *) proof, count, root)
              == AIQ_OK;
}


static void
test_proofs(aiq_crypto_t *c, int dir)
{
    unsigned           s, t, count, bad;
    aiq_err_t          err;
    aiq_hash_t         proof[AIQ_PROOF_MAX], r1, r2;
    aiq_tlog_range_t   r[AIQ_PROOF_MAX];
    aiq_tlog_reader_t  reader;

    bad = 0;

    /* of old sizes too: what was partial then is full now */

    for (s = 0; s < SIZES; s++) {
        bad += !proved(c, dir, sizes[s], 0);
        bad += !proved(c, dir, sizes[s], sizes[s] / 2);
        bad += !proved(c, dir, sizes[s], sizes[s] - 1);

        reader.dir = dir;
        reader.size = sizes[s];
        reader.width = 0;

        aiq_merkle_root(c, (const aiq_hash_t *) leaf, sizes[s], r2);

        bad += aiq_tlog_head(&reader, 0, sizes[s], c, r1, &err) != AIQ_OK
               || memcmp(r1, r2, AIQ_HASH_LEN) != 0;

        for (t = 0; t <= s; t++) {
            aiq_merkle_root(c, (const aiq_hash_t *) leaf, sizes[t], r1);

            bad += aiq_tlog_consistency(sizes[t], sizes[s], r, &count)
                   != AIQ_OK
                   || aiq_tlog_heads(&reader, r, count, c, proof, &err)
                      != AIQ_OK
                   || aiq_merkle_verify_consistency(c, sizes[t], sizes[s],
                          (const aiq_hash_t *) proof, count, r1, r2)
                      != AIQ_OK;
        }
    }

    ok(bad == 0, "proofs from tiles (%u)", bad);

    reader.size = 300;
    reader.width = 0;

    ok(aiq_tlog_head(&reader, 256, 64, c, r1, &err) == AIQ_E_INTERNAL,
       "no node beyond the tree");
}


static void
test_damage(aiq_crypto_t *c, int dir, const char *name)
{
    int         fd;
    aiq_err_t   err;
    aiq_hash_t  hash[AIQ_TILE_WIDTH];

    fd = openat(dir, "tile/0/001", O_RDWR);

    ok(proved(c, dir, LEAVES, 300) && pwrite(fd, "x", 1, 0) == 1
       && !proved(c, dir, LEAVES, 300), "a tile that is wrong proves nothing");

    ok(ftruncate(fd, 8191) == 0
       && aiq_tile_read(dir, 0, 1, 256, hash, &err) == AIQ_DECLINED,
       "nor does one that is too short");

    close(fd);

    ok(unlinkat(dir, "tile/0/001", 0) == 0
       && aiq_tile_read(dir, 0, 1, 256, hash, &err) == AIQ_DECLINED
       && symlinkat("002", dir, "tile/0/001") == 0
       && aiq_tile_read(dir, 0, 1, 256, hash, &err) == AIQ_DECLINED,
       "nor one that is not there, nor a link");

    fd = open(in(name, "full"), O_WRONLY|O_CREAT, 0600);
    ok(fd != -1 && aiq_tile_write(fd, 0, 7, 3, (const aiq_hash_t *) hash,
                                  &err)
       == AIQ_E_AUDIT_UNAVAILABLE, "a tile that cannot be written");
    close(fd);
}


static void
test_text(aiq_crypto_t *c)
{
    char              text[1024];
    unsigned          i;
    aiq_out_t         out;
    aiq_tlog_proof_t  p, q;

    static const char  *const  bad[] = {
        "",
        "c2sp.org/tlog-proof@v1\n",
        "c2sp.org/tlog-proof@v2\nindex 1\n\nx",
        "c2sp.org/tlog-proof@v1\nindex 01\n\nx",
        "c2sp.org/tlog-proof@v1\nindex \n\nx",
        "c2sp.org/tlog-proof@v1\nindex -1\n\nx",
        "c2sp.org/tlog-proof@v1\nindex 1\nx",
        "c2sp.org/tlog-proof@v1\nindex 1\nAAAA\n\nx",
        "c2sp.org/tlog-proof@v1\nextra AAAA\nextra AAAA\nindex 1\n\nx",
        "c2sp.org/tlog-proof@v1\nextra AAAA\n\nx"
    };

    p.index = 73894;
    p.count = 2;
    memcpy(p.proof[0], leaf[0], AIQ_HASH_LEN);
    memcpy(p.proof[1], leaf[1], AIQ_HASH_LEN);
    p.note = aiq_cstr("a note\n");

    aiq_out_init(&out, text, sizeof(text));
    aiq_tlog_proof_write(&out, &p);

    ok(aiq_tlog_proof_parse(&q, aiq_out_done(&out), NULL) == AIQ_OK
       && q.index == p.index && q.count == 2
       && memcmp(p.proof, q.proof, 64) == 0 && aiq_str_is(q.note, "a note\n"),
       "a proof as text and back");

    ok(aiq_tlog_proof_parse(&q, aiq_cstr("c2sp.org/tlog-proof@v1\n"
                                         "extra AAAA\nindex 0\n\nx"), NULL)
       == AIQ_OK && q.index == 0 && q.count == 0, "with something extra");

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ok(aiq_tlog_proof_parse(&q, aiq_cstr(bad[i]), NULL) == AIQ_DECLINED,
           "no proof %u", i);
    }
}


int
main(void)
{
    int            dir;
    char           name[PATH_MAX];
    uint32_t       i;
    aiq_str_t      s;
    aiq_crypto_t  *c;

    c = aiq_crypto_new();

    if (c == NULL) {
        printf("Bail out! no libcrypto\n");
        return 1;
    }

    tmpdir_make(name);

    dir = open(name, O_RDONLY|O_DIRECTORY);

    for (i = 0; i < LEAVES; i++) {
        s.data = (unsigned char *) &i;
        s.len = sizeof(i);

        (void) aiq_merkle_leaf(c, s, leaf[i]);
    }

    test_paths();
    test_ranges(c);
    test_edge(c, dir);
    test_proofs(c, dir);
    test_damage(c, dir, name);
    test_text(c);

    close(dir);
    tmpdir_remove(name);
    aiq_crypto_free(c);

    return done_testing();
}
