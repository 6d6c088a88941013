
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Guards the chain of keys of a log: a checkpoint is signed by the key of its
 * time and by no other, wherever the change of a key was stopped; and nobody
 * becomes a key of the log without the signature of the one before.
 */


#include "audit_log.h"

#include "audit_checkpoint.h"
#include "audit_key.h"


#define SEEDS  8


static void test_rotate(void);
static void test_running(void);
static void test_crash(void);
static void test_every_byte(void);
static void test_forged(void);
static void test_record(void);
static void test_between(void);
static void test_missing(void);
static void test_kept(void);
static void test_alone(void);
static void test_log_json(void);
static aiq_rc_t seed_of(void *data, const aiq_vkey_t *key, unsigned n,
    unsigned char seed[AIQ_KEY_LEN], aiq_err_t *err);
static aiq_audit_signer_t *signer(const char *dir);
static uint64_t sign(aiq_audit_signer_t *s);
static aiq_rc_t rekey(const char *dir, int c, aiq_audit_rekeyed_t *r);
static void add(const char *dir, unsigned n);
static int keys(const char *dir, aiq_audit_keys_t *k);
static int signed_by(const char *dir, const aiq_audit_keys_t *k);
static char *rotated(void);
static size_t key_note(char *buf, size_t size, int old, int new, int by,
    const char *origin, uint64_t at);
static void root_of(const char *dir, unsigned n, aiq_hash_t root);
static aiq_str_t key_body(const char *note, size_t len, char *buf,
    size_t size);


/* bytes that seeds consist of; a signer finds the one of its key */

static const int  seeds[SEEDS] = { 0x42, 0x43, 0x44, 0x45, 0x46, 0x47 };

static int  hidden;                   /* this one cannot be read */
static int  asked;


static aiq_rc_t
seed_of(void *data, const aiq_vkey_t *key, unsigned n,
    unsigned char seed[AIQ_KEY_LEN], aiq_err_t *err)
{
    int            i;
    unsigned char  pub[AIQ_KEY_LEN];

    asked++;

    for (i = 0; i < SEEDS && seeds[i]; i++) {

        memset(seed, seeds[i], AIQ_KEY_LEN);

        if (seeds[i] != hidden
            && aiq_ed25519_public(crypto, seed, pub) == AIQ_OK
            && memcmp(pub, key->key, AIQ_KEY_LEN) == 0)
        {
            return AIQ_OK;
        }
    }

    return aiq_fail(err, AIQ_E_STORE_UNAVAILABLE, "there is no such seed");
}


static aiq_audit_signer_t *
signer(const char *dir)
{
    aiq_err_t            err;
    aiq_audit_signer_t  *s;

    return aiq_audit_signer_open(&s, dir, seed_of, NULL, &err) == AIQ_OK
           ? s : NULL;
}


/* the size that is signed now, or 0 */

static uint64_t
sign(aiq_audit_signer_t *s)
{
    aiq_err_t           err;
    aiq_audit_signed_t  done;

    err.text[0] = '\0';

    if (aiq_audit_checkpoint(s, 0, &done, &err) == AIQ_OK) {
        return done.size;
    }

    diag("sign: %s", err.text);

    return 0;
}


static aiq_rc_t
rekey(const char *dir, int c, aiq_audit_rekeyed_t *r)
{
    aiq_rc_t             rc;
    aiq_err_t            err;
    unsigned char        seed[AIQ_KEY_LEN];
    aiq_audit_signer_t  *s;

    s = signer(dir);

    if (s == NULL) {
        return AIQ_E_INTERNAL;
    }

    memset(seed, c, sizeof(seed));
    err.text[0] = '\0';

    rc = aiq_audit_rekey(s, seed, BASE, r, &err);

    if (rc != AIQ_OK) {
        diag("rekey: %s", err.text);
    }

    aiq_audit_signer_close(s);

    return rc;
}


static void
add(const char *dir, unsigned n)
{
    char          buf[1024];
    aiq_err_t     err;
    aiq_audit_t  *log;

    log = reopen(dir);

    while (n--) {
        if (put(log, body_event("CLOSE", buf, sizeof(buf)), NULL, &err)
            != AIQ_OK)
        {
            diag("append: %s", err.text);
        }
    }

    aiq_audit_close(log);
}


