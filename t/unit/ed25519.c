
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "tap.h"
#include "crypto.h"


typedef struct {
    const char     *hex;
    int             order;      /* of the point */
    int             canonical;
} point_t;

/* arithmetic of the curve in affine coordinates, to check the list */

typedef struct {
    BIGNUM         *p;
    BIGNUM         *d;
    BN_CTX         *ctx;
} curve_t;


static void test_rfc8032(aiq_crypto_t *c);
static void test_sign(aiq_crypto_t *c);
static void test_points(aiq_crypto_t *c);
static void test_order_of(curve_t *cv, const point_t *pt);
static int order_of(curve_t *cv, BIGNUM *x, BIGNUM *y);
static int recover_x(curve_t *cv, BIGNUM *x, const BIGNUM *y, int sign);
static void add(curve_t *cv, BIGNUM *x, BIGNUM *y, const BIGNUM *x2,
    const BIGNUM *y2);
static void test_field(void);
static void test_malleable(aiq_crypto_t *c);
static void test_small_r(aiq_crypto_t *c);
static void sha512(unsigned char out[64], const aiq_str_t *parts, unsigned n);
static void test_wycheproof(aiq_crypto_t *c);
static size_t unhex(const char *s, unsigned char *out, size_t max);
static aiq_str_t str(const unsigned char *p, size_t len);


/* trust T2, in its order */

static const point_t  points[] = {

    { "01000000000000000000000000000000"
      "00000000000000000000000000000000", 1, 1 },
    { "ecffffffffffffffffffffffffffffff"
      "ffffffffffffffffffffffffffffff7f", 2, 1 },
    { "00000000000000000000000000000000"
      "00000000000000000000000000000000", 4, 1 },
    { "00000000000000000000000000000000"
      "00000000000000000000000000000080", 4, 1 },
    { "26e8958fc2b227b045c3f489f2ef98f0"
      "d5dfac05d3c63339b13802886d53fc05", 8, 1 },
    { "26e8958fc2b227b045c3f489f2ef98f0"
      "d5dfac05d3c63339b13802886d53fc85", 8, 1 },
    { "c7176a703d4dd84fba3c0b760d10670f"
      "2a2053fa2c39ccc64ec7fd7792ac037a", 8, 1 },
    { "c7176a703d4dd84fba3c0b760d10670f"
      "2a2053fa2c39ccc64ec7fd7792ac03fa", 8, 1 },
    { "01000000000000000000000000000000"
      "00000000000000000000000000000080", 1, 0 },
    { "ecffffffffffffffffffffffffffffff"
      "ffffffffffffffffffffffffffffffff", 2, 0 },
    { "eeffffffffffffffffffffffffffffff"
      "ffffffffffffffffffffffffffffff7f", 1, 0 },
    { "eeffffffffffffffffffffffffffffff"
      "ffffffffffffffffffffffffffffffff", 1, 0 },
    { "edffffffffffffffffffffffffffffff"
      "ffffffffffffffffffffffffffffff7f", 4, 0 },
    { "edffffffffffffffffffffffffffffff"
      "ffffffffffffffffffffffffffffffff", 4, 0 }
};

#define NPOINTS  (sizeof(points) / sizeof(points[0]))


static size_t
unhex(const char *s, unsigned char *out, size_t max)
{
    size_t    n;
    unsigned  v;

    for (n = 0; n < max && sscanf(s, "%2x", &v) == 1; n++) {
        out[n] = (unsigned char) v;
        s += 2;
    }

    return n;
}


static aiq_str_t
str(const unsigned char *p, size_t len)
{
    aiq_str_t  s;

    s.data = p;
    s.len = len;

    return s;
}


/* RFC 8032, 7.1: TEST 1, 2 and 3 */

