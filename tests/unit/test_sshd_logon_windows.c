/* Who may log in on Windows: this process' own user as it is, and a service by a table of Windows' answers. */
#include "cmocka_all.h"

#include "hub_keys_samples.h"
#include "sshd/accounts_windows.h"
#include "sshd/logon_windows.h"
#include "sshd/logon_windows_calls.h"
#include <errno.h>
#include <sddl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef STATUS_NO_SUCH_USER
#define STATUS_NO_SUCH_USER ((NTSTATUS)0xC0000064)
#endif
#ifndef STATUS_ACCOUNT_DISABLED
#define STATUS_ACCOUNT_DISABLED ((NTSTATUS)0xC0000072)
#endif
#define ACCOUNT_RESTRICTION ((NTSTATUS)0xC000006E)
#define NO_PRIVILEGE ((NTSTATUS)0xC0000061)
#define CAROL "S-1-5-21-1-2-3-1003"
#define WRONG L"\b\n\r\177INCORRECT"

static const struct logon_calls *real;

/* --- the names, whoever asks --- */

static void logins_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *login;
        const wchar_t *place, *user;
    } good[] = {
        {"alice", NULL, L"alice"},
        {".\\alice", L".", L"alice"},
        {"CORP\\alice", L"CORP", L"alice"},
        {"alice@corp.example", L"corp.example", L"alice"},
        {"CORP\\al@ice", L"CORP", L"al@ice"},
        {"a@b@corp", L"corp", L"a@b"},
        {"J\xc3\xb6rg Ma\xc3\x9f", NULL, L"J\u00f6rg Ma\u00df"},
    };
    static const char *const bad[] = {"",        "\\",       "CORP\\",  "\\alice", "alice@",   "@corp",
                                      "a\\b\\c", "al/ice",   "al:ice",  "al*ice",  "a\"b",     "a\nb",
                                      "a|b",     "alice ",   "[alice]", "<a>",     "a,b",      "a;b",
                                      "a=b",     "\xff\xfe", "a\x7f",   "..\\..",  "C:\\alice"};
    for (size_t i = 0; i < COUNT(good); i++) {
        wchar_t *place = NULL, *user = NULL;
        assert_int_equal(accounts_parse(good[i].login, &place, &user), 0);
        assert_true(wcscmp(user, good[i].user) == 0);
        assert_true(good[i].place == NULL ? place == NULL
                                          : place != NULL && wcscmp(place, good[i].place) == 0);
        free(place);
        free(user);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        wchar_t *place = NULL, *user = NULL;
        if (strcmp(bad[i], "..\\..") == 0)
            continue; /* a name like any other, of nobody */
        if (accounts_parse(bad[i], &place, &user) != -EINVAL)
            fail_msg("taken: %s", bad[i]);
    }
    char longest[ACCOUNTS_LOGIN_MAX + 2];
    wchar_t *place = NULL, *user = NULL;
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(accounts_parse(longest, &place, &user), -EINVAL);
}

static void whose_sids(void **state)
{
    (void)state;
    static const struct {
        const char *sid;
        bool person, system;
    } all[] = {
        {"S-1-5-21-1-2-3-1001", true, false},
        {"S-1-5-21-1-2-3-500", true, false},
        {"S-1-12-1-1-2-3-4", true, false},
        {"S-1-5-18", false, true},
        {"S-1-5-19", false, false},
        {"S-1-5-20", false, false},
        {"S-1-5-32-544", false, true},
        {"S-1-5-32-545", false, false},
        {"S-1-5-80-1-2-3-4-5", false, false},
        {"S-1-5-82-1-2-3-4-5", false, false},
        {"S-1-5-83-1-2-3-4", false, false},
        {"S-1-5-21-1-2-3", false, false},
        {"S-1-5-7", false, false},
        {"S-1-1-0", false, false},
        {"S-1-5-90-0-1", false, false},
        {"S-1-16-12288", false, false},
    };
    for (size_t i = 0; i < COUNT(all); i++) {
        PSID sid = NULL;
        assert_true(ConvertStringSidToSidA(all[i].sid, &sid));
        if (accounts_sid_person(sid) != all[i].person || sid_system(sid) != all[i].system)
            fail_msg("%s", all[i].sid);
        LocalFree(sid);
    }
}

/* --- where everything is --- */

struct place {
    char folder[MAX_PATH], keys[MAX_PATH + 20], user[300], computer[64];
    struct sshd_options options;
};

static void write_file(const char *path, const void *data, size_t n)
{
    DWORD written = 0;
    HANDLE file = CreateFileA(path, GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, 0, NULL);
    assert_true(file != INVALID_HANDLE_VALUE);
    assert_true(WriteFile(file, data, (DWORD)n, &written, NULL) && written == n);
    CloseHandle(file);
}

static void put_keys(const struct place *p, const char *text)
{
    write_file(p->keys, text, strlen(text));
}

/* --- Windows, as the tests have it --- */

static struct {
    const char *login; /* who LookupAccountNameW was asked for */
    const wchar_t *known, *domain, *name;
    PSID sid;
    SID_NAME_USE use;
    const wchar_t *group; /* the one local group that the account is in */
    DWORD flags, expires;
    NET_API_STATUS info_status, groups_status;
    NTSTATUS register_status, logon_status, logon_detail;
    SECURITY_IMPERSONATION_LEVEL level;
    bool no_principal, no_administrator;
    DWORD password_error;
    bool profile_fails;
    /* what was asked */
    wchar_t asked[600], package[60], principal[300], lsa_place[60], user[300], user_place[300], password[300];
    ULONG message, flags_asked;
    unsigned lookups, lsa_logons, lsa_open, passwords, profiles, profiles_open;
} fake;

/* The groups of a token with or without Administrators, whatever this process has. */
static WINBOOL WINAPI fake_token_information(HANDLE token, TOKEN_INFORMATION_CLASS class, LPVOID out,
                                             DWORD size, PDWORD need)
{
    static BYTE administrators[SECURITY_MAX_SID_SIZE];
    DWORD n = sizeof administrators;
    if (!GetTokenInformation(token, class, out, size, need))
        return FALSE;
    if (class != TokenGroups)
        return TRUE;
    TOKEN_GROUPS *groups = out;
    assert_true(CreateWellKnownSid(WinBuiltinAdministratorsSid, NULL, administrators, &n));
    for (DWORD i = groups->GroupCount; i-- > 0;) {
        if (EqualSid(groups->Groups[i].Sid, administrators))
            groups->Groups[i] = groups->Groups[--groups->GroupCount];
    }
    if (!fake.no_administrator) { /* in place of one: there is always Everyone */
        groups->Groups[0].Sid = administrators;
        groups->Groups[0].Attributes = SE_GROUP_ENABLED;
    }
    return TRUE;
}

