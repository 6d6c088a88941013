
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Words of nginx.conf, as ngx_conf_read_token() of nginx takes them: where it
 * would see another directive than we do, a fault could hide.
 */


#include <string.h>

#include "lint_ctl.h"


static aiq_ctl_lex_e aiq_ctl_lex_word(aiq_ctl_lex_t *lex, aiq_str_t *word);
static aiq_ctl_lex_e aiq_ctl_lex_quoted(aiq_ctl_lex_t *lex, aiq_str_t *word);
static aiq_ctl_lex_e aiq_ctl_lex_unescape(aiq_ctl_lex_t *lex,
    aiq_str_t *word);
static aiq_ctl_lex_e aiq_ctl_lex_push(aiq_ctl_lex_t *lex, aiq_ctl_dir_t *dir,
    aiq_str_t word, unsigned *size);
static void aiq_ctl_lex_blanks(aiq_ctl_lex_t *lex);
static aiq_ctl_lex_e aiq_ctl_lex_wrong(aiq_ctl_lex_t *lex, const char *text);
static size_t aiq_ctl_lex_long(const aiq_ctl_lex_t *lex);
static void aiq_ctl_lex_long_skip(aiq_ctl_lex_t *lex, size_t level);
static void aiq_ctl_lex_string_skip(aiq_ctl_lex_t *lex);


aiq_ctl_lex_e
aiq_ctl_lex(aiq_ctl_lex_t *lex, aiq_ctl_dir_t *dir)
{
    unsigned       size;
    aiq_str_t      word;
    aiq_ctl_lex_e  rc;

    size = 0;

    dir->n = 0;
    dir->args = NULL;

    for ( ;; ) {
        aiq_ctl_lex_blanks(lex);

        if (dir->n == 0) {
            dir->line = lex->line;
        }

        if (lex->p == lex->last) {
            return dir->n ? aiq_ctl_lex_wrong(lex, "end of file")
                          : AIQ_CTL_LEX_EOF;
        }

        switch (*lex->p) {

        case ';':
            lex->p++;
            return dir->n ? AIQ_CTL_LEX_SIMPLE : aiq_ctl_lex_wrong(lex, ";");

        case '{':
            lex->p++;
            return dir->n ? AIQ_CTL_LEX_OPEN : aiq_ctl_lex_wrong(lex, "{");

        case '}':
            lex->p++;
            return dir->n ? aiq_ctl_lex_wrong(lex, "}") : AIQ_CTL_LEX_CLOSE;

        case '"':
        case '\'':
            rc = aiq_ctl_lex_quoted(lex, &word);
            break;

        default:
            rc = aiq_ctl_lex_word(lex, &word);
            break;
        }

        if (rc == AIQ_CTL_LEX_SIMPLE) {
            rc = aiq_ctl_lex_push(lex, dir, word, &size);
        }

        if (rc != AIQ_CTL_LEX_SIMPLE) {
            return rc;
        }
    }
}


/* spaces, lines and comments */

static void
aiq_ctl_lex_blanks(aiq_ctl_lex_t *lex)
{
    for ( /* void */ ; lex->p < lex->last; lex->p++) {

        switch (*lex->p) {

        case '\n':
            lex->line++;
            break;

        case ' ':
        case '\t':
        case '\r':
            break;

        case '#':

            while (lex->p + 1 < lex->last && lex->p[1] != '\n') {
                lex->p++;
            }

            break;

        default:
            return;
        }
    }
}


static aiq_ctl_lex_e
aiq_ctl_lex_word(aiq_ctl_lex_t *lex, aiq_str_t *word)
{
    const unsigned char  *p;

    word->data = lex->p;

    for (p = lex->p; p < lex->last; p++) {

        if (*p == '\\' && p + 1 < lex->last) {
            p++;
            lex->line += (*p == '\n');
            continue;
        }

        /* the brace of ${name} ends nothing */

        if (*p == '$' && p + 1 < lex->last && p[1] == '{') {
            p++;
            continue;
        }

        if (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n' || *p == ';'
            || *p == '{')
        {
            break;
        }
    }

    word->len = (size_t) (p - lex->p);
    lex->p = p;

    return aiq_ctl_lex_unescape(lex, word);
}


static aiq_ctl_lex_e
aiq_ctl_lex_quoted(aiq_ctl_lex_t *lex, aiq_str_t *word)
{
    unsigned char         quote;
    const unsigned char  *p;

    quote = *lex->p++;

    word->data = lex->p;

    for (p = lex->p; p < lex->last && *p != quote; p++) {

        if (*p == '\\' && p + 1 < lex->last) {
            p++;
        }

        lex->line += (*p == '\n');
    }

    if (p == lex->last) {
        return aiq_ctl_lex_wrong(lex, "end of file");
    }

    word->len = (size_t) (p - lex->p);
    lex->p = p + 1;

    /* "a"b is no word */

    if (lex->p < lex->last && strchr(" \t\r\n;{)", *lex->p) == NULL) {
        return aiq_ctl_lex_wrong(lex, "text behind a quote");
    }

    return aiq_ctl_lex_unescape(lex, word);
}


