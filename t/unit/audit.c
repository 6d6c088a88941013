
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The audit log: what is written, and what happens when it cannot be.
 */


#include "audit_log.h"


#define HEX  "3031323334353637383961626364656600000000000000000000000000000000"


static void
test_records(void)
{
    char                 buf[8192];
    aiq_str_t            s;
    aiq_audit_pos_t      pos;
    aiq_audit_intent_t   r;
    aiq_audit_outcome_t  o;
    aiq_out_t            out;

    call(&r, 3);
    r.token_exp = 1795226460;

    s = body_intent(&r, buf, sizeof(buf));
    buf[s.len] = '\0';

    ok(is_text(buf,
        "\"t\":\"INTENT\",\"ts\":\"2026-11-21T02:00:00.003000Z\","
        "\"inst\":\"5f1c2d3e.1\",\"w\":3,"
        "\"rid\":\"00000000000000000000000000000003\",\"org\":\"acme\","
        "\"agent\":\"agent-7\",\"user\":\"alice@example.com\","
        "\"tok\":{\"jti\":\"8f14e45f-ceea-467f-a0e6-1d5a3c2b1a00\","
        "\"kid\":\"acme-2026\",\"h\":\"" HEX "\",\"exp\":1795226460},"
        "\"plan\":\"" HEX "\",\"step\":3,\"mcp\":\"files\","
        "\"http\":\"POST\",\"method\":\"tools/call\",\"tool\":\"read_file\","
        "\"verdict\":\"PERMIT\",\"reason\":\"OK\","
        "\"policy\":\"default@12\",\"src\":\"192.0.2.10\"}"),
       "INTENT, without a salt there is no hash of what can be guessed");

    memset(&r, 0, sizeof(r));
    r.step = -1;
    r.rid = str(rid(1));
    r.dry_run = 1;
    r.verdict = str("DENY");

    s = body_intent(&r, buf, sizeof(buf));
    buf[s.len] = '\0';

    ok(is_text(buf,
        "\"t\":\"INTENT\",\"ts\":\"1970-01-01T00:00:00.000000Z\",\"w\":0,"
        "\"rid\":\"00000000000000000000000000000001\","
        "\"verdict\":\"DENY\",\"reason\":\"\",\"dry_run\":true}"),
       "INTENT, what is empty is left out, verdict and reason never");

    pos.seq = 7;
    memcpy(pos.leaf, "0123456789abcdef\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32);

    s = body_outcome(3, &pos, "executed", buf, sizeof(buf));
    buf[s.len] = '\0';

    ok(is_text(buf,
        "\"t\":\"OUTCOME\",\"ts\":\"2026-11-21T02:00:00.003500Z\","
        "\"rid\":\"00000000000000000000000000000003\","
        "\"intent\":{\"seq\":7,\"h\":\"" HEX "\"},\"status\":\"executed\","
        "\"http\":200,\"attempts\":1,\"res_len\":1234,\"dur_us\":815}"),
       "OUTCOME");

    s = body_event("OPEN", buf, sizeof(buf));
    buf[s.len] = '\0';

    ok(is_text(buf,
        "\"t\":\"OPEN\",\"ts\":\"2026-11-21T02:00:00.000000Z\","
        "\"inst\":\"5f1c2d3e.1\",\"version\":\"0.1.0\"}"), "OPEN");

    call(&r, 1);
    r.rid = str("0123");
    ok(body_intent(&r, buf, sizeof(buf)).len == 0, "a short rid fails");

    r.rid = str("0000000000000000000000000000000G");
    ok(body_intent(&r, buf, sizeof(buf)).len == 0,
       "a rid that is no hex fails");

    memset(&o, 0, sizeof(o));
    o.rid = str(rid(1));
    aiq_out_init(&out, buf, sizeof(buf));
    aiq_audit_write_outcome(&out, &o);
    ok(out.failed, "an OUTCOME without INTENT fails");
}


/* made with another implementation: HMAC-SHA-256(key, label | hash) */

#define ARGS_H  "0a81fe4b376b085a5e8ad5ed70b7b71d"              \
                "71d9e3fdb36e600dc9b4cba277456763"
#define BODY_H  "a57e4931b58d303e644e33ae2b580d42"              \
                "00a925ad2924999f36f39bd98e3570f4"
#define RES_H   "9dc234718b2b3ba7e2080d26e8384386"              \
                "7615d0ac06270885e1018f0cd2921cf6"
#define TOOL_H  "809b86fd302d77dd5fe70e69f70b3d67"              \
                "9eb533eb42d415bd6382389281133173"


static void
test_salted(void)
{
    char                 buf[4096];
    aiq_str_t            s;
    aiq_out_t            out;
    aiq_salt_t           salt;
    aiq_crypto_t        *c;
    aiq_audit_intent_t   r;
    aiq_audit_outcome_t  o;

    memset(&salt, 0, sizeof(salt));
    salt.epoch = 7;
    memcpy(salt.key, "0123456789abcdef", 16);

    c = aiq_crypto_new();

    call(&r, 3);
    r.salt = &salt;
    r.crypto = c;

    s = body_intent(&r, buf, sizeof(buf));
    buf[s.len] = '\0';

    ok(strstr(buf, ",\"args_h\":\"" ARGS_H "\",\"req_h\":\"" BODY_H "\",")
       != NULL, "hashes under a salt: each kind has its own");
    ok(strstr(buf, ",\"salt\":7}") != NULL, "and the number of the salt");

    salt.epoch = 0;
    s = body_intent(&r, buf, sizeof(buf));
    buf[s.len] = '\0';
    ok(s.len && strstr(buf, "_h\":") == NULL && strstr(buf, "salt") == NULL,
       "a salt that is none");

    salt.epoch = 7;
    r.args_hash = NULL;
    r.req_hash = NULL;
    s = body_intent(&r, buf, sizeof(buf));
    buf[s.len] = '\0';
    ok(s.len && strstr(buf, "salt") == NULL, "nothing to hash, no number");

    memset(&o, 0, sizeof(o));
    o.ts_us = BASE;
    o.rid = str(rid(1));
    o.intent_seq = 1;
    o.intent_hash = r.token_id;
    o.status = str("executed");
    o.http = 200;
    o.attempts = 1;
    o.has_rpc_err = 1;
    o.rpc_err = -32602;
    o.is_error = 1;
    o.rpc_unread = str("size");
    o.res_hash = r.token_id;
    o.res_len = 12;
    o.trunc = 1;
    o.salt = &salt;
    o.crypto = c;

    aiq_out_init(&out, buf, sizeof(buf) - 1);
    aiq_audit_write_outcome(&out, &o);
    buf[aiq_out_done(&out).len] = '\0';

    ok(strstr(buf, "\"attempts\":1,\"rpc_err\":-32602,\"is_error\":true,"
              "\"rpc_unread\":\"size\",\"res_h\":\"" RES_H "\","
              "\"res_len\":12,\"dur_us\":0,\"trunc\":true,\"salt\":7}")
       != NULL, "OUTCOME, everything set");

    aiq_crypto_free(c);
}


static void
test_limits(void)
{
    char                 buf[65536];
    char                 name[400];
    size_t               total;
    aiq_mem_t            mem;
    aiq_str_t            s;
    aiq_json_t           doc;
    aiq_audit_intent_t   r;
    char                 line[66000];
    static char          tape[65536];

    static const aiq_salt_t  salt = { 7, "0123456789abcdef" };

    memset(name, 'x', sizeof(name));

    call(&r, 1);
    r.tool.data = (unsigned char *) name;
    r.tool.len = 256;
    r.detail.data = (unsigned char *) name;
    r.detail.len = 384;

    s = body_intent(&r, buf, sizeof(buf));
    buf[s.len] = '\0';

    ok(strstr(buf, "\"trunc\"") == NULL && strstr(buf, "xxxx") != NULL,
       "a name of 256 bytes and a detail of 384 stay");

    r.tool.len = 257;
    s = body_intent(&r, buf, sizeof(buf));
    buf[s.len] = '\0';

    ok(strstr(buf, "\"tool\":{\"len\":257},") != NULL,
       "one of 257 is replaced by its length, without a salt");

    r.salt = &salt;
    r.crypto = aiq_crypto_new();
    s = body_intent(&r, buf, sizeof(buf));
    buf[s.len] = '\0';

    ok(strstr(buf, "\"tool\":{\"len\":257,\"h\":\"" TOOL_H "\"}") != NULL,
       "one of 257 is replaced by length and salted hash");
    ok(strstr(buf, ",\"trunc\":true,\"salt\":7}") != NULL, "and says so");

    aiq_crypto_free(r.crypto);
    r.salt = NULL;
    r.crypto = NULL;

    r.tool = str("t");
    r.detail.len = 385;
    s = body_intent(&r, buf, sizeof(buf));
    buf[s.len] = '\0';
    ok(strstr(buf, "\"detail\":{\"len\":385},") != NULL,
       "a detail of 385 bytes as well");

    /* the worst case: every byte of every field is written as six */

    memset(name, 1, sizeof(name));
    s.data = (unsigned char *) name;
    s.len = 256;
    r.inst = r.org = r.agent = r.user = r.jti = r.kid = r.mcp = s;
    r.http = r.method = r.tool = r.verdict = r.reason = r.policy = s;
    r.source = s;
    r.detail.len = 384;

    s = body_intent(&r, buf, sizeof(buf));
    ok(s.len > 20000 && s.len <= AIQ_AUDIT_BODY_MAX,
       "the largest INTENT has %zu bytes", s.len);

    total = (size_t) snprintf(line, sizeof(line), "{%.*s", (int) s.len,
                              s.data);
    mem.pos = (unsigned char *) tape;
    mem.end = mem.pos + sizeof(tape);
    s.data = (unsigned char *) line;
    s.len = total;
    ok(aiq_json_parse(&doc, s, 8, &mem, NULL) == AIQ_OK,
       "and is JSON that our reader accepts");

    call(&r, 1);
    r.tool.data = (unsigned char *) "a\0b\xff\xc3(\"\\\n\x7f\xe2\x82\xac";
    r.tool.len = 13;
    s = body_intent(&r, buf, sizeof(buf));
    buf[s.len] = '\0';
    ok(strstr(buf, "\"tool\":\"a\\ufffdb\\ufffd\\ufffd(\\\"\\\\\\u000a"
              "\\u007f\xe2\x82\xac\"") != NULL,
       "NUL, invalid UTF-8, quotes and controls are escaped");
}


static void
test_time(void)
{
    char                buf[8192], want[64], got[64];
    int                 bad;
    time_t              t;
    int64_t             i, us;
    struct tm           tm;
    aiq_audit_intent_t  r;

    bad = 0;
    call(&r, 1);

    for (i = 0; i < 200000; i++) {
        t = (time_t) (i * 1266637LL + i % 86399);
        us = (int64_t) t * 1000000 + i;

        r.ts_us = us;
        body_intent(&r, buf, sizeof(buf));
        memcpy(got, buf + 19, 27);
        got[27] = '\0';

        gmtime_r(&t, &tm);
        snprintf(want, sizeof(want), "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ",
                 (unsigned) tm.tm_year + 1900, (unsigned) tm.tm_mon + 1,
                 (unsigned) tm.tm_mday, (unsigned) tm.tm_hour,
                 (unsigned) tm.tm_min, (unsigned) tm.tm_sec, (unsigned) i);

        if (strcmp(want, got) != 0 && t <= AIQ_TIME_MAX && bad++ < 3) {
            diag("got %s, want %s", got, want);
        }
    }

    ok(bad == 0, "200000 times until %04d as gmtime_r() has them",
       tm.tm_year + 1900);

    r.ts_us = INT64_MAX;
    body_intent(&r, buf, sizeof(buf));
    ok(memcmp(buf + 19, "9999-12-31T23:59:59.000000Z", 27) == 0,
       "time ends with the year 9999");

    r.ts_us = INT64_MIN;
    body_intent(&r, buf, sizeof(buf));
    ok(memcmp(buf + 19, "1970-01-01T00:00:00.000000Z", 27) == 0,
       "time begins with 1970");
}


static void
test_create(void)
{
    char                *dir, *text;
    aiq_err_t            err;
    struct stat          st;
    unsigned char        pub[AIQ_KEY_LEN];
    aiq_audit_t         *log;
    aiq_audit_report_t   r;
    static const char    head[] = "{\"format\":\"AIQL/1\",\"origin\":"
                                  "\"example.com/audit\",\"hash\":"
                                  "\"sha256\",\"vkeys\":[\"example.com/"
                                  "audit+";

    dir = fresh();

    text = slurp(path(dir, "log.json"), NULL);
    ok(text != NULL && strncmp(text, head, sizeof(head) - 1) == 0,
       "log.json");
    free(text);

    ok(stat(path(dir, "log.json"), &st) == 0 && (st.st_mode & 07777) == 0600
       && stat(dir, &st) == 0 && (st.st_mode & 07777) == 0700,
       "modes are 0600 and 0700");

    ok(verify(dir, &r) == AIQ_AUDIT_OK && r.records == 0, "an empty log is OK");

    memset(pub, 0x42, sizeof(pub));
    ok(aiq_audit_create(dir, str("a"), pub, BASE, crypto, &err) != AIQ_OK,
       "a second log in the same place is refused");

    ok(aiq_audit_create(path(root, "x1"), str("two words"), pub, BASE,
                        crypto, &err) != AIQ_OK
       && aiq_audit_create(path(root, "x1"), str("a+b"), pub, BASE, crypto,
                           &err) != AIQ_OK
       && aiq_audit_create(path(root, "x1"), str(""), pub, BASE, crypto,
                           &err) != AIQ_OK,
       "an origin with a blank, a plus, or none is refused");

    memset(pub, 0, sizeof(pub));
    ok(aiq_audit_create(path(root, "x1"), str("a"), pub, BASE, crypto, &err)
       != AIQ_OK, "a small-order key is refused");

    ok(aiq_audit_open(&log, path(root, "nowhere"), &err)
       == AIQ_E_AUDIT_UNAVAILABLE && log == NULL,
       "opening nothing: %s", err.text);

    chmod(dir, 0777);
    ok(aiq_audit_open(&log, dir, &err) == AIQ_E_AUDIT_UNAVAILABLE,
       "everybody may write: %s", err.text);
    chmod(dir, 0700);

    log = reopen(dir);
    put_call(log, 1, NULL, &err);
    aiq_audit_close(log);

    ok(stat(seg(dir, 1), &st) == 0 && (st.st_mode & 07777) == 0600,
       "a segment has mode 0600");

    rename(seg(dir, 1), path(dir, "elsewhere"));

    if (symlink("elsewhere", seg(dir, 1)) == 0) {
        ok(aiq_audit_open(&log, dir, &err) == AIQ_E_AUDIT_UNAVAILABLE,
           "a link is no segment: %s", err.text);
        ok(verify(dir, &r) == AIQ_AUDIT_IO, "nor for verify");
    }

    free(dir);
}


static void
test_append(void)
{
    char                *dir, buf[8192];
    unsigned             i, good;
    aiq_rc_t             rc;
    aiq_err_t            err;
    aiq_str_t            bodies[64];
    aiq_audit_t         *a, *b;
    aiq_audit_pos_t      pos[64], one;
    aiq_audit_report_t   r;

    dir = fresh();
    a = reopen(dir);
    b = reopen(dir);

    for (i = 0; i < 64; i++) {
        bodies[i] = body_event("CLOSE", buf, sizeof(buf));
    }

    syncs = 0;
    rc = aiq_audit_append(a, bodies, 64, AIQ_AUDIT_FSYNC, BASE, crypto, pos,
                          &err);
    ok(rc == AIQ_OK && pos[0].seq == 1 && pos[63].seq == 64,
       "64 records in one batch");

    rc = aiq_audit_append(a, bodies, 64, AIQ_AUDIT_FSYNC, BASE, crypto, pos,
                          &err);
    ok(rc == AIQ_OK && syncs == 1, "64 more with one fdatasync()");

    ok(aiq_audit_append(a, bodies, 1, 0, BASE, crypto, pos, &err) == AIQ_OK
       && syncs == 1, "none without the flag");

    for (i = 0, good = 0; i < 50; i++) {
        good += (put_call(i % 2 ? a : b, i, &one, &err) == AIQ_OK
                 && one.seq == 130 + i);
    }

    ok(good == 50, "two handles in turn, one chain");
    ok(verify(dir, &r) == AIQ_AUDIT_UNKNOWN && r.records == 179
       && r.unknown == 50 && r.segments == 1 && r.seq == 179,
       "verify: %s", r.text);
    ok(memcmp(r.tail, one.leaf, AIQ_HASH_LEN) == 0, "the tail is the leaf");

    ok(put(a, str("\"t\":\"X\",\n\"a\":1}"), NULL, &err) == AIQ_E_INTERNAL
       && put(a, str("\"x\":1}"), NULL, &err) == AIQ_E_INTERNAL
       && put(a, str("\"t\":\"X\",\"a\":1"), NULL, &err) == AIQ_E_INTERNAL
       && put(a, str(""), NULL, &err) == AIQ_E_INTERNAL,
       "what is no body is refused");
    ok(put_call(a, 99, &one, &err) == AIQ_OK && one.seq == 180,
       "and nothing of it was written");

    unlink(path(dir, "lock"));
    ok(put_call(a, 100, &one, &err) == AIQ_OK
       && put_call(b, 101, &one, &err) == AIQ_OK && one.seq == 182,
       "a lock that was deleted is made again by all");

    aiq_audit_close(a);
    aiq_audit_close(b);
    free(dir);
}


static void
test_processes(void)
{
    int                  status, bad;
    char                *dir;
    pid_t                pid[4];
    unsigned             i, n;
    aiq_err_t            err;
    aiq_audit_t         *log;
    aiq_audit_pos_t      pos;
    aiq_audit_report_t   r;

    dir = fresh();
    fflush(stdout);

    for (i = 0; i < 4; i++) {
        pid[i] = fork();

        if (pid[i] != 0) {
            continue;
        }

        log = reopen(dir);
        crypto = aiq_crypto_new();

        for (n = 0; n < 100; n++) {
            if (put_call(log, i * 1000 + n, &pos, &err) != AIQ_OK
                || put_outcome(log, i * 1000 + n, &pos, "executed", &err)
                   != AIQ_OK)
            {
                _exit(1);
            }
        }

        _exit(0);
    }

    for (i = 0, bad = 0; i < 4; i++) {
        bad += (waitpid(pid[i], &status, 0) != pid[i] || status != 0);
    }

    ok(bad == 0, "4 processes, 200 appends each");
    ok(verify(dir, &r) == AIQ_AUDIT_OK && r.records == 800
       && r.intents == 400 && r.outcomes == 400 && r.segments == 1,
       "one chain: %s", r.text);

    free(dir);
}


/* kill -9 at any time: whatever was confirmed is there */

static void
test_killed(void)
{
    int                  i, p[2], bad;
    char                *dir;
    pid_t                pid;
    unsigned             n;
    uint64_t             seq;
    aiq_err_t            err;
    aiq_audit_t         *log;
    struct timespec      ts;
    aiq_audit_pos_t      pos;
    aiq_audit_report_t   r;

    dir = fresh();
    bad = 0;
    fflush(stdout);

    for (i = 0; i < 20; i++) {

        if (pipe(p) != 0 || (pid = fork()) == -1) {
            bad++;
            break;
        }

        if (pid == 0) {
            log = reopen(dir);

            for (n = 0; log != NULL; n++) {
                if (put_call(log, n, &pos, &err) != AIQ_OK
                    || syscall(SYS_write, p[1], &pos.seq, 8) != 8)
                {
                    _exit(1);
                }
            }

            _exit(1);
        }

        close(p[1]);

        ts.tv_sec = 0;
        ts.tv_nsec = 5000000 + i * 300000;
        nanosleep(&ts, NULL);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);

        for (seq = 0; read(p[0], &seq, 8) == 8; /* void */ ) { }

        close(p[0]);

        aiq_audit_verify(dir, crypto, &r);

        bad += (!fine((int) r.code) || r.seq < seq);
    }

    ok(bad == 0, "kill -9 of a writer: what was confirmed is there");
    ok(verify(dir, &r) == AIQ_AUDIT_UNKNOWN, "verify: %s", r.text);

    free(dir);
}