static bool fake_service(void)
{
    return true;
}

static WINBOOL WINAPI fake_lookup_name(LPCWSTR system, LPCWSTR name, PSID sid, LPDWORD sid_n, LPWSTR domain,
                                       LPDWORD domain_n, PSID_NAME_USE use)
{
    assert_null(system);
    fake.lookups++;
    (void)swprintf(fake.asked, COUNT(fake.asked), L"%ls", name);
    if (fake.known == NULL || wcscmp(name, fake.known) != 0) {
        SetLastError(ERROR_NONE_MAPPED);
        return FALSE;
    }
    assert_true(CopySid(*sid_n, sid, fake.sid));
    (void)swprintf(domain, *domain_n, L"%ls", fake.domain);
    *use = fake.use;
    return TRUE;
}

static WINBOOL WINAPI fake_lookup_sid(LPCWSTR system, PSID sid, LPWSTR name, LPDWORD name_n, LPWSTR domain,
                                      LPDWORD domain_n, PSID_NAME_USE use)
{
    if (fake.sid == NULL || !EqualSid(sid, fake.sid))
        return LookupAccountSidW(system, sid, name, name_n, domain, domain_n, use);
    (void)swprintf(name, *name_n, L"%ls", fake.name);
    (void)swprintf(domain, *domain_n, L"%ls", fake.domain);
    *use = fake.use;
    return TRUE;
}

static NET_API_STATUS WINAPI fake_user_info(LPCWSTR server, LPCWSTR user, DWORD level, LPBYTE *ret)
{
    USER_INFO_3 *info;
    assert_null(server);
    assert_int_equal(level, 3);
    assert_true(wcscmp(user, fake.name) == 0);
    if (fake.info_status != NERR_Success)
        return fake.info_status;
    assert_int_equal(NetApiBufferAllocate(sizeof *info, (LPVOID *)ret), NERR_Success);
    info = (USER_INFO_3 *)(void *)*ret;
    memset(info, 0, sizeof *info);
    info->usri3_flags = UF_NORMAL_ACCOUNT | fake.flags;
    info->usri3_acct_expires = fake.expires;
    return NERR_Success;
}

static NET_API_STATUS WINAPI fake_local_groups(LPCWSTR server, LPCWSTR user, DWORD level, DWORD flags,
                                               LPBYTE *ret, DWORD max, LPDWORD n, LPDWORD all)
{
    LOCALGROUP_USERS_INFO_0 *info;
    assert_null(server);
    assert_int_equal(level, 0);
    assert_int_equal(flags, LG_INCLUDE_INDIRECT);
    assert_int_equal(max, MAX_PREFERRED_LENGTH);
    (void)swprintf(fake.asked, COUNT(fake.asked), L"%ls", user);
    if (fake.groups_status != NERR_Success)
        return fake.groups_status;
    assert_int_equal(NetApiBufferAllocate(2 * sizeof *info, (LPVOID *)ret), NERR_Success);
    info = (LOCALGROUP_USERS_INFO_0 *)(void *)*ret;
    info[0].lgrui0_name = (wchar_t *)(uintptr_t)L"Users";
    info[1].lgrui0_name = (wchar_t *)(uintptr_t)fake.group;
    *n = *all = fake.group != NULL ? 2 : 1;
    return NERR_Success;
}

static NTSTATUS NTAPI fake_register(PLSA_STRING name, PHANDLE ret, PLSA_OPERATIONAL_MODE mode)
{
    assert_int_equal(name->Length, strlen("multissh-sshd"));
    assert_memory_equal(name->Buffer, "multissh-sshd", name->Length);
    if (fake.register_status != 0)
        return fake.register_status;
    *mode = 0;
    *ret = (HANDLE)(uintptr_t)0x1234;
    fake.lsa_open++;
    return 0;
}

static NTSTATUS NTAPI fake_deregister(HANDLE lsa)
{
    assert_ptr_equal(lsa, (HANDLE)(uintptr_t)0x1234);
    fake.lsa_open--;
    return 0;
}

static NTSTATUS NTAPI fake_package(HANDLE lsa, PLSA_STRING name, PULONG ret)
{
    (void)lsa;
    (void)swprintf(fake.package, COUNT(fake.package), L"%.*hs", (int)name->Length, name->Buffer);
    *ret = 77;
    return 0;
}

static void copy_text(wchar_t *out, size_t size, const UNICODE_STRING *text, const void *data, ULONG n)
{
    /* All of it must be inside what was handed over. */
    const uint8_t *at = (const uint8_t *)text->Buffer, *from = data;
    if (text->Length == 0) {
        out[0] = L'\0';
        return;
    }
    assert_true(at >= from && at + text->Length <= from + n);
    (void)swprintf(out, size, L"%.*ls", (int)(text->Length / sizeof(wchar_t)), text->Buffer);
}

/* This process' own token in place of the account's. */
static HANDLE own_token(SECURITY_IMPERSONATION_LEVEL level, TOKEN_TYPE type)
{
    HANDLE own = NULL, copy = NULL;
    assert_true(OpenProcessToken(GetCurrentProcess(), TOKEN_DUPLICATE | TOKEN_QUERY, &own));
    assert_true(DuplicateTokenEx(own, TOKEN_ALL_ACCESS, NULL, level, type, &copy));
    CloseHandle(own);
    return copy;
}

