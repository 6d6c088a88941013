
/*
 * Copyright (C) ngx_armoriq authors
 *
 * A library that is loaded before libc: it knows the files of the audit log
 * by their names, kills nginx at a named point of what happens to them, and
 * says how much of the newest segment has been synced.  ARMORIQ_SHIM is a file
 * of one page that all processes of that nginx and the test share, see
 * t/lib/ArmorIQ/Shim.pm.  Whoever runs a test with it is not nginx's user.
 */


#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>


#define SHIM_FDS      65536
#define SHIM_STEPS    4

#define SHIM_WORKER   0          /* who dies */
#define SHIM_WORKERS  1
#define SHIM_ALL      2


typedef enum {
    shim_other = 0,
    shim_new,                    /* a segment without a name */
    shim_segment,
    shim_reader,                 /* a segment, to sign it */
    shim_notes,
    shim_latest,
    shim_tile,
    shim_flush,                  /* locks */
    shim_lock,
    shim_dir
} shim_kind_e;


/* how far a segment is on disk */

typedef struct {
    uint64_t           ino;
    uint64_t           size;
} shim_synced_t;


typedef struct {
    uint64_t           armed;
    int64_t            countdown;
    uint64_t           victim;
    char               name[40];
} shim_step_t;


/* the page; numbers as the machine has them */

typedef struct {
    uint64_t           fired;
    uint64_t           cursor;
    uint64_t           syncs;
    uint64_t           writes;
    uint64_t           lead;     /* nginx leads a process group */
    uint64_t           slot;     /* the newer one of synced */
    shim_synced_t      synced[2];
    shim_step_t        steps[SHIM_STEPS];
} shim_page_t;


static void *shim_next(void **next, const char *name);
static void shim_load(void) __attribute__((constructor));
static int shim_due(const char *name);
static void shim_at(const char *name);
static void shim_die(void);
static void shim_die_workers(void);
static int shim_opened(int fd, const char *path, int flags);
static int shim_ends(const char *path, const char *name);
static shim_kind_e shim_of(int fd);
static int shim_sync(int fd, int (*next)(int));
static void shim_confirm(const struct stat *st);


static pid_t             shim_master;
static uint64_t          shim_victim;
static shim_page_t      *shim;
static unsigned char     shim_kind[SHIM_FDS];

static __thread int      shim_unnamed = -1;
static __thread int      shim_linked;
static __thread int      shim_rotating;


static void *
shim_next(void **next, const char *name)
{
    if (*next == NULL) {
        *next = dlsym(RTLD_NEXT, name);
    }

    return *next;
}


static void
shim_load(void)
{
    int          fd;
    void        *p;
    const char  *name;

    name = getenv("ARMORIQ_SHIM");
    if (name == NULL) {
        return;
    }

    fd = open(name, O_RDWR|O_CLOEXEC);
    if (fd == -1) {
        return;
    }

    p = mmap(NULL, sizeof(shim_page_t), PROT_READ|PROT_WRITE, MAP_SHARED, fd,
             0);

    (void) close(fd);

    if (p == MAP_FAILED) {
        return;
    }

    shim = p;
    shim_master = getpid();

    /* so that one signal reaches all of it, and nobody else */

    if (shim->lead) {
        (void) setpgid(0, 0);
    }
}


/* 1: this is where somebody dies; nobody passes here a second time */

static int
shim_due(const char *name)
{
    shim_step_t  *s;

    if (shim == NULL || getpid() == shim_master) {
        return 0;
    }

    s = &shim->steps[__atomic_load_n(&shim->cursor, __ATOMIC_ACQUIRE)
                     % SHIM_STEPS];

    if (!__atomic_load_n(&s->armed, __ATOMIC_ACQUIRE)
        || strcmp(s->name, name) != 0
        || __atomic_sub_fetch(&s->countdown, 1, __ATOMIC_ACQ_REL) != 0)
    {
        return 0;
    }

    shim_victim = s->victim;

    __atomic_store_n(&s->armed, 0, __ATOMIC_RELEASE);
    __atomic_add_fetch(&shim->cursor, 1, __ATOMIC_ACQ_REL);
    __atomic_add_fetch(&shim->fired, 1, __ATOMIC_ACQ_REL);

    return 1;
}


