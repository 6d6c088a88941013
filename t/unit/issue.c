
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Issuing: what is refused and why, what is signed and stored, and that the
 * decision takes what was issued.
 */


#include <jansson.h>

#include "decide_test.h"
#include "issue.h"


#define BIG      (16 * 1024 * 1024)


typedef struct {
    const char         *what;
    const char         *plan;
    const char         *policy;       /* JSON, or NULL: none */
    aiq_rc_t            rc;
    const char         *said;         /* part of the sentence */
} issue_case_t;


static aiq_rc_t issue(const char *plan, const char *policy);
static aiq_rc_t issue_again(void);
static size_t rows(tenant_t *t, aiq_store_kind_e kind);
static aiq_rc_t count_row(void *data, aiq_str_t id, aiq_str_t value);
static void test_plans(void);
static void test_policies(void);
static void test_org_policies(void);
static void test_servers(void);
static void test_names(void);
static void test_lifetimes(void);
static void test_orgs(void);
static void test_claims(void);
static void test_stored(void);
static void test_verifies(void);
static void test_narrowed(void);
static void test_answer(void);
static void test_steps(int n);
static void test_policy_length(void);
static void test_faults(void);
static void test_memory(void);


static aiq_issue_t        in_;
static aiq_issued_pair_t  out;
static aiq_json_t         doc;
static aiq_mem_t          big;
static unsigned char     *big_room;
static char              *texts;
static size_t             tokens, plans;      /* rows that there were */


/* with a default for what in_ does not say */

static aiq_rc_t
issue(const char *plan, const char *policy)
{
    big.pos = big_room;
    big.end = big_room + BIG;

    snprintf(texts, BIG, "{\"plan\":%s%s%s}", plan,
             policy ? ",\"policy\":" : "", policy ? policy : "");

    must(aiq_json_parse(&doc, S(texts), AIQ_JSON_DEPTH, &big, &err), "JSON");

    in_.doc = &doc;
    in_.plan = aiq_json_get(&doc, 0, "plan");
    in_.policy = aiq_json_get(&doc, 0, "policy");

    return issue_again();
}


static aiq_rc_t
issue_again(void)
{
    tokens = rows(&acme, AIQ_STORE_TOKEN);
    plans = rows(&acme, AIQ_STORE_PLAN);

    in_.store = store;
    in_.crypto = crypto;
    in_.mem = &big;

    memset(&err, 0, sizeof(err));
    memset(&out, 0xbb, sizeof(out));

    return aiq_issue(&out, &in_, &err);
}


static void
as_usual(void)
{
    memset(&in_, 0, sizeof(in_));

    in_.org = S("acme");
    in_.user = S("alice");
    in_.agent = S("sysadmin");
    in_.now = NOW;
    in_.source.family = 4;
    memcpy(in_.source.addr, "\xc0\x00\x02\x07", 4);
}


static aiq_rc_t
count_row(void *data, aiq_str_t id, aiq_str_t value)
{
    (*(size_t *) data)++;

    return AIQ_OK;
}


static size_t
rows(tenant_t *t, aiq_store_kind_e kind)
{
    size_t            n;
    aiq_store_txn_t  *txn;

    n = 0;
    txn = must_begin(store, 0);

    must(aiq_store_each(txn, S(t->name), kind, count_row, &n), "rows");
    aiq_store_abort(txn);

    return n;
}


/* refused, with a sentence, and nothing was written */

static int
refused(aiq_rc_t rc, aiq_rc_t want, const char *said, const char *what)
{
    if (!ok(rc == want && (said == NULL || strstr(err.text, said) != NULL)
            && rows(&acme, AIQ_STORE_TOKEN) == tokens
            && rows(&acme, AIQ_STORE_PLAN) == plans,
            "%s: %s", what, aiq_reason(want)))
    {
        diag("%s \"%s\"", aiq_reason(rc), err.text);
        return 0;
    }

    return 1;
}


#define PLAN_OF(steps)  "{\"goal\":\"x\",\"steps\":[" steps "]}"
#define READ            "{\"mcp\":\"fs\",\"action\":\"read\"}"

