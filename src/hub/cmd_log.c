/* log: what happened. */
#include "hub/cmd.h"

#include "base/clock.h"
#include <stdio.h>
#include <string.h>

#define ROWS_MAX 1000000

static void part(struct cmd *c, const char *name, const char *text)
{
    char clean[520];
    if (text == NULL || *text == '\0')
        return;
    describe_clean(text, clean, sizeof clean);
    cmd_out(c, "%s%s", name, clean);
}

static int print_event(const struct store_event *e, void *arg)
{
    struct cmd *c = arg;
    char utc[32];
    clock_format_utc(e->at_s, utc, sizeof utc);
    cmd_out(c, "%s %-8s", utc, e->kind);
    part(c, " user=", e->user);
    part(c, " machine=", e->machine);
    part(c, " source=", e->source);
    part(c, " ", e->text);
    cmd_out(c, "\n");
    return c->failed;
}

int cmd_log_run(struct cmd *c)
{
    const char *number = "50", *machine = NULL;
    char name[NAMES_MACHINE_MAX + 1], clean[80];
    uint64_t n;
    const struct cmd_option options[] = {{'n', "lines", NULL, &number}};
    int status = cmd_parse(c, options, 1, 0, 1);
    if (status != CMD_GO)
        return status;
    if (cmd_number(number, 1, ROWS_MAX, &n) < 0)
        return cmd_usage(c, "-n takes a number from 1 to %d", ROWS_MAX);
    if (c->n == 1) { /* machines that are no more have a history too */
        if (describe_machine_name(c->word[0], c->hub->domain, name) < 0) {
            describe_clean(c->word[0], clean, sizeof clean);
            return cmd_fail(c, "\"%s\" is not a machine name", clean);
        }
        machine = name;
    }
    if (store_events(c->hub->store, machine, NULL, (unsigned)n, print_event, c) < 0 && c->failed == 0)
        return cmd_fail(c, "the hub cannot read its database now; its log says why");
    return 0;
}
