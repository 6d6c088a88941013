
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What must not, or should not, stand beside "armoriq on".
 */


#include "ngx_armoriq.h"


ngx_int_t
ngx_armoriq_lint(ngx_conf_t *cf)
{
    ngx_armoriq_main_conf_t  *amcf;

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_armoriq_module);

    amcf->places = NULL;

    return NGX_OK;
}
