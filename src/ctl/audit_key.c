
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl audit key: the keys that sign checkpoints of a log.
 */


#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "audit_checkpoint.h"
#include "audit_key.h"
#include "ctl.h"


static int aiq_ctl_audit_key_rotate(aiq_ctl_t *ctl);
static int aiq_ctl_audit_key_new(aiq_ctl_t *ctl, aiq_audit_signer_t *s,
    aiq_audit_rekeyed_t *done);
static int aiq_ctl_audit_key_list(aiq_ctl_t *ctl);
static int aiq_ctl_audit_key_load(aiq_ctl_t *ctl, aiq_audit_keys_t **k);
static int aiq_ctl_audit_key_retire(aiq_ctl_t *ctl,
    const aiq_audit_keys_t *k);
static const char *aiq_ctl_audit_key_text(aiq_ctl_t *ctl,
    const aiq_vkey_t *key);


int
aiq_ctl_audit_key(aiq_ctl_t *ctl)
{
    if (strcmp(ctl->arg[0], "rotate") == 0) {
        return aiq_ctl_audit_key_rotate(ctl);
    }

    if (strcmp(ctl->arg[0], "list") == 0) {
        return aiq_ctl_audit_key_list(ctl);
    }

    return aiq_ctl_usage(ctl, "\"audit key\" can \"rotate\" and \"list\"");
}


static int
aiq_ctl_audit_key_rotate(aiq_ctl_t *ctl)
{
    int                   code;
    json_t               *o;
    aiq_rc_t              rc;
    const char           *vkey;
    aiq_audit_keys_t     *k;
    aiq_audit_signer_t   *s;
    aiq_audit_rekeyed_t   done;

    rc = aiq_audit_signer_open(&s, ctl->arg[1], aiq_audit_seed_store,
                               (void *) ctl->dir, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, NULL);
    }

    code = aiq_ctl_audit_key_new(ctl, s, &done);

    aiq_audit_signer_close(s);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_audit_key_load(ctl, &k);
    }

    if (code == AIQ_CTL_OK && aiq_ctl_opt(ctl, "keep") == NULL) {
        code = aiq_ctl_audit_key_retire(ctl, k);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    vkey = aiq_ctl_audit_key_text(ctl, &k->key[k->n - 1]);

    if (!ctl->json) {
        printf("%s\nsigns what covers more than %llu records; record %llu "
               "says so\n", vkey, (unsigned long long) done.from,
               (unsigned long long) done.seq);

        return AIQ_CTL_OK;
    }

    o = json_object();

    aiq_ctl_jset(ctl, o, "ok", json_true());
    aiq_ctl_jset(ctl, o, "vkey", json_string(vkey));
    aiq_ctl_jset(ctl, o, "from", json_integer((json_int_t) done.from));
    aiq_ctl_jset(ctl, o, "seq", json_integer((json_int_t) done.seq));
    aiq_ctl_jset(ctl, o, "size", json_integer((json_int_t) done.size));

    return aiq_ctl_jprint(ctl, o);
}


/* the seed first: whoever sees the record needs it */

static int
aiq_ctl_audit_key_new(aiq_ctl_t *ctl, aiq_audit_signer_t *s,
    aiq_audit_rekeyed_t *done)
{
    int             code;
    char            kid[AIQ_AUDIT_KID_LEN];
    aiq_rc_t        rc;
    aiq_str_t       origin;
    aiq_vkey_t      key;
    unsigned char   seed[AIQ_KEY_LEN], pub[AIQ_KEY_LEN], name[AIQ_NAME_MAX];

    origin.data = name;

    rc = aiq_audit_origin(ctl->arg[1], name, &origin.len, ctl->crypto,
                          &ctl->err);

    if (rc == AIQ_OK) {
        rc = aiq_random(seed, sizeof(seed));
    }

    if (rc == AIQ_OK) {
        rc = aiq_ed25519_public(ctl->crypto, seed, pub);
    }

    if (rc == AIQ_OK) {
        rc = aiq_vkey_init(&key, origin, pub, ctl->crypto);
    }

    if (rc != AIQ_OK) {
        aiq_wipe(seed, sizeof(seed));
        return aiq_ctl_fail(ctl, rc, "audit key");
    }

    aiq_audit_kid(kid, &key, 1);

    code = aiq_ctl_seed_write(ctl, ctl->dir, aiq_cstr(kid), seed);

    if (code == AIQ_CTL_OK) {
        rc = aiq_audit_rekey(s, seed, ctl->now_us, done, &ctl->err);

        if (done->begun) {
            ctl->undo = NULL;
        }

        if (rc == AIQ_DECLINED) {
            code = aiq_ctl_no(ctl, AIQ_OK, "%s", ctl->err.text);

        } else if (rc != AIQ_OK) {
            code = aiq_ctl_fail(ctl, aiq_is_fault(rc)
                                     ? rc : AIQ_E_AUDIT_UNAVAILABLE,
                                done->begun ? "the record may be in the log; "
                                "the next checkpoint completes it" : NULL);
        }
    }

    aiq_wipe(seed, sizeof(seed));

    return code;
}


