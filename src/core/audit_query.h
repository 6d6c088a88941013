
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Asking an audit log: which calls were there, and what became of them.
 * Reads what was written, does not verify it.
 *
 *     DIR/index/seg-<first>.idx    what a segment that is full can answer
 *
 * The index only says which segments need not be read.  It is made while they
 * are read, compared with the segment before it is believed, and answers are
 * the same without it.
 */


#ifndef _AIQ_AUDIT_QUERY_H_INCLUDED_
#define _AIQ_AUDIT_QUERY_H_INCLUDED_


#include "audit_file.h"


/* members of an INTENT that can be asked for */

typedef enum {
    AIQ_AUDIT_BY_ORG = 0,
    AIQ_AUDIT_BY_USER,
    AIQ_AUDIT_BY_AGENT,
    AIQ_AUDIT_BY_MCP,
    AIQ_AUDIT_BY_TOOL,                /* "*" stands for any bytes */
    AIQ_AUDIT_BY_VERDICT,
    AIQ_AUDIT_BY_REASON,
    AIQ_AUDIT_BY_RID,
    AIQ_AUDIT_BY_JTI,
    AIQ_AUDIT_BY_PLAN,

    AIQ_AUDIT_BY_N
} aiq_audit_by_e;

typedef struct {
    aiq_str_t             by[AIQ_AUDIT_BY_N];       /* data NULL: any */
    aiq_str_t             status;     /* of the OUTCOME, or else of the
                                         RESOLVE; "unknown" is also a call that
                                         has neither */
    int64_t               since_us;   /* ts of the INTENT: not before this */
    int64_t               until_us;   /* and before this */
} aiq_audit_filter_t;

/* everything */

void aiq_audit_filter_init(aiq_audit_filter_t *f);

/* the token of that member of an INTENT, or AIQ_JSON_NONE */

uint32_t aiq_audit_member(const aiq_json_t *doc, aiq_audit_by_e by);

/*
 * Does this INTENT, made at ts_us, match?  The status is not looked at.
 * 1, 0, or -1 if there is not enough memory.
 */

int aiq_audit_match(const aiq_audit_filter_t *f, const aiq_json_t *doc,
    int64_t ts_us, aiq_mem_t *mem);

/* was the call of this INTENT let through? */

int aiq_audit_let_through(const aiq_json_t *doc);


typedef struct {
    uint64_t              seq;        /* of the INTENT */
    int64_t               ts_us;
    aiq_str_t             intent;     /* lines without LF */
    aiq_str_t             outcome;    /* len 0: none */
    aiq_str_t             resolve;    /* len 0: none */
    aiq_json_t            i;
    aiq_json_t            o;          /* the OUTCOME, or else the RESOLVE */
    unsigned              through:1;  /* let through: without an OUTCOME, what
                                         became of it is unknown */
} aiq_audit_hit_t;

/* AIQ_DECLINED: enough; all is valid during the call only */

typedef aiq_rc_t (*aiq_audit_hit_pt)(void *data, const aiq_audit_hit_t *hit);

#define AIQ_AUDIT_NO_INDEX  0x01      /* neither read nor make it */

typedef struct {
    uint64_t              hits;
    uint64_t              segments;   /* that were read */
    uint64_t              skipped;    /* that did not have to be */
    uint64_t              built;      /* indexes that were made */
    uint64_t              bad;        /* lines that are no records */
    uint64_t              bad_off;    /* behind the first one of them */
    char                  bad_name[AIQ_AUDIT_NAME_LEN + 1];
} aiq_audit_asked_t;

/*
 * Calls in the order in which they were complete: those that were not let
 * through at their INTENT, others at their OUTCOME, and what has none comes
 * last, with its RESOLVE if there is one.  What is written after the beginning is not seen.  Memory is constant
 * but for what waits for its OUTCOME.  Lines that are no records are counted
 * and passed over.
 */

aiq_rc_t aiq_audit_query(const char *dir, const aiq_audit_filter_t *f,
    unsigned flags, aiq_audit_hit_pt hit, void *data, aiq_crypto_t *c,
    aiq_audit_asked_t *asked, aiq_err_t *err);


/*
 * All segments but the newest.  AIQ_AUDIT_REINDEX: all of them anew; else
 * those that have none.  What belongs to no segment is deleted.
 */

#define AIQ_AUDIT_REINDEX   0x01

typedef struct {
    uint64_t              segments;   /* but for the newest */
    uint64_t              built;
    uint64_t              bad;        /* segments with lines that are no
                                         records: they get none */
} aiq_audit_indexed_t;

aiq_rc_t aiq_audit_index(const char *dir, unsigned flags, aiq_crypto_t *c,
    aiq_audit_indexed_t *report, aiq_err_t *err);


/* between audit_query.c and audit_index.c */

typedef struct {
    uint64_t              size;       /* of the segment, when it was read */
    uint64_t              ino;
    int64_t               mtime;      /* nanoseconds */
    int64_t               ctime;
    uint64_t              first;      /* records */
    uint64_t              last;
    int64_t               min_us;     /* of its INTENTs; min > max: none */
    int64_t               max_us;
    uint64_t              lo;         /* INTENTs that its OUTCOMEs and */
    uint64_t              hi;         /* RESOLVEs are of; lo > hi: none */
    aiq_hash_t            tail;       /* of the end of the segment */
    size_t                bloom_len;  /* a power of 2 */
    unsigned char        *bloom;
} aiq_audit_index_t;

typedef struct {
    aiq_audit_index_t     index;
    uint64_t             *value;      /* hashes of members */
    size_t                n;
    size_t                room;
    uint64_t              seen[1024]; /* some of those that are in there */
    unsigned              spoiled:1;  /* not a record, or no memory */
} aiq_audit_indexer_t;

/* the directory of the index, -1: none; create: makes it */

int aiq_audit_index_dir(int dir, int create);

/* of the segment that r has open; AIQ_DECLINED: none that fits */

aiq_rc_t aiq_audit_index_load(aiq_audit_index_t *x, int index,
    const aiq_audit_reader_t *r, aiq_crypto_t *c);
void aiq_audit_index_free(aiq_audit_index_t *x);

/* may an INTENT in there match? */

int aiq_audit_index_may(const aiq_audit_index_t *x,
    const aiq_audit_filter_t *f);

/* r has opened the segment, and nothing of it was read; AIQ_DECLINED: no */

aiq_rc_t aiq_audit_indexer_begin(aiq_audit_indexer_t *b,
    const aiq_audit_reader_t *r, aiq_crypto_t *c);

/* doc is NULL if the record is no INTENT, OUTCOME or RESOLVE */

void aiq_audit_indexer_add(aiq_audit_indexer_t *b,
    const aiq_audit_front_t *f, const aiq_json_t *doc, aiq_mem_t *mem);

/* when all of it was read; AIQ_DECLINED: spoiled, AIQ_E_...: not written */

aiq_rc_t aiq_audit_indexer_store(aiq_audit_indexer_t *b, int index,
    const aiq_audit_reader_t *r, aiq_crypto_t *c, aiq_err_t *err);
void aiq_audit_indexer_free(aiq_audit_indexer_t *b);


#endif /* _AIQ_AUDIT_QUERY_H_INCLUDED_ */
