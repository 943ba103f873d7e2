/* What systemd passes to the hub, and is told by it: listening sockets that outlive a restart (sd_listen_fds(3)), and
 * how far the hub is (sd_notify(3)). The two protocols are a few lines each; no library is used. */
#ifndef MULTISSH_HUB_ACTIVATION_H
#define MULTISSH_HUB_ACTIVATION_H

#include "base/errmsg.h"
#include <stddef.h>

#define ACTIVATION_MAX 16 /* sockets */

/* Takes the sockets that LISTEN_PID and LISTEN_FDS speak of, when they are for this process: each is made close-on-exec
 * and non-blocking, and the variables are removed. Call it before anything else opens a descriptor or starts a program.
 * Fills ret_fd[ACTIVATION_MAX], which are the caller's then. Returns how many (0: none were passed), or a negative code
 * with err filled: what was passed is not what can be listened on; nothing of it is open then. */
int activation_take(int *ret_fd, struct errmsg *err);

/* Tells systemd the state, as in "READY=1"; nothing happens when it does not want to know. Never waits. */
void activation_notify(const char *state);
/* RELOADING=1 with the time that goes with it; "READY=1" follows when it is done. */
void activation_notify_reloading(void);

#endif
