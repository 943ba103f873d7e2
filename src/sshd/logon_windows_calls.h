/* What logging in asks of Windows and needs a real one, or a service's rights: in a table, so that tests see what is
 * asked and decide what is answered. What Windows' documentation says of each call holds. Windows alone. */
#ifndef MULTISSH_SSHD_LOGON_WINDOWS_CALLS_H
#define MULTISSH_SSHD_LOGON_WINDOWS_CALLS_H

#include "base/win.h"
#include <lm.h>
#include <ntsecapi.h>
#include <stdbool.h>
#define SECURITY_WIN32
#include <security.h>
#include <userenv.h>

struct logon_calls {
    bool (*service)(void); /* is this process LocalSystem's? */
    WINBOOL(WINAPI *lookup_name)(LPCWSTR, LPCWSTR, PSID, LPDWORD, LPWSTR, LPDWORD, PSID_NAME_USE);
    WINBOOL(WINAPI *lookup_sid)(LPCWSTR, PSID, LPWSTR, LPDWORD, LPWSTR, LPDWORD, PSID_NAME_USE);
    WINBOOL(WINAPI *token_information)(HANDLE, TOKEN_INFORMATION_CLASS, LPVOID, DWORD, PDWORD);
    NET_API_STATUS(WINAPI *user_info)(LPCWSTR, LPCWSTR, DWORD, LPBYTE *);
    NET_API_STATUS(WINAPI *local_groups)
    (LPCWSTR, LPCWSTR, DWORD, DWORD, LPBYTE *, DWORD, LPDWORD, LPDWORD);
    NTSTATUS(NTAPI *lsa_register)(PLSA_STRING, PHANDLE, PLSA_OPERATIONAL_MODE);
    NTSTATUS(NTAPI *lsa_package)(HANDLE, PLSA_STRING, PULONG);
    NTSTATUS(NTAPI *lsa_logon)
    (HANDLE, PLSA_STRING, SECURITY_LOGON_TYPE, ULONG, PVOID, ULONG, PTOKEN_GROUPS, PTOKEN_SOURCE, PVOID *,
     PULONG, PLUID, PHANDLE, PQUOTA_LIMITS, PNTSTATUS);
    NTSTATUS(NTAPI *lsa_free)(PVOID);
    NTSTATUS(NTAPI *lsa_deregister)(HANDLE);
    BOOLEAN(WINAPI *translate_name)(LPCWSTR, EXTENDED_NAME_FORMAT, EXTENDED_NAME_FORMAT, LPWSTR, PULONG);
    WINBOOL(WINAPI *logon_user)(LPCWSTR, LPCWSTR, LPCWSTR, DWORD, DWORD, PHANDLE);
    WINBOOL(WINAPI *load_profile)(HANDLE, LPPROFILEINFOW);
    WINBOOL(WINAPI *unload_profile)(HANDLE, HANDLE);
};

/* Windows' own, unless a test has put its table here. */
extern const struct logon_calls *logon_calls;

#endif
