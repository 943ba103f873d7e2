/* A pair of Unix sockets. */
#include "agent/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void spawn_words(int status, char *out, size_t size)
{
    snprintf(out, size, "%s", uv_strerror(status));
}

int spawn_connected(uv_loop_t *loop, uv_process_t *process, uv_exit_cb exit_cb, const char *program,
                    char **args, uv_stream_t **ret_stream)
{
    uv_pipe_t *pipe = calloc(1, sizeof *pipe);
    uv_stdio_container_t stdio[] = {
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)pipe},
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = 2},
    };
    uv_process_options_t options = {.exit_cb = exit_cb,
                                    .file = program,
                                    .args = args,
                                    .stdio = stdio,
                                    .stdio_count = 3,
                                    .flags = UV_PROCESS_DETACHED};
    if (pipe == NULL)
        return UV_ENOMEM;
    (void)uv_pipe_init(loop, pipe, 0);
    int r = uv_spawn(loop, process, &options);
    if (r != 0) {
        uv_close((uv_handle_t *)pipe, (uv_close_cb)free);
        return r;
    }
    *ret_stream = (uv_stream_t *)pipe;
    return 0;
}

int spawn_take(uv_loop_t *loop, uv_stream_t **ret_stream)
{
    struct stat st;
    if (fstat(STDIN_FILENO, &st) != 0 || !S_ISSOCK(st.st_mode))
        return UV_ENOTSOCK;
    uv_pipe_t *pipe = calloc(1, sizeof *pipe);
    int fd = pipe != NULL ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : -1;
    int r = pipe == NULL ? UV_ENOMEM : fd < 0 ? -errno : uv_pipe_init(loop, pipe, 0);
    if (r != 0) {
        free(pipe);
        return r;
    }
    r = uv_pipe_open(pipe, fd);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (r == 0 && (null < 0 || dup2(null, STDIN_FILENO) < 0))
        r = -errno;
    if (null > STDERR_FILENO)
        close(null);
    if (r != 0) {
        uv_close((uv_handle_t *)pipe, (uv_close_cb)free);
        return r;
    }
    *ret_stream = (uv_stream_t *)pipe;
    return 0;
}

int spawn_self(char *out, size_t size)
{
    snprintf(out, size, "/proc/self/exe");
    return 0;
}
