/* multissh-hub: the hub itself, and the command line that talks to it. Owns the arguments and the loop. */
#include "base/log.h"
#include "hub/admin_client.h"
#include "hub/config.h"
#include "hub/hub.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define COMPLAINTS_MAX (1u << 20)

static int print_help(void)
{
    (void)printf(
        "Usage: multissh-hub [--config FILE] [--state DIR] [--OPTION VALUE]...   run the hub in the "
        "foreground\n"
        "       multissh-hub [--state DIR] COMMAND [ARGUMENT]...               talk to the running hub\n"
        "       multissh-hub [--config FILE] [--state DIR] --check             check hub.conf and "
        "authorized_users\n"
        "       multissh-hub --help | --version | --dump-options\n\n"
        "Machines that nobody can connect to dial in here with multissh-agent; people reach them with\n"
        "ssh -J HUB USER@MACHINE. Commands: multissh-hub help. SIGHUP reads the files again, SIGTERM "
        "ends.\n\n"
        "  --config FILE   options file; without it hub.conf in the state folder\n"
        "  --state DIR     state folder (default for root /var/lib/multissh-hub, for others\n"
        "                  $XDG_STATE_HOME/multissh-hub or ~/.local/state/multissh-hub)\n\n"
        "Options, on the command line as --NAME VALUE and in the options file as NAME = VALUE:\n\n");
    options_help(hub_options_table, hub_options_count, stdout);
    return ferror(stdout) ? 1 : 0;
}

static int check(const struct config *c)
{
    struct hub_options opt;
    struct policy *p = NULL;
    struct errmsg err = {""};
    struct buf lines;
    int status = 0, rc = 0;

    memset(&opt, 0, sizeof opt);
    buf_init(&lines, COMPLAINTS_MAX);
    if (config_options(c, &opt, &err) < 0) {
        (void)fprintf(stderr, "%s\n", err.text);
        status = 1;
    } else {
        options_release(hub_options_table, hub_options_count, &opt);
    }
    rc = config_policy(c, &lines, &p, &err);
    if (rc < 0 && rc != -ENOENT) { /* none yet is how every hub begins */
        (void)fprintf(stderr, "%s\n", err.text);
        status = 1;
    }
    if (buf_len(&lines) > 0) {
        (void)fwrite(buf_data(&lines), 1, buf_len(&lines), stderr);
        status = 1;
    }
    if (status == 0)
        (void)printf("%s and %s are in order: %zu lines of users\n", c->file, c->users,
                     p != NULL ? policy_count(p) : 0);
    policy_free(p);
    buf_release(&lines);
    return status;
}

static int run(const struct config *c)
{
    struct errmsg err = {""};
    struct hub hub;
    uv_loop_t loop;
    int rc = 0;

    (void)signal(SIGPIPE, SIG_IGN);
    memset(&hub, 0, sizeof hub);
    rc = activation_take(hub.passed, &err); /* before any other descriptor is opened */
    if (rc < 0) {
        log_error("%s", err.text);
        return 1;
    }
    hub.n_passed = (size_t)rc;
    rc = uv_loop_init(&loop);
    if (rc < 0) {
        log_error("cannot start: %s", uv_strerror(rc));
        return 1;
    }
    hub.loop = &loop;
    hub.config = c;
    rc = hub_start(&hub, &err);
    if (rc < 0)
        log_error("%s", err.text);
    else
        (void)uv_run(&loop, UV_RUN_DEFAULT);
    hub_release(&hub);
    (void)uv_run(&loop, UV_RUN_DEFAULT); /* the handles close */
    (void)uv_loop_close(&loop);
    if (rc == 0)
        log_info("ended");
    return rc < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct errmsg err = {""};
    struct config config;
    int status = 0;

    log_init("multissh-hub");
    if (config_init(&config, argc, argv, &err) < 0) {
        (void)fprintf(stderr, "multissh-hub: %s\n", err.text);
        return 2;
    }
    if (config.action != NULL && strcmp(config.action, "help") == 0) {
        status = print_help();
    } else if (config.action != NULL && strcmp(config.action, "version") == 0) {
        (void)printf("multissh-hub %s\n", MULTISSH_VERSION);
    } else if (config.action != NULL && strcmp(config.action, "dump-options") == 0) {
        options_dump(hub_options_table, hub_options_count, stdout);
    } else if (config.action != NULL) {
        status = check(&config);
    } else if (config.n_command > 0) {
        status = admin_client_run(config.state_dir, config.command, config.n_command);
    } else {
        status = run(&config);
    }
    config_release(&config);
    return status;
}
