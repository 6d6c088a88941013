
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Two orgs with the same names for everything: nothing of one is good for
 * the other.  And how often: whose bucket a call is taken from.
 */


#include "decide_rows.h"


static void test_pairs(void);
static void test_signed_by_other(void);
static void test_separate(void);
static void test_one_has(void);
static void test_memo_of_other(void);
static void test_ruleset(void);
static void test_ruleset_large(void);
static void test_keys(void);
static void test_rates(void);
static void test_two_rates(void);
static void test_split(void);
static unsigned buckets_of(unsigned keys, const change_t *one,
    const change_t *two);
static aiq_rc_t run_limit(const aiq_limit_rule_t *limit, const change_t *c);


/* the token of one and the key of another, wherever they stand */

static void
test_pairs(void)
{
    unsigned          i, k, kind, n;
    aiq_rc_t          rc;
    const char       *keys[3];
    static tenant_t  *const  orgs[] = { &acme, &ajax };

    for (kind = NATIVE; kind <= STRING; kind <<= 1) {
        for (i = 0; i < 4; i++) {

            tenant_t  *token = orgs[i & 1], *key = orgs[i >> 1];

            keys[0] = key->secret;
            keys[1] = key->any;
            keys[2] = key->bob;
            n = 0;

            for (k = 0; k < 3; k++) {

                change_t  c = { 0 };

                make(token, kind, &c);

                if (kind & (NATIVE|ENVELOPE)) {
                    rq.x_api_key = S(keys[k]);

                } else {
                    rq.authorization = S(text("Bearer %s", keys[k]));
                }

                forget();
                new_memo();
                rc = decide();

                n += (token == key && k < 2)
                     ? (rc == AIQ_OK && aiq_str_is(d.org, token->name))
                     : (rc == AIQ_D_TOKEN_OWNER && shared.reserves == 0
                        && !d.trusted
                        && aiq_str_is(d.org, key->name));
            }

            ok(n == 3, "the token of %s, keys of %s (%s)", token->name,
               key->name, kind_name(kind));
        }
    }
}


/* says one org, and the key that has signed is that of the other */

static void
test_signed_by_other(void)
{
    unsigned         kind;
    tenant_t         forger;
    static change_t  c = { 0 };

    forger = acme;
    memcpy(forger.seed, ajax.seed, AIQ_KEY_LEN);
    memcpy(forger.pub, ajax.pub, AIQ_KEY_LEN);

    for (kind = BARE; kind <= STRING; kind <<= 1) {
        forget();

        same_rc(run(&forger, kind, &c), kind == INVOKE
                ? AIQ_D_TOKEN_KEY : AIQ_D_TOKEN_SIGNATURE,
                "a token of acme, signed by ajax (%s)", kind_name(kind));
    }

    /* and the signature is known as one that ajax had made */

    forget();
    (void) run(&ajax, BARE, &c);

    same_rc(run(&forger, BARE, &c), AIQ_D_TOKEN_SIGNATURE,
            "a verified signature is verified for one key");
}


/* what is done to one org is not done to the other */

