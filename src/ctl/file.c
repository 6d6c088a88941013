
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Files, standard input, the terminal, and trees of files.
 */


#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "ctl.h"


#define AIQ_CTL_CTRL_C  0x03
#define AIQ_CTL_CTRL_D  0x04

#define AIQ_CTL_DEPTH   8          /* directories of a store */


typedef struct {
    uid_t     uid;
    gid_t     gid;
    unsigned  remove:1;
} aiq_ctl_walk_t;


static int aiq_ctl_file_fd(aiq_ctl_t *ctl, int fd, const char *path,
    size_t max, aiq_str_t *text);
static int aiq_ctl_file_terminal(aiq_ctl_t *ctl, size_t max,
    aiq_str_t *text);
static int aiq_ctl_tree_walk(int at, const char *name,
    const aiq_ctl_walk_t *w, unsigned depth);
static int aiq_ctl_tree_dir(int fd, const aiq_ctl_walk_t *w, unsigned depth);


int
aiq_ctl_read(aiq_ctl_t *ctl, const char *path, size_t max, unsigned flags,
    aiq_str_t *text)
{
    int  fd, code;

    if (strcmp(path, "-") == 0) {

        if (ctl->stdin_used) {
            return aiq_ctl_usage(ctl, "standard input can be read only once");
        }

        ctl->stdin_used = 1;

        if ((flags & AIQ_CTL_SECRET) && isatty(0)) {
            return aiq_ctl_file_terminal(ctl, max, text);
        }

        return aiq_ctl_file_fd(ctl, 0, "standard input", max, text);
    }

    fd = open(path, O_RDONLY|O_CLOEXEC|O_NOCTTY);

    if (fd == -1) {
        return aiq_ctl_fault(ctl, AIQ_E_INTERNAL, "%s: %s", path,
                             strerror(errno));
    }

    code = aiq_ctl_file_fd(ctl, fd, path, max, text);

    (void) close(fd);

    return code;
}


static int
aiq_ctl_file_fd(aiq_ctl_t *ctl, int fd, const char *path, size_t max,
    aiq_str_t *text)
{
    size_t          size;
    ssize_t         n;
    unsigned char  *p;

    /* one byte more than allowed tells too much from just enough */

    p = aiq_mem_alloc(&ctl->mem, max + 1);

    if (p == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "%s: out of memory", path);
    }

    size = 0;

    for ( ;; ) {
        n = read(fd, p + size, max + 1 - size);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n == -1) {
            return aiq_ctl_fault(ctl, AIQ_E_INTERNAL, "%s: %s", path,
                                 strerror(errno));
        }

        if (n == 0) {
            break;
        }

        size += (size_t) n;

        if (size > max) {
            return aiq_ctl_no(ctl, AIQ_D_BODY_TOO_LARGE,
                              "%s: larger than %zu bytes", path, max);
        }
    }

    ctl->mem.pos = p + size + 1;

    text->data = p;
    text->len = size;

    return AIQ_CTL_OK;
}


/*
 * One line without echo.  Byte by byte, because the line discipline cuts a
 * line at 4095 bytes, and with signals off, because a ^C must not leave a
 * terminal that shows nothing.
 */

static int
aiq_ctl_file_terminal(aiq_ctl_t *ctl, size_t max, aiq_str_t *text)
{
    int             code;
    size_t          size;
    ssize_t         n;
    unsigned char   c, *p;
    struct termios  old, raw;

    p = aiq_mem_alloc(&ctl->mem, max);

    if (p == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    if (tcgetattr(0, &old) != 0) {
        return aiq_ctl_fault(ctl, AIQ_E_INTERNAL, "terminal: %s",
                             strerror(errno));
    }

    raw = old;
    raw.c_lflag &= (tcflag_t) ~(ECHO|ECHONL|ICANON|ISIG);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;

    if (tcsetattr(0, TCSAFLUSH, &raw) != 0) {
        return aiq_ctl_fault(ctl, AIQ_E_INTERNAL, "terminal: %s",
                             strerror(errno));
    }

    fputs("Paste it and press Enter (it is not shown): ", stderr);
    (void) fflush(stderr);

    code = AIQ_CTL_OK;
    size = 0;

    for ( ;; ) {
        n = read(0, &c, 1);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n != 1 || c == '\n' || c == '\r' || c == AIQ_CTL_CTRL_D) {
            break;
        }

        if (c == AIQ_CTL_CTRL_C) {
            code = AIQ_CTL_USAGE;
            break;
        }

        if (size == max) {
            code = AIQ_CTL_NO;
            break;
        }

        p[size++] = c;
    }

    (void) tcsetattr(0, TCSAFLUSH, &old);
    fputc('\n', stderr);

    aiq_wipe(&c, 1);

    if (code == AIQ_CTL_USAGE) {
        return aiq_ctl_usage(ctl, "interrupted");
    }

    if (code == AIQ_CTL_NO) {
        return aiq_ctl_no(ctl, AIQ_D_BODY_TOO_LARGE, "longer than %zu bytes",
                          max);
    }

    text->data = p;
    text->len = size;

    return AIQ_CTL_OK;
}


