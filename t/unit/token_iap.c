
/*
 * Copyright (C) ngx_armoriq authors
 */


#include "token_check.h"


static void test_iap_fields(void);
static void test_iap_members(void);
static void test_iap_metadata(void);
static void test_iap_limits(void);


static void
test_iap_fields(void)
{
    aiq_str_t    s;
    aiq_hash_t   id;
    aiq_json_t   doc;
    aiq_token_t  t;

    rewind_mem();

    s = make_iap(NULL, NULL,
                 "{\"allow\":[\"*\"],\"org\":\"acme\",\"jti\":\"j-1\","
                 "\"steps\":3,\"key\":\"ak-1\",\"sub\":\"alice\","
                 "\"agent\":\"sysadmin\",\"context\":\"default\","
                 "\"metadata\":{\"sdk\":1},\"deny\":[\"m/x\"]}");

    if (!ok(check_iap(&t, s) == AIQ_OK, "a good IAP object")) {
        diag("%s", err.text);
    }

    ok(t.kid.len == 0 && t.iss.len == 0 && t.aud.len == 0
       && aiq_str_is(t.org, "acme") && aiq_str_is(t.jti, "j-1")
       && aiq_str_is(t.key, "ak-1") && aiq_str_is(t.sub, "alice")
       && aiq_str_is(t.agent, "sysadmin") && t.steps == 3
       && t.iat == 1700000000 && t.nbf == t.iat && t.exp == 1700000300
       && t.plan_hash[0] == 0x35 && t.identity[0] == 0xec
       && t.has_public && !t.aud_ok,
       "its members");
    ok(aiq_str_is(t.policy, "{\"allow\":[\"*\"],\"deny\":[\"m/x\"]}"),
       "its constraints are what is left");
    ok(aiq_sha256(c, t.signed_text, id) == AIQ_OK
       && memcmp(id, t.id, AIQ_HASH_LEN) == 0,
       "id is the hash of what is signed");

    pub[0] ^= 1;
    ok(aiq_token_check_signature(&t, pub, c) == AIQ_D_TOKEN_KEY,
       "an object that names another key");
    memcpy(t.public_key, pub, AIQ_KEY_LEN);
    ok(aiq_token_check_signature(&t, pub, c) == AIQ_D_TOKEN_SIGNATURE,
       "another key");
    pub[0] ^= 1;

    /* the same object, somewhere in a body */

    s = text_of("{\"a\":[1,{}],\"token\":%s,\"b\":2}", (const char *) s.data);
    rewind_mem();
    s = make_iap(NULL, NULL, METADATA);
    ((unsigned char *) s.data)[s.len] = '\0';
    s = text_of("{\"a\":[1,{}],\"token\":%s,\"b\":2}", (const char *) s.data);

    ok(aiq_json_parse(&doc, s, AIQ_JSON_DEPTH, &mem, &err) == AIQ_OK
       && aiq_token_read_iap(&t, &doc, aiq_json_get(&doc, 0, "token"), c,
                             &mem, &err) == AIQ_OK
       && aiq_token_check_signature(&t, pub, c) == AIQ_OK
       && t.sub.len == 0,
       "inside a body");
    ok(aiq_token_read_iap(&t, &doc, aiq_json_get(&doc, 0, "a"), c, &mem, &err)
       == AIQ_D_TOKEN_MALFORMED
       && aiq_token_read_iap(&t, &doc, AIQ_JSON_NONE, c, &mem, &err)
          == AIQ_D_TOKEN_MALFORMED,
       "what is no object is no token");
}


