
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Where locations lead to: whether a guard is there, and who else leads to
 * the same server.
 */


#include <string.h>
#include <strings.h>

#include "lint_ctl.h"


static aiq_ctl_dir_t *aiq_ctl_lint_upstream(aiq_ctl_lint_t *lint,
    aiq_str_t name);
static aiq_ctl_dir_t *aiq_ctl_lint_named(aiq_ctl_dir_t *block,
    aiq_str_t name);
static aiq_str_t aiq_ctl_lint_host(const aiq_ctl_dir_t *pass);
static void aiq_ctl_lint_keepalive(aiq_ctl_lint_t *lint,
    aiq_ctl_dir_t *place, aiq_ctl_dir_t *pass, aiq_ctl_dir_t *upstream);
static void aiq_ctl_lint_stream_block(aiq_ctl_lint_t *lint,
    aiq_ctl_dir_t *block);
static int aiq_ctl_lint_guards(aiq_ctl_lint_t *lint, aiq_str_t address);
static int aiq_ctl_lint_guards_in(aiq_ctl_dir_t *block, aiq_str_t address);


/*
 * The directive that sends the requests of a location.  "if" and limit_except
 * take it from their location, locations in a location do not.  For scripts
 * the sender is AIQ_CTL_SENDERS.
 */

aiq_ctl_dir_t *
aiq_ctl_lint_pass(const aiq_ctl_dir_t *place, unsigned *sender)
{
    unsigned        i;
    aiq_ctl_dir_t  *dir;

    for ( ;; ) {

        for (i = 0; i < AIQ_CTL_SENDERS; i++) {
            dir = place->have[aiq_ctl_of(i, AIQ_CTL_K_PASS)];

            if (dir && dir->n > 1) {
                *sender = i;
                return dir;
            }
        }

        dir = place->have[AIQ_CTL_K_SCRIPT];

        if (dir) {
            *sender = AIQ_CTL_SENDERS;
            return dir;
        }

        if (place->kind == AIQ_CTL_K_LOCATION || place->parent == NULL) {
            return NULL;
        }

        place = place->parent;
    }
}


void
aiq_ctl_lint_target(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *place)
{
    unsigned          sender;
    aiq_str_t         host;
    aiq_ctl_dir_t    *pass, *upstream;
    aiq_ctl_loose_t  *loose;

    pass = aiq_ctl_lint_pass(place, &sender);

    if (pass == NULL) {
        return;
    }

    if (sender == AIQ_CTL_SENDERS
        || memchr(pass->args[1].data, '$', pass->args[1].len))
    {
        aiq_ctl_lint_add(lint, AIQ_LINT_DYNAMIC, pass, place, NULL);
        return;
    }

    host = aiq_ctl_lint_host(pass);
    upstream = aiq_ctl_lint_upstream(lint, host);

    if (upstream && sender == 0) {
        aiq_ctl_lint_keepalive(lint, place, pass, upstream);
    }

    if (upstream && upstream->have[AIQ_CTL_K_GUARD]) {
        return;
    }

    aiq_ctl_lint_add(lint, AIQ_LINT_UNGUARDED, pass, place, NULL);

    for (loose = lint->loose; loose; loose = loose->next) {
        if (aiq_str_eq(loose->name, host)) {
            return;
        }
    }

    loose = aiq_mem_alloc(&lint->ctl->mem, sizeof(aiq_ctl_loose_t));

    if (loose == NULL) {
        lint->ctl->oom = 1;
        return;
    }

    loose->name = host;
    loose->next = lint->loose;
    lint->loose = loose;
}


/* a location without "armoriq on" */

void
aiq_ctl_lint_open(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *place,
    aiq_ctl_dir_t *server)
{
    unsigned          sender;
    aiq_str_t         host;
    aiq_ctl_dir_t    *dir, *pass, *upstream;
    aiq_ctl_loose_t  *loose;

    dir = place->have[AIQ_CTL_K_MCP];

    if (dir) {
        aiq_ctl_lint_add(lint, AIQ_LINT_MCP_OFF, dir, place, NULL);
    }

    dir = place->have[AIQ_CTL_K_INVOKE];

    if (dir && dir->n > 1 && aiq_lint_same(dir->args[1], "on")) {
        aiq_ctl_lint_add(lint, AIQ_LINT_INVOKE_OFF, dir, place, NULL);
    }

    pass = aiq_ctl_lint_pass(place, &sender);

    if (pass == NULL) {
        return;
    }

    if (sender < AIQ_CTL_SENDERS) {
        host = aiq_ctl_lint_host(pass);
        upstream = aiq_ctl_lint_upstream(lint, host);

        if (upstream && upstream->have[AIQ_CTL_K_GUARD]) {
            return;
        }

        for (loose = lint->loose; loose; loose = loose->next) {

            if (aiq_str_eq(loose->name, host)) {
                aiq_ctl_lint_add(lint, AIQ_LINT_BYPASS, pass, place, NULL);
                return;
            }
        }
    }

    if (server->protect && aiq_ctl_lint_get(place, AIQ_CTL_K_ON) == NULL) {
        aiq_ctl_lint_add(lint, AIQ_LINT_OPEN, pass, place, NULL);
    }
}


