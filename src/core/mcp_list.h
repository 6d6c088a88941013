
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The answer to tools/list without the tools that its reader may not call.
 * What stays, stays byte for byte: bytes are cut out of the text and put into
 * it, nothing is written anew.
 */


#ifndef _AIQ_MCP_LIST_H_INCLUDED_
#define _AIQ_MCP_LIST_H_INCLUDED_


#include "json.h"


typedef struct aiq_list_edit_s  aiq_list_edit_t;

struct aiq_list_edit_s {
    size_t              pos;          /* in the text */
    size_t              len;          /* bytes that go */
    aiq_str_t           put;          /* what comes in their place */
    aiq_list_edit_t    *next;
};

/* AIQ_OK, a denial (the tool is left out), or a fault */

typedef aiq_rc_t (*aiq_list_visible_pt)(void *data, aiq_str_t tool);

/* before the first tool is asked for; what it takes from mem stays */

typedef aiq_rc_t (*aiq_list_begin_pt)(void *data);

typedef struct {
    aiq_list_begin_pt   begin;        /* or NULL */
    aiq_list_visible_pt visible;
    void               *data;
    int                 scope;        /* a list without cacheScope gets one */

    aiq_str_t           id;           /* raw JSON, of the last message read;
                                         empty: none */
    uint32_t            lists;        /* results that had tools */
    uint32_t            tools;        /* in them, before */
    uint32_t            hidden;
    size_t              size;         /* of the text, after */
    aiq_list_edit_t    *edits;        /* NULL: the text stays as it is */
} aiq_mcp_list_t;


/*
 * Reads a message of a server, or an array of them as revision 2025-03-26
 * allows, and finds what is to be changed: tools that are not visible are cut
 * out, and cacheScope becomes "private", as the list is for one caller now.
 * Messages without result.tools are left alone.
 *
 * The caller sets begin, visible, data and scope.  Everything that is kept
 * comes from mem.  AIQ_D_LIST_INVALID if there may be a list that cannot be
 * read, or that another reader could read in another way; or a fault.
 */

aiq_rc_t aiq_mcp_list_read(aiq_mcp_list_t *l, aiq_str_t text, aiq_mem_t *mem,
    aiq_err_t *err);

/*
 * 0 if the text cannot hold a member "tools", however it is written: then it
 * is no list, whatever else it is.
 */

int aiq_mcp_list_possible(aiq_str_t text);

/* the text that was read, with the edits: l->size bytes */

void aiq_mcp_list_write(aiq_out_t *out, const aiq_mcp_list_t *l,
    aiq_str_t text);


#endif /* _AIQ_MCP_LIST_H_INCLUDED_ */
