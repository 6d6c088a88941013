
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <string.h>

#include "jcs.h"


/* what is hashed goes through a buffer of this many bytes */

#define AIQ_JCS_BUFFER     1024

/* digits that every double keeps (DBL_DIG) */

#define AIQ_JCS_DIGITS     15


static void aiq_jcs_value(aiq_out_t *out, const aiq_json_t *doc, uint32_t i,
    aiq_jcs_form_e form);
static void aiq_jcs_object(aiq_out_t *out, const aiq_json_t *doc, uint32_t i,
    aiq_jcs_form_e form, aiq_jcs_skip_pt skip, void *data);
static void aiq_jcs_array(aiq_out_t *out, const aiq_json_t *doc, uint32_t i,
    aiq_jcs_form_e form);
static void aiq_jcs_string(aiq_out_t *out, const aiq_json_t *doc, uint32_t i,
    aiq_jcs_form_e form);
static void aiq_jcs_text(aiq_out_t *out, const unsigned char *p,
    const unsigned char *last, aiq_jcs_form_e form, int escaped);
static void aiq_jcs_escape(aiq_out_t *out, uint32_t code,
    aiq_jcs_form_e form);
static void aiq_jcs_unit(aiq_out_t *out, uint32_t unit);
static void aiq_jcs_literal(aiq_out_t *out, const aiq_json_t *doc,
    uint32_t i);
static int aiq_jcs_is_canonical(const aiq_json_tok_t *t,
    const unsigned char *p);


void
aiq_jcs_write(aiq_out_t *out, const aiq_json_t *doc, uint32_t i,
    aiq_jcs_form_e form)
{
    if (aiq_json_type(doc, i) == 0) {
        out->failed = 1;
        return;
    }

    aiq_jcs_value(out, doc, i, form);
}


void
aiq_jcs_write_object(aiq_out_t *out, const aiq_json_t *doc, uint32_t i,
    aiq_jcs_form_e form, aiq_jcs_skip_pt skip, void *data)
{
    if (aiq_json_type(doc, i) != AIQ_JSON_OBJECT) {
        out->failed = 1;
        return;
    }

    aiq_jcs_object(out, doc, i, form, skip, data);
}


void
aiq_jcs_write_string(aiq_out_t *out, aiq_str_t s, aiq_jcs_form_e form)
{
    size_t  i, n;

    for (i = 0; i < s.len; i += n) {
        n = aiq_utf8(s.data + i, s.len - i, NULL);

        if (n == 0) {
            out->failed = 1;
            return;
        }
    }

    aiq_out_char(out, '"');

    if (s.len) {
        aiq_jcs_text(out, s.data, s.data + s.len, form, 0);
    }

    aiq_out_char(out, '"');
}


aiq_rc_t
aiq_jcs_hash(aiq_crypto_t *c, const aiq_json_t *doc, uint32_t i,
    aiq_jcs_form_e form, unsigned char hash[AIQ_HASH_LEN])
{
    aiq_rc_t       rc;
    aiq_out_t      out;
    unsigned char  buf[AIQ_JCS_BUFFER];

    rc = aiq_sha256_begin(c, &out, buf, sizeof(buf));

    if (rc != AIQ_OK) {
        return rc;
    }

    aiq_jcs_write(&out, doc, i, form);

    rc = aiq_sha256_end(c, &out, hash);

    if (rc != AIQ_OK) {
        return rc;
    }

    /* the hash of a part must not pass for that of the whole */

    return out.failed ? AIQ_E_CRYPTO_FAILED : AIQ_OK;
}


/* as deep as the reader let it be */

static void
aiq_jcs_value(aiq_out_t *out, const aiq_json_t *doc, uint32_t i,
    aiq_jcs_form_e form)
{
    switch (doc->tok[i].type) {

    case AIQ_JSON_OBJECT:
        aiq_jcs_object(out, doc, i, form, NULL, NULL);
        break;

    case AIQ_JSON_ARRAY:
        aiq_jcs_array(out, doc, i, form);
        break;

    case AIQ_JSON_STRING:
        aiq_jcs_string(out, doc, i, form);
        break;

    default:
        aiq_jcs_literal(out, doc, i);
        break;
    }
}


static void
aiq_jcs_object(aiq_out_t *out, const aiq_json_t *doc, uint32_t i,
    aiq_jcs_form_e form, aiq_jcs_skip_pt skip, void *data)
{
    int       comma;
    uint32_t  k;

    comma = 0;

    aiq_out_char(out, '{');

    for (k = doc->tok[i].link; k != AIQ_JSON_NONE; k = doc->tok[k].link) {

        if (skip != NULL && skip(doc, k, data)) {
            continue;
        }

        if (comma) {
            aiq_out_char(out, ',');
        }

        comma = 1;

        aiq_jcs_string(out, doc, k, form);
        aiq_out_char(out, ':');
        aiq_jcs_value(out, doc, k + 1, form);
    }

    aiq_out_char(out, '}');
}


static void
aiq_jcs_array(aiq_out_t *out, const aiq_json_t *doc, uint32_t i,
    aiq_jcs_form_e form)
{
    uint32_t  k, end;

    end = doc->tok[i].next;

    aiq_out_char(out, '[');

    for (k = i + 1; k < end; k = doc->tok[k].next) {

        if (k != i + 1) {
            aiq_out_char(out, ',');
        }

        aiq_jcs_value(out, doc, k, form);
    }

    aiq_out_char(out, ']');
}


