
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl: what its files share.  Every command is one row of a table and
 * one function that returns an exit code.  Whatever comes from a file, a
 * token or the store is escaped before it reaches a terminal.
 */


#ifndef _AIQ_CTL_H_INCLUDED_
#define _AIQ_CTL_H_INCLUDED_


#include <stdio.h>
#include <sys/types.h>

#include <jansson.h>

#include "decide.h"


#define AIQ_CTL_STORE      "/var/lib/armoriq"
#define AIQ_CTL_AUDIT_KID  "audit"       /* seed of the audit log */

#define AIQ_CTL_OPTS       16            /* options of one command */
#define AIQ_CTL_ARGS       4
#define AIQ_CTL_MEM        ((size_t) 256 << 20)     /* reserved, not used */
#define AIQ_CTL_DOC_MAX    ((size_t) 16 << 20)      /* plans */
#define AIQ_CTL_SALTS      64            /* erased in one go */
#define AIQ_CTL_POLICY_MAX ((size_t) 1 << 20)

/* exit codes; "audit verify" has its own, aiq_audit_code_e */

#define AIQ_CTL_OK         0
#define AIQ_CTL_NO         1             /* the answer is no */
#define AIQ_CTL_USAGE      2
#define AIQ_CTL_FAULT      3             /* store or I/O */


typedef struct aiq_ctl_s  aiq_ctl_t;

typedef int (*aiq_ctl_pt)(aiq_ctl_t *ctl);

typedef struct {
    const char           *name;          /* without "--"; NULL ends the list */
    const char           *arg;           /* its value in the help; NULL: flag */
    const char           *help;
    unsigned              required:1;
    char                  letter;        /* "-n" */
} aiq_ctl_opt_t;

typedef struct {
    const char           *verb;          /* NULL: the group is the command */
    const char           *args;          /* arguments in the help, or "" */
    unsigned              min;
    unsigned              max;
    const aiq_ctl_opt_t  *opts;          /* or NULL */
    aiq_ctl_pt            run;           /* NULL ends the list */
    const char           *brief;
    const char           *text;
    const char           *example;       /* lines, indented */
    const char           *exits;         /* NULL: the common ones */
} aiq_ctl_cmd_t;

typedef struct {
    const char           *name;
    const char           *brief;
    const aiq_ctl_cmd_t  *cmds;
} aiq_ctl_group_t;

struct aiq_ctl_s {
    const aiq_ctl_group_t  *group;
    const aiq_ctl_cmd_t    *cmd;
    const char             *dir;         /* --store */
    const char             *opt[AIQ_CTL_OPTS];      /* as in cmd->opts */
    const char             *arg[AIQ_CTL_ARGS];
    unsigned                nargs;
    unsigned                json:1;
    unsigned                help:1;
    unsigned                version:1;
    unsigned                stdin_used:1;
    unsigned                oom:1;       /* jansson ran out of memory */

    int64_t                 now;         /* Unix seconds */
    int64_t                 now_us;

    aiq_crypto_t           *crypto;
    aiq_mem_t               mem;
    aiq_store_t            *store;
    aiq_store_txn_t        *txn;
    char                   *undo;        /* a seed file to remove, unless the
                                            transaction is committed */
    aiq_err_t               err;
};


/* the commands; each list ends with a row whose run is NULL */

extern const aiq_ctl_cmd_t  aiq_ctl_init_cmds[];
extern const aiq_ctl_cmd_t  aiq_ctl_org_cmds[];
extern const aiq_ctl_cmd_t  aiq_ctl_user_cmds[];
extern const aiq_ctl_cmd_t  aiq_ctl_agent_cmds[];
extern const aiq_ctl_cmd_t  aiq_ctl_key_cmds[];
extern const aiq_ctl_cmd_t  aiq_ctl_mcp_cmds[];
extern const aiq_ctl_cmd_t  aiq_ctl_policy_cmds[];
extern const aiq_ctl_cmd_t  aiq_ctl_plan_cmds[];
extern const aiq_ctl_cmd_t  aiq_ctl_token_cmds[];
extern const aiq_ctl_cmd_t  aiq_ctl_audit_cmds[];
extern const aiq_ctl_cmd_t  aiq_ctl_store_cmds[];
extern const aiq_ctl_cmd_t  aiq_ctl_doctor_cmds[];
extern const aiq_ctl_cmd_t  aiq_ctl_lint_cmds[];

