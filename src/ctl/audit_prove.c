
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl audit checkpoint, prove, consistency, check: what a log can
 * prove to somebody who has only its public key.
 */


#include <string.h>

#include "audit_checkpoint.h"
#include "audit_key.h"
#include "b64.h"
#include "cosign.h"
#include "ctl.h"


static int aiq_ctl_audit_tree(aiq_ctl_t *ctl, aiq_audit_tree_t *t,
    uint64_t size);
static int aiq_ctl_audit_wrong(aiq_ctl_t *ctl, aiq_rc_t rc);
static int aiq_ctl_audit_write(aiq_ctl_t *ctl, const char *p, size_t len);
static int aiq_ctl_audit_receipt(aiq_ctl_t *ctl, uint64_t seq,
    const aiq_audit_tree_t *t, const aiq_tlog_proof_t *p,
    const aiq_hash_t leaf);
static int aiq_ctl_audit_step(aiq_ctl_t *ctl, uint64_t from,
    const aiq_audit_tree_t *t, const aiq_tlog_proof_t *p,
    const aiq_hash_t root);
static void aiq_ctl_audit_hashes(aiq_ctl_t *ctl, json_t *o,
    const aiq_tlog_proof_t *p);
static int aiq_ctl_audit_chain(aiq_ctl_t *ctl, aiq_audit_keys_t **keys);
static int aiq_ctl_audit_leaf(aiq_ctl_t *ctl, aiq_hash_t leaf);


int
aiq_ctl_audit_checkpoint(aiq_ctl_t *ctl)
{
    char                *text;
    json_t              *o;
    unsigned             flags;
    aiq_rc_t             rc;
    aiq_audit_tree_t     t;
    aiq_audit_signed_t   done;
    aiq_audit_signer_t  *s;

    rc = aiq_audit_signer_open(&s, ctl->arg[0], aiq_audit_seed_store,
                               (void *) ctl->dir, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, NULL);
    }

    flags = aiq_ctl_opt(ctl, "rebuild") ? AIQ_AUDIT_REBUILD : 0;

    rc = aiq_audit_checkpoint(s, flags, &done, &ctl->err);

    aiq_audit_signer_close(s);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, NULL);
    }

    if (done.size == 0) {
        return aiq_ctl_no(ctl, AIQ_OK, "the log has no records yet");
    }

    rc = aiq_ctl_audit_tree(ctl, &t, 0);

    if (rc != AIQ_CTL_OK) {
        return (int) rc;
    }

    text = (char *) t.note.data;

    if (!ctl->json) {
        return aiq_ctl_audit_write(ctl, text, t.note.len);
    }

    o = json_object();

    aiq_ctl_jset(ctl, o, "ok", json_true());
    aiq_ctl_jset(ctl, o, "size", json_integer((json_int_t) done.size));
    aiq_ctl_jset(ctl, o, "added", json_integer((json_int_t) done.added));
    aiq_ctl_jset(ctl, o, "checkpoint", aiq_ctl_jstr(t.note));

    return aiq_ctl_jprint(ctl, o);
}


/* the newest checkpoint, or that of a size */

