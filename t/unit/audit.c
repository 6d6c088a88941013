
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The audit log: what is appended, and what happens when it cannot be.
 */


#include <fcntl.h>
#include <sys/file.h>

#include "audit_log.h"


static void
test_create(void)
{
    int                  fd;
    char                *dir, *text;
    aiq_err_t            err;
    struct stat          st;
    unsigned char        pub[AIQ_KEY_LEN];
    aiq_audit_t         *log;
    aiq_audit_report_t   r;
    static const char    head[] = "{\"format\":\"AIQL/1\",\"origin\":"
                                  "\"example.com/audit\",\"hash\":"
                                  "\"sha256\",\"vkeys\":[\"example.com/"
                                  "audit+";

    dir = fresh();

    text = slurp(path(dir, "log.json"), NULL);
    ok(text != NULL && strncmp(text, head, sizeof(head) - 1) == 0,
       "log.json");
    free(text);

    ok(stat(path(dir, "log.json"), &st) == 0 && (st.st_mode & 07777) == 0600
       && stat(dir, &st) == 0 && (st.st_mode & 07777) == 0700,
       "modes are 0600 and 0700");

    ok(verify(dir, &r) == AIQ_AUDIT_OK && r.records == 0, "an empty log is OK");

    memset(pub, 0x42, sizeof(pub));
    ok(aiq_audit_create(dir, str("a"), pub, BASE, crypto, &err) != AIQ_OK,
       "a second log in the same place is refused");

    ok(aiq_audit_create(path(root, "x1"), str("two words"), pub, BASE,
                        crypto, &err) != AIQ_OK
       && aiq_audit_create(path(root, "x1"), str("a+b"), pub, BASE, crypto,
                           &err) != AIQ_OK
       && aiq_audit_create(path(root, "x1"), str(""), pub, BASE, crypto,
                           &err) != AIQ_OK,
       "an origin with a blank, a plus, or none is refused");

    memset(pub, 0, sizeof(pub));
    ok(aiq_audit_create(path(root, "x1"), str("a"), pub, BASE, crypto, &err)
       != AIQ_OK, "a small-order key is refused");

    ok(aiq_audit_open(&log, path(root, "nowhere"), &err)
       == AIQ_E_AUDIT_UNAVAILABLE && log == NULL,
       "opening nothing: %s", err.text);

    chmod(dir, 0777);
    ok(aiq_audit_open(&log, dir, &err) == AIQ_E_AUDIT_UNAVAILABLE,
       "everybody may write: %s", err.text);
    chmod(dir, 0700);

    log = reopen(dir);
    put_call(log, 1, NULL, &err);
    aiq_audit_close(log);

    /* a lock that somebody has for ever: waiting for it would end this */

    fd = open(path(dir, "lock"), O_RDWR);

    ok(fd != -1 && flock(fd, LOCK_EX) == 0, "the log is locked");
    alarm(10);
    ok(aiq_audit_open(&log, dir, &err) == AIQ_OK && aiq_audit_busy(log),
       "it can be opened");
    alarm(0);
    close(fd);
    ok(put_call(log, 2, NULL, &err) == AIQ_OK, "and appended to later");
    aiq_audit_close(log);

    log = reopen(dir);
    ok(!aiq_audit_busy(log), "nobody has the lock");
    aiq_audit_close(log);

    ok(stat(seg(dir, 1), &st) == 0 && (st.st_mode & 07777) == 0600,
       "a segment has mode 0600");

    rename(seg(dir, 1), path(dir, "elsewhere"));

    if (symlink("elsewhere", seg(dir, 1)) == 0) {
        ok(aiq_audit_open(&log, dir, &err) == AIQ_E_AUDIT_UNAVAILABLE,
           "a link is no segment: %s", err.text);
        ok(verify(dir, &r) == AIQ_AUDIT_IO, "nor for verify");
    }

    free(dir);
}


