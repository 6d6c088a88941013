
/*
 * Copyright (C) ngx_armoriq authors
 *
 * libarmoriq: what every part of the core stands on.
 *
 * The core knows no server, no clock and no global state: time, keys,
 * randomness and memory come from the caller.  It is not thread safe by
 * itself; objects that hold state (aiq_crypto_t, aiq_store_t, ...) belong to
 * one thread at a time.
 */


#ifndef _AIQ_H_INCLUDED_
#define _AIQ_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define AIQ_VERSION           "0.1.0"

/* limits, in bytes unless said otherwise; tested at N and N + 1 */

#define AIQ_HASH_LEN          32        /* SHA-256 */
#define AIQ_KEY_LEN           32        /* Ed25519 seed, Ed25519 public key */
#define AIQ_SIG_LEN           64        /* Ed25519 signature */
#define AIQ_NAME_MAX          256       /* org, user, agent, mcp, tool, jti */
#define AIQ_KID_MAX           128
#define AIQ_METHOD_MAX        128       /* JSON-RPC method */
#define AIQ_TOKEN_MAX         16384     /* compact JWS, IAP object */
#define AIQ_TOKEN_HEADER_MAX  4096      /* JOSE header, decoded */
#define AIQ_TOKEN_DEPTH       16        /* nesting of header and claims */
#define AIQ_JSON_DEPTH        64        /* nesting of a body */
#define AIQ_JSON_TOKENS       131072    /* values and keys in one text */
#define AIQ_JSON_SAFE         9007199254740991LL    /* 2^53 - 1, RFC 7493 2.2 */
#define AIQ_PLAN_STEPS        1024      /* steps of one plan */
#define AIQ_PROOF_MAX         64        /* nodes of one Merkle proof */
#define AIQ_TIME_MAX          253402300799LL        /* 9999-12-31T23:59:59Z */
#define AIQ_ERR_TEXT          384


/* bytes of somebody else; not NUL-terminated */

typedef struct {
    size_t                len;
    const unsigned char  *data;
} aiq_str_t;

#define aiq_string(s)     { sizeof(s) - 1, (const unsigned char *) s }
#define aiq_str_set(s, t)                                                     \
    (s)->len = sizeof(t) - 1; (s)->data = (const unsigned char *) t
#define aiq_str_null(s)   (s)->len = 0; (s)->data = NULL


/*
 * Results.  Every function that decides answers with one of these, and the
 * two kinds of failure never mix: AIQ_D_... is a refusal with a stable name
 * for the audit record and the caller, AIQ_E_... is a fault of ours, which
 * refuses as well (fail closed) but with 503.
 *
 *     name, HTTP status, sentence for the caller
 *
 * The sentence says nothing that helps to guess; details go to aiq_err_t.
 */

