/* cmocka and what must come before it. */
#ifndef MULTISSH_TESTS_CMOCKA_ALL_H
#define MULTISSH_TESTS_CMOCKA_ALL_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