static int
keys(const char *dir, aiq_audit_keys_t *k)
{
    int        fd;
    aiq_rc_t   rc;
    aiq_err_t  err;

    fd = open(dir, O_RDONLY|O_DIRECTORY);
    rc = aiq_audit_keys(fd, k, crypto, &err);
    close(fd);

    return rc == AIQ_OK ? (int) k->n : -1;
}


/* the number of the key that has signed the newest checkpoint, or -1 */

static int
signed_by(const char *dir, const aiq_audit_keys_t *k)
{
    int               n;
    char             *text;
    unsigned          i;
    aiq_str_t         note;
    aiq_checkpoint_t  cp;

    text = slurp(path(dir, "checkpoint"), &note.len);
    note.data = (unsigned char *) text;
    n = -1;

    for (i = 0; i < k->n; i++) {

        if (aiq_checkpoint_open(&cp, note, &k->key[i], 1, crypto, NULL)
            == AIQ_OK)
        {
            n = (int) i;
        }
    }

    free(text);

    return n;
}


static void
test_rotate(void)
{
    char                 *dir, *a, *b;
    size_t                la, lb;
    uint64_t              size;
    aiq_audit_keys_t      k;
    aiq_audit_report_t    r;
    aiq_audit_rekeyed_t   done;

    dir = fresh();

    ok(rekey(dir, 0x43, &done) == AIQ_DECLINED && !done.begun,
       "not before there are records");

    a = slurp(path(dir, "log.json"), &la);

    add(dir, 5);

    ok(rekey(dir, 0x43, &done) == AIQ_OK, "a new key");
    ok(done.from == 5 && done.seq == 6 && done.size == 6,
       "the old one has signed 5 records, the new one the KEY record");
    ok(keys(dir, &k) == 2 && k.from[1] == 5, "two keys");
    ok(signed_by(dir, &k) == 1, "the newest checkpoint is by the new one");
    ok(verify(dir, &r) == 0 && r.keys == 2 && r.covered == 6
       && r.checkpoints == 2 && r.warnings == 0, "verify");

    add(dir, 3);
    ok(rekey(dir, 0x44, &done) == AIQ_OK && done.from == 9 && done.seq == 10,
       "and another one");
    add(dir, 3);

    size = sign(signer(dir));

    ok(size == 13 && keys(dir, &k) == 3 && signed_by(dir, &k) == 2,
       "it signs from then on");
    ok(verify(dir, &r) == 0 && r.keys == 3 && r.covered == 13, "verify");

    b = slurp(path(dir, "log.json"), &lb);
    ok(la == lb && memcmp(a, b, la) == 0, "log.json stays as it is");

    ok(aiq_audit_keys_of(&k, 0) == 0 && aiq_audit_keys_of(&k, 5) == 0
       && aiq_audit_keys_of(&k, 6) == 1 && aiq_audit_keys_of(&k, 9) == 1
       && aiq_audit_keys_of(&k, 10) == 2 && aiq_audit_keys_of(&k, 1000) == 2,
       "each has its sizes");

    ok(rekey(dir, 0x43, &done) != AIQ_OK && !done.begun,
       "none comes a second time");
    ok(verify(dir, NULL) == 0, "which has done no harm");
}


/* a signer that was open all the time, as that of a worker */

static void
test_running(void)
{
    char                 *dir;
    aiq_err_t             err;
    aiq_audit_keys_t      k;
    aiq_audit_signed_t    done;
    aiq_audit_signer_t   *s;
    aiq_audit_rekeyed_t   re;

    dir = fresh();
    add(dir, 3);

    s = signer(dir);
    ok(sign(s) == 3, "a signer");

    asked = 0;
    add(dir, 1);
    ok(sign(s) == 4 && asked == 0, "which keeps its seed");

    rekey(dir, 0x43, &re);
    add(dir, 2);

    ok(sign(s) == 7 && keys(dir, &k) == 2 && signed_by(dir, &k) == 1,
       "sees that there is a new key, and signs with that");

    rekey(dir, 0x44, &re);
    add(dir, 1);
    hidden = 0x44;

    ok(aiq_audit_checkpoint(s, 0, &done, &err) == AIQ_E_STORE_UNAVAILABLE,
       "without its seed it does not sign");
    ok(aiq_audit_checkpoint(s, 0, &done, &err) == AIQ_E_STORE_UNAVAILABLE,
       "and not the second time");
    ok(verify(dir, NULL) == 0, "the log verifies");

    hidden = 0;
    ok(sign(s) == 9 && keys(dir, &k) == 3 && signed_by(dir, &k) == 2,
       "with the seed it goes on");
    ok(verify(dir, NULL) == 0, "the log verifies");

    aiq_audit_signer_close(s);
}


