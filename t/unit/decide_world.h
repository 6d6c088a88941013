
/*
 * Copyright (C) ngx_armoriq authors
 *
 * A small world for the tests of the decision: two orgs in a store, where
 * everything has the same name and only keys differ, and in memory what
 * processes share.
 */


#ifndef _AIQ_DECIDE_WORLD_H_INCLUDED_
#define _AIQ_DECIDE_WORLD_H_INCLUDED_


#include "decide.h"
#include "store_test.h"


/* what one test needs, another does not */

#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-variable"


#define NOW       1700000100
#define LATE      (NOW + 290)         /* the end of the tokens made here */

#define PLAN                                                                  \
    "{\"goal\":\"tidy up\",\"steps\":["                                       \
    "{\"mcp\":\"fs\",\"action\":\"read\",\"params\":{\"path\":\"/a\"}},"      \
    "{\"mcp\":\"fs\",\"action\":\"read\",\"params\":{\"path\":\"/b\"},"       \
    "\"max_uses\":2},"                                                        \
    "{\"mcp\":\"fs\",\"action\":\"list\"},"                                   \
    "{\"mcp\":\"db\",\"action\":\"query\",\"params\":{\"q\":1}},"             \
    "{\"mcp\":\"fs\",\"action\":\"read\",\"params\":{\"path\":\"/a\"}},"      \
    "{\"mcp\":\"fs\",\"action\":\"mail\",\"params\":"                         \
    "{\"user_email\":\"alice@example.com\"}}]}"
#define STEPS     6


typedef struct {
    const char         *name;
    unsigned char       seed[AIQ_KEY_LEN];
    unsigned char       pub[AIQ_KEY_LEN];
    const char         *secret;       /* key of alice and sysadmin */
    const char         *any;          /* key of everybody in the org */
    const char         *bob;          /* key of bob and sysadmin */
    char                id[3][AIQ_KEY_ID_LEN + 1];
} tenant_t;


/* what processes share */

typedef struct {
    aiq_hash_t          token;
    uint32_t            step;
    uint32_t            used;
} use_t;

typedef struct {
    aiq_hash_t          name;
    uint64_t            tat;
} bucket_t;

typedef struct {
    use_t               uses[64];
    unsigned            nuses;
    bucket_t            buckets[16];
    unsigned            nbuckets;
    aiq_hash_t          seen[64];
    unsigned            nseen;
    unsigned            reserves;     /* how often each was asked */
    unsigned            releases;
    unsigned            takes;
    unsigned            rulesets;
    aiq_rc_t            reserve_rc;   /* what it answers instead */
    aiq_rc_t            take_rc;
    aiq_hash_t          session;        /* the only one, and whose it is */
    aiq_principal_t     who;
    aiq_rc_t            ruleset_rc;
    int                 forgetful;    /* no signature was seen before */
} shared_t;


/* whose keys these are */

static const char *const names[] = { "alice", "", "bob" };

static tenant_t          acme = { .name = "acme",
                             .secret = "ak_test_acme-alice-not-a-key",
                             .any = "ak_test_acme-any-not-a-key",
                             .bob = "ak_test_acme-bob-not-a-key" };
static tenant_t          ajax = { .name = "ajax",
                             .secret = "ak_test_ajax-alice-not-a-key",
                             .any = "ak_test_ajax-any-not-a-key",
                             .bob = "ak_test_ajax-bob-not-a-key" };

static aiq_store_t      *store;
static shared_t          shared;
static aiq_hash_t        plan_hash;
static aiq_plan_t        plan;
static aiq_token_memo_t *memo;        /* the one that requests are given */
static void             *memo_mem;

static aiq_ruleset_t     kept;        /* of the org asked for last */
static unsigned char     plan_room[65536];


static void world_begin(void);
static int world_end(void);
static void world_org(tenant_t *t);
static void forget(void);

static void set_org(tenant_t *t, int active, int permit);
static void set_user(tenant_t *t, const char *id, int active);
static void set_agent(tenant_t *t, const char *id, int active);
static void set_server(tenant_t *t, const char *name, int active);
static void set_issuer(tenant_t *t, const char *kid,
    const unsigned char *pub, int active);
