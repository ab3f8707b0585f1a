/*
 * The code that the contestants in C share: the command line, the threads, the clock, and parsing
 * the reply. A contestant defines the five functions below. harness.c contains main().
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <stdbool.h>

#define API_KEY "my-api-key"
#define USER_ID 94382332

struct work {
    const char *url;     /* the server's base URL */
    const char *ca_file; /* certificates to trust, or "" */
    const char *body;    /* sent unchanged */
    int threads;
};

/* Called once per process, before any thread starts. Returns NULL on failure. */
void *client_open(const struct work *work);
void client_close(void *client);

/* Called once per thread. */
void *session_open(void *client);
void session_close(void *session);

/* Makes one call. Returns whether it was confirmed. */
bool session_update(void *session);

/* Returns whether the reply is the documented one for the user who was updated. If not, prints a
 * message to stderr. */
bool confirmed(const char *reply);

#endif
