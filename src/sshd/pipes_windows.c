/* Pipes and sockets, joined by threads. Calls nobody back, and knows nothing of processes. */
#include "sshd/pipes_windows.h"

#include "base/crypto.h"
#include "base/io.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define THREAD_STACK (128u << 10)
/* The most that can have been in a pipe at one moment: what it holds, and the same again for how the system counts. */
#define DRAINED_MAX (2u * PIPES_SIZE)

struct pipes_socket {
    atomic_uint refs;
    int fd;
};

struct pipes_flow {
    atomic_uint refs;
    bool out; /* from the pipe into the socket */
    struct pipes_socket *socket;
    HANDLE ended; /* our own handle of the event; NULL: none */
    unsigned settle_ms;
    HANDLE stop, last, drained, over;
    OVERLAPPED io; /* the thread's */
    bool drained_told;
    size_t after; /* bytes since ended was seen */

    SRWLOCK lock;     /* below: the thread changes it, and who types looks at it */
    HANDLE pipe;      /* NULL: closed */
    OVERLAPPED typed; /* of pipes_flow_type */
    bool typed_once;
    char typed_byte;

    char data[PIPES_SIZE];
};

/* --- pipes --- */

int pipes_make(bool ours_reads, bool inherited, HANDLE *ret_ours, HANDLE *ret_theirs)
{
    SECURITY_ATTRIBUTES attributes = {.nLength = sizeof attributes, .bInheritHandle = inherited};
    DWORD access = ours_reads ? GENERIC_WRITE | FILE_READ_ATTRIBUTES : GENERIC_READ | FILE_WRITE_ATTRIBUTES;
    wchar_t name[96];
    uint64_t random[2];
    HANDLE ours, theirs;
    int rc = crypto_random(random, sizeof random);
    if (rc < 0) {
        return rc;
    }
    (void)swprintf(name, sizeof name / sizeof name[0], L"\\\\.\\pipe\\multissh-%016llx%016llx",
                   (unsigned long long)random[0], (unsigned long long)random[1]);
    ours = CreateNamedPipeW(name,
                            (ours_reads ? PIPE_ACCESS_INBOUND : PIPE_ACCESS_OUTBOUND) | FILE_FLAG_OVERLAPPED |
                                FILE_FLAG_FIRST_PIPE_INSTANCE,
                            PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS, 1,
                            PIPES_SIZE, PIPES_SIZE, 0, NULL);
    if (ours == INVALID_HANDLE_VALUE) {
        return win_errno(GetLastError());
    }
    theirs = CreateFileW(name, access, 0, &attributes, OPEN_EXISTING, 0, NULL);
    if (theirs == INVALID_HANDLE_VALUE) {
        rc = win_errno(GetLastError());
        CloseHandle(ours);
        return rc;
    }
    *ret_ours = ours;
    *ret_theirs = theirs;
    return 0;
}

/* --- sockets --- */

int pipes_socket_new(int fd, struct pipes_socket **ret_socket)
{
    struct pipes_socket *socket = malloc(sizeof *socket);
    if (socket == NULL) {
        io_close(fd);
        return -ENOMEM;
    }
    atomic_init(&socket->refs, 1);
    socket->fd = fd;
    *ret_socket = socket;
    return 0;
}

void pipes_socket_release(struct pipes_socket *socket)
{
    if (socket != NULL && atomic_fetch_sub(&socket->refs, 1) == 1) {
        io_close(socket->fd);
        free(socket);
    }
}

static bool socket_write(const struct pipes_socket *socket, const char *data, size_t n)
{
    while (n > 0) {
        long took = io_write(socket->fd, data, n);
        if (took < 0) {
            return false;
        }
        data += took;
        n -= (size_t)took;
    }
    return true;
}

/* --- the pipe's end of a flow --- */

static void tell_drained(struct pipes_flow *flow)
{
    flow->drained_told = true;
    SetEvent(flow->drained);
}

/* Waits for what was begun. Returns whether it went well. */
static bool finish(struct pipes_flow *flow, DWORD *ret_n)
{
    return GetOverlappedResult(flow->pipe, &flow->io, ret_n, TRUE) != 0;
}

/* It is over when this returns; it may have gone well all the same. */
static bool cancel(struct pipes_flow *flow, DWORD *ret_n)
{
    (void)CancelIoEx(flow->pipe, &flow->io);
    return finish(flow, ret_n);
}

static bool is_set(HANDLE event)
{
    return event != NULL && WaitForSingleObject(event, 0) == WAIT_OBJECT_0;
}

