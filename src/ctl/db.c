
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The store, as the commands use it.
 */


#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl.h"


#define AIQ_CTL_KID_LEN  10        /* "k-" and 8 hexadecimal digits */


static aiq_rc_t aiq_ctl_db_id(void *data, aiq_str_t id, aiq_str_t value);


int
aiq_ctl_open(aiq_ctl_t *ctl, unsigned flags)
{
    int  code;

    code = aiq_ctl_open_store(ctl, ctl->dir, flags);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    return aiq_ctl_begin(ctl, flags);
}


int
aiq_ctl_open_store(aiq_ctl_t *ctl, const char *dir, unsigned flags)
{
    aiq_rc_t  rc;

    ctl->err.text[0] = '\0';

    rc = aiq_store_open(&ctl->store, dir, flags, &ctl->err);

    if (rc == AIQ_OK) {
        return AIQ_CTL_OK;
    }

    ctl->store = NULL;

    /* "not found" would be an answer about what is in it */

    return aiq_ctl_fault(ctl, aiq_is_fault(rc) ? rc : AIQ_E_STORE_UNAVAILABLE,
                         "%s", ctl->err.text[0] ? ctl->err.text
                         : "there is no store");
}


int
aiq_ctl_begin(aiq_ctl_t *ctl, unsigned flags)
{
    aiq_rc_t  rc;

    if (flags & AIQ_STORE_WRITE) {

        /* dead readers keep pages from being used again */

        aiq_store_reap(ctl->store);

        rc = aiq_store_write(ctl->store, &ctl->txn, ctl->crypto, &ctl->err);

    } else {
        rc = aiq_store_read(ctl->store, &ctl->txn, ctl->crypto, &ctl->err);
    }

    if (rc != AIQ_OK) {
        ctl->txn = NULL;
        return aiq_ctl_fail(ctl, rc, ctl->dir);
    }

    return AIQ_CTL_OK;
}


int
aiq_ctl_commit(aiq_ctl_t *ctl)
{
    int       code;
    aiq_rc_t  rc;

    code = aiq_ctl_salt_missing(ctl);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_store_commit(ctl->txn, &ctl->err);

    ctl->txn = NULL;

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, ctl->dir);
    }

    ctl->undo = NULL;

    return AIQ_CTL_OK;
}


int
aiq_ctl_org_name(aiq_ctl_t *ctl, const char *value, aiq_str_t *name)
{
    *name = aiq_cstr(value);

    if (!aiq_name_ok(*name) || name->len > AIQ_STORE_ORG_MAX) {
        return aiq_ctl_usage(ctl, "the name of an org must be 1 to %d bytes of"
                             " UTF-8 without controls", AIQ_STORE_ORG_MAX);
    }

    return AIQ_CTL_OK;
}


int
aiq_ctl_org(aiq_ctl_t *ctl, aiq_org_t *org)
{
    int         code;
    aiq_rc_t    rc;
    aiq_str_t   name;

    code = aiq_ctl_org_name(ctl, aiq_ctl_opt(ctl, "org"), &name);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_org_get(ctl->txn, name, org, &ctl->mem);

    if (rc == AIQ_DECLINED) {
        return aiq_ctl_no(ctl, rc, "there is no org \"%s\", see armoriqctl"
                          " org list", aiq_ctl_opt(ctl, "org"));
    }

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "org");
    }

    if (!org->active) {
        return aiq_ctl_no(ctl, AIQ_OK, "the org \"%s\" was removed, armoriqctl"
                          " org add brings it back", aiq_ctl_opt(ctl, "org"));
    }

    return AIQ_CTL_OK;
}


static aiq_rc_t
aiq_ctl_db_id(void *data, aiq_str_t id, aiq_str_t value)
{
    aiq_ctl_ids_t *ids = data;

    size_t      size;
    aiq_str_t  *p;

    if (ids->n == ids->size) {
        size = ids->size ? ids->size * 2 : 64;

        p = aiq_mem_alloc(&ids->ctl->mem, size * sizeof(aiq_str_t));
        if (p == NULL) {
            return AIQ_E_NO_MEMORY;
        }

        if (ids->n) {
            memcpy(p, ids->id, ids->n * sizeof(aiq_str_t));
        }

        ids->id = p;
        ids->size = size;
    }

    return aiq_mem_dup(&ids->ctl->mem, id, &ids->id[ids->n++]);
}


