
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Files and lines of the audit log, for those who append and those who read.
 * Private to the audit*.c files.
 */


#ifndef _AIQ_AUDIT_FILE_H_INCLUDED_
#define _AIQ_AUDIT_FILE_H_INCLUDED_


#include <sys/types.h>
#include <sys/stat.h>

#include "audit.h"
#include "audit_key.h"


#define AIQ_AUDIT_FORMAT    "AIQL/1"
#define AIQ_AUDIT_LOCK      "lock"
#define AIQ_AUDIT_GENESIS   "armoriq-audit/v1\n"
#define AIQ_AUDIT_TS_LEN    27        /* 2026-11-21T02:00:00.123456Z */
#define AIQ_AUDIT_NAME_LEN  26        /* seg-0000000000000001.jsonl */
#define AIQ_AUDIT_TYPE_MAX  32
#define AIQ_AUDIT_DEPTH     16        /* nesting of a record */


/* the front of a line: {"v":1,"seq":N,"prev":"...","t":"TYPE","ts":"..." */

typedef struct {
    uint64_t              seq;
    const unsigned char  *prev;       /* 64 hex digits */
    aiq_str_t             type;
    int64_t               ts_us;
} aiq_audit_front_t;

/* AIQ_DECLINED if the line, without LF, does not begin like that */

aiq_rc_t aiq_audit_front(aiq_audit_front_t *f, aiq_str_t line);

void aiq_audit_hex(const unsigned char hash[AIQ_HASH_LEN],
    unsigned char hex[2 * AIQ_HASH_LEN]);

void aiq_audit_ts_format(int64_t us, unsigned char ts[AIQ_AUDIT_TS_LEN]);
aiq_rc_t aiq_audit_ts_parse(const unsigned char *ts, int64_t *us);


/* opens DIR; refuses one that everybody may write to */

aiq_rc_t aiq_audit_dir(const char *dir, int *fd, aiq_err_t *err);

void aiq_audit_name(uint64_t first, char name[AIQ_AUDIT_NAME_LEN + 1]);

/* first numbers of all segments in order; the caller frees *first */

aiq_rc_t aiq_audit_list(int dir, uint64_t **first, size_t *n,
    aiq_err_t *err);

/* opens a segment, or another regular file, never a link; st is filled */

aiq_rc_t aiq_audit_open_at(int dir, const char *name, int flags, int *fd,
    struct stat *st, aiq_err_t *err);

/* reads exactly len bytes at off */

aiq_rc_t aiq_audit_read_at(int fd, void *buf, size_t len, uint64_t off,
    const char *name, aiq_err_t *err);

/* end of the last whole line before size; 0 if there is none */

aiq_rc_t aiq_audit_last_lf(int fd, uint64_t size, uint64_t *end,
    const char *name, aiq_err_t *err);

/* SHA-256 of len bytes at off */

aiq_rc_t aiq_audit_hash_at(int fd, uint64_t off, uint64_t len,
    const char *name, aiq_crypto_t *c, aiq_hash_t hash, aiq_err_t *err);

/*
 * Makes a file that is there with all its bytes on disk or not at all: it is
 * written without a name and linked when it is complete.  fd is for reading
 * and appending; if it is not -1 in spite of a fault, the file is there, but
 * the directory could not be synced.  ahead, if not NULL: how many bytes to
 * reserve behind the text; 0 afterwards if the file system cannot do that.
 */

aiq_rc_t aiq_audit_publish(int dir, const char *name, aiq_str_t text,
    uint64_t *ahead, int *fd, struct stat *st, aiq_err_t *err);

/*
 * The same under AIQ_AUDIT_FSYNC; else nothing is synced.  tmp is its name
 * while it is written, where a file must have one: two that are written at a
 * time have different ones.
 */

aiq_rc_t aiq_audit_publish_as(int dir, const char *name, const char *tmp,
    aiq_str_t text, uint64_t *ahead, unsigned flags, int *fd,
    struct stat *st, aiq_err_t *err);

/*
 * For those who sync a segment and do not append: both take the lock of the
 * log.  What could not be synced is marked, with the records that this is
 * about; AIQ_DECLINED if the segment is.
 */

aiq_rc_t aiq_audit_mark(int dir, uint64_t first, uint64_t from, uint64_t to,
    aiq_err_t *err);
