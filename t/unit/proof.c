
/*
 * Copyright (C) ngx_armoriq authors
 */


#include "plan_check.h"


static void test_proofs(void);
static void test_proof_text(void);
static void test_path(void);
static void test_digest(void);


static void
test_proofs(void)
{
    int          bad;
    char        *text, buf[4096], *p;
    uint32_t     i, k, n;
    aiq_out_t    out;
    aiq_str_t    s;
    aiq_plan_t   plan;

    bad = 0;

    for (n = 1; n <= 33; n++) {
        rewind_mem();
        text = thousand((int) n);
        read_plan(&plan, text);

        for (i = 0; i < n; i++) {
            aiq_out_init(&out, buf, sizeof(buf));
            bad += (aiq_plan_proof_write(&out, &plan, i, c) != AIQ_OK);
            s = aiq_out_done(&out);

            bad += (aiq_plan_proof_verify(s, i, n, plan.leaves[i], plan.root,
                                          c, &mem, &err) != AIQ_OK);

            for (k = 0; k <= n + 1; k++) {

                /* another step with the same leaf, another size of plan */

                bad += (k != i
                        && aiq_plan_proof_verify(s, k, n, plan.leaves[i],
                                              plan.root, c, &mem, &err)
                           != AIQ_D_PROOF_INVALID);
                bad += (k != i
                        && aiq_plan_proof_verify(s, i, n,
                                              plan.leaves[k > n ? n : k],
                                              plan.root, c, &mem, &err)
                           != AIQ_D_PROOF_INVALID);
            }

            /* one side turned round */

            buf[s.len] = '\0';
            p = strstr(buf, "right");

            if (p != NULL) {
                memcpy(p, "left\" ", 6);
                p[4] = '"';
                memmove(p + 5, p + 6, strlen(p + 6) + 1);
                bad += (aiq_plan_proof_verify(aiq_cstr(buf), i, n,
                                              plan.leaves[i], plan.root, c,
                                              &mem, &err)
                        != AIQ_D_PROOF_INVALID);
            }
        }

        aiq_out_init(&out, buf, sizeof(buf));
        bad += (aiq_plan_proof_write(&out, &plan, n, c) != AIQ_E_INTERNAL);

        free(text);
    }

    ok(bad == 0, "proofs of plans of 1 to 33 steps, and no other ones");
}