/* The read that is under way stands for an empty pipe, and one that can be cancelled has been given nothing since. */
static bool drain(struct pipes_flow *flow, DWORD *ret_n, bool *ret_again)
{
    const HANDLE events[] = {flow->io.hEvent, flow->stop};
    if (flow->settle_ms > 0 && WaitForMultipleObjects(2, events, FALSE, flow->settle_ms) != WAIT_TIMEOUT) {
        return !is_set(flow->stop) ? finish(flow, ret_n) : cancel(flow, ret_n);
    }
    if (cancel(flow, ret_n)) {
        return true;
    }
    *ret_again = GetLastError() == ERROR_OPERATION_ABORTED;
    tell_drained(flow);
    return false;
}

/* Waits for the read that is under way: 0 it is done, 1 it is to be stopped, 2 the writer has ended, WAIT_TIMEOUT what
 * came last has been quiet for its time. */
static DWORD await_read(const struct pipes_flow *flow)
{
    const bool ends = flow->ended != NULL && !flow->drained_told;
    const HANDLE events[] = {flow->io.hEvent, flow->stop, ends ? flow->ended : flow->last};
    DWORD which = WAIT_TIMEOUT;
    if (ends || !is_set(flow->last)) {
        which = WaitForMultipleObjects(3, events, FALSE, INFINITE) - WAIT_OBJECT_0;
    }
    return ends || which < 2 ? which : WaitForMultipleObjects(2, events, FALSE, PIPES_LAST_MS);
}

/* Returns whether there are bytes in data (0 are none, but no end either). */
static bool pipe_read(struct pipes_flow *flow, DWORD *ret_n)
{
    bool again;
    do {
        again = false;
        *ret_n = 0;
        if (ReadFile(flow->pipe, flow->data, sizeof flow->data, NULL, &flow->io)) {
            return finish(flow, ret_n);
        }
        if (GetLastError() != ERROR_IO_PENDING) {
            return false;
        }
        switch (await_read(flow)) {
        case 0:
            return finish(flow, ret_n);
        case 2:
            if (drain(flow, ret_n, &again)) {
                return true;
            }
            break;
        case WAIT_TIMEOUT:
            return cancel(flow, ret_n);
        default:
            (void)cancel(flow, ret_n);
            return false;
        }
    } while (again);
    return false;
}

static void count_after_end(struct pipes_flow *flow, size_t n)
{
    if (flow->drained_told || !is_set(flow->ended)) {
        return;
    }
    flow->after += n;
    if (flow->after >= DRAINED_MAX) {
        tell_drained(flow);
    }
}

static bool pipe_write(struct pipes_flow *flow, const char *data, size_t n)
{
    const HANDLE events[] = {flow->io.hEvent, flow->stop};
    while (n > 0) {
        DWORD took = 0;
        if (!WriteFile(flow->pipe, data, (DWORD)n, NULL, &flow->io)) {
            if (GetLastError() != ERROR_IO_PENDING) {
                return false;
            }
            if (WaitForMultipleObjects(2, events, FALSE, INFINITE) != WAIT_OBJECT_0) {
                (void)cancel(flow, &took);
                return false;
            }
        }
        if (!finish(flow, &took)) {
            return false;
        }
        data += took;
        n -= took;
    }
    return true;
}

static void pipe_close(struct pipes_flow *flow)
{
    AcquireSRWLockExclusive(&flow->lock);
    if (flow->pipe != NULL) {
        if (flow->typed_once) {
            DWORD n;
            (void)CancelIoEx(flow->pipe, &flow->typed);
            (void)GetOverlappedResult(flow->pipe, &flow->typed, &n, TRUE);
        }
        CloseHandle(flow->pipe);
        flow->pipe = NULL;
    }
    ReleaseSRWLockExclusive(&flow->lock);
}

/* --- the threads --- */

static void move_out(struct pipes_flow *flow)
{
    DWORD n;
    while (pipe_read(flow, &n) && socket_write(flow->socket, flow->data, n)) {
        count_after_end(flow, n);
    }
    pipe_close(flow);
    (void)io_shut(flow->socket->fd);
}

static void move_in(struct pipes_flow *flow)
{
    bool reader = true;
    long n;
    while ((n = io_read(flow->socket->fd, flow->data, sizeof flow->data)) > 0) {
        if (reader && !pipe_write(flow, flow->data, (size_t)n)) {
            pipe_close(flow);
            reader = false;
        }
    }
    pipe_close(flow);
}

