
/*
 * Copyright (C) ngx_armoriq authors
 *
 * As much of HTTP/1.1 as a witness needs: one POST on a connection, with a
 * Content-Length.  What is not exactly that is refused.  Connections, bytes
 * and time are bounded; TLS and the rest is nginx's, in front.
 */


#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "witness.h"


#define AIQ_CTL_CONNS      64
#define AIQ_CTL_HEAD       8192          /* request line and headers */
#define AIQ_CTL_TIME       10000         /* of a connection, milliseconds */
#define AIQ_CTL_REPLY      4096
#define AIQ_CTL_PATH       "/add-checkpoint"


typedef struct {
    int                   fd;            /* or -1 */
    int64_t               until;
    unsigned char        *buf;
    size_t                len;
    size_t                head;          /* with its empty line; 0: not yet */
    size_t                body;
    char                  out[AIQ_CTL_REPLY];
    size_t                left;
    size_t                sent;
} aiq_ctl_conn_t;

typedef struct {
    int                   fd;
    size_t                max;
    unsigned              n;             /* connections */
    aiq_ctl_conn_t        conns[AIQ_CTL_CONNS];
    aiq_ctl_serve_pt      handler;
    void                 *data;
} aiq_ctl_server_t;


static int64_t aiq_ctl_serve_now(void);
static int aiq_ctl_serve_wait(aiq_ctl_server_t *s, struct pollfd *p);
static void aiq_ctl_serve_accept(aiq_ctl_server_t *s);
static void aiq_ctl_serve_close(aiq_ctl_server_t *s, aiq_ctl_conn_t *conn);
static void aiq_ctl_serve_read(aiq_ctl_server_t *s, aiq_ctl_conn_t *conn);
static unsigned aiq_ctl_serve_head(aiq_ctl_server_t *s,
    aiq_ctl_conn_t *conn);
static unsigned aiq_ctl_serve_line(aiq_str_t line);
static unsigned aiq_ctl_serve_header(aiq_str_t line, int64_t *length);
static void aiq_ctl_serve_reply(aiq_ctl_server_t *s, aiq_ctl_conn_t *conn,
    unsigned status);
static void aiq_ctl_serve_write(aiq_ctl_server_t *s, aiq_ctl_conn_t *conn);
static const char *aiq_ctl_serve_reason(unsigned status);


static int64_t
aiq_ctl_serve_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


/* numbers only: a name might mean another address tomorrow */

int
aiq_ctl_listen(aiq_ctl_t *ctl, const char *at, int *fd, char *where,
    size_t size)
{
    int                       rc, on;
    char                      host[64], port[16];
    socklen_t                 len;
    const char               *colon, *end;
    struct addrinfo           hints, *ai;
    struct sockaddr_storage   sa;

    colon = strrchr(at, ':');
    end = colon;

    if (colon && at[0] == '[' && colon > at && colon[-1] == ']') {
        at++;
        end = colon - 1;
    }

    if (colon == NULL || end <= at || (size_t) (end - at) >= sizeof(host)) {
        return aiq_ctl_usage(ctl, "--listen: ADDRESS:PORT is expected");
    }

    (void) snprintf(host, sizeof(host), "%.*s", (int) (end - at), at);

    memset(&hints, 0, sizeof(hints));
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICHOST|AI_NUMERICSERV|AI_PASSIVE;

    rc = getaddrinfo(host, colon + 1, &hints, &ai);

    if (rc != 0) {
        return aiq_ctl_usage(ctl, "--listen: %s", gai_strerror(rc));
    }

    on = 1;
    len = sizeof(sa);
    *fd = socket(ai->ai_family, SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK, 0);

    rc = (*fd == -1
          || setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0
          || bind(*fd, ai->ai_addr, ai->ai_addrlen) != 0
          || listen(*fd, AIQ_CTL_CONNS) != 0
          || getsockname(*fd, (struct sockaddr *) &sa, &len) != 0
          || getnameinfo((struct sockaddr *) &sa, len, host, sizeof(host),
                         port, sizeof(port), NI_NUMERICHOST|NI_NUMERICSERV)
             != 0);

    freeaddrinfo(ai);

    if (rc) {
        return aiq_ctl_fault(ctl, AIQ_E_INTERNAL, "cannot listen at %s: %s",
                             host, strerror(errno));
    }

    (void) snprintf(where, size, strchr(host, ':') ? "[%s]:%s" : "%s:%s",
                    host, port);

    return AIQ_CTL_OK;
}


