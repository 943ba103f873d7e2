/* A Linux host. */
#include "agent/host.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* The first line of a small file, which under /proc says that its size is 0. */
static void first_line(const char *path, char *out, size_t size)
{
    out[0] = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = read(fd, out, size - 1);
    close(fd);
    out[n > 0 ? n : 0] = 0;
    out[strcspn(out, "\r\n")] = 0;
}

static bool id_ok(const char *id)
{
    size_t n = strlen(id);
    return n >= 16 && strspn(id, "0123456789abcdefABCDEF-") == n;
}

void host_read(struct host *ret_host)
{
    static const char label[] = "multissh machine id v1:";
    char id[80], text[sizeof label + sizeof id];
    uint8_t hash[CRYPTO_HASH_SIZE];
    struct utsname name;
    memset(ret_host, 0, sizeof *ret_host);
    snprintf(ret_host->os, sizeof ret_host->os, "linux");
    if (uname(&name) == 0)
        snprintf(ret_host->arch, sizeof ret_host->arch, "%.31s", name.machine);

    first_line("/etc/machine-id", id, sizeof id);
    if (!id_ok(id))
        first_line("/var/lib/dbus/machine-id", id, sizeof id);
    int n = snprintf(text, sizeof text, "%s%s", label, id);
    if (id_ok(id) && crypto_sha256(text, (size_t)n, hash) == 0)
        crypto_hex_encode(hash, sizeof hash, ret_host->machine_id, sizeof ret_host->machine_id);

    first_line("/proc/sys/kernel/random/boot_id", ret_host->boot_id, sizeof ret_host->boot_id);
    if (!id_ok(ret_host->boot_id))
        ret_host->boot_id[0] = 0;
}

const char *host_ssh_folder(void)
{
    return "/etc/ssh";
}
