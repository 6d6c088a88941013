
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Logs for the tests of the audit log.  System calls are replaced, so that
 * they can fail.
 */


#ifndef _AIQ_AUDIT_LOG_H_INCLUDED_
#define _AIQ_AUDIT_LOG_H_INCLUDED_


#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "audit.h"
#include "tap.h"


#define BASE  1795226400000000LL      /* 2026-11-21T02:00:00Z */


static aiq_crypto_t  *crypto;
static char           root[64];
static int            dirs;

/* faults: what the next calls do; 0: what they always do; -1: a kill */

static int            fault_sync;     /* errno of fdatasync() */
static int            fault_tmpfile;  /* errno of openat(O_TMPFILE) */
static int            fault_link;     /* errno of linkat() */
static int            fault_dirsync;  /* errno of fsync() */
static int            fault_write;    /* errno of write() behind .. */
static long           fault_after;    /* .. so many bytes */
static int            fault_reserve;  /* errno of fallocate() behind .. */
static long           fault_room;     /* .. this offset */
static int            reserves;
static int            syncs;
static int            die_in;         /* so many changes of the disk from now
                                         the process ends; 0: it does not */


__attribute__((unused))
static void
die_here(void)
{
    if (die_in && --die_in == 0) {
        _exit(9);
    }
}


int
renameat(int from, const char *old, int to, const char *new)
{
    die_here();

    return (int) syscall(SYS_renameat, from, old, to, new);
}


static int
fault(int e)
{
    if (e == -1) {
        (void) kill(getpid(), SIGKILL);
    }

    errno = e;

    return -1;
}


int
fdatasync(int fd)
{
    die_here();

    syncs++;

    if (fault_sync) {
        return fault(fault_sync);
    }

    return (int) syscall(SYS_fdatasync, fd);
}


int
fsync(int fd)
{
    struct stat  st;

    die_here();

    if (fault_dirsync && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        return fault(fault_dirsync);
    }

    return (int) syscall(SYS_fsync, fd);
}


int
fallocate(int fd, int mode, off_t off, off_t len)
{
    reserves++;

    if (fault_reserve && off + len > fault_room) {
        return fault(fault_reserve);
    }

    return (int) syscall(SYS_fallocate, fd, mode, off, len);
}


int
linkat(int from, const char *old, int to, const char *new, int flags)
{
    if (fault_link) {
        return fault(fault_link);
    }

    return (int) syscall(SYS_linkat, from, old, to, new, flags);
}


int
openat(int dir, const char *name, int flags, ...)
{
    va_list       args;
    unsigned int  mode;

    va_start(args, flags);
    mode = va_arg(args, unsigned int);
    va_end(args);

    if (fault_tmpfile && (flags & O_TMPFILE) == O_TMPFILE) {
        return fault(fault_tmpfile);
    }

    return (int) syscall(SYS_openat, dir, name, flags, mode);
}


ssize_t
write(int fd, const void *buf, size_t len)
{
    if (fd > 2) {
        die_here();
    }

    if (fault_write && fd > 2) {

        if (fault_after == 0) {
            return fault(fault_write);
        }

        if ((long) len > fault_after) {
            len = (size_t) fault_after;
        }

        fault_after -= (long) len;
    }

    return syscall(SYS_write, fd, buf, len);
}


/* what the tests stand on */

__attribute__((unused))
static aiq_str_t
str(const char *s)
{
    return aiq_cstr(s);
}


__attribute__((unused))
static char *
path(const char *dir, const char *name)
{
    static char  buf[4][256];
    static int   i;

    i = (i + 1) % 4;
    snprintf(buf[i], sizeof(buf[i]), "%s/%s", dir, name);

    return buf[i];
}


__attribute__((unused))
static char *
seg(const char *dir, unsigned long long first)
{
    char  name[64];

    snprintf(name, sizeof(name), "seg-%016llu.jsonl", first);

    return path(dir, name);
}


__attribute__((unused))
static void
spit(const char *name, const void *p, size_t len)
{
    FILE  *f;

    f = fopen(name, "wb");

    if (f == NULL || fwrite(p, 1, len, f) != len || fclose(f) != 0) {
        printf("Bail out! cannot write %s\n", name);
        exit(1);
    }
}


