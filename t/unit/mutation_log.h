
/*
 * Copyright (C) ngx_armoriq authors
 *
 * A log for mutation.c, with records of every type, by the writer itself.
 */


#ifndef _AIQ_MUTATION_LOG_H_INCLUDED_
#define _AIQ_MUTATION_LOG_H_INCLUDED_


#include "audit_log.h"
#include "audit_checkpoint.h"
#include "audit_file.h"


#define TOTAL  200
#define CALLS  23                     /* between two checkpoints */


/* the log as it was */

typedef struct {
    char          *text[2];
    size_t         len[2];
    uint64_t       first[2];          /* names of the segments */
    char          *line[TOTAL];
    size_t         size[TOTAL];       /* with LF */
    unsigned       in[TOTAL];         /* segment */
    unsigned       bits[TOTAL];       /* the first one of its type */
    unsigned       types;
    unsigned       n;
    char          *notes;             /* "checkpoints" */
    size_t         notes_len;
    char          *kept;              /* the newest checkpoint */
    size_t         kept_len;
    aiq_hash_t     root;
} log_t;


static void make_log(log_t *l, const char *dir);
static void make_calls(const char *dir, aiq_audit_t *log);
static void make_events(aiq_audit_t *log);
static void make_resolve(const char *dir);
static void sign_log(const char *dir, aiq_audit_t *log);
static void read_log(log_t *l, const char *dir);
static void note_type(log_t *l, unsigned i);
static void put_back(const log_t *l, const char *dir);
static void free_log(log_t *l);


/* by the writer itself: calls of every kind, and whatever else it writes */

static void
make_log(log_t *l, const char *dir)
{
    int           fd;
    char          buf[1024];
    unsigned      i;
    aiq_err_t     err;
    aiq_audit_t  *log;

    memset(l, 0, sizeof(log_t));

    log = reopen(dir);

    put(log, body_event("OPEN", buf, sizeof(buf)), NULL, &err);

    for (i = 0; i < 4; i++) {
        make_calls(dir, log);
        make_events(log);

        if (i == 1) {

            /* a crash in the middle of a line: RECOVERY in a new segment */

            fd = open(seg(dir, 1), O_WRONLY|O_APPEND);

            if (fd == -1 || write(fd, "{\"v\":1,\"se", 10) != 10) {
                diag("cannot tear");
            }

            close(fd);
            make_resolve(dir);
        }

        sign_log(dir, log);
    }

    for ( ;; ) {

        if (aiq_audit_position(log, crypto, &l->first[0], &err) != AIQ_OK
            || l->first[0] >= TOTAL)
        {
            break;
        }

        put(log, body_event("CLOSE", buf, sizeof(buf)), NULL, &err);
    }

    sign_log(dir, log);
    aiq_audit_close(log);
}


static void
make_calls(const char *dir, aiq_audit_t *log)
{
    char                buf[8192];
    unsigned            i, k;
    aiq_err_t           err;
    aiq_audit_pos_t     pos;
    aiq_audit_intent_t  r;

    static unsigned  n;

    static const struct {
        const char  *verdict;
        const char  *reason;
        unsigned     dry_run;
        const char  *status;          /* NULL: no OUTCOME */
    } calls[] = {
        { "PERMIT", "OK", 0, "executed" },
        { "PERMIT", "OK", 0, "not_sent" },
        { "DENY", "STEP_USED", 0, NULL },
        { "PERMIT", "OK", 0, "upstream_error" },
        { "HOLD", "APPROVAL", 0, NULL },
        { "DENY", "POLICY_DENY", 1, "client_abort" },
        { "PERMIT", "OK", 0, NULL },
    };

    for (i = 0; i < CALLS; i++, n++) {

        k = i % (sizeof(calls) / sizeof(calls[0]));

        if (i > k) {
            k = 0;
        }

        call(&r, n);
        r.verdict = str(calls[k].verdict);
        r.reason = str(calls[k].reason);
        r.dry_run = calls[k].dry_run;

        if (i > k) {

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
            || (calls[k].status
                && put_outcome(log, n, &pos, calls[k].status, &err)
                   != AIQ_OK))
        {
            diag("%s: %s", dir, err.text);
        }
    }
}


static void
make_events(aiq_audit_t *log)
{
    char       buf[1024];
    size_t     i;
    aiq_err_t  err;

    static const char *const  kind[] = {
        "CONFIG", "HOLD", "HEARTBEAT", "CLOSE", "OPEN"
    };

    for (i = 0; i < sizeof(kind) / sizeof(kind[0]); i++) {
        put(log, body_event(kind[i], buf, sizeof(buf)), NULL, &err);
    }
}


