
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Guards what people say about calls whose outcome is unknown: only of those,
 * once, and never against an OUTCOME, whoever was quicker.
 */


#include "audit_log.h"
#include <sys/file.h>

#include "audit_query.h"


static void (*race)(void);            /* before the lock is waited for */
static char  *race_dir;


int
flock(int fd, int op)
{
    void  (*now)(void);

    if (race && op == LOCK_EX) {
        now = race;
        race = NULL;
        now();
    }

    return (int) syscall(SYS_flock, fd, op);
}


static const char  *by = "alice";


/* the number of the RESOLVE, or 0 */

static uint64_t
resolve(const char *dir, uint64_t seq, const char *status, const char *note,
    aiq_err_t *err)
{
    aiq_rc_t              rc;
    aiq_audit_pos_t       pos;
    aiq_audit_resolve_t   r;

    memset(&r, 0, sizeof(r));

    r.ts_us = BASE;
    r.seq = seq;
    r.status = str(status);
    r.uid = 1000;
    r.by = str(by);
    r.note = str(note);

    err->text[0] = '\0';

    rc = aiq_audit_resolve(dir, &r, crypto, &pos, err);

    return rc == AIQ_OK ? pos.seq : 0;
}


/* 1: open, 2 and 3: with its OUTCOME, 4: denied, 5: open */

static char *
some(aiq_audit_pos_t pos[3])
{
    char                *dir, buf[8192];
    aiq_err_t            err;
    aiq_audit_t         *log;
    aiq_audit_intent_t   r;

    dir = fresh();
    log = reopen(dir);

    put_call(log, 1, &pos[0], &err);
    put_call(log, 2, &pos[1], &err);
    put_outcome(log, 2, &pos[1], "executed", &err);

    call(&r, 3);
    r.verdict = str("DENY");
    put(log, body_intent(&r, buf, sizeof(buf)), NULL, &err);

    put_call(log, 5, &pos[2], &err);
    aiq_audit_close(log);

    return dir;
}


static void
late(const char *dir, unsigned n, const aiq_audit_pos_t *pos,
    const char *status)
{
    aiq_err_t     err;
    aiq_audit_t  *log;

    log = reopen(dir);
    put_outcome(log, n, pos, status, &err);
    aiq_audit_close(log);
}


static void
test_rules(void)
{
    char                *dir;
    aiq_err_t            err;
    aiq_audit_pos_t      pos[3];
    aiq_audit_report_t   r;

    dir = some(pos);

    ok(verify(dir, &r) == AIQ_AUDIT_UNKNOWN && r.unknown == 2
       && r.resolved == 0, "two calls are unknown");

    ok(!resolve(dir, 2, "executed", "x", &err)
       && strstr(err.text, "has an outcome"), "it has one: %s", err.text);
    ok(!resolve(dir, 3, "executed", "x", &err)
       && strstr(err.text, "not the INTENT"), "not an INTENT: %s", err.text);
    ok(!resolve(dir, 4, "executed", "x", &err)
       && strstr(err.text, "not let through"), "denied: %s", err.text);
    ok(!resolve(dir, 6, "executed", "x", &err)
       && strstr(err.text, "no record 6"), "to come: %s", err.text);
    ok(!resolve(dir, 0, "executed", "x", &err), "no number: %s", err.text);
    ok(!resolve(dir, 1, "unknown", "x", &err), "another status");

    ok(verify(dir, &r) == AIQ_AUDIT_UNKNOWN && r.records == 5,
       "nothing was written");

    ok(resolve(dir, 1, "executed", "seen", &err) == 6, "resolved");
    ok(verify(dir, &r) == AIQ_AUDIT_UNKNOWN && r.unknown == 1
       && r.resolved == 1, "one is left: %s", r.text);
    ok(!resolve(dir, 1, "not_sent", "x", &err)
       && strstr(err.text, "was resolved"), "twice: %s", err.text);
    ok(resolve(dir, 5, "not_sent", "never came", &err) == 7
       && verify(dir, &r) == AIQ_AUDIT_OK && r.unknown == 0
       && r.resolved == 2, "none is left");

    /* a worker that was only slow */

    late(dir, 1, &pos[0], "upstream_error");
    ok(verify(dir, &r) == AIQ_AUDIT_OK && r.resolved == 1 && r.warnings == 0
       && r.outcomes == 2, "its OUTCOME came late");

    late(dir, 5, &pos[2], "executed");
    ok(verify(dir, &r) == AIQ_AUDIT_OK && r.resolved == 0 && r.warnings == 1,
       "the other one contradicts: a warning");

    ok(!resolve(dir, 5, "not_sent", "x", &err), "and not again: %s",
       err.text);

    ok(aiq_audit_resolve("/nonexistent", NULL, crypto, NULL, &err)
       == AIQ_E_AUDIT_UNAVAILABLE, "no log: %s", err.text);

    free(dir);
}