static void
test_limit(rlim_t room, const char *what)
{
    char                *dir;
    size_t               len, all;
    aiq_rc_t             rc[3];
    aiq_err_t            err;
    aiq_audit_t         *log, *other;
    struct stat          st;
    struct rlimit        old, lim;
    aiq_audit_pos_t      pos;
    aiq_audit_report_t   r;

    dir = fresh();
    log = reopen(dir);
    other = reopen(dir);

    put_call(log, 1, &pos, &err);
    put_outcome(log, 1, &pos, "executed", &err);

    stat(seg(dir, 1), &st);
    len = (size_t) st.st_size;

    getrlimit(RLIMIT_FSIZE, &old);
    lim = old;
    lim.rlim_cur = room ? len + room : 10;
    setrlimit(RLIMIT_FSIZE, &lim);

    rc[0] = put_call(log, 2, &pos, &err);

    lim.rlim_cur = 10;
    setrlimit(RLIMIT_FSIZE, &lim);

    rc[1] = put_call(log, 3, &pos, NULL);
    rc[2] = put_call(log, 4, &pos, NULL);

    setrlimit(RLIMIT_FSIZE, &old);

    ok(rc[0] == AIQ_E_AUDIT_UNAVAILABLE && rc[1] == rc[0] && rc[2] == rc[0],
       "%s: %s", what, err.text);

    stat(seg(dir, 1), &st);
    all = (size_t) st.st_size;

    ok(all == len + room && access(seg(dir, 3), F_OK) != 0,
       "%s: %zu bytes were torn, and nothing more was left behind", what,
       all - len);

    ok(verify(dir, &r) == (room ? AIQ_AUDIT_TORN : AIQ_AUDIT_OK),
       "%s: verify meanwhile: %s", what, r.text);

    ok(put_call(other, 5, &pos, &err) == AIQ_OK
       && put_outcome(other, 5, &pos, "executed", &err) == AIQ_OK
       && put_call(log, 6, &pos, &err) == AIQ_OK
       && put_outcome(log, 6, &pos, "executed", &err) == AIQ_OK,
       "%s: then it goes on, for another process as well", what);

    ok(verify(dir, &r) == AIQ_AUDIT_OK
       && r.segments == (room ? 2u : 1u) && r.records == (room ? 7u : 6u),
       "%s: verify: OK%s", what, r.text);

    aiq_audit_close(log);
    aiq_audit_close(other);
    free(dir);
}


