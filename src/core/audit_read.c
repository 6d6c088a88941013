
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Reading the audit log: lines from the front, and a table of numbers for
 * those who put INTENT and OUTCOME together.
 */


#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/file.h>

#include "audit_file.h"


#define AIQ_AUDIT_READ  (256 * 1024)
#define AIQ_AUDIT_SEEK  (2 * AIQ_AUDIT_LINE_MAX)
#define AIQ_AUDIT_MIN   1024          /* slots of a map */


static aiq_rc_t aiq_audit_read_freeze(aiq_audit_reader_t *r, aiq_err_t *err);
static aiq_rc_t aiq_audit_read_more(aiq_audit_reader_t *r, aiq_err_t *err);
static size_t aiq_audit_read_home(const aiq_audit_map_t *map, uint64_t key);
static int aiq_audit_read_grow(aiq_audit_map_t *map);


aiq_rc_t
aiq_audit_reader_open(aiq_audit_reader_t *r, const char *dir, aiq_err_t *err)
{
    int       lock;
    aiq_rc_t  rc;

    memset(r, 0, sizeof(aiq_audit_reader_t));

    r->fd = -1;
    r->dir = -1;

    rc = aiq_audit_dir(dir, &r->dir, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    r->buf = malloc(AIQ_AUDIT_READ);
    if (r->buf == NULL) {
        return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory");
    }

    /*
     * Under the lock a line without an end is torn, not being written.  Who
     * reads a copy, or may not open the lock, does without.
     */

    lock = openat(r->dir, AIQ_AUDIT_LOCK,
                  O_RDONLY|O_NOFOLLOW|O_CLOEXEC|O_NONBLOCK);

    if (lock != -1) {

        while (flock(lock, LOCK_SH) != 0 && errno == EINTR) {
            /* void */
        }
    }

    rc = aiq_audit_read_freeze(r, err);

    if (lock != -1) {
        (void) close(lock);
    }

    return rc;
}


static aiq_rc_t
aiq_audit_read_freeze(aiq_audit_reader_t *r, aiq_err_t *err)
{
    int          fd;
    char         name[AIQ_AUDIT_NAME_LEN + 1];
    aiq_rc_t     rc;
    struct stat  st;

    rc = aiq_audit_list(r->dir, &r->list, &r->n, err);

    if (rc != AIQ_OK || r->n == 0) {
        return rc;
    }

    aiq_audit_name(r->list[r->n - 1], name);

    rc = aiq_audit_open_at(r->dir, name, O_RDONLY, &fd, &st, err);

    if (rc == AIQ_OK) {
        r->newest = (uint64_t) st.st_size;
        (void) close(fd);
    }

    return rc;
}


void
aiq_audit_reader_close(aiq_audit_reader_t *r)
{
    if (r->fd != -1) {
        (void) close(r->fd);
    }

    if (r->dir != -1) {
        (void) close(r->dir);
    }

    free(r->list);
    free(r->buf);
}


aiq_rc_t
aiq_audit_reader_segment(aiq_audit_reader_t *r, size_t i, uint64_t off,
    aiq_err_t *err)
{
    aiq_rc_t     rc;
    struct stat  st;

    if (r->fd != -1) {
        (void) close(r->fd);
        r->fd = -1;
    }

    r->first = r->list[i];
    r->next = i + 1;

    aiq_audit_name(r->first, r->name);

    rc = aiq_audit_open_at(r->dir, r->name, O_RDONLY, &r->fd, &st, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    r->size = (uint64_t) st.st_size;

    if (r->next == r->n) {

        if (r->size < r->newest) {
            return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                            "audit segment %s became shorter while it was "
                            "read", r->name);
        }

        r->size = r->newest;
    }

    r->off = off;
    r->pos = r->buf;
    r->end = r->buf;

    return AIQ_OK;
}


aiq_rc_t
aiq_audit_reader_seek(aiq_audit_reader_t *r, uint64_t seq, uint64_t *off,
    aiq_err_t *err)
{
    size_t               n;
    uint64_t             lo, hi, mid;
    aiq_rc_t             rc;
    aiq_str_t            line;
    unsigned char       *buf, *lf;
    aiq_audit_front_t    f;

    buf = malloc(AIQ_AUDIT_SEEK);
    if (buf == NULL) {
        return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory");
    }

    lo = 0;
    hi = r->size;
    rc = AIQ_OK;

    while (hi - lo > 2 * AIQ_AUDIT_SEEK) {

        mid = lo + (hi - lo) / 2;
        n = (r->size - mid < AIQ_AUDIT_SEEK)
            ? (size_t) (r->size - mid) : AIQ_AUDIT_SEEK;

        rc = aiq_audit_read_at(r->fd, buf, n, mid, r->name, err);
        if (rc != AIQ_OK) {
            break;
        }

        lf = memchr(buf, '\n', n);

        if (lf != NULL) {
            line.data = lf + 1;
            line.len = n - (size_t) (lf + 1 - buf);
        }

        /* what is torn, or is no record, is behind what we look for */

        if (lf == NULL || aiq_audit_front(&f, line) != AIQ_OK
            || f.seq > seq)
        {
            hi = mid;

        } else {
            lo = mid + (uint64_t) (lf + 1 - buf);
        }
    }

    free(buf);

    *off = lo;

    return rc;
}


aiq_rc_t
aiq_audit_reader_line(aiq_audit_reader_t *r, aiq_str_t *line, aiq_err_t *err)
{
    uint64_t        end;
    aiq_rc_t        rc;
    unsigned char  *lf;

    lf = memchr(r->pos, '\n', (size_t) (r->end - r->pos));

    if (lf == NULL && r->off + (uint64_t) (r->end - r->pos) < r->size) {

        rc = aiq_audit_read_more(r, err);
        if (rc != AIQ_OK) {
            return rc;
        }

        lf = memchr(r->pos, '\n', (size_t) (r->end - r->pos));
    }

    if (lf == NULL) {

        /* torn, however long it is; unless a line ends behind all that */

        rc = aiq_audit_last_lf(r->fd, r->size, &end, r->name, err);
        if (rc != AIQ_OK) {
            return rc;
        }

        return (end > r->off) ? AIQ_D_JSON_TOO_LARGE : AIQ_DECLINED;
    }

    line->data = r->pos;
    line->len = (size_t) (lf - r->pos);

    if (line->len + 1 > AIQ_AUDIT_LINE_MAX) {
        return AIQ_D_JSON_TOO_LARGE;
    }

    r->pos = lf + 1;
    r->off += line->len + 1;

    return AIQ_OK;
}


/* the buffer holds several lines, so one more reading shows any line */

static aiq_rc_t
aiq_audit_read_more(aiq_audit_reader_t *r, aiq_err_t *err)
{
    size_t    n, have;
    uint64_t  at;
    aiq_rc_t  rc;

    have = (size_t) (r->end - r->pos);

    memmove(r->buf, r->pos, have);

    r->pos = r->buf;
    r->end = r->buf + have;

    at = r->off + have;
    n = AIQ_AUDIT_READ - have;

    if (r->size - at < n) {
        n = (size_t) (r->size - at);
    }

    rc = aiq_audit_read_at(r->fd, r->end, n, at, r->name, err);

    if (rc == AIQ_OK) {
        r->end += n;
    }

    return rc;
}


void
aiq_audit_map_free(aiq_audit_map_t *map)
{
    free(map->slot);

    map->slot = NULL;
    map->size = 0;
    map->used = 0;
}


/* numbers follow each other: neighbours come far apart */

static size_t
aiq_audit_read_home(const aiq_audit_map_t *map, uint64_t key)
{
    key *= 0x9e3779b97f4a7c15ULL;

    return (size_t) (key >> 32) & (map->size - 1);
}


aiq_audit_slot_t *
aiq_audit_map_find(aiq_audit_map_t *map, uint64_t key)
{
    size_t  i;

    if (map->used == 0) {
        return NULL;
    }

    i = aiq_audit_read_home(map, key);

    while (map->slot[i].key) {

        if (map->slot[i].key == key) {
            return &map->slot[i];
        }

        i = (i + 1) & (map->size - 1);
    }

    return NULL;
}


/* the key is not in there yet; NULL if there is no memory */

aiq_audit_slot_t *
aiq_audit_map_add(aiq_audit_map_t *map, uint64_t key)
{
    size_t  i;

    if (map->used >= map->size / 4 * 3 && aiq_audit_read_grow(map) != 0) {
        return NULL;
    }

    i = aiq_audit_read_home(map, key);

    while (map->slot[i].key) {
        i = (i + 1) & (map->size - 1);
    }

    map->used++;
    map->slot[i].key = key;

    return &map->slot[i];
}


static int
aiq_audit_read_grow(aiq_audit_map_t *map)
{
    size_t           i, j;
    aiq_audit_map_t  more;

    more.used = map->used;
    more.size = map->size ? map->size * 2 : AIQ_AUDIT_MIN;
    more.slot = calloc(more.size, sizeof(aiq_audit_slot_t));

    if (more.slot == NULL) {
        return -1;
    }

    for (i = 0; i < map->size; i++) {

        if (map->slot[i].key == 0) {
            continue;
        }

        j = aiq_audit_read_home(&more, map->slot[i].key);

        while (more.slot[j].key) {
            j = (j + 1) & (more.size - 1);
        }

        more.slot[j] = map->slot[i];
    }

    free(map->slot);
    *map = more;

    return 0;
}


/* moves up what would not be found any more behind the hole */

void
aiq_audit_map_del(aiq_audit_map_t *map, aiq_audit_slot_t *slot)
{
    size_t  i, hole, home, mask;

    mask = map->size - 1;
    hole = (size_t) (slot - map->slot);

    for (i = (hole + 1) & mask; map->slot[i].key; i = (i + 1) & mask) {

        home = aiq_audit_read_home(map, map->slot[i].key);

        if (((i - home) & mask) >= ((i - hole) & mask)) {
            map->slot[hole] = map->slot[i];
            hole = i;
        }
    }

    map->slot[hole].key = 0;
    map->used--;
}
