
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What a server has answered, for the record: the answer itself is for the
 * client, and passes as it is.
 */


#ifndef _AIQ_MCP_ANSWER_H_INCLUDED_
#define _AIQ_MCP_ANSWER_H_INCLUDED_


#include "json.h"


typedef struct {
    int64_t             code;         /* of an error */
    unsigned            error:1;
    unsigned            is_error:1;   /* result.isError is true */
} aiq_mcp_answer_t;


/*
 * Looks for the answer to the request with this id (raw JSON) in a message,
 * or in an array of them.  AIQ_OK: a is set.  AIQ_DECLINED: there is none in
 * it: a notification, a request of the server, an answer to something else.
 * AIQ_D_...: it cannot be read.  An error without an id, or with null, is one
 * of a server that could not read ours: the caller says with alone whether it
 * can be meant for anybody else.
 */

aiq_rc_t aiq_mcp_answer_read(aiq_mcp_answer_t *a, aiq_str_t text,
    aiq_str_t id, int alone, aiq_mem_t *mem, aiq_err_t *err);


#endif /* _AIQ_MCP_ANSWER_H_INCLUDED_ */
