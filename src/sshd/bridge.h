/* Two pipes as one socket: a process of its own that copies bytes both ways until both directions have ended.
 * For ssh's ProxyCommand, which gives pipes. */
#ifndef MULTISSH_SSHD_BRIDGE_H
#define MULTISSH_SSHD_BRIDGE_H

/* Starts the process, which is nobody's child, confined as the speaker is. in and out stay the caller's.
 * *ret_fd is the socket, close-on-exec. Returns 0 or a negative errno value. */
int bridge_start(int in, int out, int *ret_fd);

#endif
