
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Writing the rows of the store: JSON objects of one level, checked before.
 */


#include <string.h>

#include "records.h"


/* the longest row has two texts and four names, all of it escaped */

#define AIQ_RECORDS_ROW    8192
#define AIQ_RECORDS_TRIES  8


static aiq_rc_t aiq_records_org(aiq_str_t org, aiq_err_t *err);
static aiq_rc_t aiq_records_name(const char *what, aiq_str_t s,
    aiq_err_t *err);
static aiq_rc_t aiq_records_name0(const char *what, aiq_str_t s,
    aiq_err_t *err);
static aiq_rc_t aiq_records_text(const char *what, aiq_str_t s,
    aiq_err_t *err);
static aiq_rc_t aiq_records_time_ok(const char *what, int64_t v,
    aiq_err_t *err);
static void aiq_records_put_str(aiq_out_t *out, const char *name,
    aiq_str_t s);
static void aiq_records_put_hex(aiq_out_t *out, const char *name,
    const unsigned char *p, size_t len);
static void aiq_records_put_int(aiq_out_t *out, const char *name, int64_t v);
static void aiq_records_put_flag(aiq_out_t *out, const char *name,
    unsigned v);
static void aiq_records_member(aiq_out_t *out, const char *name);
static aiq_rc_t aiq_records_put(aiq_store_txn_t *txn, aiq_str_t org,
    aiq_store_kind_e kind, aiq_str_t id, aiq_out_t *out, aiq_err_t *err);
static aiq_rc_t aiq_records_key_id(aiq_store_txn_t *txn, aiq_apikey_t *key,
    aiq_mem_t *mem, aiq_err_t *err);
static aiq_rc_t aiq_records_plan_doc(aiq_store_txn_t *txn, aiq_str_t org,
    aiq_str_t id, const aiq_json_t *doc, uint32_t i, aiq_mem_t *mem,
    aiq_err_t *err);


aiq_rc_t
aiq_org_put(aiq_store_txn_t *txn, const aiq_org_t *org, aiq_err_t *err)
{
    aiq_rc_t       rc;
    aiq_out_t      out;
    aiq_str_t      none;
    unsigned char  buf[AIQ_RECORDS_ROW];

    aiq_str_null(&none);

    if ((rc = aiq_records_org(org->name, err)) != AIQ_OK
        || (rc = aiq_records_name0("issuer", org->issuer, err)) != AIQ_OK
        || (rc = aiq_records_time_ok("created", org->created, err))
           != AIQ_OK)
    {
        return rc;
    }

    aiq_out_init(&out, buf, sizeof(buf));

    aiq_records_put_flag(&out, "permit", org->permit);
    aiq_records_put_flag(&out, "active", org->active);
    aiq_records_put_str(&out, "issuer", org->issuer);
    aiq_records_put_int(&out, "created", org->created);

    return aiq_records_put(txn, none, AIQ_STORE_ORG, org->name, &out, err);
}


aiq_rc_t
aiq_user_put(aiq_store_txn_t *txn, aiq_str_t org, const aiq_user_t *user,
    aiq_err_t *err)
{
    aiq_rc_t       rc;
    aiq_out_t      out;
    unsigned char  buf[AIQ_RECORDS_ROW];

    if ((rc = aiq_records_org(org, err)) != AIQ_OK
        || (rc = aiq_records_name("user", user->id, err)) != AIQ_OK
        || (rc = aiq_records_name0("email", user->email, err)) != AIQ_OK
        || (rc = aiq_records_time_ok("created", user->created, err))
           != AIQ_OK)
    {
        return rc;
    }

    aiq_out_init(&out, buf, sizeof(buf));

    aiq_records_put_str(&out, "email", user->email);
    aiq_records_put_flag(&out, "active", user->active);
    aiq_records_put_int(&out, "created", user->created);

    return aiq_records_put(txn, org, AIQ_STORE_USER, user->id, &out, err);
}


aiq_rc_t
aiq_agent_put(aiq_store_txn_t *txn, aiq_str_t org, const aiq_agent_t *agent,
    aiq_err_t *err)
{
    aiq_rc_t       rc;
    aiq_out_t      out;
    unsigned char  buf[AIQ_RECORDS_ROW];

    if ((rc = aiq_records_org(org, err)) != AIQ_OK
        || (rc = aiq_records_name("agent", agent->id, err)) != AIQ_OK
        || (rc = aiq_records_text("description", agent->description, err))
           != AIQ_OK
        || (rc = aiq_records_time_ok("created", agent->created, err))
           != AIQ_OK)
    {
        return rc;
    }

    aiq_out_init(&out, buf, sizeof(buf));

    aiq_records_put_str(&out, "description", agent->description);
    aiq_records_put_flag(&out, "active", agent->active);
    aiq_records_put_int(&out, "created", agent->created);

    return aiq_records_put(txn, org, AIQ_STORE_AGENT, agent->id, &out, err);
}


