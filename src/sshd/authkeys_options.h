/* The options before a key in authorized_keys, and what permitopen= and permitlisten= mean. Private to
 * authkeys. */
#ifndef MULTISSH_SSHD_AUTHKEYS_OPTIONS_H
#define MULTISSH_SSHD_AUTHKEYS_OPTIONS_H

#include "sshd/authkeys.h"

struct authkeys_options {
    struct authkeys_rights rights;
    char *from; /* NULL: from anywhere */
};
void authkeys_options_release(struct authkeys_options *options);

/* Parses text, which is changed. Returns 0, -EINVAL (err says which option and why) or -ENOMEM; ret_options
 * is the caller's in every case. */
int authkeys_options_parse(char *text, struct authkeys_options *ret_options, struct errmsg *err);

/* Is text NAME=VALUE with a NAME of [A-Za-z_][A-Za-z0-9_]*? */
bool authkeys_options_env_ok(const char *text);

#define AUTHKEYS_OPTIONS_HOST 1024 /* NI_MAXHOST, OpenSSH's bound */

/* "HOST:PORT", "[V6]:PORT", "HOST/PORT"; *ret_port 0 for the port "*". "none" gives the host "" and the port
 * UINT_MAX, which nobody can ask for. Returns 0 or -EINVAL. */
int authkeys_options_permit(const char *text, char host[AUTHKEYS_OPTIONS_HOST], unsigned *ret_port);

#endif
