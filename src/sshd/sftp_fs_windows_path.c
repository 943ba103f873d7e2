/* The paths of clients, /C:/folder/file, and what Windows calls the same, \\?\C:\folder\file: absolute, without dots
 * and taken as it is, so that nothing else can be meant: no device, no stream of a file, no other machine, and no name
 * that Windows would change. Owns nothing; only looks. */
#include "sshd/sftp_fs_windows.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_UNITS 255 /* of UTF-16, in a name on every file system of Windows */
#define PREFIX L"\\\\?\\"
#define PREFIX_LEN 4

/* Is name (up to its first dot, blanks before that aside) one that stands for a device in every folder? */
static bool is_device(const char *name, size_t n)
{
    static const char *const devices[] = {"con", "prn", "aux", "nul", "conin$", "conout$"};
    static const char *const numbered[] = {"com", "lpt"};
    static const char *const digits[] = {"1", "2", "3", "4",      "5",      "6",
                                         "7", "8", "9", "\u00b9", "\u00b2", "\u00b3"};
    const char *dot = memchr(name, '.', n);
    size_t len = dot == NULL ? n : (size_t)(dot - name);

    while (len > 0 && name[len - 1] == ' ')
        len--;
    for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++)
        if (strlen(devices[i]) == len && _strnicmp(name, devices[i], len) == 0)
            return true;
    for (size_t i = 0; len > 3 && i < sizeof numbered / sizeof numbered[0]; i++)
        for (size_t k = 0; k < sizeof digits / sizeof digits[0]; k++)
            if (_strnicmp(name, numbered[i], 3) == 0 && strlen(digits[k]) == len - 3 &&
                memcmp(name + 3, digits[k], len - 3) == 0)
                return true;
    return false;
}

int sftp_fs_windows_check_name(const char *name, size_t n, const char **ret_why)
{
    wchar_t wide[NAME_UNITS + 3];
    const char *why = NULL;

    for (size_t i = 0; i < n && why == NULL; i++) {
        if ((unsigned char)name[i] < ' ')
            why = "has a control character, which Windows does not allow in a name";
        else if (name[i] == '\\')
            why = "has a backslash: folders are separated by slashes here, as in /C:/Users";
        else if (strchr("<>:\"|?*", name[i]) != NULL)
            why = "has one of < > : \" | ? *, which Windows does not allow in a name";
    }
    if (why == NULL && (name[n - 1] == '.' || name[n - 1] == ' '))
        why = "ends with a dot or a blank, which Windows would leave out";
    if (why == NULL && is_device(name, n))
        why = "is the name of a device of Windows";
    if (why == NULL) {
        long units = sftp_fs_windows_to_wide(name, n, wide, sizeof wide / sizeof wide[0]);
        if (units == -EILSEQ)
            why = "is not in UTF-8";
        else if (units < 0 || units > NAME_UNITS)
            return -ENAMETOOLONG;
    }
    *ret_why = why;
    return why == NULL ? 0 : -EILSEQ;
}

static bool is_drive(const char *name, size_t n)
{
    return n == 2 && name[1] == ':' && ((name[0] | 0x20) >= 'a' && (name[0] | 0x20) <= 'z');
}

int sftp_fs_windows_shown(const wchar_t *wide, size_t n, char out[static SFTP_FS_PATH_MAX])
{
    if (n >= PREFIX_LEN &&
        (wcsncmp(wide, PREFIX, PREFIX_LEN) == 0 || wcsncmp(wide, L"\\??\\", PREFIX_LEN) == 0)) {
        wide += PREFIX_LEN;
        n -= PREFIX_LEN;
    }
    if (n < 2 || wide[1] != L':' || (wide[0] | 0x20) < L'a' || (wide[0] | 0x20) > L'z' ||
        (n > 2 && wide[2] != L'\\'))
        return -EINVAL;
    out[0] = '/';
    long k = sftp_fs_windows_to_text(wide, n, out + 1, SFTP_FS_PATH_MAX - 1);
    if (k < 0)
        return (int)k;
    out[1] = (char)toupper((unsigned char)out[1]);
    for (char *at = out; *at != '\0'; at++)
        *at = *at == '\\' ? '/' : *at;
    if (k == 2)
        memcpy(out + 3, "/", 2);
    else if (k > 3 && out[k] == '/')
        out[k] = '\0';
    return 0;
}

