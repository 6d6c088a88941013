
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl audit ship: the configuration, a JSON document.
 */


#include <ctype.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ship.h"


#define AIQ_SHIP_CONF_MAX  ((size_t) 1 << 20)
#define AIQ_SHIP_HOST_MAX  255


typedef enum {
    AIQ_SHIP_C_TEXT = 0,
    AIQ_SHIP_C_WORD,                      /* visible ASCII */
    AIQ_SHIP_C_NUMBER,
    AIQ_SHIP_C_FLAG,
    AIQ_SHIP_C_FORMAT,
    AIQ_SHIP_C_SECRET                     /* path of a file */
} aiq_ship_conf_kind_e;

#define AIQ_SHIP_C(type)   (1u << AIQ_SHIP_##type)
#define AIQ_SHIP_C_ALL     0x1fu
#define AIQ_SHIP_C_HTTP    (AIQ_SHIP_C_ALL & ~AIQ_SHIP_C(SYSLOG))

typedef struct {
    const char             *key;
    unsigned                types;        /* that know it */
    unsigned                needed;       /* by these */
    aiq_ship_conf_kind_e         kind;
    size_t                  offset;
    int64_t                 min;
    int64_t                 max;          /* of words: length */
} aiq_ship_conf_member_t;


static int aiq_ship_conf_file(aiq_ctl_t *ctl, const char *path,
    aiq_json_t *doc);
static int aiq_ship_conf_sink(aiq_ship_t *ship, const aiq_json_t *doc,
    uint32_t obj, const char *host);
static int aiq_ship_conf_name(aiq_ship_t *ship, const aiq_json_t *doc,
    uint32_t obj, aiq_ship_conf_t *conf);
static void aiq_ship_conf_defaults(aiq_ship_conf_t *conf, const char *host);
static int aiq_ship_conf_members(aiq_ship_t *ship, const aiq_json_t *doc,
    uint32_t obj, aiq_ship_conf_t *conf);
static int aiq_ship_conf_member(aiq_ctl_t *ctl, const aiq_json_t *doc,
    uint32_t value, const aiq_ship_conf_member_t *m, aiq_ship_conf_t *conf);
static int aiq_ship_conf_text(aiq_ctl_t *ctl, const aiq_json_t *doc,
    uint32_t value, int64_t max, int word, const char **text);
static const char *aiq_ship_conf_dup(aiq_ctl_t *ctl, const char *s);
static int aiq_ship_conf_check(aiq_ctl_t *ctl, aiq_ship_conf_t *conf);
static const char *aiq_ship_conf_sd_id(const char *s);
static int aiq_ship_conf_url(aiq_ctl_t *ctl, const aiq_ship_conf_t *conf,
    const char *key, const char **url, const char *path);
static int aiq_ship_conf_url_parts(aiq_ctl_t *ctl,
    const aiq_ship_conf_t *conf, const char *key, const char **url,
    const char *path, CURLU *u);
static const char *aiq_ship_conf_url_wrong(const aiq_ship_conf_t *conf,
    CURLU *u, const char *scheme, const char *host);
static int aiq_ship_conf_url_make(aiq_ctl_t *ctl, const aiq_ship_conf_t *conf,
    CURLU *u, const char *scheme, const char *path, const char **url);
static int aiq_ship_conf_loopback(const char *host);


static const char  *aiq_ship_types[] = {
    "syslog", "splunk", "sentinel", "webhook", "otlp", NULL
};


#define M(member)  offsetof(aiq_ship_conf_t, member)

