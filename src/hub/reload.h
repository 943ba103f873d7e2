/* Notices that hub.conf or authorized_users was changed, also when it was replaced by a rename, and has the
 * hub read them again; so does SIGHUP. */
#ifndef MULTISSH_HUB_RELOAD_H
#define MULTISSH_HUB_RELOAD_H

struct hub;
struct reload;

int reload_new(struct hub *hub, struct reload **ret_r);
void reload_free(struct reload *r);

#endif
