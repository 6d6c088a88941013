
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl audit cosign: has the newest checkpoint of a log cosigned by
 * witnesses, and puts it with their signatures into DIR/cosigned.
 *
 * All witnesses are asked about the same checkpoint; the next one is taken
 * when those that answered last time have answered again.  One that did not
 * is asked again later and later, and nobody waits for it.
 */


#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include "audit_checkpoint.h"
#include "audit_file.h"
#include "audit_key.h"
#include "cosign.h"
#include "ctl.h"


#define AIQ_CTL_COSIGN_TIME    10000     /* of a request, milliseconds */
#define AIQ_CTL_COSIGN_LATER   60000     /* between failures, at most */
#define AIQ_CTL_COSIGN_ANSWER  8192
#define AIQ_CTL_COSIGN_LINE    1024
#define AIQ_CTL_COSIGN_ASK     4         /* about one checkpoint */
#define AIQ_CTL_COSIGN_FILE    "cosigned"
#define AIQ_CTL_COSIGN_TMP     "cosigned.new"
#define AIQ_CTL_COSIGN_LOCK    "cosign.lock"
#define AIQ_CTL_COSIGN_URL     2048


typedef struct aiq_ctl_cosign_s  aiq_ctl_cosign_t;

typedef struct {
    aiq_ctl_cosign_t     *all;
    aiq_vkey_t            key;
    char                  url[AIQ_CTL_COSIGN_URL];
    CURL                 *easy;
    struct curl_slist    *headers;

    uint64_t              size;          /* that it has cosigned last */
    uint64_t              round;         /* of the question under way, */
    uint64_t              covers;        /* the checkpoint in it */
    unsigned char         text[AIQ_CHECKPOINT_MAX];
    size_t                text_len;      /* and what of it is signed */
    unsigned              asked;         /* times, about this checkpoint */
    unsigned              failures;      /* one behind the other */
    int64_t               next;          /* not before */
    unsigned              busy:1;
    unsigned              done:1;        /* line is of this checkpoint */

    int64_t               when;
    char                  line[AIQ_CTL_COSIGN_LINE];
    size_t                len;

    unsigned char         request[AIQ_WITNESS_MAX];
    char                  answer[AIQ_CTL_COSIGN_ANSWER];
    size_t                answered;
    char                  said[AIQ_ERR_TEXT];
} aiq_ctl_peer_t;

struct aiq_ctl_cosign_s {
    aiq_ctl_t            *ctl;
    CURLM                *multi;
    aiq_ctl_peer_t       *peers;
    unsigned              n;
    int64_t               require;
    int64_t               refresh;       /* seconds */
    unsigned              changed:1;

    /* the checkpoint at hand */

    uint64_t              round;
    aiq_audit_tree_t      tree;
    unsigned char        *next;          /* a buffer as that of tree */
    aiq_note_t            note;
};


static int aiq_ctl_cosign_log(aiq_ctl_cosign_t *w);
static int aiq_ctl_cosign_peers(aiq_ctl_cosign_t *w);
static int aiq_ctl_cosign_peer(aiq_ctl_cosign_t *w, aiq_str_t word);
static int aiq_ctl_cosign_curl(aiq_ctl_cosign_t *w, aiq_ctl_peer_t *p);
static size_t aiq_ctl_cosign_data(char *data, size_t size, size_t n,
    void *peer);
static int64_t aiq_ctl_cosign_now(void);
static int64_t aiq_ctl_cosign_clock(void);
static int aiq_ctl_cosign_run(aiq_ctl_cosign_t *w, int once);
static void aiq_ctl_cosign_message(aiq_ctl_cosign_t *w, const CURLMsg *msg);
static aiq_rc_t aiq_ctl_cosign_next(aiq_ctl_cosign_t *w);
static void aiq_ctl_cosign_ask(aiq_ctl_cosign_t *w, aiq_ctl_peer_t *p);
static aiq_rc_t aiq_ctl_cosign_prove(aiq_ctl_cosign_t *w, uint64_t from,
    aiq_tlog_proof_t *proof);
