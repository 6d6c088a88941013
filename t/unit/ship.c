
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Guards the formats of "armoriqctl audit ship" against values that would end
 * a field, a frame or a line; what arrives is checked by ship.t.  And that
 * docs/ship.md has the samples that "ship sample" prints.
 */


#include <jansson.h>

#include "ship_format.h"
#include "tap.h"


#define LINE  "{\"v\":1,\"seq\":7,\"prev\":\"00\",\"t\":\"INTENT\""


static void test_syslog(void);
static void test_syslog_values(void);
static void test_severity(void);
static void test_json(void);
static void test_frames(void);
static void test_full(void);
static void test_samples(int print);
static void style_init(aiq_ship_style_t *style, aiq_ship_type_e type);
static int event(aiq_ship_event_t *e, const char *line);
static const char *format(aiq_ship_type_e type, const char *line);


static unsigned char  leaf[AIQ_HASH_LEN];
static unsigned char  tape[1024 * 1024];
static unsigned char  room[256 * 1024];
static unsigned char  text[512 * 1024];
static aiq_json_t     doc;


static void
style_init(aiq_ship_style_t *style, aiq_ship_type_e type)
{
    memset(style, 0, sizeof(*style));

    style->type = type;
    style->facility = 13;
    style->host = "proxy-1";
    style->app = "armoriq";
    style->sd_id = "armoriq@32473";
    style->sourcetype = "armoriq:audit";
    style->service = "armoriq";
    style->origin = aiq_cstr("example.com/audit");
}


static int
event(aiq_ship_event_t *e, const char *line)
{
    aiq_mem_t  mem;

    mem.pos = tape;
    mem.end = tape + sizeof(tape);

    memset(e, 0, sizeof(*e));

    e->line = aiq_cstr(line);
    e->doc = &doc;
    e->seq = 7;
    e->ts_us = 1795226400123456LL;
    e->now_us = e->ts_us + 1;
    e->leaf = leaf;

    if (aiq_json_parse(&doc, e->line, 16, &mem, NULL) != AIQ_OK) {
        diag("not JSON: %s", line);
        return -1;
    }

    (void) aiq_json_string(&doc, aiq_json_get(&doc, 0, "t"), &mem, &e->type);

    return 0;
}


/* one of them, NUL-terminated */

static const char *
format(aiq_ship_type_e type, const char *line)
{
    aiq_out_t          out;
    aiq_mem_t          mem;
    aiq_ship_event_t   e;
    aiq_ship_style_t   style;

    style_init(&style, type);

    if (event(&e, line) != 0) {
        return "";
    }

    mem.pos = room;
    mem.end = room + sizeof(room);

    aiq_out_init(&out, text, sizeof(text) - 1);
    aiq_ship_format(&out, &style, &e, mem);
    *out.pos = '\0';

    return out.failed ? "" : (char *) text;
}


static void
test_syslog(void)
{
    const char  *s;

    s = format(AIQ_SHIP_SYSLOG, LINE ",\"verdict\":\"DENY\"}");

    /* written down here, not computed */

    ok(strcmp(s, "258 <108>1 2026-11-21T02:00:00.123456Z proxy-1 armoriq -"
              " INTENT [armoriq@32473 origin=\"example.com/audit\" seq=\"7\""
              " leaf=\"00000000000000000000000000000000000000000000000000000"
              "00000000000\" verdict=\"DENY\"] \xef\xbb\xbf" LINE
              ",\"verdict\":\"DENY\"}") == 0, "a message of syslog");
    ok(strtoul(s, NULL, 10) == strlen(strchr(s, ' ') + 1),
       "its length: %s", s);
}


static void
test_syslog_values(void)
{
    size_t       i;
    char         line[4096], value[2048];
    const char  *s;

    static const struct {
        const char  *json;
        const char  *param;
    } values[] = {
        { "plain", "plain" },
        { "\\\"", "\\\"" },
        { "\\\\", "\\\\" },
        { "]", "\\]" },
        { "a\\nb\\r\\tc", "a?b??c" },
        { "\\u007f\\u0085\\u001b", "???" },
        { "\xc3\xbc", "\xc3\xbc" },
        { "\\ud83d\\ude00", "\xf0\x9f\x98\x80" },
        { "\\\"] <1>1", "\\\"\\] <1>1" },
        { "", "" }
    };

    for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        snprintf(line, sizeof(line), LINE ",\"user\":\"%s\"}",
                 values[i].json);
        snprintf(value, sizeof(value), " user=\"%s\"] \xef\xbb\xbf",
                 values[i].param);

        ok(strstr(format(AIQ_SHIP_SYSLOG, line), value) != NULL,
           "a value: %zu", i);
    }

    /* cut at a character, not within it */

    memset(value, 'x', 511);
    strcpy(value + 511, "\xc3\xbc" "yz");
    snprintf(line, sizeof(line), LINE ",\"user\":\"%s\"}", value);
    value[511] = '\0';

    s = strstr(format(AIQ_SHIP_SYSLOG, line), " user=\"");
    ok(s && strncmp(s + 7, value, 511) == 0 && s[7 + 511] == '"',
       "a long value");

    /* what was too long in the record */

    s = format(AIQ_SHIP_SYSLOG, LINE ",\"tool\":{\"len\":9,\"sha256\":\"00\"}"
               ",\"user\":7,\"src\":null}");
    ok(strstr(s, " tool=\"{\\\"len\\\":9,\\\"sha256\\\":\\\"00\\\"}\"] ")
       != NULL, "an object instead of a value; others are left out");
}


