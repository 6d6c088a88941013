
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <jansson.h>

#include "plan_check.h"


typedef struct {
    const char  *plan;
    const char  *text;          /* part of the sentence, NULL: accepted */
} plan_case_t;


static void test_vectors(void);
static void test_vector(const char *name, json_t *v);
static void test_vector_leaves(const char *name, json_t *v, aiq_plan_t *plan);
static void test_vector_proofs(const char *name, json_t *v,
    const aiq_plan_t *plan, const aiq_plan_t *packed);
static void test_vector_digests(const char *name, json_t *v);
static void test_cases(void);
static void test_fields(void);
static void test_limits(void);
static void test_pack(void);
static void test_match(void);
static aiq_rc_t match(const char *plan, const char *action, const char *args,
    int strictness, int sdk);
static int is_hex(const unsigned char *p, const char *want);


static int
is_hex(const unsigned char *p, const char *want)
{
    aiq_out_t  out;
    char       hex[2 * AIQ_HASH_LEN];

    aiq_out_init(&out, hex, sizeof(hex));
    aiq_out_hex(&out, p, AIQ_HASH_LEN);

    return want != NULL && aiq_str_is(aiq_out_done(&out), want);
}


static void
test_vectors(void)
{
    char          *text;
    size_t         len;
    json_t        *root, *v;
    const char    *name;
    json_error_t   error;

    text = vectors("plan/vectors.json", &len);
    if (text == NULL) {
        skip("plan vectors", "the vectors are absent");
        return;
    }

    root = json_loadb(text, len, 0, &error);

    json_object_foreach(json_object_get(root, "plans"), name, v) {
        test_vector(name, v);
    }

    ok(json_object_size(json_object_get(root, "plans")) == 7,
       "seven plans were read");

    json_decref(root);
    free(text);
}


static void
test_vector(const char *name, json_t *v)
{
    char        *text;
    void        *p;
    json_t      *want;
    aiq_rc_t     rc;
    aiq_out_t    out;
    aiq_json_t   doc;
    aiq_plan_t   plan, packed;

    rewind_mem();

    if (json_is_object(json_object_get(v, "plan"))) {
        text = json_dumps(json_object_get(v, "plan"), 0);

    } else {
        text = thousand(1000);
    }

    rc = aiq_json_parse(&doc, aiq_cstr(text), AIQ_JSON_DEPTH, &mem, &err);

    if (rc == AIQ_OK) {
        rc = aiq_plan_read(&plan, &doc, 0, c, &mem, &err);
    }

    if (!ok(rc == AIQ_OK, "%s is read", name)) {
        diag("%s", err.text);
        free(text);
        return;
    }

    want = json_object_get(v, "canonical_plan");

    if (want != NULL) {
        p = aiq_mem_alloc(&mem, 65536);
        aiq_out_init(&out, p, 65536);
        aiq_jcs_write(&out, &doc, 0, AIQ_JCS);

        ok(aiq_str_is(aiq_out_done(&out), json_string_value(want)),
           "%s: canonical plan", name);
    }

    ok(is_hex(plan.root, json_string_value(json_object_get(v, "plan_hash"))),
       "%s: plan hash", name);

    p = aiq_mem_alloc(&mem, 1024 * 1024);
    aiq_out_init(&out, p, 1024 * 1024);
    aiq_plan_pack(&out, &plan);

    ok(!out.failed
       && aiq_plan_unpack(&packed, aiq_out_done(&out), &mem) == AIQ_OK
       && packed.n == plan.n
       && memcmp(packed.root, plan.root, AIQ_HASH_LEN) == 0,
       "%s: packed and unpacked", name);

    test_vector_leaves(name, v, &plan);
    test_vector_proofs(name, v, &plan, &packed);
    test_vector_digests(name, v);

    free(text);
}


