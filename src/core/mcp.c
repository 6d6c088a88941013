
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <string.h>

#include "mcp_members.h"


typedef struct {
    aiq_str_t        name;
    aiq_mcp_class_e  cls;
    aiq_need_e       need;
    const char      *named;       /* member of params that Mcp-Name repeats */
} aiq_mcp_method_t;

typedef struct {
    aiq_str_t        name;
    unsigned         modern;
} aiq_mcp_revision_t;

#define AIQ_MCP_META_VERSION  "io.modelcontextprotocol/protocolVersion"


enum {
    AIQ_RPC_JSONRPC = 0,
    AIQ_RPC_ID,
    AIQ_RPC_METHOD,
    AIQ_RPC_PARAMS,
    AIQ_RPC_RESULT,
    AIQ_RPC_ERROR
};

enum {
    AIQ_CALL_META = 0,
    AIQ_CALL_NAME,
    AIQ_CALL_ARGUMENTS
};

enum {
    AIQ_META_VERSION = 0
};


static int aiq_mcp_rule_fits(const aiq_method_rule_t *rule,
    aiq_str_t method);
static int aiq_mcp_rule_names(const aiq_method_rule_t *rule,
    aiq_str_t tool);
static aiq_rc_t aiq_mcp_envelope(aiq_mcp_t *m, const aiq_mcp_ctx_t *x,
    uint32_t *env);
static aiq_rc_t aiq_mcp_response(const aiq_mcp_ctx_t *x,
    const uint32_t *env);
static aiq_rc_t aiq_mcp_id(aiq_mcp_t *m, const aiq_mcp_ctx_t *x, uint32_t id);
static aiq_rc_t aiq_mcp_method(aiq_mcp_t *m, const aiq_mcp_ctx_t *x,
    uint32_t i);
static const aiq_mcp_method_t *aiq_mcp_known_method(aiq_str_t s);
static aiq_rc_t aiq_mcp_params(aiq_mcp_t *m, const aiq_mcp_ctx_t *x,
    uint32_t i);
static aiq_rc_t aiq_mcp_call(aiq_mcp_t *m, const aiq_mcp_ctx_t *x,
    const uint32_t *values);
static aiq_rc_t aiq_mcp_revision(aiq_mcp_t *m, const aiq_mcp_ctx_t *x);
static aiq_rc_t aiq_mcp_meta_revision(aiq_mcp_t *m,
    const aiq_mcp_ctx_t *x, const aiq_mcp_revision_t *header,
    const aiq_mcp_revision_t **r);
static aiq_str_t aiq_mcp_dated(aiq_str_t s);
static aiq_str_t aiq_mcp_front(aiq_str_t s);
static const aiq_mcp_revision_t *aiq_mcp_known_revision(aiq_str_t s);


static const aiq_str_t  aiq_rpc_names[] = {
    aiq_string("jsonrpc"),
    aiq_string("id"),
    aiq_string("method"),
    aiq_string("params"),
    aiq_string("result"),
    aiq_string("error")
};

static const aiq_mcp_shape_t  aiq_rpc_shape = {
    aiq_rpc_names, 6, 1, "the envelope"
};

/* a task, an answer to what the server asked and its state are the server's
   business, but they are in the specification */

static const aiq_str_t  aiq_call_names[] = {
    aiq_string("_meta"),
    aiq_string("name"),
    aiq_string("arguments"),
    aiq_string("task"),
    aiq_string("inputResponses"),
    aiq_string("requestState")
};

static const aiq_mcp_shape_t  aiq_call_shape = {
    aiq_call_names, 6, 1, "params"
};

static const aiq_str_t  aiq_discovery_names[] = {
    aiq_string("_meta"),
    aiq_string("name"),
    aiq_string("arguments"),
    aiq_string("cursor"),
    aiq_string("uri"),
    aiq_string("protocolVersion")
};

static const aiq_mcp_shape_t  aiq_discovery_shape = {
    aiq_discovery_names, 6, 0, "params"
};

static const aiq_str_t  aiq_meta_names[] = {
    aiq_string(AIQ_MCP_META_VERSION),
    aiq_string("io.armoriq/intent"),
    aiq_string("io.armoriq/intent-token")
};

