
/*
 * Copyright (C) ngx_armoriq authors
 *
 * The command line: "armoriqctl [options] GROUP [VERB] [options] [args]",
 * options as --name VALUE or --name=VALUE, in any order; "--" ends them.
 * No abbreviations: a script must not change its meaning when an option is
 * added.
 */


#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"


#define AIQ_CTL_COLUMN  26
#define AIQ_CTL_WIDTH   78


static int aiq_ctl_opts_word(aiq_ctl_t *ctl, const char *word);
static int aiq_ctl_opts_long(aiq_ctl_t *ctl, int argc, char *const *argv,
    int *i);
static int aiq_ctl_opts_letter(aiq_ctl_t *ctl, int argc, char *const *argv,
    int *i);
static int aiq_ctl_opts_global(aiq_ctl_t *ctl, const char *name, size_t len,
    const char **arg);
static int aiq_ctl_opts_complete(aiq_ctl_t *ctl);
static const char *aiq_ctl_opts_where(const aiq_ctl_t *ctl);
static void aiq_ctl_help_all(void);
static void aiq_ctl_help_group(const aiq_ctl_group_t *g);
static void aiq_ctl_help_cmd(const aiq_ctl_group_t *g,
    const aiq_ctl_cmd_t *cmd);
static void aiq_ctl_help_usage(const aiq_ctl_group_t *g,
    const aiq_ctl_cmd_t *cmd);
static void aiq_ctl_help_text(const char *text);
static void aiq_ctl_help_opt(const aiq_ctl_opt_t *opt);


static const aiq_ctl_opt_t  aiq_ctl_globals[] = {

    { "store", "DIR", "the store, default " AIQ_CTL_STORE, 0, 0 },
    { "json", NULL, "answer with one JSON document", 0, 0 },
    { "help", NULL, "explain the command", 0, 'h' },
    { "version", NULL, "print the version", 0, 'V' },

    { NULL, NULL, NULL, 0, 0 }
};


static const char  aiq_ctl_exits[] =
    "    0  done, or the answer is yes\n"
    "    1  the answer is no: not found, not valid, refused\n"
    "    2  the command line is wrong\n"
    "    3  the store or a file cannot be read or written\n";


int
aiq_ctl_parse(aiq_ctl_t *ctl, int argc, char *const *argv)
{
    int          i, code, ended;
    const char  *s;

    ended = 0;

    /* known before the first complaint is written */

    for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            ctl->json = 1;
        }
    }

    for (i = 1; i < argc; i++) {
        s = argv[i];

        if (!ended && strcmp(s, "--") == 0) {
            ended = 1;
            continue;
        }

        if (ended || s[0] != '-' || s[1] == '\0') {
            code = aiq_ctl_opts_word(ctl, s);

        } else if (s[1] == '-') {
            code = aiq_ctl_opts_long(ctl, argc, argv, &i);

        } else {
            code = aiq_ctl_opts_letter(ctl, argc, argv, &i);
        }

        if (code != AIQ_CTL_OK) {
            return code;
        }
    }

    if (ctl->help || ctl->version) {
        return AIQ_CTL_OK;
    }

    return aiq_ctl_opts_complete(ctl);
}


