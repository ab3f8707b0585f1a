/* Mistakes that a program may make with handles and text, and the code that each returns.
 * tests/boundary.rs runs it, with and without valgrind. */

#define _POSIX_C_SOURCE 200809L
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "commbox.h"

#ifdef _WIN32
#define unsetenv(name) _putenv(name "=")
#define setenv(name, value, replace) _putenv_s(name, value)
#endif

static int told(const char *part)
{
    return strstr(commbox_last_error(), part) != NULL;
}

/* Calls made here do not change the error of the outer call. */
static void log_of(void *context, int32_t level, const char *event_json, const char *sentence)
{
    CHECK(level == 2 && strstr(event_json, "\"event\":\"call_failed\"") != NULL
          && strlen(sentence) > 20);
    CHECK(commbox_update_user_json(NULL, 1, "{}", NULL) == COMMBOX_INVALID_HANDLE);
    ++*(int *)context;
}

static void clients(void)
{
    CHECK(commbox_client_new(NULL, NULL) == NULL
          && commbox_last_error_code() == COMMBOX_INVALID_ARGUMENT);
    CHECK(told("api_key is missing") && told("COMMBOX_API_KEY"));
    setenv("COMMBOX_API_KEY", "a b", 1);
    CHECK(commbox_client_new(NULL, NULL) == NULL && told("COMMBOX_API_KEY") && told("has a blank"));
    setenv("COMMBOX_API_KEY", "key", 1);
    setenv("COMMBOX_BASE_URL", "http://example.com", 1);
    CHECK(commbox_client_new(NULL, NULL) == NULL && told("base_url must be https")
          && told("COMMBOX_BASE_URL"));
    CHECK(commbox_client_new_with(NULL, NULL) == NULL && told("COMMBOX_BASE_URL"));
    CHECK(commbox_client_new(NULL, "{\"max_retries\": 0}") == NULL && told("COMMBOX_BASE_URL"));
    setenv("COMMBOX_BASE_URL", "http://localhost:1", 1);
    commbox_client *of_environment = commbox_client_new(NULL, "");
    CHECK(of_environment != NULL);
    commbox_client_free(of_environment);
    unsetenv("COMMBOX_BASE_URL");
    unsetenv("COMMBOX_API_KEY");
    /* A program that checks only its last call gets the reason why the first one failed. */
    CHECK(commbox_client_new("key", "{\"max_retrys\": 1}") == NULL);
    CHECK(commbox_last_error_code() == COMMBOX_INVALID_OPTIONS);
    CHECK(commbox_update_user_json(NULL, 1, "{}", NULL) == COMMBOX_INVALID_HANDLE
          && told("did you mean \"max_retries\""));
    /* This does not apply to a NULL that a different function would have returned. */
    CHECK(commbox_client_new("key", "{\"max_retrys\": 1}") == NULL);
    CHECK(commbox_user_set(NULL, "FirstName", "x") == COMMBOX_INVALID_HANDLE);
    CHECK(told("user is NULL; pass the value that commbox_user_new() returned"));
    CHECK(commbox_client_new("key", "{\"max_retrys\": 1}") == NULL);
    CHECK(commbox_batch_new(NULL, NULL) == NULL
          && told("client is NULL because commbox_client_new() failed"));
    CHECK(commbox_batch_close(NULL) == COMMBOX_INVALID_HANDLE);
    CHECK(told("batch is NULL because commbox_batch_new() failed"));

    commbox_client *client =
        commbox_client_new("key", "{\"base_url\": \"http://localhost:1\", \"max_retries\": 0}");
    CHECK(client != NULL && strcmp(commbox_last_error(), "") == 0
          && strcmp(commbox_last_error_json(), "") == 0);
    char *reply = (char *)"untouched";
    CHECK(commbox_update_user_json(client, 1, "{\"FirstName\": \"\xff\"}", &reply)
          == COMMBOX_INVALID_ARGUMENT);
    CHECK(reply == NULL && told("user_json is not UTF-8"));
    CHECK(commbox_update_user_json(client, 1, NULL, &reply) == COMMBOX_INVALID_ARGUMENT
          && told("user_json is NULL"));
    CHECK(commbox_update_user_json(client, 0, "{}", NULL) == COMMBOX_INVALID_ARGUMENT
          && told("user_id"));
    CHECK(commbox_update_user_json(client, 1, "{}", &reply) == COMMBOX_CONNECTION && reply == NULL);
    CHECK(commbox_client_set_api_key(client, "a b") == COMMBOX_INVALID_ARGUMENT && told("api_key"));
    CHECK(commbox_client_set_api_key(client, "another") == COMMBOX_OK);

    /* The details of the last call are available without parsing JSON. */
    CHECK(commbox_update_user_json(client, 1, "{}", NULL) == COMMBOX_CONNECTION);
    CHECK(commbox_last_attempts() == 1 && commbox_last_elapsed_ms() >= 0
          && commbox_last_http_status() == 0);
    CHECK(commbox_last_delivery() == COMMBOX_DELIVERY_NOT_SENT
          && commbox_last_retry_after_ms() == -1);
    CHECK(strcmp(commbox_last_request_id(), "") == 0
          && commbox_last_error_code() == COMMBOX_CONNECTION);
    char *figures = commbox_client_stats_json(client);
    CHECK(figures != NULL && strstr(figures, "\"calls\":3,\"succeeded\":0,\"failed\":3,") != NULL);
    CHECK(strstr(figures, "\"failed_by_code\":{\"-5\":2,\"-1\":1}") != NULL
          && strstr(figures, "\"state\":\"open\"") != NULL);
    commbox_string_free(figures);
    CHECK(commbox_client_diagnose_json(NULL) == NULL
          && commbox_last_error_code() == COMMBOX_INVALID_HANDLE);
    char *diagnosis = commbox_client_diagnose_json(client);
    CHECK(diagnosis != NULL && strstr(diagnosis, "refused the connection") != NULL);
    commbox_string_free(diagnosis);
    CHECK(commbox_client_stats_json(NULL) == NULL
          && commbox_last_error_code() == COMMBOX_INVALID_HANDLE);
    CHECK(commbox_client_validate_user_json(client, 1, "{\"FirstName\": \"John\"}") == COMMBOX_OK);
    CHECK(commbox_last_attempts() == 0 && commbox_last_delivery() == COMMBOX_DELIVERY_UNKNOWN);
    CHECK(commbox_client_validate_user_json(client, 0, "{}") == COMMBOX_INVALID_ARGUMENT
          && told("user_id"));
    CHECK(commbox_client_validate_user_json(client, 1, NULL) == COMMBOX_INVALID_ARGUMENT
          && told("user_json is NULL"));
    CHECK(commbox_client_validate_user_json(client, 1, "{\"Email\": 7}") == COMMBOX_INVALID_USER
          && told("Email"));
    CHECK(commbox_last_delivery() == COMMBOX_DELIVERY_NOT_SENT && commbox_last_attempts() == 0);

    CHECK(commbox_client_set_log(client, 6, log_of, NULL) == COMMBOX_INVALID_ARGUMENT
          && told("level must be from 0"));
    CHECK(commbox_client_set_log(client, -1, log_of, NULL) == COMMBOX_INVALID_ARGUMENT);
    CHECK(commbox_client_set_log(NULL, 0, NULL, NULL) == COMMBOX_INVALID_HANDLE);
    int events = 0;
    CHECK(commbox_client_set_log(client, 2, log_of, &events) == COMMBOX_OK);
    CHECK(commbox_update_user_json(client, 1, "{}", NULL) == COMMBOX_CONNECTION
          && told("localhost:1"));
    CHECK(events == 1);
    CHECK(commbox_client_set_log(client, 2, NULL, &events) == COMMBOX_OK);
    CHECK(commbox_client_set_log(client, 0, log_of, &events) == COMMBOX_OK);
    CHECK(commbox_update_user_json(client, 1, "{}", NULL) == COMMBOX_CONNECTION && events == 1);

    /* Cleaning up does not clear an error that is still to be reported. */
    CHECK(commbox_update_user_json(client, -1, "{}", NULL) == COMMBOX_INVALID_ARGUMENT);
    commbox_client_free(client);
    CHECK(commbox_last_error_code() == COMMBOX_INVALID_ARGUMENT && told("user_id"));

    commbox_client_free(client);
    CHECK(commbox_last_error_code() == COMMBOX_INVALID_HANDLE && told("client"));
    CHECK(commbox_update_user_json(client, 1, "{}", NULL) == COMMBOX_INVALID_HANDLE);
    CHECK(commbox_client_set_api_key(client, "key") == COMMBOX_INVALID_HANDLE);
    CHECK(commbox_client_validate_user_json(client, 1, "{}") == COMMBOX_INVALID_HANDLE);
    CHECK(commbox_update_user_json((commbox_client *)(uintptr_t)0x1234, 1, "{}", NULL)
          == COMMBOX_INVALID_HANDLE);
    CHECK(commbox_update_user_json((commbox_client *)UINTPTR_MAX, 1, "{}", NULL)
          == COMMBOX_INVALID_HANDLE);
    commbox_client_free(NULL);
}

