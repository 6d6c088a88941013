
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <string.h>

#include "mcp_list.h"
#include "mcp_members.h"


typedef struct {
    aiq_mcp_list_t   *list;
    aiq_mcp_ctx_t     x;
    aiq_list_edit_t  *last;
} aiq_mcp_list_ctx_t;


enum {
    AIQ_LIST_ID = 0,
    AIQ_LIST_RESULT
};

enum {
    AIQ_LIST_TOOLS = 0,
    AIQ_LIST_SCOPE
};

enum {
    AIQ_LIST_NAME = 0
};


static aiq_rc_t aiq_mcp_list_message(aiq_mcp_list_ctx_t *c, uint32_t i);
static aiq_rc_t aiq_mcp_list_result(aiq_mcp_list_ctx_t *c, uint32_t result,
    const uint32_t *values);
static aiq_rc_t aiq_mcp_list_tools(aiq_mcp_list_ctx_t *c, uint32_t tools);
static aiq_rc_t aiq_mcp_list_tool(aiq_mcp_list_ctx_t *c, uint32_t tool);
static aiq_rc_t aiq_mcp_list_scope(aiq_mcp_list_ctx_t *c, uint32_t scope);
static aiq_rc_t aiq_mcp_list_add_scope(aiq_mcp_list_ctx_t *c,
    uint32_t result);
static aiq_rc_t aiq_mcp_list_edit(aiq_mcp_list_ctx_t *c, size_t pos,
    size_t len, const char *put);
static size_t aiq_mcp_list_end(const aiq_mcp_list_ctx_t *c, uint32_t i);
static aiq_rc_t aiq_mcp_list_invalid(aiq_rc_t rc);


static const aiq_str_t  aiq_list_message_names[] = {
    aiq_string("id"),
    aiq_string("result")
};

static const aiq_mcp_shape_t  aiq_list_message_shape = {
    aiq_list_message_names, 2, 0, "the message"
};

static const aiq_str_t  aiq_list_result_names[] = {
    aiq_string("tools"),
    aiq_string("cacheScope")
};

static const aiq_mcp_shape_t  aiq_list_result_shape = {
    aiq_list_result_names, 2, 0, "result"
};

static const aiq_str_t  aiq_list_tool_names[] = {
    aiq_string("name")
};

static const aiq_mcp_shape_t  aiq_list_tool_shape = {
    aiq_list_tool_names, 1, 0, "a tool"
};


/* "tool" of any case is enough: 's' may be U+017F for those who fold cases */

int
aiq_mcp_list_possible(aiq_str_t text)
{
    size_t                i, k;
    const unsigned char  *p;

    static const char  word[] = "tool";

    for (i = 0; i + 1 < text.len; i++) {
        p = text.data + i;

        /* a letter may be an escape, and nothing else of a backslash may */

        if (p[0] == '\\' && p[1] == 'u') {
            return 1;
        }

        for (k = 0; k < 4 && i + k < text.len; k++) {
            if ((p[k] | 0x20) != (unsigned char) word[k]) {
                break;
            }
        }

        if (k == 4) {
            return 1;
        }
    }

    return 0;
}


