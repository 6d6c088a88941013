
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Which calls are in an audit log, each with its outcome.
 */


#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit_query.h"


/* the tapes of two lines, and what is unescaped in them */

#define AIQ_AUDIT_QUERY_MEM                                                   \
    ((size_t) AIQ_AUDIT_LINE_MAX * (2 * sizeof(aiq_json_tok_t) + 4))


typedef struct {
    const aiq_audit_filter_t  *filter;
    aiq_audit_hit_pt           hit;
    void                      *data;
    aiq_audit_asked_t         *asked;
    aiq_crypto_t              *c;
    aiq_err_t                 *err;
    aiq_audit_reader_t         r;
    aiq_audit_map_t            open;  /* seq of an INTENT: its line */
    aiq_audit_indexer_t       *b;     /* NULL: nothing to be made */
    unsigned char             *mem;
} aiq_audit_query_t;


/* an INTENT that waits */

typedef struct {
    unsigned char             *data;
    size_t                     len;
    unsigned char             *resolve;     /* or NULL */
    size_t                     resolve_len;
    int64_t                    ts_us;
} aiq_audit_held_t;

_Static_assert(sizeof(aiq_audit_held_t) <= AIQ_AUDIT_MAP_DATA,
               "what waits fits a slot");


static int aiq_audit_query_glob(aiq_str_t glob, aiq_str_t s);
static aiq_rc_t aiq_audit_query_segments(aiq_audit_query_t *q,
    unsigned flags);
static int aiq_audit_query_skip(aiq_audit_query_t *q, int index, int sealed);
static aiq_rc_t aiq_audit_query_lines(aiq_audit_query_t *q);
static void aiq_audit_query_bad(aiq_audit_query_t *q, int asked);
static aiq_rc_t aiq_audit_query_line(aiq_audit_query_t *q, aiq_str_t line);
static aiq_rc_t aiq_audit_query_intent(aiq_audit_query_t *q,
    const aiq_audit_front_t *f, const aiq_json_t *doc, aiq_mem_t *mem);
static aiq_rc_t aiq_audit_query_outcome(aiq_audit_query_t *q,
    const aiq_json_t *doc, int resolve, aiq_mem_t *mem);
static aiq_rc_t aiq_audit_query_resolve(aiq_audit_query_t *q,
    aiq_audit_held_t *held, aiq_audit_slot_t *slot, aiq_str_t line);
static aiq_rc_t aiq_audit_query_hold(aiq_audit_query_t *q,
    const aiq_audit_front_t *f, aiq_str_t line);
static aiq_rc_t aiq_audit_query_held(aiq_audit_query_t *q, uint64_t seq,
    const aiq_audit_held_t *held, aiq_audit_hit_t *hit, aiq_mem_t *mem);
static aiq_rc_t aiq_audit_query_rest(aiq_audit_query_t *q);
static aiq_rc_t aiq_audit_query_left(aiq_audit_query_t *q, uint64_t seq,
    const aiq_audit_held_t *held);
static int aiq_audit_query_order(const void *a, const void *b);
static aiq_rc_t aiq_audit_query_hit(aiq_audit_query_t *q,
    aiq_audit_hit_t *hit);


void
aiq_audit_filter_init(aiq_audit_filter_t *f)
{
    memset(f, 0, sizeof(aiq_audit_filter_t));

    f->since_us = INT64_MIN;
    f->until_us = INT64_MAX;
}


uint32_t
aiq_audit_member(const aiq_json_t *doc, aiq_audit_by_e by)
{
    uint32_t  obj;

    static const char *const  names[AIQ_AUDIT_BY_N] = {
        "org", "user", "agent", "mcp", "tool", "verdict", "reason", "rid",
        "jti", "plan"
    };

    obj = (by == AIQ_AUDIT_BY_JTI) ? aiq_json_get(doc, 0, "tok") : 0;

    return aiq_json_get(doc, obj, names[by]);
}


