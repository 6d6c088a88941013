
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl doctor: one line for everything that an installation needs, and
 * what to do where it is missing.
 */


#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit.h"
#include "ctl.h"
#include "tzfile.h"


#define AIQ_CTL_DOCTOR_LOG    ((off_t) 256 << 20)    /* verified whole */
#define AIQ_CTL_DOCTOR_OLD    1735689600             /* 2025-01-01 */
#define AIQ_CTL_DOCTOR_AHEAD  60                     /* seconds */
#define AIQ_CTL_DOCTOR_TAIL   ((int64_t) 3600 * 1000000)
#define AIQ_CTL_DOCTOR_OUT    8192


typedef enum {
    AIQ_CTL_DOCTOR_OK = 0,
    AIQ_CTL_DOCTOR_WARN,
    AIQ_CTL_DOCTOR_FAIL
} aiq_ctl_doctor_e;

typedef struct {
    aiq_ctl_t      *ctl;
    json_t         *list;
    const char     *audit;
    unsigned        warnings;
    unsigned        failures;
    unsigned        orgs;          /* that can issue */
    unsigned        keys;          /* active */
    uid_t           uid;           /* of the store */
} aiq_ctl_doctor_t;


static int aiq_ctl_doctor(aiq_ctl_t *ctl);
static void aiq_ctl_doctor_say(aiq_ctl_doctor_t *dr, aiq_ctl_doctor_e state,
    const char *what, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static int aiq_ctl_doctor_store(aiq_ctl_doctor_t *dr);
static void aiq_ctl_doctor_modes(aiq_ctl_doctor_t *dr);
static void aiq_ctl_doctor_mode(aiq_ctl_doctor_t *dr, const char *dir,
    const char *name, mode_t forbidden);
static void aiq_ctl_doctor_orgs(aiq_ctl_doctor_t *dr);
static void aiq_ctl_doctor_org(aiq_ctl_doctor_t *dr, aiq_str_t name);
static void aiq_ctl_doctor_issuer(aiq_ctl_doctor_t *dr,
    const aiq_org_t *org);
static void aiq_ctl_doctor_keys(aiq_ctl_doctor_t *dr, aiq_str_t org);
static void aiq_ctl_doctor_audit(aiq_ctl_doctor_t *dr);
static int aiq_ctl_doctor_size(aiq_ctl_doctor_t *dr, off_t *size);
static aiq_rc_t aiq_ctl_doctor_count(void *data, aiq_str_t line);
static void aiq_ctl_doctor_clock(aiq_ctl_doctor_t *dr);
static void aiq_ctl_doctor_nginx(aiq_ctl_doctor_t *dr);
static int aiq_ctl_doctor_run(const char *path, char *buf, size_t size);
static void aiq_ctl_doctor_conf(aiq_ctl_doctor_t *dr);


static const aiq_ctl_opt_t  aiq_ctl_doctor_opts[] = {

    { "audit", "DIR", "the audit log, default DIR/audit in the store", 0, 0 },
    { "nginx", "FILE", "the nginx binary, default: the usual places", 0, 0 },
    { "nginx-conf", NULL, "print the configuration for this store", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


const aiq_ctl_cmd_t  aiq_ctl_doctor_cmds[] = {

    { NULL, "", 0, 0, aiq_ctl_doctor_opts, aiq_ctl_doctor,
      "find out what is wrong with an installation",
      "Checks the store, its permissions and rows, the keys, the audit log,"
      " the clock and nginx. Prints \"ok\", \"warn\" or \"fail\" for each,"
      " and what to do. Changes nothing.",
      "    armoriqctl doctor --store /var/lib/armoriq --nginx-conf\n",
      "    0  nothing is wrong, or there are only warnings\n"
      "    1  at least one check failed\n"
      "    2  the command line is wrong\n"
      "    3  the answer could not be written\n" },

    { NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }
};


static int
aiq_ctl_doctor(aiq_ctl_t *ctl)
{
    json_t            *o;
    const char        *s;
    aiq_ctl_doctor_t   dr;

    memset(&dr, 0, sizeof(aiq_ctl_doctor_t));

    dr.ctl = ctl;
    dr.list = json_array();

    s = aiq_ctl_opt(ctl, "audit");
    dr.audit = s ? s : aiq_ctl_path(ctl, ctl->dir, "audit");

    if (dr.audit == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    aiq_ctl_doctor_modes(&dr);

    if (aiq_ctl_doctor_store(&dr)) {
        aiq_ctl_doctor_orgs(&dr);
    }

    aiq_ctl_doctor_audit(&dr);
    aiq_ctl_doctor_clock(&dr);
    aiq_ctl_doctor_nginx(&dr);

    if (ctl->json) {
        o = json_object();

        aiq_ctl_jset(ctl, o, "ok", json_boolean(dr.failures == 0));
        aiq_ctl_jset(ctl, o, "warnings", json_integer(dr.warnings));
        aiq_ctl_jset(ctl, o, "failures", json_integer(dr.failures));
        aiq_ctl_jset(ctl, o, "checks", dr.list);

        if (aiq_ctl_jprint(ctl, o) != AIQ_CTL_OK) {
            return AIQ_CTL_FAULT;
        }

    } else {
        json_decref(dr.list);

        if (aiq_ctl_opt(ctl, "nginx-conf")) {
            aiq_ctl_doctor_conf(&dr);
        }
    }

    return dr.failures ? AIQ_CTL_NO : AIQ_CTL_OK;
}


static void
aiq_ctl_doctor_say(aiq_ctl_doctor_t *dr, aiq_ctl_doctor_e state,
    const char *what, const char *fmt, ...)
{
    char        text[1024];
    json_t     *o;
    va_list     args;
    aiq_ctl_t  *ctl;

    static const char *const  states[] = { "ok", "warn", "fail" };

    ctl = dr->ctl;

    va_start(args, fmt);
    (void) vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    dr->warnings += (state == AIQ_CTL_DOCTOR_WARN);
    dr->failures += (state == AIQ_CTL_DOCTOR_FAIL);

    if (!ctl->json) {
        printf("%-4s  %-11s  %s\n", states[state], what,
               aiq_ctl_esc(ctl, aiq_cstr(text)));
        return;
    }

    o = json_object();

    aiq_ctl_jset(ctl, o, "state", json_string(states[state]));
    aiq_ctl_jset(ctl, o, "check", json_string(what));
    aiq_ctl_jset(ctl, o, "message", aiq_ctl_jstr(aiq_cstr(text)));
    aiq_ctl_jadd(ctl, dr->list, o);
}


static int
aiq_ctl_doctor_store(aiq_ctl_doctor_t *dr)
{
    aiq_rc_t    rc;
    uint64_t    rows;
    aiq_ctl_t  *ctl;

    ctl = dr->ctl;

    rc = aiq_store_open(&ctl->store, ctl->dir, 0, &ctl->err);

    if (rc != AIQ_OK) {
        ctl->store = NULL;
        aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_FAIL, "store", "%s",
                           ctl->err.text);
        return 0;
    }

    aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_OK, "store", "%s opens", ctl->dir);

    rc = aiq_store_check(ctl->store, ctl->crypto, &rows, &ctl->err);

    if (rc != AIQ_OK) {
        aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_FAIL, "rows",
                           "%s; restore the store from a backup",
                           ctl->err.text);
        return 0;
    }

    aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_OK, "rows",
                       "%llu, all of them genuine",
                       (unsigned long long) rows);

    rc = aiq_store_read(ctl->store, &ctl->txn, ctl->crypto, &ctl->err);

    if (rc != AIQ_OK) {
        ctl->txn = NULL;
        aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_FAIL, "store", "%s",
                           ctl->err.text);
        return 0;
    }

    return 1;
}