static void
test_vector_leaves(const char *name, json_t *v, aiq_plan_t *plan)
{
    int          good;
    size_t       k;
    json_t      *e;
    uint32_t     i;
    aiq_str_t    s;
    aiq_hash_t   hash;

    good = 1;

    json_array_foreach(json_object_get(v, "leaves"), k, e) {
        i = (uint32_t) json_integer_value(json_object_get(e, "i"));

        good &= i <= plan->n
                && is_hex(plan->leaves[i],
                          json_string_value(json_object_get(e, "hash")))
                && (i == plan->n
                    || memcmp(plan->steps[i].leaf, plan->leaves[i], 32) == 0);
    }

    ok(good && k > 1, "%s: %zu leaves", name, k);

    e = json_object_get(v, "leaf_inputs");

    if (e == NULL) {
        return;
    }

    good = (json_array_size(e) == (size_t) plan->n + 1);

    json_array_foreach(json_object_get(v, "leaf_inputs"), k, e) {
        s = aiq_cstr(json_string_value(e));
        aiq_merkle_leaf(c, s, hash);
        good &= (memcmp(hash, plan->leaves[k], AIQ_HASH_LEN) == 0);
    }

    ok(good, "%s: %zu leaf inputs", name, k);
}


static void
test_vector_proofs(const char *name, json_t *v, const aiq_plan_t *plan,
    const aiq_plan_t *packed)
{
    int          good;
    char        *want, buf[8192];
    size_t       k;
    json_t      *e;
    uint32_t     i;
    aiq_out_t    out;

    good = 1;

    json_array_foreach(json_object_get(v, "proofs"), k, e) {
        i = (uint32_t) json_integer_value(json_object_get(e, "step"));
        want = json_dumps(json_object_get(e, "proof"), JSON_COMPACT);

        aiq_out_init(&out, buf, sizeof(buf));
        good &= (aiq_plan_proof_write(&out, plan, i, c) == AIQ_OK)
                && aiq_str_is(aiq_out_done(&out), want);

        aiq_out_init(&out, buf, sizeof(buf));
        good &= (aiq_plan_proof_write(&out, packed, i, c) == AIQ_OK)
                && aiq_str_is(aiq_out_done(&out), want);

        good &= (aiq_plan_proof_verify(aiq_cstr(want), i, plan->n,
                                       plan->leaves[i], plan->root, c, &mem,
                                       &err) == AIQ_OK);

        /* nobody else's proof */

        good &= (aiq_plan_proof_verify(aiq_cstr(want), (i + 1) % plan->n,
                                       plan->n, plan->leaves[i], plan->root,
                                       c, &mem, &err)
                 == AIQ_D_PROOF_INVALID) || plan->n == 1;

        free(want);
    }

    ok(good && k > 0, "%s: %zu proofs", name, k);
}


static void
test_vector_digests(const char *name, json_t *v)
{
    int        good;
    size_t     k;
    json_t    *e;
    aiq_str_t  action, utf8, ascii;

    good = 1;

    json_array_foreach(json_object_get(v, "value_digests"), k, e) {
        action = aiq_cstr(json_string_value(json_object_get(e, "action")));
        utf8 = aiq_cstr(json_string_value(json_object_get(e, "utf8")));
        ascii = aiq_cstr(json_string_value(json_object_get(e, "ascii")));

        good &= (aiq_plan_digest_check(utf8, action, c) == AIQ_OK
                 && aiq_plan_digest_check(ascii, action, c) == AIQ_OK);
    }

    if (k) {
        ok(good, "%s: %zu value digests", name, k);
    }
}