int
aiq_audit_match(const aiq_audit_filter_t *f, const aiq_json_t *doc,
    int64_t ts_us, aiq_mem_t *mem)
{
    unsigned   by;
    uint32_t   i;
    aiq_str_t  s;

    if (ts_us < f->since_us || ts_us >= f->until_us) {
        return 0;
    }

    for (by = 0; by < AIQ_AUDIT_BY_N; by++) {

        if (f->by[by].data == NULL) {
            continue;
        }

        i = aiq_audit_member(doc, (aiq_audit_by_e) by);

        if (aiq_json_type(doc, i) != AIQ_JSON_STRING) {
            return 0;
        }

        if (by != AIQ_AUDIT_BY_TOOL) {

            if (!aiq_json_is_str(doc, i, f->by[by])) {
                return 0;
            }

            continue;
        }

        if (aiq_json_string(doc, i, mem, &s) != AIQ_OK) {
            return -1;
        }

        if (!aiq_audit_query_glob(f->by[by], s)) {
            return 0;
        }
    }

    return 1;
}


/* goes back to the last "*" only, so it takes len * len steps at most */

static int
aiq_audit_query_glob(aiq_str_t glob, aiq_str_t s)
{
    size_t  g, i, star, from;

    g = 0;
    from = 0;
    star = SIZE_MAX;

    for (i = 0; i < s.len; /* void */ ) {

        if (g < glob.len && glob.data[g] == '*') {
            star = g++;
            from = i;
            continue;
        }

        if (g < glob.len && glob.data[g] == s.data[i]) {
            g++;
            i++;
            continue;
        }

        if (star == SIZE_MAX) {
            return 0;
        }

        g = star + 1;
        i = ++from;
    }

    while (g < glob.len && glob.data[g] == '*') {
        g++;
    }

    return g == glob.len;
}


int
aiq_audit_let_through(const aiq_json_t *doc)
{
    return aiq_json_is(doc, aiq_json_get(doc, 0, "verdict"), "PERMIT")
           || aiq_json_type(doc, aiq_json_get(doc, 0, "dry_run"))
              == AIQ_JSON_TRUE;
}


aiq_rc_t
aiq_audit_query(const char *dir, const aiq_audit_filter_t *f, unsigned flags,
    aiq_audit_hit_pt hit, void *data, aiq_crypto_t *c,
    aiq_audit_asked_t *asked, aiq_err_t *err)
{
    size_t             i;
    aiq_rc_t           rc;
    aiq_audit_held_t   held;
    aiq_audit_query_t  q;

    memset(asked, 0, sizeof(aiq_audit_asked_t));
    memset(&q, 0, sizeof(aiq_audit_query_t));

    q.filter = f;
    q.hit = hit;
    q.data = data;
    q.asked = asked;
    q.c = c;
    q.err = err;

    rc = aiq_audit_reader_open(&q.r, dir, err);

    if (rc == AIQ_OK) {
        q.mem = malloc(AIQ_AUDIT_QUERY_MEM);

        rc = (q.mem == NULL) ? aiq_fail(err, AIQ_E_NO_MEMORY, "no memory")
                             : aiq_audit_query_segments(&q, flags);
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_query_rest(&q);
    }

    for (i = 0; i < q.open.size; i++) {

        if (q.open.slot[i].key) {
            memcpy(&held, q.open.slot[i].data, sizeof(held));
            free(held.data);
            free(held.resolve);
        }
    }

    aiq_audit_map_free(&q.open);
    aiq_audit_reader_close(&q.r);
    free(q.mem);

    return (rc == AIQ_DECLINED) ? AIQ_OK : rc;
}


static aiq_rc_t
aiq_audit_query_segments(aiq_audit_query_t *q, unsigned flags)
{
    int                   index;
    size_t                i;
    aiq_rc_t              rc;
    aiq_audit_indexer_t  *b;

    b = NULL;
    index = -1;

    if (!(flags & AIQ_AUDIT_NO_INDEX) && q->r.n > 1) {
        index = aiq_audit_index_dir(q->r.dir, 1);
        b = (index == -1) ? NULL : malloc(sizeof(aiq_audit_indexer_t));
    }

    rc = AIQ_OK;

    for (i = 0; i < q->r.n && rc == AIQ_OK; i++) {

        rc = aiq_audit_reader_segment(&q->r, i, 0, q->err);

        if (rc != AIQ_OK) {
            break;
        }

        q->b = b;

        if (aiq_audit_query_skip(q, index, i + 1 < q->r.n)) {
            q->asked->skipped++;
            continue;
        }

        q->asked->segments++;

        rc = aiq_audit_query_lines(q);

        if (q->b == NULL) {
            continue;
        }

        /* without an index it is only slower */

        if (rc == AIQ_OK
            && aiq_audit_indexer_store(q->b, index, &q->r, q->c, NULL)
               == AIQ_OK)
        {
            q->asked->built++;
        }

        aiq_audit_indexer_free(q->b);
    }

    free(b);

    if (index != -1) {
        (void) close(index);
    }

    return rc;
}


