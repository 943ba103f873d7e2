/* `multissh` without a command: the machines, of which the person picks one, to be reached by ssh or forwarded. */
#ifndef MULTISSH_CLIENT_MENU_H
#define MULTISSH_CLIENT_MENU_H

#include "client/client_options.h"
#include "client/machines.h"

/* Returns the exit status. */
int menu_run(const struct client_options *o);

/* What a person has answered to the numbered list: a number or a name, with "f " in front of it to forward. Returns 0
 * (*ret_name is a machine's or, when nothing in the list is called so, the name itself), or -EINVAL. */
int menu_answer(const struct machines *m, const char *line, const char **ret_name, bool *ret_forward);

#endif
