
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The tree: one configuration out of a file and those that it includes, or
 * out of what "nginx -T" prints.
 */


#include <fnmatch.h>
#include <glob.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lint_ctl.h"


#define AIQ_CTL_LINT_MARKER  "# configuration file "


static int aiq_ctl_lint_split(aiq_ctl_lint_t *lint, aiq_str_t text);
static int aiq_ctl_lint_marker(const unsigned char *p,
    const unsigned char *last, aiq_str_t *name);
static int aiq_ctl_lint_dir(aiq_ctl_lint_t *lint, const char *path);
static int aiq_ctl_lint_parse(aiq_ctl_lint_t *lint,
    const aiq_ctl_file_t *file, aiq_ctl_dir_t *parent, unsigned depth);
static int aiq_ctl_lint_block(aiq_ctl_lint_t *lint, aiq_ctl_lex_t *lex,
    aiq_ctl_dir_t *dir);
static int aiq_ctl_lint_push(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *block,
    aiq_ctl_dir_t *dir);
static int aiq_ctl_lint_include(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *dir,
    aiq_ctl_dir_t *parent, unsigned depth);
static int aiq_ctl_lint_include_dump(aiq_ctl_lint_t *lint, const char *name,
    aiq_ctl_dir_t *dir, aiq_ctl_dir_t *parent, unsigned depth);
static int aiq_ctl_lint_include_glob(aiq_ctl_lint_t *lint, const char *name,
    aiq_ctl_dir_t *dir, aiq_ctl_dir_t *parent, unsigned depth);
static int aiq_ctl_lint_file(aiq_ctl_lint_t *lint, const char *name,
    aiq_ctl_dir_t *dir, aiq_ctl_dir_t *parent, unsigned depth);
static unsigned aiq_ctl_lint_kind(aiq_str_t name);
static int aiq_ctl_lint_memory(aiq_ctl_lint_t *lint);


static const char *const  aiq_ctl_senders[AIQ_CTL_SENDERS] = {
    "proxy", "grpc", "fastcgi", "uwsgi", "scgi", "memcached"
};


static const struct {
    const char  *name;
    unsigned     kind;
} aiq_ctl_kinds[] = {
    { "http", AIQ_CTL_K_HTTP },
    { "server", AIQ_CTL_K_SERVER },
    { "location", AIQ_CTL_K_LOCATION },
    { "if", AIQ_CTL_K_IF },
    { "limit_except", AIQ_CTL_K_LIMIT_EXCEPT },
    { "upstream", AIQ_CTL_K_UPSTREAM },
    { "stream", AIQ_CTL_K_STREAM },
    { "mail", AIQ_CTL_K_MAIL },
    { "include", AIQ_CTL_K_INCLUDE },
    { "armoriq", AIQ_CTL_K_ON },
    { "armoriq_lint", AIQ_CTL_K_LINT },
    { "armoriq_dry_run", AIQ_CTL_K_DRY_RUN },
    { "armoriq_mcp", AIQ_CTL_K_MCP },
    { "armoriq_guard", AIQ_CTL_K_GUARD },
    { "armoriq_invoke", AIQ_CTL_K_INVOKE },
    { "armoriq_method", AIQ_CTL_K_METHOD_RULE },
    { "satisfy", AIQ_CTL_K_SATISFY },
    { "post_action", AIQ_CTL_K_POST_ACTION },
    { "mirror", AIQ_CTL_K_MIRROR },
    { "slice", AIQ_CTL_K_SLICE },
    { "return", AIQ_CTL_K_RETURN },
    { "ssi", AIQ_CTL_K_SSI },
    { "add_before_body", AIQ_CTL_K_ADD_BEFORE },
    { "add_after_body", AIQ_CTL_K_ADD_AFTER },
    { "sub_filter", AIQ_CTL_K_SUB_FILTER },
    { "xslt_stylesheet", AIQ_CTL_K_XSLT },
    { "image_filter", AIQ_CTL_K_IMAGE_FILTER },
    { "content_by_lua", AIQ_CTL_K_SCRIPT },
    { "content_by_lua_block", AIQ_CTL_K_SCRIPT },
    { "content_by_lua_file", AIQ_CTL_K_SCRIPT },
    { "js_content", AIQ_CTL_K_SCRIPT },
    { "perl", AIQ_CTL_K_SCRIPT },
    { "proxy_set_body", AIQ_CTL_K_SET_BODY },
    { "proxy_method", AIQ_CTL_K_METHOD },
    { "proxy_set_header", AIQ_CTL_K_SET_HEADER },
    { "grpc_set_header", AIQ_CTL_K_GRPC_SET_HEADER },
    { "proxy_http_version", AIQ_CTL_K_HTTP_VERSION },
    { "underscores_in_headers", AIQ_CTL_K_UNDERSCORES },
    { "ignore_invalid_headers", AIQ_CTL_K_INVALID_HEADERS },
    { "merge_slashes", AIQ_CTL_K_MERGE_SLASHES },
    { "ssl_early_data", AIQ_CTL_K_EARLY_DATA },
    { "keepalive", AIQ_CTL_K_KEEPALIVE }
};


