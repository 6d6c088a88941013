
/*
 * Copyright (C) ngx_armoriq authors
 *
 * A sync that has failed is known to everybody who comes later: to other
 * handles of the log, which play other processes here, to those that share
 * memory with the one that failed, as workers do, and to those that were not
 * there yet.
 */


#include "audit_log.h"
#include "audit_file.h"


static int               fault_mark;  /* errno of pwrite() */
static aiq_err_t         err;
static aiq_str_t         body;
static aiq_audit_pos_t   pos[3];
static char              event[256];


ssize_t
pwrite(int fd, const void *buf, size_t len, off_t off)
{
    if (fault_mark) {
        return fault(fault_mark);
    }

    return (ssize_t) syscall(SYS_pwrite64, fd, buf, len, off);
}


static int
verified(const char *dir, uint64_t segments)
{
    aiq_audit_report_t  r;

    aiq_audit_verify(dir, crypto, &r);

    if (r.code != AIQ_AUDIT_OK || r.segments != segments) {
        diag("verify: %d, %llu segments, %s", r.code,
             (unsigned long long) r.segments, r.text);
    }

    return r.code == AIQ_AUDIT_OK && r.segments == segments;
}


/* the segment begins with a RECOVERY that says so; from 0: of nothing */

static int
declares(const char *dir, unsigned long long first, unsigned from,
    unsigned to)
{
    int    ok;
    char  *text, want[128];

    snprintf(want, sizeof(want), "\"uncertain\":true,\"uncertain_from\":%u,"
             "\"uncertain_to\":%u}\n", from, to);

    if (from == 0) {
        snprintf(want, sizeof(want), "\"uncertain\":false}\n");
    }

    text = slurp(seg(dir, first), NULL);

    ok = text != NULL && strstr(text, "\"t\":\"RECOVERY\"") != NULL
         && strstr(text, want) != NULL;

    if (!ok) {
        diag("%s", text ? text : "no such segment");
    }

    free(text);

    return ok;
}


/* one record with a sync, or without; the number it has got, or 0 */

static uint64_t
add(aiq_audit_t *log, unsigned flags)
{
    return aiq_audit_append(log, &body, 1, flags, BASE, crypto, pos, &err)
           == AIQ_OK ? pos[0].seq : 0;
}


static uint64_t
add_unsynced(aiq_audit_t *log)
{
    uint64_t  seq;

    fault_sync = EIO;
    seq = add(log, AIQ_AUDIT_FSYNC);
    fault_sync = 0;

    return seq;
}


static void
test_others(void)
{
    char         *dir;
    aiq_audit_t  *a, *b;

    dir = fresh();
    a = reopen(dir);
    b = reopen(dir);

    add(a, AIQ_AUDIT_FSYNC);
    add(b, AIQ_AUDIT_FSYNC);
    add(a, 0);

    ok(add_unsynced(a) == 0, "a sync fails: %s", err.text);

    syncs = 0;

    ok(add(b, AIQ_AUDIT_FSYNC) == 6 && syncs == 0,
       "another process does not sync that segment again");
    ok(declares(dir, 5, 3, 4), "what the first one had not synced is "
       "uncertain");
    ok(add(a, AIQ_AUDIT_FSYNC) == 7 && verified(dir, 2),
       "the first one follows");

    /* nobody is there any more */

    ok(add_unsynced(b) == 0, "a sync fails again");
    aiq_audit_close(a);
    aiq_audit_close(b);

    a = reopen(dir);

    ok(add(a, AIQ_AUDIT_FSYNC) == 10 && declares(dir, 9, 8, 8),
       "a process that is started later");

    ok(add(a, AIQ_AUDIT_FSYNC) == 11 && verified(dir, 3),
       "the new segment is continued");
    aiq_audit_close(a);

    a = reopen(dir);
    ok(add(a, AIQ_AUDIT_FSYNC) == 12 && verified(dir, 3), "by everybody");
    aiq_audit_close(a);

    free(dir);
}


