
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <fcntl.h>
#include <unistd.h>
#include <jansson.h>

#include "audit_file.h"
#include "audit_payload.h"
#include "b64.h"
#include "payload.h"
#include "tap.h"
#include "tmpdir.h"


#define RID    "00112233445566778899aabbccddeeff"
#define BODY   "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\"}"
#define FILELEN  (sizeof(BODY) - 1 + AIQ_PAYLOAD_OVER)


static aiq_crypto_t         *crypto;
static aiq_salt_t            salt;
static aiq_payload_t         id;
static aiq_err_t             err;
static const unsigned char   nonce[AIQ_GCM_NONCE] = "nonce nonce";


static size_t
unhex(const char *s, unsigned char *out, size_t max)
{
    size_t  n;

    for (n = 0; s && s[2 * n] && n < max; n++) {
        sscanf(s + 2 * n, "%2hhx", &out[n]);
    }

    return n;
}


static aiq_str_t
str(const void *p, size_t len)
{
    aiq_str_t  s;

    s.data = (unsigned char *) (uintptr_t) p;
    s.len = len;

    return s;
}


/* AIQ_OK only with the body; of anything else no byte is left */

static aiq_rc_t
open_file(const aiq_salt_t *s, const aiq_payload_t *p, aiq_str_t file)
{
    size_t          i, len;
    aiq_rc_t        rc;
    unsigned char   out[FILELEN + 64];

    memset(out, 0, sizeof(out));

    rc = aiq_payload_open(crypto, s, p, file, out, &len);

    if (rc == AIQ_OK) {
        return (len == sizeof(BODY) - 1 && memcmp(out, BODY, len) == 0)
               ? AIQ_OK : AIQ_E_INTERNAL;
    }

    for (i = 0; i < sizeof(out); i++) {

        if (out[i] || len) {
            return AIQ_E_INTERNAL;
        }
    }

    return rc;
}


static void
test_round(unsigned char file[FILELEN])
{
    size_t          len;
    unsigned char   again[FILELEN], empty[AIQ_PAYLOAD_OVER], none[1];
    aiq_salt_t      no;

    ok(aiq_payload_seal(crypto, &salt, &id, nonce, aiq_cstr(BODY), file)
       == AIQ_OK, "a body is sealed");
    ok(memcmp(file, "AIQPAY1\n\0\0\0\3nonce nonce\0", 24) == 0,
       "behind a label, the number of the salt and the nonce");
    ok(memmem(file, FILELEN, "jsonrpc", 7) == NULL, "it is not there");
    ok(open_file(&salt, &id, str(file, FILELEN)) == AIQ_OK,
       "and comes out as it was");

    ok(aiq_payload_seal(crypto, &salt, &id, nonce, str("", 0), empty)
       == AIQ_OK
       && aiq_payload_open(crypto, &salt, &id, str(empty, sizeof(empty)),
                           none, &len) == AIQ_OK && len == 0,
       "nothing is a body, too");

    memcpy(again, file, FILELEN);
    memset(&no, 0, sizeof(no));

    ok(aiq_payload_seal(crypto, &no, &id, nonce, aiq_cstr(BODY), again)
       == AIQ_DECLINED
       && aiq_payload_seal(crypto, NULL, &id, nonce, aiq_cstr(BODY), again)
          == AIQ_DECLINED
       && memcmp(again, file, FILELEN) == 0,
       "without a salt nothing is written");
    ok(open_file(&no, &id, str(file, FILELEN)) == AIQ_DECLINED
       && open_file(NULL, &id, str(file, FILELEN)) == AIQ_DECLINED,
       "and nothing read");
}


/* by the format: HKDF-Expand and AES-256-GCM of somebody else give the same */

static void
test_format(void)
{
    size_t          n, i;
    aiq_salt_t      s;
    unsigned char   want[512], file[FILELEN];

    /* key 00 01 .. 1f, nonce 00 .. 0b */

    static const char  hex[] =
        "414951504159310a" "00000001" "000102030405060708090a0b"
        "f40999f90465851b80f4a7f4fe06cf26e9bde208146ed09fea3d793aeef669c6"
        "0a468fe666c1f5e89973e4e36c4e72076e2803f1a479f386ec5a9492ac64";

    for (i = 0; i < AIQ_KEY_LEN; i++) {
        s.key[i] = (unsigned char) i;
    }

    s.epoch = 1;
    n = unhex(hex, want, sizeof(want));

    ok(n == FILELEN
       && aiq_payload_seal(crypto, &s, &id, want + 12, aiq_cstr(BODY), file)
          == AIQ_OK
       && memcmp(file, want, n) == 0, "as another implementation does it");
}


