/* Signals of the monitor's process as bytes in a pipe, for its loop. */
#ifndef MULTISSH_SSHD_MONITOR_SIGNALS_H
#define MULTISSH_SSHD_MONITOR_SIGNALS_H

#include <stdbool.h>

/* From now on SIGCHLD, SIGTERM, SIGINT and SIGHUP come out of *ret_fd, and SIGPIPE and SIGXFSZ do nothing. One
 * at a time. Returns 0 or a negative errno value. */
int monitor_signals_open(int *ret_fd);
/* Takes what came: has a child ended, is this process to end? */
void monitor_signals_take(int fd, bool *ret_child, bool *ret_end);
/* The signals do again what they did before. */
void monitor_signals_close(int fd);

#endif
