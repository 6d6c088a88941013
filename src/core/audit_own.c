
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Files that are made in the directory of a log, whoever makes them: they are
 * for its owner, who must be able to go on.
 */


#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "audit_file.h"


static int aiq_audit_owned(int dir, int fd);


/* root writes for the owner of the directory, who must go on later */

int
aiq_audit_own(int dir, int fd)
{
    struct stat  st;

    if (geteuid() != 0) {
        return 0;
    }

    if (fstat(dir, &st) != 0) {
        return -1;
    }

    return (st.st_uid == 0) ? 0 : fchown(fd, st.st_uid, st.st_gid);
}


int
aiq_audit_lock_at(int dir, const char *name)
{
    return aiq_audit_owned(dir, openat(dir, name,
                                       O_RDWR|O_CREAT|O_NOFOLLOW|O_CLOEXEC,
                                       0600));
}


aiq_rc_t
aiq_audit_lock_file(const char *dir, const char *name, int *fd,
    aiq_err_t *err)
{
    int       d;
    aiq_rc_t  rc;

    rc = aiq_audit_dir(dir, &d, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    *fd = aiq_audit_lock_at(d, name);

    if (*fd == -1) {
        rc = aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                      "audit file %s cannot be opened: %m", name);
    }

    (void) close(d);

    return rc;
}


int
aiq_audit_new_at(int dir, const char *name)
{
    int  fd, i;

    for (i = 0; i < 2; i++) {
        fd = openat(dir, name,
                    O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC|O_NOCTTY,
                    0600);

        if (fd != -1) {
            return aiq_audit_owned(dir, fd);
        }

        if (errno != EEXIST || unlinkat(dir, name, 0) != 0) {
            break;
        }
    }

    return -1;
}


static int
aiq_audit_owned(int dir, int fd)
{
    int  e;

    if (fd == -1 || aiq_audit_own(dir, fd) == 0) {
        return fd;
    }

    e = errno;

    (void) close(fd);

    errno = e;

    return -1;
}
