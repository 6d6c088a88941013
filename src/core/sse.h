
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Event streams (HTML, 9.2.6), cut into events where the bytes allow it: lines
 * end with LF, CR or CRLF, also when a buffer ends in between.  Nothing is
 * allocated and nothing is copied but by the two functions that say so.
 */


#ifndef _AIQ_SSE_H_INCLUDED_
#define _AIQ_SSE_H_INCLUDED_


#include "aiq.h"


typedef enum {
    AIQ_SSE_MORE = 0,         /* all was taken, and nothing has ended */
    AIQ_SSE_PASS,             /* here ends something else than data */
    AIQ_SSE_EVENT             /* here ends an event with data */
} aiq_sse_e;

/* where a stream is; zeroed at its start */

typedef struct {
    unsigned              line;       /* bytes of "data" that fit so far */
    unsigned              mark;       /* bytes of a byte order mark; 4: none */
    unsigned              cr:1;       /* the last byte was CR */
    unsigned              rest:1;     /* and it has ended an event */
    unsigned              data:1;     /* the event has data */
} aiq_sse_t;


/*
 * Takes bytes of the stream, to the end of an event at most: returns how many
 * of them, and in *what, what has come with them.  The event is what was
 * taken since the last one has ended.
 */

size_t aiq_sse_feed(aiq_sse_t *s, const unsigned char *p, size_t len,
    aiq_sse_e *what);

/*
 * 1 if what was taken, and has not ended, may be the beginning of data: the
 * rest must be seen first.  Other bytes can go before their event has ended.
 */

int aiq_sse_held(const aiq_sse_t *s);

/*
 * The data of an event, as a reader would have it.  Of one line it is in the
 * event, of more lines it is put into buf, which has room for event.len
 * bytes; with buf NULL there is no text then.  Returns the number of lines.
 */

unsigned aiq_sse_data(aiq_str_t event, unsigned char *buf, aiq_str_t *data);

/*
 * The event with other data: all else stays byte for byte.  Data with n line
 * feeds needs up to event.len + data.len + 8 * (n + 1) bytes.
 */

void aiq_sse_write(aiq_out_t *out, aiq_str_t event, aiq_str_t data);


#endif /* _AIQ_SSE_H_INCLUDED_ */
