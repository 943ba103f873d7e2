/* What a user's shell is on Windows, and the line that starts it: a process gets one string, and each kind of program
 * splits that by rules of its own. Windows alone. */
#ifndef MULTISSH_SSHD_CMDLINE_WINDOWS_H
#define MULTISSH_SSHD_CMDLINE_WINDOWS_H

#include "base/errmsg.h"
#include <stddef.h>

#define CMDLINE_MAX 32766u /* UTF-16 units that a process may be given */
#define CMDLINE_CMD_MAX 8191u

/* The program that option shell names: cmd (NULL and "" too), powershell, pwsh, bash, each looked for where its
 * installer puts it, or an absolute path. *ret_program: UTF-8, the caller's to free. Returns 0 or a negative errno value
 * with a sentence that says where it was looked for. */
int cmdline_find(const char *shell, char **ret_program, struct errmsg *err);

/* The line that starts program as a shell, or with command as its one command. Pure. What kind of shell it is, its name
 * tells: cmd gets /d /s /c and the command as it is, powershell and pwsh -NoProfile -NonInteractive -Command, any
 * other -c. *ret_line: UTF-8, the caller's to free. Returns 0, -E2BIG or -EILSEQ (command is not UTF-8) with a
 * sentence, or -ENOMEM. */
int cmdline_shell(const char *program, const char *command, char **ret_line, struct errmsg *err);

/* The line of these arguments, as CommandLineToArgvW and the C library split it. Pure. Returns 0, -E2BIG (with a
 * sentence) or -ENOMEM. */
int cmdline_join(const char *const *argv, size_t n, char **ret_line, struct errmsg *err);

#endif
