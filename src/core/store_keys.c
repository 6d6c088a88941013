
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What of the store is not in the environment: directories, modes, the MAC
 * key and the seeds of issuers.
 */


#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "b64.h"
#include "store_internal.h"


#define AIQ_STORE_SECRET_LEN  (2 * AIQ_KEY_LEN)


static aiq_rc_t aiq_store_check_mode(const char *path, const struct stat *st,
    aiq_err_t *err);
static ssize_t aiq_store_read_all(int fd, char *buf, size_t size);
static int aiq_store_write_all(int fd, const char *buf, size_t len);
static aiq_rc_t aiq_store_secret_store(const char *path,
    const unsigned char secret[AIQ_KEY_LEN], aiq_err_t *err);
static aiq_rc_t aiq_store_seed_path(char path[AIQ_STORE_PATH],
    const char *dir, aiq_str_t kid, aiq_err_t *err);


aiq_rc_t
aiq_store_path(char path[AIQ_STORE_PATH], const char *dir, const char *name,
    aiq_err_t *err)
{
    int  n;

    n = snprintf(path, AIQ_STORE_PATH, "%s%s%s", dir, *name ? "/" : "", name);

    if (n <= 0 || n >= AIQ_STORE_PATH) {
        return aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                        "the path of the store is empty or too long");
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_store_check_dir(const char *path, aiq_err_t *err)
{
    struct stat  st;

    if (stat(path, &st) != 0) {

        if (errno == ENOENT) {
            return AIQ_DECLINED;
        }

        return aiq_fail(err, AIQ_E_STORE_UNAVAILABLE, "\"%s\": %s", path,
                        strerror(errno));
    }

    if (!S_ISDIR(st.st_mode)) {
        return aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                        "\"%s\" is not a directory", path);
    }

    /* who may write here may put files of his own in the place of ours */

    if (st.st_mode & (S_IWGRP|S_IWOTH)) {
        return aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                        "directory \"%s\" may be written by others (mode "
                        "%04o), run: chmod go-w %s", path,
                        (unsigned) st.st_mode & 07777, path);
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_store_check_file(const char *path, aiq_err_t *err)
{
    aiq_rc_t     rc;
    struct stat  st;

    if (stat(path, &st) != 0) {

        if (errno == ENOENT) {
            return AIQ_DECLINED;
        }

        return aiq_fail(err, AIQ_E_STORE_UNAVAILABLE, "\"%s\": %s", path,
                        strerror(errno));
    }

    rc = aiq_store_check_mode(path, &st, err);

    /* an empty file is what a crash left while the store was made */

    return (rc == AIQ_OK && st.st_size == 0) ? AIQ_DECLINED : rc;
}


static aiq_rc_t
aiq_store_check_mode(const char *path, const struct stat *st, aiq_err_t *err)
{
    if (!S_ISREG(st->st_mode)) {
        return aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                        "\"%s\" is not a regular file", path);
    }

    if (st->st_mode & (S_IWGRP|S_IROTH|S_IWOTH)) {
        return aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                        "\"%s\" may be read or written by others (mode "
                        "%04o), run: chmod 0640 %s", path,
                        (unsigned) st->st_mode & 07777, path);
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_store_make_dir(const char *path, aiq_err_t *err)
{
    struct stat  st;

    if (mkdir(path, AIQ_STORE_DIR_MODE) != 0) {

        if (errno == EEXIST) {
            return aiq_store_check_dir(path, err);
        }

        return aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                        "cannot make directory \"%s\": %s", path,
                        strerror(errno));
    }

    /* a set-group-ID bit that the parent handed down stays */

    if (stat(path, &st) != 0
        || chmod(path, (st.st_mode & S_ISGID) | AIQ_STORE_DIR_MODE) != 0)
    {
        return aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                        "cannot set the mode of \"%s\": %s", path,
                        strerror(errno));
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_store_make_file(const char *path, mode_t mode, aiq_err_t *err)
{
    int  fd, rc;

    fd = open(path, O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC, mode);

    if (fd == -1) {

        if (errno == EEXIST) {
            return AIQ_OK;
        }

        return aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                        "cannot make \"%s\": %s", path, strerror(errno));
    }

    rc = fchmod(fd, mode);

    if (rc != 0) {
        (void) aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                        "cannot set the mode of \"%s\": %s", path,
                        strerror(errno));
    }

    if (close(fd) != 0 && rc == 0) {
        rc = -1;
        (void) aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                        "cannot make \"%s\": %s", path, strerror(errno));
    }

    return (rc == 0) ? AIQ_OK : AIQ_E_STORE_UNAVAILABLE;
}


