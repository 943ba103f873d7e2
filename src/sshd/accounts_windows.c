/* Accounts of Windows: from what a client calls one to its SID, its names and its folder. Proves nobody's identity. */
#include "sshd/accounts_windows.h"

#include "sshd/logon_windows_calls.h"
#include <errno.h>
#include <sddl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_ROOM 300u
#define SID_ROOM SECURITY_MAX_SID_SIZE
#define PATH_ROOM 32768u
#define PROFILES L"SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\ProfileList\\"

bool accounts_service(void)
{
    return logon_calls->service();
}

void accounts_free(struct accounts_entry *entry)
{
    if (entry == NULL)
        return;
    free(entry->sid);
    free(entry->user);
    free(entry->place);
    free(entry->name);
    free(entry->domain);
    free(entry);
}

static bool same(const wchar_t *a, const wchar_t *b)
{
    return CompareStringOrdinal(a, -1, b, -1, TRUE) == CSTR_EQUAL;
}

/* The machine's name as accounts have it. */
static bool is_here(const wchar_t *place)
{
    wchar_t name[MAX_COMPUTERNAME_LENGTH + 1];
    DWORD n = MAX_COMPUTERNAME_LENGTH + 1;
    return wcscmp(place, L".") == 0 || (GetComputerNameW(name, &n) && same(place, name));
}

/* --- taking a login apart --- */

static bool name_ok(const wchar_t *name)
{
    size_t n = wcslen(name);
    if (n == 0 || n > 256 || name[n - 1] == L' ')
        return false;
    for (size_t i = 0; i < n; i++) {
        if (name[i] < 32 || name[i] == 127 || wcschr(L"\"/\\[]:;|=,*?<>", name[i]) != NULL)
            return false;
    }
    return true;
}

int accounts_parse(const char *login, wchar_t **ret_place, wchar_t **ret_user)
{
    wchar_t *wide = NULL, *place = NULL, *user = NULL;
    if (strlen(login) > ACCOUNTS_LOGIN_MAX)
        return -EINVAL;
    int rc = win_utf16(login, &wide);
    if (rc < 0)
        return rc == -ENOMEM ? rc : -EINVAL;
    wchar_t *backslash = wcschr(wide, L'\\'), *at = wcsrchr(wide, L'@'), none[] = L"";
    const wchar_t *user_at = wide, *place_at = NULL;
    if (backslash != NULL) {
        *backslash = L'\0';
        place_at = wide;
        user_at = backslash + 1;
    } else if (at != NULL) {
        *at = L'\0';
        place_at = at + 1;
    }
    if (!name_ok(user_at) || !name_ok(place_at != NULL ? place_at : user_at)) {
        rc = -EINVAL;
        goto out;
    }
    user = _wcsdup(user_at);
    place = _wcsdup(place_at != NULL ? place_at : none);
    if (user == NULL || place == NULL) {
        free(user);
        rc = -ENOMEM;
        goto out;
    }
    *ret_user = user;
    *ret_place = place_at != NULL ? place : NULL;
    if (place_at != NULL)
        place = NULL;
out:
    free(place);
    free(wide);
    return rc;
}

/* --- entries --- */

/* The account of a SID, named as Windows names it. */
static int new_entry(PSID sid, struct accounts_entry **ret_entry, SID_NAME_USE *ret_use)
{
    struct accounts_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL)
        return -ENOMEM;
    int rc = accounts_sid_copy(sid, &entry->sid);
    if (rc == 0)
        rc = accounts_sid_names(sid, &entry->user, &entry->place, ret_use);
    if (rc == 0)
        rc = win_utf8(entry->user, &entry->name);
    if (rc == 0)
        rc = win_utf8(entry->place, &entry->domain);
    if (rc < 0) {
        accounts_free(entry);
        return rc;
    }
    entry->local = is_here(entry->place);
    *ret_entry = entry;
    return 0;
}

