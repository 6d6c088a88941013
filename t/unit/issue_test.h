
/*
 * Copyright (C) ngx_armoriq authors
 *
 * A store, and a call that issues a token, for the tests of what is refused and
 * of what is issued.
 */


#ifndef _AIQ_ISSUE_TEST_H_INCLUDED_
#define _AIQ_ISSUE_TEST_H_INCLUDED_


#include <jansson.h>

#include "decide_test.h"
#include "issue.h"


#define BIG      (16 * 1024 * 1024)


typedef struct {
    const char         *what;
    const char         *plan;
    const char         *policy;       /* JSON, or NULL: none */
    aiq_rc_t            rc;
    const char         *said;         /* part of the sentence */
} issue_case_t;


static aiq_rc_t issue_again(void);
static size_t rows(tenant_t *t, aiq_store_kind_e kind);
static aiq_rc_t count_row(void *data, aiq_str_t id, aiq_str_t value);


static aiq_issue_t        in_;
static aiq_issued_pair_t  out;
static aiq_json_t         doc;
static aiq_mem_t          big;
static unsigned char     *big_room;
static char              *texts;
static size_t             tokens, plans;      /* rows that there were */


/* with a default for what in_ does not say */

__attribute__((unused))
static aiq_rc_t
issue(const char *plan, const char *policy)
{
    big.pos = big_room;
    big.end = big_room + BIG;

    snprintf(texts, BIG, "{\"plan\":%s%s%s}", plan,
             policy ? ",\"policy\":" : "", policy ? policy : "");

    must(aiq_json_parse(&doc, S(texts), AIQ_JSON_DEPTH, &big, &err), "JSON");

    in_.doc = &doc;
    in_.plan = aiq_json_get(&doc, 0, "plan");
    in_.policy = aiq_json_get(&doc, 0, "policy");

    return issue_again();
}


__attribute__((unused))
static aiq_rc_t
issue_again(void)
{
    tokens = rows(&acme, AIQ_STORE_TOKEN);
    plans = rows(&acme, AIQ_STORE_PLAN);

    in_.store = store;
    in_.crypto = crypto;
    in_.mem = &big;

    memset(&err, 0, sizeof(err));
    memset(&out, 0xbb, sizeof(out));

    return aiq_issue(&out, &in_, &err);
}


__attribute__((unused))
static void
as_usual(void)
{
    memset(&in_, 0, sizeof(in_));

    in_.org = S("acme");
    in_.user = S("alice");
    in_.agent = S("sysadmin");
    in_.now = NOW;
    in_.source.family = 4;
    memcpy(in_.source.addr, "\xc0\x00\x02\x07", 4);
}


__attribute__((unused))
static aiq_rc_t
count_row(void *data, aiq_str_t id, aiq_str_t value)
{
    (*(size_t *) data)++;

    return AIQ_OK;
}


__attribute__((unused))
static size_t
rows(tenant_t *t, aiq_store_kind_e kind)
{
    size_t            n;
    aiq_store_txn_t  *txn;

    n = 0;
    txn = must_begin(store, 0);

    must(aiq_store_each(txn, S(t->name), kind, count_row, &n), "rows");
    aiq_store_abort(txn);

    return n;
}


/* refused, with a sentence, and nothing was written */

__attribute__((unused))
static int
refused(aiq_rc_t rc, aiq_rc_t want, const char *said, const char *what)
{
    if (!ok(rc == want && (said == NULL || strstr(err.text, said) != NULL)
            && rows(&acme, AIQ_STORE_TOKEN) == tokens
            && rows(&acme, AIQ_STORE_PLAN) == plans,
            "%s: %s", what, aiq_reason(want)))
    {
        diag("%s \"%s\"", aiq_reason(rc), err.text);
        return 0;
    }

    return 1;
}


__attribute__((unused))
static void
issue_begin(void)
{
    world_begin();

    must(aiq_store_seed_write(in(root, "store"), S("main"), acme.seed, &err),
         "seed");

    big_room = malloc(BIG);
    texts = malloc(BIG);

    if (big_room == NULL || texts == NULL) {
        printf("Bail out! no memory\n");
        exit(1);
    }

    made.pos = made_room;
    made.end = made_room + ROOM;

    as_usual();
}


__attribute__((unused))
static int
issue_end(void)
{
    free(big_room);
    free(texts);

    return world_end();
}


#endif /* _AIQ_ISSUE_TEST_H_INCLUDED_ */
