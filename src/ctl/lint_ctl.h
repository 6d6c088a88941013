
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl lint: nginx.conf as a tree of directives, and what is wrong with
 * it.  Nothing that a configuration says is done: files that it includes are
 * read, and that is all.
 */


#ifndef _AIQ_LINT_CTL_H_INCLUDED_
#define _AIQ_LINT_CTL_H_INCLUDED_


#include "ctl.h"
#include "lint.h"


#define AIQ_CTL_LINT_MAX       ((size_t) 16 << 20)  /* a file, bytes */
#define AIQ_CTL_LINT_FILES     4096                 /* read, repeats counted */
#define AIQ_CTL_LINT_DEPTH     32                   /* of includes */
#define AIQ_CTL_LINT_BLOCKS    64                   /* in each other */
#define AIQ_CTL_LINT_TEXT      200


/* directives that a rule speaks of */

typedef enum {
    AIQ_CTL_K_OTHER = 0,

    AIQ_CTL_K_HTTP,
    AIQ_CTL_K_SERVER,
    AIQ_CTL_K_LOCATION,
    AIQ_CTL_K_IF,
    AIQ_CTL_K_LIMIT_EXCEPT,
    AIQ_CTL_K_UPSTREAM,
    AIQ_CTL_K_STREAM,
    AIQ_CTL_K_MAIL,
    AIQ_CTL_K_INCLUDE,

    AIQ_CTL_K_ON,
    AIQ_CTL_K_LINT,
    AIQ_CTL_K_DRY_RUN,
    AIQ_CTL_K_MCP,
    AIQ_CTL_K_GUARD,
    AIQ_CTL_K_INVOKE,
    AIQ_CTL_K_METHOD_RULE,

    AIQ_CTL_K_SATISFY,
    AIQ_CTL_K_POST_ACTION,
    AIQ_CTL_K_MIRROR,
    AIQ_CTL_K_SLICE,
    AIQ_CTL_K_RETURN,
    AIQ_CTL_K_SSI,
    AIQ_CTL_K_ADD_BEFORE,
    AIQ_CTL_K_ADD_AFTER,
    AIQ_CTL_K_SUB_FILTER,
    AIQ_CTL_K_XSLT,
    AIQ_CTL_K_IMAGE_FILTER,
    AIQ_CTL_K_SCRIPT,
    AIQ_CTL_K_SET_BODY,
    AIQ_CTL_K_METHOD,
    AIQ_CTL_K_SET_HEADER,
    AIQ_CTL_K_GRPC_SET_HEADER,
    AIQ_CTL_K_HTTP_VERSION,
    AIQ_CTL_K_UNDERSCORES,
    AIQ_CTL_K_INVALID_HEADERS,
    AIQ_CTL_K_MERGE_SLASHES,
    AIQ_CTL_K_EARLY_DATA,
    AIQ_CTL_K_KEEPALIVE,

    /* those that every sender of requests has, of proxy first */

    AIQ_CTL_K_PASS,
    AIQ_CTL_K_CACHE,
    AIQ_CTL_K_STORE,
    AIQ_CTL_K_PASS_BODY,
    AIQ_CTL_K_PASS_HEADERS,
    AIQ_CTL_K_NEXT_UPSTREAM,
    AIQ_CTL_K_READ_TIMEOUT,

    AIQ_CTL_K_SENDERS
} aiq_ctl_kind_e;


#define AIQ_CTL_SENDERS    6             /* proxy, grpc ... */
#define AIQ_CTL_PER_SENDER (AIQ_CTL_K_SENDERS - AIQ_CTL_K_PASS)
#define AIQ_CTL_K_N                                                           \
    (AIQ_CTL_K_PASS + AIQ_CTL_SENDERS * AIQ_CTL_PER_SENDER)

/* the kind of a sender's directive */

#define aiq_ctl_of(sender, kind)  ((kind) + (sender) * AIQ_CTL_PER_SENDER)


typedef struct {
    const char             *name;
    aiq_str_t               text;
    unsigned                id;          /* in order of reading */
} aiq_ctl_file_t;


typedef struct aiq_ctl_dir_s  aiq_ctl_dir_t;

