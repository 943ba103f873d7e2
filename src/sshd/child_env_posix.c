/* The environment of an account's session: what POSIX systems have for it. */
#include "sshd/child_env.h"

#include "sshd/account.h"
#include <stdio.h>

/* What Debian's sshd gives before PAM has its say. */
#define PATH_USER "/usr/local/bin:/usr/bin:/bin:/usr/games"
#define PATH_ROOT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define MAIL_FOLDER "/var/mail"

int child_env_basics(struct child_env *env, const struct child_env_facts *f)
{
    const struct account *a = f->account;
    char mail[sizeof MAIL_FOLDER + ACCOUNT_NAME_MAX + 2];
    int n = snprintf(mail, sizeof mail, MAIL_FOLDER "/%s", a->name);
    int r = f->client == NULL ? 0 : child_env_add(env, f->client->list, f->client->n);
    const char *const basics[][2] = {{"USER", a->name},
                                     {"LOGNAME", a->name},
                                     {"HOME", a->home},
                                     {"PATH", a->uid == 0 ? PATH_ROOT : PATH_USER},
                                     {"MAIL", n > 0 && (size_t)n < sizeof mail ? mail : NULL},
                                     {"SHELL", a->shell},
                                     {"TZ", f->tz},
                                     {"TERM", f->term},
                                     {"SSH_AUTH_SOCK", f->agent_path}};
    for (size_t i = 0; r == 0 && i < sizeof basics / sizeof basics[0]; i++)
        r = basics[i][1] == NULL ? 0 : child_env_set(env, basics[i][0], basics[i][1]);
    return r;
}
