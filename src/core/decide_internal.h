
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The steps of the decision, between the files that hold them.  Each one
 * reads what the steps before it found out and may only deny.
 */


#ifndef _AIQ_DECIDE_INTERNAL_H_INCLUDED_
#define _AIQ_DECIDE_INTERNAL_H_INCLUDED_


#include "decide.h"


aiq_rc_t aiq_decide_framing(aiq_decision_t *d, const aiq_request_t *in);
aiq_rc_t aiq_decide_identity(aiq_decision_t *d, const aiq_request_t *in);
aiq_rc_t aiq_decide_token(aiq_decision_t *d, const aiq_request_t *in);
aiq_rc_t aiq_decide_tenant(aiq_decision_t *d, const aiq_request_t *in);
aiq_rc_t aiq_decide_intent(aiq_decision_t *d, const aiq_request_t *in);
aiq_rc_t aiq_decide_policy(aiq_decision_t *d, const aiq_request_t *in);
aiq_rc_t aiq_decide_limits(aiq_decision_t *d, const aiq_request_t *in);

/* the policy in the token, compiled; NULL if there is none */

aiq_rc_t aiq_decide_constraints(aiq_decision_t *d, const aiq_request_t *in,
    aiq_policy_t **policy);

/* what policies say of a tool; *which is the policy of the org that decided */

aiq_rc_t aiq_decide_tool(aiq_decision_t *d, const aiq_request_t *in,
    const aiq_ruleset_t *rules, const aiq_policy_t *constraints,
    aiq_str_t tool, const aiq_policy_t **which);

/* the ruleset of d->org */

aiq_rc_t aiq_decide_ruleset(aiq_decision_t *d, const aiq_request_t *in,
    const aiq_ruleset_t **rules);

/* is the API key of this id, of d->org, still one?  AIQ_D_KEY_INVALID */

aiq_rc_t aiq_decide_key(aiq_decision_t *d, const aiq_request_t *in,
    aiq_str_t id);

/* the same of the key that was presented, or that the token was issued to */

aiq_rc_t aiq_decide_again_key(aiq_decision_t *d, const aiq_request_t *in);

/* a tool is called: policies speak of it */

#define aiq_is_call(d, in)                                                    \
    ((in)->invoke || (d)->mcp.cls == AIQ_MCP_CALL                             \
     || (d)->mcp.need == AIQ_NEED_INTENT)

/* needs an intent, not just an identity */

#define aiq_needs_intent(d, in)                                               \
    ((in)->invoke || (d)->mcp.need == AIQ_NEED_INTENT)


#endif /* _AIQ_DECIDE_INTERNAL_H_INCLUDED_ */
