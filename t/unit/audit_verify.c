
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What verify says of records that fit a log and mean nothing, and what the
 * scans of the younger part find.
 */


#include "audit_log.h"


#define TOTAL  200


/* whoever holds the log can write lines that fit; but not what they mean */

static int
forged(const char *body, const char *body2)
{
    char                *dir;
    int                  code;
    aiq_err_t            err;
    aiq_audit_t         *log;
    aiq_audit_report_t   r;

    dir = fresh();
    log = reopen(dir);

    if (put(log, str(body), NULL, &err) != AIQ_OK
        || (body2 != NULL && put(log, str(body2), NULL, &err) != AIQ_OK))
    {
        diag("%s", err.text);
        return -1;
    }

    aiq_audit_close(log);

    code = verify(dir, &r);

    if (r.text[0]) {
        diag("%s", r.text);
    }

    free(dir);

    return code;
}


#define TS   "\"ts\":\"2026-11-21T02:00:00.000000Z\""
#define RID  "\"rid\":\"00000000000000000000000000000001\""
#define INT  "\"t\":\"INTENT\"," TS "," RID ",\"verdict\":\"PERMIT\"," \
             "\"reason\":\"OK\"}"


static void
test_forged(void)
{
    ok(forged("\"t\":\"FUTURE\"," TS "}", NULL) == AIQ_AUDIT_OK,
       "an unknown type is accepted");
    ok(forged(INT, NULL) == AIQ_AUDIT_UNKNOWN, "an INTENT alone is unknown");
    ok(forged("\"t\":\"INTENT\"," TS "," RID ",\"verdict\":\"DENY\","
              "\"reason\":\"X\"}", NULL) == AIQ_AUDIT_OK, "unless denied");
    ok(forged("\"t\":\"INTENT\"," TS "," RID ",\"verdict\":\"DENY\","
              "\"reason\":\"X\",\"dry_run\":true}", NULL)
       == AIQ_AUDIT_UNKNOWN, "and let through");
    ok(forged("\"t\":\"INTENT\"," TS "," RID ",\"reason\":\"X\"}", NULL)
       == AIQ_AUDIT_BROKEN, "no verdict");
    ok(forged("\"t\":\"INTENT\"," TS "," RID ",\"verdict\":\"YES\","
              "\"reason\":\"X\"}", NULL) == AIQ_AUDIT_BROKEN,
       "another verdict");
    ok(forged("\"t\":\"INTENT\"," TS ",\"verdict\":\"PERMIT\","
              "\"reason\":\"X\"}", NULL) == AIQ_AUDIT_BROKEN, "no rid");
    ok(forged("\"t\":\"INTENT\"," TS "," RID ",\"verdict\":\"DENY\","
              "\"reason\":\"X\",\"verdict\":\"PERMIT\"}", NULL)
       == AIQ_AUDIT_BROKEN, "verdict twice");
    ok(forged("\"t\":\"INTENT\"," TS "," RID ",\"verdict\":\"DENY\","
              "\"reason\":\"X\",\"v\\u0065rdict\":\"PERMIT\"}", NULL)
       == AIQ_AUDIT_BROKEN, "verdict twice, once escaped");
    ok(forged("\"t\":\"INTENT\"," TS ",\"seq\":9," RID
              ",\"verdict\":\"DENY\",\"reason\":\"X\"}", NULL)
       == AIQ_AUDIT_BROKEN, "seq twice");
    ok(forged("\"t\":\"A\"," TS "}}", NULL) == AIQ_AUDIT_BROKEN,
       "text behind the object");
    ok(forged("\"t\":\"A\",\"ts\":\"2026-02-30T02:00:00.000000Z\"}", NULL)
       == AIQ_AUDIT_BROKEN, "the 30th of February");
    ok(forged("\"t\":\"a\"," TS "}", NULL) == AIQ_AUDIT_BROKEN,
       "a type in lower case");
    ok(forged("\"t\":\"RECOVERY\"," TS ",\"seg\":\"seg-0000000000000001"
              ".jsonl\",\"off\":0,\"len\":0,\"sha256\":\"\"}", NULL)
       == AIQ_AUDIT_BROKEN, "RECOVERY of nothing");
    ok(forged(INT, "\"t\":\"RECOVERY\"," TS ",\"seg\":\"seg-0000000000000001"
              ".jsonl\",\"off\":0,\"len\":0,\"sha256\":\"\"}")
       == AIQ_AUDIT_BROKEN, "RECOVERY within a segment");
    ok(forged(INT, "\"t\":\"OUTCOME\"," TS "," RID ",\"status\":\"executed\"}")
       == AIQ_AUDIT_BROKEN, "OUTCOME of nothing");
}


