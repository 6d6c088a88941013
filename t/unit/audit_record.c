
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Records of the audit log: what they look like, and what they never hold.
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

    len = 0;
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
    setup();

    test_records();
    test_salted();
    test_limits();
    test_time();
    test_injection();

    return teardown();
}