/* in the order of their kinds */

static const char *const  aiq_ctl_sender_kinds[AIQ_CTL_PER_SENDER] = {
    "pass", "cache", "store", "pass_request_body", "pass_request_headers",
    "next_upstream", "read_timeout"
};


int
aiq_ctl_lint_read(aiq_ctl_lint_t *lint, const char *path)
{
    int              code;
    aiq_str_t        text;
    aiq_ctl_file_t  *file;

    code = aiq_ctl_read(lint->ctl, path, AIQ_CTL_LINT_MAX, 0, &text);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    lint->root = aiq_mem_calloc(&lint->ctl->mem, sizeof(aiq_ctl_dir_t));

    if (lint->root == NULL) {
        return aiq_ctl_lint_memory(lint);
    }

    lint->root->have = aiq_mem_calloc(&lint->ctl->mem,
                                      AIQ_CTL_K_N * sizeof(aiq_ctl_dir_t *));

    if (lint->root->have == NULL) {
        return aiq_ctl_lint_memory(lint);
    }

    code = aiq_ctl_lint_split(lint, text);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    if (lint->dump) {
        file = &lint->dump[0];

    } else {
        file = aiq_mem_calloc(&lint->ctl->mem, sizeof(aiq_ctl_file_t));

        if (file == NULL) {
            return aiq_ctl_lint_memory(lint);
        }

        file->name = strcmp(path, "-") == 0 ? "stdin" : path;
        file->text = text;
    }

    lint->nfiles = 1;

    code = aiq_ctl_lint_dir(lint, lint->dump ? file->name : path);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    return aiq_ctl_lint_parse(lint, file, lint->root, 0);
}


/*
 * The output of "nginx -T" begins with a marker, perhaps behind what nginx
 * says on stderr, and has one in front of every file.
 */

static int
aiq_ctl_lint_split(aiq_ctl_lint_t *lint, aiq_str_t text)
{
    unsigned              n;
    aiq_str_t             name;
    aiq_ctl_file_t       *file;
    const unsigned char  *p, *next, *last;

    last = text.data + text.len;
    n = 0;

    for (p = text.data; p < last; p = next) {

        next = memchr(p, '\n', (size_t) (last - p));
        next = next ? next + 1 : last;

        if (aiq_ctl_lint_marker(p, next, &name)) {
            n++;

        } else if (n == 0 && ((size_t) (next - p) < 6
                              || memcmp(p, "nginx:", 6) != 0))
        {
            return AIQ_CTL_OK;
        }
    }

    if (n == 0) {
        return AIQ_CTL_OK;
    }

    lint->dump = aiq_mem_calloc(&lint->ctl->mem, n * sizeof(aiq_ctl_file_t));

    if (lint->dump == NULL) {
        return aiq_ctl_lint_memory(lint);
    }

    file = NULL;

    for (p = text.data; p < last; p = next) {

        next = memchr(p, '\n', (size_t) (last - p));
        next = next ? next + 1 : last;

        if (!aiq_ctl_lint_marker(p, next, &name)) {

            if (file) {
                file->text.len = (size_t) (next - file->text.data);
            }

            continue;
        }

        file = &lint->dump[lint->ndump];
        file->id = lint->ndump++;
        file->text.data = next;

        if (aiq_mem_dup(&lint->ctl->mem, name, &name) != AIQ_OK) {
            return aiq_ctl_lint_memory(lint);
        }

        file->name = (const char *) name.data;
    }

    return AIQ_CTL_OK;
}


