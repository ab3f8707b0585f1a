/* Many threads create, use, cancel, change the keys of and free the same few clients, users and
 * batches at random. Each handle may be freed at any moment, even while it is in use, and even
 * twice. Every outcome must be one that the header documents for that case. The program runs for
 * the given number of seconds, and then, for slow machines, until every kind of outcome has
 * occurred. Arguments: a base URL where updates succeed, seconds, threads, a seed.
 * tests/concurrency.rs runs it. */

#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "commbox.h"

#ifdef _WIN32
/* Windows has no alarm. The test's caller ends a program that hangs. */
#define alarm(seconds) ((void)(seconds))
#endif

/* Not declared in any header, and only defined in builds for tests. */
#pragma weak commbox_live_handles
size_t commbox_live_handles(void);

/* Tells race checkers that this memory is atomic. */
#ifndef ATOMIC_MEMORY
#define ATOMIC_MEMORY(address, size) ((void)0)
#endif

enum { PLACES = 3, MOST_THREADS = 64, MOST_SECONDS_MORE = 120 };

/* Data that the threads share, and how often each outcome occurred. */
static struct {
    atomic_uintptr_t clients[PLACES], users[PLACES], batches[PLACES];
    atomic_long updated, cancelled, refused, taken_back, void_handles, made, freed;
} shared;

static char options[300];
static time_t end;

struct worker {
    pthread_t thread;
    uint64_t random;
    /* Handles that no other thread knows. */
    commbox_client *client;
    commbox_user *user;
};

static unsigned draw(struct worker *self, unsigned below)
{
    self->random ^= self->random << 13;
    self->random ^= self->random >> 7;
    self->random ^= self->random << 17;
    return (unsigned)(self->random >> 33) % below;
}

static void fail(const char *why)
{
    puts(why);
    fflush(stdout);
    _exit(EXIT_FAILURE);
}

/* Ends the process if the outcome is not allowed, or if the last error has a different code. */
static void expect(const char *what, int32_t code, const int32_t *allowed, size_t count)
{
    int known = 0;
    for (size_t i = 0; i < count; i++) {
        known = known || code == allowed[i];
    }
    int told =
        code == COMMBOX_OK ? commbox_last_error()[0] == '\0' : commbox_last_error()[0] != '\0';
    if (!known || !told || commbox_last_error_code() != code) {
        printf("%s: %ld; last error %ld: %s\n", what, (long)code, (long)commbox_last_error_code(),
               commbox_last_error());
        fflush(stdout);
        _exit(EXIT_FAILURE);
    }
    if (code == COMMBOX_INVALID_HANDLE) {
        atomic_fetch_add(&shared.void_handles, 1);
    }
}