#define AIQ_DENIALS(X)                                                        \
                                                                              \
    /* framing */                                                             \
    X(METHOD_NOT_ALLOWED,     405, "this HTTP method is not allowed here")    \
    X(PROTOCOL_VERSION,       400, "this protocol version is not supported")  \
    X(CONTENT_TYPE,           415, "the body must be application/json in UTF-8") \
    X(CONTENT_ENCODING,       415, "encoded request bodies are not accepted") \
    X(BODY_TOO_LARGE,         413, "the request body is too large")           \
    X(BODY_INCOMPLETE,        400, "the request body is incomplete")          \
    X(BODY_UNEXPECTED,        400, "this request must not have a body")       \
    X(JSON_INVALID,           400, "the body is not valid JSON")              \
    X(JSON_ENCODING,          400, "the body is not valid UTF-8 text")        \
    X(JSON_DUPLICATE_KEY,     400, "an object has the same key twice")        \
    X(JSON_NUMBER,            400, "a number is outside the I-JSON range")    \
    X(JSON_TOO_DEEP,          400, "the body is nested too deeply")           \
    X(JSON_TOO_LARGE,         413, "the body has too many values")            \
    X(JSON_NOT_OBJECT,        400, "the body must be a JSON object")          \
    X(BATCH_NOT_ALLOWED,      400, "JSON-RPC batches are not accepted")       \
    X(RPC_INVALID,            400, "the body is not a valid JSON-RPC request") \
    X(RPC_PARAMS,             400, "a parameter is missing or not valid")     \
    X(RPC_AMBIGUOUS,          400, "two readers could read this request differently") \
    X(RPC_METHOD,             403, "this method is not allowed here")         \
    X(HEADER_MISMATCH,        400, "a mirrored header differs from the body") \
    X(HEADER_DUPLICATE,       400, "a header must not be sent twice")         \
    X(ORIGIN_NOT_ALLOWED,     403, "calls from this web page are not accepted") \
    X(EARLY_DATA,             425, "calls in TLS early data are not accepted") \
    X(UPGRADE_NOT_ALLOWED,    400, "protocol upgrades are not accepted")      \
    X(INVOKE_INVALID,         400, "the invoke envelope is not valid")        \
    X(REQUEST_INVALID,        400, "a field of the request is missing or wrong") \
                                                                              \
    /* identity */                                                            \
    X(IDENTITY_MISSING,       401, "no API key or token was presented")       \
    X(IDENTITY_AMBIGUOUS,     400, "credentials were presented more than once") \
    X(KEY_INVALID,            401, "the API key is not valid")                \
    X(ORG_NOT_ALLOWED,        403, "this server is for another org")          \
    X(SESSION_UNKNOWN,        404, "there is no session with this id")        \
                                                                              \
    /* token */                                                               \
    X(TOKEN_MISSING,          401, "this call needs an intent token")         \
    X(TOKEN_AMBIGUOUS,        400, "an intent token was presented more than once") \
    X(TOKEN_MALFORMED,        401, "the intent token is malformed")           \
    X(TOKEN_ALGORITHM,        401, "the intent token has another algorithm")  \
    X(TOKEN_TYPE,             401, "the token is not an intent token")        \
    X(TOKEN_HEADER,           401, "the intent token has a header that is not accepted") \
    X(TOKEN_KEY,              401, "the intent token was signed with an unknown key") \
    X(TOKEN_SIGNATURE,        401, "the signature of the intent token is wrong") \
    X(TOKEN_CLAIMS,           401, "a claim of the intent token is missing or wrong") \
    X(TOKEN_ISSUER,           401, "the intent token has another issuer")     \
    X(TOKEN_AUDIENCE,         401, "the intent token is for another audience") \
    X(TOKEN_EXPIRED,          401, "the intent token has expired")            \
    X(TOKEN_NOT_YET,          401, "the intent token is not valid yet")       \
    X(TOKEN_LIFETIME,         401, "the intent token lives too long")         \
    X(TOKEN_REVOKED,          401, "the intent token was revoked")            \
    X(TOKEN_OWNER,            401, "the intent token belongs to somebody else") \
                                                                              \
    /* intent */                                                              \
    X(PLAN_INVALID,           400, "the plan is not valid")                   \
    X(PLAN_UNKNOWN,           409, "the plan behind this token is not known") \
    X(PLAN_MISMATCH,          409, "the plan is not the one that was signed") \
    X(PATH_INVALID,           409, "the CSRG path does not name a step")      \
    X(DIGEST_MISMATCH,        409, "the value digest is not that of the action") \
    X(PROOF_INVALID,          409, "the Merkle proof is wrong")               \
    X(STEP_NOT_PLANNED,       409, "this action is not in the plan")          \
    X(STEP_SERVER,            409, "this action was planned for another MCP server") \
    X(STEP_PARAMS,            409, "the parameters are not those of the plan") \
    X(STEP_UNBOUND,           409, "the plan does not bind the parameters")   \
    X(STEP_USED,              409, "this step of the plan has been used")     \
                                                                              \
    /* policy */                                                              \
    X(MCP_UNKNOWN,            404, "no MCP server is registered under this name") \
    X(POLICY_INVALID,         400, "the policy is not valid")                 \
    X(POLICY_DENY,            403, "a policy denies this call")               \
    X(POLICY_NOT_ALLOWED,     403, "no policy allows this call")              \
    X(POLICY_TOOL,            403, "this tool is not among the allowed tools") \
    X(POLICY_SOURCE,          403, "calls from this address are not allowed") \
    X(POLICY_TIME,            403, "calls are not allowed at this time")      \
    X(POLICY_HOLD,            403, "this call needs an approval")             \
    X(TOOL_UNKNOWN,           403, "Unknown tool")                            \
    X(ENFORCEMENT_BYPASS,     403, "no permit reached this server")           \
                                                                              \
    /* answers */                                                             \
    X(LIST_INVALID,           502, "the list of the server cannot be read")   \
                                                                              \
    /* limits */                                                              \
    X(RATE_LIMITED,           429, "too many calls")                          \
    X(ZONE_FULL,              429, "too many calls")

#define AIQ_FAULTS(X)                                                         \
                                                                              \
    X(INTERNAL,               503, "internal fault")                          \
    X(NO_MEMORY,              503, "internal fault")                          \
    X(CRYPTO_FAILED,          503, "internal fault")                          \
    X(STORE_UNAVAILABLE,      503, "the store cannot be read")                \
    X(STORE_CORRUPT,          503, "the store cannot be read")                \
    X(STORE_FULL,             503, "the store cannot be written")             \
    X(AUDIT_UNAVAILABLE,      503, "the audit record cannot be written")      \
    X(ZONE_UNAVAILABLE,       503, "internal fault")


