
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The younger part of the audit log: what happened since a time, and which
 * plan steps were used by tokens that are still in force.  Reads what was
 * written, does not verify it.
 */


#include <stdlib.h>
#include <string.h>

#include "audit_file.h"
#include "b64.h"


#define AIQ_AUDIT_BLOCK   65536
#define AIQ_AUDIT_OVERLAP 512         /* more than the front of a line */

/*
 * The clock may have gone back for a while, which leaves old records behind
 * younger ones.  The search ends at a block that is older as a whole, and by
 * this much.
 */

#define AIQ_AUDIT_SLACK   300000000LL


/* where the search has come to, and what is looked for behind that */

typedef struct {
    size_t               i;           /* segment */
    uint64_t             off;
    uint64_t             seq;
    int64_t              since_us;
} aiq_audit_mark_t;


typedef struct {
    int64_t              now;
    uint64_t             seq;         /* of the last record */
    aiq_audit_map_t      map;         /* seq of an INTENT: its use */
    unsigned char       *tape;
    aiq_err_t           *err;
} aiq_audit_uses_t;


typedef struct {
    unsigned char        token[AIQ_HASH_LEN];
    int64_t              exp;
    uint32_t             step;
    uint32_t             back;        /* given back by a RESOLVE */
} aiq_audit_used_t;

_Static_assert(sizeof(aiq_audit_used_t) <= AIQ_AUDIT_MAP_DATA,
               "a use fits a slot");


static aiq_rc_t aiq_audit_scan_back(aiq_audit_reader_t *r, int64_t since_us,
    aiq_audit_mark_t *mark, aiq_err_t *err);
static aiq_rc_t aiq_audit_scan_segment(aiq_audit_reader_t *r,
    int64_t since_us, aiq_audit_mark_t *mark, int *found, unsigned char *buf,
    aiq_err_t *err);
static int aiq_audit_scan_old(const unsigned char *buf, size_t len,
    size_t block, int start, int64_t since_us, size_t *line);
static aiq_rc_t aiq_audit_scan_to(aiq_audit_reader_t *r, uint64_t seq,
    aiq_audit_mark_t *mark, aiq_err_t *err);
static aiq_rc_t aiq_audit_scan_forward(aiq_audit_reader_t *r,
    const aiq_audit_mark_t *mark, aiq_audit_each_pt each, void *data,
    aiq_err_t *err);
static aiq_rc_t aiq_audit_scan_use(void *data, aiq_str_t line);
static aiq_rc_t aiq_audit_scan_intent(aiq_audit_uses_t *u,
    const aiq_json_t *doc, uint64_t seq);
static aiq_rc_t aiq_audit_scan_outcome(aiq_audit_uses_t *u,
    const aiq_json_t *doc, int resolve);


aiq_rc_t
aiq_audit_scan(const char *dir, int64_t since_us, aiq_audit_each_pt each,
    void *data, aiq_err_t *err)
{
    aiq_rc_t            rc;
    aiq_audit_mark_t    mark;
    aiq_audit_reader_t  r;

    rc = aiq_audit_reader_open(&r, dir, err);

    if (rc == AIQ_OK && r.n) {

        rc = aiq_audit_scan_back(&r, since_us, &mark, err);

        if (rc == AIQ_OK) {
            mark.seq = 0;
            mark.since_us = since_us;

            rc = aiq_audit_scan_forward(&r, &mark, each, data, err);
        }
    }

    aiq_audit_reader_close(&r);

    return rc;
}


aiq_rc_t
aiq_audit_scan_behind(const char *dir, uint64_t seq, aiq_audit_each_pt each,
    void *data, aiq_err_t *err)
{
    aiq_rc_t            rc;
    aiq_audit_mark_t    mark;
    aiq_audit_reader_t  r;

    rc = aiq_audit_reader_open(&r, dir, err);

    if (rc == AIQ_OK && r.n) {

        rc = aiq_audit_scan_to(&r, seq, &mark, err);

        if (rc == AIQ_OK) {
            rc = aiq_audit_scan_forward(&r, &mark, each, data, err);
        }
    }

    aiq_audit_reader_close(&r);

    return rc;
}


