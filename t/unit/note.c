
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Guards the form of checkpoints: what other implementations of C2SP notes
 * have signed verifies here, and one byte that differs does not.
 */


#include "tap.h"
#include "note.h"


#define DASH  "\xe2\x80\x94 "


static void test_vkeys(aiq_crypto_t *c);
static void test_known(aiq_crypto_t *c);
static void test_every_byte(aiq_crypto_t *c);
static void test_forms(aiq_crypto_t *c);
static void test_sign(aiq_crypto_t *c);
static void test_many(aiq_crypto_t *c);
static void test_checkpoints(aiq_crypto_t *c);
static aiq_rc_t verify(aiq_crypto_t *c, aiq_str_t note, const char *vkey);


/* the example of c2sp.org/signed-note, and that of Go's sumdb/note */

static const char  c2sp_key[] =
    "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
static const char  c2sp_note[] =
    "This is an example message.\n\n" DASH "example.com/foo Uw2QOkn8srV1yJGh2"
    "VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72Iney"
    "aQM=\n";

static const char  peter_key[] =
    "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
static const char  enoch_key[] =
    "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
static const char  go_note[] =
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    DASH "PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1"
    "FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    DASH "EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF"
    "1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";


static aiq_rc_t
verify(aiq_crypto_t *c, aiq_str_t note, const char *vkey)
{
    aiq_rc_t    rc;
    aiq_note_t  n;
    aiq_vkey_t  key;

    rc = aiq_vkey_parse(&key, aiq_cstr(vkey), c, NULL);

    if (rc == AIQ_OK) {
        rc = aiq_note_parse(&n, note, NULL);
    }

    return rc == AIQ_OK ? aiq_note_verify(&n, &key, 1, c, NULL) : rc;
}


