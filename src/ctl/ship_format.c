
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl audit ship: syslog (RFC 5424 in the frames of RFC 6587 3.4.1),
 * Splunk HEC, Azure Monitor Logs Ingestion, OTLP and webhooks.  The record
 * itself is in every event as it is stored, so whoever has the event can
 * compute its hash.
 */


#include <stdio.h>
#include <string.h>

#include "ship_format.h"


#define AIQ_SHIP_FRAME    8             /* "123456 " and more */
#define AIQ_SHIP_VALUE    512           /* bytes of a parameter of syslog */

#define AIQ_SHIP_WARNING  4
#define AIQ_SHIP_NOTICE   5
#define AIQ_SHIP_INFO     6


typedef enum {
    AIQ_SHIP_TEXT_V = 0,                /* a string, or what stands for it */
    AIQ_SHIP_INT_V,
    AIQ_SHIP_TRUE_V
} aiq_ship_kind_e;

/* members of a record that get a place of their own */

typedef struct {
    const char           *object;       /* or NULL */
    const char           *key;
    const char           *name;
    const char           *column;
    aiq_ship_kind_e       kind;
    unsigned              syslog:1;
} aiq_ship_member_t;


static void aiq_ship_format_syslog(aiq_out_t *out,
    const aiq_ship_style_t *style, const aiq_ship_event_t *e, aiq_mem_t mem);
static void aiq_ship_format_header(aiq_out_t *out,
    const aiq_ship_style_t *style, const aiq_ship_event_t *e);
static void aiq_ship_format_param(aiq_out_t *out, const char *name,
    aiq_str_t value);
static void aiq_ship_format_splunk(aiq_out_t *out,
    const aiq_ship_style_t *style, const aiq_ship_event_t *e);
static void aiq_ship_format_sentinel(aiq_out_t *out,
    const aiq_ship_style_t *style, const aiq_ship_event_t *e);
static void aiq_ship_format_webhook(aiq_out_t *out,
    const aiq_ship_style_t *style, const aiq_ship_event_t *e);
static void aiq_ship_format_otlp(aiq_out_t *out,
    const aiq_ship_style_t *style, const aiq_ship_event_t *e);
static void aiq_ship_format_attr(aiq_out_t *out, const aiq_json_t *doc,
    const aiq_ship_member_t *m, uint32_t value);
static int aiq_ship_format_value(const aiq_ship_event_t *e,
    const aiq_ship_member_t *m, uint32_t *value);
static void aiq_ship_format_string(aiq_out_t *out, const aiq_json_t *doc,
    uint32_t value);
static void aiq_ship_format_key(aiq_out_t *out, const char *key);
static void aiq_ship_format_quoted(aiq_out_t *out, const char *s);
static void aiq_ship_format_leaf(aiq_out_t *out, const aiq_ship_event_t *e);


static const aiq_ship_member_t  aiq_ship_members[] = {

    { NULL, "verdict", "verdict", "Verdict", AIQ_SHIP_TEXT_V, 1 },
    { NULL, "reason", "reason", "Reason", AIQ_SHIP_TEXT_V, 1 },
    { NULL, "status", "status", "Status", AIQ_SHIP_TEXT_V, 1 },
    { NULL, "org", "org", "Org", AIQ_SHIP_TEXT_V, 1 },
    { NULL, "user", "user", "User", AIQ_SHIP_TEXT_V, 1 },
    { NULL, "agent", "agent", "Agent", AIQ_SHIP_TEXT_V, 1 },
    { NULL, "mcp", "mcp", "McpServer", AIQ_SHIP_TEXT_V, 1 },
    { NULL, "method", "method", "Method", AIQ_SHIP_TEXT_V, 1 },
    { NULL, "tool", "tool", "Tool", AIQ_SHIP_TEXT_V, 1 },
    { NULL, "src", "src", "SourceAddress", AIQ_SHIP_TEXT_V, 1 },
    { NULL, "rid", "rid", "RequestId", AIQ_SHIP_TEXT_V, 1 },
    { NULL, "policy", "policy", "Policy", AIQ_SHIP_TEXT_V, 0 },
    { NULL, "detail", "detail", "Detail", AIQ_SHIP_TEXT_V, 0 },
    { NULL, "dry_run", "dry_run", "DryRun", AIQ_SHIP_TRUE_V, 1 },
    { NULL, "plan", "plan", "PlanHash", AIQ_SHIP_TEXT_V, 0 },
    { NULL, "step", "step", "Step", AIQ_SHIP_INT_V, 0 },
    { "tok", "jti", "jti", "TokenId", AIQ_SHIP_TEXT_V, 0 },
    { "intent", "seq", "intent_seq", "IntentSeq", AIQ_SHIP_INT_V, 1 },
    { NULL, "http", "http_method", "HttpMethod", AIQ_SHIP_TEXT_V, 0 },
    { NULL, "http", "http_status", "HttpStatus", AIQ_SHIP_INT_V, 0 },
    { NULL, "res_len", "res_len", "ResponseBytes", AIQ_SHIP_INT_V, 0 },
    { NULL, "dur_us", "dur_us", "DurationUs", AIQ_SHIP_INT_V, 0 },
    { NULL, "rpc_err", "rpc_err", "RpcError", AIQ_SHIP_INT_V, 0 },
    { NULL, "is_error", "is_error", "IsError", AIQ_SHIP_TRUE_V, 0 },
    { NULL, "state", "state", "State", AIQ_SHIP_TEXT_V, 1 },
    { NULL, "inst", "inst", "Instance", AIQ_SHIP_TEXT_V, 0 },

    { NULL, NULL, NULL, NULL, AIQ_SHIP_TEXT_V, 0 }
};


