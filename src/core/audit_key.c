
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The chain of keys of a log.  Nobody is believed here for where a note was
 * found: each one is signed by the key before it and by the one it declares.
 */


#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit_file.h"
#include "b64.h"


#define AIQ_AUDIT_KEY_MAGIC   "armoriq-audit-key/v1"
#define AIQ_AUDIT_KEYS_TMP    "keys.new"
#define AIQ_AUDIT_KEY_DASH    "\xe2\x80\x94 "


/* lines of a note */

typedef struct {
    aiq_str_t             origin;
    aiq_str_t             old;
    aiq_vkey_t            key;
    uint64_t              size;
    aiq_hash_t            root;
} aiq_audit_key_lines_t;


static aiq_rc_t aiq_audit_key_lines(aiq_str_t text, aiq_audit_key_lines_t *l,
    aiq_crypto_t *c);
static aiq_rc_t aiq_audit_keys_first(aiq_audit_keys_t *k,
    const aiq_audit_key_lines_t *l, aiq_crypto_t *c);
static int aiq_audit_keys_last(const aiq_audit_keys_t *k,
    const aiq_audit_key_lines_t *l);
static size_t aiq_audit_keys_note(aiq_str_t text);
static aiq_rc_t aiq_audit_keys_file(int dir, unsigned char **buf,
    aiq_str_t *text, size_t room, aiq_err_t *err);


