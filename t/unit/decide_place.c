
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The decision and the place it is made for: org, web pages, sessions,
 * methods; a redirect into another place; and what a caller gets to see.
 */


#include "decide_rows.h"


#define LIST    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}"
#define READ    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"resources/read\"," \
                "\"params\":{\"uri\":\"file:///a\"%s}}"


static void t_org(void);
static void t_other_org(void);
static void t_origin(void);
static void t_origins(void);
static void t_null_origin(void);
static void t_early(void);
static void t_modern(void);
static void t_session(void);
static void t_identity(void);
static void t_repeated(void);
static void t_liar(void);
static void t_too_many(void);
static void test_sessions(void);
static int visible(const char *tool);
static void test_visible(void);
static void test_identity(void);
static void test_methods(void);
static void test_moved(void);
static void test_listed(void);
static void test_told(void);


static const aiq_str_t  origins[] = {
    aiq_string("https://app.example.com"),
    aiq_string("http://localhost:6274")
};

static const aiq_method_rule_t  identity[] = {
    { aiq_string("tools/call"), AIQ_NEED_IDENTITY },
    { aiq_string("resources/*"), AIQ_NEED_INTENT },
    { aiq_string("*"), AIQ_NEED_IDENTITY },
    { aiq_string("logging/setLevel"), AIQ_NEED_REFUSE }
};


static const aiq_method_rule_t  everything = {
    aiq_string("*"), AIQ_NEED_INTENT
};


static const row_t  rows[] = {
    { "the org of the place", AIQ_OK, ALL, { 0 }, NULL, t_org },
    { "another org's place", AIQ_D_ORG_NOT_ALLOWED, ALL, { 0 }, NULL,
      t_other_org },
    { "a web page", AIQ_D_ORIGIN_NOT_ALLOWED, ALL, { 0 }, NULL, t_origin },
    { "a web page that may", AIQ_OK, ALL, { 0 }, NULL, t_origins },
    { "no web page in particular", AIQ_D_ORIGIN_NOT_ALLOWED, ALL, { 0 }, NULL,
      t_null_origin },
    { "early data", AIQ_D_EARLY_DATA, ALL, { 0 }, NULL, t_early },
    { "a POST where there is no GET", AIQ_OK, MCP, { 0 }, NULL, t_modern },
    { "a GET there", AIQ_D_METHOD_NOT_ALLOWED, MCP, { .http = "GET" }, NULL,
      t_modern },
    { "a DELETE there", AIQ_D_METHOD_NOT_ALLOWED, MCP, { .http = "DELETE" },
      NULL, t_modern },
    { "a session of nobody", AIQ_D_SESSION_UNKNOWN, MCP, { 0 }, NULL,
      t_session },
    { "a session means nothing to an envelope", AIQ_OK, ENVELOPE, { 0 }, NULL,
      t_session },
    { "a header that repeats an argument", AIQ_OK, MCP, { 0 }, NULL,
      t_repeated },
    { "one that lies", AIQ_D_HEADER_MISMATCH, MCP, { 0 }, NULL, t_liar },
    { "many", AIQ_D_HEADER_MISMATCH, MCP, { 0 }, NULL, t_too_many }
};


static void
t_org(void)
{
    rq.org = S("acme");
}


static void
t_other_org(void)
{
    rq.org = S("ajax");
}


static void
t_origin(void)
{
    rq.origin = S("https://app.example.com");
}


static void
t_origins(void)
{
    rq.origin = S("http://localhost:6274");
    rq.origins = origins;
    rq.norigins = 2;
}


static void
t_null_origin(void)
{
    t_origins();

    rq.origin = S("null");
}


static void
t_early(void)
{
    rq.early = 1;
}


static void
t_modern(void)
{
    rq.modern = 1;
}


static void
t_session(void)
{
    rq.session = S("s-1");
}