static void aiq_ctl_cosign_answered(aiq_ctl_cosign_t *w, aiq_ctl_peer_t *p,
    CURLcode res);
static void aiq_ctl_cosign_take(aiq_ctl_cosign_t *w, aiq_ctl_peer_t *p);
static void aiq_ctl_cosign_conflict(aiq_ctl_cosign_t *w, aiq_ctl_peer_t *p);
static void aiq_ctl_cosign_fail(aiq_ctl_cosign_t *w, aiq_ctl_peer_t *p,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static unsigned aiq_ctl_cosign_count(const aiq_ctl_cosign_t *w);
static int aiq_ctl_cosign_write(aiq_ctl_cosign_t *w);
static int aiq_ctl_cosign_end(aiq_ctl_cosign_t *w);


int
aiq_ctl_audit_cosign(aiq_ctl_t *ctl)
{
    int                code;
    unsigned           i;
    aiq_ctl_cosign_t  *w;

    w = aiq_mem_calloc(&ctl->mem, sizeof(aiq_ctl_cosign_t));

    if (w == NULL
        || (w->tree.buf = aiq_mem_alloc(&ctl->mem, AIQ_NOTE_MAX)) == NULL
        || (w->next = aiq_mem_alloc(&ctl->mem, AIQ_NOTE_MAX)) == NULL)
    {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    w->ctl = ctl;

    /* a witness that closes is an answer as others */

    (void) signal(SIGPIPE, SIG_IGN);

    code = aiq_ctl_curl(ctl);
    if (code != AIQ_CTL_OK) {
        return code;
    }

    w->multi = curl_multi_init();
    if (w->multi == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_INTERNAL, "libcurl does not work");
    }

    code = aiq_ctl_cosign_peers(w);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_opt_int(ctl, "require", 1, w->n, 1, &w->require);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_opt_int(ctl, "refresh", 1, 86400, 60, &w->refresh);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_cosign_log(w);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_cosign_run(w, aiq_ctl_opt(ctl, "once") != NULL);
    }

    for (i = 0; i < w->n; i++) {
        (void) curl_multi_remove_handle(w->multi, w->peers[i].easy);
        curl_easy_cleanup(w->peers[i].easy);
        curl_slist_free_all(w->peers[i].headers);
    }

    (void) curl_multi_cleanup(w->multi);
    curl_global_cleanup();

    return code;
}


/* two would write the same file, and one put back what the other has done */

static int
aiq_ctl_cosign_log(aiq_ctl_cosign_t *w)
{
    int         lock;
    aiq_rc_t    rc;
    aiq_ctl_t  *ctl;

    ctl = w->ctl;

    rc = aiq_audit_tree_open(&w->tree, ctl->arg[0], &ctl->err);

    /* held until the process ends */

    lock = -1;

    if (rc == AIQ_OK) {
        rc = aiq_audit_lock_take(w->tree.dir, AIQ_CTL_COSIGN_LOCK, 0, &lock,
                                 &ctl->err);
    }

    if (rc == AIQ_DECLINED) {
        return aiq_ctl_no(ctl, AIQ_OK, "another \"audit cosign\" works with"
                          " \"%s\"", ctl->arg[0]);
    }

    return (rc == AIQ_OK) ? AIQ_CTL_OK : aiq_ctl_fail(ctl, rc, NULL);
}


/* "URL,KEY URL,KEY"; one a line in a file, with "#" before what is none */

