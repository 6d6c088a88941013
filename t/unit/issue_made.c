
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Issuing: what is signed and stored, and that the decision takes what was
 * issued.
 */


#include "issue_test.h"


static void test_claims(void);
static void test_stored(void);
static void test_verifies(void);
static void test_narrowed(void);
static void test_answer(void);


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


int
main(void)
{
    issue_begin();

    test_claims();
    test_stored();
    test_verifies();
    test_narrowed();
    test_answer();

    return issue_end();
}