static const plan_case_t  cases[] = {

    { "[]", "the plan is not an object" },
    { "\"x\"", "the plan is not an object" },
    { "{}", "missing required field \"steps\"" },
    { "{\"Steps\":[]}", "missing required field \"steps\"" },
    { "{\"steps\":{}}", "\"steps\" is not an array" },
    { "{\"steps\":null}", "\"steps\" is not an array" },
    { "{\"steps\":[]}", "\"steps\" has 0 elements" },
    { "{\"steps\":[1]}", "step 0 is not an object" },
    { "{\"steps\":[[]]}", "step 0 is not an object" },
    { "{\"steps\":[{\"mcp\":\"m\",\"action\":\"a\"},{\"mcp\":\"m\"}]}",
      "step 1: missing required field \"action\"" },
    { "{\"steps\":[{\"action\":\"a\"}]}",
      "step 0: missing required field \"mcp\"" },
    { "{\"steps\":[{\"mcp\":1,\"action\":\"a\"}]}",
      "step 0: \"mcp\" is not a string" },
    { "{\"steps\":[{\"mcp\":\"m\",\"action\":null}]}",
      "step 0: \"action\" is not a string" },
    { "{\"steps\":[{\"mcp\":\"m\",\"action\":[\"a\"]}]}",
      "step 0: \"action\" is not a string" },
    { "{\"steps\":[{\"mcp\":\"m\",\"action\":\"\"}]}",
      "step 0: \"action\" has 0 bytes" },
    { "{\"steps\":[{\"mcp\":\"\",\"action\":\"a\"}]}",
      "step 0: \"mcp\" has 0 bytes" },
    { "{\"steps\":[{\"mcp\":\"m\\n\",\"action\":\"a\"}]}",
      "step 0: \"mcp\" has a control character" },
    { "{\"steps\":[{\"mcp\":\"m\",\"action\":\"a\\n\"}]}", NULL },
    { "{\"steps\":[{\"mcp\":\"m\",\"action\":\"a\",\"params\":null}]}",
      "step 0: \"params\" is not an object" },
    { "{\"steps\":[{\"mcp\":\"m\",\"action\":\"a\",\"params\":[]}]}",
      "step 0: \"params\" is not an object" },
    { "{\"steps\":[{\"mcp\":\"m\",\"action\":\"a\",\"max_uses\":0}]}",
      "\"max_uses\" is not an integer from 1" },
    { "{\"steps\":[{\"mcp\":\"m\",\"action\":\"a\",\"max_uses\":-1}]}",
      "\"max_uses\" is not an integer from 1" },
    { "{\"steps\":[{\"mcp\":\"m\",\"action\":\"a\",\"max_uses\":1.0}]}",
      "\"max_uses\" is not an integer from 1" },
    { "{\"steps\":[{\"mcp\":\"m\",\"action\":\"a\",\"max_uses\":\"2\"}]}",
      "\"max_uses\" is not an integer from 1" },
    { "{\"steps\":[{\"mcp\":\"m\",\"action\":\"a\",\"max_uses\":null}]}",
      "\"max_uses\" is not an integer from 1" },
    { "{\"steps\":[{\"mcp\":\"m\",\"action\":\"a\",\"max_uses\":1000001}]}",
      "\"max_uses\" is not an integer from 1" },
    { "{\"steps\":[{\"mcp\":\"m\",\"action\":\"a\",\"max_uses\":4294967297}]}",
      "\"max_uses\" is not an integer from 1" },
    { "{\"steps\":[{\"mcp\":\"m\",\"action\":\"a\",\"max_uses\":1000000}]}",
      NULL },
    { "{\"steps\":[{\"mcp\":\"m\",\"action\":\"a\",\"whatever\":{}}]}", NULL }
};


static void
test_cases(void)
{
    int             good;
    size_t          i;
    aiq_rc_t        rc;
    aiq_json_t      doc;
    aiq_plan_t      plan;
    unsigned char  *pos;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rewind_mem();

        aiq_json_parse(&doc, aiq_cstr(cases[i].plan), AIQ_JSON_DEPTH, &mem,
                       &err);
        pos = mem.pos;
        rc = aiq_plan_read(&plan, &doc, 0, c, &mem, &err);

        if (cases[i].text == NULL) {
            ok(rc == AIQ_OK, "%.60s", cases[i].plan);
            continue;
        }

        good = (rc == AIQ_D_PLAN_INVALID && err.rc == rc && plan.n == 0
                && mem.pos == pos
                && strstr(err.text, cases[i].text) != NULL);

        ok(good, "%.60s: %s", cases[i].plan, cases[i].text);

        if (!good) {
            diag("%s: %s", aiq_reason(rc), err.text);
        }
    }
}


