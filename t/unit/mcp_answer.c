
/*
 * Copyright (C) ngx_armoriq authors
 */


#include "mcp_answer.h"
#include "tap.h"


typedef struct {
    const char  *what;
    const char  *text;
    const char  *id;
    int          alone;
    aiq_rc_t     rc;
    int          error;
    int64_t      code;
    int          is_error;
} answer_case_t;


static unsigned char  memory[1 << 20];


static const answer_case_t  cases[] = {

    { "a result", "{\"id\":1,\"result\":{}}", "1", 0, AIQ_OK, 0, 0, 0 },
    { "an error", "{\"id\":1,\"error\":{\"code\":-32601}}", "1", 0, AIQ_OK,
      1, -32601, 0 },
    { "an error of 0", "{\"id\":1,\"error\":{\"code\":0}}", "1", 0, AIQ_OK,
      1, 0, 0 },
    { "isError", "{\"result\":{\"isError\":true},\"id\":1}", "1", 0, AIQ_OK,
      0, 0, 1 },
    { "isError false", "{\"result\":{\"isError\":false},\"id\":1}", "1", 0,
      AIQ_OK, 0, 0, 0 },
    { "isError that is a string", "{\"result\":{\"isError\":\"true\"},"
      "\"id\":1}", "1", 0, AIQ_OK, 0, 0, 0 },
    { "isError somewhere else", "{\"result\":{\"x\":{\"isError\":true}},"
      "\"id\":1}", "1", 0, AIQ_OK, 0, 0, 0 },
    { "a result that is no object", "{\"result\":7,\"id\":1}", "1", 0, AIQ_OK,
      0, 0, 0 },
    { "a key that is escaped", "{\"\\u0069d\":1,\"err\\u006fr\":"
      "{\"c\\u006fde\":5}}", "1", 0, AIQ_OK, 1, 5, 0 },
    { "a number too large for a double in the result",
      "{\"id\":1,\"result\":[1e999,123456789012345678901]}", "1", 0, AIQ_OK,
      0, 0, 0 },

    { "another id", "{\"id\":2,\"result\":{}}", "1", 0, AIQ_DECLINED,
      0, 0, 0 },
    { "a string for a number", "{\"id\":\"1\",\"result\":{}}", "1", 0,
      AIQ_DECLINED, 0, 0, 0 },
    { "a number for a string", "{\"id\":1,\"result\":{}}", "\"1\"", 0,
      AIQ_DECLINED, 0, 0, 0 },
    { "a string, escaped by the server", "{\"id\":\"\\u0061\\/b\","
      "\"result\":{}}", "\"a/b\"", 0, AIQ_OK, 0, 0, 0 },
    { "a string, escaped by the client", "{\"id\":\"a/b\",\"result\":{}}",
      "\"\\u0061\\/b\"", 0, AIQ_OK, 0, 0, 0 },
    { "an id that is an object", "{\"id\":{},\"result\":{}}", "1", 1,
      AIQ_DECLINED, 0, 0, 0 },

    { "an error to nobody", "{\"id\":null,\"error\":{\"code\":1}}", "1", 1,
      AIQ_OK, 1, 1, 0 },
    { "an error without an id", "{\"error\":{\"code\":1}}", "1", 1,
      AIQ_OK, 1, 1, 0 },
    { "that may be for others", "{\"id\":null,\"error\":{\"code\":1}}", "1",
      0, AIQ_DECLINED, 0, 0, 0 },
    { "a result to nobody", "{\"id\":null,\"result\":{}}", "1", 1,
      AIQ_DECLINED, 0, 0, 0 },

    { "a notification", "{\"method\":\"x\",\"params\":{}}", "1", 1,
      AIQ_DECLINED, 0, 0, 0 },
    { "a request with our id", "{\"id\":1,\"method\":\"x\",\"result\":{}}",
      "1", 1, AIQ_DECLINED, 0, 0, 0 },
    { "both", "{\"id\":1,\"error\":{\"code\":1},\"result\":{}}", "1", 1,
      AIQ_DECLINED, 0, 0, 0 },
    { "neither", "{\"id\":1}", "1", 1, AIQ_DECLINED, 0, 0, 0 },
    { "no object", "7", "1", 1, AIQ_DECLINED, 0, 0, 0 },
    { "an empty array", "[]", "1", 1, AIQ_DECLINED, 0, 0, 0 },
    { "among others", "[{\"id\":2,\"result\":{}},7,{\"id\":1,\"error\":"
      "{\"code\":3}}]", "1", 0, AIQ_OK, 1, 3, 0 },
    { "an error to nobody among others", "[{\"id\":null,\"error\":"
      "{\"code\":3}}]", "1", 1, AIQ_DECLINED, 0, 0, 0 },

    { "no code", "{\"id\":1,\"error\":{}}", "1", 0, AIQ_D_RPC_INVALID,
      0, 0, 0 },
    { "a code with a fraction", "{\"id\":1,\"error\":{\"code\":1.0}}", "1",
      0, AIQ_D_RPC_INVALID, 0, 0, 0 },
    { "a code that is too large", "{\"id\":1,\"error\":"
      "{\"code\":9007199254740992}}", "1", 0, AIQ_D_RPC_INVALID, 0, 0, 0 },
    { "an error that is a string", "{\"id\":1,\"error\":\"x\"}", "1", 0,
      AIQ_D_RPC_INVALID, 0, 0, 0 }
};

/* what is no JSON, or may be read in two ways, says nothing */

static const char  *bad[] = {
    "", "{", "{\"id\":1,\"result\":{}}x", "\xff",
    "{\"id\":1,\"error\":{\"code\":1},\"error\":{\"code\":2}}",
    "{\"id\":1,\"id\":1,\"result\":{}}"
};


static aiq_rc_t
answer(aiq_mcp_answer_t *a, const char *text, const char *id, int alone,
    size_t room)
{
    aiq_mem_t  mem;
    aiq_err_t  err;

    mem.pos = memory;
    mem.end = memory + room;

    return aiq_mcp_answer_read(a, aiq_cstr(text), aiq_cstr(id), alone, &mem,
                               &err);
}


int
main(void)
{
    size_t                i;
    aiq_rc_t              rc;
    aiq_mcp_answer_t      a;
    const answer_case_t  *c;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        c = &cases[i];

        rc = answer(&a, c->text, c->id, c->alone, sizeof(memory));

        ok(rc == c->rc && (int) a.error == c->error
           && (rc != AIQ_OK || (a.code == c->code
                                && (int) a.is_error == c->is_error)),
           "%s: %d", c->what, (int) rc);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        rc = answer(&a, bad[i], "1", 1, sizeof(memory));

        ok(aiq_is_denied(rc) && !a.error && !a.is_error,
           "not to be read: %u", (unsigned) i);
    }

    /* no memory is never an answer */

    for (i = 0; i < 4096; i++) {
        rc = answer(&a, cases[1].text, "1", 0, i);

        if (rc == AIQ_OK) {
            break;
        }

        if (rc != AIQ_D_JSON_TOO_LARGE && rc != AIQ_E_NO_MEMORY
            && rc != AIQ_D_RPC_INVALID)
        {
            break;
        }
    }

    ok(i > 0 && i < 4096 && rc == AIQ_OK && a.code == -32601,
       "with as little memory as that");

    return done_testing();
}
