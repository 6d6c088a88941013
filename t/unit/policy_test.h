
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Policies for the tests of what they compile to, and of what they decide.
 */


#ifndef _AIQ_POLICY_TEST_H_INCLUDED_
#define _AIQ_POLICY_TEST_H_INCLUDED_


#include <time.h>

#include "policy.h"
#include "tap.h"


#define MEM_SIZE  (4 * 1024 * 1024)

/* 2026-07-15 is a Wednesday */

#define NOON      1784116800LL
#define HOUR      3600
#define DAY       86400


static unsigned char  memory[MEM_SIZE];
static aiq_mem_t      mem;
static aiq_err_t      err;
static aiq_rc_t       last;
static unsigned       loads;


/* "Test/Zone": two hours east, and one more from March to October; Berlin has
   its rule, so that the tests need no zone files */

__attribute__((unused))
static aiq_rc_t
load_zone(void *data, aiq_str_t name, aiq_mem_t *m, aiq_str_t *tzif)
{
    int             i;
    aiq_str_t       s;
    const char     *footer;
    unsigned char   buf[256], *p;

    loads++;

    if (data != NULL) {
        return AIQ_E_STORE_UNAVAILABLE;
    }

    if (aiq_str_is(name, "Test/Zone")) {
        footer = "\nEET-2EEST,M3.5.0/3,M10.5.0/4\n";

    } else if (aiq_str_is(name, "Europe/Berlin")) {
        footer = "\nCET-1CEST,M3.5.0,M10.5.0/3\n";

    } else if (aiq_str_is(name, "Test/West")) {
        footer = "\n<-0930>9:30\n";

    } else if (aiq_str_is(name, "Test/Broken")
               || aiq_str_is(name, "Test/Later"))
    {
        footer = "\nEET-2EEST\n";

    } else if (aiq_str_is(name, "Test/Empty")) {
        aiq_str_null(tzif);
        return AIQ_OK;

    } else {
        return AIQ_DECLINED;
    }

    p = buf;

    for (i = 0; i < 2; i++) {
        memset(p, 0, 44 + 6 + 4);
        memcpy(p, "TZif2", 5);
        p[39] = 1;
        p[43] = 4;
        p += 44 + 6 + 4;
    }

    /* a transition in 2038: the broken footer is not needed before */

    if (aiq_str_is(name, "Test/Later")) {
        buf[54 + 35] = 1;
        memset(p - 10, 0, 19);
        p[-10 + 4] = 0x7f;
        p += 9;
    }

    memcpy(p, footer, strlen(footer));

    s.data = buf;
    s.len = (size_t) (p - buf) + strlen(footer);

    return aiq_mem_dup(m, s, tzif);
}


__attribute__((unused))
static void
reset(void)
{
    mem.pos = memory;
    mem.end = memory + MEM_SIZE;
}


__attribute__((unused))
static aiq_policy_t *
compile(const char *text, int named)
{
    aiq_json_t     doc;
    aiq_policy_t  *p;

    p = NULL;
    memset(&err, 0, sizeof(err));

    last = aiq_json_parse(&doc, aiq_cstr(text), AIQ_JSON_DEPTH, &mem, &err);

    if (last == AIQ_OK) {
        last = aiq_policy_compile(&p, &doc, 0, named, load_zone, NULL, &mem,
                                  &err);
    }

    return (last == AIQ_OK) ? p : NULL;
}


__attribute__((unused))
static aiq_policy_call_t
call_to(const char *mcp, const char *tool)
{
    aiq_policy_call_t  call;

    call.mcp = aiq_cstr(mcp);
    call.tool = aiq_cstr(tool);
    call.user = aiq_cstr("alice");
    call.agent = aiq_cstr("sysadmin");
    call.now = NOON;

    (void) aiq_addr_parse(&call.source, aiq_cstr("192.0.2.7"));

    return call;
}


#endif /* _AIQ_POLICY_TEST_H_INCLUDED_ */
