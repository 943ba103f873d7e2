/* The hub's own socket, STATE/hub.sock: the commands of PROTOCOL.md for whoever runs the hub (the same user,
 * or root). */
#ifndef MULTISSH_HUB_ADMIN_H
#define MULTISSH_HUB_ADMIN_H

#include "base/errmsg.h"
#include <stddef.h>
#include <sys/un.h>

struct hub;
struct admin;

#define ADMIN_SOCKET "hub.sock"

/* Listens; whoever comes waits until admin_begin. Needs the lock of the state folder: a socket left over from before is
 * replaced. */
int admin_new(struct hub *hub, struct admin **ret_a, struct errmsg *err);
void admin_begin(struct admin *a);
/* Closes everything and removes the socket. NULL-safe. */
void admin_free(struct admin *a);

/* The address of the socket, whatever the length of the folder's path: *ret_dir is a descriptor to keep open
 * while it is used. Returns 0 or a negative code. */
int admin_address(const char *state_dir, struct sockaddr_un *ret_sa, int *ret_dir);

#endif
