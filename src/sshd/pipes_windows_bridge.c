/* Standard input and output, which somebody else made, as one socket. */
#include "sshd/pipes_windows.h"

#include "base/io.h"
#include <errno.h>
#include <stdlib.h>

struct pipes_bridge {
    struct pipes_flow *in, *out;
    /* The caller's, once more: one that is closed over bytes that nobody has read takes back what it sent. */
    SOCKET end;
};

static void bridge_free(struct pipes_bridge *bridge)
{
    if (bridge->in != NULL) {
        pipes_flow_stop(bridge->in);
    }
    if (bridge->out != NULL) {
        pipes_flow_stop(bridge->out);
    }
    pipes_flow_release(bridge->in);
    pipes_flow_release(bridge->out);
    if (bridge->end != INVALID_SOCKET) {
        closesocket(bridge->end);
    }
    free(bridge);
}

static int again(int fd, SOCKET *ret_socket)
{
    WSAPROTOCOL_INFOW info;
    if (WSADuplicateSocketW((SOCKET)fd, GetCurrentProcessId(), &info) != 0) {
        return win_errno((DWORD)WSAGetLastError());
    }
    *ret_socket = WSASocketW(FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, &info, 0,
                             WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
    return *ret_socket == INVALID_SOCKET ? win_errno((DWORD)WSAGetLastError()) : 0;
}

int pipes_bridge_new(HANDLE in, HANDLE out, int *ret_fd, struct pipes_bridge **ret_bridge)
{
    const bool pipes = GetFileType(in) == FILE_TYPE_PIPE && GetFileType(out) == FILE_TYPE_PIPE;
    struct pipes_bridge *bridge = calloc(1, sizeof *bridge);
    struct pipes_socket *socket = NULL;
    int pair[2] = {-1, -1};
    int rc = !pipes ? -EINVAL : bridge == NULL ? -ENOMEM : io_pair(true, pair);
    if (rc == 0) {
        rc = pipes_socket_new(pair[1], &socket);
    }
    if (bridge != NULL) {
        bridge->end = INVALID_SOCKET;
    }
    if (rc == 0) {
        rc = again(pair[0], &bridge->end);
    }
    if (rc == 0) {
        rc = pipes_flow_out(in, socket, NULL, 0, &bridge->in);
        in = NULL;
    }
    if (rc == 0) {
        rc = pipes_flow_in(socket, out, &bridge->out);
        out = NULL;
    }
    pipes_socket_release(socket);
    if (rc < 0) {
        io_close(pair[0]);
        if (in != NULL) {
            CloseHandle(in);
        }
        if (out != NULL) {
            CloseHandle(out);
        }
        if (bridge != NULL) {
            bridge_free(bridge);
        }
        return rc;
    }
    *ret_fd = pair[0];
    *ret_bridge = bridge;
    return 0;
}

bool pipes_bridge_finish(struct pipes_bridge *bridge, unsigned timeout_ms)
{
    bool over;
    if (bridge == NULL) {
        return true;
    }
    (void)shutdown(bridge->end, SD_SEND);
    over = WaitForSingleObject(pipes_flow_over(bridge->out), timeout_ms) == WAIT_OBJECT_0;
    bridge_free(bridge);
    return over;
}
