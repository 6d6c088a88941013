
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl org: tenants and the keys that sign their tokens.
 */


#include <string.h>

#include "ctl.h"


static int aiq_ctl_org_add(aiq_ctl_t *ctl);
static int aiq_ctl_org_list(aiq_ctl_t *ctl);
static int aiq_ctl_org_show(aiq_ctl_t *ctl);
static int aiq_ctl_org_remove(aiq_ctl_t *ctl);
static int aiq_ctl_org_rekey(aiq_ctl_t *ctl);
static int aiq_ctl_org_get(aiq_ctl_t *ctl, aiq_org_t *org);
static int aiq_ctl_org_back(aiq_ctl_t *ctl, aiq_org_t *org);
static int aiq_ctl_org_retire(aiq_ctl_t *ctl, aiq_str_t org, aiq_str_t kid,
    unsigned *n);
static int aiq_ctl_org_keys(aiq_ctl_t *ctl, aiq_str_t org, unsigned *active);
static json_t *aiq_ctl_org_json(aiq_ctl_t *ctl, const aiq_org_t *org);
static int aiq_ctl_org_issuers(aiq_ctl_t *ctl, aiq_str_t org,
    json_t *list);


static const aiq_ctl_opt_t  aiq_ctl_org_add_opts[] = {

    { "default", "permit|deny", "what no policy speaks of; default: deny",
      0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


static const aiq_ctl_opt_t  aiq_ctl_org_remove_opts[] = {

    { "force", NULL, "even if there are active API keys", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


static const aiq_ctl_opt_t  aiq_ctl_org_rekey_opts[] = {

    { "retire", NULL, "refuse tokens of the former keys from now on", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


const aiq_ctl_cmd_t  aiq_ctl_org_cmds[] = {

    { "add", "NAME", 1, 1, aiq_ctl_org_add_opts, aiq_ctl_org_add,
      "add an org and make its issuer key",
      "An org is a tenant: its users, agents, keys, servers and policies are"
      " its own. A fresh Ed25519 key that signs its intent tokens is written"
      " to DIR/keys/KID.seed. An org that was removed is brought back with"
      " the key that it had.",
      "    armoriqctl org add acme --default deny\n",
      NULL },

    { "list", "", 0, 0, NULL, aiq_ctl_org_list,
      "list the orgs",
      "Lists name, state, default verdict and signing key of every org.",
      "    armoriqctl org list --json\n",
      NULL },

    { "show", "NAME", 1, 1, NULL, aiq_ctl_org_show,
      "show one org and its issuer keys",
      "Shows the org and the public keys that its tokens are checked with.",
      "    armoriqctl org show acme\n",
      NULL },

    { "remove", "NAME", 1, 1, aiq_ctl_org_remove_opts, aiq_ctl_org_remove,
      "put an org out of action",
      "From the next request on, keys and tokens of the org are refused. Its"
      " rows are kept, because the audit log speaks of them. Refused while"
      " the org has active API keys, unless --force is given.",
      "    armoriqctl org remove acme --force\n",
      NULL },

    { "rekey", "NAME", 1, 1, aiq_ctl_org_rekey_opts, aiq_ctl_org_rekey,
      "make a new issuer key and sign with it",
      "New tokens are signed with the new key at once. Tokens of the former"
      " keys stay good until they expire; with --retire they are refused from"
      " now on, which is what you want if a seed was seen by others.",
      "    armoriqctl org rekey acme --retire\n",
      NULL },

    { "salts", "NAME", 1, 1, aiq_ctl_org_salts_opts, aiq_ctl_org_salts,
      "list the salts of hashes in the audit log",
      "Arguments, bodies and answers are in the audit log as hashes under the"
      " salt that the org had then; a record says its number. With --reveal"
      " the keys are printed, for somebody who is to search the log without"
      " the store: whoever has one can try what an argument was.",
      "    armoriqctl org salts acme\n",
      NULL },

    { "resalt", "NAME", 1, 1, NULL, aiq_ctl_org_resalt,
      "use a new salt from now on",
      "Equal arguments before and after have different hashes then. The"
      " former salts are kept, so that older records can be searched.",
      "    armoriqctl org resalt acme\n",
      NULL },

    { "forget", "NAME", 1, 1, aiq_ctl_org_forget_opts, aiq_ctl_org_forget,
      "erase salts of the audit log, for ever",
      "What was hashed with a salt that is gone cannot be told from the log"
      " any more, by anybody; the log itself is not touched and verifies as"
      " before. This cannot be undone. Backups of the store have to be"
      " deleted as well.",
      "    armoriqctl org forget acme --all\n"
      "    armoriqctl org forget acme --until 3\n",
      NULL },

    { NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }
};


static int
aiq_ctl_org_add(aiq_ctl_t *ctl)
{
    int          code, permit;
    aiq_rc_t     rc;
    aiq_str_t    name, kid;
    aiq_org_t    org;
    const char  *def;

    code = aiq_ctl_org_name(ctl, ctl->arg[0], &name);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    def = aiq_ctl_opt(ctl, "default");
    permit = (def && strcmp(def, "permit") == 0);

    if (def && !permit && strcmp(def, "deny") != 0) {
        return aiq_ctl_usage(ctl, "--default is permit or deny");
    }

    code = aiq_ctl_open(ctl, AIQ_STORE_WRITE);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_org_get(ctl->txn, name, &org, &ctl->mem);

    if (rc == AIQ_OK && org.active) {
        return aiq_ctl_no(ctl, AIQ_OK, "the org \"%s\" exists already",
                          ctl->arg[0]);
    }

    if (rc == AIQ_OK) {

        if (def) {
            org.permit = (permit != 0);
        }

        return aiq_ctl_org_back(ctl, &org);
    }

    if (rc != AIQ_DECLINED) {
        return aiq_ctl_fail(ctl, rc, "org");
    }

    code = aiq_ctl_org_make(ctl, ctl->dir, name, permit, &kid);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_commit(ctl);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    return aiq_ctl_done(ctl, "org \"%s\" added, its tokens are signed with"
                        " key \"%.*s\"", ctl->arg[0], (int) kid.len,
                        (const char *) kid.data);
}


static int
aiq_ctl_org_back(aiq_ctl_t *ctl, aiq_org_t *org)
{
    int       code;
    aiq_rc_t  rc;

    org->active = 1;

    rc = aiq_org_put(ctl->txn, org, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "org");
    }

    code = aiq_ctl_commit(ctl);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    return aiq_ctl_done(ctl, "org \"%s\" is back, with its former keys",
                        ctl->arg[0]);
}


/* the org of the first argument, active or not */

static int
aiq_ctl_org_get(aiq_ctl_t *ctl, aiq_org_t *org)
{
    int        code;
    aiq_rc_t   rc;
    aiq_str_t  name;

    code = aiq_ctl_org_name(ctl, ctl->arg[0], &name);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_org_get(ctl->txn, name, org, &ctl->mem);

    if (rc == AIQ_DECLINED) {
        return aiq_ctl_no(ctl, rc, "there is no org \"%s\"", ctl->arg[0]);
    }

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "org");
    }

    return AIQ_CTL_OK;
}


static json_t *
aiq_ctl_org_json(aiq_ctl_t *ctl, const aiq_org_t *org)
{
    json_t  *o;

    o = json_object();

    aiq_ctl_jset(ctl, o, "name", aiq_ctl_jstr(org->name));
    aiq_ctl_jset(ctl, o, "active", json_boolean(org->active));
    aiq_ctl_jset(ctl, o, "default",
                 json_string(org->permit ? "permit" : "deny"));
    aiq_ctl_jset(ctl, o, "issuer", aiq_ctl_jstr(org->issuer));
    aiq_ctl_jset(ctl, o, "created", json_integer(org->created));

    return o;
}


static int
aiq_ctl_org_list(aiq_ctl_t *ctl)
{
    int             code;
    size_t          i;
    json_t         *list, *o;
    aiq_rc_t        rc;
    aiq_org_t       org;
    aiq_str_t       none;
    aiq_ctl_ids_t   ids;

    aiq_str_null(&none);

    code = aiq_ctl_open(ctl, 0);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_ids(ctl, none, AIQ_STORE_ORG, &ids);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    list = json_array();

    for (i = 0; i < ids.n; i++) {
        rc = aiq_org_get(ctl->txn, ids.id[i], &org, &ctl->mem);

        if (rc != AIQ_OK) {
            json_decref(list);
            return aiq_ctl_fail(ctl, rc, "org");
        }

        if (ctl->json) {
            aiq_ctl_jadd(ctl, list, aiq_ctl_org_json(ctl, &org));
            continue;
        }

        printf("%-24s  %-8s  default %-6s  key %s\n",
               aiq_ctl_esc(ctl, org.name), org.active ? "active" : "removed",
               org.permit ? "permit" : "deny", aiq_ctl_esc(ctl, org.issuer));
    }

    if (!ctl->json) {
        json_decref(list);
        return AIQ_CTL_OK;
    }

    o = json_object();

    aiq_ctl_jset(ctl, o, "orgs", list);

    return aiq_ctl_jprint(ctl, o);
}


static int
aiq_ctl_org_issuers(aiq_ctl_t *ctl, aiq_str_t org, json_t *list)
{
    int             code;
    size_t          i;
    json_t         *o;
    aiq_rc_t        rc;
    const char     *hex;
    aiq_issuer_t    issuer;
    aiq_ctl_ids_t   ids;

    code = aiq_ctl_ids(ctl, org, AIQ_STORE_ISSUER, &ids);

    for (i = 0; code == AIQ_CTL_OK && i < ids.n; i++) {
        rc = aiq_issuer_get(ctl->txn, org, ids.id[i], &issuer, &ctl->mem);

        if (rc != AIQ_OK) {
            return aiq_ctl_fail(ctl, rc, "issuer");
        }

        hex = aiq_ctl_hex(ctl, issuer.public_key, AIQ_KEY_LEN);

        if (!ctl->json) {
            printf("issuer   %s  %s  %s  since %s\n",
                   aiq_ctl_esc(ctl, issuer.kid), hex,
                   issuer.active ? "active" : "retired",
                   aiq_ctl_time(ctl, issuer.created, "ever"));
            continue;
        }

        o = json_object();

        aiq_ctl_jset(ctl, o, "kid", aiq_ctl_jstr(issuer.kid));
        aiq_ctl_jset(ctl, o, "public_key", json_string(hex));
        aiq_ctl_jset(ctl, o, "active", json_boolean(issuer.active));
        aiq_ctl_jset(ctl, o, "created", json_integer(issuer.created));
        aiq_ctl_jadd(ctl, list, o);
    }

    return code;
}


static int
aiq_ctl_org_show(aiq_ctl_t *ctl)
{
    int         code;
    json_t     *list, *o;
    aiq_org_t   org;

    code = aiq_ctl_open(ctl, 0);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_org_get(ctl, &org);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    if (!ctl->json) {
        printf("org      %s\nstate    %s\ndefault  %s\nsigns    %s\n"
               "created  %s\n", aiq_ctl_esc(ctl, org.name),
               org.active ? "active" : "removed",
               org.permit ? "permit" : "deny", aiq_ctl_esc(ctl, org.issuer),
               aiq_ctl_time(ctl, org.created, "ever"));
    }

    list = json_array();

    code = aiq_ctl_org_issuers(ctl, org.name, list);

    if (code != AIQ_CTL_OK || !ctl->json) {
        json_decref(list);
        return code;
    }

    o = aiq_ctl_org_json(ctl, &org);

    aiq_ctl_jset(ctl, o, "issuers", list);

    return aiq_ctl_jprint(ctl, o);
}


static int
aiq_ctl_org_keys(aiq_ctl_t *ctl, aiq_str_t org, unsigned *active)
{
    int            code;
    size_t         i;
    aiq_rc_t       rc;
    aiq_apikey_t   key;
    aiq_ctl_ids_t  ids;

    *active = 0;

    code = aiq_ctl_ids(ctl, org, AIQ_STORE_KEY, &ids);

    for (i = 0; code == AIQ_CTL_OK && i < ids.n; i++) {
        rc = aiq_apikey_get(ctl->txn, org, ids.id[i], &key, &ctl->mem);

        if (rc != AIQ_OK) {
            return aiq_ctl_fail(ctl, rc, "key");
        }

        if (key.active && (key.expires == 0 || key.expires > ctl->now)) {
            (*active)++;
        }
    }

    return code;
}


static int
aiq_ctl_org_remove(aiq_ctl_t *ctl)
{
    int        code;
    unsigned   active;
    aiq_rc_t   rc;
    aiq_org_t  org;

    code = aiq_ctl_open(ctl, AIQ_STORE_WRITE);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_org_get(ctl, &org);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_org_keys(ctl, org.name, &active);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    if (!org.active) {
        return aiq_ctl_no(ctl, AIQ_OK, "the org \"%s\" was removed before",
                          ctl->arg[0]);
    }

    if (active && aiq_ctl_opt(ctl, "force") == NULL) {
        return aiq_ctl_no(ctl, AIQ_OK, "the org \"%s\" has %u active API"
                          " key%s: remove them first, or use --force",
                          ctl->arg[0], active, active == 1 ? "" : "s");
    }

    org.active = 0;

    rc = aiq_org_put(ctl->txn, &org, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "org");
    }

    code = aiq_ctl_commit(ctl);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    return aiq_ctl_done(ctl, "org \"%s\" removed", ctl->arg[0]);
}


static int
aiq_ctl_org_retire(aiq_ctl_t *ctl, aiq_str_t org, aiq_str_t kid, unsigned *n)
{
    int            code;
    size_t         i;
    aiq_rc_t       rc;
    aiq_issuer_t   issuer;
    aiq_ctl_ids_t  ids;

    *n = 0;

    code = aiq_ctl_ids(ctl, org, AIQ_STORE_ISSUER, &ids);

    for (i = 0; code == AIQ_CTL_OK && i < ids.n; i++) {

        if (aiq_str_eq(ids.id[i], kid)) {
            continue;
        }

        rc = aiq_issuer_get(ctl->txn, org, ids.id[i], &issuer, &ctl->mem);

        if (rc == AIQ_OK && !issuer.active) {
            continue;
        }

        if (rc == AIQ_OK) {
            issuer.active = 0;
            (*n)++;

            rc = aiq_issuer_put(ctl->txn, org, &issuer, &ctl->err);
        }

        if (rc != AIQ_OK) {
            return aiq_ctl_fail(ctl, rc, "issuer");
        }
    }

    return code;
}


static int
aiq_ctl_org_rekey(aiq_ctl_t *ctl)
{
    int         code;
    unsigned    n;
    aiq_rc_t    rc;
    aiq_str_t   name, kid;
    aiq_org_t   org;

    n = 0;

    code = aiq_ctl_open(ctl, AIQ_STORE_WRITE);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_org_get(ctl, &org);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    /* rows in the map move when something is written */

    rc = aiq_mem_dup(&ctl->mem, org.name, &name);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, NULL);
    }

    org.name = name;

    code = aiq_ctl_issuer_make(ctl, ctl->dir, name, &kid);

    if (code == AIQ_CTL_OK && aiq_ctl_opt(ctl, "retire")) {
        code = aiq_ctl_org_retire(ctl, name, kid, &n);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    org.issuer = kid;

    rc = aiq_org_put(ctl->txn, &org, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "org");
    }

    code = aiq_ctl_commit(ctl);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    return aiq_ctl_done(ctl, "org \"%s\" signs with key \"%.*s\" now, %u former"
                        " key%s retired", ctl->arg[0], (int) kid.len,
                        (const char *) kid.data, n, n == 1 ? "" : "s");
}
