
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Files of the audit log: the directory, segments, log.json.
 */


#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit_file.h"
#include "b64.h"


#define AIQ_AUDIT_BLOCK     16384
#define AIQ_AUDIT_LOG_MAX   8192      /* log.json */
#define AIQ_AUDIT_VKEY_TAIL (1 + 8 + 1 + 44)


static aiq_rc_t aiq_audit_file_origin(aiq_str_t origin, aiq_err_t *err);
static aiq_rc_t aiq_audit_file_describe(aiq_out_t *out, aiq_str_t origin,
    const unsigned char public_key[AIQ_KEY_LEN], int64_t now_us,
    aiq_crypto_t *c, aiq_err_t *err);
static int aiq_audit_file_cmp(const void *a, const void *b);
static uint64_t aiq_audit_file_first(const char *name);
static aiq_rc_t aiq_audit_file_log(aiq_json_t *doc, int dir, void *buf,
    aiq_mem_t *mem, aiq_err_t *err);
static aiq_rc_t aiq_audit_file_vkey_ok(aiq_str_t origin, aiq_str_t vkey,
    aiq_crypto_t *c);


aiq_rc_t
aiq_audit_dir(const char *dir, int *fd, aiq_err_t *err)
{
    struct stat  st;

    *fd = open(dir, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (*fd == -1) {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "audit directory \"%s\" cannot be opened: %m", dir);
    }

    if (fstat(*fd, &st) != 0) {
        (void) aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "audit directory \"%s\" cannot be read: %m", dir);

    } else if (st.st_mode & S_IWOTH) {
        (void) aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "audit directory \"%s\" may be written to by "
                        "everybody; chmod it to 0700", dir);

    } else {
        return AIQ_OK;
    }

    (void) close(*fd);
    *fd = -1;

    return AIQ_E_AUDIT_UNAVAILABLE;
}


void
aiq_audit_name(uint64_t first, char name[AIQ_AUDIT_NAME_LEN + 1])
{
    unsigned  i;

    memcpy(name, "seg-0000000000000000.jsonl", AIQ_AUDIT_NAME_LEN + 1);

    for (i = 19; i > 3 && first; i--) {
        name[i] = (char) ('0' + first % 10);
        first /= 10;
    }
}


/* 0 for the name of something else */

static uint64_t
aiq_audit_file_first(const char *name)
{
    char      again[AIQ_AUDIT_NAME_LEN + 1];
    uint64_t  first;
    unsigned  i;

    if (strlen(name) != AIQ_AUDIT_NAME_LEN) {
        return 0;
    }

    first = 0;

    for (i = 4; i < 20; i++) {

        if (name[i] < '0' || name[i] > '9') {
            return 0;
        }

        first = first * 10 + (uint64_t) (name[i] - '0');
    }

    aiq_audit_name(first, again);

    return strcmp(name, again) == 0 ? first : 0;
}


aiq_rc_t
aiq_audit_list(int dir, uint64_t **first, size_t *n, aiq_err_t *err)
{
    DIR            *d;
    int             fd;
    size_t          room;
    uint64_t        seq, *list, *p;
    struct dirent  *de;

    *first = NULL;
    *n = 0;

    /* not a duplicate of dir: that would share its reading position */

    fd = openat(dir, ".", O_RDONLY|O_DIRECTORY|O_CLOEXEC);
    d = (fd == -1) ? NULL : fdopendir(fd);

    if (d == NULL) {
        (void) aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "audit directory cannot be listed: %m");
        if (fd != -1) {
            (void) close(fd);
        }

        return AIQ_E_AUDIT_UNAVAILABLE;
    }

    list = NULL;
    room = 0;

    for ( ;; ) {
        errno = 0;
        de = readdir(d);

        if (de == NULL) {
            break;
        }

        seq = aiq_audit_file_first(de->d_name);

        if (seq == 0) {
            continue;
        }

        if (*n == room) {
            room = room ? room * 2 : 64;
            p = realloc(list, room * sizeof(uint64_t));

            if (p == NULL) {
                break;
            }

            list = p;
        }

        list[(*n)++] = seq;
    }

    if (errno) {
        (void) aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "audit directory cannot be listed: %m");
        (void) closedir(d);
        free(list);
        *n = 0;

        return AIQ_E_AUDIT_UNAVAILABLE;
    }

    (void) closedir(d);

    if (*n) {
        qsort(list, *n, sizeof(uint64_t), aiq_audit_file_cmp);
    }

    *first = list;

    return AIQ_OK;
}


static int
aiq_audit_file_cmp(const void *a, const void *b)
{
    const uint64_t  *x, *y;

    x = a;
    y = b;

    return (*x > *y) - (*x < *y);
}


