
/*
 * Copyright (C) ngx_armoriq authors
 *
 * A stream, cut where the first byte says: its events must be those of the
 * stream in one buffer, and data that is written back must be read again.
 */


#include <stdlib.h>
#include <string.h>

#include "sse.h"


#define PIECES  4096

#define check(x)                                                              \
    do {                                                                      \
        if (!(x)) {                                                           \
            abort();                                                          \
        }                                                                     \
    } while (0)


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t fuzz_cut(const uint8_t *data, size_t size, size_t step,
    size_t *ends);
static void fuzz_event(aiq_str_t event);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t     i, n, from, ends[PIECES], again[PIECES];
    aiq_str_t  event;

    if (size < 2 || size > PIECES) {
        return 0;
    }

    n = fuzz_cut(data + 1, size - 1, size, ends);

    check(fuzz_cut(data + 1, size - 1, (size_t) data[0] % 16 + 1, again)
          == n);
    check(memcmp(ends, again, n * sizeof(size_t)) == 0);

    from = 0;

    for (i = 0; i < n; i++) {
        event.data = data + 1 + from;
        event.len = ends[i] - from;

        fuzz_event(event);

        from = ends[i];
    }

    return 0;
}


/*
 * Where events with data end; an LF that comes after its CR belongs to them.
 * The end of what is left is the last one.
 */

static size_t
fuzz_cut(const uint8_t *data, size_t size, size_t step, size_t *ends)
{
    size_t      i, n, end, taken;
    aiq_sse_e   what;
    aiq_sse_t   sse;

    memset(&sse, 0, sizeof(sse));

    n = 0;

    for (i = 0; i < size; i = end) {
        end = (size - i < step) ? size : i + step;

        while (i < end) {
            taken = aiq_sse_feed(&sse, data + i, end - i, &what);

            check(taken > 0 && taken <= end - i);

            i += taken;

            check(what != AIQ_SSE_MORE || i == end);
            check(what == AIQ_SSE_MORE || !aiq_sse_held(&sse));

            if (what == AIQ_SSE_EVENT) {
                ends[n++] = i + (i < size && data[i] == '\n'
                                 && data[i - 1] == '\r');
            }
        }
    }

    if (n == 0 || ends[n - 1] < size) {
        ends[n++] = size;
    }

    return n;
}


static void
fuzz_event(aiq_str_t event)
{
    size_t                  i, lf;
    unsigned                n;
    aiq_out_t               out;
    aiq_str_t               text, again;
    static unsigned char    buf[PIECES], more[PIECES];
    static unsigned char    written[PIECES * 10];

    n = aiq_sse_data(event, buf, &text);

    check(text.len <= event.len);
    check(n || text.len == 0);

    lf = 0;

    for (i = 0; i < text.len; i++) {
        check(text.data[i] != '\r');
        lf += (text.data[i] == '\n');
    }

    check(n == 0 || lf == n - 1);

    aiq_out_init(&out, written, event.len + text.len + 8 * (lf + 1));
    aiq_sse_write(&out, event, text);

    check(!out.failed);

    if (aiq_out_done(&out).len > sizeof(more)) {
        return;
    }

    check(aiq_sse_data(aiq_out_done(&out), more, &again) == n);
    check(aiq_str_eq(text, again));
}
