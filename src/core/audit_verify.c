
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Verifying the whole audit log, line by line in the order of writing.  What
 * is hashed are the bytes as stored, so nothing here depends on how records
 * were written, and a line that only looks like a record is not one.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit_file.h"
#include "audit_payload.h"
#include "b64.h"


#define AIQ_AUDIT_TAPE    (AIQ_JSON_TOKENS * sizeof(aiq_json_tok_t) + 16)
#define AIQ_AUDIT_RID     (AIQ_AUDIT_RID_LEN / 2)

/* records of several workers come a little out of order; clocks jump more */

#define AIQ_AUDIT_JUMP    10000000


/* an INTENT that was let through and has no OUTCOME yet */

typedef struct {
    aiq_hash_t           leaf;
    unsigned char        rid[AIQ_AUDIT_RID];
} aiq_audit_open_t;

_Static_assert(sizeof(aiq_audit_open_t) <= AIQ_AUDIT_MAP_DATA,
               "an open INTENT fits a slot");


typedef struct {
    aiq_audit_reader_t   reader;
    aiq_audit_report_t  *report;
    aiq_crypto_t        *crypto;
    aiq_audit_map_t      open;
    aiq_audit_map_t      settled;     /* of these, by a RESOLVE */
    aiq_frontier_t       tree;
    aiq_audit_compare_t  compare;
    aiq_hash_t           leaf;        /* of the last record */
    uint64_t             seq;         /* of the last record */
    int64_t              ts_us;
    uint64_t             line;        /* offset of the line */
    unsigned char       *tape;
    aiq_json_t           doc;
    aiq_audit_front_t    front;

    /* the segment before: its name, and what is torn at its end */

    char                 name[AIQ_AUDIT_NAME_LEN + 1];
    uint64_t             first;       /* record of it */
    uint64_t             torn_off;
    uint64_t             torn_len;
    aiq_hash_t           torn_hash;
    unsigned             payloads:1;  /* are to be looked at */
    unsigned             head:1;      /* first record of a segment */
    unsigned             follows:1;   /* there was a segment before */
} aiq_audit_verify_t;


/* members of a record that are looked at */

typedef struct {
    uint32_t             rid;
    uint32_t             verdict;
    uint32_t             reason;
    uint32_t             dry_run;
    uint32_t             intent;
    uint32_t             status;
} aiq_audit_members_t;


static aiq_audit_code_e aiq_audit_verify_log(aiq_audit_verify_t *v);
static aiq_audit_code_e aiq_audit_verify_segment(aiq_audit_verify_t *v,
    size_t i);
static aiq_audit_code_e aiq_audit_verify_end(aiq_audit_verify_t *v);
static aiq_audit_code_e aiq_audit_verify_line(aiq_audit_verify_t *v,
    aiq_str_t line);
static aiq_audit_code_e aiq_audit_verify_record(aiq_audit_verify_t *v);
static aiq_audit_code_e aiq_audit_verify_recovery(aiq_audit_verify_t *v);
static aiq_audit_code_e aiq_audit_verify_rotate(aiq_audit_verify_t *v);
static aiq_audit_code_e aiq_audit_verify_intent(aiq_audit_verify_t *v);
static aiq_audit_code_e aiq_audit_verify_payload(aiq_audit_verify_t *v);
static void aiq_audit_verify_spoiled(aiq_audit_report_t *report);
static aiq_audit_code_e aiq_audit_verify_outcome(aiq_audit_verify_t *v);
static aiq_audit_code_e aiq_audit_verify_resolve(aiq_audit_verify_t *v);
static aiq_audit_code_e aiq_audit_verify_pair(aiq_audit_verify_t *v,
    const aiq_audit_members_t *m, aiq_audit_slot_t **slot);
static void aiq_audit_verify_members(const aiq_json_t *doc,
    aiq_audit_members_t *m);
static int aiq_audit_verify_hex(const aiq_json_t *doc, uint32_t i,
    unsigned char *out, size_t len);
