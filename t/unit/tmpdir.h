
/*
 * Copyright (C) ngx_armoriq authors
 *
 * A directory for the time of a test.
 */


#ifndef _AIQ_TMPDIR_H_INCLUDED_
#define _AIQ_TMPDIR_H_INCLUDED_


#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>


static int
tmpdir_drop(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void) st;
    (void) type;
    (void) f;

    return remove(path);
}


__attribute__((unused))
static void
tmpdir_remove(const char *dir)
{
    (void) nftw(dir, tmpdir_drop, 16, FTW_DEPTH|FTW_PHYS);
}


__attribute__((unused))
static void
tmpdir_make(char dir[PATH_MAX])
{
    const char  *base;

    base = getenv("TMPDIR");

    snprintf(dir, PATH_MAX, "%s/aiq.XXXXXX", base ? base : "/tmp");

    if (mkdtemp(dir) == NULL) {
        printf("Bail out! no temporary directory\n");
        exit(1);
    }
}


/* dir/name; lives to the end of the test */

__attribute__((unused))
static const char *
in(const char *dir, const char *name)
{
    size_t  len;

    static char      *kept[1024];
    static unsigned   n;

    len = strlen(dir) + strlen(name) + 2;

    if (n == sizeof(kept) / sizeof(kept[0])
        || (kept[n] = malloc(len)) == NULL)
    {
        printf("Bail out! too many paths\n");
        exit(1);
    }

    snprintf(kept[n], len, "%s/%s", dir, name);

    return kept[n++];
}


__attribute__((unused))
static unsigned
mode_of(const char *path)
{
    struct stat  st;

    return (stat(path, &st) == 0) ? (unsigned) st.st_mode & 07777 : 0;
}


#endif /* _AIQ_TMPDIR_H_INCLUDED_ */
