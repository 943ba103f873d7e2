/* The key by which an SSH server proves who it is: read from an OpenSSH private key file of any type, made as
 * Ed25519. */
#ifndef MULTISSH_SSH_HOSTKEY_H
#define MULTISSH_SSH_HOSTKEY_H

#include "base/errmsg.h"
#include <stddef.h>

struct hostkey;

#define HOSTKEY_LINE_MAX 3072 /* "type base64" with NUL; RSA of 16,384 bits fits */

/* Makes a new key and writes path (mode 0600, never over a file that is there) and path.pub ("type base64
 * comment"). Safe against a power cut: the files are there whole or not at all, the private one first. Of
 * several processes that do this at once one makes the key, and path.pub belongs to it. Returns 0, -EEXIST or
 * another negative errno value with err filled. */
int hostkey_make(const char *path, const char *comment, struct errmsg *err);

/* Reads a private key file that only its owner can read. The caller owns *ret_key. Returns 0 or a negative
 * errno value with err filled. */
int hostkey_load(const char *path, struct hostkey **ret_key, struct errmsg *err);
/* Loads path; when it is not there makes it first, or loads what another process made meanwhile. Same returns.
 */
int hostkey_load_or_make(const char *path, const char *comment, struct hostkey **ret_key, struct errmsg *err);
void hostkey_free(struct hostkey *key); /* NULL-safe, wipes */

/* The public key as "type base64". Returns 0, -ENOBUFS or -ENOMEM. */
int hostkey_line(const struct hostkey *key, char *out, size_t size);

#endif