static int
aiq_ctl_opts_word(aiq_ctl_t *ctl, const char *word)
{
    const aiq_ctl_cmd_t    *cmd;
    const aiq_ctl_group_t  *g;

    if (ctl->group == NULL) {

        if (strcmp(word, "help") == 0) {
            ctl->help = 1;
            return AIQ_CTL_OK;
        }

        for (g = aiq_ctl_groups; g->name; g++) {

            if (strcmp(g->name, word) == 0) {
                ctl->group = g;

                if (g->cmds[0].verb == NULL) {
                    ctl->cmd = &g->cmds[0];
                }

                return AIQ_CTL_OK;
            }
        }

        if (aiq_ctl_secretive(word)) {
            word = "...";
        }

        return aiq_ctl_usage(ctl, "there is no command \"%s\", see"
                             " armoriqctl --help", word);
    }

    if (ctl->cmd == NULL) {

        for (cmd = ctl->group->cmds; cmd->run; cmd++) {

            if (strcmp(cmd->verb, word) == 0) {
                ctl->cmd = cmd;
                return AIQ_CTL_OK;
            }
        }

        if (aiq_ctl_secretive(word)) {
            word = "...";
        }

        return aiq_ctl_usage(ctl, "\"%s\" has no command \"%s\", see"
                             " armoriqctl %s --help", ctl->group->name, word,
                             ctl->group->name);
    }

    if (aiq_ctl_secretive(word)) {
        return aiq_ctl_usage(ctl, "this looks like a token or an API key:"
                             " others can read the command line, so give a"
                             " file, or \"-\" for standard input");
    }

    if (ctl->nargs == ctl->cmd->max || ctl->nargs == AIQ_CTL_ARGS) {
        return aiq_ctl_usage(ctl, "\"%s\" is one argument too many, see"
                             " armoriqctl %s --help", word,
                             aiq_ctl_opts_where(ctl));
    }

    ctl->arg[ctl->nargs++] = word;

    return AIQ_CTL_OK;
}


static int
aiq_ctl_opts_long(aiq_ctl_t *ctl, int argc, char *const *argv, int *i)
{
    int                   code;
    size_t                n, len;
    const char           *name, *arg;
    const aiq_ctl_opt_t  *opts;

    name = argv[*i] + 2;
    len = strcspn(name, "=");
    arg = name[len] ? name + len + 1 : NULL;
    opts = ctl->cmd ? ctl->cmd->opts : NULL;

    for (n = 0; opts && opts[n].name; n++) {

        if (strlen(opts[n].name) != len
            || strncmp(opts[n].name, name, len) != 0)
        {
            continue;
        }

        if (opts[n].arg == NULL && arg) {
            return aiq_ctl_usage(ctl, "--%s takes no value", opts[n].name);
        }

        if (ctl->opt[n]) {
            return aiq_ctl_usage(ctl, "--%s is given twice", opts[n].name);
        }

        if (opts[n].arg && arg == NULL) {

            if (*i + 1 >= argc) {
                return aiq_ctl_usage(ctl, "--%s needs a value, %s",
                                     opts[n].name, opts[n].arg);
            }

            arg = argv[++*i];
        }

        if (arg && aiq_ctl_secretive(arg)) {
            return aiq_ctl_usage(ctl, "the value of --%s looks like a token"
                                 " or an API key: others can read the"
                                 " command line", opts[n].name);
        }

        ctl->opt[n] = arg ? arg : "";

        return AIQ_CTL_OK;
    }

    if (arg == NULL && *i + 1 < argc) {
        arg = argv[*i + 1];
        code = aiq_ctl_opts_global(ctl, name, len, &arg);

        if (code == AIQ_CTL_OK && arg) {
            ++*i;
        }

    } else {
        n = (arg != NULL);
        code = aiq_ctl_opts_global(ctl, name, len, &arg);

        if (code == AIQ_CTL_OK && n && arg == NULL) {
            return aiq_ctl_usage(ctl, "--%.*s takes no value", (int) len,
                                 name);
        }
    }

    return code;
}


/* arg becomes NULL if the option did not take it */

static int
aiq_ctl_opts_global(aiq_ctl_t *ctl, const char *name, size_t len,
    const char **arg)
{
    size_t  n;

    for (n = 0; aiq_ctl_globals[n].name; n++) {

        if (strlen(aiq_ctl_globals[n].name) == len
            && strncmp(aiq_ctl_globals[n].name, name, len) == 0)
        {
            break;
        }
    }

    if (n == 0) {

        if (*arg == NULL || **arg == '\0') {
            return aiq_ctl_usage(ctl, "--store needs a value, DIR");
        }

        ctl->dir = *arg;

        return AIQ_CTL_OK;
    }

    *arg = NULL;

    switch (n) {

    case 1:
        ctl->json = 1;
        return AIQ_CTL_OK;

    case 2:
        ctl->help = 1;
        return AIQ_CTL_OK;

    case 3:
        ctl->version = 1;
        return AIQ_CTL_OK;
    }

    return aiq_ctl_usage(ctl, "there is no option --%.*s, see armoriqctl%s%s"
                         " --help", (int) len, name, ctl->group ? " " : "",
                         aiq_ctl_opts_where(ctl));
}


