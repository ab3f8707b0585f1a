/* This library. It trusts the certificates in SSL_CERT_FILE, which the benchmark sets. */
#include <commbox.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

#include "harness.h"

static struct {
    commbox_client *handle;
    const char *body;
} client;

void *client_open(const struct work *work)
{
    char options[512];
    snprintf(options, sizeof options, "{\"base_url\": \"%s\", \"max_idle_connections\": %d}",
             work->url, work->threads);
    client.handle = commbox_client_new(API_KEY, options);
    client.body = work->body;
    if (client.handle == NULL) {
        fprintf(stderr, "%s\n", commbox_last_error());
        return NULL;
    }
    return &client;
}

void client_close(void *opened)
{
    (void)opened;
    commbox_client_free(client.handle);
}

/* The threads share the client and its connections. Each has its own user, because updates of one
 * user are sent one after the other. */
void *session_open(void *opened)
{
    static int64_t users[1024];
    static atomic_int sessions;
    (void)opened;
    int number = atomic_fetch_add(&sessions, 1) % 1024;
    users[number] = USER_ID + number;
    return &users[number];
}

void session_close(void *session)
{
    (void)session;
}

bool session_update(void *session)
{
    const int64_t *user = session;
    char *reply = NULL;
    if (commbox_update_user_json(client.handle, *user, client.body, &reply) != COMMBOX_OK) {
        fprintf(stderr, "%s\n", commbox_last_error());
        return false;
    }
    bool good = confirmed(reply);
    commbox_string_free(reply);
    return good;
}
