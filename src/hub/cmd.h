/* Inside the commands: what a handler is given, and how it reads its words and answers. Included by
 * commands.c and cmd_*.c. */
#ifndef MULTISSH_HUB_CMD_H
#define MULTISSH_HUB_CMD_H

#include "base/printf.h"
#include "hub/commands.h"
#include "hub/describe.h"
#include "hub/hub.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CMD_ADMIN = 1, CMD_LOCAL = 2 };

struct cmd;
struct command {
    const char *name;
    const char *args; /* for usage */
    const char *help; /* one sentence, no full stop */
    unsigned flags;
    int (*run)(struct cmd *c); /* returns the exit status */
};
extern const struct command commands_table[];
extern const size_t commands_count;

struct cmd {
    struct hub *hub;
    const struct who *who;
    const struct command *self;
    char **word; /* after cmd_parse: the operands */
    int n;
    unsigned columns;
    int64_t now_s;
    struct commands_result *r;
    int failed; /* the first -ENOMEM or -ENOBUFS of an answer */
};

/* Answers. Words that came from outside go through describe_clean first. */
void cmd_out(struct cmd *c, const char *fmt, ...) LIKE_PRINTF(2, 3);
void cmd_err(struct cmd *c, const char *fmt, ...) LIKE_PRINTF(2, 3);
/* An error line on stderr; returns 1, so that a handler can `return cmd_fail(…)`. */
int cmd_fail(struct cmd *c, const char *fmt, ...) LIKE_PRINTF(2, 3);
/* The same with the usage line below it; returns 2. */
int cmd_usage(struct cmd *c, const char *fmt, ...) LIKE_PRINTF(2, 3);

struct cmd_option {
    char letter;        /* -l; '\0' = none */
    const char *name;   /* "json" for --json; NULL = none */
    bool *flag;         /* one of the two: */
    const char **value; /* it takes a value (-n 5, -n5, --uses 5, --uses=5) */
};
#define CMD_GO (-1)
/* Reads options, which may stand anywhere before "--", and leaves the operands in c->word. Returns CMD_GO, or
 * the status to end with (an unknown option, too few or too many operands; --help). */
int cmd_parse(struct cmd *c, const struct cmd_option *options, size_t count, int min, int max);
/* A whole number within [min, max]. Returns 0 or -EINVAL. */
int cmd_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret_n);

bool cmd_allowed(const struct cmd *c, const struct command *k);
/* The machine that this word (NAME or NAME.DOMAIN) means, when the user may reach it; else NULL and the error
 * is said. */
struct machine *cmd_machine(struct cmd *c, const char *word);
/* "14 min" since then. */
void cmd_ago(const struct cmd *c, int64_t since_s, char out[32]);
void cmd_audit(struct cmd *c, const char *kind, const char *machine, const char *text);

/* cmd_table.c: aligned columns, of which the least important are left out where the terminal is narrow. */
struct cmd_table {
    const char *const *heads;
    const uint8_t *rank; /* 0 = always shown; the highest is left out first */
    size_t columns;
    size_t width[12];
    struct buf cells; /* NUL-terminated, row by row */
    size_t n;         /* cells */
    int failed;
};
void cmd_table_init(struct cmd_table *t, const char *const *heads, const uint8_t *rank, size_t columns);
void cmd_table_cell(struct cmd_table *t, const char *fmt, ...) LIKE_PRINTF(2, 3);
void cmd_table_print(struct cmd_table *t, struct cmd *c); /* and releases */

/* The handlers. */
int cmd_list_bare(struct cmd *c);
int cmd_list_run(struct cmd *c);
int cmd_why_run(struct cmd *c);
int cmd_config_run(struct cmd *c);
int cmd_config_known_hosts(struct cmd *c);
int cmd_help_run(struct cmd *c);
int cmd_help_whoami(struct cmd *c);
int cmd_invite_run(struct cmd *c);
int cmd_machines_approve(struct cmd *c);
int cmd_machines_revoke(struct cmd *c);
int cmd_machines_rename(struct cmd *c);
int cmd_ticket_run(struct cmd *c);
int cmd_sessions_run(struct cmd *c);
int cmd_sessions_kill(struct cmd *c);
int cmd_log_run(struct cmd *c);
int cmd_hub_users(struct cmd *c);
int cmd_hub_stop(struct cmd *c);
int cmd_hub_reload(struct cmd *c);

#endif
