/* A pseudo console that belongs to whoever uses it: `multissh-sshd --console`, which the server starts as the account.
 *
 * CreatePseudoConsole runs the console's host with the rights of its caller. So that no account's programs draw on a
 * host that has the service's, a process of the account makes it: its standard input and output are the console's
 * pipes, its standard error is the control pipe, on which the server tells what to start, then each size of the window.
 * When the shell has ended it sets an event of the server's and waits for the end of the control pipe (the screen is
 * still then, and all of it has been read); then it closes the console and exits with the shell's code. The end of the
 * control pipe before that closes the console, too.
 *
 * Windows alone: console_windows.c is that process, console_windows_link.c the server's end,
 * console_windows_message.c what goes between them. */
#ifndef MULTISSH_SSHD_CONSOLE_WINDOWS_H
#define MULTISSH_SSHD_CONSOLE_WINDOWS_H

#include "base/errmsg.h"
#include "base/win.h"
#include "sshd/cmdline_windows.h"
#include <stddef.h>
#include <stdint.h>

#define CONSOLE_FLAG "--console"

/* The whole life of that process. Returns its exit code: the shell's; 126 when it could not be started (standard output
 * then gets a sentence for the user); 2 when the standard handles are not what they have to be. */
int console_main(void);

/* --- messages: numbers in host order, for both ends are one program --- */

#define CONSOLE_PATH_MAX 32767u /* UTF-16 units, as CMDLINE_MAX */
#define CONSOLE_SIZE_BYTES 4u
#define CONSOLE_HEAD_BYTES 16u
#define CONSOLE_START_MAX (CONSOLE_HEAD_BYTES + 2u * (CONSOLE_PATH_MAX + CMDLINE_MAX))

/* The first message: its length in four bytes, at most CONSOLE_START_MAX, then that many. */
struct console_start {
    uint16_t columns, rows;
    uint64_t ended;       /* the event's handle */
    wchar_t *path, *line; /* of the program, as CreateProcessW has them */
};
/* With its length before it; *ret_data is the caller's to free. Returns 0, -EMSGSIZE (too long or empty) or -ENOMEM. */
int console_start_pack(const struct console_start *start, uint8_t **ret_data, size_t *ret_n);
/* Without its length. Returns 0, -EPROTO or -ENOMEM. */
int console_start_parse(const uint8_t *data, size_t n, struct console_start *ret_start);
void console_start_release(struct console_start *start);

/* Every other one. More than 65535 is cut. */
void console_size_pack(unsigned columns, unsigned rows, uint8_t ret_data[CONSOLE_SIZE_BYTES]);
void console_size_parse(const uint8_t data[CONSOLE_SIZE_BYTES], unsigned *ret_columns, unsigned *ret_rows);

/* --- the server's end --- */

struct console_link;

/* path and line: what the shell is. ended: the event that is set when the shell has ended, which the process gets with
 * no more than that right. Returns 0 or a negative errno value with a sentence. */
int console_link_new(unsigned columns, unsigned rows, const wchar_t *path, const wchar_t *line, HANDLE ended,
                     struct console_link **ret_link, struct errmsg *err);
void console_link_free(struct console_link *link); /* NULL-safe; shuts it */

/* What the process has to inherit: its standard error, and one more. Both inheritable, and closed by
 * console_link_started, when it has them. */
HANDLE console_link_control(const struct console_link *link);
HANDLE console_link_event(const struct console_link *link);
void console_link_started(struct console_link *link);

/* Any thread; never waits. The last one counts. */
void console_link_resize(struct console_link *link, unsigned columns, unsigned rows);

/* The two of one thread. Tells the process what comes, until ended is set or the process has ended. */
void console_link_serve(struct console_link *link, HANDLE process, HANDLE ended);
/* The end of the control pipe. Once is enough, twice does no harm. */
void console_link_shut(struct console_link *link);

#endif
