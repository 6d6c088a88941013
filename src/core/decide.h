
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The decision.  Everything known goes in, the verdict comes out; state that
 * is shared between processes is reached through aiq_decide_ops_t, whose
 * functions the caller brings (nginx: the shared memory zone).
 */


#ifndef _AIQ_DECIDE_H_INCLUDED_
#define _AIQ_DECIDE_H_INCLUDED_


#include "limit.h"
#include "mcp.h"
#include "policy.h"
#include "records.h"
#include "token.h"
#include "token_memo.h"
#include "tools.h"


typedef enum {
    AIQ_VERDICT_NONE = 0,
    AIQ_VERDICT_PERMIT,
    AIQ_VERDICT_HOLD,
    AIQ_VERDICT_DENY
} aiq_verdict_e;


/*
 * Who has opened a session, or wants to use it: each as the front of a hash;
 * zero is "not known".
 */

typedef enum {
    AIQ_PRINCIPAL_ORG = 0,
    AIQ_PRINCIPAL_KEY,                /* API key */
    AIQ_PRINCIPAL_USER,
    AIQ_PRINCIPAL_AGENT,
    AIQ_PRINCIPAL_PARTS
} aiq_principal_e;

typedef struct {
    unsigned char  part[AIQ_PRINCIPAL_PARTS][16];
} aiq_principal_t;


typedef struct {
    void       *data;

    /*
     * Signatures verified before: seen() is 1 for a key that saw() was told.
     * key = SHA-256(signing input | signature | public key).  Positive only.
     */

    int       (*seen)(void *data, const aiq_hash_t key);
    void      (*saw)(void *data, const aiq_hash_t key, int64_t exp);

    /*
     * The step ledger: takes one of max uses of a step of a token.  AIQ_OK,
     * AIQ_D_STEP_USED, AIQ_D_ZONE_FULL or a fault.  release() gives it back.
     * used() is how many are taken: more than max if somebody else, who
     * writes to the same log, has given some away at the same time.
     */

    aiq_rc_t  (*reserve)(void *data, const aiq_hash_t token, uint32_t step,
                         uint32_t max, int64_t exp);
    void      (*release)(void *data, const aiq_hash_t token, uint32_t step);
    uint64_t  (*used)(void *data, const aiq_hash_t token, uint32_t step);

    /* one call from the bucket of this name; retry in milliseconds */

    aiq_rc_t  (*take)(void *data, const aiq_hash_t bucket,
                      const aiq_limit_t *limit, uint64_t *retry_ms);

    /* 1 if a session of an MCP server was opened by this principal */

    int       (*session)(void *data, const aiq_hash_t session,
                         const aiq_principal_t *who);
} aiq_decide_ops_t;


/* policies, issuers and servers of one org, compiled; the caller may keep it
   as long as the revision of the store is the same */

typedef struct {
    uint64_t                  revision;
    aiq_org_t                 org;
    aiq_salt_t                salt;         /* of the org, if it has one */
    aiq_policy_t            **policies;
    unsigned                  npolicies;
    aiq_issuer_t             *issuers;
    unsigned                  nissuers;
    aiq_server_t             *servers;
    aiq_tools_t              *tools;        /* of each; n is 0: any */
    unsigned                  nservers;
} aiq_ruleset_t;

/*
 * AIQ_OK, AIQ_DECLINED (no such org, or not active), or a fault.  Everything
 * is copied to mem.
 */

aiq_rc_t aiq_ruleset_load(aiq_ruleset_t *rules, aiq_store_txn_t *txn,
    aiq_str_t org, aiq_tz_load_pt load, void *data, aiq_mem_t *mem,
    aiq_err_t *err);

/* finds it for an org, from a cache or by loading; never keeps pointers to
   the request */

typedef aiq_rc_t (*aiq_ruleset_pt)(void *data, aiq_store_txn_t *txn,
    aiq_str_t org, const aiq_ruleset_t **rules, aiq_err_t *err);


typedef enum {
    AIQ_LIMIT_ORG = 0,
    AIQ_LIMIT_USER,
    AIQ_LIMIT_AGENT,
    AIQ_LIMIT_TOOL,
    AIQ_LIMIT_MCP,
    AIQ_LIMIT_TOKEN
} aiq_limit_key_e;

typedef struct {
    aiq_limit_t               limit;
    unsigned                  keys;   /* bits: 1 << AIQ_LIMIT_... */
    uint32_t                  id;     /* tells configured limits apart */
} aiq_limit_rule_t;


