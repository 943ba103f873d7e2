/* Threads that take work from a queue and put it into another, and wake the loop by a byte on a socket. */
#include "sshd/workers_windows.h"

#include "base/io.h"
#include "base/win.h"
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#define THREADS_MAX 64u

struct queue {
    struct work *first, **end;
};

struct workers {
    struct ssh_loop_watch *watch; /* the loop's thread alone */
    int heard;                    /* the loop's end of the pair */
    SRWLOCK lock;                 /* of all that follows */
    struct queue waiting, finished;
    unsigned threads;
    bool closed;
    int wake; /* the threads' end, blocking */
};

static void put(struct queue *queue, struct work *work)
{
    work->next = NULL;
    *queue->end = work;
    queue->end = &work->next;
}

static struct work *take(struct queue *queue)
{
    struct work *work = queue->first;
    if (work != NULL) {
        queue->first = work->next;
        if (queue->first == NULL) {
            queue->end = &queue->first;
        }
    }
    return work;
}

static void release_all(struct queue *queue)
{
    struct work *work;
    while ((work = take(queue)) != NULL) {
        work->release(work);
    }
}

static void destroy(struct workers *workers)
{
    release_all(&workers->waiting);
    release_all(&workers->finished);
    io_close(workers->wake);
    free(workers);
}

static DWORD WINAPI serve(void *arg)
{
    struct workers *workers = arg;
    bool last;
    AcquireSRWLockExclusive(&workers->lock);
    for (;;) {
        struct work *work = workers->closed ? NULL : take(&workers->waiting);
        if (work == NULL) {
            break;
        }
        ReleaseSRWLockExclusive(&workers->lock);
        work->run(work);
        AcquireSRWLockExclusive(&workers->lock);
        bool first = workers->finished.first == NULL;
        put(&workers->finished, work);
        if (first && !workers->closed) {
            (void)io_write(workers->wake, "", 1); /* at most one is on its way: never waits */
        }
    }
    workers->threads--;
    last = workers->closed && workers->threads == 0;
    ReleaseSRWLockExclusive(&workers->lock);
    if (last) {
        destroy(workers);
    }
    return 0;
}

static void on_wake(void *arg, short ready)
{
    struct workers *workers = arg;
    struct queue mine = {NULL, &mine.first};
    struct work *work;
    char bytes[16];
    (void)ready;
    (void)io_read(workers->heard, bytes, sizeof bytes);
    AcquireSRWLockExclusive(&workers->lock);
    while ((work = take(&workers->finished)) != NULL) {
        put(&mine, work);
    }
    ReleaseSRWLockExclusive(&workers->lock);
    while ((work = take(&mine)) != NULL) {
        work->done(work);
    }
}

int workers_new(struct ssh_loop *loop, struct workers **ret_workers)
{
    struct workers *workers = calloc(1, sizeof *workers);
    int pair[2];
    int rc;
    if (workers == NULL) {
        return -ENOMEM;
    }
    rc = io_pair(true, pair);
    if (rc < 0) {
        free(workers);
        return rc;
    }
    InitializeSRWLock(&workers->lock);
    workers->waiting.end = &workers->waiting.first;
    workers->finished.end = &workers->finished.first;
    workers->heard = pair[0];
    workers->wake = pair[1];
    rc = ssh_loop_watch(loop, workers->heard, POLLIN, on_wake, workers, &workers->watch);
    if (rc < 0) {
        workers_free(workers);
        return rc;
    }
    *ret_workers = workers;
    return 0;
}

void workers_free(struct workers *workers)
{
    bool last;
    if (workers == NULL) {
        return;
    }
    ssh_loop_unwatch(workers->watch);
    AcquireSRWLockExclusive(&workers->lock);
    workers->closed = true;
    last = workers->threads == 0;
    ReleaseSRWLockExclusive(&workers->lock);
    io_close(workers->heard);
    if (last) {
        destroy(workers);
    }
}

int workers_run(struct workers *workers, struct work *work)
{
    HANDLE thread = NULL;
    bool more;
    AcquireSRWLockExclusive(&workers->lock);
    more = workers->threads < THREADS_MAX;
    workers->threads += more;
    put(&workers->waiting, work);
    ReleaseSRWLockExclusive(&workers->lock);
    if (!more) {
        return 0;
    }
    thread = CreateThread(NULL, 0, serve, workers, 0, NULL);
    if (thread != NULL) {
        CloseHandle(thread);
        return 0;
    }
    int rc = win_errno(GetLastError());
    AcquireSRWLockExclusive(&workers->lock);
    workers->threads--;
    /* Others may have taken it meanwhile; without any it would wait for ever. */
    if (workers->threads > 0) {
        rc = 0;
    } else {
        release_all(&workers->waiting);
    }
    ReleaseSRWLockExclusive(&workers->lock);
    return rc;
}
