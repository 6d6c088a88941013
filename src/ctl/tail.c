
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl audit tail: the last records, read backwards over the segments,
 * and those that come after them.
 */


#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "audit.h"
#include "ctl.h"


#define AIQ_CTL_TAIL_LINES  10
#define AIQ_CTL_TAIL_MAX    1000000
#define AIQ_CTL_TAIL_BLOCK  65536
#define AIQ_CTL_TAIL_POLL   250        /* milliseconds */
#define AIQ_CTL_SEG_LEN     26         /* seg-0000000000000001.jsonl */


typedef struct {
    aiq_ctl_t      *ctl;
    const char     *dir;
    char          (*seg)[AIQ_CTL_SEG_LEN + 1];
    size_t          nseg;
    size_t          size;
    size_t          at;            /* the segment that is read */
    off_t           off;           /* what of it was printed */
    char            name[AIQ_CTL_SEG_LEN + 1];     /* its name */
    unsigned char  *line;
    size_t          len;
} aiq_ctl_tail_t;


static int aiq_ctl_tail_list(aiq_ctl_tail_t *tail);
static int aiq_ctl_tail_segment(const char *name);
static int aiq_ctl_tail_order(const void *a, const void *b);
static int aiq_ctl_tail_open(aiq_ctl_tail_t *tail, size_t i, int *fd,
    off_t *size);
static int aiq_ctl_tail_find(aiq_ctl_tail_t *tail, int64_t lines);
static int aiq_ctl_tail_back(aiq_ctl_tail_t *tail, int fd, off_t size,
    int64_t *lines, off_t *off);
static int aiq_ctl_tail_print(aiq_ctl_tail_t *tail);
static int aiq_ctl_tail_rest(aiq_ctl_tail_t *tail);
static int aiq_ctl_tail_follow(aiq_ctl_tail_t *tail);
static void aiq_ctl_tail_record(aiq_ctl_t *ctl, const aiq_json_t *doc);
static void aiq_ctl_tail_value(aiq_ctl_t *ctl, const aiq_json_t *doc,
    uint32_t obj, const char *key, const char *label);


int
aiq_ctl_audit_tail(aiq_ctl_t *ctl)
{
    int              code;
    int64_t          lines;
    aiq_ctl_tail_t   tail;

    memset(&tail, 0, sizeof(aiq_ctl_tail_t));

    tail.ctl = ctl;
    tail.dir = ctl->arg[0];

    code = aiq_ctl_opt_int(ctl, "lines", 0, AIQ_CTL_TAIL_MAX,
                           AIQ_CTL_TAIL_LINES, &lines);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    tail.line = malloc(AIQ_AUDIT_LINE_MAX);

    if (tail.line == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    code = aiq_ctl_tail_list(&tail);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_tail_find(&tail, lines);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_tail_rest(&tail);
    }

    if (code == AIQ_CTL_OK && aiq_ctl_opt(ctl, "follow")) {
        code = aiq_ctl_tail_follow(&tail);
    }

    free(tail.seg);
    free(tail.line);

    return code;
}


/* the segments in the order of their first record */

static int
aiq_ctl_tail_list(aiq_ctl_tail_t *tail)
{
    DIR            *dir;
    void           *p;
    size_t          size;
    struct dirent  *de;

    dir = opendir(tail->dir);

    if (dir == NULL) {
        return aiq_ctl_fault(tail->ctl, AIQ_E_AUDIT_UNAVAILABLE, "%s: %s",
                             tail->dir, strerror(errno));
    }

    tail->nseg = 0;

    while ((de = readdir(dir)) != NULL) {

        if (!aiq_ctl_tail_segment(de->d_name)) {
            continue;
        }

        if (tail->nseg == tail->size) {
            size = tail->size ? tail->size * 2 : 64;
            p = realloc(tail->seg, size * sizeof(*tail->seg));

            if (p == NULL) {
                (void) closedir(dir);
                return aiq_ctl_fault(tail->ctl, AIQ_E_NO_MEMORY,
                                     "out of memory");
            }

            tail->seg = p;
            tail->size = size;
        }

        memcpy(tail->seg[tail->nseg++], de->d_name, AIQ_CTL_SEG_LEN + 1);
    }

    (void) closedir(dir);

    if (tail->nseg) {
        qsort(tail->seg, tail->nseg, sizeof(*tail->seg), aiq_ctl_tail_order);
    }

    return AIQ_CTL_OK;
}


static int
aiq_ctl_tail_segment(const char *name)
{
    size_t  i;

    if (strlen(name) != AIQ_CTL_SEG_LEN || strncmp(name, "seg-", 4) != 0
        || strcmp(name + 20, ".jsonl") != 0)
    {
        return 0;
    }

    for (i = 4; i < 20; i++) {

        if (name[i] < '0' || name[i] > '9') {
            return 0;
        }
    }

    return 1;
}


