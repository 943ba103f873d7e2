/* Names and patterns: of machines, users and hosts. Pure functions. */
#ifndef MULTISSH_BASE_NAMES_H
#define MULTISSH_BASE_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#define NAMES_MACHINE_MAX 63 /* one DNS label, RFC 1035 §2.3.4 */
#define NAMES_USER_MAX 64

/* A machine's name: 1 to 63 of [A-Za-z0-9_-], first and last a letter or digit. Case is kept, but names that
 * differ only in case are the same name. */
bool names_machine_ok(const char *name);
/* A user's name: 1 to 64 of [A-Za-z0-9_.@+-], not beginning with '-'. */
bool names_user_ok(const char *name);
/* A DNS host name or an IP address, at most 253 bytes, letters digits '-' '_' '.' ':' only, not beginning
 * with '-'. */
bool names_host_ok(const char *name);

/* Makes a machine name out of a host name: the first label, bytes that do not fit dropped. Returns 0 or
 * -EINVAL (nothing left). */
int names_from_host(const char *host, char *out, size_t size);

/* Names are the same (ASCII, case ignored). */
bool names_same(const char *a, const char *b);

/* Does name match pattern, where '*' is any run and '?' any byte (case ignored)? Linear time, no recursion.
 */
bool names_match(const char *name, const char *pattern);
/* A comma-separated list as in OpenSSH (ssh_config(5), PATTERNS): matches when one pattern does and no '!'
 * pattern does. */
bool names_match_list(const char *name, const char *list);
/* The same with case told apart, as in the names of accounts, groups and environment variables: 1 when a
 * pattern matches, -1 when a '!' pattern does, 0 when none does. Blanks around a pattern do not count. */
int names_judge_exact(const char *name, const char *list);
/* Is list well-formed: non-empty patterns of machine-name bytes, '*', '?', '!' at the front, at most 1,024
 * bytes? */
bool names_list_ok(const char *list);

#endif
