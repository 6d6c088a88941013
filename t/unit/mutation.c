
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Guards that no edit of an audit log goes unseen: a log of 200 records is
 * changed in every way that is listed in kinds[], one change at a time, and
 * verify must find each of them.  What a log alone cannot show is tried
 * without its checkpoints, and must be found with the one that was kept.
 *
 *     mutation          one bit of every byte, and every bit of a record of
 *                       each type
 *     mutation long     every bit, and every other value of each byte of a
 *                       record of each type
 */


#include "mutation_log.h"
#include <sys/mman.h>


#define JOBS   4
#define HEX    (2 * AIQ_HASH_LEN)

/* where every access is checked, some of the bytes will do */

#if defined(__SANITIZE_ADDRESS__)
#define STEP   16
#else
#define STEP   1
#endif


enum {
    FLIP, CUT, DELETE, SWAP, INSERT, DOUBLE, SEGMENT, ORIGIN, NOTE, ANEW, KINDS
};

static const char *const  kinds[KINDS] = {
    "bytes flipped", "truncations", "deletions", "swaps", "insertions",
    "duplications", "changes of segments", "flips of log.json",
    "changes of checkpoints", "logs written anew"
};


/* what was tried; shared with the children */

typedef struct {
    unsigned long  tried[KINDS];
    unsigned long  missed[KINDS];
    unsigned long  codes[32];
    unsigned long  late;              /* a flip that only the checkpoint saw */
    unsigned long  quiet;             /* changes that a log alone hides */
    unsigned long  same;              /* of these: with the same root */
    unsigned long  ends;              /* cuts at the end of a line */
} tally_t;


static int judge(const log_t *l, const char *dir, int kind, tally_t *t,
    const char *what, unsigned long at);
static void bulk(const log_t *l, char *const *dirs, unsigned n, int all,
    tally_t *sum);
static void flips(const log_t *l, const char *dir, unsigned job, unsigned n,
    int all, tally_t *t);
static void flip(const log_t *l, const char *dir, int fd, unsigned s,
    size_t at, unsigned mask, unsigned line, tally_t *t);
static void cuts(const log_t *l, const char *dir, unsigned s, tally_t *t);
static void arrange(const log_t *l, const char *dir, const int *order,
    unsigned n);
static void lines(const log_t *l, const char *dir, tally_t *t);
static void strangers(const log_t *l, const char *dir, tally_t *t);
static void segments(const log_t *l, const char *dir, tally_t *t);
static void origin(const log_t *l, const char *dir, tally_t *t);
static void notes(const log_t *l, const char *dir, tally_t *t);
static void note_flips(const log_t *l, const char *dir, const char *name,
    const char *text, size_t len, tally_t *t);
static void note_order(const log_t *l, const char *dir, tally_t *t);
static void anew(const log_t *l, const char *dir, tally_t *t);
static void rechain(const log_t *l, char *out[2], unsigned changed);
static void summary(const log_t *l, const tally_t *t);


/*
 * As somebody does who has kept the newest checkpoint.  A change that is not
 * found is a defect of verify, or of the format.
 */

static int
judge(const log_t *l, const char *dir, int kind, tally_t *t,
    const char *what, unsigned long at)
{
    aiq_str_t            note;
    aiq_audit_kept_t     kept;
    aiq_audit_report_t   r;

    memset(&kept, 0, sizeof(kept));

    note.data = (unsigned char *) l->kept;
    note.len = l->kept_len;
    kept.notes = &note;
    kept.n = 1;

    aiq_audit_verify_kept(dir, &kept, crypto, &r);

    t->tried[kind]++;
    t->codes[(unsigned) r.code % 32]++;

    if (fine((int) r.code) && t->missed[kind]++ < 5) {
        diag("not found: %s %lu", what, at);
    }

    return (int) r.code;
}


/* what takes long, by several processes, each with a log of its own */

