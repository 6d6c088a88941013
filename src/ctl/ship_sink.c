
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl audit ship: one sink.  Reads what the log has behind the cursor,
 * delivers it, moves the cursor; and what to do when that does not work.
 */


#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ship.h"


#define AIQ_SHIP_POLL    250              /* milliseconds */
#define AIQ_SHIP_FIRST   500              /* of the back-off */
#define AIQ_SHIP_STREAK  16               /* deliveries before larger ones */
#define AIQ_SHIP_TRIES   3                /* with --once */
#define AIQ_SHIP_MARK    10000            /* milliseconds */


static int aiq_ship_sink_begin(aiq_ship_sink_t *s);
static void aiq_ship_sink_run(aiq_ship_sink_t *s);
static int aiq_ship_sink_idle(aiq_ship_sink_t *s);
static int aiq_ship_sink_open(aiq_ship_sink_t *s);
static int aiq_ship_sink_fault(aiq_ship_sink_t *s, aiq_rc_t rc,
    const aiq_err_t *err);
static int aiq_ship_sink_collect(aiq_ship_sink_t *s);
static int aiq_ship_sink_add(aiq_ship_sink_t *s, aiq_out_t *out,
    const aiq_audit_followed_t *rec);
static int aiq_ship_sink_deliver(aiq_ship_sink_t *s);
static void aiq_ship_sink_ack(aiq_ship_sink_t *s, size_t n);
static void aiq_ship_sink_move(aiq_ship_sink_t *s, size_t n);
static int aiq_ship_sink_refused(aiq_ship_sink_t *s, size_t n,
    const aiq_ship_answer_t *answer);
static int aiq_ship_sink_bury(aiq_ship_sink_t *s, size_t n,
    const aiq_ship_answer_t *answer);
static void aiq_ship_sink_mark(aiq_ship_sink_t *s);
static int aiq_ship_sink_back(aiq_ship_sink_t *s);
static int aiq_ship_sink_later(aiq_ship_sink_t *s, aiq_ship_rc_e rc,
    const aiq_ship_answer_t *answer);
static int64_t aiq_ship_sink_delay(aiq_ship_sink_t *s, aiq_ship_rc_e rc,
    int64_t after);
static int64_t aiq_ship_sink_now(void);


void *
aiq_ship_sink(void *data)
{
    aiq_ship_sink_t  *s;

    s = data;
    s->code = AIQ_CTL_FAULT;

    if (aiq_ship_sink_begin(s) == 0) {
        aiq_ship_sink_run(s);
    }

    if (s->open) {
        aiq_audit_follow_close(&s->follow);
    }

    aiq_ship_oauth_drop(s);
    aiq_ship_syslog_close(s);

    if (s->crypto) {
        aiq_crypto_free(s->crypto);
    }

    free(s->batch.item);
    free(s->batch.buf);
    free(s->batch.body);
    free(s->mem);

    (void) pthread_mutex_lock(&s->ship->mutex);

    s->stat.stopped = 1;
    s->stat.up = 0;

    (void) pthread_mutex_unlock(&s->ship->mutex);

    atomic_store(&s->over, 1);

    return NULL;
}


static int
aiq_ship_sink_begin(aiq_ship_sink_t *s)
{
    aiq_err_t          err;
    aiq_ship_batch_t  *b;

    b = &s->batch;

    b->size = (size_t) s->conf->bytes + AIQ_SHIP_SLACK;
    b->buf = malloc(b->size);
    b->body = malloc(b->size);
    b->item = calloc((size_t) s->conf->records, sizeof(aiq_ship_item_t));

    s->mem = malloc(AIQ_SHIP_MEM);
    s->crypto = aiq_crypto_new();
    s->chunk = (size_t) s->conf->records;

    if (b->buf == NULL || b->body == NULL || b->item == NULL
        || s->mem == NULL || s->crypto == NULL)
    {
        aiq_ctl_note("sink \"%s\": out of memory", s->conf->name);
        return -1;
    }

    if (aiq_ship_state_load(s, &err) != 0) {
        aiq_ctl_note("sink \"%s\": %s", s->conf->name, err.text);
        return -1;
    }

    s->lost = UINT64_MAX;
    s->highest = s->cursor.seq;

    (void) pthread_mutex_lock(&s->ship->mutex);

    s->stat.seq = s->cursor.seq;
    s->stat.up = 1;

    (void) pthread_mutex_unlock(&s->ship->mutex);

    return 0;
}


