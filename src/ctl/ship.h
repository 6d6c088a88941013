
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl audit ship: what its files share.  Every sink has a thread, a
 * reader of the log and a cursor of its own, so none waits for another.
 *
 *     ship.c          the command: threads, signals, metrics
 *     ship_sink.c     one sink: batches, back-off, records that are refused
 *     ship_state.c    cursors and what was put aside, on disk
 *     ship_conf.c     the configuration
 *     ship_secret.c   secrets, from files
 *     ship_format.c   records as somebody else wants them
 *     ship_http.c     delivery by HTTP
 *     ship_oauth.c    tokens of OAuth 2.0
 *     ship_syslog.c   delivery by TCP or TLS
 */


#ifndef _AIQ_SHIP_H_INCLUDED_
#define _AIQ_SHIP_H_INCLUDED_


#include <pthread.h>
#include <stdatomic.h>

#include <curl/curl.h>

#include "audit_follow.h"
#include "ctl.h"
#include "ship_format.h"


#define AIQ_SHIP_SINKS      16
#define AIQ_SHIP_NAME_MAX   32
#define AIQ_SHIP_RECORDS    5000          /* of a batch, at most */
#define AIQ_SHIP_SLACK      (1024 * 1024) /* one record in any format */
#define AIQ_SHIP_MEM        (512 * 1024)  /* to unescape one record */
#define AIQ_SHIP_SECRET_MAX 8192
#define AIQ_SHIP_TOKEN_MAX  16384
#define AIQ_SHIP_TEXT       512           /* of an answer, that is kept */
#define AIQ_SHIP_AGENT      "armoriqctl/" AIQ_VERSION


/* what is in a file: never printed, wiped at the end */

typedef struct {
    const char             *path;         /* NULL: none */
    size_t                  len;
    char                    data[AIQ_SHIP_SECRET_MAX + 1];
} aiq_ship_secret_t;

typedef struct {
    const char             *name;
    aiq_ship_type_e         type;
    const char             *url;          /* as libcurl gets it */
    const char             *ca_file;
    const char             *cert_file;
    const char             *key_file;
    const char             *proxy;
    const char             *token_header;
    const char             *dcr;
    const char             *stream;
    const char             *token_url;
    const char             *client_id;
    const char             *scope;
    int64_t                 records;      /* of a batch */
    int64_t                 bytes;
    int64_t                 timeout;      /* seconds */
    int64_t                 backoff;      /* seconds, at most */
    int64_t                 refused;      /* put aside in a row */
    int64_t                 plain;        /* without TLS */
    aiq_ship_style_t        style;
    aiq_ship_secret_t       token;
    aiq_ship_secret_t       hmac;
    aiq_ship_secret_t       client_secret;
} aiq_ship_conf_t;


/* what became of a delivery */

typedef enum {
    AIQ_SHIP_OK = 0,
    AIQ_SHIP_RETRY,                       /* later */
    AIQ_SHIP_REFUSED,                     /* because of what is in it */
    AIQ_SHIP_CONFIG,                      /* somebody has to change something */
    AIQ_SHIP_LOST                         /* nor is it sure that what was sent
                                             before has arrived */
} aiq_ship_rc_e;

typedef struct {
    long                    status;       /* of HTTP, or 0 */
    int64_t                 after;        /* Retry-After, seconds, or 0 */
    uint64_t                rejected;     /* of a delivery that was accepted */
    char                    text[AIQ_SHIP_TEXT];
} aiq_ship_answer_t;


/* a record in a batch */

typedef struct {
    aiq_audit_cursor_t      cursor;       /* behind it */
    int64_t                 ts_us;
    size_t                  start;        /* in buf */
    size_t                  end;
} aiq_ship_item_t;

typedef struct {
    aiq_ship_item_t        *item;
    size_t                  n;
    size_t                  done;         /* acknowledged or put aside */
    unsigned char          *buf;
    unsigned char          *body;         /* of a request */
    size_t                  size;         /* of both */
} aiq_ship_batch_t;


/* what metrics say; under the mutex */

typedef struct {
    uint64_t                seq;          /* of the last one acknowledged */
    int64_t                 ts_us;        /* of it */
    int64_t                 waits_us;     /* ts of the next one, 0: unknown */
    int64_t                 ok_us;        /* when something was delivered */
    uint64_t                sent;
    uint64_t                failed;
    uint64_t                dead;
    unsigned                up:1;
    unsigned                stopped:1;
} aiq_ship_stat_t;


typedef struct aiq_ship_s  aiq_ship_t;

