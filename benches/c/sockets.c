/* The lower bound: a request that is prepared once, one socket per thread, and only as much code as
 * is needed to read the reply. */
#define _DEFAULT_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"

static struct {
    struct sockaddr_in address;
    char request[4096];
    size_t length;
} client;

void *client_open(const struct work *work)
{
    char host[64];
    int port = 0;
    client.address.sin_family = AF_INET;
    if (sscanf(work->url, "http://%63[0-9.]:%d", host, &port) != 2
        || inet_pton(AF_INET, host, &client.address.sin_addr) != 1) {
        fprintf(stderr, "only http://ADDRESS:PORT: %s\n", work->url);
        return NULL;
    }
    client.address.sin_port = htons((uint16_t)port);
    client.length = (size_t)snprintf(
        client.request, sizeof client.request,
        "POST /users/%d HTTP/1.1\r\nHost: %s:%d\r\nAuthorization: Bearer " API_KEY "\r\n"
        "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
        USER_ID, host, port, strlen(work->body), work->body);
    return client.length < sizeof client.request ? &client : NULL;
}

void client_close(void *opened)
{
    (void)opened;
}

void *session_open(void *opened)
{
    (void)opened;
    int *session = malloc(sizeof *session);
    if (session == NULL) return NULL;
    *session = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(*session, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connect(*session, (struct sockaddr *)&client.address, sizeof client.address) != 0) {
        perror("connect");
        free(session);
        return NULL;
    }
    return session;
}

void session_close(void *session)
{
    close(*(int *)session);
    free(session);
}

bool session_update(void *session)
{
    char reply[8192];
    size_t length = 0;
    int socket = *(int *)session;
    if (send(socket, client.request, client.length, MSG_NOSIGNAL) != (ssize_t)client.length) {
        perror("send");
        return false;
    }
    while (length < sizeof reply - 1) {
        ssize_t more = recv(socket, reply + length, sizeof reply - 1 - length, 0);
        if (more <= 0) break;
        length += (size_t)more;
        reply[length] = '\0';
        const char *end = strstr(reply, "\r\n\r\n"), *size = strstr(reply, "Content-Length: ");
        if (end == NULL || size == NULL) continue;
        if (strlen(end + 4) >= strtoul(size + 16, NULL, 10)) {
            return strncmp(reply, "HTTP/1.1 200 ", 13) == 0 && confirmed(end + 4);
        }
    }
    fprintf(stderr, "no whole reply came\n");
    return false;
}
