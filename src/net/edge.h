/* One end (edge) of a resumable stream with its connections to the hub, over libuv: dials (through a proxy, to a
 * known address, plain or in TLS), says the preamble, lets several connections overlap, carries the bytes, dials anew
 * for as long as the stream's patience lasts, and ends so that the last words arrive.
 *
 * The owner has the local side: it pushes into the stream's source and takes from its sink (stream/stream.h) through
 * edge_stream, and leaves the faces "connections", "dial" and "time" of the stream to this module. Knows nothing of
 * who the owner is, of control connections, or of SSH.
 *
 * All calls and callbacks happen on the loop's thread. No callback fires within a call of this module (edge_way_fn
 * does not either); whatever a callback finds may be acted on in it, edge_free too. */
#ifndef MULTISSH_NET_EDGE_H
#define MULTISSH_NET_EDGE_H

#include "base/addr.h"
#include "net/proxy.h"
#include "stream/stream.h"
#include "tls/session.h"
#include <uv.h>

#define EDGE_SCRATCH (128u * 1024) /* bytes of edge_config.scratch: what is read from a connection at once */
#define EDGE_LABEL_MAX 80          /* with the NUL */

struct edge;

enum edge_streams {
    EDGE_AUTO, /* plain, or in TLS where plain is seen not to get through */
    EDGE_PLAIN,
    EDGE_TLS,
};

/* The way to the hub, as it is now. */
struct edge_way {
    struct addr_hostport to; /* the hub; its host is also the name that TLS asks for */
    struct sockaddr_storage
        at;             /* the address behind that name, when it is known; family 0: it is looked up. It is
                                   not used where a proxy is */
    struct proxy proxy; /* wiped after use */
    enum edge_streams streams;
    struct session_trust trust; /* name is not looked at */
};

struct edge_calls {
    /* A connection is to be opened: fills ret_way, which is zeroed. Asked each time anew, so that changed settings and
     * a hub that has moved are taken over. Returns 0, or a negative code: not now (it is asked again 2 s later).
     * Must not call this module. Never NULL. */
    int (*way)(void *arg, struct edge_way *ret_way);
    /* The first connection in TLS is to be opened: a context of session_client_ctx(NULL, NULL), of which the edge takes a
     * reference, or NULL: it cannot be had now. Must not call this module. NULL: no connection goes in TLS. */
    SSL_CTX *(*tls)(void *arg);
    /* Something happened: look at the stream (sink, room of the source, state). What is pushed and taken in it needs
     * no edge_poke. Called also when the stream is no longer STREAM_OPEN. Never NULL. */
    void (*turn)(void *arg);
    /* The first connection to the hub stands, and the preamble is on its way. Once. */
    void (*opened)(void *arg);
    /* A connection came to nothing, or was lost, and no other one is on its way or in use. words: for people, what
     * happened to it. The edge goes on trying while the stream is open; an owner that wants no more resets the stream, or frees e. */
    void (*failed)(void *arg, const char *words);
    /* The hub, and nobody else (it proved that it has the stream's key), will not have a connection. final: it never
     * will; the stream is STREAM_RESET_BY_US with that reason when this is called. Else the edge goes on trying.
     * text: for people, clean UTF-8. */
    void (*refused)(void *arg, bool final, const char *text);
    /* With EDGE_AUTO: plain connections do not get through here and one in TLS did. An owner with several edges
     * begins the next ones with tls_first. Once. */
    void (*needs_tls)(void *arg);
    /* The stream is over and its last words are said: nothing more will happen, and edge_free is to be called (in it,
     * or later). Never NULL. */
    void (*closed)(void *arg);
};

struct edge_config {
    uv_loop_t *loop;
    struct stream_config stream; /* copied; dials is taken for true. The key is the owner's to wipe */
    const char *ticket;          /* text; copied */
    bool tls_first;              /* with EDGE_AUTO: begin in TLS */
    char *scratch;     /* EDGE_SCRATCH bytes that outlive the edge; all edges of a loop may share them */
    const char *label; /* begins the lines in the debug log; copied, cut to EDGE_LABEL_MAX. NULL: "stream" */
};

/* Makes it and has it dial in the next turn of the loop. calls stays the owner's and outlives e. Returns 0, -EINVAL
 * (role, window, or a ticket that cannot be one), -ENOMEM or -EIO. */
int edge_new(const struct edge_config *config, const struct edge_calls *calls, void *arg,
             struct edge **ret_e);
/* Closes everything at once; what was not sent is not sent: reset the stream and await `closed` for a clean end. No
 * callback follows. The stream is freed with it. NULL-safe. */
void edge_free(struct edge *e);

/* Valid until edge_free. Not to be called on it: stream_attach to stream_wants_close, stream_wants_dial, stream_tick,
 * stream_free. */
struct stream *edge_stream(const struct edge *e);
/* The owner has pushed, taken, said EOF or reset the stream outside of `turn`: sends what can be sent and looks at
 * what is due. Cheap when there is nothing to be done. */
void edge_poke(struct edge *e);
/* From now on the hub has no reason to let a connection wait for the other edge (before that it may, for as long as
 * the other edge takes to come): one on which nothing is heard for 3 s may be one that does not get through. Only
 * EDGE_AUTO needs it. Idempotent. */
void edge_expect(struct edge *e);
/* The network has changed (an address, a route, a resume from sleep): a live connection has to prove itself at once,
 * or a fresh one is opened beside it within about a second; with none live, one is opened now. */
void edge_network_changed(struct edge *e);

/* Bulk data for the stream's source, from the connected TCP socket fd: up to n bytes that this process does not look at
 * (net/stash.h), where that can be done. Returns how many, which count as pushed; 0 at their end; -EAGAIN: there are none now; -EBUSY: as
 * edge_room says, there is no room for them now; -ENOTSUP: it cannot be done now, read them yourself; or another negative code, that of a read. As after a
 * push, edge_poke or the end of `turn` sends them. */
long edge_take(struct edge *e, int fd, size_t n);
/* How much edge_take, or a push into the stream's source, would take now; 0: stop reading. */
size_t edge_room(const struct edge *e);

/* Bulk data for the stream's sink need not be looked at either: the owner says in each `turn` whether it would deliver them with
 * edge_give, before anything else. */
void edge_pass(struct edge *e, bool pass);
/* Delivers such bytes, if they are the next ones of the sink, to the connected TCP socket fd; what it does not take is in the sink's memory
 * afterwards. Returns how many were delivered, 0 when there are none, or the negative code of a write that failed. */
long edge_give(struct edge *e, int fd);

/* Bulk data comes from the owner's side (base/pace.h): what comes from the hub may wait for a few ms. */
void edge_follow(struct edge *e, bool bulk);
/* Bulk data comes from the hub: what comes from the owner's side may wait. */
bool edge_bulk(const struct edge *e);

/* Since when (ms, monotonic) no connection is live, or the live one has not answered for longer than it may; 0: all is
 * well. In the beginning: since edge_new. */
uint64_t edge_trouble_since(const struct edge *e);
/* What happened to the last connection that came to nothing, for people; "" when there was none. Valid until the next
 * turn of the loop. */
const char *edge_last_words(const struct edge *e);

#endif
