
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Issuing: what is refused, and why.
 */


#include "issue_test.h"


static void test_plans(void);
static void test_policies(void);
static void test_org_policies(void);
static void test_servers(void);
static void test_names(void);
static void test_lifetimes(void);
static void test_orgs(void);
static void test_steps(int n);
static void test_policy_length(void);
static void test_faults(void);
static void test_memory(void);


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
    issue_begin();

    test_plans();
    test_servers();
    test_names();
    test_lifetimes();
    test_orgs();
    test_policies();
    test_org_policies();
    test_steps(1);
    test_steps(1000);
    test_steps(AIQ_PLAN_STEPS);
    test_steps(AIQ_PLAN_STEPS + 1);
    test_policy_length();
    test_faults();
    test_memory();

    return issue_end();
}