void
aiq_ship_format_begin(aiq_out_t *out, const aiq_ship_style_t *style)
{
    switch (style->type) {

    case AIQ_SHIP_SENTINEL:
        aiq_out_char(out, '[');
        break;

    case AIQ_SHIP_WEBHOOK:
        if (!style->lines) {
            aiq_out_char(out, '[');
        }

        break;

    case AIQ_SHIP_OTLP:
        aiq_out_str(out, "{\"resourceLogs\":[{\"resource\":{\"attributes\":["
                    "{\"key\":\"service.name\",\"value\":{\"stringValue\":");
        aiq_ship_format_quoted(out, style->service);
        aiq_out_str(out, "}},{\"key\":\"host.name\",\"value\":"
                    "{\"stringValue\":");
        aiq_ship_format_quoted(out, style->host);
        aiq_out_str(out, "}}]},\"scopeLogs\":[{\"scope\":{\"name\":"
                    "\"armoriq.audit\",\"version\":\"" AIQ_VERSION "\"},"
                    "\"logRecords\":[");
        break;

    default:
        break;
    }
}


void
aiq_ship_format_end(aiq_out_t *out, const aiq_ship_style_t *style)
{
    switch (style->type) {

    case AIQ_SHIP_SENTINEL:
        aiq_out_char(out, ']');
        break;

    case AIQ_SHIP_WEBHOOK:
        if (!style->lines) {
            aiq_out_char(out, ']');
        }

        break;

    case AIQ_SHIP_OTLP:
        aiq_out_str(out, "]}]}]}");
        break;

    default:
        break;
    }
}


void
aiq_ship_format_between(aiq_out_t *out, const aiq_ship_style_t *style)
{
    if (style->type == AIQ_SHIP_SENTINEL || style->type == AIQ_SHIP_OTLP
        || (style->type == AIQ_SHIP_WEBHOOK && !style->lines))
    {
        aiq_out_char(out, ',');
    }
}


void
aiq_ship_format(aiq_out_t *out, const aiq_ship_style_t *style,
    const aiq_ship_event_t *e, aiq_mem_t mem)
{
    switch (style->type) {

    case AIQ_SHIP_SYSLOG:
        aiq_ship_format_syslog(out, style, e, mem);
        break;

    case AIQ_SHIP_SPLUNK:
        aiq_ship_format_splunk(out, style, e);
        break;

    case AIQ_SHIP_SENTINEL:
        aiq_ship_format_sentinel(out, style, e);
        break;

    case AIQ_SHIP_WEBHOOK:
        aiq_ship_format_webhook(out, style, e);
        break;

    case AIQ_SHIP_OTLP:
        aiq_ship_format_otlp(out, style, e);
        break;
    }
}


/* what is not known is worth a look */

