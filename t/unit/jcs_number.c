
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <inttypes.h>
#include <math.h>

#include "jcs.h"
#include "tap.h"


#define ROUND_TRIPS   200000
#define LINES         100000


static void edges(void);
static void powers(void);
static void round_trips(void);
static void decimals(void);
static void numgen(void);

static int number_is(double v, const char *want);
static int canonical_is(const char *text, aiq_str_t want);
static int hash_is(const unsigned char *hash, const char *want);
static double bits(uint64_t u);
static uint64_t rnd(void);


static uint64_t  seed = 88172645463325252ULL;


int
main(void)
{
    edges();
    powers();
    round_trips();
    decimals();
    numgen();

    return done_testing();
}


static void
edges(void)
{
    size_t  i;
    char    out[32];

    static const struct {
        double       v;
        const char  *want;
    } t[] = {
        { 0.0, "0" }, { -0.0, "0" }, { 1.0, "1" }, { -1.0, "-1" },
        { 10, "10" }, { 100, "100" }, { 123456789, "123456789" },
        { 0.1, "0.1" }, { 0.2, "0.2" }, { 0.1 + 0.2, "0.30000000000000004" },
        { 1.0 / 3, "0.3333333333333333" }, { 2.0 / 3, "0.6666666666666666" },
        { 4.35, "4.35" }, { 1.5, "1.5" }, { -1.5, "-1.5" },
        { 1e-5, "0.00001" }, { 1e-6, "0.000001" }, { 1e-7, "1e-7" },
        { 1.5e-7, "1.5e-7" }, { 1.234e-6, "0.000001234" },
        { 9.999999999999997e-7, "9.999999999999997e-7" },
        { 1.2345678901234567e-6, "0.0000012345678901234567" },
        { -1.2345678901234567e-6, "-0.0000012345678901234567" },
        { 1e15, "1000000000000000" }, { 1e16, "10000000000000000" },
        { 1e20, "100000000000000000000" },
        { 999999999999999900000.0, "999999999999999900000" },
        { 1e21, "1e+21" }, { 1e22, "1e+22" }, { 1.5e21, "1.5e+21" },
        { 1e23, "1e+23" }, { 9.5e22, "9.5e+22" },
        { 123456789012345680000.0, "123456789012345680000" },
        { 1.2345678901234568e29, "1.2345678901234568e+29" },
        { 9007199254740991.0, "9007199254740991" },
        { 9007199254740992.0, "9007199254740992" },
        { 9007199254740994.0, "9007199254740994" },
        { 4503599627370495.5, "4503599627370495.5" },
        { 2251799813685247.75, "2251799813685247.8" },
        { 18446744073709551616.0, "18446744073709552000" },
        { 9223372036854775808.0, "9223372036854776000" },
        { 590295810358705700000.0, "590295810358705700000" },
        { 5e-324, "5e-324" }, { 1e-323, "1e-323" }, { -5e-324, "-5e-324" },
        { 2.2250738585072014e-308, "2.2250738585072014e-308" },
        { 2.225073858507201e-308, "2.225073858507201e-308" },
        { 1.7976931348623157e308, "1.7976931348623157e+308" },
        { -1.7976931348623157e308, "-1.7976931348623157e+308" },
        { 5.684341886080802e-14, "5.684341886080802e-14" },
        { 333333333.33333329, "333333333.3333333" },
        { 1424953923781206.25, "1424953923781206.2" },
        { 0x1p-1074 * 3, "1.5e-323" },
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        ok(number_is(t[i].v, t[i].want), "number %s", t[i].want);
    }

    ok(aiq_jcs_number(bits(0x7ff0000000000000ULL), out) == 0
       && aiq_jcs_number(bits(0xfff0000000000000ULL), out) == 0
       && aiq_jcs_number(bits(0x7ff8000000000000ULL), out) == 0
       && aiq_jcs_number(bits(0x7ff0000000000001ULL), out) == 0,
       "infinities and NaN are no JSON");
}


/*
 * All powers of two with both neighbors.  There the nearest decimal is not
 * always the one that reads back.  The hash is that of what V8 prints.
 */