static void
test_partial(void)
{
    char                *dir, *text, buf[8192];
    aiq_err_t            err;
    aiq_str_t            bodies[3];
    aiq_audit_t         *log;
    aiq_audit_pos_t      pos[3];
    aiq_audit_report_t   r;
    long                 line;
    struct stat          st;

    dir = fresh();
    log = reopen(dir);

    bodies[0] = bodies[1] = bodies[2] = body_event("CLOSE", buf, sizeof(buf));

    put(log, bodies[0], pos, &err);
    stat(seg(dir, 1), &st);
    line = (long) st.st_size;

    /* two of three lines: nobody may rely on any of them */

    fault_write = ENOSPC;
    fault_after = 2 * line;
    ok(aiq_audit_append(log, bodies, 3, AIQ_AUDIT_FSYNC, BASE, crypto, pos,
                        &err) == AIQ_E_AUDIT_UNAVAILABLE,
       "a batch was cut at a line: %s", err.text);
    fault_write = 0;

    ok(put(log, bodies[0], pos, &err) == AIQ_OK && pos[0].seq == 5,
       "two of its records are there, the next one comes behind");

    text = slurp(seg(dir, 4), NULL);
    ok(text != NULL && strstr(text, "\"t\":\"RECOVERY\"") != NULL
       && strstr(text, "\"off\":") != NULL
       && strstr(text, "\"len\":0,") != NULL
       && strstr(text, "\"uncertain\":true,\"uncertain_from\":2,"
                 "\"uncertain_to\":3}") != NULL,
       "RECOVERY says which are uncertain");
    free(text);

    /* one line and a half */

    fault_write = ENOSPC;
    fault_after = line + line / 2;
    aiq_audit_append(log, bodies, 3, AIQ_AUDIT_FSYNC, BASE, crypto, pos,
                     &err);
    fault_write = 0;

    ok(put(log, bodies[0], pos, &err) == AIQ_OK && pos[0].seq == 8,
       "the same within a line");

    text = slurp(seg(dir, 7), NULL);
    ok(text != NULL && strstr(text, "\"len\":0,") == NULL
       && strstr(text, "\"uncertain_from\":6,\"uncertain_to\":6}") != NULL,
       "torn and uncertain");
    free(text);

    /* EIO and nothing written */

    fault_write = EIO;
    fault_after = 0;
    put(log, bodies[0], pos, &err);
    fault_write = 0;
    ok(put(log, bodies[0], pos, &err) == AIQ_OK && pos[0].seq == 10
       && access(seg(dir, 9), F_OK) == 0,
       "EIO ends a segment even if nothing was written");

    ok(verify(dir, &r) == AIQ_AUDIT_OK && r.segments == 4,
       "verify: OK%s", r.text);

    aiq_audit_close(log);
    free(dir);
}


