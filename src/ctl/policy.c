
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl policy: documents, checked by the compiler that the decision
 * uses.
 */


#include <string.h>

#include "ctl.h"
#include "tzfile.h"


static int aiq_ctl_policy_add(aiq_ctl_t *ctl);
static int aiq_ctl_policy_check(aiq_ctl_t *ctl);
static int aiq_ctl_policy_list(aiq_ctl_t *ctl);
static int aiq_ctl_policy_show(aiq_ctl_t *ctl);
static int aiq_ctl_policy_remove(aiq_ctl_t *ctl);
static int aiq_ctl_policy_read(aiq_ctl_t *ctl, aiq_json_t *doc,
    aiq_policy_t **policy);
static int aiq_ctl_policy_row(aiq_ctl_t *ctl, aiq_str_t org, aiq_str_t id,
    json_t *list);


static const aiq_ctl_opt_t  aiq_ctl_policy_opts[] = {

    { "org", "ORG", "the org", 1, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


static const aiq_ctl_opt_t  aiq_ctl_policy_add_opts[] = {

    { "org", "ORG", "the org", 1, 0 },
    { "replace", NULL, "take the place of the policy of this name", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


const aiq_ctl_cmd_t  aiq_ctl_policy_cmds[] = {

    { "add", "FILE|-", 1, 1, aiq_ctl_policy_add_opts, aiq_ctl_policy_add,
      "check a policy and put it in force",
      "Reads a JSON document; its \"name\" is the name of the policy. A"
      " document with an error is refused, and the error names the line or"
      " the member. The policy is in force with the next request, without a"
      " reload.",
      "    armoriqctl policy add --org acme night-shift.json\n",
      NULL },

    { "check", "FILE|-", 1, 1, NULL, aiq_ctl_policy_check,
      "check a policy, change nothing",
      "The same check as \"policy add\", without a store: for a pipeline that"
      " looks at policies before they are merged.",
      "    armoriqctl policy check night-shift.json\n",
      NULL },

    { "list", "", 0, 0, aiq_ctl_policy_opts, aiq_ctl_policy_list,
      "list the policies of an org",
      "Lists name, status, priority and target. The highest priority is asked"
      " first.",
      "    armoriqctl policy list --org acme\n",
      NULL },

    { "show", "NAME", 1, 1, aiq_ctl_policy_opts, aiq_ctl_policy_show,
      "print a policy as it was added",
      "Prints the document.",
      "    armoriqctl policy show --org acme night-shift > night-shift.json\n",
      NULL },

    { "remove", "NAME", 1, 1, aiq_ctl_policy_opts, aiq_ctl_policy_remove,
      "take a policy out of force",
      "The policy is gone with the next request; what it denied is judged by"
      " the others and by the default of the org. To keep it at hand, add it"
      " again with \"status\":\"inactive\".",
      "    armoriqctl policy remove --org acme night-shift\n",
      NULL },

    { NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }
};


static int
aiq_ctl_policy_read(aiq_ctl_t *ctl, aiq_json_t *doc, aiq_policy_t **policy)
{
    int          code;
    aiq_rc_t     rc;
    const char  *file;

    file = ctl->arg[0];

    code = aiq_ctl_read_json(ctl, file, AIQ_CTL_POLICY_MAX, 0, doc);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_policy_compile(policy, doc, 0, 1, aiq_tzfile_load, NULL,
                            &ctl->mem, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, strcmp(file, "-") == 0
                            ? "standard input" : file);
    }

    return AIQ_CTL_OK;
}


static int
aiq_ctl_policy_check(aiq_ctl_t *ctl)
{
    int            code;
    aiq_str_t      name;
    aiq_json_t     doc;
    aiq_policy_t  *policy;

    code = aiq_ctl_policy_read(ctl, &doc, &policy);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    name = aiq_policy_name(policy);

    return aiq_ctl_done(ctl, "policy \"%.*s\" is valid", (int) name.len,
                        (const char *) name.data);
}


static int
aiq_ctl_policy_add(aiq_ctl_t *ctl)
{
    int            code, there;
    aiq_rc_t       rc;
    aiq_str_t      name, old;
    aiq_org_t      org;
    aiq_json_t     doc;
    aiq_policy_t  *policy;

    code = aiq_ctl_policy_read(ctl, &doc, &policy);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_open(ctl, AIQ_STORE_WRITE);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_org(ctl, &org);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    name = aiq_policy_name(policy);

    rc = aiq_store_get(ctl->txn, org.name, AIQ_STORE_POLICY, name, &old);

    if (rc != AIQ_OK && rc != AIQ_DECLINED) {
        return aiq_ctl_fail(ctl, rc, "policy");
    }

    there = (rc == AIQ_OK);

    if (there && aiq_ctl_opt(ctl, "replace") == NULL) {
        return aiq_ctl_no(ctl, AIQ_OK, "the policy \"%.*s\" exists already,"
                          " use --replace to take its place",
                          (int) name.len, (const char *) name.data);
    }

    rc = aiq_policy_put(ctl->txn, org.name, name, doc.text, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "policy");
    }

    code = aiq_ctl_commit(ctl);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    return aiq_ctl_done(ctl, there ? "policy \"%.*s\" replaced"
                                   : "policy \"%.*s\" added",
                        (int) name.len, (const char *) name.data);
}


/* prints one policy, or adds it to the list */

static int
aiq_ctl_policy_row(aiq_ctl_t *ctl, aiq_str_t org, aiq_str_t id, json_t *list)
{
    json_t        *o;
    aiq_rc_t       rc;
    uint32_t       target;
    aiq_str_t      text, status, type, who;
    aiq_json_t     doc;
    aiq_policy_t  *policy;

    rc = aiq_store_get(ctl->txn, org, AIQ_STORE_POLICY, id, &text);

    if (rc == AIQ_OK) {
        rc = aiq_json_parse(&doc, text, AIQ_JSON_DEPTH, &ctl->mem, &ctl->err);
    }

    if (rc == AIQ_OK) {
        rc = aiq_policy_compile(&policy, &doc, 0, 1, aiq_tzfile_load, NULL,
                                &ctl->mem, &ctl->err);
    }

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, aiq_ctl_esc(ctl, id));
    }

    status = aiq_cstr("active");
    type = aiq_cstr("org");
    aiq_str_null(&who);

    target = aiq_json_get(&doc, 0, "target");

    (void) aiq_json_string(&doc, aiq_json_get(&doc, 0, "status"), &ctl->mem,
                           &status);

    if (target != AIQ_JSON_NONE) {
        (void) aiq_json_string(&doc, aiq_json_get(&doc, target, "type"),
                               &ctl->mem, &type);
        (void) aiq_json_string(&doc, aiq_json_get(&doc, target, "id"),
                               &ctl->mem, &who);
    }

    if (!ctl->json) {
        printf("%-24s  %-8s  priority %3d  %s%s%s\n", aiq_ctl_esc(ctl, id),
               aiq_ctl_esc(ctl, status), aiq_policy_priority(policy),
               aiq_ctl_esc(ctl, type), who.len ? " " : "",
               aiq_ctl_esc(ctl, who));
        return AIQ_CTL_OK;
    }

    o = json_object();

    aiq_ctl_jset(ctl, o, "name", aiq_ctl_jstr(id));
    aiq_ctl_jset(ctl, o, "status", aiq_ctl_jstr(status));
    aiq_ctl_jset(ctl, o, "priority",
                 json_integer(aiq_policy_priority(policy)));
    aiq_ctl_jset(ctl, o, "rate_limit", json_integer(aiq_policy_rate(policy)));
    aiq_ctl_jset(ctl, o, "policy", json_loadb((const char *) text.data,
                                              text.len, 0, NULL));
    aiq_ctl_jadd(ctl, list, o);

    return AIQ_CTL_OK;
}


