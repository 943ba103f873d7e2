/* The picker on a terminal: draws the list, takes keys, gives the terminal back as it was in every case. */
#ifndef MULTISSH_CLIENT_PICKER_H
#define MULTISSH_CLIENT_PICKER_H

#include "client/machines.h"
#include <uv.h>

enum picker_choice {
    PICKER_LEFT, /* nothing was chosen */
    PICKER_SSH,
    PICKER_FORWARD,
    PICKER_ENDED, /* by a signal */
};

/* Runs the loop until the person has chosen; then *ret_name is the machine's. hub: for the first line. Returns a choice, or a
 * negative code of libuv: the terminal cannot be used. */
int picker_run(uv_loop_t *loop, const struct machines *m, const char *hub,
               char ret_name[NAMES_MACHINE_MAX + 1]);

#endif
