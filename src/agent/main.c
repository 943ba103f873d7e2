/* multissh-agent: the command line. */
#include "agent/agent.h"
#include "agent/join.h"
#include "agent/keeper.h"
#include "agent/process.h"
#include "agent/service.h"
#include "agent/sessions.h"
#include "base/heap.h"
#include "base/log.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE 2
#define ARGS_MAX 128

struct command_line {
    const char *state, *command;
    char *target; /* of argv: what ps shows */
    const char *third;
    bool help, version, check, dump, no_run, force, keeper, all;
    char *flags[ARGS_MAX]; /* options of the table and their values; flags[0] is the program */
    int n_flags;
};

static void help(FILE *to)
{
    fprintf(
        to,
        "usage: multissh-agent [OPTION]... join HOST:PORT[/CODE] [OPTION]...\n"
        "       multissh-agent [OPTION]... run\n"
        "       multissh-agent [--state DIR] sessions\n"
        "       multissh-agent [--state DIR] stop [--all]\n"
        "       multissh-agent [--state DIR] fingerprint\n"
        "       multissh-agent service install [HOST:PORT[/CODE]] [OPTION]...\n"
        "       multissh-agent service start|stop|restart|reload|status|remove\n"
        "\n"
        "Makes this machine reachable over SSH through a multiSSH hub.\n"
        "\n"
        "join         remembers the hub, and the options given, in DIR/agent.conf, and runs; "
        "HOST:PORT/CODE is\n"
        "             what `multissh-hub invite` prints. Without a CODE the hub's key is taken from the "
        "first\n"
        "             contact, and an admin of the hub has to approve this machine\n"
        "run          connects to the hub that was joined, and stays connected\n"
        "sessions     shows the sessions of users on this machine, whether an agent runs or not\n"
        "stop         ends the agent that runs; its sessions go on without it (as after SIGTERM)\n"
        "fingerprint  prints the fingerprint of this machine's key\n"
        "service      on Windows: the agent as a service, which install sets up (with a hub: joins, too) and "
        "starts;\n"
        "             status ends with 0 when it runs, 3 when it is stopped, 4 when it is not installed\n"
        "\n"
        "--state DIR  the folder of agent.conf and agent.key (default:\n"
        "             %s)\n"
        "--no-run     join only remembers\n"
        "--all        stop ends all sessions, too (as Ctrl-C does)\n"
        "--force      join moves a machine that belongs to another hub, or takes a changed key of its hub\n"
        "--check      checks the settings, shows them and ends\n"
        "--help, --version, --dump-options\n"
        "\n"
        "Settings, in DIR/agent.conf as NAME = VALUE or as options:\n",
        process_state_help);
    options_help(agent_options_table, agent_options_count, to);
}

/* "--state=DIR" becomes two words, so that the loop below meets only one form. Returns the new count. */
static int split_state(int argc, char **argv, char **out, int max)
{
    static char state[] = "--state";
    int n = 0;
    for (int i = 0; i < argc && n + 1 < max; i++) {
        if (i > 0 && strncmp(argv[i], "--state=", 8) == 0) {
            out[n++] = state;
            out[n++] = argv[i] + 8;
        } else {
            out[n++] = argv[i];
        }
    }
    out[n] = NULL;
    return n;
}

static int take_extra(struct command_line *c, const char *extra, char **words, int *at, struct errmsg *err)
{
    if (strcmp(extra, "--help") == 0 || strcmp(extra, "-h") == 0)
        c->help = true;
    else if (strcmp(extra, "--version") == 0)
        c->version = true;
    else if (strcmp(extra, "--check") == 0)
        c->check = true;
    else if (strcmp(extra, "--dump-options") == 0)
        c->dump = true;
    else if (strcmp(extra, "--no-run") == 0)
        c->no_run = true;
    else if (strcmp(extra, "--force") == 0)
        c->force = true;
    else if (strcmp(extra, "--all") == 0)
        c->all = true;
    else if (strcmp(extra, "--keeper") == 0)
        c->keeper = true;
    else if (words[*at] == NULL || words[*at][0] == 0)
        return errmsg_set(err, -EINVAL, "--state: needs a folder");
    else
        c->state = words[(*at)++];
    return 0;
}

