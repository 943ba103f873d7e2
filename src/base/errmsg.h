/* The words of an error, for the person who has to act on it: what failed, why, and what to do next.
 *
 * Functions that parse or check what a person wrote return a negative errno value and fill one of these. */
#ifndef MULTISSH_BASE_ERRMSG_H
#define MULTISSH_BASE_ERRMSG_H

#include "base/printf.h"

struct errmsg {
    char text[512];
};

/* Writes the text (cut to fit) and returns code, so that a caller can `return errmsg_set(err, -EINVAL, "…")`.
 * err may be NULL. code is a negative errno value. */
int errmsg_set(struct errmsg *err, int code, const char *fmt, ...) LIKE_PRINTF(3, 4);

#endif
