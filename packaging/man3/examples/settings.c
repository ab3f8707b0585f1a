/* commbox_client_set_api_key, commbox_client_set_max_requests_per_second */
#include <commbox.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    commbox_client *client = commbox_client_new("my-old-api-key", NULL);

    /* From now on, all threads use the new key and share 20 requests per second. */
    if (commbox_client_set_api_key(client, getenv("COMMBOX_API_KEY")) != COMMBOX_OK
        || commbox_client_set_max_requests_per_second(client, 20.0) != COMMBOX_OK) {
        fprintf(stderr, "%s\n", commbox_last_error());
    }

    int32_t code = commbox_update_user_json(client, 94382332, "{\"FirstName\": \"John\"}", NULL);
    if (code != COMMBOX_OK) {
        fprintf(stderr, "%s\n", commbox_last_error());
    }
    commbox_client_free(client);
    return code != COMMBOX_OK;
}