/* Where relative paths begin: the process' folder; the list of drives when that is on none of them. */
static int begin_here(char out[static SFTP_FS_PATH_MAX])
{
    DWORD size = GetCurrentDirectoryW(0, NULL);
    wchar_t *wide = size == 0 ? NULL : malloc(((size_t)size + 1) * sizeof *wide);
    int r = size == 0 ? win_errno(GetLastError()) : wide == NULL ? -ENOMEM : 0;

    if (r == 0) {
        DWORD n = GetCurrentDirectoryW(size + 1, wide);
        r = n == 0 || n > size ? -EIO : sftp_fs_windows_shown(wide, n, out);
    }
    if (r == -EINVAL) {
        memcpy(out, "/", 2);
        r = 0;
    }
    free(wide);
    return r;
}

static void step_up(struct sftp_fs_windows_path *p)
{
    char *slash = strrchr(p->text, '/');
    if (p->names == 0) {
        memcpy(p->text, "/", 2);
        return;
    }
    /* The slash of "/C:/" stays. */
    slash[p->names == 1 ? 1 : 0] = '\0';
    p->names--;
}

/* At "/" only drives are. A drive further on begins anew: clients put the folder that they are in before what they take
 * for relative, as C:/Users, and no other name has a colon. */
static int step_into_drive(struct sftp_fs_windows *fs, struct sftp_fs_windows_path *p, const char *name,
                           size_t n, enum sftp_fs_windows_for what)
{
    if (!is_drive(name, n))
        return sftp_fs_windows_refuse(
            fs, what == SFTP_FS_WINDOWS_LOOK ? -ENOENT : -EACCES,
            "Only the drives of the machine are in /, such as /C:, and network shares have no path here");
    (void)snprintf(p->text, sizeof p->text, "/%c:/", toupper((unsigned char)name[0]));
    p->names = 0;
    return 0;
}

static int step_into(struct sftp_fs_windows *fs, struct sftp_fs_windows_path *p, const char *name, size_t n,
                     enum sftp_fs_windows_for what)
{
    size_t len = strlen(p->text);
    const char *why = NULL;

    if (len == 1 || is_drive(name, n))
        return step_into_drive(fs, p, name, n, what);
    int r = sftp_fs_windows_check_name(name, n, &why);
    if (r == -EILSEQ)
        return sftp_fs_windows_refuse(fs, what == SFTP_FS_WINDOWS_LOOK ? -ENOENT : -EILSEQ, "\"%.*s\" %s",
                                      (int)(n > 300 ? 300 : n), name, why);
    if (r != 0 || len + 1 + n >= sizeof p->text)
        return -ENAMETOOLONG;
    if (p->names > 0)
        p->text[len++] = '/';
    memcpy(p->text + len, name, n);
    p->text[len + n] = '\0';
    p->names++;
    return 0;
}

static int widen(struct sftp_fs_windows_path *p)
{
    if (p->text[1] == '\0') {
        p->wide[0] = L'\0';
        return 0;
    }
    wmemcpy(p->wide, PREFIX, PREFIX_LEN);
    long n = sftp_fs_windows_to_wide(p->text + 1, strlen(p->text + 1), p->wide + PREFIX_LEN,
                                     sizeof p->wide / sizeof p->wide[0] - PREFIX_LEN);
    for (wchar_t *at = p->wide; n > 0 && *at != L'\0'; at++)
        *at = *at == L'/' ? L'\\' : *at;
    return n < 0 ? (int)n : 0;
}

