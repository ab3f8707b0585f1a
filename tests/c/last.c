/* The values of the accessors for the last update. argv contains the address of a server that
 * answers as described in tests/last.rs. */

#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "commbox.h"

static commbox_client *client_of(const char *url)
{
    char options[256];
    snprintf(options, sizeof options,
             "{\"base_url\": \"%s\", \"proxy\": \"\", \"retry_base_ms\": 1, \"max_retries\": 1}",
             url);
    return commbox_client_new("sandbox-key", options);
}

static int holds(int32_t attempts, int32_t status, int32_t delivery, const char *request_id)
{
    return commbox_last_attempts() == attempts && commbox_last_http_status() == status
           && commbox_last_delivery() == delivery
           && strcmp(commbox_last_request_id(), request_id) == 0 && commbox_last_elapsed_ms() >= 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    commbox_client *client = client_of(argv[1]);
    CHECK(client != NULL);

    /* A success after a 503, a response without a request id, and a rejection. */
    CHECK(commbox_update_user_json(client, 1, "{}", NULL) == COMMBOX_OK);
    CHECK(holds(2, 200, COMMBOX_DELIVERY_ANSWERED, "first"));
    CHECK(commbox_update_user_json(client, 1, "{}", NULL) == COMMBOX_OK);
    CHECK(holds(1, 200, COMMBOX_DELIVERY_ANSWERED, ""));
    CHECK(commbox_update_user_json(client, 1, "{}", NULL) == COMMBOX_BAD_REQUEST);
    CHECK(holds(1, 400, COMMBOX_DELIVERY_ANSWERED, "third"));
    CHECK(strstr(commbox_last_error_json(), "\"request_id\":\"third\"") != NULL);
    CHECK(commbox_update_user_json(client, 1, "{}", NULL) == COMMBOX_SERVER_ERROR + 3);
    CHECK(holds(2, 503, COMMBOX_DELIVERY_ANSWERED, "") && commbox_last_retry_after_ms() == 0);

    /* For a batch, the accessors describe the update whose result was collected. */
    commbox_batch *batch = commbox_batch_new(client, "{\"concurrency\": 1}");
    CHECK(commbox_last_attempts() == 0);
    for (uint64_t tag = 0; tag < 2; tag++)
        CHECK(commbox_batch_submit(batch, tag, 1, "{}", -1) == COMMBOX_OK);
    CHECK(commbox_batch_close(batch) == COMMBOX_OK);
    for (uint64_t expected = 0; expected < 2; expected++) {
        uint64_t tag = 9;
        int32_t code = -99;
        CHECK(commbox_batch_next(batch, -1, &tag, &code, NULL) == COMMBOX_OK && tag == expected);
        CHECK(commbox_last_error_code() == code
              && code == (expected == 0 ? COMMBOX_OK : COMMBOX_NOT_FOUND));
        CHECK(holds(1, expected == 0 ? 200 : 404, COMMBOX_DELIVERY_ANSWERED,
                    expected == 0 ? "fifth" : "sixth"));
        CHECK((strcmp(commbox_last_error(), "") == 0) == (expected == 0));
    }
    CHECK(commbox_batch_next(batch, -1, NULL, NULL, NULL) == COMMBOX_DONE
          && commbox_last_attempts() == 0);
    CHECK(strcmp(commbox_last_error(), "") == 0);
    commbox_batch_free(batch);
    commbox_client_free(client);

    /* The request id is in the header that request_id_header names, or in one of the usual ones. */
    commbox_options *options = commbox_options_new();
    CHECK(commbox_options_set(options, "request_id_header", "x trace") == COMMBOX_INVALID_OPTIONS);
    CHECK(
        strcmp(commbox_last_error(),
               "request_id_header is not a valid header name: use 1 to 64 letters, digits, - and _")
        == 0);
    CHECK(commbox_options_set(options, "request_id_header", "x-trace") == COMMBOX_OK);
    CHECK(commbox_options_set(options, "base_url", argv[1]) == COMMBOX_OK);
    CHECK(commbox_options_set(options, "proxy", "") == COMMBOX_OK);
    client = commbox_client_new_with("sandbox-key", options);
    commbox_options_free(options);
    CHECK(commbox_update_user_json(client, 1, "{}", NULL) == COMMBOX_OK
          && holds(1, 200, COMMBOX_DELIVERY_ANSWERED, "seventh"));
    CHECK(commbox_update_user_json(client, 1, "{}", NULL) == COMMBOX_OK
          && holds(1, 200, COMMBOX_DELIVERY_ANSWERED, "eighth"));
    char *figures = commbox_client_stats_json(client);
    CHECK(figures != NULL && strstr(figures, "\"calls\":2,\"succeeded\":2,\"failed\":0,") != NULL);
    CHECK(strstr(figures, "\"in_flight\":0,\"connections_open\":1,\"connections_opened\":1,")
          != NULL);
    CHECK(strstr(figures, "\"latency\":{\"count\":2,") != NULL);
    commbox_string_free(figures);
    commbox_client_free(client);
    /* The threads of a batch end within 100 ms after it is freed. Until then, they count as a
     * leak. */
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