static int
aiq_ctl_tail_order(const void *a, const void *b)
{
    return memcmp(a, b, AIQ_CTL_SEG_LEN);
}


static int
aiq_ctl_tail_open(aiq_ctl_tail_t *tail, size_t i, int *fd, off_t *size)
{
    char         *path;
    aiq_mem_t     mem;
    struct stat   st;

    mem = tail->ctl->mem;

    path = aiq_ctl_path(tail->ctl, tail->dir, tail->seg[i]);
    if (path == NULL) {
        return aiq_ctl_fault(tail->ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    *fd = open(path, O_RDONLY|O_CLOEXEC|O_NOCTTY|O_NONBLOCK|O_NOFOLLOW);

    if (*fd == -1) {
        return aiq_ctl_fault(tail->ctl, AIQ_E_AUDIT_UNAVAILABLE, "%s: %s",
                             path, strerror(errno));
    }

    if (fstat(*fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        (void) close(*fd);
        return aiq_ctl_fault(tail->ctl, AIQ_E_AUDIT_UNAVAILABLE,
                             "%s: is not a regular file", path);
    }

    /* once for every poll: what was taken goes back */

    tail->ctl->mem = mem;
    *size = st.st_size;

    return AIQ_CTL_OK;
}


/* where the last lines begin */

static int
aiq_ctl_tail_find(aiq_ctl_tail_t *tail, int64_t lines)
{
    int     fd, code;
    off_t   size;
    size_t  i;

    tail->at = 0;
    tail->off = 0;

    for (i = tail->nseg; i > 0; i--) {
        code = aiq_ctl_tail_open(tail, i - 1, &fd, &size);

        if (code != AIQ_CTL_OK) {
            return code;
        }

        tail->at = i - 1;
        tail->off = 0;

        code = aiq_ctl_tail_back(tail, fd, size, &lines, &tail->off);

        (void) close(fd);

        if (code != AIQ_CTL_OK || lines < 0) {
            return code;
        }
    }

    return AIQ_CTL_OK;
}


/*
 * Counts line ends from the end of the file.  The one before the first line
 * wanted makes lines negative, and off is behind it.
 */

static int
aiq_ctl_tail_back(aiq_ctl_tail_t *tail, int fd, off_t size, int64_t *lines,
    off_t *off)
{
    off_t           pos;
    size_t          n, i;
    ssize_t         got;
    unsigned char   buf[AIQ_CTL_TAIL_BLOCK];

    pos = size;

    while (pos > 0) {
        n = (pos > (off_t) sizeof(buf)) ? sizeof(buf) : (size_t) pos;

        got = pread(fd, buf, n, pos - (off_t) n);

        if (got != (ssize_t) n) {
            return aiq_ctl_fault(tail->ctl, AIQ_E_AUDIT_UNAVAILABLE,
                                 "%s: %s", tail->seg[tail->at],
                                 got == -1 ? strerror(errno) : "it shrank");
        }

        for (i = n; i > 0; i--) {

            if (buf[i - 1] == '\n' && (*lines)-- == 0) {
                *off = pos - (off_t) n + (off_t) i;
                return AIQ_CTL_OK;
            }
        }

        pos -= (off_t) n;
    }

    return AIQ_CTL_OK;
}


/* whole lines of this segment from where we are */

static int
aiq_ctl_tail_print(aiq_ctl_tail_t *tail)
{
    int                   fd, code;
    off_t                 size;
    ssize_t               n;
    aiq_str_t             line;
    const unsigned char  *p, *last, *lf;

    code = aiq_ctl_tail_open(tail, tail->at, &fd, &size);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    for ( ;; ) {
        n = pread(fd, tail->line, AIQ_AUDIT_LINE_MAX, tail->off);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n <= 0) {
            break;
        }

        p = tail->line;
        last = p + n;

        while ((lf = memchr(p, '\n', (size_t) (last - p))) != NULL) {
            line.data = p;
            line.len = (size_t) (lf - p);

            aiq_ctl_tail_line(tail->ctl, line);

            p = lf + 1;
        }

        if (p == tail->line) {

            /* a torn line, or one that is being written */

            if (n == AIQ_AUDIT_LINE_MAX) {
                code = aiq_ctl_fault(tail->ctl, AIQ_E_AUDIT_UNAVAILABLE,
                                     "%s: a line is too long",
                                     tail->seg[tail->at]);
            }

            break;
        }

        tail->off += p - tail->line;
    }

    if (n == -1) {
        code = aiq_ctl_fault(tail->ctl, AIQ_E_AUDIT_UNAVAILABLE, "%s: %s",
                             tail->seg[tail->at], strerror(errno));
    }

    (void) close(fd);

    return code;
}


static int
aiq_ctl_tail_rest(aiq_ctl_tail_t *tail)
{
    int  code;

    while (tail->at < tail->nseg) {
        code = aiq_ctl_tail_print(tail);

        if (code != AIQ_CTL_OK) {
            return code;
        }

        memcpy(tail->name, tail->seg[tail->at], sizeof(tail->name));

        if (tail->at + 1 == tail->nseg) {
            break;
        }

        tail->at++;
        tail->off = 0;
    }

    return AIQ_CTL_OK;
}


static int
aiq_ctl_tail_follow(aiq_ctl_tail_t *tail)
{
    int              code;
    size_t           i;
    struct timespec  ts;

    for ( ;; ) {

        if (fflush(stdout) != 0) {
            return AIQ_CTL_FAULT;
        }

        ts.tv_sec = 0;
        ts.tv_nsec = AIQ_CTL_TAIL_POLL * 1000000L;

        (void) nanosleep(&ts, NULL);

        code = aiq_ctl_tail_list(tail);

        if (code != AIQ_CTL_OK) {
            return code;
        }

        /* old segments may be moved away meanwhile, new ones come */

        for (i = 0; i < tail->nseg; i++) {

            if (strcmp(tail->seg[i], tail->name) >= 0) {
                break;
            }
        }

        if (i < tail->nseg && strcmp(tail->seg[i], tail->name) != 0) {
            tail->off = 0;
        }

        tail->at = i;

        code = aiq_ctl_tail_rest(tail);

        if (code != AIQ_CTL_OK) {
            return code;
        }
    }
}


void
aiq_ctl_tail_line(aiq_ctl_t *ctl, aiq_str_t line)
{
    aiq_rc_t    rc;
    aiq_mem_t   mem;
    aiq_json_t  doc;

    mem = ctl->mem;

    if (ctl->json) {

        /* a log that somebody else wrote may hold anything */

        printf("%s\n", aiq_ctl_esc(ctl, line));
        ctl->mem = mem;

        return;
    }

    rc = aiq_json_parse(&doc, line, AIQ_JSON_DEPTH, &ctl->mem, NULL);

    if (rc == AIQ_OK && aiq_json_type(&doc, 0) == AIQ_JSON_OBJECT) {
        aiq_ctl_tail_record(ctl, &doc);

    } else {
        printf("(not a record) %s\n", aiq_ctl_esc(ctl, line));
    }

    ctl->mem = mem;
}


static void
aiq_ctl_tail_record(aiq_ctl_t *ctl, const aiq_json_t *doc)
{
    size_t    i;
    uint32_t  tok;

    static const struct {
        const char  *key;
        const char  *label;
    } fields[] = {
        { "seq", NULL }, { "ts", NULL }, { "t", NULL }, { "verdict", NULL },
        { "reason", NULL }, { "status", NULL }, { "method", NULL },
        { "tool", "tool" }, { "mcp", "mcp" }, { "step", "step" },
        { "org", "org" }, { "user", "user" }, { "agent", "agent" },
        { "state", NULL }, { "why", NULL }, { "refused", "refused" },
        { "seg", NULL }, { "records", "records" }, { "how", NULL },
        { "idle", "idle" }, { "config", "config" }, { "store", "store" },
        { "policy", "policy" }, { "src", "from" }, { "attempts", "attempts" },
        { "rpc_err", "error" }, { "is_error", "failed" },
        { "dur_us", "us" }, { "detail", "detail" }, { "by", "by" },
        { "note", "note" }, { "rid", "rid" }
    };

    for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        aiq_ctl_tail_value(ctl, doc, 0, fields[i].key, fields[i].label);
    }

    tok = aiq_json_get(doc, 0, "tok");

    if (tok != AIQ_JSON_NONE) {
        aiq_ctl_tail_value(ctl, doc, tok, "jti", "jti");
    }

    if (aiq_json_type(doc, aiq_json_get(doc, 0, "dry_run"))
        == AIQ_JSON_TRUE)
    {
        printf("  dry run");
    }

    (void) putchar('\n');
}


static void
aiq_ctl_tail_value(aiq_ctl_t *ctl, const aiq_json_t *doc, uint32_t obj,
    const char *key, const char *label)
{
    uint32_t   i;
    aiq_str_t  s;

    i = aiq_json_get(doc, obj, key);

    if (i == AIQ_JSON_NONE) {
        return;
    }

    if (aiq_json_type(doc, i) != AIQ_JSON_STRING
        || aiq_json_string(doc, i, &ctl->mem, &s) != AIQ_OK)
    {
        s = aiq_json_raw(doc, i);
    }

    if (label) {
        printf("  %s=%s", label, aiq_ctl_esc(ctl, s));
        return;
    }

    printf("%s%s", strcmp(key, "seq") == 0 ? "" : "  ", aiq_ctl_esc(ctl, s));
}