static void
aiq_ctl_doctor_modes(aiq_ctl_doctor_t *dr)
{
    DIR            *dir;
    char           *keys;
    unsigned        bad;
    struct stat     st;
    struct dirent  *de;

    bad = dr->failures + dr->warnings;

    if (stat(dr->ctl->dir, &st) != 0) {
        aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_FAIL, "permissions",
                           "%s: %s; run armoriqctl init", dr->ctl->dir,
                           strerror(errno));
        return;
    }

    dr->uid = st.st_uid;

    aiq_ctl_doctor_mode(dr, dr->ctl->dir, "", S_IWGRP|S_IRWXO);
    aiq_ctl_doctor_mode(dr, dr->ctl->dir, "data.mdb", S_IWGRP|S_IRWXO);
    aiq_ctl_doctor_mode(dr, dr->ctl->dir, "lock.mdb", S_IRWXO);
    aiq_ctl_doctor_mode(dr, dr->ctl->dir, "store.key", S_IWGRP|S_IRWXO);
    aiq_ctl_doctor_mode(dr, dr->ctl->dir, "keys", S_IWGRP|S_IRWXO);

    keys = aiq_ctl_path(dr->ctl, dr->ctl->dir, "keys");
    dir = keys ? opendir(keys) : NULL;

    while (dir && (de = readdir(dir)) != NULL) {

        if (de->d_name[0] != '.') {
            aiq_ctl_doctor_mode(dr, keys, de->d_name, S_IWGRP|S_IRWXO);
        }
    }

    if (dir) {
        (void) closedir(dir);
    }

    if (dr->failures + dr->warnings == bad) {
        aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_OK, "permissions",
                           "nobody but owner and group reads it, nobody but"
                           " the owner writes it");
    }
}


