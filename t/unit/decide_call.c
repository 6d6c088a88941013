
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The decision, second half: was this very call planned, do the policies
 * allow it, and how often.
 */


#include "decide_rows.h"


#define ZERO16  "0000000000000000"
#define HASH0   ZERO16 ZERO16 ZERO16 ZERO16
#define LIST    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}"

#define OTHER_PLAN                                                            \
    "\"plan\":{\"goal\":\"tidy up\",\"steps\":[{\"mcp\":\"fs\","              \
    "\"action\":\"read\",\"params\":{\"path\":\"/a\"}}]}"


static void w_no_plan(int on);
static void w_server_off(int on);
static void w_server_gone(int on);
static void w_deny(int on);
static void w_deny_higher(int on);
static void w_deny_lower(int on);
static void w_deny_alice(int on);
static void w_deny_bob(int on);
static void w_deny_draft(int on);
static void w_silence(int on);
static void w_silence_permit(int on);
static void w_other_tools(int on);
static void w_other_net(int on);
static void w_this_net(int on);
static void w_other_hour(int on);
static void w_this_hour(int on);
static void w_rate(int on);
static void w_bad_policy(int on);
static void t_used(void);
static void t_ledger_full(void);
static void t_ledger_fault(void);
static void t_ledger_declines(void);
static void t_no_calls(void);
static void t_buckets_full(void);
static void t_buckets_fault(void);
static void t_buckets_decline(void);
static void t_rules_unavailable(void);
static void t_rules_memory(void);
static void t_no_source(void);
static void texts(void);
static void test_order(void);
static void test_record(void);


static char  digest[72], digest_long[80], right_hash[256], wrong_root[256];
static char  proofs[STEPS][4096], whole_plan[2048], whole_plan_more[2048];
static char  both_plans[4096];