static NTSTATUS NTAPI fake_lsa_logon(HANDLE lsa, PLSA_STRING origin, SECURITY_LOGON_TYPE type, ULONG package,
                                     PVOID data, ULONG n, PTOKEN_GROUPS groups, PTOKEN_SOURCE source,
                                     PVOID *profile, PULONG profile_n, PLUID id, PHANDLE ret,
                                     PQUOTA_LIMITS quotas, PNTSTATUS detail)
{
    (void)lsa, (void)origin, (void)source, (void)quotas;
    fake.lsa_logons++;
    assert_int_equal(type, Network);
    assert_int_equal(package, 77);
    assert_null(groups);
    *profile = NULL;
    *profile_n = 0;
    id->LowPart = 1;
    *detail = 0;
    fake.message = *(ULONG *)data;
    if (wcscmp(fake.package, L"Kerberos") == 0) {
        const KERB_S4U_LOGON *q = data;
        assert_int_equal(q->MessageType, KerbS4ULogon);
        assert_int_equal(q->ClientRealm.Length, 0);
        fake.flags_asked = q->Flags;
        copy_text(fake.principal, COUNT(fake.principal), &q->ClientUpn, data, n);
    } else {
        const MSV1_0_S4U_LOGON *q = data;
        assert_int_equal(q->MessageType, MsV1_0S4ULogon);
        fake.flags_asked = q->Flags;
        copy_text(fake.principal, COUNT(fake.principal), &q->UserPrincipalName, data, n);
        copy_text(fake.lsa_place, COUNT(fake.lsa_place), &q->DomainName, data, n);
    }
    if (fake.logon_status != 0) {
        *detail = fake.logon_detail;
        return fake.logon_status;
    }
    *ret = own_token(fake.level, TokenImpersonation);
    return 0;
}

static NTSTATUS NTAPI fake_lsa_free(PVOID data)
{
    (void)data;
    return 0;
}

static BOOLEAN WINAPI fake_translate(LPCWSTR name, EXTENDED_NAME_FORMAT from, EXTENDED_NAME_FORMAT to,
                                     LPWSTR out, PULONG n)
{
    assert_int_equal(from, NameSamCompatible);
    if (to == NameUserPrincipal && !fake.no_principal) {
        assert_true(wcscmp(name, L"CORP\\Alice") == 0);
        (void)swprintf(out, *n, L"a.smith@corp.example");
        return TRUE;
    }
    if (to == NameCanonical && fake.no_principal) {
        assert_true(wcscmp(name, L"CORP\\") == 0);
        (void)swprintf(out, *n, L"corp.example/");
        return TRUE;
    }
    SetLastError(ERROR_NONE_MAPPED);
    return FALSE;
}

static WINBOOL WINAPI fake_logon_user(LPCWSTR user, LPCWSTR domain, LPCWSTR password, DWORD type,
                                      DWORD provider, PHANDLE ret)
{
    fake.passwords++;
    assert_int_equal(type, LOGON32_LOGON_NETWORK_CLEARTEXT);
    assert_int_equal(provider, LOGON32_PROVIDER_DEFAULT);
    (void)swprintf(fake.user, COUNT(fake.user), L"%ls", user);
    (void)swprintf(fake.user_place, COUNT(fake.user_place), L"%ls", domain);
    (void)swprintf(fake.password, COUNT(fake.password), L"%ls", password);
    if (fake.password_error != 0) {
        SetLastError(fake.password_error);
        return FALSE;
    }
    *ret = own_token(SecurityImpersonation, TokenPrimary);
    return TRUE;
}

static WINBOOL WINAPI fake_load_profile(HANDLE token, LPPROFILEINFOW info)
{
    assert_non_null(token);
    assert_int_equal(info->dwSize, sizeof *info);
    assert_int_equal(info->dwFlags, PI_NOUI);
    assert_true(wcscmp(info->lpUserName, fake.name) == 0);
    fake.profiles++;
    if (fake.profile_fails) {
        SetLastError(ERROR_ACCESS_DENIED);
        return FALSE;
    }
    fake.profiles_open++;
    info->hProfile = (HANDLE)(uintptr_t)0x4321;
    return TRUE;
}

static WINBOOL WINAPI fake_unload_profile(HANDLE token, HANDLE profile)
{
    assert_non_null(token);
    assert_ptr_equal(profile, (HANDLE)(uintptr_t)0x4321);
    fake.profiles_open--;
    return TRUE;
}

static const struct logon_calls fakes = {
    .service = fake_service,
    .lookup_name = fake_lookup_name,
    .lookup_sid = fake_lookup_sid,
    .token_information = fake_token_information,
    .user_info = fake_user_info,
    .local_groups = fake_local_groups,
    .lsa_register = fake_register,
    .lsa_package = fake_package,
    .lsa_logon = fake_lsa_logon,
    .lsa_free = fake_lsa_free,
    .lsa_deregister = fake_deregister,
    .translate_name = fake_translate,
    .logon_user = fake_logon_user,
    .load_profile = fake_load_profile,
    .unload_profile = fake_unload_profile,
};

/* --- begin and end of a test --- */

static int setup(void **state)
{
    static struct place p;
    char temp[MAX_PATH];
    DWORD n = sizeof p.user;
    memset(&p, 0, sizeof p);
    assert_true(GetTempPathA(sizeof temp, temp) > 0);
    (void)snprintf(p.folder, sizeof p.folder, "%smultissh-logon-%lu", temp, GetCurrentProcessId());
    (void)snprintf(p.keys, sizeof p.keys, "%s\\keys", p.folder);
    /* One that failed may have left it: numbers of processes come again. */
    assert_true(CreateDirectoryA(p.folder, NULL) || GetLastError() == ERROR_ALREADY_EXISTS);
    assert_true(GetUserNameA(p.user, &n));
    n = sizeof p.computer;
    assert_true(GetComputerNameA(p.computer, &n));
    p.options.authorized_keys = p.keys;
    p.options.strict_modes = true;
    logon_calls = real;
    *state = &p;
    return 0;
}

