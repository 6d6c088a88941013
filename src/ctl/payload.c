
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl audit payload: the body of a call, as it was kept encrypted
 * beside the log.
 */


#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit_checkpoint.h"
#include "audit_payload.h"
#include "audit_query.h"
#include "ctl.h"
#include "payload.h"


typedef struct {
    aiq_ctl_t            *ctl;
    uint64_t              seq;        /* that is asked for */
    unsigned              found:1;
    unsigned              none:1;     /* the record has no payload */

    /* of the INTENT */

    char                  rid[AIQ_AUDIT_RID_LEN];
    aiq_str_t             org;
    aiq_str_t             req_hash;   /* in hexadecimal */
    int64_t               epoch;
    aiq_audit_payload_t   payload;

    aiq_salt_row_t        row;        /* epoch 0: the store has none */
} aiq_ctl_payload_t;


static int aiq_ctl_payload_find(aiq_ctl_payload_t *p);
static aiq_rc_t aiq_ctl_payload_line(void *data, aiq_str_t line);
static aiq_rc_t aiq_ctl_payload_hit(void *data, const aiq_audit_hit_t *hit);
static aiq_rc_t aiq_ctl_payload_intent(aiq_ctl_payload_t *p,
    const aiq_json_t *doc);
static int aiq_ctl_payload_key(aiq_ctl_payload_t *p, aiq_str_t org);
static aiq_rc_t aiq_ctl_payload_salt(void *data, const aiq_salt_row_t *row);
static int aiq_ctl_payload_print(aiq_ctl_payload_t *p);
static int aiq_ctl_payload_read(aiq_ctl_payload_t *p, int dir,
    unsigned char **file, size_t *size);
static int aiq_ctl_payload_open(aiq_ctl_payload_t *p, aiq_str_t file);
static int aiq_ctl_payload_out(aiq_ctl_payload_t *p, aiq_str_t text);


