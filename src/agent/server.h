/* Which SSH server do users reach: the machine's own, or the built-in one? Decided from the options, from what
 * the probe sees and from whether the built-in one can be had; the hub is told of changes. */
#ifndef MULTISSH_AGENT_SERVER_H
#define MULTISSH_AGENT_SERVER_H

#include "agent/hostkeys.h"
#include <stdbool.h>

struct agent;
struct server;

/* Returns 0 or -ENOMEM. */
int server_new(struct agent *a, struct server **ret_s);
void server_start(struct server *s);
void server_free(struct server *s); /* NULL-safe */

/* Has it been decided once, host keys included? */
bool server_ready(const struct server *s);
/* What the hub is told, PROTOCOL.md's words. */
const char *server_ssh(const struct server *s);
const char *server_ssh_state(const struct server *s);
/* Why there is no built-in server where one is wanted; "". */
const char *server_words(const struct server *s);
const struct hostkeys *server_hostkeys(const struct server *s);

/* Do users get the built-in one? Otherwise the machine's own is dialled. */
bool server_is_builtin(const struct server *s);
/* A jump saw that something may have changed: look again soon. */
void server_soon(struct server *s);
/* The options have changed; ssh: the address of the machine's own one too. */
void server_reload(struct server *s, bool ssh);

#endif