/* what somebody types is a string, and nothing but that */

static void
test_note(void)
{
    char              *dir, *text, note[AIQ_AUDIT_NOTE_MAX + 2];
    aiq_err_t          err;
    aiq_audit_pos_t    pos[3];

    dir = some(pos);

    ok(resolve(dir, 1, "executed", "\"}\n{\"v\":1,\"t\":\"OUTCOME\" \x1b\xff",
               &err) == 6 && verify(dir, NULL) == AIQ_AUDIT_UNKNOWN,
       "a note that would like to be a record");

    text = slurp(seg(dir, 1), NULL);

    ok(strstr(text, "\"t\":\"RESOLVE\",\"ts\":\"2026-11-21T02:00:00.000000Z\","
              "\"rid\":\"00000000000000000000000000000001\","
              "\"intent\":{\"seq\":1,\"h\":\"") != NULL
       && strstr(text, "\"},\"status\":\"executed\",\"uid\":1000,\"by\":"
                 "\"alice\",\"note\":\"\\\"}\\u000a{\\\"v\\\":1,\\\"t\\\":"
                 "\\\"OUTCOME\\\" \\u001b\\ufffd\"}\n") != NULL,
       "the record");

    free(text);

    memset(note, '\x01', sizeof(note) - 1);
    note[sizeof(note) - 1] = '\0';

    ok(!resolve(dir, 5, "executed", note, &err)
       && strstr(err.text, "not a resolution"), "too long: %s", err.text);

    note[sizeof(note) - 2] = '\0';
    by = note + AIQ_AUDIT_NOTE_MAX - AIQ_NAME_MAX;

    ok(resolve(dir, 5, "executed", note, &err) == 7, "the longest: %s",
       err.text);
    by = "alice";

    ok(verify(dir, NULL) == AIQ_AUDIT_OK, "verified");

    free(dir);
}


/* records that fit, by somebody who can write the log */

static void
test_forged(void)
{
    int                  code;
    char                *dir, text[1024];
    unsigned             i;
    aiq_err_t            err;
    aiq_hash_t           leaf;
    aiq_audit_t         *log;
    aiq_audit_pos_t      pos[3];
    aiq_audit_report_t   r;
    unsigned char        hex[2 * AIQ_HASH_LEN + 1];

    static const struct {
        const char  *what;
        unsigned     rid;
        unsigned     seq;
        unsigned     of;              /* in pos */
        const char  *status;
        int          code;
    } rows[] = {
        { "as it should be", 1, 1, 0, "executed", AIQ_AUDIT_UNKNOWN },
        { "the second one", 1, 1, 0, "executed", AIQ_AUDIT_MISMATCH },
        { "behind its OUTCOME", 2, 2, 1, "executed", AIQ_AUDIT_MISMATCH },
        { "of a denial", 3, 4, 0, "executed", AIQ_AUDIT_MISMATCH },
        { "to come", 5, 7, 2, "executed", AIQ_AUDIT_MISMATCH },
        { "another rid", 1, 5, 2, "executed", AIQ_AUDIT_MISMATCH },
        { "another hash", 5, 5, 0, "executed", AIQ_AUDIT_MISMATCH },
        { "another status", 5, 5, 2, "unknown", AIQ_AUDIT_BROKEN },
        { "no rid", 0, 5, 2, "executed", AIQ_AUDIT_BROKEN }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        dir = some(pos);

        if (i == 1) {
            resolve(dir, 1, "executed", "x", &err);
        }

        memcpy(leaf, pos[rows[i].of].leaf, AIQ_HASH_LEN);
        aiq_audit_hex(leaf, hex);

        snprintf(text, sizeof(text), "\"t\":\"RESOLVE\",\"ts\":"
                 "\"2026-11-21T02:00:00.000000Z\",\"%s\":\"%s\","
                 "\"intent\":{\"seq\":%u,\"h\":\"%.64s\"},\"status\":\"%s\","
                 "\"uid\":0,\"note\":\"\"}", rows[i].rid ? "rid" : "x",
                 rid(rows[i].rid), rows[i].seq, (char *) hex,
                 rows[i].status);

        log = reopen(dir);
        put(log, str(text), NULL, &err);
        aiq_audit_close(log);

        code = verify(dir, &r);

        ok(code == rows[i].code, "a RESOLVE: %s: %d %s", rows[i].what, code,
           r.text);
        free(dir);
    }
}


