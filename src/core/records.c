
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Reading the rows of the store; writing is in records_put.c.
 */


#include <string.h>

#include "b64.h"
#include "records.h"


#define AIQ_RECORDS_DEPTH  4


typedef struct {
    const unsigned char  *public_key;
    aiq_issuer_t         *issuer;
    aiq_mem_t            *mem;
    unsigned              found:1;
} aiq_records_find_t;


static aiq_rc_t aiq_records_get(aiq_store_txn_t *txn, aiq_str_t org,
    aiq_store_kind_e kind, aiq_str_t id, aiq_json_t *doc, aiq_mem_t *mem);
static aiq_rc_t aiq_records_parse(aiq_str_t text, aiq_json_t *doc,
    aiq_mem_t *mem);
static aiq_rc_t aiq_records_str(const aiq_json_t *doc, const char *name,
    aiq_str_t *s, aiq_mem_t *mem);
static aiq_rc_t aiq_records_flag(const aiq_json_t *doc, const char *name,
    unsigned *v);
static aiq_rc_t aiq_records_time(const aiq_json_t *doc, const char *name,
    int64_t *v);
static aiq_rc_t aiq_records_hex(const aiq_json_t *doc, const char *name,
    unsigned char *p, size_t len);
static aiq_rc_t aiq_records_issuer(const aiq_json_t *doc, aiq_str_t kid,
    aiq_issuer_t *issuer, aiq_mem_t *mem);
static aiq_rc_t aiq_records_issuer_is(void *data, aiq_str_t id,
    aiq_str_t value);
static aiq_rc_t aiq_records_owner(aiq_store_txn_t *txn,
    const aiq_apikey_t *key, unsigned *active, aiq_mem_t *mem);


aiq_rc_t
aiq_org_get(aiq_store_txn_t *txn, aiq_str_t name, aiq_org_t *org,
    aiq_mem_t *mem)
{
    aiq_rc_t    rc;
    unsigned    permit, active;
    aiq_str_t   none;
    aiq_json_t  doc;

    memset(org, 0, sizeof(aiq_org_t));

    aiq_str_null(&none);

    rc = aiq_records_get(txn, none, AIQ_STORE_ORG, name, &doc, mem);

    if (rc != AIQ_OK) {
        return rc;
    }

    if ((rc = aiq_mem_dup(mem, name, &org->name)) != AIQ_OK
        || (rc = aiq_records_flag(&doc, "permit", &permit)) != AIQ_OK
        || (rc = aiq_records_flag(&doc, "active", &active)) != AIQ_OK
        || (rc = aiq_records_str(&doc, "issuer", &org->issuer, mem)) != AIQ_OK
        || (rc = aiq_records_time(&doc, "created", &org->created)) != AIQ_OK)
    {
        return rc;
    }

    org->permit = permit;
    org->active = active;

    return AIQ_OK;
}


aiq_rc_t
aiq_user_get(aiq_store_txn_t *txn, aiq_str_t org, aiq_str_t id,
    aiq_user_t *user, aiq_mem_t *mem)
{
    aiq_rc_t    rc;
    unsigned    active;
    aiq_json_t  doc;

    memset(user, 0, sizeof(aiq_user_t));

    rc = aiq_records_get(txn, org, AIQ_STORE_USER, id, &doc, mem);

    if (rc != AIQ_OK) {
        return rc;
    }

    if ((rc = aiq_mem_dup(mem, id, &user->id)) != AIQ_OK
        || (rc = aiq_records_str(&doc, "email", &user->email, mem)) != AIQ_OK
        || (rc = aiq_records_flag(&doc, "active", &active)) != AIQ_OK
        || (rc = aiq_records_time(&doc, "created", &user->created)) != AIQ_OK)
    {
        return rc;
    }

    user->active = active;

    return AIQ_OK;
}


