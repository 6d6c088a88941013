
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The IAP object of the published SDKs: which bytes are signed, and what of
 * them we read.  Members outside those bytes may be anybody's.
 */


#include <string.h>

#include "token_internal.h"


/* when a member is among the signed ones */

typedef enum {
    AIQ_MEMBER_ALWAYS = 0,
    AIQ_MEMBER_TRUTHY,
    AIQ_MEMBER_SIGNATURE
} aiq_token_member_e;


static aiq_rc_t aiq_token_iap(aiq_token_t *t, const aiq_json_t *doc,
    uint32_t i, aiq_crypto_t *c, aiq_mem_t *mem, aiq_err_t *err);
static aiq_rc_t aiq_token_iap_limits(const aiq_json_t *doc, uint32_t i,
    aiq_err_t *err);
static aiq_rc_t aiq_token_iap_fields(aiq_token_t *t, const aiq_claims_t *cl);
static aiq_rc_t aiq_token_iap_metadata(const aiq_claims_t *cl,
    uint32_t *metadata);
static aiq_rc_t aiq_token_iap_owner(aiq_token_t *t, const aiq_claims_t *cl,
    aiq_crypto_t *c);
static aiq_rc_t aiq_token_iap_texts(aiq_token_t *t, const aiq_claims_t *cl,
    uint32_t metadata);
static int aiq_token_iap_binding(const aiq_json_t *doc, uint32_t key,
    void *data);
static int aiq_token_truthy(const aiq_json_t *doc, uint32_t i);


aiq_rc_t
aiq_token_read_iap(aiq_token_t *t, const aiq_json_t *doc, uint32_t i,
    aiq_crypto_t *c, aiq_mem_t *mem, aiq_err_t *err)
{
    unsigned char  *pos;

    memset(t, 0, sizeof(aiq_token_t));

    pos = mem->pos;

    return aiq_token_done(t, aiq_token_iap(t, doc, i, c, mem, err), mem, pos);
}


