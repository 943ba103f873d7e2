/* What only its user, the system and its administrators may read or write: as mode 0700 and 0600 elsewhere. Windows
 * alone. */
#ifndef MULTISSH_BASE_PRIVATE_WINDOWS_H
#define MULTISSH_BASE_PRIVATE_WINDOWS_H

#include "base/errmsg.h"
#include "base/win.h"

struct private_rights {
    SECURITY_ATTRIBUTES attributes; /* for CreateFileW and CreateDirectoryW; not inherited */
    PSECURITY_DESCRIPTOR descriptor;
};

/* Rights for SYSTEM and the Administrators alone, and for this process' user when it is not one of them (elevated): else
 * what that user starts without being elevated could change what the elevated one believes. Nothing above adds to them,
 * and what is made in such a folder has them too. Returns 0 or a negative errno value; then nothing is to be released. */
int private_init(struct private_rights *rights);
void private_release(struct private_rights *rights);

/* Does it belong to one of them, and is nobody else allowed to read or change it? Returns 0, -EPERM, or -EINVAL when
 * the descriptor cannot be read. */
int private_judge(PSECURITY_DESCRIPTOR descriptor);

/* May a process that is elevated, or the system, believe what is in the folder that is at path? Anybody may make one in
 * ProgramData. Returns 0 (also: there is none, or this process is not elevated), -EPERM with err (a link; or others may
 * write into it) or another negative errno value with err. */
int private_check_folder(const char *path, struct errmsg *err);

#endif
