
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Locks beside that of the log itself: empty files, see audit_file.h.
 */


#include <errno.h>
#include <unistd.h>
#include <sys/file.h>

#include "audit_open.h"


static int aiq_audit_lock_there(int dir, const char *name, int fd);


aiq_rc_t
aiq_audit_lock_take(int dir, const char *name, int wait, int *fd,
    aiq_err_t *err)
{
    int  i;

    for (i = 0; i < 10; i++) {

        if (*fd == -1) {
            *fd = aiq_audit_lock_at(dir, name);

            if (*fd == -1) {
                return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                                "audit file %s cannot be opened: %m", name);
            }
        }

        while (flock(*fd, wait ? LOCK_EX : LOCK_EX|LOCK_NB) != 0) {

            if (errno == EWOULDBLOCK) {
                return AIQ_DECLINED;
            }

            if (errno != EINTR) {
                return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                                "audit file %s cannot be locked: %m", name);
            }
        }

        if (aiq_audit_lock_there(dir, name, *fd)) {
            return AIQ_OK;
        }

        (void) close(*fd);
        *fd = -1;
    }

    return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                    "audit file %s does not stay where it is", name);
}


aiq_rc_t
aiq_audit_turn(aiq_audit_t *log, const char *name, int *fd, aiq_err_t *err)
{
    return aiq_audit_lock_take(log->dir, name, 1, fd, err);
}


/* a lock that was deleted meanwhile keeps nobody out */

static int
aiq_audit_lock_there(int dir, const char *name, int fd)
{
    struct stat  st, there;

    return fstat(fd, &st) == 0
           && fstatat(dir, name, &there, AT_SYMLINK_NOFOLLOW) == 0
           && st.st_ino == there.st_ino && st.st_dev == there.st_dev;
}