static void
aiq_ship_sink_run(aiq_ship_sink_t *s)
{
    int  rc;

    for ( ;; ) {

        if (atomic_load(&s->ship->stop)) {
            s->code = AIQ_CTL_OK;
            return;
        }

        rc = s->open ? 0 : aiq_ship_sink_open(s);

        if (rc == 0) {
            rc = aiq_ship_sink_collect(s);
        }

        if (rc == 0 && s->batch.n) {
            rc = aiq_ship_sink_deliver(s);
        }

        if (rc == 0 && s->batch.n == 0) {
            rc = aiq_ship_sink_idle(s);
        }

        if (rc != 0) {
            return;
        }

        if (s->batch.n == 0 && s->ship->once && s->open) {
            s->code = AIQ_CTL_OK;
            return;
        }

        /*
         * Not at once, unless there is more: every look syncs the log as far
         * as it has grown.
         */

        if (s->open && s->follow.next == 0
            && s->batch.n < (size_t) s->conf->records && !s->ship->once)
        {
            (void) aiq_ship_wait(s->ship, AIQ_SHIP_POLL);
        }
    }
}


/* nobody else would see that what was sent last was not read */

static int
aiq_ship_sink_idle(aiq_ship_sink_t *s)
{
    aiq_ship_rc_e      rc;
    aiq_ship_answer_t  answer;

    if (s->conf->type != AIQ_SHIP_SYSLOG) {
        return 0;
    }

    memset(&answer, 0, sizeof(aiq_ship_answer_t));

    rc = aiq_ship_syslog_check(s, &answer);

    if (rc == AIQ_SHIP_LOST && aiq_ship_sink_back(s) == 0) {
        return aiq_ship_sink_later(s, rc, &answer);
    }

    return 0;
}


/* 0, or -1 to end with s->code */

static int
aiq_ship_sink_open(aiq_ship_sink_t *s)
{
    aiq_rc_t   rc;
    aiq_err_t  err;

    s->batch.n = 0;
    err.text[0] = '\0';

    rc = aiq_audit_follow_open(&s->follow, s->ship->dir, &s->cursor,
                               s->crypto, &err);
    s->open = 1;

    return (rc == AIQ_OK) ? 0 : aiq_ship_sink_fault(s, rc, &err);
}


/* of the log; the second kind goes away by itself, perhaps */

static int
aiq_ship_sink_fault(aiq_ship_sink_t *s, aiq_rc_t rc, const aiq_err_t *err)
{
    aiq_ship_answer_t  answer;

    if (rc == AIQ_D_PROOF_INVALID) {
        s->code = (int) s->follow.code;

        aiq_ctl_note("ALARM: sink \"%s\" stops behind record %llu: %s%s%s%s",
                     s->conf->name, (unsigned long long) s->cursor.seq,
                     err->text,
                     s->code == AIQ_AUDIT_INCONSISTENT
                     ? "; if that is as it should be, \"--anew " : "",
                     s->code == AIQ_AUDIT_INCONSISTENT ? s->conf->name : "",
                     s->code == AIQ_AUDIT_INCONSISTENT
                     ? "\" begins with the first record"
                     : "; run \"armoriqctl audit verify\"");
        return -1;
    }

    aiq_audit_follow_close(&s->follow);

    s->open = 0;
    s->batch.n = 0;

    memset(&answer, 0, sizeof(aiq_ship_answer_t));
    aiq_ship_http_text(s, &answer, "the log cannot be read",
                       aiq_cstr(err->text));

    s->code = AIQ_AUDIT_IO;

    return aiq_ship_sink_later(s, AIQ_SHIP_RETRY, &answer);
}


/* a batch, as large as it may be, or what there is */

