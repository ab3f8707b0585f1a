/* No call: what a program spends by itself on the clock and on reading the reply, which here is the
 * body. */
#include "harness.h"

void *client_open(const struct work *work)
{
    return (void *)work;
}

void client_close(void *client)
{
    (void)client;
}

void *session_open(void *client)
{
    return client;
}

void session_close(void *session)
{
    (void)session;
}

bool session_update(void *session)
{
    const struct work *work = session;
    return confirmed(work->body);
}
