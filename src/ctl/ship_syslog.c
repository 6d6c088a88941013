
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl audit ship: syslog over TCP (RFC 6587) and TLS (RFC 5425).
 * libcurl makes the connection, with TLS and all its checks; what goes
 * through it is ours.
 *
 * Nobody acknowledges a message of syslog.  What comes nearest is done: a
 * batch is delivered when the other side has acknowledged its last byte, and
 * when a connection turns out to be gone, what was sent on it lately is sent
 * again: it may have been received, and not read.
 */


#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/sockios.h>

#include "ship.h"


#define AIQ_SHIP_POLL    20               /* milliseconds */
#define AIQ_SHIP_RECENT  20000            /* milliseconds */


static aiq_ship_rc_e aiq_ship_syslog_connect(aiq_ship_sink_t *s,
    aiq_ship_answer_t *answer);
static aiq_ship_rc_e aiq_ship_syslog_send(aiq_ship_sink_t *s, int fd,
    const unsigned char *data, size_t len, aiq_ship_answer_t *answer);
static int aiq_ship_syslog_alive(aiq_ship_sink_t *s);
static int aiq_ship_syslog_over(aiq_ship_sink_t *s, int64_t deadline);
static aiq_ship_rc_e aiq_ship_syslog_lost(aiq_ship_sink_t *s,
    aiq_ship_answer_t *answer, const char *what);


aiq_ship_rc_e
aiq_ship_syslog(aiq_ship_sink_t *s, size_t i, size_t n,
    aiq_ship_answer_t *answer)
{
    aiq_ship_rc_e    rc;
    curl_socket_t    fd;
    aiq_ship_item_t  *first, *last;

    rc = aiq_ship_syslog_check(s, answer);

    if (rc == AIQ_SHIP_LOST) {
        return rc;
    }

    if (s->curl == NULL) {
        rc = aiq_ship_syslog_connect(s, answer);

        if (rc != AIQ_SHIP_OK) {
            return rc;
        }
    }

    if (curl_easy_getinfo(s->curl, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK
        || fd == CURL_SOCKET_BAD)
    {
        return aiq_ship_syslog_lost(s, answer, "there is no connection");
    }

    first = &s->batch.item[i];
    last = &s->batch.item[n - 1];

    rc = aiq_ship_syslog_send(s, fd, s->batch.buf + first->start,
                              last->end - first->start, answer);

    if (rc == AIQ_SHIP_OK) {
        s->busy = 1;
        s->used = aiq_ship_clock();
    }

    return rc;
}


aiq_ship_rc_e
aiq_ship_syslog_check(aiq_ship_sink_t *s, aiq_ship_answer_t *answer)
{
    if (s->curl && !aiq_ship_syslog_alive(s)) {
        return aiq_ship_syslog_lost(s, answer, "the connection was closed");
    }

    return AIQ_SHIP_OK;
}


void
aiq_ship_syslog_close(aiq_ship_sink_t *s)
{
    if (s->curl) {

        /*
         * What was not read makes a reset of the end of a connection, and
         * that takes from the other side what it has not read yet.
         */

        if (s->busy) {
            (void) aiq_ship_syslog_alive(s);
        }

        curl_easy_cleanup(s->curl);
        s->curl = NULL;
    }

    s->busy = 0;
}


static aiq_ship_rc_e
aiq_ship_syslog_connect(aiq_ship_sink_t *s, aiq_ship_answer_t *answer)
{
    CURLcode       code;
    aiq_ship_rc_e  rc;

    code = CURLE_OUT_OF_MEMORY;
    s->curl = curl_easy_init();
    s->busy = 0;

    if (s->curl && aiq_ship_http_setup(s, s->curl, s->conf->url) == 0
        && curl_easy_setopt(s->curl, CURLOPT_CONNECT_ONLY, 1L) == CURLE_OK
        && curl_easy_setopt(s->curl, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK)
    {
        code = curl_easy_perform(s->curl);
    }

    if (code == CURLE_OK) {
        s->mark[0] = s->cursor;
        s->mark[1] = s->cursor;
        s->marked = aiq_ship_clock();

        return AIQ_SHIP_OK;
    }

    rc = aiq_ship_syslog_lost(s, answer, curl_easy_strerror(code));

    return (code == CURLE_PEER_FAILED_VERIFICATION
            || code == CURLE_SSL_CERTPROBLEM
            || code == CURLE_SSL_CACERT_BADFILE)
           ? AIQ_SHIP_CONFIG : rc;
}


static aiq_ship_rc_e
aiq_ship_syslog_send(aiq_ship_sink_t *s, int fd, const unsigned char *data,
    size_t len, aiq_ship_answer_t *answer)
{
    int            left;
    size_t         n;
    int64_t        deadline;
    CURLcode       code;
    struct pollfd  p;

    deadline = aiq_ship_clock() + s->conf->timeout * 1000;

    p.fd = fd;
    p.events = POLLOUT;

    while (len) {
        code = curl_easy_send(s->curl, data, len, &n);

        if (code == CURLE_OK) {
            data += n;
            len -= n;
            continue;
        }

        if (code != CURLE_AGAIN) {
            return aiq_ship_syslog_lost(s, answer,
                                        curl_easy_strerror(code));
        }

        if (!aiq_ship_syslog_alive(s)) {
            return aiq_ship_syslog_lost(s, answer, "the connection was "
                                        "closed");
        }

        if (aiq_ship_syslog_over(s, deadline)) {
            return aiq_ship_syslog_lost(s, answer, "timeout");
        }

        (void) poll(&p, 1, AIQ_SHIP_POLL);
    }

    for ( ;; ) {

        if (ioctl(fd, SIOCOUTQ, &left) != 0) {
            return aiq_ship_syslog_lost(s, answer, strerror(errno));
        }

        if (!aiq_ship_syslog_alive(s)) {
            return aiq_ship_syslog_lost(s, answer, "the connection was "
                                        "closed");
        }

        if (left == 0) {
            return AIQ_SHIP_OK;
        }

        if (aiq_ship_syslog_over(s, deadline)) {
            return aiq_ship_syslog_lost(s, answer, "timeout");
        }

        (void) poll(NULL, 0, 1);
    }
}


/* 0 if the other side has closed; what it says is not looked at */

static int
aiq_ship_syslog_alive(aiq_ship_sink_t *s)
{
    char      buf[1024];
    size_t    n;
    CURLcode  code;

    do {
        n = 0;
        code = curl_easy_recv(s->curl, buf, sizeof(buf), &n);
    } while (code == CURLE_OK && n);

    return code == CURLE_AGAIN;
}


static int
aiq_ship_syslog_over(aiq_ship_sink_t *s, int64_t deadline)
{
    int64_t  now, stop;

    now = aiq_ship_clock();
    stop = atomic_load(&s->ship->deadline);

    return now > deadline || (stop && now > stop);
}


/* perhaps with what was sent before, and not read */

static aiq_ship_rc_e
aiq_ship_syslog_lost(aiq_ship_sink_t *s, aiq_ship_answer_t *answer,
    const char *what)
{
    int  recent;

    recent = s->busy && aiq_ship_clock() - s->used < AIQ_SHIP_RECENT;

    aiq_ship_syslog_close(s);
    aiq_ship_http_text(s, answer, what, aiq_cstr(""));

    return recent ? AIQ_SHIP_LOST : AIQ_SHIP_RETRY;
}
