
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Bodies of audit records, and the front of a line.  Two records are written
 * for every request, so they are put together by hand, without a formatter
 * and without libc time.
 */


#include <string.h>

#include "audit_file.h"


#define AIQ_AUDIT_DETAIL_MAX  384

#define AIQ_AUDIT_V           "{\"v\":1,\"seq\":"
#define AIQ_AUDIT_PREV        ",\"prev\":\""
#define AIQ_AUDIT_T           "\",\"t\":\""
#define AIQ_AUDIT_TS          "\",\"ts\":\""

#define aiq_audit_lit(out, s)  aiq_audit_mem(out, s, sizeof(s) - 1)

/* lengths are constants nearly everywhere, which makes this a few moves */

#define aiq_audit_mem(out, p, len)                                            \
    do {                                                                      \
        if ((size_t) ((out)->end - (out)->pos) >= (size_t) (len)) {           \
            memcpy((out)->pos, p, len);                                       \
            (out)->pos += (len);                                              \
        } else {                                                              \
            aiq_out_mem(out, p, len);                                         \
        }                                                                     \
    } while (0)

/* is the literal s at p? */

#define aiq_audit_at(p, last, s)                                              \
    ((size_t) ((last) - (p)) >= sizeof(s) - 1                                 \
     && memcmp(p, s, sizeof(s) - 1) == 0)


/* a body under construction; trunc: something is not there as a whole */

typedef struct {
    aiq_out_t         *out;
    aiq_crypto_t      *crypto;
    const aiq_salt_t  *salt;        /* or NULL */
    unsigned           trunc:1;
    unsigned           salted:1;    /* there is a hash under the salt */
} aiq_audit_body_t;


static void aiq_audit_record_begin(aiq_audit_body_t *b, aiq_out_t *out,
    const aiq_salt_t *salt, aiq_crypto_t *crypto);
static void aiq_audit_record_end(aiq_audit_body_t *b);
static void aiq_audit_record_answer(aiq_audit_body_t *b,
    const aiq_audit_outcome_t *r);
static void aiq_audit_record_value(aiq_audit_body_t *b, aiq_str_t s,
    size_t max);
static void aiq_audit_record_digest(aiq_audit_body_t *b, aiq_str_t s);
static void aiq_audit_record_field(aiq_audit_body_t *b, const char *name,
    size_t len, aiq_str_t s, size_t max);
static void aiq_audit_record_hash(aiq_audit_body_t *b, const char *name,
    size_t len, const unsigned char *hash);
static void aiq_audit_record_salted(aiq_audit_body_t *b, const char *name,
    size_t len, aiq_salted_e what, const unsigned char *hash);
static void aiq_audit_record_payload(aiq_audit_body_t *b,
    const aiq_audit_payload_t *p);
static void aiq_audit_record_front(aiq_out_t *out, const char *kind,
    int64_t ts_us);
static void aiq_audit_record_rid(aiq_out_t *out, aiq_str_t rid);
static void aiq_audit_record_token(aiq_audit_body_t *b,
    const aiq_audit_intent_t *r);
static void aiq_audit_record_call(aiq_audit_body_t *b,
    const aiq_audit_intent_t *r);
static unsigned char *aiq_audit_record_digits(unsigned char *p, unsigned v,
    unsigned n);
static int aiq_audit_record_number(const unsigned char *p, unsigned n,
    unsigned max, unsigned *v);


#define aiq_audit_field(b, name, s, max)                                      \
    aiq_audit_record_field(b, ",\"" name "\":", sizeof(name) + 3, s, max)

#define aiq_audit_hash(b, name, hash)                                         \
    aiq_audit_record_hash(b, ",\"" name "\":\"", sizeof(name) + 4, hash)

#define aiq_audit_salted(b, name, what, hash)                                 \
    aiq_audit_record_salted(b, ",\"" name "\":\"", sizeof(name) + 4, what,    \
                            hash)


