
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The memo by itself; that it changes no decision is in decide*.c.
 */


#include "tap.h"
#include "token_memo.h"


#define SLOTS   8


static aiq_token_memo_t *new_memo(unsigned slots);
static aiq_str_t sample(size_t len, char fill);
static void put(aiq_token_memo_t *m, aiq_str_t text, const char *jti,
    const char *policy);
static int has(const aiq_token_memo_t *m, aiq_str_t text, const char *jti);
static void test_round_trip(void);
static void test_copies(void);
static void test_lengths(void);
static void test_equal_ends(void);
static void test_every_byte(void);
static void test_replaced(void);
static void test_policy(void);
static void test_too_long(void);
static void test_slots(void);


static unsigned char  pub[AIQ_KEY_LEN];
static aiq_hash_t     ledger;


static aiq_token_memo_t *
new_memo(unsigned slots)
{
    void    *p;
    size_t   size;

    size = aiq_token_memo_size(slots);
    p = malloc(size);

    if (p == NULL) {
        printf("Bail out! no memory\n");
        exit(1);
    }

    memset(p, 0xff, size);

    return aiq_token_memo_init(p, slots);
}


/* a text of its own bytes: whoever reads too far is seen by ASAN */

static aiq_str_t
sample(size_t len, char fill)
{
    aiq_str_t   s;
    char       *p;

    p = malloc(len ? len : 1);

    if (p == NULL) {
        printf("Bail out! no memory\n");
        exit(1);
    }

    memset(p, fill, len);

    s.data = (unsigned char *) p;
    s.len = len;

    return s;
}


static void
drop(aiq_str_t s)
{
    free((void *) s.data);
}


static void
put(aiq_token_memo_t *m, aiq_str_t text, const char *jti, const char *policy)
{
    aiq_token_t  t;

    memset(&t, 0, sizeof(t));

    t.form = AIQ_TOKEN_JWS;
    t.kid = aiq_cstr("main");
    t.iss = aiq_cstr("armoriq");
    t.aud = aiq_cstr("armoriq-proxy");
    t.sub = aiq_cstr("alice");
    t.org = aiq_cstr("acme");
    t.agent = aiq_cstr("sysadmin");
    t.jti = aiq_cstr(jti);
    t.policy = aiq_cstr(policy);
    t.signed_text = text;
    t.exp = 1234;
    t.iat = 1000;
    t.nbf = 1001;
    t.steps = 3;
    t.aud_ok = 1;
    memset(t.plan_hash, 0x5a, AIQ_HASH_LEN);
    memset(t.id, 0x1d, AIQ_HASH_LEN);
    memset(t.signature, 0x51, AIQ_SIG_LEN);

    aiq_token_memo_put(m, text, &t, pub, ledger, NULL, NULL);
}


static int
has(const aiq_token_memo_t *m, aiq_str_t text, const char *jti)
{
    const aiq_memo_t  *e;

    e = aiq_token_memo_get(m, text);

    if (jti == NULL) {
        return e == NULL;
    }

    return e != NULL && aiq_str_is(e->token.jti, jti);
}


static void
test_round_trip(void)
{
    aiq_str_t           text;
    aiq_token_memo_t   *m;
    const aiq_memo_t   *e;

    m = new_memo(SLOTS);
    text = sample(200, 'x');

    ok(aiq_token_memo_get(m, text) == NULL, "a new memo is empty");

    put(m, text, "j-1", NULL);
    e = aiq_token_memo_get(m, text);

    ok(e != NULL && e->token.form == AIQ_TOKEN_JWS
       && aiq_str_is(e->token.kid, "main")
       && aiq_str_is(e->token.iss, "armoriq")
       && aiq_str_is(e->token.aud, "armoriq-proxy")
       && aiq_str_is(e->token.sub, "alice")
       && aiq_str_is(e->token.org, "acme")
       && aiq_str_is(e->token.agent, "sysadmin")
       && aiq_str_is(e->token.jti, "j-1")
       && e->token.key.len == 0 && e->token.policy.len == 0
       && e->policy == NULL
       && e->token.exp == 1234 && e->token.iat == 1000
       && e->token.nbf == 1001 && e->token.steps == 3 && e->token.aud_ok
       && e->token.plan_hash[31] == 0x5a && e->token.id[31] == 0x1d
       && e->token.signature[63] == 0x51
       && memcmp(e->public_key, pub, AIQ_KEY_LEN) == 0
       && memcmp(e->ledger, ledger, AIQ_HASH_LEN) == 0,
       "what was put in comes out");

    ok(e != NULL && e->token.signed_text.data == NULL
       && e->token.signed_text.len == 0,
       "but not where the token was in the request");

    ok(aiq_token_memo_init(m, SLOTS) == m
       && aiq_token_memo_get(m, text) == NULL,
       "in memory that was a memo before, a new one is empty as well");

    drop(text);
    free(m);
}


/* the request is gone by the time it is used */

