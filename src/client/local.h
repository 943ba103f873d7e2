/* The user's side of a stream: standard input and output of this process, or a connection. Reads into the stream's memory
 * and writes from it; knows nothing of the hub. */
#ifndef MULTISSH_CLIENT_LOCAL_H
#define MULTISSH_CLIENT_LOCAL_H

#include "stream/stream.h"
#include <uv.h>

struct local;

/* None is called from within a call of this module. */
struct local_calls {
    /* Bytes came or went: there may be something for the edge to send. */
    void (*moved)(void *arg);
    /* It takes nothing any more, or cannot be read: a libuv code. What comes for it is dropped from now on. Once. */
    void (*broken)(void *arg, int status);
};

/* Standard input and output: pipes, sockets, terminals or files. Returns 0 or a negative code of libuv. */
int local_new_stdio(uv_loop_t *loop, const struct local_calls *calls, void *arg, struct local **ret_l);
/* Takes tcp (heap, connected) in every case. Returns 0 or -ENOMEM. */
int local_new_tcp(uv_tcp_t *tcp, const struct local_calls *calls, void *arg, struct local **ret_l);

/* Before there is a stream: is the other end still there? A connection that ends is then told by `broken` (what has come
 * of it is kept, up to a bound). */
int local_watch(struct local *l);
/* From now on bytes go between it and s. */
void local_join(struct local *l, struct stream *s);
/* Moves what can be moved. To be called after whatever happens to the stream. */
void local_pump(struct local *l);
/* Has its input ended? */
bool local_ended(const struct local *l);
/* Before the first bytes of a turn are written. NULL: nothing. */
void local_before_output(struct local *l, void (*fn)(void *arg));

/* Closes it, without a call. NULL-safe. */
void local_free(struct local *l);

#endif
