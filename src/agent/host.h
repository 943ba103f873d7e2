/* What the hub is told about this host. host.c, and the siblings host_linux.c and host_windows.c. */
#ifndef MULTISSH_AGENT_HOST_H
#define MULTISSH_AGENT_HOST_H

#include "base/crypto.h"
#include <stdbool.h>
#include <stddef.h>

#define HOST_ID_MAX 80 /* of an id that the system has given the machine, with the NUL */

struct host {
    char os[32];   /* "linux", "windows" */
    char arch[32]; /* "x86_64" */
    char machine_id[2 * CRYPTO_HASH_SIZE +
                    1]; /* a hash of the machine's id, which itself stays here; "" when it has none */
    char boot_id[40];   /* new at each boot; "" when unknown */
};

/* What cannot be found out stays "". */
void host_read(struct host *ret_host);

/* The folder where an SSH server of this host keeps its host keys. Static. */
const char *host_ssh_folder(void);
/* OpenSSH's ssh-keyscan: a path, or a name for execvp. It need not be installed. */
void host_ssh_keyscan(char *out, size_t size);

/* For the siblings. Has an id the form of one: 16 and more hexadecimal digits and '-'? */
bool host_id_ok(const char *id);
/* Sets machine_id from the id, unless that has not the form of one. */
void host_set_machine_id(struct host *h, const char *id);

#endif