static int
aiq_ctl_cosign_peers(aiq_ctl_cosign_t *w)
{
    int          code;
    size_t       i;
    aiq_ctl_t   *ctl;
    aiq_str_t    text, word;
    const char  *list, *file;

    ctl = w->ctl;
    list = aiq_ctl_opt(ctl, "witness");
    file = aiq_ctl_opt(ctl, "witnesses");

    if ((list == NULL) == (file == NULL)) {
        return aiq_ctl_usage(ctl, "give one of --witness and --witnesses");
    }

    text = aiq_cstr(list ? list : "");

    if (file) {
        code = aiq_ctl_read(ctl, file, (size_t) 1 << 16, 0, &text);

        if (code != AIQ_CTL_OK) {
            return code;
        }
    }

    w->peers = aiq_mem_calloc(&ctl->mem, AIQ_WITNESSES
                                         * sizeof(aiq_ctl_peer_t));

    if (w->peers == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    while (text.len) {

        for (i = 0; i < text.len && text.data[i] > ' '; i++) {
            /* void */
        }

        if (i && text.data[0] == '#') {

            while (i < text.len && text.data[i] != '\n') {
                i++;
            }

        } else if (i) {
            word.data = text.data;
            word.len = i;

            code = aiq_ctl_cosign_peer(w, word);

            if (code != AIQ_CTL_OK) {
                return code;
            }
        }

        i += (i < text.len);
        text.data += i;
        text.len -= i;
    }

    return w->n ? AIQ_CTL_OK
                : aiq_ctl_usage(ctl, "there is no witness in the list");
}


static int
aiq_ctl_cosign_peer(aiq_ctl_cosign_t *w, aiq_str_t word)
{
    size_t                len;
    aiq_rc_t              rc;
    unsigned              i;
    aiq_str_t             vkey;
    aiq_ctl_peer_t       *p;
    const unsigned char  *comma;

    comma = memchr(word.data, ',', word.len);

    if (comma == NULL
        || memchr(word.data, '@', (size_t) (comma - word.data)) != NULL
        || (strncmp((const char *) word.data, "http://", 7) != 0
            && strncmp((const char *) word.data, "https://", 8) != 0))
    {
        return aiq_ctl_usage(w->ctl, "a witness is http://... or https://...,"
                             " without a user, a comma and its verification"
                             " key");
    }

    if (w->n == AIQ_WITNESSES) {
        return aiq_ctl_usage(w->ctl, "more than %d witnesses", AIQ_WITNESSES);
    }

    p = &w->peers[w->n];
    len = (size_t) (comma - word.data);

    while (len && word.data[len - 1] == '/') {
        len--;
    }

    vkey.data = comma + 1;
    vkey.len = word.len - (size_t) (comma + 1 - word.data);

    if (len + sizeof("/add-checkpoint") > sizeof(p->url)) {
        return aiq_ctl_usage(w->ctl, "the URL of a witness is too long");
    }

    (void) snprintf(p->url, sizeof(p->url), "%.*s/add-checkpoint", (int) len,
                    (const char *) word.data);

    rc = aiq_cosigner_parse(&p->key, vkey, w->ctl->crypto, &w->ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_usage(w->ctl, "%s", w->ctl->err.text);
    }

    for (i = 0; i < w->n; i++) {

        if (memcmp(w->peers[i].key.key, p->key.key, AIQ_KEY_LEN) == 0) {
            return aiq_ctl_usage(w->ctl, "a witness is there twice");
        }
    }

    p->all = w;
    w->n++;

    return aiq_ctl_cosign_curl(w, p);
}


static int
aiq_ctl_cosign_curl(aiq_ctl_cosign_t *w, aiq_ctl_peer_t *p)
{
    CURL  *e;

    e = p->easy = curl_easy_init();

    p->headers = curl_slist_append(NULL, "Content-Type: text/plain");

    /* a witness is not to be asked whether it wants to be asked */

    if (e == NULL || p->headers == NULL
        || curl_slist_append(p->headers, "Expect:") == NULL
        || curl_easy_setopt(e, CURLOPT_URL, p->url)
        || curl_easy_setopt(e, CURLOPT_PRIVATE, p)
        || curl_easy_setopt(e, CURLOPT_POST, 1L)
        || curl_easy_setopt(e, CURLOPT_HTTPHEADER, p->headers)
        || curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, aiq_ctl_cosign_data)
        || curl_easy_setopt(e, CURLOPT_WRITEDATA, p)
        || curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https")
        || curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L)
        || curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L)
        || curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long) AIQ_CTL_COSIGN_TIME)
        || curl_easy_setopt(e, CURLOPT_USERAGENT, "armoriqctl/" AIQ_VERSION))
    {
        return aiq_ctl_fault(w->ctl, AIQ_E_INTERNAL, "libcurl does not work");
    }

    return AIQ_CTL_OK;
}


