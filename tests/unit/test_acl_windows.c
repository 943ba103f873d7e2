/* StrictModes on Windows: access lists in their text form, and a file's own. */
#include "cmocka_all.h"

#include "base/acl_windows.h"
#include <errno.h>
#include <sddl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALICE "S-1-5-21-1-2-3-1001"
#define BOB "S-1-5-21-1-2-3-1002"
#define INSTALLER "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
#define SOLID "(A;;FA;;;SY)(A;;FA;;;BA)(A;;FA;;;" ALICE ")"

static PSID sid_of(const char *text)
{
    PSID sid = NULL;
    assert_true(ConvertStringSidToSidA(text, &sid));
    return sid;
}

static int judge(const char *sddl, enum acl_what what, const char *account, struct errmsg *err)
{
    PSECURITY_DESCRIPTOR sd = NULL;
    PSID sid = account != NULL ? sid_of(account) : NULL;
    err->text[0] = '\0';
    assert_true(ConvertStringSecurityDescriptorToSecurityDescriptorA(sddl, SDDL_REVISION_1, &sd, NULL));
    int rc = acl_judge(sd, what, sid, "C:\\Users\\alice\\x", err);
    LocalFree(sd);
    LocalFree(sid);
    return rc;
}

static void believed(void **state)
{
    (void)state;
    static const struct {
        enum acl_what what;
        const char *account, *sddl;
    } all[] = {
        {ACL_FILE, ALICE, "O:" ALICE "D:" SOLID},
        {ACL_FILE, ALICE, "O:SYD:" SOLID},
        {ACL_FILE, ALICE, "O:BAD:" SOLID},
        {ACL_FILE, ALICE, "O:" INSTALLER "D:(A;;FA;;;" INSTALLER ")"},
        {ACL_FILE, ALICE, "O:" ALICE "D:"}, /* an empty list: nobody may do anything */
        {ACL_FILE, ALICE, "O:" ALICE "D:" SOLID "(A;;FR;;;WD)(A;;0x1200a9;;;BU)"},
        {ACL_FILE, ALICE, "O:" ALICE "D:(D;;FA;;;WD)" SOLID},
        {ACL_FILE, ALICE, "O:" ALICE "D:(A;OICIIO;FA;;;CO)(A;CIIO;FA;;;WD)" SOLID},
        {ACL_FILE, ALICE, "O:" ALICE "D:(A;;FA;;;OW)"},
        {ACL_FILE, NULL, "O:BAD:(A;;FA;;;SY)(A;;FA;;;BA)(A;;FR;;;AU)"},
        {ACL_FILE, NULL, "O:SYD:(A;;FA;;;SY)(A;;FA;;;BA)"},
        {ACL_FOLDER, ALICE, "O:" ALICE "D:(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;" ALICE ")"},
        /* C:\ and C:\ProgramData as Windows makes them, a new volume, and what others may do on the way */
        {ACL_DRIVE, NULL,
         "O:" INSTALLER
         "D:PAI(A;;LC;;;AU)(A;OICIIO;SDGXGWGR;;;AU)(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)"},
        {ACL_ABOVE, NULL,
         "O:SYD:PAI(A;OICIIO;GA;;;CO)(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;CI;DCLCRPCR;;;BU)(A;OICI;0x1200a9;;;"
         "BU)"},
        {ACL_OWNER, ALICE, "O:" ALICE "D:(A;;FA;;;WD)"},
        {ACL_DRIVE, NULL, "O:SYD:(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)(A;OICI;0x1301bf;;;AU)"},
    };
    for (size_t i = 0; i < COUNT(all); i++) {
        struct errmsg err;
        if (judge(all[i].sddl, all[i].what, all[i].account, &err) != 0)
            fail_msg("%s: %s", all[i].sddl, err.text);
        assert_string_equal(err.text, "");
    }
}