/* The text of a folder of this process, which begins with a drive or is "/". */
static void count_names(struct sftp_fs_windows_path *p)
{
    p->names = 0;
    if (strlen(p->text) <= strlen("/C:/"))
        return;
    for (const char *at = p->text + 1; *at != '\0'; at++)
        p->names += *at == '/';
}

int sftp_fs_windows_path(struct sftp_fs_windows *fs, const char *path, enum sftp_fs_windows_for what,
                         struct sftp_fs_windows_path *out)
{
    size_t n = strcspn(path, "/");
    int r = 0;

    fs->words[0] = '\0';
    memcpy(out->text, "/", 2);
    out->names = 0;
    out->folder = path[0] != '\0' && path[strlen(path) - 1] == '/';
    if (path[0] == '\0')
        return -ENOENT;
    if (n > 0 && !is_drive(path, n))
        r = begin_here(out->text);
    count_names(out);
    for (const char *at = path; r == 0 && *at != '\0'; at += n) {
        at += strspn(at, "/");
        n = strcspn(at, "/");
        if (n == 2 && memcmp(at, "..", 2) == 0)
            step_up(out);
        else if (n > 0 && !(n == 1 && at[0] == '.'))
            r = step_into(fs, out, at, n, what);
    }
    return r != 0 ? r : widen(out);
}

void sftp_fs_windows_parent(const struct sftp_fs_windows_path *path, struct sftp_fs_windows_path *out)
{
    if (out != path)
        *out = *path;
    step_up(out);
    out->folder = true;
    (void)widen(out); /* shorter than what fitted */
}

/* As the file system spells it, with links resolved; as it was asked for where that is not on a drive (one that is
 * connected to a share, say). -ENOENT: there is none. */
static int spelt(struct sftp_fs_windows *fs, const struct sftp_fs_windows_path *p,
                 char out[static SFTP_FS_PATH_MAX])
{
    HANDLE handle = NULL;
    wchar_t final[SFTP_FS_PATH_MAX + 8];
    const DWORD size = sizeof final / sizeof final[0];
    int r = sftp_fs_windows_open(fs, p->wide, FILE_READ_ATTRIBUTES, true, &handle);

    if (r == 0) {
        DWORD n = GetFinalPathNameByHandleW(handle, final, size, FILE_NAME_NORMALIZED | VOLUME_NAME_DOS);
        r = n == 0 || n >= size ? -EINVAL : sftp_fs_windows_shown(final, n, out);
        CloseHandle(handle);
    }
    if (r == 0 || r == -ENOENT || r == -ENOTDIR || r == -ELOOP || r == -ENOMEM)
        return r;
    fs->words[0] = '\0';
    memcpy(out, p->text, strlen(p->text) + 1);
    return 0;
}

int sftp_fs_windows_realpath(void *arg, const char *path, char out[static SFTP_FS_PATH_MAX])
{
    struct sftp_fs_windows_path p;
    int r = sftp_fs_windows_path(arg, path, SFTP_FS_WINDOWS_LOOK, &p);
    if (r != 0)
        return r;
    if (p.text[1] == '\0') {
        memcpy(out, "/", 2);
        return 0;
    }
    r = spelt(arg, &p, out);
    if (r != -ENOENT || p.names == 0 || p.folder)
        return r;
    /* The last name may be missing. */
    const char *name = strrchr(p.text, '/') + 1;
    struct sftp_fs_windows_path above;
    sftp_fs_windows_parent(&p, &above);
    DWORD attributes = GetFileAttributesW(above.wide);
    if (attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) == 0)
        return -ENOTDIR;
    r = spelt(arg, &above, out);
    size_t len = strlen(out);
    if (r != 0)
        return r;
    if (len + 1 + strlen(name) >= SFTP_FS_PATH_MAX)
        return -ENAMETOOLONG;
    (void)snprintf(out + len, SFTP_FS_PATH_MAX - len, "%s%s", out[len - 1] == '/' ? "" : "/", name);
    return 0;
}