static size_t
aiq_ctl_cosign_data(char *data, size_t size, size_t n, void *peer)
{
    aiq_ctl_peer_t *p = peer;

    if (n > sizeof(p->answer) - p->answered) {
        return 0;
    }

    memcpy(p->answer + p->answered, data, n);
    p->answered += n;

    return n;
}


static int64_t
aiq_ctl_cosign_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


static int64_t
aiq_ctl_cosign_clock(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_REALTIME, &ts);

    return (int64_t) ts.tv_sec;
}


static int
aiq_ctl_cosign_run(aiq_ctl_cosign_t *w, int once)
{
    int              left, wait, code;
    CURLMsg         *msg;
    aiq_rc_t         rc;
    unsigned         i, open;
    aiq_err_t        said;
    aiq_ctl_peer_t  *p;

    said.text[0] = '\0';

    for ( ;; ) {

        rc = aiq_ctl_cosign_next(w);

        if (rc != AIQ_OK && once) {
            return aiq_is_fault(rc) ? aiq_ctl_fail(w->ctl, rc, NULL)
                                    : aiq_ctl_no(w->ctl, AIQ_OK, "%s",
                                                 w->ctl->err.text);
        }

        if (rc != AIQ_OK && strcmp(said.text, w->ctl->err.text) != 0) {
            aiq_ctl_note("%s", w->ctl->err.text);
            said = w->ctl->err;
        }

        for (i = 0; w->round && i < w->n; i++) {
            aiq_ctl_cosign_ask(w, &w->peers[i]);
        }

        if (curl_multi_perform(w->multi, &left) != CURLM_OK) {
            return aiq_ctl_fault(w->ctl, AIQ_E_INTERNAL, "libcurl failed");
        }

        while ((msg = curl_multi_info_read(w->multi, &left)) != NULL) {
            aiq_ctl_cosign_message(w, msg);
        }

        if (w->changed && aiq_ctl_cosign_count(w) >= (unsigned) w->require) {
            w->changed = 0;
            code = aiq_ctl_cosign_write(w);

            if (code != AIQ_CTL_OK && once) {
                return code;
            }
        }

        for (i = 0, open = 0, wait = 500; i < w->n; i++) {
            p = &w->peers[i];
            open += p->busy || (!p->done && p->failures == 0);

            if (!p->busy && !p->done && p->failures == 0) {
                wait = 0;
            }
        }

        if (once && open == 0) {
            return aiq_ctl_cosign_end(w);
        }

        if (curl_multi_poll(w->multi, NULL, 0, w->round ? wait : 500, NULL)
            != CURLM_OK)
        {
            return aiq_ctl_fault(w->ctl, AIQ_E_INTERNAL, "libcurl failed");
        }
    }
}


static void
aiq_ctl_cosign_message(aiq_ctl_cosign_t *w, const CURLMsg *msg)
{
    aiq_ctl_peer_t  *p;

    if (msg->msg == CURLMSG_DONE
        && curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **) &p)
           == CURLE_OK)
    {
        aiq_ctl_cosign_answered(w, p, msg->data.result);
    }
}


/* the newest checkpoint, when it is its turn */

