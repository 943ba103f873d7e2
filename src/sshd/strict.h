/* StrictModes of sshd(8): could somebody else than the account, or root, have written this file? */
#ifndef MULTISSH_SSHD_STRICT_H
#define MULTISSH_SSHD_STRICT_H

#include "base/errmsg.h"
#include <sys/stat.h>
#include <sys/types.h>

/* path was opened, and st is what fstat says of it. Checks the file and every folder above it (symbolic links
 * resolved), up to the home when it is below it, else up to the root: owned by uid or root, writable for
 * neither group nor others. Returns 0 or -EACCES with err filled: which one, and what to do. */
int strict_check(const char *path, const struct stat *st, const char *home, uid_t uid, struct errmsg *err);

#endif
