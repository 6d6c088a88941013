
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Plans: {goal, steps: [{mcp, action, params?, max_uses?, ...}], metadata?}.
 *
 *     leaf i = SHA-256(0x00 | JCS({"path":"/steps/[i]","step":<step i>}))
 *     leaf n = SHA-256(0x00 | JCS({"path":"/","plan":<plan without steps>}))
 *     plan_hash = merkle_root = RFC 6962 tree head over the n + 1 leaves
 */


#ifndef _AIQ_PLAN_H_INCLUDED_
#define _AIQ_PLAN_H_INCLUDED_


#include "jcs.h"
#include "merkle.h"


#define AIQ_STEP_USES_MAX   1000000


typedef struct {
    aiq_str_t           mcp;
    aiq_str_t           action;
    uint32_t            max_uses;     /* 1 unless the step says otherwise */
    unsigned            bound:1;      /* has params */
    unsigned            email:1;      /* params name user_email */
    unsigned            defaults:1;   /* max_uses is not in the step */
    aiq_hash_t          params;       /* SHA-256(JCS(params)), if bound */
    aiq_hash_t          leaf;
} aiq_step_t;

typedef struct {
    uint32_t            n;            /* steps */
    aiq_step_t         *steps;
    aiq_hash_t         *leaves;       /* n + 1 */
    aiq_hash_t         *nodes;        /* the levels above them, or NULL */
    aiq_hash_t          root;
} aiq_plan_t;


/*
 * Reads and checks the plan at token i of doc: steps are objects with string
 * mcp (aiq_name_ok()) and action (1..AIQ_NAME_MAX bytes of valid text, which
 * names of tools are narrower than), params if present an object, max_uses
 * an integer in 1..AIQ_STEP_USES_MAX, 1..AIQ_PLAN_STEPS steps.  Memory is
 * taken from mem, strings may point into the text.  AIQ_D_PLAN_INVALID with
 * a sentence like "step 2: missing required field \"action\"", where steps
 * count from 0 as they do in a path.
 */

aiq_rc_t aiq_plan_read(aiq_plan_t *plan, const aiq_json_t *doc, uint32_t i,
    aiq_crypto_t *c, aiq_mem_t *mem, aiq_err_t *err);

/* one step alone, as carried in a header beside its proof */

aiq_rc_t aiq_step_read(aiq_step_t *step, uint32_t index,
    const aiq_json_t *doc, uint32_t i, aiq_crypto_t *c, aiq_mem_t *mem,
    aiq_err_t *err);

/*
 * The compiled form kept in the store beside the document, little-endian,
 * versioned; unpack points into the packed bytes and takes steps and leaves
 * from mem.  AIQ_E_STORE_CORRUPT if they are not a packed plan.
 */

void aiq_plan_pack(aiq_out_t *out, const aiq_plan_t *plan);
aiq_rc_t aiq_plan_unpack(aiq_plan_t *plan, aiq_str_t packed, aiq_mem_t *mem);

/* [{"position":"left|right","sibling_hash":"<64 hex>"},...] for step i */

aiq_rc_t aiq_plan_proof_write(aiq_out_t *out, const aiq_plan_t *plan,
    uint32_t i, aiq_crypto_t *c);

/*
 * Such a text (also with "sibling", "sha256:" prefixes) read strictly and
 * verified for step i of a plan of n steps with this root.  The sides must
 * be those of (i, n + 1).  AIQ_D_PROOF_INVALID.
 */

aiq_rc_t aiq_plan_proof_verify(aiq_str_t text, uint32_t i, uint32_t n,
    const aiq_hash_t leaf, const aiq_hash_t root, aiq_crypto_t *c,
    aiq_mem_t *mem, aiq_err_t *err);

/* "/steps/[<i>]/action", "/steps/[<i>]/tool" or "/steps/[<i>]";
   AIQ_D_PATH_INVALID */

aiq_rc_t aiq_plan_path(aiq_str_t path, uint32_t *i);

/*
 * The X-CSRG-Value-Digest of an action: hexadecimal SHA-256 of its JSON
 * string, as UTF-8 (TypeScript) or ASCII (Python), "sha256:" tolerated.
 * AIQ_D_DIGEST_MISMATCH.
 */

aiq_rc_t aiq_plan_digest_check(aiq_str_t digest, aiq_str_t action,
    aiq_crypto_t *c);


/*
 * What a call asks for, in the form that is compared.  AIQ_ARGS_RAW: every
 * member counts, what is compared is what is forwarded.  AIQ_ARGS_SDK: leave
 * out the members that SDKs add (_iam_context, _policy_context,
 * _delegation_id, _approvals); user_email is left out where the step does not
 * plan it.  AIQ_ARGS_PARAMS: these are params of another method than
 * tools/call; leave out what is about the request itself (_meta,
 * inputResponses, requestState).
 */

#define AIQ_ARGS_RAW     0
#define AIQ_ARGS_SDK     1
#define AIQ_ARGS_PARAMS  2

typedef struct {
    aiq_hash_t          full;
    aiq_hash_t          no_email;     /* without user_email */
} aiq_args_t;

/* args: token of an object, or AIQ_JSON_NONE for {}; AIQ_D_STEP_PARAMS if it
   is anything else */

aiq_rc_t aiq_args_hash(aiq_args_t *args, const aiq_json_t *doc, uint32_t i,
    int form, aiq_crypto_t *c);

int aiq_args_added_by_sdk(const aiq_json_t *doc, uint32_t key);

#define AIQ_PARAMS_PLANNED  0         /* a step without params binds none */
#define AIQ_PARAMS_STRICT   1         /* such a step is refused */

/*
 * Does step s serve the call?  AIQ_OK, AIQ_D_STEP_NOT_PLANNED (another
 * action), AIQ_D_STEP_SERVER, AIQ_D_STEP_PARAMS, AIQ_D_STEP_UNBOUND.
 */

aiq_rc_t aiq_step_match(const aiq_step_t *s, aiq_str_t mcp, aiq_str_t action,
    const aiq_args_t *args, int strictness, int sdk);


#endif /* _AIQ_PLAN_H_INCLUDED_ */
