/* The switchboard: jumps (a user's channel joined to a machine by a stream), from the request to the end.
 * Knows callers and links only by their calls; moves descriptors, never a byte of a session. */
#ifndef MULTISSH_HUB_JUMPS_H
#define MULTISSH_HUB_JUMPS_H

#include "hub/caller.h"
#include "hub/link.h"
#include "hub/refusals.h"
#include "hub/who.h"
#include "stream/preamble.h"
#include <stdbool.h>
#include <stdint.h>

struct hub;
struct jumps;
struct machine;

/* How long a ticket is good for the first connection: the longest restart-wait and dial-timeout, and a minute, for clocks
 * need not agree to the second. By it the time of birth can be told from the expiry. */
#define JUMPS_TICKET_LIFE_S 300

int jumps_new(struct hub *hub, struct jumps **ret_j);
void jumps_free(struct jumps *j);

/* A caller whose user is known asks for a jump; the answer is one of the caller's calls, opened or refused, in this turn or
 * a later one. Returns 0, or -EEXIST (the channel is in use: a front that does so is ended). */
int jumps_open(struct jumps *j, struct caller *c, uint64_t channel, const char *host, uint16_t port);
/* The same for one that has its ticket already, checked by the caller: its MAC, that it has not expired, that its user is
 * the caller's. A stream that is there already is refused. */
struct jumps_ticket {
    const struct ticket *ticket;
    const char *text;
    const uint8_t *key; /* TICKET_KEY_SIZE bytes */
};
int jumps_open_ticket(struct jumps *j, struct caller *c, uint64_t channel, const char *host, uint16_t port,
                      const struct jumps_ticket *given);
/* A jump that ran under an earlier hub, as its caller tells it; believed as far as the ticket goes. */
struct jumps_past {
    uint64_t channel;
    const char *ticket;
    int64_t started_s;
    uint32_t window, patience_ms;
    bool epoch_seen; /* epoch: the highest of the machine's side that the caller was given */
    uint32_t epoch;
    bool parked;
    uint64_t parked_ms; /* for how long already */
};
/* Takes it up as an open jump of c. Returns 0, -EEXIST (the channel is in use: the caller is ended), or another negative
 * code with text[REFUSALS_TEXT_MAX] filled: the stream is to be ended, and will not be taken up later either. */
int jumps_adopt(struct jumps *j, struct caller *c, const struct jumps_past *past, char *text);
/* Asks the machine once more for the stream of an open jump, when it is online: it may never have been. One that has it already
 * says so, and nothing more happens; one that cannot have it ends the jump. */
void jumps_ask(struct jumps *j, struct caller *c, uint64_t channel);
/* The user's connection of an open jump comes from somewhere else now, as the caller's who and port say. */
void jumps_moved(struct jumps *j, struct caller *c, uint64_t channel);
/* The machine that a ticket means: under its name of now, and never one that got the name later. NULL: there is none. */
struct machine *jumps_machine_of(struct jumps *j, const struct ticket *t);
/* An open jump has lost its last connection, or has one again. One too many that waits is killed. */
void jumps_parked(struct jumps *j, struct caller *c, uint64_t channel, bool parked);
/* The machine is online (again): whoever waits for it is served. */
void jumps_machine_back(struct jumps *j, struct machine *m);
/* The machine of this link says that the stream broke there: its user's side is told. */
void jumps_lost(struct jumps *j, const struct link *l, const uint8_t stream[TICKET_ID_SIZE],
                const char *reason);
/* The caller's channel ended. A channel that is not there is ignored: a kill may have crossed it. */
void jumps_closed(struct jumps *j, struct caller *c, uint64_t channel, const char *reason, uint64_t sent,
                  uint64_t received);
void jumps_caller_gone(struct jumps *j, struct caller *c, const char *why);
/* Answers of links. Return -ENOENT when nobody asked (the caller closes a peer that invents answers). */
int jumps_dialled(struct jumps *j, struct link *l, uint64_t id);
int jumps_failed(struct jumps *j, struct link *l, uint64_t id, const char *code, const char *reason);
/* As jumps_dialled, and the stream's connection with it (a publisher's). Takes fd in every case. */
int jumps_reached(struct jumps *j, struct link *l, uint64_t id, int fd);
void jumps_link_gone(struct jumps *j, struct link *l);
/* The machine has a new name: its open jumps go by it. */
void jumps_renamed(struct jumps *j, const char *from, const char *to);
/* A stream connection came, its preamble consumed, from this address and port. Takes the descriptor in every case. */
void jumps_connection(struct jumps *j, int fd, const struct preamble *p, const char *source, uint16_t port);
/* The machine of this link says that a stream is over there. One that is not there, or not of that machine, is ignored. */
void jumps_stream_ended(struct jumps *j, const struct link *l, const uint8_t stream[TICKET_ID_SIZE],
                        const char *reason, uint64_t sent, uint64_t received);
/* Would a jump of w to host be tried now? From memory alone. True with the machine's name, or false with the text of the
 * refusal (REFUSALS_TEXT_MAX). */
bool jumps_may(struct jumps *j, const struct who *w, const char *host,
               char ret_machine[NAMES_MACHINE_MAX + 1], char *text);

struct jump_info {
    uint64_t id; /* for kill */
    const char *user, *source, *machine;
    int64_t started_s;
    bool open;          /* false: still being opened */
    bool parked;        /* open, and waits for a lost connection */
    uint64_t parked_ms; /* for how long */
};
typedef int jumps_fn(const struct jump_info *i, void *arg);
int jumps_each(struct jumps *j, jumps_fn *fn, void *arg);
/* Returns 0, -ENOENT, or a code of the store: it is ended then too, but might be taken up again after a
 * restart. */
int jumps_kill(struct jumps *j, uint64_t id, const char *why);
/* After revoke or a policy reload: ends those that are no longer allowed (allowed returns false). Returns how
 * many. */
unsigned jumps_kill_unless(struct jumps *j,
                           bool (*allowed)(const struct who *w, const char *machine, void *arg), void *arg,
                           const char *why);
bool jumps_has(const struct jumps *j, const struct caller *c, uint64_t channel);
/* Those that are open or being opened, of all callers or of one. */
size_t jumps_count(const struct jumps *j);
size_t jumps_of_caller(const struct jumps *j, const struct caller *c);
/* Gives up what is still being opened, without a word to the callers: they ask the next hub. */
void jumps_stop(struct jumps *j);

#endif