/* q->b is NULL afterwards if there is no index to be made */

static int
aiq_audit_query_skip(aiq_audit_query_t *q, int index, int sealed)
{
    int                skip;
    size_t             i;
    uint64_t           key;
    aiq_audit_index_t  x;

    if (index == -1 || !sealed) {
        q->b = NULL;
        return 0;
    }

    if (aiq_audit_index_load(&x, index, &q->r, q->c) != AIQ_OK) {

        if (q->b != NULL
            && aiq_audit_indexer_begin(q->b, &q->r, q->c) != AIQ_OK)
        {
            q->b = NULL;
        }

        return 0;
    }

    q->b = NULL;

    skip = !aiq_audit_index_may(&x, q->filter);

    /* nor may there be what is waited for */

    for (i = 0; skip && x.lo <= x.hi && i < q->open.size; i++) {
        key = q->open.slot[i].key;
        skip = (key == 0 || key < x.lo || key > x.hi);
    }

    aiq_audit_index_free(&x);

    return skip;
}


static aiq_rc_t
aiq_audit_query_lines(aiq_audit_query_t *q)
{
    aiq_rc_t   rc;
    aiq_str_t  line;

    for ( ;; ) {
        rc = aiq_audit_reader_line(&q->r, &line, q->err);

        if (rc == AIQ_DECLINED) {
            return AIQ_OK;
        }

        if (rc == AIQ_D_JSON_TOO_LARGE) {

            /* where the next one begins nobody knows */

            aiq_audit_query_bad(q, 1);

            return AIQ_OK;
        }

        if (rc == AIQ_OK) {
            rc = aiq_audit_query_line(q, line);
        }

        if (rc != AIQ_OK) {
            return rc;
        }
    }
}


/*
 * A line that only the index would need is none of the question's business:
 * the answer must not depend on whether there is one.
 */

static void
aiq_audit_query_bad(aiq_audit_query_t *q, int asked)
{
    if (q->b != NULL) {
        q->b->spoiled = 1;
    }

    if (!asked) {
        return;
    }

    if (q->asked->bad++ == 0) {
        q->asked->bad_off = q->r.off;
        memcpy(q->asked->bad_name, q->r.name, sizeof(q->r.name));
    }
}


static aiq_rc_t
aiq_audit_query_line(aiq_audit_query_t *q, aiq_str_t line)
{
    int                 intent, outcome, resolve, asked;
    aiq_mem_t           mem;
    aiq_json_t          doc;
    aiq_audit_front_t   f;

    if (aiq_audit_front(&f, line) != AIQ_OK || f.seq == 0) {
        aiq_audit_query_bad(q, 1);
        return AIQ_OK;
    }

    intent = aiq_str_is(f.type, "INTENT");
    resolve = aiq_str_is(f.type, "RESOLVE");
    outcome = aiq_str_is(f.type, "OUTCOME") || resolve;

    asked = (intent && f.ts_us >= q->filter->since_us
             && f.ts_us < q->filter->until_us)
            || (outcome && q->open.used);

    if (!asked && (q->b == NULL || !(intent || outcome))) {

        if (q->b != NULL) {
            aiq_audit_indexer_add(q->b, &f, NULL, NULL);
        }

        return AIQ_OK;
    }

    mem.pos = q->mem;
    mem.end = q->mem + AIQ_AUDIT_QUERY_MEM;

    if (aiq_json_parse(&doc, line, AIQ_AUDIT_DEPTH, &mem, NULL) != AIQ_OK) {
        aiq_audit_query_bad(q, asked);
        return AIQ_OK;
    }

    if (q->b != NULL) {
        aiq_audit_indexer_add(q->b, &f, &doc, &mem);
    }

    if (!asked) {
        return AIQ_OK;
    }

    return intent ? aiq_audit_query_intent(q, &f, &doc, &mem)
                  : aiq_audit_query_outcome(q, &doc, resolve, &mem);
}


