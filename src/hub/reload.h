/* Notices that hub.conf or authorized_users was changed, also when it was replaced by a rename, and has the
 * hub read them again; so does SIGHUP. */
#ifndef MULTISSH_HUB_RELOAD_H
#define MULTISSH_HUB_RELOAD_H

#include "base/buf.h"
#include "base/errmsg.h"

struct hub;
struct reload;

int reload_new(struct hub *hub, struct reload **ret_r);
void reload_free(struct reload *r);

/* Reads authorized_users into hub->policy. Lines that are broken are logged and, when it is not NULL, added
 * to complaints. Returns 0, or a negative code with err filled: then the policy is as it was. */
int reload_read_users(struct hub *hub, struct buf *complaints, struct errmsg *err);

#endif
