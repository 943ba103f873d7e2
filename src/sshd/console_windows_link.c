/* The server's end of the control pipe of a console. One thread writes; the others only say what. */
#include "sshd/console_windows.h"

#include "sshd/pipes_windows.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct console_link {
    HANDLE pipe, theirs, theirs_event;
    HANDLE changed; /* an event, of size */
    atomic_uint_least32_t size;
    /* Below: of the thread that writes. */
    uint8_t *start;
    OVERLAPPED io;
    bool pending;
    const uint8_t *at; /* what is still to be written, n bytes */
    size_t n;
    uint8_t message[CONSOLE_SIZE_BYTES];
};

static void close_handle(HANDLE *handle)
{
    if (*handle != NULL) {
        CloseHandle(*handle);
        *handle = NULL;
    }
}

/* --- what the process gets --- */

static int make_handles(struct console_link *link, HANDLE ended)
{
    int rc = pipes_make(false, true, &link->pipe, &link->theirs);
    if (rc < 0) {
        return rc;
    }
    link->changed = CreateEventW(NULL, FALSE, FALSE, NULL);
    link->io.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (link->changed == NULL || link->io.hEvent == NULL ||
        !DuplicateHandle(GetCurrentProcess(), ended, GetCurrentProcess(), &link->theirs_event,
                         EVENT_MODIFY_STATE, TRUE, 0)) {
        return win_errno(GetLastError());
    }
    return 0;
}

int console_link_new(unsigned columns, unsigned rows, const wchar_t *path, const wchar_t *line, HANDLE ended,
                     struct console_link **ret_link, struct errmsg *err)
{
    struct console_link *link = calloc(1, sizeof *link);
    struct console_start start = {.path = (wchar_t *)(uintptr_t)path, .line = (wchar_t *)(uintptr_t)line};
    uint8_t size[CONSOLE_SIZE_BYTES];
    int rc = link == NULL ? -ENOMEM : make_handles(link, ended);
    if (rc == 0) {
        console_size_pack(columns, rows, size);
        memcpy(&start.columns, size, sizeof start.columns);
        memcpy(&start.rows, size + sizeof start.columns, sizeof start.rows);
        start.ended = (uintptr_t)link->theirs_event;
        rc = console_start_pack(&start, &link->start, &link->n);
    }
    if (rc < 0) {
        console_link_free(link);
        return errmsg_set(err, rc, "no terminal: %s", strerror(-rc));
    }
    link->at = link->start;
    *ret_link = link;
    return 0;
}

void console_link_free(struct console_link *link)
{
    if (link == NULL) {
        return;
    }
    console_link_shut(link);
    console_link_started(link);
    close_handle(&link->changed);
    close_handle(&link->io.hEvent);
    free(link->start);
    free(link);
}

HANDLE console_link_control(const struct console_link *link)
{
    return link->theirs;
}

HANDLE console_link_event(const struct console_link *link)
{
    return link->theirs_event;
}

void console_link_started(struct console_link *link)
{
    close_handle(&link->theirs);
    close_handle(&link->theirs_event);
}

void console_link_resize(struct console_link *link, unsigned columns, unsigned rows)
{
    uint8_t message[CONSOLE_SIZE_BYTES];
    uint32_t size;
    console_size_pack(columns, rows, message);
    memcpy(&size, message, sizeof size);
    atomic_store(&link->size, size);
    SetEvent(link->changed);
}

/* --- the thread that writes --- */

static bool begin_write(struct console_link *link)
{
    link->pending = WriteFile(link->pipe, link->at, (DWORD)link->n, NULL, &link->io) ||
                    GetLastError() == ERROR_IO_PENDING;
    return link->pending;
}

static bool finish_write(struct console_link *link)
{
    DWORD took = 0;
    link->pending = false;
    if (!GetOverlappedResult(link->pipe, &link->io, &took, TRUE)) {
        return false;
    }
    link->at += took;
    link->n -= took;
    return link->n == 0 || begin_write(link);
}

static bool begin_size(struct console_link *link)
{
    const uint32_t size = atomic_load(&link->size);
    memcpy(link->message, &size, sizeof size);
    link->at = link->message;
    link->n = sizeof link->message;
    return begin_write(link);
}

void console_link_serve(struct console_link *link, HANDLE process, HANDLE ended)
{
    HANDLE events[] = {process, ended, NULL};
    bool heard = begin_write(link);
    while (heard) {
        events[2] = link->pending ? link->io.hEvent : link->changed;
        if (WaitForMultipleObjects(3, events, FALSE, INFINITE) != WAIT_OBJECT_0 + 2) {
            return;
        }
        heard = link->pending ? finish_write(link) : begin_size(link);
    }
    (void)WaitForMultipleObjects(2, events, FALSE, INFINITE);
}

void console_link_shut(struct console_link *link)
{
    DWORD took;
    if (link->pending) {
        (void)CancelIoEx(link->pipe, &link->io);
        (void)GetOverlappedResult(link->pipe, &link->io, &took, TRUE);
        link->pending = false;
    }
    close_handle(&link->pipe);
}