/* killed before each change of the disk */

static void
test_crash(void)
{
    int                   i, code, bad, stuck, keyed;
    char                 *dir;
    pid_t                 pid;
    aiq_audit_keys_t      k;
    aiq_audit_report_t    r;
    aiq_audit_signer_t   *s;
    aiq_audit_rekeyed_t   re;

    bad = stuck = keyed = 0;

    for (i = 1; i < 200; i++) {

        dir = fresh();
        add(dir, 4);

        pid = fork();

        if (pid == 0) {
            die_in = i;
            _exit(rekey(dir, 0x43, &re) == AIQ_OK ? 0 : 1);
        }

        waitpid(pid, &code, 0);

        if (code == 0) {
            break;
        }

        if (verify(dir, &r) != 0) {
            diag("killed at %d: %d, %s", i, (int) r.code, r.text);
            bad++;
        }

        add(dir, 2);

        s = signer(dir);

        if (s == NULL || sign(s) < 6 || verify(dir, &r) != 0 || r.warnings
            || keys(dir, &k) < 1 || signed_by(dir, &k) != (int) k.n - 1
            || r.keys != k.n)
        {
            diag("killed at %d: cannot go on: %s", i, r.text);
            stuck++;
        }

        keyed += (k.n == 2);

        aiq_audit_signer_close(s);

        if (rekey(dir, 0x44, &re) != AIQ_OK || verify(dir, &r) != 0) {
            diag("killed at %d: no new key", i);
            stuck++;
        }
    }

    ok(i > 15 && i < 200, "killed at each of %d places", i - 1);
    ok(bad == 0, "the log verifies");
    ok(stuck == 0, "the next one who signs goes on");
    ok(keyed > 3 && keyed < i - 4, "with the old key or the new one, %d",
       keyed);
}


/* a log with two keys, and records before and behind */

static char *
rotated(void)
{
    char                 *dir;
    aiq_audit_rekeyed_t   re;

    dir = fresh();

    add(dir, 5);
    rekey(dir, 0x43, &re);
    add(dir, 2);
    sign(signer(dir));

    return dir;
}


static void
test_every_byte(void)
{
    char                *dir, *text, *copy;
    size_t               i, len, bad;
    aiq_audit_keys_t     k;
    aiq_audit_report_t   r;

    dir = rotated();
    text = slurp(path(dir, "keys"), &len);
    copy = malloc(len);
    bad = 0;

    for (i = 0; i < len; i++) {
        memcpy(copy, text, len);
        copy[i] ^= 1;
        spit(path(dir, "keys"), copy, len);

        if (keys(dir, &k) != -1 || verify(dir, &r) != AIQ_AUDIT_SIGNATURE) {
            diag("byte %zu: %d, %s", i, (int) r.code, r.text);
            bad++;
        }
    }

    ok(len > 300 && bad == 0, "%zu bytes of the file of keys", len);

    for (i = 1, bad = 0; i < len; i++) {
        spit(path(dir, "keys"), text, i);
        bad += (keys(dir, &k) != -1 || verify(dir, NULL) == 0);
    }

    ok(bad == 0, "cut off anywhere");

    memcpy(copy, text, len);
    text = realloc(text, 2 * len);
    memcpy(text + len, copy, len);
    spit(path(dir, "keys"), text, 2 * len);
    ok(keys(dir, &k) == -1, "doubled");

    spit(path(dir, "keys"), copy, len);
    ok(verify(dir, NULL) == 0, "as it was");
}


/* signed by whom the caller says */

