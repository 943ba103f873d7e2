/* What a child is started as: what was asked for, what the key and the settings make of it, its environment. */
#include "sshd/monitor_private.h"

#include "base/log.h"
#include "sshd/forced.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TERM_MAX 255u
#define STRING_MAX 131071u  /* of one argument or variable: the kernel's (execve(2), MAX_ARG_STRLEN) */
#define LEFT_OVER_MAX 1000u /* children whose channel is closed and that go on by themselves */

/* --- variables --- */

static void drop_env(struct monitor_env *env)
{
    child_env_release(&env->vars);
    *env = (struct monitor_env){0};
}

static void take_variable(struct monitor *m, const char *name, const char *value)
{
    struct monitor_env *env = &m->env;
    size_t n = strlen(name) + strlen(value) + 2;
    if (!child_env_accepts(m->options->accept_env, name)) {
        log_debug("the variable %s is not accepted", name);
        return;
    }
    if (env->vars.n >= HOST_ENV_MAX)
        env->refused = "too many environment variables came with this session";
    else if (n > STRING_MAX || n > HOST_ENV_BYTES - env->bytes)
        env->refused = "the environment variables that came with this session are too long";
    else if (child_env_set(&env->vars, name, value) < 0)
        env->refused = "out of memory";
    else
        env->bytes += n;
}

void monitor_start_env(struct monitor *m, struct wire_in *in)
{
    char *name = wire_text(in, WIRE_MAX);
    char *value = wire_text(in, WIRE_MAX);
    if (wire_done(in)) {
        if (m->env.used && m->env.id != in->id)
            monitor_misbehaved(m, in, "sent variables of two sessions at once");
        m->env.used = true;
        m->env.id = in->id;
        take_variable(m, name, value);
    }
    free(name);
    free(value);
}

void monitor_start_release(struct monitor *m)
{
    drop_env(&m->env);
}

/* --- the request --- */

int monitor_start_read(struct monitor *m, struct wire_in *in, struct monitor_start *ret_start)
{
    struct monitor_start s = {.id = in->id};
    uint32_t kind = wire_number(in);
    s.pty = wire_number(in) != 0;
    s.term = wire_text(in, WIRE_MAX);
    s.size.columns = wire_number(in);
    s.size.rows = wire_number(in);
    s.size.width = wire_number(in);
    s.size.height = wire_number(in);
    s.command = wire_text(in, WIRE_MAX);
    s.kind = (enum host_start_kind)kind;
    if (wire_done(in) && kind != HOST_SHELL && kind != HOST_EXEC && kind != HOST_SFTP)
        monitor_misbehaved(m, in, "asked for a session of a kind that there is not");
    else if (wire_done(in) && monitor_children_known(m, in->id))
        monitor_misbehaved(m, in, "used the number of a session twice");
    else if (wire_done(in) && m->env.used && m->env.id != in->id)
        monitor_misbehaved(m, in, "sent variables of one session and started another");
    if (!wire_done(in)) {
        free(s.term);
        free(s.command);
        return -EPROTO;
    }
    *ret_start = s;
    return 0;
}

const char *monitor_start_refusal(const struct monitor *m, const struct monitor_start *start,
                                  struct errmsg *err)
{
    size_t all, command = strlen(start->command);
    size_t open = monitor_children_open(m, &all);
    if (start->pty && (monitor_login_rights(m) & HOST_RIGHT_PTY) == 0)
        return "there is no terminal for this login";
    if (start->kind == HOST_SFTP && !m->options->sftp)
        return "there is no sftp here: it is switched off (sftp = no)";
    if (start->kind == HOST_SFTP && m->program < 0)
        return "there is no sftp now: this server cannot start its own program";
    if (open >= m->options->sessions_max || all >= m->options->sessions_max + LEFT_OVER_MAX) {
        (void)errmsg_set(err, -EMFILE, "too many sessions on this connection: there may be %u (sessions-max)",
                         (unsigned)m->options->sessions_max);
        return err->text;
    }
    if (command > HOST_COMMAND_MAX) {
        (void)errmsg_set(err, -E2BIG, "the command is too long: it has %zu bytes, and there may be %u",
                         command, HOST_COMMAND_MAX);
        return err->text;
    }
    if (strlen(start->term) > TERM_MAX)
        return "the name of the terminal's type is too long";
    return m->env.refused;
}

const char *monitor_start_choose(const struct monitor *m, const struct monitor_start *start,
                                 struct child_spec *spec, const char **ret_original)
{
    static const enum child_kind kinds[] = {[FORCED_SHELL] = CHILD_SHELL,
                                            [FORCED_COMMAND] = CHILD_COMMAND,
                                            [FORCED_SFTP] = CHILD_SFTP,
                                            [FORCED_SFTP_ONLY] = CHILD_SFTP_ONLY};
    struct forced chosen;
    const char *refused = forced_choose(m->login.rights.command, start->kind, start->command, &chosen);
    if (refused != NULL)
        return refused;
    spec->kind = kinds[chosen.kind];
    spec->command = chosen.command;
    spec->read_only = chosen.read_only;
    *ret_original = chosen.original;
    spec->system_rc = m->options->user_rc;
    /* Who may only transfer files may be able to write that file, and must not have it run. */
    spec->user_rc = m->options->user_rc && !m->login.rights.no_user_rc && start->kind != HOST_SFTP &&
                    spec->kind != CHILD_SFTP_ONLY;
    return NULL;
}

int monitor_start_environment(struct monitor *m, const struct monitor_start *start, const char *tty,
                              const char *original, struct child_env *ret_env)
{
    struct monitor_login *login = &m->login;
    char **pam = login->pam != NULL ? login_pam_env(login->pam) : NULL;
    const struct child_env_facts facts = {.account = login->account,
                                          .client = &m->env.vars,
                                          .tz = getenv("TZ"),
                                          .term = tty != NULL && start->term[0] != '\0' ? start->term : NULL,
                                          .agent_path = m->agent_path,
                                          .key_env = login->rights.env,
                                          .key_env_n = login->rights.env_n,
                                          .pam_env = pam,
                                          .peer = m->config->peer,
                                          .peer_port = m->config->peer_port,
                                          .local = m->config->local,
                                          .local_port = m->config->local_port,
                                          .tty = tty,
                                          .original_command = original};
    int r = child_env_build(&facts, ret_env);
    if (pam != NULL)
        login_pam_free_env(pam);
    return r;
}
