
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Guards what a witness signs and what is believed of a witness: no checkpoint
 * that does not continue the last one, no signature that is not over exactly
 * this text and time, and no witness that counts twice or for longer than it
 * has looked.
 */


#include "tap.h"
#include "cosign.h"


#define NOW    1795226400
#define MAX    40
#define NAME   "example.com/log"


static void test_known(void);
static void test_sign(void);
static void test_every_byte(void);
static void test_lists(void);
static void test_quorum(void);
static void test_age(void);
static void test_forms(void);
static void test_decide(void);
static void test_growth(void);
static void test_mutations(void);
static void keys(void);
static void tree(void);
static size_t proof_of(unsigned m, unsigned first, unsigned n, int b,
    aiq_hash_t *out);
static size_t proof(unsigned m, unsigned n, aiq_hash_t *out);
static size_t note_of(char *buf, size_t size, const char *origin,
    uint64_t n, const aiq_hash_t root, const aiq_vkey_t *v,
    const unsigned char *seed);
static unsigned ask(uint64_t old, uint64_t from, uint64_t n,
    const aiq_witness_state_t *state);
static unsigned decide(aiq_str_t body, const aiq_vkey_t *k, unsigned nk,
    const aiq_witness_state_t *state);


static aiq_crypto_t   *c;
static aiq_vkey_t      log_key, other_key, witness[3];
static unsigned char   log_seed[AIQ_KEY_LEN], other_seed[AIQ_KEY_LEN];
static unsigned char   seed[3][AIQ_KEY_LEN];
static aiq_hash_t      leaf[MAX], root[MAX + 1];


static void
keys(void)
{
    int            i;
    unsigned char  pub[AIQ_KEY_LEN];

    static const char  *const  names[] = {
        "example.com/w1", "example.com/w2", "example.com/w3"
    };

    memset(log_seed, 0x42, AIQ_KEY_LEN);
    aiq_ed25519_public(c, log_seed, pub);
    aiq_vkey_init(&log_key, aiq_cstr(NAME), pub, c);

    memset(other_seed, 0x43, AIQ_KEY_LEN);
    aiq_ed25519_public(c, other_seed, pub);
    aiq_vkey_init(&other_key, aiq_cstr(NAME), pub, c);

    for (i = 0; i < 3; i++) {
        memset(seed[i], i + 1, AIQ_KEY_LEN);
        aiq_ed25519_public(c, seed[i], pub);
        aiq_cosigner_init(&witness[i], aiq_cstr(names[i]), pub, c);
    }
}


static void
tree(void)
{
    unsigned  i;

    for (i = 0; i < MAX; i++) {
        memset(leaf[i], (int) i, AIQ_HASH_LEN);
    }

    for (i = 0; i <= MAX; i++) {
        aiq_merkle_root(c, (const aiq_hash_t *) leaf, i, root[i]);
    }
}


/* RFC 9162 2.1.4.1, word for word */

static size_t
proof_of(unsigned m, unsigned first, unsigned n, int b, aiq_hash_t *out)
{
    size_t    len;
    unsigned  k;

    if (m == n) {

        if (b) {
            return 0;
        }

        aiq_merkle_root(c, (const aiq_hash_t *) leaf + first, n, out[0]);
        return 1;
    }

    for (k = 1; k * 2 < n; k *= 2) {
        /* void */
    }

    if (m <= k) {
        len = proof_of(m, first, k, b, out);
        aiq_merkle_root(c, (const aiq_hash_t *) leaf + first + k, n - k,
                        out[len]);

    } else {
        len = proof_of(m - k, first + k, n - k, 0, out);
        aiq_merkle_root(c, (const aiq_hash_t *) leaf + first, k, out[len]);
    }

    return len + 1;
}


static size_t
proof(unsigned m, unsigned n, aiq_hash_t *out)
{
    return (m == 0 || m >= n) ? 0 : proof_of(m, 0, n, 1, out);
}


