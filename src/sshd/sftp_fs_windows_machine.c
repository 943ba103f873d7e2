/* What the machine knows beside files: how much room a drive has, who has an account, and where its home is. Owns
 * nothing. */
#include "sshd/sftp_fs_windows.h"

#include <errno.h>
#include <sddl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROFILES L"SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\ProfileList\\"

/* Of the volume that wide lies on, which a drive's folder can lead to as well. */
static int space_at(struct sftp_fs_windows *fs, const wchar_t *wide, struct sftp_fs_space *ret_space)
{
    wchar_t top[SFTP_FS_PATH_MAX + 8];
    ULARGE_INTEGER available, total, unused;
    DWORD sectors = 0, bytes = 0, clusters_free, clusters, serial = 0, name_max = 255, flags = 0;

    if (!GetVolumePathNameW(wide, top, sizeof top / sizeof top[0]) ||
        !GetDiskFreeSpaceExW(top, &available, &total, &unused) ||
        !GetDiskFreeSpaceW(top, &sectors, &bytes, &clusters_free, &clusters))
        return sftp_fs_windows_fail(fs, GetLastError());
    /* A volume without a name for it is one that may be written. */
    (void)GetVolumeInformationW(top, NULL, 0, &serial, &name_max, &flags, NULL, 0);
    uint64_t cluster = (uint64_t)sectors * bytes;
    if (cluster == 0)
        cluster = 4096;
    *ret_space = (struct sftp_fs_space){.block_size = cluster,
                                        .fragment_size = cluster,
                                        .blocks = total.QuadPart / cluster,
                                        .blocks_free = unused.QuadPart / cluster,
                                        .blocks_available = available.QuadPart / cluster,
                                        .id = serial,
                                        .name_max = name_max,
                                        .read_only = (flags & FILE_READ_ONLY_VOLUME) != 0,
                                        .no_setuid = true};
    return 0;
}

int sftp_fs_windows_statvfs(void *arg, const char *path, struct sftp_fs_space *ret_space)
{
    struct sftp_fs_windows_path p;
    int r = sftp_fs_windows_path(arg, path, SFTP_FS_WINDOWS_LOOK, &p);
    if (r != 0)
        return r;
    if (p.wide[0] == L'\0') {
        *ret_space = (struct sftp_fs_space){
            .block_size = 4096, .fragment_size = 4096, .name_max = 2, .read_only = true, .no_setuid = true};
        return 0;
    }
    if (p.names > 0 && GetFileAttributesW(p.wide) == INVALID_FILE_ATTRIBUTES)
        return sftp_fs_windows_fail(arg, GetLastError());
    return space_at(arg, p.wide, ret_space);
}

int sftp_fs_windows_fstatvfs(void *arg, struct sftp_fs_file *file, struct sftp_fs_space *ret_space)
{
    return space_at(arg, file->wide, ret_space);
}

static int own_home(char out[static SFTP_FS_PATH_MAX])
{
    char *profile = win_env("USERPROFILE");
    wchar_t *wide = NULL;
    int r = profile == NULL ? -ENOENT : win_utf16(profile, &wide);
    if (r == 0)
        r = sftp_fs_windows_shown(wide, wcslen(wide), out);
    free(wide);
    free(profile);
    return r;
}

/* The profile's folder as the registry has it for the account with that SID. */
static int profile_of(PSID sid, char out[static SFTP_FS_PATH_MAX])
{
    wchar_t key[512], folder[MAX_PATH + 1] = L"";
    wchar_t *words = NULL;
    DWORD bytes = sizeof folder;

    if (!ConvertSidToStringSidW(sid, &words))
        return -ENOENT;
    int n = _snwprintf(key, sizeof key / sizeof key[0], L"%ls%ls", PROFILES, words);
    LocalFree(words);
    if (n < 0 || (size_t)n >= sizeof key / sizeof key[0])
        return -ENOENT;
    /* It expands what the value has of %SystemDrive% and the like. */
    if (RegGetValueW(HKEY_LOCAL_MACHINE, key, L"ProfileImagePath", RRF_RT_REG_SZ, NULL, folder, &bytes) !=
        ERROR_SUCCESS)
        return -ENOENT;
    return sftp_fs_windows_shown(folder, wcslen(folder), out);
}

int sftp_fs_windows_home(void *arg, const char *name, char out[static SFTP_FS_PATH_MAX])
{
    wchar_t *account = NULL;
    wchar_t domain[256], self[257];
    union {
        SID sid;
        BYTE room[SECURITY_MAX_SID_SIZE];
    } found;
    DWORD sid_size = sizeof found, domain_size = sizeof domain / sizeof domain[0];
    DWORD self_size = sizeof self / sizeof self[0];
    SID_NAME_USE use;
    (void)arg;

    if (name[0] == '\0')
        return own_home(out);
    int r = win_utf16(name, &account);
    if (r != 0)
        return r == -ENOMEM ? r : -ENOENT;
    if (GetUserNameW(self, &self_size) && _wcsicmp(self, account) == 0)
        r = own_home(out);
    else if (!LookupAccountNameW(NULL, account, &found.sid, &sid_size, domain, &domain_size, &use))
        r = -ENOENT;
    else
        r = profile_of(&found.sid, out);
    free(account);
    return r;
}

/* Accounts have no numbers. What everything is given to has no name of its own. */
const char *sftp_fs_windows_user_name(void *arg, uint32_t uid)
{
    (void)arg;
    return uid == 0 ? "-" : "";
}

const char *sftp_fs_windows_group_name(void *arg, uint32_t gid)
{
    (void)arg;
    return gid == 0 ? "-" : "";
}
