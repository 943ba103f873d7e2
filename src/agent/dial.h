/* The hub's request for a jump, read at the door: by the agent, which passes it on, and by the keeper. */
#ifndef MULTISSH_AGENT_DIAL_H
#define MULTISSH_AGENT_DIAL_H

#include "base/addr.h"
#include "base/names.h"
#include "stream/ticket.h"
#include <cjson/cJSON.h>

#define DIAL_ID_MAX (INT64_C(1) << 53)
#define DIAL_SOURCE_MAX 63
#define DIAL_STREAM_TEXT (2 * TICKET_ID_SIZE + 1)

struct dial {
    uint64_t id;
    char stream[DIAL_STREAM_TEXT]; /* as the ticket has it */
    char ticket[TICKET_TEXT_MAX];
    uint8_t key[TICKET_KEY_SIZE];
    char user[NAMES_USER_MAX + 1], source[DIAL_SOURCE_MAX + 1];
    uint16_t source_port; /* 0: not known */
    bool elsewhere;       /* streams go to `to` and not to where the control connection went */
    struct addr_hostport to;
    uint32_t window, patience_ms;
};

/* Returns 0 or -EINVAL: a message whose id is none cannot even be answered. */
int dial_read_id(const cJSON *m, uint64_t *ret_id);
/* Reads all of it. Returns NULL, or what is wrong with it, for people; ret_d->user is then the user's name or "". To be wiped. */
const char *dial_read(const cJSON *m, struct dial *ret_d);
/* The message again; NULL when out of memory. */
cJSON *dial_write(const struct dial *d);

#endif
