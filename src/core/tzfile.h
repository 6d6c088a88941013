
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Time zones from the system's database.  This is I/O, and it blocks: call
 * it where policies are compiled, not where they are evaluated.
 */


#ifndef _AIQ_TZFILE_H_INCLUDED_
#define _AIQ_TZFILE_H_INCLUDED_


#include "policy.h"


#define AIQ_TZFILE_DIR  "/usr/share/zoneinfo"
#define AIQ_TZFILE_MAX  65536        /* bytes; the largest known has 3.7K */


/*
 * An aiq_tz_load_pt: the bytes of DIR/NAME in mem.  data is DIR as a C
 * string, or NULL for AIQ_TZFILE_DIR.  The name is checked here as well: it
 * never leads out of DIR.  AIQ_DECLINED if there is no such zone or the file
 * is not TZif, AIQ_E_NO_MEMORY, AIQ_E_INTERNAL if it cannot be read.
 */

aiq_rc_t aiq_tzfile_load(void *data, aiq_str_t name, aiq_mem_t *mem,
    aiq_str_t *tzif);


#endif /* _AIQ_TZFILE_H_INCLUDED_ */
