
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Headers that repeat the body.  Others on the way route by them, so what
 * they say must be what the body says, also where a revision does not ask for
 * them.  Nothing is ever decided by a header.
 */


#include <string.h>

#include "b64.h"
#include "mcp_members.h"


#define AIQ_MCP_NAME_MAX    1024      /* bytes of a name that is repeated */
#define AIQ_MCP_VALUE_MAX   8192      /* bytes of an encoded value */


typedef struct {
    const aiq_json_t       *doc;
    const aiq_mcp_param_t  *param;
    aiq_str_t               value;    /* decoded */
    unsigned                readable:1;
    unsigned                named:1;  /* there is an argument of this name */
    unsigned                said:1;   /* and one with this value */
} aiq_mcp_lookup_t;


static int aiq_mcp_mirror_name(aiq_str_t header, aiq_str_t name);
static int aiq_mcp_mirror_decode(aiq_str_t *header, unsigned char *buf,
    size_t max);
static void aiq_mcp_mirror_find(aiq_mcp_lookup_t *l, uint32_t args);
static int aiq_mcp_mirror_key(aiq_mcp_lookup_t *l, uint32_t key);
static int aiq_mcp_mirror_value(aiq_mcp_lookup_t *l, uint32_t i);
static void aiq_mcp_mirror_integer(aiq_str_t *s);


aiq_rc_t
aiq_mcp_mirror(const aiq_mcp_t *m, const aiq_mcp_ctx_t *x, const char *named,
    int open)
{
    uint32_t                  i;
    aiq_rc_t                  rc;
    aiq_str_t                 name;
    const aiq_mcp_headers_t  *h;

    h = x->headers;

    if (h->method.data == NULL) {

        if (m->modern) {
            return aiq_fail(x->err, AIQ_D_HEADER_MISMATCH, "no Mcp-Method");
        }

    } else if (!aiq_str_eq(aiq_mcp_trim(h->method), m->method)) {
        return aiq_fail(x->err, AIQ_D_HEADER_MISMATCH,
                        "Mcp-Method is not the method of the body");
    }

    if (h->name.data == NULL) {

        if (m->modern && named) {
            return aiq_fail(x->err, AIQ_D_HEADER_MISMATCH, "no Mcp-Name");
        }

        return AIQ_OK;
    }

    if (open) {
        return AIQ_OK;
    }

    rc = AIQ_DECLINED;

    if (named && m->params != AIQ_JSON_NONE) {
        i = aiq_json_get(x->doc, m->params, named);
        rc = aiq_json_string(x->doc, i, x->mem, &name);
    }

    if (aiq_is_fault(rc)) {
        return rc;
    }

    if (rc != AIQ_OK || !aiq_mcp_mirror_name(aiq_mcp_trim(h->name), name)) {
        return aiq_fail(x->err, AIQ_D_HEADER_MISMATCH,
                        "Mcp-Name is not the name in the body");
    }

    return AIQ_OK;
}


static int
aiq_mcp_mirror_name(aiq_str_t header, aiq_str_t name)
{
    unsigned char  buf[aiq_b64_decoded_max(AIQ_MCP_NAME_MAX * 2)];

    return aiq_mcp_mirror_decode(&header, buf, AIQ_MCP_NAME_MAX * 2)
           && aiq_str_eq(header, name);
}


/*
 * =?base64?...?= stands for bytes that do not fit in a header; buf has room
 * for max bytes of it.  0: not readable
 */

static int
aiq_mcp_mirror_decode(aiq_str_t *header, unsigned char *buf, size_t max)
{
    size_t                  len;
    aiq_str_t               s;

    static const aiq_str_t  prefix = aiq_string("=?base64?");

    s = *header;

    if (s.len < prefix.len
        || memcmp(s.data, prefix.data, prefix.len) != 0)
    {
        return 1;
    }

    s.data += prefix.len;
    s.len -= prefix.len;

    /* half a wrapper is no wrapper: such a value stands for itself */

    if (s.len < 2 || memcmp(s.data + s.len - 2, "?=", 2) != 0) {
        return 1;
    }

    s.len -= 2;

    if (s.len > max || aiq_b64_decode(s, buf, &len) != AIQ_OK) {
        return 0;
    }

    header->data = buf;
    header->len = len;

    return 1;
}


