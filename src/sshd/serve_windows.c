/* Serving on Windows: one process does it all, as who runs it; programs are started as whoever logs in. */
#include "sshd/serve.h"

#include "base/io.h"
#include "base/log.h"
#include "base/private_windows.h"
#include "base/win.h"
#include "sshd/console_windows.h"
#include "sshd/identity.h"
#include "sshd/sshd.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char serve_help[] =
    "usage: multissh-sshd --inetd [--peer IP[:PORT]] [--proxy-protocol] [OPTION]...\n"
    "       multissh-sshd --sftp [--read-only]\n"
    "       multissh-sshd --print-host-key | --check [OPTION]...\n"
    "\n"
    "An SSH server for one connection, for machines that run no SSH server. multissh-agent starts it. By "
    "the\n"
    "service it lets every account in that may log in, run by anybody that user alone.\n"
    "\n"
    "--inetd           serves the connection that is standard input (a socket, or a pipe with one on\n"
    "                  standard output)\n"
    "--peer IP[:PORT]  where the user comes from, when the connection does not tell\n"
    "--proxy-protocol  a PROXY line (version 1) comes first, and says where the user comes from\n"
    "--state DIR       the folder of sshd.conf and of the host key that is made when %ProgramData%\\ssh has\n"
    "                  none that can be read (default: %ProgramData%\\multissh-sshd for the service and for\n"
    "                  administrators, else %LOCALAPPDATA%\\multissh-sshd)\n"
    "--config FILE     the settings (default: sshd.conf in the state folder, if it is there)\n"
    "--sftp            serves SFTP on standard input and output, as who runs it; with --read-only nothing "
    "is\n"
    "                  changed\n"
    "--print-host-key  prints the public host key, which is made if there is none\n"
    "--check           checks the settings, shows them and ends\n"
    "--help, --version, --dump-options\n"
    "\n"
    "Settings, in sshd.conf as NAME = VALUE or as options:\n";

static UINT code_page; /* of the console, before */

static void restore_console(void)
{
    (void)SetConsoleOutputCP(code_page);
}

/* What is shown on a console is UTF-8. */
static void ready_console(void)
{
    code_page = GetConsoleOutputCP();
    if (code_page != 0 && code_page != CP_UTF8 && SetConsoleOutputCP(CP_UTF8)) {
        (void)atexit(restore_console);
    }
}

int serve_prepare(int *argc, char ***argv, struct errmsg *err)
{
    int rc;
    /* No window that waits for somebody to click: a fault ends the process. */
    (void)SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX | SEM_NOOPENFILEERRORBOX);
    /* What is loaded later comes from the system's folder, and not from where somebody unpacked the programs. */
    (void)SetDefaultDllDirectories(LOAD_LIBRARY_SEARCH_SYSTEM32);
    ready_console();
    rc = win_args(argc, argv);
    return rc < 0 ? errmsg_set(err, rc, "cannot read the arguments: %s", strerror(-rc)) : 0;
}

bool serve_apart(int argc, char **argv, int *ret_code)
{
    const bool is = argc == 2 && strcmp(argv[1], CONSOLE_FLAG) == 0;
    if (is) {
        *ret_code = console_main();
    }
    return is;
}

/* The service, or an administrator who said "run as administrator". */
static bool elevated(void)
{
    TOKEN_ELEVATION elevation = {0};
    DWORD size = sizeof elevation;
    HANDLE token = NULL;
    bool is;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token)) {
        return false;
    }
    is = GetTokenInformation(token, TokenElevation, &elevation, sizeof elevation, &size) &&
         elevation.TokenIsElevated != 0;
    CloseHandle(token);
    return is;
}

int serve_state_folder(char *out, size_t size, struct errmsg *err)
{
    char *base = win_env(elevated() ? "ProgramData" : "LOCALAPPDATA");
    int n = base == NULL ? -1 : snprintf(out, size, "%s\\multissh-sshd", base);
    free(base);
    if (n < 0 || (size_t)n >= size) {
        return errmsg_set(err, -ENOENT, "there is no place for the state: choose a folder with --state");
    }
    return private_check_folder(out, err); /* its settings are read before it is made */
}

int serve_connection(const struct sshd_options *options, const char *state, const struct inetd *connection,
                     struct errmsg *err)
{
    const char *peer = connection->peer[0] == '\0' ? NULL : connection->peer;
    const struct host_config host = {.monitor = -1,
                                     .options = options,
                                     .peer = peer,
                                     .peer_port = connection->peer_port,
                                     .local = connection->local[0] == '\0' ? NULL : connection->local,
                                     .local_port = connection->local_port};
    struct hostkey *key = NULL;
    struct sshd *sshd = NULL;
    int rc = identity_load(options->host_key, state, &key, err);
    if (rc < 0) {
        io_close(connection->fd);
        return rc;
    }
    rc =
        sshd_new(connection->fd, &host, key, options, peer == NULL ? "an unknown address" : peer, &sshd, err);
    hostkey_free(key);
    if (rc == 0) {
        rc = sshd_run(sshd);
        if (rc < 0) {
            (void)errmsg_set(err, rc, "waiting for the connection failed: %s", strerror(-rc));
        }
    }
    sshd_free(sshd);
    return rc;
}