static void
test_sync(void)
{
    char                *dir, *text, buf[8192];
    aiq_rc_t             rc;
    aiq_err_t            err;
    aiq_str_t            body;
    aiq_audit_t         *log;
    aiq_audit_pos_t      pos;
    aiq_audit_report_t   r;

    dir = fresh();
    log = reopen(dir);
    body = body_event("CLOSE", buf, sizeof(buf));

    put(log, body, &pos, &err);
    aiq_audit_append(log, &body, 1, 0, BASE, crypto, &pos, &err);

    fault_sync = EIO;
    rc = put(log, body, &pos, &err);
    fault_sync = 0;
    ok(rc == AIQ_E_AUDIT_UNAVAILABLE, "fdatasync() fails: %s", err.text);

    syncs = 0;
    ok(put(log, body, &pos, &err) == AIQ_OK && pos.seq == 5 && syncs == 0,
       "the segment is never synced again");

    text = slurp(seg(dir, 4), NULL);
    ok(text != NULL && strstr(text, "\"uncertain\":true,\"uncertain_from\":2,"
                              "\"uncertain_to\":3}") != NULL,
       "everything since the last good sync is uncertain");
    free(text);

    /* the directory: the name of the new segment may be lost */

    fault_sync = EIO;
    put(log, body, &pos, &err);
    fault_sync = 0;
    fault_dirsync = EIO;
    ok(put(log, body, &pos, &err) == AIQ_E_AUDIT_UNAVAILABLE
       && access(seg(dir, 7), F_OK) == 0, "fsync() of the directory fails: %s",
       err.text);
    fault_dirsync = 0;
    ok(put(log, body, &pos, &err) == AIQ_OK && pos.seq == 10,
       "then one more segment");

    fault_sync = EIO;
    put(log, body, &pos, &err);
    fault_sync = 0;
    fault_link = ENOSPC;
    ok(put(log, body, &pos, &err) == AIQ_E_AUDIT_UNAVAILABLE
       && access(seg(dir, 12), F_OK) != 0, "linking fails: %s", err.text);
    fault_link = 0;
    ok(put(log, body, &pos, &err) == AIQ_OK && pos.seq == 13, "then not");

    ok(verify(dir, &r) == AIQ_AUDIT_OK && r.segments == 5,
       "verify: OK%s", r.text);

    aiq_audit_close(log);
    free(dir);

    /* a file system without O_TMPFILE; a crash left the other name behind */

    fault_tmpfile = EOPNOTSUPP;
    dir = fresh();
    log = reopen(dir);
    put(log, body, &pos, &err);
    ok(link(seg(dir, 1), path(dir, ".new")) == 0, "a second link of seg-1");
    fault_sync = EIO;
    put(log, body, &pos, &err);
    fault_sync = 0;
    ok(put(log, body, &pos, &err) == AIQ_OK && pos.seq == 4
       && access(path(dir, ".new"), F_OK) != 0
       && verify(dir, &r) == AIQ_AUDIT_OK && r.segments == 2,
       "without O_TMPFILE as well: %s", r.text);
    fault_tmpfile = 0;

    aiq_audit_close(log);
    free(dir);
}


