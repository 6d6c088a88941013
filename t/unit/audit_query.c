
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Questions to an audit log, with and without an index.  What is expected is
 * worked out from a list of what was written, not from the log.
 */


#include "audit_log.h"
#include "audit_query.h"


#define CALLS    600
#define RECORDS  (2 * CALLS)


/* what was written: the answer to every question follows from this */

typedef struct {
    unsigned     org, user, agent, mcp, tool, verdict, dry, jti, plan;
    int64_t      ts_us;
    uint64_t     seq;
    uint64_t     end;                 /* of its OUTCOME, 0: none */
    unsigned     status;
} made_t;

typedef struct {
    uint64_t     seq;
    uint64_t     end;
} pair_t;

typedef struct {
    unsigned     n;
    pair_t       pair[CALLS];
    unsigned     wrong;
} answer_t;


static const char  *orgs[] = { "acme", "globex", "initech" };
static const char  *users[] = { "alice", "b\xc3\xb6" "b", "",
                                "a\"b\\\x1b[31m" };
static const char  *agents[] = { "sysadmin", "agent-7" };
static const char  *mcps[] = { "infra-mcp", "files", "db" };
static const char  *tools[] = { "infra.list", "infra.restart", "read_file",
                                "write_file", "*", "" };
static const char  *verdicts[] = { "PERMIT", "PERMIT", "DENY", "HOLD" };
static const char  *reasons[] = { "OK", "OK", "STEP_USED", "POLICY_HOLD" };
static const char  *jtis[] = { "jti-1", "jti-2", "jti-3", "" };
static const char  *states[] = { "executed", "not_sent", "upstream_error",
                                 "client_abort", "unknown" };

static made_t       made[CALLS];
static uint32_t     state = 20261121;


static unsigned
roll(unsigned n)
{
    state = state * 1664525 + 1013904223;

    return (state >> 8) % n;
}


static void
put_made(aiq_audit_t *log, unsigned n, aiq_audit_pos_t *pos)
{
    char                 buf[8192];
    made_t              *m;
    aiq_err_t            err;
    unsigned char        plan[AIQ_HASH_LEN];
    aiq_audit_intent_t   r;

    m = &made[n];

    /* most of a kind stand together, as in a real log */

    m->org = (roll(8) == 0) ? roll(3) : n * 3 / CALLS;
    m->user = roll(4);
    m->agent = roll(2);
    m->mcp = roll(3);
    m->tool = roll(6);
    m->verdict = roll(4);
    m->dry = (m->verdict == 2 && roll(4) == 0);
    m->jti = roll(4);
    m->plan = n / 100;

    /* a clock that goes back now and then */

    m->ts_us = BASE + n * 1000000LL - (roll(10) ? 0 : 30000000LL);

    memset(plan, (int) m->plan, sizeof(plan));

    call(&r, n);

    r.ts_us = m->ts_us;
    r.org = str(orgs[m->org]);
    r.user = str(users[m->user]);
    r.agent = str(agents[m->agent]);
    r.mcp = str(mcps[m->mcp]);
    r.tool = str(tools[m->tool]);
    r.verdict = str(verdicts[m->verdict]);
    r.reason = str(reasons[m->verdict]);
    r.jti = str(jtis[m->jti]);
    r.dry_run = m->dry;
    r.plan_hash = plan;

    if (put(log, body_intent(&r, buf, sizeof(buf)), pos, &err) != AIQ_OK) {
        printf("Bail out! %s\n", err.text);
        exit(1);
    }

    m->seq = pos->seq;
}


/* segments of 100 records */

static void
turn(aiq_audit_t *log, uint64_t seq, unsigned *segments)
{
    uint64_t   first;
    aiq_err_t  err;

    if (seq % 100 == 0
        && aiq_audit_rotate(log, BASE, crypto, &first, &err) == AIQ_OK)
    {
        (*segments)++;
    }
}


/* some outcomes come late, some never: a segment apart, or two */

