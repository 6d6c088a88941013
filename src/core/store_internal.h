
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The inside of the store; for store*.c only.
 */


#ifndef _AIQ_STORE_INTERNAL_H_INCLUDED_
#define _AIQ_STORE_INTERNAL_H_INCLUDED_


#include <limits.h>
#include <lmdb.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "store.h"


#define AIQ_STORE_PATH       PATH_MAX
#define AIQ_STORE_DIR_MODE   0750
#define AIQ_STORE_MODE       0640     /* data, keys: the group reads */
#define AIQ_STORE_LOCK_MODE  0660     /* readers write to the lock file */
#define AIQ_STORE_SIZE_MIN   (2 * 4096)    /* the two meta pages of LMDB */
#define AIQ_STORE_VALUE_MAX  ((size_t) 1 << 30)
#define AIQ_STORE_KEY_MAX    (2 + AIQ_STORE_ORG_MAX + AIQ_STORE_ID_MAX)


struct aiq_store_txn_s {
    MDB_txn                  *txn;
    aiq_store_t              *store;
    aiq_crypto_t             *crypto;
    unsigned                  write:1;
    unsigned                  active:1;
    unsigned                  changed:1;    /* the revision will grow */
    unsigned                  failed:1;     /* must not be committed */
};

/*
 * In a page of its own, which the kernel wipes in a child and leaves out of
 * core dumps.
 */

typedef struct {
    unsigned                  here;         /* 0 in a child */
    unsigned char             key[AIQ_KEY_LEN];
} aiq_store_page_t;

struct aiq_store_s {
    MDB_env                  *env;
    MDB_dbi                   dbi;
    pid_t                     pid;          /* of the process that opened */
    aiq_store_page_t         *page;
    unsigned                  writes:1;
    unsigned                  wiped:1;      /* the kernel can do that */

    /*
     * Guards read.active, others, writing and writer: with them the right to
     * move the map.  Never held while LMDB waits for its own lock.
     */

    pthread_mutex_t           lock;
    unsigned                  others;       /* that write, wait or copy */
    unsigned                  writing;
    pthread_t                 writer;       /* who has LMDB's lock */

    /* the revision as of a snapshot: the same snapshot has the same one */

    size_t                    seen;         /* its number, 0: none */
    uint64_t                  revision;

    aiq_store_txn_t           read;         /* its txn is kept, reset */
    aiq_store_txn_t           write;        /* of who has LMDB's lock */

    char                      dir[];
};

typedef struct {
    size_t                    len;
    unsigned char             data[AIQ_STORE_KEY_MAX];
} aiq_store_key_t;


/*
 * AIQ_E_STORE_UNAVAILABLE in another process than the one that opened.  It
 * is asked twice a decision, so where the kernel wipes the page that answers
 * without a system call.
 */

aiq_rc_t aiq_store_here(const aiq_store_t *store, aiq_err_t *err);

/* what an error of LMDB or errno is to us, with a sentence */

aiq_rc_t aiq_store_fault(const aiq_store_t *store, int mrc, const char *what,
    aiq_err_t *err);

/* "policy"; NULL if there is no such kind */

const char *aiq_store_kind(int kind);

/* a kind of no org */

int aiq_store_global(int kind);

/* MAC of a row; and the payload of a row whose MAC is right */

aiq_rc_t aiq_store_mac(aiq_store_txn_t *txn, const MDB_val *key,
    aiq_str_t payload, unsigned char mac[AIQ_HASH_LEN]);
aiq_rc_t aiq_store_open_row(aiq_store_txn_t *txn, const MDB_val *key,
    const MDB_val *row, aiq_str_t *payload);

/* rows of kind META; put_row() is aiq_store_put() without the bookkeeping */

aiq_rc_t aiq_store_meta(aiq_store_txn_t *txn, const char *name, uint64_t *n);
aiq_rc_t aiq_store_meta_put(aiq_store_txn_t *txn, const char *name,
    uint64_t n, aiq_err_t *err);
aiq_rc_t aiq_store_put_row(aiq_store_txn_t *txn, aiq_str_t org,
    aiq_store_kind_e kind, aiq_str_t id, aiq_str_t value, aiq_err_t *err);


/* files and directories */


/* dir/name, name may be empty */

aiq_rc_t aiq_store_path(char path[AIQ_STORE_PATH], const char *dir,
    const char *name, aiq_err_t *err);

/* AIQ_DECLINED if there is no such directory, no such file or nothing in it */

aiq_rc_t aiq_store_check_dir(const char *path, aiq_err_t *err);
aiq_rc_t aiq_store_check_file(const char *path, aiq_err_t *err);

/* makes what is not there yet, with this mode whatever the umask says */

aiq_rc_t aiq_store_make_dir(const char *path, aiq_err_t *err);
aiq_rc_t aiq_store_make_file(const char *path, mode_t mode, aiq_err_t *err);

aiq_rc_t aiq_store_sync_dir(const char *path, aiq_err_t *err);

/*
 * 32 bytes as 64 hexadecimal digits and a line feed.  Both answer
 * AIQ_DECLINED: reading, if there is no such file; writing, if there is one.
 * A file is there as a whole or not at all.
 */

aiq_rc_t aiq_store_secret_read(const char *path,
    unsigned char secret[AIQ_KEY_LEN], aiq_err_t *err);
aiq_rc_t aiq_store_secret_write(const char *dir, const char *path,
    const unsigned char secret[AIQ_KEY_LEN], aiq_err_t *err);


#endif /* _AIQ_STORE_INTERNAL_H_INCLUDED_ */
