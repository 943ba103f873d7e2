/* Shared by uplink.c (the life of the control connection) and uplink_said.c (what the hub's verdicts do to
 * it); nobody else includes it. */
#ifndef MULTISSH_AGENT_UPLINK_PRIVATE_H
#define MULTISSH_AGENT_UPLINK_PRIVATE_H

#include "agent/backoff.h"
#include "agent/uplink.h"
#include "base/addr.h"
#include "base/errmsg.h"
#include <stddef.h>
#include <uv.h>

struct dialer;
struct tls_pipe;

struct uplink {
    struct agent *agent;
    enum uplink_state state;
    uv_timer_t timer;
    struct dialer *dialer; /* until admitted or held: its further addresses may be wanted */
    struct tls_pipe *pipe;
    struct addr_hostport to;
    size_t hub, tried; /* the entry in use, and how many have been tried in this round */
    struct backoff backoff;
    uint32_t busy_ms; /* a hub of this round was busy, and wants to be asked again then; 0: none was */
    unsigned generation;
    bool hello_sent, told_to_wait;
    bool stuck; /* the hub does not read what it is sent */
    uint64_t heard, asked, ping_ms, since, started;
    uint64_t answer_by; /* the network changed: the hub is to be heard until then; 0: it has been */
    uint64_t ping_n;
    struct errmsg failure;
    char said[720]; /* the longest text that is asked about fits */
    uint64_t said_at;
};

/* Is this line news? Then it is remembered as what was said last. */
bool uplink_is_news(struct uplink *u, const char *text);
/* Drops what there is and tries again after ms; told: because the hub wants it so, and no change of the
 * network hastens it. */
void uplink_wait(struct uplink *u, uint32_t ms, bool told, const char *text);
/* The timer for a connection that stands: when the hub is to be asked, or is to be taken for dead. */
void uplink_arm_keepalive(struct uplink *u);
uint32_t uplink_dice(void);
/* How long to wait, in ms, behind a connection that was admitted or held and is over. */
uint32_t uplink_again(struct uplink *u);

#endif
