
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "aiq.h"


typedef struct {
    const char  *reason;
    const char  *message;
    int          status;
} aiq_result_t;


static const aiq_result_t *aiq_result(aiq_rc_t rc);


#define AIQ_X(name, status, text)  { #name, text, status },

static const aiq_result_t  aiq_ok = { "OK", "permitted", 200 };
static const aiq_result_t  aiq_declined = { "NONE", "nothing found", 404 };
static const aiq_result_t  aiq_denials[] = { AIQ_DENIALS(AIQ_X) };
static const aiq_result_t  aiq_faults[] = { AIQ_FAULTS(AIQ_X) };

#undef AIQ_X


static const aiq_result_t *
aiq_result(aiq_rc_t rc)
{
    if (rc == AIQ_OK) {
        return &aiq_ok;
    }

    if (rc == AIQ_DECLINED) {
        return &aiq_declined;
    }

    if (aiq_is_denied(rc)) {
        return &aiq_denials[rc - 1];
    }

    if (rc > AIQ_E_BEGIN_ && rc < AIQ_E_END_) {
        return &aiq_faults[rc - AIQ_E_BEGIN_ - 1];
    }

    /* a value that nobody defined is a fault */

    return &aiq_faults[0];
}


const char *
aiq_reason(aiq_rc_t rc)
{
    return aiq_result(rc)->reason;
}


const char *
aiq_message(aiq_rc_t rc)
{
    return aiq_result(rc)->message;
}


int
aiq_http_status(aiq_rc_t rc)
{
    return aiq_result(rc)->status;
}


int
aiq_rpc_code(aiq_rc_t rc)
{
    switch ((int) rc) {

    case AIQ_D_JSON_INVALID:
    case AIQ_D_JSON_ENCODING:
        return -32700;

    case AIQ_D_JSON_DUPLICATE_KEY:
    case AIQ_D_JSON_NUMBER:
    case AIQ_D_JSON_TOO_DEEP:
    case AIQ_D_JSON_NOT_OBJECT:
    case AIQ_D_BATCH_NOT_ALLOWED:
    case AIQ_D_RPC_INVALID:
    case AIQ_D_RPC_AMBIGUOUS:
        return -32600;

    case AIQ_D_RPC_METHOD:
        return -32601;

    case AIQ_D_RPC_PARAMS:
    case AIQ_D_TOOL_UNKNOWN:
        return -32602;

    case AIQ_D_HEADER_MISMATCH:
        return -32020;

    case AIQ_D_PROTOCOL_VERSION:
        return -32022;

    default:
        return aiq_http_status(rc);
    }
}


aiq_rc_t
aiq_fail(aiq_err_t *err, aiq_rc_t rc, const char *fmt, ...)
{
    va_list  args;

    if (err == NULL) {
        return rc;
    }

    err->rc = rc;

    va_start(args, fmt);

    if (vsnprintf(err->text, sizeof(err->text), fmt, args) < 0) {
        err->text[0] = '\0';
    }

    va_end(args);

    return rc;
}


void *
aiq_mem_alloc(aiq_mem_t *mem, size_t size)
{
    size_t          pad;
    unsigned char  *p;

    pad = (size_t) (-(uintptr_t) mem->pos & 15);

    if ((size_t) (mem->end - mem->pos) < pad
        || (size_t) (mem->end - mem->pos) - pad < size)
    {
        return NULL;
    }

    p = mem->pos + pad;
    mem->pos = p + size;

    return p;
}


void *
aiq_mem_calloc(aiq_mem_t *mem, size_t size)
{
    void  *p;

    p = aiq_mem_alloc(mem, size);

    if (p != NULL) {
        memset(p, 0, size);
    }

    return p;
}


aiq_rc_t
aiq_mem_dup(aiq_mem_t *mem, aiq_str_t s, aiq_str_t *out)
{
    unsigned char  *p;

    p = aiq_mem_alloc(mem, s.len + 1);
    if (p == NULL) {
        return AIQ_E_NO_MEMORY;
    }

    if (s.len) {
        memcpy(p, s.data, s.len);
    }

    /* for those who print it */

    p[s.len] = '\0';

    out->data = p;
    out->len = s.len;

    return AIQ_OK;
}


void
aiq_out_init(aiq_out_t *out, void *buf, size_t size)
{
    out->start = buf;
    out->pos = buf;
    out->end = out->start + size;
    out->flush = NULL;
    out->ctx = NULL;
    out->failed = 0;
}