extern const aiq_ctl_group_t  aiq_ctl_groups[];     /* name NULL ends it */


/* of audit.c and of member.c, in files of their own */

int aiq_ctl_audit_tail(aiq_ctl_t *ctl);
int aiq_ctl_audit_resolve(aiq_ctl_t *ctl);
int aiq_ctl_audit_rotate(aiq_ctl_t *ctl);
void aiq_ctl_tail_line(aiq_ctl_t *ctl, aiq_str_t line);
int aiq_ctl_audit_checkpoint(aiq_ctl_t *ctl);
int aiq_ctl_audit_prove(aiq_ctl_t *ctl);
int aiq_ctl_audit_consistency(aiq_ctl_t *ctl);
int aiq_ctl_audit_check(aiq_ctl_t *ctl);
int aiq_ctl_audit_key(aiq_ctl_t *ctl);
int aiq_ctl_audit_cosign(aiq_ctl_t *ctl);
int aiq_ctl_audit_witness(aiq_ctl_t *ctl);
int aiq_ctl_mcp_tools(aiq_ctl_t *ctl);

/* ship.c */

extern const aiq_ctl_opt_t  aiq_ctl_audit_ship_opts[];

int aiq_ctl_audit_ship(aiq_ctl_t *ctl);

/* salt.c and match.c: what hashes in the audit log are made with */

extern const aiq_ctl_opt_t  aiq_ctl_org_salts_opts[];
extern const aiq_ctl_opt_t  aiq_ctl_org_forget_opts[];
extern const aiq_ctl_opt_t  aiq_ctl_audit_match_opts[];

int aiq_ctl_org_salts(aiq_ctl_t *ctl);
int aiq_ctl_org_resalt(aiq_ctl_t *ctl);
int aiq_ctl_org_forget(aiq_ctl_t *ctl);
int aiq_ctl_audit_match(aiq_ctl_t *ctl);

/* payload.c */

extern const aiq_ctl_opt_t  aiq_ctl_audit_payload_opts[];

int aiq_ctl_audit_payload(aiq_ctl_t *ctl);

/* in the transaction: a first one for each org that never had any */

int aiq_ctl_salt_missing(aiq_ctl_t *ctl);

/* query.c, history.c and usage.c, which ask the audit log */

extern const aiq_ctl_opt_t  aiq_ctl_audit_query_opts[];
extern const aiq_ctl_opt_t  aiq_ctl_audit_index_opts[];
extern const aiq_ctl_opt_t  aiq_ctl_plan_history_opts[];
extern const aiq_ctl_opt_t  aiq_ctl_token_usage_opts[];

int aiq_ctl_audit_query(aiq_ctl_t *ctl);
int aiq_ctl_audit_index(aiq_ctl_t *ctl);
int aiq_ctl_plan_history(aiq_ctl_t *ctl);
int aiq_ctl_token_usage(aiq_ctl_t *ctl);


/* opts.c: AIQ_CTL_OK, or AIQ_CTL_USAGE after a sentence */

int aiq_ctl_parse(aiq_ctl_t *ctl, int argc, char *const *argv);

/* the value of an option; a flag that was given is ""; NULL if absent */

const char *aiq_ctl_opt(const aiq_ctl_t *ctl, const char *name);

/* a decimal number in min..max; def if the option is absent */

int aiq_ctl_opt_int(aiq_ctl_t *ctl, const char *name, int64_t min,
    int64_t max, int64_t def, int64_t *value);

/* an argument or option that must be a name (aiq_name_ok()) */

int aiq_ctl_name(aiq_ctl_t *ctl, const char *what, const char *value,
    aiq_str_t *name);

/* looks like a token or an API key: must not stand on a command line */

int aiq_ctl_secretive(const char *s);

void aiq_ctl_help(const aiq_ctl_t *ctl);


/*
 * out.c.  A failure is one sentence on stderr and, with --json, an object
 * {"ok":false,"reason":...,"message":...} on stdout.  The sentence is escaped
 * as a whole.  All return the exit code.
 */

