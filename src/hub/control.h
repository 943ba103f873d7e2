/* The control connections: one TLS connection for each agent, JSON lines in it (PROTOCOL.md). Does what the
 * registry's verdicts say, keeps the connection alive, and is the link through which jumps dial. Decides
 * nothing about names.
 *
 * An idle connection holds its TLS session and one struct; buffers exist only while bytes are on their way,
 * and no connection has a timer of its own. */
#ifndef MULTISSH_HUB_CONTROL_H
#define MULTISSH_HUB_CONTROL_H

#include "hub/door.h"
#include "hub/link.h"
#include <stddef.h>
#include <stdint.h>

struct hub;
struct controls;

#define CONTROL_LINE_MAX 16384          /* bytes of a message, the newline included */
#define CONTROL_OUTPUT_MAX (256u << 10) /* pending for an agent that does not read: then it is closed */

int controls_new(struct hub *hub, struct controls **ret_c);
/* Closes all at once. NULL-safe. */
void controls_free(struct controls *c);
/* A connection whose ClientHello asked for control, accepted at `since` (ms, monotonic): the TLS handshake begins. Takes fd in
 * every case and moves slot. */
void controls_accept(struct controls *c, int fd, const char *source, uint64_t since, struct door_slot *slot);
/* Tells every agent `bye` and closes once that is out. */
void controls_bye(struct controls *c);
/* Closes what has waited for an approval for too long. */
void controls_expire(struct controls *c);
size_t controls_count(const struct controls *c);

#endif