aiq_rc_t
aiq_audit_open_at(int dir, const char *name, int flags, int *fd,
    struct stat *st, aiq_err_t *err)
{
    /* O_NONBLOCK: a FIFO put here must not stop us */

    *fd = openat(dir, name, flags|O_NOFOLLOW|O_CLOEXEC|O_NONBLOCK|O_NOCTTY);

    if (*fd == -1) {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        errno == ELOOP
                        ? "audit file %s is a symbolic link: %m"
                        : "audit file %s cannot be opened: %m", name);
    }

    if (fstat(*fd, st) != 0) {
        (void) aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "audit file %s cannot be read: %m", name);

    } else if (!S_ISREG(st->st_mode)) {
        (void) aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "audit file %s is not a regular file", name);

    } else if (st->st_mode & S_IWOTH) {
        (void) aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "audit file %s may be written to by everybody; "
                        "chmod it to 0600", name);

    } else {
        return AIQ_OK;
    }

    (void) close(*fd);
    *fd = -1;

    return AIQ_E_AUDIT_UNAVAILABLE;
}


aiq_rc_t
aiq_audit_read_at(int fd, void *buf, size_t len, uint64_t off,
    const char *name, aiq_err_t *err)
{
    ssize_t         n;
    unsigned char  *p;

    p = buf;

    while (len) {
        n = pread(fd, p, len, (off_t) off);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n == -1) {
            return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                            "audit file %s cannot be read: %m", name);
        }

        if (n == 0) {
            return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                            "audit file %s became shorter while it was read",
                            name);
        }

        p += n;
        off += (uint64_t) n;
        len -= (size_t) n;
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_audit_last_lf(int fd, uint64_t size, uint64_t *end, const char *name,
    aiq_err_t *err)
{
    size_t          n;
    unsigned char  *p, buf[AIQ_AUDIT_BLOCK];

    while (size) {
        n = (size < sizeof(buf)) ? (size_t) size : sizeof(buf);

        if (aiq_audit_read_at(fd, buf, n, size - n, name, err) != AIQ_OK) {
            return AIQ_E_AUDIT_UNAVAILABLE;
        }

        p = memrchr(buf, '\n', n);

        if (p != NULL) {
            *end = size - n + (uint64_t) (p - buf) + 1;
            return AIQ_OK;
        }

        size -= n;
    }

    *end = 0;

    return AIQ_OK;
}


