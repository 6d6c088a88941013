
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl init: a store that can be used, or nothing at all.  A new store
 * is built under another name and takes its place in one step.
 */


#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit.h"
#include "ctl.h"


typedef enum {
    AIQ_CTL_DIR_ABSENT = 0,
    AIQ_CTL_DIR_EMPTY,
    AIQ_CTL_DIR_STORE,
    AIQ_CTL_DIR_OTHER
} aiq_ctl_dir_e;

typedef struct {
    aiq_ctl_dir_e   state;
    char           *dir;
    char           *audit;
    char           *stage;         /* temporary directory, or NULL */
    char           *built;         /* the store in it */
    char           *built_audit;   /* the audit log while it is built */
    const char     *made_audit;    /* outside of the stage: to be removed */
    const char     *made_seed;     /* if we fail */
    aiq_str_t       org;
    aiq_str_t       user;
    aiq_str_t       agent;
    aiq_str_t       origin;
    aiq_str_t       kid;
    aiq_apikey_t    key;
    char            secret[AIQ_APIKEY_LEN + 1];
    uid_t           uid;
    gid_t           gid;
    unsigned        owner:1;
    unsigned        log:1;         /* there is an audit log now */
    unsigned        log_dir:1;     /* its directory was there */
} aiq_ctl_init_t;


static int aiq_ctl_init(aiq_ctl_t *ctl);
static int aiq_ctl_init_args(aiq_ctl_t *ctl, aiq_ctl_init_t *in);
static int aiq_ctl_init_owner(aiq_ctl_t *ctl, aiq_ctl_init_t *in);
static int aiq_ctl_init_state(aiq_ctl_t *ctl, const char *dir,
    const char *mark, aiq_ctl_dir_e *state);
static int aiq_ctl_init_new(aiq_ctl_t *ctl, aiq_ctl_init_t *in);
static int aiq_ctl_init_stage(aiq_ctl_t *ctl, aiq_ctl_init_t *in);
static int aiq_ctl_init_place(aiq_ctl_t *ctl, aiq_ctl_init_t *in);
static int aiq_ctl_init_move(const char *from, const char *to);
static int aiq_ctl_init_carry(DIR *from, DIR *to);
static int aiq_ctl_init_there(aiq_ctl_t *ctl, aiq_ctl_init_t *in);
static int aiq_ctl_init_rows(aiq_ctl_t *ctl, aiq_ctl_init_t *in,
    const char *dir);
static int aiq_ctl_init_audit(aiq_ctl_t *ctl, aiq_ctl_init_t *in,
    const char *dir, const char *audit);
static int aiq_ctl_init_audit_key(aiq_ctl_t *ctl, aiq_ctl_init_t *in,
    const char *dir, unsigned char pub[AIQ_KEY_LEN]);
static int aiq_ctl_init_chown(aiq_ctl_t *ctl, const aiq_ctl_init_t *in,
    const char *dir);
static int aiq_ctl_init_report(aiq_ctl_t *ctl, const aiq_ctl_init_t *in);
static void aiq_ctl_init_undo(aiq_ctl_init_t *in);