static void
test_rfc8032(aiq_crypto_t *c)
{
    int            i;
    size_t         len;
    unsigned char  seed[32], pub[32], want[32], sig[64], wsig[64], msg[16];

    static const char  *kat[][4] = {
        { "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
          "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
          "",
          "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
          "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b" },
        { "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
          "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
          "72",
          "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
          "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00" },
        { "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
          "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
          "af82",
          "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
          "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a" }
    };

    for (i = 0; i < 3; i++) {
        unhex(kat[i][0], seed, 32);
        unhex(kat[i][1], want, 32);
        unhex(kat[i][3], wsig, 64);
        len = unhex(kat[i][2], msg, sizeof(msg));

        ok(aiq_ed25519_public(c, seed, pub) == AIQ_OK
           && memcmp(pub, want, 32) == 0,
           "RFC 8032 test %d: public key", i + 1);

        ok(aiq_ed25519_sign(c, seed, str(len ? msg : NULL, len), sig)
           == AIQ_OK && memcmp(sig, wsig, 64) == 0,
           "RFC 8032 test %d: signature", i + 1);

        ok(aiq_ed25519_verify(c, pub, str(len ? msg : NULL, len),
                              str(wsig, 64)) == AIQ_OK,
           "RFC 8032 test %d: verified", i + 1);
    }
}


static void
test_sign(aiq_crypto_t *c)
{
    int            i, n;
    aiq_str_t      msg;
    aiq_out_t      out;
    unsigned char  seed[2][32], pub[2][32], sig[2][64], buf[64], hash[32];

    msg = aiq_cstr("a message");

    for (i = 0; i < 2; i++) {
        memset(seed[i], 7 + i, 32);
        ok(aiq_ed25519_public(c, seed[i], pub[i]) == AIQ_OK
           && aiq_ed25519_check_public(pub[i]) == AIQ_OK
           && aiq_ed25519_sign(c, seed[i], msg, sig[i]) == AIQ_OK,
           "key %d", i);
    }

    /* one context serves all keys: none may linger in it */

    for (i = 0; i < 4; i++) {
        n = i & 1;

        ok(aiq_ed25519_verify(c, pub[n], msg, str(sig[n], 64)) == AIQ_OK
           && aiq_ed25519_verify(c, pub[!n], msg, str(sig[n], 64))
              == AIQ_D_TOKEN_SIGNATURE,
           "key %d in turn, and not the other one", n);
    }

    n = 0;

    for (i = 0; i < 512; i++) {
        sig[0][i / 8] ^= (unsigned char) (1 << i % 8);
        n += (aiq_ed25519_verify(c, pub[0], msg, str(sig[0], 64))
              != AIQ_D_TOKEN_SIGNATURE);
        sig[0][i / 8] ^= (unsigned char) (1 << i % 8);
    }

    ok(n == 0, "512 signatures with one bit changed");

    n = 0;

    for (i = 0; i < 256; i++) {
        pub[0][i / 8] ^= (unsigned char) (1 << i % 8);
        n += (aiq_ed25519_verify(c, pub[0], msg, str(sig[0], 64)) == AIQ_OK);
        pub[0][i / 8] ^= (unsigned char) (1 << i % 8);
    }

    ok(n == 0, "256 keys with one bit changed");

    ok(aiq_ed25519_verify(c, pub[0], msg, str(sig[0], 63))
       == AIQ_D_TOKEN_SIGNATURE, "63 bytes");
    ok(aiq_ed25519_verify(c, pub[0], msg, str(sig[0], 65))
       == AIQ_D_TOKEN_SIGNATURE, "65 bytes");
    ok(aiq_ed25519_verify(c, pub[0], msg, str(sig[0], 0))
       == AIQ_D_TOKEN_SIGNATURE, "no bytes");
    ok(aiq_ed25519_verify(c, pub[0], msg, str(NULL, 64))
       == AIQ_D_TOKEN_SIGNATURE, "NULL");
    ok(aiq_ed25519_verify(c, pub[0], str(msg.data, msg.len - 1),
                          str(sig[0], 64))
       == AIQ_D_TOKEN_SIGNATURE, "a message cut short");

    ok(ERR_peek_error() == 0, "the error queue is empty");

    ok(aiq_sha256_begin(c, &out, buf, sizeof(buf)) == AIQ_OK, "begin");
    aiq_out_str(&out, "ab");
    ok(aiq_ed25519_verify(c, pub[0], msg, str(sig[0], 64)) == AIQ_OK,
       "verified inside a stream");
    aiq_out_str(&out, "c");
    ok(aiq_sha256_end(c, &out, hash) == AIQ_OK && hash[0] == 0xba
       && hash[31] == 0xad,
       "the stream did not notice");
}