static void
test_fields(void)
{
    aiq_plan_t  plan, other;
    aiq_step_t  step;
    aiq_json_t  doc;

    rewind_mem();

    ok(read_plan(&plan, "{\"steps\":[{\"mcp\":\"m\",\"action\":\"a\"},"
                 "{\"mcp\":\"\\u006d2\",\"action\":\"b\",\"max_uses\":3,"
                 "\"params\":{\"user_email\":1}},"
                 "{\"mcp\":\"m\",\"action\":\"c\",\"params\":{}}]}")
       == AIQ_OK && plan.n == 3, "three steps");

    ok(aiq_str_is(plan.steps[0].mcp, "m")
       && aiq_str_is(plan.steps[0].action, "a")
       && plan.steps[0].max_uses == 1 && plan.steps[0].defaults
       && !plan.steps[0].bound && !plan.steps[0].email, "step 0");
    ok(aiq_str_is(plan.steps[1].mcp, "m2")
       && aiq_str_is(plan.steps[1].action, "b")
       && plan.steps[1].max_uses == 3 && !plan.steps[1].defaults
       && plan.steps[1].bound && plan.steps[1].email, "step 1");
    ok(plan.steps[2].bound && !plan.steps[2].email, "step 2");

    ok(aiq_json_parse(&doc, aiq_cstr("{\"action\":\"b\",\"max_uses\":3,"
                      "\"params\":{\"user_email\":1},\"mcp\":\"m2\"}"), 8,
                      &mem, &err) == AIQ_OK
       && aiq_step_read(&step, 1, &doc, 0, c, &mem, &err) == AIQ_OK
       && memcmp(step.leaf, plan.steps[1].leaf, AIQ_HASH_LEN) == 0,
       "one step alone has the leaf it has in the plan");
    ok(aiq_step_read(&step, 2, &doc, 0, c, &mem, &err) == AIQ_OK
       && memcmp(step.leaf, plan.steps[1].leaf, AIQ_HASH_LEN) != 0,
       "and another one at another place");
    ok(aiq_step_read(&step, AIQ_PLAN_STEPS, &doc, 0, c, &mem, &err)
       == AIQ_D_PLAN_INVALID, "there is no place behind the last one");

    /* everything is bound, in any order of keys */

    ok(read_plan(&plan, "{\"goal\":\"g\",\"steps\":[{\"mcp\":\"m\","
                 "\"action\":\"a\"}],\"metadata\":{\"a\":1.0}}") == AIQ_OK
       && read_plan(&other, "{ \"metadata\":{\"a\":1},\"steps\":[{"
                    "\"action\":\"\\u0061\",\"mcp\":\"m\"}],\"goal\":\"g\"}")
          == AIQ_OK
       && memcmp(plan.root, other.root, AIQ_HASH_LEN) == 0,
       "order, blanks and escapes do not matter");
    ok(read_plan(&other, "{\"goal\":\"h\",\"steps\":[{\"mcp\":\"m\","
                 "\"action\":\"a\"}],\"metadata\":{\"a\":1}}") == AIQ_OK
       && memcmp(plan.root, other.root, AIQ_HASH_LEN) != 0,
       "the goal does");
    ok(read_plan(&other, "{\"goal\":\"g\",\"steps\":[{\"mcp\":\"m\","
                 "\"action\":\"a\",\"description\":\"\"}],"
                 "\"metadata\":{\"a\":1}}") == AIQ_OK
       && memcmp(plan.root, other.root, AIQ_HASH_LEN) != 0,
       "a member that means nothing to us does");
}