static const aiq_ctl_opt_t  aiq_ctl_init_opts[] = {

    { "org", "NAME", "the org to make", 1, 0 },
    { "user", "U", "the user to make, default admin", 0, 0 },
    { "agent", "A", "the agent to make, default agent", 0, 0 },
    { "audit", "DIR", "the audit log, default DIR/audit in the store", 0, 0 },
    { "origin", "NAME", "name of the log, default localhost/armoriq", 0, 0 },
    { "owner", "USER[:GROUP]", "who runs the nginx workers (root only)",
      0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


const aiq_ctl_cmd_t  aiq_ctl_init_cmds[] = {

    { NULL, "", 0, 0, aiq_ctl_init_opts, aiq_ctl_init,
      "make a store, ready to use",
      "Makes the store, an org that denies what no policy allows, a key that"
      " signs its tokens, a user, an agent, an audit log and an API key,"
      " which is printed once. If --user or --agent is given, the API key"
      " speaks for that one only, otherwise for any user and agent of the"
      " org.\n\nIf the store is there, the org is added to it and nothing is"
      " replaced. If something goes wrong, nothing is left behind.",
      "    armoriqctl init --store /var/lib/armoriq --org acme --owner nginx\n",
      NULL },

    { NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }
};


static int
aiq_ctl_init(aiq_ctl_t *ctl)
{
    int             code;
    aiq_ctl_init_t  in;

    memset(&in, 0, sizeof(aiq_ctl_init_t));

    code = aiq_ctl_init_args(ctl, &in);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_init_state(ctl, in.dir, "data.mdb", &in.state);
    }

    if (code == AIQ_CTL_OK) {

        switch (in.state) {

        case AIQ_CTL_DIR_STORE:
            code = aiq_ctl_init_there(ctl, &in);
            break;

        case AIQ_CTL_DIR_OTHER:
            code = aiq_ctl_no(ctl, AIQ_OK, "\"%s\" is not empty and not a"
                              " store", in.dir);
            break;

        default:
            code = aiq_ctl_init_new(ctl, &in);
        }
    }

    aiq_ctl_init_undo(&in);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_init_report(ctl, &in);
    }

    aiq_wipe(in.secret, sizeof(in.secret));

    return code;
}


static int
aiq_ctl_init_args(aiq_ctl_t *ctl, aiq_ctl_init_t *in)
{
    int          code;
    const char  *s;

    code = aiq_ctl_org_name(ctl, aiq_ctl_opt(ctl, "org"), &in->org);

    if (code == AIQ_CTL_OK) {
        s = aiq_ctl_opt(ctl, "user");
        code = aiq_ctl_name(ctl, "user", s ? s : "admin", &in->user);
    }

    if (code == AIQ_CTL_OK) {
        s = aiq_ctl_opt(ctl, "agent");
        code = aiq_ctl_name(ctl, "agent", s ? s : "agent", &in->agent);
    }

    if (code == AIQ_CTL_OK) {
        s = aiq_ctl_opt(ctl, "origin");
        code = aiq_ctl_name(ctl, "origin", s ? s : "localhost/armoriq",
                            &in->origin);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_init_owner(ctl, in);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    in->dir = aiq_ctl_trim(ctl, ctl->dir);

    if (in->dir == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    s = aiq_ctl_opt(ctl, "audit");

    if (s && *s == '\0') {
        return aiq_ctl_usage(ctl, "--audit needs a value, DIR");
    }

    in->audit = s ? aiq_ctl_trim(ctl, s)
                  : aiq_ctl_path(ctl, in->dir, "audit");

    if (in->audit == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    return AIQ_CTL_OK;
}


static int
aiq_ctl_init_owner(aiq_ctl_t *ctl, aiq_ctl_init_t *in)
{
    char           *name, *group;
    const char     *s;
    struct group   *gr;
    struct passwd  *pw;

    s = aiq_ctl_opt(ctl, "owner");

    if (s == NULL) {
        return AIQ_CTL_OK;
    }

    if (geteuid() != 0) {
        return aiq_ctl_usage(ctl, "--owner needs root");
    }

    name = aiq_ctl_trim(ctl, s);

    if (name == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    group = strchr(name, ':');

    if (group) {
        *group++ = '\0';
    }

    pw = getpwnam(name);

    if (pw == NULL) {
        return aiq_ctl_usage(ctl, "there is no system user \"%s\"", name);
    }

    in->uid = pw->pw_uid;
    in->gid = pw->pw_gid;
    in->owner = 1;

    if (group) {
        gr = getgrnam(group);

        if (gr == NULL) {
            return aiq_ctl_usage(ctl, "there is no system group \"%s\"",
                                 group);
        }

        in->gid = gr->gr_gid;
    }

    return AIQ_CTL_OK;
}


/* STORE if there is a file called mark, EMPTY but for a lost+found */

static int
aiq_ctl_init_state(aiq_ctl_t *ctl, const char *dir, const char *mark,
    aiq_ctl_dir_e *state)
{
    DIR            *d;
    struct dirent  *de;

    d = opendir(dir);

    if (d == NULL && errno == ENOENT) {
        *state = AIQ_CTL_DIR_ABSENT;
        return AIQ_CTL_OK;
    }

    if (d == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_STORE_UNAVAILABLE, "%s: %s", dir,
                             strerror(errno));
    }

    *state = AIQ_CTL_DIR_EMPTY;

    while ((de = readdir(d)) != NULL) {

        if (strcmp(de->d_name, mark) == 0) {
            *state = AIQ_CTL_DIR_STORE;
            break;
        }

        if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0
            && strcmp(de->d_name, "lost+found") != 0)
        {
            *state = AIQ_CTL_DIR_OTHER;
        }
    }

    (void) closedir(d);

    return AIQ_CTL_OK;
}


static int
aiq_ctl_init_new(aiq_ctl_t *ctl, aiq_ctl_init_t *in)
{
    int       code;
    aiq_rc_t  rc;

    code = aiq_ctl_init_stage(ctl, in);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_open_store(ctl, in->built,
                                  AIQ_STORE_WRITE|AIQ_STORE_CREATE);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_begin(ctl, AIQ_STORE_WRITE);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_init_rows(ctl, in, in->built);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_commit(ctl);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    /* the strings of the key may lie in the map */

    rc = aiq_mem_dup(&ctl->mem, in->key.id, &in->key.id);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, NULL);
    }

    aiq_store_close(ctl->store);
    ctl->store = NULL;

    code = aiq_ctl_init_audit(ctl, in, in->built, in->built_audit);

    /* all is in the stage now, which goes as a whole */

    ctl->undo = NULL;

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_init_chown(ctl, in, in->built);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_init_place(ctl, in);
    }

    return code;
}


