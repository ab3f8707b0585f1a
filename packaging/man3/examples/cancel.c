/* commbox_client_cancel */
#include <commbox.h>
#include <pthread.h>
#include <stdio.h>

static void *update(void *client)
{
    int32_t code = commbox_update_user_json(client, 94382332, "{\"FirstName\": \"John\"}", NULL);
    printf("%s\n", code == COMMBOX_CANCELLED ? "cancelled" : commbox_code_name(code));
    return NULL;
}

int main(void)
{
    commbox_client *client = commbox_client_new(NULL, NULL);
    pthread_t thread;
    if (pthread_create(&thread, NULL, update, client) != 0) {
        return 1;
    }
    /* The program wants to end: a call that is in flight returns within 100 ms. */
    commbox_client_cancel(client);
    pthread_join(thread, NULL);
    commbox_client_free(client);
    return 0;
}
