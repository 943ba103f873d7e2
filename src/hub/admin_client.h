/* The other side of the admin socket: `multissh-hub COMMAND`. */
#ifndef MULTISSH_HUB_ADMIN_CLIENT_H
#define MULTISSH_HUB_ADMIN_CLIENT_H

/* Has the hub of state_dir run the command made of the n words, prints what it says, and returns its exit
 * status; 1 with a message when no hub is running. */
int admin_client_run(const char *state_dir, char *const *words, int n);

#endif
