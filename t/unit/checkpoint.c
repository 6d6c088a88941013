
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Guards what is signed of an audit log: that every checkpoint continues the
 * one before, whoever made it, and that a log which was cut off or written
 * anew does not get one more, and is found out.
 *
 *     checkpoint fill DIR N       appends records to a log, for checkpoint.t
 *     checkpoint other DIR N      others, for witness.t
 */


#include "audit_log.h"
#include <sys/file.h>

#include "audit_checkpoint.h"


static void test_first(void);
static void test_growth(void);
static void test_segments(void);
static void test_tiles(void);
static void test_torn(void);
static void test_faults(void);
static void test_cut(void);
static void test_anew(void);
static void test_chain(void);
static void test_back(void);
static void test_wrong(void);
static void test_every_byte(void);
static void test_kept(void);
static aiq_audit_signer_t *signer(const char *dir, int c);
static aiq_rc_t all_of(void *data, const aiq_vkey_t *key, unsigned n,
    unsigned char seed[AIQ_KEY_LEN], aiq_err_t *err);
static uint64_t sign(aiq_audit_signer_t *s, aiq_err_t *err);
static void add(const char *dir, unsigned n);
static uint64_t proofs(const char *dir, int slow);
static int prove(const char *dir, uint64_t seq, int slow);
static void flip(const char *name, long at);
static void copy(const char *from, const char *to);
static int append_many(const char *dir, unsigned long n, unsigned first);


static aiq_audit_signer_t *
signer(const char *dir, int c)
{
    aiq_err_t            err;
    aiq_audit_signer_t  *s;

    return aiq_audit_signer_open(&s, dir, all_of, (void *) (intptr_t) c,
                                 &err) == AIQ_OK ? s : NULL;
}


/* the same byte all over */

static aiq_rc_t
all_of(void *data, const aiq_vkey_t *key, unsigned n,
    unsigned char seed[AIQ_KEY_LEN], aiq_err_t *err)
{
    memset(seed, (int) (intptr_t) data, AIQ_KEY_LEN);

    return AIQ_OK;
}


/* the size that is signed now, or 0 */

static uint64_t
sign(aiq_audit_signer_t *s, aiq_err_t *err)
{
    aiq_audit_signed_t  done;

    err->text[0] = '\0';

    return aiq_audit_checkpoint(s, 0, &done, err) == AIQ_OK ? done.size : 0;
}


static void
add(const char *dir, unsigned n)
{
    char          buf[1024];
    unsigned      i;
    aiq_err_t     err;
    aiq_str_t     bodies[1000];
    aiq_audit_t  *log;

    log = reopen(dir);

    for (i = 0; i < n; i++) {
        bodies[i] = body_event("CLOSE", buf, sizeof(buf));
    }

    if (aiq_audit_append(log, bodies, n, 0, BASE, crypto, NULL, &err)
        != AIQ_OK)
    {
        diag("append: %s", err.text);
    }

    aiq_audit_close(log);
}


/* 1, 0 if there is none, or -1: one that does not verify is worse than none */

static int
prove(const char *dir, uint64_t seq, int slow)
{
    int                got;
    aiq_rc_t           rc;
    aiq_err_t          err;
    aiq_hash_t         leaf;
    aiq_audit_tree_t   t;
    aiq_tlog_proof_t   p;
    unsigned char      buf[AIQ_NOTE_MAX];

    t.buf = buf;
    t.dir = open(dir, O_RDONLY|O_DIRECTORY);

    rc = aiq_audit_tree(&t, crypto, &err);

    if (rc == AIQ_OK) {
        rc = slow ? aiq_audit_prove_slowly(dir, &t, seq, 0, &p, leaf, crypto,
                                           &err)
                  : aiq_audit_prove(&t, seq, &p, leaf, crypto, &err);
    }

    got = (rc == AIQ_OK);

    if (got && aiq_merkle_verify(crypto, seq - 1, t.checkpoint.size, leaf,
                                 (const aiq_hash_t *) p.proof, p.count,
                                 t.checkpoint.root)
               != AIQ_OK)
    {
        got = -1;
    }

    close(t.dir);

    return got;
}


