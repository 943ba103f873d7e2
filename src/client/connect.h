/* `multissh connect NAME`: standard input and output are the machine's SSH server. */
#ifndef MULTISSH_CLIENT_CONNECT_H
#define MULTISSH_CLIENT_CONNECT_H

#include "client/client_options.h"

/* To the end of the session. Returns the exit status. */
int connect_run(const struct client_options *o, const char *name);

#endif