/* workers: nothing need be written for them, and they know more */

static void
test_shared(void)
{
    char              *dir;
    aiq_str_t          three[3];
    aiq_audit_t       *a, *b, *c;
    struct stat        st;
    aiq_audit_fate_t   fate;

    memset(&fate, 0, sizeof(aiq_audit_fate_t));

    dir = fresh();
    a = reopen(dir);
    b = reopen(dir);

    aiq_audit_share(a, &fate);
    aiq_audit_share(b, &fate);

    add(a, AIQ_AUDIT_FSYNC);
    stat(seg(dir, 1), &st);
    add(b, 0);
    add(a, 0);

    fault_mark = ENOSPC;

    ok(add_unsynced(a) == 0, "a sync fails, and that cannot be written");
    ok(add(b, AIQ_AUDIT_FSYNC) == 6, "another worker knows it");
    ok(declares(dir, 5, 2, 4), "and what none of them had synced");

    ok(add_unsynced(b) == 0, "once more");
    aiq_audit_close(a);
    aiq_audit_close(b);

    a = reopen(dir);
    aiq_audit_share(a, &fate);
    ok(add(a, AIQ_AUDIT_FSYNC) == 9 && declares(dir, 8, 7, 7),
       "a worker that came in their place");

    /* two lines of three: whoever comes next declares them, nobody again */

    b = reopen(dir);
    aiq_audit_share(b, &fate);

    three[0] = three[1] = three[2] = body;
    fault_write = ENOSPC;
    fault_after = 2 * ((long) st.st_size + 1);

    ok(aiq_audit_append(a, three, 3, AIQ_AUDIT_FSYNC, BASE, crypto, pos, &err)
       == AIQ_E_AUDIT_UNAVAILABLE, "a batch was cut at a line");
    fault_write = 0;

    ok(add(b, AIQ_AUDIT_FSYNC) == 13 && declares(dir, 12, 10, 11)
       && add(a, AIQ_AUDIT_FSYNC) == 14 && verified(dir, 4),
       "the next worker declares it");

    /* what they have synced is no longer uncertain */

    add(a, 0);
    add(b, AIQ_AUDIT_FSYNC);
    ok(add_unsynced(a) == 0 && add(b, AIQ_AUDIT_FSYNC) == 19
       && declares(dir, 18, 17, 17), "one sync is for all of them");

    fault_mark = 0;

    /* one that shares nothing with them tells them */

    c = reopen(dir);
    ok(add_unsynced(c) == 0 && add(a, AIQ_AUDIT_FSYNC) == 22
       && declares(dir, 21, 20, 20) && add(b, AIQ_AUDIT_FSYNC) == 23
       && add(c, AIQ_AUDIT_FSYNC) == 24 && verified(dir, 6),
       "a stranger");

    aiq_audit_close(a);
    aiq_audit_close(b);
    aiq_audit_close(c);
    free(dir);
}


/* every other place where something is synced */