static void
aiq_ctl_doctor_mode(aiq_ctl_doctor_t *dr, const char *dir, const char *name,
    mode_t forbidden)
{
    char         *path;
    aiq_mem_t     mem;
    struct stat   st;

    mem = dr->ctl->mem;

    path = *name ? aiq_ctl_path(dr->ctl, dir, name)
                 : aiq_ctl_trim(dr->ctl, dir);

    if (path == NULL) {
        return;
    }

    if (lstat(path, &st) != 0) {
        aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_FAIL, "permissions",
                           "%s: %s", path, strerror(errno));

    } else if (st.st_mode & forbidden) {
        aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_FAIL, "permissions",
                           "%s has mode %04o, run: chmod %s %s", path,
                           (unsigned) st.st_mode & 07777,
                           S_ISDIR(st.st_mode) ? "0750" : "0640", path);

    } else if (st.st_uid != dr->uid) {
        aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_WARN, "permissions",
                           "%s belongs to somebody else than the store, run:"
                           " chown %u %s", path, (unsigned) dr->uid, path);
    }

    dr->ctl->mem = mem;
}


static void
aiq_ctl_doctor_orgs(aiq_ctl_doctor_t *dr)
{
    size_t          i;
    aiq_str_t       none;
    aiq_ctl_ids_t   ids;

    aiq_str_null(&none);

    if (aiq_ctl_ids(dr->ctl, none, AIQ_STORE_ORG, &ids) != AIQ_CTL_OK) {
        dr->failures++;
        return;
    }

    for (i = 0; i < ids.n; i++) {
        aiq_ctl_doctor_org(dr, ids.id[i]);
    }

    if (dr->orgs == 0) {
        aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_FAIL, "orgs",
                           "no active org can issue tokens, run: armoriqctl"
                           " org add NAME");
    }

    if (dr->keys == 0) {
        aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_FAIL, "API keys",
                           "there is none that is active, run: armoriqctl"
                           " key add --org NAME");

    } else {
        aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_OK, "API keys", "%u active",
                           dr->keys);
    }
}


