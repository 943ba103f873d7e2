/* One SSH channel joined with one resumable stream: bytes both ways with back-pressure, half-closes, and the
 * stream's connections. Knows no messages. */
#ifndef MULTISSH_FRONT_SPLICE_H
#define MULTISSH_FRONT_SPLICE_H

#include "ssh/ssh_loop.h"
#include "ssh/ssh_server.h"
#include "stream/stream.h"

struct splice;

/* The stream starts; key and bounds in config. Returns 0 or a negative errno value. */
int splice_new(struct ssh_loop *loop, const struct stream_config *config, struct splice **ret_splice);
void splice_free(struct splice *splice); /* NULL-safe; closes the channel and every connection at once */

/* A connection of the stream, behind its preamble. Takes fd in every case. Returns 0 or a negative errno
 * value. */
int splice_connect(struct splice *splice, uint32_t epoch, int fd);
/* The channel, from now on the splice's. */
void splice_join(struct splice *splice, struct ssh_chan *chan);

/* Moves what can be moved. To be called every turn. Returns false when everything is over and it may be
 * freed. */
bool splice_turn(struct splice *splice);
uint64_t splice_next_turn(const struct splice *splice); /* at the latest; SSH_LOOP_NEVER */
/* The stream has ended and everything is in the channel, which is still open: the owner may say why in its own
 * way, and calls splice_close. It has some seconds. */
bool splice_drained(const struct splice *splice);
bool splice_failed(const struct splice *splice); /* it has ended, and not because both sides were done */
void splice_close(struct splice *splice);        /* the channel */

bool splice_open(const struct splice *splice);      /* the stream has not ended */
bool splice_live(const struct splice *splice);      /* it has a proven connection */
bool splice_connected(const struct splice *splice); /* it has one of any kind */

/* The user's side is gone: what came from it is still delivered, for some seconds, what comes is dropped. */
void splice_hang_up(struct splice *splice);
void splice_reset(struct splice *splice, enum stream_code code, const char *text);

/* Why it ended, for people; "" while it has not. */
const char *splice_reason(const struct splice *splice);
void splice_stats(const struct splice *splice, struct stream_stats *ret_stats);

#endif
