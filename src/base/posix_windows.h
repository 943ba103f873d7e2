/* What the old C library of Windows lacks of C17 and POSIX, under the same names: every file of a Windows build has it
 * in front, by the top CMakeLists.txt, so that the code needs no #ifdef. Nothing that Windows has in another form. */
#ifndef MULTISSH_BASE_POSIX_WINDOWS_H
#define MULTISSH_BASE_POSIX_WINDOWS_H

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* Numbers that neither the library nor Windows uses. */
#ifndef ESHUTDOWN
#define ESHUTDOWN 1001
#endif
#ifndef ESTALE
#define ESTALE 1002
#endif
#ifndef EDQUOT
#define EDQUOT 1003
#endif

/* As strndup(3) and memmem(3). */
char *posix_strndup(const char *text, size_t max);
void *posix_memmem(const void *in, size_t in_n, const void *what, size_t what_n);
#define strndup posix_strndup
#define memmem posix_memmem

/* As strerror(3), with words for the codes of POSIX that the library only numbers, and for libuv's own codes. The text
 * is constant, but that of an unknown code, which is the thread's until its next call. */
const char *posix_strerror(int code);
#define strerror posix_strerror

#endif
