/* DNS lookups that are slow, fail, or return an address that does not answer. The first argument
 * selects a test.
 *
 * This program replaces the C library's lookup function, and calls it after the delay. Exits with 0
 * if everything succeeded. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <inttypes.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "commbox.h"
#include "forking.h"

static commbox_client *client;

/* How long each lookup takes, how many of the first ones never finish, how many of the next ones
 * fail, and how many were made. */
static atomic_int delay_ms, to_hang, to_fail, lookups;

static void check(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "%s (after %d lookups): %s\n", what, lookups, commbox_last_error_json());
        _exit(1);
    }
}

static void sleep_ms(int ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    while (nanosleep(&left, &left) != 0) {
    }
}

static int now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int)(now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    int (*ask)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&ask = dlsym(RTLD_NEXT, "getaddrinfo");
    lookups++;
    sleep_ms(lookups <= to_hang ? 60000 : delay_ms);
    if (to_fail > 0) {
        to_fail--;
        return EAI_NONAME;
    }
    if (strcmp(name, "one.example") == 0) {
        return ask("127.0.0.1", service, hints, found);
    }
    if (strcmp(name, "two.example") != 0) {
        return ask(name, service, hints, found);
    }
    struct addrinfo *second = NULL;
    check(ask("127.0.0.1", service, hints, found) == 0
              && ask("127.0.0.2", service, hints, &second) == 0,
          "numbers");
    (*found)->ai_next = second;
    return 0;
}

/* Each call is for another user, because calls for the same user are made one after the other. */
static int32_t call(void)
{
    static atomic_int users;
    return commbox_update_user_json(client, ++users, "{}", NULL);
}

static void *call_well(void *unused)
{
    check(call() == COMMBOX_OK, "call");
    return unused;
}

static void *call_cancelled(void *unused)
{
    check(call() == COMMBOX_CANCELLED, "cancelled");
    return unused;
}

static void *call_in_vain(void *unused)
{
    check(call() == COMMBOX_CONNECTION && strstr(commbox_last_error(), "was not found") != NULL,
          "not found");
    return unused;
}

static pthread_t threads[8];

static void start(int count, void *(*what)(void *))
{
    for (int i = 0; i < count; i++) {
        check(pthread_create(&threads[i], NULL, what, NULL) == 0, "thread");
    }
    sleep_ms(50);
}