static aiq_rc_t
aiq_audit_scan_to(aiq_audit_reader_t *r, uint64_t seq, aiq_audit_mark_t *mark,
    aiq_err_t *err)
{
    size_t    i;
    aiq_rc_t  rc;

    for (i = r->n - 1; i > 0 && r->list[i] > seq + 1; i--) {
        /* void */
    }

    mark->i = i;
    mark->seq = seq;
    mark->since_us = INT64_MIN;

    rc = aiq_audit_reader_segment(r, i, 0, err);

    return (rc == AIQ_OK) ? aiq_audit_reader_seek(r, seq + 1, &mark->off, err)
                          : rc;
}


static aiq_rc_t
aiq_audit_scan_back(aiq_audit_reader_t *r, int64_t since_us,
    aiq_audit_mark_t *mark, aiq_err_t *err)
{
    int             found;
    size_t          i;
    aiq_rc_t        rc;
    unsigned char  *buf;

    mark->i = 0;
    mark->off = 0;

    buf = malloc(AIQ_AUDIT_BLOCK + AIQ_AUDIT_OVERLAP);
    if (buf == NULL) {
        return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory");
    }

    rc = AIQ_OK;
    found = 0;

    for (i = r->n; i > 0 && !found && rc == AIQ_OK; i--) {

        rc = aiq_audit_reader_segment(r, i - 1, 0, err);

        if (rc == AIQ_OK) {
            mark->i = i - 1;
            mark->off = 0;

            rc = aiq_audit_scan_segment(r, since_us, mark, &found, buf, err);
        }
    }

    free(buf);

    return rc;
}


/* found: a block where every line is old; the mark is where one begins */

static aiq_rc_t
aiq_audit_scan_segment(aiq_audit_reader_t *r, int64_t since_us,
    aiq_audit_mark_t *mark, int *found, unsigned char *buf, aiq_err_t *err)
{
    size_t    n, block, line;
    uint64_t  start, end;
    aiq_rc_t  rc;

    for (end = r->size; end > 0; end = start) {

        block = (end < AIQ_AUDIT_BLOCK) ? (size_t) end : AIQ_AUDIT_BLOCK;
        start = end - block;

        n = block + AIQ_AUDIT_OVERLAP;

        if (r->size - start < n) {
            n = (size_t) (r->size - start);
        }

        rc = aiq_audit_read_at(r->fd, buf, n, start, r->name, err);
        if (rc != AIQ_OK) {
            return rc;
        }

        if (aiq_audit_scan_old(buf, n, block, start == 0,
                               since_us - AIQ_AUDIT_SLACK, &line))
        {
            mark->off = start + line;
            *found = 1;

            return AIQ_OK;
        }
    }

    return AIQ_OK;
}


/*
 * Every line that begins in the block is older, and there is one; line is
 * where the first of them begins.  What is no record does not count: torn
 * bytes, or the end of a line that began before.
 */

static int
aiq_audit_scan_old(const unsigned char *buf, size_t len, size_t block,
    int start, int64_t since_us, size_t *line)
{
    int                   any;
    aiq_str_t             s;
    aiq_audit_front_t     f;
    const unsigned char  *p, *lf;

    any = 0;
    p = buf;

    if (!start) {
        p = memchr(buf, '\n', block);

        if (p == NULL) {
            return 0;
        }

        p++;
    }

    while (p < buf + block) {

        s.data = p;
        s.len = (size_t) (buf + len - p);

        if (aiq_audit_front(&f, s) == AIQ_OK) {

            if (f.ts_us >= since_us) {
                return 0;
            }

            if (!any) {
                *line = (size_t) (p - buf);
                any = 1;
            }
        }

        lf = memchr(p, '\n', (size_t) (buf + block - p));

        if (lf == NULL) {
            break;
        }

        p = lf + 1;
    }

    return any;
}