/* what happens between looking and writing */

static aiq_audit_pos_t  race_pos;


static void
race_outcome(void)
{
    late(race_dir, 1, &race_pos, "executed");
}


static void
race_resolve(void)
{
    aiq_err_t  err;

    (void) resolve(race_dir, 1, "not_sent", "quicker", &err);
}


static void
race_call(void)
{
    aiq_err_t         err;
    aiq_audit_t      *log;
    aiq_audit_pos_t   pos;

    log = reopen(race_dir);
    put_call(log, 9, &pos, &err);
    put_outcome(log, 9, &pos, "executed", &err);
    aiq_audit_close(log);
}


/* behind half a line a new segment is begun */

static void
race_segment(void)
{
    int  fd;

    fd = open(seg(race_dir, 1), O_WRONLY|O_APPEND);

    if (fd == -1 || write(fd, "{\"v\"", 4) != 4) {
        diag("cannot tear");
    }

    close(fd);
    race_call();
}


static void
race_both(void)
{
    race_segment();
    race_outcome();
}


static void
race_torn(void)
{
    int  fd;

    fd = open(seg(race_dir, 1), O_WRONLY|O_APPEND);

    if (fd == -1 || write(fd, "{\"v\"", 4) != 4) {
        diag("cannot tear");
    }

    close(fd);
}


static void
test_race(void)
{
    char                *dir;
    unsigned             i;
    uint64_t             got;
    aiq_err_t            err;
    aiq_audit_pos_t      pos[3];
    aiq_audit_report_t   r;

    static const struct {
        const char  *what;
        void       (*race)(void);
        uint64_t     seq;             /* of the RESOLVE; 0: refused */
        uint64_t     records;
    } rows[] = {
        { "the OUTCOME", race_outcome, 0, 6 },
        { "somebody else", race_resolve, 0, 6 },
        { "another call", race_call, 8, 8 },
        { "another segment", race_segment, 9, 9 },
        { "another segment, and the OUTCOME", race_both, 0, 9 },
        { "half a line", race_torn, 7, 7 }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        dir = some(pos);

        race_dir = dir;
        race_pos = pos[0];
        race = rows[i].race;

        got = resolve(dir, 1, "executed", "x", &err);
        verify(dir, &r);

        ok(race == NULL && got == rows[i].seq
           && r.code == AIQ_AUDIT_UNKNOWN && r.unknown == 1
           && r.records == rows[i].records, "quicker: %s: %s",
           rows[i].what, got ? r.text : err.text);

        free(dir);
    }
}


/* uses of plan steps */

static aiq_rc_t
use(void *data, const unsigned char token[AIQ_HASH_LEN], uint32_t step,
    int64_t exp)
{
    *(unsigned *) data |= 1u << step;

    return AIQ_OK;
}


