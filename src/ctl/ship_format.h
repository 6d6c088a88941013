
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Records of the audit log as collectors want them (docs/ship.md).  Knows
 * neither files nor clocks.
 */


#ifndef _AIQ_SHIP_FORMAT_H_INCLUDED_
#define _AIQ_SHIP_FORMAT_H_INCLUDED_


#include "audit_file.h"


typedef enum {
    AIQ_SHIP_SYSLOG = 0,
    AIQ_SHIP_SPLUNK,
    AIQ_SHIP_SENTINEL,
    AIQ_SHIP_WEBHOOK,
    AIQ_SHIP_OTLP
} aiq_ship_type_e;

typedef struct {
    aiq_ship_type_e       type;
    int64_t               lines;      /* webhook: lines, not an array */
    int64_t               facility;
    const char           *host;
    const char           *app;
    const char           *sd_id;
    const char           *index;      /* Splunk; or NULL */
    const char           *source;     /* NULL: the origin */
    const char           *sourcetype;
    const char           *service;    /* OTLP */
    aiq_str_t             origin;
} aiq_ship_style_t;

typedef struct {
    aiq_str_t             line;       /* as stored, without LF */
    const aiq_json_t     *doc;        /* of it */
    aiq_str_t             type;
    uint64_t              seq;
    int64_t               ts_us;
    int64_t               now_us;     /* when it was read */
    const unsigned char  *leaf;
} aiq_ship_event_t;


/* what stands before and behind all, and between two */

void aiq_ship_format_begin(aiq_out_t *out, const aiq_ship_style_t *style);
void aiq_ship_format_end(aiq_out_t *out, const aiq_ship_style_t *style);
void aiq_ship_format_between(aiq_out_t *out, const aiq_ship_style_t *style);

/* mem is for unescaping: some times the record */

void aiq_ship_format(aiq_out_t *out, const aiq_ship_style_t *style,
    const aiq_ship_event_t *e, aiq_mem_t mem);

/* of syslog: 3 error, 4 warning, 5 notice, 6 informational */

int aiq_ship_severity(const aiq_ship_event_t *e);


#endif /* _AIQ_SHIP_FORMAT_H_INCLUDED_ */
