
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Guards whoever follows an audit log: every record once, in order, wherever
 * it goes on; and nothing of a log that is not the one it was.
 */


#include "audit_log.h"

#include "audit_follow.h"


static void test_growth(void);
static void test_cursor(void);
static void test_not_this_log(void);
static void test_segments(void);
static void test_meanwhile(void);
static void test_gone(void);
static void test_every_byte(void);
static void test_faults(void);
static void test_last(void);
static void add(const char *dir, unsigned n);
static void tear(const char *dir, unsigned long long first);
static aiq_rc_t open_at(aiq_audit_follow_t *f, const char *dir,
    const aiq_audit_cursor_t *at);
static unsigned read_all(aiq_audit_follow_t *f);
static aiq_rc_t last_rc(aiq_audit_follow_t *f);


static const aiq_audit_cursor_t  start;
static aiq_err_t                 err;
static const char               *moved;   /* by others, before it is looked for
                                             in this directory */


/* a follower has asked how long a segment is, then looks whether it is there */

int
fstatat(int fd, const char *name, struct stat *st, int flags)
{
    const char  *dir;

    dir = moved;

    if (dir && strncmp(name, "seg-", 4) == 0) {
        moved = NULL;

        add(dir, 1);
        tear(dir, 1);
        add(dir, 1);
        unlink(seg(dir, 1));
    }

    return (int) syscall(SYS_newfstatat, fd, name, st, flags);
}


static void
add(const char *dir, unsigned n)
{
    unsigned          i;
    aiq_audit_t      *log;
    aiq_audit_pos_t   pos;

    log = reopen(dir);

    for (i = 0; i < n; i++) {

        if (put_call(log, i + 1, &pos, &err) != AIQ_OK) {
            diag("append: %s", err.text);
        }
    }

    aiq_audit_close(log);
}


/* the next one who appends begins a segment */

static void
tear(const char *dir, unsigned long long first)
{
    FILE  *f;

    f = fopen(seg(dir, first), "ab");

    if (f == NULL || fputs("{\"v\":1,\"seq\":", f) == EOF || fclose(f) != 0) {
        printf("Bail out! cannot write\n");
        exit(1);
    }
}


static aiq_rc_t
open_at(aiq_audit_follow_t *f, const char *dir, const aiq_audit_cursor_t *at)
{
    aiq_rc_t  rc;

    err.text[0] = '\0';

    rc = aiq_audit_follow_open(f, dir, at, crypto, &err);

    if (rc != AIQ_OK) {
        aiq_audit_follow_close(f);
    }

    return rc;
}


/* looks as long as there is something */

static unsigned
read_all(aiq_audit_follow_t *f)
{
    unsigned              n, before;
    aiq_audit_followed_t  rec;

    n = 0;

    do {
        before = n;

        if (aiq_audit_follow_look(f, &err) != AIQ_OK) {
            break;
        }

        while (aiq_audit_follow_next(f, &rec, &err) == AIQ_OK) {

            if (rec.front.seq != f->at.seq) {
                ok(0, "number %llu", (unsigned long long) rec.front.seq);
            }

            n++;
        }

    } while (n != before);

    return n;
}


static aiq_rc_t
last_rc(aiq_audit_follow_t *f)
{
    aiq_rc_t              rc;
    aiq_audit_followed_t  rec;

    rc = aiq_audit_follow_look(f, &err);

    return (rc == AIQ_OK) ? aiq_audit_follow_next(f, &rec, &err) : rc;
}


static void
test_growth(void)
{
    char                 *dir;
    aiq_audit_follow_t    f;
    aiq_audit_followed_t  rec;

    dir = fresh();

    ok(open_at(&f, dir, &start) == AIQ_OK, "an empty log");
    ok(f.origin_len == 17 && memcmp(f.origin, "example.com/audit", 17) == 0,
       "its origin");
    ok(read_all(&f) == 0, "has no records");

    add(dir, 3);

    ok(aiq_audit_follow_next(&f, &rec, &err) == AIQ_DECLINED,
       "nothing without a look");
    ok(read_all(&f) == 3 && f.at.seq == 3, "three");
    ok(read_all(&f) == 0, "once");

    add(dir, 400);

    ok(read_all(&f) == 400, "and those that come");

    aiq_audit_follow_close(&f);
    free(dir);
}


/* from behind every record */

