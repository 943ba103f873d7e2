/* Pipes, which nothing can poll, joined by threads with sockets, which a loop can: a flow is one direction.
 *
 * The thread of a flow owns both ends and passes the end of one on to the other. Whoever makes a flow holds a
 * reference, its thread another: what they share goes with the last of them. Windows alone. */
#ifndef MULTISSH_SSHD_PIPES_WINDOWS_H
#define MULTISSH_SSHD_PIPES_WINDOWS_H

#include "base/win.h"
#include <stdbool.h>

#define PIPES_SIZE (64u << 10) /* what a pipe holds, and what is moved at once */

/* A pipe. ours is for a flow (overlapped, never inherited), theirs for a program or a pseudo console (blocking;
 * inherited when that is asked for). ours_reads: data comes to us. Returns 0 or a negative errno value. */
int pipes_make(bool ours_reads, bool inherited, HANDLE *ret_ours, HANDLE *ret_theirs);

/* One end of io_pair, blocking, that one or two flows have: closed with its last reference. */
struct pipes_socket;
int pipes_socket_new(int fd, struct pipes_socket **ret_socket); /* takes fd, also when it fails */
void pipes_socket_release(struct pipes_socket *socket);         /* NULL-safe */

struct pipes_flow;

/* From the pipe into the socket, until one of them ends. At the pipe's end the socket is shut; when the socket's peer
 * has gone the pipe is closed, so that its writer hears of it.
 * ended (NULL: none): an event, and once it is set, whatever was in the pipe by then is moved, and drained is set:
 * when nothing came for settle_ms, or when more came than the pipe could hold then.
 * Takes the pipe and a reference of its own to the socket; the pipe also when it fails. Returns 0 or a negative errno
 * value. */
int pipes_flow_out(HANDLE pipe, struct pipes_socket *socket, HANDLE ended, unsigned settle_ms,
                   struct pipes_flow **ret_flow);

/* From the socket into the pipe. At the socket's end the pipe is closed; when the pipe's reader has gone, what comes
 * is thrown away until the socket's end. Otherwise as above. */
int pipes_flow_in(struct pipes_socket *socket, HANDLE pipe, struct pipes_flow **ret_flow);

/* Events, valid while the reference is held. Over: both ends are done with (then it is drained, too). */
HANDLE pipes_flow_drained(const struct pipes_flow *flow);
HANDLE pipes_flow_over(const struct pipes_flow *flow);

/* What its writer had to say is in the pipe by now. The pipe's end is not awaited any longer than PIPES_LAST_MS without a
 * byte: somebody else may keep it open (under Wine the desktop does, which inherits what the console's host had). Of
 * a flow out of a pipe that is drained. */
#define PIPES_LAST_MS 2000u
void pipes_flow_last(struct pipes_flow *flow);

/* One byte more into the pipe, between those that come through the socket; never waits. Lost if the pipe has ended, or
 * if the last one has not been taken yet. Of a flow into a pipe. */
void pipes_flow_type(struct pipes_flow *flow, char byte);

/* What waits at the pipe gives up: at once if it was made by pipes_make, else as soon as the system lets it. Who waits
 * at the socket goes on until its peer is closed. */
void pipes_flow_stop(struct pipes_flow *flow);
void pipes_flow_release(struct pipes_flow *flow); /* NULL-safe; it goes on by itself */

/* Standard input and output, made by others, as one socket, non-blocking and the caller's. Takes in and out,
 * also when it fails. Returns 0 or a negative errno value; -EINVAL: one of them is no pipe. */
struct pipes_bridge;
int pipes_bridge_new(HANDLE in, HANDLE out, int *ret_fd, struct pipes_bridge **ret_bridge);
/* Nothing more is written to the socket (which the caller may have closed, or closes later): waits until what was has
 * gone to out, at most timeout_ms. Returns whether it has. Frees the bridge. NULL: true. */
bool pipes_bridge_finish(struct pipes_bridge *bridge, unsigned timeout_ms);

#endif