static void
shim_at(const char *name)
{
    if (shim_due(name)) {
        shim_die();
    }
}


static void
shim_die(void)
{
    if (shim_victim == SHIM_ALL && shim->lead) {
        (void) kill(0, SIGKILL);
    }

    if (shim_victim == SHIM_WORKERS) {
        shim_die_workers();
    }

    (void) kill(getpid(), SIGKILL);

    for ( ;; ) {
        (void) pause();
    }
}


static void
shim_die_workers(void)
{
    int    fd;
    char  *p, *end, buf[1024];
    long   pid;

    (void) snprintf(buf, sizeof(buf), "/proc/%d/task/%d/children",
                    (int) shim_master, (int) shim_master);

    fd = open(buf, O_RDONLY|O_CLOEXEC);
    if (fd == -1) {
        return;
    }

    pid = read(fd, buf, sizeof(buf) - 1);
    buf[pid > 0 ? pid : 0] = '\0';

    for (p = buf; /* void */ ; p = end) {
        pid = strtol(p, &end, 10);

        if (end == p) {
            break;
        }

        if (pid > 1 && pid != getpid()) {
            (void) kill((pid_t) pid, SIGKILL);
        }
    }

    (void) close(fd);
}


/* files */

static int
shim_ends(const char *path, const char *name)
{
    size_t       n;
    const char  *p;

    p = strrchr(path, '/');
    p = p ? p + 1 : path;
    n = strlen(name);

    return strncmp(p, name, n) == 0 && (name[n - 1] == '-' || p[n] == '\0');
}


static int
shim_opened(int fd, const char *path, int flags)
{
    shim_kind_e  kind;

    if (shim == NULL || fd < 0 || fd >= SHIM_FDS || path == NULL) {
        return fd;
    }

    kind = shim_other;

    if ((flags & O_TMPFILE) == O_TMPFILE || strcmp(path, ".new") == 0) {
        kind = shim_new;
        shim_unnamed = fd;
        shim_rotating = 0;

    } else if (flags & O_DIRECTORY) {
        kind = shim_dir;

    } else if (shim_ends(path, "seg-")) {
        kind = (flags & O_ACCMODE) == O_RDONLY ? shim_reader : shim_segment;

    } else if (shim_ends(path, "flush.lock")) {
        kind = shim_flush;

    } else if (strcmp(path, "lock") == 0) {
        kind = shim_lock;

    } else if (strcmp(path, "tile/.new") == 0) {
        kind = shim_tile;

    } else if ((flags & O_ACCMODE) != O_RDONLY) {

        if (strcmp(path, "checkpoints") == 0) {
            kind = shim_notes;

        } else if (strcmp(path, "checkpoint.new") == 0) {
            kind = shim_latest;
        }
    }

    shim_kind[fd] = kind;

    if (kind == shim_new) {
        shim_at("segment.opened");
    }

    return fd;
}


static shim_kind_e
shim_of(int fd)
{
    if (shim == NULL || fd < 0 || fd >= SHIM_FDS) {
        return shim_other;
    }

    return shim_kind[fd];
}