static void
test_cursor(void)
{
    char                 *dir;
    unsigned              i, n, bad;
    aiq_audit_cursor_t    at[24];
    aiq_audit_follow_t    f;
    aiq_audit_followed_t  rec;

    dir = fresh();
    add(dir, 10);
    tear(dir, 1);
    add(dir, 11);

    n = 0;
    at[n++] = start;

    ok(open_at(&f, dir, &start) == AIQ_OK, "two segments");

    for (i = 0; i < 3; i++) {
        (void) aiq_audit_follow_look(&f, &err);

        while (n < 24 && aiq_audit_follow_next(&f, &rec, &err) == AIQ_OK) {
            at[n++] = f.at;
        }
    }

    aiq_audit_follow_close(&f);

    ok(n == 23, "a RECOVERY record more: %u", n);

    bad = 0;

    for (i = 0; i < n; i++) {

        if (open_at(&f, dir, &at[i]) != AIQ_OK) {
            bad++;
            continue;
        }

        if (read_all(&f) != n - 1 - i
            || memcmp(&f.at, &at[n - 1], sizeof(f.at)) != 0)
        {
            bad++;
        }

        aiq_audit_follow_close(&f);
    }

    ok(bad == 0, "from behind every one of them");

    free(dir);
}


static void
test_not_this_log(void)
{
    char                *dir, *other;
    unsigned             i, bad;
    aiq_audit_cursor_t   at, wrong;
    aiq_audit_follow_t   f;

    dir = fresh();
    add(dir, 5);

    ok(open_at(&f, dir, &start) == AIQ_OK && read_all(&f) == 5, "a log");
    at = f.at;
    aiq_audit_follow_close(&f);

    bad = 0;

    for (i = 0; i < AIQ_HASH_LEN * 8; i++) {
        wrong = at;
        wrong.leaf[i / 8] ^= (unsigned char) (1 << (i % 8));

        bad += (open_at(&f, dir, &wrong) != AIQ_D_PROOF_INVALID
                || f.code != AIQ_AUDIT_INCONSISTENT);
    }

    ok(bad == 0, "no bit of a hash may differ");

    bad = 0;

    for (i = 1; i <= at.off + 10; i++) {
        wrong = at;
        wrong.off = i;

        bad += (i != at.off && open_at(&f, dir, &wrong)
                               != AIQ_D_PROOF_INVALID);
    }

    ok(bad == 0, "nor any offset");

    wrong = at;
    wrong.seq--;
    ok(open_at(&f, dir, &wrong) == AIQ_D_PROOF_INVALID, "nor the number");

    wrong = at;
    wrong.first = 3;
    ok(open_at(&f, dir, &wrong) == AIQ_D_PROOF_INVALID
       && strstr(err.text, "is not there"), "nor the segment");

    other = fresh();
    add(other, 4);
    ok(open_at(&f, other, &at) == AIQ_D_PROOF_INVALID
       && f.code == AIQ_AUDIT_INCONSISTENT, "a shorter log");

    free(other);
    free(dir);
}


static void
test_segments(void)
{
    char                *dir;
    aiq_audit_follow_t   f;

    dir = fresh();
    add(dir, 2);

    ok(open_at(&f, dir, &start) == AIQ_OK && read_all(&f) == 2, "a segment");

    tear(dir, 1);
    ok(read_all(&f) == 0, "a torn line is no record");

    add(dir, 2);
    tear(dir, 3);
    add(dir, 2);

    ok(read_all(&f) == 6 && f.at.first == 6, "two more segments");

    unlink(seg(dir, 1));
    unlink(seg(dir, 3));
    add(dir, 1);
    ok(read_all(&f) == 1, "old ones may be gone");

    aiq_audit_follow_close(&f);

    ok(open_at(&f, dir, &start) == AIQ_OK
       && last_rc(&f) == AIQ_D_PROOF_INVALID && f.code == AIQ_AUDIT_GAP,
       "but not for who has to read them");
    ok(last_rc(&f) == AIQ_D_PROOF_INVALID, "and that stays so");
    aiq_audit_follow_close(&f);

    free(dir);
}


static void
test_meanwhile(void)
{
    char                *dir;
    unsigned             n;
    aiq_audit_follow_t   f;

    dir = fresh();
    add(dir, 2);

    ok(open_at(&f, dir, &start) == AIQ_OK && read_all(&f) == 2, "read");

    moved = dir;
    n = read_all(&f);

    ok(moved == NULL && n == 3 && f.code == AIQ_AUDIT_OK,
       "what is appended to a segment before it is moved away is read: %u", n);

    aiq_audit_follow_close(&f);
    free(dir);
}


