/* Judges and closes files and folders. Opens them as they are, never what a link leads to. */
#include "agent/rights_windows.h"

#include "base/acl_windows.h"
#include "base/fs.h"
#include <aclapi.h>
#include <errno.h>
#include <sddl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 8
#define ENTRIES_MAX 10000
/* SYSTEM and the Administrators, and nobody by inheritance from above. */
#define CLOSED L"O:BAG:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"

/* Wine keeps no access rights, and everything belongs to the one user: then he is one to be trusted. */
static PSID own_sid(void)
{
    static union {
        TOKEN_USER user;
        char room[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
    } own;
    HANDLE token = NULL;
    DWORD n = 0;
    if (GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "wine_get_version") == NULL)
        return NULL;
    if (own.user.User.Sid == NULL && OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token)) {
        if (!GetTokenInformation(token, TokenUser, &own, sizeof own, &n))
            own.user.User.Sid = NULL;
        CloseHandle(token);
    }
    return own.user.User.Sid;
}

static int open_it(const char *path, DWORD access, HANDLE *ret_file)
{
    wchar_t *wide = NULL;
    int r = win_path(path, &wide);
    if (r != 0)
        return r;
    HANDLE file = CreateFileW(wide, access, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                              OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT, NULL);
    if (file == INVALID_HANDLE_VALUE)
        r = win_errno(GetLastError());
    else
        *ret_file = file;
    free(wide);
    return r;
}

static int attributes_of(HANDLE file, DWORD *ret_attributes)
{
    BY_HANDLE_FILE_INFORMATION info;
    if (!GetFileInformationByHandle(file, &info))
        return win_errno(GetLastError());
    *ret_attributes = info.dwFileAttributes;
    return 0;
}

/* Opens path and judges it; ret_folder, if not NULL, takes whether it is a folder, which is then judged as one. Returns 0,
 * -EACCES with err, or another negative errno value with err. */
