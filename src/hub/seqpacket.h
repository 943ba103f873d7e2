/* A channel of JSON messages over a Unix SOCK_SEQPACKET socket, one message a packet, a descriptor with it
 * where wanted: what the hub speaks with its fronts and with its own command line. Knows no message's
 * meaning. */
#ifndef MULTISSH_HUB_SEQPACKET_H
#define MULTISSH_HUB_SEQPACKET_H

#include <cjson/cJSON.h>
#include <stddef.h>
#include <uv.h>

#define SEQPACKET_MESSAGE_MAX 131072

struct seqpacket;

struct seqpacket_calls {
    /* A message came; it is valid during the call. The callee may free the channel. Descriptors that come
     * with a message are closed: nobody sends the hub any. */
    void (*message)(void *arg, const cJSON *message);
    /* The peer closed, broke the rules, or let its queue fill. Called once; the callee frees the channel. */
    void (*ended)(void *arg, const char *reason);
};

/* Takes fd (made non-blocking) on success only. queue_max: the most bytes kept for a peer that does not read.
 * calls must outlive the channel. Returns 0 or a negative code. */
int seqpacket_new(uv_loop_t *loop, int fd, size_t queue_max, const struct seqpacket_calls *calls, void *arg,
                  struct seqpacket **ret_s);
/* Closes the socket; nothing is called any more. What is still queued is lost. */
void seqpacket_free(struct seqpacket *s);

/* Sends or queues one message. Takes message and fd (-1: none) in every case. Returns 0, -ENOMEM, -EMSGSIZE,
 * -EPIPE (the peer is gone), or -ENOBUFS (the queue is full: `ended` follows in a later turn). */
int seqpacket_send(struct seqpacket *s, cJSON *message, int fd);
size_t seqpacket_queued(const struct seqpacket *s); /* bytes */

#endif