static void
bulk(const log_t *l, char *const *dirs, unsigned n, int all, tally_t *sum)
{
    int             status;
    pid_t           pid[JOBS];
    tally_t        *t;
    unsigned        i, bad;
    size_t          k;
    unsigned long  *from, *to;

    t = mmap(NULL, n * sizeof(tally_t), PROT_READ|PROT_WRITE,
             MAP_SHARED|MAP_ANONYMOUS, -1, 0);

    if (t == MAP_FAILED) {
        printf("Bail out! no memory\n");
        exit(1);
    }

    fflush(stdout);

    for (i = 0; i < n; i++) {
        pid[i] = fork();

        if (pid[i] == 0) {
            flips(l, dirs[i], i, n, all, &t[i]);

            if (i < 2) {
                cuts(l, dirs[i], i, &t[i]);
            }

            fflush(stdout);
            _exit(0);
        }
    }

    for (i = 0, bad = 0; i < n; i++) {
        bad += (waitpid(pid[i], &status, 0) != pid[i] || status != 0);

        to = (unsigned long *) sum;
        from = (unsigned long *) &t[i];

        for (k = 0; k < sizeof(tally_t) / sizeof(unsigned long); k++) {
            to[k] += from[k];
        }
    }

    ok(bad == 0, "%u processes", n);

    munmap(t, n * sizeof(tally_t));
}


/*
 * Every byte of the segments, also the torn ones.  The mask goes round over
 * the bits, so that neighbors get different ones.
 */

static void
flips(const log_t *l, const char *dir, unsigned job, unsigned n, int all,
    tally_t *t)
{
    int       fd;
    size_t    i, end;
    unsigned  s, k, mask, values;

    for (s = 0, k = 0; s < 2; s++) {

        fd = open(seg(dir, l->first[s]), O_WRONLY);
        end = l->size[k];

        for (i = 0; i < l->len[s]; i++) {

            while (i >= end && k + 1 < TOTAL && l->in[k + 1] == s) {
                end += l->size[++k];
            }

            if (i % n != job || i / n % STEP != 0) {
                continue;
            }

            if (!all && !l->bits[k]) {
                flip(l, dir, fd, s, i, 1u << (i / n / STEP % 8), k, t);
                continue;
            }

            values = all && l->bits[k];

            for (mask = 1; mask < 256; mask = values ? mask + 1 : mask * 2) {
                flip(l, dir, fd, s, i, mask, k, t);
            }
        }

        close(fd);
        k++;
    }
}


static void
flip(const log_t *l, const char *dir, int fd, unsigned s, size_t at,
    unsigned mask, unsigned line, tally_t *t)
{
    int                  code;
    char                 c;
    aiq_audit_report_t   r;

    c = (char) (l->text[s][at] ^ (char) mask);

    if (pwrite(fd, &c, 1, (off_t) at) != 1) {
        t->missed[FLIP]++;
    }

    code = judge(l, dir, FLIP, t, s ? "second segment, byte"
                                    : "first segment, byte", at);

    if (line == TOTAL - 1) {

        /* the last one of all: no record follows that holds its hash */

        if (fine(verify(dir, &r))) {
            t->quiet++;
            t->same += (memcmp(r.root, l->root, AIQ_HASH_LEN) == 0);
        }

    } else if (code == AIQ_AUDIT_INCONSISTENT
               || code == AIQ_AUDIT_TRUNCATED)
    {
        t->late++;
    }

    pwrite(fd, &l->text[s][at], 1, (off_t) at);
}


/*
 * At every byte of one segment, of the first one only around the ends of
 * lines; what is behind it is gone, too.
 */

static void
cuts(const log_t *l, const char *dir, unsigned s, tally_t *t)
{
    int     code;
    size_t  i;

    if (s == 0) {
        unlink(seg(dir, l->first[1]));
    }

    for (i = l->len[s]; i-- > 0; /* void */ ) {

        if ((s == 0 || i % STEP != 0) && i > 1
            && memchr(l->text[s] + i - 2, '\n', 3) == NULL)
        {
            continue;
        }

        if (truncate(seg(dir, l->first[s]), (off_t) i) != 0) {
            t->missed[CUT]++;
        }

        code = judge(l, dir, CUT, t, "cut at", i);

        if (i == 0 || l->text[s][i - 1] != '\n') {
            t->quiet += (i > 0 && fine(verify(dir, NULL)));
            continue;
        }

        t->ends += (code == AIQ_AUDIT_TRUNCATED
                    && fine(verify(dir, NULL)));
    }

    put_back(l, dir);
}


