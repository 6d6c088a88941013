
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What a row is made of and whether it is right; check and backup.
 */


#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store_internal.h"


typedef struct {
    int          kind;
    int          global;
    const char  *name;
} aiq_store_kind_t;


static aiq_rc_t aiq_store_walk(aiq_store_txn_t *txn, uint64_t *rows,
    uint64_t *bad, char *first, size_t size, int *mrc);
static aiq_rc_t aiq_store_check_row(aiq_store_txn_t *txn, const MDB_val *k,
    const MDB_val *v);
static int aiq_store_split(const MDB_val *k, aiq_str_t *org, int *kind,
    aiq_str_t *id);
static void aiq_store_row_name(const MDB_val *k, char *buf, size_t size);
static void aiq_store_row_text(aiq_out_t *out, aiq_str_t s);
static aiq_rc_t aiq_store_backup_dir(const char *dir, int *made,
    aiq_err_t *err);
static aiq_rc_t aiq_store_backup_copy(aiq_store_t *store, const char *path,
    aiq_err_t *err);


static const aiq_store_kind_t  aiq_store_kinds[] = {
    { AIQ_STORE_META,    1, "meta" },
    { AIQ_STORE_ORG,     1, "org" },
    { AIQ_STORE_KEYHASH, 1, "key hash" },
    { AIQ_STORE_USER,    0, "user" },
    { AIQ_STORE_AGENT,   0, "agent" },
    { AIQ_STORE_KEY,     0, "key" },
    { AIQ_STORE_MCP,     0, "mcp" },
    { AIQ_STORE_TOOLS,   0, "tools of an mcp" },
    { AIQ_STORE_POLICY,  0, "policy" },
    { AIQ_STORE_ISSUER,  0, "issuer" },
    { AIQ_STORE_PLAN,    0, "plan" },
    { AIQ_STORE_PLANDOC, 0, "plan document" },
    { AIQ_STORE_TOKEN,   0, "token" },
    { AIQ_STORE_REVOKED, 0, "revoked token" },
    { AIQ_STORE_SALT,    0, "salt" },
    { 0,                 0, NULL }
};


aiq_rc_t
aiq_store_here(const aiq_store_t *store, aiq_err_t *err)
{
    if (store->page->here && (store->wiped || store->pid == getpid())) {
        return AIQ_OK;
    }

    return aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                    "the store \"%s\" was opened in another process",
                    store->dir);
}


aiq_rc_t
aiq_store_fault(const aiq_store_t *store, int mrc, const char *what,
    aiq_err_t *err)
{
    aiq_rc_t     rc;
    const char  *hint;

    hint = "";

    switch (mrc) {

    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        rc = AIQ_E_STORE_FULL;
        break;

    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
    case MDB_BAD_VALSIZE:
        rc = AIQ_E_STORE_CORRUPT;
        hint = ", restore a backup";
        break;

    case EACCES:
    case EPERM:
    case EROFS:
        rc = AIQ_E_STORE_UNAVAILABLE;
        hint = ", data.mdb must be readable and lock.mdb writable for this "
               "user";
        break;

    default:
        rc = AIQ_E_STORE_UNAVAILABLE;
        break;
    }

    return aiq_fail(err, rc, "store \"%s\": %s failed: %s%s", store->dir, what,
                    mdb_strerror(mrc), hint);
}


const char *
aiq_store_kind(int kind)
{
    const aiq_store_kind_t  *k;

    for (k = aiq_store_kinds; k->name; k++) {
        if (k->kind == kind) {
            return k->name;
        }
    }

    return NULL;
}


int
aiq_store_global(int kind)
{
    return kind == AIQ_STORE_META || kind == AIQ_STORE_ORG
           || kind == AIQ_STORE_KEYHASH;
}


aiq_rc_t
aiq_store_mac(aiq_store_txn_t *txn, const MDB_val *key, aiq_str_t payload,
    unsigned char mac[AIQ_HASH_LEN])
{
    aiq_str_t      secret, parts[3];
    unsigned char  len[2];

    /* without the length bytes could wander from the id to the payload */

    len[0] = (unsigned char) (key->mv_size >> 8);
    len[1] = (unsigned char) key->mv_size;

    parts[0].data = len;
    parts[0].len = sizeof(len);
    parts[1].data = key->mv_data;
    parts[1].len = key->mv_size;
    parts[2] = payload;

    secret.data = txn->store->page->key;
    secret.len = AIQ_KEY_LEN;

    return aiq_hmac(txn->crypto, secret, parts, 3, mac);
}