static const aiq_mcp_shape_t  aiq_meta_shape = {
    aiq_meta_names, 3, 0, "params._meta"
};

#define aiq_mcp_known(name, need, named)                                      \
    { aiq_string(name), AIQ_MCP_DISCOVERY, need, named }

/* what reads data or changes state is refused until a rule lists it */

static const aiq_mcp_method_t  aiq_mcp_methods[] = {
    { aiq_string("tools/call"), AIQ_MCP_CALL, AIQ_NEED_INTENT, "name" },
    aiq_mcp_known("tools/list", AIQ_NEED_IDENTITY, NULL),
    aiq_mcp_known("initialize", AIQ_NEED_IDENTITY, NULL),
    aiq_mcp_known("ping", AIQ_NEED_IDENTITY, NULL),
    aiq_mcp_known("server/discover", AIQ_NEED_IDENTITY, NULL),
    aiq_mcp_known("subscriptions/listen", AIQ_NEED_IDENTITY, NULL),
    aiq_mcp_known("notifications/initialized", AIQ_NEED_IDENTITY, NULL),
    aiq_mcp_known("notifications/cancelled", AIQ_NEED_IDENTITY, NULL),
    aiq_mcp_known("notifications/progress", AIQ_NEED_IDENTITY, NULL),
    aiq_mcp_known("notifications/roots/list_changed", AIQ_NEED_IDENTITY,
                  NULL),
    aiq_mcp_known("resources/list", AIQ_NEED_IDENTITY, NULL),
    aiq_mcp_known("resources/templates/list", AIQ_NEED_IDENTITY, NULL),
    aiq_mcp_known("prompts/list", AIQ_NEED_IDENTITY, NULL),
    aiq_mcp_known("resources/read", AIQ_NEED_REFUSE, "uri"),
    aiq_mcp_known("prompts/get", AIQ_NEED_REFUSE, "name")
};


/*
 * 2024-11-05 had another transport and no header, but clients that speak
 * this one send what an old server negotiated.
 */

static const aiq_mcp_revision_t  aiq_mcp_revisions[] = {
    { aiq_string("2026-07-28"), 1 },
    { aiq_string("2025-11-25"), 0 },
    { aiq_string("2025-06-18"), 0 },
    { aiq_string("2025-03-26"), 0 },
    { aiq_string("2024-11-05"), 0 }
};

#define AIQ_MCP_REVISIONS                                                     \
    (sizeof(aiq_mcp_revisions) / sizeof(aiq_mcp_revisions[0]))

static const aiq_str_t  aiq_mcp_default_revision = aiq_string("2025-03-26");


aiq_rc_t
aiq_mcp_read(aiq_mcp_t *m, const aiq_json_t *doc, const aiq_mcp_headers_t *h,
    aiq_mem_t *mem, aiq_err_t *err)
{
    uint32_t                 env[AIQ_MCP_MEMBERS];
    aiq_rc_t                 rc;
    aiq_mcp_ctx_t            x;
    const aiq_mcp_method_t  *known;

    memset(m, 0, sizeof(aiq_mcp_t));

    m->params = AIQ_JSON_NONE;
    m->args = AIQ_JSON_NONE;
    m->meta = AIQ_JSON_NONE;
    m->need = AIQ_NEED_IDENTITY;
    m->revision = aiq_mcp_default_revision;

    x.doc = doc;
    x.headers = h;
    x.mem = mem;
    x.err = err;

    rc = aiq_mcp_envelope(m, &x, env);
    if (rc != AIQ_OK) {
        return rc;
    }

    if (env[AIQ_RPC_METHOD] != AIQ_JSON_NONE) {

        rc = aiq_mcp_method(m, &x, env[AIQ_RPC_METHOD]);
        if (rc != AIQ_OK) {
            return rc;
        }

        rc = aiq_mcp_params(m, &x, env[AIQ_RPC_PARAMS]);
        if (rc != AIQ_OK) {
            return rc;
        }

    } else {
        m->cls = AIQ_MCP_RESPONSE;
    }

    rc = aiq_mcp_revision(m, &x);
    if (rc != AIQ_OK) {
        return rc;
    }

    known = aiq_mcp_known_method(m->method);

    return aiq_mcp_mirror(m, &x, known ? known->named : NULL,
                          known == NULL && m->cls == AIQ_MCP_DISCOVERY);
}


