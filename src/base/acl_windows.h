/* Access lists: could somebody else than an account, or the system, have written this file?
 *
 * The system: SYSTEM, Administrators and TrustedInstaller, who can do anything on the machine anyway. Windows alone. */
#ifndef MULTISSH_BASE_ACL_WINDOWS_H
#define MULTISSH_BASE_ACL_WINDOWS_H

#include "base/errmsg.h"
#include "base/win.h"
#include <stdbool.h>

enum acl_what {
    ACL_FILE,   /* nobody else may change it, or put another in its place */
    ACL_FOLDER, /* nor put anything into it: the profile and what is below */
    ACL_ABOVE, /* nor rename or delete what is in it: a folder on the way, in which others may make files of theirs */
    ACL_DRIVE, /* the root folder of a drive */
    ACL_OWNER, /* only whom it belongs to (and that it has a list) counts: the list is to be replaced */
};

/* Does an entry of a list (an ACE) give rights, and to whom? Every kind that gives any is known; a condition is taken as
 * if it held, and what is only inherited by what is inside gives nothing here. *ret_sid points into the entry. */
bool acl_gives(const void *entry, ACCESS_MASK *ret_rights, PSID *ret_sid);

/* Judges a security descriptor with owner and DACL. account: whom the file may belong to and who may write beside the
 * system; NULL: the system alone. path is for the words. Denials do not count (nobody gains by them), nor what is
 * only inherited by what is inside. Returns 0 or -EACCES with err filled: what, who, and what to do. */
int acl_judge(PSECURITY_DESCRIPTOR sd, enum acl_what what, PSID account, const char *path,
              struct errmsg *err);

/* The same of an open file or folder (READ_CONTROL). */
int acl_check(HANDLE file, enum acl_what what, PSID account, const char *path, struct errmsg *err);

/* A file that is open, and every folder above it by the names that lead to it now: up to home when it is inside it,
 * else up to the drive's root. home may be NULL. Returns 0 or -EACCES with err filled. */
int acl_check_way(HANDLE file, const wchar_t *home, PSID account, struct errmsg *err);

#endif
