/* The environment of a session: the order in which OpenSSH's do_setup_env fills it decides who wins. What an account has is the system's part
 * (child_env_posix.c, child_env_windows.c). */
#include "sshd/child_env.h"

#include "base/names.h"
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What OpenSSH says of a connection that is no socket. */
#define UNKNOWN_HOST "UNKNOWN"
#define UNKNOWN_PORT 65535u

#define LIST_FIRST 32

static size_t find(const struct child_env *env, const char *name, size_t name_n)
{
    size_t i = 0;
    while (i < env->n && (strncmp(env->list[i], name, name_n) != 0 || env->list[i][name_n] != '='))
        i++;
    return i;
}

static int room(struct child_env *env)
{
    size_t cap = env->cap == 0 ? LIST_FIRST : env->cap * 2;
    char **list;
    if (env->n + 1 < env->cap)
        return 0;
    list = realloc(env->list, cap * sizeof *list);
    if (list == NULL)
        return -ENOMEM;
    env->list = list;
    env->cap = cap;
    return 0;
}

static int set(struct child_env *env, const char *name, size_t name_n, const char *value)
{
    size_t value_n = strlen(value);
    size_t at;
    char *text;
    if (name_n == 0 || memchr(name, '=', name_n) != NULL)
        return -EINVAL;
    if (room(env) < 0 || (text = malloc(name_n + value_n + 2)) == NULL)
        return -ENOMEM;
    memcpy(text, name, name_n);
    text[name_n] = '=';
    memcpy(text + name_n + 1, value, value_n + 1);
    at = find(env, name, name_n);
    if (at < env->n) {
        /* To the end: on Windows the last of those counts that differ in their case alone. */
        free(env->list[at]);
        memmove(&env->list[at], &env->list[at + 1], (env->n - at - 1) * sizeof env->list[at]);
    } else {
        env->list[++env->n] = NULL;
    }
    env->list[env->n - 1] = text;
    return 0;
}

int child_env_set(struct child_env *env, const char *name, const char *value)
{
    return set(env, name, strlen(name), value);
}

const char *child_env_get(const struct child_env *env, const char *name)
{
    size_t n = strlen(name);
    size_t at = find(env, name, n);
    return at < env->n ? env->list[at] + n + 1 : NULL;
}

void child_env_release(struct child_env *env)
{
    for (size_t i = 0; i < env->n; i++)
        free(env->list[i]);
    free(env->list);
    *env = (struct child_env){0};
}

/* NAME=VALUE; one without '=' is no variable and is left out. */
static int put(struct child_env *env, const char *assignment)
{
    const char *equals = strchr(assignment, '=');
    if (equals == NULL || equals == assignment)
        return 0;
    return set(env, assignment, (size_t)(equals - assignment), equals + 1);
}

int child_env_add(struct child_env *env, char *const *list, size_t n)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < n; i++)
        r = put(env, list[i]);
    return r;
}

static int set_if(struct child_env *env, const char *name, const char *value)
{
    return value == NULL ? 0 : child_env_set(env, name, value);
}

/* Variables of modules that are nobody else's business, as OpenSSH leaves them out. */
static bool pam_internal(const char *assignment)
{
    static const char *const internal[] = {"SSH_AUTH_INFO", "SSH_CONNECTION"};
    for (size_t i = 0; i < sizeof internal / sizeof internal[0]; i++) {
        if (strncmp(assignment, internal[i], strlen(internal[i])) == 0)
            return true;
    }
    return false;
}

static int add_key_and_pam(struct child_env *env, const struct child_env_facts *f)
{
    int r = child_env_add(env, f->key_env, f->key_env_n);
    for (char *const *p = f->pam_env; r == 0 && p != NULL && *p != NULL; p++) {
        if (!pam_internal(*p))
            r = put(env, *p);
    }
    return r;
}

static int add_connection(struct child_env *env, const struct child_env_facts *f)
{
    const char *peer = f->peer != NULL ? f->peer : UNKNOWN_HOST;
    const char *local = f->local != NULL ? f->local : UNKNOWN_HOST;
    unsigned peer_port = f->peer_port != 0 ? f->peer_port : UNKNOWN_PORT;
    unsigned local_port = f->local_port != 0 ? f->local_port : UNKNOWN_PORT;
    char client[128], connection[256];
    int r;
    (void)snprintf(client, sizeof client, "%.50s %u %u", peer, peer_port, local_port);
    (void)snprintf(connection, sizeof connection, "%.50s %u %.50s %u", peer, peer_port, local, local_port);
    r = child_env_set(env, "SSH_CLIENT", client);
    if (r == 0)
        r = child_env_set(env, "SSH_CONNECTION", connection);
    if (r == 0)
        r = set_if(env, "SSH_TTY", f->tty);
    if (r == 0)
        r = set_if(env, "SSH_ORIGINAL_COMMAND", f->original_command);
    return r;
}

int child_env_build(const struct child_env_facts *facts, struct child_env *ret_env)
{
    int r;
    *ret_env = (struct child_env){0};
    r = child_env_basics(ret_env, facts);
    if (r == 0)
        r = add_key_and_pam(ret_env, facts);
    if (r == 0)
        r = add_connection(ret_env, facts);
    if (r < 0)
        child_env_release(ret_env);
    return r;
}

bool child_env_accepts(const char *patterns, const char *name)
{
    return patterns != NULL && name[0] != '\0' && strchr(name, '=') == NULL &&
           names_judge_exact(name, patterns) > 0;
}
