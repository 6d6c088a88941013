
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The intent: was this very call planned, under the hash that was signed,
 * and is a use of its step left?
 */


#include <string.h>

#include "decide_internal.h"


static aiq_rc_t aiq_decide_plan(aiq_decision_t *d, const aiq_request_t *in,
    aiq_plan_t *plan);
static aiq_rc_t aiq_decide_plan_body(aiq_decision_t *d,
    const aiq_request_t *in, aiq_plan_t *plan);
static aiq_rc_t aiq_decide_plan_claims(aiq_decision_t *d,
    const aiq_request_t *in);
static aiq_rc_t aiq_decide_csrg(aiq_decision_t *d, const aiq_request_t *in,
    const aiq_plan_t *plan);
static aiq_rc_t aiq_decide_carried(aiq_decision_t *d,
    const aiq_request_t *in);
static aiq_rc_t aiq_decide_carried_read(aiq_decision_t *d,
    const aiq_request_t *in, uint32_t *index, aiq_step_t *step,
    aiq_str_t *proof);
static aiq_rc_t aiq_decide_step(aiq_decision_t *d, const aiq_request_t *in,
    const aiq_step_t *steps, uint32_t n, uint32_t first);
static aiq_rc_t aiq_decide_reserve(aiq_decision_t *d, const aiq_request_t *in,
    const aiq_step_t *step, uint32_t index);
static unsigned aiq_decide_closeness(aiq_rc_t rc);


aiq_rc_t
aiq_decide_intent(aiq_decision_t *d, const aiq_request_t *in)
{
    int         form;
    aiq_rc_t    rc;
    aiq_plan_t  plan;

    if (!aiq_is_call(d, in)) {
        return AIQ_OK;
    }

    form = in->invoke ? AIQ_ARGS_SDK
           : d->mcp.cls == AIQ_MCP_CALL ? AIQ_ARGS_RAW : AIQ_ARGS_PARAMS;

    rc = aiq_args_hash(&d->args_hash, in->body, d->args, form, in->crypto);

    if (rc != AIQ_OK) {
        return rc;
    }

    d->has_args = 1;

    /* "armoriq_method tools/call identity": policies and limits only */

    if (!aiq_needs_intent(d, in)) {
        return AIQ_OK;
    }

    rc = aiq_decide_plan(d, in, &plan);

    if (rc == AIQ_DECLINED) {
        return aiq_decide_carried(d, in);
    }

    if (rc != AIQ_OK) {
        return rc;
    }

    if (plan.n != d->token.steps) {
        return aiq_fail(&d->err, AIQ_D_PLAN_MISMATCH,
                        "the plan has %u steps, the token says %u",
                        plan.n, d->token.steps);
    }

    rc = aiq_decide_csrg(d, in, &plan);

    if (rc != AIQ_OK) {
        return rc;
    }

    return aiq_decide_step(d, in, plan.steps, plan.n, 0);
}


/*
 * The plan from the store, else from the envelope.  An envelope that has one
 * is held to it even if the store knows the real plan.
 */

static aiq_rc_t
aiq_decide_plan(aiq_decision_t *d, const aiq_request_t *in, aiq_plan_t *plan)
{
    aiq_rc_t  rc;

    if (in->invoke) {
        rc = aiq_decide_plan_claims(d, in);

        if (rc != AIQ_OK) {
            return rc;
        }

        if (d->invoke.plan != AIQ_JSON_NONE) {
            return aiq_decide_plan_body(d, in, plan);
        }
    }

    rc = aiq_plan_get(in->txn, d->org, d->token.plan_hash, plan, in->mem);

    if (rc != AIQ_OK && rc != AIQ_DECLINED) {
        return aiq_fail(&d->err, rc, "the plan cannot be read");
    }

    return rc;
}


static aiq_rc_t
aiq_decide_plan_body(aiq_decision_t *d, const aiq_request_t *in,
    aiq_plan_t *plan)
{
    aiq_rc_t  rc;

    rc = aiq_plan_read(plan, in->body, d->invoke.plan, in->crypto, in->mem,
                       &d->err);
    if (rc != AIQ_OK) {

        /* a plan that is none cannot be the one that was signed */

        return rc == AIQ_D_PLAN_INVALID ? AIQ_D_PLAN_MISMATCH : rc;
    }

    if (!aiq_equal(plan->root, d->token.plan_hash, AIQ_HASH_LEN)) {
        return aiq_fail(&d->err, AIQ_D_PLAN_MISMATCH,
                        "the plan does not have the hash that was signed");
    }

    return AIQ_OK;
}


/*
 * plan_hash and merkle_root beside the token are outside its signature:
 * nothing is taken from them, but they must not say something else.
 */

