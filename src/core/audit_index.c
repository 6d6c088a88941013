
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The index of an audit log: for every segment that is full, the times in it,
 * the calls its outcomes are of, and a Bloom filter over the members that can
 * be asked for.  A cache: one that does not fit its segment is not used, and
 * a Bloom filter errs only towards reading.
 *
 *     magic | ten numbers | SHA-256 of the end of the segment | filter
 *         | SHA-256 of all that
 *
 * Numbers have 8 bytes, little-endian.
 */


#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit_query.h"


#define AIQ_AUDIT_INDEX        "index"
#define AIQ_AUDIT_INDEX_MAGIC  "AIQIDX/1"
#define AIQ_AUDIT_INDEX_LEN    8         /* of the magic */
#define AIQ_AUDIT_INDEX_NUMS   10
#define AIQ_AUDIT_INDEX_FRONT                                                 \
    (AIQ_AUDIT_INDEX_LEN + AIQ_AUDIT_INDEX_NUMS * 8 + AIQ_HASH_LEN)

#define AIQ_AUDIT_INDEX_NAME   64
#define AIQ_AUDIT_TAIL         4096      /* bytes that are compared */

#define AIQ_AUDIT_BLOOM_MIN    64        /* bytes */
#define AIQ_AUDIT_BLOOM_MAX    ((size_t) 64 << 20)
#define AIQ_AUDIT_BLOOM_BITS   12        /* at least, for one value */
#define AIQ_AUDIT_BLOOM_K      6


static int aiq_audit_index_stat(aiq_audit_index_t *x, int fd);
static aiq_rc_t aiq_audit_index_tail(const aiq_audit_reader_t *r,
    aiq_crypto_t *c, aiq_hash_t hash);
static void aiq_audit_index_name(uint64_t first,
    char name[AIQ_AUDIT_INDEX_NAME]);
static aiq_rc_t aiq_audit_index_read(aiq_audit_index_t *x,
    const unsigned char *p, size_t len, aiq_crypto_t *c);
static aiq_rc_t aiq_audit_index_write(const aiq_audit_index_t *x, int index,
    aiq_crypto_t *c, aiq_err_t *err);
static aiq_rc_t aiq_audit_index_file(int index, const char *name,
    aiq_str_t text, aiq_err_t *err);
static uint64_t aiq_audit_index_hash(unsigned by, aiq_str_t s);
static void aiq_audit_index_bit(aiq_audit_index_t *x, uint64_t value);
static int aiq_audit_index_has(const aiq_audit_index_t *x, uint64_t value);
static void aiq_audit_index_value(aiq_audit_indexer_t *b, uint64_t value);
static int aiq_audit_index_order(const void *a, const void *b);
static aiq_rc_t aiq_audit_index_bloom(aiq_audit_indexer_t *b);
static void aiq_audit_index_clean(int index, const aiq_audit_reader_t *r,
    unsigned all);
static aiq_rc_t aiq_audit_index_segment(aiq_audit_indexer_t *b,
    aiq_audit_reader_t *r, int index, unsigned char *mem, aiq_crypto_t *c,
    aiq_err_t *err);


int
aiq_audit_index_dir(int dir, int create)
{
    int          fd, made;
    struct stat  st;

    made = (create && mkdirat(dir, AIQ_AUDIT_INDEX, 0700) == 0);

    fd = openat(dir, AIQ_AUDIT_INDEX,
                O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);

    if (fd == -1) {
        return -1;
    }

    if (fstat(fd, &st) != 0 || (st.st_mode & S_IWOTH)
        || (made && aiq_audit_own(dir, fd) != 0))
    {
        (void) close(fd);
        return -1;
    }

    return fd;
}


static int
aiq_audit_index_stat(aiq_audit_index_t *x, int fd)
{
    struct stat  st;

    if (fstat(fd, &st) != 0) {
        return -1;
    }

    x->size = (uint64_t) st.st_size;
    x->ino = (uint64_t) st.st_ino;
    x->mtime = (int64_t) st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    x->ctime = (int64_t) st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec;

    return 0;
}


