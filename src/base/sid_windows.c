/* SIDs: names, and who may do anything. */
#include "base/sid_windows.h"

#include <sddl.h>
#include <stdio.h>

#define NAME_ROOM 300 /* UNLEN and a domain's name are 256 characters at most */

/* S-1-5-80-…: the SID of a service is made of its name. */
static const DWORD trusted_installer[] = {80, 956008885, 3418522649, 1831038044, 1853292631, 2271478464};

static bool is_trusted_installer(PSID sid)
{
    const SID_IDENTIFIER_AUTHORITY nt = SECURITY_NT_AUTHORITY;
    size_t n = sizeof trusted_installer / sizeof trusted_installer[0];
    if (memcmp(GetSidIdentifierAuthority(sid), &nt, sizeof nt) != 0 || *GetSidSubAuthorityCount(sid) != n)
        return false;
    for (DWORD i = 0; i < n; i++) {
        if (*GetSidSubAuthority(sid, i) != trusted_installer[i])
            return false;
    }
    return true;
}

bool sid_system(PSID sid)
{
    return IsValidSid(sid) && (IsWellKnownSid(sid, WinLocalSystemSid) ||
                               IsWellKnownSid(sid, WinBuiltinAdministratorsSid) || is_trusted_installer(sid));
}

static int name_text(PSID sid, char out[SID_TEXT_SPACE])
{
    wchar_t user[NAME_ROOM], place[NAME_ROOM], both[2 * NAME_ROOM + 1];
    DWORD user_n = NAME_ROOM, place_n = NAME_ROOM;
    SID_NAME_USE use;
    if (!LookupAccountSidW(NULL, sid, user, &user_n, place, &place_n, &use))
        return win_errno(GetLastError());
    (void)swprintf(both, sizeof both / sizeof both[0], L"%ls%ls%ls", place, place[0] != L'\0' ? L"\\" : L"",
                   user);
    return win_utf8_into(both, out, SID_TEXT_SPACE);
}

void sid_text(PSID sid, char out[SID_TEXT_SPACE])
{
    wchar_t *letters = NULL;
    if (name_text(sid, out) == 0)
        return;
    if (!ConvertSidToStringSidW(sid, &letters) || win_utf8_into(letters, out, SID_TEXT_SPACE) < 0)
        (void)snprintf(out, SID_TEXT_SPACE, "somebody without a name");
    LocalFree(letters);
}
