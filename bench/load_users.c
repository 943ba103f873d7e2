/* The users of the load maker: one process that keeps stock ssh clients, each with a jump to a machine that has been answered
 * by the machine's SSH server and then stands still. They come when all machines are online. Whoever is cut off comes
 * again. Knows of the hub only where it is. */
#include "load.h"

#include "agent/join_code.h"
#include "base/clock.h"
#include "base/log.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define LOOK_MS 100
#define AGAIN_MS 2000
#define END_MS 5000 /* for ssh to end when its input has ended; then it is told */
#define WORD_MAX 300
#define BANNER "SSH-2.0-"
#define BANNER_MAX 256
#define REFUSAL "SSH-2.0-multiSSH\r" /* the hub's: no machine was reached */

struct user {
    struct load_user_row *row;
    uint64_t number, started, again_at;
    uv_process_t process;
    uv_pipe_t in, out;
    unsigned open; /* handles that are not closed yet: in, out, process */
    size_t n;
    char banner[BANNER_MAX]; /* the first line, as far as it is there */
};

static struct {
    const struct load_part *part;
    uv_loop_t loop;
    uv_timer_t look;
    uv_poll_t end;
    struct user *user;
    uint64_t begun, begin_at, end_by;
    bool ending, told;
    char host_name[WORD_MAX], port[20];
} the;

static void on_closed(uv_handle_t *handle)
{
    struct user *u = handle->data;
    u->open--;
}

static void close_once(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, on_closed);
}

static void on_exit_of(uv_process_t *process, int64_t status, int number)
{
    struct user *u = process->data;
    (void)status;
    (void)number;
    if (!the.ending)
        atomic_fetch_add(&u->row->ends, 1);
    atomic_store(&u->row->state, LOAD_USER_AWAY);
    u->again_at = clock_now_ms() + AGAIN_MS;
    close_once((uv_handle_t *)&u->process);
    close_once((uv_handle_t *)&u->in);
    close_once((uv_handle_t *)&u->out);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    static char room[4096]; /* one loop, one reader at a time */
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(room, sizeof room);
}

/* The first line has to be that of the machine's SSH server; what follows is read, and that is all. */
static bool banner_ok(const struct user *u)
{
    return u->n >= sizeof BANNER - 1 && memcmp(u->banner, BANNER, sizeof BANNER - 1) == 0 &&
           (u->n != sizeof REFUSAL - 1 || memcmp(u->banner, REFUSAL, u->n) != 0);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct user *u = stream->data;
    ssize_t i = 0;
    if (n < 0) {
        close_once((uv_handle_t *)&u->in); /* and ssh ends */
        return;
    }
    if (atomic_load(&u->row->state) != LOAD_USER_CONNECTING)
        return;
    while (i < n && u->n < sizeof u->banner && buf->base[i] != '\n')
        u->banner[u->n++] = buf->base[i++];
    if (i == n)
        return;
    if (!banner_ok(u)) {
        close_once((uv_handle_t *)&u->in);
        return;
    }
    uint64_t ms = clock_now_ms() - u->started;
    atomic_store(&u->row->first_byte_ms, ms > 0 ? ms : 1);
    atomic_store(&u->row->state, LOAD_USER_CONNECTED);
}

/* The command line says where the hub is, whatever the file says: not anywhere else. */
static int spawn(struct user *u)
{
    char name[LOAD_NAME_MAX], target[LOAD_NAME_MAX + 4];
    load_name(the.part->opt, u->number % the.part->opt->agents, name);
    snprintf(target, sizeof target, "%s:22", name);
    char *args[] = {"ssh",
                    "-F",
                    the.part->opt->ssh_config,
                    "-o",
                    the.host_name,
                    "-o",
                    the.port,
                    "-o",
                    "ProxyCommand=none",
                    "-o",
                    "ProxyJump=none",
                    "-o",
                    "ControlPath=none",
                    "-o",
                    "BatchMode=yes",
                    "-W",
                    target,
                    "hub",
                    NULL};
    uv_stdio_container_t stdio[] = {
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&u->in},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&u->out},
        {.flags = UV_INHERIT_FD, .data.fd = 2},
    };
    uv_process_options_t options = {
        .exit_cb = on_exit_of, .file = args[0], .args = args, .stdio = stdio, .stdio_count = 3};
    (void)uv_pipe_init(&the.loop, &u->in, 0);
    (void)uv_pipe_init(&the.loop, &u->out, 0);
    u->in.data = u->out.data = u->process.data = u;
    u->open = 3;
    int r = uv_spawn(&the.loop, &u->process, &options);
    u->process.data = u;
    if (r == 0)
        r = uv_read_start((uv_stream_t *)&u->out, on_alloc, on_read);
    return r;
}

