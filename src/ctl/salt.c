
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl org salts, resalt, forget: the keys under which the audit log
 * has hashes of arguments, bodies and answers.
 */


#include <string.h>

#include "ctl.h"


typedef struct {
    aiq_ctl_t          *ctl;
    json_t             *list;
    unsigned            reveal;
} aiq_ctl_salt_show_t;

typedef struct {
    aiq_salt_row_t      row[AIQ_CTL_SALTS];
    unsigned            n;
    uint32_t            until;
    int64_t             now;
} aiq_ctl_salt_old_t;


static int aiq_ctl_salt_org(aiq_ctl_t *ctl, unsigned flags, aiq_str_t *name);
static aiq_rc_t aiq_ctl_salt_row(void *data, const aiq_salt_row_t *row);
static aiq_rc_t aiq_ctl_salt_collect(void *data, const aiq_salt_row_t *row);
static int aiq_ctl_salt_until(aiq_ctl_t *ctl, aiq_str_t org,
    uint32_t *newest, uint32_t *until);
static int aiq_ctl_salt_erase(aiq_ctl_t *ctl, aiq_str_t org, uint32_t until,
    unsigned *n);


const aiq_ctl_opt_t  aiq_ctl_org_salts_opts[] = {

    { "reveal", NULL, "print the keys", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


const aiq_ctl_opt_t  aiq_ctl_org_forget_opts[] = {

    { "all", NULL, "every salt of the org; it gets a new one", 0, 0 },
    { "until", "N", "those up to number N, which is not the newest", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


/* the name is copied: rows move when something is written */

static int
aiq_ctl_salt_org(aiq_ctl_t *ctl, unsigned flags, aiq_str_t *name)
{
    int        code;
    aiq_rc_t   rc;
    aiq_org_t  org;

    code = aiq_ctl_org_name(ctl, ctl->arg[0], name);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_open(ctl, flags);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_org_get(ctl->txn, *name, &org, &ctl->mem);

    if (rc == AIQ_DECLINED) {
        return aiq_ctl_no(ctl, rc, "there is no org \"%s\"", ctl->arg[0]);
    }

    return (rc == AIQ_OK) ? AIQ_CTL_OK : aiq_ctl_fail(ctl, rc, "org");
}


int
aiq_ctl_org_salts(aiq_ctl_t *ctl)
{
    int                   code;
    json_t               *o;
    aiq_rc_t              rc;
    aiq_str_t             name;
    aiq_ctl_salt_show_t   show;

    code = aiq_ctl_salt_org(ctl, 0, &name);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    show.ctl = ctl;
    show.list = json_array();
    show.reveal = (aiq_ctl_opt(ctl, "reveal") != NULL);

    rc = aiq_salt_each(ctl->txn, name, aiq_ctl_salt_row, &show, &ctl->mem);

    if (rc != AIQ_OK || !ctl->json) {
        json_decref(show.list);

        return (rc == AIQ_OK) ? AIQ_CTL_OK : aiq_ctl_fail(ctl, rc, "salts");
    }

    o = json_object();

    aiq_ctl_jset(ctl, o, "org", aiq_ctl_jstr(name));
    aiq_ctl_jset(ctl, o, "salts", show.list);

    return aiq_ctl_jprint(ctl, o);
}


static aiq_rc_t
aiq_ctl_salt_row(void *data, const aiq_salt_row_t *row)
{
    aiq_ctl_salt_show_t *show = data;

    json_t      *o;
    aiq_ctl_t   *ctl;
    const char  *key;

    ctl = show->ctl;
    key = (show->reveal && !row->erased)
          ? aiq_ctl_hex(ctl, row->salt.key, AIQ_KEY_LEN) : NULL;

    if (!ctl->json) {
        printf("%-6u  since %s  %s%s\n", row->epoch,
               aiq_ctl_time(ctl, row->created, "ever"),
               row->erased ? "erased " : "there",
               row->erased ? aiq_ctl_time(ctl, row->erased, "") : "");

        if (key) {
            printf("        %s\n", key);
        }

        return AIQ_OK;
    }

    o = json_object();

    aiq_ctl_jset(ctl, o, "salt", json_integer((json_int_t) row->epoch));
    aiq_ctl_jset(ctl, o, "created", json_integer(row->created));

    if (row->erased) {
        aiq_ctl_jset(ctl, o, "erased", json_integer(row->erased));
    }

    if (key) {
        aiq_ctl_jset(ctl, o, "key", json_string(key));
    }

    aiq_ctl_jadd(ctl, show->list, o);

    return AIQ_OK;
}


int
aiq_ctl_org_resalt(aiq_ctl_t *ctl)
{
    int             code;
    uint32_t        epoch;
    aiq_rc_t        rc;
    aiq_str_t       name;
    aiq_salt_row_t  row;

    code = aiq_ctl_salt_org(ctl, AIQ_STORE_WRITE, &name);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_salt_newest(ctl->txn, name, &row, &ctl->mem);

    epoch = row.epoch + 1;
    aiq_wipe(&row, sizeof(aiq_salt_row_t));

    if (rc == AIQ_OK || rc == AIQ_DECLINED) {
        rc = aiq_salt_make(ctl->txn, name, epoch, ctl->now, &ctl->err);
    }

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "salt");
    }

    code = aiq_ctl_commit(ctl);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    return aiq_ctl_done(ctl, "org \"%s\" has salt %u now; with the former ones"
                        " its older records can still be searched",
                        ctl->arg[0], epoch);
}


int
aiq_ctl_org_forget(aiq_ctl_t *ctl)
{
    int         code;
    unsigned    n;
    uint32_t    newest, until;
    aiq_rc_t    rc;
    aiq_str_t   name;

    if ((aiq_ctl_opt(ctl, "all") == NULL)
        == (aiq_ctl_opt(ctl, "until") == NULL))
    {
        return aiq_ctl_usage(ctl, "say which salts: --all, or --until N");
    }

    code = aiq_ctl_salt_org(ctl, AIQ_STORE_WRITE, &name);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_salt_until(ctl, name, &newest, &until);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_salt_erase(ctl, name, until, &n);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    if (until == newest) {
        rc = aiq_salt_make(ctl->txn, name, newest + 1, ctl->now, &ctl->err);

        if (rc != AIQ_OK) {
            return aiq_ctl_fail(ctl, rc, "salt");
        }
    }

    code = aiq_ctl_commit(ctl);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    code = aiq_ctl_done(ctl, "org \"%s\": %u salt%s erased, what was hashed"
                        " with %s cannot be told any more", ctl->arg[0], n,
                        n == 1 ? "" : "s", n == 1 ? "it" : "them");

    aiq_ctl_note("backups of the store, and pages of data.mdb that have not"
                 " been used again, may still hold %s: see armoriqctl.md",
                 n == 1 ? "it" : "them");

    return code;
}


/* up to which number; the newest one only together with all */

static int
aiq_ctl_salt_until(aiq_ctl_t *ctl, aiq_str_t org, uint32_t *newest,
    uint32_t *until)
{
    int             code;
    int64_t         n;
    aiq_rc_t        rc;
    aiq_salt_row_t  row;

    *until = 0;

    rc = aiq_salt_newest(ctl->txn, org, &row, &ctl->mem);

    *newest = row.epoch;
    aiq_wipe(&row, sizeof(aiq_salt_row_t));

    if (rc == AIQ_DECLINED) {
        return aiq_ctl_no(ctl, AIQ_OK, "the org \"%s\" has no salt",
                          ctl->arg[0]);
    }

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "salts");
    }

    code = aiq_ctl_opt_int(ctl, "until", 1, AIQ_SALT_MAX, *newest, &n);

    if (code == AIQ_CTL_OK && aiq_ctl_opt(ctl, "until")
        && n >= (int64_t) *newest)
    {
        return aiq_ctl_usage(ctl, "salt %u is in use: run armoriqctl org"
                             " resalt first, or say --all", *newest);
    }

    *until = (uint32_t) n;

    return code;
}


