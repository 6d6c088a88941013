
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Uses of steps, and steps that are carried with the call because nobody
 * here knows the plan.
 */


#include "decide_rows.h"


typedef struct {
    const char         *what;
    aiq_rc_t            rc;
    change_t            change;
} carried_t;


static void test_uses(void);
static void test_same_action(void);
static void test_reuse(void);
static void test_enforce_only(void);
static void test_two_forms(void);
static void test_two_tokens(void);
static void test_closest(void);
static void test_stop(void);
static void test_email(void);
static void test_carried(void);
static void test_carried_every(void);
static void test_carried_uses(void);
static void test_carried_forged(void);
static void proof_of(char *buf, size_t size, uint32_t i);


static const char  *const  steps[STEPS] = {
    "{\"mcp\":\"fs\",\"action\":\"read\",\"params\":{\"path\":\"/a\"}}",
    "{\"mcp\":\"fs\",\"action\":\"read\",\"params\":{\"path\":\"/b\"},"
    "\"max_uses\":2}",
    "{\"mcp\":\"fs\",\"action\":\"list\"}",
    "{\"mcp\":\"db\",\"action\":\"query\",\"params\":{\"q\":1}}",
    "{\"mcp\":\"fs\",\"action\":\"read\",\"params\":{\"path\":\"/a\"}}",
    "{\"mcp\":\"fs\",\"action\":\"mail\",\"params\":"
    "{\"user_email\":\"alice@example.com\"}}"
};

static char  proofs[STEPS][2048], meta[8192], meta_extra[8192];
static char  meta_no_proof[8192], meta_no_step[8192], meta_no_path[8192];
static char  meta_number[8192], meta_index[8192], meta_far[8192];


static void
proof_of(char *buf, size_t size, uint32_t i)
{
    aiq_out_t  out;

    memset(buf, 0, size);
    aiq_out_init(&out, buf, size - 1);

    must(aiq_plan_proof_write(&out, &plan, i, crypto), "proof");
}


static void
test_uses(void)
{
    unsigned         kind;
    static change_t  c = { .args = B };

    for (kind = BARE; kind <= STRING; kind <<= 1) {
        forget();

        ok(run(&acme, kind, &c) == AIQ_OK && d.step == 1
           && run(&acme, kind, &c) == AIQ_OK && d.step == 1 && uses() == 2
           && run(&acme, kind, &c) == AIQ_D_STEP_USED && uses() == 2
           && !d.reserved && d.step == -1,
           "a step with two uses (%s)", kind_name(kind));
    }

    ok(run(&acme, BARE, &c) == AIQ_D_STEP_USED,
       "however the token is presented");

    ops_release(NULL, d.ledger, 1);

    ok(run(&acme, META, &c) == AIQ_OK && d.step == 1,
       "a use that was given back can be had");
}


/* the SDKs name the first step of an action, whichever they mean */

static void
test_same_action(void)
{
    static change_t  c = { .path = "/steps/[0]/action" };

    forget();

    ok(run(&acme, NATIVE, &c) == AIQ_OK && d.step == 0
       && run(&acme, NATIVE, &c) == AIQ_OK && d.step == 4
       && run(&acme, NATIVE, &c) == AIQ_D_STEP_USED && uses() == 2,
       "the same action twice in a plan: each once");

    forget();
    c.path = "/steps/[4]";

    ok(run(&acme, INVOKE, &c) == AIQ_OK && d.step == 0
       && run(&acme, INVOKE, &c) == AIQ_OK && d.step == 4,
       "whichever of them is named");

    forget();
    c.args = B;

    ok(run(&acme, INVOKE, &c) == AIQ_OK && d.step == 1,
       "the parameters choose among steps of an action");
}


static void
test_reuse(void)
{
    int              i, n;
    static change_t  c = { .reuse = 1 };

    forget();

    for (i = 0, n = 0; i < 5; i++) {
        n += (run(&acme, INVOKE, &c) == AIQ_OK && d.step == 0 && !d.reserved);
    }

    ok(n == 5 && shared.reserves == 0 && shared.releases == 0,
       "steps that may be used again are not counted");
}


