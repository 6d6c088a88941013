
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl lint: what "nginx -t" says with the module, for a configuration
 * that is not on this machine, with the line of every directive, and what
 * cannot be seen from inside nginx.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lint_ctl.h"


#define AIQ_CTL_LINT_MESSAGE  4096


static int aiq_ctl_lint(aiq_ctl_t *ctl);
static void aiq_ctl_lint_say(aiq_ctl_lint_t *lint, aiq_lint_id_e id,
    aiq_lint_level_e level, const aiq_ctl_file_t *file, unsigned line,
    const aiq_ctl_dir_t *at, aiq_str_t text, aiq_str_t place);
static aiq_lint_level_e aiq_ctl_lint_severity(aiq_lint_id_e id,
    const aiq_ctl_dir_t *place);
static aiq_str_t aiq_ctl_lint_text(aiq_ctl_lint_t *lint,
    const aiq_ctl_dir_t *dir);
static aiq_str_t aiq_ctl_lint_where(aiq_ctl_lint_t *lint,
    const aiq_ctl_dir_t *place);
static aiq_str_t aiq_ctl_lint_keep(aiq_ctl_lint_t *lint, const char *p,
    size_t len);
static aiq_ctl_found_t **aiq_ctl_lint_sorted(aiq_ctl_lint_t *lint);
static int aiq_ctl_lint_cmp(const void *one, const void *two);
static aiq_str_t aiq_ctl_lint_message(aiq_ctl_lint_t *lint,
    const aiq_ctl_found_t *f);
static int aiq_ctl_lint_print(aiq_ctl_lint_t *lint, const char *file);
static int aiq_ctl_lint_json(aiq_ctl_lint_t *lint, const char *file);


const aiq_ctl_cmd_t  aiq_ctl_lint_cmds[] = {

    { NULL, "[FILE|-]", 0, 1, NULL, aiq_ctl_lint,
      "find out what is wrong with an nginx.conf",
      "Reads nginx.conf with the files that it includes, or the output of"
      " \"nginx -T\", and says with file and line what breaks the enforcement"
      " beside \"armoriq on\" (error), what leaves a road open or breaks MCP"
      " (warning), where nothing is enforced on purpose (note), and what to"
      " write instead. FILE is /etc/nginx/nginx.conf unless given. Runs and"
      " changes nothing.",
      "    armoriqctl lint /etc/nginx/nginx.conf\n"
      "    nginx -T 2>/dev/null | armoriqctl lint -\n",
      "    0  no errors; there may be warnings\n"
      "    1  at least one error\n"
      "    2  the command line is wrong\n"
      "    3  the file cannot be read, or the answer not be written\n" },

    { NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }
};


static int
aiq_ctl_lint(aiq_ctl_t *ctl)
{
    int              code;
    const char      *file;
    aiq_ctl_lint_t   lint;

    memset(&lint, 0, sizeof(aiq_ctl_lint_t));

    lint.ctl = ctl;

    file = ctl->nargs ? ctl->arg[0] : "/etc/nginx/nginx.conf";

    code = aiq_ctl_lint_read(&lint, file);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    aiq_ctl_lint_check(&lint);

    if (strcmp(file, "-") == 0) {
        file = "stdin";
    }

    code = ctl->json ? aiq_ctl_lint_json(&lint, file)
                     : aiq_ctl_lint_print(&lint, file);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    return lint.count[AIQ_LINT_ERROR] ? AIQ_CTL_NO : AIQ_CTL_OK;
}


void
aiq_ctl_lint_add(aiq_ctl_lint_t *lint, aiq_lint_id_e id,
    aiq_ctl_dir_t *at, const aiq_ctl_dir_t *place, const char *text)
{
    uint64_t          bit;
    aiq_str_t         s;
    aiq_ctl_found_t  *f;

    if (place
        && !aiq_lint_concerns(id, 1, aiq_ctl_lint_get(place, AIQ_CTL_K_MCP)
                                     != NULL))
    {
        return;
    }

    /* a directive that many locations inherit is one finding */

    bit = (uint64_t) 1 << id;

    if (at->said & bit) {

        if (place && (place->kind == AIQ_CTL_K_IF
                      || place->kind == AIQ_CTL_K_LIMIT_EXCEPT))
        {
            return;
        }

        for (f = lint->found; f; f = f->next) {

            if (f->at == at && f->id == id) {
                f->more++;
                return;
            }
        }

        return;
    }

    at->said |= bit;

    s = text ? aiq_ctl_lint_keep(lint, text, strlen(text))
             : aiq_ctl_lint_text(lint, at);

    aiq_ctl_lint_say(lint, id, aiq_ctl_lint_severity(id, place), at->file,
                     at->line, at, s, aiq_ctl_lint_where(lint, place));
}


void
aiq_ctl_lint_wrong(aiq_ctl_lint_t *lint, aiq_lint_id_e id,
    const aiq_ctl_file_t *file, unsigned line, const char *text)
{
    aiq_ctl_lint_say(lint, id, aiq_lint_rule(id)->level, file, line, NULL,
                     aiq_cstr(text), aiq_cstr(""));
}


