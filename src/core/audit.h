
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The audit log, format "AIQL/1" (docs/audit-format.md):
 *
 *     DIR/log.json                    origin, format, hash, vkeys, created
 *     DIR/seg-<first seq %016u>.jsonl one record per line, append only
 *     DIR/lock                        flock() of whoever appends; names a
 *                                     segment whose sync has failed
 *
 * Line n is hashed as stored: leaf(n) = SHA-256(0x00 | line without LF), and
 * line n carries "prev": hex leaf(n - 1).  The first one carries SHA-256(
 * "armoriq-audit/v1\n" origin "\n" vkey).  A record starts with
 * {"v":1,"seq":N,"prev":"...","t":"TYPE","ts":"...": seq and prev are given
 * when it is written, so there are no gaps.
 */


#ifndef _AIQ_AUDIT_H_INCLUDED_
#define _AIQ_AUDIT_H_INCLUDED_


#include "merkle.h"
#include "json.h"
#include "salt.h"


#define AIQ_AUDIT_LINE_MAX   65535    /* with LF */
#define AIQ_AUDIT_BODY_MAX   65000    /* what is appended, without the front */
#define AIQ_AUDIT_RID_LEN    32       /* hex digits of a request id */


/* exit codes of "armoriqctl audit verify" (trust A5); final */

typedef enum {
    AIQ_AUDIT_OK = 0,
    AIQ_AUDIT_UNKNOWN = 10,           /* fine, but outcomes are unknown */
    AIQ_AUDIT_BROKEN = 20,            /* chain or record broken */
    AIQ_AUDIT_GAP = 21,               /* sequence gap or reorder */
    AIQ_AUDIT_TRUNCATED = 22,         /* shorter than a checkpoint says */
    AIQ_AUDIT_SIGNATURE = 23,
    AIQ_AUDIT_INCONSISTENT = 24,      /* checkpoints disagree */
    AIQ_AUDIT_TORN = 25,              /* torn tail that nobody declared */
    AIQ_AUDIT_MISMATCH = 26,          /* outcome without its intent */
    AIQ_AUDIT_PAYLOADS = 27,          /* one is missing or has changed */
    AIQ_AUDIT_IO = 30
} aiq_audit_code_e;


/* the body of a call, encrypted in a file: audit_payload.h */

#define AIQ_AUDIT_DAY_LEN    10       /* 2026-11-21 */

typedef struct {
    char                day[AIQ_AUDIT_DAY_LEN + 1];
    aiq_hash_t          hash;         /* SHA-256 of the file */
    uint64_t            len;          /* of the body */
} aiq_audit_payload_t;


/*
 * Bodies of records: everything behind "prev", that is  "t":...}  without a
 * LF.  Strings of clients are escaped; fields longer than allowed become
 * {"len":N,"h":"..."} and set "trunc":true (A16, A17).
 *
 * Hashes are plain here and salted in the record (salt.h).  Without a salt
 * they are left out, and never written as they are.
 */

typedef struct {
    int64_t             ts_us;        /* Unix microseconds */
    aiq_str_t           inst;         /* instance: boot id and generation */
    unsigned            worker;
    aiq_str_t           rid;          /* AIQ_AUDIT_RID_LEN lower-case hex
                                         digits, or out has failed */
    aiq_str_t           org;          /* these may be empty: left out */
    aiq_str_t           agent;
    aiq_str_t           user;
    aiq_str_t           jti;
    aiq_str_t           kid;
    const unsigned char *token_id;    /* 32 bytes or NULL: tok.h */
    int64_t             token_exp;    /* 0: none */
    const unsigned char *plan_hash;   /* 32 bytes or NULL */
    int64_t             step;         /* -1: none */
    aiq_str_t           mcp;
    aiq_str_t           http;         /* HTTP method */
    aiq_str_t           method;       /* JSON-RPC method */
    aiq_str_t           tool;
    const unsigned char *args_hash;   /* SHA-256, 32 bytes or NULL */
    const unsigned char *req_hash;    /* SHA-256, 32 bytes or NULL */
    const aiq_audit_payload_t *payload;   /* or NULL; needs a salt */
    aiq_str_t           verdict;      /* "PERMIT", "DENY", "HOLD" */
    aiq_str_t           reason;
    aiq_str_t           detail;       /* sentence of aiq_err_t, or empty */
    aiq_str_t           policy;       /* "name@revision" or empty */
    aiq_str_t           source;       /* client address, text */
    unsigned            dry_run:1;    /* denied, but let through */
    const aiq_salt_t   *salt;         /* or NULL */
    aiq_crypto_t       *crypto;       /* with a salt */
} aiq_audit_intent_t;

typedef struct {
    int64_t             ts_us;
    aiq_str_t           rid;
    uint64_t            intent_seq;
    const unsigned char *intent_hash; /* 32 bytes: leaf of the INTENT */
    aiq_str_t           status;       /* executed, not_sent, revoked,
                                         upstream_error, client_abort,
                                         unknown */
    unsigned            http;         /* status sent to the client, 0: none */
    unsigned            attempts;     /* peers tried */
    int64_t             rpc_err;      /* with has_rpc_err */
    aiq_str_t           rpc_unread;   /* why that is not known, or empty */
    const unsigned char *res_hash;    /* SHA-256, 32 bytes or NULL */
    int64_t             res_len;      /* bytes of the answer, -1: none */
    uint64_t            dur_us;
    unsigned            has_rpc_err:1;
    unsigned            is_error:1;   /* result.isError */
    unsigned            trunc:1;      /* the answer did not end */
    const aiq_salt_t   *salt;         /* or NULL */
    aiq_crypto_t       *crypto;       /* with a salt */
} aiq_audit_outcome_t;

void aiq_audit_write_intent(aiq_out_t *out, const aiq_audit_intent_t *r);
void aiq_audit_write_outcome(aiq_out_t *out, const aiq_audit_outcome_t *r);

/* OPEN, CLOSE and others of one sentence: kind is "OPEN", members is more
   JSON ("\"version\":\"0.1.0\"") or empty */

void aiq_audit_write_event(aiq_out_t *out, const char *kind, int64_t ts_us,
    aiq_str_t inst, aiq_str_t members);


/* appending */

typedef struct aiq_audit_s  aiq_audit_t;

#define AIQ_AUDIT_FSYNC      0x01     /* fdatasync() before returning */

/* makes DIR and log.json; the origin is a name like "example.com/audit" */

aiq_rc_t aiq_audit_create(const char *dir, aiq_str_t origin,
    const unsigned char public_key[AIQ_KEY_LEN], int64_t now_us,
    aiq_crypto_t *c, aiq_err_t *err);

/*
 * Opens the log, and looks if its tail can be continued; while somebody has
 * the lock that is left to the first append, so this does not wait.  A torn
 * tail (no LF at the end) is left as it is, and a new segment begins with a
 * RECOVERY record that declares it.  A handle is for one thread at a time, and
 * for the process that opened it: after fork() both would hold the same lock.
 */

aiq_rc_t aiq_audit_open(aiq_audit_t **log, const char *dir, aiq_err_t *err);

/* 1: somebody had the lock when it was opened */

unsigned aiq_audit_busy(const aiq_audit_t *log);

void aiq_audit_close(aiq_audit_t *log);

/* what became of one record */

typedef struct {
    uint64_t            seq;
    aiq_hash_t          leaf;
} aiq_audit_pos_t;

/*
 * Writes n records under the lock of the log: reads the tail again if
 * another process has moved it, gives out seq and prev, one write, one
 * fdatasync.  On AIQ_E_AUDIT_UNAVAILABLE none of them may be relied on; those
 * whose lines are in the file all the same (a sync has failed, or what was
 * behind them was not written) have a pos with seq, the others seq 0, and
 * the next call declares them in a RECOVERY record: do not append them again.
 * Blocks: for threads and the CLI.
 */

aiq_rc_t aiq_audit_append(aiq_audit_t *log, const aiq_str_t *bodies,
    unsigned n, unsigned flags, int64_t now_us, aiq_crypto_t *c,
    aiq_audit_pos_t *pos, aiq_err_t *err);


/*
 * What became of the newest segment, as far as this is not in it.  Handles of
 * one log that write to the same memory, at first zero, know it of each other:
 * that is of workers.  All others are told by the file "lock" that a sync has
 * failed.  Read and written under the lock of the log only.
 */

typedef struct {
    uint64_t            first;        /* names the segment, 0: none */
    uint64_t            unsynced;     /* first record that was not, or 0 */
    uint64_t            from;         /* written but not confirmed, or 0 */
    uint64_t            to;
    uint64_t            dead;         /* a sync of it has failed */
    uint64_t            told;         /* to all others */
} aiq_audit_fate_t;

void aiq_audit_share(aiq_audit_t *log, aiq_audit_fate_t *fate);


/*
 * What is kept up by those who append: how large and how old a segment gets,
 * and how much room is set aside behind its end, so that a full disk is
 * noticed while denials and outcomes can still be written.  0: not at all.
 * The reserve is cut down to a 16th of the file system.
 */

#define AIQ_AUDIT_ROTATE_MIN   65536
#define AIQ_AUDIT_AGAIN        500000     /* us: low is not tried sooner */

typedef struct {
    uint64_t            rotate;       /* bytes of a segment */
    int64_t             age_us;       /* of a segment */
    uint64_t            reserve;      /* bytes behind its end */
} aiq_audit_keep_t;

void aiq_audit_keep(aiq_audit_t *log, const aiq_audit_keep_t *keep);

/* low and tried_us are handed from one process to the next, at first 0 */

typedef struct {
    uint64_t            seq;          /* of the last record, 0: none */
    int64_t             tried_us;     /* when there was no room */
    unsigned            low:1;        /* the reserve or the next segment
                                         cannot be had: err says why */
    unsigned            rotated:1;    /* a segment was begun */
    unsigned            plain:1;      /* the file system cannot reserve */
} aiq_audit_state_t;

/*
 * Before records of len bytes are appended: begins a new segment, with a
 * ROTATE record, if it is time, and sees to the reserve.  Nothing is written
 * and nobody else is asked in the normal case.  Want of room is no fault:
 * state->low, and the log can be appended to as far as the reserve goes.
 */

aiq_rc_t aiq_audit_prepare(aiq_audit_t *log, size_t len, int64_t now_us,
    aiq_crypto_t *c, aiq_audit_state_t *state, aiq_err_t *err);

/*
 * Begins a new segment now; first names it.  AIQ_DECLINED if there would be
 * nothing in the one before.
 */

aiq_rc_t aiq_audit_rotate(aiq_audit_t *log, int64_t now_us, aiq_crypto_t *c,
    uint64_t *first, aiq_err_t *err);


/*
 * The number of the last record, 0 if there is none.  With it a process that
 * was killed while it wrote can be told from one that had not begun.
 */

aiq_rc_t aiq_audit_position(aiq_audit_t *log, aiq_crypto_t *c, uint64_t *seq,
    aiq_err_t *err);


/*
 * Settles a call of which there is no OUTCOME: looks it up in the log, and
 * appends a RESOLVE record.  AIQ_DECLINED, with the reason in err, if seq is
 * not the INTENT of a call that was let through and has neither OUTCOME nor
 * RESOLVE; that is asked again under the lock.  Blocks.
 */

#define AIQ_AUDIT_NOTE_MAX   512      /* bytes */

typedef struct {
    int64_t             ts_us;
    uint64_t            seq;          /* of the INTENT */
    aiq_str_t           status;       /* "executed" or "not_sent" */
    int64_t             uid;          /* of the OS */
    aiq_str_t           by;           /* its name, or empty */
    aiq_str_t           note;
} aiq_audit_resolve_t;

aiq_rc_t aiq_audit_resolve(const char *dir, const aiq_audit_resolve_t *r,
    aiq_crypto_t *c, aiq_audit_pos_t *pos, aiq_err_t *err);


/* a file in DIR for flock(), made if it is not there */

aiq_rc_t aiq_audit_lock_file(const char *dir, const char *name, int *fd,
    aiq_err_t *err);

/*
 * Locks it, and opens it again if it is another one by now: -1 is none yet.
 * Blocks.
 */

aiq_rc_t aiq_audit_turn(aiq_audit_t *log, const char *name, int *fd,
    aiq_err_t *err);


/* reading */

/*
 * Every record from the first whose ts is not before since_us, over all
 * segments; the search goes back from the tail, so a long log costs little.
 * The callback gets the line without LF.  Blocks.
 */

typedef aiq_rc_t (*aiq_audit_each_pt)(void *data, aiq_str_t line);

aiq_rc_t aiq_audit_scan(const char *dir, int64_t since_us,
    aiq_audit_each_pt each, void *data, aiq_err_t *err);

/* every record behind that number */

aiq_rc_t aiq_audit_scan_behind(const char *dir, uint64_t seq,
    aiq_audit_each_pt each, void *data, aiq_err_t *err);

/* the number of a record that was made of this body, or 0 */

uint64_t aiq_audit_made_of(aiq_str_t line, aiq_str_t body);

/*
 * The uses of plan steps that are still in force: for every PERMIT INTENT
 * with a step whose token expires after now, less those whose OUTCOME says
 * not_sent or revoked, or, if there is none, whose RESOLVE says not_sent.
 * Called once per use.
 */

typedef aiq_rc_t (*aiq_audit_use_pt)(void *data,
    const unsigned char token_id[AIQ_HASH_LEN], uint32_t step, int64_t exp);

aiq_rc_t aiq_audit_uses(const char *dir, int64_t now, int64_t lifetime,
    aiq_audit_use_pt use, void *data, aiq_err_t *err);

/*
 * The same for records behind *seq, or for all of them if that is 0; *seq
 * becomes the number of the last record.  An OUTCOME counts if its INTENT is
 * among them.
 */

aiq_rc_t aiq_audit_uses_behind(const char *dir, uint64_t *seq, int64_t now,
    int64_t lifetime, aiq_audit_use_pt use, void *data, aiq_err_t *err);


typedef struct {
    aiq_audit_code_e    code;
    uint64_t            records;
    uint64_t            intents;
    uint64_t            outcomes;
    uint64_t            denials;      /* intents with verdict DENY */
    uint64_t            unknown;      /* intents that were permitted (or let
                                         through by dry_run), no outcome, and
                                         nobody has resolved them */
    uint64_t            resolved;     /* no outcome, but somebody has */
    uint64_t            segments;
    uint64_t            warnings;     /* clock regressions */
    uint64_t            seq;          /* of the last record, or where it
                                         broke */
    aiq_hash_t          root;         /* RFC 6962 over all leaves */
    aiq_hash_t          tail;         /* leaf of the last record */
    uint64_t            checkpoints;  /* that agree with the log */
    uint64_t            covered;      /* records that the last one covers */
    uint64_t            keys;         /* that have signed them, so far */
    uint64_t            payloads;     /* that are as they were, if asked */
    uint64_t            deleted;      /* payloads of days that are deleted */
    uint64_t            spoiled;      /* payloads that are not there, or
                                         have changed */
    char                text[AIQ_ERR_TEXT];   /* what is wrong, and where */
    char                wrong[AIQ_ERR_TEXT];  /* with the first payload */
} aiq_audit_report_t;

/* what is known of the log from elsewhere: its key, checkpoints that were
   kept; and how much is to be verified */

#define AIQ_AUDIT_KEPT  16

typedef struct {
    aiq_str_t           vkey;         /* any of its keys, or empty */
    const aiq_str_t    *notes;
    unsigned            n;            /* AIQ_AUDIT_KEPT at most */
    unsigned            payloads:1;   /* look at these as well */
} aiq_audit_kept_t;

/*
 * Reads the whole log, and compares it with every checkpoint in it.  Memory
 * is constant but for open intents (about 100 bytes each).  Always fills
 * report.  kept may be NULL.
 */

void aiq_audit_verify(const char *dir, aiq_crypto_t *c,
    aiq_audit_report_t *report);
void aiq_audit_verify_kept(const char *dir, const aiq_audit_kept_t *kept,
    aiq_crypto_t *c, aiq_audit_report_t *report);


#endif /* _AIQ_AUDIT_H_INCLUDED_ */
