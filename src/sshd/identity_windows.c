/* The system's own host keys, on Windows: OpenSSH's. */
#include "sshd/identity.h"

#include "base/fs.h"
#include "base/win.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static bool readable(const char *path)
{
    wchar_t *wide = NULL;
    HANDLE file;
    if (win_path(path, &wide) < 0) {
        return false;
    }
    file = CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                       OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    free(wide);
    if (file == INVALID_HANDLE_VALUE) {
        return false;
    }
    CloseHandle(file);
    return true;
}

int identity_system(size_t i, char *out, size_t size)
{
    static const char *const types[] = {"ed25519", "ecdsa", "rsa"};
    char *data = NULL;
    int n = -1;
    if (i >= sizeof types / sizeof types[0]) {
        return -ENOENT;
    }
    data = win_env("ProgramData");
    if (data != NULL) {
        n = snprintf(out, size, "%s\\ssh\\ssh_host_%s_key", data, types[i]);
        free(data);
    }
    return n < 0 || (size_t)n >= size || !readable(out) ? -EACCES : 0;
}
