/* A named pipe; it goes with its process. */
#include "agent/keeper_place.h"

#include "base/win.h"
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>

#define BUSY_MS 500

static void pipe_name(const struct keeper_place *p, char *out, size_t size)
{
    snprintf(out, size, "\\\\.\\pipe\\multissh-agent-%s", p->id);
}

int keeper_place_bind(const struct keeper_place *p, uv_pipe_t *pipe)
{
    char name[100];
    pipe_name(p, name, sizeof name);
    return uv_pipe_bind(pipe, name);
}

/* Not by uv_pipe_connect, which lets the other side act as who connects: the name of a keeper that has died is anybody's
 * to take, and who connects may be the system. */
static HANDLE open_anonymously(const wchar_t *name)
{
    return CreateFileW(name, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                       FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_ANONYMOUS, NULL);
}

static int open_pipe(const struct keeper_place *p, HANDLE *ret_handle)
{
    wchar_t *wide = NULL;
    char name[100];
    pipe_name(p, name, sizeof name);
    if (win_utf16(name, &wide) != 0)
        return UV_ENOMEM;
    HANDLE handle = open_anonymously(wide);
    /* All instances are taken until it comes to make the next one. */
    if (handle == INVALID_HANDLE_VALUE && GetLastError() == ERROR_PIPE_BUSY && WaitNamedPipeW(wide, BUSY_MS))
        handle = open_anonymously(wide);
    DWORD error = GetLastError();
    free(wide);
    *ret_handle = handle;
    return handle == INVALID_HANDLE_VALUE ? uv_translate_sys_error((int)error) : 0;
}

int keeper_place_connect(const struct keeper_place *p, uv_pipe_t *pipe)
{
    HANDLE handle;
    int r = open_pipe(p, &handle);
    if (r != 0)
        return r;
    int fd = _open_osfhandle((intptr_t)handle, _O_BINARY);
    if (fd < 0) {
        CloseHandle(handle);
        return UV_EMFILE;
    }
    r = uv_pipe_open(pipe, fd);
    if (r != 0)
        _close(fd);
    return r;
}

void keeper_place_unbind(const struct keeper_place *p)
{
    (void)p;
}
