
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Segments one behind the other, and the reserve: what is in the way of a new
 * one leaves the old one as it is, and want of room is told before it is felt.
 */


#include "audit_log.h"


static aiq_audit_keep_t   keep;
static aiq_audit_state_t  state;
static aiq_err_t          err;
static char              *made[64];
static unsigned           nmade;


/* a call and its outcome, prepared as nginx does it */

static aiq_rc_t
served(aiq_audit_t *log, unsigned n, int64_t now)
{
    aiq_rc_t         rc;
    aiq_audit_pos_t  pos;

    rc = aiq_audit_prepare(log, 1024, now, crypto, &state, &err);

    if (rc == AIQ_OK) {
        rc = put_call(log, n, &pos, &err);
    }

    if (rc == AIQ_OK) {
        rc = put_outcome(log, n, &pos, "executed", &err);
    }

    return rc;
}


static aiq_audit_t *
start(char **dir, uint64_t rotate, uint64_t reserve)
{
    aiq_audit_t  *log;

    *dir = fresh();
    made[nmade++] = *dir;
    log = reopen(*dir);

    memset(&keep, 0, sizeof(keep));
    memset(&state, 0, sizeof(state));

    keep.rotate = rotate;
    keep.reserve = reserve;
    aiq_audit_keep(log, &keep);

    reserves = 0;

    return log;
}


static unsigned
segments(const char *dir)
{
    aiq_audit_report_t  r;

    verify(dir, &r);

    return fine((int) r.code) ? (unsigned) r.segments : 0;
}


/* line i of a file, from 0; in a buffer of its own */

static char *
line_of(const char *name, unsigned i)
{
    FILE         *f;
    static char   buf[AIQ_AUDIT_LINE_MAX + 1];

    f = fopen(name, "r");
    buf[0] = '\0';

    do {
        if (f == NULL || fgets(buf, sizeof(buf), f) == NULL) {
            buf[0] = '\0';
            break;
        }
    } while (i--);

    if (f) {
        fclose(f);
    }

    return buf;
}


static uint64_t
size_of(const char *name)
{
    struct stat  st;

    return stat(name, &st) == 0 ? (uint64_t) st.st_size : 0;
}


static uint64_t
blocks_of(const char *name)
{
    struct stat  st;

    return stat(name, &st) == 0 ? (uint64_t) st.st_blocks * 512 : 0;
}


static void
test_size(void)
{
    int                 bad;
    char               *dir, want[256];
    unsigned            i, n;
    uint64_t            first;
    aiq_audit_t        *log, *other;
    aiq_audit_report_t  r;

    log = start(&dir, 65536, 0);
    other = reopen(dir);
    aiq_audit_keep(other, &keep);

    first = 0;
    n = 0;
    bad = 0;

    /* two that take turns, as workers do */

    for (i = 0; i < 400; i++) {
        bad |= served(i % 3 ? log : other, i, BASE + i) != AIQ_OK;

        if (state.rotated) {
            n++;

            if (first == 0) {
                first = state.seq;
            }
        }
    }

    ok(bad == 0, "400 calls: %s", bad ? err.text : "all recorded");
    ok(verify(dir, &r) == AIQ_AUDIT_OK, "verify: %s", r.text);
    ok(n > 4 && r.segments == n + 1, "%u segments were begun", n);
    ok(r.records == 800 + n, "each with one record of its own");
    ok(size_of(seg(dir, 1)) <= 65536 && size_of(seg(dir, 1)) > 60000,
       "a segment of 64k has %llu bytes",
       (unsigned long long) size_of(seg(dir, 1)));

    snprintf(want, sizeof(want), "\"t\":\"ROTATE\",\"ts\":\"2026-11-21T02:00:"
             "00.%06uZ\",\"seg\":\"seg-0000000000000001.jsonl\",\"size\":%llu,"
             "\"records\":%llu}\n",
             (unsigned) (first / 2), (unsigned long long)
             size_of(seg(dir, 1)), (unsigned long long) first - 1);

    ok(is_text(strstr(line_of(seg(dir, first), 0), "\"t\":"), want),
       "ROTATE says how the one before ends");

    aiq_audit_close(log);
    aiq_audit_close(other);

    log = reopen(dir);
    ok(served(log, 1000, BASE) == AIQ_OK && segments(dir) == n + 1,
       "goes on in the newest; without a size none is begun");
    aiq_audit_close(log);
}


