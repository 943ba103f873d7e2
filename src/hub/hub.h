/* The hub's one context: what its parts need of each other. Owned by main.c; every part holds a pointer to
 * it. */
#ifndef MULTISSH_HUB_HUB_H
#define MULTISSH_HUB_HUB_H

#include "base/buf.h"
#include "hub/activation.h"
#include "hub/hub_options.h"
#include "hub/policy.h"
#include "hub/registry.h"
#include "hub/store.h"
#include <openssl/ssl.h>
#include <uv.h>

struct config;
struct listener;
struct door;
struct lobby;
struct controls;
struct fronts;
struct relays;
struct joins;
struct jumps;
struct admin;
struct reload;
struct hub_keys;

struct hub {
    uv_loop_t *loop;
    const struct config *config; /* where the options come from; main's */
    struct hub_options opt;
    char state_dir[1024];
    char public_host[254]; /* the name users type; from `public`, else the FQDN */
    uint16_t public_port;
    char domain[254];
    struct hub_keys *keys;
    struct store *store;
    struct registry *registry;
    struct policy *policy; /* replaced whole on reload */
    struct listener *listener;
    struct door *door;
    struct lobby *lobby;
    struct controls *controls;
    struct fronts *fronts;
    struct relays *relays;
    struct jumps *jumps;
    struct joins *joins;
    struct admin *admin;
    struct reload *reload;
    uv_timer_t flush, upkeep, last;
    uv_signal_t on_term, on_int;
    uint64_t stop_by;
    int passed[ACTIVATION_MAX]; /* listening sockets from systemd, until the listener has them */
    size_t n_passed;
    int lock; /* the descriptor that holds the state folder */
    bool handles, stopping;
    bool begun; /* users, machines and commands are let in */
};

/* hub.c: start and stop, in order. hub is zeroed but for loop and config. Returns 0 or a negative code with
 * err filled; then hub_release all the same. */
int hub_start(struct hub *hub, struct errmsg *err);
/* Begins a clean end: no new connections; agents are told; the loop is stopped when that is done, or after 5 s. The fronts
 * go on and turn to the next hub; with_fronts: they end too. */
void hub_stop(struct hub *hub, bool with_fronts);
/* Closes everything. The loop must then run until it is dry. */
void hub_release(struct hub *hub);
/* Reads hub.conf and authorized_users again. Complaints go to the log and, when not NULL, to complaints.
 * Returns 0, or the first negative code: what could not be taken is as it was. */
int hub_reload(struct hub *hub, struct buf *complaints);
/* The pin of the hub's CA, for invitations. */
const uint8_t *hub_pin(const struct hub *hub);
SSL_CTX *hub_tls(const struct hub *hub);

#endif