static const row_t  intents[] = {

    { "a plan that is not known", AIQ_D_PLAN_UNKNOWN, ALL, { 0 }, w_no_plan,
      NULL },
    { "the hash of another plan", AIQ_D_PLAN_UNKNOWN, JWS,
      { .claim = "plan_hash", .value = "\"" HASH0 "\"" }, NULL, NULL },
    { "a step fewer", AIQ_D_PLAN_MISMATCH, ALL,
      { .claim = "steps", .value = "5" }, NULL, NULL },
    { "a step more", AIQ_D_PLAN_MISMATCH, ALL,
      { .claim = "steps", .value = "7" }, NULL, NULL },

    { "the plan in the envelope", AIQ_OK, ENVELOPE, { .more = whole_plan },
      NULL, NULL },
    { "the plan in the envelope alone", AIQ_OK, ENVELOPE,
      { .more = whole_plan }, w_no_plan, NULL },
    { "another plan in the envelope", AIQ_D_PLAN_MISMATCH, ENVELOPE,
      { .more = OTHER_PLAN }, NULL, NULL },
    { "another plan in the envelope alone", AIQ_D_PLAN_MISMATCH, ENVELOPE,
      { .more = OTHER_PLAN }, w_no_plan, NULL },
    { "a plan with one member more", AIQ_D_PLAN_MISMATCH, ENVELOPE,
      { .more = whole_plan_more }, NULL, NULL },
    { "a plan without steps", AIQ_D_PLAN_MISMATCH, ENVELOPE,
      { .more = "\"plan\":{\"steps\":[]}" }, NULL, NULL },
    { "an empty plan", AIQ_D_PLAN_MISMATCH, ENVELOPE,
      { .more = "\"plan\":{}" }, NULL, NULL },
    { "two plans", AIQ_D_INVOKE_INVALID, ENVELOPE, { .more = both_plans },
      NULL, NULL },
    { "the right hashes beside the token", AIQ_OK, ENVELOPE,
      { .more = right_hash }, NULL, NULL },
    { "another hash beside the token", AIQ_D_PLAN_MISMATCH, ENVELOPE,
      { .more = "\"intent_token\":{\"plan_hash\":\"" HASH0 "\"}" },
      NULL, NULL },
    { "another root beside the token", AIQ_D_PLAN_MISMATCH, ENVELOPE,
      { .more = wrong_root }, NULL, NULL },
    { "no string for a hash", AIQ_D_PLAN_MISMATCH, ENVELOPE,
      { .more = "\"intent_token\":{\"merkle_root\":null}" }, NULL, NULL },

    { "the path", AIQ_OK, ALL, { .path = "/steps/[0]/action" }, NULL, NULL },
    { "the path of a step with that action", AIQ_OK, ALL,
      { .path = "/steps/[1]/tool" }, NULL, NULL },
    { "the path of a step with another action", AIQ_D_PATH_INVALID, ALL,
      { .path = "/steps/[2]/action" }, NULL, NULL },
    { "a path behind the last step", AIQ_D_PATH_INVALID, ALL,
      { .path = "/steps/[6]" }, NULL, NULL },
    { "a path that is none", AIQ_D_PATH_INVALID, ALL,
      { .path = "/steps/0" }, NULL, NULL },
    { "an empty path", AIQ_D_PATH_INVALID, ALL, { .path = "" }, NULL, NULL },
    { "a proof without path", AIQ_D_PATH_INVALID, ALL,
      { .proof = proofs[0] }, NULL, NULL },
    { "the proof", AIQ_OK, ALL,
      { .path = "/steps/[0]", .proof = proofs[0] }, NULL, NULL },
    { "the proof of another step", AIQ_D_PROOF_INVALID, ALL,
      { .path = "/steps/[0]", .proof = proofs[1] }, NULL, NULL },
    { "an empty proof", AIQ_D_PROOF_INVALID, ALL,
      { .path = "/steps/[0]", .proof = "[]" }, NULL, NULL },
    { "a proof that is no JSON", AIQ_D_PROOF_INVALID, ALL,
      { .path = "/steps/[0]", .proof = "" }, NULL, NULL },
    { "the digest", AIQ_OK, ALL, { .digest = digest }, NULL, NULL },
    { "the digest with its name", AIQ_OK, ALL, { .digest = digest_long },
      NULL, NULL },
    { "the digest of another action", AIQ_D_DIGEST_MISMATCH, ALL,
      { .digest = digest, .tool = "list", .args = "{}" }, NULL, NULL },
    { "another digest", AIQ_D_DIGEST_MISMATCH, ALL, { .digest = HASH0 },
      NULL, NULL },
    { "an empty digest", AIQ_D_DIGEST_MISMATCH, ALL, { .digest = "" },
      NULL, NULL },
    { "a step nobody asked for", AIQ_OK, ALL, { .step = "{" }, NULL, NULL },

    { "another tool", AIQ_D_STEP_NOT_PLANNED, ALL, { .tool = "write" },
      NULL, NULL },
    { "the tool in another case", AIQ_D_STEP_NOT_PLANNED, ALL,
      { .tool = "Read" }, NULL, NULL },
    { "another server", AIQ_D_STEP_SERVER, ALL, { .mcp = "db" }, NULL, NULL },
    { "a server that is not there", AIQ_D_STEP_SERVER, ALL,
      { .mcp = "nowhere" }, NULL, NULL },
    { "no parameters", AIQ_D_STEP_PARAMS, ALL, { .args = "{}" }, NULL, NULL },
    { "another parameter", AIQ_D_STEP_PARAMS, ALL,
      { .args = "{\"path\":\"/c\"}" }, NULL, NULL },
    { "one parameter more", AIQ_D_STEP_PARAMS, ALL,
      { .args = "{\"path\":\"/a\",\"all\":true}" }, NULL, NULL },
    { "a parameter of another type", AIQ_D_STEP_PARAMS, ALL,
      { .args = "{\"path\":[\"/a\"]}" }, NULL, NULL },
    { "another way to write it", AIQ_OK, ALL,
      { .args = "{ \"p\\u0061th\" : \"\\/a\" }" }, NULL, NULL },
    { "what SDKs add", AIQ_OK, ENVELOPE,
      { .args = "{\"_iam_context\":{},\"path\":\"/a\",\"_approvals\":[],"
                "\"_policy_context\":1,\"_delegation_id\":null,"
                "\"user_email\":\"alice@example.com\"}" }, NULL, NULL },
    { "what SDKs add, from nobody's SDK", AIQ_D_STEP_PARAMS, MCP,
      { .args = "{\"_iam_context\":{},\"path\":\"/a\"}" }, NULL, NULL },
    { "user_email, from nobody's SDK", AIQ_D_STEP_PARAMS, MCP,
      { .args = "{\"path\":\"/a\",\"user_email\":\"a@example.com\"}" },
      NULL, NULL },
    { "a member like those of SDKs", AIQ_D_STEP_PARAMS, ENVELOPE,
      { .args = "{\"_iam_contexts\":{},\"path\":\"/a\"}" }, NULL, NULL },
    { "user_email that was planned", AIQ_OK, ALL,
      { .tool = "mail", .args = "{\"user_email\":\"alice@example.com\"}" },
      NULL, NULL },
    { "another user_email than was planned", AIQ_D_STEP_PARAMS, ALL,
      { .tool = "mail", .args = "{\"user_email\":\"eve@example.com\"}" },
      NULL, NULL },
    { "no user_email where it was planned", AIQ_D_STEP_PARAMS, ALL,
      { .tool = "mail", .args = "{}" }, NULL, NULL },
    { "a step that binds no parameters", AIQ_OK, ALL,
      { .tool = "list", .args = "{\"all\":true}" }, NULL, NULL },
    { "a step that binds no parameters, strictly", AIQ_D_STEP_UNBOUND, ALL,
      { .tool = "list", .args = "{}", .params = AIQ_PARAMS_STRICT },
      NULL, NULL },
    { "a step that binds them, strictly", AIQ_OK, ALL,
      { .params = AIQ_PARAMS_STRICT }, NULL, NULL },
    { "steps that may be used again", AIQ_OK, ALL, { .reuse = 1 },
      NULL, NULL },
    { "only asked", AIQ_OK, ENVELOPE, { .more = "\"enforce_only\":true" },
      NULL, NULL },
    { "not only asked", AIQ_OK, ENVELOPE, { .more = "\"enforce_only\":false" },
      NULL, NULL },

    { "a used step", AIQ_D_STEP_USED, ALL, { 0 }, NULL, t_used },
    { "a ledger without room", AIQ_D_ZONE_FULL, ALL, { 0 }, NULL,
      t_ledger_full },
    { "a ledger that fails", AIQ_E_ZONE_UNAVAILABLE, ALL, { 0 }, NULL,
      t_ledger_fault },
    { "a ledger without an opinion", AIQ_E_INTERNAL, ALL, { 0 }, NULL,
      t_ledger_declines }
};


