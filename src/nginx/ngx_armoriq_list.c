
/*
 * Copyright (C) ngx_armoriq authors
 *
 * tools/list.
 */


#include "ngx_armoriq_response.h"


ngx_int_t
ngx_armoriq_list_header(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx)
{
    return NGX_DECLINED;
}


ngx_int_t
ngx_armoriq_list_body(ngx_http_request_t *r, ngx_armoriq_ctx_t *ctx,
    ngx_chain_t *in)
{
    return ngx_armoriq_next_body(r, in);
}
