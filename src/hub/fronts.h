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
/* Lets go of them all: they go on by themselves, for the next hub. */
void fronts_free(struct fronts *f);
/* Looks for the fronts of the last hub, and takes them and their jumps up. done is called once, in a later turn: when that
 * is over, or after 3 s; who answers later is taken up then. Returns 0 or -ENOMEM. */
typedef void fronts_taken_fn(struct hub *hub);
int fronts_take_up(struct fronts *f, fronts_taken_fn *done);
/* Has a process ready for the first connection. */
void fronts_ready(struct fronts *f);
/* The hub ends: closes their channels, so that they turn to the next one. Nothing is answered any more. */
void fronts_leave(struct fronts *f);
/* May one more helper process (a front, or the relay of a stream) be started for source now? NULL, or why
 * not. Takes a token of the rates. */
const char *fronts_may_start(struct fronts *f, const char *source);
/* Starts a front for an accepted SSH connection. Takes the descriptor in every case and moves slot (a limit
 * reached: a line in the log, closed). */
void fronts_accept(struct fronts *f, int fd, const char *source, uint16_t port, struct door_slot *slot);
/* Speaks to a fresh front over the SEQPACKET socket fd (taken in every case). Returns 0 or a negative code. */
int fronts_speak(struct fronts *f, int fd, const char *source, uint16_t port, struct door_slot *slot,
                 struct front **ret_f);
/* Tells all to end, and makes them. */
void fronts_end_all(struct fronts *f, const char *text);
/* What is due: it comes by itself every second; sooner when the hub wants to end. */
void fronts_tick(struct fronts *f);
size_t fronts_count(const struct fronts *f);
/* How many were asked to end and have not yet. */
size_t fronts_ending(const struct fronts *f);
/* After a reload: looks every user's rights up again; a front whose key is gone is ended. */
void fronts_policy_changed(struct fronts *f);

#endif