/* As a service; alice of this machine is whom Windows knows, with this process' user's SID and token. */
static int setup_service(void **state)
{
    static wchar_t here[100], known[200];
    void *info = NULL;
    DWORD n = COUNT(here);
    (void)setup(state);
    memset(&fake, 0, sizeof fake);
    assert_int_equal(accounts_token_info(NULL, TokenUser, &info), 0);
    assert_int_equal(accounts_sid_copy(((TOKEN_USER *)info)->User.Sid, &fake.sid), 0);
    free(info);
    assert_true(GetComputerNameW(here, &n));
    (void)swprintf(known, COUNT(known), L"alice");
    fake.known = known;
    fake.domain = here;
    fake.name = L"Alice";
    fake.use = SidTypeUser;
    fake.expires = TIMEQ_FOREVER;
    fake.level = SecurityImpersonation;
    logon_calls = &fakes;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    char path[MAX_PATH + 80];
    DeleteFileA(p->keys);
    (void)snprintf(path, sizeof path, "%s\\ssh\\administrators_authorized_keys", p->folder);
    DeleteFileA(path);
    (void)snprintf(path, sizeof path, "%s\\ssh", p->folder);
    RemoveDirectoryA(path);
    free(fake.sid);
    fake.sid = NULL;
    logon_calls = real;
    return RemoveDirectoryA(p->folder) ? 0 : -1;
}

/* --- asking --- */

struct answer {
    enum host_verdict verdict;
    bool telling;
    struct errmsg words;
    struct logon *logon;
    struct authkeys_rights rights;
};

static struct answer by_key(const struct place *p, const char *login, const char *key, bool verified)
{
    struct answer a = {.verdict = HOST_NO};
    a.verdict =
        logon_key(&p->options, login, key, verified, "192.0.2.7", &a.logon, &a.rights, &a.telling, &a.words);
    assert_true(a.words.text[0] != '\0');
    assert_true((a.logon != NULL) == (verified && a.verdict == HOST_YES));
    return a;
}

static void let_go(struct answer *a)
{
    logon_free(a->logon);
    authkeys_rights_release(&a->rights);
}

static void expect_key(const struct place *p, const char *login, bool verified, enum host_verdict verdict,
                       const char *says)
{
    struct answer a = by_key(p, login, KEY_ED25519, verified);
    if (a.verdict != verdict || strstr(a.words.text, says) == NULL)
        fail_msg("%s: verdict %d: %s", login, a.verdict, a.words.text);
    let_go(&a);
}

static void expect_password(const struct place *p, const char *login, const char *password,
                            enum host_verdict verdict, const char *says)
{
    struct answer a = {.verdict = HOST_NO};
    a.verdict = logon_password(&p->options, login, password, NULL, &a.logon, &a.words);
    assert_true((a.logon != NULL) == (a.verdict == HOST_YES));
    if (a.verdict != verdict || strstr(a.words.text, says) == NULL)
        fail_msg("%s: verdict %d: %s", login, a.verdict, a.words.text);
    let_go(&a);
}

/* --- by hand --- */

static void the_own_user(void **state)
{
    const struct place *p = *state;
    char login[400], upper[300];
    put_keys(p, "# keys\r\n" KEY_ED25519_B " b\r\nno-pty,command=\"dir\" " KEY_ED25519 " a\r\n");
    struct answer a = by_key(p, p->user, KEY_ED25519, true);
    if (a.verdict != HOST_YES)
        fail_msg("%s", a.words.text);
    assert_null(a.logon->token);
    assert_string_equal(a.logon->name, p->user);
    assert_string_equal(a.logon->domain, p->computer);
    assert_true(a.logon->home[0] != L'\0' && a.logon->home[wcslen(a.logon->home) - 1] != L'\\');
    assert_true(a.rights.no_pty);
    assert_string_equal(a.rights.command, "dir");
    assert_non_null(strstr(a.words.text, "keys, line 3"));
    let_go(&a);

    a = by_key(p, p->user, KEY_ED25519, false);
    assert_int_equal(a.verdict, HOST_YES);
    assert_null(a.rights.command);
    let_go(&a);

    (void)snprintf(upper, sizeof upper, "%s", p->user);
    CharUpperA(upper);
    (void)snprintf(login, sizeof login, "%s\\%s", p->computer, upper);
    expect_key(p, login, true, HOST_YES, "line 3");
    (void)snprintf(login, sizeof login, ".\\%s", upper);
    expect_key(p, login, true, HOST_YES, "line 3");
    (void)snprintf(login, sizeof login, "%s@%s", upper, p->computer);
    expect_key(p, login, true, HOST_YES, "line 3");
}

static void nobody_else(void **state)
{
    struct place *p = *state;
    static const char *const none[] = {"SYSTEM",   "NT AUTHORITY\\SYSTEM", "LOCAL SERVICE", "Administrators",
                                       "Everyone", "no-such-account-here"};
    put_keys(p, KEY_ED25519 "\n");
    for (size_t i = 0; i < COUNT(none); i++)
        expect_key(p, none[i], true, HOST_NO, none[i]);
    expect_key(p, "", true, HOST_NO, "cannot be the name");
    expect_key(p, "a\\b\\c", true, HOST_NO, "cannot be the name");
    p->options.passwords = true;
    expect_password(p, p->user, "secret", HOST_NO, "is no service");
    p->options.passwords = false;
    expect_password(p, p->user, "secret", HOST_NO, "do not count here");
}

/* An account that there is and that is not the one that runs this. */
static void another_account(void **state)
{
    struct place *p = *state;
    struct logon_calls calls = *real;
    put_keys(p, KEY_ED25519 "\n");
    fake.known = L"carol";
    fake.name = L"carol";
    fake.domain = L"CORP";
    fake.use = SidTypeUser;
    assert_true(ConvertStringSidToSidA(CAROL, &fake.sid));
    calls.lookup_name = fake_lookup_name;
    calls.lookup_sid = fake_lookup_sid;
    logon_calls = &calls;
    expect_key(p, "carol", true, HOST_NO, "lets in nobody else: not carol");
    LocalFree(fake.sid);
    fake.sid = NULL;
}