static int
aiq_ship_sink_collect(aiq_ship_sink_t *s)
{
    size_t                 max;
    aiq_rc_t               rc;
    aiq_err_t              err;
    aiq_out_t              out;
    aiq_ship_batch_t      *b;
    aiq_audit_followed_t   rec;

    b = &s->batch;
    b->n = 0;
    b->done = 0;

    if (!s->open) {
        return 0;
    }

    err.text[0] = '\0';
    max = (size_t) s->conf->bytes;
    s->conf->style.origin.data = s->follow.origin;
    s->conf->style.origin.len = s->follow.origin_len;

    aiq_out_init(&out, b->buf, b->size);

    rc = aiq_audit_follow_look(&s->follow, &err);

    while (rc == AIQ_OK && b->n < (size_t) s->conf->records
           && (size_t) (out.pos - out.start) < max)
    {
        rc = aiq_audit_follow_next(&s->follow, &rec, &err);

        if (rc == AIQ_OK && aiq_ship_sink_add(s, &out, &rec) != 0) {
            rc = aiq_fail(&err, AIQ_E_INTERNAL, "record %llu cannot be "
                          "written in this format",
                          (unsigned long long) rec.front.seq);
        }
    }

    /* what is whole goes out before what is wrong behind it is told */

    if (rc == AIQ_OK || rc == AIQ_DECLINED
        || (rc == AIQ_D_PROOF_INVALID && b->n))
    {
        return 0;
    }

    return aiq_ship_sink_fault(s, rc, &err);
}


static int
aiq_ship_sink_add(aiq_ship_sink_t *s, aiq_out_t *out,
    const aiq_audit_followed_t *rec)
{
    aiq_mem_t          mem;
    aiq_ship_item_t   *item;
    aiq_ship_event_t   e;

    item = &s->batch.item[s->batch.n];

    if (s->batch.n) {
        aiq_ship_format_between(out, &s->conf->style);
    }

    item->start = (size_t) (out->pos - out->start);
    item->cursor = s->follow.at;
    item->ts_us = rec->front.ts_us;

    e.line = rec->line;
    e.doc = &rec->doc;
    e.type = rec->front.type;
    e.seq = rec->front.seq;
    e.ts_us = rec->front.ts_us;
    e.now_us = aiq_ship_sink_now();
    e.leaf = item->cursor.leaf;

    mem.pos = s->mem;
    mem.end = s->mem + AIQ_SHIP_MEM;

    aiq_ship_format(out, &s->conf->style, &e, mem);

    item->end = (size_t) (out->pos - out->start);
    s->batch.n++;

    return out->failed ? -1 : 0;
}


/* until all of the batch is gone, or there is an end: then -1 */

static int
aiq_ship_sink_deliver(aiq_ship_sink_t *s)
{
    int                 end;
    size_t              n;
    aiq_ship_rc_e       rc;
    aiq_ship_batch_t   *b;
    aiq_ship_answer_t   answer;

    b = &s->batch;

    while (b->done < b->n) {

        if (atomic_load(&s->ship->stop)) {
            s->code = AIQ_CTL_OK;
            return -1;
        }

        (void) pthread_mutex_lock(&s->ship->mutex);

        s->stat.waits_us = b->item[b->done].ts_us;

        (void) pthread_mutex_unlock(&s->ship->mutex);

        n = (b->n - b->done < s->chunk) ? b->n : b->done + s->chunk;

        memset(&answer, 0, sizeof(aiq_ship_answer_t));

        rc = (s->conf->type == AIQ_SHIP_SYSLOG)
             ? aiq_ship_syslog(s, b->done, n, &answer)
             : aiq_ship_http(s, b->done, n, &answer);

        if (rc == AIQ_SHIP_OK && answer.rejected
            && aiq_ship_sink_bury(s, n, &answer) != 0)
        {
            rc = AIQ_SHIP_RETRY;
        }

        end = 0;

        if (rc == AIQ_SHIP_OK) {
            aiq_ship_sink_ack(s, n);

        } else if (rc == AIQ_SHIP_REFUSED) {
            end = aiq_ship_sink_refused(s, n, &answer);

        } else {

            if (rc == AIQ_SHIP_LOST) {
                (void) aiq_ship_sink_back(s);
            }

            end = aiq_ship_sink_later(s, rc, &answer);
        }

        if (end) {
            return -1;
        }
    }

    return 0;
}