static unsigned
make_log(const char *dir, unsigned *segments)
{
    char              buf[1024];
    unsigned          n, i, late;
    aiq_err_t         err;
    aiq_audit_t      *log;
    aiq_audit_pos_t   pos[CALLS], end;

    log = reopen(dir);
    late = 0;
    *segments = 1;

    for (n = 0; n < CALLS + 200; n++) {

        if (n < CALLS) {
            put_made(log, n, &pos[n]);
            turn(log, pos[n].seq, segments);
        }

        for (i = (n > 200) ? n - 200 : 0; i < CALLS && i <= n; i++) {

            if (made[i].end || (made[i].verdict > 1 && !made[i].dry)
                || i % 23 == 22
                || (n - i < 180 ? roll(i % 11 == 10 ? 400 : 3) : 0))
            {
                continue;
            }

            made[i].status = roll(5);

            if (put(log, body_outcome(i, &pos[i], states[made[i].status], buf,
                                      sizeof(buf)), &end, &err) != AIQ_OK)
            {
                diag("outcome: %s", err.text);
            }

            turn(log, end.seq, segments);

            made[i].end = end.seq;
            late += (end.seq - made[i].seq > 100);
        }
    }

    aiq_audit_close(log);

    return late;
}


static int
is_like(const char *glob, const char *s)
{
    if (*glob == '*') {
        return is_like(glob + 1, s) || (*s && is_like(glob, s + 1));
    }

    return (*glob == *s) && (*s == '\0' || is_like(glob + 1, s + 1));
}


static int
is_asked(const aiq_audit_filter_t *f, const made_t *m, unsigned n)
{
    unsigned      i;
    char          plan[65], want[256];
    const char   *v[AIQ_AUDIT_BY_N];

    if (m->ts_us < f->since_us || m->ts_us >= f->until_us) {
        return 0;
    }

    for (i = 0; i < AIQ_HASH_LEN; i++) {
        snprintf(plan + 2 * i, 3, "%02x", m->plan);
    }

    v[AIQ_AUDIT_BY_ORG] = orgs[m->org];
    v[AIQ_AUDIT_BY_USER] = users[m->user];
    v[AIQ_AUDIT_BY_AGENT] = agents[m->agent];
    v[AIQ_AUDIT_BY_MCP] = mcps[m->mcp];
    v[AIQ_AUDIT_BY_TOOL] = tools[m->tool];
    v[AIQ_AUDIT_BY_VERDICT] = verdicts[m->verdict];
    v[AIQ_AUDIT_BY_REASON] = reasons[m->verdict];
    v[AIQ_AUDIT_BY_RID] = rid(n);
    v[AIQ_AUDIT_BY_JTI] = jtis[m->jti];
    v[AIQ_AUDIT_BY_PLAN] = plan;

    for (i = 0; i < AIQ_AUDIT_BY_N; i++) {

        if (f->by[i].data == NULL) {
            continue;
        }

        snprintf(want, sizeof(want), "%.*s", (int) f->by[i].len,
                 (const char *) f->by[i].data);

        /* what is empty was left out of the record */

        if (v[i][0] == '\0'
            || !(i == AIQ_AUDIT_BY_TOOL ? is_like(want, v[i])
                                        : strcmp(want, v[i]) == 0))
        {
            return 0;
        }
    }

    if (f->status.data == NULL) {
        return 1;
    }

    if (m->verdict > 1 && !m->dry) {
        return 0;
    }

    return aiq_str_is(f->status, m->end ? states[m->status] : "unknown");
}


static int
by_end(const void *a, const void *b)
{
    uint64_t       x, y;
    const pair_t  *p, *q;

    p = a;
    q = b;

    x = p->end ? p->end : p->seq;
    y = q->end ? q->end : q->seq;

    return (x > y) - (x < y);
}


static void
expected(const aiq_audit_filter_t *f, answer_t *a)
{
    unsigned  n, pass, from;

    memset(a, 0, sizeof(*a));

    /* complete ones by where that was, then those that never were */

    for (pass = 0; pass < 2; pass++) {
        from = a->n;

        for (n = 0; n < CALLS; n++) {

            if (is_asked(f, &made[n], n)
                && pass == (made[n].end == 0
                            && (made[n].verdict < 2 || made[n].dry)))
            {
                a->pair[a->n].seq = made[n].seq;
                a->pair[a->n++].end = made[n].end;
            }
        }

        qsort(a->pair + from, a->n - from, sizeof(pair_t), by_end);
    }
}


