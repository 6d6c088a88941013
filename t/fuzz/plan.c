
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Plans as clients send them: what is read is packed, unpacked and proved.
 * A proof, if the first byte is '['; a packed plan, if it is 'A'; a path, if
 * it is '/'.
 */


#include <stdlib.h>
#include <string.h>

#include "plan.h"


#define MEM_SIZE  (16 * 1024 * 1024)

#define check(x)                                                              \
    do {                                                                      \
        if (!(x)) {                                                           \
            abort();                                                          \
        }                                                                     \
    } while (0)


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_plan(aiq_str_t text, aiq_mem_t mem);
static void fuzz_step(const aiq_plan_t *plan, uint32_t i, aiq_mem_t mem);
static void fuzz_packed(aiq_str_t text, aiq_mem_t mem);
static void fuzz_proof(aiq_str_t text, aiq_mem_t mem);
static void fuzz_path(aiq_str_t text);


static aiq_crypto_t   *c;
static unsigned char   memory[MEM_SIZE];


static void
fuzz_plan(aiq_str_t text, aiq_mem_t mem)
{
    size_t          size;
    uint32_t        i;
    aiq_rc_t        rc;
    aiq_err_t       err;
    aiq_out_t       out;
    aiq_json_t      doc;
    aiq_plan_t      plan, back;
    aiq_hash_t      root;
    unsigned char  *pos;

    if (aiq_json_parse(&doc, text, AIQ_JSON_DEPTH, &mem, NULL) != AIQ_OK) {
        return;
    }

    pos = mem.pos;

    rc = aiq_plan_read(&plan, &doc, 0, c, &mem, &err);

    if (rc != AIQ_OK) {
        check(rc == AIQ_D_PLAN_INVALID && err.rc == rc);
        check(mem.pos == pos && plan.n == 0);
        return;
    }

    check(plan.n >= 1 && plan.n <= AIQ_PLAN_STEPS);
    check(aiq_merkle_root(c, (const aiq_hash_t *) plan.leaves,
                          (uint64_t) plan.n + 1, root) == AIQ_OK);
    check(memcmp(root, plan.root, AIQ_HASH_LEN) == 0);

    size = 1024 + (size_t) plan.n * 1024;
    aiq_out_init(&out, aiq_mem_alloc(&mem, size), size);
    aiq_plan_pack(&out, &plan);
    check(!out.failed);
    check(aiq_plan_unpack(&back, aiq_out_done(&out), &mem) == AIQ_OK);
    check(back.n == plan.n);
    check(memcmp(back.root, plan.root, AIQ_HASH_LEN) == 0);

    for (i = 0; i < plan.n; i++) {
        check(aiq_str_eq(plan.steps[i].action, back.steps[i].action));
        check(aiq_str_eq(plan.steps[i].mcp, back.steps[i].mcp));
        check(plan.steps[i].max_uses == back.steps[i].max_uses);
        check(plan.steps[i].bound == back.steps[i].bound);
    }

    fuzz_step(&plan, 0, mem);
    fuzz_step(&plan, plan.n - 1, mem);
}


static void
fuzz_step(const aiq_plan_t *plan, uint32_t i, aiq_mem_t mem)
{
    aiq_out_t  out;
    char       text[4096];

    aiq_out_init(&out, text, sizeof(text));

    check(aiq_plan_proof_write(&out, plan, i, c) == AIQ_OK && !out.failed);
    check(aiq_plan_proof_verify(aiq_out_done(&out), i, plan->n,
                                plan->leaves[i], plan->root, c, &mem, NULL)
          == AIQ_OK);
    check(aiq_plan_proof_verify(aiq_out_done(&out), i, plan->n,
                                plan->leaves[plan->n], plan->root, c, &mem,
                                NULL)
          == AIQ_D_PROOF_INVALID);
}


static void
fuzz_packed(aiq_str_t text, aiq_mem_t mem)
{
    uint32_t    i;
    aiq_rc_t    rc;
    aiq_plan_t  plan;

    rc = aiq_plan_unpack(&plan, text, &mem);

    if (rc != AIQ_OK) {
        check(rc == AIQ_E_STORE_CORRUPT && plan.n == 0);
        return;
    }

    for (i = 0; i < plan.n; i++) {
        check(plan.steps[i].action.len >= 1);
        check(plan.steps[i].action.len <= AIQ_NAME_MAX);
        check(plan.steps[i].max_uses >= 1);
        check(plan.steps[i].max_uses <= AIQ_STEP_USES_MAX);
    }
}


/* nobody finds a proof for a root of zeros */

static void
fuzz_proof(aiq_str_t text, aiq_mem_t mem)
{
    aiq_hash_t  hash;

    memset(hash, 0, sizeof(hash));

    check(aiq_plan_proof_verify(text, 0, 1, hash, hash, c, &mem, NULL)
          == AIQ_D_PROOF_INVALID);
    check(aiq_plan_proof_verify(text, 3, 7, hash, hash, c, &mem, NULL)
          == AIQ_D_PROOF_INVALID);
}


static void
fuzz_path(aiq_str_t text)
{
    uint32_t  i;

    if (aiq_plan_path(text, &i) == AIQ_OK) {
        check(i < AIQ_PLAN_STEPS);
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    aiq_mem_t  mem;
    aiq_str_t  text;

    if (c == NULL) {
        c = aiq_crypto_new();
        check(c != NULL);
    }

    mem.pos = memory;
    mem.end = memory + MEM_SIZE;
    text.data = data;
    text.len = size;

    switch (size ? data[0] : 0) {

    case '[':
        fuzz_proof(text, mem);
        break;

    case 'A':
        fuzz_packed(text, mem);
        break;

    case '/':
        fuzz_path(text);
        break;

    default:
        fuzz_plan(text, mem);
        break;
    }

    return 0;
}
