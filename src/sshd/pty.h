/* A pseudo-terminal for an account. Sibling: pty_posix.c. */
#ifndef MULTISSH_SSHD_PTY_H
#define MULTISSH_SSHD_PTY_H

#include "sshd/account.h"

#define PTY_NAME_MAX 64

struct pty_size {
    unsigned columns, rows, width, height; /* cells, pixels; what is above 65,535 is 65,535 */
};

struct pty {
    int master, slave; /* close-on-exec; -1: none */
    char name[PTY_NAME_MAX];
};

/* Makes one that belongs to the account (group tty, mode 0620, when this runs as root), sane and with IUTF8.
 * master is non-blocking. Returns 0 or a negative errno value. */
int pty_open(const struct account *account, const struct pty_size *size, struct pty *ret_pty);
void pty_release(struct pty *pty); /* closes what is open */
/* In the child, after setsid: the terminal becomes its controlling one. Returns 0 or a negative errno value. */
int pty_control(int slave);

#endif