static void keys_that_do_not_count(void **state)
{
    struct place *p = *state;
    char options[MAX_PATH * 2];
    struct answer a;
    put_keys(p, KEY_ED25519_B "\n");
    a = by_key(p, p->user, KEY_ED25519, true);
    assert_int_equal(a.verdict, HOST_NO);
    assert_false(a.telling);
    assert_non_null(strstr(a.words.text, "no line of"));

    put_keys(p, "from=\"198.51.100.1\" " KEY_ED25519 "\n");
    a = by_key(p, p->user, KEY_ED25519, true);
    assert_int_equal(a.verdict, HOST_NO);
    assert_true(a.telling);
    assert_non_null(strstr(a.words.text, "192.0.2.7"));

    /* What PowerShell and Notepad write. */
    write_file(p->keys,
               L"\xfeff"
               L"ssh-ed25519 AAAA",
               34);
    expect_key(p, p->user, true, HOST_NO, "is in UTF-16");
    put_keys(p, "\xEF\xBB\xBF" KEY_ED25519 "\r\n");
    expect_key(p, p->user, true, HOST_YES, "line 1");

    p->options.authorized_keys = (char *)"no-such-folder-here/keys";
    expect_key(p, p->user, true, HOST_NO, "no-such-folder-here\\keys");
    p->options.authorized_keys = (char *)"keys%x";
    expect_key(p, p->user, true, HOST_NO, "means nothing");
    p->options.authorized_keys = (char *)"\\\\.\\pipe\\keys C:/x:stream";
    expect_key(p, p->user, true, HOST_NO, "not the path of a file");
    (void)snprintf(options, sizeof options, "no-such-file-here %s", p->keys);
    p->options.authorized_keys = options;
    expect_key(p, p->user, true, HOST_YES, "line 1");
    p->options.authorized_keys = p->folder;
    expect_key(p, p->user, true, HOST_NO, p->folder);
}

static void too_large_a_file(void **state)
{
    const struct place *p = *state;
    size_t n = AUTHKEYS_TEXT_MAX + 100;
    char *text = malloc(n);
    assert_non_null(text);
    memset(text, '\n', n);
    memcpy(text, KEY_ED25519 "\n", strlen(KEY_ED25519 "\n"));
    write_file(p->keys, text, n);
    free(text);
    expect_key(p, p->user, true, HOST_NO, "larger than 4 MiB");
}

static void files_that_others_can_write(void **state)
{
    struct place *p = *state;
    PSECURITY_DESCRIPTOR sd = NULL;
    struct answer a;
    put_keys(p, KEY_ED25519 "\n");
    assert_true(
        ConvertStringSecurityDescriptorToSecurityDescriptorA("D:P(A;;FA;;;WD)", SDDL_REVISION_1, &sd, NULL));
    assert_true(SetFileSecurityA(p->keys, DACL_SECURITY_INFORMATION, sd));
    a = by_key(p, p->user, KEY_ED25519, true);
    assert_int_equal(a.verdict, HOST_NO);
    assert_true(a.telling);
    assert_non_null(strstr(a.words.text, "can be written by"));
    p->options.strict_modes = false;
    expect_key(p, p->user, true, HOST_YES, "line 1");
    LocalFree(sd);
}

static void lists_of_users_and_groups(void **state)
{
    struct place *p = *state;
    char full[500], lists[600];
    put_keys(p, KEY_ED25519 "\n");
    (void)snprintf(full, sizeof full, "%s\\%s", p->computer, p->user);
    CharLowerA(full);
    p->options.allow_users = full;
    expect_key(p, p->user, true, HOST_YES, "line 1");
    CharUpperA(full);
    expect_key(p, p->user, true, HOST_YES, "line 1");
    (void)snprintf(lists, sizeof lists, "*,!%s", p->user);
    p->options.allow_users = lists;
    expect_key(p, p->user, true, HOST_FATAL, "allow-users");
    expect_key(p, p->user, false, HOST_YES, "line 1"); /* who has not proved who they are is told nothing */
    (void)snprintf(lists, sizeof lists, "*,!%s", full);
    expect_key(p, p->user, true, HOST_FATAL, "allow-users");
    p->options.allow_users = (char *)"somebody,else*";
    expect_key(p, p->user, true, HOST_FATAL, "allow-users");
    p->options.allow_users = NULL;

    p->options.allow_groups = (char *)"everyone";
    expect_key(p, p->user, true, HOST_YES, "line 1");
    p->options.allow_groups = (char *)"*,!NT authority\\Authenticated users";
    expect_key(p, p->user, true, HOST_FATAL, "excludes");
    p->options.allow_groups = (char *)"no-such-group-here";
    expect_key(p, p->user, true, HOST_FATAL, "in no group");
}

/* --- as a service, by key --- */

static void a_local_account(void **state)
{
    struct place *p = *state;
    put_keys(p, KEY_ED25519 "\n");
    fake.no_administrator = true;
    struct answer a = by_key(p, "alice", KEY_ED25519, true);
    if (a.verdict != HOST_YES)
        fail_msg("%s", a.words.text);
    assert_non_null(strstr(a.words.text, "keys, line 1"));
    assert_non_null(a.logon->token);
    assert_false(a.logon->administrator);
    let_go(&a);
    /* %h is what the registry says of it. */
    p->options.authorized_keys = (char *)"%h/no-such-folder-here/%u";
    expect_key(p, "alice", true, HOST_NO, "\\no-such-folder-here\\Alice");
}

static void an_account_without_a_profile(void **state)
{
    struct place *p = *state;
    PSID carol = NULL;
    free(fake.sid);
    assert_true(ConvertStringSidToSidA(CAROL, &carol));
    assert_int_equal(accounts_sid_copy(carol, &fake.sid), 0);
    LocalFree(carol);
    put_keys(p, KEY_ED25519 "\n");
    p->options.strict_modes = false;
    expect_key(p, "alice", false, HOST_YES, "keys, line 1"); /* it is not in the profile */
    p->options.authorized_keys = (char *)".ssh/authorized_keys";
    expect_key(p, "alice", false, HOST_NO, "Alice has no profile folder yet");
}

static void use_administrators_file(struct place *p, const char *text)
{
    char path[MAX_PATH + 80];
    (void)snprintf(path, sizeof path, "%s\\ssh", p->folder);
    (void)CreateDirectoryA(path, NULL);
    (void)snprintf(path, sizeof path, "%s\\ssh\\administrators_authorized_keys", p->folder);
    write_file(path, text, strlen(text));
    assert_true(SetEnvironmentVariableA("ProgramData", p->folder));
    fake.group = L"administrators";
    p->options.strict_modes = false; /* the file is this user's, and not the Administrators' */
}

