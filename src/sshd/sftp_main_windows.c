/* SFTP on standard input and output: owns the two handles and the bytes between them; the protocol is sftp.c's.
 *
 * Pipes cannot be waited for together on Windows, and need not be: requests are read when all answers are sent. A
 * client that sends without end and takes no answer waits, and nothing is held for it but one buffer. */
#include "sshd/sftp.h"

#include "base/log.h"
#include "base/win.h"
#include "sshd/sftp_fs.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for two of the largest packets: the rest of one is seldom moved. */
#define INPUT_BYTES (2u * SFTP_INPUT_MIN)
#define HANDLES_MOST 4096

/* One end of the channel. A pipe or socket may have been made for overlapped calls, which then must be such. */
struct end {
    HANDLE handle;
    HANDLE done; /* an event */
    bool overlapped;
};

struct channel {
    struct sftp *sftp;
    struct end in, out;
    uint8_t *input;
    size_t start, end; /* what of input is still to be worked on */
};

static int end_init(struct end *e, DWORD which)
{
    *e = (struct end){.handle = GetStdHandle(which)};
    if (e->handle == NULL || e->handle == INVALID_HANDLE_VALUE)
        return -EBADF;
    DWORD type = GetFileType(e->handle);
    if (type == FILE_TYPE_UNKNOWN && GetLastError() != NO_ERROR)
        return win_errno(GetLastError());
    e->overlapped = type == FILE_TYPE_PIPE;
    e->done = CreateEventW(NULL, TRUE, FALSE, NULL);
    return e->done == NULL ? win_errno(GetLastError()) : 0;
}

static void end_release(struct end *e)
{
    if (e->done != NULL)
        CloseHandle(e->done);
}

/* One ReadFile or WriteFile, waited for. Returns how many bytes, 0 at the end, or a negative errno value. */
static long transfer(struct end *e, void *data, size_t n, bool writing)
{
    OVERLAPPED how = {.hEvent = e->done};
    OVERLAPPED *at = e->overlapped ? &how : NULL;
    DWORD done = 0, some = n > INT32_MAX ? INT32_MAX : (DWORD)n;
    BOOL well =
        writing ? WriteFile(e->handle, data, some, &done, at) : ReadFile(e->handle, data, some, &done, at);

    if (at != NULL && (well || GetLastError() == ERROR_IO_PENDING))
        well = GetOverlappedResult(e->handle, at, &done, TRUE);
    if (well)
        return (long)done;
    DWORD error = GetLastError();
    return error == ERROR_HANDLE_EOF || error == ERROR_BROKEN_PIPE ? 0 : win_errno(error);
}

/* Sends all that waits. Returns 0 or a negative errno value. */
static int send_answers(struct channel *c)
{
    const uint8_t *answers = NULL;
    size_t n;
    while ((n = sftp_output(c->sftp, &answers)) > 0) {
        long sent = transfer(&c->out, (void *)(uintptr_t)answers, n, true);
        if (sent <= 0)
            return sent < 0 ? (int)sent : -EPIPE;
        sftp_sent(c->sftp, (size_t)sent);
    }
    return 0;
}

/* Answers the requests that are whole. Returns 0 or a negative errno value. */
static int work(struct channel *c)
{
    long done;
    do {
        done = sftp_input(c->sftp, c->input + c->start, c->end - c->start);
        if (done > 0)
            c->start += (size_t)done;
        int r = send_answers(c);
        if (done < 0)
            return (int)done;
        if (r != 0)
            return r;
    } while (done > 0);
    return 0;
}

/* Makes room behind what is there for the rest of a packet. */
static void make_room(struct channel *c)
{
    size_t left = c->end - c->start;
    if (left == 0) {
        c->start = c->end = 0;
    } else if (INPUT_BYTES - c->start < SFTP_INPUT_MIN) {
        memmove(c->input, c->input + c->start, left);
        c->start = 0;
        c->end = left;
    }
}

/* Returns 0 when it is over, or a negative errno value. */
static int serve(struct channel *c)
{
    for (;;) {
        int r = work(c);
        if (r != 0)
            return r;
        make_room(c);
        long got = transfer(&c->in, c->input + c->end, INPUT_BYTES - c->end, false);
        if (got <= 0)
            return (int)got;
        c->end += (size_t)got;
    }
}

/* The account and, when it came by SSH, from where. */
static void name_session(char *out, size_t size)
{
    char *connection = win_env("SSH_CONNECTION");
    wchar_t wide[257] = L"";
    char name[1024] = "";
    DWORD units = sizeof wide / sizeof wide[0];
    int n = connection == NULL ? 0 : (int)strcspn(connection, " ");
    if (!GetUserNameW(wide, &units) || win_utf8_into(wide, name, sizeof name) != 0 || name[0] == '\0')
        (void)snprintf(name, sizeof name, "an account without a name");
    if (n > 0 && n < 64)
        (void)snprintf(out, size, "%.300s from %.*s", name, n, connection);
    else
        (void)snprintf(out, size, "%.300s", name);
    free(connection);
}

static int exit_code(int r, const char *who)
{
    if (r == 0 || r == -EPIPE || r == -ECONNRESET || r == -ECONNABORTED)
        return 0; /* it is the client's to end the session */
    if (r != -EPROTO)
        log_error("SFTP of %s: the connection: %s", who, strerror(-r));
    return 1;
}

int sftp_main(bool read_only)
{
    struct sftp_config config = {.fs = &sftp_fs_native, .read_only = read_only, .handles_max = HANDLES_MOST};
    struct channel c = {0};
    char who[400] = "?";

    /* A drive without a disk is an error of the call, and no window that nobody sees. */
    SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOOPENFILEERRORBOX);
    name_session(who, sizeof who);
    config.who = who;
    int r = end_init(&c.in, STD_INPUT_HANDLE);
    if (r == 0)
        r = end_init(&c.out, STD_OUTPUT_HANDLE);
    if (r == 0)
        r = sftp_fs_new(&config.fs_arg);
    if (r == 0)
        r = sftp_new(&config, &c.sftp);
    c.input = malloc(INPUT_BYTES);
    if (r == 0)
        r = c.input == NULL ? -ENOMEM : serve(&c);
    if (r == 0 && c.end > c.start)
        log_warn("SFTP of %s: the client's bytes ended within a packet", who);
    sftp_free(c.sftp);
    sftp_fs_free(config.fs_arg);
    free(c.input);
    end_release(&c.in);
    end_release(&c.out);
    return exit_code(r, who);
}
