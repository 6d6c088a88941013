
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl token: issuing by aiq_issue(), verifying by the same parts that
 * the decision is made of.
 */


#include <string.h>

#include "b64.h"
#include "ctl.h"
#include "issue.h"
#include "tzfile.h"


/* an answer of the API carries the token and more */

#define AIQ_CTL_TOKEN_FILE  ((size_t) 4 << 20)
#define AIQ_CTL_SKEW        30


typedef struct {
    aiq_str_t             text;
    aiq_json_t            doc;          /* IAP */
    uint32_t              object;       /* of the token in doc */
    aiq_token_form_e      form;
} aiq_ctl_presented_t;


static int aiq_ctl_token_issue(aiq_ctl_t *ctl);
static int aiq_ctl_token_request(aiq_ctl_t *ctl, aiq_issue_t *in,
    aiq_json_t *doc);
static int aiq_ctl_token_policy(aiq_ctl_t *ctl, aiq_issue_t *in,
    aiq_json_t *doc, const char *file);
static int aiq_ctl_token_key(aiq_ctl_t *ctl, aiq_issue_t *in);
static int aiq_ctl_token_issued(aiq_ctl_t *ctl,
    const aiq_issued_pair_t *out);
static int aiq_ctl_token_read(aiq_ctl_t *ctl, aiq_ctl_presented_t *p);
static int aiq_ctl_token_inspect(aiq_ctl_t *ctl);
static int aiq_ctl_token_parts(aiq_ctl_t *ctl, aiq_str_t text,
    aiq_str_t *header, aiq_str_t *claims);
static int aiq_ctl_token_decode(aiq_ctl_t *ctl, const char *what,
    aiq_str_t part, aiq_str_t *text);
static int aiq_ctl_token_verify(aiq_ctl_t *ctl);
static aiq_rc_t aiq_ctl_token_judge(aiq_ctl_t *ctl, aiq_token_t *t,
    const aiq_ctl_presented_t *p, const aiq_token_rules_t *rules);
static int aiq_ctl_token_valid(aiq_ctl_t *ctl, const aiq_token_t *t);
static int aiq_ctl_token_revoke(aiq_ctl_t *ctl);


