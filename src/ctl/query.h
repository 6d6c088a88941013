
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What the commands share that ask the audit log.
 */


#ifndef _AIQ_CTL_QUERY_H_INCLUDED_
#define _AIQ_CTL_QUERY_H_INCLUDED_


#include "audit_query.h"
#include "ctl.h"


/* from those options that the command has; AIQ_CTL_OK or AIQ_CTL_USAGE */

int aiq_ctl_query_filter(aiq_ctl_t *ctl, aiq_audit_filter_t *f);

/* the same for a command about an org: --org, and the log, --audit or that of
   the store */

int aiq_ctl_query_begin(aiq_ctl_t *ctl, aiq_str_t *org,
    aiq_audit_filter_t *f, const char **dir);

/*
 * Asks the log.  AIQ_CTL_NO without a word if nothing was found; lines that
 * are no records are AIQ_CTL_FAULT after all that was found.
 */

int aiq_ctl_query_run(aiq_ctl_t *ctl, const char *dir,
    const aiq_audit_filter_t *f, unsigned flags, aiq_audit_hit_pt hit,
    void *data);

/* a member of a record, unescaped in ctl->mem; len 0 if there is none */

aiq_str_t aiq_ctl_query_value(aiq_ctl_t *ctl, const aiq_json_t *doc,
    uint32_t i);

/* the same for people: escaped, "-" if there is none */

const char *aiq_ctl_query_text(aiq_ctl_t *ctl, aiq_str_t s);

/* what was called: the tool, or else the JSON-RPC method */

aiq_str_t aiq_ctl_query_tool(aiq_ctl_t *ctl, const aiq_audit_hit_t *hit);

/* of the OUTCOME; "unknown" if there should be one */

aiq_str_t aiq_ctl_query_status(aiq_ctl_t *ctl, const aiq_audit_hit_t *hit);

/* "2026-11-21T02:00:00.123Z" */

const char *aiq_ctl_query_when(aiq_ctl_t *ctl, int64_t us);


#endif /* _AIQ_CTL_QUERY_H_INCLUDED_ */