/* how many records there is a proof of */

static uint64_t
proofs(const char *dir, int slow)
{
    uint64_t             i, n;
    aiq_audit_report_t   r;

    verify(dir, &r);

    for (i = 1, n = 0; i <= r.covered; i++) {
        n += (prove(dir, i, slow) == 1);
    }

    return n;
}


static void
flip(const char *name, long at)
{
    int   c;
    FILE  *f;

    f = fopen(name, "r+b");

    if (at < 0) {
        fseek(f, at, SEEK_END);

    } else {
        fseek(f, at, SEEK_SET);
    }

    c = fgetc(f);
    fseek(f, -1, SEEK_CUR);
    fputc(c ^ 1, f);
    fclose(f);
}


static void
copy(const char *from, const char *to)
{
    char    *p;
    size_t   len;

    p = slurp(from, &len);
    spit(to, p, len);
    free(p);
}


static void
test_first(void)
{
    char                 *dir;
    aiq_err_t             err;
    aiq_audit_report_t    r;
    aiq_audit_signer_t   *s;

    dir = fresh();

    ok(signer(dir, 'x') == NULL, "the seed of another key");
    ok((s = signer(dir, 0x42)) != NULL, "the seed of the log");
    ok(sign(s, &err) == 0 && err.text[0] == '\0'
       && access(path(dir, "checkpoint"), F_OK) != 0,
       "no records, no checkpoint");

    ok(!prove(dir, 1, 0), "and no proof");

    add(dir, 1);

    ok(sign(s, &err) == 1, "one record");
    ok(verify(dir, &r) == 0 && r.checkpoints == 1 && r.covered == 1,
       "verified");
    ok(prove(dir, 1, 0) == 1 && prove(dir, 1, 1) == 1 && !prove(dir, 2, 0),
       "proved");
    ok(sign(s, &err) == 1 && verify(dir, &r) == 0 && r.checkpoints == 1,
       "nothing new");

    unlink(path(dir, "checkpoint"));

    ok(sign(s, &err) == 1 && access(path(dir, "checkpoint"), F_OK) == 0,
       "the newest one is put back");

    aiq_audit_signer_close(s);
    free(dir);
}


/* three signers, as three workers would be, one of them new each time */

static void
test_growth(void)
{
    char                 *dir;
    unsigned              i, n, total, bad;
    aiq_err_t             err;
    aiq_audit_report_t    r;
    aiq_audit_signer_t   *s[3];

    static const unsigned  steps[] = {
        1, 1, 1, 2, 3, 200, 47, 1, 1, 255, 256, 257, 1000, 23, 1, 1000
    };

    dir = fresh();

    s[0] = signer(dir, 0x42);
    s[1] = signer(dir, 0x42);

    total = 0;
    bad = 0;
    n = sizeof(steps) / sizeof(steps[0]);

    for (i = 0; i < n; i++) {
        s[2] = signer(dir, 0x42);

        add(dir, steps[i]);
        total += steps[i];

        bad += sign(s[i % 3], &err) != total;
        bad += verify(dir, &r) != 0 || r.covered != total
               || r.checkpoints != i + 1;

        if (bad) {
            diag("step %u: %s, %s", i, err.text, r.text);
            break;
        }

        aiq_audit_signer_close(s[2]);
    }

    ok(bad == 0, "%u checkpoints over %u records", n, total);
    ok(proofs(dir, 0) == total, "each has a proof");
    ok(prove(dir, 1, 1) == 1 && prove(dir, 700, 1) == 1
       && prove(dir, total, 1) == 1, "also without tiles");

    aiq_audit_signer_close(s[0]);
    aiq_audit_signer_close(s[1]);
    free(dir);
}


