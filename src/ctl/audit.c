
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl audit: the verdict on a log.  What it says is in tail.c, what it
 * can prove in audit_prove.c.
 */


#include <string.h>
#include <time.h>

#include "audit.h"
#include "cosign.h"
#include "ctl.h"


static int aiq_ctl_audit_verify(aiq_ctl_t *ctl);
static int aiq_ctl_audit_kept(aiq_ctl_t *ctl, aiq_audit_kept_t *kept,
    aiq_str_t *note);
static int aiq_ctl_audit_cosigned(aiq_ctl_t *ctl,
    const aiq_audit_kept_t *kept, aiq_cosigned_t *by, unsigned *n);
static int aiq_ctl_audit_report(aiq_ctl_t *ctl, const aiq_audit_report_t *r,
    const aiq_cosigned_t *by, unsigned witnesses, double seconds);
static const char *aiq_ctl_audit_code(aiq_audit_code_e code);


static const aiq_ctl_opt_t  aiq_ctl_audit_tail_opts[] = {

    { "lines", "N", "the last N records, default 10", 0, 'n' },
    { "follow", NULL, "go on with records as they are written", 0, 'f' },

    { NULL, NULL, NULL, 0, 0 }
};


static const aiq_ctl_opt_t  aiq_ctl_audit_verify_opts[] = {

    { "checkpoint", "FILE", "a checkpoint of this log that was kept"
      " elsewhere", 0, 0 },
    { "vkey", "KEY", "a verification key of it that was kept elsewhere", 0,
      0 },
    { "witness", "LIST", "keys of witnesses that may have cosigned FILE", 0,
      0 },
    { "require", "K", "so many of them must have, default 0", 0, 0 },
    { "payloads", NULL, "look at the payloads of calls, too", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


static const aiq_ctl_opt_t  aiq_ctl_audit_resolve_opts[] = {

    { "seq", "N", "number of the INTENT", 1, 0 },
    { "status", "S", "executed or not_sent", 1, 0 },
    { "note", "TEXT", "how that is known", 1, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


static const aiq_ctl_opt_t  aiq_ctl_audit_checkpoint_opts[] = {

    { "rebuild", NULL, "all tiles anew, from the records", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


static const aiq_ctl_opt_t  aiq_ctl_audit_prove_opts[] = {

    { "seq", "N", "number of the record", 1, 0 },
    { "size", "N", "the checkpoint over N records, default the newest", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


static const aiq_ctl_opt_t  aiq_ctl_audit_consistency_opts[] = {

    { "from", "N", "the first N records", 1, 0 },
    { "to", "N", "the checkpoint over N records, default the newest", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


static const aiq_ctl_opt_t  aiq_ctl_audit_cosign_opts[] = {

    { "witness", "LIST", "URL,KEY of each witness, blanks between them", 0,
      0 },
    { "witnesses", "FILE", "or a file of these", 0, 0 },
    { "require", "K", "so many make a checkpoint cosigned, default 1", 0, 0 },
    { "refresh", "SEC", "cosigned again if nothing is new, default 60", 0,
      0 },
    { "once", NULL, "end when all were asked about one checkpoint", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


static const aiq_ctl_opt_t  aiq_ctl_audit_witness_opts[] = {

    { "name", "NAME", "of the witness, as example.com/witness", 1, 0 },
    { "log", "LIST", "verification keys of logs, blanks between them", 0, 0 },
    { "logs", "FILE", "or a file of these", 0, 0 },
    { "listen", "ADDR:PORT", "default 127.0.0.1:8009", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


static const aiq_ctl_opt_t  aiq_ctl_audit_key_opts[] = {

    { "keep", NULL, "leave the seed of the old key where it is", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


static const aiq_ctl_opt_t  aiq_ctl_audit_check_opts[] = {

    { "vkey", "KEY", "verification key of the log", 1, 0 },
    { "keys", "FILE", "and the file of its keys, if it had several", 0, 0 },
    { "leaf", "HEX", "hash of the record, X-ArmorIQ-Leaf", 0, 0 },
    { "record", "FILE", "or the record itself, one line", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


const aiq_ctl_cmd_t  aiq_ctl_audit_cmds[] = {

    { "verify", "DIR", 1, 1, aiq_ctl_audit_verify_opts, aiq_ctl_audit_verify,
      "read the whole log and check it",
      "Checks the hash chain, the numbering, the pairing of intents and"
      " outcomes, every checkpoint, and what the log says of itself. With a"
      " checkpoint that was kept elsewhere it finds that records were cut off"
      " or the log written anew since. May run beside nginx.",
      "    armoriqctl audit verify /var/lib/armoriq/audit\n"
      "    armoriqctl audit verify DIR --checkpoint /mnt/safe/checkpoint\n",
      "    0  the log is whole\n"
      "    2  the command line is wrong\n"
      "   10  whole, but the outcome of some calls is unknown\n"
      "   20  the chain or a record is broken\n"
      "   21  records are missing or out of order\n"
      "   22  shorter than a checkpoint says\n"
      "   23  a signature is wrong\n"
      "   24  two checkpoints disagree\n"
      "   25  a torn record that nobody declared\n"
      "   26  an outcome or a resolution without its intent\n"
      "   27  --payloads: one is missing or has changed\n"
      "   30  the log cannot be read\n" },

    { "tail", "DIR", 1, 1, aiq_ctl_audit_tail_opts, aiq_ctl_audit_tail,
      "print the last records",
      "One line a record; with --json the records as they are stored. Nothing"
      " is verified.",
      "    armoriqctl audit tail /var/lib/armoriq/audit -n 20 --follow\n",
      NULL },

    { "query", "DIR", 1, 1, aiq_ctl_audit_query_opts, aiq_ctl_audit_query,
      "find calls, and what became of them",
      "One line a call, as soon as it is complete; what has no outcome comes"
      " last, as unknown. All that is asked for must be true; TIME is that of"
      " the decision. With --json one object a line with the records as they"
      " are stored: {\"intent\":{...},\"outcome\":{...}|null}. Nothing is"
      " verified. May run beside nginx. The index in DIR/index is made on the"
      " way, if that can be written to.",
      "    armoriqctl audit query /var/lib/armoriq/audit --org acme \\\n"
      "        --tool 'infra.*' --verdict DENY --since 24h\n",
      NULL },

    { "resolve", "DIR", 1, 1, aiq_ctl_audit_resolve_opts,
      aiq_ctl_audit_resolve,
      "settle a call whose outcome is unknown",
      "Appends a RESOLVE record with who you are, what became of the call and"
      " how you know. Only for a call that was let through and has no outcome;"
      " once. A step of a plan that was not_sent can be used again when nginx"
      " is started the next time. May run beside nginx.",
      "    armoriqctl audit query DIR --status unknown\n"
      "    armoriqctl audit resolve DIR --seq 17 --status executed \\\n"
      "        --note 'ticket 4711: the server has restarted'\n",
      NULL },

    { "match", "DIR", 1, 1, aiq_ctl_audit_match_opts, aiq_ctl_audit_match,
      "find the records that hold the hash of what you know",
      "Reads arguments of a call, a JSON object, from standard input, and"
      " prints the records of the org that have their hash under one of its"
      " salts; with --body a whole request as it was sent, with --result the"
      " answer as the server sent it. Exit code 1: there is none. With --json"
      " the records as they are stored. Nothing is verified.",
      "    armoriqctl audit match DIR --org acme < arguments.json\n",
      NULL },

    { "payload", "DIR", 1, 1, aiq_ctl_audit_payload_opts,
      aiq_ctl_audit_payload,
      "print the body of a call that was kept encrypted",
      "For a log of \"payload=encrypted\": prints the request body byte for"
      " byte as the client has sent it, when it is what the record says it"
      " was. Needs the store, which has the salts of the org; what was"
      " forgotten cannot be read. The chain is not verified.",
      "    armoriqctl audit payload DIR --org acme --seq 17 > body.json\n",
      NULL },

    { "index", "DIR", 1, 1, aiq_ctl_audit_index_opts, aiq_ctl_audit_index,
      "make the index for queries",
      "Queries make it as they go and do without where they cannot; it is"
      " never believed without a look at the records, and may be deleted.",
      "    armoriqctl audit index /var/lib/armoriq/audit --rebuild\n",
      NULL },

    { "ship", "DIR", 1, 1, aiq_ctl_audit_ship_opts, aiq_ctl_audit_ship,
      "send the log to collectors",
      "Follows the log and sends every record, at least once and in order, to"
      " syslog, Splunk, Microsoft Sentinel, OTLP or a webhook, until it gets"
      " SIGTERM. Every sink has a cursor of its own, and none waits for"
      " another. Secrets are read from files. Takes no lock of the log; may"
      " run beside nginx. docs/ship.md has the configuration.",
      "    armoriqctl audit ship /var/lib/armoriq/audit \\\n"
      "        --config /etc/armoriq/ship.json\n",
      "    0  ended by a signal; with --once: all was delivered\n"
      "    1  --once: something could not be delivered\n"
      "    2  the command line or the configuration is wrong\n"
      "    3  a file cannot be read or written\n"
      "   20  the chain of the log is broken: nothing behind that is sent\n"
      "   21  records are missing or out of order\n"
      "   22  the log was cut off while it was followed\n"
      "   24  the log is not the one that was sent before\n"
      "   30  --once: the log cannot be read\n" },

    { "rotate", "DIR", 1, 1, NULL, aiq_ctl_audit_rotate,
      "begin a new segment now",
      "The one before is complete and can be copied away; nginx goes on in the"
      " new one, whose name is printed. Says no if there is not more than one"
      " record in it. Do it as the owner of the log, or as root.",
      "    armoriqctl audit rotate /var/lib/armoriq/audit\n",
      NULL },

    { "checkpoint", "DIR", 1, 1, aiq_ctl_audit_checkpoint_opts,
      aiq_ctl_audit_checkpoint,
      "sign what is in the log now",
      "Makes a checkpoint with the key in the store, as nginx does by itself,"
      " and prints the newest one, a C2SP signed note. Nothing is signed that"
      " contradicts the last checkpoint.",
      "    armoriqctl audit checkpoint /var/lib/armoriq/audit\n",
      NULL },

    { "prove", "DIR", 1, 1, aiq_ctl_audit_prove_opts, aiq_ctl_audit_prove,
      "prove that a record is in the log",
      "Prints a C2SP tlog-proof: whoever has the record and the verification"
      " key of the log can check it without the log.",
      "    armoriqctl audit prove DIR --seq 17 > 17.tlog-proof\n",
      NULL },

    { "consistency", "DIR", 1, 1, aiq_ctl_audit_consistency_opts,
      aiq_ctl_audit_consistency,
      "prove that the log has only grown",
      "Prints that the first N records are the beginning of those that a"
      " checkpoint covers, as a C2SP witness wants it: \"old N\", the hashes,"
      " the checkpoint. With --json both roots, too.",
      "    armoriqctl audit consistency /var/lib/armoriq/audit --from 17\n",
      NULL },

    { "check", "PROOF", 1, 1, aiq_ctl_audit_check_opts, aiq_ctl_audit_check,
      "check a proof that somebody has given you",
      "Needs no log. The record is the line with or without its line end.",
      "    armoriqctl audit check 17.tlog-proof --vkey KEY --leaf HEX\n",
      NULL },

    { "key", "rotate|list DIR", 2, 2, aiq_ctl_audit_key_opts,
      aiq_ctl_audit_key,
      "give the log another key, or list those it had",
      "\"rotate\" makes a new key for checkpoints: a KEY record that both keys"
      " have signed says so, nginx signs with it from then on without a"
      " reload, and the seed of the old one is removed. \"list\" prints the"
      " verification keys and after how many records each has begun; any of"
      " them serves as --vkey.",
      "    armoriqctl audit key rotate /var/lib/armoriq/audit\n",
      NULL },

    { "cosign", "DIR", 1, 1, aiq_ctl_audit_cosign_opts, aiq_ctl_audit_cosign,
      "have checkpoints cosigned by witnesses",
      "Follows the log and sends its newest checkpoint to C2SP witnesses, with"
      " proofs that it has only grown; DIR/cosigned is the newest checkpoint"
      " with their signatures. A witness that is away keeps no other one"
      " waiting. Runs until it is stopped; with --once it ends with 1 if less"
      " than K have cosigned.",
      "    armoriqctl audit cosign /var/lib/armoriq/audit \\\n"
      "        --witness https://witness.example.com,KEY\n",
      NULL },

    { "witness", "DIR", 1, 1, aiq_ctl_audit_witness_opts,
      aiq_ctl_audit_witness,
      "be a witness for logs of others",
      "Answers C2SP add-checkpoint requests, HTTP without TLS: put nginx in"
      " front. What was cosigned last is in DIR before a request is answered;"
      " nothing is cosigned that is shorter or does not continue it. Prints"
      " its verification key; makes one in an empty DIR. Without logs it"
      " prints the key and ends.",
      "    armoriqctl audit witness /var/lib/witness --logs logs.txt \\\n"
      "        --name example.com/witness\n",
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

    case AIQ_AUDIT_PAYLOADS:
        return "PAYLOADS";

    default:
        return "IO";
    }
}


static int
aiq_ctl_audit_verify(aiq_ctl_t *ctl)
{
    int                  code;
    aiq_str_t            note;
    struct timespec      a, b;
    unsigned             witnesses;
    aiq_cosigned_t       by;
    aiq_audit_kept_t     kept;
    aiq_audit_report_t   r;

    code = aiq_ctl_audit_kept(ctl, &kept, &note);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_audit_cosigned(ctl, &kept, &by, &witnesses);
    }

    if (code == AIQ_CTL_NO) {
        return AIQ_AUDIT_SIGNATURE;
    }

    if (code != AIQ_CTL_OK) {
        return (code == AIQ_CTL_USAGE) ? code : AIQ_AUDIT_IO;
    }

    memset(&r, 0, sizeof(aiq_audit_report_t));

    /* what is not filled in is not a good log */

    r.code = AIQ_AUDIT_IO;

    (void) clock_gettime(CLOCK_MONOTONIC, &a);

    aiq_audit_verify_kept(ctl->arg[0], &kept, ctl->crypto, &r);

    (void) clock_gettime(CLOCK_MONOTONIC, &b);

    return aiq_ctl_audit_report(ctl, &r, &by, witnesses,
                                (double) (b.tv_sec - a.tv_sec)
                                + (double) (b.tv_nsec - a.tv_nsec) / 1e9);
}


/* who stands behind the checkpoint that was kept */

static int
aiq_ctl_audit_cosigned(aiq_ctl_t *ctl, const aiq_audit_kept_t *kept,
    aiq_cosigned_t *by, unsigned *n)
{
    int          code;
    int64_t      k;
    aiq_rc_t     rc;
    aiq_note_t   note;
    aiq_vkey_t   keys[AIQ_WITNESSES];
    const char  *list;

    memset(by, 0, sizeof(aiq_cosigned_t));

    *n = 0;
    list = aiq_ctl_opt(ctl, "witness");

    if (list == NULL) {
        return aiq_ctl_opt(ctl, "require")
               ? aiq_ctl_usage(ctl, "--require is about --witness")
               : AIQ_CTL_OK;
    }

    if (kept->n == 0) {
        return aiq_ctl_usage(ctl, "--witness is about --checkpoint");
    }

    rc = aiq_vkey_list(keys, AIQ_WITNESSES, n, AIQ_NOTE_COSIGNATURE,
                       aiq_cstr(list), ctl->crypto, &ctl->err);

    if (rc != AIQ_OK || *n == 0) {
        return aiq_ctl_usage(ctl, "--witness: %s", rc == AIQ_OK
                             ? "no keys" : ctl->err.text);
    }

    code = aiq_ctl_opt_int(ctl, "require", 0, *n, 0, &k);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_note_parse(&note, kept->notes[0], &ctl->err);

    if (rc == AIQ_OK) {
        rc = aiq_cosigned(&note, keys, *n, (unsigned) (k ? k : 1), ctl->now,
                          by, ctl->crypto, &ctl->err);
    }

    if (aiq_is_fault(rc)) {
        return aiq_ctl_fail(ctl, rc, NULL);
    }

    if (rc != AIQ_OK || by->wrong || by->good < (unsigned) k) {
        return aiq_ctl_no(ctl, AIQ_OK, "--checkpoint: %u of %u witnesses have"
                          " cosigned it%s", by->good, *n,
                          by->wrong ? ", and a cosignature is wrong" : "");
    }

    return AIQ_CTL_OK;
}


static int
aiq_ctl_audit_kept(aiq_ctl_t *ctl, aiq_audit_kept_t *kept, aiq_str_t *note)
{
    int          code;
    aiq_rc_t     rc;
    const char  *s;
    aiq_vkey_t   vkey;

    memset(kept, 0, sizeof(aiq_audit_kept_t));

    kept->payloads = (aiq_ctl_opt(ctl, "payloads") != NULL);

    s = aiq_ctl_opt(ctl, "vkey");

    if (s) {
        kept->vkey = aiq_cstr(s);

        rc = aiq_vkey_parse(&vkey, kept->vkey, ctl->crypto, &ctl->err);

        if (rc != AIQ_OK) {
            return aiq_ctl_usage(ctl, "--vkey: %s", ctl->err.text);
        }
    }

    s = aiq_ctl_opt(ctl, "checkpoint");

    if (s) {
        code = aiq_ctl_read(ctl, s, AIQ_NOTE_MAX, 0, note);

        if (code != AIQ_CTL_OK) {
            return code;
        }

        kept->notes = note;
        kept->n = 1;
    }

    return AIQ_CTL_OK;
}


static int
aiq_ctl_audit_report(aiq_ctl_t *ctl, const aiq_audit_report_t *r,
    const aiq_cosigned_t *by, unsigned witnesses, double seconds)
{
    json_t      *o;
    const char  *root, *tail;

    root = aiq_ctl_hex(ctl, r->root, AIQ_HASH_LEN);
    tail = aiq_ctl_hex(ctl, r->tail, AIQ_HASH_LEN);

    if (!ctl->json) {
        printf("%s: %s%s%s\n"
               "records   %llu in %llu segment%s\n"
               "intents   %llu, %llu of them denied\n"
               "outcomes  %llu, unknown %llu, resolved %llu\n"
               "signed    %llu, by %llu checkpoint%s and %llu key%s\n"
               "warnings  %llu\n"
               "last seq  %llu\n"
               "root      %s\n"
               "tail      %s\n",
               aiq_ctl_esc(ctl, aiq_cstr(ctl->arg[0])),
               aiq_ctl_audit_code(r->code), r->text[0] ? ", " : "",
               aiq_ctl_esc(ctl, aiq_cstr(r->text)),
               (unsigned long long) r->records,
               (unsigned long long) r->segments, r->segments == 1 ? "" : "s",
               (unsigned long long) r->intents,
               (unsigned long long) r->denials,
               (unsigned long long) r->outcomes,
               (unsigned long long) r->unknown,
               (unsigned long long) r->resolved,
               (unsigned long long) r->covered,
               (unsigned long long) r->checkpoints,
               r->checkpoints == 1 ? "" : "s",
               (unsigned long long) r->keys, r->keys == 1 ? "" : "s",
               (unsigned long long) r->warnings,
               (unsigned long long) r->seq, root, tail);

        if (aiq_ctl_opt(ctl, "payloads")) {
            printf("payloads  %llu, of deleted days %llu, missing or changed "
                   "%llu\n", (unsigned long long) r->payloads,
                   (unsigned long long) r->deleted,
                   (unsigned long long) r->spoiled);
        }

        if (witnesses) {
            printf("kept      cosigned by %u of %u witnesses%s%s\n", by->good,
                   witnesses, by->good ? ", " : "",
                   by->good ? aiq_ctl_time(ctl, by->when, "") : "");
        }

        return (int) r->code;
    }

    o = json_object();

    aiq_ctl_jset(ctl, o, "ok", json_boolean(r->code == AIQ_AUDIT_OK
                                            || r->code == AIQ_AUDIT_UNKNOWN));
    aiq_ctl_jset(ctl, o, "code", json_integer((json_int_t) r->code));
    aiq_ctl_jset(ctl, o, "reason", json_string(aiq_ctl_audit_code(r->code)));
    aiq_ctl_jset(ctl, o, "message", aiq_ctl_jstr(aiq_cstr(r->text)));
    aiq_ctl_jset(ctl, o, "records", json_integer((json_int_t) r->records));
    aiq_ctl_jset(ctl, o, "segments", json_integer((json_int_t) r->segments));
    aiq_ctl_jset(ctl, o, "intents", json_integer((json_int_t) r->intents));
    aiq_ctl_jset(ctl, o, "denials", json_integer((json_int_t) r->denials));
    aiq_ctl_jset(ctl, o, "outcomes", json_integer((json_int_t) r->outcomes));
    aiq_ctl_jset(ctl, o, "unknown", json_integer((json_int_t) r->unknown));
    aiq_ctl_jset(ctl, o, "resolved", json_integer((json_int_t) r->resolved));
    aiq_ctl_jset(ctl, o, "warnings", json_integer((json_int_t) r->warnings));
    aiq_ctl_jset(ctl, o, "checkpoints",
                 json_integer((json_int_t) r->checkpoints));
    aiq_ctl_jset(ctl, o, "covered", json_integer((json_int_t) r->covered));
    aiq_ctl_jset(ctl, o, "keys", json_integer((json_int_t) r->keys));

    if (aiq_ctl_opt(ctl, "payloads")) {
        aiq_ctl_jset(ctl, o, "payloads",
                     json_integer((json_int_t) r->payloads));
        aiq_ctl_jset(ctl, o, "payloads_deleted",
                     json_integer((json_int_t) r->deleted));
        aiq_ctl_jset(ctl, o, "payloads_spoiled",
                     json_integer((json_int_t) r->spoiled));
    }

    if (witnesses) {
        aiq_ctl_jset(ctl, o, "witnesses", json_integer(witnesses));
        aiq_ctl_jset(ctl, o, "cosigned", json_integer(by->good));
        aiq_ctl_jset(ctl, o, "cosigned_at", json_integer(by->when));
    }

    aiq_ctl_jset(ctl, o, "seq", json_integer((json_int_t) r->seq));
    aiq_ctl_jset(ctl, o, "root", json_string(root));
    aiq_ctl_jset(ctl, o, "tail", json_string(tail));
    aiq_ctl_jset(ctl, o, "seconds", json_real(seconds));
    aiq_ctl_jset(ctl, o, "rate",
                 json_integer(seconds > 0 ? (json_int_t)
                              ((double) r->records / seconds) : 0));

    if (aiq_ctl_jprint(ctl, o) != AIQ_CTL_OK && r->code == AIQ_AUDIT_OK) {
        return AIQ_AUDIT_IO;
    }

    return (int) r->code;
}
