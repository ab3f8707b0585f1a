/* Updates many users. One thread reads rows and submits them, the other one collects the results.
 *
 *     cc -std=c11 -pthread batch.c -lcommbox -o batch
 *     COMMBOX_API_KEY=my-api-key ./batch < users.tsv
 *
 * A row is a user id, a tab, and the user's fields as JSON. Rows that failed are reported with the
 * reason, without values of the user. After a SIGTERM, rows that were not sent are cancelled. */

#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <commbox.h>

static volatile sig_atomic_t terminated = 0;

/* A signal handler may only set a flag: no function of the library is async-signal-safe. */
static void on_signal(int number)
{
    (void)number;
    terminated = 1;
}

/* The library asks at least every 100 ms while it blocks, on the thread that it blocks. */
static int32_t is_terminated(void *context)
{
    (void)context;
    return terminated;
}

static void *submit_rows(void *batch)
{
    char *line = NULL, *json = NULL;
    size_t room = 0;
    for (uint64_t row = 1; getline(&line, &room, stdin) > 0; row++) {
        int64_t user_id = strtoll(line, &json, 10);
        if (commbox_batch_submit(batch, row, user_id, json, -1) != COMMBOX_OK) {
            fprintf(stderr, "row %" PRIu64 " and those after it were not submitted: %s\n", row,
                    commbox_last_error());
            break;
        }
    }
    free(line);
    commbox_batch_close(batch);
    return NULL;
}

int main(void)
{
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_signal}, NULL);
    commbox_client *client = commbox_client_new(NULL, NULL); /* the key of COMMBOX_API_KEY */
    commbox_batch *batch = commbox_batch_new(client, NULL);
    pthread_t submitter;
    if (batch == NULL || commbox_client_set_interrupt(client, is_terminated, NULL) != COMMBOX_OK) {
        fprintf(stderr, "%s\n", commbox_last_error());
        return EXIT_FAILURE;
    }
    if (pthread_create(&submitter, NULL, submit_rows, batch) != 0) {
        perror("pthread_create");
        return EXIT_FAILURE;
    }
    unsigned long updated = 0, failed = 0;
    uint64_t row = 0;
    int32_t code = COMMBOX_OK, status = COMMBOX_OK;
    while ((status = commbox_batch_next(batch, -1, &row, &code, NULL)) != COMMBOX_DONE) {
        if (status == COMMBOX_CANCELLED) {
            /* Otherwise collecting the remaining results is cancelled, too. */
            commbox_client_set_interrupt(client, NULL, NULL);
            commbox_batch_cancel(batch);
        } else if (status != COMMBOX_OK) {
            fprintf(stderr, "%s\n", commbox_last_error());
            break;
        } else if (code == COMMBOX_OK) {
            updated++;
        } else {
            failed++;
            fprintf(stderr, "row %" PRIu64 ": %s\n", row, commbox_last_error());
        }
    }
    if (!terminated) pthread_join(submitter, NULL); /* otherwise it may still wait for a row */
    printf("%lu updated, %lu failed\n", updated, failed);
    commbox_batch_free(batch);
    commbox_client_free(client);
    return failed == 0 && !terminated ? EXIT_SUCCESS : EXIT_FAILURE;
}
