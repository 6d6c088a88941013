
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The decision before the body is there, and after a wait.
 */


#include "decide_rows.h"


#define LIST    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}"


typedef struct {
    const char         *what;
    aiq_rc_t            rc;
    unsigned            kinds;
    void              (*world)(int on);
} wait_t;


static void w_nothing(int on);
static void w_other_org(int on);
static void w_other_user(int on);
static void w_other_token(int on);
static void w_no_plan(int on);
static void w_deny(int on);
static void w_silence(int on);
static void w_server_off(int on);
static void w_server_gone(int on);
static void w_user_off(int on);
static void w_agent_off(int on);
static void w_org_off(int on);
static void w_key_off(int on);
static void w_key_gone(int on);
static void w_key_ends(int on);
static void w_other_key_off(int on);
static void w_issuer_off(int on);
static void w_issuer_gone(int on);
static void w_revoked(int on);
static void keep(aiq_decision_t *k);
static aiq_rc_t again(aiq_decision_t *k);
static void test_again(void);
static void test_unchanged(void);
static void test_elsewhere(void);
static void test_discovery(void);
static void test_token_policy(void);
static void test_later(void);
static void test_faults(void);
static aiq_rc_t early(unsigned kind, const change_t *c);
static void test_early(void);
static void test_early_quiet(void);


static const wait_t  waits[] = {
    { "nothing", AIQ_OK, ALL, w_nothing },
    { "something of another org", AIQ_OK, ALL, w_other_org },
    { "another user", AIQ_OK, ALL, w_other_user },
    { "another token is revoked", AIQ_OK, ALL, w_other_token },
    { "the plan is gone", AIQ_OK, ALL, w_no_plan },
    { "a policy denies", AIQ_D_POLICY_DENY, ALL, w_deny },
    { "no policy allows", AIQ_D_POLICY_NOT_ALLOWED, ALL, w_silence },
    { "the server is switched off", AIQ_D_MCP_UNKNOWN, ALL, w_server_off },
    { "the server is gone", AIQ_D_MCP_UNKNOWN, ALL, w_server_gone },
    { "the user is switched off", AIQ_D_TOKEN_OWNER, ALL, w_user_off },
    { "the agent is switched off", AIQ_D_TOKEN_OWNER, ALL, w_agent_off },
    { "the org is switched off", AIQ_D_KEY_INVALID, ALL, w_org_off },
    { "the key is switched off", AIQ_D_KEY_INVALID, KEYED, w_key_off },
    { "a key that was not used is switched off", AIQ_OK, BARE, w_key_off },
    { "the key is gone", AIQ_D_KEY_INVALID, KEYED, w_key_gone },
    { "the key comes to its end", AIQ_D_KEY_INVALID, KEYED, w_key_ends },
    { "another key is switched off", AIQ_OK, ALL, w_other_key_off },
    { "the issuer is switched off", AIQ_D_TOKEN_KEY, ALL, w_issuer_off },
    { "the issuer is gone", AIQ_D_TOKEN_KEY, ALL, w_issuer_gone },
    { "the token is revoked", AIQ_D_TOKEN_REVOKED, ALL, w_revoked }
};


static void
w_nothing(int on)
{
}


static void
w_other_org(int on)
{
    set_org(&ajax, !on, 0);
}


static void
w_other_user(int on)
{
    set_user(&acme, "bob", !on);
}