struct aiq_ctl_dir_s {
    aiq_str_t              *args;        /* the name is the first */
    unsigned                n;
    unsigned                kind;
    unsigned                line;
    unsigned                protect;     /* places with armoriq on in it */
    uint64_t                said;        /* rules, by id */
    const aiq_ctl_file_t   *file;
    aiq_ctl_dir_t          *parent;
    aiq_ctl_dir_t          *next;        /* in the same block */
    aiq_ctl_dir_t          *same;        /* next of the same kind there */
    aiq_ctl_dir_t          *first;       /* of its own block */
    aiq_ctl_dir_t          *last;
    aiq_ctl_dir_t         **have;        /* first of each kind; not NULL:
                                            there is a block */
};


typedef struct aiq_ctl_found_s  aiq_ctl_found_t;

struct aiq_ctl_found_s {
    aiq_lint_id_e           id;
    aiq_lint_level_e        level;
    const aiq_ctl_file_t   *file;
    unsigned                line;
    unsigned                order;
    unsigned                more;        /* places that have it from there */
    aiq_str_t               text;
    aiq_str_t               place;
    const aiq_ctl_dir_t    *at;          /* or NULL */
    aiq_ctl_found_t        *next;
};


/* an upstream without a guard that a protected location leads to */

typedef struct aiq_ctl_loose_s  aiq_ctl_loose_t;

struct aiq_ctl_loose_s {
    aiq_str_t               name;
    aiq_ctl_loose_t        *next;
};


typedef struct {
    aiq_ctl_t              *ctl;
    aiq_ctl_dir_t          *root;
    const char             *dir;         /* of the main file */

    aiq_ctl_file_t         *dump;        /* of nginx -T, or NULL */
    unsigned                ndump;
    unsigned                nfiles;
    unsigned                full;        /* too many files: said */

    aiq_ctl_found_t        *found;
    aiq_ctl_loose_t        *loose;
    unsigned                nfound;
    unsigned                places;      /* with armoriq on */
    unsigned                count[3];    /* by level */
} aiq_ctl_lint_t;


/*
 * lint_lex.c: nginx's way to read a file.  What ends a directive, or why
 * there is none: text is then what should not be there.
 */

typedef enum {
    AIQ_CTL_LEX_SIMPLE = 0,              /* ';' */
    AIQ_CTL_LEX_OPEN,                    /* '{' */
    AIQ_CTL_LEX_CLOSE,                   /* '}' */
    AIQ_CTL_LEX_EOF,
    AIQ_CTL_LEX_WRONG,
    AIQ_CTL_LEX_NO_MEMORY
} aiq_ctl_lex_e;

typedef struct {
    aiq_mem_t              *mem;
    const unsigned char    *p;
    const unsigned char    *last;
    unsigned                line;
    const char             *text;
} aiq_ctl_lex_t;

aiq_ctl_lex_e aiq_ctl_lex(aiq_ctl_lex_t *lex, aiq_ctl_dir_t *dir);

/* the body of a *_by_lua_block{}, up to its brace; 0, or -1 */

int aiq_ctl_lex_lua(aiq_ctl_lex_t *lex);


/* lint_conf.c: files, includes, and the tree.  Returns an exit code */

int aiq_ctl_lint_read(aiq_ctl_lint_t *lint, const char *path);

/* the nearest directive of a kind, in the block or outside of it */

aiq_ctl_dir_t *aiq_ctl_lint_get(const aiq_ctl_dir_t *block, unsigned kind);

const char *aiq_ctl_lint_sender(unsigned sender);


/* lint_place.c: the rules */

void aiq_ctl_lint_check(aiq_ctl_lint_t *lint);

/* lint_target.c: where a location leads to, and who else does */

void aiq_ctl_lint_target(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *place);
void aiq_ctl_lint_open(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *place,
    aiq_ctl_dir_t *server);
void aiq_ctl_lint_stream(aiq_ctl_lint_t *lint);

/* the directive that sends its requests, and which sender; or NULL */

aiq_ctl_dir_t *aiq_ctl_lint_pass(const aiq_ctl_dir_t *place,
    unsigned *sender);


/*
 * lint.c: a finding.  at: the directive, place: the block that it is wrong
 * for; text: what to show, or NULL for the directive itself.
 */

void aiq_ctl_lint_add(aiq_ctl_lint_t *lint, aiq_lint_id_e id,
    aiq_ctl_dir_t *at, const aiq_ctl_dir_t *place, const char *text);

void aiq_ctl_lint_wrong(aiq_ctl_lint_t *lint, aiq_lint_id_e id,
    const aiq_ctl_file_t *file, unsigned line, const char *text);


#endif /* _AIQ_LINT_CTL_H_INCLUDED_ */
