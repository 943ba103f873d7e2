/* The fronts: one process per SSH connection of a user; started, limited, spoken to and reaped here. Knows
 * the messages of PROTOCOL.md; speaks no SSH. */
#ifndef MULTISSH_HUB_FRONTS_H
#define MULTISSH_HUB_FRONTS_H

#include "hub/door.h"
#include <stdint.h>

struct hub;
struct front;
struct fronts;

int fronts_new(struct hub *hub, struct fronts **ret_f);
/* Lets go of them all: those that hold open jumps go on by themselves. */
void fronts_free(struct fronts *f);
/* May one more helper process (a front, or the relay of a stream) be started for source now? NULL, or why
 * not. Takes a token of the rates. */
const char *fronts_may_start(struct fronts *f, const char *source);
/* Starts a front for an accepted SSH connection. Takes the descriptor in every case and moves slot (a limit
 * reached: a line in the log, closed). */
void fronts_accept(struct fronts *f, int fd, const char *source, uint16_t port, struct door_slot *slot);
/* Speaks to a front that is already there over the SEQPACKET socket fd (taken in every case). Returns 0 or a
 * negative code. */
int fronts_adopt(struct fronts *f, int fd, const char *source, uint16_t port, struct door_slot *slot,
                 struct front **ret_f);
void fronts_end_all(struct fronts *f, const char *text);
/* Those through which no jump runs. */
void fronts_end_idle(struct fronts *f, const char *text);
size_t fronts_count(const struct fronts *f);
/* How many were asked to end and have not yet. */
size_t fronts_ending(const struct fronts *f);
/* After a reload: looks every user's rights up again; a front whose key is gone is ended. */
void fronts_policy_changed(struct fronts *f);

#endif