static void
test_plans(void)
{
    size_t  i;

    static const issue_case_t  cases[] = {
        { "no object", "[]", NULL, AIQ_D_PLAN_INVALID, "not an object" },
        { "null", "null", NULL, AIQ_D_PLAN_INVALID, "not an object" },
        { "empty", "{}", NULL, AIQ_D_PLAN_INVALID,
          "missing required field \"steps\"" },
        { "steps that are no array", "{\"steps\":{}}", NULL,
          AIQ_D_PLAN_INVALID, "\"steps\" is not an array" },
        { "no steps", PLAN_OF(""), NULL, AIQ_D_PLAN_INVALID,
          "\"steps\" has 0 elements" },
        { "a step that is no object", PLAN_OF(READ ",1"), NULL,
          AIQ_D_PLAN_INVALID, "step 1 is not an object" },
        { "no action", PLAN_OF(READ "," READ ",{\"mcp\":\"fs\"}"), NULL,
          AIQ_D_PLAN_INVALID, "step 2: missing required field \"action\"" },
        { "no mcp", PLAN_OF("{\"action\":\"read\"}"), NULL,
          AIQ_D_PLAN_INVALID, "step 0: missing required field \"mcp\"" },
        { "an action that is no string",
          PLAN_OF("{\"mcp\":\"fs\",\"action\":7}"), NULL, AIQ_D_PLAN_INVALID,
          "step 0: \"action\" is not a string" },
        { "params that are no object",
          PLAN_OF("{\"mcp\":\"fs\",\"action\":\"a\",\"params\":[]}"), NULL,
          AIQ_D_PLAN_INVALID, "step 0: \"params\" is not an object" },
        { "no uses",
          PLAN_OF("{\"mcp\":\"fs\",\"action\":\"a\",\"max_uses\":0}"), NULL,
          AIQ_D_PLAN_INVALID, "step 0: \"max_uses\"" }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        refused(issue(cases[i].plan, cases[i].policy), cases[i].rc,
                cases[i].said, cases[i].what);
    }
}


static void
test_policies(void)
{
    size_t  i;

    static const issue_case_t  bad[] = {
        { "a policy that is a string", PLAN, "\"*\"", AIQ_D_POLICY_INVALID,
          "not an object" },
        { "a policy that is false", PLAN, "false", AIQ_D_POLICY_INVALID,
          "not an object" },
        { "an unknown member", PLAN, "{\"alow\":[]}", AIQ_D_POLICY_INVALID,
          "alow" },
        { "the name of an org", PLAN, "{\"org\":\"ajax\"}",
          AIQ_D_POLICY_INVALID, "org" },
        { "a jti", PLAN, "{\"jti\":\"x\"}", AIQ_D_POLICY_INVALID, "jti" },
        { "a target", PLAN, "{\"target\":{\"type\":\"org\"}}",
          AIQ_D_POLICY_INVALID, "target" },
        { "it denies a step", PLAN, "{\"allow\":[\"*\"],\"deny\":[\"mail\"]}",
          AIQ_D_POLICY_DENY, "step 5 (\"mail\" on \"fs\")" },
        { "it allows other steps", PLAN, "{\"allow\":[\"fs/*\"]}",
          AIQ_D_POLICY_NOT_ALLOWED, "step 3 (\"query\" on \"db\")" },
        { "it allows nothing", PLAN, "{\"allow\":[]}",
          AIQ_D_POLICY_NOT_ALLOWED, "step 0" },
        { "it names other tools", PLAN, "{\"allowed_tools\":[\"read\"]}",
          AIQ_D_POLICY_TOOL, "step 2 (\"list\" on \"fs\")" }
    };

    static const issue_case_t  good[] = {
        { "null for a policy", PLAN, "null", AIQ_OK, NULL },
        { "an empty policy", PLAN, "{}", AIQ_OK, NULL },
        { "a policy that allows the steps", PLAN,
          "{\"allow\":[\"fs/*\",\"query\"]}", AIQ_OK, NULL },
        { "another hour", PLAN,
          "{\"time_restrictions\":{\"allowed_hours\":[3]}}", AIQ_OK, NULL },
        { "another network", PLAN, "{\"ip_whitelist\":[\"198.51.100.1\"]}",
          AIQ_OK, NULL },
        { "a rate", PLAN, "{\"rate_limit\":1}", AIQ_OK, NULL },
        { "a description", PLAN,
          "{\"description\":\"x\",\"version\":1}", AIQ_OK, NULL }
    };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        refused(issue(bad[i].plan, bad[i].policy), bad[i].rc, bad[i].said,
                bad[i].what);
    }

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ok(issue(good[i].plan, good[i].policy) == AIQ_OK, "%s",
           good[i].what);
    }
}


/* what an org forbids for good is not planned; the rest is judged later */

