
/*
 * Copyright (C) ngx_armoriq authors
 */


#include "b64.h"
#include "tap.h"


typedef struct {
    const char  *plain;
    const char  *std;
    const char  *url;
} b64_known_t;


static void known(void);
static void refused(void);
static void every_byte(void);
static void one_text(void);
static void round_trip(void);
static void hex(void);

static int url_is(const char *text, size_t len, aiq_rc_t want);
static int std_is(const char *text, aiq_rc_t want);


int
main(void)
{
    known();
    refused();
    every_byte();
    one_text();
    round_trip();
    hex();

    return done_testing();
}


static void
known(void)
{
    size_t         i, len;
    aiq_out_t      out;
    aiq_str_t      s;
    unsigned char  buf[64], back[64];

    /* RFC 4648 10, and bytes that need the last two letters */

    static const b64_known_t  t[] = {
        { "", "", "" },
        { "f", "Zg==", "Zg" },
        { "fo", "Zm8=", "Zm8" },
        { "foo", "Zm9v", "Zm9v" },
        { "foob", "Zm9vYg==", "Zm9vYg" },
        { "fooba", "Zm9vYmE=", "Zm9vYmE" },
        { "foobar", "Zm9vYmFy", "Zm9vYmFy" },
        { "\xfb\xef\xbe", "++++", "----" },
        { "\xff\xff\xff", "////", "____" },
        { "\xfb\xff", "+/8=", "-_8" },
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {

        aiq_out_init(&out, buf, sizeof(buf));
        aiq_b64url_encode(&out, (const unsigned char *) t[i].plain,
                          strlen(t[i].plain));
        s = aiq_out_done(&out);

        ok(aiq_str_is(s, t[i].url)
           && s.len == aiq_b64_encoded_len(strlen(t[i].plain)),
           "base64url of %zu bytes: \"%s\"", strlen(t[i].plain), t[i].url);

        ok(aiq_b64url_decode(s, back, &len) == AIQ_OK
           && len == strlen(t[i].plain)
           && memcmp(back, t[i].plain, len) == 0,
           "and back");

        aiq_out_init(&out, buf, sizeof(buf));
        aiq_b64_encode(&out, (const unsigned char *) t[i].plain,
                       strlen(t[i].plain));
        s = aiq_out_done(&out);

        ok(aiq_str_is(s, t[i].std), "base64: \"%s\"", t[i].std);

        ok(aiq_b64_decode(s, back, &len) == AIQ_OK
           && len == strlen(t[i].plain)
           && memcmp(back, t[i].plain, len) == 0,
           "and back");
    }
}


static void
refused(void)
{
    size_t  i;

    static const char  *url[] = {
        "A", "AAAAA", "=", "Zg=", "Zg==", "Zm8=", "Zm9v=", "Zm9v====",
        "Zm9+", "Zm9/", "+g", "/g", " Zm9v", "Zm9v ", "Zm 9v", "Zm9v\n",
        "Zm9v\r\n", "Zm\t9", "Zm9v.", "Zm9v,", "Zm9v:", "\"Zm9v\"",
        "Zh", "Zi", "Zv", "Zz", "Zm9", "Zm-", "Zm9vYh", "Zm9vYmF",
        "Zm9\x80", "\xc3\xa9" "AA", "AAAA\xff\xff\xff\xff", "AA%3D"
    };

    static const char  *std[] = {
        "A", "AA", "AAA", "AAAAA", "=", "==", "====", "A===", "AA=A", "=AAA",
        "Zg=", "Zg", "Zm8", "Zm9v=", "Zm9v==", "Zm9v===", "Zm9v====",
        "Zh==", "Zm9=", "Zm9-", "Zm9_", "Zg==Zg==", "Zg== ", " Zg==", "Zg=\n",
        "Zm9v\n", "Zm9v\nZm9", "AA\xff=", "Zm9v, Zm9"
    };

    for (i = 0; i < sizeof(url) / sizeof(url[0]); i++) {
        ok(url_is(url[i], strlen(url[i]), AIQ_D_TOKEN_MALFORMED),
           "base64url refuses item %zu", i);
    }

    ok(url_is("Zm9\0", 4, AIQ_D_TOKEN_MALFORMED), "base64url refuses a NUL");
    ok(url_is("\0\0", 2, AIQ_D_TOKEN_MALFORMED), "and two of them");

    for (i = 0; i < sizeof(std) / sizeof(std[0]); i++) {
        ok(std_is(std[i], AIQ_D_TOKEN_MALFORMED), "base64 refuses item %zu",
           i);
    }
}


/* each of 256 bytes at each place of a group of two, three and four */

static void
every_byte(void)
{
    int          c, bad, is;
    char         s[4];
    size_t       len, i;
    const char  *set;

    set = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    bad = 0;

    for (len = 2; len <= 4; len++) {
        for (i = 0; i < len; i++) {
            for (c = 0; c < 256; c++) {

                memset(s, 'A', sizeof(s));
                s[i] = (char) c;

                is = (c != 0 && strchr(set, c) != NULL);

                /* the last letter of a short group has unused bits */

                if (is && i == len - 1 && len < 4) {
                    is = (strchr(set, c) - set) % (len == 2 ? 16 : 4) == 0;
                }

                bad += !url_is(s, len, is ? AIQ_OK : AIQ_D_TOKEN_MALFORMED);
            }
        }
    }

    ok(bad == 0, "every byte at every place: %d wrong", bad);
}


/* of all texts of two and three letters, one for each value */

static void
one_text(void)
{
    char            s[3];
    int             seen;
    size_t          i, n, len;
    aiq_out_t       out;
    aiq_str_t       in;
    const char     *set;
    unsigned char   buf[8], back[8];

    set = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    for (n = 2; n <= 3; n++) {

        seen = 0;

        for (i = 0; i < (n == 2 ? 4096 : 262144); i++) {

            s[0] = set[i & 63];
            s[1] = set[i >> 6 & 63];
            s[2] = set[i >> 12 & 63];

            in.data = (unsigned char *) s;
            in.len = n;

            if (aiq_b64url_decode(in, buf, &len) != AIQ_OK) {
                continue;
            }

            aiq_out_init(&out, back, sizeof(back));
            aiq_b64url_encode(&out, buf, len);

            if (!aiq_str_eq(aiq_out_done(&out), in)) {
                seen = -1;
                break;
            }

            seen++;
        }

        ok(seen == (n == 2 ? 256 : 65536), "%zu letters: %d values", n, seen);
    }
}


static void
round_trip(void)
{
    int             bad;
    size_t          n, i, len;
    uint32_t        x;
    aiq_out_t       out;
    unsigned char  *in, *back;
    unsigned char   text[512];

    x = 2463534242u;
    bad = 0;

    for (n = 0; n < 300; n++) {

        /* exactly as large as the header says, for the sanitizer */

        in = malloc(n + 1);
        back = malloc(aiq_b64_decoded_max(aiq_b64_encoded_len(n)));

        if (in == NULL || back == NULL) {
            abort();
        }

        for (i = 0; i < n; i++) {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            in[i] = (unsigned char) x;
        }

        aiq_out_init(&out, text, aiq_b64_encoded_len(n));
        aiq_b64url_encode(&out, in, n);

        bad += out.failed
               || aiq_b64url_decode(aiq_out_done(&out), back, &len) != AIQ_OK
               || len != n || memcmp(in, back, n) != 0;

        aiq_out_init(&out, text, (n + 2) / 3 * 4);
        aiq_b64_encode(&out, in, n);

        bad += out.failed
               || aiq_b64_decode(aiq_out_done(&out), back, &len) != AIQ_OK
               || len != n || memcmp(in, back, n) != 0;

        if (n) {
            aiq_out_init(&out, text, aiq_b64_encoded_len(n) - 1);
            aiq_b64url_encode(&out, in, n);

            bad += !out.failed;
        }

        free(in);
        free(back);
    }

    ok(bad == 0, "0..299 random bytes there and back: %d wrong", bad);
}


static void
hex(void)
{
    size_t         i;
    unsigned char  buf[4];

    static const char  *bad[] = {
        "", "0", "00", "0011223", "001122334", "0011223344", "001122GG",
        "001122Ff", "0011223A", "001122 3", "0x112233", "001122\xff\xff",
        "00112:33", "00112`33", "00112g33", "00112/33", "-0112233"
    };

    ok(aiq_hex_decode(aiq_cstr("00ff7a9c"), buf, 4) == AIQ_OK
       && memcmp(buf, "\x00\xff\x7a\x9c", 4) == 0,
       "hexadecimal");

    ok(aiq_hex_decode(aiq_cstr(""), buf, 0) == AIQ_OK, "of nothing");

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ok(aiq_hex_decode(aiq_cstr(bad[i]), buf, 4) == AIQ_DECLINED,
           "hexadecimal refuses \"%s\"", i < 11 ? bad[i] : "...");
    }

    ok(aiq_hex_decode(aiq_cstr(""), buf, SIZE_MAX / 2 + 1) == AIQ_DECLINED,
       "a length that wraps around is not zero");
}


static int
url_is(const char *text, size_t len, aiq_rc_t want)
{
    int             pass;
    size_t          n;
    aiq_str_t       s;
    unsigned char  *in, *out;

    /* of exact size, for the sanitizer */

    in = malloc(len ? len : 1);
    out = malloc(aiq_b64_decoded_max(len));

    if (in == NULL || out == NULL) {
        abort();
    }

    memcpy(in, text, len);

    s.data = in;
    s.len = len;
    n = 12345;

    pass = aiq_b64url_decode(s, out, &n) == want
           && (want == AIQ_OK || n == 0);

    free(in);
    free(out);

    return pass;
}


static int
std_is(const char *text, aiq_rc_t want)
{
    size_t         n;
    unsigned char  out[64];

    n = 12345;

    return aiq_b64_decode(aiq_cstr(text), out, &n) == want
           && (want == AIQ_OK || n == 0);
}
