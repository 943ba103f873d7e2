/* The option authorized-keys, and what a file that it names says of a key. Pure: who opens the files, and whether they
 * are believed, is the system's matter (login_keys.c, logon_windows_keys.c). */
#ifndef MULTISSH_SSHD_KEYFILES_H
#define MULTISSH_SSHD_KEYFILES_H

#include "base/buf.h"
#include "sshd/authkeys.h"

/* Appends n bytes at word to out, %h, %u and %% replaced. home NULL: there is none. Returns 0, -EINVAL (another %), -ENOENT
 * (the home that there is not), -ENOBUFS or -ENOMEM. */
int keyfiles_expand(const char *word, size_t n, const char *home, const char *name, struct buf *out);

/* Looks into what the n bytes at word name. Returns as login_key (login.h). */
typedef int keyfiles_try_fn(void *arg, const char *word, size_t n, struct authkeys_rights *ret_rights,
                            struct errmsg *err);
/* The words of list, separated by blanks, in their order, until one lets the key in. Returns fn's 0; or of what is wrong
 * with several the first that says more than -ENOENT. */
int keyfiles_each(const char *list, keyfiles_try_fn *fn, void *arg, struct authkeys_rights *ret_rights,
                  struct errmsg *err);

/* Does text, which was read from path, let key in? Returns as authkeys_find, err always filled: with the line where
 * it is. */
int keyfiles_judge(const struct buf *text, const char *path, const char *key, const char *ip,
                   struct authkeys_rights *ret_rights, struct errmsg *err);
/* path could not be read, for rc (-EFBIG: larger than AUTHKEYS_TEXT_MAX). Returns -EACCES with err. */
int keyfiles_unread(int rc, const char *path, struct errmsg *err);

#endif
