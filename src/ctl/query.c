
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl audit query: which calls were there, and what became of them;
 * and the index that makes it quick.
 */


#include <string.h>
#include <time.h>
#include <unistd.h>

#include "query.h"


typedef struct {
    aiq_ctl_t  *ctl;
    int64_t     limit;            /* 0: none */
    int64_t     n;
    unsigned    escape:1;
} aiq_ctl_query_t;


static int aiq_ctl_query_words(aiq_ctl_t *ctl, aiq_audit_filter_t *f);
static int aiq_ctl_query_one_of(aiq_ctl_t *ctl, const char *name,
    const char *const *words, const char *sentence, aiq_str_t *value);
static int aiq_ctl_query_hex(aiq_ctl_t *ctl, const char *name,
    const char *value, size_t len, aiq_str_t *s);
static int aiq_ctl_query_time(aiq_ctl_t *ctl, const char *name, int64_t *us);
static int aiq_ctl_query_ago(const char *s, int64_t now_us, int64_t *us);
static int aiq_ctl_query_rfc3339(const char *s, int64_t *us);
static int aiq_ctl_query_digits(const char **s, unsigned n, unsigned max,
    int *v);
static aiq_rc_t aiq_ctl_query_hit(void *data, const aiq_audit_hit_t *hit);
static void aiq_ctl_query_json(aiq_ctl_query_t *q,
    const aiq_audit_hit_t *hit);
static void aiq_ctl_query_record(aiq_ctl_query_t *q, const char *name,
    aiq_str_t line);
static void aiq_ctl_query_row(aiq_ctl_query_t *q, const aiq_audit_hit_t *hit);
static void aiq_ctl_query_cell(aiq_ctl_t *ctl, aiq_str_t s, int width);


