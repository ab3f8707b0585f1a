/* Makes a call on a machine with an unusual fault: a sandbox forbids sleeping, or the clock is
 * before 1970.
 *
 * Usage: odd_machine sleep|clock OPTIONS_JSON. Prints the code of a call and the error's JSON. */

#define _DEFAULT_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "commbox.h"

static bool refuses_sleep, is_before_1970;

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *left)
{
    int (*ask)(clockid_t, int, const struct timespec *, struct timespec *);
    *(void **)&ask = dlsym(RTLD_NEXT, "clock_nanosleep");
    return refuses_sleep ? EPERM : ask(clock, flags, time, left);
}

int nanosleep(const struct timespec *time, struct timespec *left)
{
    int (*ask)(const struct timespec *, struct timespec *);
    *(void **)&ask = dlsym(RTLD_NEXT, "nanosleep");
    if (refuses_sleep) {
        errno = EPERM;
        return -1;
    }
    return ask(time, left);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int (*ask)(clockid_t, struct timespec *);
    *(void **)&ask = dlsym(RTLD_NEXT, "clock_gettime");
    int result = ask(clock, now);
    if (is_before_1970 && clock == CLOCK_REALTIME) {
        now->tv_sec = -1000;
    }
    return result;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        return 2;
    }
    refuses_sleep = strcmp(argv[1], "sleep") == 0;
    is_before_1970 = strcmp(argv[1], "clock") == 0;
    commbox_client *client = commbox_client_new("key", argv[2]);
    int32_t code = commbox_update_user_json(client, 1, "{}", NULL);
    printf("%d\n%s\n", code, commbox_last_error_json());
    commbox_client_free(client);
    return 0;
}