/*
 * Beside DIR if there is no DIR yet; else inside, because DIR may be a mount
 * point and has the owner that the administrator gave it.
 */

static int
aiq_ctl_init_stage(aiq_ctl_t *ctl, aiq_ctl_init_t *in)
{
    char         *p;
    size_t        len, size;
    struct stat   st;

    len = strlen(in->dir);
    size = len + sizeof("/.init-XXXXXX");

    /* the store would not open: better to say so before than after */

    if (in->state == AIQ_CTL_DIR_EMPTY
        && stat(in->dir, &st) == 0 && (st.st_mode & (S_IWGRP|S_IWOTH)))
    {
        return aiq_ctl_no(ctl, AIQ_OK, "others may write to \"%s\", run:"
                          " chmod go-w %s", in->dir, in->dir);
    }

    p = aiq_mem_alloc(&ctl->mem, size);

    if (p == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    (void) snprintf(p, size, "%s%s", in->dir,
                    in->state == AIQ_CTL_DIR_EMPTY ? "/.init-XXXXXX"
                                                   : ".init-XXXXXX");

    if (mkdtemp(p) == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_STORE_UNAVAILABLE,
                             "cannot make a directory for \"%s\": %s",
                             in->dir, strerror(errno));
    }

    in->stage = p;
    in->built = aiq_ctl_path(ctl, in->stage, "store");

    if (in->built == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    if (strncmp(in->audit, in->dir, len) == 0 && in->audit[len] == '/') {
        in->built_audit = aiq_ctl_path(ctl, in->built, in->audit + len + 1);

    } else {
        in->built_audit = in->audit;
    }

    if (in->built_audit == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    return AIQ_CTL_OK;
}


static int
aiq_ctl_init_place(aiq_ctl_t *ctl, aiq_ctl_init_t *in)
{
    int   fd, rc;
    char *parent, *slash;

    if (in->state == AIQ_CTL_DIR_ABSENT) {

        /* fails if somebody has put something there meanwhile */

        rc = rename(in->built, in->dir);

    } else {
        rc = aiq_ctl_init_move(in->built, in->dir);
    }

    if (rc != 0) {
        return aiq_ctl_fault(ctl, AIQ_E_STORE_UNAVAILABLE,
                             "cannot put the store in \"%s\": %s", in->dir,
                             strerror(errno));
    }

    /* from here on it is there: nothing of it is taken back */

    in->made_audit = NULL;
    in->made_seed = NULL;

    if (in->state == AIQ_CTL_DIR_EMPTY && in->owner
        && chown(in->dir, in->uid, in->gid) != 0)
    {
        aiq_ctl_note("cannot change the owner of \"%s\": %s", in->dir,
                     strerror(errno));
    }

    parent = aiq_ctl_trim(ctl, in->dir);

    if (parent == NULL) {
        return AIQ_CTL_OK;
    }

    slash = strrchr(parent, '/');

    if (slash) {
        slash[slash == parent] = '\0';
    }

    fd = open(slash ? parent : ".", O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (fd == -1 || fsync(fd) != 0) {
        aiq_ctl_note("cannot sync the directory of \"%s\": %s", in->dir,
                     strerror(errno));
    }

    if (fd != -1) {
        (void) close(fd);
    }

    return AIQ_CTL_OK;
}


/* data.mdb last: without it a directory is not a store */

static int
aiq_ctl_init_move(const char *from, const char *to)
{
    DIR  *a, *b;
    int   rc, err;

    a = opendir(from);
    if (a == NULL) {
        return -1;
    }

    b = opendir(to);

    if (b == NULL) {
        (void) closedir(a);
        return -1;
    }

    rc = aiq_ctl_init_carry(a, b);

    if (rc == 0) {
        rc = fsync(dirfd(b));
    }

    if (rc == 0) {
        rc = renameat(dirfd(a), "data.mdb", dirfd(b), "data.mdb");
    }

    if (rc == 0) {
        (void) fsync(dirfd(b));

    } else {
        err = errno;

        /* back into the stage, with which it is removed */

        (void) aiq_ctl_init_carry(b, a);

        errno = err;
    }

    (void) closedir(b);
    (void) closedir(a);

    return rc;
}


/* all but data.mdb, lost+found and what begins with a dot: the stage */

static int
aiq_ctl_init_carry(DIR *from, DIR *to)
{
    struct dirent  *de;

    rewinddir(from);

    while ((de = readdir(from)) != NULL) {

        if (de->d_name[0] == '.' || strcmp(de->d_name, "data.mdb") == 0
            || strcmp(de->d_name, "lost+found") == 0)
        {
            continue;
        }

        if (renameat(dirfd(from), de->d_name, dirfd(to), de->d_name) != 0) {
            return -1;
        }
    }

    return 0;
}


/* one more org for a store that is in use */

static int
aiq_ctl_init_there(aiq_ctl_t *ctl, aiq_ctl_init_t *in)
{
    int            code;
    char          *undo;
    aiq_rc_t       rc;
    aiq_org_t      org;
    aiq_ctl_dir_e  log;

    ctl->dir = in->dir;

    code = aiq_ctl_open(ctl, AIQ_STORE_WRITE);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_org_get(ctl->txn, in->org, &org, &ctl->mem);

    if (rc == AIQ_OK) {
        return aiq_ctl_no(ctl, AIQ_OK, "the org \"%s\" exists already%s",
                          aiq_ctl_opt(ctl, "org"), org.active ? ""
                          : ", removed; armoriqctl org add brings it back");
    }

    if (rc != AIQ_DECLINED) {
        return aiq_ctl_fail(ctl, rc, "org");
    }

    code = aiq_ctl_init_rows(ctl, in, in->dir);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    code = aiq_ctl_init_state(ctl, in->audit, "log.json", &log);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    in->log = (log == AIQ_CTL_DIR_STORE);

    /* the log of this store may be elsewhere: make one only if asked to */

    if (!in->log && aiq_ctl_opt(ctl, "audit")) {
        undo = ctl->undo;
        ctl->undo = NULL;

        code = aiq_ctl_init_audit(ctl, in, in->dir, in->audit);

        ctl->undo = undo;

        if (code != AIQ_CTL_OK) {
            return code;
        }
    }

    rc = aiq_mem_dup(&ctl->mem, in->key.id, &in->key.id);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, NULL);
    }

    code = aiq_ctl_commit(ctl);

    if (code == AIQ_CTL_OK) {
        in->made_audit = NULL;
        in->made_seed = NULL;
        code = aiq_ctl_init_chown(ctl, in, in->dir);
    }

    return code;
}


static int
aiq_ctl_init_rows(aiq_ctl_t *ctl, aiq_ctl_init_t *in, const char *dir)
{
    int          code;
    aiq_rc_t     rc;
    aiq_user_t   user;
    aiq_agent_t  agent;

    code = aiq_ctl_org_make(ctl, dir, in->org, 0, &in->kid);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    memset(&user, 0, sizeof(aiq_user_t));

    user.id = in->user;
    user.active = 1;
    user.created = ctl->now;

    rc = aiq_user_put(ctl->txn, in->org, &user, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "user");
    }

    memset(&agent, 0, sizeof(aiq_agent_t));

    agent.id = in->agent;
    agent.active = 1;
    agent.created = ctl->now;

    rc = aiq_agent_put(ctl->txn, in->org, &agent, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "agent");
    }

    in->key.org = in->org;
    in->key.note = aiq_cstr("made by armoriqctl init");
    in->key.active = 1;
    in->key.created = ctl->now;

    if (aiq_ctl_opt(ctl, "user")) {
        in->key.user = in->user;
    }

    if (aiq_ctl_opt(ctl, "agent")) {
        in->key.agent = in->agent;
    }

    rc = aiq_apikey_create(ctl->txn, &in->key, in->secret, ctl->crypto,
                           &ctl->mem, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "API key");
    }

    return AIQ_CTL_OK;
}


