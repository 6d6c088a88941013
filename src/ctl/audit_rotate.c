
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl audit rotate: a segment that is complete can be copied away.
 */


#include <stdio.h>

#include "audit.h"
#include "ctl.h"


#define AIQ_CTL_ROTATE_NAME  32       /* seg-0000000000000001.jsonl */


int
aiq_ctl_audit_rotate(aiq_ctl_t *ctl)
{
    char          name[AIQ_CTL_ROTATE_NAME];
    json_t       *o;
    uint64_t      first;
    aiq_rc_t      rc;
    aiq_audit_t  *log;

    rc = aiq_audit_open(&log, ctl->arg[0], &ctl->err);

    if (rc == AIQ_OK) {
        rc = aiq_audit_rotate(log, ctl->now_us, ctl->crypto, &first,
                              &ctl->err);
        aiq_audit_close(log);
    }

    if (rc == AIQ_DECLINED) {
        return aiq_ctl_no(ctl, AIQ_OK, "%s", ctl->err.text);
    }

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, NULL);
    }

    (void) snprintf(name, sizeof(name), "seg-%016llu.jsonl",
                    (unsigned long long) first);

    if (!ctl->json) {
        printf("%s\n", name);
        return AIQ_CTL_OK;
    }

    o = json_object();

    aiq_ctl_jset(ctl, o, "ok", json_true());
    aiq_ctl_jset(ctl, o, "segment", json_string(name));
    aiq_ctl_jset(ctl, o, "first", json_integer((json_int_t) first));

    return aiq_ctl_jprint(ctl, o);
}