aiq_rc_t aiq_audit_unmarked(int dir, uint64_t first, aiq_err_t *err);

/* room for len bytes at off, not counted as size; 0, or -1 and errno */

int aiq_audit_reserve(int fd, uint64_t off, uint64_t len);

/* errno of a file system that does not know how to reserve */

#define aiq_audit_no_reserve(e)  ((e) == EOPNOTSUPP || (e) == ENOSYS)

/* gives a new file to the owner of the directory; 0, or -1 and errno */

int aiq_audit_own(int dir, int fd);

/*
 * A file for flock(), and a new file for writing, in place of what somebody
 * who was stopped has left under that name.  Both belong to the owner of the
 * directory from the start.  -1 and errno.
 */

int aiq_audit_lock_at(int dir, const char *name);
int aiq_audit_new_at(int dir, const char *name);

/*
 * Takes an exclusive flock() on such a file.  *fd is -1 or from a call before;
 * whoever closes it lets go.  Without wait AIQ_DECLINED if somebody else has
 * it.
 */

aiq_rc_t aiq_audit_lock_take(int dir, const char *name, int wait, int *fd,
    aiq_err_t *err);

/*
 * What the first line carries as prev, from log.json.  AIQ_DECLINED if that
 * is not what it should be, AIQ_E_AUDIT_UNAVAILABLE if it cannot be read.
 */

aiq_rc_t aiq_audit_genesis(int dir, aiq_crypto_t *c, aiq_hash_t hash,
    aiq_err_t *err);

/* name "+" hex(key id) "+" base64(0x01 | public key), C2SP signed-note */

aiq_rc_t aiq_audit_vkey(aiq_out_t *out, aiq_str_t origin,
    const unsigned char public_key[AIQ_KEY_LEN], aiq_crypto_t *c);


/* the first key, from log.json; the others are in audit_key.c */

aiq_rc_t aiq_audit_first_key(int dir, aiq_audit_keys_t *k, aiq_crypto_t *c,
    aiq_err_t *err);


/*
 * Lines of all segments from the front.  What is read is fixed when it is
 * opened, while nobody writes: later records are not seen.
 */

typedef struct {
    int                   dir;
    int                   fd;         /* segment, or -1 */
    char                  name[AIQ_AUDIT_NAME_LEN + 1];
    uint64_t             *list;
    size_t                n;
    size_t                next;       /* in list */
    uint64_t              newest;     /* size of the last one */
    uint64_t              first;      /* names the segment */
    uint64_t              size;       /* of it */
    uint64_t              off;        /* of the next line */
    unsigned char        *buf;
    unsigned char        *pos;        /* off is here */
    unsigned char        *end;
} aiq_audit_reader_t;

/* reader->dir and buf are -1 and NULL after a fault; close it always */

aiq_rc_t aiq_audit_reader_open(aiq_audit_reader_t *r, const char *dir,
    aiq_err_t *err);
void aiq_audit_reader_close(aiq_audit_reader_t *r);

/* begins segment i of the list at an offset where a line begins */

aiq_rc_t aiq_audit_reader_segment(aiq_audit_reader_t *r, size_t i,
    uint64_t off, aiq_err_t *err);

/*
 * An offset in the segment that was begun: not behind the line of the record,
 * and not far before it.
 */

aiq_rc_t aiq_audit_reader_seek(aiq_audit_reader_t *r, uint64_t seq,
    uint64_t *off, aiq_err_t *err);

/*
 * The next line without LF, valid until the next call.  AIQ_DECLINED at the
 * end: what lies between off and size is torn.  AIQ_D_JSON_TOO_LARGE if the
 * line is longer than it may be.
 */

aiq_rc_t aiq_audit_reader_line(aiq_audit_reader_t *r, aiq_str_t *line,
    aiq_err_t *err);


/*
 * Notes of the file "checkpoints" one by one, as far as it went when it was
 * opened.  A log without that file has none.
 */

#define AIQ_AUDIT_NOTES     "checkpoints"
#define AIQ_AUDIT_LATEST    "checkpoint"

typedef struct {
    int                   fd;         /* or -1 */
    uint64_t              size;
    uint64_t              off;        /* of the next note */
    unsigned char        *buf;
    size_t                have;       /* bytes from off in buf + pos */
    size_t                pos;
} aiq_audit_notes_t;