static void
test_append(void)
{
    char                *dir, buf[8192];
    unsigned             i, good;
    aiq_rc_t             rc;
    aiq_err_t            err;
    aiq_str_t            bodies[64];
    aiq_audit_t         *a, *b;
    aiq_audit_pos_t      pos[64], one;
    aiq_audit_report_t   r;

    dir = fresh();
    a = reopen(dir);
    b = reopen(dir);

    for (i = 0; i < 64; i++) {
        bodies[i] = body_event("CLOSE", buf, sizeof(buf));
    }

    syncs = 0;
    rc = aiq_audit_append(a, bodies, 64, AIQ_AUDIT_FSYNC, BASE, crypto, pos,
                          &err);
    ok(rc == AIQ_OK && pos[0].seq == 1 && pos[63].seq == 64,
       "64 records in one batch");

    rc = aiq_audit_append(a, bodies, 64, AIQ_AUDIT_FSYNC, BASE, crypto, pos,
                          &err);
    ok(rc == AIQ_OK && syncs == 1, "64 more with one fdatasync()");

    ok(aiq_audit_append(a, bodies, 1, 0, BASE, crypto, pos, &err) == AIQ_OK
       && syncs == 1, "none without the flag");

    for (i = 0, good = 0; i < 50; i++) {
        good += (put_call(i % 2 ? a : b, i, &one, &err) == AIQ_OK
                 && one.seq == 130 + i);
    }

    ok(good == 50, "two handles in turn, one chain");
    ok(verify(dir, &r) == AIQ_AUDIT_UNKNOWN && r.records == 179
       && r.unknown == 50 && r.segments == 1 && r.seq == 179,
       "verify: %s", r.text);
    ok(memcmp(r.tail, one.leaf, AIQ_HASH_LEN) == 0, "the tail is the leaf");

    ok(put(a, str("\"t\":\"X\",\n\"a\":1}"), NULL, &err) == AIQ_E_INTERNAL
       && put(a, str("\"x\":1}"), NULL, &err) == AIQ_E_INTERNAL
       && put(a, str("\"t\":\"X\",\"a\":1"), NULL, &err) == AIQ_E_INTERNAL
       && put(a, str(""), NULL, &err) == AIQ_E_INTERNAL,
       "what is no body is refused");
    ok(put_call(a, 99, &one, &err) == AIQ_OK && one.seq == 180,
       "and nothing of it was written");

    unlink(path(dir, "lock"));
    ok(put_call(a, 100, &one, &err) == AIQ_OK
       && put_call(b, 101, &one, &err) == AIQ_OK && one.seq == 182,
       "a lock that was deleted is made again by all");

    aiq_audit_close(a);
    aiq_audit_close(b);
    free(dir);
}


static void
test_processes(void)
{
    int                  status, bad;
    char                *dir;
    pid_t                pid[4];
    unsigned             i, n;
    aiq_err_t            err;
    aiq_audit_t         *log;
    aiq_audit_pos_t      pos;
    aiq_audit_report_t   r;

    dir = fresh();
    fflush(stdout);

    for (i = 0; i < 4; i++) {
        pid[i] = fork();

        if (pid[i] != 0) {
            continue;
        }

        log = reopen(dir);
        crypto = aiq_crypto_new();

        for (n = 0; n < 100; n++) {
            if (put_call(log, i * 1000 + n, &pos, &err) != AIQ_OK
                || put_outcome(log, i * 1000 + n, &pos, "executed", &err)
                   != AIQ_OK)
            {
                _exit(1);
            }
        }

        _exit(0);
    }

    for (i = 0, bad = 0; i < 4; i++) {
        bad += (waitpid(pid[i], &status, 0) != pid[i] || status != 0);
    }

    ok(bad == 0, "4 processes, 200 appends each");
    ok(verify(dir, &r) == AIQ_AUDIT_OK && r.records == 800
       && r.intents == 400 && r.outcomes == 400 && r.segments == 1,
       "one chain: %s", r.text);

    free(dir);
}


/* kill -9 at any time: whatever was confirmed is there */