static int
aiq_ctl_audit_key_list(aiq_ctl_t *ctl)
{
    int                code;
    json_t            *o, *list, *item;
    unsigned           i;
    aiq_audit_keys_t  *k;

    code = aiq_ctl_audit_key_load(ctl, &k);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    if (!ctl->json) {

        for (i = 0; i < k->n; i++) {
            printf("%s  from %llu%s\n",
                   aiq_ctl_audit_key_text(ctl, &k->key[i]),
                   (unsigned long long) k->from[i],
                   i + 1 == k->n ? ", signs now" : "");
        }

        return AIQ_CTL_OK;
    }

    o = json_object();
    list = json_array();

    for (i = 0; i < k->n; i++) {
        item = json_object();

        aiq_ctl_jset(ctl, item, "vkey",
                     json_string(aiq_ctl_audit_key_text(ctl, &k->key[i])));
        aiq_ctl_jset(ctl, item, "from",
                     json_integer((json_int_t) k->from[i]));
        aiq_ctl_jadd(ctl, list, item);
    }

    aiq_ctl_jset(ctl, o, "ok", json_true());
    aiq_ctl_jset(ctl, o, "keys", list);

    return aiq_ctl_jprint(ctl, o);
}


static int
aiq_ctl_audit_key_load(aiq_ctl_t *ctl, aiq_audit_keys_t **k)
{
    int       fd;
    aiq_rc_t  rc;

    *k = aiq_mem_calloc(&ctl->mem, sizeof(aiq_audit_keys_t));

    if (*k == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    fd = open(ctl->arg[1], O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (fd == -1) {
        return aiq_ctl_fault(ctl, AIQ_E_AUDIT_UNAVAILABLE, "%s: %s",
                             ctl->arg[1], strerror(errno));
    }

    rc = aiq_audit_keys(fd, *k, ctl->crypto, &ctl->err);

    (void) close(fd);

    if (rc == AIQ_OK) {
        return AIQ_CTL_OK;
    }

    return aiq_is_fault(rc) ? aiq_ctl_fail(ctl, rc, NULL)
                            : aiq_ctl_no(ctl, AIQ_OK, "%s", ctl->err.text);
}


/* what has no use left but for somebody who steals it */

static int
aiq_ctl_audit_key_retire(aiq_ctl_t *ctl, const aiq_audit_keys_t *k)
{
    char       *keys, *path;
    unsigned    i;
    char        kid[AIQ_AUDIT_KID_LEN];
    char        name[AIQ_AUDIT_KID_LEN + sizeof(".seed")];

    keys = aiq_ctl_path(ctl, ctl->dir, "keys");

    for (i = 0; keys && i + 1 < k->n; i++) {
        aiq_audit_kid(kid, &k->key[i], i);

        (void) snprintf(name, sizeof(name), "%s.seed", kid);

        path = aiq_ctl_path(ctl, keys, name);

        if (path == NULL) {
            break;
        }

        if (unlink(path) != 0 && errno != ENOENT) {
            return aiq_ctl_fault(ctl, AIQ_E_STORE_UNAVAILABLE,
                                 "the key was changed, but the old seed "
                                 "\"%s\" cannot be removed: %s", path,
                                 strerror(errno));
        }
    }

    return (keys && i + 1 == k->n)
           ? AIQ_CTL_OK
           : aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
}


static const char *
aiq_ctl_audit_key_text(aiq_ctl_t *ctl, const aiq_vkey_t *key)
{
    aiq_out_t      out;
    unsigned char  text[AIQ_VKEY_MAX];

    aiq_out_init(&out, text, sizeof(text));
    aiq_vkey_write(&out, key);

    return aiq_ctl_esc(ctl, aiq_out_done(&out));
}
