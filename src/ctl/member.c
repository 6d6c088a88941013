
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl user, agent, mcp: three kinds of rows of an org that differ in
 * one member.
 */


#include <string.h>

#include "ctl.h"


typedef struct {
    aiq_str_t           id;
    aiq_str_t           text;         /* email or description */
    unsigned            active:1;
    int64_t             created;
} aiq_ctl_member_t;

typedef struct {
    const char         *word;
    const char         *list;         /* of the JSON answer */
    const char         *id;           /* the key of the row in JSON */
    const char         *text;         /* option and JSON key of text */
    aiq_store_kind_e    kind;
} aiq_ctl_member_kind_t;


static int aiq_ctl_member_add(aiq_ctl_t *ctl);
static int aiq_ctl_member_list(aiq_ctl_t *ctl);
static int aiq_ctl_member_show(aiq_ctl_t *ctl);
static int aiq_ctl_member_remove(aiq_ctl_t *ctl);
static const aiq_ctl_member_kind_t *aiq_ctl_member_kind(
    const aiq_ctl_t *ctl);
static aiq_rc_t aiq_ctl_member_get(aiq_ctl_t *ctl, aiq_store_kind_e kind,
    aiq_str_t org, aiq_str_t id, aiq_ctl_member_t *m);
static aiq_rc_t aiq_ctl_member_put(aiq_ctl_t *ctl, aiq_store_kind_e kind,
    aiq_str_t org, const aiq_ctl_member_t *m);
static json_t *aiq_ctl_member_json(aiq_ctl_t *ctl,
    const aiq_ctl_member_kind_t *k, const aiq_ctl_member_t *m);


static const aiq_ctl_member_kind_t  aiq_ctl_member_kinds[] = {

    { "user", "users", "id", "email", AIQ_STORE_USER },
    { "agent", "agents", "id", "description", AIQ_STORE_AGENT },
    { "mcp", "mcps", "name", "description", AIQ_STORE_MCP }
};


