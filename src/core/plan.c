
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Reading a plan, its compiled form, and matching a call with a step.
 */


#include <string.h>

#include "plan.h"


/*
 * Packed: "AIQP", version (4), n (4), root (32); per step flags (1),
 * max_uses (4), length and bytes of mcp and action (2 + ...), params (32) if
 * bound, leaf (32); the last leaf (32).
 */

#define AIQ_PACK_VERSION   1
#define AIQ_PACK_HEADER    (4 + 4 + 4 + AIQ_HASH_LEN)
#define AIQ_PACK_STEP_MIN  (1 + 4 + 2 + 1 + 2 + 1 + AIQ_HASH_LEN)

#define AIQ_PACK_BOUND     0x01
#define AIQ_PACK_EMAIL     0x02
#define AIQ_PACK_DEFAULTS  0x04
#define AIQ_PACK_FLAGS     0x07

/* what is hashed goes through a buffer of this many bytes */

#define AIQ_PLAN_BUFFER    1024


typedef struct {
    const unsigned char  *pos;
    const unsigned char  *end;
} aiq_plan_in_t;

typedef struct {
    int                   form;           /* AIQ_ARGS_... */
    int                   email;
} aiq_plan_skip_t;


static aiq_rc_t aiq_plan_read_steps(aiq_plan_t *plan, const aiq_json_t *doc,
    uint32_t steps, aiq_crypto_t *c, aiq_mem_t *mem, aiq_err_t *err);
static aiq_rc_t aiq_plan_rest(aiq_plan_t *plan, const aiq_json_t *doc,
    uint32_t i, aiq_crypto_t *c);
static int aiq_plan_skip_steps(const aiq_json_t *doc, uint32_t key,
    void *data);
static aiq_rc_t aiq_step_field(aiq_str_t *out, uint32_t index,
    const char *name, const aiq_json_t *doc, uint32_t i, aiq_mem_t *mem,
    aiq_err_t *err);
static aiq_rc_t aiq_step_options(aiq_step_t *step, uint32_t index,
    const aiq_json_t *doc, uint32_t i, aiq_crypto_t *c, aiq_err_t *err);
static aiq_rc_t aiq_step_leaf(aiq_step_t *step, uint32_t index,
    const aiq_json_t *doc, uint32_t i, aiq_crypto_t *c);
static void aiq_plan_put32(aiq_out_t *out, uint32_t v);
static void aiq_plan_put_str(aiq_out_t *out, aiq_str_t s);
static const unsigned char *aiq_plan_take(aiq_plan_in_t *in, size_t len);
static int aiq_plan_take_str(aiq_plan_in_t *in, aiq_str_t *s);
static int aiq_plan_take_step(aiq_plan_in_t *in, aiq_step_t *step);
static uint32_t aiq_plan_u32(const unsigned char *p);
static int aiq_args_skip(const aiq_json_t *doc, uint32_t key, void *data);
static aiq_rc_t aiq_args_hash_one(aiq_hash_t out, const aiq_json_t *doc,
    uint32_t i, aiq_plan_skip_t *skip, aiq_crypto_t *c);


aiq_rc_t
aiq_plan_read(aiq_plan_t *plan, const aiq_json_t *doc, uint32_t i,
    aiq_crypto_t *c, aiq_mem_t *mem, aiq_err_t *err)
{
    aiq_rc_t        rc;
    uint32_t        steps;
    unsigned char  *pos;

    memset(plan, 0, sizeof(aiq_plan_t));

    if (aiq_json_type(doc, i) != AIQ_JSON_OBJECT) {
        return aiq_fail(err, AIQ_D_PLAN_INVALID, "the plan is not an object");
    }

    steps = aiq_json_get(doc, i, "steps");

    if (steps == AIQ_JSON_NONE) {
        return aiq_fail(err, AIQ_D_PLAN_INVALID,
                        "the plan: missing required field \"steps\"");
    }

    if (aiq_json_type(doc, steps) != AIQ_JSON_ARRAY) {
        return aiq_fail(err, AIQ_D_PLAN_INVALID,
                        "the plan: \"steps\" is not an array");
    }

    plan->n = doc->tok[steps].n;

    if (plan->n == 0 || plan->n > AIQ_PLAN_STEPS) {
        return aiq_fail(err, AIQ_D_PLAN_INVALID,
                        "the plan: \"steps\" has %u elements, 1 to %d are "
                        "accepted", plan->n, AIQ_PLAN_STEPS);
    }

    pos = mem->pos;

    rc = aiq_plan_read_steps(plan, doc, steps, c, mem, err);

    if (rc == AIQ_OK) {
        rc = aiq_plan_rest(plan, doc, i, c);
    }

    if (rc == AIQ_OK) {
        rc = aiq_merkle_build(c, (const aiq_hash_t *) plan->leaves,
                              (uint64_t) plan->n + 1, plan->nodes,
                              plan->root);
    }

    if (rc != AIQ_OK) {
        mem->pos = pos;
        memset(plan, 0, sizeof(aiq_plan_t));
    }

    return rc;
}


