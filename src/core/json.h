
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The one reader for everything that is hashed or decided: RFC 8259 within
 * the I-JSON profile (RFC 7493), as trust.md T16 and T17 want it.  Refused:
 * NUL, BOM, invalid UTF-8, lone surrogates, \u0000, duplicate keys (after
 * unescaping), integers beyond 2^53 - 1, numbers that overflow a double or
 * take more than 400 bytes, text after the value, nesting deeper than the
 * limit.  Also numbers like 1e20, whose canonical form is an integer beyond
 * 2^53 - 1 (1e21 keeps its exponent): the canonical form of what is accepted
 * is accepted.  Noncharacters as U+FFFE pass.
 *
 * The result is a tape of tokens in the caller's memory; the text stays the
 * caller's and must live as long as the tape.  Nothing is allocated.
 */


#ifndef _AIQ_JSON_H_INCLUDED_
#define _AIQ_JSON_H_INCLUDED_


#include "aiq.h"


typedef enum {
    AIQ_JSON_NULL = 1,
    AIQ_JSON_FALSE,
    AIQ_JSON_TRUE,
    AIQ_JSON_NUMBER,
    AIQ_JSON_STRING,
    AIQ_JSON_ARRAY,
    AIQ_JSON_OBJECT
} aiq_json_type_e;

#define AIQ_JSON_ESCAPED   0x01       /* string: has a backslash */
#define AIQ_JSON_UNICODE   0x02       /* string: has a byte >= 0x80 */
#define AIQ_JSON_KEY       0x04       /* string: is a key */
#define AIQ_JSON_INTEGER   0x08       /* number: no fraction, no exponent */

#define AIQ_JSON_NONE      UINT32_MAX /* no such token */


/*
 * Tape order: value; in an object key, value, key, value ...  The root is
 * token 0.
 */

typedef struct {
    uint32_t            pos;       /* of the first byte; strings: behind '"' */
    uint32_t            len;       /* in bytes, as written; strings: no '"' */
    uint32_t            next;      /* the token behind this one and its own;
                                      of a key the one behind its value */
    uint32_t            n;         /* members or elements */
    uint32_t            link;      /* canonical order (RFC 8785 3.2.3): of an
                                      object its first key, of a key the
                                      next key; AIQ_JSON_NONE at the end */
    uint8_t             type;
    uint8_t             flags;
    uint16_t            depth;     /* root: 0 */
} aiq_json_tok_t;

typedef struct {
    aiq_str_t           text;
    aiq_json_tok_t     *tok;
    uint32_t            n;
} aiq_json_t;


/*
 * Reads text into doc.  The tape is taken from mem, exactly as much as was
 * needed; on failure mem is as before.  depth: AIQ_JSON_DEPTH or less, the
 * number of arrays and objects one inside the other.
 *
 * AIQ_D_JSON_..., with err->offset and err->text ("line 3: ..."), or
 * AIQ_D_JSON_TOO_LARGE if the tape does not fit or has more than
 * AIQ_JSON_TOKENS tokens.
 */

aiq_rc_t aiq_json_parse(aiq_json_t *doc, aiq_str_t text, unsigned depth,
    aiq_mem_t *mem, aiq_err_t *err);

/*
 * The same for a text of which we only have to know where its parts are, as
 * somebody else is going to read it: numbers may be of any size, and are not
 * integers for aiq_json_int(); values may have escapes of NUL and of lone
 * surrogates, which aiq_json_string() returns as bytes that are not UTF-8.
 */

aiq_rc_t aiq_json_scan(aiq_json_t *doc, aiq_str_t text, unsigned depth,
    aiq_mem_t *mem, aiq_err_t *err);

/* the value under a key of obj; AIQ_JSON_NONE if absent or not an object */

uint32_t aiq_json_get(const aiq_json_t *doc, uint32_t obj, const char *key);

/* type of a token, 0 for AIQ_JSON_NONE */

int aiq_json_type(const aiq_json_t *doc, uint32_t i);

/* first and next child: of an object its keys (the value is i + 1), of an
   array its elements; AIQ_JSON_NONE at the end; in the order of the text */

uint32_t aiq_json_first(const aiq_json_t *doc, uint32_t i);
uint32_t aiq_json_next(const aiq_json_t *doc, uint32_t parent, uint32_t i);

/* the bytes of a value as written, strings with their quotes */

aiq_str_t aiq_json_raw(const aiq_json_t *doc, uint32_t i);

/* the string or key i is exactly these bytes, after unescaping */

int aiq_json_is(const aiq_json_t *doc, uint32_t i, const char *s);
int aiq_json_is_str(const aiq_json_t *doc, uint32_t i, aiq_str_t s);

/*
 * The string i unescaped: points into the text if there was nothing to
 * unescape, else into mem.  AIQ_DECLINED if i is not a string,
 * AIQ_E_NO_MEMORY.
 */

aiq_rc_t aiq_json_string(const aiq_json_t *doc, uint32_t i, aiq_mem_t *mem,
    aiq_str_t *out);

/* AIQ_DECLINED if i is not an integer literal ("-0", 1.0 and 1e3 are not) */

aiq_rc_t aiq_json_int(const aiq_json_t *doc, uint32_t i, int64_t *v);

/* AIQ_DECLINED if i is not a number */

aiq_rc_t aiq_json_double(const aiq_json_t *doc, uint32_t i, double *v);

/*
 * The nearest double of a number as written, in any locale; infinite if it
 * overflows.  Only for a number in JSON grammar, of 400 bytes at most.
 */

double aiq_json_number(const unsigned char *p, size_t len);

/*
 * Next code point of a string as written, escapes decoded: *p moves on.
 * Only for strings that the reader accepted.
 */

uint32_t aiq_json_code(const unsigned char **p, const unsigned char *last);

/* a code point, no surrogate, as UTF-8; returns the length */

size_t aiq_json_encode(uint32_t code, unsigned char out[4]);


#endif /* _AIQ_JSON_H_INCLUDED_ */
