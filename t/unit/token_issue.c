
/*
 * Copyright (C) ngx_armoriq authors
 */


#include "token_check.h"


static void test_issue(void);
static void test_issue_refused(void);
static void test_issue_memory(void);
static void base_claims(aiq_token_claims_t *cl);


static void
base_claims(aiq_token_claims_t *cl)
{
    memset(cl, 0, sizeof(aiq_token_claims_t));

    cl->kid = aiq_cstr("test-1");
    cl->issuer = aiq_cstr(AIQ_TOKEN_ISSUER);
    cl->audience = aiq_cstr(AIQ_TOKEN_AUDIENCE);
    cl->org = aiq_cstr("acme");
    cl->user = aiq_cstr("alice \"the\" \xc3\xa9");
    cl->agent = aiq_cstr("sysadmin");
    cl->context = aiq_cstr("default");
    cl->jti = aiq_cstr("j-1");
    cl->iat = 1700000000;
    cl->exp = 1700000300;
    cl->steps = 3;
    memset(cl->plan_hash, 0xab, AIQ_HASH_LEN);
}


static void
test_issue(void)
{
    char                buf[AIQ_TOKEN_MAX], buf2[AIQ_TOKEN_MAX];
    aiq_rc_t            rc;
    aiq_out_t           out, out2;
    aiq_token_t         t, u;
    unsigned char      *pos;
    aiq_token_claims_t  cl;

    rewind_mem();
    base_claims(&cl);
    pos = mem.pos;

    aiq_out_init(&out, buf, sizeof(buf));
    rc = aiq_token_issue_jws(&out, &cl, seed, c, &mem, &err);
    ok(rc == AIQ_OK && mem.pos == pos, "a JWS is issued");

    rc = check_jws(&t, aiq_out_done(&out));

    if (!ok(rc == AIQ_OK && aiq_str_eq(t.sub, cl.user)
            && aiq_str_is(t.org, "acme") && aiq_str_is(t.agent, "sysadmin")
            && aiq_str_is(t.jti, "j-1") && t.key.len == 0
            && aiq_str_is(t.kid, "test-1")
            && t.steps == 3 && t.iat == cl.iat && t.nbf == cl.iat
            && t.exp == cl.exp
            && memcmp(t.plan_hash, cl.plan_hash, AIQ_HASH_LEN) == 0
            && aiq_str_is(t.policy, "{\"allow\":[\"*\"],\"deny\":[]}"),
            "and read"))
    {
        diag("%s: %s", aiq_reason(rc), err.text);
    }

    aiq_out_init(&out, buf, sizeof(buf));
    rc = aiq_token_issue_iap(&out, &cl, seed, c, &mem, &err);
    rc = rc ? rc : check_iap(&t, aiq_out_done(&out));

    if (!ok(rc == AIQ_OK && aiq_str_eq(t.sub, cl.user)
            && aiq_str_is(t.org, "acme") && aiq_str_is(t.agent, "sysadmin")
            && aiq_str_is(t.jti, "j-1") && t.key.len == 0
            && t.steps == 3 && t.iat == cl.iat && t.exp == cl.exp
            && memcmp(t.plan_hash, cl.plan_hash, AIQ_HASH_LEN) == 0
            && memcmp(t.public_key, pub, AIQ_KEY_LEN) == 0
            && aiq_str_is(t.policy, "{\"allow\":[\"*\"],\"deny\":[]}"),
            "an IAP object is issued and read"))
    {
        diag("%s: %s", aiq_reason(rc), err.text);
    }

    /* with everything there is; both say the same */

    rewind_mem();
    cl.key = aiq_cstr("ak-7");
    cl.context = aiq_cstr("c|x");
    cl.policy = aiq_cstr("{ \"priority\":1.0, \"allow\":[\"m/*\"], "
                         "\"deny\":[] }");

    aiq_out_init(&out, buf, sizeof(buf));
    aiq_out_init(&out2, buf2, sizeof(buf2));
    rc = aiq_token_issue_jws(&out, &cl, seed, c, &mem, &err);
    rc = rc ? rc : aiq_token_issue_iap(&out2, &cl, seed, c, &mem, &err);
    rc = rc ? rc : check_jws(&t, aiq_out_done(&out));
    rc = rc ? rc : check_iap(&u, aiq_out_done(&out2));

    ok(rc == AIQ_OK && aiq_str_eq(t.sub, u.sub) && aiq_str_eq(t.org, u.org)
       && aiq_str_eq(t.agent, u.agent) && aiq_str_eq(t.jti, u.jti)
       && aiq_str_eq(t.key, u.key) && aiq_str_is(t.key, "ak-7")
       && t.steps == u.steps && t.iat == u.iat && t.exp == u.exp
       && aiq_str_eq(t.policy, u.policy)
       && aiq_str_is(t.policy, "{\"allow\":[\"m/*\"],\"deny\":[],"
                               "\"priority\":1}"),
       "both forms of one token say the same");

    /* the same claims are the same bytes */

    aiq_out_init(&out2, buf2, sizeof(buf2));
    aiq_token_issue_jws(&out2, &cl, seed, c, &mem, &err);
    ok(aiq_str_eq(aiq_out_done(&out), aiq_out_done(&out2)),
       "issued again, the same");
}