aiq_rc_t
aiq_agent_get(aiq_store_txn_t *txn, aiq_str_t org, aiq_str_t id,
    aiq_agent_t *agent, aiq_mem_t *mem)
{
    aiq_rc_t    rc;
    unsigned    active;
    aiq_json_t  doc;

    memset(agent, 0, sizeof(aiq_agent_t));

    rc = aiq_records_get(txn, org, AIQ_STORE_AGENT, id, &doc, mem);

    if (rc != AIQ_OK) {
        return rc;
    }

    if ((rc = aiq_mem_dup(mem, id, &agent->id)) != AIQ_OK
        || (rc = aiq_records_str(&doc, "description", &agent->description,
                                 mem)) != AIQ_OK
        || (rc = aiq_records_flag(&doc, "active", &active)) != AIQ_OK
        || (rc = aiq_records_time(&doc, "created", &agent->created))
           != AIQ_OK)
    {
        return rc;
    }

    agent->active = active;

    return AIQ_OK;
}


aiq_rc_t
aiq_apikey_get(aiq_store_txn_t *txn, aiq_str_t org, aiq_str_t id,
    aiq_apikey_t *key, aiq_mem_t *mem)
{
    aiq_rc_t    rc;
    unsigned    active;
    aiq_json_t  doc;

    memset(key, 0, sizeof(aiq_apikey_t));

    rc = aiq_records_get(txn, org, AIQ_STORE_KEY, id, &doc, mem);

    if (rc != AIQ_OK) {
        return rc;
    }

    if ((rc = aiq_mem_dup(mem, id, &key->id)) != AIQ_OK
        || (rc = aiq_mem_dup(mem, org, &key->org)) != AIQ_OK
        || (rc = aiq_records_str(&doc, "user", &key->user, mem)) != AIQ_OK
        || (rc = aiq_records_str(&doc, "agent", &key->agent, mem)) != AIQ_OK
        || (rc = aiq_records_str(&doc, "note", &key->note, mem)) != AIQ_OK
        || (rc = aiq_records_flag(&doc, "active", &active)) != AIQ_OK
        || (rc = aiq_records_time(&doc, "created", &key->created)) != AIQ_OK
        || (rc = aiq_records_time(&doc, "expires", &key->expires)) != AIQ_OK)
    {
        return rc;
    }

    key->active = active;

    return AIQ_OK;
}


aiq_rc_t
aiq_server_get(aiq_store_txn_t *txn, aiq_str_t org, aiq_str_t name,
    aiq_server_t *server, aiq_mem_t *mem)
{
    aiq_rc_t    rc;
    unsigned    active;
    aiq_json_t  doc;

    memset(server, 0, sizeof(aiq_server_t));

    rc = aiq_records_get(txn, org, AIQ_STORE_MCP, name, &doc, mem);

    if (rc != AIQ_OK) {
        return rc;
    }

    if ((rc = aiq_mem_dup(mem, name, &server->name)) != AIQ_OK
        || (rc = aiq_records_str(&doc, "description", &server->description,
                                 mem)) != AIQ_OK
        || (rc = aiq_records_flag(&doc, "active", &active)) != AIQ_OK
        || (rc = aiq_records_time(&doc, "created", &server->created))
           != AIQ_OK)
    {
        return rc;
    }

    server->active = active;

    return AIQ_OK;
}


aiq_rc_t
aiq_issuer_get(aiq_store_txn_t *txn, aiq_str_t org, aiq_str_t kid,
    aiq_issuer_t *issuer, aiq_mem_t *mem)
{
    aiq_rc_t    rc;
    aiq_json_t  doc;

    memset(issuer, 0, sizeof(aiq_issuer_t));

    rc = aiq_records_get(txn, org, AIQ_STORE_ISSUER, kid, &doc, mem);

    if (rc != AIQ_OK) {
        return rc;
    }

    return aiq_records_issuer(&doc, kid, issuer, mem);
}


static aiq_rc_t
aiq_records_issuer(const aiq_json_t *doc, aiq_str_t kid, aiq_issuer_t *issuer,
    aiq_mem_t *mem)
{
    aiq_rc_t  rc;
    unsigned  active;

    if ((rc = aiq_mem_dup(mem, kid, &issuer->kid)) != AIQ_OK
        || (rc = aiq_records_hex(doc, "public_key", issuer->public_key,
                                 AIQ_KEY_LEN)) != AIQ_OK
        || (rc = aiq_records_flag(doc, "active", &active)) != AIQ_OK
        || (rc = aiq_records_time(doc, "created", &issuer->created))
           != AIQ_OK)
    {
        return rc;
    }

    issuer->active = active;

    return AIQ_OK;
}