aiq_rc_t
aiq_store_sync_dir(const char *path, aiq_err_t *err)
{
    int  fd, rc, no;

    fd = open(path, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (fd == -1) {
        return aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                        "cannot open directory \"%s\": %s", path,
                        strerror(errno));
    }

    rc = fsync(fd);
    no = errno;

    (void) close(fd);

    if (rc != 0) {
        return aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                        "cannot sync directory \"%s\": %s", path,
                        strerror(no));
    }

    return AIQ_OK;
}


static ssize_t
aiq_store_read_all(int fd, char *buf, size_t size)
{
    size_t   len;
    ssize_t  n;

    len = 0;

    while (len < size) {
        n = read(fd, buf + len, size - len);

        if (n == -1) {

            if (errno == EINTR) {
                continue;
            }

            return -1;
        }

        if (n == 0) {
            break;
        }

        len += (size_t) n;
    }

    return (ssize_t) len;
}


static int
aiq_store_write_all(int fd, const char *buf, size_t len)
{
    ssize_t  n;

    while (len) {
        n = write(fd, buf, len);

        if (n == -1) {

            if (errno == EINTR) {
                continue;
            }

            return -1;
        }

        buf += n;
        len -= (size_t) n;
    }

    return 0;
}


aiq_rc_t
aiq_store_secret_read(const char *path, unsigned char secret[AIQ_KEY_LEN],
    aiq_err_t *err)
{
    int          fd;
    char         buf[AIQ_STORE_SECRET_LEN + 2];
    ssize_t      n;
    aiq_rc_t     rc;
    aiq_str_t    hex;
    struct stat  st;

    /* O_NONBLOCK: a FIFO in its place must not stop us */

    fd = open(path, O_RDONLY|O_CLOEXEC|O_NOCTTY|O_NONBLOCK);

    if (fd == -1) {

        if (errno == ENOENT) {
            return AIQ_DECLINED;
        }

        return aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                        "cannot open \"%s\": %s", path, strerror(errno));
    }

    if (fstat(fd, &st) != 0) {
        rc = aiq_fail(err, AIQ_E_STORE_UNAVAILABLE, "\"%s\": %s", path,
                      strerror(errno));
        (void) close(fd);
        return rc;
    }

    rc = aiq_store_check_mode(path, &st, err);

    if (rc != AIQ_OK) {
        (void) close(fd);
        return rc;
    }

    n = aiq_store_read_all(fd, buf, sizeof(buf));

    if (n == -1) {
        rc = aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                      "cannot read \"%s\": %s", path, strerror(errno));

    } else if (n == AIQ_STORE_SECRET_LEN
               || (n == AIQ_STORE_SECRET_LEN + 1
                   && buf[AIQ_STORE_SECRET_LEN] == '\n'))
    {
        hex.data = (unsigned char *) buf;
        hex.len = AIQ_STORE_SECRET_LEN;

        rc = aiq_hex_decode(hex, secret, AIQ_KEY_LEN);

    } else {
        rc = AIQ_DECLINED;
    }

    if (rc == AIQ_DECLINED) {
        rc = aiq_fail(err, AIQ_E_STORE_CORRUPT,
                      "\"%s\" must hold %d lower-case hexadecimal digits",
                      path, AIQ_STORE_SECRET_LEN);
    }

    if (rc != AIQ_OK) {
        aiq_wipe(secret, AIQ_KEY_LEN);
    }

    aiq_wipe(buf, sizeof(buf));

    (void) close(fd);

    return rc;
}


