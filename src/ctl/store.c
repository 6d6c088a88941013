
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl store: is it whole, and a copy of it.
 */


#include <string.h>

#include "ctl.h"


static int aiq_ctl_store_check(aiq_ctl_t *ctl);
static int aiq_ctl_store_backup(aiq_ctl_t *ctl);
static int aiq_ctl_store_revision(aiq_ctl_t *ctl, uint64_t *revision);


const aiq_ctl_cmd_t  aiq_ctl_store_cmds[] = {

    { "check", "", 0, 0, NULL, aiq_ctl_store_check,
      "read every row and check its MAC",
      "Fails if a row was changed, moved or damaged outside of armoriqctl and"
      " nginx. May run beside nginx.",
      "    armoriqctl store check\n",
      NULL },

    { "backup", "DEST", 1, 1, NULL, aiq_ctl_store_backup,
      "write a consistent copy into a new directory",
      "May run beside nginx. DEST must not exist, or be empty. The keys are"
      " not copied, on purpose: keep DIR/store.key and DIR/keys/ elsewhere,"
      " and to restore put them beside the copy. Whoever has both has the"
      " store.",
      "    armoriqctl store backup /var/backups/armoriq-today\n",
      NULL },

    { NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }
};


static int
aiq_ctl_store_revision(aiq_ctl_t *ctl, uint64_t *revision)
{
    int       code;
    aiq_rc_t  rc;

    code = aiq_ctl_begin(ctl, 0);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_store_revision(ctl->txn, revision);

    aiq_store_abort(ctl->txn);
    ctl->txn = NULL;

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, ctl->dir);
    }

    return AIQ_CTL_OK;
}


static int
aiq_ctl_store_check(aiq_ctl_t *ctl)
{
    int        code;
    json_t    *o;
    aiq_rc_t   rc;
    uint64_t   rows, revision;

    code = aiq_ctl_open_store(ctl, ctl->dir, 0);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_store_revision(ctl, &revision);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_store_check(ctl->store, ctl->crypto, &rows, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fault(ctl, aiq_is_fault(rc) ? rc : AIQ_E_STORE_CORRUPT,
                             "%s: %s", ctl->dir, ctl->err.text);
    }

    if (!ctl->json) {
        printf("%s: %llu rows, all of them genuine, revision %llu\n",
               aiq_ctl_esc(ctl, aiq_cstr(ctl->dir)),
               (unsigned long long) rows, (unsigned long long) revision);

        return AIQ_CTL_OK;
    }

    o = json_object();

    aiq_ctl_jset(ctl, o, "ok", json_true());
    aiq_ctl_jset(ctl, o, "store", aiq_ctl_jstr(aiq_cstr(ctl->dir)));
    aiq_ctl_jset(ctl, o, "rows", json_integer((json_int_t) rows));
    aiq_ctl_jset(ctl, o, "revision", json_integer((json_int_t) revision));

    return aiq_ctl_jprint(ctl, o);
}


static int
aiq_ctl_store_backup(aiq_ctl_t *ctl)
{
    int        code;
    char      *dest;
    json_t    *o;
    aiq_rc_t   rc;
    uint64_t   revision;

    dest = aiq_ctl_trim(ctl, ctl->arg[0]);

    if (dest == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    code = aiq_ctl_open_store(ctl, ctl->dir, 0);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_store_revision(ctl, &revision);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_store_backup(ctl->store, dest, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fault(ctl, aiq_is_fault(rc) ? rc
                             : AIQ_E_STORE_UNAVAILABLE, "%s: %s", dest,
                             ctl->err.text);
    }

    if (ctl->json) {
        o = json_object();

        aiq_ctl_jset(ctl, o, "ok", json_true());
        aiq_ctl_jset(ctl, o, "backup", aiq_ctl_jstr(aiq_cstr(dest)));
        aiq_ctl_jset(ctl, o, "revision", json_integer((json_int_t) revision));

        return aiq_ctl_jprint(ctl, o);
    }

    printf("%s: revision %llu\n", aiq_ctl_esc(ctl, aiq_cstr(dest)),
           (unsigned long long) revision);

    aiq_ctl_note("store.key and keys/ are not in it, keep them elsewhere");

    return AIQ_CTL_OK;
}