static void an_administrator(void **state)
{
    struct place *p = *state;
    struct answer a;
    put_keys(p, KEY_ED25519_B "\n");
    use_administrators_file(p, KEY_ED25519 "\n");
    expect_key(p, "alice", false, HOST_YES, "ssh\\administrators_authorized_keys, line 1");
    assert_int_equal(fake.lsa_logons, 0); /* nothing that Windows notes, before the key is proved */

    a = by_key(p, "alice", KEY_ED25519, true);
    if (a.verdict != HOST_YES)
        fail_msg("%s", a.words.text);
    assert_non_null(a.logon->token);
    assert_true(a.logon->administrator);
    assert_string_equal(a.logon->name, "Alice");
    assert_true(wcscmp(fake.asked, L"Alice") == 0);
    assert_true(wcscmp(fake.package, L"MICROSOFT_AUTHENTICATION_PACKAGE_V1_0") == 0);
    assert_true(wcscmp(fake.principal, L"Alice") == 0);
    assert_true(wcscmp(fake.lsa_place, L".") == 0);
    assert_int_equal(fake.message, MsV1_0S4ULogon);
    assert_int_equal(fake.flags_asked, MSV1_0_S4U_LOGON_FLAG_CHECK_LOGONHOURS);
    assert_int_equal(fake.lsa_logons, 1);
    assert_int_equal(fake.lsa_open, 0);
    assert_int_equal(fake.profiles_open, 1);
    void *info = NULL;
    assert_int_equal(accounts_token_info(a.logon->token, TokenType, &info), 0);
    assert_int_equal(*(TOKEN_TYPE *)info, TokenPrimary);
    free(info);
    let_go(&a);
    assert_int_equal(fake.profiles_open, 0);

    /* The profile's own file counts for nothing. */
    a = by_key(p, "alice", KEY_ED25519_B, true);
    assert_int_equal(a.verdict, HOST_NO);
    assert_non_null(strstr(a.words.text, "administrators_authorized_keys"));
    assert_int_equal(fake.lsa_logons, 1);
}

static void the_administrators_file_is_the_systems(void **state)
{
    struct place *p = *state;
    use_administrators_file(p, KEY_ED25519 "\n");
    p->options.strict_modes = true;
    expect_key(p, "alice", true, HOST_NO, "not to Administrators: icacls");
    (void)SetEnvironmentVariableA("ProgramData", "relative");
    expect_key(p, "alice", true, HOST_NO, "ProgramData");
    (void)SetEnvironmentVariableA("ProgramData", "C:\\no-such-folder-here");
    expect_key(p, "alice", true, HOST_NO,
               "Alice is an administrator, and C:\\no-such-folder-here\\ssh\\admin");
}

/* The list of groups says no, the token says yes: the profile's file is not enough. */
static void a_token_that_knows_better(void **state)
{
    struct place *p = *state;
    use_administrators_file(p, KEY_ED25519_B "\n");
    put_keys(p, KEY_ED25519 "\n");
    fake.group = L"Operators";
    expect_key(p, "alice", false, HOST_YES, "keys, line 1");
    expect_key(p, "alice", true, HOST_NO, "no line of ");
    assert_int_equal(fake.profiles, 0);
    put_keys(p, KEY_ED25519_B "\n");
    struct answer a = by_key(p, "alice", KEY_ED25519_B, true);
    assert_int_equal(a.verdict, HOST_YES);
    assert_non_null(strstr(a.words.text, "administrators_authorized_keys, line 1"));
    let_go(&a);
}

/* Who is asked for when, and who is none. */
static void names_as_a_service(void **state)
{
    struct place *p = *state;
    char login[200];
    wchar_t full[200];
    use_administrators_file(p, KEY_ED25519 "\n");
    (void)swprintf(full, COUNT(full), L"%ls\\alice", fake.domain);
    fake.known = full;
    expect_key(p, ".\\alice", false, HOST_YES, "line 1");
    (void)snprintf(login, sizeof login, "alice@%s", p->computer);
    expect_key(p, login, false, HOST_YES, "line 1");
    fake.known = L"alice@corp.example";
    expect_key(p, "alice@corp.example", false, HOST_YES, "line 1");
    fake.known = L"CORP\\alice";
    expect_key(p, "CORP\\alice", false, HOST_YES, "line 1");
    expect_key(p, "alice", false, HOST_NO, "there is no account alice");

    fake.use = SidTypeGroup;
    expect_key(p, "CORP\\alice", false, HOST_NO, "not a user's account");
    fake.use = SidTypeAlias;
    expect_key(p, "CORP\\alice", false, HOST_NO, "not a user's account");
    fake.use = SidTypeUser;
    fake.name = L"WINBOX$";
    expect_key(p, "CORP\\alice", false, HOST_NO, "a computer's account");
    fake.name = L"Alice";
    free(fake.sid);
    PSID app = NULL;
    assert_true(
        ConvertStringSidToSidA("S-1-5-82-1-2-3-4-5", &app)); /* IIS APPPOOL\… is a user's, says Windows */
    assert_int_equal(accounts_sid_copy(app, &fake.sid), 0);
    LocalFree(app);
    expect_key(p, "CORP\\alice", false, HOST_NO, "not a user's account");
}

static void a_domains_account(void **state)
{
    struct place *p = *state;
    use_administrators_file(p, KEY_ED25519 "\n");
    fake.domain = L"CORP";
    fake.info_status = NERR_UserNotFound; /* must not be asked: it is not of this machine */
    expect_key(p, "alice", true, HOST_YES, "line 1");
    assert_true(wcscmp(fake.asked, L"CORP\\Alice") == 0);
    assert_true(wcscmp(fake.package, L"Kerberos") == 0);
    assert_true(wcscmp(fake.principal, L"a.smith@corp.example") == 0);
    assert_int_equal(fake.flags_asked, KERB_S4U_LOGON_FLAG_CHECK_LOGONHOURS);
    fake.no_principal = true;
    expect_key(p, "alice", true, HOST_YES, "line 1");
    assert_true(wcscmp(fake.principal, L"Alice@corp.example") == 0);
    assert_int_equal(fake.profiles_open, 0);
}

