/* What makes the compiler check the arguments of a function against its format, as of printf. */
#ifndef MULTISSH_BASE_PRINTF_H
#define MULTISSH_BASE_PRINTF_H

#include <stdio.h>

/* Behind the declaration: the places of the format and of its first argument, from 1; 0: a va_list. On Windows the
 * formats are C99's too, and not those of the old C library. */
#ifdef __MINGW_PRINTF_FORMAT
#define LIKE_PRINTF(fmt, args) __attribute__((format(__MINGW_PRINTF_FORMAT, fmt, args)))
#else
#define LIKE_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#endif

#endif
