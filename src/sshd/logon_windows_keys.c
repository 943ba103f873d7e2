/* Authorized keys on Windows: which files count for an account, and reading them safely.
 *
 * A service reads them with all rights, out of folders in which the account can do what it likes: so below the
 * profile no link is followed, whatever is opened is looked at itself and not by its name, and it must belong to the
 * account. Nor below ProgramData, where anybody may make a folder that is not there. Decides by the files alone; verifies no signature. */
#include "sshd/logon_windows_private.h"

#include "base/acl_windows.h"
#include "base/buf.h"
#include "base/fs.h"
#include "sshd/keyfiles.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <winternl.h>

#define READ_STEP 65536u
#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
#define READ_RIGHTS (FILE_READ_DATA | FILE_READ_ATTRIBUTES | READ_CONTROL | SYNCHRONIZE)
#define PATH_ROOM 32768u
#define ADMINISTRATORS_FILE "ssh\\administrators_authorized_keys"

/* --- opening --- */

static int refuse(struct errmsg *err, const char *path, DWORD error)
{
    char words[256];
    int code = error == ERROR_FILE_NOT_FOUND || error == ERROR_PATH_NOT_FOUND ? -ENOENT : -EACCES;
    win_words(error, words, sizeof words);
    return errmsg_set(err, code, "%.300s: %s", path, words);
}

