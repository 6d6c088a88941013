
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Salts in the store: one row for each there ever was, by its number.  What
 * is left of one that was erased keeps its number from being used again.
 */


#include <stdio.h>
#include <string.h>

#include "b64.h"
#include "records.h"


#define AIQ_SALT_ID_LEN    10         /* digits: rows are in their order */
#define AIQ_SALT_ROW       256
#define AIQ_SALT_DEPTH     2


typedef struct {
    aiq_salt_each_pt    each;
    void               *data;
    aiq_salt_row_t      row;
    aiq_mem_t          *mem;
} aiq_salt_walk_t;


static aiq_rc_t aiq_salt_walk(void *data, aiq_str_t id, aiq_str_t value);
static aiq_rc_t aiq_salt_read(aiq_salt_row_t *row, aiq_str_t id,
    aiq_str_t value, aiq_mem_t *mem);
static aiq_rc_t aiq_salt_key(const aiq_json_t *doc, aiq_salt_row_t *row);
static aiq_rc_t aiq_salt_time(const aiq_json_t *doc, const char *name,
    int64_t *v);
static aiq_rc_t aiq_salt_last(void *data, const aiq_salt_row_t *row);


aiq_rc_t
aiq_salt_each(aiq_store_txn_t *txn, aiq_str_t org, aiq_salt_each_pt each,
    void *data, aiq_mem_t *mem)
{
    aiq_rc_t         rc;
    aiq_salt_walk_t  walk;

    walk.each = each;
    walk.data = data;
    walk.mem = mem;

    rc = aiq_store_each(txn, org, AIQ_STORE_SALT, aiq_salt_walk, &walk);

    aiq_wipe(&walk.row, sizeof(aiq_salt_row_t));

    return rc;
}


static aiq_rc_t
aiq_salt_walk(void *data, aiq_str_t id, aiq_str_t value)
{
    aiq_salt_walk_t *walk = data;

    aiq_rc_t        rc;
    unsigned char  *pos;

    pos = walk->mem->pos;

    rc = aiq_salt_read(&walk->row, id, value, walk->mem);

    walk->mem->pos = pos;

    return (rc == AIQ_OK) ? walk->each(walk->data, &walk->row) : rc;
}


static aiq_rc_t
aiq_salt_read(aiq_salt_row_t *row, aiq_str_t id, aiq_str_t value,
    aiq_mem_t *mem)
{
    size_t      i;
    aiq_rc_t    rc;
    uint64_t    epoch;
    aiq_json_t  doc;

    memset(row, 0, sizeof(aiq_salt_row_t));

    epoch = 0;

    for (i = 0; i < id.len && i < AIQ_SALT_ID_LEN; i++) {

        if (id.data[i] < '0' || id.data[i] > '9') {
            return AIQ_E_STORE_CORRUPT;
        }

        epoch = epoch * 10 + (uint64_t) (id.data[i] - '0');
    }

    if (id.len != AIQ_SALT_ID_LEN || epoch == 0 || epoch > AIQ_SALT_MAX) {
        return AIQ_E_STORE_CORRUPT;
    }

    rc = aiq_json_parse(&doc, value, AIQ_SALT_DEPTH, mem, NULL);

    if (rc == AIQ_D_JSON_TOO_LARGE) {
        return AIQ_E_NO_MEMORY;
    }

    if (rc != AIQ_OK) {
        return aiq_is_fault(rc) ? rc : AIQ_E_STORE_CORRUPT;
    }

    row->epoch = (uint32_t) epoch;

    if ((rc = aiq_salt_time(&doc, "created", &row->created)) != AIQ_OK
        || (rc = aiq_salt_time(&doc, "erased", &row->erased)) != AIQ_OK)
    {
        return rc;
    }

    return row->erased ? AIQ_OK : aiq_salt_key(&doc, row);
}