int aiq_ctl_usage(const aiq_ctl_t *ctl, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
int aiq_ctl_no(const aiq_ctl_t *ctl, aiq_rc_t rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int aiq_ctl_fault(const aiq_ctl_t *ctl, aiq_rc_t rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* by the class of rc, with the sentence in ctl->err if it has one; what, if
   not NULL, stands before it */

int aiq_ctl_fail(aiq_ctl_t *ctl, aiq_rc_t rc, const char *what);

/* a remark on stderr */

void aiq_ctl_note(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

/* escaped, in ctl->mem; never NULL */

const char *aiq_ctl_esc(aiq_ctl_t *ctl, aiq_str_t s);

/* a JSON text to stdout, escaped but for line ends and tabs */

int aiq_ctl_document(aiq_ctl_t *ctl, aiq_str_t text);

/* "2026-01-02T03:04:05Z"; for 0 the word */

const char *aiq_ctl_time(aiq_ctl_t *ctl, int64_t t, const char *zero);

const char *aiq_ctl_hex(aiq_ctl_t *ctl, const unsigned char *p, size_t len);

/* JSON: values are consumed; out of memory is remembered in ctl->oom */

json_t *aiq_ctl_jstr(aiq_str_t s);
void aiq_ctl_jset(aiq_ctl_t *ctl, json_t *object, const char *key,
    json_t *value);
void aiq_ctl_jadd(aiq_ctl_t *ctl, json_t *array, json_t *value);

/* prints and releases */

int aiq_ctl_jprint(aiq_ctl_t *ctl, json_t *value);

/* what a remark on a change says: {"ok":true,...} or the sentence */

int aiq_ctl_done(aiq_ctl_t *ctl, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));


/* curl.c: libcurl, before anything else of it; before there are threads */

int aiq_ctl_curl(aiq_ctl_t *ctl);


/*
 * file.c.  Reads a file, or standard input for "-", into ctl->mem.  The bytes
 * of a secret come from a terminal without echo.
 */

#define AIQ_CTL_SECRET  0x01

int aiq_ctl_read(aiq_ctl_t *ctl, const char *path, size_t max, unsigned flags,
    aiq_str_t *text);

/* the same, parsed; the sentence names file and line */

int aiq_ctl_read_json(aiq_ctl_t *ctl, const char *path, size_t max,
    unsigned flags, aiq_json_t *doc);

/* "a/b" for "a" and "b", in ctl->mem; NULL if out of memory */

char *aiq_ctl_path(aiq_ctl_t *ctl, const char *dir, const char *name);

/* a copy without slashes at the end */

char *aiq_ctl_trim(aiq_ctl_t *ctl, const char *path);

/* trees, without following links; 0, or -1 with errno */

int aiq_ctl_tree_remove(const char *path);
int aiq_ctl_tree_chown(const char *path, uid_t uid, gid_t gid);


/*
 * db.c.  open() begins a transaction too, a write transaction with
 * AIQ_STORE_WRITE; open_store() does not.  main() ends what is still open.
 */

int aiq_ctl_open(aiq_ctl_t *ctl, unsigned flags);
int aiq_ctl_open_store(aiq_ctl_t *ctl, const char *dir, unsigned flags);
int aiq_ctl_begin(aiq_ctl_t *ctl, unsigned flags);
int aiq_ctl_commit(aiq_ctl_t *ctl);

/* a name that an org can have */

int aiq_ctl_org_name(aiq_ctl_t *ctl, const char *value, aiq_str_t *name);

/* the org that --org names; exit code 1 if there is none or not active */

int aiq_ctl_org(aiq_ctl_t *ctl, aiq_org_t *org);

typedef struct {
    size_t                  n;
    size_t                  size;
    aiq_str_t              *id;
    aiq_ctl_t              *ctl;
} aiq_ctl_ids_t;

/* ids of all rows of a kind, in order */

int aiq_ctl_ids(aiq_ctl_t *ctl, aiq_str_t org, aiq_store_kind_e kind,
    aiq_ctl_ids_t *ids);

/* a seed that root writes goes to whom the other keys belong */

int aiq_ctl_seed_write(aiq_ctl_t *ctl, const char *dir, aiq_str_t kid,
    const unsigned char seed[AIQ_KEY_LEN]);

/*
 * A new issuer key: the seed goes to the keys of the store in dir, the row
 * into the transaction.  kid is in ctl->mem.  ctl->undo is set.
 */

int aiq_ctl_issuer_make(aiq_ctl_t *ctl, const char *dir, aiq_str_t org,
    aiq_str_t *kid);

/* issuer key and org with it */

int aiq_ctl_org_make(aiq_ctl_t *ctl, const char *dir, aiq_str_t name,
    int permit, aiq_str_t *kid);


#endif /* _AIQ_CTL_H_INCLUDED_ */