static void not_believed(void **state)
{
    (void)state;
    static const struct {
        enum acl_what what;
        const char *account, *sddl, *says;
    } all[] = {
        {ACL_FILE, ALICE, "O:" BOB "D:" SOLID,
         "C:\\Users\\alice\\x belongs to " BOB ", neither to the account nor to the system: icacls "
         "\"C:\\Users\\alice\\x\" /setowner *" ALICE},
        {ACL_FILE, NULL, "O:" ALICE "D:" SOLID, "/setowner *S-1-5-32-544"},
        {ACL_FILE, NULL, "O:BAD:" SOLID, "can be written by " ALICE},
        {ACL_FILE, ALICE, "O:WDD:" SOLID, "belongs to "},
        {ACL_FILE, ALICE, "O:" ALICE, "has no access list"},
        {ACL_FILE, ALICE, "D:" SOLID, "belongs to nobody"},
        {ACL_FILE, ALICE, "O:" ALICE "D:" SOLID "(A;;FA;;;WD)", "/remove:g *S-1-1-0"},
        {ACL_FILE, ALICE, "O:" ALICE "D:" SOLID "(A;;FA;;;" BOB ")", "can be written by " BOB},
        /* An entry that is denied before does not take the danger away. */
        {ACL_FILE, ALICE, "O:" ALICE "D:(D;;FA;;;" BOB ")(A;;FA;;;" BOB ")", "can be written by"},
        {ACL_FILE, ALICE, "O:" ALICE "D:" SOLID "(A;ID;FA;;;BU)",
         "/inheritance:r /grant:r *S-1-5-18:F *S-1-5-32-544:F *" ALICE ":F"},
        {ACL_FOLDER, ALICE, "O:" ALICE "D:(A;OICIID;FA;;;BU)",
         "/inheritance:r /grant:r *S-1-5-18:(OI)(CI)F *S-1-5-32-544:(OI)(CI)F *" ALICE ":(OI)(CI)F"},
        {ACL_FILE, NULL, "O:BAD:(A;ID;FA;;;BU)", "/grant:r *S-1-5-18:F *S-1-5-32-544:F"},
        /* Each right alone. */
        {ACL_FILE, ALICE, "O:SYD:(A;;0x2;;;WD)", "can be written"},        /* FILE_WRITE_DATA */
        {ACL_FILE, ALICE, "O:SYD:(A;;0x4;;;WD)", "can be written"},        /* FILE_APPEND_DATA */
        {ACL_FILE, ALICE, "O:SYD:(A;;0x10;;;WD)", "can be written"},       /* FILE_WRITE_EA */
        {ACL_FILE, ALICE, "O:SYD:(A;;0x100;;;WD)", "can be written"},      /* FILE_WRITE_ATTRIBUTES */
        {ACL_FILE, ALICE, "O:SYD:(A;;0x10000;;;WD)", "can be written"},    /* DELETE */
        {ACL_FILE, ALICE, "O:SYD:(A;;0x40000;;;WD)", "can be written"},    /* WRITE_DAC */
        {ACL_FILE, ALICE, "O:SYD:(A;;0x80000;;;WD)", "can be written"},    /* WRITE_OWNER */
        {ACL_FILE, ALICE, "O:SYD:(A;;0x10000000;;;WD)", "can be written"}, /* GENERIC_ALL */
        {ACL_FILE, ALICE, "O:SYD:(A;;0x40000000;;;WD)", "can be written"}, /* GENERIC_WRITE */
        {ACL_FOLDER, ALICE, "O:SYD:(A;;0x40;;;WD)", "can be written"},     /* FILE_DELETE_CHILD */
        {ACL_FOLDER, ALICE, "O:SYD:(A;;0x2;;;WD)", "can be written"},
        {ACL_ABOVE, ALICE, "O:SYD:(A;;0x40;;;WD)", "can be written"},
        {ACL_ABOVE, ALICE, "O:SYD:(A;;0x10000;;;WD)", "can be written"},
        {ACL_DRIVE, ALICE, "O:SYD:(A;;0x40;;;WD)", "can be written"},
        {ACL_DRIVE, ALICE, "O:SYD:(A;;0x40000;;;WD)", "can be written"},
        {ACL_ABOVE, NULL, "O:" ALICE "D:(A;;FA;;;SY)", "belongs to " ALICE},
        {ACL_OWNER, ALICE, "O:" BOB "D:" SOLID, "belongs to " BOB},
        {ACL_OWNER, ALICE, "O:" ALICE, "has no access list"},
    };
    for (size_t i = 0; i < COUNT(all); i++) {
        struct errmsg err;
        if (judge(all[i].sddl, all[i].what, all[i].account, &err) != -EACCES)
            fail_msg("believed: %s", all[i].sddl);
        if (strstr(err.text, all[i].says) == NULL)
            fail_msg("%s says: %s", all[i].sddl, err.text);
    }
}

