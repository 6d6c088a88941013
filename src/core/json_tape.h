
/*
 * Copyright (C) ngx_armoriq authors
 *
 * What the files of the JSON reader share with each other.
 */


#ifndef _AIQ_JSON_TAPE_H_INCLUDED_
#define _AIQ_JSON_TAPE_H_INCLUDED_


#include "json.h"


/* longer numbers say nothing that a double could hold */

#define AIQ_JSON_NUMBER_MAX   400

#define aiq_json_is_digit(c)  ((unsigned) (c) - '0' <= 9)


/* a tape that is being written */

typedef struct {
    const unsigned char  *text;
    aiq_json_tok_t       *tok;
    uint32_t              n;
    uint32_t              max;
} aiq_json_tape_t;


/*
 * Threads the keys of an object that has members and ends with the tape.
 * Returns AIQ_JSON_NONE, or a key that is there twice, the later one.
 */

uint32_t aiq_json_sort(aiq_json_tape_t *tape, uint32_t object);

/* four hexadecimal digits; -1 if they are not, or not before last */

int aiq_json_hex4(const unsigned char *p, const unsigned char *last,
    uint32_t *code);


#endif /* _AIQ_JSON_TAPE_H_INCLUDED_ */