static void
test_proof_text(void)
{
    char            hex[65], text[2048], *p;
    size_t          i;
    aiq_out_t       out;
    aiq_rc_t        rc, want;
    aiq_plan_t      plan;
    unsigned char  *pos;

    /* %s is the sibling of the one step */

    static const struct {
        const char  *format;
        int          good;
    } texts[] = {
        { "[{\"position\":\"right\",\"sibling_hash\":\"%s\"}]", 1 },
        { "[{\"sibling_hash\":\"%s\",\"position\":\"right\"}]", 1 },
        { " [ { \"position\" : \"right\" , \"sibling\" : \"%s\" } ] ", 1 },
        { "[{\"sibling\":\"sha256:%s\",\"position\":\"right\"}]", 1 },
        { "[{\"sibling_hash\":\"sha256:%s\",\"position\":\"right\"}]", 1 },
        { "[{\"sibling_hash\":\"sha256:sha256:%s\",\"position\":\"right\"}]",
          0 },
        { "[{\"sibling_hash\":\"SHA256:%s\",\"position\":\"right\"}]", 0 },
        { "[{\"sibling_hash\":\"0x%s\",\"position\":\"right\"}]", 0 },
        { "[{\"sibling_hash\":\"%s0\",\"position\":\"right\"}]", 0 },
        { "[{\"sibling_hash\":\"%.63s\",\"position\":\"right\"}]", 0 },
        { "[{\"sibling_hash\":\"%.62s\",\"position\":\"right\"}]", 0 },
        { "[{\"sibling_hash\":\"\",\"position\":\"right\"}]%.0s", 0 },
        { "[{\"sibling_hash\":\"sha256:\",\"position\":\"right\"}]%.0s", 0 },
        { "[{\"sibling_hash\":\"%s\",\"position\":\"left\"}]", 0 },
        { "[{\"sibling_hash\":\"%s\",\"position\":\"Right\"}]", 0 },
        { "[{\"sibling_hash\":\"%s\",\"position\":1}]", 0 },
        { "[{\"sibling_hash\":\"%s\",\"position\":true}]", 0 },
        { "[{\"sibling_hash\":\"%s\"}]", 0 },
        { "[{\"position\":\"right\"}]%.0s", 0 },
        { "[{\"position\":\"right\",\"hash\":\"%s\"}]", 0 },
        { "[{\"position\":\"right\",\"sibling_hash\":\"%s\","
          "\"sibling\":\"x\"}]", 0 },
        { "[{\"position\":\"right\",\"sibling_hash\":\"%s\",\"x\":1}]", 0 },
        { "[{\"position\":\"right\",\"position\":\"right\","
          "\"sibling_hash\":\"%s\"}]", 0 },
        { "[{\"position\":\"right\",\"sibling_hash\":[\"%s\"]}]", 0 },
        { "{\"position\":\"right\",\"sibling_hash\":\"%s\"}", 0 },
        { "[[{\"position\":\"right\",\"sibling_hash\":\"%s\"}]]", 0 },
        { "[\"%s\"]", 0 },
        { "\"%s\"", 0 },
        { "[]%.0s", 0 },
        { "%.0s", 0 },
        { "null%.0s", 0 },
        { "[{\"position\":\"right\",\"sibling_hash\":\"%s\"}", 0 },
        { "[{\"position\":\"right\",\"sibling_hash\":\"%s\"}],", 0 },
        { "[{\"position\":\"right\",\"sibling_hash\":\"%s\"},]", 0 },
        { "[{\"position\":\"right\",\"sibling_hash\":\"%1$s\"},"
          "{\"position\":\"right\",\"sibling_hash\":\"%1$s\"}]", 0 }
    };

    rewind_mem();
    read_plan(&plan, "{\"steps\":[{\"mcp\":\"m\",\"action\":\"a\"}]}");

    aiq_out_init(&out, hex, 64);
    aiq_out_hex(&out, plan.leaves[1], AIQ_HASH_LEN);
    hex[64] = '\0';

    pos = mem.pos;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {

#if defined __GNUC__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#endif
        snprintf(text, sizeof(text), texts[i].format, hex);
#if defined __GNUC__
#pragma GCC diagnostic pop
#endif

        rc = aiq_plan_proof_verify(aiq_cstr(text), 0, 1, plan.leaves[0],
                                   plan.root, c, &mem, &err);
        want = texts[i].good ? AIQ_OK : AIQ_D_PROOF_INVALID;

        ok(rc == want && mem.pos == pos, "proof %s: %s", texts[i].format,
           texts[i].good ? "accepted" : "refused");
    }

    snprintf(text, sizeof(text),
             "[{\"position\":\"right\",\"sibling_hash\":\"%s\"}]", hex);

    for (p = strstr(text, hex); *p != '"'; p++) {
        if (*p >= 'a' && *p <= 'f') {
            *p = (char) (*p - 'a' + 'A');
            break;
        }
    }

    ok(aiq_plan_proof_verify(aiq_cstr(text), 0, 1, plan.leaves[0], plan.root,
                             c, &mem, &err) == AIQ_D_PROOF_INVALID,
       "a capital letter");

    snprintf(text, sizeof(text),
             "[{\"position\":\"right\",\"sibling_hash\":\"%s\"}]", hex);

    ok(aiq_plan_proof_verify(aiq_cstr(text), 0, 0, plan.leaves[0], plan.root,
                             c, &mem, &err) == AIQ_D_PROOF_INVALID
       && aiq_plan_proof_verify(aiq_cstr(text), 1, 1, plan.leaves[0],
                                plan.root, c, &mem, &err)
          == AIQ_D_PROOF_INVALID
       && aiq_plan_proof_verify(aiq_cstr(text), UINT32_MAX, UINT32_MAX,
                                plan.leaves[0], plan.root, c, &mem, &err)
          == AIQ_D_PROOF_INVALID
       && aiq_plan_proof_verify(aiq_cstr(text), 0, UINT32_MAX,
                                plan.leaves[0], plan.root, c, &mem, &err)
          == AIQ_D_PROOF_INVALID,
       "no steps, a step that is not there, too many");

    /* the rest of the plan proves itself as a leaf, but is no step */

    aiq_out_init(&out, hex, 64);
    aiq_out_hex(&out, plan.leaves[0], AIQ_HASH_LEN);
    snprintf(text, sizeof(text),
             "[{\"position\":\"left\",\"sibling_hash\":\"%s\"}]", hex);

    ok(aiq_plan_proof_verify(aiq_cstr(text), 1, 1, plan.leaves[1], plan.root,
                             c, &mem, &err) == AIQ_D_PROOF_INVALID,
       "the last leaf is not a step");

    /* more nodes than there is room for */

    p = malloc(200 * (strlen(text) + 1) + 2);
    strcpy(p, "[");

    for (i = 0; i < 100; i++) {
        sprintf(p + strlen(p), "%s{\"position\":\"right\","
                "\"sibling_hash\":\"%s\"}", i ? "," : "", hex);
    }

    strcat(p, "]");
    ok(aiq_plan_proof_verify(aiq_cstr(p), 0, 1, plan.leaves[0], plan.root, c,
                             &mem, &err) == AIQ_D_PROOF_INVALID,
       "a hundred nodes");
    free(p);

    p = malloc(AIQ_PROOF_MAX * 256 + 2);
    memset(p, ' ', AIQ_PROOF_MAX * 256 + 1);
    snprintf(text, sizeof(text),
             "[{\"position\":\"right\",\"sibling_hash\":\"%s\"}]", hex);
    memcpy(p, text, strlen(text));
    p[AIQ_PROOF_MAX * 256 + 1] = '\0';

    ok(aiq_plan_proof_verify(aiq_cstr(p), 0, 1, plan.leaves[0], plan.root, c,
                             &mem, &err) == AIQ_D_PROOF_INVALID
       && strstr(err.text, "bytes") != NULL, "a text too long");
    free(p);

    mem.end = mem.pos;
    rc = aiq_plan_proof_verify(aiq_cstr(text), 0, 1, plan.leaves[0],
                               plan.root, c, &mem, &err);
    ok(rc == AIQ_D_PROOF_INVALID || rc == AIQ_E_NO_MEMORY, "no memory");
}