static const row_t  policies[] = {

    { "a server that was switched off", AIQ_D_MCP_UNKNOWN, ALL, { 0 },
      w_server_off, NULL },
    { "a server that was removed", AIQ_D_MCP_UNKNOWN, ALL, { 0 },
      w_server_gone, NULL },
    { "discovery, a server that was switched off", AIQ_D_MCP_UNKNOWN, MCP,
      { .body = LIST }, w_server_off, NULL },

    { "a policy denies", AIQ_D_POLICY_DENY, ALL, { 0 }, w_deny, NULL },
    { "a policy of higher priority denies", AIQ_D_POLICY_DENY, ALL, { 0 },
      w_deny_higher, NULL },
    { "a policy of lower priority denies", AIQ_OK, ALL, { 0 },
      w_deny_lower, NULL },
    { "a policy denies alice", AIQ_D_POLICY_DENY, ALL, { 0 }, w_deny_alice,
      NULL },
    { "a policy denies bob", AIQ_OK, ALL, { 0 }, w_deny_bob, NULL },
    { "a draft denies", AIQ_OK, ALL, { 0 }, w_deny_draft, NULL },
    { "no policy is asked for discovery", AIQ_OK, MCP, { .body = LIST },
      w_deny, NULL },
    { "no policy", AIQ_D_POLICY_NOT_ALLOWED, ALL, { 0 }, w_silence, NULL },
    { "no policy, in an org that permits", AIQ_OK, ALL, { 0 },
      w_silence_permit, NULL },
    { "other tools", AIQ_D_POLICY_TOOL, ALL, { 0 }, w_other_tools, NULL },
    { "another network", AIQ_D_POLICY_SOURCE, ALL, { 0 }, w_other_net, NULL },
    { "this network", AIQ_OK, ALL, { 0 }, w_this_net, NULL },
    { "this network, and nobody knows whence", AIQ_D_POLICY_SOURCE, ALL,
      { 0 }, w_this_net, t_no_source },
    { "another hour", AIQ_D_POLICY_TIME, ALL, { 0 }, w_other_hour, NULL },
    { "this hour", AIQ_OK, ALL, { 0 }, w_this_hour, NULL },
    { "a policy that nobody can read", AIQ_E_STORE_CORRUPT, ALL, { 0 },
      w_bad_policy, NULL },
    { "GET, a policy that nobody can read", AIQ_E_STORE_CORRUPT, MCP,
      { .http = "GET" }, w_bad_policy, NULL },

    { "a policy in the token", AIQ_OK, ALL,
      { .claim = "policy", .value = "{\"allow\":[\"fs/read\"]}" },
      NULL, NULL },
    { "the token denies", AIQ_D_POLICY_DENY, ALL,
      { .claim = "policy",
        .value = "{\"allow\":[\"*\"],\"deny\":[\"read\"]}" }, NULL, NULL },
    { "the token allows something else", AIQ_D_POLICY_NOT_ALLOWED, ALL,
      { .claim = "policy", .value = "{\"allow\":[\"fs/write\"]}" },
      NULL, NULL },
    { "the token allows nothing", AIQ_D_POLICY_NOT_ALLOWED, ALL,
      { .claim = "policy", .value = "{\"allow\":[]}" }, NULL, NULL },
    { "the token names other tools", AIQ_D_POLICY_TOOL, ALL,
      { .claim = "policy", .value = "{\"allowed_tools\":[\"write\"]}" },
      NULL, NULL },
    { "the token names another network", AIQ_D_POLICY_SOURCE, ALL,
      { .claim = "policy", .value = "{\"ip_whitelist\":[\"198.51.100.1\"]}" },
      NULL, NULL },
    { "the token names another hour", AIQ_D_POLICY_TIME, ALL,
      { .claim = "policy",
        .value = "{\"time_restrictions\":{\"allowed_hours\":[3]}}" },
      NULL, NULL },
    { "the token names this hour", AIQ_OK, ALL,
      { .claim = "policy",
        .value = "{\"time_restrictions\":{\"allowed_hours\":[22]}}" },
      NULL, NULL },
    { "the token says what we do not know", AIQ_D_TOKEN_CLAIMS, ALL,
      { .claim = "policy", .value = "{\"alow\":[\"*\"]}" }, NULL, NULL },
    { "the token names a policy", AIQ_D_TOKEN_CLAIMS, JWS,
      { .claim = "policy", .value = "{\"name\":\"x\"}" }, NULL, NULL },
    { "the token allows and a policy denies", AIQ_D_POLICY_DENY, ALL,
      { .claim = "policy", .value = "{\"allow\":[\"fs/read\"]}" },
      w_deny, NULL },
    { "the token allows and no policy does", AIQ_D_POLICY_NOT_ALLOWED, ALL,
      { .claim = "policy", .value = "{\"allow\":[\"fs/read\"]}" },
      w_silence, NULL },

    { "a rate in a policy", AIQ_OK, ALL, { 0 }, w_rate, NULL },
    { "a rate in the token", AIQ_OK, ALL,
      { .claim = "policy", .value = "{\"rate_limit\":1}" }, NULL, NULL },
    { "a limit of no calls", AIQ_D_RATE_LIMITED, ALL, { 0 }, NULL,
      t_no_calls },
    { "a limit for discovery", AIQ_D_RATE_LIMITED, MCP, { .body = LIST },
      NULL, t_no_calls },
    { "no room for buckets", AIQ_D_ZONE_FULL, ALL, { 0 }, NULL,
      t_buckets_full },
    { "buckets that fail", AIQ_E_ZONE_UNAVAILABLE, ALL, { 0 }, NULL,
      t_buckets_fault },
    { "buckets without an opinion", AIQ_E_INTERNAL, ALL, { 0 }, NULL,
      t_buckets_decline },
    { "rules that cannot be read", AIQ_E_STORE_UNAVAILABLE, ALL, { 0 }, NULL,
      t_rules_unavailable },
    { "rules without memory", AIQ_E_NO_MEMORY, ALL, { 0 }, NULL,
      t_rules_memory },
    { "GET, rules that cannot be read", AIQ_E_STORE_UNAVAILABLE, MCP,
      { .http = "GET" }, NULL, t_rules_unavailable }
};


