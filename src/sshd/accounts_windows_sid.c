/* SIDs and what tokens say of them. Changes nothing. */
#include "sshd/accounts_windows.h"

#include "sshd/logon_windows_calls.h"
#include <errno.h>
#include <sddl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_ROOM 300 /* UNLEN and a domain's name are 256 characters at most */
#define INFO_MAX (1u << 20)
#define RID_MACHINE 21 /* S-1-5-21-a-b-c-rid: accounts of machines and domains */
#define RID_ENTRA 1    /* S-1-12-1-a-b-c-d */
#define AUTHORITY_ENTRA 12

static unsigned authority(PSID sid)
{
    const SID_IDENTIFIER_AUTHORITY *a = GetSidIdentifierAuthority(sid);
    for (int i = 0; i < 5; i++) {
        if (a->Value[i] != 0)
            return 0;
    }
    return a->Value[5];
}

bool accounts_sid_person(PSID sid)
{
    if (!IsValidSid(sid) || *GetSidSubAuthorityCount(sid) != 5)
        return false;
    DWORD first = *GetSidSubAuthority(sid, 0);
    return (authority(sid) == 5 && first == RID_MACHINE) ||
           (authority(sid) == AUTHORITY_ENTRA && first == RID_ENTRA);
}

int accounts_sid_names(PSID sid, wchar_t **ret_user, wchar_t **ret_place, SID_NAME_USE *ret_use)
{
    wchar_t user[NAME_ROOM], place[NAME_ROOM];
    DWORD user_n = NAME_ROOM, place_n = NAME_ROOM;
    if (!logon_calls->lookup_sid(NULL, sid, user, &user_n, place, &place_n, ret_use))
        return GetLastError() == ERROR_NONE_MAPPED ? -ENOENT : win_errno(GetLastError());
    *ret_user = _wcsdup(user);
    if (*ret_user == NULL)
        return -ENOMEM;
    if (ret_place == NULL)
        return 0;
    *ret_place = _wcsdup(place);
    if (*ret_place != NULL)
        return 0;
    free(*ret_user);
    *ret_user = NULL;
    return -ENOMEM;
}

int accounts_sid_copy(PSID sid, PSID *ret_copy)
{
    DWORD n = GetLengthSid(sid);
    PSID copy = malloc(n);
    if (copy == NULL)
        return -ENOMEM;
    memcpy(copy, sid, n);
    *ret_copy = copy;
    return 0;
}

/* --- tokens --- */

static int read_info(HANDLE token, TOKEN_INFORMATION_CLASS class, void **ret_info)
{
    for (DWORD size = 1024; size <= INFO_MAX;) {
        DWORD need = 0;
        void *info = malloc(size);
        if (info == NULL)
            return -ENOMEM;
        if (logon_calls->token_information(token, class, info, size, &need)) {
            *ret_info = info;
            return 0;
        }
        DWORD error = GetLastError();
        free(info);
        if (error != ERROR_INSUFFICIENT_BUFFER && error != ERROR_BAD_LENGTH)
            return win_errno(error);
        size = need > size ? need : size * 2;
    }
    return -E2BIG;
}

int accounts_token_info(HANDLE token, TOKEN_INFORMATION_CLASS class, void **ret_info)
{
    HANDLE own = NULL;
    int rc;
    if (token != NULL)
        return read_info(token, class, ret_info);
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &own))
        return win_errno(GetLastError());
    rc = read_info(own, class, ret_info);
    CloseHandle(own);
    return rc;
}

bool accounts_token_is(HANDLE token, PSID sid)
{
    void *info = NULL;
    if (accounts_token_info(token, TokenUser, &info) < 0)
        return false;
    bool is = EqualSid(((TOKEN_USER *)info)->User.Sid, sid);
    free(info);
    return is;
}

int accounts_token_administrator(HANDLE token, bool *ret_member, bool *ret_enabled)
{
    void *info = NULL;
    int rc = accounts_token_info(token, TokenGroups, &info);
    if (rc < 0)
        return rc;
    const TOKEN_GROUPS *groups = info;
    *ret_member = *ret_enabled = false;
    for (DWORD i = 0; i < groups->GroupCount; i++) {
        if (!IsWellKnownSid(groups->Groups[i].Sid, WinBuiltinAdministratorsSid))
            continue;
        *ret_member = true;
        *ret_enabled = (groups->Groups[i].Attributes & SE_GROUP_ENABLED) != 0;
    }
    free(info);
    return 0;
}
