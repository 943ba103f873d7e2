/* The environment of a session on Windows: what the client sent. The account's own comes from the system when the
 * program is started (child_windows.h). */
#include "sshd/child_env.h"

int child_env_basics(struct child_env *env, const struct child_env_facts *facts)
{
    return facts->client == NULL ? 0 : child_env_add(env, facts->client->list, facts->client->n);
}
