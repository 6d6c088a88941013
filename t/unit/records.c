
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <unistd.h>

#include "records.h"
#include "tap.h"
#include "tmpdir.h"


static aiq_crypto_t   *crypto;
static aiq_store_t    *store;
static aiq_err_t       err;
static aiq_mem_t       mem;
static char            root[PATH_MAX];
static unsigned char   space[1 << 20];


static aiq_str_t
S(const char *s)
{
    return aiq_cstr(s);
}


static aiq_store_txn_t *
begin(int write)
{
    aiq_rc_t          rc;
    aiq_store_txn_t  *txn;

    mem.pos = space;
    mem.end = space + sizeof(space);

    rc = write ? aiq_store_write(store, &txn, crypto, &err)
               : aiq_store_read(store, &txn, crypto, &err);

    if (rc != AIQ_OK) {
        printf("Bail out! begin: %s\n", err.text);
        exit(1);
    }

    return txn;
}


static void
commit(aiq_store_txn_t *txn)
{
    if (aiq_store_commit(txn, &err) != AIQ_OK) {
        printf("Bail out! commit: %s\n", err.text);
        exit(1);
    }
}


/* a row with a right MAC whose text is anything */

static void
row(const char *org, aiq_store_kind_e kind, const char *id, const char *text)
{
    aiq_store_txn_t  *txn;

    txn = begin(1);

    if (aiq_store_put(txn, S(org), kind, S(id), S(text), &err) != AIQ_OK) {
        printf("Bail out! row: %s\n", err.text);
        exit(1);
    }

    commit(txn);
}


static void
org(const char *name, unsigned active)
{
    aiq_org_t         o;
    aiq_store_txn_t  *txn;

    memset(&o, 0, sizeof(o));

    o.name = S(name);
    o.issuer = S("kid-1");
    o.active = active & 1;
    o.created = 1700000000;

    txn = begin(1);

    if (aiq_org_put(txn, &o, &err) != AIQ_OK) {
        printf("Bail out! org: %s\n", err.text);
        exit(1);
    }

    commit(txn);
}


