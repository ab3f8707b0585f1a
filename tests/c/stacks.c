/* Makes calls of several clients on one thread, each on its own stack. An interrupt callback
 * switches to another call while its own call waits, as a program with coroutines does. Each server
 * must receive only the API key of its own client.
 *
 * Usage: stacks OPTIONS_JSON... Exits with 0 if all calls succeeded. */

#define _DEFAULT_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>

#include "commbox.h"

enum { MOST = 4, STACK = 8 << 20, CALLS = 5 };

static ucontext_t stacks[MOST];
static bool done[MOST];
static commbox_client *clients[MOST];
static int count, current, failures;

/* The stacks are so far apart that valgrind recognizes a switch between them. */
static char memory[MOST][STACK];

/* Takes a while, so that the other calls run in the meantime. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    int (*ask)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&ask = dlsym(RTLD_NEXT, "getaddrinfo");
    struct timespec moment = {.tv_sec = 0, .tv_nsec = 150 * 1000000L};
    nanosleep(&moment, NULL);
    return ask(strstr(name, ".example") != NULL ? "127.0.0.1" : name, service, hints, found);
}

static void switch_to_next(void)
{
    for (int step = 1; step < count; step++) {
        int next = (current + step) % count;
        if (!done[next]) {
            int before = current;
            current = next;
            swapcontext(&stacks[before], &stacks[next]);
            return;
        }
    }
}

static int32_t interrupt(void *unused)
{
    (void)unused;
    switch_to_next();
    return 0;
}

static void run(int number)
{
    for (int i = 0; i < CALLS; i++) {
        if (commbox_update_user_json(clients[number], 1, "{}", NULL) != COMMBOX_OK) {
            fprintf(stderr, "call: %s\n", commbox_last_error());
            failures++;
        }
    }
    done[number] = true;
    switch_to_next();
}

int main(int argc, char **argv)
{
    static ucontext_t first;
    count = argc - 1;
    if (count < 2 || count > MOST) {
        return 2;
    }
    for (int i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof key, "key-%d", i);
        clients[i] = commbox_client_new(key, argv[i + 1]);
        if (clients[i] == NULL
            || commbox_client_set_interrupt(clients[i], interrupt, NULL) != COMMBOX_OK) {
            fprintf(stderr, "client: %s\n", commbox_last_error());
            return 1;
        }
        getcontext(&stacks[i]);
        stacks[i].uc_stack.ss_sp = memory[i];
        stacks[i].uc_stack.ss_size = STACK;
        stacks[i].uc_link = &first;
        makecontext(&stacks[i], (void (*)(void))run, 1, i);
    }
    swapcontext(&first, &stacks[0]);
    for (int i = 0; i < count; i++) {
        failures += done[i] ? 0 : 1;
        commbox_client_free(clients[i]);
    }
    return failures == 0 ? 0 : 1;
}
