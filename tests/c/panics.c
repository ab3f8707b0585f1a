/* Calls every function while the library panics at the place that COMMBOX_FAIL_AT names, and then
 * continues to use the library. The argument contains the options of a client whose updates
 * succeed. tests/panics.rs runs it. */

#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "commbox.h"

#ifdef _WIN32
#define unsetenv(name) _putenv(name "=")
#define setenv(name, value, replace) _putenv_s(name, value)
#endif

static int internal = 0;

/* Counts an outcome that the panic caused. Any other outcome except success is an error of the
 * library. */
static void note(const char *function, int failed)
{
    if (!failed) {
        return;
    }
    int32_t code = commbox_last_error_code();
    const char *json = commbox_last_error_json();
    if (code == COMMBOX_INTERNAL && strstr(commbox_last_error(), "bug in commbox")
        && strstr(json, "\"code\":-10,")) {
        internal++;
    } else if (code != COMMBOX_INVALID_HANDLE) {
        /* If a handle could not be created, it is NULL. The function that should have created it
         * reports the panic, so errors of functions that use the handle are ignored. */
        printf("%s: %d %s %s\n", function, (int)code, commbox_last_error(), json);
        exit(EXIT_FAILURE);
    }
}

/* The callback may call the library, whatever the result. */
static void on_event(void *context, int32_t level, const char *event_json, const char *sentence)
{
    (void)level, (void)event_json, (void)sentence;
    commbox_string_free(commbox_client_stats_json(*(commbox_client **)context));
}

