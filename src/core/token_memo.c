
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <string.h>

#include "token_memo.h"


struct aiq_token_memo_s {
    unsigned            slots;
    aiq_memo_t          memo[];
};


static aiq_memo_t *aiq_token_memo_slot(const aiq_token_memo_t *memo,
    aiq_str_t text);
static aiq_rc_t aiq_token_memo_copy(aiq_memo_t *m, aiq_mem_t *mem);
static aiq_rc_t aiq_token_memo_policy(aiq_memo_t *m, aiq_tz_load_pt tz,
    void *tz_data, aiq_mem_t *mem);


size_t
aiq_token_memo_size(unsigned slots)
{
    return sizeof(aiq_token_memo_t) + slots * sizeof(aiq_memo_t);
}


aiq_token_memo_t *
aiq_token_memo_init(void *mem, unsigned slots)
{
    unsigned           i;
    aiq_token_memo_t  *memo;

    memo = mem;
    memo->slots = slots;

    for (i = 0; i < slots; i++) {
        memo->memo[i].len = 0;
    }

    return memo;
}


/* the end of a JWS is its signature, as good as any hash */

static aiq_memo_t *
aiq_token_memo_slot(const aiq_token_memo_t *memo, aiq_str_t text)
{
    uint64_t  n;

    if (text.len < 32 || text.len > AIQ_MEMO_TEXT) {
        return NULL;
    }

    memcpy(&n, text.data + text.len - 16, sizeof(uint64_t));

    n *= 0x9e3779b97f4a7c15ULL;

    return (aiq_memo_t *) &memo->memo[(n >> 32) % memo->slots];
}


const aiq_memo_t *
aiq_token_memo_get(const aiq_token_memo_t *memo, aiq_str_t text)
{
    aiq_memo_t  *m;

    m = aiq_token_memo_slot(memo, text);

    if (m == NULL || m->len != text.len
        || memcmp(m->text, text.data, text.len) != 0)
    {
        return NULL;
    }

    return m;
}


void
aiq_token_memo_put(aiq_token_memo_t *memo, aiq_str_t text,
    const aiq_token_t *token, const unsigned char public_key[AIQ_KEY_LEN],
    const aiq_hash_t ledger, aiq_tz_load_pt tz, void *tz_data)
{
    aiq_mem_t    mem;
    aiq_memo_t  *m;

    m = aiq_token_memo_slot(memo, text);

    if (m == NULL) {
        return;
    }

    /* until all of it is there it is nobody's */

    m->len = 0;
    m->token = *token;

    memcpy(m->ledger, ledger, AIQ_HASH_LEN);
    memcpy(m->public_key, public_key, AIQ_KEY_LEN);
    memcpy(m->text, text.data, text.len);

    mem.pos = m->mem;
    mem.end = m->mem + AIQ_MEMO_MEM;

    if (aiq_token_memo_copy(m, &mem) == AIQ_OK
        && aiq_token_memo_policy(m, tz, tz_data, &mem) == AIQ_OK)
    {
        m->len = text.len;
    }
}


static aiq_rc_t
aiq_token_memo_copy(aiq_memo_t *m, aiq_mem_t *mem)
{
    unsigned      i;
    aiq_rc_t      rc;
    aiq_token_t  *t;

    t = &m->token;

    aiq_str_t  *const strings[] = {
        &t->kid, &t->iss, &t->aud, &t->sub, &t->org, &t->agent, &t->jti,
        &t->key, &t->policy
    };

    /* only the check of the signature wants it, and that was done */

    aiq_str_null(&t->signed_text);

    for (i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
        rc = aiq_mem_dup(mem, *strings[i], strings[i]);

        if (rc != AIQ_OK) {
            return rc;
        }
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_token_memo_policy(aiq_memo_t *m, aiq_tz_load_pt tz, void *tz_data,
    aiq_mem_t *mem)
{
    aiq_rc_t    rc;
    aiq_json_t  doc;

    m->policy = NULL;

    if (m->token.policy.len == 0) {
        return AIQ_OK;
    }

    rc = aiq_json_parse(&doc, m->token.policy, AIQ_TOKEN_DEPTH, mem, NULL);

    if (rc != AIQ_OK) {
        return rc;
    }

    return aiq_policy_compile(&m->policy, &doc, 0, 0, tz, tz_data, mem, NULL);
}