static void
powers(void)
{
    int             d;
    char            number[32];
    uint64_t        e;
    aiq_out_t       out;
    aiq_crypto_t   *c;
    unsigned char  *text;
    unsigned char   hash[AIQ_HASH_LEN];

    ok(number_is(0x1p-44, "5.684341886080802e-14"), "two to the minus 44th");

    c = aiq_crypto_new();
    text = malloc(6144 * 32);

    if (c == NULL || text == NULL) {
        ok(0, "libcrypto and memory");
        exit(1);
    }

    aiq_out_init(&out, text, 6144 * 32);

    for (e = 0; e < 2047; e++) {
        for (d = (e == 0) ? 0 : -1; d <= 1; d++) {
            aiq_out_mem(&out, number,
                        aiq_jcs_number(bits((e << 52) + (uint64_t) d),
                                       number));
            aiq_out_char(&out, '\n');
        }
    }

    ok(!out.failed && aiq_sha256(c, aiq_out_done(&out), hash) == AIQ_OK
       && hash_is(hash, "cb43e4be5e6081aeb091ce789d0a7558"
                        "314c668c123d9895460901dbbb3c858c"),
       "all powers of two and their neighbors as V8 prints them");

    free(text);
    aiq_crypto_free(c);
}


static void
round_trips(void)
{
    int       i, n, bad, longer;
    char      s[64], less[64];
    char     *p;
    size_t    len;
    double    v;

    bad = 0;
    longer = 0;

    for (i = 0; i < ROUND_TRIPS; i++) {

        /* all bits random, or numbers as people write them */

        v = bits(rnd());

        if (i & 1) {
            v = ((double) (int64_t) (rnd() >> 24)) / pow(10, rnd() % 16);
        }

        if (!isfinite(v)) {
            continue;
        }

        len = aiq_jcs_number(v, s);
        s[len] = '\0';

        if (len == 0 || len > 25 || strtod(s, NULL) != v) {
            diag("%a: %s", v, s);
            bad++;
        }

        /* one digit less is another number */

        for (n = 0, p = s; *p != '\0' && *p != 'e'; p++) {
            n += (*p >= '0' && *p <= '9');
        }

        for (p = s; *p == '-' || *p == '0' || *p == '.'; p++) {
            n -= (*p == '0');
        }

        if (n > 1 && strchr(s, '.') != NULL) {
            snprintf(less, sizeof(less), "%.*e", n - 2, v);
            longer += (strtod(less, NULL) == v);
        }
    }

    ok(bad == 0, "%d doubles there and back", ROUND_TRIPS);
    ok(longer == 0, "and none is longer than it must be");
}


/* short decimals are copied: is that what printing them gives? */

static void
decimals(void)
{
    int         i, n, bad;
    char        s[64], number[32];
    char       *p;
    double      v;
    aiq_str_t   c;

    bad = 0;

    for (i = 0; i < ROUND_TRIPS; i++) {

        p = s;

        if (rnd() & 1) {
            *p++ = '-';
        }

        n = (int) (rnd() % 12);

        if (n == 0) {
            *p++ = '0';

        } else {
            *p++ = (char) ('1' + rnd() % 9);
        }

        while (--n > 0) {
            *p++ = (char) ('0' + rnd() % 10);
        }

        *p++ = '.';

        /* zeros often */

        for (n = 1 + (int) (rnd() % 12); n > 0; n--) {
            *p++ = (char) ('0' + ((rnd() % 3) ? 0 : rnd() % 10));
        }

        if (rnd() % 8 == 0) {
            p += sprintf(p, "e%d", (int) (rnd() % 9) - 8);
        }

        *p = '\0';
        v = strtod(s, NULL);

        c.data = (unsigned char *) number;
        c.len = aiq_jcs_number(v, number);

        if (aiq_json_number((unsigned char *) s, (size_t) (p - s)) != v
            || !canonical_is(s, c))
        {
            diag("%s: %.*s", s, (int) c.len, number);
            bad++;
        }
    }

    ok(bad == 0, "%d decimals as written and as printed", ROUND_TRIPS);
}


