
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The tools of an MCP server, where they were registered: a row of the store
 * with their names, sorted.  A server without that row may have any tool.
 */


#ifndef _AIQ_TOOLS_H_INCLUDED_
#define _AIQ_TOOLS_H_INCLUDED_


#include "store.h"


#define AIQ_TOOLS_MAX    4096         /* of a server */


typedef struct {
    aiq_str_t           *names;       /* in the order of bytes */
    uint32_t             n;
} aiq_tools_t;


/*
 * Names from a document: an array of strings, or what "tools/list" answers
 * ({"tools": [{"name": ...}]}, with or without "result" around it).  Strings
 * live in doc or in mem.  AIQ_D_REQUEST_INVALID with a sentence: none, too
 * many, a name that cannot be called, or one that is there twice.
 */

aiq_rc_t aiq_tools_read(aiq_tools_t *tools, const aiq_json_t *doc,
    aiq_mem_t *mem, aiq_err_t *err);

/* AIQ_DECLINED: the server has no such row; everything is copied to mem */

aiq_rc_t aiq_tools_get(aiq_store_txn_t *txn, aiq_str_t org, aiq_str_t server,
    aiq_tools_t *tools, aiq_mem_t *mem);

aiq_rc_t aiq_tools_put(aiq_store_txn_t *txn, aiq_str_t org, aiq_str_t server,
    const aiq_tools_t *tools, aiq_mem_t *mem, aiq_err_t *err);

int aiq_tools_has(const aiq_tools_t *tools, aiq_str_t name);


#endif /* _AIQ_TOOLS_H_INCLUDED_ */
