
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl audit ship: delivery by HTTP.  What libcurl would do by itself
 * and we do not want is turned off: redirects, proxies of the environment,
 * other protocols, the CAs of the system beside the one that is named.
 */


#include <string.h>
#include <time.h>

#include "b64.h"
#include "ship.h"


#define AIQ_SHIP_CONNECT    10            /* seconds */
#define AIQ_SHIP_REPLY_MAX  (64 * 1024)
#define AIQ_SHIP_AFTER_MAX  3600          /* seconds */


static struct curl_slist *aiq_ship_http_headers(aiq_ship_sink_t *s,
    aiq_str_t body, int *failed);
static void aiq_ship_http_header(struct curl_slist **list, const char *name,
    const char *sep, const char *value, int *failed);
static void aiq_ship_http_sign(aiq_ship_sink_t *s, aiq_str_t body,
    struct curl_slist **list, int *failed);
static void aiq_ship_http_free(struct curl_slist *list);
static size_t aiq_ship_http_read(char *data, size_t size, size_t n,
    void *reply);
static int aiq_ship_http_progress(void *data, curl_off_t dltotal,
    curl_off_t dlnow, curl_off_t ultotal, curl_off_t ulnow);
static aiq_ship_rc_e aiq_ship_http_status(aiq_ship_sink_t *s, CURL *curl,
    const aiq_ship_body_t *reply, aiq_ship_answer_t *answer);
static void aiq_ship_http_partial(aiq_ship_sink_t *s, aiq_str_t reply,
    aiq_ship_answer_t *answer);
static void aiq_ship_http_hide(aiq_ship_sink_t *s, char *text);


aiq_ship_rc_e
aiq_ship_http(aiq_ship_sink_t *s, size_t i, size_t n,
    aiq_ship_answer_t *answer)
{
    int                 failed;
    char                data[AIQ_SHIP_REPLY_MAX];
    aiq_out_t           out;
    aiq_str_t           body, text;
    aiq_ship_rc_e       rc;
    aiq_ship_body_t     reply;
    struct curl_slist  *headers;

    if (s->conf->type == AIQ_SHIP_SENTINEL) {
        rc = aiq_ship_oauth(s, answer);

        if (rc != AIQ_SHIP_OK) {
            return rc;
        }
    }

    aiq_out_init(&out, s->batch.body, s->batch.size);
    aiq_ship_format_begin(&out, &s->conf->style);
    aiq_out_mem(&out, s->batch.buf + s->batch.item[i].start,
                s->batch.item[n - 1].end - s->batch.item[i].start);
    aiq_ship_format_end(&out, &s->conf->style);

    body = aiq_out_done(&out);
    failed = out.failed;

    headers = aiq_ship_http_headers(s, body, &failed);

    if (failed) {
        aiq_ship_http_free(headers);
        aiq_str_set(&text, "out of memory");
        aiq_ship_http_text(s, answer, "cannot make a request", text);
        return AIQ_SHIP_RETRY;
    }

    reply.data = data;
    reply.size = sizeof(data);

    rc = aiq_ship_http_post(s, s->conf->url, headers, body, &reply, answer);

    aiq_ship_http_free(headers);

    if (rc == AIQ_SHIP_OK && s->conf->type == AIQ_SHIP_OTLP) {
        text.data = (unsigned char *) reply.data;
        text.len = reply.len;
        aiq_ship_http_partial(s, text, answer);
    }

    return rc;
}


