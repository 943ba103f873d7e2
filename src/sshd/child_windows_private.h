/* Between child_windows.c, which owns a child's life, and child_windows_spawn.c, which makes its process. */
#ifndef MULTISSH_SSHD_CHILD_WINDOWS_PRIVATE_H
#define MULTISSH_SSHD_CHILD_WINDOWS_PRIVATE_H

#include "sshd/child_windows.h"
#include "sshd/inherit_windows.h"

/* What is started. */
struct child_program {
    char *name; /* UTF-8, for messages */
    wchar_t *path, *line;
};

/* What the session asks for; this program as --console. Return 0 or a negative errno value with a sentence; release it in any case. */
int child_program_init(struct child_program *program, const struct child_spec *spec, struct errmsg *err);
int child_program_init_console(struct child_program *program, struct errmsg *err);
void child_program_release(struct child_program *program);

/* In its job, and suspended. */
struct child_process {
    HANDLE process, thread, job;
};

/* As the account, in its environment and its folder. Returns 0 or a negative errno value with a sentence. */
int child_spawn(const struct child_spec *spec, const struct child_program *program,
                const struct inherit *inherit, struct child_process *ret_process, struct errmsg *err);

#endif