static aiq_rc_t
aiq_audit_query_intent(aiq_audit_query_t *q, const aiq_audit_front_t *f,
    const aiq_json_t *doc, aiq_mem_t *mem)
{
    aiq_audit_hit_t  hit;

    switch (aiq_audit_match(q->filter, doc, f->ts_us, mem)) {

    case 0:
        return AIQ_OK;

    case 1:
        break;

    default:
        return aiq_fail(q->err, AIQ_E_NO_MEMORY, "no memory");
    }

    if (aiq_audit_let_through(doc)) {
        return aiq_audit_query_hold(q, f, doc->text);
    }

    if (q->filter->status.data != NULL) {
        return AIQ_OK;
    }

    memset(&hit, 0, sizeof(aiq_audit_hit_t));

    hit.seq = f->seq;
    hit.ts_us = f->ts_us;
    hit.intent = doc->text;
    hit.i = *doc;

    return aiq_audit_query_hit(q, &hit);
}


static aiq_rc_t
aiq_audit_query_hold(aiq_audit_query_t *q, const aiq_audit_front_t *f,
    aiq_str_t line)
{
    aiq_audit_held_t   held;
    aiq_audit_slot_t  *slot;

    if (aiq_audit_map_find(&q->open, f->seq) != NULL) {
        aiq_audit_query_bad(q, 1);
        return AIQ_OK;
    }

    held.len = line.len;
    held.resolve = NULL;
    held.resolve_len = 0;
    held.ts_us = f->ts_us;
    held.data = malloc(line.len);

    slot = (held.data == NULL) ? NULL : aiq_audit_map_add(&q->open, f->seq);

    if (slot == NULL) {
        free(held.data);
        return aiq_fail(q->err, AIQ_E_NO_MEMORY, "no memory");
    }

    memcpy(held.data, line.data, line.len);
    memcpy(slot->data, &held, sizeof(held));

    return AIQ_OK;
}


static aiq_rc_t
aiq_audit_query_outcome(aiq_audit_query_t *q, const aiq_json_t *doc,
    int resolve, aiq_mem_t *mem)
{
    int64_t            seq;
    uint32_t           i, rid;
    aiq_rc_t           rc;
    aiq_str_t          s;
    aiq_audit_hit_t    hit;
    aiq_audit_held_t   held;
    aiq_audit_slot_t  *slot;

    i = aiq_json_get(doc, aiq_json_get(doc, 0, "intent"), "seq");

    if (aiq_json_int(doc, i, &seq) != AIQ_OK || seq <= 0) {
        return AIQ_OK;
    }

    slot = aiq_audit_map_find(&q->open, (uint64_t) seq);

    if (slot == NULL) {
        return AIQ_OK;
    }

    memcpy(&held, slot->data, sizeof(held));

    rc = aiq_audit_query_held(q, (uint64_t) seq, &held, &hit, mem);

    if (rc != AIQ_OK) {
        return rc;
    }

    hit.outcome = doc->text;
    hit.o = *doc;

    rid = aiq_audit_member(&hit.i, AIQ_AUDIT_BY_RID);

    if (aiq_json_string(&hit.i, rid, mem, &s) != AIQ_OK
        || !aiq_json_is_str(doc, aiq_json_get(doc, 0, "rid"), s))
    {
        /* an OUTCOME of another call says nothing about this one */

        aiq_audit_query_bad(q, 1);

        return AIQ_OK;
    }

    if (resolve) {
        return aiq_audit_query_resolve(q, &held, slot, doc->text);
    }

    if (q->filter->status.data == NULL
        || aiq_json_is_str(doc, aiq_json_get(doc, 0, "status"),
                           q->filter->status))
    {
        rc = aiq_audit_query_hit(q, &hit);
    }

    aiq_audit_map_del(&q->open, slot);
    free(held.data);
    free(held.resolve);

    return rc;
}


/* the OUTCOME may come all the same */

