
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <string.h>

#include "sse.h"


#define AIQ_SSE_FIELD     4           /* bytes of "data" */
#define AIQ_SSE_DATA      5           /* the line is data */
#define AIQ_SSE_OTHER     6           /* it is something else */

#define AIQ_SSE_NO_MARK   4


typedef struct {
    aiq_str_t         raw;            /* with its end */
    aiq_str_t         end;
    aiq_str_t         value;          /* of data */
    unsigned          data:1;
} aiq_sse_line_t;


static void aiq_sse_byte(aiq_sse_t *s, unsigned char c);
static aiq_sse_e aiq_sse_end(aiq_sse_t *s);
static int aiq_sse_line(aiq_str_t *rest, aiq_sse_line_t *line);
static void aiq_sse_write_data(aiq_out_t *out, const aiq_sse_line_t *line,
    aiq_str_t data);


static const unsigned char  aiq_sse_mark[] = { 0xef, 0xbb, 0xbf };
static const unsigned char  aiq_sse_field[] = { 'd', 'a', 't', 'a' };


size_t
aiq_sse_feed(aiq_sse_t *s, const unsigned char *p, size_t len,
    aiq_sse_e *what)
{
    size_t                i;
    unsigned              rest;
    const unsigned char  *q;

    *what = AIQ_SSE_MORE;

    if (len == 0) {
        return 0;
    }

    i = 0;

    if (s->cr) {
        rest = s->rest;

        s->cr = 0;
        s->rest = 0;

        if (p[0] == '\n') {

            /* the other half of a CRLF: nobody has to wait for it */

            i = 1;

            if (rest) {
                *what = AIQ_SSE_PASS;
                return i;
            }
        }
    }

    while (i < len) {

        if (p[i] != '\n' && p[i] != '\r') {
            aiq_sse_byte(s, p[i++]);

            if (s->mark == sizeof(aiq_sse_mark)) {

                /* so that no event begins with it */

                s->mark = AIQ_SSE_NO_MARK;
                *what = AIQ_SSE_PASS;
                return i;
            }

            if (s->line < AIQ_SSE_DATA) {
                continue;
            }

            /* what is in such a line does not matter */

            for (q = p + i; q < p + len && *q != '\n' && *q != '\r'; q++) {
                /* void */
            }

            i = (size_t) (q - p);
            continue;
        }

        *what = aiq_sse_end(s);

        if (p[i++] == '\r') {

            if (i == len) {
                s->cr = 1;
                s->rest = (*what != AIQ_SSE_MORE);

            } else if (p[i] == '\n') {
                i++;
            }
        }

        if (*what != AIQ_SSE_MORE) {
            break;
        }
    }

    return i;
}


/* a byte that ends no line */

static void
aiq_sse_byte(aiq_sse_t *s, unsigned char c)
{
    if (s->mark < sizeof(aiq_sse_mark)) {

        if (c == aiq_sse_mark[s->mark]) {
            s->mark++;
            return;
        }

        /* some of its bytes are none */

        if (s->mark) {
            s->line = AIQ_SSE_OTHER;
        }
    }

    s->mark = AIQ_SSE_NO_MARK;

    if (s->line == AIQ_SSE_FIELD) {
        s->line = (c == ':') ? AIQ_SSE_DATA : AIQ_SSE_OTHER;

    } else if (s->line < AIQ_SSE_FIELD) {
        s->line = (c == aiq_sse_field[s->line]) ? s->line + 1
                                                : AIQ_SSE_OTHER;
    }

    s->data |= (s->line == AIQ_SSE_DATA);
}


static aiq_sse_e
aiq_sse_end(aiq_sse_t *s)
{
    unsigned   line, partial;
    aiq_sse_e  what;

    line = s->line;
    partial = (s->mark && s->mark < sizeof(aiq_sse_mark));

    s->line = 0;
    s->mark = AIQ_SSE_NO_MARK;

    if (line == AIQ_SSE_FIELD) {
        s->data = 1;
    }

    if (line || partial) {
        return AIQ_SSE_MORE;
    }

    what = s->data ? AIQ_SSE_EVENT : AIQ_SSE_PASS;

    s->data = 0;

    return what;
}