static size_t
note_of(char *buf, size_t size, const char *origin, uint64_t n,
    const aiq_hash_t r, const aiq_vkey_t *v, const unsigned char *s)
{
    char              text[1024];
    aiq_out_t         out;
    aiq_checkpoint_t  cp;

    cp.origin = aiq_cstr(origin);
    cp.size = n;
    memcpy(cp.root, r, AIQ_HASH_LEN);
    aiq_str_null(&cp.extension);

    aiq_out_init(&out, text, sizeof(text));
    aiq_checkpoint_write(&out, &cp);
    cp.origin = aiq_out_done(&out);

    aiq_out_init(&out, buf, size);
    aiq_note_sign(&out, cp.origin, v, s, c);

    return aiq_out_done(&out).len;
}


static unsigned
decide(aiq_str_t body, const aiq_vkey_t *k, unsigned nk,
    const aiq_witness_state_t *state)
{
    aiq_witness_request_t  r;

    return aiq_witness_parse(&r, body, NULL) == AIQ_OK
           ? aiq_witness_decide(&r, k, nk, state, c, NULL) : 400;
}


/* a request that says old, with the proof from there or from elsewhere */

static unsigned
ask(uint64_t old, uint64_t from, uint64_t n, const aiq_witness_state_t *state)
{
    char        buf[8192];
    aiq_out_t   out;
    aiq_hash_t  p[64];

    aiq_out_init(&out, buf, sizeof(buf));
    aiq_witness_write(&out, old, (const aiq_hash_t *) p,
                      (unsigned) proof((unsigned) from, (unsigned) n, p));

    out.pos += note_of((char *) out.pos, sizeof(buf) - 4096, NAME, n, root[n],
                       &log_key, log_seed);

    return decide(aiq_out_done(&out), &log_key, 1, state);
}


/* the key id is that of type 0x04, worked out by hand */

static void
test_known(void)
{
    char           buf[512];
    aiq_out_t      out;
    aiq_vkey_t     v;
    unsigned char  all[AIQ_NAME_MAX + AIQ_KEY_LEN], hash[AIQ_HASH_LEN];

    memcpy(all, "example.com/w1\n\x04", 16);
    memcpy(all + 16, witness[0].key, AIQ_KEY_LEN);

    aiq_sha256(c, (aiq_str_t) { 16 + AIQ_KEY_LEN, all }, hash);

    ok(memcmp(witness[0].id, hash, 4) == 0, "the id of a witness");

    aiq_out_init(&out, buf, sizeof(buf));
    aiq_vkey_write(&out, &witness[0]);

    ok(aiq_cosigner_parse(&v, aiq_out_done(&out), c, NULL) == AIQ_OK
       && memcmp(v.key, witness[0].key, AIQ_KEY_LEN) == 0, "its key");
    ok(aiq_vkey_parse(&v, aiq_out_done(&out), c, NULL) == AIQ_DECLINED,
       "is not one of a log");

    aiq_out_init(&out, buf, sizeof(buf));
    aiq_vkey_write(&out, &log_key);

    ok(aiq_cosigner_parse(&v, aiq_out_done(&out), c, NULL) == AIQ_DECLINED,
       "nor the other way round");
}