static void
test_enforce_only(void)
{
    int              i, n;
    static change_t  ask = { .args = B, .more = "\"enforce_only\":true" };
    static change_t  c = { .args = B };

    forget();

    for (i = 0, n = 0; i < 5; i++) {
        n += (run(&acme, INVOKE, &ask) == AIQ_OK && d.step == 1
              && !d.reserved && uses() == 0);
    }

    ok(n == 5 && shared.reserves == shared.releases,
       "to ask uses no step up");

    ok(run(&acme, INVOKE, &c) == AIQ_OK && run(&acme, INVOKE, &c) == AIQ_OK
       && run(&acme, INVOKE, &ask) == AIQ_D_STEP_USED && uses() == 2,
       "and is told when it is used up");
}


static void
test_two_forms(void)
{
    aiq_hash_t       ledger;
    static change_t  c = { .tool = "list", .args = "{}" };

    forget();

    ok(run(&acme, BARE, &c) == AIQ_OK && d.step == 2, "a JWS");

    memcpy(ledger, d.ledger, AIQ_HASH_LEN);

    ok(run(&acme, INVOKE, &c) == AIQ_D_STEP_USED
       && memcmp(ledger, d.ledger, AIQ_HASH_LEN) == 0
       && d.token.form == AIQ_TOKEN_IAP,
       "and the IAP object of the same issuance are one token");

    forget();

    ok(run(&acme, INVOKE, &c) == AIQ_OK
       && run(&acme, STRING, &c) == AIQ_D_STEP_USED
       && d.token.form == AIQ_TOKEN_JWS, "the other way round as well");
}


static void
test_two_tokens(void)
{
    aiq_hash_t       one;
    static change_t  c = { .tool = "list", .args = "{}" };
    static change_t  other = { .tool = "list", .args = "{}", .claim = "jti",
                               .value = "\"j-2\"" };

    forget();

    ok(run(&acme, BARE, &c) == AIQ_OK && uses() == 1, "one token");

    memcpy(one, d.ledger, AIQ_HASH_LEN);

    ok(run(&acme, BARE, &other) == AIQ_OK && uses() == 2
       && memcmp(one, d.ledger, AIQ_HASH_LEN) != 0,
       "another token for the same plan has its own uses");

    ok(run(&ajax, BARE, &c) == AIQ_OK && uses() == 3
       && memcmp(one, d.ledger, AIQ_HASH_LEN) != 0,
       "and so has the same jti in another org");
}


/* the reason is that of the step that came closest */

static void
test_closest(void)
{
    static change_t  a = { 0 }, c = { .args = "{\"path\":\"/c\"}" };
    static change_t  strict = { .tool = "list", .args = "{}",
                                .params = AIQ_PARAMS_STRICT };
    static change_t  server = { .tool = "query", .args = "{\"q\":1}" };

    forget();

    ok(run(&acme, NATIVE, &a) == AIQ_OK && run(&acme, NATIVE, &a) == AIQ_OK
       && run(&acme, NATIVE, &a) == AIQ_D_STEP_USED,
       "used, though other steps have other parameters");

    same_rc(run(&acme, NATIVE, &c), AIQ_D_STEP_PARAMS,
            "other parameters, though steps are used");
    same_rc(run(&acme, NATIVE, &strict), AIQ_D_STEP_UNBOUND,
            "unbound, though other actions are planned");
    same_rc(run(&acme, NATIVE, &server), AIQ_D_STEP_SERVER,
            "planned for another server");
}


/* a ledger without room is not an invitation to look for another step */

static void
test_stop(void)
{
    static change_t  c = { 0 };

    forget();
    shared.reserve_rc = AIQ_D_ZONE_FULL;

    ok(run(&acme, NATIVE, &c) == AIQ_D_ZONE_FULL && shared.reserves == 1
       && shared.releases == 0 && d.step == -1 && !d.reserved,
       "a ledger without room is asked once");

    forget();
    shared.reserve_rc = AIQ_D_STEP_USED;

    ok(run(&acme, NATIVE, &c) == AIQ_D_STEP_USED && shared.reserves == 2,
       "one that knows the step as used is asked for the other");
}


/* is user_email for the tool? */