aiq_rc_t
aiq_store_secret_write(const char *dir, const char *path,
    const unsigned char secret[AIQ_KEY_LEN], aiq_err_t *err)
{
    int            n;
    char           tmp[AIQ_STORE_PATH];
    aiq_rc_t       rc;
    unsigned char  nonce[4];

    rc = aiq_random(nonce, sizeof(nonce));

    if (rc != AIQ_OK) {
        return aiq_fail(err, rc, "no random bytes");
    }

    n = snprintf(tmp, sizeof(tmp), "%s.%02x%02x%02x%02x", path,
                 nonce[0], nonce[1], nonce[2], nonce[3]);

    if (n <= 0 || n >= (int) sizeof(tmp)) {
        return aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                        "the path of the store is too long");
    }

    rc = aiq_store_secret_store(tmp, secret, err);

    if (rc != AIQ_OK) {
        return rc;
    }

    /* link() does not replace, rename() would */

    if (link(tmp, path) != 0) {

        if (errno == EEXIST) {
            rc = AIQ_DECLINED;

        } else {
            rc = aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                          "cannot make \"%s\": %s", path, strerror(errno));
        }
    }

    if (unlink(tmp) != 0 && rc == AIQ_OK) {
        rc = aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                      "cannot remove \"%s\": %s", tmp, strerror(errno));
    }

    if (rc != AIQ_OK) {
        return rc;
    }

    return aiq_store_sync_dir(dir, err);
}


static aiq_rc_t
aiq_store_secret_store(const char *path,
    const unsigned char secret[AIQ_KEY_LEN], aiq_err_t *err)
{
    int        fd;
    char       buf[AIQ_STORE_SECRET_LEN + 1];
    aiq_rc_t   rc;
    aiq_out_t  out;

    fd = open(path, O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, AIQ_STORE_MODE);

    if (fd == -1) {
        return aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                        "cannot make \"%s\": %s", path, strerror(errno));
    }

    aiq_out_init(&out, buf, sizeof(buf));
    aiq_out_hex(&out, secret, AIQ_KEY_LEN);
    aiq_out_char(&out, '\n');

    rc = AIQ_OK;

    if (fchmod(fd, AIQ_STORE_MODE) != 0
        || aiq_store_write_all(fd, buf, sizeof(buf)) != 0
        || fsync(fd) != 0)
    {
        rc = aiq_fail(err, (errno == ENOSPC) ? AIQ_E_STORE_FULL
                                             : AIQ_E_STORE_UNAVAILABLE,
                      "cannot write \"%s\": %s", path, strerror(errno));
    }

    aiq_wipe(buf, sizeof(buf));

    if (close(fd) != 0 && rc == AIQ_OK) {
        rc = aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                      "cannot write \"%s\": %s", path, strerror(errno));
    }

    if (rc != AIQ_OK) {
        (void) unlink(path);
    }

    return rc;
}


aiq_rc_t
aiq_store_seed_read(const char *dir, aiq_str_t kid,
    unsigned char seed[AIQ_KEY_LEN], aiq_err_t *err)
{
    char      path[AIQ_STORE_PATH];
    aiq_rc_t  rc;

    rc = aiq_store_seed_path(path, dir, kid, err);

    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_store_secret_read(path, seed, err);

    if (rc == AIQ_DECLINED) {
        return aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                        "there is no \"%s\", the seed of the issuer", path);
    }

    return rc;
}


aiq_rc_t
aiq_store_seed_write(const char *dir, aiq_str_t kid,
    const unsigned char seed[AIQ_KEY_LEN], aiq_err_t *err)
{
    char      path[AIQ_STORE_PATH], keys[AIQ_STORE_PATH];
    aiq_rc_t  rc;

    rc = aiq_store_seed_path(path, dir, kid, err);

    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_store_path(keys, dir, "keys", err);

    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_store_make_dir(keys, err);

    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_store_secret_write(keys, path, seed, err);

    if (rc == AIQ_DECLINED) {
        return aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                        "\"%s\" is there already, a seed is never replaced",
                        path);
    }

    return rc;
}


static aiq_rc_t
aiq_store_seed_path(char path[AIQ_STORE_PATH], const char *dir, aiq_str_t kid,
    aiq_err_t *err)
{
    char           name[sizeof("keys/.seed") + AIQ_KID_MAX];
    size_t         i;
    unsigned char  ch;

    if (kid.len == 0 || kid.len > AIQ_KID_MAX) {
        return aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                        "a kid has 1 to %d characters", AIQ_KID_MAX);
    }

    for (i = 0; i < kid.len; i++) {
        ch = kid.data[i];

        if ((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
            || (ch >= '0' && ch <= '9') || ch == '-' || ch == '_'
            || (ch == '.' && i))
        {
            continue;
        }

        return aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                        "this kid cannot name a file: only letters, digits, "
                        "\"-\", \"_\" and \".\" can");
    }

    (void) snprintf(name, sizeof(name), "keys/%.*s.seed", (int) kid.len,
                    (const char *) kid.data);

    return aiq_store_path(path, dir, name, err);
}