static void
test_issue_refused(void)
{
    char                buf[AIQ_TOKEN_MAX], big[AIQ_TOKEN_MAX + 64];
    size_t              i, n;
    aiq_rc_t            jws, iap;
    aiq_out_t           out;
    aiq_str_t           good, *names[6];
    aiq_token_claims_t  cl;

    static const struct {
        const char  *policy;
        aiq_rc_t     jws;
        aiq_rc_t     iap;
    } policies[] = {
        { "{\"allow\":[]}", AIQ_OK, AIQ_OK },
        { "{\"org\":\"evil\"}", AIQ_OK, AIQ_D_POLICY_INVALID },
        { "{\"\\u006frg\":\"evil\"}", AIQ_OK, AIQ_D_POLICY_INVALID },
        { "{\"jti\":\"x\"}", AIQ_OK, AIQ_D_POLICY_INVALID },
        { "{\"steps\":1}", AIQ_OK, AIQ_D_POLICY_INVALID },
        { "{\"key\":1}", AIQ_OK, AIQ_D_POLICY_INVALID },
        { "{\"sub\":\"x\"}", AIQ_OK, AIQ_D_POLICY_INVALID },
        { "{\"agent\":\"x\"}", AIQ_OK, AIQ_D_POLICY_INVALID },
        { "{\"context\":\"x\"}", AIQ_OK, AIQ_D_POLICY_INVALID },
        { "{\"metadata\":{\"sdk\":1}}", AIQ_OK, AIQ_OK },
        { "[]", AIQ_D_POLICY_INVALID, AIQ_D_POLICY_INVALID },
        { "{\"allow\":", AIQ_D_POLICY_INVALID, AIQ_D_POLICY_INVALID },
        { "{}},\"org\":\"evil\",\"x\":{\"y\":{}", AIQ_D_POLICY_INVALID,
          AIQ_D_POLICY_INVALID },
        { "{\"a\":1,\"a\":2}", AIQ_D_POLICY_INVALID, AIQ_D_POLICY_INVALID },
        { "{\"x\":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}", AIQ_D_TOKEN_CLAIMS,
          AIQ_D_TOKEN_CLAIMS },
        { "{\"x\":[[[[[[[[[[[[]]]]]]]]]]]]}", AIQ_OK, AIQ_OK },
        { "{\"x\":[[[[[[[[[[[[[]]]]]]]]]]]]]}", AIQ_OK, AIQ_D_TOKEN_CLAIMS }
    };

    for (i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
        rewind_mem();
        base_claims(&cl);
        cl.policy = aiq_cstr(policies[i].policy);

        aiq_out_init(&out, buf, sizeof(buf));
        jws = aiq_token_issue_jws(&out, &cl, seed, c, &mem, &err);
        aiq_out_init(&out, buf, sizeof(buf));
        iap = aiq_token_issue_iap(&out, &cl, seed, c, &mem, &err);

        if (!ok(jws == policies[i].jws && iap == policies[i].iap,
                "policy %s: %s, %s", policies[i].policy,
                aiq_reason(policies[i].jws), aiq_reason(policies[i].iap)))
        {
            diag("%s, %s", aiq_reason(jws), aiq_reason(iap));
        }
    }

    base_claims(&cl);
    names[0] = &cl.issuer;
    names[1] = &cl.audience;
    names[2] = &cl.org;
    names[3] = &cl.user;
    names[4] = &cl.agent;
    names[5] = &cl.jti;

    for (i = 0; i < 6; i++) {
        good = *names[i];

        for (n = 0; n < 3; n++) {
            *names[i] = aiq_cstr(n == 0 ? "" : n == 1 ? "a\nb" : "\xff");

            aiq_out_init(&out, buf, sizeof(buf));
            jws = aiq_token_issue_jws(&out, &cl, seed, c, &mem, &err);
            iap = aiq_token_issue_iap(&out, &cl, seed, c, &mem, &err);
            ok(jws == AIQ_D_TOKEN_CLAIMS && iap == AIQ_D_TOKEN_CLAIMS
               && aiq_out_done(&out).len == 0,
               "name %zu, bad one %zu", i, n);
        }

        *names[i] = good;
    }

    cl.key = aiq_cstr("k\x01");
    ok(aiq_token_issue_jws(&out, &cl, seed, c, &mem, &err)
       == AIQ_D_TOKEN_CLAIMS, "a bad key");
    base_claims(&cl);
    cl.context = aiq_cstr("k\x01");
    ok(aiq_token_issue_iap(&out, &cl, seed, c, &mem, &err)
       == AIQ_D_TOKEN_CLAIMS, "a bad context");
    base_claims(&cl);
    cl.kid = aiq_cstr("a b");
    ok(aiq_token_issue_jws(&out, &cl, seed, c, &mem, &err)
       == AIQ_D_TOKEN_HEADER, "a bad kid");
    base_claims(&cl);
    cl.exp = cl.iat;
    ok(aiq_token_issue_jws(&out, &cl, seed, c, &mem, &err)
       == AIQ_D_TOKEN_CLAIMS, "exp = iat");
    cl.exp = AIQ_TIME_MAX + 1;
    ok(aiq_token_issue_jws(&out, &cl, seed, c, &mem, &err)
       == AIQ_D_TOKEN_CLAIMS, "exp too late");
    base_claims(&cl);
    cl.iat = -1;
    ok(aiq_token_issue_iap(&out, &cl, seed, c, &mem, &err)
       == AIQ_D_TOKEN_CLAIMS, "iat before time began");
    base_claims(&cl);
    cl.steps = 0;
    ok(aiq_token_issue_iap(&out, &cl, seed, c, &mem, &err)
       == AIQ_D_TOKEN_CLAIMS, "no steps");

    /* a token that nobody would read is not issued */

    base_claims(&cl);
    memset(big, 'x', sizeof(big));
    memcpy(big, "{\"x\":\"", 6);
    strcpy(big + sizeof(big) - 3, "\"}");
    cl.policy = aiq_cstr(big);
    aiq_out_init(&out, buf, sizeof(buf));
    ok(aiq_token_issue_jws(&out, &cl, seed, c, &mem, &err)
       == AIQ_D_TOKEN_MALFORMED
       && aiq_token_issue_iap(&out, &cl, seed, c, &mem, &err)
          == AIQ_D_TOKEN_MALFORMED
       && aiq_out_done(&out).len == 0,
       "too long");

    ok(aiq_token_sign_iap(&out, aiq_cstr("{\"plan_hash\":1}"), seed, c, &mem,
                          &err) == AIQ_D_TOKEN_CLAIMS, "a body without "
       "members");
    ok(aiq_token_sign_iap(&out, aiq_cstr("{\"plan_hash\":1,\"issued_at\":1,"
                          "\"expires_at\":1,\"policy\":1,\"identity\":1,"
                          "\"public_key\":\"" HASH1 "\",\"version\":1}"),
                          seed, c, &mem, &err) == AIQ_D_TOKEN_KEY,
       "a body that names another key");
    ok(aiq_token_sign_jws(&out, aiq_cstr("k"), aiq_cstr("[1]"), seed, c, &mem,
                          &err) == AIQ_D_TOKEN_CLAIMS, "claims that are no "
       "object");
}