/* (x, y) += (x2, y2) on -x^2 + y^2 = 1 + d x^2 y^2 */

static void
add(curve_t *cv, BIGNUM *x, BIGNUM *y, const BIGNUM *x2, const BIGNUM *y2)
{
    BIGNUM  *a, *b, *e, *t;

    BN_CTX_start(cv->ctx);

    a = BN_CTX_get(cv->ctx);
    b = BN_CTX_get(cv->ctx);
    e = BN_CTX_get(cv->ctx);
    t = BN_CTX_get(cv->ctx);

    /* e = d x x2 y y2 */

    BN_mod_mul(e, x, x2, cv->p, cv->ctx);
    BN_mod_mul(e, e, y, cv->p, cv->ctx);
    BN_mod_mul(e, e, y2, cv->p, cv->ctx);
    BN_mod_mul(e, e, cv->d, cv->p, cv->ctx);

    /* a = (x y2 + y x2) / (1 + e) */

    BN_mod_mul(a, x, y2, cv->p, cv->ctx);
    BN_mod_mul(t, y, x2, cv->p, cv->ctx);
    BN_mod_add(a, a, t, cv->p, cv->ctx);
    BN_mod_add(t, BN_value_one(), e, cv->p, cv->ctx);
    BN_mod_inverse(t, t, cv->p, cv->ctx);
    BN_mod_mul(a, a, t, cv->p, cv->ctx);

    /* b = (y y2 + x x2) / (1 - e) */

    BN_mod_mul(b, y, y2, cv->p, cv->ctx);
    BN_mod_mul(t, x, x2, cv->p, cv->ctx);
    BN_mod_add(b, b, t, cv->p, cv->ctx);
    BN_mod_sub(t, BN_value_one(), e, cv->p, cv->ctx);
    BN_mod_inverse(t, t, cv->p, cv->ctx);
    BN_mod_mul(b, b, t, cv->p, cv->ctx);

    BN_copy(x, a);
    BN_copy(y, b);

    BN_CTX_end(cv->ctx);
}


/* x = sqrt((y^2 - 1) / (d y^2 + 1)) with this lowest bit; 0 if not a square */

static int
recover_x(curve_t *cv, BIGNUM *x, const BIGNUM *y, int sign)
{
    int      rc;
    BIGNUM  *u, *v;

    BN_CTX_start(cv->ctx);

    u = BN_CTX_get(cv->ctx);
    v = BN_CTX_get(cv->ctx);

    BN_mod_sqr(u, y, cv->p, cv->ctx);
    BN_mod_mul(v, u, cv->d, cv->p, cv->ctx);
    BN_mod_add(v, v, BN_value_one(), cv->p, cv->ctx);
    BN_mod_sub(u, u, BN_value_one(), cv->p, cv->ctx);
    BN_mod_inverse(v, v, cv->p, cv->ctx);
    BN_mod_mul(u, u, v, cv->p, cv->ctx);

    rc = (BN_is_zero(u) && (BN_zero(x), 1))
         || BN_mod_sqrt(x, u, cv->p, cv->ctx) != NULL;

    if (rc && BN_is_odd(x) != sign && !BN_is_zero(x)) {
        BN_sub(x, cv->p, x);
    }

    BN_CTX_end(cv->ctx);

    return rc;
}


