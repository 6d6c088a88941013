
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <openssl/err.h>

#include "tap.h"
#include "crypto.h"


typedef struct {
    const char  *key;
    int          fill;        /* repeat the first byte of key so often */
    const char  *msg;
    int          msg_fill;
    const char  *mac;
    const char  *name;
} hmac_t;


static void test_sha256(aiq_crypto_t *c);
static void test_stream(aiq_crypto_t *c);
static void test_misuse(aiq_crypto_t *c);
static void test_hmac(aiq_crypto_t *c);
static void test_small(void);
static void hex(const unsigned char *p, size_t len, char *out);
static int is_hex(const unsigned char *p, const char *want);


static const char  abc[] =
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char  none[] =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
static const char  million[] =
    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";


/* RFC 4231, then keys of one block, one more, and none */

static const hmac_t  hmacs[] = {

    { "\x0b", 20, "Hi There", 0,
      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
      "RFC 4231 case 1" },

    { "Jefe", 0, "what do ya want for nothing?", 0,
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
      "RFC 4231 case 2" },

    { "\xaa", 20, "\xdd", 50,
      "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
      "RFC 4231 case 3" },

    { "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10"
      "\x11\x12\x13\x14\x15\x16\x17\x18\x19", 0, "\xcd", 50,
      "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
      "RFC 4231 case 4" },

    { "\xaa", 131, "Test Using Larger Than Block-Size Key - Hash Key First",
      0, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
      "RFC 4231 case 6" },

    { "\xaa", 131, "This is a test using a larger than block-size key and a "
      "larger than block-size data. The key needs to be hashed before being "
      "used by the HMAC algorithm.", 0,
      "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
      "RFC 4231 case 7" },

    { "k", 64, "m", 0,
      "3b7a8d453e76edb519238a515105a57508d0f169f480ebeee120a9e7803289fa",
      "a key of one block" },
    { "k", 65, "m", 0,
      "c2d7d4c2256ddb097409ec0c67e1d58fa1a007fc6932cac0d892a525d08af7cc",
      "a key of one block and a byte" },

    { "", 0, "", 0,
      "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad",
      "no key, no message" }
};


static void
hex(const unsigned char *p, size_t len, char *out)
{
    while (len--) {
        sprintf(out, "%02x", *p++);
        out += 2;
    }
}


static int
is_hex(const unsigned char *p, const char *want)
{
    char  got[2 * AIQ_HASH_LEN + 1];

    hex(p, AIQ_HASH_LEN, got);

    if (strcmp(got, want) != 0) {
        diag("got %s, expected %s", got, want);
        return 0;
    }

    return 1;
}


static void
test_sha256(aiq_crypto_t *c)
{
    aiq_str_t      parts[4];
    unsigned char  out[AIQ_HASH_LEN];

    ok(aiq_sha256(c, aiq_cstr("abc"), out) == AIQ_OK && is_hex(out, abc),
       "abc");
    ok(aiq_sha256(c, aiq_cstr(""), out) == AIQ_OK && is_hex(out, none),
       "nothing");
    ok(aiq_sha256(c, aiq_cstr(NULL), out) == AIQ_OK && is_hex(out, none),
       "NULL");
    ok(aiq_sha256(c, aiq_cstr("abcdbcdecdefdefgefghfghighijhijkijkljklmklmn"
                              "lmnomnopnopq"), out) == AIQ_OK
       && is_hex(out, "248d6a61d20638b8e5c026930c3e6039"
                      "a33ce45964ff2167f6ecedd419db06c1"),
       "two blocks");

    parts[0] = aiq_cstr("a");
    parts[1] = aiq_cstr(NULL);
    parts[2] = aiq_cstr("bc");
    parts[3] = aiq_cstr("");

    ok(aiq_sha256v(c, parts, 4, out) == AIQ_OK && is_hex(out, abc), "parts");
    ok(aiq_sha256v(c, parts, 0, out) == AIQ_OK && is_hex(out, none),
       "no parts");
}


static void
test_stream(aiq_crypto_t *c)
{
    int            i, n;
    size_t         size;
    aiq_rc_t       rc;
    aiq_out_t      out;
    unsigned char  hash[AIQ_HASH_LEN], buf[4096], text[1000];

    static const size_t  sizes[] = { 64, 65, 127, 1000, 4096 };

    memset(text, 'a', sizeof(text));

    for (n = 0; n < 5; n++) {

        size = sizes[n];

        rc = aiq_sha256_begin(c, &out, buf, size);

        for (i = 0; i < 1000; i++) {
            aiq_out_mem(&out, text, 999);
            aiq_out_char(&out, 'a');
        }

        ok(rc == AIQ_OK
           && aiq_sha256_end(c, &out, hash) == AIQ_OK
           && is_hex(hash, million),
           "a million in pieces, buffer of %zu", size);
    }

    ok(aiq_sha256_begin(c, &out, buf, 64) == AIQ_OK
       && aiq_sha256_end(c, &out, hash) == AIQ_OK
       && is_hex(hash, none),
       "nothing written");

    /* exactly one buffer, and one byte more */

    for (n = 64; n <= 65; n++) {
        unsigned char  want[AIQ_HASH_LEN];
        aiq_str_t      s = { (size_t) n, text };

        ok(aiq_sha256_begin(c, &out, buf, 64) == AIQ_OK, "begin");
        aiq_out_mem(&out, text, (size_t) n);

        ok(aiq_sha256_end(c, &out, hash) == AIQ_OK
           && aiq_sha256(c, s, want) == AIQ_OK
           && memcmp(hash, want, sizeof(want)) == 0,
           "%d bytes through a buffer of 64", n);
    }
}