static aiq_rc_t
aiq_plan_read_steps(aiq_plan_t *plan, const aiq_json_t *doc, uint32_t steps,
    aiq_crypto_t *c, aiq_mem_t *mem, aiq_err_t *err)
{
    size_t    leaves;
    uint32_t  i, k;
    aiq_rc_t  rc;

    leaves = (size_t) plan->n + 1;

    plan->steps = aiq_mem_calloc(mem, plan->n * sizeof(aiq_step_t));
    plan->leaves = aiq_mem_alloc(mem, leaves * sizeof(aiq_hash_t));
    plan->nodes = aiq_mem_alloc(mem, (size_t) aiq_merkle_nodes(leaves)
                                     * sizeof(aiq_hash_t));

    if (plan->steps == NULL || plan->leaves == NULL || plan->nodes == NULL) {
        return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory for a plan of %u "
                        "steps", plan->n);
    }

    i = 0;

    for (k = aiq_json_first(doc, steps);
         k != AIQ_JSON_NONE;
         k = aiq_json_next(doc, steps, k))
    {
        rc = aiq_step_read(&plan->steps[i], i, doc, k, c, mem, err);
        if (rc != AIQ_OK) {
            return rc;
        }

        memcpy(plan->leaves[i], plan->steps[i].leaf, AIQ_HASH_LEN);

        i++;
    }

    return AIQ_OK;
}


/* the last leaf: the plan without its steps */

static aiq_rc_t
aiq_plan_rest(aiq_plan_t *plan, const aiq_json_t *doc, uint32_t i,
    aiq_crypto_t *c)
{
    aiq_rc_t       rc;
    aiq_out_t      out;
    unsigned char  buf[AIQ_PLAN_BUFFER];

    rc = aiq_sha256_begin(c, &out, buf, sizeof(buf));
    if (rc != AIQ_OK) {
        return rc;
    }

    aiq_out_char(&out, 0);
    aiq_out_str(&out, "{\"path\":\"/\",\"plan\":");
    aiq_jcs_write_object(&out, doc, i, AIQ_JCS, aiq_plan_skip_steps, NULL);
    aiq_out_char(&out, '}');

    return aiq_sha256_end(c, &out, plan->leaves[plan->n]);
}


static int
aiq_plan_skip_steps(const aiq_json_t *doc, uint32_t key, void *data)
{
    return aiq_json_is(doc, key, "steps");
}