static void
test_vkeys(aiq_crypto_t *c)
{
    char        text[512];
    unsigned    i;
    aiq_err_t   err;
    aiq_out_t   out;
    aiq_vkey_t  key;

    static const char  *const  bad[] = {
        "", "+", "++", "a", "a+530d903a",
        "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530D903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/fob+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+BekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k=",
        "x+00000000+AQEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    };

    static const char  *const  good[] = { c2sp_key, peter_key, enoch_key };

    for (i = 0; i < 3; i++) {
        aiq_out_init(&out, text, sizeof(text));

        if (aiq_vkey_parse(&key, aiq_cstr(good[i]), c, &err) == AIQ_OK) {
            aiq_vkey_write(&out, &key);
        }

        ok(aiq_str_is(aiq_out_done(&out), good[i]), "key %.16s", good[i]);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ok(aiq_vkey_parse(&key, aiq_cstr(bad[i]), c, &err) == AIQ_DECLINED,
           "no key: \"%s\"", bad[i]);
    }
}


static void
test_known(aiq_crypto_t *c)
{
    aiq_note_t  n;
    aiq_vkey_t  keys[2];

    ok(verify(c, aiq_cstr(c2sp_note), c2sp_key) == AIQ_OK,
       "the example of C2SP");
    ok(verify(c, aiq_cstr(go_note), peter_key) == AIQ_OK,
       "two signatures, the first key known");
    ok(verify(c, aiq_cstr(go_note), enoch_key) == AIQ_OK,
       "the second key known");
    ok(verify(c, aiq_cstr(go_note), c2sp_key) == AIQ_DECLINED,
       "no key known");

    (void) aiq_vkey_parse(&keys[0], aiq_cstr(peter_key), c, NULL);
    (void) aiq_vkey_parse(&keys[1], aiq_cstr(enoch_key), c, NULL);

    ok(aiq_note_parse(&n, aiq_cstr(go_note), NULL) == AIQ_OK
       && n.text.len == 99
       && aiq_note_verify(&n, keys, 2, c, NULL) == AIQ_OK,
       "both keys known");

    /* one that is known and wrong counts more than one that is right */

    keys[1].key[0] ^= 1;

    ok(aiq_note_verify(&n, keys, 2, c, NULL) == AIQ_D_TOKEN_SIGNATURE,
       "one of both is wrong");

    keys[1].key[0] ^= 1;
    keys[1].id[0] ^= 1;

    ok(aiq_note_verify(&n, keys, 2, c, NULL) == AIQ_OK,
       "the same name with another id is another key");
}


static void
test_every_byte(aiq_crypto_t *c)
{
    char      text[sizeof(c2sp_note)];
    size_t    i;
    unsigned  bit, good;

    good = 0;

    for (i = 0; i < sizeof(c2sp_note) - 1; i++) {

        for (bit = 0; bit < 8; bit++) {
            memcpy(text, c2sp_note, sizeof(text));
            text[i] = (char) (text[i] ^ 1 << bit);

            good += verify(c, (aiq_str_t) { sizeof(text) - 1,
                                            (unsigned char *) text },
                           c2sp_key)
                    == AIQ_OK;
        }
    }

    ok(good == 0, "no bit can be flipped (%u)", good);

    good = 0;

    for (i = 0; i < sizeof(c2sp_note) - 1; i++) {
        good += verify(c, (aiq_str_t) { i, (const unsigned char *) c2sp_note },
                       c2sp_key)
                == AIQ_OK;
    }

    ok(good == 0, "nothing can be cut off (%u)", good);
}


static void
test_forms(aiq_crypto_t *c)
{
    unsigned    i;
    aiq_note_t  n;

    static const char  *const  bad[] = {
        "", "\n", "\n\n", "a\n", "a\n\n", "a\n\nb\n",
        "a\n" DASH "k AAAAAAA=\n",
        "a\n\n- k AAAAAAA=\n",
        "a\n\n\xe2\x80\x94k AAAAAAA=\n",
        "a\n\n" DASH "k AAAAAAA=",
        "a\n\n" DASH "k AAAAAA==\n",
        "a\n\n" DASH "k AAAAAAA\n",
        "a\n\n" DASH "k  AAAAAAA=\n",
        "a\n\n" DASH " AAAAAAA=\n",
        "a\n\n" DASH "k+ AAAAAAA=\n",
        "a\n\n" DASH "k\xc2\xa0k AAAAAAA=\n",
        "a\n\n" DASH "k AAAAAAA= \n",
        "a\r\n\n" DASH "k AAAAAAA=\n",
        "a\t\n\n" DASH "k AAAAAAA=\n",
        "a\xff\n\n" DASH "k AAAAAAA=\n",
        "a\n\n" DASH "k AAAAAAA=\nx\n"
    };

    ok(aiq_note_parse(&n, aiq_cstr("a\n\n" DASH "k AAAAAAA=\n"), NULL)
       == AIQ_OK, "a note");
    ok(aiq_note_parse(&n, aiq_cstr("a\n\nb\n\n" DASH "k AAAAAAA=\n"), NULL)
       == AIQ_OK && aiq_str_is(n.text, "a\n\nb\n"),
       "the last empty line divides");

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ok(aiq_note_parse(&n, aiq_cstr(bad[i]), NULL) == AIQ_DECLINED,
           "no note %u", i);
    }
}


static void
test_sign(aiq_crypto_t *c)
{
    char           text[1024];
    aiq_out_t      out;
    aiq_str_t      note;
    aiq_note_t     n;
    aiq_vkey_t     key;
    unsigned char  seed[AIQ_KEY_LEN], pub[AIQ_KEY_LEN];

    memset(seed, 7, sizeof(seed));

    ok(aiq_ed25519_public(c, seed, pub) == AIQ_OK
       && aiq_vkey_init(&key, aiq_cstr("example.com/log"), pub, c) == AIQ_OK,
       "a key");

    aiq_out_init(&out, text, sizeof(text));

    ok(aiq_note_sign(&out, aiq_cstr("text\n"), &key, seed, c) == AIQ_OK,
       "signed");

    note = aiq_out_done(&out);

    ok(aiq_note_parse(&n, note, NULL) == AIQ_OK
       && aiq_str_is(n.text, "text\n")
       && aiq_note_verify(&n, &key, 1, c, NULL) == AIQ_OK, "and verified");

    aiq_out_init(&out, text, sizeof(text));

    ok(aiq_note_sign(&out, aiq_cstr("text"), &key, seed, c) == AIQ_E_INTERNAL
       && aiq_note_sign(&out, aiq_cstr("a\rb\n"), &key, seed, c)
          == AIQ_E_INTERNAL
       && aiq_out_done(&out).len == 0, "what is no text is not signed");

    aiq_out_init(&out, text, 64);

    ok(aiq_note_sign(&out, aiq_cstr("text\n"), &key, seed, c)
       == AIQ_E_INTERNAL, "no room");

    ok(aiq_vkey_init(&key, aiq_cstr("a b"), pub, c) == AIQ_DECLINED,
       "a name with a blank");
}


