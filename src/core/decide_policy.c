
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Policies, servers, issuers and limits: what the org allows, and how often.
 */


#include <string.h>

#include "decide_internal.h"


/* what a rule and a caller are told apart by, in the name of a bucket */

#define AIQ_BUCKET_PARTS   (2 * 6 + 2)


typedef struct {
    aiq_ruleset_t    *rules;
    aiq_store_txn_t  *txn;
    aiq_tz_load_pt    load;
    void             *data;
    aiq_mem_t        *mem;
    aiq_err_t        *err;
    unsigned          n;
} aiq_ruleset_load_t;


static aiq_rc_t aiq_ruleset_count(void *data, aiq_str_t id, aiq_str_t value);
static aiq_rc_t aiq_ruleset_add_policy(void *data, aiq_str_t id,
    aiq_str_t value);
static aiq_rc_t aiq_ruleset_add_issuer(void *data, aiq_str_t id,
    aiq_str_t value);
static aiq_rc_t aiq_ruleset_add_server(void *data, aiq_str_t id,
    aiq_str_t value);
static aiq_rc_t aiq_ruleset_all(aiq_ruleset_load_t *l, aiq_str_t org,
    aiq_store_kind_e kind, size_t size, void **array, aiq_store_each_pt add);
static aiq_rc_t aiq_decide_rate(aiq_decision_t *d, const aiq_request_t *in,
    aiq_str_t name, uint32_t rate);
static aiq_rc_t aiq_limit_bucket(aiq_hash_t out, const aiq_limit_rule_t *rule,
    aiq_str_t name, const aiq_decision_t *d, aiq_crypto_t *c);


aiq_rc_t
aiq_ruleset_load(aiq_ruleset_t *rules, aiq_store_txn_t *txn, aiq_str_t org,
    aiq_tz_load_pt load, void *data, aiq_mem_t *mem, aiq_err_t *err)
{
    void                *p;
    aiq_rc_t             rc;
    aiq_salt_row_t       row;
    aiq_ruleset_load_t   l;

    memset(rules, 0, sizeof(aiq_ruleset_t));

    rc = aiq_store_revision(txn, &rules->revision);

    if (rc != AIQ_OK) {
        return aiq_fail(err, rc, "the revision of the store cannot be read");
    }

    /* the name first: org may live in the request */

    if ((rc = aiq_mem_dup(mem, org, &org)) != AIQ_OK
        || (rc = aiq_org_get(txn, org, &rules->org, mem)) != AIQ_OK)
    {
        return rc;
    }

    if (!rules->org.active) {
        return AIQ_DECLINED;
    }

    rules->org.name = org;

    if ((rc = aiq_mem_dup(mem, rules->org.issuer, &rules->org.issuer))
        != AIQ_OK)
    {
        return rc;
    }

    rc = aiq_salt_newest(txn, org, &row, mem);

    rules->salt = row.salt;
    aiq_wipe(&row, sizeof(aiq_salt_row_t));

    if (rc != AIQ_OK && rc != AIQ_DECLINED) {
        return aiq_fail(err, rc, "the salts cannot be read");
    }

    l.rules = rules;
    l.txn = txn;
    l.load = load;
    l.data = data;
    l.mem = mem;
    l.err = err;

    rc = aiq_ruleset_all(&l, org, AIQ_STORE_POLICY, sizeof(aiq_policy_t *),
                         &p, aiq_ruleset_add_policy);
    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_ruleset_all(&l, org, AIQ_STORE_ISSUER, sizeof(aiq_issuer_t), &p,
                         aiq_ruleset_add_issuer);
    if (rc != AIQ_OK) {
        return rc;
    }

    return aiq_ruleset_all(&l, org, AIQ_STORE_MCP, sizeof(aiq_server_t), &p,
                           aiq_ruleset_add_server);
}


/* two passes: how many there are, then memory for them, then each one */

static aiq_rc_t
aiq_ruleset_all(aiq_ruleset_load_t *l, aiq_str_t org, aiq_store_kind_e kind,
    size_t size, void **array, aiq_store_each_pt add)
{
    aiq_rc_t  rc;

    l->n = 0;

    rc = aiq_store_each(l->txn, org, kind, aiq_ruleset_count, l);

    if (rc != AIQ_OK) {
        return aiq_fail(l->err, rc, "the store cannot be read");
    }

    *array = aiq_mem_calloc(l->mem, size * (l->n + 1));

    if (*array == NULL) {
        return AIQ_E_NO_MEMORY;
    }

    switch (kind) {

    case AIQ_STORE_POLICY:
        l->rules->policies = *array;
        break;

    case AIQ_STORE_ISSUER:
        l->rules->issuers = *array;
        break;

    default:
        l->rules->servers = *array;
        l->rules->tools = aiq_mem_calloc(l->mem,
                                         sizeof(aiq_tools_t) * (l->n + 1));
        if (l->rules->tools == NULL) {
            return AIQ_E_NO_MEMORY;
        }

        break;
    }

    return aiq_store_each(l->txn, org, kind, add, l);
}


