
/*
 * Copyright (C) ngx_armoriq authors
 */


#include "json_check.h"
#include "tap.h"


#define MUTATIONS   150000
#define DOCUMENTS   20000


static const char  body[] =
    "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":"
    "{\"name\":\"infra.restart\",\"arguments\":{\"service_id\":\"payments\","
    "\"caf\xc3\xa9\":\"\\ud83d\\ude02\",\"n\":[1,-2.5e3,true,false,null],"
    "\"empty\":{},\"none\":[]},\"_meta\":{\"progressToken\":\"a\\/b\"}}}";


static void order(void);
static void mutations(void);
static void documents(void);

static size_t value(char *p, size_t room, int level);
static uint32_t rnd(uint32_t n);


static uint32_t  seed = 2463534242u;


int
main(void)
{
    order();
    mutations();
    documents();

    return done_testing();
}


/* random sets of keys, drawn from what sorts badly */

static void
order(void)
{
    int        i, n, k, j, bad, good;
    char       s[4096];
    char      *p;
    aiq_rc_t   rc;

    static const char  *part[] = {
        "a", "b", "A", "\\u0061", "\\n", "\x7f", "\xc2\x80", "\xc3\xa9",
        "\\u00e9", "\xdf\xbf", "\xed\x9f\xbf", "\\ud7ff", "\xee\x80\x80",
        "\\ue000", "\xef\xac\xb3", "\xef\xbf\xbf", "\\uFFFF",
        "\xf0\x90\x80\x80", "\\ud800\\udc00", "\xf0\x9f\x98\x82",
        "\xf0\x9f\x98\x83", "\\ud83d\\ude02", "\xf4\x8f\xbf\xbf", "\\/", "/"
    };

    bad = 0;
    good = 0;

    for (i = 0; i < 20000; i++) {

        p = s;
        *p++ = '{';
        n = 1 + (int) rnd(12);

        for (k = 0; k < n; k++) {
            *p++ = '"';

            for (j = (int) rnd(4); j > 0; j--) {
                p += sprintf(p, "%s",
                             part[rnd(sizeof(part) / sizeof(part[0]))]);
            }

            p += sprintf(p, "\":%d,", k);
        }

        p[-1] = '}';

        if (!check_text(s, (size_t) (p - s), &rc)
            || (rc != AIQ_OK && rc != AIQ_D_JSON_DUPLICATE_KEY))
        {
            bad++;
        }

        good += (rc == AIQ_OK);
    }

    ok(bad == 0 && good > 5000 && good < 19000,
       "20000 sets of keys, %d without duplicates, %d wrong", good, bad);
}