/* C2SP: at least 16 signatures are to be accepted */

static void
test_many(aiq_crypto_t *c)
{
    char       text[16384];
    unsigned   i, n;
    aiq_out_t  out;

    for (n = 16; n <= AIQ_NOTE_SIGS + 1; n += AIQ_NOTE_SIGS - 16) {

        aiq_out_init(&out, text, sizeof(text));
        aiq_out_str(&out, "This is an example message.\n\n");

        for (i = 1; i < n; i++) {
            aiq_out_str(&out, DASH "other.example/");
            aiq_out_int(&out, i);
            aiq_out_str(&out, " AAAAAAAA\n");
        }

        aiq_out_str(&out, c2sp_note + 29);

        ok(verify(c, aiq_out_done(&out), c2sp_key) == AIQ_OK,
           "ours is the last one of %u signatures", n);

        if (n == AIQ_NOTE_SIGS) {
            aiq_out_str(&out, DASH "k AAAAAAAA\n");

            ok(verify(c, aiq_out_done(&out), c2sp_key) == AIQ_DECLINED,
               "one more is too many");
            break;
        }
    }
}


static void
test_checkpoints(aiq_crypto_t *c)
{
    char              text[1024];
    unsigned          i;
    aiq_out_t         out;
    aiq_checkpoint_t  cp;

    static const char  root[] =
        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";

    static const char  *const  bad[] = {
        "", "\n", "o\n", "o\n1\n", "\n1\n%", "o\n01\n%", "o\n\n%", "o\n-1\n%",
        "o\n+1\n%", "o\n 1\n%", "o\n1 \n%", "o\n0x1\n%",
        "o\n18446744073709551616\n%", "o\n1000000000000000000\n%",
        "o\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=\n",
        "o\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuF==\n",
        "o\n1\n47DEQpj8HBSa-_TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        "o\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "o\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU\n",
        "o\n1\n%\n", "o\n1\n%ext"
    };

    static const char  *const  good[] = {
        "o\n0\n%", "o\n1\n%", "o\n999999999999999999\n%", "a b\n1\n%ext\n",
        "o\n1\n%ext\nmore\n"
    };

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        const char  *p;

        p = strchr(good[i], '%');
        snprintf(text, sizeof(text), "%.*s%s%s", (int) (p - good[i]), good[i],
                 root, p + 1);

        ok(aiq_checkpoint_parse(&cp, aiq_cstr(text), NULL) == AIQ_OK,
           "checkpoint %u", i);

        aiq_out_init(&out, text + 512, 512);
        aiq_checkpoint_write(&out, &cp);

        ok(aiq_str_is(aiq_out_done(&out), text), "and the same again");
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char  *p;

        p = strchr(bad[i], '%');

        if (p) {
            snprintf(text, sizeof(text), "%.*s%s%s", (int) (p - bad[i]),
                     bad[i], root, p + 1);

        } else {
            snprintf(text, sizeof(text), "%s", bad[i]);
        }

        ok(aiq_checkpoint_parse(&cp, aiq_cstr(text), NULL) == AIQ_DECLINED,
           "no checkpoint %u", i);
    }
}


int
main(void)
{
    aiq_crypto_t  *c;

    c = aiq_crypto_new();

    if (c == NULL) {
        printf("Bail out! no libcrypto\n");
        return 1;
    }

    test_vkeys(c);
    test_known(c);
    test_every_byte(c);
    test_forms(c);
    test_sign(c);
    test_many(c);
    test_checkpoints(c);

    aiq_crypto_free(c);

    return done_testing();
}
