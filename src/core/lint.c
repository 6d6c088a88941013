
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The catalogue of the lint.  No rule is the wall itself: what it refuses
 * would be refused at run time as well, call by call, or be a hole that no
 * request shows.
 */


#include <string.h>
#include <strings.h>

#include "lint.h"


static int aiq_lint_begins(aiq_str_t s, const char *prefix);
static unsigned char aiq_lint_lower(unsigned char c);


static const aiq_lint_rule_t  aiq_lint_rules[AIQ_LINT_N] = {

    /* what breaks the enforcement */

    [AIQ_LINT_SATISFY] = {
        "satisfy-any", "B7", AIQ_LINT_ERROR, AIQ_LINT_PROTECTED,
        "satisfy any",
        "an address or a password must not stand in for a permit",
        "\"satisfy all;\"" },

    [AIQ_LINT_SET_BODY] = {
        "set-body", "B45", AIQ_LINT_ERROR, AIQ_LINT_PROTECTED,
        "proxy_set_body",
        "another body than the one that was judged would be sent",
        "no \"proxy_set_body\" here" },

    [AIQ_LINT_METHOD] = {
        "method", "B45", AIQ_LINT_ERROR, AIQ_LINT_PROTECTED,
        "proxy_method",
        "another method than the one that was judged would be sent",
        "no \"proxy_method\" here" },

    [AIQ_LINT_PASS_BODY] = {
        "pass-body", "B45", AIQ_LINT_ERROR, AIQ_LINT_PROTECTED,
        "proxy_pass_request_body off",
        "the body that was judged would not be sent",
        "\"proxy_pass_request_body on;\"" },

    [AIQ_LINT_FRAMING] = {
        "header-framing", "B45", AIQ_LINT_ERROR, AIQ_LINT_PROTECTED,
        NULL,
        "the server would read the judged bytes in another way than the"
        " module has",
        "no such \"proxy_set_header\"; nginx sets it by itself" },

    [AIQ_LINT_OVERRIDE] = {
        "header-method", "B42", AIQ_LINT_ERROR, AIQ_LINT_PROTECTED,
        NULL,
        "the server would take the request for another one than was judged",
        "no such \"proxy_set_header\"" },

    [AIQ_LINT_PASSTHROUGH] = {
        "header-credential", "B50", AIQ_LINT_ERROR, AIQ_LINT_PROTECTED,
        NULL,
        "a credential or a claim of the client, meant for this gateway, would"
        " reach the server",
        "a credential of the server's own or \"\", and $armoriq_org,"
        " $armoriq_user or $armoriq_agent for who has called" },

    [AIQ_LINT_CACHE] = {
        "cache", "B46", AIQ_LINT_ERROR, AIQ_LINT_PROTECTED,
        "proxy_cache",
        "the answer to one caller would be given to others, and background"
        " updates have no permit",
        "\"proxy_cache off;\"" },

    [AIQ_LINT_STORE] = {
        "store", "B46", AIQ_LINT_ERROR, AIQ_LINT_PROTECTED,
        "proxy_store",
        "answers to one caller would be left in files for others",
        "\"proxy_store off;\"" },

    [AIQ_LINT_SLICE] = {
        "slice", "B6", AIQ_LINT_ERROR, AIQ_LINT_PROTECTED,
        "slice",
        "one call would become several requests, and one permit is good for"
        " one",
        "\"slice 0;\"" },

    [AIQ_LINT_RETRY] = {
        "next-upstream", "B56", AIQ_LINT_ERROR, AIQ_LINT_PROTECTED,
        "proxy_next_upstream non_idempotent",
        "a tool call that has failed half way would be made again",
        "\"proxy_next_upstream error timeout;\" without non_idempotent" },

    [AIQ_LINT_MIRROR] = {
        "mirror", "B5", AIQ_LINT_ERROR, AIQ_LINT_PROTECTED,
        "mirror",
        "a copy of the call would go out before it is judged, or be a second"
        " one",
        "\"mirror off;\"" },

    [AIQ_LINT_POST_ACTION] = {
        "post-action", "B16", AIQ_LINT_ERROR, AIQ_LINT_PROTECTED,
        "post_action",
        "the call would be sent on once more when it has been answered",
        "no \"post_action\" here" },


    /* what leaves a road open, or judges less than it seems */

    [AIQ_LINT_BYPASS] = {
        "bypass", "B17", AIQ_LINT_WARNING, AIQ_LINT_ANYWHERE,
        NULL,
        "without \"armoriq on\" it leads to a server that a protected"
        " location leads to as well",
        "\"armoriq_guard;\" in upstream{} of that server, and \"armoriq on;\""
        " here" },

    [AIQ_LINT_UNGUARDED] = {
        "unguarded", "B17", AIQ_LINT_WARNING, AIQ_LINT_PROTECTED,
        NULL,
        "any other location could lead there without a permit",
        "upstream{} with \"armoriq_guard;\" for this server" },

    [AIQ_LINT_DYNAMIC] = {
        "dynamic", "B21", AIQ_LINT_WARNING, AIQ_LINT_PROTECTED,
        NULL,
        "where it leads is known only at run time",
        "\"proxy_pass http://NAME;\" and upstream NAME{} with"
        " \"armoriq_guard;\"" },

    [AIQ_LINT_OPEN] = {
        "open", "B64", AIQ_LINT_WARNING, AIQ_LINT_ANYWHERE,
        NULL,
        "it passes requests on without a judgement, in a server that has"
        " protected locations, and nobody has said that it should",
        "\"armoriq on;\" in server{}, and \"armoriq off;\" here if that is"
        " meant" },

    [AIQ_LINT_OFF] = {
        "off", "B64", AIQ_LINT_NOTE, AIQ_LINT_ANYWHERE,
        "armoriq off",
        "what comes here is not judged",
        "\"armoriq on;\" unless that is meant" },

    [AIQ_LINT_MCP_OFF] = {
        "mcp-off", "B64", AIQ_LINT_WARNING, AIQ_LINT_ANYWHERE,
        "armoriq_mcp",
        "calls that come to this location are not judged",
        "\"armoriq on;\" beside it" },

    [AIQ_LINT_INVOKE_OFF] = {
        "invoke-off", "B64", AIQ_LINT_WARNING, AIQ_LINT_ANYWHERE,
        "armoriq_invoke on",
        "what is not judged cannot be permitted, so every call is refused",
        "\"armoriq on;\" beside it" },

    [AIQ_LINT_IDENTITY] = {
        "method-identity", "B36", AIQ_LINT_WARNING, AIQ_LINT_PROTECTED,
        "armoriq_method tools/call identity",
        "tools can be called without a plan: an API key is enough",
        "\"armoriq_method tools/call intent;\"" },

    [AIQ_LINT_RETURN] = {
        "return", "", AIQ_LINT_WARNING, AIQ_LINT_PROTECTED,
        "return",
        "it answers before anything is judged or recorded",
        "\"armoriq off;\" here, or no \"return\"" },

    [AIQ_LINT_STREAM] = {
        "stream", "B17", AIQ_LINT_WARNING, AIQ_LINT_ANYWHERE,
        NULL,
        "stream{} leads to an address of a guarded upstream, and no guard"
        " sees it",
        "an address of its own for it, or the server on a unix socket" },


    /* what changes requests and answers on their way */

    [AIQ_LINT_SSI] = {
        "ssi", "B1", AIQ_LINT_WARNING, AIQ_LINT_PROTECTED,
        "ssi on",
        "an answer of the server could make nginx send requests",
        "\"ssi off;\"" },

    [AIQ_LINT_ADDITION] = {
        "addition", "B3", AIQ_LINT_WARNING, AIQ_LINT_PROTECTED,
        NULL,
        "text around a JSON-RPC answer breaks it, and its request has no"
        " permit",
        "\"add_before_body \"\"; add_after_body \"\";\"" },

    [AIQ_LINT_BODY_FILTER] = {
        "body-filter", "", AIQ_LINT_WARNING, AIQ_LINT_PROTECTED,
        NULL,
        "it changes answers after they were checked and recorded",
        "no such filter here" },

    [AIQ_LINT_UPGRADE] = {
        "upgrade", "B43", AIQ_LINT_WARNING, AIQ_LINT_PROTECTED,
        NULL,
        "what follows an upgrade is not judged; such requests are refused",
        "no \"proxy_set_header Upgrade\"" },

    [AIQ_LINT_UNDERSCORES] = {
        "underscores", "B49", AIQ_LINT_WARNING, AIQ_LINT_PROTECTED,
        "underscores_in_headers on",
        "a server that reads headers as variables takes Mcp_Session_Id for"
        " Mcp-Session-Id, and only the latter was judged",
        "\"underscores_in_headers off;\"" },

    [AIQ_LINT_INVALID_HEADERS] = {
        "invalid-headers", "B49", AIQ_LINT_WARNING, AIQ_LINT_PROTECTED,
        "ignore_invalid_headers off",
        "headers that servers read in different ways reach the server",
        "\"ignore_invalid_headers on;\"" },

    [AIQ_LINT_MERGE_SLASHES] = {
        "merge-slashes", "B20", AIQ_LINT_WARNING, AIQ_LINT_PROTECTED,
        "merge_slashes off",
        "\"//mcp\" is another location here and the same one to the server",
        "\"merge_slashes on;\"" },

    [AIQ_LINT_EARLY_DATA] = {
        "early-data", "B54", AIQ_LINT_WARNING, AIQ_LINT_PROTECTED,
        "ssl_early_data on",
        "what is sent as early data can be sent again by somebody else",
        "\"ssl_early_data off;\"" },


    /* what breaks MCP */

    [AIQ_LINT_HOST] = {
        "host", "", AIQ_LINT_WARNING, AIQ_LINT_SERVER,
        NULL,
        "the MCP server sees the name of the upstream as Host, so its check"
        " against DNS rebinding fails or is worth nothing",
        "\"proxy_set_header Host $http_host;\"" },

    [AIQ_LINT_READ_TIMEOUT] = {
        "read-timeout", "", AIQ_LINT_WARNING, AIQ_LINT_SERVER,
        NULL,
        "an event stream that is silent for so long is cut",
        "\"proxy_read_timeout 300s;\"" },

    [AIQ_LINT_KEEPALIVE] = {
        "keepalive", "", AIQ_LINT_WARNING, AIQ_LINT_SERVER,
        "keepalive",
        "before nginx 1.29.7, connections to the server are kept only with"
        " HTTP/1.1 and without \"Connection: close\"",
        "\"proxy_http_version 1.1;\" and \"proxy_set_header Connection"
        " \"\";\" in the location" },

    [AIQ_LINT_PASS_HEADERS] = {
        "pass-headers", "", AIQ_LINT_WARNING, AIQ_LINT_SERVER,
        "proxy_pass_request_headers off",
        "the server gets no Accept, Mcp-Session-Id and MCP-Protocol-Version",
        "\"proxy_pass_request_headers on;\"" },


    /* what cannot be read */

    [AIQ_LINT_SYNTAX] = {
        "syntax", "", AIQ_LINT_ERROR, AIQ_LINT_ANYWHERE,
        NULL,
        "nginx would not read this",
        "what \"nginx -t\" accepts" },

    [AIQ_LINT_INCLUDE] = {
        "include", "", AIQ_LINT_ERROR, AIQ_LINT_ANYWHERE,
        NULL,
        "the file cannot be read, so what stands in it was not looked at",
        "a name that can be read, or lint what \"nginx -T\" prints" }
};