typedef struct {

    /* who asks: header values as sent, data is NULL if absent */

    aiq_str_t                 authorization;
    aiq_str_t                 x_api_key;
    aiq_str_t                 x_intent;     /* X-ArmorIQ-Intent */

    /* what: exactly one of the two */

    int                       invoke;       /* POST /invoke */
    aiq_str_t                 http;         /* HTTP method */
    unsigned                  version;      /* 1000 * major + minor */
    aiq_str_t                 content_type;
    aiq_str_t                 content_encoding;
    aiq_str_t                 upgrade;
    aiq_str_t                 origin;
    aiq_str_t                 session;      /* Mcp-Session-Id */
    int                       early;        /* TLS early data (RFC 8470) */
    int                       has_body;     /* announced, read or not */
    int                       duplicate;    /* one of our headers came twice */
    int                       query_token;  /* credentials in the query */
    aiq_str_t                 mcp;          /* of the location; not invoke */
    const aiq_json_t         *body;         /* NULL: none */
    aiq_mcp_headers_t         mirror;
    aiq_mcp_param_t           repeated[AIQ_MCP_PARAMS_MAX];
    unsigned                  nrepeated;    /* one more: too many */
    aiq_str_t                 path;         /* X-CSRG-Path */
    aiq_str_t                 proof;        /* X-CSRG-Proof */
    aiq_str_t                 digest;       /* X-CSRG-Value-Digest */
    aiq_str_t                 step;         /* X-CSRG-Step: one step, JSON */

    aiq_addr_t                source;

    /* under which rules */

    aiq_str_t                 org;          /* the only one; empty: any */
    aiq_str_t                 mcp_org;      /* invoke: that of its server */
    const aiq_str_t          *origins;      /* web pages that may call */
    unsigned                  norigins;
    const aiq_method_rule_t  *methods;
    unsigned                  nmethods;
    int                       modern;       /* no GET, no DELETE here */
    const struct aiq_decision_s  *before;   /* see aiq_decide_moved() */
    aiq_token_rules_t         token;
    int                       params;       /* AIQ_PARAMS_... */
    int                       uses;         /* 0: steps may be used again */
    const aiq_limit_rule_t   *limits;
    unsigned                  nlimits;

    /* with what */

    aiq_store_txn_t          *txn;
    aiq_ruleset_pt            ruleset;
    void                     *ruleset_data;
    aiq_tz_load_pt            tz;
    void                     *tz_data;
    const aiq_decide_ops_t   *ops;
    aiq_token_memo_t         *memo;         /* or NULL */
    aiq_crypto_t             *crypto;
    aiq_mem_t                *mem;
} aiq_request_t;


typedef struct aiq_decision_s {
    aiq_verdict_e             verdict;
    aiq_rc_t                  rc;           /* AIQ_OK or the reason */
    aiq_err_t                 err;          /* detail for the record */
    uint64_t                  retry_ms;     /* RATE_LIMITED */

    /* what was found out, as far as it went; for the record, the variables
       and what is done next */

    aiq_mcp_t                 mcp;          /* cls is 0 if unread */
    aiq_invoke_t              invoke;
    aiq_str_t                 server;       /* mcp name */
    aiq_str_t                 tool;
    uint32_t                  args;
    aiq_str_t                 org;
    aiq_str_t                 user;
    aiq_str_t                 agent;
    aiq_apikey_t              apikey;       /* id is empty if none */
    aiq_token_t               token;        /* form is 0 if none */
    const aiq_memo_t         *memo;         /* of the token, or NULL; not
                                               after a wait */
    aiq_str_t                 jws;          /* the token as presented */
    const aiq_issuer_t       *issuer;       /* whose key has signed it */
    aiq_hash_t                ledger;       /* SHA-256 of org and jti: both
                                               forms of a token share it */
    int64_t                   step;         /* -1: none */
    uint32_t                  max_uses;     /* of it, if it is reserved */
    aiq_args_t                args_hash;
    unsigned                  has_args:1;
    unsigned                  trusted:1;    /* token is verified */
    unsigned                  reserved:1;   /* step is taken: give it back
                                               if nothing was sent */
    unsigned                  email:1;      /* user_email is an argument of
                                               the tool, not of the SDK */
    aiq_str_t                 policy;       /* name, or empty */
    uint32_t                  policy_rate;  /* calls an hour, 0: no limit */
    uint32_t                  token_rate;
    uint64_t                  revision;
    aiq_salt_t                salt;         /* of the org, for its records;
                                               to be wiped */
} aiq_decision_t;


/*
 * Decides.  d is written whatever happens; verdict is PERMIT only with rc
 * AIQ_OK.  Strings of d live in the request, in mem or in the ruleset.
 */