static void
aiq_ctl_doctor_org(aiq_ctl_doctor_t *dr, aiq_str_t name)
{
    aiq_rc_t       rc;
    aiq_org_t      org;
    aiq_ruleset_t  set;

    rc = aiq_org_get(dr->ctl->txn, name, &org, &dr->ctl->mem);

    if (rc != AIQ_OK) {
        aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_FAIL, "orgs", "\"%.*s\": %s",
                           (int) name.len, (const char *) name.data,
                           aiq_message(rc));
        return;
    }

    if (!org.active) {
        return;
    }

    aiq_ctl_doctor_issuer(dr, &org);
    aiq_ctl_doctor_keys(dr, org.name);

    /* a policy that does not compile any more denies everything */

    dr->ctl->err.text[0] = '\0';

    rc = aiq_ruleset_load(&set, dr->ctl->txn, org.name, aiq_tzfile_load, NULL,
                          &dr->ctl->mem, &dr->ctl->err);

    if (rc != AIQ_OK) {
        aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_FAIL, "policies",
                           "those of \"%.*s\" cannot be loaded: %s",
                           (int) name.len, (const char *) name.data,
                           dr->ctl->err.text[0] ? dr->ctl->err.text
                                                : aiq_message(rc));
        return;
    }

    aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_OK, "policies", "\"%.*s\" has %u",
                       (int) name.len, (const char *) name.data,
                       set.npolicies);

    if (set.salt.epoch) {
        aiq_wipe(&set.salt, sizeof(aiq_salt_t));
        return;
    }

    aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_WARN, "salts", "\"%.*s\" has none,"
                       " its records are without hashes; any command that"
                       " writes to the store makes one, for example: armoriqctl"
                       " org resalt NAME", (int) name.len,
                       (const char *) name.data);
}


static void
aiq_ctl_doctor_issuer(aiq_ctl_doctor_t *dr, const aiq_org_t *org)
{
    int             len;
    aiq_rc_t        rc;
    const char     *name, *why;
    aiq_issuer_t    issuer;
    unsigned char   seed[AIQ_KEY_LEN], pub[AIQ_KEY_LEN];

    len = (int) org->name.len;
    name = (const char *) org->name.data;

    rc = aiq_issuer_get(dr->ctl->txn, org->name, org->issuer, &issuer,
                        &dr->ctl->mem);

    if (rc != AIQ_OK || !issuer.active) {
        aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_FAIL, "issuer", "\"%.*s\" has"
                           " no active key, run: armoriqctl org rekey NAME",
                           len, name);
        return;
    }

    rc = aiq_store_seed_read(dr->ctl->dir, issuer.kid, seed, &dr->ctl->err);

    why = dr->ctl->err.text;

    if (rc == AIQ_OK) {
        rc = aiq_ed25519_public(dr->ctl->crypto, seed, pub);
        why = "libcrypto failed";
    }

    aiq_wipe(seed, sizeof(seed));

    if (rc == AIQ_OK && !aiq_equal(pub, issuer.public_key, AIQ_KEY_LEN)) {
        rc = AIQ_E_STORE_CORRUPT;
        why = "the seed is not that of the public key";
    }

    if (rc != AIQ_OK) {
        aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_FAIL, "issuer", "\"%.*s\": %s;"
                           " put the seed back, or run: armoriqctl org rekey"
                           " NAME", len, name, why);
        return;
    }

    dr->orgs++;

    aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_OK, "issuer", "\"%.*s\" signs with"
                       " %.*s", len, name, (int) issuer.kid.len,
                       (const char *) issuer.kid.data);
}


static void
aiq_ctl_doctor_keys(aiq_ctl_doctor_t *dr, aiq_str_t org)
{
    size_t          i;
    aiq_rc_t        rc;
    aiq_mem_t       mem;
    aiq_apikey_t    key;
    aiq_ctl_ids_t   ids;

    if (aiq_ctl_ids(dr->ctl, org, AIQ_STORE_KEY, &ids) != AIQ_CTL_OK) {
        dr->failures++;
        return;
    }

    for (i = 0; i < ids.n; i++) {
        mem = dr->ctl->mem;

        rc = aiq_apikey_get(dr->ctl->txn, org, ids.id[i], &key,
                            &dr->ctl->mem);

        if (rc == AIQ_OK && key.active
            && (key.expires == 0 || key.expires > dr->ctl->now))
        {
            dr->keys++;
        }

        dr->ctl->mem = mem;
    }
}


/* bytes of all segments */