/* writes lines in an order; the torn bytes stay at the first segment */

static void
arrange(const log_t *l, const char *dir, const int *order, unsigned n)
{
    FILE      *f[2];
    size_t     torn;
    unsigned   i, s;

    f[0] = fopen(seg(dir, l->first[0]), "wb");
    f[1] = fopen(seg(dir, l->first[1]), "wb");

    for (i = 0; i < n; i++) {
        s = l->in[n == TOTAL ? i : (unsigned) order[i]];
        fwrite(l->line[order[i]], 1, l->size[order[i]], f[s]);
    }

    for (i = 0, torn = l->len[0]; i < TOTAL; i++) {
        torn -= (l->in[i] == 0) ? l->size[i] : 0;
    }

    fwrite(l->text[0] + l->len[0] - torn, 1, torn, f[0]);

    fclose(f[0]);
    fclose(f[1]);
}


static void
lines(const log_t *l, const char *dir, tally_t *t)
{
    int        order[TOTAL + 2], far;
    unsigned   i, k, n;

    for (k = 0; k < TOTAL; k++) {

        for (i = 0, n = 0; i < TOTAL; i++) {
            if (i != k) {
                order[n++] = (int) i;
            }
        }

        arrange(l, dir, order, n);
        judge(l, dir, DELETE, t, "without line", k);

        /* with the next one, and with one far away */

        for (far = 0; far < 2; far++) {

            for (i = 0; i < TOTAL; i++) {
                order[i] = (int) i;
            }

            i = far ? (k * 7 + 3) % TOTAL : k + 1;

            if (i == k || i >= TOTAL) {
                continue;
            }

            order[k] = (int) i;
            order[i] = (int) k;

            arrange(l, dir, order, TOTAL);
            judge(l, dir, SWAP, t, "swapped line", k);
        }

        for (i = 0, n = 0; i < TOTAL; i++) {
            order[n++] = (int) i;

            if (i == k) {
                order[n++] = (int) k;
            }
        }

        arrange(l, dir, order, n);
        judge(l, dir, DOUBLE, t, "twice line", k);

        for (i = 0, n = 0; i < TOTAL; i++) {

            if (i == (k * 7 + 3) % TOTAL) {
                order[n++] = (int) k;
            }

            order[n++] = (int) i;
        }

        arrange(l, dir, order, n);
        judge(l, dir, INSERT, t, "elsewhere line", k);
    }

    put_back(l, dir);
}


/* lines that were never in it, before each one and behind the last */

static void
strangers(const log_t *l, const char *dir, tally_t *t)
{
    int         len;
    char        text[1024], *p;
    size_t      i, at;
    unsigned    k, s;

    for (k = 0; k <= TOTAL; k++) {

        s = (k < TOTAL) ? l->in[k] : 1;
        at = (k < TOTAL) ? (size_t) (l->line[k] - l->text[s]) : l->len[1];

        for (i = 0; i < 3; i++) {

            /* with the number and prev of the line that it stands before */

            len = snprintf(text, sizeof(text), "%s\n",
                           i == 0 ? "" : i == 1 ? "{}" : "x");

            if (i == 2) {
                if (k == TOTAL) {
                    break;
                }

                p = strstr(l->line[k], ",\"t\":");
                len = snprintf(text, sizeof(text), "%.*s,\"t\":\"INTENT\","
                               "\"ts\":\"2026-11-21T02:00:00.000000Z\","
                               "\"rid\":\"%s\",\"verdict\":\"DENY\","
                               "\"reason\":\"X\"}\n",
                               (int) (p - l->line[k]), l->line[k], rid(k));
            }

            p = malloc(l->len[s] + (size_t) len);
            memcpy(p, l->text[s], at);
            memcpy(p + at, text, (size_t) len);
            memcpy(p + at + len, l->text[s] + at, l->len[s] - at);

            spit(seg(dir, l->first[s]), p, l->len[s] + (size_t) len);
            free(p);

            judge(l, dir, INSERT, t, "a new line before line", k);
        }

        put_back(l, dir);
    }
}