static aiq_rc_t
aiq_ruleset_count(void *data, aiq_str_t id, aiq_str_t value)
{
    aiq_ruleset_load_t *l = data;

    l->n++;

    return AIQ_OK;
}


/* a policy that does not compile is no policy less: nothing is permitted */

static aiq_rc_t
aiq_ruleset_add_policy(void *data, aiq_str_t id, aiq_str_t value)
{
    aiq_ruleset_load_t *l = data;

    aiq_rc_t        rc;
    aiq_json_t      doc;
    unsigned char  *pos;

    rc = aiq_mem_dup(l->mem, value, &value);

    if (rc != AIQ_OK) {
        return rc;
    }

    pos = l->mem->pos;

    rc = aiq_json_parse(&doc, value, AIQ_TOKEN_DEPTH, l->mem, l->err);

    /* the caller tries again with more */

    if (rc == AIQ_D_JSON_TOO_LARGE) {
        return AIQ_E_NO_MEMORY;
    }

    if (rc == AIQ_OK) {
        rc = aiq_policy_compile(&l->rules->policies[l->rules->npolicies], &doc,
                                0, 1, l->load, l->data, l->mem, l->err);
    }

    if (rc == AIQ_OK) {
        l->rules->npolicies++;
        return AIQ_OK;
    }

    l->mem->pos = pos;

    return aiq_is_denied(rc) ? AIQ_E_STORE_CORRUPT : rc;
}


static aiq_rc_t
aiq_ruleset_add_issuer(void *data, aiq_str_t id, aiq_str_t value)
{
    aiq_ruleset_load_t *l = data;

    aiq_rc_t       rc;
    aiq_issuer_t  *issuer;

    issuer = &l->rules->issuers[l->rules->nissuers];

    if ((rc = aiq_mem_dup(l->mem, id, &id)) != AIQ_OK
        || (rc = aiq_issuer_get(l->txn, l->rules->org.name, id, issuer,
                                l->mem)) != AIQ_OK)
    {
        return rc == AIQ_DECLINED ? AIQ_E_STORE_CORRUPT : rc;
    }

    issuer->kid = id;
    l->rules->nissuers++;

    return AIQ_OK;
}


static aiq_rc_t
aiq_ruleset_add_server(void *data, aiq_str_t id, aiq_str_t value)
{
    aiq_ruleset_load_t *l = data;

    aiq_rc_t       rc;
    aiq_server_t  *server;

    server = &l->rules->servers[l->rules->nservers];

    if ((rc = aiq_mem_dup(l->mem, id, &id)) != AIQ_OK
        || (rc = aiq_server_get(l->txn, l->rules->org.name, id, server,
                                l->mem)) != AIQ_OK)
    {
        return rc == AIQ_DECLINED ? AIQ_E_STORE_CORRUPT : rc;
    }

    server->name = id;

    rc = aiq_tools_get(l->txn, l->rules->org.name, id,
                       &l->rules->tools[l->rules->nservers], l->mem);

    if (rc != AIQ_OK && rc != AIQ_DECLINED) {
        return rc;
    }

    l->rules->nservers++;

    return AIQ_OK;
}


aiq_rc_t
aiq_ruleset_server(const aiq_ruleset_t *rules, aiq_str_t name)
{
    unsigned  i;

    for (i = 0; i < rules->nservers; i++) {

        if (rules->servers[i].active
            && aiq_str_eq(rules->servers[i].name, name))
        {
            return AIQ_OK;
        }
    }

    return AIQ_D_MCP_UNKNOWN;
}


aiq_rc_t
aiq_ruleset_tool(const aiq_ruleset_t *rules, aiq_str_t server,
    aiq_str_t tool)
{
    unsigned  i;

    for (i = 0; i < rules->nservers; i++) {

        if (aiq_str_eq(rules->servers[i].name, server)) {
            return rules->tools[i].n == 0
                   || aiq_tools_has(&rules->tools[i], tool)
                   ? AIQ_OK : AIQ_D_TOOL_UNKNOWN;
        }
    }

    return AIQ_D_TOOL_UNKNOWN;
}


const aiq_issuer_t *
aiq_ruleset_issuer(const aiq_ruleset_t *rules, const aiq_token_t *token)
{
    unsigned             i;
    const aiq_issuer_t  *issuer;

    for (i = 0; i < rules->nissuers; i++) {
        issuer = &rules->issuers[i];

        if (!issuer->active) {
            continue;
        }

        if (token->form == AIQ_TOKEN_JWS) {

            if (aiq_str_eq(issuer->kid, token->kid)) {
                return issuer;
            }

            continue;
        }

        /* the key in an IAP token only chooses among ours */

        if (token->has_public
            && aiq_equal(issuer->public_key, token->public_key, AIQ_KEY_LEN))
        {
            return issuer;
        }
    }

    return NULL;
}


