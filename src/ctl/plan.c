
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl plan: what a plan hashes to, and what it allows.  No store is
 * needed.  What was made of it is in history.c.
 */


#include <string.h>

#include "ctl.h"


#define AIQ_CTL_PROOF  (AIQ_PROOF_MAX * 128 + 2)     /* bytes of JSON */


static int aiq_ctl_plan_hash(aiq_ctl_t *ctl);
static int aiq_ctl_plan_hash_json(aiq_ctl_t *ctl, const aiq_plan_t *plan);
static int aiq_ctl_plan_check(aiq_ctl_t *ctl);
static int aiq_ctl_plan_read(aiq_ctl_t *ctl, aiq_plan_t *plan,
    aiq_json_t *doc);
static int aiq_ctl_plan_args(aiq_ctl_t *ctl, aiq_args_t *args);
static int aiq_ctl_plan_found(aiq_ctl_t *ctl, const aiq_plan_t *plan,
    uint32_t i);


static const aiq_ctl_opt_t  aiq_ctl_plan_check_opts[] = {

    { "mcp", "M", "the MCP server that is called", 1, 0 },
    { "action", "A", "the tool that is called", 1, 0 },
    { "params", "FILE|-", "its arguments, a JSON object; default: {}", 0, 0 },
    { "strict", NULL, "as with armoriq_params strict", 0, 0 },
    { "sdk", NULL, "as on /invoke: without what SDKs add", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


const aiq_ctl_cmd_t  aiq_ctl_plan_cmds[] = {

    { "hash", "FILE|-", 1, 1, NULL, aiq_ctl_plan_hash,
      "check a plan and print its hash",
      "Prints plan_hash (which is the Merkle root), the number of steps and"
      " the leaf of every step. With --json also the proof of every step, as"
      " it stands in X-CSRG-Proof.",
      "    armoriqctl plan hash plan.json\n",
      NULL },

    { "check", "FILE|-", 1, 1, aiq_ctl_plan_check_opts, aiq_ctl_plan_check,
      "ask which step of a plan serves a call",
      "Prints the first step that matches, or the reason why none does: the"
      " same answer that nginx would give, as far as it depends on the plan"
      " alone.",
      "    armoriqctl plan check plan.json --mcp infra-mcp \\\n"
      "        --action infra.restart --params args.json\n",
      NULL },

    { "history", "[HASH]", 0, 1, aiq_ctl_plan_history_opts,
      aiq_ctl_plan_history,
      "show the calls that were made under a plan",
      "For every step of the plan, if the store has it, the calls that used it"
      " or tried to, from the audit log, and those that matched no step. HASH"
      " is the plan_hash, or --jti names a token with the plan.",
      "    armoriqctl plan history --org acme --jti"
      " 5f0c4e8a2b7d4c1e9a3f6b8d0e2c4a68\n",
      NULL },

    { NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }
};


static int
aiq_ctl_plan_read(aiq_ctl_t *ctl, aiq_plan_t *plan, aiq_json_t *doc)
{
    int          code;
    aiq_rc_t     rc;
    const char  *file;

    file = ctl->arg[0];

    code = aiq_ctl_read_json(ctl, file, AIQ_CTL_DOC_MAX, 0, doc);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_plan_read(plan, doc, 0, ctl->crypto, &ctl->mem, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, strcmp(file, "-") == 0
                            ? "standard input" : file);
    }

    return AIQ_CTL_OK;
}


static int
aiq_ctl_plan_hash(aiq_ctl_t *ctl)
{
    int           code;
    uint32_t      i;
    aiq_mem_t     mem;
    aiq_plan_t    plan;
    aiq_json_t    doc;

    code = aiq_ctl_plan_read(ctl, &plan, &doc);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    if (ctl->json) {
        return aiq_ctl_plan_hash_json(ctl, &plan);
    }

    printf("plan_hash  %s\nsteps      %u\n",
           aiq_ctl_hex(ctl, plan.root, AIQ_HASH_LEN), plan.n);

    for (i = 0; i < plan.n; i++) {
        mem = ctl->mem;

        printf("step %-5u %s  %s  %s%s\n", i,
               aiq_ctl_hex(ctl, plan.steps[i].leaf, AIQ_HASH_LEN),
               aiq_ctl_esc(ctl, plan.steps[i].mcp),
               aiq_ctl_esc(ctl, plan.steps[i].action),
               plan.steps[i].bound ? "" : "  (any parameters)");

        ctl->mem = mem;
    }

    return AIQ_CTL_OK;
}


static int
aiq_ctl_plan_hash_json(aiq_ctl_t *ctl, const aiq_plan_t *plan)
{
    void         *buf;
    json_t       *o, *leaves, *proofs;
    uint32_t      i;
    aiq_rc_t      rc;
    aiq_mem_t     mem;
    aiq_out_t     out;
    aiq_str_t     text;
    const char   *root;

    buf = aiq_mem_alloc(&ctl->mem, AIQ_CTL_PROOF);

    if (buf == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    leaves = json_array();
    proofs = json_array();

    for (i = 0; i <= plan->n; i++) {
        mem = ctl->mem;

        aiq_ctl_jadd(ctl, leaves,
                     json_string(aiq_ctl_hex(ctl, plan->leaves[i],
                                             AIQ_HASH_LEN)));
        ctl->mem = mem;
    }

    for (i = 0; i < plan->n; i++) {
        aiq_out_init(&out, buf, AIQ_CTL_PROOF);

        rc = aiq_plan_proof_write(&out, plan, i, ctl->crypto);

        if (rc == AIQ_OK && out.failed) {
            rc = AIQ_E_INTERNAL;
        }

        if (rc != AIQ_OK) {
            json_decref(leaves);
            json_decref(proofs);
            return aiq_ctl_fail(ctl, rc, "proof");
        }

        text = aiq_out_done(&out);

        aiq_ctl_jadd(ctl, proofs, json_loadb((const char *) text.data,
                                             text.len, 0, NULL));
    }

    o = json_object();
    root = aiq_ctl_hex(ctl, plan->root, AIQ_HASH_LEN);

    aiq_ctl_jset(ctl, o, "plan_hash", json_string(root));
    aiq_ctl_jset(ctl, o, "merkle_root", json_string(root));
    aiq_ctl_jset(ctl, o, "steps", json_integer(plan->n));
    aiq_ctl_jset(ctl, o, "leaves", leaves);
    aiq_ctl_jset(ctl, o, "step_proofs", proofs);

    return aiq_ctl_jprint(ctl, o);
}


static int
aiq_ctl_plan_args(aiq_ctl_t *ctl, aiq_args_t *args)
{
    int          code;
    uint32_t     i;
    aiq_rc_t     rc;
    aiq_json_t   doc;
    const char  *file;

    file = aiq_ctl_opt(ctl, "params");
    i = AIQ_JSON_NONE;

    memset(&doc, 0, sizeof(aiq_json_t));

    if (file) {
        code = aiq_ctl_read_json(ctl, file, AIQ_CTL_DOC_MAX, 0, &doc);

        if (code != AIQ_CTL_OK) {
            return code;
        }

        if (aiq_json_type(&doc, 0) != AIQ_JSON_OBJECT) {
            return aiq_ctl_no(ctl, AIQ_D_JSON_NOT_OBJECT, "%s: the parameters"
                              " must be a JSON object", file);
        }

        i = 0;
    }

    rc = aiq_args_hash(args, &doc, i, aiq_ctl_opt(ctl, "sdk") != NULL,
                       ctl->crypto);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "params");
    }

    return AIQ_CTL_OK;
}


