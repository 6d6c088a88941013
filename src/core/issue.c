
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <string.h>

#include "issue.h"


/* room for what is signed and written, besides plan and policy */

#define AIQ_ISSUE_TEXT   AIQ_TOKEN_MAX


static aiq_rc_t aiq_issue_read(aiq_issued_pair_t *out, const aiq_issue_t *in,
    aiq_str_t *policy, aiq_policy_t **compiled, aiq_err_t *err);
static aiq_rc_t aiq_issue_steps(const aiq_issued_pair_t *out,
    const aiq_issue_t *in, const aiq_ruleset_t *rules,
    const aiq_policy_t *policy, aiq_err_t *err);
static aiq_rc_t aiq_issue_step(const aiq_step_t *step, const aiq_issue_t *in,
    const aiq_ruleset_t *rules, const aiq_policy_t *policy);
static aiq_rc_t aiq_issue_sign(aiq_issued_pair_t *out, const aiq_issue_t *in,
    const aiq_ruleset_t *rules, aiq_str_t policy, aiq_err_t *err);
static aiq_rc_t aiq_issue_names(aiq_issued_pair_t *out,
    const aiq_issue_t *in);
static aiq_rc_t aiq_issue_store(const aiq_issued_pair_t *out,
    const aiq_issue_t *in, aiq_store_txn_t *txn, aiq_err_t *err);
static int aiq_issue_final(aiq_rc_t rc);