static void
test_sign(void)
{
    char        buf[4096];
    size_t      len;
    int64_t     when;
    aiq_rc_t    rc;
    aiq_out_t   out;
    aiq_str_t   line;
    aiq_note_t  n;
    aiq_vkey_t  v;

    len = note_of(buf, sizeof(buf), NAME, 7, root[7], &log_key, log_seed);

    aiq_note_parse(&n, (aiq_str_t) { len, (unsigned char *) buf }, NULL);
    aiq_out_init(&out, buf + len, sizeof(buf) - len);

    ok(aiq_cosign(&out, n.text, &witness[0], seed[0], NOW, c) == AIQ_OK,
       "a cosignature");
    ok(aiq_cosign(&out, n.text, &witness[1], seed[1], NOW + 5, c) == AIQ_OK,
       "and another one");

    len += aiq_out_done(&out).len;

    ok(aiq_note_parse(&n, (aiq_str_t) { len, (unsigned char *) buf }, NULL)
       == AIQ_OK, "in the note");
    ok(aiq_note_verify(&n, &log_key, 1, c, NULL) == AIQ_OK,
       "the log has signed it");
    ok(aiq_cosign_verify(&n, &witness[0], &when, &line, c, NULL) == AIQ_OK
       && when == NOW && line.len > 100 && line.data[line.len - 1] == '\n',
       "the first one");
    ok(aiq_cosign_verify(&n, &witness[1], &when, &line, c, NULL) == AIQ_OK
       && when == NOW + 5, "the second one");
    ok(aiq_cosign_verify(&n, &witness[2], &when, &line, c, NULL)
       == AIQ_DECLINED, "no third one");
    ok(aiq_note_verify(&n, &witness[0], 1, c, NULL) == AIQ_DECLINED,
       "a witness does not sign for the log");

    /* a key that has cosigned does not sign as a log, whatever its type */

    v = witness[0];
    v.type = AIQ_NOTE_ED25519;
    rc = aiq_note_verify(&n, &v, 1, c, NULL);
    ok(rc == AIQ_D_TOKEN_SIGNATURE, "nor with its type changed: %d",
       (int) rc);

    ok(aiq_cosign(&out, n.text, &witness[0], seed[0], 0, c) != AIQ_OK,
       "none without a time");
}


static void
test_every_byte(void)
{
    char        buf[4096], *at;
    size_t      i, len, first, bad;
    int64_t     when;
    aiq_rc_t    rc;
    aiq_out_t   out;
    aiq_str_t   line;
    aiq_note_t  n;

    len = note_of(buf, sizeof(buf), NAME, 7, root[7], &log_key, log_seed);

    aiq_note_parse(&n, (aiq_str_t) { len, (unsigned char *) buf }, NULL);
    aiq_out_init(&out, buf + len, sizeof(buf) - len);
    aiq_cosign(&out, n.text, &witness[0], seed[0], NOW, c);

    first = len;
    len += aiq_out_done(&out).len;
    at = strstr(buf, "\n\n");
    bad = 0;

    for (i = 0; i < len; i++) {

        if (buf + i > at && i < first) {
            continue;
        }

        buf[i] ^= 1;

        rc = aiq_note_parse(&n, (aiq_str_t) { len, (unsigned char *) buf },
                            NULL);

        if (rc == AIQ_OK
            && aiq_cosign_verify(&n, &witness[0], &when, &line, c, NULL)
               == AIQ_OK)
        {
            diag("byte %zu", i);
            bad++;
        }

        buf[i] ^= 1;
    }

    ok(bad == 0 && len > 200, "no byte of text or signature can be changed");
}


static void
test_lists(void)
{
    char        buf[1024];
    unsigned    i, n;
    aiq_out_t   out;
    aiq_vkey_t  v[3];

    aiq_out_init(&out, buf, sizeof(buf));

    for (i = 0; i < 3; i++) {
        aiq_vkey_write(&out, &witness[i]);
        aiq_out_str(&out, i ? " \t" : "\n");
    }

    ok(aiq_vkey_list(v, 3, &n, AIQ_NOTE_COSIGNATURE, aiq_out_done(&out), c,
                     NULL) == AIQ_OK && n == 3, "a list of keys");
    ok(aiq_vkey_list(v, 2, &n, AIQ_NOTE_COSIGNATURE, aiq_out_done(&out), c,
                     NULL) == AIQ_DECLINED, "of too many");
    ok(aiq_vkey_list(v, 3, &n, AIQ_NOTE_ED25519, aiq_out_done(&out), c, NULL)
       == AIQ_DECLINED, "of others");
    ok(aiq_vkey_list(v, 3, &n, AIQ_NOTE_ED25519, aiq_cstr(" \n"), c, NULL)
       == AIQ_OK && n == 0, "of none");
    ok(aiq_vkey_list(v, 3, &n, AIQ_NOTE_ED25519, aiq_cstr("a\x01 b"), c, NULL)
       == AIQ_DECLINED, "of nonsense");

    aiq_out_init(&out, buf, sizeof(buf));
    aiq_vkey_write(&out, &witness[0]);
    aiq_out_char(&out, ' ');
    v[0] = witness[0];
    aiq_cosigner_init(&v[0], aiq_cstr("example.com/x"), witness[0].key, c);
    aiq_vkey_write(&out, &v[0]);

    ok(aiq_vkey_list(v, 3, &n, AIQ_NOTE_COSIGNATURE, aiq_out_done(&out), c,
                     NULL) == AIQ_DECLINED, "one key under two names");
}