aiq_rc_t
aiq_issuer_find(aiq_store_txn_t *txn, aiq_str_t org,
    const unsigned char public_key[AIQ_KEY_LEN], aiq_issuer_t *issuer,
    aiq_mem_t *mem)
{
    aiq_rc_t            rc;
    aiq_records_find_t  find;

    memset(issuer, 0, sizeof(aiq_issuer_t));

    find.public_key = public_key;
    find.issuer = issuer;
    find.mem = mem;
    find.found = 0;

    rc = aiq_store_each(txn, org, AIQ_STORE_ISSUER, aiq_records_issuer_is,
                        &find);

    if (find.found) {
        return AIQ_OK;
    }

    memset(issuer, 0, sizeof(aiq_issuer_t));

    return (rc == AIQ_OK) ? AIQ_DECLINED : rc;
}


static aiq_rc_t
aiq_records_issuer_is(void *data, aiq_str_t id, aiq_str_t value)
{
    aiq_records_find_t *find = data;

    aiq_rc_t        rc;
    aiq_json_t      doc;
    unsigned char  *pos;

    pos = find->mem->pos;

    rc = aiq_records_parse(value, &doc, find->mem);

    if (rc == AIQ_OK) {
        rc = aiq_records_issuer(&doc, id, find->issuer, find->mem);
    }

    if (rc != AIQ_OK) {
        find->mem->pos = pos;
        return rc;
    }

    if (memcmp(find->issuer->public_key, find->public_key, AIQ_KEY_LEN) == 0) {
        find->found = 1;
        return AIQ_DECLINED;
    }

    find->mem->pos = pos;

    return AIQ_OK;
}


aiq_rc_t
aiq_issued_get(aiq_store_txn_t *txn, aiq_str_t org, aiq_str_t jti,
    aiq_issued_t *token, aiq_mem_t *mem)
{
    aiq_rc_t    rc;
    aiq_json_t  doc;

    memset(token, 0, sizeof(aiq_issued_t));

    rc = aiq_records_get(txn, org, AIQ_STORE_TOKEN, jti, &doc, mem);

    if (rc != AIQ_OK) {
        return rc;
    }

    if ((rc = aiq_mem_dup(mem, jti, &token->jti)) != AIQ_OK
        || (rc = aiq_records_str(&doc, "plan_id", &token->plan_id, mem))
           != AIQ_OK
        || (rc = aiq_records_str(&doc, "user", &token->user, mem)) != AIQ_OK
        || (rc = aiq_records_str(&doc, "agent", &token->agent, mem))
           != AIQ_OK
        || (rc = aiq_records_str(&doc, "key", &token->key, mem)) != AIQ_OK
        || (rc = aiq_records_str(&doc, "kid", &token->kid, mem)) != AIQ_OK
        || (rc = aiq_records_hex(&doc, "plan_hash", token->plan_hash,
                                 AIQ_HASH_LEN)) != AIQ_OK
        || (rc = aiq_records_time(&doc, "iat", &token->iat)) != AIQ_OK
        || (rc = aiq_records_time(&doc, "exp", &token->exp)) != AIQ_OK)
    {
        return rc;
    }

    return AIQ_OK;
}


/*
 * The secret is looked up by its hash, so nobody learns it byte by byte from
 * the time this takes; and all that can be wrong with a known key is looked
 * at before the answer.
 */