static aiq_ctl_lex_e
aiq_ctl_lex_unescape(aiq_ctl_lex_t *lex, aiq_str_t *word)
{
    size_t          i, n;
    unsigned char  *p, c;

    if (word->len == 0 || memchr(word->data, '\\', word->len) == NULL) {
        return AIQ_CTL_LEX_SIMPLE;
    }

    p = aiq_mem_alloc(lex->mem, word->len);

    if (p == NULL) {
        return AIQ_CTL_LEX_NO_MEMORY;
    }

    for (i = 0, n = 0; i < word->len; i++) {
        c = word->data[i];

        if (c == '\\' && i + 1 < word->len) {

            switch (word->data[i + 1]) {

            case '"':
            case '\'':
            case '\\':
                c = word->data[++i];
                break;

            case 't':
                c = '\t';
                i++;
                break;

            case 'r':
                c = '\r';
                i++;
                break;

            case 'n':
                c = '\n';
                i++;
                break;

            default:
                break;
            }
        }

        p[n++] = c;
    }

    word->data = p;
    word->len = n;

    return AIQ_CTL_LEX_SIMPLE;
}


static aiq_ctl_lex_e
aiq_ctl_lex_push(aiq_ctl_lex_t *lex, aiq_ctl_dir_t *dir, aiq_str_t word,
    unsigned *size)
{
    aiq_str_t  *args;

    if (dir->n == *size) {
        *size = *size ? *size * 2 : 4;

        args = aiq_mem_alloc(lex->mem, *size * sizeof(aiq_str_t));

        if (args == NULL) {
            return AIQ_CTL_LEX_NO_MEMORY;
        }

        if (dir->n) {
            memcpy(args, dir->args, dir->n * sizeof(aiq_str_t));
        }

        dir->args = args;
    }

    dir->args[dir->n++] = word;

    return AIQ_CTL_LEX_SIMPLE;
}


static aiq_ctl_lex_e
aiq_ctl_lex_wrong(aiq_ctl_lex_t *lex, const char *text)
{
    lex->text = text;

    return AIQ_CTL_LEX_WRONG;
}


/*
 * Lua has braces in strings and comments as well; those of tables come in
 * pairs.
 */

int
aiq_ctl_lex_lua(aiq_ctl_lex_t *lex)
{
    int       comment;
    size_t    level;
    unsigned  depth;

    depth = 1;

    while (lex->p < lex->last) {
        comment = (lex->last - lex->p >= 2 && memcmp(lex->p, "--", 2) == 0);

        if (comment) {
            lex->p += 2;
        }

        level = aiq_ctl_lex_long(lex);

        if (level) {
            aiq_ctl_lex_long_skip(lex, level);
            continue;
        }

        if (comment) {

            while (lex->p < lex->last && *lex->p != '\n') {
                lex->p++;
            }

            continue;
        }

        switch (*lex->p) {

        case '"':
        case '\'':
            aiq_ctl_lex_string_skip(lex);
            continue;

        case '{':
            depth++;
            break;

        case '}':

            if (--depth == 0) {
                lex->p++;
                return 0;
            }

            break;

        case '\n':
            lex->line++;
            break;

        default:
            break;
        }

        lex->p++;
    }

    lex->text = "end of file";

    return -1;
}


/* [[ or [==[: its length, else 0 */

static size_t
aiq_ctl_lex_long(const aiq_ctl_lex_t *lex)
{
    const unsigned char  *p;

    if (lex->p == lex->last || *lex->p != '[') {
        return 0;
    }

    for (p = lex->p + 1; p < lex->last && *p == '='; p++) { /* void */ }

    return (p < lex->last && *p == '[') ? (size_t) (p - lex->p) + 1 : 0;
}


static void
aiq_ctl_lex_long_skip(aiq_ctl_lex_t *lex, size_t level)
{
    size_t  i;

    for (lex->p += level; lex->p < lex->last; lex->p++) {

        lex->line += (*lex->p == '\n');

        if (*lex->p != ']' || (size_t) (lex->last - lex->p) < level) {
            continue;
        }

        for (i = 1; i + 1 < level && lex->p[i] == '='; i++) { /* void */ }

        if (i + 1 == level && lex->p[i] == ']') {
            lex->p += level;
            return;
        }
    }
}


static void
aiq_ctl_lex_string_skip(aiq_ctl_lex_t *lex)
{
    unsigned char  quote;

    quote = *lex->p++;

    while (lex->p < lex->last && *lex->p != quote && *lex->p != '\n') {

        if (*lex->p == '\\' && lex->p + 1 < lex->last) {
            lex->p++;
            lex->line += (*lex->p == '\n');
        }

        lex->p++;
    }

    if (lex->p < lex->last && *lex->p == quote) {
        lex->p++;
    }
}