static void
test_gone(void)
{
    char                *dir, *old;
    aiq_audit_cursor_t   at;
    aiq_audit_follow_t   f;

    dir = fresh();
    add(dir, 2);

    ok(open_at(&f, dir, &start) == AIQ_OK && read_all(&f) == 2, "read");
    at = f.at;

    old = strdup(seg(dir, 1));
    rename(old, path(dir, "elsewhere"));
    ok(last_rc(&f) == AIQ_D_PROOF_INVALID && f.code == AIQ_AUDIT_TRUNCATED,
       "the newest segment is renamed");
    aiq_audit_follow_close(&f);

    rename(path(dir, "elsewhere"), old);
    ok(open_at(&f, dir, &at) == AIQ_OK && read_all(&f) == 0, "and back");
    ok(truncate(old, (off_t) at.off - 1) == 0
       && last_rc(&f) == AIQ_D_PROOF_INVALID
       && f.code == AIQ_AUDIT_TRUNCATED, "it is cut");
    aiq_audit_follow_close(&f);

    ok(open_at(&f, dir, &at) == AIQ_D_PROOF_INVALID
       && f.code == AIQ_AUDIT_INCONSISTENT, "and stays so");

    free(old);
    free(dir);
}


/* nothing is passed on behind what is changed; the next record shows it */

static void
test_every_byte(void)
{
    char                *dir, *name, *text;
    size_t               i, len, lines, bad;
    unsigned             n;
    aiq_audit_follow_t   f;

    dir = fresh();
    add(dir, 4);

    name = strdup(seg(dir, 1));
    len = 0;
    text = slurp(name, &len);

    lines = bad = 0;

    for (i = 0; text && i < len; i++) {
        text[i] ^= 1;
        spit(name, text, len);
        text[i] ^= 1;

        n = 0;

        if (open_at(&f, dir, &start) == AIQ_OK) {
            n = read_all(&f);

            /* the last record is in no other one's hash */

            if (n > lines + 1 || (lines < 3 && f.code == AIQ_AUDIT_OK)) {
                bad++;
            }

            aiq_audit_follow_close(&f);
        }

        if (text[i] == '\n') {
            lines++;
        }
    }

    ok(lines == 4, "%zu bytes", len);
    ok(bad == 0, "none can be changed unseen before the last record");

    free(text);
    free(name);
    free(dir);
}


static void
test_faults(void)
{
    int                  fd;
    char                *dir, *line;
    aiq_audit_follow_t   f;

    dir = fresh();
    add(dir, 2);

    ok(open_at(&f, dir, &start) == AIQ_OK, "a log");

    fault_sync = EIO;
    ok(aiq_audit_follow_look(&f, &err) == AIQ_OK
       && last_rc(&f) == AIQ_E_AUDIT_UNAVAILABLE,
       "what cannot be synced is not read");
    fault_sync = 0;
    ok(read_all(&f) == 2, "until it can");

    fault_sync = EROFS;
    aiq_audit_follow_close(&f);
    ok(open_at(&f, dir, &start) == AIQ_OK && read_all(&f) == 2,
       "a copy on a medium that cannot be written");
    fault_sync = 0;

    /* longer than a line may be */

    line = malloc(70000);
    memset(line, 'x', 70000);
    line[69999] = '\n';
    fd = open(seg(dir, 1), O_WRONLY|O_APPEND);

    if (fd == -1 || write(fd, line, 70000) != 70000) {
        diag("cannot write a long line");
    }

    close(fd);

    ok(last_rc(&f) == AIQ_D_PROOF_INVALID && f.code == AIQ_AUDIT_BROKEN,
       "a line that is too long");
    aiq_audit_follow_close(&f);

    unlink(path(dir, "log.json"));
    ok(open_at(&f, dir, &start) == AIQ_E_AUDIT_UNAVAILABLE, "no log.json");
    spit(path(dir, "log.json"), "{}", 2);
    ok(open_at(&f, dir, &start) == AIQ_D_PROOF_INVALID
       && f.code == AIQ_AUDIT_BROKEN, "one that is none");
    ok(open_at(&f, path(root, "none"), &start) == AIQ_E_AUDIT_UNAVAILABLE,
       "no log");

    free(line);
    free(dir);
}


static void
test_last(void)
{
    char      *dir;
    int64_t    ts;
    uint64_t   seq;

    dir = fresh();

    ok(aiq_audit_follow_last(dir, &seq, &ts, &err) == AIQ_OK && seq == 0,
       "no last record");

    add(dir, 7);
    ok(aiq_audit_follow_last(dir, &seq, &ts, &err) == AIQ_OK && seq == 7
       && ts == BASE + 7000, "the last record and its time");

    tear(dir, 1);
    ok(aiq_audit_follow_last(dir, &seq, &ts, &err) == AIQ_OK && seq == 7,
       "before what is torn");

    add(dir, 1);
    ok(aiq_audit_follow_last(dir, &seq, &ts, &err) == AIQ_OK && seq == 9,
       "in the newest segment");
    ok(aiq_audit_follow_last(path(root, "none"), &seq, &ts, &err) != AIQ_OK,
       "of no log");

    free(dir);
}


int
main(void)
{
    setup();

    test_growth();
    test_cursor();
    test_not_this_log();
    test_segments();
    test_meanwhile();
    test_gone();
    test_every_byte();
    test_faults();
    test_last();

    return teardown();
}