static void
test_age(void)
{
    char         *dir;
    aiq_audit_t  *log;

    log = start(&dir, 0, 0);
    keep.age_us = 1000000;
    aiq_audit_keep(log, &keep);

    served(log, 0, BASE);
    served(log, 1, BASE + 999999);
    ok(!state.rotated && segments(dir) == 1, "younger than its time");

    aiq_audit_close(log);
    log = reopen(dir);
    aiq_audit_keep(log, &keep);

    served(log, 2, BASE - 5000000);
    ok(!state.rotated, "a clock that was set back is no reason");

    served(log, 3, BASE + 1000000);
    ok(state.rotated && segments(dir) == 2, "as old as that: the next one");

    ok(aiq_audit_prepare(log, 0, BASE + 1900000, crypto, &state, &err)
       == AIQ_OK && !state.rotated, "its own time is that of its ROTATE");

    ok(aiq_audit_prepare(log, 0, BASE + 2000000, crypto, &state, &err)
       == AIQ_OK && state.rotated && segments(dir) == 3, "also if idle");

    ok(aiq_audit_prepare(log, 0, BASE + 9000000, crypto, &state, &err)
       == AIQ_OK && !state.rotated && segments(dir) == 3,
       "but never behind a ROTATE alone");

    aiq_audit_close(log);
}


static void
test_by_hand(void)
{
    int           fd;
    char         *dir;
    uint64_t      first;
    aiq_audit_t  *log;

    log = start(&dir, 0, 0);

    ok(aiq_audit_rotate(log, BASE, crypto, &first, &err) == AIQ_DECLINED,
       "an empty log is not rotated");

    served(log, 0, BASE);
    ok(aiq_audit_rotate(log, BASE, crypto, &first, &err) == AIQ_OK
       && first == 3 && segments(dir) == 2, "two records are");
    ok(aiq_audit_rotate(log, BASE, crypto, &first, &err) == AIQ_DECLINED
       && segments(dir) == 2, "a ROTATE alone is not");

    served(log, 1, BASE);

    fd = open(seg(dir, 3), O_WRONLY|O_APPEND);
    ok(fd != -1 && write(fd, "{\"v\"", 4) == 4, "torn bytes");
    close(fd);

    ok(aiq_audit_rotate(log, BASE, crypto, &first, &err) == AIQ_OK
       && strstr(line_of(seg(dir, first), 0), "\"t\":\"RECOVERY\""),
       "behind them a RECOVERY");
    ok(segments(dir) == 3, "which verifies");

    aiq_audit_close(log);
}


/* what ROTATE says is checked */

static void
test_lies(void)
{
    int          code;
    char        *dir, *p, *line, text[512];
    unsigned     i;
    uint64_t     first;
    aiq_audit_t  *log;

    static const struct {
        const char  *from;
        const char  *to;
        int          code;
    } lies[] = {
        { "\"size\":", "\"size\":1", AIQ_AUDIT_BROKEN },
        { "\"records\":", "\"records\":1", AIQ_AUDIT_BROKEN },
        { "seg-0000000000000001", "seg-0000000000000002", AIQ_AUDIT_BROKEN },
        { "\"seg\":", "\"sag\":", AIQ_AUDIT_BROKEN },
        { "\"size\":", "\"tize\":", AIQ_AUDIT_BROKEN },
        { "\"records\":", "\"recordz\":", AIQ_AUDIT_BROKEN },
        { "\"ROTATE\"", "\"OPEN\"", AIQ_AUDIT_BROKEN },
        { "\"ROTATE\"", "\"RECOVERY\"", AIQ_AUDIT_TORN }
    };

    log = start(&dir, 0, 0);
    served(log, 0, BASE);
    (void) aiq_audit_rotate(log, BASE, crypto, &first, &err);
    aiq_audit_close(log);

    /* nothing is chained to the last record: each lie has a right hash */

    line = strdup(line_of(seg(dir, 3), 0));
    ok(verify(dir, NULL) == AIQ_AUDIT_OK, "the truth");

    for (i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        p = strstr(line, lies[i].from);

        snprintf(text, sizeof(text), "%.*s%s%s", (int) (p - line), line,
                 lies[i].to, p + strlen(lies[i].from));
        spit(seg(dir, 3), text, strlen(text));

        code = verify(dir, NULL);
        ok(code == lies[i].code, "%s instead of %s: %d", lies[i].to,
           lies[i].from, code);
    }

    spit(seg(dir, 3), line, strlen(line));
    log = reopen(dir);

    /* a segment that was cut in two, or two that were made one */

    served(log, 1, BASE);
    served(log, 2, BASE);
    aiq_audit_close(log);

    free(line);
    line = strdup(line_of(seg(dir, 3), 4));

    ok(truncate(seg(dir, 3), (off_t) (size_of(seg(dir, 3)) - strlen(line)))
       == 0, "the last line");
    spit(seg(dir, 7), line, strlen(line));
    ok(verify(dir, NULL) == AIQ_AUDIT_BROKEN, "cannot be moved to a segment "
       "of its own");
    free(line);
}