int
aiq_ctl_ids(aiq_ctl_t *ctl, aiq_str_t org, aiq_store_kind_e kind,
    aiq_ctl_ids_t *ids)
{
    aiq_rc_t  rc;

    memset(ids, 0, sizeof(aiq_ctl_ids_t));

    ids->ctl = ctl;

    rc = aiq_store_each(ctl->txn, org, kind, aiq_ctl_db_id, ids);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, ctl->dir);
    }

    return AIQ_CTL_OK;
}


int
aiq_ctl_seed_write(aiq_ctl_t *ctl, const char *dir, aiq_str_t kid,
    const unsigned char seed[AIQ_KEY_LEN])
{
    char         *keys, *name, *path;
    aiq_rc_t      rc;
    struct stat   st;

    rc = aiq_store_seed_write(dir, kid, seed, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "seed");
    }

    keys = aiq_ctl_path(ctl, dir, "keys");
    name = aiq_mem_alloc(&ctl->mem, kid.len + sizeof(".seed"));

    if (keys == NULL || name == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    (void) snprintf(name, kid.len + sizeof(".seed"), "%.*s.seed",
                    (int) kid.len, (const char *) kid.data);

    path = aiq_ctl_path(ctl, keys, name);

    if (path == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    ctl->undo = path;

    if (geteuid() == 0
        && (stat(keys, &st) != 0 || lchown(path, st.st_uid, st.st_gid) != 0))
    {
        return aiq_ctl_fault(ctl, AIQ_E_STORE_UNAVAILABLE,
                             "cannot give \"%s\" to the owner of the store:"
                             " %s", path, strerror(errno));
    }

    return AIQ_CTL_OK;
}


int
aiq_ctl_issuer_make(aiq_ctl_t *ctl, const char *dir, aiq_str_t org,
    aiq_str_t *kid)
{
    int             code;
    char           *name;
    aiq_rc_t        rc;
    aiq_out_t       out;
    aiq_issuer_t    issuer, other;
    unsigned char   id[4], seed[AIQ_KEY_LEN];

    memset(&issuer, 0, sizeof(aiq_issuer_t));

    name = aiq_mem_alloc(&ctl->mem, AIQ_CTL_KID_LEN);

    if (name == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    rc = aiq_random(seed, sizeof(seed));

    if (rc == AIQ_OK) {
        rc = aiq_random(id, sizeof(id));
    }

    if (rc == AIQ_OK) {
        rc = aiq_ed25519_public(ctl->crypto, seed, issuer.public_key);
    }

    if (rc != AIQ_OK) {
        aiq_wipe(seed, sizeof(seed));
        return aiq_ctl_fail(ctl, rc, "issuer key");
    }

    aiq_out_init(&out, name, AIQ_CTL_KID_LEN);
    aiq_out_str(&out, "k-");
    aiq_out_hex(&out, id, sizeof(id));

    issuer.kid = aiq_out_done(&out);
    issuer.active = 1;
    issuer.created = ctl->now;

    /* one in 2^32, but then a key would be replaced */

    rc = aiq_issuer_get(ctl->txn, org, issuer.kid, &other, &ctl->mem);

    if (rc != AIQ_DECLINED) {
        aiq_wipe(seed, sizeof(seed));
        return aiq_ctl_fail(ctl, rc == AIQ_OK ? AIQ_E_INTERNAL : rc,
                            "issuer key");
    }

    code = aiq_ctl_seed_write(ctl, dir, issuer.kid, seed);

    aiq_wipe(seed, sizeof(seed));

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_issuer_put(ctl->txn, org, &issuer, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "issuer key");
    }

    *kid = issuer.kid;

    return AIQ_CTL_OK;
}


int
aiq_ctl_org_make(aiq_ctl_t *ctl, const char *dir, aiq_str_t name, int permit,
    aiq_str_t *kid)
{
    int         code;
    aiq_rc_t    rc;
    aiq_org_t   org;

    code = aiq_ctl_issuer_make(ctl, dir, name, kid);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    memset(&org, 0, sizeof(aiq_org_t));

    org.name = name;
    org.permit = (permit != 0);
    org.active = 1;
    org.issuer = *kid;
    org.created = ctl->now;

    rc = aiq_org_put(ctl->txn, &org, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "org");
    }

    return AIQ_CTL_OK;
}
