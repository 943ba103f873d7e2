/* What the parts of the monitor share: monitor.c (loop, messages, the end), monitor_login.c (who may log in),
 * monitor_children.c (shells, commands, sftp), monitor_start.c (what a child is started as), monitor_net.c
 * (forwards). */
#ifndef MULTISSH_SSHD_MONITOR_PRIVATE_H
#define MULTISSH_SSHD_MONITOR_PRIVATE_H

#include "ssh/ssh_loop.h"
#include "sshd/authkeys.h"
#include "sshd/child.h"
#include "sshd/child_env.h"
#include "sshd/childlogs.h"
#include "sshd/host.h"
#include "sshd/login.h"
#include "sshd/monitor.h"
#include "sshd/wire.h"

struct monitor_login {
    struct account *account; /* NULL: nobody is logged in */
    struct authkeys_rights rights;
    struct login_pam *pam;
    char *pam_name;   /* whose pam is */
    bool words_shown; /* PAM's, on a terminal */
    unsigned asked;
    char last[512]; /* who was refused last, by what and why, when that is not in the log yet; "" */
    bool answering; /* a refusal waits for its time */
    uint32_t answer_id;
    struct ssh_loop_timer *answer, *grace;
};

/* The variables of a child that is about to be started. */
struct monitor_env {
    uint32_t id;
    bool used;
    struct child_env vars;
    size_t bytes;
    const char *refused; /* why it cannot be started with them, or NULL */
};

#define MONITOR_SIGNALLERS 32 /* signals on their way at once; more are lost */

struct monitor_child;
struct monitor_op;

struct monitor {
    const struct monitor_config *config;
    const struct sshd_options *options;
    struct ssh_loop *loop;
    struct wire *wire; /* NULL: the end has begun */
    pid_t speaker;     /* 0: reaped */
    const char *killed_for;
    bool told;   /* by a signal, to end */
    int program; /* this program's file, or -1 */
    int signals;
    struct ssh_loop_watch *signal_watch;
    struct ssh_loop_timer *deadline;
    struct monitor_login login;
    struct monitor_env env;
    struct monitor_child *children;
    pid_t signallers[MONITOR_SIGNALLERS]; /* 0: none */
    struct monitor_op *ops;
    struct childlogs logs;
    char *agent_path; /* NULL: there is none */
};

/* --- monitor.c --- */

/* Sends out, if there is still somebody. */
void monitor_send(struct monitor *m, struct buf *out, const int *fds, size_t fd_n);
/* Answers that id failed; text is for the user. */
void monitor_fail(struct monitor *m, uint32_t id, const char *text);
/* Did the speaker break the rules? Logs why and gives it up: in->bad. */
void monitor_misbehaved(struct monitor *m, struct wire_in *in, const char *why);
/* Ends the connection and kills the speaker. */
void monitor_give_up(struct monitor *m, const char *why);
/* The sentence for the user when this machine has no processes, descriptors or memory left; logged. */
const char *monitor_shortage(const char *what, int error, struct errmsg *err);

/* --- monitor_login.c --- */

int monitor_login_init(struct monitor *m); /* 0 or -ENOMEM */
/* Closes PAM's session. */
void monitor_login_release(struct monitor *m);
void monitor_login_key(struct monitor *m, struct wire_in *in);
void monitor_login_password(struct monitor *m, struct wire_in *in);
/* HOST_RIGHT_*; 0 before the login. */
unsigned monitor_login_rights(const struct monitor *m);

/* --- monitor_start.c --- */

void monitor_start_env(struct monitor *m, struct wire_in *in);
void monitor_start_release(struct monitor *m);

/* A request to start a child, read and checked. */
struct monitor_start {
    uint32_t id;
    enum host_start_kind kind;
    bool pty;
    char *term, *command; /* owned */
    struct pty_size size;
};
/* Reads one. Returns 0, or -EPROTO and then in is bad. */
int monitor_start_read(struct monitor *m, struct wire_in *in, struct monitor_start *ret_start);
/* May it be started? Returns NULL, or a sentence for the user. */
const char *monitor_start_refusal(const struct monitor *m, const struct monitor_start *start,
                                  struct errmsg *err);
/* What is to be run: the key's command wins. Fills kind, command and read_only of spec; *ret_original is what was
 * asked for instead, or NULL. Returns NULL, or a sentence for the user. */
const char *monitor_start_choose(const struct monitor *m, const struct monitor_start *start,
                                 struct child_spec *spec, const char **ret_original);
/* The child's environment; takes what the client sent. Returns 0 or -ENOMEM. */
int monitor_start_environment(struct monitor *m, const struct monitor_start *start, const char *tty,
                              const char *original, struct child_env *ret_env);

/* --- monitor_children.c --- */

void monitor_children_start(struct monitor *m, struct wire_in *in);
void monitor_children_signal(struct monitor *m, struct wire_in *in);
void monitor_children_close(struct monitor *m, struct wire_in *in);
/* pid was reaped: returns whether it was a child's. */
bool monitor_children_reaped(struct monitor *m, pid_t pid, int status);
void monitor_children_hang_up(struct monitor *m);
void monitor_children_stopped(struct monitor *m); /* one may have: an SFTP server that was told to end goes on */
bool monitor_children_any(const struct monitor *m); /* that runs */
size_t monitor_children_open(const struct monitor *m, size_t *ret_all);
bool monitor_children_known(const struct monitor *m, uint32_t id);
void monitor_children_release(struct monitor *m);

/* --- monitor_net.c --- */

void monitor_net_connect(struct monitor *m, struct wire_in *in);
void monitor_net_listen(struct monitor *m, struct wire_in *in);
void monitor_net_agent(struct monitor *m, struct wire_in *in);
bool monitor_net_reaped(struct monitor *m, pid_t pid);
/* Ends every helper; an agent's cleans up first. */
void monitor_net_end(struct monitor *m);
bool monitor_net_any(const struct monitor *m);
void monitor_net_release(struct monitor *m);

#endif
