/* Takes lines out of a buffer of bytes that came from outside. */
#ifndef MULTISSH_AGENT_LINES_H
#define MULTISSH_AGENT_LINES_H

#include "base/buf.h"

/* Looks for the first whole line. Returns 1 (*ret_line is the line without its newline, *ret_n its length;
 * call buf_consume(*ret_n + 1) when done with it), 0 (no whole line yet) or -EMSGSIZE (a line, with its
 * newline, is or will be longer than max bytes). */
int lines_next(const struct buf *b, size_t max, const char **ret_line, size_t *ret_n);

#endif
