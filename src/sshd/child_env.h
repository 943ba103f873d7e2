/* The environment of a session, put together as OpenSSH's server does it. Pure but for memory. */
#ifndef MULTISSH_SSHD_CHILD_ENV_H
#define MULTISSH_SSHD_CHILD_ENV_H

#include <stdbool.h>
#include <stddef.h>

struct account;

/* NAME=VALUE each, as execve(2) wants them: list is NULL or ends in NULL. Zeroed: empty. */
struct child_env {
    char **list;
    size_t n, cap;
};

/* What it is made of; NULL and 0 where there is no such thing. A later one wins over an earlier one. */
struct child_env_facts {
    const struct account *account;  /* POSIX */
    const struct child_env *client; /* the variables of the client's that were accepted */
    const char *tz, *term, *agent_path;
    char *const *key_env; /* authorized_keys' environment=, key_env_n of them */
    size_t key_env_n;
    char *const *pam_env; /* NULL-terminated */
    const char *peer, *local;
    unsigned peer_port, local_port;
    const char *tty, *original_command;
};

/* Sets or replaces one. name: not empty, without '='. Returns 0, -EINVAL or -ENOMEM. */
int child_env_set(struct child_env *env, const char *name, const char *value);
/* Sets or replaces n of NAME=VALUE; one without a name is left out. Returns 0 or -ENOMEM. */
int child_env_add(struct child_env *env, char *const *list, size_t n);
/* The value of name, or NULL. */
const char *child_env_get(const struct child_env *env, const char *name);
/* Returns 0 or -ENOMEM, and then *ret_env is empty. */
int child_env_build(const struct child_env_facts *facts, struct child_env *ret_env);
void child_env_release(struct child_env *env); /* safe on a zeroed one */
/* The system's part of child_env_build: the client's variables, and those that an account has. */
int child_env_basics(struct child_env *env, const struct child_env_facts *facts);

/* Does a comma-separated list of patterns (*, ?, ! excludes) let this name through? Case matters. */
bool child_env_accepts(const char *patterns, const char *name);

#endif