static aiq_rc_t
on_hit(void *data, const aiq_audit_hit_t *hit)
{
    int64_t            end;
    answer_t          *a;
    aiq_audit_front_t  f;

    a = data;
    end = 0;

    if (aiq_audit_front(&f, hit->intent) != AIQ_OK || f.seq != hit->seq
        || f.ts_us != hit->ts_us
        || aiq_json_type(&hit->i, 0) != AIQ_JSON_OBJECT
        || (hit->outcome.len
            && (aiq_json_int(&hit->o, aiq_json_get(&hit->o, 0, "seq"), &end)
                != AIQ_OK
                || !hit->through)))
    {
        a->wrong++;
    }

    if (a->n == CALLS) {
        a->wrong++;
        return AIQ_DECLINED;
    }

    a->pair[a->n].seq = hit->seq;
    a->pair[a->n++].end = (uint64_t) end;

    return AIQ_OK;
}


static int
same(const char *dir, const aiq_audit_filter_t *f, unsigned flags,
    aiq_audit_asked_t *asked)
{
    aiq_err_t        err;
    static answer_t  got, want;

    memset(&got, 0, sizeof(got));
    expected(f, &want);

    if (aiq_audit_query(dir, f, flags, on_hit, &got, crypto, asked, &err)
        != AIQ_OK)
    {
        diag("query: %s", err.text);
        return 0;
    }

    if (got.n != want.n || got.wrong || asked->hits != want.n
        || memcmp(got.pair, want.pair, want.n * sizeof(pair_t)) != 0)
    {
        diag("%u answers, want %u", got.n, want.n);
        return 0;
    }

    return 1;
}


static void
random_filter(aiq_audit_filter_t *f)
{
    static char        plan[65], id[AIQ_AUDIT_RID_LEN + 1];
    static const char *globs[] = { "infra.*", "*_file", "*", "**", "*a*e*",
                                   "read_file", "infra.", "nothing*" };
    unsigned           i, v;

    aiq_audit_filter_init(f);

    if (roll(2)) {
        f->by[AIQ_AUDIT_BY_ORG] = str(roll(9) ? orgs[roll(3)] : "nobody");
    }

    if (roll(5) == 0) {
        f->by[AIQ_AUDIT_BY_USER] = str(users[roll(4)]);
    }

    if (roll(5) == 0) {
        f->by[AIQ_AUDIT_BY_AGENT] = str(agents[roll(2)]);
    }

    if (roll(5) == 0) {
        f->by[AIQ_AUDIT_BY_MCP] = str(mcps[roll(3)]);
    }

    if (roll(3) == 0) {
        f->by[AIQ_AUDIT_BY_TOOL] = str(globs[roll(8)]);
    }

    if (roll(5) == 0) {
        f->by[AIQ_AUDIT_BY_VERDICT] = str(verdicts[roll(4)]);
    }

    if (roll(6) == 0) {
        f->by[AIQ_AUDIT_BY_REASON] = str(reasons[roll(4)]);
    }

    if (roll(9) == 0) {
        snprintf(id, sizeof(id), "%s", rid(roll(CALLS + 9)));
        f->by[AIQ_AUDIT_BY_RID] = str(id);
    }

    if (roll(6) == 0) {
        f->by[AIQ_AUDIT_BY_JTI] = str(jtis[roll(4)]);
    }

    if (roll(4) == 0) {
        v = roll(8);

        for (i = 0; i < AIQ_HASH_LEN; i++) {
            snprintf(plan + 2 * i, 3, "%02x", v);
        }

        f->by[AIQ_AUDIT_BY_PLAN] = str(plan);
    }

    if (roll(4) == 0) {
        f->status = str(states[roll(5)]);
    }

    if (roll(3) == 0) {
        f->since_us = BASE + roll(CALLS) * 1000000LL;
    }

    if (roll(3) == 0) {
        f->until_us = BASE + roll(CALLS) * 1000000LL;
    }
}