static void
aiq_ship_sink_ack(aiq_ship_sink_t *s, size_t n)
{
    size_t  sent;

    sent = n - s->batch.done;
    s->refused = 0;

    aiq_ship_sink_mark(s);
    aiq_ship_sink_move(s, n);

    /* going over the same records again is no progress */

    if (s->cursor.seq > s->highest) {

        if (s->failures) {
            aiq_ctl_note("sink \"%s\": delivers again", s->conf->name);
        }

        s->highest = s->cursor.seq;
        s->failures = 0;
        s->renewed = 0;
    }

    if (s->chunk < (size_t) s->conf->records
        && ++s->streak >= AIQ_SHIP_STREAK)
    {
        s->chunk *= 2;
        s->streak = 0;
    }

    (void) pthread_mutex_lock(&s->ship->mutex);

    s->stat.sent += sent;
    s->stat.up = 1;
    s->stat.ok_us = aiq_ship_sink_now();

    (void) pthread_mutex_unlock(&s->ship->mutex);
}


/* a cursor that cannot be written costs duplicates after the next start */

static void
aiq_ship_sink_move(aiq_ship_sink_t *s, size_t n)
{
    aiq_err_t          err;
    aiq_ship_batch_t  *b;

    b = &s->batch;

    s->cursor = b->item[n - 1].cursor;

    if (aiq_ship_state_save(s, &err) != 0) {
        aiq_ctl_note("sink \"%s\": %s", s->conf->name, err.text);
    }

    (void) pthread_mutex_lock(&s->ship->mutex);

    s->stat.seq = s->cursor.seq;
    s->stat.ts_us = b->item[n - 1].ts_us;
    s->stat.waits_us = (n < b->n) ? b->item[n].ts_us : 0;

    (void) pthread_mutex_unlock(&s->ship->mutex);

    b->done = n;
}


/*
 * In halves until the one record is found that is refused; it is put aside,
 * and the others go on.  Who refuses everything means something else.
 */

static int
aiq_ship_sink_refused(aiq_ship_sink_t *s, size_t n,
    const aiq_ship_answer_t *answer)
{
    size_t  k;

    k = n - s->batch.done;

    if (k > 1) {
        s->chunk = k / 2;
        s->streak = 0;

        return 0;
    }

    if (s->refused >= (unsigned) s->conf->refused) {
        aiq_ctl_note("sink \"%s\": refuses every record, so none is put aside"
                     " any more", s->conf->name);

        return aiq_ship_sink_later(s, AIQ_SHIP_CONFIG, answer);
    }

    if (aiq_ship_sink_bury(s, n, answer) != 0) {
        return aiq_ship_sink_later(s, AIQ_SHIP_RETRY, answer);
    }

    s->refused++;
    s->chunk = (size_t) s->conf->records;

    aiq_ship_sink_move(s, n);

    return 0;
}


static int
aiq_ship_sink_bury(aiq_ship_sink_t *s, size_t n,
    const aiq_ship_answer_t *answer)
{
    aiq_err_t  err;

    if (aiq_ship_state_bury(s, s->batch.done, n, answer, &err) != 0) {
        aiq_ctl_note("sink \"%s\": %s", s->conf->name, err.text);
        return -1;
    }

    aiq_ctl_note("sink \"%s\": record %llu was refused and is put aside: %s",
                 s->conf->name,
                 (unsigned long long)
                     s->batch.item[s->batch.done].cursor.seq, answer->text);

    (void) pthread_mutex_lock(&s->ship->mutex);

    s->stat.dead += answer->rejected ? answer->rejected : 1;

    (void) pthread_mutex_unlock(&s->ship->mutex);

    return 0;
}


/* between one and two marks are behind us, of this connection */

static void
aiq_ship_sink_mark(aiq_ship_sink_t *s)
{
    int64_t  now;

    now = aiq_ship_clock();

    if (now - s->marked > AIQ_SHIP_MARK) {
        s->mark[0] = (now - s->marked > 2 * AIQ_SHIP_MARK) ? s->cursor
                                                           : s->mark[1];
        s->mark[1] = s->cursor;
        s->marked = now;
    }
}


/*
 * To what was sent lately: it may not have been read.  -1 if that was done
 * from there before: a collector that ends connections all the time would get
 * nothing else any more.
 */