static int
aiq_ctl_init_audit(aiq_ctl_t *ctl, aiq_ctl_init_t *in, const char *dir,
    const char *audit)
{
    int             code;
    aiq_rc_t        rc;
    aiq_ctl_dir_e   state;
    unsigned char   pub[AIQ_KEY_LEN];

    code = aiq_ctl_init_state(ctl, audit, "log.json", &state);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    if (state != AIQ_CTL_DIR_ABSENT && state != AIQ_CTL_DIR_EMPTY) {
        return aiq_ctl_no(ctl, AIQ_OK, "\"%s\" %s", audit,
                          state == AIQ_CTL_DIR_STORE
                          ? "holds an audit log already" : "is not empty");
    }

    code = aiq_ctl_init_audit_key(ctl, in, dir, pub);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    if (audit == in->audit) {
        in->made_audit = audit;
        in->log_dir = (state == AIQ_CTL_DIR_EMPTY);
    }

    rc = aiq_audit_create(audit, in->origin, pub, ctl->now_us, ctl->crypto,
                          &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "audit");
    }

    in->log = 1;

    return aiq_ctl_init_chown(ctl, in, audit);
}


/* the log has a key of its own, whose seed lies beside those of issuers */

static int
aiq_ctl_init_audit_key(aiq_ctl_t *ctl, aiq_ctl_init_t *in, const char *dir,
    unsigned char pub[AIQ_KEY_LEN])
{
    int             code;
    aiq_rc_t        rc;
    aiq_str_t       kid;
    unsigned char   seed[AIQ_KEY_LEN];

    kid = aiq_cstr(AIQ_CTL_AUDIT_KID);

    rc = aiq_store_seed_read(dir, kid, seed, NULL);

    if (rc == AIQ_OK) {
        rc = aiq_ed25519_public(ctl->crypto, seed, pub);
        aiq_wipe(seed, sizeof(seed));

        return rc == AIQ_OK ? AIQ_CTL_OK
                            : aiq_ctl_fail(ctl, rc, "audit key");
    }

    /* one that cannot be read is not replaced below */

    rc = aiq_random(seed, sizeof(seed));

    if (rc == AIQ_OK) {
        rc = aiq_ed25519_public(ctl->crypto, seed, pub);
    }

    if (rc == AIQ_OK) {
        code = aiq_ctl_seed_write(ctl, dir, kid, seed);
        in->made_seed = ctl->undo;

    } else {
        code = aiq_ctl_fail(ctl, rc, "audit key");
    }

    aiq_wipe(seed, sizeof(seed));

    return code;
}


