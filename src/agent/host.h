/* What the hub is told about this host. Siblings: host_linux.c (and host_windows.c). */
#ifndef MULTISSH_AGENT_HOST_H
#define MULTISSH_AGENT_HOST_H

#include "base/crypto.h"

struct host {
    char os[32];   /* "linux" */
    char arch[32]; /* "x86_64" */
    char machine_id[2 * CRYPTO_HASH_SIZE +
                    1]; /* a hash of the machine's id, which itself stays here; "" when it has none */
    char boot_id[40];   /* new at each boot; "" when unknown */
};

/* What cannot be found out stays "". */
void host_read(struct host *ret_host);

/* The folder where an SSH server of this host keeps its host keys. Static. */
const char *host_ssh_folder(void);

#endif