static int aiq_audit_verify_number(const aiq_json_t *doc, uint32_t i,
    uint64_t v);
static aiq_audit_code_e aiq_audit_verify_fail(aiq_audit_verify_t *v,
    aiq_audit_code_e code, const char *what);
static aiq_audit_code_e aiq_audit_verify_io(aiq_audit_verify_t *v,
    const aiq_err_t *err);


void
aiq_audit_verify(const char *dir, aiq_crypto_t *c, aiq_audit_report_t *report)
{
    aiq_audit_verify_kept(dir, NULL, c, report);
}


void
aiq_audit_verify_kept(const char *dir, const aiq_audit_kept_t *kept,
    aiq_crypto_t *c, aiq_audit_report_t *report)
{
    aiq_rc_t            rc;
    aiq_err_t           err;
    aiq_audit_verify_t  v;

    memset(report, 0, sizeof(aiq_audit_report_t));
    memset(&v, 0, sizeof(aiq_audit_verify_t));

    v.report = report;
    v.crypto = c;
    v.payloads = (kept != NULL && kept->payloads);

    report->keys = 1;

    aiq_frontier_init(&v.tree);

    err.text[0] = '\0';

    /* first: a checkpoint that is made meanwhile covers what is not read */

    report->code = aiq_audit_compare_open(&v.compare, dir, kept, c, report);

    if (report->code != AIQ_AUDIT_OK) {
        aiq_audit_compare_close(&v.compare);
        return;
    }

    rc = aiq_audit_reader_open(&v.reader, dir, &err);

    if (rc == AIQ_OK) {
        v.tape = malloc(AIQ_AUDIT_TAPE);

        if (v.tape == NULL) {
            rc = aiq_fail(&err, AIQ_E_NO_MEMORY, "no memory");
        }
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_genesis(v.reader.dir, c, v.leaf, &err);
    }

    if (rc == AIQ_DECLINED) {
        report->code = aiq_audit_verify_io(&v, &err);
        report->code = AIQ_AUDIT_BROKEN;

    } else if (rc != AIQ_OK) {
        report->code = aiq_audit_verify_io(&v, &err);

    } else {
        report->code = aiq_audit_verify_log(&v);
    }

    aiq_audit_verify_spoiled(report);

    report->resolved = v.settled.used;
    report->unknown = v.open.used - v.settled.used;
    memcpy(report->tail, v.leaf, AIQ_HASH_LEN);

    if (aiq_frontier_root(c, &v.tree, report->root) != AIQ_OK
        && (report->code == AIQ_AUDIT_OK
            || report->code == AIQ_AUDIT_UNKNOWN
            || report->code == AIQ_AUDIT_PAYLOADS))
    {
        report->code = aiq_audit_verify_fail(&v, AIQ_AUDIT_IO,
                                             "SHA-256 failed");
    }

    aiq_audit_map_free(&v.open);
    aiq_audit_map_free(&v.settled);
    aiq_audit_compare_close(&v.compare);
    aiq_audit_reader_close(&v.reader);
    free(v.tape);
}


static aiq_audit_code_e
aiq_audit_verify_log(aiq_audit_verify_t *v)
{
    size_t             i;
    aiq_audit_code_e   code;

    code = AIQ_AUDIT_OK;

    if (v->compare.due == 0) {
        code = aiq_audit_compare(&v->compare, &v->tree, v->crypto, v->report);
    }

    for (i = 0; code == AIQ_AUDIT_OK && i < v->reader.n; i++) {
        code = aiq_audit_verify_segment(v, i);
    }

    if (code != AIQ_AUDIT_OK) {
        return code;
    }

    /* before what is torn: a crash leaves that, but takes nothing signed */

    code = aiq_audit_compare_end(&v->compare, &v->tree, v->report);

    if (code != AIQ_AUDIT_OK) {
        v->report->seq = v->seq;
        return code;
    }

    if (v->torn_len) {
        v->report->seq = v->seq;

        (void) snprintf(v->report->text, sizeof(v->report->text),
                        "%s: %llu bytes behind record %llu are no whole line, "
                        "and no RECOVERY record declares them", v->name,
                        (unsigned long long) v->torn_len,
                        (unsigned long long) v->seq);

        return AIQ_AUDIT_TORN;
    }

    v->report->seq = v->seq;

    if (v->open.used > v->settled.used) {
        (void) snprintf(v->report->text, sizeof(v->report->text),
                        "the outcome of %llu calls is unknown",
                        (unsigned long long) (v->open.used
                                              - v->settled.used));

        return AIQ_AUDIT_UNKNOWN;
    }

    return AIQ_AUDIT_OK;
}