static void
test_killed(void)
{
    int                  i, p[2], bad;
    char                *dir;
    pid_t                pid;
    unsigned             n;
    uint64_t             seq;
    aiq_err_t            err;
    aiq_audit_t         *log;
    struct timespec      ts;
    aiq_audit_pos_t      pos;
    aiq_audit_report_t   r;

    dir = fresh();
    bad = 0;
    fflush(stdout);

    for (i = 0; i < 20; i++) {

        if (pipe(p) != 0 || (pid = fork()) == -1) {
            bad++;
            break;
        }

        if (pid == 0) {
            log = reopen(dir);

            for (n = 0; log != NULL; n++) {
                if (put_call(log, n, &pos, &err) != AIQ_OK
                    || syscall(SYS_write, p[1], &pos.seq, 8) != 8)
                {
                    _exit(1);
                }
            }

            _exit(1);
        }

        close(p[1]);

        ts.tv_sec = 0;
        ts.tv_nsec = 5000000 + i * 300000;
        nanosleep(&ts, NULL);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);

        for (seq = 0; read(p[0], &seq, 8) == 8; /* void */ ) { }

        close(p[0]);

        aiq_audit_verify(dir, crypto, &r);

        bad += (!fine((int) r.code) || r.seq < seq);
    }

    ok(bad == 0, "kill -9 of a writer: what was confirmed is there");
    ok(verify(dir, &r) == AIQ_AUDIT_UNKNOWN, "verify: %s", r.text);

    free(dir);
}


static void
test_limit(rlim_t room, const char *what)
{
    char                *dir;
    size_t               len, all;
    aiq_rc_t             rc[3];
    aiq_err_t            err;
    aiq_audit_t         *log, *other;
    struct stat          st;
    struct rlimit        old, lim;
    aiq_audit_pos_t      pos;
    aiq_audit_report_t   r;

    dir = fresh();
    log = reopen(dir);
    other = reopen(dir);

    put_call(log, 1, &pos, &err);
    put_outcome(log, 1, &pos, "executed", &err);

    stat(seg(dir, 1), &st);
    len = (size_t) st.st_size;

    getrlimit(RLIMIT_FSIZE, &old);
    lim = old;
    lim.rlim_cur = room ? len + room : 10;
    setrlimit(RLIMIT_FSIZE, &lim);

    rc[0] = put_call(log, 2, &pos, &err);

    lim.rlim_cur = 10;
    setrlimit(RLIMIT_FSIZE, &lim);

    rc[1] = put_call(log, 3, &pos, NULL);
    rc[2] = put_call(log, 4, &pos, NULL);

    setrlimit(RLIMIT_FSIZE, &old);

    ok(rc[0] == AIQ_E_AUDIT_UNAVAILABLE && rc[1] == rc[0] && rc[2] == rc[0],
       "%s: %s", what, err.text);

    stat(seg(dir, 1), &st);
    all = (size_t) st.st_size;

    ok(all == len + room && access(seg(dir, 3), F_OK) != 0,
       "%s: %zu bytes were torn, and nothing more was left behind", what,
       all - len);

    ok(verify(dir, &r) == (room ? AIQ_AUDIT_TORN : AIQ_AUDIT_OK),
       "%s: verify meanwhile: %s", what, r.text);

    ok(put_call(other, 5, &pos, &err) == AIQ_OK
       && put_outcome(other, 5, &pos, "executed", &err) == AIQ_OK
       && put_call(log, 6, &pos, &err) == AIQ_OK
       && put_outcome(log, 6, &pos, "executed", &err) == AIQ_OK,
       "%s: then it goes on, for another process as well", what);

    ok(verify(dir, &r) == AIQ_AUDIT_OK
       && r.segments == (room ? 2u : 1u) && r.records == (room ? 7u : 6u),
       "%s: verify: OK%s", what, r.text);

    aiq_audit_close(log);
    aiq_audit_close(other);
    free(dir);
}