static void
test_separate(void)
{
    unsigned         kind, n;
    static change_t  c = { 0 };

    n = 0;

    for (kind = BARE; kind <= STRING; kind <<= 1) {
        forget();
        new_memo();

        n += (run(&acme, kind, &c) == AIQ_OK && d.step == 0);
        n += (run(&ajax, kind, &c) == AIQ_OK && d.step == 0);
        n += (uses() == 2);
    }

    ok(n == 18, "both orgs, one memo, one ledger");

    set_user(&ajax, "alice", 0);
    set_agent(&ajax, "sysadmin", 0);
    set_server(&ajax, "fs", 0);
    set_revoked(&ajax, "j-1");
    set_policy(&ajax, "all", "{\"name\":\"all\",\"deny\":[\"*\"]}");
    drop(&ajax, AIQ_STORE_PLAN, plan_id());
    set_issuer(&ajax, "main", ajax.pub, 0);

    n = 0;

    for (kind = BARE; kind <= STRING; kind <<= 1) {
        forget();
        n += (run(&acme, kind, &c) == AIQ_OK);
        n += (run(&ajax, kind, &c) != AIQ_OK);
    }

    ok(n == 12, "all is switched off in ajax and nothing in acme");

    set_org(&ajax, 0, 0);

    forget();
    ok(run(&acme, INVOKE, &c) == AIQ_OK
       && run(&ajax, INVOKE, &c) == AIQ_D_KEY_INVALID
       && run(&ajax, BARE, &c) == AIQ_D_TOKEN_KEY,
       "ajax itself is switched off");

    set_org(&ajax, 1, 0);
    set_user(&ajax, "alice", 1);
    set_agent(&ajax, "sysadmin", 1);
    set_server(&ajax, "fs", 1);
    drop(&ajax, AIQ_STORE_REVOKED, S("j-1"));
    set_policy(&ajax, "all", "{\"name\":\"all\",\"allow\":[\"*\"]}");
    set_plan(&ajax);
    set_issuer(&ajax, "main", ajax.pub, 1);

    forget();
    ok(run(&ajax, BARE, &c) == AIQ_OK, "and on again");
}


/* what only one org has */

static void
test_one_has(void)
{
    static change_t  c = { 0 };

    forget();

    drop(&ajax, AIQ_STORE_PLAN, plan_id());
    same_rc(run(&ajax, BARE, &c), AIQ_D_PLAN_UNKNOWN,
            "a plan that the other org has");
    set_plan(&ajax);

    drop(&ajax, AIQ_STORE_MCP, S("fs"));
    same_rc(run(&ajax, BARE, &c), AIQ_D_MCP_UNKNOWN,
            "a server that the other org has");
    set_server(&ajax, "fs", 1);

    drop(&ajax, AIQ_STORE_POLICY, S("all"));
    same_rc(run(&ajax, BARE, &c), AIQ_D_POLICY_NOT_ALLOWED,
            "a policy that the other org has");
    set_policy(&ajax, "all", "{\"name\":\"all\",\"allow\":[\"*\"]}");

    drop(&ajax, AIQ_STORE_ISSUER, S("main"));
    same_rc(run(&ajax, BARE, &c), AIQ_D_TOKEN_KEY,
            "an issuer that the other org has");
    same_rc(run(&ajax, INVOKE, &c), AIQ_D_TOKEN_KEY,
            "the same, in an IAP object");
    set_issuer(&ajax, "main", ajax.pub, 1);

    drop(&ajax, AIQ_STORE_KEY, S(ajax.id[0]));
    same_rc(run(&ajax, INVOKE, &c), AIQ_D_KEY_INVALID,
            "a key whose hash has outlived it");
    set_key(&ajax, 0, 1, 0);
}


/* the same last bytes: the signature of another's token behind our claims */

static void
test_memo_of_other(void)
{
    const char       *own, *other, *dot;
    static change_t   c = { 0 }, forged = { 0 };

    forget();
    new_memo();

    ok(run(&acme, BARE, &c) == AIQ_OK && run(&acme, BARE, &c) == AIQ_OK
       && d.memo != NULL, "the token of acme is remembered");

    made.pos = made_room;
    made.end = made_room + ROOM;

    own = (const char *) make_jws(&acme, &c).data;
    other = (const char *) make_jws(&ajax, &c).data;
    dot = strrchr(other, '.');

    forged.token = strdup(text("%.*s%s", (int) (dot - other), other,
                               strrchr(own, '.')));

    same_rc(run(&ajax, BARE, &forged), AIQ_D_TOKEN_SIGNATURE,
            "claims of ajax, signature of acme, remembered");
    ok(d.memo == NULL, "and it was not what is remembered");
    same_rc(run(&acme, NATIVE, &forged), AIQ_D_TOKEN_OWNER,
            "the same, with the key of acme");

    free((char *) forged.token);
}


/* nothing in a ruleset points to the request or into the transaction */

