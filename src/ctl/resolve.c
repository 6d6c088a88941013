
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl audit resolve: somebody has found out what became of a call.
 */


#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "audit.h"
#include "ctl.h"


static int aiq_ctl_resolve_who(aiq_ctl_t *ctl, aiq_audit_resolve_t *r);
static int aiq_ctl_resolve_words(aiq_ctl_t *ctl, aiq_audit_resolve_t *r);


int
aiq_ctl_audit_resolve(aiq_ctl_t *ctl)
{
    int                   code;
    json_t               *o;
    int64_t               seq;
    aiq_rc_t              rc;
    aiq_audit_pos_t       pos;
    aiq_audit_resolve_t   r;

    memset(&r, 0, sizeof(aiq_audit_resolve_t));

    code = aiq_ctl_opt_int(ctl, "seq", 1, AIQ_JSON_SAFE, 0, &seq);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_resolve_words(ctl, &r);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_resolve_who(ctl, &r);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    r.seq = (uint64_t) seq;
    r.ts_us = ctl->now_us;

    rc = aiq_audit_resolve(ctl->arg[0], &r, ctl->crypto, &pos, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, NULL);
    }

    if (!ctl->json) {
        return aiq_ctl_done(ctl, "call %lld is resolved as %s, by record %llu",
                            (long long) seq, aiq_ctl_opt(ctl, "status"),
                            (unsigned long long) pos.seq);
    }

    o = json_object();

    aiq_ctl_jset(ctl, o, "ok", json_true());
    aiq_ctl_jset(ctl, o, "seq", json_integer((json_int_t) pos.seq));
    aiq_ctl_jset(ctl, o, "leaf",
                 json_string(aiq_ctl_hex(ctl, pos.leaf, AIQ_HASH_LEN)));

    return aiq_ctl_jprint(ctl, o);
}


static int
aiq_ctl_resolve_words(aiq_ctl_t *ctl, aiq_audit_resolve_t *r)
{
    r->status = aiq_cstr(aiq_ctl_opt(ctl, "status"));

    if (!aiq_str_is(r->status, "executed")
        && !aiq_str_is(r->status, "not_sent"))
    {
        return aiq_ctl_usage(ctl, "--status is executed or not_sent");
    }

    r->note = aiq_cstr(aiq_ctl_opt(ctl, "note"));

    if (r->note.len == 0 || r->note.len > AIQ_AUDIT_NOTE_MAX) {
        return aiq_ctl_usage(ctl, "--note has 1 to %u bytes",
                             AIQ_AUDIT_NOTE_MAX);
    }

    return AIQ_CTL_OK;
}


/* by the user id, not by what the environment says; a name may be missing */

static int
aiq_ctl_resolve_who(aiq_ctl_t *ctl, aiq_audit_resolve_t *r)
{
    aiq_str_t       name;
    struct passwd  *pw;

    r->uid = (int64_t) getuid();

    pw = getpwuid(getuid());

    if (pw == NULL || pw->pw_name == NULL
        || strlen(pw->pw_name) > AIQ_NAME_MAX)
    {
        return AIQ_CTL_OK;
    }

    name = aiq_cstr(pw->pw_name);

    if (aiq_mem_dup(&ctl->mem, name, &r->by) != AIQ_OK) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    return AIQ_CTL_OK;
}