static void users(void)
{
    commbox_user *user = commbox_user_new();
    CHECK(user != NULL);
    CHECK(commbox_user_set(user, "FirstName", "old") == COMMBOX_OK);
    CHECK(commbox_user_set(user, "FirstName", "J\"o\\h\n\xc3\xa9") == COMMBOX_OK);
    CHECK(commbox_user_set(user, "Phone2", NULL) == COMMBOX_OK);
    CHECK(commbox_user_set_custom(user, "VIP_Status", "8") == COMMBOX_OK);
    CHECK(commbox_user_set(user, NULL, "x") == COMMBOX_INVALID_ARGUMENT && told("name is NULL"));
    CHECK(commbox_user_set(user, "", "x") == COMMBOX_INVALID_ARGUMENT && told("name is empty"));
    CHECK(commbox_user_set(user, "Content", "x") == COMMBOX_INVALID_ARGUMENT);
    CHECK(commbox_user_set_custom(user, "a", "\xed\xa0\x80") == COMMBOX_INVALID_ARGUMENT
          && told("value is not UTF-8"));
    char *json = commbox_user_to_json(user);
    CHECK(json != NULL
          && strcmp(json, "{\"data\":{\"FirstName\":\"J\\\"o\\\\h\\n\xc3\xa9\",\"Phone2\":null,"
                          "\"Content\":{\"VIP_Status\":\"8\"}}}")
                 == 0);
    commbox_string_free(json);
    commbox_string_free(NULL);

    /* A user is not a client. */
    CHECK(commbox_update_user_json((commbox_client *)user, 1, "{}", NULL)
          == COMMBOX_INVALID_HANDLE);
    commbox_user_free(user);
    CHECK(commbox_user_set(user, "FirstName", "x") == COMMBOX_INVALID_HANDLE && told("user"));
    CHECK(commbox_user_to_json(user) == NULL
          && commbox_last_error_code() == COMMBOX_INVALID_HANDLE);
    commbox_user_free(user);
    CHECK(commbox_last_error_code() == COMMBOX_INVALID_HANDLE);
    commbox_user_free(NULL);
}