static void
test_orgs(void)
{
    char              name[66];
    unsigned          i;
    aiq_org_t         o, r;
    aiq_rc_t          rc;
    aiq_store_txn_t  *txn;

    static const struct {
        const char  *what;
        const char  *text;
    } bad[] = {
        { "no object", "[]" },
        { "no JSON", "{" },
        { "empty", "" },
        { "a member short", "{\"permit\":false,\"active\":true,"
          "\"issuer\":\"k\"}" },
        { "a number for a flag", "{\"permit\":0,\"active\":true,"
          "\"issuer\":\"k\",\"created\":1}" },
        { "a string for a flag", "{\"permit\":\"false\",\"active\":true,"
          "\"issuer\":\"k\",\"created\":1}" },
        { "null for a string", "{\"permit\":false,\"active\":true,"
          "\"issuer\":null,\"created\":1}" },
        { "a fraction", "{\"permit\":false,\"active\":true,"
          "\"issuer\":\"k\",\"created\":1.5}" },
        { "a negative time", "{\"permit\":false,\"active\":true,"
          "\"issuer\":\"k\",\"created\":-1}" },
        { "a time behind all times", "{\"permit\":false,\"active\":true,"
          "\"issuer\":\"k\",\"created\":253402300800}" },
        { "a member twice", "{\"permit\":false,\"permit\":true,"
          "\"active\":true,\"issuer\":\"k\",\"created\":1}" },
        { "nested too deep", "{\"permit\":false,\"active\":true,"
          "\"issuer\":\"k\",\"created\":1,\"x\":[[[[[]]]]]}" }
    };

    memset(&o, 0, sizeof(o));

    o.name = S("acme \"inc\" \xc3\xa4\\");
    o.issuer = S("kid-\"1\"");
    o.permit = 1;
    o.active = 0;
    o.created = AIQ_TIME_MAX;

    txn = begin(1);
    rc = aiq_org_put(txn, &o, &err);
    ok(rc == AIQ_OK, "an org");
    commit(txn);

    txn = begin(0);
    rc = aiq_org_get(txn, o.name, &r, &mem);
    ok(rc == AIQ_OK && aiq_str_eq(r.name, o.name)
       && aiq_str_eq(r.issuer, o.issuer) && r.permit == 1 && r.active == 0
       && r.created == o.created, "comes back as it was");
    ok(aiq_org_get(txn, S("acme"), &r, &mem) == AIQ_DECLINED, "no such org");
    ok(aiq_org_get(txn, S(""), &r, &mem) == AIQ_DECLINED, "org of no name");

    mem.end = mem.pos + 16;
    ok(aiq_org_get(txn, o.name, &r, &mem) == AIQ_E_NO_MEMORY, "no memory");
    aiq_store_abort(txn);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        row("", AIQ_STORE_ORG, "bad", bad[i].text);
        txn = begin(0);
        ok(aiq_org_get(txn, S("bad"), &r, &mem) == AIQ_E_STORE_CORRUPT,
           "corrupt: %s", bad[i].what);
        aiq_store_abort(txn);
    }

    row("", AIQ_STORE_ORG, "newer", "{ \"permit\":false,\"active\":true,"
        "\"issuer\":\"\",\"created\":1,\"color\":[\"red\"]}");
    txn = begin(0);
    ok(aiq_org_get(txn, S("newer"), &r, &mem) == AIQ_OK && r.active
       && r.issuer.len == 0, "members of later versions are skipped");
    aiq_store_abort(txn);

    memset(name, 'n', 65);
    name[65] = '\0';
    o.name = S(name);
    txn = begin(1);
    ok(aiq_org_put(txn, &o, &err) == AIQ_E_INTERNAL, "65 bytes: %s",
       err.text);
    name[64] = '\0';
    o.name = S(name);
    ok(aiq_org_put(txn, &o, &err) == AIQ_OK, "64 bytes");
    o.name = S("a\nb");
    ok(aiq_org_put(txn, &o, &err) == AIQ_E_INTERNAL, "a line feed: %s",
       err.text);
    o.name = S("a\xff");
    ok(aiq_org_put(txn, &o, &err) == AIQ_E_INTERNAL, "no UTF-8");
    o.name.data = (const unsigned char *) "a\0b";
    o.name.len = 3;
    ok(aiq_org_put(txn, &o, &err) == AIQ_E_INTERNAL, "a NUL");
    o.name = S("fine");
    o.created = -1;
    ok(aiq_org_put(txn, &o, &err) == AIQ_E_INTERNAL, "a negative time");
    o.created = AIQ_TIME_MAX + 1;
    ok(aiq_org_put(txn, &o, &err) == AIQ_E_INTERNAL, "the year 10000");
    aiq_store_abort(txn);
}