static size_t
key_note(char *buf, size_t size, int old, int new, int by, const char *origin,
    uint64_t at)
{
    int             i, c[3];
    aiq_out_t       out;
    aiq_hash_t      root;
    aiq_vkey_t      v[3];
    unsigned char   seed[3][AIQ_KEY_LEN], pub[AIQ_KEY_LEN];

    c[0] = old;
    c[1] = new;
    c[2] = by;

    for (i = 0; i < 3; i++) {
        memset(seed[i], c[i], AIQ_KEY_LEN);
        aiq_ed25519_public(crypto, seed[i], pub);
        aiq_vkey_init(&v[i], str(origin), pub, crypto);
    }

    memset(root, 7, sizeof(root));
    aiq_out_init(&out, buf, size);
    aiq_audit_key_note(&out, &v[0], seed[2], &v[1], seed[1], at, root,
                       crypto);

    return aiq_out_done(&out).len;
}


static void
test_forged(void)
{
    char               buf[AIQ_AUDIT_KEY_NOTE], *p;
    size_t             i, len;
    aiq_rc_t           rc;
    aiq_str_t          note;
    aiq_audit_keys_t   k;

    static const struct {
        int          old, new, by;
        const char  *origin;
        uint64_t     at;
        aiq_rc_t     rc;
        const char  *name;
    } tests[] = {
        { 0x42, 0x43, 0x42, "example.com/audit", 5, AIQ_OK, "as it is" },
        { 0x42, 0x43, 0x99, "example.com/audit", 5, AIQ_D_TOKEN_SIGNATURE,
          "not signed by the old key" },
        { 0x42, 0x43, 0x43, "example.com/audit", 5, AIQ_D_TOKEN_SIGNATURE,
          "signed by the new key alone" },
        { 0x44, 0x43, 0x44, "example.com/audit", 5, AIQ_D_TOKEN_SIGNATURE,
          "behind another key" },
        { 0x42, 0x42, 0x42, "example.com/audit", 5, AIQ_D_TOKEN_SIGNATURE,
          "the same key" },
        { 0x42, 0x43, 0x42, "example.com/other", 5, AIQ_D_TOKEN_SIGNATURE,
          "of another log" },
        { 0x42, 0x43, 0x42, "example.com/audit", 0, AIQ_D_TOKEN_SIGNATURE,
          "before any record" }
    };

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        keys(rotated(), &k);
        k.n = 1;

        note.data = (unsigned char *) buf;
        note.len = key_note(buf, sizeof(buf), tests[i].old, tests[i].new,
                            tests[i].by, tests[i].origin, tests[i].at);

        rc = aiq_audit_keys_add(&k, note, crypto, NULL);
        ok(rc == tests[i].rc && k.n == (rc == AIQ_OK ? 2u : 1u),
           "a note %s: %d", tests[i].name, (int) rc);
    }

    /* without the signature of the new key */

    len = key_note(buf, sizeof(buf), 0x42, 0x43, 0x42, "example.com/audit",
                   5);
    p = memrchr(buf, '\n', len - 1);

    k.n = 1;
    note.len = (size_t) (p + 1 - buf);
    ok(aiq_audit_keys_add(&k, note, crypto, NULL) == AIQ_D_TOKEN_SIGNATURE,
       "a note that the new key has not signed");

    /* the second one must cover more than the first */

    note.len = len;
    ok(aiq_audit_keys_add(&k, note, crypto, NULL) == AIQ_OK, "two keys");
    note.len = key_note(buf, sizeof(buf), 0x43, 0x44, 0x43,
                        "example.com/audit", 5);
    ok(aiq_audit_keys_add(&k, note, crypto, NULL) == AIQ_D_TOKEN_SIGNATURE,
       "a key that signs nothing");
    note.len = key_note(buf, sizeof(buf), 0x43, 0x42, 0x43,
                        "example.com/audit", 6);
    ok(aiq_audit_keys_add(&k, note, crypto, NULL) == AIQ_D_TOKEN_SIGNATURE,
       "an old key again");
}


/* KEY records that do not belong to the chain, or are not what it says */