static const aiq_ctl_opt_t  aiq_ctl_token_issue_opts[] = {

    { "org", "ORG", "the org", 1, 0 },
    { "user", "U", "on whose behalf", 1, 0 },
    { "agent", "A", "who may use it", 1, 0 },
    { "plan", "FILE|-", "the plan", 1, 0 },
    { "policy", "FILE|-", "narrower rules for this token", 0, 0 },
    { "expires", "SECONDS", "is good for so long; default: 60", 0, 0 },
    { "key", "ID", "only together with this API key (key_...)", 0, 0 },
    { "format", "FORM", "jws (default), iap or both", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


static const aiq_ctl_opt_t  aiq_ctl_token_verify_opts[] = {

    { "org", "ORG", "the org whose keys are trusted", 1, 0 },
    { "issuer", "NAME", "expected iss, default " AIQ_TOKEN_ISSUER, 0, 0 },
    { "audience", "NAME", "expected aud, default " AIQ_TOKEN_AUDIENCE, 0, 0 },
    { "skew", "SECONDS", "between the clocks, 0 to 60; default: 30", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


static const aiq_ctl_opt_t  aiq_ctl_token_revoke_opts[] = {

    { "org", "ORG", "the org", 1, 0 },
    { "force", NULL, "even if the store did not issue it", 0, 0 },

    { NULL, NULL, NULL, 0, 0 }
};


const aiq_ctl_cmd_t  aiq_ctl_token_cmds[] = {

    { "issue", "", 0, 0, aiq_ctl_token_issue_opts, aiq_ctl_token_issue,
      "sign an intent token for a plan",
      "Checks the plan, the servers of its steps and the policies of the org,"
      " signs a token and keeps the plan in the store. The token goes to"
      " standard output, what is said about it to standard error. Both forms"
      " have the same jti: revoking it revokes both.",
      "    armoriqctl token issue --org acme --user alice --agent sysadmin \\\n"
      "        --plan plan.json --expires 300 > token.jws\n",
      NULL },

    { "inspect", "FILE|-", 1, 1, NULL, aiq_ctl_token_inspect,
      "show what a token says, without trust",
      "Decodes a JWS or an IAP object and prints it. Nothing is verified: use"
      " it to find out what somebody sent, never to decide. No store is"
      " needed.",
      "    armoriqctl token inspect token.jws\n",
      NULL },

    { "verify", "FILE|-", 1, 1, aiq_ctl_token_verify_opts,
      aiq_ctl_token_verify,
      "verify a token as nginx would",
      "Signature by an active issuer key of the org, issuer, audience, times,"
      " revocation, user and agent. If it is not valid the reason code is the"
      " one in the audit log.",
      "    armoriqctl token verify --org acme - < token.jws\n",
      NULL },

    { "revoke", "JTI", 1, 1, aiq_ctl_token_revoke_opts, aiq_ctl_token_revoke,
      "refuse a token from now on",
      "JTI is the name of the token, as in the audit log, and no secret.",
      "    armoriqctl token revoke --org acme"
      " 5f0c4e8a2b7d4c1e9a3f6b8d0e2c4a68\n",
      NULL },

    { "usage", "", 0, 0, aiq_ctl_token_usage_opts, aiq_ctl_token_usage,
      "show what tokens were used for",
      "One line a token that is in the audit log: steps that were used and"
      " planned, calls that were permitted, and denied and why, the first and"
      " the last call, and until when it is good. With --jti also a token that"
      " was never used.",
      "    armoriqctl token usage --org acme --since 7d\n",
      NULL },

    { NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }
};


static int
aiq_ctl_token_issue(aiq_ctl_t *ctl)
{
    int                 code;
    aiq_rc_t            rc;
    aiq_json_t          doc;
    aiq_issue_t         in;
    const char         *form;
    aiq_issued_pair_t   out;

    form = aiq_ctl_opt(ctl, "format");

    if (form && strcmp(form, "jws") != 0 && strcmp(form, "iap") != 0
        && strcmp(form, "both") != 0)
    {
        return aiq_ctl_usage(ctl, "--format is jws, iap or both");
    }

    memset(&in, 0, sizeof(aiq_issue_t));

    code = aiq_ctl_token_request(ctl, &in, &doc);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_token_key(ctl, &in);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    in.store = ctl->store;

    rc = aiq_issue(&out, &in, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "no token");
    }

    return aiq_ctl_token_issued(ctl, &out);
}


static int
aiq_ctl_token_request(aiq_ctl_t *ctl, aiq_issue_t *in, aiq_json_t *doc)
{
    int          code;
    const char  *policy;

    code = aiq_ctl_org_name(ctl, aiq_ctl_opt(ctl, "org"), &in->org);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_name(ctl, "user", aiq_ctl_opt(ctl, "user"),
                            &in->user);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_name(ctl, "agent", aiq_ctl_opt(ctl, "agent"),
                            &in->agent);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_opt_int(ctl, "expires", 1, AIQ_ISSUE_LIFETIME_MAX, 0,
                               &in->lifetime);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_read_json(ctl, aiq_ctl_opt(ctl, "plan"),
                                 AIQ_CTL_DOC_MAX, 0, doc);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    in->doc = doc;
    in->plan = 0;
    in->policy = AIQ_JSON_NONE;
    in->now = ctl->now;
    in->tz = aiq_tzfile_load;
    in->crypto = ctl->crypto;
    in->mem = &ctl->mem;

    policy = aiq_ctl_opt(ctl, "policy");

    if (policy) {
        return aiq_ctl_token_policy(ctl, in, doc, policy);
    }

    return AIQ_CTL_OK;
}


/* plan and policy become members of one document */

static int
aiq_ctl_token_policy(aiq_ctl_t *ctl, aiq_issue_t *in, aiq_json_t *doc,
    const char *file)
{
    int            code;
    void          *p;
    size_t         size;
    aiq_rc_t       rc;
    aiq_out_t      out;
    aiq_json_t     policy;
    aiq_policy_t  *compiled;

    code = aiq_ctl_read_json(ctl, file, AIQ_CTL_POLICY_MAX, 0, &policy);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_policy_compile(&compiled, &policy, 0, 0, aiq_tzfile_load, NULL,
                            &ctl->mem, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, file);
    }

    size = doc->text.len + policy.text.len + 32;

    p = aiq_mem_alloc(&ctl->mem, size);

    if (p == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    aiq_out_init(&out, p, size);
    aiq_out_str(&out, "{\"plan\":");
    aiq_out_mem(&out, doc->text.data, doc->text.len);
    aiq_out_str(&out, ",\"policy\":");
    aiq_out_mem(&out, policy.text.data, policy.text.len);
    aiq_out_char(&out, '}');

    rc = aiq_json_parse(doc, aiq_out_done(&out), AIQ_JSON_DEPTH, &ctl->mem,
                        &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "plan and policy together");
    }

    in->plan = aiq_json_get(doc, 0, "plan");
    in->policy = aiq_json_get(doc, 0, "policy");

    return AIQ_CTL_OK;
}


/* opens the store; a key to bind to must be there and speak for these two */

static int
aiq_ctl_token_key(aiq_ctl_t *ctl, aiq_issue_t *in)
{
    int            code;
    aiq_rc_t       rc;
    aiq_org_t      org;
    const char    *id;
    aiq_apikey_t   key;

    code = aiq_ctl_open_store(ctl, ctl->dir, AIQ_STORE_WRITE);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_begin(ctl, 0);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_org(ctl, &org);
    }

    id = aiq_ctl_opt(ctl, "key");

    if (code == AIQ_CTL_OK && id) {
        code = aiq_ctl_name(ctl, "the id of a key", id, &in->key);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    if (id) {
        rc = aiq_apikey_get(ctl->txn, org.name, in->key, &key, &ctl->mem);

        if (rc == AIQ_DECLINED || (rc == AIQ_OK && !key.active)) {
            return aiq_ctl_no(ctl, AIQ_DECLINED,
                              "there is no active key \"%s\"", id);
        }

        if (rc != AIQ_OK) {
            return aiq_ctl_fail(ctl, rc, "key");
        }

        if ((key.user.len && !aiq_str_eq(key.user, in->user))
            || (key.agent.len && !aiq_str_eq(key.agent, in->agent)))
        {
            return aiq_ctl_no(ctl, AIQ_D_TOKEN_OWNER, "the key \"%s\" speaks"
                              " for another user or agent", id);
        }
    }

    aiq_store_abort(ctl->txn);
    ctl->txn = NULL;

    return AIQ_CTL_OK;
}


static int
aiq_ctl_token_issued(aiq_ctl_t *ctl, const aiq_issued_pair_t *out)
{
    int          jws, iap;
    json_t      *o;
    const char  *form;

    form = aiq_ctl_opt(ctl, "format");
    iap = (form && strcmp(form, "jws") != 0);
    jws = (form == NULL || strcmp(form, "iap") != 0);

    if (ctl->json) {
        o = json_object();

        aiq_ctl_jset(ctl, o, "jti", aiq_ctl_jstr(out->jti));
        aiq_ctl_jset(ctl, o, "plan_id", aiq_ctl_jstr(out->plan_id));
        aiq_ctl_jset(ctl, o, "kid", aiq_ctl_jstr(out->kid));
        aiq_ctl_jset(ctl, o, "plan_hash",
                     json_string(aiq_ctl_hex(ctl, out->plan.root,
                                             AIQ_HASH_LEN)));
        aiq_ctl_jset(ctl, o, "steps", json_integer(out->plan.n));
        aiq_ctl_jset(ctl, o, "issued_at", json_integer(out->iat));
        aiq_ctl_jset(ctl, o, "expires_at", json_integer(out->exp));

        if (jws) {
            aiq_ctl_jset(ctl, o, "jws", aiq_ctl_jstr(out->jws));
        }

        if (iap) {
            aiq_ctl_jset(ctl, o, "iap",
                         json_loadb((const char *) out->iap.data,
                                    out->iap.len, 0, NULL));
        }

        return aiq_ctl_jprint(ctl, o);
    }

    if (jws) {
        printf("%.*s\n", (int) out->jws.len, (const char *) out->jws.data);
    }

    if (iap) {
        printf("%.*s\n", (int) out->iap.len, (const char *) out->iap.data);
    }

    aiq_ctl_note("token %.*s, signed with key %.*s, %u step%s, good until %s",
                 (int) out->jti.len, (const char *) out->jti.data,
                 (int) out->kid.len, (const char *) out->kid.data,
                 out->plan.n, out->plan.n == 1 ? "" : "s",
                 aiq_ctl_time(ctl, out->exp, "never"));

    return AIQ_CTL_OK;
}


/* reads the file; which form is it? */

static int
aiq_ctl_token_read(aiq_ctl_t *ctl, aiq_ctl_presented_t *p)
{
    int        code;
    uint32_t   i;
    aiq_rc_t   rc;
    aiq_str_t  s;

    code = aiq_ctl_read(ctl, ctl->arg[0], AIQ_CTL_TOKEN_FILE, AIQ_CTL_SECRET,
                        &s);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    /* line ends around a token are of the file, not of the token */

    while (s.len && (s.data[s.len - 1] == '\n' || s.data[s.len - 1] == '\r'
                     || s.data[s.len - 1] == ' '))
    {
        s.len--;
    }

    p->text = s;
    p->form = AIQ_TOKEN_JWS;

    if (s.len == 0) {
        return aiq_ctl_no(ctl, AIQ_D_TOKEN_MALFORMED, "there is no token");
    }

    for (i = 0; i < s.len && (s.data[i] == ' ' || s.data[i] == '\n'
                              || s.data[i] == '\r' || s.data[i] == '\t');
         i++)
    {
        /* void */
    }

    if (i == s.len || s.data[i] != '{') {
        return AIQ_CTL_OK;
    }

    p->form = AIQ_TOKEN_IAP;
    p->object = 0;

    rc = aiq_json_parse(&p->doc, s, AIQ_JSON_DEPTH, &ctl->mem, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "token");
    }

    /* what the API answered, and what the SDKs keep */

    i = aiq_json_get(&p->doc, 0, "token");

    if (aiq_json_type(&p->doc, i) == AIQ_JSON_OBJECT) {
        p->object = i;
    }

    return AIQ_CTL_OK;
}


static int
aiq_ctl_token_inspect(aiq_ctl_t *ctl)
{
    int                   code;
    json_t               *o;
    aiq_str_t             header, claims;
    aiq_ctl_presented_t   p;

    code = aiq_ctl_token_read(ctl, &p);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    aiq_str_null(&header);

    if (p.form == AIQ_TOKEN_IAP) {
        claims = aiq_json_raw(&p.doc, p.object);

    } else {
        code = aiq_ctl_token_parts(ctl, p.text, &header, &claims);

        if (code != AIQ_CTL_OK) {
            return code;
        }
    }

    if (ctl->json) {
        o = json_object();

        aiq_ctl_jset(ctl, o, "verified", json_false());
        aiq_ctl_jset(ctl, o, "form", json_string(header.len ? "jws" : "iap"));

        if (header.len) {
            aiq_ctl_jset(ctl, o, "header",
                         json_loadb((const char *) header.data, header.len, 0,
                                    NULL));
        }

        aiq_ctl_jset(ctl, o, header.len ? "claims" : "token",
                     json_loadb((const char *) claims.data, claims.len, 0,
                                NULL));

        return aiq_ctl_jprint(ctl, o);
    }

    printf("UNVERIFIED: anybody can write this, see armoriqctl token"
           " verify\n\n");

    if (header.len) {
        printf("header\n");
        (void) aiq_ctl_document(ctl, header);
        printf("\nclaims\n");

    } else {
        printf("IAP token\n");
    }

    return aiq_ctl_document(ctl, claims);
}


static int
aiq_ctl_token_parts(aiq_ctl_t *ctl, aiq_str_t text, aiq_str_t *header,
    aiq_str_t *claims)
{
    int                   code;
    aiq_str_t             part;
    const unsigned char  *p, *dot, *last;

    p = text.data;
    last = p + text.len;

    dot = memchr(p, '.', (size_t) (last - p));

    if (dot == NULL) {
        return aiq_ctl_no(ctl, AIQ_D_TOKEN_MALFORMED, "this is neither a JWS"
                          " (header.claims.signature) nor a JSON object");
    }

    part.data = p;
    part.len = (size_t) (dot - p);

    code = aiq_ctl_token_decode(ctl, "header", part, header);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    p = dot + 1;
    dot = memchr(p, '.', (size_t) (last - p));

    if (dot == NULL) {
        return aiq_ctl_no(ctl, AIQ_D_TOKEN_MALFORMED, "the JWS has no"
                          " signature");
    }

    part.data = p;
    part.len = (size_t) (dot - p);

    return aiq_ctl_token_decode(ctl, "claims", part, claims);
}


static int
aiq_ctl_token_decode(aiq_ctl_t *ctl, const char *what, aiq_str_t part,
    aiq_str_t *text)
{
    size_t          len;
    aiq_rc_t        rc;
    aiq_json_t      doc;
    unsigned char  *p;

    p = aiq_mem_alloc(&ctl->mem, aiq_b64_decoded_max(part.len) + 1);

    if (p == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "out of memory");
    }

    rc = aiq_b64url_decode(part, p, &len);

    if (rc != AIQ_OK) {
        return aiq_ctl_no(ctl, rc, "the %s are not base64url", what);
    }

    text->data = p;
    text->len = len;

    rc = aiq_json_parse(&doc, *text, AIQ_JSON_DEPTH, &ctl->mem, &ctl->err);

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, what);
    }

    return AIQ_CTL_OK;
}


