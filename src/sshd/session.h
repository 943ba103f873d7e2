/* Session channels (RFC 4254 §6): what is asked on them before a program runs, the program, and its end. */
#ifndef MULTISSH_SSHD_SESSION_H
#define MULTISSH_SSHD_SESSION_H

#include "sshd/sshd.h"

void session_open(struct sshd *sshd, struct ssh_ask *ask);    /* SESSION */
void session_request(struct sshd *sshd, struct ssh_ask *ask); /* PTY to AGENT */
void session_turn_all(struct sshd *sshd);
void session_free_all(struct sshd *sshd);

#endif
