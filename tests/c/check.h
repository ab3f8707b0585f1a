/* Checks for the C test programs. A failed check is counted, and printed with the library's last
 * error. */

#ifndef COMMBOX_TESTS_CHECK_H
#define COMMBOX_TESTS_CHECK_H

#include <stdio.h>

#include "commbox.h"

static int failures = 0;

static void check(int holds, const char *what, int line) {
    if (!holds) {
        printf("line %d: %s; the last error is %d: %s\n", line, what,
               (int)commbox_last_error_code(), commbox_last_error());
        failures++;
    }
}

#define CHECK(holds) check(holds, #holds, __LINE__)

#endif
