/* Whether a program may run as the system, and a folder be believed by it: only when nobody but the system and its
 * administrators can change them (base/acl_windows.h judges). Windows alone. */
#ifndef MULTISSH_AGENT_RIGHTS_WINDOWS_H
#define MULTISSH_AGENT_RIGHTS_WINDOWS_H

#include "base/errmsg.h"

/* The path of what is there, without links, short names and drives that stand for something else. The caller's to
 * free. Returns 0 or a negative errno value; -EXDEV: it is not on a drive of this machine. */
int rights_real_path(const char *path, char **ret_path);

/* May only the trusted change this program, take it away, or put a library or another program beside it? path is
 * absolute, without links (rights_real_path). Returns 0, -EACCES with err saying which, who and what to do, or another
 * negative errno value with err. */
int rights_check_program(const char *path, struct errmsg *err);

/* Makes the folder at this absolute path (its parent is there), for SYSTEM and the Administrators alone. One that is
 * there is closed to others, and taken only if nobody else can have put anything into it. Returns 0 or a negative errno
 * value with err: -EACCES says who is not to be trusted, and what to do. */
int rights_close_folder(const char *path, struct errmsg *err);

#endif