static int
aiq_ctl_init_chown(aiq_ctl_t *ctl, const aiq_ctl_init_t *in, const char *dir)
{
    if (!in->owner) {
        return AIQ_CTL_OK;
    }

    if (aiq_ctl_tree_chown(dir, in->uid, in->gid) != 0) {
        return aiq_ctl_fault(ctl, AIQ_E_STORE_UNAVAILABLE,
                             "cannot change the owner of \"%s\": %s", dir,
                             strerror(errno));
    }

    return AIQ_CTL_OK;
}


static void
aiq_ctl_init_undo(aiq_ctl_init_t *in)
{
    int  fd;

    if (in->stage) {
        (void) aiq_ctl_tree_remove(in->stage);
    }

    if (in->made_seed) {
        (void) unlink(in->made_seed);
    }

    if (in->made_audit == NULL) {
        return;
    }

    if (in->log_dir) {
        fd = open(in->made_audit, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

        if (fd != -1) {
            (void) unlinkat(fd, "log.json", 0);
            (void) unlinkat(fd, "lock", 0);
            (void) close(fd);
        }

        return;
    }

    (void) aiq_ctl_tree_remove(in->made_audit);
}


static int
aiq_ctl_init_report(aiq_ctl_t *ctl, const aiq_ctl_init_t *in)
{
    json_t      *o;
    const char  *dir, *audit;

    if (ctl->json) {
        o = json_object();

        aiq_ctl_jset(ctl, o, "ok", json_true());
        aiq_ctl_jset(ctl, o, "store", aiq_ctl_jstr(aiq_cstr(in->dir)));
        aiq_ctl_jset(ctl, o, "created",
                     json_boolean(in->state != AIQ_CTL_DIR_STORE));
        aiq_ctl_jset(ctl, o, "org", aiq_ctl_jstr(in->org));
        aiq_ctl_jset(ctl, o, "issuer", aiq_ctl_jstr(in->kid));
        aiq_ctl_jset(ctl, o, "user", aiq_ctl_jstr(in->user));
        aiq_ctl_jset(ctl, o, "agent", aiq_ctl_jstr(in->agent));
        aiq_ctl_jset(ctl, o, "audit",
                     in->log ? aiq_ctl_jstr(aiq_cstr(in->audit))
                             : json_null());
        aiq_ctl_jset(ctl, o, "api_key_id", aiq_ctl_jstr(in->key.id));
        aiq_ctl_jset(ctl, o, "api_key", json_string(in->secret));

        return aiq_ctl_jprint(ctl, o);
    }

    dir = aiq_ctl_esc(ctl, aiq_cstr(in->dir));
    audit = aiq_ctl_esc(ctl, aiq_cstr(in->audit));

    printf("store    %s%s\n", dir,
           in->state == AIQ_CTL_DIR_STORE ? " (was there)" : "");

    printf("org      %s, denies what no policy allows\n",
           aiq_ctl_esc(ctl, in->org));

    printf("issuer   %s\nuser     %s\nagent    %s\n",
           aiq_ctl_esc(ctl, in->kid), aiq_ctl_esc(ctl, in->user),
           aiq_ctl_esc(ctl, in->agent));

    printf("audit    %s\nkey id   %s\nAPI key  %s\n",
           in->log ? audit : "(no log made)", aiq_ctl_esc(ctl, in->key.id),
           in->secret);

    printf("\nThe API key is not shown again, keep it now.\n\n"
           "In nginx.conf, in http { }:\n\n"
           "    armoriq_store  %s;\n"
           "    armoriq_audit  %s;\n"
           "    armoriq_zone   32m;\n\n"
           "Next: armoriqctl mcp add, armoriqctl policy add, armoriqctl"
           " doctor\n", dir, in->log ? audit : "DIR");

    return AIQ_CTL_OK;
}
