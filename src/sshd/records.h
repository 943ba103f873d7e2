/* Who is logged in, and who was: utmp, wtmp and lastlog. Sibling: records_linux.c. */
#ifndef MULTISSH_SSHD_RECORDS_H
#define MULTISSH_SSHD_RECORDS_H

#include "sshd/account.h"
#include <stddef.h>

/* "Last login: … from …" with CR LF as OpenSSH writes it, or "" when none is known. To be asked before
 * records_login. */
void records_last_login(const struct account *account, char *out, size_t size);

/* Writes that a session on tty (/dev/…) has begun, ended. host: the user's address, or NULL. A file that is not
 * there is not written; what fails is in the log. Only root can: for others nothing happens. */
void records_login(const struct account *account, pid_t pid, const char *tty, const char *host);
void records_logout(pid_t pid, const char *tty);

#endif