aiq_rc_t
aiq_apikey_find(aiq_store_txn_t *txn, aiq_str_t secret, int64_t now,
    aiq_apikey_t *key, aiq_crypto_t *c, aiq_mem_t *mem)
{
    aiq_rc_t       rc;
    unsigned       active;
    aiq_str_t      none, id, org;
    aiq_json_t     doc;
    unsigned char  hash[AIQ_HASH_LEN];

    memset(key, 0, sizeof(aiq_apikey_t));

    aiq_str_null(&none);

    if (!aiq_apikey_form(secret)) {
        return AIQ_D_KEY_INVALID;
    }

    rc = aiq_sha256(c, secret, hash);

    if (rc != AIQ_OK) {
        return rc;
    }

    id.data = hash;
    id.len = AIQ_HASH_LEN;

    rc = aiq_records_get(txn, none, AIQ_STORE_KEYHASH, id, &doc, mem);

    if (rc != AIQ_OK) {
        return (rc == AIQ_DECLINED) ? AIQ_D_KEY_INVALID : rc;
    }

    if ((rc = aiq_records_str(&doc, "org", &org, mem)) != AIQ_OK
        || (rc = aiq_records_str(&doc, "id", &id, mem)) != AIQ_OK)
    {
        return rc;
    }

    /* a hash may outlive its key */

    rc = aiq_apikey_get(txn, org, id, key, mem);

    if (rc == AIQ_OK) {
        rc = aiq_records_owner(txn, key, &active, mem);
    }

    if (rc == AIQ_OK
        && (!active || !key->active
            || (key->expires != 0 && now >= key->expires)))
    {
        rc = AIQ_DECLINED;
    }

    if (rc != AIQ_OK) {
        memset(key, 0, sizeof(aiq_apikey_t));
    }

    return (rc == AIQ_DECLINED) ? AIQ_D_KEY_INVALID : rc;
}


/* users and agents need no row of their own; if they have one it counts */

static aiq_rc_t
aiq_records_owner(aiq_store_txn_t *txn, const aiq_apikey_t *key,
    unsigned *active, aiq_mem_t *mem)
{
    aiq_rc_t     rc;
    aiq_org_t    org;
    aiq_user_t   user;
    aiq_agent_t  agent;

    rc = aiq_org_get(txn, key->org, &org, mem);

    if (rc != AIQ_OK) {
        return rc;
    }

    *active = org.active;

    if (key->user.len) {
        rc = aiq_user_get(txn, key->org, key->user, &user, mem);

        if (rc != AIQ_OK && rc != AIQ_DECLINED) {
            return rc;
        }

        if (rc == AIQ_OK && !user.active) {
            *active = 0;
        }
    }

    if (key->agent.len) {
        rc = aiq_agent_get(txn, key->org, key->agent, &agent, mem);

        if (rc != AIQ_OK && rc != AIQ_DECLINED) {
            return rc;
        }

        if (rc == AIQ_OK && !agent.active) {
            *active = 0;
        }
    }

    return AIQ_OK;
}


int
aiq_apikey_form(aiq_str_t secret)
{
    size_t  i, len;

    /* all prefixes have the same length */

    len = sizeof(AIQ_APIKEY_PREFIX) - 1;

    if (secret.len <= len || secret.len > len + AIQ_APIKEY_TAIL) {
        return 0;
    }

    if (memcmp(secret.data, AIQ_APIKEY_PREFIX, len) != 0
        && memcmp(secret.data, "ak_test_", len) != 0
        && memcmp(secret.data, "ak_claw_", len) != 0)
    {
        return 0;
    }

    for (i = len; i < secret.len; i++) {
        if (secret.data[i] <= 0x20 || secret.data[i] >= 0x7f) {
            return 0;
        }
    }

    return 1;
}


aiq_rc_t
aiq_token_revoked(aiq_store_txn_t *txn, aiq_str_t org, aiq_str_t jti)
{
    aiq_rc_t   rc;
    aiq_str_t  value;

    /* such a jti cannot have a row: "no row" would be the wrong answer */

    if (!aiq_name_ok(jti) || org.len > AIQ_STORE_ORG_MAX) {
        return AIQ_D_TOKEN_REVOKED;
    }

    rc = aiq_store_get(txn, org, AIQ_STORE_REVOKED, jti, &value);

    if (rc == AIQ_DECLINED) {
        return AIQ_OK;
    }

    return (rc == AIQ_OK) ? AIQ_D_TOKEN_REVOKED : rc;
}


