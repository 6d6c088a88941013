
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Tables of requests with one thing changed, and what becomes of them: with
 * and without what was remembered of the token.
 */


#ifndef _AIQ_DECIDE_ROWS_H_INCLUDED_
#define _AIQ_DECIDE_ROWS_H_INCLUDED_


#include "decide_test.h"


typedef struct {
    const char         *what;
    aiq_rc_t            rc;
    unsigned            kinds;
    change_t            change;
    void              (*world)(int on);       /* changes, and changes back */
    void              (*touch)(void);         /* the request, once made */
} row_t;

typedef struct {
    aiq_rc_t            rc;
    int64_t             step;
    aiq_hash_t          ledger;
    uint32_t            rates[2];
    unsigned            flags;
    char                strings[6][64];
} outcome_t;

typedef enum {
    COLD = 0,                 /* nothing is remembered */
    FRESH,                    /* a memo, and it is empty */
    WARM,                     /* the token of a good request is in it */
    TWICE                     /* and the same row came a moment ago */
} mode_e;


static const char *kind_name(unsigned kind);
static aiq_rc_t row_decide(const row_t *row, unsigned kind);
static int row_headers(const row_t *row);
static int row_sane(const row_t *row, unsigned kind, mode_e mode);
static void row_outcome(outcome_t *o);
static int row_mode(const row_t *row, unsigned kind, mode_e mode,
    outcome_t *o);
static void row_run(const row_t *row, unsigned kind);
static void rows_run(const row_t *rows, size_t n);


static const char *
kind_name(unsigned kind)
{
    switch (kind) {

    case BARE:
        return "token";

    case NATIVE:
        return "token and key";

    case INTENT:
        return "X-ArmorIQ-Intent";

    case META:
        return "_meta";

    case INVOKE:
        return "invoke, IAP";

    default:
        return "invoke, JWS";
    }
}


static aiq_rc_t
row_decide(const row_t *row, unsigned kind)
{
    make(&acme, kind, &row->change);

    if (row->touch) {
        row->touch();
    }

    return decide();
}


/*
 * The headers alone: nothing is refused that would be permitted, and if it
 * is refused it is for the same reason.
 */

static int
row_headers(const row_t *row)
{
    aiq_rc_t        rc;
    aiq_decision_t  h;

    rq.body = NULL;
    rq.txn = must_begin(store, 0);

    memset(&h, 0xbb, sizeof(h));

    rc = aiq_decide_headers(&h, &rq);
    aiq_store_abort(rq.txn);

    /* that there is another token in the body is not known */

    if (rc == AIQ_D_TOKEN_MALFORMED && row->rc == AIQ_D_TOKEN_AMBIGUOUS) {
        return 1;
    }

    if ((rc != AIQ_OK && rc != row->rc) || rc != h.rc || h.reserved
        || h.step != -1 || h.verdict != (rc == AIQ_OK ? AIQ_VERDICT_NONE
                                                      : AIQ_VERDICT_DENY))
    {
        diag("the headers alone: %s, verdict %d", aiq_reason(rc), h.verdict);
        return 0;
    }

    return 1;
}


/* what holds for every decision */

static int
row_sane(const row_t *row, unsigned kind, mode_e mode)
{
    int  call;

    if (d.rc != AIQ_OK) {

        if (uses() != 0) {
            diag("a use of a step is lost");
            return 0;
        }

        if (aiq_is_denied(d.rc) && d.err.text[0] == '\0') {
            diag("no detail for the record");
            return 0;
        }

        if (d.rc >= AIQ_D_TOKEN_MISSING && d.rc <= AIQ_D_TOKEN_OWNER
            && d.trusted && row->rc != AIQ_D_TOKEN_CLAIMS)
        {
            diag("a refused token is trusted");
            return 0;
        }

        return 1;
    }

    call = (rq.invoke || d.mcp.cls == AIQ_MCP_CALL);

    if (call != (d.step >= 0) || (unsigned) d.reserved != uses()
        || d.reserved != (call && rq.uses && !d.invoke.enforce_only)
        || !aiq_str_is(d.org, "acme") || (call && !d.trusted)
        || !aiq_str_is(d.server, "fs"))
    {
        diag("step %d, reserved %d, uses %u, org %.*s", (int) d.step,
             d.reserved, uses(), (int) d.org.len, (const char *) d.org.data);
        return 0;
    }

    /* the tests of the memo are to test the memo */

    if ((mode == TWICE || (mode == WARM && row->change.claim == NULL))
        && (kind & JWS) && d.trusted && d.memo == NULL)
    {
        diag("the token was not remembered");
        return 0;
    }

    return 1;
}


static void
row_outcome(outcome_t *o)
{
    unsigned  i;

    const aiq_str_t  strings[] = {
        d.org, d.user, d.agent, d.policy, d.token.jti, d.token.kid
    };

    memset(o, 0, sizeof(outcome_t));

    o->rc = d.rc;
    o->step = d.step;
    o->rates[0] = d.policy_rate;
    o->rates[1] = d.token_rate;
    o->flags = d.trusted | d.has_args << 1 | d.email << 2;

    memcpy(o->ledger, d.ledger, AIQ_HASH_LEN);

    for (i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
        snprintf(o->strings[i], sizeof(o->strings[i]), "%.*s",
                 (int) strings[i].len, (const char *) strings[i].data);
    }
}


static int
row_mode(const row_t *row, unsigned kind, mode_e mode, outcome_t *o)
{
    int             early;
    aiq_rc_t        rc;

    static change_t  nothing;

    forget();

    if (mode == COLD) {
        shared.forgetful = 1;

    } else {
        new_memo();
    }

    if (mode >= WARM && run(&acme, kind, &nothing) != AIQ_OK) {
        diag("the good request: %s", aiq_reason(d.rc));
        return 0;
    }

    shared.nuses = 0;
    shared.nbuckets = 0;

    if (row->world) {
        row->world(1);
    }

    if (mode == TWICE) {
        (void) row_decide(row, kind);
        shared.nuses = 0;
        shared.nbuckets = 0;
    }

    rc = row_decide(row, kind);
    row_outcome(o);

    early = (mode != COLD) || row_headers(row);

    if (row->world) {
        row->world(0);
    }

    if (rc != row->rc) {
        diag("got %s, \"%s\"", aiq_reason(rc), d.err.text);
        return 0;
    }

    return early && row_sane(row, kind, mode);
}


static void
row_run(const row_t *row, unsigned kind)
{
    mode_e     mode;
    outcome_t  first, o;

    for (mode = COLD; mode <= TWICE; mode++) {

        if (!row_mode(row, kind, mode, &o)) {
            break;
        }

        if (mode == COLD) {
            first = o;
        }

        if (memcmp(&first, &o, sizeof(outcome_t)) != 0) {
            diag("the memo makes a difference");
            break;
        }
    }

    if (!ok(mode > TWICE, "%s (%s): %s", row->what, kind_name(kind),
            aiq_reason(row->rc)))
    {
        diag("memo: mode %d", (int) mode);
    }
}


static void
rows_run(const row_t *rows, size_t n)
{
    size_t    i;
    unsigned  kind;

    for (i = 0; i < n; i++) {
        for (kind = BARE; kind <= STRING; kind <<= 1) {
            if (rows[i].kinds & kind) {
                row_run(&rows[i], kind);
            }
        }
    }
}


#endif /* _AIQ_DECIDE_ROWS_H_INCLUDED_ */