static void
test_org_policies(void)
{
    set_policy(&acme, "no", "{\"name\":\"no\",\"deny\":[\"db/*\"]}");
    refused(issue(PLAN, NULL), AIQ_D_POLICY_DENY, "step 3 (\"query\"",
            "a policy of the org denies");
    refused(issue(PLAN, "{\"allow\":[\"*\"]}"), AIQ_D_POLICY_DENY,
            "step 3", "whatever the policy of the token says");
    ok(issue(PLAN_OF(READ), NULL) == AIQ_OK, "other steps are not denied");
    drop(&acme, AIQ_STORE_POLICY, S("no"));

    set_policy(&acme, "all", "{\"name\":\"all\",\"allow\":[\"*\"],"
               "\"time_restrictions\":{\"allowed_hours\":[3]},"
               "\"ip_whitelist\":[\"192.0.2.0/24\"]}");
    ok(issue(PLAN, NULL) == AIQ_OK, "another hour is not judged now");

    set_policy(&acme, "all", "{\"name\":\"all\",\"allow\":[\"*\"],"
               "\"ip_whitelist\":[\"198.51.100.1\"]}");
    ok(issue(PLAN, NULL) == AIQ_OK, "nor is another network");

    set_policy(&acme, "all", "{\"name\":\"all\",\"allow\":[\"*\"],"
               "\"allowed_tools\":[\"read\"]}");
    refused(issue(PLAN, NULL), AIQ_D_POLICY_TOOL, "step 2", "other tools");

    drop(&acme, AIQ_STORE_POLICY, S("all"));
    refused(issue(PLAN, NULL), AIQ_D_POLICY_NOT_ALLOWED, "step 0",
            "no policy");

    set_org(&acme, 1, 1);
    ok(issue(PLAN, NULL) == AIQ_OK, "no policy, in an org that permits");
    set_org(&acme, 1, 0);

    set_policy(&acme, "all", "{\"name\":\"all\",\"alow\":[]}");
    ok(aiq_is_fault(issue(PLAN, NULL)), "a policy that nobody can read");

    set_policy(&acme, "all", "{\"name\":\"all\",\"allow\":[\"*\"]}");

    set_policy(&acme, "bob", "{\"name\":\"bob\",\"deny\":[\"*\"],"
               "\"target\":{\"type\":\"user\",\"id\":\"bob\"}}");
    ok(issue(PLAN, NULL) == AIQ_OK, "alice is not denied what bob is");
    in_.user = S("bob");
    refused(issue_again(), AIQ_D_POLICY_DENY, "step 0", "and bob is");
    as_usual();
    drop(&acme, AIQ_STORE_POLICY, S("bob"));
}


static void
test_servers(void)
{
    set_server(&acme, "db", 0);
    refused(issue(PLAN, NULL), AIQ_D_MCP_UNKNOWN,
            "step 3 (\"query\" on \"db\")", "a server that is switched off");
    drop(&acme, AIQ_STORE_MCP, S("db"));
    refused(issue(PLAN, NULL), AIQ_D_MCP_UNKNOWN, "step 3",
            "a server that only another org has");
    set_server(&acme, "db", 1);

    refused(issue(PLAN_OF(READ ",{\"mcp\":\"nowhere\",\"action\":\"a\"}"),
                  NULL), AIQ_D_MCP_UNKNOWN,
            "step 1 (\"a\" on \"nowhere\")", "an unknown server");
}


static void
test_names(void)
{
    char  longest[AIQ_NAME_MAX + 2];

    memset(longest, 'a', sizeof(longest) - 1);
    longest[AIQ_NAME_MAX + 1] = '\0';

    in_.user = S("");
    refused(issue(PLAN, NULL), AIQ_D_REQUEST_INVALID, "user_id", "no user");
    as_usual();

    in_.agent = S("");
    refused(issue(PLAN, NULL), AIQ_D_REQUEST_INVALID, "agent_id", "no agent");
    as_usual();

    in_.agent = S("a\nb");
    refused(issue(PLAN, NULL), AIQ_D_REQUEST_INVALID, "agent_id",
            "an agent with a control");
    as_usual();

    in_.user = S(longest);
    refused(issue(PLAN, NULL), AIQ_D_REQUEST_INVALID, "user_id",
            "a user of 257 bytes");

    in_.user.len--;
    ok(issue(PLAN, NULL) == AIQ_OK, "a user of 256 bytes");
    as_usual();

    in_.context = S("a\x01");
    refused(issue(PLAN, NULL), AIQ_D_REQUEST_INVALID, "context",
            "a context with a control");
    as_usual();

    set_user(&acme, "alice", 0);
    refused(issue(PLAN, NULL), AIQ_D_TOKEN_OWNER, "user",
            "a user who is switched off");
    set_user(&acme, "alice", 1);

    set_agent(&acme, "sysadmin", 0);
    refused(issue(PLAN, NULL), AIQ_D_TOKEN_OWNER, "agent",
            "an agent that is switched off");
    set_agent(&acme, "sysadmin", 1);

    in_.user = S("carol");
    in_.agent = S("helper");
    ok(issue(PLAN, NULL) == AIQ_OK, "a user and an agent nobody knows");
    as_usual();
}