static void
test_copies(void)
{
    char               jti[] = "j-1", sub[] = "alice", policy[64];
    aiq_str_t          text, same;
    aiq_token_t        t;
    aiq_token_memo_t  *m;
    const aiq_memo_t  *e;

    m = new_memo(SLOTS);
    text = sample(64, 'x');
    same = sample(64, 'x');

    strcpy(policy, "{\"allow\":[\"fs/read\"],\"rate_limit\":7}");

    memset(&t, 0, sizeof(t));
    t.jti = aiq_cstr(jti);
    t.sub = aiq_cstr(sub);
    t.policy = aiq_cstr(policy);

    aiq_token_memo_put(m, text, &t, pub, ledger, NULL, NULL);

    memset(jti, 'y', 3);
    memset(sub, 'y', 5);
    memset(policy, 'y', strlen(policy));
    memset((void *) text.data, 'y', text.len);
    memset(&t, 0xff, sizeof(t));

    e = aiq_token_memo_get(m, same);

    ok(e != NULL && aiq_str_is(e->token.jti, "j-1")
       && aiq_str_is(e->token.sub, "alice") && e->policy != NULL
       && aiq_policy_rate(e->policy) == 7
       && aiq_str_is(e->token.policy,
                     "{\"allow\":[\"fs/read\"],\"rate_limit\":7}"),
       "all of it is a copy");

    ok(aiq_token_memo_get(m, text) == NULL, "also the text itself");

    drop(text);
    drop(same);
    free(m);
}


static void
test_lengths(void)
{
    size_t             i;
    unsigned           n;
    aiq_str_t          text;
    aiq_token_memo_t  *m;

    static const struct {
        size_t    len;
        int       kept;
    } rows[] = {
        { 0, 0 }, { 1, 0 }, { 15, 0 }, { 16, 0 }, { 31, 0 }, { 32, 1 },
        { AIQ_MEMO_TEXT - 1, 1 }, { AIQ_MEMO_TEXT, 1 },
        { AIQ_MEMO_TEXT + 1, 0 }, { AIQ_TOKEN_MAX, 0 }
    };

    n = 0;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        m = new_memo(1);
        text = sample(rows[i].len, 'x');

        put(m, text, "j-1", NULL);

        n += has(m, text, rows[i].kept ? "j-1" : NULL);

        drop(text);
        free(m);
    }

    ok(n == i, "32 to %d bytes are kept", AIQ_MEMO_TEXT);

    m = new_memo(SLOTS);
    text.data = NULL;
    text.len = 0;

    put(m, text, "j-1", NULL);
    ok(has(m, text, NULL), "an empty text");

    free(m);
}


/* the end of the text chooses the place, all of it is compared */

static void
test_equal_ends(void)
{
    aiq_str_t          a, b, c;
    aiq_token_memo_t  *m;

    m = new_memo(SLOTS);
    a = sample(100, 'x');
    b = sample(100, 'x');
    c = sample(101, 'x');

    *(unsigned char *) b.data = 'y';

    put(m, a, "j-a", NULL);

    ok(has(m, a, "j-a") && has(m, b, NULL) && has(m, c, NULL),
       "another token with the same last bytes is another token");

    put(m, b, "j-b", NULL);

    ok(has(m, a, NULL) && has(m, b, "j-b") && has(m, c, NULL),
       "and takes its place");

    put(m, c, "j-c", NULL);

    ok(has(m, a, NULL) && has(m, b, NULL) && has(m, c, "j-c"),
       "so does a longer one");

    c.len = 100;
    c.data++;

    ok(has(m, c, NULL), "the end of a longer one is not it");

    c.data--;
    c.len = 101;

    drop(a);
    drop(b);
    drop(c);
    free(m);
}


static void
test_every_byte(void)
{
    size_t             i;
    unsigned           n;
    aiq_str_t          a, b;
    aiq_token_memo_t  *m;

    m = new_memo(1);
    a = sample(400, 'x');
    b = sample(400, 'x');

    put(m, a, "j-1", NULL);

    n = 0;

    for (i = 0; i < a.len; i++) {
        ((unsigned char *) b.data)[i] ^= 1;
        n += has(m, b, NULL);
        ((unsigned char *) b.data)[i] ^= 1;
    }

    ok(n == a.len && has(m, b, "j-1"), "every byte counts");

    drop(a);
    drop(b);
    free(m);
}


static void
test_replaced(void)
{
    aiq_str_t          a;
    aiq_hash_t         other;
    aiq_token_t        t;
    unsigned char      key[AIQ_KEY_LEN];
    aiq_token_memo_t  *m;
    const aiq_memo_t  *e;

    m = new_memo(1);
    a = sample(100, 'x');

    put(m, a, "j-1", "{\"rate_limit\":7}");

    memset(&t, 0, sizeof(t));
    memset(key, 0x77, sizeof(key));
    memset(other, 0x78, sizeof(other));
    t.jti = aiq_cstr("j-2");

    aiq_token_memo_put(m, a, &t, key, other, NULL, NULL);
    e = aiq_token_memo_get(m, a);

    ok(e != NULL && aiq_str_is(e->token.jti, "j-2") && e->policy == NULL
       && e->token.policy.len == 0 && e->token.sub.len == 0
       && memcmp(e->public_key, key, AIQ_KEY_LEN) == 0
       && memcmp(e->ledger, other, AIQ_HASH_LEN) == 0,
       "nothing of the one before is left");

    drop(a);
    free(m);
}


