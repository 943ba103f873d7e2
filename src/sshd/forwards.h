/* Connections that are passed on: to elsewhere for the client (direct-tcpip), from a listener here to the client
 * (forwarded-tcpip), and to the client's agent. */
#ifndef MULTISSH_SSHD_FORWARDS_H
#define MULTISSH_SSHD_FORWARDS_H

#include "sshd/sshd.h"

void forwards_direct(struct sshd *sshd, struct ssh_ask *ask); /* DIRECT */
/* A connection that came to the listener at host:port, as the client named it, from origin; host NULL: to the
 * agent's. Takes fd. */
void forwards_back(struct sshd *sshd, int fd, const char *host, unsigned port, const char *origin,
                   unsigned origin_port);

void forwards_opened(struct sshd *sshd, struct ssh_chan *chan, int error, const char *why);
void forwards_turn_all(struct sshd *sshd);
void forwards_free_all(struct sshd *sshd);

#endif
