
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Plans for the tests of plans and of proofs.
 */


#ifndef _AIQ_PLAN_CHECK_H_INCLUDED_
#define _AIQ_PLAN_CHECK_H_INCLUDED_


#include "tap.h"
#include "b64.h"
#include "plan.h"


#define MEM   (32 * 1024 * 1024)


static aiq_rc_t read_plan(aiq_plan_t *plan, const char *text);
static char *thousand(int n);
static void rewind_mem(void);


static aiq_crypto_t   *c;
static unsigned char  *memory;
static aiq_mem_t       mem;
static aiq_err_t       err;


__attribute__((unused))
static void
rewind_mem(void)
{
    mem.pos = memory;
    mem.end = memory + MEM;
    err.text[0] = '\0';
}


__attribute__((unused))
static aiq_rc_t
read_plan(aiq_plan_t *plan, const char *text)
{
    aiq_rc_t    rc;
    aiq_json_t  doc;

    rc = aiq_json_parse(&doc, aiq_cstr(text), AIQ_JSON_DEPTH, &mem, &err);

    if (rc != AIQ_OK) {
        diag("%s", err.text);
        return rc;
    }

    return aiq_plan_read(plan, &doc, 0, c, &mem, &err);
}


__attribute__((unused))
static char *
thousand(int n)
{
    int    i;
    char  *text, *p;

    text = malloc((size_t) n * 64 + 64);
    p = text + sprintf(text, "{\"goal\":\"many\",\"steps\":[");

    for (i = 0; i < n; i++) {
        p += sprintf(p, "%s{\"action\":\"t\",\"mcp\":\"m\","
                     "\"params\":{\"i\":%d}}", i ? "," : "", i);
    }

    strcpy(p, "]}");

    return text;
}


#endif /* _AIQ_PLAN_CHECK_H_INCLUDED_ */
