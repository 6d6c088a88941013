
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Requests for the tests of the decision: good in all but what a test
 * changes, in six ways to say the same.
 */


#ifndef _AIQ_DECIDE_TEST_H_INCLUDED_
#define _AIQ_DECIDE_TEST_H_INCLUDED_


#include "decide_world.h"


#define ROOM      (1024 * 1024)

#define A         "{\"path\":\"/a\"}"
#define B         "{\"path\":\"/b\"}"


/* ways to say the same */

#define BARE      0x01      /* native: a JWS in Authorization, no key */
#define NATIVE    0x02      /* native: the same, and the key in X-API-Key */
#define INTENT    0x04      /* native: key in Authorization, X-ArmorIQ-Intent */
#define META      0x08      /* native: key in Authorization, token in _meta */
#define INVOKE    0x10      /* invoke: an IAP object in the envelope */
#define STRING    0x20      /* invoke: a JWS in the envelope */

#define MCP       (BARE|NATIVE|INTENT|META)
#define ENVELOPE  (INVOKE|STRING)
#define JWS       (MCP|STRING)
#define KEYED     (ALL & ~BARE)
#define ALL       0x3f


/* what a request has that a good one has not; NULL: as in the good one */

typedef struct {
    const char         *http;
    const char         *type;
    const char         *encoding;
    const char         *upgrade;
    const char         *auth;
    const char         *key;
    const char         *token;
    const char         *intent;
    const char         *protocol;
    const char         *name;         /* Mcp-Name */
    const char         *path;
    const char         *proof;
    const char         *digest;
    const char         *step;
    const char         *mcp;
    const char         *tool;
    const char         *args;
    const char         *body;
    const char         *more;         /* members of envelope or of _meta */
    const char         *claim;        /* of the token */
    const char         *value;        /* its JSON, none: left out */
    const char         *claim2;       /* and another one */
    const char         *value2;
    const char         *header;       /* of the JWS */
    int                 dup;
    int                 query;
    int                 has_body;
    int                 no_body;
    int                 forge;        /* a bit of the signature */
    int                 params;
    int                 reuse;        /* steps may be used again */
    int                 later;        /* seconds */
    int                 org;          /* 1: that of the other one */
} change_t;


static const char        none[] = "";

static aiq_request_t     rq;
static aiq_decision_t    d;
static aiq_mem_t         mem;
static aiq_mem_t         made;        /* what requests are made of */
static aiq_json_t        body;
static unsigned char     room[ROOM], made_room[ROOM];


static aiq_str_t make_claims(const tenant_t *t, const change_t *c);
static aiq_str_t make_jws(const tenant_t *t, const change_t *c);
static aiq_str_t make_iap(const tenant_t *t, const change_t *c);
static void make(tenant_t *t, unsigned kind, const change_t *c);
static aiq_rc_t decide(void);
static aiq_rc_t run(tenant_t *t, unsigned kind, const change_t *c);


/* text of any length, for as long as the request lives */

__attribute__((format(printf, 1, 2)))
static const char *
text(const char *fmt, ...)
{
    int          n;
    va_list      args;
    aiq_str_t    s;

    static char  buf[65536];

    va_start(args, fmt);
    n = vsnprintf(buf, sizeof(buf), fmt, args);
    va_end(args);

    if (n < 0 || n >= (int) sizeof(buf)
        || aiq_mem_dup(&made, S(buf), &s) != AIQ_OK)
    {
        printf("Bail out! a request is too long\n");
        exit(1);
    }

    return (const char *) s.data;
}


static const char *
hash_hex(const unsigned char *hash, size_t len)
{
    char       *p;
    aiq_out_t   out;

    p = aiq_mem_calloc(&made, 2 * len + 1);

    aiq_out_init(&out, p, 2 * len);
    aiq_out_hex(&out, hash, len);

    return p;
}


/* NULL if it is as in a good one */

static const char *
changed(const change_t *c, const char *name)
{
    if (c->claim != NULL && strcmp(c->claim, name) == 0) {
        return c->value;
    }

    if (c->claim2 != NULL && strcmp(c->claim2, name) == 0) {
        return c->value2;
    }

    return NULL;
}


static const char *
claim_of(const change_t *c, const char *name, const char *value)
{
    const char  *s;

    s = changed(c, name);

    return s ? s : value;
}


/* without the quotes, brackets or braces around it */

static const char *
inner(const char *value)
{
    return text("%.*s", (int) strlen(value) - 2, value + 1);
}


