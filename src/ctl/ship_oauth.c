
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl audit ship: tokens by client credentials, RFC 6749 4.4.
 */


#include <stdlib.h>
#include <string.h>

#include "ship.h"


#define AIQ_SHIP_GRANT_MAX   (4 * AIQ_SHIP_SECRET_MAX)
#define AIQ_SHIP_GRANT_REPLY (32 * 1024)
#define AIQ_SHIP_EXPIRES     300          /* seconds, if nobody says */
#define AIQ_SHIP_EARLY       300          /* before it expires, at most */
#define AIQ_SHIP_DAY         86400


static aiq_ship_rc_e aiq_ship_oauth_fetch(aiq_ship_sink_t *s,
    aiq_ship_answer_t *answer);
static int aiq_ship_oauth_body(aiq_ship_sink_t *s, aiq_out_t *out);
static void aiq_ship_oauth_encode(aiq_out_t *out, const char *s);
static aiq_ship_rc_e aiq_ship_oauth_token(aiq_ship_sink_t *s,
    const aiq_json_t *doc, aiq_mem_t *mem, aiq_ship_answer_t *answer);
static void aiq_ship_oauth_error(aiq_ship_sink_t *s, const aiq_json_t *doc,
    aiq_mem_t *mem, aiq_ship_answer_t *answer);


aiq_ship_rc_e
aiq_ship_oauth(aiq_ship_sink_t *s, aiq_ship_answer_t *answer)
{
    if (s->access && aiq_ship_clock() < s->expires) {
        return AIQ_SHIP_OK;
    }

    aiq_ship_oauth_drop(s);

    return aiq_ship_oauth_fetch(s, answer);
}


void
aiq_ship_oauth_drop(aiq_ship_sink_t *s)
{
    if (s->access) {
        aiq_wipe(s->access, strlen(s->access));
        free(s->access);
        s->access = NULL;
    }
}


static aiq_ship_rc_e
aiq_ship_oauth_fetch(aiq_ship_sink_t *s, aiq_ship_answer_t *answer)
{
    char               body[AIQ_SHIP_GRANT_MAX];
    char               data[AIQ_SHIP_GRANT_REPLY];
    aiq_out_t          out;
    aiq_mem_t          mem;
    aiq_str_t          text;
    aiq_json_t         doc;
    aiq_ship_rc_e      rc;
    aiq_ship_body_t    reply;

    aiq_out_init(&out, body, sizeof(body));

    if (aiq_ship_oauth_body(s, &out) != 0) {
        aiq_wipe(body, sizeof(body));
        aiq_ship_http_text(s, answer, "the client secret is too long",
                           aiq_cstr(""));
        return AIQ_SHIP_CONFIG;
    }

    reply.data = data;
    reply.size = sizeof(data);

    /* libcurl names the type of a form by itself */

    rc = aiq_ship_http_post(s, s->conf->token_url, NULL, aiq_out_done(&out),
                            &reply, answer);

    aiq_wipe(body, sizeof(body));

    text.data = (unsigned char *) data;
    text.len = reply.len;

    mem.pos = s->mem;
    mem.end = s->mem + AIQ_SHIP_MEM;

    if (aiq_json_parse(&doc, text, AIQ_JSON_DEPTH, &mem, NULL) != AIQ_OK) {
        doc.n = 0;
    }

    if (rc == AIQ_SHIP_OK) {
        rc = aiq_ship_oauth_token(s, &doc, &mem, answer);

    } else if (answer->status) {

        /* 400 says that the client is not known, and nothing of records */

        rc = (rc == AIQ_SHIP_REFUSED) ? AIQ_SHIP_CONFIG : rc;
        aiq_ship_oauth_error(s, &doc, &mem, answer);
    }

    answer->status = 0;

    aiq_wipe(data, sizeof(data));
    aiq_wipe(s->mem, (size_t) (mem.pos - s->mem));

    return rc;
}


static int
aiq_ship_oauth_body(aiq_ship_sink_t *s, aiq_out_t *out)
{
    aiq_out_str(out, "grant_type=client_credentials&client_id=");
    aiq_ship_oauth_encode(out, s->conf->client_id);
    aiq_out_str(out, "&client_secret=");
    aiq_ship_oauth_encode(out, s->conf->client_secret.data);
    aiq_out_str(out, "&scope=");
    aiq_ship_oauth_encode(out, s->conf->scope);

    return out->failed ? -1 : 0;
}


static void
aiq_ship_oauth_encode(aiq_out_t *out, const char *s)
{
    static const char  plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789-._~";
    static const char  hex[] = "0123456789ABCDEF";

    for ( /* void */ ; *s; s++) {

        if (strchr(plain, *s)) {
            aiq_out_char(out, *s);

        } else {
            aiq_out_char(out, '%');
            aiq_out_char(out, hex[(unsigned char) *s >> 4]);
            aiq_out_char(out, hex[(unsigned char) *s & 15]);
        }
    }
}


static aiq_ship_rc_e
aiq_ship_oauth_token(aiq_ship_sink_t *s, const aiq_json_t *doc,
    aiq_mem_t *mem, aiq_ship_answer_t *answer)
{
    size_t      i;
    int64_t     life, early;
    aiq_str_t   token;

    /* the answer holds a token: nothing of it is ever shown */

    aiq_ship_http_text(s, answer, "the token endpoint answered without a"
                       " usable token", aiq_cstr(""));

    if (doc->n == 0
        || aiq_json_string(doc, aiq_json_get(doc, 0, "access_token"), mem,
                           &token)
           != AIQ_OK
        || token.len == 0 || token.len > AIQ_SHIP_TOKEN_MAX)
    {
        return AIQ_SHIP_RETRY;
    }

    for (i = 0; i < token.len; i++) {

        if (token.data[i] <= 0x20 || token.data[i] >= 0x7f) {
            return AIQ_SHIP_RETRY;
        }
    }

    if (aiq_json_int(doc, aiq_json_get(doc, 0, "expires_in"), &life)
           != AIQ_OK
        || life < 1)
    {
        life = AIQ_SHIP_EXPIRES;
    }

    life = (life > AIQ_SHIP_DAY) ? AIQ_SHIP_DAY : life;
    early = (life / 5 < AIQ_SHIP_EARLY) ? life / 5 + 1 : AIQ_SHIP_EARLY;

    s->access = malloc(token.len + 1);
    if (s->access == NULL) {
        return AIQ_SHIP_RETRY;
    }

    memcpy(s->access, token.data, token.len);
    s->access[token.len] = '\0';
    s->expires = aiq_ship_clock() + (life - early) * 1000;

    answer->text[0] = '\0';

    return AIQ_SHIP_OK;
}


/* the code of RFC 6749 5.2, if it is one: sentences may repeat anything */

static void
aiq_ship_oauth_error(aiq_ship_sink_t *s, const aiq_json_t *doc,
    aiq_mem_t *mem, aiq_ship_answer_t *answer)
{
    char       what[64];
    size_t     i;
    aiq_str_t  code;

    (void) snprintf(what, sizeof(what), "the token endpoint answered with"
                    " HTTP %ld", answer->status);

    if (doc->n == 0
        || aiq_json_string(doc, aiq_json_get(doc, 0, "error"), mem, &code)
           != AIQ_OK)
    {
        aiq_str_null(&code);
    }

    for (i = 0; i < code.len; i++) {

        if ((code.data[i] < 'a' || code.data[i] > 'z')
            && code.data[i] != '_')
        {
            aiq_str_null(&code);
        }
    }

    aiq_ship_http_text(s, answer, what, code);
}