static void
test_severity(void)
{
    size_t             i;
    aiq_ship_event_t   e;

    static const struct {
        const char  *line;
        int          severity;
    } lines[] = {
        { "{\"t\":\"INTENT\",\"verdict\":\"PERMIT\"}", 6 },
        { "{\"t\":\"INTENT\",\"verdict\":\"HOLD\"}", 5 },
        { "{\"t\":\"INTENT\",\"verdict\":\"DENY\"}", 4 },
        { "{\"t\":\"INTENT\",\"verdict\":\"DENY\",\"dry_run\":true}", 4 },
        { "{\"t\":\"INTENT\"}", 4 },
        { "{\"t\":\"OUTCOME\",\"status\":\"executed\"}", 6 },
        { "{\"t\":\"OUTCOME\",\"status\":\"not_sent\"}", 6 },
        { "{\"t\":\"OUTCOME\",\"status\":\"client_abort\"}", 5 },
        { "{\"t\":\"OUTCOME\",\"status\":\"upstream_error\"}", 4 },
        { "{\"t\":\"OUTCOME\",\"status\":\"unknown\"}", 4 },
        { "{\"t\":\"OUTCOME\",\"status\":\"revoked\"}", 5 },
        { "{\"t\":\"STATE\",\"state\":\"degraded\"}", 4 },
        { "{\"t\":\"STATE\",\"state\":\"failed\"}", 4 },
        { "{\"t\":\"STATE\",\"state\":\"ok\"}", 5 },
        { "{\"t\":\"STATE\"}", 4 },
        { "{\"t\":\"RECOVERY\"}", 4 },
        { "{\"t\":\"OPEN\"}", 6 },
        { "{\"t\":\"HEARTBEAT\"}", 6 },
        { "{\"t\":\"KEY\"}", 5 },
        { "{\"t\":\"ANOTHER\"}", 5 }
    };

    for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        (void) event(&e, lines[i].line);
        ok(aiq_ship_severity(&e) == lines[i].severity, "%s", lines[i].line);
    }
}


/* another reader takes it, whatever is in there */

static void
test_json(void)
{
    int                n, type;
    size_t             i;
    json_t            *v;
    aiq_out_t          out;
    aiq_mem_t          mem;
    aiq_ship_event_t   e;
    aiq_ship_style_t   style;

    static const char  *lines[] = {
        LINE "}",
        LINE ",\"user\":\"\\\"]},{\\u0001\\n\xc3\xbc\",\"step\":0,"
        "\"dry_run\":true,\"tok\":{\"jti\":\"\\\\\"},\"http\":\"POST\"}",
        LINE ",\"http\":200,\"intent\":{\"seq\":3},\"tool\":{\"len\":1}}",
        LINE ",\"tok\":7,\"intent\":[],\"dry_run\":\"yes\",\"step\":1.5,"
        "\"http\":null,\"deep\":[[[{\"verdict\":\"PERMIT\"}]]]}",
    };

    for (type = AIQ_SHIP_SENTINEL; type <= AIQ_SHIP_OTLP; type++) {
        style_init(&style, (aiq_ship_type_e) type);

        aiq_out_init(&out, text, sizeof(text));
        aiq_ship_format_begin(&out, &style);

        n = 0;

        for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
            mem.pos = room;
            mem.end = room + sizeof(room);

            n += (event(&e, lines[i]) == 0);

            if (i) {
                aiq_ship_format_between(&out, &style);
            }

            aiq_ship_format(&out, &style, &e, mem);
        }

        aiq_ship_format_end(&out, &style);

        v = json_loadb((char *) text, aiq_out_done(&out).len,
                       JSON_REJECT_DUPLICATES, NULL);

        if (type == AIQ_SHIP_OTLP) {
            ok(n == 4 && json_is_object(v), "OTLP");

        } else {
            ok(n == 4 && json_array_size(v) == 4, "a list: %d", type);
        }

        json_decref(v);
    }

    for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        v = json_loads(format(AIQ_SHIP_SPLUNK, lines[i]),
                       JSON_REJECT_DUPLICATES, NULL);
        ok(json_is_object(json_object_get(v, "event")), "Splunk: %zu", i);
        json_decref(v);
    }
}


