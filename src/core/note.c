
/*
 * Copyright (C) ngx_armoriq authors
 */


#include <string.h>

#include "b64.h"
#include "note.h"


#define AIQ_NOTE_DASH      "\xe2\x80\x94 "
#define AIQ_NOTE_DASH_LEN  4


/* one line of signatures */

typedef struct {
    aiq_str_t        name;
    aiq_str_t        b64;
} aiq_note_part_t;


static aiq_rc_t aiq_note_id(aiq_vkey_t *v, aiq_crypto_t *c);
static int aiq_note_blank(uint32_t code);
static int aiq_note_text_ok(aiq_str_t s);
static int aiq_note_sig(aiq_str_t *rest, aiq_note_part_t *sig);
static int aiq_note_decode(const aiq_note_part_t *sig, unsigned char *out,
    size_t size, size_t *len);


static aiq_rc_t
aiq_note_id(aiq_vkey_t *v, aiq_crypto_t *c)
{
    aiq_str_t   parts[4];
    aiq_hash_t  hash;

    parts[0] = v->name;
    aiq_str_set(&parts[1], "\n");
    parts[2].data = &v->type;
    parts[2].len = 1;
    parts[3].data = v->key;
    parts[3].len = AIQ_KEY_LEN;

    if (aiq_sha256v(c, parts, 4, hash) != AIQ_OK) {
        return AIQ_E_CRYPTO_FAILED;
    }

    memcpy(v->id, hash, AIQ_NOTE_ID_LEN);

    return AIQ_OK;
}


/* white space of Unicode beyond ASCII */

static int
aiq_note_blank(uint32_t code)
{
    return code == 0x85 || code == 0xa0 || code == 0x1680
           || (code >= 0x2000 && code <= 0x200a)
           || code == 0x2028 || code == 0x2029 || code == 0x202f
           || code == 0x205f || code == 0x3000;
}


int
aiq_note_name_ok(aiq_str_t name)
{
    size_t    i, n;
    uint32_t  code;

    if (name.len == 0 || name.len > AIQ_NAME_MAX) {
        return 0;
    }

    for (i = 0; i < name.len; i += n) {
        n = aiq_utf8(name.data + i, name.len - i, &code);

        if (n == 0 || code <= 0x20 || code == 0x7f || code == '+'
            || aiq_note_blank(code))
        {
            return 0;
        }
    }

    return 1;
}


aiq_rc_t
aiq_vkey_init_as(aiq_vkey_t *v, unsigned char type, aiq_str_t name,
    const unsigned char key[AIQ_KEY_LEN], aiq_crypto_t *c)
{
    if (!aiq_note_name_ok(name)) {
        return AIQ_DECLINED;
    }

    v->name = name;
    v->type = type;
    memcpy(v->key, key, AIQ_KEY_LEN);

    return aiq_note_id(v, c);
}


aiq_rc_t
aiq_vkey_parse_as(aiq_vkey_t *v, unsigned char type, aiq_str_t text,
    aiq_crypto_t *c, aiq_err_t *err)
{
    size_t                len;
    aiq_str_t             hex, b64;
    const unsigned char  *p, *q;
    unsigned char         id[AIQ_NOTE_ID_LEN], key[64];

    if (text.len == 0) {
        goto invalid;
    }

    /* base64 may hold a '+', a name may not */

    p = memchr(text.data, '+', text.len);

    if (p == NULL) {
        goto invalid;
    }

    v->name.data = text.data;
    v->name.len = (size_t) (p - text.data);

    p++;
    q = memchr(p, '+', text.len - v->name.len - 1);

    if (q == NULL) {
        goto invalid;
    }

    hex.data = p;
    hex.len = (size_t) (q - p);

    b64.data = q + 1;
    b64.len = (size_t) (text.data + text.len - b64.data);

    if (!aiq_note_name_ok(v->name)
        || aiq_hex_decode(hex, id, sizeof(id)) != AIQ_OK
        || b64.len != 44
        || aiq_b64_decode(b64, key, &len) != AIQ_OK
        || len != 1 + AIQ_KEY_LEN || key[0] != type
        || aiq_ed25519_check_public(key + 1) != AIQ_OK)
    {
        goto invalid;
    }

    v->type = type;
    memcpy(v->key, key + 1, AIQ_KEY_LEN);

    if (aiq_note_id(v, c) != AIQ_OK) {
        return aiq_fail(err, AIQ_E_CRYPTO_FAILED, "SHA-256 failed");
    }

    if (memcmp(v->id, id, sizeof(id)) != 0) {
        return aiq_fail(err, AIQ_DECLINED,
                        "the id in the verification key is not that of name "
                        "and key");
    }

    return AIQ_OK;

invalid:

    return aiq_fail(err, AIQ_DECLINED,
                    "this is not %s, name+id+base64",
                    type == AIQ_NOTE_COSIGNATURE
                    ? "the verification key of a witness"
                    : "an Ed25519 verification key");
}


