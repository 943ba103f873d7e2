/* The front's line to its hub: one JSON object a packet over a Unix SOCK_SEQPACKET socket, descriptors by
 * SCM_RIGHTS.
 *
 * Knows packets and their bounds, not what they mean. */
#ifndef MULTISSH_FRONT_HUB_LINK_H
#define MULTISSH_FRONT_HUB_LINK_H

#include "base/json.h"
#include "ssh/ssh_loop.h"

#define HUB_LINK_PACKET_MAX 131072u

struct hub_link;

/* A message, valid during the call, and the descriptor that came with it, the callee's, or -1. The link must not
 * be freed in the call. */
typedef void (*hub_link_message_fn)(void *arg, struct hub_link *link, const cJSON *message, int fd);

/* Takes fd. Returns 0 or a negative errno value. */
int hub_link_new(int fd, struct hub_link **ret_link);
void hub_link_free(struct hub_link *link); /* NULL-safe */
/* Waits, at most timeout_ms, for one message without a descriptor; before hub_link_watch. The caller frees it
 * with cJSON_Delete. Returns 0, -ETIMEDOUT, -EPIPE (closed) or -EPROTO. */
int hub_link_wait(struct hub_link *link, int timeout_ms, cJSON **ret_message);
/* From now on messages are handed over from the loop. Returns 0 or -ENOMEM. */
int hub_link_watch(struct hub_link *link, struct ssh_loop *loop, hub_link_message_fn message, void *arg);

/* Sends a message, or keeps it until the hub reads again (4 MiB at most, then the link is lost). Frees it in
 * every case; NULL (out of memory) is -ENOMEM. Returns 0 or a negative errno value. */
int hub_link_send(struct hub_link *link, cJSON *message);
/* May something be sent? False: the hub has gone, or has broken the protocol. */
bool hub_link_up(const struct hub_link *link);
/* Nothing will come either: all that a hub said before it went has been handed over. A turn follows in which the owner
 * finds that out. */
bool hub_link_over(const struct hub_link *link);
const char *hub_link_why(const struct hub_link *link);      /* it is over; NULL before */
void hub_link_drop(struct hub_link *link, const char *why); /* why: stays the caller's, as long as link */
bool hub_link_idle(const struct hub_link *link);            /* nothing is waiting to be sent */

#endif
