
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl key: API keys.  The secret leaves this process once, when it is
 * made; the store has its SHA-256.
 */


#include <string.h>

#include "ctl.h"


#define AIQ_CTL_KEY_EXPIRES  ((int64_t) 20 * 366 * 86400)


static int aiq_ctl_key_add(aiq_ctl_t *ctl);
static int aiq_ctl_key_made(aiq_ctl_t *ctl, const aiq_apikey_t *key,
    const char *secret);
static int aiq_ctl_key_list(aiq_ctl_t *ctl);
static int aiq_ctl_key_show(aiq_ctl_t *ctl);
static int aiq_ctl_key_remove(aiq_ctl_t *ctl);
static int aiq_ctl_key_check(aiq_ctl_t *ctl);
static int aiq_ctl_key_get(aiq_ctl_t *ctl, unsigned flags,
    aiq_apikey_t *key);
static const char *aiq_ctl_key_state(const aiq_ctl_t *ctl,
    const aiq_apikey_t *key);
static json_t *aiq_ctl_key_json(aiq_ctl_t *ctl, const aiq_apikey_t *key);
static void aiq_ctl_key_print(aiq_ctl_t *ctl, const aiq_apikey_t *key);


static const aiq_ctl_opt_t  aiq_ctl_key_opts[] = {

    { "org", "ORG", "the org", 1, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


static const aiq_ctl_opt_t  aiq_ctl_key_add_opts[] = {

    { "org", "ORG", "the org", 1, 0 },
    { "user", "U", "speaks for this user only", 0, 0 },
    { "agent", "A", "speaks for this agent only", 0, 0 },
    { "expires", "SECONDS", "is good for so long; default: for ever", 0, 0 },
    { "note", "TEXT", "for people who read the list", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


const aiq_ctl_cmd_t  aiq_ctl_key_cmds[] = {

    { "add", "", 0, 0, aiq_ctl_key_add_opts, aiq_ctl_key_add,
      "make an API key and print it once",
      "The key is printed now and never again: the store keeps only its"
      " SHA-256. Without --user and --agent it speaks for any user and agent"
      " of the org.",
      "    armoriqctl key add --org acme --agent sysadmin --expires 7776000\n",
      NULL },

    { "list", "", 0, 0, aiq_ctl_key_opts, aiq_ctl_key_list,
      "list the API keys of an org",
      "Lists the ids, never the keys.",
      "    armoriqctl key list --org acme --json\n",
      NULL },

    { "show", "ID", 1, 1, aiq_ctl_key_opts, aiq_ctl_key_show,
      "show what is known of an API key",
      "ID is \"key_...\", not the key.",
      "    armoriqctl key show --org acme key_0a1b2c3d4e5f\n",
      NULL },

    { "remove", "ID", 1, 1, aiq_ctl_key_opts, aiq_ctl_key_remove,
      "refuse an API key from now on",
      "The key is refused from the next request on. The row is kept, because"
      " the audit log speaks of it.",
      "    armoriqctl key remove --org acme key_0a1b2c3d4e5f\n",
      NULL },

    { "check", "FILE|-", 1, 1, NULL, aiq_ctl_key_check,
      "tell whose API key this is",
      "Reads a key from a file, from standard input or from the terminal and"
      " tells whose it is, or that it is not valid.",
      "    armoriqctl key check - < /run/secrets/armoriq-key\n",
      NULL },

    { NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }
};


static int
aiq_ctl_key_add(aiq_ctl_t *ctl)
{
    int            code;
    size_t         i;
    char           secret[AIQ_APIKEY_LEN + 1];
    int64_t        expires;
    aiq_rc_t       rc;
    aiq_str_t     *to[3];
    aiq_org_t      org;
    const char    *s;
    aiq_apikey_t   key;

    static const char *const  names[] = { "user", "agent", "note" };

    memset(&key, 0, sizeof(aiq_apikey_t));

    to[0] = &key.user;
    to[1] = &key.agent;
    to[2] = &key.note;

    for (i = 0; i < 3; i++) {
        s = aiq_ctl_opt(ctl, names[i]);

        if (s) {
            code = aiq_ctl_name(ctl, names[i], s, to[i]);

            if (code != AIQ_CTL_OK) {
                return code;
            }
        }
    }

    code = aiq_ctl_opt_int(ctl, "expires", 1, AIQ_CTL_KEY_EXPIRES, 0,
                           &expires);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_open(ctl, AIQ_STORE_WRITE);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_org(ctl, &org);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    /* a key for somebody who is refused would be a surprise */

    rc = aiq_owner_active(ctl->txn, org.name, key.user, key.agent, &ctl->mem,
                          &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "key");
    }

    key.org = org.name;
    key.active = 1;
    key.created = ctl->now;
    key.expires = expires ? ctl->now + expires : 0;

    rc = aiq_apikey_create(ctl->txn, &key, secret, ctl->crypto, &ctl->mem,
                           &ctl->err);

    if (rc != AIQ_OK) {
        aiq_wipe(secret, sizeof(secret));
        return aiq_ctl_fail(ctl, rc, "key");
    }

    /* the org may lie in the map, which is gone after the commit */

    rc = aiq_mem_dup(&ctl->mem, key.org, &key.org);

    code = (rc == AIQ_OK) ? aiq_ctl_commit(ctl) : aiq_ctl_fail(ctl, rc, NULL);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_key_made(ctl, &key, secret);
    }

    aiq_wipe(secret, sizeof(secret));

    return code;
}


static int
aiq_ctl_key_made(aiq_ctl_t *ctl, const aiq_apikey_t *key, const char *secret)
{
    json_t  *o;

    if (ctl->json) {
        o = aiq_ctl_key_json(ctl, key);
        aiq_ctl_jset(ctl, o, "secret", json_string(secret));

        return aiq_ctl_jprint(ctl, o);
    }

    printf("id       %s\nAPI key  %s\n", aiq_ctl_esc(ctl, key->id), secret);

    aiq_ctl_note("this key is not shown again, keep it now");

    return AIQ_CTL_OK;
}


static const char *
aiq_ctl_key_state(const aiq_ctl_t *ctl, const aiq_apikey_t *key)
{
    if (!key->active) {
        return "removed";
    }

    if (key->expires && key->expires <= ctl->now) {
        return "expired";
    }

    return "active";
}


static json_t *
aiq_ctl_key_json(aiq_ctl_t *ctl, const aiq_apikey_t *key)
{
    json_t  *o;

    o = json_object();

    aiq_ctl_jset(ctl, o, "id", aiq_ctl_jstr(key->id));
    aiq_ctl_jset(ctl, o, "org", aiq_ctl_jstr(key->org));
    aiq_ctl_jset(ctl, o, "user", key->user.len ? aiq_ctl_jstr(key->user)
                                               : json_null());
    aiq_ctl_jset(ctl, o, "agent", key->agent.len ? aiq_ctl_jstr(key->agent)
                                                 : json_null());
    aiq_ctl_jset(ctl, o, "note", aiq_ctl_jstr(key->note));
    aiq_ctl_jset(ctl, o, "state", json_string(aiq_ctl_key_state(ctl, key)));
    aiq_ctl_jset(ctl, o, "created", json_integer(key->created));
    aiq_ctl_jset(ctl, o, "expires", key->expires ? json_integer(key->expires)
                                                 : json_null());

    return o;
}


static void
aiq_ctl_key_print(aiq_ctl_t *ctl, const aiq_apikey_t *key)
{
    printf("id       %s\norg      %s\nuser     %s\nagent    %s\nstate    %s\n"
           "created  %s\nexpires  %s\nnote     %s\n",
           aiq_ctl_esc(ctl, key->id), aiq_ctl_esc(ctl, key->org),
           key->user.len ? aiq_ctl_esc(ctl, key->user) : "any",
           key->agent.len ? aiq_ctl_esc(ctl, key->agent) : "any",
           aiq_ctl_key_state(ctl, key),
           aiq_ctl_time(ctl, key->created, "ever"),
           aiq_ctl_time(ctl, key->expires, "never"),
           aiq_ctl_esc(ctl, key->note));
}


static int
aiq_ctl_key_list(aiq_ctl_t *ctl)
{
    int             code;
    size_t          i;
    json_t         *list, *o;
    aiq_rc_t        rc;
    aiq_org_t       org;
    aiq_apikey_t    key;
    aiq_ctl_ids_t   ids;

    code = aiq_ctl_open(ctl, 0);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_org(ctl, &org);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_ids(ctl, org.name, AIQ_STORE_KEY, &ids);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    list = json_array();

    for (i = 0; i < ids.n; i++) {
        rc = aiq_apikey_get(ctl->txn, org.name, ids.id[i], &key, &ctl->mem);

        if (rc != AIQ_OK) {
            json_decref(list);
            return aiq_ctl_fail(ctl, rc, "key");
        }

        if (ctl->json) {
            aiq_ctl_jadd(ctl, list, aiq_ctl_key_json(ctl, &key));
            continue;
        }

        printf("%-16s  %-7s  user %-12s  agent %-12s  expires %-20s  %s\n",
               aiq_ctl_esc(ctl, key.id), aiq_ctl_key_state(ctl, &key),
               key.user.len ? aiq_ctl_esc(ctl, key.user) : "any",
               key.agent.len ? aiq_ctl_esc(ctl, key.agent) : "any",
               aiq_ctl_time(ctl, key.expires, "never"),
               aiq_ctl_esc(ctl, key.note));
    }

    if (!ctl->json) {
        json_decref(list);
        return AIQ_CTL_OK;
    }

    o = json_object();

    aiq_ctl_jset(ctl, o, "org", aiq_ctl_jstr(org.name));
    aiq_ctl_jset(ctl, o, "keys", list);

    return aiq_ctl_jprint(ctl, o);
}


static int
aiq_ctl_key_get(aiq_ctl_t *ctl, unsigned flags, aiq_apikey_t *key)
{
    int        code;
    aiq_rc_t   rc;
    aiq_str_t  id;
    aiq_org_t  org;

    code = aiq_ctl_name(ctl, "the id of a key", ctl->arg[0], &id);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_open(ctl, flags);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_org(ctl, &org);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_apikey_get(ctl->txn, org.name, id, key, &ctl->mem);

    if (rc == AIQ_DECLINED) {
        return aiq_ctl_no(ctl, rc, "there is no key \"%s\"", ctl->arg[0]);
    }

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "key");
    }

    return AIQ_CTL_OK;
}