static void
w_no_plan(int on)
{
    if (on) {
        drop(&acme, AIQ_STORE_PLAN, plan_id());

    } else {
        set_plan(&acme);
    }
}


static void
w_server_off(int on)
{
    set_server(&acme, "fs", !on);
}


static void
w_server_gone(int on)
{
    if (on) {
        drop(&acme, AIQ_STORE_MCP, S("fs"));

    } else {
        set_server(&acme, "fs", 1);
    }
}


static void
second_policy(int on, const char *policy)
{
    if (on) {
        set_policy(&acme, "second", policy);

    } else {
        drop(&acme, AIQ_STORE_POLICY, S("second"));
    }
}


static void
w_deny(int on)
{
    second_policy(on, "{\"name\":\"second\",\"deny\":[\"fs/read\"]}");
}


static void
w_deny_higher(int on)
{
    second_policy(on, "{\"name\":\"second\",\"deny\":[\"read\"],"
                  "\"priority\":100}");
}


static void
w_deny_lower(int on)
{
    set_policy(&acme, "all", on ? "{\"name\":\"all\",\"allow\":[\"*\"],"
                                  "\"priority\":2}"
                                : "{\"name\":\"all\",\"allow\":[\"*\"]}");
    second_policy(on, "{\"name\":\"second\",\"deny\":[\"*\"],"
                  "\"priority\":1}");
}


