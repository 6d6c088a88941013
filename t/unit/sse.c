
/*
 * Copyright (C) ngx_armoriq authors
 */


#include "sse.h"
#include "tap.h"


/* pieces that a stream is cut into, each behind its kind: P or E */

typedef struct {
    const char  *what;
    const char  *stream;
    const char  *pieces;
} cut_case_t;

typedef struct {
    const char  *what;
    const char  *event;
    unsigned     lines;
    const char  *data;
    const char  *written;     /* with "1\n2" as data */
} data_case_t;


static size_t cut(const char *s, size_t len, size_t step, char *out);
static void test_cut(void);
static void test_splits(void);
static void test_held(void);
static void test_data(void);


#define MARK  "\xef\xbb\xbf"


static const cut_case_t  cuts[] = {

    { "nothing", "", "" },
    { "an event", "data: x\n\n", "E[data: x\n\n]" },
    { "two", "data: x\n\ndata: y\n\n", "E[data: x\n\n]E[data: y\n\n]" },
    { "one that has not ended", "data: x\n", "M[data: x\n]" },
    { "a comment", ": x\n\n", "P[: x\n\n]" },
    { "blank lines", "\n\n\n", "P[\n]P[\n]P[\n]" },
    { "CRLF", "data: x\r\n\r\ndata: y\r\n\r\n",
      "E[data: x\r\n\r\n]E[data: y\r\n\r\n]" },
    { "CR", "data: x\r\rdata: y\r\r", "E[data: x\r\r]E[data: y\r\r]" },
    { "all of them", "data: x\r\ndata: y\rid: 1\n\r\ndata: z\n\n",
      "E[data: x\r\ndata: y\rid: 1\n\r\n]E[data: z\n\n]" },
    { "LF and CR are two lines", "data: x\n\rdata: y\n\n",
      "E[data: x\n\r]E[data: y\n\n]" },
    { "no colon", "data\n\n", "E[data\n\n]" },
    { "no value", "data:\n\n", "E[data:\n\n]" },
    { "other fields", "id: data\ndata2: x\ndat: y\n data: z\nDATA: x\n\n",
      "P[id: data\ndata2: x\ndat: y\n data: z\nDATA: x\n\n]" },
    { "a comment that looks like data", ":data: x\n\n",
      "P[:data: x\n\n]" },
    { "data behind others", "event: x\n: y\ndata: z\n\n",
      "E[event: x\n: y\ndata: z\n\n]" },
    { "a byte order mark", MARK "data: x\n\n", "P[" MARK "]E[data: x\n\n]" },
    { "one that comes later", "\n" MARK "data: x\n\n",
      "P[\n]P[" MARK "data: x\n\n]" },
    { "two of them", MARK MARK "data: x\n\n",
      "P[" MARK "]P[" MARK "data: x\n\n]" },
    { "a part of one", "\xef\xbb" "data: x\n\n",
      "P[\xef\xbb" "data: x\n\n]" },
    { "a part of one alone", "\xef\xbb\n\n", "P[\xef\xbb\n\n]" },
    { "one and no more", MARK "\n", "P[" MARK "]P[\n]" }
};


/* the stream in buffers of step bytes; what was taken, joined to pieces */

static size_t
cut(const char *s, size_t len, size_t step, char *out)
{
    char       *p;
    size_t      i, n, end, begin;
    aiq_sse_e   what;
    aiq_sse_t   sse;

    memset(&sse, 0, sizeof(sse));

    p = out;
    begin = 0;
    what = AIQ_SSE_MORE;

    for (i = 0; i < len; i = end) {

        end = (len - i < step) ? len : i + step;

        while (i < end) {
            n = aiq_sse_feed(&sse, (const unsigned char *) s + i, end - i,
                             &what);

            if (n == 0 || n > end - i) {
                return 0;
            }

            i += n;

            if (what == AIQ_SSE_MORE) {

                if (i != end) {
                    return 0;
                }

                continue;
            }

            /* the other half of a CRLF is a piece of its own */

            if (p > out && i - begin == 1 && s[begin] == '\n' && begin
                && s[begin - 1] == '\r' && what == AIQ_SSE_PASS)
            {
                p[-1] = '\n';
                *p++ = ']';

            } else {
                p += sprintf(p, "%c[%.*s]", what == AIQ_SSE_EVENT ? 'E' : 'P',
                             (int) (i - begin), s + begin);
            }

            begin = i;
        }
    }

    if (begin < len) {
        p += sprintf(p, "M[%.*s]", (int) (len - begin), s + begin);
    }

    *p = '\0';

    return (size_t) (p - out) + 1;
}


