/* Who gives a command or opens a jump: a copy of the rights. Owns its strings. */
#include "hub/who.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int copy_text(char **to, const char *from)
{
    if (from == NULL)
        return 0;
    *to = strdup(from);
    return *to == NULL ? -ENOMEM : 0;
}

int who_from_user(struct who *w, const struct policy_user *u, const char *source, bool admin_over_ssh)
{
    memset(w, 0, sizeof *w);
    snprintf(w->name, sizeof w->name, "%s", u->name);
    snprintf(w->source, sizeof w->source, "%s", source);
    snprintf(w->fingerprint, sizeof w->fingerprint, "%s", u->fingerprint);
    w->admin = u->admin && admin_over_ssh;
    /* admin implies all machines, also where the admin commands are kept from SSH. */
    if (copy_text(&w->key, u->key) < 0 || copy_text(&w->machines, u->admin ? "*" : u->machines) < 0 ||
        copy_text(&w->publish, u->publish) < 0) {
        who_release(w);
        return -ENOMEM;
    }
    return 0;
}

void who_former(struct who *w, const char *name, const char *source)
{
    memset(w, 0, sizeof *w);
    snprintf(w->name, sizeof w->name, "%s", name);
    snprintf(w->source, sizeof w->source, "%s", source);
}

void who_local(struct who *w)
{
    memset(w, 0, sizeof *w);
    snprintf(w->name, sizeof w->name, "local");
    snprintf(w->source, sizeof w->source, "unix");
    w->local = true;
    w->admin = true;
}

void who_release(struct who *w)
{
    free(w->key);
    free(w->machines);
    free(w->publish);
    memset(w, 0, sizeof *w);
}

void who_strip(struct who *w)
{
    free(w->key);
    free(w->machines);
    free(w->publish);
    w->key = w->machines = w->publish = NULL;
    w->admin = false;
}

bool who_may_reach(const struct who *w, const char *machine)
{
    return w->admin || (w->machines != NULL && names_match_list(machine, w->machines));
}

bool who_may_publish(const struct who *w, const char *machine)
{
    return w->publish != NULL && names_match_list(machine, w->publish);
}
