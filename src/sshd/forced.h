/* What a session runs: what the client asked for, or the command= of the key that logged in. Pure. */
#ifndef MULTISSH_SSHD_FORCED_H
#define MULTISSH_SSHD_FORCED_H

#include "sshd/host.h"
#include <stdbool.h>

enum forced_kind {
    FORCED_SHELL,
    FORCED_COMMAND,
    FORCED_SFTP,
    FORCED_SFTP_ONLY, /* the key may do sftp alone, and something else was asked for */
};

struct forced {
    enum forced_kind kind;
    const char *command; /* FORCED_COMMAND: one of the two that were given */
    bool read_only;      /* FORCED_SFTP */
    const char
        *original; /* for SSH_ORIGINAL_COMMAND: what was asked for instead; NULL: nothing, or it is run */
};

/* forced: the key's, or NULL. command: of an HOST_EXEC. Returns NULL with *ret filled, or a sentence for the user. */
const char *forced_choose(const char *forced, enum host_start_kind asked, const char *command,
                          struct forced *ret);

#endif