static void
test_entries(void)
{
    char              text[1026];
    aiq_user_t        user, u;
    aiq_agent_t       agent, a;
    aiq_server_t      server, s;
    aiq_store_txn_t  *txn;

    memset(&user, 0, sizeof(user));
    user.id = S("alice@example.com");
    user.email = S("alice@example.com");
    user.active = 1;
    user.created = 5;

    memset(text, '"', 1025);
    text[1025] = '\0';

    memset(&agent, 0, sizeof(agent));
    agent.id = S("planner");
    agent.description = S(text);
    agent.active = 1;

    memset(&server, 0, sizeof(server));
    server.name = S("math-mcp");
    server.active = 1;
    server.created = 7;

    txn = begin(1);
    ok(aiq_user_put(txn, S("acme"), &user, &err) == AIQ_OK, "a user");
    ok(aiq_agent_put(txn, S("acme"), &agent, &err) == AIQ_E_INTERNAL,
       "a description of 1025: %s", err.text);
    text[1024] = '\0';
    agent.description = S(text);
    ok(aiq_agent_put(txn, S("acme"), &agent, &err) == AIQ_OK,
       "1024 quotes fit");
    ok(aiq_server_put(txn, S("acme"), &server, &err) == AIQ_OK, "a server");
    ok(aiq_server_put(txn, S(""), &server, &err) == AIQ_E_INTERNAL,
       "a server of no org");
    commit(txn);

    txn = begin(0);
    ok(aiq_user_get(txn, S("acme"), user.id, &u, &mem) == AIQ_OK
       && aiq_str_eq(u.id, user.id) && aiq_str_eq(u.email, user.email)
       && u.active && u.created == 5, "the user");
    ok(aiq_agent_get(txn, S("acme"), agent.id, &a, &mem) == AIQ_OK
       && aiq_str_eq(a.id, agent.id)
       && aiq_str_eq(a.description, agent.description) && a.active
       && a.created == 0, "the agent");
    ok((size_t) (mem.pos - space) < 2 * AIQ_RECORD_MEM, "in little memory");
    ok(aiq_server_get(txn, S("acme"), server.name, &s, &mem) == AIQ_OK
       && aiq_str_eq(s.name, server.name) && s.description.len == 0
       && s.active && s.created == 7, "the server");
    ok(aiq_user_get(txn, S("evil"), user.id, &u, &mem) == AIQ_DECLINED
       && aiq_agent_get(txn, S("evil"), agent.id, &a, &mem) == AIQ_DECLINED
       && aiq_server_get(txn, S("evil"), server.name, &s, &mem)
          == AIQ_DECLINED, "of another org: none");
    ok(aiq_user_get(txn, S(""), user.id, &u, &mem) == AIQ_E_INTERNAL,
       "of no org: a fault");
    aiq_store_abort(txn);

    row("acme", AIQ_STORE_USER, "u", "{\"email\":5,\"active\":true,"
        "\"created\":1}");
    row("acme", AIQ_STORE_AGENT, "a", "{\"active\":true,\"created\":1}");
    row("acme", AIQ_STORE_MCP, "s", "{\"description\":\"\",\"created\":1}");
    txn = begin(0);
    ok(aiq_user_get(txn, S("acme"), S("u"), &u, &mem) == AIQ_E_STORE_CORRUPT
       && aiq_agent_get(txn, S("acme"), S("a"), &a, &mem)
          == AIQ_E_STORE_CORRUPT
       && aiq_server_get(txn, S("acme"), S("s"), &s, &mem)
          == AIQ_E_STORE_CORRUPT, "corrupt rows");
    aiq_store_abort(txn);
}


static aiq_rc_t
find(const char *secret, int64_t now, aiq_apikey_t *key)
{
    aiq_rc_t          rc;
    aiq_store_txn_t  *txn;

    txn = begin(0);
    rc = aiq_apikey_find(txn, S(secret), now, key, crypto, &mem);
    aiq_store_abort(txn);

    return rc;
}


static aiq_rc_t
import(const char *o, const char *secret)
{
    aiq_rc_t          rc;
    aiq_apikey_t      key;
    aiq_store_txn_t  *txn;

    memset(&key, 0, sizeof(key));
    key.org = S(o);
    key.active = 1;

    txn = begin(1);
    rc = aiq_apikey_import(txn, &key, S(secret), crypto, &mem, &err);

    if (rc != AIQ_OK) {
        aiq_store_abort(txn);
        return rc;
    }

    commit(txn);

    return AIQ_OK;
}


