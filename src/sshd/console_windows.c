/* The process of a console, with the rights of its account: makes the pseudo console, starts the shell on it, hands on
 * the sizes, and ends with both. It must not be trusted by anybody: the account can do to it what it likes. */
#include "sshd/console_windows.h"

#include "sshd/inherit_windows.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE 2
#define EXIT_NOT_STARTED 126 /* as a POSIX shell's */
#define EXIT_CLOSED 129      /* as child_close */
#define LISTENER_STACK (64u << 10)

struct console {
    HANDLE in, out, control;
    HANDLE shut; /* an event: the control pipe has ended */
    struct console_start start;
    struct conpty *screen;
    HANDLE shell;
};

/* --- the control pipe --- */

static bool read_all(HANDLE pipe, void *data, size_t n)
{
    uint8_t *at = data;
    DWORD got;
    while (n > 0) {
        if (!ReadFile(pipe, at, (DWORD)n, &got, NULL) || got == 0) {
            return false;
        }
        at += got;
        n -= got;
    }
    return true;
}

static int read_start(struct console *console)
{
    uint32_t length;
    uint8_t *data;
    int rc;
    if (!read_all(console->control, &length, sizeof length) || length > CONSOLE_START_MAX) {
        return -EPROTO;
    }
    data = malloc(length + 1);
    if (data == NULL) {
        return -ENOMEM;
    }
    rc = read_all(console->control, data, length) ? console_start_parse(data, length, &console->start)
                                                  : -EPROTO;
    free(data);
    return rc;
}

static DWORD WINAPI listen_to_server(void *arg)
{
    struct console *console = arg;
    uint8_t message[CONSOLE_SIZE_BYTES];
    while (read_all(console->control, message, sizeof message)) {
        unsigned columns, rows;
        console_size_parse(message, &columns, &rows);
        conpty_resize(console->screen, columns, rows);
    }
    SetEvent(console->shut);
    return 0;
}

static int start_listener(struct console *console, struct errmsg *err)
{
    HANDLE thread;
    console->shut = CreateEventW(NULL, TRUE, FALSE, NULL);
    thread = console->shut == NULL ? NULL
                                   : CreateThread(NULL, LISTENER_STACK, listen_to_server, console,
                                                  STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    if (thread == NULL) {
        int rc = win_errno(GetLastError());
        return errmsg_set(err, rc, "no terminal: %s", strerror(-rc));
    }
    CloseHandle(thread);
    return 0;
}

/* --- the shell --- */

static int start_shell(struct console *console, struct errmsg *err)
{
    struct inherit inherit;
    PROCESS_INFORMATION made;
    STARTUPINFOEXW startup;
    int rc = inherit_init(&inherit, NULL, NULL, console->screen, err);
    if (rc < 0) {
        return rc;
    }
    /* That Ctrl-C is ignored is inherited, and this process may have been started so. */
    (void)SetConsoleCtrlHandler(NULL, FALSE);
    startup = inherit_startup(&inherit);
    if (CreateProcessW(console->start.path, console->start.line, NULL, NULL, inherit_any(&inherit),
                       EXTENDED_STARTUPINFO_PRESENT, NULL, NULL, &startup.StartupInfo, &made)) {
        console->shell = made.hProcess;
        CloseHandle(made.hThread);
    } else {
        const DWORD error = GetLastError();
        char words[256];
        win_words(error, words, sizeof words);
        rc = errmsg_set(err, win_errno(error), "%.200ls cannot be started: %s", console->start.path, words);
    }
    inherit_release(&inherit);
    return rc;
}

static int start(struct console *console, struct errmsg *err)
{
    int rc = conpty_new(console->start.columns, console->start.rows, console->in, console->out,
                        &console->screen, err);
    if (rc < 0) {
        return rc;
    }
    rc = start_listener(console, err);
    if (rc == 0) {
        rc = start_shell(console, err);
    }
    if (rc < 0) {
        conpty_shut(console->screen); /* so that the words are the last that is shown */
    }
    return rc;
}

/* The console's ends of the pipes are its host's now: they end when that does. */
static void give_up_pipes(struct console *console)
{
    (void)SetStdHandle(STD_INPUT_HANDLE, NULL);
    (void)SetStdHandle(STD_OUTPUT_HANDLE, NULL);
    CloseHandle(console->in);
    CloseHandle(console->out);
}

/* Returns the exit code. */
static DWORD wait_for_end(struct console *console)
{
    const HANDLE events[] = {console->shell, console->shut};
    DWORD code = EXIT_CLOSED;
    if (WaitForMultipleObjects(2, events, FALSE, INFINITE) == WAIT_OBJECT_0 &&
        SetEvent((HANDLE)(uintptr_t)console->start.ended)) {
        (void)WaitForSingleObject(console->shut, INFINITE);
    }
    conpty_shut(console->screen);
    if (WaitForSingleObject(console->shell, 0) == WAIT_OBJECT_0) {
        (void)GetExitCodeProcess(console->shell, &code);
    } else {
        (void)TerminateProcess(console->shell, code);
    }
    return code;
}

/* --- the whole --- */

static bool take_pipe(DWORD which, HANDLE *ret_handle)
{
    HANDLE handle = GetStdHandle(which);
    *ret_handle = handle;
    return handle != NULL && handle != INVALID_HANDLE_VALUE && GetFileType(handle) == FILE_TYPE_PIPE &&
           SetHandleInformation(handle, HANDLE_FLAG_INHERIT, 0);
}

static bool take_handles(struct console *console)
{
    return take_pipe(STD_INPUT_HANDLE, &console->in) && take_pipe(STD_OUTPUT_HANDLE, &console->out) &&
           take_pipe(STD_ERROR_HANDLE, &console->control) && read_start(console) == 0;
}

static void tell(const struct console *console, const struct errmsg *err)
{
    char line[sizeof err->text + 32];
    DWORD wrote;
    int n = snprintf(line, sizeof line, "multissh-sshd: %s\r\n", err->text);
    (void)WriteFile(console->out, line, (DWORD)n, &wrote, NULL);
}

int console_main(void)
{
    struct console console = {0};
    struct errmsg err = {""};
    if (!take_handles(&console)) {
        (void)fputs("multissh-sshd: " CONSOLE_FLAG " is for the server alone, which gives it pipes; --help "
                    "shows what is for people\n",
                    stderr);
        return EXIT_USAGE;
    }
    /* Another that this process starts has no use for it: the host of the console, for one. */
    (void)SetHandleInformation((HANDLE)(uintptr_t)console.start.ended, HANDLE_FLAG_INHERIT, 0);
    if (start(&console, &err) < 0) {
        tell(&console, &err);
        return EXIT_NOT_STARTED;
    }
    give_up_pipes(&console);
    return (int)wait_for_end(&console); /* whole: an exit code of Windows has 32 bits */
}