static struct curl_slist *
aiq_ship_http_headers(aiq_ship_sink_t *s, aiq_str_t body, int *failed)
{
    const char              *type;
    struct curl_slist       *list;
    const aiq_ship_conf_t   *conf;

    conf = s->conf;
    list = NULL;

    type = (conf->type == AIQ_SHIP_WEBHOOK && conf->style.lines)
           ? "application/x-ndjson" : "application/json";

    aiq_ship_http_header(&list, "Content-Type", ": ", type, failed);

    switch (conf->type) {

    case AIQ_SHIP_SENTINEL:
        aiq_ship_http_header(&list, "Authorization", ": Bearer ", s->access,
                             failed);
        break;

    case AIQ_SHIP_SPLUNK:
        aiq_ship_http_header(&list, "Authorization", ": Splunk ",
                             conf->token.data, failed);
        break;

    default:

        if (conf->token.path) {
            aiq_ship_http_header(&list, conf->token_header
                                        ? conf->token_header
                                        : "Authorization",
                                 conf->token_header ? ": " : ": Bearer ",
                                 conf->token.data, failed);
        }
    }

    if (conf->hmac.path) {
        aiq_ship_http_sign(s, body, &list, failed);
    }

    return list;
}


static void
aiq_ship_http_header(struct curl_slist **list, const char *name,
    const char *sep, const char *value, int *failed)
{
    int                 n;
    char                buf[AIQ_SHIP_TOKEN_MAX + 128];
    struct curl_slist  *more;

    n = snprintf(buf, sizeof(buf), "%s%s%s", name, sep, value);

    more = (n > 0 && n < (int) sizeof(buf)) ? curl_slist_append(*list, buf)
                                            : NULL;
    aiq_wipe(buf, sizeof(buf));

    if (more == NULL) {
        *failed = 1;
        return;
    }

    *list = more;
}


/* the time is signed too: who records a request cannot send it again later */

static void
aiq_ship_http_sign(aiq_ship_sink_t *s, aiq_str_t body,
    struct curl_slist **list, int *failed)
{
    int             n;
    char            time_s[32], buf[128];
    aiq_str_t       key, parts[2];
    aiq_out_t       out;
    unsigned char   mac[AIQ_HASH_LEN];

    n = snprintf(time_s, sizeof(time_s), "%lld.", (long long) time(NULL));

    key.data = (unsigned char *) s->conf->hmac.data;
    key.len = s->conf->hmac.len;

    parts[0].data = (unsigned char *) time_s;
    parts[0].len = (size_t) n;
    parts[1] = body;

    if (aiq_hmac(s->crypto, key, parts, 2, mac) != AIQ_OK) {
        *failed = 1;
        return;
    }

    time_s[n - 1] = '\0';

    aiq_out_init(&out, buf, sizeof(buf) - 1);
    aiq_out_str(&out, "t=");
    aiq_out_str(&out, time_s);
    aiq_out_str(&out, ",v1=");
    aiq_out_hex(&out, mac, sizeof(mac));
    *out.pos = '\0';

    aiq_ship_http_header(list, "X-ArmorIQ-Signature", ": ", buf, failed);
}


static void
aiq_ship_http_free(struct curl_slist *list)
{
    struct curl_slist  *p;

    for (p = list; p; p = p->next) {
        aiq_wipe(p->data, strlen(p->data));
    }

    curl_slist_free_all(list);
}


int
aiq_ship_http_setup(aiq_ship_sink_t *s, CURL *curl, const char *url)
{
    int                     rc;
    const aiq_ship_conf_t  *conf;

    conf = s->conf;
    rc = 0;

    rc |= curl_easy_setopt(curl, CURLOPT_URL, url);
    rc |= curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    rc |= curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    rc |= curl_easy_setopt(curl, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
    rc |= curl_easy_setopt(curl, CURLOPT_PROXY,
                           conf->proxy ? conf->proxy : "");
    rc |= curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    rc |= curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT,
                           conf->timeout < AIQ_SHIP_CONNECT
                           ? (long) conf->timeout : (long) AIQ_SHIP_CONNECT);
    rc |= curl_easy_setopt(curl, CURLOPT_HTTP_VERSION,
                           (long) CURL_HTTP_VERSION_1_1);
    rc |= curl_easy_setopt(curl, CURLOPT_SSL_ENABLE_ALPN, 0L);
    rc |= curl_easy_setopt(curl, CURLOPT_SSLVERSION,
                           (long) CURL_SSLVERSION_TLSv1_2);
    rc |= curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    rc |= curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    rc |= curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    rc |= curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION,
                           aiq_ship_http_progress);
    rc |= curl_easy_setopt(curl, CURLOPT_XFERINFODATA, s->ship);

    if (conf->ca_file) {
        rc |= curl_easy_setopt(curl, CURLOPT_CAINFO, conf->ca_file);
        rc |= curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    }

    if (conf->cert_file) {
        rc |= curl_easy_setopt(curl, CURLOPT_SSLCERT, conf->cert_file);
        rc |= curl_easy_setopt(curl, CURLOPT_SSLKEY, conf->key_file);
    }

    return rc ? -1 : 0;
}


