/* Reads owners and access lists; changes nothing. */
#include "base/acl_windows.h"

#include "base/sid_windows.h"
#include <aclapi.h>
#include <errno.h>
#include <sddl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_ROOM 32768u /* the longest path there is */

#define REPLACE (DELETE | WRITE_DAC | WRITE_OWNER | GENERIC_ALL | MAXIMUM_ALLOWED)
#define WRITE (FILE_WRITE_DATA | FILE_APPEND_DATA | FILE_WRITE_EA | FILE_WRITE_ATTRIBUTES | GENERIC_WRITE)

static ACCESS_MASK dangerous(enum acl_what what)
{
    switch (what) {
    case ACL_FILE:
        return REPLACE | WRITE;
    case ACL_FOLDER:
        return REPLACE | WRITE | FILE_DELETE_CHILD;
    case ACL_ABOVE:
        return REPLACE | FILE_DELETE_CHILD;
    case ACL_DRIVE: /* DELETE means nothing there, and every new volume gives it to everybody */
        return (REPLACE & ~(ACCESS_MASK)DELETE) | FILE_DELETE_CHILD;
    case ACL_OWNER:
        return 0;
    }
    return ~(ACCESS_MASK)0;
}

/* --- the words --- */

/* "*S-1-5-…", as icacls takes it. */
static void sid_letters(PSID sid, char *out, size_t size)
{
    wchar_t *letters = NULL;
    char text[200];
    if (!ConvertSidToStringSidW(sid, &letters) || win_utf8_into(letters, text, sizeof text) < 0)
        text[0] = '\0';
    (void)snprintf(out, size, "*%s", text);
    LocalFree(letters);
}

static int bad_owner(PSID owner, PSID account, const char *path, struct errmsg *err)
{
    char who[SID_TEXT_SPACE], heir[210] = "*S-1-5-32-544";
    sid_text(owner, who);
    if (account != NULL)
        sid_letters(account, heir, sizeof heir);
    return errmsg_set(err, -EACCES, "%.150s belongs to %.80s, %s: icacls \"%.150s\" /setowner %s", path, who,
                      account != NULL ? "neither to the account nor to the system" : "not to Administrators",
                      path, heir);
}

/* What is inherited cannot be taken away where it is seen: the inheritance must go. */
static int bad_entry(PSID sid, bool inherited, bool folder, PSID account, const char *path,
                     struct errmsg *err)
{
    const char *full = folder ? ":(OI)(CI)F" : ":F";
    char who[SID_TEXT_SPACE], letters[210], grant[230] = "";
    sid_text(sid, who);
    sid_letters(sid, letters, sizeof letters);
    if (!inherited)
        return errmsg_set(err, -EACCES, "%.150s can be written by %.80s: icacls \"%.150s\" /remove:g %s",
                          path, who, path, letters);
    if (account != NULL) {
        sid_letters(account, letters, sizeof letters);
        (void)snprintf(grant, sizeof grant, " %.200s%s", letters, full);
    }
    return errmsg_set(err, -EACCES,
                      "%.120s can be written by %.70s: icacls \"%.120s\" /inheritance:r /grant:r *S-1-5-18%s "
                      "*S-1-5-32-544%s%s",
                      path, who, path, full, full, grant);
}

/* --- judging --- */

static bool trusted(PSID sid, PSID account)
{
    /* OWNER RIGHTS are the owner's, who has been looked at. */
    return sid_system(sid) || IsWellKnownSid(sid, WinCreatorOwnerRightsSid) ||
           (account != NULL && EqualSid(sid, account));
}

bool acl_gives(const void *entry, ACCESS_MASK *ret_rights, PSID *ret_sid)
{
    const ACE_HEADER *ace = entry;
    const ACCESS_ALLOWED_ACE *plain = entry;
    const ACCESS_ALLOWED_OBJECT_ACE *object = entry;
    size_t guids;
    if ((ace->AceFlags & INHERIT_ONLY_ACE) != 0)
        return false;
    switch (ace->AceType) {
    case ACCESS_ALLOWED_ACE_TYPE:
    case ACCESS_ALLOWED_CALLBACK_ACE_TYPE:
        *ret_sid = (PSID)(uintptr_t)&plain->SidStart;
        break;
    case ACCESS_ALLOWED_OBJECT_ACE_TYPE:
    case ACCESS_ALLOWED_CALLBACK_OBJECT_ACE_TYPE:
        guids = ((object->Flags & ACE_OBJECT_TYPE_PRESENT) != 0) +
                ((object->Flags & ACE_INHERITED_OBJECT_TYPE_PRESENT) != 0);
        *ret_sid = (PSID)((uintptr_t)&object->ObjectType + guids * sizeof(GUID));
        break;
    default:
        return false;
    }
    *ret_rights = plain->Mask; /* in the same place in all of them */
    return true;
}

static int judge_list(PACL list, enum acl_what what, PSID account, const char *path, struct errmsg *err)
{
    for (DWORD i = 0; i < list->AceCount; i++) {
        void *entry = NULL;
        ACCESS_MASK rights = 0;
        PSID sid = NULL;
        if (!GetAce(list, i, &entry))
            return errmsg_set(err, -EACCES, "%.300s: its access list cannot be read", path);
        if (acl_gives(entry, &rights, &sid) && (rights & dangerous(what)) != 0 && !trusted(sid, account))
            return bad_entry(sid, (((const ACE_HEADER *)entry)->AceFlags & INHERITED_ACE) != 0,
                             what != ACL_FILE, account, path, err);
    }
    return 0;
}