void
aiq_audit_write_intent(aiq_out_t *out, const aiq_audit_intent_t *r)
{
    aiq_audit_body_t  b;

    aiq_audit_record_begin(&b, out, r->salt, r->crypto);

    aiq_audit_record_front(out, "INTENT", r->ts_us);

    aiq_audit_field(&b, "inst", r->inst, AIQ_NAME_MAX);

    aiq_audit_lit(out, ",\"w\":");
    aiq_out_int(out, (int64_t) r->worker);

    aiq_audit_record_rid(out, r->rid);

    aiq_audit_field(&b, "org", r->org, AIQ_NAME_MAX);
    aiq_audit_field(&b, "agent", r->agent, AIQ_NAME_MAX);
    aiq_audit_field(&b, "user", r->user, AIQ_NAME_MAX);

    aiq_audit_record_token(&b, r);
    aiq_audit_record_call(&b, r);

    /* these two are there even if nobody set them: no verdict permits */

    aiq_audit_lit(out, ",\"verdict\":");
    aiq_audit_record_value(&b, r->verdict, AIQ_NAME_MAX);

    aiq_audit_lit(out, ",\"reason\":");
    aiq_audit_record_value(&b, r->reason, AIQ_NAME_MAX);

    aiq_audit_field(&b, "detail", r->detail, AIQ_AUDIT_DETAIL_MAX);
    aiq_audit_field(&b, "policy", r->policy, AIQ_NAME_MAX + 21);
    aiq_audit_field(&b, "src", r->source, AIQ_NAME_MAX);

    if (r->dry_run) {
        aiq_audit_lit(out, ",\"dry_run\":true");
    }

    aiq_audit_record_end(&b);
}


void
aiq_audit_write_outcome(aiq_out_t *out, const aiq_audit_outcome_t *r)
{
    aiq_audit_body_t  b;

    aiq_audit_record_begin(&b, out, r->salt, r->crypto);

    if (r->intent_seq == 0 || r->intent_seq > AIQ_JSON_SAFE
        || r->intent_hash == NULL)
    {
        out->failed = 1;
        return;
    }

    aiq_audit_record_front(out, "OUTCOME", r->ts_us);
    aiq_audit_record_rid(out, r->rid);

    aiq_audit_lit(out, ",\"intent\":{\"seq\":");
    aiq_out_int(out, (int64_t) r->intent_seq);
    aiq_audit_hash(&b, "h", r->intent_hash);
    aiq_out_char(out, '}');

    aiq_audit_lit(out, ",\"status\":");
    aiq_audit_record_value(&b, r->status, AIQ_NAME_MAX);

    if (r->http) {
        aiq_audit_lit(out, ",\"http\":");
        aiq_out_int(out, (int64_t) r->http);
    }

    aiq_audit_lit(out, ",\"attempts\":");
    aiq_out_int(out, (int64_t) r->attempts);

    aiq_audit_record_answer(&b, r);

    aiq_audit_lit(out, ",\"dur_us\":");
    aiq_out_int(out, r->dur_us <= AIQ_JSON_SAFE ? (int64_t) r->dur_us
                                                : AIQ_JSON_SAFE);

    aiq_audit_record_end(&b);
}


static void
aiq_audit_record_answer(aiq_audit_body_t *b, const aiq_audit_outcome_t *r)
{
    if (r->has_rpc_err) {
        aiq_audit_lit(b->out, ",\"rpc_err\":");
        aiq_out_int(b->out, r->rpc_err);
    }

    if (r->is_error) {
        aiq_audit_lit(b->out, ",\"is_error\":true");
    }

    aiq_audit_field(b, "rpc_unread", r->rpc_unread, AIQ_NAME_MAX);

    aiq_audit_salted(b, "res_h", AIQ_SALTED_RESULT, r->res_hash);

    if (r->res_len >= 0) {
        aiq_audit_lit(b->out, ",\"res_len\":");
        aiq_out_int(b->out, r->res_len <= AIQ_JSON_SAFE ? r->res_len
                                                        : AIQ_JSON_SAFE);
    }

    b->trunc |= r->trunc;
}


