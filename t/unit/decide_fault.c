
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Faults: whatever cannot be read, nothing is permitted, and nobody is told
 * that it was his mistake.
 */


#include "decide_rows.h"


typedef struct {
    const char         *what;
    aiq_store_kind_e    kind;
    const char         *id;           /* NULL: the hash of the plan */
    unsigned            kinds;
} damaged_t;


static void tamper(aiq_store_kind_e kind, aiq_str_t org, aiq_str_t id);
static aiq_str_t key_hash(void);
static void test_damage(void);
static void test_damaged_revocation(void);
static void test_memory(const char *what, unsigned kinds, const change_t *c,
    int plan_known);
static void test_memories(void);
static void test_memo_memory(void);


static char  key_id[AIQ_KEY_ID_LEN + 1];
static char  proof[2048], carried[4096];


static const damaged_t  damages[] = {
    { "the org", AIQ_STORE_ORG, "acme", ALL },
    { "the user", AIQ_STORE_USER, "alice", ALL },
    { "the agent", AIQ_STORE_AGENT, "sysadmin", ALL },
    { "the key", AIQ_STORE_KEY, key_id, KEYED },
    { "the hash of the key", AIQ_STORE_KEYHASH, NULL, KEYED },
    { "the server", AIQ_STORE_MCP, "fs", ALL },
    { "another server", AIQ_STORE_MCP, "db", ALL },
    { "the issuer", AIQ_STORE_ISSUER, "main", ALL },
    { "the policy", AIQ_STORE_POLICY, "all", ALL },
    { "the plan", AIQ_STORE_PLAN, NULL, ALL }
};


/* turns a bit of a row over behind the back of the store */

static void
tamper(aiq_store_kind_e kind, aiq_str_t org, aiq_str_t id)
{
    MDB_dbi         dbi;
    MDB_env        *env;
    MDB_txn        *txn;
    MDB_val         k, v;
    unsigned char   key[512], row[65536];

    aiq_store_close(store);

    env = raw_open(in(root, "store"), &txn, &dbi);

    key[0] = (unsigned char) org.len;

    if (org.len) {
        memcpy(key + 1, org.data, org.len);
    }

    key[1 + org.len] = (unsigned char) kind;
    memcpy(key + 2 + org.len, id.data, id.len);

    k.mv_data = key;
    k.mv_size = 2 + org.len + id.len;

    if (mdb_get(txn, dbi, &k, &v) != 0 || v.mv_size > sizeof(row)) {
        printf("Bail out! there is no row of kind %c\n", kind);
        exit(1);
    }

    memcpy(row, v.mv_data, v.mv_size);
    row[v.mv_size - 2] ^= 1;

    v.mv_data = row;

    if (mdb_put(txn, dbi, &k, &v, 0) != 0) {
        printf("Bail out! raw put\n");
        exit(1);
    }

    raw_close(env, txn);

    store = must_open(in(root, "store"), AIQ_STORE_WRITE);

    /* the revision is the same, so it would not be read */

    kept.revision = 0;
}


static aiq_str_t
key_hash(void)
{
    aiq_str_t          id;
    static aiq_hash_t  hash;

    must(aiq_sha256(crypto, S(acme.secret), hash), "SHA-256");

    id.data = hash;
    id.len = AIQ_HASH_LEN;

    return id;
}


static void
test_damage(void)
{
    size_t            i;
    unsigned          kind, again;
    aiq_str_t         id, org;
    const damaged_t  *m;
    static change_t   c = { 0 };

    for (i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        m = &damages[i];

        id = m->id ? S(m->id)
             : m->kind == AIQ_STORE_PLAN ? plan_id() : key_hash();
        org = S(m->kind == AIQ_STORE_ORG || m->kind == AIQ_STORE_KEYHASH
                ? "" : "acme");

        for (kind = BARE; kind <= STRING; kind <<= 1) {

            if (!(m->kinds & kind)) {
                continue;
            }

            forget();
            new_memo();

            (void) run(&acme, kind, &c);

            if (d.rc != AIQ_OK) {
                ok(0, "the good request: %s", aiq_reason(d.rc));
            }

            tamper(m->kind, org, id);

            for (again = 0; again < 2; again++) {
                shared.nuses = 0;

                same_rc(run(&acme, kind, &c), AIQ_E_STORE_CORRUPT,
                        "%s is damaged (%s)%s", m->what, kind_name(kind),
                        again ? ", nothing remembered" : "");

                if (d.verdict != AIQ_VERDICT_DENY || uses() != 0) {
                    ok(0, "verdict %d, uses %u", d.verdict, uses());
                }

                memo = NULL;
                shared.forgetful = 1;
            }

            tamper(m->kind, org, id);
        }
    }
}


