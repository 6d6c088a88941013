
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The envelope of POST /invoke.
 */


#include <string.h>

#include "mcp_members.h"


enum {
    AIQ_INVOKE_MCP = 0,
    AIQ_INVOKE_ACTION,
    AIQ_INVOKE_TOOL,
    AIQ_INVOKE_PARAMS,
    AIQ_INVOKE_ARGUMENTS,
    AIQ_INVOKE_INTENT_TOKEN,
    AIQ_INVOKE_PLAN,
    AIQ_INVOKE_TOKEN,
    AIQ_INVOKE_CSRG_TOKEN,
    AIQ_INVOKE_ENFORCE_ONLY
};

enum {
    AIQ_WRAPPER_PLAN = 0,
    AIQ_WRAPPER_TOKEN
};


static aiq_rc_t aiq_invoke_call(aiq_invoke_t *v, const aiq_mcp_ctx_t *x,
    const uint32_t *m);
static aiq_rc_t aiq_invoke_string(const aiq_mcp_ctx_t *x, uint32_t i,
    const char *field, aiq_str_t *out);
static aiq_rc_t aiq_invoke_intent(aiq_invoke_t *v, const aiq_mcp_ctx_t *x,
    const uint32_t *m);
static aiq_rc_t aiq_invoke_copy(const aiq_mcp_ctx_t *x, uint32_t *kept,
    uint32_t i, const char *field, int text);
static int aiq_mcp_same(const aiq_json_t *doc, uint32_t a, uint32_t b);
static int aiq_mcp_same_string(const aiq_json_t *doc, uint32_t a, uint32_t b);
static int aiq_mcp_same_object(const aiq_json_t *doc, uint32_t a, uint32_t b);


static const aiq_str_t  aiq_invoke_names[] = {
    aiq_string("mcp"),
    aiq_string("action"),
    aiq_string("tool"),
    aiq_string("params"),
    aiq_string("arguments"),
    aiq_string("intent_token"),
    aiq_string("plan"),
    aiq_string("token"),
    aiq_string("csrg_token"),
    aiq_string("enforce_only"),
    aiq_string("merkle_proof"),
    aiq_string("_iam_context"),
    aiq_string("user_email"),
    aiq_string("policy_snapshot")
};

static const aiq_mcp_shape_t  aiq_invoke_shape = {
    aiq_invoke_names, 14, 0, "the envelope"
};

static const aiq_str_t  aiq_wrapper_names[] = {
    aiq_string("plan"),
    aiq_string("token"),
    aiq_string("plan_hash"),
    aiq_string("merkle_root"),
    aiq_string("step_proofs")
};

static const aiq_mcp_shape_t  aiq_wrapper_shape = {
    aiq_wrapper_names, 5, 0, "intent_token"
};


aiq_rc_t
aiq_invoke_read(aiq_invoke_t *v, const aiq_json_t *doc, aiq_mem_t *mem,
    aiq_err_t *err)
{
    uint32_t       m[AIQ_MCP_MEMBERS];
    aiq_rc_t       rc;
    aiq_mcp_ctx_t  x;

    memset(v, 0, sizeof(aiq_invoke_t));

    v->args = AIQ_JSON_NONE;
    v->plan = AIQ_JSON_NONE;
    v->token = AIQ_JSON_NONE;

    x.doc = doc;
    x.headers = NULL;
    x.mem = mem;
    x.err = err;

    if (aiq_json_type(doc, 0) != AIQ_JSON_OBJECT) {
        return aiq_fail(err, AIQ_D_JSON_NOT_OBJECT,
                        "the body is not an object");
    }

    rc = aiq_mcp_members(&x, 0, &aiq_invoke_shape, m);
    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_invoke_call(v, &x, m);
    if (rc != AIQ_OK) {
        return rc;
    }

    return aiq_invoke_intent(v, &x, m);
}


/* which tool of which server with what */