static int
aiq_ctl_token_verify(aiq_ctl_t *ctl)
{
    int                   code;
    int64_t               skew;
    aiq_rc_t              rc;
    const char           *s;
    aiq_token_t           t;
    aiq_token_rules_t     rules;
    aiq_ctl_presented_t   p;

    code = aiq_ctl_opt_int(ctl, "skew", 0, 60, AIQ_CTL_SKEW, &skew);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_token_read(ctl, &p);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_open(ctl, 0);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    memset(&rules, 0, sizeof(aiq_token_rules_t));

    rules.now = ctl->now;
    rules.skew = skew;
    rules.lifetime = AIQ_ISSUE_LIFETIME_MAX;

    s = aiq_ctl_opt(ctl, "issuer");
    rules.issuer = s ? s : AIQ_TOKEN_ISSUER;

    s = aiq_ctl_opt(ctl, "audience");
    rules.audience = s ? s : AIQ_TOKEN_AUDIENCE;

    memset(&t, 0, sizeof(aiq_token_t));

    rc = aiq_ctl_token_judge(ctl, &t, &p, &rules);

    if (rc == AIQ_DECLINED) {
        return aiq_ctl_no(ctl, rc, "there is no active org \"%s\"",
                          aiq_ctl_opt(ctl, "org"));
    }

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, aiq_is_denied(rc) ? "not valid" : NULL);
    }

    return aiq_ctl_token_valid(ctl, &t);
}


