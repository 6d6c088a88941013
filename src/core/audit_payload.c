
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Files of payloads.  One for each call, in a directory for each day: what is
 * too old is deleted with its directory, and nothing else has to know.
 */


#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit_file.h"
#include "audit_payload.h"
#include "b64.h"
#include "payload.h"


#define AIQ_PAYLOAD_NAME   (AIQ_AUDIT_RID_LEN + sizeof(".req"))


static aiq_rc_t aiq_audit_payload_dir(int at, const char *name, int make,
    int *fd, int *made, aiq_err_t *err);
static aiq_rc_t aiq_audit_payload_file(int top, int day,
    const aiq_audit_payload_t *p, aiq_str_t rid, aiq_str_t file,
    unsigned flags, aiq_err_t *err);
static aiq_rc_t aiq_audit_payload_name(aiq_str_t rid,
    char name[AIQ_PAYLOAD_NAME], aiq_err_t *err);
static void aiq_audit_payload_close(int fd);


void
aiq_audit_payload_day(aiq_audit_payload_t *p, int64_t ts_us)
{
    unsigned char  ts[AIQ_AUDIT_TS_LEN];

    aiq_audit_ts_format(ts_us, ts);

    memcpy(p->day, ts, AIQ_AUDIT_DAY_LEN);
    p->day[AIQ_AUDIT_DAY_LEN] = '\0';
}


aiq_rc_t
aiq_audit_payload_write(const char *dir, const aiq_audit_payload_t *p,
    aiq_str_t rid, aiq_str_t file, unsigned flags, aiq_err_t *err)
{
    int       d, top, day, made;
    aiq_rc_t  rc;

    top = -1;
    day = -1;
    made = 0;

    rc = aiq_audit_dir(dir, &d, err);

    if (rc == AIQ_OK) {
        rc = aiq_audit_payload_dir(d, AIQ_AUDIT_PAYLOAD, 1, &top, &made, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_payload_dir(top, p->day, 1, &day, &made, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_payload_file(top, day, p, rid, file, flags, err);
    }

    /* who has made a directory may not have synced it yet */

    if (rc == AIQ_OK && (flags & AIQ_AUDIT_FSYNC)
        && (made || !(flags & AIQ_AUDIT_DAY_KNOWN))
        && (fsync(top) != 0 || fsync(d) != 0))
    {
        rc = aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                      "the directory of payloads cannot be synced: %m");
    }

    aiq_audit_payload_close(day);
    aiq_audit_payload_close(top);
    aiq_audit_payload_close(d);

    return rc;
}


static aiq_rc_t
aiq_audit_payload_file(int top, int day, const aiq_audit_payload_t *p,
    aiq_str_t rid, aiq_str_t file, unsigned flags, aiq_err_t *err)
{
    int          fd;
    char         name[AIQ_PAYLOAD_NAME], tmp[AIQ_PAYLOAD_NAME];
    aiq_rc_t     rc;
    struct stat  st, now;

    rc = aiq_audit_payload_name(rid, name, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    memcpy(tmp, name, AIQ_PAYLOAD_NAME);
    memcpy(tmp + AIQ_AUDIT_RID_LEN, ".new", sizeof(".new"));

    rc = aiq_audit_publish_as(day, name, tmp, file, NULL, flags, &fd, &st,
                              err);
    aiq_audit_payload_close(fd);

    if (rc != AIQ_OK) {
        return rc;
    }

    /* the day may have been deleted, or moved away, under our hands */

    if (fstat(day, &st) != 0
        || fstatat(top, p->day, &now, AT_SYMLINK_NOFOLLOW) != 0
        || st.st_ino != now.st_ino || st.st_dev != now.st_dev)
    {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "the directory of payloads of %s is gone", p->day);
    }

    return AIQ_OK;
}


/* opens the directory name in at; *made is set if it was not there */

static aiq_rc_t
aiq_audit_payload_dir(int at, const char *name, int make, int *fd, int *made,
    aiq_err_t *err)
{
    int          new;
    struct stat  st;

    new = 0;
    *fd = -1;

    if (make && mkdirat(at, name, 0700) == 0) {
        new = 1;
        *made = 1;

    } else if (make && errno != EEXIST) {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "the directory \"%s\" of payloads cannot be made: %m",
                        name);
    }

    *fd = openat(at, name, O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);

    if (*fd == -1 && errno == ENOENT && !make) {
        return AIQ_DECLINED;
    }

    if (*fd == -1 || fstat(*fd, &st) != 0) {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "the directory \"%s\" of payloads cannot be opened: "
                        "%m", name);
    }

    if (st.st_mode & S_IWOTH) {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "the directory \"%s\" of payloads may be written to "
                        "by everybody; chmod it to 0700", name);
    }

    if (new && aiq_audit_own(at, *fd) != 0) {
        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "the directory \"%s\" of payloads cannot be given "
                        "away: %m", name);
    }

    return AIQ_OK;
}


/* what is not an id of ours never becomes a path */

static aiq_rc_t
aiq_audit_payload_name(aiq_str_t rid, char name[AIQ_PAYLOAD_NAME],
    aiq_err_t *err)
{
    unsigned char  bytes[AIQ_AUDIT_RID_LEN / 2];

    if (rid.len != AIQ_AUDIT_RID_LEN
        || aiq_hex_decode(rid, bytes, sizeof(bytes)) != AIQ_OK)
    {
        return aiq_fail(err, AIQ_E_INTERNAL, "not the id of a request");
    }

    memcpy(name, rid.data, AIQ_AUDIT_RID_LEN);
    memcpy(name + AIQ_AUDIT_RID_LEN, ".req", sizeof(".req"));

    return AIQ_OK;
}