/* A list that is there and is NULL: everybody may do everything. */
static void no_list(void **state)
{
    (void)state;
    struct errmsg err;
    SECURITY_DESCRIPTOR sd;
    PSID alice = sid_of(ALICE);
    assert_true(InitializeSecurityDescriptor(&sd, SECURITY_DESCRIPTOR_REVISION));
    assert_true(SetSecurityDescriptorOwner(&sd, alice, FALSE));
    assert_true(SetSecurityDescriptorDacl(&sd, TRUE, NULL, FALSE));
    assert_int_equal(acl_judge(&sd, ACL_FILE, alice, "x", &err), -EACCES);
    assert_non_null(strstr(err.text, "has no access list"));
    LocalFree(alice);
}

/* Rights that are not writing: neither list may grow by them. */
static void harmless_rights(void **state)
{
    (void)state;
    struct errmsg err;
    assert_int_equal(judge("O:SYD:(A;;0x801200a9;;;WD)", ACL_FILE, ALICE, &err), 0);
    assert_int_equal(judge("O:SYD:(A;;0x6;;;WD)", ACL_ABOVE, ALICE, &err), 0);
    assert_int_equal(judge("O:SYD:(A;;0x10000;;;WD)", ACL_DRIVE, ALICE, &err), 0);
}

/* Entries with a condition or a type of object give, too. */
static void other_entries_that_give(void **state)
{
    (void)state;
    static const BYTE types[] = {ACCESS_ALLOWED_CALLBACK_ACE_TYPE, ACCESS_ALLOWED_OBJECT_ACE_TYPE,
                                 ACCESS_ALLOWED_CALLBACK_OBJECT_ACE_TYPE, ACCESS_DENIED_ACE_TYPE};
    PSID alice = sid_of(ALICE), bob = sid_of(BOB);
    for (size_t i = 0; i < COUNT(types); i++) {
        struct errmsg err;
        SECURITY_DESCRIPTOR sd;
        union {
            ACL list;
            BYTE room[256];
        } list;
        union {
            ACCESS_ALLOWED_OBJECT_ACE object;
            ACCESS_ALLOWED_ACE plain;
            BYTE room[128];
        } ace;
        memset(&ace, 0, sizeof ace);
        bool object =
            types[i] == ACCESS_ALLOWED_OBJECT_ACE_TYPE || types[i] == ACCESS_ALLOWED_CALLBACK_OBJECT_ACE_TYPE;
        size_t at = object ? offsetof(ACCESS_ALLOWED_OBJECT_ACE, ObjectType) + sizeof(GUID)
                           : offsetof(ACCESS_ALLOWED_ACE, SidStart);
        ace.plain.Header.AceType = types[i];
        ace.plain.Header.AceSize = (WORD)(at + GetLengthSid(bob));
        ace.plain.Mask = FILE_ALL_ACCESS;
        if (object)
            ace.object.Flags = ACE_OBJECT_TYPE_PRESENT;
        assert_true(CopySid(GetLengthSid(bob), ace.room + at, bob));
        assert_true(InitializeAcl(&list.list, sizeof list, ACL_REVISION_DS));
        assert_true(AddAce(&list.list, ACL_REVISION_DS, MAXDWORD, &ace, ace.plain.Header.AceSize));
        assert_true(InitializeSecurityDescriptor(&sd, SECURITY_DESCRIPTOR_REVISION));
        assert_true(SetSecurityDescriptorOwner(&sd, alice, FALSE));
        assert_true(SetSecurityDescriptorDacl(&sd, TRUE, &list.list, FALSE));
        int rc = acl_judge(&sd, ACL_FILE, alice, "x", &err);
        assert_int_equal(rc, types[i] == ACCESS_DENIED_ACE_TYPE ? 0 : -EACCES);
        if (rc < 0)
            assert_non_null(strstr(err.text, BOB));
    }
    LocalFree(alice);
    LocalFree(bob);
}

/* --- a file of this process, and the folders above it --- */

struct place {
    wchar_t folder[MAX_PATH], file[MAX_PATH + 20];
    PSID me;
};