const aiq_ctl_opt_t  aiq_ctl_audit_payload_opts[] = {

    { "org", "ORG", "whose call it was", 1, 0 },
    { "seq", "N", "number of the INTENT", 0, 0 },
    { "rid", "RID", "or the id of the request", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


int
aiq_ctl_audit_payload(aiq_ctl_t *ctl)
{
    int                 code;
    aiq_str_t           org;
    aiq_ctl_payload_t   p;

    memset(&p, 0, sizeof(aiq_ctl_payload_t));

    p.ctl = ctl;

    if ((aiq_ctl_opt(ctl, "seq") == NULL) == (aiq_ctl_opt(ctl, "rid") == NULL))
    {
        return aiq_ctl_usage(ctl, "say which call: --seq N, or --rid RID");
    }

    code = aiq_ctl_org_name(ctl, aiq_ctl_opt(ctl, "org"), &org);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_payload_find(&p);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    if (!p.found) {
        return aiq_ctl_no(ctl, AIQ_OK, "there is no INTENT of that number or "
                          "id");
    }

    if (!aiq_str_eq(p.org, org)) {
        return aiq_ctl_no(ctl, AIQ_OK, "the call is not of org \"%s\"",
                          aiq_ctl_opt(ctl, "org"));
    }

    if (p.none) {
        return aiq_ctl_no(ctl, AIQ_OK, "no payload was kept of this call");
    }

    code = aiq_ctl_payload_key(&p, org);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_payload_print(&p);
    }

    aiq_wipe(&p.row, sizeof(aiq_salt_row_t));

    return code;
}


static int
aiq_ctl_payload_find(aiq_ctl_payload_t *p)
{
    int                  code;
    int64_t              seq;
    aiq_rc_t             rc;
    aiq_ctl_t           *ctl;
    aiq_audit_asked_t    asked;
    aiq_audit_filter_t   f;

    ctl = p->ctl;

    if (aiq_ctl_opt(ctl, "seq")) {

        code = aiq_ctl_opt_int(ctl, "seq", 1, AIQ_JSON_SAFE, 0, &seq);

        if (code != AIQ_CTL_OK) {
            return code;
        }

        p->seq = (uint64_t) seq;

        rc = aiq_audit_scan_behind(ctl->arg[0], p->seq - 1,
                                   aiq_ctl_payload_line, p, &ctl->err);

    } else {
        aiq_audit_filter_init(&f);

        f.by[AIQ_AUDIT_BY_RID] = aiq_cstr(aiq_ctl_opt(ctl, "rid"));

        rc = aiq_audit_query(ctl->arg[0], &f, 0, aiq_ctl_payload_hit, p,
                             ctl->crypto, &asked, &ctl->err);
    }

    if (rc == AIQ_OK || rc == AIQ_DECLINED) {
        return AIQ_CTL_OK;
    }

    return aiq_ctl_fail(ctl, rc, ctl->arg[0]);
}


/* AIQ_DECLINED: it was the one */

static aiq_rc_t
aiq_ctl_payload_line(void *data, aiq_str_t line)
{
    aiq_ctl_payload_t *p = data;

    aiq_rc_t           rc;
    aiq_json_t         doc;
    aiq_audit_front_t  f;

    if (aiq_audit_front(&f, line) != AIQ_OK || f.seq < p->seq) {
        return AIQ_OK;
    }

    if (f.seq > p->seq || !aiq_str_is(f.type, "INTENT")) {
        return AIQ_DECLINED;
    }

    rc = aiq_json_parse(&doc, line, AIQ_AUDIT_DEPTH, &p->ctl->mem,
                        &p->ctl->err);

    if (rc != AIQ_OK) {
        return aiq_is_fault(rc) ? rc : AIQ_DECLINED;
    }

    rc = aiq_ctl_payload_intent(p, &doc);

    return (rc == AIQ_OK) ? AIQ_DECLINED : rc;
}


static aiq_rc_t
aiq_ctl_payload_hit(void *data, const aiq_audit_hit_t *hit)
{
    aiq_rc_t  rc;

    rc = aiq_ctl_payload_intent(data, &hit->i);

    return (rc == AIQ_OK) ? AIQ_DECLINED : rc;
}


static aiq_rc_t
aiq_ctl_payload_intent(aiq_ctl_payload_t *p, const aiq_json_t *doc)
{
    aiq_rc_t    rc;
    uint32_t    i;
    aiq_str_t   s;
    aiq_mem_t  *mem;

    mem = &p->ctl->mem;

    p->found = 1;
    p->none = 1;

    i = aiq_json_get(doc, 0, "org");

    if (i != AIQ_JSON_NONE
        && (aiq_json_string(doc, i, mem, &s) != AIQ_OK
            || aiq_mem_dup(mem, s, &p->org) != AIQ_OK))
    {
        return aiq_fail(&p->ctl->err, AIQ_E_AUDIT_UNAVAILABLE,
                        "the record cannot be read");
    }

    rc = aiq_audit_payload_member(doc, &p->payload);

    if (rc == AIQ_DECLINED) {
        return AIQ_OK;
    }

    i = aiq_json_get(doc, 0, "rid");

    if (rc != AIQ_OK
        || aiq_json_type(doc, i) != AIQ_JSON_STRING
        || doc->tok[i].len != AIQ_AUDIT_RID_LEN
        || aiq_json_int(doc, aiq_json_get(doc, 0, "salt"), &p->epoch)
           != AIQ_OK)
    {
        return aiq_fail(&p->ctl->err, AIQ_E_AUDIT_UNAVAILABLE,
                        "payload, rid or salt of the record is wrong");
    }

    memcpy(p->rid, doc->text.data + doc->tok[i].pos, AIQ_AUDIT_RID_LEN);

    i = aiq_json_get(doc, 0, "req_h");

    if (i != AIQ_JSON_NONE
        && (aiq_json_string(doc, i, mem, &s) != AIQ_OK
            || aiq_mem_dup(mem, s, &p->req_hash) != AIQ_OK))
    {
        return aiq_fail(&p->ctl->err, AIQ_E_AUDIT_UNAVAILABLE,
                        "the record cannot be read");
    }

    p->none = 0;

    return AIQ_OK;
}


/* also of an org that was removed */

static int
aiq_ctl_payload_key(aiq_ctl_payload_t *p, aiq_str_t org)
{
    int         code;
    aiq_rc_t    rc;
    aiq_ctl_t  *ctl;

    ctl = p->ctl;

    code = aiq_ctl_open(ctl, 0);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_salt_each(ctl->txn, org, aiq_ctl_payload_salt, p, &ctl->mem);

    aiq_store_abort(ctl->txn);
    ctl->txn = NULL;

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "salts");
    }

    if (p->row.epoch == 0 || p->row.erased) {
        return aiq_ctl_no(ctl, AIQ_OK, "salt %lld of org \"%s\" %s: the "
                          "payload cannot be read any more",
                          (long long) p->epoch, aiq_ctl_opt(ctl, "org"),
                          p->row.erased ? "is erased" : "is not in the store");
    }

    return AIQ_CTL_OK;
}


static aiq_rc_t
aiq_ctl_payload_salt(void *data, const aiq_salt_row_t *row)
{
    aiq_ctl_payload_t *p = data;

    if ((int64_t) row->epoch == p->epoch) {
        p->row = *row;
    }

    return AIQ_OK;
}


