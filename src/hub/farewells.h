/* Connections that got a last line and are to be closed. Closing one over bytes that were not read would reset
 * it and destroy that line on its way: so each is shut down, read on until the other side has closed or a
 * deadline is over, and closed then. Knows nothing of what the line says. */
#ifndef MULTISSH_HUB_FAREWELLS_H
#define MULTISSH_HUB_FAREWELLS_H

#include <stddef.h>
#include <uv.h>

struct farewells;

/* At most max wait at a time. Returns 0 or -ENOMEM. */
int farewells_new(uv_loop_t *loop, unsigned max, struct farewells **ret_f);
/* Closes what still waits, and f itself in a later turn. NULL-safe. */
void farewells_free(struct farewells *f);
/* Sends the line, as far as the connection takes it at once, and closes the connection as above. Takes fd in
 * every case; when too many wait already, or memory is short, it is closed at once. */
void farewells_add(struct farewells *f, int fd, const char *line, size_t n);

#endif
