
/*
 * Copyright (C) ngx_armoriq authors
 *
 * TAP for the unit tests: prove runs them beside the .t files.
 */


#ifndef _AIQ_TAP_H_INCLUDED_
#define _AIQ_TAP_H_INCLUDED_


#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static int  tap_n;
static int  tap_bad;


__attribute__((format(printf, 2, 3), unused))
static int
ok(int pass, const char *fmt, ...)
{
    va_list  args;

    printf("%sok %d - ", pass ? "" : "not ", ++tap_n);

    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);

    printf("\n");

    if (!pass) {
        tap_bad++;
    }

    return pass;
}


__attribute__((format(printf, 1, 2), unused))
static void
diag(const char *fmt, ...)
{
    va_list  args;

    printf("# ");

    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);

    printf("\n");
}


__attribute__((unused))
static void
skip(const char *what, const char *why)
{
    printf("ok %d - %s # skip %s\n", ++tap_n, what, why);
}


__attribute__((unused))
static int
done_testing(void)
{
    printf("1..%d\n", tap_n);

    return tap_bad ? 1 : 0;
}


/* the whole file, NUL-terminated, or NULL; the caller frees it */

__attribute__((unused))
static char *
slurp(const char *path, size_t *len)
{
    FILE    *f;
    long     n;
    char    *p;

    f = fopen(path, "rb");
    if (f == NULL) {
        return NULL;
    }

    if (fseek(f, 0, SEEK_END) != 0 || (n = ftell(f)) < 0
        || fseek(f, 0, SEEK_SET) != 0)
    {
        fclose(f);
        return NULL;
    }

    p = malloc((size_t) n + 1);

    if (p == NULL || fread(p, 1, (size_t) n, f) != (size_t) n) {
        free(p);
        fclose(f);
        return NULL;
    }

    fclose(f);

    p[n] = '\0';

    if (len) {
        *len = (size_t) n;
    }

    return p;
}


/* a file below ${ARMORIQ_VECTORS:-../shared/vectors}; NULL if absent */

__attribute__((unused))
static char *
vectors(const char *name, size_t *len)
{
    char         path[4096];
    const char  *dir;

    dir = getenv("ARMORIQ_VECTORS");

    snprintf(path, sizeof(path), "%s/%s",
             dir ? dir : "../shared/vectors", name);

    return slurp(path, len);
}


#endif /* _AIQ_TAP_H_INCLUDED_ */