aiq_rc_t
aiq_plan_get(aiq_store_txn_t *txn, aiq_str_t org, const aiq_hash_t plan_hash,
    aiq_plan_t *plan, aiq_mem_t *mem)
{
    aiq_rc_t   rc;
    aiq_str_t  id, packed;

    memset(plan, 0, sizeof(aiq_plan_t));

    id.data = plan_hash;
    id.len = AIQ_HASH_LEN;

    rc = aiq_store_get(txn, org, AIQ_STORE_PLAN, id, &packed);

    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_plan_unpack(plan, packed, mem);

    if (rc == AIQ_OK && memcmp(plan->root, plan_hash, AIQ_HASH_LEN) != 0) {
        rc = AIQ_E_STORE_CORRUPT;
    }

    return rc;
}


static aiq_rc_t
aiq_records_get(aiq_store_txn_t *txn, aiq_str_t org, aiq_store_kind_e kind,
    aiq_str_t id, aiq_json_t *doc, aiq_mem_t *mem)
{
    aiq_rc_t   rc;
    aiq_str_t  text;

    rc = aiq_store_get(txn, org, kind, id, &text);

    if (rc != AIQ_OK) {
        return rc;
    }

    return aiq_records_parse(text, doc, mem);
}


/* what the reader refuses in a row of ours is our fault, not a denial */

static aiq_rc_t
aiq_records_parse(aiq_str_t text, aiq_json_t *doc, aiq_mem_t *mem)
{
    aiq_rc_t  rc;

    rc = aiq_json_parse(doc, text, AIQ_RECORDS_DEPTH, mem, NULL);

    if (rc == AIQ_D_JSON_TOO_LARGE) {
        return AIQ_E_NO_MEMORY;
    }

    if (rc != AIQ_OK) {
        return aiq_is_fault(rc) ? rc : AIQ_E_STORE_CORRUPT;
    }

    if (aiq_json_type(doc, 0) != AIQ_JSON_OBJECT) {
        return AIQ_E_STORE_CORRUPT;
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_records_str(const aiq_json_t *doc, const char *name, aiq_str_t *s,
    aiq_mem_t *mem)
{
    aiq_rc_t  rc;

    rc = aiq_json_string(doc, aiq_json_get(doc, 0, name), mem, s);

    return (rc == AIQ_DECLINED) ? AIQ_E_STORE_CORRUPT : rc;
}


static aiq_rc_t
aiq_records_flag(const aiq_json_t *doc, const char *name, unsigned *v)
{
    switch (aiq_json_type(doc, aiq_json_get(doc, 0, name))) {

    case AIQ_JSON_TRUE:
        *v = 1;
        return AIQ_OK;

    case AIQ_JSON_FALSE:
        *v = 0;
        return AIQ_OK;

    default:
        return AIQ_E_STORE_CORRUPT;
    }
}


static aiq_rc_t
aiq_records_time(const aiq_json_t *doc, const char *name, int64_t *v)
{
    aiq_rc_t  rc;

    rc = aiq_json_int(doc, aiq_json_get(doc, 0, name), v);

    if (rc == AIQ_DECLINED
        || (rc == AIQ_OK && (*v < 0 || *v > AIQ_TIME_MAX)))
    {
        return AIQ_E_STORE_CORRUPT;
    }

    return rc;
}


static aiq_rc_t
aiq_records_hex(const aiq_json_t *doc, const char *name, unsigned char *p,
    size_t len)
{
    uint32_t   i;
    aiq_rc_t   rc;
    aiq_str_t  hex;

    i = aiq_json_get(doc, 0, name);

    if (aiq_json_type(doc, i) != AIQ_JSON_STRING) {
        return AIQ_E_STORE_CORRUPT;
    }

    /* as written: an escape has no place in it */

    hex.data = doc->text.data + doc->tok[i].pos;
    hex.len = doc->tok[i].len;

    rc = aiq_hex_decode(hex, p, len);

    return (rc == AIQ_DECLINED) ? AIQ_E_STORE_CORRUPT : rc;
}
