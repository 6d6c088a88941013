
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Which key signs.  A signer looks under its lock, before anything else, which
 * key is the newest; whoever makes that another one holds the same lock, from
 * the last checkpoint of the old key to the first one of the new key.  So no
 * signer ever uses a key behind its successor.
 */


#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "audit_signer.h"
#include "store.h"


static aiq_rc_t aiq_audit_rekey_note(aiq_audit_signer_t *s,
    const unsigned char seed[AIQ_KEY_LEN], aiq_out_t *out, aiq_err_t *err);
static aiq_rc_t aiq_audit_rekey_append(aiq_audit_signer_t *s, aiq_str_t note,
    int64_t now_us, aiq_audit_rekeyed_t *result, aiq_err_t *err);


void
aiq_audit_kid(char kid[AIQ_AUDIT_KID_LEN], const aiq_vkey_t *key, unsigned n)
{
    (void) snprintf(kid, AIQ_AUDIT_KID_LEN,
                    n ? AIQ_AUDIT_KID "-%02x%02x%02x%02x" : AIQ_AUDIT_KID,
                    key->id[0], key->id[1], key->id[2], key->id[3]);
}


aiq_rc_t
aiq_audit_seed_store(void *data, const aiq_vkey_t *key, unsigned n,
    unsigned char seed[AIQ_KEY_LEN], aiq_err_t *err)
{
    char  kid[AIQ_AUDIT_KID_LEN];

    aiq_audit_kid(kid, key, n);

    return aiq_store_seed_read(data, aiq_cstr(kid), seed, err);
}


/* the file of keys is replaced, never written to: one look is enough */

aiq_rc_t
aiq_audit_signer_keys(aiq_audit_signer_t *s, aiq_err_t *err)
{
    aiq_rc_t       rc;
    struct stat    st;
    unsigned char  pub[AIQ_KEY_LEN];

    if (fstatat(s->dir, AIQ_AUDIT_KEYS_FILE, &st, AT_SYMLINK_NOFOLLOW) != 0) {

        if (errno != ENOENT) {
            return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE, "audit file "
                            AIQ_AUDIT_KEYS_FILE " cannot be examined: %m");
        }

        memset(&st, 0, sizeof(struct stat));
    }

    if (s->ready && st.st_ino == s->stat.st_ino && st.st_dev == s->stat.st_dev
        && st.st_size == s->stat.st_size
        && st.st_mtim.tv_sec == s->stat.st_mtim.tv_sec
        && st.st_mtim.tv_nsec == s->stat.st_mtim.tv_nsec)
    {
        return AIQ_OK;
    }

    s->ready = 0;
    aiq_wipe(s->seed, sizeof(s->seed));

    rc = aiq_audit_keys(s->dir, &s->keys, s->crypto, err);

    if (rc == AIQ_OK) {
        rc = s->read(s->data, &s->keys.key[s->keys.n - 1], s->keys.n - 1,
                     s->seed, err);
    }

    if (rc != AIQ_OK) {
        return aiq_is_fault(rc) ? rc : AIQ_E_AUDIT_UNAVAILABLE;
    }

    if (aiq_ed25519_public(s->crypto, s->seed, pub) != AIQ_OK) {
        return aiq_fail(err, AIQ_E_CRYPTO_FAILED, "Ed25519 failed");
    }

    if (memcmp(pub, s->keys.key[s->keys.n - 1].key, AIQ_KEY_LEN) != 0) {
        aiq_wipe(s->seed, sizeof(s->seed));

        return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                        "the seed is not that of the newest key of the log");
    }

    s->stat = st;
    s->ready = 1;

    return AIQ_OK;
}


aiq_rc_t
aiq_audit_signer_keyed(aiq_audit_signer_t *s, aiq_str_t line,
    const aiq_audit_last_t *last, aiq_err_t *err)
{
    unsigned         n;
    aiq_rc_t         rc;
    aiq_mem_t        mem;
    aiq_str_t        note;
    aiq_hash_t       hash;
    aiq_json_tok_t   tape[512];

    mem.pos = (unsigned char *) tape;
    mem.end = mem.pos + sizeof(tape);

    n = s->keys.n;

    rc = aiq_audit_key_record(line, &mem, &note);

    if (rc == AIQ_OK) {
        rc = aiq_sha256(s->crypto, note, hash);
    }

    if (rc == AIQ_OK
        && aiq_audit_keys_find(&s->keys, (const unsigned char *) hash))
    {
        return AIQ_OK;
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_keys_add(&s->keys, note, s->crypto, err);
    }

    if (rc == AIQ_OK
        && (s->keys.from[n] != last->size
            || memcmp(s->keys.root[n], last->root, AIQ_HASH_LEN) != 0))
    {
        rc = AIQ_DECLINED;
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_keys_publish(s->dir, note, err);
    }

    /* read them again, whatever became of it */

    s->ready = 0;

    if (rc == AIQ_OK || aiq_is_fault(rc)) {
        return rc;
    }

    return aiq_fail(err, AIQ_E_AUDIT_UNAVAILABLE,
                    "%s: the KEY record behind %llu does not declare the next "
                    "key", s->reader.name,
                    (unsigned long long) s->edge.size - 1);
}


