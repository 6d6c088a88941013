
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The rules, over the tree.  A value is that of the nearest block, as nginx
 * inherits it; lists, such as headers, are inherited as a whole.
 */


#include <stdio.h>
#include <string.h>

#include "lint_ctl.h"


static unsigned aiq_ctl_lint_count(aiq_ctl_lint_t *lint,
    aiq_ctl_dir_t *block);
static void aiq_ctl_lint_servers(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *block,
    int open);
static void aiq_ctl_lint_server(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *server);
static void aiq_ctl_lint_walk(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *block,
    aiq_ctl_dir_t *server, int open);
static void aiq_ctl_lint_place(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *place);
static void aiq_ctl_lint_filters(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *place);
static void aiq_ctl_lint_sends(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *place,
    unsigned sender, aiq_ctl_dir_t *pass);
static void aiq_ctl_lint_headers(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *place,
    unsigned kind, aiq_ctl_dir_t *pass);
static void aiq_ctl_lint_timeout(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *place,
    unsigned sender, aiq_ctl_dir_t *pass);
static void aiq_ctl_lint_off(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *block,
    aiq_ctl_dir_t *server);
static void aiq_ctl_lint_is(aiq_ctl_lint_t *lint, aiq_lint_id_e id,
    aiq_ctl_dir_t *place, unsigned kind, const char *value);
static int aiq_ctl_lint_on(const aiq_ctl_dir_t *block, unsigned kind);
static int aiq_ctl_lint_has(const aiq_ctl_dir_t *dir, const char *value);
static int aiq_ctl_lint_msec(aiq_str_t s, uint64_t *msec);


void
aiq_ctl_lint_check(aiq_ctl_lint_t *lint)
{
    aiq_ctl_dir_t  *http;

    /* a file of conf.d has no http{}, and may have no server{} either */

    http = lint->root->have[AIQ_CTL_K_HTTP];
    http = (http && http->have) ? http : lint->root;

    (void) aiq_ctl_lint_count(lint, http);

    /* first what is protected, then what leads past it */

    aiq_ctl_lint_servers(lint, http, 0);
    aiq_ctl_lint_servers(lint, http, 1);

    aiq_ctl_lint_stream(lint);
}


/* places with "armoriq on", each block with the sum of what is in it */

static unsigned
aiq_ctl_lint_count(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *block)
{
    aiq_ctl_dir_t  *dir;

    for (dir = block->first; dir; dir = dir->next) {

        if (dir->have == NULL
            || (dir->kind != AIQ_CTL_K_SERVER
                && dir->kind != AIQ_CTL_K_LOCATION))
        {
            continue;
        }

        if (aiq_ctl_lint_on(dir, AIQ_CTL_K_ON)) {
            dir->protect++;

            if (dir->kind == AIQ_CTL_K_LOCATION) {
                lint->places++;
            }
        }

        block->protect += aiq_ctl_lint_count(lint, dir);
    }

    return block->protect;
}


static void
aiq_ctl_lint_servers(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *block, int open)
{
    aiq_ctl_dir_t  *dir;

    for (dir = block->first; dir; dir = dir->next) {

        if (dir->kind != AIQ_CTL_K_SERVER || dir->have == NULL) {
            continue;
        }

        if (open) {
            aiq_ctl_lint_server(lint, dir);
        }

        aiq_ctl_lint_walk(lint, dir, dir, open);
    }

    /* locations of a file that is included in a server{} */

    aiq_ctl_lint_walk(lint, block, block, open);
}


static void
aiq_ctl_lint_server(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *server)
{
    aiq_ctl_lint_off(lint, server, server);

    if (!server->protect) {
        return;
    }

    aiq_ctl_lint_is(lint, AIQ_LINT_UNDERSCORES, server,
                    AIQ_CTL_K_UNDERSCORES, "on");
    aiq_ctl_lint_is(lint, AIQ_LINT_INVALID_HEADERS, server,
                    AIQ_CTL_K_INVALID_HEADERS, "off");
    aiq_ctl_lint_is(lint, AIQ_LINT_MERGE_SLASHES, server,
                    AIQ_CTL_K_MERGE_SLASHES, "off");
    aiq_ctl_lint_is(lint, AIQ_LINT_EARLY_DATA, server,
                    AIQ_CTL_K_EARLY_DATA, "on");
}


