/* Work that may take time, on threads; that it is done is told in the loop. Windows alone.
 *
 * A piece of work is a struct that begins with a struct work. It belongs to whoever runs it until done is called, and
 * then to done. No callback but run comes from another thread. */
#ifndef MULTISSH_SSHD_WORKERS_WINDOWS_H
#define MULTISSH_SSHD_WORKERS_WINDOWS_H

#include "ssh/ssh_loop.h"

struct work {
    void (*run)(struct work *work);     /* on a thread: touches nothing but the work and what cannot change */
    void (*done)(struct work *work);    /* from ssh_loop_run: takes the work */
    void (*release)(struct work *work); /* instead of done, on any thread, when nobody is there any more */
    struct work *next;                  /* private */
};

struct workers;

/* Returns 0 or a negative errno value. */
int workers_new(struct ssh_loop *loop, struct workers **ret_workers);
/* Waits for nothing: what still runs is released when it is done, by its thread. NULL-safe. */
void workers_free(struct workers *workers);

/* Takes the work, also when it fails (released then). As many threads run as there is work, up to a bound; what comes
 * then waits, the first first. Returns 0 or a negative errno value. */
int workers_run(struct workers *workers, struct work *work);

#endif