/* a policy that cannot be compiled is refused each time: it is not kept */

static void
test_policy(void)
{
    size_t              i;
    unsigned            n;
    aiq_str_t           a;
    aiq_token_memo_t   *m;
    aiq_policy_call_t   call;
    const aiq_memo_t   *e;

    static const struct {
        const char  *policy;
        int          kept;
    } rows[] = {
        { "{}", 1 },
        { "{\"allow\":[]}", 1 },
        { "{\"allow\":[\"a\"],\"deny\":[\"b\"]}", 1 },
        { "{\"alow\":[]}", 0 },
        { "{\"name\":\"x\"}", 0 },
        { "{", 0 },
        { "[]", 0 },
        { "{\"allow\":[]} ", 1 },
        { "{\"time_restrictions\":{\"timezone\":\"No/Where\"}}", 0 }
    };

    n = 0;
    a = sample(100, 'x');
    m = new_memo(1);

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        put(m, a, "j-1", NULL);
        put(m, a, "j-2", rows[i].policy);

        if (!has(m, a, rows[i].kept ? "j-2" : NULL)) {
            diag("%s", rows[i].policy);
            continue;
        }

        n++;
    }

    ok(n == i, "policies that compile, and others");

    memset(&call, 0, sizeof(call));
    call.mcp = aiq_cstr("fs");
    call.tool = aiq_cstr("read");

    put(m, a, "j-1", "{\"allow\":[\"fs/read\"]}");
    e = aiq_token_memo_get(m, a);

    ok(e != NULL && aiq_policy_eval_token(e->policy, &call) == AIQ_OK,
       "the policy allows");

    call.tool = aiq_cstr("write");

    ok(e != NULL && aiq_policy_eval_token(e->policy, &call)
                    == AIQ_D_POLICY_NOT_ALLOWED, "and denies");

    drop(a);
    free(m);
}


/* what does not fit is not half there */

static void
test_too_long(void)
{
    int                n;
    char              *policy, *p;
    unsigned           kept, gone;
    aiq_str_t          a;
    aiq_token_memo_t  *m;

    m = new_memo(1);
    a = sample(100, 'x');
    policy = malloc(65536);

    if (policy == NULL) {
        printf("Bail out! no memory\n");
        exit(1);
    }

    kept = 0;
    gone = 0;

    for (n = 0; n < 400; n++) {
        int  i;

        p = policy + sprintf(policy, "{\"allow\":[\"fs/read\"");

        for (i = 0; i < n; i++) {
            p += sprintf(p, ",\"t%d\"", i);
        }

        strcpy(p, "]}");

        put(m, a, "j-1", NULL);
        put(m, a, "j-2", policy);

        if (has(m, a, "j-2")) {
            kept++;

        } else if (has(m, a, NULL)) {
            gone++;
        }
    }

    ok(kept > 10 && gone > 10 && kept + gone == 400,
       "long policies are kept or not: %u are", kept);

    put(m, a, "j-3", NULL);
    ok(has(m, a, "j-3"), "and the place can be had again");

    drop(a);
    free(policy);
    free(m);
}


/* as many as there is room for, and whichever collide are read again */

static void
test_slots(void)
{
    char               jti[16], want[16];
    unsigned           i, k, found, slots;
    aiq_str_t          text[64];
    aiq_token_memo_t  *m;

    for (slots = 1; slots <= 64; slots *= 4) {
        m = new_memo(slots);

        for (i = 0; i < 64; i++) {
            text[i] = sample(120, 'x');

            /* where the last 16 bytes begin */

            for (k = 0; k < 8; k++) {
                ((unsigned char *) text[i].data)[104 + k] =
                                            (unsigned char) (i * 37 + k * 11);
            }

            snprintf(jti, sizeof(jti), "j-%u", i);
            put(m, text[i], jti, NULL);
        }

        found = 0;

        for (i = 0; i < 64; i++) {
            snprintf(want, sizeof(want), "j-%u", i);

            if (aiq_token_memo_get(m, text[i]) != NULL) {
                found += has(m, text[i], want) ? 1 : 1000;
            }

            drop(text[i]);
        }

        ok(found >= 1 && found <= slots && found >= slots / 3,
           "%u slots hold %u of 64", slots, found);

        free(m);
    }
}


int
main(void)
{
    memset(pub, 0x42, sizeof(pub));
    memset(ledger, 0x43, sizeof(ledger));

    test_round_trip();
    test_copies();
    test_lengths();
    test_equal_ends();
    test_every_byte();
    test_replaced();
    test_policy();
    test_too_long();
    test_slots();

    return done_testing();
}