static void
test_path(void)
{
    char      text[64];
    size_t    i;
    uint32_t  v;

    static const struct {
        const char  *path;
        int          value;
    } paths[] = {
        { "/steps/[0]/action", 0 }, { "/steps/[7]/tool", 7 },
        { "/steps/[10]", 10 }, { "/steps/[01]/action", -1 },
        { "/steps/[00]", -1 }, { "/steps/[]/action", -1 },
        { "/steps/[-1]/action", -1 }, { "/steps/[+1]/action", -1 },
        { "/steps/[ 1]/action", -1 }, { "/steps/[1 ]/action", -1 },
        { "/steps/[0x1]", -1 }, { "/steps/[1e1]", -1 },
        { "/steps/[1.0]", -1 }, { "/steps/[4294967296]", -1 },
        { "/steps/[4294967297]/action", -1 },
        { "/steps/[18446744073709551617]", -1 }, { "/steps/[0", -1 },
        { "/steps/[0]/", -1 }, { "/steps/[0]/params", -1 },
        { "/steps/[0]/actions", -1 }, { "/steps/[0]/Action", -1 },
        { "/steps/[0]action", -1 }, { "/steps/0/action", -1 },
        { "steps/[0]/action", -1 }, { "/steps", -1 }, { "/steps/[", -1 },
        { "/", -1 }, { "", -1 }, { "/steps/[0]/action/", -1 },
        { "/steps/[0]/action ", -1 }, { "//steps/[0]/action", -1 },
        { "/Steps/[0]/action", -1 }, { "/steps/[0]/action,/steps/[1]", -1 }
    };

    for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        v = 12345;

        if (paths[i].value >= 0) {
            ok(aiq_plan_path(aiq_cstr(paths[i].path), &v) == AIQ_OK
               && v == (uint32_t) paths[i].value,
               "path %s", paths[i].path);

        } else {
            ok(aiq_plan_path(aiq_cstr(paths[i].path), &v)
               == AIQ_D_PATH_INVALID,
               "no path: %s", paths[i].path);
        }
    }

    snprintf(text, sizeof(text), "/steps/[%d]/action", AIQ_PLAN_STEPS - 1);
    ok(aiq_plan_path(aiq_cstr(text), &v) == AIQ_OK && v == AIQ_PLAN_STEPS - 1,
       "path %s, the last one", text);

    snprintf(text, sizeof(text), "/steps/[%d]/action", AIQ_PLAN_STEPS);
    ok(aiq_plan_path(aiq_cstr(text), &v) == AIQ_D_PATH_INVALID,
       "no path: %s", text);
}