static aiq_rc_t
aiq_invoke_call(aiq_invoke_t *v, const aiq_mcp_ctx_t *x, const uint32_t *m)
{
    int        type;
    aiq_rc_t   rc;
    aiq_str_t  tool;

    rc = aiq_invoke_string(x, m[AIQ_INVOKE_MCP], "mcp", &v->mcp);
    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_invoke_string(x, m[AIQ_INVOKE_ACTION], "action", &v->tool);
    if (rc != AIQ_OK) {
        return rc;
    }

    if (m[AIQ_INVOKE_TOOL] != AIQ_JSON_NONE) {

        rc = aiq_invoke_string(x, m[AIQ_INVOKE_TOOL], "tool", &tool);
        if (rc != AIQ_OK) {
            return rc;
        }

        if (!aiq_str_eq(tool, v->tool)) {
            return aiq_fail(x->err, AIQ_D_INVOKE_INVALID,
                            "tool is not the action");
        }
    }

    rc = aiq_invoke_copy(x, &v->args, m[AIQ_INVOKE_PARAMS], "params", 0);
    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_invoke_copy(x, &v->args, m[AIQ_INVOKE_ARGUMENTS], "arguments", 0);
    if (rc != AIQ_OK) {
        return rc;
    }

    type = aiq_json_type(x->doc, m[AIQ_INVOKE_ENFORCE_ONLY]);

    if (type != 0 && type != AIQ_JSON_TRUE && type != AIQ_JSON_FALSE) {
        return aiq_fail(x->err, AIQ_D_INVOKE_INVALID,
                        "enforce_only is not a boolean");
    }

    v->enforce_only = (type == AIQ_JSON_TRUE);

    return AIQ_OK;
}


/*
 * Actions are not held to visible ASCII here: the SDKs send what the plan
 * says.  Where a name goes into a header it is encoded.
 */

static aiq_rc_t
aiq_invoke_string(const aiq_mcp_ctx_t *x, uint32_t i, const char *field,
    aiq_str_t *out)
{
    aiq_rc_t  rc;

    aiq_str_null(out);

    if (i == AIQ_JSON_NONE) {
        return aiq_fail(x->err, AIQ_D_INVOKE_INVALID,
                        "missing required field \"%s\"", field);
    }

    if (aiq_json_type(x->doc, i) != AIQ_JSON_STRING
        || x->doc->tok[i].len > AIQ_NAME_MAX * 6)
    {
        return aiq_fail(x->err, AIQ_D_INVOKE_INVALID,
                        "%s is not a string, or too long", field);
    }

    rc = aiq_json_string(x->doc, i, x->mem, out);
    if (rc != AIQ_OK) {
        return rc;
    }

    if (!aiq_name_ok(*out)) {
        aiq_str_null(out);

        return aiq_fail(x->err, AIQ_D_INVOKE_INVALID,
                        "%s is not 1 to %d bytes without controls", field,
                        AIQ_NAME_MAX);
    }

    return AIQ_OK;
}


/* the plan and the token, which come in up to three copies */

static aiq_rc_t
aiq_invoke_intent(aiq_invoke_t *v, const aiq_mcp_ctx_t *x, const uint32_t *m)
{
    int       type;
    aiq_rc_t  rc;
    uint32_t  k, wrapper, w[AIQ_MCP_MEMBERS];

    wrapper = m[AIQ_INVOKE_INTENT_TOKEN];
    type = aiq_json_type(x->doc, wrapper);

    for (k = 0; k < aiq_wrapper_shape.n; k++) {
        w[k] = AIQ_JSON_NONE;
    }

    if (type == AIQ_JSON_OBJECT) {

        rc = aiq_mcp_members(x, wrapper, &aiq_wrapper_shape, w);
        if (rc != AIQ_OK) {
            return rc;
        }

    } else if (type != 0 && type != AIQ_JSON_NULL) {
        return aiq_fail(x->err, AIQ_D_INVOKE_INVALID,
                        "intent_token is not an object");
    }

    if ((rc = aiq_invoke_copy(x, &v->plan, m[AIQ_INVOKE_PLAN], "plan", 0))
            != AIQ_OK
        || (rc = aiq_invoke_copy(x, &v->plan, w[AIQ_WRAPPER_PLAN],
                                 "intent_token.plan", 0)) != AIQ_OK
        || (rc = aiq_invoke_copy(x, &v->token, m[AIQ_INVOKE_CSRG_TOKEN],
                                 "csrg_token", 1)) != AIQ_OK
        || (rc = aiq_invoke_copy(x, &v->token, m[AIQ_INVOKE_TOKEN],
                                 "token", 1)) != AIQ_OK
        || (rc = aiq_invoke_copy(x, &v->token, w[AIQ_WRAPPER_TOKEN],
                                 "intent_token.token", 1)) != AIQ_OK)
    {
        return rc;
    }

    return AIQ_OK;
}


