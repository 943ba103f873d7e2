/* What the SSH server asks of the operating system beside poll. Siblings: ssh_os_linux.c, ssh_os_windows.c. */
#ifndef MULTISSH_SSH_SSH_OS_H
#define MULTISSH_SSH_SSH_OS_H

#include <stdbool.h>
#include <stdint.h>

/* Readies the SSH library, before anything else of it is used; may be called often. Returns 0 or a negative errno
 * value. */
int ssh_os_init(void);
/* Close-on-exec duplicate, set non-blocking together with fd. Returns the descriptor or a negative errno
 * value. */
int ssh_os_dup(int fd);
/* TCP_NODELAY. Returns whether it is a TCP socket; does nothing on others. */
bool ssh_os_no_delay(int fd);
/* Acknowledge at once what comes next. It does not stick: call it again after each read. */
void ssh_os_quick_ack(int fd);
/* How long the peer's kernel has owed an answer, in ms; 0 when it owes none, UINT64_MAX when the socket cannot tell. */
uint64_t ssh_os_peer_silence(int fd);
/* A guard for one call into a library that a peer can send into an endless loop: when more than a second of
 * CPU time goes by between on and off, the process ends. To be started before the sandbox is closed. */
void ssh_os_guard_start(void);
void ssh_os_guard(bool on);

#endif
