/* A SIGTERM ends a call: the handler sets a flag that the client's callback reads. argv contains
 * the address of a server that never answers. tests/signals.rs runs it. */

#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "commbox.h"

static volatile sig_atomic_t terminated = 0;

static void on_signal(int number)
{
    (void)number;
    terminated = 1;
}

static int32_t is_terminated(void *context)
{
    (void)context;
    return terminated;
}

static void *send_signal(void *unused)
{
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    kill(getpid(), SIGTERM);
    return unused;
}

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_signal}, NULL);
    commbox_options *options = commbox_options_new();
    CHECK(commbox_options_set(options, "base_url", argv[1]) == COMMBOX_OK);
    CHECK(commbox_options_set(options, "proxy", "") == COMMBOX_OK);
    commbox_client *client = commbox_client_new_with("key", options);
    commbox_options_free(options);
    CHECK(commbox_client_set_interrupt(client, is_terminated, NULL) == COMMBOX_OK);
    pthread_t sender;
    CHECK(pthread_create(&sender, NULL, send_signal, NULL) == 0);
    CHECK(commbox_update_user_json(client, 1, "{}", NULL) == COMMBOX_CANCELLED && terminated);
    CHECK(commbox_last_elapsed_ms() < 10000 && commbox_last_delivery() == COMMBOX_DELIVERY_UNKNOWN);
    CHECK(pthread_join(sender, NULL) == 0);
    commbox_client_free(client);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