int
aiq_ctl_read_json(aiq_ctl_t *ctl, const char *path, size_t max,
    unsigned flags, aiq_json_t *doc)
{
    int        code;
    aiq_rc_t   rc;
    aiq_str_t  text;

    code = aiq_ctl_read(ctl, path, max, flags, &text);
    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_json_parse(doc, text, AIQ_JSON_DEPTH, &ctl->mem, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, strcmp(path, "-") == 0
                            ? "standard input" : path);
    }

    return AIQ_CTL_OK;
}


char *
aiq_ctl_path(aiq_ctl_t *ctl, const char *dir, const char *name)
{
    char    *p;
    size_t   size;

    size = strlen(dir) + strlen(name) + 2;

    p = aiq_mem_alloc(&ctl->mem, size);

    if (p != NULL) {
        (void) snprintf(p, size, "%s/%s", dir, name);
    }

    return p;
}


char *
aiq_ctl_trim(aiq_ctl_t *ctl, const char *path)
{
    char    *p;
    size_t   len;

    len = strlen(path);

    while (len > 1 && path[len - 1] == '/') {
        len--;
    }

    p = aiq_mem_alloc(&ctl->mem, len + 1);

    if (p != NULL) {
        memcpy(p, path, len);
        p[len] = '\0';
    }

    return p;
}


int
aiq_ctl_tree_remove(const char *path)
{
    aiq_ctl_walk_t  w;

    memset(&w, 0, sizeof(aiq_ctl_walk_t));

    w.remove = 1;

    return aiq_ctl_tree_walk(AT_FDCWD, path, &w, 0);
}


int
aiq_ctl_tree_chown(const char *path, uid_t uid, gid_t gid)
{
    aiq_ctl_walk_t  w;

    memset(&w, 0, sizeof(aiq_ctl_walk_t));

    w.uid = uid;
    w.gid = gid;

    return aiq_ctl_tree_walk(AT_FDCWD, path, &w, 0);
}


/*
 * Everything by descriptor: the tree may belong to somebody who would like
 * us to give him /etc/shadow by way of a link.
 */

static int
aiq_ctl_tree_walk(int at, const char *name, const aiq_ctl_walk_t *w,
    unsigned depth)
{
    int          fd, rc;
    struct stat  st;

    if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return -1;
    }

    if (!S_ISDIR(st.st_mode) && w->remove) {
        return unlinkat(at, name, 0);
    }

    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)) {
        errno = EINVAL;
        return -1;
    }

    fd = openat(at, name, O_RDONLY|O_NOFOLLOW|O_CLOEXEC|O_NONBLOCK|O_NOCTTY);
    if (fd == -1) {
        return -1;
    }

    if (fstat(fd, &st) != 0) {
        (void) close(fd);
        return -1;
    }

    if (S_ISREG(st.st_mode) && st.st_nlink == 1) {
        rc = fchown(fd, w->uid, w->gid);

    } else if (S_ISDIR(st.st_mode) && depth < AIQ_CTL_DEPTH) {
        rc = aiq_ctl_tree_dir(fd, w, depth);

        if (rc == 0) {
            rc = w->remove ? unlinkat(at, name, AT_REMOVEDIR)
                           : fchown(fd, w->uid, w->gid);
        }

    } else {
        errno = EINVAL;
        rc = -1;
    }

    (void) close(fd);

    return rc;
}


static int
aiq_ctl_tree_dir(int fd, const aiq_ctl_walk_t *w, unsigned depth)
{
    DIR            *dir;
    int             copy, rc;
    struct dirent  *de;

    copy = dup(fd);
    if (copy == -1) {
        return -1;
    }

    dir = fdopendir(copy);

    if (dir == NULL) {
        (void) close(copy);
        return -1;
    }

    rc = 0;

    while (rc == 0 && (de = readdir(dir)) != NULL) {

        if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0) {
            continue;
        }

        /* of root, in every file system of its own */

        if (depth == 0 && !w->remove
            && strcmp(de->d_name, "lost+found") == 0)
        {
            continue;
        }

        rc = aiq_ctl_tree_walk(fd, de->d_name, w, depth + 1);
    }

    (void) closedir(dir);

    return rc;
}