/* a RECOVERY record, and what is torn in front of it */

static void
test_segments(void)
{
    char                 *dir;
    aiq_err_t             err;
    aiq_audit_report_t    r;
    aiq_audit_signer_t   *s, *late;

    dir = fresh();
    s = signer(dir, 0x42);

    fill(dir, 40);

    ok(sign(s, &err) == 40 && fine(verify(dir, &r)) && r.segments == 2
       && r.covered == 40, "two segments");

    add(dir, 5);
    late = signer(dir, 0x42);

    ok(sign(late, &err) == 45, "one who comes later");
    add(dir, 5);
    ok(sign(s, &err) == 50 && fine(verify(dir, &r)) && r.covered == 50,
       "and the first one again");

    aiq_audit_signer_close(s);
    aiq_audit_signer_close(late);
    free(dir);
}


/* tiles are a cache: missing or wrong, they are made anew */

static void
test_tiles(void)
{
    char                 *dir;
    aiq_err_t             err;
    struct stat           before, after;
    aiq_audit_signed_t    done;
    aiq_audit_report_t    r;
    aiq_audit_signer_t   *s;

    dir = fresh();

    add(dir, 300);
    s = signer(dir, 0x42);
    sign(s, &err);
    aiq_audit_signer_close(s);

    add(dir, 300);
    s = signer(dir, 0x42);
    sign(s, &err);
    aiq_audit_signer_close(s);

    flip(path(dir, "tile/0/002.p/88"), 5);
    add(dir, 1);
    stat(path(dir, "tile/0/000"), &before);

    s = signer(dir, 0x42);
    ok(sign(s, &err) == 601 && verify(dir, &r) == 0 && proofs(dir, 0) == 601,
       "the newest tile is wrong");

    stat(path(dir, "tile/0/000"), &after);
    ok(before.st_ino == after.st_ino,
       "not all is read again: an older checkpoint has its tiles");
    aiq_audit_signer_close(s);

    nftw(path(dir, "tile"), gone, 16, FTW_DEPTH|FTW_PHYS);
    add(dir, 1);

    s = signer(dir, 0x42);
    ok(sign(s, &err) == 602 && verify(dir, &r) == 0 && proofs(dir, 0) == 602,
       "all tiles are gone");
    aiq_audit_signer_close(s);

    flip(path(dir, "tile/0/001"), 5);

    s = signer(dir, 0x42);
    ok(sign(s, &err) == 602 && !prove(dir, 300, 0)
       && prove(dir, 300, 1) == 1,
       "a tile in the middle is wrong: no proof from it");
    ok(aiq_audit_checkpoint(s, AIQ_AUDIT_REBUILD, &done, &err) == AIQ_OK
       && proofs(dir, 0) == 602, "until it is made anew");
    aiq_audit_signer_close(s);

    free(dir);
}


/* what a crash leaves of a note is replaced, and is no reason to worry */

static void
test_torn(void)
{
    char                 *dir;
    FILE                 *f;
    unsigned              i, bad;
    aiq_err_t             err;
    aiq_audit_report_t    r;
    aiq_audit_signer_t   *s;

    static const char  *const  torn[] = {
        "e", "example.com/audit\n3", "example.com/audit\n3\n47DEQ",
        "example.com/audit\n3\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
        "\n",
        "example.com/audit\n3\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
        "\n\xe2\x80\x94 exam",
        "example.com/audit\n3\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
        "\n\xe2\x80\x94 example.com/audit hBp7AAAA"
    };

    dir = fresh();
    bad = 0;

    for (i = 0; i < 6; i++) {
        f = fopen(path(dir, "checkpoints"), "ab");
        fputs(torn[i], f);
        fclose(f);

        add(dir, 1);

        bad += verify(dir, &r) != 0 || r.warnings != 1;

        s = signer(dir, 0x42);
        bad += sign(s, &err) != i + 1;
        aiq_audit_signer_close(s);

        bad += verify(dir, &r) != 0 || r.covered != i + 1 || r.warnings;
    }

    ok(bad == 0, "half a note at the end (%u), %s %s", bad, err.text, r.text);

    free(dir);
}