static int own_entry(struct accounts_entry **ret_entry, struct errmsg *err)
{
    void *info = NULL;
    SID_NAME_USE use;
    int rc = accounts_token_info(NULL, TokenUser, &info);
    if (rc == 0)
        rc = new_entry(((TOKEN_USER *)info)->User.Sid, ret_entry, &use);
    free(info);
    if (rc != 0)
        return errmsg_set(err, rc, "whom this process runs as could not be found out: %s", strerror(-rc));
    return 0;
}

/* Does the login mean this entry, letter by letter? */
static bool is_called(const struct accounts_entry *entry, const wchar_t *place, const wchar_t *user)
{
    return same(entry->user, user) &&
           (place == NULL || same(entry->place, place) || (entry->local && is_here(place)));
}

/* --- asking Windows --- */

/* MACHINE\alice for what is this machine's, else as the client has it: Windows knows both DOMAIN\alice and
 * alice@domain. */
static int full_name(const wchar_t *place, const wchar_t *user, const char *login, wchar_t *out, size_t size)
{
    wchar_t here[MAX_COMPUTERNAME_LENGTH + 1];
    DWORD n = MAX_COMPUTERNAME_LENGTH + 1;
    int length;
    if (place != NULL && is_here(place)) {
        if (!GetComputerNameW(here, &n))
            return win_errno(GetLastError());
        length = swprintf(out, size, L"%ls\\%ls", here, user);
    } else if (place != NULL && strchr(login, '\\') == NULL) {
        length = swprintf(out, size, L"%ls@%ls", user, place);
    } else if (place != NULL) {
        length = swprintf(out, size, L"%ls\\%ls", place, user);
    } else {
        length = swprintf(out, size, L"%ls", user);
    }
    return length < 0 ? -ENAMETOOLONG : 0;
}

static int ask(const wchar_t *name, PSID sid, SID_NAME_USE *ret_use)
{
    wchar_t place[NAME_ROOM];
    DWORD sid_n = SID_ROOM, place_n = NAME_ROOM;
    if (logon_calls->lookup_name(NULL, name, sid, &sid_n, place, &place_n, ret_use))
        return 0;
    return GetLastError() == ERROR_NONE_MAPPED ? -ENOENT : win_errno(GetLastError());
}

static int look_up(const wchar_t *place, const wchar_t *user, const char *login,
                   struct accounts_entry **ret_entry, struct errmsg *err)
{
    wchar_t name[2 * NAME_ROOM];
    union {
        SID sid; /* for its alignment */
        BYTE room[SID_ROOM];
    } sid;
    SID_NAME_USE use = SidTypeUnknown;
    int rc = full_name(place, user, login, name, 2 * NAME_ROOM);
    if (rc == 0)
        rc = ask(name, &sid, &use);
    /* An account that is called as its machine or domain hides behind it. */
    if (rc == 0 && place == NULL && (use == SidTypeDomain || use == SidTypeComputer)) {
        rc = full_name(L".", user, login, name, 2 * NAME_ROOM);
        if (rc == 0)
            rc = ask(name, &sid, &use);
    }
    if (rc == -ENOENT)
        return errmsg_set(err, rc, "there is no account %.80s", login);
    if (rc == 0 && (use != SidTypeUser || !accounts_sid_person(&sid)))
        return errmsg_set(err, -ENOENT, "%.80s is not a user's account", login);
    if (rc == 0)
        rc = new_entry(&sid, ret_entry, &use);
    if (rc != 0)
        return errmsg_set(err, rc, "the account %.80s could not be looked up: %s", login, strerror(-rc));
    size_t n = wcslen((*ret_entry)->user);
    if (n > 0 && (*ret_entry)->user[n - 1] != L'$')
        return 0;
    accounts_free(*ret_entry);
    *ret_entry = NULL;
    return errmsg_set(err, -ENOENT, "%.80s is a computer's account", login);
}

