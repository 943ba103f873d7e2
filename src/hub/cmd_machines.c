/* approve, revoke, rename: what admins do with machines. */
#include "hub/cmd.h"

#include "hub/joins.h"
#include "hub/jumps.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

int cmd_machines_approve(struct cmd *c)
{
    struct errmsg err = {""};
    char clean[sizeof err.text];
    int status = cmd_parse(c, NULL, 0, 2, 2);
    if (status != CMD_GO)
        return status;
    if (registry_approve(c->hub->registry, c->word[0], c->word[1], &err) < 0) {
        describe_clean(err.text, clean, sizeof clean);
        return cmd_fail(c, "%s", clean);
    }
    cmd_audit(c, "approve", c->word[0], c->word[1]);
    cmd_out(c, "%s is approved.\n", c->word[0]);
    return 0;
}

static bool is_another(const struct who *w, const char *machine, void *name)
{
    (void)w;
    return !names_same(machine, name);
}

int cmd_machines_revoke(struct cmd *c)
{
    char name[NAMES_MACHINE_MAX + 1], text[120];
    int status = cmd_parse(c, NULL, 0, 1, 1);
    if (status != CMD_GO)
        return status;
    const struct machine *m = cmd_machine(c, c->word[0]);
    if (m == NULL)
        return 1;
    snprintf(name, sizeof name, "%s", m->name);
    snprintf(text, sizeof text, "was held by %s", m->holder);
    /* While its link is still there to be told. */
    unsigned ended =
        jumps_kill_unless(c->hub->jumps, is_another, name, "the machine was revoked by the hub's admin");
    int rc = registry_revoke(c->hub->registry, name);
    if (rc < 0)
        return cmd_fail(c, "the hub cannot write its database now (%s); %s keeps its name", strerror(-rc),
                        name);
    cmd_audit(c, "revoke", name, text);
    cmd_out(c, "%s is revoked; %u session%s ended.\n", name, ended, ended == 1 ? "" : "s");
    return 0;
}

int cmd_machines_rename(struct cmd *c)
{
    struct errmsg err = {""};
    char old[NAMES_MACHINE_MAX + 1], text[NAMES_MACHINE_MAX + 32], clean[sizeof err.text];
    int status = cmd_parse(c, NULL, 0, 2, 2);
    if (status != CMD_GO)
        return status;
    const struct machine *m = cmd_machine(c, c->word[0]);
    if (m == NULL)
        return 1;
    snprintf(old, sizeof old, "%s", m->name);
    if (registry_rename(c->hub->registry, old, c->word[1], &err) < 0) {
        describe_clean(err.text, clean, sizeof clean);
        return cmd_fail(c, "%s", clean);
    }
    jumps_renamed(c->hub->jumps, old, c->word[1]);
    joins_renamed(c->hub->joins, old, c->word[1]);
    snprintf(text, sizeof text, "was called %s", old);
    cmd_audit(c, "rename", c->word[1], text);
    cmd_out(c, "%s is now called %s.\n", old, c->word[1]);
    return 0;
}