aiq_rc_t
aiq_audit_hash_at(int fd, uint64_t off, uint64_t len, const char *name,
    aiq_crypto_t *c, aiq_hash_t hash, aiq_err_t *err)
{
    size_t         n;
    aiq_rc_t       rc;
    aiq_out_t      out;
    unsigned char  sink[64], buf[AIQ_AUDIT_BLOCK];

    rc = aiq_sha256_begin(c, &out, sink, sizeof(sink));

    while (rc == AIQ_OK && len) {
        n = (len < sizeof(buf)) ? (size_t) len : sizeof(buf);

        rc = aiq_audit_read_at(fd, buf, n, off, name, err);

        if (rc == AIQ_OK) {
            aiq_out_mem(&out, buf, n);
            off += n;
            len -= n;
        }
    }

    if (rc == AIQ_E_AUDIT_UNAVAILABLE) {
        return rc;
    }

    if (rc != AIQ_OK || aiq_sha256_end(c, &out, hash) != AIQ_OK) {
        return aiq_fail(err, AIQ_E_CRYPTO_FAILED, "SHA-256 failed");
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_audit_create(const char *dir, aiq_str_t origin,
    const unsigned char public_key[AIQ_KEY_LEN], int64_t now_us,
    aiq_crypto_t *c, aiq_err_t *err)
{
    int           d, fd;
    char          text[2048];
    size_t        n;
    uint64_t     *list;
    aiq_rc_t      rc;
    aiq_out_t     out;
    struct stat   st;

    rc = aiq_audit_file_origin(origin, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    aiq_out_init(&out, text, sizeof(text));

    rc = aiq_audit_file_describe(&out, origin, public_key, now_us, c, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "audit directory \"%s\" cannot be created: %m", dir);
    }

    rc = aiq_audit_dir(dir, &d, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_audit_list(d, &list, &n, err);

    if (rc == AIQ_OK) {
        free(list);

        if (n || fstatat(d, "log.json", &st, AT_SYMLINK_NOFOLLOW) == 0) {
            rc = aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                          "audit directory \"%s\" holds a log already", dir);
        }
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_publish(d, "log.json", aiq_out_done(&out), NULL, &fd,
                               &st, err);
        if (fd != -1) {
            (void) close(fd);
        }
    }

    (void) close(d);

    return rc;
}


static aiq_rc_t
aiq_audit_file_describe(aiq_out_t *out, aiq_str_t origin,
    const unsigned char public_key[AIQ_KEY_LEN], int64_t now_us,
    aiq_crypto_t *c, aiq_err_t *err)
{
    unsigned char  ts[AIQ_AUDIT_TS_LEN];

    if (aiq_ed25519_check_public(public_key) != AIQ_OK) {
        return aiq_fail(err, AIQ_E_INTERNAL, "the public key is not valid");
    }

    aiq_audit_ts_format(now_us, ts);

    aiq_out_str(out, "{\"format\":\"" AIQ_AUDIT_FORMAT "\",\"origin\":");
    aiq_out_json(out, origin);
    aiq_out_str(out, ",\"hash\":\"sha256\",\"vkeys\":[\"");

    if (aiq_audit_vkey(out, origin, public_key, c) != AIQ_OK) {
        return aiq_fail(err, AIQ_E_CRYPTO_FAILED, "SHA-256 failed");
    }

    aiq_out_str(out, "\"],\"created\":\"");
    aiq_out_mem(out, ts, sizeof(ts));
    aiq_out_str(out, "\"}\n");

    if (out->failed) {
        return aiq_fail(err, AIQ_E_INTERNAL, "log.json is too large");
    }

    return AIQ_OK;
}


/* it becomes a key name of signed notes: no blanks and no '+' in there */

static aiq_rc_t
aiq_audit_file_origin(aiq_str_t origin, aiq_err_t *err)
{
    size_t  i;

    for (i = 0; i < origin.len; i++) {

        if (origin.data[i] <= 0x20 || origin.data[i] >= 0x7f
            || strchr("+\"\\", origin.data[i]) != NULL)
        {
            break;
        }
    }

    if (origin.len == 0 || origin.len > AIQ_NAME_MAX || i < origin.len) {
        return aiq_fail(err, AIQ_E_INTERNAL,
                        "the origin of an audit log is 1 to %d visible ASCII "
                        "characters without '+', '\"' and '\\'",
                        AIQ_NAME_MAX);
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_audit_vkey(aiq_out_t *out, aiq_str_t origin,
    const unsigned char public_key[AIQ_KEY_LEN], aiq_crypto_t *c)
{
    aiq_str_t      parts[3];
    aiq_hash_t     hash;
    unsigned char  key[1 + AIQ_KEY_LEN];

    key[0] = 0x01;
    memcpy(key + 1, public_key, AIQ_KEY_LEN);

    parts[0] = origin;
    aiq_str_set(&parts[1], "\n");
    parts[2].data = key;
    parts[2].len = sizeof(key);

    if (aiq_sha256v(c, parts, 3, hash) != AIQ_OK) {
        return AIQ_E_CRYPTO_FAILED;
    }

    aiq_out_mem(out, origin.data, origin.len);
    aiq_out_char(out, '+');
    aiq_out_hex(out, hash, 4);
    aiq_out_char(out, '+');
    aiq_b64_encode(out, key, sizeof(key));

    return out->failed ? AIQ_E_INTERNAL : AIQ_OK;
}


aiq_rc_t
aiq_audit_genesis(int dir, aiq_crypto_t *c, aiq_hash_t hash, aiq_err_t *err)
{
    char            buf[AIQ_AUDIT_LOG_MAX];
    uint32_t        keys;
    aiq_rc_t        rc;
    aiq_mem_t       mem;
    aiq_str_t       origin, vkey, parts[4];
    aiq_json_t      doc;
    aiq_json_tok_t  tape[256];

    mem.pos = (unsigned char *) tape;
    mem.end = mem.pos + sizeof(tape);

    rc = aiq_audit_file_log(&doc, dir, buf, &mem, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    keys = aiq_json_get(&doc, 0, "vkeys");

    if (!aiq_json_is(&doc, aiq_json_get(&doc, 0, "format"), AIQ_AUDIT_FORMAT)
        || !aiq_json_is(&doc, aiq_json_get(&doc, 0, "hash"), "sha256")
        || aiq_json_string(&doc, aiq_json_get(&doc, 0, "origin"), &mem,
                           &origin)
           != AIQ_OK
        || aiq_json_type(&doc, keys) != AIQ_JSON_ARRAY
        || aiq_json_string(&doc, aiq_json_first(&doc, keys), &mem, &vkey)
           != AIQ_OK)
    {
        return aiq_fail(err, AIQ_DECLINED,
                        "audit file log.json does not describe a log of "
                        "format " AIQ_AUDIT_FORMAT);
    }

    rc = aiq_audit_file_vkey_ok(origin, vkey, c);

    if (rc == AIQ_DECLINED) {
        return aiq_fail(err, AIQ_DECLINED,
                        "audit file log.json: the first of vkeys is not an "
                        "Ed25519 key of the origin");
    }

    if (rc == AIQ_OK) {
        aiq_str_set(&parts[0], AIQ_AUDIT_GENESIS);
        parts[1] = origin;
        aiq_str_set(&parts[2], "\n");
        parts[3] = vkey;

        rc = aiq_sha256v(c, parts, 4, hash);
    }

    if (rc != AIQ_OK) {
        return aiq_fail(err, rc, "SHA-256 failed");
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_audit_file_log(aiq_json_t *doc, int dir, void *buf, aiq_mem_t *mem,
    aiq_err_t *err)
{
    int          fd;
    aiq_rc_t     rc;
    aiq_str_t    text;
    aiq_err_t    e;
    struct stat  st;

    rc = aiq_audit_open_at(dir, "log.json", O_RDONLY, &fd, &st, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    if (st.st_size > AIQ_AUDIT_LOG_MAX) {
        (void) close(fd);
        return aiq_fail(err, AIQ_DECLINED,
                        "audit file log.json is too large");
    }

    text.data = buf;
    text.len = (size_t) st.st_size;

    rc = aiq_audit_read_at(fd, buf, text.len, 0, "log.json", err);

    (void) close(fd);

    if (rc != AIQ_OK) {
        return rc;
    }

    e.text[0] = '\0';

    if (aiq_json_parse(doc, text, 4, mem, &e) != AIQ_OK) {
        return aiq_fail(err, AIQ_DECLINED, "audit file log.json: %.300s",
                        e.text);
    }

    return AIQ_OK;
}


/* the key id must be the one of name and key: it is what notes refer to */

static aiq_rc_t
aiq_audit_file_vkey_ok(aiq_str_t origin, aiq_str_t vkey, aiq_crypto_t *c)
{
    size_t         len;
    aiq_rc_t       rc;
    aiq_out_t      out;
    aiq_str_t      b64;
    unsigned char  key[64], text[AIQ_NAME_MAX + AIQ_AUDIT_VKEY_TAIL];

    if (origin.len == 0 || origin.len > AIQ_NAME_MAX
        || vkey.len != origin.len + AIQ_AUDIT_VKEY_TAIL)
    {
        return AIQ_DECLINED;
    }

    b64.len = 44;
    b64.data = vkey.data + vkey.len - b64.len;

    if (aiq_b64_decode(b64, key, &len) != AIQ_OK || len != 1 + AIQ_KEY_LEN) {
        return AIQ_DECLINED;
    }

    aiq_out_init(&out, text, sizeof(text));

    rc = aiq_audit_vkey(&out, origin, key + 1, c);
    if (rc != AIQ_OK) {
        return rc;
    }

    return aiq_str_eq(aiq_out_done(&out), vkey) ? AIQ_OK : AIQ_DECLINED;
}


/*
 * As the genesis has it.  Others in there are in no hash and in no signature:
 * nobody believes them.
 */

aiq_rc_t
aiq_audit_first_key(int dir, aiq_audit_keys_t *k, aiq_crypto_t *c,
    aiq_err_t *err)
{
    char            buf[AIQ_AUDIT_LOG_MAX];
    uint32_t        keys;
    aiq_rc_t        rc;
    aiq_mem_t       mem;
    aiq_str_t       origin, text;
    aiq_hash_t      hash;
    aiq_json_t      doc;
    aiq_json_tok_t  tape[256];

    k->n = 0;

    rc = aiq_audit_genesis(dir, c, hash, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    mem.pos = (unsigned char *) tape;
    mem.end = mem.pos + sizeof(tape);

    rc = aiq_audit_file_log(&doc, dir, buf, &mem, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    keys = aiq_json_get(&doc, 0, "vkeys");

    if (aiq_json_string(&doc, aiq_json_get(&doc, 0, "origin"), &mem, &origin)
        != AIQ_OK
        || aiq_json_string(&doc, aiq_json_first(&doc, keys), &mem, &text)
           != AIQ_OK
        || origin.len > sizeof(k->origin))
    {
        return aiq_fail(err, AIQ_DECLINED, "audit file log.json has changed");
    }

    rc = aiq_vkey_parse(&k->key[0], text, c, NULL);

    if (aiq_is_fault(rc)) {
        return aiq_fail(err, rc, "SHA-256 failed");
    }

    if (rc != AIQ_OK || !aiq_str_eq(k->key[0].name, origin)) {
        return aiq_fail(err, AIQ_DECLINED, "audit file log.json: the first "
                        "of vkeys is not an Ed25519 key of the origin");
    }

    memcpy(k->origin, origin.data, origin.len);

    k->key[0].name.data = k->origin;
    k->from[0] = 0;
    k->n = 1;

    return AIQ_OK;
}
