/* Connections that are passed on: to elsewhere for the client (direct-tcpip), from listeners here to the client
 * (forwarded-tcpip), and to the client's agent. */
#ifndef MULTISSH_SSHD_FORWARDS_H
#define MULTISSH_SSHD_FORWARDS_H

#include "sshd/sshd.h"

void forwards_direct(struct sshd *sshd, struct ssh_ask *ask);   /* DIRECT */
void forwards_listen(struct sshd *sshd, struct ssh_ask *ask);   /* FORWARD */
void forwards_unlisten(struct sshd *sshd, struct ssh_ask *ask); /* UNFORWARD */

/* A socket at which programs find the client's agent; once a connection. */
void forwards_agent(struct sshd *sshd);
/* It has been asked for and is not there yet: programs have to wait for it. */
bool forwards_agent_pending(const struct sshd *sshd);

void forwards_opened(struct sshd *sshd, struct ssh_chan *chan, int error, const char *why);
void forwards_turn_all(struct sshd *sshd);
void forwards_free_all(struct sshd *sshd);

#endif
