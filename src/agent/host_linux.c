/* A Linux host. */
#include "agent/host.h"

#include <fcntl.h>
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

void host_read(struct host *ret_host)
{
    char id[HOST_ID_MAX];
    struct utsname name;
    memset(ret_host, 0, sizeof *ret_host);
    snprintf(ret_host->os, sizeof ret_host->os, "linux");
    if (uname(&name) == 0)
        snprintf(ret_host->arch, sizeof ret_host->arch, "%.31s", name.machine);

    first_line("/etc/machine-id", id, sizeof id);
    if (!host_id_ok(id))
        first_line("/var/lib/dbus/machine-id", id, sizeof id);
    host_set_machine_id(ret_host, id);

    first_line("/proc/sys/kernel/random/boot_id", ret_host->boot_id, sizeof ret_host->boot_id);
    if (!host_id_ok(ret_host->boot_id))
        ret_host->boot_id[0] = 0;
}

const char *host_ssh_folder(void)
{
    return "/etc/ssh";
}

void host_ssh_keyscan(char *out, size_t size)
{
    snprintf(out, size, "ssh-keyscan");
}