aiq_rc_t
aiq_store_open_row(aiq_store_txn_t *txn, const MDB_val *key,
    const MDB_val *row, aiq_str_t *payload)
{
    aiq_rc_t       rc;
    aiq_str_t      value;
    unsigned char  mac[AIQ_HASH_LEN];

    if (row->mv_size < AIQ_HASH_LEN) {
        return AIQ_E_STORE_CORRUPT;
    }

    value.data = (unsigned char *) row->mv_data + AIQ_HASH_LEN;
    value.len = row->mv_size - AIQ_HASH_LEN;

    rc = aiq_store_mac(txn, key, value, mac);

    if (rc != AIQ_OK) {
        return rc;
    }

    if (!aiq_equal(mac, row->mv_data, AIQ_HASH_LEN)) {
        return AIQ_E_STORE_CORRUPT;
    }

    *payload = value;

    return AIQ_OK;
}


aiq_rc_t
aiq_store_check(aiq_store_t *store, aiq_crypto_t *c, uint64_t *rows,
    aiq_err_t *err)
{
    int               mrc;
    char              first[256];
    MDB_stat          st;
    uint64_t          bad;
    aiq_rc_t          rc;
    aiq_store_txn_t  *txn;

    *rows = 0;
    bad = 0;

    rc = aiq_store_read(store, &txn, c, err);

    if (rc != AIQ_OK) {
        return rc;
    }

    mrc = mdb_stat(txn->txn, store->dbi, &st);

    if (mrc == 0) {
        rc = aiq_store_walk(txn, rows, &bad, first, sizeof(first), &mrc);
    }

    aiq_store_abort(txn);

    if (mrc != 0) {
        return aiq_store_fault(store, mrc, "the walk over all rows", err);
    }

    if (rc != AIQ_OK) {
        return aiq_fail(err, rc, "the MAC of a row cannot be computed");
    }

    if (bad) {
        return aiq_fail(err, AIQ_E_STORE_CORRUPT,
                        "%llu of %llu rows are not as they were written, "
                        "restore a backup; the first is %s",
                        (unsigned long long) bad, (unsigned long long) *rows,
                        first);
    }

    if (*rows != st.ms_entries) {
        return aiq_fail(err, AIQ_E_STORE_CORRUPT,
                        "%llu rows were found where %llu should be, restore "
                        "a backup", (unsigned long long) *rows,
                        (unsigned long long) st.ms_entries);
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_store_walk(aiq_store_txn_t *txn, uint64_t *rows, uint64_t *bad,
    char *first, size_t size, int *mrc)
{
    MDB_val      k, v;
    aiq_rc_t     rc;
    MDB_cursor  *cursor;

    *mrc = mdb_cursor_open(txn->txn, txn->store->dbi, &cursor);

    if (*mrc != 0) {
        return AIQ_OK;
    }

    for ( ;; ) {
        *mrc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);

        if (*mrc != 0) {
            break;
        }

        (*rows)++;

        rc = aiq_store_check_row(txn, &k, &v);

        if (rc == AIQ_OK) {
            continue;
        }

        if (rc != AIQ_E_STORE_CORRUPT) {
            mdb_cursor_close(cursor);
            return rc;
        }

        if ((*bad)++ == 0) {
            aiq_store_row_name(&k, first, size);
        }
    }

    mdb_cursor_close(cursor);

    if (*mrc == MDB_NOTFOUND) {
        *mrc = 0;
    }

    return AIQ_OK;
}


static aiq_rc_t
aiq_store_check_row(aiq_store_txn_t *txn, const MDB_val *k, const MDB_val *v)
{
    int        kind;
    aiq_str_t  org, id, payload;

    if (aiq_store_split(k, &org, &kind, &id) != 0
        || aiq_store_kind(kind) == NULL || id.len == 0
        || id.len > AIQ_STORE_ID_MAX || org.len > AIQ_STORE_ORG_MAX
        || aiq_store_global(kind) != (org.len == 0))
    {
        return AIQ_E_STORE_CORRUPT;
    }

    return aiq_store_open_row(txn, k, v, &payload);
}


static int
aiq_store_split(const MDB_val *k, aiq_str_t *org, int *kind, aiq_str_t *id)
{
    const unsigned char  *p;

    p = k->mv_data;

    if (k->mv_size < 2 || (size_t) p[0] + 2 > k->mv_size) {
        return -1;
    }

    org->data = p + 1;
    org->len = p[0];

    *kind = p[1 + org->len];

    id->data = p + 2 + org->len;
    id->len = k->mv_size - 2 - org->len;

    return 0;
}


/* for an administrator: whatever is in the key, this is printable */

static void
aiq_store_row_name(const MDB_val *k, char *buf, size_t size)
{
    int          kind;
    aiq_out_t    out;
    aiq_str_t    org, id;
    const char  *name;

    aiq_out_init(&out, buf, size - 1);

    if (aiq_store_split(k, &org, &kind, &id) != 0
        || (name = aiq_store_kind(kind)) == NULL)
    {
        id.data = k->mv_data;
        id.len = k->mv_size;
        org.len = 0;
        name = "a row of no known kind,";
    }

    aiq_out_str(&out, name);
    aiq_out_char(&out, ' ');
    aiq_store_row_text(&out, id);

    if (org.len) {
        aiq_out_str(&out, " of org ");
        aiq_store_row_text(&out, org);
    }

    *out.pos = '\0';
}


/* text in quotes, anything else in hexadecimal; no more than fits */

static void
aiq_store_row_text(aiq_out_t *out, aiq_str_t s)
{
    size_t  i, n;

    for (i = 0; i < s.len; i++) {
        if (s.data[i] < 0x20 || s.data[i] >= 0x7f) {
            n = (s.len > 32) ? 32 : s.len;

            aiq_out_hex(out, s.data, n);
            aiq_out_str(out, (n < s.len) ? "..." : "");
            return;
        }
    }

    n = (s.len > 64) ? 64 : s.len;

    i = s.len;
    s.len = n;

    aiq_out_json(out, s);
    aiq_out_str(out, (n < i) ? "..." : "");
}


aiq_rc_t
aiq_store_backup(aiq_store_t *store, const char *dir, aiq_err_t *err)
{
    int       made;
    char      path[AIQ_STORE_PATH];
    aiq_rc_t  rc;

    rc = aiq_store_here(store, err);

    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_store_path(path, dir, "data.mdb", err);

    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_store_backup_dir(dir, &made, err);

    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_store_backup_copy(store, path, err);

    if (rc == AIQ_OK) {
        rc = aiq_store_sync_dir(dir, err);
    }

    /* a half copy must not pass for a backup one day */

    if (rc != AIQ_OK) {
        (void) unlink(path);

        if (made) {
            (void) rmdir(dir);
        }
    }

    return rc;
}


static aiq_rc_t
aiq_store_backup_dir(const char *dir, int *made, aiq_err_t *err)
{
    DIR            *d;
    int             n;
    aiq_rc_t        rc;
    struct dirent  *de;

    rc = aiq_store_check_dir(dir, err);

    *made = (rc == AIQ_DECLINED);

    if (rc == AIQ_DECLINED) {
        return aiq_store_make_dir(dir, err);
    }

    if (rc != AIQ_OK) {
        return rc;
    }

    d = opendir(dir);
    if (d == NULL) {
        return aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                        "cannot open directory \"%s\": %s", dir,
                        strerror(errno));
    }

    n = 0;

    for ( ;; ) {
        errno = 0;

        de = readdir(d);

        if (de == NULL) {
            break;
        }

        if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0) {
            n++;
        }
    }

    if (errno != 0) {
        rc = aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                      "cannot read directory \"%s\": %s", dir,
                      strerror(errno));

    } else if (n) {
        rc = aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                      "directory \"%s\" is not empty: a backup goes into a "
                      "new directory, name one that is not there", dir);
    }

    (void) closedir(d);

    return rc;
}