/* a checkpoint that cannot be made disturbs nobody, and is made later */

static void
test_faults(void)
{
    char                 *dir, *text;
    int                   fd;
    aiq_err_t             err;
    aiq_audit_signed_t    done;
    aiq_audit_report_t    r;
    aiq_audit_signer_t   *s, *other;

    dir = fresh();
    s = signer(dir, 0x42);

    add(dir, 300);
    sign(s, &err);
    add(dir, 1);

    fault_write = ENOSPC;
    fault_after = 0;

    ok(sign(s, &err) == 0 && strstr(err.text, "tile") != NULL,
       "no room for a tile");

    fault_after = 1500;

    ok(sign(s, &err) == 0 && strstr(err.text, "checkpoint") != NULL,
       "no room for a note: %s", err.text);

    fault_write = 0;
    fault_sync = EIO;

    ok(sign(s, &err) == 0 && strstr(err.text, "synced") != NULL,
       "records that cannot be synced");

    fault_sync = 0;
    other = signer(dir, 0x42);

    ok(sign(s, &err) == 0 && strstr(err.text, "has failed") != NULL,
       "a sync is not believed when it succeeds later: %s", err.text);
    ok(sign(other, &err) == 0 && strstr(err.text, "has failed") != NULL,
       "nor by another process");

    aiq_audit_signer_close(other);
    add(dir, 1);
    text = slurp(path(dir, "seg-0000000000000302.jsonl"), NULL);

    ok(text != NULL && strstr(text, "\"uncertain_from\":301,"
                              "\"uncertain_to\":301}") != NULL,
       "what it could not sync is declared");

    free(text);
    fault_dirsync = EIO;

    ok(sign(s, &err) == 0, "the directory cannot be synced");

    fault_dirsync = 0;

    ok(verify(dir, &r) == 0, "all that time the log is fine");
    ok(sign(s, &err) == 303 && verify(dir, &r) == 0 && r.covered == 303
       && proofs(dir, 0) == 303, "then it works again");

    /* in the middle of a record: it is not left half-way in the tree */

    add(dir, 208);
    sign(s, &err);
    add(dir, 1);

    fault_write = ENOSPC;
    fault_after = 0;

    ok(sign(s, &err) == 0, "no room for a tile that is full now");

    fault_write = 0;

    ok(sign(s, &err) == 512 && proofs(dir, 0) == 512, "then there is: %s",
       err.text);

    fd = open(path(dir, "checkpoints.lock"), O_RDWR);
    flock(fd, LOCK_EX);
    add(dir, 1);

    ok(aiq_audit_checkpoint(s, AIQ_AUDIT_NOWAIT, &done, &err) == AIQ_DECLINED,
       "somebody else is at it");

    /* a lock that is deleted is none */

    unlink(path(dir, "checkpoints.lock"));
    other = signer(dir, 0x42);

    ok(aiq_audit_checkpoint(other, AIQ_AUDIT_NOWAIT, &done, &err) == AIQ_OK
       && done.size == 513, "another lock file");

    close(fd);
    ok(sign(other, &err) == 513 && sign(s, &err) == 513,
       "and then it is done");

    aiq_audit_signer_close(other);
    aiq_audit_signer_close(s);
    free(dir);
}


/* at the end of any line: alone the log looks fine, but it was signed */

