/* The messages between the process that speaks SSH (the speaker, not trusted) and its monitor, and how they
 * are written and read.
 *
 * One message is one packet of a SOCK_SEQPACKET pair: type and id as 32-bit numbers in network order, then the
 * fields of the type, numbers as 32 bits, texts as a length and bytes without NUL. Descriptors travel with the
 * message that speaks of them. Reading checks every length; whoever sends a message that cannot be read is
 * given up. ids are chosen by the speaker and come back in the answer. Both sides are the same program, so
 * there is no version. */
#ifndef MULTISSH_SSHD_WIRE_H
#define MULTISSH_SSHD_WIRE_H

#include "base/buf.h"
#include "ssh/ssh_loop.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_MAX 140000u /* bytes of a message */
#define WIRE_FDS 3u

enum wire_type {
    /* speaker → monitor */
    WIRE_KEY = 1,  /* login, key "type base64", number verified → VERDICT */
    WIRE_PASSWORD, /* login, password → VERDICT */
    WIRE_ENV,      /* id of a child to be started: name, value. Kept until its START; no answer */
    WIRE_START,    /* id of the child: number kind (enum host_start_kind), number pty, term, columns, rows,
                      width, height, command → STARTED or FAILED, and after STARTED once EXITED */
    WIRE_SIGNAL,   /* id of the child: name without SIG */
    WIRE_CLOSE,    /* id of the child: its channel is gone; hang up on it. It may be asked and come before
                      EXITED or after it */
    WIRE_CONNECT,  /* host, port → SOCKET or FAILED */
    WIRE_LISTEN,   /* host as the client names it ("", "*", "localhost" … as sshd's -R), port → SOCKET or
                      FAILED */
    WIRE_AGENT,    /* → SOCKET or FAILED */
    /* monitor → speaker */
    WIRE_VERDICT = 64, /* number enum host_verdict, number rights, text */
    WIRE_STARTED,      /* with 1 descriptor (pty master) or 3 (in, out, err) */
    WIRE_EXITED,       /* number status, number core, text signal ("" when it exited) */
    WIRE_SOCKET,       /* number port, with 1 descriptor; to LISTEN with 1 or 2, one a family, of one port */
    WIRE_FAILED,       /* text: a sentence for the user */
};

/* --- writing: into a buffer that wire_begin sets up and wire_send empties; what failed makes wire_send fail.
 * buf_wipe one that is not sent. --- */

void wire_begin(struct buf *out, enum wire_type type, uint32_t id);
void wire_put_number(struct buf *out, uint32_t value);
void wire_put_text(struct buf *out, const char *text);

/* --- reading --- */

struct wire_in {
    const uint8_t *at;
    size_t left;
    bool fds_lost; /* it came with more descriptors than there was room for; some or none of them are here */
    bool bad;      /* something was missing, too long or had a NUL: everything read is then 0 or "" */
    uint32_t type, id;
};
/* n bytes of a packet, valid as long as the texts are used. */
void wire_open(struct wire_in *in, const void *data, size_t n);
uint32_t wire_number(struct wire_in *in);
/* A text of at most max bytes, copied: the caller's, with its NUL. NULL when bad, or out of memory (then bad
 * too). */
char *wire_text(struct wire_in *in, size_t max);
/* Was everything read, and well-formed? */
bool wire_done(const struct wire_in *in);

/* --- the socket --- */

struct wire;
/* A message, valid during the call, with its descriptors: the callee's, who sets those that it takes to -1;
 * the others are closed. When in is bad after the call the other side is given up, so a callee that meets what
 * must not be sets in->bad. wire_free is allowed inside. */
typedef void wire_message_fn(void *arg, struct wire_in *in, int *fds, size_t fd_n);
typedef void wire_lost_fn(void *arg, const char *why); /* once: the other side has gone */

/* Makes the pair, close-on-exec, with room for a message of WIRE_MAX. Returns 0 or a negative errno value. */
int wire_pair(int ret_fds[2]);
/* Takes fd, also when it fails. Returns 0 or a negative errno value. */
int wire_new(struct ssh_loop *loop, int fd, wire_message_fn *message, wire_lost_fn *lost, void *arg,
             struct wire **ret_wire);
void wire_free(struct wire *wire); /* NULL-safe */
/* Sends, or keeps until the other side reads (4 MiB at most, then it is lost). Descriptors stay the caller's:
 * they may be closed afterwards. Returns 0 or a negative errno value (-EMSGSIZE: too long, or it could not be
 * written); wipes and empties out in every case. lost comes at the end of a turn, never from here. */
int wire_send(struct wire *wire, struct buf *out, const int *fds, size_t fd_n);
bool wire_idle(const struct wire *wire); /* nothing is kept */

#endif