static void
test_quorum(void)
{
    char            buf[8192];
    size_t          len, all;
    unsigned        i, k;
    aiq_out_t       out;
    aiq_note_t      n;
    aiq_cosigned_t  r;

    len = note_of(buf, sizeof(buf), NAME, 7, root[7], &log_key, log_seed);
    aiq_note_parse(&n, (aiq_str_t) { len, (unsigned char *) buf }, NULL);
    aiq_out_init(&out, buf + len, sizeof(buf) - len);

    aiq_cosign(&out, n.text, &witness[0], seed[0], NOW - 20, c);
    aiq_cosign(&out, n.text, &witness[1], seed[1], NOW - 10, c);
    aiq_cosign(&out, n.text, &witness[2], seed[2], NOW - 30, c);

    all = len + aiq_out_done(&out).len;
    aiq_note_parse(&n, (aiq_str_t) { all, (unsigned char *) buf }, NULL);

    for (k = 1; k <= 3; k++) {
        aiq_cosigned(&n, witness, 3, k, NOW, &r, c, NULL);
        ok(r.good == 3 && r.wrong == 0 && r.when == NOW - (int) k * 10,
           "%u of three, since the %u. newest", k, k);
    }

    aiq_cosigned(&n, witness, 3, 4, NOW, &r, c, NULL);
    ok(r.good == 3 && r.when == 0, "four of three");
    aiq_cosigned(&n, witness + 2, 1, 1, NOW, &r, c, NULL);
    ok(r.good == 1 && r.when == NOW - 30, "only those that are asked for");

    aiq_cosigned(&n, witness, 3, 1, NOW - 10 - AIQ_COSIGN_SKEW - 1, &r, c,
                 NULL);
    ok(r.good == 2 && r.wrong == 1, "none of a time to come");

    /* a wrong one counts for nothing, and spoils no other */

    aiq_out_init(&out, buf + len, sizeof(buf) - len);
    aiq_cosign(&out, n.text, &witness[0], seed[1], NOW, c);
    aiq_cosign(&out, n.text, &witness[1], seed[1], NOW, c);

    for (i = 0; i < 5; i++) {
        aiq_cosign(&out, n.text, &witness[1], seed[1], NOW, c);
    }

    all = len + aiq_out_done(&out).len;
    aiq_note_parse(&n, (aiq_str_t) { all, (unsigned char *) buf }, NULL);
    aiq_cosigned(&n, witness, 3, 1, NOW, &r, c, NULL);
    ok(r.good == 1 && r.wrong == 1, "by another key; and one six times");
}


static void
test_age(void)
{
    aiq_witnessed_t  w;

    memset(&w, 0, sizeof(w));

    ok(aiq_witnessed_age(&w, NOW) == INT64_MAX, "nothing yet");

    aiq_witnessed(&w, 0, NOW, 0);
    ok(aiq_witnessed_age(&w, NOW) == INT64_MAX, "nothing of nothing");

    aiq_witnessed(&w, 10, NOW, 10);
    ok(aiq_witnessed_age(&w, NOW + 7) == 7, "seconds since");
    ok(aiq_witnessed_age(&w, NOW - 100) == 0, "a clock that was set back");

    aiq_witnessed(&w, 10, NOW + 50, 10);
    ok(aiq_witnessed_age(&w, NOW + 60) == 10, "the newest once more");

    aiq_witnessed(&w, 10, NOW + 100, 11);
    ok(aiq_witnessed_age(&w, NOW + 100) == 50,
       "an old one once more is not fresh");

    aiq_witnessed(&w, 11, NOW + 101, 12);
    ok(aiq_witnessed_age(&w, NOW + 102) == 1, "a newer one is");

    aiq_witnessed(&w, 10, NOW + 200, 10);
    ok(w.size == 11 && aiq_witnessed_age(&w, NOW + 201) == 100,
       "one that was put back is none");

    aiq_witnessed(&w, 11, NOW, 11);
    ok(aiq_witnessed_age(&w, NOW + 201) == 100, "nor an older signature");
}


