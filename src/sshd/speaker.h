/* The process that speaks SSH: unprivileged, without files, in a sandbox, from before the first byte of the
 * peer's to its end. */
#ifndef MULTISSH_SSHD_SPEAKER_H
#define MULTISSH_SSHD_SPEAKER_H

#include "ssh/hostkey.h"
#include "sshd/sshd_options.h"

struct speaker_config {
    const struct sshd_options *options;
    const struct hostkey *key;
    int connection;   /* taken */
    int monitor;      /* taken: SOCK_SEQPACKET */
    const char *peer; /* who the user is, for the log: an address */
};

/* Serves the connection to its end. To be called in a child made for it. Returns the exit code. */
int speaker_run(const struct speaker_config *config);

#endif