static void
test_iap_members(void)
{
    char         *text, old[32];
    size_t        i;
    json_t       *root;
    aiq_rc_t      rc;
    aiq_str_t     s;
    aiq_token_t   t;

    /* signed as they are */

    static const claim_case_t  signed_cases[] = {
        { NULL, NULL, AIQ_OK },
        { "issued_at", "1700000000.5", AIQ_D_TOKEN_CLAIMS },
        { "issued_at", "\"1700000000\"", AIQ_D_TOKEN_CLAIMS },
        { "issued_at", "-1", AIQ_D_TOKEN_CLAIMS },
        { "issued_at", "null", AIQ_D_TOKEN_CLAIMS },
        { "expires_at", "1e15", AIQ_D_TOKEN_CLAIMS },
        { "expires_at", "253402300800", AIQ_D_TOKEN_CLAIMS },
        { "expires_at", "1700000100", AIQ_D_TOKEN_EXPIRED },
        { "expires_at", "1700004000", AIQ_D_TOKEN_LIFETIME },
        { "plan_hash", "\"" HASH2 "\"", AIQ_OK },
        { "plan_hash", "\"sha256:" HASH1 "\"", AIQ_D_TOKEN_CLAIMS },
        { "plan_hash", "7", AIQ_D_TOKEN_CLAIMS },
        { "identity", "\"\"", AIQ_D_TOKEN_CLAIMS },
        { "version", "\"1.0\"", AIQ_D_TOKEN_TYPE },
        { "version", "\"IAP-0.2\"", AIQ_D_TOKEN_TYPE },
        { "version", "0.1", AIQ_D_TOKEN_TYPE },
        { "policy", "{}", AIQ_D_TOKEN_CLAIMS },
        { "policy", "[]", AIQ_D_TOKEN_CLAIMS },
        { "policy", "{\"global\":{\"metadata\":[]}}", AIQ_D_TOKEN_CLAIMS },
        { "policy", "{\"global\":{\"metadata\":" METADATA ",\"x\":1}}",
          AIQ_D_TOKEN_CLAIMS },
        { "policy", "{\"global\":{\"metadata\":" METADATA "},\"x\":{}}",
          AIQ_D_TOKEN_CLAIMS },
        { "allowed_operations", "[\"x\"]", AIQ_D_TOKEN_CLAIMS },
        { "allowed_operations", "[]", AIQ_D_TOKEN_CLAIMS },
        { "allowed_operations", "null", AIQ_OK },
        { "allowed_operations", "false", AIQ_OK },
        { "allowed_operations", "\"\"", AIQ_OK },
        { "allowed_operations", "0", AIQ_OK },
        { "allowed_operations", "0.0", AIQ_OK },
        { "allowed_operations", "1", AIQ_D_TOKEN_CLAIMS },
        { "resource_scope", "{\"x\":1}", AIQ_D_TOKEN_CLAIMS },
        { "resource_scope", "{}", AIQ_D_TOKEN_CLAIMS },
        { "resource_scope", "\"x\"", AIQ_D_TOKEN_CLAIMS },
        { "resource_scope", "null", AIQ_OK }
    };

    /* changed behind the signer's back */

    static const claim_case_t  tampered[] = {
        { "merkle_root", "\"" HASH2 "\"", AIQ_OK },
        { "org", "\"evil\"", AIQ_OK },
        { "steps", "9", AIQ_OK },
        { "plan", "{\"steps\":[]}", AIQ_OK },
        { "allowed_operations", "\"\"", AIQ_OK },
        { "allowed_operations", "[\"*\"]", AIQ_D_TOKEN_CLAIMS },
        { "expires_at", "1700000400", AIQ_D_TOKEN_SIGNATURE },
        { "plan_hash", "\"" HASH2 "\"", AIQ_D_TOKEN_SIGNATURE },
        { "identity", "\"" HASH2 "\"", AIQ_D_TOKEN_SIGNATURE },
        { "public_key", "\"" HASH2 "\"", AIQ_D_TOKEN_KEY },
        { "signature", "\"\"", AIQ_D_TOKEN_MALFORMED },
        { "signature", "null", AIQ_D_TOKEN_MALFORMED },
        { "signature", NULL, AIQ_D_TOKEN_MALFORMED },
        { "issued_at", NULL, AIQ_D_TOKEN_CLAIMS },
        { "expires_at", NULL, AIQ_D_TOKEN_CLAIMS },
        { "identity", NULL, AIQ_D_TOKEN_CLAIMS },
        { "plan_hash", NULL, AIQ_D_TOKEN_CLAIMS },
        { "public_key", NULL, AIQ_D_TOKEN_CLAIMS },
        { "policy", NULL, AIQ_D_TOKEN_CLAIMS },
        { "version", NULL, AIQ_D_TOKEN_TYPE }
    };

    for (i = 0; i < sizeof(signed_cases) / sizeof(signed_cases[0]); i++) {
        rewind_mem();
        rc = check_iap(&t, make_iap(signed_cases[i].name,
                                    signed_cases[i].value, METADATA));

        if (!ok(rc == signed_cases[i].rc, "signed: %s = %.50s: %s",
                signed_cases[i].name ? signed_cases[i].name : "as it is",
                signed_cases[i].value ? signed_cases[i].value : "",
                aiq_reason(signed_cases[i].rc)))
        {
            diag("%s: %s", aiq_reason(rc), err.text);
        }
    }

    for (i = 0; i < sizeof(tampered) / sizeof(tampered[0]); i++) {
        rewind_mem();
        s = make_iap(NULL, NULL, METADATA);
        root = json_loadb((const char *) s.data, s.len, 0, NULL);

        if (tampered[i].value == NULL) {
            json_object_del(root, tampered[i].name);

        } else {
            json_object_set_new(root, tampered[i].name,
                                json_loads(tampered[i].value, JSON_DECODE_ANY,
                                           NULL));
        }

        text = json_dumps(root, 0);
        rc = check_iap(&t, aiq_cstr(text));

        snprintf(old, sizeof(old), "%s", tampered[i].name);

        if (!ok(rc == tampered[i].rc
                && (rc != AIQ_OK
                    || (aiq_str_is(t.org, "acme") && t.steps == 3
                        && t.plan_hash[0] == 0x35)),
                "tampered: %s = %.40s: %s", old,
                tampered[i].value ? tampered[i].value : "(absent)",
                aiq_reason(tampered[i].rc)))
        {
            diag("%s: %s", aiq_reason(rc), err.text);
        }

        json_decref(root);
        free(text);
    }
}