aiq_rc_t
aiq_step_read(aiq_step_t *step, uint32_t index, const aiq_json_t *doc,
    uint32_t i, aiq_crypto_t *c, aiq_mem_t *mem, aiq_err_t *err)
{
    aiq_rc_t  rc;

    memset(step, 0, sizeof(aiq_step_t));

    if (index >= AIQ_PLAN_STEPS) {
        return aiq_fail(err, AIQ_D_PLAN_INVALID, "step %u: there are no more "
                        "than %d steps", index, AIQ_PLAN_STEPS);
    }

    if (aiq_json_type(doc, i) != AIQ_JSON_OBJECT) {
        return aiq_fail(err, AIQ_D_PLAN_INVALID, "step %u is not an object",
                        index);
    }

    rc = aiq_step_field(&step->action, index, "action", doc, i, mem, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_step_field(&step->mcp, index, "mcp", doc, i, mem, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    if (!aiq_name_ok(step->mcp)) {
        return aiq_fail(err, AIQ_D_PLAN_INVALID, "step %u: \"mcp\" has a "
                        "control character", index);
    }

    rc = aiq_step_options(step, index, doc, i, c, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    return aiq_step_leaf(step, index, doc, i, c);
}


static aiq_rc_t
aiq_step_field(aiq_str_t *out, uint32_t index, const char *name,
    const aiq_json_t *doc, uint32_t i, aiq_mem_t *mem, aiq_err_t *err)
{
    aiq_rc_t  rc;
    uint32_t  k;

    k = aiq_json_get(doc, i, name);

    if (k == AIQ_JSON_NONE) {
        return aiq_fail(err, AIQ_D_PLAN_INVALID,
                        "step %u: missing required field \"%s\"", index, name);
    }

    rc = aiq_json_string(doc, k, mem, out);

    if (rc == AIQ_DECLINED) {
        return aiq_fail(err, AIQ_D_PLAN_INVALID,
                        "step %u: \"%s\" is not a string", index, name);
    }

    if (rc != AIQ_OK) {
        return aiq_fail(err, rc, "step %u: \"%s\" cannot be read", index,
                        name);
    }

    if (out->len == 0 || out->len > AIQ_NAME_MAX) {
        return aiq_fail(err, AIQ_D_PLAN_INVALID,
                        "step %u: \"%s\" has %zu bytes, 1 to %d are accepted",
                        index, name, out->len, AIQ_NAME_MAX);
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_step_options(aiq_step_t *step, uint32_t index, const aiq_json_t *doc,
    uint32_t i, aiq_crypto_t *c, aiq_err_t *err)
{
    int64_t   uses;
    uint32_t  k;

    step->max_uses = 1;
    step->defaults = 1;

    k = aiq_json_get(doc, i, "max_uses");

    if (k != AIQ_JSON_NONE) {

        if (aiq_json_int(doc, k, &uses) != AIQ_OK
            || uses < 1
            || uses > AIQ_STEP_USES_MAX)
        {
            return aiq_fail(err, AIQ_D_PLAN_INVALID, "step %u: \"max_uses\" "
                            "is not an integer from 1 to %d", index,
                            AIQ_STEP_USES_MAX);
        }

        step->max_uses = (uint32_t) uses;
        step->defaults = 0;
    }

    k = aiq_json_get(doc, i, "params");

    if (k == AIQ_JSON_NONE) {
        return AIQ_OK;
    }

    if (aiq_json_type(doc, k) != AIQ_JSON_OBJECT) {
        return aiq_fail(err, AIQ_D_PLAN_INVALID,
                        "step %u: \"params\" is not an object", index);
    }

    step->bound = 1;
    step->email = (aiq_json_get(doc, k, "user_email") != AIQ_JSON_NONE);

    return aiq_jcs_hash(c, doc, k, AIQ_JCS, step->params);
}


static aiq_rc_t
aiq_step_leaf(aiq_step_t *step, uint32_t index, const aiq_json_t *doc,
    uint32_t i, aiq_crypto_t *c)
{
    aiq_rc_t       rc;
    aiq_out_t      out;
    unsigned char  buf[AIQ_PLAN_BUFFER];

    rc = aiq_sha256_begin(c, &out, buf, sizeof(buf));
    if (rc != AIQ_OK) {
        return rc;
    }

    aiq_out_char(&out, 0);
    aiq_out_str(&out, "{\"path\":\"/steps/[");
    aiq_out_int(&out, (int64_t) index);
    aiq_out_str(&out, "]\",\"step\":");
    aiq_jcs_write(&out, doc, i, AIQ_JCS);
    aiq_out_char(&out, '}');

    return aiq_sha256_end(c, &out, step->leaf);
}


static void
aiq_plan_put32(aiq_out_t *out, uint32_t v)
{
    unsigned char  p[4];

    p[0] = (unsigned char) v;
    p[1] = (unsigned char) (v >> 8);
    p[2] = (unsigned char) (v >> 16);
    p[3] = (unsigned char) (v >> 24);

    aiq_out_mem(out, p, 4);
}


static void
aiq_plan_put_str(aiq_out_t *out, aiq_str_t s)
{
    aiq_out_char(out, s.len & 0xff);
    aiq_out_char(out, s.len >> 8);
    aiq_out_mem(out, s.data, s.len);
}


void
aiq_plan_pack(aiq_out_t *out, const aiq_plan_t *plan)
{
    uint32_t           i;
    unsigned           flags;
    const aiq_step_t  *s;

    aiq_out_mem(out, "AIQP", 4);
    aiq_plan_put32(out, AIQ_PACK_VERSION);
    aiq_plan_put32(out, plan->n);
    aiq_out_mem(out, plan->root, AIQ_HASH_LEN);

    for (i = 0; i < plan->n; i++) {
        s = &plan->steps[i];

        flags = (s->bound ? AIQ_PACK_BOUND : 0)
                | (s->email ? AIQ_PACK_EMAIL : 0)
                | (s->defaults ? AIQ_PACK_DEFAULTS : 0);

        aiq_out_char(out, flags);
        aiq_plan_put32(out, s->max_uses);
        aiq_plan_put_str(out, s->mcp);
        aiq_plan_put_str(out, s->action);

        if (s->bound) {
            aiq_out_mem(out, s->params, AIQ_HASH_LEN);
        }

        aiq_out_mem(out, s->leaf, AIQ_HASH_LEN);
    }

    aiq_out_mem(out, plan->leaves[plan->n], AIQ_HASH_LEN);
}


static uint32_t
aiq_plan_u32(const unsigned char *p)
{
    return (uint32_t) p[0]
           | (uint32_t) p[1] << 8
           | (uint32_t) p[2] << 16
           | (uint32_t) p[3] << 24;
}


static const unsigned char *
aiq_plan_take(aiq_plan_in_t *in, size_t len)
{
    const unsigned char  *p;

    if ((size_t) (in->end - in->pos) < len) {
        return NULL;
    }

    p = in->pos;
    in->pos += len;

    return p;
}


static int
aiq_plan_take_str(aiq_plan_in_t *in, aiq_str_t *s)
{
    const unsigned char  *p;

    p = aiq_plan_take(in, 2);
    if (p == NULL) {
        return 0;
    }

    s->len = (size_t) p[0] | (size_t) p[1] << 8;

    if (s->len == 0 || s->len > AIQ_NAME_MAX) {
        return 0;
    }

    s->data = aiq_plan_take(in, s->len);

    return s->data != NULL;
}


static int
aiq_plan_take_step(aiq_plan_in_t *in, aiq_step_t *step)
{
    unsigned              flags;
    const unsigned char  *p;

    p = aiq_plan_take(in, 5);
    if (p == NULL) {
        return 0;
    }

    flags = p[0];

    if (flags & ~(unsigned) AIQ_PACK_FLAGS) {
        return 0;
    }

    step->bound = ((flags & AIQ_PACK_BOUND) != 0);
    step->email = ((flags & AIQ_PACK_EMAIL) != 0);
    step->defaults = ((flags & AIQ_PACK_DEFAULTS) != 0);
    step->max_uses = aiq_plan_u32(p + 1);

    if (step->max_uses == 0
        || step->max_uses > AIQ_STEP_USES_MAX
        || (step->defaults && step->max_uses != 1)
        || (step->email && !step->bound))
    {
        return 0;
    }

    if (!aiq_plan_take_str(in, &step->mcp)
        || !aiq_plan_take_str(in, &step->action))
    {
        return 0;
    }

    if (step->bound) {
        p = aiq_plan_take(in, AIQ_HASH_LEN);
        if (p == NULL) {
            return 0;
        }

        memcpy(step->params, p, AIQ_HASH_LEN);
    }

    p = aiq_plan_take(in, AIQ_HASH_LEN);
    if (p == NULL) {
        return 0;
    }

    memcpy(step->leaf, p, AIQ_HASH_LEN);

    return 1;
}


aiq_rc_t
aiq_plan_unpack(aiq_plan_t *plan, aiq_str_t packed, aiq_mem_t *mem)
{
    uint32_t              i;
    unsigned char        *pos;
    aiq_plan_in_t         in;
    const unsigned char  *p;

    memset(plan, 0, sizeof(aiq_plan_t));

    pos = mem->pos;
    in.pos = packed.data;
    in.end = packed.data + packed.len;

    p = aiq_plan_take(&in, AIQ_PACK_HEADER);

    if (p == NULL
        || memcmp(p, "AIQP", 4) != 0
        || aiq_plan_u32(p + 4) != AIQ_PACK_VERSION)
    {
        return AIQ_E_STORE_CORRUPT;
    }

    plan->n = aiq_plan_u32(p + 8);
    memcpy(plan->root, p + 12, AIQ_HASH_LEN);

    /* before memory is taken for what cannot be there */

    if (plan->n == 0
        || plan->n > AIQ_PLAN_STEPS
        || (size_t) (in.end - in.pos) / AIQ_PACK_STEP_MIN < plan->n)
    {
        goto corrupt;
    }

    plan->steps = aiq_mem_calloc(mem, plan->n * sizeof(aiq_step_t));
    plan->leaves = aiq_mem_alloc(mem, ((size_t) plan->n + 1)
                                      * sizeof(aiq_hash_t));

    if (plan->steps == NULL || plan->leaves == NULL) {
        mem->pos = pos;
        memset(plan, 0, sizeof(aiq_plan_t));
        return AIQ_E_NO_MEMORY;
    }

    for (i = 0; i < plan->n; i++) {

        if (!aiq_plan_take_step(&in, &plan->steps[i])) {
            goto corrupt;
        }

        memcpy(plan->leaves[i], plan->steps[i].leaf, AIQ_HASH_LEN);
    }

    p = aiq_plan_take(&in, AIQ_HASH_LEN);

    if (p == NULL || in.pos != in.end) {
        goto corrupt;
    }

    memcpy(plan->leaves[plan->n], p, AIQ_HASH_LEN);

    return AIQ_OK;

corrupt:

    mem->pos = pos;
    memset(plan, 0, sizeof(aiq_plan_t));

    return AIQ_E_STORE_CORRUPT;
}


int
aiq_args_added_by_sdk(const aiq_json_t *doc, uint32_t key)
{
    return aiq_json_is(doc, key, "_iam_context")
           || aiq_json_is(doc, key, "_policy_context")
           || aiq_json_is(doc, key, "_delegation_id")
           || aiq_json_is(doc, key, "_approvals");
}


static int
aiq_args_skip(const aiq_json_t *doc, uint32_t key, void *data)
{
    aiq_plan_skip_t  *skip;

    skip = data;

    switch (skip->form) {

    case AIQ_ARGS_SDK:
        return aiq_args_added_by_sdk(doc, key)
               || (skip->email && aiq_json_is(doc, key, "user_email"));

    case AIQ_ARGS_PARAMS:
        return aiq_json_is(doc, key, "_meta")
               || aiq_json_is(doc, key, "inputResponses")
               || aiq_json_is(doc, key, "requestState");

    default:
        return 0;
    }
}


static aiq_rc_t
aiq_args_hash_one(aiq_hash_t hash, const aiq_json_t *doc, uint32_t i,
    aiq_plan_skip_t *skip, aiq_crypto_t *c)
{
    aiq_rc_t       rc;
    aiq_out_t      out;
    unsigned char  buf[AIQ_PLAN_BUFFER];

    rc = aiq_sha256_begin(c, &out, buf, sizeof(buf));
    if (rc != AIQ_OK) {
        return rc;
    }

    if (i == AIQ_JSON_NONE) {
        aiq_out_str(&out, "{}");

    } else {
        aiq_jcs_write_object(&out, doc, i, AIQ_JCS, aiq_args_skip, skip);
    }

    return aiq_sha256_end(c, &out, hash);
}


aiq_rc_t
aiq_args_hash(aiq_args_t *args, const aiq_json_t *doc, uint32_t i, int form,
    aiq_crypto_t *c)
{
    aiq_rc_t         rc;
    aiq_plan_skip_t  skip;

    memset(args, 0, sizeof(aiq_args_t));

    if (i != AIQ_JSON_NONE && aiq_json_type(doc, i) != AIQ_JSON_OBJECT) {
        return AIQ_D_STEP_PARAMS;
    }

    skip.form = form;
    skip.email = 0;

    rc = aiq_args_hash_one(args->full, doc, i, &skip, c);
    if (rc != AIQ_OK) {
        return rc;
    }

    /* nothing is left out but what an SDK may have added */

    if (form != AIQ_ARGS_SDK
        || i == AIQ_JSON_NONE
        || aiq_json_get(doc, i, "user_email") == AIQ_JSON_NONE)
    {
        memcpy(args->no_email, args->full, AIQ_HASH_LEN);
        return AIQ_OK;
    }

    skip.email = 1;

    return aiq_args_hash_one(args->no_email, doc, i, &skip, c);
}


aiq_rc_t
aiq_step_match(const aiq_step_t *s, aiq_str_t mcp, aiq_str_t action,
    const aiq_args_t *args, int strictness, int sdk)
{
    const unsigned char  *hash;

    if (!aiq_str_eq(s->action, action)) {
        return AIQ_D_STEP_NOT_PLANNED;
    }

    if (!aiq_str_eq(s->mcp, mcp)) {
        return AIQ_D_STEP_SERVER;
    }

    if (!s->bound) {
        return (strictness == AIQ_PARAMS_PLANNED) ? AIQ_OK
                                                  : AIQ_D_STEP_UNBOUND;
    }

    if (args == NULL) {
        return AIQ_D_STEP_PARAMS;
    }

    hash = (sdk && !s->email) ? args->no_email : args->full;

    if (!aiq_equal(s->params, hash, AIQ_HASH_LEN)) {
        return AIQ_D_STEP_PARAMS;
    }

    return AIQ_OK;
}
