/* Functions to fork, for programs that define check(good, what), which must end the process on
 * failure. */

#ifndef COMMBOX_TESTS_FORKING_H
#define COMMBOX_TESTS_FORKING_H

#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

static void check(bool good, const char *what);

/* Forks. A child that hangs is killed, and then counts as failed. */
static pid_t fork_child(void) {
    pid_t child = fork();
    check(child >= 0, "fork");
    if (child == 0) {
        alarm(60);
    }
    return child;
}

static void wait_for(pid_t child) {
    int status = -1;
    check(waitpid(child, &status, 0) == child && status == 0, "the child did not end well");
}

#endif
