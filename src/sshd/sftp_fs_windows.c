/* The machine's files for the SFTP server, by Windows' own calls with the rights of the process. Owns open files;
 * decides nothing: who may do what is the system's to say. */
#include "sshd/sftp_fs_windows.h"

#include <errno.h>
#include <stdlib.h>

/* Others may do with the file what they like meanwhile, as everywhere else. */
#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

static OVERLAPPED at_offset(uint64_t offset)
{
    return (OVERLAPPED){.Offset = (DWORD)offset, .OffsetHigh = (DWORD)(offset >> 32)};
}

static DWORD disposition_of(unsigned flags)
{
    if ((flags & SFTP_FS_CREATE) == 0)
        return OPEN_EXISTING;
    return (flags & SFTP_FS_EXCLUSIVE) != 0 ? CREATE_NEW : OPEN_ALWAYS;
}

static HANDLE create(const wchar_t *wide, DWORD access, unsigned flags, uint32_t mode)
{
    DWORD how = SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION;
    DWORD disposition = disposition_of(flags);
    /* A new file that nobody may write can be written by whoever made it, as on POSIX. */
    if (disposition != OPEN_EXISTING)
        how |= (mode & 0200) != 0 ? FILE_ATTRIBUTE_NORMAL : FILE_ATTRIBUTE_READONLY;
    /* A link is something that exists, wherever it leads. */
    if (disposition == CREATE_NEW)
        how |= FILE_FLAG_OPEN_REPARSE_POINT;
    return CreateFileW(wide, access, SHARE_ALL, NULL, disposition, how, NULL);
}

static HANDLE open_with_flags(const wchar_t *wide, unsigned flags, uint32_t mode)
{
    DWORD access = 0;
    if ((flags & SFTP_FS_WRITE) != 0)
        access |= FILE_GENERIC_WRITE;
    if ((flags & SFTP_FS_READ) != 0 || (flags & SFTP_FS_WRITE) == 0)
        access |= FILE_GENERIC_READ;
    if ((flags & SFTP_FS_TRUNCATE) != 0)
        access |= FILE_WRITE_DATA;
    HANDLE handle = create(wide, access, flags, mode);
    /* Who may only add to a file may do that. */
    if (handle == INVALID_HANDLE_VALUE && GetLastError() == ERROR_ACCESS_DENIED &&
        (flags & SFTP_FS_APPEND) != 0 && (flags & SFTP_FS_TRUNCATE) == 0)
        handle = create(wide, access & ~(DWORD)FILE_WRITE_DATA, flags, mode);
    return handle;
}

static bool is_folder(const wchar_t *wide)
{
    DWORD attributes = GetFileAttributesW(wide);
    return attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
}

static int open_checked(struct sftp_fs_windows *fs, const struct sftp_fs_windows_path *p, unsigned flags,
                        uint32_t mode, HANDLE *ret_handle)
{
    HANDLE handle = open_with_flags(p->wide, flags, mode);
    DWORD error = GetLastError();
    int r = 0;

    if (handle == INVALID_HANDLE_VALUE)
        return error == ERROR_ACCESS_DENIED && is_folder(p->wide) ? -EISDIR : sftp_fs_windows_fail(fs, error);
    if (GetFileType(handle) != FILE_TYPE_DISK)
        r = sftp_fs_windows_refuse(fs, -EINVAL, "That is no file: it leads to a pipe or a device");
    else if ((flags & SFTP_FS_TRUNCATE) != 0 &&
             (disposition_of(flags) == OPEN_EXISTING || error == ERROR_ALREADY_EXISTS))
        r = sftp_fs_windows_resize(fs, handle, 0);
    if (r != 0) {
        CloseHandle(handle);
        return r;
    }
    *ret_handle = handle;
    return 0;
}