static void
test_iap_metadata(void)
{
    size_t       i;
    aiq_rc_t     rc;
    aiq_token_t  t;

    static const struct {
        const char  *text;
        aiq_rc_t     rc;
    } cases[] = {
        { METADATA, AIQ_OK },
        { "{\"jti\":\"j\",\"steps\":3}", AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"o\",\"steps\":3}", AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"o\",\"jti\":\"j\"}", AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"\",\"jti\":\"j\",\"steps\":3}", AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":1,\"jti\":\"j\",\"steps\":3}", AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"o\",\"jti\":\"j\\n\",\"steps\":3}",
          AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"o\",\"jti\":\"j\",\"steps\":0}", AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"o\",\"jti\":\"j\",\"steps\":3.0}", AIQ_OK },
        { "{\"org\":\"o\",\"jti\":\"j\",\"steps\":3.5}", AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"o\",\"jti\":\"j\",\"steps\":\"3\"}",
          AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"o\",\"jti\":\"j\",\"steps\":100000}",
          AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"o\",\"jti\":\"j\",\"steps\":3,\"key\":\"\"}",
          AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"o\",\"jti\":\"j\",\"steps\":3,\"sub\":\"alice\"}",
          AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"o\",\"jti\":\"j\",\"steps\":3,\"agent\":\"sysadmin\"}",
          AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"o\",\"jti\":\"j\",\"steps\":3,\"agent\":\"sysadmin\","
          "\"sub\":\"alice\"}", AIQ_OK },
        { "{\"org\":\"o\",\"jti\":\"j\",\"steps\":3,\"agent\":\"sysadmin\","
          "\"sub\":\"bob\"}", AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"o\",\"jti\":\"j\",\"steps\":3,\"agent\":\"sysadmin\","
          "\"sub\":\"alice\",\"context\":\"other\"}", AIQ_D_TOKEN_CLAIMS },
        { "{\"org\":\"o\",\"jti\":\"j\",\"steps\":3,\"context\":7}",
          AIQ_D_TOKEN_CLAIMS }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rewind_mem();
        rc = check_iap(&t, make_iap(NULL, NULL, cases[i].text));

        if (!ok(rc == cases[i].rc, "metadata %s: %s", cases[i].text,
                aiq_reason(cases[i].rc)))
        {
            diag("%s: %s", aiq_reason(rc), err.text);
        }
    }
}