aiq_rc_t
aiq_apikey_put(aiq_store_txn_t *txn, const aiq_apikey_t *key, aiq_err_t *err)
{
    aiq_rc_t       rc;
    aiq_out_t      out;
    unsigned char  buf[AIQ_RECORDS_ROW];

    if ((rc = aiq_records_org(key->org, err)) != AIQ_OK
        || (rc = aiq_records_name("key", key->id, err)) != AIQ_OK
        || (rc = aiq_records_name0("user", key->user, err)) != AIQ_OK
        || (rc = aiq_records_name0("agent", key->agent, err)) != AIQ_OK
        || (rc = aiq_records_text("note", key->note, err)) != AIQ_OK
        || (rc = aiq_records_time_ok("created", key->created, err)) != AIQ_OK
        || (rc = aiq_records_time_ok("expires", key->expires, err)) != AIQ_OK)
    {
        return rc;
    }

    aiq_out_init(&out, buf, sizeof(buf));

    aiq_records_put_str(&out, "user", key->user);
    aiq_records_put_str(&out, "agent", key->agent);
    aiq_records_put_str(&out, "note", key->note);
    aiq_records_put_flag(&out, "active", key->active);
    aiq_records_put_int(&out, "created", key->created);
    aiq_records_put_int(&out, "expires", key->expires);

    return aiq_records_put(txn, key->org, AIQ_STORE_KEY, key->id, &out, err);
}


aiq_rc_t
aiq_server_put(aiq_store_txn_t *txn, aiq_str_t org,
    const aiq_server_t *server, aiq_err_t *err)
{
    aiq_rc_t       rc;
    aiq_out_t      out;
    unsigned char  buf[AIQ_RECORDS_ROW];

    if ((rc = aiq_records_org(org, err)) != AIQ_OK
        || (rc = aiq_records_name("mcp", server->name, err)) != AIQ_OK
        || (rc = aiq_records_text("description", server->description, err))
           != AIQ_OK
        || (rc = aiq_records_time_ok("created", server->created, err))
           != AIQ_OK)
    {
        return rc;
    }

    aiq_out_init(&out, buf, sizeof(buf));

    aiq_records_put_str(&out, "description", server->description);
    aiq_records_put_flag(&out, "active", server->active);
    aiq_records_put_int(&out, "created", server->created);

    return aiq_records_put(txn, org, AIQ_STORE_MCP, server->name, &out, err);
}


aiq_rc_t
aiq_issuer_put(aiq_store_txn_t *txn, aiq_str_t org,
    const aiq_issuer_t *issuer, aiq_err_t *err)
{
    aiq_rc_t       rc;
    aiq_out_t      out;
    aiq_mem_t      mem;
    aiq_issuer_t   other;
    unsigned char  buf[AIQ_RECORDS_ROW];

    if ((rc = aiq_records_org(org, err)) != AIQ_OK
        || (rc = aiq_records_name("issuer", issuer->kid, err)) != AIQ_OK
        || (rc = aiq_records_time_ok("created", issuer->created, err))
           != AIQ_OK)
    {
        return rc;
    }

    if (issuer->kid.len > AIQ_KID_MAX) {
        return aiq_fail(err, AIQ_E_INTERNAL, "a kid has at most %d bytes",
                        AIQ_KID_MAX);
    }

    rc = aiq_ed25519_check_public(issuer->public_key);

    if (rc != AIQ_OK) {
        return aiq_fail(err, rc, "this public key is not safe to use");
    }

    /* switched off under one name it must not live on under another */

    mem.pos = buf;
    mem.end = buf + sizeof(buf);

    rc = aiq_issuer_find(txn, org, issuer->public_key, &other, &mem);

    if (rc == AIQ_OK && !aiq_str_eq(other.kid, issuer->kid)) {
        return aiq_fail(err, AIQ_D_TOKEN_KEY,
                        "the issuer \"%.*s\" has this public key already",
                        (int) other.kid.len, (const char *) other.kid.data);
    }

    if (rc != AIQ_OK && rc != AIQ_DECLINED) {
        return aiq_fail(err, rc, "the issuers of the org cannot be read");
    }

    aiq_out_init(&out, buf, sizeof(buf));

    aiq_records_put_hex(&out, "public_key", issuer->public_key, AIQ_KEY_LEN);
    aiq_records_put_flag(&out, "active", issuer->active);
    aiq_records_put_int(&out, "created", issuer->created);

    return aiq_records_put(txn, org, AIQ_STORE_ISSUER, issuer->kid, &out,
                           err);
}