aiq_rc_t aiq_audit_notes_open(aiq_audit_notes_t *n, int dir, aiq_err_t *err);
void aiq_audit_notes_close(aiq_audit_notes_t *n);

/* begins with the first note behind off */

aiq_rc_t aiq_audit_notes_seek(aiq_audit_notes_t *n, uint64_t off,
    aiq_err_t *err);

/*
 * The next note, valid until the next call.  AIQ_DECLINED at the end: what
 * lies between off and size is torn.  AIQ_D_JSON_TOO_LARGE if it is longer
 * than it may be.
 */

aiq_rc_t aiq_audit_notes_next(aiq_audit_notes_t *n, aiq_str_t *note,
    aiq_err_t *err);

/* appends to "checkpoints" behind end, where the last whole note ends */

aiq_rc_t aiq_audit_notes_add(int dir, aiq_str_t note, uint64_t end,
    aiq_err_t *err);

/* puts it in place of "checkpoint" */

aiq_rc_t aiq_audit_notes_publish(int dir, aiq_str_t note, aiq_err_t *err);

/* what is there; AIQ_DECLINED if nothing is.  Room for AIQ_NOTE_MAX */

aiq_rc_t aiq_audit_notes_latest(int dir, unsigned char *buf,
    aiq_str_t *note, aiq_err_t *err);


/*
 * Checkpoints beside a tree that grows: those in the log, the newest one, and
 * those that were kept elsewhere.  Each function says what is wrong in report.
 */

typedef struct {
    uint64_t              size;
    aiq_hash_t            root;
} aiq_audit_point_t;

typedef struct {
    uint64_t              due;        /* size of the next one to compare */
    uint64_t              latest;     /* size of the newest one */
    aiq_audit_keys_t     *keys;
    unsigned              seen;       /* KEY records so far */
    aiq_audit_point_t     last;       /* that was compared */
    aiq_audit_notes_t     notes;
    aiq_audit_point_t     next;       /* of notes */
    aiq_audit_point_t     other[AIQ_AUDIT_KEPT + 1 + AIQ_AUDIT_KEYS];
    unsigned              n;          /* of other, those that are left */
    unsigned              more:1;     /* there is a next one */
    unsigned char        *buf;
} aiq_audit_compare_t;

#define AIQ_AUDIT_NEVER   UINT64_MAX

aiq_audit_code_e aiq_audit_compare_open(aiq_audit_compare_t *m,
    const char *dir, const aiq_audit_kept_t *kept, aiq_crypto_t *c,
    aiq_audit_report_t *report);
void aiq_audit_compare_close(aiq_audit_compare_t *m);

/* when the tree has grown to due */

aiq_audit_code_e aiq_audit_compare(aiq_audit_compare_t *m,
    const aiq_frontier_t *tree, aiq_crypto_t *c, aiq_audit_report_t *report);

/* a KEY record, before its tree is compared; mem is for its note */

aiq_audit_code_e aiq_audit_compare_key(aiq_audit_compare_t *m,
    aiq_str_t line, uint64_t seq, aiq_mem_t *mem, aiq_crypto_t *c,
    aiq_audit_report_t *report);

/* when it does not grow any more */

aiq_audit_code_e aiq_audit_compare_end(const aiq_audit_compare_t *m,
    const aiq_frontier_t *tree, aiq_audit_report_t *report);


/* numbers and what belongs to them; grows */

#define AIQ_AUDIT_MAP_DATA  48

typedef struct {
    uint64_t              key;        /* not 0 */
    unsigned char         data[AIQ_AUDIT_MAP_DATA];
} aiq_audit_slot_t;

typedef struct {
    aiq_audit_slot_t     *slot;
    size_t                size;       /* a power of 2, or 0 */
    size_t                used;
} aiq_audit_map_t;

void aiq_audit_map_free(aiq_audit_map_t *map);
aiq_audit_slot_t *aiq_audit_map_find(aiq_audit_map_t *map, uint64_t key);
aiq_audit_slot_t *aiq_audit_map_add(aiq_audit_map_t *map, uint64_t key);
void aiq_audit_map_del(aiq_audit_map_t *map, aiq_audit_slot_t *slot);


#endif /* _AIQ_AUDIT_FILE_H_INCLUDED_ */
