/* users, reload, stop: the hub itself. */
#include "hub/cmd.h"

#include "base/clock.h"
#include "base/log.h"
#include <stdio.h>
#include <string.h>

#define COMPLAINTS_MAX (1u << 20)

static int add_user(const struct policy_user *u, void *arg)
{
    struct cmd_table *t = arg;
    char expires[32] = "-";
    if (u->expiry_s != 0)
        clock_format_utc(u->expiry_s, expires, sizeof expires);
    cmd_table_cell(t, "%s", u->name);
    cmd_table_cell(t, "%s", u->admin ? "yes" : "no");
    cmd_table_cell(t, "%s", u->admin ? "*" : u->machines != NULL ? u->machines : "-");
    cmd_table_cell(t, "%s", u->publish != NULL ? u->publish : "-");
    cmd_table_cell(t, "%s", u->from != NULL ? u->from : "-");
    cmd_table_cell(t, "%s", expires);
    cmd_table_cell(t, "%u", u->line);
    cmd_table_cell(t, "%s", u->fingerprint);
    return 0;
}

int cmd_hub_users(struct cmd *c)
{
    static const char *const heads[] = {"NAME", "ADMIN",   "MACHINES", "PUBLISH",
                                        "FROM", "EXPIRES", "LINE",     "KEY"};
    static const uint8_t rank[] = {0, 1, 1, 3, 4, 5, 6, 2};
    struct cmd_table t;
    int status = cmd_parse(c, NULL, 0, 0, 0);
    if (status != CMD_GO)
        return status;
    cmd_table_init(&t, heads, rank, 8);
    policy_each(c->hub->policy, add_user, &t);
    cmd_table_print(&t, c);
    return 0;
}

int cmd_hub_reload(struct cmd *c)
{
    struct buf complaints;
    int status = cmd_parse(c, NULL, 0, 0, 0);
    if (status != CMD_GO)
        return status;
    buf_init(&complaints, COMPLAINTS_MAX);
    int rc = hub_reload(c->hub, &complaints);
    if (buf_len(&complaints) > 0)
        cmd_err(c, "%.*s", (int)buf_len(&complaints), (const char *)buf_data(&complaints));
    status = rc < 0 || buf_len(&complaints) > 0 ? 1 : 0;
    if (rc < 0)
        cmd_err(c, "reload: not everything could be taken; what was not is as before\n");
    else
        cmd_out(c, "Reloaded: %zu lines of users are in force.\n", policy_count(c->hub->policy));
    buf_release(&complaints);
    return status;
}

int cmd_hub_stop(struct cmd *c)
{
    bool all = false;
    const struct cmd_option options[] = {{'a', "all", &all, NULL}};
    int status = cmd_parse(c, options, 1, 0, 0);
    if (status != CMD_GO)
        return status;
    cmd_out(c, all ? "The hub ends, and all sessions with it.\n"
                   : "The hub ends; sessions that are running go on without it.\n");
    log_info("stop%s by command: ending", all ? " --all" : "");
    hub_stop(c->hub, all);
    return 0;
}