aiq_rc_t
aiq_issued_put(aiq_store_txn_t *txn, aiq_str_t org, const aiq_issued_t *token,
    aiq_err_t *err)
{
    aiq_rc_t       rc;
    aiq_out_t      out;
    unsigned char  buf[AIQ_RECORDS_ROW];

    if ((rc = aiq_records_org(org, err)) != AIQ_OK
        || (rc = aiq_records_name("jti", token->jti, err)) != AIQ_OK
        || (rc = aiq_records_name0("plan_id", token->plan_id, err)) != AIQ_OK
        || (rc = aiq_records_name0("user", token->user, err)) != AIQ_OK
        || (rc = aiq_records_name0("agent", token->agent, err)) != AIQ_OK
        || (rc = aiq_records_name0("key", token->key, err)) != AIQ_OK
        || (rc = aiq_records_name0("kid", token->kid, err)) != AIQ_OK
        || (rc = aiq_records_time_ok("iat", token->iat, err)) != AIQ_OK
        || (rc = aiq_records_time_ok("exp", token->exp, err)) != AIQ_OK)
    {
        return rc;
    }

    aiq_out_init(&out, buf, sizeof(buf));

    aiq_records_put_str(&out, "plan_id", token->plan_id);
    aiq_records_put_str(&out, "user", token->user);
    aiq_records_put_str(&out, "agent", token->agent);
    aiq_records_put_str(&out, "key", token->key);
    aiq_records_put_str(&out, "kid", token->kid);
    aiq_records_put_hex(&out, "plan_hash", token->plan_hash, AIQ_HASH_LEN);
    aiq_records_put_int(&out, "iat", token->iat);
    aiq_records_put_int(&out, "exp", token->exp);

    return aiq_records_put(txn, org, AIQ_STORE_TOKEN, token->jti, &out, err);
}


aiq_rc_t
aiq_token_revoke(aiq_store_txn_t *txn, aiq_str_t org, aiq_str_t jti,
    int64_t now, aiq_err_t *err)
{
    aiq_rc_t       rc;
    aiq_out_t      out;
    unsigned char  buf[64];

    if ((rc = aiq_records_org(org, err)) != AIQ_OK
        || (rc = aiq_records_name("jti", jti, err)) != AIQ_OK
        || (rc = aiq_records_time_ok("at", now, err)) != AIQ_OK)
    {
        return rc;
    }

    aiq_out_init(&out, buf, sizeof(buf));

    aiq_records_put_int(&out, "at", now);

    return aiq_records_put(txn, org, AIQ_STORE_REVOKED, jti, &out, err);
}


aiq_rc_t
aiq_policy_put(aiq_store_txn_t *txn, aiq_str_t org, aiq_str_t name,
    aiq_str_t text, aiq_err_t *err)
{
    aiq_rc_t  rc;

    if ((rc = aiq_records_org(org, err)) != AIQ_OK
        || (rc = aiq_records_name("policy", name, err)) != AIQ_OK)
    {
        return rc;
    }

    if (text.len == 0) {
        return aiq_fail(err, AIQ_D_POLICY_INVALID, "the policy is empty");
    }

    return aiq_store_put(txn, org, AIQ_STORE_POLICY, name, text, err);
}


aiq_rc_t
aiq_apikey_create(aiq_store_txn_t *txn, aiq_apikey_t *key,
    char secret[AIQ_APIKEY_LEN + 1], aiq_crypto_t *c, aiq_mem_t *mem,
    aiq_err_t *err)
{
    aiq_rc_t       rc;
    aiq_out_t      out;
    unsigned char  p[32];

    memset(secret, 0, AIQ_APIKEY_LEN + 1);

    rc = aiq_random(p, sizeof(p));

    if (rc != AIQ_OK) {
        return aiq_fail(err, rc, "no random bytes");
    }

    aiq_out_init(&out, secret, AIQ_APIKEY_LEN);
    aiq_out_str(&out, AIQ_APIKEY_PREFIX);
    aiq_out_hex(&out, p, sizeof(p));

    aiq_wipe(p, sizeof(p));

    rc = aiq_apikey_import(txn, key, aiq_out_done(&out), c, mem, err);

    if (rc != AIQ_OK) {
        aiq_wipe(secret, AIQ_APIKEY_LEN + 1);
    }

    return rc;
}