static aiq_audit_code_e
aiq_audit_verify_segment(aiq_audit_verify_t *v, size_t i)
{
    aiq_rc_t           rc;
    aiq_err_t          err;
    aiq_str_t          line;
    aiq_audit_code_e   code;

    err.text[0] = '\0';

    if (aiq_audit_reader_segment(&v->reader, i, 0, &err) != AIQ_OK) {
        return aiq_audit_verify_io(v, &err);
    }

    v->report->segments++;
    v->head = 1;
    v->line = 0;

    for ( ;; ) {
        v->line = v->reader.off;

        rc = aiq_audit_reader_line(&v->reader, &line, &err);

        if (rc == AIQ_DECLINED) {
            return aiq_audit_verify_end(v);
        }

        if (rc == AIQ_D_JSON_TOO_LARGE) {
            return aiq_audit_verify_fail(v, AIQ_AUDIT_BROKEN,
                                         "the line is too long");
        }

        if (rc != AIQ_OK) {
            return aiq_audit_verify_io(v, &err);
        }

        code = aiq_audit_verify_line(v, line);
        if (code != AIQ_AUDIT_OK) {
            return code;
        }

        v->head = 0;
    }
}


/* remembers what is torn: the next segment must say the same */

static aiq_audit_code_e
aiq_audit_verify_end(aiq_audit_verify_t *v)
{
    aiq_err_t  err;

    v->torn_off = v->reader.off;
    v->torn_len = v->reader.size - v->reader.off;

    if (v->head) {
        return aiq_audit_verify_fail(v, v->torn_len ? AIQ_AUDIT_TORN
                                                    : AIQ_AUDIT_BROKEN,
                                     "the segment holds no record");
    }

    err.text[0] = '\0';

    if (aiq_audit_hash_at(v->reader.fd, v->torn_off, v->torn_len,
                          v->reader.name, v->crypto, v->torn_hash, &err)
        != AIQ_OK)
    {
        return aiq_audit_verify_io(v, &err);
    }

    memcpy(v->name, v->reader.name, sizeof(v->name));
    v->first = v->reader.first;
    v->follows = 1;

    return AIQ_AUDIT_OK;
}


