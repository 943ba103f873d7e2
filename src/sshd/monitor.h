/* The monitor: the process that holds what needs root while another one speaks SSH.
 *
 * Owns the decision who may log in, the account's children, and their end. Trusts nothing that the speaker says
 * but that a key it calls verified is (libssh tells a verdict, not the signature). Must not speak SSH. */
#ifndef MULTISSH_SSHD_MONITOR_H
#define MULTISSH_SSHD_MONITOR_H

#include "sshd/sshd_options.h"
#include <sys/types.h>

struct monitor_config {
    const struct sshd_options *options;
    int speaker_fd;     /* SOCK_SEQPACKET; taken */
    pid_t speaker;      /* a child; ended, if it does not end by itself, and reaped */
    const char *peer;   /* the user's IP, or NULL */
    unsigned peer_port; /* 0: not known */
    const char *local;  /* the address and port that the user came to, for SSH_CONNECTION */
    unsigned local_port;
};

/* Serves until the speaker has gone, hangs up on every child, closes the PAM session. Returns 0 or a negative
 * errno value. */
int monitor_run(const struct monitor_config *config);

#endif