aiq_rc_t
aiq_apikey_import(aiq_store_txn_t *txn, aiq_apikey_t *key, aiq_str_t secret,
    aiq_crypto_t *c, aiq_mem_t *mem, aiq_err_t *err)
{
    aiq_rc_t       rc;
    aiq_out_t      out;
    aiq_str_t      none, id, value;
    unsigned char  hash[AIQ_HASH_LEN], buf[2048];

    aiq_str_null(&none);

    if (!aiq_apikey_form(secret)) {
        return aiq_fail(err, AIQ_D_KEY_INVALID,
                        "an API key is ak_live_, ak_test_ or ak_claw_ and 1 "
                        "to %d printable characters", AIQ_APIKEY_TAIL);
    }

    rc = aiq_sha256(c, secret, hash);

    if (rc != AIQ_OK) {
        return aiq_fail(err, rc, "the API key cannot be hashed");
    }

    id.data = hash;
    id.len = AIQ_HASH_LEN;

    /* whoever brings the key of another org along must not take it over */

    rc = aiq_store_get(txn, none, AIQ_STORE_KEYHASH, id, &value);

    if (rc == AIQ_OK) {
        return aiq_fail(err, AIQ_D_KEY_INVALID,
                        "this API key is registered already");
    }

    if (rc != AIQ_DECLINED) {
        return aiq_fail(err, rc, "the API keys cannot be read");
    }

    rc = aiq_records_org(key->org, err);

    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_records_key_id(txn, key, mem, err);

    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_apikey_put(txn, key, err);

    if (rc != AIQ_OK) {
        return rc;
    }

    aiq_out_init(&out, buf, sizeof(buf));

    aiq_records_put_str(&out, "org", key->org);
    aiq_records_put_str(&out, "id", key->id);

    return aiq_records_put(txn, none, AIQ_STORE_KEYHASH, id, &out, err);
}


static aiq_rc_t
aiq_records_key_id(aiq_store_txn_t *txn, aiq_apikey_t *key, aiq_mem_t *mem,
    aiq_err_t *err)
{
    unsigned        i;
    aiq_rc_t        rc;
    aiq_out_t       out;
    aiq_str_t       value;
    unsigned char   p[6];
    unsigned char  *id;

    id = aiq_mem_alloc(mem, AIQ_KEY_ID_LEN + 1);
    if (id == NULL) {
        return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory");
    }

    for (i = 0; i < AIQ_RECORDS_TRIES; i++) {
        rc = aiq_random(p, sizeof(p));

        if (rc != AIQ_OK) {
            return aiq_fail(err, rc, "no random bytes");
        }

        aiq_out_init(&out, id, AIQ_KEY_ID_LEN);
        aiq_out_str(&out, "key_");
        aiq_out_hex(&out, p, sizeof(p));

        id[AIQ_KEY_ID_LEN] = '\0';

        key->id = aiq_out_done(&out);

        rc = aiq_store_get(txn, key->org, AIQ_STORE_KEY, key->id, &value);

        if (rc == AIQ_DECLINED) {
            return AIQ_OK;
        }

        if (rc != AIQ_OK) {
            return aiq_fail(err, rc, "the API keys cannot be read");
        }
    }

    return aiq_fail(err, AIQ_E_INTERNAL, "no free id for an API key");
}


aiq_rc_t
aiq_plan_put(aiq_store_txn_t *txn, aiq_str_t org, const aiq_plan_t *plan,
    const aiq_json_t *doc, uint32_t i, aiq_mem_t *mem, aiq_err_t *err)
{
    aiq_rc_t   rc;
    aiq_out_t  out;
    aiq_str_t  id, value;

    rc = aiq_records_org(org, err);

    if (rc != AIQ_OK) {
        return rc;
    }

    id.data = plan->root;
    id.len = AIQ_HASH_LEN;

    rc = aiq_store_get(txn, org, AIQ_STORE_PLAN, id, &value);

    if (rc == AIQ_DECLINED) {

        /* the rest of mem is only borrowed */

        aiq_out_init(&out, mem->pos, (size_t) (mem->end - mem->pos));
        aiq_plan_pack(&out, plan);

        if (out.failed) {
            return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory for the plan");
        }

        rc = aiq_store_put(txn, org, AIQ_STORE_PLAN, id, aiq_out_done(&out),
                           err);

        if (rc != AIQ_OK) {
            return rc;
        }
    }

    if (rc != AIQ_OK) {
        return aiq_fail(err, rc, "the plans of the org cannot be read");
    }

    return aiq_records_plan_doc(txn, org, id, doc, i, mem, err);
}