/* messages follow each other without anything between them */

static void
test_frames(void)
{
    char               line[20000];
    char              *p, *end;
    size_t             i, len, n, at[8];
    aiq_out_t          out;
    aiq_mem_t          mem;
    aiq_ship_event_t   e;
    aiq_ship_style_t   style;

    style_init(&style, AIQ_SHIP_SYSLOG);
    aiq_out_init(&out, text, sizeof(text) - 1);

    mem.pos = room;
    mem.end = room + sizeof(room);

    /* lengths of three, four and five digits */

    for (i = 0; i < 8; i++) {
        n = 4 * (i + 1) * (i + 1) * (i + 1) * (i + 1);

        memset(line, 0, sizeof(line));
        snprintf(line, sizeof(line), LINE ",\"x\":\"");
        memset(line + strlen(line), 'y', n);
        strcat(line, "\"}");

        (void) event(&e, line);
        aiq_ship_format(&out, &style, &e, mem);
        at[i] = (size_t) (out.pos - out.start);
    }

    *out.pos = '\0';
    p = (char *) text;

    for (i = 0; i < 8; i++) {
        len = strtoul(p, &end, 10);

        if (*end != ' ' || end[1] != '<') {
            break;
        }

        p = end + 1 + len;

        if ((size_t) (p - (char *) text) != at[i]) {
            break;
        }
    }

    ok(i == 8 && *p == '\0', "eight frames");
}


/* not half an event */

static void
test_full(void)
{
    int                type;
    size_t             size, bad;
    aiq_out_t          out;
    aiq_mem_t          mem;
    aiq_ship_event_t   e;
    aiq_ship_style_t   style;

    (void) event(&e, LINE ",\"user\":\"alice\"}");

    for (type = AIQ_SHIP_SYSLOG; type <= AIQ_SHIP_OTLP; type++) {
        style_init(&style, (aiq_ship_type_e) type);
        bad = 0;

        for (size = 0; size < 150; size++) {
            mem.pos = room;
            mem.end = room + sizeof(room);

            aiq_out_init(&out, text, size);
            aiq_ship_format(&out, &style, &e, mem);
            bad += !out.failed;
        }

        ok(bad == 0, "no room: %d", type);
    }
}


/* the record in the documentation, in every format */

static void
test_samples(int print)
{
    int                type;
    char              *doc_text;
    aiq_mem_t          mem;
    aiq_out_t          out;
    aiq_crypto_t      *c;
    aiq_ship_event_t   e;
    aiq_ship_style_t   style;

    static const char  line[] =
        "{\"v\":1,\"seq\":42,\"prev\":\"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b"
        "2b0b822cd15d6c15b0f00a08\",\"t\":\"INTENT\",\"ts\":\"2026-11-21T02:00:"
        "00.123456Z\",\"inst\":\"5f1c2d3e.1\",\"w\":0,\"rid\":\"000102030405060"
        "708090a0b0c0d0e0f\",\"org\":\"example\",\"agent\":\"ops\",\"user\":\""
        "alice\",\"mcp\":\"infra-mcp\",\"http\":\"POST\",\"method\":\"tools/cal"
        "l\",\"tool\":\"infra.restart\",\"verdict\":\"DENY\",\"reason\":\"STEP_"
        "USED\",\"src\":\"192.0.2.10\"}";

    doc_text = slurp("docs/ship.md", NULL);
    c = aiq_crypto_new();

    for (type = AIQ_SHIP_SYSLOG; type <= AIQ_SHIP_OTLP; type++) {
        style_init(&style, (aiq_ship_type_e) type);
        style.lines = 1;

        (void) event(&e, line);
        (void) aiq_merkle_leaf(c, e.line, leaf);
        e.seq = 42;

        mem.pos = room;
        mem.end = room + sizeof(room);

        aiq_out_init(&out, text, sizeof(text) - 1);
        aiq_ship_format_begin(&out, &style);
        aiq_ship_format(&out, &style, &e, mem);
        aiq_ship_format_end(&out, &style);

        if (out.pos > out.start && out.pos[-1] == '\n') {
            out.pos--;
        }

        *out.pos = '\0';

        if (print) {
            printf("%s\n", (char *) text);
            continue;
        }

        ok(doc_text && strstr(doc_text, (char *) text) != NULL,
           "docs/ship.md has the sample %d", type);
    }

    memset(leaf, 0, sizeof(leaf));
    aiq_crypto_free(c);
    free(doc_text);
}


int
main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "sample") == 0) {
        test_samples(1);
        return 0;
    }

    test_samples(0);
    test_syslog();
    test_syslog_values();
    test_severity();
    test_json();
    test_frames();
    test_full();

    return done_testing();
}
