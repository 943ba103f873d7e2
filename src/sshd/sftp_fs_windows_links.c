/* Symbolic links and junctions: making the ones, reading both. Owns no handle that it does not close. */
#include "sshd/sftp_fs_windows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <winioctl.h>

#define REPARSE_MAX (16u * 1024)
#define LINK_RELATIVE 1u /* the flag of a symbolic link */

/* What a reparse point begins with, and what a link has then. */
struct reparse_head {
    uint32_t tag;
    uint16_t bytes, reserved;
};
struct reparse_names {
    uint16_t meant_at, meant_bytes; /* the name that counts */
    uint16_t shown_at, shown_bytes; /* what is to be shown of it; may be empty */
};

/* The name that counts of a link. Returns false when data is none. */
static bool name_of(const void *data, size_t n, const wchar_t **ret_name, size_t *ret_units,
                    bool *ret_relative)
{
    const uint8_t *bytes = data;
    struct reparse_head head;
    struct reparse_names names;
    uint32_t flags = 0;
    size_t at = sizeof head + sizeof names;

    if (n < at)
        return false;
    memcpy(&head, bytes, sizeof head);
    memcpy(&names, bytes + sizeof head, sizeof names);
    if (head.tag == (uint32_t)IO_REPARSE_TAG_SYMLINK) {
        if (n < at + sizeof flags)
            return false;
        memcpy(&flags, bytes + at, sizeof flags);
        at += sizeof flags;
    } else if (head.tag != (uint32_t)IO_REPARSE_TAG_MOUNT_POINT) {
        return false;
    }
    if (names.meant_at % 2 != 0 || names.meant_bytes % 2 != 0 ||
        (size_t)names.meant_at + names.meant_bytes > n - at)
        return false;
    *ret_name = (const wchar_t *)(const void *)(bytes + at + names.meant_at);
    *ret_units = names.meant_bytes / 2;
    *ret_relative = (flags & LINK_RELATIVE) != 0;
    return true;
}

/* \??\UNC\server\share\… as //server/share/…: shown, though it is not served. */
static int share_of(const wchar_t *name, size_t units, char out[static SFTP_FS_PATH_MAX])
{
    static const wchar_t prefix[] = L"\\??\\UNC\\";
    const size_t skip = wcslen(prefix);
    if (units <= skip || _wcsnicmp(name, prefix, skip) != 0)
        return -EINVAL;
    memcpy(out, "//", 2);
    long k = sftp_fs_windows_to_text(name + skip, units - skip, out + 2, SFTP_FS_PATH_MAX - 2);
    return k < 0 ? (int)k : 0;
}

int sftp_fs_windows_link_target(const void *data, size_t n, char drive, char out[static SFTP_FS_PATH_MAX])
{
    const wchar_t *name = NULL;
    size_t units = 0;
    bool relative = false;

    if (!name_of(data, n, &name, &units, &relative) || units == 0)
        return -EINVAL;
    if (!relative) {
        int r = sftp_fs_windows_shown(name, units, out);
        if (r != -EINVAL)
            return r;
        r = share_of(name, units, out);
        if (r != 0)
            return r;
    } else {
        size_t at = 0;
        if (name[0] == L'\\') {
            memcpy(out, (const char[]){'/', drive, ':'}, 3);
            at = 3;
        }
        long k = sftp_fs_windows_to_text(name, units, out + at, SFTP_FS_PATH_MAX - at);
        if (k < 0)
            return (int)k;
    }
    for (char *at = out; *at != '\0'; at++)
        *at = *at == '\\' ? '/' : *at;
    return 0;
}

int sftp_fs_windows_readlink(void *arg, const char *path, char out[static SFTP_FS_PATH_MAX])
{
    struct sftp_fs_windows_path p;
    HANDLE handle = NULL;
    DWORD n = 0;
    uint64_t data[REPARSE_MAX / sizeof(uint64_t)]; /* aligned for what is in it */
    int r = sftp_fs_windows_path(arg, path, SFTP_FS_WINDOWS_LOOK, &p);

    if (r == 0 && p.names == 0)
        r = -EINVAL;
    if (r == 0)
        r = sftp_fs_windows_open(arg, p.wide, FILE_READ_ATTRIBUTES, false, &handle);
    if (r != 0)
        return r;
    if (!DeviceIoControl(handle, FSCTL_GET_REPARSE_POINT, NULL, 0, data, sizeof data, &n, NULL)) {
        DWORD error = GetLastError();
        r = error == ERROR_NOT_A_REPARSE_POINT || error == ERROR_NOT_SUPPORTED ||
                    error == ERROR_INVALID_FUNCTION
                ? sftp_fs_windows_refuse(arg, -EINVAL, "That is no link")
                : sftp_fs_windows_fail(arg, error);
    } else {
        r = sftp_fs_windows_link_target(data, n, p.text[1], out);
        if (r == -EINVAL)
            r = sftp_fs_windows_refuse(arg, -EINVAL, "That is no link, or one to what has no drive");
    }
    CloseHandle(handle);
    return r;
}