static unsigned
uses(const char *dir)
{
    unsigned   steps;
    aiq_err_t  err;

    steps = 0;

    return aiq_audit_uses(dir, BASE / 1000000, 60, use, &steps, &err)
           == AIQ_OK ? steps : UINT32_MAX;
}


static void
test_uses(void)
{
    char             *dir;
    aiq_err_t         err;
    aiq_audit_pos_t   pos[3];

    dir = some(pos);

    ok(uses(dir) == (1 << 1 | 1 << 2 | 1 << 5), "three steps are used");

    resolve(dir, 1, "executed", "x", &err);
    ok(uses(dir) == (1 << 1 | 1 << 2 | 1 << 5), "executed: it stays used");

    resolve(dir, 5, "not_sent", "x", &err);
    ok(uses(dir) == (1 << 1 | 1 << 2), "not sent: it is given back");

    late(dir, 5, &pos[2], "executed");
    ok(uses(dir) == (1 << 1 | 1 << 2 | 1 << 5),
       "unless it was: the OUTCOME counts");

    free(dir);
}


/* questions */

typedef struct {
    unsigned    n;
    unsigned    resolved;
    uint64_t    seq;
    char        status[32];
} asked_t;


static aiq_rc_t
hit(void *data, const aiq_audit_hit_t *h)
{
    uint32_t   i;
    asked_t   *a;

    a = data;
    a->n++;
    a->seq = h->seq;
    a->resolved += (h->resolve.len != 0);
    a->status[0] = '\0';

    if (h->outcome.len || h->resolve.len) {
        i = aiq_json_get(&h->o, 0, "status");
        snprintf(a->status, sizeof(a->status), "%.*s",
                 (int) h->o.tok[i].len, h->o.text.data + h->o.tok[i].pos);
    }

    return AIQ_OK;
}


static asked_t
query(const char *dir, const char *status)
{
    asked_t              a;
    aiq_err_t            err;
    aiq_audit_asked_t    asked;
    aiq_audit_filter_t   f;

    memset(&a, 0, sizeof(a));
    aiq_audit_filter_init(&f);

    if (status != NULL) {
        f.status = str(status);
    }

    if (aiq_audit_query(dir, &f, 0, hit, &a, crypto, &asked, &err) != AIQ_OK
        || asked.bad)
    {
        diag("query: %s", err.text);
        a.n = 999;
    }

    return a;
}


static void
test_query(void)
{
    char             *dir;
    asked_t           a;
    aiq_err_t         err;
    aiq_audit_pos_t   pos[3];

    dir = some(pos);

    a = query(dir, "unknown");
    ok(a.n == 2, "two are unknown");

    resolve(dir, 5, "not_sent", "x", &err);

    a = query(dir, "unknown");
    ok(a.n == 1 && a.seq == 1, "one is");
    a = query(dir, "not_sent");
    ok(a.n == 1 && a.seq == 5 && a.resolved == 1
       && strcmp(a.status, "not_sent") == 0, "the other one was not sent");
    a = query(dir, NULL);
    ok(a.n == 4 && a.resolved == 1, "all");

    /* a full segment that holds nothing but the RESOLVE is read, too */

    race_dir = dir;
    race_segment();
    resolve(dir, 1, "executed", "x", &err);

    {
        int  fd;

        fd = open(seg(dir, 7), O_WRONLY|O_APPEND);
        ok(fd != -1 && write(fd, "{", 1) == 1, "half a line");
        close(fd);
    }

    race_call();

    a = query(dir, "unknown");
    ok(a.n == 0, "none is unknown");
    a = query(dir, "unknown");
    ok(a.n == 0, "with the index");

    late(dir, 5, &pos[2], "executed");

    a = query(dir, "not_sent");
    ok(a.n == 0, "its OUTCOME came late");
    a = query(dir, "executed");
    ok(a.n == 5 && a.resolved == 2, "and counts");

    free(dir);
}


int
main(void)
{
    setup();

    test_rules();
    test_note();
    test_forged();
    test_race();
    test_uses();
    test_query();

    return teardown();
}
