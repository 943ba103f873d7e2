/* Tokens: an account's own, by this service's word (S4U) or by a password. Decides nothing about who may log in, and
 * makes sure that what it gives is the account's. */
#include "sshd/logon_windows_private.h"

#include "sshd/logon_windows_calls.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NAME_ROOM 600u
#define SOURCE "mltssh" /* TOKEN_SOURCE_LENGTH is 8 */
#define PRIMARY_RIGHTS TOKEN_ALL_ACCESS

static bool service_itself(void)
{
    void *info = NULL;
    if (accounts_token_info(NULL, TokenUser, &info) < 0)
        return false;
    bool is = IsWellKnownSid(((TOKEN_USER *)info)->User.Sid, WinLocalSystemSid);
    free(info);
    return is;
}

static const struct logon_calls windows = {
    .service = service_itself,
    .lookup_name = LookupAccountNameW,
    .lookup_sid = LookupAccountSidW,
    .token_information = GetTokenInformation,
    .user_info = NetUserGetInfo,
    .local_groups = NetUserGetLocalGroups,
    .lsa_register = LsaRegisterLogonProcess,
    .lsa_package = LsaLookupAuthenticationPackage,
    .lsa_logon = LsaLogonUser,
    .lsa_free = LsaFreeReturnBuffer,
    .lsa_deregister = LsaDeregisterLogonProcess,
    .translate_name = TranslateNameW,
    .logon_user = LogonUserW,
    .load_profile = LoadUserProfileW,
    .unload_profile = UnloadUserProfile,
};
const struct logon_calls *logon_calls = &windows;

/* --- privileges --- */

/* LocalSystem has them all; some are switched off until they are asked for. */
static int enable_privilege(const wchar_t *name)
{
    HANDLE own = NULL;
    TOKEN_PRIVILEGES wanted = {.PrivilegeCount = 1};
    DWORD error = ERROR_SUCCESS;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_ADJUST_PRIVILEGES, &own))
        return win_errno(GetLastError());
    wanted.Privileges[0].Attributes = SE_PRIVILEGE_ENABLED;
    /* It succeeds, too, when it did nothing. */
    if (!LookupPrivilegeValueW(NULL, name, &wanted.Privileges[0].Luid) ||
        !AdjustTokenPrivileges(own, FALSE, &wanted, 0, NULL, NULL) || GetLastError() != ERROR_SUCCESS)
        error = GetLastError();
    CloseHandle(own);
    return error == ERROR_SUCCESS ? 0 : win_errno(error);
}

/* --- tokens that start programs --- */

int logon_token_primary(HANDLE token, HANDLE *ret_primary, struct errmsg *err)
{
    char words[256];
    HANDLE primary = NULL;
    if (!DuplicateTokenEx(token, PRIMARY_RIGHTS, NULL, SecurityImpersonation, TokenPrimary, &primary)) {
        win_words(GetLastError(), words, sizeof words);
        CloseHandle(token);
        return errmsg_set(err, -EACCES, "no program can be started with its token: %s", words);
    }
    CloseHandle(token);
    *ret_primary = primary;
    return 0;
}

/* --- by key: S4U --- */

/* The question and its texts in one piece, as LSA wants it. */
struct question {
    void *data;
    ULONG size;
};

static UNICODE_STRING put_text(uint8_t **at, const wchar_t *text)
{
    USHORT n = (USHORT)(wcslen(text) * sizeof *text);
    UNICODE_STRING string = {n, n, (wchar_t *)(void *)*at};
    memcpy(*at, text, n);
    *at += n;
    return string;
}

static int ask_local(const wchar_t *user, struct question *out)
{
    size_t size = sizeof(MSV1_0_S4U_LOGON) + (wcslen(user) + 1) * sizeof *user;
    MSV1_0_S4U_LOGON *logon = calloc(1, size);
    if (logon == NULL)
        return -ENOMEM;
    uint8_t *at = (uint8_t *)(logon + 1);
    logon->MessageType = MsV1_0S4ULogon;
    logon->Flags = MSV1_0_S4U_LOGON_FLAG_CHECK_LOGONHOURS;
    logon->UserPrincipalName = put_text(&at, user);
    logon->DomainName = put_text(&at, L"."); /* this machine */
    *out = (struct question){logon, (ULONG)size};
    return 0;
}

static int ask_domain(const wchar_t *principal, struct question *out)
{
    size_t size = sizeof(KERB_S4U_LOGON) + wcslen(principal) * sizeof *principal;
    KERB_S4U_LOGON *logon = calloc(1, size);
    if (logon == NULL)
        return -ENOMEM;
    uint8_t *at = (uint8_t *)(logon + 1);
    logon->MessageType = KerbS4ULogon;
    logon->Flags = KERB_S4U_LOGON_FLAG_CHECK_LOGONHOURS;
    logon->ClientUpn = put_text(&at, principal);
    *out = (struct question){logon, (ULONG)size};
    return 0;
}

/* alice@domain.example: what the directory has, else the account's name and the domain's in DNS. */
static int principal_name(const struct accounts_entry *account, wchar_t *out, ULONG size)
{
    wchar_t from[NAME_ROOM], dns[NAME_ROOM];
    ULONG n = size, dns_n = NAME_ROOM;
    if (swprintf(from, NAME_ROOM, L"%ls\\%ls", account->place, account->user) < 0)
        return -ENAMETOOLONG;
    if (logon_calls->translate_name(from, NameSamCompatible, NameUserPrincipal, out, &n))
        return 0;
    if (swprintf(from, NAME_ROOM, L"%ls\\", account->place) < 0)
        return -ENAMETOOLONG;
    if (!logon_calls->translate_name(from, NameSamCompatible, NameCanonical, dns, &dns_n))
        return win_errno(GetLastError());
    dns[wcscspn(dns, L"/")] = L'\0';
    return swprintf(out, size, L"%ls@%ls", account->user, dns) < 0 ? -ENAMETOOLONG : 0;
}