static void
test_changed(unsigned char file[FILELEN])
{
    size_t          i, n;
    unsigned char   longer[FILELEN + 32];

    n = 0;

    for (i = 0; i < 8 * FILELEN; i++) {
        file[i / 8] ^= (unsigned char) (1 << i % 8);
        n += (open_file(&salt, &id, str(file, FILELEN)) != AIQ_DECLINED);
        file[i / 8] ^= (unsigned char) (1 << i % 8);
    }

    ok(n == 0, "%zu files with one bit changed", i);

    for (i = 0; i < FILELEN; i++) {
        n += (open_file(&salt, &id, str(file, i)) != AIQ_DECLINED);
    }

    ok(n == 0, "%zu that are shorter", i);

    memset(longer, 0, sizeof(longer));
    memcpy(longer, file, FILELEN);

    for (i = FILELEN + 1; i <= sizeof(longer); i++) {
        n += (open_file(&salt, &id, str(longer, i)) != AIQ_DECLINED);
    }

    ok(n == 0, "and longer");
    ok(open_file(&salt, &id, str(file, FILELEN)) == AIQ_OK, "not this one");
}


static void
test_whose(unsigned char file[FILELEN])
{
    size_t          i, n;
    aiq_salt_t      other;
    aiq_payload_t   p;

    aiq_str_t *const  parts[] = { &p.origin, &p.org, &p.rid, &p.kind };

    for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        p = id;
        *parts[i] = aiq_cstr("0");

        ok(open_file(&salt, &p, str(file, FILELEN)) == AIQ_DECLINED,
           "that of another origin, org, rid or kind: %zu", i);
    }

    /* the same bytes, with another border between them */

    p = id;
    p.origin = aiq_cstr("example.com/auditac");
    p.org = aiq_cstr("me");

    ok(open_file(&salt, &p, str(file, FILELEN)) == AIQ_DECLINED,
       "no byte wanders from one to the other");

    p.org.len = 0;
    ok(open_file(&salt, &p, str(file, FILELEN)) == AIQ_E_INTERNAL,
       "of no org");

    other = salt;
    other.epoch++;
    file[11]++;

    ok(open_file(&other, &id, str(file, FILELEN)) == AIQ_DECLINED,
       "of another salt, by number");
    ok(open_file(&salt, &id, str(file, FILELEN)) == AIQ_DECLINED,
       "that says another number");

    file[11]--;

    for (i = 0, n = 0; i < 8 * AIQ_KEY_LEN; i++) {
        other = salt;
        other.key[i / 8] ^= (unsigned char) (1 << i % 8);
        n += (open_file(&other, &id, str(file, FILELEN)) != AIQ_DECLINED);
    }

    ok(n == 0, "%zu salts with one bit changed", i);
}


static void
test_wycheproof(void)
{
    int             want, right, total, valid;
    char           *text;
    size_t          len, i, k, n, in, an, tn;
    json_t         *root, *group, *test;
    aiq_rc_t        rc;
    json_error_t    error;
    unsigned char   key[64], iv[512], aad[1024], msg[1024], ct[1024], tag[64];
    unsigned char   out[1024], made[AIQ_GCM_TAG];

    text = vectors("wycheproof/aes_gcm_test.json", &len);
    if (text == NULL) {
        skip("Wycheproof AES-GCM", "the vectors are absent");
        return;
    }

    root = json_loadb(text, len, 0, &error);
    right = total = valid = 0;

    json_array_foreach(json_object_get(root, "testGroups"), i, group) {

        if (json_integer_value(json_object_get(group, "keySize")) != 256
            || json_integer_value(json_object_get(group, "ivSize")) != 96)
        {
            continue;
        }

        json_array_foreach(json_object_get(group, "tests"), k, test) {

#define FIELD(name, to)                                                       \
            unhex(json_string_value(json_object_get(test, name)), to,         \
                  sizeof(to))

            (void) FIELD("key", key);
            (void) FIELD("iv", iv);
            an = FIELD("aad", aad);
            in = FIELD("msg", msg);
            n = FIELD("ct", ct);
            tn = FIELD("tag", tag);

            want = strcmp(json_string_value(json_object_get(test, "result")),
                          "valid") == 0;

            rc = aiq_gcm_open(key, iv, str(aad, an), str(ct, n),
                              str(tag, tn), out);

            right += want ? rc == AIQ_OK && n == in && !memcmp(out, msg, n)
                            && aiq_gcm_seal(key, iv, str(aad, an),
                                            str(msg, in), out, made) == AIQ_OK
                            && !memcmp(out, ct, n)
                            && !memcmp(made, tag, AIQ_GCM_TAG)
                          : rc == AIQ_DECLINED;
            total++;
            valid += want;

            if (want && k == 0) {

                for (tn = 0; tn < sizeof(tag); tn++) {
                    rc = aiq_gcm_open(key, iv, str(aad, an), str(ct, n),
                                      str(tag, tn), out);

                    if (rc != (tn == AIQ_GCM_TAG ? AIQ_OK : AIQ_DECLINED)) {
                        ok(0, "a tag of %zu bytes", tn);
                    }
                }
            }
        }
    }

    ok(total > 60 && valid > 30 && right == total,
       "Wycheproof AES-256-GCM: %d of %d, %d valid", right, total, valid);

    json_decref(root);
    free(text);
}


