/* The built-in SSH server for one jump: a connection to its service, which is told where the user comes from in
 * a line of the PROXY protocol, or a process of its own that gets one end of a connection as its standard input. */
#include "agent/jump.h"

#include "agent/builtin.h"
#include "agent/process.h"
#include "agent/spawn.h"
#include "agent/target.h"
#include "base/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Processes that end beside those of the sessions-max sessions: a session's has some seconds for that. */
#define ENDING_MAX 64
#define PROXY_LINE_MAX 108 /* with the NUL: version 1 of the protocol */

/* On the heap until its process has ended, which may be after the jump. */
struct jump_child {
    uv_process_t process;
    struct keeper *keeper;
    struct jump *jump; /* NULL: over */
    uv_pid_t pid;
};

static void refuse(struct jump *j, const char *code, const char *why, const char *words)
{
    keeper_say_look(j->keeper);
    if (why != NULL)
        jump_fail(j, code, "%s, and no built-in one is to be had: %s", why, words);
    else
        jump_fail(j, code, "the machine's built-in SSH server cannot be had: %s", words);
}

static void take_stream(struct jump *j, uv_stream_t *stream)
{
    stream->data = j;
    j->target.stream = stream;
    j->target.builtin = true;
    j->open++;
}

/* The user's address, when the hub named one. */
static bool source_is_ip(const struct jump *j, bool *ret_v6)
{
    struct sockaddr_storage at;
    *ret_v6 = uv_ip6_addr(j->source, 0, (struct sockaddr_in6 *)(void *)&at) == 0;
    return (*ret_v6 && strchr(j->source, '%') == NULL) ||
           uv_ip4_addr(j->source, 0, (struct sockaddr_in *)(void *)&at) == 0;
}

/* --- a process of its own --- */

static void on_child_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_process_end(uv_process_t *process, int64_t status, int signal_number)
{
    struct jump_child *c = process->data;
    struct jump *j = c->jump;
    char how[80];
    if (signal_number != 0)
        snprintf(how, sizeof how, "signal %d", signal_number);
    else
        snprintf(how, sizeof how, status > 255 ? "exit status 0x%llX" : "exit status %lld",
                 (long long)status);
    c->keeper->children--;
    log_at(signal_number != 0 || (status != 0 && j != NULL && !j->target.ready) ? LOG_LEVEL_WARN
                                                                                : LOG_LEVEL_DEBUG,
           "multissh-sshd (%d) has ended: %s", (int)c->pid, how);
    if (j != NULL) {
        snprintf(j->target.child_end, sizeof j->target.child_end, "%s", how);
        j->target.child = NULL;
    }
    uv_close((uv_handle_t *)process, on_child_closed);
    if (j != NULL && !j->over && !j->target.ready && j->target.read_ended && j->target.banner.first[0] == 0)
        jump_target_mute(j);
}

void jump_builtin_leave(struct jump *j)
{
    if (j->target.child != NULL)
        j->target.child->jump = NULL;
    j->target.child = NULL;
}

static int start(struct jump *j, struct jump_child *c, char *program, char *state)
{
    char inetd[] = "--inetd", state_flag[] = "--state", peer_flag[] = "--peer", peer[sizeof j->source + 10];
    struct addr_hostport from = {.port = j->source_port};
    char *args[] = {program, inetd, state_flag, state, NULL, NULL, NULL};
    uv_stream_t *stream = NULL;
    bool v6;
    snprintf(from.host, sizeof from.host, "%s", j->source);
    addr_format(&from, 0, peer, sizeof peer);
    if (source_is_ip(j, &v6)) {
        args[4] = peer_flag;
        args[5] = peer;
    }
    int r = spawn_connected(j->keeper->loop, &c->process, on_process_end, program, args, &stream);
    if (r != 0)
        return r;
    take_stream(j, stream);
    uv_unref((uv_handle_t *)&c->process); /* the keeper's end waits for none */
    c->pid = uv_process_get_pid(&c->process);
    process_child_limits(c->pid);
    c->jump = j;
    j->target.child = c;
    j->keeper->children++;
    log_debug("%s from %s: multissh-sshd (%d) is started", j->user, j->source, (int)c->pid);
    return 0;
}