static int
aiq_ctl_salt_erase(aiq_ctl_t *ctl, aiq_str_t org, uint32_t until, unsigned *n)
{
    unsigned             i;
    aiq_rc_t             rc;
    aiq_ctl_salt_old_t   old;

    *n = 0;
    old.until = until;
    old.now = ctl->now;

    /* a few at a time: the walk must not write */

    do {
        old.n = 0;

        rc = aiq_salt_each(ctl->txn, org, aiq_ctl_salt_collect, &old,
                           &ctl->mem);

        if (rc == AIQ_DECLINED) {
            rc = AIQ_OK;
        }

        for (i = 0; i < old.n && rc == AIQ_OK; i++) {
            rc = aiq_salt_put(ctl->txn, org, &old.row[i], &ctl->err);
            (*n)++;
        }

    } while (rc == AIQ_OK && old.n == AIQ_CTL_SALTS);

    aiq_wipe(&old, sizeof(aiq_ctl_salt_old_t));

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "salts");
    }

    if (*n == 0) {
        return aiq_ctl_no(ctl, AIQ_OK, "the org \"%s\" has none of these",
                          ctl->arg[0]);
    }

    return AIQ_CTL_OK;
}


static aiq_rc_t
aiq_ctl_salt_collect(void *data, const aiq_salt_row_t *row)
{
    aiq_ctl_salt_old_t *old = data;

    aiq_salt_row_t  *p;

    if (row->erased || row->epoch > old->until) {
        return AIQ_OK;
    }

    if (old->n == AIQ_CTL_SALTS) {
        return AIQ_DECLINED;
    }

    p = &old->row[old->n++];

    memset(p, 0, sizeof(aiq_salt_row_t));

    p->epoch = row->epoch;
    p->created = row->created;
    p->erased = old->now;

    return AIQ_OK;
}


/* stores of former versions have orgs without one */

int
aiq_ctl_salt_missing(aiq_ctl_t *ctl)
{
    int             code;
    size_t          i;
    aiq_rc_t        rc;
    aiq_str_t       none;
    aiq_ctl_ids_t   ids;
    aiq_salt_row_t  row;

    aiq_str_null(&none);

    code = aiq_ctl_ids(ctl, none, AIQ_STORE_ORG, &ids);

    for (i = 0; code == AIQ_CTL_OK && i < ids.n; i++) {

        rc = aiq_salt_newest(ctl->txn, ids.id[i], &row, &ctl->mem);

        aiq_wipe(&row, sizeof(aiq_salt_row_t));

        if (rc == AIQ_DECLINED) {
            rc = aiq_salt_make(ctl->txn, ids.id[i], 1, ctl->now, &ctl->err);

            if (rc != AIQ_OK) {
                return aiq_ctl_fail(ctl, rc, "salt");
            }

        } else if (rc != AIQ_OK) {

            /* nobody must be kept from revoking a key by that */

            aiq_ctl_note("the salts of org \"%.*s\" cannot be read; run "
                         "\"armoriqctl doctor\"", (int) ids.id[i].len,
                         ids.id[i].data);
        }
    }

    return code;
}