int
aiq_ctl_serve(aiq_ctl_t *ctl, int fd, size_t max, aiq_ctl_serve_pt handler,
    void *data)
{
    unsigned           i;
    struct pollfd      p[AIQ_CTL_CONNS + 1];
    aiq_ctl_conn_t    *conn;
    aiq_ctl_server_t  *s;

    s = calloc(1, sizeof(aiq_ctl_server_t));

    if (s == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    s->fd = fd;
    s->max = max;
    s->handler = handler;
    s->data = data;

    for (i = 0; i < AIQ_CTL_CONNS; i++) {
        s->conns[i].fd = -1;
    }

    for ( ;; ) {

        if (aiq_ctl_serve_wait(s, p) != 0) {
            free(s);
            return aiq_ctl_fault(ctl, AIQ_E_INTERNAL, "cannot wait: %s",
                                 strerror(errno));
        }

        for (i = 0; i < AIQ_CTL_CONNS; i++) {
            conn = &s->conns[i];

            if (conn->fd == -1) {
                continue;
            }

            /* also one that sends a byte now and then */

            if (aiq_ctl_serve_now() >= conn->until) {
                aiq_ctl_serve_close(s, conn);

            } else if (p[i + 1].revents && conn->left) {
                aiq_ctl_serve_write(s, conn);

            } else if (p[i + 1].revents) {
                aiq_ctl_serve_read(s, conn);
            }
        }

        if (p[0].revents) {
            aiq_ctl_serve_accept(s);
        }
    }
}


static int
aiq_ctl_serve_wait(aiq_ctl_server_t *s, struct pollfd *p)
{
    int              wait;
    int64_t          next, left;
    unsigned         i;
    aiq_ctl_conn_t  *conn;

    next = -1;

    /* with no place left nobody is let in */

    p[0].fd = (s->n < AIQ_CTL_CONNS) ? s->fd : -1;
    p[0].events = POLLIN;
    p[0].revents = 0;

    for (i = 0; i < AIQ_CTL_CONNS; i++) {
        conn = &s->conns[i];

        p[i + 1].fd = conn->fd;
        p[i + 1].events = conn->left ? POLLOUT : POLLIN;
        p[i + 1].revents = 0;

        if (conn->fd == -1) {
            continue;
        }

        left = conn->until - aiq_ctl_serve_now();

        if (next == -1 || left < next) {
            next = left > 0 ? left : 0;
        }
    }

    wait = (int) next;

    if (poll(p, AIQ_CTL_CONNS + 1, wait) == -1 && errno != EINTR) {
        return -1;
    }

    return 0;
}


static void
aiq_ctl_serve_accept(aiq_ctl_server_t *s)
{
    int              fd;
    unsigned         i;
    aiq_ctl_conn_t  *conn;

    fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC|SOCK_NONBLOCK);

    if (fd == -1) {
        return;
    }

    for (i = 0; i < AIQ_CTL_CONNS && s->conns[i].fd != -1; i++) {
        /* void */
    }

    conn = (i < AIQ_CTL_CONNS) ? &s->conns[i] : NULL;

    if (conn == NULL
        || (conn->buf = malloc(AIQ_CTL_HEAD + s->max)) == NULL)
    {
        (void) close(fd);
        return;
    }

    conn->fd = fd;
    conn->until = aiq_ctl_serve_now() + AIQ_CTL_TIME;
    conn->len = 0;
    conn->head = 0;
    conn->body = 0;
    conn->left = 0;
    conn->sent = 0;

    s->n++;
}


static void
aiq_ctl_serve_close(aiq_ctl_server_t *s, aiq_ctl_conn_t *conn)
{
    (void) close(conn->fd);
    conn->fd = -1;

    free(conn->buf);
    conn->buf = NULL;

    s->n--;
}


static void
aiq_ctl_serve_read(aiq_ctl_server_t *s, aiq_ctl_conn_t *conn)
{
    size_t    want;
    ssize_t   n;
    unsigned  status;

    want = (conn->head ? conn->head + conn->body : AIQ_CTL_HEAD) - conn->len;

    n = recv(conn->fd, conn->buf + conn->len, want, 0);

    if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }

    if (n <= 0) {
        aiq_ctl_serve_close(s, conn);
        return;
    }

    conn->len += (size_t) n;

    if (conn->head == 0) {
        status = aiq_ctl_serve_head(s, conn);

        if (status) {
            aiq_ctl_serve_reply(s, conn, status);
            return;
        }
    }

    if (conn->head && conn->len >= conn->head + conn->body) {
        aiq_ctl_serve_reply(s, conn, 0);
    }
}


/* 0, or what is wrong with it; conn->head stays 0 while it is not complete */

static unsigned
aiq_ctl_serve_head(aiq_ctl_server_t *s, aiq_ctl_conn_t *conn)
{
    int64_t               length;
    unsigned              status, first;
    aiq_str_t             line;
    const unsigned char  *p, *end, *lf;

    end = memmem(conn->buf, conn->len, "\r\n\r\n", 4);

    if (end == NULL) {
        return (conn->len == AIQ_CTL_HEAD) ? 431 : 0;
    }

    length = -1;
    first = 1;

    for (p = conn->buf; p < end + 2; p = lf + 2) {

        lf = memmem(p, (size_t) (end + 2 - p), "\r\n", 2);

        line.data = p;
        line.len = (size_t) (lf - p);

        status = first ? aiq_ctl_serve_line(line)
                       : aiq_ctl_serve_header(line, &length);
        if (status) {
            return status;
        }

        first = 0;
    }

    if (length < 0) {
        return 411;
    }

    if ((uint64_t) length > s->max) {
        return 413;
    }

    conn->head = (size_t) (end + 4 - conn->buf);
    conn->body = (size_t) length;

    return 0;
}


