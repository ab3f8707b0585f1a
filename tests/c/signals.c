/* A signal that the program blocks in all of its threads, to read it when it wants to, while
 * threads of the library exist that were started before. Exits with 0 if the program read the
 * signal. If a thread of the library receives it, the process ends. tests/signals.rs runs it. */

#define _GNU_SOURCE
#include <netdb.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "commbox.h"

static atomic_bool looks_up, was_read;

/* Replaces the C library's function with a slow lookup. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    (void)name, (void)service, (void)hints, (void)found;
    looks_up = 1;
    while (!was_read) usleep(1000);
    return EAI_FAIL;
}

static void read_signal(void)
{
    sigset_t terminated;
    sigemptyset(&terminated);
    sigaddset(&terminated, SIGTERM);
    sigprocmask(SIG_BLOCK, &terminated, NULL);
    int signals = signalfd(-1, &terminated, SFD_CLOEXEC);
    kill(getpid(), SIGTERM);
    struct signalfd_siginfo signal;
    was_read =
        read(signals, &signal, sizeof signal) == sizeof signal && signal.ssi_signo == SIGTERM;
}

/* A signal set has room for more signals than exist, and functions do not change that part of
 * it. */
static int are_equal(const sigset_t *one, const sigset_t *other)
{
    int signal = 1;
    while (signal < NSIG && sigismember(one, signal) == sigismember(other, signal)) signal++;
    return signal == NSIG;
}

/* Called on the main thread while it waits for the lookup. */
static int32_t poll(void *unused)
{
    (void)unused;
    if (looks_up && !was_read) read_signal();
    return was_read;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s batch|lookup OPTIONS_JSON\n", argv[0]);
        return 2;
    }
    alarm(300);
    sigset_t before, after;
    sigemptyset(&before);
    sigemptyset(&after);
    sigprocmask(SIG_BLOCK, NULL, &before);
    commbox_client *client = commbox_client_new("sandbox-key", argv[2]);
    if (strcmp(argv[1], "batch") == 0) {
        commbox_batch *batch = commbox_batch_new(client, NULL);
        commbox_batch_submit(batch, 1, 1, "{\"FirstName\": \"John\"}", -1);
        int32_t code = COMMBOX_INTERNAL;
        commbox_batch_next(batch, -1, NULL, &code, NULL);
        /* The thread that started the workers has the same signal mask as before. */
        sigprocmask(SIG_BLOCK, NULL, &after);
        if (code != COMMBOX_OK || !are_equal(&before, &after)) return 1;
        read_signal();
        commbox_batch_free(batch);
    } else {
        commbox_client_set_interrupt(client, poll, NULL);
        if (commbox_update_user_json(client, 1, "{\"FirstName\": \"John\"}", NULL)
            != COMMBOX_CANCELLED)
            return 1;
    }
    commbox_client_free(client);
    return !was_read;
}
