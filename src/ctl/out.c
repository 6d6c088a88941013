
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What reaches the terminal, and what reaches a program behind a pipe.
 */


#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl.h"


#define AIQ_CTL_MESSAGE  2048


static void aiq_ctl_out_escape(aiq_out_t *out, aiq_str_t s, int document);
static int aiq_ctl_out_hidden(uint32_t code);
static void aiq_ctl_out_message(const aiq_ctl_t *ctl, const char *reason,
    const char *text);


/*
 * Controls of both sets, invalid bytes, and the characters that reorder or
 * hide text: what is shown is what is there.  A JSON document that is shown
 * so is still the same document.
 */

static void
aiq_ctl_out_escape(aiq_out_t *out, aiq_str_t s, int document)
{
    char                  buf[16];
    size_t                n;
    uint32_t              code;
    const unsigned char  *p, *last;

    p = s.data;
    last = p + s.len;

    while (p < last) {
        n = aiq_utf8(p, (size_t) (last - p), &code);

        if (n == 0) {
            (void) snprintf(buf, sizeof(buf), "\\x%02x", *p);
            aiq_out_str(out, buf);
            p++;
            continue;
        }

        if (!aiq_ctl_out_hidden(code)
            || (document && (code == '\n' || code == '\t' || code == '\r')))
        {
            aiq_out_mem(out, p, n);
            p += n;
            continue;
        }

        if (code < 0x10000) {
            (void) snprintf(buf, sizeof(buf), "\\u%04x", (unsigned) code);

        } else {
            code -= 0x10000;
            (void) snprintf(buf, sizeof(buf), "\\u%04x\\u%04x",
                            0xd800 + (unsigned) (code >> 10),
                            0xdc00 + (unsigned) (code & 0x3ff));
        }

        aiq_out_str(out, buf);
        p += n;
    }
}


static int
aiq_ctl_out_hidden(uint32_t code)
{
    return code < 0x20
           || (code >= 0x7f && code < 0xa0)
           || code == 0xad
           || code == 0x61c
           || (code >= 0x200b && code <= 0x200f)
           || (code >= 0x2028 && code <= 0x202e)
           || (code >= 0x2060 && code <= 0x206f)
           || code == 0xfeff
           || code >= 0xe0000;
}


static void
aiq_ctl_out_message(const aiq_ctl_t *ctl, const char *reason,
    const char *text)
{
    char       buf[AIQ_CTL_MESSAGE * 6 + 1];
    json_t    *o;
    aiq_out_t  out;

    /* six bytes for one at worst, so it fits */

    aiq_out_init(&out, buf, sizeof(buf) - 1);
    aiq_ctl_out_escape(&out, aiq_cstr(text), 0);
    *out.pos = '\0';

    fprintf(stderr, "armoriqctl: %s\n", buf);

    if (!ctl->json) {
        return;
    }

    o = json_object();

    if (o) {
        (void) json_object_set_new(o, "ok", json_false());
        (void) json_object_set_new(o, "reason", json_string(reason));
        (void) json_object_set_new(o, "message",
                                   aiq_ctl_jstr(aiq_cstr(text)));

        (void) json_dumpf(o, stdout, JSON_INDENT(2)|JSON_ENSURE_ASCII);
        (void) putchar('\n');

        json_decref(o);
    }
}


int
aiq_ctl_usage(const aiq_ctl_t *ctl, const char *fmt, ...)
{
    char     text[AIQ_CTL_MESSAGE];
    va_list  args;

    va_start(args, fmt);
    (void) vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    aiq_ctl_out_message(ctl, "USAGE", text);

    return AIQ_CTL_USAGE;
}


int
aiq_ctl_no(const aiq_ctl_t *ctl, aiq_rc_t rc, const char *fmt, ...)
{
    int      n;
    char     text[AIQ_CTL_MESSAGE];
    va_list  args;

    va_start(args, fmt);
    n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    if (aiq_is_denied(rc) && n > 0 && (size_t) n < sizeof(text)) {
        (void) snprintf(text + n, sizeof(text) - (size_t) n, " (%s)",
                        aiq_reason(rc));
    }

    aiq_ctl_out_message(ctl, (rc == AIQ_DECLINED) ? "NOT_FOUND"
                             : (rc == AIQ_OK) ? "NO" : aiq_reason(rc), text);

    return AIQ_CTL_NO;
}


int
aiq_ctl_fault(const aiq_ctl_t *ctl, aiq_rc_t rc, const char *fmt, ...)
{
    char     text[AIQ_CTL_MESSAGE];
    va_list  args;

    va_start(args, fmt);
    (void) vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    aiq_ctl_out_message(ctl, aiq_reason(rc), text);

    return AIQ_CTL_FAULT;
}


int
aiq_ctl_fail(aiq_ctl_t *ctl, aiq_rc_t rc, const char *what)
{
    const char  *text, *sep;

    text = ctl->err.text[0] ? ctl->err.text : aiq_message(rc);
    sep = what ? ": " : "";
    what = what ? what : "";

    if (rc == AIQ_DECLINED || aiq_is_denied(rc)) {
        return aiq_ctl_no(ctl, rc, "%s%s%s", what, sep, text);
    }

    return aiq_ctl_fault(ctl, rc, "%s%s%s (%s)", what, sep, text,
                         aiq_reason(rc));
}