static void
test_ruleset(void)
{
    char                  name[] = "acme";
    aiq_rc_t              rc;
    aiq_mem_t             m;
    aiq_token_t           t;
    aiq_ruleset_t         rules;
    aiq_store_txn_t      *txn;
    unsigned char         space[16384];

    m.pos = space;
    m.end = space + sizeof(space);

    txn = must_begin(store, 0);
    rc = aiq_ruleset_load(&rules, txn, S(name), NULL, NULL, &m, &err);
    aiq_store_abort(txn);

    memset(name, 'x', sizeof(name) - 1);

    ok(rc == AIQ_OK && aiq_str_is(rules.org.name, "acme")
       && aiq_str_is(rules.org.issuer, "main") && rules.npolicies == 1
       && rules.nissuers == 1 && rules.nservers == 2
       && rules.revision == revision(store)
       && (unsigned char *) rules.org.name.data >= space
       && (unsigned char *) rules.org.name.data < m.pos
       && (unsigned char *) rules.org.issuer.data >= space
       && (unsigned char *) rules.issuers[0].kid.data >= space
       && (unsigned char *) rules.issuers[0].kid.data < m.pos
       && (unsigned char *) rules.servers[1].name.data >= space
       && (unsigned char *) rules.servers[1].name.data < m.pos,
       "aiq_ruleset_load: all of it is a copy");

    ok(aiq_ruleset_server(&rules, S("fs")) == AIQ_OK
       && aiq_ruleset_server(&rules, S("db")) == AIQ_OK
       && aiq_ruleset_server(&rules, S("f")) == AIQ_D_MCP_UNKNOWN
       && aiq_ruleset_server(&rules, S("fss")) == AIQ_D_MCP_UNKNOWN
       && aiq_ruleset_server(&rules, S("")) == AIQ_D_MCP_UNKNOWN
       && aiq_ruleset_server(&rules, S("FS")) == AIQ_D_MCP_UNKNOWN,
       "aiq_ruleset_server");

    memset(&t, 0, sizeof(t));
    t.kid = S("main");

    ok(aiq_ruleset_issuer(&rules, &t) == NULL, "a token of no form");

    t.form = AIQ_TOKEN_JWS;
    ok(aiq_ruleset_issuer(&rules, &t) == &rules.issuers[0], "by kid");

    t.form = AIQ_TOKEN_IAP;
    memcpy(t.public_key, acme.pub, AIQ_KEY_LEN);
    ok(aiq_ruleset_issuer(&rules, &t) == NULL,
       "no public key was in the object");

    t.has_public = 1;
    ok(aiq_ruleset_issuer(&rules, &t) == &rules.issuers[0], "by public key");

    t.public_key[31] ^= 0x80;
    ok(aiq_ruleset_issuer(&rules, &t) == NULL, "by another public key");

    m.pos = space;
    txn = must_begin(store, 0);

    ok(aiq_ruleset_load(&rules, txn, S("nobody"), NULL, NULL, &m, &err)
       == AIQ_DECLINED
       && aiq_ruleset_load(&rules, txn, S(""), NULL, NULL, &m, &err)
          == AIQ_DECLINED, "no such org");

    aiq_store_abort(txn);
}


/* too little memory, wherever it ends, is a reason to try again */