static void
w_deny_alice(int on)
{
    second_policy(on, "{\"name\":\"second\",\"deny\":[\"*\"],"
                  "\"target\":{\"type\":\"user\",\"id\":\"alice\"}}");
}


static void
w_deny_bob(int on)
{
    second_policy(on, "{\"name\":\"second\",\"deny\":[\"*\"],"
                  "\"target\":{\"type\":\"user\",\"id\":\"bob\"}}");
}


static void
w_deny_draft(int on)
{
    second_policy(on, "{\"name\":\"second\",\"deny\":[\"*\"],"
                  "\"status\":\"draft\"}");
}


static void
w_silence(int on)
{
    if (on) {
        drop(&acme, AIQ_STORE_POLICY, S("all"));

    } else {
        set_policy(&acme, "all", "{\"name\":\"all\",\"allow\":[\"*\"]}");
    }
}


static void
w_silence_permit(int on)
{
    w_silence(on);
    set_org(&acme, 1, on);
}


/* the policy that there is, with one member more */

static void
narrower(int on, const char *member)
{
    char  buf[256];

    snprintf(buf, sizeof(buf), "{\"name\":\"all\",\"allow\":[\"*\"]%s%s}",
             on ? "," : "", on ? member : "");

    set_policy(&acme, "all", buf);
}


static void
w_other_tools(int on)
{
    narrower(on, "\"allowed_tools\":[\"write\"]");
}


static void
w_other_net(int on)
{
    narrower(on, "\"ip_whitelist\":[\"198.51.100.0/24\"]");
}


static void
w_this_net(int on)
{
    narrower(on, "\"ip_whitelist\":[\"192.0.2.0/24\"]");
}


static void
w_other_hour(int on)
{
    narrower(on, "\"time_restrictions\":{\"allowed_hours\":[3]}");
}


/* 2023-11-14 22:15 UTC */

static void
w_this_hour(int on)
{
    narrower(on, "\"time_restrictions\":{\"allowed_hours\":[22],"
             "\"allowed_days\":[\"Tuesday\"]}");
}


static void
w_rate(int on)
{
    narrower(on, "\"rate_limit\":1");
}


static void
w_bad_policy(int on)
{
    second_policy(on, "{\"name\":\"second\",\"allow\":[\"*\"],\"dny\":[]}");
}


static void
t_used(void)
{
    shared.reserve_rc = AIQ_D_STEP_USED;
}