static void
test_cut(void)
{
    char                 *dir, *all, *p, *name;
    size_t                len;
    unsigned              n, bad, refused;
    aiq_err_t             err;
    aiq_audit_report_t    r;
    aiq_audit_signer_t   *s;

    dir = fresh();
    s = signer(dir, 0x42);

    add(dir, 20);
    sign(s, &err);
    add(dir, 10);
    sign(s, &err);

    name = strdup(seg(dir, 1));
    all = slurp(name, &len);
    bad = 0;
    refused = 0;
    n = 0;

    for (p = strchr(all, '\n'); p && p + 1 < all + len;
         p = strchr(p + 1, '\n'))
    {
        if (truncate(name, p + 1 - all) != 0) {
            bad++;
        }

        n++;
        bad += verify(dir, &r) != AIQ_AUDIT_TRUNCATED || r.seq != n;
        refused += sign(s, &err) == 0 && strstr(err.text, "cut off") != NULL;

        spit(name, all, len);
    }

    ok(n == 29 && bad == 0, "cut off behind each record (%u)", bad);
    ok(refused == 29, "and never signed again (%u)", refused);

    unlink(name);

    ok(verify(dir, &r) == AIQ_AUDIT_TRUNCATED && sign(s, &err) == 0,
       "nothing is left");

    aiq_audit_signer_close(s);

    /* somebody new knows of it too */

    truncate(name, 0);
    spit(name, all, (size_t) (strchr(all, '\n') + 1 - all));

    s = signer(dir, 0x42);
    ok(sign(s, &err) == 0 && strstr(err.text, "cut off") != NULL,
       "nor by somebody else");
    aiq_audit_signer_close(s);

    free(all);
    free(name);
    free(dir);
}


/* all of it, with all hashes right */

static void
test_anew(void)
{
    char                 *dir, *forged, *name;
    unsigned              i;
    aiq_err_t             err;
    aiq_audit_report_t    r;
    aiq_audit_signer_t   *s;

    dir = fresh();
    forged = fresh();

    s = signer(dir, 0x42);
    add(dir, 30);
    sign(s, &err);

    for (i = 0; i < 2; i++) {
        fill(forged, 25 + 10 * i);

        ok(fine(verify(forged, &r)), "a log that looks fine");

        name = strdup(seg(dir, 1));
        copy(seg(forged, 1), name);
        free(name);
    }

    /* the rest of the forged log in one more segment */

    for (i = 2; i < 40; i++) {

        if (access(seg(forged, i), F_OK) == 0) {
            name = strdup(seg(dir, i));
            copy(seg(forged, i), name);
            free(name);
        }
    }

    ok(verify(dir, &r) == AIQ_AUDIT_INCONSISTENT && r.seq == 30,
       "is not the one that was signed");

    rename(path(dir, "checkpoint"), path(dir, "x"));
    ok(verify(dir, &r) == AIQ_AUDIT_INCONSISTENT,
       "one of both files is enough");
    rename(path(dir, "x"), path(dir, "checkpoint"));
    ok(sign(s, &err) == 0, "is not signed: %s", err.text);

    aiq_audit_signer_close(s);

    s = signer(dir, 0x42);
    ok(sign(s, &err) == 0 && strstr(err.text, "anew") != NULL,
       "by nobody: %s", err.text);
    aiq_audit_signer_close(s);

    free(dir);
    free(forged);
}


/* what is not signed yet must be a chain to be signed */

static void
test_chain(void)
{
    char                 *dir, *all, *name;
    size_t                len;
    aiq_err_t             err;
    aiq_audit_signer_t   *s;

    dir = fresh();
    s = signer(dir, 0x42);

    add(dir, 3);
    sign(s, &err);
    add(dir, 3);

    /* the version in the fifth record */

    name = strdup(seg(dir, 1));
    all = slurp(name, &len);
    strstr(strstr(all, "\"seq\":5"), "0.1.0")[4] = '1';
    spit(name, all, len);

    ok(sign(s, &err) == 0 && strstr(err.text, "behind 5") != NULL,
       "a record that was changed before it was signed: %s", err.text);

    aiq_audit_signer_close(s);
    free(all);
    free(name);
    free(dir);
}


/* whoever has made a checkpoint does not forget it */

