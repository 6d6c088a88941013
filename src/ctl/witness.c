
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl audit witness: cosigns checkpoints of logs that have only grown.
 *
 *     DIR/keys/witness.seed             its key
 *     DIR/<SHA-256 of origin>.checkpoint  the last one that it has cosigned
 *     DIR/lock                          flock() of the one that runs
 *
 * A request is answered when the checkpoint in it is on disk, and one after
 * the other: no two of them can be told of the same old one.
 */


#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "audit_key.h"
#include "witness.h"


#define AIQ_CTL_WITNESS_KID   "witness"
#define AIQ_CTL_WITNESS_LOGS  256
#define AIQ_CTL_WITNESS_TMP   "checkpoint.new"
#define AIQ_CTL_WITNESS_NAME  (2 * AIQ_HASH_LEN + sizeof(".checkpoint"))


/* all keys of the list that have this name; they stand together */

typedef struct {
    aiq_vkey_t           *keys;
    unsigned              n;
    aiq_witness_state_t   state;
    char                  file[AIQ_CTL_WITNESS_NAME];
} aiq_ctl_log_t;

typedef struct {
    aiq_ctl_t            *ctl;
    int                   dir;
    aiq_vkey_t            key;
    unsigned char         seed[AIQ_KEY_LEN];
    aiq_vkey_t           *keys;
    unsigned              nlogs;
    aiq_ctl_log_t        *logs;
    unsigned char         line[AIQ_CTL_WITNESS_NAME + AIQ_NAME_MAX + 128];
} aiq_ctl_witness_t;


static int aiq_ctl_witness_dir(aiq_ctl_witness_t *w);
static int aiq_ctl_witness_key(aiq_ctl_witness_t *w);
static int aiq_ctl_witness_logs(aiq_ctl_witness_t *w);
static int aiq_ctl_witness_add(aiq_ctl_witness_t *w, unsigned n);
static int aiq_ctl_witness_load(aiq_ctl_witness_t *w, aiq_ctl_log_t *log);
static void aiq_ctl_witness_answer(void *data, aiq_str_t body,
    aiq_ctl_reply_t *reply);
static unsigned aiq_ctl_witness_judge(aiq_ctl_witness_t *w,
    const aiq_witness_request_t *r, aiq_ctl_log_t **log, aiq_err_t *err);
static unsigned aiq_ctl_witness_sign(aiq_ctl_witness_t *w,
    const aiq_witness_request_t *r, aiq_ctl_log_t *log, aiq_str_t *line,
    aiq_err_t *err);


