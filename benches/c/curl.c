/* libcurl as intended: one easy handle per thread, kept between calls. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

struct session {
    CURL *curl;
    struct curl_slist *headers;
    const struct work *work;
    char *reply;
    size_t length;
};

static struct work settings;

static size_t receive(char *data, size_t size, size_t count, void *context)
{
    struct session *session = context;
    size_t more = size * count;
    char *longer = realloc(session->reply, session->length + more + 1);
    if (longer == NULL) return 0;
    memcpy(longer + session->length, data, more);
    session->reply = longer;
    session->length += more;
    longer[session->length] = '\0';
    return more;
}

void *client_open(const struct work *work)
{
    settings = *work;
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? &settings : NULL;
}

void client_close(void *client)
{
    (void)client;
    curl_global_cleanup();
}

void *session_open(void *client)
{
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL) return NULL;
    session->work = client;
    session->curl = curl_easy_init();
    session->headers = curl_slist_append(NULL, "Authorization: Bearer " API_KEY);
    session->headers = curl_slist_append(session->headers, "Content-Type: application/json");
    session->headers = curl_slist_append(session->headers, "Accept: application/json");
    curl_easy_setopt(session->curl, CURLOPT_HTTPHEADER, session->headers);
    curl_easy_setopt(session->curl, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(session->curl, CURLOPT_WRITEDATA, session);
    curl_easy_setopt(session->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(session->curl, CURLOPT_TIMEOUT_MS, 60000L);
    if (settings.ca_file[0] != '\0') {
        curl_easy_setopt(session->curl, CURLOPT_CAINFO, settings.ca_file);
        curl_easy_setopt(session->curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3);
    }
    return session;
}

void session_close(void *opened)
{
    struct session *session = opened;
    curl_easy_cleanup(session->curl);
    curl_slist_free_all(session->headers);
    free(session->reply);
    free(session);
}

bool session_update(void *opened)
{
    struct session *session = opened;
    char url[256];
    snprintf(url, sizeof url, "%s/users/%d", session->work->url, USER_ID);
    session->length = 0;
    curl_easy_setopt(session->curl, CURLOPT_URL, url);
    curl_easy_setopt(session->curl, CURLOPT_POSTFIELDS, session->work->body);
    CURLcode code = curl_easy_perform(session->curl);
    long status = 0;
    curl_easy_getinfo(session->curl, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK || status != 200) {
        fprintf(stderr, "status %ld: %s\n", status, curl_easy_strerror(code));
        return false;
    }
    return session->reply != NULL && confirmed(session->reply);
}