static int
aiq_ctl_policy_list(aiq_ctl_t *ctl)
{
    int             code;
    size_t          i;
    json_t         *list, *o;
    aiq_mem_t       mem;
    aiq_org_t       org;
    aiq_ctl_ids_t   ids;

    code = aiq_ctl_open(ctl, 0);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_org(ctl, &org);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_ids(ctl, org.name, AIQ_STORE_POLICY, &ids);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    list = json_array();

    for (i = 0; code == AIQ_CTL_OK && i < ids.n; i++) {
        mem = ctl->mem;
        code = aiq_ctl_policy_row(ctl, org.name, ids.id[i], list);
        ctl->mem = mem;
    }

    if (code != AIQ_CTL_OK || !ctl->json) {
        json_decref(list);
        return code;
    }

    o = json_object();

    aiq_ctl_jset(ctl, o, "org", aiq_ctl_jstr(org.name));
    aiq_ctl_jset(ctl, o, "policies", list);

    return aiq_ctl_jprint(ctl, o);
}


static int
aiq_ctl_policy_show(aiq_ctl_t *ctl)
{
    int         code;
    json_t     *o;
    aiq_rc_t    rc;
    aiq_str_t   name, text;
    aiq_org_t   org;

    code = aiq_ctl_name(ctl, "name", ctl->arg[0], &name);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_open(ctl, 0);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_org(ctl, &org);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_store_get(ctl->txn, org.name, AIQ_STORE_POLICY, name, &text);

    if (rc == AIQ_DECLINED) {
        return aiq_ctl_no(ctl, rc, "there is no policy \"%s\"", ctl->arg[0]);
    }

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "policy");
    }

    if (!ctl->json) {
        return aiq_ctl_document(ctl, text);
    }

    o = json_object();

    aiq_ctl_jset(ctl, o, "org", aiq_ctl_jstr(org.name));
    aiq_ctl_jset(ctl, o, "name", aiq_ctl_jstr(name));
    aiq_ctl_jset(ctl, o, "policy", json_loadb((const char *) text.data,
                                              text.len, 0, NULL));

    return aiq_ctl_jprint(ctl, o);
}


static int
aiq_ctl_policy_remove(aiq_ctl_t *ctl)
{
    int        code;
    aiq_rc_t   rc;
    aiq_str_t  name;
    aiq_org_t  org;

    code = aiq_ctl_name(ctl, "name", ctl->arg[0], &name);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_open(ctl, AIQ_STORE_WRITE);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_org(ctl, &org);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_store_del(ctl->txn, org.name, AIQ_STORE_POLICY, name,
                       &ctl->err);

    if (rc == AIQ_DECLINED) {
        return aiq_ctl_no(ctl, rc, "there is no policy \"%s\"", ctl->arg[0]);
    }

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "policy");
    }

    code = aiq_ctl_commit(ctl);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    return aiq_ctl_done(ctl, "policy \"%s\" removed", ctl->arg[0]);
}
