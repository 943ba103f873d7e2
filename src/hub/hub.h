/* The hub's one context: what its parts need of each other. Owned by main.c; every part holds a pointer to it. */
#ifndef MULTISSH_HUB_HUB_H
#define MULTISSH_HUB_HUB_H

#include "hub/hub_options.h"
#include "hub/policy.h"
#include "hub/registry.h"
#include "hub/store.h"
#include <uv.h>

struct listener;
struct controls;
struct fronts;
struct jumps;
struct admin;
struct hub_keys;

struct hub {
    uv_loop_t *loop;
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
    struct controls *controls;
    struct fronts *fronts;
    struct jumps *jumps;
    struct admin *admin;
    bool stopping;
};

/* hub.c: start and stop, in order. */
int hub_start(struct hub *hub, struct errmsg *err);
/* Begins a clean end: no new connections; users and agents are told; the loop then runs dry. with_fronts: the fronts end too. */
void hub_stop(struct hub *hub, bool with_fronts);
/* Reads hub.conf and authorized_users again. Complaints go to the log and, when not NULL, to complaints. */
int hub_reload(struct hub *hub, struct buf *complaints);
/* The pin of the hub's CA, for invitations. */
const uint8_t *hub_pin(const struct hub *hub);
/* The text "online"/"offline, last seen 14 min ago (keepalive lost)" etc. is made by commands; audit goes through store_event_add. */

#endif