static void
test_lifetimes(void)
{
    in_.lifetime = 0;
    ok(issue(PLAN, NULL) == AIQ_OK && out.iat == NOW && out.exp == NOW + 60,
       "a minute, if nothing is asked for");

    in_.lifetime = 1;
    ok(issue_again() == AIQ_OK && out.exp == NOW + 1, "a second");

    in_.lifetime = 86400;
    ok(issue_again() == AIQ_OK && out.exp == NOW + 86400, "a day");

    in_.lifetime = 86401;
    refused(issue_again(), AIQ_D_REQUEST_INVALID, "expires_in", "a day and a "
            "second");

    in_.lifetime = -1;
    refused(issue_again(), AIQ_D_REQUEST_INVALID, "expires_in", "less than "
            "nothing");

    in_.lifetime = INT64_MAX;
    refused(issue_again(), AIQ_D_REQUEST_INVALID, "expires_in", "for ever");

    in_.lifetime = INT64_MIN;
    refused(issue_again(), AIQ_D_REQUEST_INVALID, "expires_in",
            "as long ago");

    as_usual();
}


static void
test_orgs(void)
{
    in_.org = S("initech");
    refused(issue(PLAN, NULL), AIQ_D_KEY_INVALID, NULL, "an unknown org");

    in_.org = S("");
    refused(issue_again(), AIQ_D_KEY_INVALID, NULL, "no org");
    as_usual();

    set_org(&acme, 0, 0);
    refused(issue(PLAN, NULL), AIQ_D_KEY_INVALID, NULL,
            "an org that is switched off");
    set_org(&acme, 1, 0);
}


/* what is signed, in both forms */

