/* multissh: the command line. */
#include "base/fs.h"
#include "base/heap.h"
#include "base/log.h"
#include "base/names.h"
#include "client/client_options.h"
#include "client/connect.h"
#include "client/forward.h"
#include "client/menu.h"
#include "client/os.h"
#include "client/say.h"
#include "client/ssh.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE 2
#define EXIT_FAILED 255

enum command { COMMAND_MENU, COMMAND_CONNECT, COMMAND_FORWARD, COMMAND_LIST, COMMAND_SSH };

struct command_line {
    enum command command;
    bool help, version, dump, check;
    char *name;
    char **rest; /* of list and ssh */
    int n_rest;
};

static void help(void)
{
    printf(
        "usage: multissh [OPTION]...                               shows the machines and lets you pick one\n"
        "       multissh [OPTION]... ssh [SSH-OPTION]... [USER@]NAME [COMMAND]...\n"
        "       multissh [OPTION]... forward [-p PORT] NAME\n"
        "       multissh [OPTION]... list [-a] [-l] [--json] [GLOB]...\n"
        "       multissh [OPTION]... connect NAME\n"
        "\n"
        "Sessions with the machines behind a multiSSH hub that outlive lost networks on your side, too: a "
        "laptop\n"
        "that was suspended, another Wi-Fi, a restarted hub. Your own ssh asks the hub, so your keys, agents "
        "and\n"
        "~/.ssh/config apply.\n"
        "\n"
        "ssh      runs ssh with the machine\n"
        "forward  makes a port of this host the machine's SSH server, until Ctrl-C, for programs that cannot "
        "jump\n"
        "list     shows the machines, as `ssh HUB list` does\n"
        "connect  joins standard input and output with the machine's SSH server; in ~/.ssh/config:\n"
        "             ProxyCommand multissh connect --hub HUB:PORT %%n\n"
        "         (`ssh HUB config --resume` prints the whole block)\n"
        "\n"
        "-p PORT  is --port\n"
        "--check  checks the settings, shows them and ends\n"
        "--help, --version, --dump-options\n"
        "\n"
        "Settings: as options, as MULTISSH_NAME in the environment, or as NAME = VALUE in\n"
        "%s:\n",
        os_config_help);
    options_help(client_options_table, client_options_count, stdout);
}

static int unknown(const char *word, struct errmsg *err)
{
    char clean[120];
    say_clean(word, clean, sizeof clean);
    return errmsg_set(err, -EINVAL, "%s: one word too many, --help shows how it is used", clean);
}

static int take_word(struct command_line *c, char *word, bool first, struct errmsg *err)
{
    static const char *const names[] = {"connect", "forward", "list", "ssh"};
    static const enum command commands[] = {COMMAND_CONNECT, COMMAND_FORWARD, COMMAND_LIST, COMMAND_SSH};
    char clean[120];
    if (!first) {
        if (c->name != NULL)
            return unknown(word, err);
        c->name = word;
        return 0;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(word, names[i]) == 0) {
            c->command = commands[i];
            return 0;
        }
    }
    say_clean(word, clean, sizeof clean);
    return errmsg_set(
        err, -EINVAL,
        "%s: there is no such command; it is ssh, forward, list or connect (`multissh ssh %s`?)", clean,
        clean);
}

static const char *const extras[] = {"--help", "-h", "--version", "--check", "--dump-options", NULL};

/* Is the word one of ours, where words of ssh or of the hub may stand, too? */
static bool is_ours(const char *word)
{
    char name[64];
    if (strncmp(word, "--", 2) != 0 || word[2] == 0)
        return false;
    for (size_t i = 0; extras[i] != NULL; i++)
        if (strcmp(word, extras[i]) == 0)
            return true;
    size_t n = strcspn(word + 2, "=");
    if (n >= sizeof name)
        return false;
    memcpy(name, word + 2, n);
    name[n] = 0;
    return options_find(client_options_table, client_options_count, name) != NULL;
}

static void take_extra(struct command_line *c, const char *extra)
{
    c->help = c->help || strcmp(extra, "--help") == 0 || strcmp(extra, "-h") == 0;
    c->version = c->version || strcmp(extra, "--version") == 0;
    c->check = c->check || strcmp(extra, "--check") == 0;
    c->dump = c->dump || strcmp(extra, "--dump-options") == 0;
}