/* 1 to 8, or 0 if it is larger */

static int
order_of(curve_t *cv, BIGNUM *x, BIGNUM *y)
{
    int      n;
    BIGNUM  *ax, *ay;

    BN_CTX_start(cv->ctx);

    ax = BN_dup(x);
    ay = BN_dup(y);

    for (n = 1; n <= 8; n++) {
        if (BN_is_zero(ax) && BN_is_one(ay)) {
            break;
        }

        add(cv, ax, ay, x, y);
    }

    BN_free(ax);
    BN_free(ay);
    BN_CTX_end(cv->ctx);

    return n > 8 ? 0 : n;
}


static void
test_order_of(curve_t *cv, const point_t *pt)
{
    int             sign, canonical;
    BIGNUM         *x, *y;
    unsigned char   p[32];

    unhex(pt->hex, p, 32);

    sign = p[31] >> 7;
    p[31] &= 0x7f;

    x = BN_new();
    y = BN_lebin2bn(p, 32, NULL);

    canonical = BN_cmp(y, cv->p) < 0;

    BN_nnmod(y, y, cv->p, cv->ctx);

    if (!recover_x(cv, x, y, sign)) {
        ok(0, "%.8s... is on the curve", pt->hex);

    } else {
        canonical = canonical && (!BN_is_zero(x) || sign == 0);

        ok(order_of(cv, x, y) == pt->order && canonical == pt->canonical,
           "%.8s...%s is %scanonical and has order %d", pt->hex,
           pt->hex + 56, pt->canonical ? "" : "not ", pt->order);
    }

    BN_free(x);
    BN_free(y);
}


/* each of the list is what it is said to be, and is refused as A and as R */

static void
test_points(aiq_crypto_t *c)
{
    size_t         i, k;
    curve_t        cv;
    BIGNUM        *n, *x, *y;
    aiq_str_t      msg;
    unsigned char  p[32], sig[64], seed[32], pub[32];

    cv.ctx = BN_CTX_new();
    cv.p = NULL;
    cv.d = BN_new();

    BN_hex2bn(&cv.p, "7fffffffffffffffffffffffffffffff"
                     "ffffffffffffffffffffffffffffffed");

    /* d = -121665 / 121666 */

    n = BN_new();
    BN_set_word(n, 121666);
    BN_mod_inverse(cv.d, n, cv.p, cv.ctx);
    BN_set_word(n, 121665);
    BN_mod_mul(cv.d, cv.d, n, cv.p, cv.ctx);
    BN_sub(cv.d, cv.p, cv.d);

    for (i = 0; i < NPOINTS; i++) {
        test_order_of(&cv, &points[i]);
    }

    /* the base point, y = 4/5, to see that the arithmetic can say no */

    x = BN_new();
    y = BN_new();
    BN_set_word(n, 5);
    BN_mod_inverse(y, n, cv.p, cv.ctx);
    BN_mul_word(y, 4);
    BN_nnmod(y, y, cv.p, cv.ctx);
    ok(recover_x(&cv, x, y, 0) && order_of(&cv, x, y) == 0,
       "the base point has another order");

    BN_free(x);
    BN_free(y);
    BN_free(n);
    BN_free(cv.p);
    BN_free(cv.d);
    BN_CTX_free(cv.ctx);

    msg = aiq_cstr("m");
    memset(seed, 7, 32);
    aiq_ed25519_public(c, seed, pub);

    for (i = 0; i < NPOINTS; i++) {
        unhex(points[i].hex, p, 32);

        ok(aiq_ed25519_check_public(p) == AIQ_D_TOKEN_KEY,
           "%.8s...%s as a key", points[i].hex, points[i].hex + 56);

        /* s = 0, R = A fits such keys for every (some) message */

        memcpy(sig, p, 32);
        memset(sig + 32, 0, 32);
        ok(aiq_ed25519_verify(c, p, msg, str(sig, 64)) == AIQ_D_TOKEN_KEY
           && aiq_ed25519_verify(c, pub, msg, str(sig, 64))
              == AIQ_D_TOKEN_SIGNATURE,
           "%.8s...%s as R", points[i].hex, points[i].hex + 56);

        for (k = 0; k < i; k++) {
            if (strcmp(points[i].hex, points[k].hex) == 0) {
                ok(0, "%zu and %zu are the same", i, k);
            }
        }
    }
}