static void
test_places(void)
{
    char               *dir;
    uint64_t            first;
    aiq_audit_t        *a, *b;
    aiq_audit_keep_t    keep;
    aiq_audit_state_t   state;

    memset(&keep, 0, sizeof(aiq_audit_keep_t));
    memset(&state, 0, sizeof(aiq_audit_state_t));

    dir = fresh();
    a = reopen(dir);
    b = reopen(dir);

    add(a, AIQ_AUDIT_FSYNC);
    add(a, 0);

    keep.rotate = 1;
    aiq_audit_keep(a, &keep);
    fault_sync = EIO;
    ok(aiq_audit_prepare(a, 0, BASE, crypto, &state, &err)
       == AIQ_E_AUDIT_UNAVAILABLE, "a segment cannot be synced when its time "
       "has come");
    fault_sync = 0;
    ok(add(b, AIQ_AUDIT_FSYNC) == 4 && declares(dir, 3, 2, 2),
       "another process knows it");

    fault_dirsync = EIO;
    ok(aiq_audit_rotate(b, BASE, crypto, &first, &err)
       == AIQ_E_AUDIT_UNAVAILABLE && first == 5, "the name of a new segment "
       "cannot be synced");
    fault_dirsync = 0;
    ok(add(a, AIQ_AUDIT_FSYNC) == 7 && declares(dir, 6, 5, 5),
       "nobody builds on it");

    fault_write = EIO;
    fault_after = 0;
    ok(add(a, AIQ_AUDIT_FSYNC) == 0, "a write fails");
    fault_write = 0;
    ok(add(b, AIQ_AUDIT_FSYNC) == 9 && declares(dir, 8, 7, 7),
       "nobody goes on behind it");

    /* while a torn segment is declared, which was not synced */

    add(b, 0);
    fault_write = ENOSPC;
    fault_after = 10;
    ok(add(b, 0) == 0, "a torn line");
    fault_write = 0;
    fault_link = EIO;
    ok(add_unsynced(b) == 0, "the segment before cannot be synced, nor a new "
       "one begun");
    fault_link = 0;

    syncs = 0;
    aiq_audit_close(b);
    b = reopen(dir);
    ok(add(b, 0) == 12 && syncs == 0 && declares(dir, 11, 10, 10),
       "a process that comes later knows both");

    ok(verified(dir, 6), "verify");

    aiq_audit_close(a);
    aiq_audit_close(b);
    free(dir);
}


static void
test_marks(void)
{
    int           fd;
    char         *dir;
    unsigned      i, bad;
    aiq_audit_t  *log;

    static const char *const  none[] = {
        "x",
        "seg-0000000000000001.jsonl 0000000000000001 0000000000000001",
        "seg-0000000000000002.jsonl 0000000000000001 0000000000000001\n",
        "seg-0000000000000001.json  0000000000000001 0000000000000001\n",
        "seg-0000000000000001.jsonl 000000000000000a 0000000000000001\n",
        "seg-0000000000000001.jsonl 0000000000000001 -000000000000001\n",
        "seg-0000000000000001.jsonl 0000000000000003 0000000000000002\n",
        "seg-0000000000000001.jsonl,0000000000000001 0000000000000001\n"
    };

    dir = fresh();
    fd = open(dir, O_RDONLY|O_DIRECTORY);
    log = reopen(dir);
    add(log, AIQ_AUDIT_FSYNC);

    for (i = 0, bad = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        spit(path(dir, "lock"), none[i], strlen(none[i]));
        bad |= (add(log, AIQ_AUDIT_FSYNC) != i + 2);
    }

    ok(!bad && verified(dir, 1), "what is no mark of that segment is none");

    /* two that fail: all of it, and never more than there is */

    ok(aiq_audit_mark(fd, 1, 4, 5, &err) == AIQ_OK
       && aiq_audit_mark(fd, 1, 3, 4, &err) == AIQ_OK,
       "two marks of a segment");
    ok(aiq_audit_unmarked(fd, 1, &err) == AIQ_DECLINED
       && aiq_audit_unmarked(fd, 2, &err) == AIQ_OK,
       "are of no other");
    ok(add(log, AIQ_AUDIT_FSYNC) == i + 3 && declares(dir, i + 2, 3, 5),
       "are one");

    ok(aiq_audit_mark(fd, i + 2, i + 9, 999999, &err) == AIQ_OK
       && add(log, AIQ_AUDIT_FSYNC) == i + 5
       && declares(dir, i + 4, i + 3, i + 3), "of records that there are");

    ok(verified(dir, 3), "verify");

    close(fd);
    aiq_audit_close(log);
    free(dir);
}


int
main(void)
{
    setup();

    body = body_event("CLOSE", event, sizeof(event));

    test_others();
    test_shared();
    test_places();
    test_marks();

    return teardown();
}