static void
t_identity(void)
{
    rq.methods = identity;
    rq.nmethods = sizeof(identity) / sizeof(identity[0]);
}


static void
t_repeated(void)
{
    rq.repeated[0].name = S("path");
    rq.repeated[0].value = S("/a");
    rq.nrepeated = 1;
}


static void
t_liar(void)
{
    t_repeated();

    rq.repeated[0].value = S("/b");
}


static void
t_too_many(void)
{
    rq.nrepeated = AIQ_MCP_PARAMS_MAX + 1;
}


static void
test_sessions(void)
{
    unsigned  i;
    aiq_rc_t  rc;
    change_t  bob, nobody;

    static const change_t  good;

    static const unsigned  kinds[] = { NATIVE, INTENT, META };

    memset(&bob, 0, sizeof(bob));
    memset(&nobody, 0, sizeof(nobody));

    bob.claim = "sub";
    bob.value = "\"bob\"";
    nobody.body = LIST;

    for (i = 0; i < 3; i++) {
        forget();

        ok(run(&acme, kinds[i], &good) == AIQ_OK, "opens a session");

        rc = aiq_session_key(&d, S("s-1"), shared.session, &shared.who,
                             crypto);
        ok(rc == AIQ_OK, "and it has a name");

        forget_uses();
        make(&acme, kinds[i], &good);
        rq.session = S("s-1");
        same_rc(decide(), AIQ_OK, "it may be used");

        forget_uses();
        make(&acme, kinds[i], &good);
        rq.session = S("s-2");
        same_rc(decide(), AIQ_D_SESSION_UNKNOWN, "another may not");

        forget_uses();
        make(&acme, kinds[i], &nobody);
        rq.session = S("s-1");
        same_rc(decide(), AIQ_OK, "also for a list");

        make(&acme, BARE, &bob);
        rq.session = S("s-1");
        same_rc(decide(), AIQ_D_SESSION_UNKNOWN, "not by another user");

        make(&ajax, kinds[i], &good);
        rq.session = S("s-1");
        same_rc(decide(), AIQ_D_SESSION_UNKNOWN, "not by another org");

        make(&acme, kinds[i], &good);
        rq.mcp = S("db");
        rq.session = S("s-1");
        same_rc(decide(), AIQ_D_SESSION_UNKNOWN, "not at another server");

        /* who has a key for the whole org is no stranger in it */

        make(&acme, BARE, &good);
        rq.session = S("s-1");
        same_rc(decide(), AIQ_OK, "with the token alone");
    }
}


/* of the decision in d, and the request in rq */

static int
visible(const char *tool)
{
    aiq_rc_t       rc;
    aiq_visible_t  v;

    rq.txn = must_begin(store, 0);

    rc = aiq_visible_begin(&v, &d, &rq);

    if (rc == AIQ_OK) {
        rc = aiq_visible(&v, S(tool));
    }

    aiq_store_abort(rq.txn);

    if (aiq_is_fault(rc)) {
        ok(0, "%s: %s", tool, aiq_reason(rc));
    }

    return rc == AIQ_OK;
}