/* all 19 values of y >= p with both signs, and the last one below p */

static void
test_field(void)
{
    int            i, n, bad;
    unsigned char  p[32];

    n = 0;

    for (i = 0xed; i <= 0xff; i++) {
        memset(p, 0xff, 32);
        p[0] = (unsigned char) i;
        n += (aiq_ed25519_check_public(p) == AIQ_D_TOKEN_KEY);
        p[31] = 0x7f;
        n += (aiq_ed25519_check_public(p) == AIQ_D_TOKEN_KEY);
    }

    ok(n == 38, "all y >= p are refused");

    memset(p, 0xff, 32);
    p[0] = 0xeb;
    ok(aiq_ed25519_check_public(p) == AIQ_OK, "y = p - 2 is not");

    bad = 0;

    for (i = 1; i < 31; i++) {
        memset(p, 0xff, 32);
        p[i] = 0xfe;
        bad += (aiq_ed25519_check_public(p) != AIQ_OK);
    }

    ok(bad == 0, "every byte of y counts");
}


/* s + L: the same equation, other bytes (trust T3) */

static void
test_malleable(aiq_crypto_t *c)
{
    int            i;
    unsigned       carry;
    aiq_str_t      msg;
    unsigned char  seed[32], pub[32], sig[64];

    static const unsigned char  order[32] = {
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
        0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10
    };

    msg = aiq_cstr("m");
    memset(seed, 7, 32);

    ok(aiq_ed25519_public(c, seed, pub) == AIQ_OK
       && aiq_ed25519_sign(c, seed, msg, sig) == AIQ_OK
       && aiq_ed25519_verify(c, pub, msg, str(sig, 64)) == AIQ_OK,
       "s");

    carry = 0;

    for (i = 0; i < 32; i++) {
        carry += (unsigned) sig[32 + i] + order[i];
        sig[32 + i] = (unsigned char) carry;
        carry >>= 8;
    }

    ok(aiq_ed25519_verify(c, pub, msg, str(sig, 64))
       == AIQ_D_TOKEN_SIGNATURE, "s + L");
}


static void
sha512(unsigned char out[64], const aiq_str_t *parts, unsigned n)
{
    unsigned     i;
    EVP_MD_CTX  *ctx;

    ctx = EVP_MD_CTX_new();
    EVP_DigestInit_ex(ctx, EVP_sha512(), NULL);

    for (i = 0; i < n; i++) {
        EVP_DigestUpdate(ctx, parts[i].data, parts[i].len);
    }

    EVP_DigestFinal_ex(ctx, out, NULL);
    EVP_MD_CTX_free(ctx);
}


/*
 * Who has the key can sign with R = 0: s = H(R, A, M) a.  The equation holds
 * and libcrypto takes it, so only our list can refuse it.
 */