static void
aiq_ctl_lint_say(aiq_ctl_lint_t *lint, aiq_lint_id_e id,
    aiq_lint_level_e level, const aiq_ctl_file_t *file, unsigned line,
    const aiq_ctl_dir_t *at, aiq_str_t text, aiq_str_t place)
{
    aiq_ctl_found_t  *f;

    f = aiq_mem_calloc(&lint->ctl->mem, sizeof(aiq_ctl_found_t));

    if (f == NULL) {
        lint->ctl->oom = 1;
        return;
    }

    f->id = id;
    f->level = level;
    f->file = file;
    f->line = line;
    f->at = at;
    f->text = text;
    f->place = place;
    f->order = lint->nfound++;
    f->next = lint->found;

    lint->found = f;
    lint->count[level]++;
}


/*
 * armoriq_lint is for those who start nginx.  Here all is said, but what was
 * allowed knowingly is no error.
 */

static aiq_lint_level_e
aiq_ctl_lint_severity(aiq_lint_id_e id, const aiq_ctl_dir_t *place)
{
    int                dry_run;
    aiq_ctl_dir_t     *dir;
    aiq_lint_level_e   level;

    if (place == NULL) {
        return aiq_lint_rule(id)->level;
    }

    dir = aiq_ctl_lint_get(place, AIQ_CTL_K_DRY_RUN);
    dry_run = (dir && dir->n > 1 && aiq_lint_same(dir->args[1], "on"));

    level = aiq_lint_level_of(id, dry_run);

    dir = aiq_ctl_lint_get(place, AIQ_CTL_K_LINT);

    if (dir && dir->n > 1 && aiq_str_is(dir->args[1], "off")) {
        return AIQ_LINT_NOTE;
    }

    if (dir && dir->n > 1 && aiq_str_is(dir->args[1], "warn")
        && level == AIQ_LINT_ERROR)
    {
        return AIQ_LINT_WARNING;
    }

    return level;
}


static aiq_str_t
aiq_ctl_lint_text(aiq_ctl_lint_t *lint, const aiq_ctl_dir_t *dir)
{
    char       buf[AIQ_CTL_LINT_TEXT];
    unsigned   i;
    aiq_out_t  out;

    aiq_out_init(&out, buf, sizeof(buf));

    for (i = 0; i < dir->n && !out.failed; i++) {

        if (i) {
            aiq_out_char(&out, ' ');
        }

        aiq_out_mem(&out, dir->args[i].data, dir->args[i].len);
    }

    return aiq_ctl_lint_keep(lint, buf, aiq_out_done(&out).len);
}


/* as "nginx -t" says it */

static aiq_str_t
aiq_ctl_lint_where(aiq_ctl_lint_t *lint, const aiq_ctl_dir_t *place)
{
    char        buf[AIQ_CTL_LINT_TEXT];
    aiq_out_t   out;

    aiq_out_init(&out, buf, sizeof(buf));

    if (place == NULL) {
        return aiq_cstr("");
    }

    if (place->kind == AIQ_CTL_K_IF) {
        aiq_out_str(&out, "\"if\" in ");

    } else if (place->kind == AIQ_CTL_K_LIMIT_EXCEPT) {
        aiq_out_str(&out, "\"limit_except\" in ");
    }

    while (place && place->kind != AIQ_CTL_K_LOCATION
           && place->kind != AIQ_CTL_K_SERVER)
    {
        place = place->parent;
    }

    if (place && place->kind == AIQ_CTL_K_LOCATION) {
        aiq_out_str(&out, "location \"");
        aiq_out_mem(&out, place->args[place->n - 1].data,
                    place->args[place->n - 1].len);
        aiq_out_str(&out, "\"");

    } else {
        aiq_out_str(&out, "server{}");
    }

    return aiq_ctl_lint_keep(lint, buf, aiq_out_done(&out).len);
}


static aiq_str_t
aiq_ctl_lint_keep(aiq_ctl_lint_t *lint, const char *p, size_t len)
{
    aiq_str_t  s;

    s.data = (const unsigned char *) p;
    s.len = len;

    if (aiq_mem_dup(&lint->ctl->mem, s, &s) != AIQ_OK) {
        lint->ctl->oom = 1;
        return aiq_cstr("");
    }

    return s;
}


static aiq_ctl_found_t **
aiq_ctl_lint_sorted(aiq_ctl_lint_t *lint)
{
    unsigned           i;
    aiq_ctl_found_t   *f, **list;

    list = aiq_mem_alloc(&lint->ctl->mem,
                         (lint->nfound + 1) * sizeof(aiq_ctl_found_t *));

    if (list == NULL) {
        lint->ctl->oom = 1;
        return NULL;
    }

    for (f = lint->found, i = 0; f; f = f->next) {
        list[i++] = f;
    }

    list[i] = NULL;

    qsort(list, i, sizeof(aiq_ctl_found_t *), aiq_ctl_lint_cmp);

    return list;
}


