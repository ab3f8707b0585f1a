/* Updates of one batch, each with its own options. argv contains the address of a server that
   answers as described in tests/batch_call_options.rs. */

#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "commbox.h"

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    char options[256];
    snprintf(options, sizeof options,
             "{\"base_url\": \"%s\", \"proxy\": \"\", \"retry_base_ms\": 1, \"max_retries\": 1,"
             " \"headers\": {\"X-Tenant\": \"all\"}}",
             argv[1]);
    commbox_client *client = commbox_client_new("sandbox-key", options);
    commbox_batch *batch = commbox_batch_new(client, "{\"concurrency\": 1}");
    CHECK(batch != NULL);

    static const struct {
        int64_t user_id;
        const char *options;
        int32_t code;
        int32_t attempts;
    } rows[] = {
        {1, "{\"headers\": {\"X-Row\": \"first\"}}", COMMBOX_OK, 1},
        {2, "{\"max_retries\": 0}", COMMBOX_SERVER_ERROR, 1},
        {3, NULL, COMMBOX_SERVER_ERROR, 2},
        {4, "{\"headers\": {\"x-tenant\": \"own\"}}", COMMBOX_OK, 1},
        {5, "{\"total_timeout_ms\": 2000}", COMMBOX_TIMEOUT, 1},
    };
    enum { COUNT = sizeof rows / sizeof *rows };
    for (uint64_t row = 0; row < COUNT; row++)
        CHECK(commbox_batch_submit_with(batch, row, rows[row].user_id, "{}", rows[row].options, -1)
              == COMMBOX_OK);
    CHECK(commbox_batch_close(batch) == COMMBOX_OK);
    for (uint64_t row = 0; row < COUNT; row++) {
        uint64_t tag = COUNT;
        int32_t code = -99;
        CHECK(commbox_batch_next(batch, -1, &tag, &code, NULL) == COMMBOX_OK && tag == row);
        CHECK(code == rows[row].code && commbox_last_attempts() == rows[row].attempts);
    }
    CHECK(commbox_batch_next(batch, -1, NULL, NULL, NULL) == COMMBOX_DONE);
    commbox_batch_free(batch);
    commbox_client_free(client);
    /* The threads of a batch end within 100 ms after it is freed. Until then, they count as a
     * leak. */
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
