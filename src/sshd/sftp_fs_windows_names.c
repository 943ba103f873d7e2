/* Making, moving and removing names, as POSIX does it where Windows can: what is open or may not be written can be
 * removed and replaced. Owns no handle that it does not close. */
#include "sshd/sftp_fs_windows.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

/* Windows 10 1709's; the headers have them for a later number only. */
#define INFO_DISPOSITION_EX ((FILE_INFO_BY_HANDLE_CLASS)21)
#define INFO_RENAME_EX ((FILE_INFO_BY_HANDLE_CLASS)22)
enum { DISPOSE_DELETE = 0x1, DISPOSE_POSIX = 0x2, DISPOSE_READ_ONLY_TOO = 0x10 };
enum { RENAME_REPLACE = 0x1, RENAME_POSIX = 0x2, RENAME_READ_ONLY_TOO = 0x40 };

struct rename_info {
    DWORD flags;
    HANDLE root;
    DWORD bytes; /* of the name, without its NUL */
    WCHAR name[SFTP_FS_PATH_MAX + 8];
};

/* An older Windows, or a file system (FAT, a share's) that cannot do it. */
static bool is_unknown(DWORD error)
{
    return error == ERROR_INVALID_PARAMETER || error == ERROR_NOT_SUPPORTED ||
           error == ERROR_INVALID_FUNCTION || error == ERROR_CALL_NOT_IMPLEMENTED ||
           error == ERROR_INVALID_LEVEL;
}

static DWORD attributes_of(HANDLE handle)
{
    FILE_BASIC_INFO info = {0};
    return GetFileInformationByHandleEx(handle, FileBasicInfo, &info, sizeof info) ? info.FileAttributes : 0;
}

static bool set_attributes(HANDLE handle, DWORD attributes)
{
    FILE_BASIC_INFO info = {.FileAttributes = attributes == 0 ? FILE_ATTRIBUTE_NORMAL : attributes};
    return SetFileInformationByHandle(handle, FileBasicInfo, &info, sizeof info);
}

/* Without POSIX's way: the name goes when the last who has the file open closes it. */
static int dispose_plainly(struct sftp_fs_windows *fs, HANDLE handle, const wchar_t *wide)
{
    FILE_DISPOSITION_INFO info = {.DeleteFile = TRUE};
    HANDLE changing = NULL;
    DWORD attributes = attributes_of(handle);
    bool read_only = (attributes & FILE_ATTRIBUTE_READONLY) != 0;

    if (read_only) {
        int r =
            sftp_fs_windows_open(fs, wide, FILE_READ_ATTRIBUTES | FILE_WRITE_ATTRIBUTES, false, &changing);
        if (r != 0)
            return r;
        (void)set_attributes(changing, attributes & ~(DWORD)FILE_ATTRIBUTE_READONLY);
    }
    int r = SetFileInformationByHandle(handle, FileDispositionInfo, &info, sizeof info)
                ? 0
                : sftp_fs_windows_fail(fs, GetLastError());
    if (r != 0 && read_only)
        (void)set_attributes(changing, attributes);
    if (changing != NULL)
        CloseHandle(changing);
    return r;
}

static int dispose(struct sftp_fs_windows *fs, HANDLE handle, const wchar_t *wide)
{
    DWORD flags = DISPOSE_DELETE | DISPOSE_POSIX | DISPOSE_READ_ONLY_TOO;
    if (SetFileInformationByHandle(handle, INFO_DISPOSITION_EX, &flags, sizeof flags))
        return 0;
    DWORD error = GetLastError();
    return is_unknown(error) ? dispose_plainly(fs, handle, wide) : sftp_fs_windows_fail(fs, error);
}