/* in the order of aiq_decide() */

static aiq_rc_t
aiq_ctl_token_judge(aiq_ctl_t *ctl, aiq_token_t *t,
    const aiq_ctl_presented_t *p, const aiq_token_rules_t *rules)
{
    aiq_rc_t             rc;
    aiq_str_t            org;
    aiq_ruleset_t        set;
    const aiq_issuer_t  *issuer;

    if (p->form == AIQ_TOKEN_IAP) {
        rc = aiq_token_read_iap(t, &p->doc, p->object, ctl->crypto, &ctl->mem,
                                &ctl->err);
    } else {
        rc = aiq_token_read_jws(t, p->text, rules, ctl->crypto, &ctl->mem,
                                &ctl->err);
    }

    if (rc != AIQ_OK) {
        return aiq_is_denied(rc) ? rc : AIQ_E_INTERNAL;
    }

    org = aiq_cstr(aiq_ctl_opt(ctl, "org"));

    rc = aiq_ruleset_load(&set, ctl->txn, org, aiq_tzfile_load, NULL,
                          &ctl->mem, &ctl->err);

    if (rc != AIQ_OK) {
        return rc;
    }

    if (!aiq_str_eq(t->org, set.org.name)) {
        return aiq_fail(&ctl->err, AIQ_D_TOKEN_OWNER,
                        "the token is of another org");
    }

    issuer = aiq_ruleset_issuer(&set, t);

    if (issuer == NULL) {
        return aiq_fail(&ctl->err, AIQ_D_TOKEN_KEY,
                        "no active issuer of the org has this key");
    }

    rc = aiq_token_check_signature(t, issuer->public_key, ctl->crypto);

    if (rc != AIQ_OK) {
        return aiq_fail(&ctl->err, rc, "the signature does not verify");
    }

    t->kid = issuer->kid;

    rc = aiq_token_check_claims(t, rules, &ctl->err);

    if (rc != AIQ_OK) {
        return rc;
    }

    rc = aiq_token_revoked(ctl->txn, set.org.name, t->jti);

    if (rc != AIQ_OK) {
        return aiq_fail(&ctl->err, rc, "the token was revoked");
    }

    return aiq_owner_active(ctl->txn, set.org.name, t->sub, t->agent,
                            &ctl->mem, &ctl->err);
}


