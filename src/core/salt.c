
/*
 * Copyright (C) ngx_armoriq authors
 */


#include "salt.h"


aiq_rc_t
aiq_salted(aiq_crypto_t *c, const aiq_salt_t *salt, aiq_salted_e what,
    const unsigned char hash[AIQ_HASH_LEN], unsigned char out[AIQ_HASH_LEN])
{
    aiq_str_t  key, parts[2];

    static const char *const  labels[] = {
        "armoriq-audit/v1 args\n",
        "armoriq-audit/v1 body\n",
        "armoriq-audit/v1 result\n",
        "armoriq-audit/v1 text\n"
    };

    if (salt == NULL || salt->epoch == 0 || c == NULL) {
        return AIQ_DECLINED;
    }

    key.data = salt->key;
    key.len = sizeof(salt->key);

    parts[0] = aiq_cstr(labels[what]);
    parts[1].data = hash;
    parts[1].len = AIQ_HASH_LEN;

    return aiq_hmac(c, key, parts, 2, out);
}
