/*
 * Makes the calls that it reads from standard input, through commbox.h. Used by tests/cases.rs.
 *
 * In:   api_key, options_json, user_id, user_json, cancel_after_ms (empty: never)
 * Out:  code, reply, error JSON (empty if there is none)
 *
 * Each of these ends with a NUL.
 */

#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "commbox.h"

/* Returns the next field, which the caller must free, or NULL at the end of the input. */
static char *read_field(void)
{
    size_t length = 0, capacity = 256;
    char *field = malloc(capacity);
    for (int c = getchar(); field != NULL; c = getchar()) {
        if (c == EOF) {
            free(field);
            return NULL;
        }
        if (length == capacity) {
            char *larger = realloc(field, capacity *= 2);
            if (larger == NULL) {
                free(field);
            }
            field = larger;
        }
        if (field != NULL) {
            field[length++] = (char)c;
        }
        if (c == '\0') {
            return field;
        }
    }
    fputs("out of memory\n", stderr);
    exit(EXIT_FAILURE);
}

static void write_field(const char *field)
{
    if (field != NULL) {
        fputs(field, stdout);
    }
    putchar('\0');
}

static void write_outcome(int32_t code, const char *reply)
{
    printf("%ld%c", (long)code, '\0');
    write_field(reply);
    write_field(commbox_last_error_json());
    fflush(stdout);
}

struct cancel {
    commbox_client *client;
    long after_ms;
};

static void *cancel_later(void *argument)
{
    const struct cancel *cancel = argument;
    struct timespec wait = {cancel->after_ms / 1000, cancel->after_ms % 1000 * 1000000};
    nanosleep(&wait, NULL);
    commbox_client_cancel(cancel->client);
    return NULL;
}

/* Makes one call. Another thread cancels it after `after` ms, if `after` is not empty. */
static int32_t call(commbox_client *client, const char *user_id, const char *user,
                    const char *after, char **reply)
{
    struct cancel cancel = {client, strtol(after, NULL, 10)};
    pthread_t canceller;
    int cancels = after[0] != '\0';
    if (cancels && pthread_create(&canceller, NULL, cancel_later, &cancel) != 0) {
        fputs("no thread can be made\n", stderr);
        exit(EXIT_FAILURE);
    }
    int32_t code = commbox_update_user_json(client, strtoll(user_id, NULL, 10), user, reply);
    if (cancels) {
        pthread_join(canceller, NULL);
    }
    return code;
}

static void *make_calls(void *unused)
{
    (void)unused;
    char *api_key;
    while ((api_key = read_field()) != NULL) {
        char *options = read_field();
        char *user_id = read_field();
        char *user = read_field();
        char *cancel_after = read_field();
        if (cancel_after == NULL) {
            fputs("the input ends inside a call\n", stderr);
            exit(EXIT_FAILURE);
        }
        commbox_client *client = commbox_client_new(api_key, options);
        if (client == NULL) {
            write_outcome(commbox_last_error_code(), NULL);
        } else {
            char *reply = NULL;
            int32_t code = call(client, user_id, user, cancel_after, &reply);
            write_outcome(code, reply);
            commbox_string_free(reply);
            commbox_client_free(client);
        }
        free(cancel_after);
        free(user);
        free(user_id);
        free(options);
        free(api_key);
    }
    return NULL;
}

/* The calls run on a thread that ends, so that its thread-local data is freed when valgrind checks
 * for leaks. The main thread's data would not be freed. */
int main(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, make_calls, NULL) != 0 || pthread_join(thread, NULL) != 0) {
        fputs("no thread can be made\n", stderr);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
