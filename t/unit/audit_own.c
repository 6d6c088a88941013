
/*
 * Guards the owner of a log: what root has made in it, or has left half-made,
 * does not keep the owner from going on.
 */


#include <sys/wait.h>

#include "audit_key.h"
#include "audit_file.h"
#include "audit_log.h"


#define OWNER  65534


/* what the owner can do: 0, or where it has failed */

static int
as_owner(const char *dir, int (*what)(const char *dir))
{
    int    status;
    pid_t  pid;

    pid = fork();

    if (pid == 0) {
        _exit(setgid(OWNER) != 0 || setuid(OWNER) != 0 ? 99 : what(dir));
    }

    return (pid != -1 && waitpid(pid, &status, 0) == pid
            && WIFEXITED(status))
           ? WEXITSTATUS(status) : 98;
}


static int
go_on(const char *dir)
{
    int           d, fd;
    char          buf[1024];
    aiq_err_t     err;
    aiq_audit_t  *log;
    aiq_str_t     s;

    s = str("text\n");

    if (aiq_audit_open(&log, dir, &err) != AIQ_OK) {
        return 1;
    }

    if (put(log, body_event("OPEN", buf, sizeof(buf)), NULL, &err) != AIQ_OK)
    {
        return 2;
    }

    aiq_audit_close(log);

    d = open(dir, O_RDONLY|O_DIRECTORY);

    if (aiq_audit_replace(d, "checkpoint.new", "checkpoint", s, &err)
        != AIQ_OK)
    {
        return 3;
    }

    fd = aiq_audit_lock_at(d, "checkpoints.lock");

    if (fd == -1 || aiq_audit_lock_file(dir, "flush.lock", &fd, &err)
                    != AIQ_OK)
    {
        return 4;
    }

    return 0;
}


static void
test_left(void)
{
    int           d, fd, n;
    char         *dir, buf[1024];
    aiq_err_t     err;
    struct stat   st;
    aiq_audit_t  *log;

    static const char  *const left[] = {
        "checkpoint.new", "keys.new", "cosigned.new", "tile/.new"
    };

    dir = fresh();

    chmod(root, 0755);
    ok(chown(dir, OWNER, OWNER) == 0
       && chown(path(dir, "log.json"), OWNER, OWNER) == 0,
       "a log of somebody else");

    log = reopen(dir);
    ok(put(log, body_event("OPEN", buf, sizeof(buf)), NULL, &err) == AIQ_OK,
       "root writes to it");
    aiq_audit_close(log);

    d = open(dir, O_RDONLY|O_DIRECTORY);
    ok(aiq_audit_lock_file(dir, "flush.lock", &fd, &err) == AIQ_OK
       && fstat(fd, &st) == 0 && st.st_uid == OWNER,
       "locks that root has made are the owner's");
    close(fd);

    mkdir(path(dir, "tile"), 0700);
    ok(chown(path(dir, "tile"), OWNER, OWNER) == 0, "tiles");

    for (n = 0; n < 4; n++) {
        fd = open(path(dir, left[n]), O_WRONLY|O_CREAT, 0600);
        ok(fd != -1, "root was stopped over %s", left[n]);
        close(fd);
    }

    fd = aiq_audit_new_at(d, "tile/.new");
    ok(fd != -1 && fstat(fd, &st) == 0 && st.st_uid == OWNER,
       "a new file is the owner's before anything is in it");
    close(fd);
    close(d);

    n = as_owner(dir, go_on);
    ok(n == 0, "the owner goes on (%d)", n);
}


int
main(void)
{
    setup();

    if (geteuid() != 0) {
        diag("only root can be somebody else");
        ok(1, "skipped");

    } else {
        test_left();
    }

    return teardown();
}