static aiq_rc_t
aiq_audit_scan_forward(aiq_audit_reader_t *r, const aiq_audit_mark_t *mark,
    aiq_audit_each_pt each, void *data, aiq_err_t *err)
{
    int                begun;
    size_t             i;
    aiq_rc_t           rc;
    aiq_str_t          line;
    aiq_audit_front_t  f;

    begun = 0;

    for (i = mark->i; i < r->n; i++) {

        rc = aiq_audit_reader_segment(r, i, i == mark->i ? mark->off : 0,
                                      err);
        if (rc != AIQ_OK) {
            return rc;
        }

        for ( ;; ) {
            rc = aiq_audit_reader_line(r, &line, err);

            if (rc == AIQ_DECLINED) {
                break;
            }

            if (rc == AIQ_D_JSON_TOO_LARGE
                || (rc == AIQ_OK && aiq_audit_front(&f, line) != AIQ_OK))
            {
                return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                                "audit segment %s has a line that is not a "
                                "record before byte %llu; run \"armoriqctl "
                                "audit verify\"", r->name,
                                (unsigned long long) r->off);
            }

            if (rc != AIQ_OK) {
                return rc;
            }

            begun |= (f.ts_us >= mark->since_us && f.seq > mark->seq);

            if (begun) {
                rc = each(data, line);

                if (rc != AIQ_OK) {
                    return rc;
                }
            }
        }
    }

    return AIQ_OK;
}


uint64_t
aiq_audit_made_of(aiq_str_t line, aiq_str_t body)
{
    aiq_audit_front_t  f;

    if (aiq_audit_front(&f, line) == AIQ_OK && line.len > body.len
        && memcmp(line.data + line.len - body.len, body.data, body.len) == 0)
    {
        return f.seq;
    }

    return 0;
}


aiq_rc_t
aiq_audit_uses(const char *dir, int64_t now, int64_t lifetime,
    aiq_audit_use_pt use, void *data, aiq_err_t *err)
{
    uint64_t  seq;

    seq = 0;

    return aiq_audit_uses_behind(dir, &seq, now, lifetime, use, data, err);
}


aiq_rc_t
aiq_audit_uses_behind(const char *dir, uint64_t *seq, int64_t now,
    int64_t lifetime, aiq_audit_use_pt use, void *data, aiq_err_t *err)
{
    size_t            i;
    int64_t           since;
    aiq_rc_t          rc;
    aiq_audit_used_t  used;
    aiq_audit_uses_t  u;

    if (now < 0 || lifetime < 0 || now > AIQ_TIME_MAX) {
        return aiq_fail(err, AIQ_E_INTERNAL, "time out of range");
    }

    u.now = now;
    u.seq = *seq;
    u.err = err;
    u.map.slot = NULL;
    u.map.size = 0;
    u.map.used = 0;
    u.tape = malloc(AIQ_JSON_TOKENS * sizeof(aiq_json_tok_t));

    if (u.tape == NULL) {
        return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory");
    }

    /* a token was issued before it was used */

    since = (lifetime < now) ? (now - lifetime) * 1000000 : 0;
    since = (since > AIQ_AUDIT_SLACK) ? since - AIQ_AUDIT_SLACK : 0;

    rc = *seq ? aiq_audit_scan_behind(dir, *seq, aiq_audit_scan_use, &u, err)
              : aiq_audit_scan(dir, since, aiq_audit_scan_use, &u, err);

    *seq = u.seq;

    for (i = 0; rc == AIQ_OK && i < u.map.size; i++) {

        if (u.map.slot[i].key) {
            memcpy(&used, u.map.slot[i].data, sizeof(used));

            if (used.back) {
                continue;
            }

            rc = use(data, used.token, used.step, used.exp);
        }
    }

    aiq_audit_map_free(&u.map);
    free(u.tape);

    return rc;
}