static aiq_rc_t
log_seed(void *data, const aiq_vkey_t *key, unsigned n,
    unsigned char seed[AIQ_KEY_LEN], aiq_err_t *err)
{
    memset(seed, 0x42, AIQ_KEY_LEN);

    return AIQ_OK;
}


/* the first call that has no outcome */

static void
make_resolve(const char *dir)
{
    uint64_t              seq;
    aiq_rc_t              rc;
    aiq_err_t             err;
    aiq_audit_pos_t       pos;
    aiq_audit_resolve_t   r;

    memset(&r, 0, sizeof(r));

    r.ts_us = BASE;
    r.status = str("executed");
    r.by = str("alice");
    r.note = str("ticket 4711");

    for (seq = 1, rc = AIQ_DECLINED; rc == AIQ_DECLINED && seq < TOTAL; seq++)
    {
        r.seq = seq;
        rc = aiq_audit_resolve(dir, &r, crypto, &pos, &err);
    }

    if (rc != AIQ_OK) {
        diag("resolve: %s", err.text);
    }
}


static void
sign_log(const char *dir, aiq_audit_t *log)
{
    aiq_err_t            err;
    aiq_audit_signed_t   done;
    aiq_audit_signer_t  *s;

    if (aiq_audit_signer_open(&s, dir, log_seed, NULL, &err) != AIQ_OK
        || aiq_audit_checkpoint(s, 0, &done, &err) != AIQ_OK)
    {
        diag("checkpoint: %s", err.text);
    }

    aiq_audit_signer_close(s);
}


static void
read_log(log_t *l, const char *dir)
{
    char                *p, *lf;
    unsigned             i;
    uint64_t             seq;
    aiq_audit_report_t   r;

    for (seq = 2; seq < TOTAL && access(seg(dir, seq), F_OK) != 0; seq++) {
        /* void */
    }

    l->first[0] = 1;
    l->first[1] = seq;

    for (i = 0; i < 2; i++) {
        l->text[i] = slurp(seg(dir, l->first[i]), &l->len[i]);

        if (l->text[i] == NULL) {
            printf("Bail out! no second segment\n");
            exit(1);
        }

        for (p = l->text[i];
             l->n < TOTAL
             && (lf = memchr(p, '\n', (size_t) (l->text[i] + l->len[i] - p)))
                != NULL;
             p = lf + 1)
        {
            l->line[l->n] = p;
            l->size[l->n] = (size_t) (lf + 1 - p);
            l->in[l->n] = i;
            note_type(l, l->n++);
        }
    }

    l->notes = slurp(path(dir, "checkpoints"), &l->notes_len);
    l->kept = slurp(path(dir, "checkpoint"), &l->kept_len);

    ok(verify(dir, &r) == AIQ_AUDIT_UNKNOWN && r.records == TOTAL
       && l->n == TOTAL && r.segments == 2 && r.seq == TOTAL
       && r.unknown == 3 && r.resolved == 1 && r.checkpoints == 5
       && r.covered == TOTAL
       && r.intents == 4 * CALLS && r.outcomes == 4 * (CALLS - 3)
       && r.denials == 4 * 2,
       "%d records of %u types in two segments, the first one is torn, and "
       "five checkpoints: %s", TOTAL, l->types, r.text);

    memcpy(l->root, r.root, AIQ_HASH_LEN);
}


/* the first record of each type: every bit of it will be changed */

static void
note_type(log_t *l, unsigned i)
{
    size_t    len;
    char     *t, *v;
    unsigned  k;

    t = strstr(l->line[i], "\"t\":\"");
    len = (size_t) (strchr(t + 5, '"') - t);

    /* INTENTs by their verdict */

    v = memmem(l->line[i], l->size[i], "\"verdict\":\"", 11);

    for (k = 0; k < i; k++) {

        if (l->bits[k]
            && memmem(l->line[k], l->size[k], t, len) != NULL
            && (v == NULL
                || memmem(l->line[k], l->size[k], v, 13) != NULL))
        {
            return;
        }
    }

    l->bits[i] = 1;
    l->types++;
}


static void
put_back(const log_t *l, const char *dir)
{
    spit(seg(dir, l->first[0]), l->text[0], l->len[0]);
    spit(seg(dir, l->first[1]), l->text[1], l->len[1]);
}


static void
free_log(log_t *l)
{
    free(l->text[0]);
    free(l->text[1]);
    free(l->notes);
    free(l->kept);
}


#endif /* _AIQ_MUTATION_LOG_H_INCLUDED_ */