static void
segments(const log_t *l, const char *dir, tally_t *t)
{
    aiq_audit_report_t  r;

    truncate(seg(dir, l->first[1]), 0);
    judge(l, dir, SEGMENT, t, "an empty second segment", 0);
    ok(verify(dir, &r) == AIQ_AUDIT_BROKEN, "nothing is left of it: %s",
       r.text);

    unlink(seg(dir, l->first[1]));
    judge(l, dir, SEGMENT, t, "no second segment", 0);
    ok(verify(dir, &r) == AIQ_AUDIT_TORN,
       "without the second segment nobody declares what is torn: %s", r.text);

    put_back(l, dir);
    unlink(seg(dir, 1));
    judge(l, dir, SEGMENT, t, "no first segment", 0);
    ok(verify(dir, &r) == AIQ_AUDIT_GAP, "without the first: %s", r.text);

    put_back(l, dir);
    rename(seg(dir, l->first[1]), seg(dir, l->first[1] + 1));
    judge(l, dir, SEGMENT, t, "a segment renamed", 0);
    ok(verify(dir, &r) == AIQ_AUDIT_GAP, "renamed: %s", r.text);
    unlink(seg(dir, l->first[1] + 1));

    put_back(l, dir);
    spit(seg(dir, TOTAL + 1), "", 0);
    judge(l, dir, SEGMENT, t, "an empty segment behind it", 0);

    spit(seg(dir, TOTAL + 1), l->text[1], l->len[1]);
    judge(l, dir, SEGMENT, t, "the second segment once more", 0);
    unlink(seg(dir, TOTAL + 1));

    spit(seg(dir, l->first[0]), l->text[1], l->len[1]);
    spit(seg(dir, l->first[1]), l->text[0], l->len[0]);
    judge(l, dir, SEGMENT, t, "segments swapped", 0);

    put_back(l, dir);
    spit(seg(dir, l->first[0]), l->text[0], l->len[0] - 10);
    judge(l, dir, SEGMENT, t, "torn bytes removed", 0);

    put_back(l, dir);
    ok(fine(verify(dir, &r)), "and it is as before");
}


static void
origin(const log_t *l, const char *dir, tally_t *t)
{
    char                *text;
    size_t               i, len, end, wrong;
    unsigned             mask;
    aiq_audit_report_t   r;

    text = slurp(path(dir, "log.json"), &len);
    end = (size_t) (strstr(text, ",\"created\":") - text);
    wrong = 0;

    for (i = 0; i < end; i++) {
        for (mask = 1; mask < 256; mask *= 2) {
            text[i] ^= (char) mask;
            spit(path(dir, "log.json"), text, len);
            text[i] ^= (char) mask;

            wrong += judge(l, dir, ORIGIN, t, "log.json, byte", i)
                     != AIQ_AUDIT_BROKEN;
        }
    }

    ok(wrong == 0, "every flip in log.json before \"created\": BROKEN");

    unlink(path(dir, "log.json"));
    ok(judge(l, dir, ORIGIN, t, "no log.json", 0) == AIQ_AUDIT_IO
       && verify(dir, &r) == AIQ_AUDIT_IO, "without log.json: %s", r.text);
    ok(verify("/nonexistent", &r) == AIQ_AUDIT_IO, "without a log: %s",
       r.text);

    spit(path(dir, "log.json"), text, len);
    free(text);
}


/*
 * Files of checkpoints.  A note that is torn at the end is what a crash
 * leaves, and is a warning, if the newest checkpoint does not say more.
 */