/* one handle has failed, another one does not know and goes on */

static void
test_others(void)
{
    char                *dir, *text, buf[8192];
    aiq_err_t            err;
    aiq_str_t            body, three[3];
    aiq_audit_t         *a, *b;
    struct stat          st;
    aiq_audit_pos_t      pos[3];
    aiq_audit_report_t   r;

    dir = fresh();
    a = reopen(dir);
    b = reopen(dir);
    body = body_event("CLOSE", buf, sizeof(buf));
    three[0] = three[1] = three[2] = body;

    put(a, body, pos, &err);
    stat(seg(dir, 1), &st);

    fault_sync = EIO;
    put(a, body, pos, &err);
    fault_sync = 0;

    ok(put(b, body, pos, &err) == AIQ_OK && pos[0].seq == 3
       && put(a, body, pos, &err) == AIQ_OK && pos[0].seq == 5
       && put(b, body, pos, &err) == AIQ_OK && pos[0].seq == 6,
       "after a failed sync the one begins a segment, the other follows");

    text = slurp(seg(dir, 4), NULL);
    ok(text != NULL && strstr(text, "\"uncertain_from\":2,"
                              "\"uncertain_to\":2}") != NULL,
       "what is uncertain is only what was");
    free(text);

    /* a line and a half; the other one finds the torn tail first */

    fault_write = ENOSPC;
    fault_after = (long) st.st_size * 3 / 2;
    aiq_audit_append(a, three, 3, AIQ_AUDIT_FSYNC, BASE, crypto, pos, &err);
    fault_write = 0;

    ok(put(b, body, pos, &err) == AIQ_OK && pos[0].seq == 9
       && put(a, body, pos, &err) == AIQ_OK && pos[0].seq == 11
       && put(b, body, pos, &err) == AIQ_OK && pos[0].seq == 12,
       "after a torn line both begin one");

    text = slurp(seg(dir, 8), NULL);
    ok(text != NULL && strstr(text, "\"uncertain\":false}") != NULL,
       "the one declares what is torn");
    free(text);

    text = slurp(seg(dir, 10), NULL);
    ok(text != NULL && strstr(text, "\"len\":0,") != NULL
       && strstr(text, "\"uncertain_from\":7,\"uncertain_to\":7}") != NULL,
       "the other what is uncertain");
    free(text);

    ok(verify(dir, &r) == AIQ_AUDIT_OK && r.segments == 4, "verify: OK%s",
       r.text);

    aiq_audit_close(a);
    aiq_audit_close(b);
    free(dir);
}