/* what is in the file when it is asked for with this hash */

static aiq_rc_t
check(int dir, const char *member, aiq_audit_report_t *report)
{
    char             text[512];
    aiq_mem_t        mem;
    aiq_json_t       doc;
    aiq_json_tok_t   tape[64];

    mem.pos = (unsigned char *) tape;
    mem.end = mem.pos + sizeof(tape);

    snprintf(text, sizeof(text), "{\"rid\":\"" RID "\"%s}", member);

    if (aiq_json_parse(&doc, aiq_cstr(text), 4, &mem, &err) != AIQ_OK) {
        return AIQ_E_INTERNAL;
    }

    memset(report, 0, sizeof(aiq_audit_report_t));
    err.text[0] = '\0';

    return aiq_audit_payload_check(dir, &doc, crypto, report, &err);
}


static void
test_file(const unsigned char file[FILELEN])
{
    int                   dir, fd, day;
    char                  root[PATH_MAX], member[256];
    FILE                 *f;
    uint64_t              size;
    aiq_str_t             rid;
    unsigned char         hex[2 * AIQ_HASH_LEN];
    aiq_audit_report_t    report;
    aiq_audit_payload_t   p;

    tmpdir_make(root);
    rid = aiq_cstr(RID);

    aiq_audit_payload_day(&p, INT64_C(1795219199999999));
    ok(strcmp(p.day, "2026-11-20") == 0, "a day ends at midnight: %s", p.day);
    aiq_audit_payload_day(&p, INT64_C(1795219200000000));
    ok(strcmp(p.day, "2026-11-21") == 0, "UTC: %s", p.day);

    ok(aiq_audit_payload_write(root, &p, rid, str(file, FILELEN),
                               AIQ_AUDIT_FSYNC, &err) == AIQ_OK,
       "a file is written");
    ok(mode_of(in(root, "payload")) == 0700
       && mode_of(in(root, "payload/2026-11-21")) == 0700
       && mode_of(in(root, "payload/2026-11-21/" RID ".req")) == 0600,
       "for nobody else");
    ok(aiq_audit_payload_write(root, &p, rid, str(file, 1), 0, &err)
       == AIQ_E_AUDIT_UNAVAILABLE, "once: %s", err.text);
    ok(aiq_audit_payload_write(root, &p, aiq_cstr("../../../../etc/passwd"),
                               str(file, 1), 0, &err) == AIQ_E_INTERNAL
       && aiq_audit_payload_write(root, &p,
              aiq_cstr("0011223344556677889900112233/../"), str(file, 1), 0,
              &err) == AIQ_E_INTERNAL, "an id is no path");

    dir = open(root, O_RDONLY|O_DIRECTORY);

    (void) aiq_sha256(crypto, str(file, FILELEN), p.hash);
    aiq_audit_hex(p.hash, hex);
    snprintf(member, sizeof(member), ",\"payload\":{\"day\":\"2026-11-21\","
             "\"h\":\"%.64s\",\"len\":%zu}", (char *) hex, sizeof(BODY) - 1);

    ok(check(dir, member, &report) == AIQ_OK && report.payloads == 1,
       "as it was: %s", err.text);
    ok(check(dir, "", &report) == AIQ_OK && report.payloads == 0
       && report.deleted == 0, "none");
    ok(check(dir, ",\"payload\":{\"day\":\"2026-1x-21\",\"h\":\"\"}", &report)
       == AIQ_DECLINED, "a wrong member");
    ok(check(dir, ",\"payload\":{\"day\":\"../../../x\",\"h\":\"\","
                  "\"len\":1}", &report) == AIQ_DECLINED, "no path, either");

    ok(aiq_audit_payload_open(dir, &p, rid, &fd, &size, &day, &err) == AIQ_OK
       && size == FILELEN, "opened");
    (void) close(fd);

    f = fopen(in(root, "payload/2026-11-21/" RID ".req"), "r+");
    (void) fputc('a', f);
    (void) fclose(f);

    ok(check(dir, member, &report) == AIQ_DECLINED
       && strstr(err.text, "changed"), "changed: %s", err.text);

    ok(truncate(in(root, "payload/2026-11-21/" RID ".req"), 3) == 0
       && check(dir, member, &report) == AIQ_DECLINED, "shorter: %s",
       err.text);

    ok(unlink(in(root, "payload/2026-11-21/" RID ".req")) == 0
       && check(dir, member, &report) == AIQ_DECLINED
       && strstr(err.text, "missing"), "missing: %s", err.text);

    ok(symlink("/dev/null", in(root, "payload/2026-11-21/" RID ".req")) == 0
       && check(dir, member, &report) == AIQ_E_AUDIT_UNAVAILABLE,
       "a link: %s", err.text);

    (void) unlink(in(root, "payload/2026-11-21/" RID ".req"));

    ok(rmdir(in(root, "payload/2026-11-21")) == 0
       && check(dir, member, &report) == AIQ_OK && report.deleted == 1,
       "the day is deleted");

    ok(symlink(root, in(root, "payload/2026-11-21")) == 0
       && aiq_audit_payload_write(root, &p, rid, str(file, 1), 0, &err)
          == AIQ_E_AUDIT_UNAVAILABLE, "no day is a link: %s", err.text);

    (void) unlink(in(root, "payload/2026-11-21"));

    ok(chmod(in(root, "payload"), 0777) == 0
       && aiq_audit_payload_write(root, &p, rid, str(file, 1), 0, &err)
          == AIQ_E_AUDIT_UNAVAILABLE, "nor everybody's: %s", err.text);

    (void) close(dir);
    tmpdir_remove(root);
}


