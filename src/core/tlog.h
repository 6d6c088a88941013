
/*
 * Copyright (C) ngx_armoriq authors
 *
 * A log as tiles of hashes (c2sp.org/tlog-tiles), and proofs from them:
 *
 *     tile/<L>/<N>          256 hashes of level 8 * L
 *     tile/<L>/<N>.p/<W>    the first W of them, while there are no more
 *
 * Tiles are a cache.  Whoever reads one compares what follows from it with a
 * root that was signed.
 */


#ifndef _AIQ_TLOG_H_INCLUDED_
#define _AIQ_TLOG_H_INCLUDED_


#include "merkle.h"


#define AIQ_TILE_WIDTH    256
#define AIQ_TILE_LEVELS   7           /* 2^56 leaves */
#define AIQ_TILE_PATH     64

#define AIQ_TLOG_PROOF_MAX  (512 + AIQ_PROOF_MAX * 45)      /* and a note */


/* the tiles at the right edge of a tree that grows, as far as they go */

typedef struct {
    uint64_t            size;
    aiq_hash_t          hash[AIQ_TILE_LEVELS][AIQ_TILE_WIDTH];
} aiq_tlog_edge_t;

#define aiq_tlog_width(size, level)                                           \
    ((unsigned) ((size) >> 8 * (level)) & (AIQ_TILE_WIDTH - 1))

void aiq_tlog_edge_init(aiq_tlog_edge_t *e);

/* a leaf more; each tile that this completes is written to dir */

aiq_rc_t aiq_tlog_edge_add(aiq_tlog_edge_t *e, const aiq_hash_t leaf,
    int dir, aiq_crypto_t *c, aiq_err_t *err);
aiq_rc_t aiq_tlog_edge_root(const aiq_tlog_edge_t *e, aiq_crypto_t *c,
    aiq_hash_t root);

/* partial tiles; load() answers AIQ_DECLINED if one is missing */

aiq_rc_t aiq_tlog_edge_load(aiq_tlog_edge_t *e, int dir, uint64_t size,
    aiq_err_t *err);
aiq_rc_t aiq_tlog_edge_save(const aiq_tlog_edge_t *e, int dir,
    aiq_err_t *err);


/* files; a width of AIQ_TILE_WIDTH is a full tile */

void aiq_tile_path(char path[AIQ_TILE_PATH], unsigned level, uint64_t n,
    unsigned width);

/* a full tile will do for a partial one; AIQ_DECLINED if there is neither */

aiq_rc_t aiq_tile_read(int dir, unsigned level, uint64_t n, unsigned width,
    aiq_hash_t *hash, aiq_err_t *err);
aiq_rc_t aiq_tile_write(int dir, unsigned level, uint64_t n, unsigned width,
    const aiq_hash_t *hash, aiq_err_t *err);


/*
 * What a proof consists of, lowest node first: heads of ranges of leaves that
 * do not overlap.  Room for AIQ_PROOF_MAX; AIQ_E_INTERNAL if there is no such
 * proof.
 */

typedef struct {
    uint64_t            first;
    uint64_t            size;
} aiq_tlog_range_t;

aiq_rc_t aiq_tlog_inclusion(uint64_t n, uint64_t i, aiq_tlog_range_t *r,
    unsigned *count);
aiq_rc_t aiq_tlog_consistency(uint64_t n1, uint64_t n2, aiq_tlog_range_t *r,
    unsigned *count);


/* heads from tiles; remembers the last tile.  Set dir and size, zero width */

typedef struct {
    int                 dir;
    uint64_t            size;         /* of the tree whose tiles there are */
    unsigned            level;        /* of the tile in hash */
    unsigned            width;        /* 0: none */
    uint64_t            n;
    aiq_hash_t          hash[AIQ_TILE_WIDTH];
} aiq_tlog_reader_t;

aiq_rc_t aiq_tlog_head(aiq_tlog_reader_t *r, uint64_t first, uint64_t size,
    aiq_crypto_t *c, aiq_hash_t out, aiq_err_t *err);
aiq_rc_t aiq_tlog_heads(aiq_tlog_reader_t *r, const aiq_tlog_range_t *ranges,
    unsigned count, aiq_crypto_t *c, aiq_hash_t *out, aiq_err_t *err);


/* c2sp.org/tlog-proof */

typedef struct {
    uint64_t            index;        /* of the leaf, from 0 */
    unsigned            count;
    aiq_hash_t          proof[AIQ_PROOF_MAX];
    aiq_str_t           note;         /* the checkpoint */
} aiq_tlog_proof_t;

void aiq_tlog_proof_write(aiq_out_t *out, const aiq_tlog_proof_t *p);
aiq_rc_t aiq_tlog_proof_parse(aiq_tlog_proof_t *p, aiq_str_t text,
    aiq_err_t *err);


#endif /* _AIQ_TLOG_H_INCLUDED_ */
