/*
 * What the contestants in C have in common: the command line, the threads, the clock, and the
 * reading of the reply. A contestant defines the five functions below; harness.c has main().
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <stdbool.h>

#define API_KEY "my-api-key"
#define USER_ID 94382332

struct work {
    const char *url;     /* the server's base */
    const char *ca_file; /* certificates to trust, or "" */
    const char *body;    /* what is sent, as it is */
    int threads;
};

/* Once in a process, and before any thread. NULL is a failure. */
void *client_open(const struct work *work);
void client_close(void *client);

/* Once in a thread. */
void *session_open(void *client);
void session_close(void *session);

/* One call; whether it was confirmed. */
bool session_update(void *session);

/* Whether the reply is the documented one, for the user who was updated. Says so on stderr where it
 * is not. */
bool confirmed(const char *reply);

#endif
