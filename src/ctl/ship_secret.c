
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl audit ship: secrets.  They are in files that nobody else can
 * read, never on the command line, in the environment or in the
 * configuration; they are read again when a sink refuses them.
 */


#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ship.h"


#define AIQ_SHIP_HMAC_MIN  16


static int aiq_ship_secret(aiq_ship_secret_t *s, size_t min, aiq_err_t *err);
static int aiq_ship_secret_fd(aiq_ship_secret_t *s, int fd, size_t min,
    aiq_err_t *err);


int
aiq_ship_secrets(aiq_ship_conf_t *conf, aiq_err_t *err)
{
    if (aiq_ship_secret(&conf->token, 1, err) != 0
        || aiq_ship_secret(&conf->hmac, AIQ_SHIP_HMAC_MIN, err) != 0
        || aiq_ship_secret(&conf->client_secret, 1, err) != 0)
    {
        return -1;
    }

    return 0;
}


/* what is there stays as it is after a fault */

static int
aiq_ship_secret(aiq_ship_secret_t *s, size_t min, aiq_err_t *err)
{
    int  fd, rc;

    if (s->path == NULL) {
        return 0;
    }

    fd = open(s->path, O_RDONLY|O_CLOEXEC|O_NOCTTY|O_NONBLOCK);

    if (fd == -1) {
        (void) aiq_fail(err, AIQ_E_INTERNAL, "%s: %m", s->path);
        return -1;
    }

    rc = aiq_ship_secret_fd(s, fd, min, err);

    (void) close(fd);

    return rc;
}


static int
aiq_ship_secret_fd(aiq_ship_secret_t *s, int fd, size_t min,
    aiq_err_t *err)
{
    char         buf[AIQ_SHIP_SECRET_MAX + 2];
    size_t       i, len;
    ssize_t      n;
    struct stat  st;
    const char  *what;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        (void) aiq_fail(err, AIQ_E_INTERNAL, "%s is not a regular file",
                        s->path);
        return -1;
    }

    if ((st.st_mode & 077) || (st.st_uid != geteuid() && st.st_uid != 0)) {
        (void) aiq_fail(err, AIQ_E_INTERNAL, "%s holds a secret: it must "
                        "belong to who reads it and have mode 0600", s->path);
        return -1;
    }

    n = read(fd, buf, sizeof(buf));
    len = (n < 0) ? 0 : (size_t) n;

    if (len && buf[len - 1] == '\n') {
        len--;
    }

    if (len && buf[len - 1] == '\r') {
        len--;
    }

    what = (len < min) ? "is too short"
           : (len > AIQ_SHIP_SECRET_MAX) ? "is too long" : NULL;

    for (i = 0; i < len; i++) {

        if (buf[i] <= 0x20 || buf[i] == 0x7f) {
            what = "must be one line without blanks, in ASCII";
        }
    }

    if (what == NULL) {
        aiq_wipe(s->data, sizeof(s->data));
        memcpy(s->data, buf, len);
        s->len = len;
    }

    aiq_wipe(buf, sizeof(buf));

    if (what) {
        (void) aiq_fail(err, AIQ_E_INTERNAL, "%s %s", s->path, what);
        return -1;
    }

    return 0;
}


void
aiq_ship_secrets_wipe(aiq_ship_conf_t *conf)
{
    aiq_wipe(conf->token.data, sizeof(conf->token.data));
    aiq_wipe(conf->hmac.data, sizeof(conf->hmac.data));
    aiq_wipe(conf->client_secret.data, sizeof(conf->client_secret.data));
}