static const aiq_ctl_opt_t  aiq_ctl_member_opts[] = {

    { "org", "ORG", "the org", 1, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


static const aiq_ctl_opt_t  aiq_ctl_user_add_opts[] = {

    { "org", "ORG", "the org", 1, 0 },
    { "email", "ADDRESS", "for people who read the list", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


static const aiq_ctl_opt_t  aiq_ctl_member_add_opts[] = {

    { "org", "ORG", "the org", 1, 0 },
    { "description", "TEXT", "for people who read the list", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


static const aiq_ctl_opt_t  aiq_ctl_mcp_tools_opts[] = {

    { "org", "ORG", "the org", 1, 0 },
    { "any", NULL, "the server may have any tool again", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


const aiq_ctl_cmd_t  aiq_ctl_user_cmds[] = {

    { "add", "ID", 1, 1, aiq_ctl_user_add_opts, aiq_ctl_member_add,
      "add a user",
      "ID is what the application sends as user_id. A user that was removed"
      " is brought back.",
      "    armoriqctl user add --org acme --email alice@example.com alice\n",
      NULL },

    { "list", "", 0, 0, aiq_ctl_member_opts, aiq_ctl_member_list,
      "list the users of an org",
      "Lists the users that were added, also those that were removed.",
      "    armoriqctl user list --org acme\n",
      NULL },

    { "show", "ID", 1, 1, aiq_ctl_member_opts, aiq_ctl_member_show,
      "show one user",
      "Shows one user.",
      "    armoriqctl user show --org acme alice\n",
      NULL },

    { "remove", "ID", 1, 1, aiq_ctl_member_opts, aiq_ctl_member_remove,
      "refuse a user from now on",
      "Keys and tokens of the user are refused from the next request on. The"
      " row is kept: a user who is not known is one of the application, a"
      " user who was removed is refused. For a user who was never added, add"
      " first.",
      "    armoriqctl user remove --org acme alice\n",
      NULL },

    { NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }
};


const aiq_ctl_cmd_t  aiq_ctl_agent_cmds[] = {

    { "add", "ID", 1, 1, aiq_ctl_member_add_opts, aiq_ctl_member_add,
      "add an agent",
      "ID is what the application sends as agent_id. An agent that was"
      " removed is brought back.",
      "    armoriqctl agent add --org acme --description \"night shift\""
      " sysadmin\n",
      NULL },

    { "list", "", 0, 0, aiq_ctl_member_opts, aiq_ctl_member_list,
      "list the agents of an org",
      "Lists the agents that were added, also those that were removed.",
      "    armoriqctl agent list --org acme\n",
      NULL },

    { "show", "ID", 1, 1, aiq_ctl_member_opts, aiq_ctl_member_show,
      "show one agent",
      "Shows one agent.",
      "    armoriqctl agent show --org acme sysadmin\n",
      NULL },

    { "remove", "ID", 1, 1, aiq_ctl_member_opts, aiq_ctl_member_remove,
      "refuse an agent from now on",
      "Keys and tokens of the agent are refused from the next request on. The"
      " row is kept: an agent that is not known is one of the application, an"
      " agent that was removed is refused. For an agent that was never added,"
      " add first.",
      "    armoriqctl agent remove --org acme sysadmin\n",
      NULL },

    { NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }
};


const aiq_ctl_cmd_t  aiq_ctl_mcp_cmds[] = {

    { "add", "NAME", 1, 1, aiq_ctl_member_add_opts, aiq_ctl_member_add,
      "register an MCP server",
      "NAME is the mcp of a plan's steps and of the directive armoriq_mcp"
      " NAME. Calls of servers that are not registered are refused.",
      "    armoriqctl mcp add --org acme infra-mcp\n",
      NULL },

    { "list", "", 0, 0, aiq_ctl_member_opts, aiq_ctl_member_list,
      "list the MCP servers of an org",
      "Lists the servers that were added, also those that were removed.",
      "    armoriqctl mcp list --org acme\n",
      NULL },

    { "show", "NAME", 1, 1, aiq_ctl_member_opts, aiq_ctl_member_show,
      "show one MCP server",
      "Shows one server.",
      "    armoriqctl mcp show --org acme infra-mcp\n",
      NULL },

    { "tools", "NAME [FILE|-]", 1, 2, aiq_ctl_mcp_tools_opts,
      aiq_ctl_mcp_tools,
      "list the tools that an MCP server has",
      "With FILE, a JSON array of names or what the server answers to"
      " tools/list, the server has these tools from the next request on: a"
      " call of another one is refused by nginx, in the words in which it"
      " refuses a tool that a policy hides. Without FILE, prints the names.",
      "    armoriqctl mcp tools --org acme infra-mcp tools.json\n",
      NULL },

    { "remove", "NAME", 1, 1, aiq_ctl_member_opts, aiq_ctl_member_remove,
      "refuse calls of an MCP server from now on",
      "Calls of the server are refused from the next request on. The row is"
      " kept, because the audit log speaks of it.",
      "    armoriqctl mcp remove --org acme infra-mcp\n",
      NULL },

    { NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }
};


static const aiq_ctl_member_kind_t *
aiq_ctl_member_kind(const aiq_ctl_t *ctl)
{
    size_t  i;

    for (i = 0; strcmp(aiq_ctl_member_kinds[i].word, ctl->group->name) != 0;
         i++)
    {
        /* void: every group of this file has its row */
    }

    return &aiq_ctl_member_kinds[i];
}


static aiq_rc_t
aiq_ctl_member_get(aiq_ctl_t *ctl, aiq_store_kind_e kind, aiq_str_t org,
    aiq_str_t id, aiq_ctl_member_t *m)
{
    aiq_rc_t      rc;
    aiq_user_t    user;
    aiq_agent_t   agent;
    aiq_server_t  server;

    switch (kind) {

    case AIQ_STORE_USER:
        rc = aiq_user_get(ctl->txn, org, id, &user, &ctl->mem);

        if (rc == AIQ_OK) {
            m->id = user.id;
            m->text = user.email;
            m->active = user.active;
            m->created = user.created;
        }

        return rc;

    case AIQ_STORE_AGENT:
        rc = aiq_agent_get(ctl->txn, org, id, &agent, &ctl->mem);

        if (rc == AIQ_OK) {
            m->id = agent.id;
            m->text = agent.description;
            m->active = agent.active;
            m->created = agent.created;
        }

        return rc;

    default:
        rc = aiq_server_get(ctl->txn, org, id, &server, &ctl->mem);

        if (rc == AIQ_OK) {
            m->id = server.name;
            m->text = server.description;
            m->active = server.active;
            m->created = server.created;
        }

        return rc;
    }
}


static aiq_rc_t
aiq_ctl_member_put(aiq_ctl_t *ctl, aiq_store_kind_e kind, aiq_str_t org,
    const aiq_ctl_member_t *m)
{
    aiq_user_t    user;
    aiq_agent_t   agent;
    aiq_server_t  server;

    switch (kind) {

    case AIQ_STORE_USER:
        memset(&user, 0, sizeof(aiq_user_t));

        user.id = m->id;
        user.email = m->text;
        user.active = m->active;
        user.created = m->created;

        return aiq_user_put(ctl->txn, org, &user, &ctl->err);

    case AIQ_STORE_AGENT:
        memset(&agent, 0, sizeof(aiq_agent_t));

        agent.id = m->id;
        agent.description = m->text;
        agent.active = m->active;
        agent.created = m->created;

        return aiq_agent_put(ctl->txn, org, &agent, &ctl->err);

    default:
        memset(&server, 0, sizeof(aiq_server_t));

        server.name = m->id;
        server.description = m->text;
        server.active = m->active;
        server.created = m->created;

        return aiq_server_put(ctl->txn, org, &server, &ctl->err);
    }
}


static json_t *
aiq_ctl_member_json(aiq_ctl_t *ctl, const aiq_ctl_member_kind_t *k,
    const aiq_ctl_member_t *m)
{
    json_t  *o;

    o = json_object();

    aiq_ctl_jset(ctl, o, k->id, aiq_ctl_jstr(m->id));
    aiq_ctl_jset(ctl, o, k->text, aiq_ctl_jstr(m->text));
    aiq_ctl_jset(ctl, o, "active", json_boolean(m->active));
    aiq_ctl_jset(ctl, o, "created", json_integer(m->created));

    return o;
}


static int
aiq_ctl_member_add(aiq_ctl_t *ctl)
{
    int                           code, back;
    aiq_rc_t                      rc;
    aiq_str_t                     id, text;
    aiq_org_t                     org;
    const char                   *s;
    aiq_ctl_member_t              m;
    const aiq_ctl_member_kind_t  *k;

    k = aiq_ctl_member_kind(ctl);

    code = aiq_ctl_name(ctl, k->id, ctl->arg[0], &id);
    s = aiq_ctl_opt(ctl, k->text);
    aiq_str_null(&text);

    if (code == AIQ_CTL_OK && s && *s) {
        code = aiq_ctl_name(ctl, k->text, s, &text);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_open(ctl, AIQ_STORE_WRITE);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_org(ctl, &org);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_ctl_member_get(ctl, k->kind, org.name, id, &m);

    if (rc == AIQ_OK && m.active) {
        return aiq_ctl_no(ctl, AIQ_OK, "the %s \"%s\" exists already",
                          k->word, ctl->arg[0]);
    }

    if (rc != AIQ_OK && rc != AIQ_DECLINED) {
        return aiq_ctl_fail(ctl, rc, k->word);
    }

    back = (rc == AIQ_OK);

    if (!back) {
        memset(&m, 0, sizeof(aiq_ctl_member_t));

        m.id = id;
        m.created = ctl->now;
    }

    if (s) {
        m.text = text;
    }

    m.active = 1;

    rc = aiq_ctl_member_put(ctl, k->kind, org.name, &m);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, k->word);
    }

    code = aiq_ctl_commit(ctl);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    return aiq_ctl_done(ctl, back ? "%s \"%s\" is back" : "%s \"%s\" added",
                        k->word, ctl->arg[0]);
}


static int
aiq_ctl_member_list(aiq_ctl_t *ctl)
{
    int                           code;
    size_t                        i;
    json_t                       *list, *o;
    aiq_rc_t                      rc;
    aiq_org_t                     org;
    aiq_ctl_ids_t                 ids;
    aiq_ctl_member_t              m;
    const aiq_ctl_member_kind_t  *k;

    k = aiq_ctl_member_kind(ctl);

    code = aiq_ctl_open(ctl, 0);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_org(ctl, &org);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_ids(ctl, org.name, k->kind, &ids);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    list = json_array();

    for (i = 0; i < ids.n; i++) {
        rc = aiq_ctl_member_get(ctl, k->kind, org.name, ids.id[i], &m);

        if (rc != AIQ_OK) {
            json_decref(list);
            return aiq_ctl_fail(ctl, rc, k->word);
        }

        if (ctl->json) {
            aiq_ctl_jadd(ctl, list, aiq_ctl_member_json(ctl, k, &m));
            continue;
        }

        printf("%-24s  %-8s  %s\n", aiq_ctl_esc(ctl, m.id),
               m.active ? "active" : "removed", aiq_ctl_esc(ctl, m.text));
    }

    if (!ctl->json) {
        json_decref(list);
        return AIQ_CTL_OK;
    }

    o = json_object();

    aiq_ctl_jset(ctl, o, "org", aiq_ctl_jstr(org.name));
    aiq_ctl_jset(ctl, o, k->list, list);

    return aiq_ctl_jprint(ctl, o);
}


static int
aiq_ctl_member_show(aiq_ctl_t *ctl)
{
    int                           code;
    aiq_rc_t                      rc;
    aiq_str_t                     id;
    aiq_org_t                     org;
    aiq_ctl_member_t              m;
    const aiq_ctl_member_kind_t  *k;

    k = aiq_ctl_member_kind(ctl);

    code = aiq_ctl_name(ctl, k->id, ctl->arg[0], &id);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_open(ctl, 0);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_org(ctl, &org);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_ctl_member_get(ctl, k->kind, org.name, id, &m);

    if (rc == AIQ_DECLINED) {
        return aiq_ctl_no(ctl, rc, "there is no %s \"%s\"", k->word,
                          ctl->arg[0]);
    }

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, k->word);
    }

    if (ctl->json) {
        return aiq_ctl_jprint(ctl, aiq_ctl_member_json(ctl, k, &m));
    }

    printf("%-11s  %s\n%-11s  %s\n%-11s  %s\n%-11s  %s\n", k->word,
           aiq_ctl_esc(ctl, m.id), "state", m.active ? "active" : "removed",
           k->text, aiq_ctl_esc(ctl, m.text), "created",
           aiq_ctl_time(ctl, m.created, "ever"));

    return AIQ_CTL_OK;
}


static int
aiq_ctl_member_remove(aiq_ctl_t *ctl)
{
    int                           code;
    aiq_rc_t                      rc;
    aiq_str_t                     id;
    aiq_org_t                     org;
    aiq_ctl_member_t              m;
    const aiq_ctl_member_kind_t  *k;

    k = aiq_ctl_member_kind(ctl);

    code = aiq_ctl_name(ctl, k->id, ctl->arg[0], &id);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_open(ctl, AIQ_STORE_WRITE);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_org(ctl, &org);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_ctl_member_get(ctl, k->kind, org.name, id, &m);

    if (rc == AIQ_DECLINED || (rc == AIQ_OK && !m.active)) {
        return aiq_ctl_no(ctl, AIQ_DECLINED, "there is no active %s \"%s\"",
                          k->word, ctl->arg[0]);
    }

    if (rc == AIQ_OK) {
        m.active = 0;
        rc = aiq_ctl_member_put(ctl, k->kind, org.name, &m);
    }

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, k->word);
    }

    code = aiq_ctl_commit(ctl);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    return aiq_ctl_done(ctl, "%s \"%s\" removed", k->word, ctl->arg[0]);
}