/* Options may stand before, between and behind the words. */
static int parse(int argc, char **argv, struct command_line *c, struct errmsg *err)
{
    static const char *const extras[] = {"--help",         "-h",       "--version", "--check",
                                         "--dump-options", "--no-run", "--force",   "--all",
                                         "--keeper",       "--state",  NULL};
    char *words[ARGS_MAX];
    struct agent_options ignored = {0};
    const char *extra = NULL;
    int r = 0, at = 1, next = 0;
    if (argc > ARGS_MAX - 2)
        return errmsg_set(err, -E2BIG, "too many arguments");
    int n = split_state(argc, argv, words, ARGS_MAX);
    c->flags[c->n_flags++] = argv[0];
    while (r == 0 && at < n) {
        r = options_args(agent_options_table, agent_options_count, &ignored, n - at + 1, words + at - 1,
                         extras, &next, &extra, err);
        if (r != 0)
            break;
        int end = at + next - 1;
        for (; at < end - (extra != NULL); at++)
            if (strcmp(words[at], "--") != 0)
                c->flags[c->n_flags++] = words[at];
        at = end;
        if (extra != NULL)
            r = take_extra(c, extra, words, &at, err);
        else if (at < n && c->command == NULL)
            c->command = words[at++];
        else if (at < n && c->target == NULL)
            c->target = words[at++];
        else if (at < n && c->third == NULL)
            c->third = words[at++];
        else if (at < n)
            r = errmsg_set(err, -EINVAL, "%s: one word too many, --help shows how it is used", words[at]);
    }
    agent_options_release(&ignored);
    return r;
}

static int check_command(const struct command_line *c, struct errmsg *err)
{
    if (c->command == NULL && !c->check)
        return errmsg_set(err, -EINVAL,
                          "say join, run, sessions, stop, fingerprint or service; --help shows how");
    if (c->command != NULL && strcmp(c->command, "service") == 0)
        return 0;
    if (c->third != NULL)
        return errmsg_set(err, -EINVAL, "%s: one word too many, --help shows how it is used", c->third);
    if (c->all && (c->command == NULL || strcmp(c->command, "stop") != 0))
        return errmsg_set(err, -EINVAL, "--all: this is for stop");
    if (c->command == NULL || strcmp(c->command, "run") == 0 || strcmp(c->command, "fingerprint") == 0 ||
        strcmp(c->command, "sessions") == 0 || strcmp(c->command, "stop") == 0)
        return c->target == NULL ? 0 : errmsg_set(err, -EINVAL, "%s: one word too many", c->target);
    if (strcmp(c->command, "join") != 0)
        return errmsg_set(
            err, -EINVAL,
            "%s: there is no such command; it is join, run, sessions, stop, fingerprint or service",
            c->command);
    if (c->target == NULL)
        return errmsg_set(err, -EINVAL,
                          "join: say where the hub is: HOST:PORT, or HOST:PORT/CODE as "
                          "`multissh-hub invite` prints it");
    return 0;
}

static int show_settings(struct agent *a, struct errmsg *err)
{
    int r = agent_read_options(a, &a->opt, err);
    if (r != 0)
        return r;
    for (size_t i = 0; i < agent_options_count; i++) {
        const struct option *opt = &agent_options_table[i];
        char *text = options_show(opt, &a->opt);
        bool secret = strcmp(opt->name, "token") == 0 ||
                      (strcmp(opt->name, "proxy") == 0 && text != NULL && strchr(text, ':') != NULL);
        if (text != NULL)
            printf("%s = %s\n", opt->name, secret && text[0] != 0 ? "(set)" : text);
        free(text);
    }
    if (a->opt.hub.n == 0)
        return errmsg_set(err, -ENOENT, "%s names no hub: run `multissh-agent join HOST:PORT/CODE`",
                          a->conf_path);
    return 0;
}

static int run(struct agent *a, struct errmsg *err)
{
    int r = agent_read_options(a, &a->opt, err);
    if (r != 0)
        return r;
    if (a->opt.hub.n == 0)
        return errmsg_set(err, -EINVAL, "%s names no hub: run `multissh-agent join HOST:PORT/CODE` first",
                          a->conf_path);
    log_set_level((enum log_level)a->opt.log_level);
    r = agent_load_key(a, err);
    if (r != 0)
        return r;
    a->loop = uv_default_loop();
    r = agent_start(a, err);
    if (r != 0)
        return r;
    service_ready(a);
    uv_run(a->loop, UV_RUN_DEFAULT);
    service_over(a);
    return 0;
}