static const aiq_ship_conf_member_t  aiq_ship_conf_table[] = {

    { "url", AIQ_SHIP_C_ALL, AIQ_SHIP_C_ALL, AIQ_SHIP_C_WORD, M(url), 0,
      2048 },
    { "ca_file", AIQ_SHIP_C_ALL, 0, AIQ_SHIP_C_TEXT, M(ca_file), 0, 4095 },
    { "cert_file", AIQ_SHIP_C_ALL, 0, AIQ_SHIP_C_TEXT, M(cert_file), 0,
      4095 },
    { "key_file", AIQ_SHIP_C_ALL, 0, AIQ_SHIP_C_TEXT, M(key_file), 0, 4095 },
    { "allow_plain", AIQ_SHIP_C_ALL, 0, AIQ_SHIP_C_FLAG, M(plain), 0, 0 },
    { "batch_records", AIQ_SHIP_C_ALL, 0, AIQ_SHIP_C_NUMBER, M(records), 1,
      AIQ_SHIP_RECORDS },
    { "batch_bytes", AIQ_SHIP_C_ALL, 0, AIQ_SHIP_C_NUMBER, M(bytes), 1024,
      8 << 20 },
    { "timeout", AIQ_SHIP_C_ALL, 0, AIQ_SHIP_C_NUMBER, M(timeout), 1, 600 },
    { "backoff_max", AIQ_SHIP_C_ALL, 0, AIQ_SHIP_C_NUMBER, M(backoff), 1,
      3600 },
    { "refused_max", AIQ_SHIP_C_HTTP, 0, AIQ_SHIP_C_NUMBER, M(refused), 0,
      1000000 },
    { "proxy", AIQ_SHIP_C_HTTP, 0, AIQ_SHIP_C_WORD, M(proxy), 0, 2048 },
    { "host", AIQ_SHIP_C_ALL, 0, AIQ_SHIP_C_WORD, M(style.host), 0,
      AIQ_SHIP_HOST_MAX },

    { "facility", AIQ_SHIP_C(SYSLOG), 0, AIQ_SHIP_C_NUMBER, M(style.facility),
      0, 23 },
    { "app", AIQ_SHIP_C(SYSLOG), 0, AIQ_SHIP_C_WORD, M(style.app), 0, 48 },
    { "sd_id", AIQ_SHIP_C(SYSLOG), 0, AIQ_SHIP_C_WORD, M(style.sd_id), 0,
      32 },

    { "token_file", AIQ_SHIP_C(SPLUNK)|AIQ_SHIP_C(WEBHOOK)|AIQ_SHIP_C(OTLP),
      AIQ_SHIP_C(SPLUNK), AIQ_SHIP_C_SECRET, M(token), 0, 0 },
    { "token_header", AIQ_SHIP_C(WEBHOOK)|AIQ_SHIP_C(OTLP), 0,
      AIQ_SHIP_C_WORD, M(token_header), 0, 64 },

    { "index", AIQ_SHIP_C(SPLUNK), 0, AIQ_SHIP_C_TEXT, M(style.index), 0,
      256 },
    { "source", AIQ_SHIP_C(SPLUNK), 0, AIQ_SHIP_C_TEXT, M(style.source), 0,
      256 },
    { "sourcetype", AIQ_SHIP_C(SPLUNK), 0, AIQ_SHIP_C_TEXT,
      M(style.sourcetype), 0, 256 },

    { "dcr", AIQ_SHIP_C(SENTINEL), AIQ_SHIP_C(SENTINEL), AIQ_SHIP_C_WORD,
      M(dcr), 0, 128 },
    { "stream", AIQ_SHIP_C(SENTINEL), AIQ_SHIP_C(SENTINEL), AIQ_SHIP_C_WORD,
      M(stream), 0, 128 },
    { "token_url", AIQ_SHIP_C(SENTINEL), AIQ_SHIP_C(SENTINEL),
      AIQ_SHIP_C_WORD, M(token_url), 0, 2048 },
    { "client_id", AIQ_SHIP_C(SENTINEL), AIQ_SHIP_C(SENTINEL),
      AIQ_SHIP_C_WORD, M(client_id), 0, 256 },
    { "client_secret_file", AIQ_SHIP_C(SENTINEL), AIQ_SHIP_C(SENTINEL),
      AIQ_SHIP_C_SECRET, M(client_secret), 0, 0 },
    { "scope", AIQ_SHIP_C(SENTINEL), 0, AIQ_SHIP_C_WORD, M(scope), 0, 512 },

    { "format", AIQ_SHIP_C(WEBHOOK), 0, AIQ_SHIP_C_FORMAT, M(style.lines), 0,
      0 },
    { "hmac_file", AIQ_SHIP_C(WEBHOOK), 0, AIQ_SHIP_C_SECRET, M(hmac), 0, 0 },

    { "service", AIQ_SHIP_C(OTLP), 0, AIQ_SHIP_C_TEXT, M(style.service), 0,
      256 },

    { NULL, 0, 0, AIQ_SHIP_C_TEXT, 0, 0, 0 }
};

