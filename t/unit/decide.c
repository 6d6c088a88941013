
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The decision, first half: what kind of request it is, who asks, and with
 * which token.
 */


#include "decide_rows.h"


#define LIST   "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}"
#define SP48   "                                                "
#define KID(k) "{\"alg\":\"EdDSA\",\"kid\":\"" k "\",\"typ\":\"intent+jwt\"}"


static void w_key_off(int on);
static void w_key_ends(int on);
static void w_key_lives(int on);
static void w_org_off(int on);
static void w_user_off(int on);
static void w_agent_off(int on);
static void w_issuer_off(int on);
static void w_issuer_gone(int on);
static void w_issuer_other(int on);
static void w_issuer_renamed(int on);
static void w_revoked(int on);
static void w_revoked_other(int on);
static void t_http09(void);
static void t_http10(void);
static void t_http12(void);
static void t_http20(void);
static void t_http30(void);
static void t_issuer(void);
static void t_lifetime(void);
static void test_names(void);
static void test_error_id(void);
static void test_owner_of_iap(void);
static void test_quiet(void);
static void test_bearer(void);


static char  own_key[64];             /* the id of the key, in quotes */


static const row_t  framing[] = {

    { "as it should be", AIQ_OK, ALL, { 0 }, NULL, NULL },

    { "PUT", AIQ_D_METHOD_NOT_ALLOWED, ALL, { .http = "PUT" }, NULL, NULL },
    { "HEAD", AIQ_D_METHOD_NOT_ALLOWED, ALL, { .http = "HEAD" }, NULL, NULL },
    { "OPTIONS", AIQ_D_METHOD_NOT_ALLOWED, ALL, { .http = "OPTIONS" },
      NULL, NULL },
    { "post", AIQ_D_METHOD_NOT_ALLOWED, ALL, { .http = "post" }, NULL, NULL },
    { "get", AIQ_D_METHOD_NOT_ALLOWED, ALL, { .http = "get" }, NULL, NULL },
    { "an empty method", AIQ_D_METHOD_NOT_ALLOWED, ALL, { .http = "" },
      NULL, NULL },
    { "GET", AIQ_D_METHOD_NOT_ALLOWED, ENVELOPE, { .http = "GET" },
      NULL, NULL },
    { "DELETE", AIQ_D_METHOD_NOT_ALLOWED, ENVELOPE, { .http = "DELETE" },
      NULL, NULL },

    { "a stream", AIQ_OK, MCP, { .http = "GET" }, NULL, NULL },
    { "the end of a session", AIQ_OK, MCP, { .http = "DELETE" }, NULL, NULL },
    { "GET with a body", AIQ_D_BODY_UNEXPECTED, MCP,
      { .http = "GET", .has_body = 1 }, NULL, NULL },
    { "DELETE with a body", AIQ_D_BODY_UNEXPECTED, MCP,
      { .http = "DELETE", .has_body = 1 }, NULL, NULL },
    { "GET with an encoding", AIQ_D_CONTENT_ENCODING, MCP,
      { .http = "GET", .encoding = "gzip" }, NULL, NULL },
    { "GET of an unknown server", AIQ_D_MCP_UNKNOWN, MCP,
      { .http = "GET", .mcp = "nowhere" }, NULL, NULL },

    { "a header twice", AIQ_D_HEADER_DUPLICATE, ALL, { .dup = 1 },
      NULL, NULL },
    { "GET, a header twice", AIQ_D_HEADER_DUPLICATE, MCP,
      { .http = "GET", .dup = 1 }, NULL, NULL },
    { "a token in the query", AIQ_D_TOKEN_AMBIGUOUS, ALL, { .query = 1 },
      NULL, NULL },
    { "GET, a token in the query", AIQ_D_TOKEN_AMBIGUOUS, MCP,
      { .http = "GET", .query = 1 }, NULL, NULL },
    { "Upgrade", AIQ_D_UPGRADE_NOT_ALLOWED, ALL, { .upgrade = "h2c" },
      NULL, NULL },
    { "GET, Upgrade", AIQ_D_UPGRADE_NOT_ALLOWED, MCP,
      { .http = "GET", .upgrade = "websocket" }, NULL, NULL },
    { "an empty Upgrade", AIQ_D_UPGRADE_NOT_ALLOWED, ALL, { .upgrade = "" },
      NULL, NULL },
    { "gzip", AIQ_D_CONTENT_ENCODING, ALL, { .encoding = "gzip" },
      NULL, NULL },
    { "identity", AIQ_D_CONTENT_ENCODING, ALL, { .encoding = "identity" },
      NULL, NULL },
    { "an empty Content-Encoding", AIQ_D_CONTENT_ENCODING, ALL,
      { .encoding = "" }, NULL, NULL },

    { "HTTP/1.0", AIQ_OK, ALL, { 0 }, NULL, t_http10 },
    { "HTTP/2", AIQ_OK, ALL, { 0 }, NULL, t_http20 },
    { "HTTP/3", AIQ_OK, ALL, { 0 }, NULL, t_http30 },
    { "HTTP/1.2", AIQ_D_PROTOCOL_VERSION, ALL, { 0 }, NULL, t_http12 },
    { "HTTP/0.9", AIQ_D_PROTOCOL_VERSION, MCP, { .http = "GET" }, NULL,
      t_http09 },

    { "no type", AIQ_D_CONTENT_TYPE, ALL, { .type = none }, NULL, NULL },
    { "an empty type", AIQ_D_CONTENT_TYPE, ALL, { .type = "" }, NULL, NULL },
    { "text", AIQ_D_CONTENT_TYPE, ALL, { .type = "text/plain" }, NULL, NULL },
    { "a longer type", AIQ_D_CONTENT_TYPE, ALL,
      { .type = "application/jsonp" }, NULL, NULL },
    { "a shorter type", AIQ_D_CONTENT_TYPE, ALL,
      { .type = "application/jso" }, NULL, NULL },
    { "JSON of another kind", AIQ_D_CONTENT_TYPE, ALL,
      { .type = "application/json-rpc" }, NULL, NULL },
    { "UTF-16", AIQ_D_CONTENT_TYPE, ALL,
      { .type = "application/json; charset=utf-16" }, NULL, NULL },
    { "UTF-7 behind UTF-8", AIQ_D_CONTENT_TYPE, ALL,
      { .type = "application/json; charset=utf-8; charset=utf-7" },
      NULL, NULL },
    { "two types", AIQ_D_CONTENT_TYPE, ALL,
      { .type = "application/json, text/plain" }, NULL, NULL },
    { "a blank inside the type", AIQ_D_CONTENT_TYPE, ALL,
      { .type = "application/js on" }, NULL, NULL },
    { "a blank inside the parameter", AIQ_D_CONTENT_TYPE, ALL,
      { .type = "application/json; charset = utf-8" }, NULL, NULL },
    { "a very long type", AIQ_D_CONTENT_TYPE, ALL,
      { .type = "application/json;charset=utf-8;xxxxxxxxxxxxxxxxxxxxxxxxx"
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" },
      NULL, NULL },
    { "another way to write the type", AIQ_OK, ALL,
      { .type = "Application/JSON ;\tCharset=UTF-8" }, NULL, NULL },
    { "a charset in quotes", AIQ_OK, ALL,
      { .type = "application/json;charset=\"utf-8\" " }, NULL, NULL },
    { "many blanks", AIQ_OK, ALL,
      { .type = SP48 "application/json" SP48 }, NULL, NULL },

    { "no body", AIQ_D_BODY_INCOMPLETE, ALL, { .no_body = 1 }, NULL, NULL },
    { "a batch", AIQ_D_BATCH_NOT_ALLOWED, MCP, { .body = "[" LIST "]" },
      NULL, NULL },
    { "a string", AIQ_D_JSON_NOT_OBJECT, MCP, { .body = "\"x\"" },
      NULL, NULL },
    { "an array", AIQ_D_JSON_NOT_OBJECT, ENVELOPE, { .body = "[{}]" },
      NULL, NULL },
    { "another JSON-RPC", AIQ_D_RPC_INVALID, MCP,
      { .body = "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"tools/list\"}" },
      NULL, NULL },
    { "another method", AIQ_D_RPC_METHOD, MCP,
      { .body = "{\"jsonrpc\":\"2.0\",\"id\":1,"
                "\"method\":\"resources/read\"}" }, NULL, NULL },
    { "two methods", AIQ_D_RPC_AMBIGUOUS, MCP,
      { .body = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\","
                "\"Method\":\"tools/call\"}" }, NULL, NULL },
    { "another revision", AIQ_D_PROTOCOL_VERSION, MCP,
      { .protocol = "1999-12-31" }, NULL, NULL },
    { "another name in the header", AIQ_D_HEADER_MISMATCH, MCP,
      { .name = "write" }, NULL, NULL },
    { "the same name in the header", AIQ_OK, MCP, { .name = "read" },
      NULL, NULL },
    { "an empty envelope", AIQ_D_INVOKE_INVALID, ENVELOPE, { .body = "{}" },
      NULL, NULL },
    { "discovery", AIQ_OK, MCP, { .body = LIST }, NULL, NULL },
    { "discovery on an unknown server", AIQ_D_MCP_UNKNOWN, MCP,
      { .body = LIST, .mcp = "nowhere" }, NULL, NULL },
    { "a call that wants no answer", AIQ_D_STEP_NOT_PLANNED,
      BARE|NATIVE|INTENT,
      { .body = "{\"jsonrpc\":\"2.0\",\"method\":\"tools/call\","
                "\"params\":{\"name\":\"write\"}}" }, NULL, NULL }
};


static const row_t  identity[] = {

    { "no key, no token", AIQ_D_IDENTITY_MISSING, ALL,
      { .key = none, .auth = none, .token = none }, NULL, NULL },
    { "GET, no key, no token", AIQ_D_IDENTITY_MISSING, MCP,
      { .http = "GET", .key = none, .auth = none, .token = none },
      NULL, NULL },
    { "discovery, no key, no token", AIQ_D_IDENTITY_MISSING, MCP,
      { .body = LIST, .key = none, .auth = none, .token = none },
      NULL, NULL },
    { "no key", AIQ_D_IDENTITY_MISSING, ENVELOPE, { .key = none },
      NULL, NULL },
    { "a token in _meta alone", AIQ_D_IDENTITY_MISSING, META,
      { .auth = none }, NULL, NULL },
    { "a token that is none in _meta alone", AIQ_D_IDENTITY_MISSING, META,
      { .auth = none, .token = "!7" }, NULL, NULL },

    { "another key in Authorization", AIQ_D_IDENTITY_AMBIGUOUS,
      NATIVE|ENVELOPE, { .auth = "Bearer ak_test_acme-bob-not-a-key" },
      NULL, NULL },
    { "another key in X-API-Key", AIQ_D_IDENTITY_AMBIGUOUS, INTENT|META,
      { .key = "ak_test_acme-any-not-a-key" }, NULL, NULL },
    { "an empty X-API-Key beside a key", AIQ_D_IDENTITY_AMBIGUOUS,
      INTENT|META, { .key = "" }, NULL, NULL },
    { "the same key twice", AIQ_OK, ENVELOPE,
      { .auth = "Bearer ak_test_acme-alice-not-a-key" }, NULL, NULL },
    { "the same key twice", AIQ_OK, INTENT|META,
      { .key = "ak_test_acme-alice-not-a-key" }, NULL, NULL },
    { "Bearer in another case", AIQ_OK, INTENT|META,
      { .auth = "bEARER   ak_test_acme-alice-not-a-key" }, NULL, NULL },

    { "an unknown key", AIQ_D_KEY_INVALID, NATIVE|ENVELOPE,
      { .key = "ak_test_acme-alice-not-a-kez" }, NULL, NULL },
    { "an unknown key", AIQ_D_KEY_INVALID, INTENT|META,
      { .auth = "Bearer ak_x" }, NULL, NULL },
    { "an empty key", AIQ_D_KEY_INVALID, NATIVE|ENVELOPE, { .key = "" },
      NULL, NULL },
    { "a key with a blank behind it", AIQ_D_KEY_INVALID, NATIVE|ENVELOPE,
      { .key = "ak_test_acme-alice-not-a-key " }, NULL, NULL },
    { "a key that was switched off", AIQ_D_KEY_INVALID, KEYED, { 0 },
      w_key_off, NULL },
    { "a key at its end", AIQ_D_KEY_INVALID, KEYED, { 0 }, w_key_ends, NULL },
    { "a key before its end", AIQ_OK, KEYED, { 0 }, w_key_lives, NULL },
    { "an org that was switched off", AIQ_D_KEY_INVALID, KEYED, { 0 },
      w_org_off, NULL },
    { "an org that was switched off", AIQ_D_TOKEN_KEY, BARE, { 0 },
      w_org_off, NULL },
    { "the key of a user who was switched off", AIQ_D_KEY_INVALID, KEYED,
      { 0 }, w_user_off, NULL },
    { "the key of an agent that was switched off", AIQ_D_KEY_INVALID, KEYED,
      { 0 }, w_agent_off, NULL },
    { "GET, a key that was switched off", AIQ_D_KEY_INVALID,
      NATIVE|INTENT|META, { .http = "GET" }, w_key_off, NULL },
    { "discovery, a key that was switched off", AIQ_D_KEY_INVALID,
      NATIVE|INTENT|META, { .body = LIST }, w_key_off, NULL }
};


static const row_t  tokens[] = {

    { "a key alone", AIQ_D_TOKEN_MISSING, KEYED, { .token = none },
      NULL, NULL },
    { "a key alone is enough to look around", AIQ_OK, NATIVE|INTENT|META,
      { .body = LIST, .token = none }, NULL, NULL },
    { "null for a token", AIQ_D_TOKEN_MISSING, INVOKE, { .token = "null" },
      NULL, NULL },

    { "another token in X-ArmorIQ-Intent", AIQ_D_TOKEN_AMBIGUOUS,
      BARE|NATIVE|META|ENVELOPE, { .intent = "x.y.z" }, NULL, NULL },
    { "an empty X-ArmorIQ-Intent as well", AIQ_D_TOKEN_AMBIGUOUS,
      BARE|NATIVE|META|ENVELOPE, { .intent = "" }, NULL, NULL },
    { "another token in _meta", AIQ_D_TOKEN_AMBIGUOUS, BARE|NATIVE|INTENT,
      { .more = "\"io.armoriq/intent-token\":\"x.y.z\"" }, NULL, NULL },
    { "another token in Authorization", AIQ_D_TOKEN_AMBIGUOUS, ENVELOPE,
      { .auth = "Bearer x.y.z" }, NULL, NULL },

    { "two parts", AIQ_D_TOKEN_MALFORMED, JWS, { .token = "x.y" },
      NULL, NULL },
    { "a string that is no JWS", AIQ_D_TOKEN_MALFORMED, INVOKE,
      { .token = "\"x.y\"" }, NULL, NULL },
    { "an empty token", AIQ_D_TOKEN_MALFORMED, INTENT|META|STRING,
      { .token = "" }, NULL, NULL },
    { "another scheme", AIQ_D_TOKEN_MALFORMED, BARE|NATIVE|ENVELOPE,
      { .auth = "Basic dTpw" }, NULL, NULL },
    { "no scheme", AIQ_D_TOKEN_MALFORMED, BARE|NATIVE|ENVELOPE,
      { .auth = "x.y.z" }, NULL, NULL },
    { "an empty Authorization", AIQ_D_TOKEN_MALFORMED, BARE|NATIVE|ENVELOPE,
      { .auth = "" }, NULL, NULL },
    { "a number in _meta", AIQ_D_TOKEN_MALFORMED, META, { .token = "!7" },
      NULL, NULL },
    { "null in _meta", AIQ_D_TOKEN_MALFORMED, META, { .token = "!null" },
      NULL, NULL },
    { "an object in _meta", AIQ_D_TOKEN_MALFORMED, META, { .token = "!{}" },
      NULL, NULL },
    { "a number for a token", AIQ_D_INVOKE_INVALID, INVOKE, { .token = "7" },
      NULL, NULL },
    { "an empty object", AIQ_D_TOKEN_TYPE, INVOKE, { .token = "{}" },
      NULL, NULL },

    { "HS256", AIQ_D_TOKEN_ALGORITHM, JWS,
      { .header = "{\"alg\":\"HS256\",\"kid\":\"main\","
                  "\"typ\":\"intent+jwt\"}" }, NULL, NULL },
    { "none", AIQ_D_TOKEN_ALGORITHM, JWS,
      { .header = "{\"alg\":\"none\",\"kid\":\"main\","
                  "\"typ\":\"intent+jwt\"}" }, NULL, NULL },
    { "JWT", AIQ_D_TOKEN_TYPE, JWS,
      { .header = "{\"alg\":\"EdDSA\",\"kid\":\"main\","
                  "\"typ\":\"JWT\"}" }, NULL, NULL },
    { "crit", AIQ_D_TOKEN_HEADER, JWS,
      { .header = "{\"alg\":\"EdDSA\",\"crit\":[],\"kid\":\"main\","
                  "\"typ\":\"intent+jwt\"}" }, NULL, NULL },

    { "an unknown kid", AIQ_D_TOKEN_KEY, JWS, { .header = KID("other") },
      NULL, NULL },
    { "a longer kid", AIQ_D_TOKEN_KEY, JWS, { .header = KID("main2") },
      NULL, NULL },
    { "a kid that is a path", AIQ_D_TOKEN_KEY, JWS,
      { .header = KID("../main") }, NULL, NULL },
    { "an issuer that was switched off", AIQ_D_TOKEN_KEY, ALL, { 0 },
      w_issuer_off, NULL },
    { "an issuer that was removed", AIQ_D_TOKEN_KEY, ALL, { 0 },
      w_issuer_gone, NULL },
    { "an issuer that has another key now", AIQ_D_TOKEN_SIGNATURE, JWS, { 0 },
      w_issuer_other, NULL },
    { "an issuer that has another key now", AIQ_D_TOKEN_KEY, INVOKE, { 0 },
      w_issuer_other, NULL },
    { "an issuer that has another name now", AIQ_D_TOKEN_KEY, JWS, { 0 },
      w_issuer_renamed, NULL },
    { "an org that is not there", AIQ_D_TOKEN_KEY, BARE,
      { .claim = "org", .value = "\"initech\"" }, NULL, NULL },
    { "an org that is not there", AIQ_D_TOKEN_OWNER, KEYED,
      { .claim = "org", .value = "\"initech\"" }, NULL, NULL },
    { "another org", AIQ_D_TOKEN_SIGNATURE, BARE,
      { .claim = "org", .value = "\"ajax\"" }, NULL, NULL },
    { "another org", AIQ_D_TOKEN_OWNER, KEYED,
      { .claim = "org", .value = "\"ajax\"" }, NULL, NULL },

    { "a bit of R", AIQ_D_TOKEN_SIGNATURE, ALL, { .forge = 1 }, NULL, NULL },
    { "a bit of S", AIQ_D_TOKEN_SIGNATURE, ALL, { .forge = 40 }, NULL, NULL },

    { "no jti", AIQ_D_TOKEN_CLAIMS, ALL, { .claim = "jti", .value = none },
      NULL, NULL },
    { "no org", AIQ_D_TOKEN_CLAIMS, ALL, { .claim = "org", .value = none },
      NULL, NULL },
    { "no sub", AIQ_D_TOKEN_CLAIMS, JWS, { .claim = "sub", .value = none },
      NULL, NULL },
    { "no steps", AIQ_D_TOKEN_CLAIMS, ALL,
      { .claim = "steps", .value = "0" }, NULL, NULL },
    { "cnf", AIQ_D_TOKEN_CLAIMS, JWS, { .claim = "cnf", .value = "{}" },
      NULL, NULL },
    { "it ends before it begins", AIQ_D_TOKEN_CLAIMS, ALL,
      { .claim = "iat", .value = "1700000390" }, NULL, NULL },
    { "another issuer", AIQ_D_TOKEN_ISSUER, JWS,
      { .claim = "iss", .value = "\"armoriq2\"" }, NULL, NULL },
    { "another issuer is expected", AIQ_D_TOKEN_ISSUER, JWS, { 0 },
      NULL, t_issuer },
    { "another audience", AIQ_D_TOKEN_AUDIENCE, JWS,
      { .claim = "aud", .value = "[\"armoriq\"]" }, NULL, NULL },
    { "we among the audience", AIQ_OK, JWS,
      { .claim = "aud", .value = "[\"x\",\"armoriq-proxy\"]" }, NULL, NULL },

    { "the last second", AIQ_OK, ALL, { .later = 289 }, NULL, NULL },
    { "the second after it", AIQ_D_TOKEN_EXPIRED, ALL, { .later = 290 },
      NULL, NULL },
    { "a clock that is ahead", AIQ_OK, ALL, { .later = -40 }, NULL, NULL },
    { "a clock that is too far ahead", AIQ_D_TOKEN_NOT_YET, ALL,
      { .later = -41 }, NULL, NULL },
    { "a long life", AIQ_D_TOKEN_LIFETIME, ALL,
      { .claim = "iat", .value = "1700000089" }, NULL, NULL },
    { "a long life, by now", AIQ_D_TOKEN_LIFETIME, ALL, { 0 },
      NULL, t_lifetime },
    { "a revoked token", AIQ_D_TOKEN_REVOKED, ALL, { 0 }, w_revoked, NULL },
    { "a revoked token, GET", AIQ_D_TOKEN_REVOKED, BARE|NATIVE|INTENT,
      { .http = "GET" }, w_revoked, NULL },
    { "another one was revoked", AIQ_OK, ALL, { 0 }, w_revoked_other, NULL },

    { "the key of another user", AIQ_D_TOKEN_OWNER, NATIVE|ENVELOPE,
      { .key = "ak_test_acme-bob-not-a-key" }, NULL, NULL },
    { "the key of another user", AIQ_D_TOKEN_OWNER, INTENT|META,
      { .auth = "Bearer ak_test_acme-bob-not-a-key" }, NULL, NULL },
    { "the key of everybody", AIQ_OK, NATIVE|ENVELOPE,
      { .key = "ak_test_acme-any-not-a-key" }, NULL, NULL },
    { "the token of another agent", AIQ_D_TOKEN_OWNER, KEYED,
      { .claim = "agent", .value = "\"other\"" }, NULL, NULL },
    { "the token of another user", AIQ_D_TOKEN_OWNER, KEYED,
      { .claim = "sub", .value = "\"bob\"" }, NULL, NULL },
    { "the token of a user with a similar name", AIQ_D_TOKEN_OWNER, KEYED,
      { .claim = "sub", .value = "\"alice2\"" }, NULL, NULL },
    { "the token of nobody we know", AIQ_OK, BARE,
      { .claim = "sub", .value = "\"carol\"" }, NULL, NULL },
    { "a token for another key", AIQ_D_TOKEN_OWNER, KEYED,
      { .claim = "key", .value = "\"key_000000000000\"" }, NULL, NULL },
    { "a token for this key", AIQ_OK, KEYED,
      { .claim = "key", .value = own_key }, NULL, NULL },
    { "a token for a key, without it", AIQ_OK, BARE,
      { .claim = "key", .value = own_key }, NULL, NULL },
    { "a token for one key, with that of everybody", AIQ_D_TOKEN_OWNER,
      NATIVE|ENVELOPE,
      { .claim = "key", .value = own_key,
        .key = "ak_test_acme-any-not-a-key" }, NULL, NULL },
    { "a user who was switched off", AIQ_D_TOKEN_OWNER, BARE, { 0 },
      w_user_off, NULL },
    { "a user who was switched off, with the key of everybody",
      AIQ_D_TOKEN_OWNER, NATIVE|ENVELOPE,
      { .key = "ak_test_acme-any-not-a-key" }, w_user_off, NULL },
    { "an agent that was switched off", AIQ_D_TOKEN_OWNER, BARE, { 0 },
      w_agent_off, NULL },
    { "an agent that was switched off, with the key of everybody",
      AIQ_D_TOKEN_OWNER, NATIVE|ENVELOPE,
      { .key = "ak_test_acme-any-not-a-key" }, w_agent_off, NULL },
    { "discovery with a bad token", AIQ_D_TOKEN_SIGNATURE, BARE|NATIVE|INTENT,
      { .body = LIST, .forge = 1 }, NULL, NULL },
    { "GET with a bad token", AIQ_D_TOKEN_SIGNATURE, BARE|NATIVE|INTENT,
      { .http = "GET", .forge = 1 }, NULL, NULL }
};


static void
w_key_off(int on)
{
    set_key(&acme, 0, !on, 0);
}


static void
w_key_ends(int on)
{
    set_key(&acme, 0, 1, on ? NOW : 0);
}


static void
w_key_lives(int on)
{
    set_key(&acme, 0, 1, on ? NOW + 1 : 0);
}


static void
w_org_off(int on)
{
    set_org(&acme, !on, 0);
}


static void
w_user_off(int on)
{
    set_user(&acme, "alice", !on);
}


static void
w_agent_off(int on)
{
    set_agent(&acme, "sysadmin", !on);
}


static void
w_issuer_off(int on)
{
    set_issuer(&acme, "main", acme.pub, !on);
}


static void
w_issuer_gone(int on)
{
    if (on) {
        drop(&acme, AIQ_STORE_ISSUER, S("main"));

    } else {
        set_issuer(&acme, "main", acme.pub, 1);
    }
}


static void
w_issuer_other(int on)
{
    set_issuer(&acme, "main", on ? ajax.pub : acme.pub, 1);
}


static void
w_issuer_renamed(int on)
{
    drop(&acme, AIQ_STORE_ISSUER, S(on ? "main" : "main2"));
    set_issuer(&acme, on ? "main2" : "main", acme.pub, 1);
}


static void
w_revoked(int on)
{
    if (on) {
        set_revoked(&acme, "j-1");

    } else {
        drop(&acme, AIQ_STORE_REVOKED, S("j-1"));
    }
}


/* a longer and a shorter name, and the same in another org */

static void
w_revoked_other(int on)
{
    if (on) {
        set_revoked(&acme, "j-10");
        set_revoked(&acme, "j-");
        set_revoked(&ajax, "j-1");

    } else {
        drop(&acme, AIQ_STORE_REVOKED, S("j-10"));
        drop(&acme, AIQ_STORE_REVOKED, S("j-"));
        drop(&ajax, AIQ_STORE_REVOKED, S("j-1"));
    }
}


static void
t_http09(void)
{
    rq.version = 9;
}


static void
t_http10(void)
{
    rq.version = 1000;
}


static void
t_http12(void)
{
    rq.version = 1002;
}


static void
t_http20(void)
{
    rq.version = 2000;
}


static void
t_http30(void)
{
    rq.version = 3000;
}


static void
t_issuer(void)
{
    rq.token.issuer = "somebody";
}


static void
t_lifetime(void)
{
    rq.token.lifetime = 299;
}


/* what the record and the variables are told */

static void
test_names(void)
{
    unsigned         kind;
    static change_t  nothing, forged = { .forge = 1 };
    static change_t  agent = { .claim = "agent", .value = "\"other\"" };

    for (kind = BARE; kind <= STRING; kind <<= 1) {
        forget();

        ok(run(&acme, kind, &nothing) == AIQ_OK
           && aiq_str_is(d.org, "acme") && aiq_str_is(d.user, "alice")
           && aiq_str_is(d.agent, "sysadmin") && aiq_str_is(d.server, "fs")
           && aiq_str_is(d.tool, "read") && aiq_str_is(d.token.jti, "j-1")
           && aiq_str_is(d.token.kid, "main") && aiq_str_is(d.policy, "all")
           && (kind == BARE ? d.apikey.id.len == 0
                            : aiq_str_is(d.apikey.id, acme.id[0]))
           && d.trusted && d.has_args && d.reserved && d.step == 0
           && (kind == INVOKE ? d.jws.len == 0 : d.jws.len > 0)
           && d.issuer != NULL
           && memcmp(d.issuer->public_key, acme.pub, AIQ_KEY_LEN) == 0
           && d.revision == revision(store),
           "what is found out (%s)", kind_name(kind));
    }

    forget();

    ok(run(&acme, BARE, &forged) == AIQ_D_TOKEN_SIGNATURE && d.org.len == 0
       && d.user.len == 0 && d.agent.len == 0 && !d.trusted && !d.has_args
       && d.step == -1 && d.issuer == NULL,
       "nothing is believed of a token with a bad signature");

    ok(run(&acme, NATIVE, &agent) == AIQ_D_TOKEN_OWNER
       && aiq_str_is(d.user, "alice") && aiq_str_is(d.agent, "sysadmin")
       && !d.trusted,
       "a token of somebody else: the record has the owner of the key");
}


/* the id of a request that is refused by its headers is echoed as well */

static void
test_error_id(void)
{
    static change_t  type = { .type = "text/plain" };
    static change_t  batch = { .type = "text/plain", .body = "[]" };
    static change_t  rpc = { .body = "{\"jsonrpc\":\"2.0\",\"id\":\"x\"}" };

    forget();

    ok(run(&acme, NATIVE, &type) == AIQ_D_CONTENT_TYPE
       && aiq_str_is(d.mcp.id, "7") && aiq_str_is(d.server, "fs")
       && strcmp(d.err.text, "the Content-Type is not application/json") == 0,
       "the id of a request of another type");

    ok(run(&acme, NATIVE, &batch) == AIQ_D_CONTENT_TYPE && d.mcp.id.len == 0,
       "a batch of another type has no id");

    ok(run(&acme, NATIVE, &rpc) == AIQ_D_RPC_INVALID
       && aiq_str_is(d.mcp.id, "\"x\""), "the id of what is no request");
}


/* an IAP object may name nobody: then it is the owner of the key who asks */

static void
test_owner_of_iap(void)
{
    char             *p;
    aiq_out_t         out;
    const char       *object;
    static change_t   c, any = { .key = "ak_test_acme-any-not-a-key" };

    made.pos = made_room;
    made.end = made_room + ROOM;

    p = malloc(4096);

    if (p == NULL) {
        printf("Bail out! no memory\n");
        exit(1);
    }

    memset(p, 0, 4096);
    aiq_out_init(&out, p, 4095);

    must(aiq_token_sign_iap(&out,
             S(text("{\"version\":\"IAP-0.1\",\"plan_hash\":\"%s\","
                    "\"issued_at\":%d,\"expires_at\":%d,\"identity\":\"%s\","
                    "\"public_key\":\"%s\",\"policy\":{\"global\":{"
                    "\"metadata\":{\"org\":\"acme\",\"jti\":\"j-2\","
                    "\"steps\":%d}}}}", hash_hex(plan_hash, AIQ_HASH_LEN),
                    NOW - 10, LATE, hash_hex(plan_hash, AIQ_HASH_LEN),
                    hash_hex(acme.pub, AIQ_KEY_LEN), STEPS)),
             acme.seed, crypto, &made, &err), "IAP object");

    object = p;
    c.token = object;
    any.token = object;

    forget();

    ok(run(&acme, INVOKE, &c) == AIQ_OK && aiq_str_is(d.user, "alice")
       && aiq_str_is(d.agent, "sysadmin"),
       "an IAP object of nobody is that of the owner of the key");

    ok(run(&acme, INVOKE, &any) == AIQ_OK && d.user.len == 0
       && d.agent.len == 0 && d.step == 4,
       "with the key of everybody it is nobody's");

    set_user(&acme, "alice", 0);

    ok(run(&acme, INVOKE, &c) == AIQ_D_KEY_INVALID,
       "and the owner must be active");

    set_user(&acme, "alice", 1);

    free(p);
}


/* who has neither key nor token learns nothing of plans, tools and servers */

static void
test_quiet(void)
{
    size_t     i;
    unsigned   kind, n;
    aiq_err_t  first;

    static change_t  rows[] = {
        { 0 },
        { .mcp = "nowhere" },
        { .tool = "write" },
        { .args = "{\"path\":\"/etc\"}" },
        { .path = "/steps/[9]" },
        { .path = "/steps/[0]", .proof = "[]" },
        { .digest = "00" },
        { .step = "{" },
        { .later = 1000 },
        { .more = "\"plan\":{\"steps\":[]}" },
        { .more = "\"io.armoriq/intent\":{\"path\":\"/steps/[0]\"}" },
        { .params = AIQ_PARAMS_STRICT, .tool = "list" }
    };

    for (kind = BARE; kind <= STRING; kind <<= 1) {

        n = 0;

        for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            rows[i].key = none;
            rows[i].auth = none;

            if (!(kind & ENVELOPE)) {
                rows[i].token = none;
            }

            forget();

            if (run(&acme, kind, &rows[i]) != AIQ_D_IDENTITY_MISSING
                || shared.reserves || shared.takes || shared.rulesets
                || d.has_args || d.step != -1)
            {
                diag("row %u: %s", (unsigned) i, aiq_reason(d.rc));
                continue;
            }

            if (i == 0) {
                first = d.err;
            }

            n += (memcmp(&first, &d.err, sizeof(first)) == 0);
        }

        ok(n == i, "a stranger is told nothing (%s)", kind_name(kind));
    }
}


