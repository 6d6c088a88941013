
/*
 * Copyright (C) ngx_armoriq authors
 *
 * A compiled policy: between policy_compile.c and policy.c.
 */


#ifndef _AIQ_POLICY_RULE_H_INCLUDED_
#define _AIQ_POLICY_RULE_H_INCLUDED_


#include "policy.h"


#define AIQ_GLOB_MAX          256     /* bytes of a glob */
#define AIQ_POLICY_LIST_MAX   1024    /* entries of one list */


typedef enum {
    AIQ_TARGET_ORG = 0,
    AIQ_TARGET_AGENT,
    AIQ_TARGET_USER,
    AIQ_TARGET_MCP
} aiq_target_e;

typedef struct {
    const aiq_str_t     *globs;
    uint32_t             n;
    unsigned             present:1;   /* an empty list is not an absent one */
} aiq_globs_t;

typedef struct {
    unsigned             family;      /* 4 or 6 */
    unsigned             bits;
    unsigned char        addr[16];
} aiq_net_t;

struct aiq_policy_s {
    aiq_str_t            name;
    aiq_str_t            id;          /* of the target; empty: AIQ_TARGET_ORG */
    aiq_target_e         target;
    int                  priority;
    uint32_t             rate;
    uint32_t             hours;       /* bit 0: 00:00 to 00:59 */
    uint32_t             days;        /* bit 0: Sunday */
    uint32_t             nnets;
    aiq_net_t           *nets;
    aiq_str_t            tzif;        /* empty: UTC */
    aiq_globs_t          allow;
    aiq_globs_t          deny;
    aiq_globs_t          tools;
    unsigned             active:1;
    unsigned             has_nets:1;
    unsigned             has_hours:1;
    unsigned             has_days:1;
};


#endif /* _AIQ_POLICY_RULE_H_INCLUDED_ */
