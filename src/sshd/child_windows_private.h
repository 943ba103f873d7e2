/* Between child_windows.c, which owns a child's life, and child_windows_spawn.c, which makes its process. */
#ifndef MULTISSH_SSHD_CHILD_WINDOWS_PRIVATE_H
#define MULTISSH_SSHD_CHILD_WINDOWS_PRIVATE_H

#include "sshd/child_windows.h"
#include "sshd/conpty_windows.h"

/* In its job, and suspended. */
struct child_process {
    HANDLE process, thread, job;
};

/* std: what it is to have as standard input, output and error, inheritable, and it inherits nothing else; NULL: the
 * console's, which is attached. The handles stay the caller's. Returns 0 or a negative errno value with a sentence. */
int child_spawn(const struct child_spec *spec, const HANDLE std[3], const struct conpty *console,
                struct child_process *ret_process, struct errmsg *err);

#endif