static aiq_rc_t
aiq_audit_index_tail(const aiq_audit_reader_t *r, aiq_crypto_t *c,
    aiq_hash_t hash)
{
    uint64_t  len;

    len = (r->size < AIQ_AUDIT_TAIL) ? r->size : AIQ_AUDIT_TAIL;

    return aiq_audit_hash_at(r->fd, r->size - len, len, r->name, c, hash,
                             NULL);
}


static void
aiq_audit_index_name(uint64_t first, char name[AIQ_AUDIT_INDEX_NAME])
{
    (void) snprintf(name, AIQ_AUDIT_INDEX_NAME, "seg-%016llu.idx",
                    (unsigned long long) first);
}


aiq_rc_t
aiq_audit_index_load(aiq_audit_index_t *x, int index,
    const aiq_audit_reader_t *r, aiq_crypto_t *c)
{
    int                 fd;
    char                name[AIQ_AUDIT_INDEX_NAME];
    size_t              len;
    aiq_rc_t            rc;
    aiq_hash_t          tail;
    struct stat         st;
    unsigned char      *buf;
    aiq_audit_index_t   now;

    memset(x, 0, sizeof(aiq_audit_index_t));

    aiq_audit_index_name(r->first, name);

    if (aiq_audit_open_at(index, name, O_RDONLY, &fd, &st, NULL) != AIQ_OK) {
        return AIQ_DECLINED;
    }

    buf = NULL;
    rc = AIQ_DECLINED;

    if (st.st_size > (off_t) (AIQ_AUDIT_INDEX_FRONT + AIQ_HASH_LEN)
        && st.st_size <= (off_t) (AIQ_AUDIT_INDEX_FRONT + AIQ_AUDIT_BLOOM_MAX
                                  + AIQ_HASH_LEN))
    {
        len = (size_t) st.st_size;
        buf = malloc(len);

        if (buf != NULL
            && aiq_audit_read_at(fd, buf, len, 0, name, NULL) == AIQ_OK)
        {
            rc = aiq_audit_index_read(x, buf, len, c);
        }
    }

    (void) close(fd);
    free(buf);

    /* is it about this segment, as it is now? */

    if (rc == AIQ_OK
        && (aiq_audit_index_stat(&now, r->fd) != 0
            || x->size != now.size || x->ino != now.ino
            || x->mtime != now.mtime || x->ctime != now.ctime
            || x->size != r->size || x->first != r->first
            || (r->next < r->n && x->last >= r->list[r->next])
            || aiq_audit_index_tail(r, c, tail) != AIQ_OK
            || memcmp(tail, x->tail, AIQ_HASH_LEN) != 0))
    {
        rc = AIQ_DECLINED;
    }

    if (rc != AIQ_OK) {
        aiq_audit_index_free(x);
    }

    return rc;
}


static aiq_rc_t
aiq_audit_index_read(aiq_audit_index_t *x, const unsigned char *p,
    size_t len, aiq_crypto_t *c)
{
    unsigned    i, j;
    uint64_t    n[AIQ_AUDIT_INDEX_NUMS];
    aiq_str_t   text;
    aiq_hash_t  hash;

    text.data = p;
    text.len = len - AIQ_HASH_LEN;

    if (memcmp(p, AIQ_AUDIT_INDEX_MAGIC, AIQ_AUDIT_INDEX_LEN) != 0
        || aiq_sha256(c, text, hash) != AIQ_OK
        || memcmp(hash, p + text.len, AIQ_HASH_LEN) != 0)
    {
        return AIQ_DECLINED;
    }

    x->bloom_len = text.len - AIQ_AUDIT_INDEX_FRONT;

    if (x->bloom_len < AIQ_AUDIT_BLOOM_MIN
        || (x->bloom_len & (x->bloom_len - 1)) != 0)
    {
        return AIQ_DECLINED;
    }

    p += AIQ_AUDIT_INDEX_LEN;

    for (i = 0; i < AIQ_AUDIT_INDEX_NUMS; i++) {
        n[i] = 0;

        for (j = 8; j > 0; j--) {
            n[i] = n[i] << 8 | p[j - 1];
        }

        p += 8;
    }

    x->size = n[0];
    x->ino = n[1];
    x->mtime = (int64_t) n[2];
    x->ctime = (int64_t) n[3];
    x->first = n[4];
    x->last = n[5];
    x->min_us = (int64_t) n[6];
    x->max_us = (int64_t) n[7];
    x->lo = n[8];
    x->hi = n[9];

    memcpy(x->tail, p, AIQ_HASH_LEN);

    x->bloom = malloc(x->bloom_len);

    if (x->bloom == NULL) {
        return AIQ_DECLINED;
    }

    memcpy(x->bloom, p + AIQ_HASH_LEN, x->bloom_len);

    return AIQ_OK;
}


