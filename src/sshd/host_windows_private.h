/* What the parts of host_windows share: host_windows.c (the whole, logins), host_windows_children.c,
 * host_windows_forwards.c. */
#ifndef MULTISSH_SSHD_HOST_WINDOWS_PRIVATE_H
#define MULTISSH_SSHD_HOST_WINDOWS_PRIVATE_H

#include "base/errmsg.h"
#include "base/log.h"
#include "sshd/authkeys.h"
#include "sshd/childlogs.h"
#include "sshd/host.h"
#include "sshd/logon_windows.h"
#include "sshd/workers_windows.h"
#include <stdatomic.h>

/* Who is logged in: also of threads that are starting a program when the connection ends. */
struct host_user {
    atomic_uint refs;
    struct logon *logon;
};
void host_user_release(struct host_user *user); /* NULL-safe */

struct host {
    struct ssh_loop *loop;
    struct host_config config;
    struct workers *workers;
    struct host_user *user;     /* NULL: nobody is logged in */
    struct authkeys_rights key; /* of the key that logged in */
    unsigned rights;
    struct {
        host_login_fn *fn; /* NULL: nothing is asked */
        void *arg;
        unsigned asked;
        struct ssh_loop_timer *refusal; /* one waits for its time */
        char last[512]; /* who was refused last, by what and why, when that is not in the log yet; "" */
    } login;
    struct host_child *children;
    struct childlogs logs;
    struct host_wait *waits;
    struct log_limit refusals;
};

/* Callbacks come no more, and what there is ends. */
void host_children_free(struct host *host);
void host_waits_free(struct host *host);

#endif