void
aiq_audit_write_event(aiq_out_t *out, const char *kind, int64_t ts_us,
    aiq_str_t inst, aiq_str_t members)
{
    aiq_audit_body_t  b;

    aiq_audit_record_begin(&b, out, NULL, NULL);

    aiq_audit_record_front(out, kind, ts_us);

    aiq_audit_field(&b, "inst", inst, AIQ_NAME_MAX);

    if (members.len) {
        aiq_out_char(out, ',');
        aiq_out_mem(out, members.data, members.len);
    }

    aiq_audit_record_end(&b);
}


static void
aiq_audit_record_begin(aiq_audit_body_t *b, aiq_out_t *out,
    const aiq_salt_t *salt, aiq_crypto_t *crypto)
{
    b->out = out;
    b->crypto = crypto;
    b->salt = salt;
    b->trunc = 0;
    b->salted = 0;
}


static void
aiq_audit_record_end(aiq_audit_body_t *b)
{
    if (b->trunc) {
        aiq_audit_lit(b->out, ",\"trunc\":true");
    }

    /* which salt it was: the org may have another one by now */

    if (b->salted) {
        aiq_audit_lit(b->out, ",\"salt\":");
        aiq_out_int(b->out, (int64_t) b->salt->epoch);
    }

    aiq_out_char(b->out, '}');
}


static void
aiq_audit_record_token(aiq_audit_body_t *b, const aiq_audit_intent_t *r)
{
    const char     *sep;
    unsigned char   hex[2 * AIQ_HASH_LEN];

    if (r->jti.len == 0 && r->kid.len == 0 && r->token_id == NULL
        && r->token_exp == 0)
    {
        return;
    }

    aiq_audit_lit(b->out, ",\"tok\":{");

    sep = "";

    if (r->jti.len) {
        aiq_audit_lit(b->out, "\"jti\":");
        aiq_audit_record_value(b, r->jti, AIQ_NAME_MAX);
        sep = ",";
    }

    if (r->kid.len) {
        aiq_out_str(b->out, sep);
        aiq_audit_lit(b->out, "\"kid\":");
        aiq_audit_record_value(b, r->kid, AIQ_NAME_MAX);
        sep = ",";
    }

    if (r->token_id) {
        aiq_out_str(b->out, sep);
        aiq_audit_lit(b->out, "\"h\":\"");
        aiq_audit_hex(r->token_id, hex);
        aiq_audit_mem(b->out, hex, sizeof(hex));
        aiq_out_char(b->out, '"');
        sep = ",";
    }

    if (r->token_exp) {
        aiq_out_str(b->out, sep);
        aiq_audit_lit(b->out, "\"exp\":");
        aiq_out_int(b->out, r->token_exp);
    }

    aiq_out_char(b->out, '}');
}


static void
aiq_audit_record_call(aiq_audit_body_t *b, const aiq_audit_intent_t *r)
{
    aiq_audit_hash(b, "plan", r->plan_hash);

    if (r->step >= 0) {
        aiq_audit_lit(b->out, ",\"step\":");
        aiq_out_int(b->out, r->step);
    }

    aiq_audit_field(b, "mcp", r->mcp, AIQ_NAME_MAX);
    aiq_audit_field(b, "http", r->http, AIQ_NAME_MAX);
    aiq_audit_field(b, "method", r->method, AIQ_NAME_MAX);
    aiq_audit_field(b, "tool", r->tool, AIQ_NAME_MAX);

    aiq_audit_salted(b, "args_h", AIQ_SALTED_ARGS, r->args_hash);
    aiq_audit_salted(b, "req_h", AIQ_SALTED_BODY, r->req_hash);

    if (r->payload) {
        aiq_audit_record_payload(b, r->payload);
    }
}


/* "salt" is its key, too */

