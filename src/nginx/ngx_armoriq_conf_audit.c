
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The setter of "armoriq_audit".
 */


#include "ngx_armoriq_conf.h"


#define NGX_ARMORIQ_ROTATE_MAX     ((off_t) 1024 * 1024 * 1024 * 1024)
#define NGX_ARMORIQ_RESERVE_MIN    ((off_t) 64 * 1024)
#define NGX_ARMORIQ_RESERVE_MAX    ((off_t) 1024 * 1024 * 1024)
#define NGX_ARMORIQ_AGE_MAX        (366 * 86400)
#define NGX_ARMORIQ_HEARTBEAT_MAX  86400


typedef char *(*ngx_armoriq_audit_pt)(ngx_str_t *value,
    ngx_armoriq_main_conf_t *amcf);


/* value is what stands behind the "=" */

typedef struct {
    ngx_str_t             name;
    ngx_armoriq_audit_pt  set;
    char                 *valid;
} ngx_armoriq_audit_param_t;


static char *ngx_armoriq_audit_durability(ngx_str_t *value,
    ngx_armoriq_main_conf_t *amcf);
static char *ngx_armoriq_audit_checkpoint(ngx_str_t *value,
    ngx_armoriq_main_conf_t *amcf);
static char *ngx_armoriq_audit_rotate(ngx_str_t *value,
    ngx_armoriq_main_conf_t *amcf);
static char *ngx_armoriq_audit_reserve(ngx_str_t *value,
    ngx_armoriq_main_conf_t *amcf);
static char *ngx_armoriq_audit_heartbeat(ngx_str_t *value,
    ngx_armoriq_main_conf_t *amcf);
static char *ngx_armoriq_audit_payload(ngx_str_t *value,
    ngx_armoriq_main_conf_t *amcf);
static void ngx_armoriq_audit_split(ngx_str_t *value, ngx_str_t *second);
static ngx_uint_t ngx_armoriq_audit_off(ngx_str_t *value);


static ngx_armoriq_audit_param_t  ngx_armoriq_audit_params[] = {

    { ngx_string("durability="), ngx_armoriq_audit_durability,
      "\"durability=fsync\" or \"durability=write\"" },

    { ngx_string("checkpoint="), ngx_armoriq_audit_checkpoint,
      "\"checkpoint=off\" or \"checkpoint=SECONDS[,RECORDS]\"" },

    { ngx_string("rotate="), ngx_armoriq_audit_rotate,
      "\"rotate=off\" or \"rotate=SIZE[,TIME]\" (64k at least)" },

    { ngx_string("reserve="), ngx_armoriq_audit_reserve,
      "\"reserve=off\" or \"reserve=SIZE\" (64k to 1g)" },

    { ngx_string("heartbeat="), ngx_armoriq_audit_heartbeat,
      "\"heartbeat=off\" or \"heartbeat=TIME\" (1s to 1d)" },

    { ngx_string("payload="), ngx_armoriq_audit_payload,
      "\"payload=off\" or \"payload=encrypted\"" },

    { ngx_null_string, NULL, NULL }
};


/*
 * armoriq_audit DIR [durability=fsync|write] [checkpoint=off|SEC[,RECORDS]]
 *                   [rotate=off|SIZE[,TIME]] [reserve=off|SIZE]
 *                   [heartbeat=off|TIME] [payload=off|encrypted]
 */

char *
ngx_armoriq_audit(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_armoriq_main_conf_t *amcf = conf;

    ngx_str_t                  *value, s;
    ngx_uint_t                  i;
    ngx_armoriq_audit_param_t  *p;

    value = cf->args->elts;

    for (i = 2; i < cf->args->nelts; i++) {

        for (p = ngx_armoriq_audit_params; p->name.len; p++) {

            if (ngx_strncmp(value[i].data, p->name.data, p->name.len) == 0) {
                break;
            }
        }

        if (p->name.len == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\", it must be "
                               "\"durability=\", \"checkpoint=\", "
                               "\"rotate=\", \"reserve=\", \"heartbeat=\" "
                               "or \"payload=\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        s.data = value[i].data + p->name.len;
        s.len = value[i].len - p->name.len;

        if (p->set(&s, amcf) != NGX_CONF_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\", it must be %s",
                               &value[i], p->valid);
            return NGX_CONF_ERROR;
        }
    }

    return ngx_armoriq_dir(cf, cmd, conf);
}