/* words: why it cannot be started. */
static int start_child(struct jump *j, char *program, char *state, char words[BUILTIN_WORDS_MAX])
{
    struct jump_child *c = calloc(1, sizeof *c);
    snprintf(words, BUILTIN_WORDS_MAX, "%s", uv_strerror(UV_ENOMEM));
    if (c == NULL)
        return UV_ENOMEM;
    c->keeper = j->keeper;
    c->process.data = c;
    int r = start(j, c, program, state);
    if (r == UV_ENOENT)
        snprintf(words, BUILTIN_WORDS_MAX, "its program, multissh-sshd, is not installed");
    else if (r != 0)
        spawn_words(r, words, BUILTIN_WORDS_MAX);
    if (r != 0 && uv_handle_get_type((uv_handle_t *)&c->process) == UV_PROCESS)
        uv_close((uv_handle_t *)&c->process, on_child_closed);
    else if (r != 0)
        free(c);
    return r;
}

static void start_program(struct jump *j, const char *why)
{
    char program[FS_PATH_MAX], state[FS_PATH_MAX], words[BUILTIN_WORDS_MAX];
    if (j->keeper->children >= j->keeper->set.sessions_max + ENDING_MAX) {
        refuse(j, "busy", why, "too many of its processes run (sessions-max)");
        return;
    }
    if (builtin_useless(words)) {
        refuse(j, "other", why, words);
        return;
    }
    int r = builtin_program(j->keeper->state_dir, program, state);
    if (r != 0) {
        refuse(j, "other", why, "the path of the state folder is too long");
        return;
    }
    r = start_child(j, program, state, words);
    if (r == 0)
        jump_target_opened(j);
    else
        refuse(j, strcmp(target_code(r), "busy") == 0 ? "busy" : "other", why, words);
}

/* --- its service --- */

static int proxy_line(const struct jump *j, char out[PROXY_LINE_MAX])
{
    bool v6;
    if (!source_is_ip(j, &v6))
        return snprintf(out, PROXY_LINE_MAX, "PROXY UNKNOWN\r\n");
    return snprintf(out, PROXY_LINE_MAX, "PROXY %s %.45s %s %u %d\r\n", v6 ? "TCP6" : "TCP4", j->source,
                    v6 ? "::1" : "127.0.0.1", j->source_port, AGENT_OPTIONS_SSH_PORT);
}

static void on_connected(uv_connect_t *req, int status)
{
    struct jump *j = req->data;
    char line[PROXY_LINE_MAX], words[BUILTIN_WORDS_MAX];
    if (status == UV_ECANCELED || j->over)
        return;
    if (status == 0) {
        int n = proxy_line(j, line);
        uv_buf_t out = uv_buf_init(line, (unsigned)n);
        int r = uv_try_write(j->target.stream, &out, 1);
        status = r == n ? 0 : r < 0 ? r : UV_EIO; /* a socket that is new has room for a line */
    }
    if (status == 0) {
        jump_target_opened(j);
        return;
    }
    snprintf(words, sizeof words, "%.100s: %s", j->keeper->set.sshd_socket, uv_strerror(status));
    refuse(j, strcmp(target_code(status), "busy") == 0 ? "busy" : "other", NULL, words);
}

void jump_builtin_open(struct jump *j, const char *why)
{
    const char *socket = builtin_socket(j->keeper->set.sshd_socket);
    if (socket == NULL) {
        start_program(j, why);
        return;
    }
    uv_pipe_t *pipe = calloc(1, sizeof *pipe);
    if (pipe == NULL) {
        refuse(j, "busy", why, "the machine's agent is out of memory");
        return;
    }
    (void)uv_pipe_init(j->keeper->loop, pipe, 0);
    take_stream(j, (uv_stream_t *)pipe);
    j->target.connect.data = j;
    uv_pipe_connect(&j->target.connect, pipe, socket, on_connected);
}
