
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl audit ship: what is remembered.
 *
 *     STATE/lock            flock() of whoever ships
 *     STATE/<sink>.cursor   the last record that was acknowledged
 *     STATE/<sink>.dead     records that were put aside, one a line
 */


#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "b64.h"
#include "ship.h"


#define AIQ_SHIP_CURSOR_MAX  4096
#define AIQ_SHIP_PATH_MAX    4096
#define AIQ_SHIP_FILE_MAX    64        /* name in STATE */


static void aiq_ship_state_name(char *buf, const char *sink,
    const char *suffix);
static int aiq_ship_state_parse(aiq_ship_sink_t *s, aiq_str_t text,
    aiq_err_t *err);
static int aiq_ship_state_write(int fd, aiq_str_t text);
static int aiq_ship_state_fail(aiq_err_t *err, const char *what,
    const char *name);


int
aiq_ship_state_open(aiq_ship_t *ship, const char *path, aiq_err_t *err)
{
    int          fd;
    struct stat  st;

    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return aiq_ship_state_fail(err, "cannot make", path);
    }

    ship->state = open(path, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (ship->state == -1 || fstat(ship->state, &st) != 0) {
        return aiq_ship_state_fail(err, "cannot open", path);
    }

    if (st.st_mode & (S_IWGRP|S_IWOTH)) {
        (void) aiq_fail(err, AIQ_E_INTERNAL, "%s may be written to by "
                        "others; chmod it to 0700", path);
        return -1;
    }

    fd = openat(ship->state, "lock", O_RDWR|O_CREAT|O_NOFOLLOW|O_CLOEXEC,
                0600);

    if (fd == -1) {
        return aiq_ship_state_fail(err, "cannot make a lock in", path);
    }

    /* held until the process ends */

    if (flock(fd, LOCK_EX|LOCK_NB) != 0) {
        (void) aiq_fail(err, AIQ_E_INTERNAL, "another \"audit ship\" works "
                        "with %s", path);
        (void) close(fd);
        return -1;
    }

    return 0;
}


int
aiq_ship_state_load(aiq_ship_sink_t *s, aiq_err_t *err)
{
    int          fd;
    char         name[AIQ_SHIP_FILE_MAX], buf[AIQ_SHIP_CURSOR_MAX];
    ssize_t      n;
    aiq_str_t    text;

    memset(&s->cursor, 0, sizeof(aiq_audit_cursor_t));

    aiq_ship_state_name(name, s->conf->name, ".cursor");

    fd = openat(s->ship->state, name, O_RDONLY|O_NOFOLLOW|O_CLOEXEC);

    if (fd == -1) {
        return (errno == ENOENT) ? 0
               : aiq_ship_state_fail(err, "cannot open", name);
    }

    n = read(fd, buf, sizeof(buf));

    if (n == -1) {
        (void) aiq_ship_state_fail(err, "cannot read", name);
        (void) close(fd);
        return -1;
    }

    (void) close(fd);

    text.data = (unsigned char *) buf;
    text.len = (size_t) n;

    return aiq_ship_state_parse(s, text, err);
}


static int
aiq_ship_state_parse(aiq_ship_sink_t *s, aiq_str_t text, aiq_err_t *err)
{
    int64_t               seq, segment, offset;
    uint32_t              leaf;
    aiq_mem_t             mem;
    aiq_str_t             hex;
    aiq_json_t            doc;
    aiq_audit_cursor_t   *c;

    c = &s->cursor;

    mem.pos = s->mem;
    mem.end = s->mem + AIQ_SHIP_MEM;

    if (aiq_json_parse(&doc, text, 2, &mem, NULL) == AIQ_OK) {
        leaf = aiq_json_get(&doc, 0, "leaf");

        if (aiq_json_int(&doc, aiq_json_get(&doc, 0, "seq"), &seq) == AIQ_OK
            && aiq_json_int(&doc, aiq_json_get(&doc, 0, "segment"), &segment)
               == AIQ_OK
            && aiq_json_int(&doc, aiq_json_get(&doc, 0, "offset"), &offset)
               == AIQ_OK
            && aiq_json_string(&doc, leaf, &mem, &hex) == AIQ_OK
            && aiq_hex_decode(hex, c->leaf, AIQ_HASH_LEN) == AIQ_OK
            && seq > 0 && segment > 0 && offset > 0)
        {
            c->seq = (uint64_t) seq;
            c->first = (uint64_t) segment;
            c->off = (uint64_t) offset;

            return 0;
        }
    }

    (void) aiq_fail(err, AIQ_E_INTERNAL, "%s.cursor is not a cursor; \"--anew"
                    " %s\" begins with the first record", s->conf->name,
                    s->conf->name);
    return -1;
}


int
aiq_ship_state_save(aiq_ship_sink_t *s, aiq_err_t *err)
{
    char                       name[AIQ_SHIP_FILE_MAX];
    char                       buf[AIQ_SHIP_CURSOR_MAX];
    aiq_out_t                  out;
    const aiq_audit_cursor_t  *c;

    c = &s->cursor;

    aiq_out_init(&out, buf, sizeof(buf));
    aiq_out_str(&out, "{\"origin\":");
    aiq_out_json(&out, s->conf->style.origin);
    aiq_out_str(&out, ",\"seq\":");
    aiq_out_int(&out, (int64_t) c->seq);
    aiq_out_str(&out, ",\"segment\":");
    aiq_out_int(&out, (int64_t) c->first);
    aiq_out_str(&out, ",\"offset\":");
    aiq_out_int(&out, (int64_t) c->off);
    aiq_out_str(&out, ",\"leaf\":\"");
    aiq_out_hex(&out, c->leaf, AIQ_HASH_LEN);
    aiq_out_str(&out, "\"}\n");

    aiq_ship_state_name(name, s->conf->name, ".cursor");

    return aiq_ship_state_replace(s->ship->state, name, aiq_out_done(&out), 1,
                                  err);
}


