
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The lint of "nginx -t": facts from nginx's merged configuration, rules from
 * the core.
 */


#ifndef _NGX_ARMORIQ_LINT_H_INCLUDED_
#define _NGX_ARMORIQ_LINT_H_INCLUDED_


#include "lint.h"
#include "ngx_armoriq.h"


#define NGX_ARMORIQ_LINT_TEXT  256


typedef struct {
    ngx_conf_t                     *cf;
    ngx_armoriq_place_t            *place;
    ngx_armoriq_loc_conf_t         *alcf;
    ngx_http_core_loc_conf_t       *clcf;
    ngx_http_core_srv_conf_t       *cscf;

    ngx_array_t                     loose;      /* of upstreams: unguarded,
                                                   but behind a permit */
    uint64_t                        found;      /* rules, here */
    uint64_t                        outer;      /* in the location of "if" */
    ngx_uint_t                      errors;
    ngx_uint_t                      dynamic;    /* unsigned  dynamic:1; */
    ngx_uint_t                      whole;      /* unsigned  whole:1; server{}
                                                   itself */
    ngx_uint_t                      mixed;      /* unsigned  mixed:1; there is
                                                   "armoriq on" in it */
} ngx_armoriq_lint_t;


/* "proxy" and the others that send requests to upstreams */

typedef struct {
    char                           *name;
    ngx_http_upstream_conf_t       *conf;
} ngx_armoriq_lint_upstream_t;


typedef char *(*ngx_armoriq_lint_set_pt)(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


/*
 * find: where other modules keep their values.  Their structures are private,
 * but their tables of directives say where a value is and of which type; what
 * is not as expected is not there.
 */

void *ngx_armoriq_lint_slot(ngx_armoriq_lint_t *lint, char *module,
    char *name, ngx_armoriq_lint_set_pt set);

/* n-th kind of upstream; 0 at the end, conf is NULL if it is not known */

ngx_uint_t ngx_armoriq_lint_upstream(ngx_armoriq_lint_t *lint, ngx_uint_t n,
    ngx_armoriq_lint_upstream_t *u);

/* where this location leads to, or NULL */

ngx_http_upstream_srv_conf_t *ngx_armoriq_lint_leads(ngx_armoriq_lint_t *lint,
    char **name);

ngx_uint_t ngx_armoriq_lint_mirrors(ngx_armoriq_lint_t *lint);
ngx_uint_t ngx_armoriq_lint_substitutes(ngx_armoriq_lint_t *lint);
ngx_uint_t ngx_armoriq_lint_returns(ngx_armoriq_lint_t *lint);

/* place: the rules of one location */

void ngx_armoriq_lint_place(ngx_armoriq_lint_t *lint);

/* a finding; text is what stands in the file, or NULL as in the rule */

void ngx_armoriq_lint_report(ngx_armoriq_lint_t *lint, aiq_lint_id_e id,
    const char *text, ...);

ngx_uint_t ngx_armoriq_lint_guarded(ngx_http_upstream_srv_conf_t *uscf);


#endif /* _NGX_ARMORIQ_LINT_H_INCLUDED_ */