static int
aiq_ctl_doctor_size(aiq_ctl_doctor_t *dr, off_t *size)
{
    DIR            *dir;
    struct stat     st;
    struct dirent  *de;

    dir = opendir(dr->audit);

    if (dir == NULL) {
        aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_FAIL, "audit", "%s: %s; make it"
                           " with armoriqctl init --audit, or name it with"
                           " --audit", dr->audit, strerror(errno));
        return 0;
    }

    *size = 0;

    while ((de = readdir(dir)) != NULL) {

        if (fstatat(dirfd(dir), de->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0
            && S_ISREG(st.st_mode))
        {
            *size += st.st_size;
        }
    }

    (void) closedir(dir);

    return 1;
}


static void
aiq_ctl_doctor_audit(aiq_ctl_doctor_t *dr)
{
    off_t                size;
    aiq_rc_t             rc;
    unsigned             n;
    aiq_audit_report_t   r;

    if (!aiq_ctl_doctor_size(dr, &size)) {
        return;
    }

    /* aiq_audit_open() would make a lock file, and it would be root's */

    aiq_ctl_doctor_mode(dr, dr->audit, "", S_IWGRP|S_IRWXO);
    aiq_ctl_doctor_mode(dr, dr->audit, "log.json", S_IWGRP|S_IRWXO);

    if (size > AIQ_CTL_DOCTOR_LOG) {
        n = 0;
        rc = aiq_audit_scan(dr->audit, dr->ctl->now_us - AIQ_CTL_DOCTOR_TAIL,
                            aiq_ctl_doctor_count, &n, &dr->ctl->err);

        if (rc != AIQ_OK) {
            aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_FAIL, "audit", "%s",
                               dr->ctl->err.text);
            return;
        }

        aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_WARN, "audit", "%s: the last"
                           " hour can be read, %u records; to check the whole"
                           " log, run: armoriqctl audit verify %s", dr->audit,
                           n, dr->audit);
        return;
    }

    memset(&r, 0, sizeof(aiq_audit_report_t));

    r.code = AIQ_AUDIT_IO;

    aiq_audit_verify(dr->audit, dr->ctl->crypto, &r);

    if (r.code == AIQ_AUDIT_OK || r.code == AIQ_AUDIT_UNKNOWN) {
        aiq_ctl_doctor_say(dr, r.unknown ? AIQ_CTL_DOCTOR_WARN
                                         : AIQ_CTL_DOCTOR_OK,
                           "audit", "%s, %llu records, %llu of unknown"
                           " outcome", dr->audit,
                           (unsigned long long) r.records,
                           (unsigned long long) r.unknown);
        return;
    }

    aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_FAIL, "audit", "%s: %s (code %d);"
                       " keep a copy before you do anything", dr->audit,
                       r.text, (int) r.code);
}


static aiq_rc_t
aiq_ctl_doctor_count(void *data, aiq_str_t line)
{
    unsigned *n = data;

    (*n)++;

    return AIQ_OK;
}


static void
aiq_ctl_doctor_clock(aiq_ctl_doctor_t *dr)
{
    int           state;
    int64_t       now;
    unsigned      n;
    struct timex  tx;

    now = dr->ctl->now;

    if (now < AIQ_CTL_DOCTOR_OLD || now > AIQ_TIME_MAX) {
        aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_FAIL, "clock", "it is %s by the"
                           " clock; tokens cannot be judged",
                           aiq_ctl_time(dr->ctl, now, "1970"));
        return;
    }

    /* records of the future: the clock was ahead then, or is behind now */

    n = 0;

    if (aiq_audit_scan(dr->audit,
                       dr->ctl->now_us
                       + (int64_t) AIQ_CTL_DOCTOR_AHEAD * 1000000,
                       aiq_ctl_doctor_count, &n, NULL) == AIQ_OK
        && n > 0)
    {
        aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_FAIL, "clock", "the audit log"
                           " has %u records of a later time: the clock was"
                           " set back", n);
        return;
    }

    memset(&tx, 0, sizeof(struct timex));

    state = adjtimex(&tx);

    if (state == -1) {
        aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_OK, "clock", "%s",
                           aiq_ctl_time(dr->ctl, now, "1970"));
        return;
    }

    if (state == TIME_ERROR || (tx.status & STA_UNSYNC)) {
        aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_WARN, "clock", "%s, not"
                           " synchronized; run chrony or another NTP client",
                           aiq_ctl_time(dr->ctl, now, "1970"));
        return;
    }

    aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_OK, "clock", "%s, synchronized",
                       aiq_ctl_time(dr->ctl, now, "1970"));
}