static void
test_iap_limits(void)
{
    int             n, bad;
    char           *pad, *meta;
    size_t          size;
    aiq_rc_t        rc;
    aiq_str_t       s;
    aiq_json_t      doc;
    aiq_token_t     t;
    unsigned char  *pos;

    pad = malloc(20000);
    meta = malloc(20200);
    bad = 0;

    for (n = 15000; n < 17000; n += (n > 15600 && n < 15700) ? 1 : 50) {
        rewind_mem();
        memset(pad, ' ', 20000);
        s = make_iap(NULL, NULL, METADATA);
        memcpy(pad, s.data, s.len - 1);
        pad[n] = '}';
        s.data = (unsigned char *) pad;
        s.len = (size_t) n + 1;

        rc = check_iap(&t, s);
        bad += (rc != (s.len <= AIQ_TOKEN_MAX ? AIQ_OK
                                              : AIQ_D_TOKEN_MALFORMED));
    }

    for (n = AIQ_TOKEN_MAX; n <= AIQ_TOKEN_MAX + 1; n++) {
        pad[n - 2] = ' ';
        pad[n - 1] = '}';
        s.len = (size_t) n;
        memset(pad + 1500, ' ', (size_t) n - 1501);
        rewind_mem();
        rc = check_iap(&t, s);
        ok(rc == (n == AIQ_TOKEN_MAX ? AIQ_OK : AIQ_D_TOKEN_MALFORMED),
           "an IAP object of %d bytes", n);
    }

    ok(bad == 0, "any length");

    for (n = AIQ_TOKEN_DEPTH - 4; n <= AIQ_TOKEN_DEPTH - 2; n++) {
        rewind_mem();
        memset(pad, '[', (size_t) n);
        memset(pad + n, ']', (size_t) n);
        pad[2 * n] = '\0';
        sprintf(meta, "{\"org\":\"o\",\"jti\":\"j\",\"steps\":3,"
                "\"metadata\":%s}", pad);

        /* the signer has the same limit, so take a shallow one and wrap it */

        if (n + 4 <= AIQ_TOKEN_DEPTH) {
            rc = check_iap(&t, make_iap(NULL, NULL, meta));
            ok(rc == AIQ_OK, "an IAP object %d deep", n + 4);
            continue;
        }

        s = make_iap(NULL, NULL, METADATA);
        sprintf(meta, "%.*s,\"x\":[%s]}", (int) s.len - 1, s.data, pad);
        rc = check_iap(&t, aiq_cstr(meta));
        ok(rc == (n + 2 <= AIQ_TOKEN_DEPTH ? AIQ_OK : AIQ_D_TOKEN_MALFORMED),
           "unsigned members %d deep", n + 2);
        sprintf(meta, "%.*s,\"x\":[[%s]]}", (int) s.len - 1, s.data, pad);
        rc = check_iap(&t, aiq_cstr(meta));
        ok(rc == (n + 3 <= AIQ_TOKEN_DEPTH ? AIQ_OK : AIQ_D_TOKEN_MALFORMED),
           "unsigned members %d deep", n + 3);
    }

    /* memory */

    rewind_mem();
    s = make_iap(NULL, NULL, METADATA);
    aiq_json_parse(&doc, s, AIQ_JSON_DEPTH, &mem, &err);
    pos = mem.pos;
    bad = 0;
    rc = AIQ_OK;

    for (size = 0; size < 8192; size++) {
        mem.pos = pos;
        mem.end = pos + size;
        rc = aiq_token_read_iap(&t, &doc, 0, c, &mem, &err);

        if (rc == AIQ_OK) {
            break;
        }

        bad += (rc != AIQ_E_NO_MEMORY || mem.pos != pos);
    }

    ok(rc == AIQ_OK && bad == 0 && aiq_token_check_signature(&t, pub, c)
       == AIQ_OK, "an IAP object takes %zu bytes, less is a fault", size);

    free(pad);
    free(meta);
}


int
main(void)
{
    if (setup()) {
        test_iap_fields();
        test_iap_members();
        test_iap_metadata();
        test_iap_limits();
    }

    return teardown();
}