static void options(void)
{
    commbox_options *options = commbox_options_new();
    CHECK(options != NULL);
    CHECK(commbox_options_set(options, "max_retrys", "1") == COMMBOX_INVALID_OPTIONS
          && told("\"max_retries\""));
    CHECK(commbox_options_set(options, "max_retries", "many") == COMMBOX_INVALID_OPTIONS
          && told("a whole number"));
    CHECK(commbox_options_set(options, "max_retries", NULL) == COMMBOX_INVALID_ARGUMENT
          && told("value is NULL"));
    CHECK(commbox_options_set(options, NULL, "1") == COMMBOX_INVALID_ARGUMENT
          && told("key is NULL"));
    CHECK(commbox_options_set(options, "user_agent", "\xff") == COMMBOX_INVALID_ARGUMENT
          && told("value is not UTF-8"));
    CHECK(commbox_options_set(options, "headers.Host", "x") == COMMBOX_INVALID_OPTIONS
          && told("headers.Host is reserved"));
    CHECK(commbox_options_set(options, "max_retries", "0") == COMMBOX_OK);
    CHECK(commbox_options_set(options, "base_url", "http://localhost:1") == COMMBOX_OK);
    CHECK(commbox_options_set(options, "headers.X-Trace", "1") == COMMBOX_OK);
    CHECK(commbox_client_new_with(NULL, options) == NULL
          && commbox_last_error_code() == COMMBOX_INVALID_ARGUMENT);
    commbox_client *client = commbox_client_new_with("key", options);
    CHECK(client != NULL);
    CHECK(commbox_batch_new_with(client, options) == NULL
          && told("max_retries is not an option of a batch"));
    CHECK(commbox_batch_new_with(NULL, NULL) == NULL
          && commbox_last_error_code() == COMMBOX_INVALID_HANDLE);
    /* A client keeps its options after the options handle is freed. */
    commbox_options_free(options);
    CHECK(commbox_update_user_json(client, 1, "{}", NULL) == COMMBOX_CONNECTION
          && commbox_last_attempts() == 1);
    CHECK(commbox_options_set(options, "max_retries", "0") == COMMBOX_INVALID_HANDLE
          && told("options"));
    CHECK(commbox_client_new_with("key", options) == NULL
          && commbox_last_error_code() == COMMBOX_INVALID_HANDLE);
    commbox_options_free(options);
    CHECK(commbox_last_error_code() == COMMBOX_INVALID_HANDLE);
    commbox_options_free(NULL);
    CHECK(commbox_options_set((commbox_options *)client, "max_retries", "0")
          == COMMBOX_INVALID_HANDLE);

    char *reply = (char *)"untouched";
    CHECK(commbox_update_user_json_with(client, 1, "{}", "{\"proxy\": \"x\"}", &reply)
          == COMMBOX_INVALID_OPTIONS);
    CHECK(reply == NULL && told("proxy is an unknown option"));
    CHECK(commbox_update_user_json_with(client, 1, "{}", "[]", NULL) == COMMBOX_INVALID_OPTIONS
          && told("call_json must"));
    CHECK(commbox_update_user_json_with(client, 1, "{}", "\xff", NULL) == COMMBOX_INVALID_ARGUMENT
          && told("call_json"));
    CHECK(commbox_update_user_json_with(client, 1, NULL, "{}", NULL) == COMMBOX_INVALID_ARGUMENT
          && told("user_json"));
    CHECK(commbox_update_user_json_with(NULL, 1, "{}", "{}", NULL) == COMMBOX_INVALID_HANDLE);
    CHECK(commbox_update_user_json_with(client, 1, "{}", "{\"max_retries\": 1}", NULL)
          == COMMBOX_CONNECTION);
    CHECK(commbox_last_attempts() == 2);
    CHECK(commbox_update_user_json_with(client, 1, "{}", NULL, NULL) == COMMBOX_CONNECTION
          && commbox_last_attempts() == 1);
    commbox_batch *batch = commbox_batch_new_with(client, NULL);
    CHECK(commbox_batch_submit_with(batch, 1, 1, "{}", "{\"max_retries\": -1}", 0)
          == COMMBOX_INVALID_OPTIONS);
    CHECK(commbox_batch_submit_with(batch, 1, 1, NULL, NULL, 0) == COMMBOX_INVALID_ARGUMENT);
    CHECK(commbox_batch_submit_with(NULL, 1, 1, "{}", NULL, 0) == COMMBOX_INVALID_HANDLE);
    CHECK(commbox_batch_notify_fd(NULL) == -1
          && commbox_last_error_code() == COMMBOX_INVALID_HANDLE);
    int64_t fd = commbox_batch_notify_fd(batch);
    CHECK(fd >= 0 && commbox_batch_notify_fd(batch) == fd);
    commbox_batch_free(batch);
    CHECK(commbox_batch_notify_fd(batch) == -1 && told("batch"));
    commbox_client_free(client);
}

