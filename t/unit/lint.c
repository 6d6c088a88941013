
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Guards the catalogue of the lint: that every rule says why and what to write
 * instead, and that the judgements of headers take what nginx.conf can say.
 */


#include "lint.h"
#include "tap.h"


static aiq_lint_id_e header(const char *name, const char *value);
static void test_catalogue(void);
static void test_levels(void);
static void test_scopes(void);
static void test_reads(void);
static void test_framing(void);
static void test_credentials(void);
static void test_host(void);
static void test_write(void);


static aiq_lint_id_e
header(const char *name, const char *value)
{
    return aiq_lint_header(aiq_cstr(name), aiq_cstr(value));
}


static void
test_catalogue(void)
{
    unsigned                i, k, same;
    const aiq_lint_rule_t  *rule;

    for (i = 0; i < AIQ_LINT_N; i++) {
        rule = aiq_lint_rule(i);

        same = 0;

        for (k = 0; k < i; k++) {
            same += (strcmp(aiq_lint_rule(k)->name, rule->name) == 0);
        }

        ok(rule->name && rule->name[0] && same == 0
           && strspn(rule->name, "abcdefghijklmnopqrstuvwxyz-")
              == strlen(rule->name),
           "rule %u has a name of its own: %s", i, rule->name);

        ok(rule->row && (rule->row[0] == '\0' || rule->row[0] == 'B'),
           "%s: a row or none", rule->name);
        ok(rule->why && strlen(rule->why) > 10, "%s: why", rule->name);
        ok(rule->write && strlen(rule->write) > 3, "%s: what to write",
           rule->name);
    }

    ok(AIQ_LINT_N <= 64, "all rules fit into one word of bits");
}


static void
test_levels(void)
{
    ok(aiq_lint_level_of(AIQ_LINT_SATISFY, 0) == AIQ_LINT_ERROR,
       "what breaks the enforcement is an error");
    ok(aiq_lint_level_of(AIQ_LINT_SATISFY, 1) == AIQ_LINT_WARNING,
       "in a dry run it is a warning");
    ok(aiq_lint_level_of(AIQ_LINT_SYNTAX, 1) == AIQ_LINT_ERROR,
       "what cannot be read is an error in a dry run, too");
    ok(aiq_lint_level_of(AIQ_LINT_HOST, 1) == AIQ_LINT_WARNING
       && aiq_lint_level_of(AIQ_LINT_OFF, 1) == AIQ_LINT_NOTE,
       "warnings and notes stay what they are");

    ok(strcmp(aiq_lint_level(AIQ_LINT_ERROR), "error") == 0
       && strcmp(aiq_lint_level(AIQ_LINT_WARNING), "warning") == 0
       && strcmp(aiq_lint_level(AIQ_LINT_NOTE), "note") == 0,
       "names of levels");
}


static void
test_scopes(void)
{
    ok(aiq_lint_concerns(AIQ_LINT_SATISFY, 1, 0)
       && !aiq_lint_concerns(AIQ_LINT_SATISFY, 0, 1),
       "satisfy any concerns what is protected");
    ok(aiq_lint_concerns(AIQ_LINT_HOST, 1, 1)
       && !aiq_lint_concerns(AIQ_LINT_HOST, 1, 0)
       && !aiq_lint_concerns(AIQ_LINT_HOST, 0, 1),
       "Host concerns protected MCP servers");
    ok(aiq_lint_concerns(AIQ_LINT_BYPASS, 0, 0),
       "a way past the enforcement concerns what is not protected");
}


static void
test_reads(void)
{
    unsigned  i;

    static const struct {
        const char  *value;
        const char  *name;
        int          reads;
    } rows[] = {
        { "$http_authorization", "http_authorization", 1 },
        { "a${http_authorization}b", "http_authorization", 1 },
        { "Bearer $HTTP_Authorization!", "http_authorization", 1 },
        { "$http_authorization_x", "http_authorization", 0 },
        { "$http_authorizatio", "http_authorization", 0 },
        { "http_authorization", "http_authorization", 0 },
        { "$$http_authorization", "http_authorization", 1 },
        { "$x$http_authorization", "http_authorization", 1 },
        { "$", "http_authorization", 0 },
        { "${", "http_authorization", 0 },
        { "", "http_authorization", 0 },
        { "$http_x_armoriq_intent", "http_x_armoriq_*", 1 },
        { "$http_x_armoriq_", "http_x_armoriq_*", 1 },
        { "$http_x_armoriq", "http_x_armoriq_*", 0 },
        { "$http_x_other", "http_x_armoriq_*", 0 }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ok(aiq_lint_reads(aiq_cstr(rows[i].value), rows[i].name)
           == rows[i].reads,
           "\"%s\" %s $%s", rows[i].value,
           rows[i].reads ? "reads" : "does not read", rows[i].name);
    }
}