static int setup(void **state)
{
    static struct place p;
    static union {
        TOKEN_USER user;
        BYTE room[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
    } whose;
    HANDLE token = NULL;
    DWORD n = 0;
    wchar_t temp[MAX_PATH];
    assert_true(GetTempPathW(MAX_PATH, temp) > 0);
    (void)swprintf(p.folder, MAX_PATH, L"%lsmultissh-acl-%lu", temp, GetCurrentProcessId());
    (void)swprintf(p.file, MAX_PATH + 20, L"%ls\\keys", p.folder);
    /* One that failed may have left it: numbers of processes come again. */
    assert_true(CreateDirectoryW(p.folder, NULL) || GetLastError() == ERROR_ALREADY_EXISTS);
    assert_true(OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token));
    assert_true(GetTokenInformation(token, TokenUser, &whose, sizeof whose, &n));
    CloseHandle(token);
    p.me = whose.user.User.Sid;
    *state = &p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    DeleteFileW(p->file);
    return RemoveDirectoryW(p->folder) ? 0 : -1;
}

/* Full access for SYSTEM and this process' user, and what others says. */
static PSECURITY_DESCRIPTOR rights(const struct place *p, const char *others)
{
    char sddl[300], *me = NULL;
    PSECURITY_DESCRIPTOR sd = NULL;
    assert_true(ConvertSidToStringSidA(p->me, &me));
    (void)snprintf(sddl, sizeof sddl, "D:P(A;;FA;;;SY)(A;;FA;;;%s)%s", me, others);
    LocalFree(me);
    assert_true(ConvertStringSecurityDescriptorToSecurityDescriptorA(sddl, SDDL_REVISION_1, &sd, NULL));
    return sd;
}

static void set(const struct place *p, const wchar_t *path, const char *others)
{
    PSECURITY_DESCRIPTOR sd = rights(p, others);
    assert_true(SetFileSecurityW(path, DACL_SECURITY_INFORMATION, sd));
    LocalFree(sd);
}

static HANDLE make(const struct place *p, const char *others)
{
    HANDLE file = CreateFileW(p->file, GENERIC_READ | READ_CONTROL, FILE_SHARE_READ | FILE_SHARE_DELETE, NULL,
                              CREATE_ALWAYS, 0, NULL);
    assert_true(file != INVALID_HANDLE_VALUE);
    set(p, p->file, others);
    return file;
}

static void a_file_and_its_folders(void **state)
{
    const struct place *p = *state;
    struct errmsg err = {""};
    HANDLE file = make(p, "(A;;FR;;;WD)");
    int rc = acl_check_way(file, p->folder, p->me, &err);
    if (rc != 0)
        fail_msg("%s", err.text);
    CloseHandle(file);

    file = make(p, "(A;;FA;;;WD)");
    assert_int_equal(acl_check_way(file, p->folder, p->me, &err), -EACCES);
    assert_non_null(strstr(err.text, "keys can be written by "));
    assert_non_null(strstr(err.text, "Everyone"));
    CloseHandle(file);
}

/* Somebody else's: whoever this process is, it is not alice, and neither SYSTEM nor Administrators. */
static void a_file_of_somebody_else(void **state)
{
    const struct place *p = *state;
    struct errmsg err = {""};
    PSID alice = sid_of(ALICE);
    HANDLE file = make(p, "");
    assert_int_equal(acl_check(file, ACL_FILE, alice, "keys", &err), -EACCES);
    assert_non_null(strstr(err.text, "keys belongs to "));
    assert_int_equal(acl_check(file, ACL_FILE, NULL, "keys", &err), -EACCES);
    assert_non_null(strstr(err.text, "not to Administrators"));
    CloseHandle(file);
    LocalFree(alice);
}

/* The folder is looked at as well: where everybody may delete, everybody may put another file in its place. */
static void an_open_folder(void **state)
{
    const struct place *p = *state;
    struct errmsg err = {""};
    HANDLE file = make(p, "");
    set(p, p->folder, "(A;;FA;;;WD)");
    assert_int_equal(acl_check_way(file, p->folder, p->me, &err), -EACCES);
    assert_non_null(strstr(err.text, "multissh-acl-"));
    assert_null(strstr(err.text, "keys"));
    /* Not the home's business, but on the way. */
    assert_int_equal(acl_check_way(file, L"C:\\nowhere", p->me, &err), -EACCES);
    set(p, p->folder, "(A;;0x1200a9;;;WD)");
    assert_int_equal(acl_check_way(file, p->folder, p->me, &err), 0);
    CloseHandle(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(believed),
        cmocka_unit_test(not_believed),
        cmocka_unit_test(no_list),
        cmocka_unit_test(harmless_rights),
        cmocka_unit_test(other_entries_that_give),
        cmocka_unit_test_setup_teardown(a_file_and_its_folders, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_of_somebody_else, setup, teardown),
        cmocka_unit_test_setup_teardown(an_open_folder, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
