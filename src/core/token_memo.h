
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Tokens that were verified a moment ago, as they were read: an agent shows
 * the same one with each of its calls.  What is remembered is the reading and
 * which key had signed; times, issuer, revocation and owner are asked anew
 * with each use.  Belongs to one thread; memory is the caller's.
 */


#ifndef _AIQ_TOKEN_MEMO_H_INCLUDED_
#define _AIQ_TOKEN_MEMO_H_INCLUDED_


#include "policy.h"
#include "token.h"


#define AIQ_MEMO_TEXT    3072         /* longer tokens are read each time */
#define AIQ_MEMO_MEM     8192         /* strings and policy of one token */

typedef struct aiq_token_memo_s  aiq_token_memo_t;

typedef struct {
    aiq_token_t         token;
    aiq_hash_t          ledger;
    unsigned char       public_key[AIQ_KEY_LEN];
    aiq_policy_t       *policy;       /* of the token; NULL: it has none */
    size_t              len;
    unsigned char       text[AIQ_MEMO_TEXT];
    unsigned char       mem[AIQ_MEMO_MEM];
} aiq_memo_t;


/* bytes for so many tokens */

size_t aiq_token_memo_size(unsigned slots);
aiq_token_memo_t *aiq_token_memo_init(void *mem, unsigned slots);

/*
 * The memo of exactly this text, or NULL.  It and the strings in it live
 * until the next put.
 */

const aiq_memo_t *aiq_token_memo_get(const aiq_token_memo_t *memo,
    aiq_str_t text);

/* a token whose signature was verified with public_key; what does not fit is
   not remembered */

void aiq_token_memo_put(aiq_token_memo_t *memo, aiq_str_t text,
    const aiq_token_t *token, const unsigned char public_key[AIQ_KEY_LEN],
    const aiq_hash_t ledger, aiq_tz_load_pt tz, void *tz_data);


#endif /* _AIQ_TOKEN_MEMO_H_INCLUDED_ */