static unsigned
aiq_ctl_serve_line(aiq_str_t line)
{
    size_t                i, n;
    const unsigned char  *sp, *last;

    n = sizeof(" HTTP/1.1") - 1;

    if (line.len < n
        || (memcmp(line.data + line.len - n, " HTTP/1.1", n) != 0
            && memcmp(line.data + line.len - n, " HTTP/1.0", n) != 0))
    {
        return 400;
    }

    for (i = 0; i < line.len; i++) {
        if (line.data[i] < 0x20 || line.data[i] >= 0x7f) {
            return 400;
        }
    }

    last = line.data + line.len - n;
    sp = memchr(line.data, ' ', (size_t) (last - line.data));

    if (sp == NULL || memchr(sp + 1, ' ', (size_t) (last - sp - 1)) != NULL) {
        return 400;
    }

    if ((size_t) (last - sp - 1) != sizeof(AIQ_CTL_PATH) - 1
        || memcmp(sp + 1, AIQ_CTL_PATH, sizeof(AIQ_CTL_PATH) - 1) != 0)
    {
        return 404;
    }

    return (sp - line.data == 4 && memcmp(line.data, "POST", 4) == 0) ? 0
                                                                      : 405;
}


static unsigned
aiq_ctl_serve_header(aiq_str_t line, int64_t *length)
{
    size_t                i;
    const char           *name;
    const unsigned char  *colon;

    colon = memchr(line.data, ':', line.len);

    if (colon == NULL || colon == line.data) {
        return 400;
    }

    for (i = 0; i < line.len; i++) {

        if ((line.data[i] < 0x20 && line.data[i] != '\t')
            || line.data[i] == 0x7f
            || (line.data + i < colon && line.data[i] == ' '))
        {
            return 400;
        }
    }

    name = (const char *) line.data;
    i = (size_t) (colon - line.data);

    if ((i == 17 && strncasecmp(name, "Transfer-Encoding", i) == 0)
        || (i == 16 && strncasecmp(name, "Content-Encoding", i) == 0))
    {
        return 400;
    }

    if (i == 6 && strncasecmp(name, "Expect", i) == 0) {
        return 417;
    }

    if (i != 14 || strncasecmp(name, "Content-Length", i) != 0) {
        return 0;
    }

    for (i++; i < line.len && line.data[i] == ' '; i++) {
        /* void */
    }

    if (*length >= 0 || i == line.len || line.len - i > 9) {
        return 400;
    }

    for (*length = 0; i < line.len; i++) {

        if (line.data[i] < '0' || line.data[i] > '9') {
            return 400;
        }

        *length = *length * 10 + (line.data[i] - '0');
    }

    return 0;
}


/* 0: what the handler says */

static void
aiq_ctl_serve_reply(aiq_ctl_server_t *s, aiq_ctl_conn_t *conn,
    unsigned status)
{
    int              n;
    aiq_str_t        body;
    aiq_ctl_reply_t  reply;

    reply.status = status;
    reply.type = "text/plain";
    aiq_str_null(&reply.body);

    if (status == 0) {
        body.data = conn->buf + conn->head;
        body.len = conn->body;

        s->handler(s->data, body, &reply);
    }

    n = snprintf(conn->out, sizeof(conn->out),
                 "HTTP/1.1 %u %s\r\nContent-Type: %s\r\n"
                 "Content-Length: %zu\r\nConnection: close\r\n\r\n%.*s",
                 reply.status, aiq_ctl_serve_reason(reply.status), reply.type,
                 reply.body.len, (int) reply.body.len,
                 reply.body.len ? (const char *) reply.body.data : "");

    if (n <= 0 || (size_t) n >= sizeof(conn->out)) {
        aiq_ctl_serve_close(s, conn);
        return;
    }

    conn->left = (size_t) n;
    conn->sent = 0;

    aiq_ctl_serve_write(s, conn);
}


static void
aiq_ctl_serve_write(aiq_ctl_server_t *s, aiq_ctl_conn_t *conn)
{
    ssize_t  n;

    n = send(conn->fd, conn->out + conn->sent, conn->left, MSG_NOSIGNAL);

    if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }

    if (n > 0) {
        conn->sent += (size_t) n;
        conn->left -= (size_t) n;
    }

    if (n <= 0 || conn->left == 0) {
        (void) shutdown(conn->fd, SHUT_WR);
        aiq_ctl_serve_close(s, conn);
    }
}


static const char *
aiq_ctl_serve_reason(unsigned status)
{
    switch (status) {

    case 200:
        return "OK";

    case 400:
        return "Bad Request";

    case 403:
        return "Forbidden";

    case 404:
        return "Not Found";

    case 405:
        return "Method Not Allowed";

    case 409:
        return "Conflict";

    case 411:
        return "Length Required";

    case 413:
        return "Content Too Large";

    case 417:
        return "Expectation Failed";

    case 422:
        return "Unprocessable Entity";

    case 431:
        return "Request Header Fields Too Large";

    default:
        return "Internal Server Error";
    }
}