#define SHIM_OPEN(name)                                                       \
int                                                                           \
name(const char *path, int flags, ...)                                        \
{                                                                             \
    va_list       ap;                                                         \
    mode_t        mode;                                                       \
    static void  *next;                                                       \
                                                                              \
    va_start(ap, flags);                                                      \
    mode = (flags & (O_CREAT|O_TMPFILE)) ? va_arg(ap, mode_t) : 0;            \
    va_end(ap);                                                               \
                                                                              \
    return shim_opened(((int (*)(const char *, int, ...))                     \
                        shim_next(&next, #name))(path, flags, mode),          \
                       path, flags);                                          \
}


#define SHIM_OPENAT(name)                                                     \
int                                                                           \
name(int dir, const char *path, int flags, ...)                               \
{                                                                             \
    va_list       ap;                                                         \
    mode_t        mode;                                                       \
    static void  *next;                                                       \
                                                                              \
    va_start(ap, flags);                                                      \
    mode = (flags & (O_CREAT|O_TMPFILE)) ? va_arg(ap, mode_t) : 0;            \
    va_end(ap);                                                               \
                                                                              \
    return shim_opened(((int (*)(int, const char *, int, ...))                \
                        shim_next(&next, #name))(dir, path, flags, mode),     \
                       path, flags);                                          \
}


SHIM_OPEN(open)
SHIM_OPEN(open64)
SHIM_OPENAT(openat)
SHIM_OPENAT(openat64)


int
__openat_2(int dir, const char *path, int flags)
{
    return openat(dir, path, flags);
}


int
__openat64_2(int dir, const char *path, int flags)
{
    return openat64(dir, path, flags);
}


int
close(int fd)
{
    static void  *next;

    if (fd >= 0 && fd < SHIM_FDS) {
        shim_kind[fd] = shim_other;
    }

    return ((int (*)(int)) shim_next(&next, "close"))(fd);
}


/* what happens to them */

ssize_t
write(int fd, const void *p, size_t len)
{
    ssize_t        n;
    shim_kind_e    kind;
    const char    *name;
    static void   *next;
    static const char  *const half[] = {
        NULL, "segment.half", "write.half", NULL, "notes.half",
        "latest.half", "tile.half", NULL, NULL, NULL
    };

    kind = shim_of(fd);
    name = half[kind];

    if (kind == shim_new && shim_rotating) {
        name = "rotate.half";
    }

    if (kind == shim_segment) {
        shim_at("write.before");
    }

    if (name && shim_due(name)) {
        len /= 2;

        /* two lines of one length would not be torn */

        if (len && ((const char *) p)[len - 1] == '\n') {
            len--;
        }

        (void) ((ssize_t (*)(int, const void *, size_t))
                shim_next(&next, "write"))(fd, p, len);
        shim_die();
    }

    n = ((ssize_t (*)(int, const void *, size_t))
         shim_next(&next, "write"))(fd, p, len);

    if (kind == shim_segment) {
        __atomic_add_fetch(&shim->writes, 1, __ATOMIC_RELAXED);
        shim_at("write.after");
    }

    return n;
}


static int
shim_sync(int fd, int (*next)(int))
{
    int                  rc, rotating;
    struct stat          st;
    shim_kind_e          kind;
    static const char  *const before[] = {
        NULL, "segment.sync.before", "sync.before", "sign.sync.before",
        "notes.sync.before", "latest.sync.before", NULL, NULL, NULL, NULL
    };
    static const char  *const after[] = {
        NULL, "segment.sync.after", "sync.after", "sign.sync.after",
        "notes.sync.after", "latest.sync.after", NULL, NULL, NULL, NULL
    };

    kind = shim_of(fd);

    if (kind == shim_other) {
        return next(fd);
    }

    if (kind == shim_dir) {
        shim_at(!shim_linked ? "latest.dir.before"
                : shim_rotating ? "rotate.dir.before" : "segment.dir.before");

        rc = next(fd);

        shim_at(!shim_linked ? "latest.dir.after"
                : shim_rotating ? "rotate.dir.after" : "segment.dir.after");
        shim_linked = 0;

        return rc;
    }

    rotating = (kind == shim_new && shim_rotating);

    if (before[kind]) {
        shim_at(rotating ? "rotate.sync.before" : before[kind]);
    }

    st.st_ino = 0;

    if (kind == shim_segment || kind == shim_new) {
        (void) fstat(fd, &st);
    }

    rc = next(fd);

    if (rc == 0 && st.st_ino) {
        shim_confirm(&st);
    }

    if (after[kind]) {
        shim_at(rotating ? "rotate.sync.after" : after[kind]);
    }

    return rc;
}


/* one writer at a time: whoever has the locks; the segment before stays */

static void
shim_confirm(const struct stat *st)
{
    uint64_t  slot;

    slot = !__atomic_load_n(&shim->slot, __ATOMIC_ACQUIRE);

    __atomic_store_n(&shim->synced[slot].size, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&shim->synced[slot].ino, (uint64_t) st->st_ino,
                     __ATOMIC_RELEASE);
    __atomic_store_n(&shim->synced[slot].size, (uint64_t) st->st_size,
                     __ATOMIC_RELEASE);
    __atomic_store_n(&shim->slot, slot, __ATOMIC_SEQ_CST);

    __atomic_add_fetch(&shim->syncs, 1, __ATOMIC_RELAXED);
}


int
fdatasync(int fd)
{
    static void  *next;

    return shim_sync(fd, (int (*)(int)) shim_next(&next, "fdatasync"));
}


int
fsync(int fd)
{
    static void  *next;

    return shim_sync(fd, (int (*)(int)) shim_next(&next, "fsync"));
}


/* only a segment that is begun because it is time has a reserve at once */

#define SHIM_FALLOCATE(name)                                                  \
int                                                                           \
name(int fd, int mode, off_t off, off_t len)                                  \
{                                                                             \
    int           rc;                                                         \
    static void  *next;                                                       \
                                                                              \
    if (shim_of(fd) == shim_new) {                                            \
        shim_rotating = 1;                                                    \
        shim_at("rotate.reserve.before");                                     \
    }                                                                         \
                                                                              \
    rc = ((int (*)(int, int, off_t, off_t))                                   \
          shim_next(&next, #name))(fd, mode, off, len);                       \
                                                                              \
    shim_at(shim_of(fd) == shim_new ? "rotate.reserve.after"                  \
                                    : "reserve.after");                       \
                                                                              \
    return rc;                                                                \
}


SHIM_FALLOCATE(fallocate)
SHIM_FALLOCATE(fallocate64)


/* of a segment that is complete, whose own descriptor is closed */

#define SHIM_FTRUNCATE(name)                                                  \
int                                                                           \
name(int fd, off_t len)                                                       \
{                                                                             \
    int           rc;                                                         \
    static void  *next;                                                       \
                                                                              \
    if (shim_of(fd) == shim_other) {                                          \
        shim_at("rotate.release.before");                                     \
    }                                                                         \
                                                                              \
    rc = ((int (*)(int, off_t)) shim_next(&next, #name))(fd, len);            \
                                                                              \
    if (shim_of(fd) == shim_other) {                                          \
        shim_at("rotate.release.after");                                      \
    }                                                                         \
                                                                              \
    return rc;                                                                \
}


SHIM_FTRUNCATE(ftruncate)
SHIM_FTRUNCATE(ftruncate64)


int
linkat(int from, const char *old, int to, const char *new, int flags)
{
    int           rc;
    static void  *next;

    if (shim && shim_ends(new, "seg-")) {
        shim_at(shim_rotating ? "rotate.link.before"
                              : "segment.link.before");
    }

    rc = ((int (*)(int, const char *, int, const char *, int))
          shim_next(&next, "linkat"))(from, old, to, new, flags);

    if (shim && rc == 0 && shim_ends(new, "seg-")) {

        if (shim_of(shim_unnamed) == shim_new) {
            shim_kind[shim_unnamed] = shim_segment;
        }

        shim_linked = 1;
        shim_at(shim_rotating ? "rotate.link.after"
                              : "segment.link.after");
    }

    return rc;
}


int
renameat(int from, const char *old, int to, const char *new)
{
    int           rc;
    static void  *next;

    if (strcmp(old, "checkpoint.new") == 0) {
        shim_at("latest.rename.before");

    } else if (strcmp(old, "tile/.new") == 0) {
        shim_at("tile.rename.before");
    }

    rc = ((int (*)(int, const char *, int, const char *))
          shim_next(&next, "renameat"))(from, old, to, new);

    if (strcmp(old, "checkpoint.new") == 0) {
        shim_at("latest.rename.after");

    } else if (strcmp(old, "tile/.new") == 0) {
        shim_at("tile.rename.after");
    }

    return rc;
}


int
flock(int fd, int op)
{
    int           rc;
    shim_kind_e   kind;
    static void  *next;

    kind = shim_of(fd);

    if (kind == shim_flush && (op & LOCK_UN)) {
        shim_at("flush.unlock");

    } else if (kind == shim_lock && (op & LOCK_UN)) {
        shim_at("lock.unlock");
    }

    rc = ((int (*)(int, int)) shim_next(&next, "flock"))(fd, op);

    if (rc == 0 && (op & LOCK_EX)) {

        if (kind == shim_flush) {
            shim_at("flush.locked");

        } else if (kind == shim_lock) {
            shim_at("lock.locked");
        }
    }

    return rc;
}