static int
aiq_ctl_token_valid(aiq_ctl_t *ctl, const aiq_token_t *t)
{
    json_t      *o;
    const char  *form, *plan;

    form = (t->form == AIQ_TOKEN_IAP) ? "iap" : "jws";
    plan = aiq_ctl_hex(ctl, t->plan_hash, AIQ_HASH_LEN);

    if (!ctl->json) {
        printf("valid (%s)\njti        %s\norg        %s\nuser       %s\n"
               "agent      %s\nkey        %s\nplan_hash  %s\nsteps      %u\n"
               "expires    %s\n", form, aiq_ctl_esc(ctl, t->jti),
               aiq_ctl_esc(ctl, t->org), aiq_ctl_esc(ctl, t->sub),
               aiq_ctl_esc(ctl, t->agent), aiq_ctl_esc(ctl, t->kid), plan,
               t->steps, aiq_ctl_time(ctl, t->exp, "never"));

        return AIQ_CTL_OK;
    }

    o = json_object();

    aiq_ctl_jset(ctl, o, "ok", json_true());
    aiq_ctl_jset(ctl, o, "reason", json_string("OK"));
    aiq_ctl_jset(ctl, o, "form", json_string(form));
    aiq_ctl_jset(ctl, o, "jti", aiq_ctl_jstr(t->jti));
    aiq_ctl_jset(ctl, o, "org", aiq_ctl_jstr(t->org));
    aiq_ctl_jset(ctl, o, "user", aiq_ctl_jstr(t->sub));
    aiq_ctl_jset(ctl, o, "agent", aiq_ctl_jstr(t->agent));
    aiq_ctl_jset(ctl, o, "kid", aiq_ctl_jstr(t->kid));
    aiq_ctl_jset(ctl, o, "plan_hash", json_string(plan));
    aiq_ctl_jset(ctl, o, "steps", json_integer(t->steps));
    aiq_ctl_jset(ctl, o, "issued_at", json_integer(t->iat));
    aiq_ctl_jset(ctl, o, "expires_at", json_integer(t->exp));

    return aiq_ctl_jprint(ctl, o);
}


