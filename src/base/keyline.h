/* SSH public keys as text: "type base64" (RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4, OpenSSH's PROTOCOL.u2f).
 * Checks the structure of the blob; verifies nothing. Pure functions. */
#ifndef MULTISSH_BASE_KEYLINE_H
#define MULTISSH_BASE_KEYLINE_H

#include "base/errmsg.h"
#include <stdbool.h>
#include <stddef.h>

#define KEYLINE_MAX 4200 /* longest "type base64": an RSA key of 16,384 bits has some 2,750 bytes */
#define KEYLINE_FINGERPRINT 52

/* Is the word at the start of at the name of a key type that exists, taken or refused? (What tells a key from
 * an option in a line.) */
bool keyline_at_type(const char *at);

/* Checks a user's key: type must be ssh-ed25519, ecdsa-sha2-nistp{256,384,521}, ssh-rsa of at least 2,048
 * bits, sk-ssh-ed25519@openssh.com or sk-ecdsa-sha2-nistp256@openssh.com; base64 must hold exactly one such
 * key. Writes "SHA256:…" as ssh-keygen -l prints it. Returns 0 or -EINVAL with err filled. */
int keyline_check_user(const char *type, const char *base64, char fingerprint[KEYLINE_FINGERPRINT],
                       struct errmsg *err);

/* Is line ("type base64", nothing behind it) a plausible host key, safe to print into a known_hosts file? No
 * certificates; a short RSA key is the client's business. */
bool keyline_host_ok(const char *line);

/* The value of an option before a key, in double quotes (\" inside for a quote): unquotes it in place,
 * NUL-terminated, and moves *at behind the closing quote. Returns 0 or -EINVAL (no quote, or one that is not closed). */
int keyline_take_quoted(char **at, char **ret_value);

/* Is text "SHA256:" and 43 base64 characters? */
bool keyline_fingerprint_ok(const char *text);

#endif