const aiq_lint_rule_t *
aiq_lint_rule(aiq_lint_id_e id)
{
    return &aiq_lint_rules[id];
}


const char *
aiq_lint_level(aiq_lint_level_e level)
{
    static const char *const  names[] = { "note", "warning", "error" };

    return names[level];
}


int
aiq_lint_concerns(aiq_lint_id_e id, int on, int mcp)
{
    switch (aiq_lint_rules[id].scope) {

    case AIQ_LINT_PROTECTED:
        return on;

    case AIQ_LINT_SERVER:
        return on && mcp;

    default:
        return 1;
    }
}


aiq_lint_level_e
aiq_lint_level_of(aiq_lint_id_e id, int dry_run)
{
    const aiq_lint_rule_t  *rule;

    rule = &aiq_lint_rules[id];

    if (dry_run && rule->level == AIQ_LINT_ERROR
        && rule->scope == AIQ_LINT_PROTECTED)
    {
        return AIQ_LINT_WARNING;
    }

    return rule->level;
}


aiq_lint_id_e
aiq_lint_header(aiq_str_t name, aiq_str_t value)
{
    unsigned  i;

    /* a header with an empty value is not sent at all */

    static const char *const  framing[] = {
        "Transfer-Encoding", "TE", "Trailer", "Expect"
    };

    static const char *const  override[] = {
        "X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"
    };

    static const char *const  credentials[] = {
        "http_authorization", "http_proxy_authorization", "http_x_api_key",
        "http_x_armoriq_*", "http_x_csrg_*"
    };

    static const char *const  claims[] = {
        "http_*", "arg_*", "args", "query_string", "cookie_*", "request_body"
    };

    if (aiq_lint_begins(name, "content-")) {

        /* an empty Content-Length is a body without an end */

        return (value.len == 0 && !aiq_lint_same(name, "Content-Length")
                && !aiq_lint_same(name, "Content-Type"))
               ? AIQ_LINT_N : AIQ_LINT_FRAMING;
    }

    if (value.len == 0) {
        return AIQ_LINT_N;
    }

    for (i = 0; i < sizeof(framing) / sizeof(framing[0]); i++) {
        if (aiq_lint_same(name, framing[i])) {
            return AIQ_LINT_FRAMING;
        }
    }

    for (i = 0; i < sizeof(override) / sizeof(override[0]); i++) {
        if (aiq_lint_same(name, override[i])) {
            return AIQ_LINT_OVERRIDE;
        }
    }

    for (i = 0; i < sizeof(credentials) / sizeof(credentials[0]); i++) {
        if (aiq_lint_reads(value, credentials[i])) {
            return AIQ_LINT_PASSTHROUGH;
        }
    }

    if (aiq_lint_begins(name, "x-armoriq-")) {

        for (i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
            if (aiq_lint_reads(value, claims[i])) {
                return AIQ_LINT_PASSTHROUGH;
            }
        }
    }

    if (aiq_lint_same(name, "Upgrade")) {
        return AIQ_LINT_UPGRADE;
    }

    return AIQ_LINT_N;
}