static void
test_cut(void)
{
    char    out[1024];
    size_t  i;

    for (i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {

        if (!ok(cut(cuts[i].stream, strlen(cuts[i].stream), 1024, out)
                && strcmp(out, cuts[i].pieces) == 0, "%s", cuts[i].what))
        {
            diag("%s", out);
        }
    }
}


/* a buffer may end anywhere */

static void
test_splits(void)
{
    char    out[1024];
    size_t  i, step, len, bad;

    for (i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {

        len = strlen(cuts[i].stream);
        bad = 0;

        for (step = 1; step <= len; step++) {

            if (!cut(cuts[i].stream, len, step, out)
                || strcmp(out, cuts[i].pieces) != 0)
            {
                bad = step;
                diag("%zu: %s", step, out);
            }
        }

        ok(bad == 0, "in pieces: %s", cuts[i].what);
    }
}


/* only what may be data waits */

static void
test_held(void)
{
    size_t      i;
    aiq_sse_e   what;
    aiq_sse_t   sse;

    static const struct {
        const char  *s;
        int          held;
    }  cases[] = {
        { "", 0 }, { ": x", 0 }, { ": x\n", 0 }, { "id: 5\nevent", 0 },
        { "d", 1 }, { "dat", 1 }, { "data", 1 }, { "data:", 1 },
        { "datab", 0 }, { "dab", 0 }, { "data\n", 1 }, { "data: x\nid", 1 },
        { "data: x\n\n", 0 }, { "data: x\n\nid", 0 }, { "x\nda", 1 },
        { MARK, 0 }, { "\xef", 0 }, { MARK "d", 1 }, { "\xef" "data: x", 0 }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const unsigned char  *p, *last;

        memset(&sse, 0, sizeof(sse));

        p = (const unsigned char *) cases[i].s;
        last = p + strlen(cases[i].s);

        while (p < last) {
            p += aiq_sse_feed(&sse, p, (size_t) (last - p), &what);
        }

        ok(aiq_sse_held(&sse) == cases[i].held, "held or not: case %zu", i);
    }
}


static void
test_data(void)
{
    char        buf[256], text[256];
    size_t      i;
    unsigned    n;
    aiq_out_t   out;
    aiq_str_t   event, data;

    static const data_case_t  cases[] = {

        { "one line", "data: x\n\n", 1, "x", "data: 1\ndata: 2\n\n" },
        { "no blank", "data:x\n\n", 1, "x", "data: 1\ndata: 2\n\n" },
        { "two blanks", "data:  x \n\n", 1, " x ", "data: 1\ndata: 2\n\n" },
        { "many lines", "data: x\ndata\ndata:\ndata:y\n\n", 4, "x\n\n\ny",
          "data: 1\ndata: 2\n\n" },
        { "CRLF", "id: 1\r\ndata: x\r\nretry: 2\r\ndata: y\r\n\r\n", 2,
          "x\ny", "id: 1\r\ndata: 1\r\ndata: 2\r\nretry: 2\r\n\r\n" },
        { "CR", "data: x\rdata: y\r\r", 2, "x\ny",
          "data: 1\rdata: 2\r\r" },
        { "the end of the first is taken", "data: x\r\ndata: y\n\n", 2,
          "x\ny", "data: 1\r\ndata: 2\r\n\n" },
        { "no end", "data: x", 1, "x", "data: 1\ndata: 2" },
        { "none", ": x\n\n", 0, "", ": x\n\n" },
        { "no value", "data\n\n", 1, "", "data: 1\ndata: 2\n\n" },
        { "the other half of a CRLF in front", "\ndata: x\n\n", 1, "x",
          "\ndata: 1\ndata: 2\n\n" }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {

        event = aiq_cstr(cases[i].event);

        n = aiq_sse_data(event, NULL, &data);

        ok(n == cases[i].lines
           && (n > 1 ? data.len == 0 : aiq_str_is(data, cases[i].data)),
           "lines of data: %s", cases[i].what);

        n = aiq_sse_data(event, (unsigned char *) buf, &data);

        ok(n == cases[i].lines && aiq_str_is(data, cases[i].data),
           "data: %s", cases[i].what);

        /* room for exactly what the header promises to need at most */

        aiq_out_init(&out, text, event.len + 3 + 8 * 2);
        aiq_sse_write(&out, event, aiq_cstr("1\n2"));

        ok(!out.failed && aiq_str_is(aiq_out_done(&out), cases[i].written),
           "other data: %s", cases[i].what);
    }

    aiq_out_init(&out, text, sizeof(text));
    aiq_sse_write(&out, aiq_cstr("data: x\n\n"), aiq_cstr(""));

    ok(aiq_str_is(aiq_out_done(&out), "data: \n\n"), "no data");
}


int
main(void)
{
    test_cut();
    test_splits();
    test_held();
    test_data();

    return done_testing();
}