static void
test_keys(void)
{
    char              secret[AIQ_APIKEY_LEN + 1], second[AIQ_APIKEY_LEN + 1];
    char              id[AIQ_KEY_ID_LEN + 1], bent[AIQ_APIKEY_LEN + 1];
    unsigned          i, denied;
    uint64_t          rows;
    aiq_rc_t          rc;
    aiq_str_t         s;
    aiq_apikey_t      key, k;
    aiq_store_txn_t  *txn;

    org("acme", 1);

    memset(&key, 0, sizeof(key));
    key.org = S("acme");
    key.user = S("alice@example.com");
    key.agent = S("planner");
    key.note = S("laptop");
    key.active = 1;
    key.created = 100;
    key.expires = 2000;

    txn = begin(1);
    rc = aiq_apikey_create(txn, &key, secret, crypto, &mem, &err);
    ok(rc == AIQ_OK && strlen(secret) == AIQ_APIKEY_LEN
       && strncmp(secret, "ak_live_", 8) == 0
       && strspn(secret + 8, "0123456789abcdef") == 64, "a key is made");
    ok(key.id.len == AIQ_KEY_ID_LEN && memcmp(key.id.data, "key_", 4) == 0,
       "with an id");
    memcpy(id, key.id.data, AIQ_KEY_ID_LEN);
    id[AIQ_KEY_ID_LEN] = '\0';
    key.id = S(id);
    rc = aiq_apikey_create(txn, &(aiq_apikey_t) { .org = S("acme"),
                           .active = 1 }, second, crypto, &mem, &err);
    ok(rc == AIQ_OK && strcmp(secret, second) != 0, "and another one");
    commit(txn);

    rc = find(secret, 1999, &k);
    ok(rc == AIQ_OK && aiq_str_eq(k.id, key.id) && aiq_str_is(k.org, "acme")
       && aiq_str_is(k.user, "alice@example.com")
       && aiq_str_is(k.agent, "planner") && aiq_str_is(k.note, "laptop")
       && k.active && k.created == 100 && k.expires == 2000, "is found");
    ok(find(second, 99999999, &k) == AIQ_OK && k.user.len == 0
       && k.expires == 0, "one that never expires");

    ok(find(secret, 2000, &k) == AIQ_D_KEY_INVALID && k.org.len == 0,
       "expired on the second");

    denied = 0;

    for (i = 0; i < AIQ_APIKEY_LEN; i++) {
        memcpy(bent, secret, sizeof(bent));
        bent[i] = (bent[i] == '0') ? '1' : '0';
        denied += (find(bent, 1000, &k) == AIQ_D_KEY_INVALID);
    }

    ok(denied == AIQ_APIKEY_LEN, "every other character: %u", denied);

    memcpy(bent, secret, sizeof(bent));
    bent[AIQ_APIKEY_LEN - 1] = '\0';
    ok(find(bent, 1000, &k) == AIQ_D_KEY_INVALID, "one character short");

    txn = begin(0);
    s.data = (const unsigned char *) secret;
    s.len = AIQ_APIKEY_LEN + 1;
    ok(aiq_apikey_find(txn, s, 1000, &k, crypto, &mem) == AIQ_D_KEY_INVALID,
       "a NUL behind it");
    s.len = 0;
    s.data = NULL;
    ok(aiq_apikey_find(txn, s, 1000, &k, crypto, &mem) == AIQ_D_KEY_INVALID,
       "nothing");
    mem.end = mem.pos + 64;
    ok(aiq_apikey_find(txn, S(secret), 1000, &k, crypto, &mem)
       == AIQ_E_NO_MEMORY, "no memory is no denial");
    aiq_store_abort(txn);

    /* revoked */

    key.active = 0;
    txn = begin(1);
    ok(aiq_apikey_put(txn, &key, &err) == AIQ_OK, "the key is revoked");
    commit(txn);
    ok(find(secret, 1000, &k) == AIQ_D_KEY_INVALID, "and invalid");
    key.active = 1;
    txn = begin(1);
    (void) aiq_apikey_put(txn, &key, &err);
    commit(txn);
    ok(find(secret, 1000, &k) == AIQ_OK, "valid again");

    org("acme", 0);
    ok(find(secret, 1000, &k) == AIQ_D_KEY_INVALID, "the org is not active");
    org("acme", 1);

    row("acme", AIQ_STORE_USER, "alice@example.com",
        "{\"email\":\"\",\"active\":false,\"created\":1}");
    ok(find(secret, 1000, &k) == AIQ_D_KEY_INVALID, "the user is not active");
    row("acme", AIQ_STORE_USER, "alice@example.com",
        "{\"email\":\"\",\"active\":true,\"created\":1}");
    row("acme", AIQ_STORE_AGENT, "planner",
        "{\"description\":\"\",\"active\":false,\"created\":1}");
    ok(find(secret, 1000, &k) == AIQ_D_KEY_INVALID,
       "the agent is not active");
    row("acme", AIQ_STORE_AGENT, "planner", "{}");
    ok(find(secret, 1000, &k) == AIQ_E_STORE_CORRUPT,
       "a corrupt row is no denial");
    txn = begin(1);
    (void) aiq_store_del(txn, S("acme"), AIQ_STORE_AGENT, S("planner"), &err);
    commit(txn);
    ok(find(secret, 1000, &k) == AIQ_OK, "an agent without a row");

    txn = begin(1);
    (void) aiq_store_del(txn, S("acme"), AIQ_STORE_KEY, S(id), &err);
    commit(txn);
    ok(find(secret, 1000, &k) == AIQ_D_KEY_INVALID, "a hash without a key");
    ok(import("acme", secret) == AIQ_D_KEY_INVALID,
       "is not given to somebody else: %s", err.text);

    txn = begin(1);
    (void) aiq_store_del(txn, S(""), AIQ_STORE_ORG, S("acme"), &err);
    commit(txn);
    ok(find(second, 1000, &k) == AIQ_D_KEY_INVALID, "an org that is gone");
    org("acme", 1);

    txn = begin(1);
    memset(&key, 0, sizeof(key));
    rc = aiq_apikey_create(txn, &key, secret, crypto, &mem, &err);
    ok(rc == AIQ_E_INTERNAL && secret[0] == '\0', "a key of no org: %s",
       err.text);
    aiq_store_abort(txn);

    ok(aiq_store_check(store, crypto, &rows, &err) == AIQ_OK,
       "the store is clean");
}


