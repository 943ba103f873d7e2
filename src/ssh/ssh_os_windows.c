/* Windows: sockets, and the CPU guard as a thread that watches another. */
#include "ssh/ssh_os.h"

#include "base/io.h"
#include "base/log.h"
#include "base/win.h"
#include <errno.h>
#include <libssh/libssh.h>
#include <stdatomic.h>

int ssh_os_init(void)
{
    /* A static libssh has nobody who does it; it counts how often. */
    return ssh_init() == SSH_OK ? 0 : -EIO;
}

int ssh_os_dup(int fd)
{
    WSAPROTOCOL_INFOW info;
    u_long on = 1;
    SOCKET copy;
    if (ioctlsocket((SOCKET)fd, FIONBIO, &on) != 0 ||
        WSADuplicateSocketW((SOCKET)fd, GetCurrentProcessId(), &info) != 0) {
        return win_errno((DWORD)WSAGetLastError());
    }
    copy = WSASocketW(FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, &info, 0,
                      WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
    return copy == INVALID_SOCKET ? win_errno((DWORD)WSAGetLastError()) : (int)copy;
}

bool ssh_os_no_delay(int fd)
{
    int on = 1;
    return setsockopt((SOCKET)fd, IPPROTO_TCP, TCP_NODELAY, (const char *)&on, sizeof on) == 0;
}

void ssh_os_quick_ack(int fd)
{
    /* The peer on the loopback address, multissh-agent or a bridge, does not wait for acknowledgements. */
    (void)fd;
}

static bool loopback(const struct sockaddr_storage *at)
{
    if (at->ss_family == AF_INET) {
        return (ntohl(((const struct sockaddr_in *)at)->sin_addr.s_addr) >> 24) == 127;
    }
    return at->ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)at)->sin6_addr);
}

uint64_t ssh_os_peer_silence(int fd)
{
    struct sockaddr_storage peer = {0};
    int size = sizeof peer;
    if (getpeername((SOCKET)fd, (struct sockaddr *)&peer, &size) == 0 && loopback(&peer)) {
        return 0; /* the peer's kernel is this one; whoever is behind it has keepalives of its own */
    }
    return UINT64_MAX;
}

/* --- the guard --- */

#define LOOK_MS 500
#define CPU_MAX (10u * 1000 * 1000) /* a second, in units of 100 ns */

static HANDLE guarded_thread, turned_on;
static atomic_uint guard_turn; /* odd: on */

static uint64_t cpu_time(void)
{
    FILETIME created, ended, kernel, user;
    if (!GetThreadTimes(guarded_thread, &created, &ended, &kernel, &user)) {
        return 0;
    }
    return ((uint64_t)user.dwHighDateTime << 32 | user.dwLowDateTime) +
           ((uint64_t)kernel.dwHighDateTime << 32 | kernel.dwLowDateTime);
}

/* Until that call has come back. */
static void look_after(unsigned turn)
{
    for (uint64_t since = cpu_time(); atomic_load(&guard_turn) == turn; Sleep(LOOK_MS)) {
        if (cpu_time() - since > CPU_MAX) {
            log_error("ended: a call into the SSH library did not return");
            TerminateProcess(GetCurrentProcess(), 70);
        }
    }
}

static DWORD WINAPI watch(void *arg)
{
    (void)arg;
    while (WaitForSingleObject(turned_on, INFINITE) == WAIT_OBJECT_0) {
        unsigned turn = atomic_load(&guard_turn);
        if (turn % 2 != 0) {
            look_after(turn);
        }
    }
    return 0;
}

void ssh_os_guard_start(void)
{
    HANDLE thread;
    if (guarded_thread != NULL) {
        return;
    }
    turned_on = CreateEventW(NULL, FALSE, FALSE, NULL);
    if (turned_on == NULL || !DuplicateHandle(GetCurrentProcess(), GetCurrentThread(), GetCurrentProcess(),
                                              &guarded_thread, 0, FALSE, DUPLICATE_SAME_ACCESS)) {
        log_warn("nothing guards against a call into the SSH library that does not return: no memory");
        return;
    }
    thread = CreateThread(NULL, 0, watch, NULL, 0, NULL);
    if (thread == NULL) {
        log_warn("nothing guards against a call into the SSH library that does not return: no thread");
        return;
    }
    CloseHandle(thread);
}

void ssh_os_guard(bool on)
{
    if ((atomic_load(&guard_turn) % 2 != 0) != on) {
        atomic_fetch_add(&guard_turn, 1);
    }
    if (on && turned_on != NULL) {
        SetEvent(turned_on);
    }
}
