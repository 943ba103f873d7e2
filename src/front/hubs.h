/* The hubs of this front, one after the other: notices that one is gone, waits for the next on a listening socket, and
 * tells it what runs here and what is to be answered. */
#ifndef MULTISSH_FRONT_HUBS_H
#define MULTISSH_FRONT_HUBS_H

#include "front/front.h"

/* Makes a descriptor that must be a bound SOCK_SEQPACKET socket listen: from now on it is this process that whoever
 * connects sees (SO_PEERCRED). To be called before the sandbox. Takes fd when it succeeds. Returns 0 or a
 * negative errno value. */
int hubs_new(struct front *front, int listener, const char *voucher, struct hubs **ret_hubs);
void hubs_free(struct hubs *hubs); /* NULL-safe */

/* Once a turn, before the others. */
void hubs_turn(struct hubs *hubs);
/* A message on a link, which may be that of a hub that wants to become ours. */
void hubs_message(struct hubs *hubs, struct hub_link *link, const cJSON *message, int fd);
/* What the next hub is to be given, from now on. */
void hubs_set_voucher(struct hubs *hubs, const char *voucher);
/* `unfit`: the hub cannot work with this front. */
void hubs_unfit(struct hubs *hubs, const cJSON *message);

bool hubs_may_come(const struct hubs *hubs); /* another one could take over */
const char *hubs_why_none(const struct hubs *hubs);

#endif