static void set_key(tenant_t *t, int n, int active, int64_t expires);
static void set_policy(tenant_t *t, const char *name, const char *text);
static void set_plan(tenant_t *t);
static void set_revoked(tenant_t *t, const char *jti);
static void drop(tenant_t *t, aiq_store_kind_e kind, aiq_str_t id);
static void must(aiq_rc_t rc, const char *what);


static aiq_rc_t
ops_reserve(void *data, const aiq_hash_t token, uint32_t step, uint32_t max,
    int64_t exp)
{
    unsigned  i;

    shared.reserves++;

    if (shared.reserve_rc != AIQ_OK) {
        return shared.reserve_rc;
    }

    for (i = 0; i < shared.nuses; i++) {

        if (shared.uses[i].step == step
            && memcmp(shared.uses[i].token, token, AIQ_HASH_LEN) == 0)
        {
            break;
        }
    }

    if (i == shared.nuses) {
        memcpy(shared.uses[i].token, token, AIQ_HASH_LEN);
        shared.uses[i].step = step;
        shared.uses[i].used = 0;
        shared.nuses++;
    }

    if (exp != LATE) {
        diag("reserve: exp is %lld", (long long) exp);
        return AIQ_E_INTERNAL;
    }

    if (shared.uses[i].used >= max) {
        return AIQ_D_STEP_USED;
    }

    shared.uses[i].used++;

    return AIQ_OK;
}


static void
ops_release(void *data, const aiq_hash_t token, uint32_t step)
{
    unsigned  i;

    shared.releases++;

    for (i = 0; i < shared.nuses; i++) {

        if (shared.uses[i].step == step && shared.uses[i].used
            && memcmp(shared.uses[i].token, token, AIQ_HASH_LEN) == 0)
        {
            shared.uses[i].used--;
            return;
        }
    }

    ok(0, "a use that nobody had is given back: step %u", step);
}


static uint64_t
ops_used(void *data, const aiq_hash_t token, uint32_t step)
{
    unsigned  i;

    for (i = 0; i < shared.nuses; i++) {

        if (shared.uses[i].step == step
            && memcmp(shared.uses[i].token, token, AIQ_HASH_LEN) == 0)
        {
            return shared.uses[i].used;
        }
    }

    return 0;
}


/* uses that are taken */

static unsigned
uses(void)
{
    unsigned  i, n;

    n = 0;

    for (i = 0; i < shared.nuses; i++) {
        n += shared.uses[i].used;
    }

    return n;
}


static int
ops_session(void *data, const aiq_hash_t session, const aiq_principal_t *who)
{
    return memcmp(shared.session, session, AIQ_HASH_LEN) == 0
           && aiq_principal_same(&shared.who, who);
}


static aiq_rc_t
ops_take(void *data, const aiq_hash_t name, const aiq_limit_t *limit,
    uint64_t *retry_ms)
{
    unsigned  i;

    shared.takes++;

    if (shared.take_rc != AIQ_OK) {
        return shared.take_rc;
    }

    for (i = 0; i < shared.nbuckets; i++) {
        if (memcmp(shared.buckets[i].name, name, AIQ_HASH_LEN) == 0) {
            break;
        }
    }

    if (i == shared.nbuckets) {

        if (i == sizeof(shared.buckets) / sizeof(shared.buckets[0])) {
            return AIQ_D_ZONE_FULL;
        }

        memcpy(shared.buckets[i].name, name, AIQ_HASH_LEN);
        shared.buckets[i].tat = 0;
        shared.nbuckets++;
    }

    return aiq_limit_take(limit, 1000000, &shared.buckets[i].tat, retry_ms);
}


static int
ops_seen(void *data, const aiq_hash_t key)
{
    unsigned  i;

    for (i = 0; i < shared.nseen && !shared.forgetful; i++) {
        if (memcmp(shared.seen[i], key, AIQ_HASH_LEN) == 0) {
            return 1;
        }
    }

    return 0;
}


static void
ops_saw(void *data, const aiq_hash_t key, int64_t exp)
{
    if (shared.nseen < sizeof(shared.seen) / sizeof(shared.seen[0])) {
        memcpy(shared.seen[shared.nseen++], key, AIQ_HASH_LEN);
    }
}


static const aiq_decide_ops_t  ops = {
    NULL, ops_seen, ops_saw, ops_reserve, ops_release, ops_used, ops_take,
    ops_session
};


/* one at a time, as long as the revision is the same, like the worker */