static aiq_rc_t
aiq_salt_key(const aiq_json_t *doc, aiq_salt_row_t *row)
{
    uint32_t   i;
    aiq_rc_t   rc;
    aiq_str_t  hex;

    i = aiq_json_get(doc, 0, "key");

    if (aiq_json_type(doc, i) != AIQ_JSON_STRING) {
        return AIQ_E_STORE_CORRUPT;
    }

    hex.data = doc->text.data + doc->tok[i].pos;
    hex.len = doc->tok[i].len;

    rc = aiq_hex_decode(hex, row->salt.key, AIQ_KEY_LEN);

    if (rc != AIQ_OK) {
        return (rc == AIQ_DECLINED) ? AIQ_E_STORE_CORRUPT : rc;
    }

    row->salt.epoch = row->epoch;

    return AIQ_OK;
}


static aiq_rc_t
aiq_salt_time(const aiq_json_t *doc, const char *name, int64_t *v)
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


aiq_rc_t
aiq_salt_newest(aiq_store_txn_t *txn, aiq_str_t org, aiq_salt_row_t *row,
    aiq_mem_t *mem)
{
    aiq_rc_t  rc;

    memset(row, 0, sizeof(aiq_salt_row_t));

    rc = aiq_salt_each(txn, org, aiq_salt_last, row, mem);

    if (rc != AIQ_OK) {
        aiq_wipe(row, sizeof(aiq_salt_row_t));
        return rc;
    }

    return row->epoch ? AIQ_OK : AIQ_DECLINED;
}


static aiq_rc_t
aiq_salt_last(void *data, const aiq_salt_row_t *row)
{
    aiq_salt_row_t *last = data;

    *last = *row;

    return AIQ_OK;
}


aiq_rc_t
aiq_salt_put(aiq_store_txn_t *txn, aiq_str_t org, const aiq_salt_row_t *row,
    aiq_err_t *err)
{
    char       id[AIQ_SALT_ID_LEN + 1];
    aiq_rc_t   rc;
    aiq_out_t  out;
    char       buf[AIQ_SALT_ROW];

    if (row->epoch == 0 || row->epoch > AIQ_SALT_MAX
        || row->created < 0 || row->created > AIQ_TIME_MAX
        || row->erased < 0 || row->erased > AIQ_TIME_MAX
        || (!row->erased && row->salt.epoch != row->epoch))
    {
        return aiq_fail(err, AIQ_E_INTERNAL, "not a salt");
    }

    (void) snprintf(id, sizeof(id), "%010u", row->epoch);

    aiq_out_init(&out, buf, sizeof(buf));

    aiq_out_str(&out, "{\"created\":");
    aiq_out_int(&out, row->created);
    aiq_out_str(&out, ",\"erased\":");
    aiq_out_int(&out, row->erased);

    if (!row->erased) {
        aiq_out_str(&out, ",\"key\":\"");
        aiq_out_hex(&out, row->salt.key, AIQ_KEY_LEN);
        aiq_out_char(&out, '"');
    }

    aiq_out_char(&out, '}');

    rc = out.failed ? aiq_fail(err, AIQ_E_INTERNAL, "the row is too long")
                    : aiq_store_put(txn, org, AIQ_STORE_SALT, aiq_cstr(id),
                                    aiq_out_done(&out), err);

    aiq_wipe(buf, sizeof(buf));

    return rc;
}


aiq_rc_t
aiq_salt_make(aiq_store_txn_t *txn, aiq_str_t org, uint32_t epoch,
    int64_t now, aiq_err_t *err)
{
    aiq_rc_t        rc;
    aiq_salt_row_t  row;

    memset(&row, 0, sizeof(aiq_salt_row_t));

    row.epoch = epoch;
    row.created = now;
    row.salt.epoch = epoch;

    rc = aiq_random(row.salt.key, AIQ_KEY_LEN);

    rc = (rc != AIQ_OK) ? aiq_fail(err, rc, "no random bytes")
                        : aiq_salt_put(txn, org, &row, err);

    aiq_wipe(&row, sizeof(aiq_salt_row_t));

    return rc;
}
