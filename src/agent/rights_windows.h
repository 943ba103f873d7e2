/* Who may change a program that runs as the system, or the folder that it believes: by the owner and the access
 * control list (ACL) of files and folders. Only the system and its administrators are trusted with them. Windows
 * alone. */
#ifndef MULTISSH_AGENT_RIGHTS_WINDOWS_H
#define MULTISSH_AGENT_RIGHTS_WINDOWS_H

#include "base/errmsg.h"
#include "base/win.h"

/* The rights that change a file, or what is in a folder. */
#define RIGHTS_WRITE                                                                                         \
    (FILE_WRITE_DATA | FILE_APPEND_DATA | FILE_WRITE_EA | FILE_WRITE_ATTRIBUTES | FILE_DELETE_CHILD |        \
     RIGHTS_TAKE)
/* The rights by which a file or folder can be taken away, and another one put in its place. */
#define RIGHTS_TAKE (DELETE | WRITE_DAC | WRITE_OWNER)
/* The rights over a folder by which what is in it can be taken away. */
#define RIGHTS_ABOVE (FILE_DELETE_CHILD | RIGHTS_TAKE)

#define RIGHTS_WORDS_MAX 320

/* Judges a security descriptor: who, but the system (SYSTEM, TrustedInstaller), the Administrators and own (NULL: no
 * one more), owns it or is allowed any of the rights? Entries that deny are not looked at, so it errs towards no.
 * Returns 0; -EPERM, and words (RIGHTS_WORDS_MAX) then say who and what, as "it belongs to PC\joe"; -EINVAL: the
 * descriptor cannot be read. */
int rights_judge(PSECURITY_DESCRIPTOR sd, DWORD rights, PSID own, char *words);

/* May only the trusted change this program, take it away, or put a library or another program beside it? path is
 * absolute, without links (rights_real_path). Returns 0, -EPERM with err saying which, who and what to do, or another
 * negative errno value with err. */
int rights_check_program(const char *path, struct errmsg *err);

/* The path of what is there, without links, short names and drives that stand for something else. The caller's to
 * free. Returns 0 or a negative errno value; -EXDEV: it is not on a drive of this machine. */
int rights_real_path(const char *path, char **ret_path);

/* Makes the folder at this absolute path (its parent is there), for SYSTEM and the Administrators alone. One that is there is closed to
 * others, and taken only if nobody else can have put anything into it. Returns 0 or a negative errno value with err:
 * -EPERM says who is not to be trusted, and what to do. */
int rights_close_folder(const char *path, struct errmsg *err);

#endif
