/* What a process that touches a stranger's bytes gives up: descriptors, names of files, identity, system calls.
 */
#ifndef MULTISSH_SSHD_CONFINE_H
#define MULTISSH_SSHD_CONFINE_H

#include "base/errmsg.h"
#include <stddef.h>

/* Closes every descriptor but 0, 1, 2, what syslog uses, and the n in keep. Returns 0 or a negative errno value.
 */
int confine_descriptors(const int *keep, size_t n);

/* As root: an empty folder that is already deleted becomes the root, and the process becomes the first of the
 * users multissh-sshd, sshd and nobody that there is. In every case then sandbox_enter_with(allow). Returns 0
 * or a negative errno value with err filled: the process must then end. */
int confine_process(unsigned allow, struct errmsg *err);

#endif