int
aiq_sse_held(const aiq_sse_t *s)
{
    return s->data || (s->line && s->line <= AIQ_SSE_FIELD);
}


unsigned
aiq_sse_data(aiq_str_t event, unsigned char *buf, aiq_str_t *data)
{
    unsigned         n;
    unsigned char   *d;
    aiq_sse_line_t   line;

    aiq_str_null(data);

    n = 0;
    d = buf;

    while (aiq_sse_line(&event, &line)) {

        if (!line.data) {
            continue;
        }

        if (n++ == 0) {
            *data = line.value;
        }

        if (buf == NULL) {
            continue;
        }

        if (n > 1) {
            *d++ = '\n';
        }

        if (line.value.len) {
            memcpy(d, line.value.data, line.value.len);
            d += line.value.len;
        }
    }

    if (n > 1) {
        data->data = buf;
        data->len = buf ? (size_t) (d - buf) : 0;
    }

    return n;
}


void
aiq_sse_write(aiq_out_t *out, aiq_str_t event, aiq_str_t data)
{
    int             written;
    aiq_sse_line_t  line;

    written = 0;

    while (aiq_sse_line(&event, &line)) {

        if (!line.data) {
            aiq_out_mem(out, line.raw.data, line.raw.len);
            continue;
        }

        if (!written) {
            written = 1;
            aiq_sse_write_data(out, &line, data);
        }
    }
}


/* a line for each of the data, all with the end that the first one had */

static void
aiq_sse_write_data(aiq_out_t *out, const aiq_sse_line_t *line,
    aiq_str_t data)
{
    aiq_str_t             end;
    const unsigned char  *p, *last, *lf;

    end = line->end;

    if (end.len == 0) {
        aiq_str_set(&end, "\n");
    }

    p = data.data;
    last = p + data.len;

    for ( ;; ) {
        lf = (p < last) ? memchr(p, '\n', (size_t) (last - p)) : NULL;

        aiq_out_str(out, "data: ");
        aiq_out_mem(out, p, (size_t) ((lf ? lf : last) - p));

        if (lf == NULL) {
            break;
        }

        aiq_out_mem(out, end.data, end.len);
        p = lf + 1;
    }

    aiq_out_mem(out, line->end.data, line->end.len);
}


static int
aiq_sse_line(aiq_str_t *rest, aiq_sse_line_t *line)
{
    size_t                n;
    const unsigned char  *p, *last, *end;

    if (rest->len == 0) {
        return 0;
    }

    p = rest->data;
    last = p + rest->len;

    for (end = p; end < last && *end != '\n' && *end != '\r'; end++) {
        /* void */
    }

    n = 0;

    if (end < last) {
        n = (*end == '\r' && last - end > 1 && end[1] == '\n') ? 2 : 1;
    }

    line->raw.data = p;
    line->raw.len = (size_t) (end - p) + n;
    line->end.data = end;
    line->end.len = n;

    rest->data += line->raw.len;
    rest->len -= line->raw.len;

    line->data = (end - p >= AIQ_SSE_FIELD
                  && memcmp(p, aiq_sse_field, AIQ_SSE_FIELD) == 0
                  && (end - p == AIQ_SSE_FIELD || p[AIQ_SSE_FIELD] == ':'));

    aiq_str_null(&line->value);

    if (line->data && end - p > AIQ_SSE_FIELD) {
        p += AIQ_SSE_FIELD + 1;

        /* one blank is not part of it */

        p += (p < end && *p == ' ');

        line->value.data = p;
        line->value.len = (size_t) (end - p);
    }

    return 1;
}
