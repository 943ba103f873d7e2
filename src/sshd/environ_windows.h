/* The environment of a session's programs on Windows. Windows alone. */
#ifndef MULTISSH_SSHD_ENVIRON_WINDOWS_H
#define MULTISSH_SSHD_ENVIRON_WINDOWS_H

#include "base/errmsg.h"
#include "base/win.h"
#include <stddef.h>

#define ENVIRON_UNITS_MAX (1u << 20) /* UTF-16 units of a whole block */
#define ENVIRON_VARIABLE_MAX 32766u  /* of one NAME=VALUE: what Windows' own functions take */

/* A block as CreateProcessW wants it: assignments sorted by name without regard to case, each with a NUL, and one more
 * NUL. It has what base has (such a block; NULL: empty), but for names that begin with MULTISSH_, which are this
 * program's own; over it, env (NAME=VALUE in UTF-8, env_n of them, a later one wins). An element of env that is
 * no assignment or not UTF-8 is left out. Pure. *ret_block: the caller's to free. Returns 0, -E2BIG with a sentence, or
 * -ENOMEM. */
int environ_merge(const wchar_t *base, const char *const *env, size_t env_n, wchar_t **ret_block,
                  struct errmsg *err);

/* The same with the account's own environment below: of whom token is; NULL: this process'. */
int environ_build(HANDLE token, const char *const *env, size_t env_n, wchar_t **ret_block,
                  struct errmsg *err);

#endif
