
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl audit witness: a small HTTP server, and what it answers.
 */


#ifndef _AIQ_CTL_WITNESS_H_INCLUDED_
#define _AIQ_CTL_WITNESS_H_INCLUDED_


#include "cosign.h"
#include "ctl.h"


typedef struct {
    unsigned              status;
    const char           *type;          /* of the body */
    aiq_str_t             body;          /* until the next request */
} aiq_ctl_reply_t;

/* a request as a whole; the answer is complete when this returns */

typedef void (*aiq_ctl_serve_pt)(void *data, aiq_str_t body,
    aiq_ctl_reply_t *reply);


/*
 * witness_http.c.  Listens at "address:port", writes to where that is for
 * certain (port 0: any); then answers POST /add-checkpoint until the process
 * ends, one request after the other.
 */

int aiq_ctl_listen(aiq_ctl_t *ctl, const char *at, int *fd, char *where,
    size_t size);
int aiq_ctl_serve(aiq_ctl_t *ctl, int fd, size_t max,
    aiq_ctl_serve_pt handler, void *data);


#endif /* _AIQ_CTL_WITNESS_H_INCLUDED_ */