void
aiq_audit_index_free(aiq_audit_index_t *x)
{
    free(x->bloom);
    x->bloom = NULL;
}


int
aiq_audit_index_may(const aiq_audit_index_t *x, const aiq_audit_filter_t *f)
{
    unsigned  by;

    if (x->min_us > x->max_us || x->max_us < f->since_us
        || x->min_us >= f->until_us)
    {
        return 0;
    }

    for (by = 0; by < AIQ_AUDIT_BY_N; by++) {

        if (f->by[by].data == NULL
            || (by == AIQ_AUDIT_BY_TOOL && f->by[by].len
                && memchr(f->by[by].data, '*', f->by[by].len) != NULL))
        {
            continue;
        }

        if (!aiq_audit_index_has(x, aiq_audit_index_hash(by, f->by[by]))) {
            return 0;
        }
    }

    return 1;
}


/* FNV-1a, and what makes all bits depend on all: nothing secret here */

static uint64_t
aiq_audit_index_hash(unsigned by, aiq_str_t s)
{
    size_t    i;
    uint64_t  h;

    h = (0xcbf29ce484222325ULL ^ by) * 0x100000001b3ULL;

    for (i = 0; i < s.len; i++) {
        h = (h ^ s.data[i]) * 0x100000001b3ULL;
    }

    h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9ULL;
    h = (h ^ h >> 27) * 0x94d049bb133111ebULL;
    h ^= h >> 31;

    return h ? h : 1;
}


static void
aiq_audit_index_bit(aiq_audit_index_t *x, uint64_t value)
{
    unsigned  k;
    uint64_t  bit, step;

    step = (value >> 32) | 1;

    for (k = 0; k < AIQ_AUDIT_BLOOM_K; k++) {
        bit = (value + k * step) & (x->bloom_len * 8 - 1);
        x->bloom[bit / 8] |= (unsigned char) (1 << bit % 8);
    }
}


static int
aiq_audit_index_has(const aiq_audit_index_t *x, uint64_t value)
{
    unsigned  k;
    uint64_t  bit, step;

    step = (value >> 32) | 1;

    for (k = 0; k < AIQ_AUDIT_BLOOM_K; k++) {
        bit = (value + k * step) & (x->bloom_len * 8 - 1);

        if (!(x->bloom[bit / 8] & 1 << bit % 8)) {
            return 0;
        }
    }

    return 1;
}


aiq_rc_t
aiq_audit_indexer_begin(aiq_audit_indexer_t *b, const aiq_audit_reader_t *r,
    aiq_crypto_t *c)
{
    memset(b, 0, sizeof(aiq_audit_indexer_t));

    b->index.first = r->first;
    b->index.min_us = INT64_MAX;
    b->index.max_us = INT64_MIN;
    b->index.lo = UINT64_MAX;

    if (aiq_audit_index_stat(&b->index, r->fd) != 0
        || b->index.size != r->size
        || aiq_audit_index_tail(r, c, b->index.tail) != AIQ_OK)
    {
        b->spoiled = 1;
        return AIQ_DECLINED;
    }

    return AIQ_OK;
}


