/* Repeats one operation, so that the cost of one more can be measured:
 *
 *     warm_calls update NUMBER BASE_URL
 *         updates a user with one client, with the example from the vendor's documentation
 *     warm_calls share NUMBER BASE_URL
 *         the same from eight threads that share the client, with a different user each
 *     warm_calls batch NUMBER BASE_URL
 *         the same through a batch of 64 workers, with a different user each, 64 at a time
 *     warm_calls set NUMBER
 *         calls the C API to set a field to a text as long as that example
 *     warm_calls idle NUMBER BASE_URL CONNECTIONS THREADS
 *         updates a user from THREADS threads, on a client with CONNECTIONS open connections. It
 *         opens these first. For that, the server must delay its responses until it has received
 *         that many requests
 *
 * "idle" prints the processor time and the elapsed time of a call, in microseconds.
 */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "commbox.h"

static const char user[] =
    "{\"data\":{\"UniqueId\":\"0123456789\",\"FirstName\":\"John\",\"LastName\":\"Doe\","
    "\"Phone1\":\"19175555555\",\"Email\":\"JohnDoe@gmail.com\","
    "\"Remarks\":\"Some remarks about the customer\","
    "\"Content\":{\"Birth_Date\":\"01-01-1983\",\"VIP_Status\":\"8\"}}}";

static int fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, commbox_last_error());
    return EXIT_FAILURE;
}

struct work {
    pthread_t thread;
    commbox_client *client;
    long number;
    long user_id;
    int status;
};

static void *update(void *argument)
{
    struct work *work = argument;
    for (long call = 0; call < work->number; call++) {
        char *reply = NULL;
        if (commbox_update_user_json(work->client, work->user_id, user, &reply) != COMMBOX_OK) {
            work->status = fail("update");
        }
        commbox_string_free(reply);
    }
    return NULL;
}

/* Makes `number` calls on `threads` threads, including this one. */
static int update_from(commbox_client *client, long number, int threads)
{
    static struct work work[1024];
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 << 10);
    for (int i = 0; i < threads; i++) {
        work[i] =
            (struct work){.client = client, .number = number / threads, .user_id = 94382332 + i};
    }
    for (int i = 1; i < threads; i++) {
        if (pthread_create(&work[i].thread, &small, update, &work[i]) != 0) {
            return fail("pthread_create");
        }
    }
    update(&work[0]);
    int status = work[0].status;
    for (int i = 1; i < threads; i++) {
        pthread_join(work[i].thread, NULL);
        status |= work[i].status;
    }
    return status;
}

static int update_all(long number, const char *base_url, int threads)
{
    char options[256];
    snprintf(options, sizeof options, "{\"base_url\": \"%s\", \"proxy\": \"\", \"max_retries\": 0}",
             base_url);
    commbox_client *client = commbox_client_new("sandbox-key", options);
    int status = update_from(client, number, threads);
    commbox_client_free(client);
    return status;
}

static double microseconds(struct timeval time)
{
    return (double)time.tv_sec * 1e6 + (double)time.tv_usec;
}

static double processor_time(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

/* A separate function, so that callgrind can measure it by name. */
static int measured_calls(commbox_client *client, long number, int threads)
{
    return update_from(client, number, threads);
}

static int update_with_idle(long number, const char *base_url, int connections, int threads)
{
    char options[256];
    snprintf(
        options, sizeof options,
        "{\"base_url\": \"%s\", \"proxy\": \"\", \"max_retries\": 0, \"max_idle_connections\": %d}",
        base_url, connections);
    commbox_client *client = commbox_client_new("sandbox-key", options);
    int status = update_from(client, connections, connections);
    double processor_before = processor_time(), before = now();
    status |= measured_calls(client, number, threads);
    double calls = (double)number;
    printf("%.3f %.3f\n", (processor_time() - processor_before) / calls, (now() - before) / calls);
    commbox_client_free(client);
    return status;
}

static int update_by_batch(long number, const char *base_url)
{
    char options[256];
    snprintf(options, sizeof options, "{\"base_url\": \"%s\", \"proxy\": \"\", \"max_retries\": 0}",
             base_url);
    commbox_client *client = commbox_client_new("sandbox-key", options);
    commbox_batch *batch = commbox_batch_new(client, "{\"concurrency\": 64}");
    for (long submitted = 0, finished = 0; finished < number; finished++) {
        while (submitted < number && submitted - finished < 64) {
            if (commbox_batch_submit(batch, 0, 94382332 + submitted % 64, user, -1) != COMMBOX_OK) {
                return fail("submit");
            }
            submitted++;
        }
        uint64_t tag;
        int32_t code;
        char *reply = NULL;
        if (commbox_batch_next(batch, -1, &tag, &code, &reply) != COMMBOX_OK
            || code != COMMBOX_OK) {
            return fail("next");
        }
        commbox_string_free(reply);
    }
    commbox_batch_free(batch);
    commbox_client_free(client);
    return EXIT_SUCCESS;
}

static int set(long number)
{
    commbox_user *builder = commbox_user_new();
    for (long call = 0; call < number; call++) {
        if (commbox_user_set(builder, "Remarks", user) != COMMBOX_OK) {
            return fail("set");
        }
    }
    commbox_user_free(builder);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "update") == 0) {
        return update_all(atol(argv[2]), argv[3], 1);
    }
    if (argc == 4 && strcmp(argv[1], "share") == 0) {
        return update_all(atol(argv[2]), argv[3], 8);
    }
    if (argc == 4 && strcmp(argv[1], "batch") == 0) {
        return update_by_batch(atol(argv[2]), argv[3]);
    }
    if (argc == 3 && strcmp(argv[1], "set") == 0) {
        return set(atol(argv[2]));
    }
    if (argc == 6 && strcmp(argv[1], "idle") == 0) {
        return update_with_idle(atol(argv[2]), argv[3], atoi(argv[4]), atoi(argv[5]));
    }
    fprintf(stderr, "usage: warm_calls update|share|batch NUMBER BASE_URL | set NUMBER\n"
                    "       warm_calls idle NUMBER BASE_URL CONNECTIONS THREADS\n");
    return 2;
}