static void
aiq_audit_record_payload(aiq_audit_body_t *b, const aiq_audit_payload_t *p)
{
    if (b->salt == NULL || b->salt->epoch == 0 || p->len > AIQ_JSON_SAFE) {
        b->out->failed = 1;
        return;
    }

    b->salted = 1;

    aiq_audit_lit(b->out, ",\"payload\":{\"day\":\"");
    aiq_audit_mem(b->out, p->day, AIQ_AUDIT_DAY_LEN);
    aiq_audit_lit(b->out, "\"");
    aiq_audit_hash(b, "h", p->hash);
    aiq_audit_lit(b->out, ",\"len\":");
    aiq_out_int(b->out, (int64_t) p->len);
    aiq_out_char(b->out, '}');
}


/* "t":"KIND","ts":"2026-11-21T02:00:00.123456Z" */

static void
aiq_audit_record_front(aiq_out_t *out, const char *kind, int64_t ts_us)
{
    unsigned char  ts[AIQ_AUDIT_TS_LEN];

    aiq_audit_ts_format(ts_us, ts);

    aiq_audit_lit(out, "\"t\":\"");
    aiq_out_str(out, kind);
    aiq_audit_lit(out, "\",\"ts\":\"");
    aiq_audit_mem(out, ts, sizeof(ts));
    aiq_out_char(out, '"');
}


/*
 * The id ties an OUTCOME to its INTENT and is ours, never the client's: one
 * of another form is a mistake of the caller, and what is not written is
 * not permitted.
 */

static void
aiq_audit_record_rid(aiq_out_t *out, aiq_str_t rid)
{
    size_t  i;

    if (rid.len != AIQ_AUDIT_RID_LEN) {
        out->failed = 1;
        return;
    }

    for (i = 0; i < rid.len; i++) {

        if ((rid.data[i] < '0' || rid.data[i] > '9')
            && (rid.data[i] < 'a' || rid.data[i] > 'f'))
        {
            out->failed = 1;
            return;
        }
    }

    aiq_audit_lit(out, ",\"rid\":\"");
    aiq_audit_mem(out, rid.data, AIQ_AUDIT_RID_LEN);
    aiq_out_char(out, '"');
}


static void
aiq_audit_record_field(aiq_audit_body_t *b, const char *name, size_t len,
    aiq_str_t s, size_t max)
{
    if (s.len) {
        aiq_audit_mem(b->out, name, len);
        aiq_audit_record_value(b, s, max);
    }
}


static void
aiq_audit_record_hash(aiq_audit_body_t *b, const char *name, size_t len,
    const unsigned char *hash)
{
    unsigned char  hex[2 * AIQ_HASH_LEN];

    if (hash) {
        aiq_audit_hex(hash, hex);

        aiq_audit_mem(b->out, name, len);
        aiq_audit_mem(b->out, hex, sizeof(hex));
        aiq_out_char(b->out, '"');
    }
}


static void
aiq_audit_record_salted(aiq_audit_body_t *b, const char *name, size_t len,
    aiq_salted_e what, const unsigned char *hash)
{
    aiq_rc_t       rc;
    unsigned char  salted[AIQ_HASH_LEN];

    if (hash == NULL) {
        return;
    }

    rc = aiq_salted(b->crypto, b->salt, what, hash, salted);

    if (rc == AIQ_OK) {
        aiq_audit_record_hash(b, name, len, salted);
        b->salted = 1;

    } else if (rc != AIQ_DECLINED) {
        b->out->failed = 1;
    }
}


/* without a branch: the compiler does several digits at a time */

void
aiq_audit_hex(const unsigned char hash[AIQ_HASH_LEN],
    unsigned char hex[2 * AIQ_HASH_LEN])
{
    unsigned  i, hi, lo;

    for (i = 0; i < AIQ_HASH_LEN; i++) {
        hi = hash[i] >> 4;
        lo = hash[i] & 15;

        hex[2 * i] = (unsigned char) ('0' + hi + ((9 - hi) >> 8 & 39));
        hex[2 * i + 1] = (unsigned char) ('0' + lo + ((9 - lo) >> 8 & 39));
    }
}


