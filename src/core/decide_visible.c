
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What a caller may know of: the tools that it could call.  By the functions
 * that judge calls, so that the two cannot differ.
 */


#include <string.h>

#include "decide_internal.h"


static void aiq_visible_call(aiq_mcp_t *call, aiq_str_t tool);


aiq_rc_t
aiq_visible_begin(aiq_visible_t *v, aiq_decision_t *d,
    const aiq_request_t *in)
{
    aiq_rc_t   rc;
    aiq_mcp_t  call;

    memset(v, 0, sizeof(aiq_visible_t));

    v->d = d;
    v->in = in;

    /* a stream may outlive what it was opened with */

    if (d->trusted && in->token.now >= d->token.exp) {
        return aiq_fail(&d->err, AIQ_D_TOKEN_EXPIRED,
                        "expired since the stream was opened");
    }

    if ((rc = aiq_decide_again(d, in)) != AIQ_OK
        || (rc = aiq_decide_again_key(d, in)) != AIQ_OK
        || (rc = aiq_decide_constraints(d, in, &v->constraints)) != AIQ_OK)
    {
        return rc;
    }

    aiq_visible_call(&call, aiq_cstr(""));

    if (aiq_mcp_need(&call, in->methods, in->nmethods, NULL) != AIQ_OK) {
        v->none = 1;
        return AIQ_OK;
    }

    if (call.need != AIQ_NEED_INTENT || !d->trusted) {
        return AIQ_OK;
    }

    rc = aiq_plan_get(in->txn, d->org, d->token.plan_hash, &v->plan, in->mem);

    if (aiq_is_fault(rc)) {
        return rc;
    }

    /* a plan that only comes with the call is not known yet */

    v->planned = (rc == AIQ_OK);

    return AIQ_OK;
}


static void
aiq_visible_call(aiq_mcp_t *call, aiq_str_t tool)
{
    memset(call, 0, sizeof(aiq_mcp_t));

    call->cls = AIQ_MCP_CALL;
    call->need = AIQ_NEED_INTENT;
    call->method = aiq_cstr("tools/call");
    call->tool = tool;
}


aiq_rc_t
aiq_visible(aiq_visible_t *v, aiq_str_t tool)
{
    uint32_t              i;
    aiq_rc_t              rc;
    aiq_mcp_t             call;
    unsigned char        *pos;
    const aiq_policy_t   *which;
    const aiq_ruleset_t  *rules;

    if (v->none) {
        return AIQ_D_RPC_METHOD;
    }

    /* a call with a name like that is refused when it is read */

    if (!aiq_mcp_tool_ok(tool)) {
        return AIQ_D_RPC_INVALID;
    }

    aiq_visible_call(&call, tool);

    rc = aiq_mcp_need(&call, v->in->methods, v->in->nmethods, NULL);

    if (rc != AIQ_OK) {
        return rc;
    }

    if (v->planned) {

        for (i = 0; i < v->plan.n; i++) {

            if (aiq_str_eq(v->plan.steps[i].action, tool)
                && aiq_str_eq(v->plan.steps[i].mcp, v->d->server))
            {
                break;
            }
        }

        if (i == v->plan.n) {
            return AIQ_D_STEP_NOT_PLANNED;
        }
    }

    /* a list is long, and memory ends */

    pos = v->in->mem->pos;

    rc = aiq_decide_ruleset(v->d, v->in, &rules);

    if (rc == AIQ_OK) {
        rc = aiq_ruleset_tool(rules, v->d->server, tool);
    }

    if (rc == AIQ_OK) {
        rc = aiq_decide_tool(v->d, v->in, rules, v->constraints, tool,
                             &which);
    }

    v->in->mem->pos = pos;

    return rc == AIQ_D_POLICY_HOLD ? AIQ_OK : rc;
}


aiq_rc_t
aiq_decide_told(const aiq_decision_t *d)
{
    if (d->mcp.cls != AIQ_MCP_CALL) {
        return d->rc;
    }

    switch ((int) d->rc) {

    case AIQ_D_POLICY_DENY:
    case AIQ_D_POLICY_NOT_ALLOWED:
    case AIQ_D_POLICY_TOOL:
    case AIQ_D_POLICY_SOURCE:
    case AIQ_D_POLICY_TIME:
        return AIQ_D_TOOL_UNKNOWN;

    default:
        return d->rc;
    }
}