void
aiq_out_mem(aiq_out_t *out, const void *p, size_t len)
{
    size_t                n;
    const unsigned char  *s;

    s = p;

    while (len && !out->failed) {

        n = (size_t) (out->end - out->pos);

        if (n == 0) {

            if (out->flush == NULL || out->flush(out) != 0) {
                out->failed = 1;
                return;
            }

            n = (size_t) (out->end - out->pos);
        }

        if (n > len) {
            n = len;
        }

        memcpy(out->pos, s, n);

        out->pos += n;
        s += n;
        len -= n;
    }
}


void
aiq_out_str(aiq_out_t *out, const char *s)
{
    aiq_out_mem(out, s, strlen(s));
}


void
aiq_out_int(aiq_out_t *out, int64_t v)
{
    char      buf[24];
    char     *p;
    uint64_t  u;

    p = buf + sizeof(buf);
    u = (v < 0) ? 0 - (uint64_t) v : (uint64_t) v;

    do {
        *--p = (char) ('0' + u % 10);
        u /= 10;
    } while (u);

    if (v < 0) {
        *--p = '-';
    }

    aiq_out_mem(out, p, (size_t) (buf + sizeof(buf) - p));
}


void
aiq_out_hex(aiq_out_t *out, const unsigned char *p, size_t len)
{
    static const char  hex[] = "0123456789abcdef";

    while (len--) {
        aiq_out_char(out, hex[*p >> 4]);
        aiq_out_char(out, hex[*p & 15]);
        p++;
    }
}


void
aiq_out_json(aiq_out_t *out, aiq_str_t s)
{
    size_t                n;
    const unsigned char  *p, *last, *run;

    static const char  hex[] = "0123456789abcdef";

    if (s.len == 0) {

        /* there may be no data to point to */

        aiq_out_str(out, "\"\"");
        return;
    }

    aiq_out_char(out, '"');

    p = s.data;
    last = p + s.len;
    run = p;

    while (p < last) {

        if (*p >= 0x20 && *p < 0x7f && *p != '"' && *p != '\\') {
            p++;
            continue;
        }

        if (*p >= 0x80) {
            n = aiq_utf8(p, (size_t) (last - p), NULL);

            if (n) {
                p += n;
                continue;
            }
        }

        aiq_out_mem(out, run, (size_t) (p - run));

        if (*p == '"' || *p == '\\') {
            aiq_out_char(out, '\\');
            aiq_out_char(out, *p);

        } else if (*p >= 0x80 || *p == '\0') {
            aiq_out_str(out, "\\ufffd");

        } else {
            aiq_out_str(out, "\\u00");
            aiq_out_char(out, hex[*p >> 4]);
            aiq_out_char(out, hex[*p & 15]);
        }

        run = ++p;
    }

    aiq_out_mem(out, run, (size_t) (p - run));

    aiq_out_char(out, '"');
}


aiq_str_t
aiq_out_done(aiq_out_t *out)
{
    aiq_str_t  s;

    s.data = out->start;
    s.len = (size_t) (out->pos - out->start);

    return s;
}


aiq_str_t
aiq_cstr(const char *s)
{
    aiq_str_t  str;

    str.data = (const unsigned char *) s;
    str.len = (s == NULL) ? 0 : strlen(s);

    return str;
}


int
aiq_str_eq(aiq_str_t a, aiq_str_t b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}


int
aiq_str_is(aiq_str_t a, const char *s)
{
    return aiq_str_eq(a, aiq_cstr(s));
}


int
aiq_name_ok(aiq_str_t s)
{
    size_t                n;
    uint32_t              code;
    const unsigned char  *p, *last;

    if (s.len == 0 || s.len > AIQ_NAME_MAX) {
        return 0;
    }

    p = s.data;
    last = p + s.len;

    while (p < last) {
        n = aiq_utf8(p, (size_t) (last - p), &code);

        if (n == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0)) {
            return 0;
        }

        p += n;
    }

    return 1;
}


size_t
aiq_utf8(const unsigned char *p, size_t len, uint32_t *code)
{
    size_t    n, i;
    uint32_t  c, min;

    if (len == 0) {
        return 0;
    }

    c = p[0];

    if (c < 0x80) {
        n = 1;
        min = 0;

    } else if (c >= 0xc2 && c < 0xe0) {
        n = 2;
        c &= 0x1f;
        min = 0x80;

    } else if (c >= 0xe0 && c < 0xf0) {
        n = 3;
        c &= 0x0f;
        min = 0x800;

    } else if (c >= 0xf0 && c < 0xf5) {
        n = 4;
        c &= 0x07;
        min = 0x10000;

    } else {
        return 0;
    }

    if (len < n) {
        return 0;
    }

    for (i = 1; i < n; i++) {

        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }

        c = c << 6 | (p[i] & 0x3f);
    }

    if (c < min || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) {
        return 0;
    }

    if (code) {
        *code = c;
    }

    return n;
}