static void
aiq_audit_record_value(aiq_audit_body_t *b, aiq_str_t s, size_t max)
{
    size_t         i;
    unsigned char  buf[AIQ_AUDIT_DETAIL_MAX];

    if (s.len > max || s.len > sizeof(buf)) {
        aiq_audit_record_digest(b, s);
        return;
    }

    if (s.len && memchr(s.data, '\0', s.len) != NULL) {

        /* readers of I-JSON refuse \u0000: a NUL is written as U+FFFD */

        for (i = 0; i < s.len; i++) {
            buf[i] = s.data[i] ? s.data[i] : 0xff;
        }

        s.data = buf;
    }

    aiq_out_json(b->out, s);
}


static void
aiq_audit_record_digest(aiq_audit_body_t *b, aiq_str_t s)
{
    unsigned char  hash[AIQ_HASH_LEN];

    aiq_audit_lit(b->out, "{\"len\":");
    aiq_out_int(b->out, (int64_t) s.len);

    if (b->salt != NULL && b->salt->epoch != 0) {

        if (aiq_sha256(b->crypto, s, hash) != AIQ_OK) {
            b->out->failed = 1;
            return;
        }

        aiq_audit_salted(b, "h", AIQ_SALTED_TEXT, hash);
    }

    aiq_out_char(b->out, '}');

    b->trunc = 1;
}


/*
 * Gregorian calendar from days since 1970-01-01.  Years are counted from
 * March, so that the leap day is the last of a year, in eras of 400 years.
 */

void
aiq_audit_ts_format(int64_t us, unsigned char ts[AIQ_AUDIT_TS_LEN])
{
    int64_t         sec;
    unsigned        day, era, doe, yoe, doy, m, y, s;
    unsigned char  *p;

    if (us < 0) {
        us = 0;
    }

    if (us / 1000000 > AIQ_TIME_MAX) {
        us = AIQ_TIME_MAX * 1000000;
    }

    sec = us / 1000000;
    s = (unsigned) (sec % 86400);

    /* 719468 days lie between 0000-03-01 and 1970-01-01 */

    day = (unsigned) (sec / 86400) + 719468;

    era = day / 146097;
    doe = day % 146097;
    yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    m = (5 * doy + 2) / 153;
    y = yoe + era * 400 + (m >= 10);

    p = aiq_audit_record_digits(ts, y, 4);
    *p++ = '-';
    p = aiq_audit_record_digits(p, m < 10 ? m + 3 : m - 9, 2);
    *p++ = '-';
    p = aiq_audit_record_digits(p, doy - (153 * m + 2) / 5 + 1, 2);
    *p++ = 'T';
    p = aiq_audit_record_digits(p, s / 3600, 2);
    *p++ = ':';
    p = aiq_audit_record_digits(p, s / 60 % 60, 2);
    *p++ = ':';
    p = aiq_audit_record_digits(p, s % 60, 2);
    *p++ = '.';
    p = aiq_audit_record_digits(p, (unsigned) (us % 1000000), 6);
    *p = 'Z';
}


static unsigned char *
aiq_audit_record_digits(unsigned char *p, unsigned v, unsigned n)
{
    unsigned  i;

    for (i = n; i > 0; i--) {
        p[i - 1] = (unsigned char) ('0' + v % 10);
        v /= 10;
    }

    return p + n;
}