static void
test_shrink(void)
{
    char                *dir, *text;
    size_t               len;
    aiq_err_t            err;
    aiq_audit_t         *log;
    struct stat          st;

    dir = fresh();
    log = reopen(dir);

    put_call(log, 1, NULL, &err);
    stat(seg(dir, 1), &st);
    put_call(log, 2, NULL, &err);

    ok(truncate(seg(dir, 1), st.st_size) == 0
       && put_call(log, 3, NULL, &err) == AIQ_E_AUDIT_UNAVAILABLE,
       "cut: %s", err.text);
    ok(put_call(log, 3, NULL, &err) == AIQ_E_AUDIT_UNAVAILABLE,
       "and it stays like that");
    ok(truncate(seg(dir, 1), 0) == 0
       && put_call(log, 3, NULL, &err) == AIQ_E_AUDIT_UNAVAILABLE,
       "copytruncate: %s", err.text);

    aiq_audit_close(log);

    ok(aiq_audit_open(&log, dir, &err) == AIQ_E_AUDIT_UNAVAILABLE,
       "opening an empty segment: %s", err.text);

    free(dir);
    dir = fresh();
    log = reopen(dir);
    put_call(log, 1, NULL, &err);
    rename(seg(dir, 1), path(dir, "seg.1"));
    ok(put_call(log, 2, NULL, &err) == AIQ_E_AUDIT_UNAVAILABLE,
       "renamed: %s", err.text);

    text = slurp(path(dir, "seg.1"), &len);
    spit(seg(dir, 1), text, len);
    free(text);
    ok(put_call(log, 2, NULL, &err) == AIQ_E_AUDIT_UNAVAILABLE,
       "replaced by a copy: %s", err.text);

    spit(seg(dir, 1), "garbage\n", 8);

    aiq_audit_close(log);

    ok(aiq_audit_open(&log, dir, &err) == AIQ_E_AUDIT_UNAVAILABLE,
       "opening garbage: %s", err.text);
    free(dir);
}


