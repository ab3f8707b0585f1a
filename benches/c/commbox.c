/* This library. It trusts what SSL_CERT_FILE names, as the bench sets it. */
#include <commbox.h>
#include <stdio.h>

#include "harness.h"

static struct {
    commbox_client *handle;
    const char *body;
} client;

void *client_open(const struct work *work)
{
    char options[512];
    snprintf(options, sizeof options, "{\"base_url\": \"%s\", \"max_idle_connections\": %d}", work->url, work->threads);
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

void *session_open(void *opened)
{
    return opened; /* threads share the client and its connections */
}

void session_close(void *session)
{
    (void)session;
}

bool session_update(void *session)
{
    (void)session;
    char *reply = NULL;
    if (commbox_update_user_json(client.handle, USER_ID, client.body, &reply) != COMMBOX_OK) {
        fprintf(stderr, "%s\n", commbox_last_error());
        return false;
    }
    bool good = confirmed(reply);
    commbox_string_free(reply);
    return good;
}
