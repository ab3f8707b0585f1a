/* Makes calls with one outcome many times, and prints how much more the process then holds:
 * bytes of memory and open files. Without arguments, it prints the names of the outcomes.
 * Otherwise, the arguments are an outcome, the URL of a sandbox, and the number of calls.
 * tests/growth.rs runs it. */

#define _GNU_SOURCE
#include <dirent.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "commbox.h"

static commbox_client *client;
static commbox_batch *batch;
static const char *sandbox;
static const char *user_json = "{\"FirstName\": \"John\"}";

static commbox_client *make(const char *base_url, const char *more)
{
    char options[300];
    snprintf(options, sizeof options,
             "{\"base_url\": \"%s\", \"max_retries\": 0, \"proxy\": \"\"%s}", base_url, more);
    return commbox_client_new("sandbox-key", options);
}

static int32_t update(void)
{
    char *reply;
    int32_t code = commbox_update_user_json(client, 1, user_json, &reply);
    commbox_string_free(reply);
    return code;
}

static int32_t make_client(void)
{
    commbox_client *made = make(sandbox, "");
    int32_t code = commbox_last_error_code();
    commbox_client_free(made);
    return code;
}

static int32_t make_client_badly(void)
{
    commbox_client *none = make(sandbox, ", \"max_retrys\": 1");
    int32_t code = commbox_last_error_code();
    commbox_client_free(none);
    return code;
}

static int32_t replace_key(void)
{
    return commbox_client_set_api_key(client, "sandbox-key");
}

static int32_t build_user(void)
{
    commbox_user *user = commbox_user_new();
    commbox_user_set(user, "FirstName", "John");
    commbox_user_set_custom(user, "VIP", "8");
    char *json = commbox_user_to_json(user);
    int32_t code = commbox_last_error_code();
    commbox_string_free(json);
    commbox_user_free(user);
    return code;
}

static int32_t make_batch(void)
{
    commbox_batch *made = commbox_batch_new(client, NULL);
    int32_t code = commbox_last_error_code();
    commbox_batch_free(made);
    return code;
}

static int32_t update_by_batch(void)
{
    int32_t code = COMMBOX_INTERNAL;
    char *reply = NULL;
    commbox_batch_submit(batch, 1, 1, user_json, -1);
    commbox_batch_next(batch, -1, NULL, &code, &reply);
    commbox_string_free(reply);
    return code;
}

/* Many calls run at the same time, because a call that waits for its response checks for
 * cancellation only ten times per second. */
enum { CALLERS = 32 };

static atomic_int running;

static void *update_until_cancelled(void *unused)
{
    int32_t code;
    do {
        code = update();
    } while (code == COMMBOX_OK);
    if (code != COMMBOX_CANCELLED) {
        exit(EXIT_FAILURE);
    }
    atomic_fetch_sub(&running, 1);
    return unused;
}

static int32_t cancel_callers(void)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    pthread_t callers[CALLERS];
    atomic_store(&running, CALLERS);
    for (int i = 0; i < CALLERS; i++) {
        if (pthread_create(&callers[i], NULL, update_until_cancelled, NULL) != 0) {
            exit(EXIT_FAILURE);
        }
    }
    while (atomic_load(&running) > 0) {
        nanosleep(&pause, NULL);
        commbox_client_cancel(client);
    }
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(callers[i], NULL);
    }
    return COMMBOX_OK;
}

static long open_files(void)
{
    long count = 0;
    DIR *files = opendir("/proc/self/fd");
    while (files != NULL && readdir(files) != NULL) {
        count++;
    }
    if (files != NULL) {
        closedir(files);
    }
    return count;
}

static long memory(void)
{
    struct mallinfo2 info = mallinfo2();
    return (long)(info.uordblks + info.hblkhd);
}

static int32_t repeat(int32_t (*call)(void), int32_t expected, long times)
{
    int32_t code = expected;
    for (long i = 0; i < times && code == expected; i++) {
        code = call();
    }
    if (code != expected) {
        printf("%ld in place of %ld: %s\n", (long)code, (long)expected, commbox_last_error());
        exit(EXIT_FAILURE);
    }
    return code;
}