/* the secret itself must be nowhere in the files */

static void
test_secret(void)
{
    char              secret[AIQ_APIKEY_LEN + 1];
    char             *p;
    size_t            len;
    aiq_apikey_t      key;
    aiq_store_txn_t  *txn;

    memset(&key, 0, sizeof(key));
    key.org = S("acme");
    key.active = 1;

    txn = begin(1);
    (void) aiq_apikey_create(txn, &key, secret, crypto, &mem, &err);
    commit(txn);

    p = slurp(in(root, "store/data.mdb"), &len);

    ok(p && memmem(p, len, key.id.data, key.id.len) != NULL
       && memmem(p, len, secret + 8, 64) == NULL
       && memmem(p, len, secret, 12) == NULL, "no secret in the file");

    free(p);
}


static void
test_import(void)
{
    char          tail[220];
    unsigned      i;
    aiq_apikey_t  k;

    static const char  *good[] = {
        "ak_live_x", "ak_test_0123", "ak_claw_!\"#~", "ak_live_ak_live_"
    };
    static const char  *bad[] = {
        "ak_live_", "ak_livex", "AK_LIVE_x", "ak_prod_x", " ak_live_x",
        "ak_live_ x", "ak_live_x\n", "ak_live_\x7f", "ak_live_\xc3\xa4", "",
        "x", "Bearer ak_live_x"
    };

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ok(find(good[i], 1, &k) == AIQ_D_KEY_INVALID
           && import("acme", good[i]) == AIQ_OK
           && find(good[i], 1, &k) == AIQ_OK, "imported: %s", good[i]);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ok(import("acme", bad[i]) == AIQ_D_KEY_INVALID
           && find(bad[i], 1, &k) == AIQ_D_KEY_INVALID, "not a key: %u", i);
    }

    memset(tail, 'x', sizeof(tail));
    memcpy(tail, "ak_live_", 8);
    tail[8 + 201] = '\0';
    ok(import("acme", tail) == AIQ_D_KEY_INVALID, "a tail of 201");
    tail[8 + 200] = '\0';
    ok(import("acme", tail) == AIQ_OK && find(tail, 1, &k) == AIQ_OK,
       "a tail of 200");

    org("evil", 1);
    ok(import("evil", "ak_live_x") == AIQ_D_KEY_INVALID
       && find("ak_live_x", 1, &k) == AIQ_OK && aiq_str_is(k.org, "acme"),
       "another org cannot take it over: %s", err.text);
}


