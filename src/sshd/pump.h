/* Bytes between a channel and descriptors: the input of a child, its output and errors, a terminal, a socket.
 *
 * Owns the descriptors. Holds no more than one buffer a direction: what cannot be delivered stays within the
 * SSH window on one side, in the pipe or socket on the other. Must not know what the channel is for. */
#ifndef MULTISSH_SSHD_PUMP_H
#define MULTISSH_SSHD_PUMP_H

#include "ssh/ssh_loop.h"
#include "ssh/ssh_server.h"
#include <stdbool.h>

struct pump;

enum pump_kind {
    PUMP_PIPES,    /* in, out, err are three descriptors */
    PUMP_TERMINAL, /* one, which is in and out; the end of input is not passed on (there is no way) */
    PUMP_SOCKET,   /* one, which is in and out; the end of input shuts it down for writing */
};

/* Takes the descriptors, also when it fails, and becomes the channel's owner (ssh_chan_own). in, out, err: as
 * kind says; equal ones are one. Returns 0 or a negative errno value. */
int pump_new(struct ssh_loop *loop, struct ssh_chan *chan, enum pump_kind kind, int in, int out, int err,
             struct pump **ret_pump);
void pump_free(struct pump *pump); /* NULL-safe; closes the descriptors, not the channel */

/* Moves what can be moved. To be called once a turn. */
void pump_turn(struct pump *pump);

/* The reader of in has gone: input is thrown away from now on, and what can be read at once is read before
 * pump_quiet says yes. A terminal is then over, unless its output ends by itself (output_ends). */
void pump_child_ended(struct pump *pump, bool output_ends);
/* Everything that could be read at once has been read, and handed to the channel; or, after the child, all that
 * can be of it, while others go on to write. */
bool pump_quiet(const struct pump *pump);
/* out and err have ended, and everything of them has been handed to the channel: its EOF is due, which the owner
 * asks for. */
bool pump_output_over(const struct pump *pump);
/* The end of input has been passed on, or nobody wants input any more. */
bool pump_input_over(const struct pump *pump);
/* Input that came waits to be delivered. */
bool pump_input_waits(const struct pump *pump);
/* The descriptor of PUMP_TERMINAL; -1 otherwise. */
int pump_terminal(const struct pump *pump);

#endif
