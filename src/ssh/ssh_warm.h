/* For a process that forks others: does once what each would do by itself the first time. */
#ifndef MULTISSH_SSH_SSH_WARM_H
#define MULTISSH_SSH_SSH_WARM_H

#include "ssh/hostkey.h"

/* Has a server and a client of this process shake hands over a socket pair, up to a login that is refused, so that the
 * libraries have looked up and built what a connection needs. Opens and closes descriptors, blocks some milliseconds and no
 * longer than a second. What fails is left cold. */
void ssh_warm(const struct hostkey *key);

#endif
