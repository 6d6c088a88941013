
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Setters of directives, for the table in ngx_armoriq_module.c.
 */


#ifndef _NGX_ARMORIQ_CONF_H_INCLUDED_
#define _NGX_ARMORIQ_CONF_H_INCLUDED_


#include "ngx_armoriq.h"


/* conf: of the whole server, limits, and what we answer ourselves */

char *ngx_armoriq_enable(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_armoriq_dir(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_armoriq_limit(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_armoriq_content(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* witness: of the audit log */

char *ngx_armoriq_audit_witness(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* remembers a location that has been merged, for the lint */

char *ngx_armoriq_conf_place(ngx_conf_t *cf, ngx_armoriq_loc_conf_t *alcf);

/* conf_audit: of the audit log */

char *ngx_armoriq_audit(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* conf_mcp: of a location with an MCP server */

char *ngx_armoriq_mcp(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_armoriq_org(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_armoriq_origins(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_armoriq_method(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* resource: metadata for OAuth clients */

char *ngx_armoriq_resource(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_armoriq_metadata(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_armoriq_resource_merge(ngx_conf_t *cf,
    ngx_armoriq_loc_conf_t *prev, ngx_armoriq_loc_conf_t *conf);
void ngx_armoriq_resource_check(ngx_conf_t *cf);


#endif /* _NGX_ARMORIQ_CONF_H_INCLUDED_ */