/* A target from where the link is: what leads up stays, and the rest must be names. */
static int relative_target(struct sftp_fs_windows *fs, const char *target, wchar_t *out, size_t size)
{
    size_t n = 0;
    for (const char *at = target; *at != '\0'; at += n) {
        const char *why = NULL;
        at += strspn(at, "/");
        n = strcspn(at, "/");
        bool dots = (n == 1 && at[0] == '.') || (n == 2 && memcmp(at, "..", 2) == 0);
        int r = n == 0 || dots ? 0 : sftp_fs_windows_check_name(at, n, &why);
        if (r == -EILSEQ)
            return sftp_fs_windows_refuse(fs, r, "\"%.*s\" %s", (int)(n > 300 ? 300 : n), at, why);
        if (r != 0)
            return r;
    }
    long k = sftp_fs_windows_to_wide(target, strlen(target), out, size);
    for (wchar_t *at = out; k > 0 && *at != L'\0'; at++)
        *at = *at == L'/' ? L'\\' : *at;
    while (k > 1 && out[k - 1] == L'\\')
        out[--k] = L'\0';
    return k < 0 ? (int)k : 0;
}

/* Where a link's target lies, for it to be looked at. Returns 0 or a negative errno value. */
static int find_target(struct sftp_fs_windows *fs, const char *target,
                       const struct sftp_fs_windows_path *link, struct sftp_fs_windows_path *out)
{
    char whole[SFTP_FS_PATH_MAX];
    if (target[0] == '/' || (target[0] != '\0' && target[1] == ':'))
        return sftp_fs_windows_path(fs, target, SFTP_FS_WINDOWS_MAKE, out);
    sftp_fs_windows_parent(link, out);
    int n = snprintf(whole, sizeof whole, "%s/%s", out->text, target);
    return n < 0 || (size_t)n >= sizeof whole ? -ENAMETOOLONG
                                              : sftp_fs_windows_path(fs, whole, SFTP_FS_WINDOWS_MAKE, out);
}

/* Makes the link, and looks: Wine says that it made one, and makes none. */
static int make_link(struct sftp_fs_windows *fs, const wchar_t *link, const wchar_t *target, bool folder)
{
    DWORD flags = SYMBOLIC_LINK_FLAG_ALLOW_UNPRIVILEGED_CREATE | (folder ? SYMBOLIC_LINK_FLAG_DIRECTORY : 0);
    if (!CreateSymbolicLinkW(link, target, flags)) {
        DWORD error = GetLastError();
        if (error == ERROR_PRIVILEGE_NOT_HELD)
            return sftp_fs_windows_refuse(
                fs, -EPERM,
                "Windows lets this account make no symbolic links: administrators may, and "
                "everybody where the developer mode is on");
        return sftp_fs_windows_fail(fs, error);
    }
    DWORD made = GetFileAttributesW(link);
    if (made == INVALID_FILE_ATTRIBUTES || (made & FILE_ATTRIBUTE_REPARSE_POINT) == 0)
        return sftp_fs_windows_refuse(fs, -ENOSYS, "This system makes no symbolic links");
    return 0;
}

int sftp_fs_windows_symlink(void *arg, const char *target, const char *link)
{
    struct sftp_fs_windows_path p, leads_to;
    wchar_t wide[SFTP_FS_PATH_MAX];
    int r = sftp_fs_windows_path(arg, link, SFTP_FS_WINDOWS_MAKE, &p);

    if (r == 0 && p.names == 0)
        r = -EEXIST;
    if (r == 0 && target[0] == '\0')
        r = -ENOENT;
    if (r == 0)
        r = find_target(arg, target, &p, &leads_to);
    if (r == 0 && leads_to.wide[0] == L'\0')
        r = sftp_fs_windows_refuse(arg, -EINVAL,
                                   "Windows has no folder of the drives that a link could lead to");
    if (r != 0)
        return r;
    bool absolute = target[0] == '/' || target[1] == ':';
    if (!absolute)
        r = relative_target(arg, target, wide, sizeof wide / sizeof wide[0]);
    if (r != 0)
        return r;
    DWORD there = GetFileAttributesW(leads_to.wide);
    bool folder =
        there == INVALID_FILE_ATTRIBUTES ? leads_to.folder : (there & FILE_ATTRIBUTE_DIRECTORY) != 0;
    /* The \\?\ would be shown by every program that looks at the link. */
    return make_link(arg, p.wide, absolute ? leads_to.wide + wcslen(L"\\\\?\\") : wide, folder);
}