static void
test_record(void)
{
    int                   n;
    char                 *dir, *log, *at, *two;
    char                  buf[4096], note[AIQ_AUDIT_KEY_NOTE];
    size_t                len;
    aiq_err_t             err;
    aiq_audit_t          *a;
    aiq_audit_keys_t      k;
    aiq_audit_report_t    r;
    aiq_audit_signed_t    done;
    aiq_audit_signer_t   *s;

    for (n = 0; n < 3; n++) {
        dir = fresh();
        add(dir, 5);
        s = signer(dir);
        sign(s);

        len = n == 0 ? 0
              : key_note(note, sizeof(note), 0x42, 0x43, n == 1 ? 0x99 : 0x42,
                         "example.com/audit", 5);

        a = reopen(dir);
        put(a, key_body(note, len, buf, sizeof(buf)), NULL, &err);
        aiq_audit_close(a);

        ok(verify(dir, &r) == AIQ_AUDIT_SIGNATURE && r.seq == 6,
           "a KEY record %s: %s", n == 0 ? "without a note"
           : n == 1 ? "without a signature" : "about another tree", r.text);
        ok(aiq_audit_checkpoint(s, 0, &done, &err) == AIQ_E_AUDIT_UNAVAILABLE,
           "behind it nothing is signed: %s", err.text);
        ok(keys(dir, &k) == 1, "and it becomes no key");
    }

    /* two checkpoints over the same records, by either key */

    dir = rotated();
    log = slurp(path(dir, "checkpoints"), &len);
    at = strstr(log, "\n\n");
    at = strchr(at + 2, '\n') + 1;

    ok(at - log > 100 && verify(dir, NULL) == 0, "two checkpoints");

    two = strndup(log, (size_t) (at - log));
    spit(path(dir, "checkpoint"), two, strlen(two));
    ok(verify(dir, NULL) == 0, "the older one is by the older key");
}


/* of the first records of the first segment */

static void
root_of(const char *dir, unsigned n, aiq_hash_t root)
{
    char            *text, *p, *lf;
    size_t           len;
    aiq_hash_t       leaf;
    aiq_frontier_t   f;

    text = slurp(seg(dir, 1), &len);
    aiq_frontier_init(&f);

    for (p = text; n--; p = lf + 1) {
        lf = strchr(p, '\n');
        aiq_merkle_leaf(crypto, (aiq_str_t) { (size_t) (lf - p),
                                              (unsigned char *) p }, leaf);
        aiq_frontier_add(crypto, &f, leaf);
    }

    aiq_frontier_root(crypto, &f, root);
    free(text);
}


static aiq_str_t
key_body(const char *note, size_t len, char *buf, size_t size)
{
    char       members[2 * AIQ_AUDIT_KEY_NOTE];
    aiq_out_t  out;
    aiq_str_t  s;

    aiq_out_init(&out, members, sizeof(members));
    aiq_out_str(&out, "\"note\":");
    aiq_out_json(&out, (aiq_str_t) { len, (unsigned char *) note });
    s = aiq_out_done(&out);

    aiq_out_init(&out, buf, size);
    aiq_audit_write_event(&out, "KEY", BASE, str(""), s);

    return aiq_out_done(&out);
}


/*
 * The new key signs nothing before the record that declares it, though it
 * could be told from the note that it may.
 */

static void
test_between(void)
{
    int                  n;
    char                *dir, note[AIQ_AUDIT_KEY_NOTE], buf[8192];
    size_t               len;
    aiq_err_t            err;
    aiq_out_t            out;
    aiq_str_t            text;
    aiq_hash_t           root;
    aiq_vkey_t           v[2];
    aiq_audit_t         *log;
    unsigned char        seed[2][AIQ_KEY_LEN], pub[AIQ_KEY_LEN];
    aiq_checkpoint_t     cp;
    aiq_audit_report_t   r;

    for (n = 0; n < 2; n++) {
        memset(seed[n], 0x42 + n, AIQ_KEY_LEN);
        aiq_ed25519_public(crypto, seed[n], pub);
        aiq_vkey_init(&v[n], str("example.com/audit"), pub, crypto);
    }

    for (n = 6; n < 9; n++) {
        dir = fresh();
        add(dir, 5);
        sign(signer(dir));
        add(dir, 2);

        root_of(dir, 5, root);
        aiq_out_init(&out, note, sizeof(note));
        aiq_audit_key_note(&out, &v[0], seed[0], &v[1], seed[1], 5,
                           (const unsigned char *) root, crypto);
        len = aiq_out_done(&out).len;

        log = reopen(dir);
        put(log, key_body(note, len, buf, sizeof(buf)), NULL, &err);
        aiq_audit_close(log);
        spit(path(dir, "keys"), note, len);

        ok(verify(dir, &r) == 0, "the record is the third behind the note");

        cp.origin = v[1].name;
        cp.size = (uint64_t) n;
        aiq_str_null(&cp.extension);
        root_of(dir, (unsigned) n, cp.root);

        aiq_out_init(&out, buf, sizeof(buf));
        aiq_checkpoint_write(&out, &cp);
        text = aiq_out_done(&out);
        aiq_out_init(&out, note, sizeof(note));
        aiq_note_sign(&out, text, &v[1], seed[1], crypto);

        text = aiq_out_done(&out);
        unlink(path(dir, "checkpoints"));
        spit(path(dir, "checkpoint"), text.data, text.len);
        spit(path(dir, "checkpoints"), text.data, text.len);

        ok(verify(dir, &r) == (n == 8 ? 0 : AIQ_AUDIT_SIGNATURE),
           "the new key over %d records: %s", n, r.text);
    }
}


