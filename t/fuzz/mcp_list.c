
/*
 * Copyright (C) ngx_armoriq authors
 *
 * A message of a server.  Of what is accepted all that goes is tools, and
 * what is written is accepted again with nothing left to be changed.
 */


#include <stdlib.h>
#include <string.h>

#include "mcp_list.h"


#define MEM_SIZE  (4 * 1024 * 1024)

#define check(x)                                                              \
    do {                                                                      \
        if (!(x)) {                                                           \
            abort();                                                          \
        }                                                                     \
    } while (0)


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static aiq_rc_t fuzz_visible(void *data, aiq_str_t tool);


static unsigned char  memory[MEM_SIZE];
static unsigned char  written[1024 * 1024];


/* by the last byte, so that names tell */

static aiq_rc_t
fuzz_visible(void *data, aiq_str_t tool)
{
    (*(unsigned *) data)++;

    return (tool.len && (tool.data[tool.len - 1] & 1)) ? AIQ_OK
                                                       : AIQ_D_POLICY_DENY;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    aiq_rc_t         rc;
    unsigned         asked;
    aiq_mem_t        mem;
    aiq_err_t        err;
    aiq_out_t        out;
    aiq_str_t        text, after;
    aiq_mcp_list_t   l, again;

    if (size < 1 || size > sizeof(written) / 4) {
        return 0;
    }

    memset(&l, 0, sizeof(l));

    asked = 0;

    l.visible = fuzz_visible;
    l.data = &asked;
    l.scope = data[0] & 1;

    text.data = data + 1;
    text.len = size - 1;

    mem.pos = memory;
    mem.end = memory + MEM_SIZE;

    rc = aiq_mcp_list_read(&l, text, &mem, &err);

    check(rc == AIQ_OK || rc == AIQ_D_LIST_INVALID);

    if (rc != AIQ_OK) {
        return 0;
    }

    check(l.tools == asked && l.hidden <= l.tools);
    check(l.tools == 0 || l.lists);
    check(l.edits != NULL || (l.size == text.len && l.hidden == 0));

    aiq_out_init(&out, written, sizeof(written));
    aiq_mcp_list_write(&out, &l, text);

    after = aiq_out_done(&out);

    check(!out.failed && after.len == l.size);

    again = l;
    mem.pos = memory;
    asked = 0;

    check(aiq_mcp_list_read(&again, after, &mem, &err) == AIQ_OK);
    check(again.edits == NULL && again.hidden == 0);
    check(again.tools == l.tools - l.hidden && again.lists == l.lists);

    return 0;
}
