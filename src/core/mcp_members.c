
/*
 * Copyright (C) ngx_armoriq authors
 */


#include "mcp_members.h"


/* longer keys, as written, can not be any key that we know */

#define AIQ_MCP_KEY_MAX    512


static uint32_t aiq_mcp_fold(const unsigned char **p,
    const unsigned char *last);


/* the reader has refused duplicates */

aiq_rc_t
aiq_mcp_members(const aiq_mcp_ctx_t *x, uint32_t obj,
    const aiq_mcp_shape_t *shape, uint32_t *values)
{
    uint32_t        i, k, n;
    aiq_rc_t        rc;
    aiq_str_t       key;
    unsigned char  *pos;

    for (k = 0; k < shape->n; k++) {
        values[k] = AIQ_JSON_NONE;
    }

    pos = x->mem->pos;
    n = 0;

    for (i = aiq_json_first(x->doc, obj);
         i != AIQ_JSON_NONE;
         i = aiq_json_next(x->doc, obj, i))
    {
        /* its number, as its name may be anything */

        n++;

        if (x->doc->tok[i].len <= AIQ_MCP_KEY_MAX) {

            rc = aiq_json_string(x->doc, i, x->mem, &key);
            if (rc != AIQ_OK) {
                return (rc == AIQ_DECLINED) ? AIQ_E_INTERNAL : rc;
            }

            for (k = 0; k < shape->n; k++) {

                if (aiq_str_eq(key, shape->names[k])) {
                    values[k] = i + 1;
                    break;
                }

                if (aiq_mcp_fold_eq(key, shape->names[k])) {
                    return aiq_fail(x->err, AIQ_D_RPC_AMBIGUOUS,
                                    "%s: member %u can be taken for \"%s\"",
                                    shape->what, n, shape->names[k].data);
                }
            }

            x->mem->pos = pos;

            if (k < shape->n) {
                continue;
            }
        }

        if (shape->closed) {
            return aiq_fail(x->err, AIQ_D_RPC_INVALID,
                            "%s: member %u is not known", shape->what, n);
        }
    }

    return AIQ_OK;
}


int
aiq_mcp_fold_eq(aiq_str_t a, aiq_str_t b)
{
    const unsigned char  *p, *q, *plast, *qlast;

    p = a.data;
    q = b.data;
    plast = p + a.len;
    qlast = q + b.len;

    while (p < plast && q < qlast) {
        if (aiq_mcp_fold(&p, plast) != aiq_mcp_fold(&q, qlast)) {
            return 0;
        }
    }

    return p == plast && q == qlast;
}


/*
 * Two characters outside ASCII fold into it: U+017F (long s) and U+212A
 * (Kelvin sign).  Other bytes stand for themselves.
 */

static uint32_t
aiq_mcp_fold(const unsigned char **p, const unsigned char *last)
{
    const unsigned char  *s;

    s = *p;

    if (*s >= 'A' && *s <= 'Z') {
        *p = s + 1;
        return *s | 0x20;
    }

    if (*s == 0xc5 && last - s >= 2 && s[1] == 0xbf) {
        *p = s + 2;
        return 's';
    }

    if (*s == 0xe2 && last - s >= 3 && s[1] == 0x84 && s[2] == 0xaa) {
        *p = s + 3;
        return 'k';
    }

    *p = s + 1;

    return *s;
}


int
aiq_mcp_tool_ok(aiq_str_t tool)
{
    return aiq_mcp_visible(tool, AIQ_MCP_TOOL_MAX);
}


int
aiq_mcp_visible(aiq_str_t s, size_t max)
{
    size_t  i;

    if (s.len == 0 || s.len > max) {
        return 0;
    }

    for (i = 0; i < s.len; i++) {
        if (s.data[i] <= 0x20 || s.data[i] >= 0x7f) {
            return 0;
        }
    }

    return 1;
}