/* Everybody on this host sees the command line, and an invitation may be good for more than one machine. */
static void hide_code(char *target)
{
    char *slash = strchr(target, '/');
    if (slash != NULL)
        process_hide(slash + 1);
}

/* The agent in a process that the system has started as its service. */
static int run_service(struct agent *a, struct errmsg *err)
{
    int r = agent_paths(a, err);
    if (r == 0)
        r = agent_make_folder(a, err);
    if (r == 0)
        r = agent_lock(a, err);
    return r == 0 ? run(a, err) : r;
}

static int service(struct agent *a, const struct command_line *c, struct errmsg *err)
{
    const struct service_request request = {.verb = c->target,
                                            .hub = c->third,
                                            .force = c->force,
                                            .no_run = c->no_run,
                                            .state_given = c->state != NULL};
    return service_command(a, &request, run_service, err);
}

/* What an agent starts for its sessions. */
static int keep(const char *state_dir, struct errmsg *err)
{
    process_detach("multissh-agent");
    return keeper_run(state_dir, err);
}

static int execute(struct agent *a, const struct command_line *c, struct errmsg *err)
{
    const char *command = c->command != NULL ? c->command : "";
    bool join = strcmp(command, "join") == 0;
    if (strcmp(command, "service") == 0)
        return service(a, c, err);
    if (strcmp(command, "sessions") == 0)
        return sessions_show(a, err);
    if (strcmp(command, "stop") == 0)
        return sessions_stop(a, c->all, err);
    int r = agent_paths(a, err);
    if (r == 0 && c->check)
        return show_settings(a, err);
    if (r == 0)
        r = agent_make_folder(a, err);
    if (r == 0 && strcmp(command, "fingerprint") == 0) {
        r = agent_load_key(a, err);
        if (r == 0)
            printf("%s\n", a->fingerprint);
        return r;
    }
    if (r == 0)
        r = agent_lock(a, err);
    if (r == 0 && join)
        r = join_remember(a, c->target, c->force, err);
    if (join)
        hide_code(c->target);
    return r != 0 || (join && c->no_run) ? r : run(a, err);
}

int main(int argc, char **argv)
{
    static struct agent agent = {.lock_fd = -1};
    struct command_line c = {0};
    struct errmsg err = {""};
    log_init("multissh-agent");
    heap_give_back();
    process_prepare();
    int r = process_args(&argc, &argv);
    if (r != 0)
        errmsg_set(&err, r, "cannot read the arguments: %s", strerror(-r));
    else
        r = parse(argc, argv, &c, &err);
    if (r == 0 && c.help) {
        help(stdout);
        return EXIT_SUCCESS;
    }
    if (r == 0 && c.version) {
        printf("multissh-agent %s\n", MULTISSH_VERSION);
        return EXIT_SUCCESS;
    }
    if (r == 0 && c.dump) {
        options_dump(agent_options_table, agent_options_count, stdout);
        return EXIT_SUCCESS;
    }
    if (r == 0 && !c.keeper)
        r = check_command(&c, &err);
    if (r != 0) {
        fprintf(stderr, "multissh-agent: %s\n", err.text);
        return EXIT_USAGE;
    }
    agent.flags = (struct agent_flags){c.n_flags, c.flags};
    r = c.state != NULL ? (strlen(c.state) < sizeof agent.state_dir ? 0 : -ENAMETOOLONG)
                        : process_state_dir(agent.state_dir, sizeof agent.state_dir);
    if (r == 0 && c.state != NULL)
        memcpy(agent.state_dir, c.state, strlen(c.state) + 1);
    if (r != 0)
        errmsg_set(&err, r, "there is no place for the state: choose a folder with --state");
    else
        r = c.keeper ? keep(agent.state_dir, &err) : execute(&agent, &c, &err);
    agent_release(&agent);
    if (r < 0)
        fprintf(stderr, "multissh-agent: %s\n", err.text);
    return r >= 0 ? r : r == -EINVAL || r == -ERANGE ? EXIT_USAGE : EXIT_FAILURE;
}
