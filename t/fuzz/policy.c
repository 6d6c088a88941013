
/*
 * Copyright (C) ngx_armoriq authors
 *
 * A policy as an administrator or a token brings it, and its time zone: the
 * text is JSON up to the first NUL, what follows is a TZif file.
 */


#include <stdlib.h>
#include <string.h>

#include "policy.h"


#define MEM_SIZE  (4 * 1024 * 1024)

#define check(x)                                                              \
    do {                                                                      \
        if (!(x)) {                                                           \
            abort();                                                          \
        }                                                                     \
    } while (0)


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static aiq_rc_t fuzz_load(void *data, aiq_str_t name, aiq_mem_t *mem,
    aiq_str_t *tzif);
static void fuzz_eval(aiq_policy_t *policy, int named);


static unsigned char  memory[MEM_SIZE];


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int             named;
    int32_t         offset;
    aiq_rc_t        rc;
    aiq_mem_t       mem;
    aiq_err_t       err;
    aiq_str_t       text, zone;
    aiq_json_t      doc;
    aiq_policy_t   *policy;
    unsigned char  *pos;

    mem.pos = memory;
    mem.end = memory + MEM_SIZE;

    text.data = data;
    text.len = size ? strnlen((const char *) data, size) : 0;
    zone.data = data + text.len;
    zone.len = size - text.len;

    if (zone.len) {
        zone.data++;
        zone.len--;
    }

    rc = aiq_tz_offset(zone, 1784116800, &offset);

    check(rc == AIQ_OK || rc == AIQ_DECLINED);
    check(rc != AIQ_OK || (offset > -90000 && offset < 97200));

    if (aiq_json_parse(&doc, text, AIQ_JSON_DEPTH, &mem, &err) != AIQ_OK) {
        return 0;
    }

    for (named = 0; named < 2; named++) {

        pos = mem.pos;

        rc = aiq_policy_compile(&policy, &doc, 0, named, fuzz_load, &zone,
                                &mem, &err);

        if (rc == AIQ_OK) {
            fuzz_eval(policy, named);

        } else {
            check(rc == AIQ_D_POLICY_INVALID && policy == NULL);
            check(mem.pos == pos && err.text[0]);
        }
    }

    return 0;
}


static aiq_rc_t
fuzz_load(void *data, aiq_str_t name, aiq_mem_t *mem, aiq_str_t *tzif)
{
    aiq_str_t  *zone = data;

    check(name.len && name.data[0] != '/'
          && memchr(name.data, '.', name.len) == NULL);

    return aiq_mem_dup(mem, *zone, tzif);
}


static void
fuzz_eval(aiq_policy_t *policy, int named)
{
    unsigned             i;
    aiq_rc_t             rc, all;
    aiq_policy_call_t    call;
    const aiq_policy_t  *which;

    check(!named || aiq_name_ok(aiq_policy_name(policy)));

    aiq_str_set(&call.mcp, "fs");
    aiq_str_set(&call.tool, "read");
    aiq_str_set(&call.user, "alice");
    aiq_str_set(&call.agent, "sysadmin");

    memset(&call.source, 0, sizeof(call.source));

    for (i = 0; i < 12; i++) {

        call.source.family = (i % 3) ? 2 + 2 * (i % 3) : 0;
        call.source.addr[0] = 192;
        call.now = 1784116800 + (int64_t) i * 3000000;

        if (!named) {
            rc = aiq_policy_eval_token(policy, &call);
            check(rc == AIQ_OK || aiq_is_denied(rc));
            continue;
        }

        rc = aiq_policy_eval(policy, &call);
        check(rc == AIQ_OK || rc == AIQ_DECLINED || aiq_is_denied(rc));

        all = aiq_policy_eval_all(&policy, 1, 0, &call, &which);
        check(all == (rc == AIQ_DECLINED ? AIQ_D_POLICY_NOT_ALLOWED : rc));
        check((which == NULL) == (rc == AIQ_DECLINED));
    }
}