static void
test_issuers(void)
{
    unsigned          i;
    aiq_rc_t          rc;
    aiq_issuer_t      issuer, r;
    unsigned char     seed[32], pub[3][32];
    aiq_store_txn_t  *txn;

    for (i = 0; i < 3; i++) {
        memset(seed, (int) i + 1, 32);

        if (aiq_ed25519_public(crypto, seed, pub[i]) != AIQ_OK) {
            printf("Bail out! public key\n");
            exit(1);
        }
    }

    txn = begin(1);

    for (i = 0; i < 2; i++) {
        memset(&issuer, 0, sizeof(issuer));
        issuer.kid = S(i ? "kid-b" : "kid-a");
        issuer.active = 1;
        issuer.created = i;
        memcpy(issuer.public_key, pub[i], 32);
        ok(aiq_issuer_put(txn, S("acme"), &issuer, &err) == AIQ_OK,
           "issuer %u", i);
    }

    ok(aiq_issuer_put(txn, S("evil"), &issuer, &err) == AIQ_OK,
       "two orgs may trust one issuer");

    issuer.active = 0;
    ok(aiq_issuer_put(txn, S("acme"), &issuer, &err) == AIQ_OK,
       "switched off");
    issuer.active = 1;
    issuer.kid = S("kid-c");
    ok(aiq_issuer_put(txn, S("acme"), &issuer, &err) == AIQ_D_TOKEN_KEY
       && strstr(err.text, "kid-b"), "not on again as another: %s", err.text);

    memset(issuer.public_key, 0, 32);
    ok(aiq_issuer_put(txn, S("acme"), &issuer, &err) == AIQ_D_TOKEN_KEY,
       "a small-order key: %s", err.text);
    commit(txn);

    txn = begin(0);
    rc = aiq_issuer_get(txn, S("acme"), S("kid-a"), &r, &mem);
    ok(rc == AIQ_OK && aiq_str_is(r.kid, "kid-a") && r.active
       && memcmp(r.public_key, pub[0], 32) == 0, "by kid");
    rc = aiq_issuer_find(txn, S("acme"), pub[1], &r, &mem);
    ok(rc == AIQ_OK && aiq_str_is(r.kid, "kid-b") && !r.active
       && r.created == 1, "by public key");
    ok(aiq_issuer_find(txn, S("acme"), pub[2], &r, &mem) == AIQ_DECLINED
       && r.kid.len == 0, "none has this one");
    ok(aiq_issuer_find(txn, S("evil"), pub[0], &r, &mem) == AIQ_DECLINED,
       "nor that of another org");
    ok(aiq_issuer_get(txn, S("evil"), S("kid-a"), &r, &mem) == AIQ_DECLINED,
       "nor by kid");
    aiq_store_abort(txn);

    row("evil", AIQ_STORE_ISSUER, "a-first", "{\"public_key\":\"00\","
        "\"active\":true,\"created\":1}");
    txn = begin(0);
    ok(aiq_issuer_find(txn, S("evil"), pub[1], &r, &mem)
       == AIQ_E_STORE_CORRUPT
       && aiq_issuer_get(txn, S("evil"), S("a-first"), &r, &mem)
          == AIQ_E_STORE_CORRUPT, "a corrupt row is not passed over");
    aiq_store_abort(txn);
}


