/* The sentences with which a jump is refused, as the user's own SSH client prints them: what, why, and the
 * next step. Pure text; never says more about a machine than the user may know. */
#ifndef MULTISSH_HUB_REFUSALS_H
#define MULTISSH_HUB_REFUSALS_H

#include "hub/registry.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hub;

#define REFUSALS_TEXT_MAX 640

/* Each fills out[REFUSALS_TEXT_MAX]. */
void refusals_unknown(const struct hub *hub, const char *host,
                      char *out); /* the same for "may not" and "does not exist" */
void refusals_port(const struct hub *hub, const char *host, uint16_t port, char *out);
/* code and reason as in `failed`. */
void refusals_failed(const char *machine, const char *code, const char *reason, char *out);
/* The machine was waited for in vain. */
void refusals_away(const struct hub *hub, const char *machine, char *out);
/* dialled: the machine's SSH server had answered; only the stream connection is missing. */
void refusals_timeout(const struct hub *hub, const char *machine, bool dialled, uint64_t after_ms, char *out);

#endif
