/* Where the hub is, as the user's ssh takes it: [USER@]HOST[:PORT], ssh://[USER@]HOST[:PORT], or a name that the user's
 * ssh_config(5) knows. Pure. */
#ifndef MULTISSH_CLIENT_DESTINATION_H
#define MULTISSH_CLIENT_DESTINATION_H

#include "base/names.h"
#include "client/words.h"
#include <stdint.h>

struct destination {
    char user[NAMES_USER_MAX + 1]; /* "": as ssh decides */
    char host[254];
    uint16_t port; /* 0: as ssh decides */
};

/* Returns 0 or -EINVAL. What it lets through is no option of ssh's and no more than one word. */
int destination_parse(const char *text, struct destination *ret_d);
/* Adds the words with which ssh goes there, the options first and the host last. */
void destination_add(const struct destination *d, struct words *w);

#endif