/* the INTENT says so, or is none */

static void
test_record(void)
{
    char                  buf[2048];
    aiq_out_t             out;
    aiq_audit_intent_t    r;
    aiq_audit_payload_t   p;

    memset(&r, 0, sizeof(r));
    memset(&p, 0, sizeof(p));

    aiq_audit_payload_day(&p, INT64_C(1795219200000000));
    p.len = 46;

    r.rid = aiq_cstr(RID);
    r.step = -1;
    r.verdict = aiq_cstr("PERMIT");
    r.reason = aiq_cstr("OK");
    r.payload = &p;
    r.salt = &salt;
    r.crypto = crypto;

    aiq_out_init(&out, buf, sizeof(buf) - 1);
    aiq_audit_write_intent(&out, &r);
    *out.pos = '\0';

    ok(!out.failed && strstr(buf, ",\"payload\":{\"day\":\"2026-11-21\",\"h\":"
       "\"0000") && strstr(buf, "0000\",\"len\":46},\"verdict\"")
       && strstr(buf, ",\"salt\":3}"), "%s", buf);

    r.salt = NULL;
    aiq_out_init(&out, buf, sizeof(buf));
    aiq_audit_write_intent(&out, &r);

    ok(out.failed, "not without its salt");
}


int
main(void)
{
    unsigned char  file[FILELEN];

    crypto = aiq_crypto_new();

    if (crypto == NULL || aiq_random(salt.key, AIQ_KEY_LEN) != AIQ_OK) {
        printf("Bail out! libcrypto\n");
        return 1;
    }

    salt.epoch = 3;

    id.origin = aiq_cstr("example.com/audit");
    id.org = aiq_cstr("acme");
    id.rid = aiq_cstr(RID);
    id.kind = aiq_cstr(AIQ_PAYLOAD_REQUEST);

    test_round(file);
    test_format();
    test_changed(file);
    test_whose(file);
    test_wycheproof();
    test_file(file);
    test_record();

    aiq_crypto_free(crypto);

    return done_testing();
}