static LSA_STRING lsa_text(char *text)
{
    USHORT n = (USHORT)strlen(text);
    return (LSA_STRING){n, (USHORT)(n + 1), text};
}

/* The logon itself. */
static NTSTATUS ask_lsa(HANDLE lsa, char *package_name, const struct question *q, HANDLE *ret_token)
{
    char origin_name[] = "multissh-sshd";
    LSA_STRING package_text = lsa_text(package_name), origin = lsa_text(origin_name);
    TOKEN_SOURCE source = {SOURCE, {0, 0}};
    ULONG package = 0, profile_n = 0;
    void *profile = NULL;
    LUID id;
    QUOTA_LIMITS quotas;
    NTSTATUS detail = 0;
    NTSTATUS status = logon_calls->lsa_package(lsa, &package_text, &package);
    if (status != 0)
        return status;
    (void)AllocateLocallyUniqueId(&source.SourceIdentifier);
    status = logon_calls->lsa_logon(lsa, &origin, Network, package, q->data, q->size, NULL, &source, &profile,
                                    &profile_n, &id, ret_token, &quotas, &detail);
    if (profile != NULL)
        (void)logon_calls->lsa_free(profile);
    /* "Account restriction" says less than which. */
    return status != 0 && detail != 0 ? detail : status;
}

static int make_question(const struct accounts_entry *account, struct question *out, struct errmsg *err)
{
    wchar_t principal[NAME_ROOM];
    int rc;
    if (account->local) {
        rc = ask_local(account->user, out);
    } else {
        rc = principal_name(account, principal, NAME_ROOM);
        if (rc < 0)
            return errmsg_set(err, rc, "its name in the domain %s could not be found: %s", account->domain,
                              strerror(-rc));
        rc = ask_domain(principal, out);
    }
    return rc < 0 ? errmsg_set(err, rc, "out of memory") : 0;
}

/* A token that may only be looked at starts nothing. */
static int check_level(HANDLE token, struct errmsg *err)
{
    void *info = NULL;
    int rc = accounts_token_info(token, TokenImpersonationLevel, &info);
    /* A primary token has no level. */
    if (rc == 0 && *(SECURITY_IMPERSONATION_LEVEL *)info < SecurityImpersonation)
        rc = errmsg_set(err, -EACCES,
                        "Windows gives a token to look at alone: this service lacks SeTcbPrivilege");
    else
        rc = 0;
    free(info);
    return rc;
}

int logon_token_by_key(const struct accounts_entry *account, HANDLE *ret_token, struct errmsg *err)
{
    char process_name[] = "multissh-sshd", local[] = MSV1_0_PACKAGE_NAME,
         domain[] = MICROSOFT_KERBEROS_NAME_A, words[256];
    LSA_STRING process = lsa_text(process_name);
    LSA_OPERATIONAL_MODE mode;
    struct question q = {NULL, 0};
    HANDLE lsa = NULL, token = NULL;
    int rc = make_question(account, &q, err);
    if (rc < 0)
        return rc;
    (void)enable_privilege(L"SeTcbPrivilege"); /* without it the next call fails and says so */
    NTSTATUS status = logon_calls->lsa_register(&process, &lsa, &mode);
    if (status == 0) {
        status = ask_lsa(lsa, account->local ? local : domain, &q, &token);
        (void)logon_calls->lsa_deregister(lsa);
    }
    free(q.data);
    if (status != 0) {
        win_words(LsaNtStatusToWinError(status), words, sizeof words);
        return errmsg_set(err, -EACCES, "%s", words);
    }
    rc = check_level(token, err);
    if (rc < 0) {
        CloseHandle(token);
        return rc;
    }
    rc = logon_token_primary(token, &token, err);
    if (rc == 0)
        *ret_token = token;
    return rc;
}

/* --- by password --- */

DWORD logon_token_by_password(const wchar_t *place, const wchar_t *user, const wchar_t *password,
                              HANDLE *ret_token)
{
    /* In clear text, as from a network: the token may go on to other machines, and an administrator's is whole. */
    if (logon_calls->logon_user(user, place, password, LOGON32_LOGON_NETWORK_CLEARTEXT,
                                LOGON32_PROVIDER_DEFAULT, ret_token))
        return ERROR_SUCCESS;
    return GetLastError();
}

/* --- the profile --- */

HANDLE logon_token_load_profile(const struct accounts_entry *account, HANDLE token, struct errmsg *err)
{
    char words[256];
    PROFILEINFOW info = {.dwSize = sizeof info, .dwFlags = PI_NOUI};
    static const wchar_t *const needed[] = {L"SeBackupPrivilege", L"SeRestorePrivilege",
                                            L"SeAssignPrimaryTokenPrivilege", L"SeIncreaseQuotaPrivilege"};
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        (void)enable_privilege(needed[i]); /* what is missing makes the calls fail that need it */
    info.lpUserName = account->user;
    if (logon_calls->load_profile(token, &info))
        return info.hProfile;
    win_words(GetLastError(), words, sizeof words);
    errmsg_set(err, -EACCES, "the profile of %s could not be loaded: %s", account->name, words);
    return NULL;
}