#define EXPECT(what, code, ...)                                                                    \
    expect(what, code, (const int32_t[]){__VA_ARGS__},                                             \
           sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

/* A successful call clears a previous error. */
static void clear_error(void)
{
    commbox_user_free(commbox_user_new());
}

static void free_client(commbox_client *client)
{
    clear_error();
    commbox_client_free(client);
    int32_t code = commbox_last_error_code();
    atomic_fetch_add(&shared.freed, client != NULL && code == COMMBOX_OK);
    EXPECT("commbox_client_free", code, COMMBOX_OK, COMMBOX_INVALID_HANDLE);
}

static void free_user(commbox_user *user)
{
    clear_error();
    commbox_user_free(user);
    int32_t code = commbox_last_error_code();
    atomic_fetch_add(&shared.freed, user != NULL && code == COMMBOX_OK);
    EXPECT("commbox_user_free", code, COMMBOX_OK, COMMBOX_INVALID_HANDLE);
}

static void free_batch(commbox_batch *batch)
{
    clear_error();
    commbox_batch_free(batch);
    int32_t code = commbox_last_error_code();
    atomic_fetch_add(&shared.freed, batch != NULL && code == COMMBOX_OK);
    EXPECT("commbox_batch_free", code, COMMBOX_OK, COMMBOX_INVALID_HANDLE);
}

static commbox_client *make_client(void)
{
    commbox_client *client = commbox_client_new("sandbox-key", options);
    EXPECT("commbox_client_new", commbox_last_error_code(), COMMBOX_OK);
    atomic_fetch_add(&shared.made, 1);
    return client;
}

static commbox_user *make_user(void)
{
    commbox_user *user = commbox_user_new();
    EXPECT("commbox_user_new", commbox_last_error_code(), COMMBOX_OK);
    atomic_fetch_add(&shared.made, 1);
    return user;
}

static void replace_client(atomic_uintptr_t *place)
{
    free_client((commbox_client *)atomic_exchange(place, (uintptr_t)make_client()));
}

static void replace_user(atomic_uintptr_t *place)
{
    free_user((commbox_user *)atomic_exchange(place, (uintptr_t)make_user()));
}

static void replace_batch(atomic_uintptr_t *place, commbox_client *client)
{
    commbox_batch *batch = commbox_batch_new(client, "{\"concurrency\": 2, \"queue_limit\": 4}");
    EXPECT("commbox_batch_new", commbox_last_error_code(), COMMBOX_OK, COMMBOX_INVALID_HANDLE);
    atomic_fetch_add(&shared.made, batch != NULL);
    free_batch((commbox_batch *)atomic_exchange(place, (uintptr_t)batch));
}

/* A thread's own handles are valid until it frees them, and invalid after that, whatever other
 * threads do. */
static void use_own(struct worker *self)
{
    EXPECT("a client of one's own", commbox_client_cancel(self->client), COMMBOX_OK);
    EXPECT("a user of one's own", commbox_user_set(self->user, "FirstName", "John"), COMMBOX_OK);
    if (draw(self, 2) == 0) {
        commbox_client *client = self->client;
        commbox_user *user = self->user;
        free_client(client);
        free_user(user);
        self->client = make_client();
        self->user = make_user();
        EXPECT("a freed client of one's own", commbox_client_cancel(client),
               COMMBOX_INVALID_HANDLE);
        EXPECT("a freed user of one's own", commbox_user_set(user, "FirstName", "John"),
               COMMBOX_INVALID_HANDLE);
    }
}

static int32_t never(void *unused)
{
    (void)unused;
    return 0;
}

static void update(struct worker *self, commbox_client *client, commbox_user *user)
{
    char *body = commbox_user_to_json(user);
    int32_t code = commbox_last_error_code();
    EXPECT("commbox_user_to_json", code, COMMBOX_OK, COMMBOX_INVALID_HANDLE);
    char *reply = NULL;
    int64_t id = 1 + draw(self, 5);
    code = commbox_update_user_json(client, id, body == NULL ? "{\"LastName\": \"Doe\"}" : body,
                                    &reply);
    EXPECT("commbox_update_user_json", code, COMMBOX_OK, COMMBOX_INVALID_HANDLE, COMMBOX_CANCELLED,
           COMMBOX_UNAUTHORIZED);
    if ((reply != NULL) != (code == COMMBOX_OK)) {
        fail("the reply does not fit the code");
    }
    atomic_fetch_add(&shared.updated, code == COMMBOX_OK);
    atomic_fetch_add(&shared.cancelled, code == COMMBOX_CANCELLED);
    atomic_fetch_add(&shared.refused, code == COMMBOX_UNAUTHORIZED);
    commbox_string_free(reply);
    commbox_string_free(body);
}

static void use_batch(struct worker *self, commbox_batch *batch)
{
    char *json = NULL;
    int32_t code = COMMBOX_OK;
    switch (draw(self, 40)) {
    case 0:
        free_batch(batch);
        break;
    case 1:
        EXPECT("commbox_batch_close", commbox_batch_close(batch), COMMBOX_OK,
               COMMBOX_INVALID_HANDLE);
        break;
    case 2:
        EXPECT("commbox_batch_cancel", commbox_batch_cancel(batch), COMMBOX_OK,
               COMMBOX_INVALID_HANDLE);
        break;
    case 3:
        EXPECT("commbox_batch_cancel_tag", commbox_batch_cancel_tag(batch, draw(self, 3)),
               COMMBOX_OK, COMMBOX_INVALID_HANDLE);
        break;
    case 4:
        json = commbox_batch_stats_json(batch);
        EXPECT("commbox_batch_stats_json", commbox_last_error_code(), COMMBOX_OK,
               COMMBOX_INVALID_HANDLE);
        break;
    default:
        code = commbox_batch_submit(batch, draw(self, 3), 1 + draw(self, 5),
                                    "{\"LastName\": \"Doe\"}", draw(self, 20));
        EXPECT("commbox_batch_submit", code, COMMBOX_OK, COMMBOX_TIMEOUT, COMMBOX_CANCELLED,
               COMMBOX_INVALID_HANDLE, COMMBOX_INVALID_ARGUMENT);
        int32_t outcome = COMMBOX_OK;
        code = commbox_batch_next(batch, draw(self, 20), NULL, &outcome, &json);
        if (code == COMMBOX_OK) {
            /* The last error is the update's. */
            EXPECT("an update", outcome, COMMBOX_OK, COMMBOX_CANCELLED, COMMBOX_UNAUTHORIZED);
        } else {
            /* COMMBOX_DONE is not an error. */
            EXPECT("commbox_batch_next", code == COMMBOX_DONE ? COMMBOX_OK : code, COMMBOX_OK,
                   COMMBOX_TIMEOUT, COMMBOX_CANCELLED, COMMBOX_INVALID_HANDLE);
        }
        if ((json != NULL) != (code == COMMBOX_OK)) {
            fail("what is taken back does not fit the code");
        }
        atomic_fetch_add(&shared.taken_back, json != NULL);
        break;
    }
    commbox_string_free(json);
}

static void step(struct worker *self)
{
    atomic_uintptr_t *client_place = &shared.clients[draw(self, PLACES)],
                     *user_place = &shared.users[draw(self, PLACES)];
    atomic_uintptr_t *batch_place = &shared.batches[draw(self, PLACES)];
    commbox_client *client = (commbox_client *)atomic_load(client_place);
    commbox_user *user = (commbox_user *)atomic_load(user_place);
    switch (draw(self, 16)) {
    case 0:
        replace_client(client_place);
        break;
    case 1:
        replace_user(user_place);
        break;
    case 2:
        /* Only rarely, because otherwise there would be no handles to use. */
        if (draw(self, 4) == 0) {
            free_client(client);
            free_user(user);
        }
        break;
    case 3:
        EXPECT("commbox_client_cancel", commbox_client_cancel(client), COMMBOX_OK,
               COMMBOX_INVALID_HANDLE);
        break;
    case 4:
        EXPECT("commbox_client_set_api_key",
               commbox_client_set_api_key(client, draw(self, 4) ? "sandbox-key" : "former"),
               COMMBOX_OK, COMMBOX_INVALID_HANDLE);
        break;
    case 5:
        EXPECT("commbox_client_set_interrupt",
               commbox_client_set_interrupt(client, draw(self, 2) ? never : NULL, NULL), COMMBOX_OK,
               COMMBOX_INVALID_HANDLE);
        break;
    case 6:
    case 7:
        EXPECT("commbox_user_set",
               commbox_user_set(user, draw(self, 2) ? "FirstName" : "LastName", "John"), COMMBOX_OK,
               COMMBOX_INVALID_HANDLE);
        break;
    case 8:
        EXPECT("commbox_user_set_custom", commbox_user_set_custom(user, "VIP", "8"), COMMBOX_OK,
               COMMBOX_INVALID_HANDLE);
        break;
    case 9:
        use_own(self);
        break;
    case 10:
        if (draw(self, 8) == 0) {
            replace_batch(batch_place, client);
        }
        break;
    case 11:
    case 12:
        use_batch(self, (commbox_batch *)atomic_load(batch_place));
        break;
    default:
        update(self, client, user);
        break;
    }
}

static int every_outcome_came(void)
{
    return atomic_load(&shared.updated) > 0 && atomic_load(&shared.cancelled) > 0
           && atomic_load(&shared.refused) > 0 && atomic_load(&shared.taken_back) > 0
           && atomic_load(&shared.void_handles) > 0;
}

static int goes_on(void)
{
    time_t now = time(NULL);
    return now < end || (now < end + MOST_SECONDS_MORE && !every_outcome_came());
}

static void *work(void *worker)
{
    struct worker *self = worker;
    self->client = make_client();
    self->user = make_user();
    while (goes_on()) {
        step(self);
    }
    free_client(self->client);
    free_user(self->user);
    return NULL;
}

int main(int argc, char **argv)
{
    static struct worker workers[MOST_THREADS];
    if (argc != 5 || atoi(argv[3]) > MOST_THREADS) {
        return EXIT_FAILURE;
    }
    const char *format =
        "{\"base_url\": \"%s\", \"proxy\": \"\", \"max_retries\": 0, \"total_timeout_ms\": 20000}";
    snprintf(options, sizeof options, format, argv[1]);
    unsigned seconds = (unsigned)atoi(argv[2]);
    int threads = atoi(argv[3]);
    ATOMIC_MEMORY(&shared, sizeof shared);
    /* Every call ends within its 20 seconds. If one does not, this ends the process. */
    alarm(seconds + MOST_SECONDS_MORE + 40);
    end = time(NULL) + seconds;
    for (int i = 0; i < PLACES; i++) {
        replace_client(&shared.clients[i]);
        replace_user(&shared.users[i]);
        replace_batch(&shared.batches[i], (commbox_client *)atomic_load(&shared.clients[i]));
    }
    for (int i = 0; i < threads; i++) {
        workers[i].random =
            (strtoull(argv[4], NULL, 10) * MOST_THREADS + (uint64_t)i + 1) * 0x9e3779b97f4a7c15u;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) {
            return EXIT_FAILURE;
        }
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
    }
    for (int i = 0; i < PLACES; i++) {
        free_client((commbox_client *)atomic_load(&shared.clients[i]));
        free_user((commbox_user *)atomic_load(&shared.users[i]));
        free_batch((commbox_batch *)atomic_load(&shared.batches[i]));
    }
    /* If several threads free the same handle, exactly one of them succeeds. */
    long left = atomic_load(&shared.made) - atomic_load(&shared.freed);
    size_t live = commbox_live_handles == NULL ? 0 : commbox_live_handles();
    printf("{\"updated\": %ld, \"cancelled\": %ld, \"refused\": %ld, "
           "\"taken back\": %ld, \"void\": %ld, ",
           atomic_load(&shared.updated), atomic_load(&shared.cancelled),
           atomic_load(&shared.refused), atomic_load(&shared.taken_back),
           atomic_load(&shared.void_handles));
    printf("\"left\": %ld, \"live\": %zu}\n", left, live);
    return EXIT_SUCCESS;
}
