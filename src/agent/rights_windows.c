/* Judges security descriptors. */
#include "agent/rights_windows.h"

#include <errno.h>
#include <sddl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_MAX_CHARS 256

/* Whoever is one of these may do anything to the machine as it is. */
static const wchar_t *const trusted[] = {
    L"S-1-5-18",                                                       /* SYSTEM */
    L"S-1-5-32-544",                                                   /* the Administrators */
    L"S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464", /* TrustedInstaller: of Windows' own files */
    L"S-1-3-0", /* CREATOR OWNER: no one, but for what is made in a folder and belongs to who may make it there */
    L"S-1-3-4", /* OWNER RIGHTS: the owner, who is judged as such */
};

static bool is_trusted(PSID sid, PSID own)
{
    bool found = own != NULL && EqualSid(sid, own);
    for (size_t i = 0; !found && i < sizeof trusted / sizeof trusted[0]; i++) {
        PSID one = NULL;
        if (ConvertStringSidToSidW(trusted[i], &one))
            found = EqualSid(sid, one);
        LocalFree(one);
    }
    return found;
}

/* The account's name, else the identifier itself. */
static void name_of(PSID sid, char *out, size_t size)
{
    wchar_t name[NAME_MAX_CHARS], domain[NAME_MAX_CHARS], both[2 * NAME_MAX_CHARS + 1], *text = NULL;
    DWORD name_n = NAME_MAX_CHARS, domain_n = NAME_MAX_CHARS;
    SID_NAME_USE use;
    int r = -ENOENT;
    if (LookupAccountSidW(NULL, sid, name, &name_n, domain, &domain_n, &use)) {
        _snwprintf(both, sizeof both / sizeof both[0], L"%ls%ls%ls", domain, domain[0] != 0 ? L"\\" : L"",
                   name);
        r = win_utf8_into(both, out, size);
    } else if (ConvertSidToStringSidW(sid, &text)) {
        r = win_utf8_into(text, out, size);
        LocalFree(text);
    }
    if (r != 0)
        snprintf(out, size, "an unknown account");
}

static const char *right_words(DWORD rights)
{
    return rights & (FILE_WRITE_DATA | FILE_APPEND_DATA) ? "write to it"
           : rights & FILE_DELETE_CHILD                  ? "delete what is in it"
           : rights & (WRITE_DAC | WRITE_OWNER)          ? "give away rights to it"
           : rights & DELETE                             ? "delete it"
                                                         : "change it";
}

/* Entries of other kinds than these give nothing to anybody, or only what they say under a condition: then they
 * are taken as if it held. */
static bool allows(const ACE_HEADER *ace, DWORD *ret_mask, PSID *ret_sid)
{
    static GENERIC_MAPPING map = {FILE_GENERIC_READ, FILE_GENERIC_WRITE, FILE_GENERIC_EXECUTE,
                                  FILE_ALL_ACCESS};
    bool plain = ace->AceType == ACCESS_ALLOWED_ACE_TYPE || ace->AceType == ACCESS_ALLOWED_CALLBACK_ACE_TYPE;
    if (!plain || (ace->AceFlags & INHERIT_ONLY_ACE) != 0)
        return false;
    const ACCESS_ALLOWED_ACE *allowed = (const ACCESS_ALLOWED_ACE *)(const void *)ace;
    *ret_mask = allowed->Mask;
    MapGenericMask(ret_mask, &map);
    *ret_sid = (PSID)(uintptr_t)&allowed->SidStart;
    return true;
}

static int judge_owner(PSECURITY_DESCRIPTOR sd, PSID own, char *words)
{
    char name[RIGHTS_WORDS_MAX - 32];
    PSID owner = NULL;
    BOOL defaulted;
    if (!GetSecurityDescriptorOwner(sd, &owner, &defaulted))
        return -EINVAL;
    if (owner != NULL && is_trusted(owner, own))
        return 0;
    snprintf(name, sizeof name, "nobody");
    if (owner != NULL)
        name_of(owner, name, sizeof name);
    snprintf(words, RIGHTS_WORDS_MAX, "it belongs to %s", name);
    return -EPERM;
}

int rights_judge(PSECURITY_DESCRIPTOR sd, DWORD rights, PSID own, char *words)
{
    char name[RIGHTS_WORDS_MAX - 32];
    BOOL present = FALSE, defaulted;
    PACL acl = NULL;
    int r = judge_owner(sd, own, words);
    if (r != 0)
        return r;
    if (!GetSecurityDescriptorDacl(sd, &present, &acl, &defaulted))
        return -EINVAL;
    if (!present || acl == NULL) {
        snprintf(words, RIGHTS_WORDS_MAX, "it has no access control list, so everybody may change it");
        return -EPERM;
    }
    for (DWORD i = 0; i < acl->AceCount; i++) {
        void *ace = NULL;
        DWORD mask = 0;
        PSID sid = NULL;
        if (!GetAce(acl, i, &ace))
            return -EINVAL;
        if (!allows(ace, &mask, &sid) || (mask & rights) == 0 || is_trusted(sid, own))
            continue;
        name_of(sid, name, sizeof name);
        snprintf(words, RIGHTS_WORDS_MAX, "%s may %s", name, right_words(mask & rights));
        return -EPERM;
    }
    return 0;
}
