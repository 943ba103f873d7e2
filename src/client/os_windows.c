/* Windows. */
#include "client/os.h"

#include "base/fs.h"
#include "base/win.h"
#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

static UINT console_before; /* the code page of the console that others go on to use */

static void restore_console(void)
{
    SetConsoleOutputCP(console_before);
}

void os_prepare(void)
{
    SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX | SEM_NOOPENFILEERRORBOX);
    SetDefaultDllDirectories(LOAD_LIBRARY_SEARCH_SYSTEM32);
    uv_disable_stdio_inheritance();
    console_before = GetConsoleOutputCP(); /* 0: there is no console */
    if (console_before != 0 && console_before != CP_UTF8 && atexit(restore_console) == 0)
        SetConsoleOutputCP(CP_UTF8);
}

int os_args(int *argc, char ***argv)
{
    return win_args(argc, argv);
}

const char os_config_help[] = "%APPDATA%\\multissh\\multissh.conf";

int os_config_path(char *out, size_t size)
{
    char *data = win_env("APPDATA");
    if (data == NULL || data[0] == 0) {
        free(data);
        return -ENOENT;
    }
    int n = snprintf(out, size, "%s\\multissh\\multissh.conf", data);
    free(data);
    return n >= 0 && (size_t)n < size ? 0 : -ENAMETOOLONG;
}

/* Both CreateProcess and cmd.exe take "…" with no quotation mark in it; cmd.exe would expand %NAME% even there. */
int os_quote(const char *word, struct buf *out)
{
    size_t n = strlen(word);
    int r = buf_append_str(out, "\"");
    for (size_t i = 0; r == 0 && i < n; i++) {
        if ((unsigned char)word[i] < 0x20 || word[i] == '"' || word[i] == '%' ||
            (word[i] == '\\' && i + 1 == n)) /* it would make the quotation mark a part of the word */
            r = -EINVAL;
        else
            r = buf_append(out, word + i, 1);
    }
    return r == 0 ? buf_append_str(out, "\"") : r;
}

static void on_exit_of_child(uv_process_t *process, int64_t status, int signal_number)
{
    int *ret = process->data;
    *ret = signal_number != 0 ? 128 + signal_number : (int)(status & 0xff);
    uv_close((uv_handle_t *)process, NULL);
}

/* Ctrl-C is for the one that runs beside us, too, and that one decides. */
static BOOL WINAPI on_console_event(DWORD event)
{
    return event == CTRL_C_EVENT || event == CTRL_BREAK_EVENT;
}

int os_exec(char **argv)
{
    uv_loop_t loop;
    uv_process_t process;
    int status = 255;
    uv_stdio_container_t stdio[3];
    uv_process_options_t options = {
        .exit_cb = on_exit_of_child, .file = argv[0], .args = argv, .stdio = stdio, .stdio_count = 3};
    for (int i = 0; i < 3; i++)
        stdio[i] = (uv_stdio_container_t){.flags = UV_INHERIT_FD, .data.fd = i};
    int r = uv_loop_init(&loop);
    if (r != 0)
        return r;
    process.data = &status;
    SetConsoleCtrlHandler(on_console_event, TRUE);
    r = uv_spawn(&loop, &process, &options);
    if (r != 0)
        uv_close((uv_handle_t *)&process, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    return r != 0 ? r : status;
}

const int os_continue_signal = 0;

bool os_signal_ignored(int number)
{
    (void)number;
    return false;
}

void os_widen_pipe(int fd)
{
    (void)fd;
}

int os_take_output(void)
{
    int fd = _dup(1), nowhere = fd >= 0 ? _open("NUL", _O_WRONLY | _O_NOINHERIT) : -1;
    int r = fd < 0 || nowhere < 0 || _dup2(nowhere, 1) != 0 ? -errno : fd;
    if (fd >= 0) /* who reads it waits for the end of all that have it */
        SetHandleInformation((HANDLE)_get_osfhandle(fd), HANDLE_FLAG_INHERIT, 0);
    if (nowhere >= 0)
        _close(nowhere);
    if (r < 0 && fd >= 0)
        _close(fd);
    return r;
}

bool os_utf8(void)
{
    return GetConsoleOutputCP() == CP_UTF8;
}