static int
aiq_ctl_opts_letter(aiq_ctl_t *ctl, int argc, char *const *argv, int *i)
{
    char                  c;
    size_t                n;
    const char           *s;
    const aiq_ctl_opt_t  *opts;

    s = argv[*i] + 1;
    c = s[0];
    opts = ctl->cmd ? ctl->cmd->opts : NULL;

    if (s[1] == '\0' && c == 'h') {
        ctl->help = 1;
        return AIQ_CTL_OK;
    }

    if (s[1] == '\0' && c == 'V') {
        ctl->version = 1;
        return AIQ_CTL_OK;
    }

    for (n = 0; opts && opts[n].name; n++) {

        if (opts[n].letter != c) {
            continue;
        }

        if (ctl->opt[n]) {
            return aiq_ctl_usage(ctl, "--%s is given twice", opts[n].name);
        }

        if (opts[n].arg == NULL) {

            if (s[1]) {
                break;
            }

            ctl->opt[n] = "";
            return AIQ_CTL_OK;
        }

        if (s[1] == '\0' && *i + 1 >= argc) {
            return aiq_ctl_usage(ctl, "-%c needs a value, %s", c,
                                 opts[n].arg);
        }

        ctl->opt[n] = s[1] ? s + 1 : argv[++*i];

        return AIQ_CTL_OK;
    }

    return aiq_ctl_usage(ctl, "there is no option -%c, see armoriqctl%s%s"
                         " --help", c, ctl->group ? " " : "",
                         aiq_ctl_opts_where(ctl));
}


static int
aiq_ctl_opts_complete(aiq_ctl_t *ctl)
{
    size_t                n;
    const aiq_ctl_opt_t  *opts;

    if (ctl->group == NULL) {
        return aiq_ctl_usage(ctl, "what shall be done?  See armoriqctl"
                             " --help");
    }

    if (ctl->cmd == NULL) {
        return aiq_ctl_usage(ctl, "\"%s\" needs a command, see armoriqctl %s"
                             " --help", ctl->group->name, ctl->group->name);
    }

    if (ctl->nargs < ctl->cmd->min) {
        return aiq_ctl_usage(ctl, "\"%s\" needs %s, see armoriqctl %s --help",
                             aiq_ctl_opts_where(ctl), ctl->cmd->args,
                             aiq_ctl_opts_where(ctl));
    }

    opts = ctl->cmd->opts;

    for (n = 0; opts && opts[n].name; n++) {

        if (opts[n].required && ctl->opt[n] == NULL) {
            return aiq_ctl_usage(ctl, "\"%s\" needs --%s %s, see armoriqctl"
                                 " %s --help", aiq_ctl_opts_where(ctl),
                                 opts[n].name, opts[n].arg,
                                 aiq_ctl_opts_where(ctl));
        }
    }

    return AIQ_CTL_OK;
}


/* "key add", "doctor" or ""; good until the next call but one */

static const char *
aiq_ctl_opts_where(const aiq_ctl_t *ctl)
{
    static char  buf[64];

    if (ctl->group == NULL) {
        return "";
    }

    if (ctl->cmd == NULL || ctl->cmd->verb == NULL) {
        return ctl->group->name;
    }

    (void) snprintf(buf, sizeof(buf), "%s %s", ctl->group->name,
                    ctl->cmd->verb);

    return buf;
}


