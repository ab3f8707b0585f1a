/* A batch in an event loop: results are collected only when its file descriptor is readable, and
 * nothing else blocks. argv contains the address of a sandbox. tests/batch_notify.rs runs it. */

#define _POSIX_C_SOURCE 200809L
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "commbox.h"

enum { UPDATES = 200, LONG_MS = 30000 };

static commbox_options *options;

static commbox_client *new_client(const char *url)
{
    options = commbox_options_new();
    CHECK(commbox_options_set(options, "base_url", url) == COMMBOX_OK);
    CHECK(commbox_options_set(options, "proxy", "") == COMMBOX_OK);
    commbox_client *client = commbox_client_new_with("sandbox-key", options);
    commbox_options_free(options);
    return client;
}

static int readable(int fd, int timeout_ms)
{
    struct pollfd watched = {.fd = fd, .events = POLLIN};
    return poll(&watched, 1, timeout_ms) == 1 && watched.revents == POLLIN;
}

/* Returns whether the descriptor stops being readable if there is nothing to collect. It may be
 * readable at most once more for each of `results`. */
static int is_quiet(commbox_batch *batch, int fd, int results)
{
    for (int vain = 0; vain <= results; vain++) {
        if (!readable(fd, 0)) return 1;
        if (commbox_batch_next(batch, 0, NULL, NULL, NULL) != COMMBOX_TIMEOUT) return 0;
    }
    return 0;
}

static void collects_all(commbox_client *client)
{
    commbox_batch *batch = commbox_batch_new(client, "{\"concurrency\": 4}");
    int fd = (int)commbox_batch_notify_fd(batch);
    CHECK(fd >= 0 && !readable(fd, 0));
    for (uint64_t tag = 0; tag < UPDATES; tag++) {
        CHECK(commbox_batch_submit(batch, tag, 1 + (int64_t)tag, "{\"FirstName\": \"John\"}", 0)
              == COMMBOX_OK);
    }
    int collected = 0, vain = 0;
    int32_t outcome = COMMBOX_OK;
    while (collected < UPDATES && readable(fd, LONG_MS)) {
        int taken = 0;
        while ((outcome = commbox_batch_next(batch, 0, NULL, NULL, NULL)) == COMMBOX_OK) taken++;
        CHECK(outcome == COMMBOX_TIMEOUT);
        collected += taken;
        vain += taken == 0;
    }
    CHECK(collected == UPDATES && vain <= UPDATES && is_quiet(batch, fd, UPDATES));
    CHECK(commbox_batch_close(batch) == COMMBOX_OK && readable(fd, LONG_MS));
    CHECK(commbox_batch_next(batch, 0, NULL, NULL, NULL) == COMMBOX_DONE && readable(fd, 0));
    commbox_batch_free(batch);
}

static atomic_int call_is_over;

static void *call_for_7(void *client)
{
    commbox_update_user_json(client, 7, "{}", NULL);
    call_is_over = 1;
    return NULL;
}

/* Cancelled updates, and updates that time out while queued, make the descriptor readable too. */
static void shows_what_was_not_sent(commbox_client *client)
{
    commbox_batch *batch = commbox_batch_new(client, "{\"concurrency\": 1}");
    CHECK(commbox_client_set_max_requests_per_second(client, 0.01) == COMMBOX_OK);
    for (uint64_t tag = 0; tag < 3; tag++)
        CHECK(commbox_batch_submit(batch, tag, 1, "{}", 0) == COMMBOX_OK);
    CHECK(readable((int)commbox_batch_notify_fd(batch), LONG_MS));
    CHECK(commbox_batch_next(batch, 0, NULL, NULL, NULL) == COMMBOX_OK);
    CHECK(is_quiet(batch, (int)commbox_batch_notify_fd(batch), 1));
    CHECK(commbox_batch_cancel_tag(batch, 2) == COMMBOX_OK
          && readable((int)commbox_batch_notify_fd(batch), LONG_MS));
    commbox_batch_free(batch);

    commbox_client_set_max_requests_per_second(client, 0);
    batch = commbox_batch_new(client, "{\"concurrency\": 1, \"overall_timeout_ms\": 300}");
    int fd = (int)commbox_batch_notify_fd(batch);
    /* A call for the same user is in flight all the time, so no worker sends the update. */
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, call_for_7, client) == 0);
    poll(NULL, 0, 500);
    CHECK(commbox_batch_submit(batch, 0, 7, "{}", 0) == COMMBOX_OK && !readable(fd, 0));
    int32_t code = 0;
    CHECK(readable(fd, LONG_MS) && commbox_batch_next(batch, 0, NULL, &code, NULL) == COMMBOX_OK);
    CHECK(code == COMMBOX_TIMEOUT && !call_is_over);
    commbox_client_cancel(client);
    CHECK(pthread_join(thread, NULL) == 0);
    commbox_batch_free(batch);
}

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    commbox_client *client = new_client(argv[1]);
    CHECK(client != NULL);
    if (getenv("SLOW") == NULL) {
        collects_all(client);
    } else {
        shows_what_was_not_sent(client);
    }
    commbox_client_free(client);
    /* The threads of a batch end within 100 ms after it is freed. */
    poll(NULL, 0, 300);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