static aiq_rc_t
aiq_audit_scan_use(void *data, aiq_str_t line)
{
    int                 outcome, resolve;
    aiq_mem_t           mem;
    aiq_err_t           e;
    aiq_json_t          doc;
    aiq_audit_uses_t   *u;
    aiq_audit_front_t   f;

    u = data;

    if (aiq_audit_front(&f, line) != AIQ_OK) {
        return aiq_fail(u->err, AIQ_E_INTERNAL, "not a record");
    }

    u->seq = f.seq;

    outcome = aiq_str_is(f.type, "OUTCOME");
    resolve = aiq_str_is(f.type, "RESOLVE");

    if (!outcome && !resolve && !aiq_str_is(f.type, "INTENT")) {
        return AIQ_OK;
    }

    mem.pos = u->tape;
    mem.end = mem.pos + AIQ_JSON_TOKENS * sizeof(aiq_json_tok_t);

    e.text[0] = '\0';

    if (aiq_json_parse(&doc, line, AIQ_AUDIT_DEPTH, &mem, &e) != AIQ_OK) {
        return aiq_fail(u->err, AIQ_E_AUDIT_UNAVAILABLE,
                        "audit record %llu is not valid: %.256s",
                        (unsigned long long) f.seq, e.text);
    }

    return (outcome || resolve) ? aiq_audit_scan_outcome(u, &doc, resolve)
                                : aiq_audit_scan_intent(u, &doc, f.seq);
}


static aiq_rc_t
aiq_audit_scan_intent(aiq_audit_uses_t *u, const aiq_json_t *doc,
    uint64_t seq)
{
    int64_t            step;
    uint32_t           tok, h;
    aiq_str_t          hex;
    aiq_audit_used_t   used;
    aiq_audit_slot_t  *slot;

    tok = aiq_json_get(doc, 0, "tok");
    h = aiq_json_get(doc, tok, "h");

    if (!aiq_json_is(doc, aiq_json_get(doc, 0, "verdict"), "PERMIT")
        || aiq_json_int(doc, aiq_json_get(doc, 0, "step"), &step) != AIQ_OK
        || aiq_json_int(doc, aiq_json_get(doc, tok, "exp"), &used.exp)
           != AIQ_OK
        || step < 0 || step > UINT32_MAX || used.exp <= u->now
        || aiq_json_type(doc, h) != AIQ_JSON_STRING)
    {
        return AIQ_OK;
    }

    hex.data = doc->text.data + doc->tok[h].pos;
    hex.len = doc->tok[h].len;

    if (aiq_hex_decode(hex, used.token, AIQ_HASH_LEN) != AIQ_OK
        || aiq_audit_map_find(&u->map, seq) != NULL)
    {
        return aiq_fail(u->err, AIQ_E_AUDIT_UNAVAILABLE,
                        "audit record %llu is not valid; run \"armoriqctl "
                        "audit verify\"", (unsigned long long) seq);
    }

    used.step = (uint32_t) step;
    used.back = 0;

    slot = aiq_audit_map_add(&u->map, seq);
    if (slot == NULL) {
        return aiq_fail(u->err, AIQ_E_NO_MEMORY, "no memory");
    }

    memcpy(slot->data, &used, sizeof(used));

    return AIQ_OK;
}


/*
 * Only what was certainly not sent gives a step back.  If somebody has said so
 * and the OUTCOME came all the same, that counts.
 */

static aiq_rc_t
aiq_audit_scan_outcome(aiq_audit_uses_t *u, const aiq_json_t *doc,
    int resolve)
{
    int                not_sent;
    int64_t            seq;
    uint32_t           intent, status;
    aiq_audit_used_t   used;
    aiq_audit_slot_t  *slot;

    if (u->map.used == 0) {
        return AIQ_OK;
    }

    intent = aiq_json_get(doc, 0, "intent");

    if (aiq_json_int(doc, aiq_json_get(doc, intent, "seq"), &seq) != AIQ_OK
        || seq <= 0)
    {
        return AIQ_OK;
    }

    slot = aiq_audit_map_find(&u->map, (uint64_t) seq);

    if (slot == NULL) {
        return AIQ_OK;
    }

    status = aiq_json_get(doc, 0, "status");

    not_sent = aiq_json_is(doc, status, "not_sent")
               || aiq_json_is(doc, status, "revoked");

    if (not_sent && !resolve) {
        aiq_audit_map_del(&u->map, slot);
        return AIQ_OK;
    }

    memcpy(&used, slot->data, sizeof(used));
    used.back = (uint32_t) not_sent;
    memcpy(slot->data, &used, sizeof(used));

    return AIQ_OK;
}
