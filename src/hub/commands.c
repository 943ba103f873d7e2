/* The commands' table, and who may give which. */
#include "hub/commands.h"

#include "base/clock.h"
#include "hub/cmd.h"
#include "hub/words.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ERR_MAX (1u << 20)

const struct command commands_table[] = {
    {"list", "[-a] [-l | --json | --pending] [GLOB]...",
     "Prints the names of the machines that are online; -a those that are offline too, -l a table of all, "
     "--json everything, "
     "--pending who waits for approval (admins)",
     0, cmd_list_run},
    {"why", "NAME", "Says whether a machine can be reached, and what to do when it cannot", 0, cmd_why_run},
    {"known-hosts", "[NAME]", "Prints the machines' host keys, as lines for a known_hosts file", 0,
     cmd_config_known_hosts},
    {"config", "[--trust-hub] [--resume]",
     "Prints a block for ~/.ssh/config, after which machines need no -J; with --trust-hub their host keys "
     "are asked of the hub each time, with --resume sessions go through multissh connect and survive a lost "
     "network",
     0, cmd_config_run},
    {"ticket", "NAME", "Prints what multissh connect NAME needs for a session that survives a lost network",
     0, cmd_ticket_run},
    {"whoami", "", "Says who you are to this hub, and what you may do", 0, cmd_help_whoami},
    {"help", "[COMMAND]", "Lists the commands, or explains one", 0, cmd_help_run},
    {"invite", "[NAME] [--uses N] [--expires TIME]",
     "Prints the line that makes a machine join, once and within an hour unless told otherwise; for a name "
     "that is taken, the name moves",
     CMD_ADMIN, cmd_invite_run},
    {"approve", "NAME FINGERPRINT", "Admits a machine that waits without an invitation, under this name",
     CMD_ADMIN, cmd_machines_approve},
    {"revoke", "NAME", "Takes a machine's name back, ends its sessions and its connection", CMD_ADMIN,
     cmd_machines_revoke},
    {"rename", "OLD NEW", "Gives a machine another name; its sessions go on", CMD_ADMIN, cmd_machines_rename},
    {"sessions", "", "Lists the sessions that run through the hub", CMD_ADMIN, cmd_sessions_run},
    {"kill", "ID", "Ends a session", CMD_ADMIN, cmd_sessions_kill},
    {"log", "[-n N] [MACHINE]", "Prints the last N (50) events, of all machines or one", CMD_ADMIN,
     cmd_log_run},
    {"users", "", "Lists the users in authorized_users as they are in force", CMD_ADMIN, cmd_hub_users},
    {"reload", "", "Reads hub.conf and authorized_users again", CMD_ADMIN | CMD_LOCAL, cmd_hub_reload},
    {"stop", "[--all]", "Ends the hub; with --all the running sessions too", CMD_ADMIN | CMD_LOCAL,
     cmd_hub_stop},
};
const size_t commands_count = sizeof commands_table / sizeof commands_table[0];

static const struct command bare = {"multissh-hub", "", "Names the machines that are online", 0,
                                    cmd_list_bare};

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < commands_count; i++) {
        if (strcmp(commands_table[i].name, name) == 0)
            return &commands_table[i];
    }
    return NULL;
}

static int unknown(struct cmd *c, const char *word)
{
    char clean[80], hub[DESCRIBE_HUB_MAX];
    const char *gap = "";
    describe_clean(word, clean, sizeof clean);
    cmd_err(c, "%s is not a command of this hub. There are: ", clean);
    for (size_t i = 0; i < commands_count; i++) {
        if (cmd_allowed(c, &commands_table[i])) {
            cmd_err(c, "%s%s", gap, commands_table[i].name);
            gap = ", ";
        }
    }
    cmd_err(c, ".\n");
    if (!c->who->local) {
        describe_hub(c->hub, 22, hub);
        cmd_err(c, "To run a command on a machine: ssh -J %s user@NAME COMMAND\n", hub);
    }
    return 2;
}

/* The names of the admin commands are no secret: who may not give one is told so. */
static int not_allowed(struct cmd *c)
{
    if ((c->self->flags & CMD_LOCAL) != 0)
        return cmd_fail(c, "only on the hub's own host: multissh-hub %s", c->self->name);
    if (!c->hub->opt.admin_over_ssh)
        return cmd_fail(
            c,
            "admin commands are only taken on the hub's own host here (admin-over-ssh = no): multissh-hub %s",
            c->self->name);
    return cmd_fail(c, "only for admins of the hub");
}

static int run_words(struct cmd *c, struct words *w)
{
    if (w->n == 0) {
        c->self = &bare;
        c->n = 0;
        return bare.run(c);
    }
    c->self = find(w->word[0]);
    if (c->self == NULL)
        return unknown(c, w->word[0]);
    if (!cmd_allowed(c, c->self))
        return not_allowed(c);
    c->word = w->word + 1;
    c->n = w->n - 1;
    return c->self->run(c);
}

int commands_run(struct hub *hub, const struct who *w, const char *line, unsigned columns,
                 struct commands_result *ret)
{
    struct words words;
    struct errmsg err = {""};
    buf_init(&ret->out, COMMANDS_OUTPUT_MAX);
    buf_init(&ret->err, ERR_MAX);
    struct cmd c = {
        .hub = hub, .who = w, .self = &bare, .columns = columns, .now_s = clock_wall_s(), .r = ret};
    if (words_split(line, &words, &err) < 0) {
        cmd_err(&c, "%s\n", err.text);
        ret->status = 2;
    } else {
        ret->status = run_words(&c, &words);
    }
    if (c.failed == -ENOBUFS) {
        buf_clear(&ret->out);
        buf_clear(&ret->err);
        ret->status = 1;
        c.failed = buf_appendf(&ret->err, "the answer is longer than %u MiB: ask for less\n",
                               COMMANDS_OUTPUT_MAX >> 20);
    }
    if (c.failed < 0)
        commands_result_release(ret);
    return c.failed;
}

void commands_result_release(struct commands_result *r)
{
    buf_release(&r->out);
    buf_release(&r->err);
}
