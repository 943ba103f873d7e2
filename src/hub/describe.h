/* Machines in words for people: the same sentences in refusals of jumps and in the answers of commands. Pure
 * functions. */
#ifndef MULTISSH_HUB_DESCRIBE_H
#define MULTISSH_HUB_DESCRIBE_H

#include "base/addr.h"
#include "hub/registry.h"
#include <stddef.h>
#include <stdint.h>

struct hub;

#define DESCRIBE_MAX 320 /* room for the longest sentence, with NUL */

/* "web01 is online, since 14 min", "web01 is offline, last seen 14 min ago (keepalive lost)", "web01 is
 * offline and has not been seen yet". */
void describe_machine(const struct machine *m, int64_t now_s, char *out, size_t size);
/* For what does not exist and for what the user may not reach alike. name may hold anything. */
void describe_unknown(const char *name, char *out, size_t size);
/* "web01", "web01.DOMAIN" (case ignored) → "web01". Returns 0, or -EINVAL when what is left is no machine
 * name. */
int describe_machine_name(const char *host, const char *domain, char out[NAMES_MACHINE_MAX + 1]);
/* The hub as others name it: "hub.example.com:2244", without the port when it is omit_port (22 for what
 * stands behind ssh -J). */
#define DESCRIBE_HUB_MAX 272
void describe_hub(const struct hub *hub, uint16_t omit_port, char out[DESCRIBE_HUB_MAX]);
/* Text that came from outside, for a terminal: what is not printable becomes '?'; cut to fit. */
void describe_clean(const char *text, char *out, size_t size);

#endif
