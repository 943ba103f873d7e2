/* What a new process has of this one: its standard handles, or a pseudo console, and nothing else. Windows alone. */
#ifndef MULTISSH_SSHD_INHERIT_WINDOWS_H
#define MULTISSH_SSHD_INHERIT_WINDOWS_H

#include "base/errmsg.h"
#include "base/win.h"
#include "sshd/conpty_windows.h"
#include <stdbool.h>
#include <stddef.h>

struct inherit {
    LPPROC_THREAD_ATTRIBUTE_LIST attributes; /* private, as all of it */
    const struct conpty *console;
    HANDLE std[3], listed[4];
    size_t listed_n;
    bool std_owned;
};

/* std: standard input, output and error, inheritable and different ones; NULL: the console's, which is attached. more:
 * one handle more, inheritable; NULL: none. All stay the caller's, and open until inherit_release. Returns 0 or a
 * negative errno value with a sentence, and needs no inherit_release then. */
int inherit_init(struct inherit *inherit, const HANDLE std[3], HANDLE more, const struct conpty *console,
                 struct errmsg *err);
void inherit_release(struct inherit *inherit);

/* For CreateProcessW and CreateProcessAsUserW, with EXTENDED_STARTUPINFO_PRESENT; valid until inherit_release. */
STARTUPINFOEXW inherit_startup(const struct inherit *inherit);
/* Their bInheritHandles. */
bool inherit_any(const struct inherit *inherit);

#endif
