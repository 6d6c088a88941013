
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl mcp tools: the tools that a server has, so that a call of any
 * other ends at the proxy.
 */


#include <string.h>

#include "ctl.h"


static int aiq_ctl_tools_server(aiq_ctl_t *ctl, aiq_org_t *org,
    aiq_str_t *name);
static int aiq_ctl_tools_set(aiq_ctl_t *ctl, const char *file);
static int aiq_ctl_tools_any(aiq_ctl_t *ctl);
static int aiq_ctl_tools_show(aiq_ctl_t *ctl);


int
aiq_ctl_mcp_tools(aiq_ctl_t *ctl)
{
    const char  *any;

    any = aiq_ctl_opt(ctl, "any");

    if (ctl->nargs == 2) {
        return any ? aiq_ctl_usage(ctl, "either FILE or --any")
                   : aiq_ctl_tools_set(ctl, ctl->arg[1]);
    }

    return any ? aiq_ctl_tools_any(ctl) : aiq_ctl_tools_show(ctl);
}


/* the store is open */

static int
aiq_ctl_tools_server(aiq_ctl_t *ctl, aiq_org_t *org, aiq_str_t *name)
{
    int           code;
    aiq_rc_t      rc;
    aiq_server_t  server;

    code = aiq_ctl_name(ctl, "name", ctl->arg[0], name);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_org(ctl, org);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_server_get(ctl->txn, org->name, *name, &server, &ctl->mem);

    if (rc == AIQ_DECLINED) {
        return aiq_ctl_no(ctl, rc, "there is no mcp \"%s\"", ctl->arg[0]);
    }

    return rc == AIQ_OK ? AIQ_CTL_OK : aiq_ctl_fail(ctl, rc, "mcp");
}


static int
aiq_ctl_tools_set(aiq_ctl_t *ctl, const char *file)
{
    int          code;
    aiq_rc_t     rc;
    aiq_str_t    name;
    aiq_org_t    org;
    aiq_json_t   doc;
    aiq_tools_t  tools;

    code = aiq_ctl_read_json(ctl, file, AIQ_CTL_DOC_MAX, 0, &doc);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_tools_read(&tools, &doc, &ctl->mem, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, file);
    }

    code = aiq_ctl_open(ctl, AIQ_STORE_WRITE);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_tools_server(ctl, &org, &name);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_tools_put(ctl->txn, org.name, name, &tools, &ctl->mem,
                       &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "tools");
    }

    code = aiq_ctl_commit(ctl);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    return aiq_ctl_done(ctl, "mcp \"%s\" has %u tools", ctl->arg[0],
                        tools.n);
}


static int
aiq_ctl_tools_any(aiq_ctl_t *ctl)
{
    int        code;
    aiq_rc_t   rc;
    aiq_str_t  name;
    aiq_org_t  org;

    code = aiq_ctl_open(ctl, AIQ_STORE_WRITE);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_tools_server(ctl, &org, &name);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_store_del(ctl->txn, org.name, AIQ_STORE_TOOLS, name, &ctl->err);

    if (rc != AIQ_OK && rc != AIQ_DECLINED) {
        return aiq_ctl_fail(ctl, rc, "tools");
    }

    code = aiq_ctl_commit(ctl);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    return aiq_ctl_done(ctl, "mcp \"%s\" may have any tool", ctl->arg[0]);
}


static int
aiq_ctl_tools_show(aiq_ctl_t *ctl)
{
    int           code;
    json_t       *list, *o;
    uint32_t      i;
    aiq_rc_t      rc;
    aiq_str_t     name;
    aiq_org_t     org;
    aiq_tools_t   tools;

    code = aiq_ctl_open(ctl, 0);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_tools_server(ctl, &org, &name);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_tools_get(ctl->txn, org.name, name, &tools, &ctl->mem);

    if (rc == AIQ_DECLINED) {
        return aiq_ctl_no(ctl, rc, "the tools of \"%s\" are not listed: it "
                          "may have any", ctl->arg[0]);
    }

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "tools");
    }

    if (!ctl->json) {

        for (i = 0; i < tools.n; i++) {
            printf("%s\n", aiq_ctl_esc(ctl, tools.names[i]));
        }

        return AIQ_CTL_OK;
    }

    list = json_array();

    for (i = 0; i < tools.n; i++) {
        aiq_ctl_jadd(ctl, list, aiq_ctl_jstr(tools.names[i]));
    }

    o = json_object();

    aiq_ctl_jset(ctl, o, "name", aiq_ctl_jstr(name));
    aiq_ctl_jset(ctl, o, "tools", list);

    return aiq_ctl_jprint(ctl, o);
}