static void
test_claims(void)
{
    aiq_rc_t           rc;
    aiq_hash_t         identity;
    aiq_json_t         object;
    aiq_token_t        jws, iap;
    aiq_token_rules_t  rules = { NOW, 0, 290, "armoriq", "armoriq-proxy" };

    in_.lifetime = 290;
    in_.key = S("key_0123456789ab");
    in_.context = S("night");

    rc = issue(PLAN, "{\"deny\":[],\"allow\":[\"f\\u0073\\/*\",\"*\"],"
                     "\"rate_limit\":1e1}");

    ok(rc == AIQ_OK
       && memcmp(out.plan.root, plan_hash, AIQ_HASH_LEN) == 0
       && out.plan.n == STEPS && aiq_str_is(out.kid, "main"),
       "issued");

    rc = aiq_token_read_jws(&jws, out.jws, &rules, crypto, &big, &err);

    ok(rc == AIQ_OK && jws.form == AIQ_TOKEN_JWS
       && aiq_str_is(jws.kid, "main") && aiq_str_is(jws.iss, "armoriq")
       && aiq_str_is(jws.aud, "armoriq-proxy") && jws.aud_ok
       && aiq_str_is(jws.sub, "alice") && aiq_str_is(jws.org, "acme")
       && aiq_str_is(jws.agent, "sysadmin")
       && aiq_str_eq(jws.jti, out.jti)
       && aiq_str_is(jws.key, "key_0123456789ab")
       && jws.iat == NOW && jws.nbf == NOW && jws.exp == NOW + 290
       && jws.steps == STEPS
       && memcmp(jws.plan_hash, plan_hash, AIQ_HASH_LEN) == 0
       && aiq_str_is(jws.policy, "{\"allow\":[\"fs/*\",\"*\"],\"deny\":[],"
                                 "\"rate_limit\":10}"),
       "the claims of the JWS");

    ok(aiq_json_parse(&object, out.iap, AIQ_TOKEN_DEPTH, &big, &err)
       == AIQ_OK, "the IAP object is JSON");

    rc = aiq_token_read_iap(&iap, &object, 0, crypto, &big, &err);

    ok(rc == AIQ_OK && iap.form == AIQ_TOKEN_IAP
       && aiq_str_is(iap.sub, "alice") && aiq_str_is(iap.org, "acme")
       && aiq_str_is(iap.agent, "sysadmin")
       && aiq_str_eq(iap.jti, out.jti)
       && aiq_str_is(iap.key, "key_0123456789ab")
       && iap.iat == NOW && iap.exp == NOW + 290 && iap.steps == STEPS
       && memcmp(iap.plan_hash, plan_hash, AIQ_HASH_LEN) == 0
       && memcmp(iap.public_key, acme.pub, AIQ_KEY_LEN) == 0
       && aiq_str_eq(iap.policy, jws.policy),
       "the same in the IAP object");

    must(aiq_token_identity(crypto, S("alice"), S("sysadmin"), S("night"),
                            plan_hash, identity), "identity");

    ok(memcmp(identity, out.identity, AIQ_HASH_LEN) == 0
       && memcmp(identity, iap.identity, AIQ_HASH_LEN) == 0,
       "the identity is that of user, agent, context and plan");

    ok(aiq_token_check_signature(&jws, acme.pub, crypto) == AIQ_OK
       && aiq_token_check_signature(&iap, acme.pub, crypto) == AIQ_OK
       && aiq_token_check_claims(&jws, &rules, &err) == AIQ_OK
       && aiq_token_check_claims(&iap, &rules, &err) == AIQ_OK,
       "both verify with the key of the issuer");
    ok(aiq_token_check_signature(&jws, ajax.pub, crypto)
       == AIQ_D_TOKEN_SIGNATURE
       && aiq_token_check_signature(&iap, ajax.pub, crypto)
          == AIQ_D_TOKEN_KEY, "and with no other");

    ok(issue(PLAN, NULL) == AIQ_OK
       && aiq_token_read_jws(&jws, out.jws, &rules, crypto, &big, &err)
          == AIQ_OK
       && aiq_str_is(jws.policy, "{\"allow\":[\"*\"],\"deny\":[]}"),
       "without a policy: everything that is planned");

    as_usual();
}


static void
test_stored(void)
{
    char              jti[64];
    uint64_t          before;
    aiq_rc_t          rc;
    aiq_plan_t        p;
    aiq_issued_t      issued;
    aiq_store_txn_t  *txn;

    drop(&acme, AIQ_STORE_PLAN, plan_id());
    before = revision(store);
    in_.key = S("key_0123456789ab");

    ok(issue(PLAN, NULL) == AIQ_OK, "issued");

    txn = must_begin(store, 0);

    rc = aiq_issued_get(txn, S("acme"), out.jti, &issued, &big);

    ok(rc == AIQ_OK && aiq_str_eq(issued.jti, out.jti)
       && aiq_str_eq(issued.plan_id, out.plan_id)
       && aiq_str_is(issued.user, "alice")
       && aiq_str_is(issued.agent, "sysadmin")
       && aiq_str_is(issued.key, "key_0123456789ab")
       && aiq_str_is(issued.kid, "main") && issued.iat == NOW
       && issued.exp == NOW + 60
       && memcmp(issued.plan_hash, plan_hash, AIQ_HASH_LEN) == 0,
       "the token is in the store");

    rc = aiq_plan_get(txn, S("acme"), plan_hash, &p, &big);

    ok(rc == AIQ_OK && p.n == STEPS && p.steps[1].max_uses == 2,
       "and the plan");

    ok(aiq_issued_get(txn, S("ajax"), out.jti, &issued, &big)
       == AIQ_DECLINED, "and not in another org");

    aiq_store_abort(txn);

    ok(revision(store) == before, "no worker has to read its rules again");

    ok(out.jti.len == 32 && out.plan_id.len == 36
       && strspn((const char *) out.jti.data, "0123456789abcdef") >= 32
       && out.plan_id.data[8] == '-' && out.plan_id.data[13] == '-'
       && out.plan_id.data[14] == '4' && out.plan_id.data[18] == '-'
       && strchr("89ab", out.plan_id.data[19]) != NULL
       && out.plan_id.data[23] == '-',
       "a jti of 128 bits, and a UUID");

    snprintf(jti, sizeof(jti), "%.32s", (const char *) out.jti.data);

    ok(issue(PLAN, NULL) == AIQ_OK && !aiq_str_is(out.jti, jti)
       && memcmp(out.plan.root, plan_hash, AIQ_HASH_LEN) == 0
       && rows(&acme, AIQ_STORE_PLAN) >= 1,
       "the same plan again is another token");

    as_usual();
}