static int
aiq_ctl_lint_cmp(const void *one, const void *two)
{
    const aiq_ctl_found_t  *a, *b;

    a = *(aiq_ctl_found_t *const *) one;
    b = *(aiq_ctl_found_t *const *) two;

    if (a->file->id != b->file->id) {
        return a->file->id < b->file->id ? -1 : 1;
    }

    if (a->line != b->line) {
        return a->line < b->line ? -1 : 1;
    }

    return a->order < b->order ? -1 : 1;
}


static aiq_str_t
aiq_ctl_lint_message(aiq_ctl_lint_t *lint, const aiq_ctl_found_t *f)
{
    char       buf[AIQ_CTL_LINT_MESSAGE], more[64];
    aiq_str_t  place;
    aiq_out_t  out;

    place = f->place;

    if (f->more) {
        (void) snprintf(more, sizeof(more), " and %u more", f->more);

        aiq_out_init(&out, buf, sizeof(buf));
        aiq_out_mem(&out, place.data, place.len);
        aiq_out_str(&out, more);

        place = aiq_ctl_lint_keep(lint, buf, aiq_out_done(&out).len);
    }

    aiq_out_init(&out, buf, sizeof(buf));
    aiq_lint_write(&out, f->id, f->text, place);

    return aiq_ctl_lint_keep(lint, buf, aiq_out_done(&out).len);
}


static int
aiq_ctl_lint_print(aiq_ctl_lint_t *lint, const char *file)
{
    unsigned                  *n;
    const aiq_ctl_found_t     *f;
    aiq_ctl_found_t          **list;

    list = aiq_ctl_lint_sorted(lint);

    if (list) {

        for ( /* void */ ; *list; list++) {
            f = *list;

            printf("%s:%u: %s: %s\n",
                   aiq_ctl_esc(lint->ctl, aiq_cstr(f->file->name)), f->line,
                   aiq_lint_level(f->level),
                   aiq_ctl_esc(lint->ctl, aiq_ctl_lint_message(lint, f)));
        }
    }

    if (lint->ctl->oom) {
        return aiq_ctl_fault(lint->ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    n = lint->count;

    printf("%s: %u error%s, %u warning%s, %u note%s;"
           " \"armoriq on\" in %u location%s\n",
           aiq_ctl_esc(lint->ctl, aiq_cstr(file)),
           n[AIQ_LINT_ERROR], n[AIQ_LINT_ERROR] == 1 ? "" : "s",
           n[AIQ_LINT_WARNING], n[AIQ_LINT_WARNING] == 1 ? "" : "s",
           n[AIQ_LINT_NOTE], n[AIQ_LINT_NOTE] == 1 ? "" : "s",
           lint->places, lint->places == 1 ? "" : "s");

    return AIQ_CTL_OK;
}


static int
aiq_ctl_lint_json(aiq_ctl_lint_t *lint, const char *file)
{
    json_t                    *o, *a, *v;
    aiq_ctl_t                 *ctl;
    const aiq_ctl_found_t     *f;
    aiq_ctl_found_t          **list;
    const aiq_lint_rule_t     *rule;

    ctl = lint->ctl;

    o = json_object();
    a = json_array();

    list = aiq_ctl_lint_sorted(lint);

    for ( /* void */ ; list && *list; list++) {
        f = *list;
        rule = aiq_lint_rule(f->id);

        v = json_object();

        aiq_ctl_jset(ctl, v, "level",
                     aiq_ctl_jstr(aiq_cstr(aiq_lint_level(f->level))));
        aiq_ctl_jset(ctl, v, "rule", aiq_ctl_jstr(aiq_cstr(rule->name)));
        aiq_ctl_jset(ctl, v, "row", aiq_ctl_jstr(aiq_cstr(rule->row)));
        aiq_ctl_jset(ctl, v, "file", aiq_ctl_jstr(aiq_cstr(f->file->name)));
        aiq_ctl_jset(ctl, v, "line", json_integer(f->line));
        aiq_ctl_jset(ctl, v, "what", aiq_ctl_jstr(f->text));
        aiq_ctl_jset(ctl, v, "place", aiq_ctl_jstr(f->place));
        aiq_ctl_jset(ctl, v, "more", json_integer(f->more));
        aiq_ctl_jset(ctl, v, "why", aiq_ctl_jstr(aiq_cstr(rule->why)));
        aiq_ctl_jset(ctl, v, "write", aiq_ctl_jstr(aiq_cstr(rule->write)));

        aiq_ctl_jadd(ctl, a, v);
    }

    aiq_ctl_jset(ctl, o, "ok", lint->count[AIQ_LINT_ERROR] ? json_false()
                                                           : json_true());
    aiq_ctl_jset(ctl, o, "file", aiq_ctl_jstr(aiq_cstr(file)));
    aiq_ctl_jset(ctl, o, "locations", json_integer(lint->places));
    aiq_ctl_jset(ctl, o, "errors", json_integer(lint->count[AIQ_LINT_ERROR]));
    aiq_ctl_jset(ctl, o, "warnings",
                 json_integer(lint->count[AIQ_LINT_WARNING]));
    aiq_ctl_jset(ctl, o, "notes", json_integer(lint->count[AIQ_LINT_NOTE]));
    aiq_ctl_jset(ctl, o, "findings", a);

    return aiq_ctl_jprint(ctl, o);
}
