/* The user's side of a jump: a channel of a front, or a stream connection of the user's own. One small table of calls, so
 * that the switchboard has not to know which; link.h is its counterpart for the machine's side. */
#ifndef MULTISSH_HUB_CALLER_H
#define MULTISSH_HUB_CALLER_H

#include "hub/who.h"
#include "stream/ticket.h"
#include <stdint.h>

/* What edge a has to know of its stream. */
struct caller_stream {
    uint8_t stream[TICKET_ID_SIZE], key[TICKET_KEY_SIZE];
    const char *ticket; /* valid during the call */
    uint32_t window, patience_ms, epoch;
};

struct caller;
struct caller_ops {
    /* The answers to jumps_open, at most once for each channel. opened takes fd, the machine's half of the stream, in
     * every case; it returns 0 or a negative code when the caller is gone. */
    int (*opened)(struct caller *c, uint64_t channel, const struct caller_stream *s, int fd);
    void (*refused)(struct caller *c, uint64_t channel, const char *text);
    /* A later connection of the machine's half. Takes fd in every case. */
    int (*connection)(struct caller *c, uint64_t channel, const uint8_t stream[TICKET_ID_SIZE],
                      uint32_t epoch, int fd);
    /* An open stream is to be ended. */
    void (*kill)(struct caller *c, uint64_t channel, const char *text);
    /* The machine's side of an open stream says that it is over there; sent and received as it counts. NULL: the caller hears
     * of it by the stream itself. */
    void (*ended)(struct caller *c, uint64_t channel, const char *reason, uint64_t sent, uint64_t received);
    /* Who it is, with the rights of the moment; NULL: nobody any more. */
    const struct who *(*who)(const struct caller *c);
    uint16_t (*port)(const struct caller *c); /* where the user's connection comes from; 0: not known */
};
/* Embedded as the first member of whoever implements it. */
struct caller {
    const struct caller_ops *ops;
};

#endif