static void
w_other_token(int on)
{
    if (on) {
        set_revoked(&acme, "j-10");
        set_revoked(&ajax, "j-1");

    } else {
        drop(&acme, AIQ_STORE_REVOKED, S("j-10"));
        drop(&ajax, AIQ_STORE_REVOKED, S("j-1"));
    }
}


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
w_deny(int on)
{
    if (on) {
        set_policy(&acme, "no", "{\"name\":\"no\",\"deny\":[\"read\"]}");

    } else {
        drop(&acme, AIQ_STORE_POLICY, S("no"));
    }
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
w_user_off(int on)
{
    set_user(&acme, "alice", !on);
}


static void
w_agent_off(int on)
{
    set_agent(&acme, "sysadmin", !on);
}


static void
w_org_off(int on)
{
    set_org(&acme, !on, 0);
}


static void
w_key_off(int on)
{
    set_key(&acme, 0, !on, 0);
}


static void
w_key_gone(int on)
{
    if (on) {
        drop(&acme, AIQ_STORE_KEY, S(acme.id[0]));

    } else {
        set_key(&acme, 0, 1, 0);
    }
}


static void
w_key_ends(int on)
{
    set_key(&acme, 0, 1, on ? NOW : 0);
}


static void
w_other_key_off(int on)
{
    set_key(&acme, 1, !on, 0);
    set_key(&ajax, 0, !on, 0);
}


static void
w_issuer_off(int on)
{
    set_issuer(&acme, "main", acme.pub, !on);
}


static void
w_issuer_gone(int on)
{
    if (on) {
        drop(&acme, AIQ_STORE_ISSUER, S("main"));

    } else {
        set_issuer(&acme, "main", acme.pub, 1);
    }
}


static void
w_revoked(int on)
{
    if (on) {
        set_revoked(&acme, "j-1");

    } else {
        drop(&acme, AIQ_STORE_REVOKED, S("j-1"));
    }
}


/* what a caller keeps over a wait, and nothing else */

static void
keep(aiq_decision_t *k)
{
    unsigned         i;
    const aiq_str_t  junk = { 1 << 20, (const unsigned char *) 1 };

    static char      copies[10][1024];

    aiq_str_t *const  kept[] = {
        &d.server, &d.tool, &d.org, &d.user, &d.agent, &d.token.jti,
        &d.token.policy, &d.token.kid, &d.apikey.id,
        &d.token.key
    };

    aiq_str_t *const  kept_by[] = {
        &k->server, &k->tool, &k->org, &k->user, &k->agent, &k->token.jti,
        &k->token.policy, &k->token.kid, &k->apikey.id,
        &k->token.key
    };

    *k = d;

    k->policy = junk;
    k->token.iss = junk;
    k->token.aud = junk;
    k->token.sub = junk;
    k->token.org = junk;
    k->token.agent = junk;
    k->token.signed_text = junk;
    k->apikey.org = junk;
    k->apikey.user = junk;
    k->apikey.agent = junk;
    k->apikey.note = junk;
    k->invoke.mcp = junk;
    k->invoke.tool = junk;
    k->mcp.tool = junk;
    k->mcp.revision = junk;
    k->jws = junk;
    k->issuer = (const aiq_issuer_t *) 1;
    k->memo = (const aiq_memo_t *) 1;

    for (i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        memcpy(copies[i], kept[i]->data ? kept[i]->data
                                        : (const unsigned char *) "",
               kept[i]->len);

        kept_by[i]->data = (const unsigned char *) copies[i];
        kept_by[i]->len = kept[i]->len;
    }

    memset(room, 0xee, sizeof(room));
    memset(made_room, 0xee, sizeof(made_room));

    mem.pos = room;
    mem.end = room + ROOM;

    rq.body = NULL;
}


static aiq_rc_t
again(aiq_decision_t *k)
{
    aiq_rc_t  rc;

    mem.pos = room;

    rq.txn = must_begin(store, 0);
    rc = aiq_decide_again(k, &rq);
    aiq_store_abort(rq.txn);

    if (k->issuer != NULL || k->memo != NULL || k->jws.data != NULL) {
        ok(0, "pointers to what is gone");
    }

    return rc;
}


static void
test_again(void)
{
    size_t           i;
    uint64_t         before;
    unsigned         kind;
    aiq_rc_t         rc;
    aiq_decision_t   k;
    static change_t  c = { 0 };

    for (i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        for (kind = BARE; kind <= STRING; kind <<= 1) {

            if (!(waits[i].kinds & kind)) {
                continue;
            }

            forget();
            new_memo();

            (void) run(&acme, kind, &c);
            shared.nuses = 0;
            (void) run(&acme, kind, &c);

            before = d.revision;
            keep(&k);

            waits[i].world(1);
            rc = again(&k);
            waits[i].world(0);

            d.err = k.err;

            same_rc(rc, waits[i].rc, "while it waits: %s (%s)",
                    waits[i].what, kind_name(kind));

            if (rc == AIQ_OK && waits[i].world != w_nothing
                && waits[i].world != w_no_plan && k.revision <= before)
            {
                ok(0, "the revision is the new one");
            }
        }
    }
}


/* nothing has changed, so nothing is read but the revision and the ledger */

static void
test_unchanged(void)
{
    aiq_decision_t                 k;
    static change_t                c = { 0 };
    static const aiq_decide_ops_t  ledger = { .used = ops_used };

    forget();

    ok(run(&acme, NATIVE, &c) == AIQ_OK, "a permit");

    keep(&k);
    shared.rulesets = 0;
    rq.mem = NULL;
    rq.ops = &ledger;
    rq.crypto = NULL;

    ok(again(&k) == AIQ_OK && shared.rulesets == 0 && k.reserved
       && k.step == 0, "the same revision: nothing is asked");

    make(&acme, NATIVE, &c);
    w_other_user(1);

    ok(again(&k) == AIQ_OK && shared.rulesets > 0
       && k.revision == revision(store), "another revision: all is asked");
    shared.rulesets = 0;

    ok(again(&k) == AIQ_OK && shared.rulesets == 0, "and then no more");

    w_other_user(0);
}


/* another nginx has written to the log while the record was on its way */

static void
test_elsewhere(void)
{
    unsigned         max;
    aiq_decision_t   k;
    static change_t  c = { 0 };

    forget();

    ok(run(&acme, NATIVE, &c) == AIQ_OK, "a permit");

    keep(&k);
    max = k.max_uses;

    ok(max == 1 && again(&k) == AIQ_OK, "its own use is no other one");

    shared.uses[0].used++;

    ok(again(&k) == AIQ_D_STEP_USED, "used elsewhere: %s", k.err.text);

    k.max_uses = 2;

    ok(again(&k) == AIQ_OK, "a step with another use left");

    shared.uses[0].used++;

    ok(again(&k) == AIQ_D_STEP_USED, "and when that is taken, too");

    k.reserved = 0;

    ok(again(&k) == AIQ_OK, "a call that takes no use does not care");
}


static void
test_discovery(void)
{
    aiq_decision_t   k;
    static change_t  c = { .body = LIST, .token = none };

    forget();

    ok(run(&acme, NATIVE, &c) == AIQ_OK && d.token.jti.len == 0,
       "discovery with a key alone");

    keep(&k);
    w_deny(1);
    ok(again(&k) == AIQ_OK, "policies are not for discovery");
    w_deny(0);

    w_server_off(1);
    same_rc(again(&k), AIQ_D_MCP_UNKNOWN, "the server is switched off");
    w_server_off(0);

    w_key_off(1);
    same_rc(again(&k), AIQ_D_KEY_INVALID, "the key is switched off");
    w_key_off(0);

    ok(again(&k) == AIQ_OK, "all is as it was");
}


/* what the token was narrowed to holds after the wait as well */

static void
test_token_policy(void)
{
    aiq_decision_t   k;
    static change_t  c = { .claim = "policy", .value =
                           "{\"ip_whitelist\":[\"192.0.2.0/24\"],"
                           "\"rate_limit\":7}" };

    forget();
    new_memo();

    ok(run(&acme, STRING, &c) == AIQ_OK && run(&acme, STRING, &c) == AIQ_OK
       && d.memo != NULL, "a token with a policy, remembered");

    keep(&k);
    new_memo();
    w_other_user(1);

    ok(again(&k) == AIQ_OK && k.token_rate == 7
       && aiq_str_is(k.policy, "all"), "its policy is compiled anew");

    w_other_user(0);

    rq.source.addr[0] = 10;

    same_rc(again(&k), AIQ_D_POLICY_SOURCE, "and judged anew");
}


/* a policy that came while it waited, judged by the time it is then */

static void
test_later(void)
{
    aiq_decision_t   k;
    static change_t  c = { 0 };

    forget();

    ok(run(&acme, BARE, &c) == AIQ_OK, "a permit");

    keep(&k);

    set_policy(&acme, "all", "{\"name\":\"all\",\"allow\":[\"*\"],"
               "\"time_restrictions\":{\"allowed_hours\":[22]}}");

    ok(again(&k) == AIQ_OK, "in the hour that is allowed");

    set_user(&acme, "bob", 1);
    rq.token.now += 3600;

    same_rc(again(&k), AIQ_D_POLICY_TIME, "an hour later");

    set_policy(&acme, "all", "{\"name\":\"all\",\"allow\":[\"*\"]}");
}


static void
test_faults(void)
{
    size_t           size;
    unsigned         n;
    aiq_rc_t         rc;
    aiq_decision_t   k;
    static change_t  c = { .claim = "policy", .value =
                           "{\"allow\":[\"fs/read\"]}" };

    forget();

    ok(run(&acme, NATIVE, &c) == AIQ_OK, "a permit");

    keep(&k);
    w_other_user(1);

    shared.ruleset_rc = AIQ_E_STORE_UNAVAILABLE;

    same_rc(again(&k), AIQ_E_STORE_UNAVAILABLE, "rules that cannot be read");

    shared.ruleset_rc = AIQ_OK;
    n = 0;

    for (size = 0; size < ROOM; size += 16) {
        mem.end = room + size;
        rc = again(&k);

        if (rc == AIQ_OK) {
            break;
        }

        n += !aiq_is_fault(rc);
    }

    ok(n == 0 && size > 0 && size < ROOM,
       "too little memory is a fault, not a denial");

    w_other_user(0);
}


static aiq_rc_t
early(unsigned kind, const change_t *c)
{
    aiq_rc_t  rc;

    forget();
    make(&acme, kind, c);

    rq.body = NULL;
    rq.txn = must_begin(store, 0);

    memset(&d, 0xbb, sizeof(d));

    rc = aiq_decide_headers(&d, &rq);
    aiq_store_abort(rq.txn);

    return rc;
}


/* what is known before the body is there */

static void
test_early(void)
{
    static change_t  c = { 0 }, bad = { .forge = 1 };
    static change_t  key = { .key = "ak_test_unknown" };
    static change_t  type = { .type = "text/plain" };
    static change_t  two = { .auth = "Bearer x.y.z", .intent = "x.y.z" };
    static change_t  late = { .later = 290 };

    ok(early(BARE, &c) == AIQ_OK && d.trusted && aiq_str_is(d.user, "alice")
       && d.verdict == AIQ_VERDICT_NONE, "a token");
    ok(early(INTENT, &c) == AIQ_OK && d.trusted, "a key and a token");
    ok(early(NATIVE, &c) == AIQ_OK && !d.trusted
       && aiq_str_is(d.apikey.id, acme.id[0]), "a key");
    ok(early(INVOKE, &c) == AIQ_OK && !d.trusted
       && aiq_str_is(d.user, "alice"), "a key, invoke");

    same_rc(early(BARE, &bad), AIQ_D_TOKEN_SIGNATURE, "a bad token");
    same_rc(early(INTENT, &bad), AIQ_D_TOKEN_SIGNATURE,
            "a bad token beside a key");
    same_rc(early(BARE, &late), AIQ_D_TOKEN_EXPIRED, "an expired token");
    same_rc(early(INVOKE, &key), AIQ_D_KEY_INVALID, "a bad key");
    same_rc(early(NATIVE, &key), AIQ_D_KEY_INVALID,
            "a bad key beside a token");
    same_rc(early(INVOKE, &type), AIQ_D_CONTENT_TYPE, "another type");
    same_rc(early(BARE, &two), AIQ_D_TOKEN_AMBIGUOUS, "two tokens");

    w_revoked(1);
    same_rc(early(BARE, &c), AIQ_D_TOKEN_REVOKED, "a revoked token");
    w_revoked(0);

    shared.ruleset_rc = AIQ_OK;
    ok(early(BARE, &c) == AIQ_OK && shared.reserves == 0
       && shared.takes == 0 && !d.reserved, "nothing is used up");
}


static void
test_early_quiet(void)
{
    size_t           i;
    unsigned         n, kind;

    static change_t  rows[] = {
        { .mcp = "nowhere" },
        { .path = "/steps/[9]" },
        { .digest = "00" },
        { .step = "{" },
        { .has_body = 1 }
    };

    for (kind = BARE; kind <= STRING; kind <<= 1) {

        n = 0;

        for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            rows[i].key = none;
            rows[i].auth = none;
            rows[i].token = none;

            n += (early(kind, &rows[i]) == AIQ_D_IDENTITY_MISSING
                  && shared.rulesets == 0);
        }

        ok(n == i, "a stranger is sent away before the body (%s)",
           kind_name(kind));
    }
}


int
main(void)
{
    world_begin();

    test_again();
    test_unchanged();
    test_elsewhere();
    test_discovery();
    test_token_policy();
    test_later();
    test_faults();
    test_early();
    test_early_quiet();

    return world_end();
}