static aiq_rc_t
aiq_ctl_cosign_next(aiq_ctl_cosign_t *w)
{
    aiq_rc_t           rc;
    unsigned           i;
    unsigned char     *old;
    aiq_audit_tree_t   t;

    for (i = 0; w->round && i < w->n; i++) {

        if (!w->peers[i].done && w->peers[i].failures == 0) {
            return AIQ_OK;
        }
    }

    t = w->tree;
    t.buf = w->next;

    rc = aiq_audit_tree(&t, w->ctl->crypto, &w->ctl->err);

    if (rc != AIQ_OK) {
        return rc;
    }

    if (w->round && aiq_str_eq(t.note, w->tree.note)) {
        return AIQ_OK;
    }

    /* it was signed; but a log that goes back is no reason to forget */

    if (w->round && t.checkpoint.size < w->tree.checkpoint.size) {
        return aiq_fail(&w->ctl->err, AIQ_DECLINED,
                        "ALERT: the newest checkpoint covers %llu records, "
                        "one before it %llu: it was put back",
                        (unsigned long long) t.checkpoint.size,
                        (unsigned long long) w->tree.checkpoint.size);
    }

    old = w->tree.buf;
    w->tree = t;
    w->next = old;
    w->round++;

    for (i = 0; i < w->n; i++) {
        w->peers[i].done = 0;
        w->peers[i].asked = 0;
        w->peers[i].len = 0;
    }

    return aiq_note_parse(&w->note, w->tree.note, &w->ctl->err);
}


static void
aiq_ctl_cosign_ask(aiq_ctl_cosign_t *w, aiq_ctl_peer_t *p)
{
    aiq_out_t          out;
    aiq_str_t          body;
    aiq_tlog_proof_t   proof;

    if (p->busy
        || (p->failures && aiq_ctl_cosign_now() < p->next)
        || (p->done && aiq_ctl_cosign_clock() < p->when + w->refresh
            && aiq_ctl_cosign_clock() >= p->when - AIQ_COSIGN_SKEW))
    {
        return;
    }

    if (p->done) {
        p->asked = 0;
    }

    proof.count = 0;

    if (p->size && p->size < w->tree.checkpoint.size
        && aiq_ctl_cosign_prove(w, p->size, &proof) != AIQ_OK)
    {
        aiq_ctl_cosign_fail(w, p, "there is no proof from %llu records on:"
                            " %s", (unsigned long long) p->size,
                            w->ctl->err.text);
        return;
    }

    aiq_out_init(&out, p->request, sizeof(p->request));
    aiq_witness_write(&out, p->size, (const aiq_hash_t *) proof.proof,
                      proof.count);
    aiq_out_mem(&out, w->tree.note.data, w->tree.note.len);

    body = aiq_out_done(&out);

    if (out.failed || w->note.text.len > sizeof(p->text)
        || curl_easy_setopt(p->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                            (curl_off_t) body.len)
        || curl_easy_setopt(p->easy, CURLOPT_POSTFIELDS, p->request)
        || curl_multi_add_handle(w->multi, p->easy) != CURLM_OK)
    {
        aiq_ctl_cosign_fail(w, p, "the request cannot be made");
        return;
    }

    memcpy(p->text, w->note.text.data, w->note.text.len);

    p->text_len = w->note.text.len;
    p->covers = w->tree.checkpoint.size;
    p->round = w->round;

    p->answered = 0;
    p->asked++;
    p->busy = 1;
}


static aiq_rc_t
aiq_ctl_cosign_prove(aiq_ctl_cosign_t *w, uint64_t from,
    aiq_tlog_proof_t *proof)
{
    aiq_rc_t    rc;
    aiq_hash_t  root;

    rc = aiq_audit_prove_consistency(&w->tree, from, proof, root,
                                     w->ctl->crypto, &w->ctl->err);

    if (rc == AIQ_D_PROOF_INVALID) {
        rc = aiq_audit_prove_slowly(w->ctl->arg[0], &w->tree, 0, from, proof,
                                    root, w->ctl->crypto, &w->ctl->err);
    }

    return rc;
}