static void
test_framing(void)
{
    ok(header("Content-Length", "5") == AIQ_LINT_FRAMING
       && header("content-length", "$content_length") == AIQ_LINT_FRAMING
       && header("CONTENT-LENGTH", "") == AIQ_LINT_FRAMING,
       "Content-Length is nginx's, whatever the case and the value");
    ok(header("Content-Type", "") == AIQ_LINT_FRAMING
       && header("Content-Encoding", "gzip") == AIQ_LINT_FRAMING
       && header("Content-Anything", "x") == AIQ_LINT_FRAMING,
       "all of Content-*");
    ok(header("Content-Encoding", "") == AIQ_LINT_N,
       "what takes an encoding away is no fault");
    ok(header("Transfer-Encoding", "chunked") == AIQ_LINT_FRAMING
       && header("te", "trailers") == AIQ_LINT_FRAMING
       && header("Transfer-Encoding", "") == AIQ_LINT_N,
       "Transfer-Encoding and TE, unless empty");
    ok(header("Contents", "x") == AIQ_LINT_N
       && header("X-Content-Length", "5") == AIQ_LINT_N
       && header("Content", "5") == AIQ_LINT_N,
       "headers that only look like it");
    ok(header("x-http-method-override", "PUT") == AIQ_LINT_OVERRIDE
       && header("X-HTTP-Method-Override", "") == AIQ_LINT_N,
       "X-HTTP-Method-Override");
    ok(header("Upgrade", "$http_upgrade") == AIQ_LINT_UPGRADE
       && header("Upgrade", "") == AIQ_LINT_N
       && header("X-Upgrade", "1") == AIQ_LINT_N, "Upgrade");
}


static void
test_credentials(void)
{
    ok(header("Authorization", "$http_authorization")
       == AIQ_LINT_PASSTHROUGH, "Authorization of the client");
    ok(header("X-Anything", "k=${http_x_api_key}") == AIQ_LINT_PASSTHROUGH,
       "a key under another name");
    ok(header("Authorization", "Bearer s3cret-of-the-server") == AIQ_LINT_N
       && header("Authorization", "") == AIQ_LINT_N
       && header("Authorization", "$connector_token") == AIQ_LINT_N,
       "a credential of the server's own");
    ok(header("X-ArmorIQ-Org", "$armoriq_org") == AIQ_LINT_N
       && header("X-ArmorIQ-Org", "acme") == AIQ_LINT_N,
       "what the gateway knows may be passed on");
    ok(header("X-ArmorIQ-Org", "$http_x_org") == AIQ_LINT_PASSTHROUGH
       && header("x-armoriq-org", "$arg_org") == AIQ_LINT_PASSTHROUGH
       && header("X-ArmorIQ-User", "$cookie_user") == AIQ_LINT_PASSTHROUGH
       && header("X-ArmorIQ-User", "$args") == AIQ_LINT_PASSTHROUGH,
       "what the client claims may not");
    ok(header("X-Request-Id", "$http_x_request_id") == AIQ_LINT_N
       && header("Host", "$http_host") == AIQ_LINT_N,
       "other headers of the client may");
}


static void
test_host(void)
{
    ok(aiq_lint_host(aiq_cstr("$http_host"))
       && aiq_lint_host(aiq_cstr("$host"))
       && aiq_lint_host(aiq_cstr("mcp.example.com")),
       "a host that somebody has asked for, or a known one");
    ok(!aiq_lint_host(aiq_cstr("$proxy_host"))
       && !aiq_lint_host(aiq_cstr("${proxy_host}:80"))
       && !aiq_lint_host(aiq_cstr("")),
       "the name of the upstream, or none");
}


static void
test_write(void)
{
    char       buf[512];
    aiq_out_t  out;

    aiq_out_init(&out, buf, sizeof(buf) - 1);
    aiq_lint_write(&out, AIQ_LINT_SATISFY, aiq_cstr(""),
                   aiq_cstr("location \"/mcp\""));
    *out.pos = '\0';

    ok(strcmp(buf, "\"satisfy any\" in location \"/mcp\": an address or a"
                   " password must not stand in for a permit; write"
                   " \"satisfy all;\" [satisfy-any, B7]") == 0,
       "a message");

    aiq_out_init(&out, buf, sizeof(buf) - 1);
    aiq_lint_write(&out, AIQ_LINT_HOST, aiq_cstr("x"), aiq_cstr(""));
    *out.pos = '\0';

    ok(strncmp(buf, "\"x\": ", 5) == 0 && strstr(buf, " [host]"),
       "without a place, without a row");

    aiq_out_init(&out, buf, 8);
    aiq_lint_write(&out, AIQ_LINT_HOST, aiq_cstr("x"), aiq_cstr(""));

    ok(out.failed && out.pos <= out.end, "no room: not written past the end");
}


int
main(void)
{
    test_catalogue();
    test_levels();
    test_scopes();
    test_reads();
    test_framing();
    test_credentials();
    test_host();
    test_write();

    return done_testing();
}