static void tokens_that_cannot_be_had(void **state)
{
    struct place *p = *state;
    use_administrators_file(p, KEY_ED25519 "\n");
    fake.register_status = NO_PRIVILEGE;
    expect_key(p, "alice", true, HOST_FATAL, "Alice cannot be logged in by key here: ");
    expect_key(p, "alice", true, HOST_FATAL, "(1314); a password works where passwords = yes");
    p->options.passwords = true;
    expect_key(p, "alice", true, HOST_FATAL, "(1314); log in by password");
    fake.register_status = 0;

    fake.logon_status = STATUS_NO_SUCH_USER;
    expect_key(p, "alice", true, HOST_FATAL, "(1317)");
    fake.logon_status = ACCOUNT_RESTRICTION;
    fake.logon_detail = STATUS_ACCOUNT_DISABLED;
    expect_key(p, "alice", true, HOST_FATAL, "(1331)");
    fake.logon_status = fake.logon_detail = 0;

    fake.level = SecurityIdentification;
    expect_key(p, "alice", true, HOST_FATAL, "a token to look at alone");
    fake.level = SecurityImpersonation;

    fake.domain = L"CORP";
    fake.no_principal = true;
    fake.name = L"Alice";
    expect_key(p, "alice", true, HOST_YES, "line 1");
    assert_int_equal(fake.lsa_open, 0);
    assert_int_equal(fake.profiles_open, 0);
}

/* Whatever Windows gives: it must be the account's. */
static void somebody_elses_token(void **state)
{
    struct place *p = *state;
    PSID carol = NULL;
    use_administrators_file(p, KEY_ED25519 "\n");
    free(fake.sid);
    assert_true(ConvertStringSidToSidA(CAROL, &carol));
    assert_int_equal(accounts_sid_copy(carol, &fake.sid), 0);
    LocalFree(carol);
    expect_key(p, "alice", true, HOST_FATAL, "somebody else's token");
    p->options.passwords = true;
    expect_password(p, "alice", "secret", HOST_NO, "(1326)");
    assert_int_equal(fake.profiles, 0);
}

static void accounts_that_are_closed(void **state)
{
    struct place *p = *state;
    use_administrators_file(p, KEY_ED25519 "\n");
    fake.flags = UF_ACCOUNTDISABLE;
    expect_key(p, "alice", true, HOST_FATAL, "the account Alice is disabled");
    expect_key(p, "alice", false, HOST_YES, "line 1");
    fake.flags = UF_LOCKOUT;
    expect_key(p, "alice", true, HOST_FATAL, "the account Alice is locked");
    fake.flags = 0;
    fake.expires = 1000;
    expect_key(p, "alice", true, HOST_FATAL, "the account Alice has expired");
    fake.expires = TIMEQ_FOREVER;
    fake.info_status = NERR_UserNotFound;
    expect_key(p, "alice", true, HOST_FATAL, "(2221)");
    fake.info_status = 0;
    fake.groups_status = ERROR_ACCESS_DENIED; /* which file counts is then not known */
    expect_key(p, "alice", true, HOST_NO, "the groups of Alice");
    fake.groups_status = 0;
    p->options.allow_users = (char *)"bob";
    expect_key(p, "alice", true, HOST_FATAL, "allow-users");
    p->options.allow_users = (char *)"ALICE";
    expect_key(p, "alice", true, HOST_YES, "line 1");
    fake.profile_fails = true;
    expect_key(p, "alice", true, HOST_YES, "line 1; the profile of Alice could not be loaded");
    assert_int_equal(fake.profiles_open, 0);
}

/* Below the profile a service opens name by name. */
static void inside_the_profile(void **state)
{
    struct place *p = *state;
    char *folder = p->folder, *profile = getenv("USERPROFILE");
    if (profile == NULL || _strnicmp(folder, profile, strlen(profile)) != 0)
        skip(); /* the temporary folder is somewhere else */
    put_keys(p, KEY_ED25519 "\n");
    expect_key(p, "alice", false, HOST_YES, "keys, line 1");
    char up[MAX_PATH + 60];
    (void)snprintf(up, sizeof up, "%s/../%s/keys", folder, strrchr(folder, '\\') + 1);
    p->options.authorized_keys = up;
    expect_key(p, "alice", false, HOST_YES, "keys, line 1");
    (void)snprintf(up, sizeof up, "%s/nothing/keys", folder);
    expect_key(p, "alice", false, HOST_NO, "nothing\\keys");
    (void)snprintf(up, sizeof up, "%s/keys/keys", folder);
    expect_key(p, "alice", false, HOST_NO, "keys\\keys");
    p->options.authorized_keys = folder; /* a folder */
    expect_key(p, "alice", false, HOST_NO, folder);
}

static void links_are_not_followed(void **state)
{
    struct place *p = *state;
    char link[MAX_PATH + 20], keys[MAX_PATH + 40], *profile = getenv("USERPROFILE");
    if (profile == NULL || _strnicmp(p->folder, profile, strlen(profile)) != 0)
        skip(); /* the temporary folder is somewhere else */
    put_keys(p, KEY_ED25519 "\n");
    (void)snprintf(link, sizeof link, "%s\\link", p->folder);
    (void)snprintf(keys, sizeof keys, "%s\\link\\keys", p->folder);
    if (!CreateSymbolicLinkA(link, p->folder,
                             SYMBOLIC_LINK_FLAG_DIRECTORY | SYMBOLIC_LINK_FLAG_ALLOW_UNPRIVILEGED_CREATE) ||
        GetFileAttributesA(keys) == INVALID_FILE_ATTRIBUTES)
        skip(); /* Wine makes none; Windows only with a right or in developer mode */
    p->options.authorized_keys = keys;
    struct answer a = by_key(p, "alice", KEY_ED25519, false);
    RemoveDirectoryA(link);
    assert_int_equal(a.verdict, HOST_NO);
    assert_non_null(strstr(a.words.text, "a link or a junction"));
}

/* In ProgramData anybody may make what is not there, and let it lead to files of another volume that say of
 * themselves that they are the system's. */
static void links_to_the_administrators_file(void **state)
{
    struct place *p = *state;
    char link[MAX_PATH + 80], folder[MAX_PATH + 80], file[MAX_PATH + 120];
    use_administrators_file(p, KEY_ED25519 "\n");
    (void)snprintf(link, sizeof link, "%s\\ssh", p->folder);
    (void)snprintf(folder, sizeof folder, "%s\\elsewhere", p->folder);
    (void)snprintf(file, sizeof file, "%s\\administrators_authorized_keys", folder);
    assert_true(MoveFileA(link, folder));
    bool made =
        CreateSymbolicLinkA(link, folder,
                            SYMBOLIC_LINK_FLAG_DIRECTORY | SYMBOLIC_LINK_FLAG_ALLOW_UNPRIVILEGED_CREATE) &&
        GetFileAttributesA(link) != INVALID_FILE_ATTRIBUTES;
    struct answer a = by_key(p, "alice", KEY_ED25519, false);
    RemoveDirectoryA(link);
    DeleteFileA(file);
    RemoveDirectoryA(folder);
    if (!made)
        skip(); /* Wine makes none; Windows only with a right or in developer mode */
    assert_int_equal(a.verdict, HOST_NO);
    assert_non_null(strstr(a.words.text, "a link or a junction"));
}

