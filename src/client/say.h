/* What this program says to the person at standard error: one line each, safe to show, right also on a terminal that a
 * session has put into raw mode. */
#ifndef MULTISSH_CLIENT_SAY_H
#define MULTISSH_CLIENT_SAY_H

#include "base/printf.h"

/* "multissh: …" */
void say(const char *fmt, ...) LIKE_PRINTF(1, 2);
/* Copies text without what must not reach a terminal; cut to size. */
void say_clean(const char *text, char *out, unsigned long size);

#endif
