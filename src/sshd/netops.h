/* What helpers do with the network for an account, as the account: connect, listen, an agent's socket. Each
 * answers with one struct netops_answer, and the descriptor that was asked for. Sibling: netops_posix.c. */
#ifndef MULTISSH_SSHD_NETOPS_H
#define MULTISSH_SSHD_NETOPS_H

#include <stdbool.h>
#include <stdint.h>

#define NETOPS_HOST_MAX 255
#define NETOPS_TEXT_MAX 512
#define NETOPS_CONNECT_MS 30000 /* for all addresses of a name together */

struct netops_answer {
    int32_t failed;             /* 0: a descriptor comes with this */
    uint32_t port;              /* listen: the one that it is */
    char text[NETOPS_TEXT_MAX]; /* why it failed, a sentence; agent: the path */
};

struct netops_target {
    const char *host;
    unsigned port;
    bool anywhere; /* listen: at any address, not the loopback one alone */
};

/* helper_fn's; arg: struct netops_target. The addresses of the name are tried in turn. */
int netops_connect(void *arg, int fd);
/* One socket. Without anywhere: at host when that is a loopback address, else at 127.0.0.1, or at ::1 where there
 * is no IPv4. With it "" and "*" are every address of the machine. Port 0 takes any. */
int netops_listen(void *arg, int fd);
/* arg: unused. Makes agent.PID in a new private folder in /tmp, and stays until the other end of fd is closed:
 * then both go. */
int netops_agent(void *arg, int fd);

#endif
