/* Attributes of files and folders: what Windows keeps, in POSIX's words. Owns no handle that it does not close. */
#include "sshd/sftp_fs_windows.h"

#include <errno.h>
#include <string.h>

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
#define TICKS_PER_SECOND 10000000u                 /* of a FILETIME */
#define TICKS_TO_1970 UINT64_C(116444736000000000) /* from 1601 */
#define MODE_WRITE 0222u

static uint32_t seconds_of(FILETIME time)
{
    uint64_t ticks = (uint64_t)time.dwHighDateTime << 32 | time.dwLowDateTime;
    if (ticks <= TICKS_TO_1970)
        return 0;
    uint64_t seconds = (ticks - TICKS_TO_1970) / TICKS_PER_SECOND;
    return seconds > UINT32_MAX ? UINT32_MAX : (uint32_t)seconds;
}

static FILETIME filetime_of(uint32_t seconds)
{
    uint64_t ticks = TICKS_TO_1970 + (uint64_t)seconds * TICKS_PER_SECOND;
    return (FILETIME){.dwLowDateTime = (DWORD)ticks, .dwHighDateTime = (DWORD)(ticks >> 32)};
}

bool sftp_fs_windows_is_link(const struct sftp_fs_windows_facts *facts)
{
    return (facts->attributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0 &&
           (facts->tag == (DWORD)IO_REPARSE_TAG_SYMLINK || facts->tag == (DWORD)IO_REPARSE_TAG_MOUNT_POINT);
}

static bool is_program(const wchar_t *name)
{
    static const wchar_t *const endings[] = {L".exe", L".com", L".bat", L".cmd"};
    size_t n = wcslen(name);
    for (size_t i = 0; n > 4 && i < sizeof endings / sizeof endings[0]; i++)
        if (_wcsicmp(name + n - 4, endings[i]) == 0)
            return true;
    return false;
}

struct sftp_fs_attrs sftp_fs_windows_attrs(const struct sftp_fs_windows_facts *facts, const wchar_t *name)
{
    struct sftp_fs_attrs attrs = {.has = SFTP_FS_SIZE | SFTP_FS_OWNER | SFTP_FS_MODE | SFTP_FS_TIMES,
                                  .atime = seconds_of(facts->atime),
                                  .mtime = seconds_of(facts->mtime)};
    if (sftp_fs_windows_is_link(facts)) {
        attrs.mode = SFTP_FS_LINK | 0777;
    } else if ((facts->attributes & FILE_ATTRIBUTE_DIRECTORY) != 0) {
        attrs.mode = SFTP_FS_FOLDER | 0755;
    } else {
        attrs.size = facts->size;
        attrs.mode = SFTP_FS_REGULAR | (is_program(name) ? 0755 : 0644);
        if ((facts->attributes & FILE_ATTRIBUTE_READONLY) != 0)
            attrs.mode &= ~MODE_WRITE;
    }
    return attrs;
}

int sftp_fs_windows_facts(struct sftp_fs_windows *fs, HANDLE handle, struct sftp_fs_windows_facts *ret_facts)
{
    BY_HANDLE_FILE_INFORMATION info;
    FILE_ATTRIBUTE_TAG_INFO tag = {0};

    if (!GetFileInformationByHandle(handle, &info))
        return sftp_fs_windows_fail(fs, GetLastError());
    if ((info.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0 &&
        !GetFileInformationByHandleEx(handle, FileAttributeTagInfo, &tag, sizeof tag))
        return sftp_fs_windows_fail(fs, GetLastError());
    *ret_facts =
        (struct sftp_fs_windows_facts){.attributes = info.dwFileAttributes,
                                       .tag = tag.ReparseTag,
                                       .size = (uint64_t)info.nFileSizeHigh << 32 | info.nFileSizeLow,
                                       .atime = info.ftLastAccessTime,
                                       .mtime = info.ftLastWriteTime};
    return 0;
}

int sftp_fs_windows_open(struct sftp_fs_windows *fs, const wchar_t *wide, DWORD access, bool follow,
                         HANDLE *ret_handle)
{
    /* Who serves what a link leads to does not become this user. */
    DWORD flags = FILE_FLAG_BACKUP_SEMANTICS | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION |
                  (follow ? 0 : FILE_FLAG_OPEN_REPARSE_POINT);
    HANDLE handle = CreateFileW(wide, access, SHARE_ALL, NULL, OPEN_EXISTING, flags, NULL);
    if (handle == INVALID_HANDLE_VALUE)
        return sftp_fs_windows_fail(fs, GetLastError());
    *ret_handle = handle;
    return 0;
}

int sftp_fs_windows_reopen(struct sftp_fs_windows *fs, const struct sftp_fs_file *file, DWORD access,
                           HANDLE *ret_handle)
{
    HANDLE handle = ReOpenFile(file->handle, access, SHARE_ALL, FILE_FLAG_BACKUP_SEMANTICS);
    if (handle == INVALID_HANDLE_VALUE)
        return sftp_fs_windows_fail(fs, GetLastError());
    *ret_handle = handle;
    return 0;
}

/* What cannot be opened even for that (the swap file, say) is still told by its folder. */
static int facts_by_folder(struct sftp_fs_windows *fs, const struct sftp_fs_windows_path *p, bool follow,
                           struct sftp_fs_windows_facts *ret_facts)
{
    WIN32_FIND_DATAW found;
    HANDLE search = p->names == 0 ? INVALID_HANDLE_VALUE : FindFirstFileW(p->wide, &found);
    if (search == INVALID_HANDLE_VALUE)
        return -EACCES;
    FindClose(search);
    *ret_facts =
        (struct sftp_fs_windows_facts){.attributes = found.dwFileAttributes,
                                       .tag = found.dwReserved0,
                                       .size = (uint64_t)found.nFileSizeHigh << 32 | found.nFileSizeLow,
                                       .atime = found.ftLastAccessTime,
                                       .mtime = found.ftLastWriteTime};
    if (follow && sftp_fs_windows_is_link(ret_facts))
        return -EACCES;
    fs->words[0] = '\0';
    return 0;
}

int sftp_fs_windows_stat(void *arg, const char *path, bool follow, struct sftp_fs_attrs *ret_attrs)
{
    struct sftp_fs_windows_path p;
    struct sftp_fs_windows_facts facts = {.attributes = FILE_ATTRIBUTE_DIRECTORY};
    HANDLE handle = NULL;
    int r = sftp_fs_windows_path(arg, path, SFTP_FS_WINDOWS_LOOK, &p);

    if (r != 0)
        return r;
    if (p.wide[0] != L'\0') {
        r = sftp_fs_windows_open(arg, p.wide, FILE_READ_ATTRIBUTES, follow || p.folder, &handle);
        if (r == 0) {
            r = sftp_fs_windows_facts(arg, handle, &facts);
            CloseHandle(handle);
        } else if (r != -ENOENT && facts_by_folder(arg, &p, follow || p.folder, &facts) == 0) {
            r = 0;
        }
    }
    if (r != 0)
        return r;
    if (p.folder && (facts.attributes & FILE_ATTRIBUTE_DIRECTORY) == 0)
        return -ENOTDIR;
    *ret_attrs = sftp_fs_windows_attrs(&facts, p.wide);
    return 0;
}

int sftp_fs_windows_fstat(void *arg, struct sftp_fs_file *file, struct sftp_fs_attrs *ret_attrs)
{
    struct sftp_fs_windows_facts facts = {0};
    int r = sftp_fs_windows_facts(arg, file->handle, &facts);
    if (r == 0)
        *ret_attrs = sftp_fs_windows_attrs(&facts, file->wide);
    return r;
}

int sftp_fs_windows_resize(struct sftp_fs_windows *fs, HANDLE handle, uint64_t size)
{
    FILE_END_OF_FILE_INFO end = {.EndOfFile.QuadPart = (LONGLONG)size};
    if (size > INT64_MAX)
        return -EINVAL;
    if (!SetFileInformationByHandle(handle, FileEndOfFileInfo, &end, sizeof end))
        return sftp_fs_windows_fail(fs, GetLastError());
    return 0;
}

/* Of POSIX's mode Windows knows one bit: whether a file may be written. On folders it has another meaning. */
static int set_mode(struct sftp_fs_windows *fs, HANDLE handle, uint32_t mode)
{
    FILE_BASIC_INFO info;
    if (!GetFileInformationByHandleEx(handle, FileBasicInfo, &info, sizeof info))
        return sftp_fs_windows_fail(fs, GetLastError());
    DWORD wanted = info.FileAttributes & ~(DWORD)FILE_ATTRIBUTE_READONLY;
    if ((mode & 0200) == 0)
        wanted |= FILE_ATTRIBUTE_READONLY;
    if ((info.FileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0 || wanted == info.FileAttributes)
        return 0;
    info = (FILE_BASIC_INFO){.FileAttributes = wanted == 0 ? FILE_ATTRIBUTE_NORMAL : wanted};
    if (!SetFileInformationByHandle(handle, FileBasicInfo, &info, sizeof info))
        return sftp_fs_windows_fail(fs, GetLastError());
    return 0;
}

/* Mode, times, owner; handle may change attributes. */
static int set_attrs(struct sftp_fs_windows *fs, HANDLE handle, const struct sftp_fs_attrs *attrs)
{
    int r = 0;
    if ((attrs->has & SFTP_FS_MODE) != 0)
        r = set_mode(fs, handle, attrs->mode);
    if ((attrs->has & SFTP_FS_TIMES) != 0) {
        FILETIME atime = filetime_of(attrs->atime), mtime = filetime_of(attrs->mtime);
        if (!SetFileTime(handle, NULL, &atime, &mtime))
            r = sftp_fs_windows_fail(fs, GetLastError());
    }
    /* Whoever sets what he was told changes nothing. */
    if ((attrs->has & SFTP_FS_OWNER) != 0 && (attrs->uid != 0 || attrs->gid != 0))
        r = sftp_fs_windows_refuse(fs, -EPERM,
                                   "The owners of files have no numbers on Windows, and are not set here");
    return r;
}

static int setstat_size(struct sftp_fs_windows *fs, const struct sftp_fs_windows_path *p, uint64_t size)
{
    HANDLE handle = NULL;
    DWORD attributes = GetFileAttributesW(p->wide);
    if (attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0)
        return -EISDIR;
    int r = sftp_fs_windows_open(fs, p->wide, FILE_WRITE_DATA | FILE_READ_ATTRIBUTES, true, &handle);
    if (r == 0) {
        r = sftp_fs_windows_resize(fs, handle, size);
        CloseHandle(handle);
    }
    return r;
}

int sftp_fs_windows_setstat(void *arg, const char *path, bool follow, const struct sftp_fs_attrs *attrs)
{
    struct sftp_fs_windows_path p;
    HANDLE handle = NULL;
    int r = sftp_fs_windows_path(arg, path, SFTP_FS_WINDOWS_LOOK, &p);

    if (r != 0)
        return r;
    if (p.wide[0] == L'\0')
        return sftp_fs_windows_refuse(arg, -EACCES, "The list of drives has no attributes that could be set");
    if ((attrs->has & SFTP_FS_SIZE) != 0)
        r = follow ? setstat_size(arg, &p, attrs->size) : -EINVAL;
    if ((attrs->has & ~(uint32_t)SFTP_FS_SIZE) == 0)
        return r;
    int opened =
        sftp_fs_windows_open(arg, p.wide, FILE_READ_ATTRIBUTES | FILE_WRITE_ATTRIBUTES, follow, &handle);
    if (opened != 0)
        return opened;
    int set = set_attrs(arg, handle, attrs);
    CloseHandle(handle);
    return set != 0 ? set : r;
}

int sftp_fs_windows_fsetstat(void *arg, struct sftp_fs_file *file, const struct sftp_fs_attrs *attrs)
{
    HANDLE handle = NULL;
    int r = 0;

    if ((attrs->has & SFTP_FS_SIZE) != 0)
        r = file->write ? sftp_fs_windows_resize(arg, file->handle, attrs->size) : -EINVAL;
    if ((attrs->has & ~(uint32_t)SFTP_FS_SIZE) == 0)
        return r;
    int opened = file->write ? 0
                             : sftp_fs_windows_reopen(arg, file, FILE_READ_ATTRIBUTES | FILE_WRITE_ATTRIBUTES,
                                                      &handle);
    if (opened != 0)
        return opened;
    int set = set_attrs(arg, file->write ? file->handle : handle, attrs);
    if (handle != NULL)
        CloseHandle(handle);
    return set != 0 ? set : r;
}
