/* The nursery: a process that has everything loaded, key included, and forks one front for each connection that the hub
 * hands it. It reads nothing that comes from the network. */
#ifndef MULTISSH_FRONT_NURSERY_H
#define MULTISSH_FRONT_NURSERY_H

struct nursery_front {
    int connection, hub, listener; /* as multissh-front's options of these names; -1: none */
};

/* Serves what the hub asks for over the SEQPACKET socket fd, which it takes. Returns
 *   1 in each process that it forked: a child of the nursery's parent, with nothing of the nursery's but its memory, and the
 *     descriptors in *ret_front its own;
 *   0 in the nursery, when the hub has closed the socket;
 *   a negative errno value in the nursery, when it cannot go on. */
int nursery_serve(int fd, struct nursery_front *ret_front);

#endif