static void
test_back(void)
{
    char                 *dir, *name;
    size_t                len;
    char                 *one, *records;
    size_t                size;
    aiq_err_t             err;
    aiq_audit_report_t    r;
    aiq_audit_signer_t   *s;

    dir = fresh();
    s = signer(dir, 0x42);

    add(dir, 3);
    sign(s, &err);
    one = slurp(path(dir, "checkpoints"), &len);
    records = slurp(seg(dir, 1), &size);

    add(dir, 3);
    sign(s, &err);

    name = strdup(path(dir, "checkpoints"));
    spit(name, one, len);
    spit(path(dir, "checkpoint"), one, len);
    spit(seg(dir, 1), records, size);

    ok(verify(dir, &r) == 0, "all put back to where it was");
    ok(sign(s, &err) == 0, "the signer knows: %s", err.text);

    add(dir, 4);
    ok(sign(s, &err) == 0, "also when the log goes on");

    aiq_audit_signer_close(s);

    free(name);
    free(one);
    free(records);
    free(dir);
}


static void
test_wrong(void)
{
    char                 *dir, *name, *all, *other;
    size_t                i, len;
    unsigned              bad, n;
    aiq_err_t             err;
    aiq_audit_report_t    r;
    aiq_audit_signer_t   *s;

    dir = fresh();
    s = signer(dir, 0x42);

    add(dir, 3);
    sign(s, &err);
    add(dir, 3);
    sign(s, &err);

    name = strdup(path(dir, "checkpoints"));
    all = slurp(name, &len);
    bad = 0;
    n = 0;

    for (i = 0; i < len; i++) {
        flip(name, (long) i);

        /* of the last one a part may look torn: it is in "checkpoint" too */

        if (fine(verify(dir, &r)) && r.warnings == 0) {
            diag("byte %zu", i);
            bad++;
        }

        n += r.code == AIQ_AUDIT_SIGNATURE;

        flip(name, (long) i);
    }

    ok(bad == 0 && n > len * 9 / 10, "each byte of checkpoints (%u)", bad);

    flip(name, -20);
    ok(verify(dir, &r) == AIQ_AUDIT_SIGNATURE, "a wrong signature");
    ok(sign(s, &err) == 0 && strstr(err.text, "signature") != NULL,
       "is not gone on with");
    flip(name, -20);

    /* two that are right in the wrong order */

    for (i = len / 2; all[i - 1] != '\n' || all[i] != 'e'; i++) { /* void */ }

    other = malloc(len);
    memcpy(other, all + i, len - i);
    memcpy(other + len - i, all, i);
    spit(name, other, len);

    ok(verify(dir, &r) == AIQ_AUDIT_INCONSISTENT, "in the wrong order");

    spit(name, all, len);
    ok(verify(dir, &r) == 0, "as it was");

    aiq_audit_signer_close(s);

    free(other);
    free(all);
    free(name);
    free(dir);
}


/* the last record is in no chain, but in the tree that was signed */

static void
test_every_byte(void)
{
    char                 *dir, *all, *name;
    size_t                i, len;
    unsigned              bad;
    aiq_err_t             err;
    aiq_audit_report_t    r;
    aiq_audit_signer_t   *s;

    dir = fresh();
    s = signer(dir, 0x42);

    add(dir, 8);
    sign(s, &err);
    aiq_audit_signer_close(s);

    name = strdup(seg(dir, 1));
    all = slurp(name, &len);
    bad = 0;

    for (i = 0; i < len; i++) {
        flip(name, (long) i);
        bad += fine(verify(dir, &r));
        flip(name, (long) i);
    }

    ok(bad == 0, "each byte of all records (%u)", bad);
    ok(verify(dir, &r) == 0, "as it was");

    free(all);
    free(name);
    free(dir);
}