static aiq_rc_t
ops_ruleset(void *data, aiq_store_txn_t *txn, aiq_str_t org,
    const aiq_ruleset_t **rules, aiq_err_t *e)
{
    aiq_rc_t   rc;
    uint64_t   n;
    aiq_mem_t  m;

    static unsigned char  space[65536];

    shared.rulesets++;

    if (shared.ruleset_rc != AIQ_OK) {
        return shared.ruleset_rc;
    }

    rc = aiq_store_revision(txn, &n);

    if (rc != AIQ_OK) {
        return rc;
    }

    *rules = &kept;

    if (kept.revision == n && aiq_str_eq(kept.org.name, org)) {
        return AIQ_OK;
    }

    memset(space, 0xdd, sizeof(space));

    m.pos = space;
    m.end = space + sizeof(space);

    rc = aiq_ruleset_load(&kept, txn, org, NULL, NULL, &m, e);

    if (rc != AIQ_OK) {
        kept.revision = 0;
    }

    return rc;
}


static void
must(aiq_rc_t rc, const char *what)
{
    if (rc != AIQ_OK) {
        printf("Bail out! %s: %s: %s\n", what, aiq_reason(rc), err.text);
        exit(1);
    }
}


static void
world_begin(void)
{
    aiq_mem_t   m;
    aiq_json_t  doc;

    test_begin();

    memset(acme.seed, 0x11, AIQ_KEY_LEN);
    memset(ajax.seed, 0x22, AIQ_KEY_LEN);

    store = must_open(in(root, "store"), AIQ_STORE_CREATE);

    m.pos = plan_room;
    m.end = plan_room + sizeof(plan_room);

    must(aiq_json_parse(&doc, S(PLAN), AIQ_JSON_DEPTH, &m, &err), "plan");
    must(aiq_plan_read(&plan, &doc, 0, crypto, &m, &err), "plan");

    memcpy(plan_hash, plan.root, AIQ_HASH_LEN);

    world_org(&acme);
    world_org(&ajax);

    memo_mem = malloc(aiq_token_memo_size(4));

    if (memo_mem == NULL) {
        printf("Bail out! no memory\n");
        exit(1);
    }

    forget();
}


static int
world_end(void)
{
    free(memo_mem);
    aiq_store_close(store);

    return test_end();
}


static void
world_org(tenant_t *t)
{
    int               i;
    aiq_mem_t         m;
    aiq_apikey_t      key;
    aiq_store_txn_t  *txn;
    unsigned char     buf[4096];

    const char *const  secrets[] = { t->secret, t->any, t->bob };

    must(aiq_ed25519_public(crypto, t->seed, t->pub), "public key");

    set_org(t, 1, 0);
    set_user(t, "alice", 1);
    set_user(t, "bob", 1);
    set_agent(t, "sysadmin", 1);
    set_server(t, "fs", 1);
    set_server(t, "db", 1);
    set_issuer(t, "main", t->pub, 1);
    set_policy(t, "all", "{\"name\":\"all\",\"allow\":[\"*\"]}");
    set_plan(t);

    for (i = 0; i < 3; i++) {
        memset(&key, 0, sizeof(key));

        m.pos = buf;
        m.end = buf + sizeof(buf);

        key.org = S(t->name);
        key.user = S(names[i]);
        key.agent = S(i == 1 ? "" : "sysadmin");
        key.active = 1;

        txn = must_begin(store, 1);

        must(aiq_apikey_import(txn, &key, S(secrets[i]), crypto, &m, &err),
             "API key");

        memcpy(t->id[i], key.id.data, key.id.len);

        must(aiq_store_commit(txn, &err), "commit");
    }
}


/* as if nothing had happened */

static void
forget(void)
{
    memset(&shared, 0, sizeof(shared));

    memo = NULL;
}


/* steps may be used again */

static void
forget_uses(void)
{
    shared.nuses = 0;
}


static void
new_memo(void)
{
    memo = aiq_token_memo_init(memo_mem, 4);
}


static void
set_org(tenant_t *t, int active, int permit)
{
    aiq_org_t         org;
    aiq_store_txn_t  *txn;

    memset(&org, 0, sizeof(org));

    org.name = S(t->name);
    org.issuer = S("main");
    org.active = (active != 0);
    org.permit = (permit != 0);

    txn = must_begin(store, 1);

    must(aiq_org_put(txn, &org, &err), "org");
    must(aiq_store_commit(txn, &err), "commit");
}


