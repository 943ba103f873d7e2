/* Is somebody listening on a local port? Asked of the operating system, not by connecting: each connection
 * costs an sshd a process and two lines in its log. listen.c, and the siblings listen_linux.c and listen_windows.c. */
#ifndef MULTISSH_AGENT_LISTEN_H
#define MULTISSH_AGENT_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockaddr;

/* Is sa an address of this host (loopback, or of one of its interfaces)? */
bool listen_is_local(const struct sockaddr *sa);

/* Returns 1 (there is a listener that a connection to sa would reach), 0 (there is none), or a negative errno
 * value (it cannot be known). */
int listen_check(const struct sockaddr *sa);

/* Linux alone. The parser behind it, for one table in the form of /proc/net/tcp or tcp6 (v6), given in pieces that end
 * anywhere. addr: 4 or 16 bytes in network order. Zero-initialise but for what is public. */
struct listen_scan {
    uint8_t addr[16];
    uint16_t port;
    bool v6;        /* the table's address family */
    bool mapped;    /* addr is IPv4 (in the first 4 bytes), the table IPv6: a listener on :: takes it too */
    bool found;     /* the result */
    bool finished;  /* the rows of listeners are over: the rest needs no reading */
    size_t n;       /* private */
    char line[256]; /* private */
};
void listen_scan_feed(struct listen_scan *s, const char *data, size_t n);

#endif
