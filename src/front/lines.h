/* The connections ("lines") of one stream: sockets that the hub handed over, each read and written for the
 * stream, and closed in such a way that the last words arrive. Knows nothing of the stream's local side. */
#ifndef MULTISSH_FRONT_LINES_H
#define MULTISSH_FRONT_LINES_H

#include "base/pace.h"
#include "ssh/ssh_loop.h"
#include "stream/stream.h"

struct line {
    struct lines *lines;
    struct ssh_loop_watch *watch; /* NULL: free */
    int fd;
    int index; /* the stream's; -1 once detached: waiting for the peer to close */
    uint64_t close_at;
    bool tcp;
    struct pace pace; /* of the socket, if it is a TCP one */
};

struct lines {
    struct ssh_loop *loop;
    struct stream *stream;
    struct line line[STREAM_CONNS * 2];
};

/* Both stay the caller's, and outlive the lines. The struct must not move. */
void lines_init(struct lines *lines, struct ssh_loop *loop, struct stream *stream);
void lines_release(struct lines *lines); /* closes them all at once */

/* A connection behind its preamble. Takes fd in every case. Returns 0 or a negative errno value. */
int lines_connect(struct lines *lines, uint32_t epoch, int fd);
/* Sends what the stream has to send and closes what is to be closed. To be called every turn. */
void lines_turn(struct lines *lines);
bool lines_any(const struct lines *lines);
uint64_t lines_next_turn(const struct lines *lines); /* at the latest; SSH_LOOP_NEVER */

#endif
