
/*
 * Copyright (C) ngx_armoriq authors
 *
 * How commands that speak to others start libcurl.
 */


#include <stdlib.h>

#include <curl/curl.h>

#include "ctl.h"


int
aiq_ctl_curl(aiq_ctl_t *ctl)
{
    /* libcurl would write the keys of TLS there */

    (void) unsetenv("SSLKEYLOGFILE");

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return aiq_ctl_fault(ctl, AIQ_E_INTERNAL, "libcurl does not start");
    }

    return AIQ_CTL_OK;
}
