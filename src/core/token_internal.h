
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What the two readers of tokens share; nobody else includes it.
 */


#ifndef _AIQ_TOKEN_INTERNAL_H_INCLUDED_
#define _AIQ_TOKEN_INTERNAL_H_INCLUDED_


#include "token.h"


/* the object that claims are read from */

typedef struct {
    const aiq_json_t   *doc;
    uint32_t            obj;
    aiq_mem_t          *mem;
    aiq_err_t          *err;
} aiq_claims_t;


/* AIQ_OK, AIQ_D_TOKEN_CLAIMS with the name of the claim, or a fault */

aiq_rc_t aiq_claim_name(const aiq_claims_t *cl, const char *name, int required,
    aiq_str_t *out);
aiq_rc_t aiq_claim_int(const aiq_claims_t *cl, const char *name, int64_t min,
    int64_t max, int64_t *out);

/* len bytes in lower-case hexadecimal */

aiq_rc_t aiq_claim_hex(const aiq_claims_t *cl, const char *name,
    unsigned char *out, size_t len);

/* returns rc; unless it is AIQ_OK, t is zeroed and mem put back to pos */

aiq_rc_t aiq_token_done(aiq_token_t *t, aiq_rc_t rc, aiq_mem_t *mem,
    unsigned char *pos);


#endif /* _AIQ_TOKEN_INTERNAL_H_INCLUDED_ */
