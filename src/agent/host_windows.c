/* A Windows host. */
#include "agent/host.h"

#include "base/fs.h"
#include "base/win.h"
#include <initguid.h> /* the numbers of the known folders */
#include <knownfolders.h>
#include <shlobj.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *arch_name(USHORT machine)
{
    switch (machine) {
    case IMAGE_FILE_MACHINE_AMD64:
        return "x86_64";
    case IMAGE_FILE_MACHINE_ARM64:
        return "aarch64";
    default:
        return "";
    }
}

static void read_machine_id(struct host *h)
{
    wchar_t wide[HOST_ID_MAX];
    char text[HOST_ID_MAX];
    DWORD n = sizeof wide;
    if (RegGetValueW(HKEY_LOCAL_MACHINE, L"SOFTWARE\\Microsoft\\Cryptography", L"MachineGuid",
                     RRF_RT_REG_SZ | RRF_SUBKEY_WOW6464KEY, NULL, wide, &n) == ERROR_SUCCESS &&
        win_utf8_into(wide, text, sizeof text) == 0)
        host_set_machine_id(h, text);
}

/* Windows counts its boots; where it does not, the minute of the boot is as new. */
static void read_boot_id(struct host *h)
{
    DWORD count = 0, n = sizeof count;
    ULARGE_INTEGER now;
    FILETIME time;
    if (RegGetValueW(
            HKEY_LOCAL_MACHINE,
            L"SYSTEM\\CurrentControlSet\\Control\\Session Manager\\Memory Management\\PrefetchParameters",
            L"BootId", RRF_RT_REG_DWORD, NULL, &count, &n) == ERROR_SUCCESS) {
        snprintf(h->boot_id, sizeof h->boot_id, "%016lx", (unsigned long)count);
        return;
    }
    GetSystemTimeAsFileTime(&time);
    now.LowPart = time.dwLowDateTime;
    now.HighPart = time.dwHighDateTime;
    uint64_t since = now.QuadPart / 10000 - GetTickCount64(); /* ms */
    snprintf(h->boot_id, sizeof h->boot_id, "%016llx", (unsigned long long)(since / 60000));
}

void host_read(struct host *ret_host)
{
    USHORT process = 0, native = 0;
    memset(ret_host, 0, sizeof *ret_host);
    snprintf(ret_host->os, sizeof ret_host->os, "windows");
    if (IsWow64Process2(GetCurrentProcess(), &process, &native))
        snprintf(ret_host->arch, sizeof ret_host->arch, "%s", arch_name(native));
    read_machine_id(ret_host);
    read_boot_id(ret_host);
}

/* OpenSSH for Windows: %ProgramData%\ssh. */
const char *host_ssh_folder(void)
{
    static char folder[FS_PATH_MAX];
    wchar_t *wide = NULL;
    char text[FS_PATH_MAX - 8];
    if (folder[0] == 0 && SHGetKnownFolderPath(&FOLDERID_ProgramData, KF_FLAG_DEFAULT, NULL, &wide) == S_OK &&
        win_utf8_into(wide, text, sizeof text) == 0)
        snprintf(folder, sizeof folder, "%s\\ssh", text);
    CoTaskMemFree(wide);
    return folder;
}

/* The path of file in a known folder. Is it there? */
static bool in_folder(const KNOWNFOLDERID *id, const char *file, char *out, size_t size)
{
    wchar_t *wide = NULL, *path = NULL;
    char text[FS_PATH_MAX];
    bool there = false;
    out[0] = 0;
    if (SHGetKnownFolderPath(id, KF_FLAG_DEFAULT, NULL, &wide) == S_OK &&
        win_utf8_into(wide, text, sizeof text) == 0) {
        int n = snprintf(out, size, "%s\\%s", text, file);
        there = n >= 0 && (size_t)n < size && win_path(out, &path) == 0 &&
                GetFileAttributesW(path) != INVALID_FILE_ATTRIBUTES;
    }
    free(path);
    CoTaskMemFree(wide);
    return there;
}

/* Never a name alone, which would be looked for in the working folder first: the system's own, or that of the newer
 * package, and then it need not be there. */
void host_ssh_keyscan(char *out, size_t size)
{
    static const char file[] = "OpenSSH\\ssh-keyscan.exe";
    if (!in_folder(&FOLDERID_System, file, out, size))
        (void)in_folder(&FOLDERID_ProgramFiles, file, out, size);
}