static aiq_audit_code_e
aiq_audit_verify_line(aiq_audit_verify_t *v, aiq_str_t line)
{
    aiq_err_t         err;
    aiq_mem_t         mem;
    unsigned char     hex[2 * AIQ_HASH_LEN];
    aiq_audit_code_e  code;

    if (aiq_audit_front(&v->front, line) != AIQ_OK) {
        return aiq_audit_verify_fail(v, AIQ_AUDIT_BROKEN,
                                     "the line does not begin like a record");
    }

    if (v->front.seq != v->seq + 1) {
        return aiq_audit_verify_fail(v, AIQ_AUDIT_GAP,
                                     "another number was expected");
    }

    if (v->head && v->front.seq != v->reader.first) {
        return aiq_audit_verify_fail(v, AIQ_AUDIT_GAP,
                                     "the segment is named after another "
                                     "number");
    }

    aiq_audit_hex(v->leaf, hex);

    if (memcmp(v->front.prev, hex, sizeof(hex)) != 0) {
        return aiq_audit_verify_fail(v, AIQ_AUDIT_BROKEN,
                                     "prev is not the hash of the record "
                                     "before");
    }

    mem.pos = v->tape;
    mem.end = v->tape + AIQ_AUDIT_TAPE;

    err.text[0] = '\0';

    if (aiq_json_parse(&v->doc, line, AIQ_AUDIT_DEPTH, &mem, &err)
        != AIQ_OK)
    {
        return aiq_audit_verify_fail(v, AIQ_AUDIT_BROKEN, err.text);
    }

    if (aiq_merkle_leaf(v->crypto, line, v->leaf) != AIQ_OK
        || aiq_frontier_add(v->crypto, &v->tree, v->leaf) != AIQ_OK)
    {
        return aiq_audit_verify_fail(v, AIQ_AUDIT_IO, "SHA-256 failed");
    }

    code = aiq_audit_verify_record(v);

    if (code != AIQ_AUDIT_OK) {
        return code;
    }

    v->seq = v->front.seq;
    v->report->records++;

    if (v->tree.size == v->compare.due) {
        v->report->seq = v->seq;
        return aiq_audit_compare(&v->compare, &v->tree, v->crypto, v->report);
    }

    return AIQ_AUDIT_OK;
}


static aiq_audit_code_e
aiq_audit_verify_record(aiq_audit_verify_t *v)
{
    int        recovery, rotate;
    aiq_mem_t  mem;

    if (v->front.ts_us + AIQ_AUDIT_JUMP < v->ts_us) {
        v->report->warnings++;
    }

    v->ts_us = v->front.ts_us;

    recovery = aiq_str_is(v->front.type, "RECOVERY");

    rotate = aiq_str_is(v->front.type, "ROTATE");

    if ((recovery || rotate) && (!v->head || !v->follows)) {
        return aiq_audit_verify_fail(v, AIQ_AUDIT_BROKEN,
                                     "a RECOVERY or ROTATE record must be the "
                                     "first of a segment that follows another "
                                     "one");
    }

    if (recovery || (v->head && v->torn_len)) {
        return aiq_audit_verify_recovery(v);
    }

    if (rotate || (v->head && v->follows)) {
        return aiq_audit_verify_rotate(v);
    }

    if (aiq_str_is(v->front.type, "INTENT")) {
        return aiq_audit_verify_intent(v);
    }

    if (aiq_str_is(v->front.type, "OUTCOME")) {
        return aiq_audit_verify_outcome(v);
    }

    if (aiq_str_is(v->front.type, "RESOLVE")) {
        return aiq_audit_verify_resolve(v);
    }

    if (aiq_str_is(v->front.type, "KEY")) {
        mem.pos = v->tape;
        mem.end = v->tape + AIQ_AUDIT_TAPE;

        return aiq_audit_compare_key(&v->compare, v->doc.text, v->front.seq,
                                     &mem, v->crypto, v->report);
    }

    return AIQ_AUDIT_OK;
}


static aiq_audit_code_e
aiq_audit_verify_recovery(aiq_audit_verify_t *v)
{
    uint32_t           i;
    aiq_hash_t         hash;
    const aiq_json_t  *doc;

    doc = &v->doc;
    i = aiq_json_get(doc, 0, "uncertain");

    if (!aiq_str_is(v->front.type, "RECOVERY")
        || !aiq_json_is(doc, aiq_json_get(doc, 0, "seg"), v->name)
        || !aiq_audit_verify_number(doc, aiq_json_get(doc, 0, "off"),
                                    v->torn_off)
        || !aiq_audit_verify_number(doc, aiq_json_get(doc, 0, "len"),
                                    v->torn_len)
        || !aiq_audit_verify_hex(doc, aiq_json_get(doc, 0, "sha256"), hash,
                                 AIQ_HASH_LEN)
        || memcmp(hash, v->torn_hash, AIQ_HASH_LEN) != 0
        || (aiq_json_type(doc, i) != AIQ_JSON_TRUE
            && aiq_json_type(doc, i) != AIQ_JSON_FALSE))
    {
        return aiq_audit_verify_fail(v, AIQ_AUDIT_TORN,
                                     "the record does not declare what is "
                                     "torn at the end of the segment before");
    }

    v->torn_len = 0;

    return AIQ_AUDIT_OK;
}


