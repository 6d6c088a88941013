
/*
 * Copyright (C) ngx_armoriq authors
 *
 * A body, read as an MCP request and as an /invoke envelope.  Beside memory
 * errors it looks for answers that break a promise of mcp.h.
 */


#include <stdlib.h>
#include <string.h>

#include "mcp.h"


#define MEM_SIZE  (4 * 1024 * 1024)

#define check(x)                                                              \
    do {                                                                      \
        if (!(x)) {                                                           \
            abort();                                                          \
        }                                                                     \
    } while (0)


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_mcp(const aiq_json_t *doc, aiq_mem_t mem);
static void fuzz_mirror(const aiq_mcp_t *m, const aiq_json_t *doc,
    aiq_mem_t mem);
static void fuzz_keys(const aiq_json_t *doc, uint32_t obj, aiq_mem_t mem);
static void fuzz_invoke(const aiq_json_t *doc, aiq_mem_t mem);


static unsigned char  memory[MEM_SIZE];


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    aiq_mem_t   mem;
    aiq_err_t   err;
    aiq_str_t   text;
    aiq_json_t  doc;

    mem.pos = memory;
    mem.end = memory + MEM_SIZE;
    text.data = data;
    text.len = size;

    if (aiq_json_parse(&doc, text, AIQ_JSON_DEPTH, &mem, &err) != AIQ_OK) {
        return 0;
    }

    fuzz_mcp(&doc, mem);
    fuzz_invoke(&doc, mem);

    return 0;
}


static void
fuzz_mcp(const aiq_json_t *doc, aiq_mem_t mem)
{
    aiq_rc_t           rc;
    aiq_mcp_t          m;
    aiq_err_t          err;
    aiq_mcp_headers_t  h;

    memset(&h, 0, sizeof(h));

    rc = aiq_mcp_read(&m, doc, &h, &mem, &err);

    check(rc == AIQ_OK || aiq_is_denied(rc));

    /* an id is always a piece of the body */

    if (m.id.len) {
        check(m.id.data >= doc->text.data
              && m.id.data + m.id.len <= doc->text.data + doc->text.len);
    }

    if (rc == AIQ_D_HEADER_MISMATCH) {
        fuzz_mirror(&m, doc, mem);
    }

    if (rc != AIQ_OK) {
        return;
    }

    check(aiq_json_type(doc, 0) == AIQ_JSON_OBJECT);
    check(aiq_json_is(doc, aiq_json_get(doc, 0, "jsonrpc"), "2.0"));
    check(!m.modern);

    fuzz_keys(doc, 0, mem);
    fuzz_keys(doc, aiq_json_get(doc, 0, "params"), mem);

    switch (m.cls) {

    case AIQ_MCP_CALL:
        check(aiq_str_is(m.method, "tools/call"));
        check(aiq_mcp_tool_ok(m.tool));
        check(aiq_json_is_str(doc, aiq_json_get(doc, aiq_json_get(doc, 0,
                                                "params"), "name"), m.tool));
        check(m.args == AIQ_JSON_NONE
              || aiq_json_type(doc, m.args) == AIQ_JSON_OBJECT);
        break;

    case AIQ_MCP_DISCOVERY:
        check(m.tool.len == 0 && m.args == AIQ_JSON_NONE);
        check(!aiq_str_is(m.method, "tools/call"));
        break;

    case AIQ_MCP_RESPONSE:
        check(m.method.len == 0 && m.id.len && !m.notification);
        break;

    default:
        abort();
    }

    check(m.meta == AIQ_JSON_NONE
          || aiq_json_type(doc, m.meta) == AIQ_JSON_OBJECT);
    check(m.notification == (m.id.len == 0));

    fuzz_mirror(&m, doc, mem);
}


/* headers that say what the body says never change the answer to "no" */

static void
fuzz_mirror(const aiq_mcp_t *m, const aiq_json_t *doc, aiq_mem_t mem)
{
    aiq_rc_t           rc;
    aiq_mcp_t          again;
    aiq_str_t          s;
    aiq_mcp_headers_t  h;

    memset(&h, 0, sizeof(h));

    if (m->method.len) {
        h.method = m->method;
    }

    if (m->tool.len) {
        h.name = m->tool;
    }

    if (m->meta != AIQ_JSON_NONE
        && aiq_json_string(doc, aiq_json_get(doc, m->meta,
                                "io.modelcontextprotocol/protocolVersion"),
                           &mem, &s) == AIQ_OK)
    {
        h.protocol = s;
    }

    rc = aiq_mcp_read(&again, doc, &h, &mem, NULL);

    /* unless the name of the tool looks like an encoded one */

    check(rc == AIQ_OK
          || (rc == AIQ_D_HEADER_MISMATCH && m->tool.len > 2
              && memcmp(m->tool.data, "=?", 2) == 0));
    check(rc != AIQ_OK || again.cls == m->cls);
}


/* no two keys of what was accepted are equal after folding */

static void
fuzz_keys(const aiq_json_t *doc, uint32_t obj, aiq_mem_t mem)
{
    unsigned   n, i;
    uint32_t   k;
    aiq_str_t  keys[32];

    n = 0;

    for (k = aiq_json_first(doc, obj);
         k != AIQ_JSON_NONE && n < 32;
         k = aiq_json_next(doc, obj, k))
    {
        check(aiq_json_string(doc, k, &mem, &keys[n]) == AIQ_OK);

        for (i = 0; i < n; i++) {
            check(!aiq_mcp_fold_eq(keys[i], keys[n]) || obj != 0);
        }

        check(aiq_mcp_fold_eq(keys[n], keys[n]));
        n++;
    }
}


static void
fuzz_invoke(const aiq_json_t *doc, aiq_mem_t mem)
{
    int           type;
    aiq_rc_t      rc;
    aiq_err_t     err;
    aiq_invoke_t  v;

    rc = aiq_invoke_read(&v, doc, &mem, &err);

    check(rc == AIQ_OK || aiq_is_denied(rc));

    if (rc != AIQ_OK) {
        return;
    }

    check(aiq_name_ok(v.mcp) && aiq_name_ok(v.tool));
    check(aiq_json_is_str(doc, aiq_json_get(doc, 0, "action"), v.tool));

    check(v.args == AIQ_JSON_NONE
          || aiq_json_type(doc, v.args) == AIQ_JSON_OBJECT);
    check(v.plan == AIQ_JSON_NONE
          || aiq_json_type(doc, v.plan) == AIQ_JSON_OBJECT);

    type = aiq_json_type(doc, v.token);
    check(type == 0 || type == AIQ_JSON_OBJECT || type == AIQ_JSON_STRING);

    check(v.enforce_only
          == (aiq_json_type(doc, aiq_json_get(doc, 0, "enforce_only"))
              == AIQ_JSON_TRUE));
}