const char *
aiq_ctl_opt(const aiq_ctl_t *ctl, const char *name)
{
    size_t                n;
    const aiq_ctl_opt_t  *opts;

    opts = ctl->cmd->opts;

    for (n = 0; opts && opts[n].name; n++) {

        if (strcmp(opts[n].name, name) == 0) {
            return ctl->opt[n];
        }
    }

    return NULL;
}


int
aiq_ctl_opt_int(aiq_ctl_t *ctl, const char *name, int64_t min, int64_t max,
    int64_t def, int64_t *value)
{
    char        *end;
    long long    v;
    const char  *s;

    *value = def;

    s = aiq_ctl_opt(ctl, name);
    if (s == NULL) {
        return AIQ_CTL_OK;
    }

    errno = 0;
    v = strtoll(s, &end, 10);

    if (s[0] < '0' || s[0] > '9' || *end != '\0' || errno != 0
        || v < min || v > max)
    {
        return aiq_ctl_usage(ctl, "the value of --%s must be a number from"
                             " %lld to %lld", name, (long long) min,
                             (long long) max);
    }

    *value = v;

    return AIQ_CTL_OK;
}


int
aiq_ctl_name(aiq_ctl_t *ctl, const char *what, const char *value,
    aiq_str_t *name)
{
    *name = aiq_cstr(value);

    if (!aiq_name_ok(*name)) {
        return aiq_ctl_usage(ctl, "%s must be 1 to %d bytes of UTF-8 without"
                             " controls", what, AIQ_NAME_MAX);
    }

    return AIQ_CTL_OK;
}


int
aiq_ctl_secretive(const char *s)
{
    const char  *p;

    if (strncmp(s, AIQ_APIKEY_PREFIX, sizeof(AIQ_APIKEY_PREFIX) - 1) == 0) {
        return 1;
    }

    if (s[0] == '{' && strstr(s, "\"signature\"")) {
        return 1;
    }

    /* base64url of a JOSE header, and two dots */

    if (strncmp(s, "eyJ", 3) != 0) {
        return 0;
    }

    p = strchr(s, '.');

    return p != NULL && strchr(p + 1, '.') != NULL;
}


void
aiq_ctl_help(const aiq_ctl_t *ctl)
{
    if (ctl->group == NULL) {
        aiq_ctl_help_all();

    } else if (ctl->cmd == NULL) {
        aiq_ctl_help_group(ctl->group);

    } else {
        aiq_ctl_help_cmd(ctl->group, ctl->cmd);
    }
}


static void
aiq_ctl_help_all(void)
{
    size_t                  n;
    const aiq_ctl_group_t  *g;

    printf("armoriqctl %s: looks after the store, the plans, the tokens and"
           " the audit log\nof ngx_armoriq.\n\n", AIQ_VERSION);

    printf("Usage: armoriqctl [options] COMMAND [options] [arguments]\n\n"
           "Commands:\n");

    for (g = aiq_ctl_groups; g->name; g++) {
        printf("    %-8s  %s\n", g->name, g->brief);
    }

    printf("\nOptions of every command:\n");

    for (n = 0; aiq_ctl_globals[n].name; n++) {
        aiq_ctl_help_opt(&aiq_ctl_globals[n]);
    }

    printf("\nFirst steps:\n\n"
           "    armoriqctl init --org acme --owner nginx\n"
           "    armoriqctl mcp add --org acme infra-mcp\n"
           "    armoriqctl policy add --org acme policy.json\n"
           "    armoriqctl doctor\n\n"
           "Tokens and API keys are read from a file, from standard input"
           " (\"-\") or from the\nterminal, never from the command line or"
           " the environment.\n\n");

    printf("Exit codes:\n%s\n"
           "\"armoriqctl COMMAND --help\" explains a command.\n",
           aiq_ctl_exits);
}


