/* By which key this machine proves who it is. */
#ifndef MULTISSH_SSHD_IDENTITY_H
#define MULTISSH_SSHD_IDENTITY_H

#include "ssh/hostkey.h"

/* configured: a file, or NULL: the system's own (OpenSSH's: Ed25519, ECDSA, RSA: the first that can be read),
 * else the one in the folder state, which is made once. The caller owns *ret_key. Returns 0 or a negative errno
 * value with err filled. */
int identity_load(const char *configured, const char *state, struct hostkey **ret_key, struct errmsg *err);

/* The path of the system's i-th host key, in the order in which they are tried. Returns 0, -EACCES (it is not there,
 * or cannot be read) or -ENOENT (there is no i-th). Siblings: identity_posix.c, identity_windows.c. */
int identity_system(size_t i, char *out, size_t size);

#endif