static void
t_ledger_full(void)
{
    shared.reserve_rc = AIQ_D_ZONE_FULL;
}


static void
t_ledger_fault(void)
{
    shared.reserve_rc = AIQ_E_ZONE_UNAVAILABLE;
}


static void
t_ledger_declines(void)
{
    shared.reserve_rc = AIQ_DECLINED;
}


static void
one_limit(uint64_t calls)
{
    static aiq_limit_rule_t  limit;

    limit.limit.calls = calls;
    limit.limit.period = 1000;
    limit.limit.burst = 0;
    limit.keys = 1 << AIQ_LIMIT_ORG;
    limit.id = 1;

    rq.limits = &limit;
    rq.nlimits = 1;
}


static void
t_no_calls(void)
{
    one_limit(0);
}


static void
t_buckets_full(void)
{
    one_limit(1);
    shared.take_rc = AIQ_D_ZONE_FULL;
}


static void
t_buckets_fault(void)
{
    one_limit(1);
    shared.take_rc = AIQ_E_ZONE_UNAVAILABLE;
}


static void
t_buckets_decline(void)
{
    one_limit(1);
    shared.take_rc = AIQ_DECLINED;
}


static void
t_rules_unavailable(void)
{
    shared.ruleset_rc = AIQ_E_STORE_UNAVAILABLE;
}


static void
t_rules_memory(void)
{
    shared.ruleset_rc = AIQ_E_NO_MEMORY;
}


static void
t_no_source(void)
{
    rq.source.family = 0;
}


/* what the rows point to */

static void
texts(void)
{
    uint32_t       i;
    aiq_out_t      out;
    aiq_hash_t     hash;

    made.pos = made_room;
    made.end = made_room + ROOM;

    must(aiq_sha256(crypto, S("\"read\""), hash), "SHA-256");

    snprintf(digest, sizeof(digest), "%s", hash_hex(hash, AIQ_HASH_LEN));
    snprintf(digest_long, sizeof(digest_long), "sha256:%s", digest);

    snprintf(right_hash, sizeof(right_hash), "\"intent_token\":"
             "{\"plan_hash\":\"%s\",\"merkle_root\":\"%s\"}",
             hash_hex(plan_hash, AIQ_HASH_LEN),
             hash_hex(plan_hash, AIQ_HASH_LEN));

    snprintf(wrong_root, sizeof(wrong_root), "\"intent_token\":"
             "{\"plan_hash\":\"%s\",\"merkle_root\":\"%s\"}",
             hash_hex(plan_hash, AIQ_HASH_LEN), digest);

    snprintf(whole_plan, sizeof(whole_plan), "\"plan\":%s", PLAN);
    snprintf(whole_plan_more, sizeof(whole_plan_more),
             "\"plan\":{\"metadata\":{},%s", &PLAN[1]);
    snprintf(both_plans, sizeof(both_plans),
             "\"plan\":%s,\"intent_token\":{%s}", PLAN, OTHER_PLAN);

    for (i = 0; i < STEPS; i++) {
        aiq_out_init(&out, proofs[i], sizeof(proofs[i]) - 1);

        must(aiq_plan_proof_write(&out, &plan, i, crypto), "proof");
    }
}


/* a request with everything wrong is told the first, in this order */