aiq_ship_rc_e
aiq_ship_http_post(aiq_ship_sink_t *s, const char *url,
    struct curl_slist *headers, aiq_str_t body, aiq_ship_body_t *reply,
    aiq_ship_answer_t *answer)
{
    int       rc;
    CURLcode  code;

    /* connections stay, options do not */

    if (s->curl == NULL) {
        s->curl = curl_easy_init();

    } else {
        curl_easy_reset(s->curl);
    }

    reply->len = 0;
    code = CURLE_OUT_OF_MEMORY;

    rc = s->curl ? aiq_ship_http_setup(s, s->curl, url) : -1;

    if (rc == 0) {
        rc |= curl_easy_setopt(s->curl, CURLOPT_TIMEOUT,
                               (long) s->conf->timeout);
        rc |= curl_easy_setopt(s->curl, CURLOPT_USERAGENT, AIQ_SHIP_AGENT);
        rc |= curl_easy_setopt(s->curl, CURLOPT_HTTPHEADER, headers);
        rc |= curl_easy_setopt(s->curl, CURLOPT_EXPECT_100_TIMEOUT_MS, 1000L);
        rc |= curl_easy_setopt(s->curl, CURLOPT_POSTFIELDSIZE_LARGE,
                               (curl_off_t) body.len);
        rc |= curl_easy_setopt(s->curl, CURLOPT_POSTFIELDS,
                               (const char *) body.data);
        rc |= curl_easy_setopt(s->curl, CURLOPT_WRITEFUNCTION,
                               aiq_ship_http_read);
        rc |= curl_easy_setopt(s->curl, CURLOPT_WRITEDATA, reply);
    }

    if (rc == 0) {
        code = curl_easy_perform(s->curl);
    }

    if (code != CURLE_OK) {
        aiq_ship_http_text(s, answer, "", aiq_cstr(curl_easy_strerror(code)));

        /* nobody else can make this right */

        return (code == CURLE_PEER_FAILED_VERIFICATION
                || code == CURLE_SSL_CERTPROBLEM
                || code == CURLE_SSL_CACERT_BADFILE
                || code == CURLE_UNSUPPORTED_PROTOCOL)
               ? AIQ_SHIP_CONFIG : AIQ_SHIP_RETRY;
    }

    return aiq_ship_http_status(s, s->curl, reply, answer);
}


/* what does not fit is not needed */

static size_t
aiq_ship_http_read(char *data, size_t size, size_t n, void *reply)
{
    size_t            len;
    aiq_ship_body_t  *b;

    b = reply;
    len = size * n;

    if (len > b->size - b->len) {
        len = b->size - b->len;
    }

    memcpy(b->data + b->len, data, len);
    b->len += len;

    return size * n;
}


/* a request that has begun may end, but not for ever */

static int
aiq_ship_http_progress(void *data, curl_off_t dltotal, curl_off_t dlnow,
    curl_off_t ultotal, curl_off_t ulnow)
{
    int64_t      deadline;
    aiq_ship_t  *ship;

    ship = data;
    deadline = atomic_load(&ship->deadline);

    return deadline != 0 && aiq_ship_clock() > deadline;
}