static int
aiq_ship_sink_back(aiq_ship_sink_t *s)
{
    aiq_err_t  err;

    if (s->mark[0].seq == s->lost || s->mark[0].seq == s->cursor.seq) {
        return -1;
    }

    s->cursor = s->mark[0];
    s->lost = s->cursor.seq;

    if (s->cursor.seq && aiq_ship_state_save(s, &err) != 0) {
        aiq_ctl_note("sink \"%s\": %s", s->conf->name, err.text);
    }

    if (s->cursor.seq == 0) {
        (void) aiq_ship_state_forget(s->ship, s->conf->name, &err);
    }

    (void) pthread_mutex_lock(&s->ship->mutex);

    s->stat.seq = s->cursor.seq;
    s->stat.waits_us = 0;

    (void) pthread_mutex_unlock(&s->ship->mutex);

    aiq_audit_follow_close(&s->follow);

    s->open = 0;
    s->batch.n = 0;

    return 0;
}


/* waits; -1 if there is an end to trying */

static int
aiq_ship_sink_later(aiq_ship_sink_t *s, aiq_ship_rc_e rc,
    const aiq_ship_answer_t *answer)
{
    int64_t    delay;
    aiq_err_t  err;

    s->failures++;

    (void) pthread_mutex_lock(&s->ship->mutex);

    s->stat.failed++;
    s->stat.up = 0;

    (void) pthread_mutex_unlock(&s->ship->mutex);

    if (s->ship->once && s->failures >= AIQ_SHIP_TRIES) {
        aiq_ctl_note("sink \"%s\": not delivered: %s", s->conf->name,
                     answer->text);

        s->code = (s->code == AIQ_AUDIT_IO) ? AIQ_AUDIT_IO : AIQ_CTL_NO;
        return -1;
    }

    s->code = AIQ_CTL_FAULT;

    if (rc == AIQ_SHIP_CONFIG) {

        /* somebody may have put a new secret there */

        aiq_ship_oauth_drop(s);

        if (aiq_ship_secrets(s->conf, &err) != 0) {
            aiq_ctl_note("sink \"%s\": %s", s->conf->name, err.text);
        }

        /* a token that was taken back before its time */

        if (answer->status == 401 && !s->renewed
            && s->conf->type == AIQ_SHIP_SENTINEL)
        {
            s->renewed = 1;
            return 0;
        }
    }

    delay = aiq_ship_sink_delay(s, rc, answer->after);

    aiq_ctl_note("sink \"%s\": %s: %s; trying again in %lld.%lld s",
                 s->conf->name,
                 rc == AIQ_SHIP_CONFIG ? "the configuration is wrong, here or"
                                         " there"
                 : rc == AIQ_SHIP_LOST ? "what was sent last may be lost"
                                       : "cannot deliver",
                 answer->text, (long long) (delay / 1000),
                 (long long) (delay % 1000 / 100));

    (void) aiq_ship_wait(s->ship, delay);

    return 0;
}


/* doubled every time, and a part of it by chance: not all at the same time */

static int64_t
aiq_ship_sink_delay(aiq_ship_sink_t *s, aiq_ship_rc_e rc, int64_t after)
{
    int64_t   max, delay;
    unsigned  n;
    uint32_t  chance;

    max = s->conf->backoff * 1000;
    delay = max;

    n = s->failures - 1;

    if (rc != AIQ_SHIP_CONFIG && n < 20
        && ((int64_t) AIQ_SHIP_FIRST << n) < max)
    {
        delay = (int64_t) AIQ_SHIP_FIRST << n;
    }

    if (aiq_random(&chance, sizeof(chance)) != AIQ_OK) {
        chance = UINT32_MAX;
    }

    delay = delay / 2 + delay / 2 * (int64_t) (chance >> 8) / (1 << 24);

    return (delay < after * 1000) ? after * 1000 : delay;
}


static int64_t
aiq_ship_sink_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_REALTIME, &ts);

    return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


int64_t
aiq_ship_clock(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


int
aiq_ship_wait(aiq_ship_t *ship, int64_t ms)
{
    int              stop;
    int64_t          end;
    struct timespec  ts;

    end = aiq_ship_clock() + ms;
    ts.tv_sec = (time_t) (end / 1000);
    ts.tv_nsec = (long) (end % 1000) * 1000000;

    (void) pthread_mutex_lock(&ship->mutex);

    while (!atomic_load(&ship->stop) && aiq_ship_clock() < end) {

        (void) pthread_cond_timedwait(&ship->cond, &ship->mutex, &ts);
    }

    stop = atomic_load(&ship->stop);

    (void) pthread_mutex_unlock(&ship->mutex);

    return stop;
}
