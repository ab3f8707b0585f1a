#define _DEFAULT_SOURCE
#include "harness.h"

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

struct worker {
    pthread_t thread;
    pthread_barrier_t *barrier;
    void *client;
    long warmup, calls, succeeded;
    double *times; /* the duration of each measured call, in microseconds */
    double answered_at;
};

static double now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double processor_time(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
           + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* Returns a line of /proc/self/status in KiB: VmHWM is the peak since the program was loaded, VmRSS
 * the current value. */
static long memory(const char *name)
{
    char line[256];
    long kilobytes = -1;
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0)
            kilobytes = strtol(line + strlen(name) + 1, NULL, 10);
    }
    if (status != NULL) fclose(status);
    return kilobytes;
}

bool confirmed(const char *text)
{
    cJSON *reply = cJSON_Parse(text);
    const cJSON *status = cJSON_GetObjectItemCaseSensitive(reply, "status");
    const cJSON *data = cJSON_GetObjectItemCaseSensitive(reply, "data");
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(data, "Id");
    bool good = cJSON_IsString(status) && strcmp(status->valuestring, "200") == 0
                && cJSON_IsNumber(id) && (long)id->valuedouble == USER_ID;
    if (!good) fprintf(stderr, "not the reply that was expected: %s\n", text);
    cJSON_Delete(reply);
    return good;
}

static void *work_off(void *argument)
{
    struct worker *worker = argument;
    void *session = session_open(worker->client);
    for (long call = 0; session != NULL && call < worker->warmup; call++) {
        worker->succeeded += session_update(session);
        if (call == 0) worker->answered_at = now(CLOCK_REALTIME);
    }
    pthread_barrier_wait(worker->barrier); /* all have warmed up */
    pthread_barrier_wait(worker->barrier); /* the clock is running */
    for (long call = 0; session != NULL && call < worker->calls; call++) {
        double began = now(CLOCK_MONOTONIC);
        worker->succeeded += session_update(session);
        worker->times[call] = (now(CLOCK_MONOTONIC) - began) * 1e6;
    }
    pthread_barrier_wait(worker->barrier); /* all have finished */
    pthread_barrier_wait(worker->barrier); /* the figures are recorded */
    if (session != NULL) session_close(session);
    return NULL;
}

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: %s URL CA_FILE THREADS WARMUP CALLS BODY\n", argv[0]);
        return 2;
    }
    struct work work = {
        .url = argv[1], .ca_file = argv[2], .body = argv[6], .threads = atoi(argv[3])};
    long warmup = atol(argv[4]), calls = atol(argv[5]) / work.threads;

    double began = now(CLOCK_MONOTONIC);
    void *client = client_open(&work);
    double opened = now(CLOCK_MONOTONIC) - began;
    if (client == NULL) return 1;

    long count = work.threads * calls;
    double *times = calloc((size_t)count + 1, sizeof *times);
    struct worker *workers = calloc((size_t)work.threads, sizeof *workers);
    if (times == NULL || workers == NULL) return 1;
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, (unsigned)work.threads + 1);
    for (int i = 0; i < work.threads; i++) {
        workers[i] = (struct worker){.barrier = &barrier,
                                     .client = client,
                                     .warmup = warmup,
                                     .calls = calls,
                                     .times = times + i * calls};
        if (pthread_create(&workers[i].thread, NULL, work_off, &workers[i]) != 0) return 1;
    }
    pthread_barrier_wait(&barrier);
    double processor = processor_time();
    began = now(CLOCK_MONOTONIC);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    double seconds = now(CLOCK_MONOTONIC) - began;
    processor = processor_time() - processor;
    long peak = memory("VmHWM"), resident = memory("VmRSS");
    pthread_barrier_wait(&barrier);

    long succeeded = 0;
    for (int i = 0; i < work.threads; i++) {
        pthread_join(workers[i].thread, NULL);
        succeeded += workers[i].succeeded;
    }
    client_close(client);
    qsort(times, (size_t)count, sizeof *times, ascending);
    printf("{\"succeeded\": %ld, \"opened_us\": %.3f, \"answered_at\": %.6f, \"seconds\": %.6f, "
           "\"processor_seconds\": %.6f, \"median_us\": %.3f, \"p99_us\": %.3f, \"peak_kb\": %ld, "
           "\"resident_kb\": %ld}\n",
           succeeded, opened * 1e6, workers[0].answered_at, seconds, processor, times[count / 2],
           times[count * 99 / 100], peak, resident);
    free(times);
    free(workers);
    return 0;
}