static char *
index_of(const char *dir, unsigned long long first)
{
    char  name[64];

    snprintf(name, sizeof(name), "index/seg-%016llu.idx", first);

    return path(dir, name);
}


/* what may happen to an index, of segment first */

static void
spoil(const char *dir, unsigned long long first)
{
    char    *p;
    size_t   len;

    p = slurp(index_of(dir, first), &len);

    switch (p ? roll(4) : 4) {

    case 0:
        unlink(index_of(dir, first));
        break;

    case 1:
        p[roll((unsigned) len)] ^= (char) (1 << roll(8));
        spit(index_of(dir, first), p, len);
        break;

    case 2:
        spit(index_of(dir, first), p, roll((unsigned) len));
        break;

    case 3:
        /* that of another segment */

        spit(index_of(dir, first > 100 ? 1 : 101), p, len);
        break;
    }

    free(p);
}


static void
test_equal(const char *dir)
{
    unsigned             n, bad, plain, skipped, built, hits, some;
    aiq_audit_asked_t    asked;
    aiq_audit_filter_t   f;

    bad = 0;
    plain = 0;
    skipped = 0;
    built = 0;
    hits = 0;
    some = 0;

    for (n = 0; n < 400; n++) {
        random_filter(&f);

        plain += !same(dir, &f, AIQ_AUDIT_NO_INDEX, &asked);
        plain += (asked.skipped != 0 || asked.built != 0 || asked.bad != 0);

        bad += !same(dir, &f, 0, &asked);

        skipped += (unsigned) asked.skipped;
        built += (unsigned) asked.built;
        hits += (unsigned) asked.hits;
        some += (asked.hits > 0);

        if (n % 3 == 2) {
            spoil(dir, 1 + 100 * roll(10));
        }
    }

    ok(plain == 0, "400 questions without an index");
    ok(bad == 0, "the same answers with an index that is spoiled at times");
    ok(skipped > 400 && built > 50,
       "segments are skipped (%u), indexes made again (%u)", skipped, built);
    ok(some > 100 && hits > 1000, "%u questions had %u answers", some, hits);
}


static void
test_changed(const char *dir)
{
    char                *p, *q, *copy;
    size_t               len;
    aiq_err_t            err;
    static answer_t      got;
    aiq_audit_asked_t    asked;
    aiq_audit_filter_t   f;

    aiq_audit_filter_init(&f);
    f.by[AIQ_AUDIT_BY_RID] = str("ffffffffffffffffffffffffffffffff");

    ok(same(dir, &f, 0, &asked) && same(dir, &f, 0, &asked)
       && asked.segments == 1 && asked.built == 0,
       "nobody's request: only the newest segment is read");

    /* a record in the first segment becomes another, of the same length */

    p = slurp(seg(dir, 1), &len);
    copy = malloc(len);
    memcpy(copy, p, len);

    q = strstr(p, "\"rid\":\"");
    memset(q + 7, 'f', 32);
    spit(seg(dir, 1), p, len);

    memset(&got, 0, sizeof(got));

    ok(aiq_audit_query(dir, &f, 0, on_hit, &got, crypto, &asked, &err)
       == AIQ_OK && got.n == 1 && got.pair[0].seq == made[0].seq,
       "a segment that was changed behind its index is read");

    /* no records: nothing is hidden behind an index, and none is made */

    memcpy(p, copy, len);
    memset(strstr(p + len / 2, "\n{") + 1, '!', 1);
    spit(seg(dir, 1), p, len);

    aiq_audit_filter_init(&f);
    f.by[AIQ_AUDIT_BY_ORG] = str("nobody");

    ok(same(dir, &f, 0, &asked) && asked.bad == 1 && asked.built == 0
       && same(dir, &f, 0, &asked) && asked.bad == 1
       && same(dir, &f, AIQ_AUDIT_NO_INDEX, &asked) && asked.bad == 1
       && asked.bad_off > 0
       && strcmp(asked.bad_name, "seg-0000000000000001.jsonl") == 0,
       "a line that is no record is counted, every time");

    spit(seg(dir, 1), copy, len);

    free(copy);
    free(p);
}


