
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What is this request?  MCP Streamable HTTP of the revisions 2025-03-26,
 * 2025-06-18, 2025-11-25 and 2026-07-28, and the envelope of POST /invoke.
 */


#ifndef _AIQ_MCP_H_INCLUDED_
#define _AIQ_MCP_H_INCLUDED_


#include "json.h"


#define AIQ_MCP_TOOL_MAX    128       /* bytes of a tool name */


typedef enum {
    AIQ_MCP_CALL = 1,         /* tools/call */
    AIQ_MCP_DISCOVERY,        /* any other method */
    AIQ_MCP_RESPONSE,         /* an answer to a request of the server */
    AIQ_MCP_STREAM,           /* GET */
    AIQ_MCP_TERMINATE         /* DELETE */
} aiq_mcp_class_e;

/* what a method asks of who sends it */

typedef enum {
    AIQ_NEED_REFUSE = 0,      /* nobody may */
    AIQ_NEED_IDENTITY,        /* an API key or a token */
    AIQ_NEED_INTENT           /* a token with a plan that has this call */
} aiq_need_e;

/* name may end in '*': all methods that begin so */

typedef struct {
    aiq_str_t           name;
    aiq_need_e          need;
} aiq_method_rule_t;

typedef struct {
    aiq_mcp_class_e     cls;
    aiq_need_e          need;         /* without rules */
    aiq_str_t           method;       /* JSON-RPC method; empty for GET ... */
    aiq_str_t           id;           /* raw JSON of the id; empty: none */
    aiq_str_t           tool;         /* params.name of tools/call */
    uint32_t            params;       /* token of params, or NONE */
    uint32_t            args;         /* token of params.arguments, or NONE */
    uint32_t            meta;         /* token of params._meta, or NONE */
    aiq_str_t           revision;     /* "2025-11-25"; from header or _meta;
                                         default "2025-03-26" */
    aiq_str_t           asked;        /* a revision that we do not know */
    unsigned            modern:1;     /* 2026-07-28 or later */
    unsigned            notification:1;
} aiq_mcp_t;

/* request headers that mirror the body; data is NULL if absent */

typedef struct {
    aiq_str_t           protocol;     /* MCP-Protocol-Version */
    aiq_str_t           method;       /* Mcp-Method */
    aiq_str_t           name;         /* Mcp-Name */
} aiq_mcp_headers_t;


/*
 * doc is the parsed body.  Methods that we do not know are read like others,
 * and need is AIQ_NEED_REFUSE.  On refusal m->id is still set if it could be
 * read, to be echoed.  T18 (closed envelope, case-folded keys), T19, B33 to
 * B38 of trust.md; mcp.md B and C.
 */

aiq_rc_t aiq_mcp_read(aiq_mcp_t *m, const aiq_json_t *doc,
    const aiq_mcp_headers_t *h, aiq_mem_t *mem, aiq_err_t *err);

/*
 * Mcp-Param-* of tools/call (MCP 2026-07-28, "Custom Headers from Tool
 * Parameters").  Which argument a header repeats is in the schema of the tool,
 * which we do not have.  So a header is refused if there is an argument of its
 * name, in any case and at any depth, and its value is that of no argument at
 * all: that is a lie in any schema.  Others are for the server, which knows.
 * name is without "mcp-param-", in lower case.  AIQ_D_HEADER_MISMATCH,
 * AIQ_D_HEADER_DUPLICATE.
 */

#define AIQ_MCP_PARAMS_MAX   32       /* headers of a request */

typedef struct {
    aiq_str_t           name;
    aiq_str_t           value;
} aiq_mcp_param_t;

aiq_rc_t aiq_mcp_mirror_params(const aiq_json_t *doc, uint32_t args,
    const aiq_mcp_param_t *params, unsigned n, aiq_err_t *err);

/* those that are enforced, newest first: "2026-07-28","2025-11-25",...; modern:
   only those that a request may simply name in _meta */

void aiq_mcp_write_revisions(aiq_out_t *out, int modern);

/*
 * Sets m->need: by the rule that names the method, else by the longest rule
 * with '*' that fits, else by what the method is known for.  A rule with '*'
 * does not take the intent from a method that needs one, so that "* identity"
 * leaves tools/call alone.  AIQ_OK or AIQ_D_RPC_METHOD; AIQ_D_RPC_AMBIGUOUS if
 * a tool is called that has the name of a method which a rule wants an intent
 * for: a step of a plan could mean either.
 */

aiq_rc_t aiq_mcp_need(aiq_mcp_t *m, const aiq_method_rule_t *rules,
    unsigned n, aiq_err_t *err);

/* fit for a rule: visible ASCII, at most AIQ_METHOD_MAX, '*' at the end only */

int aiq_mcp_method_ok(aiq_str_t name);

/* POST /invoke, wire.md D */

typedef struct {
    aiq_str_t           mcp;
    aiq_str_t           tool;         /* "action"; "tool" must be equal;
                                         aiq_name_ok(), not only ASCII */
    uint32_t            args;         /* "params"; "arguments" must be equal */
    uint32_t            plan;         /* plan, intent_token.plan, or NONE */
    uint32_t            token;        /* csrg_token, token or
                                         intent_token.token, all equal */
    unsigned            enforce_only:1;
} aiq_invoke_t;

aiq_rc_t aiq_invoke_read(aiq_invoke_t *v, const aiq_json_t *doc,
    aiq_mem_t *mem, aiq_err_t *err);

/* tool name fit for an HTTP header: visible ASCII, 1 to AIQ_MCP_TOOL_MAX */

int aiq_mcp_tool_ok(aiq_str_t tool);

/* bytes equal, or equal after case folding with U+017F and U+212A */

int aiq_mcp_fold_eq(aiq_str_t a, aiq_str_t b);


#endif /* _AIQ_MCP_H_INCLUDED_ */