static void
aiq_jcs_string(aiq_out_t *out, const aiq_json_t *doc, uint32_t i,
    aiq_jcs_form_e form)
{
    const unsigned char   *p;
    const aiq_json_tok_t  *t;

    t = &doc->tok[i];
    p = doc->text.data + t->pos;

    if (!(t->flags & AIQ_JSON_ESCAPED)
        && (form == AIQ_JCS
            || (!(t->flags & AIQ_JSON_UNICODE)
                && memchr(p, 0x7f, t->len) == NULL)))
    {
        /* nothing that must be escaped, or it would be: take the quotes too */

        aiq_out_mem(out, p - 1, (size_t) t->len + 2);
        return;
    }

    aiq_out_char(out, '"');
    aiq_jcs_text(out, p, p + t->len, form, t->flags & AIQ_JSON_ESCAPED);
    aiq_out_char(out, '"');
}


static void
aiq_jcs_text(aiq_out_t *out, const unsigned char *p,
    const unsigned char *last, aiq_jcs_form_e form, int escaped)
{
    unsigned              top;
    uint32_t              code;
    const unsigned char  *run;

    /* the first byte behind those that are written as they are */

    top = (form == AIQ_JCS) ? 0x100 : 0x7f;

    for ( ;; ) {

        run = p;

        while (p < last && *p >= 0x20 && *p < top && *p != '"' && *p != '\\')
        {
            p++;
        }

        aiq_out_mem(out, run, (size_t) (p - run));

        if (p == last) {
            return;
        }

        if (*p >= 0x80 || (*p == '\\' && escaped)) {
            code = aiq_json_code(&p, last);

        } else {
            code = *p++;
        }

        aiq_jcs_escape(out, code, form);
    }
}


static void
aiq_jcs_escape(aiq_out_t *out, uint32_t code, aiq_jcs_form_e form)
{
    unsigned char  utf8[4];

    /* what RFC 8785 3.2.2.2 and Python agree upon; U+000B has no letter */

    static const char  letters[] = "btn-fr";

    if (code >= 0x08 && code <= 0x0d && code != 0x0b) {
        aiq_out_char(out, '\\');
        aiq_out_char(out, letters[code - 0x08]);
        return;
    }

    if (code == '"' || code == '\\') {
        aiq_out_char(out, '\\');
        aiq_out_char(out, code);
        return;
    }

    if (code < 0x20) {
        aiq_jcs_unit(out, code);
        return;
    }

    if (code < 0x7f) {
        aiq_out_char(out, code);
        return;
    }

    if (form == AIQ_JCS) {
        aiq_out_mem(out, utf8, aiq_json_encode(code, utf8));
        return;
    }

    if (code >= 0x10000) {
        aiq_jcs_unit(out, 0xd800 + ((code - 0x10000) >> 10));
        code = 0xdc00 + ((code - 0x10000) & 0x3ff);
    }

    aiq_jcs_unit(out, code);
}


static void
aiq_jcs_unit(aiq_out_t *out, uint32_t unit)
{
    char  s[6];

    static const char  hex[] = "0123456789abcdef";

    s[0] = '\\';
    s[1] = 'u';
    s[2] = hex[unit >> 12 & 15];
    s[3] = hex[unit >> 8 & 15];
    s[4] = hex[unit >> 4 & 15];
    s[5] = hex[unit & 15];

    aiq_out_mem(out, s, sizeof(s));
}


static void
aiq_jcs_literal(aiq_out_t *out, const aiq_json_t *doc, uint32_t i)
{
    char                   number[32];
    size_t                 len;
    const unsigned char   *p;
    const aiq_json_tok_t  *t;

    t = &doc->tok[i];
    p = doc->text.data + t->pos;

    if (t->type != AIQ_JSON_NUMBER || aiq_jcs_is_canonical(t, p)) {
        aiq_out_mem(out, p, t->len);
        return;
    }

    len = aiq_jcs_number(aiq_json_number(p, t->len), number);

    if (len == 0) {
        out->failed = 1;
        return;
    }

    aiq_out_mem(out, number, len);
}


/*
 * Numbers that are written as they are, without a conversion: integers, and
 * decimals of so few digits that a double gives them back.  An answer of 0
 * costs time, nothing else.
 */

static int
aiq_jcs_is_canonical(const aiq_json_tok_t *t, const unsigned char *p)
{
    size_t                i, len;
    const unsigned char  *point;

    len = t->len;

    if (*p == '-') {
        p++;
        len--;
    }

    if (t->flags & AIQ_JSON_INTEGER) {

        /* what is left is -0 */

        return *p != '0' || len == t->len;
    }

    /* the point is no digit */

    if (len > AIQ_JCS_DIGITS + 1 || p[len - 1] == '0') {
        return 0;
    }

    point = memchr(p, '.', len);

    if (point == NULL) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if (p[i] == 'e' || p[i] == 'E') {
            return 0;
        }
    }

    if (*p != '0') {
        return 1;
    }

    /* below 0.000001 there is an exponent */

    for (i = 2; i < len && p[i] == '0'; i++) { /* void */ }

    return i < 8;
}