/* "# configuration file NAME:"; the name with room for a zero */

static int
aiq_ctl_lint_marker(const unsigned char *p, const unsigned char *last,
    aiq_str_t *name)
{
    size_t  len;

    len = sizeof(AIQ_CTL_LINT_MARKER) - 1;

    while (last > p && (last[-1] == '\n' || last[-1] == '\r')) {
        last--;
    }

    if ((size_t) (last - p) < len + 2 || last[-1] != ':'
        || memcmp(p, AIQ_CTL_LINT_MARKER, len) != 0
        || memchr(p, '\0', (size_t) (last - p)))
    {
        return 0;
    }

    name->data = p + len;
    name->len = (size_t) (last - 1 - name->data);

    return 1;
}


static int
aiq_ctl_lint_dir(aiq_ctl_lint_t *lint, const char *path)
{
    char        *p;
    size_t       len;
    const char  *slash;

    slash = strrchr(path, '/');
    len = slash ? (size_t) (slash - path) + 1 : 0;

    p = aiq_mem_alloc(&lint->ctl->mem, len + 1);

    if (p == NULL) {
        return aiq_ctl_lint_memory(lint);
    }

    memcpy(p, path, len);
    p[len] = '\0';

    lint->dir = p;

    return AIQ_CTL_OK;
}


static int
aiq_ctl_lint_parse(aiq_ctl_lint_t *lint, const aiq_ctl_file_t *file,
    aiq_ctl_dir_t *parent, unsigned depth)
{
    int             code;
    unsigned        blocks;
    aiq_ctl_dir_t  *dir, *block;
    aiq_ctl_lex_t   lex;
    aiq_ctl_lex_e   rc;

    memset(&lex, 0, sizeof(aiq_ctl_lex_t));

    lex.mem = &lint->ctl->mem;
    lex.p = file->text.data;
    lex.last = lex.p + file->text.len;
    lex.line = 1;

    block = parent;
    blocks = 0;

    for ( ;; ) {
        dir = aiq_mem_calloc(lex.mem, sizeof(aiq_ctl_dir_t));

        if (dir == NULL) {
            return aiq_ctl_lint_memory(lint);
        }

        dir->file = file;

        rc = aiq_ctl_lex(&lex, dir);

        switch (rc) {

        case AIQ_CTL_LEX_SIMPLE:
        case AIQ_CTL_LEX_OPEN:
            code = aiq_ctl_lint_push(lint, block, dir);

            if (code == AIQ_CTL_OK && rc == AIQ_CTL_LEX_OPEN) {
                code = aiq_ctl_lint_block(lint, &lex, dir);

                if (code == AIQ_CTL_OK && dir->have) {
                    block = dir;
                    blocks++;
                }

            } else if (code == AIQ_CTL_OK && dir->kind == AIQ_CTL_K_INCLUDE) {
                code = aiq_ctl_lint_include(lint, dir, block, depth);
            }

            if (code != AIQ_CTL_OK) {
                return code;
            }

            if (lex.text == NULL && blocks <= AIQ_CTL_LINT_BLOCKS) {
                continue;
            }

            lex.text = lex.text ? lex.text : "{";
            break;

        case AIQ_CTL_LEX_CLOSE:

            if (blocks) {
                block = block->parent;
                blocks--;
                continue;
            }

            lex.text = "}";
            break;

        case AIQ_CTL_LEX_EOF:

            if (blocks == 0) {
                return AIQ_CTL_OK;
            }

            lex.text = "end of file";
            break;

        case AIQ_CTL_LEX_WRONG:
            break;

        default:
            return aiq_ctl_lint_memory(lint);
        }

        /* nginx would read no further */

        aiq_ctl_lint_wrong(lint, AIQ_LINT_SYNTAX, file, lex.line, lex.text);

        return AIQ_CTL_OK;
    }
}