void aiq_decide(aiq_decision_t *d, const aiq_request_t *in);

/*
 * What the headers alone tell, before a body is waited for: AIQ_OK or the
 * refusal that aiq_decide() would come to.  Only for requests whose body is
 * not there yet.
 */

aiq_rc_t aiq_decide_headers(aiq_decision_t *d, const aiq_request_t *in);

/*
 * In another location, after an internal redirect: everything is judged again
 * under the rules that hold there, but the use of the step and the limits were
 * taken by before, whose server, tool and step must be those of this call.
 */

void aiq_decide_moved(aiq_decision_t *d, const aiq_decision_t *before,
    const aiq_request_t *in);

/*
 * For what tools/list shows: would a call of this tool be permitted, whatever
 * its arguments?  It must be in the plan of the token, if one was presented
 * and its plan is known, and be permitted by policy, or held for an approval.
 * d is of a request that was permitted; its strings must still be there.  What
 * was revoked or has expired since is refused by aiq_visible_begin().
 */

typedef struct {
    aiq_decision_t           *d;
    const aiq_request_t      *in;
    aiq_policy_t             *constraints;  /* of the token */
    aiq_plan_t                plan;
    unsigned                  planned:1;    /* only what the plan has */
    unsigned                  none:1;       /* nothing can be called here */
} aiq_visible_t;

aiq_rc_t aiq_visible_begin(aiq_visible_t *v, aiq_decision_t *d,
    const aiq_request_t *in);

/* AIQ_OK, the reason why not, or a fault */

aiq_rc_t aiq_visible(aiq_visible_t *v, aiq_str_t tool);

/*
 * The reason that a caller of MCP is told.  A tool that a policy hides is one
 * that does not exist: AIQ_D_TOOL_UNKNOWN for both (mcp 56).  The record has
 * d->rc.
 */

aiq_rc_t aiq_decide_told(const aiq_decision_t *d);

/*
 * The name of a session, by MCP server and Mcp-Session-Id, and who d is; for
 * the table behind ops->session.
 */

aiq_rc_t aiq_session_key(const aiq_decision_t *d, aiq_str_t session,
    aiq_hash_t key, aiq_principal_t *who, aiq_crypto_t *c);

/*
 * May who use what opener has opened?  Nothing that both say may differ, and
 * either the API key is the same, or user and agent are.
 */

int aiq_principal_same(const aiq_principal_t *opener,
    const aiq_principal_t *who);

/*
 * After a wait: does the permit still stand?  Revocation, the API key, the
 * issuer and policies are asked again if the revision is not that of d (trust
 * B61).  Only strings named here are used, so the caller keeps copies of these
 * alone: server, tool, org, user, agent, apikey.id, token.jti, token.kid,
 * token.key, token.policy; and of the rest token.form, token.public_key,
 * mcp.cls.
 */

aiq_rc_t aiq_decide_again(aiq_decision_t *d, const aiq_request_t *in);


/*
 * Parts of the decision, one rule each, shared with aiq_issue() and the CLI.
 */

/* AIQ_OK or AIQ_D_MCP_UNKNOWN */

aiq_rc_t aiq_ruleset_server(const aiq_ruleset_t *rules, aiq_str_t name);

/* AIQ_OK or AIQ_D_TOOL_UNKNOWN: the tools of the server are listed, and this
   is none of them */

aiq_rc_t aiq_ruleset_tool(const aiq_ruleset_t *rules, aiq_str_t server,
    aiq_str_t tool);

/* an active issuer by kid, or by public key where kid is empty; NULL */

const aiq_issuer_t *aiq_ruleset_issuer(const aiq_ruleset_t *rules,
    const aiq_token_t *token);

/* a user or agent that is known and not active is refused; unknown ones are
   those of the application: AIQ_OK, AIQ_D_TOKEN_OWNER, or a fault */

aiq_rc_t aiq_owner_active(aiq_store_txn_t *txn, aiq_str_t org,
    aiq_str_t user, aiq_str_t agent, aiq_mem_t *mem, aiq_err_t *err);

/* the credential behind "Bearer", any case; AIQ_DECLINED: another scheme */

aiq_rc_t aiq_bearer(aiq_str_t authorization, aiq_str_t *credential);

/*
 * The API key among two headers: AIQ_OK, AIQ_DECLINED (none), or
 * AIQ_D_IDENTITY_AMBIGUOUS.
 */

aiq_rc_t aiq_presented_key(aiq_str_t authorization, aiq_str_t x_api_key,
    aiq_str_t *key);


#endif /* _AIQ_DECIDE_H_INCLUDED_ */