static void
test_issue_memory(void)
{
    int                 form, bad;
    char                buf[AIQ_TOKEN_MAX];
    size_t              size, need;
    aiq_rc_t            rc;
    aiq_out_t           out;
    aiq_token_claims_t  cl;

    for (form = 0; form < 2; form++) {
        base_claims(&cl);
        bad = 0;
        rc = AIQ_OK;

        for (size = 0; size < 65536; size += 16) {
            mem.pos = memory;
            mem.end = memory + size;
            aiq_out_init(&out, buf, sizeof(buf));

            rc = form ? aiq_token_issue_iap(&out, &cl, seed, c, &mem, &err)
                      : aiq_token_issue_jws(&out, &cl, seed, c, &mem, &err);

            if (rc == AIQ_OK) {
                break;
            }

            bad += (rc != AIQ_E_NO_MEMORY || mem.pos != memory);
        }

        ok(rc == AIQ_OK && bad == 0, "%s: issued in %zu bytes, less is a "
           "fault", form ? "IAP object" : "JWS", size);

        need = aiq_out_done(&out).len;
        bad = 0;

        for (size = 0; size < need; size += (size + 8 < need) ? 7 : 1) {
            rewind_mem();
            aiq_out_init(&out, buf, size);

            rc = form ? aiq_token_issue_iap(&out, &cl, seed, c, &mem, &err)
                      : aiq_token_issue_jws(&out, &cl, seed, c, &mem, &err);
            bad += (rc != AIQ_E_NO_MEMORY);
        }

        ok(bad == 0, "no room for %zu bytes is seen", need);
    }
}


int
main(void)
{
    if (setup()) {
        test_issue();
        test_issue_refused();
        test_issue_memory();
    }

    return teardown();
}