aiq_rc_t
aiq_owner_active(aiq_store_txn_t *txn, aiq_str_t org, aiq_str_t user,
    aiq_str_t agent, aiq_mem_t *mem, aiq_err_t *err)
{
    aiq_rc_t     rc;
    aiq_user_t   u;
    aiq_agent_t  a;

    if (user.len) {
        rc = aiq_user_get(txn, org, user, &u, mem);

        if (rc == AIQ_OK && !u.active) {
            return aiq_fail(err, AIQ_D_TOKEN_OWNER, "the user is not active");
        }

        if (rc != AIQ_OK && rc != AIQ_DECLINED) {
            return aiq_fail(err, rc, "the user cannot be read");
        }
    }

    if (agent.len) {
        rc = aiq_agent_get(txn, org, agent, &a, mem);

        if (rc == AIQ_OK && !a.active) {
            return aiq_fail(err, AIQ_D_TOKEN_OWNER, "the agent is not active");
        }

        if (rc != AIQ_OK && rc != AIQ_DECLINED) {
            return aiq_fail(err, rc, "the agent cannot be read");
        }
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_decide_ruleset(aiq_decision_t *d, const aiq_request_t *in,
    const aiq_ruleset_t **rules)
{
    aiq_rc_t  rc;

    rc = in->ruleset(in->ruleset_data, in->txn, d->org, rules, &d->err);

    if (rc == AIQ_DECLINED) {

        /* found a moment ago by its key or token, and inactive now */

        return aiq_fail(&d->err, AIQ_D_KEY_INVALID, "the org is not active");
    }

    if (rc == AIQ_OK) {
        d->salt = (*rules)->salt;
    }

    return rc;
}


aiq_rc_t
aiq_decide_policy(aiq_decision_t *d, const aiq_request_t *in)
{
    aiq_rc_t              rc;
    aiq_policy_t         *constraints;
    const aiq_policy_t   *which;
    const aiq_ruleset_t  *rules;

    rc = aiq_decide_ruleset(d, in, &rules);

    if (rc != AIQ_OK) {
        return rc;
    }

    d->revision = rules->revision;

    rc = aiq_ruleset_server(rules, d->server);

    if (rc != AIQ_OK) {
        return aiq_fail(&d->err, rc,
                        "the org has no MCP server of this name");
    }

    if (!aiq_is_call(d, in)) {
        return AIQ_OK;
    }

    /* tools, that is, and not methods that are planned by their name */

    if (in->invoke || d->mcp.cls == AIQ_MCP_CALL) {
        rc = aiq_ruleset_tool(rules, d->server, d->tool);

        if (rc != AIQ_OK) {
            return aiq_fail(&d->err, rc, "not among the tools of the server");
        }
    }

    rc = aiq_decide_constraints(d, in, &constraints);

    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_decide_tool(d, in, rules, constraints, d->tool, &which);

    aiq_str_null(&d->policy);
    d->policy_rate = 0;
    d->token_rate = constraints ? aiq_policy_rate(constraints) : 0;

    if (which != NULL) {
        d->policy = aiq_policy_name(which);
        d->policy_rate = aiq_policy_rate(which);
    }

    return rc;
}


aiq_rc_t
aiq_decide_tool(aiq_decision_t *d, const aiq_request_t *in,
    const aiq_ruleset_t *rules, const aiq_policy_t *constraints,
    aiq_str_t tool, const aiq_policy_t **which)
{
    aiq_rc_t           rc;
    aiq_policy_call_t  call;

    *which = NULL;

    call.mcp = d->server;
    call.tool = tool;
    call.user = d->user;
    call.agent = d->agent;
    call.source = in->source;
    call.now = in->token.now;

    if (constraints != NULL) {
        rc = aiq_policy_eval_token(constraints, &call);

        if (rc != AIQ_OK) {
            return aiq_fail(&d->err, rc, "the policy of the token decides");
        }
    }

    rc = aiq_policy_eval_all(rules->policies, rules->npolicies,
                             rules->org.permit, &call, which);

    if (rc != AIQ_OK) {
        return aiq_fail(&d->err, rc, *which != NULL
                        ? "a policy of the org decides"
                        : "no policy of the org speaks of this call");
    }

    return AIQ_OK;
}


/* the constraints that the token was issued with; NULL: there are none */

aiq_rc_t
aiq_decide_constraints(aiq_decision_t *d, const aiq_request_t *in,
    aiq_policy_t **policy)
{
    aiq_rc_t    rc;
    aiq_json_t  doc;

    *policy = NULL;

    if (d->token.policy.len == 0) {
        return AIQ_OK;
    }

    if (d->memo != NULL) {
        *policy = d->memo->policy;
        return AIQ_OK;
    }

    rc = aiq_json_parse(&doc, d->token.policy, AIQ_TOKEN_DEPTH, in->mem,
                        &d->err);

    /* part of a text this short has not too many values */

    if (rc == AIQ_D_JSON_TOO_LARGE) {
        rc = AIQ_E_NO_MEMORY;
    }

    if (rc == AIQ_OK) {
        rc = aiq_policy_compile(policy, &doc, 0, 0, in->tz, in->tz_data,
                                in->mem, &d->err);
    }

    return aiq_is_denied(rc) ? AIQ_D_TOKEN_CLAIMS : rc;
}


aiq_rc_t
aiq_decide_limits(aiq_decision_t *d, const aiq_request_t *in)
{
    unsigned                 i;
    aiq_rc_t                 rc;
    aiq_hash_t               bucket;
    const aiq_limit_rule_t  *rule;

    /* no policy is called that: names have no controls */

    static const aiq_str_t  token_name = aiq_string("\ttoken");
    static const aiq_str_t  none = aiq_string("");

    for (i = 0; i < in->nlimits; i++) {
        rule = &in->limits[i];

        rc = aiq_limit_bucket(bucket, rule, none, d, in->crypto);

        if (rc == AIQ_OK) {
            rc = in->ops->take(in->ops->data, bucket, &rule->limit,
                               &d->retry_ms);
        }

        if (rc != AIQ_OK) {
            return aiq_fail(&d->err, rc, "armoriq_limit %u", rule->id);
        }
    }

    if (!aiq_is_call(d, in)) {
        return AIQ_OK;
    }

    rc = aiq_decide_rate(d, in, token_name, d->token_rate);

    if (rc != AIQ_OK) {
        return rc;
    }

    return aiq_decide_rate(d, in, d->policy, d->policy_rate);
}


/*
 * "rate_limit": so many calls an hour of this user and agent.  Not of the
 * token: a new token would be a new hour.
 */

static aiq_rc_t
aiq_decide_rate(aiq_decision_t *d, const aiq_request_t *in, aiq_str_t name,
    uint32_t rate)
{
    aiq_rc_t          rc;
    aiq_hash_t        bucket;
    aiq_limit_rule_t  rule;

    if (rate == 0) {
        return AIQ_OK;
    }

    rule.limit.calls = rate;
    rule.limit.period = 3600 * 1000;
    rule.limit.burst = rate - 1;
    rule.keys = 1 << AIQ_LIMIT_ORG | 1 << AIQ_LIMIT_USER
                | 1 << AIQ_LIMIT_AGENT;
    rule.id = rate;

    rc = aiq_limit_bucket(bucket, &rule, name, d, in->crypto);

    if (rc == AIQ_OK) {
        rc = in->ops->take(in->ops->data, bucket, &rule.limit, &d->retry_ms);
    }

    if (rc != AIQ_OK) {
        return aiq_fail(&d->err, rc, "rate_limit of %u an hour", rate);
    }

    return AIQ_OK;
}


/*
 * The name of a bucket: which limit, and the authenticated identity (never
 * what a client may choose freely).  The org is always part of it, so that
 * one tenant cannot empty the bucket of another.
 */

static aiq_rc_t
aiq_limit_bucket(aiq_hash_t out, const aiq_limit_rule_t *rule,
    aiq_str_t name, const aiq_decision_t *d, aiq_crypto_t *c)
{
    unsigned       i, n;
    uint32_t       len[6];
    aiq_str_t      part[AIQ_BUCKET_PARTS], value[6];
    unsigned char  front[4 + 4 + 4];

    value[AIQ_LIMIT_ORG] = d->org;
    value[AIQ_LIMIT_USER] = d->user;
    value[AIQ_LIMIT_AGENT] = d->agent;
    value[AIQ_LIMIT_TOOL] = d->tool;
    value[AIQ_LIMIT_MCP] = d->server;
    value[AIQ_LIMIT_TOKEN] = d->token.jti;

    memcpy(front, &rule->id, 4);
    memcpy(front + 4, &rule->keys, 4);

    len[0] = (uint32_t) name.len;
    memcpy(front + 8, &len[0], 4);

    part[0].data = front;
    part[0].len = sizeof(front);
    part[1] = name;
    n = 2;

    /* each value behind its length, so that no two identities are one text */

    for (i = 0; i < 6; i++) {

        if (i != AIQ_LIMIT_ORG && !(rule->keys & 1u << i)) {
            value[i].len = 0;
        }

        len[i] = (uint32_t) value[i].len;

        part[n].data = (unsigned char *) &len[i];
        part[n++].len = 4;
        part[n++] = value[i];
    }

    return aiq_sha256v(c, part, n, out);
}