static int
aiq_ctl_lint_block(aiq_ctl_lint_t *lint, aiq_ctl_lex_t *lex,
    aiq_ctl_dir_t *dir)
{
    aiq_str_t  name;

    static const char  lua[] = "_by_lua_block";

    name = dir->args[0];

    if (name.len >= sizeof(lua) - 1
        && memcmp(name.data + name.len - (sizeof(lua) - 1), lua,
                  sizeof(lua) - 1)
           == 0)
    {
        (void) aiq_ctl_lex_lua(lex);
        return AIQ_CTL_OK;
    }

    dir->have = aiq_mem_calloc(&lint->ctl->mem,
                               AIQ_CTL_K_N * sizeof(aiq_ctl_dir_t *));

    return dir->have ? AIQ_CTL_OK : aiq_ctl_lint_memory(lint);
}


static int
aiq_ctl_lint_push(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *block,
    aiq_ctl_dir_t *dir)
{
    aiq_ctl_dir_t  **p;

    dir->parent = block;
    dir->kind = aiq_ctl_lint_kind(dir->args[0]);

    if (block->last) {
        block->last->next = dir;

    } else {
        block->first = dir;
    }

    block->last = dir;

    if (dir->kind == AIQ_CTL_K_OTHER) {
        return AIQ_CTL_OK;
    }

    /* the first stays the first, which is the one that counts where a
       directive is not a list; of lists, the order does not matter */

    p = &block->have[dir->kind];

    if (*p) {
        dir->same = (*p)->same;
        (*p)->same = dir;

    } else {
        *p = dir;
    }

    return AIQ_CTL_OK;
}


/* a name of a file, in a directory or a pattern, as nginx finds them */

static int
aiq_ctl_lint_include(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *dir,
    aiq_ctl_dir_t *parent, unsigned depth)
{
    char       *name;
    size_t      len;
    aiq_str_t   arg;

    if (dir->n != 2 || dir->args[1].len == 0
        || memchr(dir->args[1].data, '\0', dir->args[1].len)
        || depth == AIQ_CTL_LINT_DEPTH)
    {
        aiq_ctl_lint_add(lint, AIQ_LINT_INCLUDE, dir, NULL, NULL);
        return AIQ_CTL_OK;
    }

    arg = dir->args[1];
    len = (arg.data[0] == '/') ? 0 : strlen(lint->dir);

    name = aiq_mem_alloc(&lint->ctl->mem, len + arg.len + 1);

    if (name == NULL) {
        return aiq_ctl_lint_memory(lint);
    }

    memcpy(name, lint->dir, len);
    memcpy(name + len, arg.data, arg.len);
    name[len + arg.len] = '\0';

    if (lint->dump) {
        return aiq_ctl_lint_include_dump(lint, name, dir, parent, depth);
    }

    if (strpbrk(name, "*?[")) {
        return aiq_ctl_lint_include_glob(lint, name, dir, parent, depth);
    }

    return aiq_ctl_lint_file(lint, name, dir, parent, depth);
}


static int
aiq_ctl_lint_include_dump(aiq_ctl_lint_t *lint, const char *name,
    aiq_ctl_dir_t *dir, aiq_ctl_dir_t *parent, unsigned depth)
{
    int       code, pattern, found;
    unsigned  i;

    pattern = (strpbrk(name, "*?[") != NULL);
    found = 0;

    for (i = 0; i < lint->ndump; i++) {

        if (pattern ? fnmatch(name, lint->dump[i].name,
                              FNM_PATHNAME|FNM_PERIOD)
                    : strcmp(name, lint->dump[i].name))
        {
            continue;
        }

        found = 1;

        if (lint->nfiles++ >= AIQ_CTL_LINT_FILES) {
            break;
        }

        code = aiq_ctl_lint_parse(lint, &lint->dump[i], parent, depth + 1);

        if (code != AIQ_CTL_OK) {
            return code;
        }
    }

    if (!pattern && !found) {
        aiq_ctl_lint_add(lint, AIQ_LINT_INCLUDE, dir, NULL, NULL);
    }

    return AIQ_CTL_OK;
}


