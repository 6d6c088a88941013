
/*
 * Copyright (C) ngx_armoriq authors
 *
 * Policies: compiled once, evaluated per call, no allocation then.
 *
 *     { "name": "...", "target": {"type": "org|agent|user|mcp", "id": "..."},
 *       "status": "active|inactive|draft", "priority": 0..100,
 *       "allow": [glob, ...], "deny": [glob, ...], "allowed_tools": [...],
 *       "rate_limit": calls per hour, "ip_whitelist": [address or CIDR, ...],
 *       "time_restrictions": { "allowed_hours": [0..23, ...],
 *           "allowed_days": ["Monday", ...], "timezone": "Europe/Berlin" },
 *       "description": "...", "version": ... }
 *
 * A glob is "mcp/action" or "server.tool"; '*' stands for any bytes; "*"
 * alone for everything.  A glob with '/' is compared with "mcp/tool", one
 * without with "mcp.tool" and with the tool alone.  Unknown members are
 * refused: a misspelt "deny" must not become no rule at all; so are
 * conditions in a stored policy that allows nothing.  The token policy of the
 * SDKs is the same object without name, target and status; there an absent
 * "allow" is ["*"].  docs/policy.md has the rest.
 */


#ifndef _AIQ_POLICY_H_INCLUDED_
#define _AIQ_POLICY_H_INCLUDED_


#include "json.h"


typedef struct aiq_policy_s  aiq_policy_t;

/*
 * Bytes of a TZif file (RFC 8536) for an IANA name, in memory that lives as
 * long as the compiled policy; AIQ_DECLINED if there is no such zone.  The
 * name is checked before: letters, digits, '_', '-', '+', '/', no "..".
 */

typedef aiq_rc_t (*aiq_tz_load_pt)(void *data, aiq_str_t name,
    aiq_mem_t *mem, aiq_str_t *tzif);

/* seconds east of UTC at time t; AIQ_DECLINED if tzif is malformed */

aiq_rc_t aiq_tz_offset(aiq_str_t tzif, int64_t t, int32_t *offset);

/* the source of a call: IPv4 in the first 4 bytes, or IPv6 */

typedef struct {
    unsigned            family;       /* 4, 6, or 0: unknown */
    unsigned char       addr[16];
} aiq_addr_t;

typedef struct {
    aiq_str_t           mcp;
    aiq_str_t           tool;
    aiq_str_t           user;
    aiq_str_t           agent;
    aiq_addr_t          source;
    int64_t             now;          /* Unix seconds */
} aiq_policy_call_t;


/*
 * Compiles the object at token i; named: a stored policy, which must have a
 * name.  Everything is copied to mem.  AIQ_D_POLICY_INVALID with a sentence
 * that names the member ("allow[2]: ...").
 */

aiq_rc_t aiq_policy_compile(aiq_policy_t **policy, const aiq_json_t *doc,
    uint32_t i, int named, aiq_tz_load_pt load, void *data, aiq_mem_t *mem,
    aiq_err_t *err);

aiq_str_t aiq_policy_name(const aiq_policy_t *policy);
int aiq_policy_priority(const aiq_policy_t *policy);
uint32_t aiq_policy_rate(const aiq_policy_t *policy);   /* per hour, 0: none */

/*
 * One policy: AIQ_OK permits, AIQ_DECLINED does not speak of this call (its
 * target or status is another, or no glob matches), AIQ_D_POLICY_... denies.
 * Order: deny, allow, allowed_tools, source, time; wire.md E.
 */

aiq_rc_t aiq_policy_eval(const aiq_policy_t *policy,
    const aiq_policy_call_t *call);

/*
 * All policies of an org: the first that speaks, by priority (highest
 * first), at equal priority a denial first, then by name.  *which is that
 * policy or NULL.  If none speaks the answer is AIQ_OK for permit, else
 * AIQ_D_POLICY_NOT_ALLOWED.
 */

aiq_rc_t aiq_policy_eval_all(aiq_policy_t *const *policies, unsigned n,
    int permit, const aiq_policy_call_t *call, const aiq_policy_t **which);

/* for the constraints in a token: silence is a denial; the target is
   everything */

aiq_rc_t aiq_policy_eval_token(const aiq_policy_t *policy,
    const aiq_policy_call_t *call);

/* text form, for tests and the CLI; AIQ_DECLINED if malformed */

aiq_rc_t aiq_addr_parse(aiq_addr_t *addr, aiq_str_t text);

int aiq_glob_match(aiq_str_t glob, aiq_str_t s);


#endif /* _AIQ_POLICY_H_INCLUDED_ */
