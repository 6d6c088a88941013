
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The reader is the one that lists go through: what it does not take as JSON
 * is not guessed at.
 */


#include <string.h>

#include "mcp_answer.h"


static aiq_rc_t aiq_mcp_answer_message(aiq_mcp_answer_t *a,
    const aiq_json_t *doc, uint32_t i, aiq_str_t id, int alone,
    aiq_mem_t *mem, aiq_err_t *err);
static aiq_rc_t aiq_mcp_answer_is(const aiq_json_t *doc, uint32_t i,
    aiq_str_t id, aiq_mem_t *mem);


aiq_rc_t
aiq_mcp_answer_read(aiq_mcp_answer_t *a, aiq_str_t text, aiq_str_t id,
    int alone, aiq_mem_t *mem, aiq_err_t *err)
{
    uint32_t    i;
    aiq_rc_t    rc;
    aiq_json_t  doc;

    memset(a, 0, sizeof(aiq_mcp_answer_t));

    rc = aiq_json_scan(&doc, text, AIQ_JSON_DEPTH, mem, err);

    if (rc != AIQ_OK) {
        return rc;
    }

    if (aiq_json_type(&doc, 0) != AIQ_JSON_ARRAY) {
        return aiq_mcp_answer_message(a, &doc, 0, id, alone, mem, err);
    }

    rc = AIQ_DECLINED;

    for (i = aiq_json_first(&doc, 0);
         i != AIQ_JSON_NONE && rc == AIQ_DECLINED;
         i = aiq_json_next(&doc, 0, i))
    {
        rc = aiq_mcp_answer_message(a, &doc, i, id, 0, mem, err);
    }

    return rc;
}


static aiq_rc_t
aiq_mcp_answer_message(aiq_mcp_answer_t *a, const aiq_json_t *doc,
    uint32_t i, aiq_str_t id, int alone, aiq_mem_t *mem, aiq_err_t *err)
{
    int         nobody;
    aiq_rc_t    rc;
    uint32_t    error, result, to, code;
    aiq_json_t  number;

    error = aiq_json_get(doc, i, "error");
    result = aiq_json_get(doc, i, "result");
    to = aiq_json_get(doc, i, "id");

    if ((error == AIQ_JSON_NONE) == (result == AIQ_JSON_NONE)
        || aiq_json_get(doc, i, "method") != AIQ_JSON_NONE)
    {
        return AIQ_DECLINED;
    }

    nobody = (to == AIQ_JSON_NONE || aiq_json_type(doc, to) == AIQ_JSON_NULL);

    if (!(nobody && alone && error != AIQ_JSON_NONE)) {
        rc = aiq_mcp_answer_is(doc, to, id, mem);

        if (rc != AIQ_OK) {
            return rc;
        }
    }

    if (error == AIQ_JSON_NONE) {
        a->is_error = (aiq_json_type(doc, aiq_json_get(doc, result,
                                                       "isError"))
                       == AIQ_JSON_TRUE);
        return AIQ_OK;
    }

    /* numbers of a text that was scanned are not known to be integers */

    code = aiq_json_get(doc, error, "code");

    rc = (aiq_json_type(doc, code) == AIQ_JSON_NUMBER)
         ? aiq_json_parse(&number, aiq_json_raw(doc, code), 1, mem, NULL)
         : AIQ_DECLINED;

    if (rc == AIQ_OK) {
        rc = aiq_json_int(&number, 0, &a->code);
    }

    if (rc != AIQ_OK) {
        return aiq_fail(err, AIQ_D_RPC_INVALID,
                        "an error without an integer as its code");
    }

    a->error = 1;

    return AIQ_OK;
}


/* a string may have been written in another way */

static aiq_rc_t
aiq_mcp_answer_is(const aiq_json_t *doc, uint32_t i, aiq_str_t id,
    aiq_mem_t *mem)
{
    aiq_rc_t    rc;
    aiq_str_t   s;
    aiq_json_t  own;

    switch (aiq_json_type(doc, i)) {

    case AIQ_JSON_NUMBER:
    case AIQ_JSON_STRING:
        break;

    default:
        return AIQ_DECLINED;
    }

    if (aiq_str_eq(aiq_json_raw(doc, i), id)) {
        return AIQ_OK;
    }

    if (aiq_json_type(doc, i) == AIQ_JSON_NUMBER) {
        return AIQ_DECLINED;
    }

    rc = aiq_json_scan(&own, id, 1, mem, NULL);

    if (rc == AIQ_OK) {
        rc = aiq_json_string(&own, 0, mem, &s);
    }

    if (rc != AIQ_OK) {
        return aiq_is_fault(rc) ? rc : AIQ_DECLINED;
    }

    return aiq_json_is_str(doc, i, s) ? AIQ_OK : AIQ_DECLINED;
}