aiq_rc_t
aiq_audit_payload_member(const aiq_json_t *doc, aiq_audit_payload_t *p)
{
    size_t      i;
    int64_t     len;
    uint32_t    o, day, h;
    aiq_str_t   s;

    memset(p, 0, sizeof(aiq_audit_payload_t));

    o = aiq_json_get(doc, 0, "payload");

    if (o == AIQ_JSON_NONE) {
        return AIQ_DECLINED;
    }

    day = aiq_json_get(doc, o, "day");
    h = aiq_json_get(doc, o, "h");

    if (aiq_json_type(doc, day) != AIQ_JSON_STRING
        || aiq_json_type(doc, h) != AIQ_JSON_STRING
        || doc->tok[day].len != AIQ_AUDIT_DAY_LEN
        || aiq_json_int(doc, aiq_json_get(doc, o, "len"), &len) != AIQ_OK
        || len < 0)
    {
        return AIQ_D_JSON_INVALID;
    }

    memcpy(p->day, doc->text.data + doc->tok[day].pos, AIQ_AUDIT_DAY_LEN);

    for (i = 0; i < AIQ_AUDIT_DAY_LEN; i++) {

        if ((i == 4 || i == 7) ? p->day[i] != '-'
                               : p->day[i] < '0' || p->day[i] > '9')
        {
            return AIQ_D_JSON_INVALID;
        }
    }

    s.data = doc->text.data + doc->tok[h].pos;
    s.len = doc->tok[h].len;

    p->len = (uint64_t) len;

    return aiq_hex_decode(s, p->hash, AIQ_HASH_LEN) == AIQ_OK
           ? AIQ_OK : AIQ_D_JSON_INVALID;
}


aiq_rc_t
aiq_audit_payload_open(int dir, const aiq_audit_payload_t *p, aiq_str_t rid,
    int *fd, uint64_t *size, int *day, aiq_err_t *err)
{
    int          top, d;
    char         name[AIQ_PAYLOAD_NAME];
    aiq_rc_t     rc;
    struct stat  st;

    *fd = -1;
    *day = 0;

    d = -1;
    top = -1;

    rc = aiq_audit_payload_name(rid, name, err);

    if (rc == AIQ_OK) {
        rc = aiq_audit_payload_dir(dir, AIQ_AUDIT_PAYLOAD, 0, &top, NULL,
                                   err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_payload_dir(top, p->day, 0, &d, NULL, err);
    }

    if (rc == AIQ_DECLINED) {
        *day = 1;
        (void) aiq_fail(err, rc, "the payloads of %s are deleted", p->day);

    } else if (rc == AIQ_OK
               && fstatat(d, name, &st, AT_SYMLINK_NOFOLLOW) != 0
               && errno == ENOENT)
    {
        rc = aiq_fail(err, AIQ_DECLINED, "the payload %s/%s is missing",
                      p->day, name);

    } else if (rc == AIQ_OK) {
        rc = aiq_audit_open_at(d, name, O_RDONLY, fd, &st, err);
        *size = (rc == AIQ_OK) ? (uint64_t) st.st_size : 0;
    }

    aiq_audit_payload_close(d);
    aiq_audit_payload_close(top);

    return rc;
}


aiq_rc_t
aiq_audit_payload_check(int dir, const aiq_json_t *doc, aiq_crypto_t *c,
    aiq_audit_report_t *report, aiq_err_t *err)
{
    int                  fd, day;
    uint32_t             i;
    uint64_t             size;
    aiq_rc_t             rc;
    aiq_str_t            rid;
    aiq_hash_t           hash;
    aiq_audit_payload_t  p;

    rc = aiq_audit_payload_member(doc, &p);

    if (rc == AIQ_DECLINED) {
        return AIQ_OK;
    }

    if (rc != AIQ_OK) {
        return aiq_fail(err, AIQ_DECLINED, "payload of the INTENT is wrong");
    }

    i = aiq_json_get(doc, 0, "rid");

    if (aiq_json_type(doc, i) != AIQ_JSON_STRING) {
        return aiq_fail(err, AIQ_DECLINED, "rid of the INTENT is wrong");
    }

    rid.data = doc->text.data + doc->tok[i].pos;
    rid.len = doc->tok[i].len;

    rc = aiq_audit_payload_open(dir, &p, rid, &fd, &size, &day, err);

    if (rc == AIQ_DECLINED && day) {
        report->deleted++;
        return AIQ_OK;
    }

    if (rc != AIQ_OK) {
        return rc;
    }

    /* the size first: a file that was made huge is not read */

    if (size == p.len + AIQ_PAYLOAD_OVER) {
        rc = aiq_audit_hash_at(fd, 0, size, "of a payload", c, hash, err);

    } else {
        memset(hash, 0, sizeof(hash));
    }

    aiq_audit_payload_close(fd);

    if (rc == AIQ_OK && memcmp(hash, p.hash, AIQ_HASH_LEN) != 0) {
        rc = aiq_fail(err, AIQ_DECLINED,
                      "the payload %s/%.*s.req has changed", p.day,
                      (int) rid.len, rid.data);
    }

    report->payloads += (rc == AIQ_OK);

    return rc;
}


static void
aiq_audit_payload_close(int fd)
{
    if (fd != -1) {
        (void) close(fd);
    }
}
