/* A pseudo console: a terminal of Windows' own (conhost) that speaks UTF-8 and VT sequences on two pipes.
 *
 * The functions are looked up at run time, for Windows before 10 1809 has none of them and this program starts there
 * all the same. Windows alone. */
#ifndef MULTISSH_SSHD_CONPTY_WINDOWS_H
#define MULTISSH_SSHD_CONPTY_WINDOWS_H

#include "base/errmsg.h"
#include "base/win.h"
#include <stdbool.h>

#define CONPTY_COLUMNS 80u
#define CONPTY_ROWS 24u
#define CONPTY_CELLS_MAX 32767u

struct conpty;

/* The system's functions; handles are HPCONs. */
typedef HRESULT WINAPI conpty_create_fn(COORD size, HANDLE in, HANDLE out, DWORD flags, void **ret_handle);
typedef HRESULT WINAPI conpty_resize_fn(void *handle, COORD size);
typedef void WINAPI conpty_close_fn(void *handle);
struct conpty_calls {
    conpty_create_fn *create;
    conpty_resize_fn *resize;
    conpty_close_fn *close;
};
/* From now on these are called; without create: as if there were none; NULL: the system's again. For tests, while no
 * console is open. */
void conpty_use(const struct conpty_calls *calls);

/* in: where it reads what is typed; out: where it writes the screen. Both stay the caller's, who closes them once the
 * first process is attached, so that the ends of the pipes are seen. A size of 0 is 80x24, one that is too large is
 * cut. Returns 0 or a negative errno value with a sentence: -ENOSYS on a Windows that has no pseudo consoles. */
int conpty_new(unsigned columns, unsigned rows, HANDLE in, HANDLE out, struct conpty **ret_console,
               struct errmsg *err);
/* For PROC_THREAD_ATTRIBUTE_PSEUDOCONSOLE. */
void *conpty_handle(const struct conpty *console);
/* Standard input and output for the first process, inheritable, where the system does not bind them to the console by
 * itself (Wine): the caller's to close. NULL both where it does. Returns 0 or a negative errno value. */
int conpty_std_handles(const struct conpty *console, HANDLE *ret_in, HANDLE *ret_out, struct errmsg *err);
/* Any thread. Nothing once it is shut. */
void conpty_resize(struct conpty *console, unsigned columns, unsigned rows);
/* Ends it: what is attached is told to close, the rest of the screen is written, then out ends. Before Windows 11 24H2
 * this waits for out to be read to its end: never on the thread that reads it. Once is enough, twice does no harm. */
void conpty_shut(struct conpty *console);
/* NULL-safe; shuts it if that has not been done. */
void conpty_free(struct conpty *console);

#endif