static void
test_partial(void)
{
    char                *dir, *text, buf[8192];
    aiq_err_t            err;
    aiq_str_t            bodies[3];
    aiq_audit_t         *log;
    aiq_audit_pos_t      pos[3];
    aiq_audit_report_t   r;
    long                 line;
    struct stat          st;

    dir = fresh();
    log = reopen(dir);

    bodies[0] = bodies[1] = bodies[2] = body_event("CLOSE", buf, sizeof(buf));

    put(log, bodies[0], pos, &err);
    stat(seg(dir, 1), &st);
    line = (long) st.st_size;

    /* two of three lines: nobody may rely on any of them */

    fault_write = ENOSPC;
    fault_after = 2 * line;
    ok(aiq_audit_append(log, bodies, 3, AIQ_AUDIT_FSYNC, BASE, crypto, pos,
                        &err) == AIQ_E_AUDIT_UNAVAILABLE,
       "a batch was cut at a line: %s", err.text);
    fault_write = 0;

    ok(put(log, bodies[0], pos, &err) == AIQ_OK && pos[0].seq == 5,
       "two of its records are there, the next one comes behind");

    text = slurp(seg(dir, 4), NULL);
    ok(text != NULL && strstr(text, "\"t\":\"RECOVERY\"") != NULL
       && strstr(text, "\"off\":") != NULL
       && strstr(text, "\"len\":0,") != NULL
       && strstr(text, "\"uncertain\":true,\"uncertain_from\":2,"
                 "\"uncertain_to\":3}") != NULL,
       "RECOVERY says which are uncertain");
    free(text);

    /* one line and a half */

    fault_write = ENOSPC;
    fault_after = line + line / 2;
    aiq_audit_append(log, bodies, 3, AIQ_AUDIT_FSYNC, BASE, crypto, pos,
                     &err);
    fault_write = 0;

    ok(put(log, bodies[0], pos, &err) == AIQ_OK && pos[0].seq == 8,
       "the same within a line");

    text = slurp(seg(dir, 7), NULL);
    ok(text != NULL && strstr(text, "\"len\":0,") == NULL
       && strstr(text, "\"uncertain_from\":6,\"uncertain_to\":6}") != NULL,
       "torn and uncertain");
    free(text);

    /* EIO and nothing written */

    fault_write = EIO;
    fault_after = 0;
    put(log, bodies[0], pos, &err);
    fault_write = 0;
    ok(put(log, bodies[0], pos, &err) == AIQ_OK && pos[0].seq == 10
       && access(seg(dir, 9), F_OK) == 0,
       "EIO ends a segment even if nothing was written");

    ok(verify(dir, &r) == AIQ_AUDIT_OK && r.segments == 4,
       "verify: OK%s", r.text);

    aiq_audit_close(log);
    free(dir);
}


static void
test_sync(void)
{
    char                *dir, *text, buf[8192];
    aiq_rc_t             rc;
    aiq_err_t            err;
    aiq_str_t            body;
    aiq_audit_t         *log;
    aiq_audit_pos_t      pos;
    aiq_audit_report_t   r;

    dir = fresh();
    log = reopen(dir);
    body = body_event("CLOSE", buf, sizeof(buf));

    put(log, body, &pos, &err);
    aiq_audit_append(log, &body, 1, 0, BASE, crypto, &pos, &err);

    fault_sync = EIO;
    rc = put(log, body, &pos, &err);
    fault_sync = 0;
    ok(rc == AIQ_E_AUDIT_UNAVAILABLE, "fdatasync() fails: %s", err.text);

    syncs = 0;
    ok(put(log, body, &pos, &err) == AIQ_OK && pos.seq == 5 && syncs == 0,
       "the segment is never synced again");

    text = slurp(seg(dir, 4), NULL);
    ok(text != NULL && strstr(text, "\"uncertain\":true,\"uncertain_from\":2,"
                              "\"uncertain_to\":3}") != NULL,
       "everything since the last good sync is uncertain");
    free(text);

    /* the directory: the name of the new segment may be lost */

    fault_sync = EIO;
    put(log, body, &pos, &err);
    fault_sync = 0;
    fault_dirsync = EIO;
    ok(put(log, body, &pos, &err) == AIQ_E_AUDIT_UNAVAILABLE
       && access(seg(dir, 7), F_OK) == 0, "fsync() of the directory fails: %s",
       err.text);
    fault_dirsync = 0;
    ok(put(log, body, &pos, &err) == AIQ_OK && pos.seq == 10,
       "then one more segment");

    fault_sync = EIO;
    put(log, body, &pos, &err);
    fault_sync = 0;
    fault_link = ENOSPC;
    ok(put(log, body, &pos, &err) == AIQ_E_AUDIT_UNAVAILABLE
       && access(seg(dir, 12), F_OK) != 0, "linking fails: %s", err.text);
    fault_link = 0;
    ok(put(log, body, &pos, &err) == AIQ_OK && pos.seq == 13, "then not");

    ok(verify(dir, &r) == AIQ_AUDIT_OK && r.segments == 5,
       "verify: OK%s", r.text);

    aiq_audit_close(log);
    free(dir);

    /* a file system without O_TMPFILE; a crash left the other name behind */

    fault_tmpfile = EOPNOTSUPP;
    dir = fresh();
    log = reopen(dir);
    put(log, body, &pos, &err);
    ok(link(seg(dir, 1), path(dir, ".new")) == 0, "a second link of seg-1");
    fault_sync = EIO;
    put(log, body, &pos, &err);
    fault_sync = 0;
    ok(put(log, body, &pos, &err) == AIQ_OK && pos.seq == 4
       && access(path(dir, ".new"), F_OK) != 0
       && verify(dir, &r) == AIQ_AUDIT_OK && r.segments == 2,
       "without O_TMPFILE as well: %s", r.text);
    fault_tmpfile = 0;

    aiq_audit_close(log);
    free(dir);
}