aiq_rc_t
aiq_audit_rekey(aiq_audit_signer_t *s, const unsigned char seed[AIQ_KEY_LEN],
    int64_t now_us, aiq_audit_rekeyed_t *result, aiq_err_t *err)
{
    aiq_rc_t             rc;
    aiq_out_t            out;
    unsigned char        note[AIQ_AUDIT_KEY_NOTE];
    aiq_audit_signed_t   done;

    memset(result, 0, sizeof(aiq_audit_rekeyed_t));

    rc = aiq_audit_signer_lock(s, 0, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    aiq_out_init(&out, note, sizeof(note));

    rc = aiq_audit_signer_run(s, 0, &done, err);

    if (rc == AIQ_OK && done.size == 0) {
        rc = aiq_fail(err, AIQ_DECLINED, "the log has no records yet");
    }

    if (rc == AIQ_OK) {
        result->from = s->size;
        rc = aiq_audit_rekey_note(s, seed, &out, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_rekey_append(s, aiq_out_done(&out), now_us, result,
                                    err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_keys_publish(s->dir, aiq_out_done(&out), err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_signer_run(s, 0, &done, err);
        result->size = done.size;
    }

    aiq_audit_signer_unlock(s);

    return rc;
}


static aiq_rc_t
aiq_audit_rekey_note(aiq_audit_signer_t *s,
    const unsigned char seed[AIQ_KEY_LEN], aiq_out_t *out, aiq_err_t *err)
{
    aiq_rc_t        rc;
    aiq_vkey_t      key, *old;
    unsigned char   pub[AIQ_KEY_LEN];

    if (s->keys.n == AIQ_AUDIT_KEYS) {
        return aiq_fail(err, AIQ_DECLINED, "a log has %d keys at most",
                        AIQ_AUDIT_KEYS);
    }

    old = &s->keys.key[s->keys.n - 1];

    rc = aiq_ed25519_public(s->crypto, seed, pub);

    if (rc == AIQ_OK) {
        rc = aiq_vkey_init(&key, old->name, pub, s->crypto);
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_key_note(out, old, s->seed, &key, seed, s->size,
                                (const unsigned char *) s->root, s->crypto);
    }

    if (rc != AIQ_OK) {
        return aiq_fail(err, AIQ_E_INTERNAL, "the key cannot be signed");
    }

    /* whoever reads it will say the same of it */

    s->ready = 0;

    return aiq_audit_keys_add(&s->keys, aiq_out_done(out), s->crypto, err);
}


static aiq_rc_t
aiq_audit_rekey_append(aiq_audit_signer_t *s, aiq_str_t note, int64_t now_us,
    aiq_audit_rekeyed_t *result, aiq_err_t *err)
{
    aiq_rc_t          rc;
    aiq_out_t         out;
    aiq_str_t         body;
    aiq_audit_t      *log;
    aiq_audit_pos_t   pos;
    unsigned char     members[2 * AIQ_AUDIT_KEY_NOTE];
    unsigned char     buf[3 * AIQ_AUDIT_KEY_NOTE];

    aiq_out_init(&out, members, sizeof(members));

    aiq_out_str(&out, "\"note\":");
    aiq_out_json(&out, note);

    body = aiq_out_done(&out);

    aiq_out_init(&out, buf, sizeof(buf));
    aiq_audit_write_event(&out, "KEY", now_us, aiq_cstr(""), body);

    body = aiq_out_done(&out);

    if (out.failed) {
        return aiq_fail(err, AIQ_E_INTERNAL, "the KEY record is too long");
    }

    rc = aiq_audit_open(&log, s->path, err);

    if (rc == AIQ_OK) {
        result->begun = 1;

        rc = aiq_audit_append(log, &body, 1, AIQ_AUDIT_FSYNC, now_us,
                              s->crypto, &pos, err);
        result->seq = pos.seq;

        aiq_audit_close(log);
    }

    return rc;
}