const aiq_ctl_opt_t  aiq_ctl_audit_query_opts[] = {

    { "org", "ORG", "calls of this org", 0, 0 },
    { "user", "U", "on behalf of this user", 0, 0 },
    { "agent", "A", "by this agent", 0, 0 },
    { "mcp", "M", "to this MCP server", 0, 0 },
    { "tool", "T", "of this tool; * stands for anything", 0, 0 },
    { "verdict", "V", "PERMIT, DENY or HOLD", 0, 0 },
    { "reason", "R", "OK, or why not: STEP_USED, ...", 0, 0 },
    { "status", "S", "of the outcome: executed, not_sent, ...; or"
      " unknown", 0, 0 },
    { "rid", "ID", "the request with this id", 0, 0 },
    { "jti", "JTI", "with this token", 0, 0 },
    { "plan", "HASH", "of this plan", 0, 0 },
    { "since", "TIME", "not before: 2026-11-21T02:00:00Z, 1h, 7d", 0, 0 },
    { "until", "TIME", "and before", 0, 0 },
    { "limit", "N", "no more than N", 0, 0 },
    { "no-index", NULL, "read everything", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


const aiq_ctl_opt_t  aiq_ctl_audit_index_opts[] = {

    { "rebuild", NULL, "all of it anew", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


int
aiq_ctl_audit_query(aiq_ctl_t *ctl)
{
    int                  code;
    aiq_ctl_query_t      q;
    aiq_audit_filter_t   f;

    memset(&q, 0, sizeof(aiq_ctl_query_t));

    q.ctl = ctl;

    code = aiq_ctl_query_filter(ctl, &f);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_opt_int(ctl, "limit", 1, INT64_MAX, 0, &q.limit);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    /* whoever hashes a record needs its very bytes, a terminal must not */

    q.escape = (isatty(STDOUT_FILENO) == 1);

    code = aiq_ctl_query_run(ctl, ctl->arg[0], &f,
                             aiq_ctl_opt(ctl, "no-index")
                             ? AIQ_AUDIT_NO_INDEX : 0,
                             aiq_ctl_query_hit, &q);

    if (code == AIQ_CTL_NO) {
        return aiq_ctl_no(ctl, AIQ_DECLINED, "nothing found");
    }

    return code;
}


int
aiq_ctl_audit_index(aiq_ctl_t *ctl)
{
    json_t               *o;
    aiq_rc_t              rc;
    aiq_audit_indexed_t   r;

    rc = aiq_audit_index(ctl->arg[0], aiq_ctl_opt(ctl, "rebuild")
                         ? AIQ_AUDIT_REINDEX : 0, ctl->crypto, &r, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, ctl->arg[0]);
    }

    if (r.bad) {
        return aiq_ctl_fault(ctl, AIQ_E_AUDIT_UNAVAILABLE, "%llu of %llu"
                             " segments hold lines that are no records, see"
                             " armoriqctl audit verify",
                             (unsigned long long) r.bad,
                             (unsigned long long) r.segments);
    }

    if (!ctl->json) {
        printf("%llu segments, %llu indexes made\n",
               (unsigned long long) r.segments,
               (unsigned long long) r.built);

        return AIQ_CTL_OK;
    }

    o = json_object();

    aiq_ctl_jset(ctl, o, "ok", json_true());
    aiq_ctl_jset(ctl, o, "segments", json_integer((json_int_t) r.segments));
    aiq_ctl_jset(ctl, o, "built", json_integer((json_int_t) r.built));

    return aiq_ctl_jprint(ctl, o);
}


int
aiq_ctl_query_begin(aiq_ctl_t *ctl, aiq_str_t *org, aiq_audit_filter_t *f,
    const char **dir)
{
    int  code;

    code = aiq_ctl_org_name(ctl, aiq_ctl_opt(ctl, "org"), org);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_query_filter(ctl, f);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    *dir = aiq_ctl_opt(ctl, "audit");

    if (*dir == NULL) {
        *dir = aiq_ctl_path(ctl, ctl->dir, "audit");
    }

    return (*dir != NULL) ? AIQ_CTL_OK
                          : aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY,
                                          "out of memory");
}


int
aiq_ctl_query_filter(aiq_ctl_t *ctl, aiq_audit_filter_t *f)
{
    int          code;
    size_t       i;
    const char  *s;

    static const struct {
        const char      *name;
        aiq_audit_by_e   by;
    } names[] = {
        { "org", AIQ_AUDIT_BY_ORG }, { "user", AIQ_AUDIT_BY_USER },
        { "agent", AIQ_AUDIT_BY_AGENT }, { "mcp", AIQ_AUDIT_BY_MCP },
        { "tool", AIQ_AUDIT_BY_TOOL }, { "jti", AIQ_AUDIT_BY_JTI }
    };

    aiq_audit_filter_init(f);

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        s = aiq_ctl_opt(ctl, names[i].name);

        if (s == NULL) {
            continue;
        }

        code = aiq_ctl_name(ctl, names[i].name, s, &f->by[names[i].by]);

        if (code != AIQ_CTL_OK) {
            return code;
        }
    }

    code = aiq_ctl_query_words(ctl, f);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_query_hex(ctl, "--rid", aiq_ctl_opt(ctl, "rid"),
                                 AIQ_AUDIT_RID_LEN,
                                 &f->by[AIQ_AUDIT_BY_RID]);
    }

    /* the argument of "plan history" */

    s = aiq_ctl_opt(ctl, "plan");

    if (s == NULL && strcmp(ctl->group->name, "plan") == 0 && ctl->nargs) {
        s = ctl->arg[0];
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_query_hex(ctl, "the hash of a plan", s,
                                 2 * AIQ_HASH_LEN,
                                 &f->by[AIQ_AUDIT_BY_PLAN]);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_query_time(ctl, "since", &f->since_us);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_query_time(ctl, "until", &f->until_us);
    }

    if (code == AIQ_CTL_OK && f->since_us >= f->until_us) {
        return aiq_ctl_usage(ctl, "--until is not after --since");
    }

    return code;
}


static int
aiq_ctl_query_words(aiq_ctl_t *ctl, aiq_audit_filter_t *f)
{
    int          code;
    size_t       i;
    const char  *s;

    static const char *const  verdicts[] = { "PERMIT", "DENY", "HOLD", NULL };

    static const char *const  states[] = {
        "executed", "not_sent", "upstream_error", "client_abort", "revoked",
        "unknown", NULL
    };

    code = aiq_ctl_query_one_of(ctl, "verdict", verdicts,
                                "PERMIT, DENY or HOLD",
                                &f->by[AIQ_AUDIT_BY_VERDICT]);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_query_one_of(ctl, "status", states,
                                    "executed, not_sent, upstream_error,"
                                    " client_abort, revoked or unknown",
                                    &f->status);
    }

    s = aiq_ctl_opt(ctl, "reason");

    if (code != AIQ_CTL_OK || s == NULL) {
        return code;
    }

    for (i = 0; s[i]; i++) {

        if ((s[i] < 'A' || s[i] > 'Z') && s[i] != '_') {
            break;
        }
    }

    if (i == 0 || s[i]) {
        return aiq_ctl_usage(ctl, "--reason is a word like STEP_USED");
    }

    f->by[AIQ_AUDIT_BY_REASON] = aiq_cstr(s);

    return AIQ_CTL_OK;
}