void
aiq_ctl_note(const char *fmt, ...)
{
    char       text[AIQ_CTL_MESSAGE];
    char       buf[AIQ_CTL_MESSAGE * 6 + 1];
    va_list    args;
    aiq_out_t  out;

    va_start(args, fmt);
    (void) vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    aiq_out_init(&out, buf, sizeof(buf) - 1);
    aiq_ctl_out_escape(&out, aiq_cstr(text), 0);
    *out.pos = '\0';

    fprintf(stderr, "armoriqctl: %s\n", buf);
}


const char *
aiq_ctl_esc(aiq_ctl_t *ctl, aiq_str_t s)
{
    char       *p;
    aiq_out_t   out;

    p = aiq_mem_alloc(&ctl->mem, s.len * 6 + 1);

    if (p == NULL) {
        ctl->oom = 1;
        return "";
    }

    aiq_out_init(&out, p, s.len * 6);
    aiq_ctl_out_escape(&out, s, 0);
    *out.pos = '\0';

    /* what was too much goes back */

    ctl->mem.pos = out.pos + 1;

    return p;
}


int
aiq_ctl_document(aiq_ctl_t *ctl, aiq_str_t text)
{
    char       *p;
    aiq_str_t   s;
    aiq_out_t   out;

    p = aiq_mem_alloc(&ctl->mem, text.len * 6 + 1);

    if (p == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    aiq_out_init(&out, p, text.len * 6);
    aiq_ctl_out_escape(&out, text, 1);

    s = aiq_out_done(&out);

    (void) fwrite(s.data, 1, s.len, stdout);

    if (s.len == 0 || s.data[s.len - 1] != '\n') {
        (void) putchar('\n');
    }

    return AIQ_CTL_OK;
}


const char *
aiq_ctl_time(aiq_ctl_t *ctl, int64_t t, const char *zero)
{
    char       *p;
    time_t      sec;
    struct tm   tm;

    if (t == 0) {
        return zero;
    }

    p = aiq_mem_alloc(&ctl->mem, 32);
    sec = (time_t) t;

    if (p == NULL || t < 0 || t > AIQ_TIME_MAX || gmtime_r(&sec, &tm) == NULL
        || strftime(p, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
    {
        return "invalid time";
    }

    return p;
}


const char *
aiq_ctl_hex(aiq_ctl_t *ctl, const unsigned char *p, size_t len)
{
    char       *buf;
    aiq_out_t   out;

    buf = aiq_mem_alloc(&ctl->mem, len * 2 + 1);

    if (buf == NULL) {
        ctl->oom = 1;
        return "";
    }

    aiq_out_init(&out, buf, len * 2);
    aiq_out_hex(&out, p, len);
    buf[len * 2] = '\0';

    return buf;
}


json_t *
aiq_ctl_jstr(aiq_str_t s)
{
    char       *buf;
    size_t      size;
    json_t     *v;
    aiq_out_t   out;

    /* the writer of the core mends what is not UTF-8 */

    size = s.len * 6 + 2;

    buf = malloc(size);
    if (buf == NULL) {
        return NULL;
    }

    aiq_out_init(&out, buf, size);
    aiq_out_json(&out, s);

    v = json_loadb(buf, aiq_out_done(&out).len,
                   JSON_DECODE_ANY|JSON_ALLOW_NUL, NULL);

    free(buf);

    return v;
}


void
aiq_ctl_jset(aiq_ctl_t *ctl, json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0) {
        ctl->oom = 1;
    }
}


void
aiq_ctl_jadd(aiq_ctl_t *ctl, json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0) {
        ctl->oom = 1;
    }
}


int
aiq_ctl_jprint(aiq_ctl_t *ctl, json_t *value)
{
    int  rc;

    if (value == NULL || ctl->oom) {
        json_decref(value);
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    rc = json_dumpf(value, stdout, JSON_INDENT(2)|JSON_ENSURE_ASCII);

    (void) putchar('\n');

    json_decref(value);

    if (rc != 0) {
        aiq_ctl_note("cannot write the answer");
        return AIQ_CTL_FAULT;
    }

    return AIQ_CTL_OK;
}


int
aiq_ctl_done(aiq_ctl_t *ctl, const char *fmt, ...)
{
    char     text[AIQ_CTL_MESSAGE];
    json_t  *o;
    va_list  args;

    va_start(args, fmt);
    (void) vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    if (!ctl->json) {
        printf("%s\n", aiq_ctl_esc(ctl, aiq_cstr(text)));
        return AIQ_CTL_OK;
    }

    o = json_object();

    aiq_ctl_jset(ctl, o, "ok", json_true());
    aiq_ctl_jset(ctl, o, "message", aiq_ctl_jstr(aiq_cstr(text)));

    return aiq_ctl_jprint(ctl, o);
}