static void
aiq_ctl_help_group(const aiq_ctl_group_t *g)
{
    const aiq_ctl_cmd_t  *cmd;

    printf("armoriqctl %s: %s\n\nCommands:\n", g->name, g->brief);

    for (cmd = g->cmds; cmd->run; cmd++) {
        printf("    %-8s  %s\n", cmd->verb, cmd->brief);
    }

    printf("\nUsage:\n");

    for (cmd = g->cmds; cmd->run; cmd++) {
        aiq_ctl_help_usage(g, cmd);
    }

    printf("\nExit codes:\n%s\n"
           "\"armoriqctl %s COMMAND --help\" explains a command.\n",
           aiq_ctl_exits, g->name);
}


static void
aiq_ctl_help_cmd(const aiq_ctl_group_t *g, const aiq_ctl_cmd_t *cmd)
{
    size_t  n;

    printf("armoriqctl %s%s%s: %s\n\nUsage:\n", g->name, cmd->verb ? " " : "",
           cmd->verb ? cmd->verb : "", cmd->brief);

    aiq_ctl_help_usage(g, cmd);

    printf("\n");
    aiq_ctl_help_text(cmd->text);

    if (cmd->opts) {
        printf("Options:\n");

        for (n = 0; cmd->opts[n].name; n++) {
            aiq_ctl_help_opt(&cmd->opts[n]);
        }

        printf("\n");
    }

    printf("Options of every command:\n");

    for (n = 0; aiq_ctl_globals[n].name; n++) {
        aiq_ctl_help_opt(&aiq_ctl_globals[n]);
    }

    printf("\nExample:\n\n%s\nExit codes:\n%s", cmd->example,
           cmd->exits ? cmd->exits : aiq_ctl_exits);
}


static void
aiq_ctl_help_usage(const aiq_ctl_group_t *g, const aiq_ctl_cmd_t *cmd)
{
    int                   col;
    char                  buf[64];
    const aiq_ctl_opt_t  *opt;

    col = printf("    armoriqctl %s%s%s", g->name, cmd->verb ? " " : "",
                 cmd->verb ? cmd->verb : "");

    for (opt = cmd->opts; opt && opt->name; opt++) {
        (void) snprintf(buf, sizeof(buf), opt->required ? "--%s%s%s"
                        : "[--%s%s%s]", opt->name, opt->arg ? " " : "",
                        opt->arg ? opt->arg : "");

        if (col + 1 + (int) strlen(buf) > AIQ_CTL_WIDTH) {
            printf("\n       ");
            col = 7;
        }

        col += printf(" %s", buf);
    }

    if (cmd->args[0]) {
        printf("%s%s", (col + 1 + (int) strlen(cmd->args) > AIQ_CTL_WIDTH)
               ? "\n        " : " ", cmd->args);
    }

    printf("\n");
}


/* words in lines; two line feeds begin a paragraph */

static void
aiq_ctl_help_text(const char *text)
{
    size_t  n, col;

    col = 0;

    for ( ;; ) {
        n = strspn(text, " \n");

        if (text[n] == '\0') {
            break;
        }

        if (n > 1 && text[0] == '\n') {
            printf("\n\n");
            col = 0;
        }

        text += n;
        n = strcspn(text, " \n");

        if (col && col + 1 + n > AIQ_CTL_WIDTH) {
            printf("\n");
            col = 0;
        }

        col += (size_t) printf("%s%.*s", col ? " " : "", (int) n, text);
        text += n;
    }

    printf("\n\n");
}


static void
aiq_ctl_help_opt(const aiq_ctl_opt_t *opt)
{
    int  n;

    n = printf("    ");

    if (opt->letter) {
        n += printf("-%c, ", opt->letter);
    }

    n += printf("--%s%s%s", opt->name, opt->arg ? " " : "",
                opt->arg ? opt->arg : "");

    if (n > AIQ_CTL_COLUMN - 2) {
        printf("\n");
        n = 0;
    }

    printf("%*s%s\n", AIQ_CTL_COLUMN - n, "", opt->help);
}