static void
test_misuse(aiq_crypto_t *c)
{
    aiq_out_t      out, other;
    unsigned char  hash[AIQ_HASH_LEN], whole[AIQ_HASH_LEN], buf[64], buf2[64];

    ok(aiq_sha256_begin(c, &out, buf, 63) == AIQ_E_INTERNAL,
       "a buffer too small");
    ok(aiq_sha256_end(c, &out, hash) == AIQ_E_INTERNAL, "nothing to end");

    ok(aiq_sha256_begin(c, &out, buf, 64) == AIQ_OK, "begin");
    aiq_out_str(&out, "a");
    ok(aiq_sha256(c, aiq_cstr("zzz"), whole) == AIQ_OK
       && aiq_hmac(c, aiq_cstr("k"), NULL, 0, whole) == AIQ_OK,
       "whole hashes inside a stream");
    aiq_out_str(&out, "bc");
    ok(aiq_sha256_end(c, &out, hash) == AIQ_OK && is_hex(hash, abc),
       "the stream did not notice");

    ok(aiq_sha256_begin(c, &out, buf, 64) == AIQ_OK
       && aiq_sha256_begin(c, &other, buf2, 64) == AIQ_OK,
       "a stream inside a stream");
    aiq_out_str(&out, "a text that is longer than the buffer of this stream, "
                "so that it has to be flushed");
    ok(out.failed, "the outer one fails");
    aiq_out_str(&other, "abc");
    ok(aiq_sha256_end(c, &out, hash) != AIQ_OK, "and has no hash");
    ok(aiq_sha256_end(c, &other, hash) == AIQ_OK && is_hex(hash, abc),
       "the inner one has");
    ok(aiq_sha256_end(c, &other, hash) != AIQ_OK, "once");

    ok(aiq_sha256_begin(c, &out, buf, 64) == AIQ_OK, "begin");
    out.failed = 1;
    ok(aiq_sha256_end(c, &out, hash) == AIQ_E_CRYPTO_FAILED,
       "a writer that failed has no hash");
}


static void
test_hmac(aiq_crypto_t *c)
{
    size_t         i;
    aiq_str_t      key, parts[2];
    const char    *want;
    unsigned char  out[AIQ_HASH_LEN], kbuf[256], mbuf[256];

    for (i = 0; i < sizeof(hmacs) / sizeof(hmacs[0]); i++) {

        key = aiq_cstr(hmacs[i].key);
        parts[0] = aiq_cstr(hmacs[i].msg);

        if (hmacs[i].fill) {
            memset(kbuf, hmacs[i].key[0], sizeof(kbuf));
            key.data = kbuf;
            key.len = (size_t) hmacs[i].fill;
        }

        if (hmacs[i].msg_fill) {
            memset(mbuf, hmacs[i].msg[0], sizeof(mbuf));
            parts[0].data = mbuf;
            parts[0].len = (size_t) hmacs[i].msg_fill;
        }

        /* two parts, to see that they are one message */

        parts[1] = parts[0];
        parts[0].len /= 2;
        parts[1].data += parts[0].len;
        parts[1].len -= parts[0].len;

        want = hmacs[i].mac;

        ok(aiq_hmac(c, key, parts, 2, out) == AIQ_OK && is_hex(out, want),
           "HMAC: %s", hmacs[i].name);
    }
}


static void
test_small(void)
{
    int            i, n;
    unsigned char  a[64], b[64];

    memset(a, 1, sizeof(a));
    memset(b, 1, sizeof(b));

    ok(aiq_equal(a, b, 64) == 1, "equal");
    ok(aiq_equal(a, b, 0) == 1, "nothing is equal to nothing");

    n = 0;

    for (i = 0; i < 512; i++) {
        b[i / 8] ^= (unsigned char) (1 << i % 8);
        n += aiq_equal(a, b, 64);
        b[i / 8] ^= (unsigned char) (1 << i % 8);
    }

    ok(n == 0, "no bit is overlooked");

    aiq_wipe(a, 63);
    memset(b, 0, sizeof(b));
    b[63] = 1;
    ok(memcmp(a, b, 64) == 0, "wiped, and nothing behind");
    aiq_wipe(NULL, 0);

    memset(a, 0, sizeof(a));
    memset(b, 0, sizeof(b));

    ok(aiq_random(a, 32) == AIQ_OK && aiq_random(b, 32) == AIQ_OK
       && memcmp(a, b, 32) != 0,
       "random");
    memset(b, 0, sizeof(b));
    ok(memcmp(a + 32, b, 32) == 0, "not a byte more than asked for");
    ok(aiq_random(NULL, 0) == AIQ_OK, "no random bytes");
    ok(aiq_random(a, (size_t) 1 << 32) == AIQ_E_CRYPTO_FAILED,
       "a length that an int would cut to 0");
    ok(ERR_peek_error() == 0, "the error queue is empty");
}


int
main(void)
{
    aiq_crypto_t  *c;

    c = aiq_crypto_new();
    if (!ok(c != NULL, "aiq_crypto_new")) {
        return done_testing();
    }

    test_sha256(c);
    test_stream(c);
    test_misuse(c);
    test_hmac(c);
    test_small();

    aiq_crypto_free(c);
    aiq_crypto_free(NULL);

    return done_testing();
}
