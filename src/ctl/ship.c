
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl audit ship: sends the audit log to collectors.  Reads the log and
 * takes no lock of it, so whatever a collector does, nobody who appends waits.
 */


#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ship.h"


#define AIQ_SHIP_TICK     200             /* milliseconds */
#define AIQ_SHIP_METRICS  1000            /* milliseconds between two */
#define AIQ_SHIP_GRACE    5000            /* for requests at the end */
#define AIQ_SHIP_PAGE     (32 * 1024)     /* metrics of all sinks */


typedef struct {
    const char  *name;
    const char  *type;
    const char  *help;
    double     (*value)(const aiq_ship_stat_t *st, uint64_t seq, int64_t now);
} aiq_ship_metric_t;


static int aiq_ship_setup(aiq_ship_t *ship);
static int aiq_ship_anew(aiq_ship_t *ship);
static int aiq_ship_start(aiq_ship_t *ship);
static void aiq_ship_watch(aiq_ship_t *ship, const sigset_t *set);
static void aiq_ship_stop(aiq_ship_t *ship, int64_t grace);
static int aiq_ship_result(aiq_ship_t *ship);
static void aiq_ship_metrics(aiq_ship_t *ship);
static void aiq_ship_metrics_write(aiq_out_t *out, aiq_ship_t *ship,
    const aiq_ship_stat_t *stat, uint64_t seq);
static double aiq_ship_metric_up(const aiq_ship_stat_t *st, uint64_t seq,
    int64_t now);
static double aiq_ship_metric_stopped(const aiq_ship_stat_t *st, uint64_t seq,
    int64_t now);
static double aiq_ship_metric_seq(const aiq_ship_stat_t *st, uint64_t seq,
    int64_t now);
static double aiq_ship_metric_lag(const aiq_ship_stat_t *st, uint64_t seq,
    int64_t now);
static double aiq_ship_metric_seconds(const aiq_ship_stat_t *st, uint64_t seq,
    int64_t now);
static double aiq_ship_metric_ok(const aiq_ship_stat_t *st, uint64_t seq,
    int64_t now);
static double aiq_ship_metric_sent(const aiq_ship_stat_t *st, uint64_t seq,
    int64_t now);
static double aiq_ship_metric_failed(const aiq_ship_stat_t *st, uint64_t seq,
    int64_t now);
static double aiq_ship_metric_dead(const aiq_ship_stat_t *st, uint64_t seq,
    int64_t now);


