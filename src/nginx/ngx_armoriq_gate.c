
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The second wall: the PRECONTENT phase, which subrequests pass as well.
 * Whatever has come to a location with "armoriq on" without a permit for it
 * ends here.
 */


#include "ngx_armoriq.h"


ngx_int_t
ngx_armoriq_gate_handler(ngx_http_request_t *r)
{
    char                    *why;
    ngx_armoriq_ctx_t       *ctx;
    ngx_armoriq_loc_conf_t  *alcf;

    alcf = ngx_http_get_module_loc_conf(r, ngx_armoriq_module);

    if (!alcf->enable || ngx_armoriq_is_public(r)) {
        return NGX_DECLINED;
    }

    ctx = ngx_armoriq_get_ctx(r);

    why = ngx_armoriq_check(r, ctx);

    if (why == NULL && alcf->invoke
        && r->content_handler != ngx_armoriq_invoke_handler)
    {
        /* an envelope was judged: nobody else may read it as something else */

        why = "another handler in a location with \"armoriq_invoke\"";
    }

    if (why == NULL && ctx->gated) {

        /* of upstreams without "armoriq_guard" this is the only count */

        why = "permit is spent";
    }

    if (why) {
        return ngx_armoriq_refuse(r, ctx, "gate", why);
    }

    ctx->gated = 1;

    return NGX_DECLINED;
}
