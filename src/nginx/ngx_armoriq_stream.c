
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Event streams.
 */


#include "ngx_armoriq_response.h"


ngx_int_t
ngx_armoriq_stream_header(ngx_http_request_t *r)
{
    return NGX_OK;
}
