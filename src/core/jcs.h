
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Canonical forms of a value that the reader accepted.
 */


#ifndef _AIQ_JCS_H_INCLUDED_
#define _AIQ_JCS_H_INCLUDED_


#include "crypto.h"
#include "json.h"


typedef enum {
    AIQ_JCS = 0,              /* RFC 8785 */
    AIQ_JCS_IAP               /* Python json.dumps(sort_keys=True, separators=
                                 (",", ":"), ensure_ascii=True), except that
                                 numbers are written as in RFC 8785 */
} aiq_jcs_form_e;


/*
 * Both forms order the keys of an object by UTF-16 code units, as RFC 8785
 * 3.2.3 and the published TypeScript signer do.  Python orders by code
 * points: that differs only where one object has a key beyond U+FFFF and
 * another one in U+E000..U+FFFF at the same place.
 */

/* writes the value i; failed is left in out, also if there is no such i */

void aiq_jcs_write(aiq_out_t *out, const aiq_json_t *doc, uint32_t i,
    aiq_jcs_form_e form);

/* the same without the members of the object i that skip() names */

typedef int (*aiq_jcs_skip_pt)(const aiq_json_t *doc, uint32_t key,
    void *data);

void aiq_jcs_write_object(aiq_out_t *out, const aiq_json_t *doc, uint32_t i,
    aiq_jcs_form_e form, aiq_jcs_skip_pt skip, void *data);

/* a string that is not in a document, with its quotes; valid UTF-8 only,
   anything else sets failed */

void aiq_jcs_write_string(aiq_out_t *out, aiq_str_t s, aiq_jcs_form_e form);

/* SHA-256 of the canonical form; AIQ_E_CRYPTO_FAILED */

aiq_rc_t aiq_jcs_hash(aiq_crypto_t *c, const aiq_json_t *doc, uint32_t i,
    aiq_jcs_form_e form, unsigned char out[AIQ_HASH_LEN]);

/* ECMAScript Number::toString (RFC 8785 3.2.2.3); returns the length, <= 25,
   and 0 for what JSON cannot say: infinities and NaN; no NUL behind it */

size_t aiq_jcs_number(double v, char out[32]);


#endif /* _AIQ_JCS_H_INCLUDED_ */
