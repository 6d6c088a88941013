
/*
 * Copyright (C) ngx_armoriq authors
 *
 * New files of the audit log: each is there with all its bytes, or not.
 */


#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "audit_file.h"


#define AIQ_AUDIT_TMP       ".new"


static int aiq_audit_publish_tmp(int dir, const char *tmp, int *named);
static aiq_rc_t aiq_audit_publish_fill(int dir, int fd, aiq_str_t text,
    unsigned flags, struct stat *st, const char *name, aiq_err_t *err);
static int aiq_audit_publish_link(int dir, int fd, const char *tmp,
    const char *name);


aiq_rc_t
aiq_audit_publish(int dir, const char *name, aiq_str_t text,
    uint64_t *ahead, int *fd, struct stat *st, aiq_err_t *err)
{
    return aiq_audit_publish_as(dir, name, AIQ_AUDIT_TMP, text, ahead,
                                AIQ_AUDIT_FSYNC, fd, st, err);
}


aiq_rc_t
aiq_audit_publish_as(int dir, const char *name, const char *tmp,
    aiq_str_t text, uint64_t *ahead, unsigned flags, int *fd,
    struct stat *st, aiq_err_t *err)
{
    int       named;
    aiq_rc_t  rc;

    *fd = aiq_audit_publish_tmp(dir, tmp, &named);

    if (*fd == -1) {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "audit file %s cannot be created: %m", name);
    }

    rc = AIQ_OK;

    if (ahead && *ahead
        && aiq_audit_reserve(*fd, 0, text.len + *ahead) != 0)
    {
        if (aiq_audit_no_reserve(errno)) {
            *ahead = 0;

        } else {
            rc = aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                          "no room for audit file %s: %m", name);
        }
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_publish_fill(dir, *fd, text, flags, st, name, err);
    }

    if (rc == AIQ_OK
        && aiq_audit_publish_link(dir, *fd, named ? tmp : NULL, name) != 0)
    {
        rc = aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                      "audit file %s cannot be linked: %m", name);
    }

    if (named) {
        (void) unlinkat(dir, tmp, 0);
    }

    if (rc != AIQ_OK) {
        (void) close(*fd);
        *fd = -1;

        return rc;
    }

    if ((flags & AIQ_AUDIT_FSYNC) && fsync(dir) != 0) {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "audit directory cannot be synced: %m");
    }

    return AIQ_OK;
}


/*
 * Where the file system knows no file without a name, a name that nobody
 * reads.  A crash may leave it behind as a second link of a segment, so it
 * is unlinked, never truncated.
 */

static int
aiq_audit_publish_tmp(int dir, const char *tmp, int *named)
{
    int  fd;

    *named = 0;

    fd = openat(dir, ".", O_TMPFILE|O_RDWR|O_APPEND|O_CLOEXEC, 0600);

    if (fd != -1 || (errno != EOPNOTSUPP && errno != EISDIR
                     && errno != EINVAL && errno != ENOENT))
    {
        return fd;
    }

    *named = 1;

    if (unlinkat(dir, tmp, 0) != 0 && errno != ENOENT) {
        return -1;
    }

    return openat(dir, tmp,
                  O_RDWR|O_APPEND|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0600);
}


static aiq_rc_t
aiq_audit_publish_fill(int dir, int fd, aiq_str_t text, unsigned flags,
    struct stat *st, const char *name, aiq_err_t *err)
{
    ssize_t  n;

    while (text.len) {
        n = write(fd, text.data, text.len);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n <= 0) {
            return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                            "audit file %s cannot be written: %m", name);
        }

        text.data += n;
        text.len -= (size_t) n;
    }

    if (aiq_audit_own(dir, fd) != 0 || fstat(fd, st) != 0
        || ((flags & AIQ_AUDIT_FSYNC) && fsync(fd) != 0))
    {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "audit file %s cannot be completed: %m", name);
    }

    return AIQ_OK;
}


int
aiq_audit_reserve(int fd, uint64_t off, uint64_t len)
{
    int  rc;

    do {
        rc = fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t) off, (off_t) len);

    } while (rc == -1 && errno == EINTR);

    return rc;
}


static int
aiq_audit_publish_link(int dir, int fd, const char *tmp, const char *name)
{
    char  path[64];

    if (tmp) {
        return linkat(dir, tmp, dir, name, 0);
    }

    /* without /proc only newer kernels, or root */

    (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);

    if (linkat(AT_FDCWD, path, dir, name, AT_SYMLINK_FOLLOW) == 0) {
        return 0;
    }

    if (errno != ENOENT) {
        return -1;
    }

    return linkat(fd, "", dir, name, AT_EMPTY_PATH);
}