static int
aiq_ctl_payload_print(aiq_ctl_payload_t *p)
{
    int             code, dir;
    size_t          size;
    aiq_str_t       text;
    aiq_hash_t      hash;
    unsigned char  *file;

    if (aiq_audit_dir(p->ctl->arg[0], &dir, &p->ctl->err) != AIQ_OK) {
        return aiq_ctl_fail(p->ctl, AIQ_E_AUDIT_UNAVAILABLE, NULL);
    }

    code = aiq_ctl_payload_read(p, dir, &file, &size);

    (void) close(dir);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    text.data = file;
    text.len = size;

    if (aiq_sha256(p->ctl->crypto, text, hash) != AIQ_OK) {
        code = aiq_ctl_fail(p->ctl, AIQ_E_CRYPTO_FAILED, NULL);

    } else if (memcmp(hash, p->payload.hash, AIQ_HASH_LEN) != 0) {
        code = aiq_ctl_no(p->ctl, AIQ_OK, "the payload is not the one that "
                          "the record names: it has changed");

    } else {
        code = aiq_ctl_payload_open(p, text);
    }

    free(file);

    return code;
}


static int
aiq_ctl_payload_read(aiq_ctl_payload_t *p, int dir, unsigned char **file,
    size_t *size)
{
    int         fd, day;
    uint64_t    len;
    aiq_rc_t    rc;
    aiq_str_t   rid;
    aiq_ctl_t  *ctl;

    ctl = p->ctl;

    rid.data = (unsigned char *) p->rid;
    rid.len = AIQ_AUDIT_RID_LEN;

    *file = NULL;
    *size = 0;

    rc = aiq_audit_payload_open(dir, &p->payload, rid, &fd, &len, &day,
                                &ctl->err);

    if (rc == AIQ_DECLINED) {
        return aiq_ctl_no(ctl, AIQ_OK, "%s", ctl->err.text);
    }

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, NULL);
    }

    if (len > AIQ_GCM_MAX + AIQ_PAYLOAD_OVER
        || len != p->payload.len + AIQ_PAYLOAD_OVER)
    {
        (void) close(fd);
        return aiq_ctl_no(ctl, AIQ_OK, "the payload is not as long as the "
                          "record says: it has changed");
    }

    *size = (size_t) len;
    *file = malloc(*size);

    rc = (*file == NULL)
         ? aiq_fail(&ctl->err, AIQ_E_NO_MEMORY, "out of memory")
         : aiq_audit_read_at(fd, *file, *size, 0, "of a payload", &ctl->err);

    (void) close(fd);

    if (rc != AIQ_OK) {
        free(*file);
        *file = NULL;

        return aiq_ctl_fail(ctl, rc, NULL);
    }

    return AIQ_CTL_OK;
}


static int
aiq_ctl_payload_open(aiq_ctl_payload_t *p, aiq_str_t file)
{
    int             code;
    size_t          len;
    aiq_rc_t        rc;
    aiq_str_t       text;
    aiq_ctl_t      *ctl;
    aiq_payload_t   id;
    unsigned char  *buf, origin[AIQ_NAME_MAX];

    ctl = p->ctl;

    rc = aiq_audit_origin(ctl->arg[0], origin, &id.origin.len, ctl->crypto,
                          &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, ctl->arg[0]);
    }

    id.origin.data = origin;
    id.org = p->org;
    id.rid.data = (unsigned char *) p->rid;
    id.rid.len = AIQ_AUDIT_RID_LEN;
    id.kind = aiq_cstr(AIQ_PAYLOAD_REQUEST);

    buf = malloc(file.len);

    if (buf == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    rc = aiq_payload_open(ctl->crypto, &p->row.salt, &id, file, buf, &len);

    text.data = buf;
    text.len = len;

    if (rc == AIQ_OK) {
        code = aiq_ctl_payload_out(p, text);

    } else if (rc == AIQ_DECLINED) {
        code = aiq_ctl_no(ctl, AIQ_OK, "the payload was not made for this "
                          "call with this salt, or has changed");

    } else {
        code = aiq_ctl_fail(ctl, rc, NULL);
    }

    aiq_wipe(buf, file.len);
    free(buf);

    return code;
}


/* nothing is printed that is not what the record has the hash of */

static int
aiq_ctl_payload_out(aiq_ctl_payload_t *p, aiq_str_t text)
{
    aiq_rc_t     rc;
    aiq_hash_t   hash, salted;
    const char  *hex;

    rc = aiq_sha256(p->ctl->crypto, text, hash);

    if (rc == AIQ_OK) {
        rc = aiq_salted(p->ctl->crypto, &p->row.salt, AIQ_SALTED_BODY, hash,
                        salted);
    }

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(p->ctl, rc, NULL);
    }

    hex = aiq_ctl_hex(p->ctl, salted, AIQ_HASH_LEN);

    if (!aiq_str_is(p->req_hash, hex)) {
        return aiq_ctl_no(p->ctl, AIQ_OK, "the payload is not the body that "
                          "the record has the hash of");
    }

    if (isatty(STDOUT_FILENO)) {
        return aiq_ctl_document(p->ctl, text);
    }

    if (fwrite(text.data, 1, text.len, stdout) != text.len
        || fflush(stdout) != 0)
    {
        return aiq_ctl_fault(p->ctl, AIQ_OK, "standard output: %s",
                             strerror(errno));
    }

    return AIQ_CTL_OK;
}