static int open_file(void *arg, const char *path, unsigned flags, uint32_t mode,
                     struct sftp_fs_file **ret_file)
{
    struct sftp_fs_windows_path p;
    int r = sftp_fs_windows_path(
        arg, path, (flags & SFTP_FS_CREATE) != 0 ? SFTP_FS_WINDOWS_MAKE : SFTP_FS_WINDOWS_LOOK, &p);
    if (r == 0 && (p.names == 0 || p.folder))
        r = -EISDIR;
    if (r != 0)
        return r;
    struct sftp_fs_file *file = calloc(1, sizeof *file);
    wchar_t *wide = _wcsdup(p.wide);
    r = file == NULL || wide == NULL ? -ENOMEM : open_checked(arg, &p, flags, mode, &file->handle);
    if (r != 0) {
        free(wide);
        free(file);
        return r;
    }
    file->write = (flags & SFTP_FS_WRITE) != 0;
    file->append = (flags & SFTP_FS_APPEND) != 0;
    file->wide = wide;
    *ret_file = file;
    return 0;
}

static int close_file(void *arg, struct sftp_fs_file *file)
{
    int r = CloseHandle(file->handle) ? 0 : sftp_fs_windows_fail(arg, GetLastError());
    free(file->wide);
    free(file);
    return r;
}

static long read_file(void *arg, struct sftp_fs_file *file, void *data, size_t n, uint64_t offset)
{
    OVERLAPPED at = at_offset(offset);
    DWORD got = 0;
    if (offset > INT64_MAX)
        return -EINVAL;
    if (n == 0)
        return 0;
    if (ReadFile(file->handle, data, (DWORD)n, &got, &at))
        return (long)got;
    DWORD error = GetLastError();
    return error == ERROR_HANDLE_EOF ? 0 : sftp_fs_windows_fail(arg, error);
}

static int write_file(void *arg, struct sftp_fs_file *file, const void *data, size_t n, uint64_t offset)
{
    const uint8_t *from = data;
    if (!file->write)
        return -EBADF;
    if (!file->append && offset > INT64_MAX)
        return -EINVAL;
    while (n > 0) {
        /* The largest number of all: at the end, wherever that is by then. */
        OVERLAPPED at = at_offset(file->append ? UINT64_MAX : offset);
        DWORD put = 0;
        if (!WriteFile(file->handle, from, n > INT32_MAX ? INT32_MAX : (DWORD)n, &put, &at))
            return sftp_fs_windows_fail(arg, GetLastError());
        if (put == 0)
            return -EIO;
        from += put;
        n -= put;
        offset += put;
    }
    return 0;
}

static int fsync_file(void *arg, struct sftp_fs_file *file)
{
    HANDLE handle = NULL;
    int r = file->write ? 0 : sftp_fs_windows_reopen(arg, file, FILE_GENERIC_WRITE, &handle);
    if (r == 0 && !FlushFileBuffers(file->write ? file->handle : handle))
        r = sftp_fs_windows_fail(arg, GetLastError());
    if (handle != NULL)
        CloseHandle(handle);
    return r;
}

int sftp_fs_new(void **ret_arg)
{
    *ret_arg = calloc(1, sizeof(struct sftp_fs_windows));
    return *ret_arg == NULL ? -ENOMEM : 0;
}

void sftp_fs_free(void *arg)
{
    free(arg);
}

const struct sftp_fs sftp_fs_native = {
    .open = open_file,
    .close = close_file,
    .read = read_file,
    .write = write_file,
    .fsync = fsync_file,
    .fstat = sftp_fs_windows_fstat,
    .fsetstat = sftp_fs_windows_fsetstat,
    .fstatvfs = sftp_fs_windows_fstatvfs,
    .stat = sftp_fs_windows_stat,
    .setstat = sftp_fs_windows_setstat,
    .statvfs = sftp_fs_windows_statvfs,
    .opendir = sftp_fs_windows_opendir,
    .closedir = sftp_fs_windows_closedir,
    .readdir = sftp_fs_windows_readdir,
    .mkdir = sftp_fs_windows_mkdir,
    .rmdir = sftp_fs_windows_rmdir,
    .remove = sftp_fs_windows_remove,
    .rename = sftp_fs_windows_rename,
    .hardlink = sftp_fs_windows_hardlink,
    .symlink = sftp_fs_windows_symlink,
    .readlink = sftp_fs_windows_readlink,
    .realpath = sftp_fs_windows_realpath,
    .home = sftp_fs_windows_home,
    .user_name = sftp_fs_windows_user_name,
    .group_name = sftp_fs_windows_group_name,
    .words = sftp_fs_windows_words,
};
