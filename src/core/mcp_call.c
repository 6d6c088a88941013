
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <string.h>

#include "mcp_call.h"
#include "plan.h"


static void aiq_mcp_write_args(aiq_out_t *out, const aiq_json_t *doc,
    uint32_t args, int email);
static aiq_rc_t aiq_mcp_read_answer(aiq_str_t text, uint64_t id,
    aiq_mem_t *mem, aiq_str_t *version);
static int aiq_mcp_event(aiq_str_t *text, aiq_str_t *data);


void
aiq_mcp_write_call(aiq_out_t *out, const aiq_json_t *doc,
    const aiq_invoke_t *v, int email, uint64_t id, aiq_str_t modern)
{
    aiq_out_str(out, "{\"jsonrpc\":\"2.0\",\"id\":");
    aiq_out_int(out, (int64_t) id);
    aiq_out_str(out, ",\"method\":\"tools/call\",\"params\":{\"name\":");
    aiq_out_json(out, v->tool);
    aiq_out_str(out, ",\"arguments\":{");

    if (v->args != AIQ_JSON_NONE) {
        aiq_mcp_write_args(out, doc, v->args, email);
    }

    aiq_out_char(out, '}');

    if (modern.len) {
        aiq_out_str(out, ",\"_meta\":{"
                    "\"io.modelcontextprotocol/protocolVersion\":");
        aiq_out_json(out, modern);
        aiq_out_str(out, ",\"io.modelcontextprotocol/clientInfo\":"
                    "{\"name\":\"armoriq\",\"version\":\"" AIQ_VERSION "\"}"
                    ",\"io.modelcontextprotocol/clientCapabilities\":{}}");
    }

    aiq_out_str(out, "}}");
}


static void
aiq_mcp_write_args(aiq_out_t *out, const aiq_json_t *doc, uint32_t args,
    int email)
{
    int        first;
    uint32_t   key;
    aiq_str_t  name, value;

    first = 1;

    for (key = aiq_json_first(doc, args);
         key != AIQ_JSON_NONE;
         key = aiq_json_next(doc, args, key))
    {
        if (aiq_args_added_by_sdk(doc, key)
            || (!email && aiq_json_is(doc, key, "user_email")))
        {
            continue;
        }

        if (!first) {
            aiq_out_char(out, ',');
        }

        first = 0;

        name = aiq_json_raw(doc, key);
        value = aiq_json_raw(doc, key + 1);

        aiq_out_mem(out, name.data, name.len);
        aiq_out_char(out, ':');
        aiq_out_mem(out, value.data, value.len);
    }
}


aiq_rc_t
aiq_mcp_write_untold(aiq_out_t *out, const aiq_json_t *doc, uint32_t meta)
{
    size_t                from, to;
    uint32_t              key, last, next;
    aiq_str_t             raw;
    const unsigned char  *text;

    text = doc->text.data;
    last = AIQ_JSON_NONE;

    for (key = aiq_json_first(doc, meta);
         key != AIQ_JSON_NONE;
         key = aiq_json_next(doc, meta, key))
    {
        if (aiq_json_is(doc, key, "io.armoriq/intent-token")) {
            break;
        }

        last = key;
    }

    if (key == AIQ_JSON_NONE) {
        return AIQ_DECLINED;
    }

    raw = aiq_json_raw(doc, key);
    from = (size_t) (raw.data - text);

    raw = aiq_json_raw(doc, key + 1);
    to = (size_t) (raw.data - text) + raw.len;

    /* and one comma: the one behind it, or else the one before */

    next = aiq_json_next(doc, meta, key);

    if (next != AIQ_JSON_NONE) {
        to = (size_t) (aiq_json_raw(doc, next).data - text);

    } else if (last != AIQ_JSON_NONE) {
        raw = aiq_json_raw(doc, last + 1);
        from = (size_t) (raw.data - text) + raw.len;
    }

    aiq_out_mem(out, text, from);
    aiq_out_mem(out, text + to, doc->text.len - to);

    return out->failed ? AIQ_E_INTERNAL : AIQ_OK;
}


