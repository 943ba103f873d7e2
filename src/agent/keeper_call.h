/* A connection to a keeper, for the agent and for the commands: starts one, or finds one by its place and proves to it,
 * and has it prove, the knowledge of the token. */
#ifndef MULTISSH_AGENT_KEEPER_CALL_H
#define MULTISSH_AGENT_KEEPER_CALL_H

#include "agent/keeper_place.h"
#include <cjson/cJSON.h>
#include <stdbool.h>

#define KEEPER_CALL_MS 15000 /* for it to say who it is: it may just begin, on a busy machine */

struct keeper_call;
struct keeper_call_calls {
    /* It has said who it is, and is believed: what was sent before may have been acted on already. */
    void (*ready)(void *arg, const char *version, long pid);
    /* As keeper_link's; only after ready. */
    const char *(*message)(void *arg, const char *type, const cJSON *m);
    /* It has ended, or never came to be; gone: nobody listens there any more. The call is to be freed. */
    void (*ended)(void *arg, bool gone, const char *words);
};

/* Connects. agent: as the agent, else as a command. ended comes also when it fails. Returns 0 or -ENOMEM, -EIO. */
int keeper_call_new(uv_loop_t *loop, const struct keeper_place *place, bool agent,
                    const struct keeper_call_calls *calls, void *arg, struct keeper_call **ret_c);
/* Starts a keeper of this program for place, which is new. What is sent at once arrives in order. Returns 0 or a negative
 * code with err filled; *ret_pid is its process. */
int keeper_call_start(uv_loop_t *loop, const struct keeper_place *place, const char *state_dir,
                      const struct keeper_call_calls *calls, void *arg, struct keeper_call **ret_c,
                      long *ret_pid, struct errmsg *err);
/* message is taken in every case. Not before ready, but for one that was started. */
void keeper_call_send(struct keeper_call *c, cJSON *message);
/* Closes the connection; no calls follow. NULL-safe. */
void keeper_call_free(struct keeper_call *c);

#endif