aiq_rc_t
aiq_mcp_mirror_params(const aiq_json_t *doc, uint32_t args,
    const aiq_mcp_param_t *params, unsigned n, aiq_err_t *err)
{
    unsigned          i, k;
    unsigned char     buf[aiq_b64_decoded_max(AIQ_MCP_VALUE_MAX)];
    aiq_mcp_lookup_t  l;

    for (i = 0; i < n; i++) {

        for (k = 0; k < i; k++) {

            if (aiq_str_eq(params[k].name, params[i].name)) {
                return aiq_fail(err, AIQ_D_HEADER_DUPLICATE,
                                "Mcp-Param-%.*s is there twice",
                                aiq_mcp_shown(params[i].name));
            }
        }

        memset(&l, 0, sizeof(aiq_mcp_lookup_t));

        l.doc = doc;
        l.param = &params[i];
        l.value = aiq_mcp_trim(params[i].value);
        l.readable = (unsigned) aiq_mcp_mirror_decode(&l.value, buf,
                                                      AIQ_MCP_VALUE_MAX);

        if (args != AIQ_JSON_NONE) {
            aiq_mcp_mirror_find(&l, args);
        }

        if (l.named && !l.said) {
            return aiq_fail(err, AIQ_D_HEADER_MISMATCH,
                            "Mcp-Param-%.*s says what no argument says",
                            aiq_mcp_shown(params[i].name));
        }
    }

    return AIQ_OK;
}


static void
aiq_mcp_mirror_find(aiq_mcp_lookup_t *l, uint32_t args)
{
    uint32_t               i;
    const aiq_json_tok_t  *tok;

    tok = l->doc->tok;

    for (i = args + 1; i < tok[args].next; i++) {

        if (tok[i].type == AIQ_JSON_STRING && (tok[i].flags & AIQ_JSON_KEY)) {

            if (aiq_mcp_mirror_key(l, i)) {
                l->named = 1;
            }

        } else if (l->readable && aiq_mcp_mirror_value(l, i)) {
            l->said = 1;
        }
    }
}


/* a header's name has no case: it comes in lower case, keys may not */

static int
aiq_mcp_mirror_key(aiq_mcp_lookup_t *l, uint32_t key)
{
    uint32_t              code;
    const unsigned char  *p, *last, *q, *end;

    p = l->doc->text.data + l->doc->tok[key].pos;
    last = p + l->doc->tok[key].len;
    q = l->param->name.data;
    end = q + l->param->name.len;

    while (p < last && q < end) {
        code = aiq_json_code(&p, last);

        if (code >= 'A' && code <= 'Z') {
            code |= 0x20;
        }

        if (code != *q++) {
            return 0;
        }
    }

    return p == last && q == end;
}


static int
aiq_mcp_mirror_value(aiq_mcp_lookup_t *l, uint32_t i)
{
    aiq_str_t  a, b;

    switch (aiq_json_type(l->doc, i)) {

    case AIQ_JSON_STRING:
        return aiq_json_is_str(l->doc, i, l->value);

    case AIQ_JSON_NUMBER:
        a = aiq_json_raw(l->doc, i);
        b = l->value;

        aiq_mcp_mirror_integer(&a);
        aiq_mcp_mirror_integer(&b);

        return aiq_str_eq(a, b);

    case AIQ_JSON_TRUE:
    case AIQ_JSON_FALSE:
        return aiq_str_eq(aiq_json_raw(l->doc, i), l->value);

    default:
        return 0;
    }
}


/* 42.0 and 42 are equal (MCP 2026-07-28, "Server Validation") */

static void
aiq_mcp_mirror_integer(aiq_str_t *s)
{
    size_t                i;
    const unsigned char  *dot;

    dot = s->len ? memchr(s->data, '.', s->len) : NULL;

    if (dot == NULL || dot == s->data + s->len - 1) {
        return;
    }

    for (i = (size_t) (dot - s->data) + 1; i < s->len; i++) {
        if (s->data[i] != '0') {
            return;
        }
    }

    s->len = (size_t) (dot - s->data);
}


aiq_str_t
aiq_mcp_trim(aiq_str_t s)
{
    while (s.len && (s.data[0] == ' ' || s.data[0] == '\t')) {
        s.data++;
        s.len--;
    }

    while (s.len
           && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
    {
        s.len--;
    }

    return s;
}