static void
test_ruleset_large(void)
{
    char              policy[256], name[16];
    size_t            size;
    unsigned          i, n;
    aiq_rc_t          rc;
    aiq_mem_t         m;
    aiq_ruleset_t     rules;
    aiq_store_txn_t  *txn;

    for (i = 0; i < 8; i++) {
        snprintf(name, sizeof(name), "p%u", i);
        snprintf(policy, sizeof(policy), "{\"name\":\"%s\",\"allow\":"
                 "[\"a\",\"b\"],\"ip_whitelist\":[\"192.0.2.%u\"],"
                 "\"time_restrictions\":{\"allowed_hours\":[%u]}}", name, i,
                 i);
        set_policy(&acme, name, policy);
    }

    txn = must_begin(store, 0);

    n = 0;
    rc = AIQ_E_INTERNAL;

    for (size = 0; size < ROOM; size += 8) {
        m.pos = room;
        m.end = room + size;

        rc = aiq_ruleset_load(&rules, txn, S("acme"), NULL, NULL, &m, &err);

        if (rc == AIQ_OK) {
            break;
        }

        if (rc != AIQ_E_NO_MEMORY && n++ == 0) {
            diag("%zu bytes: %s", size, aiq_reason(rc));
        }
    }

    aiq_store_abort(txn);

    ok(rc == AIQ_OK && n == 0 && rules.npolicies == 9 && size > 1000,
       "aiq_ruleset_load: NO_MEMORY until there is enough");

    for (i = 0; i < 8; i++) {
        snprintf(name, sizeof(name), "p%u", i);
        drop(&acme, AIQ_STORE_POLICY, S(name));
    }
}


static aiq_rc_t
run_limit(const aiq_limit_rule_t *limit, const change_t *c)
{
    make(&acme, BARE, c);

    rq.limits = limit;
    rq.nlimits = 1;

    return decide();
}


/* 1 or 2: how many buckets two calls are taken from */

static unsigned
buckets_of(unsigned keys, const change_t *one, const change_t *two)
{
    aiq_limit_rule_t  limit;

    memset(&limit, 0, sizeof(limit));

    limit.limit.calls = 10;
    limit.limit.period = 1000;
    limit.limit.burst = 9;
    limit.keys = keys;

    forget();

    if (run_limit(&limit, one) != AIQ_OK || run_limit(&limit, two) != AIQ_OK) {
        return 0;
    }

    return shared.nbuckets;
}


