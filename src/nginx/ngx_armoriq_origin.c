
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Web pages as clients.
 */


#include "ngx_armoriq_response.h"


ngx_int_t
ngx_armoriq_origin_header(ngx_http_request_t *r)
{
    return NGX_OK;
}