static void
test_small_r(aiq_crypto_t *c)
{
    int             rc;
    BIGNUM         *a, *h, *order;
    BN_CTX         *ctx;
    EVP_PKEY       *key;
    EVP_MD_CTX     *md;
    aiq_str_t       parts[3], msg;
    unsigned char   seed[32], pub[32], sig[64], hash[64];

    msg = aiq_cstr("m");
    memset(seed, 7, 32);
    aiq_ed25519_public(c, seed, pub);

    parts[0] = str(seed, 32);
    sha512(hash, parts, 1);
    hash[0] &= 0xf8;
    hash[31] = (unsigned char) ((hash[31] & 0x7f) | 0x40);
    a = BN_lebin2bn(hash, 32, NULL);

    memset(sig, 0, 64);
    sig[0] = 1;
    parts[0] = str(sig, 32);
    parts[1] = str(pub, 32);
    parts[2] = msg;
    sha512(hash, parts, 3);
    h = BN_lebin2bn(hash, 64, NULL);

    order = NULL;
    ctx = BN_CTX_new();
    BN_hex2bn(&order, "10000000000000000000000000000000"
                      "14def9dea2f79cd65812631a5cf5d3ed");
    BN_mod_mul(h, h, a, order, ctx);
    BN_bn2lebinpad(h, sig + 32, 32);

    key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, pub, 32);
    md = EVP_MD_CTX_new();
    EVP_DigestVerifyInit(md, NULL, NULL, NULL, key);
    rc = EVP_DigestVerify(md, sig, 64, msg.data, msg.len);

    ok(rc == 1, "libcrypto takes a signature with R = 0");
    ok(aiq_ed25519_verify(c, pub, msg, str(sig, 64))
       == AIQ_D_TOKEN_SIGNATURE, "and we do not");

    EVP_MD_CTX_free(md);
    EVP_PKEY_free(key);
    BN_CTX_free(ctx);
    BN_free(order);
    BN_free(h);
    BN_free(a);
}


static void
test_wycheproof(aiq_crypto_t *c)
{
    int             good, want, right, total, valid;
    char           *text;
    size_t          len, i, k, mlen, slen;
    json_t         *root, *group, *test;
    aiq_rc_t        rc;
    const char     *hex;
    json_error_t    error;
    unsigned char   pub[32], sig[256], msg[8192];

    text = vectors("wycheproof/ed25519_test.json", &len);
    if (text == NULL) {
        skip("Wycheproof Ed25519", "the vectors are absent");
        return;
    }

    root = json_loadb(text, len, 0, &error);
    right = total = valid = 0;

    json_array_foreach(json_object_get(root, "testGroups"), i, group) {

        hex = json_string_value(json_object_get(json_object_get(group,
                                                "publicKey"), "pk"));
        if (hex == NULL || unhex(hex, pub, 32) != 32) {
            ok(0, "group %zu has a key", i);
            continue;
        }

        json_array_foreach(json_object_get(group, "tests"), k, test) {
            mlen = unhex(json_string_value(json_object_get(test, "msg")),
                         msg, sizeof(msg));
            slen = unhex(json_string_value(json_object_get(test, "sig")),
                         sig, sizeof(sig));
            want = strcmp(json_string_value(json_object_get(test, "result")),
                          "valid") == 0;

            rc = aiq_ed25519_verify(c, pub, str(msg, mlen), str(sig, slen));
            good = (rc == (want ? AIQ_OK : AIQ_D_TOKEN_SIGNATURE));

            if (!good) {
                diag("tcId %d: %s",
                     (int) json_integer_value(json_object_get(test, "tcId")),
                     aiq_reason(rc));
            }

            total++;
            valid += want;
            right += good;
        }
    }

    ok(total == (int) json_integer_value(json_object_get(root,
                                                         "numberOfTests"))
       && total > 0 && right == total,
       "Wycheproof Ed25519: %d of %d as expected, %d of them valid", right,
       total, valid);

    json_decref(root);
    free(text);
}


int
main(void)
{
    aiq_crypto_t  *c;

    c = aiq_crypto_new();
    if (!ok(c != NULL, "aiq_crypto_new")) {
        return done_testing();
    }

    test_rfc8032(c);
    test_sign(c);
    test_points(c);
    test_field();
    test_malleable(c);
    test_small_r(c);
    test_wycheproof(c);

    aiq_crypto_free(c);

    return done_testing();
}