static int
aiq_ctl_lint_include_glob(aiq_ctl_lint_t *lint, const char *name,
    aiq_ctl_dir_t *dir, aiq_ctl_dir_t *parent, unsigned depth)
{
    int      code;
    size_t   i;
    glob_t   g;

    memset(&g, 0, sizeof(glob_t));

    code = AIQ_CTL_OK;

    /* none is no fault, for nginx too */

    if (glob(name, 0, NULL, &g) == 0) {

        for (i = 0; i < g.gl_pathc && code == AIQ_CTL_OK; i++) {
            code = aiq_ctl_lint_file(lint, g.gl_pathv[i], dir, parent,
                                     depth);
        }
    }

    globfree(&g);

    return code;
}


static int
aiq_ctl_lint_file(aiq_ctl_lint_t *lint, const char *name,
    aiq_ctl_dir_t *dir, aiq_ctl_dir_t *parent, unsigned depth)
{
    int              code;
    aiq_str_t        copy;
    struct stat      st;
    aiq_ctl_file_t  *file;

    /* what is no file could be waited for without an end */

    if (lint->nfiles >= AIQ_CTL_LINT_FILES || stat(name, &st) != 0
        || !S_ISREG(st.st_mode) || (size_t) st.st_size > AIQ_CTL_LINT_MAX
        || access(name, R_OK) != 0)
    {
        aiq_ctl_lint_add(lint, AIQ_LINT_INCLUDE, dir, NULL, NULL);
        return AIQ_CTL_OK;
    }

    file = aiq_mem_calloc(&lint->ctl->mem, sizeof(aiq_ctl_file_t));

    if (file == NULL
        || aiq_mem_dup(&lint->ctl->mem, aiq_cstr(name), &copy) != AIQ_OK)
    {
        return aiq_ctl_lint_memory(lint);
    }

    file->name = (const char *) copy.data;
    file->id = lint->nfiles++;

    code = aiq_ctl_read(lint->ctl, name, AIQ_CTL_LINT_MAX, 0, &file->text);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    return aiq_ctl_lint_parse(lint, file, parent, depth + 1);
}


static unsigned
aiq_ctl_lint_kind(aiq_str_t name)
{
    size_t    i, len;
    unsigned  k;

    for (i = 0; i < sizeof(aiq_ctl_kinds) / sizeof(aiq_ctl_kinds[0]); i++) {

        if (aiq_str_is(name, aiq_ctl_kinds[i].name)) {
            return aiq_ctl_kinds[i].kind;
        }
    }

    for (i = 0; i < AIQ_CTL_SENDERS; i++) {
        len = strlen(aiq_ctl_senders[i]);

        if (name.len <= len + 1 || name.data[len] != '_'
            || memcmp(name.data, aiq_ctl_senders[i], len) != 0)
        {
            continue;
        }

        name.data += len + 1;
        name.len -= len + 1;

        for (k = 0; k < AIQ_CTL_PER_SENDER; k++) {

            if (aiq_str_is(name, aiq_ctl_sender_kinds[k])) {
                return aiq_ctl_of((unsigned) i, AIQ_CTL_K_PASS + k);
            }
        }

        break;
    }

    return AIQ_CTL_K_OTHER;
}


aiq_ctl_dir_t *
aiq_ctl_lint_get(const aiq_ctl_dir_t *block, unsigned kind)
{
    for ( /* void */ ; block; block = block->parent) {

        if (block->have[kind]) {
            return block->have[kind];
        }
    }

    return NULL;
}


const char *
aiq_ctl_lint_sender(unsigned sender)
{
    return aiq_ctl_senders[sender];
}


static int
aiq_ctl_lint_memory(aiq_ctl_lint_t *lint)
{
    return aiq_ctl_fault(lint->ctl, AIQ_E_NO_MEMORY,
                         "the configuration is too large: out of memory");
}