static void
test_limits(void)
{
    char            name[AIQ_NAME_MAX + 2], text[1024], *many;
    size_t          size;
    aiq_rc_t        rc;
    aiq_json_t      doc;
    aiq_plan_t      plan;
    unsigned char  *pos;

    memset(name, 'x', sizeof(name));
    name[AIQ_NAME_MAX + 1] = '\0';

    sprintf(text, "{\"steps\":[{\"mcp\":\"%s\",\"action\":\"%s\"}]}",
            name + 1, name + 1);
    rewind_mem();
    ok(read_plan(&plan, text) == AIQ_OK, "names of %d bytes", AIQ_NAME_MAX);

    sprintf(text, "{\"steps\":[{\"mcp\":\"%s\",\"action\":\"%s\"}]}",
            name, name + 1);
    ok(read_plan(&plan, text) == AIQ_D_PLAN_INVALID, "mcp of %d",
       AIQ_NAME_MAX + 1);

    sprintf(text, "{\"steps\":[{\"mcp\":\"%s\",\"action\":\"%s\"}]}",
            name + 1, name);
    ok(read_plan(&plan, text) == AIQ_D_PLAN_INVALID, "action of %d",
       AIQ_NAME_MAX + 1);

    /* steps without params: a tape has room for just so many values */

    many = malloc(40 * (AIQ_PLAN_STEPS + 1) + 64);
    strcpy(many, "{\"steps\":[");
    size = strlen(many);

    for (int i = 0; i <= AIQ_PLAN_STEPS; i++) {
        size += (size_t) sprintf(many + size, "%s{\"mcp\":\"m\","
                                 "\"action\":\"a\"}", i ? "," : "");
    }

    strcpy(many + size, "]}");
    rewind_mem();
    ok(read_plan(&plan, many) == AIQ_D_PLAN_INVALID, "%d steps",
       AIQ_PLAN_STEPS + 1);

    strcpy(many + size - strlen(",{\"mcp\":\"m\",\"action\":\"a\"}"), "]}");
    rewind_mem();
    ok(read_plan(&plan, many) == AIQ_OK && plan.n == AIQ_PLAN_STEPS,
       "%d steps", AIQ_PLAN_STEPS);

    free(many);

    /* every amount of memory either serves or is refused as such */

    many = thousand(20);
    rewind_mem();
    aiq_json_parse(&doc, aiq_cstr(many), AIQ_JSON_DEPTH, &mem, &err);
    pos = mem.pos;

    for (size = 0; size < 8192; size++) {
        mem.pos = pos;
        mem.end = pos + size;

        rc = aiq_plan_read(&plan, &doc, 0, c, &mem, &err);

        if (rc == AIQ_OK) {
            break;
        }

        if (rc != AIQ_E_NO_MEMORY || mem.pos != pos) {
            size = 8192;
        }
    }

    ok(size > 20 * sizeof(aiq_step_t) && size < 8192,
       "a plan of 20 steps takes %zu bytes and no less", size);

    free(many);
}


static void
test_pack(void)
{
    int             bad, changed;
    aiq_rc_t        rc;
    size_t          i, len;
    aiq_out_t       out;
    aiq_str_t       s;
    aiq_plan_t      plan, back;
    unsigned char   buf[4096], *copy, *pos;

    rewind_mem();

    read_plan(&plan, "{\"steps\":[{\"mcp\":\"m\",\"action\":\"a\"},"
              "{\"mcp\":\"m2\",\"action\":\"b\",\"max_uses\":70000,"
              "\"params\":{\"user_email\":1}}]}");

    aiq_out_init(&out, buf, sizeof(buf));
    aiq_plan_pack(&out, &plan);
    s = aiq_out_done(&out);
    len = s.len;

    ok(aiq_plan_unpack(&back, s, &mem) == AIQ_OK
       && back.n == 2
       && memcmp(back.root, plan.root, AIQ_HASH_LEN) == 0
       && memcmp(back.leaves, plan.leaves, 3 * AIQ_HASH_LEN) == 0
       && aiq_str_is(back.steps[0].mcp, "m")
       && aiq_str_is(back.steps[0].action, "a")
       && back.steps[0].max_uses == 1
       && back.steps[0].defaults && !back.steps[0].bound
       && aiq_str_is(back.steps[1].mcp, "m2")
       && aiq_str_is(back.steps[1].action, "b")
       && back.steps[1].max_uses == 70000
       && !back.steps[1].defaults && back.steps[1].bound
       && back.steps[1].email
       && memcmp(back.steps[1].params, plan.steps[1].params, AIQ_HASH_LEN)
          == 0
       && memcmp(back.steps[1].leaf, plan.leaves[1], AIQ_HASH_LEN) == 0,
       "what is packed comes back");

    /* memory of exactly that size, so that reading too far is seen */

    bad = 0;
    pos = mem.pos;

    for (i = 0; i < len; i++) {
        copy = malloc(i ? i : 1);
        memcpy(copy, buf, i);
        s.data = copy;
        s.len = i;
        bad += (aiq_plan_unpack(&back, s, &mem) != AIQ_E_STORE_CORRUPT
                || mem.pos != pos || back.n != 0);
        free(copy);
    }

    ok(bad == 0, "cut anywhere");

    buf[len] = 0;
    s.data = buf;
    s.len = len + 1;
    ok(aiq_plan_unpack(&back, s, &mem) == AIQ_E_STORE_CORRUPT,
       "a byte more");

    bad = changed = 0;
    s.len = len;

    for (i = 0; i < len * 8; i++) {
        buf[i / 8] ^= (unsigned char) (1 << i % 8);
        rc = aiq_plan_unpack(&back, s, &mem);
        bad += (rc != AIQ_OK && rc != AIQ_E_STORE_CORRUPT);
        changed += (rc != AIQ_OK);
        mem.pos = pos;
        buf[i / 8] ^= (unsigned char) (1 << i % 8);
    }

    ok(bad == 0 && changed > 100, "any bit changed: %d refused", changed);

    /* a flag of another version; the flags of step 0 follow the root */

    buf[44] |= 0x08;
    ok(aiq_plan_unpack(&back, s, &mem) == AIQ_E_STORE_CORRUPT,
       "a flag that is not known");
    buf[44] &= 0xf7;
    ok(aiq_plan_unpack(&back, s, &mem) == AIQ_OK, "without it");
    mem.pos = pos;

    /* a count that would take all the memory there is */

    memset(buf + 8, 0xff, 4);
    ok(aiq_plan_unpack(&back, s, &mem) == AIQ_E_STORE_CORRUPT,
       "more steps than bytes");

    aiq_out_init(&out, buf, 10);
    aiq_plan_pack(&out, &plan);
    ok(out.failed, "no room to pack is seen");
}