aiq_rc_t
aiq_audit_keys(int dir, aiq_audit_keys_t *k, aiq_crypto_t *c, aiq_err_t *err)
{
    aiq_rc_t        rc;
    aiq_str_t       text;
    unsigned char  *buf;

    rc = aiq_audit_first_key(dir, k, c, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_audit_keys_file(dir, &buf, &text, 0, err);

    if (rc == AIQ_OK) {
        rc = aiq_audit_keys_read(k, text, c, err);
    }

    free(buf);

    return (rc == AIQ_DECLINED) ? AIQ_OK : rc;
}


/* AIQ_DECLINED if there is none; room is for what is put behind it */

static aiq_rc_t
aiq_audit_keys_file(int dir, unsigned char **buf, aiq_str_t *text,
    size_t room, aiq_err_t *err)
{
    int          fd;
    aiq_rc_t     rc;
    struct stat  st;

    *buf = NULL;
    aiq_str_null(text);

    if (faccessat(dir, AIQ_AUDIT_KEYS_FILE, F_OK, AT_SYMLINK_NOFOLLOW) != 0
        && errno == ENOENT)
    {
        return AIQ_DECLINED;
    }

    rc = aiq_audit_open_at(dir, AIQ_AUDIT_KEYS_FILE, O_RDONLY, &fd, &st, err);
    if (rc != AIQ_OK) {
        return rc;
    }

    if (st.st_size > AIQ_AUDIT_KEYS_SIZE) {
        (void) close(fd);
        return aiq_fail(err, AIQ_D_TOKEN_SIGNATURE,
                        "audit file " AIQ_AUDIT_KEYS_FILE " is too large");
    }

    text->len = (size_t) st.st_size;
    *buf = malloc(text->len + room + 1);

    if (*buf == NULL) {
        (void) close(fd);
        return aiq_fail(err, AIQ_E_NO_MEMORY, "no memory");
    }

    text->data = *buf;

    rc = aiq_audit_read_at(fd, *buf, text->len, 0, AIQ_AUDIT_KEYS_FILE, err);

    (void) close(fd);

    return rc;
}


aiq_rc_t
aiq_audit_keys_read(aiq_audit_keys_t *k, aiq_str_t text, aiq_crypto_t *c,
    aiq_err_t *err)
{
    aiq_rc_t   rc;
    aiq_err_t  e;
    aiq_str_t  note;

    e.text[0] = '\0';
    rc = AIQ_OK;

    while (rc == AIQ_OK && text.len) {

        note.data = text.data;
        note.len = aiq_audit_keys_note(text);

        text.data += note.len;
        text.len -= note.len;

        rc = aiq_audit_keys_add(k, note, c, &e);
    }

    if (rc == AIQ_D_TOKEN_SIGNATURE) {
        return aiq_fail(err, rc, "audit file " AIQ_AUDIT_KEYS_FILE ", key "
                        "%u: %.200s", k->n + 1, e.text);
    }

    return (rc == AIQ_OK) ? AIQ_OK : aiq_fail(err, rc, "%.300s", e.text);
}


/* the text up to the line behind its first lines of signatures */

static size_t
aiq_audit_keys_note(aiq_str_t text)
{
    size_t                i;
    const unsigned char  *p;

    p = memmem(text.data, text.len, "\n\n", 2);

    if (p == NULL) {
        return text.len;
    }

    i = (size_t) (p - text.data) + 2;

    while (text.len - i >= 4
           && memcmp(text.data + i, AIQ_AUDIT_KEY_DASH, 4) == 0)
    {
        p = memchr(text.data + i, '\n', text.len - i);

        if (p == NULL) {
            return text.len;
        }

        i = (size_t) (p - text.data) + 1;
    }

    return i;
}


static aiq_rc_t
aiq_audit_key_lines(aiq_str_t text, aiq_audit_key_lines_t *l,
    aiq_crypto_t *c)
{
    size_t         len;
    aiq_str_t      magic, vkey, size, root;
    unsigned char  hash[64];

    if (!aiq_note_line(&text, &magic)
        || !aiq_str_is(magic, AIQ_AUDIT_KEY_MAGIC)
        || !aiq_note_line(&text, &l->origin)
        || !aiq_note_line(&text, &l->old)
        || !aiq_note_line(&text, &vkey)
        || !aiq_note_line(&text, &size)
        || !aiq_note_number(size, &l->size) || l->size == 0
        || !aiq_note_line(&text, &root)
        || text.len || root.len != 44
        || aiq_b64_decode(root, hash, &len) != AIQ_OK || len != AIQ_HASH_LEN)
    {
        return AIQ_DECLINED;
    }

    memcpy(l->root, hash, AIQ_HASH_LEN);

    return aiq_vkey_parse(&l->key, vkey, c, NULL);
}


aiq_rc_t
aiq_audit_keys_add(aiq_audit_keys_t *k, aiq_str_t note, aiq_crypto_t *c,
    aiq_err_t *err)
{
    unsigned                i, n;
    aiq_rc_t                rc;
    aiq_note_t              parsed;
    aiq_audit_key_lines_t   l;

    n = k->n;
    l.key.type = 0;

    if (n == AIQ_AUDIT_KEYS || note.len > AIQ_AUDIT_KEY_NOTE) {
        return aiq_fail(err, AIQ_D_TOKEN_SIGNATURE,
                        "there are too many keys");
    }

    rc = aiq_note_parse(&parsed, note, NULL);

    if (rc == AIQ_OK) {
        rc = aiq_audit_key_lines(parsed.text, &l, c);
    }

    if (rc == AIQ_OK && n == 0) {
        rc = aiq_audit_keys_first(k, &l, c);
        n = (rc == AIQ_OK);
    }

    if (aiq_is_fault(rc)) {
        return aiq_fail(err, rc, "SHA-256 failed");
    }

    if (rc != AIQ_OK || !aiq_audit_keys_last(k, &l)
        || l.size <= k->from[n - 1])
    {
        return aiq_fail(err, AIQ_D_TOKEN_SIGNATURE,
                        "this is no note that declares a key of this log "
                        "behind the one before");
    }

    /* ids are all that signatures name */

    for (i = 0; i < n; i++) {

        if (memcmp(k->key[i].id, l.key.id, AIQ_NOTE_ID_LEN) == 0) {
            return aiq_fail(err, AIQ_D_TOKEN_SIGNATURE,
                            "the id of the key is that of an older one");
        }
    }

    rc = aiq_note_verify(&parsed, &k->key[n - 1], 1, c, err);

    if (rc == AIQ_OK) {
        rc = aiq_note_verify(&parsed, &l.key, 1, c, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_sha256(c, note, k->note[n]);
    }

    if (aiq_is_fault(rc)) {
        return aiq_fail(err, rc, "libcrypto failed");
    }

    if (rc != AIQ_OK) {
        return AIQ_D_TOKEN_SIGNATURE;
    }

    l.key.name = k->key[0].name;

    k->key[n] = l.key;
    k->from[n] = l.size;
    memcpy(k->root[n], l.root, AIQ_HASH_LEN);
    k->n = n + 1;

    return AIQ_OK;
}


/* k->n stays 0 until the note is found to be signed */

static aiq_rc_t
aiq_audit_keys_first(aiq_audit_keys_t *k, const aiq_audit_key_lines_t *l,
    aiq_crypto_t *c)
{
    aiq_rc_t  rc;

    if (l->origin.len > sizeof(k->origin)) {
        return AIQ_DECLINED;
    }

    rc = aiq_vkey_parse(&k->key[0], l->old, c, NULL);
    if (rc != AIQ_OK) {
        return rc;
    }

    memcpy(k->origin, l->origin.data, l->origin.len);

    if (!aiq_str_eq(k->key[0].name, l->origin)) {
        return AIQ_DECLINED;
    }

    k->key[0].name.data = k->origin;
    k->from[0] = 0;

    return AIQ_OK;
}


/* the note is of this log, and behind its last key */

static int
aiq_audit_keys_last(const aiq_audit_keys_t *k,
    const aiq_audit_key_lines_t *l)
{
    aiq_out_t      out;
    unsigned char  text[AIQ_VKEY_MAX];

    aiq_out_init(&out, text, sizeof(text));
    aiq_vkey_write(&out, &k->key[k->n ? k->n - 1 : 0]);

    return !out.failed && aiq_str_eq(aiq_out_done(&out), l->old)
           && aiq_str_eq(l->origin, k->key[0].name)
           && aiq_str_eq(l->key.name, k->key[0].name);
}


unsigned
aiq_audit_keys_find(const aiq_audit_keys_t *k, const aiq_hash_t note)
{
    unsigned  i;

    for (i = k->n; i-- > 1; /* void */ ) {

        if (memcmp(k->note[i], note, AIQ_HASH_LEN) == 0) {
            return i;
        }
    }

    return 0;
}


unsigned
aiq_audit_keys_of(const aiq_audit_keys_t *k, uint64_t size)
{
    unsigned  i;

    for (i = k->n - 1; i > 0 && size <= k->from[i]; i--) {
        /* void */
    }

    return i;
}


int
aiq_audit_keys_have(const aiq_audit_keys_t *k, aiq_str_t vkey)
{
    unsigned       i;
    aiq_out_t      out;
    unsigned char  text[AIQ_VKEY_MAX];

    for (i = 0; i < k->n; i++) {
        aiq_out_init(&out, text, sizeof(text));
        aiq_vkey_write(&out, &k->key[i]);

        if (!out.failed && aiq_str_eq(aiq_out_done(&out), vkey)) {
            return 1;
        }
    }

    return 0;
}


aiq_rc_t
aiq_audit_keys_open(const aiq_audit_keys_t *k, aiq_checkpoint_t *cp,
    aiq_str_t note, aiq_crypto_t *c, aiq_err_t *err)
{
    aiq_rc_t    rc;
    unsigned    i;
    aiq_note_t  n;

    rc = aiq_note_parse(&n, note, err);

    if (rc == AIQ_OK) {
        rc = aiq_checkpoint_parse(cp, n.text, err);
    }

    if (rc != AIQ_OK) {
        return rc;
    }

    i = aiq_audit_keys_of(k, cp->size);

    rc = aiq_checkpoint_open(cp, note, &k->key[i], 1, c, err);

    if (rc == AIQ_DECLINED
        && aiq_note_verify(&n, k->key, k->n, c, NULL) == AIQ_OK)
    {
        return aiq_fail(err, AIQ_DECLINED,
                        "a checkpoint over %llu records was not signed by "
                        "the key of that time", (unsigned long long) cp->size);
    }

    return rc;
}


aiq_rc_t
aiq_audit_key_note(aiq_out_t *out, const aiq_vkey_t *old,
    const unsigned char old_seed[AIQ_KEY_LEN], const aiq_vkey_t *key,
    const unsigned char seed[AIQ_KEY_LEN], uint64_t size,
    const aiq_hash_t root, aiq_crypto_t *c)
{
    aiq_rc_t       rc;
    aiq_out_t      text;
    unsigned char  buf[AIQ_AUDIT_KEY_NOTE];

    aiq_out_init(&text, buf, sizeof(buf));

    aiq_out_str(&text, AIQ_AUDIT_KEY_MAGIC "\n");
    aiq_out_mem(&text, old->name.data, old->name.len);
    aiq_out_char(&text, '\n');
    aiq_vkey_write(&text, old);
    aiq_out_char(&text, '\n');
    aiq_vkey_write(&text, key);
    aiq_out_char(&text, '\n');
    aiq_out_int(&text, (int64_t) size);
    aiq_out_char(&text, '\n');
    aiq_b64_encode(&text, root, AIQ_HASH_LEN);
    aiq_out_char(&text, '\n');

    if (text.failed) {
        return AIQ_E_INTERNAL;
    }

    rc = aiq_note_sign(out, aiq_out_done(&text), old, old_seed, c);

    return rc == AIQ_OK ? aiq_note_add(out, aiq_out_done(&text), key, seed, c)
                        : rc;
}


aiq_rc_t
aiq_audit_key_record(aiq_str_t line, aiq_mem_t *mem, aiq_str_t *note)
{
    aiq_json_t  doc;

    if (aiq_json_parse(&doc, line, AIQ_AUDIT_DEPTH, mem, NULL) != AIQ_OK) {
        return AIQ_DECLINED;
    }

    return aiq_json_string(&doc, aiq_json_get(&doc, 0, "note"), mem, note)
           == AIQ_OK ? AIQ_OK : AIQ_DECLINED;
}


aiq_rc_t
aiq_audit_keys_publish(int dir, aiq_str_t note, aiq_err_t *err)
{
    aiq_rc_t        rc;
    aiq_str_t       text;
    unsigned char  *buf;

    rc = aiq_audit_keys_file(dir, &buf, &text, note.len, err);

    if (rc == AIQ_OK) {
        memcpy(buf + text.len, note.data, note.len);
        text.len += note.len;

    } else if (rc == AIQ_DECLINED) {
        text = note;
        rc = AIQ_OK;
    }

    if (rc == AIQ_OK) {
        rc = aiq_audit_replace(dir, AIQ_AUDIT_KEYS_TMP, AIQ_AUDIT_KEYS_FILE,
                               text, err);
    }

    free(buf);

    return rc;
}