/* Whatever has another meaning than its bytes: links, junctions, what is in a cloud. */
static bool is_reparse_point(HANDLE file)
{
    FILE_BASIC_INFO info;
    return !GetFileInformationByHandleEx(file, FileBasicInfo, &info, sizeof info) ||
           (info.FileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0;
}

/* One name of n characters in an open folder, as openat(O_NOFOLLOW). Returns 0 or Windows' error. */
static DWORD open_at(HANDLE folder, const wchar_t *name, size_t n, bool last, HANDLE *ret_file)
{
    UNICODE_STRING text = {(USHORT)(n * sizeof *name), (USHORT)(n * sizeof *name),
                           (wchar_t *)(uintptr_t)name};
    OBJECT_ATTRIBUTES object;
    IO_STATUS_BLOCK io;
    InitializeObjectAttributes(&object, &text, OBJ_CASE_INSENSITIVE, folder, NULL);
    NTSTATUS status = NtOpenFile(
        ret_file, last ? READ_RIGHTS : (ACCESS_MASK)(FILE_TRAVERSE | FILE_READ_ATTRIBUTES | SYNCHRONIZE),
        &object, &io, SHARE_ALL,
        FILE_OPEN_REPARSE_POINT | FILE_SYNCHRONOUS_IO_NONALERT |
            (last ? FILE_NON_DIRECTORY_FILE : FILE_DIRECTORY_FILE));
    return status >= 0 ? ERROR_SUCCESS : RtlNtStatusToDosError(status);
}

/* From the profile folder on, name by name. rest has no dots and no empty names: it has been through
 * GetFullPathNameW. */
static int open_inside(const wchar_t *home, const wchar_t *rest, const char *path, HANDLE *ret_file,
                       struct errmsg *err)
{
    HANDLE at = CreateFileW(home, FILE_TRAVERSE | FILE_READ_ATTRIBUTES | SYNCHRONIZE, SHARE_ALL, NULL,
                            OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT, NULL);
    if (at == INVALID_HANDLE_VALUE)
        return refuse(err, path, GetLastError());
    for (;;) {
        size_t n = wcscspn(rest, L"\\");
        bool last = rest[n] == L'\0';
        HANDLE next = NULL;
        if (is_reparse_point(at)) {
            CloseHandle(at);
            break;
        }
        if (n == 0) { /* behind the last name */
            *ret_file = at;
            return 0;
        }
        DWORD error = open_at(at, rest, n, last, &next);
        CloseHandle(at);
        if (error != ERROR_SUCCESS)
            return refuse(err, path, error);
        at = next;
        rest += last ? n : n + 1;
    }
    return errmsg_set(
        err, -EACCES,
        "%.300s: there is a link or a junction on the way to it, and a service does not follow what "
        "an account made",
        path);
}

/* A full path of ours in UTF-16, without \\?\; devices are refused. */
static int full_path(const char *path, wchar_t **ret_full)
{
    wchar_t *wide = NULL, *full = NULL;
    int rc = win_utf16(path, &wide);
    if (rc < 0)
        return rc;
    full = calloc(PATH_ROOM, sizeof *full);
    DWORD n = full != NULL ? GetFullPathNameW(wide, PATH_ROOM, full, NULL) : 0;
    if (full == NULL)
        rc = -ENOMEM;
    else if (n == 0 || n >= PATH_ROOM || wcsncmp(full, L"\\\\.\\", 4) == 0 ||
             wcsncmp(full, L"\\\\?\\", 4) == 0 || full[n - 1] == L'\\' ||
             (wcslen(full) > 2 && wcschr(full + 2, L':') != NULL))
        rc = -EINVAL; /* the last: a stream in a file */
    free(wide);
    if (rc < 0) {
        free(full);
        return rc;
    }
    *ret_full = full;
    return 0;
}

/* What of full is behind home; NULL when it is not in it. */
static const wchar_t *behind(const wchar_t *full, const wchar_t *home)
{
    size_t n = home != NULL ? wcslen(home) : 0;
    bool inside = n > 0 && wcslen(full) > n + 1 && full[n] == L'\\' &&
                  CompareStringOrdinal(full, (int)n, home, (int)n, TRUE) == CSTR_EQUAL;
    return inside ? full + n + 1 : NULL;
}

/* top: as in read_file. */
static int open_file(const char *path, const wchar_t *top, HANDLE *ret_file, struct errmsg *err)
{
    wchar_t *full = NULL, *wide = NULL;
    HANDLE file;
    int rc = full_path(path, &full);
    if (rc < 0)
        return errmsg_set(err, -EACCES, "authorized-keys: %.300s is not the path of a file", path);
    const wchar_t *rest = accounts_service() ? behind(full, top) : NULL;
    if (rest != NULL) {
        rc = open_inside(top, rest, path, ret_file, err);
        goto out;
    }
    rc = win_path(path, &wide);
    if (rc < 0) {
        rc = errmsg_set(err, -EACCES, "%.300s: %s", path, strerror(-rc));
        goto out;
    }
    /* Whoever serves what a link leads to does not become this process. */
    file = CreateFileW(wide, READ_RIGHTS, SHARE_ALL, NULL, OPEN_EXISTING,
                       SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, NULL);
    if (file == INVALID_HANDLE_VALUE)
        rc = refuse(err, path, GetLastError());
    else
        *ret_file = file;
out:
    free(full);
    free(wide);
    return rc;
}

/* --- reading --- */

static int read_all(HANDLE file, struct buf *out)
{
    for (;;) {
        uint8_t *at = NULL;
        DWORD n = 0;
        size_t want = buf_room(out) < READ_STEP ? buf_room(out) : READ_STEP;
        if (want == 0)
            return -EFBIG;
        int rc = buf_reserve(out, want, &at);
        if (rc < 0)
            return rc;
        if (!ReadFile(file, at, (DWORD)want, &n, NULL))
            return GetLastError() == ERROR_HANDLE_EOF ? 0 : win_errno(GetLastError());
        if (n == 0)
            return 0;
        buf_commit(out, n);
    }
}

/* PowerShell's > writes UTF-16, and Notepad a mark before UTF-8. */
static int check_encoding(struct buf *text, const char *path, struct errmsg *err)
{
    const uint8_t *data = buf_data(text);
    size_t n = buf_len(text);
    if (n >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0)
        buf_consume(text, 3);
    if (n >= 2 && (memcmp(data, "\xFF\xFE", 2) == 0 || memcmp(data, "\xFE\xFF", 2) == 0))
        return errmsg_set(err, -EACCES,
                          "%.300s is in UTF-16: save it in UTF-8 (PowerShell: Set-Content -Encoding ascii)",
                          path);
    return 0;
}

/* Whoever wrote the file decides who gets in: it is looked at before it is believed. top: the folder below which a
 * service follows no link: the profile (NULL: there is none), or ProgramData for the administrators' file, which
 * nobody but the system may write. */
static int read_file(const struct logon_question *q, const char *path, const wchar_t *top, struct buf *out,
                     struct errmsg *err)
{
    HANDLE file = NULL;
    int rc = open_file(path, top, &file, err);
    if (rc < 0)
        return rc;
    if (GetFileType(file) != FILE_TYPE_DISK)
        rc = errmsg_set(err, -EACCES, "%.300s is not a regular file", path);
    if (rc == 0 && q->options->strict_modes)
        rc = acl_check_way(file, q->administrator ? NULL : top, q->administrator ? NULL : q->account->sid,
                           err);
    if (rc == 0) {
        rc = read_all(file, out);
        if (rc < 0)
            rc = keyfiles_unread(rc, path, err);
    }
    CloseHandle(file);
    return rc == 0 ? check_encoding(out, path, err) : rc;
}

static int try_file(const struct logon_question *q, const char *path, const wchar_t *top,
                    struct authkeys_rights *ret_rights, struct errmsg *err)
{
    struct buf text;
    buf_init(&text, AUTHKEYS_TEXT_MAX + 1);
    int rc = read_file(q, path, top, &text, err);
    if (rc == -ENOENT && q->administrator)
        errmsg_set(err, rc, "%.100s is an administrator, and %.300s is not there", q->account->name, path);
    if (rc == 0)
        rc = keyfiles_judge(&text, path, q->key, q->ip, ret_rights, err);
    buf_release(&text);
    return rc;
}

/* --- which files --- */

/* In place: absolute, with backslashes, without dots. */
static int tidy(char path[FS_PATH_MAX])
{
    wchar_t *full = NULL;
    int rc = full_path(path, &full);
    if (rc == 0)
        rc = win_utf8_into(full, path, FS_PATH_MAX);
    free(full);
    return rc;
}

/* One of authorized-keys: what has neither a drive nor a machine is in the profile. */
static int expand(const char *word, size_t n, const char *home, const char *name, char path[FS_PATH_MAX])
{
    struct buf out;
    buf_init(&out, FS_PATH_MAX - 1);
    int rc = keyfiles_expand(word, n, home, name, &out);
    const char *text = rc == 0 ? buf_str(&out) : NULL;
    if (rc == 0 && text == NULL)
        rc = -ENOMEM;
    if (rc == 0 && fs_absolute(text))
        memcpy(path, text, strlen(text) + 1); /* out's maximum is that it fits */
    else if (rc == 0)
        rc = home != NULL ? fs_join(path, FS_PATH_MAX, home, text) : -ENOENT;
    if (rc == 0)
        rc = tidy(path);
    buf_release(&out);
    return rc;
}

struct search {
    const struct logon_question *q;
    const wchar_t *home; /* NULL: there is none */
};

/* keyfiles_try_fn's; arg: struct search. */
static int try_word(void *arg, const char *word, size_t n, struct authkeys_rights *ret_rights,
                    struct errmsg *err)
{
    const struct search *search = arg;
    const struct logon_question *q = search->q;
    char path[FS_PATH_MAX], *home_text = NULL;
    int rc = search->home != NULL ? win_utf8(search->home, &home_text) : 0;
    if (rc == 0)
        rc = expand(word, n, home_text, q->account->name, path);
    free(home_text);
    if (rc == -ENOENT)
        return errmsg_set(err, rc, "%s has no profile folder yet", q->account->name);
    if (rc < 0)
        return errmsg_set(err, -EACCES,
                          "authorized-keys: %.*s is not the path of a file, or has a %% that means nothing",
                          n < 200 ? (int)n : 200, word);
    return try_file(q, path, search->home, ret_rights, err);
}

static int try_administrators(const struct logon_question *q, struct authkeys_rights *ret_rights,
                              struct errmsg *err)
{
    char path[FS_PATH_MAX], *data = win_env("ProgramData");
    wchar_t *top = NULL;
    if (data == NULL || !fs_absolute(data) || strlen(data) > FS_PATH_MAX - sizeof ADMINISTRATORS_FILE - 1) {
        free(data);
        return errmsg_set(err, -EACCES, "the variable ProgramData does not name a folder");
    }
    int n = snprintf(path, sizeof path, "%s\\" ADMINISTRATORS_FILE, data);
    int rc = n < 0 ? -ENOMEM : full_path(data, &top);
    free(data);
    if (rc < 0)
        return errmsg_set(err, -EACCES, "the variable ProgramData does not name a folder");
    rc = try_file(q, path, top, ret_rights, err);
    free(top);
    return rc;
}

int logon_keys_find(const struct logon_question *q, struct authkeys_rights *ret_rights, struct errmsg *err)
{
    wchar_t *home = NULL;
    if (q->administrator)
        return try_administrators(q, ret_rights, err);
    int rc = accounts_home(q->account, NULL, &home, err);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    struct search search = {.q = q, .home = rc == 0 ? home : NULL};
    rc = keyfiles_each(q->options->authorized_keys, try_word, &search, ret_rights, err);
    free(home);
    return rc;
}
