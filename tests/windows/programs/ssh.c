/* ssh.exe for the tests: calls the ssh of the system that Wine runs on, through a socket whose port MULTISSH_TEST_SSH names (kit/wine.py,
 * SystemSsh). To there: the number of arguments, each with its length, and then standard input as it comes. From there: blocks of
 * standard output (1) and error (2), each with its length, and the status (0). Numbers are 4 bytes, the highest first. */
/* First, as Windows' headers want it. */
#include <winsock2.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

static void fail(const char *what)
{
    fprintf(stderr, "ssh of the tests: %s: error %lu\n", what, GetLastError());
    exit(255);
}

static void send_all(SOCKET to, const void *data, int n)
{
    const char *at = data;
    while (n > 0) {
        int done = send(to, at, n, 0);
        if (done <= 0) {
            fail("sending");
        }
        at += done;
        n -= done;
    }
}

static void send_number(SOCKET to, uint32_t number)
{
    unsigned char bytes[4] = {(unsigned char)(number >> 24), (unsigned char)(number >> 16),
                              (unsigned char)(number >> 8), (unsigned char)number};
    send_all(to, bytes, sizeof bytes);
}

static void receive_all(SOCKET from, void *data, int n)
{
    char *at = data;
    while (n > 0) {
        int done = recv(from, at, n, 0);
        if (done <= 0) {
            fail("the system's end");
        }
        at += done;
        n -= done;
    }
}

static uint32_t receive_number(SOCKET from)
{
    unsigned char bytes[4];
    receive_all(from, bytes, sizeof bytes);
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static DWORD WINAPI send_input(void *arg)
{
    SOCKET to = *(SOCKET *)arg;
    char block[65536];
    DWORD n = 0;
    while (ReadFile(GetStdHandle(STD_INPUT_HANDLE), block, sizeof block, &n, NULL) && n > 0) {
        for (DWORD at = 0; at < n;) {
            int done = send(to, block + at, (int)(n - at), 0);
            if (done <= 0) {
                return 0; /* it has ended */
            }
            at += (DWORD)done;
        }
    }
    shutdown(to, SD_SEND);
    return 0;
}

static void send_arguments(SOCKET to, int argc, wchar_t **argv)
{
    send_number(to, (uint32_t)(argc - 1));
    for (int i = 1; i < argc; i++) {
        char utf8[8192];
        int n = WideCharToMultiByte(CP_UTF8, 0, argv[i], -1, utf8, sizeof utf8, NULL, NULL);
        if (n <= 0) {
            fail("an argument");
        }
        send_number(to, (uint32_t)(n - 1));
        send_all(to, utf8, n - 1);
    }
}

static void pass_on(SOCKET from, HANDLE to, uint32_t n)
{
    static char block[65536];
    while (n > 0) {
        DWORD part = n < sizeof block ? n : sizeof block;
        DWORD done = 0;
        receive_all(from, block, (int)part);
        n -= part;
        if (!WriteFile(to, block, part, &done, NULL)) {
            exit(255); /* nobody reads it any more */
        }
    }
}

int wmain(int argc, wchar_t **argv)
{
    const char *port = getenv("MULTISSH_TEST_SSH");
    struct sockaddr_in there = {.sin_family = AF_INET};
    WSADATA data;
    SOCKET s;
    if (port == NULL || WSAStartup(MAKEWORD(2, 2), &data) != 0) {
        fail("MULTISSH_TEST_SSH");
    }
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    there.sin_port = htons((unsigned short)atoi(port));
    s = socket(AF_INET, SOCK_STREAM, 0);
    if (s == INVALID_SOCKET || connect(s, (struct sockaddr *)&there, sizeof there) != 0) {
        fail("connecting");
    }
    send_arguments(s, argc, argv);
    if (CreateThread(NULL, 0, send_input, &s, 0, NULL) == NULL) {
        fail("a thread");
    }
    for (;;) {
        uint32_t kind = receive_number(s);
        uint32_t value = receive_number(s);
        if (kind == 0) {
            ExitProcess(value);
        }
        pass_on(s, GetStdHandle(kind == 1 ? STD_OUTPUT_HANDLE : STD_ERROR_HANDLE), value);
    }
}
