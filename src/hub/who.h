/* The one who gives a command or opens a jump: a user over SSH, or the hub's own host (the admin socket). A
 * copy of the rights, so that it stays valid when authorized_users is read again. */
#ifndef MULTISSH_HUB_WHO_H
#define MULTISSH_HUB_WHO_H

#include "hub/policy.h"

struct who {
    char name[NAMES_USER_MAX + 1]; /* "local" on the admin socket */
    char source[64];               /* IP, or "unix" */
    char fingerprint[52];          /* of the key; "" when local */
    char *key; /* "type base64", to look the rights up again after a reload; NULL when local or stripped */
    bool local;
    bool admin; /* with admin-over-ssh = no only ever true when local */
    char *machines, *publish;
};

int who_from_user(struct who *w, const struct policy_user *u, const char *source, bool admin_over_ssh);
void who_local(struct who *w);
void who_release(struct who *w);
/* One who had rights once: the name alone. */
void who_former(struct who *w, const char *name, const char *source);
void who_strip(struct who *w); /* takes every right and the key away; the name stays */
bool who_may_reach(const struct who *w, const char *machine);   /* admin: always */
bool who_may_publish(const struct who *w, const char *machine); /* publish patterns only */

#endif