void
aiq_audit_indexer_add(aiq_audit_indexer_t *b, const aiq_audit_front_t *f,
    const aiq_json_t *doc, aiq_mem_t *mem)
{
    int64_t     seq;
    unsigned    by;
    uint32_t    i;
    aiq_mem_t   m;
    aiq_str_t   s;

    b->index.last = f->seq;

    if (doc == NULL) {
        return;
    }

    if (!aiq_str_is(f->type, "INTENT")) {
        i = aiq_json_get(doc, aiq_json_get(doc, 0, "intent"), "seq");

        if (aiq_json_int(doc, i, &seq) == AIQ_OK && seq > 0) {

            if ((uint64_t) seq < b->index.lo) {
                b->index.lo = (uint64_t) seq;
            }

            if ((uint64_t) seq > b->index.hi) {
                b->index.hi = (uint64_t) seq;
            }
        }

        return;
    }

    if (f->ts_us < b->index.min_us) {
        b->index.min_us = f->ts_us;
    }

    if (f->ts_us > b->index.max_us) {
        b->index.max_us = f->ts_us;
    }

    for (by = 0; by < AIQ_AUDIT_BY_N; by++) {
        i = aiq_audit_member(doc, (aiq_audit_by_e) by);

        if (aiq_json_type(doc, i) != AIQ_JSON_STRING) {
            continue;
        }

        m = *mem;

        if (aiq_json_string(doc, i, &m, &s) != AIQ_OK) {
            b->spoiled = 1;
            return;
        }

        aiq_audit_index_value(b, aiq_audit_index_hash(by, s));
    }
}


static void
aiq_audit_index_value(aiq_audit_indexer_t *b, uint64_t value)
{
    size_t     i, room;
    uint64_t  *p;

    i = value % (sizeof(b->seen) / sizeof(b->seen[0]));

    if (b->seen[i] == value) {
        return;
    }

    if (b->n == b->room) {
        room = b->room ? b->room * 2 : 1024;
        p = realloc(b->value, room * sizeof(uint64_t));

        if (p == NULL) {
            b->spoiled = 1;
            return;
        }

        b->value = p;
        b->room = room;
    }

    b->seen[i] = value;
    b->value[b->n++] = value;
}


static int
aiq_audit_index_order(const void *a, const void *b)
{
    uint64_t  x, y;

    memcpy(&x, a, sizeof(uint64_t));
    memcpy(&y, b, sizeof(uint64_t));

    return (x > y) - (x < y);
}


/* as large as the number of different values wants it */

