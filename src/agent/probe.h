/* Is the machine's own SSH server there? Keeps the answer, and the server's host keys, fresh, and tells of
 * changes. */
#ifndef MULTISSH_AGENT_PROBE_H
#define MULTISSH_AGENT_PROBE_H

#include "agent/hostkeys.h"
#include <stdbool.h>

struct agent;
struct probe;

/* The state or the host keys have changed, or are known for the first time. Never called from within a call of
 * this module. */
typedef void probe_changed_fn(void *arg);
/* Returns 0 or -ENOMEM. */
int probe_new(struct agent *a, probe_changed_fn *changed, void *arg, struct probe **ret_p);
void probe_free(struct probe *p); /* NULL-safe */
/* Begins, and begins anew: everything that was known is forgotten. */
void probe_start(struct probe *p);
void probe_stop(struct probe *p);

bool probe_runs(const struct probe *p);
/* Has the first probe, with the host keys, ended? */
bool probe_ready(const struct probe *p);
const char *probe_state(const struct probe *p); /* "ok", "refused", "timeout", "not-ssh" */
/* Was the address that was connected to last one of this host? */
bool probe_is_local(const struct probe *p);
const struct hostkeys *probe_hostkeys(const struct probe *p);
/* A jump saw that it may have changed: look again soon. */
void probe_soon(struct probe *p);

#endif
