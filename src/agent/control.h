/* The messages of the control connection (PROTOCOL.md): makes those that the agent sends and acts on those
 * that it gets. */
#ifndef MULTISSH_AGENT_CONTROL_H
#define MULTISSH_AGENT_CONTROL_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct agent;

/* All are NULL when out of memory. */
cJSON *control_hello(const struct agent *a);
cJSON *control_ping(uint64_t n);
/* final: it does not come back by itself. */
cJSON *control_bye(const char *reason, bool final);

/* Tells the hub; nothing happens without a connection. */
void control_send_state(struct agent *a);
void control_send_dialled(struct agent *a, uint64_t id);
void control_send_failed(struct agent *a, uint64_t id, const char *code, const char *reason);
/* lost: nobody can tell the user's side but the hub. */
void control_send_closed(struct agent *a, const char *stream, const char *reason, uint64_t sent,
                         uint64_t received, bool lost);

/* Acts on one line, without its newline. Returns NULL, or why the connection is to be closed. */
const char *control_line(struct agent *a, const char *line, size_t n);

#endif