void
aiq_vkey_write(aiq_out_t *out, const aiq_vkey_t *v)
{
    unsigned char  key[1 + AIQ_KEY_LEN];

    key[0] = v->type;
    memcpy(key + 1, v->key, AIQ_KEY_LEN);

    aiq_out_mem(out, v->name.data, v->name.len);
    aiq_out_char(out, '+');
    aiq_out_hex(out, v->id, AIQ_NOTE_ID_LEN);
    aiq_out_char(out, '+');
    aiq_b64_encode(out, key, sizeof(key));
}


/* UTF-8 without controls other than LF */

static int
aiq_note_text_ok(aiq_str_t s)
{
    size_t    i, n;
    uint32_t  code;

    for (i = 0; i < s.len; i += n) {
        n = aiq_utf8(s.data + i, s.len - i, &code);

        if (n == 0 || (code < 0x20 && code != '\n')) {
            return 0;
        }
    }

    return 1;
}


int
aiq_note_line(aiq_str_t *rest, aiq_str_t *line)
{
    const unsigned char  *lf;

    lf = rest->len ? memchr(rest->data, '\n', rest->len) : NULL;

    if (lf == NULL) {
        return 0;
    }

    line->data = rest->data;
    line->len = (size_t) (lf - rest->data);

    rest->data += line->len + 1;
    rest->len -= line->len + 1;

    return 1;
}


static int
aiq_note_sig(aiq_str_t *rest, aiq_note_part_t *sig)
{
    aiq_str_t             line;
    const unsigned char  *sp;

    if (!aiq_note_line(rest, &line) || line.len <= AIQ_NOTE_DASH_LEN
        || memcmp(line.data, AIQ_NOTE_DASH, AIQ_NOTE_DASH_LEN) != 0)
    {
        return 0;
    }

    line.data += AIQ_NOTE_DASH_LEN;
    line.len -= AIQ_NOTE_DASH_LEN;

    sp = memchr(line.data, ' ', line.len);

    if (sp == NULL) {
        return 0;
    }

    sig->name.data = line.data;
    sig->name.len = (size_t) (sp - line.data);
    sig->b64.data = sp + 1;
    sig->b64.len = line.len - sig->name.len - 1;

    return 1;
}


static int
aiq_note_decode(const aiq_note_part_t *sig, unsigned char *out, size_t size,
    size_t *len)
{
    if (aiq_b64_decoded_max(sig->b64.len) > size) {
        return 0;
    }

    return aiq_b64_decode(sig->b64, out, len) == AIQ_OK
           && *len > AIQ_NOTE_ID_LEN;
}


