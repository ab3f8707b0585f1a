/* The ways to end a batch: freed while full, cancelled, closed early. The argument contains the
 * options of a client whose server answers slowly. Linux only, because the program counts its
 * threads. tests/batch_end.rs runs it, with and without valgrind. */

#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "check.h"
#include "commbox.h"

static void wait_ms(long ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static int threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int count = 0;
    for (struct dirent *entry = readdir(tasks); entry != NULL; entry = readdir(tasks)) {
        count += entry->d_name[0] != '.';
    }
    closedir(tasks);
    return count;
}

/* Waits until the threads of the batches have ended. Tools that check memory slow them down. */
static int threads_end(void)
{
    for (int i = 0; i < 100 && threads() > 1; i++) {
        wait_ms(20);
    }
    return threads() == 1;
}

/* Returns a batch with two updates in flight and no room in either queue. */
static commbox_batch *full(commbox_client *client, uint64_t *accepted)
{
    commbox_batch *batch = commbox_batch_new(client, "{\"concurrency\": 2, \"queue_limit\": 10}");
    int32_t code = COMMBOX_OK;
    for (*accepted = 0; code == COMMBOX_OK; *accepted += code == COMMBOX_OK) {
        code = commbox_batch_submit(batch, *accepted, (int64_t)*accepted + 1,
                                    "{\"FirstName\": \"John\"}", 200);
    }
    CHECK(code == COMMBOX_TIMEOUT);
    CHECK(*accepted == 12);
    CHECK(threads() == 3);
    return batch;
}

/* Collects all results and returns how many have this code. */
static uint64_t drain(commbox_batch *batch, uint64_t accepted, int32_t expected)
{
    uint64_t came = 0, as_expected = 0, tag = 0;
    int32_t code = 0, next;
    char *json = NULL;
    while ((next = commbox_batch_next(batch, 30000, &tag, &code, &json)) == COMMBOX_OK) {
        CHECK(tag < accepted && json != NULL);
        came++;
        as_expected += code == expected;
        commbox_string_free(json);
    }
    CHECK(next == COMMBOX_DONE);
    CHECK(came == accepted);
    return as_expected;
}

int main(int argc, char **argv)
{
    uint64_t accepted;
    commbox_client *client = commbox_client_new("sandbox-key", argc == 2 ? argv[1] : NULL);

    commbox_batch *batch = full(client, &accepted);
    commbox_batch_free(batch);
    CHECK(threads_end());
    CHECK(commbox_batch_submit(batch, 1, 1, "{}", 0) == COMMBOX_INVALID_HANDLE);

    /* Pending updates are reported as cancelled, and the two in flight with their own results. */
    batch = full(client, &accepted);
    CHECK(commbox_batch_cancel(batch) == COMMBOX_OK);
    CHECK(commbox_batch_submit(batch, 99, 1, "{}", 0) == COMMBOX_CANCELLED);
    CHECK(drain(batch, accepted, COMMBOX_CANCELLED) == 10);
    CHECK(threads_end());
    commbox_batch_free(batch);

    /* After closing early, all accepted updates are still sent. */
    batch = full(client, &accepted);
    CHECK(commbox_batch_close(batch) == COMMBOX_OK);
    CHECK(drain(batch, accepted, COMMBOX_OK) == 12);
    CHECK(threads_end());
    commbox_batch_free(batch);

    /* The batch outlives its client's handle. */
    batch = commbox_batch_new(client, NULL);
    commbox_client_free(client);
    CHECK(commbox_batch_submit(batch, 0, 1, "{\"FirstName\": \"John\"}", 0) == COMMBOX_OK);
    CHECK(commbox_batch_close(batch) == COMMBOX_OK);
    CHECK(drain(batch, 1, COMMBOX_OK) == 1);
    commbox_batch_free(batch);
    CHECK(threads_end());
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