static aiq_rc_t
aiq_audit_index_bloom(aiq_audit_indexer_t *b)
{
    size_t              i, n;
    aiq_audit_index_t  *x;

    if (b->n) {
        qsort(b->value, b->n, sizeof(uint64_t), aiq_audit_index_order);
    }

    n = 0;

    for (i = 0; i < b->n; i++) {
        n += (i == 0 || b->value[i] != b->value[i - 1]);
    }

    x = &b->index;
    x->bloom_len = AIQ_AUDIT_BLOOM_MIN;

    while (x->bloom_len * 8 / AIQ_AUDIT_BLOOM_BITS < n
           && x->bloom_len < AIQ_AUDIT_BLOOM_MAX)
    {
        x->bloom_len *= 2;
    }

    x->bloom = calloc(x->bloom_len, 1);

    if (x->bloom == NULL) {
        return AIQ_E_NO_MEMORY;
    }

    for (i = 0; i < b->n; i++) {
        aiq_audit_index_bit(x, b->value[i]);
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_audit_indexer_store(aiq_audit_indexer_t *b, int index,
    const aiq_audit_reader_t *r, aiq_crypto_t *c, aiq_err_t *err)
{
    aiq_audit_index_t  now;

    /* nobody may have changed it while it was read */

    if (b->spoiled || aiq_audit_index_stat(&now, r->fd) != 0
        || now.size != b->index.size || now.mtime != b->index.mtime
        || now.ctime != b->index.ctime)
    {
        return AIQ_DECLINED;
    }

    if (aiq_audit_index_bloom(b) != AIQ_OK) {
        return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory");
    }

    return aiq_audit_index_write(&b->index, index, c, err);
}


void
aiq_audit_indexer_free(aiq_audit_indexer_t *b)
{
    free(b->value);
    b->value = NULL;

    aiq_audit_index_free(&b->index);
}


static aiq_rc_t
aiq_audit_index_write(const aiq_audit_index_t *x, int index,
    aiq_crypto_t *c, aiq_err_t *err)
{
    char            name[AIQ_AUDIT_INDEX_NAME];
    size_t          len;
    unsigned        i, j;
    uint64_t        n[AIQ_AUDIT_INDEX_NUMS];
    aiq_rc_t        rc;
    aiq_out_t       out;
    aiq_str_t       text;
    aiq_hash_t      hash;
    unsigned char  *buf;

    n[0] = x->size;
    n[1] = x->ino;
    n[2] = (uint64_t) x->mtime;
    n[3] = (uint64_t) x->ctime;
    n[4] = x->first;
    n[5] = x->last;
    n[6] = (uint64_t) x->min_us;
    n[7] = (uint64_t) x->max_us;
    n[8] = x->lo;
    n[9] = x->hi;

    len = AIQ_AUDIT_INDEX_FRONT + x->bloom_len + AIQ_HASH_LEN;
    buf = malloc(len);

    if (buf == NULL) {
        return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory");
    }

    aiq_out_init(&out, buf, len);
    aiq_out_str(&out, AIQ_AUDIT_INDEX_MAGIC);

    for (i = 0; i < AIQ_AUDIT_INDEX_NUMS; i++) {

        for (j = 0; j < 8; j++) {
            aiq_out_char(&out, n[i] >> 8 * j & 0xff);
        }
    }

    aiq_out_mem(&out, x->tail, AIQ_HASH_LEN);
    aiq_out_mem(&out, x->bloom, x->bloom_len);

    rc = aiq_sha256(c, aiq_out_done(&out), hash);

    if (rc == AIQ_OK) {
        aiq_out_mem(&out, hash, AIQ_HASH_LEN);

        text = aiq_out_done(&out);
        aiq_audit_index_name(x->first, name);

        rc = aiq_audit_index_file(index, name, text, err);
    }

    free(buf);

    return rc;
}


/* not synced: what a crash makes of it is seen when it is read */

static aiq_rc_t
aiq_audit_index_file(int index, const char *name, aiq_str_t text,
    aiq_err_t *err)
{
    int      fd, rc;
    char     tmp[AIQ_AUDIT_INDEX_NAME + 16];
    ssize_t  n;

    (void) snprintf(tmp, sizeof(tmp), "%s.%ld", name, (long) getpid());
    (void) unlinkat(index, tmp, 0);

    fd = openat(index, tmp,
                O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC|O_NOCTTY, 0600);

    rc = (fd == -1 || aiq_audit_own(index, fd) != 0) ? -1 : 0;

    while (rc == 0 && text.len) {
        n = write(fd, text.data, text.len);

        if (n > 0) {
            text.data += n;
            text.len -= (size_t) n;

        } else if (n == 0 || errno != EINTR) {
            rc = -1;
        }
    }

    if (fd != -1 && close(fd) != 0) {
        rc = -1;
    }

    if (rc != 0 || renameat(index, tmp, index, name) != 0) {
        (void) aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "audit index %s cannot be written: %m", name);

        if (fd != -1) {
            (void) unlinkat(index, tmp, 0);
        }

        return AIQ_E_AUDIT_UNAVAILABLE;
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_audit_index(const char *dir, unsigned flags, aiq_crypto_t *c,
    aiq_audit_indexed_t *report, aiq_err_t *err)
{
    int                  index;
    size_t               i;
    aiq_rc_t             rc;
    unsigned char       *mem;
    aiq_audit_index_t    x;
    aiq_audit_reader_t   r;
    aiq_audit_indexer_t *b;

    memset(report, 0, sizeof(aiq_audit_indexed_t));

    b = malloc(sizeof(aiq_audit_indexer_t));
    mem = malloc(AIQ_AUDIT_LINE_MAX * (sizeof(aiq_json_tok_t) + 2));
    index = -1;

    rc = aiq_audit_reader_open(&r, dir, err);

    if (rc == AIQ_OK && (b == NULL || mem == NULL)) {
        rc = aiq_fail(err, AIQ_E_NO_MEMORY, "no memory");
    }

    if (rc == AIQ_OK) {
        index = aiq_audit_index_dir(r.dir, 1);

        if (index == -1) {
            rc = aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                          "the directory " AIQ_AUDIT_INDEX " of the log "
                          "cannot be used, or everybody may write to it");
        }
    }

    if (rc == AIQ_OK) {
        aiq_audit_index_clean(index, &r, flags & AIQ_AUDIT_REINDEX);
    }

    for (i = 0; rc == AIQ_OK && i + 1 < r.n; i++) {

        rc = aiq_audit_reader_segment(&r, i, 0, err);

        if (rc != AIQ_OK) {
            break;
        }

        report->segments++;

        if (aiq_audit_index_load(&x, index, &r, c) == AIQ_OK) {
            aiq_audit_index_free(&x);
            continue;
        }

        rc = aiq_audit_index_segment(b, &r, index, mem, c, err);

        if (rc == AIQ_DECLINED) {
            report->bad++;
            rc = AIQ_OK;

        } else if (rc == AIQ_OK) {
            report->built++;
        }
    }

    if (index != -1) {
        (void) close(index);
    }

    aiq_audit_reader_close(&r);
    free(mem);
    free(b);

    return rc;
}


static aiq_rc_t
aiq_audit_index_segment(aiq_audit_indexer_t *b, aiq_audit_reader_t *r,
    int index, unsigned char *mem, aiq_crypto_t *c, aiq_err_t *err)
{
    int                 call;
    aiq_rc_t            rc;
    aiq_mem_t           m;
    aiq_str_t           line;
    aiq_json_t          doc;
    aiq_audit_front_t   f;

    rc = aiq_audit_indexer_begin(b, r, c);

    while (rc == AIQ_OK) {
        rc = aiq_audit_reader_line(r, &line, err);

        if (rc == AIQ_D_JSON_TOO_LARGE) {
            b->spoiled = 1;
            rc = AIQ_DECLINED;
        }

        if (rc != AIQ_OK) {
            break;
        }

        if (aiq_audit_front(&f, line) != AIQ_OK || f.seq == 0) {
            b->spoiled = 1;
            break;
        }

        call = aiq_str_is(f.type, "INTENT") || aiq_str_is(f.type, "OUTCOME")
               || aiq_str_is(f.type, "RESOLVE");

        m.pos = mem;
        m.end = mem + AIQ_AUDIT_LINE_MAX * (sizeof(aiq_json_tok_t) + 2);

        if (call
            && aiq_json_parse(&doc, line, AIQ_AUDIT_DEPTH, &m, NULL)
               != AIQ_OK)
        {
            b->spoiled = 1;
            break;
        }

        aiq_audit_indexer_add(b, &f, call ? &doc : NULL, &m);
    }

    if (rc == AIQ_OK || rc == AIQ_DECLINED) {
        rc = aiq_audit_indexer_store(b, index, r, c, err);
    }

    aiq_audit_indexer_free(b);

    return rc;
}


/* what is left behind, or of segments that are gone; errors do no harm */

static void
aiq_audit_index_clean(int index, const aiq_audit_reader_t *r, unsigned all)
{
    int             fd;
    DIR            *d;
    char            name[AIQ_AUDIT_INDEX_NAME];
    size_t          i;
    struct dirent  *de;

    fd = openat(index, ".", O_RDONLY|O_DIRECTORY|O_CLOEXEC);
    d = (fd == -1) ? NULL : fdopendir(fd);

    if (d == NULL) {

        if (fd != -1) {
            (void) close(fd);
        }

        return;
    }

    while ((de = readdir(d)) != NULL) {

        if (strncmp(de->d_name, "seg-", 4) != 0) {
            continue;
        }

        for (i = 0; !all && i + 1 < r->n; i++) {
            aiq_audit_index_name(r->list[i], name);

            if (strcmp(de->d_name, name) == 0) {
                break;
            }
        }

        if (all || i + 1 >= r->n) {
            (void) unlinkat(index, de->d_name, 0);
        }
    }

    (void) closedir(d);
}
