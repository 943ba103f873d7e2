/* The joins: streams whose edge a is a connection of the user's own program, joined in the hub with the one of the machine's
 * side. Each is a caller of the switchboard, which opens, counts, lists and kills it like any other jump; here is what happens to
 * its two connections. A pair of them is used once: what ends one, or a newer one of either edge, ends both, and each edge dials
 * again. A stream that this hub never saw (it was restarted) is built from its ticket. */
#ifndef MULTISSH_HUB_JOINS_H
#define MULTISSH_HUB_JOINS_H

#include "hub/comer.h"
#include <stdbool.h>
#include <stddef.h>

struct hub;
struct joins;

int joins_new(struct hub *hub, struct joins **ret_j);
/* Lets go of them all: those that are paired go on by themselves. NULL-safe. */
void joins_free(struct joins *js);
/* A connection of a stream whose id says that it is joined: of edge a, or of edge b when the switchboard does not know the
 * stream. Takes the descriptor in every case. */
void joins_connection(struct joins *js, const struct comer *c);
/* After a reload: looks every user's rights up again. The jumps of those that have none left are for the caller to kill. */
void joins_policy_changed(struct joins *js);
/* The machine has a new name. js NULL: there are none. */
void joins_renamed(struct joins *js, const char *from, const char *to);
/* Ends them all, for good. */
void joins_end_all(struct joins *js, const char *text);
/* How many were told to end and have not yet. */
size_t joins_ending(const struct joins *js);
/* done is called, in a later turn, when the pairs of an earlier hub are taken up, or have had time enough. Once in the life of
 * js. */
typedef void joins_taken_fn(struct hub *hub);
void joins_take_up(struct joins *js, joins_taken_fn *done);

#endif