static void
test_mismatch(void)
{
    char                *dir;
    unsigned             i;
    aiq_err_t            err;
    aiq_audit_t         *log;
    aiq_audit_pos_t      a, b, c;
    aiq_audit_report_t   r;

    static const char  *what[] = {
        "the OUTCOME twice", "the hash of another INTENT",
        "the number of another INTENT", "the rid of another INTENT",
        "an INTENT to come", "of an OUTCOME"
    };

    for (i = 0; i < 6; i++) {
        dir = fresh();
        log = reopen(dir);

        put_call(log, 1, &a, &err);
        put_call(log, 2, &b, &err);
        put_outcome(log, 1, &a, "executed", &err);

        c = b;

        switch (i) {

        case 0:
            put_outcome(log, 1, &a, "executed", &err);
            break;

        case 1:
            memcpy(c.leaf, a.leaf, AIQ_HASH_LEN);
            put_outcome(log, 2, &c, "executed", &err);
            break;

        case 2:
            c.seq = 1;
            put_outcome(log, 2, &c, "executed", &err);
            break;

        case 3:
            put_outcome(log, 3, &b, "executed", &err);
            break;

        case 4:
            c.seq = 5;
            put_outcome(log, 2, &c, "executed", &err);
            put_call(log, 2, &b, &err);
            break;

        default:
            c.seq = 3;
            put_outcome(log, 2, &c, "executed", &err);
        }

        aiq_audit_close(log);

        ok(verify(dir, &r) == AIQ_AUDIT_MISMATCH && r.seq == 4,
           "%s: %s", what[i], r.text);
        free(dir);
    }
}


static void
test_clock(void)
{
    char                *dir, buf[8192];
    unsigned             i;
    aiq_err_t            err;
    aiq_audit_t         *log;
    aiq_audit_intent_t   r;
    aiq_audit_report_t   rep;

    dir = fresh();
    log = reopen(dir);

    for (i = 0; i < 20; i++) {
        call(&r, i);
        r.verdict = str("DENY");

        /* some milliseconds are order of workers, an hour is the clock */

        r.ts_us -= (i % 2) * 5000 + (i == 10 ? 3600000000LL : 0);
        put(log, body_intent(&r, buf, sizeof(buf)), NULL, &err);
    }

    aiq_audit_close(log);

    ok(verify(dir, &rep) == AIQ_AUDIT_OK && rep.warnings == 1,
       "a clock that went back is a warning");
    free(dir);
}


/* scans */

static aiq_rc_t
count(void *data, aiq_str_t line)
{
    ++*(unsigned *) data;

    return memcmp(line.data, "{\"v\":1,\"seq\":", 13) == 0
           && line.data[line.len - 1] == '}' ? AIQ_OK : AIQ_E_INTERNAL;
}


static unsigned
since(const char *dir, int64_t us)
{
    unsigned   n;
    aiq_err_t  err;

    n = 0;

    if (aiq_audit_scan(dir, us, count, &n, &err) != AIQ_OK) {
        diag("scan: %s", err.text);
        return UINT32_MAX;
    }

    return n;
}


static aiq_rc_t
stop(void *data, aiq_str_t line)
{
    return AIQ_DECLINED;
}