/* one handle has failed, another one does not know and goes on */

static void
test_others(void)
{
    char                *dir, *text, buf[8192];
    aiq_err_t            err;
    aiq_str_t            body, three[3];
    aiq_audit_t         *a, *b;
    struct stat          st;
    aiq_audit_pos_t      pos[3];
    aiq_audit_report_t   r;

    dir = fresh();
    a = reopen(dir);
    b = reopen(dir);
    body = body_event("CLOSE", buf, sizeof(buf));
    three[0] = three[1] = three[2] = body;

    put(a, body, pos, &err);
    stat(seg(dir, 1), &st);

    fault_sync = EIO;
    put(a, body, pos, &err);
    fault_sync = 0;

    ok(put(b, body, pos, &err) == AIQ_OK && pos[0].seq == 4
       && put(a, body, pos, &err) == AIQ_OK && pos[0].seq == 5
       && put(b, body, pos, &err) == AIQ_OK && pos[0].seq == 6,
       "after a failed sync the other begins a segment, the one follows");

    text = slurp(seg(dir, 3), NULL);
    ok(text != NULL && strstr(text, "\"uncertain_from\":2,"
                              "\"uncertain_to\":2}") != NULL,
       "what is uncertain is only what was");
    free(text);

    /* a line and a half; the other one finds the torn tail first */

    fault_write = ENOSPC;
    fault_after = (long) st.st_size * 3 / 2;
    aiq_audit_append(a, three, 3, AIQ_AUDIT_FSYNC, BASE, crypto, pos, &err);
    fault_write = 0;

    ok(put(b, body, pos, &err) == AIQ_OK && pos[0].seq == 9
       && put(a, body, pos, &err) == AIQ_OK && pos[0].seq == 11
       && put(b, body, pos, &err) == AIQ_OK && pos[0].seq == 12,
       "after a torn line both begin one");

    text = slurp(seg(dir, 8), NULL);
    ok(text != NULL && strstr(text, "\"uncertain\":false}") != NULL,
       "the one declares what is torn");
    free(text);

    text = slurp(seg(dir, 10), NULL);
    ok(text != NULL && strstr(text, "\"len\":0,") != NULL
       && strstr(text, "\"uncertain_from\":7,\"uncertain_to\":7}") != NULL,
       "the other what is uncertain");
    free(text);

    ok(verify(dir, &r) == AIQ_AUDIT_OK && r.segments == 4, "verify: OK%s",
       r.text);

    aiq_audit_close(a);
    aiq_audit_close(b);
    free(dir);
}