static int
aiq_ctl_audit_tree(aiq_ctl_t *ctl, aiq_audit_tree_t *t, uint64_t size)
{
    aiq_rc_t  rc;

    t->buf = aiq_mem_alloc(&ctl->mem, AIQ_NOTE_MAX);

    if (t->buf == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    rc = aiq_audit_tree_open(t, ctl->arg[0], &ctl->err);

    if (rc == AIQ_OK) {
        rc = size ? aiq_audit_tree_find(t, size, ctl->crypto, &ctl->err)
                  : aiq_audit_tree(t, ctl->crypto, &ctl->err);
    }

    return rc == AIQ_OK ? AIQ_CTL_OK : aiq_ctl_audit_wrong(ctl, rc);
}


static int
aiq_ctl_audit_wrong(aiq_ctl_t *ctl, aiq_rc_t rc)
{
    if (rc == AIQ_DECLINED) {
        return aiq_ctl_no(ctl, AIQ_OK, "%s", ctl->err.text);
    }

    return aiq_ctl_fail(ctl, rc, NULL);
}


/* formats of others: as they are, not escaped; nothing in them is foreign */

static int
aiq_ctl_audit_write(aiq_ctl_t *ctl, const char *p, size_t len)
{
    if (fwrite(p, 1, len, stdout) != len || fflush(stdout) != 0) {
        return aiq_ctl_fault(ctl, AIQ_E_INTERNAL, "cannot write the answer");
    }

    return AIQ_CTL_OK;
}


int
aiq_ctl_audit_prove(aiq_ctl_t *ctl)
{
    int                code;
    int64_t            seq, size;
    aiq_rc_t           rc;
    aiq_hash_t         leaf;
    aiq_audit_tree_t   t;
    aiq_tlog_proof_t   proof;

    code = aiq_ctl_opt_int(ctl, "seq", 1, AIQ_JSON_SAFE, 0, &seq);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_opt_int(ctl, "size", 1, AIQ_JSON_SAFE, 0, &size);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_audit_tree(ctl, &t, (uint64_t) size);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_audit_prove(&t, (uint64_t) seq, &proof, leaf, ctl->crypto,
                         &ctl->err);

    if (rc == AIQ_D_PROOF_INVALID) {
        rc = aiq_audit_prove_slowly(ctl->arg[0], &t, (uint64_t) seq, 0,
                                    &proof, leaf, ctl->crypto, &ctl->err);
    }

    aiq_audit_tree_close(&t);

    if (rc != AIQ_OK) {
        return aiq_ctl_audit_wrong(ctl, rc);
    }

    return aiq_ctl_audit_receipt(ctl, (uint64_t) seq, &t, &proof, leaf);
}


static int
aiq_ctl_audit_receipt(aiq_ctl_t *ctl, uint64_t seq,
    const aiq_audit_tree_t *t, const aiq_tlog_proof_t *p,
    const aiq_hash_t leaf)
{
    json_t     *o;
    size_t      size;
    aiq_out_t   out;
    aiq_str_t   s;

    size = AIQ_TLOG_PROOF_MAX + p->note.len;

    aiq_out_init(&out, aiq_mem_alloc(&ctl->mem, size), size);

    if (out.start == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    aiq_tlog_proof_write(&out, p);

    if (out.failed) {
        return aiq_ctl_fault(ctl, AIQ_E_INTERNAL, "the proof is too long");
    }

    s = aiq_out_done(&out);

    if (!ctl->json) {
        return aiq_ctl_audit_write(ctl, (const char *) s.data, s.len);
    }

    o = json_object();

    aiq_ctl_jset(ctl, o, "ok", json_true());
    aiq_ctl_jset(ctl, o, "seq", json_integer((json_int_t) seq));
    aiq_ctl_jset(ctl, o, "index", json_integer((json_int_t) p->index));
    aiq_ctl_jset(ctl, o, "leaf",
                 json_string(aiq_ctl_hex(ctl, leaf, AIQ_HASH_LEN)));
    aiq_ctl_jset(ctl, o, "size",
                 json_integer((json_int_t) t->checkpoint.size));
    aiq_ctl_jset(ctl, o, "root",
                 json_string(aiq_ctl_hex(ctl, t->checkpoint.root,
                                         AIQ_HASH_LEN)));
    aiq_ctl_audit_hashes(ctl, o, p);
    aiq_ctl_jset(ctl, o, "text", aiq_ctl_jstr(s));

    return aiq_ctl_jprint(ctl, o);
}


static void
aiq_ctl_audit_hashes(aiq_ctl_t *ctl, json_t *o, const aiq_tlog_proof_t *p)
{
    json_t    *list;
    unsigned   i;

    list = json_array();

    for (i = 0; i < p->count; i++) {
        aiq_ctl_jadd(ctl, list,
                     json_string(aiq_ctl_hex(ctl, p->proof[i],
                                             AIQ_HASH_LEN)));
    }

    aiq_ctl_jset(ctl, o, "proof", list);
}


int
aiq_ctl_audit_consistency(aiq_ctl_t *ctl)
{
    int                code;
    int64_t            from, to;
    aiq_rc_t           rc;
    aiq_hash_t         root;
    aiq_audit_tree_t   t;
    aiq_tlog_proof_t   proof;

    code = aiq_ctl_opt_int(ctl, "from", 1, AIQ_JSON_SAFE, 0, &from);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_opt_int(ctl, "to", 1, AIQ_JSON_SAFE, 0, &to);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_audit_tree(ctl, &t, (uint64_t) to);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_audit_prove_consistency(&t, (uint64_t) from, &proof, root,
                                     ctl->crypto, &ctl->err);

    if (rc == AIQ_D_PROOF_INVALID) {
        rc = aiq_audit_prove_slowly(ctl->arg[0], &t, 0, (uint64_t) from,
                                    &proof, root, ctl->crypto, &ctl->err);
    }

    aiq_audit_tree_close(&t);

    if (rc != AIQ_OK) {
        return aiq_ctl_audit_wrong(ctl, rc);
    }

    return aiq_ctl_audit_step(ctl, (uint64_t) from, &t, &proof, root);
}


/* the body of add-checkpoint, c2sp.org/tlog-witness */

static int
aiq_ctl_audit_step(aiq_ctl_t *ctl, uint64_t from, const aiq_audit_tree_t *t,
    const aiq_tlog_proof_t *p, const aiq_hash_t root)
{
    json_t     *o;
    aiq_out_t   out;
    aiq_str_t   s;
    char        buf[AIQ_TLOG_PROOF_MAX];

    if (!ctl->json) {
        aiq_out_init(&out, buf, sizeof(buf));

        aiq_witness_write(&out, from, (const aiq_hash_t *) p->proof,
                          p->count);

        s = aiq_out_done(&out);

        if (out.failed) {
            return aiq_ctl_fault(ctl, AIQ_E_INTERNAL,
                                 "the proof is too long");
        }

        if (aiq_ctl_audit_write(ctl, (const char *) s.data, s.len)
            != AIQ_CTL_OK)
        {
            return AIQ_CTL_FAULT;
        }

        return aiq_ctl_audit_write(ctl, (const char *) t->note.data,
                                   t->note.len);
    }

    o = json_object();

    aiq_ctl_jset(ctl, o, "ok", json_true());
    aiq_ctl_jset(ctl, o, "from", json_integer((json_int_t) from));
    aiq_ctl_jset(ctl, o, "from_root",
                 json_string(aiq_ctl_hex(ctl, root, AIQ_HASH_LEN)));
    aiq_ctl_jset(ctl, o, "to", json_integer((json_int_t) t->checkpoint.size));
    aiq_ctl_jset(ctl, o, "to_root",
                 json_string(aiq_ctl_hex(ctl, t->checkpoint.root,
                                         AIQ_HASH_LEN)));
    aiq_ctl_audit_hashes(ctl, o, p);
    aiq_ctl_jset(ctl, o, "checkpoint", aiq_ctl_jstr(t->note));

    return aiq_ctl_jprint(ctl, o);
}


/* a proof that somebody was given: needs no log, only its key */

int
aiq_ctl_audit_check(aiq_ctl_t *ctl)
{
    int                code;
    json_t            *o;
    aiq_rc_t           rc;
    aiq_str_t          text;
    aiq_hash_t         leaf;
    aiq_vkey_t         key;
    aiq_audit_keys_t  *keys;
    aiq_checkpoint_t   cp;
    aiq_tlog_proof_t   p;

    rc = aiq_vkey_parse(&key, aiq_cstr(aiq_ctl_opt(ctl, "vkey")),
                        ctl->crypto, &ctl->err);

    if (rc == AIQ_DECLINED) {
        return aiq_ctl_usage(ctl, "--vkey: %s", ctl->err.text);
    }

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, NULL);
    }

    code = aiq_ctl_audit_leaf(ctl, leaf);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_audit_chain(ctl, &keys);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_read(ctl, ctl->arg[0], AIQ_NOTE_MAX, 0, &text);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_tlog_proof_parse(&p, text, &ctl->err);

    if (rc == AIQ_OK) {
        rc = keys->n ? aiq_audit_keys_open(keys, &cp, p.note, ctl->crypto,
                                           &ctl->err)
                     : aiq_checkpoint_open(&cp, p.note, &key, 1, ctl->crypto,
                                           &ctl->err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_merkle_verify(ctl->crypto, p.index, cp.size, leaf,
                               (const aiq_hash_t *) p.proof, p.count,
                               cp.root);

        if (rc == AIQ_D_PROOF_INVALID) {
            (void) aiq_fail(&ctl->err, rc, "the proof is not one of this "
                            "record under this checkpoint");
        }
    }

    if (aiq_is_fault(rc)) {
        return aiq_ctl_fail(ctl, rc, NULL);
    }

    if (rc != AIQ_OK) {
        return aiq_ctl_no(ctl, AIQ_OK, "%s", ctl->err.text);
    }

    if (!ctl->json) {
        printf("record %llu of %s is among the first %llu\n",
               (unsigned long long) p.index + 1,
               aiq_ctl_esc(ctl, cp.origin), (unsigned long long) cp.size);

        return AIQ_CTL_OK;
    }

    o = json_object();

    aiq_ctl_jset(ctl, o, "ok", json_true());
    aiq_ctl_jset(ctl, o, "origin", aiq_ctl_jstr(cp.origin));
    aiq_ctl_jset(ctl, o, "seq", json_integer((json_int_t) p.index + 1));
    aiq_ctl_jset(ctl, o, "size", json_integer((json_int_t) cp.size));

    return aiq_ctl_jprint(ctl, o);
}


/* the keys in --keys, among which must be that of --vkey; none without it */

static int
aiq_ctl_audit_chain(aiq_ctl_t *ctl, aiq_audit_keys_t **keys)
{
    int          code;
    aiq_rc_t     rc;
    aiq_str_t    text;
    const char  *file;

    *keys = aiq_mem_calloc(&ctl->mem, sizeof(aiq_audit_keys_t));

    if (*keys == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    file = aiq_ctl_opt(ctl, "keys");

    if (file == NULL) {
        return AIQ_CTL_OK;
    }

    code = aiq_ctl_read(ctl, file, AIQ_AUDIT_KEYS_SIZE, 0, &text);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_audit_keys_read(*keys, text, ctl->crypto, &ctl->err);

    if (aiq_is_fault(rc)) {
        return aiq_ctl_fail(ctl, rc, NULL);
    }

    if (rc != AIQ_OK || (*keys)->n == 0) {
        return aiq_ctl_no(ctl, AIQ_OK, "--keys: %s",
                          rc == AIQ_OK ? "the file is empty"
                                       : ctl->err.text);
    }

    if (!aiq_audit_keys_have(*keys, aiq_cstr(aiq_ctl_opt(ctl, "vkey")))) {
        return aiq_ctl_no(ctl, AIQ_OK, "--keys: the key in --vkey is not "
                          "among them");
    }

    return AIQ_CTL_OK;
}


/* of --leaf, or of the line in --record */

static int
aiq_ctl_audit_leaf(aiq_ctl_t *ctl, aiq_hash_t leaf)
{
    int          code;
    aiq_str_t    line;
    const char  *hex, *file;

    hex = aiq_ctl_opt(ctl, "leaf");
    file = aiq_ctl_opt(ctl, "record");

    if ((hex == NULL) == (file == NULL)) {
        return aiq_ctl_usage(ctl, "give one of --leaf and --record");
    }

    if (hex) {

        if (aiq_hex_decode(aiq_cstr(hex), leaf, AIQ_HASH_LEN) != AIQ_OK) {
            return aiq_ctl_usage(ctl, "--leaf: 64 lower-case hex digits are "
                                 "expected");
        }

        return AIQ_CTL_OK;
    }

    code = aiq_ctl_read(ctl, file, AIQ_AUDIT_LINE_MAX, 0, &line);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    if (line.len && line.data[line.len - 1] == '\n') {
        line.len--;
    }

    if (aiq_merkle_leaf(ctl->crypto, line, leaf) != AIQ_OK) {
        return aiq_ctl_fault(ctl, AIQ_E_CRYPTO_FAILED, "SHA-256 failed");
    }

    return AIQ_CTL_OK;
}