/* one of the two is gone: the record, or the file */

static void
test_missing(void)
{
    char                *dir, *log;
    size_t               len;
    unsigned             i;
    aiq_audit_report_t   r;

    dir = rotated();
    unlink(path(dir, "keys"));

    ok(verify(dir, &r) == AIQ_AUDIT_SIGNATURE,
       "without the file of keys: %s", r.text);
    ok(signer(dir) == NULL || sign(signer(dir)) == 0,
       "and nothing is signed");

    dir = rotated();
    unlink(path(dir, "checkpoint"));
    unlink(path(dir, "checkpoints"));

    log = slurp(seg(dir, 1), &len);

    for (i = 0, len = 0; i < 5; i++) {
        len = (size_t) (strchr(log + len, '\n') + 1 - log);
    }

    spit(seg(dir, 1), log, len);

    ok(verify(dir, &r) == AIQ_AUDIT_TRUNCATED,
       "cut off before the KEY record: %s", r.text);

    spit(seg(dir, 1), log, len - 200 > 0 ? (size_t) (strchr(log, '\n') + 1
                                                     - log) : 0);
    ok(verify(dir, &r) == AIQ_AUDIT_TRUNCATED, "and before that: %s", r.text);
}


/*
 * Somebody has the seed of a key that was replaced, and takes the file of keys
 * away, as if a crash had come before it.
 */

static void
test_retired(void)
{
    char                *dir, *old, text[256], note[1024], both[4096];
    unsigned             where;
    aiq_out_t            out;
    aiq_str_t            s;
    aiq_vkey_t           v;
    unsigned char        seed[AIQ_KEY_LEN], pub[AIQ_KEY_LEN];
    aiq_checkpoint_t     cp;
    aiq_audit_kept_t     kept = { .notes = &s, .n = 1 };
    aiq_audit_report_t   r;

    memset(seed, 0x42, AIQ_KEY_LEN);
    aiq_ed25519_public(crypto, seed, pub);
    aiq_vkey_init(&v, str("example.com/audit"), pub, crypto);

    for (where = 0; where < 3; where++) {
        dir = rotated();
        add(dir, 3);
        unlink(path(dir, "keys"));

        old = slurp(path(dir, "checkpoints"), NULL);
        *strchr(strstr(old, "\n\n") + 2, '\n') = '\0';

        cp.origin = v.name;
        cp.size = 9;
        aiq_str_null(&cp.extension);
        root_of(dir, 9, cp.root);

        aiq_out_init(&out, text, sizeof(text));
        aiq_checkpoint_write(&out, &cp);
        s = aiq_out_done(&out);
        aiq_out_init(&out, note, sizeof(note));
        aiq_note_sign(&out, s, &v, seed, crypto);
        s = aiq_out_done(&out);

        (void) snprintf(both, sizeof(both), "%s\n%.*s", old,
                        where == 0 ? (int) s.len : 0, note);

        spit(path(dir, "checkpoints"), both, strlen(both));

        (where == 2) ? (void) unlink(path(dir, "checkpoint"))
                     : spit(path(dir, "checkpoint"), note, s.len);

        aiq_audit_verify_kept(dir, where == 2 ? &kept : NULL, crypto, &r);

        ok(r.code == (where == 1 ? AIQ_AUDIT_INCONSISTENT
                                 : AIQ_AUDIT_SIGNATURE),
           "by a key that was replaced: %s", r.text);
    }
}