static void
aiq_ctl_cosign_answered(aiq_ctl_cosign_t *w, aiq_ctl_peer_t *p, CURLcode res)
{
    long  status;

    p->busy = 0;
    status = 0;

    (void) curl_multi_remove_handle(w->multi, p->easy);

    if (res != CURLE_OK) {
        aiq_ctl_cosign_fail(w, p, "%s", curl_easy_strerror(res));
        return;
    }

    (void) curl_easy_getinfo(p->easy, CURLINFO_RESPONSE_CODE, &status);

    switch (status) {

    case 200:
        aiq_ctl_cosign_take(w, p);
        break;

    case 409:
        aiq_ctl_cosign_conflict(w, p);
        break;

    case 403:
        aiq_ctl_cosign_fail(w, p, "it does not know the key that has signed"
                            " the checkpoint (403)");
        break;

    case 404:
        aiq_ctl_cosign_fail(w, p, "it does not know this log (404)");
        break;

    case 422:
        aiq_ctl_cosign_fail(w, p, "ALERT: this log does not continue what the"
                            " witness has seen of it (422): it was changed,"
                            " or there are two");
        break;

    default:
        aiq_ctl_cosign_fail(w, p, "it answers %ld", status);
        break;
    }
}


/*
 * Lines of signatures, which are nobody's word until they are verified.  They
 * may be of a checkpoint before: who was not waited for and is slower than the
 * others has answered all the same, and is waited for again.
 */

static void
aiq_ctl_cosign_take(aiq_ctl_cosign_t *w, aiq_ctl_peer_t *p)
{
    int64_t         when;
    aiq_rc_t        rc;
    aiq_out_t       out;
    aiq_str_t       line;
    aiq_err_t       err;
    aiq_note_t      note;
    unsigned char   buf[AIQ_CHECKPOINT_MAX + AIQ_CTL_COSIGN_ANSWER];

    err.text[0] = '\0';

    aiq_out_init(&out, buf, sizeof(buf));
    aiq_out_mem(&out, p->text, p->text_len);
    aiq_out_char(&out, '\n');
    aiq_out_mem(&out, p->answer, p->answered);

    rc = out.failed ? AIQ_DECLINED
                    : aiq_note_parse(&note, aiq_out_done(&out), &err);

    if (rc == AIQ_OK) {
        rc = aiq_cosign_verify(&note, &p->key, &when, &line, w->ctl->crypto,
                               &err);
    }

    if (rc != AIQ_OK || line.len > sizeof(p->line)) {
        aiq_ctl_cosign_fail(w, p, "the answer is not its cosignature: %s",
                            err.text);
        return;
    }

    if (when > aiq_ctl_cosign_clock() + AIQ_COSIGN_SKEW
        || when < aiq_ctl_cosign_clock() - AIQ_COSIGN_SKEW)
    {
        aiq_ctl_cosign_fail(w, p, "its clock and ours differ by more than %d"
                            " seconds", AIQ_COSIGN_SKEW);
        return;
    }

    if (p->failures) {
        aiq_ctl_note("%s answers again", p->url);
    }

    p->size = p->covers;
    p->failures = 0;
    p->next = 0;

    if (p->round != w->round) {
        p->asked = 0;
        return;
    }

    memcpy(p->line, line.data, line.len);

    p->len = line.len;
    p->when = when;
    p->done = 1;

    w->changed = 1;
}


/* it has seen another size than we said, and says which */

static void
aiq_ctl_cosign_conflict(aiq_ctl_cosign_t *w, aiq_ctl_peer_t *p)
{
    uint64_t   size;
    aiq_str_t  s;

    s.data = (unsigned char *) p->answer;
    s.len = p->answered;

    if (s.len && s.data[s.len - 1] == '\n') {
        s.len--;
    }

    if (!aiq_note_number(s, &size)) {
        aiq_ctl_cosign_fail(w, p, "it answers 409 without a size");
        return;
    }

    if (size > w->tree.checkpoint.size) {
        p->size = 0;
        aiq_ctl_cosign_fail(w, p, "ALERT: the witness has seen %llu records"
                            " of this log, the newest checkpoint covers %llu:"
                            " records were cut off, or there are two logs",
                            (unsigned long long) size,
                            (unsigned long long) w->tree.checkpoint.size);
        return;
    }

    if (size == p->size || p->asked >= AIQ_CTL_COSIGN_ASK) {
        aiq_ctl_cosign_fail(w, p, "it answers 409 again and again");
        return;
    }

    p->size = size;

    /* asked at once, also if it had failed before */

    p->next = 0;
}


