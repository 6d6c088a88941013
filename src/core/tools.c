
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <stdlib.h>
#include <string.h>

#include "mcp.h"
#include "tools.h"


static aiq_rc_t aiq_tools_name(const aiq_json_t *doc, uint32_t i,
    aiq_mem_t *mem, aiq_str_t *name, aiq_err_t *err);
static int aiq_tools_cmp(const void *a, const void *b);


aiq_rc_t
aiq_tools_read(aiq_tools_t *tools, const aiq_json_t *doc, aiq_mem_t *mem,
    aiq_err_t *err)
{
    uint32_t  array, i, k;
    aiq_rc_t  rc;

    memset(tools, 0, sizeof(aiq_tools_t));

    array = 0;

    if (aiq_json_type(doc, array) == AIQ_JSON_OBJECT) {
        i = aiq_json_get(doc, 0, "result");
        array = aiq_json_get(doc, i != AIQ_JSON_NONE ? i : 0, "tools");
    }

    if (aiq_json_type(doc, array) != AIQ_JSON_ARRAY) {
        return aiq_fail(err, AIQ_D_REQUEST_INVALID,
                        "neither an array of names nor an answer of "
                        "tools/list");
    }

    k = doc->tok[array].n;

    if (k == 0 || k > AIQ_TOOLS_MAX) {
        return aiq_fail(err, AIQ_D_REQUEST_INVALID,
                        "%u tools, not 1 to %d", k, AIQ_TOOLS_MAX);
    }

    tools->names = aiq_mem_calloc(mem, k * sizeof(aiq_str_t));

    if (tools->names == NULL) {
        return AIQ_E_NO_MEMORY;
    }

    for (i = aiq_json_first(doc, array);
         i != AIQ_JSON_NONE;
         i = aiq_json_next(doc, array, i))
    {
        rc = aiq_tools_name(doc, i, mem, &tools->names[tools->n], err);

        if (rc != AIQ_OK) {
            return rc;
        }

        tools->n++;
    }

    qsort(tools->names, tools->n, sizeof(aiq_str_t), aiq_tools_cmp);

    for (i = 1; i < tools->n; i++) {

        if (aiq_str_eq(tools->names[i - 1], tools->names[i])) {
            return aiq_fail(err, AIQ_D_REQUEST_INVALID,
                            "the tool \"%.*s\" is there twice",
                            (int) tools->names[i].len,
                            (const char *) tools->names[i].data);
        }
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_tools_name(const aiq_json_t *doc, uint32_t i, aiq_mem_t *mem,
    aiq_str_t *name, aiq_err_t *err)
{
    aiq_rc_t  rc;

    if (aiq_json_type(doc, i) == AIQ_JSON_OBJECT) {
        i = aiq_json_get(doc, i, "name");
    }

    rc = aiq_json_string(doc, i, mem, name);

    if (aiq_is_fault(rc)) {
        return rc;
    }

    if (rc != AIQ_OK || !aiq_mcp_tool_ok(*name)) {
        return aiq_fail(err, AIQ_D_REQUEST_INVALID,
                        "the name of a tool is not 1 to %d visible ASCII "
                        "characters", AIQ_MCP_TOOL_MAX);
    }

    return AIQ_OK;
}


static int
aiq_tools_cmp(const void *a, const void *b)
{
    int               rc;
    size_t            len;
    const aiq_str_t  *x, *y;

    x = a;
    y = b;

    len = (x->len < y->len) ? x->len : y->len;

    rc = memcmp(x->data, y->data, len);

    return rc ? rc : (x->len > y->len) - (x->len < y->len);
}


aiq_rc_t
aiq_tools_get(aiq_store_txn_t *txn, aiq_str_t org, aiq_str_t server,
    aiq_tools_t *tools, aiq_mem_t *mem)
{
    aiq_rc_t    rc;
    aiq_str_t   text;
    aiq_json_t  doc;

    memset(tools, 0, sizeof(aiq_tools_t));

    rc = aiq_store_get(txn, org, AIQ_STORE_TOOLS, server, &text);

    if (rc == AIQ_OK) {
        rc = aiq_mem_dup(mem, text, &text);
    }

    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_json_parse(&doc, text, AIQ_JSON_DEPTH, mem, NULL);

    if (rc == AIQ_D_JSON_TOO_LARGE) {
        return AIQ_E_NO_MEMORY;
    }

    if (rc == AIQ_OK) {
        rc = aiq_tools_read(tools, &doc, mem, NULL);
    }

    return aiq_is_denied(rc) ? AIQ_E_STORE_CORRUPT : rc;
}


aiq_rc_t
aiq_tools_put(aiq_store_txn_t *txn, aiq_str_t org, aiq_str_t server,
    const aiq_tools_t *tools, aiq_mem_t *mem, aiq_err_t *err)
{
    void       *buf;
    size_t      size;
    uint32_t    i;
    aiq_out_t   out;

    if (!aiq_name_ok(server) || tools->n == 0) {
        return aiq_fail(err, AIQ_E_INTERNAL, "a server and its tools");
    }

    /* visible ASCII: '"' and '\' alone are escaped */

    size = (size_t) tools->n * (2 * AIQ_MCP_TOOL_MAX + 3) + 2;
    buf = aiq_mem_alloc(mem, size);

    if (buf == NULL) {
        return AIQ_E_NO_MEMORY;
    }

    aiq_out_init(&out, buf, size);

    for (i = 0; i < tools->n; i++) {
        aiq_out_char(&out, i ? ',' : '[');
        aiq_out_json(&out, tools->names[i]);
    }

    aiq_out_char(&out, ']');

    if (out.failed) {
        return AIQ_E_INTERNAL;
    }

    return aiq_store_put(txn, org, AIQ_STORE_TOOLS, server,
                         aiq_out_done(&out), err);
}


int
aiq_tools_has(const aiq_tools_t *tools, aiq_str_t name)
{
    return bsearch(&name, tools->names, tools->n, sizeof(aiq_str_t),
                   aiq_tools_cmp) != NULL;
}