static int
aiq_ctl_key_show(aiq_ctl_t *ctl)
{
    int           code;
    aiq_apikey_t  key;

    code = aiq_ctl_key_get(ctl, 0, &key);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    if (ctl->json) {
        return aiq_ctl_jprint(ctl, aiq_ctl_key_json(ctl, &key));
    }

    aiq_ctl_key_print(ctl, &key);

    return AIQ_CTL_OK;
}


static int
aiq_ctl_key_remove(aiq_ctl_t *ctl)
{
    int           code;
    aiq_rc_t      rc;
    aiq_apikey_t  key;

    code = aiq_ctl_key_get(ctl, AIQ_STORE_WRITE, &key);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    if (!key.active) {
        return aiq_ctl_no(ctl, AIQ_OK, "the key \"%s\" was removed before",
                          ctl->arg[0]);
    }

    key.active = 0;

    rc = aiq_apikey_put(ctl->txn, &key, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "key");
    }

    code = aiq_ctl_commit(ctl);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    return aiq_ctl_done(ctl, "key \"%s\" removed", ctl->arg[0]);
}


static int
aiq_ctl_key_check(aiq_ctl_t *ctl)
{
    int             code;
    aiq_rc_t        rc;
    aiq_str_t       secret;
    aiq_apikey_t    key;
    unsigned char  *wipe;
    size_t          len;

    code = aiq_ctl_read(ctl, ctl->arg[0], 4096, AIQ_CTL_SECRET, &secret);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    wipe = (unsigned char *) (uintptr_t) secret.data;
    len = secret.len;

    while (secret.len && (secret.data[secret.len - 1] == '\n'
                          || secret.data[secret.len - 1] == '\r'))
    {
        secret.len--;
    }

    code = aiq_ctl_open(ctl, 0);

    if (code == AIQ_CTL_OK) {
        rc = aiq_apikey_find(ctl->txn, secret, ctl->now, &key, ctl->crypto,
                             &ctl->mem);

        if (rc != AIQ_OK) {
            code = aiq_ctl_fail(ctl, rc, "key");
        }
    }

    aiq_wipe(wipe, len);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    if (ctl->json) {
        return aiq_ctl_jprint(ctl, aiq_ctl_key_json(ctl, &key));
    }

    aiq_ctl_key_print(ctl, &key);

    return AIQ_CTL_OK;
}