__attribute__((unused))
static char *
fresh(void)
{
    char            name[32];
    char           *dir;
    aiq_err_t       err;
    unsigned char   seed[AIQ_KEY_LEN], pub[AIQ_KEY_LEN];

    snprintf(name, sizeof(name), "log%d", ++dirs);
    dir = strdup(path(root, name));

    memset(seed, 0x42, sizeof(seed));

    if (aiq_ed25519_public(crypto, seed, pub) != AIQ_OK
        || aiq_audit_create(dir, str("example.com/audit"), pub, BASE, crypto,
                            &err)
           != AIQ_OK)
    {
        printf("Bail out! cannot create a log\n");
        exit(1);
    }

    return dir;
}


__attribute__((unused))
static const char *
rid(unsigned n)
{
    static char  buf[AIQ_AUDIT_RID_LEN + 1];

    snprintf(buf, sizeof(buf), "%032x", n);

    return buf;
}


__attribute__((unused))
static void
call(aiq_audit_intent_t *r, unsigned n)
{
    static const unsigned char  hash[AIQ_HASH_LEN] = "0123456789abcdef";

    memset(r, 0, sizeof(*r));

    r->ts_us = BASE + n * 1000LL;
    r->inst = str("5f1c2d3e.1");
    r->worker = n % 4;
    r->rid = str(rid(n));
    r->org = str("acme");
    r->agent = str("agent-7");
    r->user = str("alice@example.com");
    r->jti = str("8f14e45f-ceea-467f-a0e6-1d5a3c2b1a00");
    r->kid = str("acme-2026");
    r->token_id = hash;
    r->token_exp = BASE / 1000000 + 60;
    r->plan_hash = hash;
    r->step = n % 10;
    r->mcp = str("files");
    r->http = str("POST");
    r->method = str("tools/call");
    r->tool = str("read_file");
    r->args_hash = hash;
    r->req_hash = hash;
    r->verdict = str("PERMIT");
    r->reason = str("OK");
    r->policy = str("default@12");
    r->source = str("192.0.2.10");
}


__attribute__((unused))
static aiq_str_t
body_intent(const aiq_audit_intent_t *r, char *buf, size_t size)
{
    aiq_out_t  out;

    aiq_out_init(&out, buf, size);
    aiq_audit_write_intent(&out, r);

    return out.failed ? str("") : aiq_out_done(&out);
}


__attribute__((unused))
static aiq_str_t
body_outcome(unsigned n, const aiq_audit_pos_t *of, const char *status,
    char *buf, size_t size)
{
    aiq_out_t            out;
    aiq_audit_outcome_t  r;

    memset(&r, 0, sizeof(r));

    r.ts_us = BASE + n * 1000LL + 500;
    r.rid = str(rid(n));
    r.intent_seq = of->seq;
    r.intent_hash = of->leaf;
    r.status = str(status);
    r.http = 200;
    r.attempts = 1;
    r.res_len = 1234;
    r.dur_us = 815;

    aiq_out_init(&out, buf, size);
    aiq_audit_write_outcome(&out, &r);

    return out.failed ? str("") : aiq_out_done(&out);
}


__attribute__((unused))
static aiq_str_t
body_event(const char *kind, char *buf, size_t size)
{
    aiq_out_t  out;

    aiq_out_init(&out, buf, size);
    aiq_audit_write_event(&out, kind, BASE, str("5f1c2d3e.1"),
                          str("\"version\":\"0.1.0\""));

    return aiq_out_done(&out);
}


__attribute__((unused))
static aiq_audit_t *
reopen(const char *dir)
{
    aiq_err_t     err;
    aiq_audit_t  *log;

    if (aiq_audit_open(&log, dir, &err) != AIQ_OK) {
        diag("open: %s", err.text);
        return NULL;
    }

    return log;
}


__attribute__((unused))
static aiq_rc_t
put(aiq_audit_t *log, aiq_str_t body, aiq_audit_pos_t *pos, aiq_err_t *err)
{
    return aiq_audit_append(log, &body, 1, AIQ_AUDIT_FSYNC, BASE, crypto, pos,
                            err);
}