/*
 * The sequence that the authors of RFC 8785 publish hashes of: fixed values,
 * 2000 doubles from the smallest normal one up, then what SHA-256 of the hash
 * before gives, as little-endian doubles.
 */

static void
numgen(void)
{
    char           *file, *line, *p, *text;
    size_t          i, n, used;
    uint64_t        u, serial;
    aiq_out_t       out;
    aiq_str_t       block;
    aiq_crypto_t   *c;
    unsigned char   hash[AIQ_HASH_LEN], sum[AIQ_HASH_LEN];

    static const struct {
        size_t       lines;
        const char  *hash;
    } t[] = {
        { 1000,
          "be18b62b6f69cdab33a7e0dae0d9cfa869fda80ddc712221570f9f40a5878687" },
        { 10000,
          "b9f7a8e75ef22a835685a52ccba7f7d6bdc99e34b010992cbc5864cd12be6892" },
        { LINES,
          "22776e6d4b49fa294a0d0f349268e5c28808fe7e0cb2bcbe28f63894e494d4c7" },
    };

    file = vectors("jcs/numgen-static.txt", NULL);

    if (file == NULL) {
        skip("numgen", "the vectors are not there");
        return;
    }

    c = aiq_crypto_new();
    text = malloc(LINES * 48);

    if (c == NULL || text == NULL) {
        ok(0, "libcrypto and memory");
        exit(1);
    }

    memset(hash, 0, sizeof(hash));
    block.data = hash;
    block.len = sizeof(hash);

    aiq_out_init(&out, text, LINES * 48);

    line = file;
    used = sizeof(hash);
    serial = 0;

    for (n = 1; n <= LINES; n++) {

        u = strtoull(line, &p, 16);

        if (p != line) {
            line = p;

        } else if (serial < 2000) {
            u = 0x0010000000000000ULL + serial++;

        } else {
            do {
                if (used == sizeof(hash)) {
                    (void) aiq_sha256(c, block, hash);
                    used = 0;
                }

                for (u = 0, i = 8; i > 0; i--) {
                    u = u << 8 | hash[used + i - 1];
                }

                used += 8;

            } while (bits(u) == 0 || !isfinite(bits(u)));
        }

        out.pos += sprintf((char *) out.pos, "%" PRIx64 ",", u);
        out.pos += aiq_jcs_number(bits(u), (char *) out.pos);
        *out.pos++ = '\n';

        for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {

            if (n == t[i].lines) {
                (void) aiq_sha256(c, aiq_out_done(&out), sum);
                ok(hash_is(sum, t[i].hash), "%zu lines of numgen", n);
            }
        }
    }

    free(text);
    free(file);
    aiq_crypto_free(c);
}


static int
number_is(double v, const char *want)
{
    char       out[32];
    aiq_str_t  s;

    s.data = (unsigned char *) out;
    s.len = aiq_jcs_number(v, out);

    return aiq_str_is(s, want);
}


static int
canonical_is(const char *text, aiq_str_t want)
{
    aiq_mem_t       mem;
    aiq_out_t       out;
    aiq_json_t      doc;
    unsigned char   tape[256], buf[64];

    mem.pos = tape;
    mem.end = tape + sizeof(tape);

    if (aiq_json_parse(&doc, aiq_cstr(text), 64, &mem, NULL) != AIQ_OK) {
        return 0;
    }

    aiq_out_init(&out, buf, sizeof(buf));
    aiq_jcs_write(&out, &doc, 0, AIQ_JCS);

    return !out.failed && aiq_str_eq(aiq_out_done(&out), want);
}


static int
hash_is(const unsigned char *hash, const char *want)
{
    char       hex[AIQ_HASH_LEN * 2];
    aiq_out_t  out;

    aiq_out_init(&out, hex, sizeof(hex));
    aiq_out_hex(&out, hash, AIQ_HASH_LEN);

    return aiq_str_is(aiq_out_done(&out), want);
}


static double
bits(uint64_t u)
{
    double  v;

    memcpy(&v, &u, sizeof(v));

    return v;
}


/* xorshift: the same numbers in every run */

static uint64_t
rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return seed;
}