static void
test_torn(void)
{
    char                *dir, *text;
    size_t               len;
    unsigned             i;
    aiq_err_t            err;
    aiq_audit_t         *log;
    aiq_audit_pos_t      pos;
    aiq_audit_report_t   r;
    static char          big[200000];

    for (i = 0; i < 2; i++) {

        dir = fresh();
        log = reopen(dir);
        put_call(log, 1, &pos, &err);
        put_outcome(log, 1, &pos, "executed", &err);
        aiq_audit_close(log);

        /* as after a crash of the machine: zeros, more than one line of it */

        text = slurp(seg(dir, 1), &len);
        memcpy(big, text, len);
        memset(big + len, 0, sizeof(big) - len);
        free(text);

        spit(seg(dir, 1), big, i ? sizeof(big) : len + 17);

        ok(verify(dir, &r) == AIQ_AUDIT_TORN, "torn: %s", r.text);

        log = reopen(dir);
        ok(log != NULL && verify(dir, &r) == AIQ_AUDIT_TORN,
           "opening writes nothing");
        ok(put_call(log, 2, &pos, &err) == AIQ_OK && pos.seq == 4,
           "a new segment begins");
        aiq_audit_close(log);

        ok(verify(dir, &r) == AIQ_AUDIT_UNKNOWN && r.segments == 2
           && r.unknown == 1, "and declares what is torn: %s", r.text);

        spit(seg(dir, 1), big, i ? sizeof(big) - 1 : len + 16);
        ok(verify(dir, &r) == AIQ_AUDIT_TORN, "a byte less: %s", r.text);

        spit(seg(dir, 1), big, len);
        ok(verify(dir, &r) == AIQ_AUDIT_TORN, "cut away: %s", r.text);

        free(dir);
    }
}


