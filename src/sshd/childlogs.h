/* What SFTP servers log: they are the account, so they have no descriptor of the log's but one that is read here, and
 * what they say is said in their account's name and bounded. */
#ifndef MULTISSH_SSHD_CHILDLOGS_H
#define MULTISSH_SSHD_CHILDLOGS_H

#include "ssh/ssh_loop.h"

struct childlog;
struct childlogs {          /* zeroed: none */
    struct childlog *first; /* private */
};

/* From now on what comes out of *fd (non-blocking) goes to the log, line by line; *fd is taken, and then -1. Does
 * nothing when it is negative; when memory is short it says so and leaves *fd. */
void childlogs_take(struct childlogs *logs, struct ssh_loop *loop, const char *account, int *fd);
/* With what is there to be read. */
void childlogs_release(struct childlogs *logs);

#endif
