/* sessions and kill: the jumps that run. */
#include "hub/cmd.h"

#include "base/clock.h"
#include "hub/jumps.h"
#include <errno.h>
#include <stdio.h>

struct rows {
    struct cmd *c;
    struct cmd_table table;
};

static int add_row(const struct jump_info *i, void *arg)
{
    struct rows *rows = arg;
    char ago[32], state[48], parked[32];
    clock_format_ago(i->parked_ms, parked, sizeof parked);
    snprintf(state, sizeof state, "waiting %s", parked);
    cmd_ago(rows->c, i->started_s, ago);
    cmd_table_cell(&rows->table, "%llu", (unsigned long long)i->id);
    cmd_table_cell(&rows->table, "%s", i->user);
    cmd_table_cell(&rows->table, "%s", i->machine);
    cmd_table_cell(&rows->table, "%s", ago);
    cmd_table_cell(&rows->table, "%s", !i->open ? "opening" : i->parked ? state : "open");
    cmd_table_cell(&rows->table, "%s", i->source);
    return 0;
}

int cmd_sessions_run(struct cmd *c)
{
    static const char *const heads[] = {"ID", "USER", "MACHINE", "SINCE", "STATE", "SOURCE"};
    static const uint8_t rank[] = {0, 0, 0, 1, 3, 2};
    struct rows rows = {.c = c};
    int status = cmd_parse(c, NULL, 0, 0, 0);
    if (status != CMD_GO)
        return status;
    cmd_table_init(&rows.table, heads, rank, 6);
    jumps_each(c->hub->jumps, add_row, &rows);
    cmd_table_print(&rows.table, c);
    return 0;
}

int cmd_sessions_kill(struct cmd *c)
{
    uint64_t id;
    char text[64];
    int status = cmd_parse(c, NULL, 0, 1, 1);
    if (status != CMD_GO)
        return status;
    if (cmd_number(c->word[0], 0, UINT64_MAX, &id) < 0)
        return cmd_usage(c, "an ID is a number (sessions lists them)");
    int rc = jumps_kill(c->hub->jumps, id, "killed by the hub's admin");
    if (rc == -ENOENT)
        return cmd_fail(c, "there is no session %llu (sessions lists them)", (unsigned long long)id);
    if (rc < 0)
        return cmd_fail(c, "session %llu could not be killed for good: the hub's log says why",
                        (unsigned long long)id);
    snprintf(text, sizeof text, "session %llu", (unsigned long long)id);
    cmd_audit(c, "kill", NULL, text);
    cmd_out(c, "Session %llu is ended.\n", (unsigned long long)id);
    return 0;
}