/* Some calls warm up first. */
static void measure(int32_t (*call)(void), int32_t expected, long times)
{
    repeat(call, expected, times / 50);
    long files = open_files(), before = memory();
    repeat(call, expected, times);
    long grown = memory() - before;
    printf("%ld %ld", grown, open_files() - files);
}

static void made(long times)
{
    measure(make_client, COMMBOX_OK, times);
}
static void built(long times)
{
    measure(build_user, COMMBOX_OK, times);
}
static void replaced(long times)
{
    measure(replace_key, COMMBOX_OK, times);
}
static void updated(long times)
{
    measure(update, COMMBOX_OK, times);
}
static void bad_options(long times)
{
    measure(make_client_badly, COMMBOX_INVALID_OPTIONS, times);
}
static void bad_response(long times)
{
    measure(update, COMMBOX_BAD_RESPONSE, times);
}

static void batch_made(long times)
{
    measure(make_batch, COMMBOX_OK, times);
}

static void updated_by_batch(long times)
{
    batch = commbox_batch_new(client, "{\"concurrency\": 1}");
    measure(update_by_batch, COMMBOX_OK, times);
    commbox_batch_free(batch);
}

static void bad_text(long times)
{
    user_json = "\xff";
    measure(update, COMMBOX_INVALID_ARGUMENT, times);
}

static void bad_user(long times)
{
    user_json = "{\"FirstName\": 1}";
    measure(update, COMMBOX_INVALID_USER, times);
}

static void bad_handle(long times)
{
    commbox_client_free(client);
    measure(update, COMMBOX_INVALID_HANDLE, times);
}

/* Uses a new client each time, because repeated failures of one client would count as an outage. */
static int32_t update_at_nobody(void)
{
    commbox_client *made = make("http://127.0.0.1:1", "");
    int32_t code = commbox_update_user_json(made, 1, user_json, NULL);
    commbox_client_free(made);
    return code;
}

static void refused_connection(long times)
{
    measure(update_at_nobody, COMMBOX_CONNECTION, times);
}

/* On a busy machine, the timeout may expire before the connection is refused. */
static int32_t update_in_outage(void)
{
    int32_t code = update();
    return code == COMMBOX_TIMEOUT ? COMMBOX_CONNECTION : code;
}

static void held_back(long times)
{
    commbox_client_free(client);
    client = make("http://127.0.0.1:1", ", \"total_timeout_ms\": 100");
    measure(update_in_outage, COMMBOX_CONNECTION, times);
}

static void refused_user(long times)
{
    commbox_client_free(client);
    client = make(sandbox, ", \"validate\": false");
    user_json = "{\"FirstName\": 1}";
    measure(update, COMMBOX_BAD_REQUEST, times);
}

static void cancelled(long times)
{
    measure(cancel_callers, COMMBOX_OK, times / CALLERS);
}

static const struct {
    const char *name;
    void (*measure)(long times);
} outcomes[] = {
    {"client made and freed", made},
    {"user built", built},
    {"key replaced", replaced},
    {"updated", updated},
    {"batch made and freed", batch_made},
    {"updated by a batch", updated_by_batch},
    {"bad options", bad_options},
    {"bad text", bad_text},
    {"bad user", bad_user},
    {"bad handle", bad_handle},
    {"bad response", bad_response},
    {"refused connection", refused_connection},
    {"held back in an outage", held_back},
    {"refused user", refused_user},
    {"cancelled", cancelled},
};

int main(int argc, char **argv)
{
    int found = argc == 1;
    for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++) {
        if (argc == 1) {
            puts(outcomes[i].name);
        } else if (argc == 4 && strcmp(argv[1], outcomes[i].name) == 0) {
            sandbox = argv[2];
            client = make(sandbox, "");
            outcomes[i].measure(atol(argv[3]));
            commbox_client_free(client);
            found = 1;
        }
    }
    return found ? EXIT_SUCCESS : EXIT_FAILURE;
}
