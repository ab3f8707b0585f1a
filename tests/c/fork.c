/* Programs that fork. The first argument selects one. They cover what a library must support if it
 * is loaded into Python, PHP or a pre-forking server.
 *
 * Every call updates a different user, and its reply must be about that user. A third argument
 * divides the numbers of repetitions, for slow runs. Exits with 0 if everything succeeded. */

#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "commbox.h"
#include "forking.h"

static commbox_client *client;

/* Divides the numbers of calls and forks. */
static int part = 1;

static void check(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "%s: %s\n", what, commbox_last_error_json());
        _exit(1);
    }
}

/* Makes a call, which must succeed and receive its own reply. */
static void call(int64_t id)
{
    char body[64], about[32], *reply = NULL;
    snprintf(body, sizeof body, "{\"Remarks\":\"%" PRId64 "\"}", id);
    snprintf(about, sizeof about, "\"Id\":%" PRId64 "}", id);
    check(commbox_update_user_json(client, id, body, &reply) == COMMBOX_OK, "call");
    check(strstr(reply, about) != NULL, "the reply is another call's");
    commbox_string_free(reply);
}

static void calls(int64_t first, int count)
{
    for (int i = 0; i < count; i++) {
        call(first + i);
    }
}

/* Parent and child make calls at the same time. */
static void both(void)
{
    call(1);
    pid_t child = fork_child();
    calls(child == 0 ? 1000 : 2000, 200 / part);
    if (child == 0) {
        _exit(0);
    }
    wait_for(child);
}

/* Handles created before a fork work in the parent, the child and the child's child. Each process
 * frees its own copy. */
static void handles(void)
{
    commbox_user *user = commbox_user_new();
    check(commbox_user_set(user, "Remarks", "2") == COMMBOX_OK, "set");
    call(1);
    pid_t child = fork_child();
    if (child == 0) {
        char *json = commbox_user_to_json(user);
        check(json != NULL && commbox_update_user_json(client, 2, json, NULL) == COMMBOX_OK,
              "the child's call");
        commbox_string_free(json);
        pid_t grandchild = fork_child();
        if (grandchild == 0) {
            call(3);
            _exit(0);
        }
        wait_for(grandchild);
        call(4);
        commbox_user_free(user);
        commbox_client_free(client);
        check(commbox_client_cancel(client) == COMMBOX_INVALID_HANDLE, "freed");
        exit(0);
    }
    wait_for(child);
    call(5);
    child = fork_child();
    if (child == 0) {
        /* Without making a call first. */
        commbox_client_free(client);
        exit(0);
    }
    wait_for(child);
    call(6);
    check(commbox_user_set(user, "Remarks", "3") == COMMBOX_OK, "set");
    commbox_user_free(user);
}

/* A child that continues to run does not keep the parent's connections open. */
static void left(void)
{
    call(1);
    int held[2];
    check(pipe(held) == 0, "pipe");
    pid_t child = fork_child();
    if (child == 0) {
        close(held[1]);
        _exit(read(held[0], &child, 1) == 0 ? 0 : 1);
    }
    close(held[0]);
    commbox_client_free(client);
    puts("freed");
    fflush(stdout);
    getchar();
    close(held[1]);
    wait_for(child);
}

static atomic_int_least64_t next_id = 1;
static atomic_bool done;

static void *call_until_done(void *unused)
{
    while (!done) {
        call(atomic_fetch_add(&next_id, 1));
    }
    return unused;
}

static void *use_handles_until_done(void *unused)
{
    while (!done) {
        commbox_user *user = commbox_user_new();
        check(commbox_user_set(user, "Remarks", "x") == COMMBOX_OK, "set");
        commbox_user_free(user);
    }
    return unused;
}

/* Forks while eight threads run `busy`, and runs `in_child` in each child. */
static void fork_among(void *(*busy)(void *), int forks, void (*in_child)(int))
{
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) {
        check(pthread_create(&threads[i], NULL, busy, NULL) == 0, "thread");
    }
    for (int i = 0; i < forks; i++) {
        pid_t child = fork_child();
        if (child == 0) {
            in_child(i);
            _exit(0);
        }
        wait_for(child);
    }
    done = true;
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void call_and_free(int number)
{
    call(1000000 + number);
    commbox_client_free(client);
}

static void use_handles(int number)
{
    (void)number;
    done = true;
    commbox_user *user = commbox_user_new();
    check(commbox_user_set(user, "Remarks", "x") == COMMBOX_OK, "set");
    commbox_user_free(user);
}

static void fork_among_users(void)
{
    /* Without a client. */
    fork_among(use_handles_until_done, 300 / part, use_handles);
}