static void
test_email(void)
{
    static change_t  bound = { .args = "{\"path\":\"/a\","
                                       "\"user_email\":\"a@example.com\"}" };
    static change_t  mail = { .tool = "mail", .args =
                              "{\"user_email\":\"alice@example.com\"}" };
    static change_t  open = { .tool = "list", .args =
                              "{\"user_email\":\"alice@example.com\"}" };

    forget();

    ok(run(&acme, INVOKE, &bound) == AIQ_OK && !d.email,
       "user_email that was not planned is the SDK's");
    ok(run(&acme, INVOKE, &mail) == AIQ_OK && d.email,
       "one that was planned is the tool's");
    ok(run(&acme, INVOKE, &open) == AIQ_OK && d.email,
       "one in a step that binds nothing as well");
}


static void
test_carried(void)
{
    size_t    i;
    unsigned  kind;

    const carried_t  headers[] = {
        { "path, step and proof", AIQ_OK,
          { .path = "/steps/[0]", .step = steps[0], .proof = proofs[0] } },
        { "another way to write the step", AIQ_OK,
          { .path = "/steps/[0]/action", .proof = proofs[0],
            .step = "{ \"params\":{\"p\\u0061th\":\"/a\"}, \"mcp\":\"fs\","
                    "\"action\":\"read\" }" } },
        { "no path", AIQ_D_PLAN_UNKNOWN,
          { .step = steps[0], .proof = proofs[0] } },
        { "no step", AIQ_D_PLAN_UNKNOWN,
          { .path = "/steps/[0]", .proof = proofs[0] } },
        { "no proof", AIQ_D_PLAN_UNKNOWN,
          { .path = "/steps/[0]", .step = steps[0] } },
        { "a proof alone", AIQ_D_PLAN_UNKNOWN, { .proof = proofs[0] } },
        { "an equal step at another place", AIQ_D_PROOF_INVALID,
          { .path = "/steps/[4]", .step = steps[0], .proof = proofs[0] } },
        { "an equal step at another place, with its proof", AIQ_OK,
          { .path = "/steps/[4]", .step = steps[0], .proof = proofs[4] } },
        { "the proof of another place", AIQ_D_PROOF_INVALID,
          { .path = "/steps/[0]", .step = steps[0], .proof = proofs[4] } },
        { "another step", AIQ_D_PROOF_INVALID,
          { .path = "/steps/[0]", .proof = proofs[0],
            .step = "{\"mcp\":\"fs\",\"action\":\"read\"}" } },
        { "a step with more uses", AIQ_D_PROOF_INVALID,
          { .path = "/steps/[0]", .proof = proofs[0],
            .step = "{\"mcp\":\"fs\",\"action\":\"read\",\"params\":"
                    "{\"path\":\"/a\"},\"max_uses\":9}" } },
        { "a step that is no object", AIQ_D_PROOF_INVALID,
          { .path = "/steps/[0]", .step = "[]", .proof = proofs[0] } },
        { "a step that is none", AIQ_D_PROOF_INVALID,
          { .path = "/steps/[0]", .step = "{}", .proof = proofs[0] } },
        { "a step that is no JSON", AIQ_D_JSON_INVALID,
          { .path = "/steps/[0]", .step = "{", .proof = proofs[0] } },
        { "an empty step", AIQ_D_JSON_INVALID,
          { .path = "/steps/[0]", .step = "", .proof = proofs[0] } },
        { "a step with a key twice", AIQ_D_JSON_DUPLICATE_KEY,
          { .path = "/steps/[0]", .proof = proofs[0],
            .step = "{\"mcp\":\"fs\",\"mcp\":\"db\"}" } },
        { "a path behind the last step", AIQ_D_PATH_INVALID,
          { .path = "/steps/[6]", .step = steps[0], .proof = proofs[0] } },
        { "the path of the rest of the plan", AIQ_D_PATH_INVALID,
          { .path = "/", .step = "{\"goal\":\"tidy up\"}",
            .proof = proofs[0] } },
        { "a path that is none", AIQ_D_PATH_INVALID,
          { .path = "0", .step = steps[0], .proof = proofs[0] } },
        { "the proof of a smaller plan", AIQ_D_PROOF_INVALID,
          { .path = "/steps/[0]", .step = steps[0], .proof = proofs[0],
            .claim = "steps", .value = "3" } },
        { "a larger plan", AIQ_D_PROOF_INVALID,
          { .path = "/steps/[0]", .step = steps[0], .proof = proofs[0],
            .claim = "steps", .value = "8" } },
        { "the digest of another action", AIQ_D_DIGEST_MISMATCH,
          { .path = "/steps/[0]", .step = steps[0], .proof = proofs[0],
            .digest = "0000" } },
        { "a call of another tool", AIQ_D_STEP_NOT_PLANNED,
          { .path = "/steps/[0]", .step = steps[0], .proof = proofs[0],
            .tool = "write" } },
        { "a call with other parameters", AIQ_D_STEP_PARAMS,
          { .path = "/steps/[0]", .step = steps[0], .proof = proofs[0],
            .args = B } },
        { "a call on another server", AIQ_D_STEP_SERVER,
          { .path = "/steps/[0]", .step = steps[0], .proof = proofs[0],
            .mcp = "db" } }
    };

    const carried_t  members[] = {
        { "path, step and proof in _meta", AIQ_OK, { .more = meta } },
        { "and what else is there", AIQ_OK, { .more = meta_extra } },
        { "in _meta and in headers", AIQ_D_PLAN_UNKNOWN,
          { .more = meta, .path = "/steps/[0]", .step = steps[0],
            .proof = proofs[0] } },
        { "in _meta and another path", AIQ_D_PLAN_UNKNOWN,
          { .more = meta, .path = "/steps/[0]" } },
        { "no path in _meta", AIQ_D_PLAN_UNKNOWN, { .more = meta_no_path } },
        { "no step in _meta", AIQ_D_PLAN_UNKNOWN, { .more = meta_no_step } },
        { "no proof in _meta", AIQ_D_PLAN_UNKNOWN, { .more = meta_no_proof } },
        { "a number for a path", AIQ_D_PLAN_UNKNOWN, { .more = meta_number } },
        { "another path in _meta", AIQ_D_PROOF_INVALID,
          { .more = meta_index } },
        { "a path that is too long", AIQ_D_PATH_INVALID,
          { .more = meta_far } },
        { "null", AIQ_D_PLAN_UNKNOWN,
          { .more = "\"io.armoriq/intent\":null" } },
        { "a string", AIQ_D_PLAN_UNKNOWN,
          { .more = "\"io.armoriq/intent\":\"/steps/[0]\"" } },
        { "nothing", AIQ_D_PLAN_UNKNOWN,
          { .more = "\"io.armoriq/intent\":{}" } }
    };

    drop(&acme, AIQ_STORE_PLAN, plan_id());

    for (kind = BARE; kind <= STRING; kind <<= 1) {

        for (i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
            forget();
            same_rc(run(&acme, kind, &headers[i].change), headers[i].rc,
                    "carried: %s (%s)", headers[i].what, kind_name(kind));
        }

        for (i = 0;
             (kind & MCP) && i < sizeof(members) / sizeof(members[0]);
             i++)
        {
            forget();
            same_rc(run(&acme, kind, &members[i].change), members[i].rc,
                    "carried: %s (%s)", members[i].what, kind_name(kind));
        }
    }

    set_plan(&acme);
}


