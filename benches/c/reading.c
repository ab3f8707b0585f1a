/* Makes no call, to measure what a program itself spends on the clock and on parsing the reply.
 * Here, the reply is the body. */
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