static int remove_name(struct sftp_fs_windows *fs, const char *path, bool folder)
{
    struct sftp_fs_windows_path p;
    struct sftp_fs_windows_facts facts;
    HANDLE handle = NULL;
    int r = sftp_fs_windows_path(fs, path, SFTP_FS_WINDOWS_LOOK, &p);

    if (r == 0 && p.names == 0)
        r = folder ? -EBUSY : -EISDIR;
    if (r != 0)
        return r;
    r = sftp_fs_windows_open(fs, p.wide, DELETE | FILE_READ_ATTRIBUTES | SYNCHRONIZE, false, &handle);
    if (r != 0)
        return r;
    r = sftp_fs_windows_facts(fs, handle, &facts);
    bool is_folder =
        r == 0 && !sftp_fs_windows_is_link(&facts) && (facts.attributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
    if (r == 0 && is_folder != folder)
        r = folder ? -ENOTDIR : -EISDIR;
    if (r == 0)
        r = dispose(fs, handle, p.wide);
    CloseHandle(handle);
    return r;
}

int sftp_fs_windows_remove(void *arg, const char *path)
{
    return remove_name(arg, path, false);
}

int sftp_fs_windows_rmdir(void *arg, const char *path)
{
    return remove_name(arg, path, true);
}

int sftp_fs_windows_mkdir(void *arg, const char *path, uint32_t mode)
{
    struct sftp_fs_windows_path p;
    int r = sftp_fs_windows_path(arg, path, SFTP_FS_WINDOWS_MAKE, &p);
    (void)mode;
    if (r != 0)
        return r;
    if (p.names == 0)
        return p.wide[0] == L'\0' || (GetLogicalDrives() & 1u << (p.text[1] - 'A')) != 0 ? -EEXIST : -EACCES;
    return CreateDirectoryW(p.wide, NULL) ? 0 : sftp_fs_windows_fail(arg, GetLastError());
}

/* Returns 0 or an error of Windows. */
static DWORD rename_as_posix(HANDLE handle, const wchar_t *to, bool replace)
{
    size_t units = wcslen(to);
    struct rename_info *info = calloc(1, sizeof *info);
    if (info == NULL)
        return ERROR_NOT_ENOUGH_MEMORY;
    info->flags = RENAME_POSIX | (replace ? RENAME_REPLACE | RENAME_READ_ONLY_TOO : 0);
    info->bytes = (DWORD)(units * sizeof *to);
    wmemcpy(info->name, to, units + 1);
    DWORD size = (DWORD)(offsetof(struct rename_info, name) + (units + 1) * sizeof *to);
    DWORD error = SetFileInformationByHandle(handle, INFO_RENAME_EX, info, size) ? 0 : GetLastError();
    free(info);
    return error;
}

/* Without POSIX's way. Returns 0 or an error of Windows. */
static DWORD rename_plainly(const wchar_t *from, const wchar_t *to, bool replace)
{
    const DWORD flags = replace ? MOVEFILE_REPLACE_EXISTING : 0;
    if (MoveFileExW(from, to, flags))
        return 0;
    DWORD error = GetLastError(), there = GetFileAttributesW(to);
    if (!replace || error != ERROR_ACCESS_DENIED || there == INVALID_FILE_ATTRIBUTES ||
        (there & FILE_ATTRIBUTE_READONLY) == 0 || (there & FILE_ATTRIBUTE_DIRECTORY) != 0)
        return error;
    /* What may not be written is replaced all the same. */
    (void)SetFileAttributesW(to, there & ~(DWORD)FILE_ATTRIBUTE_READONLY);
    if (MoveFileExW(from, to, flags))
        return 0;
    (void)SetFileAttributesW(to, there);
    return error;
}

/* A folder takes the place of an empty one, as on POSIX. Returns 0 or an error of Windows. */
static DWORD rename_over_folder(const struct sftp_fs_windows_path *from,
                                const struct sftp_fs_windows_path *to, bool from_is_folder)
{
    DWORD there = GetFileAttributesW(to->wide);
    if (there == INVALID_FILE_ATTRIBUTES || (there & FILE_ATTRIBUTE_REPARSE_POINT) != 0 || !from_is_folder ||
        (there & FILE_ATTRIBUTE_DIRECTORY) == 0)
        return ERROR_ACCESS_DENIED;
    if (!RemoveDirectoryW(to->wide))
        return GetLastError();
    if (MoveFileExW(from->wide, to->wide, 0))
        return 0;
    DWORD error = GetLastError();
    (void)CreateDirectoryW(to->wide, NULL);
    return error;
}

static int rename_open(struct sftp_fs_windows *fs, HANDLE handle, const struct sftp_fs_windows_path *from,
                       const struct sftp_fs_windows_path *to, bool replace)
{
    DWORD error = rename_as_posix(handle, to->wide, replace);
    bool folder = (attributes_of(handle) & FILE_ATTRIBUTE_DIRECTORY) != 0;

    if (is_unknown(error))
        error = rename_plainly(from->wide, to->wide, replace);
    if (error == ERROR_ACCESS_DENIED && replace) {
        DWORD there = GetFileAttributesW(to->wide);
        bool over_folder = there != INVALID_FILE_ATTRIBUTES && (there & FILE_ATTRIBUTE_DIRECTORY) != 0;
        if (over_folder && !folder)
            return -EISDIR;
        error = rename_over_folder(from, to, folder);
    }
    return error == 0 ? 0 : sftp_fs_windows_fail(fs, error);
}

int sftp_fs_windows_rename(void *arg, const char *from, const char *to, bool replace)
{
    struct sftp_fs_windows_path a, b;
    HANDLE handle = NULL;
    int r = sftp_fs_windows_path(arg, from, SFTP_FS_WINDOWS_LOOK, &a);

    if (r == 0)
        r = sftp_fs_windows_path(arg, to, SFTP_FS_WINDOWS_MAKE, &b);
    if (r == 0 && (a.names == 0 || b.names == 0))
        r = -EBUSY;
    if (r == 0)
        r = sftp_fs_windows_open(arg, a.wide, DELETE | FILE_READ_ATTRIBUTES | SYNCHRONIZE, false, &handle);
    if (r != 0)
        return r;
    r = rename_open(arg, handle, &a, &b, replace);
    CloseHandle(handle);
    return r;
}

int sftp_fs_windows_hardlink(void *arg, const char *from, const char *to)
{
    struct sftp_fs_windows_path a, b;
    int r = sftp_fs_windows_path(arg, from, SFTP_FS_WINDOWS_LOOK, &a);

    if (r == 0)
        r = sftp_fs_windows_path(arg, to, SFTP_FS_WINDOWS_MAKE, &b);
    if (r == 0 && (a.names == 0 || b.names == 0))
        r = -EPERM;
    if (r != 0)
        return r;
    return CreateHardLinkW(b.wide, a.wide, NULL) ? 0 : sftp_fs_windows_fail(arg, GetLastError());
}