static int judge_path(const char *path, enum acl_what what, bool *ret_folder, struct errmsg *err)
{
    HANDLE file = NULL;
    DWORD attributes = 0;
    int r = open_it(path, READ_CONTROL | FILE_READ_ATTRIBUTES, &file);
    if (r == 0)
        r = attributes_of(file, &attributes);
    bool folder = (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
    if (r != 0)
        errmsg_set(err, r, "cannot see who may change %.300s: %s", path, strerror(-r));
    else if ((attributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0)
        r = errmsg_set(err, -EACCES, "%.300s is a link to somewhere else", path);
    else
        r = acl_check(file, folder && what == ACL_FILE ? ACL_FOLDER : what, own_sid(), path, err);
    if (ret_folder != NULL)
        *ret_folder = folder;
    if (file != NULL)
        CloseHandle(file);
    return r;
}

/* Cuts the last part off. false: path is the root of a drive. */
static bool up(char *path)
{
    char *slash = strrchr(path, '\\');
    if (slash == NULL || slash[1] == 0)
        return false;
    if (slash == path + 2) /* "C:\x" */
        slash++;
    *slash = 0;
    return true;
}

/* Can what is at path be taken away, with a folder further up? part: path, and is cut. */
static int judge_above(char *part, struct errmsg *err)
{
    int r = 0;
    while (r == 0 && up(part))
        r = judge_path(part, part[strlen(part) - 1] == '\\' ? ACL_DRIVE : ACL_ABOVE, NULL, err);
    return r;
}

/* --- the program --- */

int rights_check_program(const char *path, struct errmsg *err)
{
    char part[FS_PATH_MAX];
    struct errmsg why;
    if (strlen(path) >= sizeof part)
        return errmsg_set(err, -ENAMETOOLONG, "%.100s…: the path is too long", path);
    memcpy(part, path, strlen(path) + 1);
    int r = judge_path(part, ACL_FILE, NULL, &why);
    if (r == 0 && up(part)) /* in its own folder nothing may be added */
        r = judge_path(part, ACL_FILE, NULL, &why);
    if (r == 0)
        r = judge_above(part, &why);
    if (r != -EACCES)
        return r == 0 ? 0 : errmsg_set(err, r, "%s", why.text);
    return errmsg_set(
        err, r,
        "%.120s would run as the system, and others than administrators could replace it. Copy (do not move) "
        "the "
        "programs to a folder like C:\\Program Files\\multissh and install the service from there. What is "
        "wrong here: %s",
        path, why.text);
}

int rights_real_path(const char *path, char **ret_path)
{
    wchar_t *wide = NULL, *real = NULL;
    int r = win_path(path, &wide);
    if (r != 0)
        return r;
    HANDLE file =
        CreateFileW(wide, FILE_READ_ATTRIBUTES, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                    OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL);
    free(wide);
    if (file == INVALID_HANDLE_VALUE)
        return win_errno(GetLastError());
    DWORD n = GetFinalPathNameByHandleW(file, NULL, 0, VOLUME_NAME_DOS);
    real = n > 0 ? calloc(n + 1, sizeof *real) : NULL;
    if (real == NULL)
        r = n > 0 ? -ENOMEM : win_errno(GetLastError());
    else if (GetFinalPathNameByHandleW(file, real, n + 1, VOLUME_NAME_DOS) == 0)
        r = win_errno(GetLastError());
    else if (wcsncmp(real, L"\\\\?\\", 4) != 0 || real[4] == 0 || real[5] != L':')
        r = -EXDEV;
    else
        r = win_utf8(real + 4, ret_path);
    free(real);
    CloseHandle(file);
    return r;
}

/* --- the folder --- */

static int refuse_folder(const char *path, const struct errmsg *why, int code, struct errmsg *err)
{
    if (code != -EACCES)
        return errmsg_set(err, code, "cannot make the folder %.120s private: %s", path, why->text);
    return errmsg_set(
        err, code,
        "the folder %.120s is not to be trusted: others than administrators may have put settings into it. "
        "Look at what is there, and delete it; or make it yours: %s",
        path, why->text);
}

struct walk {
    unsigned entries;
    struct errmsg why;
};

static int look_at(struct walk *w, const char *path, unsigned depth);

static int look_into(struct walk *w, const char *path, unsigned depth)
{
    char inner[FS_PATH_MAX], name[FS_PATH_MAX];
    wchar_t *wide = NULL;
    WIN32_FIND_DATAW found;
    int r = fs_join(inner, sizeof inner, path, "*");
    if (r == 0)
        r = win_path(inner, &wide);
    if (r != 0)
        return errmsg_set(&w->why, r, "%.200s: %s", path, strerror(-r));
    HANDLE list = FindFirstFileExW(wide, FindExInfoBasic, &found, FindExSearchNameMatch, NULL, 0);
    free(wide);
    if (list == INVALID_HANDLE_VALUE) {
        r = win_errno(GetLastError());
        return errmsg_set(&w->why, r, "%.200s: %s", path, strerror(-r));
    }
    do {
        if (wcscmp(found.cFileName, L".") == 0 || wcscmp(found.cFileName, L"..") == 0)
            continue;
        r = win_utf8_into(found.cFileName, name, sizeof name);
        if (r == 0)
            r = fs_join(inner, sizeof inner, path, name);
        r = r == 0 ? look_at(w, inner, depth + 1)
                   : errmsg_set(&w->why, r, "%.200s: a name is too long", path);
    } while (r == 0 && FindNextFileW(list, &found));
    FindClose(list);
    return r;
}

static int look_at(struct walk *w, const char *path, unsigned depth)
{
    bool folder = false;
    if (depth > DEPTH_MAX || ++w->entries > ENTRIES_MAX)
        return errmsg_set(&w->why, -E2BIG, "%.200s: there is too much in it", path);
    int r = judge_path(path, ACL_FILE, &folder, &w->why);
    return r == 0 && folder ? look_into(w, path, depth) : r;
}

static int check_above(const char *path, struct errmsg *err)
{
    char part[FS_PATH_MAX];
    struct errmsg why;
    if (strlen(path) >= sizeof part)
        return errmsg_set(err, -ENAMETOOLONG, "%.100s…: the path is too long", path);
    memcpy(part, path, strlen(path) + 1);
    int r = judge_above(part, &why);
    if (r == -EACCES)
        return errmsg_set(err, r,
                          "the state folder cannot be %.150s: others could put another one in its place: %s",
                          path, why.text);
    return r == 0 ? 0 : errmsg_set(err, r, "cannot make the state folder %.150s: %s", path, why.text);
}

/* Gives it the access control list of a closed folder; what is in it inherits that. */
static int close_it(const wchar_t *wide, PSECURITY_DESCRIPTOR closed)
{
    BOOL present, defaulted;
    PACL acl = NULL;
    wchar_t *name = _wcsdup(wide);
    if (name == NULL)
        return -ENOMEM;
    DWORD error =
        GetSecurityDescriptorDacl(closed, &present, &acl, &defaulted) ? ERROR_SUCCESS : GetLastError();
    if (error == ERROR_SUCCESS)
        error = SetNamedSecurityInfoW(name, SE_FILE_OBJECT,
                                      DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION, NULL,
                                      NULL, acl, NULL);
    free(name);
    return error == ERROR_SUCCESS ? 0 : win_errno(error);
}

static int take_over(const char *path, const wchar_t *wide, PSECURITY_DESCRIPTOR closed, struct errmsg *err)
{
    struct walk walk = {.entries = 0};
    bool folder = false;
    /* Whoever owns it can open it again. */
    int r = judge_path(path, ACL_OWNER, &folder, &walk.why);
    if (r == 0 && !folder)
        return errmsg_set(err, -ENOTDIR, "%s: is not a folder, and the state folder is to be there", path);
    if (r == 0) {
        r = close_it(wide, closed);
        if (r != 0)
            errmsg_set(&walk.why, r, "%s", strerror(-r));
    }
    if (r == 0)
        r = look_at(&walk, path, 0);
    return r == 0 ? 0 : refuse_folder(path, &walk.why, r, err);
}

int rights_close_folder(const char *path, struct errmsg *err)
{
    SECURITY_ATTRIBUTES attributes = {.nLength = sizeof attributes};
    wchar_t *wide = NULL;
    int r = check_above(path, err);
    if (r != 0)
        return r;
    r = win_path(path, &wide);
    if (r == 0 && !ConvertStringSecurityDescriptorToSecurityDescriptorW(
                      CLOSED, SDDL_REVISION_1, &attributes.lpSecurityDescriptor, NULL))
        r = win_errno(GetLastError());
    if (r != 0) {
        errmsg_set(err, r, "cannot make the folder %s: %s", path, strerror(-r));
        goto out;
    }
    if (!CreateDirectoryW(wide, &attributes)) {
        DWORD error = GetLastError();
        r = error == ERROR_ALREADY_EXISTS ? take_over(path, wide, attributes.lpSecurityDescriptor, err)
                                          : errmsg_set(err, win_errno(error), "cannot make the folder %s: %s",
                                                       path, strerror(-win_errno(error)));
    }
out:
    LocalFree(attributes.lpSecurityDescriptor);
    free(wide);
    return r;
}