static void
aiq_ctl_lint_walk(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *block,
    aiq_ctl_dir_t *server, int open)
{
    aiq_ctl_dir_t  *dir;

    for (dir = block->first; dir; dir = dir->next) {

        if (dir->have == NULL
            || (dir->kind != AIQ_CTL_K_LOCATION
                && (block == server
                    || (dir->kind != AIQ_CTL_K_IF
                        && dir->kind != AIQ_CTL_K_LIMIT_EXCEPT))))
        {
            continue;
        }

        if (!open) {

            if (aiq_ctl_lint_on(dir, AIQ_CTL_K_ON)) {
                aiq_ctl_lint_place(lint, dir);
            }

        } else {

            if (!aiq_ctl_lint_on(dir, AIQ_CTL_K_ON)) {
                aiq_ctl_lint_open(lint, dir, server);
            }

            aiq_ctl_lint_off(lint, dir, server);
        }

        aiq_ctl_lint_walk(lint, dir, server, open);
    }
}


/* a location with "armoriq on", or an "if" in it */

static void
aiq_ctl_lint_place(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *place)
{
    unsigned        sender;
    aiq_ctl_dir_t  *dir, *pass;

    aiq_ctl_lint_is(lint, AIQ_LINT_SATISFY, place, AIQ_CTL_K_SATISFY, "any");

    dir = aiq_ctl_lint_get(place, AIQ_CTL_K_POST_ACTION);

    if (dir && !aiq_ctl_lint_has(dir, "off")) {
        aiq_ctl_lint_add(lint, AIQ_LINT_POST_ACTION, dir, place, NULL);
    }

    for (dir = place->have[AIQ_CTL_K_RETURN]; dir; dir = dir->same) {
        aiq_ctl_lint_add(lint, AIQ_LINT_RETURN, dir, place, NULL);
    }

    dir = aiq_ctl_lint_get(place, AIQ_CTL_K_METHOD_RULE);

    for ( /* void */ ; dir; dir = dir->same) {

        if (aiq_ctl_lint_has(dir, "tools/call")
            && aiq_str_is(dir->args[dir->n - 1], "identity"))
        {
            aiq_ctl_lint_add(lint, AIQ_LINT_IDENTITY, dir, place, NULL);
        }
    }

    aiq_ctl_lint_filters(lint, place);

    pass = aiq_ctl_lint_pass(place, &sender);

    if (pass && sender < AIQ_CTL_SENDERS) {
        aiq_ctl_lint_sends(lint, place, sender, pass);
    }

    aiq_ctl_lint_target(lint, place);
}


static void
aiq_ctl_lint_filters(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *place)
{
    size_t          i;
    unsigned        k;
    aiq_ctl_dir_t  *dir;

    static const struct {
        unsigned       kind;
        aiq_lint_id_e  id;
    } filters[] = {
        { AIQ_CTL_K_ADD_BEFORE, AIQ_LINT_ADDITION },
        { AIQ_CTL_K_ADD_AFTER, AIQ_LINT_ADDITION },
        { AIQ_CTL_K_SUB_FILTER, AIQ_LINT_BODY_FILTER },
        { AIQ_CTL_K_XSLT, AIQ_LINT_BODY_FILTER },
        { AIQ_CTL_K_IMAGE_FILTER, AIQ_LINT_BODY_FILTER },
        { AIQ_CTL_K_MIRROR, AIQ_LINT_MIRROR }
    };

    for (k = 0; k < sizeof(filters) / sizeof(filters[0]); k++) {
        dir = aiq_ctl_lint_get(place, filters[k].kind);

        if (dir && dir->n > 1 && dir->args[1].len
            && !aiq_str_is(dir->args[1], "off"))
        {
            aiq_ctl_lint_add(lint, filters[k].id, dir, place, NULL);
        }
    }

    aiq_ctl_lint_is(lint, AIQ_LINT_SSI, place, AIQ_CTL_K_SSI, "on");

    dir = aiq_ctl_lint_get(place, AIQ_CTL_K_SLICE);

    for (i = 0; dir && dir->n > 1 && i < dir->args[1].len; i++) {

        if (dir->args[1].data[i] >= '1' && dir->args[1].data[i] <= '9') {
            aiq_ctl_lint_add(lint, AIQ_LINT_SLICE, dir, place, NULL);
            break;
        }
    }
}


