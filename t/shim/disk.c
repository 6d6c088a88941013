
/*
 * Copyright (C) ngx_armoriq authors
 *
 * A library that is loaded before libc and makes the disk of the audit log
 * worse, while a file in DIR says so (t/lib/ArmorIQ/Disk.pm):
 *
 *     enospc    nothing is written
 *     eio       half of a group is written, then nothing
 *     torn      all of a group but its last bytes
 *     short     no more than 7 bytes at once
 *     errno N   neither written nor created: N as of errno
 *     slow N    a sync takes N milliseconds
 *     sync      a sync fails
 *     look      whoever looks for the newest checkpoint waits
 *     payload N payloads are not written: N as of errno
 */


#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>


static int disk_number(const char *name);
static int disk_segment(int fd, const void *p, size_t len);
static int disk_sync(const char *name, int fd);
static int disk_create(const char *name, int dir, const char *path, int flags,
    unsigned mode);


static int
disk_number(const char *name)
{
    int      fd;
    char     buf[16];
    ssize_t  n;

    fd = open(name, O_RDONLY|O_CLOEXEC);

    if (fd == -1) {
        return 0;
    }

    n = read(fd, buf, sizeof(buf) - 1);
    close(fd);

    buf[n > 0 ? n : 0] = '\0';

    return atoi(buf);
}


/* a file of the log has no name at first: it is known by what it gets */

static int
disk_segment(int fd, const void *p, size_t len)
{
    struct stat  st;

    static dev_t  dev;
    static ino_t  ino;

    if (fd < 3 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return 0;
    }

    if (len > 5 && memcmp(p, "{\"v\":", 5) == 0) {
        dev = st.st_dev;
        ino = st.st_ino;
    }

    return ino && st.st_ino == ino && st.st_dev == dev;
}


ssize_t
write(int fd, const void *p, size_t len)
{
    int  error;

    static ssize_t (*next)(int, const void *, size_t);

    if (next == NULL) {
        next = (ssize_t (*)(int, const void *, size_t))
               dlsym(RTLD_NEXT, "write");
    }

    if (!disk_segment(fd, p, len)) {

        error = (len > 8 && memcmp(p, "AIQPAY1\n", 8) == 0)
                ? disk_number(DIR "/payload") : 0;

        if (error) {
            errno = error;
            return -1;
        }

        return next(fd, p, len);
    }

    error = disk_number(DIR "/errno");

    if (disk_number(DIR "/enospc")) {
        error = ENOSPC;
    }

    if (disk_number(DIR "/eio")) {

        if (len > 1) {
            return next(fd, p, len / 2);
        }

        error = EIO;
    }

    if (disk_number(DIR "/torn")) {

        if (len > 10) {
            return next(fd, p, len - 10);
        }

        error = ENOSPC;
    }

    if (error) {
        errno = error;
        return -1;
    }

    if (disk_number(DIR "/short") && len > 7) {
        len = 7;
    }

    return next(fd, p, len);
}


/* segments are created with openat(), with a name or without */

static int
disk_create(const char *name, int dir, const char *path, int flags,
    unsigned mode)
{
    int  error;
    int  (*next)(int, const char *, int, ...);

    next = (int (*)(int, const char *, int, ...)) dlsym(RTLD_NEXT, name);

    if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE) {

        error = disk_number(DIR "/errno");

        if (error) {
            errno = error;
            return -1;
        }
    }

    return next(dir, path, flags, mode);
}


int
openat(int dir, const char *path, int flags, ...)
{
    va_list   args;
    unsigned  mode;

    va_start(args, flags);
    mode = va_arg(args, unsigned);
    va_end(args);

    return disk_create("openat", dir, path, flags, mode);
}


int
openat64(int dir, const char *path, int flags, ...)
{
    va_list   args;
    unsigned  mode;

    va_start(args, flags);
    mode = va_arg(args, unsigned);
    va_end(args);

    return disk_create("openat64", dir, path, flags, mode);
}


int
faccessat(int dir, const char *path, int mode, int flags)
{
    while (strcmp(path, "checkpoint") == 0 && disk_number(DIR "/look")) {
        usleep(10000);
    }

    return ((int (*)(int, const char *, int, int))
            dlsym(RTLD_NEXT, "faccessat"))(dir, path, mode, flags);
}


static int
disk_sync(const char *name, int fd)
{
    usleep((useconds_t) disk_number(DIR "/slow") * 1000);

    if (disk_number(DIR "/sync")) {
        errno = EIO;
        return -1;
    }

    return ((int (*)(int)) dlsym(RTLD_NEXT, name))(fd);
}


int
fdatasync(int fd)
{
    return disk_sync("fdatasync", fd);
}


int
fsync(int fd)
{
    return disk_sync("fsync", fd);
}
