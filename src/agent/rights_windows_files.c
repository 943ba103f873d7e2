/* Judges and closes files and folders. Opens them as they are, never what a link leads to. */
#include "agent/rights_windows.h"

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

static int code_of(DWORD error)
{
    return error == ERROR_SUCCESS ? 0 : win_errno(error);
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

/* Opens path and judges it. -EPERM with words: what rights_judge says, or that it is a link. */
static int judge_path(const char *path, DWORD rights, bool *ret_folder, char *words)
{
    PSECURITY_DESCRIPTOR sd = NULL;
    HANDLE file = NULL;
    DWORD attributes = 0;
    int r = open_it(path, READ_CONTROL | FILE_READ_ATTRIBUTES, &file);
    if (r != 0)
        return r;
    r = attributes_of(file, &attributes);
    if (r == 0 && (attributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0) {
        snprintf(words, RIGHTS_WORDS_MAX, "it is a link to somewhere else");
        r = -EPERM;
    }
    if (r == 0)
        r = code_of(GetSecurityInfo(file, SE_FILE_OBJECT,
                                    OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION, NULL, NULL, NULL,
                                    NULL, &sd));
    if (r == 0)
        r = rights_judge(sd, rights, own_sid(), words);
    *ret_folder = (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
    LocalFree(sd);
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

/* Can what is at part be taken away, with a folder further up? Returns as judge_path; part is then that folder. */
static int judge_above(char *part, char *words)
{
    int r = 0;
    bool folder;
    while (r == 0 && up(part)) {
        bool root = part[strlen(part) - 1] == '\\'; /* a drive's root stays in any case */
        r = judge_path(part, root ? RIGHTS_ABOVE & ~(DWORD)DELETE : RIGHTS_ABOVE, &folder, words);
    }
    return r;
}

/* --- the program --- */

static int refuse_program(const char *path, const char *part, int code, const char *words, struct errmsg *err)
{
    if (code != -EPERM)
        return errmsg_set(err, code, "cannot see who may change %s: %s", part, strerror(-code));
    return errmsg_set(
        err, code,
        "%s would run as the system, but others than administrators could replace it: %s: %s. Copy (do not "
        "move) the programs to a folder like C:\\Program Files\\multissh, and install the service from "
        "there",
        path, part, words);
}

int rights_check_program(const char *path, struct errmsg *err)
{
    char part[FS_PATH_MAX], words[RIGHTS_WORDS_MAX] = "";
    bool folder;
    if (strlen(path) >= sizeof part)
        return errmsg_set(err, -ENAMETOOLONG, "%.100s…: the path is too long", path);
    strcpy(part, path);
    int r = judge_path(part, RIGHTS_WRITE, &folder, words);
    if (r == 0 && up(part)) /* in its own folder nothing may be added */
        r = judge_path(part, RIGHTS_WRITE, &folder, words);
    if (r == 0)
        r = judge_above(part, words);
    return r == 0 ? 0 : refuse_program(path, part, r, words, err);
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

static int refuse_folder(const char *path, const char *part, int code, const char *words, struct errmsg *err)
{
    if (code != -EPERM)
        return errmsg_set(err, code, "cannot make sure that the folder %s is private, at %s: %s", path, part,
                          strerror(-code));
    return errmsg_set(
        err, code,
        "the folder %s is not to be trusted, others than administrators may have put settings into it: %s: "
        "%s. Look at what is in it, and delete it; or, when it is yours: icacls \"%s\" /setowner "
        "*S-1-5-32-544 /T",
        path, part, words, path);
}

struct walk {
    const char *top;
    unsigned entries;
    struct errmsg *err;
};

static int look_at(struct walk *w, const char *path, unsigned depth);

static int look_into(struct walk *w, const char *path, unsigned depth)
{
    char pattern[FS_PATH_MAX], inner[FS_PATH_MAX], name[FS_PATH_MAX];
    wchar_t *wide = NULL;
    WIN32_FIND_DATAW found;
    int r = fs_join(pattern, sizeof pattern, path, "*");
    if (r == 0)
        r = win_path(pattern, &wide);
    if (r != 0)
        return refuse_folder(w->top, path, r, "", w->err);
    HANDLE list = FindFirstFileExW(wide, FindExInfoBasic, &found, FindExSearchNameMatch, NULL, 0);
    free(wide);
    if (list == INVALID_HANDLE_VALUE)
        return refuse_folder(w->top, path, win_errno(GetLastError()), "", w->err);
    do {
        if (wcscmp(found.cFileName, L".") == 0 || wcscmp(found.cFileName, L"..") == 0)
            continue;
        r = win_utf8_into(found.cFileName, name, sizeof name);
        if (r == 0)
            r = fs_join(inner, sizeof inner, path, name);
        r = r == 0 ? look_at(w, inner, depth + 1) : refuse_folder(w->top, path, r, "", w->err);
    } while (r == 0 && FindNextFileW(list, &found));
    FindClose(list);
    return r;
}

static int look_at(struct walk *w, const char *path, unsigned depth)
{
    char words[RIGHTS_WORDS_MAX] = "";
    bool folder = false;
    if (depth > DEPTH_MAX || ++w->entries > ENTRIES_MAX)
        return refuse_folder(w->top, path, -E2BIG, "", w->err);
    int r = judge_path(path, RIGHTS_WRITE, &folder, words);
    if (r != 0)
        return refuse_folder(w->top, path, r, words, w->err);
    return folder ? look_into(w, path, depth) : 0;
}

/* Belongs the folder to one who is trusted? Whoever owns it can open it again. */
static int check_owner(const char *path, struct errmsg *err)
{
    char words[RIGHTS_WORDS_MAX] = "";
    bool folder = true;
    int r = judge_path(path, 0, &folder, words);
    if (r != 0)
        return refuse_folder(path, path, r, words, err);
    return folder
               ? 0
               : errmsg_set(err, -ENOTDIR, "%s: is not a folder, and the state folder is to be there", path);
}

static int check_above(const char *path, struct errmsg *err)
{
    char part[FS_PATH_MAX], words[RIGHTS_WORDS_MAX] = "";
    if (strlen(path) >= sizeof part)
        return errmsg_set(err, -ENAMETOOLONG, "%.100s…: the path is too long", path);
    strcpy(part, path);
    int r = judge_above(part, words);
    return r == 0
               ? 0
               : errmsg_set(
                     err, r,
                     "the state folder cannot be %s: others than administrators could put another one in its "
                     "place: %s: %s",
                     path, part, r == -EPERM ? words : strerror(-r));
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
    return code_of(error);
}

static int take_over(const char *path, const wchar_t *wide, PSECURITY_DESCRIPTOR closed, struct errmsg *err)
{
    struct walk walk = {.top = path, .err = err};
    int r = check_owner(path, err);
    if (r != 0)
        return r;
    r = close_it(wide, closed);
    return r == 0 ? look_at(&walk, path, 0) : refuse_folder(path, path, r, "", err);
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
