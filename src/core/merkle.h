
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Merkle trees of RFC 9162 2.1 (RFC 6962 2.1): leaf = SHA-256(0x00 | data),
 * node = SHA-256(0x01 | left | right).  Used by plans and by the audit log.
 */


#ifndef _AIQ_MERKLE_H_INCLUDED_
#define _AIQ_MERKLE_H_INCLUDED_


#include "crypto.h"


typedef unsigned char  aiq_hash_t[AIQ_HASH_LEN];


aiq_rc_t aiq_merkle_leaf(aiq_crypto_t *c, aiq_str_t data, aiq_hash_t out);
aiq_rc_t aiq_merkle_node(aiq_crypto_t *c, const aiq_hash_t left,
    const aiq_hash_t right, aiq_hash_t out);

/* of n >= 0 leaf hashes; the head of an empty tree is SHA-256("") */

aiq_rc_t aiq_merkle_root(aiq_crypto_t *c, const aiq_hash_t *leaves, uint64_t n,
    aiq_hash_t out);

/*
 * Inclusion proof of leaf i in n, lowest node first, into proof (room for
 * AIQ_PROOF_MAX).  right[k] is 1 where the sibling k stands on the right.
 * right may be NULL.
 */

aiq_rc_t aiq_merkle_proof(aiq_crypto_t *c, const aiq_hash_t *leaves,
    uint64_t n, uint64_t i, aiq_hash_t *proof, unsigned char *right,
    unsigned *count);

/* length of that proof and its sides, without leaves; 0 if i >= n */

unsigned aiq_merkle_path(uint64_t n, uint64_t i, unsigned char *right);

/*
 * AIQ_OK or AIQ_D_PROOF_INVALID.  Index and size are bound: the number of
 * nodes must be the one for (i, n).
 */

aiq_rc_t aiq_merkle_verify(aiq_crypto_t *c, uint64_t i, uint64_t n,
    const aiq_hash_t leaf, const aiq_hash_t *proof, unsigned count,
    const aiq_hash_t root);

aiq_rc_t aiq_merkle_verify_consistency(aiq_crypto_t *c, uint64_t n1,
    uint64_t n2, const aiq_hash_t *proof, unsigned count,
    const aiq_hash_t root1, const aiq_hash_t root2);


/*
 * A tree kept whole, where many proofs are wanted: aiq_merkle_build() writes
 * the levels above the leaves into nodes, room for aiq_merkle_nodes(n), and
 * the head into root; n > 0.  aiq_merkle_lookup() is aiq_merkle_proof()
 * without hashing; it returns the number of nodes.
 */

uint64_t aiq_merkle_nodes(uint64_t n);
aiq_rc_t aiq_merkle_build(aiq_crypto_t *c, const aiq_hash_t *leaves,
    uint64_t n, aiq_hash_t *nodes, aiq_hash_t root);
unsigned aiq_merkle_lookup(const aiq_hash_t *leaves, const aiq_hash_t *nodes,
    uint64_t n, uint64_t i, aiq_hash_t *proof, unsigned char *right);


/* a tree that grows, in constant memory */

typedef struct {
    uint64_t            size;
    aiq_hash_t          node[64];     /* full subtrees, by level */
} aiq_frontier_t;

void aiq_frontier_init(aiq_frontier_t *f);
aiq_rc_t aiq_frontier_add(aiq_crypto_t *c, aiq_frontier_t *f,
    const aiq_hash_t leaf);
aiq_rc_t aiq_frontier_root(aiq_crypto_t *c, const aiq_frontier_t *f,
    aiq_hash_t out);


#endif /* _AIQ_MERKLE_H_INCLUDED_ */
