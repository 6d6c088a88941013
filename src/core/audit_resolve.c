
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Settling a call whose outcome is unknown: somebody has found out what became
 * of it, and says so in a RESOLVE record.  Whether there is something to be
 * settled is looked up without the lock of the log, and once more under it in
 * what has come since.
 */


#include <stdlib.h>
#include <string.h>

#include "audit_open.h"
#include "audit_query.h"


#define AIQ_AUDIT_RESOLVE_TRIES  10

/* six bytes for one that is escaped */

#define AIQ_AUDIT_RESOLVE_MAX    (6 * (AIQ_NAME_MAX + AIQ_AUDIT_NOTE_MAX)     \
                                  + 256)


/* what is known of the call */

typedef struct {
    aiq_audit_reader_t   reader;
    uint64_t             seq;         /* of the INTENT */
    uint64_t             last;        /* of the record that was read last */
    aiq_hash_t           leaf;
    unsigned char        rid[AIQ_AUDIT_RID_LEN];
    unsigned char       *tape;
    aiq_crypto_t        *crypto;
    unsigned             found:1;
    unsigned             through:1;
    unsigned             outcome:1;   /* it has one */
    unsigned             resolved:1;
    unsigned             moved:1;     /* a segment was begun meanwhile */
} aiq_audit_settle_t;


static aiq_rc_t aiq_audit_settle(aiq_audit_settle_t *s, const char *dir,
    aiq_audit_t *log, const aiq_audit_resolve_t *r, aiq_audit_pos_t *pos,
    aiq_err_t *err);
static aiq_rc_t aiq_audit_settle_find(aiq_audit_settle_t *s, aiq_err_t *err);
static aiq_rc_t aiq_audit_settle_lines(aiq_audit_settle_t *s, aiq_err_t *err);
static aiq_rc_t aiq_audit_settle_line(aiq_audit_settle_t *s, aiq_str_t line,
    aiq_err_t *err);
static aiq_rc_t aiq_audit_settle_intent(aiq_audit_settle_t *s,
    const aiq_json_t *doc, aiq_err_t *err);
static aiq_rc_t aiq_audit_settle_open(const aiq_audit_settle_t *s,
    aiq_err_t *err);
static aiq_rc_t aiq_audit_settle_ask(aiq_audit_t *log, void *data,
    aiq_err_t *err);
static aiq_rc_t aiq_audit_settle_write(const aiq_audit_settle_t *s,
    const aiq_audit_resolve_t *r, unsigned char *buf, aiq_str_t *body,
    aiq_err_t *err);


