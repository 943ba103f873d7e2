/* What only its user, the system and its administrators may read or write. */
#include "base/private_windows.h"

#include "base/acl_windows.h"
#include <aclapi.h>
#include <errno.h>
#include <sddl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SDDL_CHARS 256
/* To read it, to change it, to give away either. */
#define RIGHTS_TO_KEEP                                                                                       \
    (FILE_READ_DATA | FILE_WRITE_DATA | FILE_APPEND_DATA | FILE_DELETE_CHILD | DELETE | WRITE_DAC |          \
     WRITE_OWNER)

/* The caller frees it. */
static int own_user(TOKEN_USER **ret_user)
{
    HANDLE token = NULL;
    TOKEN_USER *user = NULL;
    DWORD n = 0;
    int r = 0;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token))
        return win_errno(GetLastError());
    (void)GetTokenInformation(token, TokenUser, NULL, 0, &n);
    user = malloc(n);
    if (user == NULL)
        r = -ENOMEM;
    else if (!GetTokenInformation(token, TokenUser, user, n, &n))
        r = win_errno(GetLastError());
    CloseHandle(token);
    if (r != 0) {
        free(user);
        return r;
    }
    *ret_user = user;
    return 0;
}

/* Does the process act as an administrator or the system? When it cannot be told, it is as any user. */
static bool elevated(const TOKEN_USER *user)
{
    HANDLE token = NULL;
    TOKEN_ELEVATION elevation = {0};
    DWORD n = 0;
    if (IsWellKnownSid(user->User.Sid, WinLocalSystemSid))
        return true;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token))
        return false;
    bool yes = GetTokenInformation(token, TokenElevation, &elevation, sizeof elevation, &n) &&
               elevation.TokenIsElevated != 0;
    CloseHandle(token);
    return yes;
}

int private_init(struct private_rights *rights)
{
    wchar_t sddl[SDDL_CHARS], *sid = NULL;
    TOKEN_USER *user = NULL;
    int r = own_user(&user);
    if (user == NULL)
        return r;
    *rights = (struct private_rights){.attributes = {.nLength = sizeof rights->attributes}};
    if (!ConvertSidToStringSidW(user->User.Sid, &sid)) {
        r = win_errno(GetLastError());
        goto out;
    }
    bool more = !elevated(user);
    int n = _snwprintf(sddl, SDDL_CHARS, L"D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)%ls%ls%ls",
                       more ? L"(A;OICI;FA;;;" : L"", more ? sid : L"", more ? L")" : L"");
    if (n <= 0 || n >= SDDL_CHARS)
        r = -ENAMETOOLONG;
    else if (!ConvertStringSecurityDescriptorToSecurityDescriptorW(sddl, SDDL_REVISION_1, &rights->descriptor,
                                                                   NULL))
        r = win_errno(GetLastError());
    rights->attributes.lpSecurityDescriptor = rights->descriptor;
out:
    LocalFree(sid);
    free(user);
    return r;
}

void private_release(struct private_rights *rights)
{
    LocalFree(rights->descriptor);
    rights->descriptor = NULL;
    rights->attributes.lpSecurityDescriptor = NULL;
}

static bool trusted(PSID sid, PSID own)
{
    /* OWNER RIGHTS are those of the owner, who is judged as such. */
    return EqualSid(sid, own) || IsWellKnownSid(sid, WinLocalSystemSid) ||
           IsWellKnownSid(sid, WinBuiltinAdministratorsSid) || IsWellKnownSid(sid, WinCreatorOwnerRightsSid);
}

static int judge_acl(PACL acl, PSID own)
{
    static GENERIC_MAPPING map = {FILE_GENERIC_READ, FILE_GENERIC_WRITE, FILE_GENERIC_EXECUTE,
                                  FILE_ALL_ACCESS};
    for (DWORD i = 0; i < acl->AceCount; i++) {
        void *ace = NULL;
        ACCESS_MASK rights = 0;
        PSID sid = NULL;
        if (!GetAce(acl, i, &ace))
            return -EINVAL;
        if (!acl_gives(ace, &rights, &sid))
            continue;
        MapGenericMask(&rights, &map);
        if ((rights & RIGHTS_TO_KEEP) != 0 && !trusted(sid, own))
            return -EPERM;
    }
    return 0;
}

int private_judge(PSECURITY_DESCRIPTOR descriptor)
{
    TOKEN_USER *user = NULL;
    PSID owner = NULL;
    PACL acl = NULL;
    BOOL present = FALSE, defaulted;
    int r = own_user(&user);
    if (user == NULL)
        return r;
    if (!GetSecurityDescriptorOwner(descriptor, &owner, &defaulted) ||
        !GetSecurityDescriptorDacl(descriptor, &present, &acl, &defaulted))
        r = -EINVAL;
    else if (owner == NULL || !trusted(owner, user->User.Sid) || !present ||
             acl == NULL) /* no list: all to everybody */
        r = -EPERM;
    else
        r = judge_acl(acl, user->User.Sid);
    free(user);
    return r;
}

static int judge_folder(HANDLE folder, PSID own, const char *path, struct errmsg *err)
{
    BY_HANDLE_FILE_INFORMATION info;
    struct errmsg why = {""};
    int r = GetFileInformationByHandle(folder, &info) ? 0 : win_errno(GetLastError());
    if (r != 0)
        return errmsg_set(err, r, "cannot see what %.300s is: %s", path, strerror(-r));
    if ((info.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0)
        return errmsg_set(err, -EPERM, "%.300s is a link to somewhere else", path);
    if (acl_check(folder, ACL_FOLDER, own, path, &why) == 0)
        return 0;
    return errmsg_set(err, -EPERM,
                      "the folder %.150s is not to be trusted: others may have put settings into it. Look at "
                      "what is there, and delete it; or make it yours: %s",
                      path, why.text);
}

int private_check_folder(const char *path, struct errmsg *err)
{
    TOKEN_USER *user = NULL;
    wchar_t *wide = NULL;
    int r = own_user(&user);
    if (r == 0 && !elevated(user))
        goto out;
    if (r == 0)
        r = win_path(path, &wide);
    if (r != 0) {
        errmsg_set(err, r, "cannot see who may write to %.300s: %s", path, strerror(-r));
        goto out;
    }
    HANDLE folder = CreateFileW(wide, READ_CONTROL | FILE_READ_ATTRIBUTES,
                                FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING,
                                FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT, NULL);
    if (folder != INVALID_HANDLE_VALUE) {
        r = judge_folder(folder, user->User.Sid, path, err);
        CloseHandle(folder);
    } else {
        r = win_errno(GetLastError());
        r = r == -ENOENT ? 0
                         : errmsg_set(err, r, "cannot see who may write to %.300s: %s", path, strerror(-r));
    }
out:
    free(wide);
    free(user);
    return r;
}
