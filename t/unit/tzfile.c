
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Time zones from files: names that lead elsewhere, files that are no zones.
 */


#include <stdint.h>
#include <unistd.h>

#include "tap.h"
#include "tmpdir.h"
#include "tzfile.h"


#define LONG  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"                              \
              "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"


static char           dir[PATH_MAX];
static unsigned char  buf[2 * AIQ_TZFILE_MAX];


static void
put(const char *name, size_t size)
{
    FILE    *f;
    size_t   i;

    f = fopen(in(dir, name), "wb");

    for (i = 0; f && i < size; i++) {
        (void) putc("TZif"[i & 3], f);
    }

    if (f == NULL || fclose(f) != 0) {
        printf("Bail out! cannot write %s\n", name);
        exit(1);
    }
}


static aiq_rc_t
load(void *from, aiq_str_t name, size_t room, aiq_str_t *tzif)
{
    aiq_mem_t  mem;

    mem.pos = buf;
    mem.end = buf + room;

    aiq_str_null(tzif);

    return aiq_tzfile_load(from, name, &mem, tzif);
}


static void
names(void)
{
    size_t      i;
    aiq_str_t   tzif, nul;

    static const char *const  bad[] = {
        "", "/", "..", "Area/../City", "Area/../Area/Ci-ty_1+2", "/City",
        "./City", "Area//Ci-ty_1+2", "Area/./Ci-ty_1+2", "City.bak", "Ci ty",
        "City\n", "C\\y", "C\xc3\xa9", LONG "a"
    };

    /* they are there, all but the first three */

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ok(load(dir, aiq_cstr(bad[i]), sizeof(buf), &tzif) == AIQ_DECLINED
           && tzif.data == NULL, "bad name %u", (unsigned) i);
    }

    nul.data = (const unsigned char *) "City\0x";
    nul.len = 6;

    ok(load(dir, nul, sizeof(buf), &tzif) == AIQ_DECLINED, "NUL in a name");

    ok(load(dir, aiq_cstr("City"), sizeof(buf), &tzif) == AIQ_OK
       && tzif.len == 44 && memcmp(tzif.data, "TZif", 4) == 0, "a zone");

    ok(load(dir, aiq_cstr(LONG), sizeof(buf), &tzif) == AIQ_OK,
       "a name as long as allowed");

    ok(load(dir, aiq_cstr("Area/Ci-ty_1+2"), sizeof(buf), &tzif) == AIQ_OK,
       "a zone in an area");

    ok(load(dir, aiq_cstr("Nowhere"), sizeof(buf), &tzif) == AIQ_DECLINED,
       "no such zone");

    ok(load(dir, aiq_cstr("City/Nowhere"), sizeof(buf), &tzif)
       == AIQ_DECLINED, "a file is no area");
}


static void
files(void)
{
    aiq_str_t  tzif;

    ok(load(dir, aiq_cstr("Area"), sizeof(buf), &tzif) == AIQ_DECLINED,
       "a directory");

    ok(load(dir, aiq_cstr("short"), sizeof(buf), &tzif) == AIQ_DECLINED,
       "shorter than a header");

    ok(load(dir, aiq_cstr("max"), sizeof(buf), &tzif) == AIQ_OK
       && tzif.len == AIQ_TZFILE_MAX, "as long as allowed");

    ok(load(dir, aiq_cstr("max1"), sizeof(buf), &tzif) == AIQ_DECLINED,
       "one byte longer");

    ok(load(dir, aiq_cstr("text"), sizeof(buf), &tzif) == AIQ_DECLINED
       && tzif.data == NULL, "not TZif");

    ok(load(dir, aiq_cstr("fifo"), sizeof(buf), &tzif) == AIQ_DECLINED,
       "a FIFO does not stop us");

    ok(load(dir, aiq_cstr("City"), 44, &tzif) == AIQ_OK, "just enough room");

    ok(load(dir, aiq_cstr("City"), 43, &tzif) == AIQ_E_NO_MEMORY,
       "one byte less");
}


static void
memory(void)
{
    aiq_mem_t  mem;
    aiq_str_t  tzif;

    mem.pos = buf;
    mem.end = buf + sizeof(buf);

    ok(aiq_tzfile_load(dir, aiq_cstr("text"), &mem, &tzif) == AIQ_DECLINED
       && mem.pos == buf, "a refusal takes no memory");

    ok(aiq_tzfile_load(dir, aiq_cstr("City"), &mem, &tzif) == AIQ_OK
       && mem.pos == buf + 44, "a zone takes what it is long");
}


static void
system_zones(void)
{
    int32_t    offset;
    aiq_str_t  tzif;

    if (access(AIQ_TZFILE_DIR "/Europe/Berlin", R_OK) != 0) {
        skip("Europe/Berlin", "no zones in " AIQ_TZFILE_DIR);
        return;
    }

    ok(load(NULL, aiq_cstr("Europe/Berlin"), sizeof(buf), &tzif) == AIQ_OK
       && aiq_tz_offset(tzif, 1751328000, &offset) == AIQ_OK
       && offset == 7200, "Europe/Berlin in July 2025");
}


int
main(void)
{
    FILE  *f;

    tmpdir_make(dir);

    put("City", 44);
    put("City.bak", 44);
    put("Ci ty", 44);
    put("City\n", 44);
    put("C\\y", 44);
    put("C\xc3\xa9", 44);
    put(LONG, 44);
    put(LONG "a", 44);
    put("short", 43);
    put("max", AIQ_TZFILE_MAX);
    put("max1", AIQ_TZFILE_MAX + 1);

    f = fopen(in(dir, "text"), "wb");

    if (f == NULL || fprintf(f, "%64s", "text") != 64 || fclose(f) != 0
        || mkdir(in(dir, "Area"), 0700) != 0
        || mkfifo(in(dir, "fifo"), 0600) != 0)
    {
        printf("Bail out! cannot make files\n");
        return 1;
    }

    put("Area/Ci-ty_1+2", 44);

    names();
    files();
    memory();
    system_zones();

    tmpdir_remove(dir);

    return done_testing();
}