static void
test_shrink(void)
{
    char                *dir, *text;
    size_t               len;
    aiq_err_t            err;
    aiq_audit_t         *log;
    struct stat          st;

    dir = fresh();
    log = reopen(dir);

    put_call(log, 1, NULL, &err);
    stat(seg(dir, 1), &st);
    put_call(log, 2, NULL, &err);

    ok(truncate(seg(dir, 1), st.st_size) == 0
       && put_call(log, 3, NULL, &err) == AIQ_E_AUDIT_UNAVAILABLE,
       "cut: %s", err.text);
    ok(put_call(log, 3, NULL, &err) == AIQ_E_AUDIT_UNAVAILABLE,
       "and it stays like that");
    ok(truncate(seg(dir, 1), 0) == 0
       && put_call(log, 3, NULL, &err) == AIQ_E_AUDIT_UNAVAILABLE,
       "copytruncate: %s", err.text);

    aiq_audit_close(log);

    ok(aiq_audit_open(&log, dir, &err) == AIQ_E_AUDIT_UNAVAILABLE,
       "opening an empty segment: %s", err.text);

    free(dir);
    dir = fresh();
    log = reopen(dir);
    put_call(log, 1, NULL, &err);
    rename(seg(dir, 1), path(dir, "seg.1"));
    ok(put_call(log, 2, NULL, &err) == AIQ_E_AUDIT_UNAVAILABLE,
       "renamed: %s", err.text);

    text = slurp(path(dir, "seg.1"), &len);
    spit(seg(dir, 1), text, len);
    free(text);
    ok(put_call(log, 2, NULL, &err) == AIQ_E_AUDIT_UNAVAILABLE,
       "replaced by a copy: %s", err.text);

    spit(seg(dir, 1), "garbage\n", 8);

    aiq_audit_close(log);

    ok(aiq_audit_open(&log, dir, &err) == AIQ_E_AUDIT_UNAVAILABLE,
       "opening garbage: %s", err.text);
    free(dir);
}


static void
test_torn(void)
{
    char                *dir, *text;
    size_t               len;
    unsigned             i;
    aiq_err_t            err;
    aiq_audit_t         *log;
    aiq_audit_pos_t      pos;
    aiq_audit_report_t   r;
    static char          big[200000];

    for (i = 0; i < 2; i++) {

        dir = fresh();
        log = reopen(dir);
        put_call(log, 1, &pos, &err);
        put_outcome(log, 1, &pos, "executed", &err);
        aiq_audit_close(log);

        /* as after a crash of the machine: zeros, more than one line of it */

        text = slurp(seg(dir, 1), &len);
        memcpy(big, text, len);
        memset(big + len, 0, sizeof(big) - len);
        free(text);

        spit(seg(dir, 1), big, i ? sizeof(big) : len + 17);

        ok(verify(dir, &r) == AIQ_AUDIT_TORN, "torn: %s", r.text);

        log = reopen(dir);
        ok(log != NULL && verify(dir, &r) == AIQ_AUDIT_TORN,
           "opening writes nothing");
        ok(put_call(log, 2, &pos, &err) == AIQ_OK && pos.seq == 4,
           "a new segment begins");
        aiq_audit_close(log);

        ok(verify(dir, &r) == AIQ_AUDIT_UNKNOWN && r.segments == 2
           && r.unknown == 1, "and declares what is torn: %s", r.text);

        spit(seg(dir, 1), big, i ? sizeof(big) - 1 : len + 16);
        ok(verify(dir, &r) == AIQ_AUDIT_TORN, "a byte less: %s", r.text);

        spit(seg(dir, 1), big, len);
        ok(verify(dir, &r) == AIQ_AUDIT_TORN, "cut away: %s", r.text);

        free(dir);
    }
}


int
main(void)
{
    signal(SIGXFSZ, SIG_IGN);
    setup();

    test_create();
    test_append();
    test_processes();
    test_killed();
    test_limit(100, "a write that stops half way");
    test_limit(0, "a write that does not begin");
    test_partial();
    test_sync();
    test_others();
    test_shrink();
    test_torn();

    return teardown();
}