static void
test_visible(void)
{
    change_t  key, narrow;

    static const change_t  good = { .body = LIST };

    memset(&key, 0, sizeof(key));
    memset(&narrow, 0, sizeof(narrow));

    key.body = LIST;
    key.token = none;

    narrow.body = LIST;
    narrow.claim = "policy";
    narrow.value = "{\"allow\":[\"list\"]}";

    forget();

    ok(run(&acme, NATIVE, &key) == AIQ_OK, "a list with a key");
    ok(visible("read") && visible("other"), "all that policy allows");
    ok(!visible("") && !visible("a b"), "but no name that nobody can call");

    set_policy(&acme, "all", "{\"name\":\"all\",\"allow\":[\"fs/r*\"],"
                             "\"deny\":[\"fs/rm\"]}");

    ok(run(&acme, NATIVE, &key) == AIQ_OK, "a list with another policy");
    ok(visible("read") && !visible("rm") && !visible("list"),
       "what that one allows");

    set_policy(&acme, "all", "{\"name\":\"all\",\"allow\":[\"*\"]}");

    ok(run(&acme, NATIVE, &good) == AIQ_OK, "a list with a token");
    ok(visible("read") && visible("list") && visible("mail"),
       "what its plan has");
    ok(!visible("other"), "and nothing else");
    ok(!visible("query"), "nor what it has for another server");

    ok(run(&acme, NATIVE, &narrow) == AIQ_OK, "a list with a narrow token");
    ok(visible("list") && !visible("read"), "what the token allows");

    drop(&acme, AIQ_STORE_PLAN, plan_id());

    ok(run(&acme, NATIVE, &good) == AIQ_OK, "a list without the plan");
    ok(visible("other"), "an unknown plan hides nothing");

    set_plan(&acme);

    make(&acme, NATIVE, &good);
    t_identity();
    ok(decide() == AIQ_OK && visible("other"),
       "where calls need no intent, the plan does not matter");

    /* of a stream that stays open */

    ok(run(&acme, NATIVE, &good) == AIQ_OK && visible("read"), "a stream");

    rq.token.now = LATE;
    ok(!visible("read"), "whose token has expired shows nothing");

    ok(run(&acme, NATIVE, &good) == AIQ_OK, "a stream");
    set_revoked(&acme, "j-1");
    ok(!visible("read"), "whose token was revoked shows nothing");
    drop(&acme, AIQ_STORE_REVOKED, S("j-1"));

    ok(run(&acme, NATIVE, &key) == AIQ_OK, "a stream");
    set_key(&acme, 0, 0, 0);
    ok(!visible("read"), "whose key was removed shows nothing");
    set_key(&acme, 0, 1, 0);
}


/* "tools/call identity": no plan is asked for, and no step taken */

static void
test_identity(void)
{
    unsigned  i;

    static const struct {
        const char  *what;
        aiq_rc_t     rc;
        unsigned     kind;
        change_t     change;
    } cases[] = {
        { "a call with a token", AIQ_OK, BARE, { 0 } },
        { "with a key", AIQ_OK, NATIVE, { .token = none } },
        { "that nobody has planned", AIQ_OK, NATIVE, { .tool = "other" } },
        { "with a token that is bad even so", AIQ_D_TOKEN_SIGNATURE, NATIVE,
          { .forge = 9 } },
        { "by nobody", AIQ_D_IDENTITY_MISSING, BARE, { .token = none } }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        forget();

        make(&acme, cases[i].kind, &cases[i].change);
        t_identity();
        same_rc(decide(), cases[i].rc, "no intent: %s", cases[i].what);
        ok(uses() == 0 && d.step == -1, "no step is taken");
    }

    set_policy(&acme, "all", "{\"name\":\"all\",\"allow\":[\"list\"]}");

    make(&acme, NATIVE, &(change_t) { .token = none });
    t_identity();
    same_rc(decide(), AIQ_D_POLICY_NOT_ALLOWED, "but policy is asked");

    set_policy(&acme, "all", "{\"name\":\"all\",\"allow\":[\"*\"]}");
}