static void
test_bearer(void)
{
    size_t     i;
    unsigned   n;
    aiq_rc_t   rc;
    aiq_str_t  s, key;

    static const struct {
        const char  *text;
        const char  *credential;
    } rows[] = {
        { "Bearer x", "x" },
        { "bearer x", "x" },
        { "BEARER    x y", "x y" },
        { "Bearer", NULL },
        { "Bearer ", NULL },
        { "Bearer   ", NULL },
        { "Bearerx", NULL },
        { "Bearer\tx", NULL },
        { " Bearer x", NULL },
        { "Basic x", NULL },
        { "Beaxer x", NULL },
        { "\"EARER x", NULL },
        { "", NULL },
        { NULL, NULL }
    };

    n = 0;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        rc = aiq_bearer(S(rows[i].text), &s);

        if (rows[i].credential == NULL) {
            n += (rc == AIQ_DECLINED && s.len == 0);

        } else {
            n += (rc == AIQ_OK && aiq_str_is(s, rows[i].credential));
        }
    }

    ok(n == i, "aiq_bearer");

    s.data = (const unsigned char *) "Bearer\0x";
    s.len = 8;

    ok(aiq_bearer(s, &key) == AIQ_DECLINED, "NUL is no blank");

    s.len = 0;
    s.data = NULL;

    ok(aiq_presented_key(s, s, &key) == AIQ_DECLINED && key.data == NULL
       && aiq_presented_key(S("Bearer x.y.z"), s, &key) == AIQ_DECLINED
       && aiq_presented_key(S("Bearer ak"), s, &key) == AIQ_DECLINED
       && aiq_presented_key(S("Bearer ak_1"), s, &key) == AIQ_OK
       && aiq_str_is(key, "ak_1")
       && aiq_presented_key(S("Bearer x"), S("ak_2"), &key) == AIQ_OK
       && aiq_str_is(key, "ak_2")
       && aiq_presented_key(S("Bearer ak_1"), S("ak_1"), &key) == AIQ_OK
       && aiq_presented_key(S("Bearer ak_1"), S("ak_2"), &key)
          == AIQ_D_IDENTITY_AMBIGUOUS
       && aiq_presented_key(S("Bearer ak_1"), S("ak_12"), &key)
          == AIQ_D_IDENTITY_AMBIGUOUS,
       "aiq_presented_key");
}


int
main(void)
{
    world_begin();

    snprintf(own_key, sizeof(own_key), "\"%s\"", acme.id[0]);

    rows_run(framing, sizeof(framing) / sizeof(framing[0]));
    rows_run(identity, sizeof(identity) / sizeof(identity[0]));
    rows_run(tokens, sizeof(tokens) / sizeof(tokens[0]));

    test_names();
    test_error_id();
    test_owner_of_iap();
    test_quiet();
    test_bearer();

    return world_end();
}