static aiq_rc_t
aiq_records_plan_doc(aiq_store_txn_t *txn, aiq_str_t org, aiq_str_t id,
    const aiq_json_t *doc, uint32_t i, aiq_mem_t *mem, aiq_err_t *err)
{
    aiq_rc_t   rc;
    aiq_out_t  out;
    aiq_str_t  value;

    rc = aiq_store_get(txn, org, AIQ_STORE_PLANDOC, id, &value);

    if (rc == AIQ_OK) {
        return AIQ_OK;
    }

    if (rc != AIQ_DECLINED) {
        return aiq_fail(err, rc, "the plans of the org cannot be read");
    }

    aiq_out_init(&out, mem->pos, (size_t) (mem->end - mem->pos));
    aiq_jcs_write(&out, doc, i, AIQ_JCS);

    if (out.failed) {
        return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory for the plan");
    }

    return aiq_store_put(txn, org, AIQ_STORE_PLANDOC, id, aiq_out_done(&out),
                         err);
}


static aiq_rc_t
aiq_records_org(aiq_str_t org, aiq_err_t *err)
{
    if (org.len > AIQ_STORE_ORG_MAX) {
        return aiq_fail(err, AIQ_E_INTERNAL,
                        "the name of an org has at most %d bytes",
                        AIQ_STORE_ORG_MAX);
    }

    return aiq_records_name("org", org, err);
}


static aiq_rc_t
aiq_records_name(const char *what, aiq_str_t s, aiq_err_t *err)
{
    if (aiq_name_ok(s)) {
        return AIQ_OK;
    }

    return aiq_fail(err, AIQ_E_INTERNAL,
                    "%s: not a name of 1 to %d bytes of UTF-8 without "
                    "control characters", what, AIQ_NAME_MAX);
}


static aiq_rc_t
aiq_records_name0(const char *what, aiq_str_t s, aiq_err_t *err)
{
    return (s.len == 0) ? AIQ_OK : aiq_records_name(what, s, err);
}


static aiq_rc_t
aiq_records_text(const char *what, aiq_str_t s, aiq_err_t *err)
{
    size_t    i, n;
    uint32_t  code;

    i = 0;

    while (i < s.len && s.len <= AIQ_TEXT_MAX) {
        n = aiq_utf8(s.data + i, s.len - i, &code);

        if (n == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0)) {
            break;
        }

        i += n;
    }

    if (i == s.len) {
        return AIQ_OK;
    }

    return aiq_fail(err, AIQ_E_INTERNAL,
                    "%s: not a text of at most %d bytes of UTF-8 without "
                    "control characters", what, AIQ_TEXT_MAX);
}


static aiq_rc_t
aiq_records_time_ok(const char *what, int64_t v, aiq_err_t *err)
{
    if (v >= 0 && v <= AIQ_TIME_MAX) {
        return AIQ_OK;
    }

    return aiq_fail(err, AIQ_E_INTERNAL, "%s: not a time", what);
}


static void
aiq_records_put_str(aiq_out_t *out, const char *name, aiq_str_t s)
{
    aiq_records_member(out, name);
    aiq_out_json(out, s);
}


static void
aiq_records_put_hex(aiq_out_t *out, const char *name, const unsigned char *p,
    size_t len)
{
    aiq_records_member(out, name);
    aiq_out_char(out, '"');
    aiq_out_hex(out, p, len);
    aiq_out_char(out, '"');
}


static void
aiq_records_put_int(aiq_out_t *out, const char *name, int64_t v)
{
    aiq_records_member(out, name);
    aiq_out_int(out, v);
}


static void
aiq_records_put_flag(aiq_out_t *out, const char *name, unsigned v)
{
    aiq_records_member(out, name);
    aiq_out_str(out, v ? "true" : "false");
}


static void
aiq_records_member(aiq_out_t *out, const char *name)
{
    aiq_out_str(out, (out->pos == out->start) ? "{\"" : ",\"");
    aiq_out_str(out, name);
    aiq_out_str(out, "\":");
}


static aiq_rc_t
aiq_records_put(aiq_store_txn_t *txn, aiq_str_t org, aiq_store_kind_e kind,
    aiq_str_t id, aiq_out_t *out, aiq_err_t *err)
{
    aiq_out_char(out, '}');

    if (out->failed) {
        return aiq_fail(err, AIQ_E_INTERNAL, "the row is too long");
    }

    return aiq_store_put(txn, org, kind, id, aiq_out_done(out), err);
}