static void codes(void)
{
    CHECK(strcmp(commbox_code_name(COMMBOX_OK), "ok") == 0
          && strcmp(commbox_code_name(COMMBOX_DONE), "done") == 0);
    CHECK(strcmp(commbox_code_name(COMMBOX_TIMEOUT), "timeout") == 0);
    CHECK(strcmp(commbox_code_name(429), "rate_limited") == 0
          && strcmp(commbox_code_name(418), "client_error") == 0);
    CHECK(strcmp(commbox_code_name(7), "") == 0 && strcmp(commbox_code_name(INT32_MIN), "") == 0);
    static const int32_t transient[] = {
        COMMBOX_CONNECTION, COMMBOX_TIMEOUT, COMMBOX_THROTTLED, 429, 500, 502, 503, 504};
    for (size_t i = 0; i < sizeof transient / sizeof *transient; i++)
        CHECK(commbox_code_is_transient(transient[i]) == 1);
    static const int32_t lasting[] = {COMMBOX_OK, COMMBOX_TLS, COMMBOX_CANCELLED, 7, 200, 400, 401,
                                      404,        501,         INT32_MAX};
    for (size_t i = 0; i < sizeof lasting / sizeof *lasting; i++)
        CHECK(commbox_code_is_transient(lasting[i]) == 0);
}

int main(void)
{
    codes();
    options();
    CHECK(commbox_abi_version() == COMMBOX_ABI_VERSION);
    CHECK(strcmp(commbox_version(), "1.0.0-rc.1") == 0);
    clients();
    users();
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
