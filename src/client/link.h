/* One session with a machine: asks for a ticket, runs the user's side of its stream, and joins it with a local side. For
 * `connect`, which has one, and `forward`, which has many. */
#ifndef MULTISSH_CLIENT_LINK_H
#define MULTISSH_CLIENT_LINK_H

#include "client/client_options.h"
#include "client/local.h"
#include <openssl/ssl.h>

/* What the sessions of a process share. The owner's; outlives them. */
struct link_shared {
    uv_loop_t *loop;
    const struct client_options *opt;
    struct destination hub;
    const char *name; /* of the machine, with the domain or without */
    SSL_CTX *tls;     /* private */
    char *scratch;    /* private: EDGE_SCRATCH bytes */
    bool tls_first;   /* private: plain streams do not get through here */
};
/* Returns 0 or a negative code with err filled. */
int link_shared_init(struct link_shared *shared, uv_loop_t *loop, const struct client_options *o,
                     const char *name, struct errmsg *err);
void link_shared_release(struct link_shared *shared);

struct link;

/* None is called from within a call of this module. */
struct link_calls {
    /* ssh has been asked for the ticket, and is not any more. Once, before over. May be NULL. */
    void (*asked)(void *arg);
    /* Something happened: link_trouble_since may have changed. May be NULL. */
    void (*turn)(void *arg);
    /* Bytes are about to be shown. May be NULL. */
    void (*output)(void *arg);
    /* It is over: link_free is to be called, in it or later. status 0: both sides have ended it; else words say how it
     * ended, "" when ssh has said it. */
    void (*over)(void *arg, int status, const char *words);
};

/* Returns 0 or a negative code. */
int link_new(struct link_shared *shared, const struct link_calls *calls, void *arg, struct link **ret_l);
/* The local side's calls and their argument (the link), for those who make one. */
extern const struct local_calls link_local_calls;
/* Begins, with the local side, which is the link's from now on. */
void link_begin(struct link *l, struct local *local);
/* Ends it from this side: the machine is told, as far as it can be within a second; over is called then. */
void link_end(struct link *l, const char *why);
/* Whoever uses the local side has gone: what it has said is still delivered, for a while. */
void link_hangup(struct link *l);
void link_network_changed(struct link *l);
/* As edge_trouble_since; 0 also before there is a stream. */
uint64_t link_trouble_since(const struct link *l);
/* Was it connected at some time? */
bool link_connected(const struct link *l);
/* Closes everything, without a call. NULL-safe. */
void link_free(struct link *l);

#endif
