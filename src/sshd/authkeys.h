/* authorized_keys (sshd(8), AUTHORIZED_KEYS FILE FORMAT): which key may log in, and with which restrictions.
 *
 * Pure: text in, answer out. What cannot be honoured here refuses the key: an option that is unknown
 * (cert-authority, principals=, tunnel=, verify-required … too), a value that is malformed, a certificate. */
#ifndef MULTISSH_SSHD_AUTHKEYS_H
#define MULTISSH_SSHD_AUTHKEYS_H

#include "base/errmsg.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUTHKEYS_TEXT_MAX (4u << 20)
#define AUTHKEYS_LINE_MAX 16384
#define AUTHKEYS_ENV_MAX 64
#define AUTHKEYS_PERMIT_MAX 64

/* What a key may do. Zeroed: nothing is restricted. */
struct authkeys_rights {
    bool no_pty, no_port_forwarding, no_agent_forwarding, no_user_rc;
    char *command;               /* NULL: whatever is asked for */
    char *env[AUTHKEYS_ENV_MAX]; /* NAME=VALUE */
    size_t env_n;
    char *permit_open[AUTHKEYS_PERMIT_MAX]; /* HOST:PORT, * for any port; none: any. "none" permits nothing */
    size_t permit_open_n;
    char *permit_listen[AUTHKEYS_PERMIT_MAX]; /* [HOST:]PORT */
    size_t permit_listen_n;
    int64_t expiry_s; /* 0: never */
};
void authkeys_rights_release(struct authkeys_rights *rights);

/* Looks for key ("type base64", of a kind that keyline_check_user takes) in text. The first line that has it
 * and whose conditions (from=, expiry-time=) hold counts. ip: of the user, numeric, or NULL when it is not
 * known (then no from= holds). Returns 0 with *ret_rights the caller's and *ret_line, -ENOENT (no line has
 * it), or -EACCES (a line has it and does not let it in: err says why and which line; for the log), or
 * -ENOMEM. */
int authkeys_find(const char *text, size_t n, const char *key, const char *ip, int64_t now_s,
                  struct authkeys_rights *ret_rights, unsigned *ret_line, struct errmsg *err);

/* May it connect to host:port, listen at host:port? (permitopen=, permitlisten=, no-port-forwarding) */
bool authkeys_may_open(const struct authkeys_rights *rights, const char *host, unsigned port);
bool authkeys_may_listen(const struct authkeys_rights *rights, const char *host, unsigned port);

/* As bytes and back, for a helper that reads the file and the monitor that believes only what it can read.
 * pack appends to out. unpack returns 0 or -EBADMSG. */
struct buf;
int authkeys_pack(const struct authkeys_rights *rights, struct buf *out);
int authkeys_unpack(const void *data, size_t n, struct authkeys_rights *ret_rights);

#endif