static aiq_rc_t
aiq_audit_query_resolve(aiq_audit_query_t *q, aiq_audit_held_t *held,
    aiq_audit_slot_t *slot, aiq_str_t line)
{
    if (held->resolve != NULL) {
        aiq_audit_query_bad(q, 1);
        return AIQ_OK;
    }

    held->resolve = malloc(line.len);

    if (held->resolve == NULL) {
        return aiq_fail(q->err, AIQ_E_NO_MEMORY, "no memory");
    }

    memcpy(held->resolve, line.data, line.len);
    held->resolve_len = line.len;
    memcpy(slot->data, held, sizeof(aiq_audit_held_t));

    return AIQ_OK;
}


/* what is known of it without its OUTCOME */

static aiq_rc_t
aiq_audit_query_held(aiq_audit_query_t *q, uint64_t seq,
    const aiq_audit_held_t *held, aiq_audit_hit_t *hit, aiq_mem_t *mem)
{
    memset(hit, 0, sizeof(aiq_audit_hit_t));

    hit->seq = seq;
    hit->ts_us = held->ts_us;
    hit->intent.data = held->data;
    hit->intent.len = held->len;
    hit->resolve.data = held->resolve;
    hit->resolve.len = held->resolve_len;
    hit->through = 1;

    /* it was read once */

    if (aiq_json_parse(&hit->i, hit->intent, AIQ_AUDIT_DEPTH, mem, NULL)
        != AIQ_OK)
    {
        return aiq_fail(q->err, AIQ_E_NO_MEMORY, "no memory");
    }

    return AIQ_OK;
}


/* those that have none, in the order of their INTENT */

static aiq_rc_t
aiq_audit_query_rest(aiq_audit_query_t *q)
{
    size_t              i, n;
    uint64_t           *seq;
    aiq_rc_t            rc;
    aiq_audit_held_t    held;

    if (q->open.used == 0) {
        return AIQ_OK;
    }

    seq = malloc(q->open.used * sizeof(uint64_t));

    if (seq == NULL) {
        return aiq_fail(q->err, AIQ_E_NO_MEMORY, "no memory");
    }

    n = 0;

    for (i = 0; i < q->open.size; i++) {

        if (q->open.slot[i].key) {
            seq[n++] = q->open.slot[i].key;
        }
    }

    qsort(seq, n, sizeof(uint64_t), aiq_audit_query_order);

    rc = AIQ_OK;

    for (i = 0; i < n && rc == AIQ_OK; i++) {
        memcpy(&held, aiq_audit_map_find(&q->open, seq[i])->data,
               sizeof(held));

        rc = aiq_audit_query_left(q, seq[i], &held);
    }

    free(seq);

    return rc;
}


static aiq_rc_t
aiq_audit_query_left(aiq_audit_query_t *q, uint64_t seq,
    const aiq_audit_held_t *held)
{
    int               match;
    aiq_rc_t          rc;
    aiq_mem_t         mem;
    aiq_str_t         status;
    aiq_audit_hit_t   hit;

    mem.pos = q->mem;
    mem.end = q->mem + AIQ_AUDIT_QUERY_MEM;

    rc = aiq_audit_query_held(q, seq, held, &hit, &mem);

    if (rc != AIQ_OK) {
        return rc;
    }

    if (hit.resolve.len
        && aiq_json_parse(&hit.o, hit.resolve, AIQ_AUDIT_DEPTH, &mem, NULL)
           != AIQ_OK)
    {
        return aiq_fail(q->err, AIQ_E_NO_MEMORY, "no memory");
    }

    status = q->filter->status;

    match = hit.resolve.len
            ? aiq_json_is_str(&hit.o, aiq_json_get(&hit.o, 0, "status"),
                              status)
            : aiq_str_is(status, "unknown");

    return (status.data == NULL || match) ? aiq_audit_query_hit(q, &hit)
                                          : AIQ_OK;
}


static int
aiq_audit_query_order(const void *a, const void *b)
{
    uint64_t  x, y;

    memcpy(&x, a, sizeof(uint64_t));
    memcpy(&y, b, sizeof(uint64_t));

    return (x > y) - (x < y);
}


static aiq_rc_t
aiq_audit_query_hit(aiq_audit_query_t *q, aiq_audit_hit_t *hit)
{
    q->asked->hits++;

    return q->hit(q->data, hit);
}
