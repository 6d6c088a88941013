
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The client side of MCP: what POST /invoke says to a server.  Argument bytes
 * are spliced out of the envelope, never written anew, so that the server
 * reads what was judged.
 */


#ifndef _AIQ_MCP_CALL_H_INCLUDED_
#define _AIQ_MCP_CALL_H_INCLUDED_


#include "mcp.h"


#define AIQ_MCP_VERSION_MAX   32


/*
 * tools/call for an envelope.  What SDKs add to the arguments is left out;
 * user_email as well unless email is 1.  modern: the protocol version to name
 * in _meta (2026-07-28 on), or empty.
 */

void aiq_mcp_write_call(aiq_out_t *out, const aiq_json_t *doc,
    const aiq_invoke_t *v, int email, uint64_t id, aiq_str_t modern);

/*
 * The body of a request without its _meta["io.armoriq/intent-token"], which
 * is for us and not for the server; all other bytes are as they were.
 * AIQ_DECLINED: there is none.
 */

aiq_rc_t aiq_mcp_write_untold(aiq_out_t *out, const aiq_json_t *doc,
    uint32_t meta);

void aiq_mcp_write_initialize(aiq_out_t *out, uint64_t id, aiq_str_t version);

/*
 * The answer to "initialize" in a JSON document or an event stream, maybe not
 * complete yet: AIQ_OK and the version (in mem), AIQ_DECLINED (not there yet,
 * or not readable), AIQ_D_RPC_INVALID (there, but refused), AIQ_E_NO_MEMORY.
 */

aiq_rc_t aiq_mcp_read_initialized(aiq_str_t text, int sse, uint64_t id,
    aiq_mem_t *mem, aiq_str_t *version);


#endif /* _AIQ_MCP_CALL_H_INCLUDED_ */