/* what was issued is taken, and is one token in two forms */

static void
test_verifies(void)
{
    char             *jws, *iap;
    static change_t   c = { 0 }, o = { 0 }, s = { 0 };

    in_.lifetime = 290;
    in_.key = S(acme.id[0]);

    ok(issue(PLAN, NULL) == AIQ_OK, "issued");

    jws = strdup(text("%.*s", (int) out.jws.len, out.jws.data));
    iap = strdup(text("%.*s", (int) out.iap.len, out.iap.data));

    c.token = jws;
    s.token = jws;
    o.token = iap;

    forget();
    same_rc(run(&acme, BARE, &c), AIQ_OK, "the JWS");
    ok(d.step == 0 && aiq_str_is(d.user, "alice"), "is that of alice");
    same_rc(run(&acme, INVOKE, &o), AIQ_OK, "the IAP object");
    ok(d.step == 4, "has one use of the action left");
    same_rc(run(&acme, STRING, &s), AIQ_D_STEP_USED,
            "the JWS in an envelope");

    forget();
    o.key = acme.any;
    same_rc(run(&acme, INVOKE, &o), AIQ_D_TOKEN_OWNER,
            "it was issued to one key");
    o.key = NULL;

    set_revoked(&acme, text("%.*s", (int) out.jti.len, out.jti.data));
    same_rc(run(&acme, BARE, &c), AIQ_D_TOKEN_REVOKED, "revoked: the JWS");
    same_rc(run(&acme, INVOKE, &o), AIQ_D_TOKEN_REVOKED,
            "revoked: the IAP object");

    free(jws);
    free(iap);
    as_usual();
}


/* the policy that was asked for holds when the call is made */