int
aiq_ctl_audit_witness(aiq_ctl_t *ctl)
{
    int                 fd, code;
    char                where[128];
    aiq_out_t           out;
    const char         *at;
    unsigned char       vkey[AIQ_VKEY_MAX];
    aiq_ctl_witness_t  *w;

    w = aiq_mem_calloc(&ctl->mem, sizeof(aiq_ctl_witness_t));

    if (w == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    w->ctl = ctl;

    code = aiq_ctl_witness_dir(w);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_witness_key(w);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_witness_logs(w);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    aiq_out_init(&out, vkey, sizeof(vkey));
    aiq_vkey_write(&out, &w->key);

    printf("%s\n", aiq_ctl_esc(ctl, aiq_out_done(&out)));

    if (w->nlogs == 0) {
        aiq_wipe(w->seed, sizeof(w->seed));
        return AIQ_CTL_OK;
    }

    at = aiq_ctl_opt(ctl, "listen");

    code = aiq_ctl_listen(ctl, at ? at : "127.0.0.1:8009", &fd, where,
                          sizeof(where));

    if (code == AIQ_CTL_OK) {
        printf("http://%s/ answers for %u log%s\n", where, w->nlogs,
               w->nlogs == 1 ? "" : "s");
        (void) fflush(stdout);

        code = aiq_ctl_serve(ctl, fd, AIQ_WITNESS_MAX,
                             aiq_ctl_witness_answer, w);
    }

    aiq_wipe(w->seed, sizeof(w->seed));

    return code;
}


static int
aiq_ctl_witness_dir(aiq_ctl_witness_t *w)
{
    int          fd;
    aiq_ctl_t   *ctl;
    struct stat  st;

    ctl = w->ctl;

    if (mkdir(ctl->arg[0], 0700) != 0 && errno != EEXIST) {
        return aiq_ctl_fault(ctl, AIQ_E_INTERNAL, "%s: %s", ctl->arg[0],
                             strerror(errno));
    }

    w->dir = open(ctl->arg[0], O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (w->dir == -1 || fstat(w->dir, &st) != 0) {
        return aiq_ctl_fault(ctl, AIQ_E_INTERNAL, "%s: %s", ctl->arg[0],
                             strerror(errno));
    }

    if (st.st_mode & (S_IWGRP|S_IWOTH)) {
        return aiq_ctl_no(ctl, AIQ_OK, "others may write to \"%s\", run:"
                          " chmod go-w %s", ctl->arg[0], ctl->arg[0]);
    }

    /* two that do not know of each other would cosign both sides of a fork;
       held until the process ends */

    fd = openat(w->dir, "lock", O_RDWR|O_CREAT|O_CLOEXEC|O_NOFOLLOW, 0600);

    if (fd == -1) {
        return aiq_ctl_fault(ctl, AIQ_E_INTERNAL, "%s/lock: %s", ctl->arg[0],
                             strerror(errno));
    }

    if (flock(fd, LOCK_EX|LOCK_NB) != 0) {
        return aiq_ctl_no(ctl, AIQ_OK, "another witness uses \"%s\"",
                          ctl->arg[0]);
    }

    return AIQ_CTL_OK;
}


/* made the first time, never replaced */

static int
aiq_ctl_witness_key(aiq_ctl_witness_t *w)
{
    aiq_rc_t        rc;
    aiq_str_t       kid, name;
    aiq_ctl_t      *ctl;
    unsigned char   pub[AIQ_KEY_LEN];

    ctl = w->ctl;
    kid = aiq_cstr(AIQ_CTL_WITNESS_KID);
    name = aiq_cstr(aiq_ctl_opt(ctl, "name"));

    if (!aiq_note_name_ok(name)) {
        return aiq_ctl_usage(ctl, "--name: a name without blanks and '+' is"
                             " expected, as example.com/witness");
    }

    if (faccessat(w->dir, "keys", F_OK, AT_SYMLINK_NOFOLLOW) != 0
        && errno == ENOENT)
    {
        rc = aiq_random(w->seed, sizeof(w->seed));

        if (rc == AIQ_OK) {
            rc = aiq_store_seed_write(ctl->arg[0], kid, w->seed, &ctl->err);
        }

        if (rc != AIQ_OK) {
            return aiq_ctl_fail(ctl, rc, "seed");
        }
    }

    rc = aiq_store_seed_read(ctl->arg[0], kid, w->seed, &ctl->err);

    if (rc == AIQ_OK) {
        rc = aiq_ed25519_public(ctl->crypto, w->seed, pub);
    }

    if (rc == AIQ_OK) {
        rc = aiq_cosigner_init(&w->key, name, pub, ctl->crypto);
    }

    return rc == AIQ_OK ? AIQ_CTL_OK : aiq_ctl_fail(ctl, rc, "seed");
}


static int
aiq_ctl_witness_logs(aiq_ctl_witness_t *w)
{
    int          code;
    aiq_rc_t     rc;
    unsigned     i, j, n;
    aiq_ctl_t   *ctl;
    aiq_str_t    text;
    aiq_vkey_t   key;
    const char  *list, *file;

    ctl = w->ctl;
    list = aiq_ctl_opt(ctl, "log");
    file = aiq_ctl_opt(ctl, "logs");

    if (list && file) {
        return aiq_ctl_usage(ctl, "give one of --log and --logs");
    }

    text = aiq_cstr(list ? list : "");

    if (file) {
        code = aiq_ctl_read(ctl, file, (size_t) 1 << 20, 0, &text);

        if (code != AIQ_CTL_OK) {
            return code;
        }
    }

    w->keys = aiq_mem_calloc(&ctl->mem, AIQ_CTL_WITNESS_LOGS
                                        * sizeof(aiq_vkey_t));
    w->logs = aiq_mem_calloc(&ctl->mem, AIQ_CTL_WITNESS_LOGS
                                        * sizeof(aiq_ctl_log_t));

    if (w->keys == NULL || w->logs == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    rc = aiq_vkey_list(w->keys, AIQ_CTL_WITNESS_LOGS, &n, AIQ_NOTE_ED25519,
                       text, ctl->crypto, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_usage(ctl, "--%s: %s", file ? "logs" : "log",
                             ctl->err.text);
    }

    /* by name: one log may have several keys */

    for (i = 1; i < n; i++) {
        key = w->keys[i];

        for (j = i; j > 0; j--) {

            if (aiq_str_eq(w->keys[j - 1].name, key.name)) {
                break;
            }
        }

        if (j == 0) {
            continue;
        }

        memmove(&w->keys[j + 1], &w->keys[j], (i - j) * sizeof(aiq_vkey_t));
        w->keys[j] = key;
    }

    return aiq_ctl_witness_add(w, n);
}


static int
aiq_ctl_witness_add(aiq_ctl_witness_t *w, unsigned n)
{
    int             code;
    unsigned        i;
    aiq_hash_t      hash;
    aiq_ctl_log_t  *log;

    for (i = 0; i < n; i++) {

        if (i && aiq_str_eq(w->keys[i].name, w->keys[i - 1].name)) {
            w->logs[w->nlogs - 1].n++;
            continue;
        }

        log = &w->logs[w->nlogs++];
        log->keys = &w->keys[i];
        log->n = 1;

        if (aiq_sha256(w->ctl->crypto, log->keys[0].name, hash) != AIQ_OK) {
            return aiq_ctl_fault(w->ctl, AIQ_E_CRYPTO_FAILED,
                                 "SHA-256 failed");
        }

        (void) snprintf(log->file, sizeof(log->file), "%s.checkpoint",
                        aiq_ctl_hex(w->ctl, hash, AIQ_HASH_LEN));

        code = aiq_ctl_witness_load(w, log);

        if (code != AIQ_CTL_OK) {
            return code;
        }
    }

    return AIQ_CTL_OK;
}


/* a file that cannot be read is not the same as none */

static int
aiq_ctl_witness_load(aiq_ctl_witness_t *w, aiq_ctl_log_t *log)
{
    int                code;
    char              *path;
    aiq_str_t          text;
    aiq_ctl_t         *ctl;
    aiq_note_t         note;
    aiq_checkpoint_t   cp;

    ctl = w->ctl;

    if (faccessat(w->dir, log->file, F_OK, AT_SYMLINK_NOFOLLOW) != 0
        && errno == ENOENT)
    {
        return AIQ_CTL_OK;
    }

    path = aiq_ctl_path(ctl, ctl->arg[0], log->file);

    if (path == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    code = aiq_ctl_read(ctl, path, AIQ_NOTE_MAX, 0, &text);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    if (aiq_note_parse(&note, text, NULL) != AIQ_OK
        || aiq_checkpoint_parse(&cp, note.text, NULL) != AIQ_OK
        || !aiq_str_eq(cp.origin, log->keys[0].name))
    {
        return aiq_ctl_fault(ctl, AIQ_E_INTERNAL, "%s: this is not what the"
                             " witness has cosigned last of %s: put the file"
                             " back, or accept that the log may have been"
                             " rolled back, and remove it", path,
                             aiq_ctl_esc(ctl, log->keys[0].name));
    }

    log->state.size = cp.size;
    memcpy(log->state.root, cp.root, AIQ_HASH_LEN);

    return AIQ_CTL_OK;
}


static void
aiq_ctl_witness_answer(void *data, aiq_str_t body, aiq_ctl_reply_t *reply)
{
    aiq_err_t              err;
    aiq_out_t              out;
    aiq_ctl_log_t         *log;
    unsigned char         *mem;
    aiq_ctl_witness_t     *w = data;
    aiq_witness_request_t  r;

    err.text[0] = '\0';
    log = NULL;

    /* what is written for people goes with the request */

    mem = w->ctl->mem.pos;

    if (aiq_witness_parse(&r, body, &err) != AIQ_OK) {
        reply->status = 400;

    } else {
        reply->status = aiq_ctl_witness_judge(w, &r, &log, &err);
    }

    if (reply->status == 200) {
        reply->status = aiq_ctl_witness_sign(w, &r, log, &reply->body, &err);
    }

    if (reply->status == 409) {
        aiq_out_init(&out, w->line, sizeof(w->line));
        aiq_out_int(&out, (int64_t) log->state.size);
        aiq_out_char(&out, '\n');

        reply->type = "text/x.tlog.size";
        reply->body = aiq_out_done(&out);
    }

    /* 409 is how a log asks; the others are what somebody wants to know */

    if (reply->status != 200 && reply->status != 409) {
        aiq_ctl_note("%u%s%s: %s", reply->status, log ? " " : "",
                     log ? aiq_ctl_esc(w->ctl, log->keys[0].name) : "",
                     aiq_ctl_esc(w->ctl, aiq_cstr(err.text)));
    }

    w->ctl->mem.pos = mem;
}


static unsigned
aiq_ctl_witness_judge(aiq_ctl_witness_t *w, const aiq_witness_request_t *r,
    aiq_ctl_log_t **log, aiq_err_t *err)
{
    unsigned              i;
    aiq_witness_state_t   none;

    for (i = 0; i < w->nlogs; i++) {

        if (aiq_str_eq(w->logs[i].keys[0].name, r->checkpoint.origin)) {
            *log = &w->logs[i];

            return aiq_witness_decide(r, (*log)->keys, (*log)->n,
                                      &(*log)->state, w->ctl->crypto, err);
        }
    }

    memset(&none, 0, sizeof(none));

    return aiq_witness_decide(r, NULL, 0, &none, w->ctl->crypto, err);
}


static unsigned
aiq_ctl_witness_sign(aiq_ctl_witness_t *w, const aiq_witness_request_t *r,
    aiq_ctl_log_t *log, aiq_str_t *line, aiq_err_t *err)
{
    aiq_rc_t         rc;
    aiq_out_t        out;
    struct timespec  ts;

    if (clock_gettime(CLOCK_REALTIME, &ts) != 0) {
        (void) aiq_fail(err, AIQ_E_INTERNAL, "cannot read the clock");
        return 500;
    }

    aiq_out_init(&out, w->line, sizeof(w->line));

    rc = aiq_cosign(&out, r->note.text, &w->key, w->seed, ts.tv_sec,
                    w->ctl->crypto);

    if (rc != AIQ_OK) {
        (void) aiq_fail(err, rc, "the checkpoint cannot be signed");
        return 500;
    }

    /* the same once more changes nothing */

    if (r->checkpoint.size > log->state.size) {

        rc = aiq_audit_replace(w->dir, AIQ_CTL_WITNESS_TMP, log->file,
                               r->text, err);
        if (rc != AIQ_OK) {
            return 500;
        }

        log->state.size = r->checkpoint.size;
        memcpy(log->state.root, r->checkpoint.root, AIQ_HASH_LEN);
    }

    *line = aiq_out_done(&out);

    return 200;
}