/* One option at argv[*at]. */
static int take_option(struct command_line *c, struct client_options *o, int argc, char **argv, int *at,
                       struct errmsg *err)
{
    char *word = argv[*at], *value = *at + 1 < argc ? argv[*at + 1] : NULL;
    char *one[] = {argv[0], word, value, NULL};
    const char *extra = NULL;
    int next = 0;
    if (strncmp(word, "-p", 2) == 0) {
        if (word[2] != 0)
            value = word + 2;
        *at += word[2] != 0 ? 1 : 2;
        return value == NULL ? errmsg_set(err, -EINVAL, "-p: needs a port")
                             : options_set(client_options_table, client_options_count, o, "port", value, err);
    }
    /* No more than this option: what follows may be no option of ours. */
    int n = value == NULL || strchr(word, '=') != NULL || (strcmp(word, "--progress") == 0 && value[0] == '-')
                ? 2
                : 3;
    int r = options_args(client_options_table, client_options_count, o, n, one, extras, &next, &extra, err);
    if (extra != NULL)
        take_extra(c, extra);
    *at += next - 1;
    return r;
}

static int parse(struct command_line *c, struct client_options *o, int argc, char **argv, struct errmsg *err)
{
    bool named = false, words_only = false;
    int r = 0;
    for (int at = 1; r == 0 && at < argc;) {
        bool rest = named && (c->command == COMMAND_SSH || c->command == COMMAND_LIST);
        char *word = argv[at];
        if (rest && !is_ours(word)) {
            c->rest = argv + at;
            c->n_rest = argc - at;
            break;
        }
        if (!words_only && strcmp(word, "--") == 0) {
            words_only = true;
            at++;
        } else if (!words_only && word[0] == '-' && word[1] != 0) {
            r = take_option(c, o, argc, argv, &at, err);
        } else {
            r = take_word(c, word, !named, err);
            named = true;
            at++;
        }
    }
    if (r == 0 && (c->command == COMMAND_CONNECT || c->command == COMMAND_FORWARD) && !c->help) {
        char clean[120];
        if (c->name == NULL)
            return errmsg_set(err, -EINVAL, "say which machine: multissh %s NAME; `multissh list` shows them",
                              c->command == COMMAND_CONNECT ? "connect" : "forward");
        say_clean(c->name, clean, sizeof clean);
        if (!names_host_ok(c->name) || strchr(c->name, ':') != NULL)
            return errmsg_set(err, -EINVAL, "%s cannot be a machine's name", clean);
    }
    return r;
}

static int show_settings(const struct client_options *o)
{
    struct errmsg err;
    struct destination hub;
    for (size_t i = 0; i < client_options_count; i++) {
        const struct option *opt = &client_options_table[i];
        char *text = options_show(opt, o);
        bool secret = strcmp(opt->name, "proxy") == 0 && text != NULL && strchr(text, '@') != NULL;
        if (text != NULL)
            printf("%s = %s\n", opt->name, secret ? "(set)" : text);
        free(text);
    }
    if (client_options_hub(o, &hub, &err) == 0)
        return EXIT_SUCCESS;
    say("%s", err.text);
    return EXIT_USAGE;
}

static int run(const struct command_line *c, const struct client_options *o)
{
    struct errmsg err = {""};
    int r = EXIT_FAILED;
    if (c->check)
        return show_settings(o);
    log_set_level((enum log_level)o->log_level);
    switch (c->command) {
    case COMMAND_CONNECT:
        return connect_run(o, c->name);
    case COMMAND_FORWARD:
        return forward_run(o, c->name);
    case COMMAND_SSH:
        r = ssh_run(o, c->n_rest, c->rest, &err);
        break;
    case COMMAND_LIST:
        r = ssh_list(o, c->n_rest, c->rest, &err);
        break;
    case COMMAND_MENU:
        return menu_run(o);
    }
    if (r < 0)
        say("%s", err.text);
    return r < 0 ? EXIT_FAILED : r;
}

int main(int argc, char **argv)
{
    struct command_line c = {.command = COMMAND_MENU};
    struct client_options o;
    struct errmsg err = {""}, file_err = {""};
    char path[FS_PATH_MAX];
    log_init("multissh");
    heap_give_back();
    os_prepare();
    int r = os_args(&argc, &argv);
    if (r != 0) {
        fprintf(stderr, "multissh: cannot read the arguments: %s\n", strerror(-r));
        return EXIT_FAILED;
    }
    bool has_path = os_config_path(path, sizeof path) == 0;
    int file_r = client_options_load(&o, has_path ? path : NULL, &file_err);
    r = parse(&c, &o, argc, argv, &err);
    if (c.help) {
        help();
        r = EXIT_SUCCESS;
    } else if (c.version) {
        printf("multissh %s\n", MULTISSH_VERSION);
        r = EXIT_SUCCESS;
    } else if (c.dump) {
        options_dump(client_options_table, client_options_count, stdout);
        r = EXIT_SUCCESS;
    } else if (r != 0 || file_r != 0 || client_options_check(&o, &err) != 0) {
        say("%s", r == 0 && file_r != 0 ? file_err.text : err.text);
        r = EXIT_USAGE;
    } else {
        r = run(&c, &o);
    }
    client_options_release(&o);
    /* Not by exit(): libuv would wait there for a thread that may be asking a name server which does not answer. */
    fflush(NULL);
    _Exit(r);
}