/* said once, until it answers again or says something else */

static void
aiq_ctl_cosign_fail(aiq_ctl_cosign_t *w, aiq_ctl_peer_t *p, const char *fmt,
    ...)
{
    int64_t  delay;
    char     text[AIQ_ERR_TEXT];
    va_list  args;

    va_start(args, fmt);
    (void) vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    if (p->failures == 0 || strcmp(text, p->said) != 0) {
        aiq_ctl_note("%s: %s", p->url, text);
    }

    (void) snprintf(p->said, sizeof(p->said), "%s", text);

    delay = (int64_t) 1000 << (p->failures < 6 ? p->failures : 6);

    p->failures++;
    p->asked = 0;
    p->next = aiq_ctl_cosign_now()
              + (delay < AIQ_CTL_COSIGN_LATER ? delay : AIQ_CTL_COSIGN_LATER);
}


static unsigned
aiq_ctl_cosign_count(const aiq_ctl_cosign_t *w)
{
    unsigned  i, n;

    for (i = 0, n = 0; i < w->n; i++) {
        n += (w->peers[i].len > 0);
    }

    return n;
}


static int
aiq_ctl_cosign_write(aiq_ctl_cosign_t *w)
{
    unsigned         i;
    aiq_rc_t         rc;
    aiq_out_t        out;
    unsigned char   *mem, *buf;

    mem = w->ctl->mem.pos;
    buf = aiq_mem_alloc(&w->ctl->mem, AIQ_NOTE_MAX);

    if (buf == NULL) {
        return aiq_ctl_fault(w->ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    aiq_out_init(&out, buf, AIQ_NOTE_MAX);
    aiq_out_mem(&out, w->tree.note.data, w->tree.note.len);

    for (i = 0; i < w->n; i++) {
        aiq_out_mem(&out, w->peers[i].line, w->peers[i].len);
    }

    rc = out.failed ? aiq_fail(&w->ctl->err, AIQ_E_INTERNAL,
                               "too many signatures")
                    : aiq_audit_replace(w->tree.dir, AIQ_CTL_COSIGN_TMP,
                                        AIQ_CTL_COSIGN_FILE,
                                        aiq_out_done(&out), &w->ctl->err);

    w->ctl->mem.pos = mem;

    return rc == AIQ_OK ? AIQ_CTL_OK : aiq_ctl_fail(w->ctl, rc, NULL);
}


static int
aiq_ctl_cosign_end(aiq_ctl_cosign_t *w)
{
    json_t    *o;
    unsigned   n;

    n = aiq_ctl_cosign_count(w);

    if (n < (unsigned) w->require) {
        return aiq_ctl_no(w->ctl, AIQ_OK, "%u of %u witnesses have cosigned,"
                          " %lld are required", n, w->n,
                          (long long) w->require);
    }

    if (!w->ctl->json) {
        printf("%llu records, cosigned by %u of %u witnesses\n",
               (unsigned long long) w->tree.checkpoint.size, n, w->n);

        return AIQ_CTL_OK;
    }

    o = json_object();

    aiq_ctl_jset(w->ctl, o, "ok", json_true());
    aiq_ctl_jset(w->ctl, o, "size",
                 json_integer((json_int_t) w->tree.checkpoint.size));
    aiq_ctl_jset(w->ctl, o, "cosigned", json_integer((json_int_t) n));
    aiq_ctl_jset(w->ctl, o, "witnesses", json_integer((json_int_t) w->n));

    return aiq_ctl_jprint(w->ctl, o);
}