static void
notes(const log_t *l, const char *dir, tally_t *t)
{
    size_t  i;

    note_flips(l, dir, "checkpoint", l->kept, l->kept_len, t);
    spit(path(dir, "checkpoint"), l->kept, l->kept_len);

    note_flips(l, dir, "checkpoints", l->notes, l->notes_len, t);

    for (i = 0; i < l->notes_len; i++) {
        spit(path(dir, "checkpoints"), l->notes, i);
        judge(l, dir, NOTE, t, "checkpoints cut at", i);
    }

    unlink(path(dir, "checkpoints"));
    judge(l, dir, NOTE, t, "no checkpoints", 0);

    note_order(l, dir, t);

    unlink(path(dir, "checkpoints"));
    unlink(path(dir, "checkpoint"));
}


static void
note_flips(const log_t *l, const char *dir, const char *name,
    const char *text, size_t len, tally_t *t)
{
    char      *p;
    size_t     i;
    unsigned   mask;

    p = malloc(len);
    memcpy(p, text, len);

    for (i = 0; i < len; i++) {
        for (mask = 1; mask < 256; mask *= 2) {
            p[i] ^= (char) mask;
            spit(path(dir, name), p, len);
            p[i] ^= (char) mask;

            judge(l, dir, NOTE, t, name, i);
        }
    }

    free(p);
}


/* each with the next one; notes begin with the origin */

static void
note_order(const log_t *l, const char *dir, tally_t *t)
{
    char      *p;
    size_t     i, n, first, second, begin[8];
    unsigned   k;

    for (i = 0, n = 0; i + 7 < l->notes_len && n < 7; i++) {
        if (i == 0
            || (l->notes[i - 1] == '\n'
                && memcmp(l->notes + i, "example", 7) == 0))
        {
            begin[n++] = i;
        }
    }

    ok(n == 5, "five checkpoints");

    begin[n] = l->notes_len;
    p = malloc(l->notes_len);

    for (k = 0; k + 1 < n; k++) {
        first = begin[k + 1] - begin[k];
        second = begin[k + 2] - begin[k + 1];

        memcpy(p, l->notes, l->notes_len);
        memcpy(p + begin[k], l->notes + begin[k + 1], second);
        memcpy(p + begin[k] + second, l->notes + begin[k], first);

        spit(path(dir, "checkpoints"), p, l->notes_len);
        judge(l, dir, NOTE, t, "two checkpoints swapped", k);
    }

    free(p);
}


/*
 * One digit of one record is changed, and all hashes behind it are made to
 * fit: the log alone is as good as any, but it is not the one that was signed.
 */

static void
anew(const log_t *l, const char *dir, tally_t *t)
{
    char      *out[2];
    unsigned   k, alone, wrong;

    alone = 0;
    wrong = 0;

    out[0] = malloc(l->len[0]);
    out[1] = malloc(l->len[1]);

    for (k = 0; k < TOTAL; k++) {
        memcpy(out[0], l->text[0], l->len[0]);
        memcpy(out[1], l->text[1], l->len[1]);

        rechain(l, out, k);

        spit(seg(dir, l->first[0]), out[0], l->len[0]);
        spit(seg(dir, l->first[1]), out[1], l->len[1]);

        alone += fine(verify(dir, NULL));
        wrong += judge(l, dir, ANEW, t, "written anew from line", k)
                 != AIQ_AUDIT_INCONSISTENT;
    }

    ok(alone == TOTAL && wrong == 0,
       "written anew from each record on (%u): a log alone cannot know, and "
       "the checkpoint says INCONSISTENT", alone);

    put_back(l, dir);
    free(out[0]);
    free(out[1]);
}