static char *
ngx_armoriq_audit_durability(ngx_str_t *value, ngx_armoriq_main_conf_t *amcf)
{
    if (ngx_strcmp(value->data, "fsync") == 0) {
        amcf->durability = AIQ_AUDIT_FSYNC;

    } else if (ngx_strcmp(value->data, "write") == 0) {
        amcf->durability = 0;

    } else {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* 1 to 3600 seconds, and 1 to 1000000 records if they come sooner */

static char *
ngx_armoriq_audit_checkpoint(ngx_str_t *value, ngx_armoriq_main_conf_t *amcf)
{
    ngx_int_t  n;
    ngx_str_t  records;

    if (ngx_armoriq_audit_off(value)) {
        amcf->checkpoint = 0;
        return NGX_CONF_OK;
    }

    ngx_armoriq_audit_split(value, &records);

    if (records.data) {
        n = ngx_atoi(records.data, records.len);

        if (n < 1 || n > 1000000) {
            return NGX_CONF_ERROR;
        }

        amcf->checkpoint_records = (ngx_uint_t) n;
    }

    n = ngx_atoi(value->data, value->len);

    if (n < 1 || n > 3600) {
        return NGX_CONF_ERROR;
    }

    amcf->checkpoint = (ngx_msec_t) n * 1000;

    return NGX_CONF_OK;
}


static char *
ngx_armoriq_audit_rotate(ngx_str_t *value, ngx_armoriq_main_conf_t *amcf)
{
    off_t      size;
    ngx_int_t  age;
    ngx_str_t  time;

    amcf->keep.rotate = 0;
    amcf->keep.age_us = 0;

    if (ngx_armoriq_audit_off(value)) {
        return NGX_CONF_OK;
    }

    ngx_armoriq_audit_split(value, &time);

    if (time.data) {
        age = ngx_parse_time(&time, 1);

        if (age < 1 || age > NGX_ARMORIQ_AGE_MAX) {
            return NGX_CONF_ERROR;
        }

        amcf->keep.age_us = (int64_t) age * 1000000;
    }

    size = ngx_parse_offset(value);

    if (size < AIQ_AUDIT_ROTATE_MIN || size > NGX_ARMORIQ_ROTATE_MAX) {
        return NGX_CONF_ERROR;
    }

    amcf->keep.rotate = (uint64_t) size;

    return NGX_CONF_OK;
}


static char *
ngx_armoriq_audit_reserve(ngx_str_t *value, ngx_armoriq_main_conf_t *amcf)
{
    off_t  size;

    amcf->keep.reserve = 0;

    if (ngx_armoriq_audit_off(value)) {
        return NGX_CONF_OK;
    }

    size = ngx_parse_offset(value);

    if (size < NGX_ARMORIQ_RESERVE_MIN || size > NGX_ARMORIQ_RESERVE_MAX) {
        return NGX_CONF_ERROR;
    }

    amcf->keep.reserve = (uint64_t) size;

    return NGX_CONF_OK;
}


static char *
ngx_armoriq_audit_heartbeat(ngx_str_t *value, ngx_armoriq_main_conf_t *amcf)
{
    ngx_int_t  n;

    amcf->heartbeat = 0;

    if (ngx_armoriq_audit_off(value)) {
        return NGX_CONF_OK;
    }

    n = ngx_parse_time(value, 1);

    if (n < 1 || n > NGX_ARMORIQ_HEARTBEAT_MAX) {
        return NGX_CONF_ERROR;
    }

    amcf->heartbeat = (ngx_msec_t) n * 1000;

    return NGX_CONF_OK;
}


static char *
ngx_armoriq_audit_payload(ngx_str_t *value, ngx_armoriq_main_conf_t *amcf)
{
    if (ngx_strcmp(value->data, "encrypted") == 0) {
        amcf->payload = 1;

    } else if (ngx_armoriq_audit_off(value)) {
        amcf->payload = 0;

    } else {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* "FIRST[,SECOND]" */

static void
ngx_armoriq_audit_split(ngx_str_t *value, ngx_str_t *second)
{
    u_char  *comma;

    ngx_str_null(second);

    comma = ngx_strlchr(value->data, value->data + value->len, ',');

    if (comma) {
        second->data = comma + 1;
        second->len = value->data + value->len - second->data;
        value->len = comma - value->data;
    }
}


static ngx_uint_t
ngx_armoriq_audit_off(ngx_str_t *value)
{
    return ngx_strcmp(value->data, "off") == 0;
}