/* the segment before is whole: that was seen, or this would be RECOVERY */

static aiq_audit_code_e
aiq_audit_verify_rotate(aiq_audit_verify_t *v)
{
    const aiq_json_t  *doc;

    doc = &v->doc;

    if (!aiq_str_is(v->front.type, "ROTATE")
        || !aiq_json_is(doc, aiq_json_get(doc, 0, "seg"), v->name)
        || !aiq_audit_verify_number(doc, aiq_json_get(doc, 0, "size"),
                                    v->torn_off)
        || !aiq_audit_verify_number(doc, aiq_json_get(doc, 0, "records"),
                                    v->seq - v->first + 1))
    {
        return aiq_audit_verify_fail(v, AIQ_AUDIT_BROKEN,
                                     "the segment does not begin with a "
                                     "record that says how the one before "
                                     "ends");
    }

    return AIQ_AUDIT_OK;
}


static aiq_audit_code_e
aiq_audit_verify_intent(aiq_audit_verify_t *v)
{
    int                   permit, deny, hold;
    aiq_audit_open_t      open;
    aiq_audit_slot_t     *slot;
    aiq_audit_members_t   m;

    aiq_audit_verify_members(&v->doc, &m);

    permit = aiq_json_is(&v->doc, m.verdict, "PERMIT");
    deny = aiq_json_is(&v->doc, m.verdict, "DENY");
    hold = aiq_json_is(&v->doc, m.verdict, "HOLD");

    if ((!permit && !deny && !hold) || m.reason == AIQ_JSON_NONE
        || !aiq_audit_verify_hex(&v->doc, m.rid, open.rid, AIQ_AUDIT_RID)
        || (m.dry_run != AIQ_JSON_NONE
            && aiq_json_type(&v->doc, m.dry_run) != AIQ_JSON_TRUE))
    {
        return aiq_audit_verify_fail(v, AIQ_AUDIT_BROKEN,
                                     "verdict, reason, rid or dry_run of the "
                                     "INTENT is missing or wrong");
    }

    v->report->intents++;
    v->report->denials += (uint64_t) deny;

    if (!permit && m.dry_run == AIQ_JSON_NONE) {
        return AIQ_AUDIT_OK;
    }

    slot = aiq_audit_map_add(&v->open, v->front.seq);
    if (slot == NULL) {
        return aiq_audit_verify_fail(v, AIQ_AUDIT_IO,
                                     "no memory for open intents");
    }

    memcpy(open.leaf, v->leaf, AIQ_HASH_LEN);
    memcpy(slot->data, &open, sizeof(open));

    return v->payloads ? aiq_audit_verify_payload(v) : AIQ_AUDIT_OK;
}


/* the log is read to its end all the same: the first one is named */

static aiq_audit_code_e
aiq_audit_verify_payload(aiq_audit_verify_t *v)
{
    aiq_rc_t   rc;
    aiq_err_t  err;

    err.text[0] = '\0';

    rc = aiq_audit_payload_check(v->reader.dir, &v->doc, v->crypto, v->report,
                                 &err);

    if (rc == AIQ_OK) {
        return AIQ_AUDIT_OK;
    }

    if (rc != AIQ_DECLINED) {
        return aiq_audit_verify_io(v, &err);
    }

    if (v->report->spoiled++ == 0) {
        (void) snprintf(v->report->wrong, sizeof(v->report->wrong),
                        "record %llu: %.256s",
                        (unsigned long long) v->front.seq, err.text);
    }

    return AIQ_AUDIT_OK;
}