static void
mutations(void)
{
    int          i, edits, bad;
    char         s[512];
    size_t       len, n, at, from;
    aiq_rc_t     rc;
    uint32_t     good;
    const char  *w;

    static const char  *text[] = {
        body,
        "[0,-0,1.5,1e5,-2E-3,0.1e+1,9007199254740991,1e21,5e-324]",
        "{\"a\":{\"b\":{\"c\":[[],{},[{}]]}},\"d\":\"\"}",
        "[\"\\ud83d\\ude02\",\"\\u00e9\xc3\xa9\",\"\\\\\\\"\\/\"]",
        "{\"z\":1,\"y\":2,\"x\":3,\"w\":4,\"v\":5,\"u\":6,\"t\":7}",
    };

    static const char  *word[] = {
        "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "\\u0000",
        "\\ud800", "\\udc00", "\\n", "null", "true", "false", "0", "-", "1",
        ".", "e", "E+", "9007199254740992", "1e400", " ", "\n", "\t",
        "\xef\xbb\xbf", "\xc0\x80", "\xed\xa0\x80", "\xf0\x9f\x98\x82",
        "\x01", "\x7f", "\xff", "/", "'", "\"a\":", "{}", "[]", "NaN"
    };

    bad = 0;
    good = 0;

    for (i = 0; i < MUTATIONS; i++) {

        w = text[rnd(sizeof(text) / sizeof(text[0]))];
        len = strlen(w);
        memcpy(s, w, len);

        for (edits = 1 + (int) rnd(3); edits > 0; edits--) {

            at = rnd((uint32_t) len + 1);

            switch (rnd(6)) {

            case 0:
                if (at < len) {
                    s[at] = (char) rnd(256);
                }

                break;

            case 1:
                if (at < len) {
                    s[at] ^= (char) (1 << rnd(8));
                }

                break;

            case 2:
                n = rnd(4);

                if (at + n < len) {
                    memmove(s + at, s + at + n, len - at - n);
                    len -= n;
                }

                break;

            case 3:
                from = rnd((uint32_t) len + 1);
                n = rnd(12);

                if (from + n <= len && at + n <= len) {
                    memmove(s + at, s + from, n);
                }

                break;

            default:
                w = word[rnd(sizeof(word) / sizeof(word[0]))];
                n = strlen(w);

                if (len + n <= sizeof(s)) {
                    memmove(s + at + n, s + at, len - at);
                    memcpy(s + at, w, n);
                    len += n;
                }

                break;
            }
        }

        if (!check_text(s, len, &rc)) {
            diag("%s (%s): %.*s", check_why, aiq_reason(rc), (int) len, s);
            bad++;
        }

        good += (rc == AIQ_OK);
    }

    ok(bad == 0 && good > MUTATIONS / 50,
       "%d mutations against jansson, %u accepted, %d wrong", MUTATIONS,
       good, bad);
}


static void
documents(void)
{
    int        i, bad;
    char       s[8192];
    size_t     len;
    aiq_rc_t   rc;
    uint32_t   good;

    bad = 0;
    good = 0;

    for (i = 0; i < DOCUMENTS; i++) {

        len = value(s, sizeof(s) - 64, 0);

        bad += !check_text(s, len, &rc)
               || (rc != AIQ_OK && rc != AIQ_D_JSON_DUPLICATE_KEY);

        good += (rc == AIQ_OK);
    }

    ok(bad == 0 && good > DOCUMENTS / 2,
       "%d documents against jansson, %u accepted, %d wrong", DOCUMENTS,
       good, bad);
}


/* a random value into p, room or a little more */

static size_t
value(char *p, size_t room, int level)
{
    size_t       n;
    uint32_t     i, k, object;
    const char  *blank;

    static const char  *scalar[] = {
        "null", "true", "false", "0", "-0", "-1", "12.5", "0.1", "1e-7",
        "123456789.123456789", "1e21", "3.0e2", "1e-320", "\"\"",
        "\"plain text of some length\"", "\"\xc3\xa9\xe2\x82\xac\"",
        "\"\\u00e9\\n\\ud83d\\ude02\"", "\"a\\\"b\\\\c\\/d\"",
        "2.2250738585072011e-308", "8.41e+21", "4.35", "0.30000000000000004"
    };

    static const char  *blanks[] = { "", "", "", " ", "\n\t" };

    blank = blanks[rnd(5)];

    if (level > 4 || room < 256 || (level && rnd(3))) {
        return (size_t) sprintf(p, "%s%s", blank,
                        scalar[rnd(sizeof(scalar) / sizeof(scalar[0]))]);
    }

    object = rnd(2);
    n = (size_t) sprintf(p, "%s%c", blank, object ? '{' : '[');
    k = rnd(6);

    for (i = 0; i < k && n + 256 < room; i++) {

        if (i) {
            p[n++] = ',';
        }

        if (object) {
            n += (size_t) sprintf(p + n, "%s\"%c%s%u\"%s:", blank,
                                  (char) ('a' + rnd(26)),
                                  rnd(4) ? "" : "\\u00e9", rnd(30), blank);
        }

        n += value(p + n, room - n, level + 1);
    }

    return n + (size_t) sprintf(p + n, "%s%c", blank, object ? '}' : ']');
}


/* xorshift: the same texts in every run */

static uint32_t
rnd(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;

    return seed % n;
}