/* no shell and no PATH: this may be root, and the directory somebody's */

static int
aiq_ctl_doctor_run(const char *path, char *buf, size_t size)
{
    int      fd[2], status;
    pid_t    pid;
    size_t   len;
    ssize_t  n;

    if (pipe2(fd, O_CLOEXEC) != 0) {
        return -1;
    }

    pid = fork();

    if (pid == 0) {

        if (dup2(fd[1], 1) == 1 && dup2(fd[1], 2) == 2) {
            (void) execl(path, path, "-V", (char *) NULL);
        }

        _exit(127);
    }

    (void) close(fd[1]);

    len = 0;

    while (pid != -1 && len < size - 1) {
        n = read(fd[0], buf + len, size - 1 - len);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n <= 0) {
            break;
        }

        len += (size_t) n;
    }

    buf[len] = '\0';

    (void) close(fd[0]);

    while (pid != -1 && waitpid(pid, &status, 0) == -1) {

        if (errno != EINTR) {
            return -1;
        }
    }

    return (pid != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 0) ? 0
                                                                        : -1;
}


static void
aiq_ctl_doctor_nginx(aiq_ctl_doctor_t *dr)
{
    char         buf[AIQ_CTL_DOCTOR_OUT], version[64];
    size_t       i;
    const char  *path, *p;

    static const char *const  places[] = {
        "/usr/sbin/nginx", "/usr/local/sbin/nginx",
        "/usr/local/nginx/sbin/nginx", "/usr/bin/nginx",
        "/usr/local/bin/nginx", "/opt/nginx/sbin/nginx"
    };

    path = aiq_ctl_opt(dr->ctl, "nginx");

    for (i = 0; path == NULL && i < sizeof(places) / sizeof(places[0]); i++) {

        if (access(places[i], X_OK) == 0) {
            path = places[i];
        }
    }

    if (path == NULL) {
        aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_FAIL, "nginx", "not found;"
                           " install it, or name it with --nginx");
        return;
    }

    if (aiq_ctl_doctor_run(path, buf, sizeof(buf)) != 0) {
        aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_FAIL, "nginx",
                           "\"%s -V\" failed", path);
        return;
    }

    p = strstr(buf, "nginx/");
    (void) snprintf(version, sizeof(version), "%.*s",
                    p ? (int) strcspn(p, " \n") : 0, p ? p : "");

    if (strstr(buf, "--with-threads") == NULL) {
        aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_FAIL, "nginx", "%s %s is built"
                           " without --with-threads, which the audit log"
                           " needs", path, version);
        return;
    }

    if (strstr(buf, "--with-compat") == NULL) {
        aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_WARN, "nginx", "%s %s is built"
                           " without --with-compat: the module must be built"
                           " from the same configure line", path, version);
        return;
    }

    aiq_ctl_doctor_say(dr, AIQ_CTL_DOCTOR_OK, "nginx", "%s %s, threads and"
                       " dynamic modules", path, version);
}


static void
aiq_ctl_doctor_conf(aiq_ctl_doctor_t *dr)
{
    printf("\nload_module modules/ngx_armoriq_module.so;\n\n"
           "http {\n"
           "    armoriq_store  %s;\n"
           "    armoriq_audit  %s;\n"
           "    armoriq_zone   32m;\n"
           "}\n", aiq_ctl_esc(dr->ctl, aiq_cstr(dr->ctl->dir)),
           aiq_ctl_esc(dr->ctl, aiq_cstr(dr->audit)));
}
