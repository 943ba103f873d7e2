/* The system's own host keys, on POSIX systems. */
#include "sshd/identity.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

int identity_system(size_t i, char *out, size_t size)
{
    static const char *const types[] = {"ed25519", "ecdsa", "rsa"};
    int n;
    if (i >= sizeof types / sizeof types[0]) {
        return -ENOENT;
    }
    n = snprintf(out, size, "/etc/ssh/ssh_host_%s_key", types[i]);
    return n < 0 || (size_t)n >= size || access(out, R_OK) < 0 ? -EACCES : 0;
}
