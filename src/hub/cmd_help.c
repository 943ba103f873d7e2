/* help and whoami. */
#include "hub/cmd.h"

#include <stdio.h>
#include <string.h>

static int explain(struct cmd *c, const char *name)
{
    char clean[80];
    for (size_t i = 0; i < commands_count; i++) {
        const struct command *k = &commands_table[i];
        if (strcmp(k->name, name) != 0 || !cmd_allowed(c, k))
            continue;
        cmd_out(c, "usage: %s%s%s\n%s.\n", k->name, *k->args == '\0' ? "" : " ", k->args, k->help);
        return 0;
    }
    describe_clean(name, clean, sizeof clean);
    return cmd_usage(c, "%s is not a command that you may give; help alone lists those", clean);
}

/* help's sentence below the usage, wrapped at the terminal's width. */
static void wrap(struct cmd *c, const char *text)
{
    size_t width = c->columns >= 40 && c->columns < 100 ? c->columns - 1 : 99, at = 0;
    while (*text != '\0') {
        size_t n = strcspn(text, " ");
        if (at == 0 || at + 1 + n > width) {
            cmd_out(c, "%s      ", at == 0 ? "" : "\n");
            at = 6;
        } else {
            cmd_out(c, " ");
            at++;
        }
        cmd_out(c, "%.*s", (int)n, text);
        at += n;
        text += n;
        text += strspn(text, " ");
    }
    cmd_out(c, "\n");
}

int cmd_help_run(struct cmd *c)
{
    int status = cmd_parse(c, NULL, 0, 0, 1);
    if (status != CMD_GO)
        return status;
    if (c->n == 1)
        return explain(c, c->word[0]);
    cmd_out(c, "Commands of this hub (%s COMMAND; without one: the machines that are online):\n",
            c->who->local ? "multissh-hub" : "ssh HUB");
    for (size_t i = 0; i < commands_count; i++) {
        const struct command *k = &commands_table[i];
        if (!cmd_allowed(c, k))
            continue;
        cmd_out(c, "  %s%s%s\n", k->name, *k->args == '\0' ? "" : " ", k->args);
        wrap(c, k->help);
    }
    return 0;
}

int cmd_help_whoami(struct cmd *c)
{
    const struct who *w = c->who;
    int status = cmd_parse(c, NULL, 0, 0, 0);
    if (status != CMD_GO)
        return status;
    if (w->local) {
        cmd_out(c, "local: the hub's own host, which may do everything\n");
        return 0;
    }
    cmd_out(c, "%s, from %s\n", w->name, w->source);
    cmd_out(c, "key: %s\n", w->fingerprint);
    cmd_out(c, "machines: %s\n", w->admin ? "*" : w->machines != NULL ? w->machines : "none");
    cmd_out(c, "publish: %s\n", w->publish != NULL ? w->publish : "none");
    cmd_out(c, "admin: %s\n", w->admin ? "yes" : "no");
    return 0;
}