static aiq_str_t
make_claims(const tenant_t *t, const change_t *c)
{
    int          found;
    size_t       i;
    const char  *s, *value;

    const char *const  claims[][2] = {
        { "iss", "\"armoriq\"" },
        { "aud", "\"armoriq-proxy\"" },
        { "sub", "\"alice\"" },
        { "org", text("\"%s\"", t->name) },
        { "agent", "\"sysadmin\"" },
        { "iat", text("%d", NOW - 10) },
        { "exp", text("%d", LATE) },
        { "jti", "\"j-1\"" },
        { "plan_hash", text("\"%s\"", hash_hex(plan_hash, AIQ_HASH_LEN)) },
        { "steps", text("%d", STEPS) }
    };

    found = 0;
    s = "{\"v\":1";

    for (i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
        found |= (changed(c, claims[i][0]) != NULL);
        value = claim_of(c, claims[i][0], claims[i][1]);

        if (value != none) {
            s = text("%s,\"%s\":%s", s, claims[i][0], value);
        }
    }

    if (c->claim && !found) {
        s = text("%s,\"%s\":%s", s, c->claim, c->value);
    }

    return S(text("%s}", s));
}


/* any header and any claims, with a good signature */

static aiq_str_t
make_jws(const tenant_t *t, const change_t *c)
{
    char           *p;
    size_t          size;
    aiq_out_t       out;
    aiq_str_t       claims, header, input;
    unsigned char   sig[AIQ_SIG_LEN];

    claims = make_claims(t, c);
    header = S(c->header ? c->header : "{\"alg\":\"EdDSA\",\"kid\":\"main\","
                                       "\"typ\":\"intent+jwt\"}");

    size = (claims.len + header.len) * 2 + 256;
    p = aiq_mem_calloc(&made, size);

    aiq_out_init(&out, p, size - 1);
    aiq_b64url_encode(&out, header.data, header.len);
    aiq_out_char(&out, '.');
    aiq_b64url_encode(&out, claims.data, claims.len);

    input = aiq_out_done(&out);

    must(aiq_ed25519_sign(crypto, t->seed, input, sig), "sign");

    if (c->forge) {
        sig[c->forge] ^= 1;
    }

    aiq_out_char(&out, '.');
    aiq_b64url_encode(&out, sig, sizeof(sig));

    return S(p);
}


static aiq_str_t
make_iap(const tenant_t *t, const change_t *c)
{
    char        *p, *s;
    size_t       i;
    aiq_out_t    out;
    aiq_hash_t   identity;
    const char  *meta, *value;

    const char *const  metadata[][2] = {
        { "jti", "\"j-1\"" },
        { "org", text("\"%s\"", t->name) },
        { "sub", "\"alice\"" },
        { "agent", "\"sysadmin\"" },
        { "steps", text("%d", STEPS) },
        { "key", none }
    };

    meta = "\"allow\":[\"*\"]";

    if (changed(c, "policy")) {
        meta = inner(changed(c, "policy"));
    }

    for (i = 0; i < sizeof(metadata) / sizeof(metadata[0]); i++) {
        value = claim_of(c, metadata[i][0], metadata[i][1]);

        if (value != none) {
            meta = text("%s,\"%s\":%s", meta, metadata[i][0], value);
        }
    }

    must(aiq_token_identity(crypto, S(inner(claim_of(c, "sub", "'alice'"))),
                            S(inner(claim_of(c, "agent", "'sysadmin'"))),
                            S("default"), plan_hash, identity), "identity");

    p = aiq_mem_calloc(&made, 8192);

    aiq_out_init(&out, p, 8191);

    must(aiq_token_sign_iap(&out,
             S(text("{\"version\":\"IAP-0.1\",\"plan_hash\":%s,"
                    "\"issued_at\":%s,\"expires_at\":%s,\"identity\":\"%s\","
                    "\"public_key\":\"%s\","
                    "\"policy\":{\"global\":{\"metadata\":{%s}}}}",
                    claim_of(c, "plan_hash",
                             text("\"%s\"", hash_hex(plan_hash,
                                                     AIQ_HASH_LEN))),
                    claim_of(c, "iat", text("%d", NOW - 10)),
                    claim_of(c, "exp", text("%d", LATE)),
                    hash_hex(identity, AIQ_HASH_LEN),
                    hash_hex(t->pub, AIQ_KEY_LEN), meta)),
             t->seed, crypto, &made, &err), "IAP object");

    if (c->forge) {
        s = strstr(p, "\"signature\":\"") + 13 + 2 * c->forge;
        *s = (*s == '0') ? '1' : '0';
    }

    return S(p);
}


static const char *
or_default(const char *changed, const char *value)
{
    return changed ? changed : value;
}


static aiq_str_t
header(const char *value)
{
    aiq_str_t  s;

    s = S(value);

    if (value == none) {
        aiq_str_null(&s);
    }

    return s;
}


static const char *
make_native(unsigned kind, const change_t *c, const char *token)
{
    const char  *meta;

    meta = c->more ? c->more : none;

    if (kind == META && token != none) {
        meta = text("%s%s\"io.armoriq/intent-token\":%s%s%s", meta,
                    *meta ? "," : "", *token == '!' ? "" : "\"",
                    token + (*token == '!'), *token == '!' ? "" : "\"");
    }

    return text("{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\","
                "\"params\":{\"name\":\"%s\",\"arguments\":%s%s}}",
                or_default(c->tool, "read"), or_default(c->args, A),
                *meta ? text(",\"_meta\":{%s}", meta) : "");
}