int
aiq_lint_host(aiq_str_t value)
{
    return value.len && !aiq_lint_reads(value, "proxy_host");
}


int
aiq_lint_reads(aiq_str_t value, const char *name)
{
    int                   any;
    size_t                i, k, len, n;
    const unsigned char  *p;

    p = value.data;

    len = strlen(name);
    any = (len && name[len - 1] == '*');
    len -= (size_t) any;

    for (i = 0; i < value.len; i++) {

        if (p[i] != '$') {
            continue;
        }

        k = i + 1;

        if (k < value.len && p[k] == '{') {
            k++;
        }

        for (n = 0; k + n < value.len; n++) {

            if (!((p[k + n] >= 'a' && p[k + n] <= 'z')
                  || (p[k + n] >= 'A' && p[k + n] <= 'Z')
                  || (p[k + n] >= '0' && p[k + n] <= '9')
                  || p[k + n] == '_'))
            {
                break;
            }
        }

        /* $http_X_Api_Key is $http_x_api_key */

        if ((any ? n >= len : n == len)
            && strncasecmp((const char *) p + k, name, len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


int
aiq_lint_same(aiq_str_t s, const char *name)
{
    return s.len == strlen(name) && aiq_lint_begins(s, name);
}


static int
aiq_lint_begins(aiq_str_t s, const char *prefix)
{
    size_t  i;

    for (i = 0; prefix[i]; i++) {

        if (i == s.len
            || aiq_lint_lower(s.data[i])
               != aiq_lint_lower((unsigned char) prefix[i]))
        {
            return 0;
        }
    }

    return 1;
}


static unsigned char
aiq_lint_lower(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') ? (unsigned char) (c | 0x20) : c;
}


void
aiq_lint_write(aiq_out_t *out, aiq_lint_id_e id, aiq_str_t text,
    aiq_str_t place)
{
    const aiq_lint_rule_t  *rule;

    rule = &aiq_lint_rules[id];

    if (text.len == 0 && rule->what) {
        text = aiq_cstr(rule->what);
    }

    aiq_out_str(out, "\"");
    aiq_out_mem(out, text.data, text.len);
    aiq_out_str(out, "\"");

    if (place.len) {
        aiq_out_str(out, " in ");
        aiq_out_mem(out, place.data, place.len);
    }

    aiq_out_str(out, ": ");
    aiq_out_str(out, rule->why);
    aiq_out_str(out, "; write ");
    aiq_out_str(out, rule->write);
    aiq_out_str(out, " [");
    aiq_out_str(out, rule->name);

    if (rule->row[0]) {
        aiq_out_str(out, ", ");
        aiq_out_str(out, rule->row);
    }

    aiq_out_str(out, "]");
}