/* --- as a service, by password --- */

static void a_right_password(void **state)
{
    struct place *p = *state;
    struct answer a = {.verdict = HOST_NO};
    p->options.passwords = true;
    a.verdict = logon_password(&p->options, "alice",
                               "s\xc3\xa4"
                               "cret",
                               "192.0.2.7", &a.logon, &a.words);
    assert_int_equal(a.verdict, HOST_YES);
    assert_true(wcscmp(fake.user, L"Alice") == 0);
    assert_true(wcscmp(fake.user_place, L".") == 0);
    assert_true(wcscmp(fake.password, L"s\u00e4cret") == 0);
    assert_non_null(a.logon->token);
    assert_int_equal(fake.profiles_open, 1);
    assert_int_equal(fake.lsa_logons, 0);
    let_go(&a);
    assert_int_equal(fake.profiles_open, 0);

    fake.domain = L"CORP";
    expect_password(p, "alice", "secret", HOST_YES, "knows the password");
    assert_true(wcscmp(fake.user_place, L"CORP") == 0);

    p->options.allow_users = (char *)"bob";
    expect_password(p, "alice", "secret", HOST_FATAL, "allow-users");
    p->options.passwords = false;
    fake.passwords = 0;
    expect_password(p, "alice", "secret", HOST_NO, "do not count here");
    assert_int_equal(fake.passwords, 0);
}

static void passwords_that_do_not_count(void **state)
{
    struct place *p = *state;
    char longest[1100];
    static const struct {
        DWORD error;
        enum host_verdict verdict;
        const char *says;
    } all[] = {
        {ERROR_LOGON_FAILURE, HOST_NO, "(1326)"},
        /* What could be had without the password says nothing to the user. */
        {ERROR_ACCOUNT_DISABLED, HOST_NO, "(1331)"},
        {ERROR_ACCOUNT_LOCKED_OUT, HOST_NO, "(1909)"},
        {ERROR_ACCOUNT_EXPIRED, HOST_NO, "(1793)"},
        {ERROR_ACCOUNT_RESTRICTION, HOST_NO, "(1327)"},
        {ERROR_INVALID_LOGON_HOURS, HOST_NO, "(1328)"},
        {ERROR_INVALID_WORKSTATION, HOST_NO, "(1329)"},
        {ERROR_PASSWORD_EXPIRED, HOST_FATAL, "Alice cannot log in by password: the password has expired"},
        {ERROR_PASSWORD_MUST_CHANGE, HOST_FATAL, "has to be changed"},
        {ERROR_LOGON_TYPE_NOT_GRANTED, HOST_FATAL, "Access this computer from the network"},
    };
    p->options.passwords = true;
    for (size_t i = 0; i < COUNT(all); i++) {
        fake.password_error = all[i].error;
        expect_password(p, "alice", "secret", all[i].verdict, all[i].says);
    }
    /* One that cannot be right is not tried; Windows works on another for as long. */
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    const char *const bad[] = {"", longest, "\xff\xfe"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        fake.password_error = 0; /* even if it were somebody's */
        fake.passwords = 0;
        expect_password(p, "alice", bad[i], HOST_NO, "empty, too long or malformed");
        assert_int_equal(fake.passwords, 1);
        assert_true(wcscmp(fake.password, WRONG) == 0);
        fake.password_error = ERROR_PASSWORD_EXPIRED;
        expect_password(p, "alice", bad[i], HOST_NO, "empty, too long or malformed");
    }
    assert_int_equal(fake.profiles, 0);
}

/* Windows is asked, too, for a name that it does not know, and what it says does not count: it may take it for its
 * guest. */
static void passwords_of_nobody(void **state)
{
    struct place *p = *state;
    p->options.passwords = true;
    expect_password(p, "mallory", "secret", HOST_NO, "there is no account mallory");
    assert_int_equal(fake.passwords, 1);
    assert_true(wcscmp(fake.user, L"mallory") == 0);
    assert_true(wcscmp(fake.user_place, L".") == 0);
    assert_true(wcscmp(fake.password, WRONG) == 0);
    fake.password_error = ERROR_PASSWORD_EXPIRED;
    expect_password(p, "CORP\\mallory", "secret", HOST_NO, "there is no account");
    assert_true(wcscmp(fake.user_place, L"CORP") == 0);
    expect_password(p, "a\\b\\c", "secret", HOST_NO, "cannot be the name");
    assert_int_equal(fake.passwords, 2);
}

int main(void)
{
    real = logon_calls;
#define BY_HAND(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define SERVICE(test) cmocka_unit_test_setup_teardown(test, setup_service, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logins_taken_apart),
        cmocka_unit_test(whose_sids),
        BY_HAND(the_own_user),
        BY_HAND(nobody_else),
        BY_HAND(another_account),
        BY_HAND(keys_that_do_not_count),
        BY_HAND(too_large_a_file),
        BY_HAND(files_that_others_can_write),
        BY_HAND(lists_of_users_and_groups),
        SERVICE(a_local_account),
        SERVICE(an_account_without_a_profile),
        SERVICE(an_administrator),
        SERVICE(the_administrators_file_is_the_systems),
        SERVICE(a_token_that_knows_better),
        SERVICE(names_as_a_service),
        SERVICE(a_domains_account),
        SERVICE(tokens_that_cannot_be_had),
        SERVICE(somebody_elses_token),
        SERVICE(accounts_that_are_closed),
        SERVICE(inside_the_profile),
        SERVICE(links_are_not_followed),
        SERVICE(links_to_the_administrators_file),
        SERVICE(a_right_password),
        SERVICE(passwords_that_do_not_count),
        SERVICE(passwords_of_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