/* By hand: the account that runs this. */
static int find_own(const wchar_t *place, const wchar_t *user, const char *login,
                    struct accounts_entry **ret_entry, struct errmsg *err)
{
    struct accounts_entry *own = NULL, *other = NULL;
    int rc = own_entry(&own, err);
    if (own == NULL)
        return rc;
    if (!accounts_sid_person(own->sid)) {
        rc = errmsg_set(err, -EPERM, "this server runs as %.80s\\%.80s, as which nobody may log in",
                        own->domain, own->name);
        goto out;
    }
    if (!is_called(own, place, user)) {
        rc = look_up(place, user, login, &other, err);
        if (other != NULL && !EqualSid(own->sid, other->sid))
            rc = errmsg_set(
                err, -EPERM,
                "this server is no service, runs as %.80s\\%.80s, and lets in nobody else: not %.80s",
                own->domain, own->name, login);
    }
    if (rc == 0) {
        *ret_entry = own;
        own = NULL;
    }
out:
    accounts_free(own);
    accounts_free(other);
    return rc;
}

int accounts_find(const char *login, struct accounts_entry **ret_entry, struct errmsg *err)
{
    wchar_t *place = NULL, *user = NULL;
    int rc = accounts_parse(login, &place, &user);
    if (rc == -EINVAL)
        return errmsg_set(err, -ENOENT, "\"%.80s\" cannot be the name of an account", login);
    if (rc < 0)
        return errmsg_set(err, rc, "out of memory");
    rc = accounts_service() ? look_up(place, user, login, ret_entry, err)
                            : find_own(place, user, login, ret_entry, err);
    free(place);
    free(user);
    return rc;
}

/* --- the profile folder --- */

static void cut_backslash(wchar_t *path)
{
    size_t n = wcslen(path);
    if (n > 3 && path[n - 1] == L'\\')
        path[n - 1] = L'\0';
}

static int token_home(HANDLE token, wchar_t *path)
{
    DWORD n = PATH_ROOM;
    HANDLE own = NULL;
    int rc = 0;
    if (token == NULL && !OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &own))
        return win_errno(GetLastError());
    if (!GetUserProfileDirectoryW(token != NULL ? token : own, path, &n))
        rc = win_errno(GetLastError());
    if (own != NULL)
        CloseHandle(own);
    return rc;
}

static int registry_home(PSID sid, wchar_t *path)
{
    wchar_t key[300], *letters = NULL;
    DWORD n = PATH_ROOM * sizeof *path;
    LSTATUS error;
    if (!ConvertSidToStringSidW(sid, &letters))
        return win_errno(GetLastError());
    (void)swprintf(key, 300, PROFILES L"%ls", letters);
    LocalFree(letters);
    /* RRF_RT_REG_SZ takes REG_EXPAND_SZ too, and expands it. */
    error = RegGetValueW(HKEY_LOCAL_MACHINE, key, L"ProfileImagePath", RRF_RT_REG_SZ, NULL, path, &n);
    if (error == ERROR_FILE_NOT_FOUND)
        return -ENOENT;
    return error != ERROR_SUCCESS ? win_errno((DWORD)error) : path[0] == L'\0' ? -ENOENT : 0;
}

int accounts_home(const struct accounts_entry *entry, HANDLE token, wchar_t **ret_home, struct errmsg *err)
{
    wchar_t *path = calloc(PATH_ROOM, sizeof *path);
    if (path == NULL)
        return errmsg_set(err, -ENOMEM, "out of memory");
    int rc = token == NULL && accounts_service() ? registry_home(entry->sid, path) : token_home(token, path);
    if (rc == 0) {
        cut_backslash(path);
        *ret_home = _wcsdup(path);
        if (*ret_home == NULL)
            rc = errmsg_set(err, -ENOMEM, "out of memory");
    } else if (rc == -ENOENT) {
        errmsg_set(err, rc, "%s has no profile folder yet", entry->name);
    } else {
        errmsg_set(err, rc, "the profile folder of %s could not be found: %s", entry->name, strerror(-rc));
    }
    free(path);
    return rc;
}