__attribute__((unused))
static aiq_rc_t
put_call(aiq_audit_t *log, unsigned n, aiq_audit_pos_t *pos, aiq_err_t *err)
{
    char                buf[8192];
    aiq_audit_intent_t  r;

    call(&r, n);

    return put(log, body_intent(&r, buf, sizeof(buf)), pos, err);
}


__attribute__((unused))
static aiq_rc_t
put_outcome(aiq_audit_t *log, unsigned n, const aiq_audit_pos_t *of,
    const char *status, aiq_err_t *err)
{
    char  buf[1024];

    return put(log, body_outcome(n, of, status, buf, sizeof(buf)), NULL, err);
}


__attribute__((unused))
static int
verify(const char *dir, aiq_audit_report_t *r)
{
    aiq_audit_report_t  tmp;

    if (r == NULL) {
        r = &tmp;
    }

    aiq_audit_verify(dir, crypto, r);

    return (int) r->code;
}


__attribute__((unused))
static int
fine(int code)
{
    return code == AIQ_AUDIT_OK || code == AIQ_AUDIT_UNKNOWN;
}


__attribute__((unused))
static int
is_text(const char *p, const char *want)
{
    if (strcmp(p, want) == 0) {
        return 1;
    }

    diag("got  %s", p);
    diag("want %s", want);

    return 0;
}


/*
 * Some calls with outcomes, one denied, over two segments: the second one
 * begins behind a line that was torn.  The last record is a CLOSE.
 */

__attribute__((unused))
static void
fill(const char *dir, unsigned total)
{
    int              fd;
    char             buf[8192];
    unsigned         i, n;
    aiq_err_t        err;
    aiq_audit_t     *log;
    aiq_audit_pos_t  pos;
    aiq_audit_intent_t  r;

    log = reopen(dir);
    n = 0;

    for (i = 0; n + 2 < total; i++) {

        if (i % 9 == 8) {
            call(&r, i);
            r.verdict = str("DENY");
            r.reason = str("STEP_USED");
            put(log, body_intent(&r, buf, sizeof(buf)), NULL, &err);
            n++;
            continue;
        }

        call(&r, i);

        if (i % 16) {

            /* most of them are short: there are many flips */

            aiq_str_null(&r.jti);
            aiq_str_null(&r.kid);
            aiq_str_null(&r.user);
            aiq_str_null(&r.inst);
            r.token_id = NULL;
            r.plan_hash = NULL;
            r.args_hash = NULL;
            r.req_hash = NULL;
        }

        if (put(log, body_intent(&r, buf, sizeof(buf)), &pos, &err) != AIQ_OK
            || put_outcome(log, i, &pos, "executed", &err) != AIQ_OK)
        {
            diag("fill: %s", err.text);
        }

        n += 2;

        if (n >= total / 2 && access(seg(dir, n + 1), F_OK) != 0
            && n < total / 2 + 2)
        {
            fd = open(seg(dir, 1), O_WRONLY|O_APPEND);

            if (fd == -1 || write(fd, "{\"v\":1,\"se", 10) != 10) {
                diag("cannot tear");
            }

            close(fd);
            n++;                      /* the RECOVERY record */
        }
    }

    for ( ; n < total; n++) {
        put(log, body_event("CLOSE", buf, sizeof(buf)), NULL, &err);
    }

    aiq_audit_close(log);
}


/* a place of our own, gone at the end */

__attribute__((unused))
static void
setup(void)
{
    char  *tmp;

    tmp = getenv("TMPDIR");

    snprintf(root, sizeof(root), "%s/aiq-audit-XXXXXX",
             (tmp != NULL && strlen(tmp) < 32) ? tmp : "/tmp");

    crypto = aiq_crypto_new();

    if (crypto == NULL || mkdtemp(root) == NULL) {
        printf("Bail out! no crypto or no temporary directory\n");
        exit(1);
    }
}


__attribute__((unused))
static int
gone(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(name);
}


__attribute__((unused))
static int
teardown(void)
{
    nftw(root, gone, 16, FTW_DEPTH|FTW_PHYS);
    aiq_crypto_free(crypto);

    return done_testing();
}


#endif /* _AIQ_AUDIT_LOG_H_INCLUDED_ */