const aiq_ctl_opt_t  aiq_ctl_audit_ship_opts[] = {

    { "config", "FILE", "where to: a JSON document, see docs/ship.md", 1, 0 },
    { "state", "DIR", "where cursors are kept, default STORE/ship", 0, 0 },
    { "metrics", "FILE", "counters and lag, for Prometheus", 0, 0 },
    { "once", NULL, "what is there now, then end", 0, 0 },
    { "anew", "SINK", "this one begins with the first record", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


static const aiq_ship_metric_t  aiq_ship_metric[] = {

    { "up", "gauge", "0 if the last delivery failed, or the sink has ended.",
      aiq_ship_metric_up },
    { "stopped", "gauge", "Whether the sink has ended; the log says why.",
      aiq_ship_metric_stopped },
    { "last_seq", "gauge", "Number of the last record acknowledged.",
      aiq_ship_metric_seq },
    { "lag_records", "gauge", "Records that were not acknowledged yet.",
      aiq_ship_metric_lag },
    { "lag_seconds", "gauge", "Age of the first of them.",
      aiq_ship_metric_seconds },
    { "last_success_timestamp_seconds", "gauge",
      "When something was delivered last.", aiq_ship_metric_ok },
    { "sent_total", "counter", "Records that were acknowledged.",
      aiq_ship_metric_sent },
    { "failed_total", "counter", "Deliveries that failed.",
      aiq_ship_metric_failed },
    { "dead_total", "counter", "Records that were refused and put aside.",
      aiq_ship_metric_dead },

    { NULL, NULL, NULL, NULL }
};


int
aiq_ctl_audit_ship(aiq_ctl_t *ctl)
{
    int          code;
    unsigned     i;
    aiq_ship_t  *ship;

    ship = aiq_mem_calloc(&ctl->mem, sizeof(aiq_ship_t));

    if (ship == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    ship->ctl = ctl;
    ship->dir = ctl->arg[0];
    ship->state = -1;
    ship->metrics = aiq_ctl_opt(ctl, "metrics");
    ship->once = (aiq_ctl_opt(ctl, "once") != NULL);

    code = aiq_ctl_curl(ctl);
    if (code != AIQ_CTL_OK) {
        return code;
    }

    code = aiq_ship_conf_read(ship, aiq_ctl_opt(ctl, "config"));

    if (code == AIQ_CTL_OK) {
        code = aiq_ship_setup(ship);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ship_start(ship);
    }

    for (i = 0; i < ship->n; i++) {
        aiq_ship_secrets_wipe(ship->sink[i].conf);
    }

    curl_global_cleanup();

    return code;
}


static int
aiq_ship_setup(aiq_ship_t *ship)
{
    aiq_ctl_t           *ctl;
    const char          *state;
    pthread_condattr_t   attr;

    ctl = ship->ctl;

    state = aiq_ctl_opt(ctl, "state");

    if (state == NULL) {
        state = aiq_ctl_path(ctl, ctl->dir, "ship");
    }

    if (state == NULL
        || pthread_mutex_init(&ship->mutex, NULL) != 0
        || pthread_condattr_init(&attr) != 0
        || pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) != 0
        || pthread_cond_init(&ship->cond, &attr) != 0)
    {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    if (aiq_ship_state_open(ship, state, &ctl->err) != 0) {
        return aiq_ctl_fault(ctl, AIQ_E_INTERNAL, "%s", ctl->err.text);
    }

    return aiq_ship_anew(ship);
}


static int
aiq_ship_anew(aiq_ship_t *ship)
{
    unsigned     i;
    const char  *name;

    name = aiq_ctl_opt(ship->ctl, "anew");

    if (name == NULL) {
        return AIQ_CTL_OK;
    }

    for (i = 0; i < ship->n; i++) {

        if (strcmp(ship->sink[i].conf->name, name) != 0) {
            continue;
        }

        if (aiq_ship_state_forget(ship, name, &ship->ctl->err) != 0) {
            return aiq_ctl_fault(ship->ctl, AIQ_E_INTERNAL, "%s",
                                 ship->ctl->err.text);
        }

        return AIQ_CTL_OK;
    }

    return aiq_ctl_usage(ship->ctl, "--anew: no sink is called \"%s\"", name);
}


static int
aiq_ship_start(aiq_ship_t *ship)
{
    unsigned          i;
    sigset_t          set;
    aiq_ship_sink_t  *s;

    /* before threads: they inherit what is blocked */

    (void) sigemptyset(&set);
    (void) sigaddset(&set, SIGTERM);
    (void) sigaddset(&set, SIGINT);
    (void) sigaddset(&set, SIGHUP);
    (void) sigprocmask(SIG_BLOCK, &set, NULL);
    (void) signal(SIGPIPE, SIG_IGN);

    for (i = 0; i < ship->n; i++) {
        s = &ship->sink[i];

        if (pthread_create(&s->thread, NULL, aiq_ship_sink, s) != 0) {
            aiq_ctl_note("sink \"%s\": cannot make a thread", s->conf->name);
            s->code = AIQ_CTL_FAULT;
            continue;
        }

        s->started = 1;
    }

    aiq_ship_watch(ship, &set);

    for (i = 0; i < ship->n; i++) {

        if (ship->sink[i].started) {
            (void) pthread_join(ship->sink[i].thread, NULL);
        }
    }

    aiq_ship_metrics(ship);

    (void) close(ship->state);

    return aiq_ship_result(ship);
}


/* until all have ended, or somebody wants them to */

static void
aiq_ship_watch(aiq_ship_t *ship, const sigset_t *set)
{
    int              sig;
    int64_t          now, next;
    unsigned         i, left;
    struct timespec  ts;

    next = 0;
    ts.tv_sec = 0;
    ts.tv_nsec = AIQ_SHIP_TICK * 1000000L;

    do {
        now = aiq_ship_clock();

        if (now >= next) {
            aiq_ship_metrics(ship);
            next = now + AIQ_SHIP_METRICS;
        }

        sig = sigtimedwait(set, NULL, &ts);

        if (sig > 0) {
            aiq_ship_stop(ship, AIQ_SHIP_GRACE);
        }

        left = 0;

        for (i = 0; i < ship->n; i++) {
            left += ship->sink[i].started && !atomic_load(&ship->sink[i].over);
        }

    } while (left);
}


static void
aiq_ship_stop(aiq_ship_t *ship, int64_t grace)
{
    (void) pthread_mutex_lock(&ship->mutex);

    if (!atomic_load(&ship->stop)) {
        atomic_store(&ship->deadline, aiq_ship_clock() + grace);
        atomic_store(&ship->stop, 1);
    }

    (void) pthread_cond_broadcast(&ship->cond);
    (void) pthread_mutex_unlock(&ship->mutex);
}


/* an alarm counts more than a sink that was not there */

static int
aiq_ship_result(aiq_ship_t *ship)
{
    int       code;
    unsigned  i;

    code = AIQ_CTL_OK;

    for (i = 0; i < ship->n; i++) {

        if (ship->sink[i].code > code) {
            code = ship->sink[i].code;
        }
    }

    return code;
}


static void
aiq_ship_metrics(aiq_ship_t *ship)
{
    char              buf[AIQ_SHIP_PAGE];
    int64_t           ts_us;
    uint64_t          seq;
    unsigned          i;
    aiq_err_t         err;
    aiq_out_t         out;
    aiq_ship_stat_t   stat[AIQ_SHIP_SINKS];

    if (ship->metrics == NULL) {
        return;
    }

    (void) pthread_mutex_lock(&ship->mutex);

    for (i = 0; i < ship->n; i++) {
        stat[i] = ship->sink[i].stat;
    }

    (void) pthread_mutex_unlock(&ship->mutex);

    /* a log that cannot be read has no last record: nothing is said of it */

    if (aiq_audit_follow_last(ship->dir, &seq, &ts_us, &err) != AIQ_OK) {
        seq = 0;
    }

    aiq_out_init(&out, buf, sizeof(buf));
    aiq_ship_metrics_write(&out, ship, stat, seq);

    if (!out.failed
        && aiq_ship_state_replace(AT_FDCWD, ship->metrics,
                                  aiq_out_done(&out), 0, &err)
           == 0)
    {
        ship->unwritten = 0;
        return;
    }

    if (!ship->unwritten) {
        ship->unwritten = 1;
        aiq_ctl_note("metrics: %s", out.failed ? "too many" : err.text);
    }
}


static void
aiq_ship_metrics_write(aiq_out_t *out, aiq_ship_t *ship,
    const aiq_ship_stat_t *stat, uint64_t seq)
{
    char                      value[64];
    int64_t                   now;
    unsigned                  i;
    struct timespec           ts;
    const aiq_ship_metric_t  *m;

    (void) clock_gettime(CLOCK_REALTIME, &ts);
    now = (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;

    aiq_out_str(out, "# HELP armoriq_ship_log_seq Number of the last record"
                " in the log.\n# TYPE armoriq_ship_log_seq gauge\n"
                "armoriq_ship_log_seq ");
    aiq_out_int(out, (int64_t) seq);
    aiq_out_char(out, '\n');

    for (m = aiq_ship_metric; m->name; m++) {

        aiq_out_str(out, "# HELP armoriq_ship_");
        aiq_out_str(out, m->name);
        aiq_out_char(out, ' ');
        aiq_out_str(out, m->help);
        aiq_out_str(out, "\n# TYPE armoriq_ship_");
        aiq_out_str(out, m->name);
        aiq_out_char(out, ' ');
        aiq_out_str(out, m->type);
        aiq_out_char(out, '\n');

        for (i = 0; i < ship->n; i++) {
            (void) snprintf(value, sizeof(value), "\"} %.15g\n",
                            m->value(&stat[i], seq, now));

            aiq_out_str(out, "armoriq_ship_");
            aiq_out_str(out, m->name);
            aiq_out_str(out, "{sink=\"");
            aiq_out_str(out, ship->sink[i].conf->name);
            aiq_out_str(out, value);
        }
    }
}


static double
aiq_ship_metric_up(const aiq_ship_stat_t *st, uint64_t seq, int64_t now)
{
    return st->up;
}


static double
aiq_ship_metric_stopped(const aiq_ship_stat_t *st, uint64_t seq, int64_t now)
{
    return st->stopped;
}


static double
aiq_ship_metric_seq(const aiq_ship_stat_t *st, uint64_t seq, int64_t now)
{
    return (double) st->seq;
}


static double
aiq_ship_metric_lag(const aiq_ship_stat_t *st, uint64_t seq, int64_t now)
{
    return (seq > st->seq) ? (double) (seq - st->seq) : 0;
}


/* of the last one acknowledged if the next one was not read yet */

static double
aiq_ship_metric_seconds(const aiq_ship_stat_t *st, uint64_t seq, int64_t now)
{
    int64_t  since;

    since = st->waits_us ? st->waits_us : st->ts_us;

    if (seq <= st->seq || since == 0 || since > now) {
        return 0;
    }

    return (double) (now - since) / 1e6;
}


static double
aiq_ship_metric_ok(const aiq_ship_stat_t *st, uint64_t seq, int64_t now)
{
    return (double) st->ok_us / 1e6;
}


static double
aiq_ship_metric_sent(const aiq_ship_stat_t *st, uint64_t seq, int64_t now)
{
    return (double) st->sent;
}


static double
aiq_ship_metric_failed(const aiq_ship_stat_t *st, uint64_t seq, int64_t now)
{
    return (double) st->failed;
}


static double
aiq_ship_metric_dead(const aiq_ship_stat_t *st, uint64_t seq, int64_t now)
{
    return (double) st->dead;
}
