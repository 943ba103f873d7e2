/* The system's own host keys, on Windows: OpenSSH's. */
#include "sshd/identity.h"

#include "base/fs.h"
#include "base/log.h"
#include "base/private_windows.h"
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

static bool is_there(const char *path)
{
    wchar_t *wide = NULL;
    bool is = win_path(path, &wide) == 0 && GetFileAttributesW(wide) != INVALID_FILE_ATTRIBUTES;
    free(wide);
    return is;
}

/* Anybody may make that folder where there is none, and would choose who this machine is. */
static bool trusted(const char *data, const char *path)
{
    char folder[FS_PATH_MAX];
    struct errmsg err = {"its folder has too long a name"};
    bool is = fs_join(folder, sizeof folder, data, "ssh") == 0 && private_check_folder(folder, &err) == 0;
    if (!is) {
        log_warn("%.200s is not used: %s", path, err.text);
    }
    return is;
}

int identity_system(size_t i, char *out, size_t size)
{
    static const char *const types[] = {"ed25519", "ecdsa", "rsa"};
    char *data = NULL;
    bool good = false;
    if (i >= sizeof types / sizeof types[0]) {
        return -ENOENT;
    }
    data = win_env("ProgramData");
    if (data != NULL) {
        int n = snprintf(out, size, "%s\\ssh\\ssh_host_%s_key", data, types[i]);
        good = n >= 0 && (size_t)n < size && is_there(out) && trusted(data, out) && readable(out);
    }
    free(data);
    return good ? 0 : -EACCES;
}
