/* One connection between an agent and a keeper: messages as JSON lines (PROTOCOL.md), bounded both ways. Knows not what
 * they mean. */
#ifndef MULTISSH_AGENT_KEEPER_LINK_H
#define MULTISSH_AGENT_KEEPER_LINK_H

#include <cjson/cJSON.h>
#include <uv.h>

#define KEEPER_LINK_LINE_MAX 16384                 /* with its newline */
#define KEEPER_LINK_PENDING_MAX (8u * 1024 * 1024) /* bytes: who reads so little is taken for dead */

struct keeper_link;
struct keeper_link_calls {
    /* A message came; m is valid during the call. Returns NULL, or why the connection is to be closed. */
    const char *(*message)(void *arg, const char *type, const cJSON *m);
    /* The other side, a fault, or what message returned has ended it. The link is to be freed. */
    void (*ended)(void *arg, const char *words);
};

/* stream is connected, and on the heap; it is the link's in every case. Returns 0 or a negative errno code. */
int keeper_link_new(uv_stream_t *stream, const struct keeper_link_calls *calls, void *arg,
                    struct keeper_link **ret_l);
/* message is taken in every case. What cannot be sent ends the link, in a later turn. */
void keeper_link_send(struct keeper_link *l, cJSON *message);
/* Closes it behind what was sent, for which, and for the other side to close too, it waits a moment. No calls follow.
 * NULL-safe. */
void keeper_link_free(struct keeper_link *l);

#endif