static aiq_rc_t
aiq_store_backup_copy(aiq_store_t *store, const char *path, aiq_err_t *err)
{
    int       fd, mrc;
    aiq_rc_t  rc;

    fd = open(path, O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, AIQ_STORE_MODE);

    if (fd == -1) {
        return aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                        "cannot make \"%s\": %s", path, strerror(errno));
    }

    rc = AIQ_OK;

    if (fchmod(fd, AIQ_STORE_MODE) != 0) {
        rc = aiq_fail(err, AIQ_E_STORE_UNAVAILABLE,
                      "cannot set the mode of \"%s\": %s", path,
                      strerror(errno));
    }

    /* to our own descriptor: mdb_env_copy2() would let the world read it */

    if (rc == AIQ_OK) {
        (void) pthread_mutex_lock(&store->lock);
        store->others++;
        (void) pthread_mutex_unlock(&store->lock);

        mrc = mdb_env_copyfd2(store->env, fd, MDB_CP_COMPACT);

        (void) pthread_mutex_lock(&store->lock);
        store->others--;
        (void) pthread_mutex_unlock(&store->lock);

        if (mrc == 0 && fsync(fd) != 0) {
            mrc = errno;
        }

        if (mrc != 0) {
            rc = aiq_store_fault(store, mrc, "the copy", err);
        }
    }

    if (close(fd) != 0 && rc == AIQ_OK) {
        rc = aiq_store_fault(store, errno, "the copy", err);
    }

    return rc;
}