typedef enum {
    AIQ_DECLINED = -1,        /* neither: no opinion, or nothing found */
    AIQ_OK = 0,

#define AIQ_X(name, status, text)  AIQ_D_##name,
    AIQ_DENIALS(AIQ_X)
#undef AIQ_X

    AIQ_D_END_,
    AIQ_E_BEGIN_ = 1000,

#define AIQ_X(name, status, text)  AIQ_E_##name,
    AIQ_FAULTS(AIQ_X)
#undef AIQ_X

    AIQ_E_END_
} aiq_rc_t;

#define aiq_is_denied(rc)    ((rc) > AIQ_OK && (rc) < AIQ_D_END_)
#define aiq_is_fault(rc)     ((rc) > AIQ_E_BEGIN_)

const char *aiq_reason(aiq_rc_t rc);        /* "STEP_USED"; "OK"; static */
const char *aiq_message(aiq_rc_t rc);       /* the sentence; static */
int aiq_http_status(aiq_rc_t rc);           /* 200 for AIQ_OK */

/*
 * For a JSON-RPC error: the codes of JSON-RPC 2.0 5.1 and MCP 2026-07-28 for
 * framing, else the HTTP status: positive numbers are outside the range that
 * the two reserve (-32768 to -32000).
 */

int aiq_rpc_code(aiq_rc_t rc);


/*
 * What was wrong, for logs, audit records and the CLI: one sentence that
 * names the field.  Never holds a secret or a token; may hold bytes of a
 * client, so whoever prints it escapes it.  May be NULL wherever passed.
 */

typedef struct {
    aiq_rc_t              rc;
    size_t                offset;      /* of a JSON fault in its text */
    char                  text[AIQ_ERR_TEXT];
} aiq_err_t;

/* fills err, if there is one, and returns rc */

aiq_rc_t aiq_fail(aiq_err_t *err, aiq_rc_t rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));


/*
 * Memory of the caller, taken from the front.  There is no free: the caller
 * remembers pos and puts it back.  aiq_mem_alloc() aligns to 16 and returns
 * NULL when the rest is too small.
 */

typedef struct {
    unsigned char        *pos;
    unsigned char        *end;
} aiq_mem_t;

void *aiq_mem_alloc(aiq_mem_t *mem, size_t size);
void *aiq_mem_calloc(aiq_mem_t *mem, size_t size);
aiq_rc_t aiq_mem_dup(aiq_mem_t *mem, aiq_str_t s, aiq_str_t *out);


/*
 * A place to write to.  Either memory of the caller (flush is NULL: what does
 * not fit sets failed and is dropped), or a buffer that flush empties, for
 * hashing without a copy.  pos may be moved by macros; check failed at the
 * end, once.
 */

typedef struct aiq_out_s  aiq_out_t;

struct aiq_out_s {
    unsigned char        *start;
    unsigned char        *pos;
    unsigned char        *end;
    int                 (*flush)(aiq_out_t *out);   /* 0, or -1 */
    void                 *ctx;
    unsigned              failed:1;
};

void aiq_out_init(aiq_out_t *out, void *buf, size_t size);
void aiq_out_mem(aiq_out_t *out, const void *p, size_t len);
void aiq_out_str(aiq_out_t *out, const char *s);
void aiq_out_int(aiq_out_t *out, int64_t v);
void aiq_out_hex(aiq_out_t *out, const unsigned char *p, size_t len);

/*
 * A JSON string with its quotes.  Bytes that are not valid UTF-8, and NUL,
 * become U+FFFD and controls are escaped: no input can end a record, and our
 * own reader takes what is written.
 */

void aiq_out_json(aiq_out_t *out, aiq_str_t s);

#define aiq_out_char(out, c)                                                  \
    do {                                                                      \
        if ((out)->pos < (out)->end) {                                        \
            *(out)->pos++ = (unsigned char) (c);                              \
        } else {                                                              \
            unsigned char aiq_c_ = (unsigned char) (c);                       \
            aiq_out_mem(out, &aiq_c_, 1);                                     \
        }                                                                     \
    } while (0)

aiq_str_t aiq_out_done(aiq_out_t *out);     /* what is in memory so far */


/* strings */

aiq_str_t aiq_cstr(const char *s);
int aiq_str_eq(aiq_str_t a, aiq_str_t b);
int aiq_str_is(aiq_str_t a, const char *s);

/* 1..AIQ_NAME_MAX bytes of valid UTF-8 without controls (trust T10) */

int aiq_name_ok(aiq_str_t s);

/* length of the UTF-8 sequence at p, or 0 if it is not valid (RFC 3629) */

size_t aiq_utf8(const unsigned char *p, size_t len, uint32_t *code);


#endif /* _AIQ_H_INCLUDED_ */