static void
test_injection(void)
{
    char                *dir, *text, buf[8192];
    size_t               len, lines;
    char                *p;
    aiq_err_t            err;
    aiq_audit_t         *log;
    aiq_audit_pos_t      pos;
    aiq_audit_intent_t   r;
    aiq_audit_report_t   rep;

    dir = fresh();
    log = reopen(dir);

    call(&r, 1);
    r.tool = str("x\",\"verdict\":\"PERMIT\"}\n{\"v\":1,\"seq\":2,\"prev\":"
                 "\"00\",\"t\":\"OUTCOME\",\"status\":\"not_sent\"}\n");
    r.agent = str("\"}\r\n\xe2\x80\xa8\xff");
    r.verdict = str("DENY");

    put(log, body_intent(&r, buf, sizeof(buf)), &pos, &err);
    aiq_audit_close(log);

    text = slurp(seg(dir, 1), &len);

    for (lines = 0, p = text; p < text + len; p++) {
        lines += (*p == '\n');
    }

    free(text);

    ok(lines == 1, "a tool named after a record stays in one line");
    ok(verify(dir, &rep) == AIQ_AUDIT_OK && rep.records == 1
       && rep.denials == 1 && rep.outcomes == 0, "and is one record");

    free(dir);
}


int
main(void)
{
    signal(SIGXFSZ, SIG_IGN);
    setup();

    test_records();
    test_salted();
    test_limits();
    test_time();
    test_create();
    test_append();
    test_processes();
    test_killed();
    test_limit(100, "a write that stops half way");
    test_limit(0, "a write that does not begin");
    test_partial();
    test_sync();
    test_others();
    test_shrink();
    test_torn();
    test_injection();

    return teardown();
}
