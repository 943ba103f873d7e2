/* A pair of Unix sockets. */
#include "agent/spawn.h"

#include <stdio.h>
#include <stdlib.h>

void spawn_words(int status, char *out, size_t size)
{
    snprintf(out, size, "%s", uv_strerror(status));
}

int spawn_connected(uv_loop_t *loop, uv_process_t *process, uv_exit_cb exit_cb, char **args,
                    uv_stream_t **ret_stream)
{
    uv_pipe_t *pipe = calloc(1, sizeof *pipe);
    uv_stdio_container_t stdio[] = {
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)pipe},
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = 2},
    };
    uv_process_options_t options = {.exit_cb = exit_cb,
                                    .file = args[0],
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