static void
test_forms(void)
{
    char                   buf[8192], note[1024];
    size_t                 i, len;
    unsigned               k;
    aiq_out_t              out;
    aiq_hash_t             p[64];
    aiq_witness_state_t    none;
    aiq_witness_request_t  r;

    static const char  *const  bad[] = {
        "", "\n", "old", "old \n\n", "old 01\n\n", "old -1\n\n", "old 1",
        "old 1\n", "new 1\n\n", "old 1 \n\n", "old 1\nx\n\n", "Old 1\n\n",
        "old 1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n\n",
        "old 1\r\n\r\n", "old 1000000000000000000\n\n", "old  1\n\n"
    };

    memset(&none, 0, sizeof(none));
    note[note_of(note, sizeof(note), NAME, 7, root[7], &log_key, log_seed)]
        = '\0';

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(buf, sizeof(buf), "%s%s", bad[i], note);
        ok(aiq_witness_parse(&r, aiq_cstr(buf), NULL) != AIQ_OK,
           "no request, %zu", i);
    }

    snprintf(buf, sizeof(buf), "old 0\n\n%s", note);
    ok(aiq_witness_parse(&r, aiq_cstr(buf), NULL) == AIQ_OK && r.old == 0
       && r.count == 0 && r.checkpoint.size == 7
       && aiq_str_is(r.text, note), "a request");

    len = strlen(buf);

    for (i = 0, k = 0; i < len; i++) {
        k += (decide((aiq_str_t) { i, (unsigned char *) buf }, &log_key, 1,
                     &none) == 200);
    }

    ok(k == 0, "cut off anywhere it is none");

    memset(p, 1, sizeof(p));

    for (k = 63; k < 65; k++) {
        aiq_out_init(&out, buf, sizeof(buf));
        aiq_witness_write(&out, 3, (const aiq_hash_t *) p, k);
        aiq_out_str(&out, note);

        ok((aiq_witness_parse(&r, aiq_out_done(&out), NULL) == AIQ_OK)
           == (k == 63), "%u hashes", k);
    }
}


static void
test_decide(void)
{
    char                   buf[2048];
    size_t                 len;
    aiq_vkey_t             both[2];
    aiq_hash_t             wrong;
    aiq_witness_state_t    none, at;

    memset(&none, 0, sizeof(none));
    memset(wrong, 0x77, sizeof(wrong));

    ok(ask(0, 0, 7, &none) == 200, "the first checkpoint");
    ok(ask(0, 0, 0, &none) == 200, "of an empty log");

    at.size = 7;
    memcpy(at.root, root[7], AIQ_HASH_LEN);

    ok(ask(7, 7, 11, &at) == 200, "a later one");
    ok(ask(7, 7, 7, &at) == 200, "the same");
    ok(ask(0, 0, 11, &at) == 409, "without a word of the last one");
    ok(ask(6, 6, 11, &at) == 409, "from before it");
    ok(ask(8, 8, 11, &at) == 409, "from behind it");
    ok(ask(6, 6, 6, &at) == 409, "the log was put back");
    ok(ask(7, 7, 6, &at) == 400, "and says so itself");
    ok(ask(7, 6, 11, &at) == 422, "with another proof");
    ok(ask(7, 0, 11, &at) == 422, "without one");

    memcpy(at.root, wrong, AIQ_HASH_LEN);
    ok(ask(7, 7, 11, &at) == 422, "of another log");
    ok(ask(7, 7, 7, &at) == 422, "of the same size");
    ok(ask(0, 3, 7, &none) == 422, "a proof from nothing");

    len = (size_t) snprintf(buf, sizeof(buf), "old 0\n\n");
    len += note_of(buf + len, sizeof(buf) - len, NAME, 0, wrong, &log_key,
                   log_seed);
    ok(decide((aiq_str_t) { len, (unsigned char *) buf }, &log_key, 1, &none)
       == 422, "an empty log with a root");

    /* keys */

    len = (size_t) snprintf(buf, sizeof(buf), "old 0\n\n");
    len += note_of(buf + len, sizeof(buf) - len, NAME, 7, root[7], &other_key,
                   other_seed);
    both[0] = log_key;
    both[1] = other_key;

    ok(decide((aiq_str_t) { len, (unsigned char *) buf }, &log_key, 1, &none)
       == 403, "another key");
    ok(decide((aiq_str_t) { len, (unsigned char *) buf }, both, 2, &none)
       == 200, "one of two keys");
    ok(decide((aiq_str_t) { len, (unsigned char *) buf }, NULL, 0, &none)
       == 404, "an unknown log");

    len = (size_t) snprintf(buf, sizeof(buf), "old 0\n\n");
    len += note_of(buf + len, sizeof(buf) - len, "example.com/log2", 7,
                   root[7], &log_key, log_seed);
    ok(decide((aiq_str_t) { len, (unsigned char *) buf }, &log_key, 1, &none)
       == 404, "another origin under this key");

    len = (size_t) snprintf(buf, sizeof(buf), "old 0\n\n");
    len += note_of(buf + len, sizeof(buf) - len, NAME, 7, root[7], &log_key,
                   other_seed);
    ok(decide((aiq_str_t) { len, (unsigned char *) buf }, &log_key, 1, &none)
       == 403, "a wrong signature");
}