static DWORD WINAPI run(void *arg)
{
    struct pipes_flow *flow = arg;
    if (flow->out) {
        move_out(flow);
    } else {
        move_in(flow);
    }
    pipes_socket_release(flow->socket);
    flow->socket = NULL;
    tell_drained(flow);
    SetEvent(flow->over);
    pipes_flow_release(flow);
    return 0;
}

/* --- the whole --- */

static void close_event(HANDLE event)
{
    if (event != NULL) {
        CloseHandle(event);
    }
}

void pipes_flow_release(struct pipes_flow *flow)
{
    if (flow == NULL || atomic_fetch_sub(&flow->refs, 1) != 1) {
        return;
    }
    pipe_close(flow);
    pipes_socket_release(flow->socket);
    close_event(flow->ended);
    close_event(flow->stop);
    close_event(flow->last);
    close_event(flow->drained);
    close_event(flow->over);
    close_event(flow->io.hEvent);
    close_event(flow->typed.hEvent);
    SecureZeroMemory(flow->data, sizeof flow->data);
    free(flow);
}

static bool make_events(struct pipes_flow *flow, HANDLE ended)
{
    HANDLE *const events[] = {&flow->stop, &flow->last,      &flow->drained,
                              &flow->over, &flow->io.hEvent, &flow->typed.hEvent};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        *events[i] = CreateEventW(NULL, TRUE, FALSE, NULL);
        if (*events[i] == NULL) {
            return false;
        }
    }
    return ended == NULL || DuplicateHandle(GetCurrentProcess(), ended, GetCurrentProcess(), &flow->ended, 0,
                                            FALSE, DUPLICATE_SAME_ACCESS);
}

static int flow_new(bool out, HANDLE pipe, struct pipes_socket *socket, HANDLE ended, unsigned settle_ms,
                    struct pipes_flow **ret_flow)
{
    struct pipes_flow *flow = calloc(1, sizeof *flow);
    HANDLE thread = NULL;
    int rc = 0;
    if (flow == NULL) {
        CloseHandle(pipe);
        return -ENOMEM;
    }
    atomic_init(&flow->refs, 2); /* the caller's and the thread's */
    atomic_fetch_add(&socket->refs, 1);
    InitializeSRWLock(&flow->lock);
    flow->out = out;
    flow->pipe = pipe;
    flow->socket = socket;
    flow->settle_ms = settle_ms;
    if (make_events(flow, ended)) {
        thread = CreateThread(NULL, THREAD_STACK, run, flow, STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    }
    if (thread == NULL) {
        rc = win_errno(GetLastError());
        atomic_store(&flow->refs, 1);
        pipes_flow_release(flow);
        return rc;
    }
    CloseHandle(thread);
    *ret_flow = flow;
    return 0;
}

int pipes_flow_out(HANDLE pipe, struct pipes_socket *socket, HANDLE ended, unsigned settle_ms,
                   struct pipes_flow **ret_flow)
{
    return flow_new(true, pipe, socket, ended, settle_ms, ret_flow);
}

int pipes_flow_in(struct pipes_socket *socket, HANDLE pipe, struct pipes_flow **ret_flow)
{
    return flow_new(false, pipe, socket, NULL, 0, ret_flow);
}

HANDLE pipes_flow_drained(const struct pipes_flow *flow)
{
    return flow->drained;
}

HANDLE pipes_flow_over(const struct pipes_flow *flow)
{
    return flow->over;
}

void pipes_flow_last(struct pipes_flow *flow)
{
    SetEvent(flow->last);
}

void pipes_flow_type(struct pipes_flow *flow, char byte)
{
    AcquireSRWLockExclusive(&flow->lock);
    if (flow->pipe != NULL && (!flow->typed_once || HasOverlappedIoCompleted(&flow->typed))) {
        flow->typed_byte = byte;
        flow->typed_once = WriteFile(flow->pipe, &flow->typed_byte, 1, NULL, &flow->typed) ||
                           GetLastError() == ERROR_IO_PENDING;
    }
    ReleaseSRWLockExclusive(&flow->lock);
}

void pipes_flow_stop(struct pipes_flow *flow)
{
    SetEvent(flow->stop);
    AcquireSRWLockExclusive(&flow->lock);
    if (flow->pipe != NULL) {
        (void)CancelIoEx(flow->pipe, NULL); /* a pipe that others made may block in the call itself */
    }
    ReleaseSRWLockExclusive(&flow->lock);
}