static void call_everything(const char *options)
{
    commbox_client *client = commbox_client_new("sandbox-key", options);
    note("commbox_client_new", client == NULL);
    note("commbox_client_set_log",
         commbox_client_set_log(client, 5, on_event, &client) != COMMBOX_OK);
    for (int i = 0; i < 3; i++) {
        char *reply = NULL;
        int32_t code = commbox_update_user_json(client, 1, "{\"FirstName\": \"John\"}", &reply);
        note("commbox_update_user_json", code != COMMBOX_OK);
        commbox_string_free(reply);
    }
    note("commbox_update_user_json_with",
         commbox_update_user_json_with(client, 1, "{}", "{}", NULL) != COMMBOX_OK);
    commbox_options *set = commbox_options_new();
    note("commbox_options_new", set == NULL);
    note("commbox_options_set", commbox_options_set(set, "validate", "true") != COMMBOX_OK);
    commbox_client *other = commbox_client_new_with("sandbox-key", NULL);
    note("commbox_client_new_with", other == NULL);
    commbox_batch *empty = commbox_batch_new_with(client, NULL);
    note("commbox_batch_new_with", empty == NULL);
    note("commbox_client_validate_user_json",
         commbox_client_validate_user_json(client, 1, "{}") != COMMBOX_OK);
    char *figures = commbox_client_stats_json(client);
    note("commbox_client_stats_json", figures == NULL);
    commbox_string_free(figures);
    char *diagnosis = commbox_client_diagnose_json(client);
    note("commbox_client_diagnose_json", diagnosis == NULL);
    commbox_string_free(diagnosis);
    note("commbox_client_set_api_key",
         commbox_client_set_api_key(client, "sandbox-key") != COMMBOX_OK);
    note("commbox_client_set_max_requests_per_second",
         commbox_client_set_max_requests_per_second(client, 0) != COMMBOX_OK);
    note("commbox_client_set_interrupt",
         commbox_client_set_interrupt(client, NULL, NULL) != COMMBOX_OK);
    note("commbox_client_cancel", commbox_client_cancel(client) != COMMBOX_OK);
    commbox_user *user = commbox_user_new();
    note("commbox_user_new", user == NULL);
    note("commbox_user_set", commbox_user_set(user, "FirstName", "John") != COMMBOX_OK);
    note("commbox_user_set_custom", commbox_user_set_custom(user, "VIP", "8") != COMMBOX_OK);
    char *json = commbox_user_to_json(user);
    note("commbox_user_to_json", json == NULL);
    commbox_string_free(json);
    commbox_batch *batch = commbox_batch_new(client, NULL);
    note("commbox_batch_new", batch == NULL);
    for (uint64_t tag = 0; tag < 3; tag++) {
        if (commbox_batch_submit(batch, tag, 1, "{\"FirstName\": \"John\"}", 0) != COMMBOX_OK) {
            note("commbox_batch_submit", 1);
            continue;
        }
        int32_t outcome = COMMBOX_OK;
        char *json = NULL;
        note("commbox_batch_next",
             commbox_batch_next(batch, 5000, NULL, &outcome, &json) != COMMBOX_OK);
        /* A panic on a thread of the batch is reported with the update's result. */
        internal += outcome == COMMBOX_INTERNAL;
        commbox_string_free(json);
    }
    if (commbox_batch_submit_with(batch, 3, 1, "{\"FirstName\": \"John\"}", NULL, 0)
        != COMMBOX_OK) {
        note("commbox_batch_submit_with", 1);
    } else {
        int32_t outcome = COMMBOX_OK;
        note("commbox_batch_next",
             commbox_batch_next(batch, 5000, NULL, &outcome, NULL) != COMMBOX_OK);
        internal += outcome == COMMBOX_INTERNAL;
    }
    note("commbox_batch_cancel_tag", commbox_batch_cancel_tag(batch, 1) != COMMBOX_OK);
    char *stats = commbox_batch_stats_json(batch);
    note("commbox_batch_stats_json", stats == NULL);
    commbox_string_free(stats);
    note("commbox_batch_notify_fd", commbox_batch_notify_fd(batch) < 0);
    note("commbox_batch_close", commbox_batch_close(batch) != COMMBOX_OK);
    note("commbox_batch_cancel", commbox_batch_cancel(batch) != COMMBOX_OK);

    /* An error of the caller, and storing it. */
    int32_t code = commbox_update_user_json(client, 0, "{}", NULL);
    note("commbox_update_user_json", code != COMMBOX_INVALID_ARGUMENT);
    commbox_version();
    commbox_abi_version();
    commbox_last_attempts();
    commbox_last_elapsed_ms();
    commbox_last_http_status();
    commbox_last_delivery();
    commbox_last_retry_after_ms();
    commbox_last_request_id();
    commbox_code_name(COMMBOX_TIMEOUT);
    commbox_code_is_transient(COMMBOX_TIMEOUT);

    commbox_client_set_log(client, 0, NULL, NULL);

    /* Handles that were created before the panics still work, and so does everything else. */
    char *place = strdup(getenv("COMMBOX_FAIL_AT"));
    unsetenv("COMMBOX_FAIL_AT");
    if (client != NULL && commbox_update_user_json(client, 1, "{}", NULL) != COMMBOX_OK) {
        printf("the client is not usable: %s\n", commbox_last_error());
        exit(EXIT_FAILURE);
    }
    if (user != NULL && commbox_user_set(user, "LastName", "Doe") != COMMBOX_OK) {
        printf("the user is not usable: %s\n", commbox_last_error());
        exit(EXIT_FAILURE);
    }
    setenv("COMMBOX_FAIL_AT", place, 1);
    free(place);
    commbox_options_free(set);
    note("commbox_options_free", commbox_last_error_code() != COMMBOX_OK);
    commbox_batch_free(batch);
    note("commbox_batch_free", commbox_last_error_code() != COMMBOX_OK);
    commbox_client_free(client);
    note("commbox_client_free", commbox_last_error_code() != COMMBOX_OK);
    commbox_user_free(user);
    note("commbox_user_free", commbox_last_error_code() != COMMBOX_OK);
    unsetenv("COMMBOX_FAIL_AT");
    /* If freeing panicked before, the handle is freed now. */
    commbox_options_free(set);
    commbox_batch_free(empty);
    commbox_client_free(other);
    commbox_batch_free(batch);
    commbox_client_free(client);
    commbox_user_free(user);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        return EXIT_FAILURE;
    }
    call_everything(argv[1]);
    /* The threads of the batch end soon on their own. */
    struct timespec while_they_end = {0, 300000000};
    nanosleep(&while_they_end, NULL);
    printf("%d\n", internal);
    return EXIT_SUCCESS;
}
