/* commbox_client_set_interrupt */
#include <commbox.h>
#include <signal.h>
#include <stdio.h>

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
    (void)signal;
    stopped = 1;
}

static int32_t is_stopped(void *context)
{
    (void)context;
    return stopped;
}

int main(void)
{
    signal(SIGINT, stop);
    commbox_client *client = commbox_client_new(NULL, NULL);
    commbox_client_set_interrupt(client, is_stopped, NULL);

    /* Ctrl-C ends the call within 100 ms. */
    int32_t code = commbox_update_user_json(client, 94382332, "{\"FirstName\": \"John\"}", NULL);
    if (code != COMMBOX_OK) {
        fprintf(stderr, "%s\n", commbox_last_error());
    }
    commbox_client_free(client);
    return code != COMMBOX_OK;
}