static void
test_kept(void)
{
    char                 *dir, *note;
    size_t                len;
    aiq_err_t             err;
    aiq_str_t             s;
    aiq_audit_kept_t      kept;
    aiq_audit_report_t    r;
    aiq_audit_signer_t   *sg;

    dir = fresh();
    sg = signer(dir, 0x42);

    add(dir, 9);
    sign(sg, &err);
    aiq_audit_signer_close(sg);

    note = slurp(path(dir, "checkpoint"), &len);

    memset(&kept, 0, sizeof(kept));
    s.data = (unsigned char *) note;
    s.len = len;
    kept.notes = &s;
    kept.n = 1;

    aiq_audit_verify_kept(dir, &kept, crypto, &r);
    ok(r.code == AIQ_AUDIT_OK && r.covered == 9, "with one that was kept");

    unlink(path(dir, "checkpoint"));
    unlink(path(dir, "checkpoints"));
    unlink(seg(dir, 1));
    add(dir, 5);

    ok(verify(dir, &r) == 0, "nothing of it is left");

    aiq_audit_verify_kept(dir, &kept, crypto, &r);
    ok(r.code == AIQ_AUDIT_TRUNCATED, "but what was kept");

    add(dir, 5);

    /* the same records would be the same log */

    aiq_audit_verify_kept(dir, &kept, crypto, &r);
    ok(r.code == AIQ_AUDIT_OK, "the same again is the same");

    unlink(seg(dir, 1));
    fill(dir, 30);

    aiq_audit_verify_kept(dir, &kept, crypto, &r);
    ok(r.code == AIQ_AUDIT_INCONSISTENT, "another one is not");

    kept.n = 0;
    kept.vkey = str("x+00000000+AAAA");

    aiq_audit_verify_kept(dir, &kept, crypto, &r);
    ok(r.code == AIQ_AUDIT_SIGNATURE, "nor another key");

    free(note);
    free(dir);
}


static int
append_many(const char *dir, unsigned long n, unsigned first)
{
    char                *text;
    unsigned             i, group;
    unsigned long        done;
    aiq_err_t            err;
    aiq_str_t            bodies[1000];
    aiq_audit_t         *log;
    aiq_audit_pos_t      pos[1000];
    aiq_audit_intent_t   r;

    crypto = aiq_crypto_new();
    log = reopen(dir);
    text = malloc(1000 * 1024);

    if (crypto == NULL || log == NULL || text == NULL) {
        return 1;
    }

    /* an INTENT of every call, then the OUTCOME of each */

    for (done = 0; done < n; done += 2 * group) {

        group = (n - done < 2000) ? (unsigned) (n - done) / 2 : 1000;

        for (i = 0; i < group; i++) {
            call(&r, first + (unsigned) done + i);
            bodies[i] = body_intent(&r, text + i * 1024, 1024);
        }

        if (group == 0
            || aiq_audit_append(log, bodies, group, 0, BASE, crypto, pos,
                                &err)
               != AIQ_OK)
        {
            break;
        }

        for (i = 0; i < group; i++) {
            bodies[i] = body_outcome(first + (unsigned) done + i, &pos[i],
                                     "executed", text + i * 1024, 1024);
        }

        if (aiq_audit_append(log, bodies, group, 0, BASE, crypto, NULL, &err)
            != AIQ_OK)
        {
            break;
        }
    }

    free(text);
    aiq_audit_close(log);
    aiq_crypto_free(crypto);

    return done < n;
}


int
main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "fill") == 0) {
        return append_many(argv[2], strtoul(argv[3], NULL, 10), 0);
    }

    if (argc == 4 && strcmp(argv[1], "other") == 0) {
        return append_many(argv[2], strtoul(argv[3], NULL, 10), 1000000);
    }

    setup();

    test_first();
    test_growth();
    test_segments();
    test_tiles();
    test_torn();
    test_faults();
    test_cut();
    test_anew();
    test_chain();
    test_back();
    test_wrong();
    test_every_byte();
    test_kept();

    return teardown();
}
