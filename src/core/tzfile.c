
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tzfile.h"


#define AIQ_TZFILE_NAME   64         /* "America/Argentina/ComodRivadavia" */
#define AIQ_TZFILE_PATH   4096
#define AIQ_TZFILE_HEAD   44         /* RFC 8536 3.1 */


static int aiq_tzfile_name_ok(aiq_str_t name);
static aiq_rc_t aiq_tzfile_open(const char *dir, aiq_str_t name, int *fd,
    size_t *size);
static aiq_rc_t aiq_tzfile_read(int fd, unsigned char *p, size_t size);


aiq_rc_t
aiq_tzfile_load(void *data, aiq_str_t name, aiq_mem_t *mem, aiq_str_t *tzif)
{
    int             fd;
    size_t          size;
    aiq_rc_t        rc;
    aiq_mem_t       old;
    unsigned char  *p;

    if (!aiq_tzfile_name_ok(name)) {
        return AIQ_DECLINED;
    }

    rc = aiq_tzfile_open((data == NULL) ? AIQ_TZFILE_DIR : data, name, &fd,
                         &size);
    if (rc != AIQ_OK) {
        return rc;
    }

    old = *mem;
    p = aiq_mem_alloc(mem, size);

    rc = (p == NULL) ? AIQ_E_NO_MEMORY : aiq_tzfile_read(fd, p, size);

    (void) close(fd);

    if (rc == AIQ_OK && memcmp(p, "TZif", 4) != 0) {
        rc = AIQ_DECLINED;
    }

    if (rc != AIQ_OK) {
        *mem = old;
        return rc;
    }

    tzif->data = p;
    tzif->len = size;

    return AIQ_OK;
}


/*
 * Components of letters, digits, '_', '-' and '+', with one '/' between
 * them: no dots, so neither ".." nor "posixrules.bak".
 */

static int
aiq_tzfile_name_ok(aiq_str_t name)
{
    size_t         i;
    unsigned char  ch, prev;

    if (name.len == 0 || name.len > AIQ_TZFILE_NAME) {
        return 0;
    }

    prev = '/';

    for (i = 0; i < name.len; i++) {
        ch = name.data[i];

        if (ch == '/') {

            if (prev == '/') {
                return 0;
            }

        } else if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
                     || (ch >= '0' && ch <= '9') || ch == '_' || ch == '-'
                     || ch == '+'))
        {
            return 0;
        }

        prev = ch;
    }

    return prev != '/';
}


static aiq_rc_t
aiq_tzfile_open(const char *dir, aiq_str_t name, int *fd, size_t *size)
{
    int          n;
    char         path[AIQ_TZFILE_PATH];
    struct stat  st;

    n = snprintf(path, sizeof(path), "%s/%.*s", dir, (int) name.len,
                 (const char *) name.data);

    if (n < 0 || n >= (int) sizeof(path)) {
        return AIQ_DECLINED;
    }

    /* O_NONBLOCK: a FIFO in its place must not stop us */

    *fd = open(path, O_RDONLY|O_CLOEXEC|O_NOCTTY|O_NONBLOCK);

    if (*fd == -1) {
        return (errno == ENOENT || errno == ENOTDIR) ? AIQ_DECLINED
                                                     : AIQ_E_INTERNAL;
    }

    if (fstat(*fd, &st) != 0) {
        (void) close(*fd);
        return AIQ_E_INTERNAL;
    }

    if (!S_ISREG(st.st_mode) || st.st_size < AIQ_TZFILE_HEAD
        || st.st_size > AIQ_TZFILE_MAX)
    {
        (void) close(*fd);
        return AIQ_DECLINED;
    }

    *size = (size_t) st.st_size;

    return AIQ_OK;
}


static aiq_rc_t
aiq_tzfile_read(int fd, unsigned char *p, size_t size)
{
    size_t   len;
    ssize_t  n;

    len = 0;

    while (len < size) {
        n = read(fd, p + len, size - len);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n <= 0) {

            /* it shrank while we read: not the file that we looked at */

            return AIQ_E_INTERNAL;
        }

        len += (size_t) n;
    }

    return AIQ_OK;
}