aiq_rc_t
aiq_mcp_need(aiq_mcp_t *m, const aiq_method_rule_t *rules, unsigned n,
    aiq_err_t *err)
{
    int                       exact;
    unsigned                  i;
    const aiq_method_rule_t  *best;

    if (m->method.len == 0) {
        return AIQ_OK;
    }

    best = NULL;
    exact = 0;

    for (i = 0; i < n; i++) {

        if (m->cls == AIQ_MCP_CALL && rules[i].need == AIQ_NEED_INTENT
            && aiq_mcp_rule_names(&rules[i], m->tool))
        {
            return aiq_fail(err, AIQ_D_RPC_AMBIGUOUS,
                            "a tool with the name of the method \"%.*s\"",
                            aiq_mcp_shown(m->tool));
        }

        if (!aiq_mcp_rule_fits(&rules[i], m->method)) {
            continue;
        }

        if (aiq_str_eq(rules[i].name, m->method)) {
            best = &rules[i];
            exact = 1;

        } else if (!exact
                   && (best == NULL || rules[i].name.len > best->name.len))
        {
            best = &rules[i];
        }
    }

    if (best != NULL
        && (exact || m->need != AIQ_NEED_INTENT
            || best->need != AIQ_NEED_IDENTITY))
    {
        m->need = best->need;
    }

    if (m->need == AIQ_NEED_REFUSE) {
        return aiq_fail(err, AIQ_D_RPC_METHOD, "method \"%.*s\"",
                        aiq_mcp_shown(m->method));
    }

    return AIQ_OK;
}


static int
aiq_mcp_rule_fits(const aiq_method_rule_t *rule, aiq_str_t method)
{
    size_t  len;

    len = rule->name.len;

    if (len == 0 || rule->name.data[len - 1] != '*') {
        return aiq_str_eq(rule->name, method);
    }

    return method.len >= len - 1
           && memcmp(rule->name.data, method.data, len - 1) == 0;
}


/* "*" names no method: tools may be called what they like under it */

static int
aiq_mcp_rule_names(const aiq_method_rule_t *rule, aiq_str_t tool)
{
    return aiq_mcp_rule_fits(rule, tool)
           && (aiq_str_eq(rule->name, tool)
               || memchr(rule->name.data, '/', rule->name.len) != NULL);
}


int
aiq_mcp_method_ok(aiq_str_t name)
{
    const unsigned char  *star;

    if (!aiq_mcp_visible(name, AIQ_METHOD_MAX)) {
        return 0;
    }

    star = memchr(name.data, '*', name.len);

    return star == NULL || star == name.data + name.len - 1;
}


/* is it one request, notification or response of JSON-RPC 2.0? */

static aiq_rc_t
aiq_mcp_envelope(aiq_mcp_t *m, const aiq_mcp_ctx_t *x, uint32_t *env)
{
    int       type;
    aiq_rc_t  rc;
    uint32_t  id;

    type = aiq_json_type(x->doc, 0);

    if (type == AIQ_JSON_ARRAY) {
        return aiq_fail(x->err, AIQ_D_BATCH_NOT_ALLOWED,
                        "the body is an array");
    }

    if (type != AIQ_JSON_OBJECT) {
        return aiq_fail(x->err, AIQ_D_JSON_NOT_OBJECT,
                        "the body is not an object");
    }

    /* first of all, so that a refusal can name it */

    id = aiq_json_get(x->doc, 0, "id");
    rc = aiq_mcp_id(m, x, id);

    if (rc == AIQ_OK) {
        rc = aiq_mcp_members(x, 0, &aiq_rpc_shape, env);
    }

    if (rc != AIQ_OK) {
        return rc;
    }

    if (!aiq_json_is(x->doc, env[AIQ_RPC_JSONRPC], "2.0")) {
        return aiq_fail(x->err, AIQ_D_RPC_INVALID, "jsonrpc is not \"2.0\"");
    }

    if (env[AIQ_RPC_METHOD] != AIQ_JSON_NONE) {

        if (env[AIQ_RPC_RESULT] != AIQ_JSON_NONE
            || env[AIQ_RPC_ERROR] != AIQ_JSON_NONE)
        {
            return aiq_fail(x->err, AIQ_D_RPC_INVALID,
                            "a request that is a response as well");
        }

        m->notification = (id == AIQ_JSON_NONE);

        return AIQ_OK;
    }

    return aiq_mcp_response(x, env);
}