static aiq_ship_rc_e
aiq_ship_http_status(aiq_ship_sink_t *s, CURL *curl,
    const aiq_ship_body_t *reply, aiq_ship_answer_t *answer)
{
    char        what[32];
    aiq_str_t   text;
    curl_off_t  after;

    after = 0;

    if (curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status)
           != CURLE_OK
        || curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &after) != CURLE_OK)
    {
        return AIQ_SHIP_RETRY;
    }

    answer->after = (after < 0) ? 0
                    : (after > AIQ_SHIP_AFTER_MAX) ? AIQ_SHIP_AFTER_MAX
                    : (int64_t) after;

    text.data = (unsigned char *) reply->data;
    text.len = reply->len;

    (void) snprintf(what, sizeof(what), "HTTP %ld", answer->status);
    aiq_ship_http_text(s, answer, what, text);

    if (answer->status >= 200 && answer->status < 300) {
        return AIQ_SHIP_OK;
    }

    switch (answer->status) {

    case 400:
    case 413:
    case 422:
        return AIQ_SHIP_REFUSED;

    case 408:
    case 425:
    case 429:
        return AIQ_SHIP_RETRY;
    }

    /* with redirects: where the log goes is not for others to say */

    return (answer->status >= 500) ? AIQ_SHIP_RETRY : AIQ_SHIP_CONFIG;
}


/* OTLP forbids to send again what was accepted in part */

static void
aiq_ship_http_partial(aiq_ship_sink_t *s, aiq_str_t reply,
    aiq_ship_answer_t *answer)
{
    int64_t     n;
    size_t      i;
    uint32_t    part, rejected;
    aiq_mem_t   mem;
    aiq_str_t   raw;
    aiq_json_t  doc;

    mem.pos = s->mem;
    mem.end = s->mem + AIQ_SHIP_MEM;

    if (reply.len == 0
        || aiq_json_parse(&doc, reply, AIQ_JSON_DEPTH, &mem, NULL) != AIQ_OK)
    {
        return;
    }

    part = aiq_json_get(&doc, 0, "partialSuccess");
    rejected = aiq_json_get(&doc, part, "rejectedLogRecords");

    if (rejected == AIQ_JSON_NONE) {
        return;
    }

    raw = aiq_json_raw(&doc, rejected);
    n = 0;

    for (i = 0; i < raw.len && n < AIQ_SHIP_RECORDS; i++) {

        if (raw.data[i] >= '0' && raw.data[i] <= '9') {
            n = n * 10 + (raw.data[i] - '0');
        }
    }

    answer->rejected = (uint64_t) n;
}


/*
 * Who is asked may repeat what we have sent, and what we have sent are
 * secrets too.
 */

void
aiq_ship_http_text(aiq_ship_sink_t *s, aiq_ship_answer_t *answer,
    const char *what, aiq_str_t text)
{
    size_t     n;
    aiq_out_t  out;

    aiq_out_init(&out, answer->text, sizeof(answer->text) - 1);

    aiq_out_str(&out, what);

    if (*what && text.len) {
        aiq_out_str(&out, ": ");
    }

    n = (size_t) (out.end - out.pos);

    aiq_out_mem(&out, text.data, text.len < n ? text.len : n);
    *out.pos = '\0';

    /* NUL in an answer ends it */

    aiq_ship_http_hide(s, answer->text);
}


static void
aiq_ship_http_hide(aiq_ship_sink_t *s, char *text)
{
    char        *p;
    size_t       i, n, len;
    const char  *secret[4];

    secret[0] = s->conf->token.data;
    secret[1] = s->conf->hmac.data;
    secret[2] = s->conf->client_secret.data;
    secret[3] = s->access ? s->access : "";

    for (i = 0; i < 4; i++) {
        len = strlen(secret[i]);

        if (len == 0) {
            continue;
        }

        /* behind what is hidden, which may be what was looked for */

        for (p = text; (p = strstr(p, secret[i])) != NULL; p += len) {
            memset(p, '*', len);
        }

        /* one that was cut off at the end */

        n = strlen(text);

        for (len = (n < len) ? n : len; len >= 4; len--) {

            if (memcmp(text + n - len, secret[i], len) == 0) {
                memset(text + n - len, '*', len);
                break;
            }
        }
    }
}