static void start(struct user *u)
{
    u->n = 0;
    u->started = clock_now_ms();
    atomic_store(&u->row->state, LOAD_USER_CONNECTING);
    int r = spawn(u);
    if (r == 0)
        return;
    log_error("ssh cannot be started: %s", uv_strerror(r));
    on_exit_of(&u->process, 0, 0);
}

static bool machines_are_there(void)
{
    for (uint64_t i = 0; i < the.part->opt->agents; i++)
        if (atomic_load(&the.part->table->agent[i].state) != LOAD_ADMITTED)
            return false;
    return true;
}

static void end_when_all_ended(uint64_t now)
{
    size_t left = 0;
    for (uint64_t i = 0; i < the.begun; i++) {
        struct user *u = &the.user[i];
        left += u->open > 0;
        if (u->open > 0 && now >= the.end_by && !the.told && !uv_is_closing((uv_handle_t *)&u->process))
            (void)uv_process_kill(&u->process, SIGTERM);
    }
    the.told = the.told || now >= the.end_by;
    if (left == 0)
        uv_close((uv_handle_t *)&the.look, NULL);
}

static void on_look(uv_timer_t *timer)
{
    uint64_t now = clock_now_ms(), due;
    (void)timer;
    if (the.ending) {
        end_when_all_ended(now);
        return;
    }
    if (the.begin_at == 0 && machines_are_there())
        the.begin_at = now;
    if (the.begin_at == 0)
        return;
    due = 1 + (now - the.begin_at) * the.part->rate / 1000;
    for (; the.begun < the.part->n && the.begun < due; the.begun++)
        start(&the.user[the.begun]);
    for (uint64_t i = 0; i < the.begun; i++)
        if (the.user[i].open == 0 && now >= the.user[i].again_at)
            start(&the.user[i]);
}

static void on_end(uv_poll_t *poll_handle, int status, int events)
{
    (void)status;
    (void)events;
    the.ending = true;
    the.end_by = clock_now_ms() + END_MS;
    uv_close((uv_handle_t *)poll_handle, NULL);
    for (uint64_t i = 0; i < the.begun; i++)
        if (the.user[i].open > 0)
            close_once((uv_handle_t *)&the.user[i].in);
}

int load_users_run(const struct load_part *part)
{
    struct join_code code;
    struct errmsg err;
    the.part = part;
    int r = join_code_parse(part->target, &code, &err);
    snprintf(the.host_name, sizeof the.host_name, "HostName=%s", code.hub.host);
    snprintf(the.port, sizeof the.port, "Port=%u", code.hub.port);
    crypto_wipe(&code, sizeof code);
    the.user = calloc(part->n, sizeof *the.user);
    if (r == 0)
        r = the.user == NULL ? UV_ENOMEM : uv_loop_init(&the.loop);
    if (r == 0)
        r = uv_poll_init(&the.loop, &the.end, part->end_fd);
    if (r == 0)
        r = uv_poll_start(&the.end, UV_READABLE | UV_DISCONNECT, on_end);
    if (r != 0) {
        log_error("the users cannot start: %s", uv_strerror(r));
        return EXIT_FAILURE;
    }
    for (uint64_t i = 0; i < part->n; i++) {
        the.user[i].number = i;
        the.user[i].row = &part->table->user[i];
    }
    uv_timer_init(&the.loop, &the.look);
    uv_timer_start(&the.look, on_look, LOOK_MS, LOOK_MS);
    uv_run(&the.loop, UV_RUN_DEFAULT);
    uv_loop_close(&the.loop);
    free(the.user);
    return EXIT_SUCCESS;
}