aiq_rc_t
aiq_issue(aiq_issued_pair_t *out, const aiq_issue_t *in, aiq_err_t *err)
{
    aiq_rc_t          rc;
    aiq_str_t         policy;
    aiq_policy_t     *compiled;
    aiq_ruleset_t     rules;
    aiq_store_txn_t  *txn;

    memset(out, 0, sizeof(aiq_issued_pair_t));

    /* all that costs time first: a write transaction holds up the others */

    rc = aiq_issue_read(out, in, &policy, &compiled, err);

    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_store_write(in->store, &txn, in->crypto, err);

    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_ruleset_load(&rules, txn, in->org, in->tz, in->tz_data, in->mem,
                          err);

    if (rc == AIQ_DECLINED) {
        rc = aiq_fail(err, AIQ_D_KEY_INVALID, "the org is not active");
    }

    if (rc == AIQ_OK) {
        rc = aiq_owner_active(txn, in->org, in->user, in->agent, in->mem, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_issue_steps(out, in, &rules, compiled, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_issue_sign(out, in, &rules, policy, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_issue_store(out, in, txn, err);
    }

    if (rc != AIQ_OK) {
        aiq_store_abort(txn);
        return rc;
    }

    return aiq_store_commit(txn, err);
}


/* the plan, its hash, and the policy asked for, in canonical form */

static aiq_rc_t
aiq_issue_read(aiq_issued_pair_t *out, const aiq_issue_t *in,
    aiq_str_t *policy, aiq_policy_t **compiled, aiq_err_t *err)
{
    void       *p;
    size_t      size;
    aiq_rc_t    rc;
    aiq_out_t   text;
    aiq_json_t  doc;

    static const aiq_str_t  everything =
                                aiq_string("{\"allow\":[\"*\"],\"deny\":[]}");

    if (!aiq_name_ok(in->user) || !aiq_name_ok(in->agent)) {
        return aiq_fail(err, AIQ_D_REQUEST_INVALID, "%s: 1 to %d bytes of text",
                        aiq_name_ok(in->user) ? "agent_id" : "user_id",
                        AIQ_NAME_MAX);
    }

    if (in->context.len && !aiq_name_ok(in->context)) {
        return aiq_fail(err, AIQ_D_REQUEST_INVALID,
                        "context_id: 1 to %d bytes of text", AIQ_NAME_MAX);
    }

    if (in->lifetime < 0 || in->lifetime > AIQ_ISSUE_LIFETIME_MAX) {
        return aiq_fail(err, AIQ_D_REQUEST_INVALID,
                        "expires_in: 1 to %d seconds",
                        AIQ_ISSUE_LIFETIME_MAX);
    }

    rc = aiq_plan_read(&out->plan, in->doc, in->plan, in->crypto, in->mem,
                       err);
    if (rc != AIQ_OK) {
        return rc;
    }

    *policy = everything;

    if (in->policy != AIQ_JSON_NONE
        && aiq_json_type(in->doc, in->policy) != AIQ_JSON_NULL)
    {
        size = aiq_json_raw(in->doc, in->policy).len;

        if (size > AIQ_TOKEN_MAX / 4) {
            return aiq_fail(err, AIQ_D_POLICY_INVALID,
                            "policy: longer than %d bytes", AIQ_TOKEN_MAX / 4);
        }

        /* canonical numbers and escapes may be longer than those written */

        size = size * 6 + 64;

        p = aiq_mem_alloc(in->mem, size);
        if (p == NULL) {
            return AIQ_E_NO_MEMORY;
        }

        aiq_out_init(&text, p, size);
        aiq_jcs_write(&text, in->doc, in->policy, AIQ_JCS);

        if (text.failed) {
            return AIQ_E_NO_MEMORY;
        }

        *policy = aiq_out_done(&text);

        if (policy->len > AIQ_TOKEN_MAX / 4) {
            return aiq_fail(err, AIQ_D_POLICY_INVALID,
                            "policy: longer than %d bytes in canonical form",
                            AIQ_TOKEN_MAX / 4);
        }
    }

    /* compiled from the text that is signed, so it is known to compile */

    rc = aiq_json_parse(&doc, *policy, AIQ_TOKEN_DEPTH, in->mem, err);

    /* a text this short has not too many values: there was no room */

    if (rc == AIQ_D_JSON_TOO_LARGE && policy->len < AIQ_JSON_TOKENS) {
        return AIQ_E_NO_MEMORY;
    }

    if (rc == AIQ_OK) {
        rc = aiq_policy_compile(compiled, &doc, 0, 0, in->tz, in->tz_data,
                                in->mem, err);
    }

    return (aiq_is_denied(rc)) ? AIQ_D_POLICY_INVALID : rc;
}


/* a token is not given out for a plan that could never be carried out */

static aiq_rc_t
aiq_issue_steps(const aiq_issued_pair_t *out, const aiq_issue_t *in,
    const aiq_ruleset_t *rules, const aiq_policy_t *policy, aiq_err_t *err)
{
    uint32_t           i;
    aiq_rc_t           rc;
    const aiq_step_t  *step;

    for (i = 0; i < out->plan.n; i++) {
        step = &out->plan.steps[i];

        rc = aiq_issue_step(step, in, rules, policy);

        if (aiq_issue_final(rc)) {
            return aiq_fail(err, rc, "step %u (\"%.*s\" on \"%.*s\"): %s",
                            i, (int) step->action.len, step->action.data,
                            (int) step->mcp.len, step->mcp.data,
                            aiq_message(rc));
        }
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_issue_step(const aiq_step_t *step, const aiq_issue_t *in,
    const aiq_ruleset_t *rules, const aiq_policy_t *policy)
{
    aiq_rc_t             rc;
    aiq_policy_call_t    call;
    const aiq_policy_t  *which;

    rc = aiq_ruleset_server(rules, step->mcp);

    if (rc != AIQ_OK) {
        return rc;
    }

    call.mcp = step->mcp;
    call.tool = step->action;
    call.user = in->user;
    call.agent = in->agent;
    call.source = in->source;
    call.now = in->now;

    rc = aiq_policy_eval_token(policy, &call);

    if (aiq_issue_final(rc)) {
        return rc;
    }

    return aiq_policy_eval_all(rules->policies, rules->npolicies,
                               rules->org.permit, &call, &which);
}


/* time and place are judged when the call is made, not when it is planned */

static int
aiq_issue_final(aiq_rc_t rc)
{
    return rc != AIQ_OK && rc != AIQ_D_POLICY_TIME
           && rc != AIQ_D_POLICY_SOURCE && rc != AIQ_D_POLICY_HOLD;
}


static aiq_rc_t
aiq_issue_sign(aiq_issued_pair_t *out, const aiq_issue_t *in,
    const aiq_ruleset_t *rules, aiq_str_t policy, aiq_err_t *err)
{
    void                *p;
    aiq_rc_t             rc;
    aiq_out_t            text;
    unsigned char        seed[AIQ_KEY_LEN];
    aiq_token_claims_t   cl;

    rc = aiq_issue_names(out, in);

    if (rc != AIQ_OK) {
        return rc;
    }

    out->kid = rules->org.issuer;
    out->iat = in->now;
    out->exp = in->now + (in->lifetime ? in->lifetime : AIQ_ISSUE_LIFETIME);

    memset(&cl, 0, sizeof(aiq_token_claims_t));

    cl.kid = out->kid;
    cl.issuer = aiq_cstr(AIQ_TOKEN_ISSUER);
    cl.audience = aiq_cstr(AIQ_TOKEN_AUDIENCE);
    cl.org = in->org;
    cl.user = in->user;
    cl.agent = in->agent;
    cl.context = in->context.len ? in->context : aiq_cstr("default");
    cl.jti = out->jti;
    cl.key = in->key;
    cl.iat = out->iat;
    cl.exp = out->exp;
    cl.steps = out->plan.n;
    cl.policy = policy;

    memcpy(cl.plan_hash, out->plan.root, AIQ_HASH_LEN);

    rc = aiq_token_identity(in->crypto, cl.user, cl.agent, cl.context,
                            cl.plan_hash, out->identity);
    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_store_seed_read(aiq_store_dir(in->store), out->kid, seed, err);

    if (rc != AIQ_OK) {
        return rc;
    }

    p = aiq_mem_alloc(in->mem, AIQ_ISSUE_TEXT);

    if (p == NULL) {
        rc = AIQ_E_NO_MEMORY;
        goto done;
    }

    aiq_out_init(&text, p, AIQ_ISSUE_TEXT);

    rc = aiq_token_issue_jws(&text, &cl, seed, in->crypto, in->mem, err);

    if (rc != AIQ_OK) {
        goto done;
    }

    out->jws = aiq_out_done(&text);

    p = aiq_mem_alloc(in->mem, AIQ_ISSUE_TEXT);

    if (p == NULL) {
        rc = AIQ_E_NO_MEMORY;
        goto done;
    }

    aiq_out_init(&text, p, AIQ_ISSUE_TEXT);

    rc = aiq_token_issue_iap(&text, &cl, seed, in->crypto, in->mem, err);

    out->iap = aiq_out_done(&text);

done:

    aiq_wipe(seed, AIQ_KEY_LEN);

    return rc;
}


/* jti: 128 random bits; plan_id: the same for the issuance, as a UUID */

static aiq_rc_t
aiq_issue_names(aiq_issued_pair_t *out, const aiq_issue_t *in)
{
    aiq_rc_t        rc;
    aiq_out_t       text;
    unsigned char  *p, id[16];

    p = aiq_mem_alloc(in->mem, 32 + 36);
    if (p == NULL) {
        return AIQ_E_NO_MEMORY;
    }

    rc = aiq_random(id, sizeof(id));

    if (rc != AIQ_OK) {
        return rc;
    }

    /* RFC 9562 5.4 */

    id[6] = (unsigned char) ((id[6] & 0x0f) | 0x40);
    id[8] = (unsigned char) ((id[8] & 0x3f) | 0x80);

    aiq_out_init(&text, p, 32);
    aiq_out_hex(&text, id, 16);
    out->jti = aiq_out_done(&text);

    aiq_out_init(&text, p + 32, 36);
    aiq_out_hex(&text, id, 4);
    aiq_out_char(&text, '-');
    aiq_out_hex(&text, id + 4, 2);
    aiq_out_char(&text, '-');
    aiq_out_hex(&text, id + 6, 2);
    aiq_out_char(&text, '-');
    aiq_out_hex(&text, id + 8, 2);
    aiq_out_char(&text, '-');
    aiq_out_hex(&text, id + 10, 6);
    out->plan_id = aiq_out_done(&text);

    return AIQ_OK;
}


static aiq_rc_t
aiq_issue_store(const aiq_issued_pair_t *out, const aiq_issue_t *in,
    aiq_store_txn_t *txn, aiq_err_t *err)
{
    aiq_rc_t      rc;
    aiq_issued_t  token;

    rc = aiq_plan_put(txn, in->org, &out->plan, in->doc, in->plan, in->mem,
                      err);
    if (rc != AIQ_OK) {
        return rc;
    }

    memset(&token, 0, sizeof(aiq_issued_t));

    token.jti = out->jti;
    token.plan_id = out->plan_id;
    token.user = in->user;
    token.agent = in->agent;
    token.key = in->key;
    token.kid = out->kid;
    token.iat = out->iat;
    token.exp = out->exp;

    memcpy(token.plan_hash, out->plan.root, AIQ_HASH_LEN);

    return aiq_issued_put(txn, in->org, &token, err);
}


void
aiq_issue_write(aiq_out_t *out, const aiq_issued_pair_t *issued,
    const aiq_issue_t *in)
{
    uint32_t  i;

    aiq_out_str(out, "{\"success\":true,\"token\":");
    aiq_out_mem(out, issued->iap.data, issued->iap.len);

    aiq_out_str(out, ",\"plan_hash\":\"");
    aiq_out_hex(out, issued->plan.root, AIQ_HASH_LEN);
    aiq_out_str(out, "\",\"merkle_root\":\"");
    aiq_out_hex(out, issued->plan.root, AIQ_HASH_LEN);

    aiq_out_str(out, "\",\"intent_reference\":");
    aiq_out_json(out, issued->jti);
    aiq_out_str(out, ",\"plan_id\":");
    aiq_out_json(out, issued->plan_id);

    aiq_out_str(out, ",\"composite_identity\":\"");
    aiq_out_hex(out, issued->identity, AIQ_HASH_LEN);

    aiq_out_str(out, "\",\"step_proofs\":[");

    for (i = 0; i < issued->plan.n; i++) {

        if (i) {
            aiq_out_char(out, ',');
        }

        if (aiq_plan_proof_write(out, &issued->plan, i, in->crypto)
            != AIQ_OK)
        {
            out->failed = 1;
            return;
        }
    }

    aiq_out_str(out, "],\"policy_validation\":{\"allowed_tools\":[");

    for (i = 0; i < issued->plan.n; i++) {

        if (i) {
            aiq_out_char(out, ',');
        }

        aiq_out_json(out, issued->plan.steps[i].action);
    }

    aiq_out_str(out, "],\"denied_tools\":[],\"denied_reasons\":[],"
                "\"default_enforcement_action\":\"block\"},"
                "\"client_info\":null,\"policy_snapshot\":[],"
                "\"jwt_token\":");
    aiq_out_json(out, issued->jws);
    aiq_out_char(out, '}');
}
