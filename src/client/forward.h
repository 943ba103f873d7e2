/* `multissh forward NAME`: a port of this host that is the machine's SSH server. */
#ifndef MULTISSH_CLIENT_FORWARD_H
#define MULTISSH_CLIENT_FORWARD_H

#include "client/client_options.h"

/* Until it is told to end. Returns the exit status. */
int forward_run(const struct client_options *o, const char *name);

#endif