/* from every size to every other one, and no other proof will do */

static void
test_growth(void)
{
    unsigned             m, n, k, bad;
    aiq_witness_state_t  at;

    bad = 0;

    for (m = 1; m <= MAX; m++) {
        at.size = m;
        memcpy(at.root, root[m], AIQ_HASH_LEN);

        for (n = 1; n <= MAX; n++) {
            bad += (ask(m, m, n, &at) != (n < m ? 400u : 200u));

            k = m % 3 ? m + 1 : m - 1;

            if (n > m && k < n && k) {
                bad += (ask(m, k, n, &at) == 200
                        && proof(k, n, (aiq_hash_t[64]) { { 0 } })
                           != proof(m, n, (aiq_hash_t[64]) { { 0 } }));
            }
        }
    }

    ok(bad == 0, "all of %d x %d", MAX, MAX);
}


static void
test_mutations(void)
{
    char                 buf[4096];
    size_t               i, len, good;
    aiq_out_t            out;
    aiq_hash_t           p[64];
    aiq_witness_state_t  at;

    at.size = 7;
    memcpy(at.root, root[7], AIQ_HASH_LEN);

    aiq_out_init(&out, buf, sizeof(buf));
    aiq_witness_write(&out, 7, (const aiq_hash_t *) p,
                      (unsigned) proof(7, 20, p));
    out.pos += note_of((char *) out.pos, 1024, NAME, 20, root[20], &log_key,
                       log_seed);
    len = aiq_out_done(&out).len;
    good = 0;

    ok(decide(aiq_out_done(&out), &log_key, 1, &at) == 200, "as it is");

    for (i = 0; i < len; i++) {
        buf[i] ^= 1;
        good += (decide((aiq_str_t) { len, (unsigned char *) buf }, &log_key,
                        1, &at) == 200);
        buf[i] ^= 1;
    }

    ok(len > 400 && good == 0, "no byte of %zu can be changed", len);

    for (i = 0; i < AIQ_HASH_LEN; i++) {
        at.root[i] ^= 1;
        good += (decide((aiq_str_t) { len, (unsigned char *) buf }, &log_key,
                        1, &at) == 200);
        at.root[i] ^= 1;
    }

    ok(good == 0, "nor one of what the witness knows");
}


int
main(void)
{
    c = aiq_crypto_new();

    keys();
    tree();

    test_known();
    test_sign();
    test_every_byte();
    test_lists();
    test_quorum();
    test_age();
    test_forms();
    test_decide();
    test_growth();
    test_mutations();

    aiq_crypto_free(c);

    return done_testing();
}