void
aiq_mcp_write_initialize(aiq_out_t *out, uint64_t id, aiq_str_t version)
{
    aiq_out_str(out, "{\"jsonrpc\":\"2.0\",\"id\":");
    aiq_out_int(out, (int64_t) id);
    aiq_out_str(out, ",\"method\":\"initialize\",\"params\":"
                "{\"protocolVersion\":");
    aiq_out_json(out, version);
    aiq_out_str(out, ",\"capabilities\":{},\"clientInfo\":"
                "{\"name\":\"armoriq\",\"version\":\"" AIQ_VERSION "\"}}}");
}


aiq_rc_t
aiq_mcp_read_initialized(aiq_str_t text, int sse, uint64_t id,
    aiq_mem_t *mem, aiq_str_t *version)
{
    aiq_rc_t        rc;
    aiq_str_t       data;
    unsigned char  *pos;

    if (!sse) {
        return aiq_mcp_read_answer(text, id, mem, version);
    }

    pos = mem->pos;

    /* notifications may come before it, as many as there are */

    while (aiq_mcp_event(&text, &data)) {
        rc = aiq_mcp_read_answer(data, id, mem, version);

        if (rc != AIQ_DECLINED) {
            return rc;
        }

        mem->pos = pos;
    }

    return AIQ_DECLINED;
}


static aiq_rc_t
aiq_mcp_read_answer(aiq_str_t text, uint64_t id, aiq_mem_t *mem,
    aiq_str_t *version)
{
    size_t      i;
    int64_t     got;
    uint32_t    result;
    aiq_rc_t    rc;
    aiq_json_t  doc;

    rc = aiq_json_parse(&doc, text, AIQ_JSON_DEPTH, mem, NULL);

    /* a text this short has not too many values: there was no room */

    if (rc == AIQ_D_JSON_TOO_LARGE && text.len < AIQ_JSON_TOKENS) {
        return AIQ_E_NO_MEMORY;
    }

    if (rc != AIQ_OK
        || aiq_json_int(&doc, aiq_json_get(&doc, 0, "id"), &got) != AIQ_OK
        || got != (int64_t) id)
    {
        return AIQ_DECLINED;
    }

    result = aiq_json_get(&doc, 0, "result");

    rc = aiq_json_string(&doc, aiq_json_get(&doc, result, "protocolVersion"),
                         mem, version);

    if (aiq_is_fault(rc)) {
        return rc;
    }

    if (rc != AIQ_OK
        || version->len == 0 || version->len >= AIQ_MCP_VERSION_MAX)
    {
        return AIQ_D_RPC_INVALID;
    }

    /* it goes into a header */

    for (i = 0; i < version->len; i++) {

        if ((version->data[i] < '0' || version->data[i] > '9')
            && version->data[i] != '-')
        {
            return AIQ_D_RPC_INVALID;
        }
    }

    return AIQ_OK;
}


/* the next complete "data:" line; an answer of a server is one line long */

static int
aiq_mcp_event(aiq_str_t *text, aiq_str_t *data)
{
    const unsigned char  *p, *lf, *last;

    while (text->len) {

        p = text->data;
        lf = memchr(p, '\n', text->len);

        if (lf == NULL) {
            return 0;
        }

        text->len -= (size_t) (lf + 1 - p);
        text->data = lf + 1;

        last = (lf > p && lf[-1] == '\r') ? lf - 1 : lf;

        if (last - p < 5 || memcmp(p, "data:", 5) != 0) {
            continue;
        }

        p += 5;

        if (p < last && *p == ' ') {
            p++;
        }

        data->data = p;
        data->len = (size_t) (last - p);

        return 1;
    }

    return 0;
}
