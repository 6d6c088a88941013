
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Strict base64url without padding (RFC 4648 5, RFC 7515 2), base64 with
 * padding for documents, and lower-case hexadecimal.
 */


#ifndef _AIQ_B64_H_INCLUDED_
#define _AIQ_B64_H_INCLUDED_


#include "aiq.h"


#define aiq_b64_encoded_len(len)   (((len) * 4 + 2) / 3)
#define aiq_b64_decoded_max(len)   ((len) / 4 * 3 + 2)

/*
 * base64url.  AIQ_D_TOKEN_MALFORMED for '=', '+', '/', blanks, any other
 * byte, a length of 1 mod 4 and unused bits that are not zero (trust T8).
 * out has aiq_b64_decoded_max(in.len) bytes; *len is what was written.
 * An empty text decodes to nothing.
 */

aiq_rc_t aiq_b64url_decode(aiq_str_t in, unsigned char *out, size_t *len);
void aiq_b64url_encode(aiq_out_t *out, const unsigned char *p, size_t len);

/* base64 with padding (RFC 4648 4), the same strictness */

aiq_rc_t aiq_b64_decode(aiq_str_t in, unsigned char *out, size_t *len);
void aiq_b64_encode(aiq_out_t *out, const unsigned char *p, size_t len);

/*
 * Hexadecimal of exactly len bytes: in.len must be 2 * len, lower case.
 * AIQ_DECLINED if it is not that.
 */

aiq_rc_t aiq_hex_decode(aiq_str_t in, unsigned char *out, size_t len);


#endif /* _AIQ_B64_H_INCLUDED_ */