/* what is wrong with the log itself counts for more */

static void
aiq_audit_verify_spoiled(aiq_audit_report_t *report)
{
    if (report->spoiled
        && (report->code == AIQ_AUDIT_OK
            || report->code == AIQ_AUDIT_UNKNOWN))
    {
        report->code = AIQ_AUDIT_PAYLOADS;
        memcpy(report->text, report->wrong, sizeof(report->text));
    }
}


static aiq_audit_code_e
aiq_audit_verify_outcome(aiq_audit_verify_t *v)
{
    aiq_audit_code_e      code;
    aiq_audit_slot_t     *slot, *settled;
    aiq_audit_members_t   m;

    aiq_audit_verify_members(&v->doc, &m);

    code = aiq_audit_verify_pair(v, &m, &slot);
    if (code != AIQ_AUDIT_OK) {
        return code;
    }

    settled = aiq_audit_map_find(&v->settled, slot->key);

    if (settled != NULL) {

        /* whoever has sent it knows better */

        v->report->warnings += settled->data[0]
                               != (aiq_json_is(&v->doc, m.status, "not_sent")
                                   || aiq_json_is(&v->doc, m.status,
                                                  "revoked"));

        aiq_audit_map_del(&v->settled, settled);
    }

    aiq_audit_map_del(&v->open, slot);

    v->report->outcomes++;

    return AIQ_AUDIT_OK;
}


/* the call stays open: its OUTCOME may be late */

static aiq_audit_code_e
aiq_audit_verify_resolve(aiq_audit_verify_t *v)
{
    int                   sent, not_sent;
    aiq_audit_code_e      code;
    aiq_audit_slot_t     *slot;
    aiq_audit_members_t   m;

    aiq_audit_verify_members(&v->doc, &m);

    code = aiq_audit_verify_pair(v, &m, &slot);
    if (code != AIQ_AUDIT_OK) {
        return code;
    }

    sent = aiq_json_is(&v->doc, m.status, "executed");
    not_sent = aiq_json_is(&v->doc, m.status, "not_sent");

    if (!sent && !not_sent) {
        return aiq_audit_verify_fail(v, AIQ_AUDIT_BROKEN,
                                     "a RESOLVE says \"executed\" or "
                                     "\"not_sent\"");
    }

    if (aiq_audit_map_find(&v->settled, slot->key) != NULL) {
        return aiq_audit_verify_fail(v, AIQ_AUDIT_MISMATCH,
                                     "the RESOLVE is the second one of its "
                                     "INTENT");
    }

    slot = aiq_audit_map_add(&v->settled, slot->key);
    if (slot == NULL) {
        return aiq_audit_verify_fail(v, AIQ_AUDIT_IO,
                                     "no memory for resolved intents");
    }

    slot->data[0] = (unsigned char) not_sent;

    return AIQ_AUDIT_OK;
}


/* the INTENT of an OUTCOME or RESOLVE: let through, and with no OUTCOME */