static void
test_index(const char *dir, unsigned segments)
{
    int                   fd;
    aiq_err_t             err;
    aiq_audit_asked_t     asked;
    aiq_audit_filter_t    f;
    aiq_audit_indexed_t   r;

    aiq_audit_filter_init(&f);
    f.by[AIQ_AUDIT_BY_ORG] = str("nobody");

    ok(aiq_audit_index(dir, AIQ_AUDIT_REINDEX, crypto, &r, &err) == AIQ_OK
       && r.segments == segments - 1 && r.built == r.segments && r.bad == 0,
       "all indexes anew, but for the newest segment");

    ok(aiq_audit_index(dir, 0, crypto, &r, &err) == AIQ_OK
       && r.segments == segments - 1 && r.built == 0,
       "those that are there are left alone");

    spit(index_of(dir, 7), "x", 1);
    spit(path(dir, "index/seg-0000000000000001.idx.123"), "x", 1);
    unlink(index_of(dir, 101));

    ok(aiq_audit_index(dir, 0, crypto, &r, &err) == AIQ_OK && r.built == 1
       && access(index_of(dir, 7), F_OK) != 0
       && access(path(dir, "index/seg-0000000000000001.idx.123"), F_OK) != 0
       && access(index_of(dir, 1), F_OK) == 0,
       "one that is missing is made, what is of no segment is deleted");

    ok(same(dir, &f, 0, &asked) && asked.segments == 1
       && asked.skipped == segments - 1, "it serves questions");

    ok(verify(dir, NULL) == AIQ_AUDIT_UNKNOWN, "the log is what it was");

    /* not where everybody may write */

    chmod(path(dir, "index"), 0777);

    ok(same(dir, &f, 0, &asked) && asked.skipped == 0 && asked.built == 0
       && aiq_audit_index(dir, 0, crypto, &r, &err)
          == AIQ_E_AUDIT_UNAVAILABLE,
       "an index that everybody may write to is not used");

    chmod(path(dir, "index"), 0700);
    aiq_audit_index(dir, AIQ_AUDIT_REINDEX, crypto, &r, &err);

    rename(path(dir, "index"), path(dir, "other"));

    if (symlink("other", path(dir, "index")) != 0) {
        diag("cannot link");
    }

    ok(same(dir, &f, 0, &asked) && asked.skipped == 0,
       "nor one behind a link");

    unlink(path(dir, "index"));

    /* a file where the directory should be: none can be made */

    fd = open(path(dir, "index"), O_CREAT|O_WRONLY, 0600);
    close(fd);

    ok(same(dir, &f, 0, &asked) && asked.segments == segments
       && asked.built == 0,
       "a log where none can be made answers all the same");

    unlink(path(dir, "index"));
    rename(path(dir, "other"), path(dir, "index"));

    /* a disk that is full */

    aiq_audit_index(dir, AIQ_AUDIT_REINDEX, crypto, &r, &err);
    unlink(index_of(dir, 101));

    fault_write = ENOSPC;
    fault_after = 10;

    ok(same(dir, &f, 0, &asked) && asked.segments == 2 && asked.built == 0
       && access(index_of(dir, 101), F_OK) != 0,
       "nothing is left of one that could not be written");

    fault_write = 0;
}


static aiq_rc_t
on_first(void *data, const aiq_audit_hit_t *hit)
{
    ++*(unsigned *) data;

    return AIQ_DECLINED;
}


static aiq_rc_t
on_fault(void *data, const aiq_audit_hit_t *hit)
{
    return AIQ_E_NO_MEMORY;
}


static void
test_stop(const char *dir)
{
    unsigned             n;
    aiq_err_t            err;
    aiq_audit_asked_t    asked;
    aiq_audit_filter_t   f;

    aiq_audit_filter_init(&f);
    n = 0;

    ok(aiq_audit_query(dir, &f, 0, on_first, &n, crypto, &asked, &err)
       == AIQ_OK && n == 1 && asked.hits == 1 && asked.segments == 1,
       "enough is enough");

    ok(aiq_audit_query(dir, &f, 0, on_fault, NULL, crypto, &asked, &err)
       == AIQ_E_NO_MEMORY, "a fault of whoever asks is passed on");

    ok(aiq_audit_query(path(dir, "none"), &f, 0, on_first, &n, crypto, &asked,
                       &err)
       == AIQ_E_AUDIT_UNAVAILABLE, "no log, no answer");
}