static void
test_methods(void)
{
    change_t  c;

    static const struct {
        const char  *method;
        aiq_rc_t     rc;
        aiq_rc_t     ruled;
    } cases[] = {
        { "tools/list", AIQ_OK, AIQ_OK },
        { "x/y", AIQ_D_RPC_METHOD, AIQ_OK },
        { "prompts/get", AIQ_D_RPC_METHOD, AIQ_OK },
        { "resources/read", AIQ_D_RPC_METHOD, AIQ_D_TOKEN_MISSING },
        { "resources/list", AIQ_OK, AIQ_D_TOKEN_MISSING },
        { "logging/setLevel", AIQ_D_RPC_METHOD, AIQ_D_RPC_METHOD }
    };

    unsigned  i;

    memset(&c, 0, sizeof(c));

    c.token = none;
    forget();

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        c.body = text("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\"}",
                      cases[i].method);

        make(&acme, NATIVE, &c);
        same_rc(decide(), cases[i].rc, "%s", cases[i].method);

        make(&acme, NATIVE, &c);
        t_identity();
        same_rc(decide(), cases[i].ruled, "%s, with rules", cases[i].method);
    }

    /* "*" does not take the intent from a call */

    make(&acme, NATIVE, &(change_t) { .token = none });
    rq.methods = &identity[2];
    rq.nmethods = 1;
    same_rc(decide(), AIQ_D_TOKEN_MISSING, "a call under \"* identity\"");

    /* and may ask for one everywhere, without making a riddle of tools */

    make(&acme, NATIVE, &(change_t) { 0 });
    rq.methods = &everything;
    rq.nmethods = 1;
    same_rc(decide(), AIQ_OK, "a call under \"* intent\"");
    ok(visible("read"), "and its tool is shown");

    make(&acme, NATIVE, &(change_t) { .body = LIST });
    t_identity();
    ok(decide() == AIQ_OK && visible("other") && !visible("resources/read"),
       "a tool that cannot be called is not shown");

    /* a step could mean the tool or the method */

    make(&acme, NATIVE, &(change_t) { .tool = "resources/read" });
    t_identity();
    same_rc(decide(), AIQ_D_RPC_AMBIGUOUS, "a tool named like a method");

    /* the plan of this world has no such step */

    make(&acme, NATIVE, &(change_t) { .body = text(READ, "") });
    t_identity();
    same_rc(decide(), AIQ_D_STEP_NOT_PLANNED, "a method is planned by name");
}


static void
test_moved(void)
{
    aiq_decision_t  before;

    static const change_t  good;

    forget();

    ok(run(&acme, NATIVE, &good) == AIQ_OK && d.reserved, "permitted");

    before = d;
    rq.txn = must_begin(store, 0);

    aiq_decide_moved(&d, &before, &rq);

    ok(d.verdict == AIQ_VERDICT_PERMIT && d.reserved && d.step == before.step,
       "and elsewhere with the same rules");
    ok(uses() == 1 && shared.takes == 0, "its step is taken once");

    rq.mcp = S("db");
    aiq_decide_moved(&d, &before, &rq);
    same_rc(d.rc, AIQ_D_ENFORCEMENT_BYPASS, "not at another server");
    ok(d.verdict == AIQ_VERDICT_DENY && d.reserved && uses() == 1,
       "and the use is still there to be given back");

    rq.mcp = S("fs");
    rq.org = S("ajax");
    aiq_decide_moved(&d, &before, &rq);
    same_rc(d.rc, AIQ_D_ORG_NOT_ALLOWED, "not where another org is served");

    rq.org = S("");
    rq.params = AIQ_PARAMS_STRICT;
    aiq_decide_moved(&d, &before, &rq);
    ok(d.verdict == AIQ_VERDICT_PERMIT, "strict parameters: they are bound");

    rq.token.now = LATE + 60;
    aiq_decide_moved(&d, &before, &rq);
    same_rc(d.rc, AIQ_D_TOKEN_EXPIRED, "not with a token that has ended");

    aiq_store_abort(rq.txn);
}


/* the tools of a server, where they are known */