/* each of the steps, with each of the proofs */

static void
test_carried_every(void)
{
    int       want;
    char      path[32];
    uint32_t  i, k;
    unsigned  n, good;
    aiq_rc_t  rc;

    static change_t  calls[STEPS] = {
        { 0 },
        { .args = B },
        { .tool = "list", .args = "{}" },
        { .tool = "query", .args = "{\"q\":1}", .mcp = "db" },
        { 0 },
        { .tool = "mail",
          .args = "{\"user_email\":\"alice@example.com\"}" }
    };

    drop(&acme, AIQ_STORE_PLAN, plan_id());

    n = 0;
    good = 0;

    for (i = 0; i < STEPS; i++) {
        for (k = 0; k < STEPS; k++) {
            snprintf(path, sizeof(path), "/steps/[%u]", i);

            calls[i].path = path;
            calls[i].step = steps[i];
            calls[i].proof = proofs[k];

            want = (i == k);

            forget();
            rc = run(&acme, INVOKE, &calls[i]);

            n += (rc == (want ? AIQ_OK : AIQ_D_PROOF_INVALID));
            good += (rc == AIQ_OK && d.step == (int64_t) i && d.reserved);
        }
    }

    ok(n == STEPS * STEPS && good == STEPS,
       "every step with its proof, and with no other");

    set_plan(&acme);
}


