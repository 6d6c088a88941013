
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Tiles as files.  They are renamed into place and not synced: what a crash
 * leaves of one is noticed by the root, and made anew from the records.
 */


#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit_file.h"
#include "tlog.h"


#define AIQ_TILE_TMP  "tile/.new"


static aiq_rc_t aiq_tile_get(int dir, const char *path, unsigned width,
    aiq_hash_t *hash, aiq_err_t *err);
static int aiq_tile_dirs(int dir, const char *path);
static int aiq_tile_fill(int fd, const unsigned char *p, size_t len);
static void aiq_tile_prune(int dir, unsigned level, uint64_t n);


void
aiq_tile_path(char path[AIQ_TILE_PATH], unsigned level, uint64_t n,
    unsigned width)
{
    size_t    len;
    uint64_t  unit;

    len = (size_t) snprintf(path, AIQ_TILE_PATH, "tile/%u/", level);

    for (unit = 1; n / unit >= 1000; unit *= 1000) { /* void */ }

    for ( /* void */ ; unit >= 1000; unit /= 1000) {
        len += (size_t) snprintf(path + len, AIQ_TILE_PATH - len, "x%03u/",
                                 (unsigned) (n / unit % 1000));
    }

    len += (size_t) snprintf(path + len, AIQ_TILE_PATH - len, "%03u",
                             (unsigned) (n % 1000));

    if (width < AIQ_TILE_WIDTH) {
        (void) snprintf(path + len, AIQ_TILE_PATH - len, ".p/%u", width);
    }
}


aiq_rc_t
aiq_tile_read(int dir, unsigned level, uint64_t n, unsigned width,
    aiq_hash_t *hash, aiq_err_t *err)
{
    char      path[AIQ_TILE_PATH];
    aiq_rc_t  rc;

    aiq_tile_path(path, level, n, width);

    rc = aiq_tile_get(dir, path, width, hash, err);

    if (rc == AIQ_DECLINED && width < AIQ_TILE_WIDTH) {
        aiq_tile_path(path, level, n, AIQ_TILE_WIDTH);
        rc = aiq_tile_get(dir, path, width, hash, err);
    }

    return rc;
}


static aiq_rc_t
aiq_tile_get(int dir, const char *path, unsigned width, aiq_hash_t *hash,
    aiq_err_t *err)
{
    int       fd;
    size_t    len, done;
    ssize_t   n;

    fd = openat(dir, path, O_RDONLY|O_NOFOLLOW|O_CLOEXEC|O_NONBLOCK|O_NOCTTY);

    if (fd == -1) {

        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
            return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                            "\"%s\" cannot be opened: %m", path);
        }

        return aiq_fail(err, AIQ_DECLINED, "there is no \"%s\"", path);
    }

    len = (size_t) width * AIQ_HASH_LEN;

    for (done = 0; done < len; done += (size_t) n) {
        n = pread(fd, (unsigned char *) hash + done, len - done,
                  (off_t) done);

        if (n == -1 && errno == EINTR) {
            n = 0;
            continue;
        }

        if (n <= 0) {
            break;
        }
    }

    (void) close(fd);

    if (done < len) {
        return aiq_fail(err, AIQ_DECLINED, "\"%s\" is too short", path);
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_tile_write(int dir, unsigned level, uint64_t n, unsigned width,
    const aiq_hash_t *hash, aiq_err_t *err)
{
    int   fd, rc;
    char  path[AIQ_TILE_PATH];

    aiq_tile_path(path, level, n, width);

    if (aiq_tile_dirs(dir, path) != 0) {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "the directory of \"%s\" cannot be made: %m", path);
    }

    /* one writer at a time: whoever has the lock of the checkpoints */

    fd = aiq_audit_new_at(dir, AIQ_TILE_TMP);

    rc = (fd == -1) ? -1 : aiq_tile_fill(fd, (const unsigned char *) hash,
                                         (size_t) width * AIQ_HASH_LEN);

    if (fd != -1 && close(fd) != 0) {
        rc = -1;
    }

    if (rc != 0 || renameat(dir, AIQ_TILE_TMP, dir, path) != 0) {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "\"%s\" cannot be written: %m", path);
    }

    if (width == AIQ_TILE_WIDTH) {
        aiq_tile_prune(dir, level, n);
    }

    return AIQ_OK;
}


static int
aiq_tile_fill(int fd, const unsigned char *p, size_t len)
{
    ssize_t  n;

    while (len) {
        n = write(fd, p, len);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n <= 0) {
            return -1;
        }

        p += n;
        len -= (size_t) n;
    }

    return 0;
}


/* all directories above path, those of root given to the owner of the log */

static int
aiq_tile_dirs(int dir, const char *path)
{
    int          fd, rc;
    char         part[AIQ_TILE_PATH];
    const char  *p;

    p = strrchr(path, '/');

    memcpy(part, path, (size_t) (p - path));
    part[p - path] = '\0';

    if (faccessat(dir, part, F_OK, 0) == 0) {
        return 0;
    }

    for (p = strchr(path, '/'); p; p = strchr(p + 1, '/')) {

        memcpy(part, path, (size_t) (p - path));
        part[p - path] = '\0';

        if (mkdirat(dir, part, 0700) != 0) {

            if (errno == EEXIST) {
                continue;
            }

            return -1;
        }

        fd = openat(dir, part, O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);

        rc = (fd == -1) ? -1 : aiq_audit_own(dir, fd);

        if (fd != -1) {
            (void) close(fd);
        }

        if (rc != 0) {
            return -1;
        }
    }

    return 0;
}


/* partial tiles of a tile that is full are not needed any more */

static void
aiq_tile_prune(int dir, unsigned level, uint64_t n)
{
    DIR            *d;
    int             fd;
    char            path[AIQ_TILE_PATH];
    struct dirent  *de;

    aiq_tile_path(path, level, n, 1);

    *strrchr(path, '/') = '\0';

    fd = openat(dir, path, O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);

    if (fd == -1) {
        return;
    }

    d = fdopendir(fd);

    if (d == NULL) {
        (void) close(fd);
        return;
    }

    while ((de = readdir(d)) != NULL) {

        if (de->d_name[0] != '.') {
            (void) unlinkat(fd, de->d_name, 0);
        }
    }

    (void) closedir(d);

    (void) unlinkat(dir, path, AT_REMOVEDIR);
}