static void
test_listed(void)
{
    unsigned          i;
    aiq_mem_t         m;
    aiq_json_t        doc;
    aiq_tools_t       tools;
    aiq_store_txn_t  *txn;
    unsigned char     buf[4096];

    static const struct {
        const char  *text;
        aiq_rc_t     rc;
    } lists[] = {
        { "[\"b\",\"a\",\"ab\"]", AIQ_OK },
        { "{\"tools\":[{\"name\":\"a\"}]}", AIQ_OK },
        { "{\"result\":{\"tools\":[{\"name\":\"a\"}]}}", AIQ_OK },
        { "[]", AIQ_D_REQUEST_INVALID },
        { "{}", AIQ_D_REQUEST_INVALID },
        { "{\"result\":{},\"tools\":[\"a\"]}", AIQ_D_REQUEST_INVALID },
        { "\"a\"", AIQ_D_REQUEST_INVALID },
        { "[\"a\",1]", AIQ_D_REQUEST_INVALID },
        { "[\"a b\"]", AIQ_D_REQUEST_INVALID },
        { "[\"a\",\"b\",\"a\"]", AIQ_D_REQUEST_INVALID },
        { "[\"read\",\"list\"]", AIQ_OK }
    };

    for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        m.pos = buf;
        m.end = buf + sizeof(buf);

        must(aiq_json_parse(&doc, S(lists[i].text), AIQ_JSON_DEPTH, &m, &err),
             "list");

        same_rc(aiq_tools_read(&tools, &doc, &m, &err), lists[i].rc,
                "tools %s", lists[i].text);
    }

    ok(aiq_tools_has(&tools, S("read")) && !aiq_tools_has(&tools, S("rea"))
       && !aiq_tools_has(&tools, S("reads")), "names are whole");

    txn = must_begin(store, 1);
    must(aiq_tools_put(txn, S("acme"), S("fs"), &tools, &m, &err), "tools");
    must(aiq_store_commit(txn, &err), "commit");

    forget();

    ok(run(&acme, INVOKE, &(change_t) { 0 }) == AIQ_OK, "one of the tools");
    same_rc(run(&acme, NATIVE, &(change_t) {
                    .tool = "mail",
                    .args = "{\"user_email\":\"alice@example.com\"}" }),
            AIQ_D_TOOL_UNKNOWN, "planned, and none of them");

    drop(&acme, AIQ_STORE_TOOLS, S("fs"));
}


static void
test_told(void)
{
    aiq_decision_t  hidden;

    static const struct {
        aiq_rc_t  rc, told;
    } cases[] = {
        { AIQ_D_POLICY_DENY, AIQ_D_TOOL_UNKNOWN },
        { AIQ_D_POLICY_NOT_ALLOWED, AIQ_D_TOOL_UNKNOWN },
        { AIQ_D_POLICY_TOOL, AIQ_D_TOOL_UNKNOWN },
        { AIQ_D_POLICY_SOURCE, AIQ_D_TOOL_UNKNOWN },
        { AIQ_D_POLICY_TIME, AIQ_D_TOOL_UNKNOWN },
        { AIQ_D_TOOL_UNKNOWN, AIQ_D_TOOL_UNKNOWN },
        { AIQ_D_POLICY_HOLD, AIQ_D_POLICY_HOLD },
        { AIQ_D_STEP_USED, AIQ_D_STEP_USED },
        { AIQ_E_INTERNAL, AIQ_E_INTERNAL }
    };

    unsigned  i;

    memset(&hidden, 0, sizeof(hidden));

    hidden.mcp.cls = AIQ_MCP_CALL;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        hidden.rc = cases[i].rc;

        ok(aiq_decide_told(&hidden) == cases[i].told, "told of %s: %s",
           aiq_reason(cases[i].rc), aiq_reason(cases[i].told));
    }

    hidden.mcp.cls = AIQ_MCP_DISCOVERY;
    hidden.rc = AIQ_D_POLICY_DENY;

    ok(aiq_decide_told(&hidden) == AIQ_D_POLICY_DENY,
       "only a call is of a tool");
}


int
main(void)
{
    world_begin();

    rows_run(rows, sizeof(rows) / sizeof(rows[0]));

    test_sessions();
    test_visible();
    test_identity();
    test_methods();
    test_moved();
    test_listed();
    test_told();

    return world_end();
}