int
aiq_ship_severity(const aiq_ship_event_t *e)
{
    size_t    i;
    uint32_t  v;

    static const char  *quiet[] = { "OPEN", "CLOSE", "ROTATE", "HEARTBEAT" };

    if (aiq_str_is(e->type, "INTENT")) {
        v = aiq_json_get(e->doc, 0, "verdict");

        return aiq_json_is(e->doc, v, "PERMIT") ? AIQ_SHIP_INFO
               : aiq_json_is(e->doc, v, "HOLD") ? AIQ_SHIP_NOTICE
               : AIQ_SHIP_WARNING;
    }

    if (aiq_str_is(e->type, "OUTCOME")) {
        v = aiq_json_get(e->doc, 0, "status");

        return (aiq_json_is(e->doc, v, "executed")
                || aiq_json_is(e->doc, v, "not_sent")) ? AIQ_SHIP_INFO
               : (aiq_json_is(e->doc, v, "client_abort")
                  || aiq_json_is(e->doc, v, "revoked")) ? AIQ_SHIP_NOTICE
               : AIQ_SHIP_WARNING;
    }

    if (aiq_str_is(e->type, "STATE")) {
        v = aiq_json_get(e->doc, 0, "state");

        return aiq_json_is(e->doc, v, "ok") ? AIQ_SHIP_NOTICE
                                            : AIQ_SHIP_WARNING;
    }

    if (aiq_str_is(e->type, "RECOVERY")) {
        return AIQ_SHIP_WARNING;
    }

    for (i = 0; i < sizeof(quiet) / sizeof(quiet[0]); i++) {

        if (aiq_str_is(e->type, quiet[i])) {
            return AIQ_SHIP_INFO;
        }
    }

    return AIQ_SHIP_NOTICE;
}


/* the length goes before what it is the length of */

static void
aiq_ship_format_syslog(aiq_out_t *out, const aiq_ship_style_t *style,
    const aiq_ship_event_t *e, aiq_mem_t mem)
{
    int                       k;
    char                      len[32];
    size_t                    start, n;
    uint32_t                  v;
    aiq_str_t                 s;
    aiq_mem_t                 m;
    const aiq_ship_member_t  *f;

    start = (size_t) (out->pos - out->start);

    aiq_out_mem(out, "        ", AIQ_SHIP_FRAME);

    aiq_ship_format_header(out, style, e);

    for (f = aiq_ship_members; f->key; f++) {

        if (!f->syslog || !aiq_ship_format_value(e, f, &v)) {
            continue;
        }

        m = mem;

        if (aiq_json_type(e->doc, v) != AIQ_JSON_STRING
            || aiq_json_string(e->doc, v, &m, &s) != AIQ_OK)
        {
            s = aiq_json_raw(e->doc, v);
        }

        aiq_ship_format_param(out, f->name, s);
    }

    aiq_out_str(out, "] \xef\xbb\xbf");
    aiq_out_mem(out, e->line.data, e->line.len);

    if (out->failed) {
        return;
    }

    n = (size_t) (out->pos - out->start) - start - AIQ_SHIP_FRAME;
    k = snprintf(len, sizeof(len), "%zu ", n);

    if (k < 0 || k > AIQ_SHIP_FRAME) {
        out->failed = 1;
        return;
    }

    memmove(out->start + start + k, out->start + start + AIQ_SHIP_FRAME, n);
    memcpy(out->start + start, len, (size_t) k);

    out->pos = out->start + start + (size_t) k + n;
}


static void
aiq_ship_format_header(aiq_out_t *out, const aiq_ship_style_t *style,
    const aiq_ship_event_t *e)
{
    unsigned char  ts[AIQ_AUDIT_TS_LEN];

    aiq_audit_ts_format(e->ts_us, ts);

    aiq_out_char(out, '<');
    aiq_out_int(out, style->facility * 8 + aiq_ship_severity(e));
    aiq_out_str(out, ">1 ");
    aiq_out_mem(out, ts, sizeof(ts));
    aiq_out_char(out, ' ');
    aiq_out_str(out, style->host);
    aiq_out_char(out, ' ');
    aiq_out_str(out, style->app);
    aiq_out_str(out, " - ");
    aiq_out_mem(out, e->type.data, e->type.len);
    aiq_out_str(out, " [");
    aiq_out_str(out, style->sd_id);

    aiq_ship_format_param(out, "origin", style->origin);

    aiq_out_str(out, " seq=\"");
    aiq_out_int(out, (int64_t) e->seq);
    aiq_out_str(out, "\" leaf=\"");
    aiq_out_hex(out, e->leaf, AIQ_HASH_LEN);
    aiq_out_char(out, '"');
}


/* controls would be allowed, but receivers split lines at them */

static void
aiq_ship_format_param(aiq_out_t *out, const char *name, aiq_str_t value)
{
    size_t                n, left;
    uint32_t              code;
    const unsigned char  *p, *last;

    aiq_out_char(out, ' ');
    aiq_out_str(out, name);
    aiq_out_str(out, "=\"");

    p = value.data;
    last = p + value.len;
    left = AIQ_SHIP_VALUE;

    while (p < last) {
        n = aiq_utf8(p, (size_t) (last - p), &code);

        if (n > left) {
            break;
        }

        if (n == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0)) {
            n = n ? n : 1;
            aiq_out_char(out, '?');

        } else {

            if (code == '"' || code == '\\' || code == ']') {
                aiq_out_char(out, '\\');
            }

            aiq_out_mem(out, p, n);
        }

        left -= n;
        p += n;
    }

    aiq_out_char(out, '"');
}