/* whatever fails before the name is there leaves the segment as it was */

static void
test_faults(void)
{
    char         *dir;
    unsigned      i;
    uint64_t      first;
    aiq_audit_t  *log;

    static const struct {
        const char  *what;
        int         *fault;
        int          e;
        unsigned     segments;
    } faults[] = {
        { "no name", &fault_link, EIO, 1 },
        { "the name is refused", &fault_link, EACCES, 1 },
        { "no room for the file", &fault_tmpfile, ENOSPC, 1 },
        { "no room for the record", &fault_write, ENOSPC, 1 },
        { "no room for the reserve", &fault_reserve, ENOSPC, 1 },
        { "over quota", &fault_reserve, EDQUOT, 1 }
    };

    for (i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        log = start(&dir, 65536, 100000);
        keep.rotate = 1;
        served(log, 0, BASE);
        aiq_audit_keep(log, &keep);

        *faults[i].fault = faults[i].e;
        fault_after = 0;

        ok(aiq_audit_prepare(log, 800, BASE, crypto, &state, &err) == AIQ_OK
           && state.low && !state.rotated, "%s: low, %s", faults[i].what,
           err.text);

        *faults[i].fault = 0;

        ok(segments(dir) == 1, "the segment stays the newest");
        ok(put_call(log, 1, NULL, &err) == AIQ_OK && segments(dir) == 1,
           "and is written to");

        ok(aiq_audit_prepare(log, 800, BASE + AIQ_AUDIT_AGAIN - 1, crypto,
                             &state, &err)
           == AIQ_OK && state.low, "not tried again at once");

        ok(aiq_audit_prepare(log, 800, BASE + AIQ_AUDIT_AGAIN, crypto,
                             &state, &err)
           == AIQ_OK && !state.low && state.rotated && segments(dir) == 2,
           "but soon");

        aiq_audit_close(log);
    }

    /* the segment before cannot be synced */

    log = start(&dir, 1, 0);
    served(log, 0, BASE);
    fault_sync = EIO;
    ok(aiq_audit_prepare(log, 800, BASE, crypto, &state, &err)
       == AIQ_E_AUDIT_UNAVAILABLE, "no sync: %s", err.text);
    fault_sync = 0;
    ok(served(log, 1, BASE) == AIQ_OK && segments(dir) == 2, "goes on");
    ok(strstr(line_of(seg(dir, 3), 0), "\"t\":\"RECOVERY\"") != NULL
       && strstr(line_of(seg(dir, 3), 0), "\"uncertain\":true") != NULL,
       "with a RECOVERY that says so");
    aiq_audit_close(log);

    /* the name is there, but perhaps not on disk */

    log = start(&dir, 1, 0);
    served(log, 0, BASE);
    fault_dirsync = EIO;
    ok(aiq_audit_prepare(log, 800, BASE, crypto, &state, &err)
       == AIQ_E_AUDIT_UNAVAILABLE, "directory not synced: %s", err.text);
    fault_dirsync = 0;
    ok(served(log, 1, BASE) == AIQ_OK && segments(dir) == 3, "goes on");
    ok(strstr(line_of(seg(dir, 4), 0), "\"uncertain_from\":3,"
              "\"uncertain_to\":3}") != NULL, "the ROTATE is uncertain");
    aiq_audit_close(log);

    /* without O_TMPFILE, and a name that a crash has left */

    log = start(&dir, 0, 0);
    served(log, 0, BASE);
    fault_tmpfile = EOPNOTSUPP;
    spit(path(dir, ".new"), "x", 1);
    ok(aiq_audit_rotate(log, BASE, crypto, &first, &err) == AIQ_OK
       && segments(dir) == 2 && access(path(dir, ".new"), F_OK) != 0,
       "what was left of a crash is not in the way");
    fault_tmpfile = 0;
    aiq_audit_close(log);
}


/* killed at every step: what the next process finds can be gone on with */