/*
 * One of several places of the same thing: the first is kept, the others
 * must be equal, or a server behind us might take another one.  null is
 * what some SDKs write for "none".
 */

static aiq_rc_t
aiq_invoke_copy(const aiq_mcp_ctx_t *x, uint32_t *kept, uint32_t i,
    const char *field, int text)
{
    int  type;

    type = aiq_json_type(x->doc, i);

    if (type == 0 || type == AIQ_JSON_NULL) {
        return AIQ_OK;
    }

    if (type != AIQ_JSON_OBJECT && !(text && type == AIQ_JSON_STRING)) {
        *kept = AIQ_JSON_NONE;

        return aiq_fail(x->err, AIQ_D_INVOKE_INVALID,
                        text ? "%s is neither an object nor a string"
                             : "%s is not an object", field);
    }

    if (*kept == AIQ_JSON_NONE) {
        *kept = i;
        return AIQ_OK;
    }

    if (!aiq_mcp_same(x->doc, *kept, i)) {
        *kept = AIQ_JSON_NONE;

        return aiq_fail(x->err, AIQ_D_INVOKE_INVALID,
                        "%s is not the same in all its places", field);
    }

    return AIQ_OK;
}


/*
 * The same value, that is, the same canonical form.  Depth is bounded by the
 * reader, time by the memcmp(): equal bytes are equal values.
 */

static int
aiq_mcp_same(const aiq_json_t *doc, uint32_t a, uint32_t b)
{
    double     x, y;
    uint32_t   i, k;
    aiq_str_t  r, s;

    if (doc->tok[a].type != doc->tok[b].type
        || doc->tok[a].n != doc->tok[b].n)
    {
        return 0;
    }

    r = aiq_json_raw(doc, a);
    s = aiq_json_raw(doc, b);

    if (aiq_str_eq(r, s)) {
        return 1;
    }

    switch (doc->tok[a].type) {

    case AIQ_JSON_NUMBER:
        return aiq_json_double(doc, a, &x) == AIQ_OK
               && aiq_json_double(doc, b, &y) == AIQ_OK
               && x == y;

    case AIQ_JSON_STRING:
        return aiq_mcp_same_string(doc, a, b);

    case AIQ_JSON_OBJECT:
        return aiq_mcp_same_object(doc, a, b);

    case AIQ_JSON_ARRAY:
        i = aiq_json_first(doc, a);
        k = aiq_json_first(doc, b);

        while (i != AIQ_JSON_NONE && k != AIQ_JSON_NONE) {

            if (!aiq_mcp_same(doc, i, k)) {
                return 0;
            }

            i = aiq_json_next(doc, a, i);
            k = aiq_json_next(doc, b, k);
        }

        return i == k;

    case AIQ_JSON_NULL:
    case AIQ_JSON_TRUE:
    case AIQ_JSON_FALSE:
        return 1;

    default:
        return 0;
    }
}


static int
aiq_mcp_same_string(const aiq_json_t *doc, uint32_t a, uint32_t b)
{
    const unsigned char  *p, *q, *plast, *qlast;

    p = doc->text.data + doc->tok[a].pos;
    q = doc->text.data + doc->tok[b].pos;
    plast = p + doc->tok[a].len;
    qlast = q + doc->tok[b].len;

    while (p < plast && q < qlast) {
        if (aiq_json_code(&p, plast) != aiq_json_code(&q, qlast)) {
            return 0;
        }
    }

    return p == plast && q == qlast;
}


/* both in canonical order: keys have no duplicates, so it is unique */

static int
aiq_mcp_same_object(const aiq_json_t *doc, uint32_t a, uint32_t b)
{
    uint32_t  i, k;

    i = doc->tok[a].link;
    k = doc->tok[b].link;

    while (i != AIQ_JSON_NONE && k != AIQ_JSON_NONE) {

        if (!aiq_mcp_same_string(doc, i, k)
            || !aiq_mcp_same(doc, i + 1, k + 1))
        {
            return 0;
        }

        i = doc->tok[i].link;
        k = doc->tok[k].link;
    }

    return i == k;
}