static void
aiq_ship_format_splunk(aiq_out_t *out, const aiq_ship_style_t *style,
    const aiq_ship_event_t *e)
{
    char  time[64];

    (void) snprintf(time, sizeof(time), "{\"time\":%lld.%06lld",
                    (long long) (e->ts_us / 1000000),
                    (long long) (e->ts_us % 1000000));

    aiq_out_str(out, time);
    aiq_ship_format_key(out, "host");
    aiq_ship_format_quoted(out, style->host);
    aiq_ship_format_key(out, "source");

    if (style->source) {
        aiq_ship_format_quoted(out, style->source);

    } else {
        aiq_out_json(out, style->origin);
    }

    aiq_ship_format_key(out, "sourcetype");
    aiq_ship_format_quoted(out, style->sourcetype);

    if (style->index) {
        aiq_ship_format_key(out, "index");
        aiq_ship_format_quoted(out, style->index);
    }

    aiq_out_str(out, ",\"fields\":{\"origin\":");
    aiq_out_json(out, style->origin);
    aiq_ship_format_key(out, "leaf");
    aiq_ship_format_leaf(out, e);
    aiq_out_str(out, "},\"event\":");
    aiq_out_mem(out, e->line.data, e->line.len);
    aiq_out_str(out, "}\n");
}


static void
aiq_ship_format_sentinel(aiq_out_t *out, const aiq_ship_style_t *style,
    const aiq_ship_event_t *e)
{
    uint32_t                  v;
    unsigned char             ts[AIQ_AUDIT_TS_LEN];
    const aiq_ship_member_t  *f;

    aiq_audit_ts_format(e->ts_us, ts);

    aiq_out_str(out, "{\"TimeGenerated\":\"");
    aiq_out_mem(out, ts, sizeof(ts));
    aiq_out_char(out, '"');
    aiq_ship_format_key(out, "Computer");
    aiq_ship_format_quoted(out, style->host);
    aiq_ship_format_key(out, "Origin");
    aiq_out_json(out, style->origin);
    aiq_ship_format_key(out, "Seq");
    aiq_out_int(out, (int64_t) e->seq);
    aiq_ship_format_key(out, "Leaf");
    aiq_ship_format_leaf(out, e);
    aiq_ship_format_key(out, "RecordType");
    aiq_out_json(out, e->type);
    aiq_ship_format_key(out, "Severity");
    aiq_out_int(out, aiq_ship_severity(e));

    for (f = aiq_ship_members; f->key; f++) {

        if (!aiq_ship_format_value(e, f, &v)) {
            continue;
        }

        aiq_ship_format_key(out, f->column);

        if (f->kind == AIQ_SHIP_TEXT_V) {
            aiq_ship_format_string(out, e->doc, v);

        } else {
            aiq_out_mem(out, aiq_json_raw(e->doc, v).data,
                        aiq_json_raw(e->doc, v).len);
        }
    }

    aiq_ship_format_key(out, "Record");
    aiq_out_json(out, e->line);
    aiq_out_char(out, '}');
}


static void
aiq_ship_format_webhook(aiq_out_t *out, const aiq_ship_style_t *style,
    const aiq_ship_event_t *e)
{
    aiq_out_str(out, "{\"origin\":");
    aiq_out_json(out, style->origin);
    aiq_ship_format_key(out, "seq");
    aiq_out_int(out, (int64_t) e->seq);
    aiq_ship_format_key(out, "leaf");
    aiq_ship_format_leaf(out, e);
    aiq_ship_format_key(out, "record");
    aiq_out_mem(out, e->line.data, e->line.len);
    aiq_out_char(out, '}');

    if (style->lines) {
        aiq_out_char(out, '\n');
    }
}


/* 64-bit integers are strings in the JSON of Protocol Buffers */