aiq_rc_t
aiq_note_parse(aiq_note_t *n, aiq_str_t in, aiq_err_t *err)
{
    size_t           i, len;
    unsigned         count;
    aiq_str_t        rest;
    aiq_note_part_t  sig;
    unsigned char    blob[AIQ_NOTE_SIG_MAX];

    if (in.len < 4 || in.len > AIQ_NOTE_MAX || !aiq_note_text_ok(in)) {
        goto invalid;
    }

    /* the last empty line */

    for (i = in.len - 2; i > 0; i--) {

        if (in.data[i] == '\n' && in.data[i - 1] == '\n') {
            break;
        }
    }

    if (i == 0) {
        goto invalid;
    }

    n->text.data = in.data;
    n->text.len = i;
    n->sigs.data = in.data + i + 1;
    n->sigs.len = in.len - i - 1;

    rest = n->sigs;
    count = 0;

    do {
        /* what is larger than any signature we know is of no use here */

        if (!aiq_note_sig(&rest, &sig) || !aiq_note_name_ok(sig.name)
            || !aiq_note_decode(&sig, blob, sizeof(blob), &len)
            || ++count > AIQ_NOTE_SIGS)
        {
            goto invalid;
        }

    } while (rest.len);

    return AIQ_OK;

invalid:

    return aiq_fail(err, AIQ_DECLINED, "this is not a signed note");
}


aiq_rc_t
aiq_note_verify(const aiq_note_t *n, const aiq_vkey_t *keys, unsigned nkeys,
    aiq_crypto_t *c, aiq_err_t *err)
{
    size_t           len;
    aiq_rc_t         rc;
    unsigned         k, good;
    aiq_str_t        rest, s;
    aiq_note_part_t  sig;
    unsigned char    blob[AIQ_NOTE_SIG_MAX];

    good = 0;
    rest = n->sigs;

    while (rest.len) {

        if (!aiq_note_sig(&rest, &sig)
            || !aiq_note_decode(&sig, blob, sizeof(blob), &len))
        {
            return aiq_fail(err, AIQ_DECLINED, "this is not a signed note");
        }

        for (k = 0; k < nkeys; k++) {

            if (keys[k].type != AIQ_NOTE_ED25519
                || !aiq_str_eq(sig.name, keys[k].name)
                || memcmp(blob, keys[k].id, AIQ_NOTE_ID_LEN) != 0)
            {
                continue;
            }

            s.data = blob + AIQ_NOTE_ID_LEN;
            s.len = len - AIQ_NOTE_ID_LEN;

            rc = aiq_ed25519_verify(c, keys[k].key, n->text, s);

            if (aiq_is_fault(rc)) {
                return aiq_fail(err, rc, "Ed25519 failed");
            }

            if (rc != AIQ_OK) {
                return aiq_fail(err, AIQ_D_TOKEN_SIGNATURE,
                                "the signature of the note is wrong");
            }

            good++;
        }
    }

    if (good == 0) {
        return aiq_fail(err, AIQ_DECLINED,
                        "the note has no signature of a known key");
    }

    return AIQ_OK;
}


aiq_rc_t
aiq_note_next(aiq_str_t *sigs, aiq_note_sig_t *sig, unsigned char *buf)
{
    size_t           len;
    aiq_note_part_t  part;

    if (sigs->len == 0) {
        return AIQ_DECLINED;
    }

    sig->line.data = sigs->data;

    if (!aiq_note_sig(sigs, &part)
        || !aiq_note_decode(&part, buf, AIQ_NOTE_SIG_MAX, &len))
    {
        return AIQ_DECLINED;
    }

    sig->name = part.name;
    sig->line.len = (size_t) (sigs->data - sig->line.data);
    sig->sig.data = buf + AIQ_NOTE_ID_LEN;
    sig->sig.len = len - AIQ_NOTE_ID_LEN;

    memcpy(sig->id, buf, AIQ_NOTE_ID_LEN);

    return AIQ_OK;
}


aiq_rc_t
aiq_note_sign(aiq_out_t *out, aiq_str_t text, const aiq_vkey_t *v,
    const unsigned char seed[AIQ_KEY_LEN], aiq_crypto_t *c)
{
    if (text.len < 2 || text.data[text.len - 1] != '\n'
        || !aiq_note_text_ok(text))
    {
        return AIQ_E_INTERNAL;
    }

    aiq_out_mem(out, text.data, text.len);
    aiq_out_char(out, '\n');

    return aiq_note_add(out, text, v, seed, c);
}


