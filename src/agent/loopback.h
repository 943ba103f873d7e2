/* A loopback address of its own for each user: the machine's sshd then counts one user's failures against
 * that user's address, and does not lock out everybody who comes through the agent. Pure. */
#ifndef MULTISSH_AGENT_LOOPBACK_H
#define MULTISSH_AGENT_LOOPBACK_H

#include <stddef.h>

/* 127.x.y.z from a hash of the user's name, never in 127.0.0.0/24 and never ending in 0 or 255. size ≥ 16.
 * Returns 0 or -EIO. */
int loopback_for_user(const char *user, char *out, size_t size);

#endif
