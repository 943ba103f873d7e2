/* The commands that run over one channel of messages (a front's, or the hub's own command line): from `exec`
 * to `exit`, the output handed over piece by piece as the other side asks for `more`. Knows no command. */
#ifndef MULTISSH_HUB_EXECS_H
#define MULTISSH_HUB_EXECS_H

#include "hub/seqpacket.h"
#include "hub/who.h"
#include <stdbool.h>
#include <stdint.h>

struct hub;
struct exec;

#define EXECS_MAX 32                /* at once on one channel */
#define EXECS_COMMAND_MAX 4096      /* bytes of a command line */
#define EXECS_PIECE 16384           /* bytes of output in one message */
#define EXECS_HELD_MAX (128u << 20) /* output that waits, of all channels together: then none begins */

struct execs { /* embedded; private */
    struct hub *hub;
    struct seqpacket *channel;
    struct exec *list;
    unsigned n;
};

void execs_init(struct execs *x, struct hub *hub, struct seqpacket *channel);
/* Forgets what still runs; the channel may be gone already. Idempotent. */
void execs_release(struct execs *x);
/* An `exec` message of who. Returns NULL, or why the channel must be closed. */
const char *execs_start(struct execs *x, const struct who *who, const cJSON *message);
/* `more` and `exec-close`; an id that is not there is ignored. */
void execs_more(struct execs *x, uint64_t id);
void execs_close(struct execs *x, uint64_t id);
bool execs_has(const struct execs *x, uint64_t id);

#endif