int acl_judge(PSECURITY_DESCRIPTOR sd, enum acl_what what, PSID account, const char *path, struct errmsg *err)
{
    PSID owner = NULL;
    PACL list = NULL;
    WINBOOL present = FALSE, defaulted;
    if (!IsValidSecurityDescriptor(sd) || !GetSecurityDescriptorOwner(sd, &owner, &defaulted) ||
        !GetSecurityDescriptorDacl(sd, &present, &list, &defaulted))
        return errmsg_set(err, -EACCES, "%.300s: who may write it cannot be read", path);
    if (owner == NULL)
        return errmsg_set(err, -EACCES, "%.300s belongs to nobody", path);
    if (!sid_system(owner) && (account == NULL || !EqualSid(owner, account)))
        return bad_owner(owner, account, path, err);
    if (!present || list == NULL)
        return errmsg_set(err, -EACCES,
                          "%.200s has no access list, and anybody may write it: icacls \"%.200s\" /reset",
                          path, path);
    return judge_list(list, what, account, path, err);
}

int acl_check(HANDLE file, enum acl_what what, PSID account, const char *path, struct errmsg *err)
{
    PSECURITY_DESCRIPTOR sd = NULL;
    char words[256];
    DWORD error =
        GetSecurityInfo(file, SE_FILE_OBJECT, OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION, NULL,
                        NULL, NULL, NULL, &sd);
    if (error != ERROR_SUCCESS) {
        win_words(error, words, sizeof words);
        return errmsg_set(err, -EACCES, "%.200s: who may write it cannot be read: %s", path, words);
    }
    int rc = acl_judge(sd, what, account, path, err);
    LocalFree(sd);
    return rc;
}

/* --- the way to a file --- */

static HANDLE open_folder(const wchar_t *path)
{
    return CreateFileW(path, READ_CONTROL | FILE_READ_ATTRIBUTES,
                       FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING,
                       FILE_FLAG_BACKUP_SEMANTICS, NULL);
}

/* The path of what is open, \\?\ in front, the caller's. */
static int final_path(HANDLE file, wchar_t **ret_path)
{
    wchar_t *path = calloc(PATH_ROOM, sizeof *path);
    if (path == NULL)
        return -ENOMEM;
    DWORD n = GetFinalPathNameByHandleW(file, path, PATH_ROOM, FILE_NAME_NORMALIZED | VOLUME_NAME_DOS);
    if (n == 0 || n >= PATH_ROOM) {
        int rc = n == 0 ? win_errno(GetLastError()) : -ENAMETOOLONG;
        free(path);
        return rc;
    }
    *ret_path = path;
    return 0;
}

/* The path as people write it. */
static void path_text(const wchar_t *path, char *out, size_t size)
{
    if (win_utf8_into(wcsncmp(path, L"\\\\?\\", 4) == 0 ? path + 4 : path, out, size) < 0)
        (void)snprintf(out, size, "a file of a very long name");
}

/* Cuts the last name off; false when there is none. A drive's root keeps its backslash. */
static bool go_up(wchar_t *path)
{
    size_t n = wcslen(path);
    if (n == 0 || path[n - 1] == L'\\')
        return false;
    wchar_t *slash = wcsrchr(path, L'\\');
    if (slash == NULL || slash == path)
        return false;
    slash[slash[-1] == L':' ? 1 : 0] = L'\0';
    return true;
}

static bool is_root(const wchar_t *path)
{
    size_t n = wcslen(path);
    return n >= 2 && path[n - 1] == L'\\' && path[n - 2] == L':';
}

static bool same_path(const wchar_t *a, const wchar_t *b)
{
    return CompareStringOrdinal(a, -1, b, -1, TRUE) == CSTR_EQUAL;
}

static bool is_inside(const wchar_t *path, const wchar_t *folder)
{
    size_t n = wcslen(folder);
    return wcslen(path) > n && path[n] == L'\\' &&
           CompareStringOrdinal(path, (int)n, folder, (int)n, TRUE) == CSTR_EQUAL;
}

static int check_folder(const wchar_t *path, enum acl_what what, PSID account, struct errmsg *err)
{
    char text[400], words[256];
    HANDLE folder = open_folder(path);
    path_text(path, text, sizeof text);
    if (folder == INVALID_HANDLE_VALUE) {
        win_words(GetLastError(), words, sizeof words);
        return errmsg_set(err, -EACCES, "%.200s: who may write it cannot be read: %s", text, words);
    }
    int rc = acl_check(folder, what, account, text, err);
    CloseHandle(folder);
    return rc;
}

/* Where the profile really is: NULL when there is none to be found. */
static wchar_t *real_home(const wchar_t *home)
{
    wchar_t *path = NULL;
    HANDLE folder = home != NULL ? open_folder(home) : INVALID_HANDLE_VALUE;
    if (folder == INVALID_HANDLE_VALUE)
        return NULL;
    if (final_path(folder, &path) < 0)
        path = NULL;
    CloseHandle(folder);
    return path;
}

int acl_check_way(HANDLE file, const wchar_t *home, PSID account, struct errmsg *err)
{
    char text[400];
    wchar_t *path = NULL, *top = real_home(home);
    int rc = final_path(file, &path);
    if (path == NULL) {
        rc = errmsg_set(err, -EACCES, "the name of an open file cannot be read: %s", strerror(-rc));
        goto out;
    }
    bool inside = top != NULL && is_inside(path, top);
    path_text(path, text, sizeof text);
    rc = acl_check(file, ACL_FILE, account, text, err);
    while (rc == 0 && !(inside && same_path(path, top)) && go_up(path))
        rc = check_folder(path, inside ? ACL_FOLDER : is_root(path) ? ACL_DRIVE : ACL_ABOVE, account, err);
out:
    free(path);
    free(top);
    return rc;
}