static aiq_rc_t
aiq_decide_plan_claims(aiq_decision_t *d, const aiq_request_t *in)
{
    uint32_t    wrapper, i, k;
    aiq_str_t   s;
    aiq_out_t   out;
    char        hex[2 * AIQ_HASH_LEN];

    static const char *const  names[] = { "plan_hash", "merkle_root" };

    wrapper = aiq_json_get(in->body, 0, "intent_token");

    if (wrapper == AIQ_JSON_NONE) {
        return AIQ_OK;
    }

    aiq_out_init(&out, hex, sizeof(hex));
    aiq_out_hex(&out, d->token.plan_hash, AIQ_HASH_LEN);
    s = aiq_out_done(&out);

    for (k = 0; k < 2; k++) {
        i = aiq_json_get(in->body, wrapper, names[k]);

        if (i != AIQ_JSON_NONE && !aiq_json_is_str(in->body, i, s)) {
            return aiq_fail(&d->err, AIQ_D_PLAN_MISMATCH,
                            "intent_token.%s is not the hash that was signed",
                            names[k]);
        }
    }

    return AIQ_OK;
}


/* what the SDKs send along: X-CSRG-Path, -Value-Digest and -Proof */

static aiq_rc_t
aiq_decide_csrg(aiq_decision_t *d, const aiq_request_t *in,
    const aiq_plan_t *plan)
{
    uint32_t           i;
    aiq_rc_t           rc;
    const aiq_step_t  *step;

    if (in->digest.data != NULL) {
        rc = aiq_plan_digest_check(in->digest, d->tool, in->crypto);

        if (rc != AIQ_OK) {
            return aiq_fail(&d->err, rc,
                            "X-CSRG-Value-Digest is not that of the action");
        }
    }

    if (in->path.data == NULL) {

        if (in->proof.data != NULL) {
            return aiq_fail(&d->err, AIQ_D_PATH_INVALID,
                            "X-CSRG-Proof without X-CSRG-Path");
        }

        return AIQ_OK;
    }

    rc = aiq_plan_path(in->path, &i);

    if (rc != AIQ_OK || i >= plan->n) {
        return aiq_fail(&d->err, rc != AIQ_OK ? rc : AIQ_D_PATH_INVALID,
                        "X-CSRG-Path does not name a step of the plan");
    }

    step = &plan->steps[i];

    if (in->proof.data != NULL) {
        rc = aiq_plan_proof_verify(in->proof, i, plan->n, step->leaf,
                                   d->token.plan_hash, in->crypto, in->mem,
                                   &d->err);
        if (rc != AIQ_OK) {
            return rc;
        }
    }

    if (!aiq_str_eq(step->action, d->tool)) {
        return aiq_fail(&d->err, AIQ_D_PATH_INVALID,
                        "X-CSRG-Path names a step with another action");
    }

    return AIQ_OK;
}


/* no plan at hand: one step and its proof, carried with the call */

static aiq_rc_t
aiq_decide_carried(aiq_decision_t *d, const aiq_request_t *in)
{
    uint32_t    i;
    aiq_rc_t    rc;
    aiq_str_t   proof;
    aiq_step_t  step;

    rc = aiq_decide_carried_read(d, in, &i, &step, &proof);

    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_plan_proof_verify(proof, i, d->token.steps, step.leaf,
                               d->token.plan_hash, in->crypto, in->mem,
                               &d->err);
    if (rc != AIQ_OK) {
        return rc;
    }

    if (in->digest.data != NULL) {
        rc = aiq_plan_digest_check(in->digest, d->tool, in->crypto);

        if (rc != AIQ_OK) {
            return aiq_fail(&d->err, rc,
                            "X-CSRG-Value-Digest is not that of the action");
        }
    }

    return aiq_decide_step(d, in, &step, 1, i);
}


/*
 * From the headers X-CSRG-Path, X-CSRG-Step and X-CSRG-Proof; or, for clients
 * whose transport has no headers, from {"path", "step", "proof"} in
 * params._meta["io.armoriq/intent"].
 */

