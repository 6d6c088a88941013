
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl audit match: was this asked for, or answered?  Whoever knows an
 * argument and has the salts of the org finds the records that hold its hash.
 */


#include <string.h>

#include "audit.h"
#include "ctl.h"


#define AIQ_CTL_MATCH_FORMS  3         /* of the same arguments */


typedef struct {
    aiq_ctl_t      *ctl;
    const char     *member;            /* "args_h" */
    aiq_salted_e    what;
    aiq_hash_t      hash[AIQ_CTL_MATCH_FORMS];      /* not salted */
    unsigned        nhash;
    aiq_str_t      *hex;               /* and under each salt */
    size_t          nhex;
    size_t          size;
    uint64_t        found;
} aiq_ctl_match_t;


static int aiq_ctl_match_read(aiq_ctl_match_t *m);
static int aiq_ctl_match_args(aiq_ctl_match_t *m);
static aiq_rc_t aiq_ctl_match_salt(void *data, const aiq_salt_row_t *row);
static aiq_rc_t aiq_ctl_match_line(void *data, aiq_str_t line);


const aiq_ctl_opt_t  aiq_ctl_audit_match_opts[] = {

    { "org", "ORG", "whose calls", 1, 0 },
    { "body", NULL, "a request body, byte for byte", 0, 0 },
    { "result", NULL, "an answer, byte for byte", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


int
aiq_ctl_audit_match(aiq_ctl_t *ctl)
{
    int              code;
    aiq_rc_t         rc;
    aiq_org_t        org;
    aiq_str_t        name;
    aiq_ctl_match_t  m;

    memset(&m, 0, sizeof(aiq_ctl_match_t));

    m.ctl = ctl;

    if (aiq_ctl_opt(ctl, "body") && aiq_ctl_opt(ctl, "result")) {
        return aiq_ctl_usage(ctl, "--body or --result, not both");
    }

    code = aiq_ctl_org_name(ctl, aiq_ctl_opt(ctl, "org"), &name);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_match_read(&m);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_open(ctl, 0);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    /* also of one that was removed */

    rc = aiq_org_get(ctl->txn, name, &org, &ctl->mem);

    if (rc == AIQ_OK) {
        rc = aiq_salt_each(ctl->txn, name, aiq_ctl_match_salt, &m,
                           &ctl->mem);
    }

    aiq_store_abort(ctl->txn);
    ctl->txn = NULL;

    if (rc == AIQ_DECLINED) {
        return aiq_ctl_no(ctl, rc, "there is no org \"%s\"",
                          aiq_ctl_opt(ctl, "org"));
    }

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "salts");
    }

    if (m.nhex == 0) {
        return aiq_ctl_no(ctl, AIQ_OK, "the org \"%s\" has no salt",
                          aiq_ctl_opt(ctl, "org"));
    }

    rc = aiq_audit_scan(ctl->arg[0], 0, aiq_ctl_match_line, &m, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, ctl->arg[0]);
    }

    return m.found ? AIQ_CTL_OK : AIQ_CTL_NO;
}


static int
aiq_ctl_match_read(aiq_ctl_match_t *m)
{
    int        code;
    aiq_rc_t   rc;
    aiq_str_t  text;

    if (aiq_ctl_opt(m->ctl, "body") == NULL
        && aiq_ctl_opt(m->ctl, "result") == NULL)
    {
        return aiq_ctl_match_args(m);
    }

    if (aiq_ctl_opt(m->ctl, "body")) {
        m->what = AIQ_SALTED_BODY;
        m->member = "\"req_h\":\"";

    } else {
        m->what = AIQ_SALTED_RESULT;
        m->member = "\"res_h\":\"";
    }

    code = aiq_ctl_read(m->ctl, "-", AIQ_CTL_DOC_MAX, 0, &text);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_sha256(m->ctl->crypto, text, m->hash[m->nhash++]);

    return (rc == AIQ_OK) ? AIQ_CTL_OK : aiq_ctl_fail(m->ctl, rc, NULL);
}


/* what members are left out depends on how the call was made */

static int
aiq_ctl_match_args(aiq_ctl_match_t *m)
{
    int         code, form;
    aiq_rc_t    rc;
    aiq_args_t  args;
    aiq_json_t  doc;

    static const int  forms[AIQ_CTL_MATCH_FORMS] = {
        AIQ_ARGS_RAW, AIQ_ARGS_SDK, AIQ_ARGS_PARAMS
    };

    m->what = AIQ_SALTED_ARGS;
    m->member = "\"args_h\":\"";

    code = aiq_ctl_read_json(m->ctl, "-", AIQ_CTL_DOC_MAX, 0, &doc);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    for (form = 0; form < AIQ_CTL_MATCH_FORMS; form++) {

        rc = aiq_args_hash(&args, &doc, 0, forms[form], m->ctl->crypto);

        if (aiq_is_denied(rc)) {
            return aiq_ctl_no(m->ctl, rc, "arguments are a JSON object");
        }

        if (rc != AIQ_OK) {
            return aiq_ctl_fail(m->ctl, rc, NULL);
        }

        /* mostly they are the same */

        if (m->nhash == 0
            || memcmp(m->hash[m->nhash - 1], args.full, AIQ_HASH_LEN) != 0)
        {
            memcpy(m->hash[m->nhash++], args.full, AIQ_HASH_LEN);
        }
    }

    return AIQ_CTL_OK;
}


static aiq_rc_t
aiq_ctl_match_salt(void *data, const aiq_salt_row_t *row)
{
    aiq_ctl_match_t *m = data;

    unsigned     i;
    aiq_rc_t     rc;
    aiq_str_t   *p;
    aiq_hash_t   salted;

    if (row->erased) {
        return AIQ_OK;
    }

    if (m->nhex + m->nhash > m->size) {

        m->size = 2 * m->size + AIQ_CTL_MATCH_FORMS;

        p = aiq_mem_alloc(&m->ctl->mem, m->size * sizeof(aiq_str_t));
        if (p == NULL) {
            return AIQ_E_NO_MEMORY;
        }

        if (m->nhex) {
            memcpy(p, m->hex, m->nhex * sizeof(aiq_str_t));
        }

        m->hex = p;
    }

    for (i = 0; i < m->nhash; i++) {

        rc = aiq_salted(m->ctl->crypto, &row->salt, m->what, m->hash[i],
                        salted);

        if (rc != AIQ_OK) {
            return rc;
        }

        m->hex[m->nhex++] = aiq_cstr(aiq_ctl_hex(m->ctl, salted,
                                                 AIQ_HASH_LEN));
    }

    return AIQ_OK;
}


/* a hash is that of one org: no other member has to be looked at */

static aiq_rc_t
aiq_ctl_match_line(void *data, aiq_str_t line)
{
    aiq_ctl_match_t *m = data;

    size_t                i, len;
    const unsigned char  *p, *last;

    len = strlen(m->member);
    last = line.data + line.len;

    p = memmem(line.data, line.len, m->member, len);

    if (p == NULL || (size_t) (last - p) < len + 2 * AIQ_HASH_LEN) {
        return AIQ_OK;
    }

    for (i = 0; i < m->nhex; i++) {

        if (memcmp(p + len, m->hex[i].data, 2 * AIQ_HASH_LEN) == 0) {
            m->found++;
            aiq_ctl_tail_line(m->ctl, line);
            break;
        }
    }

    return AIQ_OK;
}