static void
test_kept(void)
{
    int                  i;
    char                *dir, buf[AIQ_VKEY_MAX];
    aiq_out_t            out;
    aiq_audit_keys_t     k;
    aiq_audit_kept_t     kept;
    aiq_audit_report_t   r;

    dir = rotated();
    keys(dir, &k);
    memset(&kept, 0, sizeof(kept));

    for (i = 0; i < 2; i++) {
        aiq_out_init(&out, buf, sizeof(buf));
        aiq_vkey_write(&out, &k.key[i]);
        kept.vkey = aiq_out_done(&out);

        aiq_audit_verify_kept(dir, &kept, crypto, &r);
        ok(r.code == AIQ_AUDIT_OK, "key %d was kept", i);

        aiq_audit_verify_kept(fresh(), &kept, crypto, &r);
        ok(r.code == (i ? AIQ_AUDIT_SIGNATURE : AIQ_AUDIT_OK),
           "of a log that has it, or not");
    }
}


/* the file of keys without a log, as somebody outside has it */

static void
test_alone(void)
{
    char               *dir;
    aiq_str_t           text, note;
    aiq_checkpoint_t    cp;
    aiq_audit_keys_t    a, b;

    dir = rotated();
    keys(dir, &a);

    text.data = (unsigned char *) slurp(path(dir, "keys"), &text.len);
    note.data = (unsigned char *) slurp(path(dir, "checkpoint"), &note.len);

    memset(&b, 0, sizeof(b));

    ok(aiq_audit_keys_read(&b, text, crypto, NULL) == AIQ_OK && b.n == 2,
       "the file alone");
    ok(memcmp(a.key[0].key, b.key[0].key, AIQ_KEY_LEN) == 0
       && memcmp(a.key[1].key, b.key[1].key, AIQ_KEY_LEN) == 0
       && a.from[1] == b.from[1], "has the same keys");
    ok(aiq_audit_keys_open(&b, &cp, note, crypto, NULL) == AIQ_OK
       && cp.size == 8, "and verifies a checkpoint");

    b.from[1] = 8;
    ok(aiq_audit_keys_open(&b, &cp, note, crypto, NULL) == AIQ_DECLINED,
       "but not one by the wrong key");
    b.n = 1;
    ok(aiq_audit_keys_open(&b, &cp, note, crypto, NULL) == AIQ_DECLINED,
       "and none by a key that it does not know");
}


/* a key that somebody has written into log.json is nobody's */

static void
test_log_json(void)
{
    char                *dir, *log, *p, buf[4096];
    size_t               len;
    aiq_out_t            out;
    aiq_vkey_t           v;
    unsigned char        seed[AIQ_KEY_LEN], pub[AIQ_KEY_LEN];
    aiq_audit_keys_t     k;

    dir = fresh();
    add(dir, 3);

    log = slurp(path(dir, "log.json"), &len);
    p = strstr(log, "],");

    memset(seed, 0x43, sizeof(seed));
    aiq_ed25519_public(crypto, seed, pub);
    aiq_vkey_init(&v, str("example.com/audit"), pub, crypto);

    aiq_out_init(&out, buf, sizeof(buf));
    aiq_out_mem(&out, log, (size_t) (p - log));
    aiq_out_str(&out, ",\"");
    aiq_vkey_write(&out, &v);
    aiq_out_str(&out, "\"");
    aiq_out_mem(&out, p, len - (size_t) (p - log));

    spit(path(dir, "log.json"), buf, aiq_out_done(&out).len);

    ok(keys(dir, &k) == 1, "a second key in log.json is not one");
}


int
main(void)
{
    setup();

    test_rotate();
    test_running();
    test_crash();
    test_every_byte();
    test_forged();
    test_record();
    test_between();
    test_missing();
    test_retired();
    test_kept();
    test_alone();
    test_log_json();

    return teardown();
}