static void
test_carried_uses(void)
{
    static change_t  a = { .path = "/steps/[0]" }, b = { .args = B };
    static change_t  known = { 0 };

    a.step = steps[0];
    a.proof = proofs[0];
    b.path = "/steps/[1]";
    b.step = steps[1];
    b.proof = proofs[1];

    forget();
    drop(&acme, AIQ_STORE_PLAN, plan_id());

    ok(run(&acme, NATIVE, &a) == AIQ_OK && d.step == 0 && uses() == 1
       && run(&acme, NATIVE, &a) == AIQ_D_STEP_USED,
       "a carried step is used up as well");
    ok(run(&acme, NATIVE, &b) == AIQ_OK && run(&acme, INVOKE, &b) == AIQ_OK
       && run(&acme, NATIVE, &b) == AIQ_D_STEP_USED && uses() == 3,
       "and has as many uses as the plan says");

    set_plan(&acme);

    ok(run(&acme, NATIVE, &known) == AIQ_OK && d.step == 4
       && run(&acme, NATIVE, &known) == AIQ_D_STEP_USED,
       "they are the uses of the plan in the store");
}


/* what the token says of the size of the plan is part of the proof */

static void
test_carried_forged(void)
{
    static change_t  one = { .path = "/steps/[0]", .proof = "[]",
                             .claim = "steps", .value = "1" };
    static change_t  last = { .path = "/steps/[6]", .claim = "steps",
                              .value = "7" };

    one.step = steps[0];
    last.step = steps[0];
    last.proof = proofs[0];

    forget();
    drop(&acme, AIQ_STORE_PLAN, plan_id());

    same_rc(run(&acme, INVOKE, &one), AIQ_D_PROOF_INVALID,
            "a step is not the whole plan");
    same_rc(run(&acme, INVOKE, &last), AIQ_D_PROOF_INVALID,
            "the rest of the plan is no step");

    set_plan(&acme);
}


int
main(void)
{
    uint32_t  i;

    world_begin();

    for (i = 0; i < STEPS; i++) {
        proof_of(proofs[i], sizeof(proofs[i]), i);
    }

    snprintf(meta, sizeof(meta), "\"io.armoriq/intent\":{\"path\":"
             "\"/steps/[0]\",\"step\":%s,\"proof\":%s}", steps[0], proofs[0]);
    snprintf(meta_extra, sizeof(meta_extra), "\"x\":1,\"io.armoriq/intent\":"
             "{\"x\":1,\"proof\":%s,\"path\":\"\\/steps\\/[0]\","
             "\"step\":%s}", proofs[0], steps[0]);
    snprintf(meta_no_path, sizeof(meta_no_path), "\"io.armoriq/intent\":"
             "{\"step\":%s,\"proof\":%s}", steps[0], proofs[0]);
    snprintf(meta_no_step, sizeof(meta_no_step), "\"io.armoriq/intent\":"
             "{\"path\":\"/steps/[0]\",\"proof\":%s}", proofs[0]);
    snprintf(meta_no_proof, sizeof(meta_no_proof), "\"io.armoriq/intent\":"
             "{\"path\":\"/steps/[0]\",\"step\":%s}", steps[0]);
    snprintf(meta_number, sizeof(meta_number), "\"io.armoriq/intent\":"
             "{\"path\":0,\"step\":%s,\"proof\":%s}", steps[0], proofs[0]);
    snprintf(meta_index, sizeof(meta_index), "\"io.armoriq/intent\":{\"path\":"
             "\"/steps/[4]\",\"step\":%s,\"proof\":%s}", steps[0], proofs[0]);
    snprintf(meta_far, sizeof(meta_far), "\"io.armoriq/intent\":{\"path\":"
             "\"/steps/[4294967296]\",\"step\":%s,\"proof\":%s}", steps[0],
             proofs[0]);

    test_uses();
    test_same_action();
    test_reuse();
    test_enforce_only();
    test_two_forms();
    test_two_tokens();
    test_closest();
    test_stop();
    test_email();
    test_carried();
    test_carried_every();
    test_carried_uses();
    test_carried_forged();

    return world_end();
}