/* proxy_pass and its kin; memcached sends a key and no request */

static void
aiq_ctl_lint_sends(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *place,
    unsigned sender, aiq_ctl_dir_t *pass)
{
    char            text[AIQ_CTL_LINT_TEXT];
    aiq_ctl_dir_t  *dir;

    if (sender == AIQ_CTL_SENDERS - 1) {
        return;
    }

    aiq_ctl_lint_is(lint, AIQ_LINT_PASS_BODY, place,
                    aiq_ctl_of(sender, AIQ_CTL_K_PASS_BODY), "off");
    aiq_ctl_lint_is(lint, AIQ_LINT_PASS_HEADERS, place,
                    aiq_ctl_of(sender, AIQ_CTL_K_PASS_HEADERS), "off");

    dir = aiq_ctl_lint_get(place, aiq_ctl_of(sender, AIQ_CTL_K_CACHE));

    if (dir && !aiq_ctl_lint_has(dir, "off")) {
        aiq_ctl_lint_add(lint, AIQ_LINT_CACHE, dir, place, NULL);
    }

    dir = aiq_ctl_lint_get(place, aiq_ctl_of(sender, AIQ_CTL_K_STORE));

    if (dir && !aiq_ctl_lint_has(dir, "off")) {
        aiq_ctl_lint_add(lint, AIQ_LINT_STORE, dir, place, NULL);
    }

    dir = aiq_ctl_lint_get(place, aiq_ctl_of(sender,
                                             AIQ_CTL_K_NEXT_UPSTREAM));

    if (dir && aiq_ctl_lint_has(dir, "non_idempotent")) {
        (void) snprintf(text, sizeof(text), "%s_next_upstream non_idempotent",
                        aiq_ctl_lint_sender(sender));
        aiq_ctl_lint_add(lint, AIQ_LINT_RETRY, dir, place, text);
    }

    aiq_ctl_lint_timeout(lint, place, sender, pass);

    if (sender == 1) {
        aiq_ctl_lint_headers(lint, place, AIQ_CTL_K_GRPC_SET_HEADER, pass);
    }

    if (sender != 0) {
        return;
    }

    dir = aiq_ctl_lint_get(place, AIQ_CTL_K_SET_BODY);

    if (dir) {
        aiq_ctl_lint_add(lint, AIQ_LINT_SET_BODY, dir, place, NULL);
    }

    dir = aiq_ctl_lint_get(place, AIQ_CTL_K_METHOD);

    if (dir) {
        aiq_ctl_lint_add(lint, AIQ_LINT_METHOD, dir, place, NULL);
    }

    aiq_ctl_lint_headers(lint, place, AIQ_CTL_K_SET_HEADER, pass);
}


static void
aiq_ctl_lint_headers(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *place,
    unsigned kind, aiq_ctl_dir_t *pass)
{
    int             host;
    aiq_lint_id_e   id;
    aiq_ctl_dir_t  *dir;

    host = (kind != AIQ_CTL_K_SET_HEADER);

    for (dir = aiq_ctl_lint_get(place, kind); dir; dir = dir->same) {

        if (dir->n != 3) {
            continue;
        }

        if (aiq_lint_same(dir->args[1], "Host")
            && aiq_lint_host(dir->args[2]))
        {
            host = 1;
        }

        id = aiq_lint_header(dir->args[1], dir->args[2]);

        if (id != AIQ_LINT_N) {
            aiq_ctl_lint_add(lint, id, dir, place, NULL);
        }
    }

    if (!host) {
        aiq_ctl_lint_add(lint, AIQ_LINT_HOST, pass, place,
                         "proxy_set_header Host $proxy_host");
    }
}


