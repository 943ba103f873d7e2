/* How the hub reaches a machine that is online: through an agent's control connection, or through the front
 * of a user who publishes it with stock OpenSSH. One small table of calls, so that nobody else has to know
 * which. */
#ifndef MULTISSH_HUB_LINK_H
#define MULTISSH_HUB_LINK_H

#include "stream/ticket.h"
#include <stdint.h>

struct link_dial {
    uint64_t id; /* the jump's number: comes back in jumps_dialled, jumps_failed */
    uint8_t stream[TICKET_ID_SIZE];
    char ticket[TICKET_TEXT_MAX];
    uint8_t key[TICKET_KEY_SIZE];
    char user[NAMES_USER_MAX + 1];
    char source[64];
    uint16_t source_port;
    uint32_t window, patience_ms;
};

struct link;
struct link_ops {
    const char *kind; /* "agent" or "publisher" */
    /* Sends the request; the answer comes later. Returns 0, or a negative code when the link cannot take it.
     */
    int (*dial)(struct link *l, const struct link_dial *d);
    /* A stream of this link was killed. */
    void (*hangup)(struct link *l, const uint8_t stream[TICKET_ID_SIZE], const char *reason);
    /* Gives the machine's side of a stream that runs a further connection. Takes fd in every case. NULL: that side dials by
     * itself. */
    int (*connect)(struct link *l, const uint8_t stream[TICKET_ID_SIZE], uint32_t epoch, int fd);
    /* Closes the link after telling the other side why: code is one of "replaced", "revoked".
     * Never calls back into the registry in the same turn. */
    void (*drop)(struct link *l, const char *code, const char *reason);
    /* The machine has a new name. */
    void (*renamed)(struct link *l, const char *name);
};
/* Embedded as the first member of whoever implements it. */
struct link {
    const struct link_ops *ops;
};

#endif
