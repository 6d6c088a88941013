
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Between mcp.c, mcp_invoke.c and mcp_mirror.c: reading objects whose members
 * are known, and headers that repeat them.
 */


#ifndef _AIQ_MCP_MEMBERS_H_INCLUDED_
#define _AIQ_MCP_MEMBERS_H_INCLUDED_


#include "mcp.h"


/* bytes of a client that an error shows */

#define AIQ_MCP_SHOWN      64

#define AIQ_MCP_MEMBERS    16         /* of a shape, at most */

#define aiq_mcp_shown(s)                                                      \
    (int) ((s).len < AIQ_MCP_SHOWN ? (s).len : AIQ_MCP_SHOWN),                \
    (const char *) (s).data


/*
 * The members of an object that have a meaning.  closed: there are no
 * others; otherwise others are not looked at, unless they could be taken for
 * one of these by a reader that does not mind the case.
 */

typedef struct {
    const aiq_str_t          *names;
    uint32_t                  n;
    unsigned                  closed:1;
    const char               *what;       /* "params" */
} aiq_mcp_shape_t;

typedef struct {
    const aiq_json_t         *doc;
    const aiq_mcp_headers_t  *headers;
    aiq_mem_t                *mem;
    aiq_err_t                *err;
} aiq_mcp_ctx_t;


/*
 * Reads the object obj in one pass: values[k] is the token of the member
 * names[k], or AIQ_JSON_NONE.  AIQ_D_RPC_INVALID, AIQ_D_RPC_AMBIGUOUS.
 */

aiq_rc_t aiq_mcp_members(const aiq_mcp_ctx_t *x, uint32_t obj,
    const aiq_mcp_shape_t *shape, uint32_t *values);

/*
 * Mcp-Method and Mcp-Name against the body.  named: the member of params that
 * Mcp-Name repeats, or NULL; open: only the server knows what it repeats.
 */

aiq_rc_t aiq_mcp_mirror(const aiq_mcp_t *m, const aiq_mcp_ctx_t *x,
    const char *named, int open);

/* without blanks at both ends */

aiq_str_t aiq_mcp_trim(aiq_str_t s);

/* 1 to max bytes of visible ASCII */

int aiq_mcp_visible(aiq_str_t s, size_t max);


#endif /* _AIQ_MCP_MEMBERS_H_INCLUDED_ */
