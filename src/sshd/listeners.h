/* Sockets that listen here for the client: what it asked to be forwarded (tcpip-forward), and its agent's. */
#ifndef MULTISSH_SSHD_LISTENERS_H
#define MULTISSH_SSHD_LISTENERS_H

#include "sshd/sshd.h"

void listeners_ask(struct sshd *sshd, struct ssh_ask *ask);   /* FORWARD */
void listeners_unask(struct sshd *sshd, struct ssh_ask *ask); /* UNFORWARD */

/* A socket at which programs find the client's agent; once a connection. */
void listeners_agent(struct sshd *sshd);
/* It has been asked for and is not there yet: programs have to wait for it. */
bool listeners_agent_pending(const struct sshd *sshd);

void listeners_turn_all(struct sshd *sshd);
void listeners_free_all(struct sshd *sshd);

#endif