static void
test_damaged_revocation(void)
{
    unsigned         kind;
    static change_t  c = { 0 };

    set_revoked(&acme, "j-1");
    tamper(AIQ_STORE_REVOKED, S("acme"), S("j-1"));

    for (kind = BARE; kind <= STRING; kind <<= 1) {
        forget();
        same_rc(run(&acme, kind, &c), AIQ_E_STORE_CORRUPT,
                "a revocation that is damaged (%s)", kind_name(kind));
    }

    tamper(AIQ_STORE_REVOKED, S("acme"), S("j-1"));

    forget();
    same_rc(run(&acme, BARE, &c), AIQ_D_TOKEN_REVOKED, "and one that is not");

    drop(&acme, AIQ_STORE_REVOKED, S("j-1"));
}


/* from no memory to enough: faults, then the answer, and nothing between */

static void
test_memory(const char *what, unsigned kinds, const change_t *c,
    int plan_known)
{
    size_t    size, first;
    unsigned  kind, n;

    if (!plan_known) {
        drop(&acme, AIQ_STORE_PLAN, plan_id());
    }

    for (kind = BARE; kind <= STRING; kind <<= 1) {

        if (!(kinds & kind)) {
            continue;
        }

        make(&acme, kind, c);

        n = 0;
        first = 0;

        for (size = 0; size < 64 * 1024; size += 24) {
            forget();
            shared.forgetful = (size % 48 == 0);

            mem.pos = room;
            mem.end = room + size;

            (void) decide();

            if (d.rc == AIQ_OK) {

                if (first == 0) {
                    first = size;
                }

                if (size > first + 480) {
                    break;
                }

                continue;
            }

            if ((first || !aiq_is_fault(d.rc) || uses() != 0) && n++ == 0) {
                diag("%zu bytes: %s, \"%s\"", size, aiq_reason(d.rc),
                     d.err.text);
            }
        }

        ok(first > 0 && n == 0, "little memory: %s (%s)", what,
           kind_name(kind));
    }

    if (!plan_known) {
        set_plan(&acme);
    }
}


static void
test_memories(void)
{
    static change_t  plain = { 0 };
    static change_t  escaped = { .args = "{\"p\\u0061th\":\"\\/a\"}",
                                 .body = NULL };
    static change_t  tool = { .tool = "r\\u0065ad" };
    static change_t  policy = { .claim = "policy", .value =
        "{\"allow\":[\"fs\\/read\",\"x\"],\"ip_whitelist\":"
        "[\"192.0.2.0\\/24\"],\"time_restrictions\":{\"allowed_hours\":[22],"
        "\"allowed_days\":[\"Tue\\u0073day\"]}}" };
    static change_t  sub = { .claim = "sub", .value = "\"al\\u0069ce\"" };
    static change_t  header = { .header =
        "{\"alg\":\"Ed\\u0044SA\",\"kid\":\"m\\u0061in\","
        "\"typ\":\"intent+jwt\"}" };
    static change_t  whole = { .more = "\"plan\":" PLAN };
    static change_t  stepped = { .path = "/steps/[0]", .proof = proof,
        .step = "{\"mcp\":\"f\\u0073\",\"action\":\"r\\u0065ad\","
                "\"params\":{\"path\":\"\\/a\"}}" };
    static change_t  inside = { .more = carried };
    static change_t  proven = { .path = "/steps/[0]", .proof = proof };

    test_memory("a plain request", ALL, &plain, 1);
    test_memory("escapes in the arguments", ALL, &escaped, 1);
    test_memory("escapes in the name of the tool", ALL, &tool, 1);
    test_memory("a policy in the token", ALL, &policy, 1);
    test_memory("escapes in a claim", JWS, &sub, 1);
    test_memory("escapes in the header of the token", JWS, &header, 1);
    test_memory("the plan in the envelope", ENVELOPE, &whole, 0);
    test_memory("a step in headers", ALL, &stepped, 0);
    test_memory("a step in _meta", MCP, &inside, 0);
    test_memory("a proof", ALL, &proven, 1);
}


/* a token in _meta with an escape in it: memory is taken for it as well */

static void
test_memo_memory(void)
{
    char             *token;
    static change_t   c = { 0 }, escaped = { 0 };

    made.pos = made_room;
    made.end = made_room + ROOM;

    token = strdup((const char *) make_jws(&acme, &c).data);

    made.pos = made_room;
    escaped.token = strdup(text("\\u0065%s", token + 1));

    ok(token[0] == 'e', "a JWS begins with e");

    test_memory("an escape in a token", META, &escaped, 1);
    test_memory("an escape in a token of an envelope", STRING, &escaped, 1);

    free((char *) escaped.token);
    free(token);
}


int
main(void)
{
    aiq_out_t  out;

    world_begin();

    memcpy(key_id, acme.id[0], sizeof(key_id));

    aiq_out_init(&out, proof, sizeof(proof) - 1);
    must(aiq_plan_proof_write(&out, &plan, 0, crypto), "proof");

    snprintf(carried, sizeof(carried), "\"io.armoriq/intent\":{\"path\":"
             "\"\\/steps\\/[0]\",\"step\":{\"mcp\":\"f\\u0073\","
             "\"action\":\"read\",\"params\":{\"path\":\"\\/a\"}},"
             "\"proof\":%s}", proof);

    test_damage();
    test_damaged_revocation();
    test_memories();
    test_memo_memory();

    return world_end();
}
