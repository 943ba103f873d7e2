/* Files that must survive a power cut, and private folders. Owns nothing between calls. */
#include "base/fs.h"

#include "base/crypto.h"
#include "base/log.h"
#include "base/private_windows.h"
#include "base/win.h"
#include <aclapi.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_STEP 4096
#define MOVE_TRIES 20
#define MOVE_PAUSE_MS 25

static bool is_separator(char c)
{
    return c == '/' || c == '\\';
}

static int last_error(void)
{
    return win_errno(GetLastError());
}

/* The size is a hint only: any file may grow while it is read. */
static int read_all(HANDLE file, size_t hint, struct buf *out)
{
    for (;;) {
        uint8_t *at = NULL;
        uint8_t beyond;
        DWORD got = 0;
        size_t room = buf_room(out);
        size_t want = hint >= READ_STEP ? hint + 1 : READ_STEP;
        if (want > room)
            want = room;
        if (want > 0) {
            int r = buf_reserve(out, want, &at);
            if (r != 0)
                return r;
        }
        if (want > UINT32_MAX / 2)
            want = UINT32_MAX / 2;
        if (!ReadFile(file, want > 0 ? at : &beyond, want > 0 ? (DWORD)want : 1, &got, NULL))
            return last_error();
        if (got == 0)
            return 0;
        if (want == 0)
            return -EFBIG;
        buf_commit(out, got);
        hint = hint > got ? hint - got : 0;
    }
}

int fs_read(const char *path, struct buf *out)
{
    size_t before = buf_len(out);
    BY_HANDLE_FILE_INFORMATION info;
    wchar_t *wide = NULL;
    int r = win_path(path, &wide);
    if (r != 0)
        return r;
    /* A folder opens too, so that it can be told from what may not be read. */
    HANDLE file = CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                              NULL, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        r = last_error();
        free(wide);
        return r;
    }
    if (GetFileType(file) != FILE_TYPE_DISK)
        r = -EINVAL;
    else if (!GetFileInformationByHandle(file, &info))
        r = last_error();
    else if ((info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0)
        r = -EISDIR;
    else {
        uint64_t size = (uint64_t)info.nFileSizeHigh << 32 | info.nFileSizeLow;
        r = size > buf_room(out) ? -EFBIG : read_all(file, (size_t)size, out);
    }
    if (r != 0)
        buf_truncate(out, before);
    CloseHandle(file);
    free(wide);
    return r;
}

static int write_all(HANDLE file, const uint8_t *data, size_t n)
{
    while (n > 0) {
        DWORD put = 0;
        DWORD want = n > UINT32_MAX / 2 ? UINT32_MAX / 2 : (DWORD)n;
        if (!WriteFile(file, data, want, &put, NULL))
            return last_error();
        data += put;
        n -= put;
    }
    return 0;
}

/* NTFS writes names to its journal by itself; other file systems cannot sync a folder. What opens for writing is
 * flushed. */
int fs_sync_folder_of(const char *path)
{
    char folder[FS_PATH_MAX];
    size_t n = strlen(path);
    wchar_t *wide = NULL;
    while (n > 0 && !is_separator(path[n - 1]))
        n--;
    if (n >= sizeof folder)
        return -ENAMETOOLONG;
    memcpy(folder, path, n);
    folder[n] = '\0';
    int r = win_path(n == 0 ? "." : folder, &wide);
    if (r != 0)
        return r;
    HANDLE handle = CreateFileW(wide, GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                                NULL, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL);
    if (handle == INVALID_HANDLE_VALUE) {
        r = last_error();
        r = r == -EACCES || r == -EISDIR || r == -ENOTSUP ? 0 : r;
    } else {
        (void)FlushFileBuffers(handle);
        CloseHandle(handle);
    }
    free(wide);
    return r;
}

/* Virus scanners and indexers open what was just written, or the file to be replaced, for a moment. */
static int replace(const wchar_t *from, const wchar_t *to)
{
    for (unsigned i = 0;; i++) {
        if (MoveFileExW(from, to, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH))
            return 0;
        DWORD error = GetLastError();
        if (i == MOVE_TRIES || (error != ERROR_SHARING_VIOLATION && error != ERROR_ACCESS_DENIED))
            return win_errno(error);
        DWORD attributes = GetFileAttributesW(to);
        if (attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0)
            return -EISDIR;
        Sleep(MOVE_PAUSE_MS);
    }
}

/* A new file, whole and on the disk. */
static int write_new(const wchar_t *path, const void *data, size_t n, bool private)
{
    struct private_rights rights;
    int r = private ? private_init(&rights) : 0;
    if (r != 0)
        return r;
    HANDLE file = CreateFileW(path, GENERIC_WRITE, 0, private ? &rights.attributes : NULL, CREATE_NEW,
                              FILE_ATTRIBUTE_NORMAL, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        r = last_error();
    } else {
        r = write_all(file, data, n);
        if (r == 0 && !FlushFileBuffers(file))
            r = last_error();
        CloseHandle(file);
        if (r != 0)
            DeleteFileW(path);
    }
    if (private)
        private_release(&rights);
    return r;
}