static aiq_audit_code_e
aiq_audit_verify_pair(aiq_audit_verify_t *v, const aiq_audit_members_t *m,
    aiq_audit_slot_t **slot)
{
    int64_t            seq;
    aiq_hash_t         leaf;
    const aiq_json_t  *doc;
    aiq_audit_open_t   open;
    unsigned char      rid[AIQ_AUDIT_RID];

    doc = &v->doc;

    if (aiq_json_type(doc, m->status) != AIQ_JSON_STRING
        || !aiq_audit_verify_hex(doc, m->rid, rid, AIQ_AUDIT_RID)
        || aiq_json_int(doc, aiq_json_get(doc, m->intent, "seq"), &seq)
           != AIQ_OK
        || !aiq_audit_verify_hex(doc, aiq_json_get(doc, m->intent, "h"), leaf,
                                 AIQ_HASH_LEN))
    {
        return aiq_audit_verify_fail(v, AIQ_AUDIT_BROKEN,
                                     "status, rid or intent of the OUTCOME "
                                     "or RESOLVE is missing or wrong");
    }

    *slot = (seq > 0) ? aiq_audit_map_find(&v->open, (uint64_t) seq) : NULL;

    if (*slot == NULL) {
        return aiq_audit_verify_fail(v, AIQ_AUDIT_MISMATCH,
                                     "the OUTCOME or RESOLVE is for no "
                                     "permitted INTENT before it that has no "
                                     "OUTCOME yet");
    }

    memcpy(&open, (*slot)->data, sizeof(open));

    if (memcmp(leaf, open.leaf, AIQ_HASH_LEN) != 0
        || memcmp(rid, open.rid, AIQ_AUDIT_RID) != 0)
    {
        return aiq_audit_verify_fail(v, AIQ_AUDIT_MISMATCH,
                                     "the OUTCOME or RESOLVE has the number "
                                     "of one INTENT and the hash or rid of "
                                     "another");
    }

    return AIQ_AUDIT_OK;
}


/* one pass; keys in our records are never escaped */

static void
aiq_audit_verify_members(const aiq_json_t *doc, aiq_audit_members_t *m)
{
    size_t                i;
    uint32_t              k;
    uint32_t             *p;
    const unsigned char  *key;

    static const struct {
        const char  *name;
        size_t       len;
        size_t       offset;
    } names[] = {
        { "rid", 3, offsetof(aiq_audit_members_t, rid) },
        { "verdict", 7, offsetof(aiq_audit_members_t, verdict) },
        { "reason", 6, offsetof(aiq_audit_members_t, reason) },
        { "dry_run", 7, offsetof(aiq_audit_members_t, dry_run) },
        { "intent", 6, offsetof(aiq_audit_members_t, intent) },
        { "status", 6, offsetof(aiq_audit_members_t, status) }
    };

    memset(m, 0xff, sizeof(aiq_audit_members_t));

    for (k = aiq_json_first(doc, 0);
         k != AIQ_JSON_NONE;
         k = aiq_json_next(doc, 0, k))
    {
        key = doc->text.data + doc->tok[k].pos;

        for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {

            if (doc->tok[k].len == names[i].len
                && memcmp(key, names[i].name, names[i].len) == 0)
            {
                p = (uint32_t *) ((char *) m + names[i].offset);
                *p = k + 1;
                break;
            }
        }
    }
}


static int
aiq_audit_verify_hex(const aiq_json_t *doc, uint32_t i, unsigned char *out,
    size_t len)
{
    aiq_str_t  s;

    if (aiq_json_type(doc, i) != AIQ_JSON_STRING) {
        return 0;
    }

    s.data = doc->text.data + doc->tok[i].pos;
    s.len = doc->tok[i].len;

    return aiq_hex_decode(s, out, len) == AIQ_OK;
}


static int
aiq_audit_verify_number(const aiq_json_t *doc, uint32_t i, uint64_t v)
{
    int64_t  n;

    return aiq_json_int(doc, i, &n) == AIQ_OK && n >= 0 && (uint64_t) n == v;
}


static aiq_audit_code_e
aiq_audit_verify_fail(aiq_audit_verify_t *v, aiq_audit_code_e code,
    const char *what)
{
    v->report->seq = v->seq + 1;

    (void) snprintf(v->report->text, sizeof(v->report->text),
                    "%s, byte %llu, behind record %llu: %.256s",
                    v->reader.name, (unsigned long long) v->line,
                    (unsigned long long) v->seq, what);

    return code;
}


static aiq_audit_code_e
aiq_audit_verify_io(aiq_audit_verify_t *v, const aiq_err_t *err)
{
    v->report->seq = v->seq + 1;

    (void) snprintf(v->report->text, sizeof(v->report->text), "%s",
                    err->text);

    return AIQ_AUDIT_IO;
}
