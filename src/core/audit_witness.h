
/*
 * Copyright (C) ngx_armoriq authors
 *
 * DIR/cosigned: a checkpoint of the log with cosignatures of witnesses, as
 * "armoriqctl audit cosign" leaves it.  Nobody's word until it is verified.
 */


#ifndef _AIQ_AUDIT_WITNESS_H_INCLUDED_
#define _AIQ_AUDIT_WITNESS_H_INCLUDED_


#include "cosign.h"


#define AIQ_AUDIT_COSIGNED  "cosigned"


typedef struct {
    uint64_t            size;             /* of the checkpoint; 0: none yet */
    uint64_t            newest;           /* of the newest checkpoint */
    aiq_cosigned_t      by;
} aiq_audit_cosigned_t;

/*
 * What k of the n witnesses have signed.  AIQ_E_AUDIT_UNAVAILABLE also if
 * that is more than the log has, or another tree: it was put back.
 */

aiq_rc_t aiq_audit_cosigned(const char *dir, const aiq_vkey_t *witness,
    unsigned n, unsigned k, int64_t now, aiq_audit_cosigned_t *result,
    aiq_crypto_t *c, aiq_err_t *err);


#endif /* _AIQ_AUDIT_WITNESS_H_INCLUDED_ */
