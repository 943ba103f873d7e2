/* The poll loop of a process that serves one SSH connection: descriptors, timers and a hook at the end of
 * each turn.
 *
 * Owns no descriptor. One thread. Calls back only from ssh_loop_run; whatever is removed during a turn is
 * freed at its end, so that a callback may remove anything, itself included. */
#ifndef MULTISSH_SSH_SSH_LOOP_H
#define MULTISSH_SSH_SSH_LOOP_H

#include "base/sockaddr.h" /* POLLIN */
#include <stdint.h>

struct ssh_loop;
struct ssh_loop_watch;
struct ssh_loop_timer;

#define SSH_LOOP_NEVER UINT64_MAX
#define SSH_LOOP_DEAF ((short)-1) /* instead of events: not even errors */

typedef void (*ssh_loop_ready_fn)(void *arg, short ready); /* ready: poll(2)'s revents */
typedef void (*ssh_loop_fn)(void *arg);

/* Returns 0 or -ENOMEM. */
int ssh_loop_new(struct ssh_loop **ret_loop);
void ssh_loop_free(struct ssh_loop *loop);

/* Watches fd, which stays the caller's, for events (POLLIN, POLLOUT, 0 to hear of nothing but errors, or
 * SSH_LOOP_DEAF). Returns 0 or -ENOMEM. */
int ssh_loop_watch(struct ssh_loop *loop, int fd, short events, ssh_loop_ready_fn fn, void *arg,
                   struct ssh_loop_watch **ret_watch);
void ssh_loop_interest(struct ssh_loop_watch *watch, short events);
/* NULL-safe. The descriptor may be closed at once afterwards. */
void ssh_loop_unwatch(struct ssh_loop_watch *watch);

/* A timer, not set. Returns 0 or -ENOMEM. */
int ssh_loop_timer(struct ssh_loop *loop, ssh_loop_fn fn, void *arg, struct ssh_loop_timer **ret_timer);
/* Fires once when the clock (ssh_loop_now) reaches at; SSH_LOOP_NEVER unsets it. */
void ssh_loop_set(struct ssh_loop_timer *timer, uint64_t at);
void ssh_loop_untimer(struct ssh_loop_timer *timer); /* NULL-safe */

/* At the end of every turn, hooks in the order in which they were added. Returns 0 or -ENOSPC (there may be
 * four). */
int ssh_loop_hook(struct ssh_loop *loop, ssh_loop_fn fn, void *arg);
void ssh_loop_unhook(struct ssh_loop *loop, void *arg); /* all hooks with this arg */

/* The next turn does not wait: there is work left. */
void ssh_loop_again(struct ssh_loop *loop);
/* ms, monotonic, read once a turn. */
uint64_t ssh_loop_now(const struct ssh_loop *loop);

/* Turns until ssh_loop_stop. Returns 0, or the negative errno value of a poll that failed. */
int ssh_loop_run(struct ssh_loop *loop);
void ssh_loop_stop(struct ssh_loop *loop);

#endif