static void
test_digest(void)
{
    aiq_str_t  action, bytes;

    static const unsigned char  invalid[] = { 'a', 0xff };

    static const char  digest[] =
        "1066ce7a185b76161240a4f17ab49d53d79d23e2db6a3e35d6897e2408cba9a4";
    static const char  prefixed[] =
        "sha256:"
        "1066ce7a185b76161240a4f17ab49d53d79d23e2db6a3e35d6897e2408cba9a4";
    static const char  capital[] =
        "1066CE7a185b76161240a4f17ab49d53d79d23e2db6a3e35d6897e2408cba9a4";

    action = aiq_cstr("infra.restart");

    ok(aiq_plan_digest_check(aiq_cstr(digest), action, c) == AIQ_OK,
       "digest as recorded");
    ok(aiq_plan_digest_check(aiq_cstr(prefixed), action, c) == AIQ_OK,
       "with the prefix of the documents");
    ok(aiq_plan_digest_check(aiq_cstr(digest), aiq_cstr("infra.restar"), c)
       == AIQ_D_DIGEST_MISMATCH, "another action");
    ok(aiq_plan_digest_check(aiq_cstr(capital), action, c)
       == AIQ_D_DIGEST_MISMATCH, "capital letters");
    ok(aiq_plan_digest_check(aiq_cstr(""), action, c)
       == AIQ_D_DIGEST_MISMATCH
       && aiq_plan_digest_check(aiq_cstr(NULL), action, c)
          == AIQ_D_DIGEST_MISMATCH
       && aiq_plan_digest_check(aiq_cstr("sha256:"), action, c)
          == AIQ_D_DIGEST_MISMATCH, "no digest");

    bytes.data = (const unsigned char *) digest;
    bytes.len = 63;
    ok(aiq_plan_digest_check(bytes, action, c) == AIQ_D_DIGEST_MISMATCH,
       "cut short");

    ok(aiq_plan_digest_check(aiq_cstr("28380feb8724d669bc8d4cf5b5a5bb1a"
                                      "dbdc61b81ebd06f3fabc567b4f3b0fc5"),
                             aiq_cstr("caf\xc3\xa9"), c) == AIQ_OK
       && aiq_plan_digest_check(aiq_cstr("ee08d8beb64c89c25fe7f583c6b522f7"
                                         "f380aab939035ec58d3fcdba24c881e1"),
                                aiq_cstr("caf\xc3\xa9"), c) == AIQ_OK,
       "as TypeScript and as Python write it");

    bytes.data = invalid;
    bytes.len = sizeof(invalid);
    ok(aiq_plan_digest_check(aiq_cstr(digest), bytes, c)
       == AIQ_D_DIGEST_MISMATCH, "an action that is no text is no fault");
}


int
main(void)
{
    c = aiq_crypto_new();
    memory = malloc(MEM);

    if (!ok(c != NULL && memory != NULL, "aiq_crypto_new")) {
        return done_testing();
    }

    test_proofs();
    test_proof_text();
    test_path();
    test_digest();

    free(memory);
    aiq_crypto_free(c);

    return done_testing();
}
