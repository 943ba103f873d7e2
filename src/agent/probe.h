/* Is the machine's SSH server there? Keeps the answer, and the server's host keys, fresh, and tells the hub
 * of changes. */
#ifndef MULTISSH_AGENT_PROBE_H
#define MULTISSH_AGENT_PROBE_H

#include "agent/hostkeys.h"
#include <stdbool.h>

struct agent;
struct probe;

/* Returns 0 or -ENOMEM. */
int probe_new(struct agent *a, struct probe **ret_p);
void probe_start(struct probe *p);
void probe_free(struct probe *p);

/* Has the first probe, with the host keys, ended? */
bool probe_ready(const struct probe *p);
const char *probe_ssh(const struct probe *p); /* "openssh" (an SSH server of the machine's own) or "none" */
const char *probe_ssh_state(const struct probe *p); /* "ok", "refused", "timeout", "not-ssh" */
const struct hostkeys *probe_hostkeys(const struct probe *p);
/* A jump saw that it may have changed: look again soon. */
void probe_soon(struct probe *p);
/* The server is another one now (the option was changed): everything anew. */
void probe_restart(struct probe *p);

#endif