static aiq_rc_t
aiq_decide_carried_read(aiq_decision_t *d, const aiq_request_t *in,
    uint32_t *index, aiq_step_t *step, aiq_str_t *proof)
{
    aiq_rc_t           rc;
    uint32_t           meta, s, p;
    aiq_str_t          path;
    aiq_json_t         text;
    const aiq_json_t  *doc;

    meta = AIQ_JSON_NONE;
    doc = &text;
    s = 0;

    if (!in->invoke && d->mcp.meta != AIQ_JSON_NONE) {
        meta = aiq_json_get(in->body, d->mcp.meta, "io.armoriq/intent");
    }

    if (meta != AIQ_JSON_NONE && in->path.data == NULL) {
        doc = in->body;
        s = aiq_json_get(doc, meta, "step");
        p = aiq_json_get(doc, meta, "proof");
        *proof = aiq_json_raw(doc, p);
        rc = aiq_json_string(doc, aiq_json_get(doc, meta, "path"), in->mem,
                             &path);

        if (aiq_is_fault(rc)) {
            return rc;
        }

        if (rc != AIQ_OK || s == AIQ_JSON_NONE || p == AIQ_JSON_NONE) {
            return aiq_fail(&d->err, AIQ_D_PLAN_UNKNOWN,
                            "_meta[\"io.armoriq/intent\"] has not path, step "
                            "and proof");
        }

    } else if (meta == AIQ_JSON_NONE && in->path.data != NULL
               && in->step.data != NULL && in->proof.data != NULL)
    {
        path = in->path;
        *proof = in->proof;

        rc = aiq_json_parse(&text, in->step, AIQ_JSON_DEPTH, in->mem,
                            &d->err);

        /* a text this short has not too many values: there was no room */

        if (rc == AIQ_D_JSON_TOO_LARGE && in->step.len < AIQ_JSON_TOKENS) {
            rc = AIQ_E_NO_MEMORY;
        }

        if (rc != AIQ_OK) {
            return rc;
        }

    } else {
        return aiq_fail(&d->err, AIQ_D_PLAN_UNKNOWN,
                        "the plan is not in the store, and neither plan nor "
                        "step and proof came with the call");
    }

    rc = aiq_plan_path(path, index);

    if (rc != AIQ_OK || *index >= d->token.steps) {
        return aiq_fail(&d->err, AIQ_D_PATH_INVALID,
                        "the path does not name a step of the plan");
    }

    rc = aiq_step_read(step, *index, doc, s, in->crypto, in->mem, &d->err);

    return rc == AIQ_D_PLAN_INVALID ? AIQ_D_PROOF_INVALID : rc;
}


/*
 * Looks for a step that serves the call and has a use left.  If there is
 * none, the answer is why the closest one does not.
 */

static aiq_rc_t
aiq_decide_step(aiq_decision_t *d, const aiq_request_t *in,
    const aiq_step_t *steps, uint32_t n, uint32_t first)
{
    uint32_t  i;
    aiq_rc_t  rc, best;

    best = AIQ_D_STEP_NOT_PLANNED;

    for (i = 0; i < n; i++) {

        rc = aiq_step_match(&steps[i], d->server, d->tool, &d->args_hash,
                            in->params, in->invoke);

        if (rc == AIQ_OK) {
            rc = aiq_decide_reserve(d, in, &steps[i], first + i);

            if (rc == AIQ_OK) {
                d->step = first + i;
                d->email = steps[i].email || !steps[i].bound;
                return AIQ_OK;
            }

            if (rc != AIQ_D_STEP_USED) {
                return aiq_fail(&d->err, rc, "the step ledger has no room");
            }
        }

        if (aiq_decide_closeness(rc) > aiq_decide_closeness(best)) {
            best = rc;
        }
    }

    return aiq_fail(&d->err, best, "no step of the plan serves this call");
}


static aiq_rc_t
aiq_decide_reserve(aiq_decision_t *d, const aiq_request_t *in,
    const aiq_step_t *step, uint32_t index)
{
    aiq_rc_t  rc;

    if (!in->uses) {
        return AIQ_OK;
    }

    if (in->before != NULL) {

        /* the use was taken before a redirect, by this very step or none */

        return in->before->reserved && in->before->step == (int64_t) index
               ? AIQ_OK : AIQ_D_STEP_USED;
    }

    rc = in->ops->reserve(in->ops->data, d->ledger, index, step->max_uses,
                          d->token.exp);
    if (rc != AIQ_OK) {
        return rc;
    }

    if (d->invoke.enforce_only) {

        /* only asked: the use is not spent */

        in->ops->release(in->ops->data, d->ledger, index);
        return AIQ_OK;
    }

    d->reserved = 1;
    d->max_uses = step->max_uses;

    return AIQ_OK;
}


static unsigned
aiq_decide_closeness(aiq_rc_t rc)
{
    switch (rc) {

    case AIQ_D_STEP_USED:
        return 4;

    case AIQ_D_STEP_UNBOUND:
        return 3;

    case AIQ_D_STEP_PARAMS:
        return 2;

    case AIQ_D_STEP_SERVER:
        return 1;

    default:
        return 0;
    }
}