static void
test_tokens(void)
{
    char              longest[258];
    aiq_rc_t          rc;
    uint64_t          before, after;
    aiq_str_t         s;
    aiq_issued_t      token, r;
    aiq_store_txn_t  *txn;

    memset(longest, '"', 257);
    longest[257] = '\0';

    memset(&token, 0, sizeof(token));
    token.jti = S("jti-1");
    token.plan_id = S(longest + 1);
    token.user = S(longest + 1);
    token.agent = S(longest + 1);
    token.key = S(longest + 1);
    token.kid = S("kid-a");
    memset(token.plan_hash, 0xab, 32);
    token.iat = 1700000000;
    token.exp = 1700000300;

    txn = begin(1);
    (void) aiq_store_revision(txn, &before);
    ok(aiq_issued_put(txn, S("acme"), &token, &err) == AIQ_OK, "a token");
    commit(txn);

    txn = begin(0);
    (void) aiq_store_revision(txn, &after);
    ok(before == after, "which is no new revision");
    rc = aiq_issued_get(txn, S("acme"), S("jti-1"), &r, &mem);
    ok(rc == AIQ_OK && aiq_str_is(r.jti, "jti-1")
       && aiq_str_eq(r.plan_id, token.plan_id)
       && aiq_str_eq(r.user, token.user) && aiq_str_eq(r.agent, token.agent)
       && aiq_str_eq(r.key, token.key) && aiq_str_is(r.kid, "kid-a")
       && memcmp(r.plan_hash, token.plan_hash, 32) == 0
       && r.iat == token.iat && r.exp == token.exp, "comes back");
    ok((size_t) (mem.pos - space) < AIQ_RECORD_MEM, "in little memory");
    ok(aiq_issued_get(txn, S("evil"), S("jti-1"), &r, &mem) == AIQ_DECLINED,
       "only to its org");

    ok(aiq_token_revoked(txn, S("acme"), S("jti-1")) == AIQ_OK,
       "not revoked");
    aiq_store_abort(txn);

    txn = begin(1);
    token.user = S(longest);
    ok(aiq_issued_put(txn, S("acme"), &token, &err) == AIQ_E_INTERNAL,
       "a user of 257: %s", err.text);
    token.user = S("u");
    token.jti = S("");
    ok(aiq_issued_put(txn, S("acme"), &token, &err) == AIQ_E_INTERNAL,
       "no jti: %s", err.text);
    ok(aiq_token_revoke(txn, S("acme"), S("jti-1"), 1700000100, &err)
       == AIQ_OK, "revoke");
    ok(aiq_token_revoke(txn, S("acme"), S(longest + 1), 1, &err) == AIQ_OK,
       "a jti of 256, never issued");
    ok(aiq_token_revoke(txn, S("acme"), S(longest), 1, &err)
       == AIQ_E_INTERNAL, "a jti of 257");
    commit(txn);

    txn = begin(0);
    (void) aiq_store_revision(txn, &after);
    ok(after == before + 1, "which is a new revision");
    ok(aiq_token_revoked(txn, S("acme"), S("jti-1")) == AIQ_D_TOKEN_REVOKED,
       "revoked");
    ok(aiq_token_revoked(txn, S("evil"), S("jti-1")) == AIQ_OK,
       "for this org alone");
    ok(aiq_token_revoked(txn, S("acme"), S(longest + 1))
       == AIQ_D_TOKEN_REVOKED, "the longest jti");

    /* what cannot have a row must not pass for not revoked */

    ok(aiq_token_revoked(txn, S("acme"), S(longest)) == AIQ_D_TOKEN_REVOKED
       && aiq_token_revoked(txn, S("acme"), S("")) == AIQ_D_TOKEN_REVOKED,
       "a jti that is none");
    s.data = (const unsigned char *) "jti-2\0x";
    s.len = 7;
    ok(aiq_token_revoked(txn, S("acme"), s) == AIQ_D_TOKEN_REVOKED,
       "a jti with a NUL");
    longest[65] = '\0';
    ok(aiq_token_revoked(txn, S(longest), S("j")) == AIQ_D_TOKEN_REVOKED
       && aiq_is_fault(aiq_token_revoked(txn, S(""), S("j"))),
       "an org that is none");
    aiq_store_abort(txn);

    row("acme", AIQ_STORE_TOKEN, "bad", "{\"plan_id\":\"\",\"user\":\"\","
        "\"agent\":\"\",\"key\":\"\",\"kid\":\"\",\"plan_hash\":\"AB\","
        "\"iat\":1,\"exp\":2}");
    txn = begin(0);
    ok(aiq_issued_get(txn, S("acme"), S("bad"), &r, &mem)
       == AIQ_E_STORE_CORRUPT, "a corrupt row");
    aiq_store_abort(txn);
}


