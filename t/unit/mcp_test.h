
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Memory and a document, for the tests of MCP and of /invoke.
 */


#ifndef _AIQ_MCP_TEST_H_INCLUDED_
#define _AIQ_MCP_TEST_H_INCLUDED_


#include "mcp.h"
#include "tap.h"


#define MEM_SIZE  (8 * 1024 * 1024)

#define N40       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define N128      N40 N40 N40 "aaaaaaaa"


static unsigned char  memory[MEM_SIZE];
static aiq_mem_t      mem;
static aiq_json_t     doc;
static aiq_err_t      err;


#endif /* _AIQ_MCP_TEST_H_INCLUDED_ */