/* an OUTCOME that names an INTENT of another request */

static void
test_mismatch(void)
{
    char                 buf[1024], *dir;
    aiq_err_t            err;
    aiq_audit_t         *log;
    static answer_t      got;
    aiq_audit_pos_t      pos;
    aiq_audit_asked_t    asked;
    aiq_audit_filter_t   f;

    dir = fresh();
    log = reopen(dir);

    put_call(log, 1, &pos, &err);
    put(log, body_outcome(2, &pos, "executed", buf, sizeof(buf)), NULL, &err);
    aiq_audit_close(log);

    memset(&got, 0, sizeof(got));
    aiq_audit_filter_init(&f);

    ok(aiq_audit_query(dir, &f, 0, on_hit, &got, crypto, &asked, &err)
       == AIQ_OK && got.n == 1 && got.pair[0].end == 0 && asked.bad == 1,
       "an outcome of another call says nothing about this one");

    memset(&got, 0, sizeof(got));

    free(dir);
    dir = fresh();

    ok(aiq_audit_query(dir, &f, 0, on_hit, &got, crypto, &asked, &err)
       == AIQ_OK && got.n == 0 && asked.segments == 0, "a log without records");

    free(dir);
}


static void
test_glob(void)
{
    char                 text[128];
    size_t               i;
    unsigned             bad;
    aiq_mem_t            mem;
    aiq_json_t           doc;
    aiq_audit_filter_t   f;
    static unsigned char buf[4096];

    static const struct {
        const char  *glob;
        const char  *tool;
        int          match;
    } cases[] = {
        { "aaa", "aaa", 1 }, { "aaa", "aa", 0 }, { "aa", "aaa", 0 },
        { "*", "a", 1 }, { "a*", "a", 1 }, { "*a", "a", 1 },
        { "**a**", "a", 1 }, { "*b", "a", 0 }, { "a*b", "ab", 1 },
        { "a*b", "aab", 1 }, { "a*b", "abb", 1 }, { "a*b", "aba", 0 },
        { "*ab*ac", "aabaabaac", 1 }, { "*aab", "aaaaab", 1 },
        { "*aab", "aaaaaba", 0 }, { "a*ba*b", "abbab", 1 },
        { "*\xc3\xa9*", "caf\\u00e9s", 1 }, { "a?", "ab", 0 },
        { "a[b]", "ab", 0 }, { "A", "a", 0 },
        { "a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 0 }
    };

    bad = 0;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        aiq_audit_filter_init(&f);
        f.by[AIQ_AUDIT_BY_TOOL] = str(cases[i].glob);

        mem.pos = buf;
        mem.end = buf + sizeof(buf);

        snprintf(text, sizeof(text), "{\"tool\":\"%s\"}", cases[i].tool);

        if (aiq_json_parse(&doc, str(text), 4, &mem, NULL) != AIQ_OK
            || aiq_audit_match(&f, &doc, BASE, &mem) != cases[i].match)
        {
            diag("%s is %sto match %s", cases[i].glob,
                 cases[i].match ? "" : "not ", cases[i].tool);
            bad++;
        }
    }

    ok(bad == 0, "patterns of tools");
}


int
main(void)
{
    char      *dir;
    unsigned   late, segments;

    setup();

    dir = fresh();
    late = make_log(dir, &segments);

    ok(segments > 8 && late > 5 && verify(dir, NULL) == AIQ_AUDIT_UNKNOWN,
       "%u calls in %u segments, %u outcomes came late", CALLS, segments,
       late);

    test_equal(dir);
    test_index(dir, segments);
    test_changed(dir);
    test_stop(dir);
    test_mismatch();
    test_glob();

    free(dir);

    return teardown();
}