aiq_rc_t
aiq_mcp_list_read(aiq_mcp_list_t *l, aiq_str_t text, aiq_mem_t *mem,
    aiq_err_t *err)
{
    uint32_t            i;
    aiq_rc_t            rc;
    aiq_json_t          doc;
    aiq_mcp_list_ctx_t  c;

    aiq_str_null(&l->id);

    l->lists = 0;
    l->tools = 0;
    l->hidden = 0;
    l->size = text.len;
    l->edits = NULL;

    rc = aiq_json_scan(&doc, text, AIQ_JSON_DEPTH, mem, err);

    if (rc != AIQ_OK) {
        return aiq_mcp_list_invalid(rc);
    }

    memset(&c, 0, sizeof(aiq_mcp_list_ctx_t));

    c.list = l;
    c.x.doc = &doc;
    c.x.mem = mem;
    c.x.err = err;

    if (aiq_json_type(&doc, 0) != AIQ_JSON_ARRAY) {
        return aiq_mcp_list_message(&c, 0);
    }

    for (i = aiq_json_first(&doc, 0);
         i != AIQ_JSON_NONE;
         i = aiq_json_next(&doc, 0, i))
    {
        rc = aiq_mcp_list_message(&c, i);

        if (rc != AIQ_OK) {
            return rc;
        }
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_mcp_list_message(aiq_mcp_list_ctx_t *c, uint32_t i)
{
    aiq_rc_t           rc;
    uint32_t           values[2], result;
    const aiq_json_t  *doc;

    doc = c->x.doc;

    aiq_str_null(&c->list->id);

    if (aiq_json_type(doc, i) != AIQ_JSON_OBJECT) {
        return AIQ_OK;
    }

    rc = aiq_mcp_members(&c->x, i, &aiq_list_message_shape, values);

    if (rc != AIQ_OK) {
        return aiq_mcp_list_invalid(rc);
    }

    switch (aiq_json_type(doc, values[AIQ_LIST_ID])) {

    case AIQ_JSON_STRING:
    case AIQ_JSON_NUMBER:
        c->list->id = aiq_json_raw(doc, values[AIQ_LIST_ID]);
        break;

    default:
        break;
    }

    result = values[AIQ_LIST_RESULT];

    if (aiq_json_type(doc, result) != AIQ_JSON_OBJECT) {
        return AIQ_OK;
    }

    rc = aiq_mcp_members(&c->x, result, &aiq_list_result_shape, values);

    if (rc != AIQ_OK) {
        return aiq_mcp_list_invalid(rc);
    }

    if (values[AIQ_LIST_TOOLS] == AIQ_JSON_NONE) {
        return AIQ_OK;
    }

    return aiq_mcp_list_result(c, result, values);
}


/* edits are made in the order of the text */

static aiq_rc_t
aiq_mcp_list_result(aiq_mcp_list_ctx_t *c, uint32_t result,
    const uint32_t *values)
{
    aiq_rc_t  rc;
    uint32_t  tools, scope;

    tools = values[AIQ_LIST_TOOLS];
    scope = values[AIQ_LIST_SCOPE];

    if (c->list->lists++ == 0 && c->list->begin != NULL) {
        rc = c->list->begin(c->list->data);

        if (rc != AIQ_OK) {
            return rc == AIQ_DECLINED ? AIQ_E_INTERNAL : rc;
        }
    }

    if (scope < tools) {
        rc = aiq_mcp_list_scope(c, scope);

        if (rc != AIQ_OK) {
            return rc;
        }
    }

    rc = aiq_mcp_list_tools(c, tools);

    if (rc != AIQ_OK || scope < tools) {
        return rc;
    }

    if (scope != AIQ_JSON_NONE) {
        return aiq_mcp_list_scope(c, scope);
    }

    return c->list->scope ? aiq_mcp_list_add_scope(c, result) : AIQ_OK;
}


/*
 * A tool goes with the comma before it, and those in front of the first one
 * that stays with the comma behind them.
 */

static aiq_rc_t
aiq_mcp_list_tools(aiq_mcp_list_ctx_t *c, uint32_t tools)
{
    int                kept;
    size_t             pos, end;
    aiq_rc_t           rc;
    uint32_t           i, next;
    const aiq_json_t  *doc;

    doc = c->x.doc;

    if (aiq_json_type(doc, tools) != AIQ_JSON_ARRAY) {
        return aiq_fail(c->x.err, AIQ_D_LIST_INVALID,
                        "result.tools is not an array");
    }

    kept = 0;
    end = 0;

    for (i = aiq_json_first(doc, tools); i != AIQ_JSON_NONE; i = next) {

        next = aiq_json_next(doc, tools, i);

        c->list->tools++;

        rc = aiq_mcp_list_tool(c, i);

        if (rc == AIQ_OK) {
            kept = 1;
            end = aiq_mcp_list_end(c, i);
            continue;
        }

        if (rc != AIQ_DECLINED) {
            return rc;
        }

        c->list->hidden++;

        pos = kept ? end : doc->tok[i].pos;
        end = (kept || next == AIQ_JSON_NONE) ? aiq_mcp_list_end(c, i)
                                              : doc->tok[next].pos;

        rc = aiq_mcp_list_edit(c, pos, end - pos, NULL);

        if (rc != AIQ_OK) {
            return rc;
        }
    }

    return AIQ_OK;
}


/* AIQ_DECLINED: it is not to be seen */

static aiq_rc_t
aiq_mcp_list_tool(aiq_mcp_list_ctx_t *c, uint32_t tool)
{
    aiq_rc_t        rc;
    uint32_t        name;
    aiq_str_t       s;
    unsigned char  *pos;

    if (aiq_json_type(c->x.doc, tool) != AIQ_JSON_OBJECT) {
        return aiq_fail(c->x.err, AIQ_D_LIST_INVALID,
                        "a tool is not an object");
    }

    rc = aiq_mcp_members(&c->x, tool, &aiq_list_tool_shape, &name);

    if (rc != AIQ_OK) {
        return aiq_mcp_list_invalid(rc);
    }

    pos = c->x.mem->pos;

    rc = aiq_json_string(c->x.doc, name, c->x.mem, &s);

    if (rc == AIQ_DECLINED) {
        return aiq_fail(c->x.err, AIQ_D_LIST_INVALID,
                        "the name of a tool is not a string");
    }

    if (rc == AIQ_OK) {
        rc = c->list->visible(c->list->data, s);

        if (aiq_is_denied(rc)) {
            rc = AIQ_DECLINED;

        } else if (rc == AIQ_DECLINED) {
            rc = AIQ_E_INTERNAL;
        }
    }

    c->x.mem->pos = pos;

    return rc;
}


static aiq_rc_t
aiq_mcp_list_scope(aiq_mcp_list_ctx_t *c, uint32_t scope)
{
    aiq_str_t  raw;

    if (aiq_json_is(c->x.doc, scope, "private")) {
        return AIQ_OK;
    }

    raw = aiq_json_raw(c->x.doc, scope);

    return aiq_mcp_list_edit(c, (size_t) (raw.data - c->x.doc->text.data),
                             raw.len, "\"private\"");
}


/* behind the last member; there is one, tools */

static aiq_rc_t
aiq_mcp_list_add_scope(aiq_mcp_list_ctx_t *c, uint32_t result)
{
    uint32_t           i, next;
    const aiq_json_t  *doc;

    doc = c->x.doc;
    next = aiq_json_first(doc, result);

    do {
        i = next;
        next = aiq_json_next(doc, result, i);
    } while (next != AIQ_JSON_NONE);

    return aiq_mcp_list_edit(c, aiq_mcp_list_end(c, i + 1), 0,
                             ",\"cacheScope\":\"private\"");
}


static aiq_rc_t
aiq_mcp_list_edit(aiq_mcp_list_ctx_t *c, size_t pos, size_t len,
    const char *put)
{
    aiq_list_edit_t  *e;

    e = c->last;

    c->list->size -= len;

    if (e != NULL && put == NULL && e->put.len == 0 && e->pos + e->len == pos)
    {
        e->len += len;
        return AIQ_OK;
    }

    e = aiq_mem_alloc(c->x.mem, sizeof(aiq_list_edit_t));

    if (e == NULL) {
        return AIQ_E_NO_MEMORY;
    }

    e->pos = pos;
    e->len = len;
    e->put = aiq_cstr(put);
    e->next = NULL;

    c->list->size += e->put.len;

    if (c->last != NULL) {
        c->last->next = e;

    } else {
        c->list->edits = e;
    }

    c->last = e;

    return AIQ_OK;
}


/* where a value ends; doc->tok[i].pos is inside of the quotes of a string */

static size_t
aiq_mcp_list_end(const aiq_mcp_list_ctx_t *c, uint32_t i)
{
    aiq_str_t  raw;

    raw = aiq_json_raw(c->x.doc, i);

    return (size_t) (raw.data - c->x.doc->text.data) + raw.len;
}


/* what was wrong stays in err->text */

static aiq_rc_t
aiq_mcp_list_invalid(aiq_rc_t rc)
{
    return aiq_is_denied(rc) ? AIQ_D_LIST_INVALID : rc;
}


void
aiq_mcp_list_write(aiq_out_t *out, const aiq_mcp_list_t *l, aiq_str_t text)
{
    size_t                  pos;
    const aiq_list_edit_t  *e;

    pos = 0;

    for (e = l->edits; e != NULL; e = e->next) {
        aiq_out_mem(out, text.data + pos, e->pos - pos);
        aiq_out_mem(out, e->put.data, e->put.len);

        pos = e->pos + e->len;
    }

    aiq_out_mem(out, text.data + pos, text.len - pos);
}