int fs_write_atomic(const char *path, const void *data, size_t n, unsigned mode)
{
    char temporary[FS_PATH_MAX], hex[17];
    uint8_t random[8];
    wchar_t *from = NULL, *to = NULL;
    int r = crypto_random(random, sizeof random);
    if (r != 0)
        return r;
    crypto_hex_encode(random, sizeof random, hex, sizeof hex);
    int len = snprintf(temporary, sizeof temporary, "%s.tmp.%s", path, hex);
    if (len < 0 || (size_t)len >= sizeof temporary)
        return -ENAMETOOLONG;
    r = win_path(path, &to);
    if (r == 0)
        r = win_path(temporary, &from);
    if (r == 0)
        r = write_new(from, data, n, (mode & 077) == 0);
    if (r == 0) {
        r = replace(from, to);
        if (r != 0)
            DeleteFileW(from);
    }
    free(from);
    free(to);
    return r;
}

static int make_folder(const char *path, SECURITY_ATTRIBUTES *attributes)
{
    wchar_t *wide = NULL;
    int r = win_path(path, &wide);
    if (r != 0)
        return r;
    if (!CreateDirectoryW(wide, attributes)) {
        r = last_error();
        DWORD found = GetFileAttributesW(wide);
        if (found != INVALID_FILE_ATTRIBUTES)
            r = (found & FILE_ATTRIBUTE_DIRECTORY) != 0 ? 0 : -ENOTDIR;
    }
    free(wide);
    return r;
}

/* Drives, and the shares of other machines, cannot be made, and are found to be there. */
int fs_mkdir_private(const char *path)
{
    char part[FS_PATH_MAX];
    struct private_rights rights;
    size_t n = strlen(path);
    while (n > 1 && is_separator(path[n - 1]))
        n--;
    if (n == 0)
        return -ENOENT;
    if (n >= sizeof part)
        return -ENAMETOOLONG;
    memcpy(part, path, n);
    part[n] = '\0';
    size_t i = is_separator(part[0]) && is_separator(part[1]) ? 2 + strcspn(part + 2, "/\\") + 1 : 1;
    for (; i < n; i++) {
        if (!is_separator(part[i]) || is_separator(part[i - 1]) || part[i - 1] == ':')
            continue;
        char separator = part[i];
        part[i] = '\0';
        int r = make_folder(part, NULL);
        if (r != 0)
            return r;
        part[i] = separator;
    }
    int r = private_init(&rights);
    if (r != 0)
        return r;
    r = make_folder(part, &rights.attributes);
    private_release(&rights);
    if (r == 0) {
        struct errmsg err;
        r = private_check_folder(part, &err); /* it may have been there */
        if (r != 0)
            log_error("%s", err.text);
    }
    return r;
}

const char fs_private_advice[] =
    "let it belong to you or the Administrators, and take away all others' rights to it, as by icacls FILE "
    "/inheritance:r /grant:r SYSTEM:F Administrators:F \"%USERNAME%\":F";

int fs_check_private(const char *path)
{
    PSECURITY_DESCRIPTOR descriptor = NULL;
    wchar_t *wide = NULL;
    int r = win_path(path, &wide);
    if (r != 0)
        return r;
    DWORD error =
        GetNamedSecurityInfoW(wide, SE_FILE_OBJECT, OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
                              NULL, NULL, NULL, NULL, &descriptor);
    r = error != ERROR_SUCCESS ? win_errno(error) : private_judge(descriptor);
    LocalFree(descriptor);
    free(wide);
    return r;
}

bool fs_absolute(const char *path)
{
    bool drive = ((path[0] >= 'a' && path[0] <= 'z') || (path[0] >= 'A' && path[0] <= 'Z')) && path[1] == ':';
    return drive ? is_separator(path[2]) : is_separator(path[0]) && is_separator(path[1]);
}

int fs_join(char *out, size_t size, const char *dir, const char *name)
{
    size_t n = strlen(dir);
    const char *between = n > 0 && is_separator(dir[n - 1]) ? "" : "\\";
    int len = snprintf(out, size, "%s%s%s", dir, between, name);
    return len >= 0 && (size_t)len < size ? 0 : -ENAMETOOLONG;
}

int fs_sibling_program(const char *name, char *out, size_t size)
{
    wchar_t self[FS_PATH_MAX];
    char text[FS_PATH_MAX];
    DWORD n = GetModuleFileNameW(NULL, self, FS_PATH_MAX);
    if (n == 0 || n >= FS_PATH_MAX || win_utf8_into(self, text, sizeof text) != 0)
        return -ENAMETOOLONG;
    char *slash = strrchr(text, '\\');
    if (slash != NULL)
        slash[1] = '\0';
    int len = snprintf(out, size, "%s%s.exe", text, name);
    return len >= 0 && (size_t)len < size ? 0 : -ENAMETOOLONG;
}