static void
test_killed(void)
{
    int           status;
    char         *dir;
    pid_t         pid;
    unsigned      i;
    aiq_audit_t  *log;

    for (i = 0; i < 5; i++) {
        log = start(&dir, 1, 65536);
        served(log, 0, BASE);
        fflush(stdout);

        pid = fork();

        if (pid == 0) {

            /* a fault of this kind is where the child ends */

            aiq_audit_close(log);
            log = reopen(dir);
            aiq_audit_keep(log, &keep);

            fault_tmpfile = (i == 3) ? EOPNOTSUPP : 0;
            fault_reserve = (i == 0) ? -1 : 0;
            fault_write = (i == 1) ? -1 : 0;
            fault_after = 10;
            fault_link = (i == 2 || i == 3) ? -1 : 0;
            fault_dirsync = (i == 4) ? -1 : 0;

            (void) aiq_audit_prepare(log, 800, BASE, crypto, &state, &err);
            _exit(1);
        }

        (void) waitpid(pid, &status, 0);
        ok(WIFSIGNALED(status), "killed at step %u", i);

        ok(segments(dir) == (i == 4 ? 2 : 1), "verifies");
        ok(served(log, 1, BASE) == AIQ_OK && segments(dir) == 2,
           "the next process rotates: %s", err.text);

        aiq_audit_close(log);
    }
}


static void
test_reserve(void)
{
    int            i, bad;
    char          *dir;
    uint64_t       size;
    aiq_audit_t   *log;
    unsigned       asked;

    log = start(&dir, 0, 262144);

    served(log, 0, BASE);
    ok(reserves == 0, "the first record finds no segment");
    served(log, 1, BASE);

    size = blocks_of(seg(dir, 1));

    ok(reserves == 1 && size >= 262144, "%llu bytes are set aside",
       (unsigned long long) size);
    ok(size_of(seg(dir, 1)) < 4096, "the size says nothing of them");
    ok(segments(dir) == 1, "nor does verify");

    for (i = 2, bad = 0; i < 200; i++) {
        bad |= served(log, (unsigned) i, BASE) != AIQ_OK;
    }

    ok(!bad && reserves > 1 && reserves < 6,
       "200 calls have asked %d times for more", reserves);

    /* full: what was set aside is used, and no more is promised */

    asked = (unsigned) reserves;
    fault_reserve = ENOSPC;

    for (i = 200; i < 1000 && !state.low; i++) {
        (void) served(log, (unsigned) i, BASE);
    }

    ok(state.low && blocks_of(seg(dir, 1))
                    >= size_of(seg(dir, 1)) + 262144 - 4096,
       "low: all of the reserve is left");
    ok(strstr(err.text, "No space left") != NULL, "why: %s", err.text);

    ok(aiq_audit_prepare(log, 0, BASE + AIQ_AUDIT_AGAIN, crypto, &state, &err)
       == AIQ_OK && state.low && state.tried_us == BASE + AIQ_AUDIT_AGAIN,
       "still low when it is tried again");

    asked = (unsigned) reserves;
    state.low = 1;
    ok(aiq_audit_prepare(log, 0, BASE + AIQ_AUDIT_AGAIN + 5, crypto, &state,
                         &err)
       == AIQ_OK && (unsigned) reserves == asked, "not asked all the time");

    fault_reserve = 0;
    ok(aiq_audit_prepare(log, 0, BASE + 2 * AIQ_AUDIT_AGAIN, crypto, &state,
                         &err)
       == AIQ_OK && !state.low, "room: as before");

    /* a clock that was set back does not keep it low */

    state.low = 1;
    state.tried_us = BASE + 999999999;
    ok(aiq_audit_prepare(log, 0, BASE, crypto, &state, &err) == AIQ_OK
       && !state.low, "also by a clock that was set back");

    /* given back when the segment is complete */

    keep.rotate = 1;
    aiq_audit_keep(log, &keep);
    size = size_of(seg(dir, 1));
    served(log, 2000, BASE);
    ok(state.rotated && size_of(seg(dir, 1)) == size
       && blocks_of(seg(dir, 1)) < size + 65536,
       "of a complete segment it is given back");
    ok(segments(dir) == 2, "which has all its records");

    aiq_audit_close(log);

    /* no such thing */

    log = start(&dir, 0, 262144);
    served(log, 0, BASE);
    fault_reserve = EOPNOTSUPP;
    served(log, 1, BASE);
    ok(state.plain && !state.low, "a file system that cannot do it");
    served(log, 2, BASE);
    ok(reserves == 1, "is asked once");

    keep.rotate = 1;
    aiq_audit_keep(log, &keep);
    served(log, 3, BASE);
    ok(state.rotated && !state.low && segments(dir) == 2, "and rotates");
    fault_reserve = 0;
    aiq_audit_close(log);
}


int
main(void)
{
    setup();

    test_size();
    test_age();
    test_by_hand();
    test_lies();
    test_faults();
    test_killed();
    test_reserve();

    while (nmade) {
        free(made[--nmade]);
    }

    return teardown();
}
