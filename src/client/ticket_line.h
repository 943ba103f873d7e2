/* The line that `ssh HUB ticket NAME` prints, read strictly:
 *
 *   MULTISSH-TICKET/1 machine=NAME host=HOST port=N ticket=… key=HEX window=N patience_ms=N pin=SHA256:…
 *
 * one line, words separated by single blanks, each known word once, in any order; unknown ones are left out. Pure. */
#ifndef MULTISSH_CLIENT_TICKET_LINE_H
#define MULTISSH_CLIENT_TICKET_LINE_H

#include "base/addr.h"
#include "base/errmsg.h"
#include "stream/ticket.h"

#define TICKET_LINE_MAX 1024 /* bytes, the newline included */

struct ticket_line {
    char machine[NAMES_MACHINE_MAX + 1];
    struct addr_hostport at;
    char ticket[TICKET_TEXT_MAX];
    uint8_t key[TICKET_KEY_SIZE];
    uint32_t window, patience_ms;
    uint8_t pin[CRYPTO_HASH_SIZE]; /* of the hub's CA */
};

/* Reads all of the n bytes. name: what was asked for, with the domain or without. Returns 0, or -EPROTO with err
 * filled (nothing of the line is in it) and *ret_t wiped. */
int ticket_line_parse(const char *text, size_t n, const char *name, struct ticket_line *ret_t,
                      struct errmsg *err);
void ticket_line_wipe(struct ticket_line *t);

#endif