static void
test_keys(void)
{
    unsigned  i, key, n;

    static const struct {
        unsigned    key;
        change_t    one;
        change_t    two;
    } rows[] = {
        { AIQ_LIMIT_USER, { 0 }, { .claim = "sub", .value = "\"bob\"" } },
        { AIQ_LIMIT_AGENT, { 0 }, { .claim = "agent", .value = "\"x\"" } },
        { AIQ_LIMIT_TOOL, { .tool = "list" }, { 0 } },
        { AIQ_LIMIT_MCP, { .reuse = 1 },
          { .reuse = 1, .tool = "query", .args = "{\"q\":1}",
            .mcp = "db" } },
        { AIQ_LIMIT_TOKEN, { 0 }, { .claim = "jti", .value = "\"j-2\"" } }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {

        n = 0;

        for (key = 0; key <= AIQ_LIMIT_TOKEN; key++) {

            /* another server is another tool here */

            if (rows[i].key == AIQ_LIMIT_MCP && key == AIQ_LIMIT_TOOL) {
                n++;
                continue;
            }

            n += (buckets_of(1 << key, &rows[i].one, &rows[i].two)
                  == (key == rows[i].key ? 2 : 1));
        }

        ok(n == AIQ_LIMIT_TOKEN + 1, "limit by key %u", rows[i].key);
    }

    ok(buckets_of(0, &rows[0].one, &rows[0].two) == 1,
       "a limit without keys is one of the org");
}


/* what is behind a name is never part of it */

static void
test_split(void)
{
    static const aiq_limit_rule_t  limit = {
        { 10, 1000, 9 }, 1 << AIQ_LIMIT_USER | 1 << AIQ_LIMIT_AGENT, 1
    };
    static const aiq_limit_rule_t  again = {
        { 10, 1000, 9 }, 1 << AIQ_LIMIT_USER | 1 << AIQ_LIMIT_AGENT, 2
    };
    static change_t  c = { 0 };
    static change_t  split = { .claim = "sub", .value = "\"alic\"",
                               .claim2 = "agent",
                               .value2 = "\"esysadmin\"" };

    forget();

    ok(run_limit(&limit, &c) == AIQ_OK && run_limit(&again, &c) == AIQ_OK
       && shared.nbuckets == 2, "two limits of the same kind are two");

    make(&acme, BARE, &c);
    rq.limits = &limit;
    rq.nlimits = 1;

    forget();

    ok(decide() == AIQ_OK && shared.nbuckets == 1, "alice and sysadmin");

    make(&ajax, BARE, &c);
    rq.limits = &limit;
    rq.nlimits = 1;

    ok(decide() == AIQ_OK && shared.nbuckets == 2,
       "the same names of another org have another bucket");

    forget();
    (void) run_limit(&limit, &c);
    (void) run_limit(&limit, &split);

    ok(shared.nbuckets == 2, "another split of the same letters");
}


/* so many calls an hour, of a user and agent, whatever their tokens */

static void
test_rates(void)
{
    static change_t  a = { .reuse = 1 };
    static change_t  other = { .reuse = 1, .claim = "jti",
                               .value = "\"j-2\"" };
    static change_t  bob = { .reuse = 1, .claim = "sub",
                             .value = "\"bob\"" };
    static change_t  token = { .reuse = 1, .claim = "policy",
                               .value = "{\"rate_limit\":2}" };

    forget();
    set_policy(&acme, "all", "{\"name\":\"all\",\"allow\":[\"*\"],"
               "\"rate_limit\":3}");

    ok(run(&acme, BARE, &a) == AIQ_OK && d.policy_rate == 3
       && run(&acme, META, &other) == AIQ_OK
       && run(&acme, INVOKE, &a) == AIQ_OK
       && run(&acme, BARE, &a) == AIQ_D_RATE_LIMITED && d.retry_ms > 0
       && d.retry_ms <= 1200 * 1000
       && run(&acme, BARE, &other) == AIQ_D_RATE_LIMITED,
       "rate_limit of a policy: a new token is no new hour");
    ok(run(&acme, BARE, &bob) == AIQ_OK, "another user has his own");
    ok(run(&ajax, BARE, &a) == AIQ_OK && d.policy_rate == 0,
       "and another org has no limit");

    set_policy(&acme, "all", "{\"name\":\"all\",\"allow\":[\"*\"]}");
    forget();

    ok(run(&acme, BARE, &token) == AIQ_OK && d.token_rate == 2
       && run(&acme, BARE, &token) == AIQ_OK
       && run(&acme, INVOKE, &token) == AIQ_D_RATE_LIMITED,
       "rate_limit of a token");
    ok(run(&acme, BARE, &a) == AIQ_OK && d.token_rate == 0,
       "a token without one is not limited by it");
}


/* both at once are two buckets, whatever the policy is called */

static void
test_two_rates(void)
{
    unsigned         i, n;
    char             policy[128];
    static change_t  c = { .reuse = 1, .claim = "policy",
                           .value = "{\"rate_limit\":2}" };

    static const char *const  called[] = { "other", "token", "\\u0020token" };

    drop(&acme, AIQ_STORE_POLICY, S("all"));

    n = 0;

    for (i = 0; i < 3; i++) {
        snprintf(policy, sizeof(policy), "{\"name\":\"%s\",\"allow\":[\"*\"],"
                 "\"rate_limit\":2}", called[i]);
        set_policy(&acme, "p", policy);
        forget();

        n += (run(&acme, BARE, &c) == AIQ_OK && shared.nbuckets == 2
              && run(&acme, BARE, &c) == AIQ_OK && shared.nbuckets == 2
              && run(&acme, BARE, &c) == AIQ_D_RATE_LIMITED);
    }

    ok(n == 3, "the rates of policy and token are two");

    drop(&acme, AIQ_STORE_POLICY, S("p"));
    set_policy(&acme, "all", "{\"name\":\"all\",\"allow\":[\"*\"]}");
}


int
main(void)
{
    world_begin();

    test_pairs();
    test_signed_by_other();
    test_separate();
    test_one_has();
    test_memo_of_other();
    test_ruleset();
    test_ruleset_large();
    test_keys();
    test_split();
    test_rates();
    test_two_rates();

    return world_end();
}