static int
aiq_ctl_plan_check(aiq_ctl_t *ctl)
{
    int          code, strict;
    uint32_t     i;
    aiq_rc_t     rc, best;
    aiq_str_t    mcp, action;
    aiq_args_t   args;
    aiq_plan_t   plan;
    aiq_json_t   doc;

    code = aiq_ctl_name(ctl, "mcp", aiq_ctl_opt(ctl, "mcp"), &mcp);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_name(ctl, "action", aiq_ctl_opt(ctl, "action"),
                            &action);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_plan_read(ctl, &plan, &doc);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_plan_args(ctl, &args);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    strict = aiq_ctl_opt(ctl, "strict") ? AIQ_PARAMS_STRICT
                                        : AIQ_PARAMS_PLANNED;

    /* the reasons are in the order of how close a step came */

    best = AIQ_D_STEP_NOT_PLANNED;

    for (i = 0; i < plan.n; i++) {
        rc = aiq_step_match(&plan.steps[i], mcp, action, &args, strict,
                            aiq_ctl_opt(ctl, "sdk") != NULL);

        if (rc == AIQ_OK) {
            return aiq_ctl_plan_found(ctl, &plan, i);
        }

        if (rc > best) {
            best = rc;
        }
    }

    return aiq_ctl_fail(ctl, best, NULL);
}


static int
aiq_ctl_plan_found(aiq_ctl_t *ctl, const aiq_plan_t *plan, uint32_t i)
{
    json_t            *o;
    const aiq_step_t  *step;

    step = &plan->steps[i];

    if (!ctl->json) {
        printf("step %u of %u serves this call: %s on %s, %s, %u use%s\n", i,
               plan->n, aiq_ctl_esc(ctl, step->action),
               aiq_ctl_esc(ctl, step->mcp),
               step->bound ? "exactly these parameters" : "any parameters",
               step->max_uses, step->max_uses == 1 ? "" : "s");

        return AIQ_CTL_OK;
    }

    o = json_object();

    aiq_ctl_jset(ctl, o, "ok", json_true());
    aiq_ctl_jset(ctl, o, "step", json_integer(i));
    aiq_ctl_jset(ctl, o, "mcp", aiq_ctl_jstr(step->mcp));
    aiq_ctl_jset(ctl, o, "action", aiq_ctl_jstr(step->action));
    aiq_ctl_jset(ctl, o, "bound", json_boolean(step->bound));
    aiq_ctl_jset(ctl, o, "max_uses", json_integer(step->max_uses));
    aiq_ctl_jset(ctl, o, "leaf",
                 json_string(aiq_ctl_hex(ctl, step->leaf, AIQ_HASH_LEN)));

    return aiq_ctl_jprint(ctl, o);
}