static void
test_narrowed(void)
{
    unsigned          i;
    char             *jws;
    static change_t   c = { 0 };

    static const struct {
        const char  *policy;
        aiq_rc_t     rc;
    } policies[] = {
        { "{\"time_restrictions\":{\"allowed_hours\":[3]}}",
          AIQ_D_POLICY_TIME },
        { "{\"time_restrictions\":{\"allowed_hours\":[22]}}", AIQ_OK },
        { "{\"ip_whitelist\":[\"198.51.100.1\"]}", AIQ_D_POLICY_SOURCE },
        { "{\"ip_whitelist\":[\"192.0.2.7\"]}", AIQ_OK }
    };

    in_.lifetime = 290;

    for (i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {

        if (issue(PLAN, policies[i].policy) != AIQ_OK) {
            ok(0, "%s: %s", policies[i].policy, err.text);
            continue;
        }

        made.pos = made_room;
        made.end = made_room + ROOM;
        jws = strdup(text("%.*s", (int) out.jws.len, out.jws.data));
        c.token = jws;

        forget();
        same_rc(run(&acme, NATIVE, &c), policies[i].rc, "%s",
                policies[i].policy);

        free(jws);
    }

    as_usual();
}


static const char *
member(json_t *o, const char *name)
{
    const char  *s;

    s = json_string_value(json_object_get(o, name));

    return s ? s : "";
}


/* the members that the SDKs read */

static void
test_answer(void)
{
    char        *answer, *proof;
    json_t      *o, *token, *v, *list;
    size_t       i, size;
    unsigned     n;
    aiq_out_t    w;

    ok(issue(PLAN, NULL) == AIQ_OK, "issued");

    answer = calloc(1, 65536);
    aiq_out_init(&w, answer, 65535);
    aiq_issue_write(&w, &out, &in_);

    made.pos = made_room;
    made.end = made_room + ROOM;

    o = json_loads(answer, JSON_REJECT_DUPLICATES, NULL);
    token = json_object_get(o, "token");

    ok(!w.failed && o != NULL && json_object_size(o) == 12
       && json_is_true(json_object_get(o, "success"))
       && strcmp(member(o, "plan_hash"),
                 hash_hex(plan_hash, AIQ_HASH_LEN)) == 0
       && strcmp(member(o, "merkle_root"), member(o, "plan_hash")) == 0
       && aiq_str_is(out.jti, member(o, "intent_reference"))
       && aiq_str_is(out.plan_id, member(o, "plan_id"))
       && strcmp(member(o, "composite_identity"),
                 hash_hex(out.identity, AIQ_HASH_LEN)) == 0
       && aiq_str_is(out.jws, member(o, "jwt_token"))
       && json_is_null(json_object_get(o, "client_info"))
       && json_is_array(json_object_get(o, "policy_snapshot"))
       && json_array_size(json_object_get(o, "policy_snapshot")) == 0,
       "the answer has the members that SDKs want");

    ok(strcmp(member(token, "plan_hash"), member(o, "plan_hash")) == 0
       && strlen(member(token, "signature")) == 128
       && strcmp(member(token, "public_key"),
                 hash_hex(acme.pub, AIQ_KEY_LEN)) == 0
       && strcmp(member(token, "version"), "IAP-0.1") == 0
       && strcmp(member(token, "identity"),
                 member(o, "composite_identity")) == 0
       && json_integer_value(json_object_get(token, "issued_at")) == NOW
       && json_integer_value(json_object_get(token, "expires_at"))
          == NOW + 60, "and its token as well");

    v = json_object_get(o, "policy_validation");
    list = json_object_get(v, "allowed_tools");

    ok(json_array_size(list) == STEPS
       && strcmp(json_string_value(json_array_get(list, 3)), "query") == 0
       && json_is_array(json_object_get(v, "denied_tools"))
       && json_array_size(json_object_get(v, "denied_tools")) == 0
       && json_is_array(json_object_get(v, "denied_reasons"))
       && json_array_size(json_object_get(v, "denied_reasons")) == 0
       && strcmp(member(v, "default_enforcement_action"), "block") == 0,
       "policy_validation");

    list = json_object_get(o, "step_proofs");
    n = 0;

    for (i = 0; i < json_array_size(list); i++) {
        proof = json_dumps(json_array_get(list, i), JSON_COMPACT);

        n += aiq_plan_proof_verify(S(proof), (uint32_t) i, STEPS,
                                   plan.steps[i].leaf, plan_hash, crypto,
                                   &big, &err) == AIQ_OK;
        free(proof);
    }

    ok(n == STEPS, "a proof for each step");

    json_decref(o);

    size = strlen(answer);
    aiq_out_init(&w, answer, size - 1);
    aiq_issue_write(&w, &out, &in_);

    ok(w.failed, "an answer that does not fit has failed");

    free(answer);
}


static void
test_steps(int n)
{
    int          i;
    char        *many, *p, *answer, *proof;
    json_t      *o, *list;
    size_t       k, size;
    unsigned     good;
    aiq_out_t    w;

    size = (size_t) n * 128 + 64;
    many = malloc(size);
    p = many + sprintf(many, "{\"goal\":\"many\",\"steps\":[");

    for (i = 0; i < n; i++) {
        p += sprintf(p, "%s{\"mcp\":\"fs\",\"action\":\"t\\\"%d\","
                     "\"params\":{\"i\":%d}}", i ? "," : "", i, i);
    }

    strcpy(p, "]}");

    if (n > AIQ_PLAN_STEPS) {
        refused(issue(many, NULL), AIQ_D_PLAN_INVALID, "1025 elements",
                "too many steps");
        free(many);
        return;
    }

    ok(issue(many, NULL) == AIQ_OK && out.plan.n == (uint32_t) n
       && out.jws.len < 2048, "%d steps, a token of %zu bytes", n,
       out.jws.len);

    size = 8 * 1024 * 1024;
    answer = calloc(1, size);
    aiq_out_init(&w, answer, size - 1);
    aiq_issue_write(&w, &out, &in_);

    o = json_loads(answer, 0, NULL);
    list = json_object_get(o, "step_proofs");
    good = 0;

    for (k = 0; k < json_array_size(list); k++) {
        proof = json_dumps(json_array_get(list, k), JSON_COMPACT);

        good += aiq_plan_proof_verify(S(proof), (uint32_t) k, (uint32_t) n,
                                      out.plan.steps[k].leaf, out.plan.root,
                                      crypto, &big, &err) == AIQ_OK;
        free(proof);
    }

    ok(!w.failed && good == (unsigned) n
       && strcmp(json_string_value(json_array_get(json_object_get(
                     json_object_get(o, "policy_validation"),
                     "allowed_tools"), (size_t) n - 1)),
                 text("t\"%d", n - 1)) == 0,
       "%d proofs, in an answer of %zu bytes", n, strlen(answer));

    json_decref(o);
    free(answer);
    free(many);
}


/* as long as the text may be, at the limit and one byte beyond */

static void
test_policy_length(void)
{
    char    *policy;
    size_t   len, max;

    max = AIQ_TOKEN_MAX / 4;
    policy = malloc(max + 16);

    for (len = max; len <= max + 1; len++) {
        memset(policy, 'x', max + 8);
        memcpy(policy, "{\"description\":\"", 16);
        memcpy(policy + len - 2, "\"}", 3);

        if (len == max) {
            ok(issue(PLAN, policy) == AIQ_OK, "a policy of %zu bytes", len);

        } else {
            refused(issue(PLAN, policy), AIQ_D_POLICY_INVALID,
                    "longer than", "a policy that is too long");
        }
    }

    /* as much as canonical form can make of it */

    memset(policy, ' ', max);
    strcpy(policy, "{\"version\":[1");

    for (len = strlen(policy); len + 8 < max; len += 5) {
        memcpy(policy + len, ",1e15", 6);
    }

    strcpy(policy + len, "]}");

    refused(issue(PLAN, policy), AIQ_D_POLICY_INVALID, "canonical",
            "a policy whose canonical form is too long");

    free(policy);
}


static void
test_faults(void)
{
    char             path[PATH_MAX], other[PATH_MAX];
    aiq_store_t     *ro;

    snprintf(path, sizeof(path), "%s/keys/main.seed", in(root, "store"));
    snprintf(other, sizeof(other), "%s/keys/none.seed", in(root, "store"));

    ok(rename(path, other) == 0, "the seed is gone");
    refused(issue(PLAN, NULL), AIQ_E_STORE_UNAVAILABLE, "main.seed",
            "no seed");
    ok(rename(other, path) == 0 && issue(PLAN, NULL) == AIQ_OK,
       "the seed is back");

    aiq_store_close(store);
    ro = must_open(in(root, "store"), 0);
    store = ro;

    ok(aiq_is_fault(issue(PLAN, NULL)), "a store that may only be read");

    aiq_store_close(ro);
    store = must_open(in(root, "store"), AIQ_STORE_WRITE);
}


/* too little of it is our fault, wherever it ends */

static void
test_memory(void)
{
    size_t          size, before;
    unsigned        n;
    aiq_rc_t        rc;
    unsigned char  *pos;

    (void) issue(PLAN, "{\"allow\":[\"fs\\/*\",\"d\\u0062/*\"],"
                 "\"ip_whitelist\":[\"192.0.2.0/24\"]}");

    drop(&acme, AIQ_STORE_PLAN, plan_id());

    before = rows(&acme, AIQ_STORE_TOKEN);
    pos = big.pos;
    n = 0;
    rc = AIQ_E_INTERNAL;

    for (size = 0; size < 256 * 1024; size += 104) {
        big.pos = pos;
        big.end = pos + size;

        rc = issue_again();

        if (rc == AIQ_OK) {
            break;
        }

        if ((!aiq_is_fault(rc) || rows(&acme, AIQ_STORE_PLAN) != plans
             || rows(&acme, AIQ_STORE_TOKEN) != tokens)
            && n++ == 0)
        {
            diag("%zu bytes: %s \"%s\"", size, aiq_reason(rc), err.text);
        }
    }

    ok(rc == AIQ_OK && n == 0
       && rows(&acme, AIQ_STORE_TOKEN) == before + 1,
       "faults until there is enough memory, %zu bytes", size);
}


int
main(void)
{
    world_begin();

    must(aiq_store_seed_write(in(root, "store"), S("main"), acme.seed, &err),
         "seed");

    big_room = malloc(BIG);
    texts = malloc(BIG);

    if (big_room == NULL || texts == NULL) {
        printf("Bail out! no memory\n");
        exit(1);
    }

    made.pos = made_room;
    made.end = made_room + ROOM;

    as_usual();

    test_plans();
    test_servers();
    test_names();
    test_lifetimes();
    test_orgs();
    test_policies();
    test_org_policies();
    test_claims();
    test_stored();
    test_verifies();
    test_narrowed();
    test_answer();
    test_steps(1);
    test_steps(1000);
    test_steps(AIQ_PLAN_STEPS);
    test_steps(AIQ_PLAN_STEPS + 1);
    test_policy_length();
    test_faults();
    test_memory();

    free(big_room);
    free(texts);

    return world_end();
}
