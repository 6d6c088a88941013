
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What must not, or should not, stand beside "armoriq on" in nginx.conf: one
 * catalogue for "nginx -t" and for "armoriqctl lint", and the judgements that
 * both share.  Facts come from the callers: nginx has them in its merged
 * configuration, armoriqctl in a tree of directives.
 */


#ifndef _AIQ_LINT_H_INCLUDED_
#define _AIQ_LINT_H_INCLUDED_


#include "aiq.h"


#define AIQ_LINT_SILENCE  90000          /* of a stream, milliseconds */


typedef enum {

    /* what breaks the enforcement */

    AIQ_LINT_SATISFY = 0,
    AIQ_LINT_SET_BODY,
    AIQ_LINT_METHOD,
    AIQ_LINT_PASS_BODY,
    AIQ_LINT_FRAMING,
    AIQ_LINT_OVERRIDE,
    AIQ_LINT_PASSTHROUGH,
    AIQ_LINT_CACHE,
    AIQ_LINT_STORE,
    AIQ_LINT_SLICE,
    AIQ_LINT_RETRY,
    AIQ_LINT_MIRROR,
    AIQ_LINT_POST_ACTION,

    /* what leaves a road open, or judges less than it seems */

    AIQ_LINT_BYPASS,
    AIQ_LINT_UNGUARDED,
    AIQ_LINT_DYNAMIC,
    AIQ_LINT_OPEN,
    AIQ_LINT_OFF,
    AIQ_LINT_MCP_OFF,
    AIQ_LINT_INVOKE_OFF,
    AIQ_LINT_IDENTITY,
    AIQ_LINT_RETURN,
    AIQ_LINT_STREAM,

    /* what changes requests and answers on their way */

    AIQ_LINT_SSI,
    AIQ_LINT_ADDITION,
    AIQ_LINT_BODY_FILTER,
    AIQ_LINT_UPGRADE,
    AIQ_LINT_UNDERSCORES,
    AIQ_LINT_INVALID_HEADERS,
    AIQ_LINT_MERGE_SLASHES,
    AIQ_LINT_EARLY_DATA,

    /* what breaks MCP */

    AIQ_LINT_HOST,
    AIQ_LINT_READ_TIMEOUT,
    AIQ_LINT_KEEPALIVE,
    AIQ_LINT_PASS_HEADERS,

    /* what cannot be read */

    AIQ_LINT_SYNTAX,
    AIQ_LINT_INCLUDE,

    AIQ_LINT_N
} aiq_lint_id_e;


typedef enum {
    AIQ_LINT_NOTE = 0,                   /* no fault, but worth knowing */
    AIQ_LINT_WARNING,
    AIQ_LINT_ERROR
} aiq_lint_level_e;


/* of which places a rule speaks */

typedef enum {
    AIQ_LINT_ANYWHERE = 0,               /* the caller knows */
    AIQ_LINT_PROTECTED,                  /* "armoriq on" */
    AIQ_LINT_SERVER                      /* protected, and "armoriq_mcp" */
} aiq_lint_scope_e;


typedef struct {
    const char         *name;            /* stable */
    const char         *row;             /* of docs/security.md, or "" */
    aiq_lint_level_e    level;
    aiq_lint_scope_e    scope;
    const char         *what;            /* stands in quotes; or NULL: the
                                            caller says */
    const char         *why;
    const char         *write;           /* what to write instead */
} aiq_lint_rule_t;


/* never NULL for an id below AIQ_LINT_N */

const aiq_lint_rule_t *aiq_lint_rule(aiq_lint_id_e id);

/* "error", "warning" or "note" */

const char *aiq_lint_level(aiq_lint_level_e level);

/* does it concern a place with these settings? */

int aiq_lint_concerns(aiq_lint_id_e id, int on, int mcp);

/*
 * The level there: with "armoriq_dry_run on" nothing is enforced, so nothing
 * breaks it.
 */

aiq_lint_level_e aiq_lint_level_of(aiq_lint_id_e id, int dry_run);

/*
 * The rule that "proxy_set_header NAME VALUE" breaks, or AIQ_LINT_N.  Values
 * are those of nginx.conf, with variables.
 */

aiq_lint_id_e aiq_lint_header(aiq_str_t name, aiq_str_t value);

/* does "proxy_set_header Host VALUE" hand on the host that was asked for? */

int aiq_lint_host(aiq_str_t value);

/* does the value read variable NAME, as $NAME or ${NAME}?  NAME may end in
   '*': any that begins so */

int aiq_lint_reads(aiq_str_t value, const char *name);

int aiq_lint_same(aiq_str_t s, const char *name);     /* whatever the case */

/* "TEXT" in PLACE; why; write WHAT [name, row], without the level */

void aiq_lint_write(aiq_out_t *out, aiq_lint_id_e id, aiq_str_t text,
    aiq_str_t place);


#endif /* _AIQ_LINT_H_INCLUDED_ */