#undef M


int
aiq_ship_conf_read(aiq_ship_t *ship, const char *path)
{
    int          code;
    char         name[AIQ_SHIP_HOST_MAX + 1];
    uint32_t     i, sinks, key;
    aiq_ctl_t   *ctl;
    aiq_json_t   doc;
    const char  *host;

    ctl = ship->ctl;

    code = aiq_ship_conf_file(ctl, path, &doc);
    if (code != AIQ_CTL_OK) {
        return code;
    }

    if (gethostname(name, sizeof(name)) != 0) {
        name[0] = '\0';
    }

    name[sizeof(name) - 1] = '\0';
    host = name[0] ? aiq_ship_conf_dup(ctl, name) : "-";

    if (host == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    for (key = aiq_json_first(&doc, 0); key != AIQ_JSON_NONE;
         key = aiq_json_next(&doc, 0, key))
    {
        if (aiq_json_is(&doc, key, "host")) {

            if (aiq_ship_conf_text(ctl, &doc, key + 1, AIQ_SHIP_HOST_MAX, 1,
                                   &host)
                != 0)
            {
                return aiq_ctl_usage(ctl, "%s: \"host\" must be a name of up"
                                     " to %d visible ASCII characters", path,
                                     AIQ_SHIP_HOST_MAX);
            }

        } else if (!aiq_json_is(&doc, key, "sinks")) {
            return aiq_ctl_usage(ctl, "%s: there is nothing called %s", path,
                                 aiq_ctl_esc(ctl, aiq_json_raw(&doc, key)));
        }
    }

    sinks = aiq_json_get(&doc, 0, "sinks");

    if (aiq_json_type(&doc, sinks) != AIQ_JSON_ARRAY
        || doc.tok[sinks].n == 0 || doc.tok[sinks].n > AIQ_SHIP_SINKS)
    {
        return aiq_ctl_usage(ctl, "%s: \"sinks\" must be a list of 1 to %d",
                             path, AIQ_SHIP_SINKS);
    }

    for (i = aiq_json_first(&doc, sinks); i != AIQ_JSON_NONE;
         i = aiq_json_next(&doc, sinks, i))
    {
        code = aiq_ship_conf_sink(ship, &doc, i, host);
        if (code != AIQ_CTL_OK) {
            return code;
        }
    }

    return AIQ_CTL_OK;
}


/* it says where the log goes: not for everybody to change */

static int
aiq_ship_conf_file(aiq_ctl_t *ctl, const char *path, aiq_json_t *doc)
{
    int          code;
    struct stat  st;

    if (strcmp(path, "-") != 0 && stat(path, &st) == 0
        && (st.st_mode & S_IWOTH))
    {
        return aiq_ctl_fault(ctl, AIQ_E_INTERNAL, "%s may be written to by"
                             " everybody", path);
    }

    code = aiq_ctl_read_json(ctl, path, AIQ_SHIP_CONF_MAX, 0, doc);

    if (code == AIQ_CTL_OK && aiq_json_type(doc, 0) != AIQ_JSON_OBJECT) {
        return aiq_ctl_usage(ctl, "%s: is not an object", path);
    }

    return code;
}


static int
aiq_ship_conf_sink(aiq_ship_t *ship, const aiq_json_t *doc, uint32_t obj,
    const char *host)
{
    int               code;
    aiq_ctl_t        *ctl;
    aiq_ship_sink_t  *s;

    ctl = ship->ctl;

    s = &ship->sink[ship->n];
    s->ship = ship;
    s->conf = aiq_mem_calloc(&ctl->mem, sizeof(aiq_ship_conf_t));

    if (s->conf == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    code = aiq_ship_conf_name(ship, doc, obj, s->conf);
    if (code != AIQ_CTL_OK) {
        return code;
    }

    ship->n++;

    aiq_ship_conf_defaults(s->conf, host);

    code = aiq_ship_conf_members(ship, doc, obj, s->conf);

    if (code == AIQ_CTL_OK) {
        code = aiq_ship_conf_check(ctl, s->conf);
    }

    if (code == AIQ_CTL_OK
        && aiq_ship_secrets(s->conf, &ctl->err) != 0)
    {
        return aiq_ctl_fault(ctl, AIQ_E_INTERNAL, "sink \"%s\": %s",
                             s->conf->name, ctl->err.text);
    }

    return code;
}


/* files are named after it */

static int
aiq_ship_conf_name(aiq_ship_t *ship, const aiq_json_t *doc, uint32_t obj,
    aiq_ship_conf_t *conf)
{
    unsigned     i;
    const char  *p;
    aiq_ctl_t   *ctl;

    ctl = ship->ctl;

    if (aiq_ship_conf_text(ctl, doc, aiq_json_get(doc, obj, "name"),
                           AIQ_SHIP_NAME_MAX, 1, &conf->name)
        != 0)
    {
        return aiq_ctl_usage(ctl, "sink %u needs a \"name\" of up to %d"
                             " characters", ship->n + 1, AIQ_SHIP_NAME_MAX);
    }

    for (p = conf->name; *p; p++) {

        if (!isalnum((unsigned char) *p) && *p != '-' && *p != '_') {
            return aiq_ctl_usage(ctl, "the name \"%s\" of a sink may hold"
                                 " letters, digits, \"-\" and \"_\" only",
                                 conf->name);
        }
    }

    for (i = 0; i < ship->n; i++) {

        if (strcmp(ship->sink[i].conf->name, conf->name) == 0) {
            return aiq_ctl_usage(ctl, "two sinks are called \"%s\"",
                                 conf->name);
        }
    }

    for (i = 0; aiq_ship_types[i]; i++) {

        if (aiq_json_is(doc, aiq_json_get(doc, obj, "type"),
                        aiq_ship_types[i]))
        {
            conf->type = (aiq_ship_type_e) i;
            conf->style.type = conf->type;

            return AIQ_CTL_OK;
        }
    }

    return aiq_ctl_usage(ctl, "sink \"%s\" needs a \"type\": syslog, splunk,"
                         " sentinel, webhook or otlp", conf->name);
}


static void
aiq_ship_conf_defaults(aiq_ship_conf_t *conf, const char *host)
{
    conf->records = 500;
    conf->bytes = 512 * 1024;
    conf->timeout = 30;
    conf->backoff = 60;
    conf->refused = 16;
    conf->scope = "https://monitor.azure.com/.default";

    conf->style.host = host;
    conf->style.facility = 13;            /* log audit */
    conf->style.app = "armoriq";
    conf->style.sd_id = "armoriq@32473";
    conf->style.sourcetype = "armoriq:audit";
    conf->style.service = "armoriq";
    conf->style.lines = 1;
}


static int
aiq_ship_conf_members(aiq_ship_t *ship, const aiq_json_t *doc, uint32_t obj,
    aiq_ship_conf_t *conf)
{
    int                       code;
    uint32_t                  key;
    aiq_ctl_t                *ctl;
    const aiq_ship_conf_member_t  *m;

    ctl = ship->ctl;

    for (key = aiq_json_first(doc, obj); key != AIQ_JSON_NONE;
         key = aiq_json_next(doc, obj, key))
    {
        if (aiq_json_is(doc, key, "name") || aiq_json_is(doc, key, "type")) {
            continue;
        }

        for (m = aiq_ship_conf_table; m->key; m++) {

            if (aiq_json_is(doc, key, m->key)
                && (m->types & (1u << conf->type)))
            {
                break;
            }
        }

        if (m->key == NULL) {
            return aiq_ctl_usage(ctl, "sink \"%s\": %s has no member \"%s\"",
                                 conf->name, aiq_ship_types[conf->type],
                                 aiq_ctl_esc(ctl, aiq_json_raw(doc, key)));
        }

        code = aiq_ship_conf_member(ctl, doc, key + 1, m, conf);
        if (code != AIQ_CTL_OK) {
            return code;
        }
    }

    for (m = aiq_ship_conf_table; m->key; m++) {

        if ((m->needed & (1u << conf->type))
            && aiq_json_get(doc, obj, m->key) == AIQ_JSON_NONE)
        {
            return aiq_ctl_usage(ctl, "sink \"%s\" needs a \"%s\"",
                                 conf->name, m->key);
        }
    }

    return AIQ_CTL_OK;
}


static int
aiq_ship_conf_member(aiq_ctl_t *ctl, const aiq_json_t *doc, uint32_t value,
    const aiq_ship_conf_member_t *m, aiq_ship_conf_t *conf)
{
    char     *p;
    int       type;
    int64_t   n;

    p = (char *) conf + m->offset;
    type = aiq_json_type(doc, value);

    switch (m->kind) {

    case AIQ_SHIP_C_TEXT:
    case AIQ_SHIP_C_WORD:

        if (aiq_ship_conf_text(ctl, doc, value, m->max,
                               m->kind == AIQ_SHIP_C_WORD,
                               (const char **) (void *) p)
            == 0)
        {
            return AIQ_CTL_OK;
        }

        return aiq_ctl_usage(ctl, "sink \"%s\": \"%s\" must be a text of 1 to"
                             " %lld %scharacters", conf->name, m->key,
                             (long long) m->max,
                             m->kind == AIQ_SHIP_C_WORD ? "visible ASCII "
                                                        : "");

    case AIQ_SHIP_C_NUMBER:

        if (aiq_json_int(doc, value, &n) == AIQ_OK && n >= m->min
            && n <= m->max)
        {
            *(int64_t *) (void *) p = n;
            return AIQ_CTL_OK;
        }

        return aiq_ctl_usage(ctl, "sink \"%s\": \"%s\" must be a number from"
                             " %lld to %lld", conf->name, m->key,
                             (long long) m->min, (long long) m->max);

    case AIQ_SHIP_C_FLAG:

        if (type == AIQ_JSON_TRUE || type == AIQ_JSON_FALSE) {
            *(int64_t *) (void *) p = (type == AIQ_JSON_TRUE);
            return AIQ_CTL_OK;
        }

        return aiq_ctl_usage(ctl, "sink \"%s\": \"%s\" must be true or false",
                             conf->name, m->key);

    case AIQ_SHIP_C_FORMAT:

        if (aiq_json_is(doc, value, "lines")
            || aiq_json_is(doc, value, "array"))
        {
            *(int64_t *) (void *) p = aiq_json_is(doc, value, "lines");
            return AIQ_CTL_OK;
        }

        return aiq_ctl_usage(ctl, "sink \"%s\": \"%s\" must be \"lines\" or"
                             " \"array\"", conf->name, m->key);

    default:

        if (aiq_ship_conf_text(ctl, doc, value, 4095, 0,
                               &((aiq_ship_secret_t *) (void *) p)->path)
            == 0)
        {
            return AIQ_CTL_OK;
        }

        /* somebody may have put the secret itself there: not repeated */

        return aiq_ctl_usage(ctl, "sink \"%s\": \"%s\" must be the path of a"
                             " file", conf->name, m->key);
    }
}


/* NUL-terminated, in ctl->mem; 0 or -1 */

static int
aiq_ship_conf_text(aiq_ctl_t *ctl, const aiq_json_t *doc, uint32_t value,
    int64_t max, int word, const char **text)
{
    char       *p;
    size_t      i;
    aiq_str_t   s;

    /* a copy, because it has to end with NUL */

    if (aiq_json_type(doc, value) != AIQ_JSON_STRING
        || aiq_json_string(doc, value, &ctl->mem, &s) != AIQ_OK
        || s.len == 0 || s.len > (size_t) max)
    {
        return -1;
    }

    for (i = 0; i < s.len; i++) {

        if (s.data[i] < 0x20 || s.data[i] == 0x7f
            || (word && (s.data[i] == 0x20 || s.data[i] > 0x7f)))
        {
            return -1;
        }
    }

    p = aiq_mem_alloc(&ctl->mem, s.len + 1);
    if (p == NULL) {
        return -1;
    }

    memcpy(p, s.data, s.len);
    p[s.len] = '\0';

    *text = p;

    return 0;
}


static const char *
aiq_ship_conf_dup(aiq_ctl_t *ctl, const char *s)
{
    char  *p;

    p = aiq_mem_alloc(&ctl->mem, strlen(s) + 1);

    if (p) {
        memcpy(p, s, strlen(s) + 1);
    }

    return p;
}


static int
aiq_ship_conf_check(aiq_ctl_t *ctl, aiq_ship_conf_t *conf)
{
    int          code;
    char        *path;
    const char  *p, *what;

    what = NULL;

    if ((conf->cert_file == NULL) != (conf->key_file == NULL)) {
        what = "\"cert_file\" and \"key_file\" go together";
    }

    if (conf->type == AIQ_SHIP_SYSLOG && what == NULL) {
        what = aiq_ship_conf_sd_id(conf->style.sd_id);
    }

    for (p = conf->token_header; p && *p; p++) {

        if (!isalnum((unsigned char) *p) && *p != '-' && *p != '_') {
            what = "\"token_header\" must be the name of a header";
        }
    }

    if (conf->proxy && strchr(conf->proxy, '@')) {
        what = "\"proxy\" must not hold a user or a password";
    }

    for (p = conf->dcr; p && *p; p++) {

        if (!isalnum((unsigned char) *p) && *p != '-') {
            what = "\"dcr\" is not the id of a data collection rule";
        }
    }

    for (p = conf->stream; p && *p; p++) {

        if (!isalnum((unsigned char) *p) && *p != '-' && *p != '_') {
            what = "\"stream\" is not the name of a stream";
        }
    }

    if (what) {
        return aiq_ctl_usage(ctl, "sink \"%s\": %s", conf->name, what);
    }

    path = "";

    switch (conf->type) {

    case AIQ_SHIP_SPLUNK:
        path = "/services/collector/event";
        break;

    case AIQ_SHIP_OTLP:
        path = "/v1/logs";
        break;

    case AIQ_SHIP_SENTINEL:
        path = aiq_mem_alloc(&ctl->mem, 512);

        if (path == NULL) {
            return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
        }

        (void) snprintf(path, 512, "/dataCollectionRules/%s/streams/%s",
                        conf->dcr, conf->stream);
        break;

    default:
        break;
    }

    code = aiq_ship_conf_url(ctl, conf, "url", &conf->url, path);

    if (code == AIQ_CTL_OK && conf->token_url) {
        code = aiq_ship_conf_url(ctl, conf, "token_url", &conf->token_url,
                                 "");
    }

    return code;
}


/* RFC 5424 6.3.2: a name, and the number of an enterprise */

static const char *
aiq_ship_conf_sd_id(const char *s)
{
    size_t  n;

    static const char  *bad = "\"sd_id\" must be like armoriq@32473, of up to"
                              " 32 characters without = ] and \"";

    n = strcspn(s, "@");

    if (n == 0 || s[n] == '\0' || strpbrk(s, "=]\"") != NULL
        || s[n + 1] == '\0'
        || strspn(s + n + 1, "0123456789.") != strlen(s + n + 1))
    {
        return bad;
    }

    return NULL;
}


static int
aiq_ship_conf_url(aiq_ctl_t *ctl, const aiq_ship_conf_t *conf,
    const char *key, const char **url, const char *path)
{
    int     code;
    CURLU  *u;

    u = curl_url();

    if (u == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    code = aiq_ship_conf_url_parts(ctl, conf, key, url, path, u);

    curl_url_cleanup(u);

    return code;
}


/* the URL is not repeated: there may be a key in it after all */

static int
aiq_ship_conf_url_parts(aiq_ctl_t *ctl, const aiq_ship_conf_t *conf,
    const char *key, const char **url, const char *path, CURLU *u)
{
    char        *scheme, *host, *old;
    const char  *what;

    scheme = host = old = NULL;

    if (curl_url_set(u, CURLUPART_URL, *url, CURLU_NON_SUPPORT_SCHEME)
           != CURLUE_OK
        || curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK
        || curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK
        || curl_url_get(u, CURLUPART_PATH, &old, 0) != CURLUE_OK)
    {
        what = "is not a URL with a host";

    } else {
        what = aiq_ship_conf_url_wrong(conf, u, scheme, host);
    }

    if (what == NULL && strcmp(old, "/") != 0
        && (conf->type == AIQ_SHIP_SYSLOG
            || (conf->type == AIQ_SHIP_SENTINEL && *path)))
    {
        what = "must not hold a path";
    }

    if (what == NULL
        && aiq_ship_conf_url_make(ctl, conf, u, scheme,
                                  strcmp(old, "/") == 0 ? path : "", url)
           != 0)
    {
        what = "is not usable";
    }

    curl_free(scheme);
    curl_free(host);
    curl_free(old);

    return what ? aiq_ctl_usage(ctl, "sink \"%s\": \"%s\" %s", conf->name,
                                key, what)
                : AIQ_CTL_OK;
}


static const char *
aiq_ship_conf_url_wrong(const aiq_ship_conf_t *conf, CURLU *u,
    const char *scheme, const char *host)
{
    int    tls, syslog;
    char  *part;

    syslog = (conf->type == AIQ_SHIP_SYSLOG);
    tls = (strcmp(scheme, syslog ? "tls" : "https") == 0);

    if (!tls && strcmp(scheme, syslog ? "tcp" : "http") != 0) {
        return syslog ? "must begin with tls:// or tcp://"
                      : "must begin with https:// or http://";
    }

    if (!tls && !conf->plain && !aiq_ship_conf_loopback(host)) {
        return "is without TLS and not of this machine;"
               " \"allow_plain\":true allows that";
    }

    part = NULL;

    if (curl_url_get(u, CURLUPART_USER, &part, 0) == CURLUE_OK
        || curl_url_get(u, CURLUPART_PASSWORD, &part, 0) == CURLUE_OK)
    {
        curl_free(part);
        return "must not hold a user or a password";
    }

    return NULL;
}


/*
 * For libcurl syslog is "http" and "https", of which it makes the connection
 * only.  0, or -1.
 */

static int
aiq_ship_conf_url_make(aiq_ctl_t *ctl, const aiq_ship_conf_t *conf, CURLU *u,
    const char *scheme, const char *path, const char **url)
{
    int    tls, bad;
    char  *port, *full;

    tls = (strcmp(scheme, "tls") == 0 || strcmp(scheme, "https") == 0);

    bad = curl_url_set(u, CURLUPART_SCHEME, tls ? "https" : "http", 0);
    bad |= curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);

    if (*path) {
        bad |= curl_url_set(u, CURLUPART_PATH, path, 0);
    }

    if (conf->type == AIQ_SHIP_SENTINEL && *path) {
        bad |= curl_url_set(u, CURLUPART_QUERY, "api-version=2023-01-01", 0);
    }

    port = NULL;

    if (conf->type == AIQ_SHIP_SYSLOG
        && curl_url_get(u, CURLUPART_PORT, &port, 0) != CURLUE_OK)
    {
        bad |= curl_url_set(u, CURLUPART_PORT, tls ? "6514" : "514", 0);
    }

    curl_free(port);

    full = NULL;

    if (bad || curl_url_get(u, CURLUPART_URL, &full, 0) != CURLUE_OK) {
        return -1;
    }

    *url = aiq_ship_conf_dup(ctl, full);

    curl_free(full);

    return *url ? 0 : -1;
}


/* libcurl takes "localhost" for nothing else, whatever DNS says */

static int
aiq_ship_conf_loopback(const char *host)
{
    const char  *p;

    if (strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0) {
        return 1;
    }

    for (p = host; *p; p++) {

        if (!isdigit((unsigned char) *p) && *p != '.') {
            return 0;
        }
    }

    return strncmp(host, "127.", 4) == 0;
}