static int
aiq_ctl_token_revoke(aiq_ctl_t *ctl)
{
    int           code;
    aiq_rc_t      rc;
    aiq_str_t     jti;
    aiq_org_t     org;
    aiq_issued_t  issued;

    code = aiq_ctl_name(ctl, "jti", ctl->arg[0], &jti);

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_open(ctl, AIQ_STORE_WRITE);
    }

    if (code == AIQ_CTL_OK) {
        code = aiq_ctl_org(ctl, &org);
    }

    if (code != AIQ_CTL_OK) {
        return code;
    }

    rc = aiq_issued_get(ctl->txn, org.name, jti, &issued, &ctl->mem);

    if (rc != AIQ_OK && rc != AIQ_DECLINED) {
        return aiq_ctl_fail(ctl, rc, "token");
    }

    if (rc == AIQ_DECLINED && aiq_ctl_opt(ctl, "force") == NULL) {
        return aiq_ctl_no(ctl, rc, "no token \"%s\" was issued from this"
                          " store, use --force if it came from elsewhere",
                          ctl->arg[0]);
    }

    rc = aiq_token_revoked(ctl->txn, org.name, jti);

    if (rc == AIQ_D_TOKEN_REVOKED) {
        return aiq_ctl_no(ctl, rc, "the token \"%s\" was revoked before",
                          ctl->arg[0]);
    }

    if (rc == AIQ_OK) {
        rc = aiq_token_revoke(ctl->txn, org.name, jti, ctl->now, &ctl->err);
    }

    if (rc != AIQ_OK) {
        return aiq_ctl_fail(ctl, rc, "token");
    }

    code = aiq_ctl_commit(ctl);

    if (code != AIQ_CTL_OK) {
        return code;
    }

    return aiq_ctl_done(ctl, "token \"%s\" revoked", ctl->arg[0]);
}
