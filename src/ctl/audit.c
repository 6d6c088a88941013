
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl audit: the verdict on a log.  What it says is in tail.c.
 */


#include <string.h>

#include "audit.h"
#include "ctl.h"


static int aiq_ctl_audit_verify(aiq_ctl_t *ctl);
static const char *aiq_ctl_audit_code(aiq_audit_code_e code);


static const aiq_ctl_opt_t  aiq_ctl_audit_tail_opts[] = {

    { "lines", "N", "the last N records, default 10", 0, 'n' },
    { "follow", NULL, "go on with records as they are written", 0, 'f' },

    { NULL, NULL, NULL, 0, 0 }
};


const aiq_ctl_cmd_t  aiq_ctl_audit_cmds[] = {

    { "verify", "DIR", 1, 1, NULL, aiq_ctl_audit_verify,
      "read the whole log and check it",
      "Checks the hash chain, the numbering, the pairing of intents and"
      " outcomes, and what the log says of itself. May run beside nginx.",
      "    armoriqctl audit verify /var/lib/armoriq/audit\n",
      "    0  the log is whole\n"
      "    2  the command line is wrong\n"
      "   10  whole, but the outcome of some calls is unknown\n"
      "   20  the chain or a record is broken\n"
      "   21  records are missing or out of order\n"
      "   22  shorter than a checkpoint says\n"
      "   23  a signature is wrong\n"
      "   24  two checkpoints disagree\n"
      "   25  a torn record that nobody declared\n"
      "   26  an outcome without its intent\n"
      "   30  the log cannot be read\n" },

    { "tail", "DIR", 1, 1, aiq_ctl_audit_tail_opts, aiq_ctl_audit_tail,
      "print the last records",
      "One line a record; with --json the records as they are stored. Nothing"
      " is verified.",
      "    armoriqctl audit tail /var/lib/armoriq/audit -n 20 --follow\n",
      NULL },

    { NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }
};


static const char *
aiq_ctl_audit_code(aiq_audit_code_e code)
{
    switch (code) {

    case AIQ_AUDIT_OK:
        return "OK";

    case AIQ_AUDIT_UNKNOWN:
        return "UNKNOWN_OUTCOMES";

    case AIQ_AUDIT_BROKEN:
        return "BROKEN";

    case AIQ_AUDIT_GAP:
        return "GAP";

    case AIQ_AUDIT_TRUNCATED:
        return "TRUNCATED";

    case AIQ_AUDIT_SIGNATURE:
        return "SIGNATURE";

    case AIQ_AUDIT_INCONSISTENT:
        return "INCONSISTENT";

    case AIQ_AUDIT_TORN:
        return "TORN";

    case AIQ_AUDIT_MISMATCH:
        return "MISMATCH";

    default:
        return "IO";
    }
}


static int
aiq_ctl_audit_verify(aiq_ctl_t *ctl)
{
    json_t              *o;
    const char          *root, *tail;
    aiq_audit_report_t   r;

    memset(&r, 0, sizeof(aiq_audit_report_t));

    /* what is not filled in is not a good log */

    r.code = AIQ_AUDIT_IO;

    aiq_audit_verify(ctl->arg[0], ctl->crypto, &r);

    root = aiq_ctl_hex(ctl, r.root, AIQ_HASH_LEN);
    tail = aiq_ctl_hex(ctl, r.tail, AIQ_HASH_LEN);

    if (!ctl->json) {
        printf("%s: %s%s%s\n"
               "records   %llu in %llu segment%s\n"
               "intents   %llu, %llu of them denied\n"
               "outcomes  %llu, unknown %llu\n"
               "warnings  %llu\n"
               "last seq  %llu\n"
               "root      %s\n"
               "tail      %s\n",
               aiq_ctl_esc(ctl, aiq_cstr(ctl->arg[0])),
               aiq_ctl_audit_code(r.code), r.text[0] ? ", " : "",
               aiq_ctl_esc(ctl, aiq_cstr(r.text)),
               (unsigned long long) r.records,
               (unsigned long long) r.segments, r.segments == 1 ? "" : "s",
               (unsigned long long) r.intents,
               (unsigned long long) r.denials,
               (unsigned long long) r.outcomes,
               (unsigned long long) r.unknown,
               (unsigned long long) r.warnings, (unsigned long long) r.seq,
               root, tail);

        return (int) r.code;
    }

    o = json_object();

    aiq_ctl_jset(ctl, o, "ok", json_boolean(r.code == AIQ_AUDIT_OK
                                            || r.code == AIQ_AUDIT_UNKNOWN));
    aiq_ctl_jset(ctl, o, "code", json_integer((json_int_t) r.code));
    aiq_ctl_jset(ctl, o, "reason", json_string(aiq_ctl_audit_code(r.code)));
    aiq_ctl_jset(ctl, o, "message", aiq_ctl_jstr(aiq_cstr(r.text)));
    aiq_ctl_jset(ctl, o, "records", json_integer((json_int_t) r.records));
    aiq_ctl_jset(ctl, o, "segments", json_integer((json_int_t) r.segments));
    aiq_ctl_jset(ctl, o, "intents", json_integer((json_int_t) r.intents));
    aiq_ctl_jset(ctl, o, "denials", json_integer((json_int_t) r.denials));
    aiq_ctl_jset(ctl, o, "outcomes", json_integer((json_int_t) r.outcomes));
    aiq_ctl_jset(ctl, o, "unknown", json_integer((json_int_t) r.unknown));
    aiq_ctl_jset(ctl, o, "warnings", json_integer((json_int_t) r.warnings));
    aiq_ctl_jset(ctl, o, "seq", json_integer((json_int_t) r.seq));
    aiq_ctl_jset(ctl, o, "root", json_string(root));
    aiq_ctl_jset(ctl, o, "tail", json_string(tail));

    if (aiq_ctl_jprint(ctl, o) != AIQ_CTL_OK && r.code == AIQ_AUDIT_OK) {
        return AIQ_AUDIT_IO;
    }

    return (int) r.code;
}
