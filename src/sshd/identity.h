/* By which key this machine proves who it is. */
#ifndef MULTISSH_SSHD_IDENTITY_H
#define MULTISSH_SSHD_IDENTITY_H

#include "ssh/hostkey.h"

/* configured: a file, or NULL: the system's own in /etc/ssh (Ed25519, ECDSA, RSA: the first that can be read),
 * else the one in the folder state, which is made once. The caller owns *ret_key. Returns 0 or a negative errno
 * value with err filled. */
int identity_load(const char *configured, const char *state, struct hostkey **ret_key, struct errmsg *err);

#endif