static void
rechain(const log_t *l, char *out[2], unsigned changed)
{
    char        *p, *h;
    unsigned     i, k;
    aiq_str_t    s;
    aiq_hash_t   leaf;

    static char  was[TOTAL][HEX], is[TOTAL][HEX];

    for (i = 0; i < TOTAL; i++) {

        s.data = (unsigned char *) l->line[i];
        s.len = l->size[i] - 1;
        (void) aiq_merkle_leaf(crypto, s, leaf);
        aiq_audit_hex(leaf, (unsigned char *) was[i]);

        p = out[l->in[i]] + (l->line[i] - l->text[l->in[i]]);

        if (i) {
            memcpy(strstr(p, "\"prev\":\"") + 8, is[i - 1], HEX);
        }

        if (i == changed) {
            h = strstr(p, "Z\"") - 1;
            *h = (*h == '9') ? '0' : (char) (*h + 1);
        }

        h = memmem(p, s.len, "\"h\":\"", 5);

        /* tok.h comes first in an INTENT, and stays */

        if (h != NULL && memmem(p, s.len, "\"t\":\"INTENT\"", 12) == NULL) {

            for (k = 0; k < i && memcmp(was[k], h + 5, HEX) != 0; k++) {
                /* void */
            }

            memcpy(h + 5, is[k], HEX);
        }

        s.data = (unsigned char *) p;
        (void) aiq_merkle_leaf(crypto, s, leaf);
        aiq_audit_hex(leaf, (unsigned char *) is[i]);
    }
}


static void
summary(const log_t *l, const tally_t *t)
{
    char           buf[1024], *p, *last;
    size_t         i;
    unsigned long  missed;

    p = buf;
    last = buf + sizeof(buf);
    missed = 0;

    for (i = 0; i < KINDS; i++) {
        ok(t->tried[i] && t->missed[i] == 0, "%s: %lu of %lu found", kinds[i],
           t->tried[i] - t->missed[i], t->tried[i]);

        p += snprintf(p, (size_t) (last - p), ", %lu %s", t->tried[i],
                      kinds[i]);
        missed += t->missed[i];
    }

    if (missed) {
        p += snprintf(p, (size_t) (last - p), ": %lu NOT DETECTED", missed);

    } else {
        p += snprintf(p, (size_t) (last - p), ": all detected");
    }

    for (i = 0, last = ", by code {"; i < 32; i++) {
        if (t->codes[i] && !fine((int) i)) {
            p += snprintf(p, (size_t) (buf + sizeof(buf) - p), "%s%zu: %lu",
                          last, i, t->codes[i]);
            last = ", ";
        }
    }

    diag("mutation: %d records, %zu bytes%s}", TOTAL, l->len[0] + l->len[1],
         buf);
}


int
main(int argc, char **argv)
{
    int        all;
    long       n;
    char      *dir, *dirs[JOBS];
    log_t      l;
    tally_t    t;
    unsigned   i;

    setup();

    all = (argc > 1 && strcmp(argv[1], "long") == 0);
    n = sysconf(_SC_NPROCESSORS_ONLN);
    n = (n < 2) ? 2 : (n > JOBS) ? JOBS : n;

    memset(&t, 0, sizeof(t));

    dir = fresh();
    make_log(&l, dir);
    read_log(&l, dir);

    /* each without checkpoints of its own: one was kept elsewhere */

    for (i = 0; i < n; i++) {
        dirs[i] = fresh();
        put_back(&l, dirs[i]);
    }

    bulk(&l, dirs, (unsigned) n, all, &t);

    ok(t.quiet > 0 && t.quiet < 16 * l.size[TOTAL - 1] && t.same == 0,
       "%lu flips in the last record are hidden by a log alone, but each has "
       "another root", t.quiet);
    ok(t.ends == TOTAL - 1,
       "cut at the end of a line: only the checkpoint knows that there was "
       "more (%lu)", t.ends);
    ok(t.late == 0, "no other flip needs the checkpoint to be found");

    lines(&l, dirs[0], &t);
    strangers(&l, dirs[0], &t);
    segments(&l, dirs[0], &t);
    origin(&l, dirs[0], &t);
    anew(&l, dirs[0], &t);
    notes(&l, dirs[0], &t);

    summary(&l, &t);

    for (i = 0; i < n; i++) {
        free(dirs[i]);
    }

    free(dir);
    free_log(&l);

    return teardown();
}
