/* Wakes the reader of bulk data when much has come, and not for every packet: one waking, one system call and one packet in place of
 * many, here and at the neighbours. Who reads little at a time, or waits for answers, is woken as ever: a socket is only paced
 * after PACE_BEGIN bytes, and a wait in which little came ends it, and puts the next try further away. Only the way back of bulk data, which
 * carries acknowledgements of it, may be paced along with it (follow). */
#ifndef MULTISSH_BASE_PACE_H
#define MULTISSH_BASE_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACE_WAKE (256u * 1024)  /* bytes that wake the reader of a paced socket */
#define PACE_WAIT_MS 3           /* or so much time */
#define PACE_BEGIN (512u * 1024) /* bytes read before a socket is paced */

/* One TCP socket that is read. Zeroed: not paced yet. */
struct pace {
    size_t turn;    /* bytes read since it was found empty */
    size_t run;     /* bytes read since it was last found not to pay */
    unsigned tries; /* in a row that did not pay */
    bool bulk;      /* it pays */
    bool follow;    /* the owner's: the other direction is bulk, and this one may wait for it */
    bool set;       /* the socket wakes its reader at PACE_WAKE */
    bool late;      /* they did not come in time: what is there tells whether it pays */
    uint64_t until; /* when to look (ms, monotonic), if set */
};

/* n bytes were read from the socket fd; more: all that was asked for, so that there may be more at once. */
void pace_read(struct pace *p, int fd, size_t n, bool more, uint64_t now);
/* For a reader that asks poll(2) before each of its reads: has it see all that is there, until pace_read. */
void pace_lift(struct pace *p, int fd);
/* When pace_tick is to be called at the latest, UINT64_MAX for never. */
uint64_t pace_due(const struct pace *p);
/* Has whoever waits for the socket see what is there, when it has waited long enough; else does nothing. */
void pace_tick(struct pace *p, int fd, uint64_t now);

#endif
