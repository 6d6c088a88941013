
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The JSON reader and both canonical forms against jansson and themselves.
 */


#include <stdio.h>

#include "../unit/json_check.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    aiq_rc_t  rc;

    if (!check_text(data, size, &rc)) {
        fprintf(stderr, "%s, the reader says %s\n", check_why,
                aiq_reason(rc));
        abort();
    }

    return 0;
}