/* "infra" of http://infra/mcp, "unix:/x.sock" of http://unix:/x.sock:/ */

static aiq_str_t
aiq_ctl_lint_host(const aiq_ctl_dir_t *pass)
{
    size_t                i;
    aiq_str_t             s;
    const unsigned char  *p;

    s = pass->args[1];

    for (i = 0; i + 2 < s.len; i++) {

        if (memcmp(s.data + i, "://", 3) == 0) {
            s.data += i + 3;
            s.len -= i + 3;
            break;
        }

        if (s.data[i] == '/' || s.data[i] == ':') {
            break;
        }
    }

    if (s.len > 5 && memcmp(s.data, "unix:", 5) == 0) {
        p = memchr(s.data + 5, ':', s.len - 5);

    } else {
        p = memchr(s.data, '/', s.len);
    }

    if (p) {
        s.len = (size_t) (p - s.data);
    }

    return s;
}


static aiq_ctl_dir_t *
aiq_ctl_lint_upstream(aiq_ctl_lint_t *lint, aiq_str_t name)
{
    aiq_ctl_dir_t  *http, *found;

    http = lint->root->have[AIQ_CTL_K_HTTP];

    found = (http && http->have) ? aiq_ctl_lint_named(http, name) : NULL;

    return found ? found : aiq_ctl_lint_named(lint->root, name);
}


static aiq_ctl_dir_t *
aiq_ctl_lint_named(aiq_ctl_dir_t *block, aiq_str_t name)
{
    aiq_ctl_dir_t  *dir;

    for (dir = block->have[AIQ_CTL_K_UPSTREAM]; dir; dir = dir->same) {

        if (dir->have && dir->n == 2 && dir->args[1].len == name.len
            && strncasecmp((const char *) dir->args[1].data,
                           (const char *) name.data, name.len)
               == 0)
        {
            return dir;
        }
    }

    return NULL;
}


static void
aiq_ctl_lint_keepalive(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *place,
    aiq_ctl_dir_t *pass, aiq_ctl_dir_t *upstream)
{
    aiq_ctl_dir_t  *dir;

    if (upstream->have[AIQ_CTL_K_KEEPALIVE] == NULL) {
        return;
    }

    dir = aiq_ctl_lint_get(place, AIQ_CTL_K_HTTP_VERSION);

    if (dir && dir->n == 2 && !aiq_str_is(dir->args[1], "1.0")) {

        for (dir = aiq_ctl_lint_get(place, AIQ_CTL_K_SET_HEADER); dir;
             dir = dir->same)
        {
            if (dir->n == 3 && aiq_lint_same(dir->args[1], "Connection")
                && dir->args[2].len == 0)
            {
                return;
            }
        }
    }

    aiq_ctl_lint_add(lint, AIQ_LINT_KEEPALIVE, pass, place, "keepalive");
}


/*
 * stream{} copies bytes to addresses, and upstreams of http{} with a guard
 * are none of its business.
 */

void
aiq_ctl_lint_stream(aiq_ctl_lint_t *lint)
{
    aiq_ctl_dir_t  *stream;

    for (stream = lint->root->have[AIQ_CTL_K_STREAM]; stream;
         stream = stream->same)
    {
        if (stream->have) {
            aiq_ctl_lint_stream_block(lint, stream);
        }
    }
}


static void
aiq_ctl_lint_stream_block(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *block)
{
    aiq_ctl_dir_t  *dir;

    for (dir = block->first; dir; dir = dir->next) {

        if (dir->have) {
            aiq_ctl_lint_stream_block(lint, dir);
            continue;
        }

        if ((dir->kind == AIQ_CTL_K_PASS || dir->kind == AIQ_CTL_K_SERVER)
            && dir->n > 1 && aiq_ctl_lint_guards(lint, dir->args[1]))
        {
            aiq_ctl_lint_add(lint, AIQ_LINT_STREAM, dir, NULL, NULL);
        }
    }
}


static int
aiq_ctl_lint_guards(aiq_ctl_lint_t *lint, aiq_str_t address)
{
    aiq_ctl_dir_t  *http;

    http = lint->root->have[AIQ_CTL_K_HTTP];

    return (http && http->have && aiq_ctl_lint_guards_in(http, address))
           || aiq_ctl_lint_guards_in(lint->root, address);
}


static int
aiq_ctl_lint_guards_in(aiq_ctl_dir_t *block, aiq_str_t address)
{
    aiq_ctl_dir_t  *up, *dir;

    for (up = block->have[AIQ_CTL_K_UPSTREAM]; up; up = up->same) {

        if (up->have == NULL || up->have[AIQ_CTL_K_GUARD] == NULL) {
            continue;
        }

        for (dir = up->have[AIQ_CTL_K_SERVER]; dir; dir = dir->same) {

            if (dir->n > 1 && aiq_str_eq(dir->args[1], address)) {
                return 1;
            }
        }
    }

    return 0;
}