aiq_rc_t
aiq_audit_front(aiq_audit_front_t *f, aiq_str_t line)
{
    uint64_t              seq;
    const unsigned char  *p, *last, *start;

    p = line.data;
    last = p + line.len;

    if (!aiq_audit_at(p, last, AIQ_AUDIT_V)) {
        return AIQ_DECLINED;
    }

    p += sizeof(AIQ_AUDIT_V) - 1;
    seq = 0;

    for (start = p; p < last && *p >= '0' && *p <= '9'; p++) {

        seq = seq * 10 + (uint64_t) (*p - '0');

        if (seq == 0 || seq > AIQ_JSON_SAFE) {
            return AIQ_DECLINED;
        }
    }

    if (p == start || !aiq_audit_at(p, last, AIQ_AUDIT_PREV)) {
        return AIQ_DECLINED;
    }

    p += sizeof(AIQ_AUDIT_PREV) - 1;

    if (last - p < 2 * AIQ_HASH_LEN) {
        return AIQ_DECLINED;
    }

    f->seq = seq;
    f->prev = p;
    p += 2 * AIQ_HASH_LEN;

    if (!aiq_audit_at(p, last, AIQ_AUDIT_T)) {
        return AIQ_DECLINED;
    }

    p += sizeof(AIQ_AUDIT_T) - 1;
    f->type.data = p;

    while (p < last && ((*p >= 'A' && *p <= 'Z') || *p == '_')) {
        p++;
    }

    f->type.len = (size_t) (p - f->type.data);

    if (f->type.len == 0 || f->type.len > AIQ_AUDIT_TYPE_MAX
        || !aiq_audit_at(p, last, AIQ_AUDIT_TS))
    {
        return AIQ_DECLINED;
    }

    p += sizeof(AIQ_AUDIT_TS) - 1;

    if (last - p < AIQ_AUDIT_TS_LEN + 2
        || p[AIQ_AUDIT_TS_LEN] != '"'
        || (p[AIQ_AUDIT_TS_LEN + 1] != ',' && p[AIQ_AUDIT_TS_LEN + 1] != '}'))
    {
        return AIQ_DECLINED;
    }

    return aiq_audit_ts_parse(p, &f->ts_us);
}


/* the reverse of aiq_audit_ts_format(), and nothing else */

aiq_rc_t
aiq_audit_ts_parse(const unsigned char *ts, int64_t *us)
{
    int64_t   days;
    unsigned  y, m, d, hh, mm, ss, frac, leap, year;

    static const unsigned char  len[] = {
        31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31
    };

    if (!aiq_audit_record_number(ts, 4, 9999, &y)
        || !aiq_audit_record_number(ts + 5, 2, 12, &m)
        || !aiq_audit_record_number(ts + 8, 2, 31, &d)
        || !aiq_audit_record_number(ts + 11, 2, 23, &hh)
        || !aiq_audit_record_number(ts + 14, 2, 59, &mm)
        || !aiq_audit_record_number(ts + 17, 2, 59, &ss)
        || !aiq_audit_record_number(ts + 20, 6, 999999, &frac)
        || ts[4] != '-' || ts[7] != '-' || ts[10] != 'T' || ts[13] != ':'
        || ts[16] != ':' || ts[19] != '.' || ts[26] != 'Z')
    {
        return AIQ_DECLINED;
    }

    leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;

    if (y < 1970 || m == 0 || d == 0
        || d > len[m - 1] + (m == 2 ? leap : 0u))
    {
        return AIQ_DECLINED;
    }

    /* years from March, in eras of 400; 719468 days before 1970 */

    year = y - (m <= 2);
    m = (m > 2) ? m - 3 : m + 9;

    days = (int64_t) (year / 400) * 146097
           + (year % 400) * 365 + (year % 400) / 4 - (year % 400) / 100
           + (153 * m + 2) / 5 + d - 1 - 719468;

    *us = ((days * 24 + hh) * 60 + mm) * 60 + ss;
    *us = *us * 1000000 + frac;

    return AIQ_OK;
}


static int
aiq_audit_record_number(const unsigned char *p, unsigned n, unsigned max,
    unsigned *v)
{
    unsigned  u;

    for (u = 0; n; n--, p++) {

        if (*p < '0' || *p > '9') {
            return 0;
        }

        u = u * 10 + (unsigned) (*p - '0');
    }

    *v = u;

    return u <= max;
}