static void
test_scan(void)
{
    int                  fd;
    char                *dir, buf[8192];
    unsigned             i;
    aiq_err_t            err;
    aiq_str_t            bodies[100];
    aiq_audit_t         *log;
    aiq_audit_intent_t   r;
    static char          bufs[100][1024];

    dir = fresh();
    fill(dir, TOTAL);

    ok(since(dir, 0) == TOTAL, "scan: everything");
    ok(since(dir, BASE + 3600000000LL) == 0, "scan: nothing is so young");
    ok(aiq_audit_scan(dir, 0, stop, NULL, &err) == AIQ_DECLINED,
       "scan: the callback may stop");
    free(dir);

    dir = fresh();
    ok(since(dir, 0) == 0, "scan: an empty log");

    log = reopen(dir);

    /* 20000 records, ten minutes each hundred; one clock that was wrong */

    for (i = 0; i < 20000; i++) {
        call(&r, i);
        r.ts_us = BASE + (i / 100) * 600000000LL;

        if (i == 19990) {
            r.ts_us = BASE;
        }

        bodies[i % 100] = body_intent(&r, bufs[i % 100], sizeof(bufs[0]));

        if (i % 100 == 99) {
            aiq_audit_append(log, bodies, 100, 0, BASE, crypto, NULL, &err);
        }

        if (i == 9999 || i == 15000) {
            fd = open(seg(dir, i == 9999 ? 1 : 10001), O_WRONLY|O_APPEND);
            ok(write(fd, "{\"v\":1,", 7) == 7, "scan: a torn segment");
            close(fd);
        }
    }

    aiq_audit_close(log);

    ok(since(dir, 0) == 20002, "scan: 20000 and two RECOVERY records");
    ok(since(dir, BASE + 199 * 600000000LL) == 100, "scan: the last hundred");
    ok(since(dir, BASE + 199 * 600000000LL + 1) == 0, "scan: none behind");

    /* a record of RECOVERY has the time BASE: it does not end the search */

    for (i = 1; i < 200 && since(dir, BASE + i * 600000000LL)
                           == (200 - i) * 100 + (i < 100) + (i < 150); i++)
    {
        /* void */
    }

    ok(i == 200, "scan: from every time (%u)", i);

    (void) buf;
    free(dir);
}


/* uses */

typedef struct {
    unsigned  n;
    unsigned  steps;                  /* bits */
    int64_t   exp;
} used_t;


static aiq_rc_t
use(void *data, const unsigned char token[AIQ_HASH_LEN], uint32_t step,
    int64_t exp)
{
    used_t  *u;

    u = data;
    u->n++;
    u->steps |= 1u << step;
    u->exp = exp;

    return memcmp(token, "0123456789abcdef", 16) == 0 ? AIQ_OK
                                                      : AIQ_E_INTERNAL;
}


static used_t
uses(const char *dir, int64_t now)
{
    used_t     u;
    aiq_err_t  err;

    memset(&u, 0, sizeof(u));

    if (aiq_audit_uses(dir, now, 60, use, &u, &err) != AIQ_OK) {
        diag("uses: %s", err.text);
        u.n = 999;
    }

    return u;
}


static void
test_uses(void)
{
    int                  fd;
    char                *dir, buf[8192];
    used_t               u;
    aiq_err_t            err;
    aiq_audit_t         *log;
    aiq_audit_pos_t      pos[10];
    aiq_audit_intent_t   r;

    dir = fresh();

    ok(uses(dir, BASE / 1000000).n == 0, "uses: an empty log");

    log = reopen(dir);

    put_call(log, 0, &pos[0], &err);
    put_call(log, 1, &pos[1], &err);
    put_call(log, 2, &pos[2], &err);
    put_call(log, 3, &pos[3], &err);

    put_outcome(log, 1, &pos[1], "not_sent", &err);
    put_outcome(log, 2, &pos[2], "executed", &err);
    put_outcome(log, 3, &pos[3], "unknown", &err);

    call(&r, 4);
    r.verdict = str("DENY");
    put(log, body_intent(&r, buf, sizeof(buf)), NULL, &err);

    call(&r, 5);
    r.step = -1;
    put(log, body_intent(&r, buf, sizeof(buf)), NULL, &err);

    call(&r, 6);
    r.token_exp = BASE / 1000000 + 10;
    put(log, body_intent(&r, buf, sizeof(buf)), NULL, &err);

    fd = open(seg(dir, 1), O_WRONLY|O_APPEND);
    ok(write(fd, "{\"v\":1,", 7) == 7, "uses: a torn segment");
    close(fd);

    put_call(log, 7, &pos[7], &err);
    put_call(log, 8, &pos[8], &err);
    put_outcome(log, 7, &pos[7], "revoked", &err);
    aiq_audit_close(log);

    u = uses(dir, BASE / 1000000 + 10);
    ok(u.n == 4 && u.steps == (1 << 0 | 1 << 2 | 1 << 3 | 1 << 8)
       && u.exp == BASE / 1000000 + 60,
       "uses: not what was not sent, denied, without step or expired");

    u = uses(dir, BASE / 1000000 + 9);
    ok(u.n == 5 && (u.steps & 1 << 6), "uses: one second before it expires");

    ok(uses(dir, BASE / 1000000 + 59).n == 4
       && uses(dir, BASE / 1000000 + 60).n == 0, "uses: at the end, nothing");

    ok(aiq_audit_uses(dir, -1, 60, use, &u, &err) == AIQ_E_INTERNAL,
       "uses: before 1970");

    spit(seg(dir, 1), "garbage\n", 8);
    ok(aiq_audit_uses(dir, BASE / 1000000, 60, use, &u, &err)
       == AIQ_E_AUDIT_UNAVAILABLE, "uses: %s", err.text);

    free(dir);
}


