/* The life of the control connection: which hub is tried when, what is done when it is lost, and the one log
 * line for each change of that. What the messages mean is control.c's business. */
#ifndef MULTISSH_AGENT_UPLINK_H
#define MULTISSH_AGENT_UPLINK_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#define UPLINK_LINE_MAX 16384            /* a message with its newline */
#define UPLINK_PENDING_MAX (512u * 1024) /* a hub that reads so little is taken for dead */
#define UPLINK_PING_MS 15000             /* until the hub says otherwise */
#define UPLINK_SLACK_MS 5000

struct agent;
struct uplink;
struct session_ticket;

enum uplink_state {
    UPLINK_WAITING,   /* for the next try */
    UPLINK_DIALING,   /* DNS, TCP, proxy */
    UPLINK_HANDSHAKE, /* TLS */
    UPLINK_HELLO,     /* hello is to be sent, or was */
    UPLINK_HELD,
    UPLINK_ADMITTED,
    UPLINK_STOPPED,
};

/* Returns 0 or -ENOMEM. */
int uplink_new(struct agent *a, struct uplink **ret_u);
void uplink_start(struct uplink *u);
/* Says bye and is done. final: and does not come back by itself. */
void uplink_stop(struct uplink *u, const char *reason, bool final);
void uplink_free(struct uplink *u);

enum uplink_state uplink_state(const struct uplink *u);
/* Changes with each connection: an answer belongs to the connection that asked. */
unsigned uplink_generation(const struct uplink *u);
/* Sends a message, which is taken in every case. Nothing happens when there is no connection to send it on.
 */
void uplink_send(struct uplink *u, cJSON *message);

/* The first probe of the SSH server is over: hello waits for it, for a moment. */
void uplink_probed(struct uplink *u);
/* The network changed: tries at once, or asks the hub whether it still hears. */
void uplink_network_changed(struct uplink *u);

/* What the hub said; for control.c. */
void uplink_said_welcome(struct uplink *u, const char *name, uint64_t ping_ms, bool joined);
void uplink_said_held(struct uplink *u, const char *reason);
void uplink_said_refused(struct uplink *u, const char *code, const char *reason,
                         int64_t retry_ms); /* -1: none given */
/* A ticket for the next connection. */
void uplink_said_resume(struct uplink *u, const struct session_ticket *t, uint32_t lifetime_s);
void uplink_said_bye(struct uplink *u, const char *code, const char *reason, int64_t retry_ms);

#endif