static aiq_rc_t
aiq_token_iap(aiq_token_t *t, const aiq_json_t *doc, uint32_t i,
    aiq_crypto_t *c, aiq_mem_t *mem, aiq_err_t *err)
{
    aiq_rc_t      rc;
    uint32_t      metadata;
    aiq_claims_t  cl;

    rc = aiq_token_iap_limits(doc, i, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    t->form = AIQ_TOKEN_IAP;

    metadata = AIQ_JSON_NONE;

    cl.doc = doc;
    cl.obj = i;
    cl.mem = mem;
    cl.err = err;

    if ((rc = aiq_token_iap_fields(t, &cl)) != AIQ_OK
        || (rc = aiq_token_iap_metadata(&cl, &metadata)) != AIQ_OK
        || (rc = aiq_token_iap_texts(t, &cl, metadata)) != AIQ_OK)
    {
        return rc;
    }

    cl.obj = metadata;

    rc = aiq_token_iap_owner(t, &cl, c);
    if (rc != AIQ_OK) {
        return rc;
    }

    return aiq_sha256(c, t->signed_text, t->id);
}


/* the body it came in may be longer and deeper than a token */

static aiq_rc_t
aiq_token_iap_limits(const aiq_json_t *doc, uint32_t i, aiq_err_t *err)
{
    uint32_t  k;

    if (aiq_json_type(doc, i) != AIQ_JSON_OBJECT) {
        return aiq_fail(err, AIQ_D_TOKEN_MALFORMED,
                        "the token is not an object");
    }

    if (aiq_json_raw(doc, i).len > AIQ_TOKEN_MAX) {
        return aiq_fail(err, AIQ_D_TOKEN_MALFORMED,
                        "the token is longer than %d bytes", AIQ_TOKEN_MAX);
    }

    for (k = i; k < doc->tok[i].next; k++) {

        if (doc->tok[k].type != AIQ_JSON_OBJECT
            && doc->tok[k].type != AIQ_JSON_ARRAY)
        {
            continue;
        }

        if (doc->tok[k].depth - doc->tok[i].depth >= AIQ_TOKEN_DEPTH) {
            return aiq_fail(err, AIQ_D_TOKEN_MALFORMED,
                            "the token is nested deeper than %d",
                            AIQ_TOKEN_DEPTH);
        }
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_token_iap_fields(aiq_token_t *t, const aiq_claims_t *cl)
{
    aiq_rc_t           rc;
    const aiq_json_t  *doc;

    doc = cl->doc;

    if (!aiq_json_is(doc, aiq_json_get(doc, cl->obj, "version"),
                     AIQ_TOKEN_VERSION))
    {
        return aiq_fail(cl->err, AIQ_D_TOKEN_TYPE, "version is not \"%s\"",
                        AIQ_TOKEN_VERSION);
    }

    if (aiq_token_truthy(doc, aiq_json_get(doc, cl->obj,
                                           "allowed_operations"))
        || aiq_token_truthy(doc, aiq_json_get(doc, cl->obj,
                                              "resource_scope")))
    {
        return aiq_fail(cl->err, AIQ_D_TOKEN_CLAIMS,
                        "allowed_operations and resource_scope are not "
                        "supported");
    }

    rc = aiq_claim_hex(cl, "signature", t->signature, AIQ_SIG_LEN);

    if (aiq_is_denied(rc)) {
        return aiq_fail(cl->err, AIQ_D_TOKEN_MALFORMED,
                        "the signature is not %d lower-case digits",
                        2 * AIQ_SIG_LEN);
    }

    if (rc != AIQ_OK) {
        return rc;
    }

    if ((rc = aiq_claim_hex(cl, "plan_hash", t->plan_hash, AIQ_HASH_LEN))
        != AIQ_OK
        || (rc = aiq_claim_hex(cl, "identity", t->identity, AIQ_HASH_LEN))
           != AIQ_OK
        || (rc = aiq_claim_hex(cl, "public_key", t->public_key, AIQ_KEY_LEN))
           != AIQ_OK
        || (rc = aiq_claim_int(cl, "issued_at", 0, AIQ_TIME_MAX, &t->iat))
           != AIQ_OK
        || (rc = aiq_claim_int(cl, "expires_at", 0, AIQ_TIME_MAX, &t->exp))
           != AIQ_OK)
    {
        return rc;
    }

    t->nbf = t->iat;
    t->has_public = 1;

    return AIQ_OK;
}


/* policy.global.metadata, and nothing beside it */

static aiq_rc_t
aiq_token_iap_metadata(const aiq_claims_t *cl, uint32_t *metadata)
{
    unsigned           i;
    uint32_t           k;
    const aiq_json_t  *doc;

    static const char  *const  path[] = { "policy", "global", "metadata" };

    doc = cl->doc;
    k = cl->obj;

    for (i = 0; i < 3; i++) {

        if (i && doc->tok[k].n != 1) {
            return aiq_fail(cl->err, AIQ_D_TOKEN_CLAIMS,
                            "%s has other members than %s", path[i - 1],
                            path[i]);
        }

        k = aiq_json_get(doc, k, path[i]);

        if (aiq_json_type(doc, k) != AIQ_JSON_OBJECT) {
            return aiq_fail(cl->err, AIQ_D_TOKEN_CLAIMS,
                            "%s is missing or not an object", path[i]);
        }
    }

    *metadata = k;

    return AIQ_OK;
}


/* what we bind beyond the members of an IAP object; cl is the metadata */

static aiq_rc_t
aiq_token_iap_owner(aiq_token_t *t, const aiq_claims_t *cl, aiq_crypto_t *c)
{
    int64_t     steps;
    aiq_rc_t    rc;
    aiq_str_t   context;
    aiq_hash_t  identity;

    if ((rc = aiq_claim_name(cl, "org", 1, &t->org)) != AIQ_OK
        || (rc = aiq_claim_name(cl, "jti", 1, &t->jti)) != AIQ_OK
        || (rc = aiq_claim_name(cl, "key", 0, &t->key)) != AIQ_OK
        || (rc = aiq_claim_name(cl, "sub", 0, &t->sub)) != AIQ_OK
        || (rc = aiq_claim_name(cl, "agent", 0, &t->agent)) != AIQ_OK
        || (rc = aiq_claim_name(cl, "context", 0, &context)) != AIQ_OK
        || (rc = aiq_claim_int(cl, "steps", 1, AIQ_PLAN_STEPS, &steps))
           != AIQ_OK)
    {
        return rc;
    }

    t->steps = (uint32_t) steps;

    if (t->sub.len == 0 && t->agent.len == 0) {
        return AIQ_OK;
    }

    if (t->sub.len == 0 || t->agent.len == 0) {
        return aiq_fail(cl->err, AIQ_D_TOKEN_CLAIMS,
                        "one of sub and agent without the other");
    }

    if (context.len == 0) {
        aiq_str_set(&context, "default");
    }

    rc = aiq_token_identity(c, t->sub, t->agent, context, t->plan_hash,
                            identity);
    if (rc != AIQ_OK) {
        return aiq_fail(cl->err, rc, "the identity cannot be hashed");
    }

    if (memcmp(identity, t->identity, AIQ_HASH_LEN) != 0) {
        return aiq_fail(cl->err, AIQ_D_TOKEN_CLAIMS,
                        "identity is not that of sub, agent and context");
    }

    return AIQ_OK;
}


/* the signed bytes and the constraints, both as long as memory has room */

static aiq_rc_t
aiq_token_iap_texts(aiq_token_t *t, const aiq_claims_t *cl,
    uint32_t metadata)
{
    aiq_rc_t   rc;
    aiq_out_t  out;

    aiq_out_init(&out, cl->mem->pos, (size_t) (cl->mem->end - cl->mem->pos));

    rc = aiq_token_write_iap(&out, cl->doc, cl->obj, NULL, cl->err);
    if (rc != AIQ_OK) {
        return rc;
    }

    t->signed_text = aiq_out_done(&out);
    cl->mem->pos = out.pos;

    aiq_out_init(&out, cl->mem->pos, (size_t) (cl->mem->end - cl->mem->pos));

    aiq_jcs_write_object(&out, cl->doc, metadata, AIQ_JCS,
                         aiq_token_iap_binding, NULL);
    if (out.failed) {
        return aiq_fail(cl->err, AIQ_E_NO_MEMORY, "no memory for the policy");
    }

    t->policy = aiq_out_done(&out);
    cl->mem->pos = out.pos;

    return AIQ_OK;
}


static int
aiq_token_iap_binding(const aiq_json_t *doc, uint32_t key, void *data)
{
    return aiq_json_is(doc, key, "org")
           || aiq_json_is(doc, key, "jti")
           || aiq_json_is(doc, key, "steps")
           || aiq_json_is(doc, key, "key")
           || aiq_json_is(doc, key, "sub")
           || aiq_json_is(doc, key, "agent")
           || aiq_json_is(doc, key, "context")
           || aiq_json_is(doc, key, "metadata");
}


/* in JavaScript; Python has empty arrays and objects differ */

static int
aiq_token_truthy(const aiq_json_t *doc, uint32_t i)
{
    double  v;

    switch (aiq_json_type(doc, i)) {

    case 0:
    case AIQ_JSON_NULL:
    case AIQ_JSON_FALSE:
        return 0;

    case AIQ_JSON_STRING:
        return doc->tok[i].len != 0;

    case AIQ_JSON_NUMBER:
        return aiq_json_double(doc, i, &v) != AIQ_OK || v != 0;

    default:
        return 1;
    }
}


aiq_rc_t
aiq_token_write_iap(aiq_out_t *out, const aiq_json_t *doc, uint32_t i,
    const unsigned char *sig, aiq_err_t *err)
{
    int       comma;
    unsigned  n;
    uint32_t  k;

    /* in canonical order */

    static const struct {
        const char           *name;
        aiq_token_member_e    kind;
    } members[] = {
        { "allowed_operations", AIQ_MEMBER_TRUTHY },
        { "expires_at", AIQ_MEMBER_ALWAYS },
        { "identity", AIQ_MEMBER_ALWAYS },
        { "issued_at", AIQ_MEMBER_ALWAYS },
        { "plan_hash", AIQ_MEMBER_ALWAYS },
        { "policy", AIQ_MEMBER_ALWAYS },
        { "public_key", AIQ_MEMBER_ALWAYS },
        { "resource_scope", AIQ_MEMBER_TRUTHY },
        { "signature", AIQ_MEMBER_SIGNATURE },
        { "version", AIQ_MEMBER_ALWAYS }
    };

    comma = 0;

    aiq_out_char(out, '{');

    for (n = 0; n < sizeof(members) / sizeof(members[0]); n++) {

        k = aiq_json_get(doc, i, members[n].name);

        switch (members[n].kind) {

        case AIQ_MEMBER_ALWAYS:

            if (k == AIQ_JSON_NONE) {
                return aiq_fail(err, AIQ_D_TOKEN_CLAIMS, "%s is missing",
                                members[n].name);
            }

            break;

        case AIQ_MEMBER_TRUTHY:

            if (!aiq_token_truthy(doc, k)) {
                continue;
            }

            break;

        default: /* AIQ_MEMBER_SIGNATURE */

            if (sig == NULL) {
                continue;
            }
        }

        aiq_out_str(out, comma ? ",\"" : "\"");
        aiq_out_str(out, members[n].name);
        aiq_out_str(out, "\":");

        comma = 1;

        if (members[n].kind == AIQ_MEMBER_SIGNATURE) {
            aiq_out_char(out, '"');
            aiq_out_hex(out, sig, AIQ_SIG_LEN);
            aiq_out_char(out, '"');

        } else {
            aiq_jcs_write(out, doc, k, AIQ_JCS_IAP);
        }
    }

    aiq_out_char(out, '}');

    if (out->failed) {
        return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory for the token");
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_token_identity(aiq_crypto_t *c, aiq_str_t user, aiq_str_t agent,
    aiq_str_t context, const aiq_hash_t plan_hash, aiq_hash_t hash)
{
    aiq_out_t  out;
    aiq_str_t  parts[7];
    char       hex[2 * AIQ_HASH_LEN];

    aiq_out_init(&out, hex, sizeof(hex));
    aiq_out_hex(&out, plan_hash, AIQ_HASH_LEN);

    parts[0] = user;
    parts[1] = aiq_cstr("|");
    parts[2] = agent;
    parts[3] = parts[1];
    parts[4] = context;
    parts[5] = parts[1];
    parts[6] = aiq_out_done(&out);

    return aiq_sha256v(c, parts, 7, hash);
}