static void
test_plans(void)
{
    uint64_t          before, after;
    aiq_rc_t          rc;
    aiq_str_t         id, value;
    aiq_json_t        doc;
    aiq_plan_t        plan, r;
    aiq_hash_t        hash;
    unsigned char     room[64 * 1024], *pos;
    aiq_mem_t         own;
    aiq_store_txn_t  *txn;

    static const char  text[] =
        "{ \"steps\": [ {\"mcp\":\"math\",\"action\":\"add\","
        "\"params\":{\"b\":2,\"a\":1}}, {\"action\":\"mul\",\"mcp\":\"math\"}"
        " ], \"goal\":\"sums\" }";
    static const char  canonical[] =
        "{\"goal\":\"sums\",\"steps\":[{\"action\":\"add\",\"mcp\":\"math\","
        "\"params\":{\"a\":1,\"b\":2}},{\"action\":\"mul\",\"mcp\":\"math\"}"
        "]}";

    own.pos = room;
    own.end = room + sizeof(room);

    rc = aiq_json_parse(&doc, S(text), AIQ_JSON_DEPTH, &own, &err);

    if (rc == AIQ_OK) {
        rc = aiq_plan_read(&plan, &doc, 0, crypto, &own, &err);
    }

    ok(rc == AIQ_OK && plan.n == 2, "a plan");

    txn = begin(1);
    (void) aiq_store_revision(txn, &before);
    pos = mem.pos;
    ok(aiq_plan_put(txn, S("acme"), &plan, &doc, 0, &mem, &err) == AIQ_OK
       && mem.pos == pos, "is written");
    ok(aiq_plan_put(txn, S("acme"), &plan, &doc, 0, &mem, &err) == AIQ_OK,
       "once more");
    commit(txn);

    id.data = plan.root;
    id.len = AIQ_HASH_LEN;

    txn = begin(0);
    (void) aiq_store_revision(txn, &after);
    ok(before == after, "which is no new revision");
    rc = aiq_plan_get(txn, S("acme"), plan.root, &r, &mem);
    ok(rc == AIQ_OK && r.n == 2 && aiq_str_is(r.steps[0].action, "add")
       && r.steps[0].bound && aiq_str_is(r.steps[1].mcp, "math")
       && !r.steps[1].bound && memcmp(r.root, plan.root, 32) == 0
       && memcmp(r.steps[0].leaf, plan.steps[0].leaf, 32) == 0,
       "comes back");
    ok(aiq_store_get(txn, S("acme"), AIQ_STORE_PLANDOC, id, &value) == AIQ_OK
       && aiq_str_is(value, canonical), "with its document, canonical");
    ok(aiq_plan_get(txn, S("evil"), plan.root, &r, &mem) == AIQ_DECLINED,
       "only to its org");
    memset(hash, 1, 32);
    ok(aiq_plan_get(txn, S("acme"), hash, &r, &mem) == AIQ_DECLINED,
       "no such plan");
    ok(aiq_store_get(txn, S("acme"), AIQ_STORE_PLAN, id, &value) == AIQ_OK,
       "packed");
    own.end = own.pos + 16;
    ok(aiq_plan_get(txn, S("acme"), plan.root, &r, &own) == AIQ_E_NO_MEMORY,
       "no memory");
    memcpy(room, value.data, value.len);
    value.data = room;
    aiq_store_abort(txn);

    /* a packed plan under the hash of another one, and one cut short */

    txn = begin(1);
    id.data = hash;
    (void) aiq_store_put(txn, S("acme"), AIQ_STORE_PLAN, id, value, &err);
    value.len--;
    (void) aiq_store_put(txn, S("evil"), AIQ_STORE_PLAN, id, value, &err);
    commit(txn);

    txn = begin(0);
    ok(aiq_plan_get(txn, S("acme"), hash, &r, &mem) == AIQ_E_STORE_CORRUPT,
       "another plan than its name says");
    ok(aiq_plan_get(txn, S("evil"), hash, &r, &mem) == AIQ_E_STORE_CORRUPT,
       "a plan cut short");
    aiq_store_abort(txn);

    txn = begin(1);
    mem.end = mem.pos + 8;
    ok(aiq_plan_put(txn, S("new"), &plan, &doc, 0, &mem, &err)
       == AIQ_E_NO_MEMORY, "no memory to pack: %s", err.text);
    aiq_store_abort(txn);
}


static void
test_policies(void)
{
    aiq_str_t         value;
    aiq_store_txn_t  *txn;

    static const char  text[] = "{\"version\": 1, \"rules\": [ ]}\n";

    txn = begin(1);
    ok(aiq_policy_put(txn, S("acme"), S("main"), S(text), &err) == AIQ_OK,
       "a policy");
    ok(aiq_policy_put(txn, S("acme"), S(""), S(text), &err)
       == AIQ_E_INTERNAL, "without a name: %s", err.text);
    ok(aiq_policy_put(txn, S("acme"), S("empty"), S(""), &err)
       == AIQ_D_POLICY_INVALID, "without a text: %s", err.text);
    commit(txn);

    txn = begin(0);
    ok(aiq_store_get(txn, S("acme"), AIQ_STORE_POLICY, S("main"), &value)
       == AIQ_OK && aiq_str_is(value, text), "the text as it came");
    aiq_store_abort(txn);
}


int
main(void)
{
    uint64_t  rows;

    crypto = aiq_crypto_new();

    umask(022);
    tmpdir_make(root);

    if (crypto == NULL
        || aiq_store_open(&store, in(root, "store"), AIQ_STORE_CREATE, &err)
           != AIQ_OK)
    {
        printf("Bail out! %s\n", err.text);
        return 1;
    }

    test_orgs();
    test_entries();
    test_keys();
    test_secret();
    test_import();
    test_issuers();
    test_tokens();
    test_plans();
    test_policies();

    ok(aiq_store_check(store, crypto, &rows, &err) == AIQ_OK,
       "the store is clean: %u rows", (unsigned) rows);

    aiq_store_close(store);
    tmpdir_remove(root);
    aiq_crypto_free(crypto);

    return done_testing();
}