static const char *
make_envelope(const change_t *c, const char *token)
{
    return text("{\"mcp\":\"%s\",\"action\":\"%s\",\"params\":%s%s%s%s}",
                or_default(c->mcp, "fs"), or_default(c->tool, "read"),
                or_default(c->args, A),
                token != none ? text(",\"token\":%s", token) : "",
                c->more ? "," : "", c->more ? c->more : "");
}


/*
 * A request of this org; whatever tokens and keys say, they are good.  A
 * token that begins with '!' is no string in JSON.
 */

static void
make(tenant_t *t, unsigned kind, const change_t *c)
{
    int          invoke;
    const char  *token, *auth, *key, *intent;

    made.pos = made_room;
    made.end = made_room + ROOM;
    mem.pos = room;
    mem.end = room + ROOM;

    memset(&rq, 0, sizeof(rq));
    memset(room, 0xee, sizeof(room));

    invoke = (kind & ENVELOPE) != 0;

    if (c->token) {
        token = c->token;

    } else {
        token = (const char *) (kind == INVOKE ? make_iap(t, c)
                                               : make_jws(t, c)).data;
    }

    key = (kind & (NATIVE|ENVELOPE)) ? t->secret : none;
    auth = none;
    intent = none;

    if (kind & (BARE|NATIVE) && token != none) {
        auth = text("Bearer %s", token);

    } else if (kind & (INTENT|META)) {
        auth = text("Bearer %s", t->secret);
        intent = (kind == INTENT) ? token : none;
    }

    if (kind == STRING && token != none) {
        token = text("\"%s\"", token);
    }

    rq.invoke = invoke;
    rq.authorization = header(or_default(c->auth, auth));
    rq.x_api_key = header(or_default(c->key, key));
    rq.x_intent = header(or_default(c->intent, intent));
    rq.http = S(or_default(c->http, "POST"));
    rq.version = 1001;
    rq.content_type = header(or_default(c->type, "application/json"));
    rq.content_encoding = header(or_default(c->encoding, none));
    rq.upgrade = header(or_default(c->upgrade, none));
    rq.mirror.protocol = header(or_default(c->protocol, none));
    rq.mirror.name = header(or_default(c->name, none));
    rq.path = header(or_default(c->path, none));
    rq.proof = header(or_default(c->proof, none));
    rq.digest = header(or_default(c->digest, none));
    rq.step = header(or_default(c->step, none));
    rq.duplicate = c->dup;
    rq.query_token = c->query;
    rq.has_body = c->has_body;

    if (!invoke) {
        rq.mcp = S(or_default(c->mcp, "fs"));
    }

    rq.source.family = 4;
    memcpy(rq.source.addr, "\xc0\x00\x02\x07", 4);

    rq.token.now = NOW + c->later;
    rq.token.skew = 30;
    rq.token.lifetime = 300;
    rq.token.issuer = AIQ_TOKEN_ISSUER;
    rq.token.audience = AIQ_TOKEN_AUDIENCE;

    rq.params = c->params;
    rq.uses = !c->reuse;
    rq.ruleset = ops_ruleset;
    rq.ops = &ops;
    rq.crypto = crypto;
    rq.mem = &mem;

    if (!c->no_body && strcmp(or_default(c->http, "POST"), "POST") == 0) {
        must(aiq_json_parse(&body,
                 S(c->body ? c->body : invoke ? make_envelope(c, token)
                                              : make_native(kind, c, token)),
                 AIQ_JSON_DEPTH, &made, &err), "body");

        rq.body = &body;
    }
}


/* the verdict on rq; mem is where it was */

static aiq_rc_t
decide(void)
{
    rq.memo = memo;
    rq.txn = must_begin(store, 0);

    memset(&d, 0xbb, sizeof(d));

    aiq_decide(&d, &rq);
    aiq_store_abort(rq.txn);

    /* the two that must never part */

    if ((d.verdict == AIQ_VERDICT_PERMIT) != (d.rc == AIQ_OK)
        || (d.rc != AIQ_OK && d.reserved)
        || (d.rc != AIQ_OK && !aiq_is_denied(d.rc) && !aiq_is_fault(d.rc)))
    {
        ok(0, "verdict %d with %s, reserved %d", d.verdict,
           aiq_reason(d.rc), d.reserved);
    }

    return d.rc;
}


static aiq_rc_t
run(tenant_t *t, unsigned kind, const change_t *c)
{
    make(t, kind, c);

    return decide();
}


/* like ok(), with what came instead */

__attribute__((format(printf, 3, 4)))
static int
same_rc(aiq_rc_t got, aiq_rc_t want, const char *fmt, ...)
{
    char     buf[512];
    va_list  args;

    va_start(args, fmt);
    vsnprintf(buf, sizeof(buf), fmt, args);
    va_end(args);

    if (!ok(got == want, "%s: %s", buf, aiq_reason(want))) {
        diag("got %s, \"%s\"", aiq_reason(got), d.err.text);
        return 0;
    }

    return 1;
}


#endif /* _AIQ_DECIDE_TEST_H_INCLUDED_ */