static aiq_rc_t
match(const char *plan, const char *action, const char *args, int strictness,
    int sdk)
{
    uint32_t    i;
    aiq_rc_t    rc;
    aiq_args_t  hash;
    aiq_json_t  doc;
    aiq_plan_t  p;

    rewind_mem();

    if (read_plan(&p, plan) != AIQ_OK) {
        return AIQ_E_INTERNAL;
    }

    i = AIQ_JSON_NONE;
    memset(&doc, 0, sizeof(doc));

    if (args != NULL) {
        i = 0;

        if (aiq_json_parse(&doc, aiq_cstr(args), AIQ_JSON_DEPTH, &mem, &err)
            != AIQ_OK)
        {
            return AIQ_E_INTERNAL;
        }
    }

    rc = aiq_args_hash(&hash, &doc, i, sdk, c);
    if (rc != AIQ_OK) {
        return rc;
    }

    return aiq_step_match(&p.steps[0], aiq_cstr("m"), aiq_cstr(action), &hash,
                          strictness, sdk);
}


#define STEP(s)  "{\"steps\":[{\"mcp\":\"m\",\"action\":\"a\"" s "}]}"

static void
test_match(void)
{
    size_t  i;

    static const struct {
        const char  *plan;
        const char  *action;
        const char  *args;
        int          strict;
        int          sdk;
        aiq_rc_t     rc;
    } calls[] = {
        { STEP(""), "a", "{\"x\":1}", 0, 0, AIQ_OK },
        { STEP(""), "a", NULL, 0, 0, AIQ_OK },
        { STEP(""), "a", "{\"x\":1}", 1, 0, AIQ_D_STEP_UNBOUND },
        { STEP(""), "a", "{\"x\":1}", 2, 0, AIQ_D_STEP_UNBOUND },
        { STEP(""), "b", "{}", 0, 0, AIQ_D_STEP_NOT_PLANNED },
        { STEP(""), "A", "{}", 0, 0, AIQ_D_STEP_NOT_PLANNED },
        { STEP(""), "", "{}", 0, 0, AIQ_D_STEP_NOT_PLANNED },
        { "{\"steps\":[{\"mcp\":\"m2\",\"action\":\"a\"}]}", "a", "{}", 0, 0,
          AIQ_D_STEP_SERVER },

        { STEP(",\"params\":{}"), "a", NULL, 1, 0, AIQ_OK },
        { STEP(",\"params\":{}"), "a", "{}", 1, 0, AIQ_OK },
        { STEP(",\"params\":{}"), "a", "{\"x\":1}", 0, 0, AIQ_D_STEP_PARAMS },
        { STEP(",\"params\":{}"), "a", "[]", 0, 0, AIQ_D_STEP_PARAMS },
        { STEP(""), "a", "[]", 0, 0, AIQ_D_STEP_PARAMS },
        { STEP(",\"params\":{\"x\":1}"), "a", "{\"x\":1}", 1, 0, AIQ_OK },
        { STEP(",\"params\":{\"x\":1}"), "a", "{ \"\\u0078\": 1.0 }", 1, 0,
          AIQ_OK },
        { STEP(",\"params\":{\"x\":1}"), "a", "{\"x\":2}", 0, 0,
          AIQ_D_STEP_PARAMS },
        { STEP(",\"params\":{\"x\":1}"), "a", "{\"x\":\"1\"}", 0, 0,
          AIQ_D_STEP_PARAMS },
        { STEP(",\"params\":{\"x\":1}"), "a", "{\"x\":1,\"y\":2}", 0, 0,
          AIQ_D_STEP_PARAMS },
        { STEP(",\"params\":{\"x\":1}"), "a", "{}", 0, 1, AIQ_D_STEP_PARAMS },
        { STEP(",\"params\":{\"x\":1}"), "a", NULL, 0, 1, AIQ_D_STEP_PARAMS },

        /* what SDKs add, on /invoke only */

        { STEP(",\"params\":{\"x\":1}"), "a",
          "{\"_iam_context\":{\"x\":2},\"_policy_context\":1,\"x\":1,"
          "\"_delegation_id\":\"d\",\"_approvals\":[]}", 1, 1, AIQ_OK },
        { STEP(",\"params\":{\"x\":1}"), "a",
          "{\"_iam_context\":{},\"x\":1}", 1, 0, AIQ_D_STEP_PARAMS },
        { STEP(",\"params\":{\"x\":1}"), "a",
          "{\"_IAM_context\":{},\"x\":1}", 1, 1, AIQ_D_STEP_PARAMS },
        { STEP(",\"params\":{\"x\":{\"y\":1}}"), "a",
          "{\"x\":{\"y\":1,\"_iam_context\":{}}}", 1, 1, AIQ_D_STEP_PARAMS },
        { STEP(",\"params\":{\"x\":1}"), "a",
          "{\"x\":1,\"user_email\":\"u\"}", 1, 1, AIQ_OK },
        { STEP(",\"params\":{\"x\":1}"), "a",
          "{\"x\":1,\"user_email\":\"u\"}", 1, 0, AIQ_D_STEP_PARAMS },
        { STEP(",\"params\":{\"user_email\":\"u\"}"), "a",
          "{\"user_email\":\"u\",\"_iam_context\":1}", 1, 1, AIQ_OK },
        { STEP(",\"params\":{\"user_email\":\"u\"}"), "a",
          "{\"user_email\":\"v\"}", 1, 1, AIQ_D_STEP_PARAMS },
        { STEP(",\"params\":{\"user_email\":\"u\"}"), "a", "{}", 1, 1,
          AIQ_D_STEP_PARAMS },
        { STEP(",\"params\":{\"user_email\":\"u\"}"), "a",
          "{\"user_email\":\"u\"}", 1, 0, AIQ_OK },
        { STEP(",\"params\":{\"_iam_context\":1}"), "a",
          "{\"_iam_context\":1}", 1, 0, AIQ_OK },
        { STEP(",\"params\":{\"_iam_context\":1}"), "a",
          "{\"_iam_context\":1}", 1, 1, AIQ_D_STEP_PARAMS }
    };

    for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        aiq_rc_t  rc;

        rc = match(calls[i].plan, calls[i].action, calls[i].args,
                   calls[i].strict, calls[i].sdk);

        ok(rc == calls[i].rc, "match %zu: %s with %s: %s", i,
           calls[i].plan + 36, calls[i].args ? calls[i].args : "nothing",
           aiq_reason(calls[i].rc));

        if (rc != calls[i].rc) {
            diag("%s", aiq_reason(rc));
        }
    }
}


int
main(void)
{
    c = aiq_crypto_new();
    memory = malloc(MEM);

    if (!ok(c != NULL && memory != NULL, "aiq_crypto_new")) {
        return done_testing();
    }

    test_vectors();
    test_cases();
    test_fields();
    test_limits();
    test_pack();
    test_match();

    free(memory);
    aiq_crypto_free(c);

    return done_testing();
}