aiq_rc_t
aiq_audit_resolve(const char *dir, const aiq_audit_resolve_t *r,
    aiq_crypto_t *c, aiq_audit_pos_t *pos, aiq_err_t *err)
{
    unsigned            i;
    aiq_rc_t            rc;
    aiq_audit_t        *log;
    aiq_audit_settle_t  s;

    rc = aiq_audit_open(&log, dir, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    for (i = 0; i < AIQ_AUDIT_RESOLVE_TRIES; i++) {

        memset(&s, 0, sizeof(aiq_audit_settle_t));

        s.seq = r->seq;
        s.crypto = c;

        rc = aiq_audit_settle(&s, dir, log, r, pos, err);

        aiq_audit_reader_close(&s.reader);
        free(s.tape);

        if (!s.moved) {
            break;
        }
    }

    aiq_audit_close(log);

    return rc;
}


static aiq_rc_t
aiq_audit_settle(aiq_audit_settle_t *s, const char *dir, aiq_audit_t *log,
    const aiq_audit_resolve_t *r, aiq_audit_pos_t *pos, aiq_err_t *err)
{
    aiq_rc_t        rc;
    aiq_str_t       body;
    unsigned char  *buf;

    rc = aiq_audit_reader_open(&s->reader, dir, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    s->tape = malloc(AIQ_JSON_TOKENS * sizeof(aiq_json_tok_t));
    buf = malloc(AIQ_AUDIT_BODY_MAX);

    if (s->tape == NULL || buf == NULL) {
        free(buf);
        return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory");
    }

    rc = aiq_audit_settle_find(s, err);

    if (rc == AIQ_OK) {
        rc = aiq_audit_settle_open(s, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_settle_write(s, r, buf, &body, err);
    }

    if (rc == AIQ_OK) {
        log->ask = aiq_audit_settle_ask;
        log->ask_data = s;

        rc = aiq_audit_append(log, &body, 1, AIQ_AUDIT_FSYNC, r->ts_us,
                              s->crypto, pos, err);

        log->ask = NULL;
    }

    free(buf);

    return rc;
}


/* from the segment that holds the INTENT to the end */

static aiq_rc_t
aiq_audit_settle_find(aiq_audit_settle_t *s, aiq_err_t *err)
{
    size_t    i;
    aiq_rc_t  rc;

    for (i = s->reader.n; i > 0 && s->reader.list[i - 1] > s->seq; i--) {
        /* void */
    }

    if (i == 0) {
        return aiq_fail(err, AIQ_DECLINED, "the log has no record %llu",
                        (unsigned long long) s->seq);
    }

    for (i--; i < s->reader.n; i++) {
        rc = aiq_audit_reader_segment(&s->reader, i, 0, err);

        if (rc == AIQ_OK) {
            rc = aiq_audit_settle_lines(s, err);
        }

        if (rc != AIQ_OK) {
            return rc;
        }
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_audit_settle_lines(aiq_audit_settle_t *s, aiq_err_t *err)
{
    aiq_rc_t   rc;
    aiq_str_t  line;

    for ( ;; ) {
        rc = aiq_audit_reader_line(&s->reader, &line, err);

        if (rc == AIQ_DECLINED) {
            return AIQ_OK;
        }

        if (rc == AIQ_OK) {
            rc = aiq_audit_settle_line(s, line, err);

        } else if (rc == AIQ_D_JSON_TOO_LARGE) {
            rc = AIQ_DECLINED;
        }

        if (rc == AIQ_DECLINED) {
            return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                            "audit segment %s has a line that is not a record "
                            "behind record %llu; run \"armoriqctl audit "
                            "verify\"", s->reader.name,
                            (unsigned long long) s->last);
        }

        if (rc != AIQ_OK) {
            return rc;
        }
    }
}


/* AIQ_DECLINED: it is no record */

static aiq_rc_t
aiq_audit_settle_line(aiq_audit_settle_t *s, aiq_str_t line, aiq_err_t *err)
{
    int                intent, outcome, resolve;
    int64_t            seq;
    uint32_t           i;
    aiq_mem_t          mem;
    aiq_json_t         doc;
    aiq_audit_front_t  f;

    if (aiq_audit_front(&f, line) != AIQ_OK) {
        return AIQ_DECLINED;
    }

    s->last = f.seq;

    intent = (f.seq == s->seq && aiq_str_is(f.type, "INTENT"));
    outcome = (s->found && aiq_str_is(f.type, "OUTCOME"));
    resolve = (s->found && aiq_str_is(f.type, "RESOLVE"));

    if (!intent && !outcome && !resolve) {
        return AIQ_OK;
    }

    mem.pos = s->tape;
    mem.end = s->tape + AIQ_JSON_TOKENS * sizeof(aiq_json_tok_t);

    if (aiq_json_parse(&doc, line, AIQ_AUDIT_DEPTH, &mem, NULL) != AIQ_OK) {
        return AIQ_DECLINED;
    }

    if (intent) {
        return aiq_audit_settle_intent(s, &doc, err);
    }

    i = aiq_json_get(&doc, aiq_json_get(&doc, 0, "intent"), "seq");

    if (aiq_json_int(&doc, i, &seq) == AIQ_OK && seq > 0
        && (uint64_t) seq == s->seq)
    {
        s->outcome |= (unsigned) outcome;
        s->resolved |= (unsigned) resolve;
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_audit_settle_intent(aiq_audit_settle_t *s, const aiq_json_t *doc,
    aiq_err_t *err)
{
    uint32_t  i;

    i = aiq_json_get(doc, 0, "rid");

    if (aiq_json_type(doc, i) != AIQ_JSON_STRING
        || doc->tok[i].len != AIQ_AUDIT_RID_LEN)
    {
        return AIQ_DECLINED;
    }

    memcpy(s->rid, doc->text.data + doc->tok[i].pos, AIQ_AUDIT_RID_LEN);

    s->found = 1;
    s->through = (unsigned) aiq_audit_let_through(doc);

    if (aiq_merkle_leaf(s->crypto, doc->text, s->leaf) != AIQ_OK) {
        return aiq_fail(err, AIQ_E_CRYPTO_FAILED, "SHA-256 failed");
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_audit_settle_open(const aiq_audit_settle_t *s, aiq_err_t *err)
{
    const char  *what;

    what = !s->found ? "is not the INTENT of a call"
           : !s->through ? "was not let through"
           : s->outcome ? "has an outcome"
           : s->resolved ? "was resolved before" : NULL;

    if (what == NULL) {
        return AIQ_OK;
    }

    if (s->last < s->seq) {
        return aiq_fail(err, AIQ_DECLINED, "the log has no record %llu",
                        (unsigned long long) s->seq);
    }

    return aiq_fail(err, AIQ_DECLINED, "record %llu %s",
                    (unsigned long long) s->seq, what);
}


/* the OUTCOME may have come, or somebody else may have been quicker */

static aiq_rc_t
aiq_audit_settle_ask(aiq_audit_t *log, void *data, aiq_err_t *err)
{
    aiq_audit_settle_t  *s = data;

    aiq_rc_t  rc;

    if (log->seq == s->last) {
        return AIQ_OK;
    }

    if (log->first != s->reader.first) {
        s->moved = 1;

        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "segments are begun faster than they are read");
    }

    s->reader.size = log->end;

    rc = aiq_audit_settle_lines(s, err);

    return (rc == AIQ_OK) ? aiq_audit_settle_open(s, err) : rc;
}


static aiq_rc_t
aiq_audit_settle_write(const aiq_audit_settle_t *s,
    const aiq_audit_resolve_t *r, unsigned char *buf, aiq_str_t *body,
    aiq_err_t *err)
{
    aiq_out_t      out;
    aiq_str_t      none;
    unsigned char  hex[2 * AIQ_HASH_LEN], members[AIQ_AUDIT_RESOLVE_MAX];

    if ((!aiq_str_is(r->status, "executed")
         && !aiq_str_is(r->status, "not_sent"))
        || r->by.len > AIQ_NAME_MAX || r->note.len > AIQ_AUDIT_NOTE_MAX)
    {
        return aiq_fail(err, AIQ_E_INTERNAL, "this is not a resolution");
    }

    aiq_audit_hex(s->leaf, hex);

    aiq_out_init(&out, members, sizeof(members));

    aiq_out_str(&out, "\"rid\":\"");
    aiq_out_mem(&out, s->rid, AIQ_AUDIT_RID_LEN);
    aiq_out_str(&out, "\",\"intent\":{\"seq\":");
    aiq_out_int(&out, (int64_t) s->seq);
    aiq_out_str(&out, ",\"h\":\"");
    aiq_out_mem(&out, hex, sizeof(hex));
    aiq_out_str(&out, "\"},\"status\":");
    aiq_out_json(&out, r->status);
    aiq_out_str(&out, ",\"uid\":");
    aiq_out_int(&out, r->uid);

    if (r->by.len) {
        aiq_out_str(&out, ",\"by\":");
        aiq_out_json(&out, r->by);
    }

    aiq_out_str(&out, ",\"note\":");
    aiq_out_json(&out, r->note);

    if (out.failed) {
        return aiq_fail(err, AIQ_E_INTERNAL, "the record is too long");
    }

    *body = aiq_out_done(&out);
    aiq_str_null(&none);

    aiq_out_init(&out, buf, AIQ_AUDIT_BODY_MAX);
    aiq_audit_write_event(&out, "RESOLVE", r->ts_us, none, *body);

    if (out.failed) {
        return aiq_fail(err, AIQ_E_INTERNAL, "the record is too long");
    }

    *body = aiq_out_done(&out);

    return AIQ_OK;
}