static void join(int count)
{
    for (int i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
}

/* A lookup that finishes after its attempt was given up serves the next attempt, for some time and
 * completely. */
static void late(void)
{
    delay_ms = 450;
    check(call() == COMMBOX_TIMEOUT, "in time");
    sleep_ms(1000);
    check(call() == COMMBOX_OK && lookups == 1, "the late answer");
    check(call() == COMMBOX_OK && lookups == 1, "the late answer again");
}

/* Does the same with the attempts of one call. Each is too short for a lookup of its own. */
static void retried(void)
{
    delay_ms = 450;
    check(call() == COMMBOX_OK && lookups == 1,
          "the second attempt finds what the first asked for");
}

/* With a TTL of 0 ms, a lookup that finished in time is not cached. */
static void anew(void)
{
    check(call() == COMMBOX_OK && call() == COMMBOX_OK && lookups == 2, "each call asks");
    delay_ms = 1500;
    start(8, call_well);
    join(8);
    check(lookups == 3, "calls at the same time share a lookup");
    check(call() == COMMBOX_OK && lookups == 4, "a later one has its own");
}

static void failing(void)
{
    to_fail = 1;
    delay_ms = 1500;
    start(8, call_in_vain);
    join(8);
    check(lookups == 1, "all are told of the same failure");
    check(call() == COMMBOX_OK && lookups == 2, "a failure is not remembered");
}

/* The deadline and the cancellation apply to each waiting call. */
static void stopped(void)
{
    delay_ms = 60000;
    int began = now_ms();
    check(call() == COMMBOX_TIMEOUT, "the deadline");
    check(now_ms() - began < 800, "the deadline came late");
    start(8, call_cancelled);
    began = now_ms();
    check(commbox_client_cancel(client) == COMMBOX_OK, "cancel");
    join(8);
    check(now_ms() - began < 500 && lookups == 1, "cancelled late");
    _exit(0);
}

static int32_t call_within(void *calls)
{
    if (*(int *)calls == 0) {
        *(int *)calls += 1;
        check(call() == COMMBOX_OK, "the call within");
    }
    return 0;
}

/* A call that a callback makes may wait for the same lookup as the outer call. */
static void within(void)
{
    int calls = 0;
    delay_ms = 400;
    check(commbox_client_set_interrupt(client, call_within, &calls) == COMMBOX_OK, "interrupt");
    check(call() == COMMBOX_OK && calls == 1 && lookups == 1, "the call");
}

static int count_threads(void)
{
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    check(tasks != NULL, "tasks");
    while (readdir(tasks) != NULL) {
        count++;
    }
    closedir(tasks);
    return count - 2;
}

static commbox_batch *batch_of(int updates)
{
    commbox_batch *batch = commbox_batch_new(client, "{\"concurrency\": 64}");
    for (int i = 0; i < updates; i++) {
        check(commbox_batch_submit(batch, (uint64_t)i, i + 1, "{}", -1) == COMMBOX_OK, "submit");
    }
    return batch;
}

/* 64 workers that start at the same time make a single lookup. */
static void cold(void)
{
    delay_ms = 200;
    commbox_batch *batch = batch_of(256);
    for (int i = 0; i < 256; i++) {
        int32_t code = -1;
        check(commbox_batch_next(batch, -1, NULL, &code, NULL) == COMMBOX_OK && code == COMMBOX_OK,
              "update");
    }
    check(lookups == 1, "one lookup");
    commbox_batch_free(batch);
}

/* If no lookup ever finishes, only a few threads wait, however many attempts there were. */
static void hung(void)
{
    delay_ms = 60000;
    batch_of(256);
    int most = 0;
    for (int i = 0; i < 30; i++) {
        sleep_ms(50);
        int count = count_threads();
        most = count > most ? count : most;
    }
    fprintf(stderr, "%d threads, %d lookups\n", most, lookups);
    check(most <= 1 + 64 + 4 && lookups <= 4, "threads");
    _exit(0);
}

/* If a lookup never finishes, the client makes another one. The message explains what the call was
 * waiting for. */
static void endless(void)
{
    to_hang = 1;
    check(call() == COMMBOX_TIMEOUT && strstr(commbox_last_error(), "DNS lookup") != NULL,
          "in time");
    int calls = 1;
    while (call() != COMMBOX_OK) {
        check(++calls < 10, "it never asks again");
    }
    check(lookups == 2, "lookups");
    _exit(0);
}

static void unasked(void)
{
    to_fail = 1;
    check(call() == COMMBOX_OK && lookups == 0, "the call");
}

static atomic_bool done;

static void *call_until_done(void *unused)
{
    while (!done) {
        call_well(unused);
    }
    return unused;
}

/* In a child, no thread completes the parent's lookup, so the child makes its own. */
static void forked(void)
{
    delay_ms = 1200;
    start(8, call_well);
    pid_t child = fork_child();
    if (child == 0) {
        check(call() == COMMBOX_OK && lookups == 2, "the child's call");
        commbox_client_free(client);
        _exit(0);
    }
    wait_for(child);
    join(8);
    check(lookups == 1, "the parent's lookup");
    delay_ms = 0;
    start(8, call_until_done);
    for (int i = 0; i < 50; i++) {
        child = fork_child();
        if (child == 0) {
            call_well(NULL);
            commbox_client_free(client);
            _exit(0);
        }
        wait_for(child);
    }
    done = true;
    join(8);
}

static pid_t forked_within = -1;

static int32_t fork_within(void *unused)
{
    (void)unused;
    if (forked_within < 0) {
        forked_within = fork_child();
    }
    return 0;
}

/* Does the same with a fork during the call that needs the lookup. */
static void forking(void)
{
    delay_ms = 400;
    check(commbox_client_set_interrupt(client, fork_within, NULL) == COMMBOX_OK, "interrupt");
    check(call() == COMMBOX_OK, "the call on either side");
    if (forked_within == 0) {
        _exit(0);
    }
    wait_for(forked_within);
}

/* The first of two addresses does not answer. Only one call is delayed by it. */
static void dead(void)
{
    int began = now_ms();
    check(call() == COMMBOX_OK, "the first call");
    int first = now_ms() - began;
    for (int i = 0; i < 3; i++) {
        check(call() == COMMBOX_OK, "a later call");
    }
    int later = now_ms() - began - first;
    fprintf(stderr, "%d ms, then %d ms\n", first, later);
    check(first >= 250 && later < first, "times");
    check(lookups == 1, "lookups");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } programs[] = {{"late", late},       {"retried", retried}, {"anew", anew},
                    {"failing", failing}, {"stopped", stopped}, {"within", within},
                    {"cold", cold},       {"hung", hung},       {"forked", forked},
                    {"forking", forking}, {"dead", dead},       {"endless", endless},
                    {"unasked", unasked}};
    check(argc == 3, "usage: lookups WHAT OPTIONS_JSON");
    alarm(300);
    client = commbox_client_new("key", argv[2]);
    check(client != NULL, "client");
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        if (strcmp(programs[i].name, argv[1]) == 0) {
            programs[i].run();
        }
    }
    commbox_client_free(client);
    return 0;
}