int
aiq_ship_state_forget(aiq_ship_t *ship, const char *name, aiq_err_t *err)
{
    char  file[AIQ_SHIP_FILE_MAX];

    aiq_ship_state_name(file, name, ".cursor");

    if (unlinkat(ship->state, file, 0) != 0 && errno != ENOENT) {
        return aiq_ship_state_fail(err, "cannot remove", file);
    }

    return 0;
}


int
aiq_ship_state_bury(aiq_ship_sink_t *s, size_t i, size_t n,
    const aiq_ship_answer_t *answer, aiq_err_t *err)
{
    int                     fd;
    char                    name[AIQ_SHIP_FILE_MAX], ts[32];
    char                    buf[AIQ_SHIP_CURSOR_MAX + AIQ_SHIP_TEXT * 6];
    time_t                  now;
    aiq_out_t               out;
    struct tm               tm;
    const aiq_ship_item_t  *first, *last;

    first = &s->batch.item[i];
    last = &s->batch.item[n - 1];
    now = time(NULL);

    if (gmtime_r(&now, &tm) == NULL
        || strftime(ts, sizeof(ts), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
    {
        ts[0] = '\0';
    }

    aiq_out_init(&out, buf, sizeof(buf));
    aiq_out_str(&out, "{\"time\":\"");
    aiq_out_str(&out, ts);
    aiq_out_str(&out, "\",\"origin\":");
    aiq_out_json(&out, s->conf->style.origin);
    aiq_out_str(&out, ",\"seq\":");
    aiq_out_int(&out, (int64_t) first->cursor.seq);
    aiq_out_str(&out, ",\"leaf\":\"");
    aiq_out_hex(&out, first->cursor.leaf, AIQ_HASH_LEN);
    aiq_out_char(&out, '"');

    if (answer->rejected) {
        aiq_out_str(&out, ",\"last\":");
        aiq_out_int(&out, (int64_t) last->cursor.seq);
        aiq_out_str(&out, ",\"rejected\":");
        aiq_out_int(&out, (int64_t) answer->rejected);
    }

    aiq_out_str(&out, ",\"status\":");
    aiq_out_int(&out, answer->status);
    aiq_out_str(&out, ",\"answer\":");
    aiq_out_json(&out, aiq_cstr(answer->text));
    aiq_out_str(&out, "}\n");

    aiq_ship_state_name(name, s->conf->name, ".dead");

    fd = openat(s->ship->state, name,
                O_WRONLY|O_APPEND|O_CREAT|O_NOFOLLOW|O_CLOEXEC, 0600);

    if (fd == -1) {
        return aiq_ship_state_fail(err, "cannot open", name);
    }

    if (aiq_ship_state_write(fd, aiq_out_done(&out)) != 0
        || fsync(fd) != 0)
    {
        (void) aiq_ship_state_fail(err, "cannot write", name);
        (void) close(fd);
        return -1;
    }

    (void) close(fd);

    return 0;
}


/* with sync for us alone and on disk; without it for everybody to read */

int
aiq_ship_state_replace(int dir, const char *name, aiq_str_t text, int sync,
    aiq_err_t *err)
{
    int   fd, n;
    char  tmp[AIQ_SHIP_PATH_MAX];

    n = snprintf(tmp, sizeof(tmp), "%s.new", name);

    if (n < 0 || n >= (int) sizeof(tmp)) {
        errno = ENAMETOOLONG;
        return aiq_ship_state_fail(err, "cannot write", name);
    }

    fd = openat(dir, tmp, O_WRONLY|O_CREAT|O_TRUNC|O_NOFOLLOW|O_CLOEXEC,
                0600);

    if (fd == -1) {
        return aiq_ship_state_fail(err, "cannot make", tmp);
    }

    if (aiq_ship_state_write(fd, text) != 0
        || (sync ? fsync(fd) : fchmod(fd, 0644)) != 0)
    {
        (void) aiq_ship_state_fail(err, "cannot write", tmp);
        (void) close(fd);
        return -1;
    }

    (void) close(fd);

    if (renameat(dir, tmp, dir, name) != 0 || (sync && fsync(dir) != 0)) {
        return aiq_ship_state_fail(err, "cannot write", name);
    }

    return 0;
}


static void
aiq_ship_state_name(char *buf, const char *sink, const char *suffix)
{
    (void) snprintf(buf, AIQ_SHIP_FILE_MAX, "%.*s%s", AIQ_SHIP_NAME_MAX, sink,
                    suffix);
}


static int
aiq_ship_state_write(int fd, aiq_str_t text)
{
    ssize_t  n;

    while (text.len) {
        n = write(fd, text.data, text.len);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n == -1) {
            return -1;
        }

        text.data += n;
        text.len -= (size_t) n;
    }

    return 0;
}


static int
aiq_ship_state_fail(aiq_err_t *err, const char *what, const char *name)
{
    (void) aiq_fail(err, AIQ_E_INTERNAL, "%s %.256s: %m", what, name);

    return -1;
}
