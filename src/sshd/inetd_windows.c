/* Standard input as a connection, on Windows: a socket that was inherited, or pipes that threads bridge to one. */
#include "sshd/inetd.h"

#include "base/eventlog_windows.h"
#include "base/io.h"
#include "base/win.h"
#include "sshd/pipes_windows.h"
#include <errno.h>
#include <string.h>

#define BRIDGE_MS 10000

static struct pipes_bridge *bridge; /* of the one connection that this process serves */

bool inetd_log(void)
{
    return eventlog_needed() && eventlog_open("multissh-sshd") == 0;
}

/* What is read and written from now on by way of the C library goes nowhere. */
static void empty(DWORD which)
{
    SECURITY_ATTRIBUTES inherited = {.nLength = sizeof inherited, .bInheritHandle = TRUE};
    HANDLE null = CreateFileW(L"NUL", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE,
                              &inherited, OPEN_EXISTING, 0, NULL);
    (void)SetStdHandle(which, null == INVALID_HANDLE_VALUE ? NULL : null);
}

int inetd_descriptor(int *ret_fd, bool *ret_bridged, struct errmsg *err)
{
    HANDLE in = GetStdHandle(STD_INPUT_HANDLE);
    HANDLE out = GetStdHandle(STD_OUTPUT_HANDLE);
    int rc;
    *ret_bridged = false;
    if (in == NULL || in == INVALID_HANDLE_VALUE) {
        return errmsg_set(err, -EBADF, "--inetd: there is no standard input, which should be the connection");
    }
    rc = io_take_socket(in, ret_fd);
    if (rc == -ENOTSOCK && GetFileType(in) == FILE_TYPE_PIPE && out != NULL &&
        GetFileType(out) == FILE_TYPE_PIPE) {
        *ret_bridged = true;
        rc = pipes_bridge_new(in, out, ret_fd, &bridge);
    } else if (rc == -ENOTSOCK) {
        return errmsg_set(
            err, rc,
            "--inetd: standard input is not a connection: this program is started by multissh-agent, "
            "or as `ssh -o ProxyCommand=\"multissh-sshd --inetd\" HOST`");
    }
    if (rc < 0) {
        return errmsg_set(err, rc, "cannot take the connection on standard input: %s", strerror(-rc));
    }
    empty(STD_INPUT_HANDLE);
    empty(STD_OUTPUT_HANDLE);
    return 0;
}

void inetd_finish(void)
{
    (void)pipes_bridge_finish(bridge, BRIDGE_MS);
    bridge = NULL;
}
