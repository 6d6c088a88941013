
/*
 * Copyright (C) ngx_armoriq authors
 *
 * armoriqctl: from the command line to one function, and out again.
 */


#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"


static int aiq_ctl_main_begin(aiq_ctl_t *ctl);
static void aiq_ctl_main_end(aiq_ctl_t *ctl);
static int aiq_ctl_main_run(aiq_ctl_t *ctl, int argc, char *const *argv);


const aiq_ctl_group_t  aiq_ctl_groups[] = {

    { "init", "make a store, ready to use", aiq_ctl_init_cmds },
    { "org", "organizations (tenants)", aiq_ctl_org_cmds },
    { "user", "people on whose behalf agents act", aiq_ctl_user_cmds },
    { "agent", "agents", aiq_ctl_agent_cmds },
    { "key", "API keys", aiq_ctl_key_cmds },
    { "mcp", "registered MCP servers", aiq_ctl_mcp_cmds },
    { "policy", "policies", aiq_ctl_policy_cmds },
    { "plan", "hash a plan, or ask what it allows", aiq_ctl_plan_cmds },
    { "token", "issue, read, verify and revoke intent tokens",
      aiq_ctl_token_cmds },
    { "audit", "verify and follow the audit log", aiq_ctl_audit_cmds },
    { "store", "check and back up the store", aiq_ctl_store_cmds },
    { "doctor", "find out what is wrong with an installation",
      aiq_ctl_doctor_cmds },
    { "lint", "find out what is wrong with an nginx.conf",
      aiq_ctl_lint_cmds },

    { NULL, NULL, NULL }
};


int
main(int argc, char *const *argv)
{
    int        code;
    aiq_ctl_t  ctl;

    memset(&ctl, 0, sizeof(aiq_ctl_t));

    ctl.dir = AIQ_CTL_STORE;

    code = aiq_ctl_main_run(&ctl, argc, argv);

    aiq_ctl_main_end(&ctl);

    /* an answer that did not arrive is not an answer */

    if (fflush(stdout) != 0 || ferror(stdout)) {
        aiq_ctl_note("cannot write to standard output: %s", strerror(errno));

        if (code == AIQ_CTL_OK) {
            code = AIQ_CTL_FAULT;
        }
    }

    return code;
}


static int
aiq_ctl_main_run(aiq_ctl_t *ctl, int argc, char *const *argv)
{
    int  code;

    code = aiq_ctl_main_begin(ctl);
    if (code != AIQ_CTL_OK) {
        return code;
    }

    code = aiq_ctl_parse(ctl, argc, argv);
    if (code != AIQ_CTL_OK) {
        return code;
    }

    if (ctl->version) {
        printf("armoriqctl %s\n", AIQ_VERSION);
        return AIQ_CTL_OK;
    }

    if (ctl->help) {
        aiq_ctl_help(ctl);
        return AIQ_CTL_OK;
    }

    return ctl->cmd->run(ctl);
}


static int
aiq_ctl_main_begin(aiq_ctl_t *ctl)
{
    int              fd;
    void            *p;
    struct rlimit    rl;
    struct timespec  ts;

    /* a store must not land on a descriptor that stdio writes to */

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= 2);

    if (fd > 2) {
        (void) close(fd);
    }

    /* nothing that we make is for everybody; modes say the rest */

    (void) umask(07);

    /* secrets pass through this process: no core files */

    rl.rlim_cur = 0;
    rl.rlim_max = 0;

    (void) setrlimit(RLIMIT_CORE, &rl);

    if (clock_gettime(CLOCK_REALTIME, &ts) != 0) {
        return aiq_ctl_fault(ctl, AIQ_E_INTERNAL, "cannot read the clock: %s",
                             strerror(errno));
    }

    ctl->now = (int64_t) ts.tv_sec;
    ctl->now_us = (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;

    p = mmap(NULL, AIQ_CTL_MEM, PROT_READ|PROT_WRITE,
             MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED) {
        return aiq_ctl_fault(ctl, AIQ_E_NO_MEMORY, "cannot get memory: %s",
                             strerror(errno));
    }

    ctl->mem.pos = p;
    ctl->mem.end = ctl->mem.pos + AIQ_CTL_MEM;

    ctl->crypto = aiq_crypto_new();

    if (ctl->crypto == NULL) {
        return aiq_ctl_fault(ctl, AIQ_E_CRYPTO_FAILED,
                             "libcrypto does not offer SHA-256 and Ed25519");
    }

    return AIQ_CTL_OK;
}


static void
aiq_ctl_main_end(aiq_ctl_t *ctl)
{
    if (ctl->txn) {
        aiq_store_abort(ctl->txn);
    }

    if (ctl->undo) {
        (void) unlink(ctl->undo);
    }

    if (ctl->store) {
        aiq_store_close(ctl->store);
    }

    if (ctl->crypto) {
        aiq_crypto_free(ctl->crypto);
    }
}