static used_t
behind(const char *dir, uint64_t *seq)
{
    used_t     u;
    aiq_err_t  err;

    memset(&u, 0, sizeof(u));

    if (aiq_audit_uses_behind(dir, seq, BASE / 1000000, 60, use, &u, &err)
        != AIQ_OK)
    {
        diag("uses behind: %s", err.text);
        u.n = 999;
    }

    return u;
}


/* what another process has added */

static void
test_uses_behind(void)
{
    int               fd;
    char             *dir;
    unsigned          i, wrong;
    used_t            u;
    uint64_t          seq;
    aiq_err_t         err;
    aiq_audit_t      *log;
    aiq_audit_pos_t   pos[10];

    dir = fresh();
    seq = 0;

    ok(behind(dir, &seq).n == 0 && seq == 0, "behind: an empty log");

    log = reopen(dir);

    put_call(log, 0, &pos[0], &err);
    put_call(log, 1, &pos[1], &err);

    ok(behind(dir, &seq).steps == 3 && seq == 2, "behind: the first time");
    ok(behind(dir, &seq).n == 0 && seq == 2, "behind: nothing is new");

    put_call(log, 2, &pos[2], &err);
    put_call(log, 3, &pos[3], &err);
    put_outcome(log, 3, &pos[3], "not_sent", &err);
    put_outcome(log, 0, &pos[0], "not_sent", &err);

    u = behind(dir, &seq);
    ok(u.n == 1 && u.steps == 1 << 2 && seq == 6,
       "behind: what is new and was not given back");

    fd = open(seg(dir, 1), O_WRONLY|O_APPEND);
    ok(write(fd, "{\"v\":1,", 7) == 7, "behind: a torn segment");
    close(fd);

    put_call(log, 4, &pos[4], &err);

    u = behind(dir, &seq);
    ok(u.n == 1 && u.steps == 1 << 4 && seq == 8, "behind: in the next one");

    /* longer than what is searched one by one */

    for (i = 0; i < 3000; i++) {
        put_call(log, 5 + i % 2, NULL, &err);
    }

    for (i = 0, wrong = 0; i < 3000; i += 37) {
        seq = 8 + i;
        wrong += (behind(dir, &seq).n != 3000 - i || seq != 3008);
    }

    ok(wrong == 0, "behind: from every place (%u)", wrong);

    aiq_audit_close(log);
    free(dir);
}


static void
test_made_of(void)
{
    aiq_str_t  body, line;
    char       buf[256];

    body = str("\"t\":\"OPEN\",\"ts\":\"2026-11-21T02:00:00.000000Z\"}");

    (void) snprintf(buf, sizeof(buf), "{\"v\":1,\"seq\":7,\"prev\":\"%064d\",%s",
                    0, (const char *) body.data);
    line = str(buf);

    ok(aiq_audit_made_of(line, body) == 7, "made of: its own body");
    ok(aiq_audit_made_of(body, body) == 0, "made of: no record");

    buf[line.len - 4]++;

    ok(aiq_audit_made_of(line, body) == 0, "made of: another body");
}


int
main(void)
{
    setup();

    test_forged();
    test_mismatch();
    test_clock();
    test_scan();
    test_uses();
    test_uses_behind();
    test_made_of();

    return teardown();
}
