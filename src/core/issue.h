
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Issuing an intent token for a plan: what POST /iap/sdk/token and
 * "armoriqctl token issue" do.
 */


#ifndef _AIQ_ISSUE_H_INCLUDED_
#define _AIQ_ISSUE_H_INCLUDED_


#include "decide.h"


#define AIQ_ISSUE_LIFETIME_MAX  86400     /* seconds */
#define AIQ_ISSUE_LIFETIME      60


typedef struct {
    aiq_store_t              *store;        /* open for writing */
    aiq_str_t                 org;
    aiq_str_t                 user;
    aiq_str_t                 agent;
    aiq_str_t                 context;      /* "default" if empty */
    aiq_str_t                 key;          /* API key id or empty */
    const aiq_json_t         *doc;
    uint32_t                  plan;         /* token of the plan in doc */
    uint32_t                  policy;       /* of the policy, or NONE */
    int64_t                   now;
    int64_t                   lifetime;     /* seconds asked for, 0: default */
    aiq_addr_t                source;
    aiq_tz_load_pt            tz;
    void                     *tz_data;
    aiq_crypto_t             *crypto;
    aiq_mem_t                *mem;
} aiq_issue_t;

typedef struct {
    aiq_plan_t                plan;
    aiq_str_t                 jti;
    aiq_str_t                 plan_id;
    aiq_str_t                 kid;
    int64_t                   iat;
    int64_t                   exp;
    aiq_str_t                 jws;          /* compact */
    aiq_str_t                 iap;          /* JSON object */
    aiq_hash_t                identity;
} aiq_issued_pair_t;

/*
 * Checks the plan, that every step's server is registered and no policy of
 * the org forbids a step, signs both forms over the same claims, and stores
 * plan and token in one transaction.  Blocks.
 */

aiq_rc_t aiq_issue(aiq_issued_pair_t *out, const aiq_issue_t *in,
    aiq_err_t *err);

/*
 * The answer of POST /iap/sdk/token (wire.md A3): one JSON object.
 */

void aiq_issue_write(aiq_out_t *out, const aiq_issued_pair_t *issued,
    const aiq_issue_t *in);


#endif /* _AIQ_ISSUE_H_INCLUDED_ */