static void
aiq_ship_format_otlp(aiq_out_t *out, const aiq_ship_style_t *style,
    const aiq_ship_event_t *e)
{
    int                       severity;
    uint32_t                  v;
    const aiq_ship_member_t  *f;

    severity = aiq_ship_severity(e);

    aiq_out_str(out, "{\"timeUnixNano\":\"");
    aiq_out_int(out, e->ts_us * 1000);
    aiq_out_str(out, "\",\"observedTimeUnixNano\":\"");
    aiq_out_int(out, e->now_us * 1000);
    aiq_out_str(out, "\",\"severityNumber\":");
    aiq_out_str(out, severity == AIQ_SHIP_INFO ? "9,\"severityText\":\"INFO\""
                     : severity == AIQ_SHIP_NOTICE
                     ? "10,\"severityText\":\"NOTICE\""
                     : "13,\"severityText\":\"WARN\"");
    aiq_out_str(out, ",\"body\":{\"stringValue\":");
    aiq_out_json(out, e->line);
    aiq_out_str(out, "},\"attributes\":[{\"key\":\"armoriq.origin\","
                "\"value\":{\"stringValue\":");
    aiq_out_json(out, style->origin);
    aiq_out_str(out, "}},{\"key\":\"armoriq.seq\",\"value\":{\"intValue\":\"");
    aiq_out_int(out, (int64_t) e->seq);
    aiq_out_str(out, "\"}},{\"key\":\"armoriq.leaf\",\"value\":"
                "{\"stringValue\":");
    aiq_ship_format_leaf(out, e);
    aiq_out_str(out, "}},{\"key\":\"armoriq.type\",\"value\":"
                "{\"stringValue\":");
    aiq_out_json(out, e->type);
    aiq_out_str(out, "}}");

    for (f = aiq_ship_members; f->key; f++) {

        if (!aiq_ship_format_value(e, f, &v)) {
            continue;
        }

        aiq_ship_format_attr(out, e->doc, f, v);
    }

    aiq_out_str(out, "]}");
}


static void
aiq_ship_format_attr(aiq_out_t *out, const aiq_json_t *doc,
    const aiq_ship_member_t *m, uint32_t value)
{
    aiq_out_str(out, ",{\"key\":\"armoriq.");
    aiq_out_str(out, m->name);
    aiq_out_str(out, "\",\"value\":{");

    switch (m->kind) {

    case AIQ_SHIP_TEXT_V:
        aiq_out_str(out, "\"stringValue\":");
        aiq_ship_format_string(out, doc, value);
        break;

    case AIQ_SHIP_INT_V:
        aiq_out_str(out, "\"intValue\":\"");
        aiq_out_mem(out, aiq_json_raw(doc, value).data,
                    aiq_json_raw(doc, value).len);
        aiq_out_char(out, '"');
        break;

    case AIQ_SHIP_TRUE_V:
        aiq_out_str(out, "\"boolValue\":true");
        break;
    }

    aiq_out_str(out, "}}");
}


/* 1 if the record has it, and it is of that kind */

static int
aiq_ship_format_value(const aiq_ship_event_t *e, const aiq_ship_member_t *m,
    uint32_t *value)
{
    int       type;
    int64_t   n;
    uint32_t  obj;

    obj = m->object ? aiq_json_get(e->doc, 0, m->object) : 0;

    if (aiq_json_type(e->doc, obj) != AIQ_JSON_OBJECT) {
        return 0;
    }

    *value = aiq_json_get(e->doc, obj, m->key);
    type = aiq_json_type(e->doc, *value);

    switch (m->kind) {

    case AIQ_SHIP_TEXT_V:
        return type == AIQ_JSON_STRING || type == AIQ_JSON_OBJECT;

    case AIQ_SHIP_INT_V:
        return aiq_json_int(e->doc, *value, &n) == AIQ_OK;

    case AIQ_SHIP_TRUE_V:
        return type == AIQ_JSON_TRUE;
    }

    return 0;
}


/* what was too long is an object in the record, but a column has one type */

static void
aiq_ship_format_string(aiq_out_t *out, const aiq_json_t *doc, uint32_t value)
{
    aiq_str_t  raw;

    raw = aiq_json_raw(doc, value);

    if (aiq_json_type(doc, value) == AIQ_JSON_STRING) {
        aiq_out_mem(out, raw.data, raw.len);

    } else {
        aiq_out_json(out, raw);
    }
}


static void
aiq_ship_format_key(aiq_out_t *out, const char *key)
{
    aiq_out_str(out, ",\"");
    aiq_out_str(out, key);
    aiq_out_str(out, "\":");
}


static void
aiq_ship_format_quoted(aiq_out_t *out, const char *s)
{
    aiq_out_json(out, aiq_cstr(s));
}


static void
aiq_ship_format_leaf(aiq_out_t *out, const aiq_ship_event_t *e)
{
    aiq_out_char(out, '"');
    aiq_out_hex(out, e->leaf, AIQ_HASH_LEN);
    aiq_out_char(out, '"');
}
