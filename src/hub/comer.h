/* A stream connection whose preamble's mac held: what is known of it while it is decided who gets it. */
#ifndef MULTISSH_HUB_COMER_H
#define MULTISSH_HUB_COMER_H

#include "hub/farewells.h"
#include "stream/preamble.h"
#include <stdbool.h>
#include <stdint.h>

struct comer {
    int fd;
    const char *source;
    uint16_t port; /* where it comes from */
    const struct preamble *p;
    const struct ticket *ticket; /* what the preamble's ticket says */
    const uint8_t *key;          /* TICKET_KEY_SIZE bytes */
};

/* Ends it with the hub's refusal; why is part of a sentence. Takes fd. final: the stream is over, and its edge need not dial
 * again. */
void comer_refuse(const struct comer *c, struct farewells *f, bool final, const char *why);
/* The same for a connection that was kept: text is the whole sentence. */
void comer_end(const struct comer *c, struct farewells *f, bool final, const char *text);

#endif