typedef struct {
    aiq_ship_t             *ship;
    aiq_ship_conf_t        *conf;
    pthread_t               thread;
    unsigned                started:1;
    atomic_int              over;
    int                     code;         /* exit code */

    aiq_crypto_t           *crypto;
    aiq_audit_follow_t      follow;
    unsigned                open:1;       /* follow is */
    unsigned                renewed:1;    /* token, since it was refused */
    aiq_audit_cursor_t      cursor;       /* acknowledged */
    aiq_audit_cursor_t      mark[2];      /* LOST goes back to the first */
    int64_t                 marked;       /* the second, monotonic */
    uint64_t                lost;         /* seq behind which that was */
    uint64_t                highest;      /* seq that was acknowledged */
    aiq_ship_batch_t        batch;
    size_t                  chunk;        /* records of a delivery */
    unsigned                streak;       /* deliveries of that size */
    unsigned                failures;     /* in a row */
    unsigned                refused;      /* in a row */
    unsigned char          *mem;

    CURL                   *curl;
    char                   *access;       /* token of OAuth */
    int64_t                 expires;      /* monotonic */
    unsigned                busy:1;       /* something was sent on it */
    int64_t                 used;         /* when, monotonic */

    aiq_ship_stat_t         stat;
} aiq_ship_sink_t;

struct aiq_ship_s {
    aiq_ctl_t              *ctl;
    const char             *dir;          /* of the log */
    const char             *metrics;      /* or NULL */
    int                     state;        /* directory */
    int                     once;
    int                     unwritten;    /* metrics: was said; not a bit, as
                                             threads read what is beside it */
    unsigned                n;
    aiq_ship_sink_t         sink[AIQ_SHIP_SINKS];

    pthread_mutex_t         mutex;
    pthread_cond_t          cond;
    atomic_int              stop;
    atomic_llong            deadline;     /* monotonic; 0: none yet */
};


/* ship_conf.c: AIQ_CTL_OK, or the exit code after a sentence */

int aiq_ship_conf_read(aiq_ship_t *ship, const char *path);


/* ship_secret.c: reads their files, again if need be; 0, or -1 and err */

int aiq_ship_secrets(aiq_ship_conf_t *conf, aiq_err_t *err);
void aiq_ship_secrets_wipe(aiq_ship_conf_t *conf);


/* ship_state.c: 0, or -1 and err */

int aiq_ship_state_open(aiq_ship_t *ship, const char *path, aiq_err_t *err);

/* a cursor that is not there is one with seq 0 */

int aiq_ship_state_load(aiq_ship_sink_t *s, aiq_err_t *err);
int aiq_ship_state_save(aiq_ship_sink_t *s, aiq_err_t *err);
int aiq_ship_state_forget(aiq_ship_t *ship, const char *name,
    aiq_err_t *err);

/* puts aside records from item i on, and what was answered */

int aiq_ship_state_bury(aiq_ship_sink_t *s, size_t i, size_t n,
    const aiq_ship_answer_t *answer, aiq_err_t *err);

/* puts text in place of the file; AT_FDCWD or a directory */

int aiq_ship_state_replace(int dir, const char *name, aiq_str_t text,
    int sync, aiq_err_t *err);


/* ship_sink.c: a thread; data is a sink */

void *aiq_ship_sink(void *data);

/* waits so long, or until there is an end: then 1 */

int aiq_ship_wait(aiq_ship_t *ship, int64_t ms);
int64_t aiq_ship_clock(void);             /* monotonic, milliseconds */


/* delivers items from i to n of the batch */

aiq_ship_rc_e aiq_ship_http(aiq_ship_sink_t *s, size_t i, size_t n,
    aiq_ship_answer_t *answer);
aiq_ship_rc_e aiq_ship_syslog(aiq_ship_sink_t *s, size_t i, size_t n,
    aiq_ship_answer_t *answer);
void aiq_ship_syslog_close(aiq_ship_sink_t *s);

/* while there is nothing to send; AIQ_SHIP_RETRY: nothing was lost */

aiq_ship_rc_e aiq_ship_syslog_check(aiq_ship_sink_t *s,
    aiq_ship_answer_t *answer);


/* ship_http.c, for ship_oauth.c and ship_syslog.c */

typedef struct {
    char                   *data;
    size_t                  len;
    size_t                  size;
} aiq_ship_body_t;

/* what all handles have: TLS, timeouts, no redirects; 0 or -1 */

int aiq_ship_http_setup(aiq_ship_sink_t *s, CURL *curl, const char *url);

/* sends; the answer is in reply, the status in answer */

aiq_ship_rc_e aiq_ship_http_post(aiq_ship_sink_t *s, const char *url,
    struct curl_slist *headers, aiq_str_t body, aiq_ship_body_t *reply,
    aiq_ship_answer_t *answer);

/* a text of somebody else, for us: bounded, without secrets */

void aiq_ship_http_text(aiq_ship_sink_t *s, aiq_ship_answer_t *answer,
    const char *what, aiq_str_t text);


/* the token for a request, in s->access; fetched when it is due */

aiq_ship_rc_e aiq_ship_oauth(aiq_ship_sink_t *s, aiq_ship_answer_t *answer);
void aiq_ship_oauth_drop(aiq_ship_sink_t *s);


#endif /* _AIQ_SHIP_H_INCLUDED_ */