/* Does the same after the thread-local variables of the forking thread were destroyed. */
static void fork_at_exit(void)
{
    commbox_user_free(commbox_user_new());
    pid_t child = fork_child();
    if (child == 0) {
        _exit(0);
    }
    wait_for(child);
    check(atexit(fork_among_users) == 0, "atexit");
}

static void *fail_to_connect(void *unused)
{
    check(commbox_update_user_json(client, 1, "{}", NULL) == COMMBOX_TIMEOUT, "connected");
    return unused;
}

/* A child does not keep a connection open that is being opened either. */
static void connecting(void)
{
    pthread_t thread;
    check(pthread_create(&thread, NULL, fail_to_connect, NULL) == 0, "thread");
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    pid_t child = fork_child();
    if (child == 0) {
        for (int fd = 0; fd < 256; fd++) {
            struct sockaddr_storage address;
            socklen_t length = sizeof address;
            bool is_socket = getsockname(fd, (struct sockaddr *)&address, &length) == 0;
            check(!is_socket || address.ss_family != AF_INET,
                  "the child holds the parent's connection");
        }
        _exit(0);
    }
    wait_for(child);
    pthread_join(thread, NULL);
}

static void *call_once(void *unused)
{
    call(1);
    done = true;
    return unused;
}

/* Forks while another thread creates the data that all connections of the client share. */
static void sharing(void)
{
    pthread_t thread;
    check(pthread_create(&thread, NULL, call_once, NULL) == 0, "thread");
    pid_t children[1000];
    int count = 0;
    while (!done && count < 1000) {
        children[count] = fork_child();
        if (children[count] == 0) {
            call(1000 + count);
            _exit(0);
        }
        count++;
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    for (int i = 0; i < count; i++) {
        wait_for(children[i]);
    }
    pthread_join(thread, NULL);
}

/* Forks while one thread of the parent sends a probe request, and another waits for its result.
 * Neither thread exists in the child. */
static void probing(void)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        check(pthread_create(&threads[i], NULL, call_once, NULL) == 0, "thread");
        nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    }
    /* The probe request is sent 1 to 1.5 seconds after the 429. */
    nanosleep(&(struct timespec){.tv_sec = 2}, NULL);
    pid_t child = fork_child();
    if (child == 0) {
        call(2);
        _exit(0);
    }
    wait_for(child);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
}

/* A daemon closes all file descriptors, opens files that get the same numbers, and forks again. The
 * library must not close those files. */
static void daemon_files(void)
{
    call(1);
    pid_t child = fork_child();
    if (child == 0) {
        for (int fd = 3; fd < 256; fd++) {
            close(fd);
        }
        int files[8];
        for (int i = 0; i < 8; i++) {
            FILE *file = tmpfile();
            check(file != NULL, "tmpfile");
            files[i] = fileno(file);
        }
        pid_t grandchild = fork_child();
        if (grandchild == 0) {
            for (int i = 0; i < 8; i++) {
                check(write(files[i], "log", 3) == 3 && lseek(files[i], 0, SEEK_END) == 3,
                      "the file is the program's");
            }
            call(2);
            commbox_client_free(client);
            for (int i = 0; i < 8; i++) {
                check(write(files[i], "log", 3) == 3, "it still is");
            }
            _exit(0);
        }
        wait_for(grandchild);
        call(3);
        commbox_client_free(client);
        for (int i = 0; i < 8; i++) {
            check(write(files[i], "log", 3) == 3, "the file is the child's");
        }
        _exit(0);
    }
    wait_for(child);
    call(4);
}

int main(int argc, char **argv)
{
    check(argc == 3 || argc == 4, "usage: fork WHAT OPTIONS_JSON [PART]");
    part = argc == 4 ? atoi(argv[3]) : 1;
    const char *what = argv[1];
    alarm(300);
    if (strcmp(what, "users") == 0) {
        fork_among_users();
        return 0;
    }
    if (strcmp(what, "exit") == 0) {
        fork_at_exit();
        return 0;
    }
    client = commbox_client_new("key", argv[2]);
    check(client != NULL, "client");
    if (strcmp(what, "both") == 0) {
        both();
    } else if (strcmp(what, "handles") == 0) {
        handles();
    } else if (strcmp(what, "daemon") == 0) {
        daemon_files();
    } else if (strcmp(what, "left") == 0) {
        left();
    } else if (strcmp(what, "probing") == 0) {
        probing();
    } else if (strcmp(what, "connecting") == 0) {
        connecting();
    } else if (strcmp(what, "sharing") == 0) {
        sharing();
    } else {
        fork_among(call_until_done, 50 / part, call_and_free);
        call(2000000);
    }
    commbox_client_free(client);
    return 0;
}