static int
aiq_ctl_query_one_of(aiq_ctl_t *ctl, const char *name,
    const char *const *words, const char *sentence, aiq_str_t *value)
{
    size_t       i;
    const char  *s;

    s = aiq_ctl_opt(ctl, name);

    if (s == NULL) {
        return AIQ_CTL_OK;
    }

    for (i = 0; words[i]; i++) {

        if (strcmp(words[i], s) == 0) {
            *value = aiq_cstr(s);
            return AIQ_CTL_OK;
        }
    }

    return aiq_ctl_usage(ctl, "--%s is %s", name, sentence);
}


/* as records have them, in lower case */

static int
aiq_ctl_query_hex(aiq_ctl_t *ctl, const char *name, const char *value,
    size_t len, aiq_str_t *s)
{
    char    *p;
    size_t   i;

    if (value == NULL) {
        return AIQ_CTL_OK;
    }

    p = aiq_mem_alloc(&ctl->mem, len);

    if (p == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    for (i = 0; i < len; i++) {
        p[i] = (value[i] >= 'A' && value[i] <= 'F') ? (char) (value[i] | 0x20)
                                                    : value[i];

        if ((p[i] < '0' || p[i] > '9') && (p[i] < 'a' || p[i] > 'f')) {
            break;
        }
    }

    if (i < len || value[i]) {
        return aiq_ctl_usage(ctl, "%s must be %u hexadecimal digits", name,
                             (unsigned) len);
    }

    s->data = (unsigned char *) p;
    s->len = len;

    return AIQ_CTL_OK;
}


static int
aiq_ctl_query_time(aiq_ctl_t *ctl, const char *name, int64_t *us)
{
    const char  *s;

    s = aiq_ctl_opt(ctl, name);

    if (s == NULL
        || aiq_ctl_query_ago(s, ctl->now_us, us) == 0
        || aiq_ctl_query_rfc3339(s, us) == 0)
    {
        return AIQ_CTL_OK;
    }

    return aiq_ctl_usage(ctl, "--%s is a time like 2026-11-21T02:00:00Z, or"
                         " how long ago that was: 90s, 15m, 1h, 7d, 2w",
                         name);
}


static int
aiq_ctl_query_ago(const char *s, int64_t now_us, int64_t *us)
{
    int          v;
    size_t       i;
    const char  *p;

    static const struct {
        const char  *unit;
        int64_t      seconds;
    } units[] = {
        { "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 },
        { "w", 604800 }
    };

    p = s;

    if (aiq_ctl_query_digits(&p, 1, 6, &v) != 0) {
        return -1;
    }

    for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {

        if (strcmp(p, units[i].unit) == 0) {
            *us = now_us - v * units[i].seconds * 1000000;
            return 0;
        }
    }

    return -1;
}


/* RFC 3339 5.6; no leap seconds, as records have none */

static int
aiq_ctl_query_rfc3339(const char *s, int64_t *us)
{
    int        v[6], h, m, sign, scale;
    size_t     i;
    time_t     t;
    int64_t    frac;
    struct tm  tm, back;

    static const char  seps[] = "--T::";

    for (i = 0; i < 6; i++) {

        if (aiq_ctl_query_digits(&s, i ? 2 : 4, i ? 2 : 4, &v[i]) != 0
            || (i < 5 && *s++ != seps[i]))
        {
            return -1;
        }
    }

    frac = 0;

    if (*s == '.') {
        s++;

        if (*s < '0' || *s > '9') {
            return -1;
        }

        for (scale = 100000; *s >= '0' && *s <= '9'; s++, scale /= 10) {
            frac += (*s - '0') * scale;
        }
    }

    h = 0;
    m = 0;
    sign = (*s == '-') ? -1 : 1;

    if (*s == '+' || *s == '-') {
        s++;

        if (aiq_ctl_query_digits(&s, 2, 2, &h) != 0 || *s++ != ':'
            || aiq_ctl_query_digits(&s, 2, 2, &m) != 0 || h > 23 || m > 59)
        {
            return -1;
        }

    } else if (*s++ != 'Z') {
        return -1;
    }

    memset(&tm, 0, sizeof(struct tm));

    tm.tm_year = v[0] - 1900;
    tm.tm_mon = v[1] - 1;
    tm.tm_mday = v[2];
    tm.tm_hour = v[3];
    tm.tm_min = v[4];
    tm.tm_sec = v[5];

    t = timegm(&tm);

    /* a day that there is not would become another one */

    if (*s || gmtime_r(&t, &back) == NULL || back.tm_year != v[0] - 1900
        || back.tm_mon != v[1] - 1 || back.tm_mday != v[2]
        || back.tm_hour != v[3] || back.tm_min != v[4]
        || back.tm_sec != v[5])
    {
        return -1;
    }

    *us = ((int64_t) t - sign * (h * 3600 + m * 60)) * 1000000 + frac;

    return 0;
}


static int
aiq_ctl_query_digits(const char **s, unsigned n, unsigned max, int *v)
{
    unsigned  i;

    *v = 0;

    for (i = 0; i < max && **s >= '0' && **s <= '9'; i++) {
        *v = *v * 10 + (*(*s)++ - '0');
    }

    return (i < n) ? -1 : 0;
}


int
aiq_ctl_query_run(aiq_ctl_t *ctl, const char *dir,
    const aiq_audit_filter_t *f, unsigned flags, aiq_audit_hit_pt hit,
    void *data)
{
    aiq_rc_t            rc;
    aiq_audit_asked_t   asked;

    static const char  what[] = "%llu lines of the log are no records or"
                                " belong to none, the first one before byte"
                                " %llu of %s, see armoriqctl audit verify";

    rc = aiq_audit_query(dir, f, flags, hit, data, ctl->crypto, &asked,
                         &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, dir);
    }

    if (asked.bad && asked.hits == 0) {
        return aiq_ctl_fault(ctl, AIQ_E_AUDIT_UNAVAILABLE, what,
                             (unsigned long long) asked.bad,
                             (unsigned long long) asked.bad_off,
                             asked.bad_name);
    }

    if (asked.bad) {

        /* there is an answer on standard output already */

        (void) fflush(stdout);

        aiq_ctl_note(what, (unsigned long long) asked.bad,
                     (unsigned long long) asked.bad_off, asked.bad_name);

        return AIQ_CTL_FAULT;
    }

    return asked.hits ? AIQ_CTL_OK : AIQ_CTL_NO;
}


static aiq_rc_t
aiq_ctl_query_hit(void *data, const aiq_audit_hit_t *hit)
{
    aiq_ctl_query_t *q = data;

    aiq_mem_t  mem;

    mem = q->ctl->mem;

    if (q->ctl->json) {
        aiq_ctl_query_json(q, hit);

    } else {

        if (q->n == 0) {
            printf("%-24s  %8s  %-7s  %-18s  %-10s  %-16s  %-12s  %-28s"
                   "  %-14s  %s\n", "TIME", "SEQ", "VERDICT", "REASON", "ORG",
                   "USER", "AGENT", "MCP/TOOL", "STATUS", "TIME TAKEN");
        }

        aiq_ctl_query_row(q, hit);
    }

    q->ctl->mem = mem;
    q->n++;

    return (q->n == q->limit || ferror(stdout)) ? AIQ_DECLINED : AIQ_OK;
}


/* records are JSON, so they can stand where a value stands */

static void
aiq_ctl_query_json(aiq_ctl_query_t *q, const aiq_audit_hit_t *hit)
{
    aiq_ctl_query_record(q, "{\"intent\":", hit->intent);
    aiq_ctl_query_record(q, ",\"outcome\":", hit->outcome);

    if (hit->resolve.len) {
        aiq_ctl_query_record(q, ",\"resolve\":", hit->resolve);
    }

    printf("}\n");
}


static void
aiq_ctl_query_record(aiq_ctl_query_t *q, const char *name, aiq_str_t line)
{
    printf("%s", name);

    if (line.len == 0) {
        printf("null");

    } else if (q->escape) {
        printf("%s", aiq_ctl_esc(q->ctl, line));

    } else {
        (void) fwrite(line.data, 1, line.len, stdout);
    }
}


static void
aiq_ctl_query_row(aiq_ctl_query_t *q, const aiq_audit_hit_t *hit)
{
    int          len;
    size_t       i;
    int64_t      us;
    aiq_ctl_t   *ctl;
    aiq_str_t    s;

    static const struct {
        aiq_audit_by_e  by;
        int             width;
    } cells[] = {
        { AIQ_AUDIT_BY_VERDICT, 7 }, { AIQ_AUDIT_BY_REASON, 18 },
        { AIQ_AUDIT_BY_ORG, 10 }, { AIQ_AUDIT_BY_USER, 16 },
        { AIQ_AUDIT_BY_AGENT, 12 }
    };

    ctl = q->ctl;

    printf("%-24s  %8llu", aiq_ctl_query_when(ctl, hit->ts_us),
           (unsigned long long) hit->seq);

    for (i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
        s = aiq_ctl_query_value(ctl, &hit->i,
                                aiq_audit_member(&hit->i, cells[i].by));
        aiq_ctl_query_cell(ctl, s, cells[i].width);
    }

    s = aiq_ctl_query_value(ctl, &hit->i,
                            aiq_audit_member(&hit->i, AIQ_AUDIT_BY_MCP));

    len = printf("  %s/", aiq_ctl_query_text(ctl, s));
    len = (len < 28) ? 30 - len : 2;

    s = aiq_ctl_query_tool(ctl, hit);

    printf("%-*s", len, aiq_ctl_query_text(ctl, s));

    aiq_ctl_query_cell(ctl, aiq_ctl_query_status(ctl, hit), 14);

    if (hit->outcome.len
        && aiq_json_int(&hit->o, aiq_json_get(&hit->o, 0, "dur_us"), &us)
           == AIQ_OK)
    {
        printf("  %.1f ms", (double) us / 1000);

    } else {
        printf("  -");
    }

    if (aiq_json_type(&hit->i, aiq_json_get(&hit->i, 0, "dry_run"))
        == AIQ_JSON_TRUE)
    {
        printf("  dry run");
    }

    if (hit->resolve.len) {
        printf("  resolved");
    }

    (void) putchar('\n');
}


static void
aiq_ctl_query_cell(aiq_ctl_t *ctl, aiq_str_t s, int width)
{
    printf("  %-*s", width, aiq_ctl_query_text(ctl, s));
}


aiq_str_t
aiq_ctl_query_value(aiq_ctl_t *ctl, const aiq_json_t *doc, uint32_t i)
{
    aiq_str_t  s;

    if (i == AIQ_JSON_NONE) {
        aiq_str_null(&s);
        return s;
    }

    /* what was too long is an object that says so */

    if (aiq_json_type(doc, i) != AIQ_JSON_STRING) {
        return aiq_json_raw(doc, i);
    }

    if (aiq_json_string(doc, i, &ctl->mem, &s) != AIQ_OK) {
        ctl->oom = 1;
        aiq_str_null(&s);
    }

    return s;
}


const char *
aiq_ctl_query_text(aiq_ctl_t *ctl, aiq_str_t s)
{
    return s.len ? aiq_ctl_esc(ctl, s) : "-";
}


aiq_str_t
aiq_ctl_query_tool(aiq_ctl_t *ctl, const aiq_audit_hit_t *hit)
{
    uint32_t  i;

    i = aiq_audit_member(&hit->i, AIQ_AUDIT_BY_TOOL);

    if (i == AIQ_JSON_NONE) {
        i = aiq_json_get(&hit->i, 0, "method");
    }

    return aiq_ctl_query_value(ctl, &hit->i, i);
}


aiq_str_t
aiq_ctl_query_status(aiq_ctl_t *ctl, const aiq_audit_hit_t *hit)
{
    if (hit->outcome.len || hit->resolve.len) {
        return aiq_ctl_query_value(ctl, &hit->o,
                                   aiq_json_get(&hit->o, 0, "status"));
    }

    return aiq_cstr(hit->through ? "unknown" : "");
}


const char *
aiq_ctl_query_when(aiq_ctl_t *ctl, int64_t us)
{
    unsigned char  *p;

    p = aiq_mem_alloc(&ctl->mem, AIQ_AUDIT_TS_LEN + 1);

    if (p == NULL) {
        ctl->oom = 1;
        return "";
    }

    aiq_audit_ts_format(us, p);

    /* without the microseconds */

    p[AIQ_AUDIT_TS_LEN - 4] = 'Z';
    p[AIQ_AUDIT_TS_LEN - 3] = '\0';

    return (char *) p;
}
