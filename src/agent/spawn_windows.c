/* A pair of connected sockets of the loopback, for overlapped pipes are no sockets. */
#include "agent/spawn.h"

#include "base/io.h"
#include "base/win.h"
#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>

void spawn_words(int status, char *out, size_t size)
{
    DWORD error = GetLastError();
    if (status == UV_UNKNOWN && error != ERROR_SUCCESS)
        win_words(error, out, size);
    else
        snprintf(out, size, "%s", uv_strerror(status));
}

/* A descriptor of the C library, as libuv takes it, for a duplicate of the socket: one of the socket itself would close
 * it behind Winsock's back. Returns it, or libuv's negative code. */
static int lend(int fd)
{
    HANDLE self = GetCurrentProcess(), copy = NULL;
    if (!DuplicateHandle(self, (HANDLE)(intptr_t)fd, self, &copy, 0, FALSE, DUPLICATE_SAME_ACCESS))
        return uv_translate_sys_error((int)GetLastError());
    int lent = _open_osfhandle((intptr_t)copy, _O_BINARY);
    if (lent >= 0)
        return lent;
    CloseHandle(copy);
    return UV_EMFILE;
}

static int start(uv_loop_t *loop, uv_process_t *process, uv_exit_cb exit_cb, const char *program, char **args,
                 int fd)
{
    int lent = lend(fd);
    uv_stdio_container_t stdio[] = {
        {.flags = UV_INHERIT_FD, .data.fd = lent},
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = 2},
    };
    uv_process_options_t options = {.exit_cb = exit_cb,
                                    .file = program,
                                    .args = args,
                                    .stdio = stdio,
                                    .stdio_count = 3,
                                    .flags = UV_PROCESS_DETACHED | UV_PROCESS_WINDOWS_HIDE};
    if (lent < 0)
        return lent;
    int r = uv_spawn(loop, process, &options);
    DWORD error = GetLastError();
    _close(lent);
    SetLastError(error);
    return r;
}

int spawn_connected(uv_loop_t *loop, uv_process_t *process, uv_exit_cb exit_cb, const char *program,
                    char **args, uv_stream_t **ret_stream)
{
    int ends[2] = {-1, -1};
    uv_tcp_t *tcp = calloc(1, sizeof *tcp);
    int r = tcp != NULL ? uv_tcp_init(loop, tcp) : UV_ENOMEM;
    if (r != 0) {
        free(tcp);
        return r;
    }
    r = io_pair(false, ends) == 0 ? 0 : UV_ENOBUFS;
    if (r == 0)
        r = uv_tcp_open(tcp, (uv_os_sock_t)ends[0]);
    if (r == 0)
        ends[0] = -1; /* the handle's */
    if (r == 0)
        r = start(loop, process, exit_cb, program, args, ends[1]);
    DWORD error = GetLastError();
    io_close(ends[0]);
    io_close(ends[1]);
    if (r != 0) {
        uv_close((uv_handle_t *)tcp, (uv_close_cb)free);
        SetLastError(error);
        return r;
    }
    *ret_stream = (uv_stream_t *)tcp;
    return 0;
}

int spawn_take(uv_loop_t *loop, uv_stream_t **ret_stream)
{
    int fd = -1;
    uv_tcp_t *tcp = calloc(1, sizeof *tcp);
    int r = tcp == NULL ? UV_ENOMEM : io_take_socket(GetStdHandle(STD_INPUT_HANDLE), &fd);
    (void)SetStdHandle(STD_INPUT_HANDLE, NULL);
    if (r == 0)
        r = uv_tcp_init(loop, tcp);
    if (r != 0) {
        io_close(fd);
        free(tcp);
        return r;
    }
    r = uv_tcp_open(tcp, (uv_os_sock_t)fd);
    if (r != 0) {
        io_close(fd);
        uv_close((uv_handle_t *)tcp, (uv_close_cb)free);
        return r;
    }
    *ret_stream = (uv_stream_t *)tcp;
    return 0;
}

int spawn_self(char *out, size_t size)
{
    return uv_exepath(out, &size);
}