aiq_rc_t
aiq_note_add(aiq_out_t *out, aiq_str_t text, const aiq_vkey_t *v,
    const unsigned char seed[AIQ_KEY_LEN], aiq_crypto_t *c)
{
    aiq_rc_t       rc;
    unsigned char  sig[AIQ_SIG_LEN];

    rc = aiq_ed25519_sign(c, seed, text, sig);
    if (rc != AIQ_OK) {
        return rc;
    }

    aiq_note_write_sig(out, v, sig, AIQ_SIG_LEN);

    return out->failed ? AIQ_E_INTERNAL : AIQ_OK;
}


void
aiq_note_write_sig(aiq_out_t *out, const aiq_vkey_t *v,
    const unsigned char *sig, size_t len)
{
    unsigned char  blob[AIQ_NOTE_ID_LEN + 8 + AIQ_SIG_LEN];

    if (len > sizeof(blob) - AIQ_NOTE_ID_LEN) {
        out->failed = 1;
        return;
    }

    memcpy(blob, v->id, AIQ_NOTE_ID_LEN);
    memcpy(blob + AIQ_NOTE_ID_LEN, sig, len);

    aiq_out_mem(out, AIQ_NOTE_DASH, AIQ_NOTE_DASH_LEN);
    aiq_out_mem(out, v->name.data, v->name.len);
    aiq_out_char(out, ' ');
    aiq_b64_encode(out, blob, AIQ_NOTE_ID_LEN + len);
    aiq_out_char(out, '\n');
}


void
aiq_checkpoint_write(aiq_out_t *out, const aiq_checkpoint_t *cp)
{
    aiq_out_mem(out, cp->origin.data, cp->origin.len);
    aiq_out_char(out, '\n');
    aiq_out_int(out, (int64_t) cp->size);
    aiq_out_char(out, '\n');
    aiq_b64_encode(out, cp->root, AIQ_HASH_LEN);
    aiq_out_char(out, '\n');

    if (cp->extension.len) {
        aiq_out_mem(out, cp->extension.data, cp->extension.len);
    }
}


/* our logs end at 2^53 */

int
aiq_note_number(aiq_str_t s, uint64_t *n)
{
    size_t  i;

    if (s.len == 0 || s.len > 18 || (s.len > 1 && s.data[0] == '0')) {
        return 0;
    }

    *n = 0;

    for (i = 0; i < s.len; i++) {

        if (s.data[i] < '0' || s.data[i] > '9') {
            return 0;
        }

        *n = *n * 10 + (uint64_t) (s.data[i] - '0');
    }

    return 1;
}


aiq_rc_t
aiq_checkpoint_parse(aiq_checkpoint_t *cp, aiq_str_t text, aiq_err_t *err)
{
    size_t         len;
    aiq_str_t      rest, size, root, line;
    unsigned char  hash[64];

    rest = text;

    if (!aiq_note_line(&rest, &cp->origin) || cp->origin.len == 0
        || !aiq_note_line(&rest, &size) || !aiq_note_number(size, &cp->size)
        || !aiq_note_line(&rest, &root) || root.len != 44
        || aiq_b64_decode(root, hash, &len) != AIQ_OK || len != AIQ_HASH_LEN)
    {
        goto invalid;
    }

    memcpy(cp->root, hash, AIQ_HASH_LEN);

    cp->extension = rest;

    while (rest.len) {

        if (!aiq_note_line(&rest, &line) || line.len == 0) {
            goto invalid;
        }
    }

    return AIQ_OK;

invalid:

    return aiq_fail(err, AIQ_DECLINED, "this is not a checkpoint");
}


aiq_rc_t
aiq_checkpoint_open(aiq_checkpoint_t *cp, aiq_str_t note,
    const aiq_vkey_t *keys, unsigned nkeys, aiq_crypto_t *c, aiq_err_t *err)
{
    aiq_rc_t    rc;
    aiq_note_t  n;

    rc = aiq_note_parse(&n, note, err);

    if (rc == AIQ_OK) {
        rc = aiq_note_verify(&n, keys, nkeys, c, err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_checkpoint_parse(cp, n.text, err);
    }

    if (rc == AIQ_OK && !aiq_str_eq(cp->origin, keys[0].name)) {
        return aiq_fail(err, AIQ_DECLINED,
                        "the checkpoint is of another log");
    }

    return rc;
}
