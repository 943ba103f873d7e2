/* Runs a program, bounded in time, and collects what it prints. Knows nothing of what it is asked. */
#ifndef MULTISSH_AGENT_COMMAND_H
#define MULTISSH_AGENT_COMMAND_H

#include "base/buf.h"
#include <uv.h>

#define COMMAND_WORDS_MAX 200

struct command;
struct command_result {
    int status;        /* 0: it exited with 0; else the exit status, 128 + signal, or -1: it never ran */
    struct buf *text;  /* what it wrote to standard output; all or, when that was too much, nothing */
    const char *words; /* the last line of what it wrote to standard error, printable; or why it never ran,
                                or that it took too long; "" */
    int error;         /* the libuv code for which it could not be run, or 0 */
};
/* Valid during the call. */
typedef void command_fn(void *arg, const struct command_result *result);

/* Starts args[0] (NULL-terminated), found as execvp finds it, without input. fn is called once, later, also
 * when it cannot be run. max: bytes of its output. errors: is its standard error read? Otherwise it is
 * dropped. Returns 0 or -ENOMEM. */
int command_run(uv_loop_t *loop, char **args, uint64_t timeout_ms, size_t max, bool errors, command_fn *fn,
                void *arg, struct command **ret_command);
/* Ends it without a call; NULL-safe. After fn was called there is nothing to be cancelled. */
void command_cancel(struct command *command);

#endif
