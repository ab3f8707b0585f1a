/* Makes calls after a thread's thread-local variables were destroyed: in the destructor of a
 * pthread key, and in an exit handler. Prints where calls were made, and each check that failed.
 * With "threads", it only ends threads that have an error. tests/exit.rs runs it. */

#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

static commbox_client *client;
static const char *options;
static pthread_key_t key;

/* Makes a call that succeeds and one that fails. */
static void call(void)
{
    char *reply = NULL;
    CHECK(commbox_update_user_json(client, 1, "{\"FirstName\": \"John\"}", &reply) == COMMBOX_OK);
    CHECK(reply != NULL && commbox_last_error_code() == COMMBOX_OK);
    commbox_string_free(reply);
    CHECK(commbox_client_set_api_key(client, "a b") == COMMBOX_INVALID_ARGUMENT);
    CHECK(commbox_last_error_code() == COMMBOX_INVALID_ARGUMENT);
    CHECK(strstr(commbox_last_error(), "api_key")
          && strstr(commbox_last_error_json(), "\"invalid_argument\""));
}

static void at_end_of_thread(void *before)
{
    call();
    puts(before);
}

static void *thread(void *before)
{
    if (strcmp(before, "a thread with calls before") == 0) call();
    CHECK(pthread_setspecific(key, before) == 0);
    return NULL;
}

static void *ordinary_thread(void *unused)
{
    call();
    return unused;
}

static void run(void *(*body)(void *), char *argument)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, body, argument) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

/* Handles can be created, names looked up, and threads started here too. */
static void at_exit(void)
{
    call();
    CHECK(commbox_batch_new(NULL, NULL) == NULL && strstr(commbox_last_error(), "client is NULL"));
    commbox_client *fresh = commbox_client_new("sandbox-key", options);
    commbox_batch *batch = commbox_batch_new(fresh, NULL);
    CHECK(commbox_batch_submit(batch, 1, 1, "{\"FirstName\": \"John\"}", -1) == COMMBOX_OK);
    int32_t code = COMMBOX_INTERNAL;
    CHECK(commbox_batch_next(batch, -1, NULL, &code, NULL) == COMMBOX_OK && code == COMMBOX_OK);
    commbox_batch_free(batch);
    CHECK(commbox_update_user_json(fresh, 1, "{\"FirstName\": \"John\"}", NULL) == COMMBOX_OK);
    commbox_client_free(fresh);
    puts("an exit handler");
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s ends|threads OPTIONS_JSON\n", argv[0]);
        return 2;
    }
    options = argv[2];
    client = commbox_client_new("sandbox-key", options);
    if (strcmp(argv[1], "threads") == 0) {
        for (int i = 0; i < 20; i++) run(ordinary_thread, NULL);
    } else {
        CHECK(pthread_key_create(&key, at_end_of_thread) == 0 && atexit(at_exit) == 0);
        call();
        run(thread, "a thread with calls before");
        run(thread, "a thread without");
    }
    return failures > 0;
}