static void
set_user(tenant_t *t, const char *id, int active)
{
    aiq_user_t        user;
    aiq_store_txn_t  *txn;

    memset(&user, 0, sizeof(user));

    user.id = S(id);
    user.active = (active != 0);

    txn = must_begin(store, 1);

    must(aiq_user_put(txn, S(t->name), &user, &err), "user");
    must(aiq_store_commit(txn, &err), "commit");
}


static void
set_agent(tenant_t *t, const char *id, int active)
{
    aiq_agent_t       agent;
    aiq_store_txn_t  *txn;

    memset(&agent, 0, sizeof(agent));

    agent.id = S(id);
    agent.active = (active != 0);

    txn = must_begin(store, 1);

    must(aiq_agent_put(txn, S(t->name), &agent, &err), "agent");
    must(aiq_store_commit(txn, &err), "commit");
}


static void
set_server(tenant_t *t, const char *name, int active)
{
    aiq_server_t      server;
    aiq_store_txn_t  *txn;

    memset(&server, 0, sizeof(server));

    server.name = S(name);
    server.active = (active != 0);

    txn = must_begin(store, 1);

    must(aiq_server_put(txn, S(t->name), &server, &err), "server");
    must(aiq_store_commit(txn, &err), "commit");
}


static void
set_issuer(tenant_t *t, const char *kid, const unsigned char *pub, int active)
{
    aiq_issuer_t      issuer;
    aiq_store_txn_t  *txn;

    memset(&issuer, 0, sizeof(issuer));

    issuer.kid = S(kid);
    issuer.active = (active != 0);
    memcpy(issuer.public_key, pub, AIQ_KEY_LEN);

    txn = must_begin(store, 1);

    must(aiq_issuer_put(txn, S(t->name), &issuer, &err), "issuer");
    must(aiq_store_commit(txn, &err), "commit");
}


/* key n of secret, any, bob */

static void
set_key(tenant_t *t, int n, int active, int64_t expires)
{
    aiq_apikey_t      key;
    aiq_store_txn_t  *txn;

    memset(&key, 0, sizeof(key));

    key.id = S(t->id[n]);
    key.org = S(t->name);
    key.user = S(names[n]);
    key.agent = S(n == 1 ? "" : "sysadmin");
    key.active = (active != 0);
    key.expires = expires;

    txn = must_begin(store, 1);

    must(aiq_apikey_put(txn, &key, &err), "API key");
    must(aiq_store_commit(txn, &err), "commit");
}


static void
set_policy(tenant_t *t, const char *name, const char *text)
{
    aiq_store_txn_t  *txn;

    txn = must_begin(store, 1);

    must(aiq_policy_put(txn, S(t->name), S(name), S(text), &err), "policy");
    must(aiq_store_commit(txn, &err), "commit");
}


static void
set_plan(tenant_t *t)
{
    aiq_mem_t         m;
    aiq_json_t        doc;
    aiq_store_txn_t  *txn;
    unsigned char     buf[65536];

    m.pos = buf;
    m.end = buf + sizeof(buf);

    txn = must_begin(store, 1);

    must(aiq_json_parse(&doc, S(PLAN), AIQ_JSON_DEPTH, &m, &err), "plan");
    must(aiq_plan_put(txn, S(t->name), &plan, &doc, 0, &m, &err), "plan");
    must(aiq_store_commit(txn, &err), "commit");
}


static void
set_revoked(tenant_t *t, const char *jti)
{
    aiq_store_txn_t  *txn;

    txn = must_begin(store, 1);

    must(aiq_token_revoke(txn, S(t->name), S(jti), NOW, &err), "revoke");
    must(aiq_store_commit(txn, &err), "commit");
}


static void
drop(tenant_t *t, aiq_store_kind_e kind, aiq_str_t id)
{
    aiq_store_txn_t  *txn;

    txn = must_begin(store, 1);

    must(aiq_store_del(txn, S(t->name), kind, id, &err), "drop");
    must(aiq_store_commit(txn, &err), "commit");
}


static aiq_str_t
plan_id(void)
{
    aiq_str_t  id;

    id.data = plan_hash;
    id.len = AIQ_HASH_LEN;

    return id;
}


#endif /* _AIQ_DECIDE_WORLD_H_INCLUDED_ */
