/* How a jump is refused so that the user can read why: bytes that look, to the SSH client at the other end of
 * the channel, like an SSH server that disconnects at once. */
#ifndef MULTISSH_FRONT_REFUSAL_H
#define MULTISSH_FRONT_REFUSAL_H

#include "base/buf.h"

#define REFUSAL_TEXT_MAX 1000
#define REFUSAL_SIZE_MAX 1100

/* Appends a version line and one unencrypted SSH_MSG_DISCONNECT (RFC 4253 §4.2, §6, §11.1; code 11) with
 * text, in which what does not belong on a terminal is replaced, and which is cut at REFUSAL_TEXT_MAX bytes.
 * Returns 0, -ENOBUFS or -ENOMEM. */
int refusal_append(struct buf *out, const char *text);

/* The text cleaned in the same way into out, for other places where a user reads it. */
void refusal_clean(const char *text, char *out, size_t size);

#endif