static aiq_rc_t
aiq_mcp_response(const aiq_mcp_ctx_t *x, const uint32_t *env)
{
    uint32_t  result, error;

    result = env[AIQ_RPC_RESULT];
    error = env[AIQ_RPC_ERROR];

    if ((result == AIQ_JSON_NONE) == (error == AIQ_JSON_NONE)) {
        return aiq_fail(x->err, AIQ_D_RPC_INVALID,
                        result == AIQ_JSON_NONE ? "no method"
                                                : "both result and error");
    }

    if (env[AIQ_RPC_ID] == AIQ_JSON_NONE
        || env[AIQ_RPC_PARAMS] != AIQ_JSON_NONE)
    {
        return aiq_fail(x->err, AIQ_D_RPC_INVALID,
                        "a response without id, or with params");
    }

    if (error != AIQ_JSON_NONE
        && aiq_json_type(x->doc, error) != AIQ_JSON_OBJECT)
    {
        return aiq_fail(x->err, AIQ_D_RPC_INVALID, "error is not an object");
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_mcp_id(aiq_mcp_t *m, const aiq_mcp_ctx_t *x, uint32_t id)
{
    int64_t  v;

    if (id == AIQ_JSON_NONE) {
        return AIQ_OK;
    }

    if (aiq_json_type(x->doc, id) != AIQ_JSON_STRING
        && aiq_json_int(x->doc, id, &v) != AIQ_OK)
    {
        return aiq_fail(x->err, AIQ_D_RPC_INVALID,
                        "id is neither a string nor an integer");
    }

    m->id = aiq_json_raw(x->doc, id);

    return AIQ_OK;
}


static aiq_rc_t
aiq_mcp_method(aiq_mcp_t *m, const aiq_mcp_ctx_t *x, uint32_t i)
{
    aiq_rc_t                 rc;
    const aiq_mcp_method_t  *known;

    if (aiq_json_type(x->doc, i) != AIQ_JSON_STRING) {
        return aiq_fail(x->err, AIQ_D_RPC_INVALID, "method is not a string");
    }

    /* no need to copy what is too long even if every byte is an escape */

    if (x->doc->tok[i].len > AIQ_METHOD_MAX * 6) {
        return aiq_fail(x->err, AIQ_D_RPC_INVALID, "method is too long");
    }

    rc = aiq_json_string(x->doc, i, x->mem, &m->method);
    if (rc != AIQ_OK) {
        return rc;
    }

    if (!aiq_mcp_visible(m->method, AIQ_METHOD_MAX)) {
        aiq_str_null(&m->method);

        return aiq_fail(x->err, AIQ_D_RPC_INVALID,
                        "method is not 1 to %d visible ASCII characters",
                        AIQ_METHOD_MAX);
    }

    known = aiq_mcp_known_method(m->method);

    m->cls = known ? known->cls : AIQ_MCP_DISCOVERY;
    m->need = known ? known->need : AIQ_NEED_REFUSE;

    return AIQ_OK;
}


static const aiq_mcp_method_t *
aiq_mcp_known_method(aiq_str_t s)
{
    unsigned  k;

    for (k = 0; k < sizeof(aiq_mcp_methods) / sizeof(aiq_mcp_methods[0]); k++)
    {
        if (aiq_str_eq(s, aiq_mcp_methods[k].name)) {
            return &aiq_mcp_methods[k];
        }
    }

    return NULL;
}


static aiq_rc_t
aiq_mcp_params(aiq_mcp_t *m, const aiq_mcp_ctx_t *x, uint32_t i)
{
    aiq_rc_t  rc;
    uint32_t  values[AIQ_MCP_MEMBERS];

    if (i == AIQ_JSON_NONE && m->cls != AIQ_MCP_CALL) {
        return AIQ_OK;
    }

    if (aiq_json_type(x->doc, i) != AIQ_JSON_OBJECT) {
        return aiq_fail(x->err, AIQ_D_RPC_INVALID, "params is not an object");
    }

    rc = aiq_mcp_members(x, i, (m->cls == AIQ_MCP_CALL)
                               ? &aiq_call_shape : &aiq_discovery_shape,
                         values);
    if (rc != AIQ_OK) {
        return rc;
    }

    m->params = i;
    m->meta = values[AIQ_CALL_META];

    if (m->meta != AIQ_JSON_NONE
        && aiq_json_type(x->doc, m->meta) != AIQ_JSON_OBJECT)
    {
        m->meta = AIQ_JSON_NONE;

        return aiq_fail(x->err, AIQ_D_RPC_INVALID,
                        "params._meta is not an object");
    }

    return (m->cls == AIQ_MCP_CALL) ? aiq_mcp_call(m, x, values) : AIQ_OK;
}


/* which tool, with what */

static aiq_rc_t
aiq_mcp_call(aiq_mcp_t *m, const aiq_mcp_ctx_t *x, const uint32_t *values)
{
    aiq_rc_t  rc;
    uint32_t  name;

    name = values[AIQ_CALL_NAME];

    if (aiq_json_type(x->doc, name) != AIQ_JSON_STRING
        || x->doc->tok[name].len > AIQ_MCP_TOOL_MAX * 6)
    {
        return aiq_fail(x->err, AIQ_D_RPC_INVALID,
                        "params.name is not a string, or too long");
    }

    rc = aiq_json_string(x->doc, name, x->mem, &m->tool);
    if (rc != AIQ_OK) {
        return rc;
    }

    if (!aiq_mcp_tool_ok(m->tool)) {
        aiq_str_null(&m->tool);

        return aiq_fail(x->err, AIQ_D_RPC_INVALID,
                        "params.name is not 1 to %d visible ASCII characters",
                        AIQ_MCP_TOOL_MAX);
    }

    m->args = values[AIQ_CALL_ARGUMENTS];

    if (m->args != AIQ_JSON_NONE
        && aiq_json_type(x->doc, m->args) != AIQ_JSON_OBJECT)
    {
        m->args = AIQ_JSON_NONE;

        return aiq_fail(x->err, AIQ_D_RPC_INVALID,
                        "params.arguments is not an object");
    }

    return AIQ_OK;
}


/*
 * The header and _meta["io.modelcontextprotocol/protocolVersion"] say the
 * same; from 2026-07-28 on both are required.  params.protocolVersion of
 * initialize is an offer, not a statement about this request.
 */

static aiq_rc_t
aiq_mcp_revision(aiq_mcp_t *m, const aiq_mcp_ctx_t *x)
{
    aiq_rc_t                   rc;
    aiq_str_t                  text;
    const aiq_mcp_revision_t  *header, *meta;

    header = NULL;

    if (x->headers->protocol.data != NULL) {

        text = aiq_mcp_trim(x->headers->protocol);
        header = aiq_mcp_known_revision(text);

        if (header == NULL) {
            m->asked = aiq_mcp_front(text);
            m->modern = (aiq_json_get(x->doc, m->meta, AIQ_MCP_META_VERSION)
                         != AIQ_JSON_NONE);

            return aiq_fail(x->err, AIQ_D_PROTOCOL_VERSION,
                            "MCP-Protocol-Version: \"%.*s\"",
                            aiq_mcp_shown(aiq_mcp_dated(text)));
        }
    }

    rc = aiq_mcp_meta_revision(m, x, header, &meta);
    if (rc != AIQ_OK) {
        return rc;
    }

    if (meta != NULL && meta != header && (header != NULL || meta->modern)) {
        return aiq_fail(x->err, AIQ_D_HEADER_MISMATCH,
                        "MCP-Protocol-Version is not the protocol version of "
                        "params._meta");
    }

    if (header == NULL && meta == NULL) {
        return AIQ_OK;
    }

    m->revision = (header != NULL) ? header->name : meta->name;
    m->modern = (header != NULL) ? header->modern : meta->modern;

    if (!m->modern) {
        return AIQ_OK;
    }

    if (m->cls == AIQ_MCP_RESPONSE) {
        return aiq_fail(x->err, AIQ_D_RPC_INVALID,
                        "responses are not sent in this revision");
    }

    if (meta == NULL && (!m->notification || m->cls == AIQ_MCP_CALL)) {
        return aiq_fail(x->err, AIQ_D_RPC_PARAMS,
                        "params._meta has no protocol version");
    }

    return AIQ_OK;
}


/* *r is NULL if _meta does not say */

static aiq_rc_t
aiq_mcp_meta_revision(aiq_mcp_t *m, const aiq_mcp_ctx_t *x,
    const aiq_mcp_revision_t *header, const aiq_mcp_revision_t **r)
{
    aiq_rc_t   rc;
    uint32_t   values[AIQ_MCP_MEMBERS];
    aiq_str_t  text;

    *r = NULL;

    if (m->meta == AIQ_JSON_NONE) {
        return AIQ_OK;
    }

    rc = aiq_mcp_members(x, m->meta, &aiq_meta_shape, values);

    if (rc != AIQ_OK || values[AIQ_META_VERSION] == AIQ_JSON_NONE) {
        return rc;
    }

    rc = aiq_json_string(x->doc, values[AIQ_META_VERSION], x->mem, &text);

    if (rc == AIQ_DECLINED) {
        return aiq_fail(x->err, AIQ_D_RPC_INVALID,
                        "the protocol version of params._meta is not a "
                        "string");
    }

    if (rc != AIQ_OK) {
        return rc;
    }

    *r = aiq_mcp_known_revision(text);

    if (*r == NULL && header != NULL) {
        return aiq_fail(x->err, AIQ_D_HEADER_MISMATCH,
                        "MCP-Protocol-Version is not the protocol version of "
                        "params._meta");
    }

    if (*r == NULL) {
        m->asked = aiq_mcp_front(text);
        m->modern = 1;

        return aiq_fail(x->err, AIQ_D_PROTOCOL_VERSION,
                        "protocol version of params._meta: \"%.*s\"",
                        aiq_mcp_shown(aiq_mcp_dated(text)));
    }

    return AIQ_OK;
}


/* what records may have of a version: versions are dates */

static aiq_str_t
aiq_mcp_dated(aiq_str_t s)
{
    size_t  i;

    static const aiq_str_t  other = aiq_string("?");

    for (i = 0; i < s.len; i++) {

        if ((s.data[i] < '0' || s.data[i] > '9') && s.data[i] != '-') {
            return other;
        }
    }

    return (s.len > 10) ? other : s;
}


/* what is shown of a text of the client */

static aiq_str_t
aiq_mcp_front(aiq_str_t s)
{
    if (s.len > AIQ_MCP_SHOWN) {
        s.len = AIQ_MCP_SHOWN;
    }

    return s;
}


void
aiq_mcp_write_revisions(aiq_out_t *out, int modern)
{
    unsigned  k;

    for (k = 0; k < AIQ_MCP_REVISIONS; k++) {

        /* older ones are agreed upon by a handshake, not per request, and the
           oldest had another transport */

        if (modern ? !aiq_mcp_revisions[k].modern : k == AIQ_MCP_REVISIONS - 1)
        {
            break;
        }

        if (k) {
            aiq_out_char(out, ',');
        }

        aiq_out_json(out, aiq_mcp_revisions[k].name);
    }
}


static const aiq_mcp_revision_t *
aiq_mcp_known_revision(aiq_str_t s)
{
    unsigned  k;

    for (k = 0; k < AIQ_MCP_REVISIONS; k++) {

        if (aiq_str_eq(s, aiq_mcp_revisions[k].name)) {
            return &aiq_mcp_revisions[k];
        }
    }

    return NULL;
}
