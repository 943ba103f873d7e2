/* A verified stream connection that waits in the hub for its other half. Nothing is read from it; it is watched, so that one
 * whose edge has gone is not paired. */
#ifndef MULTISSH_HUB_LEG_H
#define MULTISSH_HUB_LEG_H

#include <stdint.h>
#include <uv.h>

struct leg;

/* Its edge has closed it. The callee frees it. */
typedef void leg_gone_fn(void *arg, struct leg *l);

/* Takes fd on success only. Returns 0 or a negative code. */
int leg_new(uv_loop_t *loop, int fd, uint32_t epoch, leg_gone_fn *gone, void *arg, struct leg **ret_l);
/* Gives the connection back, and frees the leg. */
int leg_take(struct leg *l);
/* Closes it. NULL-safe. */
void leg_free(struct leg *l);
uint32_t leg_epoch(const struct leg *l);

#endif