static void
test_order(void)
{
    size_t    i;
    unsigned  n;

    static change_t  c = {
        .http = "PUT", .dup = 1, .query = 1, .upgrade = "x",
        .encoding = "gzip", .type = "text/plain", .no_body = 1,
        .key = "ak_test_unknown", .token = "x.y.z", .forge = 1,
        .later = 1000, .claim = "steps", .value = "5", .digest = HASH0,
        .path = "/steps/[9]", .tool = "write"
    };

    static const aiq_rc_t  want[] = {
        AIQ_D_HEADER_DUPLICATE, AIQ_D_METHOD_NOT_ALLOWED,
        AIQ_D_TOKEN_AMBIGUOUS, AIQ_D_UPGRADE_NOT_ALLOWED,
        AIQ_D_CONTENT_ENCODING, AIQ_D_CONTENT_TYPE, AIQ_D_BODY_INCOMPLETE,
        AIQ_D_KEY_INVALID, AIQ_D_TOKEN_MALFORMED, AIQ_D_TOKEN_SIGNATURE,
        AIQ_D_TOKEN_EXPIRED, AIQ_D_TOKEN_REVOKED, AIQ_D_TOKEN_OWNER,
        AIQ_D_PLAN_MISMATCH, AIQ_D_DIGEST_MISMATCH, AIQ_D_PATH_INVALID,
        AIQ_D_STEP_NOT_PLANNED, AIQ_D_MCP_UNKNOWN, AIQ_D_POLICY_DENY,
        AIQ_D_RATE_LIMITED, AIQ_OK
    };

    set_revoked(&acme, "j-1");
    set_server(&acme, "fs", 0);
    w_deny(1);

    n = 0;

    for (i = 0; i < sizeof(want) / sizeof(want[0]); i++) {

        switch (i) {

        case 1:
            c.dup = 0;
            break;

        case 2:
            c.http = NULL;
            break;

        case 3:
            c.query = 0;
            break;

        case 4:
            c.upgrade = NULL;
            break;

        case 5:
            c.encoding = NULL;
            break;

        case 6:
            c.type = NULL;
            break;

        case 7:
            c.no_body = 0;
            break;

        case 8:
            c.key = acme.bob;
            break;

        case 9:
            c.token = NULL;
            break;

        case 10:
            c.forge = 0;
            break;

        case 11:
            c.later = 0;
            break;

        case 12:
            drop(&acme, AIQ_STORE_REVOKED, S("j-1"));
            break;

        case 13:
            c.key = NULL;
            break;

        case 14:
            c.claim = NULL;
            break;

        case 15:
            c.digest = NULL;
            break;

        case 16:
            c.path = NULL;
            break;

        case 17:
            c.tool = NULL;
            break;

        case 18:
            set_server(&acme, "fs", 1);
            break;

        case 19:
            w_deny(0);
            break;
        }

        forget();
        make(&acme, NATIVE, &c);
        one_limit(i < 20 ? 0 : 1);
        (void) decide();

        if (d.rc == want[i]) {
            n++;

        } else {
            diag("%u: want %s, got %s", (unsigned) i, aiq_reason(want[i]),
                 aiq_reason(d.rc));
        }
    }

    ok(n == i, "framing, identity, token, intent, policy, limits");
}


/* denied after the step was taken: it is as if it never was */

static void
test_record(void)
{
    static change_t  nothing, read_b = { .args = B };

    forget();
    w_deny(1);

    ok(run(&acme, NATIVE, &nothing) == AIQ_D_POLICY_DENY
       && shared.reserves == 1 && shared.releases == 1 && uses() == 0
       && !d.reserved && d.step == 0 && aiq_str_is(d.policy, "second"),
       "a denied call gives its step back, and says which policy it was");

    w_deny(0);

    ok(run(&acme, NATIVE, &nothing) == AIQ_OK && d.step == 0 && uses() == 1
       && aiq_str_is(d.policy, "all"), "and it can be had later");

    forget();
    make(&acme, NATIVE, &read_b);
    one_limit(0);
    (void) decide();

    ok(d.rc == AIQ_D_RATE_LIMITED && d.retry_ms == 1000
       && shared.releases == 1 && uses() == 0 && !d.reserved,
       "so does a call that comes too soon; it is told when to come again");

    forget();
    w_server_off(1);

    ok(run(&acme, INVOKE, &nothing) == AIQ_D_MCP_UNKNOWN
       && shared.releases == 1 && uses() == 0,
       "so does a call of a server that is switched off");

    w_server_off(0);

    forget();
    shared.take_rc = AIQ_E_ZONE_UNAVAILABLE;
    w_rate(1);

    ok(run(&acme, INVOKE, &nothing) == AIQ_E_ZONE_UNAVAILABLE
       && d.verdict == AIQ_VERDICT_DENY && shared.releases == 1
       && uses() == 0, "so does a call that we fail");

    w_rate(0);
}


int
main(void)
{
    world_begin();
    texts();

    rows_run(intents, sizeof(intents) / sizeof(intents[0]));
    rows_run(policies, sizeof(policies) / sizeof(policies[0]));

    test_order();
    test_record();

    return world_end();
}