static void
aiq_ctl_lint_timeout(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *place,
    unsigned sender, aiq_ctl_dir_t *pass)
{
    char            text[AIQ_CTL_LINT_TEXT];
    uint64_t        msec;
    aiq_ctl_dir_t  *dir;

    dir = aiq_ctl_lint_get(place, aiq_ctl_of(sender, AIQ_CTL_K_READ_TIMEOUT));

    if (dir == NULL) {
        (void) snprintf(text, sizeof(text), "%s_read_timeout 60s",
                        aiq_ctl_lint_sender(sender));
        aiq_ctl_lint_add(lint, AIQ_LINT_READ_TIMEOUT, pass, place, text);
        return;
    }

    if (dir->n == 2 && aiq_ctl_lint_msec(dir->args[1], &msec)
        && msec < AIQ_LINT_SILENCE)
    {
        aiq_ctl_lint_add(lint, AIQ_LINT_READ_TIMEOUT, dir, place, NULL);
    }
}


/* "armoriq off" that makes a hole in something */

static void
aiq_ctl_lint_off(aiq_ctl_lint_t *lint, aiq_ctl_dir_t *block,
    aiq_ctl_dir_t *server)
{
    aiq_ctl_dir_t  *dir;

    dir = block->have[AIQ_CTL_K_ON];

    if (dir && aiq_ctl_lint_has(dir, "off")
        && (server->protect
            || (server->parent
                && aiq_ctl_lint_on(server->parent, AIQ_CTL_K_ON))))
    {
        aiq_ctl_lint_add(lint, AIQ_LINT_OFF, dir, block, NULL);
    }
}


/* a directive of this kind in force with this value */

static void
aiq_ctl_lint_is(aiq_ctl_lint_t *lint, aiq_lint_id_e id, aiq_ctl_dir_t *place,
    unsigned kind, const char *value)
{
    aiq_ctl_dir_t  *dir;

    dir = aiq_ctl_lint_get(place, kind);

    if (dir && aiq_ctl_lint_has(dir, value)) {
        aiq_ctl_lint_add(lint, id, dir, place, NULL);
    }
}


static int
aiq_ctl_lint_on(const aiq_ctl_dir_t *block, unsigned kind)
{
    aiq_ctl_dir_t  *dir;

    dir = aiq_ctl_lint_get(block, kind);

    return dir && aiq_ctl_lint_has(dir, "on");
}


/* flags may be written in any case: "ON" */

static int
aiq_ctl_lint_has(const aiq_ctl_dir_t *dir, const char *value)
{
    unsigned  i;

    for (i = 1; i < dir->n; i++) {

        if (aiq_lint_same(dir->args[i], value)) {
            return 1;
        }
    }

    return 0;
}


/* "90", "90s", "1m30s", "1500ms" */

static int
aiq_ctl_lint_msec(aiq_str_t s, uint64_t *msec)
{
    size_t    i;
    uint64_t  n, unit;

    *msec = 0;

    for (i = 0; i < s.len; /* void */ ) {

        for (n = 0; i < s.len && s.data[i] >= '0' && s.data[i] <= '9'; i++) {

            n = n * 10 + (uint64_t) (s.data[i] - '0');

            if (n > UINT32_MAX) {
                return 0;
            }
        }

        unit = 1000;

        if (i + 1 < s.len && s.data[i] == 'm' && s.data[i + 1] == 's') {
            unit = 1;
            i += 2;

        } else if (i < s.len) {

            switch (s.data[i]) {

            case 's':
                break;

            case 'm':
                unit *= 60;
                break;

            case 'h':
                unit *= 3600;
                break;

            case 'd':
                unit *= 86400;
                break;

            case ' ':
                break;

            default:
                return 0;
            }

            i++;
        }

        *msec += n * unit;
    }

    return s.len != 0;
}
